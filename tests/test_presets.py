"""Every notebook runs under every preset, and no sentence belongs to another region.

In-process, in a fresh IPython shell each (no kernels). Under the preset that a notebook is stored
with, nbval runs it: here only the cells that a chapter's explorer needs run again. Under the other
presets those cells of a chapter run as well that the preset can reach. What the cells show that do
not run is read as it is stored. All cells of solutions run; an exercise has the cells of its
solution. Films are drawn at a few moments, explorers at both ends of every control, and under the
stored preset it is asked whether each control changes anything. Cells tagged `event` tell of real
events and keep their own numbers; everything else may only speak of the preset it runs under, and
fixed Markdown of none at all.
"""

import os
import pickle
import re
import types
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
import shelf
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from needed_cells import reached, until_explorer, with_needed
from test_explorers import idle
from tidy_notebooks import FIGURE

import v2gbook.classroom as classroom
from v2gbook.classroom import animate, presets

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(
    path
    for folder in ("chapters", "solutions", "exercises")
    for path in (ROOT / folder).glob("*.ipynb")
)

MOMENTS = 5  # of a film are read under each preset


@cache
def owned(key):
    """Patterns that only this preset (and those that share the value) may show."""
    preset = presets.load(key)
    stages = preset.frequency["ufls"]["f_hz"]
    return {
        "nominal frequency": rf"(?<![\d.,]){preset.f0_hz:g}(\.0+)?\s*Hz",
        "currency": rf"\b{preset.currency}\b",
        "load-shedding stage": "|".join(rf"(?<![\d.]){stage:g}0*\s*Hz" for stage in stages),
        "name": "|".join(map(re.escape, preset.names)),
    }


def strangers(text, own=None, but=()):
    """Words of `text` that belong to a preset other than `own` (a key.

    None: to any preset); kinds in `but` are let through.
    """
    # A formula belongs to no region.
    text = shelf.without_formulas(text)
    mine = owned(own) if own else {}
    found = []
    for key in presets.names():
        for what, pattern in owned(key).items():
            for match in re.finditer(pattern, text):
                if what not in but and not (
                    mine and any(re.fullmatch(p, match[0]) for p in mine.values())
                ):
                    found.append(f"{what} of {key}: {match[0]!r}")
    return sorted(set(found))


def run(cells, preset, path, tmp_path, monkeypatch):
    """Execute code cells in a fresh shell.

    Return the text that each cell shows, and the explorers and films it set up.
    """
    explorers, films = [], []
    shown = {}

    def shortened(draw, times, *, still, **more):
        films.append((draw, times))
        animate(draw, [times[0], times[-1]], **more)

    monkeypatch.setenv("V2GBOOK_PRESET", preset)
    monkeypatch.setenv("V2GBOOK_PROGRESS", str(tmp_path))
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    monkeypatch.setattr(
        classroom,
        "explore",
        lambda draw, *, alt, caption="", play=None, positions=None, **controls: explorers.append(
            (draw, controls)
        ),
    )
    monkeypatch.setattr(classroom, "animate", shortened)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(colors="nocolor")
    try:
        for cell in cells:
            if cell.cell_type != "code":
                continue
            with capture_output() as captured:
                result = shell.run_cell(cell.source)
            error = result.error_before_exec or result.error_in_exec
            assert error is None, f"cell {cell.id} under {preset}: {type(error).__name__}: {error}"
            shown[cell.id] = captured.stdout + "\n".join(
                words(output.data) for output in captured.outputs
            )
    finally:
        InteractiveShell.clear_instance()
    return shown, explorers, films


def stored_text(cells):
    """The text that each cell shows as it is stored."""
    return {
        cell.id: "\n".join(
            output.get("text", "") + words(output.get("data", {})) for output in cell.outputs
        )
        for cell in cells
        if cell.cell_type == "code"
    }


def words(data):
    """All text of one output, axis titles and trace names included."""
    empty = {"data": [], "layout": {}}
    figure = data.get("application/vnd.plotly.v1+json", data.get(FIGURE, empty))
    titles = [
        axis["title"]["text"]
        for name, axis in figure["layout"].items()
        if re.match("[xy]axis", name)
    ]
    return "\n".join(
        [
            data.get("text/markdown", ""),
            data.get("text/plain", ""),
            *titles,
            *(trace.get("name") or "" for trace in figure["data"]),
        ]
    )


@pytest.fixture(autouse=True)
def tidy_environment():
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def own_preset(notebook):
    """The preset that a notebook is stored with."""
    return notebook.metadata.get("v2gbook", {}).get("preset")


