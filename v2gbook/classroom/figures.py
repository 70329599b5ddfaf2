"""Figures of the course: one template, numbers, captions, and a sentence that says what they show.

`figure(x, y)` gives an empty plotly figure, `show(fig, alt=..., caption=...)` dresses, numbers and
shows it. Dressing adds what a reader would miss: units in the hover, full names, patterns in areas,
names at the ends of lines where there is room.
"""

import html
import itertools
import json
import re
import textwrap
from typing import Any

import numpy as np
import plotly.graph_objects as go
from IPython.display import Markdown, display

from . import _notebook

# Six colours with a contrast of at least 3:1 on white and on JupyterLab's dark page, and distinct
# with every common kind of colour vision (a test simulates them); dashes and markers repeat the
# difference in grey.
COLOURS = ["#5A5AD2", "#D27800", "#00A578", "#D20F3C", "#965A96", "#8700FF"]
GREY = "#6B6B6B"
DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "solid"]
MARKERS = ["circle", "square", "diamond", "cross", "triangle-up", "x"]
PATTERNS = ["", "/", ".", "x", "-", "|"]
EDGE = {"color": "#444444", "width": 0.8}  # of bars where some are hatched
# A threshold: fig.add_scatter(..., line=LIMIT).
LIMIT = {"color": GREY, "dash": "dot", "width": 1.5}
# Measured points: fig.add_scatter(..., **MEASURED).
MEASURED = {"mode": "markers", "marker": {"color": GREY, "symbol": "circle-open", "size": 9}}

_AXIS = {
    "showline": True,
    "linecolor": "#555",
    "gridcolor": "#e5e5e5",
    "zeroline": False,
    "ticks": "outside",
    "automargin": True,
    "title": {"standoff": 8},
}
TEMPLATE = go.layout.Template(
    layout={
        "colorway": COLOURS,
        "font": {"size": 14, "color": "#222"},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "margin": {"l": 70, "r": 20, "t": 40, "b": 60},
        "hovermode": "x unified",
        "hoverlabel": {"namelength": -1},
        "legend": {
            "orientation": "h",
            "yanchor": "bottom",
            "y": 1.02,
            "x": 0,
            "traceorder": "normal",
        },
    },
    data={
        "scatter": [
            {
                "mode": "lines",
                "line": {"dash": dash, "width": 2.5, "simplify": False},
                "marker": {"symbol": symbol, "size": 8},
            }
            for dash, symbol in zip(DASHES, MARKERS)
        ]
    },
)
PLOTLY = "application/vnd.plotly.v1+json"
WIDTH, HEIGHT = 760, 380  # of a stored picture [pixels]


def figure(
    x: str, y: str, *, below: str | None = None, height: int | None = None, **layout: Any
) -> go.Figure:
    """An empty figure; `show` and `explore` dress it in the course's style.

    Parameters
    ----------
    x, y : str
        Axis titles with their unit in brackets, such as "time [s]".
    below : str, optional
        Title of the vertical axis of a second panel under the first; its traces say `yaxis="y2"`.
    height : int, optional
        Height in pixels; the width follows the page.
    **layout
        Anything plotly's layout takes, such as `yaxis_range=[49, 50]`.

    Returns
    -------
    plotly.graph_objects.Figure
        Without any trace.

    Raises
    ------
    ValueError
        If an axis title does not end in its unit in brackets.

    Examples
    --------
    >>> figure("time [s]", "frequency [Hz]").layout.yaxis.title.text
    'frequency [Hz]'
    """
    for name, title in (("x", x), ("y", y), ("below", below or "[-]")):
        if not (title.endswith("]") and "[" in title):
            raise ValueError(
                f"{name} = {title!r}: an axis title ends in its unit in brackets, "
                "such as 'time [s]' or 'share [-]'"
            )
    high = height or (540 if below else HEIGHT)
    panel = 0.4 * high if below else 0.7 * high
    axes = {"xaxis": {"title": _wrapped(x, WIDTH - 100)}, "yaxis": {"title": _wrapped(y, panel)}}
    if below:
        axes["xaxis"]["anchor"] = "y2"
        axes["yaxis"]["domain"] = [0.53, 1]
        axes["yaxis2"] = {"title": _wrapped(below, panel), "domain": [0, 0.47], "anchor": "x"}
    # yaxis_range=... joins its axis here: update_layout takes four times as long.
    for name, value in layout.items():
        axis, _, entry = name.partition("_")
        if axis in axes:
            axes[axis][entry] = value
        else:
            axes[name] = value
    return go.Figure(layout={"template": "none", "height": high, **axes})


