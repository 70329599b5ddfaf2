"""What a student has reached so far, kept so that no check can take a mark from another.

    progress/01_frequency/Q1 2.5      an empty file: question Q1 has once got 2.5 marks
    progress/01_frequency.svg         the sheet as a picture: a ring filled by its share, or a tick
    progress/inventory.json           results of the questions before and after the course
    MY_PROGRESS.md                    the page that shows all of it

A mark is the name of an empty file. Making a file needs no lock on any system, making it twice
changes nothing, and a mark is never read, changed and written back. So checks that run at the same
moment, in one sheet or in several, lose nothing.
"""

import contextlib
import html
import json
import math
import os
import re
import time
from pathlib import Path

from . import presets
from ._answers import marks as marks_of
from ._answers import sheet, topics

NAME = re.compile(r"\w{1,60}", re.ASCII)  # of a sheet, a question or a stage
MARK = re.compile(r"(\w+) (\d+(?:\.5)?)", re.ASCII)
UNREADABLE = (ValueError, KeyError, AttributeError, TypeError, RecursionError, OverflowError)


def record(topic, question, marks):
    """Keep the marks of a question; returns a notice if an old file had to be set aside.

    Raises
    ------
    OSError
        If the folder of the course cannot be written.
    """
    notice = _take_over()
    _keep(topic, question, marks)
    _refresh()
    return notice


def best(topic):
    """Best marks of each question of a sheet so far."""
    of = marks_of(topic)
    found: dict[str, float] = {}
    for path in (_store() / topic).glob("*"):
        match = MARK.fullmatch(path.name)
        if match and match[1] in of:
            marks = min(float(match[2]), of[match[1]])
            found[match[1]] = max(marks, found.get(match[1], 0.0))
    return found


def save_inventory(stage, right, of):
    """Note the result of the concept inventory; returns the results of all stages so far."""
    _take_over()
    _keep_inventory({stage: right}, of)
    _refresh()
    return _inventory()["right"]


# ------------------------------------------------------------------------------------------ files


def _folder():
    return Path(os.environ.get("V2GBOOK_PROGRESS") or presets.course_root())


def _store():
    return _folder() / "progress"


def _keep(topic, question, marks):
    """Make the empty file that stands for a mark."""
    folder = _store() / topic
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{question} {marks:g}").touch()


def _keep_inventory(right, of):
    """Add results to those of the concept inventory."""
    results = {"right": _inventory()["right"] | right, "of": of}
    _store().mkdir(parents=True, exist_ok=True)
    replace(_store() / "inventory.json", json.dumps(results, indent=1))


def _inventory():
    """Results of the concept inventory by stage; a file that cannot be read is set aside."""
    path = _store() / "inventory.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        right = {
            stage: _number(result)
            for stage, result in kept["right"].items()
            if NAME.fullmatch(stage)
        }
        return {"right": right, "of": _number(kept["of"])}
    except FileNotFoundError:
        pass
    except UNREADABLE:
        _set_aside(path, _free_name(path))
    return {"right": {}, "of": 0}


