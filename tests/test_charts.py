"""Waterfall and tornado: sums, order, ends and wrong tables."""

import pandas as pd
import pytest

from v2gbook import invest
from v2gbook.classroom import tornado, waterfall


def worth(*, premium, saving, years):
    return saving * years - premium


BASE = {"premium": 3000.0, "saving": 400.0, "years": 10.0}
RANGES = {"premium": (1000.0, 5000.0), "saving": (350.0, 450.0), "years": (5.0, 12.0)}


@pytest.fixture
def table():
    return invest.one_at_a_time(worth, BASE, RANGES)


def test_waterfall_ends_at_the_sum():
    fig = waterfall({"sales": 50.0, "wear": -20.0, "meter": -40.0}, "value [USD a year]")
    (bars,) = fig.data
    assert bars.x == ("sales", "wear", "meter", "left")
    assert bars.y == (50.0, -20.0, -40.0, -10.0)
    assert bars.measure == ("relative", "relative", "relative", "total")


def test_waterfall_without_a_line_is_refused():
    with pytest.raises(ValueError, match="lines is empty"):
        waterfall({}, "value [USD]")


def test_tornado_puts_the_longest_bar_on_top(table):
    fig = tornado(table, "worth [USD]", at=1000.0)
    assert list(fig.data[0].y) == ["premium", "years", "saving"]
    assert fig.layout.yaxis.autorange == "reversed"


def test_bars_of_a_tornado_end_at_the_results(table):
    fig = tornado(table, "worth [USD]", at=1000.0)
    for bar, end in zip(fig.data[:2], ("low", "high")):
        ends = [bar.base + length for length in bar.x]
        assert ends == pytest.approx(table.loc[list(bar.y), f"at_{end}"].tolist())


def test_a_tornado_shows_zero_and_all_ends(table):
    fig = tornado(table, "worth [USD]", at=1000.0)
    low, high = fig.layout.xaxis.range
    assert low < min(0.0, table.at_high.min())
    assert high > table.at_low.max()


@pytest.mark.parametrize("column", ["low", "high", "at_low", "at_high"])
def test_tornado_names_what_is_missing(table, column):
    with pytest.raises(ValueError, match=f"missing here: {column}"):
        tornado(table.drop(columns=column), "worth [USD]", at=0.0)


def test_an_empty_tornado_is_refused(table):
    with pytest.raises(ValueError, match="missing here: rows"):
        tornado(table.iloc[:0], "worth [USD]", at=0.0)


def test_axis_needs_a_unit(table):
    with pytest.raises(ValueError, match="unit in brackets"):
        tornado(pd.DataFrame(table), "worth", at=0.0)


def test_both_values_of_an_input_stand_beside_its_bar(table):
    fig = tornado(table, "worth [USD]", at=1000.0)
    notes = {(note.y, note.text.strip()): note.xanchor for note in fig.layout.annotations}
    assert notes["saving", "350"] == "right"
    assert notes["saving", "450"] == "left"
    assert notes["premium", "5,000"] == "right"


@pytest.mark.parametrize("at_high, place", [(-5.0, 0.0), (-600.0, -600.0), (300.0, 300.0)])
def test_a_value_that_would_cover_the_marked_result_stands_beyond_it(at_high, place):
    rows = {"low": [1.0], "high": [2.0], "at_low": [-900.0], "at_high": [at_high]}
    fig = tornado(pd.DataFrame(rows, index=["wear [ct/kWh]"]), "left [USD]", at=-700.0)
    ends = {note.text.strip(): note.x for note in fig.layout.annotations}
    assert ends == {"1": -900.0, "2": place}
    assert [line.x0 for line in fig.layout.shapes] == [0.0]
