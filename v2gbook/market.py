r"""Topic 11, market: who pays for speed, and what may a fleet sell?

Speed is paid in two parts (`credit`, `statement`), scaled by a score: `performance` is the three-part score of PJM's history, `precision_only` the rule after it,
`truthful_score` the course's own, and `over_offering` asks any of them what a lie earns. Rules are data (`markets`, `market`): `eligible` and `double_counts`
read them. Then metering (`high_5_of_10`, `regression_baseline`, `metering`), reserves from a limited battery (`largest_bid`), the queue for a connection (`Queue`,
`simulate`), a project in front of the meter (`Project`), the contract with a car's owner (`Contract`), and one car's year (`car_year`).

p > 0 flows from the vehicle to the grid. A price says per what; money is in the currency of the prices.
"""

import heapq
import math
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import betainc, gammaincc

from . import agc
from ._check import checked, plain
from .arbitrage import net_present_value, regulation_revenue

# ----------------------------------------------------------------------------------------------- two payments for speed


def mileage_ratio(signal, reference):
    r"""How much further one signal travels than another in the same time; in PJM, until 2025, the fast and the slow one (`agc.split` parts a signal so).

    .. math:: m = \frac{\sum_k |s_k - s_{k-1}|}{\sum_k |r_k - r_{k-1}|}            (11.1)
    """
    way = agc.mileage(reference)
    if way == 0:
        raise ValueError("reference never moves; no ratio to it exists")
    return agc.mileage(signal) / way  # eq. (11.1)


def credit(
    offered_mw, score, mileage_ratio, *, capability_per_mw_h, performance_per_mw_h, score_floor=0.25
):
    r"""What an hour of regulation earns: for being there, and for moving, both times the score.

    .. math:: C = P\,\sigma\,(\pi_{cap} + m\,\pi_{perf}),\qquad C = 0 \ \text{ if } \sigma < \sigma_{min}            (11.2)

    Parameters
    ----------
    offered_mw, score, mileage_ratio : float or array
        Offered and accepted power [MW], performance score 0..1, and `mileage_ratio`.
    capability_per_mw_h, performance_per_mw_h : float or array
        Clearing prices for capability and performance. [per MW and hour]
    score_floor : float
        Below this score the hour earns nothing.

    Returns
    -------
    float or array
        For one hour.

    References
    ----------
    .. [1] FERC Order 755 (20 October 2011): two-part payment, in markets of RTOs and ISOs, for frequency regulation only.
    .. [2] PJM Manuals 11 and 28, as coded in GMLC-1-4-2/battery_interface, reg_service.py.
    """
    score = np.asarray(checked("score", score, "(a fraction)", ge=0, le=1))
    scored_mw = checked("offered_mw", offered_mw, "MW", ge=0) * score
    price = checked("capability_per_mw_h", capability_per_mw_h) + np.multiply(
        checked("mileage_ratio", mileage_ratio, ge=0),
        checked("performance_per_mw_h", performance_per_mw_h),
    )
    return plain(
        np.where(score < checked("score_floor", score_floor, ge=0, le=1), 0.0, scored_mw * price)
    )  # eq. (11.2)


def _read(frame, limits, words=()):
    """The named columns of a DataFrame as checked arrays, or a sentence on what is missing; columns of `words` only have to be there."""
    missing = [name for name in (*words, *limits) if name not in frame.columns]
    if missing:
        raise ValueError(
            f"the table has no column {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}"
        )
    return [
        np.asarray(checked(name, frame[name].to_numpy(), **limit)) for name, limit in limits.items()
    ]


def statement(hours, *, score_floor=0.25):
    """Settlement statement of regulation, an hour a line.

    Parameters
    ----------
    hours : DataFrame
        A row an hour: `offered_mw`, `score`, `mileage_ratio`, `capability_per_mw_h`, `performance_per_mw_h`.
    score_floor : float
        As in `credit`.

    Returns
    -------
    DataFrame
        `offered_mw`, `score`, `mileage_ratio`, then money: `capability`, `performance`, `clawback` (<= 0: both, taken back below the floor), `total`.
    """
    mw, score, ratio, per_capability, per_performance = _read(
        hours,
        {
            "offered_mw": {"ge": 0},
            "score": {"ge": 0, "le": 1},
            "mileage_ratio": {"ge": 0},
            "capability_per_mw_h": {},
            "performance_per_mw_h": {},
        },
    )
    earned = credit(
        mw,
        score,
        ratio,
        capability_per_mw_h=per_capability,
        performance_per_mw_h=per_performance,
        score_floor=score_floor,
    )
    capability, performance = mw * score * per_capability, mw * score * ratio * per_performance
    clawback = np.where(earned == 0, 0.0 - capability - performance, 0.0)
    return pd.DataFrame(
        {
            "offered_mw": mw,
            "score": score,
            "mileage_ratio": ratio,
            "capability": capability,
            "performance": performance,
            "clawback": clawback,
            "total": capability + performance + clawback,
        },
        index=hours.index,
    )


def availability_statement(hours, *, penalty):
    r"""The European way: power is paid, missing power loses its price and a penalty on top; nothing is paid for mileage.

    .. math:: C = \pi\,\big(P - (1 + k)\,\max(P - A, 0)\big)            (11.3)

    Parameters
    ----------
    hours : DataFrame
        A row an hour: `offered_mw`, `available_mw`, `price_per_mw_h`.
    penalty : float
        k, in multiples of the price, for a missing MW. Rules differ between countries; none is built in. With k = 9 a seller who does not fear risk
        offers what holds with 90 % probability (chapter 12).

    Returns
    -------
    DataFrame
        `offered_mw`, `available_mw`, `capability`, `clawback` (<= 0), `total`.
    """
    mw, available, price = _read(
        hours, {"offered_mw": {"ge": 0}, "available_mw": {"ge": 0}, "price_per_mw_h": {"ge": 0}}
    )
    clawback = -price * (1 + checked("penalty", penalty, ge=0)) * np.maximum(mw - available, 0.0)
    return pd.DataFrame(
        {
            "offered_mw": mw,
            "available_mw": available,
            "capability": mw * price,
            "clawback": clawback,
            "total": mw * price + clawback,
        },
        index=hours.index,
    )  # eq. (11.3)


# ----------------------------------------------------------------------------------------------------------- the score

WINDOW_S = 300.0  # a score looks at five minutes, and for lags up to five minutes
FLAT = 0.01  # a signal whose standard deviation is below this share of its peak is flat; the manual gives no value, this is GMLC's
LAG_RULES = ("together", "correlation")


