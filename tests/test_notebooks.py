"""The stored notebooks are complete, executed, small and honest.

And the comparison policy of conftest.py works.
"""

import ast
import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import shelf

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from pictures import fingerprint
from start_page import with_map
from tidy_notebooks import FIGURE as FIGURE_TYPE
from tidy_notebooks import WIDGET, execute, read

from v2gbook.classroom import presets

NOTEBOOKS = sorted(
    path
    for folder in ("chapters", "solutions", "exercises")
    for path in (ROOT / folder).glob("*.ipynb")
)
TOPICS = sorted({path.stem for path in NOTEBOOKS})
MODULES = sorted((ROOT / "v2gbook").glob("[a-z]*.py"))
CHAPTERLESS = {"csms", "invest"}  # modules without a chapter of their own that chapters use
FOLDED = {"figure", "key", "quiz", "score"}  # tags of cells that do not explain
MOST_FOLDED = 90  # lines of a cell that does not explain
MOST_LINES = {"chapters": 25, "exercises": 25, "solutions": 60}  # chapters: see test_cells.py too


def lines(text):
    return text if isinstance(text, list) else text.splitlines()


def faults(notebook, kilobytes, kind="chapters"):
    """What is wrong with a stored notebook, each with its cell; an empty list for a good one."""
    found, count = [], 0
    images = (
        sum(
            len(o["data"].get("image/png") or "")
            for c in notebook.cells
            for o in c.get("outputs", [])
            if "data" in o
        )
        / 1000
    )
    if kilobytes - images > 400 or kilobytes > 1000:
        found.append(
            f"{kilobytes:.0f} kB stored, {images:.0f} kB of it pictures; "
            "at most 400 without and 1000 with"
        )
    if "preset" not in notebook.metadata.get("v2gbook", {}):
        found.append("the metadata does not say which preset it was stored with")
    if len({cell.id for cell in notebook.cells}) < len(notebook.cells):
        found.append("two cells have the same id")
    for cell in notebook.cells:
        here = f"cell {cell.id}"
        if cell.cell_type != "code":
            continue
        count += 1
        found += [f"{here}: {problem}" for problem in code_faults(cell, count, kind)]
        found += [
            f"{here}: {problem}"
            for output in cell.outputs
            for problem in output_faults(output, kind)
        ]
    return found


def code_faults(cell, count, kind):
    source = lines(cell.source)
    if cell.execution_count != count:
        yield f"execution count is {cell.execution_count}, not {count}: run all cells from the top"
    if not any(line.strip() for line in source):
        yield "empty"
    folded = FOLDED & set(cell.metadata.get("tags", []))
    most = MOST_FOLDED if folded else MOST_LINES[kind]
    if len(source) > most:
        yield f"{len(source)} lines; at most {most}"
    if any(len(line) > 100 for line in source):
        yield "a line of more than 100 characters"
    if re.search(r"NBVAL_|raises-exception", cell.source + str(cell.metadata)):
        yield "asks nbval to look away"
    if re.search(r"\bimport \*", cell.source):
        yield "imports *"


def output_faults(output, kind):
    data = output.get("data", {})
    if output.output_type == "error" or output.get("name") == "stderr":
        yield "error or warning stored"
    if set(data) == {WIDGET}:
        yield "a widget view is stored; its model is gone"
    drawn = FIGURE_TYPE in data and kind != "exercises"
    if drawn and pictured(output) != fingerprint(data[FIGURE_TYPE]):
        yield "the PNG does not belong to this figure: python run.py notebooks"
    if FIGURE_TYPE in data and len(data.get("text/plain", "").split()) < 5:
        yield "a figure without its sentence"


def pictured(output):
    """Fingerprint of the figure that the PNG of an output shows."""
    return output.metadata.get("image/png", {}).get("figure")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_stored_notebook_is_clean(path):
    try:
        notebook = shelf.notebook(path)
    except Exception as error:
        pytest.fail(f"{path.name} cannot be read: {error}")
    assert faults(notebook, path.stat().st_size / 1000, path.parent.name) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_number_was_left_in_braces(path):
    """A string that lacks its f shows the code of a number in place of the number."""
    for cell in shelf.notebook(path).cells:
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get("text/markdown", "")
            prose = re.sub(r"`[^`]*`", "", shelf.without_formulas(text))
            assert not re.search(r"\{[^{}\n]+\}", prose), cell.id


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_stored_preset_is_the_course_preset(path):
    wanted = presets.course()["preset"]
    stored_with = shelf.notebook(path).metadata["v2gbook"]["preset"]
    assert stored_with == wanted, (
        "course.toml has changed: python run.py notebooks, then python run.py exercises, "
        "then python run.py test"
    )


