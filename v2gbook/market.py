r"""Topic 11, market: who pays for speed, and what may a fleet sell?

Regulation is paid in two parts (`credit`, `statement`), scaled by a score: `performance` is the
three-part score that PJM used until 2025, `precision_only` the rule after it, `truthful_score` the
course's own, and `over_offering` computes what a fleet gains by offering too much. The rules of
markets are data (`markets`, `market`), which `eligible` and `double_counts` apply. Then come
metering (`high_5_of_10`, `regression_baseline`, `metering`), reserves from a limited battery
(`largest_bid`), the queue for a connection (`Queue`, `simulate_queue`), the contract with a car's
owner (`Contract`), and one car's year (`car_year`). What a project in front of the meter is worth
stands in `invest`.

p > 0 flows from the vehicle to the grid. A price says per what; money is in the currency of the
prices.
"""

import datetime
import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from scipy.special import gammaincc

from . import _presence, agc
from ._check import (
    DATES,
    Date,
    FloatOrArray,
    alike,
    calendar_day,
    checked,
    columns,
    equal_steps,
    flag,
    fraction,
    instance,
    instances,
    keep,
    keep_single,
    names_in,
    one,
    one_fraction,
    one_of,
    plain,
    read,
    row,
    short,
    stamps,
    together,
    whole,
)
from .arbitrage import regulation_revenue

_LEAST_MW = 1e-9  # a milliwatt: what is smaller is rounding, not power


# ------------------------------------------------------------------------ two payments for speed


def mileage_ratio(signal: ArrayLike, reference: ArrayLike) -> float:
    r"""Mileage of `signal` over mileage of `reference`, both over the same time.

    .. math:: m = \frac{\sum_k |s_k - s_{k-1}|}{\sum_k |r_k - r_{k-1}|}            (11.1)

    Parameters
    ----------
    signal : array, shape (steps,)
        The signal whose movement is counted, such as PJM's fast signal RegD (-1..1 or MW).
    reference : array, shape (steps,)
        The signal it is compared with, in the same unit, such as the slow signal RegA.

    Returns
    -------
    float
        How many times as far `signal` travels up and down as `reference` does [-].

    Raises
    ------
    ValueError
        If an argument is not a series of numbers, or `reference` never moves.

    See Also
    --------
    agc.split : Splits a signal into a slow and a fast part.

    Examples
    --------
    >>> round(mileage_ratio([0.0, 3.0, 1.0], [0.0, 1.0, 0.5]), 3)
    3.333
    """
    moved = agc.mileage(row("signal", signal))
    way = agc.mileage(row("reference", reference))
    if way < _LEAST_MW:
        raise ValueError(f"reference never moves: its mileage is {way:g}; no ratio to it exists")
    return moved / way  # eq. (11.1)


def credit(
    offered_mw: ArrayLike,
    score: ArrayLike,
    mileage_ratio: ArrayLike,
    *,
    capability_per_mw_h: ArrayLike,
    performance_per_mw_h: ArrayLike,
    score_floor: float = 0.25,
) -> FloatOrArray:
    r"""Payment for an hour of regulation: for being there and for moving, both times the score.

    .. math::

        C = P\,\sigma\,(\pi_{cap} + m\,\pi_{perf}),\qquad
        C = 0 \ \text{ if } \sigma < \sigma_{min}            (11.2)

    Parameters
    ----------
    offered_mw : float or array
        Power that was offered and accepted, P [MW].
    score : float or array
        Performance score, 0..1 [-].
    mileage_ratio : float or array
        Mileage of the signal over that of the reference, m, at least 0 [-].
    capability_per_mw_h, performance_per_mw_h : float or array
        Clearing prices for capability and for performance [currency per MW and h].
    score_floor : float
        Below this score, 0..1, the hour earns nothing [-].

    Returns
    -------
    float or array
        Credit of one hour [currency].

    Raises
    ------
    ValueError
        If an argument is not a finite number within its range, or the shapes do not fit.

    References
    ----------
    .. [1] FERC Order 755 (20 October 2011): two-part payment for frequency regulation in the
       markets of RTOs and ISOs.
    .. [2] PJM Manuals 11 and 28, as coded in GMLC-1-4-2/battery_interface, reg_service.py.

    Examples
    --------
    >>> prices = {"capability_per_mw_h": 20.0, "performance_per_mw_h": 3.0}
    >>> round(credit(1.0, 0.95, 3.0, **prices, score_floor=0.25), 2)
    27.55
    """
    scored = np.asarray(fraction("score", score))
    offered = checked("offered_mw", offered_mw, "MW", ge=0)
    ratio = checked("mileage_ratio", mileage_ratio, ge=0)
    being_there = checked("capability_per_mw_h", capability_per_mw_h)
    moving = checked("performance_per_mw_h", performance_per_mw_h)
    together(
        offered_mw=offered,
        score=scored,
        mileage_ratio=ratio,
        capability_per_mw_h=being_there,
        performance_per_mw_h=moving,
    )
    floor = one_fraction("score_floor", score_floor)
    price = being_there + np.multiply(ratio, moving)
    return plain(np.where(scored < floor, 0.0, offered * scored * price))  # eq. (11.2)


def _read(name, frame, limits):
    """The named columns of a table as checked floats, on the table's own index."""
    columns(name, frame, limits)
    values = {}
    for column, limit in limits.items():
        values[column] = row(f"{name}.{column}", frame[column].to_numpy(), **limit)
    return pd.DataFrame(values, index=frame.index)


_PAID_HOUR: dict[str, dict[str, Any]] = {
    "offered_mw": {"unit": "MW", "ge": 0},
    "score": {},
    "mileage_ratio": {"ge": 0},
    "capability_per_mw_h": {},
    "performance_per_mw_h": {},
}


def statement(hours: pd.DataFrame, *, score_floor: float = 0.25) -> pd.DataFrame:
    """Settlement statement of regulation, one hour per row.

    Parameters
    ----------
    hours : DataFrame
        One row per hour, with the columns `offered_mw` [MW], `score` (0..1), `mileage_ratio` [-],
        `capability_per_mw_h` and `performance_per_mw_h` [currency per MW and h].
    score_floor : float
        Below this score, 0..1, both payments of the hour are taken back [-].

    Returns
    -------
    DataFrame, index that of `hours`
        Columns `offered_mw`, `score` and `mileage_ratio` as given, then money: `capability`,
        `performance`, `clawback` (at most 0) and `total` [currency].

    Raises
    ------
    TypeError
        If `hours` is not a DataFrame.
    ValueError
        If a column is missing or empty, or holds a value outside its range.

    See Also
    --------
    credit : The same payment for one hour, eq. (11.2).

    Examples
    --------
    >>> hours = pd.DataFrame({"offered_mw": [2.0, 1.0], "score": [0.8, 0.2]})
    >>> hours = hours.assign(mileage_ratio=[3.0, 2.0], capability_per_mw_h=[10.0, 20.0])
    >>> hours = hours.assign(performance_per_mw_h=[1.0, 5.0])
    >>> statement(hours, score_floor=0.25).total.round(2).tolist()
    [20.8, 0.0]
    """
    paid = _read("hours", hours, _PAID_HOUR)
    score = fraction("hours.score", paid.score)
    floor = one_fraction("score_floor", score_floor)
    scored_mw = paid.offered_mw * score
    capability = scored_mw * paid.capability_per_mw_h
    performance = scored_mw * paid.mileage_ratio * paid.performance_per_mw_h
    clawback = np.where(score < floor, 0.0 - capability - performance, 0.0)
    return pd.DataFrame(
        {
            "offered_mw": paid.offered_mw,
            "score": score,
            "mileage_ratio": paid.mileage_ratio,
            "capability": capability,
            "performance": performance,
            "clawback": clawback,
            "total": capability + performance + clawback,
        },
        index=hours.index,
    )


_AVAILABLE_HOUR: dict[str, dict[str, Any]] = {
    "offered_mw": {"unit": "MW", "ge": 0},
    "available_mw": {"unit": "MW", "ge": 0},
    "price_per_mw_h": {"ge": 0},
}


def availability_statement(hours: pd.DataFrame, *, penalty_multiple: float) -> pd.DataFrame:
    r"""Settlement statement of a reserve that is paid for power alone, one hour per row.

    European markets pay for power by the hour. Power that is missing loses its price and a penalty
    on top; mileage is not paid.

    .. math:: C = \pi\,\big(P - (1 + k)\,\max(P - A, 0)\big)            (11.3)

    Parameters
    ----------
    hours : DataFrame
        One row per hour, with the columns `offered_mw` and `available_mw` [MW] and
        `price_per_mw_h` [currency per MW and h], all at least 0.
    penalty_multiple : float
        Penalty k for a missing MW, in multiples of the price, at least 0 [-].

    Returns
    -------
    DataFrame, index that of `hours`
        Columns `offered_mw` and `available_mw` [MW], then money: `capability`, `clawback` (at most
        0) and `total` [currency].

    Raises
    ------
    TypeError
        If `hours` is not a DataFrame.
    ValueError
        If a column is missing or empty, or a value is negative or not finite.

    Notes
    -----
    Rules differ between countries, so no penalty is built in. With k = 9 a seller who is neutral
    to risk offers what is available with a probability of 90 % (chapter 12).

    Examples
    --------
    >>> hours = pd.DataFrame({"offered_mw": [2.0, 2.0], "available_mw": [2.0, 1.5]})
    >>> hours["price_per_mw_h"] = 20.0
    >>> availability_statement(hours, penalty_multiple=9.0).total.tolist()
    [40.0, -60.0]
    """
    paid = _read("hours", hours, _AVAILABLE_HOUR)
    lost = 1 + one("penalty_multiple", penalty_multiple, ge=0)
    missing_mw = np.maximum(paid.offered_mw - paid.available_mw, 0.0)
    capability = paid.offered_mw * paid.price_per_mw_h
    clawback = -paid.price_per_mw_h * lost * missing_mw
    return pd.DataFrame(
        {
            "offered_mw": paid.offered_mw,
            "available_mw": paid.available_mw,
            "capability": capability,
            "clawback": clawback,
            "total": capability + clawback,
        },
        index=hours.index,
    )  # eq. (11.3)


# -------------------------------------------------------------------------------------- the score

_WINDOW_S = 300.0  # a score looks at windows of five minutes, and at lags up to five minutes
_FLAT = 0.01  # flat: standard deviation below this share of the peak; the value in GMLC's code
_LAG_RULES = ("together", "correlation")


@dataclass(frozen=True, kw_only=True)
class Score:
    """Performance score of a response: its three parts, their mean, and the mean lag.

    Attributes
    ----------
    correlation : float
        Agreement in shape, 0..1 [-].
    delay : float
        1 for a response without lag, falling to 0 at a lag of five minutes [-].
    precision : float
        1 less mean error over mean size of the signal, not below 0 [-].
    total : float
        Mean of the three parts, 0..1 [-].
    lag_s : float
        Mean of the lags found in the windows of five minutes [s].
    """

    correlation: float
    delay: float
    precision: float
    total: float
    lag_s: float

    def __post_init__(self):
        parts = ("correlation", "delay", "precision", "total")
        keep_single(self, **{key: {"fraction": True} for key in parts})
        keep(self, lag_s=dict(one=True, unit="s", ge=0))


def _compared(asked, delivered):
    """Both series, if they are alike and something is asked for."""
    wish = row("asked", asked, "MW")
    response = row("delivered", delivered, "MW")
    alike(asked=wish, delivered=response)
    _asks(wish)
    return wish, response


def _asks(wish):
    """Refuse a signal that asks for nothing."""
    peak = np.abs(wish).max()
    if peak < _LEAST_MW:
        raise ValueError(
            f"asked is 0 throughout the scored time, or below {_LEAST_MW:g} MW (it reaches "
            f"{peak:g} MW); there is nothing to follow"
        )


