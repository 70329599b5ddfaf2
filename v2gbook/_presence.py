"""Cars being there: what the topics that promise cars have in common.

How many of n cars are there (`probabilities`, `at_least`, `fewest_cars`), how their number goes on
from step to step (`transition`, `walk`, `moves`), and how many a table of sessions shows
(`check_sessions`, `plugged`). A topic that imports `check_sessions` offers it as its own; the rest
is for topics that have checked their arguments.
"""

from bisect import bisect_left

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import betainc

from ._check import LARGEST, checked, columns, flag

_EPS = 1e-9
_SAME = 1e-14  # two probabilities closer than this are the same
_MOST_DAYS = 36_525  # a century


# --------------------------------------------------------------------------- how many are there


def probabilities(n_cars, presence, correlation=0.0):
    r"""Probability that k of n cars are there, for each k = 0, 1, ... n.

    Each car is there with probability p (`presence`), and two of them have the correlation rho:
    binomial if it is 0, else beta-binomial. Both are one formula, in which a count is so many times
    as likely as the one before:

    .. math:: \frac{P(k + 1)}{P(k)} =
        \frac{(n - k)\,\big(p\,(1-\rho) + k\,\rho\big)}
        {(k + 1)\,\big((1-p)(1-\rho) + (n - k - 1)\,\rho\big)}

    The products of these begin at the mean, where the counts are likely, so that hardly a digit is
    lost even with millions of cars.
    """
    k = np.arange(n_cars)
    one_more = (n_cars - k) * (presence * (1 - correlation) + k * correlation)
    one_less = (k + 1) * ((1 - presence) * (1 - correlation) + (n_cars - k - 1) * correlation)
    mean = int(n_cars * presence)
    below = np.cumprod((one_less[:mean] / one_more[:mean])[::-1])[::-1]
    above = np.cumprod(one_more[mean:] / one_less[mean:])
    weight = np.concatenate([below, [1.0], above])
    return weight / weight.sum()


def at_least(n_cars, presence, correlation=0.0):
    """Probability that k of n cars are there or more, for each k = 0, 1, ... n."""
    sums = np.cumsum(probabilities(n_cars, presence, correlation)[::-1])[::-1]
    return sums / sums[0]


def holds(probability, reliability):
    """Whether a promise is kept with this reliability, however the probability was rounded."""
    return probability >= reliability - _SAME


def fewest_cars(n_present, presence, reliability, correlation=0.0, *, most):
    """Smallest fleet of which so many cars are there with this reliability; presence is above 0.

    None if `most` cars are too few. Without correlation it may be billions, since then no sum is
    needed.
    """

    def enough(n_cars):
        if correlation == 0:
            return holds(betainc(n_present, n_cars - n_present + 1, presence), reliability)
        return holds(at_least(n_cars, presence, correlation)[n_present], reliability)

    least = n_present
    fleet = n_present
    while not enough(fleet):
        if fleet >= most:
            return None
        least = fleet + 1
        fleet = min(2 * fleet, most)
    tried = range(least, fleet)
    return least + bisect_left(tried, True, key=enough)


# ------------------------------------------------------------------------ from step to step


def transition(presence, persistence):
    """Probabilities that a car that is there stays, and that one that is away comes, in a step.

    Each car is a Markov chain of its own, eq. (10.5): p is the share that is there in the long run,
    and persistence to the power of m the correlation with the number of cars m steps later.
    """
    stays = presence + (1 - presence) * persistence
    comes = presence * (1 - persistence)
    return stays, comes


def walk(n_cars, presence, persistence, *, steps, size, rng):
    """Draw how many of n cars are there in one step after the other: arrays of this size.

    Presence is a number, or one for each. The first step is drawn from the long run, in which all
    others stay.
    """
    stays, comes = transition(presence, persistence)
    there = rng.binomial(n_cars, presence, size)
    yield there
    for _ in range(steps - 1):
        stayed = rng.binomial(there, stays)
        came = rng.binomial(n_cars - there, comes)
        there = stayed + came
        yield there


def common_share(presence, correlation, *, size, rng):
    """Draw shares of the cars, `presence` on average, that a common cause leaves.

    They follow the beta distribution that gives any two cars this correlation.
    """
    if correlation == 0 or presence in (0, 1):
        return np.full(size, presence)
    cause = (1 - correlation) / correlation
    return rng.beta(presence * cause, (1 - presence) * cause, size)


def moves(counts, n_cars, presence, persistence):
    """Probability of each count in the next step (columns) after each count now (rows).

    The next count is a sum of single cars, so its transform is a product of theirs.
    """
    stays, comes = transition(presence, persistence)
    size = len(counts)
    turn = np.exp(2j * np.pi * np.arange(size) / size) - 1
    here = counts[:, None]
    transform = (1 + stays * turn) ** here * (1 + comes * turn) ** (n_cars - here)
    chance = np.fft.fft(transform, axis=1).real  # of the next count, modulo their number
    return chance[:, counts % size] / size


# --------------------------------------------------------------------------- tables of sessions


def has_stamps(sessions, column):
    """Whether a column holds time stamps."""
    return sessions[column].dtype.kind == "M"


