"""Prices, sessions and tariffs.

Every hour accounted for, known events found, and what a frame says about itself is true.
"""

import datetime
import functools
import gzip
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from v2gbook import data

FOLDER = Path(data.__file__).parent
ERCOT = [name for name in data.markets() if name.startswith("ercot")]
YEARS = [(market, year) for market in ERCOT for year in (2021, 2022)] + [
    ("netherlands", year) for year in range(2015, 2025)
]
MISSING = {
    2015: "2015-01-01 00:00",
    2023: "2023-12-31 00:00",
    2024: "2024-12-31 00:00",
}  # local hours, in Dutch time
ZONES = {"ercot": "America/Chicago", "netherlands": "Europe/Amsterdam"}
SESSIONS = {"caltech": 9802, "jpl": 17605}
TARIFFS = {
    path.stem: tomllib.loads(path.read_text(encoding="utf-8"))
    for path in sorted((FOLDER / "tariffs").glob("*.toml"))
}


def year_of(market, year):
    return data.prices(market, f"{year}-01-01", f"{year + 1}-01-01")


def number(words, text):
    """The number that stands before some words of a sentence."""
    return int(re.search(rf"([\d,]+) {words}", text)[1].replace(",", ""))


# ------------------------------------------------------------------------------------------- prices


@pytest.mark.parametrize(("market", "year"), YEARS)
def test_every_hour_of_a_year_is_there_or_accounted_for(market, year):
    frame = year_of(market, year)
    hours = 8784 if year % 4 == 0 else 8760
    missing = 1 if market == "netherlands" and year in MISSING else 0
    assert len(frame) == hours - missing
    dropped = frame.attrs["dropped"]
    if missing:
        assert dropped.startswith(
            f"Of {hours:,} hours, 1 is missing from the source ({MISSING[year]})."
        )
        assert pd.Timestamp(MISSING[year]) not in frame.index.tz_localize(None)
    else:
        assert dropped.startswith(f"None of {hours:,} hours is missing.")


@pytest.mark.parametrize("market", data.markets())
def test_time_runs_forward_in_local_hours_with_short_and_long_days(market):
    frame = data.prices(market)
    zone = ZONES[market.split("_")[0]]
    assert frame.index.name == "time"
    assert str(frame.index.tz) == zone
    assert list(frame.columns) == ["price_per_mwh"]
    assert frame.price_per_mwh.dtype == float
    assert frame.index.is_monotonic_increasing
    assert frame.index.is_unique
    assert np.isfinite(frame.price_per_mwh).all()
    per_day = frame.groupby(frame.index.date).size()
    odd = per_day[per_day != 24]
    days = pd.date_range(
        frame.index[0].normalize(), frame.index[-1].normalize() + pd.DateOffset(days=1), tz=zone
    )
    true = pd.Series(
        np.diff(days.tz_convert("UTC").as_unit("s").asi8) // 3600, index=days[:-1].date
    )
    lost = (
        {datetime.date.fromisoformat(text[:10]) for text in MISSING.values()}
        if market == "netherlands"
        else set()
    )
    assert len(per_day) == len(true)
    assert {day: size for day, size in odd.items() if day not in lost} == true[true != 24].to_dict()
    assert sorted(set(true)) == [23, 24, 25]
    assert all(per_day[day] == 23 for day in lost)


def test_a_spring_day_skips_an_hour_and_an_autumn_day_repeats_one():
    spring = data.prices("ercot_hb_north", "2021-03-14", "2021-03-15")
    autumn = data.prices("ercot_hb_houston", "2021-11-07", "2021-11-08")
    assert list(spring.index.hour[:4]) == [0, 1, 3, 4]
    assert len(spring) == 23
    assert list(autumn.index.hour[:4]) == [0, 1, 1, 2]
    assert len(autumn) == 25
    assert list(autumn.price_per_mwh[:4]) == [
        30.33,
        24.75,
        28.14,
        28.83,
    ]  # as ERCOT published them: N, N, Y, N
    assert [t.utcoffset().total_seconds() / 3600 for t in autumn.index[1:3]] == [-5, -6]
    assert list(data.prices("netherlands", "2022-10-30", "2022-10-31").index.hour[:5]) == [
        0,
        1,
        2,
        2,
        3,
    ]


