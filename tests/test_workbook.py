"""The exercise sheets in a student's hands.

Checks that never stop the notebook, own numbers, presets, and progress that is never lost.
"""

import asyncio
import html.parser
import itertools
import json
import linecache
import math
import os
import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from v2gbook.classroom import _answers, _notebook, _progress, _student, presets, workbook

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """Everything that is displayed, and progress in a folder of its own."""
    seen = []
    monkeypatch.setattr(workbook, "display", seen.append)
    monkeypatch.setenv("V2GBOOK_PROGRESS", str(tmp_path))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return seen


def text(shown):
    """All that was displayed; it must be text that a browser can be sent."""
    said = "\n".join(thing.data for thing in shown)
    said.encode("utf-8")
    return said


def entry(kind, **facts):
    """A question of a sheet as it is stored."""
    return {
        "kind": kind,
        "marks": 4,
        "unit": "MW",
        "tol": 0.01,
        "numbers": facts.get("name", "Q1"),
        "hints": [],
        "probes": [],
        "rises_with": [],
        "given": {},
        "answers": {},
        "score": "",
        "hides": [],
    } | facts


def same_for_all(topic, name, right, wrong=()):
    """Stored answers of a value question with the same numbers for all students and presets."""

    def stored(label):
        return {
            "right": _answers.digests(label, _answers.summary(right), 0.01),
            "wrong": [_answers.digests(label, _answers.summary(one), 0.01) for one in wrong],
        }

    return {
        key: [stored(f"{topic}|{name}|{key}|{variant}") for variant in range(workbook.VARIANTS + 1)]
        for key in presets.names()
    }


SCORE = """
full = 1.0


def helper(design):
    return design["x"] / full


def score(design):
    return helper(design), f"x is {design['x']}"
"""
CALLING = """
secret = 1.0


def score(design):
    return design() / secret, "measured"
"""
PROBES = [{"values": [3.0, 1.0, 2.0]}, {"values": [5.0, 4.0, 9.0]}]


@pytest.fixture
def tiny(monkeypatch, tmp_path, shown):
    """A sheet of which the answers are known: 42, the smallest value, a design, and an array."""
    topic = "01_tiny"
    questions = {
        "Q1": entry(
            "value",
            answers=same_for_all(topic, "Q1", 42.0, [21.0]),
            hints=["half is missing"],
            given={key: [{"x": [1, [2, 3]]}] * 65 for key in presets.names()},
        ),
        "Q2": entry(
            "function",
            probes=PROBES,
            right=_answers.digests(f"{topic}|Q2", [1.0, 4.0], 0.01),
            wrong=[],
        ),
        "Q3": entry("design", score=SCORE),
        "Q4": entry(
            "value", answers=same_for_all(topic, "Q4", [1.0, 2.0, -3.0, 3.0, 5.0, 7.0]), name="Q4"
        ),
    }
    folder = tmp_path / "checks"
    folder.mkdir()
    sheet = {"title": "1 · Tiny", "questions": questions}
    (folder / f"{topic}.json").write_text(json.dumps(sheet), encoding="utf-8")
    monkeypatch.setattr(_answers, "CHECKS", folder)
    _answers.sheet.cache_clear()
    yield workbook.Workbook(topic)
    _answers.sheet.cache_clear()


def own_score(source=SCORE):
    """The sheet's score, run as a notebook's kernel runs a cell: it keeps the text."""
    file, names = f"<cell {abs(hash(source))}>", {}
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    exec(compile(source, file, "exec"), names)
    return names["score"]


def book(**more):
    return workbook.Workbook("01_frequency", **more)


# ------------------------------------------------------------------------------------- own numbers


def test_own_numbers_differ_and_repeat():
    a, b = book(student="ada"), book(student="grace")
    assert a.given("Q1") == book(student=" ada ").given("Q1")
    assert a.given("Q1") != b.given("Q1")
    assert book().variant("Q1") == 0
    spread = {book(student=str(i)).variant("Q1") for i in range(500)}
    assert spread == set(range(1, 65))


JOSE = "José Núñez"


@pytest.mark.parametrize(
    "twin",
    [
        unicodedata.normalize("NFD", JOSE),
        "José  Núñez",
        " josé núñez ",
        "JOSÉ NÚÑEZ",
        "José\N{NO-BREAK SPACE}Núñez",
        "José\tNúñez",
        "Ｊｏｓé Núñez",
        "Jo\N{ZERO WIDTH SPACE}sé Núñez",
        "José\N{IDEOGRAPHIC SPACE}Núñez",
        "\N{RIGHT-TO-LEFT MARK}José Núñez",
        "José\nNúñez",
    ],
)
def test_names_that_look_the_same_are_the_same(twin):
    for question in ("Q1", "Q2", "Q5"):
        assert book(student=twin).variant(question) == book(student=JOSE).variant(question)


@pytest.mark.parametrize(
    "one, other",
    [
        ("O'Neill", "O’Neill"),
        ("Anne-Marie", "anne\N{NON-BREAKING HYPHEN}marie"),
        ("Straße", "STRASSE"),
        ("s１２３", "S123"),
        ("ﬁona", "Fiona"),
    ],
)
def test_more_names_that_look_the_same(one, other):
    assert _student.same_name(one) == _student.same_name(other)


@pytest.mark.parametrize(
    "one, other", [("Jose", "José"), ("Ann Lee", "Annlee"), ("s123456", "s123457")]
)
def test_names_that_differ_stay_different(one, other):
    assert _student.same_name(one) != _student.same_name(other)


@relaxed
@given(st.text())
def test_any_text_is_a_name(name):
    """Its normal form and the blanks around it make no difference, and nothing raises."""
    plain = _student.same_name(name)
    assert plain == _student.same_name(plain) == _student.same_name(f"  {name} ")
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert _student.same_name(unicodedata.normalize(form, name)) == plain
    assert 0 <= book(student=name).variant("Q1") <= 64


def test_names_without_a_visible_letter_get_the_book_s_numbers():
    assert book(student=" \N{ZERO WIDTH SPACE}\ud800").variant("Q1") == 0


