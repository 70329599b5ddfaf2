r"""Topic 11, market: who pays for speed?

Regulation is paid in two parts (`credit`, `statement`), scaled by a score: `performance` is the
three-part score that PJM used until 2025, `precision_only` the rule after it, `truthful_score` the
course's own, and `over_offering` computes what a fleet gains by offering too much. Where power
alone is paid for, `availability_statement` settles it. What a fast megawatt is worth beside slow
ones say `benefits_factor`, a market's line, and `slow_needed`, a model. Then come reserves from a
limited battery (`Product`, `reserve_needs`, `largest_bid`) and one car's year (`car_year`), beside
what cars are said to have earned (`anchors`). What a fleet may sell, and the products of each
market, stand in `rules`.

p > 0 flows from the vehicle to the grid. A price says per what; money is in the currency of the
prices.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from . import agc
from ._check import (
    CONFIDENCE,
    FloatOrArray,
    alike,
    checked,
    equal_steps,
    flag,
    fraction,
    instance,
    keep,
    keep_single,
    number_columns,
    one,
    one_fraction,
    one_of,
    plain,
    read,
    row,
    short,
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
    paid = number_columns("hours", hours, _PAID_HOUR)
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

    .. math:: C = \pi_{res}\,\big(P - (1 + \kappa)\,\max(P - A, 0)\big)            (11.3)

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
    paid = number_columns("hours", hours, _AVAILABLE_HOUR)
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
    A fleet that can deliver P, offers b > P and scales its response down has g = P/b and is paid
    for b g^2 = P^2/b < P; a fleet that offers less than P is paid for less. A lag or a bent shape
    does not change that, because correlation and lag do not depend on size. A fleet that follows
    too large an offer until P cuts it off misses the peaks, which the last term of g sees only if
    the signal reaches them.

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


# ------------------------------------------------------------------------- fast beside slow power


def benefits_factor(fast_share: ArrayLike, *, first: float, zero_share: float) -> FloatOrArray:
    r"""Slow power that one more megawatt of fast power replaces, by a straight line.

    .. math:: \beta(x) = \max\Big(0,\ \beta_0\,\Big(1 - \frac{x}{x_0}\Big)\Big)            (11.9)

    Parameters
    ----------
    fast_share : float or array
        Fast power x over all regulation that is needed, 0..1 [-].
    first : float
        What the first fast megawatt replaces, beta_0, above 0 [-].
    zero_share : float
        Share x0 from which on a fast megawatt replaces nothing, above 0, at most 1 [-].

    Returns
    -------
    float or array
        Megawatts of slow power for one of fast power [-].

    Raises
    ------
    ValueError
        If an argument is not a finite number within its range.

    See Also
    --------
    slow_needed : What a model of the two kinds of units says about the same question.

    Examples
    --------
    >>> round(benefits_factor(0.262, first=2.9, zero_share=0.40), 2)
    1.0
    """
    share = np.asarray(fraction("fast_share", fast_share))
    start = one("first", first, gt=0)
    end = one_fraction("zero_share", zero_share, gt=0, ge=None)
    return plain(np.maximum(0.0, start * (1 - share / end)))  # eq. (11.9)


_SLOW_S = 300.0  # time constant of a slow plant that follows a signal
_STORED_H = 0.5  # energy of a fast battery, in hours of its power


def regulation_error(
    need_mw: ArrayLike, slow_mw: float, fast_mw: float, *, dt_s: float = 10.0
) -> float:
    """Error that slow plants and fast batteries together leave of a need for regulation.

    Slow plants follow the need with a lag of five minutes, up to their power. What they leave is
    asked of the batteries, up to their power and for as long as their energy lasts: they hold half
    an hour of their power and begin half full, without losses.

    Parameters
    ----------
    need_mw : array, shape (steps,)
        Power that the area needs; positive is up [MW].
    slow_mw, fast_mw : float
        Power of the plants and of the batteries, in both directions, at least 0 [MW].
    dt_s : float
        Time between two values, above 0 [s].

    Returns
    -------
    float
        Root of the mean square of what is missing [MW].

    Raises
    ------
    ValueError
        If an argument is not a finite number within its range, or `need_mw` is no series.

    Examples
    --------
    >>> need = 100 * np.sin(np.arange(0, 7200, 10.0) / 600)
    >>> slow_only, with_fast = [regulation_error(need, 100.0, fast) for fast in (0.0, 50.0)]
    >>> with_fast < 0.3 * slow_only
    True
    """
    need = row("need_mw", need_mw, "MW")
    slow = one("slow_mw", slow_mw, "MW", ge=0)
    fast = one("fast_mw", fast_mw, "MW", ge=0)
    follows, _ = agc.split(need, dt_s=dt_s, cutoff_s=_SLOW_S)
    left = need - np.clip(follows, -slow, slow)
    if fast > _LEAST_MW:
        battery = agc.Fleet(
            p_mw=fast, energy_mwh=fast * _STORED_H, soc=0.5, eta_charge=1.0, eta_discharge=1.0
        )
        run = agc.follow(np.clip(left / fast, -1, 1), battery, dt_s=dt_s)
        left = left - run.delivered_mw.to_numpy()
    return float(np.sqrt(np.mean(left**2)))


def slow_needed(
    need_mw: ArrayLike, fast_mw: float, error_mw: float, *, dt_s: float = 10.0
) -> float:
    """Power of slow plants that an area needs beside fast batteries, for a given error.

    Parameters
    ----------
    need_mw : array, shape (steps,)
        Power that the area needs; positive is up [MW].
    fast_mw : float
        Power of the batteries, at least 0 [MW].
    error_mw : float
        Error that is allowed, as `regulation_error` measures it, above 0 [MW].
    dt_s : float
        Time between two values, above 0 [s].

    Returns
    -------
    float
        Least power of the slow plants; 0 if the batteries are enough, infinite if no slow plant
        can help [MW].

    Raises
    ------
    ValueError
        If an argument is not a finite number within its range, or `need_mw` is no series.

    Notes
    -----
    The slope of this power over `fast_mw` is what one more fast megawatt replaces: the benefits
    factor of the model.

    Examples
    --------
    >>> need = 100 * np.sin(np.arange(0, 7200, 10.0) / 600)
    >>> fast = [0.0, 20.0, 40.0]
    >>> [round(slow_needed(need, fast_mw, 45.0)) for fast_mw in fast]
    [37, 15, 0]
    """
    need = row("need_mw", need_mw, "MW")
    allowed = one("error_mw", error_mw, "MW", gt=0)

    def beyond(slow_mw):
        return regulation_error(need, slow_mw, fast_mw, dt_s=dt_s) - allowed

    most = float(np.abs(need).max())
    if beyond(0.0) <= 0:
        return 0.0
    if beyond(most) > 0:
        return math.inf
    return float(brentq(beyond, 0.0, most, xtol=1e-3 * most))


# ---------------------------------------------------------------- reserves from a limited battery


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
        one_of("confidence", self.confidence, CONFIDENCE)
        if not (self.up or self.down):
            raise ValueError(
                f"up and down of {self.name} are both False; a reserve has a direction"
            )


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
    >>> reserve_needs(product, 10.0).round(3).to_dict()
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

    .. math:: P \le \min_j \frac{S_j}{n_j}            (11.10)

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
    >>> cars = Reservoir(p_up_mw=1.0, p_down_mw=1.0, energy_up_mwh=0.2, energy_down_mwh=3.0)
    >>> largest_bid(cars, product)
    0.6
    """
    instance("reservoir", reservoir, Reservoir)
    needs = reserve_needs(product)
    ratios = [getattr(reservoir, name) / need for name, need in needs.items() if need > 0]
    in_steps = math.floor(min(ratios) / product.bid_step_mw + 1e-9)  # eq. (11.10)
    bid = round(in_steps * product.bid_step_mw, 9)
    return bid if bid >= product.minimum_mw else 0.0


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
    performance_per_kw_h : float
        Price for moving, for each kW, hour and unit of `mileage_ratio` [currency per kW and h].
    mileage_ratio : float
        Mileage of the signal over that of the reference, eq. (11.1), at least 0 [-].
    score : float
        Performance score, which scales both payments, 0..1 [-].
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
    performance_per_kw_h: float = 0.0
    mileage_ratio: float = 1.0
    score: float = 1.0
    wear_per_kwh: float = 0.0
    eta_charge: float = 1.0
    eta_discharge: float = 1.0

    def __post_init__(self):
        prices = ("capacity_per_kw_h", "performance_per_kw_h", "sell_per_kwh", "buy_per_kwh")
        keep(
            self,
            p_kw=dict(one=True, unit="kW", ge=0),
            mileage_ratio=dict(one=True, ge=0),
            wear_per_kwh=dict(one=True),
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
    performance = regulation_revenue(
        *power_and_time,
        capacity_per_kw_h=sold.score * sold.mileage_ratio * sold.performance_per_kw_h,
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
        "regulation, performance": performance,
        "regulation, energy": energy,
        "bought back": -bought_kwh * sold.buy_per_kwh,
        "wear of regulation": -given_kwh / sold.eta_discharge * sold.wear_per_kwh,
        "aggregator": -share * (capacity + performance + energy),
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

        V = \sum_i K_i + (1 - \alpha)\,\big(\sigma\,(\pi_{cap} + m\,\pi_{perf}) + \pi_s R\big)\,P t
        - R P t\,\Big(\frac{\pi_b}{\eta_c \eta_d} + \frac{w}{\eta_d}\Big) - M            (11.11)

    Parameters
    ----------
    known : dict
        Lines that are known, costs negative, such as {"spread": 519.0, "wear": -112.0}. They must
        be earned with other kilowatts, or in other hours, than the regulation;
        `rules.double_counts` finds those that are not [currency/year].
    regulation : Regulation
        What is sold, at which prices and efficiencies.
    aggregator_share : float
        Share alpha of what the market pays for regulation, 0..1 [-].
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
    table["left"] = table.amount.cumsum()  # eq. (11.11)
    return table


def anchors() -> pd.DataFrame:
    """Reports of what cars have earned, per car and year.

    Returns
    -------
    DataFrame, index name
        One row per report, with `kind` (paid, offered, quoted or computed), `year`, `n_cars`, `low`
        and `high` [currency per car and year], `currency` and `source`.

    Examples
    --------
    >>> paid = anchors().loc["first paid cars, PJM"]
    >>> int(paid.year), float(paid.low), paid.currency
    (2013, 1825.0, 'USD')
    """
    table = pd.DataFrame(read("rules", "history")["anchors"]).set_index("name")
    per_car = {"low": table.low / table.n_cars, "high": table.high / table.n_cars}
    return table.assign(**per_car)