@pytest.mark.parametrize("market", ERCOT)
def test_winter_storm_uri(market):
    year = year_of(market, 2021).price_per_mwh
    peak = year.groupby(year.index.date).max()
    assert list(peak[peak > 2500].index) == [
        datetime.date(2021, 2, day) for day in range(14, 20)
    ]  # 13 February stayed at 2,000
    # The offer cap of that time.
    assert peak.idxmax() == datetime.date(2021, 2, 17)
    assert peak.max() == pytest.approx(9000, rel=0.004)
    assert peak[datetime.date(2021, 2, 15) : datetime.date(2021, 2, 19)].min() > 7800
    at_cap = year[year > 8990]
    assert set(at_cap.index.date) == {datetime.date(2021, 2, 17)}
    assert len(at_cap) >= 3
    assert year_of(market, 2022).price_per_mwh.max() < 2600
    assert peak[datetime.date(2021, 2, 20)] <= 300


def test_negative_prices_are_where_the_wind_is():
    negative = {
        market: [int((year_of(market, year).price_per_mwh < 0).sum()) for year in (2021, 2022)]
        for market in ERCOT
    }
    assert negative == {
        "ercot_hb_houston": [0, 0],
        "ercot_hb_north": [0, 0],
        "ercot_hb_west": [281, 431],
        "ercot_lz_houston": [0, 0],
        "ercot_lz_west": [184, 223],
    }


def test_negative_hours_and_yearly_means_in_the_netherlands():
    frame = data.prices("netherlands")
    by_year = frame.price_per_mwh.groupby(frame.index.year)
    negative = by_year.apply(lambda price: int((price < 0).sum()))
    assert negative.to_dict() == dict.fromkeys(range(2015, 2019), 0) | {
        2019: 3,
        2020: 97,
        2021: 70,
        2022: 85,
        2023: 316,
        2024: 458,
    }
    mean = by_year.mean()
    expected = {
        2015: 40.1,
        2016: 32.2,
        2017: 39.3,
        2018: 52.5,
        2019: 41.2,
        2020: 32.2,
        2021: 103.0,
        2022: 241.9,
        2023: 95.8,
        2024: 77.3,
    }
    assert mean.to_dict() == pytest.approx(expected, abs=0.06)
    assert mean[2022] > 5 * mean[2019]
    assert frame.price_per_mwh.idxmin().date() == datetime.date(2023, 7, 2)
    assert frame.price_per_mwh.min() == -500
    sunday = data.prices(
        "netherlands", "2023-07-02", "2023-07-03"
    ).price_per_mwh  # PZEM's market report: three hours at -500, baseload -89
    assert list(sunday.index.hour[sunday == -500]) == [13, 14, 15]
    assert round(sunday.mean()) == -89
    noon, evening = (
        frame.price_per_mwh["2024"][frame.index[frame.index.year == 2024].hour == hour].mean()
        for hour in (13, 19)
    )
    assert evening > 1.8 * noon  # day-first dates: the sun still shines at noon


def test_the_builders_facts_are_the_loaders_facts():
    facts = json.loads((FOLDER / "prices" / "facts.json").read_text(encoding="utf-8"))
    for market in ("ercot_hb_west", "netherlands"):
        frame, fact = data.prices(market), facts[market.split("_")[0]]
        zone = frame.index.tz
        full = pd.date_range(
            frame.index[0].normalize(),
            frame.index[-1].normalize() + pd.DateOffset(days=1),
            freq="h",
            inclusive="left",
        )
        gaps = full.difference(frame.index)
        assert list(gaps) == [pd.Timestamp(text).tz_convert(zone) for text in fact["missing_hours"]]
        text = frame.attrs["dropped"]
        assert all(f"{gap:%Y-%m-%d %H:%M}" in text for gap in gaps)
        if fact["repeated_rows"]:
            assert (
                number("hours", text),
                number("are missing", text),
                number("rows that repeat", text),
            ) == (len(full), 3, 6553)


def test_a_window_is_local_and_half_open():
    month = data.prices("ercot_lz_west", "2021-02-01", datetime.date(2021, 3, 1))
    assert len(month) == 28 * 24
    assert str(month.index[0]) == "2021-02-01 00:00:00-06:00"
    assert str(month.index[-1]) == "2021-02-28 23:00:00-06:00"
    assert (
        len(data.prices("ercot_lz_west", start="2022-12-31"))
        == len(data.prices("ercot_lz_west", end="2021-01-02"))
        == 24
    )
    before = data.prices("netherlands", end="2020-05-05")
    after = data.prices("netherlands", "2020-05-05")
    whole = data.prices("netherlands")
    assert before.index.append(after.index).equals(whole.index)


