r"""Topic 08, arbitrage: what a plugged-in car earns and saves.

Three groups of functions, from one line of arithmetic to the schedule of a year:

- closed forms: `spread_profit`, `demand_saving` and their like;
- bills as utilities write them: `tariff`, `rates`, `bill`;
- schedules: `optimise` is a linear programme given straight to HiGHS, `rolling` plans again and
  again on forecasts, `follow` obeys a rule of thumb. All three return a `Plan`, priced in the same
  way, so that they can be compared.

p > 0 flows from the vehicle to the grid. Prices are per kWh at the meter; money is in the currency
of the prices. `Storage` comes from topic 04; its `eta_charge` is grid to battery and
`eta_discharge` battery to grid.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from ._check import (
    FloatOrArray,
    alike,
    checked,
    columns,
    finite_result,
    fraction,
    instance,
    instances,
    keep,
    one,
    one_fraction,
    one_of,
    plain,
    read,
    row,
    stamps,
    together,
    whole,
)
from .charger import Storage

_MOST = 1e9  # of a price per kWh or kW, and of a power in kW: the solver takes 1e20 for infinite
_STEP: dict[str, Any] = {"unit": "h", "ge": 1e-4, "le": 24.0}  # length of a step
_SOC = {"ge": -1e-9, "le": 1 + 1e-9}  # what a schedule computed may be off by rounding

# ------------------------------------------------------------------------------- closed forms


def spread_profit(
    sold_kwh: ArrayLike,
    buy_per_kwh: ArrayLike,
    sell_per_kwh: ArrayLike,
    *,
    eta_round_trip: ArrayLike,
) -> FloatOrArray:
    r"""Return the profit of buying low and selling high once, before wear.

    .. math:: \Pi = E\,\pi_{sell} - \frac{E}{\eta_{rt}}\,\pi_{buy}            (8.1)

    Parameters
    ----------
    sold_kwh : float or array
        Energy sold, at the meter, at least 0 [kWh].
    buy_per_kwh, sell_per_kwh : float or array
        What a kilowatt-hour costs, and what it earns [per kWh].
    eta_round_trip : float or array
        Efficiency from the meter to the battery and back, a fraction above 0.

    Returns
    -------
    float or array
        In the currency of the prices; negative when the losses cost more than the spread earns.

    Raises
    ------
    ValueError
        If an argument is no number, energy is negative, the efficiency is no fraction, or the
        shapes do not fit each other.

    Examples
    --------
    >>> round(spread_profit(20.0, 0.08, 0.20, eta_round_trip=0.9), 2)
    2.22
    """
    eta = fraction("eta_round_trip", eta_round_trip, gt=0)
    sold = checked("sold_kwh", sold_kwh, "kWh", ge=0)
    buy = checked("buy_per_kwh", buy_per_kwh, "per kWh")
    sell = checked("sell_per_kwh", sell_per_kwh, "per kWh")
    together(sold_kwh=sold, buy_per_kwh=buy, sell_per_kwh=sell, eta_round_trip=eta)
    with np.errstate(over="ignore"):
        bought = np.divide(sold, eta)
        profit = np.multiply(sold, sell) - bought * buy  # eq. (8.1)
    return finite_result("eta_round_trip", profit)


def implied_efficiency(
    profit: ArrayLike, sold_kwh: ArrayLike, buy_per_kwh: ArrayLike, sell_per_kwh: ArrayLike
) -> FloatOrArray:
    r"""Return the round-trip efficiency that explains a stated profit: eq. (8.1) solved for it.

    .. math:: \eta_{rt} = \frac{E\,\pi_{buy}}{E\,\pi_{sell} - \Pi}            (8.2)

    Parameters
    ----------
    profit : float or array
        Stated profit, in the currency of the prices.
    sold_kwh : float or array
        Energy sold, at the meter, above 0 [kWh].
    buy_per_kwh, sell_per_kwh : float or array
        What a kilowatt-hour costs (above 0), and what it earns [per kWh].

    Returns
    -------
    float or array
        Efficiency from the meter to the battery and back, a fraction.

    Raises
    ------
    ValueError
        If no efficiency between 0 and 1 explains the profit, an argument is no number or out of
        range, or the shapes do not fit each other.

    Examples
    --------
    >>> round(implied_efficiency(2.22, 20.0, 0.08, 0.20), 3)
    0.899
    """
    stated = np.asarray(checked("profit", profit))
    sold = np.asarray(checked("sold_kwh", sold_kwh, "kWh", gt=0))
    buy = np.asarray(checked("buy_per_kwh", buy_per_kwh, "per kWh", gt=0))
    sell = np.asarray(checked("sell_per_kwh", sell_per_kwh, "per kWh"))
    together(profit=stated, sold_kwh=sold, buy_per_kwh=buy, sell_per_kwh=sell)
    spent = sold * sell - stated
    lossless = sold * buy  # what the purchase costs without losses
    impossible = (spent <= 0) | (lossless > spent * (1 + 1e-12))
    if impossible.any():
        most = sold * (sell - buy)
        first = [array[impossible][0] for array in np.broadcast_arrays(stated, buy, sell, most)]
        raise ValueError(
            "profit = {:g} needs an efficiency outside 0..1: with buy_per_kwh = {:g} and "
            "sell_per_kwh = {:g} the spread gives at most {:g}, without losses".format(*first)
        )
    return plain(lossless / spent)  # eq. (8.2)


def demand_saving(
    load_kw: ArrayLike, help_kw: ArrayLike, price_per_kw: float, *, interval_steps: int
) -> float:
    r"""Return what a demand charge falls by when a car covers part of a load.

    .. math::
        \Delta K = \pi_D\left(\max_k \bar L_k - \max_k \overline{(L - p)}_k\right)            (8.3)

    Parameters
    ----------
    load_kw : array, shape (steps,)
        Load of the billing period [kW].
    help_kw : float or array, shape (steps,)
        Power of the car; > 0 discharges, < 0 charges (and may set a new peak) [kW].
    price_per_kw : float
        Demand charge for this period, at least 0 [per kW].
    interval_steps : int
        Steps in one billing interval; the meter takes their mean.

    Returns
    -------
    float
        In the currency of the price; negative when charging sets a new peak.

    Raises
    ------
    ValueError
        If the two powers have different lengths, the steps do not fill whole billing intervals,
        or an argument is no number or out of range.

    Examples
    --------
    The load peaks at 50 kW; with 10 kW from the car it only touches 40 kW:

    >>> demand_saving([20.0, 40.0, 50.0, 30.0], [0.0, 0.0, 10.0, 0.0], 12.0, interval_steps=1)
    120.0
    """
    load = row("load_kw", load_kw, "kW")
    helped = np.asarray(checked("help_kw", help_kw, "kW"))
    if helped.ndim:
        alike(load_kw=load, help_kw=helped)
    steps = whole("interval_steps", interval_steps)
    price = one("price_per_kw", price_per_kw, "per kW", ge=0)
    peak_before = _highest_import(load, steps)
    peak_after = _highest_import(load - helped, steps)
    return price * (peak_before - peak_after)  # eq. (8.3)


def _highest_import(power_kw, interval_steps):
    """The highest mean of a billing interval; export is no import, so it counts as 0."""
    drawn = np.maximum(power_kw, 0.0)
    return float(_intervals(drawn, interval_steps).max())


def _intervals(power_kw, interval_steps):
    """The mean power of each billing interval."""
    if len(power_kw) % interval_steps:
        raise ValueError(
            f"{len(power_kw)} steps do not fill whole billing intervals "
            f"(interval_steps = {interval_steps})"
        )
    return np.reshape(power_kw, (-1, interval_steps)).mean(axis=1)


def regulation_revenue(
    p_kw: ArrayLike,
    plugged_h: ArrayLike,
    *,
    capacity_per_kw_h: ArrayLike,
    energy_per_kwh: ArrayLike,
    dispatch_ratio: ArrayLike,
) -> FloatOrArray:
    r"""Return the revenue of a regulation contract: paid for being there, and for what flows.

    .. math:: r = \pi_{cap}\,P\,t_{plug} + \pi_{el}\,R_{dc}\,P\,t_{plug}            (8.11)

    Parameters
    ----------
    p_kw : float or array
        Contracted power, at least 0 [kW].
    plugged_h : float or array
        Hours under contract, at least 0 [h].
    capacity_per_kw_h : float or array
        Price of capacity [per kW and hour].
    energy_per_kwh : float or array
        Price of energy [per kWh].
    dispatch_ratio : float or array
        Energy dispatched over energy contracted, a fraction.

    Returns
    -------
    float or array
        In the currency of the prices.

    Raises
    ------
    ValueError
        If an argument is no number or out of range, or the shapes do not fit each other.

    References
    ----------
    .. [1] Kempton and Tomic, J. Power Sources 144, 268-279, 2005, eq. (6).

    Examples
    --------
    >>> regulation_revenue(
    ...     15.0, 6570.0, capacity_per_kw_h=0.04, energy_per_kwh=0.1, dispatch_ratio=0.1
    ... )
    4927.5
    """
    power = checked("p_kw", p_kw, "kW", ge=0)
    plugged = checked("plugged_h", plugged_h, "h", ge=0)
    capacity = checked("capacity_per_kw_h", capacity_per_kw_h, "per kW and hour")
    energy = checked("energy_per_kwh", energy_per_kwh, "per kWh")
    share = fraction("dispatch_ratio", dispatch_ratio)
    together(
        p_kw=power,
        plugged_h=plugged,
        capacity_per_kw_h=capacity,
        energy_per_kwh=energy,
        dispatch_ratio=share,
    )
    contracted_kwh = np.multiply(power, plugged)
    return plain(contracted_kwh * (capacity + np.multiply(energy, share)))  # eq. (8.11)


# -------------------------------------------------------------------------------------- bills


@dataclass(frozen=True, kw_only=True)
class Tariff:
    """What a utility charges.

    A rule is a dict with the keys `months` (a list of 1 to 12), `days` ("weekdays", "weekends" or
    "all"), `from_h` and `to_h` (local clock, 0 to 24, from before to) and a price. Of the energy
    rules, the first that fits a step counts. Each demand rule is a charge of its own on the highest
    mean import of a billing interval in its hours.

    Attributes
    ----------
    name : str
        What bills and messages call the tariff.
    currency : str
        An ISO code such as "USD".
    timezone : str
        Zone of the clock that the rules mean, such as "America/Los_Angeles".
    energy : list of dict
        Rules with `price_per_kwh` [per kWh]; at least one.
    demand : list of dict
        Rules with `price_per_kw_month`, at least 0 [per kW and month]; may be empty.
    interval_min : int
        Length of a billing interval, 1 to 1440 [min].
    fixed_per_month : float
        What each month costs without any energy [per month].
    export_per_kwh : float
        What is paid for a kilowatt-hour given to the grid [per kWh].
    ratchet : float
        A month is billed at least this fraction of the highest peak of the months before, 0 to 1.
    ratchet_months : int
        How many months back the ratchet looks, at least 1.
    source : str
        Where the numbers come from.

    Raises
    ------
    ValueError
        If a field is out of range, or a rule cannot be read: the message names rule and key.
    TypeError
        If a field is of another kind, such as one rule instead of a list of rules.

    Examples
    --------
    >>> always = {"months": list(range(1, 13)), "days": "all", "from_h": 0, "to_h": 24}
    >>> flat = Tariff(
    ...     name="flat",
    ...     currency="EUR",
    ...     timezone="Europe/Amsterdam",
    ...     energy=[{**always, "price_per_kwh": 0.25}],
    ...     demand=[{**always, "price_per_kw_month": 8.0}],
    ...     interval_min=15,
    ...     fixed_per_month=10.0,
    ...     export_per_kwh=0.05,
    ...     ratchet=0.8,
    ...     ratchet_months=11,
    ...     source="invented",
    ... )
    >>> flat.demand[0]["price_per_kw_month"]
    8.0
    """

    name: str
    currency: str
    timezone: str
    energy: Sequence[Mapping[str, Any]]
    demand: Sequence[Mapping[str, Any]]
    interval_min: int = 15
    fixed_per_month: float = 0.0
    export_per_kwh: float = 0.0
    ratchet: float = 0.0
    ratchet_months: int = 11
    source: str = ""

    def __post_init__(self):
        for name in ("name", "currency", "timezone", "source"):
            instance(name, getattr(self, name), str)
        if not re.fullmatch("[A-Z]{3}", self.currency):
            raise ValueError(
                f"currency is {self.currency!r}; it must be an ISO code of three letters"
            )
        _zone(self.timezone)
        one_fraction("ratchet", self.ratchet)  # one number, and not in per cent
        keep(
            self,
            interval_min=dict(whole=True, unit="min", le=1440),
            fixed_per_month=dict(one=True, unit="per month"),
            export_per_kwh=dict(one=True, unit="per kWh", ge=-_MOST, le=_MOST),
            ratchet=dict(fraction=True),
            ratchet_months=dict(whole=True, unit="months", le=1200),
        )
        energy = _rules("energy", self.energy, "price_per_kwh", self.name, least=-_MOST)
        if not energy:
            raise ValueError(
                f"the tariff {self.name!r} has no energy periods; "
                "energy needs at least one rule with price_per_kwh"
            )
        demand = _rules("demand", self.demand, "price_per_kw_month", self.name, least=0.0)
        object.__setattr__(self, "energy", energy)
        object.__setattr__(self, "demand", demand)


def _zone(name):
    """The time zone of that name."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(
            f"timezone is {name!r}; it must be the name of a time zone such as 'Europe/Amsterdam'"
        ) from None


