r"""Topic 12, risk: what to promise when the cars may not be there.

One interval first: a `Deal` pays for megawatts offered and punishes megawatts missing; `profit`, `best_offer` (the newsvendor), `firm_offer`
(the P90 rule), `var` and `cvar` (how bad the bad days are). Each of these offers turns out to be a quantile of availability. Then many
intervals: `portfolio` is a linear programme over `Scenarios`, `reliability` tells a promise per quarter hour from one per product. Then real
cars: `availability` counts plugged-in cars, `recency` weighs past days into a forecast, `pinball` and `crps` score it, and `backtest` offers on
the past and settles on what came later.

An offer and what is available are powers from the vehicle to the grid, >= 0, in MW. Scenarios lie along the first axis, each with its
`probability` (None: all equal). A loss is a negative profit. Money is in the currency of the deal.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.special import betaln, gammaln, ndtr, ndtri, xlog1py, xlogy

from ._check import checked, plain

TIE = 1e-10  # two probabilities closer than this are the same: 0.1 + 0.2 is 0.3
WATT = 1e-6  # [MW] nobody is a watt short
FRACTION = "(a fraction, not per cent)"
BREAK = pd.Period("2020-03", "M")  # the month in which the workplaces emptied

# -------------------------------------------------------------------------------------------- one promise, one interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Deal:
    """What a megawatt offered earns, and what a megawatt missing costs. Each price is a number, or an array with one entry per interval.

    Attributes
    ----------
    price_per_mw_h : float or array
        Paid per MW offered, for an hour. > 0. [currency per MW and h]
    penalty_per_mw_h : float or array
        Charged per MW missing, for an hour. [currency per MW and h]
    pays_undelivered : bool
        True: the whole offer is paid, missing or not. False: missing MW lose their payment as well.
    """

    price_per_mw_h: float
    penalty_per_mw_h: float
    pays_undelivered: bool = True

    def __post_init__(self):
        checked("price_per_mw_h", self.price_per_mw_h, "per MW and h", gt=0)
        checked("penalty_per_mw_h", self.penalty_per_mw_h, "per MW and h", ge=0)

    @property
    def cost_per_mw_h(self):
        """All that a missing MW costs: the penalty, and the payment if that is lost too."""
        return plain(
            np.asarray(self.penalty_per_mw_h, dtype=float)
            + (0.0 if self.pays_undelivered else np.asarray(self.price_per_mw_h))
        )


@dataclass(frozen=True, kw_only=True)
class Attitude:
    """What is wanted of an offer.

    Attributes
    ----------
    risk_weight : float
        0 counts the mean profit only, 1 the bad days only. 0..1
    alpha : float
        The bad days are the worst 1 - alpha. 0..1 (below 1)
    reliability : float, optional
        Of `portfolio`: the probability that all its promises hold together must be at least this. Above 0, at most 1.
    """

    risk_weight: float = 0.0
    alpha: float = 0.95
    reliability: float | None = None

    def __post_init__(self):
        checked("risk_weight", self.risk_weight, FRACTION, ge=0, le=1)
        checked("alpha", self.alpha, FRACTION, ge=0, lt=1)
        if self.reliability is not None:
            checked("reliability", self.reliability, FRACTION, gt=0, le=1)


def profit(offer_mw, available_mw, deal):
    r"""Profit of an offer, once it is known who came.

    .. math:: \Pi(q, A) = r\,q - c_e\,(q - A)^+, \qquad
        c_e = \begin{cases} c & \text{the whole offer is paid} \\ c + r & \text{undelivered MW are not paid}\end{cases}            (12.1)

    Parameters
    ----------
    offer_mw, available_mw : float or array
        q and A; they broadcast. >= 0. [MW]
    deal : Deal
        r is the price, c the penalty.

    Returns
    -------
    float or array
        [currency/h]

    Examples
    --------
    >>> deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=80.0)
    >>> profit(0.75, 0.5, deal)
    -5.0
    """
    offer = np.asarray(checked("offer_mw", offer_mw, "MW", ge=0))
    short = np.maximum(offer - checked("available_mw", available_mw, "MW", ge=0), 0.0)
    return plain(deal.price_per_mw_h * offer - deal.cost_per_mw_h * short)  # eq. (12.1)


def outcomes(cars, share, car_mw, correlation=0.0):
    r"""What a fleet may have at the plug, and how likely: binomial if the cars are independent, beta-binomial if they share their reasons.

    .. math:: \operatorname{Var} K = N p (1 - p)\,\big(1 + (N - 1)\rho\big), \qquad A = K\,P_{car}            (12.2)

    Parameters
    ----------
    cars : int
        N. >= 1
    share : float
        Probability p that a car is there. 0..1, neither 0 nor 1
    car_mw : float
        Power of a car. [MW]
    correlation : float
        rho between any two cars. 0..1 (below 1)

    Returns
    -------
    available_mw, probability : array, shape (cars + 1,)
        From no car to all of them.

    Examples
    --------
    >>> available_mw, probability = outcomes(100, 0.7, 0.01)
    >>> float(round(firm_offer(available_mw, 0.9, probability), 6))
    0.64
    """
    p, rho = (
        checked("share", share, FRACTION, gt=0, lt=1),
        checked("correlation", correlation, FRACTION, ge=0, lt=1),
    )
    k = np.arange(_whole(cars) + 1)
    ways = gammaln(cars + 1) - gammaln(k + 1) - gammaln(cars - k + 1)
    if rho > 0:
        a, b = (
            p * (1 - rho) / rho,
            (1 - p) * (1 - rho) / rho,
        )  # eq. (12.2): the beta distribution that gives this correlation
        chance = np.exp(ways + betaln(k + a, cars - k + b) - betaln(a, b))
    else:
        chance = np.exp(ways + xlogy(k, p) + xlog1py(cars - k, -p))
    return k * checked("car_mw", car_mw, "MW", gt=0), chance / chance.sum()


def _whole(cars):
    if checked("cars", cars, ge=1) != int(cars):
        raise ValueError(f"cars is {cars}; it must be a whole number")
    return int(cars)


def expected_profit(offer_mw, available_mw, deal, probability=None):
    """Mean of `profit` over a sample.

    Parameters
    ----------
    offer_mw : float or array
        Any shape. [MW]
    available_mw : array, shape (scenarios,)
        [MW]
    deal : Deal
    probability : array, shape (scenarios,), optional

    Returns
    -------
    float or array, shape of the offer
        [currency/h]
    """
    offer = np.asarray(checked("offer_mw", offer_mw, "MW", ge=0))
    return plain(
        deal.price_per_mw_h * offer
        - deal.cost_per_mw_h
        * _mean_short(offer, *_row("available_mw", available_mw, probability, ge=0))
    )


def _mean_short(offer, available, chance):
    """E(q - A)+, exactly: q F(q) less the mean of what is below q."""
    order = np.argsort(available, kind="stable")
    below = np.searchsorted(available[order], offer, side="right")
    share, power = (np.append(0.0, np.cumsum(part[order])) for part in (chance, chance * available))
    return offer * share[below] - power[below]


def curve(offers_mw, available_mw, deal, probability=None):
    """What each of several offers would bring: the figure behind `best_offer`.

    Parameters
    ----------
    offers_mw : array, shape (offers,)
        [MW]
    available_mw, deal, probability
        As in `expected_profit`.

    Returns
    -------
    DataFrame
        Index `offer_mw`; columns `profit_per_h` (mean), `short_mw` (mean) and `kept` (probability that nothing is missing).
    """
    offers = np.atleast_1d(checked("offers_mw", offers_mw, "MW", ge=0))
    available, chance = _row("available_mw", available_mw, probability, ge=0)
    kept = [chance[available >= q - WATT].sum() for q in offers]
    columns = {
        "profit_per_h": expected_profit(offers, available, deal, chance),
        "short_mw": _mean_short(offers, available, chance),
        "kept": kept,
    }
    return pd.DataFrame(columns, index=pd.Index(offers, name="offer_mw"))


def critical_share(deal, attitude=Attitude()):
    r"""How often the best offer is missed. It depends on the prices alone, not on the cars.

    .. math:: \rho = \frac{r}{c_e}            (12.3)

    .. math:: \rho_\lambda = \frac{\rho}{1 - \lambda + \lambda/(1 - \alpha)} \text{ if that is at most } 1 - \alpha, \text{ else }
        \frac{\rho - \lambda}{1 - \lambda}            (12.11)

    Parameters
    ----------
    deal : Deal
    attitude : Attitude
        Caution asks for more reliability: it is a lower quantile, nothing else. Its `reliability` is not used here.

    Returns
    -------
    float or array
        0..1

    Raises
    ------
    ValueError
        If a missing MW costs no more than an offered one earns: then the more is promised the better, and no offer is best.

    Notes
    -----
    Profit never falls when more cars come, so the worst days for profit are those with the fewest cars, and what (12.12) wants of a single
    interval is a mean under probabilities that lean towards those days.
    """
    price, cost = np.broadcast_arrays(deal.price_per_mw_h, deal.cost_per_mw_h)
    if np.any(cost <= price):
        raise ValueError(
            f"a missing MW costs {cost[cost <= price][0]:g} and an offered one earns {price[cost <= price][0]:g}: to promise without "
            "limit would pay; raise penalty_per_mw_h, or ask for a reliability"
        )
    rho, weight, tail = price / cost, attitude.risk_weight, 1 - attitude.alpha  # eq. (12.3)
    steep = rho / (1 - weight + weight / tail)
    return plain(
        np.where(steep <= tail, steep, (rho - weight) / max(1 - weight, TIE))
    )  # eq. (12.11)


def best_offer(available_mw, deal, probability=None, attitude=Attitude()):
    r"""The newsvendor's offer: the smallest that is missed at least as often as the prices ask.

    .. math:: q^* = \min\{q : P(A \le q) \ge \rho\}            (12.4)

    Parameters
    ----------
    available_mw : array, shape (scenarios,) or (scenarios, intervals)
        [MW]
    deal : Deal
    probability : array, shape (scenarios,), optional
    attitude : Attitude
        Caution lowers rho, see `critical_share`.

    Returns
    -------
    float or array, shape (intervals,)
        Always a value that the sample holds. [MW]
    """
    return quantile(
        checked("available_mw", available_mw, "MW", ge=0),
        critical_share(deal, attitude),
        probability,
    )  # eq. (12.4)


def normal_offer(mean_mw, sigma_mw, deal, attitude=Attitude()):
    """As `best_offer`, for normally distributed availability. [MW]

    Parameters
    ----------
    mean_mw, sigma_mw : float or array
        Mean and standard deviation (> 0); the tail below zero must not matter. [MW]
    deal : Deal
    attitude : Attitude
    """
    return plain(
        checked("mean_mw", mean_mw, "MW")
        + np.asarray(checked("sigma_mw", sigma_mw, "MW", gt=0))
        * ndtri(critical_share(deal, attitude))
    )


def normal_profit(offer_mw, mean_mw, sigma_mw, deal):
    r"""Mean profit of an offer, for normally distributed availability.

    .. math:: \operatorname{E}\Pi = r\,q - c_e\,\sigma\,\big(z\,\Phi(z) + \varphi(z)\big), \qquad z = (q - \mu)/\sigma            (12.5)

    Parameters
    ----------
    offer_mw, mean_mw, sigma_mw : float or array
        q, mu and sigma (> 0). [MW]
    deal : Deal

    Returns
    -------
    float or array
        [currency/h]
    """
    offer, sigma = (
        np.asarray(checked("offer_mw", offer_mw, "MW")),
        np.asarray(checked("sigma_mw", sigma_mw, "MW", gt=0)),
    )
    z = (offer - checked("mean_mw", mean_mw, "MW")) / sigma
    return plain(
        deal.price_per_mw_h * offer - deal.cost_per_mw_h * sigma * (z * ndtr(z) + _density(z))
    )  # eq. (12.5)


def _density(z):
    return np.exp(-np.square(z) / 2) / np.sqrt(2 * np.pi)


def firm_offer(available_mw, reliability, probability=None):
    r"""The most that is there with a given probability: the P90 rule for 0.9.

    .. math:: q_\beta = \max\{q : P(A \ge q) \ge \beta\}, \qquad \frac{c}{r} = \frac{1}{1 - \beta}\
        \Big[-1 \text{ if undelivered MW are not paid}\Big]            (12.6)

    Parameters
    ----------
    available_mw : array, shape (scenarios,) or (scenarios, intervals)
        [MW]
    reliability : float
        beta. 0..1, neither 0 nor 1
    probability : array, shape (scenarios,), optional

    Returns
    -------
    float or array, shape (intervals,)
        [MW]

    Notes
    -----
    Energinet asks that a bid can be realised with a probability of at least 90 % [1]_. It is a rule of compliance, not a price:
    `penalty_multiple` says what price would lead to the same offer. Where a whole range of offers is as good for the newsvendor, `best_offer`
    is its lower end and this its upper.

    References
    ----------
    .. [1] arXiv 2404.12818 and 2404.12807 on Energinet's P90 requirement (abstracts).
    """
    beta = checked("reliability", reliability, FRACTION, gt=0, lt=1)
    return quantile(
        checked("available_mw", available_mw, "MW", ge=0),
        1 - np.asarray(beta),
        probability,
        upper=True,
    )  # eq. (12.6)


def penalty_multiple(reliability, pays_undelivered=True):
    """Penalty over price at which a newsvendor follows a rule of reliability by himself: eq. (12.6).

    Parameters
    ----------
    reliability : float or array
        0..1, neither 0 nor 1
    pays_undelivered : bool
        As in `Deal`.

    Returns
    -------
    float or array

    Examples
    --------
    >>> round(penalty_multiple(0.9), 9), round(penalty_multiple(0.9, pays_undelivered=False), 9)
    (10.0, 9.0)
    """
    beta = np.asarray(checked("reliability", reliability, FRACTION, gt=0, lt=1))
    return plain(1 / (1 - beta) - (0 if pays_undelivered else 1))  # eq. (12.6)


# ------------------------------------------------------------------------------------------------------ how bad is bad


def _row(name, values, probability, **limits):
    """One row of scenarios, and their probabilities."""
    values, chance = _sample(name, values, probability, **limits)
    if values.ndim > 1:
        raise ValueError(
            f"{name} has shape {values.shape}; here it must be a single row of scenarios"
        )
    return values, chance


def _sample(name, values, probability, **limits):
    """Values with scenarios along the first axis, and their probabilities."""
    values = np.asarray(checked(name, values, **limits))
    if values.ndim == 0:
        raise ValueError(f"{name} is a single number; give one value per scenario")
    if probability is None:
        return values, np.full(len(values), 1 / len(values))
    chance = np.asarray(checked("probability", probability, FRACTION, ge=0))
    if chance.shape != values.shape[:1]:
        raise ValueError(
            f"probability has shape {chance.shape}; there are {len(values)} scenarios, each needs one"
        )
    if abs(chance.sum() - 1) > 1e-9:
        raise ValueError(
            f"the probabilities sum to {chance.sum():.6g}; they must sum to 1 (divide each by their sum)"
        )
    return values, chance


def quantile(values, level, probability=None, *, upper=False):
    """Quantile of a weighted sample that is itself a member of the sample.

    Parameters
    ----------
    values : array, shape (scenarios,) or (scenarios, intervals)
    level : float or array
        0..1. An array gives one quantile per level of a single row, or one level per interval.
    probability : array, shape (scenarios,), optional
    upper : bool
        False: the smallest x with P(X <= x) >= level. True: the largest with P(X < x) <= level. They differ only where P(X <= x) hits
        the level exactly; any x between them is a quantile too.

    Returns
    -------
    float or array
    """
    values, chance = _sample("values", values, probability)
    level = np.asarray(checked("level", level, FRACTION, ge=0, le=1))
    order = np.argsort(values, axis=0, kind="stable")
    ordered, up_to = np.take_along_axis(values, order, axis=0), np.cumsum(chance[order], axis=0)
    if values.ndim == 1 and level.ndim:
        ordered, up_to = ordered[:, None], up_to[:, None]
    below = (up_to < level - TIE) if not upper else (up_to <= level + TIE)
    place = np.minimum(below.sum(axis=0), len(values) - 1)
    full = np.broadcast_to(ordered, below.shape)
    return plain(np.take_along_axis(full, np.expand_dims(place, 0), axis=0)[0])


def var(losses, alpha, probability=None):
    r"""Value at risk: the loss that is not exceeded with probability alpha.

    .. math:: \operatorname{VaR}_\alpha = \min\{x : P(L \le x) \ge \alpha\}            (12.7)

    Parameters
    ----------
    losses : array, shape (scenarios,)
        Negative profits, in any currency.
    alpha : float or array
        0..1, neither 0 nor 1
    probability : array, shape (scenarios,), optional

    Returns
    -------
    float or array, shape of alpha

    Notes
    -----
    Not subadditive: two sites that each fail with probability 0.04 have a VaR of 0 at 0.95, together one of 100. `cvar` is subadditive.

    Examples
    --------
    >>> one, p = np.array([0.0, 100.0]), np.array([0.96, 0.04])
    >>> both, pp = np.add.outer(one, one).ravel(), np.outer(p, p).ravel()
    >>> var(one, 0.95, p) + var(one, 0.95, p), var(both, 0.95, pp)
    (0.0, 100.0)
    >>> round(cvar(one, 0.95, p) + cvar(one, 0.95, p), 4), round(cvar(both, 0.95, pp), 4)
    (160.0, 103.2)
    """
    return quantile(
        checked("losses", losses), checked("alpha", alpha, FRACTION, gt=0, lt=1), probability
    )  # eq. (12.7)


def cvar(losses, alpha, probability=None):
    r"""Conditional value at risk: mean of the worst 1 - alpha. An atom that straddles the border counts with the part beyond it.

    .. math:: \operatorname{CVaR}_\alpha = \frac{1}{1 - \alpha}\int_\alpha^1 \operatorname{VaR}_u\,du            (12.8)

    Parameters
    ----------
    losses : array, shape (scenarios,)
    alpha : float or array
        0..1 (below 1); 0 gives the mean.
    probability : array, shape (scenarios,), optional

    Returns
    -------
    float or array, shape of alpha
    """
    losses, chance = _row("losses", losses, probability)
    alpha = np.asarray(checked("alpha", alpha, FRACTION, ge=0, lt=1))
    order = np.argsort(losses, kind="stable")
    border = np.append(0.0, np.cumsum(chance[order]))
    beyond = np.maximum(border - alpha[..., None], 0.0)
    return plain((np.diff(beyond, axis=-1) @ losses[order]) / beyond[..., -1])  # eq. (12.8)


def cvar_lp(losses, alpha, probability=None):
    r"""The same number as `cvar` from a linear programme: why CVaR fits into one, and VaR does not.

    .. math:: \operatorname{CVaR}_\alpha = \min_z\ z + \frac{1}{1 - \alpha}\operatorname{E}(L - z)^+            (12.9)

    Parameters
    ----------
    losses, alpha, probability
        As in `cvar`; one alpha.

    Returns
    -------
    float

    References
    ----------
    .. [1] Rockafellar and Uryasev, Optimization of conditional value-at-risk, J. Risk 2(3), 21-41, 2000 (from memory).
    """
    losses, chance = _row("losses", losses, probability)
    n, tail = len(losses), 1 - checked("alpha", alpha, FRACTION, ge=0, lt=1)
    above = sparse.hstack([-np.ones((n, 1)), -sparse.eye(n)])
    answer = linprog(
        np.append(1.0, chance / tail),
        A_ub=above,
        b_ub=-losses,
        bounds=[(None, None)] + [(0, None)] * n,
    )  # eq. (12.9)
    return float(answer.fun)


def normal_cvar(mean, sigma, alpha):
    r"""CVaR of a normally distributed loss; its VaR is mean + sigma z.

    .. math:: \operatorname{CVaR}_\alpha = \mu + \sigma\,\frac{\varphi(z_\alpha)}{1 - \alpha}            (12.10)

    Parameters
    ----------
    mean, sigma : float or array
        sigma >= 0.
    alpha : float or array
        0..1, neither 0 nor 1

    Returns
    -------
    float or array
    """
    alpha = np.asarray(checked("alpha", alpha, FRACTION, gt=0, lt=1))
    return plain(
        checked("mean", mean)
        + np.asarray(checked("sigma", sigma, ge=0)) * _density(ndtri(alpha)) / (1 - alpha)
    )  # eq. (12.10)


@dataclass(frozen=True, kw_only=True)
class Information:
    """Mean profits by what is known when the offer is made. [currency/h]

    Attributes
    ----------
    mean_promise : float
        Offering the mean availability.
    promise : float
        The best single offer.
    informed : float
        The best offer for each reading of the signal.
    perfect : float
        Offering exactly what comes.
    """

    mean_promise: float
    promise: float
    informed: float
    perfect: float

    @property
    def evpi(self):
        """Expected value of perfect information. [currency/h]"""
        return self.perfect - self.promise

    @property
    def evsi(self):
        """Expected value of the signal: what a better forecast is worth. [currency/h]"""
        return self.informed - self.promise

    @property
    def vss(self):
        """Value of the stochastic solution: what it is worth to look at the spread and not only at the mean. [currency/h]"""
        return self.promise - self.mean_promise


def information(available_mw, deal, signal=None, probability=None):
    r"""What knowing more would be worth.

    .. math:: EVPI = r\operatorname{E}A - \max_q \operatorname{E}\Pi(q, A), \qquad
        VSS = \max_q \operatorname{E}\Pi(q, A) - \operatorname{E}\Pi(\operatorname{E}A, A)            (12.18)

    Parameters
    ----------
    available_mw : array, shape (scenarios,)
        [MW]
    deal : Deal
    signal : array, shape (scenarios,), optional
        What is known before the offer is made, such as the weekday: scenarios with the same signal cannot be told apart.
    probability : array, shape (scenarios,), optional

    Returns
    -------
    Information

    Notes
    -----
    A signal with few scenarios per reading flatters itself: with one each it looks perfect.
    """
    available, chance = _row("available_mw", available_mw, probability, ge=0)
    signal = np.zeros(len(available)) if signal is None else np.asarray(signal)
    if signal.shape != available.shape:
        raise ValueError(
            f"signal has shape {signal.shape}; there are {len(available)} scenarios, each needs one"
        )
    mean, informed = chance @ available, 0.0
    for reading in np.unique(signal[chance > 0]):
        known, share = signal == reading, chance[signal == reading].sum()
        informed += share * _best(available[known], deal, chance[known] / share)
    return Information(
        mean_promise=expected_profit(mean, available, deal, chance),
        promise=_best(available, deal, chance),
        informed=float(informed),
        perfect=float(mean * deal.price_per_mw_h),
    )  # eq. (12.18)


def _best(available, deal, chance):
    return expected_profit(best_offer(available, deal, chance), available, deal, chance)


# -------------------------------------------------------------------------------------------- many promises, many scenarios


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenarios:
    """What may be there in each interval of a day, and which product each interval belongs to.

    Attributes
    ----------
    available_mw : array, shape (scenarios, intervals)
        [MW]
    dt_h : float
        Length of an interval. [h]
    product : array of int, shape (intervals,), optional
        Numbered from 0; the offer is constant within a product. None: each interval is its own.
    probability : array, shape (scenarios,), optional
    """

    available_mw: np.ndarray
    dt_h: float
    product: np.ndarray | None = None
    probability: np.ndarray | None = None

    def __post_init__(self):
        available, chance = _sample("available_mw", self.available_mw, self.probability, ge=0)
        if available.ndim != 2:
            raise ValueError(
                f"available_mw has shape {available.shape}; it must be (scenarios, intervals)"
            )
        product = (
            np.arange(available.shape[1]) if self.product is None else np.asarray(self.product)
        )
        if product.shape != available.shape[1:] or not np.array_equal(
            np.unique(product), np.arange(product.max() + 1)
        ):
            raise ValueError(
                f"product must give each of the {available.shape[1]} intervals a number, from 0 without a gap"
            )
        checked("dt_h", self.dt_h, "h", gt=0)
        for name, value in (
            ("available_mw", available),
            ("probability", chance),
            ("product", product.astype(int)),
        ):
            object.__setattr__(self, name, value)

    @property
    def least_mw(self):
        """Least interval of each product: array, shape (scenarios, products). [MW]"""
        return np.stack(
            [
                self.available_mw[:, self.product == b].min(axis=1)
                for b in range(self.product.max() + 1)
            ],
            axis=1,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Portfolio:
    """What `portfolio` found.

    Attributes
    ----------
    offer_mw : array, shape (products,)
        [MW]
    mean_profit, cvar_loss : float
        Of the whole day. [currency]
    joint : float
        Probability that every promise holds in every interval. 0..1
    value_per_mw : array, shape (intervals,), or None
        What one MW more in this interval, in every scenario, adds to the objective; None where a reliability is asked for. [currency/MW]
    """

    offer_mw: np.ndarray
    mean_profit: float
    cvar_loss: float
    joint: float
    value_per_mw: np.ndarray | None


def day_profit(offer_mw, scenarios, deal):
    """Profit of a day in each scenario.

    Parameters
    ----------
    offer_mw : array, shape (products,)
        [MW]
    scenarios : Scenarios
    deal : Deal
        One price, or one per interval.

    Returns
    -------
    array, shape (scenarios,)
        [currency]
    """
    return scenarios.dt_h * profit(
        np.asarray(offer_mw)[scenarios.product], scenarios.available_mw, deal
    ).sum(axis=1)


def portfolio(scenarios, deal, attitude=Attitude()):
    r"""Offers for all products at once, by a linear programme; with a joint rule of reliability, a small mixed-integer one.

    .. math:: \max_{q \ge 0}\ (1 - \lambda)\operatorname{E}\Pi - \lambda\operatorname{CVaR}_\alpha(-\Pi), \qquad
        \Pi_n = \Delta t\sum_t \big(r_t\,q_{b(t)} - c_{e,t}\,s_{nt}\big),\quad s_{nt} \ge q_{b(t)} - A_{nt},\ s_{nt} \ge 0            (12.12)

    Parameters
    ----------
    scenarios : Scenarios
    deal : Deal
        One price, or one per interval.
    attitude : Attitude

    Returns
    -------
    Portfolio

    Raises
    ------
    ValueError
        If promising without limit would pay and no reliability is asked for.

    Notes
    -----
    The joint rule is :math:`q_b \le m_{nb} + (M_b - m_{nb})^+(1 - y_n)`, :math:`\sum_n w_n y_n \ge \beta`, y binary; m is the least interval of
    a product, M the most that the product could promise alone. Some hundred scenarios of a few products solve in a second; many more do not.
    """
    if attitude.reliability is None:
        critical_share(deal)  # refuses a deal without a best offer
    (n, t), products, chance = (
        scenarios.available_mw.shape,
        scenarios.product.max() + 1,
        scenarios.probability,
    )
    hours = scenarios.dt_h * sparse.csr_array(
        (np.ones(t), (np.arange(t), scenarios.product)), shape=(t, products)
    )
    earns = hours.T @ np.broadcast_to(np.asarray(deal.price_per_mw_h, dtype=float), t)
    costs = scenarios.dt_h * np.broadcast_to(np.asarray(deal.cost_per_mw_h, dtype=float), t)
    weight, tail = attitude.risk_weight, 1 - attitude.alpha
    # columns: offers, shortfalls (scenario by scenario), z, excess of each loss over z
    target = np.concatenate(
        [
            -(1 - weight) * earns,
            (1 - weight) * np.outer(chance, costs).ravel(),
            [weight],
            weight * chance / tail,
        ]
    )  # eq. (12.12)
    short = sparse.hstack(
        [
            sparse.kron(np.ones((n, 1)), hours / scenarios.dt_h),
            -sparse.eye_array(n * t),
            sparse.csr_array((n * t, n + 1)),
        ]
    )
    excess = sparse.hstack(
        [
            np.tile(-earns, (n, 1)),
            sparse.kron(sparse.eye_array(n), costs[None, :]),
            -np.ones((n, 1)),
            -sparse.eye_array(n),
        ]
    )
    rows, limit = (
        sparse.vstack([short, excess]).tocsr(),
        np.append(scenarios.available_mw.ravel(), np.zeros(n)),
    )
    lowest = np.concatenate([np.zeros(products + n * t), [-np.inf], np.zeros(n)])
    if attitude.reliability is None:
        answer = linprog(
            target,
            A_ub=rows,
            b_ub=limit,
            bounds=np.stack([lowest, np.full(lowest.size, np.inf)], axis=1),
        )
        value = -answer.ineqlin.marginals[: n * t].reshape(n, t).sum(axis=0)
    else:
        answer, value = (
            _joint_rule(scenarios, attitude.reliability, target, rows, limit, lowest),
            None,
        )
    offer = np.maximum(answer.x[:products], 0.0)
    gain = day_profit(offer, scenarios, deal)
    holds = reliability(offer[scenarios.product], scenarios.available_mw, chance).joint
    return Portfolio(
        offer_mw=offer,
        mean_profit=float(chance @ gain),
        cvar_loss=cvar(-gain, attitude.alpha, chance),
        joint=holds,
        value_per_mw=value,
    )


def _joint_rule(scenarios, beta, target, rows, limit, lowest):
    """The same programme with a yes or no for each scenario: do all promises hold?"""
    least, chance = scenarios.least_mw, scenarios.probability
    n, products = least.shape
    most = quantile(least, 1 - beta, chance, upper=True)
    free = np.maximum(most - least, 0.0)  # what the rule gives back where the promise may fail
    select = sparse.kron(np.ones((n, 1)), sparse.eye_array(products))
    holds = sparse.hstack(
        [
            select,
            sparse.csr_array((n * products, lowest.size - products)),
            sparse.block_diag([column[:, None] for column in free]),
        ]
    )
    share = sparse.hstack([sparse.csr_array((1, lowest.size)), -chance[None, :]])
    matrix = sparse.vstack(
        [sparse.hstack([rows, sparse.csr_array((rows.shape[0], n))]), holds, share]
    )
    upper = np.concatenate([limit, (least + free).ravel(), [TIE - beta]])
    whole = np.append(np.zeros(lowest.size), np.ones(n))
    bounds = Bounds(
        np.append(lowest, np.zeros(n)), np.append(np.full(lowest.size, np.inf), np.ones(n))
    )
    return milp(
        np.append(target, np.zeros(n)),
        constraints=LinearConstraint(matrix, -np.inf, upper),
        bounds=bounds,
        integrality=whole,
        options={"mip_rel_gap": 1e-9},
    )


def frontier(scenarios, deal, risk_weights, alpha=0.95):
    """Risk and return: `portfolio` for several weights of risk.

    Parameters
    ----------
    scenarios, deal, alpha
        As in `portfolio`.
    risk_weights : array, shape (weights,)
        0..1

    Returns
    -------
    DataFrame
        Index `risk_weight`; columns `mean_profit`, `cvar_loss` [currency], `joint`, `offer_mw` (sum over the products).
    """
    found = [
        portfolio(scenarios, deal, Attitude(risk_weight=float(weight), alpha=alpha))
        for weight in risk_weights
    ]
    columns = {
        name: [getattr(one, name) for one in found]
        for name in ("mean_profit", "cvar_loss", "joint")
    }
    return pd.DataFrame(
        columns | {"offer_mw": [one.offer_mw.sum() for one in found]},
        index=pd.Index(risk_weights, name="risk_weight"),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """How sure a promise over several intervals is.

    Attributes
    ----------
    each : array, shape (intervals,)
        Probability that an interval holds.
    joint : float
        Probability that all of them hold: what a product of several quarter hours asks.
    independent : float
        What `joint` would be if the intervals had nothing to do with each other.
    """

    each: np.ndarray
    joint: float
    independent: float


def reliability(offer_mw, available_mw, probability=None):
    r"""Reliability per interval, and of all intervals together.

    .. math:: 1 - \sum_t (1 - P_t)\ \le\ P\Big(\bigcap_t \{A_t \ge q_t\}\Big)\ \le\ \min_t P_t            (12.13)

    Parameters
    ----------
    offer_mw : float or array, shape (intervals,)
        [MW]
    available_mw : array, shape (scenarios, intervals)
        [MW]
    probability : array, shape (scenarios,), optional

    Returns
    -------
    Reliability

    Notes
    -----
    For one constant offer the joint P90 is `firm_offer(available_mw.min(axis=1), 0.9)`.
    """
    available, chance = _sample("available_mw", available_mw, probability, ge=0)
    holds = available >= np.asarray(checked("offer_mw", offer_mw, "MW", ge=0)) - WATT
    each = chance @ holds
    return Reliability(
        each=each, joint=float(chance @ holds.all(axis=1)), independent=float(np.prod(each))
    )  # eq. (12.13)


def fleet_paths(cars, share, car_mw, *, persistence, shape, rng):
    r"""Scenarios of a fleet whose cars come and go: in every interval binomial, from one to the next as similar as is asked.

    .. math:: N_{t+1} = \operatorname{Bin}\big(N_t,\ p + \phi(1 - p)\big) + \operatorname{Bin}\big(N - N_t,\ (1 - \phi)p\big), \qquad
        \operatorname{corr}(N_t, N_{t+k}) = \phi^k            (12.14)

    Parameters
    ----------
    cars, share, car_mw
        As in `outcomes`.
    persistence : float
        phi: 0 draws every interval anew, 1 keeps every car where it is. 0..1
    shape : tuple of int
        (scenarios, intervals)
    rng : numpy.random.Generator

    Returns
    -------
    array, shape (scenarios, intervals)
        [MW]
    """
    p, phi = (
        checked("share", share, FRACTION, ge=0, le=1),
        checked("persistence", persistence, FRACTION, ge=0, le=1),
    )
    there, stay = [rng.binomial(_whole(cars), p, shape[0])], min(p + phi * (1 - p), 1.0)
    for _ in range(shape[1] - 1):
        there.append(
            rng.binomial(there[-1], stay) + rng.binomial(cars - there[-1], (1 - phi) * p)
        )  # eq. (12.14)
    return checked("car_mw", car_mw, "MW", gt=0) * np.stack(there, axis=1)


# ---------------------------------------------------------------------------------------- real cars: past days as scenarios


def availability(sessions, car_mw):
    """Cars at the plug in each quarter hour of each day, times the power of a car.

    Parameters
    ----------
    sessions : DataFrame
        Columns `arrival` and `departure`, local time stamps, as from `v2gbook.data.sessions`.
    car_mw : float
        [MW]

    Returns
    -------
    DataFrame, shape (days, 96)
        Index `day`, columns `clock_h` (0, 0.25 ... 23.75, wall clock). [MW] From the first day of arrival to the last; **months without any
        session are left out**. A day without a session in a month that has some counts as a day without cars, whether they stayed away or the
        recorder failed; `attrs["empty_weekdays"]` lists those from Monday to Friday.

    Notes
    -----
    A car counts in the quarter hours that it stays from beginning to end. Whether its battery could give that power, or its driver would let it, the
    sessions do not tell: this is an upper bound.
    """
    if not len(sessions):
        raise ValueError("sessions is empty; there is no car to count")
    come, go = (sessions[name].dt.tz_localize(None) for name in ("arrival", "departure"))
    first = come.min().normalize()
    days = pd.date_range(first, come.max().normalize(), name="day")
    size, quarter = 96 * len(days), pd.Timedelta(minutes=15)
    start, end = (
        np.clip(np.asarray(edge, dtype=int), 0, size)
        for edge in (-((first - come) // quarter), (go - first) // quarter)
    )
    staying = end > start
    change = np.bincount(start[staying], minlength=size + 1) - np.bincount(
        end[staying], minlength=size + 1
    )
    table = pd.DataFrame(
        np.cumsum(change)[:size].reshape(-1, 96) * checked("car_mw", car_mw, "MW", gt=0),
        index=days,
        columns=pd.Index(np.arange(96) / 4, name="clock_h"),
    )
    table = table[days.to_period("M").isin(come.dt.to_period("M"))]
    empty = table.index[~table.index.isin(come.dt.normalize()) & (table.index.day_of_week < 5)]
    table.attrs["empty_weekdays"] = [f"{day:%Y-%m-%d}" for day in empty]
    return table


def products(days, steps):
    """What a product of several quarter hours can count on: its least quarter hour.

    Parameters
    ----------
    days : DataFrame, shape (days, intervals)
        As from `availability`. [MW]
    steps : int
        Intervals per product; they must fill the columns.

    Returns
    -------
    DataFrame, shape (days, intervals / steps)
        Columns: the beginning of each product. [MW]
    """
    if steps < 1 or days.shape[1] % steps:
        raise ValueError(f"steps is {steps}; it must divide the {days.shape[1]} intervals of a day")
    least = days.to_numpy().reshape(len(days), -1, steps).min(axis=2)
    return pd.DataFrame(least, index=days.index, columns=days.columns[::steps])


def recency(n, smoothing):
    r"""Weights of past days, the oldest first: three classic forecasts in one formula.

    .. math:: w_k = \frac{(1 - a)^k}{\sum_{j=0}^{n-1} (1 - a)^j}, \qquad k = 0 \text{ for the latest day}            (12.15)

    Parameters
    ----------
    n : int
        Past days.
    smoothing : float
        a. 0: all alike (climatology). 1: only the latest counts (persistence). Between: exponential smoothing. 0..1

    Returns
    -------
    array, shape (n,)
        Sums to 1.
    """
    age = np.arange(checked("n", n, "days", ge=1))[::-1]
    weight = (1 - checked("smoothing", smoothing, FRACTION, ge=0, le=1)) ** age
    return weight / weight.sum()  # eq. (12.15)


def pinball(observed, forecast, level):
    r"""Score of a forecast quantile: it is least, on average, for the true one.

    .. math:: \ell_\tau(y, \hat y) = \max\big(\tau(y - \hat y),\ (\tau - 1)(y - \hat y)\big)            (12.16)

    Parameters
    ----------
    observed, forecast : float or array
    level : float or array
        tau. 0..1

    Returns
    -------
    float or array
        In the unit of the forecast.
    """
    error = np.asarray(checked("observed", observed)) - checked("forecast", forecast)
    level = np.asarray(checked("level", level, FRACTION, ge=0, le=1))
    return plain(np.maximum(level * error, (level - 1) * error))  # eq. (12.16)


def crps(observed, samples, probability=None):
    r"""Continuous ranked probability score: the pinball score of all quantiles at once; the absolute error where the forecast is a single number.

    .. math:: CRPS = \operatorname{E}|X - y| - \tfrac12 \operatorname{E}|X - X'| = 2\int_0^1 \ell_\tau\,d\tau            (12.17)

    Parameters
    ----------
    observed : float or array, shape (intervals,)
        y.
    samples : array, shape (scenarios,) or (scenarios, intervals)
        The forecast.
    probability : array, shape (scenarios,), optional

    Returns
    -------
    float or array, shape (intervals,)
        In the unit of the forecast.

    References
    ----------
    .. [1] Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, JASA 102, 359-378, 2007 (from memory).
    """
    samples, chance = _sample("samples", samples, probability)
    observed = np.asarray(checked("observed", observed))
    if samples.ndim == 1 and observed.ndim:
        samples = np.repeat(samples[:, None], observed.size, axis=1)
    away = np.abs(samples - observed)
    order = np.argsort(samples, axis=0, kind="stable")
    up_to = np.cumsum(chance[order], axis=0)[:-1]
    gaps = np.diff(np.take_along_axis(samples, order, axis=0), axis=0)
    return plain(chance @ away - (gaps * up_to * (1 - up_to)).sum(axis=0))  # eq. (12.17)


def forecast_scores(days, first_test, smoothings, band=0.8):
    """How well past days of the same weekday foretell each day: every forecast uses only days before it.

    Parameters
    ----------
    days : DataFrame
        As from `availability`; take the hours that matter first. [MW]
    first_test : str or date
        First day that is scored; days before it are only learned from.
    smoothings : array
        See `recency`: 0 is climatology, 1 persistence.
    band : float
        Probability of the central band whose coverage is counted. 0..1

    Returns
    -------
    DataFrame
        Index `smoothing`; `mae_mw` (of the weighted mean), `pinball_mw` (of the band's lower quantile), `crps_mw`, `coverage` (share of
        intervals within the band), `test_days`.
    """
    low = (1 - checked("band", band, FRACTION, gt=0, lt=1)) / 2
    day, values, rows = np.asarray(days.index.day_of_week), days.to_numpy(), []
    test = range(len(days) - len(_later(days, first_test)), len(days))
    for smoothing in smoothings:
        scores = []
        for k in test:
            past = values[:k][day[:k] == day[k]]
            if not len(past):
                raise ValueError(
                    f"there is no {days.index[k]:%A} before {days.index[k]:%Y-%m-%d} to learn from"
                )
            weight = recency(len(past), smoothing)
            lower, upper = quantile(past, low, weight), quantile(past, 1 - low, weight)
            inside = (lower - WATT <= values[k]) & (values[k] <= upper + WATT)
            off, sharp, whole = (
                np.abs(values[k] - weight @ past),
                pinball(values[k], lower, low),
                crps(values[k], past, weight),
            )
            scores.append([off.mean(), sharp.mean(), whole.mean(), inside.mean()])
        rows.append([*np.mean(scores, axis=0), len(test)])
    return pd.DataFrame(
        rows,
        index=pd.Index(smoothings, name="smoothing"),
        columns=["mae_mw", "pinball_mw", "crps_mw", "coverage", "test_days"],
    )


# -------------------------------------------------------------------------------------------- offers tested on later days


def _later(days, first_test):
    later = days[days.index >= pd.Timestamp(first_test)]
    if later.empty or not days.index.is_monotonic_increasing:
        raise ValueError(
            f"first_test is {first_test}: there is no such or later day, the last is {days.index[-1]:%Y-%m-%d}"
            if later.empty
            else "the days must be in order, the oldest first"
        )
    return later


def standard_rules(target=0.9, attitude=Attitude(risk_weight=0.5, alpha=0.9), smoothing=0.2):
    """Rules that turn past days into an offer: `rule(past, deal)` with past (days, intervals) of one weekday, the oldest first.

    Parameters
    ----------
    target : float
        Reliability of the rule `firm`. 0..1
    attitude : Attitude
        Of the rule `cvar`.
    smoothing : float
        Of the rule `rolling`: a newsvendor for whom recent days count more. 0..1

    Returns
    -------
    dict of callables
        `mean`, `firm`, `newsvendor`, `cvar`, `rolling`. A rule of your own is a function like these.
    """
    return {
        "mean": lambda past, deal: past.mean(axis=0),
        "firm": lambda past, deal: firm_offer(past, target),
        "newsvendor": lambda past, deal: best_offer(past, deal),
        "cvar": lambda past, deal: best_offer(past, deal, attitude=attitude),
        "rolling": lambda past, deal: best_offer(past, deal, recency(len(past), smoothing)),
    }


def offers(train, test_days, rule, deal):
    """Offers that a rule makes for later days, from past days of the same weekday.

    Parameters
    ----------
    train : DataFrame, shape (days, intervals)
        What may be learned from. [MW]
    test_days : DatetimeIndex
        All after the last day of `train`.
    rule : callable
        `rule(past, deal)`, see `standard_rules`.
    deal : Deal

    Returns
    -------
    DataFrame, shape (test days, intervals)
        [MW]

    Raises
    ------
    ValueError
        If the two windows overlap, a weekday is not in the past, or the rule does not return one offer >= 0 for each interval.
    """
    if train.index.max() >= test_days.min():
        raise ValueError(
            f"the training days end on {train.index.max():%Y-%m-%d}, but the first test day is {test_days.min():%Y-%m-%d}: "
            "offers must not be tested on days that they were fitted to, or on days before them"
        )
    made = {}
    for weekday in test_days.day_of_week.unique():
        past = train.to_numpy()[train.index.day_of_week == weekday]
        if not len(past):
            raise ValueError(
                f"the training days hold no {test_days[test_days.day_of_week == weekday][0]:%A}; the test days do"
            )
        offer = np.asarray(checked("the rule's offer", rule(past, deal), "MW", ge=0))
        if offer.shape != past.shape[1:]:
            raise ValueError(
                f"the rule returned an array of shape {offer.shape}; it must give one offer for each of the {past.shape[1]} intervals"
            )
        made[weekday] = offer
    return pd.DataFrame(
        [made[weekday] for weekday in test_days.day_of_week], index=test_days, columns=train.columns
    )


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What offers earned: sums, explained in `settle`; `scoreboard` makes shares of them."""

    days: int
    days_kept: int
    promises: int
    kept: int
    offered_mwh: float
    short_mwh: float
    profit: float
    penalty: float
    perfect_profit: float


