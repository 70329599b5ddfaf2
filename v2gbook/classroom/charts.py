"""Two figures that verdicts need: how a sum comes about, and what it depends on.

`waterfall` draws the lines of an account with their sum, `tornado` how far each uncertain input
moves a result. Both give a figure for `show`.
"""

import itertools
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from .figures import COLOURS, figure

MARK = {"color": "#222222", "dash": "dot", "width": 2.5}  # seen on a filled bar as well
LETTER = 0.02  # width of a letter, as a share of the bars' range


def waterfall(lines: Mapping[str, float], y: str, *, total: str = "left") -> go.Figure:
    """Bars that go up and down from line to line of an account, and the sum at the end.

    Parameters
    ----------
    lines : mapping of str to float
        Amount of each line, costs negative.
    y : str
        Title of the vertical axis with its unit in brackets.
    total : str
        Name of the last bar, the sum.

    Returns
    -------
    plotly.graph_objects.Figure
        For `show`.

    Raises
    ------
    ValueError
        If there is no line, or the axis title does not end in its unit in brackets.

    Examples
    --------
    >>> fig = waterfall({"sales": 50.0, "wear": -20.0}, "value [USD a year]")
    >>> fig.data[0].y
    (50.0, -20.0, 30.0)
    """
    if not lines:
        raise ValueError("lines is empty; give at least one line of the account")
    amounts = {name: round(float(amount), 2) for name, amount in lines.items()}
    amounts[total] = round(sum(amounts.values()), 2)
    fig = figure("line of the account [-]", y, showlegend=False, height=440)
    fig.add_waterfall(
        x=list(amounts),
        y=list(amounts.values()),
        measure=["relative"] * len(lines) + ["total"],
        increasing_marker_color=COLOURS[2],
        decreasing_marker_color=COLOURS[1],
        totals_marker_color=COLOURS[0],
        textposition="outside",
        text=[f"{amount:,.0f}" for amount in amounts.values()],
        cliponaxis=False,
    )
    levels = [0.0, *itertools.accumulate(map(float, lines.values()))]
    room = 0.1 * (max(levels) - min(levels))
    return fig.update_yaxes(range=[min(levels) - room, max(levels) + room])


def _name_ends(fig, name, row, marked, span):
    """Write the values of an input beside the ends of its bar, on top of what else is there.

    A text that would cover the marked result stands beyond it.
    """
    ends = sorted([(row.at_low, row.low), (row.at_high, row.high)])
    for (result, value), side, way in zip(ends, ("right", "left"), (-1, 1)):
        text = f" {value:,.0f} " if abs(value) >= 1000 else f" {value:.3g} "
        covered = 0 < way * (marked - result) < LETTER * len(text) * span
        beside = {"x": result, "xshift": 2 * way, "bgcolor": "white"}
        place = {"x": marked} if covered else beside
        fig.add_annotation(y=name, text=text, xanchor=side, showarrow=False, **place)


def tornado(
    table: pd.DataFrame,
    x: str,
    *,
    at: float,
    mark: tuple[float, str] = (0.0, "a result of zero"),
) -> go.Figure:
    """How far each uncertain input moves a result: one bar an input, the longest on top.

    Parameters
    ----------
    table : DataFrame, index input
        One row an input, with `low` and `high` (its values) and `at_low` and `at_high` (the result
        there), as `invest.one_at_a_time` returns it. The index names each input with its unit.
    x : str
        Title of the horizontal axis, the result, with its unit in brackets.
    at : float
        The result with all inputs at their base values, where the bars begin.
    mark : (float, str), optional
        A result that a dotted line marks, and its name in the legend.

    Returns
    -------
    plotly.graph_objects.Figure
        For `show`.

    Raises
    ------
    ValueError
        If a column is missing, the table is empty, or the axis title has no unit.

    Examples
    --------
    >>> rows = {"low": [1.0], "high": [3.0], "at_low": [50.0], "at_high": [-10.0]}
    >>> fig = tornado(pd.DataFrame(rows, index=["wear [ct/kWh]"]), "left [USD]", at=20.0)
    >>> [float(bar.x[0]) for bar in fig.data[:2]]
    [30.0, -30.0]
    """
    missing = {"low", "high", "at_low", "at_high"} - set(table.columns)
    if missing or table.empty:
        raise ValueError(
            "table needs rows and the columns low, high, at_low and at_high; "
            f"missing here: {', '.join(sorted(missing)) or 'rows'}"
        )
    swing = (table.at_high - table.at_low).abs()
    table = table.loc[swing.sort_values(ascending=False, kind="stable").index]
    fig = figure(x, "uncertain input [-]", height=150 + 52 * len(table), barmode="overlay")
    for end, colour in (("low", COLOURS[0]), ("high", COLOURS[1])):
        results = table[f"at_{end}"]
        fig.add_bar(
            x=results - at,
            y=table.index,
            base=at,
            orientation="h",
            name=f"input at its {end} value",
            marker_color=colour,
            hovertemplate="%{y}: %{x:,.5~g}",
        )
    marked, words = mark
    fig.add_vline(x=marked, line=MARK, name=words, showlegend=True)
    ends = [at, marked, *table.at_low, *table.at_high]
    span = max(ends) - min(ends)
    for name, row in table.iterrows():
        _name_ends(fig, name, row, marked, span)
    room = 0.15 * span
    fig.update_xaxes(range=[min(ends) - room, max(ends) + room])
    fig.update_yaxes(autorange="reversed")
    return fig.update_layout(hovermode="closest")
