r"""Topic 12, risk: what to promise when the cars may not be there.

One interval first: a `Deal` pays for megawatts offered and punishes megawatts missing; `profit`,
`best_offer` (the newsvendor), `firm_offer` (the P90 rule), `var` and `cvar` (how bad the bad days
are). Each of these offers turns out to be a quantile of availability. Then many intervals:
`portfolio` is a linear programme over `Scenarios`, `reliability` tells a promise per quarter hour
from one per product. Then real cars: `available_by_day` counts plugged-in cars, `recency` weighs
past days into a forecast, `pinball` and `crps` score it, and `backtest` offers on the past and
settles on what came later.

An offer and what is available are powers from the vehicle to the grid, >= 0, in MW. Scenarios lie
along the first axis, each with its `probability` (None: all equal). A loss is a negative profit.
Money is in the currency of the deal.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.special import ndtr, ndtri

from . import _presence, fleet
from ._check import (
    Date,
    FloatOrArray,
    calendar_day,
    checked,
    columns,
    flag,
    fraction,
    instance,
    instances,
    keep,
    one,
    one_fraction,
    one_of,
    plain,
    refuse_large,
    row,
    short,
    stamps,
    together,
    whole,
)
from ._executor import Workers, in_order, workers
from .charger import Storage

_TIE = 1e-10  # two probabilities closer than this are the same: 0.1 + 0.2 is 0.3
_WATT = 1e-6  # [MW] a watt short does not count
_BREAK = pd.Period("2020-03", "M")  # the month in which the workplaces emptied
_MOST_CARS = 1_000_000  # one probability for each number of cars
_MOST_DAYS = 36_525  # a hundred years of past days


# ------------------------------------------------------------------------ one promise, one interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Deal:
    """What a megawatt offered earns, and what a megawatt missing costs.

    Each price is a number, or an array with one entry per interval; for `portfolio`, also one with
    a row for each scenario.

    Attributes
    ----------
    price_per_mw_h : float or array, shape (intervals,) or (scenarios, intervals)
        Paid per MW offered, for an hour, above 0 [currency per MW and h].
    penalty_per_mw_h : float or array, shape (intervals,) or (scenarios, intervals)
        Charged per MW missing, for an hour, at least 0 [currency per MW and h].
    pays_undelivered : bool
        True: the whole offer is paid, missing or not. False: missing MW lose their payment as well.

    Examples
    --------
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=80.0, pays_undelivered=False)
    >>> deal.cost_per_mw_h
    100.0
    """

    price_per_mw_h: FloatOrArray
    penalty_per_mw_h: FloatOrArray
    pays_undelivered: bool = True

    def __post_init__(self):
        keep(
            self,
            price_per_mw_h=dict(unit="per MW and h", gt=0),
            penalty_per_mw_h=dict(unit="per MW and h", ge=0),
            pays_undelivered=dict(flag=True),
        )
        together(price_per_mw_h=self.price_per_mw_h, penalty_per_mw_h=self.penalty_per_mw_h)

    @property
    def cost_per_mw_h(self) -> FloatOrArray:
        """All that a missing MW costs [currency per MW and h].

        The penalty, and the payment if that is lost too.
        """
        lost = 0.0 if self.pays_undelivered else self.price_per_mw_h
        return plain(np.asarray(self.penalty_per_mw_h) + lost)


@dataclass(frozen=True, kw_only=True)
class Attitude:
    """Risk preferences of the seller.

    Attributes
    ----------
    risk_weight : float
        0 counts the mean profit only, 1 the bad days only (a fraction).
    alpha : float
        The bad days are the worst 1 - alpha (a fraction below 1).
    reliability : float, optional
        Of `portfolio`: the probability that all its promises hold together must be at least this
        (a fraction above 0). None: no such rule.

    Examples
    --------
    >>> Attitude(risk_weight=0.5, alpha=0.9, reliability=0.8)
    Attitude(risk_weight=0.5, alpha=0.9, reliability=0.8)
    """

    risk_weight: float = 0.0
    alpha: float = 0.95
    reliability: float | None = None

    def __post_init__(self):
        keep(self, risk_weight=dict(fraction=True), alpha=dict(fraction=True, lt=1))
        keep(self, risk_weight=dict(one=True), alpha=dict(one=True))
        if self.reliability is not None:
            keep(self, reliability=dict(fraction=True, gt=0))
            keep(self, reliability=dict(one=True))


def profit(offer_mw: ArrayLike, available_mw: ArrayLike, deal: Deal) -> FloatOrArray:
    r"""Profit of an offer, once it is known how much power came.

    .. math:: G(q, A) = \pi\,q - c_e\,(q - A)^+, \qquad
        c_e = \begin{cases} c & \text{the whole offer is paid} \\
        c + \pi & \text{undelivered MW are not paid}\end{cases}            (12.1)

    Parameters
    ----------
    offer_mw : float or array
        Offer q, at least 0 [MW].
    available_mw : float or array
        Power A that came, at least 0; it broadcasts with the offer [MW].
    deal : Deal
        Its price is pi, its penalty c.

    Returns
    -------
    float or array
        Profit, negative where the missing MW cost more than the offer earned [currency/h].

    Raises
    ------
    ValueError
        If a power is negative or no number, or the shapes do not fit each other.
    TypeError
        If deal is no `Deal`.

    Examples
    --------
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=80.0)
    >>> profit(0.75, 0.5, deal)
    -5.0
    """
    instance("deal", deal, Deal)
    offer = np.asarray(checked("offer_mw", offer_mw, "MW", ge=0))
    available = np.asarray(checked("available_mw", available_mw, "MW", ge=0))
    together(
        offer_mw=offer,
        available_mw=available,
        price_per_mw_h=deal.price_per_mw_h,
        penalty_per_mw_h=deal.penalty_per_mw_h,
    )
    missing = np.maximum(offer - available, 0.0)
    return plain(deal.price_per_mw_h * offer - deal.cost_per_mw_h * missing)  # eq. (12.1)


def outcomes(
    n_cars: int, presence: float, car_mw: float, correlation: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    r"""Power that a fleet may have at the plug, and how likely each value is.

    The number of cars is binomial if they are independent, beta-binomial if they have habits in
    common.

    The variance of the number of cars is that of eq. (10.3).

    Parameters
    ----------
    n_cars : int
        Number N of cars, 1 to a million.
    presence : float
        Probability p that a car is there (a fraction, neither 0 nor 1).
    car_mw : float
        Power of a car, above 0 [MW].
    correlation : float
        Correlation rho between any two cars (a fraction below 1).

    Returns
    -------
    available_mw : array, shape (n_cars + 1,)
        Power of no car, of one, of two ... of all of them [MW].
    probability : array, shape (n_cars + 1,)
        Probability of each.

    Raises
    ------
    ValueError
        If an argument lies outside of its limits.

    Examples
    --------
    >>> available_mw, probability = outcomes(100, 0.7, 0.01, correlation=0.1)
    >>> round(firm_offer(available_mw, 0.9, probability), 3)
    0.49
    """
    n = whole("n_cars", n_cars, le=_MOST_CARS)
    presence = one_fraction("presence", presence, gt=0, lt=1)
    correlation = one_fraction("correlation", correlation, lt=1)
    car = one("car_mw", car_mw, "MW", gt=0)
    chance = _presence.probabilities(n, presence, correlation)
    return np.arange(n + 1) * car, chance


def expected_profit(
    offer_mw: ArrayLike,
    available_mw: ArrayLike,
    deal: Deal,
    probability: ArrayLike | None = None,
) -> FloatOrArray:
    """Mean of `profit` over scenarios.

    Parameters
    ----------
    offer_mw : float or array
        Offers, at least 0, in any shape [MW].
    available_mw : array, shape (scenarios,)
        Power that may come, at least 0 [MW].
    deal : Deal
        Prices; if they are arrays, they broadcast with the offer.
    probability : array, shape (scenarios,), optional
        Probability of each scenario. None: all equal.

    Returns
    -------
    float or array, shape of the offer
        Mean profit [currency/h].

    Raises
    ------
    ValueError
        If a power is negative or no number, or the shapes do not fit each other.
    TypeError
        If deal is no `Deal`.

    Examples
    --------
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=80.0)
    >>> expected_profit([0.5, 0.75, 1.0], [0.5, 1.0], deal, [0.125, 0.875])
    array([10. , 12.5, 15. ])
    """
    instance("deal", deal, Deal)
    offer = np.asarray(checked("offer_mw", offer_mw, "MW", ge=0))
    available, chance = _row("available_mw", available_mw, probability, "MW", ge=0)
    together(
        offer_mw=offer,
        price_per_mw_h=deal.price_per_mw_h,
        penalty_per_mw_h=deal.penalty_per_mw_h,
    )
    missing = _mean_missing(offer, available, chance)
    return plain(deal.price_per_mw_h * offer - deal.cost_per_mw_h * missing)


def _mean_missing(offer, available, chance):
    """E(q - A)+, exactly: q F(q) less the mean of what is below q."""
    order = np.argsort(available, kind="stable")
    share = np.append(0.0, np.cumsum(chance[order]))
    power = np.append(0.0, np.cumsum((chance * available)[order]))
    below = np.searchsorted(available[order], offer, side="right")
    return offer * share[below] - power[below]


def critical_share(deal: Deal, attitude: Attitude = Attitude()) -> FloatOrArray:
    r"""Share of the time in which the best offer is missed.

    It depends on the prices alone, not on the cars. A cautious seller wants to miss an offer less
    often, and so offers a lower quantile.

    .. math:: \kappa = \frac{\pi}{c_e}            (12.2)

    .. math:: \kappa_\omega = \frac{\kappa}{1 - \omega + \omega/(1 - \alpha)}
        \text{ if that is at most } 1 - \alpha, \text{ else }
        \frac{\kappa - \omega}{1 - \omega}            (12.14)

    Parameters
    ----------
    deal : Deal
        Its price is pi; all that a missing MW costs is c_e.
    attitude : Attitude
        Weight omega on the worst 1 - alpha. Its `reliability` is not used here.

    Returns
    -------
    float or array
        Probability with which the best offer is missed (a fraction).

    Raises
    ------
    ValueError
        If a missing MW costs no more than an offered one earns: then a larger offer always earns
        more, and no offer is best.
    TypeError
        If deal is no `Deal`, or attitude no `Attitude`.

    Notes
    -----
    Profit never falls when more cars come, so the worst days for profit are those with the fewest
    cars, and what (12.7) wants of a single interval is a mean under probabilities that lean
    towards those days.

    Examples
    --------
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=80.0)
    >>> critical_share(deal)
    0.25
    >>> round(critical_share(deal, Attitude(risk_weight=0.5, alpha=0.9)), 3)
    0.045
    """
    instance("deal", deal, Deal)
    instance("attitude", attitude, Attitude)
    price, cost = np.broadcast_arrays(deal.price_per_mw_h, deal.cost_per_mw_h)
    careless = cost <= price
    if careless.any():
        raise ValueError(
            f"deal: a missing MW costs {cost[careless][0]:g} and an offered one earns "
            f"{price[careless][0]:g}. To promise without limit would pay; raise penalty_per_mw_h, "
            "or ask for a reliability"
        )
    share = price / cost  # eq. (12.2)
    weight = attitude.risk_weight
    tail = 1 - attitude.alpha
    within_tail = share / (1 - weight + weight / tail)
    beyond_tail = (share - weight) / max(1 - weight, _TIE)
    return plain(np.where(within_tail <= tail, within_tail, beyond_tail))  # eq. (12.14)


def best_offer(
    available_mw: ArrayLike,
    deal: Deal,
    probability: ArrayLike | None = None,
    attitude: Attitude = Attitude(),
) -> FloatOrArray:
    r"""Offer of the newsvendor: a quantile of what may be there, set by the prices.

    .. math:: q^* = \min\{q : P(A \le q) \ge \kappa\}            (12.3)

    Parameters
    ----------
    available_mw : array, shape (scenarios,) or (scenarios, intervals)
        Power that may come, at least 0 [MW].
    deal : Deal
        Prices: numbers, or one for each interval.
    probability : array, shape (scenarios,), optional
        Probability of each scenario. None: all equal.
    attitude : Attitude
        Caution lowers kappa, see `critical_share`.

    Returns
    -------
    float or array, shape (intervals,)
        Best offer; always one of the values in `available_mw` [MW].

    Raises
    ------
    ValueError
        If a power is negative or no number, a shape does not fit, or no offer is best (see
        `critical_share`).
    TypeError
        If deal is no `Deal`, or attitude no `Attitude`.

    Examples
    --------
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=80.0)
    >>> best_offer([0.4, 0.5, 0.6, 0.7], deal, probability=[0.1, 0.2, 0.3, 0.4])
    0.5
    """
    available, chance = _sample("available_mw", available_mw, probability, "MW", ge=0)
    share = np.asarray(critical_share(deal, attitude))
    _fits("the price in deal", share, available)
    return plain(_member(available, chance, share))  # eq. (12.3)


def normal_offer(
    mean_mw: ArrayLike, sigma_mw: ArrayLike, deal: Deal, attitude: Attitude = Attitude()
) -> FloatOrArray:
    """Offer of the newsvendor for normally distributed availability, as `best_offer` for a sample.

    Parameters
    ----------
    mean_mw : float or array
        Mean of what is available, at least 0 [MW].
    sigma_mw : float or array
        Its standard deviation, above 0, so small that the tail below zero does not matter [MW].
    deal : Deal
        Prices; if they are arrays, they broadcast with the mean.
    attitude : Attitude
        Caution lowers the offer, see `critical_share`.

    Returns
    -------
    float or array
        Best offer [MW].

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, the shapes do not fit each other, or the offer
        would be negative.
    TypeError
        If deal is no `Deal`, or attitude no `Attitude`.

    Examples
    --------
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=80.0)
    >>> round(normal_offer(0.7, 0.05, deal), 4)
    0.6663
    """
    mean = np.asarray(checked("mean_mw", mean_mw, "MW", ge=0))
    sigma = np.asarray(checked("sigma_mw", sigma_mw, "MW", gt=0))
    share = critical_share(deal, attitude)
    together(mean_mw=mean, sigma_mw=sigma, price_per_mw_h=share)
    offer = mean + sigma * ndtri(share)
    if np.any(offer < 0):
        raise ValueError(
            f"sigma_mw is too large for mean_mw: the offer would be {np.min(offer):.4g} MW. "
            "A power that is never negative is not normal then; use best_offer on scenarios"
        )
    return plain(offer)


def normal_profit(
    offer_mw: ArrayLike, mean_mw: ArrayLike, sigma_mw: ArrayLike, deal: Deal
) -> FloatOrArray:
    r"""Mean profit of an offer, for normally distributed availability.

    .. math:: \operatorname{E}G = \pi\,q - c_e\,\sigma\,\big(z\,\Phi(z) + \varphi(z)\big), \qquad
        z = (q - \mu)/\sigma            (12.11)

    Parameters
    ----------
    offer_mw : float or array
        Offer q, at least 0 [MW].
    mean_mw : float or array
        Mean mu of what is available, at least 0 [MW].
    sigma_mw : float or array
        Its standard deviation sigma, above 0 [MW].
    deal : Deal
        Its price is pi; all that a missing MW costs is c_e.

    Returns
    -------
    float or array
        Mean profit [currency/h].

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, or the shapes do not fit each other.
    TypeError
        If deal is no `Deal`.

    Examples
    --------
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=80.0)
    >>> round(normal_profit(0.6663, 0.7, 0.05, deal), 3)
    12.729
    """
    instance("deal", deal, Deal)
    offer = np.asarray(checked("offer_mw", offer_mw, "MW", ge=0))
    mean = np.asarray(checked("mean_mw", mean_mw, "MW", ge=0))
    sigma = np.asarray(checked("sigma_mw", sigma_mw, "MW", gt=0))
    together(
        offer_mw=offer,
        mean_mw=mean,
        sigma_mw=sigma,
        price_per_mw_h=deal.price_per_mw_h,
        penalty_per_mw_h=deal.penalty_per_mw_h,
    )
    z = (offer - mean) / sigma
    missing = sigma * (z * ndtr(z) + _density(z))
    return plain(deal.price_per_mw_h * offer - deal.cost_per_mw_h * missing)  # eq. (12.11)


def _density(z):
    return np.exp(-np.square(z) / 2) / np.sqrt(2 * np.pi)


def firm_offer(
    available_mw: ArrayLike, reliability: ArrayLike, probability: ArrayLike | None = None
) -> FloatOrArray:
    r"""Largest offer that holds with a given probability: the P90 rule for 0.9.

    .. math:: q_\beta = \max\{q : P(A \ge q) \ge \beta\}, \qquad \frac{c}{r} = \frac{1}{1 - \beta}\
        \Big[-1 \text{ if undelivered MW are not paid}\Big]            (12.4)

    Parameters
    ----------
    available_mw : array, shape (scenarios,) or (scenarios, intervals)
        Power that may come, at least 0 [MW].
    reliability : float or array, shape (intervals,)
        Probability beta with which the offer must hold (a fraction, neither 0 nor 1).
    probability : array, shape (scenarios,), optional
        Probability of each scenario. None: all equal.

    Returns
    -------
    float or array, shape (intervals,)
        Largest offer; always one of the values in `available_mw` [MW].

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, or a shape does not fit.

    References
    ----------
    .. [1] arXiv 2404.12818 and 2404.12807 on Energinet's P90 requirement.

    Examples
    --------
    >>> firm_offer([0.4, 0.5, 0.6, 0.7], 0.9, probability=[0.1, 0.2, 0.3, 0.4])
    0.5
    """
    available, chance = _sample("available_mw", available_mw, probability, "MW", ge=0)
    beta = np.asarray(fraction("reliability", reliability, gt=0, lt=1))
    _fits("reliability", beta, available)
    return plain(_member(available, chance, 1 - beta, upper=True))  # eq. (12.4)


def penalty_multiple(reliability: ArrayLike, pays_undelivered: bool = True) -> FloatOrArray:
    """Penalty over price at which a newsvendor follows a rule of reliability unasked: eq. (12.4).

    Parameters
    ----------
    reliability : float or array
        Probability with which the rule wants an offer to hold (a fraction, neither 0 nor 1).
    pays_undelivered : bool
        As in `Deal`.

    Returns
    -------
    float or array
        Penalty in multiples of the price.

    Raises
    ------
    ValueError
        If reliability lies outside of its limits, or pays_undelivered is neither True nor False.

    Examples
    --------
    >>> round(penalty_multiple(0.9, pays_undelivered=True), 9)
    10.0
    >>> round(penalty_multiple(0.9, pays_undelivered=False), 9)
    9.0
    """
    beta = np.asarray(fraction("reliability", reliability, gt=0, lt=1))
    own_payment = 0 if flag("pays_undelivered", pays_undelivered) else 1
    return plain(1 / (1 - beta) - own_payment)  # eq. (12.4)


# -------------------------------------------------------------------------------- how bad is bad


def _row(name, values, probability, unit="", **limits):
    """One row of scenarios, and their probabilities."""
    sample, chance = _sample(name, values, probability, unit, **limits)
    if sample.ndim > 1:
        raise ValueError(
            f"{name} has shape {sample.shape}; here it must be a single row of scenarios"
        )
    return sample, chance


def _sample(name, values, probability, unit="", **limits):
    """Values with scenarios along the first axis, and their probabilities."""
    sample = np.asarray(checked(name, values, unit, **limits))
    if sample.ndim == 0:
        raise ValueError(f"{name} is a single number; give one value per scenario")
    if sample.ndim > 2:
        raise ValueError(f"{name} has shape {sample.shape}; give (scenarios, intervals)")
    return sample, _chances(probability, len(sample))


def _chances(probability, scenarios):
    """Probabilities of so many scenarios."""
    if probability is None:
        return np.full(scenarios, 1 / scenarios)
    chance = np.asarray(fraction("probability", probability, le=1 + 1e-9))
    if chance.shape != (scenarios,):
        raise ValueError(
            f"probability has shape {chance.shape}; there are {scenarios} scenarios, each needs one"
        )
    if abs(chance.sum() - 1) > 1e-9:
        raise ValueError(
            f"probability sums to {chance.sum():.6g}; it must sum to 1 (divide each by the sum)"
        )
    return chance


def quantile(
    values: ArrayLike,
    level: ArrayLike,
    probability: ArrayLike | None = None,
    *,
    upper: bool = False,
) -> FloatOrArray:
    """Quantile of a weighted sample that is itself a member of the sample.

    Parameters
    ----------
    values : array, shape (scenarios,) or (scenarios, intervals)
        The sample, in any unit.
    level : float or array
        Level of the quantile (a fraction). An array gives one quantile per level of a single row,
        or one level per interval.
    probability : array, shape (scenarios,), optional
        Probability of each scenario. None: all equal.
    upper : bool
        False: the smallest x with P(X <= x) >= level. True: the largest with P(X < x) <= level.
        They differ only where P(X <= x) hits the level exactly; any x between them is a quantile
        too.

    Returns
    -------
    float or array
        Quantile, in the unit of the values.

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, or a shape does not fit.

    Examples
    --------
    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5, [0.25, 0.25, 0.25, 0.25])
    2.0
    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5, upper=True)
    3.0
    """
    sample, chance = _sample("values", values, probability)
    levels = np.asarray(fraction("level", level))
    _fits("level", levels, sample)
    return plain(_member(sample, chance, levels, upper=flag("upper", upper)))


def _fits(name, levels, sample):
    """Refuse levels whose shape does not fit a row of scenarios, or a table with intervals."""
    if sample.ndim == 1 and levels.ndim > 1:
        raise ValueError(f"{name} has shape {levels.shape}; give one number, or one row of them")
    if sample.ndim == 2 and levels.shape not in ((), sample.shape[1:]):
        raise ValueError(
            f"{name} has shape {levels.shape}; give one number, or one for each of the "
            f"{sample.shape[1]} intervals"
        )


def _member(sample, chance, levels, *, upper=False):
    """The member of the sample at each level: see `quantile`."""
    order = np.argsort(sample, axis=0, kind="stable")
    ordered = np.take_along_axis(sample, order, axis=0)
    up_to = np.cumsum(chance[order], axis=0)
    if sample.ndim == 1 and levels.ndim:
        ordered = ordered[:, None]
        up_to = up_to[:, None]
    below = up_to <= levels + _TIE if upper else up_to < levels - _TIE
    place = np.minimum(below.sum(axis=0), len(sample) - 1)
    full = np.broadcast_to(ordered, below.shape)
    return np.take_along_axis(full, np.expand_dims(place, 0), axis=0)[0]


def var(losses: ArrayLike, alpha: ArrayLike, probability: ArrayLike | None = None) -> FloatOrArray:
    r"""Value at risk: the loss that is not exceeded with probability alpha.

    .. math:: \operatorname{VaR}_\alpha = \min\{x : P(L \le x) \ge \alpha\}            (12.5)

    Parameters
    ----------
    losses : array, shape (scenarios,)
        Negative profits [currency].
    alpha : float or array, shape (levels,)
        Probability that the loss is not exceeded (a fraction, neither 0 nor 1).
    probability : array, shape (scenarios,), optional
        Probability of each scenario. None: all equal.

    Returns
    -------
    float or array, shape of alpha
        Value at risk [currency].

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, or a shape does not fit.

    Notes
    -----
    Not subadditive: two sites that each fail with probability 0.04 have a VaR of 0 at 0.95,
    together one of 100. `cvar` is subadditive.

    Examples
    --------
    >>> alone, p = np.array([0.0, 100.0]), np.array([0.96, 0.04])
    >>> both, pp = np.add.outer(alone, alone).ravel(), np.outer(p, p).ravel()
    >>> var(alone, 0.95, p) + var(alone, 0.95, p), var(both, 0.95, pp)
    (0.0, 100.0)
    >>> round(cvar(alone, 0.95, p) + cvar(alone, 0.95, p), 4), round(cvar(both, 0.95, pp), 4)
    (160.0, 103.2)
    """
    sample, chance = _row("losses", losses, probability)
    levels = np.asarray(fraction("alpha", alpha, gt=0, lt=1))
    _fits("alpha", levels, sample)
    return plain(_member(sample, chance, levels))  # eq. (12.5)


def cvar(losses: ArrayLike, alpha: ArrayLike, probability: ArrayLike | None = None) -> FloatOrArray:
    r"""Conditional value at risk: the mean of the worst 1 - alpha of the losses.

    If a loss lies across the border, only the part of its probability beyond the border counts.

    .. math:: \operatorname{CVaR}_\alpha =
        \frac{1}{1 - \alpha}\int_\alpha^1 \operatorname{VaR}_u\,du            (12.6)

    Parameters
    ----------
    losses : array, shape (scenarios,)
        Negative profits [currency].
    alpha : float or array
        Where the bad end begins (a fraction below 1); 0 gives the mean.
    probability : array, shape (scenarios,), optional
        Probability of each scenario. None: all equal.

    Returns
    -------
    float or array, shape of alpha
        Conditional value at risk [currency].

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, or a shape does not fit.

    Examples
    --------
    >>> round(cvar([0.0, 10.0], 0.5, [0.7, 0.3]), 3)  # of the worst half, three fifths are 10
    6.0
    """
    sample, chance = _row("losses", losses, probability)
    levels = np.asarray(fraction("alpha", alpha, lt=1))
    order = np.argsort(sample, kind="stable")
    border = np.append(0.0, np.minimum(np.cumsum(chance[order]), 1.0))
    border[-1] = 1.0  # the sum may miss it by a rounding error
    beyond = np.maximum(border - levels[..., None], 0.0)
    share = np.diff(beyond, axis=-1)
    return plain((share @ sample[order]) / beyond[..., -1])  # eq. (12.6)


def cvar_lp(losses: ArrayLike, alpha: float, probability: ArrayLike | None = None) -> float:
    r"""Conditional value at risk from a linear programme: the same number as `cvar`.

    It shows why CVaR fits into a linear programme, while VaR does not.

    .. math:: \operatorname{CVaR}_\alpha =
        \min_z\ z + \frac{1}{1 - \alpha}\operatorname{E}(L - z)^+            (12.12)

    Parameters
    ----------
    losses : array, shape (scenarios,)
        Negative profits [currency].
    alpha : float
        Where the bad end begins (a fraction below 1); 0 gives the mean.
    probability : array, shape (scenarios,), optional
        Probability of each scenario. None: all equal.

    Returns
    -------
    float
        Conditional value at risk [currency].

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, a shape does not fit, or the solver fails on
        very large or very unequal losses.

    References
    ----------
    .. [1] Rockafellar and Uryasev, Optimization of conditional value-at-risk, J. Risk 2(3), 21-41,
       2000.

    Examples
    --------
    >>> round(cvar_lp([0.0, 10.0], 0.5, [0.7, 0.3]), 3)
    6.0
    """
    sample, chance = _row("losses", losses, probability)
    tail = 1 - one_fraction("alpha", alpha, lt=1)
    n = len(sample)
    # columns: z, then the excess of each loss over z
    target = np.append(1.0, chance / tail)
    excess_rows = sparse.hstack([-np.ones((n, 1)), -sparse.eye_array(n)])
    answer = linprog(
        target,
        A_ub=excess_rows,
        b_ub=-sample,
        bounds=[(None, None)] + [(0, None)] * n,
    )  # eq. (12.12)
    return float(_solved(answer, "losses").fun)


def _solved(answer, name):
    """The answer of a solver, if it is an optimum."""
    if answer.status != 0 or answer.x is None:
        raise ValueError(f"{name}: the linear programme could not be solved. {answer.message}")
    return answer


def normal_cvar(mean: ArrayLike, sigma: ArrayLike, alpha: ArrayLike) -> FloatOrArray:
    r"""Conditional value at risk of a normally distributed loss; its VaR is mean + sigma z.

    .. math:: \operatorname{CVaR}_\alpha =
        \mu + \sigma\,\frac{\varphi(z_\alpha)}{1 - \alpha}            (12.13)

    Parameters
    ----------
    mean : float or array
        Mean mu of the loss [currency].
    sigma : float or array
        Its standard deviation, at least 0 [currency].
    alpha : float or array
        Where the bad end begins (a fraction, neither 0 nor 1).

    Returns
    -------
    float or array
        Conditional value at risk [currency].

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, or the shapes do not fit each other.

    Examples
    --------
    >>> round(normal_cvar(0.0, 1.0, 0.95), 4)
    2.0627
    """
    centre = checked("mean", mean)
    spread = np.asarray(checked("sigma", sigma, ge=0))
    level = np.asarray(fraction("alpha", alpha, gt=0, lt=1))
    together(mean=centre, sigma=spread, alpha=level)
    return plain(centre + spread * _density(ndtri(level)) / (1 - level))  # eq. (12.13)


@dataclass(frozen=True, kw_only=True)
class Information:
    """Mean profits by what is known when the offer is made.

    Attributes
    ----------
    mean_promise : float
        Profit of offering the mean availability [currency/h].
    promise : float
        Profit of the best single offer [currency/h].
    informed : float
        Profit of the best offer for each reading of the signal [currency/h].
    perfect : float
        Profit of offering exactly what comes [currency/h].
    """

    mean_promise: float
    promise: float
    informed: float
    perfect: float

    @property
    def evpi(self) -> float:
        """Expected value of perfect information [currency/h]."""
        return self.perfect - self.promise

    @property
    def evsi(self) -> float:
        """Expected value of the signal: what a better forecast is worth [currency/h]."""
        return self.informed - self.promise

    @property
    def vss(self) -> float:
        """Value of the stochastic solution [currency/h].

        What it is worth to look at the whole distribution and not only at its mean.
        """
        return self.promise - self.mean_promise


def information(
    available_mw: ArrayLike,
    deal: Deal,
    signal: ArrayLike | None = None,
    probability: ArrayLike | None = None,
) -> Information:
    r"""Mean profits of one interval with less and with more knowledge.

    .. math:: EVPI = \pi\operatorname{E}A - \max_q \operatorname{E}G(q, A), \qquad
        VSS = \max_q \operatorname{E}G(q, A)
        - \operatorname{E}G(\operatorname{E}A, A)            (12.17)

    Parameters
    ----------
    available_mw : array, shape (scenarios,)
        Power that may come, at least 0 [MW].
    deal : Deal
        Prices, each a single number.
    signal : array, shape (scenarios,), optional
        What is known before the offer is made, such as the weekday: scenarios with the same signal
        cannot be told apart. None: nothing is known.
    probability : array, shape (scenarios,), optional
        Probability of each scenario. None: all equal.

    Returns
    -------
    Information
        Mean profits, from which the values of information follow [currency/h].

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, a shape does not fit, or no offer is best (see
        `critical_share`).
    TypeError
        If deal is no `Deal`.

    Notes
    -----
    With few scenarios per reading the value of a signal is overestimated: with one scenario each
    it looks like perfect information.

    Examples
    --------
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=70.0)
    >>> known = information([0.0, 1.0], deal, ["rain", "sun"], [0.5, 0.5])
    >>> known.promise, known.informed, known.vss
    (0.0, 10.0, 7.5)
    """
    available, chance = _row("available_mw", available_mw, probability, "MW", ge=0)
    _one_price(deal)
    mean = chance @ available
    informed = 0.0
    for known in _readings(signal, chance):
        share = chance[known].sum()
        informed += share * _best_profit(available[known], deal, chance[known] / share)
    return Information(
        mean_promise=float(expected_profit(mean, available, deal, chance)),
        promise=_best_profit(available, deal, chance),
        informed=float(informed),
        perfect=float(mean * deal.price_per_mw_h),
    )  # eq. (12.17)


def _one_price(deal):
    instance("deal", deal, Deal)
    shape = together(price=deal.price_per_mw_h, penalty=deal.penalty_per_mw_h)
    if shape:
        raise ValueError(f"deal has prices of shape {shape}; for one interval give single numbers")


def _readings(signal, chance):
    """For each reading of the signal that can occur, which scenarios have it."""
    readings = np.zeros(len(chance)) if signal is None else np.asarray(signal)
    if readings.shape != chance.shape:
        raise ValueError(
            f"signal has shape {readings.shape}; there are {len(chance)} scenarios, each needs one"
        )
    if np.ma.is_masked(signal) or pd.isna(readings).any():
        raise ValueError("signal has missing entries; every reading must be known")
    return [readings == reading for reading in pd.unique(readings[chance > 0])]


def _best_profit(available, deal, chance):
    offer = best_offer(available, deal, chance)
    return float(expected_profit(offer, available, deal, chance))


# ------------------------------------------------------------------ many promises, many scenarios


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenarios:
    """What may be there in each interval of a day, and which product each interval belongs to.

    Attributes
    ----------
    available_mw : array, shape (scenarios, intervals)
        Power that may come, at least 0 [MW].
    dt_h : float
        Length of an interval, above 0, at most a day [h].
    product : array of int, shape (intervals,), optional
        Number of the product of each interval, from 0 without a gap; the offer is constant within
        a product. None: each interval is its own.
    probability : array, shape (scenarios,), optional
        Probability of each scenario. None: all equal.

    Examples
    --------
    >>> two_days = Scenarios(
    ...     available_mw=[[1.0, 2.0, 3.0], [3.0, 1.0, 1.0]],
    ...     dt_h=0.5,
    ...     product=[0, 0, 1],
    ...     probability=[0.25, 0.75],
    ... )
    >>> two_days.least_mw
    array([[1., 3.],
           [1., 1.]])
    """

    available_mw: np.ndarray
    dt_h: float
    product: np.ndarray = None  # type: ignore[assignment]  # None until __post_init__ fills it in
    probability: np.ndarray = None  # type: ignore[assignment]  # as before

    def __post_init__(self):
        available, chance = _sample("available_mw", self.available_mw, self.probability, "MW", ge=0)
        if available.ndim != 2:
            raise ValueError(
                f"available_mw has shape {available.shape}; it must be (scenarios, intervals)"
            )
        keep(self, dt_h=dict(unit="h", gt=0, le=24, one=True))
        object.__setattr__(self, "available_mw", available)
        object.__setattr__(self, "product", _product_of(self.product, available.shape[1]))
        object.__setattr__(self, "probability", chance)

    @property
    def least_mw(self) -> np.ndarray:
        """Least power of each product: array, shape (scenarios, products) [MW]."""
        numbers = range(self.product.max() + 1)
        least = [self.available_mw[:, self.product == number].min(axis=1) for number in numbers]
        return np.stack(least, axis=1)


def _product_of(product, intervals):
    """Number of the product of each interval."""
    if product is None:
        return np.arange(intervals)
    given = row("product", product)
    numbers = np.unique(given)
    if len(given) != intervals or not np.array_equal(numbers, np.arange(len(numbers))):
        raise ValueError(
            f"product must give each of the {intervals} intervals a number, from 0 without a gap"
        )
    return given.astype(int)


@dataclass(frozen=True, kw_only=True, eq=False)
class Portfolio:
    """Offers that `portfolio` found, and what they bring.

    Attributes
    ----------
    offer_mw : array, shape (products,)
        Offers [MW].
    mean_profit : float
        Mean profit of the whole day [currency].
    cvar_loss : float
        Conditional value at risk of its loss [currency].
    joint : float
        Probability that every promise holds in every interval (a fraction).
    value_per_mw : array, shape (intervals,), or None
        What one MW more in this interval, in every scenario, adds to the objective; None where a
        reliability is asked for [currency/MW].
    """

    offer_mw: np.ndarray
    mean_profit: float
    cvar_loss: float
    joint: float
    value_per_mw: np.ndarray | None


def day_profit(offer_mw: ArrayLike, scenarios: Scenarios, deal: Deal) -> np.ndarray:
    """Profit of a day in each scenario.

    Parameters
    ----------
    offer_mw : array, shape (products,)
        Offer for each product, at least 0 [MW].
    scenarios : Scenarios
        What may be there.
    deal : Deal
        Prices: numbers, one for each interval, or arrays of shape (scenarios, intervals).

    Returns
    -------
    array, shape (scenarios,)
        Profit [currency].

    Raises
    ------
    ValueError
        If there is not one offer for each product, or prices are of another shape.
    TypeError
        If scenarios or deal is of another kind.

    Examples
    --------
    >>> two_days = Scenarios(available_mw=[[1.0, 2.0], [3.0, 1.0]], dt_h=0.5, product=[0, 0])
    >>> day_profit([2.0], two_days, Deal(price_per_mw_h=20.0, penalty_per_mw_h=70.0))
    array([5., 5.])
    """
    instance("scenarios", scenarios, Scenarios)
    count = scenarios.product.max() + 1
    offer = row("offer_mw", offer_mw, "MW", ge=0)
    if len(offer) != count:
        raise ValueError(f"offer_mw has {len(offer)} entries; there are {count} products")
    _prices(deal, scenarios.available_mw.shape)
    gain = np.asarray(profit(offer[scenarios.product], scenarios.available_mw, deal))
    return scenarios.dt_h * gain.sum(axis=1)


def _prices(deal, shape):
    """Price of an offered MW, and all that a missing one costs, in each interval.

    `shape` is (intervals,), or (scenarios, intervals) where prices may differ between scenarios.
    """
    instance("deal", deal, Deal)
    allowed = {(), shape[-1:], shape}
    for price in (deal.price_per_mw_h, deal.penalty_per_mw_h):
        if np.shape(price) not in allowed:
            many = f", or an array of shape {shape}" if len(shape) == 2 else ""
            raise ValueError(
                f"deal has prices of shape {np.shape(price)}; give one number, or one for each of "
                f"the {shape[-1]} intervals{many}"
            )
    earned = np.broadcast_to(deal.price_per_mw_h, shape)
    lost = np.broadcast_to(deal.cost_per_mw_h, shape)
    return earned, lost


def portfolio(scenarios: Scenarios, deal: Deal, attitude: Attitude = Attitude()) -> Portfolio:
    r"""Offers for all products at once, by a linear programme.

    With a joint rule of reliability it becomes a small mixed-integer programme.

    .. math:: \max_{q \ge 0}\ (1 - \omega)\operatorname{E}G
        - \omega\operatorname{CVaR}_\alpha(-G), \qquad
        G_n = \Delta t\sum_t \big(\pi_{nt}\,q_{b(t)} - c_{nt}\,s_{nt}\big),\quad
        s_{nt} \ge q_{b(t)} - A_{nt},\ s_{nt} \ge 0            (12.7)

    Prices may differ between scenarios: then they are not known when the offer is made. For one
    interval and no caution the best offer is

    .. math:: q^* = \min\{q : \operatorname{E}\big(c_e\,[A \le q]\big) \ge
        \operatorname{E}\pi\}            (12.8)

    Parameters
    ----------
    scenarios : Scenarios
        What may be there, and the products.
    deal : Deal
        Prices: numbers, one for each interval, or arrays of shape (scenarios, intervals).
    attitude : Attitude
        Weight omega on the worst 1 - alpha, and the reliability of all promises together.

    Returns
    -------
    Portfolio
        Offers, and what they bring.

    Raises
    ------
    ValueError
        If prices are of another shape, or if promising without limit would pay and no reliability
        is asked for.
    TypeError
        If an argument is of another kind.

    Notes
    -----
    The joint rule is :math:`q_b \le m_{nb} + (M_b - m_{nb})^+(1 - y_n)`,
    :math:`\sum_n w_n y_n \ge \beta`, y binary; m is the least interval of a product, M the most
    that the product could promise alone. Some hundred scenarios of a few products solve in a
    second; many more do not.

    Examples
    --------
    >>> days = Scenarios(available_mw=[[1.0, 2.0], [3.0, 1.0], [2.0, 2.0], [4.0, 3.0]], dt_h=1.0)
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=70.0)
    >>> found = portfolio(days, deal, Attitude(risk_weight=0.0, alpha=0.5))
    >>> [round(float(offer), 3) for offer in found.offer_mw], round(found.mean_profit, 3)
    ([2.0, 2.0], 45.0)
    >>> portfolio(days, deal, Attitude(reliability=0.7)).joint
    0.75

    A missing MW that costs most on the day with the fewest MW asks for more caution:

    >>> hours = Scenarios(available_mw=[[1.0], [2.0], [3.0], [4.0]], dt_h=1.0)
    >>> dear = Deal(price_per_mw_h=20.0, penalty_per_mw_h=[[120.0], [60.0], [60.0], [40.0]])
    >>> alike = Deal(price_per_mw_h=20.0, penalty_per_mw_h=70.0)
    >>> [float(portfolio(hours, each).offer_mw[0].round(3)) for each in (alike, dear)]
    [2.0, 1.0]
    """
    instance("scenarios", scenarios, Scenarios)
    instance("attitude", attitude, Attitude)
    instance("deal", deal, Deal)
    if attitude.reliability is None:
        _refuse_careless(scenarios, deal)
    programme = _programme(scenarios, deal, attitude)
    if attitude.reliability is None:
        answer = _solve(programme)
        n, t = scenarios.available_mw.shape
        value = -answer.ineqlin.marginals[: n * t].reshape(n, t).sum(axis=0)
    else:
        answer = _solve_with_joint_rule(programme, scenarios, attitude.reliability)
        value = None
    products = scenarios.product.max() + 1
    offer = np.maximum(answer.x[:products], 0.0)
    chance = scenarios.probability
    gain = day_profit(offer, scenarios, deal)
    return Portfolio(
        offer_mw=offer,
        mean_profit=float(chance @ gain),
        cvar_loss=float(cvar(-gain, attitude.alpha, chance)),
        joint=reliability(offer[scenarios.product], scenarios.available_mw, chance).joint,
        value_per_mw=value,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Programme:
    """Minimise target @ x with rows @ x <= limit and x >= lowest.

    Columns of x: offers, shortfalls (scenario by scenario), z, excess of each loss over z.
    """

    target: np.ndarray
    rows: sparse.csr_array
    limit: np.ndarray
    lowest: np.ndarray


def _refuse_careless(scenarios, deal):
    """Refuse prices with which no offer fulfils eq. (12.8), so that none is best."""
    price, cost = _prices(deal, scenarios.available_mw.shape)
    chance = scenarios.probability
    critical_share(Deal(price_per_mw_h=chance @ price, penalty_per_mw_h=chance @ cost))


def _programme(scenarios, deal, attitude):
    """Eq. (12.7) as a linear programme."""
    n, t = scenarios.available_mw.shape
    price, cost = _prices(deal, (n, t))
    in_product = sparse.csr_array(
        (np.ones(t), (np.arange(t), scenarios.product)), shape=(t, scenarios.product.max() + 1)
    )
    earns = scenarios.dt_h * price @ in_product  # by scenario and product [currency/MW]
    costs = scenarios.dt_h * cost  # by scenario and interval [currency/MW]
    shortfall_rows = _shortfall_rows(in_product, n)
    excess_rows = _excess_rows(earns, costs)
    return _Programme(
        target=_target(earns, costs, scenarios.probability, attitude),
        rows=sparse.vstack([shortfall_rows, excess_rows]).tocsr(),
        limit=np.append(scenarios.available_mw.ravel(), np.zeros(n)),
        lowest=np.concatenate([np.zeros(earns.shape[1] + n * t), [-np.inf], np.zeros(n)]),
    )


def _target(earns, costs, chance, attitude):
    weight = attitude.risk_weight
    tail = 1 - attitude.alpha
    of_offers = -(1 - weight) * chance @ earns
    of_shortfalls = (1 - weight) * (chance[:, None] * costs).ravel()  # eq. (12.8)
    of_excess = weight * chance / tail
    return np.concatenate([of_offers, of_shortfalls, [weight], of_excess])  # eq. (12.7)


def _shortfall_rows(in_product, n):
    """In each scenario and interval: offer - shortfall <= available."""
    t = in_product.shape[0]
    offers = sparse.kron(np.ones((n, 1)), in_product)
    shortfalls = -sparse.eye_array(n * t)
    others = sparse.csr_array((n * t, n + 1))
    return sparse.hstack([offers, shortfalls, others])


def _excess_rows(earns, costs):
    """In each scenario: loss - z - excess <= 0."""
    n = len(costs)
    shortfalls = sparse.block_diag([row[None, :] for row in costs])
    return sparse.hstack([-earns, shortfalls, -np.ones((n, 1)), -sparse.eye_array(n)])


def _solve(programme):
    no_limit = np.full(programme.lowest.size, np.inf)
    answer = linprog(
        programme.target,
        A_ub=programme.rows,
        b_ub=programme.limit,
        bounds=np.stack([programme.lowest, no_limit], axis=1),
    )
    return _solved(answer, "scenarios and deal")


def _solve_with_joint_rule(programme, scenarios, beta):
    """The same programme with a yes or no for each scenario: do all promises hold?"""
    n = len(scenarios.probability)
    size = programme.lowest.size
    promise_rows, promise_limit = _promise_rows(scenarios, beta, size)
    rows = sparse.hstack([programme.rows, sparse.csr_array((programme.rows.shape[0], n))])
    share_row = sparse.hstack([sparse.csr_array((1, size)), -scenarios.probability[None, :]])
    matrix = sparse.vstack([rows, promise_rows, share_row])
    limit = np.concatenate([programme.limit, promise_limit, [_TIE - beta]])
    lowest = np.append(programme.lowest, np.zeros(n))
    highest = np.append(np.full(size, np.inf), np.ones(n))
    answer = milp(
        np.append(programme.target, np.zeros(n)),
        constraints=LinearConstraint(matrix, -np.inf, limit),
        bounds=Bounds(lowest, highest),
        integrality=np.append(np.zeros(size), np.ones(n)),
        options={"mip_rel_gap": 1e-9},
    )
    return _solved(answer, "scenarios and deal")


def _promise_rows(scenarios, beta, size):
    """In each scenario and product: if the answer is yes, every interval has the offer."""
    least = scenarios.least_mw
    n, products = least.shape
    most = _member(least, scenarios.probability, np.asarray(1 - beta), upper=True)
    free = np.maximum(most - least, 0.0)  # what the rule gives back where the promise may fail
    offers = sparse.kron(np.ones((n, 1)), sparse.eye_array(products))
    others = sparse.csr_array((n * products, size - products))
    answers = sparse.block_diag([column[:, None] for column in free])
    return sparse.hstack([offers, others, answers]), (least + free).ravel()


def frontier(
    scenarios: Scenarios, deal: Deal, risk_weights: ArrayLike, alpha: float = 0.95
) -> pd.DataFrame:
    """Return and risk of `portfolio` for several weights of risk.

    Parameters
    ----------
    scenarios : Scenarios
        What may be there, and the products.
    deal : Deal
        Prices: numbers, one for each interval, or arrays of shape (scenarios, intervals).
    risk_weights : array, shape (weights,)
        Weights on the bad days (fractions).
    alpha : float
        The bad days are the worst 1 - alpha (a fraction below 1).

    Returns
    -------
    DataFrame
        Index `risk_weight`; columns `mean_profit`, `cvar_loss` [currency], `joint` (a fraction)
        and `offer_mw`, the sum over the products [MW].

    Raises
    ------
    ValueError
        If a weight or alpha is no fraction, or as in `portfolio`.
    TypeError
        If scenarios or deal is of another kind.

    Examples
    --------
    >>> days = Scenarios(available_mw=[[1.0, 2.0], [3.0, 1.0], [2.0, 2.0], [4.0, 3.0]], dt_h=1.0)
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=70.0)
    >>> frontier(days, deal, [0.0, 1.0], alpha=0.5)["mean_profit"].round(3).to_dict()
    {0.0: 45.0, 1.0: 40.0}
    """
    weights = row("risk_weights", fraction("risk_weights", risk_weights))
    found = [
        portfolio(scenarios, deal, Attitude(risk_weight=weight, alpha=alpha)) for weight in weights
    ]
    return pd.DataFrame(
        {
            "mean_profit": [plan.mean_profit for plan in found],
            "cvar_loss": [plan.cvar_loss for plan in found],
            "joint": [plan.joint for plan in found],
            "offer_mw": [plan.offer_mw.sum() for plan in found],
        },
        index=pd.Index(weights, name="risk_weight"),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """How sure a promise over several intervals is.

    Attributes
    ----------
    each : array, shape (intervals,)
        Probability that an interval holds (fractions).
    joint : float
        Probability that all of them hold: what a product of several quarter hours asks (a
        fraction).
    independent : float
        What `joint` would be if the intervals were independent of each other (a fraction).
    """

    each: np.ndarray
    joint: float
    independent: float


def reliability(
    offer_mw: ArrayLike, available_mw: ArrayLike, probability: ArrayLike | None = None
) -> Reliability:
    r"""Reliability per interval, and of all intervals together.

    .. math:: 1 - \sum_t (1 - P_t)\ \le\
        P\Big(\bigcap_t \{A_t \ge q_t\}\Big)\ \le\ \min_t P_t            (12.15)

    Parameters
    ----------
    offer_mw : float or array, shape (intervals,)
        Offer, at least 0 [MW].
    available_mw : array, shape (scenarios, intervals)
        Power that may come, at least 0 [MW].
    probability : array, shape (scenarios,), optional
        Probability of each scenario. None: all equal.

    Returns
    -------
    Reliability
        Probabilities that the offer holds (fractions).

    Raises
    ------
    ValueError
        If a power is negative or no number, or a shape does not fit.

    Notes
    -----
    For one constant offer the joint P90 is `firm_offer(available_mw.min(axis=1), 0.9)`.

    Examples
    --------
    >>> sure = reliability(2.0, [[1.0, 2.0], [3.0, 1.0], [2.0, 2.0]], [0.25, 0.25, 0.5])
    >>> [float(p) for p in sure.each], sure.joint, sure.independent
    ([0.75, 0.75], 0.5, 0.5625)
    """
    available, chance = _sample("available_mw", available_mw, probability, "MW", ge=0)
    if available.ndim != 2:
        raise ValueError(
            f"available_mw has shape {available.shape}; it must be (scenarios, intervals)"
        )
    offer = np.asarray(checked("offer_mw", offer_mw, "MW", ge=0))
    _fits("offer_mw", offer, available)
    holds = available >= offer - _WATT
    each = chance @ holds
    return Reliability(
        each=each,
        joint=float(chance @ holds.all(axis=1)),
        independent=float(np.prod(each)),
    )  # eq. (12.15)


def fleet_paths(
    n_cars: int,
    presence: float,
    car_mw: float,
    *,
    persistence: float,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> np.ndarray:
    r"""Scenarios of a fleet whose cars come and go.

    The number of cars is binomial in every interval, and cars come and go as the Markov chain of
    eq. (10.5).

    Parameters
    ----------
    n_cars : int
        Number N of cars, 1 to a million.
    presence : float
        Probability p that a car is there (a fraction).
    car_mw : float
        Power of a car, above 0 [MW].
    persistence : float
        Persistence lambda: 0 draws every interval anew, 1 keeps every car where it is (a fraction).
    shape : tuple of int
        Numbers of scenarios and of intervals.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    array, shape (scenarios, intervals)
        Power at the plug [MW].

    Raises
    ------
    ValueError
        If an argument lies outside of its limits.
    TypeError
        If rng is no generator.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> paths = fleet_paths(100, 0.7, 0.01, persistence=0.9, shape=(500, 16), rng=rng)
    >>> paths.shape, round(float(paths.mean()), 2)
    ((500, 16), 0.7)
    """
    n = whole("n_cars", n_cars, le=_MOST_CARS)
    presence = one_fraction("presence", presence)
    persistence = one_fraction("persistence", persistence)
    car = one("car_mw", car_mw, "MW", gt=0)
    scenarios, intervals = _size(shape)
    instance("rng", rng, np.random.Generator)
    path = _presence.walk(n, presence, persistence, steps=intervals, size=scenarios, rng=rng)
    return car * np.stack(list(path), axis=1)


def _size(shape):
    """Numbers of scenarios and of intervals."""
    sides = row("shape", shape, ge=1)
    if len(sides) != 2:
        raise ValueError(f"shape has {len(sides)} entries; give (scenarios, intervals)")
    scenarios, intervals = (whole("shape", side) for side in sides.tolist())
    refuse_large(**{"shape[0]": scenarios, "shape[1]": intervals})
    return scenarios, intervals


# ------------------------------------------------------------- real cars: past days as scenarios


def available_by_day(sessions: pd.DataFrame, car_mw: float) -> pd.DataFrame:
    """Power of the cars at the plug in each quarter hour of each day.

    Parameters
    ----------
    sessions : DataFrame
        Columns `arrival` and `departure`, local time stamps, as from `v2gbook.data.sessions`; with
        a column `station`, sessions must not overlap there. `fleet.check_sessions(..., drop=True)`
        leaves out what is wrong.
    car_mw : float
        Power of a car, above 0 [MW].

    Returns
    -------
    DataFrame, shape (days, 96)
        Power [MW]. Index `day`, columns `clock_h` (0, 0.25 ... 23.75, wall clock). From the first
        day of arrival to the last; **months without any session are left out**. A day without a
        session in a month that has some counts as a day without cars, whether they stayed away or
        the recorder failed; `attrs["empty_weekdays"]` lists those from Monday to Friday.

    Raises
    ------
    ValueError
        If there is no session, a column is missing, or a session cannot be (see
        `fleet.check_sessions`).
    TypeError
        If sessions is no DataFrame.

    Notes
    -----
    A car counts in the quarter hours that it stays from beginning to end. Sessions do not tell
    whether its battery could give that power, or whether its driver would allow it: this is an
    upper bound.

    Cars are counted in real time, as in `fleet.plugged_cars`, because power is promised and paid
    for hours that pass. Where the clock is set back, a quarter hour that it shows twice has the
    fewer cars of the two. Where it is set forward, a quarter hour that it skips does not exist, and
    has the cars of the one before only to keep the table full.

    Examples
    --------
    >>> sessions = pd.DataFrame(
    ...     {
    ...         "arrival": pd.to_datetime(["2025-05-05 08:05", "2025-05-05 08:30"]),
    ...         "departure": pd.to_datetime(["2025-05-05 09:10", "2025-05-05 09:00"]),
    ...     }
    ... )
    >>> power = available_by_day(sessions, 0.007)
    >>> power.loc["2025-05-05", 8.0:9.0].round(3).to_dict()
    {8.0: 0.0, 8.25: 0.007, 8.5: 0.014, 8.75: 0.014, 9.0: 0.0}
    """
    car = one("car_mw", car_mw, "MW", gt=0)
    sessions = _checked_sessions(sessions)
    table = _by_clock(_presence.plugged("sessions", sessions, 15)) * car
    weekdays = table.index[table.index.day_of_week < 5]
    came = _presence.clock(sessions.arrival).dt.normalize()
    table.attrs["empty_weekdays"] = [f"{day:%Y-%m-%d}" for day in weekdays[~weekdays.isin(came)]]
    return table


def _checked_sessions(sessions):
    """The sessions, if all of them can be; their energy plays no part."""
    columns("sessions", sessions, ("arrival", "departure"))
    sessions = sessions.assign(delivered_kwh=0.0)
    _presence.refuse_table("sessions", sessions)
    _presence.refuse_impossible("sessions", sessions)
    return sessions


def _by_clock(plugged):
    """Cars in each quarter hour as a table: a row for each day, a column for each clock time.

    A promise for a quarter hour that the clock shows twice must hold in both. One that it skips
    takes the number of the one before.
    """
    clock = plugged.index.tz_localize(None).floor("15min")
    fewest = plugged.groupby(clock).min()
    days = clock.normalize().unique().rename("day")
    quarters = np.add.outer(days.to_numpy(), np.arange(96) * np.timedelta64(15, "m"))
    cars = fewest.reindex(quarters.ravel()).ffill().bfill()
    hours = pd.Index(np.arange(96) / 4, name="clock_h")
    return pd.DataFrame(cars.to_numpy().reshape(-1, 96), index=days, columns=hours)


def lasting_by_day(
    sessions: pd.DataFrame,
    storage: Storage,
    *,
    soc_departure: float,
    start_h: ArrayLike,
    duration_h: float,
) -> pd.DataFrame:
    """Power that the cars at the plug can hold all through a product, on each day.

    Unlike `available_by_day` it asks for energy, too: each car counts if it stays to the end of the
    product, and gives no more than lasts until then, with its departure kept (`fleet.hold`). Until
    the product begins it has charged as fast as it could.

    Parameters
    ----------
    sessions : DataFrame
        Sessions with their energies, as for `fleet.stays`.
    storage : charger.Storage
        One car and its charger.
    soc_departure : float
        Assumed state of charge on every departure, as in `fleet.stays` (a fraction).
    start_h : array, shape (products,)
        Begin of each product on the clock, rising, from 0 up to below 24 [h].
    duration_h : float
        Length of a product, above 0; products must not overlap [h].

    Returns
    -------
    DataFrame, shape (days, products)
        Power [MW]. Index `day`, columns `clock_h`. From the first day of arrival to the last;
        months without any session are left out.

    Raises
    ------
    ValueError
        If products overlap, or as in `fleet.stays`.
    TypeError
        If an argument is of another kind.

    Notes
    -----
    Every departure is taken as known when the product begins, so this is an upper bound, too.

    Examples
    --------
    >>> sessions = pd.DataFrame(
    ...     {
    ...         "arrival": pd.to_datetime(["2025-05-05 08:00", "2025-05-05 08:30"]),
    ...         "departure": pd.to_datetime(["2025-05-05 18:00", "2025-05-05 10:00"]),
    ...         "delivered_kwh": [12.0, 5.0],
    ...     }
    ... )
    >>> car = Storage(
    ...     energy_kwh=60.0, soc_min=0.4, soc_max=0.9, p_charge_kw=8.0, p_discharge_kw=7.0,
    ...     eta_charge=0.9, eta_discharge=0.9)
    >>> power = lasting_by_day(
    ...     sessions, car, soc_departure=0.9, start_h=[9.0, 12.0], duration_h=3.0)
    >>> power.loc["2025-05-05"].round(4).to_dict()
    {9.0: 0.007, 12.0: 0.0065}
    """
    start = row("start_h", start_h, "h", ge=0, lt=24)
    long_h = one("duration_h", duration_h, "h", gt=0, le=24)
    if (np.diff(start) < long_h - 1e-9).any():
        raise ValueError(
            f"start_h = {start.tolist()} with duration_h = {long_h:g}: products must rise and not "
            "overlap"
        )
    cars = fleet.stays(sessions, storage, soc_departure=soc_departure)
    days = _presence.recorded_days("sessions", sessions).rename("day")
    first = _presence.clock(sessions.arrival).min().normalize()
    midnights_h = ((days - first) / pd.Timedelta(hours=1)).to_numpy()
    held = [_held_mw(cars, midnight + start, long_h) for midnight in midnights_h]
    return pd.DataFrame(np.stack(held), index=days, columns=pd.Index(start, name="clock_h"))


def _held_mw(cars, calls_h, duration_h):
    """What the cars that are there can hold from each of a day's calls on. [MW]"""
    here = (cars.arrive_h <= calls_h[-1]) & (cars.leave_h >= calls_h[0] + duration_h)
    if not here.any():
        return np.zeros(len(calls_h))
    of_day = {field.name: getattr(cars, field.name)[here] for field in fields(cars)}
    return fleet.hold(fleet.Stays(**of_day), calls_h, duration_h, level=1.0) / 1000