def settle(offer_mw, days, deal):
    """Settle offers against what came.

    Parameters
    ----------
    offer_mw, days : DataFrame, shape (days, intervals)
        The same index and columns; at least two columns, evenly spaced. [MW]
    deal : Deal

    Returns
    -------
    Settlement
        `promises` counts intervals with an offer above zero, `kept` those in which nothing was missing, `days_kept` days on which every one was
        kept; `penalty` is all that missing MW cost, `perfect_profit` what the offer of exactly what came earns. [currency]
    """
    if not (offer_mw.index.equals(days.index) and offer_mw.columns.equals(days.columns)):
        raise ValueError("offer_mw and days must have the same index and columns")
    hours = np.diff(days.columns)
    if not len(hours) or np.ptp(hours) > 1e-9:
        raise ValueError(
            f"the columns of days are {list(days.columns)}; they must be clock hours, at least two, evenly spaced"
        )
    dt_h, offer, came = float(hours[0]), offer_mw.to_numpy(), days.to_numpy()
    short = np.maximum(offer - came, 0.0)
    kept = short <= WATT
    sums = {
        "offered_mwh": offer,
        "short_mwh": short,
        "profit": profit(offer, came, deal),
        "penalty": deal.cost_per_mw_h * short,
        "perfect_profit": deal.price_per_mw_h * came,
    }
    promised = offer > WATT
    return Settlement(
        days=len(days),
        days_kept=int(kept.all(axis=1).sum()),
        promises=int(promised.sum()),
        kept=int((kept & promised).sum()),
        **{name: float(np.sum(values) * dt_h) for name, values in sums.items()},
    )


