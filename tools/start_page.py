"""The pages that lead through the course, made from the chapters: `python run.py notebooks`.

START_HERE shows every chapter with a thumbnail, its question and its answer, README has a table,
and each chapter begins and ends with links to its neighbours. The words are the chapters' own, and
the thumbnail is drawn from the figure of the cell that is tagged `cover`.
"""

import re
import struct
import zlib
from dataclasses import dataclass
from html import escape
from pathlib import Path

import nbformat
import pictures

from v2gbook.classroom._progress import replace

ROOT = Path(__file__).resolve().parents[1]
FIGURE = "application/vnd.v2gbook.figure+json"
WORDS = {  # what a chapter says about itself, and how it is found in its Markdown
    "title": r"^# (.+)$",
    "question": r"^\*\*(.+\?.*)\*\*$",
    "answer": r"^\*\*In one sentence\*\* (.+)$",
    "time": r"\*\*Time\*\* (.+?)\.",
    "helps": r"\*\*Helps to know\*\* (.+)$",
}
SIZE = {"width": 240, "height": 150}  # a thumbnail on the page; it is stored with twice the pixels
QUIET = {  # what is left out of a thumbnail: nothing in it is meant to be read
    "showlegend": False,
    "annotations": [],
    "title": None,
    "margin": {"l": 6, "r": 6, "t": 6, "b": 6},
}
BARE_AXIS = {"title": None, "showticklabels": False, "ticks": "", "automargin": False}


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """What the pages tell of one chapter."""

    stem: str
    title: str
    question: str
    answer: str
    time: str
    helps: str
    cover: dict
    alt: str


# -------------------------------------------------------------------------------- the chapters


def read_chapters(root=ROOT):
    """All chapters of the course, in their order."""
    paths = sorted((root / "chapters").glob("*.ipynb"))
    return [chapter_of(path.stem, nbformat.read(path, as_version=4)) for path in paths]


def chapter_of(stem, notebook):
    """What a chapter says about itself; a sentence (SystemExit) that names whatever is missing."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    text = "\n".join(cells)
    found = {part: re.search(rule, text, re.MULTILINE) for part, rule in WORDS.items()}
    if not all(found.values()):
        missing = ", ".join(part for part, match in found.items() if not match)
        raise SystemExit(
            f"{stem}.ipynb does not say: {missing}. A chapter has a title (#), a bold question, "
            "**Time**, **Helps to know**, and in its recap a line **In one sentence**"
        )
    words = {part: match[1].strip() for part, match in found.items()}
    cover, alt = cover_of(stem, notebook)
    return Chapter(stem=stem, cover=cover, alt=alt, **words)


def cover_of(stem, notebook):
    """The figure of the one cell that is tagged `cover`, and its text alternative."""
    tagged = [cell for cell in notebook.cells if "cover" in cell.metadata.get("tags", [])]
    shown = [output.get("data", {}) for cell in tagged for output in cell.get("outputs", [])]
    figures = [data for data in shown if FIGURE in data]
    if len(tagged) != 1 or not figures:
        raise SystemExit(
            f"{stem}.ipynb has {len(tagged)} cells tagged cover, with {len(figures)} figures; "
            "exactly one cell with a stored figure is its picture on the start page"
        )
    return figures[0][FIGURE], figures[0].get("text/plain", "")


# ---------------------------------------------------------------------------------- thumbnails


def small(figure):
    """The figure as a thumbnail: its shapes and colours without any writing."""
    axes = {name: axis | BARE_AXIS for name, axis in figure["layout"].items() if is_axis(name)}
    layout = figure["layout"] | axes | QUIET | SIZE
    return {"data": [bare(trace) for trace in figure["data"]], "layout": layout}


def is_axis(name):
    """Whether a part of a layout is an axis: xaxis, yaxis2 and so on."""
    return bool(re.fullmatch(r"[xy]axis\d*", name))


def bare(trace):
    """A trace without text, its markers somewhat smaller."""
    kept = {name: value for name, value in trace.items() if name not in ("text", "texttemplate")}
    if "mode" in kept:
        kept["mode"] = kept["mode"].replace("+text", "")
    if isinstance(size := kept.get("marker", {}).get("size"), (int, float)):
        kept["marker"] = kept["marker"] | {"size": 0.75 * size}
    return kept


def marked(png, mark):
    """A PNG with a fingerprint in a text chunk before its end (the last twelve bytes)."""
    chunk = b"tEXtfigure\0" + mark.encode()
    framed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:-12] + framed + png[-12:]


def mark_of(path):
    """The fingerprint in a stored thumbnail; an empty string if there is none."""
    data = path.read_bytes() if path.exists() else b""
    found = re.search(rb"(?s)(.{4})tEXtfigure\0", data)
    if not found:
        return ""
    # The length counts: the checksum behind the mark may look like more of it.
    size = struct.unpack(">I", found[1])[0] - len(b"figure\0")
    return data[found.end() : found.end() + size].decode()


def renew_thumbnails(chapters, root=ROOT, draw=pictures.draw):
    """Draw what is missing or stale in docs/thumbnails, and remove what belongs to no chapter."""
    folder = root / "docs" / "thumbnails"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {folder / f"{chapter.stem}.png": small(chapter.cover) for chapter in chapters}
    for path in set(folder.glob("*.png")) - set(wanted):
        path.unlink()
    stale = [
        path for path, figure in wanted.items() if mark_of(path) != pictures.fingerprint(figure)
    ]
    if stale:
        for path, png in zip(stale, draw([wanted[path] for path in stale])):
            path.write_bytes(marked(png, pictures.fingerprint(wanted[path])))


# ---------------------------------------------------------------------------------------- maps


def table(chapters):
    """The chapters as README lists them."""
    rows = ["| chapter | the question | time | exercise |", "|---|---|---|---|"]
    rows += [
        f"| [{one.title}](chapters/{one.stem}.ipynb) | {one.question} | {one.time} "
        f"| [exercise](exercises/{one.stem}.ipynb) |"
        for one in chapters
    ]
    return "\n".join(rows)


def cards(chapters):
    """The chapters as START_HERE shows them: one row each, a picture beside its words."""
    return "\n".join(["<table>", *map(card, chapters), "</table>"])


def card(chapter):
    """One chapter on the start page."""
    path = f"chapters/{chapter.stem}.ipynb"
    picture = (
        f'<img src="docs/thumbnails/{chapter.stem}.png" width="{SIZE["width"]}" '
        f'alt="{escape(chapter.alt)}" style="border-radius: 4px">'
    )
    time = chapter.time[0].upper() + chapter.time[1:]
    return f"""<tr>