def _wrapped(title, pixels):
    """An axis title in as many lines as its axis is long (a letter is about 9 pixels wide)."""
    return "<br>".join(textwrap.wrap(title, max(12, int(pixels / 9)), break_long_words=False))


# ------------------------------------------------------------------------------------------ showing


def show(fig: go.Figure, *, alt: str, caption: str = "") -> None:
    """Show a figure with its number, one caption, and a text alternative.

    Parameters
    ----------
    fig : plotly.graph_objects.Figure
        Made with `figure`.
    alt : str
        One whole sentence that describes the figure to somebody who cannot see it.
    caption : str, optional
        What to see in it (Markdown). If it is left out, the description is the caption.

    Raises
    ------
    ValueError
        If the description is not a whole sentence.

    Examples
    --------
    >>> fig = figure("time [s]", "power [MW]").add_scatter(x=[0, 1], y=[0, 5], name="power")
    >>> show(fig, alt="Power rises to 5 MW in a second.")  # doctest: +ELLIPSIS
    {...
    """
    checked_alt(alt)
    display(stored(dressed(fig), alt), raw=True)
    captioned(caption, alt)


def checked_alt(alt):
    """Refuse a text alternative that is not a sentence."""
    if len(alt.split()) < 5 or not alt.rstrip().endswith("."):
        raise ValueError(
            f"alt is {alt!r}; say in one whole sentence, with a full stop, what the figure shows"
        )


def stored(fig, alt):
    """The figure as the notebook stores it: plotly JSON, and the sentence as text alternative."""
    return {PLOTLY: json.loads(fig.to_json()), "text/plain": alt}


def captioned(caption, alt):
    """Print "**Figure 7.1.**" and the caption, with the text alternative in the page's structure.

    A screen reader reads the alternative; on the page it is hidden where the class `sr-only` is
    known (JupyterLab knows it).
    """
    told = f"**Figure {numbers.next()}.** {caption or alt}"
    if caption:
        told += f' <span class="v2g-alt sr-only">In words: {html.escape(alt, quote=False)}</span>'
    else:
        told += f'<span class="v2g-alt" data-alt="{html.escape(alt)}"></span>'
    display(Markdown(told))


class _Numbers:
    """Numbers of the figures of one notebook, in the order in which they are first shown.

    A cell that runs again keeps its numbers; another notebook in the same kernel begins at 1.
    """

    def __init__(self):
        self._begin(None)

    def _begin(self, notebook):
        """No figure has been shown yet."""
        self.notebook = notebook
        self.of_cell = {}
        self.run = None
        self.count = 0

    def next(self):
        """The next number, with that of the chapter before it: "7.1"."""
        notebook = _notebook.path()
        if notebook != self.notebook:
            self._begin(notebook)
        run = _notebook.run()
        self.count = self.count + 1 if run == self.run and run is not None else 1
        self.run = run
        place = (_notebook.cell() or len(self.of_cell), self.count)
        number = self.of_cell.setdefault(place, len(self.of_cell) + 1)
        chapter = re.match(r"0*(\d+)_", notebook.name) if notebook else None
        return f"{chapter[1]}.{number}" if chapter else str(number)


numbers = _Numbers()


# ----------------------------------------------------------------------------------------- dressing


def dressed(fig):
    """The figure in the course's template.

    With units in the hover, patterns in areas, names at line ends, and no idle points.
    """
    add_units(fig)
    add_patterns(fig)
    for trace in fig.data:
        thin(trace, fig)
    name_ends(fig)
    return fig.update_layout(template=TEMPLATE)