def judge(train, test, deal, rules):
    """Fit rules on some days and settle them on later ones.

    Parameters
    ----------
    train, test : DataFrame
        As from `availability`; every test day after the last training day. [MW]
    deal : Deal
    rules : dict of callables
        See `standard_rules`.

    Returns
    -------
    DataFrame
        Index `rule`; the columns of `Settlement`.

    Raises
    ------
    ValueError
        As in `offers`.
    """
    rows = [
        asdict(settle(offers(train, test.index, rule, deal), test, deal)) for rule in rules.values()
    ]
    return pd.DataFrame(rows, index=pd.Index(rules, name="rule"))


def backtest(days, deal, rules, *, every="M", first_test):
    """Walk forward: before each month (or week) fit on all days before it, offer, settle on that month, go on.

    Parameters
    ----------
    days : DataFrame
        As from `availability`. [MW]
    deal : Deal
    rules : dict of callables
        See `standard_rules`.
    every : str
        "M" fits at the beginning of each month, "W" on Mondays, "D" every day.
    first_test : str or date
        First day of an offer.

    Returns
    -------
    DataFrame
        Index (`start`, `rule`): first test day of the period, and the rule. `side`: which side of March 2020 it lies on, then the columns
        of `Settlement`. `scoreboard` sums it up.
    """
    if every not in ("M", "W", "D"):
        raise ValueError(f'every is {every!r}; it must be "M" (month), "W" (week) or "D" (day)')
    later, tables = _later(days, first_test), {}
    for _, test in later.groupby(later.index.to_period(every)):
        start = test.index[0]
        table = judge(days[days.index < start], test, deal, rules)
        month = start.to_period("M")
        table.insert(
            0,
            "side",
            "before March 2020"
            if month < BREAK
            else "March 2020"
            if month == BREAK
            else "after March 2020",
        )
        tables[start] = table
    return pd.concat(tables, names=["start"])


def scoreboard(table, by=("side", "rule")):
    """Sum a backtest up, and add what only sums can tell.

    Parameters
    ----------
    table : DataFrame
        As from `backtest`.
    by : sequence of str
        What to keep apart.

    Returns
    -------
    DataFrame
        Sums of `Settlement`, and `short_share` (of the energy offered), `coverage` (of the promises), `joint_coverage` (of the days), `of_perfect`
        (profit over perfect profit). A promise of nothing always holds and misses nothing.
    """
    total = table.groupby(list(by), sort=False).sum(numeric_only=True)
    total["short_share"] = total.short_mwh / total.offered_mwh.where(total.offered_mwh > 0, 1.0)
    total["coverage"] = (total.kept / total.promises).where(total.promises > 0, 1.0)
    total["joint_coverage"] = total.days_kept / total.days
    total["of_perfect"] = total.profit / total.perfect_profit.where(total.perfect_profit > 0, 1.0)
    return total
