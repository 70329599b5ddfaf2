"""The pages that lead through the course are up to date, and follow when a chapter is added."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import start_page

PATHS = sorted((ROOT / "chapters").glob("*.ipynb"))
AGAIN = "run: python run.py notebooks"
FIGURE = {
    "data": [{"type": "scatter", "mode": "lines+text", "text": ["a"], "marker": {"size": 8}}],
    "layout": {"xaxis": {"title": {"text": "time [s]"}}, "template": {}, "width": 760},
}
PAGE = "# Start\n\n<!-- {0} -->\n<!-- /{0} -->\n\nThe end.\n"
PNG = b"\x89PNG of nothing" + b"\0\0\0\0IEND\xaeB`\x82"


def chapter(number, title, *, cover=True, without=""):
    """A small chapter that says all that the pages need, but for the line `without`."""
    lines = [
        f"# {number} · {title}",
        "**What is it?**",
        "**Time** an hour. **Helps to know** it.",
        "**In one sentence** It is what it is & more.",
    ]
    text = "\n\n".join(line for line in lines if not without or without not in line)
    shown = nbformat.v4.new_output(
        "display_data", data={start_page.FIGURE: FIGURE, "text/plain": "One line rises."}
    )
    tags = ["cover"] if cover else []
    drawing = nbformat.v4.new_code_cell("show()", outputs=[shown], metadata={"tags": tags})
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text), drawing])


def store(root, stem, notebook):
    (root / "chapters" / f"{stem}.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")


@pytest.fixture
def course(tmp_path):
    """A course of two chapters, with pages that are still empty."""
    (tmp_path / "chapters").mkdir()
    store(tmp_path, "01_one", chapter(1, "One"))
    store(tmp_path, "02_two", chapter(2, "Two"))
    (tmp_path / "README.md").write_text(PAGE.format("map"), encoding="utf-8")
    (tmp_path / "START_HERE.md").write_text(PAGE.format("cards"), encoding="utf-8")
    return tmp_path


def drawn(figures):
    return [PNG for _ in figures]


def ends(root, stem):
    """The first and the last cell of a chapter."""
    cells = nbformat.read(root / "chapters" / f"{stem}.ipynb", as_version=4).cells
    return cells[0].source, cells[-1].source


# ------------------------------------------------------------------------- the course as stored


@pytest.fixture(scope="module")
def chapters():
    return start_page.read_chapters()


@pytest.mark.parametrize("at", range(len(PATHS)), ids=[path.stem for path in PATHS])
def test_links_of_a_chapter_are_up_to_date(chapters, at):
    line = start_page.links(chapters, at)
    assert ends(ROOT, PATHS[at].stem) == (line, line), AGAIN


def test_links_lead_to_what_exists(chapters):
    for at in range(len(chapters)):
        targets = re.findall(r"\]\((.+?)\)", start_page.links(chapters, at))
        assert all((ROOT / "chapters" / target).exists() for target in targets)


def test_thumbnails_belong_to_the_covers(chapters):
    folder = ROOT / "docs" / "thumbnails"
    stored = {path.stem: start_page.mark_of(path) for path in folder.iterdir()}
    figures = {one.stem: start_page.small(one.cover) for one in chapters}
    wanted = {stem: start_page.pictures.fingerprint(figure) for stem, figure in figures.items()}
    assert stored == wanted, AGAIN


def test_thumbnails_stay_small():
    sizes = [path.stat().st_size for path in (ROOT / "docs" / "thumbnails").iterdir()]
    assert sum(sizes) < 400_000


def test_an_answer_is_one_plain_sentence(chapters):
    for one in chapters:
        assert one.answer.endswith("."), one.stem
        assert ". " not in one.answer, one.stem
        assert 15 <= len(one.answer.split()) <= 55, one.stem
        assert not re.search(r"[$<>|*`]", one.answer + one.question + one.title), one.stem


# ----------------------------------------------------------------------- a course that changes


def test_a_new_chapter_reaches_all_pages(course):
    start_page.renew(course, drawn)
    last = "[← 1 · One](01_one.ipynb) | [Map of the course](../START_HERE.md)"
    assert ends(course, "02_two") == (last, last)
    store(course, "03_three", chapter(3, "Three"))
    start_page.renew(course, drawn)
    middle = (
        "[← 1 · One](01_one.ipynb) | [Map of the course](../START_HERE.md) | "
        "[3 · Three →](03_three.ipynb)"
    )
    assert ends(course, "02_two") == (middle, middle)
    for page in ("README.md", "START_HERE.md"):
        text = (course / page).read_text(encoding="utf-8")
        assert text.count("(chapters/03_three.ipynb)") == 1
        assert text.endswith("The end.\n")
    assert (course / "docs" / "thumbnails" / "03_three.png").exists()


def test_renewing_twice_changes_and_draws_nothing(course):
    start_page.renew(course, drawn)
    before = {path: path.stat().st_mtime_ns for path in course.rglob("*.*") if path.is_file()}
    start_page.renew(course, lambda figures: pytest.fail("drew again"))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_changed_figure_is_drawn_again_and_a_lost_chapter_forgotten(course):
    start_page.renew(course, drawn)
    other = chapter(1, "One")
    other.cells[1].outputs[0].data[start_page.FIGURE]["layout"]["xaxis"]["range"] = [0, 1]
    store(course, "01_one", other)
    (course / "chapters" / "02_two.ipynb").unlink()
    asked = []
    start_page.renew(course, lambda figures: asked.extend(figures) or drawn(figures))
    assert [figure["layout"]["xaxis"]["range"] for figure in asked] == [[0, 1]]
    assert [path.stem for path in (course / "docs" / "thumbnails").iterdir()] == ["01_one"]


@pytest.mark.parametrize(
    "without, said",
    [
        ("# 1", "does not say: title"),
        ("**What", "does not say: question"),
        ("**Time**", "does not say: time, helps"),
        ("**In one", "does not say: answer"),
    ],
)
def test_a_chapter_that_does_not_say_all(without, said):
    with pytest.raises(SystemExit, match=re.escape(said)):
        start_page.chapter_of("01_one", chapter(1, "One", without=without))


def test_a_chapter_without_a_cover():
    with pytest.raises(SystemExit, match="0 cells tagged cover"):
        start_page.chapter_of("01_one", chapter(1, "One", cover=False))


def test_a_chapter_with_two_covers():
    notebook = chapter(1, "One")
    notebook.cells.append(notebook.cells[1].copy())
    with pytest.raises(SystemExit, match="2 cells tagged cover"):
        start_page.chapter_of("01_one", notebook)


# ---------------------------------------------------------------------------------- thumbnails


def test_a_thumbnail_has_no_writing_and_leaves_its_figure_alone():
    before = json.dumps(FIGURE)
    little = start_page.small(FIGURE)
    assert json.dumps(FIGURE) == before
    trace, layout = little["data"][0], little["layout"]
    assert trace == {"type": "scatter", "mode": "lines", "marker": {"size": 6.0}}
    assert layout["xaxis"]["title"] is None
    assert not layout["showlegend"]
    assert (layout["width"], layout["height"]) == (240, 150)


def test_a_png_carries_its_fingerprint(tmp_path):
    path = tmp_path / "x.png"
    assert start_page.mark_of(path) == ""
    path.write_bytes(PNG)
    assert start_page.mark_of(path) == ""
    path.write_bytes(start_page.marked(PNG, "0123abcd"))
    assert start_page.mark_of(path) == "0123abcd"
    assert path.read_bytes().endswith(PNG[-12:])


def test_drawing_in_a_browser(has_chromium):
    """What Chromium draws is a PNG of twice the size on the page, with its fingerprint in it."""
    png = start_page.marked(start_page.pictures.draw([start_page.small(FIGURE)])[0], "0123abcd")
    width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
    assert png.startswith(b"\x89PNG")
    assert (width, height) == (480, 300)


# --------------------------------------------------------------------------------------- ticks


def test_an_absent_tick_is_not_seen(chromium):
    """JupyterLab puts the word "Image" in place of an empty text alternative; it stays hidden."""
    tick = start_page.tick("01_one").replace('alt=""', 'alt="Image"')
    circle = (
        "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' "
        "viewBox='0 0 9 9'><circle r='9'/></svg>"
    )
    there = tick.replace("progress/01_one.svg", circle.replace("<", "%3C").replace(">", "%3E"))
    empty = re.sub(r"<img.*?>", "", tick)
    page = chromium.new_page()
    shown = "".join(f"<p>{one}</p>" for one in (tick, there, empty))
    page.set_content(f"<!doctype html>{shown}")
    page.wait_for_function("[...document.images].every(one => one.complete)")
    absent, seen, nothing = (page.locator("span").nth(at).screenshot() for at in range(3))
    assert absent == nothing != seen


def test_a_mark_comes_back_whatever_its_checksum(tmp_path):
    path = tmp_path / "small.png"
    for number in range(500):
        mark = f"{number:016x}"
        path.write_bytes(start_page.marked(b"\x89PNG" + b"end of file.", mark))
        assert start_page.mark_of(path) == mark
