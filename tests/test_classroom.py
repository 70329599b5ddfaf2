"""The classroom: figures, explorer, quiz, workbook and presets, and what they say to bad input."""

import json
import os

import numpy as np
import plotly.graph_objects as go
import pytest

from v2gbook import _check
from v2gbook import classroom
from v2gbook.classroom import explore, figure, inventory, presets, quiz, show, slider, workbook
from v2gbook.classroom import explore as explore_function
from v2gbook.classroom.figures import COLOURS, TEMPLATE

EXPLORE = __import__("sys").modules["v2gbook.classroom.explore"]
QUIZ = __import__("sys").modules["v2gbook.classroom.quiz"]
FIGURES = __import__("sys").modules["v2gbook.classroom.figures"]


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """Everything that is displayed, and progress in a folder of its own."""
    seen = []
    for module in (EXPLORE, QUIZ, FIGURES, workbook):
        monkeypatch.setattr(module, "display", lambda *things, raw=False: seen.extend(things))
    monkeypatch.setenv("V2GBOOK_PROGRESS", str(tmp_path))
    return seen


def text(shown):
    return "\n".join(getattr(thing, "data", None) or str(thing) for thing in shown)


# ------------------------------------------------------------------------------------------------------- figures


def test_figure_needs_units():
    with pytest.raises(ValueError, match="y = 'frequency': an axis title ends in its unit"):
        figure("time [s]", "frequency")


def test_show_needs_a_sentence():
    with pytest.raises(ValueError, match="whole sentence"):
        show(figure("time [s]", "f [Hz]"), alt="plot")


def test_show_stores_json_and_the_sentence(shown):
    fig = figure("time [s]", "f [Hz]")
    fig.add_scatter(x=[0, 1], y=[1, 2])
    show(fig, alt="A line rises from one to two.")
    assert shown[0]["text/plain"] == "A line rises from one to two."
    assert shown[0]["application/vnd.plotly.v1+json"]["data"][0]["type"] == "scatter"
    assert "A line rises" in shown[1].data


def test_palette_is_told_apart_with_colour_blindness():
    """Machado et al. (2009) matrices, severity 1: any two colours stay at least 25 apart in sRGB, and dashes differ anyway."""
    deutan = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
    protan = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]])
    rgb = np.array([[int(c[i:i + 2], 16) for i in (1, 3, 5)] for c in COLOURS], float)
    for matrix in (np.eye(3), deutan, protan):
        seen = rgb @ matrix.T
        gaps = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
        assert min(gaps) > 25
    dashes = [trace.line.dash for trace in TEMPLATE.data.scatter]
    assert len(set(dashes[:5])) == 5


def test_template_is_small():
    assert len(json.dumps(TEMPLATE.to_plotly_json(), default=str)) < 3000


# ------------------------------------------------------------------------------------------------------ explorer


def line(slope):
    fig = figure("x [s]", "y [Hz]")
    fig.add_scatter(x=[0, 1], y=[0, slope], name="line")
    return fig


def widgets_of(monkeypatch):
    """Catch the box that explore builds."""
    boxes = []
    real = EXPLORE.widgets.VBox
    monkeypatch.setattr(EXPLORE.widgets, "VBox", lambda children: boxes.append(real(children)) or boxes[-1])
    return boxes


def test_explorer_follows_its_slider_and_resets(shown, monkeypatch):
    boxes = widgets_of(monkeypatch)
    explore(lambda slope: (line(slope), f"slope {slope}"), slope=slider("Slope", 0, 10, 2, step=1, unit="Hz/s"))
    (knob, reset), words, _, canvas = boxes[0].children[0].children, *boxes[0].children[1:]
    knob.value = 7
    assert list(canvas.data[0].y) == [0, 7] and words.value == "slope 7"
    reset.click()
    assert knob.value == 2 and list(canvas.data[0].y) == [0, 2]


def test_explorer_resets_what_the_new_figure_lacks(shown, monkeypatch):
    boxes = widgets_of(monkeypatch)

    def draw(on):
        fig = line(1)
        if on:
            fig.update_traces(line_width=9)
            fig.update_layout(title="on", shapes=[{"type": "line"}])
        return fig
    explore(draw, on=slider("On", 0, 1, 1, step=1, unit="-"))
    knob, canvas = boxes[0].children[0].children[0], boxes[0].children[-1]
    knob.value = 0
    assert canvas.data[0].line.width is None and canvas.layout.title.text is None and not canvas.layout.shapes


