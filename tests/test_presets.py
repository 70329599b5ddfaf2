"""Every notebook runs under every preset, and no sentence belongs to another region.

In-process, in a fresh IPython shell each (no kernels). Under the preset that a notebook is stored
with, nbval runs it: here only the cells that a chapter's explorer needs run again, and what the
others show is read. So it is under every preset where a chapter's code takes nothing from the
region. Otherwise all cells of chapters and solutions run under the other presets; an exercise has
the cells of its solution. Films are drawn at a few moments, explorers at both ends of every
control, and under the stored preset it is asked whether each control changes anything. Cells
tagged `event` tell of real events and keep their own numbers; everything else may only speak of
the preset it runs under, and fixed Markdown of none at all.
"""

import ast
import os
import re
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
import shelf
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from needed_cells import names_of, parsed, until_explorer
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
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", "", text, flags=re.DOTALL)
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


def takes_from_region(cells):
    """Does any code use the region, beyond asking which it is?"""
    asked = ast.dump(ast.parse("region = presets.current()").body[0])
    code = [parsed(cell.source) for cell in cells if cell.cell_type == "code"]
    lines = [line for tree in code for line in tree.body if ast.dump(line) != asked]
    used = [names_of(line)[1] for line in lines]
    return not {"region", "presets", "Workbook"}.isdisjoint(set().union(*used))


@pytest.mark.parametrize("path, preset", list(runs()))
def test_notebook_under_preset(path, preset, tmp_path, monkeypatch):
    notebook = shelf.notebook(path)
    own = preset == own_preset(notebook)
    stored = own or (path.parent.name == "chapters" and not takes_from_region(notebook.cells))
    cells = until_explorer(notebook.cells) if stored else notebook.cells
    shown, explorers, films = run(cells, preset, path, tmp_path, monkeypatch)
    if stored:
        shown = stored_text(notebook.cells)
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
    "source, takes",
    [
        ("region = presets.current()\nn_cars = 3", False),
        ("region = presets.current()\nf0_hz = region.f0_hz", True),
        ("def f0():\n    return region.f0_hz", True),
        ("street = presets.load('gb-50hz').charger", True),
        ("book = Workbook('01_frequency')", True),
    ],
)
def test_what_takes_from_the_region(source, takes):
    assert takes_from_region([nbformat.v4.new_code_cell(source)]) == takes


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
