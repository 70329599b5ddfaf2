"""The course as a reader meets it: JupyterLab in a real browser, by keyboard and by mouse.

Every chapter is opened and looked at. Every fourth is played as well: run, its explorer moved, its quizzes answered (all of them where
V2GBOOK_SCREENSHOTS names a folder for pictures; `python run.py bench` moves every explorer).
"""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import browser  # noqa: E402

CHAPTERS = sorted(path.name for path in (ROOT / "chapters").glob("*.ipynb"))
PLAYED = CHAPTERS if os.environ.get("V2GBOOK_SCREENSHOTS") else CHAPTERS[::4]
ANSWER = 'answer = {sign}frequency.rocof(plant["output_mw"], plant["kinetic_energy_mws"] - plant["inertia_s"] * plant["rating_mva"], f0_hz=f0_hz)'


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """JupyterLab on a copy of the course, before a browser."""
    try:
        browser.find()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    with browser.desk(tmp_path_factory.mktemp("browser")) as desk:
        yield desk


@pytest.fixture(scope="module", params=PLAYED)
def chapter(request, desk):
    """A chapter after Run All Cells."""
    with desk.notebook(f"chapters/{request.param}") as notebook:
        notebook.name = Path(request.param).stem
        notebook.run_all()
        yield notebook


@pytest.fixture
def explorer(chapter):
    """The chapter's explorer, back at its start when the test is over."""
    explorer = chapter.explorer()
    start = explorer.drawn()
    yield explorer
    explorer.reset()
    explorer.became(start)


@pytest.fixture(scope="module")
def sheet(desk):
    """The exercise of the first chapter, opened by its link on the start page, after Run All Cells."""
    with desk.notebook("exercises/01_frequency.ipynb") as notebook:
        notebook.run_all()
        yield notebook


def picture(page, name, folder):
    """Keep a picture of the page in the test's folder, and where V2GBOOK_SCREENSHOTS says."""
    page.screenshot(path=folder / f"{name}.png")
    if wanted := os.environ.get("V2GBOOK_SCREENSHOTS"):
        Path(wanted).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / f"{name}.png", wanted)


def test_start_page_is_shown_rendered(desk):
    assert desk.page.locator(".jp-MarkdownViewer h1").count() == 1
    assert desk.page.locator(".jp-FileEditor").count() == 0


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_reads_well_before_it_runs(desk, name):
    stored = json.loads((desk.course / "chapters" / name).read_text(encoding="utf-8"))
    count = sum("application/vnd.plotly.v1+json" in output.get("data", {}) for cell in stored["cells"] for output in cell.get("outputs", []))
    with desk.notebook(f"chapters/{name}") as notebook:
        figures, text = notebook.figures(count), notebook.text()
        assert notebook.errors() == []
        assert "model not found" not in text.lower() and "Error displaying widget" not in text
        assert len(figures) == count > 0 and all(min(size) > 100 for size in figures)


def test_chapter_runs_without_error(chapter):
    assert chapter.errors() == []
    assert chapter.explorer().cell.is_visible()


def test_explorer_by_keyboard(explorer, chapter, tmp_path):
    start, value = explorer.drawn(), explorer.value()
    explorer.handle.press("ArrowRight")
    explorer.changed(start)
    assert explorer.value() > value
    picture(chapter.page, f"{chapter.name}_explorer", tmp_path)


def test_explorer_by_mouse_and_reset(explorer):
    start, value = explorer.drawn(), explorer.value()
    explorer.drag(-40)
    explorer.changed(start)
    assert explorer.value() < value
    explorer.reset()
    explorer.became(start)
    assert explorer.value() == value


def test_every_key_press_is_painted(explorer):
    assert len(explorer.key_to_paint_ms(presses=4)) == 4


def test_quizzes_by_keyboard(chapter):
    quizzes = chapter.quizzes()
    assert quizzes
    for quiz in quizzes:
        verdicts = quiz.answer_all()
        assert all(len(verdict.split()) > 5 for verdict in verdicts), "every answer is explained"
        assert sum("Right" in verdict for verdict in verdicts) == 1


def test_exercise_runs_unanswered(sheet):
    assert sheet.errors() == []
    assert "not attempted 0/3" in sheet.cell('check("Q1"').inner_text()


def test_exercise_hints_and_marks(sheet, desk, tmp_path):
    cell = sheet.cell('check("Q1"')
    for sign, verdict in ("-", "the sign"), ("", "✓ 3/3"):
        sheet.type(cell, "answer =", ANSWER.format(sign=sign))
        sheet.run(cell)
        assert verdict in cell.locator(".jp-Cell-outputArea").inner_text()
    picture(sheet.page, "01_frequency_exercise", tmp_path)
    assert "01_frequency" in (desk.course / "MY_PROGRESS.md").read_text(encoding="utf-8")


def test_errors_are_seen(sheet):
    cell = sheet.cell('check("Q1"')
    sheet.type(cell, "answer =", "answer = 1 / 0")
    sheet.run(cell)
    assert "ZeroDivisionError" in "".join(sheet.errors())
