"""Stored notebooks and modules, read once for all tests of a process: nobody may change them.

And how their text is read.
"""

import functools
import re

import nbformat
from needed_cells import parsed


@functools.cache
def notebook(path):
    """A stored notebook."""
    return nbformat.read(path, as_version=4)


@functools.cache
def code_of(path):
    """The Python of a module, or of all code cells of a notebook."""
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    return "\n".join(cell.source for cell in notebook(path).cells if cell.cell_type == "code")


@functools.cache
def tree_of(path):
    """The syntax tree of the same."""
    return parsed(code_of(path))


def without_formulas(text):
    """Markdown without what stands between dollar signs."""
    return re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", "", text, flags=re.DOTALL)