@dataclass(frozen=True, kw_only=True)
class Score:
    """Three parts, each 0..1, their mean, and the mean lag. [s]"""

    correlation: float
    delay: float
    precision: float
    total: float
    lag_s: float


def _scored(asked, delivered, period_s):
    """Both series as arrays, and samples in a window."""
    samples = WINDOW_S / checked("period_s", period_s, "s", gt=0)
    if abs(samples - round(samples)) > 1e-9 or samples < 2:
        raise ValueError(
            f"period_s is {period_s:g}; it must divide {WINDOW_S:g} s into equal parts"
        )
    agc.tracking(asked, delivered)  # refuses different shapes, and a signal that asks for nothing
    a, d, samples = np.asarray(asked, float), np.asarray(delivered, float), round(samples)
    if a.ndim != 1 or len(a) < 2 * samples:
        raise ValueError(
            f"asked has shape {a.shape}; a score needs one series of 10 minutes or more (an hour is scored from 65)"
        )
    return a, d, samples


def _correlation(x, y, peak):
    """Along the last axis; 0 where either is constant."""
    x, y = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    size = np.sqrt((x**2).mean(axis=-1) * (y**2).mean(axis=-1))
    return np.where(size > 1e-9 * peak**2, (x * y).mean(axis=-1) / np.maximum(size, 1e-300), 0.0)


def performance(asked, delivered, *, period_s=10.0, lag_rule="together", allowance_s=0.0):
    r"""PJM's score until September 2025: in each five minutes, shape and lag; over the whole, precision.

    .. math:: \rho = \operatorname{corr}(a_t,\ d_{t+\ell}),\qquad \delta = 1 - \frac{\ell}{300\,\mathrm{s}}            (11.4)
    .. math:: \pi = \max\Big(0,\ 1 - \frac{\overline{|d - a|}}{\overline{|a|}}\Big)            (11.5)
    .. math:: \sigma = \tfrac13\,(\bar\rho + \bar\delta + \pi)            (11.6)

    Parameters
    ----------
    asked, delivered : array, shape (steps,)
        What the signal asks of the offer, and what came; the last five minutes only serve to find lags. [MW]
    period_s : float
        [s]
    lag_rule : str
        How the lag is chosen: "together" maximises correlation plus delay (the manual's words, and Michigan's code); "correlation" maximises
        correlation alone, first of equals (GMLC's code).
    allowance_s : float
        The response is moved forward by so much first; the manual allows 10 s for the signal's way. [s]

    Returns
    -------
    Score

    Notes
    -----
    A signal that is flat for five minutes scores 1 - |difference of the slopes| there, with no lag; slopes per 10 s, in peaks of the signal
    (the manual names no unit). Where no lag correlates above zero, as with a constant response, correlation and delay are both 0. The mean size of the
    *whole* signal stands under the precision, so that a quiet window divides by nothing; the manual's signed mean is near zero and means nothing.

    References
    ----------
    .. [1] PJM Manual 12, sections 4.4.6 and 4.5.6, as coded in reg_service.py (GMLC) and pjmScoringPassFailv5.m (University of Michigan).
    """
    a, d, samples = _scored(asked, delivered, period_s)
    if lag_rule not in LAG_RULES:
        raise ValueError(f"lag_rule is {lag_rule!r}; it must be together or correlation")
    shift = round(checked("allowance_s", allowance_s, "s", ge=0, le=60) / period_s)
    count, peak = len(a) // samples - 1, np.abs(a).max()
    starts, lags = samples * np.arange(count), np.arange(samples - shift + 1)
    x = a[: count * samples].reshape(count, 1, samples)
    y = np.lib.stride_tricks.sliding_window_view(d, samples)[starts[:, None] + shift + lags]
    rho = np.round(_correlation(x, y, peak), 12)  # rounded, so that equals are equal
    delta = 1 - lags * period_s / WINDOW_S
    pick = np.argmax(rho + delta if lag_rule == "together" else rho, axis=1)
    best = np.maximum(rho[np.arange(count), pick], 0.0)
    delay = np.where(best > 0, delta[pick], 0.0)  # eq. (11.4)
    flat = x[:, 0].std(axis=1) < FLAT * peak
    slope = np.polyfit(np.arange(samples) * period_s / 10, (y[:, 0] - x[:, 0]).T / peak, 1)[0]
    best, delay, lag = (
        np.where(flat, np.maximum(0, 1 - np.abs(slope)), best),
        np.where(flat, 1.0, delay),
        np.where(flat, 0, pick),
    )
    precision = precision_only(a[: count * samples], d[shift : shift + count * samples])
    parts = float(best.mean()), float(delay.mean()), precision
    return Score(
        correlation=parts[0],
        delay=parts[1],
        precision=precision,
        total=sum(parts) / 3,
        lag_s=float(lag.mean() * period_s),
    )  # eq. (11.6)


def precision_only(asked, delivered):
    """Eq. (11.5) alone: in essence how the single signal since October 2025 is scored (from memory; its details are not known here)."""
    return max(0.0, agc.tracking(asked, delivered))  # eq. (11.5)


def truthful_score(asked, delivered, *, period_s=10.0, allowance_s=10.0):
    r"""The course's own score: shape and lateness as before, but size counts squared, and nothing is averaged.

    .. math:: \sigma = \max(\rho, 0)\,\Big(1 - \frac{\max(\ell - \ell_0, 0)}{300\,\mathrm{s}}\Big)\,g^2,\qquad
              g = \min\Big(\gamma,\ \tfrac1\gamma,\ \tfrac{\max|d|}{\max|a|}\Big),\quad \gamma = \frac{\sum d_{t+\ell}\,a_t}{\sum a_t^2}            (11.7)

    Who can deliver P and offers b > P has g = P/b, and is paid for b g^2 = P^2/b < P; who offers less is paid for less. A lag or a bent shape does not
    change that, because correlation and lag do not know the size; who follows an offer too large until P cuts it misses the peaks.

    A lag of `allowance_s` costs nothing; a flat signal is scored by size alone, a constant response to a moving one gets 0. What is never asked for cannot be
    measured: an offer that the signal does not exhaust stays untested under any score. The other arguments are those of `performance`.
    """
    a, d, samples = _scored(asked, delivered, period_s)
    x = a[: len(a) - samples]
    agc.tracking(x, x)  # refuses a signal that asks for nothing before its last five minutes
    y = np.lib.stride_tricks.sliding_window_view(d, len(x))
    late = (
        1
        - np.maximum(
            np.arange(samples + 1) * period_s - checked("allowance_s", allowance_s, "s", ge=0), 0
        )
        / WINDOW_S
    )
    flat = x.std() < FLAT * np.abs(a).max()  # then the size alone counts
    rho = np.ones(len(late)) if flat else np.round(_correlation(x, y, np.abs(a).max()), 12)
    lag = int(np.argmax(rho + late))
    gain = float(y[lag] @ x / (x @ x))
    if rho[lag] <= 0 or gain <= 0:
        return 0.0
    size = min(gain, 1 / gain, float(np.abs(y[lag]).max() / np.abs(x).max()))
    return float(rho[lag] * late[lag] * size**2)  # eq. (11.7)