def test_given_numbers_are_a_copy(tiny):
    numbers = tiny.given("Q1")
    numbers["x"][1].append(4)
    numbers["x"].sort(key=str)
    assert tiny.given("Q1") == {"x": [1, [2, 3]]}


@pytest.mark.parametrize("question", ["Q99", 1, None, ["Q1"], {"Q1": 1}])
def test_given_names_the_questions_that_there_are(question):
    with pytest.raises(ValueError, match="has no question .*; it has Q1, Q2"):
        book().given(question)


def test_unknown_exercise_and_student():
    with pytest.raises(ValueError, match="no exercise '99_x'; there are 01_frequency"):
        workbook.Workbook("99_x")
    with pytest.raises(ValueError, match="in quotes"):
        workbook.Workbook("01_frequency", student=123)


# ------------------------------------------------------------------------------- what a check says


def test_a_verdict_has_a_sign_a_word_and_a_class(tiny, shown):
    tiny.check("Q1", 42.0)
    tiny.check("Q1", 40.0)
    tiny.check("Q1")
    tiny.check("Q3", {"x": 0.5}, own_score())
    assert [thing.data for thing in shown] == [
        '**Q1** <span class="v2g-right">✓ right 4/4</span>',
        '**Q1** <span class="v2g-wrong">✗ not right 0/4</span>: '
        "not within 1 % yet. The answer is wanted in MW.",
        '**Q1** <span class="v2g-open">○ not attempted 0/4</span>',
        '**Q3** <span class="v2g-partly">◐ partly 2/4</span>: x is 0.5',
    ]


@pytest.mark.parametrize(
    "answer, words",
    [
        (..., "○ not attempted 0/4"),
        (None, "○ not attempted 0/4"),
        ("42", "wants a number, not str"),
        ([], "is empty"),
        (float("nan"), "NaN"),
        ([42.0, 2.0], "a single number"),
        (abs, "not a function"),
        ({"a": 1}, "wants a number, not dict"),
        (0, "not within 1 %"),
        (float("inf"), "not within"),
        (1e300, "not within"),
        (True, "wants a number, not bool"),
        (np.array(["42"]), "wants a number, not ndarray"),
        (42 + 0j, "a real number; take its magnitude or its real part"),
        (np.complex128(42 + 3j), "a real number"),
        (np.array([42 + 0j]), "a real number"),
        ([42 + 1j, "a"], "wants a number"),
        (pd.Series([42 + 1j], dtype=object), "a real number"),
        (10**400, "could not be read as a number"),
        (np.ma.masked_array([42.0], mask=[True]), "masked"),
        (pd.Timestamp("2024-01-01"), "wants a number, not Timestamp"),
        ([[1], [2, 3]], "one flat list of numbers"),
        (("42", "43"), "one flat list of numbers"),
        (-42.0, "off by the sign"),
        (0.042, "a factor of 1000"),
        (21.0, "half is missing"),
        (np.array([None]), "contains NaN"),
    ],
)
def test_a_wrong_answer_is_told_in_words(tiny, shown, answer, words):
    tiny.check("Q1", answer)
    assert words in text(shown)


@pytest.mark.parametrize(
    "answer",
    [
        42,
        42.0,
        np.float64(42),
        np.array(42.0),
        np.array([42.0]),
        pd.Series([42.3]),
        np.float32(41.9),
        "fraction",
    ],
)
def test_a_right_answer_may_have_any_numeric_type(tiny, shown, answer):
    from fractions import Fraction

    tiny.check("Q1", Fraction(84, 2) if isinstance(answer, str) else answer)
    assert "✓ right 4/4" in text(shown)


def test_marks_of_the_sheet(tiny, shown):
    tiny.check("Q1", 42.0)
    tiny.score()
    said = text(shown)
    assert "**Exercise 1 · Tiny** 4/16 by checks; written answers are marked by hand." in said
    assert "Not run yet: Q2, Q3, Q4." in said


def test_a_function_that_breaks_a_law_gets_half():
    asked = {"rises_with": ["x"], "probes": [{"x": 1.0}]}
    share, words = workbook._lawful(lambda x: -x, asked)
    assert share == 0.5
    assert words == "right on the examples, but the result falls when `x` rises; should it?"
    assert workbook._lawful(lambda x: x, asked) == (1.0, "")
    assert workbook._lawful(lambda x: 1 + 1e-15 * math.sin(1e3 * x), asked) == (1.0, "")
    assert workbook._lawful(lambda x: math.inf, asked) == (1.0, "")


def test_a_law_is_tried_on_a_function_that_may_do_anything():
    asked = {"rises_with": ["x"], "probes": [{"x": 1.0}]}

    def moody(x):
        if x > 1:
            raise SystemExit("enough")
        return x

    share, words = workbook._lawful(moody, asked)
    assert share == 0.5
    assert "SystemExit: enough" in words


# ---------------------------------------------------------------------------- the stated tolerance


@relaxed
@given(
    value=st.floats(1e-9, 1e9) | st.floats(-1e9, -1e-9),
    tol=st.sampled_from([0.01, 0.03, 0.08, 0.12]),
    share=st.floats(-3, 3),
)
def test_what_is_accepted_lies_within_the_stated_tolerance(value, tol, share):
    """1 % is 1 %: what is nearer is accepted, what is 2 % of the tolerance farther away is not."""
    stored = _answers.digests("k", [value], tol)
    accepted = _answers.matches("k", [value * (1 + share * tol)], stored, tol)
    assert _answers.alike([value * (1 + share * tol)], [value], tol) == accepted
    if abs(share) < 0.999:
        assert accepted
    if abs(share) > 1.03:
        assert not accepted
    assert not _answers.matches("k", [-value], stored, tol)
    assert not _answers.matches("other", [value], stored, tol)


