"""Topic 11: published cases by id, a second score in plain loops, statements by hand, refusals in
words, invariants."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import case
from scipy.optimize import linprog
from scipy.stats import binom

from v2gbook import agc
from v2gbook import market as module
from v2gbook.arbitrage import regulation_revenue
from v2gbook.market import (
    Regulation,
    Reservoir,
    Score,
    anchors,
    availability_statement,
    benefits_factor,
    car_year,
    credit,
    largest_bid,
    mileage_ratio,
    over_offering,
    performance,
    precision_only,
    regulation_error,
    reserve_needs,
    slow_needed,
    statement,
    truthful_score,
)
from v2gbook.rules import market

few = settings(deadline=None, max_examples=25)


STEPS = np.arange(390)  # 65 minutes of 10 s
SINE = np.sin(2 * np.pi * 10 * STEPS / 300)
SQUARE = np.where(STEPS // 15 % 2 == 0, 1.0, -1.0)


def late(signal, steps):
    """A signal that comes some samples late, at rest before."""
    return np.r_[np.zeros(steps), signal][: len(signal)]


def noise(seed, dt_s=10.0):
    return agc.regulation_signal(65 / 60, rng=np.random.default_rng(seed), dt_s=dt_s).to_numpy()


def parts(score):
    return [score.correlation, score.delay, score.precision, score.total]


# ---------------------------------------------------------------------------------- published cases


def test_a01_perfect_shape_small_amplitude():
    inputs, expected = case("A01")
    assert inputs == {"signal": "sin(2 pi t/300 s), 10 s samples, 65 min", "response": "0.8*signal"}
    for rule in ("together", "correlation"):
        assert (
            parts(performance(SINE, 0.8 * SINE, lag_rule=rule)) == expected["corr_delay_prec_score"]
        )


def test_a02_square_wave_ten_seconds_late():
    inputs, expected = case("A02")
    assert inputs["response"] == "signal delayed one 10 s sample (first value -1)"
    response = np.r_[-1.0, SQUARE[:-1]]
    for rule in ("together", "correlation"):
        score = performance(SQUARE, response, lag_rule=rule)
        assert parts(score) == expected["corr_delay_prec_score"]
        assert score.lag_s == pytest.approx(10)


def test_a04_credit_and_the_floor():
    inputs, expected = case("A04")
    prices = {"capability_per_mw_h": inputs["RMCCP"], "performance_per_mw_h": inputs["RMPCP"]}
    assert (
        credit(inputs["MW"], inputs["score"], inputs["mileage_ratio"], **prices)
        == expected["credit_usd"]
    )
    assert (
        credit(inputs["MW"], 0.2, inputs["mileage_ratio"], **prices)
        == expected["credit_if_score_0_2"]
    )
    assert credit(1.0, market("pjm").settlement["score_floor"], 1.0, **prices) > 0, (
        "exactly at the floor is paid"
    )


def test_a12_nordic_reserves_of_a_limited_battery():
    inputs, expected = case("A12")
    fleet, nordic = inputs["fleet"], market("nordic")
    reservoir = Reservoir(
        p_up_mw=fleet["P_dis_MW"],
        p_down_mw=fleet["P_ch_MW"],
        energy_up_mwh=fleet["E_up_MWh"],
        energy_down_mwh=0.0,
    )
    assert largest_bid(reservoir, nordic.product("FCR-D up")) == expected["FCRD_up_MW"]
    assert (
        reserve_needs(nordic.product("FCR-D up"), 10.0).energy_up_mwh
        == expected["E_for_10MW_FCRD_MWh"]
    )


def test_e09_kempton_and_tomic_inside_a_car_year():
    inputs, expected = case("E09")
    year = car_year(
        {},
        Regulation(
            p_kw=inputs["P_kW"],
            plugged_h=inputs["t_plug_h"],
            capacity_per_kw_h=inputs["p_cap"],
            sell_per_kwh=inputs["p_el"],
            buy_per_kwh=0.0,
            dispatch_ratio=inputs["R_dc"],
        ),
        aggregator_share=0.0,
        metering_per_year=0.0,
    )
    assert year.amount["regulation, capacity"] == expected["capacity_usd"]
    assert year.amount["regulation, energy"] == expected["energy_usd"]
    assert year.left.iloc[-1] == expected["total_usd"]


def test_e12_and_e13_are_the_anchors():
    table = anchors()
    inputs, expected = case("E12")
    for key, name in (
        ("thinkcity", "100 cars Th!nk City, regulation down (taking power)"),
        ("rav4", "252 cars RAV4, regulation"),
    ):
        assert table.n_cars[name] == inputs[key][0]
        assert [table.low[name], table.high[name]] == expected[f"{key}_usd"]
    inputs, expected = case("E13")
    paid = table.loc["first paid cars, PJM"]
    assert paid.low == paid.high == expected["usd_per_year"]
    assert paid.n_cars == inputs["cars"]
    assert inputs["pool_kW"] / paid.n_cars == expected["kW_per_car"]
    assert set(table.currency) <= {"USD", "EUR", "GBP"}
    assert table.source.str.len().min() > 20
    assert (table.low <= table.high).all()


# ------------------------------------------------------------------------------------- two payments


def test_mileage_ratio_of_a_split_signal():
    assert mileage_ratio([0, 3, 1], [0, 1, 0.5]) == pytest.approx(5 / 1.5)
    slow, fast = agc.split(noise(3), dt_s=10.0, cutoff_s=300.0)
    assert mileage_ratio(fast, slow) > 3
    with pytest.raises(ValueError, match="reference never moves"):
        mileage_ratio([0, 1], [1, 1])


def test_credit_of_arrays_is_credit_of_each():
    mw = np.array([1.0, 2.0, 3.0])
    score = np.array([0.9, 0.2, 0.25])
    ratio = np.array([1.0, 3.0, 2.0])
    together = credit(
        mw, score, ratio, capability_per_mw_h=11.0, performance_per_mw_h=np.array([1.0, 2.0, 4.0])
    )
    each = [
        credit(*row, capability_per_mw_h=11.0, performance_per_mw_h=price)
        for *row, price in zip(mw, score, ratio, [1.0, 2.0, 4.0])
    ]
    assert list(together) == each == pytest.approx([0.9 * 12, 0.0, 0.75 * 19])
    assert isinstance(each[0], float)
    assert (
        credit(1.0, 0.3, 1.0, capability_per_mw_h=10.0, performance_per_mw_h=0.0, score_floor=0.4)
        == 0
    )


def test_a_statement_by_hand():
    hours = pd.DataFrame(
        {
            "offered_mw": [2.0, 1.0],
            "score": [0.8, 0.2],
            "mileage_ratio": [3.0, 2.0],
            "capability_per_mw_h": [10.0, 20.0],
            "performance_per_mw_h": [1.0, 5.0],
        },
        index=[7, 8],
    )
    table = statement(hours)
    assert list(table.columns) == [
        "offered_mw",
        "score",
        "mileage_ratio",
        "capability",
        "performance",
        "clawback",
        "total",
    ]
    assert list(table.index) == [7, 8]
    assert table.capability.tolist() == pytest.approx([16.0, 4.0])
    assert table.performance.tolist() == pytest.approx([4.8, 2.0])
    assert table.clawback.tolist() == [0.0, -6.0]
    assert table.total.tolist() == pytest.approx([20.8, 0.0])
    assert table.total.tolist() == pytest.approx(
        credit(
            hours.offered_mw,
            hours.score,
            hours.mileage_ratio,
            capability_per_mw_h=hours.capability_per_mw_h,
            performance_per_mw_h=hours.performance_per_mw_h,
        ).tolist()
    )
    assert statement(hours, score_floor=0.1).total.tolist() == pytest.approx([20.8, 6.0])


def test_missing_power_loses_its_price_and_a_penalty():
    hours = pd.DataFrame(
        {
            "offered_mw": [2.0, 2.0, 2.0],
            "available_mw": [3.0, 2.0, 1.5],
            "price_per_mw_h": [10.0, 10.0, 20.0],
        },
        index=[1, 2, 3],
    )
    table = availability_statement(hours, penalty_multiple=9.0)
    assert table.capability.tolist() == [20.0, 20.0, 40.0]
    assert table.clawback.tolist() == [0.0, 0.0, -100.0]
    assert table.total.tolist() == [20.0, 20.0, -60.0]
    assert availability_statement(hours, penalty_multiple=0.0).total.tolist() == [20.0, 20.0, 30.0]
    assert list(table.index) == [1, 2, 3]


def test_penalty_of_nine_is_the_rule_of_ninety_per_cent():
    """Cars are there or not, independently; with a penalty of 9 the best offer is the one that
    holds with 90 % (newsvendor)."""
    there, chance = np.arange(101), binom.pmf(np.arange(101), 100, 0.7)
    frame = {"available_mw": there, "price_per_mw_h": 1.0}
    earns = [
        float(
            chance
            @ availability_statement(
                pd.DataFrame({"offered_mw": float(offer), **frame}), penalty_multiple=9.0
            ).total
        )
        for offer in range(101)
    ]
    assert (
        int(np.argmax(earns))
        == max(k for k in range(101) if binom.sf(k - 1, 100, 0.7) >= 0.9)
        == 64
    )


# ---------------------------------------------------------------------------------------- the score


def by_loops(asked, delivered, lag_rule):
    """The same score, written again as the public codes write it: windows, lags, np.corrcoef."""
    rho = []
    delta = []
    error = []
    for start in range(0, len(asked) - 59, 30):
        x, tried = asked[start : start + 30], []
        for j in range(31):
            y = delivered[start + j : start + j + 30]
            tried.append(0.0 if y.std() < 1e-9 else np.corrcoef(x, y)[0, 1])
        merit = [r + (1 - j / 30 if lag_rule == "together" else 0) for j, r in enumerate(tried)]
        best = int(np.argmax(np.round(merit, 12)))
        positive = tried[best] > 0
        rho.append(tried[best] if positive else 0.0)
        delta.append(abs(10 * best - 300) / 300 if positive else 0.0)
        error.append(np.abs(delivered[start : start + 30] - x))
    precision = max(0.0, 1 - np.mean(error) / np.abs(asked[: 30 * len(rho)]).mean())
    return [
        np.mean(rho),
        np.mean(delta),
        precision,
        (np.mean(rho) + np.mean(delta) + precision) / 3,
    ]


@pytest.mark.parametrize("rule", ["together", "correlation"])
@pytest.mark.parametrize(
    "seed, steps, shake", [(1, 0, 0.0), (2, 1, 0.1), (3, 4, 0.3), (4, 9, 0.6), (5, 0, 3.0)]
)
def test_score_against_plain_loops(rule, seed, steps, shake):
    signal = noise(seed)
    response = late(signal, steps) + shake * np.random.default_rng(seed).standard_normal(
        len(signal)
    )
    assert parts(performance(signal, response, lag_rule=rule)) == pytest.approx(
        by_loops(signal, response, rule), abs=1e-9
    )


def test_the_two_lag_rules_differ_where_a_later_lag_fits_better():
    """A period of 100 s, and a response whose second swing fits better than its first: correlation
    alone finds a lag of 100 s."""
    wave = np.sin(2 * np.pi * 10 * STEPS / 100)
    rough = np.random.default_rng(1).standard_normal(390) * 0.3
    together, alone = (
        performance(wave, wave + rough, lag_rule=rule) for rule in ("together", "correlation")
    )
    assert together.lag_s < 5
    assert alone.lag_s > 50
    assert alone.correlation >= together.correlation
    assert alone.delay < together.delay - 0.2
    assert together.total > alone.total
    assert together.precision == alone.precision
    response = wave + 0.3 * np.random.default_rng(0).standard_normal(390)
    whole = [np.corrcoef(wave[:360], response[j : 360 + j])[0, 1] for j in range(31)]
    assert np.argmax(whole) == 20
    assert truthful_score(wave, response) > 0.85, "a lag of 200 s would cost more than it gains"


def test_flat_signal_is_scored_by_slopes():
    flat = np.full(390, 0.5)
    assert parts(performance(flat, flat)) == pytest.approx([1, 1, 1, 1])
    ramp = 0.5 + 0.01 * (STEPS - 100)  # 0.02 peaks of the signal a sample
    score = performance(flat, ramp)
    assert score.correlation == pytest.approx(0.98)
    assert score.delay == 1
    assert score.lag_s == 0
    assert performance(flat, 0.5 - 0.01 * (STEPS - 100)).correlation == pytest.approx(0.98), (
        "the size of the difference counts"
    )
    assert performance(flat, 0.5 + 0.9 * STEPS).correlation == 0, "not below zero"
    finer = np.repeat(ramp, 2)
    assert performance(np.full(780, 0.5), finer, dt_s=5.0).correlation == pytest.approx(
        0.98, abs=1e-3
    ), "slopes are per 10 s whatever the sampling"


def test_a_signal_is_flat_below_one_per_cent_of_its_peak():
    """Half the windows stand still at the peak but for a ripple: just below the limit they count as
    flat, just above they do not."""
    for ripple, lag in ((0.0099, 0.0), (0.0101, 20.0)):
        signal = np.full(390, 1.0 - ripple) + ripple * SQUARE
        signal /= signal.max()
        assert performance(signal, late(signal, 2) + (STEPS < 2) * signal).lag_s == lag


@pytest.mark.parametrize(
    "response", [np.zeros(390), np.full(390, 0.7), -SINE * 0 - 0.2], ids=["nothing", "high", "low"]
)
def test_constant_response_earns_no_shape_and_no_delay(response):
    for rule in ("together", "correlation"):
        score = performance(SINE, response, lag_rule=rule)
        assert score.correlation == score.delay == 0
        assert score.total == pytest.approx(score.precision / 3)
    trembling = performance(SINE, response + 1e-11 * noise(1))
    assert trembling.correlation == trembling.delay == 0, "rounding is no response"
    assert performance(SINE, np.zeros(390)).total == pytest.approx(0, abs=1e-12)
    assert truthful_score(SINE, response) == 0


def test_opposite_response_to_a_ramp_is_worth_nothing():
    ramp = np.linspace(-1, 1, 390)
    assert performance(ramp, -ramp).total == 0
    assert truthful_score(ramp, -ramp) == 0


def test_size_and_sign_must_both_be_right():
    ramp = np.linspace(-0.3, 0.3, 390)
    assert truthful_score(0.5 + ramp, 0.5 - ramp) == 0, "the right level, the wrong way"
    assert truthful_score(0.5 + ramp, ramp - 0.5) == 0, (
        "the right way, but charging when asked to give"
    )


def test_the_longest_lag_is_five_minutes():
    signal = np.random.default_rng(4).standard_normal(390)
    found = performance(signal, np.r_[np.zeros(30), signal][:390], lag_rule="correlation")
    assert found.lag_s == 300
    assert found.delay == 0
    assert found.correlation == pytest.approx(1)


def test_quiet_window_divides_by_nothing():
    signal = SINE * (STEPS >= 60)
    score = performance(signal, signal)
    assert parts(score) == pytest.approx([1, 1, 1, 1]), "flat windows at zero included"


def test_allowance_moves_the_response_forward():
    response = late(SQUARE, 1)
    assert performance(SQUARE, response, allowance_s=10.0).total == pytest.approx(1)
    two = performance(SQUARE, late(SQUARE, 2), allowance_s=10.0)
    assert two.delay == pytest.approx(1 - 10 / 300)
    assert two.lag_s == pytest.approx(10)
    assert two.correlation == pytest.approx(1)
    assert performance(SQUARE, late(SQUARE, 6), allowance_s=60.0).precision == pytest.approx(1)


def test_other_sampling_gives_the_same_score():
    fine = np.repeat(SQUARE, 5)
    score = performance(fine, late(fine, 5), dt_s=2.0)
    assert score.delay == pytest.approx(1 - 10 / 300)
    assert score.correlation == pytest.approx(1)
    assert score.lag_s == pytest.approx(10)
    assert truthful_score(fine, late(fine, 5), dt_s=2.0) == pytest.approx(1)
    assert truthful_score(fine, late(fine, 6), dt_s=2.0) == pytest.approx(1 - 2 / 300)


@given(st.floats(0.1, 20.0))
@few
def test_scores_do_not_know_the_unit(factor):
    signal = noise(7)
    response = late(signal, 2) * 0.9 + 0.05 * np.random.default_rng(3).standard_normal(390)
    for score in (lambda a, d: performance(a, d).total, precision_only, truthful_score):
        assert score(factor * signal, factor * response) == pytest.approx(
            score(signal, response), rel=1e-9
        )


def test_precision_only_is_the_tracking_of_chapter_two():
    signal = noise(8)
    assert (
        precision_only(signal, 0.7 * signal)
        == pytest.approx(agc.tracking(signal, 0.7 * signal))
        == pytest.approx(0.7)
    )
    assert precision_only(signal, -signal) == 0


# --------------------------------------------------------------------------------- what a lie earns


def test_over_offering_gains_a_sixth_under_the_three_parts():
    """The quiz: one MW, offered as 1.25, keeps its perfect shape and lag."""
    table = over_offering(performance, SINE, [0.8, 1.0, 1.25, 2.0])
    assert table.gain[1.25] == pytest.approx(1 / 6)
    assert table.gain[1.0] == 0
    assert table.score[1.25] == pytest.approx(0.933333, abs=1e-6)
    assert table.paid_mw[1.25] == pytest.approx(7 / 6)
    assert table.gain[2.0] == pytest.approx(2 / 3)
    assert table.gain[0.8] == pytest.approx(-0.2)
    assert isinstance(performance(SINE, SINE), Score)
    assert table.index.name == "offered_mw"


def test_precision_alone_takes_the_gain_away_but_not_with_a_lag():
    offers = [0.9, 1.0, 1.25, 1.6]
    assert over_offering(precision_only, SINE, offers).gain.tolist() == pytest.approx(
        [-0.1, 0, 0, 0], abs=1e-12
    )
    with_lag = over_offering(precision_only, SINE, offers, lag_steps=1)
    assert with_lag.gain[1.25] > 0.1
    assert with_lag.gain[1.6] > with_lag.gain[1.25]


@pytest.mark.parametrize(
    "signal", [SINE, SQUARE, noise(1), noise(2)], ids=["sine", "square", "noise 1", "noise 2"]
)
@pytest.mark.parametrize("lag_steps, able", [(0, 1.0), (1, 1.0), (3, 0.4)])
def test_truth_is_best_under_the_courses_score(signal, lag_steps, able):
    signal = signal / np.abs(signal[:360]).max()
    offers = able * np.linspace(0.5, 2.0, 16)
    for cut in (False, True):
        table = over_offering(
            truthful_score, signal, offers, able_mw=able, lag_steps=lag_steps, cut=cut
        )
        assert table.paid_mw.idxmax() == pytest.approx(able)
        assert (np.diff(table.paid_mw[offers <= able + 1e-9]) > 0).all()
        above = table[offers > able + 1e-9]
        assert cut or above.gain.to_numpy() == pytest.approx(able / above.index.to_numpy() - 1), (
            "P^2/b"
        )


def test_the_courses_score_by_hand():
    assert truthful_score(SINE, 0.8 * SINE) == pytest.approx(0.64)
    assert truthful_score(SINE, 1.25 * SINE) == pytest.approx(0.64), (
        "too much is as bad as too little"
    )
    assert truthful_score(SQUARE, late(SQUARE, 4)) == pytest.approx(1 - 30 / 300)
    assert truthful_score(SQUARE, late(SQUARE, 4), allowance_s=0.0) == pytest.approx(1 - 40 / 300)
    shape = SINE + 0.5 * np.sin(2 * np.pi * 10 * STEPS / 60)
    rho = np.corrcoef(SINE[:360], shape[:360])[0, 1]
    assert truthful_score(SINE, shape) == pytest.approx(rho, abs=0.02)
    assert truthful_score(SINE, shape) < 1
    assert truthful_score(np.full(390, 0.5), np.full(390, 0.4)) == pytest.approx(0.64), (
        "a flat signal: the size alone"
    )
    peaks = np.clip(SINE, -0.5, 0.5)
    gain = (peaks * SINE)[:360].sum() / (SINE * SINE)[:360].sum()
    assert gain > 0.6
    assert truthful_score(SINE, peaks) == pytest.approx(
        np.corrcoef(peaks[:360], SINE[:360])[0, 1] * (0.5 / SINE.max()) ** 2
    ), "the missing peak counts"


def test_over_offering_at_rest_before_the_response():
    seen = []
    over_offering(
        lambda a, d: seen.append((a, d)) or 1.0, [1.0, -1.0, 0.5], [2.0], able_mw=1.5, lag_steps=1
    )
    assert seen[0][0].tolist() == [2.0, -2.0, 1.0]
    assert seen[0][1].tolist() == [0.0, 1.5, -1.5]
    over_offering(
        lambda a, d: seen.append((a, d)) or 1.0, [1.0, -1.0, 0.5], [2.0], able_mw=1.5, cut=True
    )
    assert seen[2][1].tolist() == [1.5, -1.5, 1.0]
    with pytest.raises(ValueError, match="the truthful offer scores 0"):
        over_offering(lambda a, d: 0.0, SINE, [1.0])


# ----------------------------------------------------------------------------------------- reserves


def test_what_each_product_binds():
    nordic = market("nordic")
    assert reserve_needs(nordic.product("FCR-N")).tolist() == [1.34, 1.34, 1.0, 1.0]
    assert reserve_needs(nordic.product("FCR-D up")).tolist() == pytest.approx(
        [1.0, 0.2, 1 / 3, 0.0]
    )
    assert reserve_needs(nordic.product("FCR-D down"), 3.0).tolist() == pytest.approx(
        [0.6, 3.0, 0.0, 1.0]
    )
    assert reserve_needs(market("gb_dc").product("DC high"), 2.0).tolist() == [0.0, 2.0, 0.0, 0.5]
    assert reserve_needs(market("gb_dc").product("DC low")).tolist() == [1.0, 0.0, 0.25, 0.0]
    assert reserve_needs(market("fcr_continental").product("FCR")).tolist() == [
        1.25,
        1.25,
        0.5,
        0.5,
    ]


@given(
    st.floats(0, 5),
    st.floats(0, 5),
    st.floats(0, 5),
    st.floats(0, 5),
    st.sampled_from(["FCR-N", "FCR-D up", "FCR-D down"]),
)
@few
def test_largest_bid_against_a_linear_programme(out, back, give, take, name):
    reservoir = Reservoir(p_up_mw=out, p_down_mw=back, energy_up_mwh=give, energy_down_mwh=take)
    product = market("nordic").product(name)
    best = -linprog(
        [-1.0], A_ub=reserve_needs(product).to_numpy()[:, None], b_ub=[out, back, give, take]
    ).fun
    bid = largest_bid(reservoir, product)
    assert bid <= best + 1e-6
    assert best - bid < product.bid_step_mw + 1e-6
    assert bid / product.bid_step_mw == pytest.approx(round(bid / product.bid_step_mw))


def test_steps_and_smallest_bids():
    fleet = Reservoir(p_up_mw=3.7, p_down_mw=3.7, energy_up_mwh=9.0, energy_down_mwh=9.0)
    assert largest_bid(fleet, market("gb_dc").product("DC low")) == 3.0
    assert largest_bid(fleet, market("fcr_continental").product("FCR")) == 2.0
    assert largest_bid(replace(fleet, p_up_mw=0.999), market("gb_dc").product("DC low")) == 0.0
    assert largest_bid(replace(fleet, p_up_mw=1.0), market("gb_dc").product("DC low")) == 1.0
    assert largest_bid(replace(fleet, p_up_mw=0.3), market("nordic").product("FCR-D up")) == 0.3, (
        "0.3 / 0.1 is below 3 in floating point"
    )
    coarse = replace(market("gb_dc").product("DC low"), minimum_mw=2.0)
    assert largest_bid(replace(fleet, p_up_mw=1.9), coarse) == 0.0
    assert largest_bid(replace(fleet, p_up_mw=2.0), coarse) == 2.0


# ----------------------------------------------------------------------------------- one car's year


def test_a_car_year_by_hand():
    known = {"spread": 519.0, "wear": -112.0, "hardware": -408.0}
    regulation = Regulation(
        p_kw=10.0,
        plugged_h=5000.0,
        capacity_per_kw_h=0.02,
        sell_per_kwh=0.2,
        buy_per_kwh=0.08,
        dispatch_ratio=0.1,
        performance_per_kw_h=0.003,
        mileage_ratio=4.0,
        score=0.9,
        wear_per_kwh=0.05,
        eta_charge=0.9,
        eta_discharge=0.8,
    )
    year = car_year(known, regulation, aggregator_share=0.25, metering_per_year=60.0)
    assert year.amount.to_dict() == pytest.approx(
        {
            **known,
            "regulation, capacity": 900.0,
            "regulation, performance": 540.0,
            "regulation, energy": 1000.0,
            "bought back": -5000 / 0.72 * 0.08,
            "wear of regulation": -312.5,
            "aggregator": -610.0,
            "metering": -60.0,
        }
    )
    assert list(year.index)[:3] == list(known)
    assert year.index.name == "line"
    assert year.left.to_numpy() == pytest.approx(np.cumsum(year.amount))
    assert year.left["hardware"] == pytest.approx(-1)
    assert year.amount["regulation, capacity"] + year.amount["regulation, energy"] == pytest.approx(
        regulation_revenue(
            10.0, 5000.0, capacity_per_kw_h=0.018, energy_per_kwh=0.2, dispatch_ratio=0.1
        )
    )


# -------------------------------------------------------------------------------- refusals in words

FRAME = pd.DataFrame({"offered_mw": [1.0], "score": [0.5]})
BAD = [
    (
        lambda: credit(-1.0, 0.5, 1.0, capability_per_mw_h=1.0, performance_per_mw_h=1.0),
        "offered_mw is -1 MW; it must be at least 0",
    ),
    (
        lambda: credit(1.0, 95.0, 1.0, capability_per_mw_h=1.0, performance_per_mw_h=1.0),
        "score is 95; it must be a fraction, at most 1: is it in per cent?",
    ),
    (
        lambda: credit(1.0, 0.5, -1.0, capability_per_mw_h=1.0, performance_per_mw_h=1.0),
        "mileage_ratio is -1",
    ),
    (
        lambda: credit(1.0, 0.5, 1.0, capability_per_mw_h=math.nan, performance_per_mw_h=1.0),
        "capability_per_mw_h contains NaN",
    ),
    (
        lambda: credit(1.0, 0.5, 1.0, capability_per_mw_h=1.0, performance_per_mw_h=math.nan),
        "performance_per_mw_h contains NaN",
    ),
    (
        lambda: credit(
            1.0, 0.5, 1.0, capability_per_mw_h=1.0, performance_per_mw_h=1.0, score_floor=25.0
        ),
        "score_floor is 25",
    ),
    (
        lambda: statement(FRAME),
        "hours has no column mileage_ratio, capability_per_mw_h, performance_per_mw_h; "
        "it has offered_mw, score",
    ),
    (
        lambda: availability_statement(FRAME, penalty_multiple=1.0),
        "hours has no column available_mw, price_per_mw_h",
    ),
    (
        lambda: availability_statement(
            pd.DataFrame({"offered_mw": [1.0], "available_mw": [1.0], "price_per_mw_h": [1.0]}),
            penalty_multiple=-1.0,
        ),
        "penalty_multiple is -1",
    ),
    (
        lambda: performance(SINE, SINE, dt_s=7.0),
        "dt_s is 7 s; it must divide the window of a score, 300 s",
    ),
    (
        lambda: performance(SINE, SINE, dt_s=300.0),
        "dt_s is 300 s; give at most half of a window of 300 s",
    ),
    (
        lambda: performance(SINE, SINE, lag_rule="best"),
        "lag_rule is 'best'; it must be one of 'together', 'correlation'",
    ),
    (
        lambda: performance(SINE[:59], SINE[:59]),
        r"asked has shape \(59,\) at dt_s = 10; a score needs one series of 10 minutes",
    ),
    (
        lambda: performance(SINE, SINE[:-1]),
        r"these shapes must be the same: asked \(390,\), delivered \(389,\)",
    ),
    (lambda: performance(np.zeros(390), SINE), "asked is 0 throughout"),
    (lambda: performance(SINE, SINE, allowance_s=-1.0), "allowance_s is -1 s"),
    (
        lambda: performance(SINE, SINE, allowance_s=61.0),
        "allowance_s is 61 s; it must be at most 60",
    ),
    (lambda: truthful_score(SINE * (STEPS >= 360), SINE), "asked is 0 throughout"),
    (lambda: performance(SINE * (STEPS >= 360), SINE), "asked is 0 throughout"),
    (lambda: truthful_score(SINE, SINE, allowance_s=-1.0), "allowance_s is -1 s"),
    (lambda: truthful_score(np.where(STEPS == 3, np.nan, SINE), SINE), "asked contains NaN"),
    (lambda: over_offering(precision_only, 2 * SINE, [1.0]), "signal is"),
    (lambda: over_offering(precision_only, SINE, [0.0]), "offers_mw is 0 MW"),
    (lambda: over_offering(precision_only, SINE, [1.0], able_mw=0.0), "able_mw is 0 MW"),
    (
        lambda: Reservoir(p_up_mw=-1.0, p_down_mw=1.0, energy_up_mwh=1.0, energy_down_mwh=1.0),
        "p_up_mw is -1",
    ),
    (
        lambda: Reservoir(p_up_mw=1.0, p_down_mw=1.0, energy_up_mwh=1.0, energy_down_mwh=-1.0),
        "energy_down_mwh is -1",
    ),
    (lambda: reserve_needs(market("nordic").product("FCR-N"), -1.0), "bid_mw is -1 MW"),
    (lambda: year_of(plugged_h=9000.0), "plugged_h is 9000 h; it must be at most 8784"),
    (lambda: year_of(score=90.0), "score is 90"),
    (lambda: year_of(eta_charge=0.0), "eta_charge is 0"),
    (lambda: year_of(eta_discharge=1.1), "eta_discharge is 1.1"),
    (lambda: year_of(wear_per_kwh=math.nan), "wear_per_kwh contains NaN"),
    (lambda: year_of(buy_per_kwh=math.nan), "buy_per_kwh contains NaN"),
    (
        lambda: car_year(
            {"spread": math.nan}, year_fields(), aggregator_share=0.1, metering_per_year=1.0
        ),
        r"known\['spread'\] contains NaN",
    ),
    (
        lambda: car_year({}, year_fields(), aggregator_share=10.0, metering_per_year=1.0),
        "aggregator_share is 10",
    ),
    (
        lambda: car_year({}, year_fields(), aggregator_share=0.1, metering_per_year=-1.0),
        "metering_per_year is -1",
    ),
    (
        lambda: car_year(
            {"metering": -5.0}, year_fields(), aggregator_share=0.1, metering_per_year=1.0
        ),
        "known has a line 'metering', which the year gets from regulation",
    ),
    (lambda: car_year([1.0], year_fields(), aggregator_share=0.1, metering_per_year=1.0), "known"),
    (lambda: mileage_ratio([0, 1], [0, 1e-300]), "reference never moves: its mileage is 1e-300"),
    (lambda: mileage_ratio([[0, 1]], [0, 1]), r"signal has shape \(1, 2\)"),
    (
        lambda: credit([1.0, 2.0], [0.5] * 3, 1.0, capability_per_mw_h=1.0, performance_per_mw_h=1),
        r"do not fit each other: offered_mw \(2,\), score \(3,\)",
    ),
    (lambda: statement(FRAME.iloc[:0].assign(**PAID)), "hours.offered_mw is empty"),
    (lambda: statement(FRAME.assign(**PAID, score="good")), "hours.score must be a number"),
    (lambda: performance(1e-12 * SINE, SINE), "asked is 0 throughout the scored time, or below"),
    (lambda: truthful_score(1e-200 * SINE, SINE), "asked is 0 throughout the scored time"),
    (lambda: precision_only(1e-200 * SINE, SINE), "asked is 0 throughout the scored time"),
    (lambda: performance(SINE, SINE, dt_s=1e-300), "dt_s is 1e-300 s"),
    (lambda: over_offering(precision_only, SINE, [1.0], lag_steps=-1), "lag_steps is -1"),
    (lambda: over_offering(precision_only, SINE, [1.0], lag_steps=1.5), "lag_steps is 1.5"),
    (lambda: over_offering(precision_only, SINE, [1.0], lag_steps=391), "at most 390"),
    (lambda: over_offering(precision_only, SINE, [1.0], cut=1), "cut is 1"),
    (lambda: over_offering("precision", SINE, [1.0]), "score is 'precision'; it must be a func"),
    (
        lambda: over_offering(lambda a, d: math.nan, SINE, [1.0]),
        r"score\(asked, delivered\) contains NaN",
    ),
    (lambda: largest_bid(FCR_N, FCR_N), "reservoir is a market.Product"),
    (lambda: reserve_needs("FCR-N"), "product is 'FCR-N'; it must be a market.Product"),
    (lambda: Score(correlation=2, delay=1, precision=1, total=1, lag_s=0), "correlation is 2"),
]
PAID = {"mileage_ratio": 1.0, "capability_per_mw_h": 1.0, "performance_per_mw_h": 1.0}


def year_fields(**change):
    return Regulation(
        **{
            "p_kw": 1.0,
            "plugged_h": 1.0,
            "capacity_per_kw_h": 1.0,
            "sell_per_kwh": 1.0,
            "buy_per_kwh": 1.0,
            "dispatch_ratio": 0.1,
            **change,
        }
    )


def year_of(**change):
    return car_year({}, year_fields(**change), aggregator_share=0.1, metering_per_year=1.0)


@pytest.mark.parametrize(
    "call, message", BAD, ids=[f"{i}: {message[:40]}" for i, (_, message) in enumerate(BAD)]
)
def test_bad_input_is_told_in_words(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


FCR_N = market("nordic").product("FCR-N")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"duration_h": math.nan}, "duration_h contains NaN"),
        ({"duration_h": -1.0}, "duration_h is -1 h"),
        ({"factor": 0.0}, "factor is 0"),
        ({"bid_step_mw": 0.0}, "bid_step_mw is 0 MW"),
        ({"up": "yes"}, "up is 'yes'; it must be True or False"),
        ({"up": False, "down": False}, "up and down of FCR-N are both False"),
        ({"confidence": "sure"}, "confidence is 'sure'"),
        ({"source": None}, "source is None"),
    ],
)
def test_a_product_without_sense_is_refused(change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        replace(FCR_N, **change)


def test_each_equation_is_named_in_the_code():
    source = Path(module.__file__).read_text(encoding="utf-8")
    tagged = [float(number.split(".")[1]) for number in re.findall(r"# eq\. \((11\.\d+)\)", source)]
    stated = [int(number) for number in re.findall(r"\s{4,}\(11\.(\d+)\)\n", source)]
    assert sorted(stated) == [*range(1, 12)]
    assert set(tagged) == set(stated)


# --------------------------------------------------------------------------- fast beside slow power

DAY = 600 * np.asarray(agc.regulation_signal(6.0, rng=np.random.default_rng(5), dt_s=10.0))


def test_benefits_factor_is_a_line_that_ends_at_zero():
    shares = np.array([0.0, 0.2, 0.262, 0.4, 0.9])
    assert benefits_factor(shares, first=2.9, zero_share=0.4) == pytest.approx(
        [2.9, 1.45, 2.9 * (1 - 0.655), 0.0, 0.0]
    )
    assert benefits_factor(0.262, first=2.9, zero_share=0.4) == pytest.approx(1.0, abs=0.001)


def test_without_fast_power_the_error_is_what_slow_plants_leave():
    _slow, fast = agc.split(DAY, dt_s=10.0, cutoff_s=300.0)
    assert regulation_error(DAY, 1e6, 0.0) == pytest.approx(np.sqrt(np.mean(fast**2)))
    assert regulation_error(DAY, 0.0, 0.0) == pytest.approx(np.sqrt(np.mean(DAY**2)))


def test_more_power_of_either_kind_never_makes_the_error_larger():
    errors = np.array(
        [[regulation_error(DAY, a, d) for a in (0, 100, 200, 400)] for d in (0, 50, 100, 200)]
    )
    assert (np.diff(errors, axis=0) <= 1e-9).all()
    assert (np.diff(errors, axis=1) <= 1e-9).all()


def test_fast_power_for_everything_leaves_no_error_while_its_energy_lasts():
    need = 100 * np.sin(np.arange(0, 3600, 10.0) / 100)
    assert regulation_error(need, 0.0, 400.0) == pytest.approx(0.0, abs=1e-9)


def test_slow_power_that_is_needed_gives_the_error_that_is_allowed():
    for fast in (100.0, 200.0):
        slow = slow_needed(DAY, fast, 120.0)
        assert regulation_error(DAY, slow, fast) == pytest.approx(120.0, rel=0.01)


def test_each_further_fast_megawatt_replaces_less():
    needed = np.array([slow_needed(DAY, fast, 120.0) for fast in (75.0, 125.0, 175.0, 225.0)])
    saved = -np.diff(needed) / 50
    assert (np.diff(saved) < 0).all()
    assert saved[0] > 1 > saved[-1]


def test_ends_of_slow_power():
    assert slow_needed(DAY, 400.0, 1e4) == 0.0
    assert slow_needed(DAY, 0.0, 1.0) == math.inf


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: benefits_factor(26.2, first=2.9, zero_share=0.4), "fast_share is 26.2"),
        (lambda: benefits_factor(0.2, first=0.0, zero_share=0.4), "first is 0"),
        (lambda: benefits_factor(0.2, first=2.9, zero_share=0.0), "zero_share is 0"),
        (lambda: regulation_error(DAY, -1.0, 0.0), "slow_mw is -1 MW"),
        (lambda: regulation_error([DAY], 1.0, 0.0), "need_mw has shape"),
        (lambda: slow_needed(DAY, 100.0, 0.0), "error_mw is 0 MW"),
        (lambda: slow_needed(DAY, math.nan, 10.0), "fast_mw"),
    ],
)
def test_wrong_fast_and_slow_power_is_told_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()