<td width="28%" style="min-width: 150px; vertical-align: top"><a href="{path}">{picture}</a></td>
<td style="vertical-align: top">

### [{chapter.title}]({path}) {tick(chapter.stem)}

**{chapter.question}**

{chapter.answer}

<small>[Exercise](exercises/{chapter.stem}.ipynb) | {time}. It helps to know {chapter.helps}</small>

</td>
</tr>"""


def tick(stem):
    """The picture of a student's progress, and nothing at all while there is none.

    An exercise draws it when something in it is solved. Where it does not exist yet, most places
    show nothing, as the text alternative is empty. JupyterLab shows an icon and the word "Image"
    at the top of the picture's box, so the box is made high, and the window around it lets only
    its middle through, where a square picture comes to lie.
    """
    window = (
        "display: inline-block; width: 20px; height: 20px; overflow: hidden; vertical-align: middle"
    )
    box = "display: block; width: 20px; height: 100px; margin-top: -40px"
    return f'<span style="{window}"><img src="progress/{stem}.svg" alt="" style="{box}"></span>'


def with_map(page, chapters=None):
    """A page's text with fresh chapters between the markers of its map, a table or cards."""
    chapters = chapters or read_chapters()
    for name, make in (("map", table), ("cards", cards)):
        marks = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        found = re.search(marks, page, flags=re.DOTALL)
        if found:
            fresh = f"{found[1]}{make(chapters)}\n{found[2]}"
            page = page[: found.start()] + fresh + page[found.end() :]
    return page


# --------------------------------------------------------------------------------------- links


def links(chapters, at):
    """The line that leads from chapter number `at` (from 0) to its neighbours and to the map."""
    line = ["[Map of the course](../START_HERE.md)"]
    if at > 0:
        line.insert(0, f"[← {chapters[at - 1].title}]({chapters[at - 1].stem}.ipynb)")
    if at + 1 < len(chapters):
        line.append(f"[{chapters[at + 1].title} →]({chapters[at + 1].stem}.ipynb)")
    return " | ".join(line)


def with_links(notebook, line):
    """Put the line of links at the top and at the end of a chapter, in place of an older one."""
    cells = [cell for cell in notebook.cells if "links" not in cell.metadata.get("tags", [])]
    top, end = (
        nbformat.v4.new_markdown_cell(line, id=name, metadata={"tags": ["links"]})
        for name in ("links-top", "links-end")
    )
    notebook.cells = [top, *cells, end]
    return notebook


# ------------------------------------------------------------------------------------ all pages


def renew(root=ROOT, draw=pictures.draw):
    """Renew the links in the chapters, the thumbnails, and the maps in README and START_HERE."""
    chapters = read_chapters(root)
    for at, chapter in enumerate(chapters):
        path = root / "chapters" / f"{chapter.stem}.ipynb"
        notebook = with_links(nbformat.read(path, as_version=4), links(chapters, at))
        replace_if_new(path, nbformat.writes(notebook) + "\n")
    renew_thumbnails(chapters, root, draw)
    for page in (root / "README.md", root / "START_HERE.md"):
        replace_if_new(page, with_map(page.read_text(encoding="utf-8"), chapters))


def replace_if_new(path, text):
    """Write a file whole or not at all, and leave it alone when nothing in it changes."""
    if text != path.read_text(encoding="utf-8"):
        replace(path, text)
