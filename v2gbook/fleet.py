r"""Topic 10, fleet: how many cars are a power plant, how sure that is, and how a signal finds its way to each of them.

Real sessions come first (`check_sessions`, `fit`, `sample`, `goodness`), then how many cars are plugged in and for how long they stay
(`availability`, `still_there`, `autocorrelation`), what they can give in power and energy (`stays`, `envelope`, `hold`), and how much of it is
firm (`firm_cars`, `firm_joint`, `firm_observed`). `capacity_stack` puts it all on one page, `disaggregate` shares a signal out, and
`simulate` does it for millions of cars, in blocks that any `concurrent.futures` executor can work off.

p > 0 flows from the vehicle to the grid. Energies of `Stays` are in the battery, counted from arrival. `Storage` comes from topic 04.
"""

import contextlib
import hashlib
import os
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import linprog
from scipy.special import bdtrc, betaln, gammaln, ndtri

from ._check import checked, plain

BLOCK = 65_536
EPS = 1e-9

# ------------------------------------------------------------------------------------------------------ sessions


def check_sessions(frame, p_kw=None, *, drop=False):
    """Look for sessions that cannot be, and say what is wrong with them.

    Parameters
    ----------
    frame : DataFrame
        As from `data.sessions`: `arrival`, `departure`, `delivered_kwh`; with a column `station`, sessions must not overlap there. Without
        it each session is a car, and a plug, of its own.
    p_kw : float or array, shape (sessions,), optional
        Power of the charger; without it the energy is not compared with the stay. [kW]
    drop : bool
        Leave out what is wrong, instead of refusing it. Of two that overlap the later goes; `attrs["refused"]` lists the sentences.

    Returns
    -------
    DataFrame
        The frame, or what is left of it.

    Raises
    ------
    ValueError
        If there is no session, or a column is missing; with `drop=False` also at the first session that cannot be.
    """
    missing = {"arrival", "departure", "delivered_kwh"} - set(frame.columns)
    if missing:
        raise ValueError(
            f"the session table has no column {', '.join(sorted(missing))}; it needs arrival, departure and delivered_kwh"
        )
    if frame.empty:
        raise ValueError("the fleet is empty: the table has no session")
    if (
        any(frame[name].dtype.kind != "M" for name in ("arrival", "departure"))
        or frame.arrival.dt.tz != frame.departure.dt.tz
    ):
        raise ValueError(
            "arrival and departure must both be time stamps, with the same time zone or both without"
        )
    stay_h, energy, before = (
        _stay_h(frame).to_numpy(),
        frame.delivered_kwh.to_numpy(float),
        _busy_until(frame),
    )
    most = (
        np.full(len(frame), np.inf) if p_kw is None else checked("p_kw", p_kw, "kW", gt=0) * stay_h
    )
    arrival, departure, words = frame.arrival.array, frame.departure.array, [""] * len(frame)
    for wrong, sentence in (
        (np.isnan(stay_h), lambda i: "has no arrival or no departure"),
        (
            stay_h <= 0,
            lambda i: (
                f"departs {departure[i]} and arrives {arrival[i]}; a departure must come after the arrival"
            ),
        ),
        (
            ~(energy >= 0) | np.isinf(energy),
            lambda i: f"has delivered_kwh = {energy[i]:g}; it must be a number, 0 or more",
        ),
        (
            energy > most + EPS,
            lambda i: (
                f"took {energy[i]:g} kWh, and its charger gives at most {most[i]:.2f} kWh in the {stay_h[i]:.2f} h it stayed"
            ),
        ),
        (
            (before > frame.arrival).to_numpy(),
            lambda i: (
                f"arrives {arrival[i]} at station {frame.station.iloc[i]}, which is taken until {before.iloc[i]}"
            ),
        ),
    ):
        for i in np.flatnonzero(wrong):
            words[i] = words[i] or f"session {frame.index[i]} {sentence(i)}"
    refused = [line for line in words if line]
    if drop:
        kept = frame[[not line for line in words]]
        kept.attrs = {**frame.attrs, "refused": refused}
        return check_sessions(kept)
    if refused:
        raise ValueError(
            refused[0]
            + (f" ({len(refused) - 1} more cannot be either)" if len(refused) > 1 else "")
        )
    return frame


def _stay_h(frame):
    return (frame.departure - frame.arrival).dt.total_seconds() / 3600


def _busy_until(frame):
    """Latest departure of the sessions that came earlier to the same station; NaT for the first, and where stations are not told."""
    if "station" not in frame:
        return pd.Series(pd.NaT, index=frame.index, dtype=frame.departure.dtype)
    order = np.argsort(frame.arrival, kind="stable")
    sorted_ = frame.iloc[order].reset_index(drop=True)
    latest = sorted_.groupby("station").departure.cummax().groupby(sorted_.station).shift()
    return latest.iloc[np.argsort(order, kind="stable")].set_axis(frame.index)


def _recorded_days(frame):
    """Midnights from the first arrival to the last. Months without any session are gaps in the record, not days on which nobody came."""
    arrival = frame.arrival.dt.tz_localize(None)
    days = pd.date_range(arrival.min().normalize(), arrival.max().normalize())
    return days[days.to_period("M").isin(arrival.dt.to_period("M").unique())]


@dataclass(frozen=True, kw_only=True, eq=False)
class Behaviour:
    """Sessions of a place, kept whole: what belongs together (arrival, stay, energy, announcement) stays together.

    Attributes
    ----------
    weekday : array, shape (days,)
        Of each recorded day, 0 is Monday; days on which nobody came are there, too.
    day : array, shape (sessions,)
        Place of the session's day in `weekday`.
    arrival_h, stay_h, announced_h, energy_kwh : array, shape (sessions,)
        Clock time of arrival, hours stayed, hours that the driver announced (the stay itself where the source has no
        announcement), and energy at the station. [h], [kWh]
    """

    weekday: np.ndarray
    day: np.ndarray
    arrival_h: np.ndarray
    stay_h: np.ndarray
    announced_h: np.ndarray
    energy_kwh: np.ndarray

    @property
    def per_day(self):
        """Mean number of sessions on a Monday, Tuesday, ... Sunday; 0 for a weekday that was not recorded."""
        days, come = (
            np.bincount(which, minlength=7) for which in (self.weekday, self.weekday[self.day])
        )
        return come / np.maximum(days, 1)


def fit(frame):
    """Fit behaviour to sessions: nothing is assumed about its distribution, the sessions are kept as they are.

    Parameters
    ----------
    frame : DataFrame
        As for `check_sessions`; `estimated_departure` is used if it is there.

    Returns
    -------
    Behaviour
    """
    frame = check_sessions(frame)
    days, clock = _recorded_days(frame), frame.arrival.dt.tz_localize(None)
    told = (
        frame.estimated_departure.fillna(frame.departure)
        if "estimated_departure" in frame
        else frame.departure
    )
    return Behaviour(
        weekday=days.day_of_week.to_numpy(),
        day=days.get_indexer(clock.dt.normalize()),
        arrival_h=_clock_h(clock),
        stay_h=_stay_h(frame).to_numpy(),
        announced_h=((told - frame.arrival).dt.total_seconds() / 3600).to_numpy(),
        energy_kwh=frame.delivered_kwh.to_numpy(float),
    )


def _clock_h(clock):
    return (clock - clock.dt.normalize()).dt.total_seconds().to_numpy() / 3600