def runs():
    """What runs here, as (path, preset)."""
    for path in NOTEBOOKS:
        own = own_preset(shelf.notebook(path))
        for preset in presets.names():
            if path.parent.name == "chapters" or (
                path.parent.name == "solutions" and preset != own
            ):
                yield pytest.param(path, preset, id=f"{path.parent.name}-{path.stem}-{preset}")


def to_run(notebook, path, preset, monkeypatch):
    """The cells that run here: of a solution all of them.

    Of a chapter those that its explorer needs, and those that the preset can reach.
    """
    if path.parent.name != "chapters":
        return notebook.cells
    needed = until_explorer(notebook.cells)
    if preset != own_preset(notebook):
        needed = needed + of_region(notebook.cells, preset, own_preset(notebook), monkeypatch)
    ids = {cell.id for cell in needed}
    return [cell for cell in notebook.cells if cell.id in ids]


def of_region(cells, preset, own, monkeypatch):
    """The code cells that a preset can reach, and what they need.

    It reaches them by the parameters that have other values than under the stored preset.
    """
    code = [cell for cell in cells if cell.cell_type == "code"]
    first = [
        cell for cell in code if {"imports", "parameters"} & set(cell.metadata.get("tags", []))
    ]
    here, there = (parameters(first, key, monkeypatch) for key in (preset, own))
    names = {name for name in here if frozen(here[name]) != frozen(there[name])}
    rest = [cell for cell in code if cell not in first]
    asks = {cell.id for cell in rest if "presets.current" in cell.source}
    return with_needed(code, reached(rest, names | {"region", "Workbook"}) | asks)


def parameters(cells, preset, monkeypatch):
    """What the first cells of a chapter set under a preset."""
    monkeypatch.setenv("V2GBOOK_PRESET", preset)
    names = {}
    for cell in cells:
        exec(cell.source, names)
    return names


def frozen(value):
    """Bytes that are equal for equal values; for what has none, something that equals nothing."""
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, TypeError, AttributeError):
        return value if isinstance(value, types.ModuleType) else object()


@pytest.mark.parametrize("preset", presets.names())
def test_a_year_in_houston_is_counted_in_its_own_money(preset, monkeypatch):
    """Chapter 8 puts no price of another region into its years in Texas, which are in USD."""
    path = ROOT / "chapters" / "08_arbitrage.ipynb"
    notebook = shelf.notebook(path)
    monkeypatch.chdir(path.parent)
    cells = of_region(notebook.cells, preset, own_preset(notebook), monkeypatch)
    assert not [cell.id for cell in cells if "ercot" in cell.source]


@pytest.mark.parametrize("path, preset", list(runs()))
def test_notebook_under_preset(path, preset, tmp_path, monkeypatch):
    notebook = shelf.notebook(path)
    own = preset == own_preset(notebook)
    cells = to_run(notebook, path, preset, monkeypatch)
    ran, explorers, films = run(cells, preset, path, tmp_path, monkeypatch)
    shown = stored_text(notebook.cells) | ({} if own else ran)
    events = {cell.id for cell in notebook.cells if "event" in cell.metadata.get("tags", [])}
    for name, text in shown.items():
        assert not re.search(r"(?<![\w.])(nan|inf)(?![\w.])", text, re.IGNORECASE), (
            f"cell {name} shows {text}"
        )
        if name not in events:
            assert strangers(text, preset) == [], f"cell {name} under {preset}"
    everything = "\n".join(shown.values())
    if path.parent.name == "solutions":
        assert "✗" not in everything
        assert "partly" not in everything
        assert "not attempted" not in everything
    if any(cell.source.startswith("explore(") for cell in notebook.cells):
        assert explorers
    for draw, controls in explorers:
        check_both_ends(draw, controls, preset)
        if own:
            assert idle(draw, controls) == []
    for draw, times in films:
        check_moments(draw, times, preset)


def check_moments(draw, times, preset):
    """What a film says at a few moments is a sentence of this region, with numbers."""
    for place in np.linspace(0, len(times) - 1, MOMENTS).astype(int):
        _, text = draw(time=float(times[place]))
        assert not re.search(r"\b(nan|inf)\b|None", text), text
        assert strangers(text, preset, but=("load-shedding stage",)) == []


