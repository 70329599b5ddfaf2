"""The exercises come from their solutions byte for byte.

Right answers are accepted, typical slips are caught with the right hint, and every sheet is written
in the same form.
"""

import functools
import html
import linecache
import re
import sys
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
import pytest
import shelf

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import make_exercises
from tidy_notebooks import tidy

from v2gbook.classroom import _answers, _score, presets, workbook

SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
pytestmark = pytest.mark.skipif(not SOLUTIONS, reason="a student's copy: no solutions here")
VARIANTS = (0, 1, 17, 64)


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    monkeypatch.setenv("V2GBOOK_PROGRESS", str(tmp_path))
    monkeypatch.setattr(workbook, "display", lambda shown: None)


@pytest.fixture(scope="module", params=SOLUTIONS, ids=lambda path: path.stem)
def solution(request):
    return request.param.stem, shelf.notebook(request.param)


book_of = functools.cache(lambda topic, preset: workbook.Workbook(topic, preset=preset))


def judged(topic, preset, variant, question, answer, score=None):
    book = book_of(topic, preset)
    book.variant = lambda _: variant
    return book._judge(question, book.questions[question], answer, score)


@pytest.fixture(scope="module")
def keys(solution):
    """The keys of a solution under every preset."""
    _, notebook = solution
    return {preset: make_exercises.keys_of(notebook, preset) for preset in presets.names()}


class Case(NamedTuple):
    """A question under a preset, with its key, the numbers of a variant and the right answer."""

    preset: str
    variant: int
    question: str
    key: workbook.Key
    given: dict
    right: object


@pytest.fixture(scope="module")
def cases(solution, keys):
    """Every question under every preset, in a few variants."""
    topic, _ = solution
    return list(drawn(topic, keys))


def drawn(topic, keys):
    for preset, of_preset in keys.items():
        region = presets.load(preset)
        for question, key in of_preset.items():
            for variant in VARIANTS if key.kind == "value" else (0,):
                owner = key.shares or question
                given, _ = make_exercises.fit(topic, owner, of_preset, variant, region)
                right = key.reference(given) if key.kind == "value" else key.reference
                yield Case(preset, variant, question, key, given, right)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown_shown(notebook):
    """All Markdown among the outputs of a notebook."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "\n".join(output.get("data", {}).get("text/markdown", "") for output in outputs)


def test_generated_files_are_up_to_date(solution):
    """Byte for byte; what the exercise's cells show is nbval's to compare."""
    topic, _ = solution
    made = make_exercises.generate(ROOT / "solutions" / f"{topic}.ipynb")
    (checks, text), (target, exercise) = made.items()
    assert checks.read_text(encoding="utf-8") == text, "run: python run.py exercises"
    stored = target.read_text(encoding="utf-8")
    shown = code_cells(nbformat.reads(stored, as_version=4))
    for cell, old in zip(code_cells(exercise), shown):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
    assert stored == nbformat.writes(tidy(exercise)) + "\n", "run: python run.py exercises"


def test_exercise_starts_as_not_attempted(solution):
    topic, _ = solution
    exercise = shelf.notebook(ROOT / "exercises" / f"{topic}.ipynb")
    shown = markdown_shown(exercise)
    for question, marks in _answers.marks(topic).items():
        told = f'**{question}** <span class="v2g-open">○ not attempted 0/{marks}</span>'
        assert told in shown


def test_solution_gets_all_marks_from_its_own_checks(solution):
    """As it is stored; and its score function is recognised as the sheet's own."""
    topic, notebook = solution
    shown = markdown_shown(notebook)
    for question, marks in _answers.marks(topic).items():
        told = f'**{question}** <span class="v2g-right">✓ right {marks}/{marks}</span>'
        assert told in shown, "run: python run.py notebooks"
    assert "another score function" not in shown


# ------------------------------------------------------------------------- how a sheet is written

HEADING = re.compile(
    r"## (Q\d) · \S.*\n\n\*\*(\d+) marks · LO[^·]+( · open question)?"
    r" · about (\d+) minutes( · marked by hand)?\*\*\n\n\S"
)
IN_WORDS = re.compile(r"### (Q\d) · In words\n\n\*\*(\d+) marks · marked by hand\*\*\n\n\S")


def headings(notebook, pattern):
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [match for match in map(pattern.match, texts) if match]


def test_sheet_has_5_to_6_questions_and_20_to_25_marks(solution, keys):
    _, notebook = solution
    assert 5 <= len(keys["na-60hz"]) <= 6
    assert 20 <= sum(int(match[2]) for match in headings(notebook, HEADING)) <= 25