def _rules(kind, rules, price, tariff_name, *, least):
    """The rules of a tariff, each checked."""
    listed = instances(kind, rules, dict)
    where = [f"{kind}[{place}] of the tariff {tariff_name!r}" for place in range(len(listed))]
    return [_rule(name, rule, price, least) for name, rule in zip(where, listed)]


def _rule(where, rule, price, least):
    """A rule of a tariff, or a ValueError that says where it stands and which key is wrong."""
    keys = ("months", "days", "from_h", "to_h", price)
    missing = [key for key in keys if key not in rule]
    unknown = [str(key) for key in rule if key not in keys]
    if missing or unknown:
        wrong = f"no {', '.join(missing)}" if missing else f"the unknown key {', '.join(unknown)}"
        raise ValueError(f"{where} has {wrong}; the keys of such a rule are {', '.join(keys)}")
    if not isinstance(rule["months"], (list, tuple, range, np.ndarray)):
        raise ValueError(
            f"months in {where} is {rule['months']!r}; give a list such as [6, 7, 8, 9]"
        )
    months = [whole(f"months in {where}", month, le=12) for month in rule["months"]]
    if not months:
        raise ValueError(f"months in {where} is empty; give at least one month, 1 to 12")
    one_of(f"days in {where}", rule["days"], ("weekdays", "weekends", "all"))
    start = _number(f"from_h in {where}", rule["from_h"], "h", ge=0, le=24)
    end = _number(f"to_h in {where}", rule["to_h"], "h", ge=0, le=24)
    if start >= end:
        raise ValueError(
            f"from_h in {where} is {start:g} and to_h is {end:g}; from_h must come before to_h. "
            "Write hours over midnight as two rules"
        )
    amount = _number(f"{price} in {where}", rule[price], ge=least, le=_MOST)
    return {**rule, "months": months, "from_h": start, "to_h": end, price: amount}


def _number(name, value, unit="", **limits):
    """One number; `true` in a file is none."""
    if isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} is {value!r}; it must be a number")
    return one(name, value, unit, **limits)


def tariff(name: str) -> Tariff:
    """Return a tariff of the book's data.

    Parameters
    ----------
    name : str
        A file in `v2gbook/data/tariffs`, without its ending.

    Returns
    -------
    Tariff
        With all fields that the file gives.

    Raises
    ------
    ValueError
        If there is no tariff of that name (the message lists those that exist), or a rule of it
        cannot be read.

    Examples
    --------
    >>> tariff("sce_tou_ev_4").name
    'SCE TOU-EV-4 (March 2019)'
    """
    facts = read("tariffs", name)
    known = [field.name for field in fields(Tariff)]
    unknown = [key for key in facts if key not in known]
    if unknown:
        raise ValueError(
            f"the tariff {name!r} has the key {', '.join(unknown)}; keys are {', '.join(known)}"
        )
    return Tariff(**facts)


def rates(tariff: Tariff, time: pd.DatetimeIndex) -> pd.DataFrame:
    """Return the price of each step.

    Parameters
    ----------
    tariff : Tariff
        What the utility charges.
    time : DatetimeIndex, shape (steps,)
        Start of each step, rising. Stamps with a time zone are converted to that of the tariff;
        stamps without one are taken for the tariff's local clock.

    Returns
    -------
    DataFrame
        Index `time`, in the tariff's zone; columns `buy_per_kwh` and `sell_per_kwh` [per kWh].

    Raises
    ------
    ValueError
        If some hours have no rule (the message names the first), or the stamps do not rise.
    TypeError
        If the arguments are of another kind, such as an index of text.

    Examples
    --------
    >>> afternoon = pd.date_range("2019-07-01 11:00", periods=2, freq="h")
    >>> rates(tariff("sce_tou_ev_4"), afternoon).buy_per_kwh.tolist()
    [0.0925, 0.26668]
    """
    instance("tariff", tariff, Tariff)
    local = _local(tariff, stamps("time", time))
    buy = np.full(len(local), np.nan)
    for rule in reversed(tariff.energy):  # an earlier rule overwrites a later one
        buy[_applies(rule, local)] = rule["price_per_kwh"]
    unpriced = local[np.isnan(buy)]
    if len(unpriced):
        raise ValueError(
            f"the tariff {tariff.name!r} has no energy price for {unpriced[0]:%A %d %B, %H:%M}"
        )
    return pd.DataFrame({"buy_per_kwh": buy, "sell_per_kwh": tariff.export_per_kwh}, index=local)


def _local(tariff, time):
    """The same moments on the tariff's clock."""
    return time if time.tz is None else time.tz_convert(tariff.timezone)


def _applies(rule, time):
    """In which of these steps a rule counts."""
    clock = time.hour + time.minute / 60
    in_hours = (clock >= rule["from_h"]) & (clock < rule["to_h"])
    return np.asarray(time.month.isin(rule["months"]) & in_hours & _on(rule["days"], time))


def _on(days, time):
    """Which of these steps lie on weekdays, on weekends, or on any day."""
    if days == "all":
        return np.ones(len(time), bool)
    weekday = time.day_of_week < 5
    return weekday if days == "weekdays" else ~weekday


def bill(tariff: Tariff, import_kw: pd.Series, export_kw: pd.Series | None = None) -> pd.DataFrame:
    r"""Return the bills of some months.

    .. math::
        K = \sum_t \Delta t\,(\pi_t\,g_t^+ - \pi^{ex}_t\,g_t^-)
        + \sum_j \pi_{D,j}\,\max\!\big(\hat g_j,\ \rho\,\hat g_j^{past}\big) + K_0            (8.4)

    Parameters
    ----------
    tariff : Tariff
        What the utility charges.
    import_kw : Series
        Power drawn from the grid, at least 0, indexed by time stamps with an even step [kW].
    export_kw : Series, optional
        Power given to the grid, at least 0, with the same time stamps [kW].

    Returns
    -------
    DataFrame
        Index `month`; columns `energy`, `export` (negative), `demand`, `fixed` and `total` in the
        tariff's currency, and `peak_kw`, the highest mean of a billing interval (of a step, where
        steps are longer) in the month [kW].

    Raises
    ------
    ValueError
        If the time stamps have gaps or repeats, a power is negative or unknown, the steps do not
        fill whole billing intervals, or they are longer than these and there is a demand charge.
    TypeError
        If an argument is of another kind, such as an index of text.

    Notes
    -----
    A ratchet remembers the peaks of its own rule's months; a seasonal charge is not carried into
    other months. Billing intervals are counted from the first time stamp on. Each month that the
    load touches pays the fixed charge in full.

    Examples
    --------
    >>> day = pd.date_range("2019-07-01", periods=96, freq="15min")
    >>> drawn = pd.Series(5.0, day)
    >>> given = pd.Series(0.0, day)
    >>> bill(tariff("sce_tou_ev_4"), drawn, given).total.round(2).tolist()
    [92.24]
    """
    instance("tariff", tariff, Tariff)
    dt_h = _even_step("the index of import_kw", instance("import_kw", import_kw, pd.Series).index)
    drawn = row("import_kw", import_kw.to_numpy(), "kW", ge=0, le=_MOST)
    given = _export(import_kw, export_kw)
    price = rates(tariff, import_kw.index)
    interval_steps = _interval_steps(tariff, dt_h, len(drawn))
    costs = {
        "energy": dt_h * drawn * price.buy_per_kwh.to_numpy(),
        "export": -dt_h * given * price.sell_per_kwh.to_numpy(),
    }
    table = pd.DataFrame(costs).groupby(_months(price.index)).sum().rename_axis("month")
    means = _intervals(drawn, interval_steps)
    starts = price.index[::interval_steps]
    table["demand"] = 0.0
    for rule in tariff.demand:
        table["demand"] += _demand_charge(tariff, rule, means, starts)
    table["fixed"] = tariff.fixed_per_month
    table["total"] = table[["energy", "export", "demand", "fixed"]].sum(axis=1)  # eq. (8.4)
    table["peak_kw"] = pd.Series(means).groupby(_months(starts)).max()
    return table


def _months(time):
    """The local month of each time stamp."""
    return time.tz_localize(None).to_period("M")


def _export(import_kw, export_kw):
    """What is given to the grid, as an array."""
    if export_kw is None:
        return np.zeros(len(import_kw))
    if not instance("export_kw", export_kw, pd.Series).index.equals(import_kw.index):
        raise ValueError("export_kw and import_kw must have the same time stamps")
    return row("export_kw", export_kw.to_numpy(), "kW", ge=0, le=_MOST)


def _interval_steps(tariff, dt_h, steps):
    """Steps in one billing interval of a load that is long enough to be billed."""
    dt_min = 60 * dt_h
    wanted = tariff.interval_min / dt_min
    charged = any(rule["price_per_kw_month"] > 0 for rule in tariff.demand)
    if wanted < 1 - 1e-9 and charged:
        raise ValueError(
            f"import_kw has steps of {dt_min:g} min, but the tariff {tariff.name!r} bills the "
            f"highest mean of {tariff.interval_min} min. Give a load with steps of at most "
            f"{tariff.interval_min} min, or replace(tariff, interval_min={dt_min:g})"
        )
    if wanted > 1 and abs(wanted - round(wanted)) > 1e-9:
        raise ValueError(
            f"steps of {dt_min:g} min in import_kw do not divide the billing interval of "
            f"{tariff.interval_min} min"
        )
    interval_steps = max(1, round(wanted))
    if steps % interval_steps:
        raise ValueError(
            f"import_kw ends within a billing interval of {tariff.interval_min} min; "
            "give whole intervals"
        )
    return interval_steps


