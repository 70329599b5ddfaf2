"""Payments over years: published cases, closed forms, and wrong arguments."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import case

from v2gbook.invest import (
    Project,
    annuity,
    cash_flow,
    internal_rate,
    net_present_value,
    one_at_a_time,
    payback_years,
    waiting_cost,
)

few = settings(deadline=None, max_examples=30)


def test_e11_capital_recovery():
    inputs, expected = case("E11")
    assert annuity(inputs["d"], inputs["n"]) == expected["CRF"]
    assert inputs["capital"] * annuity(inputs["d"], inputs["n"]) == expected["annual_usd"]


def test_e13_first_paid_cars():
    """365 days of USD 5 without discount; 100 kW shared by 15 cars."""
    inputs, expected = case("E13")
    assert net_present_value(0.0, np.full(365, inputs["usd_per_day"])) == expected["usd_per_year"]
    assert inputs["pool_kW"] / inputs["cars"] == expected["kW_per_car"]


@few
@given(st.floats(0.0, 0.3), st.integers(1, 30))
def test_annuity_pays_back_exactly(rate, years):
    assert net_present_value(rate, [-1.0, *[annuity(rate, years)] * years]) == pytest.approx(
        0.0, abs=1e-9
    )


def test_annuity_without_interest_is_an_equal_share():
    assert annuity(0.0, 8) == 1 / 8
    assert annuity(1e-12, 8) == pytest.approx(1 / 8, rel=1e-9)
    assert annuity([0.0, 0.1], [8, 10]).tolist() == pytest.approx([0.125, 0.1 / (1 - 1.1**-10)])


def test_net_present_value_by_hand():
    assert net_present_value(0.1, [-100.0, 55.0, 121.0]) == pytest.approx(-100 + 50 + 100)


def test_what_waiting_costs():
    flows = [-100.0, 40.0, 40.0, 40.0, 40.0]
    worth = net_present_value(0.08, flows)
    # Ten are paid today, the rest begins in three years.
    delayed = -10 + (net_present_value(0.08, [-90.0, *flows[1:]])) / 1.08**3
    assert waiting_cost(0.08, flows, 3.0, spent=10.0) == pytest.approx(worth - delayed)
    assert waiting_cost(0.08, flows, 0.0) == 0
    assert waiting_cost(0.0, flows, 5.0) == 0
    assert waiting_cost(0.08, flows, np.array([0.5, 2.0])).tolist() == [
        waiting_cost(0.08, flows, 0.5),
        waiting_cost(0.08, flows, 2.0),
    ]


PLANT = Project(
    capex=1000.0,
    fixed_per_year=50.0,
    revenue_per_year=400.0,
    mwh_per_year=3.0,
    wear_per_mwh=20.0,
    availability=0.9,
    fade_per_year=0.1,
    years=3,
)


def test_cash_flow_by_hand():
    table = cash_flow(PLANT)
    assert table.invested.tolist() == [-1000, 0, 0, 0]
    assert table.fixed.tolist() == [
        0,
        -50,
        -50,
        -50,
    ]
    assert table.revenue.tolist() == pytest.approx([0, 360, 324, 291.6])
    assert table.wear.tolist() == pytest.approx([0, -54, -48.6, -43.74])
    assert table.net.tolist() == pytest.approx([-1000, 256, 225.4, 197.86])
    assert table.cumulated.iloc[-1] == pytest.approx(-320.74)
    assert list(table.index) == [0, 1, 2, 3]
    assert table.index.name == "year"


@given(st.floats(0.001, 0.6), st.integers(1, 25))
@few
def test_internal_rate_makes_the_value_zero(rate, years):
    flows = [-1000.0, *[1000 * rate / (1 - (1 + rate) ** -years)] * years]
    assert internal_rate(flows) == pytest.approx(rate, rel=1e-6)
    assert net_present_value(min(internal_rate(flows), 0.99), flows) == pytest.approx(0, abs=1e-4)


def test_rates_that_are_low_or_do_not_exist():
    assert internal_rate([-100.0, 50.0]) == pytest.approx(-0.5)
    assert internal_rate([-100.0, 250.0]) == pytest.approx(1.5)
    assert internal_rate([-100.0, 0.0, 121.0]) == pytest.approx(0.1)
    for flows in ([-100.0, 200.0, -150.0], [100.0, -50.0], [-1.0, -2.0], [0.0, 0.0], [5.0]):
        with pytest.raises(ValueError, match="exactly once"):
            internal_rate(flows)
    with pytest.raises(ValueError, match="next to nothing"):
        internal_rate([-100.0, 0.5])


def test_rates_of_many_payments():
    """Powers of the discount factor stay within the numbers of a computer."""
    for back in (5.0, 1.0):
        flows = [-1000.0, *[back] * 500]
        rate = internal_rate(flows)
        assert (rate > 0) == (back > 2)
        assert net_present_value(rate, flows) == pytest.approx(0, abs=1e-6)


def test_payback():
    assert payback_years([-100.0, 40.0, 40.0, 40.0]) == pytest.approx(2.5)
    assert payback_years([-100.0, 50.0, 50.0]) == 2
    assert payback_years([-100.0, 10.0]) == math.inf
    assert payback_years([0.0, 10.0]) == 0
    assert payback_years([5.0]) == payback_years([0.0]) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: waiting_cost(0.05, [-1.0, 2.0], -1.0), "wait_years is -1"),
        (lambda: waiting_cost(0.05, [-1.0, 2.0], 1.0, spent=-1.0), "spent is -1"),
        (lambda: replace(PLANT, capex=-1.0), "capex is -1"),
        (lambda: replace(PLANT, availability=90.0), "availability is 90"),
        (lambda: replace(PLANT, fade_per_year=1.0), "fade_per_year is 1"),
        (lambda: replace(PLANT, years=0), "years is 0"),
        (lambda: internal_rate([math.nan, 1.0]), "flows contains NaN"),
        (lambda: payback_years([math.nan, 1.0]), "flows contains NaN"),
        (lambda: waiting_cost(8.0, [-1.0, 2.0], 1.0), "rate is 8; it must be a fraction"),
        (lambda: waiting_cost(-0.9, [-1.0, 2.0], 1.0), "rate is -0.9; it must be at least -0.5"),
        (lambda: internal_rate([-1.0] * 600 + [1.0]), "flows has 601 payments"),
        (lambda: internal_rate("flows"), "flows must be a number or an array of numbers"),
        (lambda: cash_flow(None), "project is None; it must be an invest.Project"),
        (lambda: annuity(10.0, 10), ["rate is 10", "per cent"]),
        (lambda: annuity(0.1, 0), ["years is 0 years", "above 0"]),
        (lambda: net_present_value(8.0, [1.0, 2.0]), ["rate is 8", "per cent"]),
        (lambda: annuity([0.1, 0.2], [1, 2, 3]), ["rate (2,)", "years (3,)"]),
        (lambda: net_present_value(0.1, np.ones((2, 3))), "flows has shape (2, 3)"),
        (
            lambda: net_present_value([0.1, 0.2], [1.0, 2.0]),
            ["rate has shape (2,)", "single"],
        ),
        (lambda: net_present_value(-0.999, np.ones(400)), "rate is so extreme"),
    ],
)
def test_bad_input_is_refused_in_words(call, words):
    with pytest.raises((ValueError, TypeError)) as refusal:
        call()
    wanted = [words] if isinstance(words, str) else words
    assert [word for word in wanted if word not in str(refusal.value)] == []


def test_fields_are_kept_as_numbers():
    assert type(replace(PLANT, capex=1000).capex) is float
    assert replace(PLANT, years=3.0).years == 3


# ------------------------------------------------------------------------- what a verdict hangs on


def worth(*, cost, a_year, rate):
    return net_present_value(rate, [-cost, *[a_year] * 10])


BASE = {"cost": 3000.0, "a_year": 400.0, "rate": 0.05}


def test_break_even_has_its_closed_form():
    """The cost that ten payments pay back is their present value."""
    table = one_at_a_time(worth, BASE, {"cost": (1000.0, 5000.0), "a_year": (100.0, 500.0)})
    assert table.break_even["cost"] == pytest.approx(400 / annuity(0.05, 10))
    assert table.break_even["a_year"] == pytest.approx(3000 * annuity(0.05, 10))


def test_break_even_of_the_rate_is_the_internal_rate():
    table = one_at_a_time(worth, BASE, {"rate": (0.0, 0.2)})
    assert table.break_even["rate"] == pytest.approx(internal_rate([-3000.0, *[400.0] * 10]))


def test_no_break_even_without_a_change_of_sign():
    table = one_at_a_time(worth, BASE, {"cost": (2500.0, 3050.0)})
    assert math.isnan(table.break_even["cost"])
    assert table.loc["cost", ["base", "low", "high"]].tolist() == [3000.0, 2500.0, 3050.0]


def test_results_at_the_ends_and_the_largest_swing_first():
    table = one_at_a_time(worth, BASE, {"rate": (0.04, 0.06), "cost": (1000.0, 5000.0)})
    assert table.index.tolist() == ["cost", "rate"]
    assert table.at_low["cost"] == worth(cost=1000.0, a_year=400.0, rate=0.05)
    assert table.at_high["rate"] == worth(cost=3000.0, a_year=400.0, rate=0.06)


@pytest.mark.parametrize(
    "ranges, words",
    [
        ({"price": (0.0, 1.0)}, "'price', which is no input of base: cost, a_year, rate"),
        ({"cost": (5000.0, 1000.0)}, "ascends"),
        ({"cost": (3100.0, 5000.0)}, "holds the base value"),
        ({"cost": (1000.0, 2000.0, 5000.0)}, "has 3 values"),
        ({"cost": (1000.0, math.inf)}, "cost"),
    ],
)
def test_wrong_ranges_are_named(ranges, words):
    with pytest.raises(ValueError, match=words):
        one_at_a_time(worth, BASE, ranges)


def test_a_result_that_is_no_number_is_named():
    with pytest.raises(ValueError, match="result"):
        one_at_a_time(lambda **inputs: math.nan, BASE, {"cost": (1000.0, 5000.0)})
