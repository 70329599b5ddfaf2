"""Figures: titles, numbers, captions, text alternatives, colours, and what dressing adds."""

import itertools
import json

import numpy as np
import pytest

from v2gbook.classroom import _notebook, figure, figures, show

# Machado, Oliveira and Fernandes (2009), doi:10.1109/TVCG.2009.113, severity 1, on linear RGB.
COLOUR_VISION = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
WHITE, DARK = "#FFFFFF", "#111111"  # pages of JupyterLab's two themes


@pytest.fixture
def shown(monkeypatch):
    """Everything that is displayed."""
    seen = []
    monkeypatch.setattr(figures, "display", lambda *things, raw=False: seen.extend(things))
    monkeypatch.setattr(figures, "numbers", figures._Numbers())
    monkeypatch.setattr(_notebook, "path", lambda: None)
    return seen


def lines(*names, x=(0.0, 1.0), ends=(1.0, 2.0, 3.0), **layout):
    """A figure with a line for each name, all from zero."""
    fig = figure("time [s]", "power [MW]", **layout)
    for name, end in zip(names, ends):
        fig.add_scatter(x=np.array(x), y=np.array([0.0, end]), name=name)
    return fig


# ------------------------------------------------------------------------------ titles and captions


def test_figure_needs_units():
    with pytest.raises(ValueError, match="y = 'frequency': an axis title ends in its unit"):
        figure("time [s]", "frequency")


def test_long_titles_are_broken_into_lines():
    fig = figure(
        "time [s]",
        "power of all cars that are plugged in at this time of the day [MW]",
        below="share of the cars [-]",
    )
    assert "<br>" in fig.layout.yaxis.title.text
    assert fig.layout.yaxis.title.text.endswith("[MW]")
    assert fig.layout.xaxis.title.text == "time [s]"


@pytest.mark.parametrize("alt", ["plot", "A line that rises from one to two", ""])
def test_show_needs_a_sentence(alt):
    with pytest.raises(ValueError, match="whole sentence"):
        show(lines("a"), alt=alt)


def test_show_stores_json_and_says_each_thing_once(shown):
    show(lines("a"), alt="A line rises from <one> to two.", caption="Watch the end.")
    stored, caption = shown
    assert stored["text/plain"] == "A line rises from <one> to two."
    assert stored["application/vnd.plotly.v1+json"]["data"][0]["type"] == "scatter"
    assert caption.data.startswith("**Figure 1.** Watch the end.")
    assert caption.data.count("A line rises from &lt;one&gt; to two.") == 1


def test_without_a_caption_the_description_is_printed_once(shown):
    show(lines("a"), alt="A line rises from one to two.")
    visible = shown[1].data.partition("<span")[0]
    assert visible == "**Figure 1.** A line rises from one to two."


