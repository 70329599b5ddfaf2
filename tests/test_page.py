"""What moves on a page.

Explorers, films, bars, what is measured live, quizzes and the inventory, without a browser.
"""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import shelf

from v2gbook.classroom import (
    _explore,
    _page,
    _quiz,
    animate,
    choice,
    explore,
    figure,
    figures,
    inventory,
    live,
    progress,
    quiz,
    slider,
)

ALT = "A line rises with the slope that the reader has chosen."


class Page:
    """Stands for the front end: sees what is displayed, and asks the newest part."""

    def __init__(self):
        self.shown = []

    @property
    def spec(self):
        """Description of the newest part."""
        return list(_page._parts.values())[-1]

    def ask(self, **values):
        """What the newest part answers, as the page receives it: its words and its figure."""
        return self.hear({"want": "answer", "part": list(_page._parts)[-1], "values": values})

    def hear(self, asked):
        told, buffers = _page.reply(_page._answers, asked)
        json.dumps(told, allow_nan=False)  # the page reads JSON
        return {**told, "figure": unpacked(told.get("figure"), buffers[0])} if buffers else told


def unpacked(value, buffer):
    """The page's own way of reading a figure, in Python."""
    if isinstance(value, list):
        return [unpacked(one, buffer) for one in value]
    if not isinstance(value, dict):
        return value
    if "v2g" in value:
        start, count, width = value["v2g"]
        array = np.frombuffer(buffer, dtype=float, count=count, offset=start)
        return array.reshape(-1, width) if width else array
    return {name: unpacked(one, buffer) for name, one in value.items()}


@pytest.fixture
def page(monkeypatch, tmp_path):
    """A page of our own; everything that is displayed stands in `page.shown`."""
    page = Page()
    for module in (_page, _explore, _quiz, figures):
        monkeypatch.setattr(module, "display", lambda *things, raw=False: page.shown.extend(things))
    for name in ("_parts", "_answers"):
        monkeypatch.setattr(_page, name, {})
    monkeypatch.setattr(_page, "wake", lambda: None)
    monkeypatch.setenv("V2GBOOK_PROGRESS", str(tmp_path))
    return page


def text(page):
    """What was shown, without the random ids of its parts."""
    shown = "\n".join(
        thing.get("text/html", "") if isinstance(thing, dict) else thing.data
        for thing in page.shown
    )
    return re.sub(r'data-part="[^"]*"', "data-part", shown)


def line(slope):
    fig = figure("time [s]", "frequency [Hz]")
    fig.add_scatter(x=np.array([0.0, 1.0]), y=np.array([0.0, slope]), name="f")
    return fig


# ----------------------------------------------------------------------------------------- explorer


def test_explorer_stores_the_start_and_an_invitation(page):
    explore(
        lambda slope: (line(slope), f"slope <b>{slope}</b>"),
        alt=ALT,
        caption="Watch it.",
        slope=slider("Slope", 0, 10, 2, step=1, unit="Hz/s"),
    )
    figure_, place, caption = page.shown
    assert figure_["application/vnd.plotly.v1+json"]["data"][0]["name"] == "f"
    assert figure_["text/plain"] == ALT
    assert "slope <b>2</b>" in place["text/html"]
    assert "Run this cell" in place["text/html"]
    assert 'data-part="' in place["text/html"]
    assert "Watch it." in caption.data
    assert not any(
        "widget" in kind
        for thing in page.shown
        for kind in (thing if isinstance(thing, dict) else {})
    )


def test_explorer_answers_every_position(page):
    explore(
        lambda slope: (line(slope), f"slope {slope}"),
        alt=ALT,
        slope=slider("Slope", 0, 10, 2, step=1, unit="Hz/s"),
    )
    told = page.ask(slope=7.0)
    assert list(told["figure"]["data"][0]["y"]) == [0, 7]
    assert told["words"] == "slope 7"
    assert "template" not in told["figure"]["layout"]


def test_whole_sliders_give_whole_numbers_and_others_floats(page):
    seen = {}
    explore(
        lambda **moved: seen.update(moved) or line(1.0),
        alt=ALT,
        a=slider("A", 0, 10, 2, step=1, unit="-"),
        b=slider("B", 0.0, 1.0, 0.5, step=0.05, unit="-"),
        c=choice("C", ["x", "y"], "x"),
    )
    page.ask(a=3, b=1, c="y")
    assert seen == {"a": 3, "b": 1.0, "c": "y"}
    assert isinstance(seen["a"], int)
    assert isinstance(seen["b"], float)
    controls = page.spec["controls"]
    assert [control["digits"] for control in controls] == [0, 2, 0]
    assert controls[2]["options"] == [
        "x",
        "y",
    ]


def test_a_draw_that_fails_is_told_and_does_not_raise(page):
    def draw(slope):
        if slope > 5:
            raise ValueError("slope must stay below 5")
        return line(slope)

    explore(draw, alt=ALT, slope=slider("Slope", 0, 10, 2, step=1, unit="Hz/s"))
    assert page.ask(slope=7)["trouble"] == "ValueError: slope must stay below 5"
    assert page.hear({"want": "answer", "part": "of another session", "values": {}})[
        "trouble"
    ].startswith("KeyError")
    assert "trouble" in page.hear({})