def test_what_a_price_frame_says():
    frame = data.prices("netherlands", "2014-12-30", "2015-01-02")
    assert list(frame.attrs) == ["market", "currency", "source", "dropped"]
    assert (frame.attrs["market"], frame.attrs["currency"]) == (
        "netherlands",
        "EUR",
    )
    assert "ENTSO-E" in frame.attrs["source"]
    text = frame.attrs["dropped"]
    assert (
        "Of 72 hours, 1 is missing from the source (2015-01-01 00:00) and 48 are outside the file"
        in text
    )
    assert text.endswith(".")
    assert "2015-01-01 to 2024-12-31" in text
    assert len(frame) == 72 - 1 - 48
    texas = data.prices("ercot_hb_houston", "2021-03-14", "2021-03-15").attrs
    assert texas["currency"] == "USD"
    assert "ERCOT" in texas["source"]
    assert texas["dropped"] == "None of 23 hours is missing."


# ----------------------------------------------------------------------------------------- sessions


@pytest.fixture(scope="module")
def raw():
    """The stored files, read without the loader."""
    frames = {}
    for site in data.sites():
        frames[site] = pd.read_csv(FOLDER / "sessions" / f"{site}.csv.gz", dtype={"station": str})
        for name in ("arrival", "departure", "estimated_departure"):
            utc = pd.to_datetime(frames[site].pop(f"{name}_utc"), format="%Y%m%dT%H%M%SZ", utc=True)
            frames[site][name] = utc.dt.tz_convert("America/Los_Angeles")
    return frames


def test_the_store_holds_every_session(raw):
    assert {site: len(frame) for site, frame in raw.items()} == SESSIONS
    assert sum(SESSIONS.values()) == 27_407
    every = pd.concat(raw.values())
    assert not every.duplicated().any()
    assert every.notna().all(axis=None)
    month = every.arrival.dt.strftime("%Y-%m").value_counts()
    assert month["2020-02"] == 2249
    assert month["2020-04"] == 225
    spans = {2019: range(5, 13), 2020: range(2, 6), 2021: range(5, 9)}
    assert sorted(month.index) == [
        f"{year}-{number:02}" for year, numbers in spans.items() for number in numbers
    ]


@pytest.mark.parametrize("site", data.sites())
def test_sessions_are_sane(site):
    frame = data.sessions(site)
    assert list(frame.columns) == [
        "arrival",
        "departure",
        "estimated_departure",
        "requested_kwh",
        "delivered_kwh",
        "station",
    ]
    assert all(
        str(frame[name].dt.tz) == "America/Los_Angeles"
        for name in ("arrival", "departure", "estimated_departure")
    )
    assert isinstance(frame.index, pd.RangeIndex)
    assert frame.index.start == 0
    assert frame.arrival.is_monotonic_increasing
    assert frame.notna().all(axis=None)
    assert (frame.delivered_kwh >= 0.5).all()
    assert (frame.requested_kwh >= 0).all()
    assert (frame.arrival < frame.departure).all()
    assert (frame.arrival < frame.estimated_departure).all()
    stay_h = (frame.departure - frame.arrival).dt.total_seconds() / 3600
    assert stay_h.between(5 / 60, 48).all()
    assert 4 < stay_h.median() < 9
    fast = frame.station == "11900388"
    power_kw = frame.delivered_kwh / stay_h
    assert power_kw[~fast].max() <= 8
    assert fast.any() == (site == "caltech")
    assert (power_kw[fast] <= 50).all()
    assert frame.station.map(type).eq(str).all()
    # Workplaces, so local time is right.
    assert 6 < (frame.arrival.dt.hour + frame.arrival.dt.minute / 60).median() < 14


@pytest.mark.parametrize("site", data.sites())
def test_what_was_dropped_is_what_is_missing(site, raw):
    all_of_it, kept = raw[site], data.sessions(site)
    text = kept.attrs["dropped"]
    gone = all_of_it.merge(kept, how="left", indicator=True).query("_merge == 'left_only'")
    stay_h = (gone.departure - gone.arrival).dt.total_seconds() / 3600
    short, long = stay_h < 5 / 60, stay_h > 48
    assert len(gone) == len(all_of_it) - len(kept) == number("of", text)
    assert number("sessions dropped", text) == len(all_of_it)
    said = {why: int(count) for why, count in re.findall(r"([a-z][\w ]+): (\d+)", text)}
    assert said == {
        "stay above 48 hours": long.sum(),
        "stay below 5 minutes": short.sum(),
        "more energy than the station can deliver in the stay": (~short & ~long).sum(),
    }
    assert (
        said
        == {
            "caltech": {
                "stay above 48 hours": 16,
                "stay below 5 minutes": 7,
                "more energy than the station can deliver in the stay": 1,
            },
            "jpl": {
                "stay above 48 hours": 8,
                "stay below 5 minutes": 3,
                "more energy than the station can deliver in the stay": 4,
            },
        }[site]
    )
    assert text.endswith("The source has no session in 2020-01, 2020-06 to 2021-04.")