def sample(behaviour, dates, rng, *, together=True):
    """Draw sessions for some dates, each from the same weekday.

    Parameters
    ----------
    behaviour : Behaviour
    dates : DatetimeIndex
        Days; their clock is the clock of the result.
    rng : numpy.random.Generator
    together : bool
        True draws whole days, so that what keeps many away at once (a holiday, a storm) still does. False draws as many sessions on average
        (Poisson), each on its own: the fleet that a textbook's independent cars make.

    Returns
    -------
    DataFrame
        `arrival`, `departure`, `estimated_departure`, `delivered_kwh`, sorted by arrival; no station: each session is a car of its own.

    Raises
    ------
    ValueError
        If a weekday was never recorded.
    """
    picks, count = [], []
    for weekday in dates.day_of_week:
        days = np.flatnonzero(behaviour.weekday == weekday)
        if not len(days):
            raise ValueError(
                f"no {pd.Timestamp('2024-01-01') + pd.Timedelta(days=weekday):%A} was recorded; the behaviour cannot be drawn for it"
            )
        if together:
            picks.append(np.flatnonzero(behaviour.day == rng.choice(days)))
        else:
            bag = np.flatnonzero(behaviour.weekday[behaviour.day] == weekday)
            picks.append(rng.choice(bag, rng.poisson(len(bag) / len(days))) if len(bag) else bag)
        count.append(len(picks[-1]))
    pick = np.concatenate(picks)
    arrival = np.repeat(dates.normalize(), count) + pd.to_timedelta(
        behaviour.arrival_h[pick], "h"
    ).round("s")
    columns = {
        "arrival": arrival,
        "departure": arrival + pd.to_timedelta(behaviour.stay_h[pick], "h").round("s"),
        "estimated_departure": arrival
        + pd.to_timedelta(behaviour.announced_h[pick], "h").round("s"),
        "delivered_kwh": behaviour.energy_kwh[pick],
    }
    return pd.DataFrame(columns).sort_values("arrival", kind="stable", ignore_index=True)


def goodness(behaviour, later):
    """How well fitted behaviour describes later sessions that it has not seen.

    Parameters
    ----------
    behaviour : Behaviour
    later : DataFrame
        As for `check_sessions`.

    Returns
    -------
    DataFrame
        Rows `arrival_h`, `stay_h`, `energy_kwh` (of sessions) and `per_workday` (sessions a day, Monday to Friday). Columns `fitted` and `later`,
        the means; `ks`, the largest distance between the two distribution functions (Kolmogorov-Smirnov); and `chance`, the distance that
        independent draws from one distribution exceed once in twenty times.
    """
    new, rows = fit(later), {}
    for name in ("arrival_h", "stay_h", "energy_kwh", "per_workday"):
        a, b = (
            _per_workday(one) if name == "per_workday" else getattr(one, name)
            for one in (behaviour, new)
        )
        at = np.concatenate([a, b])
        ks = np.abs(
            np.searchsorted(np.sort(a), at, "right") / len(a)
            - np.searchsorted(np.sort(b), at, "right") / len(b)
        ).max()
        rows[name] = (a.mean(), b.mean(), ks, 1.358 * np.sqrt(1 / len(a) + 1 / len(b)))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["fitted", "later", "ks", "chance"])


def _per_workday(behaviour):
    return np.bincount(behaviour.day, minlength=len(behaviour.weekday))[behaviour.weekday < 5]


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """What drivers say on arrival. `share` announced something; of these `early` left more than a quarter of an hour before the time they
    announced, `bias_h` is the mean of real minus announced departure and `error_h` the mean of its size."""

    share: float
    early: float
    bias_h: float
    error_h: float


def announcement(behaviour):
    """Compare announced departures with the real ones.

    Parameters
    ----------
    behaviour : Behaviour

    Returns
    -------
    Announcement

    Raises
    ------
    ValueError
        If nobody announced anything.
    """
    late = behaviour.stay_h - behaviour.announced_h
    told = late != 0
    if not told.any():
        raise ValueError("no session has an announced departure other than the real one")
    late = late[told]
    return Announcement(
        share=float(told.mean()),
        early=float((late < -0.25).mean()),
        bias_h=float(late.mean()),
        error_h=float(np.abs(late).mean()),
    )


# -------------------------------------------------------------------------------------------------- availability


def availability(frame, step_min=15):
    """Cars that are plugged in, step by step.

    Parameters
    ----------
    frame : DataFrame
        As for `check_sessions`.
    step_min : int
        [min]

    Returns
    -------
    Series, index time
        Number of cars that are at the plug throughout the step: one that comes or goes within it cannot promise the step. From the day of
        the first arrival to that of the last; months without a session are left out.
    """
    frame = check_sessions(frame)
    if (24 * 60) % checked("step_min", step_min, "min", gt=0):
        raise ValueError(f"step_min is {step_min}; it must divide a day, such as 15")
    days = _recorded_days(frame)
    start, end = (
        stamp.tz_localize(frame.arrival.dt.tz)
        for stamp in (days[0], days[-1] + pd.Timedelta(days=1))
    )
    time = pd.date_range(start, end, freq=pd.Timedelta(minutes=step_min), inclusive="left")
    first, last = (
        ((stamp - start).dt.total_seconds() / (60 * step_min)).to_numpy()
        for stamp in (frame.arrival, frame.departure)
    )
    first, last = (
        np.ceil(first - EPS).astype(int),
        np.minimum(np.floor(last + EPS).astype(int), len(time)),
    )
    whole = last > first
    change = np.bincount(first[whole], minlength=len(time) + 1) - np.bincount(
        last[whole], minlength=len(time) + 1
    )
    return pd.Series(np.cumsum(change)[:-1], index=time, name="plugged")[
        time.tz_localize(None).normalize().isin(days)
    ]