def _window_samples(asked, dt_s):
    """Samples in a window of five minutes; the series must fill two windows or more."""
    samples = equal_steps(
        "dt_s", dt_s, "s", of="the window of a score", span=_WINDOW_S, within=1e-9
    )
    if samples < 2:
        raise ValueError(f"dt_s is {dt_s:g} s; give at most half of a window of {_WINDOW_S:g} s")
    if len(asked) < 2 * samples:
        raise ValueError(
            f"asked has shape {asked.shape} at dt_s = {dt_s:g}; a score needs one series "
            "of 10 minutes or more (an hour is scored from 65)"
        )
    return samples


def _correlation(x, y, peak):
    """Correlation along the last axis; 0 where either is constant."""
    x = x - x.mean(axis=-1, keepdims=True)
    y = y - y.mean(axis=-1, keepdims=True)
    size = np.sqrt((x**2).mean(axis=-1) * (y**2).mean(axis=-1))
    moves = size > 1e-9 * peak**2
    return np.where(moves, (x * y).mean(axis=-1) / np.maximum(size, 1e-300), 0.0)


def _flat_shape(asked, answer, peak, dt_s):
    """Shape part of a flat window: 1 less the difference of slopes, in peaks per 10 s."""
    clock = np.arange(len(asked)) * dt_s / 10
    slope = np.polyfit(clock, (answer - asked) / peak, 1)[0]
    return max(0.0, 1 - abs(float(slope)))


def _window_parts(asked, delivered, peak, dt_s, lag_rule):
    """Shape, delay and lag [samples] of one window; `delivered` goes on for all lags."""
    if asked.std() < _FLAT * peak:
        return _flat_shape(asked, delivered[: len(asked)], peak, dt_s), 1.0, 0
    answers = sliding_window_view(delivered, len(asked))  # one row for each lag
    shape = np.round(_correlation(asked, answers, peak), 12)  # rounded, so that equals are equal
    delay = 1 - np.arange(len(shape)) * dt_s / _WINDOW_S
    merit = shape + delay if lag_rule == "together" else shape
    lag = int(np.argmax(merit))
    if shape[lag] <= 0:
        return 0.0, 0.0, lag
    return shape[lag], delay[lag], lag  # eq. (11.4)


