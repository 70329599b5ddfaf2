r"""Topic 08, arbitrage: what a plugged-in car earns and saves, from one line of arithmetic to the schedule of a year.

Closed forms first (`spread_profit`, `demand_saving`, `annuity`), then bills as utilities write them (`tariff`, `rates`, `bill`), then schedules: `optimise`
is a linear programme given straight to HiGHS, `rolling` plans again and again on forecasts, `follow` obeys a rule of thumb. All three
return a `Plan`, priced the same way, so that they can be compared.

p > 0 flows from the vehicle to the grid. Prices are per kWh at the meter; money is in the currency of the prices. `Storage` comes from topic
04; its `eta_charge` is grid to battery and `eta_discharge` battery to grid.
"""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from ._check import checked, plain
from .charger import Storage, checked_soc

# -------------------------------------------------------------------------------------------------- closed forms


def spread_profit(sold_kwh, price_buy, price_sell, *, eta_round_trip):
    r"""Profit of buying low and selling high once, before wear.

    .. math:: \Pi = E\,\pi_{sell} - \frac{E}{\eta_{rt}}\,\pi_{buy}            (8.1)

    Parameters
    ----------
    sold_kwh : float or array
        Energy sold, at the meter. [kWh]
    price_buy, price_sell : float or array
        [per kWh]
    eta_round_trip : float or array
        Meter to battery to meter. 0..1

    Returns
    -------
    float or array
        In the currency of the prices; negative when the losses eat the spread.

    Examples
    --------
    >>> round(spread_profit(20.0, 0.08, 0.20, eta_round_trip=0.9), 4)
    2.2222
    """
    eta = checked("eta_round_trip", eta_round_trip, "(a fraction, not per cent)", gt=0, le=1)
    sold_kwh = checked("sold_kwh", sold_kwh, "kWh", ge=0)
    return plain(
        sold_kwh * np.asarray(checked("price_sell", price_sell))
        - sold_kwh / np.asarray(eta) * checked("price_buy", price_buy)
    )  # eq. (8.1)


def implied_efficiency(profit, sold_kwh, price_buy, price_sell):
    r"""Round-trip efficiency that explains a stated profit: eq. (8.1) solved for it.

    .. math:: \eta_{rt} = \frac{E\,\pi_{buy}}{E\,\pi_{sell} - \Pi}            (8.2)

    Parameters
    ----------
    profit : float or array
        [currency]
    sold_kwh, price_buy, price_sell : float or array
        As in `spread_profit`; the buying price > 0.

    Returns
    -------
    float or array
        0..1

    Raises
    ------
    ValueError
        If no efficiency between 0 and 1 explains the profit.
    """
    sold, buy = (
        checked("sold_kwh", sold_kwh, "kWh", gt=0),
        checked("price_buy", price_buy, "per kWh", gt=0),
    )
    spent = sold * np.asarray(checked("price_sell", price_sell)) - checked("profit", profit)
    if np.any(spent <= 0) or np.any(sold * np.asarray(buy) > spent * (1 + 1e-12)):
        raise ValueError(
            f"profit = {profit} needs an efficiency outside 0..1: the spread alone gives at most {np.max(sold * np.subtract(price_sell, buy)):g}"
        )
    return plain(sold * np.asarray(buy) / spent)  # eq. (8.2)


def demand_saving(load_kw, help_kw, price_per_kw, *, interval_steps):
    r"""What a demand charge falls by when a car covers part of a load.

    .. math:: \Delta K = \pi_D\left(\max_k \bar L_k - \max_k \overline{(L - p)}_k\right)            (8.3)

    Parameters
    ----------
    load_kw : array, shape (steps,)
        Load of the billing period. [kW]
    help_kw : array, shape (steps,)
        Power of the car; > 0 discharges, < 0 charges (and may set a new peak). [kW]
    price_per_kw : float
        Demand charge for this period. [per kW]
    interval_steps : int
        Steps in one billing interval; the meter takes their mean.

    Returns
    -------
    float
        In the currency of the price; negative when charging sets a new peak.
    """
    load, help_kw = np.asarray(checked("load_kw", load_kw, "kW")), checked("help_kw", help_kw, "kW")
    drawn = (
        _intervals(np.maximum(power, 0.0), interval_steps).max() for power in (load, load - help_kw)
    )
    saved = next(drawn) - next(drawn)
    return float(checked("price_per_kw", price_per_kw, "per kW", ge=0) * saved)  # eq. (8.3)


def _intervals(power_kw, steps):
    if len(power_kw) % steps:
        raise ValueError(
            f"{len(power_kw)} steps do not fill whole billing intervals of {steps} steps"
        )
    return np.reshape(power_kw, (-1, steps)).mean(axis=1)


def annuity(rate, years):
    r"""Capital recovery factor: the yearly payment that pays back 1 over some years.

    .. math:: CRF = \frac{d}{1 - (1 + d)^{-n}}            (8.4)

    Parameters
    ----------
    rate : float or array
        Discount rate; 0 is allowed. [1/year]
    years : float or array
        > 0

    Returns
    -------
    float or array
        [1/year]

    Examples
    --------
    >>> round(1900 * annuity(0.10, 10), 2)
    309.22
    """
    rate, years = (
        checked("rate", rate, "(a fraction, not per cent)", ge=0, lt=1),
        checked("years", years, "years", gt=0),
    )
    safe = np.where(np.asarray(rate) > 0, rate, 1.0)
    return plain(
        np.where(
            np.asarray(rate) > 0,
            safe / -np.expm1(-np.asarray(years) * np.log1p(safe)),
            1 / np.asarray(years),
        )
    )  # eq. (8.4)


def net_present_value(rate, flows):
    r"""Value today of a row of yearly payments.

    .. math:: NPV = \sum_{k=0}^{n} \frac{F_k}{(1 + d)^k}            (8.5)

    Parameters
    ----------
    rate : float
        Discount rate. [1/year]
    flows : array, shape (years + 1,)
        Payment at the end of each year; the first is today, < 0 for an investment.

    Returns
    -------
    float
    """
    flows = np.atleast_1d(checked("flows", flows))
    return float(
        np.sum(
            flows
            / (1 + checked("rate", rate, "(a fraction, not per cent)", gt=-1, lt=1))
            ** np.arange(len(flows))
        )
    )  # eq. (8.5)


