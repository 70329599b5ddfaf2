"""Every stored figure, drawn by plotly.js in headless Chromium: its words are whole and apart.

Axis titles, tick labels, legends and annotations lie inside the picture. An axis title covers no
tick label, no other title and no legend; a legend covers no panel. All figures are drawn into one
element, so that this takes seconds.
"""

import functools
import json
import sys
from pathlib import Path

import plotly
import pytest
import shelf
from plotly.utils import PlotlyJSONEncoder

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from tidy_notebooks import FIGURE

from v2gbook.classroom import figure, figures

NOTEBOOKS = sorted(
    path
    for folder in ("chapters", "solutions", "exercises")
    for path in (ROOT / folder).glob("*.ipynb")
)
LIBRARY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
WIDTH = figures.WIDTH
SLACK = 1  # that a box may stand out of the picture, or into another one [pixels]
TITLES_APART = 4  # at least so far, or two titles read as one [pixels]

# Draws a figure; gives the size of the picture and, for each text in it, its kind, words and box.
MEASURE = """async figure => {
    const stage = document.querySelector('#stage');
    await Plotly.newPlot(stage, figure.data, figure.layout, {staticPlot: true});
    const frame = stage.querySelector('.main-svg').getBoundingClientRect();
    const box = (at) => [at.left, at.top, at.right, at.bottom].map(
        (place, side) => place - (side % 2 ? frame.y : frame.x));
    const kinds = {
        title: '.infolayer text[class$=title]', tick: '[class$=tick] text', legend: '.legend',
        annotation: '.annotation-text-g', label: '.textpoint text, .bartext',
    };
    const found = [];
    for (const [kind, selector] of Object.entries(kinds)) {
        for (const node of stage.querySelectorAll(selector)) {
            const at = node.getBoundingClientRect();
            if (at.width && node.textContent) found.push([kind, node.textContent, box(at)]);
        }
    }
    for (const {xaxis: x, yaxis: y} of Object.values(stage._fullLayout._plots)) {
        const [left, top] = [x._offset, y._offset];
        found.push(['panel', '', [left, top, left + x._length, top + y._length]]);
    }
    return {width: frame.width, height: frame.height, found};
}"""
# Kinds that may not touch.
APART = {("title", "title"), ("title", "tick"), ("title", "legend"), ("legend", "panel")}


@pytest.fixture(scope="module")
def measure(chromium):
    """Measures a figure given as plotly's plain values; the same figure once.

    (A sheet and its solution show the same ones.)
    """
    page = chromium.new_page(viewport={"width": WIDTH + 40, "height": 900})
    page.set_content("<!doctype html><div id='stage'></div>")
    page.add_script_tag(path=str(LIBRARY))

    @functools.cache
    def measured_text(text):
        figure = json.loads(text)
        layout = {**figure["layout"], "width": WIDTH}
        return page.evaluate(MEASURE, {"data": figure["data"], "layout": layout})

    return lambda figure: measured_text(json.dumps(figure, cls=PlotlyJSONEncoder))


def faults(picture):
    """What is wrong with a measured figure, each in words."""
    found = picture["found"]
    for kind, words, box in found:
        if kind != "panel" and outside(box, picture["width"], picture["height"]):
            yield f"{kind} {words!r} is cut at the edge of the picture"
    for number, (kind, words, box) in enumerate(found):
        for other_kind, other_words, other_box in found[number + 1 :]:
            pair = {(kind, other_kind), (other_kind, kind)}
            near = TITLES_APART if kind == other_kind else -SLACK
            if pair & APART and overlap(box, other_box, near):
                yield f"{kind} {words!r} lies on {other_kind} {other_words!r}"


def outside(box, width, height):
    """Whether a box (left, top, right, bottom) stands out of the picture."""
    left, top, right, bottom = box
    return left < -SLACK or top < -SLACK or right > width + SLACK or bottom > height + SLACK


def overlap(one, other, near):
    """Whether two boxes lie on each other, or nearer than so many pixels."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across > -near and down > -near


def stored_figures(path):
    """Cell and plain values of each figure in a stored notebook."""
    for cell in shelf.notebook(path).cells:
        for output in cell.get("outputs", []):
            if FIGURE in output.get("data", {}):
                yield cell.id, output["data"][FIGURE]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_words_of_figures_are_whole_and_apart(path, measure):
    found = [
        f"{path.name}, cell {cell}: {fault}"
        for cell, stored in stored_figures(path)
        for fault in faults(measure(stored))
    ]
    assert found == []


def drawn(**layout):
    """A figure in the course's template, with a line that has a name, as plain values."""
    fig = figure("time [s]", "power [MW]", below="energy [MWh]", height=360)
    fig.add_scatter(x=[0, 1], y=[0, 1], name="a line")
    fig.add_scatter(x=[0, 1], y=[0, 1], name="another", yaxis="y2")
    return fig.update_layout(template=figures.TEMPLATE, showlegend=True, **layout).to_plotly_json()


LONG = "power of all the cars that are plugged in at this hour of the day [MW]"


@pytest.mark.parametrize(
    "layout, word",
    [
        ({"yaxis_title_text": LONG}, "is cut"),
        ({"yaxis_title_text": LONG[:38], "yaxis2_title_text": LONG[:38]}, "lies on title"),
        ({"legend_y": 0.6, "legend_yanchor": "top"}, "lies on panel"),
        ({"annotations": [{"text": "far", "xref": "paper", "x": 1.2, "y": 1}]}, "annotation 'far'"),
    ],
)
def test_canary_of_a_fault(layout, word, measure):
    assert any(word in fault for fault in faults(measure(drawn(**layout))))


def test_canary_of_a_title_on_tick_labels(measure):
    names = ["authorisation set-up", "service discovery and selection"]
    axis = {"title": {"text": "message [-]"}, "automargin": False}
    plain = {
        "data": [{"type": "bar", "orientation": "h", "y": names, "x": [1, 2]}],
        "layout": {"yaxis": axis, "margin": {"l": 160}, "height": 300},
    }
    assert any("lies on tick" in fault for fault in faults(measure(plain)))


def test_canary_of_a_good_figure(measure):
    assert list(faults(measure(drawn()))) == []
