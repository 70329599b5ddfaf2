"""What comes from a student: code that may do anything, text that may hold anything, and a name.

`attempt` runs the code, `quoted` shows the text, `same_name` reads the name.
"""

import unicodedata

LONGEST = 200  # characters of a student's text that are shown

# Every character with which Markdown, HTML or mathematics could begin, as it is shown literally.
_LITERAL = str.maketrans(
    {mark: f"&#{ord(mark)};" for mark in "&<>*_`[]|~#"}
    | {
        "$": r"<span>\$</span>",
        "\\": "<span>&#92;</span>",  # a span of its own never pairs with another
    }
)

# Marks that look alike, and that keyboards put in for one another.
_ALIKE = str.maketrans("’‘ʼ`´‐‑‒–—−", "'''''------")


def attempt(function, *arguments, **named):
    """What a call gives, and what it raised (None if nothing).

    Nothing comes through, not even SystemExit or KeyboardInterrupt: a check must never stop the
    notebook.
    """
    try:
        return function(*arguments, **named), None
    except BaseException as error:
        return None, error


def quoted(text, longest=LONGEST):
    """Text as Markdown that shows it letter by letter: no markup, no mathematics, on one line."""
    shown = "".join(_printable(character) for character in text)
    shown = " ".join(shown.split())
    if len(shown) > longest:
        shown = shown[: longest - 1] + "…"
    return shown.translate(_LITERAL)


def _printable(character):
    """The character, a blank for white space, a mark for what has no picture."""
    if character.isspace():
        return " "
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def quoted_repr(thing):
    """The representation of anything, quoted; some words if it has none that can be read."""
    text, error = attempt(lambda: quoted(repr(thing)))
    return "something that cannot be shown" if error else text


def quoted_type(thing):
    """The name of the type of anything, quoted."""
    text, error = attempt(lambda: quoted(type(thing).__name__))
    return "an object" if error else text


def quoted_error(error):
    """Type and message of an error, quoted."""
    message, failed = attempt(lambda: quoted(str(error)))
    if failed:
        message = "its message cannot be read"
    return f"{quoted_type(error)}: {message}" if message else quoted_type(error)


def same_name(name):
    """A name in the one form that all names that look the same have.

    Upper and lower case, composed and decomposed accents, full-width letters, double and
    non-breaking blanks, invisible characters, and the various apostrophes and hyphens make no
    difference. Letters of another alphabet stay different from those that they resemble.
    """
    text = unicodedata.normalize("NFKC", _visible(name))
    text = unicodedata.normalize("NFKC", text.casefold()).translate(_ALIKE)
    return " ".join(_visible(text).split())


def _visible(text):
    """The text without control characters, format characters and halves of characters."""
    return "".join(
        character
        for character in text
        if character.isspace() or unicodedata.category(character)[0] != "C"
    )
