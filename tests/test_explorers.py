"""Explorers: every slider and every drop-down changes what a reader sees."""

import json

import nbformat
import numpy as np
import pytest
from plotly.utils import PlotlyJSONEncoder
from test_presets import NOTEBOOKS, run

from v2gbook.classroom import choice, figure, slider

CHAPTERS = [path for path in NOTEBOOKS if path.parent.name == "chapters"]
LOOKS = 5  # at so many values of a slider, its ends among them


def shown(draw, values):
    """What a reader sees at these positions: curves, ranges and sentence, as one text."""
    drawn = draw(**values)
    fig, words = drawn if isinstance(drawn, tuple) else (drawn, "")
    return json.dumps([fig.to_plotly_json(), words], cls=PlotlyJSONEncoder, sort_keys=True)


def values_of(control):
    """Values of a control from one end to the other, as `draw` gets them."""
    if control.options:
        return control.options
    return [control.cast(value) for value in np.linspace(control.low, control.high, LOOKS)]


def idle(draw, controls):
    """Names of the controls that change nothing in their range, the others at the start."""
    start = {name: control.cast(control.value) for name, control in controls.items()}
    return [name for name, control in controls.items()
            if len({shown(draw, start | {name: value}) for value in values_of(control)}) == 1]


def until_last_explorer(notebook):
    """The notebook without the cells after its last explorer; None if it has none."""
    places = [place for place, cell in enumerate(notebook.cells)
              if cell.cell_type == "code" and "explore(" in cell.source]
    notebook.cells = notebook.cells[:places[-1] + 1] if places else []
    return notebook if places else None


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_control_changes_what_is_seen(path, tmp_path, monkeypatch):
    notebook = until_last_explorer(nbformat.read(path, as_version=4))
    if notebook is None:
        pytest.skip("this chapter has no explorer")
    preset = notebook.metadata["v2gbook"]["preset"]
    _, explorers = run(notebook, preset, path, tmp_path, monkeypatch)
    assert explorers
    assert [idle(draw, controls) for draw, controls in explorers] == [[] for _ in explorers]


def line(slope, colour, deaf):
    """A figure that follows the first two controls and not the third."""
    fig = figure("time [s]", "power [MW]")
    fig.add_scatter(x=[0, 1], y=[0, slope], line={"color": colour})
    return fig, f"slope {slope}"


def test_canary_of_an_idle_control():
    controls = {
        "slope": slider("Slope", 0, 10, 5, step=1, unit="-"),
        "colour": choice("Colour", ("red", "blue"), "red"),
        "deaf": slider("Deaf", 0, 10, 5, step=1, unit="-"),
    }
    assert idle(line, controls) == ["deaf"]