def test_zero_and_infinity_match_themselves():
    for value in (0.0, math.inf, -math.inf):
        stored = _answers.digests("k", [value], 0.01)
        others = (0.0, math.inf, -math.inf, 5.0)
        assert [_answers.matches("k", [other], stored, 0.01) for other in others].count(True) == 1
        assert [_answers.alike([other], [value], 0.01) for other in others].count(True) == 1
    assert _answers.matches("k", [1e-17], _answers.digests("k", [0.0], 0.01), 0.01)


@pytest.mark.parametrize(
    "answer, words",
    [
        ([1.0, 2.0, -3.0, 3.0, 5.0, 7.0], "✓ right"),
        (np.array([1.005, 2.01, -3.0, 3.0, 4.96, 7.0]), "✓ right"),
        ([1.0, 5.0, 3.0, -3.0, 2.0, 7.0], "not within 1 %"),
        ([1.0, 2.0, 3.0, -3.0, 5.0, 7.0], "not within"),
        ([1.0, 2.0, -3.0], "has 3 entries"),
        (1.0, "should be an array"),
        ([-1.0, -2.0, 3.0, -3.0, -5.0, -7.0], "the sign"),
        ([1e3, 2e3, -3e3, 3e3, 5e3, 7e3], "factor of 1000"),
        (np.ones(6) + 1j, "a real number"),
    ],
)
def test_arrays_are_judged_entry_by_entry(tiny, shown, answer, words):
    tiny.check("Q4", answer)
    assert words in text(shown)


@relaxed
@given(
    st.lists(st.sampled_from([-4.0, -1.0, 0.0, 1.0, 2.0, 3.0]), min_size=2, max_size=12),
    st.randoms(use_true_random=False),
)
def test_no_other_order_passes_even_where_the_sum_is_zero(values, luck):
    stored = _answers.digests("k", _answers.summary(values), 0.01)
    mixed = luck.sample(values, len(values))
    assert _answers.matches("k", _answers.summary(mixed), stored, 0.01) == (mixed == values)


def test_rounding_errors_in_an_array_count_as_zero():
    assert _answers.summary([1e-15, 5.0, -1e-12, np.inf]) == [0.0, 5.0, 0.0, np.inf]
    assert _answers.summary([1e-15]) == [1e-15]
    assert _answers.summary(3) == [3.0]


# ----------------------------------------------------------------------------------------- attacks


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


class Hostile:
    """Raises at whatever is asked of it."""

    def refuse(self, *args, **kwargs):
        raise SystemExit("no")

    __array__ = __eq__ = __repr__ = __str__ = __len__ = __iter__ = __getitem__ = refuse
    __float__ = __bool__ = __deepcopy__ = __copy__ = refuse
    __hash__ = None

    def __getattr__(self, name):
        raise KeyboardInterrupt


class Text(str):
    """A text that raises when it is compared or hashed."""

    def refuse(self, *args):
        raise RuntimeError("no")

    __hash__ = __eq__ = __str__ = __repr__ = __format__ = refuse


def deep():
    nest = []
    for _ in range(100_000):
        nest = [nest]
    return nest


def fail(error):
    def function(*args, **kwargs):
        raise error

    return function


def endless(*args, **kwargs):
    return endless(*args, **kwargs)


def holding(thing):
    array = np.empty(1, dtype=object)
    array[0] = thing
    return array


def mutual(values):
    values.append(values)
    raise ValueError(values)


ERRORS = [
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    MemoryError(),
    asyncio.CancelledError(),
    OverflowError(34, "large"),
    StopIteration(),
    Unspeakable(),
    ValueError("\ud800 lone"),
    ValueError("x" * 10**6),
    ValueError("$a$ *b* <script>alert(1)</script> [l](u) `c` \\(d\\)"),
    ExceptionGroup("g", [ValueError("a")]),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"),
    type("E$x$<b>", (Exception,), {})("x"),
    Exception(deep()),
]
FUNCTIONS = [
    *map(fail, ERRORS),
    endless,
    mutual,
    lambda: 1,
    lambda values: deep(),
    lambda values: Hostile(),
    lambda values: (x for x in values),
    lambda values: print,
    lambda values: [],
    lambda values: np.nan,
    lambda values: 1j,
    lambda values: "5",
    lambda values: values,
    lambda **k: 10**400,
    lambda values: float("inf"),
    int,
    Hostile,
    type,
    print,
    lambda values: pd.DataFrame(),
    lambda values: (1, 2, [3]),
]
THINGS = [
    Hostile(),
    deep(),
    "\ud800",
    b"\xff",
    10**400,
    [10**400],
    {1, 2},
    object(),
    type,
    range(10**7),
    [None],
    [[1], [2, 3]],
    holding(Hostile()),
    NotImplemented,
    pd.NA,
    pd.NaT,
    np.datetime64("NaT"),
    Text("Q1"),
    np.zeros((2, 0)),
    np.void(b"abc"),
    memoryview(b"abc"),
    slice(1),
    float("-inf"),
    -0.0,
    "x" * 10**6,
    iter([1]),
]


@pytest.mark.parametrize("question", ["Q1", "Q2", "Q3", "Q4"])
def test_check_survives_every_answer(tiny, shown, question):
    for answer in [*THINGS, *FUNCTIONS]:
        tiny.check(question, answer, own_score())
    assert len(shown) == len(THINGS) + len(FUNCTIONS)
    assert "cut short" not in text(shown)
    assert "right" in text(shown)
    assert "✓" not in text(shown)
    assert all(len(thing.data) < 2500 for thing in shown)
    assert not any(
        mark in text(shown) for mark in ("<script>", "$a$", "*b*", "[l](u)", "`c`", "x" * 400)
    )
    assert tiny.results[question] == (0.0, 4)


def test_check_survives_every_function_and_every_score(tiny, shown):
    for function in FUNCTIONS:
        tiny.check("Q2", function)
        tiny.check("Q3", {"x": 1.0}, function)
    for thing in THINGS:
        tiny.check("Q3", {"x": 1.0}, thing)
    said = text(shown)
    assert "✓" not in said
    assert "cut short" not in said
    for words in (
        "your function raised SystemExit: 3",
        "KeyboardInterrupt",
        "RecursionError",
        "its message cannot be read",
        "could not be measured",
    ):
        assert words in said


