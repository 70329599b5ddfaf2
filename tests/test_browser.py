"""The course as a reader meets it: JupyterLab in a real browser, by keyboard and by mouse.

Every third chapter is opened and looked at. Every twelfth is played as well: run, its explorer
moved, its quizzes answered, saved and opened again. It is all chapters where V2GBOOK_SCREENSHOTS
names a folder for pictures; `python run.py bench` moves every explorer.
"""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import browser

CHAPTERS = sorted(path.name for path in (ROOT / "chapters").glob("*.ipynb"))
ALL = bool(os.environ.get("V2GBOOK_SCREENSHOTS"))
READ, PLAYED = (CHAPTERS, CHAPTERS) if ALL else (CHAPTERS[2::3], CHAPTERS[::12])
ANSWER = """left_mws = plant["kinetic_energy_mws"] - plant["inertia_s"] * plant["rating_mva"]
answer = {sign}frequency.rocof(plant["output_mw"], left_mws, f0_hz=f0_hz)"""

# A page with one explorer and little else, for what has to be tried many times.
SMALL = """import numpy as np
from v2gbook.classroom import explore, figure, slider

def draw(gain):
    if gain > 9:
        raise ValueError("a gain above 9 is not stable")
    fig = figure("time [s]", "power [MW]")
    fig.add_scatter(x=np.arange(100.0), y=gain * np.sin(np.arange(100) / 9), name="power")
    fig.add_scatter(x=[0.0, 50.0, 99.0], y=[0.0, gain, gain], name="limit", line_shape="hv")
    return fig, f"The gain is <b>{gain}</b>."

explore(draw, gain=slider("Gain", 1, 10, 3, step=1, unit="MW"), play="gain",
        positions={"Strong": {"gain": 8}},
        alt="A wave whose height is the gain.", caption="What the gain does.")"""


@pytest.fixture(scope="module")
def desk(has_chromium, tmp_path_factory):
    """JupyterLab on a copy of the course, before a browser with the screen of a small laptop."""
    with browser.desk(tmp_path_factory.mktemp("browser"), 1366, 768) as desk:
        small = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SMALL)])
        small.metadata = nbformat.read(ROOT / "chapters" / CHAPTERS[0], as_version=4).metadata
        nbformat.write(small, desk.course / "chapters" / "90_small.ipynb")
        start = desk.course / "START_HERE.md"
        start.write_text(
            start.read_text(encoding="utf-8") + "\n\n[small](chapters/90_small.ipynb)\n",
            encoding="utf-8",
        )
        desk.start()
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
    explorer.reset()  # plotly gives a plot other margins when it draws it again
    explorer.cell.evaluate(browser.SETTLED)
    start = explorer.drawn()
    yield explorer
    explorer.reset()
    explorer.became(start)


@pytest.fixture(scope="module")
def small(desk):
    """The small page after Run All Cells.

    (The tests of it stand in an order in which each can use what the one before left.)
    """
    with desk.notebook("chapters/90_small.ipynb") as notebook:
        notebook.run_all()
        yield notebook


@pytest.fixture(scope="module")
def sheet(desk):
    """The first chapter's exercise, opened by its link on the start page; all cells have run."""
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


@pytest.mark.parametrize("name", READ)
def test_chapter_reads_well_before_it_runs(desk, name):
    stored = json.loads((desk.course / "chapters" / name).read_text(encoding="utf-8"))
    count = sum(
        "image/png" in output.get("data", {})
        for cell in stored["cells"]
        for output in cell.get("outputs", [])
    )
    with desk.notebook(f"chapters/{name}", kernel=False) as notebook:
        figures = notebook.figures(count)
        assert notebook.errors() == []
        assert len(figures) == count > 0
        assert all(min(size) > 100 for size in figures)
        assert notebook.wide_cells() == []


# -------------------------------------------------------------------------------- a chapter, played


def test_chapter_runs_without_error(chapter):
    assert chapter.errors() == []
    assert chapter.explorer().cell.is_visible()


def test_explorer_takes_the_place_of_its_stored_picture(explorer):
    assert explorer.cell.locator(".jp-RenderedPlotly").is_hidden()
    assert explorer.cell.locator(".v2g-plot").get_attribute("aria-label")


def test_explorer_fits_the_screen(explorer, chapter):
    explorer.handle.scroll_into_view_if_needed()
    page = chapter.find(".jp-WindowedPanel-outer").bounding_box()["height"]
    assert explorer.cell.locator(".v2g-explorer").bounding_box()["height"] <= page
    assert explorer.tangled() == []


def narrow(chapter, explorer):
    """Make the column narrow, until the plot has taken its width."""
    wide = explorer.drawn()
    chapter.page.set_viewport_size({"width": 800, "height": 768})
    explorer.changed(wide)
    explorer.cell.evaluate(browser.SETTLED)


def test_explorer_in_a_narrow_column(chapter, explorer):
    """The plot takes the width that there is, and nothing of it is lost."""
    narrow(chapter, explorer)
    assert explorer.tangled() == []
    chapter.page.set_viewport_size({"width": 1366, "height": 768})
    explorer.cell.evaluate(browser.SETTLED)