def over_offering(score, signal, offers_mw, *, able_mw=1.0, lag_steps=0, cut=False):
    r"""What a fleet earns that can deliver `able_mw` and offers something else.

    .. math:: G(b) = \frac{b\,\sigma(b)}{P\,\sigma(P)} - 1            (11.8)

    Parameters
    ----------
    score : function of (asked, delivered)
        Gives a number, or a `Score`.
    signal : array, shape (steps,)
        -1..1
    offers_mw : array
        Offers b to try. [MW]
    able_mw : float
        What the fleet can deliver, P. [MW]
    lag_steps : int
        Samples by which the response comes late; before, the fleet is at rest.
    cut : bool
        True: an offer too large is followed until it hits P. False: it is scaled down to P, and keeps its shape.

    Returns
    -------
    DataFrame, index offered_mw
        `score`, `paid_mw` (offer times score) and `gain` against the truth. [-], [MW], [-]
    """
    s, able = (
        np.asarray(checked("signal", signal, ge=-1, le=1)),
        checked("able_mw", able_mw, "MW", gt=0),
    )
    offers = np.atleast_1d(checked("offers_mw", offers_mw, "MW", gt=0))

    def points(offer):
        asked = offer * s
        wish = np.clip(asked, -able, able) if cut else asked * min(1.0, able / offer)
        result = score(asked, np.concatenate([np.zeros(lag_steps), wish])[: len(s)])
        return getattr(result, "total", result)

    scores, truth = np.array([points(offer) for offer in offers]), points(able)
    if truth == 0:
        raise ValueError("the truthful offer scores 0; no gain against it can be told")
    return pd.DataFrame(
        {"score": scores, "paid_mw": offers * scores, "gain": offers * scores / (able * truth) - 1},
        index=pd.Index(offers, name="offered_mw"),
    )  # eq. (11.8)


# ------------------------------------------------------------------------------------------------- who may sell what

_RULES = Path(__file__).parent / "data" / "rules"
_CONFIDENCE = ("read", "from memory", "chosen")
_TESTS = {
    "at least": lambda have, limit: have >= limit,
    "at most": lambda have, limit: have <= limit,
    "is": lambda have, limit: have == limit,
    "excludes": lambda have, limit: not set(have) & set(limit),
}


@dataclass(frozen=True, kw_only=True)
class Aggregation:
    """Cars that want to be one seller.

    `power_kw` is offered together, `largest_site_kw` by the largest site; `sells` is a tuple of services ("energy", "regulation", "reserve", "capacity").
    The cars lie in so many `load_zones` and `pricing_nodes`, have so many `suppliers`, and each so many aggregators (`aggregators_per_der`); the market sees
    their power every `telemetry_s`. `net_metered`: injections earn the retail rate. `sub_metered`: cars have meters of their own. `small_utility`: up to
    4 million MWh a year, whose regulator may have `opted_in`.
    """

    power_kw: float
    sells: tuple
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
        checked("power_kw", self.power_kw, "kW", gt=0)
        checked("largest_site_kw", self.largest_site_kw, "kW", gt=0, le=self.power_kw)
        checked("telemetry_s", self.telemetry_s, "s", gt=0, finite=False)
        if isinstance(self.sells, str) or not self.sells:
            raise ValueError(
                f"sells is {self.sells!r}; give a tuple of services, such as ('regulation',)"
            )


@dataclass(frozen=True, kw_only=True)
class Product:
    """A reserve as a limited battery sees it: each MW binds `factor` MW in its direction(s), `opposite` MW in the other, and `hours` of full delivery."""

    name: str
    up: bool
    down: bool
    hours: float
    factor: float
    opposite: float
    minimum_mw: float
    step_mw: float
    source: str
    confidence: str


@dataclass(frozen=True, kw_only=True)
class Market:
    """Rules of a market as data: `rules` to be met, `products` for limited batteries, `families` of payments for one thing, `promises` of power."""

    name: str
    region: str
    currency: str
    date: object
    story: str
    rules: list = field(default_factory=list)
    products: list = field(default_factory=list)
    families: dict = field(default_factory=dict)
    promises: dict = field(default_factory=dict)
    settlement: dict = field(default_factory=dict)

    def __post_init__(self):
        known = {each.name for each in fields(Aggregation)}
        for rule in self.rules:
            names = {rule["field"], *rule.get("when", {})}
            if names - known or rule["test"] not in _TESTS or rule["confidence"] not in _CONFIDENCE:
                raise ValueError(f"the rules of {self.name} hold one that cannot be read: {rule}")

    def product(self, name):
        """One of the market's products, or a ValueError that lists them."""
        found = {each.name: each for each in self.products}
        if name not in found:
            raise ValueError(
                f"{self.name} has no product {name!r}; it has {', '.join(found) or 'none for limited batteries'}"
            )
        return found[name]


def markets(region=None):
    """Names of markets whose rules are here, all or those of one region ("North America", "Europe", "Great Britain")."""
    names = sorted(path.stem for path in _RULES.glob("*.toml") if path.stem != "history")
    return [name for name in names if region is None or market(name).region == region]


def market(name):
    """Read a market's rules from `v2gbook/data/rules`; each tells its source, and whether it was read or is from memory."""
    if name not in markets():
        raise ValueError(f"there are no rules {name!r}; there are {', '.join(markets())}")
    raw = tomllib.loads((_RULES / f"{name}.toml").read_text(encoding="utf-8"))
    return Market(**{**raw, "products": [Product(**each) for each in raw.get("products", [])]})