def broken(change):
    notebook = nbformat.v4.new_notebook(metadata={"v2gbook": {"preset": "na-60hz"}})
    cell = nbformat.v4.new_code_cell("1 + 1", execution_count=1)
    notebook.cells.append(cell)
    change(notebook, cell)
    return faults(notebook, 1.0)


def stored(**output):
    return nbformat.v4.new_output(**output)


@pytest.mark.parametrize(
    "change, word",
    [
        (lambda nb, c: c.update(execution_count=None), "execution count"),
        (lambda nb, c: c.update(execution_count=3), "execution count"),
        (lambda nb, c: c.update(source="x = 1\n" * 26), "lines"),
        (lambda nb, c: c.update(source="x = '" + "a" * 130 + "'"), "100"),
        (lambda nb, c: c.update(source="# NBVAL_SKIP\n1"), "look away"),
        (
            lambda nb, c: c.outputs.append(stored(output_type="stream", name="stderr", text="w")),
            "warning",
        ),
        (
            lambda nb, c: c.outputs.append(
                stored(output_type="error", ename="E", evalue="", traceback=[])
            ),
            "error",
        ),
        (
            lambda nb, c: c.outputs.append(stored(output_type="display_data", data={WIDGET: {}})),
            "widget",
        ),
        (
            lambda nb, c: c.outputs.append(
                stored(
                    output_type="display_data",
                    data={FIGURE_TYPE: {"data": []}, "text/plain": "a b c d e"},
                )
            ),
            "PNG",
        ),
        (lambda nb, c: nb.metadata.pop("v2gbook"), "preset"),
        (lambda nb, c: nb.cells.append(nbformat.v4.new_markdown_cell("x", id=c.id)), "same id"),
    ],
)
def test_hygiene_canary(change, word):
    assert any(word in fault for fault in broken(change))


def test_hygiene_accepts_a_clean_notebook():
    assert broken(lambda nb, c: None) == []


