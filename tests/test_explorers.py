"""Which controls of an explorer change nothing.

Test_presets.py asks it of every explorer of the course.
"""

import json

import numpy as np
from plotly.utils import PlotlyJSONEncoder

from v2gbook.classroom import choice, figure, slider

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
    return [
        name
        for name, control in controls.items()
        if len({shown(draw, start | {name: value}) for value in values_of(control)}) == 1
    ]


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