def test_the_library_is_the_one_that_plotly_ships(page):
    told, buffers = _page.reply({}, {"want": "library"})
    assert told == {}
    assert b"plotly.js v" in buffers[0][:200]
    assert len(buffers[0]) > 1_000_000


@pytest.mark.parametrize(
    "more, words",
    [
        ({"play": "b"}, "play = 'b'"),
        ({"positions": {"Far": {"slope": 11}}}, "must lie between 0 and 10"),
        ({"positions": {"Far": {"b": 1}}}, "there is no control b"),
    ],
)
def test_explorer_refuses_what_is_not_there(page, more, words):
    with pytest.raises(ValueError, match=words):
        explore(line, alt=ALT, slope=slider("Slope", 0, 10, 2, step=1, unit="Hz/s"), **more)


def test_explorer_needs_a_description(page):
    with pytest.raises(ValueError, match="whole sentence"):
        explore(line, alt="a line", slope=slider("Slope", 0, 10, 2, step=1, unit="Hz/s"))


def test_positions_and_play_reach_the_page(page):
    explore(
        line,
        alt=ALT,
        play="slope",
        positions={"Steep": {"slope": 9}},
        slope=slider("Slope", 0, 10, 2, step=1, unit="Hz/s"),
    )
    spec = page.spec
    assert spec["positions"] == {"Steep": {"slope": 9}}
    assert spec["reset"] == {"slope": 2}
    assert spec["play"] == {"name": "slope", "text": "Play Slope"}


@pytest.mark.parametrize(
    "low, high, value, step, words",
    [
        (10, 20, 5, 1, "Loss: value 5 must lie between 10 and 20"),
        (10, 20, 15, 0, "step 0 must be above 0"),
    ],
)
def test_slider_refuses(low, high, value, step, words):
    with pytest.raises(ValueError, match=words):
        slider("Loss", low, high, value, step=step, unit="MW")


def test_choice_refuses():
    with pytest.raises(ValueError, match="must be one of a, b"):
        choice("Kind", ["a", "b"], "c")


@pytest.mark.parametrize(
    "value",
    [
        [1.0] * 20,
        np.arange(12.0),
        np.arange(12).reshape(3, 4),
        np.array([1.0, np.nan] * 6),
        [1, None, float("nan")],
        "text",
        None,
        True,
        3,
        np.float64(2.5),
        np.array(["a", "b"]),
        np.array(["2021-01-08T14:04"], dtype="datetime64[m]"),
        {"a": {"b": (1, 2)}},
        [],
    ],
)
def test_packing_keeps_every_value(value):
    chunks = []
    told = json.loads(json.dumps(_page.packed(value, chunks), allow_nan=False))
    back = unpacked(told, b"".join(chunks))
    if isinstance(back, np.ndarray):
        assert np.array_equal(back, np.asarray(value, dtype=float), equal_nan=True)
    else:
        plain = value.astype(str).tolist() if isinstance(value, np.ndarray) else value
        assert back == json.loads(json.dumps(plain, default=float).replace("NaN", "null"))