def performance(
    asked: ArrayLike,
    delivered: ArrayLike,
    *,
    dt_s: float = 10.0,
    lag_rule: str = "together",
    allowance_s: float = 0.0,
) -> Score:
    r"""Three-part score that PJM used until September 2025: shape, lag and precision.

    Shape and lag are found in each window of five minutes and averaged; precision is that of the
    whole series.

    .. math::

        \rho = \operatorname{corr}(a_t,\ d_{t+\ell}),\qquad
        \delta = 1 - \frac{\ell}{300\,\mathrm{s}}            (11.4)

    .. math:: \pi = \max\Big(0,\ 1 - \frac{\overline{|d - a|}}{\overline{|a|}}\Big)        (11.5)

    .. math:: \sigma = \tfrac13\,(\bar\rho + \bar\delta + \pi)            (11.6)

    Parameters
    ----------
    asked : array, shape (steps,)
        Power that the signal asks for, signal times offer. The last five minutes only serve to
        find lags [MW].
    delivered : array, shape (steps,)
        Power that came [MW].
    dt_s : float
        Time between two samples, at least 0.1 s; it divides 300 s into equal parts [s].
    lag_rule : str
        How the lag is chosen: "together" maximises correlation plus delay (the manual's words and
        the code of the University of Michigan), "correlation" maximises correlation alone, the
        first of equals (GMLC's code).
    allowance_s : float
        The response is first moved forward by this time, 0 to 60 s, rounded to whole samples; the
        manual allows 10 s for the signal's way [s].

    Returns
    -------
    Score
        Parts, total, and mean lag.

    Raises
    ------
    ValueError
        If the series differ in length, are shorter than ten minutes or ask for nothing, or an
        option is outside its range.

    Notes
    -----
    In a window in which the signal is flat, the shape part is 1 less the absolute difference of the
    slopes, and no lag is counted; slopes are per 10 s, in peaks of the signal, because the manual
    names no unit. Where no lag correlates above zero, as with a constant response, correlation and
    delay are both 0. The precision divides by the mean size of the *whole* signal, so that a quiet
    window does not divide by nothing; the manual's signed mean is near zero and says nothing.

    References
    ----------
    .. [1] PJM Manual 12, sections 4.4.6 and 4.5.6, as coded in reg_service.py (GMLC) and
       pjmScoringPassFailv5.m (University of Michigan).

    Examples
    --------
    >>> signal = np.sin(2 * np.pi * np.arange(390) / 30)
    >>> score = performance(
    ...     signal, 0.8 * signal, dt_s=10.0, lag_rule="together", allowance_s=0.0
    ... )
    >>> round(score.precision, 3), round(score.total, 3)
    (0.8, 0.933)
    """
    wish, response = _compared(asked, delivered)
    step = one("dt_s", dt_s, "s", ge=0.1)
    samples = _window_samples(wish, step)
    one_of("lag_rule", lag_rule, _LAG_RULES)
    shift = round(one("allowance_s", allowance_s, "s", ge=0, le=60) / step)
    scored = (len(wish) // samples - 1) * samples  # the last window only serves to find lags
    peak = np.abs(wish).max()
    windows = []
    for start in range(0, scored, samples):
        window = wish[start : start + samples]
        answer = response[start + shift : start + 2 * samples]
        windows.append(_window_parts(window, answer, peak, step, lag_rule))
    shape, delay, lag = np.mean(windows, axis=0)
    precision = precision_only(wish[:scored], response[shift : shift + scored])
    return Score(
        correlation=shape,
        delay=delay,
        precision=precision,
        total=(shape + delay + precision) / 3,
        lag_s=lag * step,
    )  # eq. (11.6)


def precision_only(asked: ArrayLike, delivered: ArrayLike) -> float:
    """Precision of a response, eq. (11.5): 1 less mean error over mean size of the signal.

    This model's assumption: the single signal that PJM has sent since October 2025 is scored by
    this precision alone.

    Parameters
    ----------
    asked : array, shape (steps,)
        Power that the signal asks for [MW].
    delivered : array, shape (steps,)
        Power that came, at the same instants [MW].

    Returns
    -------
    float
        Score, 0..1 [-].

    Raises
    ------
    ValueError
        If the series differ in length, are not finite numbers, or ask for nothing.

    Examples
    --------
    >>> round(precision_only([1.0, -1.0, 0.5], [0.8, -0.8, 0.4]), 3)
    0.8
    """
    wish, response = _compared(asked, delivered)
    return max(0.0, agc.tracking(wish, response))  # eq. (11.5)


def _whole_shape(asked, response, longest, peak):
    """Correlation at each lag; 1 for a flat signal, of which only the size can be scored."""
    if asked.std() < _FLAT * peak:
        return np.ones(longest + 1)
    shape = []
    for lag in range(longest + 1):
        shape.append(_correlation(asked, response[lag : lag + len(asked)], peak))
    return np.round(shape, 12)


def _size(asked, answer):
    """How far the size of an answer is right, 0..1: the same for too small and too large."""
    gain = float(answer @ asked / (asked @ asked))
    if gain <= 0:
        return 0.0
    peaks = float(np.abs(answer).max() / np.abs(asked).max())
    return min(gain, 1 / gain, peaks)


def truthful_score(
    asked: ArrayLike,
    delivered: ArrayLike,
    *,
    dt_s: float = 10.0,
    allowance_s: float = 10.0,
) -> float:
    r"""The course's own score, under which the truth is the best offer: size counts squared.

    .. math::

        \sigma = \max(\rho, 0)\,
        \Big(1 - \frac{\max(\ell - \ell_0, 0)}{300\,\mathrm{s}}\Big)\,g^2,\quad
        g = \min\Big(\gamma,\ \tfrac1\gamma,\ \tfrac{\max|d|}{\max|a|}\Big),\quad
        \gamma = \frac{\sum d_{t+\ell}\,a_t}{\sum a_t^2}            (11.8)

    Parameters
    ----------
    asked : array, shape (steps,)
        Power that the signal asks for, signal times offer. The last five minutes only serve to
        find the lag [MW].
    delivered : array, shape (steps,)
        Power that came [MW].
    dt_s : float
        Time between two samples, at least 0.1 s; it divides 300 s into equal parts [s].
    allowance_s : float
        A lag up to this time costs nothing [s].

    Returns
    -------
    float
        Score, 0..1 [-].

    Raises
    ------
    ValueError
        If the series differ in length, are shorter than ten minutes or ask for nothing, or an
        option is outside its range.

    Notes
    -----
    A fleet that can deliver P and offers b > P has g = P/b and is paid for b g^2 = P^2/b < P; a
    fleet that offers less than P is paid for less. A lag or a bent shape does not change that,
    because correlation and lag do not depend on size. A fleet that follows too large an offer until
    P cuts it off misses the peaks, which the last term of g sees.

    A flat signal is scored by size alone; a constant response to a moving signal gets 0. Power that
    the signal never asks for stays untested under any score.

    Examples
    --------
    >>> signal = np.sin(2 * np.pi * np.arange(390) / 30)
    >>> round(truthful_score(signal, 0.8 * signal, dt_s=10.0, allowance_s=10.0), 3)
    0.64
    """
    wish, response = _compared(asked, delivered)
    step = one("dt_s", dt_s, "s", ge=0.1)
    free = one("allowance_s", allowance_s, "s", ge=0)
    samples = _window_samples(wish, step)
    scored = wish[: len(wish) - samples]
    _asks(scored)
    late_s = np.maximum(np.arange(samples + 1) * step - free, 0)
    timely = 1 - late_s / _WINDOW_S
    shape = _whole_shape(scored, response, samples, np.abs(wish).max())
    lag = int(np.argmax(shape + timely))
    size = _size(scored, response[lag : lag + len(scored)])
    return float(max(shape[lag], 0.0) * timely[lag] * size**2)  # eq. (11.8)


def _answer(asked, offer_mw, able_mw, lag_steps, cut):
    """Response of a fleet that can deliver `able_mw` and offers `offer_mw`; at rest at first."""
    scaled = asked * min(1.0, able_mw / offer_mw)
    wish = np.clip(asked, -able_mw, able_mw) if cut else scaled
    return np.concatenate([np.zeros(lag_steps), wish])[: len(asked)]


def _points(score, asked, delivered):
    """What a rule of scoring gives, as a number."""
    result = score(asked, delivered)
    return one("score(asked, delivered)", getattr(result, "total", result))


def over_offering(
    score: Callable[[np.ndarray, np.ndarray], float | Score],
    signal: ArrayLike,
    offers_mw: ArrayLike,
    *,
    able_mw: float = 1.0,
    lag_steps: int = 0,
    cut: bool = False,
) -> pd.DataFrame:
    r"""Gain of a fleet that can deliver `able_mw` and offers something else.

    The market pays offer times score.

    .. math:: G(b) = \frac{b\,\sigma(b)}{P\,\sigma(P)} - 1            (11.7)

    Parameters
    ----------
    score : callable
        Function of two arrays, power asked for and power delivered [MW], that returns a number or
        a `Score`.
    signal : array, shape (steps,)
        Regulation signal, -1..1; positive asks for power to the grid [-].
    offers_mw : float or array, shape (offers,)
        Offers b to try, above 0 [MW].
    able_mw : float
        What the fleet can deliver, P, above 0 [MW].
    lag_steps : int
        Samples by which the response comes late, at most the length of the signal; until then the
        fleet is at rest.
    cut : bool
        True: too large an offer is followed until it reaches P and is cut off there. False: it is
        scaled down to P and keeps its shape.

    Returns
    -------
    DataFrame, index offered_mw
        Columns `score` [-], `paid_mw` (offer times score) [MW] and `gain` over the truthful offer,
        a fraction [-].

    Raises
    ------
    TypeError
        If `score` is not a function.
    ValueError
        If an argument is outside its range, or the truthful offer scores 0.

    Examples
    --------
    >>> signal = np.sin(2 * np.pi * np.arange(390) / 30)
    >>> table = over_offering(
    ...     performance, signal, [1.0, 1.25], able_mw=1.0, lag_steps=0, cut=False
    ... )
    >>> table.gain.round(3).tolist()
    [0.0, 0.167]
    """
    if not callable(score):
        raise TypeError(f"score is {short(score)}; it must be a function of (asked, delivered)")
    s = row("signal", signal, ge=-1, le=1)
    offers = row("offers_mw", np.atleast_1d(checked("offers_mw", offers_mw, "MW", ge=_LEAST_MW)))
    able = one("able_mw", able_mw, "MW", ge=_LEAST_MW)
    lag = whole("lag_steps", lag_steps, ge=0, le=len(s))
    cut = flag("cut", cut)

    def earned(offer):
        asked = offer * s
        return _points(score, asked, _answer(asked, offer, able, lag, cut))

    scores = np.array([earned(offer) for offer in offers])
    truth = earned(able)
    if abs(truth) < 1e-12:
        raise ValueError(
            f"the truthful offer scores 0 with this signal, able_mw = {able:g} and lag_steps = "
            f"{lag}; no gain over it exists"
        )
    gain = offers * scores / (able * truth) - 1
    return pd.DataFrame(
        {"score": scores, "paid_mw": offers * scores, "gain": gain},
        index=pd.Index(offers, name="offered_mw"),
    )  # eq. (11.7)


# ----------------------------------------------------------------------------- who may sell what

_SERVICES = ("energy", "regulation", "reserve", "capacity")
_COUNTS = ("load_zones", "pricing_nodes", "suppliers", "aggregators_per_der")
_FLAGS = ("net_metered", "sub_metered", "small_utility", "opted_in")
_SIZES = ("power_kw", "largest_site_kw", "telemetry_s", *_COUNTS)
_CONFIDENCE = ("read", "from memory", "chosen")


def _at_least(have, limit):
    return have >= limit


def _at_most(have, limit):
    return have <= limit


def _is(have, wanted):
    return have == wanted


def _excludes(have, unwanted):
    return not set(have) & set(unwanted)


_TESTS = {"at least": _at_least, "at most": _at_most, "is": _is, "excludes": _excludes}


@dataclass(frozen=True, kw_only=True)
class Aggregation:
    """Cars that want to be one seller, as the rules of markets see them.

    Attributes
    ----------
    power_kw : float
        Power that all cars offer together, above 0 [kW].
    sells : tuple of str
        Services that are sold, one or more of "energy", "regulation", "reserve" and "capacity".
    largest_site_kw : float
        Power offered by the largest site, above 0 and at most `power_kw` [kW].
    load_zones : int
        Number of load zones in which the cars are, at least 1.
    pricing_nodes : int
        Number of pricing nodes at which the cars are, at least 1.
    suppliers : int
        Number of suppliers from which the sites buy energy, at least 1.
    aggregators_per_der : int
        Largest number of aggregators that sell one and the same car, at least 1.
    telemetry_s : float
        Time between two measurements that the market receives, above 0; infinite if it receives
        none [s].
    net_metered : bool
        True if injections earn the retail rate.
    sub_metered : bool
        True if cars have meters of their own.
    small_utility : bool
        True if the utility distributes at most 4 million MWh a year.
    opted_in : bool
        True if the regulator of a small utility admits aggregations.

    Examples
    --------
    >>> cars = Aggregation(
    ...     power_kw=96.0,
    ...     sells=("energy", "regulation"),
    ...     largest_site_kw=40.0,
    ...     load_zones=1,
    ...     pricing_nodes=1,
    ...     suppliers=1,
    ...     aggregators_per_der=1,
    ...     telemetry_s=4.0,
    ...     net_metered=True,
    ... )
    >>> cars.sells
    ('energy', 'regulation')
    """

    power_kw: float
    sells: tuple[str, ...]
    largest_site_kw: float
    load_zones: int = 1
    pricing_nodes: int = 1
    suppliers: int = 1
    aggregators_per_der: int = 1
    telemetry_s: float = math.inf
    net_metered: bool = False
    sub_metered: bool = False
    small_utility: bool = False
    opted_in: bool = False

    def __post_init__(self):
        keep(
            self,
            power_kw=dict(one=True, unit="kW", gt=0),
            telemetry_s=dict(one=True, unit="s", gt=0, finite=False),
            **{name: dict(whole=True) for name in _COUNTS},
            **{name: dict(flag=True) for name in _FLAGS},
        )
        keep(self, largest_site_kw=dict(one=True, unit="kW", gt=0, le=self.power_kw))
        object.__setattr__(self, "sells", _services(self.sells))


def _services(sells):
    """The services of an aggregation, as a tuple of known words."""
    services = instances("sells", sells, str)
    if not services:
        raise ValueError(f"sells is empty; name one or more of {', '.join(_SERVICES)}")
    for place, service in enumerate(services):
        one_of(f"sells[{place}]", service, _SERVICES)
    return services


@dataclass(frozen=True, kw_only=True)
class Product:
    """A reserve as a limited battery sees it: what each megawatt of a bid binds.

    Attributes
    ----------
    name : str
        Name in the market.
    up : bool
        True if the reserve gives power to the grid. A product is up, down, or both.
    down : bool
        True if the reserve takes power from the grid.
    duration_h : float
        Time for which full delivery must be possible, at least 0 [h].
    factor : float
        Power bound per MW of bid, in each direction of the product, above 0 [-].
    opposite : float
        Power bound per MW of bid in the other direction, to restore energy, at least 0 [-].
    minimum_mw : float
        Smallest bid, at least 0 [MW].
    bid_step_mw : float
        Step between two bids, above 0 [MW].
    source : str
        Where the rule stands.
    confidence : str
        "read" (in the source), "from memory" or "chosen".

    Examples
    --------
    >>> product = Product(
    ...     name="FCR-D up",
    ...     up=True,
    ...     down=False,
    ...     duration_h=1 / 3,
    ...     factor=1.0,
    ...     opposite=0.2,
    ...     minimum_mw=0.1,
    ...     bid_step_mw=0.1,
    ...     source="Svenska kraftnät",
    ...     confidence="read",
    ... )
    >>> float(reserve_needs(product, 10.0).energy_up_mwh.round(3))
    3.333
    """

    name: str
    up: bool
    down: bool
    duration_h: float
    factor: float
    opposite: float
    minimum_mw: float
    bid_step_mw: float
    source: str
    confidence: str

    def __post_init__(self):
        keep(
            self,
            duration_h=dict(one=True, unit="h", ge=0),
            factor=dict(one=True, ge=1e-6),
            opposite=dict(one=True, ge=0),
            minimum_mw=dict(one=True, unit="MW", ge=0),
            bid_step_mw=dict(one=True, unit="MW", ge=1e-6),
            up=dict(flag=True),
            down=dict(flag=True),
        )
        for name in ("name", "source"):
            instance(name, getattr(self, name), str)
        one_of("confidence", self.confidence, _CONFIDENCE)
        if not (self.up or self.down):
            raise ValueError(
                f"up and down of {self.name} are both False; a reserve has a direction"
            )


def _check_rule(where, rule):
    """Refuse a rule that `eligible` could not apply."""
    instance(where, rule, Mapping)
    needed = ("field", "test", "value", "says", "source", "confidence")
    missing = [key for key in needed if key not in rule]
    unknown = [key for key in rule if key not in (*needed, "when")]
    if missing or unknown:
        raise ValueError(
            f"{where} has the keys {', '.join(map(str, rule))}; it must have "
            f"{', '.join(needed)}, and it may have when"
        )
    one_of(f"{where}: field", rule["field"], (*_SIZES, *_FLAGS, "sells"))
    one_of(f"{where}: test", rule["test"], _TESTS)
    one_of(f"{where}: confidence", rule["confidence"], _CONFIDENCE)
    for key in ("says", "source"):
        instance(f"{where}: {key}", rule[key], str)
    _check_limit(where, rule)
    _check_when(where, rule.get("when", {}))


def _check_limit(where, rule):
    """The value of a rule must suit its test and its field."""
    if rule["test"] == "excludes":
        one_of(f"{where}: field", rule["field"], ("sells",))
        instances(f"{where}: value", rule["value"], str)
    elif rule["test"] == "is":
        one_of(f"{where}: field", rule["field"], (*_SIZES, *_FLAGS))
        instance(f"{where}: value", rule["value"], (bool, int, float))
    else:
        one_of(f"{where}: field", rule["field"], _SIZES)
        one(f"{where}: value", rule["value"])


def _check_when(where, when):
    """Conditions of a rule: fields, and the values at which the rule applies."""
    instance(f"{where}: when", when, Mapping)
    for name, wanted in when.items():
        one_of(f"{where}: when", name, (*_SIZES, *_FLAGS, "sells"))
        instance(f"{where}: when {name}", wanted, str if name == "sells" else (bool, int, float))


@dataclass(frozen=True, kw_only=True)
class Market:
    """Rules of a market as data.

    Attributes
    ----------
    name : str
        Name of the market.
    region : str
        "North America", "Europe" or "Great Britain" for the markets of the book.
    currency : str
        ISO code of its currency, such as "EUR".
    date : datetime.date or None
        Day from which the rules hold.
    story : str
        What happened to the rules, in a few sentences.
    rules : list of dict
        Conditions that an aggregation must meet. Keys: `field` (of `Aggregation`), `test` ("at
        least", "at most", "is", "excludes"), `value`, `says` (the rule in words), `source`,
        `confidence` ("read", "from memory", "chosen"), and optionally `when`: fields and the values
        at which the rule applies.
    products : list of Product
        Reserves for limited batteries.
    families : dict
        Name of a thing that is paid for, and the list of services that are that thing.
    promises : dict
        `together` lists groups of families; what a group promises must not exceed the charger.
    settlement : dict
        Constants of the settlement, such as `score_floor`.

    Examples
    --------
    >>> rule = {
    ...     "field": "power_kw",
    ...     "test": "at least",
    ...     "value": 100.0,
    ...     "says": "an aggregation offers at least 100 kW",
    ...     "source": "Order 2222",
    ...     "confidence": "read",
    ... }
    >>> rules = Market(
    ...     name="PJM",
    ...     region="North America",
    ...     currency="USD",
    ...     date=datetime.date(2025, 10, 1),
    ...     story="One signal since October 2025.",
    ...     rules=[rule],
    ...     products=[],
    ...     families={"energy": ["energy", "net metering"]},
    ...     promises={"together": [["regulation", "reserve"]]},
    ...     settlement={"score_floor": 0.25},
    ... )
    >>> len(rules.rules)
    1
    """

    name: str
    region: str
    currency: str
    date: datetime.date | None
    story: str
    rules: list[dict[str, Any]] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    families: dict[str, list[str]] = field(default_factory=dict)
    promises: dict[str, list[list[str]]] = field(default_factory=dict)
    settlement: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("name", "region", "currency", "story"):
            instance(name, getattr(self, name), str)
        if self.date is not None:
            instance("date", self.date, datetime.date)
        rules = instances("rules", self.rules, dict)
        for place, rule in enumerate(rules):
            _check_rule(f"rules[{place}] of {self.name}", rule)
        object.__setattr__(self, "rules", list(rules))
        object.__setattr__(self, "products", list(instances("products", self.products, Product)))
        _family_of(instance("families", self.families, Mapping))
        _groups(instance("promises", self.promises, Mapping))
        instance("settlement", self.settlement, Mapping)

    def product(self, name: str) -> Product:
        """Return one of the market's products.

        Parameters
        ----------
        name : str
            Its name in the market, such as "FCR-D up".

        Returns
        -------
        Product
            What each megawatt of a bid binds.

        Raises
        ------
        ValueError
            If the market has no product of that name; the message lists those it has.

        Examples
        --------
        >>> market("nordic").product("FCR-N").factor
        1.34
        """
        found = {each.name: each for each in self.products}
        if not found:
            raise ValueError(
                f"name is {short(name)}, but {self.name} has no products for limited batteries"
            )
        return found[one_of("name", name, found)]


def _family_of(families):
    """For each service, the family of payments to which it belongs."""
    family_of: dict[str, str] = {}
    for family, services in families.items():
        for service in instances(f"families[{family!r}]", services, str):
            if service in family_of:
                raise ValueError(
                    f"families: {service} stands in {family_of[service]} and in {family}; "
                    "a service belongs to one family"
                )
            family_of[service] = family
    return family_of


def _groups(promises):
    """Groups of families that promise the same kilowatts."""
    groups = instance("promises['together']", promises.get("together", []), (list, tuple))
    for place, group in enumerate(groups):
        instances(f"promises['together'][{place}]", group, str)
    return groups


def markets(region: str | None = None) -> list[str]:
    """Names of the markets whose rules the book holds.

    Parameters
    ----------
    region : str, optional
        Only markets of this region: "North America", "Europe" or "Great Britain".

    Returns
    -------
    list of str
        Names for `market`, in alphabetical order.

    Raises
    ------
    ValueError
        If there is no market in the region.

    Examples
    --------
    >>> markets("Europe")
    ['fcr_continental', 'nordic']
    """
    names = [name for name in names_in("rules") if name != "history"]
    if region is None:
        return names
    region_of = {name: market(name).region for name in names}
    one_of("region", region, sorted(set(region_of.values())))
    return [name for name in names if region_of[name] == region]


def market(name: str) -> Market:
    """Read the rules of a market.

    Parameters
    ----------
    name : str
        One of `markets()`, such as "pjm".

    Returns
    -------
    Market
        Rules, products and payments; each rule names its source.

    Raises
    ------
    ValueError
        If the book has no rules of that name; the message lists those it has.

    Examples
    --------
    >>> market("ferc_2222").date.year
    2020
    """
    raw = read("rules", one_of("name", name, markets()))
    products = [Product(**each) for each in raw.get("products", [])]
    return Market(**{**raw, "products": products})


def _applies(rule, aggregation):
    """Whether all conditions of a rule are met; `sells` must contain the service."""
    for name, wanted in rule.get("when", {}).items():
        have = getattr(aggregation, name)
        met = wanted in have if name == "sells" else have == wanted
        if not met:
            return False
    return True


def _shown(value):
    """A field of an aggregation in words."""
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}"