def still_there(frame, hours, at_h=None):
    r"""Probability that a car that is plugged in now is still plugged in later.

    At no particular time, from the stays :math:`S_i` alone:

    .. math:: P(h) = \frac{\sum_i \max(S_i - h,\ 0)}{\sum_i S_i}            (10.1)

    Parameters
    ----------
    frame : DataFrame
        As for `check_sessions`.
    hours : float or array
        From now. [h]
    at_h : float, optional
        Clock time of "now". [h]

    Returns
    -------
    float or array
        0..1

    Raises
    ------
    ValueError
        If no car is plugged in at that time.
    """
    frame, hours = check_sessions(frame), np.asarray(checked("hours", hours, "h", ge=0))
    stay = _stay_h(frame).to_numpy()
    if at_h is None:
        return plain(np.maximum(stay - hours[..., None], 0.0).sum(-1) / stay.sum())  # eq. (10.1)
    checked("at_h", at_h, "h", ge=0, lt=24)
    wait_h = (at_h - _clock_h(frame.arrival.dt.tz_localize(None))) % 24
    left = np.concatenate(
        [stay - wait_h - 24 * night for night in range(int(stay.max() // 24) + 1)]
    )
    left = left[left > 0]
    if not len(left):
        raise ValueError(f"no car is plugged in at {at_h:g} h")
    return plain((left > hours[..., None]).mean(-1))


def autocorrelation(plugged, hours):
    r"""How much the number of cars now says about the number some hours later.

    .. math:: r(h) = \mathrm{corr}\big(x_t,\ x_{t+h}\big),\qquad x_t = n_t\ \text{or}\ n_t - \overline{n}_{\,weekday,\,clock}            (10.2)

    Parameters
    ----------
    plugged : Series, index time
        From `availability`.
    hours : sequence of float
        Multiples of its step. [h]

    Returns
    -------
    DataFrame, index `hours`
        `raw`, mostly the rhythm of the day, and `surprise`: what is left when the usual number at that weekday and clock time is taken away.
    """
    usual = plugged.groupby(
        [plugged.index.day_of_week, plugged.index.hour, plugged.index.minute]
    ).transform("mean")
    rows = [
        [x.corr(x.shift(freq=pd.Timedelta(hours=-h))) for x in (plugged, plugged - usual)]
        for h in hours
    ]  # eq. (10.2)
    return pd.DataFrame(rows, columns=["raw", "surprise"], index=pd.Index(hours, name="hours"))


# ----------------------------------------------------------------------------------------------- power and energy


@dataclass(frozen=True, kw_only=True, eq=False)
class Stays:
    """Cars at the plug, one entry per stay (a number stands for all). Energy is in the battery, counted from arrival.

    Attributes
    ----------
    arrive_h, leave_h : array, shape (stays,)
        [h]
    need_kwh : float or array
        With which the car leaves, no more and no less: its owner pays for it. [kWh]
    below_kwh, room_kwh : float or array
        How far below and above the content on arrival the battery may stand in between. [kWh]
    p_charge_kw, p_discharge_kw : float or array
        At the grid side; 0 discharges not at all (V1G). [kW]
    eta_charge, eta_discharge : float or array
        Grid to battery, battery to grid. 0..1

    Raises
    ------
    ValueError
        If a field is out of range, or a stay is too short for what its car needs.
    """

    arrive_h: np.ndarray
    leave_h: np.ndarray
    need_kwh: float
    below_kwh: float
    room_kwh: float
    p_charge_kw: float
    p_discharge_kw: float
    eta_charge: float
    eta_discharge: float

    def __post_init__(self):
        shape = np.shape(np.atleast_1d(checked("arrive_h", self.arrive_h, "h")))
        checked("leave_h", self.leave_h, "h")
        for name in ("need_kwh", "below_kwh", "room_kwh", "p_charge_kw", "p_discharge_kw"):
            checked(name, getattr(self, name), "kWh" if name.endswith("kwh") else "kW", ge=0)
        for name in ("eta_charge", "eta_discharge"):
            checked(name, getattr(self, name), "(a fraction)", gt=0, le=1)
        for name in self.__dataclass_fields__:
            try:
                object.__setattr__(
                    self, name, np.broadcast_to(np.asarray(getattr(self, name), float), shape)
                )
            except ValueError:
                raise ValueError(
                    f"{name} has shape {np.shape(getattr(self, name))}; there are {shape[0]} stays"
                ) from None
        if (bad := np.flatnonzero(self.leave_h <= self.arrive_h)).size:
            raise ValueError(
                f"stay {bad[0]} leaves at {self.leave_h[bad[0]]:g} h and arrives at {self.arrive_h[bad[0]]:g} h; it must leave later"
            )
        can = np.minimum(self.up_kw * (self.leave_h - self.arrive_h), self.room_kwh)
        if (bad := np.flatnonzero(self.need_kwh > can + 1e-6)).size:
            raise ValueError(
                f"stay {bad[0]} needs {self.need_kwh[bad[0]]:.2f} kWh, but charger, stay and battery allow {can[bad[0]]:.2f} kWh"
                + (f"; so it is with {bad.size - 1} more" if bad.size > 1 else "")
            )

    def __len__(self):
        return len(self.arrive_h)

    @property
    def up_kw(self):
        """Fastest rise of the energy in the battery. [kW]"""
        return self.p_charge_kw * self.eta_charge

    @property
    def down_kw(self):
        """Fastest fall. [kW]"""
        return self.p_discharge_kw / self.eta_discharge


def stays(frame, storage, *, soc_leave):
    """Sessions as stays of one kind of car.

    Parameters
    ----------
    frame : DataFrame
        As for `check_sessions`.
    storage : Storage
        One car and its charger.
    soc_leave : float
        Assumed state of charge on every departure: sessions have none. 0..1

    Returns
    -------
    Stays
        Hours count on the wall clock from midnight before the first arrival. A car that took more than lies between `soc_min` and `soc_leave` is
        given a battery in which that fits.

    Raises
    ------
    ValueError
        If `soc_leave` lies outside the window, or a session took more than this charger gives in its stay.
    """
    if (
        not storage.soc_min
        < checked("soc_leave", soc_leave, "(a fraction)", ge=0, le=1)
        <= storage.soc_max
    ):
        raise ValueError(
            f"soc_leave = {soc_leave:g} must lie above soc_min = {storage.soc_min:g} and not above soc_max = {storage.soc_max:g}"
        )
    frame = check_sessions(frame, storage.p_charge_kw)
    clock = frame.arrival.dt.tz_localize(None)
    arrive = ((clock - clock.min().normalize()).dt.total_seconds() / 3600).to_numpy()
    need = frame.delivered_kwh.to_numpy(float) * storage.eta_charge
    energy = np.maximum(storage.energy_kwh, need / (soc_leave - storage.soc_min))
    arrived = soc_leave * energy - need
    return Stays(
        arrive_h=arrive,
        leave_h=arrive + _stay_h(frame).to_numpy(),
        need_kwh=need,
        below_kwh=np.maximum(arrived - storage.soc_min * energy, 0.0),
        room_kwh=storage.soc_max * energy - arrived,
        **{
            name: getattr(storage, name)
            for name in ("p_charge_kw", "p_discharge_kw", "eta_charge", "eta_discharge")
        },
    )


def bounds_kwh(cars, t_h):
    r"""Least and most energy with which each car can still keep its departure and its battery.

    .. math:: U(t) = \min\big(u\,(t-a),\ room,\ need + v\,(d-t)\big),\qquad L(t) = \max\big(-v\,(t-a),\ -below,\ need - u\,(d-t)\big)            (10.3)

    with :math:`u = \eta_c P_c` and :math:`v = P_d / \eta_d`. U is charging as fast as possible, L as late as possible, with discharge in both.

    Parameters
    ----------
    cars : Stays
    t_h : float or array, shape (times,)
        [h]

    Returns
    -------
    tuple of array, shape (stays,) or (times, stays)
        0 before arrival, the need after departure. [kWh]
    """
    t = np.clip(np.asarray(checked("t_h", t_h, "h"))[..., None], cars.arrive_h, cars.leave_h)
    since, left = t - cars.arrive_h, cars.leave_h - t
    most = np.minimum(
        np.minimum(cars.up_kw * since, cars.room_kwh), cars.need_kwh + cars.down_kw * left
    )  # eq. (10.3)
    least = np.maximum(
        np.maximum(-cars.down_kw * since, -cars.below_kwh), cars.need_kwh - cars.up_kw * left
    )
    return least, np.maximum(most, least)


def envelope(cars, t_h):
    """The fleet as one battery: between which lines its energy and its power can lie.

    Parameters
    ----------
    cars : Stays
    t_h : array, shape (times,)
        [h]

    Returns
    -------
    DataFrame, index t_s
        `least_kwh` and `most_kwh`, sums of eq. (10.3); `least_kw` (all charge) and `most_kw` (all discharge) of the cars plugged in.

    Notes
    -----
    The fleet cannot leave these lines; not every path between them can be driven, because the car that has the energy may not be the one
    that has the power left.
    """
    t = np.atleast_1d(np.asarray(checked("t_h", t_h, "h")))
    least, most = bounds_kwh(cars, t)
    here = (t[:, None] >= cars.arrive_h) & (t[:, None] < cars.leave_h)
    columns = {
        "least_kwh": least.sum(1),
        "most_kwh": most.sum(1),
        "least_kw": 0.0 - (here * cars.p_charge_kw).sum(1),
        "most_kw": (here * cars.p_discharge_kw).sum(1),
    }
    return pd.DataFrame(columns, index=pd.Index(3600 * t, name="t_s"))


def hold(cars, t_h, duration_h, level=0.5):
    r"""Power that the cars can hold from some moment on for a duration, with every departure kept.

    .. math:: P = \sum_{i:\ d_i \ge t+T} \min\Big(P_{d,i},\ \frac{\eta_d\,(e_i - L_i(t+T))}{T}\Big),\qquad e_i = L_i(t) + \lambda\,\big(U_i(t) - L_i(t)\big)            (10.4)

    Parameters
    ----------
    cars : Stays
    t_h : float or array
        When the call comes. [h]
    duration_h : float or array
        [h]
    level : float
        Where between its two lines each car's energy stands until then. 0..1

    Returns
    -------
    float or array
        [kW]
    """
    level = checked("level", level, "(a fraction)", ge=0, le=1)
    t, duration = np.broadcast_arrays(
        np.asarray(checked("t_h", t_h, "h"), float),
        np.asarray(checked("duration_h", duration_h, "h", gt=0), float),
    )
    low, high = bounds_kwh(cars, t)
    energy = low + level * (high - low) - bounds_kwh(cars, t + duration)[0]
    here = (cars.arrive_h <= t[..., None]) & (cars.leave_h >= (t + duration)[..., None])
    power = np.minimum(
        cars.p_discharge_kw, cars.eta_discharge * np.maximum(energy, 0.0) / duration[..., None]
    )  # eq. (10.4)
    return plain((here * power).sum(-1))


# ------------------------------------------------------------------------------------------------- firm capacity


def firm_cars(cars, p, reliability, rho=0.0):
    r"""Largest number of cars that are there with a probability of at least `reliability`.

    .. math:: k = \max\{k : P(X \ge k) \ge r\},\qquad X \sim \mathrm{Bin}(N, p)            (10.5)

    Cars that stay away together make X beta-binomial, the wider the larger their correlation :math:`\rho`:

    .. math:: \mathrm{var}\,X = N p (1-p)\,\big(1 + (N-1)\rho\big)            (10.6)

    Parameters
    ----------
    cars : int or array
        N.
    p : float or array
        Mean share of the cars that is there. 0..1
    reliability : float or array
        Above 0, below 1.
    rho : float or array
        Correlation between two cars. 0 up to below 1.

    Returns
    -------
    int or array of int

    Examples
    --------
    >>> firm_cars(100, 0.7, 0.9), firm_cars(10, 0.7, 0.9), firm_cars(100, 0.7, 0.9, rho=0.02)
    (64, 5, 60)
    """
    values = _checked_firm(cars, p, reliability, rho)
    firm = np.vectorize(
        lambda n, p, r, rho: np.flatnonzero(reliability_of(int(n), p, rho) >= r - 1e-12)[-1],
        otypes=[int],
    )(*values)  # eq. (10.5)
    return int(firm) if firm.ndim == 0 else firm


def _checked_firm(cars, p, reliability, rho):
    n = checked("cars", cars, ge=1)
    if np.any(np.mod(n, 1)):
        raise ValueError(f"cars is {cars}; it must be a whole number")
    return (
        n,
        checked("p", p, "(a fraction)", ge=0, le=1),
        checked("reliability", reliability, "(a fraction)", gt=0, lt=1),
        checked("rho", rho, ge=0, lt=1),
    )


def reliability_of(cars, p, rho=0.0):
    """Probability that at least k cars are there, for each k = 0, 1, ... `cars`: arguments as in `firm_cars`, numbers only."""
    k = np.arange(cars + 1)
    if rho == 0 or p in (0, 1):
        return np.where(k == 0, 1.0, bdtrc(k - 1.0, cars, p))
    a, b = p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho
    log = (
        gammaln(cars + 1)
        - gammaln(k + 1)
        - gammaln(cars - k + 1)
        + betaln(k + a, cars - k + b)
        - betaln(a, b)
    )
    return np.minimum(np.cumsum(np.exp(log)[::-1])[::-1], 1.0)  # its variance is eq. (10.6)


def firm_normal(cars, p, reliability, rho=0.0):
    r"""The same with the normal distribution instead: no whole number, and quick for any fleet.

    .. math:: k \approx N p - z_r \sqrt{N p (1-p)\,(1 + (N-1)\rho)}            (10.7)

    Parameters
    ----------
    cars, p, reliability, rho
        As in `firm_cars`.

    Returns
    -------
    float or array
        Never below 0.
    """
    n, p, r, rho = (np.asarray(value) for value in _checked_firm(cars, p, reliability, rho))
    return plain(
        np.maximum(n * p - ndtri(r) * np.sqrt(n * p * (1 - p) * (1 + (n - 1) * rho)), 0.0)
    )  # eq. (10.7)


def cars_needed(present, p, reliability, rho=0.0):
    """Smallest fleet of which `present` cars are there with a probability of at least `reliability`.

    Parameters
    ----------
    present : int
    p, reliability, rho : float
        As in `firm_cars`; p above 0.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If no fleet is large enough, as where much correlated cars must be there almost surely.
    """
    present = int(checked("present", present, ge=1))
    checked("p", p, "(a fraction)", gt=0)
    few, enough = present - 1, present
    while firm_cars(enough, p, reliability, rho) < present:
        few, enough = enough, 2 * enough
        if enough > 4_000_000:
            raise ValueError(
                f"no fleet below four million cars has {present} of them there with a probability of {reliability:g}"
            )
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (
            (few, middle) if firm_cars(middle, p, reliability, rho) >= present else (middle, enough)
        )
    return enough


def estimate_rho(present, cars):
    r"""Correlation between two cars, from how much their number varies beyond what chance alone makes.

    .. math:: \hat\rho = \frac{1}{N-1}\left(\frac{s^2}{N \hat p (1-\hat p)} - 1\right)            (10.8)

    Parameters
    ----------
    present : array
        Numbers of cars counted at like moments, such as every workday at ten.
    cars : int
        N: how many could have been there.

    Returns
    -------
    float
        Below 0 where they vary less than chance: cars that wait for a free plug.
    """
    x, n = np.asarray(checked("present", present, ge=0, le=cars)), checked("cars", cars, ge=2)
    p = x.mean() / n
    if x.size < 2 or not 0 < p < 1:
        raise ValueError(
            "present must hold at least two counts, not all of them 0 and not all of them the whole fleet"
        )
    return float((x.var(ddof=1) / (n * p * (1 - p)) - 1) / (n - 1))  # eq. (10.8)


def chain_persistence(still, p, steps):
    r"""Persistence a step of cars that come and go as a Markov chain, from the probability to be there still (or again).

    .. math:: P_{11} = p + (1-p)\,\lambda,\qquad P_{01} = p\,(1-\lambda),\qquad P_{11}^{(m)} = p + (1-p)\,\lambda^m            (10.9)

    Parameters
    ----------
    still : float or array
        Probability that a car that is there now is there `steps` steps later, p..1.
    p : float or array
        Mean share that is there. 0..1 (below 1)
    steps : int or array
        m.

    Returns
    -------
    float or array
        0..1; 0 forgets at once, 1 never.

    Raises
    ------
    ValueError
        If `still` is below p: cars that leave for good are no such chain.
    """
    still, p = (
        np.asarray(checked("still", still, "(a fraction)", ge=0, le=1)),
        np.asarray(checked("p", p, "(a fraction)", ge=0, lt=1)),
    )
    if np.any(still < p):
        raise ValueError(
            f"still = {still} is below p = {p}: cars leave and others do not come; a chain with a steady share cannot show that"
        )
    return plain(
        ((still - p) / (1 - p)) ** (1 / np.asarray(checked("steps", steps, ge=1)))
    )  # eq. (10.9)


def joint_reliability(cars, p, steps, persistence):
    r"""Probability that at least k cars are there in every one of some steps in a row.

    The number of cars is itself a Markov chain, :math:`X' \sim \mathrm{Bin}(X, P_{11}) + \mathrm{Bin}(N - X, P_{01})`:

    .. math:: P(X_1 \ge k, \dots, X_m \ge k) = \pi\,D_k\,(T D_k)^{m-1}\,\mathbf 1            (10.10)

    Parameters
    ----------
    cars : int
        N, up to 50,000. They come and go independently.
    p : float
        Mean share that is there. 0..1
    steps : int
        m: quarter hours in the product, for instance.
    persistence : float
        Of eq. (10.9). 0..1

    Returns
    -------
    function
        Of k. T is cut to the counts within nine standard deviations.

    Examples
    --------
    >>> [round(joint_reliability(100, 0.7, 16, persistence)(64), 2) for persistence in (0.0, 1.0)]
    [0.26, 0.92]
    """
    n, p, _, _ = _checked_firm(cars, p, 0.5, 0.0)
    n, steps = int(checked("cars", n, le=50_000)), int(checked("steps", steps, ge=1))
    stay = checked("persistence", persistence, "(a fraction)", ge=0, le=1)
    spread = 9 * np.sqrt(n * p * (1 - p)) + 9
    x = np.arange(max(0, int(n * p - spread)), min(n, int(n * p + spread) + 1) + 1)
    start = -np.diff(reliability_of(n, p), append=0.0)[x]
    turn = np.exp(2j * np.pi * np.arange(len(x)) / len(x)) - 1
    to_1, from_0 = 1 + (p + (1 - p) * stay) * turn, 1 + p * (1 - stay) * turn
    move = np.fft.fft(to_1 ** x[:, None] * from_0 ** (n - x[:, None]), axis=1).real[
        :, x % len(x)
    ] / len(x)  # eq. (10.9), by its transform

    def reliability(k):
        there, now = x >= k, start * (x >= k)
        for _ in range(steps - 1):
            now = (now @ move) * there  # eq. (10.10)
        return float(np.clip(now.sum(), 0.0, 1.0))

    return reliability


def firm_joint(cars, p, reliability, *, steps, persistence, rho=0.0, rng=None, trials=20_000):
    """Largest number of cars that are there in every step of a block with a probability of at least `reliability`.

    Parameters
    ----------
    cars, p, reliability
        As in `firm_cars`, numbers only.
    steps, persistence
        As in `joint_reliability`.
    rho : float
        Correlation of eq. (10.6): a common cause that lasts as long as the block, beside the coming and going of each car.
    rng : numpy.random.Generator, optional
        With it the block is drawn `trials` times (Monte Carlo); without it the result is exact, for rho = 0 only.
    trials : int

    Returns
    -------
    int
    """
    n, p, r, rho = _checked_firm(cars, p, reliability, rho)
    n, steps, persistence = (
        int(n),
        int(checked("steps", steps, ge=1)),
        checked("persistence", persistence, "(a fraction)", ge=0, le=1),
    )
    if steps == 1 or persistence == 1:
        return firm_cars(n, p, r, rho)
    if rng is not None:
        return int(_ranked(_least_present(n, p, rho, steps, persistence, rng, trials), r))
    if rho > 0:
        raise ValueError(
            f"rho is {rho:g}; correlated cars over several steps are drawn at random: give rng, such as numpy.random.default_rng(10)"
        )
    joint, low, high = joint_reliability(n, p, steps, persistence), 0, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if joint(middle) >= r - 1e-12 else (low, middle)
    return low


def _least_present(n, p, rho, steps, persistence, rng, trials):
    """Smallest number of cars in each of many blocks."""
    share = (
        rng.beta(p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho, trials)
        if rho > 0 and 0 < p < 1
        else np.full(trials, p)
    )
    least = now = rng.binomial(n, share)
    for _ in range(steps - 1):
        now = rng.binomial(now, share + (1 - share) * persistence) + rng.binomial(
            n - now, share * (1 - persistence)
        )
        least = np.minimum(least, now)
    return least


def _ranked(values, reliability):
    """Largest value that a share of at least `reliability` of the rows reaches, column by column."""
    values = np.sort(values, axis=0)[::-1]
    return values[int(np.ceil(reliability * len(values) - EPS)) - 1]


def firm_observed(plugged, reliability, hours):
    """What would have been firm on the recorded days: no model, the days as they were.

    Parameters
    ----------
    plugged : Series, index time
        From `availability`, perhaps only some days of it: `plugged[plugged.index.day_of_week < 5]`.
    reliability : float
        Above 0, below 1.
    hours : float
        Length of the block. [h]

    Returns
    -------
    DataFrame, index t_s
        Start of the block on the clock. `mean` number of cars at its start, `each` firm in a single step there, `joint` firm through the block.
        Blocks end by midnight; days of 23 or 25 hours are left out.

    Raises
    ------
    ValueError
        If there are too few days to show such a reliability.
    """
    r, step = (
        checked("reliability", reliability, "(a fraction)", gt=0, lt=1),
        plugged.index[1] - plugged.index[0],
    )
    daily = [
        day.to_numpy()
        for _, day in plugged.groupby(plugged.index.tz_localize(None).normalize())
        if len(day) * step == pd.Timedelta(days=1)
    ]
    if len(daily) * (1 - r) < 1 - EPS:
        raise ValueError(
            f"{len(daily)} whole days cannot show a reliability of {r:g}; it takes at least {int(np.ceil(1 / (1 - r) - EPS))}"
        )
    width = round(checked("hours", hours, "h", gt=0, le=24) / (step.total_seconds() / 3600))
    daily = np.array(daily)
    blocks = np.lib.stride_tricks.sliding_window_view(daily, max(width, 1), axis=1).min(-1)
    start = np.arange(blocks.shape[1])
    return pd.DataFrame(
        {
            "mean": daily.mean(0)[start],
            "each": _ranked(daily, r)[start],
            "joint": _ranked(blocks, r),
        },
        index=pd.Index(start * int(step.total_seconds()), name="t_s"),
    )


# ------------------------------------------------------------------------------------------------ the capacity stack


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Like cars that offer together: how many, what each can do, and how they behave.

    `p_charger_kw` is on the nameplate, `p_car_kw` what car and cable let through, `p_charge_kw` the way back (all at the grid side);
    `site_limit_kw` is what the connection lets out. `soc` is there when the call comes, `soc_keep` is the battery's floor and the departure's need.
    `plugged`, `rho` and `persistence` (a step of `step_h`) are those of `firm_joint`.
    """

    cars: int
    p_charger_kw: float
    p_car_kw: float
    p_charge_kw: float
    energy_kwh: float
    soc: float
    soc_keep: float
    eta_discharge: float
    plugged: float
    rho: float = 0.0
    persistence: float = 1.0
    site_limit_kw: float = np.inf
    step_h: float = 0.25

    def __post_init__(self):
        for name, unit in (
            ("p_charger_kw", "kW"),
            ("p_car_kw", "kW"),
            ("p_charge_kw", "kW"),
            ("energy_kwh", "kWh"),
            ("step_h", "h"),
        ):
            checked(name, getattr(self, name), unit, gt=0)
        for name in ("soc", "soc_keep", "persistence", "plugged"):
            checked(name, getattr(self, name), "(a fraction)", ge=0, le=1)
        checked("eta_discharge", self.eta_discharge, "(a fraction)", gt=0, le=1)
        checked("site_limit_kw", self.site_limit_kw, "kW", ge=0, finite=False)
        _checked_firm(self.cars, self.plugged, 0.5, self.rho)


@dataclass(frozen=True, kw_only=True)
class Product:
    """What a market asks of a promise: for how long, how surely, and what must stand behind it.

    For each kW sold, `margin` kW must be firm and `reverse` kW be ready in the other direction, to recharge. What is sold comes in whole `lot_kw`.
    """

    duration_h: float
    reliability: float
    margin: float = 1.0
    reverse: float = 0.0
    lot_kw: float = 0.0

    def __post_init__(self):
        checked("duration_h", self.duration_h, "h", gt=0)
        checked("reliability", self.reliability, "(a fraction)", gt=0, lt=1)
        checked("margin", self.margin, ge=1)
        for name in ("reverse", "lot_kw"):
            checked(name, getattr(self, name), ge=0)


def capacity_stack(pool, product, rng=None):
    r"""From the nameplate to what can be sold, layer by layer.

    .. math:: P = \min\Big(\tfrac{1}{m}\min\big(k\,\min(P_{car},\ \tfrac{\eta_d\,(s - s_{keep})\,E}{T}),\ P_{site}\big),\ \tfrac{1}{b}\,k\,P_c\Big)            (10.11)

    k cars are firm through the block, m is `margin` and b is `reverse`.

    Parameters
    ----------
    pool : Pool
    product : Product
    rng : numpy.random.Generator, optional
        Needed where cars are correlated and come and go within the block: see `firm_joint`.

    Returns
    -------
    DataFrame, index `layer`
        `mw` that is left, `lost_mw` in this layer, and `why`.

    Examples
    --------
    >>> ev_pool = Pool(cars=100, p_charger_kw=10.0, p_car_kw=10.0, p_charge_kw=10.0, energy_kwh=60.0, soc=0.8, soc_keep=0.5, eta_discharge=0.9,
    ...                plugged=0.7)
    >>> capacity_stack(ev_pool, Product(duration_h=1.0, reliability=0.9)).mw["reliability"].item()
    0.64
    """
    each = min(pool.p_charger_kw, pool.p_car_kw)
    stored = max(pool.soc - pool.soc_keep, 0.0) * pool.energy_kwh / product.duration_h
    firm = firm_cars(pool.cars, pool.plugged, product.reliability, pool.rho)
    steps = max(1, int(np.ceil(product.duration_h / pool.step_h - EPS)))
    held = firm_joint(
        pool.cars,
        pool.plugged,
        product.reliability,
        steps=steps,
        persistence=pool.persistence,
        rho=pool.rho,
        rng=rng,
    )
    mean, out = pool.cars * pool.plugged, min(each, stored * pool.eta_discharge)
    site = lambda kw: min(kw, pool.site_limit_kw)  # noqa: E731
    block = site(held * out)
    sold = min(
        block / product.margin,
        held * pool.p_charge_kw / product.reverse if product.reverse else np.inf,
    )  # eq. (10.11)
    whole = np.floor(sold / product.lot_kw + EPS) * product.lot_kw if product.lot_kw else sold
    rows = {
        "nameplate": (
            pool.cars * pool.p_charger_kw,
            f"{pool.cars} chargers of {pool.p_charger_kw:g} kW",
        ),
        "plugged in": (
            mean * pool.p_charger_kw,
            f"on average a share of {pool.plugged:g} of the cars is there",
        ),
        "power limit": (
            site(mean * each),
            f"a car lets {each:g} kW through"
            + (
                f", the connection {pool.site_limit_kw:g} kW in all"
                if pool.site_limit_kw < np.inf
                else ""
            ),
        ),
        "energy": (
            site(mean * min(each, stored)),
            f"soc {pool.soc:g} down to {pool.soc_keep:g} in {product.duration_h:g} h is {stored:.2f} kW a car",
        ),
        "efficiency": (
            site(mean * out),
            f"of what leaves the battery, a share of {pool.eta_discharge:g} arrives",
        ),
        "reliability": (
            site(firm * out),
            f"{firm} cars are there with probability {product.reliability:g}",
        ),
        "duration": (
            block,
            f"{held} cars are there in each of {steps} steps with that probability",
        ),
        "other direction": (
            sold,
            f"each kW sold needs {product.margin:g} kW firm and {product.reverse:g} kW to recharge",
        ),
        "sellable": (
            whole,
            f"sold in lots of {product.lot_kw:g} kW" if product.lot_kw else "sold to the last watt",
        ),
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["mw", "why"]).rename_axis("layer")
    table["mw"] /= 1000
    table.insert(1, "lost_mw", 0.0 - table.mw.diff().fillna(0.0))
    return table


# ------------------------------------------------------------------------------------------- a signal finds its cars


def jain(shares):
    r"""Jain's index of fairness: 1 if all carry the same, 1/n if one carries everything.

    .. math:: J = \frac{\left(\sum_i x_i\right)^2}{n \sum_i x_i^2}            (10.12)

    Parameters
    ----------
    shares : array, shape (cars,)
        >= 0, such as the energy that each gave.

    Returns
    -------
    float
        1 where nobody carries anything.

    References
    ----------
    .. [1] Jain, Chiu, Hawe, "A quantitative measure of fairness and discrimination for resource allocation in shared computer systems",
       DEC TR-301, 1984 (from memory).
    """
    x = np.atleast_1d(checked("shares", shares, ge=0))
    return float(x.sum() ** 2 / (len(x) * np.square(x).sum())) if x.any() else 1.0  # eq. (10.12)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dispatch:
    """A signal and what each car did with it.

    `p_kw` has the shape (stays, steps), `energy_kwh` (stays, steps + 1) counts from arrival; `table` has the index t_s (start of the step) and `asked_kw`,
    `given_kw`. `given_kwh` is what each car discharged, `use` its throughput over what its plug could have moved in its stay.
    """

    p_kw: np.ndarray
    energy_kwh: np.ndarray
    table: pd.DataFrame
    given_kwh: np.ndarray
    use: np.ndarray

    @property
    def missed(self):
        """Energy that was asked for and not given, or given and not asked for, over the energy asked for. ValueError if nothing was asked for."""
        if not self.table.asked_kw.any():
            raise ValueError("signal_kw is 0 throughout; there is nothing to miss")
        return float(
            (self.table.asked_kw - self.table.given_kw).abs().sum()
            / self.table.asked_kw.abs().sum()
        )


def disaggregate(cars, signal_kw, rule="proportional", *, dt_h=0.25):
    r"""Share a signal out to cars, and keep every departure.

    Each step, eq. (10.3) at its end says within which powers each car may act; one that stands on its lower line must charge. What is
    left of the signal goes to the cars

    - "proportional": each gives the same part of the room :math:`r_i` it has,

      .. math:: p_i = p_i^0 + r_i \min\Big(1,\ \frac{s - \sum_j p_j^0}{\sum_j r_j}\Big)            (10.13)

    - "urgency": cars with the least laxity charge first, and those with the most discharge first,

      .. math:: \ell_i = (d_i - t) - \frac{need_i - e_i}{\eta_c P_c}            (10.14)

    - "optimal": with the whole signal known, a linear programme misses as little of it as can be,

      .. math:: \min \sum_t \Big|s_t - \sum_i p_{it}\Big|\Delta t + w \sum_{i,t} (c_{it} + d_{it})\,\Delta t            (10.15)

      where w is just large enough that charging and discharging at once never pays.

    Parameters
    ----------
    cars : Stays
    signal_kw : array, shape (steps,)
        Wanted from all cars together, their own charging included, from t = 0 on; > 0 discharges. [kW]
    rule : str
        "proportional", "urgency" or "optimal".
    dt_h : float
        [h]

    Returns
    -------
    Dispatch

    Raises
    ------
    ValueError
        If the rule is unknown, or a car stays longer than the signal lasts.
    """
    signal, dt = (
        np.atleast_1d(checked("signal_kw", signal_kw, "kW")),
        checked("dt_h", dt_h, "h", gt=0),
    )
    if rule not in ("proportional", "urgency", "optimal"):
        raise ValueError(f'rule is {rule!r}; it must be "proportional", "urgency" or "optimal"')
    if cars.arrive_h.min() < 0 or cars.leave_h.max() > len(signal) * dt + EPS:
        raise ValueError(
            f"stays lie between {cars.arrive_h.min():g} h and {cars.leave_h.max():g} h, the signal between 0 and {len(signal) * dt:g} h"
        )
    edges = dt * np.arange(len(signal) + 1)
    lines = bounds_kwh(cars, edges)
    energy = (
        _best_path(cars, signal, dt, lines)
        if rule == "optimal"
        else _shared_path(cars, signal, dt, lines, rule)
    )
    p = _power(cars, np.diff(energy, axis=0), dt)
    table = pd.DataFrame(
        {"asked_kw": signal, "given_kw": p.sum(1)}, index=pd.Index(3600 * edges[:-1], name="t_s")
    )
    could = cars.p_charge_kw * (cars.leave_h - cars.arrive_h)
    return Dispatch(
        p_kw=p.T,
        energy_kwh=energy.T,
        table=table,
        given_kwh=dt * np.maximum(p, 0).sum(0),
        use=dt * np.abs(p).sum(0) / could,
    )


def _power(cars, rise_kwh, dt):
    """Power at the grid side that makes the battery rise by so much in a step."""
    return np.where(rise_kwh > 0, -rise_kwh / cars.eta_charge, -rise_kwh * cars.eta_discharge) / dt


def _shared_path(cars, signal, dt, lines, rule):
    """Energy of each car at the edges of the steps, step by step. Before arrival and after departure the two lines are one."""
    energy = np.zeros((len(signal) + 1, len(cars)))
    for k, wanted in enumerate(signal):
        now = energy[k]
        lowest = np.maximum(lines[0][k + 1], now - cars.down_kw * dt)
        highest = np.minimum(lines[1][k + 1], now + cars.up_kw * dt)
        high, low = (
            _power(cars, lowest - now, dt),
            _power(cars, np.maximum(highest, lowest) - now, dt),
        )
        base = np.clip(0.0, low, high)
        left = wanted - base.sum()
        room = high - base if left > 0 else base - low
        if rule == "proportional":
            part = room * min(1.0, abs(left) / max(room.sum(), 1e-12))  # eq. (10.13)
        else:
            laxity = (cars.leave_h - k * dt) - (cars.need_kwh - now) / cars.up_kw  # eq. (10.14)
            order = np.argsort(-laxity if left > 0 else laxity, kind="stable")
            part = np.empty(len(cars))
            part[order] = np.clip(
                abs(left) - (np.cumsum(room[order]) - room[order]), 0.0, room[order]
            )
        p = base + np.sign(left) * part
        rise = np.where(p < 0, -p * cars.eta_charge, -p / cars.eta_discharge) * dt
        energy[k + 1] = np.clip(now + rise, lowest, np.maximum(highest, lowest))
    return energy


def _best_path(cars, signal, dt, lines):
    """The same by linear programme. Columns: charge and discharge [kWh at the grid] and energy in the cells where a car is plugged in, two misses a step."""
    here_h = np.diff(
        np.clip(dt * np.arange(len(signal) + 1)[:, None], cars.arrive_h, cars.leave_h), axis=0
    )
    step, car = np.nonzero(here_h > 0)
    m, cell = len(step), np.full(here_h.shape, -1)
    cell[step, car] = np.arange(m)
    before = np.where(step > 0, cell[step - 1, car], -1)
    chained, ones, row = before >= 0, np.ones(m), np.arange(m)
    battery = sparse.coo_array(
        (
            np.concatenate(
                [-cars.eta_charge[car], 1 / cars.eta_discharge[car], ones, -ones[chained]]
            ),
            (
                np.concatenate([row, row, row, row[chained]]),
                np.concatenate([row, m + row, 2 * m + row, 2 * m + before[chained]]),
            ),
        ),
        shape=(m, 3 * m + 2 * len(signal)),
    )
    steps, unit = np.arange(len(signal)), np.ones(len(signal))
    balance = sparse.coo_array(
        (
            np.concatenate([-ones, ones, unit, -unit]),
            (
                np.concatenate([step, step, steps, steps]),
                np.concatenate([row, m + row, 3 * m + steps, 3 * m + len(signal) + steps]),
            ),
        ),
        shape=(len(signal), 3 * m + 2 * len(signal)),
    )
    trip = cars.eta_charge * cars.eta_discharge
    weight = np.max((1 - trip) / (1 + trip)) + 1e-4
    cost = np.concatenate(
        [np.full(2 * m, weight), np.zeros(m), np.ones(2 * len(signal))]
    )  # eq. (10.15)
    lower = np.concatenate([np.zeros(2 * m), lines[0][step + 1, car], np.zeros(2 * len(signal))])
    upper = np.concatenate(
        [
            (cars.p_charge_kw * here_h)[step, car],
            (cars.p_discharge_kw * here_h)[step, car],
            lines[1][step + 1, car],
            np.full(2 * len(signal), np.inf),
        ]
    )
    result = linprog(
        cost,
        A_eq=sparse.vstack([battery, balance]).tocsr(),
        b_eq=np.concatenate([np.zeros(m), signal * dt]),
        bounds=np.column_stack([lower, upper]),
        method="highs",
    )
    if result.x is None:
        raise ValueError(f"the solver gave up: {result.message}")
    energy = lines[0].copy()  # 0 before arrival, the need after departure
    energy[step + 1, car] = result.x[2 * m : 3 * m]
    return energy


# ---------------------------------------------------------------------------------------------------- millions of cars


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenario:
    """A day that any number of cars can live through.

    Attributes
    ----------
    cars : Stays
        Each simulated car repeats one of these stays, drawn at random, on the clock of one day: hours count modulo 24.
    command : array, shape (steps,)
        From midnight on: share of its power that each car is asked for, -1..1; > 0 discharges.
    seed : int
    dt_h : float
        Stays are cut to whole steps, and what a car needs to what it can get in them. [h]
    come : float
        Share of the cars that comes at all that day. 0..1
    """

    cars: Stays
    command: np.ndarray
    seed: int
    dt_h: float = 0.25
    come: float = 1.0

    def __post_init__(self):
        object.__setattr__(
            self,
            "command",
            np.atleast_1d(checked("command", self.command, "(a share of the power)", ge=-1, le=1)),
        )
        if len(self.command) > 32_000:
            raise ValueError(f"command has {len(self.command)} steps; at most 32000")
        checked("dt_h", self.dt_h, "h", gt=0)
        checked("come", self.come, "(a fraction)", ge=0, le=1)
        for name in ("eta_charge", "eta_discharge"):
            if np.ptp(getattr(self.cars, name)) > 0:
                raise ValueError(
                    f"{name} differs between stays; a scenario has one efficiency each way"
                )

    @property
    def key(self):
        """A fingerprint: equal scenarios have the same, others another."""
        digest = hashlib.blake2b(repr((self.seed, self.dt_h, self.come)).encode(), digest_size=12)
        for value in (
            *(getattr(self.cars, name) for name in self.cars.__dataclass_fields__),
            self.command,
        ):
            digest.update(repr(value.shape).encode() + np.ascontiguousarray(value, float).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What a simulated fleet did. `table` has the index t_s (start of the step) and `asked_mw` (command times power of the cars plugged in),
    `p_mw`, `stored_mwh` (since arrival, at the end of the step, in the cars that are there or have been) and `plugged`. `left` cars departed within the
    time simulated, and `short_kwh` is what the worst of them lacked."""

    cars: int
    table: pd.DataFrame
    left: int
    short_kwh: float


class Unfinished(RuntimeError):
    """A worker died and no executor is left. `finished` holds the blocks that are done: give it as `checkpoint` to go on."""

    def __init__(self, message, finished):
        super().__init__(message)
        self.finished = finished


def simulate(n_cars, scenario, *, executor=None, progress=None, checkpoint=None, blocks_per_task=1):
    r"""A day of a fleet of any size: limits, departures kept, a command followed by each car as far as it can.

    .. math:: e_{k+1} = \mathrm{clip}\big(e_k + \Delta e(c_k),\ L_{k+1},\ U_{k+1}\big),\qquad \Delta e(c) = -c\,\Delta t\,\{v\ \text{if}\ c > 0,\ u\ \text{if}\ c \le 0\}            (10.16)

    Cars are made and simulated in blocks of 65,536 in single precision, and summed in double precision in the order of the blocks. Block b draws from
    its own stream (SeedSequence with spawn key b), so that the result does not depend, to the last bit, on who works where; memory
    does not grow with the fleet.

    Parameters
    ----------
    n_cars : int
    scenario : Scenario
    executor : concurrent.futures.Executor, or a function that makes one, optional
        `ProcessPoolExecutor(2)`, or `Client(...).get_executor()` of dask.distributed; this process if left out. When a worker
        is killed the pool is broken; a function is asked for a new one and the open blocks are done again.
    progress : function, optional
        Called with the number of cars that have just been finished: `tqdm(total=n_cars).update`.
    checkpoint : dict or path of a folder, optional
        Where finished blocks are kept and looked for. A larger fleet goes on where a smaller one of the same scenario ended.
    blocks_per_task : int
        Blocks that go to a worker together.

    Returns
    -------
    Run

    Raises
    ------
    Unfinished
        If workers died and `executor` is not a function, or three new executors in a row finished nothing.
    ValueError
        If `n_cars` is not a whole number above 0.
    """
    if isinstance(n_cars, bool) or checked("n_cars", n_cars, ge=1) % 1:
        raise ValueError(f"n_cars is {n_cars}; it must be a whole number above 0")
    n_cars = int(n_cars)
    store = (
        _Folder(Path(checkpoint))
        if isinstance(checkpoint, (str, os.PathLike))
        else {}
        if checkpoint is None
        else checkpoint
    )
    counts = [min(BLOCK, n_cars - first) for first in range(0, n_cars, BLOCK)]
    key = scenario.key
    names = [f"{key}-{block:06d}-{count}" for block, count in enumerate(counts)]
    finished = {block: store[name] for block, name in enumerate(names) if name in store}
    tell = progress or (lambda cars: None)
    if finished:
        tell(sum(counts[block] for block in finished))

    def keep(blocks, results):
        for block, result in zip(blocks, results):
            finished[block] = store[names[block]] = result
        tell(sum(counts[block] for block in blocks))

    fresh = 0
    while len(finished) < len(counts):
        open_blocks = [block for block in range(len(counts)) if block not in finished]
        size = int(checked("blocks_per_task", blocks_per_task, ge=1))
        tasks = [open_blocks[k : k + size] for k in range(0, len(open_blocks), size)]
        before = len(finished)
        try:
            _work_off(scenario, tasks, counts, executor, keep)
        except BrokenExecutor as broken:
            fresh = 0 if len(finished) > before else fresh + 1
            if fresh == 3 or not callable(executor):
                raise Unfinished(
                    f"a worker died with {len(finished)} of {len(counts)} blocks done; call again with a new executor, and with "
                    "checkpoint (the same, or `finished` of this error) to go on",
                    {names[b]: r for b, r in finished.items()},
                ) from broken
    return _summed(scenario, n_cars, [finished[block] for block in range(len(counts))])


def _work_off(scenario, tasks, counts, executor, keep):
    """Do tasks here or in an executor, no more than 32 at a time, and hand each result over as it comes."""
    if executor is None:
        for blocks in tasks:
            keep(blocks, _do(scenario, blocks, [counts[block] for block in blocks]))
        return
    waiting, running = tasks[::-1], {}
    with executor() if callable(executor) else contextlib.nullcontext(executor) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < 32:
                    blocks = waiting.pop()
                    running[
                        pool.submit(_do, scenario, blocks, [counts[block] for block in blocks])
                    ] = blocks
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    keep(running[future], future.result())
                    del running[future]
        finally:  # after an error, what else is done is not lost
            for future, blocks in running.items():
                if not future.cancel() and future.done() and not future.exception():
                    keep(blocks, future.result())


def _do(scenario, blocks, counts):
    return [_simulate_block(scenario, block, count) for block, count in zip(blocks, counts)]


def _drawn(scenario, block, count):
    """Cars of a block: first and last step (int16), and energies and powers of a step (float32), in kWh."""
    cars, dt = scenario.cars, scenario.dt_h
    rng = np.random.default_rng(np.random.SeedSequence(scenario.seed, spawn_key=(block,)))
    pick = rng.integers(len(cars), size=BLOCK)[:count]
    come = rng.random(BLOCK, np.float32)[:count] < scenario.come
    arrive_h = cars.arrive_h % 24
    first = np.ceil(arrive_h / dt - EPS)
    last = np.maximum(np.floor((arrive_h + cars.leave_h - cars.arrive_h) / dt + EPS), first)
    up, down = dt * cars.up_kw, dt * cars.down_kw
    need = np.minimum(cars.need_kwh, up * (last - first))
    first, last = (np.minimum(side, 32_000).astype(np.int16)[pick] for side in (first, last))
    return (
        first,
        np.where(come, last, first),
        *(
            value.astype(np.float32)[pick]
            for value in (up, down, need, cars.below_kwh, cars.room_kwh)
        ),
    )


def _simulate_block(scenario, block, count):
    """Sums over the cars of a block: rows energy in, energy out (both in the battery, kWh), stored, plugged, power up and down; then left and short."""
    first, last, up, down, need, below, room = _drawn(scenario, block, count)
    steps = len(scenario.command)
    sums = np.zeros((6, steps))
    for row, weight in ((3, None), (4, up), (5, down)):
        come, go = (
            np.bincount(np.minimum(side, steps), weights=weight, minlength=steps + 1)[:steps]
            for side in (first, last)
        )
        sums[row] = np.cumsum(come - go)
    np.negative(below, out=below)
    late, soon = (
        need - up * last,
        need + down * last,
    )  # L and U of eq. (10.3) at step 0; they rise and fall step by step
    energy, move = np.zeros(count, np.float32), np.empty(count, np.float32)
    here, gone = np.empty(count, bool), np.empty(count, bool)
    for k, command in enumerate(scenario.command.astype(np.float32)):
        late += up
        soon -= down
        np.multiply(down if command > 0 else up, -command, out=move)
        move += energy
        for limit, line in (
            (np.maximum, late),
            (np.maximum, below),
            (np.minimum, room),
            (np.minimum, soon),
        ):
            limit(move, line, out=move)  # eq. (10.16)
        move -= energy
        np.less_equal(first, k, out=here)
        np.greater(last, k, out=gone)
        here &= gone
        np.multiply(move, here, out=move)
        energy += move
        total = np.add.reduce(move, dtype=np.float64)
        np.maximum(move, 0.0, out=move)
        sums[0, k] = np.add.reduce(move, dtype=np.float64)
        sums[1, k] = sums[0, k] - total
    sums[2] = np.cumsum(sums[0] - sums[1])
    done = (last > first) & (last <= steps)
    return np.concatenate(
        [sums.ravel(), [done.sum(), np.max(np.where(done, need - energy, 0.0), initial=0.0)]]
    )


def _summed(scenario, n_cars, blocks):
    """Add the blocks in their order, and turn energies into power at the grid side."""
    steps, dt = len(scenario.command), scenario.dt_h
    total = np.zeros(6 * steps)
    for block in blocks:
        total += block[:-2]
    into, out, stored, plugged, up, down = total.reshape(6, steps)
    eta_c, eta_d = scenario.cars.eta_charge[0], scenario.cars.eta_discharge[0]
    asked = (
        np.where(
            scenario.command > 0, scenario.command * down * eta_d, scenario.command * up / eta_c
        )
        / dt
    )
    columns = {
        "asked_mw": asked / 1000,
        "p_mw": (out * eta_d - into / eta_c) / dt / 1000,
        "stored_mwh": stored / 1000,
        "plugged": plugged.astype(int),
    }
    table = pd.DataFrame(columns, index=pd.Index(3600 * dt * np.arange(steps), name="t_s"))
    return Run(
        cars=n_cars,
        table=table,
        left=int(sum(block[-2] for block in blocks)),
        short_kwh=float(max(block[-1] for block in blocks)),
    )


class _Folder:
    """Results of blocks as files, each written whole or not at all."""

    def __init__(self, path):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def __contains__(self, name):
        try:
            self[name]
        except (OSError, ValueError, EOFError):
            return False
        return True

    def __getitem__(self, name):
        return np.load(self.path / f"{name}.npy", allow_pickle=False)

    def __setitem__(self, name, result):
        part = self.path / f"{name}.{os.getpid()}.part"
        with part.open("wb") as file:
            np.save(file, result)
        part.replace(self.path / f"{name}.npy")
