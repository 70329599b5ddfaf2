"""docs/API.md: every public name of the library with one line, from the docstrings.

`python run.py notebooks` renews it; a test compares it.
"""

import importlib
import inspect
import pkgutil
from pathlib import Path

import v2gbook
from v2gbook.classroom._progress import replace

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# The library

Every public name with one line. `help(v2gbook.frequency.rocof)` says more: parameters with their
units, errors, sources and an example. Names, units and signs follow [NOTATION.md](NOTATION.md)."""
SHARED = "v2gbook._presence"
KINDS = {"class": inspect.isclass, "function": inspect.isfunction, "module": inspect.ismodule}


def modules():
    """Topics in the order of their chapters, then the other modules."""
    topics = [path.stem[3:] for path in sorted((ROOT / "chapters").glob("*.ipynb"))]
    everything = [name for _, name, _ in pkgutil.iter_modules(v2gbook.__path__)]
    others = sorted(set(everything) - set(topics))
    return [name for name in [*topics, *others] if not name.startswith("_")]


def names(module):
    """Public names of a module, in the order of its source.

    What a topic imports by name from where topics share their models is public there, too.
    """
    if hasattr(module, "__all__"):
        return list(module.__all__)
    homes = (module.__name__, SHARED)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") in homes
    ]


def row(name, value):
    """One row of a table."""
    kind = next((kind for kind, fits in KINDS.items() if fits(value)), "value")
    what = f"A {type(value).__name__}." if kind == "value" else summary(value)
    return f"| `{name}` | {kind} | " + what.replace("|", "\\|") + " |"


def summary(value):
    """The first sentence of a docstring, on one line."""
    return " ".join(inspect.getdoc(value).split("\n\n")[0].split())


def section(name):
    """A module's first sentence and the table of its names."""
    module = importlib.import_module(f"v2gbook.{name}")
    rows = [row(each, getattr(module, each)) for each in names(module)]
    head = [f"## {name}", "", summary(module), "", "| name | kind | what |", "|---|---|---|"]
    return "\n".join(head + rows)


def page():
    """The whole page as text."""
    return "\n\n".join([HEAD, *map(section, modules())]) + "\n"


def renew():
    """Write the page."""
    replace(ROOT / "docs" / "API.md", page())