@relaxed
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.complex_numbers()
        | st.text()
        | st.binary(),
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_check_survives_any_plain_value(tiny, shown, value):
    shown.clear()
    for question in (*tiny.questions, value):
        tiny.check(question, value, lambda design: value)
    assert len(shown) == 5
    assert text(shown)


UNKNOWN = [
    1,
    3.0,
    None,
    1.5,
    ["Q1"],
    {"Q1"},
    "Q99",
    "q1",
    "",
    b"Q1",
    "<script>",
    "\ud800",
    "$x$",
    "x" * 10**5,
    np.array(["Q1", "Q2"]),
    ...,
    Hostile(),
    Text("Q1"),
]


@pytest.mark.parametrize("number", range(len(UNKNOWN)))
def test_an_unknown_question_is_answered_and_not_recorded(tiny, shown, number, tmp_path):
    tiny.check(UNKNOWN[number], 42.0)
    for words in ("✗ no such question", "this sheet has no question", "it has Q1, Q2, Q3, Q4"):
        assert words in text(shown)
    assert "<script>" not in text(shown)
    assert "$x$" not in text(shown)
    assert len(text(shown)) < 600
    assert tiny.results == {}
    assert {path.name for path in tmp_path.iterdir()} == {"checks"}
    tiny.check("Q1", 42.0)
    tiny.score()
    assert tiny.results == {"Q1": (4.0, 4)}
    assert "4/16 by checks" in text(shown)


def test_a_check_without_arguments(tiny, shown):
    tiny.check()
    assert "no question None" in text(shown)


def test_a_check_that_is_interrupted_says_so(tiny, shown, monkeypatch):
    monkeypatch.setattr(tiny, "_verdict", fail(KeyboardInterrupt()))
    tiny.check("Q1", 42.0)
    assert "cut short by KeyboardInterrupt. Run the cell again." in text(shown)


def test_a_function_cannot_poison_later_checks(tiny, shown):
    """Examples are copied for every call; changing them in place harms nobody else."""

    def sorting(values):
        values.sort()
        return values.pop(0)

    def converting(values):
        for i in range(len(values)):
            values[i] /= 1000
        return min(values)

    def right(values):
        return min(values)

    for _ in range(3):
        for function in (converting, lambda values: values.clear(), sorting, right):
            tiny.check("Q2", function)
    verdicts = [thing.data.partition("</span>")[0].partition(">")[2] for thing in shown]
    assert verdicts == ["✗ not right 0/4", "○ not attempted 0/4", "✓ right 4/4", "✓ right 4/4"] * 3
    assert tiny.questions["Q2"]["probes"] == PROBES


def test_a_score_cannot_change_the_design(tiny, shown):
    design = {"x": 0.5, "list": [1]}
    tiny.check(
        "Q3",
        design,
        own_score(SCORE.replace("return design", "design['list'].clear(); return design")),
    )
    assert design == {"x": 0.5, "list": [1]}


@pytest.mark.parametrize(
    "result",
    [
        (0.5, 3),
        (math.nan, "x"),
        None,
        "text",
        (0.5,),
        (0.5, "a", "b"),
        (-1, "x"),
        (1.5, "x"),
        ("half", "x"),
        (1j, "x"),
        0.5,
        [],
        ([0.5], None),
    ],
)
def test_a_score_that_returns_rubbish_gets_a_sentence(tiny, shown, result):
    tiny.check("Q3", {"x": 1}, lambda design: result)
    assert "it must return a share from 0 to 1 and a sentence" in text(shown)
    assert "✗ not right 0/4" in text(shown)


def test_the_score_function_must_be_given(tiny, shown):
    tiny.check("Q3", {"x": 1})
    assert "give the score function too" in text(shown)


def test_only_the_sheet_s_own_score_is_recorded(tiny, shown, tmp_path):
    tiny.check("Q3", {"x": 1.0}, lambda design: (1.0, "mine"))
    assert "✓ right 4/4</span>: mine (this was measured with another score function" in text(shown)
    assert tiny.results == {}
    assert not (tmp_path / "progress").exists()
    tiny.check("Q3", {"x": 0.5}, own_score())
    assert tiny.results == {"Q3": (2.0, 4)}
    assert (tmp_path / "progress/01_tiny/Q3 2").exists()


@pytest.mark.parametrize(
    "source",
    [
        SCORE.replace('design["x"] / full', "1.0"),
        SCORE.replace("return helper(design)", "return 1.0"),
        SCORE + "\n\nhelper = lambda design: 1.0\n",
        SCORE + "\n\nscore = lambda design: (1.0, 'mine')\n",
        SCORE.replace("def helper", "def other").replace("helper(", "other("),
    ],
)
def test_another_score_is_noticed(tiny, source):
    stored = tiny.questions["Q3"]["score"]
    assert workbook._is_own(own_score(), stored)
    assert not workbook._is_own(own_score(source), stored)


def test_a_score_is_measured_with_the_sheet_s_own_data(tiny, shown):
    score = own_score()
    score.__globals__["full"] = 0.5
    tiny.check("Q3", {"x": 0.5}, score)
    assert score({"x": 0.5})[0] == 1.0, "the student's copy is the student's"
    assert tiny.results == {"Q3": (2.0, 4)}


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ([], True),
        ([1.0, 2.0, 4.0], True),
        ([100.0, 300.0, 98.0], True),
        ([100.0, 300.0, 99.0], False),
        ([100.0, -100.0, 0.0], True),
        ([0.0, 0.0], False),
        ([[1.0, 2.0], [1.0, 3.0], [1.001, 4.0]], True),
        ([[1.0, 2.0], [1.0, 3.0], [1.001, 2.01]], False),
    ],
)
def test_answers_that_a_check_can_tell_apart(answers, wanted):
    for order in itertools.permutations(answers):
        assert workbook.apart(iter(order)) is wanted


def test_small_answers_can_be_refused():
    assert workbook.apart([2.0, 5.0], least=2.0)
    assert not workbook.apart([2.0, 5.0], least=2.1)


