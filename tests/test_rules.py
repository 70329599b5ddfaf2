"""Topic 13: published cases by id, rules that open and close, statements of many payers, baselines
by hand, queues against closed forms, refusals in words, invariants."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import case
from scipy.stats import binom

from v2gbook import rules as module
from v2gbook.rules import (
    Aggregation,
    CarService,
    Contract,
    Duty,
    Market,
    Queue,
    behind_year,
    building,
    cars_needed,
    double_counts,
    eligible,
    erlang_wait,
    high_5_of_10,
    market,
    market_year,
    markets,
    meter_value,
    metering,
    orders,
    pollaczek_wait,
    regression_baseline,
    share_range,
    simulate_queue,
    split_value,
    usable_share,
)

RULES = Path(module.__file__).parent / "data" / "rules"
few = settings(deadline=None, max_examples=25)


# -------------------------------------------------------------------------------- who may sell what

FLEET = Aggregation(
    power_kw=2000.0, largest_site_kw=50.0, sells=("energy", "regulation"), telemetry_s=0.05
)


def test_every_rule_file_can_be_read_and_says_where_it_comes_from():
    assert markets() == [
        "caiso",
        "ercot_ader",
        "fcr_continental",
        "ferc_2222",
        "gb_dc",
        "nordic",
        "pjm",
    ]
    assert markets("Europe") == ["fcr_continental", "nordic"]
    assert markets("Great Britain") == ["gb_dc"]
    with pytest.raises(ValueError, match="region is 'Mars'; it must be one of 'Europe'"):
        markets("Mars")
    for name in markets():
        rules = market(name)
        assert rules.currency in ("USD", "EUR", "GBP")
        assert rules.date.year >= 2016
        assert len(rules.story) > 40
        for rule in rules.rules:
            assert rule["source"]
            assert rule["says"]
            assert rule["confidence"] in ("read", "from memory", "chosen")
        for product in rules.products:
            assert product.source
            assert product.up or product.down
            assert product.confidence in ("read", "from memory", "chosen")
            if "from memory" in product.source:
                assert product.bid_step_mw > 0
    assert "1 October 2025" in market("pjm").story
    assert "from memory" in market("pjm").story
    assert "do not bind ERCOT" in market("ercot_ader").story
    facts = {path.name for path in RULES.glob("*.toml")}
    told = (RULES.parent / "SOURCES.md").read_text(encoding="utf-8")
    assert all(f"`rules/{name}`" in told for name in facts)


@pytest.mark.parametrize(
    "name", ["caiso", "ferc_2222", "gb_dc", "nordic", "fcr_continental", "pjm"]
)
def test_a_clean_aggregation_may_sell(name):
    assert eligible(FLEET, market(name)) == []


@pytest.mark.parametrize(
    "name, change, says",
    [
        ("ferc_2222", {"power_kw": 99.9}, "may not be above 100 kW; here power_kw is 99.9."),
        (
            "ferc_2222",
            {"small_utility": True},
            "only if its regulator opts in; here opted_in is no (from memory).",
        ),
        (
            "ferc_2222",
            {"aggregators_per_der": 2},
            "belongs to one aggregation at a time; here aggregators_per_der is 2 (from memory).",
        ),
        (
            "ercot_ader",
            {"sells": ("energy",), "largest_site_kw": 1200.0},
            "no premise responds with more than 1 MW; here largest_site_kw is 1200.",
        ),
        (
            "ercot_ader",
            {"sells": ("energy",), "load_zones": 2},
            "one load zone; here load_zones is 2.",
        ),
        (
            "ercot_ader",
            {"sells": ("energy",), "suppliers": 2},
            "the same supplier; here suppliers is 2.",
        ),
        (
            "ercot_ader",
            {},
            "regulation is not among its services; here sells is energy, regulation (from memory).",
        ),
        (
            "pjm",
            {"net_metered": True, "sub_metered": True},
            "sells ancillary services only; what it feeds in already earns the retail rate",
        ),
        (
            "pjm",
            {"net_metered": True, "sells": ("regulation",)},
            "with a meter of its own; here sub_metered is no.",
        ),
        ("caiso", {"telemetry_s": 60.0}, "every 4 seconds; here telemetry_s is 60 (from memory)."),
        ("gb_dc", {"telemetry_s": 1.0}, "20 times a second; here telemetry_s is 1."),
        ("nordic", {"power_kw": 60.0}, "0.1 MW"),
        ("fcr_continental", {"power_kw": 900.0}, "the smallest bid is 1 MW"),
    ],
)
def test_each_broken_rule_is_one_sentence(name, change, says):
    broken = eligible(replace(FLEET, **change), market(name))
    assert len(broken) == 1
    assert says in broken[0]
    assert broken[0].startswith(market(name).name)
    assert broken[0].endswith(".")


def test_conditions_open_and_close_rules():
    assert eligible(replace(FLEET, pricing_nodes=3), market("pjm")) == []
    assert eligible(replace(FLEET, small_utility=True, opted_in=True), market("ferc_2222")) == []
    assert (
        eligible(
            replace(FLEET, net_metered=True, sub_metered=True, sells=("regulation",)), market("pjm")
        )
        == []
    )
    assert eligible(replace(FLEET, telemetry_s=60.0, sells=("energy",)), market("caiso")) == []
    assert eligible(replace(FLEET, power_kw=100.0), market("ferc_2222")) == [], (
        "exactly at the minimum"
    )
    assert (
        len(
            eligible(
                Aggregation(
                    power_kw=50.0,
                    largest_site_kw=50.0,
                    sells=("energy",),
                    load_zones=3,
                    suppliers=2,
                ),
                market("ercot_ader"),
            )
        )
        == 3
    )


def test_a10_cars_for_a_hundred_kilowatt():
    inputs, expected = case("A10")
    minimum = next(
        rule["value"] for rule in market("ferc_2222").rules if rule["field"] == "power_kw"
    )
    need = cars_needed(minimum, inputs["kW"], inputs["p"])
    assert (need.n_present, need.n_cars, need.n_cars_by_mean) == (
        expected["need_present"],
        expected["N"],
        expected["N_mean_based"],
    )


@given(st.integers(1, 60), st.floats(0.05, 0.95), st.floats(0.5, 0.999))
@few
def test_cars_needed_against_scipys_binomial(present, p, reliability):
    need = cars_needed(present * 7.0, 7.0, p, reliability)
    assert need.n_present == present
    assert binom.sf(present - 1, need.n_cars, p) >= reliability - 1e-12
    assert need.n_cars == present or binom.sf(present - 1, need.n_cars - 1, p) < reliability + 1e-12
    assert need.n_cars_by_mean == math.ceil(present / p - 1e-9)


def test_cars_needed_default_is_ninety_per_cent():
    assert cars_needed(100.0, 7.2, 0.5) == cars_needed(100.0, 7.2, 0.5, 0.9)
    assert cars_needed(1e-12, 7.2, 0.5).n_present == 1, "a small offer takes a car, too"
    assert cars_needed(21 * 7.2, 7.2, 0.7).n_present == 21
    assert cars_needed(21 * 7.2, 7.2, 0.7).n_cars_by_mean == 30, "rounding adds no car"
    rare = cars_needed(500.0, 1.0, 0.1, 0.99999).n_cars
    assert binom.sf(499, rare, 0.1) >= 0.99999 > binom.sf(499, rare - 1, 0.1)
    assert cars_needed(7.3, 7.2, 0.9).n_present == 2
    assert cars_needed(21.0, 7.0, 0.5).n_present == 3


# ----------------------------------------------------------------------------------------- metering


def test_behind_and_in_front_of_the_meter():
    value = meter_value(
        [5.0, 0.0, 20.0],
        [10.0, 10.0, 10.0],
        0.5,
        retail_per_kwh=0.3,
        export_per_kwh=0.05,
        wholesale_per_kwh=0.1,
    )
    assert value.behind == pytest.approx(0.5 * (5 * 0.3 + 5 * 0.05 + 10 * 0.05 + 10 * 0.3))
    assert value.front == pytest.approx(1.5)
    solar = meter_value(
        [-4.0, -4.0],
        [3.0, -6.0],
        1.0,
        retail_per_kwh=0.3,
        export_per_kwh=0.05,
        wholesale_per_kwh=np.array([0.1, 0.2]),
    )
    assert solar.behind == pytest.approx(3 * 0.05 - 4 * 0.05 - 2 * 0.3)
    assert solar.front == pytest.approx(0.3 - 1.2)


@given(st.floats(0.01, 0.5))
@few
def test_with_one_price_the_boundary_does_not_matter(price):
    rng = np.random.default_rng(1)
    value = meter_value(
        rng.normal(0, 10, 50),
        rng.normal(0, 10, 50),
        0.25,
        retail_per_kwh=price,
        export_per_kwh=price,
        wholesale_per_kwh=price,
    )
    assert value.behind == pytest.approx(value.front)


START, DAYS = "2024-06-03", 42  # a Monday
SITE = building(START, DAYS, rng=np.random.default_rng(11))
HOURS = [16, 17, 18]


def days_of(first, count, weekday=True):
    return [day for day in pd.date_range(first, periods=count) if (day.day_of_week < 5) == weekday]


def gives(days, kw=30.0, clock_h=HOURS):
    car = pd.Series(0.0, index=SITE.index)
    for day in days:
        car[day + pd.to_timedelta(clock_h, unit="h")] = kw
    return car


def test_the_building_keeps_its_recipe():
    load, temp = SITE.load_kw, SITE.temp_c
    assert len(SITE) == 24 * DAYS
    assert SITE.index[0] == pd.Timestamp(START)
    night, weekend = (SITE.index.hour < 8) | (SITE.index.hour >= 18), SITE.index.day_of_week >= 5
    assert load[night | weekend].mean() == pytest.approx(40, rel=0.01)
    assert load[night | weekend].std() == pytest.approx(1.2, rel=0.1)
    busy = ~(night | weekend)
    slope, level = np.polyfit(np.maximum(temp[busy] - 18, 0), load[busy], 1)
    assert slope == pytest.approx(2.5, abs=0.15)
    assert level == pytest.approx(100, abs=1.5)
    long = building(START, 3000, rng=np.random.default_rng(2)).temp_c
    daily = long.groupby(long.index.normalize()).mean()
    assert daily.mean() == pytest.approx(21, abs=0.3)
    assert daily.std() == pytest.approx(3, rel=0.05)
    assert daily.autocorr() == pytest.approx(0.7, abs=0.04)
    swing = long.groupby(long.index.hour).mean()
    assert swing.idxmax() == 15
    assert swing.max() - swing.min() == pytest.approx(12, abs=0.1)
    assert building(START, 5, rng=np.random.default_rng(11)).temp_c.groupby(
        lambda t: t.date()
    ).mean().iloc[0] == pytest.approx(21 + 3 * np.random.default_rng(11).standard_normal(5)[0])


def staircase(levels, hour_slope=0.0):
    """Flat days of given level, from a Monday on."""
    time = pd.date_range(START, periods=24 * len(levels), freq="h")
    return pd.Series(np.repeat(np.asarray(levels, float), 24) + hour_slope * time.hour, index=time)


def test_high_five_of_ten_by_hand():
    """Weekdays 1 to 14 (with weekends of 1000 between) and the event on the fifteenth; the ten last
    are 5..14, the five highest 10..14."""
    levels, weekday = [], 0
    for day in pd.date_range(START, periods=19):
        weekday += day.day_of_week < 5
        levels.append(weekday if day.day_of_week < 5 else 1000)
    meter, event = staircase(levels, 0.5), "2024-06-21"
    line = high_5_of_10(meter, event, [8, 9])
    assert line.tolist() == [12 + 4, 12 + 4.5]
    assert line.index.tolist() == [8, 9]
    assert line.name == "baseline_kw"
    assert high_5_of_10(meter, event, [8], event_days=["2024-06-20", "2024-06-19"]).tolist() == [
        10 + 4
    ], "event days do not count"
    assert high_5_of_10(meter, "2024-06-18", [8]).tolist() == [9 + 4], "nothing after the day"
    falling = staircase(
        [30 - day.day if day.day_of_week < 5 else 1000 for day in pd.date_range(START, periods=19)]
    )
    assert high_5_of_10(falling, event, [8])[8] == np.mean(
        [30 - day for day in (7, 10, 11, 12, 13)]
    ), "the eleventh day back is forgotten"
    with pytest.raises(
        ValueError, match="only 9 like days without an event lie before 2024-06-14; ten are needed"
    ):
        high_5_of_10(meter, "2024-06-14", [8])
    assert high_5_of_10(meter, "2024-06-17", [8]).tolist() == [8 + 4], "ten days are enough"


def test_highest_days_are_highest_in_the_hours_of_the_event():
    meter = staircase([10.0] * 19)
    loud = [
        "2024-06-07",
        "2024-06-10",
        "2024-06-12",
        "2024-06-13",
        "2024-06-14",
    ]  # at 16 o'clock, but quiet in the morning
    for day in loud:
        meter[f"{day} 00:00" : f"{day} 15:00"], meter[f"{day} 16:00" : f"{day} 17:00"] = 1.0, 20.0
    assert high_5_of_10(meter, "2024-06-21", [16, 17]).tolist() == [20.0, 20.0]
    assert high_5_of_10(meter, "2024-06-21", [9]).tolist() == [10.0]


def test_same_day_adjustment():
    meter = staircase([10.0] * 19)
    meter["2024-06-21 12:00":"2024-06-21 13:00"] = 11.0
    assert high_5_of_10(meter, "2024-06-21", [16], adjust_cap=0.2).tolist() == pytest.approx([11.0])
    assert high_5_of_10(meter, "2024-06-21", [15], adjust_cap=0.2).tolist() == pytest.approx(
        [10.5]
    ), "11 and 12 o'clock"
    assert high_5_of_10(meter, "2024-06-21", [17], adjust_cap=0.2).tolist() == pytest.approx(
        [10.5]
    ), "13 and 14 o'clock"
    assert high_5_of_10(meter, "2024-06-21", [16], adjust_cap=0.04).tolist() == pytest.approx(
        [10.4]
    )
    assert (
        high_5_of_10(meter, "2024-06-21", [16], adjust_cap=0.0).tolist()
        == [10.0]
        == high_5_of_10(meter, "2024-06-21", [16]).tolist()
    )
    meter["2024-06-21 12:00":"2024-06-21 13:00"] = 5.0
    assert high_5_of_10(meter, "2024-06-21", [16], adjust_cap=0.2).tolist() == pytest.approx([8.0])
    with pytest.raises(ValueError, match="clock_h begins at 3; an adjustment needs four hours"):
        high_5_of_10(meter, "2024-06-21", [3], adjust_cap=0.2)
    assert high_5_of_10(meter, "2024-06-21", [4], adjust_cap=0.2).tolist() == [10.0]


def test_weekends_are_compared_with_weekends():
    meter = staircase(
        [100 + 10 * (day.day_of_week >= 5) + day.day for day in pd.date_range(START, periods=42)]
    )
    event = "2024-07-13"  # a Saturday, the eleventh day of a weekend
    saturdays = [day for day in days_of(START, 42, weekday=False) if day < pd.Timestamp(event)]
    assert len(saturdays) == 10
    assert high_5_of_10(meter, event, [8])[8] == pytest.approx(
        np.mean(sorted(110 + day.day for day in saturdays)[-5:])
    )


def test_regression_against_polyfit():
    meter, temp = SITE.load_kw, SITE.temp_c
    event = pd.Timestamp("2024-07-10")
    out = days_of("2024-06-24", 3)
    line = regression_baseline(meter, temp, event, [10, 16], event_days=out)
    for hour in (10, 16):
        past = [
            day + pd.Timedelta(hours=hour)
            for day in days_of(START, 42)
            if day < event and day not in out
        ]
        slope, level = np.polyfit(np.maximum(temp[past] - 18, 0), meter[past], 1)
        assert line[hour] == pytest.approx(
            level + slope * max(temp[event + pd.Timedelta(hours=hour)] - 18, 0)
        )
    warmer = regression_baseline(meter, temp, event, [16], base_c=24.0)
    assert warmer[16] != pytest.approx(line[16], abs=0.1)
    assert line.index.name == "hour"
    assert line.name == "baseline_kw"
    with pytest.raises(
        ValueError, match="only 9 like days without an event lie before 2024-06-14; ten are needed"
    ):
        regression_baseline(meter, temp, "2024-06-14", [16])
    assert regression_baseline(meter, temp, "2024-06-17", [16])[16] > 0


def local_year(zone, year=2025):
    """Hours of a local year, with a day of 23 and one of 25; its load tells day and hour."""
    time = pd.date_range(f"{year}-01-01", f"{year + 1}-01-01", freq="h", tz=zone, inclusive="left")
    return pd.Series(time.day_of_year + 0.01 * time.hour, index=time)


@pytest.mark.parametrize("lost", ["2025-03-12 16:00", "2025-03-30 02:00"])
def test_a_missing_hour_in_march_does_not_refuse_a_baseline_in_december(lost):
    plain_year = local_year(None)
    whole = high_5_of_10(plain_year, "2025-12-10", [16, 17], adjust_cap=0.2)
    for gappy in (plain_year.drop(lost), plain_year.where(plain_year.index != lost)):
        with_gap = high_5_of_10(gappy, "2025-12-10", [16, 17], adjust_cap=0.2)
        pd.testing.assert_series_equal(with_gap, whole)


def test_a_missing_value_that_is_needed_is_named():
    meter = local_year(None)
    gap = meter.drop("2025-12-03 16:00")
    told = "meter_kw has no value on 2025-12-03 at 16 o'clock, which the baseline of 2025-12-10"
    with pytest.raises(ValueError, match=told):
        high_5_of_10(gap, "2025-12-10", [16])
    left_out = high_5_of_10(gap, "2025-12-10", [16], event_days=["2025-12-03"])
    assert left_out[16] == high_5_of_10(meter, "2025-12-10", [16], event_days=["2025-12-03"])[16]
    day = meter[meter.index.normalize() != "2025-12-04"]
    with pytest.raises(ValueError, match="meter_kw has no value on 2025-12-04 at 16 o'clock"):
        high_5_of_10(day, "2025-12-10", [16])
    morning = meter.drop("2025-12-10 12:00")
    assert high_5_of_10(morning, "2025-12-10", [16]).notna().all()
    with pytest.raises(ValueError, match="2025-12-10 at 12 o'clock, .* fill the gap$"):
        high_5_of_10(morning, "2025-12-10", [16], adjust_cap=0.2)


def test_regression_leaves_out_days_with_a_gap():
    event = "2024-07-10"
    gap = SITE.load_kw.drop(pd.Timestamp("2024-07-04 16:00"))
    line = regression_baseline(gap, SITE.temp_c, event, [10, 16])
    out = regression_baseline(SITE.load_kw, SITE.temp_c, event, [16], event_days=["2024-07-04"])
    assert line[16] == pytest.approx(out[16])
    assert line[10] == regression_baseline(SITE.load_kw, SITE.temp_c, event, [10])[10]
    cold = SITE.temp_c.drop(pd.Timestamp("2024-07-10 16:00"))
    with pytest.raises(ValueError, match="temp_c has no value on 2024-07-10 at 16 o'clock"):
        regression_baseline(SITE.load_kw, cold, event, [16])


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Los_Angeles", "Australia/Sydney"])
def test_local_years_have_days_of_23_and_25_hours(zone):
    meter, same_clock = local_year(zone), local_year(None)
    assert set(meter.groupby(meter.index.normalize()).size()) == {23, 24, 25}
    for day in ("2025-04-15", "2025-11-18", "2025-12-13"):
        line = high_5_of_10(meter, day, [1, 3, 16])
        assert line.tolist() == pytest.approx(high_5_of_10(same_clock, day, [1, 3, 16]).tolist())
    unlabelled = meter.set_axis(meter.index.tz_localize(None))
    assert high_5_of_10(unlabelled, "2025-12-13", [16]).notna().all()


def test_the_double_hour_of_autumn_is_averaged_and_the_lost_hour_of_spring_is_named():
    meter = local_year("Europe/Berlin")
    sunday = meter.index.normalize() == pd.Timestamp("2025-10-26", tz="Europe/Berlin")
    twice = meter.index[sunday & (meter.index.hour == 2)]
    assert len(twice) == 2
    spiky = meter.copy()
    spiky[twice] = [1000.0, 3000.0]
    line = high_5_of_10(spiky, "2025-11-02", [2])
    others = high_5_of_10(meter, "2025-11-02", [2])
    assert line[2] - others[2] > (2000 - 300) / 5
    with pytest.raises(ValueError, match="meter_kw has no value on 2025-03-30 at 2 o'clock"):
        high_5_of_10(meter, "2025-04-06", [2])
    assert high_5_of_10(meter, "2025-04-06", [2], event_days=["2025-03-30"]).notna().all()


def test_two_values_an_hour_by_day_are_refused():
    five, four = pd.Timestamp("2024-06-10 17:00"), pd.Timestamp("2024-06-10 16:00")
    double = SITE.load_kw.rename({five: four})
    with pytest.raises(ValueError, match="meter_kw has 2 values on 2024-06-10 at 16 o'clock"):
        high_5_of_10(double, "2024-07-01", [8])
    finer = pd.Series(1.0, index=pd.date_range(START, periods=4 * 24 * 30, freq="15min"))
    with pytest.raises(ValueError, match="meter_kw has 4 values on 2024-06-03 at 0 o'clock"):
        high_5_of_10(finer, "2024-06-28", [8])


def test_a_time_of_day_still_names_its_day():
    by_day = high_5_of_10(SITE.load_kw, "2024-07-01", [16], event_days=["2024-06-20"])
    stamped = high_5_of_10(
        SITE.load_kw,
        pd.Timestamp("2024-07-01 16:00"),
        [16],
        event_days=[np.datetime64("2024-06-20T16:00")],
    )
    assert stamped.tolist() == by_day.tolist()


def test_metering_in_local_time_with_a_gap_that_does_not_matter():
    """The same site and cars, with a time zone, and without one hour that nobody uses."""
    events = days_of("2024-06-24", 5)
    plain_time = metering(SITE, gives(events), events, HOURS, price_per_kwh=0.5)
    site = SITE.tz_localize("Europe/Berlin").drop(pd.Timestamp("2024-06-04 03:00+02:00"))
    cars = gives(events).tz_localize("Europe/Berlin")
    local = metering(site, cars, events, HOURS, price_per_kwh=0.5)
    pd.testing.assert_frame_equal(local, plain_time)
    with pytest.raises(ValueError, match="site.load_kw less car_kw has no value on 2024-06-10"):
        metering(SITE, gives(events)["2024-06-25":], events, HOURS, price_per_kwh=0.5)


def test_without_weather_and_noise_every_method_is_right():
    time = pd.date_range(START, periods=24 * 28, freq="h")
    plain_site = pd.DataFrame({"load_kw": 50.0 + time.hour, "temp_c": 20.0}, index=time)
    events = days_of("2024-06-20", 5)
    car = pd.Series(0.0, index=time)
    for day in events:
        car[day + pd.to_timedelta(HOURS, unit="h")] = [10.0, 20.0, -5.0]
    table = metering(plain_site, car, events, HOURS, price_per_kwh=2.0)
    assert table.paid.to_numpy() == pytest.approx([len(events) * 30 * 2.0] * 4)
    assert table.lost.to_numpy() == pytest.approx([0] * 4, abs=1e-9)
    assert list(table.index) == [
        "sub-meter",
        "high 5 of 10",
        "high 5 of 10, adjusted",
        "regression",
    ]


def test_metering_adds_up_the_baselines():
    events = [
        day for day in days_of("2024-06-24", 19) if SITE.temp_c[day + pd.Timedelta(hours=15)] > 27
    ]
    assert len(events) >= 3
    meter, car = SITE.load_kw - gives(events), gives(events)
    table = metering(SITE, car, events, HOURS, price_per_kwh=0.5, adjust_cap=0.1)
    hand = {"high 5 of 10": 0.0, "high 5 of 10, adjusted": 0.0, "regression": 0.0}
    for day in events:
        now = meter[day + pd.to_timedelta(HOURS, unit="h")].to_numpy()
        for method, line in (
            ("high 5 of 10", high_5_of_10(meter, day, HOURS, event_days=events)),
            (
                "high 5 of 10, adjusted",
                high_5_of_10(meter, day, HOURS, event_days=events, adjust_cap=0.1),
            ),
            ("regression", regression_baseline(meter, SITE.temp_c, day, HOURS, event_days=events)),
        ):
            hand[method] += 0.5 * np.maximum(line.to_numpy() - now, 0).sum()
    assert {name: table.paid[name] for name in hand} == pytest.approx(hand)
    assert table.paid["sub-meter"] == pytest.approx(0.5 * 90 * len(events))
    assert (table.lost == 1 - table.paid / table.paid["sub-meter"]).all()
    assert table.lost["high 5 of 10"] > 0.1 > abs(table.lost["regression"]), (
        "hot days are not like the ten before"
    )
    undeclared = metering(SITE, car, events, HOURS, price_per_kwh=0.5, event_days=())
    assert (undeclared.paid < table.paid)[["high 5 of 10", "regression"]].all(), (
        "events among the ten days lower the line"
    )
    assert metering(SITE, car, events, HOURS, price_per_kwh=0.5).paid.iloc[2] == pytest.approx(
        metering(SITE, car, events, HOURS, price_per_kwh=0.5, adjust_cap=0.2).paid.iloc[2]
    )


def test_a_service_of_every_day_disappears_in_its_own_baseline():
    every = days_of(START, DAYS)
    table = metering(SITE, gives(every), every[15:20], HOURS, price_per_kwh=1.0, event_days=())
    assert table.lost.iloc[1:].min() > 0.5
    assert table.lost["sub-meter"] == 0


def test_charging_before_the_event_games_the_adjustment():
    events = days_of("2024-06-24", 19)[::5]
    honest, gamed = gives(events), gives(events)
    for day in events:
        gamed[day + pd.to_timedelta([12, 13], unit="h")] = -40.0
    before, after = (
        metering(SITE, car, events, HOURS, price_per_kwh=1.0) for car in (honest, gamed)
    )
    assert after.paid["high 5 of 10, adjusted"] > 1.2 * before.paid["high 5 of 10, adjusted"]
    assert after.paid.drop("high 5 of 10, adjusted").to_numpy() == pytest.approx(
        before.paid.drop("high 5 of 10, adjusted").to_numpy()
    )


# -------------------------------------------------------------------------- the same kilowatt twice


def payment(car, hour, service, payer, kw, metered_kw=10.0, aggregator="A1", rating_kw=10.0):
    return {
        "car": car,
        "hour": hour,
        "service": service,
        "payer": payer,
        "aggregator": aggregator,
        "kw": kw,
        "metered_kw": metered_kw,
        "rating_kw": rating_kw,
    }


def counted(*rows):
    return double_counts(pd.DataFrame(rows), market("ferc_2222"))


def test_two_payers_for_one_kilowatt_hour():
    found = counted(
        payment("A", 17, "energy", "PJM", 10.0),
        payment("A", 17, "net metering", "the utility", 10.0),
    )
    assert found == [
        "Car A, hour 17: energy is paid for 20 kW by PJM (energy) and the utility (net metering), "
        "but the car's meter saw 10 kW."
    ]
    assert (
        counted(
            payment("A", 17, "energy", "PJM", 6.0),
            payment("A", 17, "net metering", "the utility", 4.0),
        )
        == []
    ), "shared out, not paid twice"
    assert (
        counted(
            payment("A", 17, "energy", "PJM", 10.0),
            payment("A", 18, "net metering", "the utility", 10.0),
        )
        == []
    ), "different hours"
    assert (
        counted(
            payment("A", 17, "energy", "PJM", 10.0),
            payment("B", 17, "net metering", "the utility", 10.0),
        )
        == []
    ), "different cars"
    assert len(counted(payment("A", 17, "energy", "PJM", 10.01))) == 1, "more than the meter saw"


def test_dual_participation_is_allowed():
    """Regulation from the market, and a demand charge saved at home: no double count."""
    assert (
        counted(
            payment("A", 17, "regulation", "PJM", 10.0, 3.0),
            payment("A", 17, "demand charge", "owner", 3.0, 3.0),
        )
        == []
    )
    assert (
        counted(
            payment("A", 17, "energy", "PJM", 10.0),
            payment("A", 17, "demand response", "PJM", 10.0),
        )
        == []
    )
    assert (
        len(
            counted(
                payment("A", 17, "demand response", "PJM", 10.0),
                payment("A", 17, "peak time rebate", "the utility", 10.0),
            )
        )
        == 1
    )


def test_power_is_promised_once():
    found = counted(
        payment("B", 3, "regulation", "PJM", 8.0), payment("B", 3, "spinning reserve", "PJM", 5.0)
    )
    assert found == [
        "Car B, hour 3: it promises 8 kW of regulation to PJM and 5 kW of spinning reserve to PJM, "
        "but its charger can give only 10 of these 13 kW."
    ]
    assert (
        counted(
            payment("B", 3, "regulation", "PJM", 8.0, 0.0),
            payment("B", 3, "spinning reserve", "PJM", 2.0, 0.0),
        )
        == []
    )
    assert (
        counted(payment("B", 3, "regulation", "PJM", 8.0), payment("B", 3, "capacity", "PJM", 10.0))
        == []
    ), "capacity must be offered somewhere"
    assert (
        len(
            counted(
                payment("B", 3, "capacity", "PJM", 8.0),
                payment("B", 3, "utility capacity programme", "the utility", 3.0),
            )
        )
        == 1
    )


def at_seven(*rows):
    """Double counts of a car that delivers 4 kW behind a charger of 7 kW."""
    return counted(*(payment("A", 18, *row, metered_kw=4.0, rating_kw=7.0) for row in rows))


FOUR_AND_FIVE = (
    "Car A, hour 18: it delivers 4 kW of energy and promises 5 kW of regulation to PJM, "
    "but its charger can give only 7 of these 9 kW."
)


def test_energy_and_promises_share_the_charger():
    assert at_seven(("energy", "PJM", 4.0), ("regulation", "PJM", 5.0)) == [FOUR_AND_FIVE]
    assert at_seven(("energy", "PJM", 2.0), ("regulation", "PJM", 5.0)) == []
    assert at_seven(("energy", "PJM", 4.0), ("regulation", "PJM", 3.0)) == [], "exactly the rating"
    assert at_seven(
        ("net metering", "the utility", 3.0),
        ("frequency regulation", "PJM", 3.0),
        ("non-spinning reserve", "ERCOT", 2.0),
    ) == [
        "Car A, hour 18: it delivers 3 kW of energy and promises 3 kW of frequency regulation to "
        "PJM and 2 kW of non-spinning reserve to ERCOT, but its charger can give only 7 of these "
        "8 kW."
    ]
    assert at_seven(("energy", "PJM", 4.0), ("capacity", "PJM", 7.0)) == [], "capacity is offered"
    assert at_seven(("demand response", "the utility", 4.0), ("regulation", "PJM", 7.0)) == [], (
        "the car may have stopped charging"
    )


def test_energy_that_is_paid_twice_is_delivered_once():
    twice = [("energy", "PJM", 4.0), ("net metering", "the utility", 4.0)]
    paid = (
        "Car A, hour 18: energy is paid for 8 kW by PJM (energy) and the utility (net metering), "
        "but the car's meter saw 4 kW."
    )
    assert at_seven(*twice) == [paid]
    assert at_seven(*twice, ("regulation", "PJM", 3.0)) == [paid]
    assert at_seven(*twice, ("regulation", "PJM", 5.0)) == [paid, FOUR_AND_FIVE]
    shared_out = [("energy", "PJM", 3.0), ("net metering", "the utility", 1.0)]
    assert at_seven(*shared_out, ("regulation", "PJM", 5.0)) == [FOUR_AND_FIVE]


def test_a_charger_cannot_deliver_or_promise_beyond_its_rating():
    assert counted(payment("A", 1, "energy", "PJM", 11.0, 11.0)) == [
        "Car A, hour 1: it delivers 11 kW of energy, "
        "but its charger can give only 10 of these 11 kW."
    ]
    assert counted(payment("A", 1, "regulation", "PJM", 11.0, 0.0)) == [
        "Car A, hour 1: it promises 11 kW of regulation to PJM, "
        "but its charger can give only 10 of these 11 kW."
    ]


def test_the_rules_of_a_market_say_what_shares_the_charger():
    lines = pd.DataFrame(
        [payment("A", 1, "energy", "PJM", 8.0), payment("A", 1, "regulation", "PJM", 8.0)]
    )
    rules = market("ferc_2222")
    assert len(double_counts(lines, rules)) == 1
    apart = replace(rules, promises={"together": [["regulation", "reserve"], ["capacity"]]})
    assert double_counts(lines, apart) == []
    assert double_counts(lines, replace(rules, promises={})) == []


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(1, 24))
@few
def test_base_point_and_promises_within_the_rating(base, regulation, reserve, rating):
    found = counted(
        payment("A", 1, "energy", "PJM", base, base, rating_kw=rating),
        payment("A", 1, "regulation", "PJM", regulation, base, rating_kw=rating),
        payment("A", 1, "spinning reserve", "PJM", reserve, base, rating_kw=rating),
    )
    assert (found == []) == (base + regulation + reserve <= rating)
    assert all(f"{rating} of these {base + regulation + reserve} kW" in each for each in found)


def test_one_car_has_one_aggregator():
    found = counted(
        payment("C", 1, "regulation", "PJM", 2.0),
        payment("C", 1, "energy", "PJM", 2.0, aggregator="A2"),
    )
    assert found == ["Car C, hour 1: it is sold by A1 and by A2 at once."]


def test_rules_that_do_not_say_what_is_the_same_thing_find_nothing_and_say_so():
    lines = pd.DataFrame({"car": ["B"], "hour": 18, "service": "energy", "payer": "PJM", "kw": 6.0})
    lines = lines.assign(aggregator="one", metered_kw=6.0, rating_kw=7.0)
    with pytest.raises(ValueError, match="the rules of PJM do not say which services are the same"):
        double_counts(lines, market("pjm"))


def test_all_double_counts_of_a_statement_in_order_of_time():
    rows = [
        payment("Z", 2, "energy", "PJM", 11.0),
        payment("A", 9, "energy", "PJM", 11.0),
        payment("M", 1, "regulation", "PJM", 11.0),
    ]
    assert [each[:14] for each in counted(*rows)] == [
        "Car M, hour 1:",
        "Car Z, hour 2:",
        "Car A, hour 9:",
    ]


# ---------------------------------------------------------------------------------------- the queue

QUEUE = Queue(
    arrivals_per_year=60.0,
    sizes_kw=(50.0, 500.0, 3000.0),
    size_share=(0.5, 0.3, 0.2),
    pass_share=(0.9, 0.6, 0.1),
    study_years=0.1,
    teams=3,
)


# All are studied, at 0.6 of what one team can do.
STUDIED = replace(QUEUE, pass_share=(0.0, 0.0, 0.0), teams=1, study_years=0.01)


def waited(queue, projects=100_000, seed=9):
    table = simulate_queue(queue, projects, rng=np.random.default_rng(seed))
    return table, table[~table.fast].wait_years.mean()


@pytest.mark.parametrize("teams", [1, 2, 5])
def test_waits_against_erlang(teams):
    queue = replace(STUDIED, teams=teams, study_years=0.01 * teams)
    assert waited(queue)[1] == pytest.approx(erlang_wait(queue), rel=0.06)


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.5])
def test_waits_against_pollaczek_and_khinchine(cv):
    queue = replace(STUDIED, study_cv=cv)
    assert waited(queue)[1] == pytest.approx(pollaczek_wait(queue), rel=0.06)


def test_screens_thin_the_stream_and_it_stays_a_poisson_stream():
    queue = replace(QUEUE, arrivals_per_year=60 / 0.35, study_years=0.03)
    assert queue.studied_per_year == pytest.approx(60)
    assert waited(queue, 250_000)[1] == pytest.approx(erlang_wait(queue), rel=0.06)


def test_closed_forms_agree_and_have_their_limits():
    one = replace(QUEUE, teams=1, study_years=0.03)
    assert (
        erlang_wait(one)
        == pytest.approx(pollaczek_wait(one))
        == pytest.approx(one.utilisation * 0.03 / (1 - one.utilisation))
    )
    assert pollaczek_wait(replace(one, study_cv=0.0)) == pytest.approx(pollaczek_wait(one) / 2)
    two = replace(QUEUE, teams=2, study_years=0.06)
    rho = two.utilisation
    assert erlang_wait(two) == pytest.approx(0.06 * rho**2 / (1 - rho**2)), "M/M/2 in closed form"
    assert (
        erlang_wait(replace(QUEUE, pass_share=(1.0, 1.0, 1.0)))
        == 0
        == pollaczek_wait(replace(one, pass_share=(1.0, 1.0, 1.0)))
    )
    many = replace(QUEUE, teams=200, study_years=200 * 0.9 / QUEUE.studied_per_year)
    assert 0 < erlang_wait(many) < 0.01 * many.study_years


def test_load_of_the_teams():
    assert QUEUE.studied_per_year == pytest.approx(60 * (1 - 0.45 - 0.18 - 0.02))
    assert QUEUE.utilisation == pytest.approx(21 * 0.1 / 3)
    with pytest.raises(
        ValueError, match="the teams of the queue are asked for 1.05 of what they can do"
    ):
        erlang_wait(replace(QUEUE, teams=1, study_years=0.05))
    with pytest.raises(ValueError, match="study_cv of the queue is 0.5; Erlang's formula"):
        erlang_wait(replace(QUEUE, study_cv=0.5))
    with pytest.raises(ValueError, match="teams of the queue is 3; the formula is for one team"):
        pollaczek_wait(QUEUE)
    with pytest.raises(ValueError, match="asked for 1.00"):
        pollaczek_wait(
            Queue(
                arrivals_per_year=4.0,
                sizes_kw=(1.0,),
                size_share=(1.0,),
                pass_share=(0.0,),
                study_years=0.25,
            )
        )


def test_fast_track_is_fast_and_first_come_is_first_served():
    table, _ = waited(QUEUE, 20000)
    fast, slow = table[table.fast], table[~table.fast]
    assert (fast.wait_years == 0).all()
    assert (fast.done_year - fast.arrives_year).to_numpy() == pytest.approx(QUEUE.screen_years)
    assert (slow.done_year > slow.arrives_year + slow.wait_years + QUEUE.screen_years).all()
    assert (np.diff(slow.arrives_year + slow.wait_years) > -1e-9).all(), (
        "studies begin in the order of arrival"
    )
    assert table.arrives_year.diff().mean() == pytest.approx(1 / 60, rel=0.02)
    assert table["size_kw"].value_counts(normalize=True).to_dict() == pytest.approx(
        {50.0: 0.5, 500.0: 0.3, 3000.0: 0.2}, abs=0.01
    )
    assert table.groupby("size_kw").fast.mean().tolist() == pytest.approx(
        [0.9, 0.6, 0.1], abs=0.015
    )
    begins, ends = slow.arrives_year + QUEUE.screen_years + slow.wait_years, slow.done_year
    at_work = [(begins <= t).sum() - (ends <= t).sum() for t in np.linspace(1, 200, 300)]
    assert max(at_work) == 3
    assert np.mean(at_work) / 3 == pytest.approx(QUEUE.utilisation, rel=0.1)
    studies = slow.done_year - slow.arrives_year - slow.wait_years - QUEUE.screen_years
    assert studies.mean() == pytest.approx(0.1, rel=0.05)
    assert studies.std() == pytest.approx(0.1, rel=0.05)
    half = waited(replace(QUEUE, study_cv=0.5), 20000)[0]
    half = half[~half.fast]
    assert (half.done_year - half.arrives_year - half.wait_years).std() == pytest.approx(
        0.05, rel=0.06
    )


def test_same_seed_same_queue():
    pd.testing.assert_frame_equal(
        simulate_queue(QUEUE, 50, rng=np.random.default_rng(1)),
        simulate_queue(QUEUE, 50, rng=np.random.default_rng(1)),
    )


# ----------------------------------------------------------------------------------- the contract

SERVICE = CarService(
    revenue_per_year=500.0,
    out_kwh=2000.0,
    needs=0.6,
    wear_per_kwh=0.05,
    owner_per_year=40.0,
    aggregator_per_year=90.0,
)
DEAL = Contract(owner_share=0.6, fixed_per_year=20.0, opt_out=0.1, floor=0.55, warranty_kwh=1900.0)


def test_a_contract_by_hand():
    assert usable_share(DEAL, SERVICE) == pytest.approx(0.9 * 0.75)
    table = split_value(DEAL, SERVICE)
    assert table.owner.tolist() == pytest.approx([202.5, 20.0, -67.5, -40.0, 115.0])
    assert table.aggregator.tolist() == pytest.approx([135.0, -20.0, 0.0, -90.0, 25.0])
    assert list(table.index) == ["revenue", "fixed", "wear", "running", "left"]


def test_each_clause_of_the_contract_bites():
    free = Contract(owner_share=0.6)
    assert free.floor == 0.2
    assert usable_share(free, SERVICE) == 1
    assert usable_share(replace(free, opt_out=0.3), SERVICE) == pytest.approx(0.7)
    assert usable_share(replace(free, floor=0.7), SERVICE) == pytest.approx(0.5)
    assert usable_share(replace(free, floor=1.0), SERVICE) == 0
    assert usable_share(replace(free, warranty_kwh=500.0), SERVICE) == pytest.approx(0.25)
    assert usable_share(replace(free, warranty_kwh=0.0), replace(SERVICE, out_kwh=0.0)) == 1, (
        "nothing leaves the battery"
    )


@given(st.floats(0, 0.5), st.floats(0, 0.9), st.floats(0, 60), st.floats(200, 4000))
@few
def test_within_the_range_both_stay_outside_one_leaves(opt_out, floor, fixed, warranty):
    contract = Contract(
        owner_share=0.5, fixed_per_year=fixed, opt_out=opt_out, floor=floor, warranty_kwh=warranty
    )
    low, high = share_range(contract, SERVICE)
    for share in (low, high):
        if 0 <= share <= 1:
            left = split_value(replace(contract, owner_share=share), SERVICE).loc["left"]
            if share == high:
                assert left.aggregator == pytest.approx(0, abs=1e-9)
            elif low > 0:
                assert left.owner == pytest.approx(0, abs=1e-9)
    for share in (0.0, 0.2, 0.5, 0.8, 1.0):
        left = split_value(replace(contract, owner_share=share), SERVICE).loc["left"]
        if min(abs(share - low), abs(share - high)) > 1e-6:
            assert (left.owner >= 0) == (share >= low)
            assert (left.aggregator >= 0) == (share <= high)


def test_no_service_no_deal():
    assert share_range(replace(DEAL, fixed_per_year=400.0), SERVICE)[0] == 0, (
        "a share is never negative"
    )
    low, high = share_range(replace(DEAL, opt_out=1.0), SERVICE)
    assert low > high
    dear = share_range(DEAL, replace(SERVICE, wear_per_kwh=0.3))
    assert dear[0] > dear[1], "wear eats the deal"


# -------------------------------------------------------------------------------- refusals in words

BAD = [
    (lambda: Aggregation(power_kw=0.0, largest_site_kw=1.0, sells=("energy",)), "power_kw is 0 kW"),
    (
        lambda: Aggregation(power_kw=5.0, largest_site_kw=10.0, sells=("energy",)),
        "largest_site_kw is 10 kW; it must be at most 5",
    ),
    (
        lambda: Aggregation(power_kw=5.0, largest_site_kw=0.0, sells=("energy",)),
        "largest_site_kw is 0 kW",
    ),
    (
        lambda: Aggregation(power_kw=5.0, largest_site_kw=1.0, sells="energy"),
        r"sells is 'energy'; put it into a list",
    ),
    (
        lambda: Aggregation(power_kw=5.0, largest_site_kw=1.0, sells=()),
        "sells is empty; name one or more of energy, regulation, reserve, capacity",
    ),
    (
        lambda: Aggregation(power_kw=5.0, largest_site_kw=1.0, sells=("energy",), telemetry_s=0.0),
        "telemetry_s is 0 s",
    ),
    (lambda: market("mars"), "name is 'mars'; it must be one of 'caiso', 'ercot_ader'"),
    (lambda: market("history"), "name is 'history'; it must be one of 'caiso'"),
    (
        lambda: market("nordic").product("FFR"),
        "name is 'FFR'; it must be one of 'FCR-N', 'FCR-D up', 'FCR-D down'",
    ),
    (
        lambda: market("pjm").product("FCR"),
        "name is 'FCR', but PJM has no products for limited batteries",
    ),
    (
        lambda: double_counts(pd.DataFrame({"kw": [1.0]}), market("ferc_2222")),
        "lines has no column car, hour, service, payer, aggregator, metered_kw, rating_kw; "
        "it has kw",
    ),
    (lambda: counted(payment("A", 1, "energy", "PJM", -1.0)), "kw is -1"),
    (lambda: counted(payment("A", 1, "energy", "PJM", 1.0, -1.0)), "metered_kw is -1"),
    (lambda: counted(payment("A", 1, "energy", "PJM", 1.0, rating_kw=0.0)), "rating_kw is 0"),
    (lambda: cars_needed(0.0, 7.0, 0.5), "offer_kw is 0 kW"),
    (lambda: cars_needed(1.0, 0.0, 0.5), "car_kw is 0 kW"),
    (lambda: cars_needed(1.0, 7.0, 1.0), "presence is 1; it must be below 1"),
    (lambda: cars_needed(1.0, 7.0, 0.5, 1.0), "reliability is 1; it must be below 1"),
    (
        lambda: meter_value(
            [1.0], [1.0], 0.0, retail_per_kwh=1.0, export_per_kwh=1.0, wholesale_per_kwh=1.0
        ),
        "dt_h is 0 h",
    ),
    (lambda: building(START, 0, rng=np.random.default_rng(1)), "days is 0 days"),
    (
        lambda: high_5_of_10(SITE.load_kw, "2025-01-01", [8]),
        "there is no day 2025-01-01 in the data, which run from 2024-06-03 to 2024-07-14",
    ),
    (
        lambda: high_5_of_10(pd.concat([SITE.load_kw, SITE.load_kw[:24]]), "2024-07-01", [8]),
        "each of them once",
    ),
    (
        lambda: high_5_of_10(SITE.load_kw, "2024-07-01", [8], adjust_cap=1.0),
        "adjust_cap is 1; it must be below 1",
    ),
    (
        lambda: regression_baseline(SITE.load_kw, SITE.temp_c, "2024-07-01", [8], base_c=math.nan),
        "base_c contains NaN",
    ),
    (
        lambda: metering(SITE, gives([]), days_of("2024-07-01", 2), HOURS, price_per_kwh=1.0),
        "car_kw gives nothing in these hours",
    ),
    (
        lambda: metering(
            SITE,
            gives(days_of("2024-07-01", 2)),
            days_of("2024-07-01", 2),
            HOURS,
            price_per_kwh=0.0,
        ),
        "price_per_kwh is 0",
    ),
    (
        lambda: replace(QUEUE, size_share=(0.5, 0.3, 0.1)),
        "size_share adds up to 0.9; it must add up to 1",
    ),
    (
        lambda: replace(QUEUE, sizes_kw=(1.0, 2.0)),
        r"these shapes must be the same: sizes_kw \(2,\), size_share \(3,\)",
    ),
    (lambda: replace(QUEUE, pass_share=(1.0, 2.0, 0.0)), "pass_share is 2"),
    (lambda: replace(QUEUE, size_share=(1.5, -0.5, 0.0)), "size_share is"),
    (lambda: replace(QUEUE, teams=1.5), "teams is 1.5; it must be a whole number"),
    (lambda: replace(QUEUE, teams=0), "teams is 0"),
    (lambda: replace(QUEUE, arrivals_per_year=0.0), "arrivals_per_year is 0"),
    (lambda: replace(QUEUE, study_years=0.0), "study_years is 0"),
    (lambda: replace(QUEUE, study_cv=-1.0), "study_cv is -1"),
    (lambda: replace(QUEUE, screen_years=-1.0), "screen_years is -1"),
    (lambda: replace(QUEUE, sizes_kw=(0.0, 1.0, 2.0)), "sizes_kw is 0"),
    (lambda: simulate_queue(QUEUE, 0, rng=np.random.default_rng(1)), "projects is 0"),
    (lambda: replace(DEAL, owner_share=60.0), "owner_share is 60"),
    (lambda: replace(DEAL, opt_out=-0.1), "opt_out is -0.1"),
    (lambda: replace(DEAL, floor=20.0), "floor is 20"),
    (lambda: replace(DEAL, fixed_per_year=-1.0), "fixed_per_year is -1"),
    (lambda: replace(DEAL, warranty_kwh=-1.0), "warranty_kwh is -1"),
    (lambda: replace(SERVICE, revenue_per_year=0.0), "revenue_per_year is 0"),
    (lambda: replace(SERVICE, needs=0.0), "needs is 0"),
    (lambda: replace(SERVICE, needs=1.1), "needs is 1.1"),
    (lambda: replace(SERVICE, out_kwh=-1.0), "out_kwh is -1"),
    (
        lambda: Aggregation(power_kw=5.0, largest_site_kw=1.0, sells=("enrgy",)),
        r"sells\[0\] is 'enrgy'; it must be one of 'energy'",
    ),
    (lambda: replace(FLEET, suppliers=0), "suppliers is 0; it must be at least 1"),
    (lambda: replace(FLEET, load_zones=1.5), "load_zones is 1.5; it must be a whole number"),
    (lambda: replace(FLEET, net_metered=1), "net_metered is 1; it must be True or False"),
    (lambda: replace(FLEET, power_kw=[5.0, 6.0]), r"power_kw has shape \(2,\)"),
    (lambda: eligible("cars", market("pjm")), "aggregation is 'cars'"),
    (lambda: eligible(FLEET, "pjm"), "market is 'pjm'; it must be a rules.Market"),
    (lambda: counted({**payment("A", 1, "energy", "PJM", 1.0), "aggregator": None}), "row 0"),
    (lambda: counted({**payment("A", 1, "energy", "PJM", 1.0), "service": 7}), "lines.service"),
    (lambda: cars_needed(1e9, 1.0, 0.5), "takes more than a billion cars"),
    (lambda: cars_needed(1.0, 1.0, 1e-300), "takes more than a billion cars"),
    (lambda: cars_needed([1.0, 2.0], 1.0, 0.5), r"offer_kw has shape \(2,\)"),
    (lambda: valued(np.ones((96, 1)), np.ones(96)), r"load_kw has shape \(96, 1\)"),
    (lambda: valued(np.ones(96), np.ones(95)), r"load_kw \(96,\), p_kw \(95,\)"),
    (lambda: valued(np.ones(3), np.ones(3), np.ones(2)), r"retail_per_kwh \(2,\)"),
    (lambda: building("soon", 2, rng=np.random.default_rng(1)), "start is 'soon'; give a date"),
    (lambda: building(2024, 2, rng=np.random.default_rng(1)), "start is 2024; it must be a str or"),
    (lambda: building(pd.NaT, 2, rng=np.random.default_rng(1)), "start is a missing date"),
    (lambda: building(START, 10**9, rng=np.random.default_rng(1)), "days is 1000000000 days"),
    (lambda: building(START, 2, rng=7), "rng is 7; it must be a Generator"),
    (lambda: simulate_queue(QUEUE, 10, rng=7), "rng is 7; it must be a Generator"),
    (lambda: simulate_queue(DEAL, 10, rng=np.random.default_rng(1)), "queue is a rules.Contract"),
    (
        lambda: simulate_queue(QUEUE, 10**13, rng=np.random.default_rng(1)),
        "projects is 10000000000000",
    ),
    (
        lambda: high_5_of_10(SITE.load_kw, "2024-07-01", [24]),
        "clock_h is 24; it must be at most 23",
    ),
    (lambda: high_5_of_10(SITE.load_kw, "2024-07-01", [8.5]), r"clock_h is \[8.5\]; give whole"),
    (lambda: high_5_of_10(SITE.load_kw, "2024-07-01", [9, 8]), "give whole hours of one day that"),
    (lambda: high_5_of_10(SITE.load_kw, "2024-07-01", []), "clock_h is empty"),
    (lambda: high_5_of_10(SITE.load_kw, "2024-07-01", 8), r"clock_h has shape \(\)"),
    (lambda: high_5_of_10(SITE.load_kw, "July", [8]), "day is July; give a date from 1900 to 2100"),
    (
        lambda: high_5_of_10(SITE.load_kw, "2024-07-01", [8], event_days="2024-06-20"),
        "event_days is '2024-06-20'; put it into a list",
    ),
    (lambda: high_5_of_10(SITE, "2024-07-01", [8]), "meter_kw is a DataFrame; it must be a Series"),
    (
        lambda: high_5_of_10(SITE.load_kw.set_axis(SITE.index.astype(str)), "2024-07-01", [8]),
        "meter_kw must be time stamps",
    ),
    (
        lambda: high_5_of_10(SITE.load_kw.where(SITE.load_kw < 45, math.inf), "2024-07-01", [8]),
        "meter_kw is infinite",
    ),
    (
        lambda: high_5_of_10(SITE.load_kw.astype(str), "2024-07-01", [8]),
        "meter_kw must hold numbers",
    ),
    (
        lambda: high_5_of_10(0 * SITE.load_kw, "2024-07-01", [8], adjust_cap=0.2),
        "meter_kw is 0 in the mean of the highest days at 4 and 5 o'clock",
    ),
    (
        lambda: regression_baseline(
            SITE.load_kw.tz_localize("UTC"),
            SITE.temp_c.tz_localize("Asia/Tokyo"),
            "2024-07-01",
            [8],
        ),
        "meter_kw is in UTC, temp_c is in Asia/Tokyo; give them in the same time zone",
    ),
    (
        lambda: metering(SITE, gives([]), ["2024-07-01"] * 2, HOURS, price_per_kwh=1.0),
        "days names 2024-07-01 twice",
    ),
    (lambda: metering(SITE, gives([]), [], HOURS, price_per_kwh=1.0), "days is empty"),
    (
        lambda: metering(
            SITE, gives([]).tz_localize("UTC"), ["2024-07-01"], HOURS, price_per_kwh=1.0
        ),
        "site.load_kw is in local time without a zone, car_kw is in UTC",
    ),
    (lambda: usable_share(SERVICE, DEAL), "contract is a rules.CarService"),
    (lambda: replace(DEAL, owner_share=[0.5, 0.6]), r"owner_share has shape \(2,\)"),
]


def valued(load_kw, p_kw, retail_per_kwh=1.0):
    return meter_value(
        load_kw,
        p_kw,
        1.0,
        retail_per_kwh=retail_per_kwh,
        export_per_kwh=1.0,
        wholesale_per_kwh=1.0,
    )


@pytest.mark.parametrize(
    "call, message", BAD, ids=[f"{i}: {message[:40]}" for i, (_, message) in enumerate(BAD)]
)
def test_bad_input_is_told_in_words(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


RULE = {
    "field": "power_kw",
    "test": "at least",
    "value": 1.0,
    "says": "x",
    "source": "y",
    "confidence": "read",
}
MARS = {"name": "Mars", "region": "Mars", "currency": "USD", "date": None, "story": ""}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"field": "colour"}, "field is 'colour'; it must be one of 'power_kw'"),
        ({"test": "about"}, "test is 'about'; it must be one of 'at least'"),
        ({"confidence": "sure"}, "confidence is 'sure'; it must be one of 'read'"),
        ({"when": {"colour": 1}}, "when is 'colour'; it must be one of 'power_kw'"),
        ({"when": {"power_kw": "much"}}, "when power_kw is 'much'"),
        ({"value": "much"}, "value must be a number"),
        ({"value": math.nan}, "value contains NaN"),
        ({"field": "sells"}, "field is 'sells'; it must be one of 'power_kw'"),
        ({"test": "excludes"}, "field is 'power_kw'; it must be one of 'sells'"),
        ({"says": None}, "says is None; it must be a str"),
        ({"note": "z"}, "has the keys field, test, value, says, source, confidence, note"),
    ],
)
def test_rules_that_cannot_be_read_are_refused(change, message):
    assert Market(rules=[RULE], **MARS).rules == [RULE]
    with pytest.raises((ValueError, TypeError), match=rf"rules\[0\] of Mars:? .*{message}"):
        Market(rules=[{**RULE, **change}], **MARS)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": 3}, "name is 3; it must be a str"),
        ({"date": "2025-10-01"}, "date is '2025-10-01'; it must be a date"),
        ({"rules": RULE}, "rules is a dict; put it into a list"),
        ({"products": ["FCR"]}, r"products\[0\] is 'FCR'; it must be a market.Product"),
        ({"families": ["energy"]}, "families is a list"),
        ({"families": {"energy": "energy"}}, r"families\['energy'\] is 'energy'"),
        (
            {"families": {"energy": ["net metering"], "more": ["net metering"]}},
            "families: net metering stands in energy and in more",
        ),
        ({"promises": {"together": "reserve"}}, r"promises\['together'\] is 'reserve'"),
        ({"promises": {"together": ["reserve"]}}, r"promises\['together'\]\[0\] is 'reserve'"),
        ({"settlement": 0.25}, "settlement is 0.25"),
    ],
)
def test_a_market_of_other_things_is_refused(change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Market(**{**MARS, **change})


def test_fields_are_kept_as_numbers():
    assert replace(QUEUE, sizes_kw=[50, 500, 3000]) == QUEUE
    cars = Aggregation(power_kw=5, largest_site_kw=5, sells=["energy"], net_metered=np.True_)
    assert cars.sells == ("energy",)
    assert cars.net_metered is True


def test_each_equation_is_named_in_the_code():
    source = Path(module.__file__).read_text(encoding="utf-8")
    tagged = [float(number.split(".")[1]) for number in re.findall(r"# eq\. \((13\.\d+)\)", source)]
    stated = [int(number) for number in re.findall(r"\s{4,}\(13\.(\d+)\)\n", source)]
    assert sorted(stated) == [1, 2, 5, 6, 7, *range(9, 13)]  # the others stand in invest
    assert set(tagged) == set(stated)


# ------------------------------------------------------------------------------ orders and accounts

DUTY = Duty(p_kw=4.0, hours_per_day=3.0, days_per_year=250.0, eta_charge=0.9, eta_discharge=0.8)
BILL = {
    "retail_per_kwh": 0.2,
    "export_per_kwh": 0.1,
    "charge_per_kwh": 0.08,
    "wear_per_kwh": 0.04,
}
MARKET_YEAR = {
    "sell_per_kwh": 0.1,
    "charge_per_kwh": 0.05,
    "wear_per_kwh": 0.04,
    "reserve_per_kw_h": 0.02,
    "reserve_kw": 10.0,
    "reserve_h": 4000.0,
    "call_ratio": 0.0,
    "aggregator_share": 0.3,
    "metering_per_year": 120.0,
}


def test_orders_say_what_they_are_not_about():
    table = orders()
    assert table.date.is_monotonic_increasing
    assert {"FERC Order 745", "FERC Order 755", "FERC Order 841", "FERC Order 2222"} <= set(
        table.index
    )
    assert (table[["about", "not_about", "outside", "source"]].map(len) > 10).all(axis=None)
    assert table.confidence.isin(["read", "from memory"]).all()
    american = table[table.place == "United States"]
    assert american.outside.str.contains("ERCOT").all()


def test_orders_and_history_are_no_markets():
    assert not {"orders", "history"} & set(markets())


def test_energy_of_a_duty():
    assert DUTY.given_kwh == 3000
    assert DUTY.out_kwh == pytest.approx(3000 / 0.8)
    assert DUTY.bought_kwh == pytest.approx(3000 / 0.72)


def test_a_year_behind_the_meter_by_hand():
    year = behind_year(DUTY, 1.5, **BILL, demand_per_kw_year=144.0, demand_share=0.5)
    assert year.to_dict() == pytest.approx(
        {
            "avoided purchases": 750 * 1.5 * 0.2,
            "export": 750 * 2.5 * 0.1,
            "demand charge": 0.5 * 144 * 1.5,
            "charging": -3000 / 0.72 * 0.08,
            "wear": -3000 / 0.8 * 0.04,
        }
    )


@pytest.mark.parametrize("load_kw", [0.0, 1.5, 4.0, 60.0])
def test_a_year_behind_the_meter_is_the_sum_of_its_evenings(load_kw):
    """Avoided purchases and export are those of (13.2), step by step."""
    year = behind_year(DUTY, load_kw, **BILL)
    prices = {name: BILL[name] for name in ("retail_per_kwh", "export_per_kwh")}
    evening = meter_value([load_kw] * 3, [4.0] * 3, 1.0, **prices, wholesale_per_kwh=0.0)
    assert year["avoided purchases"] + year["export"] == pytest.approx(250 * evening.behind)


def test_a_year_of_the_market_by_hand():
    year = market_year(DUTY, **{**MARKET_YEAR, "call_ratio": 0.05})
    called_kwh = 0.05 * 40_000
    given_kwh = 3000 + called_kwh
    assert year.to_dict() == pytest.approx(
        {
            "energy": given_kwh * 0.1,
            "reserve": 800.0,
            "aggregator": -0.3 * (given_kwh * 0.1 + 800),
            "charging": -given_kwh / 0.72 * 0.05,
            "wear": -given_kwh / 0.8 * 0.04,
            "metering": -120.0,
        }
    )


def test_a_car_that_gives_nothing_has_no_energy_lines():
    idle = replace(DUTY, days_per_year=0.0)
    assert behind_year(idle, 60.0, **BILL).drop("demand charge").eq(0).all()
    assert market_year(idle, **MARKET_YEAR)[["energy", "charging", "wear"]].eq(0).all()


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: replace(DUTY, hours_per_day=25.0), "hours_per_day is 25 h"),
        (lambda: replace(DUTY, days_per_year=400.0), "days_per_year is 400"),
        (lambda: replace(DUTY, eta_charge=93.0), "eta_charge is 93"),
        (lambda: behind_year(DUTY, -1.0, **BILL), "load_kw is -1 kW"),
        (lambda: behind_year(DUTY, 1.0, **BILL, demand_share=50.0), "demand_share is 50"),
        (lambda: behind_year("duty", 1.0, **BILL), "duty is 'duty'"),
        (lambda: market_year(DUTY, **{**MARKET_YEAR, "reserve_h": 8500.0}), "must fit into a year"),
        (lambda: market_year(DUTY, **{**MARKET_YEAR, "call_ratio": 5.0}), "call_ratio is 5"),
        (lambda: market_year(DUTY, **{**MARKET_YEAR, "sell_per_kwh": math.nan}), "sell_per_kwh"),
    ],
)
def test_wrong_years_are_told_in_words(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