def eligible(aggregation: Aggregation, market: Market) -> list[str]:
    """Rules that stand between an aggregation and a market, as sentences.

    Parameters
    ----------
    aggregation : Aggregation
        The cars that want to sell.
    market : Market
        Where they want to sell, such as `market("pjm")`.

    Returns
    -------
    list of str
        One sentence for each rule that is broken; empty if the aggregation may sell.

    Raises
    ------
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> cars = Aggregation(power_kw=96.0, largest_site_kw=40.0, sells=("regulation",))
    >>> eligible(cars, market("ercot_ader"))[0]
    'ERCOT ADER pilot: an aggregation responds with at least 100 kW; here power_kw is 96.'
    """
    instance("aggregation", aggregation, Aggregation)
    instance("market", market, Market)
    broken = []
    for rule in market.rules:
        have = getattr(aggregation, rule["field"])
        passes = _TESTS[rule["test"]](have, rule["value"])
        if _applies(rule, aggregation) and not passes:
            doubt = "" if rule["confidence"] == "read" else f" ({rule['confidence']})"
            here = f"here {rule['field']} is {_shown(have)}{doubt}"
            broken.append(f"{market.name}: {rule['says']}; {here}.")
    return broken


_PAYMENT: dict[str, dict[str, Any]] = {
    "kw": {"ge": 0},
    "metered_kw": {"ge": 0},
    "rating_kw": {"gt": 0},
}
_LABELS = ["car", "hour", "service", "payer", "aggregator"]


def _payments(lines, market):
    """The lines of a statement, checked, each with the family of its service."""
    columns("lines", lines, (*_LABELS, *_PAYMENT))
    amounts = _read("lines", lines, _PAYMENT)
    for label in _LABELS:
        lost = lines[label].isna().to_numpy()
        if lost.any():
            raise ValueError(f"lines.{label} is missing in row {lines.index[lost][0]!r}")
    family_of = _family_of(market.families)
    services = instances("lines.service", lines["service"], str)
    table = lines[_LABELS].copy()
    for name in amounts:
        table[name] = amounts[name].to_numpy()
    table["family"] = [family_of.get(service, service) for service in services]
    return table


def _sold_twice(rows):
    """One car, one hour: more than one aggregator?"""
    sellers = sorted(map(str, rows.aggregator.unique()))
    if len(sellers) > 1:
        yield f"sold by {' and by '.join(sellers)} at once."


def _paid_twice(rows, groups):
    """One car, one hour: is more paid for than its meter saw?"""
    promised = list(set().union(*groups))
    for family, payments in rows[~rows.family.isin(promised)].groupby("family"):
        paid_kw = payments.kw.sum()
        seen_kw = payments.metered_kw.max()
        if paid_kw > seen_kw + 1e-9:
            payers = [f"{each.payer} ({each.service})" for each in payments.itertuples()]
            yield (
                f"{family} is paid for {paid_kw:g} kW by {' and '.join(payers)}, "
                f"but the car's meter saw {seen_kw:g} kW."
            )


def _promised_twice(rows, groups):
    """One car, one hour: is more promised than its charger can give?"""
    for group in groups:
        promises = rows[rows.family.isin(group)]
        promised_kw = promises.kw.sum()
        rating_kw = promises.rating_kw.max()
        if promised_kw > rating_kw + 1e-9:
            names = [
                f"{each.kw:g} kW of {each.service} to {each.payer}"
                for each in promises.itertuples()
            ]
            yield (
                f"promised are {' and '.join(names)}, {promised_kw:g} kW "
                f"from a charger of {rating_kw:g} kW."
            )


def double_counts(lines: pd.DataFrame, market: Market) -> list[str]:
    """Payments in a statement of many payers that pay for the same thing twice.

    Parameters
    ----------
    lines : DataFrame
        One row per payment, with the columns `car`, `hour`, `service`, `payer`, `aggregator`, `kw`
        (paid for), `metered_kw` (what the car's own meter saw) and `rating_kw` (of its charger)
        [kW].
    market : Market
        Its families of services decide which services are the same thing; a service in no family
        stands for itself.

    Returns
    -------
    list of str
        One sentence for each double count, in order of hour and car. Several services at once are
        no double count, as long as they are not paid for the same kilowatts.

    Raises
    ------
    TypeError
        If an argument is of another kind.
    ValueError
        If a column is missing or empty, or an entry is missing or outside its range.

    Examples
    --------
    >>> lines = pd.DataFrame({"payer": ["PJM", "utility"], "kw": [6.0, 6.0]})
    >>> lines = lines.assign(service=["energy", "net metering"], metered_kw=6.0, rating_kw=7.0)
    >>> lines = lines.assign(car="B", hour=18, aggregator="one")
    >>> double_counts(lines, market("ferc_2222"))[0][:44]
    'Car B, hour 18: energy is paid for 12 kW by '
    """
    instance("market", market, Market)
    table = _payments(lines, market)
    groups = _groups(market.promises)
    found = []
    for (hour, car), rows in table.groupby(["hour", "car"], sort=True):
        told = [*_sold_twice(rows), *_paid_twice(rows, groups), *_promised_twice(rows, groups)]
        found += [f"Car {car}, hour {hour}: {sentence}" for sentence in told]
    return found


_MOST_CARS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class CarsNeeded:
    """Number of cars behind an offer.

    Attributes
    ----------
    n_present : int
        Cars that must be present, at least 1.
    n_cars : int
        Cars to sign up, at least 1.
    n_cars_by_mean : int
        Cars to sign up if their mean presence were enough, at least 1.
    """

    n_present: int
    n_cars: int
    n_cars_by_mean: int

    def __post_init__(self):
        number = dict(whole=True, le=1000 * _MOST_CARS)
        keep(self, n_present=number, n_cars=number, n_cars_by_mean=number)


def cars_needed(
    offer_kw: float, car_kw: float, presence: float, reliability: float = 0.9
) -> CarsNeeded:
    r"""Cars to sign up so that an offer holds with a given reliability.

    Each car is there with the same probability, independently of the others. Cars that have habits
    in common need more (chapter 10).

    .. math:: \min N:\ \Pr\big(\mathrm{Bin}(N, p) \ge \lceil P/P_1 \rceil\big) \ge q        (11.9)

    Parameters
    ----------
    offer_kw : float
        Power that is offered, P, above 0 [kW].
    car_kw : float
        Power of one car, P_1, above 0 [kW].
    presence : float
        Probability p that a car is there, above 0 and below 1 [-].
    reliability : float
        Probability q with which the offer shall hold, above 0 and below 1 [-].

    Returns
    -------
    CarsNeeded
        Cars that must be present, cars to sign up, and the number by the mean alone.

    Raises
    ------
    ValueError
        If an argument is outside its range, or more than a billion cars would be needed.

    Examples
    --------
    >>> cars_needed(100.0, 7.2, 0.5, 0.9)
    CarsNeeded(n_present=14, n_cars=35, n_cars_by_mean=28)
    """
    offer = one("offer_kw", offer_kw, "kW", gt=0)
    car = one("car_kw", car_kw, "kW", gt=0)
    p = one_fraction("presence", presence, gt=0, lt=1)
    q = one_fraction("reliability", reliability, gt=0, lt=1)
    n_present = max(1, math.ceil(offer / car - 1e-9))
    if n_present / p > _MOST_CARS:
        raise ValueError(
            f"offer_kw = {offer:g} from cars of car_kw = {car:g} with presence {p:g} takes "
            "more than a billion cars"
        )
    most = math.ceil((2 * n_present + 200) / p)
    return CarsNeeded(
        n_present=n_present,
        n_cars=_presence.fewest_cars(n_present, p, q, most=most),  # eq. (11.9)
        n_cars_by_mean=math.ceil(n_present / p - 1e-9),
    )


# ------------------------------------------------------------------ behind the meter, or in front


@dataclass(frozen=True, kw_only=True)
class MeterValue:
    """What the same energy earns behind a customer's meter, and in front of it.

    Attributes
    ----------
    behind : float
        Purchases avoided and energy sold behind the meter [currency].
    front : float
        Energy sold in the wholesale market [currency].
    """

    behind: float
    front: float

    def __post_init__(self):
        keep(self, behind=dict(one=True), front=dict(one=True))


def _per_step(name, price, load):
    """A price, or one price a step."""
    value = np.asarray(checked(name, price))
    if value.ndim:
        alike(load_kw=load, **{name: value})
    return value