def _demand_charge(tariff, rule, means, starts):
    """One demand charge in each month, from the mean of each billing interval."""
    counted = np.where(_applies(rule, starts), means, 0.0)
    peaks = pd.Series(counted).groupby(_months(starts)).max()
    past = peaks.shift(1).rolling(tariff.ratchet_months, min_periods=1).max().fillna(0.0)
    billed = np.maximum(peaks, tariff.ratchet * past)
    return rule["price_per_kw_month"] * billed * peaks.index.month.isin(rule["months"])


def even_step(time: pd.DatetimeIndex) -> float:
    """Return the length of the step of a time index.

    Parameters
    ----------
    time : DatetimeIndex, shape (steps,)
        Start of each step. With a time zone, a day on which the clock changes is even too.

    Returns
    -------
    float
        Length of a step [h].

    Raises
    ------
    ValueError
        If there are fewer than two steps, the stamps do not rise, a step is missing (the message
        names the first that follows a gap), or the length of the step changes.
    TypeError
        If the index holds something else than time stamps.

    Examples
    --------
    >>> even_step(pd.date_range("2025-03-30", periods=96, freq="15min", tz="Europe/Amsterdam"))
    0.25
    """
    return _even_step("time", time)


def _even_step(name, time):
    """As `even_step`, for an index that the message calls by another name."""
    stamps(name, time)
    if len(time) < 2:
        raise ValueError(f"{name} has one time stamp; a time series needs at least two steps")
    utc = time if time.tz is None else time.tz_convert("UTC")
    lengths_s = np.diff(utc.to_numpy()) / np.timedelta64(1, "s")
    usual_s = np.median(lengths_s)
    if (lengths_s != usual_s).any():
        raise ValueError(_uneven(name, time, lengths_s, usual_s))
    return float(usual_s / 3600)


def _uneven(name, time, lengths_s, usual_s):
    """In words, where the length of the step is another: once and for all, or because of a gap."""
    turn = int(np.argmax(lengths_s != lengths_s[0]))  # the first length that is another
    before = lengths_s[:turn]
    after = lengths_s[turn:]
    lasting = len(before) > 1 and len(after) > 1 and after[0] == after[1]
    if lasting and before[0] not in after:
        return (
            f"{name}: the step changes from {before[0] / 60:g} to {after[0] / 60:g} min at "
            f"{time[turn]:%Y-%m-%d %H:%M}; nothing is missing there. "
            "Bring both parts to one step, for example with resample, or use one part at a time"
        )
    odd = int(np.argmax(lengths_s != usual_s))
    return (
        f"{name}: the step {time[odd + 1]:%Y-%m-%d %H:%M} follows after a gap; "
        "prices and loads need one value for each step"
    )


# --------------------------------------------------------------- what a schedule is made for


@dataclass(frozen=True, kw_only=True, eq=False)
class Peak:
    """A demand charge, as a schedule sees it, on the highest mean import of a billing interval.

    Attributes
    ----------
    price_per_kw : float
        Charge for the highest interval, at least 0 [per kW].
    interval_steps : int
        Steps in one billing interval, at least 1.
    counts : array, shape (steps,), optional
        True (or 1) for the steps in which the charge is measured; all of them if left out. An
        interval counts if its first step does.
    already_kw : float
        A peak that is billed anyway, from earlier in the month or from a ratchet, at least 0 [kW].

    Raises
    ------
    ValueError
        If a field is no number or out of range.

    Examples
    --------
    >>> evening = Peak(price_per_kw=12.0, interval_steps=2, counts=[0, 0, 1, 1], already_kw=3.0)
    >>> evening.counts
    array([False, False,  True,  True])
    """

    price_per_kw: float
    interval_steps: int = 1
    counts: ArrayLike | None = None
    already_kw: float = 0.0

    def __post_init__(self):
        keep(
            self,
            price_per_kw=dict(one=True, unit="per kW", ge=0, le=_MOST),
            interval_steps=dict(whole=True),
            already_kw=dict(one=True, unit="kW", ge=0, le=_MOST),
        )
        if self.counts is not None:
            counts = row("counts", self.counts, "(0 or 1)", ge=0, le=1)
            if not np.isin(counts, (0, 1)).all():
                raise ValueError("counts must be 0 or 1 (False or True) in each step")
            object.__setattr__(self, "counts", counts == 1)

    def cut(self, span: slice) -> "Peak":
        """Return the same charge, seen by a schedule of some of the steps.

        Parameters
        ----------
        span : slice
            These steps are kept.

        Returns
        -------
        Peak
            With the part of `counts` that belongs to the steps.

        Raises
        ------
        TypeError
            If the span is no slice.

        Examples
        --------
        >>> Peak(price_per_kw=12.0, counts=[0, 0, 1, 1]).cut(slice(1, 3)).counts
        array([False,  True])
        """
        instance("span", span, slice)
        if self.counts is None:
            return self
        return replace(self, counts=np.asarray(self.counts)[span])


@dataclass(frozen=True, kw_only=True, eq=False)
class Prices:
    """Prices of each step at one meter.

    Attributes
    ----------
    dt_h : float
        Length of a step, up to a day [h].
    buy_per_kwh : array, shape (steps,)
        For what is drawn; may be negative [per kWh].
    sell_per_kwh : float or array, shape (steps,), optional
        For what is given; the buying price if left out (a wholesale market), 0 for a meter that
        pays nothing [per kWh].
    peaks : tuple of Peak
        Demand charges.

    Raises
    ------
    ValueError
        If a price is unknown (the message names the step), or the lengths differ.
    TypeError
        If `peaks` is no list or tuple of `Peak`.

    Examples
    --------
    >>> prices = Prices(
    ...     dt_h=0.25,
    ...     buy_per_kwh=[0.1, 0.1, 0.3, 0.3],
    ...     sell_per_kwh=0.05,
    ...     peaks=[Peak(price_per_kw=0.5)],
    ... )
    >>> len(prices), prices.sell_per_kwh
    (4, array([0.05, 0.05, 0.05, 0.05]))
    """

    dt_h: float
    buy_per_kwh: np.ndarray
    sell_per_kwh: np.ndarray = None  # type: ignore[assignment]  # kept as an array of prices
    peaks: Sequence[Peak] = ()

    def __post_init__(self):
        keep(self, dt_h=dict(one=True, **_STEP))
        buy = _known_prices("buy_per_kwh", self.buy_per_kwh)
        sell = buy
        if self.sell_per_kwh is not None:
            sell = _known_prices("sell_per_kwh", self.sell_per_kwh)
        if len(sell) not in (1, len(buy)):
            raise ValueError(f"sell_per_kwh has {len(sell)} steps and buy_per_kwh {len(buy)}")
        object.__setattr__(self, "buy_per_kwh", buy)
        object.__setattr__(self, "sell_per_kwh", np.broadcast_to(sell, buy.shape))
        object.__setattr__(self, "peaks", instances("peaks", self.peaks, Peak))

    def __len__(self) -> int:
        return len(self.buy_per_kwh)


def _known_prices(name, prices):
    """One price a step, or a ValueError that names the first step without one."""
    gap = _first_gap(prices)
    if gap is not None:
        raise ValueError(
            f"{name} is NaN (unknown) in step {gap}: it has no value there. "
            "Fill the gap or leave out the day; a schedule cannot guess a price"
        )
    known = checked(name, prices, "per kWh", ge=-_MOST, le=_MOST)
    return row(name, np.atleast_1d(known))


def _first_gap(prices):
    """The first step whose price is NaN; None if there is none, or if these are no numbers."""
    try:
        missing = np.isnan(np.asarray(prices, dtype=float))
    except (TypeError, ValueError):
        return None
    return int(np.argmax(missing)) if missing.any() else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Diary:
    """When a car is plugged in, what driving takes, and what was promised.

    The arrays have the shape (steps,) for one car, or (cars, steps) for several. Wherever a car is
    plugged in, its state of charge also stays at or above the `soc_min` of its `Storage`.

    Attributes
    ----------
    soc_start : float or array, shape (cars,)
        State of charge before the first step, a fraction.
    plugged : array, shape (steps,) or (cars, steps)
        Share of the step at the plug, 0 to 1.
    drive_kwh : float or array
        Taken out of the battery by driving in the step; 0 where the car is plugged in all the
        time [kWh].
    soc_departure : float or array
        Lowest state of charge allowed at the end of the step, a fraction; 0 where nothing was
        promised.

    Raises
    ------
    ValueError
        If a share or a state of charge is outside 0..1, the shapes do not fit each other, or a car
        drives while it is plugged in.

    Examples
    --------
    >>> diary = Diary(
    ...     soc_start=0.6,
    ...     plugged=[1, 1, 0, 1],
    ...     drive_kwh=[0.0, 0.0, 8.0, 0.0],
    ...     soc_departure=[0.0, 0.8, 0.0, 0.5],
    ... )
    >>> float(diary.drive_kwh.sum())
    8.0
    """

    soc_start: FloatOrArray
    plugged: np.ndarray
    drive_kwh: FloatOrArray = 0.0
    soc_departure: FloatOrArray = 0.0

    def __post_init__(self):
        plugged = np.atleast_1d(fraction("plugged", self.plugged))
        if plugged.ndim > 2:
            raise ValueError(f"plugged has shape {plugged.shape}; give (steps,) or (cars, steps)")
        drive = checked("drive_kwh", self.drive_kwh, "kWh", ge=0, le=_MOST)
        promise = fraction("soc_departure", self.soc_departure, **_SOC)
        start = fraction("soc_start", self.soc_start, **_SOC)
        if np.shape(start) not in ((), plugged.shape[:-1]):
            raise ValueError(
                f"soc_start has shape {np.shape(start)}, but plugged has {plugged.shape}; "
                "give a number, or one for each car"
            )
        object.__setattr__(self, "soc_start", start)
        object.__setattr__(self, "plugged", plugged)
        object.__setattr__(self, "drive_kwh", _as_plugged("drive_kwh", drive, plugged))
        object.__setattr__(self, "soc_departure", _as_plugged("soc_departure", promise, plugged))
        driving = (self.plugged >= 1) & (np.asarray(self.drive_kwh) > 0)
        if driving.any():
            step = int(np.argwhere(driving)[0, -1])
            raise ValueError(
                f"drive_kwh is positive in step {step}, in which the car is plugged in all the time"
            )


