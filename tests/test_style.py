"""The code reads well: ruff, mypy, and one idea in each statement."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import shelf
from needed_cells import parsed

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted([*ROOT.glob("chapters/*.ipynb"), *ROOT.glob("solutions/*.ipynb")])
PLACES = ("v2gbook/**/*.py", "tools/*.py", "tests/*.py", "*.py")
FILES = sorted(path for place in PLACES for path in ROOT.glob(place))
MOST_UNPACKED = 2  # values that one statement may name; more only from one call


def test_ruff_finds_nothing():
    told = run("ruff", "check", "--quiet", "--output-format", "concise", ".")
    assert told == ""


def test_ruff_would_format_nothing():
    told = run("ruff", "format", "--check", "--quiet", ".")
    assert told == ""


def test_mypy_finds_nothing():
    told = run("mypy", "--no-error-summary")
    assert told == ""


def run(*command):
    """What a tool says in the folder of the course."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    return done.stdout + done.stderr


def named(node):
    """What an assignment names; the methods of Python's own that a class gives up do not count."""
    return [target for target in node.targets if not getattr(target, "id", "").startswith("__")]


def crowded(source):
    """Statements with more than one idea: line number and what is wrong."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.IfExp) and any(
            isinstance(child, ast.IfExp) for child in (node.body, node.orelse)
        ):
            yield f"line {node.lineno}: a condition within a condition; write if, elif, else"
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            names = [len(t.elts) for t in node.targets if isinstance(t, ast.Tuple)]
            if names and max(names) > MOST_UNPACKED:
                yield f"line {node.lineno}: {max(names)} things in one statement; a line each"
        if isinstance(node, ast.Assign) and len(named(node)) > MOST_UNPACKED:
            yield f"line {node.lineno}: {len(node.targets)} names for one value"
        if isinstance(node, ast.Assert) and isinstance(getattr(node.test, "op", None), ast.And):
            yield f"line {node.lineno}: two facts in one assert; an assert each"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_statement_has_one_idea(path):
    assert list(crowded(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_statement_of_a_notebook_has_one_idea(path):
    cells = shelf.notebook(path).cells
    found = [
        f"cell {cell.id}, {fault}"
        for cell in cells
        if cell.cell_type == "code"
        for fault in crowded(cell.source)
    ]
    assert found == []


@pytest.mark.parametrize(
    "source, word",
    [
        ("a, b, c = 1, 2, 3", "3 things"),
        ("a = b = c = d = 0.0", "4 names"),
        ("x = 1 if a else 2 if b else 3", "within"),
        ("x = (1 if a else 2) if b else 3", "within"),
        ("assert a and b", "two facts"),
    ],
)
def test_canary_of_a_crowded_statement(source, word):
    assert any(word in fault for fault in crowded(source))


@pytest.mark.parametrize(
    "source",
    ["a, b = b, a", "a, b, c = split(x)", "a = b = 0.0", "x = 1 if a else 2", "(a, b), c = f()"],
)
def test_canary_of_a_clear_statement(source):
    assert list(crowded(source)) == []
