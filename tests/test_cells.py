"""Code cells of the chapters: what explains is seen and short, what draws is folded."""

import ast
import re
from pathlib import Path

import pytest
import shelf
from needed_cells import parsed

CHAPTERS = sorted((Path(__file__).resolve().parents[1] / "chapters").glob("*.ipynb"))
FOLDED = {"figure", "quiz", "score"}  # tags of cells whose source the tidier hides
DRAWING = {"show", "explore", "animate", "diagram"}
MOST_LINES = 10
MOST_PARAMETERS = 20
WIDEST = 100
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def calls(node):
    """Names of the functions that run when the cell runs, but not those inside of its functions."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        yield node.func.id
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, FUNCTIONS):
            yield from calls(child)


def faults(source, tags):
    """What is wrong with a code cell that has these tags."""
    lines, called = source.splitlines(), set(calls(parsed(source)))
    most = MOST_PARAMETERS if "parameters" in tags else MOST_LINES
    if not FOLDED & set(tags):
        if len(lines) > most:
            yield f"{len(lines)} lines; an open cell has at most {most}"
        for line in lines:
            if len(line) > WIDEST:
                yield f"{len(line)} characters, at most {WIDEST} fit beside each other: {line}"
    for name in sorted(DRAWING & called):
        if "figure" not in tags:
            yield f"it calls {name} and so it draws; give it the tag figure"
    if "quiz" in called and "quiz" not in tags:
        yield "it asks a question; give it the tag quiz"
    if "quiz" in tags and not re.fullmatch(r'quiz\("[^"]+"\)', source):
        yield 'the source of a question is quiz("name") and nothing else'


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_open_cells_are_short_and_folded_cells_are_tagged(path):
    cells = shelf.notebook(path).cells
    found = [
        f"cell {cell.id}: {fault}"
        for cell in cells
        if cell.cell_type == "code"
        for fault in faults(cell.source, cell.metadata.get("tags", []))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source, tags, word",
    [
        ("x = 1\n" * 11, [], "11 lines"),
        ("x = 1\n" * 21, ["parameters"], "21 lines"),
        (f"x = '{'a' * 96}'", ["event"], "102 characters"),
        ("fig = figure('t', 'f')\nshow(fig, alt='a')", ["event"], "calls show"),
        ("for _ in range(2):\n    show(fig)", [], "calls show"),
        ("explore(draw, x=slider('x', 0, 1, 0))", [], "calls explore"),
        ("animate(draw, frames)", ["quiz"], "calls animate"),
        ("diagram(parts)", [], "calls diagram"),
        ('quiz("zero")', [], "tag quiz"),
        ('x = 1\nquiz("zero")', ["quiz"], "nothing else"),
        ('quiz("zero", "01_frequency")', ["quiz"], "nothing else"),
    ],
)
def test_canary_of_a_fault(source, tags, word):
    assert any(word in fault for fault in faults(source, tags))


@pytest.mark.parametrize(
    "source, tags",
    [
        ("x = 1\n" * 10, []),
        ("x = 1\n" * 20, ["parameters"]),
        ("x = 1\n" * 25 + f"y = '{'a' * 110}'", ["figure"]),
        ("def draw(x):\n    show(x)", []),
        ("async with open_link() as link:\n    await link.send(1)", []),
        ("show(fig, alt='a')", ["cover", "figure"]),
        ('quiz("zero")', ["quiz"]),
    ],
)
def test_canary_of_a_good_cell(source, tags):
    assert list(faults(source, tags)) == []