def _as_plugged(name, value, plugged):
    """A value for each step of each car."""
    try:
        return np.broadcast_to(value, plugged.shape)
    except ValueError:
        raise ValueError(
            f"{name} has shape {np.shape(value)} and plugged has shape {plugged.shape}; "
            "they must agree"
        ) from None


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """What else is connected behind the meter, and what the connection lets through.

    Attributes
    ----------
    load_kw : float or array, shape (steps,)
        Load of the site without the cars; negative where it generates more than it uses [kW].
    import_limit_kw : float
        Most that the meter may draw, at least 0; may be infinite [kW].
    export_limit_kw : float
        Most that the meter may give, at least 0; may be infinite [kW].

    Raises
    ------
    ValueError
        If a field is no number or out of range, or a limit is an array.

    Examples
    --------
    >>> Site(load_kw=[2, 3], import_limit_kw=11.0, export_limit_kw=5.0).load_kw
    array([2., 3.])
    """

    load_kw: FloatOrArray = 0.0
    import_limit_kw: float = np.inf
    export_limit_kw: float = np.inf

    def __post_init__(self):
        keep(
            self,
            load_kw=dict(unit="kW", ge=-_MOST, le=_MOST),
            import_limit_kw=dict(one=True, unit="kW", ge=0, finite=False),
            export_limit_kw=dict(one=True, unit="kW", ge=0, finite=False),
        )
        if np.ndim(self.load_kw) > 1:
            raise ValueError(
                f"load_kw has shape {np.shape(self.load_kw)}; give a number, or one for each step"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A schedule and what it costs, as `optimise`, `follow`, `rolling` and `priced` return it.

    Costs are in the currency of the prices; an income is a negative cost.

    Attributes
    ----------
    p_kw : array, shape of the diary
        Power of each car, at the meter; > 0 discharges [kW].
    soc : array, shape of the diary
        State of charge at the end of each step, a fraction.
    import_kw : array, shape (steps,)
        What the whole meter draws, load included [kW].
    export_kw : array, shape (steps,)
        What the whole meter gives [kW].
    energy_cost : float
        Energy bought, less energy sold.
    demand_cost : float
        Demand charges.
    wear_cost : float
        Wear of what is taken out of the batteries.
    discharged_kwh : float
        Energy that the cars discharge, at the meter [kWh].
    binaries : int
        Steps in which the programme had to be told not to charge and discharge, or not to import
        and export, at once.
    """

    p_kw: np.ndarray
    soc: np.ndarray
    import_kw: np.ndarray
    export_kw: np.ndarray
    energy_cost: float
    demand_cost: float
    wear_cost: float
    discharged_kwh: float
    binaries: int = 0

    @property
    def cost(self) -> float:
        """Energy, demand and wear together, in the currency of the prices."""
        return self.energy_cost + self.demand_cost + self.wear_cost

    def table(self, index: pd.Index | None = None) -> pd.DataFrame:
        """Return the schedule of one car as a table.

        Parameters
        ----------
        index : Index, shape (steps,), optional
            Labels of the steps, such as their time stamps; numbers from 0 if left out.

        Returns
        -------
        DataFrame
            Columns `p_kw`, `soc`, `import_kw` and `export_kw`.

        Raises
        ------
        ValueError
            If the plan holds several cars, or the index has another length.

        Examples
        --------
        >>> plan = Plan(
        ...     p_kw=np.array([-6.0, 5.0]), soc=np.array([0.59, 0.50]),
        ...     import_kw=np.array([6.0, 0.0]), export_kw=np.array([0.0, 5.0]),
        ...     energy_cost=-0.9, demand_cost=0.0, wear_cost=0.3, discharged_kwh=5.0, binaries=0,
        ... )
        >>> plan.table(pd.date_range("2025-07-07", periods=2, freq="h")).soc.tolist()
        [0.59, 0.5]
        """
        steps = len(self.import_kw)
        if np.ndim(self.p_kw) != 1:
            raise ValueError(
                f"this plan holds {len(self.p_kw)} cars; take p_kw and soc of the one you want"
            )
        labels = pd.RangeIndex(steps, name="step") if index is None else index
        if _shape(labels) != (steps,):
            raise ValueError(
                f"index has shape {_shape(labels)}; give one label for each of the {steps} steps"
            )
        schedule = {name: getattr(self, name) for name in ("p_kw", "soc", "import_kw", "export_kw")}
        return pd.DataFrame(schedule, index=labels)


def _shape(labels):
    """The shape of anything; None for lists of different lengths."""
    try:
        return np.shape(labels)
    except ValueError:
        return None


def priced(
    storage: Storage,
    diary: Diary,
    prices: Prices,
    p_kw: ArrayLike,
    soc: ArrayLike,
    site: Site = Site(),
    wear_per_kwh: float = 0.0,
    binaries: int = 0,
) -> Plan:
    """Return powers as a plan: what the meter sees, the bill, the wear.

    Every schedule of this module is priced in this way. Whether the powers can be carried out is
    not looked at; `follow` does that.

    Parameters
    ----------
    storage : Storage
        One car, or arrays with one entry per car; only its discharge efficiency matters.
    diary : Diary
        Whose shape the powers have.
    prices : Prices
        Prices of each step, and demand charges.
    p_kw : array, shape of the diary
        Power of each car, at the meter; > 0 discharges [kW].
    soc : array, shape of the diary
        State of charge at the end of each step, a fraction; kept as it is.
    site : Site
        Load of the meter.
    wear_per_kwh : float
        Cost of wear for energy taken out of the battery by discharging to the grid, at least 0
        [per kWh].
    binaries : int
        Kept in the plan.

    Returns
    -------
    Plan
        With the costs of the schedule.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or an argument is no number or out of range.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> car = Storage(
    ...     energy_kwh=60.0, soc_min=0.2, soc_max=0.9, p_charge_kw=10.0, p_discharge_kw=10.0,
    ...     eta_charge=0.93, eta_discharge=0.93,
    ... )
    >>> diary = Diary(soc_start=0.5, plugged=[1, 1])
    >>> prices = Prices(dt_h=1.0, buy_per_kwh=[0.1, 0.3], sell_per_kwh=0.1)
    >>> plan = priced(
    ...     car, diary, prices, p_kw=[-6.0, 5.0], soc=[0.593, 0.503], site=Site(load_kw=2.0),
    ...     wear_per_kwh=0.05, binaries=0,
    ... )
    >>> plan.import_kw.tolist(), plan.export_kw.tolist(), round(plan.cost, 3)
    ([8.0, 0.0], [0.0, 3.0], 0.769)
    """
    _fitting(storage, diary, prices, site)
    power = checked("p_kw", p_kw, "kW")
    state = fraction("soc", soc, ge=-1e-6, le=1 + 1e-6)
    alike(p_kw=power, plugged=diary.plugged)
    alike(soc=state, plugged=diary.plugged)
    wear = _wear(wear_per_kwh)
    return _plan(storage, prices, power, state, site, wear, whole("binaries", binaries, ge=0))


def _fitting(storage, diary, prices, site):
    """Refuse arguments of another kind, and sizes that do not fit each other."""
    instance("storage", storage, Storage)
    instance("diary", diary, Diary)
    instance("prices", prices, Prices)
    instance("site", site, Site)
    steps = diary.plugged.shape[-1]
    if steps != len(prices):
        raise ValueError(f"the diary has {steps} steps and the prices {len(prices)}")
    if np.ndim(site.load_kw) and len(site.load_kw) != steps:
        raise ValueError(f"load_kw has {len(site.load_kw)} steps and the prices {steps}")
    _per_car(storage, diary)


def _per_car(storage, diary):
    """Each field of the storage, as an array with one entry per car."""
    cars = len(np.atleast_2d(diary.plugged))
    car = {}
    for field in fields(storage):
        value = np.asarray(getattr(storage, field.name), dtype=float)
        if value.shape not in ((), (1,), (cars,)):
            raise ValueError(
                f"{field.name} of the storage has shape {value.shape}, but the diary holds "
                f"{cars} cars; give one value or {cars}"
            )
        car[field.name] = np.broadcast_to(value, cars)
    return car


def _columns(storage, diary):
    """Each field of the storage, in a shape that broadcasts with (steps,) or (cars, steps)."""
    several = diary.plugged.ndim > 1
    return {
        name: value[:, None] if several else value[0]
        for name, value in _per_car(storage, diary).items()
    }


def _wear(wear_per_kwh):
    """The cost of wear: one number for all cars."""
    return one("wear_per_kwh", wear_per_kwh, "per kWh", ge=0, le=_MOST)


def _plan(storage, prices, p_kw, soc, site, wear_per_kwh, binaries=0):
    """As `priced`, with arguments that were checked or computed before."""
    net_kw = site.load_kw - np.sum(np.atleast_2d(p_kw), axis=0)
    import_kw = np.maximum(net_kw, 0.0)
    export_kw = np.maximum(-net_kw, 0.0)
    bought = float(prices.buy_per_kwh @ import_kw - prices.sell_per_kwh @ export_kw)
    peaks = [peak.price_per_kw * _reached(peak, import_kw) for peak in prices.peaks]
    given_kw = np.maximum(p_kw, 0.0)
    eta = np.asarray(storage.eta_discharge)
    taken_kw = given_kw / (eta[:, None] if eta.ndim else eta)  # out of the battery
    return Plan(
        p_kw=p_kw,
        soc=soc,
        import_kw=import_kw,
        export_kw=export_kw,
        energy_cost=prices.dt_h * bought,
        demand_cost=float(sum(peaks)),
        wear_cost=float(wear_per_kwh * (prices.dt_h * float(np.sum(taken_kw)))),
        discharged_kwh=prices.dt_h * float(np.sum(given_kw)),
        binaries=binaries,
    )


def _reached(peak, import_kw):
    """The peak that a demand charge bills, one that is billed anyway included."""
    counted = _counted(peak, len(import_kw))
    measured = _intervals(import_kw, peak.interval_steps)[counted]
    return max(float(measured.max(initial=0.0)), peak.already_kw)


def _counted(peak, steps):
    """Which billing intervals a demand charge looks at: those that begin in a step that counts."""
    counts = np.ones(steps, bool) if peak.counts is None else peak.counts
    if counts.shape != (steps,) or steps % peak.interval_steps:
        given = "" if peak.counts is None else f" and counts for {counts.size} steps"
        raise ValueError(
            f"a demand charge with interval_steps = {peak.interval_steps}{given} "
            f"does not fit a schedule of {steps} steps"
        )
    return counts[:: peak.interval_steps]


# -------------------------------------------------------------------------------- the optimum


def optimise(
    storage: Storage,
    diary: Diary,
    prices: Prices,
    site: Site = Site(),
    *,
    wear_per_kwh: float = 0.0,
) -> Plan:
    r"""Return the cheapest schedule that keeps every promise, with all prices known.

    .. math::
        \min \sum_t \Delta t\,(\pi_t g_t^+ - \pi^{ex}_t g_t^-) + \sum_j \pi_{D,j}\,\hat g_j
        + \sum_{i,t} w\,\frac{d_{it}\,\Delta t}{\eta_{d}}            (8.5)

    .. math::
        s_{it} = s_{i,t-1} + \frac{\Delta t}{E_i}\Big(\eta_c c_{it} - \frac{d_{it}}{\eta_d}\Big)
        - \frac{e_{it}}{E_i}            (8.6)

    .. math::
        g_t^+ - g_t^- = L_t + \sum_i (c_{it} - d_{it}),\qquad
        \hat g_j \ge \overline{g^+}_k            (8.7)

    Parameters
    ----------
    storage : Storage
        One car, or arrays with one entry per car.
    diary : Diary
        When the car is plugged in and what was promised; with a row per car if there are several.
    prices : Prices
        Prices of each step, and demand charges.
    site : Site
        Load and limits of the shared meter.
    wear_per_kwh : float
        Cost of wear for energy taken out of the battery by discharging to the grid, at least 0
        [per kWh].

    Returns
    -------
    Plan
        The schedule, and what it costs.

    Raises
    ------
    ValueError
        If no schedule keeps all promises: the message says which one breaks, and by how much. Also
        if sizes do not fit each other, or the wear is no number or negative.
    TypeError
        If an argument is of another kind.

    Notes
    -----
    Variables are charging c, discharging d and the state of charge; meter flows appear only where
    the two prices, a demand charge or a limit need them. Nothing in the programme forbids charging
    and discharging at once; it does not pay unless (8.8) holds. Where it happens, whole-number
    variables are added for those very steps and the programme is solved again.

    With several cars, ties between equal cars make the simplex method slow. Each car's prices are
    therefore shifted by a random amount of mean zero, a ten-thousandth of the mean price at most.
    The plan is priced without the shift; where several plans cost nearly the same, it may cost
    more than the cheapest by that ten-thousandth for each kWh that it moves.

    Examples
    --------
    A car buys in two cheap hours, sells in two dear ones, and ends where it began:

    >>> car = Storage(
    ...     energy_kwh=60.0, soc_min=0.2, soc_max=0.9, p_charge_kw=10.0, p_discharge_kw=10.0,
    ...     eta_charge=0.93, eta_discharge=0.93,
    ... )
    >>> diary = Diary(soc_start=0.5, plugged=[1, 1, 1, 1], soc_departure=[0, 0, 0, 0.5])
    >>> prices = Prices(dt_h=1.0, buy_per_kwh=[0.1, 0.1, 0.28, 0.3])
    >>> plan = optimise(car, diary, prices, Site(load_kw=2.0), wear_per_kwh=0.02)
    >>> plan.p_kw.round(2).tolist(), round(plan.cost, 2)
    ([-10.0, -10.0, 7.3, 10.0], -1.11)
    """
    _fitting(storage, diary, prices, site)
    wear = _wear(wear_per_kwh)
    problem = _Problem(storage, diary, prices, site, wear)
    one_way = np.zeros((problem.cars, problem.steps), bool)
    one_flow = np.zeros(problem.steps, bool)
    while True:
        flows = problem.solve(one_way, one_flow)
        both = problem.burns(flows)
        crossed = problem.buys_from_itself(flows)
        if not (both & ~one_way).any() and not (crossed & ~one_flow).any():
            break
        one_way = one_way | both
        one_flow = one_flow | crossed
    shape = diary.plugged.shape
    p_kw = (flows.give_kw - flows.charge_kw).reshape(shape)
    binaries = int(one_way.sum() + one_flow.sum())
    return _plan(storage, prices, p_kw, flows.soc.reshape(shape), site, wear, binaries)


def burning_price(storage: Storage, wear_per_kwh: ArrayLike) -> FloatOrArray:
    r"""Return the price below which charging and discharging at once would pay.

    The losses turn bought energy into heat; a price below this one pays for that and for the wear.

    .. math::
        \pi < -\frac{w\,\eta_c}{1 - \eta_{rt}}\ \text{(one price)},\qquad
        \pi^{ex}\eta_{rt} - \pi > w\,\eta_c\ \text{(two prices)}            (8.8)

    Parameters
    ----------
    storage : Storage
        One car, or arrays with one entry per car.
    wear_per_kwh : float or array
        Cost of wear for energy taken out of the battery, at least 0 [per kWh].

    Returns
    -------
    float or array
        The threshold for one price; never positive, minus infinity for a lossless car [per kWh].

    Raises
    ------
    ValueError
        If the wear is no number or negative, or the shapes do not fit each other.
    TypeError
        If the storage is of another kind.

    Examples
    --------
    >>> car = Storage(
    ...     energy_kwh=60.0, soc_min=0.2, soc_max=0.9, p_charge_kw=10.0, p_discharge_kw=10.0,
    ...     eta_charge=0.93, eta_discharge=0.93,
    ... )
    >>> round(burning_price(car, 0.05), 3)
    -0.344
    """
    eta_charge = np.asarray(instance("storage", storage, Storage).eta_charge)
    eta_round_trip = np.asarray(storage.eta_round_trip)
    wear = np.asarray(checked("wear_per_kwh", wear_per_kwh, "per kWh", ge=0, le=_MOST))
    together(wear_per_kwh=wear, eta_charge=eta_charge, eta_round_trip=eta_round_trip)
    lost = 1 - eta_round_trip
    some = np.where(lost > 0, lost, 1.0)
    return plain(np.where(lost > 0, -(wear * eta_charge) / some, -np.inf))  # eq. (8.8)


class _Flows(NamedTuple):
    """What a solution of the programme says: (cars, steps) for the cars, (steps,) for the meter."""

    charge_kw: np.ndarray
    give_kw: np.ndarray
    soc: np.ndarray
    import_kw: np.ndarray
    export_kw: np.ndarray


class _Rows:
    """Rows of a sparse matrix with their bounds, put down block by block."""

    def __init__(self):
        self.entries = []
        self.lower = []
        self.upper = []
        self.count = 0

    def put(self, line, column, value):
        """Entries of the current block; `line` counts from its first row."""
        places = self.count + np.asarray(line)
        self.entries.append(np.broadcast_arrays(places, column, np.asarray(value, dtype=float)))

    def close(self, lower, upper):
        """End the block: lower <= row <= upper."""
        self.lower.append(lower)
        self.upper.append(upper)
        self.count += len(lower)

    def copy(self):
        """The same rows, to be added to."""
        new = _Rows()
        new.entries = list(self.entries)
        new.lower = list(self.lower)
        new.upper = list(self.upper)
        new.count = self.count
        return new

    def constraint(self, width):
        """All rows as SciPy wants them."""
        rows = np.concatenate([entry[0] for entry in self.entries])
        places = np.concatenate([entry[1] for entry in self.entries])
        values = np.concatenate([entry[2] for entry in self.entries])
        matrix = sparse.csc_array((values, (rows, places)), shape=(self.count, width))
        return LinearConstraint(matrix, np.concatenate(self.lower), np.concatenate(self.upper))


class _Problem:
    """Equations (8.5) to (8.8) as columns and rows.

    Columns: charge and discharge (one each for every cell, a step in which a car is plugged in),
    soc (every step of every car), and where the meter matters import and export (every step) and
    the peaks; then 0-1 columns where they are needed.
    """

    def __init__(self, storage, diary, prices, site, wear_per_kwh):
        self.storage = storage
        self.diary = diary
        self.prices = prices
        self.site = site
        self.plugged = np.atleast_2d(diary.plugged)
        self.drive_kwh = np.atleast_2d(diary.drive_kwh)
        self.cars, self.steps = self.plugged.shape
        self.car = _per_car(storage, diary)
        self.start = np.broadcast_to(diary.soc_start, self.cars)
        self.load = np.broadcast_to(site.load_kw, self.steps)
        self._cells()
        self._columns()
        self.rows = _Rows()
        self._battery()
        self._grid()
        self._peaks()
        self._bounds()
        self._costs(wear_per_kwh)

    def _cells(self):
        """The steps in which a car is plugged in: which car, which step, and how much power."""
        self.cell = np.flatnonzero(self.plugged > 0)
        self.cell_car = self.cell // self.steps
        self.cell_step = self.cell % self.steps
        share = self.plugged.ravel()[self.cell]
        self.most_charge = self.car["p_charge_kw"][self.cell_car] * share
        self.most_give = self.car["p_discharge_kw"][self.cell_car] * share

    def _columns(self):
        """Where each kind of column begins, and whether the meter needs columns of its own."""
        one_price = np.array_equal(self.prices.buy_per_kwh, self.prices.sell_per_kwh)
        shared = self.cars > 1 or bool(self.load.any())
        self.meter = bool(self.prices.peaks) or (shared and not one_price)
        self.first_give = len(self.cell)
        self.first_soc = 2 * len(self.cell)
        self.first_import = self.first_soc + self.plugged.size
        self.first_export = self.first_import + self.steps
        self.first_peak = self.first_export + self.steps
        self.columns = self.first_import
        if self.meter:
            self.columns = self.first_peak + len(self.prices.peaks)

    def _battery(self):
        """Eq. (8.6), divided by the energy of the battery."""
        every = np.arange(self.plugged.size)
        later = every[every % self.steps > 0]
        plugged_in = np.arange(len(self.cell))
        per_kwh = self.prices.dt_h / self.car["energy_kwh"]
        rise = (per_kwh * self.car["eta_charge"])[self.cell_car]
        fall = (per_kwh / self.car["eta_discharge"])[self.cell_car]
        self.rows.put(every, self.first_soc + every, 1.0)
        self.rows.put(later, self.first_soc + later - 1, -1.0)
        self.rows.put(self.cell, plugged_in, -rise)
        self.rows.put(self.cell, self.first_give + plugged_in, fall)
        right = -self.drive_kwh / self.car["energy_kwh"][:, None]
        right[:, 0] += self.start
        self.rows.close(right.ravel(), right.ravel())

    def _grid(self):
        """Eq. (8.7): the balance of the meter, or just its limits."""
        site = self.site
        most = np.abs(self.load).max()
        most = most + self.car["p_charge_kw"].sum() + self.car["p_discharge_kw"].sum()
        self.most_import = min(site.import_limit_kw, most)
        self.most_export = min(site.export_limit_kw, most)
        limited = min(site.import_limit_kw, site.export_limit_kw) < np.inf
        if not self.meter and not limited:
            return
        plugged_in = np.arange(len(self.cell))
        self.rows.put(self.cell_step, plugged_in, 1.0)
        self.rows.put(self.cell_step, self.first_give + plugged_in, -1.0)
        if self.meter:
            steps = np.arange(self.steps)
            self.rows.put(steps, self.first_import + steps, -1.0)
            self.rows.put(steps, self.first_export + steps, 1.0)
            self.rows.close(-self.load, -self.load)
        else:
            self.rows.close(-site.export_limit_kw - self.load, site.import_limit_kw - self.load)

    def _peaks(self):
        """Eq. (8.7): a peak is at least the mean import of each interval that counts."""
        for place, peak in enumerate(self.prices.peaks):
            intervals = np.flatnonzero(_counted(peak, self.steps))
            line = np.arange(len(intervals))
            first = self.first_import + intervals * peak.interval_steps
            for later in range(peak.interval_steps):
                self.rows.put(line, first + later, -1 / peak.interval_steps)
            self.rows.put(line, self.first_peak + place, 1.0)
            self.rows.close(np.zeros(len(line)), np.full(len(line), np.inf))

    def _bounds(self):
        """Limits of every column."""
        promise = np.atleast_2d(self.diary.soc_departure)
        window = np.maximum(self.car["soc_min"][:, None], promise)
        self.least_soc = np.where(self.plugged > 0, window, promise)
        most_soc = np.broadcast_to(self.car["soc_max"][:, None], self.plugged.shape)
        self.lower = [np.zeros(self.first_soc), self.least_soc.ravel()]
        self.upper = [self.most_charge, self.most_give, most_soc.ravel()]
        if self.meter:
            already = np.array([peak.already_kw for peak in self.prices.peaks])
            self.lower += [np.zeros(2 * self.steps), already]
            self.upper += [np.full(self.steps, self.most_import)]
            self.upper += [np.full(self.steps, self.most_export)]
            self.upper += [np.full(len(already), np.inf)]

    def _costs(self, wear_per_kwh):
        """Eq. (8.5)."""
        dt_h = self.prices.dt_h
        buy = self.prices.buy_per_kwh
        sell = self.prices.sell_per_kwh
        charge = np.zeros(len(self.cell))
        give = np.zeros(len(self.cell))
        if not self.meter:
            charge = dt_h * buy[self.cell_step]
            give = -dt_h * sell[self.cell_step]
        if self.cars > 1:  # break the ties between equal cars
            random = np.random.default_rng(8).uniform(-1, 1, len(self.cell))
            tilt = 1e-4 * dt_h * np.abs(buy).mean() * random
            charge = charge + tilt
            give = give - tilt
        worn = wear_per_kwh * dt_h / self.car["eta_discharge"][self.cell_car]
        self.cost = [charge, give + worn, np.zeros(self.plugged.size)]
        if self.meter:
            self.cost += [dt_h * buy, -dt_h * sell]
            self.cost += [[peak.price_per_kw for peak in self.prices.peaks]]

    def burns(self, flows):
        """Cells in which a solution charges and discharges at once."""
        return np.minimum(flows.charge_kw, flows.give_kw) > 1e-6

    def buys_from_itself(self, flows):
        """Steps in which a solution imports and exports at once, because export pays more."""
        pays = self.prices.sell_per_kwh > self.prices.buy_per_kwh
        return (np.minimum(flows.import_kw, flows.export_kw) > 1e-6) & pays

    def solve(self, one_way, one_flow):
        """Solve the programme; `one_way` cells and `one_flow` steps get a 0-1 column."""
        cells = np.flatnonzero(one_way.ravel()[self.cell])
        steps = np.flatnonzero(one_flow)
        switches = len(cells) + len(steps)
        rows = self.rows.copy() if switches else self.rows
        charge_or_give = (cells, self.first_give + cells)
        most = (self.most_charge[cells], self.most_give[cells])
        _either(rows, self.columns, charge_or_give, most)
        import_or_export = (self.first_import + steps, self.first_export + steps)
        most = (self.most_import, self.most_export)
        _either(rows, self.columns + len(cells), import_or_export, most)
        lower = np.concatenate([*self.lower, np.zeros(switches)])
        upper = np.concatenate([*self.upper, np.ones(switches)])
        integrality = np.concatenate([np.zeros(self.columns), np.ones(switches)])
        # Simplifying first pays for a fleet. One car's year is a mere chain; simplified, a few of
        # them take fifty times as long.
        simplify = switches > 0 or self.cars > 1
        result = milp(
            np.concatenate([*self.cost, np.zeros(switches)]),
            constraints=rows.constraint(self.columns + switches),
            integrality=integrality if switches else None,
            bounds=Bounds(lower, upper),
            options={"mip_rel_gap": 1e-9, "presolve": simplify},
        )
        if result.status == 2:
            raise ValueError(self.broken_promise())
        if result.x is None:
            raise ValueError(f"the solver found no schedule: {result.message}")
        return self._flows(result.x)

    def _flows(self, x):
        """The columns of a solution, by name."""
        charge = np.zeros(self.plugged.size)
        give = np.zeros(self.plugged.size)
        charge[self.cell] = np.maximum(x[: self.first_give], 0.0)
        give[self.cell] = np.maximum(x[self.first_give : self.first_soc], 0.0)
        soc = x[self.first_soc : self.first_import]
        nothing = np.zeros(self.steps)
        shape = self.plugged.shape
        return _Flows(
            charge_kw=charge.reshape(shape),
            give_kw=give.reshape(shape),
            soc=soc.reshape(shape),
            import_kw=x[self.first_import : self.first_export] if self.meter else nothing,
            export_kw=x[self.first_export : self.first_peak] if self.meter else nothing,
        )

    def unkept(self):
        """In words, the first promise that a car cannot keep even if it always charges; or ""."""
        return self._above_window() or self._out_of_reach()

    def _above_window(self):
        """In words, which car starts or promises to stand above its soc_max; or ""."""
        high = self.car["soc_max"]
        starts_above = self.start > high + 1e-9
        if starts_above.any():
            j = int(np.argmax(starts_above))
            return (
                f"{self._who(starts_above)} starts at soc {self.start[j]:g}, "
                f"above its soc_max = {high[j]:g}"
            )
        asks_above = (self.least_soc > high[:, None] + 1e-9).any(axis=1)
        if asks_above.any():
            j = int(np.argmax(asks_above))
            step = int(self.least_soc[j].argmax())
            return (
                f"{self._who(asks_above)} promises soc {self.least_soc[j, step]:g} "
                f"in step {step}, above its soc_max = {high[j]:g}"
            )
        return ""

    def _out_of_reach(self):
        """In words, the first step that even full-power charging cannot reach; or ""."""
        energy = self.car["energy_kwh"]
        per_step = self.prices.dt_h * (self.car["eta_charge"] * self.car["p_charge_kw"] / energy)
        rise = per_step[:, None] * self.plugged
        drive = self.drive_kwh / energy[:, None]
        high = self.car["soc_max"][:, None]
        # As if no battery were ever full; then what was beyond full is taken off again.
        endless = self.start[:, None] + np.cumsum(rise, axis=1) - np.cumsum(drive, axis=1) + drive
        beyond = np.maximum.accumulate(np.maximum(endless - high, 0.0), axis=1)
        soc = endless - beyond - drive
        short = soc < self.least_soc - 1e-9
        if not short.any():
            return ""
        step = int(np.argmax(short.any(axis=0)))
        cars = short[:, step]
        j = int(np.argmax(cars))
        return self._missing(self._who(cars), j, step, soc[j, step])

    def _missing(self, who, j, step, soc):
        """In words, what car j lacks at the end of a step, at which it reaches `soc` at most."""
        energy = self.car["energy_kwh"][j]
        wanted = self.least_soc[j, step]
        if soc < 0 and wanted <= 0:
            return (
                f"{who} cannot make the trip in step {step}: it takes "
                f"{self.drive_kwh[j, step]:.1f} kWh, and {-soc * energy:.1f} kWh of them are not "
                "in the battery even if the car always charges"
            )
        return (
            f"{who} cannot stand at soc {wanted:.3f} at the end of step {step}: charging at full "
            f"power whenever it is plugged in, it reaches {soc:.3f}, and "
            f"{(wanted - soc) * energy:.1f} kWh are missing"
        )

    def _who(self, cars):
        """What a message calls the first of these cars."""
        if self.cars == 1:
            return "the car"
        others = int(cars.sum()) - 1
        more = f" (and {others} more)" if others else ""
        return f"car {int(np.argmax(cars))}{more}"

    def broken_promise(self):
        """In words, why there is no schedule: a car's own promise, or a limit of the meter."""
        return self.unkept() or self._import_limit() or self._export_limit()

    def _import_limit(self):
        """In words, which import limit would do; "" if it is not the import limit."""
        limit = self.site.import_limit_kw
        if not np.isfinite(limit):
            return ""
        least = Prices(
            dt_h=self.prices.dt_h,
            buy_per_kwh=np.zeros(self.steps),
            peaks=(Peak(price_per_kw=1.0),),
        )
        unlimited = replace(self.site, import_limit_kw=np.inf)
        drawn = optimise(self.storage, self.diary, least, unlimited).import_kw
        if drawn.max() <= limit:
            return ""
        enough = np.ceil(10 * drawn.max() - 1e-6) / 10
        step = int(np.argmax(drawn > drawn.max() - 1e-6))
        return (
            f"import_limit_kw = {limit:g} kW is too little: with all promises kept the meter "
            f"draws at least {enough:.1f} kW, first in step {step}"
        )

    def _export_limit(self):
        """In words, where the site gives more than the meter may."""
        return (
            f"export_limit_kw = {self.site.export_limit_kw:g} kW cannot be kept: "
            f"in step {int(self.load.argmin())} the site itself gives "
            f"{-self.load.min():.1f} kW, and the cars cannot take enough of it"
        )


def _either(rows, switch, pair, most):
    """Rows for 0-1 columns that allow one of each pair of columns only, up to its limit."""
    into, out = pair
    most_into, most_out = most
    line = np.arange(len(into))
    if not line.size:
        return
    rows.put(line, into, 1.0)  # into <= most_into z
    rows.put(line, switch + line, -np.asarray(most_into))
    rows.close(np.full(len(line), -np.inf), np.zeros(len(line)))
    rows.put(line, out, 1.0)  # out <= most_out (1 - z)
    rows.put(line, switch + line, most_out)
    rows.close(np.full(len(line), -np.inf), np.broadcast_to(most_out, len(line)))


# ------------------------------------------------------------- rules of thumb, and forecasts


def floor_line(storage: Storage, diary: Diary, *, dt_h: float) -> np.ndarray:
    """Return the lowest state of charge from which all later promises can still be kept.

    Parameters
    ----------
    storage : Storage
        One car, or arrays with one entry per car.
    diary : Diary
        Promises and trips.
    dt_h : float
        Length of a step, up to a day [h].

    Returns
    -------
    array, shape of the diary
        State of charge at the end of each step; never below soc_min where the car is plugged in. A
        value above soc_max says that a promise cannot be kept.

    Raises
    ------
    ValueError
        If the storage holds another number of cars, or the step is no number or out of range.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    A promise of 0.8 at the end of the fourth hour is prepared from the second on:

    >>> car = Storage(
    ...     energy_kwh=60.0, soc_min=0.2, soc_max=0.9, p_charge_kw=20.0, p_discharge_kw=10.0,
    ...     eta_charge=0.9, eta_discharge=0.9,
    ... )
    >>> diary = Diary(soc_start=0.5, plugged=[1, 1, 1, 1], soc_departure=[0, 0, 0, 0.8])
    >>> floor_line(car, diary, dt_h=1.0).round(3).tolist()
    [0.2, 0.2, 0.5, 0.8]
    """
    instance("storage", storage, Storage)
    instance("diary", diary, Diary)
    _per_car(storage, diary)
    return _floor(storage, diary, one("dt_h", dt_h, **_STEP))


def _floor(storage, diary, dt_h):
    """As `floor_line`, with arguments that were checked before."""
    car = _columns(storage, diary)
    plugged = diary.plugged
    rise = dt_h * car["eta_charge"] * car["p_charge_kw"] * plugged / car["energy_kwh"]
    window = np.maximum(car["soc_min"], diary.soc_departure)
    own = np.where(plugged > 0, window, diary.soc_departure)
    change = diary.drive_kwh / car["energy_kwh"] - rise
    higher = max if plugged.ndim == 1 else np.maximum
    least_by_step = _by_step(own)
    change_by_step = _by_step(change)
    need = least_by_step[-1]
    floor = []
    for least, step_change in zip(reversed(least_by_step), reversed(change_by_step)):
        need = higher(least, need)
        floor.append(need)
        need = need + step_change
    return np.stack(floor[::-1], axis=-1)


def _by_step(array):
    """The array step by step: floats for one car (twenty times as fast), arrays for several."""
    return array.tolist() if array.ndim == 1 else np.moveaxis(array, -1, 0)


def follow(
    storage: Storage,
    diary: Diary,
    prices: Prices,
    wish_kw: ArrayLike,
    site: Site = Site(),
    *,
    wear_per_kwh: float = 0.0,
) -> Plan:
    """Return what comes of a wish for power, as far as battery, charger and promises allow it.

    This is how a rule of thumb is carried out.

    Parameters
    ----------
    storage : Storage
        One car, or arrays with one entry per car.
    diary : Diary
        When the car is plugged in and what was promised; with a row per car if there are several.
    prices : Prices
        Prices of each step, and demand charges.
    wish_kw : float or array, shape (steps,) or shape of the diary
        Power wanted; > 0 discharges [kW].
    site : Site
        Load of the meter. Its limits are not enforced.
    wear_per_kwh : float
        Cost of wear for energy taken out of the battery by discharging to the grid, at least 0
        [per kWh].

    Returns
    -------
    Plan
        The schedule, and what it costs.

    Raises
    ------
    ValueError
        If a promise cannot be kept even by charging all the time, sizes do not fit each other, or
        an argument is no number or out of range.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    The wish for 10 kW is granted until the promise for the last hour needs the energy:

    >>> car = Storage(
    ...     energy_kwh=60.0, soc_min=0.2, soc_max=0.9, p_charge_kw=10.0, p_discharge_kw=10.0,
    ...     eta_charge=0.9, eta_discharge=0.9,
    ... )
    >>> diary = Diary(soc_start=0.5, plugged=[1, 1, 1], soc_departure=[0, 0, 0.4])
    >>> prices = Prices(dt_h=1.0, buy_per_kwh=[0.3, 0.2, 0.2], sell_per_kwh=0.1)
    >>> plan = follow(car, diary, prices, [10.0, 0.0, 0.0], Site(load_kw=1.0), wear_per_kwh=0.02)
    >>> plan.p_kw.round(2).tolist(), plan.soc.round(3).tolist()
    ([10.0, 0.0, -5.68], [0.315, 0.315, 0.4])
    """
    _fitting(storage, diary, prices, site)
    wear = _wear(wear_per_kwh)
    wish = np.asarray(checked("wish_kw", wish_kw, "kW"))
    shape = diary.plugged.shape
    if wish.shape not in ((), shape, shape[-1:]):
        raise ValueError(
            f"wish_kw has shape {wish.shape}; give a number, or one for each of the {shape[-1]} "
            "steps (and cars)"
        )
    _refuse_unkept(storage, diary, prices, site)
    p_kw, soc = _obey(storage, diary, prices.dt_h, np.broadcast_to(wish, shape))
    return _plan(storage, prices, p_kw, soc, site, wear)


def _refuse_unkept(storage, diary, prices, site):
    """ValueError if a car cannot keep its own promises."""
    words = _Problem(storage, diary, prices, site, 0.0).unkept()
    if words:
        raise ValueError(words)


def _obey(storage, diary, dt_h, wish_kw):
    """Power and soc of each step: the wish, between the least and the most that is possible."""
    series = (wish_kw, *_limits(storage, diary, dt_h))
    clip = _clip if diary.plugged.ndim == 1 else np.clip
    soc = diary.soc_start
    powers = []
    socs = []
    for wish, charger, inverter, floor, top, trip, per_charge, per_give in zip(
        *map(_by_step, series)
    ):
        must_charge = clip((floor - soc) / per_charge, 0.0, charger)
        can_charge = clip((top - soc) / per_charge, must_charge, charger)
        can_give = clip((soc - floor) / per_give, 0.0, inverter)
        power = clip(wish, -can_charge, can_give - must_charge)  # either is 0
        charged = clip(-power, 0.0, charger)
        given = clip(power, 0.0, inverter)
        soc = soc + per_charge * charged - per_give * given - trip
        powers.append(power)
        socs.append(soc)
    return np.stack(powers, axis=-1), np.stack(socs, axis=-1)


def _limits(storage, diary, dt_h):
    """What bounds the power of each step, each in the shape of the diary.

    Power of charger and inverter; soc before the step's driving, at least and at most; soc that the
    driving takes, that a kW of charging brings, and that a kW given takes.
    """
    car = _columns(storage, diary)
    shape = diary.plugged.shape
    trip = diary.drive_kwh / car["energy_kwh"]
    return (
        car["p_charge_kw"] * diary.plugged,
        car["p_discharge_kw"] * diary.plugged,
        _floor(storage, diary, dt_h) + trip,
        np.broadcast_to(car["soc_max"], shape),
        trip,
        np.broadcast_to(dt_h * car["eta_charge"] / car["energy_kwh"], shape),
        np.broadcast_to(dt_h / (car["eta_discharge"] * car["energy_kwh"]), shape),
    )


def _clip(value, low, high):
    """`np.clip` of plain floats, which is many times as fast."""
    return min(max(value, low), high)


def best_hours(
    price_per_kwh: ArrayLike, group: ArrayLike, charge_steps: int, discharge_steps: int
) -> np.ndarray:
    """Return the oldest rule of thumb: charge in the cheapest steps of a day, sell in the dearest.

    Parameters
    ----------
    price_per_kwh : array, shape (steps,)
        What the rule believes the prices to be [per kWh].
    group : array, shape (steps,)
        Which day each step belongs to: any labels.
    charge_steps : int
        Steps a day in which the car charges, at least 0; where the day is too short for both,
        charging comes first.
    discharge_steps : int
        Steps a day in which the car discharges, at least 0.

    Returns
    -------
    array, shape (steps,)
        -1 (charge), +1 (discharge) or 0. Times the charger's power it is a wish for `follow`.

    Raises
    ------
    ValueError
        If a price is unknown, the lengths differ, or a number of steps is not whole.

    Examples
    --------
    >>> best_hours([3, 1, 2, 5, 4, 6], [1, 1, 1, 2, 2, 2], 1, 1).tolist()
    [1.0, -1.0, 0.0, 0.0, -1.0, 1.0]
    """
    price = pd.Series(_known_prices("price_per_kwh", price_per_kwh))
    if _shape(group) != price.shape:
        raise ValueError(
            f"group has shape {_shape(group)}; give one label for each of the {len(price)} steps"
        )
    labels = np.asarray(group)
    if np.ma.is_masked(group) or pd.isna(labels).any():
        raise ValueError("group has missing labels; each step must belong to a day")
    charge_steps = whole("charge_steps", charge_steps, ge=0)
    discharge_steps = whole("discharge_steps", discharge_steps, ge=0)
    by_day = price.groupby(labels)
    charge = by_day.rank(method="first") <= charge_steps
    discharge = by_day.rank(method="first", ascending=False) <= discharge_steps
    wish = np.zeros(len(price))
    wish[discharge] = 1.0
    wish[charge] = -1.0  # comes first where the day is too short for both
    return wish


def rolling(
    storage: Storage,
    diary: Diary,
    prices: Prices,
    forecast: Callable[[int, int], ArrayLike],
    site: Site = Site(),
    *,
    every: int,
    horizon: int,
    first: int | None = None,
    wear_per_kwh: float = 0.0,
) -> Plan:
    """Return a schedule made on forecasts: plan, keep the first steps, plan again.

    This is how a schedule is made when the future is not known.

    Parameters
    ----------
    storage : Storage
        One car.
    diary : Diary
        When the car is plugged in and what was promised.
    prices : Prices
        What is paid in the end.
    forecast : callable
        `forecast(k, steps)` returns the buying prices that are believed at step k, for the steps k
        to k + steps. The selling price is shifted by as much [per kWh].
    site : Site
        Load and limits of the meter.
    every : int
        Steps that are carried out before the next plan, at least 1.
    horizon : int
        Steps that each plan looks ahead, at least `every`.
    first : int, optional
        Steps that are carried out before the second plan, 1 to `every`; `every` if None. With 12,
        a series of hours that begins at midnight is planned anew at each noon.
    wear_per_kwh : float
        Cost of wear for energy taken out of the battery by discharging to the grid, at least 0
        [per kWh].

    Returns
    -------
    Plan
        Priced at the true prices. Promises beyond the horizon are kept too.

    Raises
    ------
    ValueError
        If a promise cannot be kept, the forecast has another length or is unknown somewhere, the
        diary holds several cars, billing intervals do not fit into `every` and `horizon`, or an
        argument is no number or out of range.
    TypeError
        If an argument is of another kind.

    Notes
    -----
    The peaks reached so far are carried from plan to plan.

    Examples
    --------
    The car expects cheap hours first and dear ones later, and plans anew every two hours:

    >>> car = Storage(
    ...     energy_kwh=60.0, soc_min=0.2, soc_max=0.9, p_charge_kw=10.0, p_discharge_kw=10.0,
    ...     eta_charge=0.9, eta_discharge=0.9,
    ... )
    >>> diary = Diary(soc_start=0.5, plugged=[1, 1, 1, 1], soc_departure=[0, 0, 0, 0.5])
    >>> prices = Prices(dt_h=1.0, buy_per_kwh=[0.1, 0.2, 0.3, 0.4])
    >>> plan = rolling(
    ...     car, diary, prices, lambda k, steps: [0.1, 0.1, 0.3, 0.3][k : k + steps],
    ...     Site(load_kw=1.0), every=2, horizon=4, wear_per_kwh=0.02,
    ... )
    >>> round(plan.discharged_kwh, 1), round(plan.cost, 2)
    (16.2, -1.12)
    """
    _fitting(storage, diary, prices, site)
    wear = _wear(wear_per_kwh)
    if diary.plugged.ndim > 1:
        raise ValueError(f"rolling plans one car; this diary holds {len(diary.plugged)}")
    if not callable(forecast):
        raise TypeError("forecast must be a function: forecast(k, steps) returns prices")
    every, horizon = _planning_steps(prices, every, horizon)
    begins = [0, *range(_first_step(prices, first, every), len(prices), every)]
    _refuse_unkept(storage, diary, prices, site)
    floor = _floor(storage, diary, prices.dt_h)
    steps = len(prices)
    p_kw = np.zeros(steps)
    trace = np.zeros(steps)
    soc = diary.soc_start
    peaks = prices.peaks
    for k, following in zip(begins, [*begins[1:], steps]):
        span = slice(k, min(k + horizon, steps))
        kept = slice(k, following)
        ahead = _part_of_diary(diary, span, soc, floor)
        believed = _believed(prices, peaks, forecast, span)
        plan = optimise(storage, ahead, believed, _part_of_site(site, span), wear_per_kwh=wear)
        carried_out = slice(kept.stop - k)
        p_kw[kept] = plan.p_kw[carried_out]
        trace[kept] = plan.soc[carried_out]
        soc = trace[kept.stop - 1]
        peaks = [_carried(peak, kept, plan.import_kw[carried_out]) for peak in peaks]
    return _plan(storage, prices, p_kw, trace, site, wear)


def _planning_steps(prices, every, horizon):
    """`every` and `horizon`, if such plans can follow each other."""
    steps = len(prices)
    every = whole("every", every)
    horizon = whole("horizon", horizon)
    if horizon < every:
        raise ValueError(
            f"every = {every} and horizon = {horizon} steps; horizon must be at least every"
        )
    for name, value in (("every", every), ("horizon", horizon)):
        if value < steps:
            _refuse_part_intervals(name, value, prices.peaks)
    return every, horizon


def _first_step(prices, first, every):
    """`first`, if a second plan can begin there."""
    if first is None:
        return every
    first = whole("first", first, le=every)
    _refuse_part_intervals("first", first, prices.peaks)
    return first


def _refuse_part_intervals(name, steps, peaks):
    """Refuse a number of steps that ends within a billing interval."""
    for peak in peaks:
        if steps % peak.interval_steps:
            raise ValueError(
                f"{name} is {steps} steps; with a demand charge it must be a whole number of "
                f"billing intervals (interval_steps = {peak.interval_steps})"
            )


def _part_of_diary(diary, span, soc, floor):
    """The diary of some steps, with a promise at their end that keeps the later ones possible."""
    promise = diary.soc_departure[span].copy()
    promise[-1] = max(promise[-1], floor[span.stop - 1])
    return Diary(
        soc_start=min(max(soc, 0.0), 1.0),
        plugged=diary.plugged[span],
        drive_kwh=diary.drive_kwh[span],
        soc_departure=promise,
    )


def _part_of_site(site, span):
    """The site in some steps."""
    return replace(site, load_kw=site.load_kw[span]) if np.ndim(site.load_kw) else site


def _believed(prices, peaks, forecast, span):
    """The prices that a forecast expects for some steps, with the demand charges of these."""
    steps = span.stop - span.start
    buy = _known_prices("the forecast", forecast(span.start, steps))
    if len(buy) != steps:
        raise ValueError(
            f"forecast({span.start}, {steps}) must return {steps} prices, "
            f"not an array of shape {buy.shape}"
        )
    margin = (prices.sell_per_kwh - prices.buy_per_kwh)[span]
    return Prices(
        dt_h=prices.dt_h,
        buy_per_kwh=buy,
        sell_per_kwh=buy + margin,
        peaks=[peak.cut(span) for peak in peaks],
    )


def _carried(peak, kept, import_kw):
    """A demand charge after some steps were carried out: it remembers the peak reached in them."""
    return replace(peak, already_kw=_reached(peak.cut(kept), import_kw))


# ------------------------------------------------------------------------------ a car's diary


def commuter(
    time: pd.DatetimeIndex,
    storage: Storage,
    *,
    drive_kwh: float,
    leave_h: float,
    back_h: float,
    spread_h: float,
    soc_departure: float,
    rng: np.random.Generator,
) -> Diary:
    """Return the synthetic diary of a commuter who charges at home.

    Recipe: on weekdays the car leaves and returns at normally distributed times around `leave_h`
    and `back_h` (local clock); at weekends it stays. The day's driving is taken from the battery
    just before the return.

    Parameters
    ----------
    time : DatetimeIndex, shape (steps,)
        Start of each step, in local time, rising.
    storage : Storage
        One car; driving is limited to what the promise holds above soc_min.
    drive_kwh : float
        Energy for a day there and back, at least 0 [kWh].
    leave_h : float
        Mean clock time of leaving, 0 to 23 [h].
    back_h : float
        Mean clock time of the return, at least an hour later, up to 24 [h].
    spread_h : float
        Standard deviation of both times, 0 to 24 [h].
    soc_departure : float
        State of charge on leaving, a fraction above soc_min.
    rng : numpy.random.Generator
        Draws the times.

    Returns
    -------
    Diary
        One car; starts at `soc_departure`.

    Raises
    ------
    ValueError
        If an argument is no number or out of range, the battery is too small for the driving, the
        storage holds several cars, or the time stamps do not rise.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> car = Storage(
    ...     energy_kwh=60.0, soc_min=0.2, soc_max=0.9, p_charge_kw=10.0, p_discharge_kw=10.0,
    ...     eta_charge=0.93, eta_discharge=0.93,
    ... )
    >>> week = pd.date_range("2025-07-07", periods=7 * 24, freq="h", tz="Europe/Amsterdam")
    >>> diary = commuter(
    ...     week, car, drive_kwh=8.0, leave_h=8.0, back_h=17.0, spread_h=0.0, soc_departure=0.8,
    ...     rng=np.random.default_rng(1),
    ... )
    >>> float(diary.plugged.sum()), float(diary.drive_kwh.sum())
    (123.0, 40.0)
    """
    stamps("time", time)
    driven = _promised(storage, drive_kwh, soc_departure)
    leave_h = one("leave_h", leave_h, "h", ge=0, le=23)
    back_h = one("back_h", back_h, "h", ge=1, le=24)
    spread_h = one("spread_h", spread_h, "h", ge=0, le=24)
    if leave_h > back_h - 1:
        raise ValueError(
            f"leave_h = {leave_h:g} and back_h = {back_h:g}; "
            "the car leaves and returns on the same day, at least an hour later"
        )
    instance("rng", rng, np.random.Generator)
    days = _local_days(time)
    every_day = days.unique()
    leave = np.clip(rng.normal(leave_h, spread_h, len(every_day)), 0.0, back_h - 1)
    back = np.clip(rng.normal(back_h, spread_h, len(every_day)), leave + 1, 23.5)
    day = every_day.get_indexer(days)
    clock = np.asarray(time.hour + time.minute / 60)
    workday = np.asarray(days.day_of_week) < 5
    away = workday & (clock >= leave[day]) & (clock < back[day])
    return _diary(away, np.full(len(time), driven), soc_departure)


def _local_days(time):
    """The local day of each time stamp."""
    return time.tz_localize(None).normalize()


def workplace(
    time: pd.DatetimeIndex,
    sessions: pd.DataFrame,
    storage: Storage,
    *,
    presence: float,
    soc_departure: float,
    rng: np.random.Generator,
) -> Diary:
    """Return a diary at a workplace charger, drawn from real sessions.

    Recipe: each weekday, with probability `presence`, one session of the same weekday is drawn and
    laid onto the day with its clock times and its energy. The battery was at the promise when it
    left last, and the energy of the session was driven since.

    Parameters
    ----------
    time : DatetimeIndex, shape (steps,)
        Start of each step, in local time, with an even step.
    sessions : DataFrame
        Columns `arrival` and `departure` (local time stamps) and `delivered_kwh` [kWh].
    storage : Storage
        One car.
    presence : float
        Share of weekdays on which the car comes, a fraction.
    soc_departure : float
        State of charge on every departure, a fraction above soc_min. The data have none, so this is
        assumed.
    rng : numpy.random.Generator
        Draws days and sessions.

    Returns
    -------
    Diary
        One car; starts at `soc_departure`. Sessions over midnight are cut there; energy is cut to
        what the promise holds above soc_min.

    Raises
    ------
    ValueError
        If the table has no session on some weekday, a session that cannot be (the message names
        it) or no such columns, an argument is no number or out of range, the storage holds several
        cars, or the time stamps have gaps.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    Five sessions from 8 to 16 h, one on each weekday:

    >>> car = Storage(
    ...     energy_kwh=60.0, soc_min=0.2, soc_max=0.9, p_charge_kw=10.0, p_discharge_kw=10.0,
    ...     eta_charge=0.93, eta_discharge=0.93,
    ... )
    >>> arrival = pd.date_range("2025-06-02 08:00", periods=5, freq="D")
    >>> sessions = pd.DataFrame(
    ...     {"arrival": arrival, "departure": arrival + pd.Timedelta("8h"), "delivered_kwh": 6.0}
    ... )
    >>> week = pd.date_range("2025-07-07", periods=7 * 24, freq="h", tz="Europe/Amsterdam")
    >>> diary = workplace(
    ...     week, sessions, car, presence=1.0, soc_departure=0.8, rng=np.random.default_rng(1)
    ... )
    >>> float(diary.plugged.sum()), float(diary.drive_kwh.sum())
    (40.0, 30.0)
    """
    dt_h = even_step(time)
    _promised(storage, 0.0, soc_departure)
    one_fraction("presence", presence)
    instance("rng", rng, np.random.Generator)
    by_weekday = _by_weekday(_possible(sessions))
    days = _local_days(time)
    clock = np.asarray(time.hour + time.minute / 60)
    away = np.ones(len(time), bool)
    drive = np.zeros(len(time))
    room_kwh = (soc_departure - storage.soc_min) * storage.energy_kwh
    step_kwh = storage.eta_charge * storage.p_charge_kw * dt_h
    for day in days.unique():
        if day.day_of_week >= 5 or rng.uniform() >= presence:
            continue
        choice = by_weekday[day.day_of_week]
        session = choice.iloc[int(rng.integers(len(choice)))]
        start, end = _clock_times(session)
        inside = np.flatnonzero((days == day) & (clock >= start) & (clock + dt_h <= end))
        if len(inside) and inside[0] > 0:
            away[inside] = False
            drive[inside[0] - 1] = min(session.delivered_kwh, room_kwh, step_kwh * len(inside))
    return _diary(away, drive, soc_departure)


def _possible(sessions):
    """The table of sessions, or a refusal that names the first that cannot be."""
    columns("sessions", sessions, ("arrival", "departure", "delivered_kwh"))
    for name in ("arrival", "departure"):
        if sessions[name].dtype.kind != "M":
            raise TypeError(f"{name} in sessions must hold time stamps; use pd.to_datetime")
        if sessions[name].isna().any():
            place = sessions.index[sessions[name].isna()][0]
            raise ValueError(f"session {place} in sessions has no {name} (NaT); leave it out")
    if sessions.arrival.dt.tz != sessions.departure.dt.tz:
        raise ValueError("arrival and departure in sessions must have the same time zone")
    late = sessions[sessions.departure <= sessions.arrival]
    if len(late):
        raise ValueError(
            f"session {late.index[0]} in sessions: departure = {late.departure.iloc[0]} does not "
            f"come after arrival = {late.arrival.iloc[0]}. A car must leave after it arrives"
        )
    if len(sessions):
        row("delivered_kwh in sessions", sessions.delivered_kwh.to_numpy(), "kWh", ge=0)
    return sessions


def _by_weekday(sessions):
    """The sessions of each weekday, from Monday = 0 to Friday = 4."""
    weekday = sessions.arrival.dt.day_of_week
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
    for day, name in enumerate(names):
        if not (weekday == day).any():
            raise ValueError(
                f"the table sessions has {len(sessions)} sessions and none on a {name}; "
                "a year cannot be drawn from it"
            )
    return [sessions[weekday == day] for day in range(len(names))]


def _clock_times(session):
    """Local clock times of arrival and departure; a stay over midnight ends there [h]."""
    start = session.arrival.hour + session.arrival.minute / 60
    end = session.departure.hour + session.departure.minute / 60
    over_midnight = session.departure.date() > session.arrival.date()
    return start, 24.0 if over_midnight else end


def _promised(storage, drive_kwh, soc_departure):
    """Energy of a day's driving, for one car that can promise so much."""
    instance("storage", storage, Storage)
    for field in fields(storage):
        if np.ndim(getattr(storage, field.name)):
            raise ValueError(
                f"{field.name} of the storage is an array; this diary is that of one car"
            )
    one_fraction("soc_departure", soc_departure)
    if not storage.soc_min < soc_departure <= storage.soc_max:
        raise ValueError(
            f"soc_departure = {soc_departure:g} must lie within the window "
            f"{storage.soc_min:g} to {storage.soc_max:g}"
        )
    driven = one("drive_kwh", drive_kwh, "kWh", ge=0)
    if driven > (soc_departure - storage.soc_min) * storage.energy_kwh:
        raise ValueError(
            f"drive_kwh = {driven:g} kWh a day is more than the battery holds between "
            "soc_departure and soc_min"
        )
    return driven


def _diary(away, drive_kwh, soc_departure):
    """Driving just before each return, the promise just before each leaving."""
    away_next = np.append(away[1:], away[-1])
    returns = away & ~away_next
    leaves = ~away & away_next
    return Diary(
        soc_start=soc_departure,
        plugged=(~away).astype(float),
        drive_kwh=np.where(returns, drive_kwh, 0.0),
        soc_departure=np.where(leaves, soc_departure, 0.0),
    )