def recency(n: int, smoothing: float) -> np.ndarray:
    r"""Weights of past days, the oldest first: three classic forecasts in one formula.

    .. math:: w_k = \frac{(1 - a)^k}{\sum_{j=0}^{n-1} (1 - a)^j}, \qquad
        k = 0 \text{ for the latest day}            (12.16)

    Parameters
    ----------
    n : int
        Number of past days, 1 to 36,525 (a hundred years).
    smoothing : float
        Smoothing a (a fraction). 0: all days count alike (climatology). 1: only the latest counts
        (persistence). Between: exponential smoothing.

    Returns
    -------
    array, shape (n,)
        Weights that sum to 1.

    Raises
    ------
    ValueError
        If an argument lies outside of its limits.

    Examples
    --------
    >>> [round(float(weight), 3) for weight in recency(3, 0.5)]
    [0.143, 0.286, 0.571]
    """
    age = np.arange(whole("n", n, "days", le=_MOST_DAYS))[::-1]
    weight = (1 - one_fraction("smoothing", smoothing)) ** age
    return weight / weight.sum()  # eq. (12.16)


def pinball(observed: ArrayLike, forecast: ArrayLike, level: ArrayLike) -> FloatOrArray:
    r"""Score of a forecast quantile: it is least, on average, for the true one.

    .. math:: \ell_\tau(y, \hat y) =
        \max\big(\tau(y - \hat y),\ (\tau - 1)(y - \hat y)\big)            (12.9)

    Parameters
    ----------
    observed : float or array
        Values y that came, in any unit.
    forecast : float or array
        Forecast quantiles, in the same unit.
    level : float or array
        Level tau of the quantile (a fraction).

    Returns
    -------
    float or array
        Score, in the unit of the forecast.

    Raises
    ------
    ValueError
        If an argument is no number, level no fraction, or the shapes do not fit each other.

    Examples
    --------
    >>> round(pinball(10.0, 8.0, 0.9), 3), round(pinball(8.0, 10.0, 0.9), 3)
    (1.8, 0.2)
    """
    came = np.asarray(checked("observed", observed))
    foretold = np.asarray(checked("forecast", forecast))
    tau = np.asarray(fraction("level", level))
    together(observed=came, forecast=foretold, level=tau)
    error = came - foretold
    return plain(np.maximum(tau * error, (tau - 1) * error))  # eq. (12.9)