def test_figures_are_numbered_in_order_and_a_cell_keeps_its_numbers(shown, monkeypatch, tmp_path):
    now = {"path": tmp_path / "07_inverter.ipynb", "cell": "a", "run": 1}
    for name in now:
        monkeypatch.setattr(_notebook, name, lambda name=name: now[name])
    order = [("a", 1), ("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5)]
    told = []
    for now["cell"], now["run"] in order:
        told.append(figures.numbers.next())
    assert told == ["7.1", "7.2", "7.3", "7.1", "7.4", "7.3"]
    now["path"] = tmp_path / "12_risk.ipynb"
    assert figures.numbers.next() == "12.1"


# ------------------------------------------------------------------------------------------ colours


def linear(colour):
    """Linear RGB of a colour such as "#5A5AD2", 0..1."""
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG 2 contrast of two colours, 1 to 21."""
    light, dark = sorted(
        (linear(one) @ [0.2126, 0.7152, 0.0722], linear(other) @ [0.2126, 0.7152, 0.0722]),
        reverse=True,
    )
    return (light + 0.05) / (dark + 0.05)


def lab(rgb):
    """CIE L*a*b* (D65) of linear RGB."""
    xyz = (
        np.array(
            [
                [0.4124564, 0.3575761, 0.1804375],
                [0.2126729, 0.7151522, 0.0721750],
                [0.0193339, 0.1191920, 0.9503041],
            ]
        )
        @ rgb
    )
    f = np.cbrt(np.maximum(xyz / [0.95047, 1.0, 1.08883], 1e-6))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(one, other, vision):
    """Distance of two colours as somebody with this colour vision sees them (CIE 1976)."""
    seen = [
        lab(np.clip(np.asarray(COLOUR_VISION[vision]) @ linear(colour), 0, 1))
        for colour in (one, other)
    ]
    return np.linalg.norm(seen[0] - seen[1])


def test_contrast_of_black_and_white_is_21():
    assert contrast("#000000", WHITE) == pytest.approx(21)
    assert contrast("#777777", WHITE) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("colour", [*figures.COLOURS, figures.GREY])
def test_every_colour_can_be_seen_on_white_and_on_dark(colour):
    assert contrast(colour, WHITE) >= 3
    assert contrast(colour, DARK) >= 3


@pytest.mark.parametrize("vision", COLOUR_VISION)
def test_colours_are_distinct_with_every_colour_vision(vision):
    closest = min(
        apart(one, other, vision) for one, other in itertools.combinations(figures.COLOURS, 2)
    )
    assert closest >= 20
    # The scale is sane.
    assert (
        apart("#56B4E9", "#CC79A7", "tritanopia")
        > apart("#FF0000", "#00B000", "deuteranopia") - 100
    )


def test_template_is_small():
    assert len(json.dumps(figures.TEMPLATE.to_plotly_json())) < 5000


# ----------------------------------------------------------------------------------------- dressing


def test_hover_says_units():
    fig = figures.dressed(lines("a"))
    assert fig.data[0].hovertemplate == "%{y:.5~g} MW"
    assert fig.layout.xaxis.unifiedhovertitle.text == "%{x:.5~g} s"


def test_hover_over_words_or_without_a_unit_is_left_alone():
    fig = figure("kind [-]", "share [-]")
    fig.add_bar(x=["a", "b"], y=[1, 2])
    figures.add_units(fig)
    assert fig.data[0].hovertemplate == "%{y:.5~g}"
    assert fig.layout.xaxis.unifiedhovertitle.text is None


def test_the_second_panel_has_its_own_unit():
    fig = figure("time [s]", "power [MW]", below="energy [MWh]")
    fig.add_scatter(x=[0, 1], y=[0, 1], yaxis="y2", name="e")
    figures.add_units(fig)
    assert fig.data[0].hovertemplate.endswith("MWh")


def test_hatched_bars_have_an_outline_and_plain_ones_need_none():
    fig = figures.figure("x [-]", "y [-]")
    for name in "ab":
        fig.add_bar(x=["one", "two"], y=[1, 2], name=name)
    figures.add_patterns(fig)
    assert [trace.marker.line.width for trace in fig.data] == [0.8, 0.8]
    alone = figures.figure("x [-]", "y [-]")
    alone.add_bar(x=["one", "two"], y=[1, 2], name="a")
    figures.add_patterns(alone)
    assert alone.data[0].marker.line.width is None


def test_several_areas_get_patterns_and_a_single_one_does_not():
    fig = figure("time [s]", "power [MW]")
    for name in ("a", "b", "c"):
        fig.add_scatter(x=[0, 1], y=[1, 1], stackgroup="all", name=name)
    figures.add_patterns(fig)
    assert len({trace.fillpattern.shape for trace in fig.data}) == 3
    alone = figure("time [s]", "power [MW]")
    alone.add_scatter(x=[0, 1], y=[1, 1], fill="tozeroy", name="a")
    figures.add_patterns(alone)
    assert alone.data[0].fillpattern.shape is None


def test_names_stand_at_line_ends_where_there_is_room():
    fig = lines("down", "up", ends=(-1.0, 1.0))
    figures.name_ends(fig)
    assert [note.text for note in fig.layout.annotations] == ["down", "up"]
    assert fig.layout.showlegend is False


@pytest.mark.parametrize(
    "fig",
    [
        lines("a", "b", ends=(1.0, 1.01)),
        lines("a", "b", xaxis_range=[0, 5]),
        lines("a", "b", yaxis_type="log"),
        lines("a name that is much too long for the margin", "b"),
        lines("alone"),
    ],
    ids=["no room", "ends before the edge", "logarithmic", "long", "one line"],
)
def test_names_stay_in_the_legend_otherwise(fig):
    figures.name_ends(fig)
    assert not fig.layout.annotations


# ----------------------------------------------------------------------------------------- thinning


def farthest(x, y, keep):
    """Largest vertical distance of a full curve from the one through the kept points."""
    return np.abs(y - np.interp(x, x[keep], y[keep])).max()


@pytest.mark.parametrize(
    "y",
    [
        lambda x: 100 * np.sin(x / 50),
        lambda x: np.where(x > 500, 300.0, 0.0),
        lambda x: 200 * np.exp(-x / 100),
        lambda x: np.random.default_rng(1).normal(0, 50, len(x)),
        lambda x: np.zeros_like(x),
    ],
    ids=["wave", "step", "decay", "noise", "flat"],
)
def test_a_thinned_curve_looks_the_same(y):
    x = np.linspace(0, 1000, 2001)
    keep = figures.visible_points(x, y(x), 0.2)
    assert farthest(x, y(x), keep) <= 0.2
    assert keep[0] == 0
    assert keep[-1] == 2000


def test_thinning_drops_what_is_straight_and_keeps_what_is_not():
    x = np.linspace(0, 1000, 2001)
    assert len(figures.visible_points(x, 2 * x, 0.2)) == 2
    assert len(figures.visible_points(x, 100 * np.sin(x / 50), 0.2)) < 400
    assert len(figures.visible_points(x, np.where(np.arange(2001) % 2, 100.0, 0.0), 0.2)) == 2001


def test_markers_short_curves_and_gaps_are_not_thinned():
    fig = figure("time [s]", "power [MW]")
    x = np.linspace(0, 1, 1000)
    fig.add_scatter(x=x, y=x, mode="markers")
    fig.add_scatter(x=x, y=np.where(x == x[5], np.nan, x))
    fig.add_scatter(x=x[:50], y=x[:50])
    fig.add_scatter(x=x, y=x)
    for trace in fig.data:
        figures.thin(trace, fig)
    assert [len(trace.x) for trace in fig.data] == [1000, 1000, 50, 2]