def refuse_table(name, sessions):
    """Refuse a table that cannot be one of sessions, whatever is in its rows."""
    columns(name, sessions, ["arrival", "departure", "delivered_kwh"])
    for column in ("arrival", "departure", "delivered_kwh", "station"):
        if column in sessions and not isinstance(sessions[column], pd.Series):
            raise ValueError(f"{name} has more than one column {column}")
    if sessions.empty:
        raise ValueError(f"{name} is empty: the table has no session")
    if not (has_stamps(sessions, "arrival") and has_stamps(sessions, "departure")):
        raise ValueError(
            f"{name}: arrival and departure must both be time stamps; "
            "for text from a file use pd.to_datetime(..., utc=True).dt.tz_convert(zone)"
        )
    if sessions.arrival.dt.tz != sessions.departure.dt.tz:
        raise ValueError(
            f"{name}: arrival and departure must have the same time zone, or both must have none; "
            f"they have {sessions.arrival.dt.tz} and {sessions.departure.dt.tz}"
        )
    if sessions.delivered_kwh.dtype.kind not in "iuf":
        raise ValueError(
            f"{name}: delivered_kwh must be numbers, not {sessions.delivered_kwh.dtype}"
        )


def stay_h(sessions):
    """How long each car stayed. [h]"""
    return (sessions.departure - sessions.arrival).dt.total_seconds() / 3600


def energy_kwh(sessions):
    """What each car took. [kWh]"""
    return sessions.delivered_kwh.to_numpy(float, na_value=np.nan)


def _busy_until(sessions):
    """Latest departure of the sessions that came earlier to the same station.

    NaT for the first of them, and where stations are not told.
    """
    if "station" not in sessions:
        return pd.Series(pd.NaT, index=sessions.index, dtype=sessions.departure.dtype)
    order = sessions.arrival.array.argsort(kind="stable")
    in_order = sessions.iloc[order].reset_index(drop=True)
    latest = in_order.groupby("station").departure.cummax()
    known = latest.groupby(in_order.station).ffill()  # where a departure is missing
    earlier = known.groupby(in_order.station).shift()
    back = np.argsort(order, kind="stable")
    return earlier.iloc[back].set_axis(sessions.index)


def _most_kwh(sessions, p_kw):
    """Energy that each charger can give in the stay; without a power there is no limit."""
    if p_kw is None:
        return np.full(len(sessions), np.inf)
    power = checked("p_kw", p_kw, "kW", gt=0)
    if np.shape(power) not in ((), (len(sessions),)):
        raise ValueError(f"p_kw has shape {np.shape(power)}; there are {len(sessions)} sessions")
    return power * stay_h(sessions).to_numpy()


def _faults(sessions, most_kwh):
    """What is wrong with sessions, by their places in the table: the first fault of each."""
    arrival = sessions.arrival.array
    departure = sessions.departure.array
    hours = stay_h(sessions).to_numpy()
    energy = energy_kwh(sessions)
    taken_until = _busy_until(sessions)
    faults: dict[int, str] = {}
    for i in np.flatnonzero(np.isnan(hours)).tolist():
        faults.setdefault(i, "has no arrival or no departure")
    for i in np.flatnonzero(hours <= 0).tolist():
        times = f"departs {departure[i]} and arrives {arrival[i]}"
        faults.setdefault(i, f"{times}; a departure must come after the arrival")
    for i in np.flatnonzero(~((energy >= 0) & (energy <= LARGEST))).tolist():
        given = f"has delivered_kwh = {energy[i]:g}"
        faults.setdefault(i, f"{given}; it must be a number, 0 or more, and at most {LARGEST:g}")
    for i in np.flatnonzero(energy > most_kwh + _EPS).tolist():
        most = f"its charger gives at most {most_kwh[i]:.2f} kWh in the {hours[i]:.2f} h it stayed"
        faults.setdefault(i, f"took {energy[i]:g} kWh, and {most}")
    for i in np.flatnonzero(taken_until > sessions.arrival).tolist():
        station = f"arrives {arrival[i]} at station {sessions.station.iloc[i]}"
        faults.setdefault(i, f"{station}, which is taken until {taken_until.iloc[i]}")
    return faults


def _refused(sessions, p_kw):
    """A sentence for each session that is impossible, by its place in the table."""
    faults = _faults(sessions, _most_kwh(sessions, p_kw))
    return {place: f"session {sessions.index[place]} {faults[place]}" for place in sorted(faults)}


def and_more(count, what):
    """How many more are wrong, in words."""
    if count == 0:
        return ""
    if count == 1:
        return f" (1 more {what} is invalid)"
    return f" ({count} more {what}s are invalid)"


def _first_of(refused):
    """The first of these sentences, and how many more there are."""
    first, *others = refused.values()
    return f"{first}{and_more(len(others), 'session')}"


def refuse_impossible(name, sessions, p_kw=None):
    """Refuse a table in which a session is impossible."""
    refused = _refused(sessions, p_kw)
    if refused:
        raise ValueError(f"{name}: {_first_of(refused)}")