def test_explorer_refuses_a_changing_number_of_traces(shown):
    canvas = go.FigureWidget(line(1))
    more = line(1)
    more.add_scatter(x=[0], y=[0])
    with pytest.raises(ValueError, match="keep them"):
        EXPLORE._copy(more, canvas)


def test_explorer_output_is_an_invitation_and_a_view(shown):
    explore_function(lambda slope: line(slope), slope=slider("Slope", 0, 10, 2, step=1, unit="Hz/s"))
    assert "Run this cell" in shown[0].data and "Slope [Hz/s]" in shown[0].data
    assert set(shown[1]) == {"application/vnd.jupyter.widget-view+json"}


def test_what_is_measured_live_is_shown_and_not_stored(shown, monkeypatch):
    boxes = widgets_of(monkeypatch)
    classroom.live("412 calls a second", line(2))
    assert "not stored" in shown[0].data and "412" not in shown[0].data and set(shown[1]) == {"application/vnd.jupyter.widget-view+json"}
    assert boxes[0].children[0].value == "412 calls a second" and list(boxes[0].children[-1].data[0].y) == [0, 2]
    classroom.live("without a figure")
    assert len(boxes[1].children) == 1


def test_a_bar_of_progress_counts(shown, monkeypatch):
    rows = []
    monkeypatch.setattr(EXPLORE.widgets, "HBox", lambda children, real=EXPLORE.widgets.HBox: rows.append(children) or real(children))
    done = classroom.progress("Cars", 40)
    done(9)
    done()
    bar, count = rows[0]
    assert set(shown[0]) == {"application/vnd.jupyter.widget-view+json"} and (bar.value, bar.max, count.value) == (10, 40, "10 of 40")


def test_slider_value_must_lie_in_its_range():
    with pytest.raises(ValueError, match="Loss: value 5 must lie between 10 and 20"):
        slider("Loss", 10, 20, 5, step=1, unit="MW")


# ---------------------------------------------------------------------------------------------------------- quiz


def test_quiz_explains_every_answer(shown, monkeypatch):
    boxes = widgets_of(monkeypatch)
    quiz("Is 5 > 3?", {"Yes": "Five is more than three.", "No": "Count from three to five."}, right="Yes")
    keys, verdict = boxes[0].children
    keys.children[1].click()
    assert "Not quite" in verdict.value and "Count from three" in verdict.value
    keys.children[0].click()
    assert "Right" in verdict.value and "Five is more" in verdict.value
    assert "**A** Yes" in shown[0].data


def test_quiz_needs_a_right_answer_and_explanations():
    with pytest.raises(ValueError, match="must be one of"):
        quiz("?", {"a": "because it is so"}, right="b")
    with pytest.raises(ValueError, match="needs an explanation"):
        quiz("?", {"a": "no"}, right="a")


def answer_inventory(boxes, pick):
    """Answer all questions of an inventory with pick(question) -> index; returns what it says at the end."""
    text, keys, _ = boxes[-1].children
    for asked in QUIZ.tomllib.loads(QUIZ.INVENTORY.read_text(encoding="utf-8"))["question"]:
        assert QUIZ.html.escape(asked["ask"]) in text.value
        keys.children[pick(asked)].click()
    return text.value


def test_inventory_before_and_after_tells_the_gain(shown, monkeypatch, tmp_path):
    boxes = widgets_of(monkeypatch)
    inventory("before")
    assert "0 of 20 right" in answer_inventory(boxes, lambda asked: (asked["right"] + 1) % len(asked["answers"]))
    inventory("after")
    assert "20 of 20 right" in (said := answer_inventory(boxes, lambda asked: asked["right"])) and "100%" in said
    assert "| of 20 | after 20, before 0 |" in (tmp_path / "MY_PROGRESS.md").read_text(encoding="utf-8")