def crps(
    observed: ArrayLike, samples: ArrayLike, probability: ArrayLike | None = None
) -> FloatOrArray:
    r"""Continuous ranked probability score: the pinball score of all quantiles at once.

    Where the forecast is a single number it is the absolute error.

    .. math:: CRPS = \operatorname{E}|X - y| - \tfrac12 \operatorname{E}|X - X'|
        = 2\int_0^1 \ell_\tau\,d\tau            (12.10)

    Parameters
    ----------
    observed : float or array, shape (intervals,)
        Values y that came, in any unit.
    samples : array, shape (scenarios,) or (scenarios, intervals)
        The forecast, in the same unit.
    probability : array, shape (scenarios,), optional
        Probability of each scenario. None: all equal.

    Returns
    -------
    float or array, shape (intervals,)
        Score, in the unit of the forecast.

    Raises
    ------
    ValueError
        If an argument is no number, or a shape does not fit.

    References
    ----------
    .. [1] Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, JASA
       102, 359-378, 2007.

    Examples
    --------
    >>> round(crps(3.0, [1.0, 2.0, 4.0], [0.25, 0.25, 0.5]), 4)
    0.5625
    """
    forecast, chance = _sample("samples", samples, probability)
    came = np.asarray(checked("observed", observed))
    if came.ndim > 1:
        raise ValueError(f"observed has shape {came.shape}; give one number, or one row of them")
    if forecast.ndim == 1 and came.ndim:
        forecast = np.repeat(forecast[:, None], came.size, axis=1)
    _fits("observed", came, forecast)
    away = np.abs(forecast - came)
    order = np.argsort(forecast, axis=0, kind="stable")
    up_to = np.cumsum(chance[order], axis=0)[:-1]
    gaps = np.diff(np.take_along_axis(forecast, order, axis=0), axis=0)
    spread = (gaps * up_to * (1 - up_to)).sum(axis=0)
    return plain(chance @ away - spread)  # eq. (12.10)