def _possible(sessions, p_kw):
    """The sessions without those that are impossible, of which `attrs` tells."""
    refused = _refused(sessions, p_kw)
    kept = sessions[~np.isin(np.arange(len(sessions)), list(refused))]
    if kept.empty:
        raise ValueError(f"sessions has no session left: {_first_of(refused)}")
    kept.attrs = {**sessions.attrs, "refused": list(refused.values())}
    return kept


def check_sessions(
    sessions: pd.DataFrame, p_kw: ArrayLike | None = None, *, drop: bool = False
) -> pd.DataFrame:
    """Return the sessions if all of them are possible, or say what is wrong.

    Parameters
    ----------
    sessions : DataFrame
        Sessions as from `data.sessions`: `arrival` and `departure` (time stamps),
        `delivered_kwh` (at least 0). With a column `station`, sessions must not overlap there.
        Without it, or where it is empty, each session is a car, and a plug, of its own.
    p_kw : float or array, shape (sessions,), optional
        Power of the charger; without it the energy is not compared with the stay [kW].
    drop : bool
        True leaves out what is wrong, instead of refusing it. Of two sessions that overlap the
        later goes.

    Returns
    -------
    DataFrame
        The table itself, or with `drop` the rows that are left; then `attrs["refused"]` lists a
        sentence for each row that was left out.

    Raises
    ------
    TypeError
        If `sessions` is no DataFrame, or `drop` neither True nor False.
    ValueError
        If there is no session, a column is missing or of a wrong kind, or `p_kw` is no power;
        without `drop` also if a session is impossible.

    Examples
    --------
    >>> sessions = pd.DataFrame({
    ...     "arrival": pd.to_datetime(["2025-05-05 08:00", "2025-05-05 09:00"]),
    ...     "departure": pd.to_datetime(["2025-05-05 16:00", "2025-05-05 10:00"]),
    ...     "delivered_kwh": [12.0, 20.0],
    ... })
    >>> good = check_sessions(sessions, 8.0, drop=True)
    >>> len(good), good.attrs["refused"][0][:38]
    (1, 'session 1 took 20 kWh, and its charger')
    """
    refuse_table("sessions", sessions)
    flag("drop", drop)
    if drop:
        return _possible(sessions, p_kw)
    refuse_impossible("sessions", sessions, p_kw)
    return sessions


# ------------------------------------------------------------------------- counting the plugged


def clock(times):
    """Time stamps as the clock on the wall shows them."""
    return times.dt.tz_localize(None)


def recorded_days(name, sessions):
    """Midnights on the clock from the first arrival to the last.

    Months without any session are gaps in the record, not days on which nobody came.
    """
    arrival = clock(sessions.arrival)
    first = arrival.min().normalize()
    last = arrival.max().normalize()
    if (last - first).days > _MOST_DAYS:
        raise ValueError(
            f"{name} begins on {first:%Y-%m-%d} and ends on {last:%Y-%m-%d}, more than a century "
            "later; is a date wrong?"
        )
    days = pd.date_range(first, last)
    recorded_months = arrival.dt.to_period("M").unique()
    return days[days.to_period("M").isin(recorded_months)]


def _midnight(day, zone):
    """Midnight; in some zones the clock changes then."""
    return day.tz_localize(zone, nonexistent="shift_forward", ambiguous=True)


def _steps_of(days, zone, dt_min):
    """Starts of all steps from the first day to the last; a day may have 23 or 25 hours."""
    start = _midnight(days[0], zone)
    end = _midnight(days[-1] + pd.Timedelta(days=1), zone)
    return pd.date_range(start, end, freq=pd.Timedelta(minutes=dt_min), inclusive="left")


def in_each_step(first, last, steps, weight=None):
    """How many cars are there in each step, or the sum of their weights.

    A car is there from its step `first` until before its step `last`, both at least 0 and whole.
    """
    come = np.bincount(np.minimum(first, steps), weights=weight, minlength=steps + 1)
    go = np.bincount(np.minimum(last, steps), weights=weight, minlength=steps + 1)
    return np.cumsum(come[:steps] - go[:steps])


def plugged(name, sessions, dt_min):
    """How many cars are at the plug throughout each step, as a Series by the steps' starts.

    A car counts in the steps that it stays from beginning to end: one that comes or goes within a
    step cannot promise it. Months without a session are left out.

    Steps follow real time, not the clock on the wall: where the clock changes, a day has 92 or 100
    quarter hours. Power is promised, and energy is sold, for hours that pass; and a car that is
    there through the hour that the clock shows twice is there for two hours.
    """
    days = recorded_days(name, sessions)
    time = _steps_of(days, sessions.arrival.dt.tz, dt_min)
    step = pd.Timedelta(minutes=dt_min)
    first = np.ceil((sessions.arrival - time[0]).to_numpy() / step - _EPS).astype(int)
    last = np.floor((sessions.departure - time[0]).to_numpy() / step + _EPS).astype(int)
    count = in_each_step(first, np.maximum(first, last), len(time))
    recorded = time.tz_localize(None).normalize().isin(days)
    return pd.Series(count, index=time, name="plugged")[recorded]