def check_both_ends(draw, controls, preset):
    """An explorer's draw works with every slider at both ends, and keeps its traces."""
    start = {name: control.value for name, control in controls.items()}
    assert start
    kinds = None
    for name, control in controls.items():
        ends = control.options or [control.low, control.high]
        for value in ends:
            drawn = draw(**{**start, name: value})
            fig, text = drawn if isinstance(drawn, tuple) else (drawn, "")
            here = [trace.type for trace in fig.data]
            kinds = kinds or here
            assert here == kinds, f"{name} = {value}: traces change from {kinds} to {here}"
            assert not re.search(r"\b(nan|inf)\b", text)
            # A lowest frequency may fall on any value.
            assert strangers(text, preset, but=("load-shedding stage",)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_fixed_text_belongs_to_no_region(path):
    for cell in shelf.notebook(path).cells:
        if cell.cell_type == "markdown" and "event" not in cell.metadata.get("tags", []):
            assert strangers(cell.source) == [], f"cell {cell.id}"


@pytest.mark.parametrize(
    "text, own",
    [
        ("falls from 60 Hz", "gb-50hz"),
        ("falls from 50.0 Hz", "na-60hz"),
        ("costs USD 120 a month", "eu-50hz"),
        ("costs GBP 3", "na-60hz"),
        ("0.3 EUR/kWh", "gb-50hz"),
        ("price [USD/MWh]", "gb-50hz"),
        ("**USD 5** and $x$", None),
        ("the ERCOT market", "gb-50hz"),
        ("below 59.3 Hz", "eu-50hz"),
        ("below 48.80 Hz", "na-60hz"),
        ("Dynamic Containment", "eu-50hz"),
        ("60 Hz", None),
        ("USD 5", None),
        ("LFDD", None),
    ],
)
def test_canary_of_a_foreign_sentence(text, own):
    assert strangers(f"Frequency and money: {text} and so on.", own) != []


@pytest.mark.parametrize(
    "text, own",
    [
        ("falls from 60 Hz", "na-60hz"),
        ("50 Hz and 49.5 Hz", "gb-50hz"),
        ("49.50 Hz", None),
        ("$\\Delta f = 3$ and $H = 5$ s", None),
        ("$$E = 60\\ \\text{Hz}$$", None),
        ("LFDD at 48.8 Hz", "gb-50hz"),
        ("costs USD 120", "na-60hz"),
        ("price [EUR/kWh]", "eu-50hz"),
        ("two dollars and five euros", None),
    ],
)
def test_canary_of_a_sentence_at_home(text, own):
    assert strangers(text, own) == []


def test_canary_notebook_fails(tmp_path, monkeypatch):
    """A planted error, a planted foreign sentence and a planted nan are all caught."""
    for source, message in (
        ("1/0", "ZeroDivisionError"),
        ("print('below 59.3 Hz')", "load-shedding"),
        ("print(float('nan'))", "shows nan"),
    ):
        path = tmp_path / f"{message}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
        with pytest.raises(AssertionError, match=message):
            test_notebook_under_preset(path, "gb-50hz", tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "sources, ids",
    [
        (["y = f0 + 1", "z = 2", "y"], [0, 2]),  # what was made with it
        (["y = 1", "y = f0", "y = 3", "y"], [1]),  # and made anew without it
        (["x = []", "x.append(f0)", "x"], [1, 2]),  # what was changed with it
        (["x = {}", "x['a'] = f0", "x"], [1, 2]),
        (["x = 1", "x += f0", "x"], [1, 2]),
        (["def f():\n    return f0", "f()", "g = 1"], [0, 1]),  # by way of a function
        (["def f(f0):\n    return f0", "f(1)"], []),  # a name of its own
        (["a = 1\ndef f():\n    return a", "a = f0", "f()"], [1, 2]),  # read when it is called
        (["for k in f0:\n    b = k", "b"], [0, 1]),
        (["for f0 in range(3):\n    f0"], []),  # made before it is used
        (["if n:\n    f0 = 1\nf0"], [0]),  # perhaps not made
        (["rng = np.random.default_rng(1)", "rng.random(f0)", "rng.random()"], [1, 2]),
    ],
)
def test_what_a_name_reaches(sources, ids):
    cells = [nbformat.v4.new_code_cell(source, id=str(k)) for k, source in enumerate(sources)]
    assert reached(cells, {"f0"}) == set(map(str, ids))


def test_what_reached_cells_need():
    sources = ["a = 1", "b = 2", "x = [a]", "x.append(b)", "c = 3", "y = f0 + x[0]"]
    cells = [nbformat.v4.new_code_cell(source, id=str(k)) for k, source in enumerate(sources)]
    assert [cell.id for cell in with_needed(cells, {"5"})] == ["0", "1", "2", "3", "5"]


@pytest.mark.parametrize("key", presets.names())
def test_preset_is_complete(key):
    """All presets have the same tables and entries, and each service names its source."""

    def shape(preset):
        return {
            name: {k for k in table if k not in ("services", "ev_service")}
            for name, table in preset.tables.items()
        }

    preset = presets.load(key)
    assert shape(preset) == shape(presets.load("na-60hz"))
    assert preset.f0_hz in (50.0, 60.0)
    assert preset.frequency["ev_service"] in preset.frequency["services"]
    assert all(service["source"] for service in preset.frequency["services"].values())