def forecast_scores(
    days: pd.DataFrame,
    first_test: Date,
    smoothings: ArrayLike,
    band: float = 0.8,
) -> pd.DataFrame:
    """Scores of past days of the same weekday as a forecast of each day.

    Every forecast uses only days before the one that is scored.

    Parameters
    ----------
    days : DataFrame, shape (days, intervals)
        As from `available_by_day`; take the hours that matter first [MW].
    first_test : str or date
        First day that is scored; days before it are only learned from.
    smoothings : array, shape (forecasts,)
        See `recency`: 0 is climatology, 1 persistence (fractions).
    band : float
        Probability of the central band whose coverage is counted (a fraction, neither 0 nor 1).

    Returns
    -------
    DataFrame
        Index `smoothing`; columns `mae_mw` (of the weighted mean), `pinball_mw` (of the band's
        lower quantile), `crps_mw` [MW], `coverage` (share of intervals within the band) and
        `test_days`.

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, no day is left to test, or a weekday has no day
        to learn from.
    TypeError
        If days is no DataFrame with an index of days.

    Examples
    --------
    >>> mondays = pd.date_range("2025-01-06", periods=3, freq="7D")
    >>> days = pd.DataFrame({8.0: [1.0, 3.0, 4.0], 8.25: [1.0, 3.0, 4.0]}, index=mondays)
    >>> scores = forecast_scores(days, "2025-01-20", [0.0, 1.0], band=0.5)
    >>> scores["mae_mw"].to_dict(), scores["crps_mw"].to_dict()
    ({0.0: 2.0, 1.0: 1.0}, {0.0: 1.5, 1.0: 1.0})
    """
    table = _days("days", days)
    low = (1 - one_fraction("band", band, gt=0, lt=1)) / 2
    weights = row("smoothings", fraction("smoothings", smoothings))
    tests = _pasts(table, first_test)
    means = []
    for smoothing in weights:
        scores = [_scores(past, came, smoothing, low) for past, came in tests]
        means.append(np.mean(scores, axis=0))
    found = pd.DataFrame(
        means,
        index=pd.Index(weights, name="smoothing"),
        columns=["mae_mw", "pinball_mw", "crps_mw", "coverage"],
    )
    return found.assign(test_days=len(tests))