def meter_value(
    load_kw: ArrayLike,
    p_kw: ArrayLike,
    dt_h: float,
    *,
    retail_per_kwh: ArrayLike,
    export_per_kwh: ArrayLike,
    wholesale_per_kwh: ArrayLike,
) -> MeterValue:
    r"""Value of the same discharge behind a customer's meter and in front of it.

    Behind the meter a discharge first avoids a purchase, and only the rest is sold. The site draws
    g = max(load - p, 0) and exports x = max(p - load, 0).

    .. math::

        V_{behind} = \sum_k \Delta t\,
        \big(\pi_r\,(g_k(0) - g_k(p)) + \pi_x\,(x_k(p) - x_k(0))\big),\quad
        V_{front} = \sum_k \Delta t\,\pi_w\,p_k            (11.10)

    Parameters
    ----------
    load_kw : array, shape (steps,)
        Load of the site without the cars; negative where it exports [kW].
    p_kw : array, shape (steps,)
        Power of the cars; positive discharges [kW].
    dt_h : float
        Length of a step, above 0 [h].
    retail_per_kwh : float or array, shape (steps,)
        Price of energy bought behind the meter [currency per kWh].
    export_per_kwh : float or array, shape (steps,)
        Price of energy exported from behind the meter [currency per kWh].
    wholesale_per_kwh : float or array, shape (steps,)
        Price in the market, in front of the meter [currency per kWh].

    Returns
    -------
    MeterValue
        Value behind and in front of the meter [currency].

    Raises
    ------
    ValueError
        If an argument is not a series of finite numbers, or lengths differ.

    Examples
    --------
    >>> prices = {"retail_per_kwh": 0.3, "export_per_kwh": 0.05, "wholesale_per_kwh": 0.1}
    >>> value = meter_value([4.0, 4.0, 4.0], [2.0, 4.0, 8.0], 1.0, **prices)
    >>> round(value.behind, 3), round(value.front, 3)
    (3.2, 1.4)
    """
    load = row("load_kw", load_kw, "kW")
    p = row("p_kw", p_kw, "kW")
    alike(load_kw=load, p_kw=p)
    dt = one("dt_h", dt_h, "h", gt=0)
    avoided_kw = np.maximum(load, 0) - np.maximum(load - p, 0)
    sold_kw = np.maximum(p - load, 0) - np.maximum(-load, 0)
    avoided = avoided_kw * _per_step("retail_per_kwh", retail_per_kwh, load)
    sold = sold_kw * _per_step("export_per_kwh", export_per_kwh, load)
    front = p * _per_step("wholesale_per_kwh", wholesale_per_kwh, load)
    return MeterValue(
        behind=float((avoided + sold).sum() * dt), front=float(front.sum() * dt)
    )  # eq. (11.10)


_MOST_DAYS = 36_525  # a hundred years


def _days(name, values):
    """Several calendar days."""
    listed = instances(name, values, DATES)
    return pd.DatetimeIndex(
        [calendar_day(f"{name}[{place}]", day) for place, day in enumerate(listed)]
    )


def building(start: Date, days: int, *, rng: np.random.Generator) -> pd.DataFrame:
    """Load and outdoor temperature of a SYNTHETIC office, hour by hour.

    Parameters
    ----------
    start : str or date
        First day.
    days : int
        Number of days, 1 to 36,525.
    rng : numpy.random.Generator
        Source of chance, for weather and noise.

    Returns
    -------
    DataFrame, index time (hours)
        Columns `load_kw` [kW] and `temp_c` [°C].

    Raises
    ------
    TypeError
        If `rng` is not a generator, or `start` is no date.
    ValueError
        If `start` cannot be read or `days` is outside its range.

    Notes
    -----
    Recipe: the office draws 40 kW always, 60 kW more on weekdays from 8 to 18 o'clock, then also
    2.5 kW per kelvin above 18 °C, with 3 % of noise. The mean temperature is 21 °C, with a daily
    swing of 6 °C up and down and a weather of 3 °C standard deviation that keeps 70 % of its
    deviation from one day to the next.

    Examples
    --------
    >>> office = building("2026-06-01", 60, rng=np.random.default_rng(11))
    >>> len(office), round(float(office.load_kw.median()))
    (1440, 41)
    """
    first = calendar_day("start", start)
    count = whole("days", days, "days", le=_MOST_DAYS)
    instance("rng", rng, np.random.Generator)
    time = pd.date_range(first, periods=24 * count, freq="h", name="time")
    swing = 6 * np.cos(2 * np.pi * (time.hour - 15) / 24)
    temp = 21 + swing + np.repeat(_weather(count, rng), 24)
    busy = (time.day_of_week < 5) & (time.hour >= 8) & (time.hour < 18)
    planned = 40 + busy * (60 + 2.5 * np.maximum(temp - 18, 0))
    load = planned * (1 + 0.03 * rng.standard_normal(len(time)))
    return pd.DataFrame({"load_kw": load, "temp_c": temp}, index=time)


def _weather(days, rng):
    """Deviation of each day's mean temperature, of which 70 % stays until the next day."""
    shocks = rng.standard_normal(days)
    step_c = 3 * math.sqrt(1 - 0.7**2)  # keeps the standard deviation at 3 °C
    weather = np.empty(days)
    weather[0] = 3 * shocks[0]
    for day in range(1, days):
        weather[day] = 0.7 * weather[day - 1] + step_c * shocks[day]
    return weather


def _by_day(name, series):
    """Hours (0..23) as columns, calendar days as rows; NaN where a value is missing.

    Local years have a day of 23 hours, whose missing hour stays empty, and one of 25, whose double
    hour is averaged.
    """
    instance(name, series, pd.Series)
    stamps(name, series.index.unique())
    local = series.index.tz_localize(None)
    table = pd.DataFrame(
        {"day": local.normalize(), "hour": local.hour, "value": _readings(name, series)}
    )
    _one_an_hour(name, table)
    hours = table.groupby(["day", "hour"]).value.mean().unstack("hour")
    days = pd.date_range(hours.index[0], hours.index[-1], freq="D", name="day")
    return hours.reindex(index=days, columns=pd.RangeIndex(24, name="hour"))


def _readings(name, series):
    """Values of a series as floats; NaN, a missing value, is allowed."""
    if series.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold numbers, not {series.dtype}")
    values = series.to_numpy(dtype=float, na_value=np.nan)
    checked(name, values[~np.isnan(values)])  # refuses infinity, and a series without any value
    return values


def _one_an_hour(name, table):
    """Refuse more than one value an hour, save for the hour that a clock change repeats."""
    counts = table.groupby(["day", "hour"]).size()
    twice = counts[counts > 1].reset_index(name="values")
    by_night = (twice["values"] == 2) & (twice.hour < 4) & ~twice.duplicated("day")
    wrong = twice[~by_night]
    if len(wrong):
        day, hour, values = wrong.iloc[0]
        raise ValueError(
            f"{name} has {values} values on {day:%Y-%m-%d} at {hour} o'clock; give the 24 hours of "
            "a day, each of them once"
        )


def _clock(clock_h):
    """Hours of the clock within one day, in order."""
    listed = row("clock_h", clock_h, "(an hour of the clock)", ge=0, le=23)
    if (listed != np.floor(listed)).any() or (np.diff(listed) <= 0).any():
        raise ValueError(f"clock_h is {listed.tolist()}; give whole hours of one day that rise")
    return listed.astype(int).tolist()


def _like_days(table, event, event_days):
    """Days before an event, of its kind (weekday or weekend), without events."""
    days = table.index
    if event not in days:
        raise ValueError(
            f"there is no day {event:%Y-%m-%d} in the data, which run from {days[0]:%Y-%m-%d} to "
            f"{days[-1]:%Y-%m-%d}"
        )
    same_kind = (days.day_of_week >= 5) == (event.day_of_week >= 5)
    return days[(days < event) & same_kind & ~days.isin(event_days)]


def _ten_or_more(days, event):
    """Refuse a baseline from fewer than ten days."""
    if len(days) < 10:
        raise ValueError(
            f"only {len(days)} like days without an event lie before {event:%Y-%m-%d}; "
            "ten are needed"
        )


def _known(name, table, days, clock_h, event):
    """The cells of these days and hours, none of which may be missing."""
    cells = table.loc[days, clock_h]
    lost = cells.isna().to_numpy()
    if lost.any():
        place, column = np.argwhere(lost)[0]
        hint = "" if cells.index[place] == event else ", or leave the day out with event_days"
        raise ValueError(
            f"{name} has no value on {cells.index[place]:%Y-%m-%d} at {clock_h[column]} o'clock, "
            f"which the baseline of {event:%Y-%m-%d} needs; fill the gap{hint}"
        )
    return cells


def _high_5_of_10(name, table, event, clock_h, event_days, adjust_cap):
    """`high_5_of_10` of a table of days and hours."""
    last = _like_days(table, event, event_days)[-10:]
    _ten_or_more(last, event)
    loads = _known(name, table, last, clock_h, event)
    highest = loads.mean(axis=1).nlargest(5).index
    usual = loads.loc[highest].mean()
    factor = 1.0
    if adjust_cap is not None:
        cap = one_fraction("adjust_cap", adjust_cap, lt=1)
        factor = _same_day(name, table, event, clock_h[0], highest, cap)
    return (usual * factor).rename("baseline_kw")  # eq. (11.11)


def _same_day(name, table, event, first_hour, highest, cap):
    """Factor by which the morning of the event moves its baseline."""
    window = [first_hour - 4, first_hour - 3]
    if window[0] < 0:
        raise ValueError(
            f"clock_h begins at {first_hour}; an adjustment needs four hours of the same day "
            "before it"
        )
    today = _known(name, table, [event], window, event).loc[event].sum()
    usual = _known(name, table, highest, window, event).mean().sum()
    if usual < 1e-9:
        raise ValueError(
            f"{name} is {usual / 2:g} in the mean of the highest days at {window[0]} and "
            f"{window[1]} o'clock; the adjustment is a ratio and needs a positive load there"
        )
    return float(np.clip(today / usual, 1 - cap, 1 + cap))


def high_5_of_10(
    meter_kw: pd.Series,
    day: Date,
    clock_h: Sequence[int],
    *,
    event_days: Iterable[Date] = (),
    adjust_cap: float | None = None,
) -> pd.Series:
    r"""Baseline of a site: the mean of the five highest of the last ten like days.

    Like days are weekdays for a weekday and weekends for a weekend; the highest are those with the
    largest load in the hours of the event.

    .. math::

        \hat L_h = \alpha\,\tfrac15 \sum_{i \in H_5} L_{i,h},\qquad
        \alpha = \operatorname{clip}
        \Big(\frac{\sum_{w} L_w}{\sum_{w} \hat L_w},\ 1 \pm c\Big)            (11.11)

    Parameters
    ----------
    meter_kw : Series, index of hours
        Load at the site's meter, in local time with or without a time zone. Days of 23 and 25 hours
        are allowed, and gaps where the baseline does not need a value [kW].
    day : str or date
        Day of the event.
    clock_h : list of int
        Hours of the event, 0..23, in order.
    event_days : list of str or date
        Days that do not count among the ten. A car that serves every day leaves no other days: give
        () then.
    adjust_cap : float, optional
        Cap c of the same-day adjustment, 0 to below 1, from the two hours w that begin four hours
        before the event. None: no adjustment, alpha = 1 [-].

    Returns
    -------
    Series, index hour
        What the site would have drawn without the event, `baseline_kw` [kW].

    Raises
    ------
    TypeError
        If `meter_kw` is not a Series with an index of time stamps, or a day is no date.
    ValueError
        If fewer than ten like days lie before the event, a value that the baseline needs is
        missing, or an argument is outside its range.

    References
    ----------
    .. [1] PG&E, Power Saver programme: high 5 of 10 weekdays, adjusted for the weather.
    .. [2] NYISO: same-day adjustment with the window w and a cap of 20 %.

    Examples
    --------
    >>> time = pd.date_range("2024-06-03", periods=24 * 19, freq="h")
    >>> meter = pd.Series(10.0 + time.day_of_year - 155, index=time)
    >>> line = high_5_of_10(
    ...     meter, "2024-06-21", [16, 17], event_days=["2024-06-20"], adjust_cap=0.2
    ... )
    >>> line.round(2).tolist()
    [27.84, 27.84]
    """
    table = _by_day("meter_kw", meter_kw)
    event = calendar_day("day", day)
    excluded = _days("event_days", event_days)
    return _high_5_of_10("meter_kw", table, event, _clock(clock_h), excluded, adjust_cap)