@pytest.mark.parametrize(
    "path",
    [*NOTEBOOKS, ROOT / "START_HERE.md", ROOT / "README.md"],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_every_column_of_a_table_has_a_name(path):
    """A screen reader says it before each entry."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        shown = [
            output.data.get("text/markdown", "")
            for cell in cells
            for output in cell.get("outputs", [])
            if "data" in output
        ]
        text = "\n".join([cell.source for cell in cells if cell.cell_type == "markdown"] + shown)
    heads = re.findall(r"^(\|.*\|) *\n\|[ :|-]*-[ :|-]*\|", text, re.MULTILINE)
    assert [head for head in heads if re.search(r"\| *\|", head)] == []


@pytest.mark.parametrize(
    "path",
    [*NOTEBOOKS, *(ROOT / "v2gbook").rglob("*.py")],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_equal_values_are_ordered_alike_on_every_processor(path):
    """NumPy's fastest sorting leaves equal values in an order that depends on the processor."""
    called = [
        ast.unparse(node) for node in ast.walk(shelf.tree_of(path)) if isinstance(node, ast.Call)
    ]
    ordering = [
        call for call in called if re.match(r"[\w.]*(argsort|sort_values|argpartition)\(", call)
    ]
    assert [call for call in ordering if "kind='stable'" not in call] == []


@pytest.mark.parametrize("topic", TOPICS)
def test_topic_has_its_five_rooms(topic):
    name = topic.split("_", 1)[1]
    rooms = [
        f"chapters/{topic}.ipynb",
        f"v2gbook/{name}.py",
        f"exercises/{topic}.ipynb",
        f"tests/test_{name}.py",
    ]
    rooms += [f"solutions/{topic}.ipynb"] if (ROOT / "solutions").exists() else []
    assert [room for room in rooms if not (ROOT / room).exists()] == []


def test_no_sixth_room():
    modules = {path.stem for path in MODULES}
    assert modules - CHAPTERLESS == {topic.split("_", 1)[1] for topic in TOPICS}


@functools.cache
def equations(path):
    """Numbers of equations that a module's code and docstrings name."""
    code = path.read_text(encoding="utf-8")
    marked = re.findall(r"# eq\. \((\d+\.\d+)\)", code)
    stated = re.findall(r"\S {3,}\((\d+\.\d+)\)$", code, re.MULTILINE)
    return {*marked, *stated}


@functools.cache
def tags():
    """Numbers of all equations of all chapters."""
    chapters = [ROOT / "chapters" / f"{topic}.ipynb" for topic in TOPICS]
    cells = [cell for path in chapters for cell in shelf.notebook(path).cells]
    return {tag for cell in cells for tag in re.findall(r"\\tag\{(\d+\.\d+)\}", cell.source)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_equation_numbers_of_the_code_stand_in_their_chapter(path):
    assert equations(path) - tags() == set()


@pytest.mark.parametrize("topic", TOPICS)
def test_each_topic_marks_its_equations_in_the_code(topic):
    number, name = topic.split("_", 1)
    own = equations(ROOT / "v2gbook" / f"{name}.py")
    assert {one for one in own if one.startswith(f"{int(number)}.")}


@pytest.mark.parametrize("topic", TOPICS)
def test_equations_and_sections_run_in_order_of_appearance(topic):
    cells = shelf.notebook(ROOT / "chapters" / f"{topic}.ipynb").cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for pattern in (r"\\tag\{(\d+\.\d+)\}", r"(?m)^## (\d+\.\d+) "):
        found = re.findall(pattern, text)
        assert found == [f"{int(topic[:2])}.{place}" for place in range(1, len(found) + 1)]


def test_chapters_link_to_what_exists():
    for path in [*NOTEBOOKS, ROOT / "START_HERE.md", ROOT / "README.md"]:
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", text):
            if target != "MY_PROGRESS.md" and re.search(
                r"\.(ipynb|md|png|toml|txt)$|LICENSE$", target
            ):
                there = (path.parent / target).resolve()
                assert there.exists() or "solutions" in there.parts, (
                    f"{path.name} links to {target}"
                )


@pytest.mark.parametrize("page", ["README.md", "START_HERE.md"])
def test_map_of_the_course_is_up_to_date(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text == with_map(text), "run: python run.py notebooks"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_notebook_does_not_rebind_what_it_imported(path):
    tree = ast.parse(shelf.code_of(path))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and "v2gbook" in (node.module or "")
        for alias in node.names
    }
    bound = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    bound |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert imported & bound == set()


def test_the_inventory_is_asked_before_the_first_chapter_and_after_the_last():
    chapters = sorted((ROOT / "chapters").glob("*.ipynb"))
    stages = {
        path.stem: [
            stage
            for cell in shelf.notebook(path).cells
            for stage in re.findall(r'^inventory\("(\w+)"\)', cell.source, re.MULTILINE)
        ]
        for path in chapters
    }
    asked = {stem: told for stem, told in stages.items() if told}
    assert asked == {chapters[0].stem: ["before"], chapters[-1].stem: ["after"]}, (
        "move the cells with the course"
    )


def test_arrows_go_one_way():
    """Topics import NumPy, SciPy, pandas and their like, never the classroom.

    The classroom never imports a topic.
    """
    topics = {topic.split("_", 1)[1] for topic in TOPICS} | CHAPTERLESS
    for path in (ROOT / "v2gbook").rglob("*.py"):
        tree = shelf.tree_of(path)
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {
            f"{n.module or ''}.{a.name}"
            for n in ast.walk(tree)
            if isinstance(n, ast.ImportFrom)
            for a in n.names
        }
        parts = {part for name in names for part in name.split(".")}
        assert not parts & (
            {"classroom", "plotly", "ipywidgets", "IPython"} if path.stem in topics else topics
        ), path


# ----------------------------------------- the comparison policy, on notebooks made to pass or fail

FIGURE = """
from IPython.display import display
trace = {'type': 'scatter', 'name': 'f', 'x': [0, 1], 'y': [1.0, %s]}
figure = {'data': [trace], 'layout': {'xaxis': {'title': {'text': '%s'}}}}
display({'application/vnd.plotly.v1+json': figure, 'text/plain': 'a figure'}, raw=True)"""
CURVE = """
from IPython.display import display
import numpy as np
x = np.linspace(0, 6, %d)
figure = {'data': [{'type': 'scatter', 'x': list(x), 'y': list(0 * x)}], 'layout': {}}
display({'application/vnd.plotly.v1+json': figure, 'text/plain': 'a figure'}, raw=True)"""
DRAWING = """
from IPython.display import display
svg = ('<svg xmlns="http://www.w3.org/2000/svg"><title>a street</title>'
       '<text x="%s" y="2">R1</text><text>%s</text><path d="M 0 0"/>%s</svg>')
display({'image/svg+xml': svg, 'text/plain': 'a street'}, raw=True)"""
# Name, code that runs, code whose output is stored, and whether the comparison must pass
CANARIES = [
    ("same", "print('f = 49.9 Hz')", None, True),
    ("last_digits", "print('f = 49.900000001 Hz')", "print('f = 49.9 Hz')", True),
    ("another_number", "print('f = 49.91 Hz')", "print('f = 49.9 Hz')", False),
    ("another_sign", "print('p = -5 MW')", "print('p = 5 MW')", False),
    ("another_word", "print('f falls')", "print('f rises')", False),
    (
        "markdown",
        "from IPython.display import *; display(Markdown('**1.5**'))",
        "from IPython.display import *; display(Markdown('**1.6**'))",
        False,
    ),
    ("missing_output", "pass", "print('f')", False),
    ("extra_output", "print('f')", "pass", False),
    ("stderr", "import sys; print('w', file=sys.stderr)", "pass", False),
    ("figure_same", FIGURE % ("2.0000000001", "t"), FIGURE % ("2.0", "t"), True),
    ("figure_value", FIGURE % ("2.1", "t"), FIGURE % ("2.0", "t"), False),
    ("figure_hair", FIGURE % ("2.00003", "t"), FIGURE % ("2.0", "t"), True),
    ("figure_nudge", FIGURE % ("2.0005", "t"), FIGURE % ("2.0", "t"), False),
    ("figure_thinned", CURVE % 97, CURVE % 98, True),
    ("figure_shape", CURVE % 97, CURVE % 60, False),
    ("figure_title", FIGURE % ("2.0", "t"), FIGURE % ("2.0", "s"), False),
    (
        "drawing_same",
        DRAWING % (3.01, "35.0000001 m", "<path/>"),
        DRAWING % (3, "35 m", "<path/>"),
        True,
    ),
    ("drawing_label", DRAWING % (3, "30 m", "<path/>"), DRAWING % (3, "35 m", "<path/>"), False),
    ("drawing_element", DRAWING % (3, "35 m", ""), DRAWING % (3, "35 m", "<path/>"), False),
    ("error", "1 / 0", "pass", False),
    (
        "widget",
        "from IPython.display import display\n"
        "display({'application/vnd.jupyter.widget-view+json': {}}, raw=True)",
        "pass",
        True,
    ),
]


def executed(folder, cells):
    """A notebook whose cells have run in this folder."""
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


NOSY = "import os\nprint('x' in dir(), 'math' in dir(), os.getcwd().endswith('second'))"


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What nbval says of each cell, with the policy of conftest.py: a text with a line for each.

    The first notebook has a cell for each canary, stored from one code and run with another. The
    second leaves names behind, and the third looks for them.
    """
    folder = tmp_path_factory.mktemp("policy")
    shutil.copy(ROOT / "conftest.py", folder)
    canaries = executed(folder, [stored or code for _, code, stored, _ in CANARIES])
    for cell, (name, code, _, _) in zip(canaries.cells, CANARIES):
        cell.source = code
        # As the tidier stores figures.
        for output in cell.outputs if name.startswith("figure") else []:
            output.data[FIGURE_TYPE] = output.data.pop("application/vnd.plotly.v1+json")
        cell.outputs = [o for o in cell.outputs if set(o.get("data", {"": 0})) != {WIDGET}]
    nbformat.write(canaries, folder / "canaries.ipynb")
    for name, code in ("first", "import math\nx = 1"), ("second", NOSY):
        (folder / name).mkdir()
        nbformat.write(executed(folder / name, [code]), folder / name / "it.ipynb")
    options = ["-p", "no:cacheprovider", "-v", "--color=no", "-c", "/dev/null", "--rootdir", "."]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", *options, "canaries.ipynb", "first", "second"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return run.stdout


def test_comparison_policy(verdicts):
    found = dict(re.findall(r"canaries\W+ipynb::Cell (\d+) (PASSED|FAILED)", verdicts))
    expected = {
        str(i): "PASSED" if good else "FAILED" for i, (_, _, _, good) in enumerate(CANARIES)
    }
    named = {CANARIES[int(i)][0]: found.get(i) for i in expected if found.get(i) != expected[i]}
    assert named == {}, verdicts[-3000:]


def test_no_notebook_leans_on_the_one_before(verdicts):
    """They may share a kernel, but neither names nor folder."""
    assert re.findall(r"(\w+)/it\W+ipynb::Cell 0 (\w+)", verdicts) == [
        ("first", "PASSED"),
        ("second", "PASSED"),
    ], verdicts[-3000:]


def test_a_notebook_that_cannot_run_is_named_and_left_alone(tmp_path):
    with pytest.raises(SystemExit, match="cell bad stopped with SyntaxError"):
        execute(
            nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("def f(:", id="bad")]),
            tmp_path / "x.ipynb",
        )
    path = tmp_path / "x.ipynb"
    path.write_text('{"cells": [', encoding="utf-8")
    with pytest.raises(SystemExit, match="x.ipynb is not a readable notebook"):
        read(path)
    assert path.read_text(encoding="utf-8") == '{"cells": ['


def test_json_of_notebooks_is_byte_stable():
    """Tidying a stored notebook again changes nothing."""
    for path in NOTEBOOKS:
        assert nbformat.writes(nbformat.read(path, as_version=4)) + "\n" == path.read_text(
            encoding="utf-8"
        ), path
        assert json.loads(path.read_text(encoding="utf-8"))["nbformat"] == 4