def eligible(aggregation, market):
    """What stands between an aggregation and a market: a sentence (str) for each rule that is broken, in a list; empty if it may sell."""
    broken = []
    for rule in market.rules:
        applies = all(
            getattr(aggregation, name) == want
            or (isinstance(want, str) and want in getattr(aggregation, name))
            for name, want in rule.get("when", {}).items()
        )
        have = getattr(aggregation, rule["field"])
        if applies and not _TESTS[rule["test"]](have, rule["value"]):
            memory = "" if rule["confidence"] == "read" else f" ({rule['confidence']})"
            shown = (
                ", ".join(have)
                if isinstance(have, tuple)
                else f"{have:g}"
                if not isinstance(have, bool)
                else {True: "yes", False: "no"}[have]
            )
            broken.append(
                f"{market.name}: {rule['says']}; here {rule['field']} is {shown}{memory}."
            )
    return broken


def double_counts(lines, market):
    """Find what is paid twice in a statement of many payers.

    Parameters
    ----------
    lines : DataFrame
        A row a payment: `car`, `hour`, `service`, `payer`, `aggregator`, `kw` (paid for), `metered_kw` (what the car's own meter saw), `rating_kw`.
    market : Market
        Its families of services count; a service in no family stands for itself.

    Returns
    -------
    list of str
        A sentence for each double count. Several services at once are none, as long as the kilowatts are not the same.
    """
    kw, metered, rating = _read(
        lines,
        {"kw": {"ge": 0}, "metered_kw": {"ge": 0}, "rating_kw": {"gt": 0}},
        ("car", "hour", "service", "payer", "aggregator"),
    )
    family_of = {
        service: family for family, members in market.families.items() for service in members
    }
    groups = market.promises.get("together", [])
    promised = [family for group in groups for family in group]
    table = lines.assign(
        kw=kw,
        metered_kw=metered,
        rating_kw=rating,
        family=[family_of.get(service, service) for service in lines.service],
    )
    found = []
    for (hour, car), group in table.groupby(["hour", "car"], sort=True):
        where = f"Car {car}, hour {hour}: "
        if group.aggregator.nunique() > 1:
            found.append(
                f"{where}sold by {' and by '.join(sorted(map(str, group.aggregator.unique())))} at once."
            )
        for family, rows in group[~group.family.isin(promised)].groupby("family"):
            if rows.kw.sum() > rows.metered_kw.max() + 1e-9:
                payers = " and ".join(f"{row.payer} ({row.service})" for row in rows.itertuples())
                found.append(
                    f"{where}{family} is paid for {rows.kw.sum():g} kW by {payers}, but the car's meter saw {rows.metered_kw.max():g} kW."
                )
        for together in groups:
            rows = group[group.family.isin(together)]
            if rows.kw.sum() > rows.rating_kw.max() + 1e-9:
                names = " and ".join(
                    f"{row.kw:g} kW of {row.service} to {row.payer}" for row in rows.itertuples()
                )
                found.append(
                    f"{where}promised are {names}, {rows.kw.sum():g} kW from a charger of {rows.rating_kw.max():g} kW."
                )
    return found


@dataclass(frozen=True, kw_only=True)
class CarsNeeded:
    """Cars that must be present, cars to sign up, and what a calculation with means would say."""

    present: int
    cars: int
    cars_by_mean: int


def cars_needed(offer_kw, car_kw, availability, reliability=0.9):
    r"""Cars to sign up so that an offer holds with a `reliability`, each car there with its `availability` by itself (else it is too few, chapter 10).

    .. math:: \min N:\ \Pr\big(\mathrm{Bin}(N, p) \ge \lceil P/P_1 \rceil\big) \ge q            (11.9)
    """
    need = math.ceil(
        checked("offer_kw", offer_kw, "kW", gt=0) / checked("car_kw", car_kw, "kW", gt=0) - 1e-9
    )
    p, q = (
        checked("availability", availability, "(a fraction)", gt=0, lt=1),
        checked("reliability", reliability, "(a fraction)", gt=0, lt=1),
    )
    tried = np.arange(need, math.ceil((2 * need + 200) / p))
    holds = betainc(need, tried - need + 1, p) >= q  # the binomial tail
    return CarsNeeded(
        present=need, cars=int(tried[np.argmax(holds)]), cars_by_mean=math.ceil(need / p - 1e-9)
    )  # eq. (11.9)


# --------------------------------------------------------------------------------------- behind the meter, or in front


@dataclass(frozen=True, kw_only=True)
class MeterValue:
    """What the same energy earns behind a customer's meter, and in front of it."""

    behind: float
    front: float


def meter_value(load_kw, p_kw, dt_h, *, retail_per_kwh, export_per_kwh, wholesale_per_kwh):
    r"""The meter is the boundary: behind it a discharge first avoids a purchase, and only the rest is sold.

    .. math:: V_{behind} = \sum_k \Delta t\,\big(\pi_r\,(g_k(0) - g_k(p)) + \pi_x\,(x_k(p) - x_k(0))\big),\quad V_{front} = \sum_k \Delta t\,\pi_w\,p_k            (11.10)

    Parameters
    ----------
    load_kw, p_kw : array, shape (steps,)
        Load of the site, and power of the cars; > 0 discharges. The site draws g = max(load - p, 0) and gives x = max(p - load, 0). [kW]
    dt_h : float
        [h]
    retail_per_kwh, export_per_kwh, wholesale_per_kwh : float or array
        Bought behind the meter, sold from behind it, and in the market.
    """
    load, p = np.asarray(checked("load_kw", load_kw, "kW")), np.asarray(checked("p_kw", p_kw, "kW"))
    kwh = checked("dt_h", dt_h, "h", gt=0)
    avoided, sold = (
        np.maximum(load, 0) - np.maximum(load - p, 0),
        np.maximum(p - load, 0) - np.maximum(-load, 0),
    )
    behind = avoided * checked("retail_per_kwh", retail_per_kwh) + sold * checked(
        "export_per_kwh", export_per_kwh
    )
    return MeterValue(
        behind=float(behind.sum() * kwh),
        front=float(np.sum(p * checked("wholesale_per_kwh", wholesale_per_kwh)) * kwh),
    )  # eq. (11.10)


def building(start, days, rng):
    """A SYNTHETIC office, hour by hour, with `load_kw` and `temp_c`.

    It draws 40 kW always, 60 kW more on weekdays from 8 to 18 o'clock, 2.5 kW per kelvin above 18 °C then, and 3 % of noise. The air has 21 °C, 6 °C more or less
    by day and night, and a weather that remembers 70 % of yesterday (standard deviation 3 °C).
    """
    days = int(checked("days", days, "days", ge=1))
    time = pd.date_range(start, periods=24 * days, freq="h", name="time")
    weather, shocks = np.empty(days), rng.standard_normal(days)
    for day in range(days):
        weather[day] = (
            0.7 * weather[day - 1] + 3 * math.sqrt(1 - 0.7**2) * shocks[day]
            if day
            else 3 * shocks[0]
        )
    temp = 21 + 6 * np.cos(2 * np.pi * (time.hour - 15) / 24) + np.repeat(weather, 24)
    busy = (time.day_of_week < 5) & (time.hour >= 8) & (time.hour < 18)
    load = (40 + busy * (60 + 2.5 * np.maximum(temp - 18, 0))) * (
        1 + 0.03 * rng.standard_normal(len(time))
    )
    return pd.DataFrame({"load_kw": load, "temp_c": temp}, index=time)