def test_inventory_questions_are_complete():
    questions = QUIZ.tomllib.loads(QUIZ.INVENTORY.read_text(encoding="utf-8"))["question"]
    assert len(questions) == 20 and len({asked["topic"] for asked in questions}) == 16
    for asked in questions:
        assert len(asked["answers"]) == len(asked["why"]) >= 3 and 0 <= asked["right"] < len(asked["answers"])


def test_inventory_knows_its_stages():
    with pytest.raises(ValueError, match='must be "before" or "after"'):
        inventory("now")


# ------------------------------------------------------------------------------------------------------ workbook


def book(**more):
    return workbook.Workbook("01_frequency", **more)


def test_own_numbers_differ_and_repeat():
    a, b = book(student="ada"), book(student="grace")
    assert a.given("Q1") == book(student=" ada ").given("Q1")
    assert a.given("Q1") != b.given("Q1") and book().variant("Q1") == 0
    spread = {book(student=str(i)).variant("Q1") for i in range(500)}
    assert spread == set(range(1, 65))


@pytest.mark.parametrize("answer, words", [
    (..., "not attempted 0/3"), (None, "not attempted 0/3"), ("12", "✗ 0/3"), ("twelve", "wants a number, not str"), ([], "empty"), (float("nan"), "NaN"),
    ([1.0, 2.0], "shape is wrong"), (abs, "not a function"), ({"a": 1}, "wants a number"), (0, "not within"), (float("inf"), "not within"), (1e300, "not within"), (1 + 2j, "✗ 0/3"),
])
def test_check_never_raises(shown, answer, words):
    book().check("Q1", answer)
    assert words in text(shown)


def test_check_survives_hostile_answers(shown):
    class Hostile:
        def __array__(self, *args, **kwargs):
            raise RuntimeError("no")

        def __eq__(self, other):
            raise RuntimeError("no")
    book().check("Q1", Hostile())
    book().check("Q99", 1.0)
    book().check("Q4", lambda **k: 1 / 0)
    book().check("Q4", 5.0)
    book().check("Q6", {"p_mw": "x"}, lambda design: 1 / 0)
    said = text(shown)
    for words in ("no question 'Q99'", "ZeroDivisionError", "wants a function", "could not read"):
        assert words in said


def test_a_function_that_breaks_a_law_gets_half():
    asked = {"rises_with": ["x"], "probes": [{"x": 1.0}]}
    assert workbook._lawful(lambda x: -x, asked)[0] == 0.5
    assert workbook._lawful(lambda x: x, asked) == (1.0, "")


@pytest.mark.parametrize("value", [1e-9, 0.3, -0.3, 1.0, 123456.789])
def test_bucket_tolerance(value):
    """Anything within the tolerance is accepted; anything beyond twice the tolerance is not."""
    tol, rng = 0.01, np.random.default_rng(1)
    stored = workbook.digests("k", [value], tol)
    for share in rng.uniform(-0.0099, 0.0099, 200):
        assert workbook.matches("k", [value * (1 + share)], stored, tol)
    for share in (-0.02, 0.02, 0.05, -2.0):
        assert not workbook.matches("k", [value * (1 + share)], stored, tol)
    assert not workbook.matches("other", [value], stored, tol)


@pytest.mark.parametrize("answer, words", [([1.0, 2.0, 3.0], ""), ([1.0, 2.0], "has 2 entries"), (1.0, "should be an array"), ([-1.0, -2.0, -3.0], "the sign"),
                                           ([1000.0, 2000.0, 3000.0], "factor of 1000"), ([1.0, 2.0, 4.0], "not within")])
def test_arrays_are_judged_by_shape_and_summary(answer, words):
    sheet = book()
    sheet.variant = lambda _: 0
    stored = {"right": workbook.digests(f"01_frequency|A|{sheet.region.key}|0", workbook.summary([1.0, 2.0, 3.0]), 0.01), "wrong": []}
    asked = {"kind": "value", "numbers": "A", "tol": 0.01, "unit": "", "hints": [], "answers": {sheet.region.key: [stored]}}
    share, said = sheet._judge("A", asked, answer, None)
    assert share == (1.0 if not words else 0.0) and words in said


def test_unknown_exercise_and_student():
    with pytest.raises(ValueError, match="no exercise '99_x'; there are 01_frequency"):
        workbook.Workbook("99_x")
    with pytest.raises(ValueError, match="in quotes"):
        workbook.Workbook("01_frequency", student=123)