def _pasts(days, first_test):
    """For each day from the first test on: past days of the same weekday, and what came."""
    values = days.to_numpy()
    weekday = np.asarray(days.index.day_of_week)
    first = len(days) - len(_later(days, first_test))
    pairs = []
    for k in range(first, len(days)):
        past = values[:k][weekday[:k] == weekday[k]]
        if not len(past):
            day = days.index[k]
            raise ValueError(f"days has no {day.day_name()} before {day:%Y-%m-%d} to learn from")
        pairs.append((past, values[k]))
    return pairs


def _scores(past, came, smoothing, low):
    """Absolute error, pinball score, CRPS and coverage, each the mean over the intervals."""
    weight = recency(len(past), smoothing)
    lower = quantile(past, low, weight)
    upper = quantile(past, 1 - low, weight)
    inside = (lower - _WATT <= came) & (came <= upper + _WATT)
    return [
        np.abs(came - weight @ past).mean(),
        np.mean(pinball(came, lower, low)),
        np.mean(crps(came, past, weight)),
        inside.mean(),
    ]


def _days(name, table):
    """The same table with floats, if it has one row for each of some days, in order."""
    instance(name, table, pd.DataFrame)
    index = _dates(f"the index of {name}", table.index)
    power = checked(name, table.to_numpy(), "MW", ge=0)
    return pd.DataFrame(power, index=index, columns=table.columns)