def test_ways_are_not_tried_further_when_two_are_alike():
    def answers():
        yield from (1.0, 1.0)
        raise AssertionError("a third way was tried")

    assert not workbook.apart(answers())


def test_a_design_does_not_find_what_is_hidden_from_it(tiny, shown):
    """Whatever becomes of the measurement, the notebook has its names again afterwards."""
    score = own_score(CALLING)
    notebook = score.__globals__
    tiny.questions["Q3"] = entry("design", score=CALLING, hides=["secret", "unused"])
    exec("def honest(): return 0.5", notebook)
    exec("def peeking(): return secret", notebook)
    exec("def stopping(): raise KeyboardInterrupt", notebook)
    tiny.check("Q3", notebook["honest"], score)
    assert tiny.results == {"Q3": (2.0, 4)}
    tiny.check("Q3", notebook["peeking"], score)
    assert tiny.results == {"Q3": (0.0, 4)}
    assert "secret is hidden while a design is measured" in text(shown)
    tiny.check("Q3", notebook["stopping"], score)
    assert notebook["secret"] == 1.0
    assert "unused" not in notebook


def test_numbers_of_the_book_are_told_from_wrong_ones(tiny, shown, monkeypatch):
    label = "01_tiny|Q1"
    for key in presets.names():
        sets = tiny.questions["Q1"]["answers"][key]
        sets[5] = {"right": _answers.digests(f"{label}|{key}|5", [50.0], 0.01), "wrong": []}
    monkeypatch.setattr(tiny, "variant", lambda _: 5)
    tiny.check("Q1", 42.0)
    assert "right for the book's numbers, not for yours" in text(shown)
    tiny.check("Q1", 50.0)
    assert "✓ right 4/4" in text(shown)


@pytest.mark.parametrize(
    "question, answer, words",
    [
        ("Q2", lambda values: values[0], "not within 1 % yet."),
        ("Q2", lambda values: 1.0, "not within 1 % yet; 1 of 2 examples are right"),
        ("Q4", [1.0, 2.0, 9.0, 3.0, 5.0, 9.0], "not within 1 % yet; 4 of 6 numbers are right"),
    ],
)
def test_a_check_says_how_many_are_right(tiny, shown, question, answer, words):
    tiny.check(question, answer)
    assert words in text(shown)


def test_a_function_that_returns_something_only_now_and_then_is_no_empty_one(tiny, shown):
    tiny.check("Q2", lambda values: 4.0 if len(values) > 9 else None)
    assert "○ not attempted" in text(shown)
    tiny.check("Q2", lambda values: min(values) if 9.0 in values else None)
    assert "on the example (values=" in text(shown)
    assert "returns nothing here" in text(shown)


def test_a_function_with_other_arguments_is_told_so(tiny, shown):
    tiny.check("Q2", lambda numbers: min(numbers))
    assert "keep the names of its arguments" in text(shown)


def test_a_forgotten_name_is_told(tiny, shown):
    tiny.score()
    assert "No name was given, so these are the book's numbers." in text(shown)
    shown.clear()
    workbook.Workbook("01_tiny", student="ada").score()
    assert "No name was given" not in text(shown)


def test_what_is_no_function_of_the_notebook_is_not_the_sheet_s_score(tiny):
    for thing in (None, 5, print, Hostile(), int, abs, np.sin):
        assert not workbook._is_own(thing, tiny.questions["Q3"]["score"])


def test_the_sheet_s_score_is_recognised_in_a_notebook(tiny):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    try:
        shell.run_cell(SCORE)
        assert workbook._is_own(shell.user_ns["score"], tiny.questions["Q3"]["score"])
        shell.run_cell("def helper(design):\n    return 1.0")
        assert not workbook._is_own(shell.user_ns["score"], tiny.questions["Q3"]["score"])
    finally:
        InteractiveShell.clear_instance()


# -------------------------------------------------------------------------------- a student's text


class Words(html.parser.HTMLParser):
    """Text and tags of a page."""

    def __init__(self, page):
        super().__init__()
        self.text, self.tags = "", set()
        self.feed(page)
        self.close()

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)


@relaxed
@given(
    st.text(
        st.sampled_from("ab$\\*_`[](){}<>&#|~!-+. 1\n\té\ud800\u202e\x00") | st.characters(),
        max_size=80,
    )
)
def test_quoted_text_is_shown_letter_by_letter(written):
    """Through Jupyter's own Markdown nothing but the letters comes out."""
    from nbconvert.filters.markdown import markdown2html

    page = Words(markdown2html(f"**Q1** wrong: it said {_student.quoted(written)}."))
    plain = " ".join("".join(_student._printable(letter) for letter in written).split())
    assert page.text.strip() == f"Q1 wrong: it said {plain}."
    assert page.tags <= {"p", "strong", "span"}


def test_a_dollar_and_a_backslash_never_begin_mathematics():
    shown = _student.quoted("$5 and \\(x\\)")
    assert shown == r"<span>\$</span>5 and <span>&#92;</span>(x<span>&#92;</span>)"


def test_quoted_text_is_cut():
    assert _student.quoted("y" * 1000) == "y" * 199 + "…"


# ---------------------------------------------------------------------------------------- progress


def read(path):
    return path.read_text(encoding="utf-8")


def test_progress_keeps_the_best_and_writes_a_page(shown, tmp_path):
    for question, marks in (("Q1", 3.0), ("Q2", 0.0), ("Q1", 0.0), ("Q2", 3.5)):
        _progress.record("01_frequency", question, marks)
    assert _progress.best("01_frequency") == {"Q1": 3.0, "Q2": 3.5}
    of = sum(_answers.marks("01_frequency").values())
    row = f"[Exercise 1 · Frequency](exercises/01_frequency.ipynb) | 6.5 of {of} | Q1 3, Q2 3.5 |"
    assert row in read(tmp_path / "MY_PROGRESS.md")