def unit_of(axis):
    """Unit in brackets at the end of an axis title, such as "MW".

    An empty string if there is none or it is "-".
    """
    found = re.search(r"\[([^\[\]]+)\]$", axis.title.text or "")
    return found[1] if found and found[1] != "-" else ""


def axis_of(trace, fig, letter):
    """The axis object that a trace is drawn on."""
    name = getattr(trace, f"{letter}axis", None) or letter
    return fig.layout[f"{letter}axis{name[1:]}"]


def add_units(fig):
    """Hover over a curve says the value with its unit; the heading says where, with its unit."""
    if fig.layout.hovermode not in (None, "x unified"):
        return
    for trace in fig.data:
        if (
            trace.type in ("scatter", "bar")
            and trace.hovertemplate is None
            and trace.hoverinfo is None
        ):
            trace.hovertemplate = f"%{{y:.5~g}} {unit_of(axis_of(trace, fig, 'y'))}".rstrip()
    across = unit_of(fig.layout.xaxis)
    numeric = fig.layout.xaxis.type in (None, "linear", "log") and all(
        is_numeric(trace.x) for trace in fig.data
    )
    if across and numeric:
        fig.layout.xaxis.unifiedhovertitle.text = f"%{{x:.5~g}} {across}"


def is_numeric(values):
    """True for a sequence of plain numbers (not of dates or words)."""
    return values is not None and np.asarray(values).dtype.kind in "fiu"


def add_patterns(fig):
    """Where several areas or several kinds of bars meet, each gets its own pattern."""
    areas = [
        trace
        for trace in fig.data
        if trace.type == "scatter" and (trace.stackgroup or trace.fill not in (None, "none"))
    ]
    named = [
        trace
        for trace in areas
        if trace.name and trace.fillpattern.shape is None and trace.fillcolor is None
    ]
    bars = [trace for trace in fig.data if trace.type == "bar"]
    plain = [trace for trace in bars if trace.marker.pattern.shape is None]
    for number, trace in enumerate(named if len(named) > 1 else []):
        trace.fillpattern = {"shape": PATTERNS[number % len(PATTERNS)], "solidity": 0.25}
    kinds = list(dict.fromkeys(trace.name for trace in plain))  # bars of one name are one kind
    for trace in plain if len(kinds) > 1 else []:
        trace.marker.pattern = {
            "shape": PATTERNS[kinds.index(trace.name) % len(PATTERNS)],
            "solidity": 0.25,
        }
    hatched = any(trace.marker.pattern.shape for trace in bars)
    for trace in bars if hatched else []:
        if trace.marker.line.width is None:
            trace.marker.line = EDGE


def thin(trace, fig, pixels=0.05):
    """Drop the points of a long curve that lie less than a fraction of a pixel beside the line."""
    plain = (
        trace.type == "scatter"
        and "markers" not in (trace.mode or "lines")
        and not trace.stackgroup
    )
    if (
        not plain
        or trace.fill not in (None, "none")
        or not is_numeric(trace.x)
        or not is_numeric(trace.y)
    ):
        return
    if any(axis_of(trace, fig, letter).type == "log" for letter in "xy"):
        return
    x, y = np.asarray(trace.x, dtype=float), np.asarray(trace.y, dtype=float)
    if len(x) < 100 or len(x) != len(y) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return
    keep = visible_points(_scaled(x, 1200), _scaled(y, 500), pixels)
    trace.x, trace.y = x[keep], y[keep]


def _scaled(values, pixels):
    """Values as places on an axis that is so many pixels long."""
    return (values - values.min()) / (np.ptp(values) or 1.0) * pixels