def _dates(name, index):
    """An index of days, in order, if it holds nothing else."""
    index = stamps(name, index)
    if index.tz is not None:
        raise ValueError(f"{name} has the time zone {index.tz}; days have none")
    other = index[index != index.normalize()]
    if len(other):
        raise ValueError(f"{name} has {other[0]}; each entry must be a day, without a time")
    return index


# --------------------------------------------------------------------- offers tested on later days

_Rule: TypeAlias = Callable[[np.ndarray, Deal], ArrayLike]


def _later(days, first_test):
    """The days from the first test on."""
    first = calendar_day("first_test", first_test)
    zone = pd.Timestamp(first_test).tz
    if zone is not None:
        raise ValueError(f"first_test has the time zone {zone}; days have none")
    later = days[days.index >= first]
    if later.empty:
        raise ValueError(
            f"first_test is {first:%Y-%m-%d}, and the last of days is {days.index[-1]:%Y-%m-%d}. "
            "At least one day must be left to test"
        )
    return later


def standard_rules(
    target: float = 0.9,
    attitude: Attitude = Attitude(risk_weight=0.5, alpha=0.9),
    smoothing: float = 0.2,
) -> dict[str, _Rule]:
    """Five rules that turn past days into an offer.

    A rule is a function `rule(past, deal)`. It gets the past days of one weekday, the oldest
    first, as an array of shape (days, intervals) in MW, and returns one offer for each interval.

    Parameters
    ----------
    target : float
        Reliability of the rule `firm` (a fraction, neither 0 nor 1).
    attitude : Attitude
        Risk preferences of the rule `cvar`.
    smoothing : float
        Of the rule `rolling`, a newsvendor for whom recent days count more: see `recency` (a
        fraction).

    Returns
    -------
    dict of callables
        Rules by name: `mean`, `firm`, `newsvendor`, `cvar`, `rolling`. A rule of your own is a
        function like these.

    Raises
    ------
    ValueError
        If target or smoothing lies outside of its limits.
    TypeError
        If attitude is no `Attitude`.

    Examples
    --------
    >>> rules = standard_rules(target=0.7, attitude=Attitude(risk_weight=1.0), smoothing=0.5)
    >>> past = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=50.0)
    >>> {name: float(rule(past, deal)[0]) for name, rule in rules.items()}
    {'mean': 2.5, 'firm': 2.0, 'newsvendor': 2.0, 'cvar': 1.0, 'rolling': 3.0}
    """
    sure = one_fraction("target", target, gt=0, lt=1)
    instance("attitude", attitude, Attitude)
    forgetting = one_fraction("smoothing", smoothing)
    return {
        "mean": _mean_rule,
        "firm": functools.partial(_firm_rule, sure),
        "newsvendor": best_offer,
        "cvar": functools.partial(_cautious_rule, attitude),
        "rolling": functools.partial(_rolling_rule, forgetting),
    }