def test_a_check_writes_progress(tiny, shown, tmp_path):
    tiny.check("Q1", 42.0)
    tiny.check("Q1", 1.0)
    tiny.check("Q2")
    assert {path.name for path in (tmp_path / "progress/01_tiny").iterdir()} == {"Q1 4", "Q1 0"}
    assert _progress.best("01_tiny") == {"Q1": 4.0}
    row = "| [Exercise 1 · Tiny](exercises/01_tiny.ipynb) | 4 of 16 | Q1 4 |"
    assert row in read(tmp_path / "MY_PROGRESS.md")


def test_the_picture_is_a_ring_and_then_a_tick(tiny, shown, tmp_path):
    def picture():
        drawing = ElementTree.parse(tmp_path / "progress/01_tiny.svg").getroot()
        ring = [
            circle.get("stroke-dasharray")
            for circle in drawing.iter("{http://www.w3.org/2000/svg}circle")
            if circle.get("stroke-dasharray")
        ]
        return drawing.find("{http://www.w3.org/2000/svg}title").text, ring

    tiny.check("Q1", ...)
    assert not (tmp_path / "progress").exists()
    tiny.check("Q1", 1.0)
    assert picture() == ("Exercise 1 · Tiny: 0 of 16 marks", ["0 100"])
    tiny.check("Q1", 42.0)
    assert picture() == ("Exercise 1 · Tiny: 4 of 16 marks", ["25 100"])
    for question in ("Q2", "Q3", "Q4"):
        _progress.record("01_tiny", question, 4.0)
    assert picture() == ("Exercise 1 · Tiny: 16 of 16 marks", [])


def contrast(colour, page):
    """Contrast of two colours as WCAG 2 defines it."""

    def light(code):
        parts = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(
            w * (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4)
            for w, c in zip((0.2126, 0.7152, 0.0722), parts)
        )

    high, low = sorted((light(colour), light(page)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
def test_the_picture_can_be_told_from_the_page(page):
    for colour in ("#0a7d5e", "#0072B2"):
        assert colour in _progress.TICK + _progress.RING
        assert contrast(colour, page) >= 3


@pytest.mark.parametrize(
    "odd",
    [
        "Q1",
        "Q1 9999",
        "Q1 -3",
        "Q1 nan",
        "Q77 3",
        "notes.txt",
        "Q1 2.25",
        "Q1 " + "9" * 200,
        ".DS_Store",
    ],
)
def test_odd_files_among_the_marks_harm_nothing(shown, tmp_path, odd):
    _progress.record("01_frequency", "Q2", 2.0)
    (tmp_path / "progress/01_frequency" / odd).touch()
    _progress.record("01_frequency", "Q2", 1.0)
    best = _progress.best("01_frequency")
    assert best["Q2"] == 2.0
    assert best.get("Q1", 0) <= _answers.marks("01_frequency")["Q1"]


def test_an_old_progress_file_is_taken_over_once(tmp_path, shown):
    old = {
        "01_frequency": {"marks": {"Q1": 3, "Q2": 1.5}, "of": 22},
        "inventory": {"marks": {"before": 7}, "of": 20},
    }
    (tmp_path / "progress.json").write_text(json.dumps(old), encoding="utf-8")
    assert _progress.record("01_frequency", "Q2", 1.0) == ""
    assert _progress.best("01_frequency") == {"Q1": 3.0, "Q2": 1.5}
    assert not (tmp_path / "progress.json").exists()
    assert json.loads(read(tmp_path / "progress.json.old")) == old
    page = read(tmp_path / "MY_PROGRESS.md")
    assert "Q1 3, Q2 1.5" in page
    assert "| of 20 | before 7 |" in page


DAMAGED = [
    "{",
    "[]",
    '{"01_frequency": 5}',
    '{"01_frequency": {"marks": []}}',
    "\x00",
    '{"01_frequency": {"of": 22, "marks": {"Q1": "three"}}}',
    "[" * 100_000,
    '{"a": ' * 5000 + "1" + "}" * 5000,
    '{"01_frequency": {"of": 22, "marks": {"Q1": %s}}}' % ("9" * 400),
    '{"01_frequency": {"of": 22, "marks": {"Q1": NaN}}}',
    '{"01_frequency": {"of": 22, "marks": {"Q1": %s}}}' % ("9" * 5000),
    '{"\\ud800": {"of": 22, "marks": {"Q1": 1}}}',
    '{"01_frequency": {"of": 22, "marks": {"\\ud800": 1}}}',
    '{"../../etc": {"of": 22, "marks": {"Q1": 1}}}',
    '{"01_frequency": {"of": 22, "marks": {"Q1": true}}}',
]


@pytest.mark.parametrize("rubbish", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_progress_file_is_kept_aside(tiny, tmp_path, shown, rubbish):
    (tmp_path / "progress.json").write_text(rubbish, encoding="utf-8")
    tiny.check("Q1", 42.0)
    assert "✓ right" in text(shown)
    assert "progress.json could not be read; it was kept as progress.json.bad1" in text(shown)
    assert read(tmp_path / "progress.json.bad1") == rubbish
    assert _progress.best("01_tiny") == {"Q1": 4.0}
    (tmp_path / "progress.json").write_bytes(b"\xff\xfe{")
    tiny.check("Q1", 42.0)
    assert (tmp_path / "progress.json.bad2").exists()


@pytest.mark.parametrize("rubbish", DAMAGED[:11], ids=range(11))
def test_a_damaged_inventory_file_is_kept_aside(tmp_path, shown, rubbish):
    (tmp_path / "progress").mkdir()
    (tmp_path / "progress/inventory.json").write_text(rubbish, encoding="utf-8")
    assert _progress.save_inventory("after", 12, 20) == {"after": 12}
    assert (tmp_path / "progress/inventory.json.bad1").read_text(encoding="utf-8") == rubbish


def test_the_inventory_keeps_both_results(tmp_path, shown):
    assert _progress.save_inventory("before", 7, 20) == {"before": 7}
    assert _progress.save_inventory("after", 15, 20) == {"before": 7, "after": 15}
    kept = json.loads(read(tmp_path / "progress/inventory.json"))
    assert kept == {"right": {"before": 7, "after": 15}, "of": 20}
    assert "| of 20 | after 15, before 7 |" in read(tmp_path / "MY_PROGRESS.md")


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (RuntimeError("odd"), "RuntimeError: odd"),
    ],
)
def test_a_full_disk_loses_no_old_mark_and_stops_no_check(
    tiny, tmp_path, shown, monkeypatch, error, words
):
    tiny.check("Q1", 42.0)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(Path, "touch", fail(error))
    monkeypatch.setattr(os, "replace", fail(error))
    monkeypatch.setattr(_progress.time, "sleep", lambda seconds: None)
    tiny.check("Q1", 42.0)
    said = text(shown)
    assert f"progress could not be saved ({words}); your answer was checked all the same" in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_file_that_is_being_read_is_replaced_a_moment_later(tmp_path, monkeypatch):
    tries = []

    def busy(source, target, really=os.replace):
        tries.append(target)
        if len(tries) < 4:
            raise PermissionError(13, "in use")
        really(source, target)

    monkeypatch.setattr(os, "replace", busy)
    _progress.replace(tmp_path / "page.md", "text")
    assert read(tmp_path / "page.md") == "text"
    assert len(tries) == 4
    assert len(list(tmp_path.iterdir())) == 1


KERNEL = """
import json, sys
from v2gbook.classroom import workbook
workbook.display = lambda shown: None
sheets = {}
print("ready", flush=True)
sys.stdin.readline()                                     # all kernels begin at the same moment
for topic, name, marks in json.loads(sys.argv[1]):
    sheet = sheets.setdefault(topic, workbook.Workbook(topic, preset="na-60hz"))
    asked = sheet.questions[name]
    sheet._judge = lambda *arguments: (marks / asked["marks"], "")
    sheet.check(name, 1.0, None)
"""


def plan(turn):
    """Fifty results of one kernel, in three sheets: (sheet, question, marks)."""
    results = []
    for number in range(50):
        topic = _answers.topics()[number % 3]
        questions = _answers.marks(topic)
        name = list(questions)[number % len(questions)]
        results.append((topic, name, (7 * number + turn) % (2 * questions[name] + 1) / 2))
    return results


def test_200_checks_of_four_kernels_at_once_lose_nothing(shown, tmp_path):
    """Within one sheet and across sheets; the page and the pictures show it all at the end."""
    plans = [plan(turn) for turn in range(4)]
    pipes = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    kernels = [
        subprocess.Popen([sys.executable, "-c", KERNEL, json.dumps(results)], **pipes)
        for results in plans
    ]
    assert [kernel.stdout.readline() for kernel in kernels] == ["ready\n"] * 4
    for kernel in kernels:
        kernel.stdin.write("go\n")
        kernel.stdin.flush()
    assert [kernel.communicate(timeout=120) for kernel in kernels] == [("", "")] * 4
    best = {}
    for topic, name, marks in itertools.chain(*plans):
        best.setdefault(topic, {})[name] = max(marks, best.get(topic, {}).get(name, 0.0))
    assert {topic: _progress.best(topic) for topic in best} == best
    page = read(tmp_path / "MY_PROGRESS.md")
    assert page == _progress._page(*_progress._everything())
    for topic, found in best.items():
        assert read(tmp_path / f"progress/{topic}.svg") == _progress._picture(topic, found)
    assert not list(tmp_path.rglob("*.new"))


def test_an_old_file_is_taken_over_by_many_at_once(shown, tmp_path):
    old = {"01_frequency": {"of": 22, "marks": {"Q1": 3}}}
    (tmp_path / "progress.json").write_text(json.dumps(old), encoding="utf-8")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: _progress._take_over(), range(8)))
    assert _progress.best("01_frequency") == {"Q1": 3.0}