def regulation_revenue(p_kw, plugged_h, *, capacity_per_kw_h, energy_per_kwh, dispatch):
    r"""Revenue of a regulation contract: paid for being there, and for what flows.

    .. math:: r = \pi_{cap}\,P\,t_{plug} + \pi_{el}\,R_{dc}\,P\,t_{plug}            (8.6)

    Parameters
    ----------
    p_kw : float or array
        Contracted power. [kW]
    plugged_h : float or array
        Hours under contract. [h]
    capacity_per_kw_h, energy_per_kwh : float or array
        Price of capacity [per kW and hour] and of energy [per kWh].
    dispatch : float or array
        Energy dispatched over energy contracted. 0..1

    Returns
    -------
    float or array

    References
    ----------
    .. [1] Kempton and Tomic, J. Power Sources 144, 268-279, 2005, eq. (6).
    """
    kwh = checked("p_kw", p_kw, "kW", ge=0) * np.asarray(checked("plugged_h", plugged_h, "h", ge=0))
    dispatch = checked("dispatch", dispatch, "(a fraction)", ge=0, le=1)
    return plain(
        kwh
        * (
            checked("capacity_per_kw_h", capacity_per_kw_h)
            + checked("energy_per_kwh", energy_per_kwh) * np.asarray(dispatch)
        )
    )  # eq. (8.6)


# --------------------------------------------------------------------------------------------------------- bills


@dataclass(frozen=True, kw_only=True)
class Tariff:
    """What a utility charges, in `currency`, an ISO code such as "USD".

    `energy` and `demand` are lists of rules: a dict with `months` (1..12), `days` ("weekdays", "weekends" or "all"), `from_h`,
    `to_h` (local clock) and a price, `price_per_kwh` or `price_per_kw_month`. For energy the first rule that fits counts; of the demand
    rules each is its own charge on the highest mean import over `interval_min` minutes in its hours. With a ratchet, a month is billed
    at least `ratchet` times the highest peak of the `ratchet_months` before it.
    """

    name: str
    currency: str
    timezone: str
    energy: list
    demand: list
    interval_min: int = 15
    fixed_per_month: float = 0.0
    export_per_kwh: float = 0.0
    ratchet: float = 0.0
    ratchet_months: int = 11
    source: str = ""

    def __post_init__(self):
        if not self.energy:
            raise ValueError(
                f"the tariff {self.name!r} has no energy periods; it needs at least one rule with price_per_kwh"
            )
        checked("interval_min", self.interval_min, "min", gt=0)
        checked("ratchet", self.ratchet, "(a fraction)", ge=0, le=1)
        checked("ratchet_months", self.ratchet_months, "months", ge=1)
        for rules, price in ((self.energy, "price_per_kwh"), (self.demand, "price_per_kw_month")):
            for rule in rules:
                missing = {"months", "days", "from_h", "to_h", price} - set(rule)
                if (
                    missing
                    or rule["days"] not in ("weekdays", "weekends", "all")
                    or not 0 <= rule["from_h"] < rule["to_h"] <= 24
                ):
                    why = (
                        f"it has no {', '.join(sorted(missing))}"
                        if missing
                        else "days are weekdays, weekends or all, and 0 <= from_h < to_h <= 24"
                    )
                    raise ValueError(
                        f"the tariff {self.name!r} has a rule that cannot be read ({why}): {rule}"
                    )