# Functions of their own, and not inside of `standard_rules`: these can be sent to a worker.
def _mean_rule(past, deal):
    return past.mean(axis=0)


def _firm_rule(target, past, deal):
    return firm_offer(past, target)


def _cautious_rule(attitude, past, deal):
    return best_offer(past, deal, attitude=attitude)


def _rolling_rule(smoothing, past, deal):
    return best_offer(past, deal, recency(len(past), smoothing))


def offers(
    train: pd.DataFrame, test_days: pd.DatetimeIndex, rule: _Rule, deal: Deal
) -> pd.DataFrame:
    """Offers that a rule makes for later days, from past days of the same weekday.

    Parameters
    ----------
    train : DataFrame, shape (days, intervals)
        Days that may be learned from, as from `available_by_day` [MW].
    test_days : DatetimeIndex
        Days to make offers for, all after the last day of `train`.
    rule : callable
        A function `rule(past, deal)`, see `standard_rules`.
    deal : Deal
        Prices: numbers, or one for each interval.

    Returns
    -------
    DataFrame, shape (test days, intervals)
        Offers [MW].

    Raises
    ------
    ValueError
        If the two windows overlap, a weekday is not in the past, or the rule does not return one
        offer >= 0 for each interval.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> mondays = pd.date_range("2025-01-06", periods=3, freq="7D")
    >>> train = pd.DataFrame({8.0: [1.0, 3.0], 8.25: [2.0, 3.0]}, index=mondays[:2])
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=50.0)
    >>> made = offers(train, mondays[2:], standard_rules()["firm"], deal)
    >>> made.to_numpy()
    array([[1., 2.]])
    """
    past = _days("train", train)
    later = _dates("test_days", test_days)
    _function("rule", rule)
    instance("deal", deal, Deal)
    _only_later("test_days", later, past)
    return _offers(past, later, rule, deal)


def _only_later(name, test_days, train):
    """Refuse days to test that do not come after all those that were learned from."""
    if train.index[-1] >= test_days[0]:
        raise ValueError(
            f"train ends on {train.index[-1]:%Y-%m-%d}, but the first day of {name} is "
            f"{test_days[0]:%Y-%m-%d}: offers must not be tested on days that they were fitted to, "
            "or on days before them"
        )


def _offers(train, test_days, rule, deal):
    made = {
        weekday: _weekday_offer(train, test_days, weekday, rule, deal)
        for weekday in test_days.day_of_week.unique()
    }
    rows = [made[weekday] for weekday in test_days.day_of_week]
    return pd.DataFrame(rows, index=test_days, columns=train.columns)


def _function(name, value):
    if not callable(value):
        raise TypeError(f"{name} is {short(value)}; it must be a function rule(past, deal)")