# ----------------------------------------------------------------------------------------- presets


@pytest.fixture
def nowhere(tmp_path, monkeypatch, shown):
    """A working folder without a course, and a kernel that nobody has told anything."""
    here = tmp_path / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("V2GBOOK_PRESET", raising=False)
    return here


def stored_notebook(folder, preset):
    """A notebook file that was stored with a preset."""
    path = folder / "01_frequency.ipynb"
    path.write_text(
        json.dumps({"cells": [], "metadata": {"v2gbook": {"preset": preset}}}), encoding="utf-8"
    )
    return path


def test_a_sheet_uses_its_own_preset_wherever_it_runs(nowhere, monkeypatch):
    """An explicit preset, then the environment's, the notebook's own, and course.toml's."""
    folder = nowhere.parent / "sheets"
    folder.mkdir()
    (nowhere / "course.toml").write_text('preset = "na-60hz"', encoding="utf-8")
    assert book().region.key == "na-60hz"
    monkeypatch.setenv("JPY_SESSION_NAME", str(stored_notebook(folder, "eu-50hz")))
    assert book().region.key == "eu-50hz"
    monkeypatch.setenv("V2GBOOK_PRESET", "gb-50hz")
    assert book().region.key == "gb-50hz"
    assert book(preset="na-60hz").region.key == "na-60hz"
    monkeypatch.setenv("V2GBOOK_PRESET", "")
    assert book().region.key == "eu-50hz"


def test_a_sheet_says_whose_numbers_it_uses_where_nobody_names_a_region(nowhere, shown):
    assert book().region.key == "na-60hz"
    said = text(shown)
    assert said.startswith("No region is set (there is no course.toml here or above")
    assert said.endswith(f"are those of {presets.load('na-60hz').label} (na-60hz).")
    shown.clear()
    assert book(preset="eu-50hz").region.key == "eu-50hz"
    assert shown == []


def test_a_chapter_uses_course_toml_before_the_stored_preset(nowhere, monkeypatch):
    with pytest.warns(UserWarning, match="No region is set"):
        assert presets.current().key == "na-60hz"
    monkeypatch.setenv("JPY_SESSION_NAME", str(stored_notebook(nowhere, "eu-50hz")))
    assert presets.current().key == "eu-50hz"
    (nowhere / "course.toml").write_text('course = "mine"', encoding="utf-8")
    assert presets.current().key == "eu-50hz"
    assert presets.course() == {"preset": "na-60hz", "course": "mine"}
    (nowhere / "course.toml").write_text('preset = "gb-50hz"', encoding="utf-8")
    assert presets.current().key == "gb-50hz"