def _by_day(series, name="meter_kw"):
    """Hours as columns, days as rows; a table that is so already stays."""
    if isinstance(series, pd.DataFrame):
        return series
    checked(name, series.to_numpy())
    table = pd.DataFrame(
        {"day": series.index.normalize(), "hour": series.index.hour, "value": series.to_numpy()}
    )
    if table.duplicated(["day", "hour"]).any() or (table.groupby("day").hour.count() < 24).any():
        raise ValueError(f"{name} must have 24 hours on each day, each of them once")
    return table.pivot(index="day", columns="hour", values="value")


def _like_days(days, day, event_days):
    """Days before `day`, of its kind (weekday or weekend), without events."""
    day, events = pd.Timestamp(day), pd.DatetimeIndex(event_days)
    if day not in days:
        raise ValueError(
            f"there is no day {day:%Y-%m-%d} in the data, which run from {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}"
        )
    return days[
        (days < day) & ((days.day_of_week >= 5) == (day.day_of_week >= 5)) & ~days.isin(events)
    ]


def high_5_of_10(meter_kw, day, hours, *, event_days=(), adjust_cap=None):
    r"""What a site would have drawn: the mean of the five highest of the last ten like days. [kW, index hour]

    .. math:: \hat L_h = \alpha\,\tfrac15 \sum_{i \in H_5} L_{i,h},\qquad \alpha = \operatorname{clip}\Big(\frac{\sum_{w} L_w}{\sum_{w} \hat L_w},\ 1 \pm c\Big)            (11.11)

    Parameters
    ----------
    meter_kw : Series, index of hours
        What the site's meter saw; local hours without a time zone, 24 a day. [kW]
    day : str or date
        Day of the event.
    hours : list of int
        Hours of the event, 0..23, in order. The highest days are those with most load in these hours.
    event_days : list of dates
        They do not count among the ten. A car that serves every day has no other days: give () then.
    adjust_cap : float, optional
        c of the same-day adjustment, with the two hours w that begin four hours before the event. None: no adjustment, alpha = 1.

    References
    ----------
    .. [1] High 5 of 10 weekdays, adjusted for weather: PG&E, Power Saver questions (read). The window w and a cap of 20 %: NYISO (from memory).
    """
    table, hours = _by_day(meter_kw), list(hours)
    last = _like_days(table.index, day, event_days)[-10:]
    if len(last) < 10:
        raise ValueError(
            f"only {len(last)} like days without an event lie before {pd.Timestamp(day):%Y-%m-%d}; ten are needed"
        )
    highest = table.loc[last, hours].mean(axis=1).nlargest(5).index
    usual, ratio = table.loc[highest].mean(), 1.0
    if adjust_cap is not None:
        cap, window = (
            checked("adjust_cap", adjust_cap, "(a fraction)", ge=0, lt=1),
            [hours[0] - 4, hours[0] - 3],
        )
        if window[0] < 0:
            raise ValueError(
                f"hours begin at {hours[0]}; an adjustment needs four hours of the same day before them"
            )
        ratio = float(
            np.clip(
                table.loc[pd.Timestamp(day), window].sum() / usual[window].sum(), 1 - cap, 1 + cap
            )
        )
    return (usual[hours] * ratio).rename("baseline_kw")  # eq. (11.11)


def regression_baseline(meter_kw, temp_c, day, hours, *, event_days=(), base_c=18.0):
    r"""What a site would have drawn: for each hour a level, and a slope with the warmth of the air, fitted to all earlier like days (ten or more).

    .. math:: \hat L_{i,h} = a_h + b_h\,\max(T_{i,h} - T_0,\ 0)            (11.12)

    `temp_c` is a Series like `meter_kw`, `base_c` is T0, where cooling begins [°C]; all else as in `high_5_of_10`.
    """
    table, warmth = (
        _by_day(meter_kw),
        (_by_day(temp_c, "temp_c") - checked("base_c", base_c, "°C")).clip(lower=0),
    )
    past = _like_days(table.index, day, event_days)
    if len(past) < 10:
        raise ValueError(
            f"only {len(past)} like days without an event lie before {pd.Timestamp(day):%Y-%m-%d}; ten are needed"
        )
    result = {}
    for hour in hours:
        design = np.column_stack([np.ones(len(past)), warmth.loc[past, hour]])
        level, slope = np.linalg.lstsq(design, table.loc[past, hour], rcond=None)[0]
        result[hour] = level + slope * warmth.loc[pd.Timestamp(day), hour]  # eq. (11.12)
    return pd.Series(result, name="baseline_kw").rename_axis("hour")


def metering(site, car_kw, days, hours, *, price_per_kwh, event_days=None, adjust_cap=0.2):
    """What four ways of metering pay for the same cars behind a building.

    Parameters
    ----------
    site : DataFrame, index of hours
        `load_kw` without cars, `temp_c`; see `building`.
    car_kw : Series, index of hours
        What the cars give (> 0) or take (< 0). [kW]
    days, hours : list
        Days and hours of the events that are paid.
    price_per_kwh : float
        Paid for a reduction; an increase costs nothing.
    event_days : list of dates, optional
        Days kept out of the baselines. Default: `days`. Give () for a service of every day that nobody declares an event.
    adjust_cap : float
        Of the same-day adjustment.

    Returns
    -------
    DataFrame, index method
        `paid`, and `lost`, the share of the true value that is not paid (< 0: too much is).
    """
    meter, events = (
        site.load_kw - car_kw.reindex(site.index),
        days if event_days is None else event_days,
    )
    table, warm, cars, hours = (
        _by_day(meter),
        _by_day(site.temp_c, "temp_c"),
        _by_day(car_kw, "car_kw"),
        list(hours),
    )
    paid = {"own meter": 0.0, "high 5 of 10": 0.0, "high 5 of 10, adjusted": 0.0, "regression": 0.0}
    for day in pd.DatetimeIndex(days):
        now = table.loc[day, hours]
        lines = {
            "high 5 of 10": high_5_of_10(table, day, hours, event_days=events),
            "high 5 of 10, adjusted": high_5_of_10(
                table, day, hours, event_days=events, adjust_cap=adjust_cap
            ),
            "regression": regression_baseline(table, warm, day, hours, event_days=events),
        }
        paid["own meter"] += cars.loc[day, hours].clip(lower=0).sum()
        for method, line in lines.items():
            paid[method] += (line - now).clip(lower=0).sum()
    if paid["own meter"] == 0:
        raise ValueError("car_kw gives nothing in these hours; there is nothing to meter")
    result = pd.DataFrame(
        {"paid": pd.Series(paid) * checked("price_per_kwh", price_per_kwh, gt=0)}
    ).rename_axis("method")
    return result.assign(lost=1 - result.paid / result.paid["own meter"])