def test_each_question_has_a_heading_with_its_marks(solution, keys):
    """What is checked and what is marked by hand add up to what the heading says."""
    _, notebook = solution
    checked = keys["na-60hz"]
    by_hand = {match[1]: int(match[2]) for match in headings(notebook, IN_WORDS)}
    found = headings(notebook, HEADING)
    assert [match[1] for match in found] == [f"Q{n + 1}" for n in range(len(found))]
    for name, marks, is_open, _, all_by_hand in (match.groups() for match in found):
        assert bool(all_by_hand) == (name not in checked), name
        assert bool(is_open) == (name in checked and checked[name].kind == "design"), name
        if name in checked:
            assert int(marks) == checked[name].marks + by_hand.get(name, 0), name
    assert not any(re.match(r"\*\*Q\d", cell.source) for cell in notebook.cells)


def test_the_sheet_says_how_many_marks_and_minutes_its_questions_have(solution):
    _, notebook = solution
    found = headings(notebook, HEADING)
    said = re.search(r"(\d+) marks, about (\d+) minutes\.", notebook.cells[0].source)
    assert int(said[1]) == sum(int(match[2]) for match in found)
    assert abs(int(said[2]) - sum(int(match[4]) for match in found)) <= 5


def test_sheet_is_called_as_its_chapter(solution):
    topic, notebook = solution
    chapter = shelf.notebook(ROOT / "chapters" / f"{topic}.ipynb")
    title = make_exercises.title_of(notebook)
    assert f"# {title}" in "\n".join(cell.source for cell in chapter.cells).splitlines()
    assert f"](../chapters/{topic}.ipynb)" in notebook.cells[0].source
    exercise = make_exercises.exercise_of(topic, notebook)
    text = "\n".join(cell.source for cell in exercise.cells).splitlines()
    assert f"# Exercise {title}" in text
    assert f"# Solution {title}" not in text
    assert _answers.sheet(topic)["title"] == title


def test_score_and_drawing_code_is_tagged_to_be_folded(solution):
    """Cells tagged `score` and `figure` are stored folded; given numbers stay open."""
    _, notebook = solution
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and "key" not in tags:
            assert ("def score(" not in cell.source) or "score" in tags, cell.id
            assert ("show(fig" not in cell.source) or "figure" in tags, cell.id
            assert not {"score", "figure"} & set(tags) or "book.given" not in cell.source, cell.id
    assert sum("open the folded cell" in cell.source for cell in notebook.cells) == 1


# ----------------------------------------------------------------------------- what a check accepts


def test_right_answers_are_accepted(solution, cases):
    topic, _ = solution
    for preset, variant, question, key, given, right in cases:
        if key.kind == "design":
            continue
        others = key.also if key.kind == "function" else [way(given) for way in key.also]
        assert len(others) >= 2, question
        for answer in (right, *others):
            told = judged(topic, preset, variant, question, answer)
            assert told == (1.0, ""), (preset, variant, question, answer)


def test_typical_slips_get_their_hint(solution, cases):
    topic, _ = solution
    for preset, variant, question, key, given, _ in cases:
        assert len(key.slips) >= 3, question
        for hint, slip in key.slips.items():
            if key.kind != "design":
                answer = slip if key.kind == "function" else slip(given)
                told = judged(topic, preset, variant, question, answer)
                assert told == (0.0, hint), (preset, variant, question)


SLIPS = {-1: "sign", 1000: "1000", 3600: "3600", 60: "60", -1e-3: "sign"}


def test_unit_and_sign_slips_are_named(solution, cases):
    topic, _ = solution
    for preset, variant, question, key, _, right in cases:
        if key.kind == "value":
            for factor, word in SLIPS.items():
                share, words = judged(topic, preset, variant, question, right * factor)
                assert share == 0, (question, factor)
                assert word in words or words in key.slips, (question, factor, words)


def run_cell(cell, names):
    """Run a cell, and keep its text as a notebook's kernel does."""
    file, text = f"<cell {cell.id}>", cell.source + "\n"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    exec(compile(text, file, "exec"), names)


@pytest.fixture(scope="module")
def names(solution):
    """What a student's notebook holds when the cells of its open question have been run."""
    _, notebook = solution
    held = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and {"imports", "score"} & set(cell.metadata.get("tags", [])):
            run_cell(cell, held)
    return held


@pytest.fixture
def designs(keys):
    """The keys of the open questions."""
    return {name: key for name, key in keys["na-60hz"].items() if key.kind == "design"}


