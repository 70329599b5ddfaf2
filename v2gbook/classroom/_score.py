"""The score function of an open question: whether it is the sheet's own, and a fresh copy of it.

The generator stores the text of the cells tagged `score`, and of the imports that they need. A
check compares each function in it with the text that Python keeps of the cells that were run, the
one that it also shows in a traceback. This tells the sheet's score from another one that somebody
has put in its place, in order to try something or by mistake.

What is then measured is measured by a fresh copy, with names and data of its own: a student may
call something `real` or `sum`, or scale the sheet's data to look at something. Meanwhile the names
of the notebook that a design must not use, such as tomorrow's prices, are hidden. It is no
protection against someone who wants to deceive the check: all of this runs in the student's own
kernel. Marks are made elsewhere, with the marker's own score.
"""

import ast
import contextlib
import functools
import hashlib
import linecache

from . import presets


def functions_of(source):
    """Digest of the text of each function that a cell defines, by the function's name."""
    return {
        node.name: _digest(ast.get_source_segment(source, node))
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
    }


@functools.cache
def fresh(source, region):
    """The sheet's score, from its stored text, in names that nobody else can reach."""
    names = {"region": presets.load(region), "__name__": "score"}
    exec(compile(source, "<score>", "exec"), names)
    return names["score"]


@contextlib.contextmanager
def hidden(names, notebook):
    """While this lasts, the notebook does not have these names."""
    kept = {name: notebook.pop(name) for name in names if name in notebook}
    try:
        yield
    finally:
        notebook.update(kept)


def is_own(score, source):
    """True if `score` is a function of the notebook that reads as the sheet's, helpers included."""
    stored = functions_of(source)
    names = score.__globals__
    if score.__name__ not in stored or names.get(score.__name__) is not score:
        return False
    return all(_text_digest(names.get(name)) == digest for name, digest in stored.items())


def _text_digest(function):
    """Digest of a function's text as it was run; None if its text is not known."""
    source = "".join(linecache.getlines(function.__code__.co_filename))
    return functions_of(source).get(function.__name__)


def _digest(text):
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