# ----------------------------------------------------------------------------------------- reserves from a limited battery


@dataclass(frozen=True, kw_only=True)
class Reservoir:
    """Cars as a limited battery: power out and in [MW], energy it can give and take [MWh], all at the meter."""

    out_mw: float
    in_mw: float
    give_mwh: float
    take_mwh: float

    def __post_init__(self):
        for name in ("out_mw", "in_mw", "give_mwh", "take_mwh"):
            checked(name, getattr(self, name), ge=0)


def reserve_needs(product, bid_mw=1.0):
    """What a bid binds: a Series with `out_mw`, `in_mw`, `give_mwh`, `take_mwh`, like the fields of a `Reservoir`."""
    bid = checked("bid_mw", bid_mw, "MW", ge=0)
    return (
        pd.Series(
            {
                "out_mw": product.factor if product.up else product.opposite,
                "in_mw": product.factor if product.down else product.opposite,
                "give_mwh": product.hours * product.up,
                "take_mwh": product.hours * product.down,
            },
            dtype=float,
        )
        * bid
    )


def largest_bid(reservoir, product):
    r"""Largest bid of one product in whole steps, 0 below the smallest bid. [MW]

    .. math:: P \le \min_j \frac{R_j}{n_j},\qquad R,\,n\text{: power and energy at hand, and needed per MW}            (11.13)
    """
    ratios = [
        getattr(reservoir, name) / need for name, need in reserve_needs(product).items() if need > 0
    ]
    bid = round(
        math.floor(min(ratios) / product.step_mw + 1e-9) * product.step_mw, 9
    )  # eq. (11.13)
    return bid if bid >= product.minimum_mw else 0.0


def bids_hold(reservoir, market, bids):
    """Whether bids (name of product to MW) hold together: what one product binds is not free for another.

    A DataFrame with a row each for power out and in, energy to give and to take: `needed`, `there`, `holds`.
    """
    needed = sum(reserve_needs(market.product(name), bid) for name, bid in bids.items())
    there = pd.Series({name: getattr(reservoir, name) for name in needed.index})
    return pd.DataFrame({"needed": needed, "there": there, "holds": needed <= there + 1e-9})