def test_progress_keeps_the_best_and_writes_a_page(shown, tmp_path):
    workbook.save_progress("01_frequency", {"Q1": (3, 3), "Q2": (0, 4)}, 22)
    workbook.save_progress("01_frequency", {"Q1": (0, 3), "Q2": (4, 4)}, 22)
    assert json.loads((tmp_path / "progress.json").read_text())["01_frequency"]["marks"] == {"Q1": 3, "Q2": 4}
    page = (tmp_path / "MY_PROGRESS.md").read_text()
    assert "| [01_frequency](exercises/01_frequency.ipynb) | 7 of 22 | Q1 3, Q2 4 |" in page


@pytest.mark.parametrize("rubbish", ["{", "[]", '{"01_frequency": 5}', '{"01_frequency": {"marks": []}}', "\x00",
                                     '{"01_frequency": {"of": 22, "marks": {"Q1": "three"}}}'])
def test_a_corrupted_progress_file_is_kept_aside(tmp_path, shown, rubbish):
    (tmp_path / "progress.json").write_text(rubbish)
    notice = workbook.save_progress("01_frequency", {"Q1": (3, 3)}, 22)
    assert "kept as progress.json.bad1" in notice
    assert (tmp_path / "progress.json.bad1").read_text() == rubbish
    assert json.loads((tmp_path / "progress.json").read_text())["01_frequency"]["marks"] == {"Q1": 3}


def test_a_full_disk_loses_nothing(tmp_path, shown, monkeypatch):
    workbook.save_progress("01_frequency", {"Q1": (3, 3)}, 22)
    before = (tmp_path / "progress.json").read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "replace", full)
    sheet = book()
    sheet.check("Q1", 1.0)
    assert "could not be saved (No space left on device)" in text(shown)
    assert (tmp_path / "progress.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["MY_PROGRESS.md", "progress.json"]


# ------------------------------------------------------------------------------------------------------- presets


def test_unknown_preset(monkeypatch):
    monkeypatch.setenv("V2GBOOK_PRESET", "mars-42hz")
    with pytest.raises(ValueError, match="no preset 'mars-42hz'; known presets are eu-50hz, gb-50hz, na-60hz"):
        presets.current()


def test_unknown_table():
    with pytest.raises(AttributeError, match=r"no table \[cheese\]"):
        presets.load("na-60hz").cheese


def test_course_file_with_a_typing_error(tmp_path, monkeypatch):
    (tmp_path / "course.toml").write_text("preset = na")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="course.toml cannot be read"):
        presets.course()


def test_course_root_is_found_from_a_chapter(tmp_path, monkeypatch):
    (tmp_path / "course.toml").write_text('preset = "gb-50hz"')
    (tmp_path / "chapters").mkdir()
    monkeypatch.chdir(tmp_path / "chapters")
    monkeypatch.delenv("V2GBOOK_PRESET", raising=False)
    assert presets.course_root() == tmp_path and presets.current().key == "gb-50hz"


# ---------------------------------------------------------------------------------------------------- the checker


@pytest.mark.parametrize("value, limits, words", [
    ("a", {}, "must be a number"), ([], {}, "is empty"), (np.nan, {}, "contains NaN"), (np.inf, {}, "is infinite"),
    (0.0, {"gt": 0}, "x is 0 MW; it must be above 0 MW"), ([1, -2], {"ge": 0}, "x is -2 MW; it must be at least 0 MW"),
    (1.0, {"lt": 1}, "must be below 1 MW"), (2.0, {"le": 1}, "must be at most 1 MW"), (None, {}, "must be a number"),
    ("500", {}, "must be a number"), (b"5", {}, "must be a number"), (1 + 2j, {}, "must be a number"), ([[1], [2, 3]], {}, "must be a number"), ({"a": 1}, {}, "must be a number"),
])
def test_checked_says_what_is_allowed(value, limits, words):
    with pytest.raises(ValueError, match=words):
        _check.checked("x", value, "MW", **limits)


def test_checked_passes_numbers_through():
    assert _check.checked("x", 3) == 3.0 and _check.checked("x", np.inf, finite=False) == np.inf
    assert (_check.checked("x", [1, 2]) == np.array([1.0, 2.0])).all()