def test_unclaimed_sessions_copy_departure_and_energy(raw):
    for frame in raw.values():
        alone = frame.claimed == 0
        assert ((frame.estimated_departure == frame.departure) == alone).all()
        assert (frame.requested_kwh == frame.delivered_kwh)[alone].all()
    assert raw["caltech"].claimed.eq(0).mean() == pytest.approx(0.15, abs=0.005)


def test_session_windows():
    february = {site: data.sessions(site, "2020-02-01", "2020-03-01") for site in data.sites()}
    assert {site: len(frame) for site, frame in february.items()} == {"caltech": 845, "jpl": 1402}
    assert (
        february["caltech"].attrs["dropped"]
        == "2 of 847 sessions dropped (stay above 48 hours: 2)."
    )
    assert february["jpl"].attrs["dropped"] == "0 of 1,402 sessions dropped."
    assert february["jpl"].index[-1] == 1401
    assert set(february["jpl"].arrival.dt.month) == {2}
    pandemic = data.sessions("caltech", "2020-05-01", "2021-06-01").attrs
    assert pandemic["dropped"].endswith("The source has no session in 2020-06 to 2021-04.")
    assert list(pandemic) == ["site", "licence", "source", "dropped"]
    assert pandemic["licence"] == "CC BY 4.0"
    assert "ACN-Data" in pandemic["source"]