def _weekday_offer(train, test_days, weekday, rule, deal):
    """Offer of a rule for one weekday: array, shape (intervals,)."""
    past = train.to_numpy()[train.index.day_of_week == weekday]
    if not len(past):
        wanted = test_days[test_days.day_of_week == weekday][0].day_name()
        raise ValueError(f"train has no {wanted} to learn from, and the days to test have one")
    offer = np.asarray(checked("the offer of the rule", rule(past, deal), "MW", ge=0))
    if offer.shape != past.shape[1:]:
        raise ValueError(
            f"the rule returned an array of shape {offer.shape}; it must give one offer for each "
            f"of the {past.shape[1]} intervals"
        )
    return offer


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What offers earned, in sums; `scoreboard` makes shares of them.

    Attributes
    ----------
    days : int
        Number of days.
    days_kept : int
        Days on which nothing was missing in any interval.
    promises : int
        Intervals with an offer above zero.
    kept : int
        Those of them in which nothing was missing.
    offered_mwh : float
        Energy offered [MWh].
    short_mwh : float
        Energy missing [MWh].
    profit : float
        What the offers earned [currency].
    penalty : float
        All that missing MW cost [currency].
    perfect_profit : float
        What the offer of exactly what came would have earned [currency].
    """

    days: int
    days_kept: int
    promises: int
    kept: int
    offered_mwh: float
    short_mwh: float
    profit: float
    penalty: float
    perfect_profit: float


def settlement(offer_mw: pd.DataFrame, days: pd.DataFrame, deal: Deal) -> Settlement:
    """Settle offers against what came.

    Parameters
    ----------
    offer_mw : DataFrame, shape (days, intervals)
        Offers, as from `offers` [MW].
    days : DataFrame, shape (days, intervals)
        What came, with the same index and columns; at least two columns, evenly spaced [MW].
    deal : Deal
        Prices: numbers, or one for each interval.

    Returns
    -------
    Settlement
        Counts, energies [MWh] and money [currency], summed over all days.

    Raises
    ------
    ValueError
        If a power is negative or no number, the two tables differ in index or columns, the columns
        are not clock hours, or there is not one price for each interval.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> mondays = pd.date_range("2025-01-06", periods=2, freq="7D")
    >>> came = pd.DataFrame({8.0: [1.0, 3.0], 8.25: [2.0, 2.0]}, index=mondays)
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=70.0)
    >>> done = settlement(came * 0 + 2.0, came, deal)
    >>> done.promises, done.kept, done.short_mwh, done.profit
    (4, 3, 0.25, 22.5)
    """
    offer_table = _days("offer_mw", offer_mw)
    table = _days("days", days)
    if not (offer_table.index.equals(table.index) and offer_table.columns.equals(table.columns)):
        raise ValueError("offer_mw and days must have the same index and columns")
    return _settlement(offer_table, table, deal)


def _settlement(offer_table, days, deal):
    dt_h = _interval_h(days)
    price, cost = _prices(deal, days.shape[1:])
    offer = offer_table.to_numpy()
    came = days.to_numpy()
    missing = np.maximum(offer - came, 0.0)
    kept = missing <= _WATT
    promised = offer > _WATT
    return Settlement(
        days=len(days),
        days_kept=int(kept.all(axis=1).sum()),
        promises=int(promised.sum()),
        kept=int((kept & promised).sum()),
        offered_mwh=float(np.sum(offer) * dt_h),
        short_mwh=float(np.sum(missing) * dt_h),
        profit=float(np.sum(profit(offer, came, deal)) * dt_h),
        penalty=float(np.sum(cost * missing) * dt_h),
        perfect_profit=float(np.sum(price * came) * dt_h),
    )


def _interval_h(days):
    """Length of an interval, from the columns of a table of days. [h]"""
    hours = row("the columns of days", days.columns, "h")
    gaps = np.diff(hours)
    if not len(gaps) or np.ptp(gaps) > 1e-9 or gaps[0] <= 0:
        raise ValueError(
            f"the columns of days are {list(days.columns)}; they must be clock hours, at least "
            "two, rising and evenly spaced"
        )
    return float(gaps[0])


def compare_rules(
    train: pd.DataFrame, test: pd.DataFrame, deal: Deal, rules: Mapping[str, _Rule]
) -> pd.DataFrame:
    """Fit rules on some days and settle them on later ones.

    Parameters
    ----------
    train : DataFrame, shape (days, intervals)
        Days that may be learned from, as from `available_by_day` [MW].
    test : DataFrame, shape (test days, intervals)
        Days to settle on, with the same columns, all after the last day of `train` [MW].
    deal : Deal
        Prices: numbers, or one for each interval.
    rules : dict of callables
        Rules by name, see `standard_rules`.

    Returns
    -------
    DataFrame
        Index `rule`; the columns are the fields of `Settlement`.

    Raises
    ------
    ValueError
        If there is no rule, the columns differ, or as in `offers` and `settlement`.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> mondays = pd.date_range("2025-01-06", periods=3, freq="7D")
    >>> days = pd.DataFrame({8.0: [1.0, 3.0, 2.0], 8.25: [2.0, 3.0, 2.0]}, index=mondays)
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=70.0)
    >>> compare_rules(days[:2], days[2:], deal, standard_rules())["profit"].to_dict()
    {'mean': 13.75, 'firm': 15.0, 'newsvendor': 15.0, 'cvar': 15.0, 'rolling': 15.0}
    """
    past = _days("train", train)
    later = _days("test", test)
    if not past.columns.equals(later.columns):
        raise ValueError("train and test must have the same columns")
    _only_later("test", later.index, past)
    instance("deal", deal, Deal)
    known = _rules(rules)
    settled = [
        asdict(_settlement(_offers(past, later.index, rule, deal), later, deal))
        for rule in known.values()
    ]
    return pd.DataFrame(settled, index=pd.Index(known, name="rule"))


def _rules(rules):
    """Rules by name, at least one, each a function."""
    instance("rules", rules, Mapping)
    if not rules:
        raise ValueError("rules is empty; give at least one rule")
    for name, rule in rules.items():
        _function(f"rules[{name!r}]", rule)
    return dict(rules)


def backtest(
    days: pd.DataFrame,
    deal: Deal,
    rules: Mapping[str, _Rule],
    *,
    every: str = "M",
    first_test: Date,
    executor: Workers = None,
) -> pd.DataFrame:
    """Settlement of rules that walk forward in time.

    Before each month (or week, or day) every rule is fitted on all days before it; its offers are
    settled on that month, and so on to the last day.

    Parameters
    ----------
    days : DataFrame, shape (days, intervals)
        As from `available_by_day` [MW].
    deal : Deal
        Prices: numbers, or one for each interval.
    rules : dict of callables
        Rules by name, see `standard_rules`.
    every : str
        "M" fits at the beginning of each month, "W" on Mondays, "D" every day.
    first_test : str or date
        First day of an offer.
    executor : concurrent.futures.Executor, or a function that makes one, optional
        Who works, on one month (week, day) at a time; this process if left out. Rules go to other
        processes only if they can be pickled: a function of a module can, a lambda cannot.

    Returns
    -------
    DataFrame
        Index (`start`, `rule`): first test day of the period, and the rule. Columns `side`, which
        tells on which side of March 2020 it lies, then the fields of `Settlement`. `scoreboard`
        sums it up.

    Raises
    ------
    ValueError
        If no day is left to learn from or to test, or as in `compare_rules`.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> mondays = pd.date_range("2025-01-06", periods=3, freq="7D")
    >>> days = pd.DataFrame({8.0: [1.0, 3.0, 2.0], 8.25: [2.0, 3.0, 2.0]}, index=mondays)
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=70.0)
    >>> table = backtest(
    ...     days, deal, standard_rules(), every="W", first_test="2025-01-13", executor=None
    ... )
    >>> table.groupby("rule", sort=False)["profit"].sum().to_dict()
    {'mean': 28.75, 'firm': 30.0, 'newsvendor': 30.0, 'cvar': 30.0, 'rolling': 30.0}
    """
    table = _days("days", days)
    one_of("every", every, ("M", "W", "D"))
    later = _later(table, first_test)
    if len(later) == len(table):
        raise ValueError(f"first_test is {first_test}; days has no day before it to learn from")
    workers(executor)
    sizes = later.groupby(later.index.to_period(every)).size().to_list()
    ends = len(table) - len(later) + np.cumsum(sizes)
    periods = [slice(end - size, end) for end, size in zip(ends.tolist(), sizes)]
    settle = functools.partial(_period, table, instance("deal", deal, Deal), _rules(rules))
    settled = in_order(settle, periods, executor)
    starts = [table.index[period.start] for period in periods]
    return pd.concat(dict(zip(starts, settled)), names=["start"])


def _period(table, deal, rules, period):
    """Rules fitted on the days before a period and settled on it."""
    test = table.iloc[period]
    settled = compare_rules(table.iloc[: period.start], test, deal, rules)
    settled.insert(0, "side", _side(test.index[0].to_period("M")))
    return settled


def _side(month):
    if month < _BREAK:
        return "before March 2020"
    if month == _BREAK:
        return "March 2020"
    return "after March 2020"


def scoreboard(table: pd.DataFrame, by: Sequence[str] = ("side", "rule")) -> pd.DataFrame:
    """Sums of a backtest, and shares that only sums can tell.

    Parameters
    ----------
    table : DataFrame
        As from `backtest`.
    by : sequence of str
        Columns or levels of the index to keep apart.

    Returns
    -------
    DataFrame
        Index `by`. Sums of the fields of `Settlement`, and `short_share` (of the energy offered),
        `coverage` (of the promises), `joint_coverage` (of the days) and `of_perfect` (profit over
        perfect profit). A promise of nothing always holds and misses nothing.

    Raises
    ------
    ValueError
        If a column of `Settlement` is missing or has missing numbers, or `by` names no column.
    TypeError
        If table is no DataFrame, or by no list of names.

    Examples
    --------
    >>> mondays = pd.date_range("2025-01-06", periods=3, freq="7D")
    >>> days = pd.DataFrame({8.0: [1.0, 3.0, 2.0], 8.25: [2.0, 3.0, 2.0]}, index=mondays)
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=70.0)
    >>> table = backtest(days, deal, standard_rules(), every="W", first_test="2025-01-13")
    >>> board = scoreboard(table, by=["rule"])
    >>> board["of_perfect"].round(2).to_dict()
    {'mean': 0.57, 'firm': 0.6, 'newsvendor': 0.6, 'cvar': 0.6, 'rolling': 0.6}
    """
    keys = _keys(table, by)
    total = table.groupby(keys, sort=False).sum(numeric_only=True)
    offered = total["offered_mwh"].where(total["offered_mwh"] > 0, 1.0)
    perfect = total["perfect_profit"].where(total["perfect_profit"] > 0, 1.0)
    covered = total["kept"] / total["promises"].where(total["promises"] > 0, 1)
    return total.assign(
        short_share=total["short_mwh"] / offered,
        coverage=covered.where(total["promises"] > 0, 1.0),
        joint_coverage=total["days_kept"] / total["days"],
        of_perfect=total["profit"] / perfect,
    )


def _keys(table, by):
    """What to keep apart, of a table that can be summed up."""
    sums = [field.name for field in fields(Settlement)]
    columns("table", table, sums)
    for name in sums:
        least = {"days": 1, "profit": None}.get(name, 0)
        checked(f"column {name} of table", table[name], ge=least)
    keys = list(instances("by", by, str))
    if not keys:
        raise ValueError("by is empty; give at least one column of table")
    known = [name for name in (*table.index.names, *table.columns) if name not in (None, *sums)]
    for key in keys:
        one_of("by", key, known)
        if table.reset_index()[key].isna().any():
            raise ValueError(f"column {key} of table has missing entries")
    return keys