def tariff(name):
    """Read a tariff from `v2gbook/data/tariffs`. ValueError, with the list of names, if there is none of that name."""
    folder = Path(__file__).parent / "data" / "tariffs"
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in known:
        raise ValueError(f"there is no tariff {name!r}; there are {', '.join(known)}")
    return Tariff(**tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8")))


def _applies(rule, time):
    days = {
        "weekdays": time.day_of_week < 5,
        "weekends": time.day_of_week >= 5,
        "all": np.ones(len(time), bool),
    }[rule["days"]]
    clock = time.hour + time.minute / 60
    return np.asarray(
        time.month.isin(rule["months"]) & days & (clock >= rule["from_h"]) & (clock < rule["to_h"])
    )


def rates(tariff, time):
    """Price of each step.

    Parameters
    ----------
    tariff : Tariff
    time : DatetimeIndex, shape (steps,)
        Start of each step, in local time (with the tariff's time zone, or none).

    Returns
    -------
    DataFrame
        Index `time`; columns `buy_per_kwh` and `sell_per_kwh`.

    Raises
    ------
    ValueError
        If some hours have no rule: the message names the first.
    """
    time = _local(tariff, time)
    buy = np.full(len(time), np.nan)
    for rule in reversed(tariff.energy):
        buy[_applies(rule, time)] = rule["price_per_kwh"]
    if np.isnan(buy).any():
        raise ValueError(
            f"the tariff {tariff.name!r} has no energy price for {time[np.isnan(buy)][0]:%A %d %B, %H:%M}"
        )
    return pd.DataFrame({"buy_per_kwh": buy, "sell_per_kwh": tariff.export_per_kwh}, index=time)


def _local(tariff, time):
    if time.tz is None:
        return time
    return time.tz_convert(tariff.timezone)


def bill(tariff, import_kw, export_kw=None):
    r"""The bills of some months.

    .. math:: K = \sum_t \Delta t\,(\pi_t\,g_t^+ - \pi^{ex}_t\,g_t^-) + \sum_j \pi_{D,j}\,\max\!\big(\hat g_j,\ r\,\hat g_j^{past}\big) + K_0            (8.7)

    Parameters
    ----------
    tariff : Tariff
    import_kw : Series
        Power drawn from the grid (>= 0), indexed by time stamps with an even step. [kW]
    export_kw : Series, optional
        Power given to the grid (>= 0). [kW]

    Returns
    -------
    DataFrame
        One row a month: `energy`, `export` (negative), `demand`, `fixed`, `total` in the tariff's currency, and `peak_kw`,
        the highest interval of the month.

    Raises
    ------
    ValueError
        If the time stamps have gaps or repeats, a power is negative or unknown, or the steps do not fill whole billing intervals.

    Notes
    -----
    A ratchet remembers the peaks of its own rule's months; a seasonal charge is not carried into other months.
    """
    dt_h = even_step(import_kw.index)
    drawn = np.asarray(checked("import_kw", import_kw.to_numpy(), "kW", ge=0))
    if export_kw is not None and not export_kw.index.equals(import_kw.index):
        raise ValueError("export_kw and import_kw must have the same time stamps")
    given = (
        np.zeros(len(drawn))
        if export_kw is None
        else np.asarray(checked("export_kw", export_kw.to_numpy(), "kW", ge=0))
    )
    price = rates(tariff, import_kw.index)
    steps = tariff.interval_min / (60 * dt_h)
    if abs(steps - round(steps)) > 1e-9 and steps > 1:
        raise ValueError(
            f"steps of {60 * dt_h:g} min do not divide the billing interval of {tariff.interval_min} min"
        )
    steps = max(1, round(steps))
    if len(drawn) % steps:
        raise ValueError(
            f"the load ends within a billing interval of {tariff.interval_min} min; give whole intervals"
        )
    months = price.index.tz_localize(None).to_period("M")
    table = pd.DataFrame(
        {
            "energy": dt_h * drawn * price.buy_per_kwh.to_numpy(),
            "export": -dt_h * given * price.sell_per_kwh.to_numpy(),
        }
    )
    table = table.groupby(months).sum().rename_axis("month")
    mean_kw = pd.Series(drawn).rolling(steps).mean().to_numpy()[steps - 1 :: steps]
    ends = price.index[: len(mean_kw) * steps : steps]
    table["demand"] = 0.0
    for rule in tariff.demand:
        peaks = (
            pd.Series(np.where(_applies(rule, ends), mean_kw, 0.0))
            .groupby(ends.tz_localize(None).to_period("M"))
            .max()
        )
        past = peaks.shift(1).rolling(tariff.ratchet_months, min_periods=1).max().fillna(0.0)
        table["demand"] += (
            rule["price_per_kw_month"]
            * np.maximum(peaks, tariff.ratchet * past)
            * peaks.index.month.isin(rule["months"])
        )
    table["fixed"] = tariff.fixed_per_month
    table["total"] = table[["energy", "export", "demand", "fixed"]].sum(axis=1)  # eq. (8.7)
    table["peak_kw"] = pd.Series(mean_kw).groupby(ends.tz_localize(None).to_period("M")).max()
    return table


def even_step(time):
    """Length of the step of a time index [h]; ValueError that names the first gap or repeated hour."""
    if len(time) < 2:
        raise ValueError("a time series needs at least two steps")
    stamps = time.tz_convert("UTC") if time.tz is not None else time
    gaps = np.diff(stamps.as_unit("s").asi8)
    usual = np.median(gaps)
    odd = np.flatnonzero(gaps <= 0) if (gaps <= 0).any() else np.flatnonzero(gaps != usual)
    if odd.size:
        k = odd[0]
        what = (
            "is repeated"
            if gaps[k] == 0
            else "comes out of order"
            if gaps[k] < 0
            else "follows after a gap"
        )
        raise ValueError(
            f"the step {time[k + 1]:%Y-%m-%d %H:%M} {what}; prices and loads need one value for each step"
        )
    return float(usual / 3600)


# ---------------------------------------------------------------------------------------- what a schedule is made for


@dataclass(frozen=True, kw_only=True, eq=False)
class Peak:
    """A demand charge as a schedule sees it: `price_per_kw` on the highest mean import over `interval_steps` steps.

    `counts` marks the steps in which it is measured (all if None); `already_kw` is a peak that is billed anyway, from
    earlier in the month or from a ratchet.
    """

    price_per_kw: float
    interval_steps: int = 1
    counts: object = None
    already_kw: float = 0.0

    def __post_init__(self):
        checked("price_per_kw", self.price_per_kw, "per kW", ge=0)
        checked("already_kw", self.already_kw, "kW", ge=0)
        checked("interval_steps", self.interval_steps, ge=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prices:
    """Prices of each step at one meter.

    Attributes
    ----------
    dt_h : float
        Length of a step. [h]
    buy_per_kwh : array, shape (steps,)
        For what is drawn.
    sell_per_kwh : array, shape (steps,), optional
        For what is given; the buying price if left out (a wholesale market), 0 for a meter that pays nothing.
    peaks : tuple of Peak
        Demand charges.

    Raises
    ------
    ValueError
        If a price is unknown (NaN) or the lengths differ.
    """

    dt_h: float
    buy_per_kwh: np.ndarray
    sell_per_kwh: np.ndarray = None
    peaks: tuple = ()

    def __post_init__(self):
        checked("dt_h", self.dt_h, "h", gt=0)
        buy = np.atleast_1d(_known("buy_per_kwh", self.buy_per_kwh))
        sell = (
            buy
            if self.sell_per_kwh is None
            else np.atleast_1d(_known("sell_per_kwh", self.sell_per_kwh))
        )
        if sell.size not in (1, buy.size):
            raise ValueError(f"sell_per_kwh has {sell.size} steps and buy_per_kwh {buy.size}")
        if not isinstance(self.peaks, (tuple, list)) or not all(
            isinstance(peak, Peak) for peak in self.peaks
        ):
            raise ValueError("peaks must be a tuple of Peak, such as (Peak(price_per_kw=12.0),)")
        object.__setattr__(self, "buy_per_kwh", buy)
        object.__setattr__(self, "sell_per_kwh", np.broadcast_to(sell, buy.shape))

    def __len__(self):
        return len(self.buy_per_kwh)


def _known(name, prices):
    prices = np.asarray(prices, dtype=float)
    if np.isnan(prices).any():
        raise ValueError(
            f"{name} has no value in step {np.flatnonzero(np.isnan(prices))[0]}; fill the gap or leave out the day, a schedule cannot guess it"
        )
    return checked(name, prices)


@dataclass(frozen=True, kw_only=True, eq=False)
class Diary:
    """When a car is plugged in, what driving takes, and what was promised. Arrays of shape (steps,) or (cars, steps).

    Attributes
    ----------
    soc_start : float or array, shape (cars,)
        Before the first step. 0..1
    plugged : array
        Share of the step at the plug. 0..1
    drive_kwh : array or float
        Taken out of the battery by driving in the step; only while not plugged in. [kWh]
    soc_promise : array or float
        Soc to stand at or above at the end of the step; 0 where nothing was promised. 0..1. Wherever the car is plugged in,
        it also stands at or above `soc_min`.

    Raises
    ------
    ValueError
        If a share or soc is outside 0..1, the shapes differ, or a car drives while it is plugged in.
    """

    soc_start: float
    plugged: np.ndarray
    drive_kwh: np.ndarray = 0.0
    soc_promise: np.ndarray = 0.0

    def __post_init__(self):
        plugged = np.atleast_1d(
            checked("plugged", self.plugged, "(a share of the step)", ge=0, le=1)
        )
        drive, promise = (
            checked("drive_kwh", self.drive_kwh, "kWh", ge=0),
            checked_soc("soc_promise", self.soc_promise),
        )
        checked_soc("soc_start", self.soc_start)
        try:
            drive, promise = (
                np.broadcast_to(drive, plugged.shape),
                np.broadcast_to(promise, plugged.shape),
            )
        except ValueError:
            raise ValueError(
                f"plugged has shape {plugged.shape}, drive_kwh {np.shape(drive)} and soc_promise {np.shape(promise)}; they must agree"
            ) from None
        if np.any((plugged >= 1) & (drive > 0)):
            raise ValueError(
                "drive_kwh is positive in a step in which the car is plugged in all the time"
            )
        for name, value in (("plugged", plugged), ("drive_kwh", drive), ("soc_promise", promise)):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """What else hangs on the meter: `load_kw` (number or one value a step), and what the connection lets through."""

    load_kw: object = 0.0
    import_limit_kw: float = np.inf
    export_limit_kw: float = np.inf

    def __post_init__(self):
        checked("load_kw", self.load_kw, "kW")
        for name in ("import_limit_kw", "export_limit_kw"):
            checked(name, getattr(self, name), "kW", ge=0, finite=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A schedule and what it costs.

    `p_kw` (> 0 discharges) and `soc` (end of step) have the shape of the diary; `import_kw` and `export_kw` are those of the
    whole meter, load included. Costs are in the currency of the prices; an income is a negative cost. `binaries` counts the steps in
    which the programme had to be told not to charge and discharge, or to import and export, at once.
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
    def cost(self):
        """Energy, demand and wear together."""
        return self.energy_cost + self.demand_cost + self.wear_cost

    def table(self, index=None):
        """The schedule of one car as a DataFrame: `p_kw`, `soc`, `import_kw`, `export_kw`; index = steps, or what is given."""
        if np.ndim(self.p_kw) != 1:
            raise ValueError(
                f"this plan holds {len(self.p_kw)} cars; take p_kw and soc of the one you want"
            )
        columns = {name: getattr(self, name) for name in ("p_kw", "soc", "import_kw", "export_kw")}
        return pd.DataFrame(
            columns, index=pd.RangeIndex(len(self.p_kw), name="step") if index is None else index
        )


def priced(storage, diary, prices, p_kw, soc, site=Site(), wear_per_kwh=0.0, binaries=0):
    """Turn powers into a Plan: the meter, the bill, the wear. Every schedule of this module is priced here, and only here."""
    total = np.sum(np.atleast_2d(p_kw), axis=0)
    net = np.asarray(site.load_kw) - total
    drawn, given = np.maximum(net, 0.0), np.maximum(-net, 0.0)
    energy = prices.dt_h * float(prices.buy_per_kwh @ drawn - prices.sell_per_kwh @ given)
    demand = 0.0
    for peak in prices.peaks:
        means = _intervals(drawn, peak.interval_steps)[_counted(peak, len(drawn))]
        demand += peak.price_per_kw * max(float(means.max(initial=0.0)), peak.already_kw)
    eta = (
        np.expand_dims(storage.eta_discharge, -1)
        if np.ndim(storage.eta_discharge)
        else storage.eta_discharge
    )
    out_kwh = prices.dt_h * float(np.sum(np.maximum(p_kw, 0.0) / eta))
    return Plan(
        p_kw=p_kw,
        soc=soc,
        import_kw=drawn,
        export_kw=given,
        energy_cost=energy,
        demand_cost=float(demand),
        wear_cost=float(wear_per_kwh * out_kwh),
        discharged_kwh=prices.dt_h * float(np.sum(np.maximum(p_kw, 0.0))),
        binaries=binaries,
    )


def _counted(peak, steps):
    """Which billing intervals a demand charge looks at: those that begin in a step that counts."""
    counts = np.ones(steps, bool) if peak.counts is None else np.asarray(peak.counts, bool)
    if counts.shape != (steps,) or steps % peak.interval_steps:
        raise ValueError(
            f"a demand charge with interval_steps = {peak.interval_steps}"
            + (f" and counts for {counts.size} steps" if peak.counts is not None else "")
            + f" does not fit a schedule of {steps} steps"
        )
    return counts[:: peak.interval_steps]


# ------------------------------------------------------------------------------------------------- the optimum


def optimise(storage, diary, prices, site=Site(), *, wear_per_kwh=0.0):
    r"""The cheapest schedule that keeps every promise, with all prices known.

    .. math:: \min \sum_t \Delta t\,(\pi_t g_t^+ - \pi^{ex}_t g_t^-) + \sum_j \pi_{D,j}\,\hat g_j + \sum_{i,t} w\,\frac{d_{it}\,\Delta t}{\eta_{d}}            (8.8)
    .. math:: s_{it} = s_{i,t-1} + \frac{\Delta t}{E_i}\Big(\eta_c c_{it} - \frac{d_{it}}{\eta_d}\Big) - \frac{e_{it}}{E_i}            (8.9)
    .. math:: g_t^+ - g_t^- = L_t + \sum_i (c_{it} - d_{it}),\qquad \hat g_j \ge \overline{g^+}_k            (8.10)

    Parameters
    ----------
    storage : Storage
        One car, or arrays with one entry per car.
    diary : Diary
        With a row per car if there are several.
    prices : Prices
    site : Site
        Load and limits of the shared meter.
    wear_per_kwh : float
        Cost of a kWh taken out of the battery by discharging to the grid. [per kWh]

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If no schedule keeps all promises: the message says which one breaks, and by how much. Also if lengths do not fit.

    Notes
    -----
    Variables are charging c, discharging d and soc; meter flows appear only where the two prices, a demand charge or a limit need
    them. Nothing in the programme forbids charging and discharging at once; it does not pay unless (8.11) holds. Where it
    happens, whole-number variables are added for those very steps and the programme is solved again.

    With several cars, ties between equal cars make the simplex method slow. Each car's prices are shifted by a random amount of mean zero, a
    ten-thousandth of the mean price at most; the plan is priced without the shift.
    """
    problem = _Problem(
        storage, diary, prices, site, checked("wear_per_kwh", wear_per_kwh, "per kWh", ge=0)
    )
    forbidden = np.zeros((problem.n, problem.steps), bool), np.zeros(problem.steps, bool)
    while True:
        c, d, soc, drawn, given = problem.solve(*forbidden)
        both = np.minimum(c, d) > 1e-6
        crossed = (np.minimum(drawn, given) > 1e-6) & (prices.sell_per_kwh > prices.buy_per_kwh)
        if not (both & ~forbidden[0]).any() and not (crossed & ~forbidden[1]).any():
            break
        forbidden = forbidden[0] | both, forbidden[1] | crossed
    shape = diary.plugged.shape
    return priced(
        storage,
        diary,
        prices,
        (d - c).reshape(shape),
        soc.reshape(shape),
        site,
        wear_per_kwh,
        int(sum(f.sum() for f in forbidden)),
    )


def burning_price(storage, wear_per_kwh):
    r"""Price below which charging and discharging at once would pay: the car as a heater.

    .. math:: \pi < -\frac{w\,\eta_c}{1 - \eta_{rt}}\ \text{(one price)},\qquad \pi^{ex}\eta_{rt} - \pi > w\,\eta_c\ \text{(two prices)}            (8.11)

    Parameters
    ----------
    storage : Storage
    wear_per_kwh : float or array
        Per kWh taken out of the battery.

    Returns
    -------
    float or array
        Never positive; minus infinity for a lossless car. [per kWh]
    """
    wear = np.multiply(checked("wear_per_kwh", wear_per_kwh, "per kWh", ge=0), storage.eta_charge)
    lost = 1 - np.asarray(storage.eta_round_trip)
    with np.errstate(divide="ignore", invalid="ignore"):
        return plain(np.where(lost > 0, -wear / lost, -np.inf))  # eq. (8.11)


class _Rows:
    """Rows of a sparse matrix with their bounds, put down block by block."""

    def __init__(self):
        self.parts, self.lower, self.upper, self.count = [], [], [], 0

    def put(self, row, column, value):
        """Entries of the current block; `row` counts from its first row."""
        self.parts.append(
            np.broadcast_arrays(
                self.count + np.asarray(row), column, np.asarray(value, dtype=float)
            )
        )

    def close(self, lower, upper):
        """End the block: lower <= row <= upper."""
        self.lower.append(lower), self.upper.append(upper)
        self.count += len(lower)

    def copy(self):
        """The same rows, to be added to."""
        new = _Rows()
        new.parts, new.lower, new.upper, new.count = (
            [*self.parts],
            [*self.lower],
            [*self.upper],
            self.count,
        )
        return new

    def constraint(self, columns):
        row, column, value = (np.concatenate([part[k] for part in self.parts]) for k in range(3))
        matrix = sparse.csc_array((value, (row, column)), shape=(self.count, columns))
        return LinearConstraint(matrix, np.concatenate(self.lower), np.concatenate(self.upper))


class _Problem:
    """Equations (8.8) to (8.11) as columns and rows.

    Columns: charge and discharge (m cells each: the steps in which a car is plugged in), soc (all n x steps cells), and where the
    meter matters import and export (steps each) and the peaks; then 0-1 columns where they are needed.
    """

    def __init__(self, storage, diary, prices, site, wear):
        self.prices, self.site, self.diary = prices, site, diary
        plugged = np.atleast_2d(diary.plugged)
        self.n, self.steps = plugged.shape
        if self.steps != len(prices):
            raise ValueError(f"the diary has {self.steps} steps and the prices {len(prices)}")
        if np.ndim(site.load_kw) and len(site.load_kw) != self.steps:
            raise ValueError(f"load_kw has {len(site.load_kw)} steps and the prices {self.steps}")
        self.load = np.broadcast_to(np.asarray(site.load_kw, dtype=float), self.steps)
        try:
            self.car = {
                name: np.broadcast_to(np.asarray(getattr(storage, name), dtype=float), self.n)
                for name in storage.__dataclass_fields__
            }
            self.start = np.broadcast_to(np.asarray(diary.soc_start, dtype=float), self.n)
        except ValueError:
            raise ValueError(
                f"the diary holds {self.n} cars; storage and soc_start must hold one value or {self.n}"
            ) from None
        self.cell = np.flatnonzero(plugged.ravel() > 0)
        self.i, self.t = self.cell // self.steps, self.cell % self.steps
        share = plugged.ravel()[self.cell]
        self.top = (
            self.car["p_charge_kw"][self.i] * share,
            self.car["p_discharge_kw"][self.i] * share,
        )
        one_price = np.array_equal(prices.buy_per_kwh, prices.sell_per_kwh)
        self.meter = bool(prices.peaks) or (not one_price and (self.n > 1 or bool(self.load.any())))
        self.first_soc, self.first_grid = 2 * len(self.cell), 2 * len(self.cell) + plugged.size
        self.columns = self.first_grid + (2 * self.steps + len(prices.peaks) if self.meter else 0)
        self.rows = _Rows()
        self._battery()
        self._grid()
        self._bounds(plugged)
        self._costs(wear)

    def _battery(self):
        """Eq. (8.9), divided by the energy of the battery."""
        cells, m = np.arange(self.n * self.steps), np.arange(len(self.cell))
        later = cells[cells % self.steps > 0]
        per_kwh = self.prices.dt_h / self.car["energy_kwh"]
        self.rows.put(cells, self.first_soc + cells, 1.0)
        self.rows.put(later, self.first_soc + later - 1, -1.0)
        self.rows.put(self.cell, m, -(per_kwh * self.car["eta_charge"])[self.i])
        self.rows.put(self.cell, len(m) + m, (per_kwh / self.car["eta_discharge"])[self.i])
        right = -np.atleast_2d(self.diary.drive_kwh) / self.car["energy_kwh"][:, None]
        right[:, 0] += self.start
        self.rows.close(right.ravel(), right.ravel())

    def _grid(self):
        """Eq. (8.10): the balance of the meter, or just its limits, and the peaks."""
        m, steps, site = np.arange(len(self.cell)), np.arange(self.steps), self.site
        most = (
            np.abs(self.load).max()
            + self.car["p_charge_kw"].sum()
            + self.car["p_discharge_kw"].sum()
        )
        self.most_in, self.most_out = (
            min(site.import_limit_kw, most),
            min(site.export_limit_kw, most),
        )
        if self.meter or min(site.import_limit_kw, site.export_limit_kw) < np.inf:
            self.rows.put(self.t, m, 1.0)
            self.rows.put(self.t, len(m) + m, -1.0)
            if self.meter:
                self.rows.put(steps, self.first_grid + steps, -1.0)
                self.rows.put(steps, self.first_grid + self.steps + steps, 1.0)
                self.rows.close(-self.load, -self.load)
            else:
                self.rows.close(-site.export_limit_kw - self.load, site.import_limit_kw - self.load)
        for j, peak in enumerate(self.prices.peaks):
            blocks = np.flatnonzero(_counted(peak, self.steps))
            row = np.arange(len(blocks))
            for k in range(peak.interval_steps):
                self.rows.put(
                    row,
                    self.first_grid + blocks * peak.interval_steps + k,
                    -1 / peak.interval_steps,
                )
            self.rows.put(row, self.first_grid + 2 * self.steps + j, 1.0)
            self.rows.close(np.zeros(len(row)), np.full(len(row), np.inf))

    def _bounds(self, plugged):
        promise = np.atleast_2d(self.diary.soc_promise)
        low = np.where(plugged > 0, np.maximum(self.car["soc_min"][:, None], promise), promise)
        high = np.broadcast_to(self.car["soc_max"][:, None], plugged.shape)
        self.low, self.high = [np.zeros(self.first_soc), low.ravel()], [*self.top, high.ravel()]
        if self.meter:
            already = np.array([peak.already_kw for peak in self.prices.peaks])
            self.low += [np.zeros(2 * self.steps), already]
            self.high += [
                np.repeat([self.most_in, self.most_out], self.steps),
                np.full(len(already), np.inf),
            ]

    def _costs(self, wear):
        """Eq. (8.8)."""
        dt, buy, sell = self.prices.dt_h, self.prices.buy_per_kwh, self.prices.sell_per_kwh
        charge, give = (
            (np.zeros(len(self.t)), np.zeros(len(self.t)))
            if self.meter
            else (dt * buy[self.t], -dt * sell[self.t])
        )
        if self.n > 1:
            tilt = (
                1e-4
                * dt
                * np.abs(buy).mean()
                * np.random.default_rng(8).uniform(-1, 1, len(self.t))
            )
            charge, give = charge + tilt, give - tilt
        self.cost = [
            charge,
            give + wear * dt / self.car["eta_discharge"][self.i],
            np.zeros(self.n * self.steps),
        ]
        if self.meter:
            self.cost += [dt * buy, -dt * sell, [peak.price_per_kw for peak in self.prices.peaks]]

    def solve(self, one_way, one_flow):
        """Charge, discharge, soc (n x steps), import and export; `one_way` cells and `one_flow` steps get a 0-1 column."""
        cells, steps, m = (
            np.flatnonzero(one_way.ravel()[self.cell]),
            np.flatnonzero(one_flow),
            len(self.cell),
        )
        first, free = self.columns, len(cells) + len(steps)
        rows = self.rows.copy() if free else self.rows
        for into, out, top_in, top_out in (
            (cells, m + cells, self.top[0][cells], self.top[1][cells]),
            (
                self.first_grid + steps,
                self.first_grid + self.steps + steps,
                self.most_in,
                self.most_out,
            ),
        ):
            row = np.arange(len(into))
            if len(row):
                rows.put(row, into, 1.0)  # in <= top z
                rows.put(row, first + row, -top_in)
                rows.close(np.full(len(row), -np.inf), np.zeros(len(row)))
                rows.put(row, out, 1.0)  # out <= top (1 - z)
                rows.put(row, first + row, top_out)
                rows.close(np.full(len(row), -np.inf), np.broadcast_to(top_out, len(row)))
                first += len(row)
        whole = np.r_[np.zeros(self.columns), np.ones(free)] if free else None
        result = milp(
            np.concatenate([*self.cost, np.zeros(free)]),
            constraints=rows.constraint(self.columns + free),
            integrality=whole,
            bounds=Bounds(
                np.concatenate([*self.low, np.zeros(free)]),
                np.concatenate([*self.high, np.ones(free)]),
            ),
            options={"mip_rel_gap": 1e-9} if free else None,
        )
        if result.status == 2:
            raise ValueError(self.broken_promise())
        if result.x is None:
            raise ValueError(f"the solver gave up: {result.message}")
        return self._unpack(result.x)

    def _unpack(self, x):
        shape, m = (self.n, self.steps), len(self.cell)
        charge, give = np.zeros(self.n * self.steps), np.zeros(self.n * self.steps)
        charge[self.cell], give[self.cell] = np.maximum(x[:m], 0.0), np.maximum(x[m : 2 * m], 0.0)
        grid = x[self.first_grid : self.columns] if self.meter else np.zeros(2 * self.steps)
        return (
            charge.reshape(shape),
            give.reshape(shape),
            x[self.first_soc : self.first_grid].reshape(shape),
            grid[: self.steps],
            grid[self.steps : 2 * self.steps],
        )

    def unkept(self):
        """In words, the first promise that a car cannot keep even if it always charges; empty if there is none."""
        reach, energy, high = self.start.copy(), self.car["energy_kwh"], self.car["soc_max"]
        low, drive = self.low[1].reshape(self.n, self.steps), np.atleast_2d(self.diary.drive_kwh)
        if (reach > high + 1e-9).any():
            who, j = self._who(reach > high + 1e-9)
            return f"{who} starts at soc {reach[j]:g}, above its soc_max = {high[j]:g}"
        if (low > high[:, None] + 1e-9).any():
            who, j = self._who((low > high[:, None] + 1e-9).any(axis=1))
            return f"{who} promises soc {low[j].max():g} in step {int(low[j].argmax())}, above its soc_max = {high[j]:g}"
        rise = (
            self.prices.dt_h
            * (self.car["eta_charge"] * self.car["p_charge_kw"] / energy)[:, None]
            * np.atleast_2d(self.diary.plugged)
        )
        for k in range(self.steps):
            reach = np.minimum(reach + rise[:, k], high) - drive[:, k] / energy
            bad = reach < low[:, k] - 1e-9
            if bad.any():
                who, j = self._who(bad)
                if reach[j] < 0 and low[j, k] <= 0:
                    return (
                        f"{who} cannot make the trip in step {k}: it takes {drive[j, k]:.1f} kWh, and {-reach[j] * energy[j]:.1f} kWh of "
                        "them are not in the battery even if the car always charges"
                    )
                return (
                    f"{who} cannot stand at soc {low[j, k]:.3f} at the end of step {k}: charging at full power whenever it is plugged in, "
                    f"it reaches {reach[j]:.3f}, and {(low[j, k] - reach[j]) * energy[j]:.1f} kWh are missing"
                )
        return ""

    def broken_promise(self):
        """In words, why there is no schedule: a car's own promise, or the limit of the meter."""
        if self.unkept():
            return self.unkept()
        if np.isfinite(self.site.import_limit_kw):
            least = Prices(
                dt_h=self.prices.dt_h,
                buy_per_kwh=np.zeros(self.steps),
                peaks=(Peak(price_per_kw=1.0),),
            )
            drawn = optimise(
                Storage(**self.car), self.diary, least, replace(self.site, import_limit_kw=np.inf)
            ).import_kw
            if drawn.max() > self.site.import_limit_kw:
                return (
                    f"import_limit_kw = {self.site.import_limit_kw:g} kW is too little: with all promises kept the meter draws at least "
                    f"{np.ceil(10 * drawn.max() - 1e-6) / 10:.1f} kW, first in step {int(np.argmax(drawn > drawn.max() - 1e-6))}"
                )
        return (
            f"export_limit_kw = {self.site.export_limit_kw:g} kW cannot be kept: in step {int(self.load.argmin())} the site itself gives "
            f"{-self.load.min():.1f} kW, and the cars cannot take enough of it"
        )

    def _who(self, bad):
        """A name for the first of the cars, and its place."""
        j, others = int(np.flatnonzero(bad)[0]), int(bad.sum()) - 1
        return (
            "the car" if self.n == 1 else f"car {j}" + (f" (and {others} more)" if others else "")
        ), j


# ---------------------------------------------------------------------------------- rules of thumb, and forecasts


def floor_line(storage, diary, *, dt_h):
    """Lowest soc at the end of each step from which all later promises and trips can still be kept.

    Parameters
    ----------
    storage : Storage
    diary : Diary
    dt_h : float
        [h]

    Returns
    -------
    array, shape of the diary
        Never below soc_min where the car is plugged in. A value above soc_max says that a promise cannot be kept.
    """
    plugged, energy = diary.plugged, _column(storage, "energy_kwh", diary)
    rise = (
        checked("dt_h", dt_h, "h", gt=0)
        * _column(storage, "eta_charge", diary)
        * _column(storage, "p_charge_kw", diary)
        * plugged
        / energy
    )
    own = np.where(
        plugged > 0,
        np.maximum(_column(storage, "soc_min", diary), diary.soc_promise),
        diary.soc_promise,
    )
    high, (own, step) = _by_step(rise.shape, own, diary.drive_kwh / energy - rise)[1:]
    floor, need = [], own[-1] * 0.0
    for least, change in zip(reversed(own), reversed(step)):
        need = high(least, need)
        floor.append(need)
        need = need + change
    return np.stack(floor[::-1], axis=-1)


def _by_step(shape, *arrays):
    """`min`, `max` and the arrays step by step: as floats for one car (twenty times as fast), as arrays over the cars for several."""
    rows = [np.moveaxis(np.broadcast_to(array, shape), -1, 0) for array in arrays]
    return (
        (min, max, [row.tolist() for row in rows])
        if len(shape) == 1
        else (np.minimum, np.maximum, rows)
    )


def _column(storage, name, diary):
    """A field of the storage that broadcasts against the diary's (cars, steps)."""
    value = np.asarray(getattr(storage, name), dtype=float)
    return value[:, None] if value.ndim else value


def _keepable(storage, diary, prices, site):
    """ValueError if lengths differ or a car cannot keep its own promises."""
    words = _Problem(storage, diary, prices, site, 0.0).unkept()
    if words:
        raise ValueError(words)


def follow(storage, diary, prices, wish_kw, site=Site(), *, wear_per_kwh=0.0):
    """Obey a wish for power as far as battery, charger and promises allow: how a rule of thumb is carried out.

    Parameters
    ----------
    storage, diary, prices, site, wear_per_kwh
        As in `optimise`. The site's limits are not enforced.
    wish_kw : array, shape of the diary
        > 0 discharges. [kW]

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If a promise cannot be kept even by charging all the time.
    """
    dt_h, plugged = prices.dt_h, diary.plugged
    _keepable(storage, diary, prices, site)
    wish = np.asarray(checked("wish_kw", wish_kw, "kW"))
    if wish.shape not in ((), plugged.shape, plugged.shape[-1:]):
        raise ValueError(
            f"wish_kw has shape {wish.shape}; give a number, or one for each of the {plugged.shape[-1]} steps"
        )
    wish = np.broadcast_to(wish, plugged.shape)
    energy, eta_c, eta_d = (
        _column(storage, name, diary) for name in ("energy_kwh", "eta_charge", "eta_discharge")
    )
    trips, most_in, most_out, full = (
        array * np.ones(plugged.shape)
        for array in (
            diary.drive_kwh / energy,
            _column(storage, "p_charge_kw", diary) * plugged,
            _column(storage, "p_discharge_kw", diary) * plugged,
            _column(storage, "soc_max", diary),
        )
    )
    low, high, rows = _by_step(
        plugged.shape,
        floor_line(storage, diary, dt_h=dt_h),
        trips,
        most_in,
        most_out,
        full,
        wish,
        dt_h * eta_c / energy,
        dt_h / (eta_d * energy),
    )
    soc, powers, trace = (
        (
            float(diary.soc_start)
            if plugged.ndim == 1
            else np.broadcast_to(diary.soc_start, plugged.shape[:-1])
        ),
        [],
        [],
    )
    for floor, trip, charge, give, top, wanted, per_charge, per_give in zip(*rows):
        after = floor + trip  # to stand at, before the step's driving
        must = low(high((after - soc) / per_charge, 0.0), charge)
        most = high(
            low((top - soc) / per_charge, charge), must
        )  # must is 0 unless the promise presses, and then nothing can be given
        p = low(
            high(wanted, -high(most, 0.0)), low(high((soc - after) / per_give, 0.0), give) - must
        )
        soc = soc + per_charge * high(-p, 0.0) - per_give * high(p, 0.0) - trip
        powers.append(p)
        trace.append(soc)
    p_kw, trace = np.stack(powers, axis=-1), np.stack(trace, axis=-1)
    return priced(storage, diary, prices, p_kw, trace, site, wear_per_kwh)


def best_hours(price_per_kwh, group, charge_steps, discharge_steps):
    """The oldest rule of thumb: charge in the cheapest steps of each day, discharge in the dearest.

    Parameters
    ----------
    price_per_kwh : array, shape (steps,)
        What the rule believes the prices to be.
    group : array, shape (steps,)
        Which day each step belongs to.
    charge_steps, discharge_steps : int
        Steps of each kind a day; the cheapest come first where the day is too short for both.

    Returns
    -------
    array, shape (steps,)
        -1 (charge), +1 (discharge) or 0. Times the charger's power it is a wish for `follow`.
    """
    price = pd.Series(_known("price_per_kwh", price_per_kwh))
    low = price.groupby(np.asarray(group)).rank(method="first")
    high = price.groupby(np.asarray(group)).rank(method="first", ascending=False)
    return np.where(low <= charge_steps, -1.0, np.where(high <= discharge_steps, 1.0, 0.0))


def rolling(storage, diary, prices, forecast, site=Site(), *, every, horizon, wear_per_kwh=0.0):
    """Plan on a forecast, keep the first steps, plan again: how a schedule is made when the future is not known.

    Parameters
    ----------
    storage, diary, prices, site, wear_per_kwh
        As in `optimise`. `prices` are what is paid in the end.
    forecast : callable
        `forecast(k, steps)` returns the buying prices believed at step k for the steps k to k + steps. The selling price is
        shifted by as much. [per kWh]
    every : int
        Steps that are carried out before the next plan.
    horizon : int
        Steps that each plan looks ahead, at least `every`.

    Returns
    -------
    Plan
        Priced at the true prices. Promises beyond the horizon are kept too.

    Notes
    -----
    One car; the peaks reached so far are carried from plan to plan.
    """
    steps = len(prices)
    if not 1 <= every <= horizon:
        raise ValueError(
            f"every = {every} and horizon = {horizon} steps; every must be at least 1, and horizon at least every"
        )
    if diary.plugged.ndim > 1:
        raise ValueError(f"rolling plans one car; this diary holds {len(diary.plugged)}")
    _keepable(storage, diary, prices, site)
    floor = floor_line(storage, diary, dt_h=prices.dt_h)
    load = np.broadcast_to(np.asarray(site.load_kw, dtype=float), steps)
    p_kw, trace, soc, reached = (
        np.zeros(steps),
        np.zeros(steps),
        float(diary.soc_start),
        [peak.already_kw for peak in prices.peaks],
    )
    for k in range(0, steps, every):
        span = slice(k, min(k + horizon, steps))
        believed = np.asarray(_known("the forecast", forecast(k, span.stop - k)))
        if believed.shape != (span.stop - k,):
            raise ValueError(
                f"forecast({k}, {span.stop - k}) must return {span.stop - k} prices, not an array of shape {believed.shape}"
            )
        margin = (prices.sell_per_kwh - prices.buy_per_kwh)[span]
        peaks = tuple(
            replace(
                peak, counts=None if peak.counts is None else peak.counts[span], already_kw=high
            )
            for peak, high in zip(prices.peaks, reached)
        )
        promise = diary.soc_promise[span].copy()
        promise[-1] = max(promise[-1], floor[span.stop - 1])
        part = Diary(
            soc_start=min(max(soc, 0.0), 1.0),
            plugged=diary.plugged[span],
            drive_kwh=diary.drive_kwh[span],
            soc_promise=promise,
        )
        plan = optimise(
            storage,
            part,
            Prices(
                dt_h=prices.dt_h, buy_per_kwh=believed, sell_per_kwh=believed + margin, peaks=peaks
            ),
            replace(site, load_kw=load[span]),
            wear_per_kwh=wear_per_kwh,
        )
        keep = min(every, span.stop - k)
        p_kw[k : k + keep], trace[k : k + keep], soc = (
            plan.p_kw[:keep],
            plan.soc[:keep],
            plan.soc[keep - 1],
        )
        for j, peak in enumerate(prices.peaks):
            means = _intervals(plan.import_kw[:keep], peak.interval_steps)[
                _counted(
                    replace(
                        peaks[j], counts=None if peaks[j].counts is None else peaks[j].counts[:keep]
                    ),
                    keep,
                )
            ]
            reached[j] = max(reached[j], float(means.max(initial=0.0)))
    return priced(storage, diary, prices, p_kw, trace, site, wear_per_kwh)


# ------------------------------------------------------------------------------------------------- a car's diary


def commuter(time, storage, *, drive_kwh, leave_h, back_h, spread_h, soc_promise, rng):
    """A synthetic year of a commuter who charges at home.

    Recipe: on weekdays the car leaves and returns at normally distributed times around `leave_h` and `back_h` (local clock); at weekends
    it stays. The day's driving is taken from the battery on return.

    Parameters
    ----------
    time : DatetimeIndex, shape (steps,)
        Start of each step, in local time.
    storage : Storage
        The car: driving is limited to what the promise holds above an empty battery.
    drive_kwh : float
        For a day there and back. [kWh]
    leave_h, back_h, spread_h : float
        Mean clock times, and the standard deviation of both. [h]
    soc_promise : float
        On leaving. 0..1
    rng : numpy.random.Generator

    Returns
    -------
    Diary
        Starts at `soc_promise`.
    """
    _promised(storage, drive_kwh, soc_promise)
    checked("spread_h", spread_h, "h", ge=0)
    if not 0 <= leave_h <= back_h - 1 <= 23:
        raise ValueError(
            f"leave_h = {leave_h:g} and back_h = {back_h:g}; the car leaves and returns on the same day, at least an hour later"
        )
    days = pd.DatetimeIndex(time).tz_localize(None).normalize()
    clock = time.hour + time.minute / 60
    every_day = days.unique()
    leave = np.clip(rng.normal(leave_h, spread_h, len(every_day)), 0.0, back_h - 1)
    back = np.clip(rng.normal(back_h, spread_h, len(every_day)), leave + 1, 23.5)
    place = every_day.get_indexer(days)
    away = (np.asarray(days.day_of_week) < 5) & (clock >= leave[place]) & (clock < back[place])
    return _diary(away, np.full(len(time), float(drive_kwh)), soc_promise)


def workplace(time, sessions, storage, *, presence, soc_promise, rng):
    """A year at a workplace charger, drawn from real sessions.

    Recipe: each weekday, with probability `presence`, one session of the same weekday is drawn and laid onto the day with its clock times
    and its energy. The battery was at the promise when it left last, and the energy of the session was driven since.

    Parameters
    ----------
    time : DatetimeIndex, shape (steps,)
        Start of each step, in local time.
    sessions : DataFrame
        Columns `arrival`, `departure` (local time stamps) and `delivered_kwh`.
    storage : Storage
    presence : float
        Share of weekdays on which the car comes. 0..1
    soc_promise : float
        Assumed on every departure; the data have no state of charge. 0..1
    rng : numpy.random.Generator

    Returns
    -------
    Diary
        Starts at `soc_promise`. Sessions over midnight are cut there; energy is cut to what the promise holds above soc_min.

    Raises
    ------
    ValueError
        If the table has no sessions on weekdays.
    """
    _promised(storage, 0.0, soc_promise)
    checked("presence", presence, "(a fraction)", ge=0, le=1)
    by_day = (
        {day: group for day, group in sessions.groupby(sessions.arrival.dt.day_of_week) if day < 5}
        if len(sessions)
        else {}
    )
    if len(by_day) < 5:
        names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
        raise ValueError(
            f"the session table has {len(sessions)} sessions and none on a {next(n for k, n in enumerate(names) if k not in by_day)}; "
            "a year cannot be drawn from it"
        )
    days = pd.DatetimeIndex(time).tz_localize(None).normalize()
    clock, step_h = np.asarray(time.hour + time.minute / 60), even_step(time)
    away, drive = np.ones(len(time), bool), np.zeros(len(time))
    room = (soc_promise - storage.soc_min) * storage.energy_kwh
    for day in days.unique():
        if day.day_of_week >= 5 or rng.uniform() >= presence:
            continue
        one = by_day[day.day_of_week].iloc[int(rng.integers(len(by_day[day.day_of_week])))]
        start = one.arrival.hour + one.arrival.minute / 60
        end = (
            24.0
            if one.departure.date() > one.arrival.date()
            else one.departure.hour + one.departure.minute / 60
        )
        inside = np.flatnonzero((days == day) & (clock >= start) & (clock + step_h <= end))
        rise = storage.eta_charge * storage.p_charge_kw * step_h * len(inside)
        if len(inside) and inside[0] > 0:
            away[inside], drive[inside[0] - 1] = False, min(one.delivered_kwh, room, rise)
    return _diary(away, drive, soc_promise)


def _promised(storage, drive_kwh, soc_promise):
    checked_soc("soc_promise", soc_promise)
    if not storage.soc_min < soc_promise <= storage.soc_max:
        raise ValueError(
            f"soc_promise = {soc_promise:g} must lie within the window {storage.soc_min:g} to {storage.soc_max:g}"
        )
    if (
        checked("drive_kwh", drive_kwh, "kWh", ge=0)
        > (soc_promise - storage.soc_min) * storage.energy_kwh
    ):
        raise ValueError(
            f"drive_kwh = {drive_kwh:g} kWh a day is more than the battery holds between soc_promise and soc_min"
        )


def _diary(away, drive_kwh, soc_promise):
    """Driving just before each return, the promise just before each leaving."""
    after = np.append(away[1:], away[-1])
    returns, leaves = away & ~after, ~away & after
    return Diary(
        soc_start=soc_promise,
        plugged=(~away).astype(float),
        drive_kwh=np.where(returns, drive_kwh, 0.0),
        soc_promise=np.where(leaves, soc_promise, 0.0),
    )