# --------------------------------------------------------------------------- refusals and the cache


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: data.prices("texas"),
            "market is 'texas'; it must be one of 'ercot_hb_houston', .*, 'netherlands'",
        ),
        (lambda: data.prices(["netherlands"]), "market is a list"),
        (lambda: data.sessions("mit"), "site is 'mit'; it must be one of 'caltech', 'jpl'"),
        (lambda: data.sessions(None), "site is None"),
        (
            lambda: data.prices("ercot_hb_west", "2023-01-01", "2023-02-01"),
            "from 2021-01-01 to 2022-12-31, but none in the window from start = 2023-01-01",
        ),
        (lambda: data.prices("ercot_hb_west", end="2021-01-01"), "prices from 2021-01-01"),
        (lambda: data.prices("netherlands", "2025-01-01"), "2015-01-01 to 2024-12-31"),
        (
            lambda: data.prices("netherlands", "2020-02-02", "2020-02-02"),
            "none in the window from start = 2020-02-02",
        ),
        (lambda: data.prices("netherlands", "2020-02-02", "2020-02-01"), "none in the window"),
        (
            lambda: data.prices("netherlands", "soon"),
            "start is 'soon'; it must be a local date such as \"2021-02-01\"",
        ),
        (lambda: data.prices("netherlands", end=2020), "end is 2020"),
        (lambda: data.prices("netherlands", "NaT"), "start is 'NaT'"),
        (lambda: data.prices("netherlands", "2020-01-01 05:00"), "local date"),
        (lambda: data.prices("netherlands", pd.Timestamp("2020-01-01", tz="UTC")), "local date"),
        (
            lambda: data.sessions("jpl", "2020-06-01", "2021-05-01"),
            "jpl has sessions from 2019-05-01 to 2021-08-31, but none",
        ),
        (lambda: data.sessions("caltech", "2020-01-01", "2020-02-01"), "none in the window"),
        (lambda: data.sessions("jpl", "2019-13-01"), "start is '2019-13-01'"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(("load", "name"), [(data.prices, "ercot_hb_west"), (data.sessions, "jpl")])
def test_a_changed_frame_does_not_reach_the_cache(load, name):
    load = functools.partial(load, name, start="2021-06-01", end="2021-07-01")
    first, again = load(), load()
    first.iloc[:, 0] = first.iloc[0, 0]
    del first[first.columns[-1]]
    first.attrs["dropped"] = "nothing"
    first["new"] = 0
    pd.testing.assert_frame_equal(load(), again)
    assert load().attrs == again.attrs


def test_lists_of_names_are_new_each_time():
    data.markets().clear()
    data.sites().clear()
    assert len(data.markets()) == 6
    assert len(data.sites()) == 2


def test_a_damaged_price_file_is_refused():
    good = data.prices("ercot_hb_west", "2021-01-01", "2021-01-03")
    assert data._hourly(good, "x") is good
    nan, late = good.copy(), good.copy()
    nan.iloc[3] = np.nan
    late.index = late.index + pd.Timedelta(minutes=5)
    for bad, words in (
        (pd.concat([good[:5], good[4:]]), "repeat"),
        (good[::-1], "out of order"),
        (nan, "NaN"),
        (late, "on the hour"),
        (good.replace(good.iloc[0, 0], np.inf), "infinite"),
    ):
        with pytest.raises(ValueError, match=words):
            data._hourly(bad, "x")


def test_a_session_with_no_usable_row_is_refused(monkeypatch):
    empty = data._session_file("jpl").assign(why="stay below 5 minutes")
    monkeypatch.setattr(data, "_session_file", lambda site: empty)
    with pytest.raises(ValueError, match="none of the 201 sessions of jpl"):
        data.sessions("jpl", "2020-04-01", "2020-05-01")


def test_importing_the_package_alone_does_not_read_data():
    code = "import sys, v2gbook; sys.exit('pandas' in sys.modules or 'v2gbook.data' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_store_is_small_stable_and_says_nothing_of_the_machine():
    files = [
        path
        for kind in ("prices", "sessions", "tariffs")
        for path in (FOLDER / kind).iterdir()
        if path.is_file()
    ]
    assert sum(path.stat().st_size for path in files) < 1_300_000
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".gz":
            assert content[3] == 0  # no file name
            assert content[4:8] == bytes(4)  # no time stamp
            content = gzip.decompress(content)
        assert b"\r" not in content
        assert content.endswith(b"\n")
        assert b"http" not in content


# ------------------------------------------------------------------------------------------ tariffs


def price_at(tariff, month, weekend, hour):
    """The first matching rule, and how many match."""
    days = {"all", "weekends" if weekend else "weekdays"}
    found = [
        rule
        for rule in tariff["energy"]
        if month in rule["months"]
        and rule["days"] in days
        and rule["from_h"] <= hour < rule["to_h"]
    ]
    return (found[0]["price_per_kwh"] if found else None), len(found)


@pytest.mark.parametrize("name", TARIFFS)
def test_a_tariff_covers_every_quarter_of_an_hour_once(name):
    tariff = TARIFFS[name]
    assert (
        tariff["currency"],
        tariff["timezone"],
        tariff["interval_min"],
        tariff["fixed_per_month"],
    ) == ("USD", "America/Los_Angeles", 15, 0.0)
    assert "acnportal 0.3.3 (BSD-3)" in tariff["source"]
    assert "2019" in tariff["name"] + tariff["source"]
    for month in range(1, 13):
        for weekend in (False, True):
            assert {price_at(tariff, month, weekend, quarter / 4)[1] for quarter in range(96)} == {
                1
            }
    assert sorted(month for rule in tariff["demand"] for month in rule["months"]) == list(
        range(1, 13)
    )
    for rule in tariff["energy"] + tariff["demand"]:
        assert rule["days"] in ("weekdays", "weekends", "all")
        assert 0 <= rule["from_h"] < rule["to_h"] <= 24


def test_three_tariffs_and_their_prices():
    assert list(TARIFFS) == ["pge_a10_tou", "sce_tou_ev_4", "sce_tou_ev_8"]
    for name, month, weekend, hour, price in [
        ("sce_tou_ev_4", 7, False, 14, 0.26668),
        ("sce_tou_ev_4", 7, True, 14, 0.05623),
        ("sce_tou_ev_4", 1, False, 23.5, 0.06087),
        ("sce_tou_ev_4", 5, False, 17.75, 0.0869),
        ("sce_tou_ev_8", 9, False, 20.75, 0.49619),
        ("sce_tou_ev_8", 6, True, 16, 0.25563),
        ("sce_tou_ev_8", 10, True, 8, 0.07724),
        ("sce_tou_ev_8", 2, False, 7.75, 0.13568),
        ("pge_a10_tou", 5, False, 12, 0.23223),
        ("pge_a10_tou", 10, True, 12, 0.14903),
        ("pge_a10_tou", 4, False, 8.5, 0.1477),
        ("pge_a10_tou", 11, True, 12, 0.1477),
    ]:
        assert price_at(TARIFFS[name], month, weekend, hour)[0] == price
    demand = {
        name: [(rule["price_per_kw_month"], len(rule["months"])) for rule in tariff["demand"]]
        for name, tariff in TARIFFS.items()
    }
    assert demand == {
        "sce_tou_ev_4": [(15.51, 12)],
        "sce_tou_ev_8": [(0.0, 12)],
        "pge_a10_tou": [(19.99, 6), (11.66, 6)],
    }
