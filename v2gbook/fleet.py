r"""Topic 10, fleet: how many cars are a power plant, how sure it is, and how they share a signal.

Real sessions come first (`check_sessions`, `fit`, `announcement`), and cars that sleep at home,
drawn from tables of trips (`Travel`, `home_sessions`). Then how many cars are plugged in and for
how long they stay (`plugged_cars`, `still_there`, `autocorrelation`), what they can give in power
and energy (`stays`, `envelope`, `hold`), and how much of it is firm (`firm_cars`, `firm_joint`,
`firm_observed`). `capacity_stack` puts it all on one page, `disaggregate` shares a
signal out, and `simulate` does it for millions of cars, in blocks that any
`concurrent.futures` executor can work off.

p > 0 flows from the vehicle to the grid. Energies of `Stays` are in the battery, counted from
arrival. `Storage` comes from topic 04.
"""

import functools
import hashlib
import os
from collections.abc import Callable, MutableMapping
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import linprog
from scipy.special import ndtri

from . import _presence
from ._check import (
    FloatOrArray,
    alike,
    checked,
    columns,
    equal_steps,
    flag,
    fraction,
    instance,
    keep,
    keep_single,
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
from ._executor import Workers, work_off, workers
from ._presence import check_sessions
from .charger import Storage

_BLOCK = 65_536  # cars that are simulated together
_EPS = 1e-9

_MOST_H = 1e6  # a century
_MOST_CARS = 10_000_000  # as many probabilities are computed, one for each count
_MOST_SEARCHED = 4_000_000  # cars of a fleet that is looked for
_MOST_IN_A_ROW = 100_000  # steps of a block
_LEAST_CORRELATION = 1e-9  # less is not told from cars that are independent
_LEAST_ETA = 1e-6  # a battery that loses all that it takes stands still
_MOST_SIMULATED = 1_000_000_000  # cars
_MOST_COMMANDS = 32_000  # steps of a scenario, which are counted in 16 bits

_DIGEST_BYTES = 16

_DAYS = ("weekday", "saturday", "sunday")
_WORK_H = (7.0, 8.0)  # hours of a full-time commuter at work, on a weekday with trips
_HOME_H = {"weekday": 9.0, "saturday": 6.0, "sunday": 6.0}  # hours at home, at least
_STOP_H = 0.25  # of each stop, at least
_TRIED = 50_000  # days that are tried at once
_MOST_ROUNDS = 2_000

_HOURS: dict[str, Any] = dict(unit="h", ge=-_MOST_H, le=_MOST_H)
_KW: dict[str, Any] = dict(unit="kW", ge=0)
_KWH: dict[str, Any] = dict(unit="kWh", ge=0)
_SURE: dict[str, Any] = dict(ge=None, gt=0, le=None, lt=1)  # a reliability


# ------------------------------------------------------------------------------------ arguments


def _whole_numbers(name, value, *, ge=1, le):
    """Whole numbers as integers: one, or an array of them."""
    numbers = checked(name, value, ge=ge, le=le)
    broken = np.ravel(np.mod(numbers, 1) != 0)
    if broken.any() or np.asarray(value).dtype.kind == "b":
        given = np.ravel(value)[broken.argmax()]
        raise ValueError(f"{name} is {given}; it must be a whole number")
    return np.asarray(numbers).astype(int) if np.ndim(numbers) else int(numbers)


def _whole_row(name, value, *, ge, le):
    """A series of whole numbers."""
    row(name, value)
    return _whole_numbers(name, value, ge=ge, le=le)


def _series(name, value, unit="", **limits):
    """A series of numbers; a single number is a series of one."""
    return row(name, np.atleast_1d(checked(name, value, unit, **limits)))


# ------------------------------------------------------------------------------------- sessions


@dataclass(frozen=True, kw_only=True, eq=False)
class Behaviour:
    """Sessions of a place, kept whole: arrival, stay, energy and announcement stay together.

    Attributes
    ----------
    weekday : array, shape (days,)
        Weekday of each recorded day, 0 is Monday and 6 is Sunday. Days on which nobody came are
        there, too.
    day : array, shape (sessions,)
        Place of the session's day in `weekday`, from 0 on.
    arrival_h : array, shape (sessions,)
        Clock time of arrival, from 0 up to below 24 [h].
    stay_h : array, shape (sessions,)
        Hours stayed, above 0 [h].
    announced_h : array, shape (sessions,)
        Hours that the driver announced on arrival; the stay itself where the source has no
        announcement [h].
    energy_kwh : array, shape (sessions,)
        Energy at the station, at least 0 [kWh].

    Raises
    ------
    ValueError
        If a field is out of range, or the four of the sessions differ in length.

    Examples
    --------
    >>> seen = Behaviour(
    ...     weekday=[0, 1], day=[0, 0, 1], arrival_h=[8.0, 9.5, 8.2], stay_h=[8.0, 2.0, 7.5],
    ...     announced_h=[9.0, 2.0, 7.5], energy_kwh=[12.0, 5.0, 9.0])
    >>> seen.per_day.tolist()
    [2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    weekday: np.ndarray
    day: np.ndarray
    arrival_h: np.ndarray
    stay_h: np.ndarray
    announced_h: np.ndarray
    energy_kwh: np.ndarray

    def __post_init__(self) -> None:
        weekday = _whole_row("weekday", self.weekday, ge=0, le=6)
        object.__setattr__(self, "weekday", weekday)
        object.__setattr__(self, "day", _whole_row("day", self.day, ge=0, le=len(weekday) - 1))
        keep(
            self,
            arrival_h=dict(row=True, unit="h", ge=0, lt=24),
            stay_h=dict(row=True, unit="h", gt=0, le=_MOST_H),
            announced_h=dict(row=True, **_HOURS),
            energy_kwh=dict(row=True, **_KWH),
        )
        alike(
            day=self.day,
            arrival_h=self.arrival_h,
            stay_h=self.stay_h,
            announced_h=self.announced_h,
            energy_kwh=self.energy_kwh,
        )

    @property
    def per_day(self) -> np.ndarray:
        """Mean number of sessions on a Monday, Tuesday, ... Sunday; 0 where none was recorded."""
        days = np.bincount(self.weekday, minlength=7)
        sessions = np.bincount(self.weekday[self.day], minlength=7)
        return sessions / np.maximum(days, 1)


def _announced(sessions):
    """Announced departures; the real one where nothing was announced."""
    if "estimated_departure" not in sessions:
        return sessions.departure
    told = sessions["estimated_departure"]
    has_stamps = _presence.has_stamps(sessions, "estimated_departure")
    if not has_stamps or told.dt.tz != sessions.departure.dt.tz:
        raise ValueError(
            "sessions: estimated_departure must be time stamps in the time zone of departure"
        )
    return told.fillna(sessions.departure)


def _clock_h(clock):
    """Hours since midnight on the clock."""
    return (clock - clock.dt.normalize()).dt.total_seconds().to_numpy() / 3600


def fit(sessions: pd.DataFrame) -> Behaviour:
    """Return the behaviour that sessions show: they are kept as they are, no curve is fitted.

    Parameters
    ----------
    sessions : DataFrame
        Sessions as for `check_sessions`; `estimated_departure` is used if it is there.

    Returns
    -------
    Behaviour
        Clock times, stays and energies of all sessions.

    Raises
    ------
    TypeError
        If `sessions` is no DataFrame.
    ValueError
        If a session is impossible.

    Examples
    --------
    >>> sessions = pd.DataFrame({
    ...     "arrival": pd.to_datetime(["2025-05-05 08:00", "2025-05-06 09:30"]),
    ...     "departure": pd.to_datetime(["2025-05-05 16:00", "2025-05-06 11:00"]),
    ...     "delivered_kwh": [12.0, 5.0],
    ... })
    >>> seen = fit(sessions)
    >>> seen.arrival_h.tolist(), seen.stay_h.tolist()
    ([8.0, 9.5], [8.0, 1.5])
    """
    sessions = check_sessions(sessions)
    days = _presence.recorded_days("sessions", sessions)
    clock = _presence.clock(sessions.arrival)
    announced = _announced(sessions) - sessions.arrival
    return Behaviour(
        weekday=days.day_of_week.to_numpy(),
        day=days.get_indexer(clock.dt.normalize()),
        arrival_h=_clock_h(clock),
        stay_h=_presence.stay_h(sessions).to_numpy(),
        announced_h=(announced.dt.total_seconds() / 3600).to_numpy(),
        energy_kwh=_presence.energy_kwh(sessions),
    )


def _recorded(behaviour, weekday):
    """Places of the days of this weekday, of which there must be one."""
    days = np.flatnonzero(behaviour.weekday == weekday)
    if not len(days):
        name = f"{pd.Timestamp('2024-01-01') + pd.Timedelta(days=weekday):%A}"
        raise ValueError(f"no {name} was recorded; the behaviour cannot be drawn for it")
    return days


def _drawn_day(behaviour, weekday, rng):
    """All sessions of one day."""
    return np.flatnonzero(behaviour.day == rng.choice(_recorded(behaviour, weekday)))


def _drawn_sessions(behaviour, weekday, rng):
    """Single sessions, as many on average as on such a day."""
    days = _recorded(behaviour, weekday)
    bag = np.flatnonzero(np.isin(behaviour.day, days))
    if not len(bag):
        return bag
    return rng.choice(bag, rng.poisson(len(bag) / len(days)))


def _at_clock(clock, zone):
    """Clock times in a time zone: one that is skipped is moved on, of two the first is meant."""
    first = np.ones(len(clock), bool)
    return clock.tz_localize(zone, nonexistent="shift_forward", ambiguous=first)


def _hours(hours):
    return pd.to_timedelta(hours, "h").round("s")


def sample_sessions(
    behaviour: Behaviour,
    dates: pd.DatetimeIndex,
    *,
    rng: np.random.Generator,
    together: bool = True,
) -> pd.DataFrame:
    """Draw sessions for some dates, each from the days of the same weekday that were seen.

    Parameters
    ----------
    behaviour : Behaviour
        What `fit` has kept of real sessions.
    dates : DatetimeIndex, shape (days,)
        Days to draw for, in order; the clock of the result is that of their time zone.
    rng : numpy.random.Generator
        Source of chance.
    together : bool
        True draws whole days, so that what keeps many away at once (a holiday, a storm) still
        does. False draws as many sessions on average (Poisson), each on its own: the fleet that a
        textbook's independent cars make.

    Returns
    -------
    DataFrame
        One row a session, by arrival: `arrival`, `departure`, `estimated_departure` (what the
        driver announced) and `delivered_kwh`. It has no station: each session is a car of its own.

    Raises
    ------
    ValueError
        If a weekday of the dates was never seen, or the dates do not rise.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> sessions = pd.DataFrame({
    ...     "arrival": pd.to_datetime(["2025-05-05 08:00", "2025-05-05 10:00"]),
    ...     "departure": pd.to_datetime(["2025-05-05 18:00", "2025-05-05 12:00"]),
    ...     "delivered_kwh": [12.0, 6.0],
    ... })
    >>> mondays = pd.date_range("2026-01-05", periods=2, freq="7D")
    >>> drawn = sample_sessions(
    ...     fit(sessions), mondays, rng=np.random.default_rng(1), together=True)
    >>> drawn.departure.dt.strftime("%d %H:%M").tolist()
    ['05 18:00', '05 12:00', '12 18:00', '12 12:00']
    """
    instance("behaviour", behaviour, Behaviour)
    stamps("dates", dates)
    instance("rng", rng, np.random.Generator)
    flag("together", together)
    draw = _drawn_day if together else _drawn_sessions
    picks = [draw(behaviour, weekday, rng) for weekday in dates.day_of_week]
    pick = np.concatenate(picks)
    midnight = dates.tz_localize(None).normalize().repeat([len(day) for day in picks])
    arrival = _at_clock(midnight + _hours(behaviour.arrival_h[pick]), dates.tz)
    drawn = pd.DataFrame(
        {
            "arrival": arrival,
            "departure": arrival + _hours(behaviour.stay_h[pick]),
            "estimated_departure": arrival + _hours(behaviour.announced_h[pick]),
            "delivered_kwh": behaviour.energy_kwh[pick],
        }
    )
    return drawn.sort_values("arrival", kind="stable", ignore_index=True)


def _per_workday(behaviour):
    sessions = np.bincount(behaviour.day, minlength=len(behaviour.weekday))
    return sessions[behaviour.weekday < 5]


def _compared(old, new):
    """Means, distance of the distribution functions, and the distance that chance makes."""
    at = np.concatenate([old, new])
    share_old = np.searchsorted(np.sort(old), at, "right") / len(old)
    share_new = np.searchsorted(np.sort(new), at, "right") / len(new)
    chance = 1.358 * np.sqrt(1 / len(old) + 1 / len(new))
    return old.mean(), new.mean(), np.abs(share_old - share_new).max(), chance


def goodness_of_fit(behaviour: Behaviour, sessions: pd.DataFrame) -> pd.DataFrame:
    """Return how well fitted behaviour describes later sessions that it has not seen.

    Parameters
    ----------
    behaviour : Behaviour
        As from `fit`.
    sessions : DataFrame
        Later sessions, a table as `fit` takes it.

    Returns
    -------
    DataFrame
        Rows `arrival_h`, `stay_h`, `energy_kwh` (of sessions) and `per_workday` (sessions a day,
        Monday to Friday). Columns `fitted` and `later`, the means; `ks`, the largest distance
        between the two distribution functions (Kolmogorov-Smirnov, 0 to 1); and `chance`, the
        distance that independent draws from one distribution exceed once in twenty times.

    Raises
    ------
    ValueError
        As `fit`.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> sessions = pd.DataFrame({
    ...     "arrival": pd.to_datetime(["2025-05-05 08:00", "2025-05-06 10:00"]),
    ...     "departure": pd.to_datetime(["2025-05-05 18:00", "2025-05-06 12:00"]),
    ...     "delivered_kwh": [12.0, 6.0],
    ... })
    >>> table = goodness_of_fit(fit(sessions[:1]), sessions[1:])
    >>> table.loc["stay_h", ["fitted", "later", "ks"]].tolist()
    [10.0, 2.0, 1.0]
    """
    instance("behaviour", behaviour, Behaviour)
    new = fit(sessions)
    pairs = {
        name: (getattr(behaviour, name), getattr(new, name))
        for name in ("arrival_h", "stay_h", "energy_kwh")
    }
    pairs["per_workday"] = (_per_workday(behaviour), _per_workday(new))
    rows = {name: _compared(old, fresh) for name, (old, fresh) in pairs.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["fitted", "later", "ks", "chance"])


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """What drivers say on arrival about their departure, beside what they do.

    Attributes
    ----------
    share : float
        Share of the drivers who announced something, 0 to 1.
    early : float
        Share of these who left more than a quarter of an hour before the time that they announced,
        0 to 1.
    bias_h : float
        Mean of real minus announced departure; below 0 where drivers leave earlier than they
        say [h].
    error_h : float
        Mean size of this difference, at least 0 [h].

    Raises
    ------
    ValueError
        If a field is out of range.
    """

    share: float
    early: float
    bias_h: float
    error_h: float

    def __post_init__(self) -> None:
        keep_single(self, share=dict(fraction=True), early=dict(fraction=True))
        keep(self, bias_h=dict(one=True, unit="h"), error_h=dict(one=True, unit="h", ge=0))


def announcement(behaviour: Behaviour) -> Announcement:
    """Return how announced departures compare with the real ones.

    Parameters
    ----------
    behaviour : Behaviour
        Sessions from `fit`.

    Returns
    -------
    Announcement
        How many drivers announce, and how far off they are.

    Raises
    ------
    TypeError
        If `behaviour` is something else.
    ValueError
        If nobody announced anything.

    Examples
    --------
    >>> seen = Behaviour(
    ...     weekday=[0], day=[0, 0], arrival_h=[8.0, 9.5], stay_h=[8.0, 2.0],
    ...     announced_h=[9.0, 2.0], energy_kwh=[12.0, 5.0])
    >>> announcement(seen)
    Announcement(share=0.5, early=1.0, bias_h=-1.0, error_h=1.0)
    """
    instance("behaviour", behaviour, Behaviour)
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


# ------------------------------------------------------------------------- cars that sleep at home


@dataclass(frozen=True, kw_only=True, eq=False)
class Travel:
    """Tables of trips of one kind of driver, as surveys publish them and `data.trips` returns them.

    Attributes
    ----------
    per_day : DataFrame, index trips
        Columns `weekday` and `weekend`: share of the cars that make so many trips on such a day. A
        car does not leave without coming back, so no car makes one trip alone.
    departures : DataFrame
        Columns `day` ("weekday", "saturday" and "sunday"), `time_h` (start of the half hour, from 0
        up to below 24) [h], and one for each destination, among them `home`: share of the day's
        trips that leave in this half hour for there.
    lengths : DataFrame
        Columns `km` and `minutes`, the upper ends of classes, above 0 [km], [min], and `share` of
        the trips.

    Raises
    ------
    TypeError
        If a table is no DataFrame.
    ValueError
        If a column or a kind of day is missing, a share is negative, or shares add up to 0.

    Examples
    --------
    >>> from v2gbook import data
    >>> travel = Travel(**data.trips("commuter"))
    >>> travel.destinations
    ['errands', 'escort', 'home', 'leisure', 'shopping', 'workplace']
    """

    per_day: pd.DataFrame
    departures: pd.DataFrame
    lengths: pd.DataFrame

    def __post_init__(self) -> None:
        columns("per_day", self.per_day, ["weekday", "weekend"])
        columns("departures", self.departures, ["day", "time_h", "home"])
        columns("lengths", self.lengths, ["km", "minutes", "share"])
        trips = _whole_row("the index of per_day", self.per_day.index.to_numpy(), ge=0, le=20)
        for kind in ("weekday", "weekend"):
            shares = _shares(f"per_day.{kind}", self.per_day[kind])
            if shares[trips == 1].any():
                raise ValueError(
                    f"per_day.{kind}: a car that makes one trip does not come back; "
                    "the share of 1 trip must be 0"
                )
        row("departures.time_h", self.departures.time_h, "h", ge=0, lt=24)
        for day in _DAYS:
            of_day = self.departures[self.departures.day == day]
            if of_day.empty:
                raise ValueError(f"departures has no row with day = {day!r}")
            _shares(f"departures of {day}", of_day[self.destinations])
        row("lengths.km", self.lengths.km, "km", gt=0, le=10_000)
        row("lengths.minutes", self.lengths.minutes, "min", gt=0, le=24 * 60)
        _shares("lengths.share", self.lengths.share)

    @property
    def destinations(self) -> list[str]:
        """Names of the destinations, in the order of the table."""
        return [name for name in self.departures.columns if name not in ("day", "time_h")]

    @property
    def commutes(self) -> bool:
        """Whether trips on weekdays lead to a destination `workplace`."""
        weekdays = self.departures[self.departures.day == "weekday"]
        return bool("workplace" in weekdays and (weekdays.workplace > 0).any())


def _shares(name, table):
    """Shares of a table as one row that adds up to 1."""
    shares = np.ravel(checked(name, np.asarray(table), ge=0))
    if not shares.sum() > 0:
        raise ValueError(f"{name}: all shares are 0")
    return shares / shares.sum()


def _picked(shares, size, rng):
    """Places drawn with these shares."""
    return np.searchsorted(np.cumsum(shares)[:-1], rng.random(size), "right")


def _below(upper):
    """The upper end of the class below each, or 0."""
    ends = np.concatenate([[0.0], np.unique(upper)])
    return ends[np.searchsorted(ends, upper) - 1]


def _drawn_lengths(travel, size, rng):
    """Distances and durations of trips, even within their classes. [km], [h]"""
    km = travel.lengths.km.to_numpy(float)
    minutes = travel.lengths.minutes.to_numpy(float)
    pick = _picked(_shares("lengths.share", travel.lengths.share), size, rng)
    part = rng.random(size)
    km_low = _below(km)[pick]
    minutes_low = _below(minutes)[pick]
    distance = km_low + part * (km[pick] - km_low)
    duration = minutes_low + part * (minutes[pick] - minutes_low)
    return distance, duration / 60


def _tried_days(travel, day, n_trips, rng):
    """Days drawn trip by trip: departures, arrivals, distances, whether home; and which can be."""
    table = travel.departures[travel.departures.day == day]
    names = travel.destinations
    shares = _shares("departures", table[names])
    size = (_TRIED, n_trips)
    pick = _picked(shares, size, rng)
    leave = table.time_h.to_numpy()[pick // len(names)] + rng.random(size) / 2
    order = np.argsort(leave, axis=1, kind="stable")
    leave = np.take_along_axis(leave, order, 1)
    goal = np.take_along_axis(pick % len(names), order, 1)
    km, hours = _drawn_lengths(travel, size, rng)
    arrive = leave + hours
    stay = leave[:, 1:] - arrive[:, :-1]  # between trips
    home = goal == names.index("home")
    at_home = leave[:, 0] + 24 - arrive[:, -1] + (stay * home[:, :-1]).sum(1)
    possible = home[:, -1] & ~home[:, 0] & (arrive[:, -1] < 24)
    possible &= (np.diff(goal, axis=1) != 0).all(1) & (stay >= _STOP_H).all(1)
    possible &= at_home >= _HOME_H[day]
    if day == "weekday" and travel.commutes:
        at_work = (stay * (goal[:, :-1] == names.index("workplace"))).sum(1)
        possible &= (at_work >= _WORK_H[0]) & (at_work <= _WORK_H[1])
    return (leave, arrive, km, home), possible


def _drawn_days_out(travel, day, n_trips, count, rng):
    """So many days with so many trips: departures, arrivals, distances, whether home."""
    found = []
    missing = count
    for _ in range(_MOST_ROUNDS):
        tried, possible = _tried_days(travel, day, n_trips, rng)
        found.append([each[possible][:missing] for each in tried])
        missing -= len(found[-1][0])
        if missing == 0:
            return [np.concatenate(part) for part in zip(*found)]
    raise ValueError(
        f"travel: hardly any {day} with {n_trips} trips can be made from its departures; "
        "trips must begin and end at home, and a commuter works seven to eight hours"
    )


def _all_trips(travel, dates, n_cars, rng):
    """Trips of all cars, one row a trip, in order of car and time."""
    kinds = np.where(dates.day_of_week < 5, "weekday", "weekend")
    days = np.select([dates.day_of_week == 5, dates.day_of_week == 6], _DAYS[1:], _DAYS[0])
    trips = travel.per_day.index.to_numpy(int)
    number = np.empty((n_cars, len(dates)), int)
    for kind in np.unique(kinds):
        shares = _shares("per_day", travel.per_day[kind])
        here = kinds == kind
        number[:, here] = trips[_picked(shares, (n_cars, here.sum()), rng)]
    parts = []
    for day in np.unique(days):
        for n_trips in np.unique(number[number > 0]):
            car, date = np.nonzero((number == n_trips) & (days == day))
            if len(car):
                out = _drawn_days_out(travel, day, n_trips, len(car), rng)
                parts.append(_flat(car, date, out))
    if not parts:
        return pd.DataFrame(columns=["car", "leave_h", "arrive_h", "km", "home"], dtype=float)
    return pd.concat(parts).sort_values(["car", "leave_h"], kind="stable", ignore_index=True)


def _flat(car, date, out):
    """Days of several trips as a table with one row a trip."""
    leave, arrive, km, home = out
    n_trips = leave.shape[1]
    start_h = 24.0 * np.repeat(date, n_trips)
    return pd.DataFrame(
        {
            "car": np.repeat(car, n_trips),
            "leave_h": start_h + leave.ravel(),
            "arrive_h": start_h + arrive.ravel(),
            "km": km.ravel(),
            "home": home.ravel(),
        }
    )


def _at_home(trips, n_cars, end_h):
    """Every stay at home: car, its begin and end, and the distance driven since the last one."""
    starts = trips.home.astype(bool).groupby(trips.car).shift(fill_value=True)  # from home
    tour = starts.cumsum()
    tours = trips.groupby(tour, as_index=False).agg(
        car=("car", "first"),
        leave_h=("leave_h", "first"),
        back_h=("arrive_h", "last"),
        km=("km", "sum"),
    )
    first = pd.DataFrame({"car": np.arange(n_cars), "back_h": 0.0, "km": 0.0})
    rows = pd.concat([first, tours]).sort_values(
        ["car", "back_h"], kind="stable", ignore_index=True
    )
    rows["end_h"] = rows.groupby("car").leave_h.shift(-1).fillna(end_h)
    rows[["back_h", "end_h"]] = (3600 * rows[["back_h", "end_h"]]).round() / 3600  # whole seconds
    return rows


def _charged(rows, plugged, kwh_per_km, most_kwh, p_charge_kw):
    """Energy that each stay at home puts into the car, of what was driven before it. [kWh]"""
    taken = np.zeros(len(rows))
    owed = 0.0
    last_car = -1
    for i, (car, begin, end, km) in enumerate(zip(rows.car, rows.back_h, rows.end_h, rows.km)):
        owed = 0.0 if car != last_car else owed
        last_car = car
        owed = min(owed + km * kwh_per_km, most_kwh)
        if plugged[i]:
            taken[i] = min(owed, p_charge_kw * (end - begin))
            owed -= taken[i]
    return taken


def home_sessions(
    travel: Travel,
    dates: pd.DatetimeIndex,
    n_cars: int,
    *,
    kwh_per_km: float,
    most_kwh: float,
    p_charge_kw: float,
    plug_in: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Draw the charging sessions of cars that sleep at home, from tables of trips.

    Recipe: for each car and day the number of trips is drawn from `travel.per_day`. The trips are
    drawn from `travel.departures` and `travel.lengths`, and drawn again until the day can be: it
    begins and ends at home before midnight; no trip goes where the car is; each stop lasts a
    quarter of an hour; the car is at home for at least 9 hours of a weekday and 6 of a day of the
    weekend; and where trips lead to a `workplace`, a weekday with trips has 7 to 8 hours there.
    (These are the rules of emobpy [1]_, where a day may end as late as three.) On each arrival at
    home the driver plugs in with the probability `plug_in`, and the car takes what was driven
    since it was plugged in last.

    Parameters
    ----------
    travel : Travel
        Tables of one kind of driver.
    dates : DatetimeIndex, shape (days,)
        Days to draw for, one after the other; the clock of the result is that of their time zone.
    n_cars : int
        Cars, from 1 to 100,000.
    kwh_per_km : float
        Energy from the grid for each kilometre, at least 0 [kWh/km].
    most_kwh : float
        What a car takes at home at most after a journey; the rest was charged on the way. At least
        0 [kWh].
    p_charge_kw : float
        Power of each charger at the grid side, above 0 [kW].
    plug_in : float
        Share of the arrivals at home on which the car is plugged in, 0 to 1.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    DataFrame
        One row a session, by arrival: `arrival`, `departure`, `delivered_kwh` and `station`, which
        is the car's own. A first session may begin at the first midnight, and a last one ends at
        the last.

    Raises
    ------
    TypeError
        If an argument is of another kind.
    ValueError
        If the dates are not one after the other, an argument is out of range, nobody ever plugs
        in, or hardly any day of the tables can be.

    Notes
    -----
    Cars are independent of each other, and so are the days of one car: there is no holiday, no
    weather and no habit of a driver in it.

    References
    ----------
    .. [1] Gaete-Morales, Kramer, Schill, Zerrahn, An open tool for creating battery-electric
       vehicle time series from empirical data, emobpy, Scientific Data 8, 2021.

    Examples
    --------
    >>> from v2gbook import data
    >>> travel = Travel(**data.trips("other"))
    >>> week = pd.date_range("2025-05-05", periods=7, tz="Europe/Berlin")
    >>> sessions = home_sessions(
    ...     travel, week, 10, kwh_per_km=0.2, most_kwh=40.0, p_charge_kw=7.0, plug_in=1.0,
    ...     rng=np.random.default_rng(1))
    >>> plugged_cars(sessions, dt_min=60).between_time("03:00", "04:00").min().item()
    10
    """
    instance("travel", travel, Travel)
    stamps("dates", dates)
    if not np.all(np.diff(dates.tz_localize(None).normalize()) == np.timedelta64(1, "D")):
        raise ValueError("dates must be days, one after the other")
    n_cars = whole("n_cars", n_cars, le=100_000)
    refuse_large(n_cars=n_cars, dates=20 * len(dates))
    per_km = one("kwh_per_km", kwh_per_km, "kWh/km", ge=0, le=100)
    most = one("most_kwh", most_kwh, "kWh", ge=0)
    power = one("p_charge_kw", p_charge_kw, "kW", gt=0)
    plug_in = one_fraction("plug_in", plug_in)
    instance("rng", rng, np.random.Generator)
    rows = _at_home(_all_trips(travel, dates, n_cars, rng), n_cars, 24.0 * len(dates))
    plugged = rng.random(len(rows)) < plug_in
    if not plugged.any():
        raise ValueError(f"plug_in is {plug_in:g}: nobody has plugged in, so there is no session")
    rows["delivered_kwh"] = _charged(rows, plugged, per_km, most, power)
    rows = rows[plugged & (rows.end_h > rows.back_h).to_numpy()]
    midnight = dates[0].tz_localize(None).normalize()
    sessions = pd.DataFrame(
        {
            "arrival": _at_clock(midnight + _hours(rows.back_h.to_numpy()), dates.tz),
            "departure": _at_clock(midnight + _hours(rows.end_h.to_numpy()), dates.tz),
            "delivered_kwh": rows.delivered_kwh.to_numpy(),
            "station": [f"home {car}" for car in rows.car],
        }
    )
    return sessions.sort_values("arrival", kind="stable", ignore_index=True)


# --------------------------------------------------------------------------------- availability


def plugged_cars(sessions: pd.DataFrame, dt_min: int = 15) -> pd.Series:
    """Return how many cars are plugged in, step by step.

    Parameters
    ----------
    sessions : DataFrame
        Sessions as for `check_sessions`.
    dt_min : int
        Length of a step; whole minutes that divide a day [min].

    Returns
    -------
    Series
        Number of cars that are at the plug throughout the step: a car that comes or goes within it
        cannot promise the step. Index: start of the step (time stamps), from the day of the first
        arrival to that of the last; months without a session are left out.

    Raises
    ------
    TypeError
        If `sessions` is no DataFrame.
    ValueError
        If a session is impossible, or `dt_min` does not divide a day.

    Notes
    -----
    Steps follow real time: a day on which the clock changes has 92 or 100 quarter hours, because
    power is promised and paid for hours that pass. Without a time zone every day has 96.

    Examples
    --------
    >>> sessions = pd.DataFrame({
    ...     "arrival": pd.to_datetime(["2025-05-05 08:00", "2025-05-05 08:20"]),
    ...     "departure": pd.to_datetime(["2025-05-05 09:00", "2025-05-05 16:00"]),
    ...     "delivered_kwh": [5.0, 12.0],
    ... })
    >>> plugged_cars(sessions, dt_min=15).between_time("08:00", "09:00").tolist()
    [1, 1, 2, 2, 1]
    """
    sessions = check_sessions(sessions)
    dt_min = whole("dt_min", dt_min, "min", le=24 * 60)
    equal_steps("dt_min", dt_min, "min", of="a day", span=24 * 60)
    return _presence.plugged("sessions", sessions, dt_min)


def _times_a_day_apart(duration_h):
    """How often the clock shows the same time before so many hours have passed: now, in a day."""
    return np.maximum(np.ceil(duration_h / 24), 0.0)


def still_there(
    sessions: pd.DataFrame, later_h: ArrayLike, clock_h: float | None = None
) -> FloatOrArray:
    r"""Return the probability that a car that is plugged in now is still plugged in later.

    At no particular time, from the stays :math:`S_i` alone:

    .. math:: P(h) = \frac{\sum_i \max(S_i - h,\ 0)}{\sum_i S_i}            (10.1)

    Parameters
    ----------
    sessions : DataFrame
        Sessions as for `check_sessions`.
    later_h : float or array
        Time from now, at least 0 [h].
    clock_h : float, optional
        Clock time of "now", from 0 up to below 24 [h].

    Returns
    -------
    float or array
        Probability, 0 to 1, in the shape of `later_h`.

    Raises
    ------
    TypeError
        If `sessions` is no DataFrame.
    ValueError
        If a session is impossible, `later_h` is negative, or no car is plugged in at `clock_h`.

    References
    ----------
    .. [1] Cox, Renewal Theory, Methuen, 1962: the time that is left of an interval in which one
       stands.

    Examples
    --------
    >>> sessions = pd.DataFrame({
    ...     "arrival": pd.to_datetime(["2025-05-05 08:00", "2025-05-06 10:00"]),
    ...     "departure": pd.to_datetime(["2025-05-05 18:00", "2025-05-06 12:00"]),
    ...     "delivered_kwh": [12.0, 6.0],
    ... })
    >>> still_there(sessions, 4.0), still_there(sessions, later_h=4.0, clock_h=9.0)
    (0.5, 1.0)
    """
    sessions = check_sessions(sessions)
    later = np.asarray(checked("later_h", later_h, "h", ge=0, le=_MOST_H))[..., None]
    refuse_large(later_h=later.size, sessions=len(sessions))
    stay_h = _presence.stay_h(sessions).to_numpy()
    if clock_h is None:
        left_h = np.maximum(stay_h - later, 0.0)
        return plain(left_h.sum(-1) / stay_h.sum())  # eq. (10.1)
    now = one("clock_h", clock_h, "h", ge=0, lt=24)
    wait_h = (now - _clock_h(_presence.clock(sessions.arrival))) % 24
    here = _times_a_day_apart(stay_h - wait_h)
    if not here.any():
        raise ValueError(f"no car is plugged in at {now:g} h (clock_h)")
    return plain(_times_a_day_apart(stay_h - wait_h - later).sum(-1) / here.sum())


def _refuse_counts(plugged):
    """Refuse a series that has no time stamps, or in which a number is missing."""
    instance("plugged", plugged, pd.Series)
    stamps("the index of plugged", plugged.index)
    row("plugged", plugged)
    if len(plugged) < 2:
        raise ValueError("plugged has one entry; give a record of at least two steps")


def _steps_in(name, duration_h, step):
    """How many steps of a record make so many hours."""
    dt_h = step.total_seconds() / 3600
    count = round(duration_h / dt_h)
    if abs(count - duration_h / dt_h) > 1e-6:
        raise ValueError(
            f"{name} is {duration_h:g} h; it must be a multiple of the step, {dt_h:g} h"
        )
    return count


def _step_of(plugged):
    """The step of a record, which may have gaps."""
    return (plugged.index[1:] - plugged.index[:-1]).min()


def _correlation(series, lag_h, still):
    """Correlation of a series with itself some hours later."""
    later = series.shift(freq=pd.Timedelta(hours=-lag_h))
    now, later = series.align(later, join="inner")
    if len(now) < 2:
        raise ValueError(f"lag_h is {lag_h:g} h, and the record is too short for that")
    if min(np.ptp(now), np.ptp(later)) <= still:
        raise ValueError(
            "plugged does not vary, or never differs from the usual number at that weekday and "
            "clock time (a record of one week has no surprises): no correlation exists"
        )
    return now.corr(later)


def autocorrelation(plugged: pd.Series, lag_h: ArrayLike) -> pd.DataFrame:
    r"""Return how much the number of cars now says about the number some hours later.

    .. math::
        r(h) = \mathrm{corr}\big(x_t,\ x_{t+h}\big),\qquad
        x_t = n_t\ \text{or}\ n_t - \overline{n}_{\,weekday,\,clock}            (10.11)

    Parameters
    ----------
    plugged : Series
        Number of cars from `plugged_cars`, with time stamps as index.
    lag_h : array, shape (lags,)
        Time from now, multiples of the step of `plugged`, at least 0 [h].

    Returns
    -------
    DataFrame
        Index `lag_h` [h]. Column `raw` is mostly the rhythm of the day; `surprise` is what is left
        when the usual number at that weekday and clock time is taken away.

    Raises
    ------
    TypeError
        If `plugged` is no Series with time stamps.
    ValueError
        If a number is missing, an entry of `lag_h` is no multiple of the step, or the record is
        too short for it, or nothing varies, so that no correlation exists.

    Examples
    --------
    >>> time = pd.date_range("2025-05-05", periods=56, freq="6h")
    >>> more = [1, 1, 0, 2, 2, 1, 1, 1, 2, 2, 0, 0, 1, 0]  # cars that stay all day
    >>> plugged = pd.Series(np.repeat(more, 4) + np.tile([0, 4, 8, 2], 14), index=time)
    >>> autocorrelation(plugged, lag_h=[6.0, 24.0]).round(2).values.tolist()
    [[0.0, 0.79], [0.95, 0.15]]
    """
    _refuse_counts(plugged)
    lags = row("lag_h", lag_h, "h", ge=0, le=_MOST_H)
    for lag in lags:
        _steps_in("lag_h", lag, _step_of(plugged))
    clock = [plugged.index.day_of_week, plugged.index.hour, plugged.index.minute]
    usual = plugged.groupby(clock).transform("mean")
    surprise = plugged - usual
    still = 1e-12 * np.abs(plugged).max()
    table = {
        "raw": [_correlation(plugged, lag, still) for lag in lags],  # eq. (10.11)
        "surprise": [_correlation(surprise, lag, still) for lag in lags],
    }
    return pd.DataFrame(table, index=pd.Index(lags, name="lag_h"))


# ----------------------------------------------------------------------------- power and energy


@dataclass(frozen=True, kw_only=True, eq=False)
class Stays:
    """Cars at the plug, one entry per stay. Energy is in the battery, counted from arrival.

    A number instead of an array stands for all stays; every field is kept as an array.

    Attributes
    ----------
    arrive_h : array, shape (stays,)
        Time of arrival [h].
    leave_h : array, shape (stays,)
        Time of departure, after the arrival [h].
    need_kwh : array, shape (stays,)
        Energy with which the car leaves, no more and no less, since its owner pays for it; at
        least 0 and no more than charger, stay and battery allow [kWh].
    below_kwh : array, shape (stays,)
        How far below the content on arrival the battery may stand in between, at least 0 [kWh].
    room_kwh : array, shape (stays,)
        How far above the content on arrival the battery may stand, at least 0 [kWh].
    p_charge_kw : array, shape (stays,)
        Largest charging power at the grid side, at least 0 [kW].
    p_discharge_kw : array, shape (stays,)
        Largest discharging power at the grid side; 0 for a car that only charges (V1G) [kW].
    eta_charge : array, shape (stays,)
        Efficiency from the grid to the battery, from 1e-6 up to 1.
    eta_discharge : array, shape (stays,)
        Efficiency from the battery to the grid, from 1e-6 up to 1.

    Raises
    ------
    ValueError
        If a field is out of range, or a stay is too short for what its car needs.

    Examples
    --------
    >>> cars = Stays(
    ...     arrive_h=[8.0, 9.0], leave_h=[17.0, 12.0], need_kwh=[10.0, 5.0], below_kwh=20.0,
    ...     room_kwh=30.0, p_charge_kw=8.0, p_discharge_kw=7.0, eta_charge=0.94, eta_discharge=0.96)
    >>> len(cars), cars.battery_charge_kw.round(2).tolist()
    (2, [7.52, 7.52])
    """

    arrive_h: np.ndarray
    leave_h: np.ndarray
    need_kwh: np.ndarray
    below_kwh: np.ndarray
    room_kwh: np.ndarray
    p_charge_kw: np.ndarray
    p_discharge_kw: np.ndarray
    eta_charge: np.ndarray
    eta_discharge: np.ndarray

    def __post_init__(self) -> None:
        keep(
            self,
            arrive_h=_HOURS,
            leave_h=_HOURS,
            need_kwh=_KWH,
            below_kwh=_KWH,
            room_kwh=_KWH,
            p_charge_kw=_KW,
            p_discharge_kw=_KW,
            eta_charge=dict(fraction=True, ge=_LEAST_ETA),
            eta_discharge=dict(fraction=True, ge=_LEAST_ETA),
        )
        self._spread()
        self._refuse_short()

    def _spread(self):
        """Give every field one entry per stay."""
        shape = np.shape(np.atleast_1d(self.arrive_h))
        if len(shape) != 1:
            raise ValueError(f"arrive_h has shape {shape}; give one series, an entry per stay")
        for field in fields(self):
            value = getattr(self, field.name)
            if np.shape(value) not in ((), (1,), shape):
                raise ValueError(
                    f"{field.name} has shape {np.shape(value)}; there are {shape[0]} stays"
                )
            object.__setattr__(self, field.name, np.broadcast_to(value, shape))

    def _refuse_short(self):
        """Refuse stays that end before they begin, or in which the need cannot be charged."""
        for i in np.flatnonzero(self.leave_h <= self.arrive_h):
            raise ValueError(
                f"stay {i}: leave_h = {self.leave_h[i]:g} is not after arrive_h = "
                f"{self.arrive_h[i]:g}. A car must leave after it arrives."
            )
        most = np.minimum(self.battery_charge_kw * (self.leave_h - self.arrive_h), self.room_kwh)
        short_of = np.flatnonzero(self.need_kwh > most + 1e-6)
        for i in short_of:
            raise ValueError(
                f"stay {i}: need_kwh = {self.need_kwh[i]:.2f} is more than charger, stay and "
                f"battery allow, {most[i]:.2f} kWh{_presence.and_more(len(short_of) - 1, 'stay')}"
            )

    def __len__(self) -> int:
        return len(self.arrive_h)

    @property
    def battery_charge_kw(self) -> np.ndarray:
        """Fastest rise of the energy in each battery, shape (stays,) [kW]."""
        return self.p_charge_kw * self.eta_charge

    @property
    def battery_discharge_kw(self) -> np.ndarray:
        """Fastest fall of the energy in each battery, shape (stays,) [kW]."""
        return self.p_discharge_kw / self.eta_discharge


def _refuse_storage(storage, count):
    """Refuse a storage of another number of cars, or with a charger that does not charge."""
    checked("storage.p_charge_kw", storage.p_charge_kw, "kW", gt=0)
    for field in fields(storage):
        shape = np.shape(getattr(storage, field.name))
        if shape not in ((), (count,)):
            raise ValueError(
                f"storage.{field.name} has shape {shape}; give one number, or one for each of the "
                f"{count} sessions"
            )


def stays(sessions: pd.DataFrame, storage: Storage, *, soc_departure: float) -> Stays:
    """Return sessions as stays of one kind of car.

    Parameters
    ----------
    sessions : DataFrame
        Sessions as for `check_sessions`.
    storage : Storage
        One car and its charger, from topic 04; a field may also have one entry per session.
    soc_departure : float
        Assumed state of charge on every departure, since sessions have none: above `soc_min` of
        the storage, and at most `soc_max`.

    Returns
    -------
    Stays
        Hours count on the wall clock from midnight before the first arrival. A car that took more
        than lies between `soc_min` and `soc_departure` is given a battery in which that fits.

    Raises
    ------
    TypeError
        If `sessions` is no DataFrame, or `storage` no Storage.
    ValueError
        If `soc_departure` lies outside the window, a session is impossible, or it took more than
        this charger gives in its stay.

    Examples
    --------
    >>> sessions = pd.DataFrame({
    ...     "arrival": pd.to_datetime(["2025-05-05 08:00", "2025-05-05 09:00"]),
    ...     "departure": pd.to_datetime(["2025-05-05 16:00", "2025-05-05 12:00"]),
    ...     "delivered_kwh": [12.0, 6.0],
    ... })
    >>> car = Storage(
    ...     energy_kwh=60.0, soc_min=0.1, soc_max=0.95, p_charge_kw=8.0, p_discharge_kw=7.0,
    ...     eta_charge=0.94, eta_discharge=0.96)
    >>> stays(sessions, car, soc_departure=0.9).need_kwh.round(2).tolist()
    [11.28, 5.64]
    """
    instance("storage", storage, Storage)
    soc_departure = one_fraction("soc_departure", soc_departure)
    if np.any(soc_departure <= storage.soc_min) or np.any(soc_departure > storage.soc_max):
        raise ValueError(
            f"soc_departure = {soc_departure:g} must lie above soc_min = {storage.soc_min} "
            f"and not above soc_max = {storage.soc_max}"
        )
    _presence.refuse_table("sessions", sessions)
    _refuse_storage(storage, len(sessions))
    sessions = check_sessions(sessions, storage.p_charge_kw)
    clock = _presence.clock(sessions.arrival)
    arrive_h = ((clock - clock.min().normalize()).dt.total_seconds() / 3600).to_numpy()
    need = _presence.energy_kwh(sessions) * storage.eta_charge
    energy = np.maximum(storage.energy_kwh, need / (soc_departure - storage.soc_min))
    arrived = soc_departure * energy - need
    return Stays(
        arrive_h=arrive_h,
        leave_h=arrive_h + _presence.stay_h(sessions).to_numpy(),
        need_kwh=need,
        below_kwh=np.maximum(arrived - storage.soc_min * energy, 0.0),
        room_kwh=storage.soc_max * energy - arrived,
        p_charge_kw=np.asarray(storage.p_charge_kw),
        p_discharge_kw=np.asarray(storage.p_discharge_kw),
        eta_charge=np.asarray(storage.eta_charge),
        eta_discharge=np.asarray(storage.eta_discharge),
    )


def bounds_kwh(cars: Stays, t_h: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    r"""Return least and most energy with which each car still keeps its departure and battery.

    .. math::
        U(t) &= \min\big(u\,(t-a),\ room,\ need + v\,(d-t)\big) \\
        L(t) &= \max\big(-v\,(t-a),\ -below,\ need - u\,(d-t)\big)            (10.6)

    with :math:`u = \eta_c P_c` and :math:`v = P_d / \eta_d`. U is charging as fast as possible, L
    as late as possible, with discharge in both.

    Parameters
    ----------
    cars : Stays
        Cars at the plug.
    t_h : float or array, shape (times,)
        Times, on the clock of the stays [h].

    Returns
    -------
    tuple of array, shape (stays,) or (times, stays)
        Least and most energy since arrival: 0 before arrival, the need after departure [kWh].

    Raises
    ------
    TypeError
        If `cars` is no Stays.
    ValueError
        If a time is not a number, or there are too many of them.

    Examples
    --------
    >>> cars = Stays(
    ...     arrive_h=[8.0], leave_h=18.0, need_kwh=10.0, below_kwh=20.0, room_kwh=30.0,
    ...     p_charge_kw=8.0, p_discharge_kw=8.0, eta_charge=0.9, eta_discharge=0.9)
    >>> least, most = bounds_kwh(cars, t_h=[10.0, 17.0])
    >>> least.round(2).tolist(), most.round(2).tolist()
    ([[-17.78], [2.8]], [[14.4], [18.89]])
    """
    instance("cars", cars, Stays)
    time = np.asarray(checked("t_h", t_h, "h"))[..., None]
    refuse_large(t_h=time.size, cars=len(cars))
    time = np.clip(time, cars.arrive_h, cars.leave_h)
    since = time - cars.arrive_h
    left = cars.leave_h - time
    most = np.minimum(cars.battery_charge_kw * since, cars.room_kwh)
    most = np.minimum(most, cars.need_kwh + cars.battery_discharge_kw * left)
    least = np.maximum(-cars.battery_discharge_kw * since, -cars.below_kwh)
    least = np.maximum(least, cars.need_kwh - cars.battery_charge_kw * left)  # eq. (10.6)
    return least, np.maximum(most, least)


def envelope(cars: Stays, t_h: ArrayLike) -> pd.DataFrame:
    """Return the fleet as one battery: between which lines its energy and its power can lie.

    Parameters
    ----------
    cars : Stays
        Cars at the plug.
    t_h : array, shape (times,)
        Times, on the clock of the stays [h].

    Returns
    -------
    DataFrame
        Index `t_s`. Columns `least_kwh` and `most_kwh`, the sums of eq. (10.6); `least_kw` (all
        charge) and `most_kw` (all discharge) of the cars plugged in.

    Raises
    ------
    TypeError
        If `cars` is no Stays.
    ValueError
        If a time is not a number, or there are too many of them.

    Notes
    -----
    The fleet cannot leave these lines. Not every path between them can be driven, because the car
    that has the energy may not be the one that has the power left.

    Examples
    --------
    >>> cars = Stays(
    ...     arrive_h=[8.0, 9.0], leave_h=[18.0, 12.0], need_kwh=10.0, below_kwh=20.0, room_kwh=30.0,
    ...     p_charge_kw=8.0, p_discharge_kw=7.0, eta_charge=0.9, eta_discharge=0.9)
    >>> envelope(cars, t_h=[8.5, 10.0]).round(1).most_kw.tolist()
    [7.0, 14.0]
    """
    instance("cars", cars, Stays)
    time = _series("t_h", t_h, **_HOURS)
    least, most = bounds_kwh(cars, time)
    here = (time[:, None] >= cars.arrive_h) & (time[:, None] < cars.leave_h)
    table = {
        "least_kwh": least.sum(1),
        "most_kwh": most.sum(1),
        "least_kw": 0.0 - (here * cars.p_charge_kw).sum(1),
        "most_kw": (here * cars.p_discharge_kw).sum(1),
    }
    return pd.DataFrame(table, index=pd.Index(3600 * time, name="t_s"))


def hold(cars: Stays, t_h: ArrayLike, duration_h: ArrayLike, level: float = 0.5) -> FloatOrArray:
    r"""Return the power that the cars can hold for a duration, with every departure kept.

    .. math::
        P = \sum_{i:\ d_i \ge t+T}
            \min\Big(P_{d,i},\ \frac{\eta_d\,\max(0,\ e_i - L_i(t+T))}{T}\Big),\qquad
        e_i = L_i(t) + \lambda\,\big(U_i(t) - L_i(t)\big)            (10.7)

    Parameters
    ----------
    cars : Stays
        Cars at the plug.
    t_h : float or array
        When the call comes, on the clock of the stays [h].
    duration_h : float or array
        How long the power is held [h].
    level : float
        Where between its two lines each car's energy stands until then: 0 on the lower line, 1 on
        the upper.

    Returns
    -------
    float or array
        Discharging power of all cars together, in the shape of `t_h` and `duration_h` [kW].

    Raises
    ------
    TypeError
        If `cars` is no Stays.
    ValueError
        If `duration_h` is not above 0, `level` is no fraction, or shapes do not fit.

    Examples
    --------
    >>> cars = Stays(
    ...     arrive_h=[8.0, 9.0], leave_h=[18.0, 12.0], need_kwh=0.0, below_kwh=20.0, room_kwh=20.0,
    ...     p_charge_kw=8.0, p_discharge_kw=7.0, eta_charge=0.9, eta_discharge=0.9)
    >>> hold(cars, t_h=10.0, duration_h=[0.5, 1.5], level=0.8).round(2).tolist()
    [14.0, 11.68]
    """
    instance("cars", cars, Stays)
    call_h = np.asarray(checked("t_h", t_h, **_HOURS))
    long_h = np.asarray(checked("duration_h", duration_h, "h", ge=1e-6, le=_MOST_H))
    level = one_fraction("level", level)
    together(t_h=call_h, duration_h=long_h)
    refuse_large(t_h=np.broadcast(call_h, long_h).size, cars=len(cars))
    call_h, long_h = np.broadcast_arrays(call_h, long_h)
    end_h = call_h + long_h
    low, high = bounds_kwh(cars, call_h)
    low_at_end, _ = bounds_kwh(cars, end_h)
    energy = low + level * (high - low) - low_at_end
    here = (cars.arrive_h <= call_h[..., None]) & (cars.leave_h >= end_h[..., None])
    lasting = cars.eta_discharge * np.maximum(energy, 0.0) / long_h[..., None]
    power = np.minimum(cars.p_discharge_kw, lasting)  # eq. (10.7)
    return plain((here * power).sum(-1))


# -------------------------------------------------------------------------------- firm capacity


def _checked_firm(n_cars, presence, reliability, correlation, most=_MOST_CARS):
    """The arguments of `firm_cars` as numbers or arrays whose shapes fit each other."""
    n = _whole_numbers("n_cars", n_cars, le=most)
    presence = fraction("presence", presence)
    reliability = fraction("reliability", reliability, **_SURE)
    correlation = fraction("correlation", correlation, le=None, lt=1)
    tiny = np.ravel(correlation)[np.ravel((correlation > 0) & (correlation < _LEAST_CORRELATION))]
    if tiny.size:
        raise ValueError(
            f"correlation is {tiny[0]:g}; it must be 0, or at least {_LEAST_CORRELATION:g}"
        )
    together(n_cars=n, presence=presence, reliability=reliability, correlation=correlation)
    return n, presence, reliability, correlation


def _firm(n, presence, reliability, correlation):
    """`firm_cars` of single numbers."""
    held = _presence.holds(_presence.at_least(n, presence, correlation), reliability)
    return np.flatnonzero(held)[-1]  # eq. (10.2)


def firm_cars(
    n_cars: ArrayLike, presence: ArrayLike, reliability: ArrayLike, correlation: ArrayLike = 0.0
) -> int | np.ndarray:
    r"""Return the largest number of cars that are there with at least this probability.

    .. math:: k = \max\{k : P(X \ge k) \ge r\},\qquad X \sim \mathrm{Bin}(N, p)            (10.2)

    Cars that stay away together make X beta-binomial [1]_, the wider the larger their correlation
    :math:`\rho`:

    .. math:: \mathrm{var}\,X = N p (1-p)\,\big(1 + (N-1)\rho\big)            (10.3)

    Parameters
    ----------
    n_cars : int or array of int
        Cars in the fleet, N, from 1 to 10 million.
    presence : float or array
        Mean share of the cars that is there, 0 to 1.
    reliability : float or array
        Probability that the promise must have at least, above 0 and below 1.
    correlation : float or array
        Correlation between two cars: 0, or from 1e-9 up to below 1.

    Returns
    -------
    int or array of int
        Number of cars that can be promised, in the shape of the arguments together.

    Raises
    ------
    ValueError
        If an argument is out of range, or shapes do not fit.

    References
    ----------
    .. [1] Skellam, A probability distribution derived from the binomial distribution by regarding
       the probability of success as variable between the sets of trials, Journal of the Royal
       Statistical Society B 10, 1948.

    Examples
    --------
    >>> firm_cars(100, 0.7, 0.9), firm_cars(10, 0.7, 0.9)
    (64, 5)
    >>> firm_cars(100, 0.7, 0.9, correlation=0.02)
    60
    """
    values = _checked_firm(n_cars, presence, reliability, correlation)
    refuse_large(n_cars=np.broadcast(*values).size, counts=int(np.max(values[0])))
    firm = np.vectorize(_firm, otypes=[int])(*values)
    return int(firm) if firm.ndim == 0 else firm


def _single_firm(n_cars, presence, reliability, correlation, most=_MOST_CARS):
    """The arguments of `firm_cars` where each must be a single number."""
    values = _checked_firm(n_cars, presence, reliability, correlation, most)
    for name, value in zip(("n_cars", "presence", "reliability", "correlation"), values):
        one(name, value)
    return values


def reliabilities(n_cars: int, presence: float, correlation: float = 0.0) -> np.ndarray:
    """Return the probability that at least k cars are there, for each k = 0, 1, ... `n_cars`.

    Parameters
    ----------
    n_cars : int
        Cars in the fleet, N, from 1 to 10 million.
    presence : float
        Mean share of the cars that is there, 0 to 1.
    correlation : float
        Correlation between two cars of eq. (10.3): 0, or from 1e-9 up to below 1.

    Returns
    -------
    array, shape (n_cars + 1,)
        Probabilities that fall from 1: of at least 0 cars, at least 1 car, and so on.

    Raises
    ------
    ValueError
        If an argument is out of range, or is not a single number.

    Examples
    --------
    >>> reliabilities(3, 0.5).tolist()
    [1.0, 0.875, 0.5, 0.125]
    >>> reliabilities(3, 0.5, correlation=0.2).round(3).tolist()
    [1.0, 0.8, 0.5, 0.2]
    """
    n, presence, _, correlation = _single_firm(n_cars, presence, 0.5, correlation)
    return _presence.at_least(n, presence, correlation)  # its variance is eq. (10.3)


def firm_normal(
    n_cars: ArrayLike, presence: ArrayLike, reliability: ArrayLike, correlation: ArrayLike = 0.0
) -> FloatOrArray:
    r"""Return the normal approximation of `firm_cars`, not rounded, quick for any fleet.

    .. math:: k \approx N p - z_r \sqrt{N p (1-p)\,(1 + (N-1)\rho)}            (10.4)

    Parameters
    ----------
    n_cars : int or array of int
        Cars in the fleet, N, from 1 to a billion.
    presence : float or array
        Mean share of the cars that is there, 0 to 1.
    reliability : float or array
        Probability that the promise must have at least, above 0 and below 1.
    correlation : float or array
        Correlation between two cars: 0, or from 1e-9 up to below 1.

    Returns
    -------
    float or array
        Number of cars that can be promised, never below 0, in the shape of the arguments together.

    Raises
    ------
    ValueError
        If an argument is out of range, or shapes do not fit.

    Examples
    --------
    >>> round(firm_normal(100, 0.7, 0.9), 2), round(firm_normal(100, 0.7, 0.9, correlation=0.02), 2)
    (64.13, 59.86)
    """
    n, presence, r, correlation = map(
        np.asarray, _checked_firm(n_cars, presence, reliability, correlation, most=10**9)
    )
    spread = np.sqrt(n * presence * (1 - presence) * (1 + (n - 1) * correlation))
    return plain(np.maximum(n * presence - ndtri(r) * spread, 0.0))  # eq. (10.4)


def cars_needed(
    n_present: int, presence: float, reliability: float, correlation: float = 0.0
) -> int:
    """Return the smallest fleet of which so many cars are there with at least this probability.

    Parameters
    ----------
    n_present : int
        Cars that must be there, from 1 to 4 million; round up what a power asks for.
    presence : float
        Mean share of the cars that is there, above 0 up to 1.
    reliability : float
        Probability that the promise must have at least, above 0 and below 1.
    correlation : float
        Correlation between two cars of eq. (10.3): 0, or from 1e-9 up to below 1.

    Returns
    -------
    int
        Cars that the fleet must have.

    Raises
    ------
    ValueError
        If an argument is out of range, or no fleet is large enough, as where strongly correlated
        cars must be there almost surely.

    Examples
    --------
    >>> cars_needed(14, 0.5, 0.9), cars_needed(14, 0.5, 0.9, correlation=0.05)
    (35, 42)
    """
    n_present = whole("n_present", n_present, le=_MOST_SEARCHED)
    _, presence, reliability, correlation = _single_firm(
        n_present, presence, reliability, correlation
    )
    one_fraction("presence", presence, ge=None, gt=0)
    fleet = _presence.fewest_cars(
        n_present, presence, reliability, correlation, most=_MOST_SEARCHED
    )
    if fleet is None:
        raise ValueError(
            f"no fleet below four million cars has {n_present} of them there "
            f"with a probability of {reliability:g}"
        )
    return fleet


def estimate_correlation(n_present: ArrayLike, n_cars: int) -> float:
    r"""Return the correlation between two cars, from how much their number varies beyond chance.

    .. math:: \hat\rho = \frac{1}{N-1}\left(\frac{s^2}{N \hat p (1-\hat p)} - 1\right)      (10.12)

    Parameters
    ----------
    n_present : array of int, shape (counts,)
        Numbers of cars counted at like moments, such as every workday at ten.
    n_cars : int
        How many could have been there, N, from 2 to a billion.

    Returns
    -------
    float
        Correlation; below 0 where they vary less than chance, as cars do that wait for a free plug.

    Raises
    ------
    ValueError
        If `n_present` holds fewer than two counts, or cannot show a spread, or an argument is out
        of range.

    References
    ----------
    .. [1] Ridout, Demétrio, Firth, Estimating intraclass correlation for binary data, Biometrics
       55, 1999.

    Examples
    --------
    >>> round(estimate_correlation([30, 42, 38, 12, 41], n_cars=50), 3)
    0.258
    """
    n = whole("n_cars", n_cars, ge=2, le=10**9)
    counts = _whole_row("n_present", n_present, ge=0, le=n)
    presence = counts.mean() / n
    if counts.size < 2 or not 0 < presence < 1:
        raise ValueError(
            "n_present must hold at least two counts, not all of them 0 "
            "and not all of them the whole fleet"
        )
    by_chance = n * presence * (1 - presence)
    return float((counts.var(ddof=1) / by_chance - 1) / (n - 1))  # eq. (10.12)


def chain_persistence(still: ArrayLike, presence: ArrayLike, steps: ArrayLike) -> FloatOrArray:
    r"""Return the persistence per step of cars that come and go as a Markov chain.

    .. math::
        P_{11} = p + (1-p)\,\lambda,\qquad P_{01} = p\,(1-\lambda),\qquad
        P_{11}^{(m)} = p + (1-p)\,\lambda^m            (10.5)

    Parameters
    ----------
    still : float or array
        Probability that a car that is there now is there m steps later, still or again; at least
        `presence`.
    presence : float or array
        Mean share of the cars that is there, p; below 1.
    steps : int or array
        Number of steps m between the two looks, at least 1.

    Returns
    -------
    float or array
        What is left after a step of what is known about a car, :math:`\lambda`: 0 forgets at once,
        1 never.

    Raises
    ------
    ValueError
        If an argument is out of range, or `still` is below `presence`.

    Examples
    --------
    >>> round(chain_persistence(still=0.82, presence=0.7, steps=16), 3)
    0.944
    """
    still = np.asarray(fraction("still", still))
    presence = np.asarray(fraction("presence", presence, le=None, lt=1))
    steps = np.asarray(_whole_numbers("steps", steps, le=_MOST_IN_A_ROW))
    together(still=still, presence=presence, steps=steps)
    if np.any(still < presence):
        raise ValueError(
            f"still = {still} is below presence = {presence}; still must be at least presence, "
            "since the share of the cars that is there stays the same in such a chain"
        )
    return plain(((still - presence) / (1 - presence)) ** (1 / steps))  # eq. (10.5)


def joint_reliability(
    n_cars: int, presence: float, steps: int, persistence: float
) -> Callable[[int], float]:
    r"""Return the probability that at least k cars are there in each of some steps in a row.

    Each car comes and goes as a Markov chain of its own: one that is there stays with
    :math:`P_{11} = p + (1-p)\,\lambda`, one that is away comes with
    :math:`P_{01} = p\,(1-\lambda)`. The number of cars is then itself a Markov chain,
    :math:`X' \sim \mathrm{Bin}(X, P_{11}) + \mathrm{Bin}(N - X, P_{01})`:

    .. math:: P(X_1 \ge k, \dots, X_m \ge k) = \pi\,D_k\,(T D_k)^{m-1}\,\mathbf 1         (10.13)

    Parameters
    ----------
    n_cars : int
        Cars in the fleet, N, from 1 to 50,000. They come and go independently.
    presence : float
        Mean share of the cars that is there, 0 to 1.
    steps : int
        Steps in a row, m, from 1 to 100,000: quarter hours in the product, for instance.
    persistence : float
        What is left after a step of what is known about a car, :math:`\lambda` of eq. (10.5):
        0 where each step is drawn anew, 1 where nobody moves.

    Returns
    -------
    function
        Takes k, the number of cars, and returns the probability. T is cut to the counts within nine
        standard deviations.

    Raises
    ------
    ValueError
        If an argument is out of range, or is not a single number.

    Notes
    -----
    That cars come and go as independent Markov chains is this model's assumption.

    Examples
    --------
    >>> [round(joint_reliability(100, 0.7, 16, persistence)(64), 2) for persistence in (0.0, 1.0)]
    [0.26, 0.92]
    """
    n, presence, _, _ = _single_firm(n_cars, presence, 0.5, 0.0, most=50_000)
    steps = whole("steps", steps, le=_MOST_IN_A_ROW)
    persistence = one_fraction("persistence", persistence)
    spread = 9 * np.sqrt(n * presence * (1 - presence)) + 9
    lowest = max(0, int(n * presence - spread))
    highest = min(n, int(n * presence + spread) + 1)
    counts = np.arange(lowest, highest + 1)
    start = _presence.probabilities(n, presence)[counts]
    move = _presence.moves(counts, n, presence, persistence)

    def reliability(k: int) -> float:
        enough = counts >= one("k", k)
        held = start * enough
        for _ in range(steps - 1):
            held = (held @ move) * enough  # eq. (10.13)
        return float(np.clip(held.sum(), 0.0, 1.0))

    return reliability


def _refuse_few(count, what, reliability):
    """Refuse a number of trials or days in which such a reliability cannot show."""
    if count * (1 - reliability) < 1 - _EPS:
        least = int(np.ceil(1 / (1 - reliability) - _EPS))
        raise ValueError(
            f"{count} {what} cannot show a reliability of {reliability:g}; "
            f"it takes at least {least}"
        )


def _ranked(values, reliability):
    """Largest value that a share of at least `reliability` of the rows reaches, by column."""
    values = np.sort(values, axis=0)[::-1]
    rank = int(np.ceil(reliability * len(values) - _EPS))
    return values[max(rank, 1) - 1]


def _least_present(n, presence, correlation, steps, persistence, rng, trials):
    """Smallest number of cars in each of many blocks."""
    share = _presence.common_share(presence, correlation, size=trials, rng=rng)
    path = _presence.walk(n, share, persistence, steps=steps, size=trials, rng=rng)
    return functools.reduce(np.minimum, path)


def _largest_held(joint, n, reliability):
    """Largest number of cars with this joint reliability, by halving."""
    held = 0
    too_many = n + 1
    while too_many - held > 1:
        middle = (held + too_many) // 2
        if _presence.holds(joint(middle), reliability):
            held = middle
        else:
            too_many = middle
    return held


def firm_joint(
    n_cars: int,
    presence: float,
    reliability: float,
    *,
    steps: int,
    persistence: float,
    correlation: float = 0.0,
    rng: np.random.Generator | None = None,
    trials: int = 20_000,
) -> int:
    """Return the largest number of cars that are there in every step with this probability.

    Parameters
    ----------
    n_cars : int
        Cars in the fleet, from 1 to 10 million; to 50,000 without `rng`.
    presence : float
        Mean share of the cars that is there, 0 to 1.
    reliability : float
        Probability that the promise for the whole block must have at least, above 0 and below 1.
    steps : int
        Steps of the block, from 1 to 100,000.
    persistence : float
        What is left after a step of what is known about a car, as in `joint_reliability`, 0 to 1.
    correlation : float
        Correlation of eq. (10.3), 0 or from 1e-9 up to below 1: a common cause that lasts as long
        as the block, beside the coming and going of each car.
    rng : numpy.random.Generator, optional
        With it the block is drawn at random (Monte Carlo); without it the result is exact, and
        `correlation` must be 0.
    trials : int
        How many blocks are drawn, enough for the reliability: 0.99 takes at least 100.

    Returns
    -------
    int
        Number of cars that can be promised through the block. Exact for one step, and where nobody
        moves.

    Raises
    ------
    TypeError
        If `rng` is no Generator.
    ValueError
        If an argument is out of range, or `correlation` is above 0 and there is no `rng`.

    Examples
    --------
    >>> firm_joint(100, 0.7, 0.9, steps=16, persistence=0.9)
    60
    >>> rng = np.random.default_rng(1)
    >>> firm_joint(100, 0.7, 0.9, steps=16, persistence=0.9, correlation=0.02, rng=rng, trials=2000)
    56
    """
    n, presence, r, correlation = _single_firm(n_cars, presence, reliability, correlation)
    steps = whole("steps", steps, le=_MOST_IN_A_ROW)
    persistence = one_fraction("persistence", persistence)
    trials = whole("trials", trials, le=10_000_000)
    if rng is not None:
        instance("rng", rng, np.random.Generator)
    if steps == 1 or persistence == 1:
        return int(firm_cars(n, presence, r, correlation))
    if rng is not None:
        _refuse_few(trials, "trials", r)
        return int(
            _ranked(_least_present(n, presence, correlation, steps, persistence, rng, trials), r)
        )
    if correlation > 0:
        raise ValueError(
            f"correlation is {correlation:g}; correlated cars over several steps are drawn at "
            "random: give rng, such as numpy.random.default_rng(10)"
        )
    return _largest_held(joint_reliability(n, presence, steps, persistence), n, r)


def _whole_days(plugged, step):
    """The numbers of each day of 24 hours that was recorded from midnight to midnight."""
    midnight = plugged.index.tz_localize(None).normalize()
    days = [day.to_numpy() for _, day in plugged.groupby(midnight)]
    return [day for day in days if len(day) * step == pd.Timedelta(days=1)]


def firm_observed(plugged: pd.Series, reliability: float, duration_h: float) -> pd.DataFrame:
    """Return what would have been firm on the recorded days: no model, the days as they were.

    Parameters
    ----------
    plugged : Series
        Number of cars from `plugged_cars`, with time stamps as index; perhaps only some days of
        it: `plugged[plugged.index.day_of_week < 5]`.
    reliability : float
        Share of the days on which the promise must hold at least, above 0 and below 1.
    duration_h : float
        Length of the block, a multiple of the step of `plugged`, at most 24 [h].

    Returns
    -------
    DataFrame
        Index `t_s`, start of the block on the clock. Columns `mean` number of cars at its start,
        `each` firm in a single step there, `joint` firm through the block. Blocks end by midnight;
        days of 23 or 25 hours are left out.

    Raises
    ------
    TypeError
        If `plugged` is no Series with time stamps.
    ValueError
        If a number is missing, `duration_h` is no multiple of the step, or there are too few days
        to show such a reliability.

    Examples
    --------
    >>> time = pd.date_range("2025-05-05", periods=12, freq="6h")
    >>> plugged = pd.Series([0, 8, 9, 0, 0, 6, 4, 0, 0, 7, 8, 0], index=time)
    >>> firm_observed(plugged, 0.6, duration_h=12.0).loc[21600].tolist()
    [7.0, 7.0, 7.0]
    """
    _refuse_counts(plugged)
    reliability = one_fraction("reliability", reliability, **_SURE)
    duration_h = one("duration_h", duration_h, "h", gt=0, le=24)
    step = _step_of(plugged)
    width = _steps_in("duration_h", duration_h, step)
    days = _whole_days(plugged, step)
    _refuse_few(len(days), "whole days in plugged", reliability)
    counts = np.array(days)
    windows = np.lib.stride_tricks.sliding_window_view(counts, width, axis=1)
    blocks = windows.min(-1)
    start = np.arange(blocks.shape[1])
    table = {
        "mean": counts.mean(0)[start],
        "each": _ranked(counts, reliability)[start],
        "joint": _ranked(blocks, reliability),
    }
    seconds = start * int(step.total_seconds())
    return pd.DataFrame(table, index=pd.Index(seconds, name="t_s"))


# ---------------------------------------------------------------------------- the capacity stack


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Cars of one kind that offer together: how many, what each can do, and how they behave.

    Attributes
    ----------
    n_cars : int
        Cars in the pool, from 1 to 10 million.
    charger_discharge_kw : float
        Power on the nameplate of each charger, above 0 [kW].
    car_discharge_kw : float
        Discharging power that car and cable let through, at the grid side, above 0 [kW].
    p_charge_kw : float
        Charging power of each car, at the grid side, above 0 [kW].
    energy_kwh : float
        Capacity of each battery, above 0 [kWh].
    soc : float or array, shape (cars seen,)
        State of charge when the call comes, 0 to 1: one for all, or those of a sample of cars, of
        which the pool is made up evenly.
    soc_keep : float
        State of charge that must stay, for the battery and for the departure, 0 to 1.
    eta_discharge : float
        Efficiency from the battery to the grid, above 0 up to 1.
    presence : float
        Mean share of the cars that is plugged in, 0 to 1: as in `firm_joint`.
    correlation : float
        Correlation between two cars: 0, or from 1e-9 up to below 1, as in `firm_joint`.
    persistence : float
        What is left after a step of `dt_h` of what is known about a car, 0 to 1, as in
        `firm_joint`.
    site_limit_kw : float
        Power that the connection lets out for all cars, at least 0; may be infinite [kW].
    dt_h : float
        Step in which cars come and go, above 0 [h].

    Raises
    ------
    ValueError
        If a field is out of range, or is not a single number.

    Examples
    --------
    >>> pool = Pool(
    ...     n_cars=100, charger_discharge_kw=11.0, car_discharge_kw=10.0, p_charge_kw=10.0,
    ...     energy_kwh=60.0, soc=0.8, soc_keep=0.5, eta_discharge=0.9, presence=0.7,
    ...     correlation=0.02, persistence=0.95, site_limit_kw=800.0, dt_h=0.25)
    >>> firm_cars(pool.n_cars, pool.presence, 0.9, pool.correlation)
    60
    """

    n_cars: int
    charger_discharge_kw: float
    car_discharge_kw: float
    p_charge_kw: float
    energy_kwh: float
    soc: FloatOrArray
    soc_keep: float
    eta_discharge: float
    presence: float
    correlation: float = 0.0
    persistence: float = 1.0
    site_limit_kw: float = np.inf
    dt_h: float = 0.25

    def __post_init__(self) -> None:
        power: dict[str, Any] = dict(one=True, unit="kW", gt=0)
        keep(
            self,
            n_cars=dict(whole=True, le=_MOST_CARS),
            charger_discharge_kw=power,
            car_discharge_kw=power,
            p_charge_kw=power,
            energy_kwh=dict(one=True, unit="kWh", gt=0),
            site_limit_kw=dict(one=True, unit="kW", ge=0, finite=False),
            dt_h=dict(one=True, unit="h", gt=0, le=_MOST_H),
        )
        fractions = ("soc_keep", "eta_discharge", "presence", "correlation", "persistence")
        keep_single(self, **{key: {"fraction": True} for key in fractions})
        keep(self, soc=dict(fraction=True))
        if np.ndim(self.soc) > 1:
            raise ValueError(f"soc has shape {np.shape(self.soc)}; give one number, or one series")
        fraction("eta_discharge", self.eta_discharge, gt=0)
        _single_firm(self.n_cars, self.presence, 0.5, self.correlation)


@dataclass(frozen=True, kw_only=True)
class ProductRules:
    """What a market asks of a promise: for how long, how surely, and what must stand behind it.

    Attributes
    ----------
    duration_h : float
        How long the power must last, above 0 [h].
    reliability : float
        Probability with which the promise must be kept at least, above 0 and below 1.
    margin : float
        Firm power for each kW sold, from 1 to 10 [kW/kW].
    reverse : float
        Power that must be ready in the other direction for each kW sold, to recharge; from 0 up to
        below 2, usually a fraction such as 0.2 [kW/kW].
    lot_kw : float
        What is sold comes in whole lots of this size, at least 0.001; 0 sells to the last
        watt [kW].

    Raises
    ------
    ValueError
        If a field is out of range, or is not a single number.

    Examples
    --------
    >>> ProductRules(duration_h=2, reliability=0.9, margin=1.25, reverse=0.2, lot_kw=100).lot_kw
    100.0
    """

    duration_h: float
    reliability: float
    margin: float = 1.0
    reverse: float = 0.0
    lot_kw: float = 0.0

    def __post_init__(self) -> None:
        keep(
            self,
            duration_h=dict(one=True, unit="h", gt=0, le=_MOST_H),
            margin=dict(one=True, unit="(kW firm for each kW sold)", ge=1, le=10),
            lot_kw=dict(one=True, unit="kW", ge=0),
            reliability=dict(one_fraction=True, **_SURE),
            reverse=dict(one_fraction=True, le=None, lt=2),
        )
        if 0 < self.lot_kw < 0.001:
            raise ValueError(f"lot_kw is {self.lot_kw:g} kW; it must be 0, or at least 0.001 kW")


def _steps_of_block(pool, product):
    """Steps in which the cars come and go while the product lasts."""
    count = product.duration_h / pool.dt_h
    if count > _MOST_IN_A_ROW:
        raise ValueError(
            f"product.duration_h = {product.duration_h:g} has {count:.3g} steps of pool.dt_h = "
            f"{pool.dt_h:g}; at most {_MOST_IN_A_ROW:,} can be computed"
        )
    return max(1, int(np.ceil(count - _EPS)))


def _of_one_car(pool, product):
    """Power of a car: what lets it through, and the mean that batteries give before and after loss.

    Each battery gives, all through the product, what it holds above `soc_keep`.
    """
    car_kw = min(pool.charger_discharge_kw, pool.car_discharge_kw)
    stored_kw = np.maximum(pool.soc - pool.soc_keep, 0.0) * pool.energy_kwh / product.duration_h
    spared_kw = np.minimum(car_kw, stored_kw).mean()
    out_kw = np.minimum(car_kw, stored_kw * pool.eta_discharge).mean()
    return car_kw, spared_kw, out_kw


def _layers_kw(pool, product, firm, held):
    """Power that is left after each layer."""
    mean = pool.n_cars * pool.presence
    car_kw, spared_kw, out_kw = _of_one_car(pool, product)
    block_kw = min(held * out_kw, pool.site_limit_kw)  # eq. (10.8)
    sold_kw = block_kw / product.margin
    if product.reverse:
        sold_kw = min(sold_kw, held * pool.p_charge_kw / product.reverse)
    lots_kw = sold_kw
    if product.lot_kw:
        lots_kw = np.floor(sold_kw / product.lot_kw + _EPS) * product.lot_kw
    return {
        "nameplate": pool.n_cars * pool.charger_discharge_kw,
        "plugged in": mean * pool.charger_discharge_kw,
        "power limit": min(mean * car_kw, pool.site_limit_kw),
        "energy": min(mean * spared_kw, pool.site_limit_kw),
        "efficiency": min(mean * out_kw, pool.site_limit_kw),
        "reliability": min(firm * out_kw, pool.site_limit_kw),
        "duration": block_kw,
        "other direction": sold_kw,
        "sellable": lots_kw,
    }


def _layer_words(pool, product, firm, held, steps):
    """Why each layer, in the order of `_layers_kw`, leaves what it leaves."""
    car_kw, spared_kw, out_kw = _of_one_car(pool, product)
    limit = f"a car lets {car_kw:g} kW through"
    if np.isfinite(pool.site_limit_kw):
        limit += f", the connection {pool.site_limit_kw:g} kW in all"
    lots = "sold to the last watt"
    if product.lot_kw:
        lots = f"sold in lots of {product.lot_kw:g} kW"
    return {
        "nameplate": f"{pool.n_cars} chargers of {pool.charger_discharge_kw:g} kW",
        "plugged in": f"on average a share of {pool.presence:.3g} of the cars is there",
        "power limit": limit,
        "energy": f"each battery gives what it holds above {pool.soc_keep:g} in "
        f"{product.duration_h:g} h, at most {car_kw:g} kW: {spared_kw:.2f} kW a car",
        "efficiency": f"of what leaves a battery, a share of {pool.eta_discharge:g} arrives, at "
        f"most {car_kw:g} kW: {out_kw:.2f} kW a car",
        "reliability": f"{firm} cars are there with probability {product.reliability:g}",
        "duration": f"{held} cars are there in each of {steps} steps with that probability",
        "other direction": f"each kW sold needs {product.margin:g} kW firm "
        f"and {product.reverse:g} kW to recharge",
        "sellable": lots,
    }


def capacity_stack(
    pool: Pool, product: ProductRules, *, rng: np.random.Generator | None = None
) -> pd.DataFrame:
    r"""Return what is left from the nameplate to what can be sold, layer by layer.

    .. math::
        P = k\,\overline{\min\Big(P_{car},\
        \frac{\eta_d\,(s - s_{keep})\,E}{T}\Big)}            (10.8)

    k cars are firm through the block, and the bar is the mean over the states of charge s. The
    connection of the site limits P, `margin` divides it, and `reverse` asks for k P_c of charging
    power.

    Parameters
    ----------
    pool : Pool
        The cars.
    product : ProductRules
        What is asked of the promise.
    rng : numpy.random.Generator, optional
        Needed where cars are correlated and come and go within the block: see `firm_joint`.

    Returns
    -------
    DataFrame
        Index `layer`. Columns `mw` that is left, `lost_mw` in this layer, and `why` in words.

    Raises
    ------
    TypeError
        If an argument is of another kind.
    ValueError
        If the block has too many steps, or `rng` is needed.

    Examples
    --------
    >>> pool = Pool(
    ...     n_cars=100, charger_discharge_kw=10.0, car_discharge_kw=10.0, p_charge_kw=10.0,
    ...     energy_kwh=60.0, soc=0.8, soc_keep=0.5, eta_discharge=0.9, presence=0.7)
    >>> product = ProductRules(duration_h=1.0, reliability=0.9)
    >>> capacity_stack(pool, product, rng=np.random.default_rng(1)).mw["reliability"].item()
    0.64
    """
    instance("pool", pool, Pool)
    instance("product", product, ProductRules)
    steps = _steps_of_block(pool, product)
    firm = int(firm_cars(pool.n_cars, pool.presence, product.reliability, pool.correlation))
    held = firm_joint(
        pool.n_cars,
        pool.presence,
        product.reliability,
        steps=steps,
        persistence=pool.persistence,
        correlation=pool.correlation,
        rng=rng,
    )
    left_kw = _layers_kw(pool, product, firm, held)
    words = _layer_words(pool, product, firm, held, steps)
    index = pd.Index(list(left_kw), name="layer")
    table = pd.DataFrame({"mw": list(left_kw.values()), "why": list(words.values())}, index=index)
    table["mw"] /= 1000
    table.insert(1, "lost_mw", 0.0 - table.mw.diff().fillna(0.0))
    return table


# ----------------------------------------------------------------------- a signal finds its cars


def jain(shares: ArrayLike) -> float:
    r"""Return Jain's index of fairness: 1 if all carry the same, 1/n if one carries everything.

    .. math:: J = \frac{\left(\sum_i x_i\right)^2}{n \sum_i x_i^2}            (10.10)

    Parameters
    ----------
    shares : array, shape (cars,)
        What each carries, at least 0, such as the energy that each car gave.

    Returns
    -------
    float
        Fairness, 1/n to 1; 1 where nobody carries anything.

    Raises
    ------
    ValueError
        If a share is negative or not a number.

    References
    ----------
    .. [1] Jain, Chiu, Hawe, A quantitative measure of fairness and discrimination for resource
       allocation in shared computer systems, DEC research report TR-301, 1984.

    Examples
    --------
    >>> jain([5.0, 5.0, 5.0, 5.0]), jain([20.0, 0.0, 0.0, 0.0])
    (1.0, 0.25)
    """
    x = _series("shares", shares, ge=0)
    if not x.any():
        return 1.0
    x = x / x.max()  # only the proportions matter, and their squares do not overflow
    return float(x.sum() ** 2 / (len(x) * np.square(x).sum()))  # eq. (10.10)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dispatch:
    """A signal and what each car did with it.

    Attributes
    ----------
    p_kw : array, shape (stays, steps)
        Power of each car at the grid side, above 0 where it discharges [kW].
    energy_kwh : array, shape (stays, steps + 1)
        Energy in each battery at the edges of the steps, counted from arrival [kWh].
    table : DataFrame
        Index `t_s`, start of the step. Columns `asked_kw` and `given_kw` of all cars together.
    given_kwh : array, shape (stays,)
        Energy that each car discharged, at least 0 [kWh].
    use : array, shape (stays,)
        Energy that each car moved either way, over what its charger could have charged in its stay
        (discharged, where it cannot charge); at least 0.

    Raises
    ------
    TypeError
        If `table` is no DataFrame.
    ValueError
        If a field is out of range, or the shapes do not fit each other.
    """

    p_kw: np.ndarray
    energy_kwh: np.ndarray
    table: pd.DataFrame
    given_kwh: np.ndarray
    use: np.ndarray

    def __post_init__(self) -> None:
        columns("table", self.table, ["asked_kw", "given_kw"])
        keep(
            self,
            p_kw=dict(unit="kW"),
            energy_kwh=dict(unit="kWh"),
            given_kwh=dict(row=True, unit="kWh", ge=0),
            use=dict(row=True, ge=0),
        )
        count = len(self.given_kwh)
        steps = len(self.table)
        wanted = {"p_kw": (count, steps), "energy_kwh": (count, steps + 1), "use": (count,)}
        for name, shape in wanted.items():
            if np.shape(getattr(self, name)) != shape:
                raise ValueError(
                    f"{name} has shape {np.shape(getattr(self, name))}; for {count} stays and "
                    f"{steps} steps it must be {shape}"
                )

    @property
    def missed(self) -> float:
        """Share of the signal that was missed: energy too little or too much, over that asked for.

        Raises
        ------
        ValueError
            If nothing was asked for.
        """
        asked = self.table.asked_kw
        if not asked.any():
            raise ValueError("signal_kw is 0 throughout; there is nothing to miss")
        return float((asked - self.table.given_kw).abs().sum() / asked.abs().sum())


def _refuse_outside(cars, end_h):
    """Refuse cars that come before the signal begins or leave after it ends."""
    first = cars.arrive_h.min()
    last = cars.leave_h.max()
    if first < 0 or last > end_h + _EPS:
        raise ValueError(
            f"stays lie between {first:g} h and {last:g} h, the signal between 0 and {end_h:g} h; "
            "all cars must come and leave while signal_kw lasts"
        )


def _equalities(cars, step, car, shape):
    """Left sides: a row for the battery of each cell, and one for the balance of each step."""
    steps = shape[0]
    cells = len(step)
    numbers = np.arange(cells)
    ones = np.ones(cells)
    number = np.full(shape, -1)
    number[step, car] = numbers
    before = np.where(step > 0, number[step - 1, car], -1)  # of the same car
    chained = before >= 0
    earlier = sparse.coo_array(
        (ones[chained], (numbers[chained], before[chained])), shape=(cells, cells)
    )
    charged = sparse.diags_array(-cars.eta_charge[car])
    discharged = sparse.diags_array(1 / cars.eta_discharge[car])
    rise = sparse.eye_array(cells) - earlier
    in_step = sparse.coo_array((ones, (step, numbers)), shape=(steps, cells))
    missed = sparse.eye_array(steps)
    battery = [charged, discharged, rise, None, None]
    balance = [-in_step, in_step, None, missed, -missed]
    return sparse.block_array([battery, balance], format="csr")


def _best_path(cars, signal, dt, lines):
    """Energy of each car at the edges of the steps, by linear programme.

    A cell is a step of a car that is plugged in. Columns: charge of each cell, discharge of each
    cell [kWh at the grid], energy of each cell at its end; too little and too much in each step.
    """
    least, most = lines
    steps = len(signal)
    edges = dt * np.arange(steps + 1)
    here_h = np.diff(np.clip(edges[:, None], cars.arrive_h, cars.leave_h), axis=0)
    step, car = np.nonzero(here_h > 0)
    cells = len(step)
    trip = cars.eta_charge * cars.eta_discharge
    weight = np.max((1 - trip) / (1 + trip)) + 1e-4
    cost = [np.full(2 * cells, weight), np.zeros(cells), np.ones(2 * steps)]  # eq. (10.15)
    lower = [np.zeros(2 * cells), least[step + 1, car], np.zeros(2 * steps)]
    upper = [
        (cars.p_charge_kw * here_h)[step, car],
        (cars.p_discharge_kw * here_h)[step, car],
        most[step + 1, car],
        np.full(2 * steps, np.inf),
    ]
    result = linprog(
        np.concatenate(cost),
        A_eq=_equalities(cars, step, car, here_h.shape),
        b_eq=np.concatenate([np.zeros(cells), signal * dt]),
        bounds=np.column_stack([np.concatenate(lower), np.concatenate(upper)]),
        method="highs",
    )
    if result.x is None:
        raise ValueError(f"the solver gave up: {result.message}")
    energy = least.copy()  # 0 before arrival, the need after departure
    energy[step + 1, car] = result.x[2 * cells : 3 * cells]
    return energy


def _power(cars, rise_kwh, dt):
    """Power at the grid side that makes the battery rise by so much in a step."""
    return np.where(rise_kwh > 0, -rise_kwh / cars.eta_charge, -rise_kwh * cars.eta_discharge) / dt


def _laxity(cars, now_kwh, t_h):
    """Hours until departure less hours that charging takes."""
    needed = cars.need_kwh - now_kwh
    kw = cars.battery_charge_kw
    charging_h = np.divide(needed, kw, out=np.zeros(len(cars)), where=kw > 0)
    return (cars.leave_h - t_h) - charging_h  # eq. (10.9)


def _first_come(room, wanted, rank):
    """What each car takes of what is wanted, if cars with a small rank are filled first."""
    order = np.argsort(rank, kind="stable")
    in_order = room[order]
    before = np.cumsum(in_order) - in_order
    part = np.empty(len(room))
    part[order] = np.clip(wanted - before, 0.0, in_order)
    return part


def _shared_path(cars, signal, dt, lines, rule):
    """Energy of each car at the edges of the steps, step by step.

    Before arrival and after departure the two lines are one.
    """
    least, most = lines
    energy = np.zeros((len(signal) + 1, len(cars)))
    for k, wanted in enumerate(signal):
        now = energy[k]
        lowest = np.maximum(least[k + 1], now - cars.battery_discharge_kw * dt)
        highest = np.minimum(most[k + 1], now + cars.battery_charge_kw * dt)
        highest = np.maximum(highest, lowest)
        high = _power(cars, lowest - now, dt)
        low = _power(cars, highest - now, dt)
        base = np.clip(0.0, low, high)
        left = wanted - base.sum()
        room = high - base if left > 0 else base - low
        if rule == "proportional":
            part = room * min(1.0, abs(left) / max(room.sum(), 1e-12))  # eq. (10.14)
        else:
            laxity = _laxity(cars, now, k * dt)
            part = _first_come(room, abs(left), -laxity if left > 0 else laxity)
        p = base + np.sign(left) * part
        rise = np.where(p < 0, -p * cars.eta_charge, -p / cars.eta_discharge) * dt
        energy[k + 1] = np.clip(now + rise, lowest, highest)
    return energy


def _dispatch(cars, signal, dt, energy):
    """The result, from the energy of each car (columns) at the edges of the steps (rows)."""
    power = _power(cars, np.diff(energy, axis=0), dt)
    start_s = 3600 * (dt * np.arange(len(signal)))
    table = pd.DataFrame(
        {"asked_kw": signal, "given_kw": power.sum(1)}, index=pd.Index(start_s, name="t_s")
    )
    plug_kw = np.where(cars.p_charge_kw > 0, cars.p_charge_kw, cars.p_discharge_kw)
    could = plug_kw * (cars.leave_h - cars.arrive_h)
    moved = dt * np.abs(power).sum(0)
    return Dispatch(
        p_kw=power.T,
        energy_kwh=energy.T,
        table=table,
        given_kwh=dt * np.maximum(power, 0).sum(0),
        use=np.divide(moved, could, out=np.zeros(len(cars)), where=could > 0),
    )


def disaggregate(
    cars: Stays, signal_kw: ArrayLike, rule: str = "proportional", *, dt_h: float = 0.25
) -> Dispatch:
    r"""Return how a signal is shared out to cars, with every departure kept.

    Each step, eq. (10.6) at its end says within which powers each car may act; one that stands on
    its lower line must charge. What is left of the signal goes to the cars

    - "proportional": each gives the same part of the room :math:`r_i` it has,

      .. math:: p_i = p_i^0 + r_i \min\Big(1,\ \frac{s - \sum_j p_j^0}{\sum_j r_j}\Big)      (10.14)

    - "urgency": cars with the least laxity charge first, and those with the most discharge first,

      .. math:: \ell_i = (d_i - t) - \frac{need_i - e_i}{\eta_c P_c}            (10.9)

    - "optimal": with the whole signal known, a linear programme misses as little of it as can be,

      .. math::
          \min \sum_t \Big|s_t - \sum_i p_{it}\Big|\Delta t
          + w \sum_{i,t} (c_{it} + d_{it})\,\Delta t            (10.15)

      where w is just large enough that charging and discharging at once never pays.

    Parameters
    ----------
    cars : Stays
        Cars at the plug; all of them must come and leave while the signal lasts.
    signal_kw : array, shape (steps,)
        Power wanted from all cars together, their own charging included, from t = 0 on; above 0
        they discharge [kW].
    rule : str
        Who moves: "proportional", "urgency" or "optimal".
    dt_h : float
        Length of a step [h].

    Returns
    -------
    Dispatch
        What each car did, and how much of the signal was missed.

    Raises
    ------
    TypeError
        If `cars` is no Stays.
    ValueError
        If the rule is unknown, a car stays longer than the signal lasts, or a number is out of
        range.

    Examples
    --------
    >>> cars = Stays(
    ...     arrive_h=[0.0, 0.0], leave_h=[2.0, 1.0], need_kwh=0.0, below_kwh=20.0, room_kwh=20.0,
    ...     p_charge_kw=8.0, p_discharge_kw=[8.0, 4.0], eta_charge=0.9, eta_discharge=0.9)
    >>> shared = disaggregate(cars, [6.0, -4.0, -2.0, 0.0], "proportional", dt_h=0.5)
    >>> (shared.p_kw.round(2) + 0.0).tolist()
    [[4.0, -1.53, -2.0, -1.41], [2.0, -2.47, 0.0, 0.0]]
    """
    instance("cars", cars, Stays)
    one_of("rule", rule, ("proportional", "urgency", "optimal"))
    signal = _series("signal_kw", signal_kw, "kW")
    dt = one("dt_h", dt_h, "h", gt=0, le=_MOST_H)
    refuse_large(signal_kw=signal.size, cars=len(cars))
    _refuse_outside(cars, len(signal) * dt)
    lines = bounds_kwh(cars, dt * np.arange(len(signal) + 1))
    if rule == "optimal":
        energy = _best_path(cars, signal, dt, lines)
    else:
        energy = _shared_path(cars, signal, dt, lines, rule)
    return _dispatch(cars, signal, dt, energy)


# ------------------------------------------------------------------------------ millions of cars


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenario:
    """A day that any number of cars can live through.

    Attributes
    ----------
    cars : Stays
        Each simulated car repeats one of these stays, drawn at random, on the clock of one day:
        hours count modulo 24. Efficiencies must be the same for all.
    command : array, shape (steps,)
        Share of its power that each car is asked for, from midnight on, -1 to 1; above 0 it
        discharges. At most 32,000 steps.
    seed : int
        Seed of all random numbers, at least 0.
    dt_h : float
        Length of a step, from one second to a day; stays are cut to whole steps, and what a car
        needs to what it can get in them [h].
    presence : float
        Share of the cars that comes at all that day, 0 to 1.

    Raises
    ------
    TypeError
        If `cars` is no Stays.
    ValueError
        If a field is out of range, or efficiencies differ between stays.

    Examples
    --------
    >>> cars = Stays(
    ...     arrive_h=[8.0, 9.0], leave_h=[18.0, 12.0], need_kwh=5.0, below_kwh=20.0, room_kwh=20.0,
    ...     p_charge_kw=8.0, p_discharge_kw=7.0, eta_charge=0.9, eta_discharge=0.9)
    >>> day = Scenario(cars=cars, command=[0.0] * 10 + [0.5] * 2, seed=1, dt_h=1.0, presence=0.8)
    >>> len(day.command), day.command.max().item()
    (12, 0.5)
    """

    cars: Stays
    command: np.ndarray
    seed: int
    dt_h: float = 0.25
    presence: float = 1.0

    def __post_init__(self) -> None:
        instance("cars", self.cars, Stays)
        command = row("command", np.atleast_1d(fraction("command", self.command, ge=-1)))
        if len(command) > _MOST_COMMANDS:
            raise ValueError(f"command has {len(command)} steps; at most {_MOST_COMMANDS}")
        object.__setattr__(self, "command", command)
        keep(
            self,
            seed=dict(whole=True, ge=0, le=2**53),
            dt_h=dict(one=True, unit="h", ge=1 / 3600, le=24),
        )
        keep_single(self, presence=dict(fraction=True))
        for name in ("eta_charge", "eta_discharge"):
            if np.ptp(getattr(self.cars, name)) > 0:
                raise ValueError(
                    f"{name} differs between stays; a scenario has one efficiency each way"
                )

    @property
    def key(self) -> str:
        """A fingerprint: equal scenarios have the same, others another."""
        numbers = repr((self.seed, self.dt_h, self.presence)).encode()
        digest = hashlib.blake2b(numbers, digest_size=12)
        arrays = [getattr(self.cars, field.name) for field in fields(self.cars)]
        for array in (*arrays, self.command):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array, float).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What a simulated fleet did.

    Attributes
    ----------
    n_cars : int
        Cars in the fleet, at least 1.
    table : DataFrame
        Index `t_s`, start of the step. Columns `asked_mw` (command times power of the cars plugged
        in), `p_mw`, `stored_mwh` (since arrival, at the end of the step, in the cars that are there
        or have been) and `plugged`.
    departed : int
        Cars that departed within the time simulated, at least 0.
    short_kwh : float
        Energy that the worst of them lacked, at least 0 [kWh].

    Raises
    ------
    TypeError
        If `table` is no DataFrame.
    ValueError
        If a field is out of range, or a column is missing.
    """

    n_cars: int
    table: pd.DataFrame
    departed: int
    short_kwh: float

    def __post_init__(self) -> None:
        columns("table", self.table, ["asked_mw", "p_mw", "stored_mwh", "plugged"])
        keep(
            self,
            n_cars=dict(whole=True, le=_MOST_SIMULATED),
            departed=dict(whole=True, ge=0, le=_MOST_SIMULATED),
            short_kwh=dict(one=True, unit="kWh", ge=0),
        )


class Unfinished(RuntimeError):
    """A worker died and no executor is left.

    Parameters
    ----------
    message : str
        What happened, and how to go on.
    finished : dict
        Blocks that are done: give it as `checkpoint` to go on.

    Attributes
    ----------
    finished : dict
        Blocks that are done: give it as `checkpoint` to go on.
    """

    def __init__(self, message: str, finished: dict[str, bytes]) -> None:
        super().__init__(message)
        self.finished = finished


def _digest(name, numbers):
    return hashlib.blake2b(name.encode() + b"\n" + numbers, digest_size=_DIGEST_BYTES).digest()


def _unsealed(name, sealed):
    """Sums of a block, or None where nothing is kept, or something damaged, or another block."""
    if not isinstance(sealed, bytes):
        return None
    digest = sealed[:_DIGEST_BYTES]
    numbers = sealed[_DIGEST_BYTES:]
    if digest != _digest(name, numbers):
        return None
    return np.frombuffer(numbers, "<f8").astype(float)


def _sealed(name, result):
    """Sums of a block as bytes, behind a digest of them and of the block's name."""
    numbers = np.asarray(result, "<f8").tobytes()
    return _digest(name, numbers) + numbers


class _Blocks:
    """The blocks of a fleet: how large each is, under which name it is kept, which are done."""

    def __init__(self, scenario, n_cars, store, tell):
        key = scenario.key
        self.scenario = scenario
        self.store = store
        self.tell = tell
        self.counts = [min(_BLOCK, n_cars - first) for first in range(0, n_cars, _BLOCK)]
        self.names = [f"{key}-{block:06d}-{count}" for block, count in enumerate(self.counts)]
        self.finished = {}
        for block, name in enumerate(self.names):
            result = _unsealed(name, store.get(name))
            if result is not None:
                self.finished[block] = result
        if self.finished:
            tell(sum(self.counts[block] for block in self.finished))

    def open(self):
        """Numbers and sizes of the blocks that are not done."""
        numbers = enumerate(self.counts)
        return [(block, count) for block, count in numbers if block not in self.finished]

    def tasks(self, size):
        """The same, so many together."""
        left = self.open()
        return [left[first : first + size] for first in range(0, len(left), size)]

    def keep(self, task, results):
        """Keep what a task has found."""
        for (block, _), result in zip(task, results):
            self.finished[block] = result
            self.store[self.names[block]] = _sealed(self.names[block], result)
        self.tell(sum(count for _, count in task))

    def results(self):
        """What all blocks have found, in their order."""
        return [self.finished[block] for block in range(len(self.counts))]

    def kept(self):
        """What is done, as a checkpoint holds it."""
        return {
            self.names[block]: _sealed(self.names[block], result)
            for block, result in self.finished.items()
        }


class _Folder:
    """Sealed blocks as files, each written whole or not at all."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"checkpoint: there can be no folder {path}: {error}") from error

    def get(self, name):
        try:
            return self._file(name).read_bytes()
        except OSError:
            return None

    def __setitem__(self, name, sealed):
        part = self.path / f"{name}.{os.getpid()}.part"
        part.write_bytes(sealed)
        part.replace(self._file(name))

    def _file(self, name):
        return self.path / f"{name}.block"


def _store(checkpoint):
    """Where blocks are kept: a dictionary or a folder."""
    if checkpoint is None:
        return {}
    if isinstance(checkpoint, MutableMapping):
        return checkpoint
    if isinstance(checkpoint, (str, os.PathLike)):
        return _Folder(checkpoint)
    raise TypeError(
        f"checkpoint is {short(checkpoint)}; it must be a dictionary or the path of a folder"
    )


def _ignored(n_cars):
    """Progress that nobody wants to hear of."""


def _counted(steps):
    """Numbers of steps in 16 bits; whatever comes after the last command is one."""
    return np.minimum(steps, _MOST_COMMANDS).astype(np.int16)


def _drawn(scenario, block, count):
    """Cars of a block, one array each.

    First and last step (int16); most energy into and out of the battery in a step, need, room below
    and above (float32) [kWh].
    """
    cars = scenario.cars
    dt = scenario.dt_h
    rng = np.random.default_rng(np.random.SeedSequence(scenario.seed, spawn_key=(block,)))
    pick = rng.integers(len(cars), size=_BLOCK)[:count]
    comes = rng.random(_BLOCK, np.float32)[:count] < scenario.presence
    arrive_h = cars.arrive_h % 24
    leave_h = arrive_h + cars.leave_h - cars.arrive_h
    first = np.ceil(arrive_h / dt - _EPS)
    last = np.maximum(np.floor(leave_h / dt + _EPS), first)
    charge = dt * cars.battery_charge_kw
    discharge = dt * cars.battery_discharge_kw
    need = np.minimum(cars.need_kwh, charge * (last - first))
    first = _counted(first)[pick]
    last = np.where(comes, _counted(last)[pick], first)
    energies = (charge, discharge, need, cars.below_kwh, cars.room_kwh)
    return first, last, *(energy.astype(np.float32)[pick] for energy in energies)


def _followed(commands, cars, sums):
    """Energy of each car at the end of the day; energies in and out of each step go into `sums`.

    The hot loop: every step works in place, on a few arrays that stay in the processor's cache.
    """
    first, last, charge, discharge, need, below, room = cars
    deep = -below
    late = need - charge * last  # L of eq. (10.6) at step 0; it rises step by step
    soon = need + discharge * last  # U, which falls
    energy = np.zeros(len(first), np.float32)
    move = np.empty(len(first), np.float32)
    here = np.empty(len(first), bool)
    stays_on = np.empty(len(first), bool)
    for k, command in enumerate(commands.astype(np.float32)):
        late += charge
        soon -= discharge
        np.multiply(discharge if command > 0 else charge, -command, out=move)
        move += energy
        np.maximum(move, late, out=move)
        np.maximum(move, deep, out=move)
        np.minimum(move, room, out=move)
        np.minimum(move, soon, out=move)  # eq. (10.16)
        move -= energy
        np.less_equal(first, k, out=here)
        np.greater(last, k, out=stays_on)
        here &= stays_on
        np.multiply(move, here, out=move)
        energy += move
        total = np.add.reduce(move, dtype=np.float64)
        np.maximum(move, 0.0, out=move)
        sums[0, k] = np.add.reduce(move, dtype=np.float64)
        sums[1, k] = sums[0, k] - total
    return energy


def _simulate_block(scenario, block, count):
    """Sums over the cars of a block.

    Rows: energy in, energy out (both in the battery, kWh), stored, plugged, most in and out; then
    the cars that departed, and what the worst of them lacked.
    """
    first, last, charge, discharge, need, below, room = _drawn(scenario, block, count)
    steps = len(scenario.command)
    sums = np.zeros((6, steps))
    sums[3] = _presence.in_each_step(first, last, steps)
    sums[4] = _presence.in_each_step(first, last, steps, charge)
    sums[5] = _presence.in_each_step(first, last, steps, discharge)
    energy = _followed(scenario.command, (first, last, charge, discharge, need, below, room), sums)
    sums[2] = np.cumsum(sums[0] - sums[1])
    done = (last > first) & (last <= steps)
    lacking = np.where(done, need - energy, 0.0)
    return np.concatenate([sums.ravel(), [done.sum(), np.max(lacking, initial=0.0)]])


def _do(scenario, task):
    return [_simulate_block(scenario, block, count) for block, count in task]


def _work_off(blocks, size, executor):
    """Do what is open, here or in an executor."""
    tasks = blocks.tasks(size)

    def keep(number, results):
        blocks.keep(tasks[number], results)

    work_off(functools.partial(_do, blocks.scenario), tasks, executor, keep)


def _finish(blocks, size, executor):
    """Work until every block is done, with a new executor where workers die."""
    in_vain = 0
    while blocks.open():
        before = len(blocks.finished)
        try:
            _work_off(blocks, size, executor)
        except BrokenExecutor as broken:
            in_vain = 0 if len(blocks.finished) > before else in_vain + 1
            if in_vain == 3 or isinstance(executor, Executor):
                raise Unfinished(
                    f"a worker died with {len(blocks.finished)} of {len(blocks.counts)} blocks "
                    "done; call again with a new executor, and with checkpoint (the same, or "
                    "`finished` of this error) to go on",
                    blocks.kept(),
                ) from broken


def _summed(scenario, n_cars, results):
    """Add the blocks in their order, and turn energies into power at the grid side."""
    command = scenario.command
    dt = scenario.dt_h
    steps = len(command)
    total = np.zeros(6 * steps)
    for result in results:
        total += result[:-2]
    into, out, stored, plugged, charge, discharge = total.reshape(6, steps)
    eta_charge = scenario.cars.eta_charge[0]
    eta_discharge = scenario.cars.eta_discharge[0]
    asked = np.where(
        command > 0, command * discharge * eta_discharge, command * charge / eta_charge
    )
    table = {
        "asked_mw": asked / dt / 1000,
        "p_mw": (out * eta_discharge - into / eta_charge) / dt / 1000,
        "stored_mwh": stored / 1000,
        "plugged": plugged.astype(int),
    }
    start_s = 3600 * dt * np.arange(steps)
    return Run(
        n_cars=n_cars,
        table=pd.DataFrame(table, index=pd.Index(start_s, name="t_s")),
        departed=int(sum(result[-2] for result in results)),
        short_kwh=float(max(result[-1] for result in results)),
    )


def simulate(
    n_cars: int,
    scenario: Scenario,
    *,
    executor: Workers = None,
    progress: Callable[[int], object] | None = None,
    checkpoint: MutableMapping[str, bytes] | str | os.PathLike[str] | None = None,
    blocks_per_task: int = 1,
) -> Run:
    r"""Return a day of a fleet of any size: each car follows a command and keeps its departure.

    .. math::
        e_{k+1} = \mathrm{clip}\big(e_k + \Delta e(c_k),\ L_{k+1},\ U_{k+1}\big),\qquad
        \Delta e(c) = -c\,\Delta t\,\{v\ \text{if}\ c > 0,\ u\ \text{if}\ c \le 0\}      (10.16)

    Cars are made and simulated in blocks of 65,536 in single precision, and summed in double
    precision in the order of the blocks. Block b draws from its own stream (SeedSequence with spawn
    key b), so that the result does not depend, to the last bit, on who works where; memory does not
    grow with the fleet.

    Parameters
    ----------
    n_cars : int
        Cars in the fleet, from 1 to a billion.
    scenario : Scenario
        The day.
    executor : concurrent.futures.Executor, or a function that makes one, optional
        Who works: `ProcessPoolExecutor(2)`, or `Client(...).get_executor()` of dask.distributed;
        this process if left out. When a worker is killed the pool is broken; a function is asked
        for a new one, and the open blocks are done again.
    progress : function, optional
        Called with the number of cars that have just been finished: `tqdm(total=n_cars).update`.
    checkpoint : dict or path of a folder, optional
        Where finished blocks are kept and looked for. A larger fleet goes on where a smaller one of
        the same scenario ended. A block that was damaged there is done again.
    blocks_per_task : int
        Blocks that go to a worker together, at least 1.

    Returns
    -------
    Run
        Power, energy and cars plugged in at each step, and whether every departure was kept.

    Raises
    ------
    Unfinished
        If workers died and `executor` is not a function, or three new executors in a row finished
        nothing.
    TypeError
        If an argument is of another kind.
    ValueError
        If a number is out of range, or there can be no folder `checkpoint`.

    Examples
    --------
    >>> cars = Stays(
    ...     arrive_h=[8.0, 9.0], leave_h=[18.0, 12.0], need_kwh=5.0, below_kwh=20.0, room_kwh=20.0,
    ...     p_charge_kw=8.0, p_discharge_kw=7.0, eta_charge=0.9, eta_discharge=0.9)
    >>> day = Scenario(cars=cars, command=[0.0] * 10 + [0.5] * 10, seed=1, dt_h=1.0)
    >>> told = []
    >>> run = simulate(
    ...     1000, day, executor=None, progress=told.append, checkpoint=None, blocks_per_task=2)
    >>> run.departed, run.table.p_mw.round(2).tolist()[10:13], told
    (1000, [2.78, -1.96, 1.84], [1000])

    A dictionary, or a folder, keeps what is finished:

    >>> kept = {}
    >>> simulate(1000, day, checkpoint=kept).departed, len(kept)
    (1000, 1)
    """
    n_cars = whole("n_cars", n_cars, le=_MOST_SIMULATED)
    instance("scenario", scenario, Scenario)
    size = whole("blocks_per_task", blocks_per_task)
    workers(executor)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress is {short(progress)}; it must be a function")
    blocks = _Blocks(scenario, n_cars, _store(checkpoint), progress or _ignored)
    _finish(blocks, size, executor)
    return _summed(scenario, n_cars, blocks.results())