def visible_points(x, y, tolerance):
    """Places of the points that a polyline needs to stay within a distance of the full one.

    The rule is Ramer's, Douglas's and Peucker's.

    Parameters
    ----------
    x, y : array of n
        The full polyline. [pixels]
    tolerance : float
        Largest vertical distance of a dropped point from the line that is drawn. [pixels]

    Returns
    -------
    array of int
        Ascending; first and last point always among them.

    References
    ----------
    .. [1] D. Douglas and T. Peucker, Cartographica 10(2), 112-122, 1973,
       doi:10.3138/FM57-6770-U75U-7727.
    """
    keep = np.zeros(len(x), dtype=bool)
    keep[[0, -1]] = True
    open_ends = [(0, len(x) - 1)]
    while open_ends:
        first, last = open_ends.pop()
        if last - first < 2:
            continue
        inside = slice(first + 1, last)
        run = x[last] - x[first]
        share = (x[inside] - x[first]) / run if run else np.zeros(last - first - 1)
        away = np.abs(y[inside] - (y[first] + share * (y[last] - y[first])))
        # Rounded, so that equal distances fall alike on every machine.
        worst = int(np.argmax(np.round(away, 6)))
        if away[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            open_ends += [(first, middle), (middle, last)]
    return np.flatnonzero(keep)


def name_ends(fig):
    """Write each line's name at its right end instead of in a legend, if all find room there.

    A line that is alone in its panel needs no name: the title of its axis says what it is.
    """
    lines = [trace for trace in fig.data if trace.showlegend is not False and trace.name]
    if (
        not 2 <= len(lines) <= 6
        or fig.layout.showlegend is False
        or fig.layout.legend.to_plotly_json()
    ):
        return
    ends = [_end(trace, fig) for trace in lines]
    if None in ends or not _room(ends):
        return
    panels = [axis for axis, _, _ in ends]
    for trace, (axis, value, _) in zip(lines, ends):
        trace.showlegend = False
        if panels.count(axis) > 1:
            fig.add_annotation(
                text=trace.name,
                xref="paper",
                x=1,
                xanchor="left",
                xshift=4,
                yref=axis,
                y=value,
                showarrow=False,
                font={"size": 13},
            )
    named = [note.text for note in fig.layout.annotations]
    fig.update_layout(margin_r=24 + 7.3 * max(map(len, named), default=0), showlegend=False)


def _end(trace, fig):
    """Axis, value and height (0..1 of the figure) of a line's right end, or None.

    None is for a line that does not end at the right edge in sight.
    """
    y_axis, x_axis = axis_of(trace, fig, "y"), axis_of(trace, fig, "x")
    plain = (
        trace.type == "scatter"
        and "lines" in (trace.mode or "lines")
        and not trace.stackgroup
        and len(trace.name) <= 22
    )
    if (
        not plain
        or not is_numeric(trace.x)
        or not is_numeric(trace.y)
        or {x_axis.type, y_axis.type} - {None, "linear"}
    ):
        return None
    if len(trace.x) < 2 or y_axis.overlaying or y_axis.side == "right":
        return None
    x, y = np.asarray(trace.x, dtype=float), np.asarray(trace.y, dtype=float)
    x_low, x_high = _range(fig, x_axis, "x")
    y_low, y_high = _range(fig, y_axis, "y", getattr(trace, "yaxis", None) or "y")
    if not np.isfinite(y[-1]) or abs(x[-1] - x_high) > 0.02 * (x_high - x_low) or x[-1] < x.max():
        return None
    share = (y[-1] - y_low) / (y_high - y_low)
    low, high = y_axis.domain or (0, 1)
    if not 0 <= share <= 1:
        return None
    return getattr(trace, "yaxis", None) or "y", y[-1], low + share * (high - low)


def _range(fig, axis, letter, name=None):
    """Range of an axis: the given one, or the extent of what is drawn on it."""
    if axis.range is not None:
        return tuple(float(end) for end in axis.range)
    drawn = [
        np.asarray(trace[letter], dtype=float)
        for trace in fig.data
        if is_numeric(trace[letter])
        and len(trace[letter])
        and (name is None or (trace.yaxis or "y") == name)
    ]
    values = np.concatenate(drawn) if drawn else np.array([0.0, 1.0])
    low, high = np.nanmin(values), np.nanmax(values)
    return (low, high) if high > low else (low - 1, high + 1)


def _room(ends):
    """True where no two names lie closer than a line of text (about a fifteenth of the figure)."""
    places = sorted(place for _, _, place in ends)
    return all(above - below > 0.07 for below, above in itertools.pairwise(places))
