"""Figures of the course: one small template, axis titles with units, and a sentence for those who cannot see them."""

import json
import re

import plotly.graph_objects as go
from IPython.display import Markdown, display

# Okabe and Ito's palette: told apart with every kind of colour vision; dashes repeat the difference in grey.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "solid", "dash"]
LIMIT = {"color": "black", "dash": "dot", "width": 1.2}             # a threshold: fig.add_scatter(..., line=LIMIT)
MEASURED = {"mode": "markers", "marker": {"color": "black", "symbol": "circle-open", "size": 9}}  # fig.add_scatter(..., **MEASURED)
MARKERS = ["circle", "square", "diamond", "cross", "triangle-up", "x", "star"]

_AXIS = {"showline": True, "linecolor": "#555", "gridcolor": "#e5e5e5", "zeroline": False, "ticks": "outside", "automargin": True}
TEMPLATE = go.layout.Template(
    layout={
        "colorway": COLOURS, "font": {"size": 14, "color": "#222"}, "paper_bgcolor": "white", "plot_bgcolor": "white",
        "xaxis": _AXIS, "yaxis": _AXIS, "margin": {"l": 70, "r": 20, "t": 40, "b": 60}, "hovermode": "x unified",
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "traceorder": "normal"},
    },
    data={"scatter": [{"mode": "lines", "line": {"dash": dash, "width": 2.5}, "marker": {"symbol": symbol, "size": 8}} for dash, symbol in zip(DASHES, MARKERS)]},
)


def figure(x, y, *, below=None, height=None, **layout):
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
    """
    for name, title in (("x", x), ("y", y), ("below", below or "[-]")):
        if not (title.endswith("]") and "[" in title):
            raise ValueError(f"{name} = {title!r}: an axis title ends in its unit in brackets, such as 'time [s]' or 'share [-]'")
    axes = {"xaxis": {"title": x}, "yaxis": {"title": y}}
    if below:
        axes = {"xaxis": {"title": x, "anchor": "y2"}, "yaxis": {"title": y, "domain": [0.52, 1]},
                "yaxis2": {"title": below, "domain": [0, 0.46], "anchor": "x"}}
    for name, value in layout.items():  # yaxis_range=... joins its axis here: plotly's update_layout takes four times as long
        axis, _, property_ = name.partition("_")
        axes = axes | ({axis: axes[axis] | {property_: value}} if axis in axes else {name: value})
    return go.Figure(layout={"template": "none", "height": height or (540 if below else 380), **axes})


def dressed(fig):
    """The figure in the course's template; done once, when it is shown, for it takes longer than drawing."""
    return fig.update_layout(template=TEMPLATE)


def bundle(fig, alt):
    """The figure as the notebook stores it: plotly JSON, with the sentence as its text alternative."""
    return {"application/vnd.plotly.v1+json": json.loads(fig.to_json()), "text/plain": alt}


def show(fig, *, alt):
    """Show a figure with a sentence that says what is to be seen (`alt`); the sentence stands below it too."""
    if len(alt.split()) < 5 or not alt.rstrip().endswith("."):
        raise ValueError(f"alt is {alt!r}; say in one whole sentence, with a full stop, what the figure shows")
    display(bundle(dressed(fig), alt), raw=True)
    display(Markdown(f"*{alt}*"))


def say(text):
    """Show a sentence with computed numbers as Markdown; a dollar sign in it is money, not mathematics."""
    display(Markdown(escaped(text)))


def escaped(text):
    """Markdown in which a dollar sign is shown as such."""
    return re.sub(r"(?<!\\)\$", r"\\$", text)


def money(amount, currency, digits=2):
    """An amount as people write it: -$3.43, €1,250."""
    return f"{'-' if round(amount, digits) < 0 else ''}{currency}{abs(amount):,.{digits}f}"