def _regression(names, loads, temps, event, clock_h, event_days, base_c):
    """`regression_baseline` of tables of days and hours; `names` are those of the tables."""
    warmth = (temps.reindex(loads.index) - base_c).clip(lower=0)
    now = _known(names[1], warmth, [event], clock_h, event).loc[event]
    past = _like_days(loads, event, event_days)
    result = {}
    for hour in clock_h:
        known = loads.loc[past, hour].notna() & warmth.loc[past, hour].notna()
        days = past[known]
        _ten_or_more(days, event)
        design = np.column_stack([np.ones(len(days)), warmth.loc[days, hour]])
        level, slope = np.linalg.lstsq(design, loads.loc[days, hour], rcond=None)[0]
        result[hour] = level + slope * now[hour]  # eq. (11.12)
    return pd.Series(result, name="baseline_kw").rename_axis("hour")


def _same_zone(**series):
    """Refuse series whose time stamps are in different time zones."""
    zones = {}
    for name, each in series.items():
        instance(name, each, pd.Series)
        stamps(name, each.index.unique())
        zones[name] = str(each.index.tz or "local time without a zone")
    if len(set(zones.values())) > 1:
        told = ", ".join(f"{name} is in {zone}" for name, zone in zones.items())
        raise ValueError(f"{told}; give them in the same time zone")


def regression_baseline(
    meter_kw: pd.Series,
    temp_c: pd.Series,
    day: Date,
    clock_h: Sequence[int],
    *,
    event_days: Iterable[Date] = (),
    base_c: float = 18.0,
) -> pd.Series:
    r"""Baseline of a site: a level, and a slope with the warmth of the air, for each hour.

    Both are fitted by least squares to all earlier like days without an event, ten or more.

    .. math:: \hat L_{i,h} = a_h + b_h\,\max(T_{i,h} - T_0,\ 0)            (11.12)

    Parameters
    ----------
    meter_kw : Series, index of hours
        Load at the site's meter, as in `high_5_of_10`. Days with a gap in an hour are left out of
        the fit of that hour [kW].
    temp_c : Series, index of hours
        Outdoor temperature, in the same time zone [°C].
    day : str or date
        Day of the event.
    clock_h : list of int
        Hours of the event, 0..23, in order.
    event_days : list of str or date
        Days that are left out of the fit.
    base_c : float
        Temperature T_0 above which cooling begins [°C].

    Returns
    -------
    Series, index hour
        What the site would have drawn without the event, `baseline_kw` [kW].

    Raises
    ------
    TypeError
        If a series is not a Series with an index of time stamps, or a day is no date.
    ValueError
        If fewer than ten like days lie before the event, the temperature of the event is missing,
        or an argument is outside its range.

    Examples
    --------
    >>> time = pd.date_range("2024-06-03", periods=24 * 19, freq="h")
    >>> temp = pd.Series(15.0 + time.day_of_year % 7, index=time)
    >>> line = regression_baseline(
    ...     40 + 2 * (temp - 18).clip(lower=0),
    ...     temp,
    ...     "2024-06-21",
    ...     [16],
    ...     event_days=["2024-06-20"],
    ...     base_c=18.0,
    ... )
    >>> float(temp["2024-06-21 16:00"]), line.round(2).tolist()
    (20.0, [44.0])
    """
    _same_zone(meter_kw=meter_kw, temp_c=temp_c)
    loads = _by_day("meter_kw", meter_kw)
    temps = _by_day("temp_c", temp_c)
    event = calendar_day("day", day)
    excluded = _days("event_days", event_days)
    base = one("base_c", base_c, "°C")
    names = ("meter_kw", "temp_c")
    return _regression(names, loads, temps, event, _clock(clock_h), excluded, base)


def _baselines(meter, temps, event, clock_h, event_days, adjust_cap):
    """What each method says that the site would have drawn."""
    name = "site.load_kw less car_kw"
    by_days = (name, meter, event, clock_h, event_days)
    by_weather = ((name, "site.temp_c"), meter, temps, event, clock_h, event_days, 18.0)
    return {
        "high 5 of 10": _high_5_of_10(*by_days, None),
        "high 5 of 10, adjusted": _high_5_of_10(*by_days, adjust_cap),
        "regression": _regression(*by_weather),
    }


def _metered_days(days):
    """The days that are paid: at least one, and each of them once."""
    listed = _days("days", days)
    if not len(listed):
        raise ValueError("days is empty; give at least one day")
    if not listed.is_unique:
        twice = listed[listed.duplicated()][0]
        raise ValueError(f"days names {twice:%Y-%m-%d} twice; each day is paid once")
    return listed


def metering(
    site: pd.DataFrame,
    car_kw: pd.Series,
    days: Iterable[Date],
    clock_h: Sequence[int],
    *,
    price_per_kwh: float,
    event_days: Iterable[Date] | None = None,
    adjust_cap: float = 0.2,
) -> pd.DataFrame:
    """Payments by four ways of metering for the same cars behind a building.

    Parameters
    ----------
    site : DataFrame, index of hours
        Columns `load_kw` without the cars [kW] and `temp_c` [°C], as `building` makes them.
    car_kw : Series, index of hours
        Power of the cars, positive discharges, in the time zone of `site` [kW].
    days : list of str or date
        Days of the events that are paid.
    clock_h : list of int
        Hours of the events, 0..23, in order.
    price_per_kwh : float
        Paid for a reduction, above 0; an increase costs nothing [currency per kWh].
    event_days : list of str or date, optional
        Days kept out of the baselines; `days` if None. Give () for a service of every day that
        nobody declares an event.
    adjust_cap : float
        Cap of the same-day adjustment, 0 to below 1 [-].

    Returns
    -------
    DataFrame, index method
        Columns `paid` [currency] and `lost`, the fraction of the true value that is not paid,
        negative if too much is [-].

    Raises
    ------
    TypeError
        If `site` is not a DataFrame, `car_kw` is not a Series, or a day is no date.
    ValueError
        If a value that a baseline needs is missing, the cars give nothing in these hours, or an
        argument is outside its range.

    Examples
    --------
    >>> office = building("2024-06-03", 30, rng=np.random.default_rng(11))
    >>> events = ["2024-06-24", "2024-06-26"]
    >>> called = office.index.strftime("%Y-%m-%d").isin(events) & (office.index.hour == 17)
    >>> table = metering(
    ...     office,
    ...     pd.Series(20.0 * called, index=office.index),
    ...     events,
    ...     [17],
    ...     price_per_kwh=0.5,
    ...     event_days=events,
    ...     adjust_cap=0.2,
    ... )
    >>> float(table.paid["own meter"].round(2))
    20.0
    """
    columns("site", site, ["load_kw", "temp_c"])
    _same_zone(**{"site.load_kw": site["load_kw"], "car_kw": car_kw})
    price = one("price_per_kwh", price_per_kwh, gt=0)
    loads = _by_day("site.load_kw", site["load_kw"])
    temps = _by_day("site.temp_c", site["temp_c"])
    cars = _by_day("car_kw", car_kw).reindex(loads.index)
    meter = loads - cars
    paid_days = _metered_days(days)
    excluded = paid_days if event_days is None else _days("event_days", event_days)
    clock_h = _clock(clock_h)
    kwh = dict.fromkeys(("own meter", "high 5 of 10", "high 5 of 10, adjusted", "regression"), 0.0)
    for day in paid_days:
        lines = _baselines(meter, temps, day, clock_h, excluded, adjust_cap)
        now = _known("site.load_kw less car_kw", meter, [day], clock_h, day).loc[day]
        kwh["own meter"] += cars.loc[day, clock_h].clip(lower=0).sum()
        for method, line in lines.items():
            kwh[method] += (line - now).clip(lower=0).sum()
    if kwh["own meter"] <= 0:
        raise ValueError("car_kw gives nothing in these hours; there is nothing to meter")
    paid = pd.Series(kwh) * price
    lost = 1 - paid / paid["own meter"]
    return pd.DataFrame({"paid": paid, "lost": lost}).rename_axis("method")


# ---------------------------------------------------------------- reserves from a limited battery


@dataclass(frozen=True, kw_only=True)
class Reservoir:
    """Cars as a limited battery: the power and the energy at hand, at the meter.

    Attributes
    ----------
    p_up_mw : float
        Power that the cars can give, at least 0 [MW].
    p_down_mw : float
        Power that they can take, at least 0 [MW].
    energy_up_mwh : float
        Energy that they can give, at least 0 [MWh].
    energy_down_mwh : float
        Energy that they can take, at least 0 [MWh].

    Examples
    --------
    >>> Reservoir(p_up_mw=1.0, p_down_mw=1.0, energy_up_mwh=0.2, energy_down_mwh=3.0).energy_up_mwh
    0.2
    """

    p_up_mw: float
    p_down_mw: float
    energy_up_mwh: float
    energy_down_mwh: float

    def __post_init__(self):
        power = dict(one=True, unit="MW", ge=0)
        energy = dict(one=True, unit="MWh", ge=0)
        keep(self, p_up_mw=power, p_down_mw=power, energy_up_mwh=energy, energy_down_mwh=energy)


def reserve_needs(product: Product, bid_mw: float = 1.0) -> pd.Series:
    """Power and energy that a bid binds.

    Parameters
    ----------
    product : Product
        The reserve.
    bid_mw : float
        Size of the bid, at least 0 [MW].

    Returns
    -------
    Series
        Entries `p_up_mw` and `p_down_mw` [MW], `energy_up_mwh` and `energy_down_mwh` [MWh], like
        the fields of a `Reservoir`.

    Raises
    ------
    TypeError
        If `product` is not a Product.
    ValueError
        If `bid_mw` is not a number, at least 0.

    Examples
    --------
    >>> needs = reserve_needs(market("nordic").product("FCR-D up"), 10.0)
    >>> needs.round(3).to_dict()
    {'p_up_mw': 10.0, 'p_down_mw': 2.0, 'energy_up_mwh': 3.333, 'energy_down_mwh': 0.0}
    """
    instance("product", product, Product)
    bid = one("bid_mw", bid_mw, "MW", ge=0)
    per_mw = {
        "p_up_mw": product.factor if product.up else product.opposite,
        "p_down_mw": product.factor if product.down else product.opposite,
        "energy_up_mwh": product.duration_h * product.up,
        "energy_down_mwh": product.duration_h * product.down,
    }
    return pd.Series(per_mw, dtype=float) * bid


def largest_bid(reservoir: Reservoir, product: Product) -> float:
    r"""Largest bid of one product that a limited battery can hold.

    .. math:: P \le \min_j \frac{R_j}{n_j}            (11.13)

    Parameters
    ----------
    reservoir : Reservoir
        Power and energy at hand, R.
    product : Product
        The reserve, with power and energy n needed per MW.

    Returns
    -------
    float
        Bid in whole steps of the product; 0 below its smallest bid [MW].

    Raises
    ------
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> cars = Reservoir(p_up_mw=1.0, p_down_mw=1.0, energy_up_mwh=0.2, energy_down_mwh=3.0)
    >>> largest_bid(cars, market("nordic").product("FCR-D up"))
    0.6
    """
    instance("reservoir", reservoir, Reservoir)
    needs = reserve_needs(product)
    ratios = [getattr(reservoir, name) / need for name, need in needs.items() if need > 0]
    in_steps = math.floor(min(ratios) / product.bid_step_mw + 1e-9)  # eq. (11.13)
    bid = round(in_steps * product.bid_step_mw, 9)
    return bid if bid >= product.minimum_mw else 0.0


# -------------------------------------------------------------------- the queue for a connection