def test_designs_are_scored_by_measurement(solution, designs, names):
    topic, _ = solution
    assert designs, "each sheet ends in an open design question"
    for question, key in designs.items():
        stored = _answers.sheet(topic)["questions"][question]["score"]
        assert "def score(" in stored
        assert _score.is_own(names["score"], stored)
        for design in key.also:
            share, _ = judged(topic, None, 0, question, design, names["score"])
            assert share > 0.9
        for hint, design in key.slips.items():
            share, words = judged(topic, None, 0, question, design, names["score"])
            assert share < 0.75
            assert hint in html.unescape(words)


def test_what_a_design_must_not_know_is_hidden_while_it_is_measured(solution, designs, names):
    """And only then; the sheet says which names these are."""
    topic, notebook = solution
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for question, key in designs.items():
        for name in key.hides:
            exec(f"def peeking(*told): return {name}", names)
            share, words = judged(topic, None, 0, question, names["peeking"], names["score"])
            assert share == 0.0, name
            assert f"{name} is hidden while a design is measured" in html.unescape(words)
            assert names["peeking"]() is names[name]
            assert f"`{name}`" in text


def test_no_value_is_ever_shown(solution, cases):
    """What a check says never contains the right answer."""
    topic, _ = solution
    for preset, variant, question, key, _, right in cases:
        if key.kind == "value":
            for wrong in (right * 1.5, "text", [right, right], float("nan"), None):
                _, words = judged(topic, preset, variant, question, wrong)
                words = html.unescape(words).replace(str(wrong), "")
                words = words.replace(f"not within {100 * key.tol:g} %", "")
                assert not any(f"{number:.3g}" in words for number in np.ravel(right))


def notebook_of(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in sources])


def test_generator_refuses_a_surviving_solution_line():
    source = "answer = ...\n### BEGIN SOLUTION\nsecret_value = 1234567\n### END SOLUTION"
    solved, exercise = notebook_of(source), notebook_of("print('hint')\nsecret_value =  1234567")
    with pytest.raises(SystemExit, match="survive"):
        make_exercises._refuse_leaks("x", solved, exercise)


def test_generator_refuses_slips_that_cannot_be_told_apart():
    key = workbook.Key(marks=1, slips={"a": None}, tol=0.01)
    with pytest.raises(make_exercises.Unfit, match="told apart"):
        make_exercises._distinct("x", [100.0], [[100.1]], key)


def test_generator_draws_again_until_slips_can_be_told_apart_and_then_stops():
    region = presets.load("na-60hz")
    unlucky = workbook.Key(
        marks=1,
        draw=lambda rng, region: {"a": int(rng.integers(1, 4))},
        reference=lambda g: g["a"],
        slips={"a": lambda g: 3},
    )
    drawn = {
        make_exercises.fit("x", "Q1", {"Q1": unlucky}, variant, region)[0]["a"]
        for variant in range(20)
    }
    assert drawn == {1, 2}
    hopeless = workbook.Key(
        marks=1,
        draw=lambda rng, region: {"a": 3},
        reference=lambda g: g["a"],
        slips={"a": lambda g: 3},
    )
    with pytest.raises(SystemExit, match="told apart"):
        make_exercises.fit("x", "Q1", {"Q1": hopeless}, 1, region)


def test_generator_refuses_an_answer_of_too_many_numbers():
    with pytest.raises(SystemExit, match="too long to check; ask for at most 100"):
        make_exercises._digests("x", [1.0] * 101, [], 0.01)


def test_generator_refuses_a_sheet_without_a_title():
    with pytest.raises(SystemExit, match="no title like '# Solution 1 · Frequency'"):
        make_exercises.title_of(notebook_of("# 01_frequency solution"))


def test_generator_replaces_blocks_by_dots():
    source = "x = ...\n### BEGIN SOLUTION\nx = 5\n### END SOLUTION\ncheck(x)"
    def_source = "def f():\n    ### BEGIN SOLUTION\n    return 123456\n    ### END SOLUTION"
    made = make_exercises.exercise_of("x", notebook_of(source, def_source))
    assert made.cells[0].source == "x = ...\ncheck(x)"
    assert made.cells[1].source == "def f():\n    ..."


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_an_open_answer_is_written_once(path):
    sheet = shelf.notebook(ROOT / "exercises" / path.name)
    twice = [cell.id for cell in sheet.cells if re.search(r"= \.\.\.\s+\.\.\.", cell.source)]
    assert twice == []
