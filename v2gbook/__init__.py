"""Models for a course on Vehicle-to-Grid: one module a topic.

`import v2gbook` loads nothing; `v2gbook.frequency` loads a topic when it is first used, and so does
`from v2gbook import frequency`. `dir(v2gbook)` lists the topics.

Everywhere: p > 0 flows from the vehicle to the grid; a name carries its unit; `soc` is 0..1
(docs/NOTATION.md).
"""

import importlib
import pkgutil

__version__ = "0.1.0"
__all__ = sorted(name for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("_"))


def __getattr__(name):
    """Load a topic when it is asked for."""
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"v2gbook has no topic {name!r}; it has {', '.join(__all__)}")


def __dir__():
    """The topics, and what else is shared."""
    return [*__all__, "__version__"]