_STEADY = 1e-6  # below this coefficient of variation all studies take the same time
_MOST_PROJECTS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Projects that ask for a connection: some pass a screening, the others wait for a study.

    Projects arrive at random (Poisson). Those that fail the screens are studied first come, first
    served, by one of several teams; the times of the studies have a gamma distribution.

    Attributes
    ----------
    arrivals_per_year : float
        Projects that arrive in a year, at least 1e-6 [1/year].
    sizes_kw : tuple of float
        Sizes of the kinds of projects, above 0 [kW].
    size_share : tuple of float
        Share of each kind among the projects, 0..1; the shares add up to 1 [-].
    pass_share : tuple of float
        Probability with which each kind passes the screens, 0..1 [-].
    study_years : float
        Mean time of a study, above 0 [years].
    study_cv : float
        Standard deviation over mean of this time, 0 to 100: 1 is exponential, 0 always the same
        [-].
    teams : int
        Teams that study, 1 to 1,000,000.
    screen_years : float
        Time that the screens take, at least 0 [years].

    Examples
    --------
    >>> desk = Queue(
    ...     arrivals_per_year=40.0,
    ...     sizes_kw=(20.0, 200.0, 2000.0),
    ...     size_share=(0.5, 0.3, 0.2),
    ...     pass_share=(0.9, 0.5, 0.0),
    ...     study_years=0.1,
    ...     study_cv=1.0,
    ...     teams=2,
    ...     screen_years=0.06,
    ... )
    >>> round(desk.studied_per_year, 3), round(desk.utilisation, 3)
    (16.0, 0.8)
    """

    arrivals_per_year: float
    sizes_kw: tuple[float, ...]
    size_share: tuple[float, ...]
    pass_share: tuple[float, ...]
    study_years: float
    study_cv: float = 1.0
    teams: int = 1
    screen_years: float = 0.06

    def __post_init__(self):
        keep(
            self,
            arrivals_per_year=dict(one=True, unit="1/year", ge=1e-6),
            study_years=dict(one=True, unit="years", gt=0),
            study_cv=dict(one=True, ge=0, le=100),
            teams=dict(whole=True, le=1_000_000),
            screen_years=dict(one=True, unit="years", ge=0),
            sizes_kw=dict(row=True, unit="kW", gt=0),
            size_share=dict(fraction=True),
            pass_share=dict(fraction=True),
        )
        alike(sizes_kw=self.sizes_kw, size_share=self.size_share, pass_share=self.pass_share)
        total = float(np.sum(self.size_share))
        if abs(total - 1) > 1e-9:
            raise ValueError(f"size_share adds up to {total:g}; it must add up to 1")
        for name in ("sizes_kw", "size_share", "pass_share"):
            object.__setattr__(self, name, tuple(getattr(self, name).tolist()))

    @property
    def studied_per_year(self) -> float:
        """Projects that fail the screens and wait for a study [1/year].

        Returns
        -------
        float
            Arrivals times the probability to fail [1/year].
        """
        passed = float(np.dot(self.size_share, self.pass_share))
        return self.arrivals_per_year * max(0.0, 1 - passed)

    @property
    def utilisation(self) -> float:
        """Work that arrives over work that the teams can do [-].

        Returns
        -------
        float
            At 1 and above the queue grows without end [-].
        """
        return self.studied_per_year * self.study_years / self.teams


def _study_times(queue, count, rng):
    """Times of the studies: gamma distributed, or all the same [years]."""
    if queue.study_cv < _STEADY:
        return np.full(count, queue.study_years)
    shape = queue.study_cv**-2
    return rng.gamma(shape, queue.study_years / shape, count)


def _first_come(ready, study, teams):
    """Waits of projects, in the order in which they are ready, for one of the teams [years]."""
    free = [0.0] * teams  # when each team is free again, the earliest first
    wait = np.empty(len(ready))
    for place, (time, lasts) in enumerate(zip(ready, study)):
        begins = max(time, heapq.heappop(free))
        heapq.heappush(free, begins + lasts)
        wait[place] = begins - time
    return wait


def simulate_queue(queue: Queue, projects: int, *, rng: np.random.Generator) -> pd.DataFrame:
    """Arrivals, waits and connection dates of projects in a queue, drawn at random.

    Parameters
    ----------
    queue : Queue
        Arrivals, screens and teams.
    projects : int
        Number of projects that arrive, 1 to 10,000,000.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    DataFrame, one row per project
        Columns `arrives_year` [years], `size_kw` [kW], `fast` (passed the screens), `wait_years`
        (until a team is free) [years] and `done_year` [years].

    Raises
    ------
    TypeError
        If `queue` is not a Queue or `rng` is not a generator.
    ValueError
        If `projects` is not a whole number in its range.

    Examples
    --------
    >>> desk = Queue(
    ...     arrivals_per_year=40.0,
    ...     sizes_kw=(20.0, 2000.0),
    ...     size_share=(0.8, 0.2),
    ...     pass_share=(0.9, 0.0),
    ...     study_years=0.07,
    ... )
    >>> projects = simulate_queue(desk, 1000, rng=np.random.default_rng(1))
    >>> len(projects), float(projects.wait_years[projects.fast].max())
    (1000, 0.0)
    """
    instance("queue", queue, Queue)
    count = whole("projects", projects, le=_MOST_PROJECTS)
    instance("rng", rng, np.random.Generator)
    arrives = np.cumsum(rng.exponential(1 / queue.arrivals_per_year, count))
    kind = rng.choice(len(queue.sizes_kw), count, p=queue.size_share)
    fast = rng.random(count) < np.asarray(queue.pass_share)[kind]
    study = np.where(fast, 0.0, _study_times(queue, count, rng))
    ready = arrives + queue.screen_years
    wait = np.zeros(count)
    wait[~fast] = _first_come(ready[~fast], study[~fast], queue.teams)
    return pd.DataFrame(
        {
            "arrives_year": arrives,
            "size_kw": np.asarray(queue.sizes_kw)[kind],
            "fast": fast,
            "wait_years": wait,
            "done_year": ready + wait + study,
        }
    )


def _busy(queue):
    """Utilisation, below 1."""
    instance("queue", queue, Queue)
    if queue.utilisation >= 1:
        raise ValueError(
            f"the teams of the queue are asked for {queue.utilisation:.2f} of what they can do; at "
            "1 and above the queue grows without end"
        )
    return queue.utilisation


def erlang_wait(queue: Queue) -> float:
    r"""Mean wait for one of c teams if studies are exponential (M/M/c) [years].

    .. math::

        W = \frac{C}{c\mu - \lambda},\qquad
        C = \frac{\frac{a^c}{c!}}{(1 - \rho)\sum_{k<c} \frac{a^k}{k!} + \frac{a^c}{c!}},\quad
        a = \frac\lambda\mu = c\,\rho            (11.14)

    Parameters
    ----------
    queue : Queue
        Its `study_cv` is 1 and its utilisation is below 1.

    Returns
    -------
    float
        Mean wait of a project that is studied, until a team is free [years].

    Raises
    ------
    TypeError
        If `queue` is not a Queue.
    ValueError
        If studies are not exponential, or the utilisation is 1 or more.

    References
    ----------
    .. [1] A. K. Erlang, 1917: the delay formula (Erlang C).

    Examples
    --------
    >>> desk = Queue(
    ...     arrivals_per_year=16.0,
    ...     sizes_kw=(200.0,),
    ...     size_share=(1.0,),
    ...     pass_share=(0.0,),
    ...     study_years=0.1,
    ...     teams=2,
    ... )
    >>> round(erlang_wait(desk), 3)
    0.178
    """
    rho = _busy(queue)
    if queue.study_cv != 1:
        raise ValueError(
            f"study_cv of the queue is {queue.study_cv:g}; Erlang's formula is for exponential "
            "studies, study_cv = 1"
        )
    c = queue.teams
    load = rho * c
    blocked = math.exp(c * math.log(load) - load - math.lgamma(c + 1)) if load > 0 else 0.0
    delayed = blocked / ((1 - rho) * float(gammaincc(c, load)) + blocked)
    return delayed * queue.study_years / (c * (1 - rho))  # eq. (11.14)


def pollaczek_wait(queue: Queue) -> float:
    r"""Return the mean wait for one team, whatever the distribution of the studies (M/G/1).

    .. math:: W = \frac{\rho\,\tau\,(1 + v^2)}{2\,(1 - \rho)}            (11.15)

    Parameters
    ----------
    queue : Queue
        Of one team.

    Returns
    -------
    float
        Mean wait of those that are studied [years].

    Raises
    ------
    ValueError
        If there is more than one team, or it cannot keep up with the arrivals.
    TypeError
        If `queue` is no `Queue`.

    References
    ----------
    .. [1] Kleinrock, Queueing Systems, volume 1, 1975, section 5.6.

    Examples
    --------
    >>> desk = Queue(
    ...     arrivals_per_year=40.0, sizes_kw=(10.0,), size_share=(1.0,), pass_share=(0.5,),
    ...     study_years=0.04, study_cv=0.0, teams=1)
    >>> round(pollaczek_wait(desk), 3)
    0.08
    """
    rho = _busy(queue)
    if queue.teams != 1:
        raise ValueError(f"teams of the queue is {queue.teams}; the formula is for one team")
    return rho * queue.study_years * (1 + queue.study_cv**2) / (2 * (1 - rho))  # eq. (11.15)


# ------------------------------------------------------------------------------------ a contract


@dataclass(frozen=True, kw_only=True)
class Contract:
    """Contract between an aggregator and the owner of a car.

    Attributes
    ----------
    owner_share : float
        Share of the market's revenue that the owner gets, 0..1 [-].
    fixed_per_year : float
        Paid to the owner whatever happens, at least 0 [currency/year].
    opt_out : float
        Fraction of the time in which the owner takes the car back, 0..1 [-].
    floor : float
        State of charge below which the car is never emptied, 0..1 [-].
    warranty_kwh : float
        Energy for the grid that the maker's warranty allows in a year, at least 0; infinite without
        a limit [kWh/year].

    Examples
    --------
    >>> contract = Contract(
    ...     owner_share=0.5, fixed_per_year=20.0, opt_out=0.2, floor=0.3, warranty_kwh=2000.0
    ... )
    >>> contract.floor
    0.3
    """

    owner_share: float
    fixed_per_year: float = 0.0
    opt_out: float = 0.0
    floor: float = 0.2
    warranty_kwh: float = math.inf

    def __post_init__(self):
        shares = ("owner_share", "opt_out", "floor")
        keep_single(self, **{key: {"fraction": True} for key in shares})
        keep(
            self,
            fixed_per_year=dict(one=True, ge=0),
            warranty_kwh=dict(one=True, unit="kWh/year", ge=0, finite=False),
        )


@dataclass(frozen=True, kw_only=True)
class CarService:
    """What one car's service is worth if nothing limits it, and what it costs whom.

    Attributes
    ----------
    revenue_per_year : float
        Paid by the market, above 0 [currency/year].
    out_kwh : float
        Energy out of the battery for it, at least 0 [kWh/year].
    needs : float
        Fraction of the battery that the service needs, above 0, at most 1 [-].
    wear_per_kwh : float
        Wear of the battery, carried by the owner, at least 0 [currency per kWh].
    owner_per_year : float
        Other costs of the owner (bother, charger, insurance), at least 0 [currency/year].
    aggregator_per_year : float
        Costs of the aggregator (metering, telemetry, platform), at least 0 [currency/year].

    Examples
    --------
    >>> service = CarService(
    ...     revenue_per_year=500.0,
    ...     out_kwh=2000.0,
    ...     needs=0.6,
    ...     wear_per_kwh=0.05,
    ...     owner_per_year=40.0,
    ...     aggregator_per_year=90.0,
    ... )
    >>> service.needs
    0.6
    """

    revenue_per_year: float
    out_kwh: float
    needs: float
    wear_per_kwh: float
    owner_per_year: float
    aggregator_per_year: float

    def __post_init__(self):
        amounts = ("out_kwh", "wear_per_kwh", "owner_per_year", "aggregator_per_year")
        keep(
            self,
            revenue_per_year=dict(one=True, gt=0),
            **{name: dict(one=True, ge=0) for name in amounts},
        )
        keep_single(self, needs=dict(fraction=True, gt=0))


def usable_share(contract: Contract, service: CarService) -> float:
    r"""Part of the service that a contract leaves.

    .. math::

        u = \min\Big((1 - o)\,\min\big(1, \tfrac{1 - s_0}{n}\big),\ \frac{W}{E}\Big)    (11.19)

    Parameters
    ----------
    contract : Contract
        Opt-out o, floor s_0 and warranty W.
    service : CarService
        Need n of the battery, and energy E.

    Returns
    -------
    float
        Fraction u of revenue and energy, 0..1 [-].

    Raises
    ------
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> service = CarService(
    ...     revenue_per_year=500.0,
    ...     out_kwh=2000.0,
    ...     needs=0.6,
    ...     wear_per_kwh=0.05,
    ...     owner_per_year=40.0,
    ...     aggregator_per_year=90.0,
    ... )
    >>> round(usable_share(Contract(owner_share=0.6, opt_out=0.1, floor=0.55), service), 3)
    0.675
    """
    instance("contract", contract, Contract)
    instance("service", service, CarService)
    free = (1 - contract.opt_out) * min(1.0, (1 - contract.floor) / service.needs)
    if service.out_kwh == 0:
        return free
    return min(free, contract.warranty_kwh / service.out_kwh)  # eq. (11.19)


def split_value(contract: Contract, service: CarService) -> pd.DataFrame:
    r"""What owner and aggregator each earn in a year, line by line.

    .. math:: V_o = a\,u R + F - u\,w E - c_o,\qquad V_a = (1 - a)\,u R - F - c_a            (11.20)

    Parameters
    ----------
    contract : Contract
        Shares and limits.
    service : CarService
        Revenue and costs of the service.

    Returns
    -------
    DataFrame, index line
        Columns `owner` and `aggregator`; rows "revenue", "fixed", "wear" and "running" (costs are
        negative), and their sum "left". Whoever has less than zero left ends the contract
        [currency/year].

    Raises
    ------
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> service = CarService(
    ...     revenue_per_year=500.0,
    ...     out_kwh=2000.0,
    ...     needs=0.6,
    ...     wear_per_kwh=0.05,
    ...     owner_per_year=40.0,
    ...     aggregator_per_year=90.0,
    ... )
    >>> split_value(Contract(owner_share=0.6, opt_out=0.1), service).loc["left"].round(2).to_dict()
    {'owner': 140.0, 'aggregator': 90.0}
    """
    used = usable_share(contract, service)
    revenue = used * service.revenue_per_year
    owner = {
        "revenue": contract.owner_share * revenue,
        "fixed": contract.fixed_per_year,
        "wear": -used * service.wear_per_kwh * service.out_kwh,
        "running": -service.owner_per_year,
    }
    aggregator = {
        "revenue": (1 - contract.owner_share) * revenue,
        "fixed": -contract.fixed_per_year,
        "wear": 0.0,
        "running": -service.aggregator_per_year,
    }
    lines = pd.DataFrame({"owner": owner, "aggregator": aggregator})
    lines.loc["left"] = lines.sum()  # eq. (11.20)
    return lines.rename_axis("line")


def share_range(contract: Contract, service: CarService) -> tuple[float, float]:
    """Owner's shares of the revenue at which both sides stay.

    Parameters
    ----------
    contract : Contract
        Limits of the service; its own `owner_share` does not matter here.
    service : CarService
        Revenue and costs of the service.

    Returns
    -------
    tuple of float
        Least share for the owner and most for the aggregator [-]. Where the first is above the
        second there is no deal; it is (inf, -inf) if the contract leaves no revenue to share.

    Raises
    ------
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> service = CarService(
    ...     revenue_per_year=500.0,
    ...     out_kwh=2000.0,
    ...     needs=0.6,
    ...     wear_per_kwh=0.05,
    ...     owner_per_year=40.0,
    ...     aggregator_per_year=90.0,
    ... )
    >>> low, high = share_range(Contract(owner_share=0.6, opt_out=0.2), service)
    >>> round(low, 3), round(high, 3)
    (0.3, 0.775)
    """
    used = usable_share(contract, service)
    revenue = used * service.revenue_per_year
    if revenue < 1e-12:
        return math.inf, -math.inf
    wear = used * service.wear_per_kwh * service.out_kwh
    least = (wear + service.owner_per_year - contract.fixed_per_year) / revenue
    most = 1 - (contract.fixed_per_year + service.aggregator_per_year) / revenue
    return max(0.0, least), most


# --------------------------------------------------------------------------------- one car's year


@dataclass(frozen=True, kw_only=True)
class Regulation:
    """A year of regulation by one car.

    Attributes
    ----------
    p_kw : float
        Power that is sold, at least 0 [kW].
    plugged_h : float
        Time for which it is sold, 0 to 8784 [h/year].
    capacity_per_kw_h : float
        Price for being there [currency per kW and h].
    sell_per_kwh : float
        Price of the energy that is given [currency per kWh].
    buy_per_kwh : float
        Price at which this energy is bought back [currency per kWh].
    dispatch_ratio : float
        Energy given over power times hours, 0..1 [-].
    score : float
        Performance score, which scales the capacity payment, 0..1 [-].
    wear_per_kwh : float
        Wear of the battery, per kWh out of it (chapter 9) [currency per kWh].
    eta_charge : float
        Efficiency from the meter to the battery, 0.01..1 [-].
    eta_discharge : float
        Efficiency from the battery to the meter, 0.01..1 [-].

    Examples
    --------
    >>> regulation = Regulation(
    ...     p_kw=10.0,
    ...     plugged_h=4000.0,
    ...     capacity_per_kw_h=0.02,
    ...     sell_per_kwh=0.1,
    ...     buy_per_kwh=0.08,
    ...     dispatch_ratio=0.08,
    ...     score=0.93,
    ...     wear_per_kwh=0.05,
    ...     eta_charge=0.93,
    ...     eta_discharge=0.93,
    ... )
    >>> regulation.score
    0.93
    """

    p_kw: float
    plugged_h: float
    capacity_per_kw_h: float
    sell_per_kwh: float
    buy_per_kwh: float
    dispatch_ratio: float
    score: float = 1.0
    wear_per_kwh: float = 0.0
    eta_charge: float = 1.0
    eta_discharge: float = 1.0

    def __post_init__(self):
        prices = ("capacity_per_kw_h", "sell_per_kwh", "buy_per_kwh", "wear_per_kwh")
        keep(
            self,
            p_kw=dict(one=True, unit="kW", ge=0),
            plugged_h=dict(one=True, unit="h", ge=0, le=8784),
            **{name: dict(one=True) for name in prices},
        )
        efficiency = dict(fraction=True, ge=0.01)
        keep_single(
            self,
            dispatch_ratio=dict(fraction=True),
            score=dict(fraction=True),
            eta_charge=efficiency,
            eta_discharge=efficiency,
        )


def _known_lines(known, own):
    """Lines of a year that are known before regulation; none may bear a name of its `own` lines."""
    instance("known", known, Mapping)
    lines = {}
    for name, amount in known.items():
        if instance("the name of a line in known", name, str) in own:
            raise ValueError(f"known has a line {name!r}, which the year gets from regulation")
        lines[name] = one(f"known[{name!r}]", amount)
    return lines


def _regulation_lines(sold, share):
    """Lines of a year of regulation, of which an aggregator keeps a share."""
    power_and_time = (sold.p_kw, sold.plugged_h)
    capacity = regulation_revenue(
        *power_and_time,
        capacity_per_kw_h=sold.score * sold.capacity_per_kw_h,
        energy_per_kwh=0.0,
        dispatch_ratio=sold.dispatch_ratio,
    )
    energy = regulation_revenue(
        *power_and_time,
        capacity_per_kw_h=0.0,
        energy_per_kwh=sold.sell_per_kwh,
        dispatch_ratio=sold.dispatch_ratio,
    )
    given_kwh = sold.dispatch_ratio * sold.p_kw * sold.plugged_h
    bought_kwh = given_kwh / (sold.eta_charge * sold.eta_discharge)
    return {
        "regulation, capacity": capacity,
        "regulation, energy": energy,
        "bought back": -bought_kwh * sold.buy_per_kwh,
        "wear of regulation": -given_kwh / sold.eta_discharge * sold.wear_per_kwh,
        "aggregator": -share * (capacity + energy),
    }


def car_year(
    known: Mapping[str, float],
    regulation: Regulation,
    *,
    aggregator_share: float,
    metering_per_year: float,
) -> pd.DataFrame:
    r"""One car's year, finished: what chapters 8 and 9 left, and regulation on top.

    .. math::

        V = \sum_i K_i + (1 - a)\,(\sigma\,\pi_{cap} + \pi_s R)\,P t
        - R P t\,\Big(\frac{\pi_b}{\eta_c \eta_d} + \frac{w}{\eta_d}\Big) - M            (11.21)

    Parameters
    ----------
    known : dict
        Lines that are known, costs negative, such as {"spread": 519.0, "wear": -112.0}. They must
        be earned with other kilowatts, or in other hours, than the regulation; `double_counts`
        finds those that are not [currency/year].
    regulation : Regulation
        What is sold, at which prices and efficiencies.
    aggregator_share : float
        Share a of what the market pays for regulation, 0..1 [-].
    metering_per_year : float
        Cost M of the car's own meter, telemetry and data, at least 0 [currency/year].

    Returns
    -------
    DataFrame, index line
        Columns `amount` of each line and `left` after it; the last row of `left` is the year
        [currency/year].

    Raises
    ------
    TypeError
        If `known` is not a dict or `regulation` is not a Regulation.
    ValueError
        If an amount is not a finite number, or `known` has a line that the year computes itself.

    Examples
    --------
    >>> regulation = Regulation(
    ...     p_kw=10.0,
    ...     plugged_h=4000.0,
    ...     capacity_per_kw_h=0.02,
    ...     sell_per_kwh=0.1,
    ...     buy_per_kwh=0.08,
    ...     dispatch_ratio=0.08,
    ... )
    >>> known = {"spread": 519.0, "wear": -112.0, "hardware": -408.0}
    >>> year = car_year(known, regulation, aggregator_share=0.25, metering_per_year=60.0)
    >>> round(float(year.left.iloc[-1]), 2)
    523.0
    """
    instance("regulation", regulation, Regulation)
    share = one_fraction("aggregator_share", aggregator_share)
    meter = one("metering_per_year", metering_per_year, ge=0)
    own = {**_regulation_lines(regulation, share), "metering": -meter}
    lines = {**_known_lines(known, own), **own}
    table = pd.DataFrame({"amount": pd.Series(lines, dtype=float)}).rename_axis("line")
    table["left"] = table.amount.cumsum()  # eq. (11.21)
    return table


def anchors() -> pd.DataFrame:
    """Reports of what cars have earned, per car and year.

    Returns
    -------
    DataFrame, index name
        One row per report, with `year`, `n_cars`, `low` and `high` [currency per car and year],
        `currency` and `source`.

    Examples
    --------
    >>> paid = anchors().loc["first paid cars, PJM"]
    >>> int(paid.year), float(paid.low), paid.currency
    (2013, 1825.0, 'USD')
    """
    table = pd.DataFrame(read("rules", "history")["anchors"]).set_index("name")
    per_car = {"low": table.low / table.n_cars, "high": table.high / table.n_cars}
    return table.assign(**per_car)