def test_a_page_that_is_not_heard_of_is_made_anew(monkeypatch):
    """JupyterLab may lose it while it connects.

    Later it comes by itself, and running the cell again helps as well.
    """

    class Widget:
        def __init__(self, parts):
            self.parts = parts
            self.heard = False
            self.born_s = now[0]

    now, later = [100.0], []
    monkeypatch.setattr(_page, "_kind", lambda: Widget)
    monkeypatch.setattr(_page, "_pages", [])
    monkeypatch.setattr(_page, "_parts", {"1": {}})
    monkeypatch.setattr(_page.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(_page._notebook, "after", lambda seconds, work: later.append(work))
    _page.wake()
    _page.wake()
    assert len(_page._pages) == 1, "it is given some time"
    for _ in range(5):
        now[0] += _page.PATIENCE_S
        due, later[:] = list(later), []
        for work in due:
            work()
    assert len(_page._pages) == 3, "and three tries"
    assert all(page.parts == {"1": {}} for page in _page._pages)
    _page._pages[-1].heard = True
    now[0] += 100
    _page.wake()
    assert len(_page._pages) == 3


# ----------------------------------------------------------------------------------- films and bars


def test_film_stores_its_frames_and_answers_each(page):
    animate(lambda time: (line(time), f"at {time:g} s"), [0.0, 0.5, 1.0], alt=ALT)
    stored = page.shown[0]["application/vnd.plotly.v1+json"]
    assert [frame["name"] for frame in stored["frames"]] == ["0", "0.5", "1"]
    assert list(page.ask(step=2)["figure"]["data"][0]["y"]) == [0, 1]
    assert page.ask(step=1)["words"] == "at 0.5 s"
    assert "press Play" in page.shown[1]["text/html"]


@pytest.mark.parametrize("times", [[], [1.0], [2.0, 1.0]])
def test_film_needs_ascending_times(page, times):
    with pytest.raises(ValueError, match="ascending times"):
        animate(line, times, alt=ALT)


def test_film_must_be_small(page):
    def draw(time):
        fig = figure("time [s]", "power [MW]")
        return fig.add_scatter(
            x=np.linspace(0, 1, 5000), y=np.random.default_rng(int(9 * time)).random(5000)
        )

    with pytest.raises(ValueError, match="at most 300"):
        animate(draw, np.linspace(0, 1, 10), alt=ALT)


def test_what_is_measured_live_is_not_stored(page):
    live("412 calls a second", line(2))
    assert "not stored" in text(page)
    assert "412" not in text(page)
    told = page.ask()
    assert told["words"] == "412 calls a second"
    assert list(told["figure"]["data"][0]["y"]) == [0, 2]
    live("without a figure")
    assert page.ask() | {"draw_ms": 0} == {
        "words": "without a figure",
        "figure": None,
        "draw_ms": 0,
    }


def test_a_bar_of_progress_counts(page):
    done = progress("Cars", 40)
    done(9)
    done()
    assert page.spec["done"] == 10
    assert "10" not in text(page)


# --------------------------------------------------------------------------------------------- quiz

QUIZZES = sorted(_quiz.QUIZZES.glob("*.toml"))
CHAPTERS = Path(__file__).parents[1] / "chapters"


def test_quiz_shows_every_answer_with_its_verdict(page):
    quiz("nadir", "01_frequency")
    told = page.shown[0].data
    assert told.count("<details") == told.count("</details>") == 3
    assert told.count("✓ Right.") == 1
    assert told.count("✗ Not quite.") == 2
    assert "Check yourself" in told


def test_quiz_names_what_there_is(page, monkeypatch):
    with pytest.raises(ValueError, match="name = 'nix': 01_frequency.toml has the questions nadir"):
        quiz("nix", "01_frequency")
    with pytest.raises(ValueError, match="topic = '99_x'"):
        quiz("nadir", "99_x")
    monkeypatch.setattr(_quiz._notebook, "path", lambda: None)
    with pytest.raises(ValueError, match="give the topic"):
        quiz("nadir")


def test_quiz_needs_a_right_answer_and_explanations():
    with pytest.raises(ValueError, match="must be one of its answers"):
        _quiz.checked({"right": "b", "answers": [{"text": "a", "why": "because it is so"}]}, "q")
    with pytest.raises(ValueError, match="needs an explanation"):
        _quiz.checked({"right": "a", "answers": [{"text": "a", "why": "no"}]}, "q")


@pytest.mark.parametrize("path", QUIZZES, ids=lambda path: path.stem)
def test_every_quiz_is_complete_and_asked_once(path):
    questions = tomllib.loads(path.read_text(encoding="utf-8"))
    for name, asked in questions.items():
        assert len(_quiz.checked(asked, name)["answers"]) >= 3
    cells = shelf.notebook(CHAPTERS / f"{path.stem}.ipynb").cells
    asked = [found[1] for cell in cells if (found := re.fullmatch(r'quiz\("(.+)"\)', cell.source))]
    assert sorted(asked) == sorted(questions)


# ---------------------------------------------------------------------------------------- inventory


def questions():
    return tomllib.loads(_quiz.INVENTORY.read_text(encoding="utf-8"))["question"]


def test_inventory_before_and_after_tells_the_gain(page, tmp_path):
    right = [asked["right"] for asked in questions()]
    wrong = [(asked["right"] + 1) % len(asked["answers"]) for asked in questions()]
    inventory("before")
    before = page.ask(chosen=wrong)["words"]
    assert "0 of 20 right" in before
    assert "<li>" not in before
    inventory("after")
    after = page.ask(chosen=right)["words"]
    assert "20 of 20 right" in after
    assert "100%" in after
    assert "after 20, before 0" in (tmp_path / "MY_PROGRESS.md").read_text(encoding="utf-8")


def test_after_the_course_each_wrong_answer_is_explained(page):
    inventory("after")
    wrong = [(asked["right"] + 1) % len(asked["answers"]) for asked in questions()]
    assert page.ask(chosen=wrong)["words"].count("<li>") == 20


def test_inventory_that_cannot_be_saved_is_counted_all_the_same(page, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_quiz, "save_inventory", full)
    inventory("before")
    assert "could not be saved (No space left on device)" in page.ask(chosen=[0] * 20)["words"]


def test_inventory_questions_are_complete():
    assert len(questions()) == 20
    assert len({asked["topic"] for asked in questions()}) == 17
    for asked in questions():
        assert len(asked["answers"]) == len(asked["why"]) >= 3
        assert 0 <= asked["right"] < len(asked["answers"])


def test_inventory_knows_its_stages():
    with pytest.raises(ValueError, match='must be "before" or "after"'):
        inventory("now")


def test_gain_words():
    assert "gained 50%" in _quiz.gain_words({"before": 10, "after": 15}, 20)
    assert "no result from before" in _quiz.gain_words({"after": 15}, 20)
    assert "again at the end" in _quiz.gain_words({"before": 20}, 20)