# ------------------------------------------------------------------------------------------------ the queue for a connection


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Projects that ask for a connection: screens let some pass, the others wait for a study.

    `arrivals_per_year` come (Poisson), of `sizes_kw` in parts `size_share`; each kind passes the screens with probability `pass_share`. Screens take
    `screen_years`. Who fails waits, first come, first served, for one of `teams`; a study takes `study_years` in the mean, with `study_cv` the standard
    deviation over the mean: 1 exponential, 0 always the same (a gamma distribution).
    """

    arrivals_per_year: float
    sizes_kw: tuple
    size_share: tuple
    pass_share: tuple
    study_years: float
    study_cv: float = 1.0
    teams: int = 1
    screen_years: float = 0.06

    def __post_init__(self):
        checked("arrivals_per_year", self.arrivals_per_year, "1/year", gt=0)
        checked("sizes_kw", self.sizes_kw, "kW", gt=0)
        share = np.asarray(checked("size_share", self.size_share, "(a fraction)", ge=0, le=1))
        checked("pass_share", self.pass_share, "(a fraction)", ge=0, le=1)
        checked("study_years", self.study_years, "years", gt=0)
        checked("study_cv", self.study_cv, ge=0)
        checked("screen_years", self.screen_years, "years", ge=0)
        if (
            not len(self.sizes_kw) == len(self.size_share) == len(self.pass_share)
            or abs(share.sum() - 1) > 1e-9
        ):
            raise ValueError(
                "sizes_kw, size_share and pass_share must be equally long, and size_share must add up to 1"
            )
        if self.teams != int(self.teams) or self.teams < 1:
            raise ValueError(f"teams is {self.teams}; it must be a whole number, at least 1")

    @property
    def studied_per_year(self):
        """Projects that fail the screens. [1/year]"""
        return self.arrivals_per_year * (1 - float(np.dot(self.size_share, self.pass_share)))

    @property
    def utilisation(self):
        """Work that arrives over work that the teams can do; at 1 the queue grows without end."""
        return self.studied_per_year * self.study_years / self.teams


def simulate(queue, projects, rng):
    """Let so many projects arrive and wait: `arrives_year`, `size_kw`, `fast` (passed the screens), `wait_years` (for a team to be free), `done_year`."""
    count = int(checked("projects", projects, ge=1))
    arrives = np.cumsum(rng.exponential(1 / queue.arrivals_per_year, count))
    kind = rng.choice(len(queue.sizes_kw), count, p=queue.size_share)
    fast = rng.random(count) < np.asarray(queue.pass_share)[kind]
    shape = queue.study_cv**-2 if queue.study_cv > 0 else math.inf
    study = (
        rng.gamma(shape, queue.study_years / shape, count)
        if math.isfinite(shape)
        else np.full(count, queue.study_years)
    )
    ready, wait, free = arrives + queue.screen_years, np.zeros(count), [0.0] * int(queue.teams)
    for i in np.flatnonzero(~fast):
        begins = max(ready[i], heapq.heappop(free))
        heapq.heappush(free, begins + study[i])
        wait[i] = begins - ready[i]
    return pd.DataFrame(
        {
            "arrives_year": arrives,
            "size_kw": np.asarray(queue.sizes_kw)[kind],
            "fast": fast,
            "wait_years": wait,
            "done_year": ready + wait + np.where(fast, 0.0, study),
        }
    )


def _busy(queue):
    """Utilisation, below 1."""
    if queue.utilisation >= 1:
        raise ValueError(
            f"the teams are asked for {queue.utilisation:.2f} of what they can do; at 1 and above the queue grows without end"
        )
    return queue.utilisation


def erlang_wait(queue):
    r"""Mean wait for one of c teams, if studies are exponential (M/M/c). [years]

    .. math:: W = \frac{C}{c\mu - \lambda},\qquad C = \frac{\frac{a^c}{c!}}{(1 - \rho)\sum_{k<c} \frac{a^k}{k!} + \frac{a^c}{c!}},\quad a = \frac\lambda\mu = c\,\rho            (11.14)
    """
    if queue.study_cv != 1:
        raise ValueError(
            f"study_cv is {queue.study_cv:g}; Erlang's formula is for exponential studies, study_cv = 1"
        )
    rho, c = _busy(queue), int(queue.teams)
    load = rho * c
    blocked = math.exp(c * math.log(load) - load - math.lgamma(c + 1)) if load > 0 else 0.0
    delayed = blocked / ((1 - rho) * float(gammaincc(c, load)) + blocked)
    return delayed * queue.study_years / (c * (1 - rho))  # eq. (11.14)


def pollaczek_wait(queue):
    r"""Mean wait for the one team, whatever the studies' distribution (M/G/1; Pollaczek and Khinchine). [years]

    .. math:: W = \frac{\rho\,\tau\,(1 + v^2)}{2\,(1 - \rho)}            (11.15)
    """
    if queue.teams != 1:
        raise ValueError(f"teams is {queue.teams}; the formula is for one team")
    rho = _busy(queue)
    return rho * queue.study_years * (1 + queue.study_cv**2) / (2 * (1 - rho))  # eq. (11.15)


def waiting_cost(rate, flows, wait_years, *, spent=0.0):
    r"""Value that a wait of T years takes from a project, of which S (`spent`) is paid before the wait.

    .. math:: K = (NPV + S)\,\big(1 - (1 + d)^{-T}\big)            (11.16)

    `rate` and `flows` are those of `arbitrage.net_present_value`, without the wait; `wait_years` may be an array.
    """
    worth = net_present_value(rate, flows) + checked("spent", spent, ge=0)
    return plain(
        worth * (1 - (1 + rate) ** -np.asarray(checked("wait_years", wait_years, "years", ge=0)))
    )  # eq. (11.16)


# ------------------------------------------------------------------------------------------- a project, and a contract


@dataclass(frozen=True, kw_only=True)
class Project:
    """Cars in front of the meter as an investment of `capex`.

    If new and always available they earn `revenue_per_year` and take `mwh_per_year` out of batteries, for which owners get `wear_per_mwh`. They are there with
    `availability`, and `fade_per_year` of power and energy is lost each year. `fixed_per_year` pays meters, connection, staff.
    """

    capex: float
    fixed_per_year: float
    revenue_per_year: float
    mwh_per_year: float
    wear_per_mwh: float
    availability: float
    fade_per_year: float
    years: int

    def __post_init__(self):
        for name in ("capex", "fixed_per_year", "revenue_per_year", "mwh_per_year", "wear_per_mwh"):
            checked(name, getattr(self, name), ge=0)
        checked("availability", self.availability, "(a fraction)", ge=0, le=1)
        checked("fade_per_year", self.fade_per_year, "(a fraction)", ge=0, lt=1)
        checked("years", self.years, "years", ge=1)


def cash_flow(project):
    r"""A project's years: `invested`, `revenue`, `wear`, `fixed` (costs < 0), `net`, `cumulated`.

    .. math:: F_0 = -I,\qquad F_k = A\,(1 - \varphi)^{k-1}\,(R - w\,E) - O            (11.17)
    """
    year = np.arange(int(project.years) + 1)
    runs = np.where(
        year > 0, project.availability * (1 - project.fade_per_year) ** np.maximum(year - 1, 0), 0.0
    )
    table = pd.DataFrame(
        {
            "invested": np.where(year == 0, -project.capex, 0.0),
            "revenue": runs * project.revenue_per_year,
            "wear": -runs * project.wear_per_mwh * project.mwh_per_year,
            "fixed": np.where(year > 0, -project.fixed_per_year, 0.0),
        },
        index=pd.Index(year, name="year"),
    )
    return table.assign(net=table.sum(axis=1)).assign(
        cumulated=lambda t: t.net.cumsum()
    )  # eq. (11.17)


def internal_rate(flows):
    r"""Discount rate at which a row of payments is worth nothing; ValueError unless they turn from negative to positive exactly once. [1/year]

    .. math:: \sum_k \frac{F_k}{(1 + i)^k} = 0            (11.18)
    """
    flows = np.atleast_1d(checked("flows", flows))
    signs = np.sign(flows[flows != 0])
    if len(signs) < 2 or signs[0] > 0 or (np.diff(signs) != 0).sum() != 1:
        raise ValueError(
            "flows must turn from negative to positive exactly once; otherwise no single rate exists"
        )
    if np.polyval(flows[::-1], 100.0) <= 0:
        raise ValueError("flows give back next to nothing: the rate lies below -0.99 a year")
    return (
        1 / float(brentq(lambda factor: np.polyval(flows[::-1], factor), 1e-9, 100.0, xtol=1e-14))
        - 1
    )  # eq. (11.18)


def payback_years(flows):
    """Years until the payments add up to zero, within a year by a straight line; infinite if they never do."""
    total = np.cumsum(np.atleast_1d(checked("flows", flows)))
    if total[0] >= 0:
        return 0.0
    if (total < 0).all():
        return math.inf
    after = int(np.argmax(total >= 0))
    return after - 1 + float(-total[after - 1] / (total[after] - total[after - 1]))


@dataclass(frozen=True, kw_only=True)
class Contract:
    """Between an aggregator and the owner of a car.

    The owner gets `owner_share` of the market's revenue and `fixed_per_year` whatever happens, takes the car back for `opt_out` of the time, keeps a range
    `floor` (state of charge that is never touched), and the maker's warranty lets `warranty_kwh` a year leave the battery for the grid.
    """

    owner_share: float
    fixed_per_year: float = 0.0
    opt_out: float = 0.0
    floor: float = 0.2
    warranty_kwh: float = math.inf

    def __post_init__(self):
        for name in ("owner_share", "opt_out", "floor"):
            checked(name, getattr(self, name), "(a fraction)", ge=0, le=1)
        checked("fixed_per_year", self.fixed_per_year, ge=0)
        checked("warranty_kwh", self.warranty_kwh, "kWh/year", ge=0, finite=False)


@dataclass(frozen=True, kw_only=True)
class CarService:
    """What one car's service is worth if nothing limits it, and what it costs whom.

    The market pays `revenue_per_year` for `out_kwh` a year out of the battery; the service `needs` that share of the battery. The owner pays `wear_per_kwh`
    and `owner_per_year` (bother, charger, insurance), the aggregator `aggregator_per_year` (metering, telemetry, platform).
    """

    revenue_per_year: float
    out_kwh: float
    needs: float
    wear_per_kwh: float
    owner_per_year: float
    aggregator_per_year: float

    def __post_init__(self):
        for name in ("out_kwh", "wear_per_kwh", "owner_per_year", "aggregator_per_year"):
            checked(name, getattr(self, name), ge=0)
        checked("revenue_per_year", self.revenue_per_year, gt=0)
        checked("needs", self.needs, "(a fraction)", gt=0, le=1)


def usable_share(contract, service):
    r"""Part of the service that a contract leaves.

    .. math:: u = \min\Big((1 - o)\,\min\big(1, \tfrac{1 - s_0}{n}\big),\ \frac{W}{E}\Big)            (11.19)
    """
    free = (1 - contract.opt_out) * min(1.0, (1 - contract.floor) / service.needs)
    return (
        min(free, contract.warranty_kwh / service.out_kwh) if service.out_kwh > 0 else free
    )  # eq. (11.19)


def split_value(contract, service):
    r"""What owner and aggregator each earn in a year, line by line, and what is `left`; who has less than zero left walks away.

    .. math:: V_o = a\,u R + F - u\,w E - c_o,\qquad V_a = (1 - a)\,u R - F - c_a            (11.20)
    """
    used = usable_share(contract, service)
    revenue = used * service.revenue_per_year
    lines = pd.DataFrame(
        {
            "owner": {
                "revenue": contract.owner_share * revenue,
                "fixed": contract.fixed_per_year,
                "wear": -used * service.wear_per_kwh * service.out_kwh,
                "running": -service.owner_per_year,
            },
            "aggregator": {
                "revenue": (1 - contract.owner_share) * revenue,
                "fixed": -contract.fixed_per_year,
                "wear": 0.0,
                "running": -service.aggregator_per_year,
            },
        }
    )
    lines.loc["left"] = lines.sum()  # eq. (11.20)
    return lines.rename_axis("line")


def share_range(contract, service):
    """Shares at which both stay: (least for the owner, most for the aggregator); no deal where the first is above the second."""
    used = usable_share(contract, service)
    if used == 0:
        return math.inf, -math.inf
    revenue = used * service.revenue_per_year
    least = (
        used * service.wear_per_kwh * service.out_kwh
        + service.owner_per_year
        - contract.fixed_per_year
    ) / revenue
    return max(0.0, least), 1 - (contract.fixed_per_year + service.aggregator_per_year) / revenue


# ----------------------------------------------------------------------------------------------------- one car's year


@dataclass(frozen=True, kw_only=True)
class Regulation:
    """A year of regulation by one car.

    `p_kw` is sold for `plugged_h` a year at `capacity_per_kw_h`, times the performance `score`. `dispatch` is the energy given over power times hours; it is
    sold at `sell_per_kwh` and bought back at `buy_per_kwh`, and wears the battery by `wear_per_kwh` out of it (chapter 9). `eta_charge` is meter to battery.
    """

    p_kw: float
    plugged_h: float
    capacity_per_kw_h: float
    sell_per_kwh: float
    buy_per_kwh: float
    dispatch: float
    score: float = 1.0
    wear_per_kwh: float = 0.0
    eta_charge: float = 1.0
    eta_discharge: float = 1.0

    def __post_init__(self):
        checked("plugged_h", self.plugged_h, "h", ge=0, le=8784)
        checked("score", self.score, "(a fraction)", ge=0, le=1)
        checked("wear_per_kwh", self.wear_per_kwh, "per kWh")
        for name in ("eta_charge", "eta_discharge"):
            checked(name, getattr(self, name), "(a fraction)", gt=0, le=1)


def car_year(known, regulation, *, aggregator_share, metering_per_year):
    r"""One car's year, finished: what chapters 8 and 9 left, and the market on top.

    .. math:: V = \sum_i K_i + (1 - a)\,(\sigma\,\pi_{cap} + \pi_s R)\,P t - R P t\,\Big(\frac{\pi_b}{\eta_c \eta_d} + \frac{w}{\eta_d}\Big) - M            (11.21)

    Parameters
    ----------
    known : dict
        Lines that are known, costs negative: {"spread": ..., "demand charge": ..., "wear": ..., "hardware": ...}. They must be earned with other
        kilowatts, or in other hours, than the regulation; `double_counts` finds what is not.
    regulation : Regulation
    aggregator_share : float
        Of what the market pays for regulation. 0..1
    metering_per_year : float
        The car's own meter, telemetry, data.

    Returns
    -------
    DataFrame, index line
        `amount` of each line, and `left` after it. The last row of `left` is the year.
    """
    sold_kwh = regulation.dispatch * regulation.p_kw * regulation.plugged_h
    capacity, energy = (
        regulation_revenue(
            regulation.p_kw,
            regulation.plugged_h,
            capacity_per_kw_h=cap,
            energy_per_kwh=en,
            dispatch=regulation.dispatch,
        )
        for cap, en in (
            (regulation.score * regulation.capacity_per_kw_h, 0.0),
            (0.0, regulation.sell_per_kwh),
        )
    )
    share = checked("aggregator_share", aggregator_share, "(a fraction)", ge=0, le=1)
    lines = {
        **{name: checked(name, amount) for name, amount in known.items()},
        "regulation, capacity": capacity,
        "regulation, energy": energy,
        "bought back": -sold_kwh
        / (regulation.eta_charge * regulation.eta_discharge)
        * checked("buy_per_kwh", regulation.buy_per_kwh),
        "wear of regulation": -sold_kwh / regulation.eta_discharge * regulation.wear_per_kwh,
        "aggregator": -share * (capacity + energy),
        "metering": -checked("metering_per_year", metering_per_year, ge=0),
    }
    table = pd.DataFrame({"amount": pd.Series(lines, dtype=float)}).rename_axis("line")
    return table.assign(left=table.amount.cumsum())  # eq. (11.21)


def anchors():
    """What cars are said to have earned: a row a report, `low` and `high` per car and year, with `year`, `cars`, `currency` and `source`."""
    table = pd.DataFrame(
        tomllib.loads((_RULES / "history.toml").read_text(encoding="utf-8"))["anchors"]
    ).set_index("name")
    return table.assign(low=table.low / table.cars, high=table.high / table.cars)
