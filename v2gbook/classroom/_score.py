"""Whether the score function of an open question is the sheet's own.

The generator stores a digest of the text of every function in the cells tagged `score`. A check
compares it with the text that Python keeps of the cells that were run, the one that it also shows
in a traceback.

This tells the sheet's score from another one that somebody has put in its place, in order to try
something or by mistake, and it notices a changed helper function too. It does not notice changed
data, and it is no protection against someone who wants to deceive the check: all of this runs in
the student's own kernel. Marks are made elsewhere, with the marker's own score.
"""

import ast
import hashlib
import linecache


def functions_of(source):
    """Digest of the text of each function that a cell defines, by the function's name."""
    return {
        node.name: _digest(ast.get_source_segment(source, node))
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
    }


def is_own(score, stored):
    """True if `score` is a function of the notebook that reads as the sheet's, helpers included."""
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
