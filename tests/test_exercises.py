"""The exercises come from their solutions byte for byte; right answers are accepted and typical slips caught with the right hint."""

import functools
import json
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import make_exercises  # noqa: E402
from tidy_notebooks import tidy  # noqa: E402
from v2gbook.classroom import presets, workbook  # noqa: E402

SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
pytestmark = pytest.mark.skipif(not SOLUTIONS, reason="a student's copy: no solutions here")
VARIANTS = (0, 1, 17, 64)


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("V2GBOOK_PROGRESS", str(tmp_path))
    monkeypatch.setattr(workbook, "display", lambda shown: None)


@pytest.fixture(scope="module", params=SOLUTIONS, ids=lambda path: path.stem)
def solution(request):
    return request.param.stem, nbformat.read(request.param, as_version=4)


book_of = functools.cache(lambda topic, preset: workbook.Workbook(topic, preset=preset))


def judged(topic, preset, variant, question, answer, score=None):
    book = book_of(topic, preset)
    book.variant = lambda _: variant
    asked = book.questions[question]
    share, words = book._judge(question, asked, answer, score)
    return share, words


@pytest.fixture(scope="module")
def cases(solution):
    """Every question under every preset, with its key and numbers of a few variants."""
    return list(drawn(*solution))


def drawn(topic, solution):
    for preset in presets.names():
        keys = make_exercises.keys_of(solution, preset)
        for question, key in keys.items():
            for variant in VARIANTS if key.kind == "value" else (0,):
                given, _ = make_exercises.fit(topic, key.shares or question, keys, variant, presets.load(preset))
                yield preset, variant, question, key, given


def test_generated_files_are_up_to_date(solution):
    """Byte for byte; what the exercise's cells show is nbval's to compare."""
    topic, _ = solution
    (checks, text), (target, exercise) = make_exercises.generate(ROOT / "solutions" / f"{topic}.ipynb").items()
    assert checks.read_text(encoding="utf-8") == text, "run: python run.py exercises"
    stored = target.read_text(encoding="utf-8")
    shown = [(cell.outputs, cell.execution_count) for cell in nbformat.reads(stored, as_version=4).cells if cell.cell_type == "code"]
    for cell, (outputs, count) in zip((cell for cell in exercise.cells if cell.cell_type == "code"), shown):
        cell.outputs, cell.execution_count = outputs, count
    assert stored == nbformat.writes(tidy(exercise)) + "\n", "run: python run.py exercises"


def test_exercise_starts_as_not_attempted(solution):
    topic, _ = solution
    exercise = nbformat.read(ROOT / "exercises" / f"{topic}.ipynb", as_version=4)
    shown = "".join(o["data"].get("text/markdown", "") for c in exercise.cells for o in c.get("outputs", []) if "data" in o)
    for question, asked in json.loads((workbook.CHECKS / f"{topic}.json").read_text(encoding="utf-8")).items():
        assert f"**{question}** not attempted 0/{asked['marks']}" in shown


def test_sheet_has_5_to_6_questions_and_20_to_25_marks(solution):
    topic, notebook = solution
    keys = make_exercises.keys_of(notebook, "na-60hz")
    by_hand = sum("marks, by hand" in c.source for c in notebook.cells) * 2
    assert 5 <= len(keys) <= 6 and 20 <= sum(key.marks for key in keys.values()) + by_hand <= 25


def test_right_answers_are_accepted(solution, cases):
    topic, _ = solution
    for preset, variant, question, key, given in cases:
        if key.kind == "design":
            continue
        ways = [key.reference, *key.also] if key.kind == "function" else [key.reference(given), *(way(given) for way in key.also)]
        assert len(ways) >= 3, question
        for answer in ways:
            assert judged(topic, preset, variant, question, answer) == (1.0, ""), (preset, variant, question, answer)


def test_typical_slips_get_their_hint(solution, cases):
    topic, _ = solution
    for preset, variant, question, key, given in cases:
        assert len(key.slips) >= 3, question
        for hint, slip in key.slips.items():
            if key.kind != "design":
                answer = slip if key.kind == "function" else slip(given)
                assert judged(topic, preset, variant, question, answer) == (0.0, hint), (preset, variant, question)