def test_the_course_is_found_from_the_notebook_as_well(nowhere, monkeypatch):
    """A student's numbers depend on the course's id, but not on the working folder."""
    root = nowhere.parent / "course"
    (root / "exercises").mkdir(parents=True)
    (root / "course.toml").write_text('preset = "na-60hz"\ncourse = "spring"', encoding="utf-8")
    monkeypatch.setenv("JPY_SESSION_NAME", str(stored_notebook(root / "exercises", "na-60hz")))
    assert presets.course_root() == root
    away = [book(student="ada").variant(f"Q{n}") for n in range(20)]
    monkeypatch.chdir(root / "exercises")
    sheet = book(student="ada")
    assert [sheet.variant(f"Q{n}") for n in range(20)] == away
    monkeypatch.chdir(nowhere)
    assert [sheet.variant(f"Q{n}") for n in range(20)] == away


def test_a_sheet_without_numbers_for_a_preset_says_so(tiny, monkeypatch):
    monkeypatch.setattr(tiny, "region", type("Region", (), {"key": "mars-42hz"}))
    words = "sheet 01_tiny has no numbers for the preset 'mars-42hz', only for eu-50hz"
    with pytest.raises(ValueError, match=words):
        tiny._check_region()


@pytest.mark.parametrize(
    "content, words",
    [
        (b'preset = "na', "course.toml cannot be read: .*; a line looks like"),
        ('preset = "na-60hz"'.encode("utf-16"), "course.toml cannot be read: it is not UTF-8 text"),
        (b'prset = "eu-50hz"', "course.toml: the key 'prset' is unknown; did you mean 'preset'"),
        (
            b'preset = "mars"',
            "course.toml, preset: there is no preset 'mars'; known presets are eu-50hz",
        ),
        (b"preset = 60", "course.toml: preset = 60; it must be text in quotes"),
        (b'course = ""', "course.toml: course = ''; it must be text"),
        (b"x = " + b"[" * 5000, "course.toml cannot be read"),
    ],
)
def test_a_wrong_course_file_is_named_with_its_key(nowhere, content, words):
    (nowhere / "course.toml").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        presets.current()


def test_a_course_file_may_begin_with_a_byte_order_mark(nowhere):
    (nowhere / "course.toml").write_bytes(b'\xef\xbb\xbfpreset = "gb-50hz"')
    assert presets.current().key == "gb-50hz"


def test_a_wrong_preset_says_who_named_it(nowhere, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", str(stored_notebook(nowhere, "venus")))
    with pytest.raises(
        ValueError, match="preset in the metadata of this notebook: there is no preset 'venus'"
    ):
        book()
    monkeypatch.setenv("V2GBOOK_PRESET", "mars")
    with pytest.raises(
        ValueError, match="environment variable V2GBOOK_PRESET: there is no preset 'mars'"
    ):
        book()


GOOD = {
    "label": '"x"',
    "f0_hz": "50.0",
    "currency": '"EUR"',
    "energy_price_unit": '"EUR/kWh"',
    "market_price_unit": '"EUR/MWh"',
    "settlement_min": "15",
    "names": '["X"]',
}


@pytest.mark.parametrize(
    "change, words",
    [
        ({"f0_hz": '"fifty"'}, "f0_hz = 'fifty'; it must be a number above 0"),
        ({"f0_hz": "-50"}, "f0_hz = -50; it must be a number above 0"),
        ({"f0_hz": "nan"}, "f0_hz = nan"),
        ({"f0_hz": "true"}, "f0_hz = True"),
        ({"f0_hz": None}, "the key 'f0_hz' is missing; it must be a number above 0"),
        ({"label": None}, "the key 'label' is missing"),
        ({"settlement_min": "0"}, "settlement_min = 0"),
        ({"names": '"X"'}, "names = 'X'; it must be a list of texts"),
        ({"names": "[1]"}, "it must be a list of texts"),
        ({"f0hz": "50"}, "the key 'f0hz' is unknown; did you mean 'f0_hz'"),
        ({"colour": "1"}, "the key 'colour' is unknown \\(allowed are label, f0_hz"),
        ({"label": "nonsense"}, "cannot be read"),
        ({"currency": "5"}, "currency = 5; it must be text in quotes"),
        ({"currency": '"$"'}, "currency = '\\$'; it must be an ISO code of three capital letters"),
    ],
)
def test_a_wrong_preset_file_is_named_with_its_key(tmp_path, monkeypatch, change, words):
    lines = [f"{name} = {value}" for name, value in (GOOD | change).items() if value is not None]
    (tmp_path / "mine.toml").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=f"mine.toml.*{words}"):
        presets.load("mine")


def test_a_missing_entry_of_a_table_names_file_table_and_key():
    region = presets.load("na-60hz")
    with pytest.raises(
        KeyError, match=r"na-60hz.toml, \[frequency\]: the key 'loss' is missing; there are"
    ):
        region.frequency["loss"]
    with pytest.raises(
        KeyError, match=r"na-60hz.toml, \[frequency\], \[governor\]: the key 'x' is missing"
    ):
        region.frequency["governor"]["x"]
    assert region.frequency.get("loss") is None


def test_a_preset_can_be_copied_and_sent_to_a_worker():
    import copy
    import pickle

    region = presets.load("eu-50hz")
    for twin in (copy.deepcopy(region), pickle.loads(pickle.dumps(region))):
        assert twin == region
        assert twin.frequency["ufls"] == region.frequency["ufls"]


def test_a_notebook_knows_its_stored_preset(tmp_path, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", str(stored_notebook(tmp_path, "gb-50hz")))
    assert _notebook.stored_preset() == "gb-50hz"
    assert _notebook.path() == tmp_path / "01_frequency.ipynb"