def test_explorer_moved_while_its_column_grows(chapter, explorer):
    """An answer that comes before the page has told of the new width is drawn for that width."""
    start = explorer.drawn()
    narrow(chapter, explorer)
    with browser.frames_held_back(chapter.page):
        chapter.page.set_viewport_size({"width": 1366, "height": 768})
        explorer.reset_unseen()
        explorer.became(start)


def test_explorer_by_keyboard(explorer, chapter, tmp_path):
    value = explorer.value()
    explorer.follow()
    assert explorer.value() > value
    assert (
        explorer.handle.get_attribute("aria-valuetext")
        .split()[0]
        .replace("-", "")
        .replace(".", "")
        .isdigit()
    )
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


def test_figures_have_a_text_alternative(chapter):
    unnamed = chapter.find(".jp-RenderedPlotly:visible").evaluate_all(
        "all => all.filter(one => !(one.getAttribute('aria-label') || '').includes(' ')).length"
    )
    assert unnamed == 0


def test_quizzes_by_keyboard(chapter):
    quizzes = chapter.quizzes()
    assert quizzes
    for quiz in quizzes:
        verdicts = quiz.answer_all()
        assert all(len(verdict.split()) > 5 for verdict in verdicts), "every answer is explained"
        assert sum("Right" in verdict for verdict in verdicts) == 1


# -------------------------------------------------------------------------------- a page that lasts


def test_starts_on_a_slow_laptop(desk):
    """Throttled four times: a start shows curves and follows the slider.

    The other tests keep the cores busy; `bench --only starts` sees to that itself, and tries 20
    starts a chapter.
    """
    with (
        desk.notebook("chapters/90_small.ipynb") as notebook,
        browser.slow_laptop(desk.page, busy=False),
    ):
        notebook.run_all()
        notebook.explorer().follow()


def test_what_draw_refuses_is_said_in_words_and_the_picture_stays(small):
    explorer = small.explorer()
    explorer.handle.press("End")
    explorer.note.get_by_text("a gain above 9 is not stable").wait_for()
    assert explorer.drawn()
    explorer.handle.press("ArrowLeft")
    explorer.note.wait_for(state="hidden")


def test_positions_play_and_ghost(small):
    explorer = small.explorer()
    explorer.reset()
    start = explorer.drawn()
    explorer.cell.get_by_role("button", name="Strong").click()
    explorer.changed(start)
    ghosts = explorer.cell.locator(".v2g-ghost")
    assert explorer.value() == 8
    assert ghosts.count() == 2
    shapes = [set(re.findall("[A-Z]", ghost.get_attribute("d"))) for ghost in ghosts.all()]
    assert {"M", "L"} in shapes, "a ghost has the steps of its curve"
    assert {"M", "H", "V"} in shapes, "a ghost has the steps of its curve"
    explorer.cell.get_by_role("button", name="Play Gain").press("Enter")
    small.page.wait_for_function(
        "slider => slider.value === '10'", arg=explorer.handle.element_handle()
    )


def test_the_next_day_the_page_invites_again(small, desk):
    again = desk.save_and_reopen("chapters/90_small.ipynb")
    again.figures(1)
    assert "Run this cell" in again.text()
    assert again.errors() == []
    again.run_all()
    again.explorer().follow()


def test_a_page_that_is_loaded_again_comes_back_to_life(small, desk):
    desk.save()
    desk.page.reload()
    browser.Notebook(desk.page).explorer().follow()


def test_a_kernel_that_ends_is_told(small, desk):
    explorer = small.explorer()
    desk.page.locator(".lm-MenuBar-item", has_text="Kernel").click()
    desk.page.locator(".lm-Menu-item[data-command='kernelmenu:restart']").click()
    desk.page.locator(".jp-Dialog button", has_text="Restart").click()
    explorer.note.get_by_text("The kernel has ended").wait_for()
    assert explorer.handle.is_disabled()
    assert explorer.drawn()
    small.find(browser.RESTS).wait_for()


# ------------------------------------------------------------------------------------------ a sheet


def test_exercise_runs_unanswered(sheet):
    assert sheet.errors() == []
    assert "not attempted 0/3" in sheet.cell('check("Q1"').inner_text()


def test_exercise_hints_and_marks(sheet, desk, tmp_path):
    cell = sheet.cell('check("Q1"')
    for sign, verdict in ("-", "the sign"), ("", "✓ right 3/3"):
        sheet.type(cell, "answer =", ANSWER.format(sign=sign))
        sheet.run(cell)
        assert verdict in cell.locator(".jp-Cell-outputArea").inner_text()
    picture(sheet.page, "01_frequency_exercise", tmp_path)
    assert "Frequency" in (desk.course / "MY_PROGRESS.md").read_text(encoding="utf-8")


def test_errors_are_seen(sheet):
    cell = sheet.cell('check("Q1"')
    sheet.type(cell, "answer =", "answer = 1 / 0")
    sheet.run(cell)
    assert "ZeroDivisionError" in "".join(sheet.errors())