def _number(value):
    """A plain number of marks; ValueError for anything else."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (plain and math.isfinite(value) and 0 <= value <= 1000):
        raise ValueError(f"{value!r} is not a number of marks")
    return value


def replace(path, text):
    """Write a file whole or not at all."""
    spare = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        spare.write_text(text, encoding="utf-8")
        _put(spare, path)
    finally:
        spare.unlink(missing_ok=True)


def _put(spare, path, tries=10):
    """Give a file its name; on Windows that fails for a moment while another program reads it."""
    for _ in range(tries - 1):
        try:
            return os.replace(spare, path)
        except PermissionError:
            time.sleep(0.02)
    return os.replace(spare, path)


# ------------------------------------------------------------- the one file of earlier versions


def _take_over():
    """Turn progress.json of earlier versions into the files of today.

    Returns a notice if it could not be read; it is then kept under another name.
    """
    old = _folder() / "progress.json"
    try:
        text = old.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        text = ""
    try:
        kept = _old_marks(text)
    except UNREADABLE:
        spare = _set_aside(old, _free_name(old))
        return f"progress.json could not be read; it was kept as {spare.name} and a new one begun"
    for topic, question, marks, of in kept:
        if topic == "inventory":
            _keep_inventory({question: marks}, of)
        else:
            _keep(topic, question, marks)
    _set_aside(old, old.with_name(f"{old.name}.old"))
    return ""


def _old_marks(text):
    """(sheet, question, marks, marks of the sheet) of an old file; an error if anything is odd."""
    kept = []
    for topic, old in json.loads(text).items():
        for question, marks in old["marks"].items():
            if not (NAME.fullmatch(topic) and NAME.fullmatch(question)):
                raise ValueError(f"{topic!r}, {question!r} is no name of a question")
            kept.append((topic, question, _number(marks), _number(old["of"])))
    return kept


def _free_name(path):
    """A name beside a file under which nothing is kept yet."""
    names = (path.with_name(f"{path.name}.bad{n}") for n in range(1, 1000))
    return next(name for name in names if not name.exists())


def _set_aside(path, spare):
    """Rename a file, unless another check has just done so; returns its new name."""
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, spare)
    return spare


# ------------------------------------------------------------------------------- what is shown


def _refresh():
    """Write the page and the pictures, again if another check has added something meanwhile.

    So whoever writes last has seen everything.
    """
    shown = None
    while (now := _everything()) != shown:
        replace(_folder() / "MY_PROGRESS.md", _page(*now))
        for topic, found in now[0].items():
            replace(_store() / f"{topic}.svg", _picture(topic, found))
        shown = now


def _everything():
    """Best marks of each sheet with any, and the results of the inventory."""
    sheets = {topic: best(topic) for topic in topics()}
    return {topic: found for topic, found in sheets.items() if found}, _inventory()


def title(topic):
    """What a sheet is called, such as "Exercise 1 · Frequency"."""
    return f"Exercise {sheet(topic)['title']}"


def _page(sheets, inventory):
    """The text of MY_PROGRESS.md."""
    lines = [
        "# My progress",
        "",
        "Best result of each question so far, from the checks in the exercises.",
        "",
        "| exercise | marks | questions |",
        "|---|---|---|",
    ]
    for topic, found in sheets.items():
        link = f"[{title(topic)}](exercises/{topic}.ipynb)"
        each = ", ".join(f"{question} {marks:g}" for question, marks in sorted(found.items()))
        total = sum(marks_of(topic).values())
        lines.append(f"| {link} | {sum(found.values()):g} of {total:g} | {each} |")
    if inventory["right"]:
        each = ", ".join(
            f"{stage} {right:g}" for stage, right in sorted(inventory["right"].items())
        )
        of = inventory["of"]
        lines.append(f"| questions before and after the course | of {of:g} | {each} |")
    return "\n".join(lines) + "\n"


def _picture(topic, found):
    """A small picture of a sheet: a tick for full marks, else a ring filled by its share."""
    got, of = sum(found.values()), sum(marks_of(topic).values())
    words = html.escape(f"{title(topic)}: {got:g} of {of:g} marks")
    drawing = TICK if got == of else RING.format(share=100 * got / of)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20" viewBox="0 0 20 20" '
        f'role="img"><title>{words}</title>{drawing}</svg>\n'
    )


# Colours that can be told from a white page and from a black one.
TICK = (
    '<circle cx="10" cy="10" r="9" fill="#0a7d5e"/>'
    '<path d="M5.5 10.5l3 3 6-7" fill="none" stroke="#fff" stroke-width="2"/>'
)
RING = (
    '<g fill="none" stroke-width="4" transform="rotate(-90 10 10)">'
    '<circle cx="10" cy="10" r="7" stroke="#8a8f94" stroke-opacity="0.4"/>'
    '<circle cx="10" cy="10" r="7" stroke="#0072B2" pathLength="100" '
    'stroke-dasharray="{share:.0f} 100"/></g>'
)