def test_unit_and_sign_slips_are_named(solution, cases):
    topic, _ = solution
    for preset, variant, question, key, given in cases:
        if key.kind == "value":
            right = key.reference(given)
            for factor, word in ((-1, "sign"), (1000, "1000"), (3600, "3600"), (60, "60"), (-1e-3, "sign")):
                share, words = judged(topic, preset, variant, question, right * factor)
                assert share == 0 and (word in words or words in key.slips), (question, factor, words)


def test_designs_are_scored_by_measurement(solution):
    topic, notebook = solution
    designs = {q: k for q, k in make_exercises.keys_of(notebook, "na-60hz").items() if k.kind == "design"}
    names = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and ({"imports", "score"} & set(cell.metadata.get("tags", [])) or "def score(" in cell.source):
            exec(cell.source, names)
    assert designs, "each sheet ends in an open design question"
    for question, key in designs.items():
        for design in key.also:
            share, _ = judged(topic, None, 0, question, design, names["score"])
            assert share > 0.9
        for hint, design in key.slips.items():
            share, words = judged(topic, None, 0, question, design, names["score"])
            assert share < 0.75 and hint in words


def test_no_value_is_ever_shown(solution, cases):
    """What a check says never contains the right answer."""
    topic, _ = solution
    for preset, variant, question, key, given in cases:
        if key.kind == "value":
            right = key.reference(given)
            for wrong in (right * 1.5, "text", [right, right], float("nan"), None):
                _, words = judged(topic, preset, variant, question, wrong)
                words = words.replace(str(wrong), "").replace(f"not within {100 * key.tol:g} %", "")
                assert not any(f"{number:.3g}" in words for number in np.ravel(right))


def test_generator_refuses_a_surviving_solution_line():
    notebook = nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_code_cell("answer = ...\n### BEGIN SOLUTION\nsecret_value = 1234567\n### END SOLUTION"),
        nbformat.v4.new_code_cell("print('hint')\nsecret_value =  1234567"),
    ])
    exercise = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("secret_value = 1234567")])
    with pytest.raises(SystemExit, match="survive"):
        make_exercises._refuse_leaks("x", nbformat.v4.new_notebook(cells=notebook.cells[:1]), exercise)


def test_generator_refuses_slips_that_cannot_be_told_apart():
    key = workbook.Key(marks=1, slips={"a": None}, tol=0.01)
    with pytest.raises(make_exercises.Unfit, match="told apart"):
        make_exercises._distinct("x", [100.0], [[100.1]], key)


def test_generator_draws_again_until_slips_can_be_told_apart_and_then_stops():
    region = presets.load("na-60hz")
    unlucky = workbook.Key(marks=1, draw=lambda rng, region: {"a": int(rng.integers(1, 4))}, reference=lambda g: g["a"], slips={"a": lambda g: 3})
    drawn = {make_exercises.fit("x", "Q1", {"Q1": unlucky}, variant, region)[0]["a"] for variant in range(20)}
    assert drawn == {1, 2}
    hopeless = workbook.Key(marks=1, draw=lambda rng, region: {"a": 3}, reference=lambda g: g["a"], slips={"a": lambda g: 3})
    with pytest.raises(SystemExit, match="told apart"):
        make_exercises.fit("x", "Q1", {"Q1": hopeless}, 1, region)


def test_generator_replaces_blocks_by_dots():
    source = "x = ...\n### BEGIN SOLUTION\nx = 5\n### END SOLUTION\ncheck(x)"
    def_source = "def f():\n    ### BEGIN SOLUTION\n    return 123456\n    ### END SOLUTION"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source), nbformat.v4.new_code_cell(def_source)])
    made = make_exercises.exercise_of("x", notebook)
    assert made.cells[0].source == "x = ...\ncheck(x)"
    assert made.cells[1].source == "def f():\n    ..."
