"""Topic 08: published cases by id, bills by hand, cvxpy as independent tool.

Also: schedules that keep their promises, refusals in words, invariants.
"""

import re
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import CASES, case

from v2gbook import _check, charger, data
from v2gbook.arbitrage import (
    Diary,
    Peak,
    Prices,
    Site,
    Tariff,
    best_hours,
    bill,
    burning_price,
    commuter,
    demand_saving,
    even_step,
    floor_line,
    follow,
    implied_efficiency,
    optimise,
    priced,
    rates,
    regulation_revenue,
    rolling,
    spread_profit,
    tariff,
    workplace,
)
from v2gbook.charger import Storage

# A car that the tests below share. No two numbers are equal, so that none can stand in for another.
CAR = Storage(
    energy_kwh=60.0,
    soc_min=0.15,
    soc_max=0.9,
    p_charge_kw=10.0,
    p_discharge_kw=8.0,
    eta_charge=0.94,
    eta_discharge=0.96,
)
ALONE = Site()  # nothing else is connected
few = settings(deadline=None, max_examples=12)


def plugged_in(steps, soc_start=0.5, **fields):
    """A car that stays at the plug."""
    return Diary(soc_start=soc_start, plugged=np.ones(steps), **fields)


def column(value, cars):
    """One value a car, to stand beside (cars, steps)."""
    return np.broadcast_to(np.asarray(value, dtype=float), cars)[:, None]


def assert_sound(plan, storage, diary, dt_h):
    """What every schedule must obey.

    That is (8.6) with one direction at a time, the charger's limits, the window, the promises, and
    energy conserved.
    """
    p, soc, plugged = (np.atleast_2d(a) for a in (plan.p_kw, plan.soc, diary.plugged))
    car = {name: column(getattr(storage, name), len(p)) for name in storage.__dataclass_fields__}
    into, out = np.maximum(-p, 0), np.maximum(p, 0)
    stored = dt_h * (car["eta_charge"] * into - out / car["eta_discharge"]) - np.atleast_2d(
        diary.drive_kwh
    )
    start = column(diary.soc_start, len(p))
    np.testing.assert_allclose(
        soc, start + np.cumsum(stored, axis=1) / car["energy_kwh"], rtol=0, atol=2e-6
    )
    lost = dt_h * ((1 - car["eta_charge"]) * into + (1 / car["eta_discharge"] - 1) * out)
    driven = np.atleast_2d(diary.drive_kwh).sum(axis=1)
    np.testing.assert_allclose(
        -dt_h * p.sum(axis=1),
        (car["energy_kwh"] * (soc[:, -1:] - start))[:, 0] + lost.sum(axis=1) + driven,
        atol=1e-3,
    )
    assert (into <= car["p_charge_kw"] * plugged + 1e-6).all()
    assert (out <= car["p_discharge_kw"] * plugged + 1e-6).all()
    assert (soc >= np.where(plugged >= 1, car["soc_min"], 0.0) - 1e-6).all()
    assert (soc <= car["soc_max"] + 1e-6).all()
    assert (soc >= np.atleast_2d(diary.soc_departure) - 1e-6).all()
    assert np.minimum(plan.import_kw, plan.export_kw).max() == 0.0


# ---------------------------------------------------------------------------------- published cases


def test_e01_profit():
    inputs, expected = case("E01")
    sold_kwh = inputs["P_kW"] * inputs["t_h"]
    profit = spread_profit(
        sold_kwh, inputs["p_off"], inputs["p_peak"], eta_round_trip=inputs["eta_rt"]
    )
    assert profit == expected["profit_usd"]
    assert implied_efficiency(profit, sold_kwh, inputs["p_off"], inputs["p_peak"]) == pytest.approx(
        inputs["eta_rt"]
    )


def test_e01_efficiencies_behind_the_rounded_profit():
    """USD 2.22 is anything from 2.215 to 2.225."""
    inputs, expected = case("E01")
    bounds = implied_efficiency(np.array([2.215, 2.225]), 20.0, inputs["p_off"], inputs["p_peak"])
    assert bounds.tolist() == [expected["implied_eta_low"], expected["implied_eta_high"]]


def test_e01_other_readings():
    """0.9 each way gives USD 2.02; 18 kWh sold for 20 bought gives USD 2.00."""
    inputs, _ = case("E01")
    trade = inputs["p_off"], inputs["p_peak"]
    assert spread_profit(20.0, *trade, eta_round_trip=0.9**2) == pytest.approx(2.02, abs=0.005)
    assert spread_profit(18.0, *trade, eta_round_trip=0.9) == pytest.approx(2.00, abs=1e-9)


def test_e01_is_what_the_optimum_earns():
    """Two hours at night, two at the peak; the car starts and ends at the same soc."""
    inputs, expected = case("E01")
    car = replace(
        CAR,
        p_charge_kw=20.0,
        p_discharge_kw=inputs["P_kW"],
        eta_charge=inputs["eta_rt"],
        eta_discharge=1.0,
    )
    diary = plugged_in(4, soc_departure=np.array([0, 0, 0, 0.5]))
    prices = Prices(
        dt_h=1.0, buy_per_kwh=[inputs["p_off"], inputs["p_off"], inputs["p_peak"], inputs["p_peak"]]
    )
    plan = optimise(car, diary, prices)
    assert -plan.cost == expected["profit_usd"]
    assert plan.discharged_kwh == pytest.approx(inputs["P_kW"] * inputs["t_h"])


def test_e02_demand_charge():
    inputs, expected = case("E02")
    load_kw = np.array([20.0, 40.0, 50.0, 30.0])
    help_kw = np.array([0.0, 0.0, inputs["dP_kW"], 0.0])
    assert demand_saving(
        load_kw, help_kw, expected["rate_usd_per_kW_month"].expected, interval_steps=1
    ) == pytest.approx(inputs["saving_usd"])


def test_e03_measured_efficiencies():
    trade = CASES["E01"]["inputs"]
    inputs, expected = case("E03")
    assert (
        spread_profit(
            20.0, trade["p_off"], trade["p_peak"], eta_round_trip=inputs["eta_rt"]
        ).tolist()
        == expected["profit_usd"]
    )


def test_e09_regulation_revenue():
    inputs, expected = case("E09")
    revenue = regulation_revenue(
        inputs["P_kW"],
        inputs["t_plug_h"],
        capacity_per_kw_h=np.array([inputs["p_cap"], 0.0, inputs["p_cap"]]),
        energy_per_kwh=np.array([0.0, inputs["p_el"], inputs["p_el"]]),
        dispatch_ratio=inputs["R_dc"],
    )
    assert revenue.tolist() == [
        expected["capacity_usd"],
        expected["energy_usd"],
        expected["total_usd"],
    ]


# ------------------------------------------------------------------------------------- closed forms


def test_losses_can_eat_the_spread():
    assert spread_profit(10.0, 0.10, 0.11, eta_round_trip=0.9) == pytest.approx(
        1.1 - 10 / 0.9 * 0.1
    )
    assert spread_profit(10.0, 0.10, 0.10, eta_round_trip=1.0) == 0.0


@few
@given(st.floats(0.0, 40.0), st.integers(0, 11))
def test_demand_saving_ends_at_the_next_peak(help_kw, k):
    """A car that covers only the highest of 12 intervals saves its power, but no more than the lead
    of that interval."""
    load = np.linspace(10.0, 43.0, 12)
    load[[k, -1]] = load[[-1, k]]
    helped = np.where(np.arange(12) == k, help_kw, 0.0)
    assert demand_saving(load, helped, 7.0, interval_steps=1) == pytest.approx(
        7.0 * min(help_kw, 43.0 - load[np.arange(12) != k].max())
    )


def test_charging_at_the_wrong_hour_costs():
    assert demand_saving(
        [10.0, 30.0, 28.0], [0.0, 0.0, -5.0], 12.0, interval_steps=1
    ) == pytest.approx(-36.0)


def test_the_meter_takes_the_mean_of_an_interval():
    """30 kW for one of three steps is 10 kW to the meter, and the car's 6 kW in that step are 2."""
    load, helped = [3.0, 3.0, 3.0, 0.0, 30.0, 0.0], [0.0, 0.0, 0.0, 0.0, 6.0, 0.0]
    assert demand_saving(load, helped, 1.0, interval_steps=3) == pytest.approx(2.0)
    assert demand_saving(load, helped, 1.0, interval_steps=1) == pytest.approx(6.0)


def test_export_does_not_lower_an_interval():
    """What is given in one step is not taken off what the next draws: the meter counts import."""
    assert demand_saving([10.0, 10.0], [30.0, 0.0], 1.0, interval_steps=2) == pytest.approx(5.0)


@pytest.mark.parametrize("load", [[-5.0, -5.0], [10.0, -10.0]])
def test_a_car_that_does_nothing_saves_nothing_where_the_site_exports(load):
    assert demand_saving(load, [0.0, 0.0], 10.0, interval_steps=2) == 0.0


# -------------------------------------------------------------------------------------------- bills

ALWAYS = list(range(1, 13))
HAND = Tariff(
    name="by hand",
    currency="USD",
    timezone="America/Los_Angeles",
    interval_min=60,
    fixed_per_month=9.0,
    export_per_kwh=0.04,
    energy=[
        {"months": ALWAYS, "days": "weekdays", "from_h": 12.0, "to_h": 18.0, "price_per_kwh": 0.3},
        {"months": ALWAYS, "days": "all", "from_h": 0.0, "to_h": 24.0, "price_per_kwh": 0.1},
    ],
    demand=[
        {"months": ALWAYS, "days": "all", "from_h": 0.0, "to_h": 24.0, "price_per_kw_month": 10.0}
    ],
)
QUARTERS = replace(HAND, interval_min=15)
MONDAY = "2025-07-07"


def hours(values, start=MONDAY, freq="h", tz=None):
    """A load with time stamps."""
    return pd.Series(
        np.asarray(values, dtype=float), pd.date_range(start, periods=len(values), freq=freq, tz=tz)
    )


def test_a_july_of_sce_by_hand():
    """23 weekdays, 8 days of weekends; 10 kW from 12 to 18, else 4 kW. The load comes in UTC."""
    time = pd.date_range(
        "2025-07-01", "2025-08-01", freq="15min", inclusive="left", tz="America/Los_Angeles"
    )
    load = pd.Series(
        np.where((time.hour >= 12) & (time.hour < 18), 10.0, 4.0), time.tz_convert("UTC")
    )
    table = bill(tariff("sce_tou_ev_4"), load)
    energy = (
        23 * (9 * 4 * 0.05623 + 9 * 4 * 0.0925 + 6 * 10 * 0.26668) + 8 * (18 * 4 + 6 * 10) * 0.05623
    )
    assert table.index.astype(str).tolist() == ["2025-07"]
    assert table.iloc[0].to_dict() == pytest.approx(
        {
            "energy": energy,
            "export": 0.0,
            "demand": 155.1,
            "fixed": 0.0,
            "total": energy + 155.1,
            "peak_kw": 10.0,
        }
    )


@pytest.mark.parametrize("name", _check.names_in("tariffs"))
def test_every_stored_tariff_has_a_price_for_every_hour(name):
    stored = tariff(name)
    time = pd.date_range("2025-01-01", "2026-01-01", freq="15min", inclusive="left", tz="UTC")
    price = rates(stored, time)
    assert (price.buy_per_kwh > 0).all()
    assert str(price.index.tz) == stored.timezone
    assert set(price.buy_per_kwh) == {rule["price_per_kwh"] for rule in stored.energy}


def test_a_new_price_holds_from_its_own_minute():
    price = rates(HAND, pd.date_range("2025-07-07 11:45", periods=3, freq="15min")).buy_per_kwh
    assert price.tolist() == [0.1, 0.3, 0.3]
    assert rates(
        HAND, pd.date_range("2025-07-07 17:45", periods=2, freq="15min")
    ).buy_per_kwh.tolist() == [0.3, 0.1]


def test_weekends_and_the_first_rule_that_fits():
    price = rates(HAND, pd.date_range("2025-07-04 13:00", periods=4, freq="D"))
    assert price.buy_per_kwh.tolist() == [0.3, 0.1, 0.1, 0.3]
    assert (price.sell_per_kwh == 0.04).all()


def test_months_of_a_rule():
    summer = {"months": [6, 7], "days": "all", "from_h": 0, "to_h": 24, "price_per_kwh": 0.5}
    price = rates(
        replace(HAND, energy=[summer, *HAND.energy]),
        pd.to_datetime(
            ["2025-05-31 23:00", "2025-06-01 00:00", "2025-07-31 23:00", "2025-08-01 00:00"]
        ),
    )
    assert price.buy_per_kwh.tolist() == [0.1, 0.5, 0.5, 0.1]


def test_clock_time_is_that_of_the_tariff():
    """19:00 UTC is noon in Los Angeles in July, 11:00 in January."""
    assert rates(HAND, pd.DatetimeIndex(["2025-07-07 19:00"], tz="UTC")).buy_per_kwh.item() == 0.3
    assert rates(HAND, pd.DatetimeIndex(["2025-01-06 19:00"], tz="UTC")).buy_per_kwh.item() == 0.1


@pytest.mark.parametrize("day, length", [("2025-03-09", 23), ("2025-11-02", 25)])
def test_a_day_of_changing_clocks_has_its_own_length(day, length):
    time = pd.date_range(
        day,
        pd.Timestamp(day) + pd.Timedelta("1D"),
        freq="h",
        inclusive="left",
        tz="America/Los_Angeles",
    )
    assert bill(HAND, pd.Series(1.0, time)).energy.item() == pytest.approx(length * 0.1)


@pytest.mark.parametrize("freq, load", [("5min", [0, 0, 30, 6, 6, 6]), ("15min", [10, 6])])
def test_peak_is_the_highest_mean_of_15_minutes(freq, load):
    table = bill(QUARTERS, hours(load, freq=freq))
    assert table.peak_kw.item() == pytest.approx(10.0)
    assert table.demand.item() == pytest.approx(100.0)


def test_an_hourly_load_cannot_show_the_highest_quarter_of_an_hour():
    """It is refused where that quarter is charged for, and billed where it is not."""
    load = hours([10, 6])
    words = sentence(lambda: bill(QUARTERS, load))
    assert "import_kw has steps of 60 min" in words
    assert "highest mean of 15 min" in words
    free = [QUARTERS.demand[0] | {"price_per_kw_month": 0.0}]
    for charge in ([], free):
        table = bill(replace(QUARTERS, demand=charge), load)
        assert table.energy.item() == pytest.approx(1.6)
        assert table.peak_kw.item() == 10.0


def test_each_demand_rule_is_a_charge_of_its_own():
    """50 kW at 3:00 and 20 kW at 17:00: USD 10 per kW at any time, USD 5 per kW from 16 to 21."""
    load = np.zeros(24)
    load[[3, 17]] = 50.0, 20.0
    evening = {
        "months": ALWAYS,
        "days": "weekdays",
        "from_h": 16,
        "to_h": 21,
        "price_per_kw_month": 5.0,
    }
    two = replace(HAND, demand=[*HAND.demand, evening])
    assert bill(two, hours(load)).demand.item() == pytest.approx(500 + 100)
    assert bill(two, hours(load, start="2025-07-12")).demand.item() == pytest.approx(500)
    assert bill(replace(HAND, demand=[]), hours(load)).demand.item() == 0.0


def months_with_peaks(peaks):
    """One kW but for an hour at noon of every fifteenth."""
    time = pd.date_range("2025-01-01", periods=len(peaks), freq="MS")
    load = pd.Series(
        1.0,
        pd.date_range(time[0], time[-1] + pd.offsets.MonthEnd() + pd.Timedelta("23h"), freq="h"),
    )
    load[time + pd.Timedelta("14D12h")] = np.asarray(peaks, dtype=float)
    return load


def test_ratchet_looks_back_on_measured_peaks_only():
    """Half a year: the 100 kW of January count in February and March, and then no longer."""
    table = bill(
        replace(HAND, ratchet=0.8, ratchet_months=2), months_with_peaks([100, 20, 20, 20, 90, 75])
    )
    assert table.demand.tolist() == pytest.approx([1000, 800, 800, 200, 900, 750])
    assert table.peak_kw.tolist() == pytest.approx([100, 20, 20, 20, 90, 75])


def test_no_ratchet_no_memory():
    assert bill(HAND, months_with_peaks([100, 20])).demand.tolist() == pytest.approx([1000, 200])


def test_a_ratchet_does_not_carry_a_seasonal_charge_into_other_months():
    """A charge of January to March is no charge of April, whatever the peak before."""
    halves = [
        {**HAND.demand[0], "months": list(range(1, 4)), "price_per_kw_month": 20.0},
        {**HAND.demand[0], "months": list(range(4, 13))},
    ]
    table = bill(replace(HAND, demand=halves, ratchet=0.5), months_with_peaks([40, 40, 40, 40, 40]))
    assert table.demand.tolist() == pytest.approx([800, 800, 800, 400, 400])


def test_export_is_paid():
    """Noon on a Monday: 3 kW drawn for an hour, 2 kW given the next."""
    table = bill(
        HAND, hours([3, 0], start="2025-07-07 12:00"), hours([0, 2], start="2025-07-07 12:00")
    )
    assert table.iloc[0].to_dict() == pytest.approx(
        {
            "energy": 0.9,
            "export": -0.08,
            "demand": 30.0,
            "fixed": 9.0,
            "total": 39.82,
            "peak_kw": 3.0,
        }
    )


def test_bills_of_two_months():
    table = bill(HAND, hours([2, 2, 4, 4], start="2025-05-31 22:00"))
    assert table.energy.tolist() == pytest.approx([0.4, 0.8])
    assert table.fixed.tolist() == [9.0, 9.0]
    assert table.demand.tolist() == pytest.approx([20, 40])


def test_a_load_that_ends_within_a_billing_interval_loses_no_demand():
    """Not passed over: 50 kW in the last 5 minutes, and a load shorter than an interval."""
    for load in ([1.0] * 24 + [50.0], [1.0, 1.0]):
        words = sentence(lambda load=load: bill(QUARTERS, hours(load, freq="5min")))
        assert "ends within a billing interval of 15 min" in words


RULE = HAND.demand[0]


@pytest.mark.parametrize(
    "field, value, words",
    [
        ("months", [13], ("months in demand[0] of the tariff 'by hand' is 13", "at most 12")),
        ("months", [0, 1], ("is 0", "at least 1")),
        ("months", [True], ("months in demand[0]", "whole number")),
        ("months", [], ("months in demand[0]", "empty")),
        ("months", [[1, 2], [3]], ("months in demand[0]", "single number")),
        ("months", 6, ("months in demand[0]", "a list")),
        ("months", "summer", ("months in demand[0]", "'summer'")),
        ("days", "sundays", ("days in demand[0]", "'sundays'", "'weekdays'")),
        ("days", None, ("days in demand[0]", "None")),
        ("from_h", -1.0, ("from_h in demand[0]", "at least 0")),
        ("to_h", 25.0, ("to_h in demand[0]", "25 h", "at most 24")),
        ("to_h", np.nan, ("to_h in demand[0]", "NaN")),
        ("to_h", True, ("to_h in demand[0]", "True")),
        ("price_per_kw_month", np.nan, ("price_per_kw_month in demand[0]", "NaN")),
        ("price_per_kw_month", np.inf, ("price_per_kw_month in demand[0]", "infinite")),
        ("price_per_kw_month", -1.0, ("price_per_kw_month in demand[0]", "at least 0")),
        ("price_per_kw_month", True, ("price_per_kw_month in demand[0]", "True")),
        ("price_per_kw_month", "12", ("price_per_kw_month in demand[0]", "'12'")),
        (
            "price_per_kwh",
            0.1,
            ("demand[0] of the tariff 'by hand' has the unknown key price_per_kwh",),
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_place_and_key(field, value, words):
    said = sentence(lambda: replace(HAND, demand=[RULE | {field: value}]))
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(
    "field, value, word",
    [
        ("fixed_per_month", np.nan, "NaN"),
        ("export_per_kwh", np.nan, "NaN"),
        ("export_per_kwh", [0.1, 0.2], "single number"),
        ("interval_min", 0, "at least 1"),
        ("interval_min", 7.5, "whole number"),
        ("ratchet", 80, "per cent"),
        ("ratchet", [0.5, 0.5], "single number"),
        ("currency", "dollars", "ISO code"),
        ("timezone", "Atlantis", "time zone"),
        ("name", None, "None"),
        ("energy", HAND.energy[0], "put it into a list"),
        ("demand", RULE, "put it into a list"),
        ("demand", [7], "demand[0] is 7"),
    ],
)
def test_a_tariff_that_cannot_be_is_refused(field, value, word):
    said = sentence(lambda: replace(HAND, **{field: value}))
    assert field in said
    assert word in said


def test_a_tariff_keeps_its_own_copy_of_the_rules():
    rule = dict(HAND.energy[1])
    kept = replace(HAND, energy=[rule])
    rule["price_per_kwh"] = np.nan
    assert kept.energy[0]["price_per_kwh"] == 0.1


def test_a_tariff_file_with_an_unknown_key_is_refused(tmp_path, monkeypatch):
    (tmp_path / "tariffs").mkdir()
    (tmp_path / "tariffs" / "odd.toml").write_text('name = "odd"\nratchets = 0.5\n')
    monkeypatch.setattr(_check, "FOLDER", tmp_path)
    assert "the key ratchets" in sentence(lambda: tariff("odd"))


# --------------------------------------------------------------------------------------- even steps


@pytest.mark.parametrize("freq, length_h", [("h", 1.0), ("15min", 0.25), ("5min", 1 / 12)])
def test_length_of_a_step(freq, length_h):
    assert even_step(pd.date_range(MONDAY, periods=5, freq=freq)) == pytest.approx(length_h)


@pytest.mark.parametrize("day", ["2025-03-30", "2025-10-26"])
def test_local_time_over_a_change_of_clocks_is_even(day):
    assert even_step(pd.date_range(day, periods=30, freq="h", tz="Europe/Amsterdam")) == 1.0


@pytest.mark.parametrize("order", [[3, 2, 1, 0], [0, 0]])
def test_time_that_runs_backwards_or_stands_still_is_no_step(order):
    with pytest.raises(ValueError, match="time must rise"):
        even_step(pd.date_range(MONDAY, periods=4, freq="h")[order])


def test_hours_until_september_and_quarters_from_october_have_no_gap():
    """As European day-ahead prices had it in 2025."""
    zone = "Europe/Amsterdam"
    hourly = pd.date_range("2025-01-01", "2025-10-01", freq="h", inclusive="left", tz=zone)
    quarters = pd.date_range("2025-10-01", "2026-01-01", freq="15min", inclusive="left", tz=zone)
    words = sentence(lambda: even_step(hourly.append(quarters)))
    assert "changes from 60 to 15 min at 2025-10-01 00:00" in words
    assert "nothing is missing" in words
    assert "gap" not in words


@pytest.mark.parametrize("dropped", [[1], [5], [22], [5, 7]])
def test_a_missing_hour_is_a_gap_wherever_it_is(dropped):
    time = pd.date_range(MONDAY, periods=24, freq="h")
    after = f"2025-07-07 {dropped[0] + 1:02d}:00"
    assert f"{after} follows after a gap" in sentence(lambda: even_step(time.delete(dropped)))


@pytest.mark.parametrize("call", [even_step, lambda time: rates(HAND, time)])
def test_an_index_of_text_is_refused(call):
    words = sentence(lambda: call(pd.Index(["2025-07-07 00:00", "2025-07-07 01:00"])))
    assert "time must be time stamps" in words


# --------------------------------------------------------------- cvxpy on equations (8.5) to (8.7)


def reference(storage, diary, prices, site=ALONE, wear=0.0, whole=False):
    """Least cost, written with cvxpy from the equations.

    `whole` adds a direction for every car and for the meter, in every step.
    """
    plugged = np.atleast_2d(diary.plugged)
    cars, steps = plugged.shape
    car = {name: column(getattr(storage, name), cars) for name in storage.__dataclass_fields__}
    wide = np.ones((1, steps))
    charge = cp.Variable((cars, steps), nonneg=True)
    give = cp.Variable((cars, steps), nonneg=True)
    soc = cp.Variable((cars, steps))
    drawn, given = cp.Variable(steps, nonneg=True), cp.Variable(steps, nonneg=True)
    load = np.broadcast_to(np.asarray(site.load_kw, dtype=float), steps)
    most = 2 * (np.abs(load).max() + car["p_charge_kw"].sum() + car["p_discharge_kw"].sum())
    before = cp.hstack([column(diary.soc_start, cars), soc[:, :-1]])
    stored = cp.multiply(car["eta_charge"] * wide, charge) - cp.multiply(
        wide / car["eta_discharge"], give
    )
    rules = [
        cp.multiply(car["energy_kwh"] * wide, soc - before)
        == prices.dt_h * stored - np.atleast_2d(diary.drive_kwh),  # (8.6)
        drawn - given == load + cp.sum(charge - give, axis=0),  # (8.7)
        drawn <= min(site.import_limit_kw, most),
        given <= min(site.export_limit_kw, most),
        charge <= plugged * car["p_charge_kw"],
        give <= plugged * car["p_discharge_kw"],
        soc <= car["soc_max"] * wide,
        soc
        >= np.maximum(
            np.where(plugged == 1, car["soc_min"], 0.0), np.atleast_2d(diary.soc_departure)
        ),
    ]
    cost = prices.dt_h * (prices.buy_per_kwh @ drawn - prices.sell_per_kwh @ given)  # (8.5)
    cost += wear * prices.dt_h * cp.sum(cp.multiply(wide / car["eta_discharge"], give))
    for peak in prices.peaks:
        highest = cp.Variable()
        cost += peak.price_per_kw * highest
        rules.append(highest >= peak.already_kw)
        for first in range(0, steps, peak.interval_steps):
            if peak.counts is None or peak.counts[first]:
                rules.append(
                    highest
                    >= cp.sum(drawn[first : first + peak.interval_steps]) / peak.interval_steps
                )
    if whole:
        way, flow = cp.Variable((cars, steps), boolean=True), cp.Variable(steps, boolean=True)
        rules += [
            charge <= cp.multiply(car["p_charge_kw"] * wide, way),
            give <= cp.multiply(car["p_discharge_kw"] * wide, 1 - way),
            drawn <= most * flow,
            given <= most * (1 - flow),
        ]
    problem = cp.Problem(cp.Minimize(cost), rules)
    problem.solve(
        **(
            {"solver": cp.SCIPY, "scipy_options": {"mip_rel_gap": 1e-9}}
            if whole
            else {"solver": cp.CLARABEL}
        )
    )
    assert problem.status == "optimal"
    return problem.value


def fleet(rng, cars, steps, dt_h=1.0):
    """Cars of many kinds that all make a trip.

    A step of which half is spent at the plug, driving, a step that is a quarter at the plug again.
    """
    draw = rng.uniform
    storage = Storage(
        energy_kwh=draw(30, 90, cars),
        soc_min=draw(0.05, 0.2, cars),
        soc_max=draw(0.8, 1.0, cars),
        p_charge_kw=draw(5, 12, cars),
        p_discharge_kw=draw(3, 11, cars),
        eta_charge=draw(0.88, 0.98, cars),
        eta_discharge=draw(0.88, 0.98, cars),
    )
    plugged = np.ones((cars, steps))
    drive = np.zeros((cars, steps))
    promise = np.zeros((cars, steps))
    for i in range(cars):
        leave = rng.integers(steps // 3, steps // 2)
        back = rng.integers(steps // 2 + 1, 2 * steps // 3)
        plugged[i, leave:back] = 0.0
        plugged[i, leave - 1] = 0.5
        plugged[i, back] = 0.25
        promise[i, leave - 1] = draw(0.5, 0.6)
        promise[i, back] = storage.soc_min[i]
        drive[i, leave : back + 1] = draw(0.1, 0.3) * storage.energy_kwh[i] / (back + 1 - leave)
    diary = Diary(
        soc_start=draw(0.3, 0.5, cars), plugged=plugged, drive_kwh=drive, soc_departure=promise
    )
    return (one_of(storage), one_of(diary)) if cars == 1 else (storage, diary)


def one_of(record, i=0):
    """A car of a fleet, as plain numbers and rows."""
    values = {name: getattr(record, name) for name in record.__dataclass_fields__}
    return replace(
        record, **{name: value[i] if np.ndim(value) else value for name, value in values.items()}
    )


def peak_of(rng, steps, **fields):
    return Peak(price_per_kw=rng.uniform(0.5, 3.0), counts=rng.random(steps) < 0.6, **fields)


# cars, steps, and what else is given: wear, a load, a selling price (as a share of the buying
# price), limits and peaks
INSTANCES = {
    "one car, one price": (1, 24, {}),
    "one car, one price, wear, quarters of an hour": (1, 48, {"wear": 0.03, "dt_h": 0.25}),
    "one car, two prices": (1, 24, {"share": 0.6}),
    "two prices, load behind the meter": (1, 24, {"share": 0.5, "load": 6.0, "wear": 0.01}),
    "nothing is paid for export": (1, 24, {"share": 0.0, "load": 3.0}),
    "one price, load and limits": (
        1,
        24,
        {"load": 4.0, "site": {"import_limit_kw": 7.0, "export_limit_kw": 2.0}},
    ),
    "demand charge": (1, 24, {"load": 9.0, "peaks": lambda rng: (Peak(price_per_kw=1.5),)}),
    "demand charge, means, some hours, an old peak": (
        1,
        24,
        {
            "load": 9.0,
            "share": 0.7,
            "peaks": lambda rng: (
                peak_of(rng, 24, interval_steps=3),
                peak_of(rng, 24, already_kw=5.0),
                Peak(price_per_kw=2.0, interval_steps=2, already_kw=3.0),
            ),
        },
    ),
    "six cars, one price, wear": (6, 24, {"wear": 0.02}),
    "five cars, two prices, load": (5, 24, {"load": 15.0, "share": 0.4}),
    "twelve cars, import limit": (12, 18, {"load": 20.0, "site": {"import_limit_kw": 60.0}}),
    "twenty cars, two prices, demand charge, limits": (
        20,
        18,
        {
            "load": 20.0,
            "share": 0.8,
            "site": {"import_limit_kw": 80.0, "export_limit_kw": 15.0},
            "peaks": lambda rng: (Peak(price_per_kw=1.0, interval_steps=3),),
            "wear": 0.01,
        },
    ),
}


@pytest.mark.parametrize("name", INSTANCES)
def test_optimum_agrees_with_cvxpy(name):
    cars, steps, extra = INSTANCES[name]
    rng = np.random.default_rng(len(name))
    storage, diary = fleet(rng, cars, steps)
    buy = rng.uniform(0.05, 0.4, steps)
    prices = Prices(
        dt_h=extra.get("dt_h", 1.0),
        buy_per_kwh=buy,
        sell_per_kwh=buy * extra["share"] if "share" in extra else None,
        peaks=extra["peaks"](rng) if "peaks" in extra else (),
    )
    if prices.dt_h < 1:
        diary = replace(diary, soc_departure=0.7 * diary.soc_departure)
    site = Site(
        load_kw=extra["load"] * rng.uniform(-0.5, 1.0, steps) if "load" in extra else 0.0,
        **extra.get("site", {}),
    )
    wear = extra.get("wear", 0.0)
    plan = optimise(storage, diary, prices, site, wear_per_kwh=wear)
    assert_sound(plan, storage, diary, prices.dt_h)
    assert plan.import_kw.max() <= site.import_limit_kw + 1e-6
    assert plan.export_kw.max() <= site.export_limit_kw + 1e-6
    assert plan.cost == pytest.approx(reference(storage, diary, prices, site, wear), rel=1e-6)
    assert plan.binaries == 0


# -------------------------------------------------------------------------- where burning would pay


@pytest.mark.parametrize(
    "name, cars, load, share, wear, peaks",
    [
        ("negative prices", 1, 0.0, None, 0.0, ()),
        ("negative prices, wear", 1, 0.0, None, 0.004, ()),
        ("export above import, load", 1, 5.0, 1.3, 0.0, ()),
        ("export above import", 1, 0.0, 1.5, 0.01, ()),
        ("negative price, export unpaid", 1, -2.0, 0.0, 0.0, ()),
        (
            "three cars, negative prices, demand charge",
            3,
            4.0,
            None,
            0.0,
            (Peak(price_per_kw=0.2, interval_steps=2),),
        ),
    ],
)
def test_optimum_with_directions_agrees_with_a_programme_of_whole_numbers(
    name, cars, load, share, wear, peaks
):
    rng = np.random.default_rng(len(name))
    storage, diary = fleet(rng, cars, 12)
    storage = replace(storage, energy_kwh=storage.energy_kwh / 4)  # small, so that it is often full
    diary = replace(diary, drive_kwh=diary.drive_kwh / 4)
    buy = rng.uniform(-0.3, 0.05, 12) if "negative" in name else rng.uniform(0.05, 0.3, 12)
    prices = Prices(
        dt_h=1.0, buy_per_kwh=buy, sell_per_kwh=None if share is None else share * buy, peaks=peaks
    )
    plan = optimise(storage, diary, prices, Site(load_kw=load), wear_per_kwh=wear)
    assert_sound(plan, storage, diary, 1.0)
    assert plan.cost == pytest.approx(
        reference(storage, diary, prices, Site(load_kw=load), wear, whole=True), rel=1e-6
    )
    assert plan.binaries > 0
    assert plan.cost > reference(storage, diary, prices, Site(load_kw=load), wear) + 1e-4, (
        "the instance must be one in which burning would pay"
    )


@pytest.mark.parametrize("wear", [0.0, 0.005, 0.02])
@pytest.mark.parametrize("factor, burns", [(0.99, False), (1.01, True)])
def test_burning_starts_at_the_price_of_8_11(wear, factor, burns):
    """A full car and one price: below the threshold only burning would pay, and it is forbidden."""
    price = factor * burning_price(CAR, wear) - (0.0 if wear else 0.001 * (1 if burns else -1))
    plan = optimise(
        CAR,
        plugged_in(2, soc_start=0.9, soc_departure=0.9),
        Prices(dt_h=1.0, buy_per_kwh=[price, price]),
        wear_per_kwh=wear,
    )
    assert (plan.binaries > 0) == burns
    assert plan.p_kw == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("wear", [0.0, 0.02])
@pytest.mark.parametrize("factor, burns", [(0.999, False), (1.001, True)])
def test_burning_between_two_prices_starts_where_8_11_says(wear, factor, burns):
    """One step and an empty car: it could only sell what it buys in the same moment."""
    sell = factor * (0.2 + wear * CAR.eta_charge) / CAR.eta_round_trip
    plan = optimise(
        CAR,
        plugged_in(1, soc_start=CAR.soc_min),
        Prices(dt_h=1.0, buy_per_kwh=[0.2], sell_per_kwh=[sell]),
        wear_per_kwh=wear,
    )
    assert (plan.binaries > 0) == burns
    assert plan.cost == pytest.approx(0.0, abs=1e-6)


def test_a_meter_does_not_buy_from_itself():
    """Export pays more than import costs: both at once would be a money machine, and is not one."""
    plan = optimise(
        CAR,
        plugged_in(3, soc_departure=0.5),
        Prices(dt_h=1.0, buy_per_kwh=[0.1] * 3, sell_per_kwh=[0.105] * 3),
        Site(load_kw=4.0),
    )
    assert plan.binaries > 0
    assert plan.cost == pytest.approx(1.2)


def test_burning_price_by_hand():
    assert burning_price(replace(CAR, eta_charge=0.8, eta_discharge=0.5), 0.06) == pytest.approx(
        -0.06 * 0.8 / 0.6
    )
    assert burning_price(CAR, 0.0) == 0.0
    assert burning_price(replace(CAR, eta_charge=1.0, eta_discharge=1.0), 0.06) == -np.inf
    assert burning_price(
        replace(CAR, eta_charge=np.array([0.8, 1.0]), eta_discharge=np.array([0.5, 1.0])), 0.06
    ).tolist() == pytest.approx([-0.08, -np.inf])


# --------------------------------------------------------------------------------------- invariants

PRICES = st.lists(st.integers(5, 40), min_size=18, max_size=18).map(
    lambda cents: np.array(cents) / 100
)
SEEDS = st.integers(0, 10_000)
RATIOS = st.sampled_from([0.0, 0.5, 1.0])


def market(buy, ratio, **fields):
    return Prices(dt_h=1.0, buy_per_kwh=buy, sell_per_kwh=ratio * buy, **fields)


@few
@given(SEEDS, PRICES, RATIOS, st.sampled_from([0.0, 0.05]))
def test_hindsight_beats_every_other_plan(seed, buy, ratio, wear):
    car, diary = fleet(np.random.default_rng(seed), 1, 18)
    prices, site = market(buy, ratio), Site(load_kw=np.linspace(0, 5, 18))
    best = optimise(car, diary, prices, site, wear_per_kwh=wear)
    knows = rolling(
        car,
        diary,
        prices,
        lambda k, steps: buy[k : k + steps],
        site,
        every=5,
        horizon=18,
        wear_per_kwh=wear,
    )
    guesses = rolling(
        car,
        diary,
        prices,
        lambda k, steps: np.full(steps, buy[k]),
        site,
        every=3,
        horizon=6,
        wear_per_kwh=wear,
    )
    thumb = follow(
        car,
        diary,
        prices,
        8.0 * best_hours(buy, np.repeat([0, 1], 9), 3, 2),
        site,
        wear_per_kwh=wear,
    )
    for plan in (best, knows, guesses, thumb):
        assert_sound(plan, car, diary, 1.0)
    assert knows.cost == pytest.approx(best.cost, abs=1e-6)
    assert best.cost <= min(guesses.cost, thumb.cost) + 1e-6


@few
@given(SEEDS, PRICES, RATIOS)
def test_a_one_way_car_is_never_cheaper(seed, buy, ratio):
    car, diary = fleet(np.random.default_rng(seed), 1, 18)
    one_way = optimise(replace(car, p_discharge_kw=0.0), diary, market(buy, ratio))
    assert one_way.discharged_kwh == 0.0
    assert one_way.cost >= optimise(car, diary, market(buy, ratio)).cost - 1e-6


@few
@given(SEEDS, PRICES, st.floats(0.0, 0.1), st.floats(0.001, 0.1))
def test_more_wear_never_gives_more_discharge(seed, buy, wear, more):
    car, diary = fleet(np.random.default_rng(seed), 1, 18)
    light, heavy = (
        optimise(car, diary, market(buy, 1.0), wear_per_kwh=w) for w in (wear, wear + more)
    )
    assert heavy.discharged_kwh <= light.discharged_kwh + 1e-4
    assert heavy.cost >= light.cost - 1e-6


@few
@given(SEEDS, PRICES, st.floats(0.1, 20.0))
def test_cost_is_homogeneous_in_prices(seed, buy, factor):
    car, diary = fleet(np.random.default_rng(seed), 1, 18)
    cost = [
        optimise(
            car,
            diary,
            market(f * buy, 0.7, peaks=(Peak(price_per_kw=0.8 * f, interval_steps=2),)),
            Site(load_kw=3.0),
            wear_per_kwh=0.02 * f,
        ).cost
        for f in (1.0, factor)
    ]
    assert cost[1] == pytest.approx(factor * cost[0], rel=1e-6, abs=1e-6)


@few
@given(SEEDS, PRICES, st.integers(2, 6))
def test_equal_cars_that_share_nothing_cost_what_one_costs(seed, buy, cars):
    car, diary = fleet(np.random.default_rng(seed), 1, 18)
    rows = Diary(
        soc_start=diary.soc_start,
        **{
            name: np.tile(getattr(diary, name), (cars, 1))
            for name in ("plugged", "drive_kwh", "soc_departure")
        },
    )
    together = optimise(car, rows, market(buy, 1.0), wear_per_kwh=0.01)
    alone = optimise(car, diary, market(buy, 1.0), wear_per_kwh=0.01)
    assert_sound(together, car, rows, 1.0)
    moved_kwh = np.abs(together.p_kw).sum() + cars * np.abs(alone.p_kw).sum()
    shift = 1e-4 * buy.mean() * moved_kwh  # prices are shifted so much to break ties, no more
    assert together.cost >= cars * alone.cost - 1e-6
    assert together.cost <= cars * alone.cost + shift + 1e-6


def test_the_shift_that_breaks_ties_costs_no_more_than_itself():
    """Trades that earn a hundred-thousandth of the price: some are left out, some are done."""
    sell = 0.2 / (CAR.eta_charge * CAR.eta_discharge)
    prices = market(np.array([0.2, 1.00001 * sell] * 4), 1.0)
    diary = Diary(soc_start=0.5, plugged=np.ones((3, 8)), soc_departure=np.r_[np.zeros(7), 0.5])
    plan = optimise(CAR, diary, prices)
    best = reference(CAR, diary, prices)
    shift = 1e-4 * prices.buy_per_kwh.mean() * 2 * 3 * 8 * 10.0  # at most 10 kW in each hour
    assert plan.cost >= best - 1e-6
    assert plan.cost <= best + shift


def test_cars_that_share_nothing_are_planned_as_if_alone():
    rng = np.random.default_rng(7)
    cars, diary = fleet(rng, 4, 18)
    prices = market(rng.uniform(0.05, 0.4, 18), 1.0)
    plan = optimise(cars, diary, prices)
    for i in range(4):
        alone = optimise(one_of(cars, i), one_of(diary, i), prices)
        np.testing.assert_allclose(plan.p_kw[i], alone.p_kw, atol=1e-6)


def test_ties_between_equal_cars_do_not_move_the_optimum():
    """One cheap hour for two hours' need, a demand charge that six share: many plans, one cost."""
    diary = Diary(soc_start=0.5, plugged=np.ones((6, 8)), soc_departure=np.r_[np.zeros(7), 0.7])
    prices = market(
        np.array([0.3, 0.2, 0.1, 0.1, 0.1, 0.2, 0.3, 0.4]), 0.0, peaks=(Peak(price_per_kw=0.4),)
    )
    assert optimise(CAR, diary, prices).cost == pytest.approx(
        reference(CAR, diary, prices), rel=1e-6
    )


def test_the_shift_that_breaks_ties_never_pays_for_burning():
    """What one way gains by it the other way loses: even cars that hardly lose anything have no
    reason to."""
    car = replace(CAR, eta_charge=0.99999, eta_discharge=0.99999)
    assert (
        optimise(
            car, Diary(soc_start=0.5, plugged=np.ones((3, 12))), market(np.full(12, 0.2), 1.0)
        ).binaries
        == 0
    )


@pytest.mark.parametrize(
    "carry_out",
    [
        lambda car, diary, prices: optimise(car, diary, prices),
        lambda car, diary, prices: follow(car, diary, prices, 8.0),
    ],
    ids=["optimise", "follow"],
)
def test_a_car_plugged_in_half_of_each_step_is_not_sold_below_its_window(carry_out):
    plan = carry_out(
        CAR, Diary(soc_start=0.3, plugged=np.full(6, 0.5)), market(np.linspace(0.1, 0.4, 6), 1.0)
    )
    assert plan.soc.min() >= CAR.soc_min - 1e-6


def test_a_year_of_quarter_hours():
    time = pd.date_range(
        "2025-01-01", "2026-01-01", freq="15min", inclusive="left", tz="Europe/Amsterdam"
    )
    diary = commuter(
        time,
        CAR,
        drive_kwh=9.0,
        leave_h=8.0,
        back_h=17.5,
        spread_h=0.5,
        soc_departure=0.8,
        rng=np.random.default_rng(1),
    )
    buy = (
        0.2
        + 0.1 * np.sin(2 * np.pi * (time.hour - 13) / 24)
        + 0.02 * np.random.default_rng(2).standard_normal(len(time))
    )
    plan = optimise(
        CAR, diary, Prices(dt_h=0.25, buy_per_kwh=np.maximum(buy, 0.01)), wear_per_kwh=0.05
    )
    assert len(plan.p_kw) == 35_040
    assert_sound(plan, CAR, diary, 0.25)
    assert plan.discharged_kwh > 1000
    assert plan.binaries == 0


# -------------------------------------------------------------------------------------- a price tag


def test_priced_by_hand():
    """Two half hours: 2 kW given beside a load of 1 kW, then 3 kW taken beside 4 kW."""
    peaks = (
        Peak(price_per_kw=10.0),
        Peak(price_per_kw=10.0, interval_steps=2),
        Peak(price_per_kw=10.0, already_kw=8.0),
        Peak(price_per_kw=10.0, counts=[True, False]),
    )
    p_kw, soc = np.array([2.0, -3.0]), np.array([0.4, 0.5])
    plan = priced(
        CAR,
        plugged_in(2),
        Prices(dt_h=0.5, buy_per_kwh=[0.1, 0.2], sell_per_kwh=0.05, peaks=peaks),
        p_kw,
        soc,
        Site(load_kw=[1.0, 4.0]),
        0.3,
    )
    assert plan.import_kw.tolist() == [0.0, 7.0]
    assert plan.export_kw.tolist() == [1.0, 0.0]
    assert plan.energy_cost == pytest.approx(0.5 * (0.2 * 7 - 0.05 * 1))
    assert plan.demand_cost == pytest.approx(70 + 35 + 80 + 0)
    assert plan.discharged_kwh == pytest.approx(1.0)
    assert plan.wear_cost == pytest.approx(0.3 * 1.0 / 0.96)
    assert plan.cost == pytest.approx(plan.energy_cost + plan.demand_cost + plan.wear_cost)


def test_a_table_of_one_car():
    prices = market(np.array([0.1, 0.2, 0.3]), 1.0)
    plan = optimise(CAR, plugged_in(3), prices)
    table = plan.table()
    assert table.columns.tolist() == ["p_kw", "soc", "import_kw", "export_kw"]
    assert table.index.name == "step"
    np.testing.assert_array_equal(table.p_kw, plan.p_kw)
    time = pd.date_range(MONDAY, periods=3, freq="h")
    assert plan.table(time).index.equals(time)


def test_wear_of_several_cars_takes_each_cars_efficiency():
    two = replace(CAR, eta_discharge=np.array([0.8, 0.5]))
    diary = Diary(soc_start=0.5, plugged=np.ones((2, 1)))
    power, soc = np.array([[4.0], [5.0]]), np.array([[0.4], [0.3]])
    plan = priced(two, diary, market(np.array([0.1]), 1.0), power, soc, wear_per_kwh=0.1)
    assert plan.wear_cost == pytest.approx(0.1 * (4 / 0.8 + 5 / 0.5))
    assert plan.energy_cost == pytest.approx(-0.9)


# -------------------------------------------------------------------- rules of thumb, and forecasts


@few
@given(SEEDS, st.integers(1, 3))
def test_floor_line_is_what_brute_force_finds(seed, cars):
    """At each step, over all later ones: what must be there then, less what full-power charging
    adds on balance until then."""
    storage, diary = fleet(np.random.default_rng(seed), cars, 12)
    rows = [
        np.atleast_2d(a)
        for a in (
            floor_line(storage, diary, dt_h=0.5),
            diary.plugged,
            diary.drive_kwh,
            diary.soc_departure,
        )
    ]
    for i, (floor, plugged, drive, promise) in enumerate(zip(*rows)):
        car = one_of(storage, i)
        net = (0.5 * car.eta_charge * car.p_charge_kw * plugged - drive) / car.energy_kwh
        own = [max(promise[k], car.soc_min if plugged[k] == 1 else 0.0) for k in range(12)]
        brute = [max(own[j] - net[k + 1 : j + 1].sum() for j in range(k, 12)) for k in range(12)]
        np.testing.assert_allclose(floor, brute, atol=1e-12)


@few
@given(SEEDS, st.integers(1, 4))
def test_follow_keeps_promises_whatever_the_wish(seed, cars):
    rng = np.random.default_rng(seed)
    storage, diary = fleet(rng, cars, 18)
    wish = rng.uniform(-15, 15, diary.plugged.shape)
    plan = follow(storage, diary, market(np.full(18, 0.2), 1.0), wish)
    assert_sound(plan, storage, diary, 1.0)
    assert (plan.soc >= floor_line(storage, diary, dt_h=1.0) - 1e-9).all()


@few
@given(SEEDS)
def test_follow_of_a_fleet_is_follow_of_each_car(seed):
    rng = np.random.default_rng(seed)
    cars, diary = fleet(rng, 3, 18)
    wish, prices = rng.uniform(-15, 15, (3, 18)), market(np.full(18, 0.2), 1.0)
    plan = follow(cars, diary, prices, wish)
    for i in range(3):
        alone = follow(one_of(cars, i), one_of(diary, i), prices, wish[i])
        np.testing.assert_allclose(plan.p_kw[i], alone.p_kw, atol=1e-12)
        np.testing.assert_allclose(plan.soc[i], alone.soc, atol=1e-12)


def test_follow_obeys_a_wish_that_can_be_carried_out():
    """60 kWh from 0.5: 4 kW given for an hour, then 6 kW taken, then nothing."""
    plan = follow(CAR, plugged_in(3), market(np.full(3, 0.2), 1.0), [4.0, -6.0, 0.0])
    assert plan.p_kw.tolist() == [4.0, -6.0, 0.0]
    soc = 0.5 - 4 / (0.96 * 60)
    assert plan.soc.tolist() == pytest.approx([soc, soc + 6 * 0.94 / 60, soc + 6 * 0.94 / 60])


def test_follow_clips_at_charger_window_and_promise():
    prices = market(np.full(8, 0.2), 1.0)
    full = follow(CAR, plugged_in(8), prices, -99.0)
    assert full.p_kw[:2].tolist() == [-10.0, -10.0]
    assert full.soc[-1] == pytest.approx(0.9)
    empty = follow(CAR, plugged_in(8), prices, 99.0)
    assert empty.p_kw[0] == 8.0
    assert empty.soc[-1] == pytest.approx(0.15)
    kept = follow(CAR, plugged_in(8, soc_departure=np.r_[np.zeros(7), 0.6]), prices, 99.0)
    assert kept.soc[-1] == pytest.approx(0.6)
    assert kept.soc.min() < 0.5


def test_follow_sells_nothing_that_the_same_step_drives():
    """Half a step at the plug, then 6 kWh driven, and half a battery promised after it: 3 of 60 kWh
    are left to sell."""
    diary = Diary(
        soc_start=0.65, plugged=[0.5, 0.0], drive_kwh=[6.0, 0.0], soc_departure=[0.5, 0.0]
    )
    plan = follow(CAR, diary, market(np.full(2, 0.2), 1.0), 99.0)
    assert plan.p_kw.tolist() == pytest.approx([0.96 * 3.0, 0.0])
    assert plan.soc.tolist() == pytest.approx([0.5, 0.5])


@few
@given(SEEDS, PRICES)
def test_follow_carries_out_the_optimum_as_it_is(seed, buy):
    car, diary = fleet(np.random.default_rng(seed), 1, 18)
    best = optimise(car, diary, market(buy, 1.0), wear_per_kwh=0.01)
    again = follow(car, diary, market(buy, 1.0), best.p_kw, wear_per_kwh=0.01)
    np.testing.assert_allclose(again.p_kw, best.p_kw, atol=1e-4)
    assert again.cost == pytest.approx(best.cost, abs=1e-4)


def test_best_hours_of_two_days():
    wish = best_hours([3, 1, 2, 5, 4, 6, 9, 8, 7, 6, 5, 4], np.repeat(["mon", "tue"], 6), 2, 1)
    assert wish.tolist() == [0, -1, -1, 0, 0, 1, 1, 0, 0, 0, -1, -1]


def test_best_hours_with_ties_takes_the_first():
    assert best_hours([1, 1, 1, 2, 2, 2], np.zeros(6), 2, 2).tolist() == [-1, -1, 0, 1, 1, 0]


def test_best_hours_of_a_day_that_is_too_short_charges():
    assert best_hours([5, 4, 3], np.zeros(3), 2, 2).tolist() == [1, -1, -1]


def test_rolling_keeps_a_promise_just_behind_its_horizon():
    """Planned two steps ahead, a promise that takes six hours of charging is kept only if the plan
    knows of it before."""
    diary = plugged_in(8, soc_start=0.15, soc_departure=np.r_[np.zeros(7), 0.85])
    plan = rolling(
        CAR,
        diary,
        market(np.linspace(0.4, 0.1, 8), 1.0),
        lambda k, steps: np.linspace(0.4, 0.1, 8)[k : k + steps],
        every=1,
        horizon=2,
    )
    assert plan.soc[-1] == pytest.approx(0.85)
    assert_sound(plan, CAR, diary, 1.0)


@pytest.mark.parametrize(
    "counts, interval, expected",
    [
        (None, 1, [0, 0, 10, 0]),
        ([True] * 4, 1, [0, 0, 10, 0]),
        ([False, False, True, True], 1, [0, 0, 5, 5]),
        (None, 2, [0, 0, 10, 0]),
    ],
)
def test_rolling_carries_the_peak_reached_so_far(counts, interval, expected):
    """Ten kW of load in the first hour, if they are billed anyway, make ten kW of charging free in
    the third; else it is spread."""
    car = replace(CAR, p_discharge_kw=0.0, eta_charge=0.9)
    diary = plugged_in(4, soc_departure=np.array([0, 0, 0, 0.5 + 9 / 60]))
    prices = market(
        np.array([0.3, 0.3, 0.1, 0.3]),
        1.0,
        peaks=(Peak(price_per_kw=20.0, counts=counts, interval_steps=interval),),
    )
    plan = rolling(
        car,
        diary,
        prices,
        lambda k, steps: prices.buy_per_kwh[k : k + steps],
        Site(load_kw=[10.0, 0, 0, 0]),
        every=2,
        horizon=2,
    )
    assert plan.p_kw == pytest.approx(-np.array(expected, dtype=float), abs=1e-6)


def test_rolling_with_foresight_is_the_optimum_under_limits_and_two_demand_charges():
    """The evening has a charge of its own; neither peak stands in for the other when carried."""
    buy, steps = np.random.default_rng(4).uniform(0.05, 0.4, 12), np.arange(12)
    site = Site(
        load_kw=np.where(steps // 4 == 1, 9.0, 1.0), import_limit_kw=10.0, export_limit_kw=1.5
    )
    prices = market(
        buy,
        0.8,
        peaks=(
            Peak(price_per_kw=1.0, interval_steps=2),
            Peak(price_per_kw=3.0, counts=steps >= 8, already_kw=0.5),
        ),
    )
    diary = plugged_in(12, soc_start=0.8, soc_departure=np.r_[np.zeros(6), 0.4, np.zeros(4), 0.7])
    plan = rolling(
        CAR, diary, prices, lambda k, steps: buy[k : k + steps], site, every=2, horizon=12
    )
    assert plan.cost == pytest.approx(optimise(CAR, diary, prices, site).cost, rel=1e-7)
    assert plan.import_kw.max() <= 10.0 + 1e-6
    assert plan.export_kw.max() == pytest.approx(1.5)


def test_rolling_believes_its_forecast_and_pays_the_true_price():
    """Told that the second hour is the cheap one, the car charges then."""
    true = np.array([0.1, 0.4])
    diary = plugged_in(2, soc_departure=np.array([0.0, 0.5 + 9.4 / 60]))
    plan = rolling(
        replace(CAR, p_discharge_kw=0.0),
        diary,
        market(true, 1.0),
        lambda k, steps: true[::-1][k : k + steps],
        every=1,
        horizon=2,
    )
    assert plan.p_kw == pytest.approx([0.0, -10.0], abs=1e-6)
    assert plan.energy_cost == pytest.approx(4.0)


# ------------------------------------------------------------------------ when there is no schedule


def sentence(call):
    with pytest.raises((ValueError, TypeError)) as refusal:
        call()
    return str(refusal.value)


FLAT8 = market(np.full(8, 0.2), 1.0)
TWO = Diary(soc_start=0.5, plugged=np.ones((2, 8)))
LATE = plugged_in(8, soc_departure=np.r_[np.zeros(7), 0.8])


def test_a_limit_that_is_too_low_is_answered_with_the_least_that_does():
    """0.2 of 52 kWh at 0.8 within two hours is 6.5 kW, beside a load of 1 kW."""
    car = replace(CAR, energy_kwh=52.0, eta_charge=0.8)
    diary = plugged_in(2, soc_departure=np.array([0.0, 0.7]))
    prices = market(np.array([0.1, 0.3]), 1.0)
    words = sentence(lambda: optimise(car, diary, prices, Site(load_kw=1.0, import_limit_kw=5.0)))
    assert "import_limit_kw = 5 kW" in words
    assert "at least 7.5 kW" in words
    assert optimise(
        car, diary, prices, Site(load_kw=1.0, import_limit_kw=7.5 + 1e-6)
    ).import_kw.max() == pytest.approx(7.5)
    assert "import_limit_kw" in sentence(
        lambda: optimise(car, diary, prices, Site(load_kw=1.0, import_limit_kw=0.99 * 7.5))
    )


@pytest.mark.parametrize("promise", [0.7, 0.71, 0.712, 0.737])
def test_the_limit_that_the_sentence_names_is_enough(promise):
    diary = plugged_in(3, soc_departure=np.array([0.0, 0.0, promise]))
    site = Site(load_kw=1.0, import_limit_kw=2.0)
    named = float(
        re.search(
            r"at least ([\d.]+) kW",
            sentence(lambda: optimise(CAR, diary, market(np.full(3, 0.2), 1.0), site)),
        )[1]
    )
    optimise(CAR, diary, market(np.full(3, 0.2), 1.0), replace(site, import_limit_kw=named + 1e-6))


def test_the_load_alone_is_above_the_limit():
    words = sentence(
        lambda: optimise(
            replace(CAR, p_discharge_kw=2.0),
            plugged_in(4),
            market(np.full(4, 0.2), 1.0),
            Site(load_kw=[1, 1, 9, 1], import_limit_kw=5.0),
        )
    )
    assert "at least 7.0 kW" in words
    assert "step 2" in words


def test_rolling_can_begin_with_a_shorter_plan():
    """Twelve hours first, then each noon: the forecast is asked at noon only."""
    asked = []

    def known(k, steps):
        asked.append(k)
        return np.full(steps, 0.1)

    prices = Prices(dt_h=1.0, buy_per_kwh=np.full(72, 0.1))
    diary = Diary(soc_start=0.5, plugged=np.ones(72), soc_departure=np.zeros(72))
    rolling(CAR, diary, prices, known, every=24, horizon=48, first=12)
    assert asked == [0, 12, 36, 60]
    plans = [
        rolling(CAR, diary, prices, known, every=24, horizon=48, first=first).cost
        for first in (None, 24)
    ]
    assert plans[0] == plans[1]


@pytest.mark.parametrize("first", [0, 25, 1.5])
def test_rolling_refuses_a_first_plan_that_does_not_fit(first):
    prices = Prices(dt_h=1.0, buy_per_kwh=np.full(48, 0.1))
    diary = Diary(soc_start=0.5, plugged=np.ones(48), soc_departure=np.zeros(48))
    with pytest.raises((TypeError, ValueError), match="first"):
        rolling(CAR, diary, prices, lambda k, n: np.ones(n), every=24, horizon=48, first=first)


def test_rolling_refuses_a_first_plan_that_ends_within_a_billing_interval():
    peak = Peak(price_per_kw=1.0, interval_steps=4)
    prices = Prices(dt_h=0.25, buy_per_kwh=np.full(48, 0.1), peaks=[peak])
    diary = Diary(soc_start=0.5, plugged=np.ones(48), soc_departure=np.zeros(48))
    with pytest.raises(ValueError, match="first is 6 steps; with a demand charge"):
        rolling(CAR, diary, prices, lambda k, n: np.ones(n), every=8, horizon=16, first=6)


@pytest.mark.parametrize("horizon", [2, 4])
def test_rolling_names_an_impossible_trip_as_optimise_does(horizon):
    """Not a step of the window, not a soc that nobody promised, and no word of per cent."""
    diary = Diary(
        soc_start=0.9,
        plugged=np.r_[np.ones(4), np.zeros(4)],
        drive_kwh=np.r_[np.zeros(5), 30.0, 0.0, 35.0],
    )
    assert "cannot make the trip in step 7" in sentence(lambda: optimise(CAR, diary, FLAT8))
    words = sentence(lambda: rolling(CAR, diary, FLAT8, guess, every=1, horizon=horizon))
    assert "per cent" not in words
    assert "step 7" in words


NOON = hours([1, 1, 1, 1, 1, 1], start="2025-07-07 12:00")
TABLE = pd.DataFrame(
    {
        "arrival": pd.date_range("2025-07-07 08:00", periods=5, freq="D"),
        "departure": pd.date_range("2025-07-07 16:00", periods=5, freq="D"),
        "delivered_kwh": [3.0, 4.0, 5.0, 6.0, 7.0],
    }
)
YEAR = pd.date_range("2025-01-01", "2026-01-01", freq="h", inclusive="left", tz="Europe/Amsterdam")


def home(time=YEAR, **fields):
    return commuter(
        time,
        CAR,
        **{
            "drive_kwh": 9.0,
            "leave_h": 8.0,
            "back_h": 17.5,
            "spread_h": 0.5,
            "soc_departure": 0.8,
            "rng": np.random.default_rng(3),
        }
        | fields,
    )


def work(time=YEAR, table=TABLE, **fields):
    return workplace(
        time,
        table,
        CAR,
        **{"presence": 1.0, "soc_departure": 0.8, "rng": np.random.default_rng(3)} | fields,
    )


def guess(k, steps):
    return np.full(steps, 0.2)


BAD = {
    "efficiency in per cent": (
        lambda: spread_profit(20.0, 0.08, 0.2, eta_round_trip=90),
        "eta_round_trip is 90",
        "per cent",
    ),
    "no efficiency": (
        lambda: spread_profit(20.0, 0.08, 0.2, eta_round_trip=0.0),
        "eta_round_trip is 0",
        "above 0",
    ),
    "negative energy": (
        lambda: spread_profit(-1.0, 0.08, 0.2, eta_round_trip=0.9),
        "sold_kwh is -1 kWh",
    ),
    "profit above the spread": (
        lambda: implied_efficiency(3.0, 20.0, 0.08, 0.2),
        "profit = 3 ",
        "sell_per_kwh = 0.2",
        "at most 2.4",
    ),
    "profit that needs no energy": (
        lambda: implied_efficiency(5.0, 20.0, 0.08, 0.2),
        "outside 0..1",
    ),
    "dispatch ratio in per cent": (
        lambda: regulation_revenue(
            15.0, 100.0, capacity_per_kw_h=0.04, energy_per_kwh=0.1, dispatch_ratio=10
        ),
        "dispatch_ratio is 10",
        "at most 1",
    ),
    "half an interval": (
        lambda: demand_saving(np.ones(7), np.ones(7), 1.0, interval_steps=3),
        "7 steps",
        "interval_steps = 3",
    ),
    "tariff unknown": (lambda: tariff("cheap"), "'cheap'", "sce_tou_ev_4"),
    "tariff without periods": (lambda: replace(HAND, energy=[]), "'by hand'", "no energy periods"),
    "tariff of Sundays": (
        lambda: replace(HAND, demand=[HAND.demand[0] | {"days": "sundays"}]),
        "'by hand'",
        "demand[0]",
        "sundays",
    ),
    "tariff after midnight": (
        lambda: replace(HAND, energy=[HAND.energy[0] | {"from_h": 22, "to_h": 6}]),
        "from_h in energy[0] of the tariff 'by hand' is 22 and to_h is 6",
        "two rules",
    ),
    "ratchet in per cent": (lambda: replace(HAND, ratchet=80), "ratchet is 80", "at most 1"),
    "hour without price": (
        lambda: rates(replace(HAND, energy=HAND.energy[:1]), NOON.index + pd.Timedelta("3h")),
        "'by hand'",
        "Monday 07 July, 18:00",
    ),
    "missing hour": (
        lambda: bill(HAND, NOON.drop(NOON.index[3])),
        "2025-07-07 16:00",
        "follows after a gap",
    ),
    "repeated hour": (
        lambda: bill(HAND, NOON.iloc[[0, 1, 1, 2, 3]]),
        "the index of import_kw must rise",
        "2025-07-07 13:00",
    ),
    "hours out of order": (
        lambda: bill(HAND, NOON.iloc[[0, 1, 2, 4, 3, 5]]),
        "the index of import_kw must rise",
        "2025-07-07 15:00",
    ),
    "hour that goes back": (
        lambda: even_step(NOON.index[[0, 1, 2, 1, 2, 3, 4]]),
        "time must rise",
        "2025-07-07 13:00",
    ),
    "one hour": (lambda: bill(HAND, NOON[:1]), "at least two steps"),
    "unknown load": (lambda: bill(HAND, NOON.where(NOON.index.hour != 14)), "import_kw", "NaN"),
    "negative load": (lambda: bill(HAND, -NOON), "import_kw is -1 kW", "at least 0"),
    "negative export": (lambda: bill(HAND, NOON, -NOON), "export_kw is -1 kW", "at least 0"),
    "step that does not divide": (
        lambda: bill(QUARTERS, hours([1, 2, 3], freq="10min")),
        "steps of 10 min",
        "billing interval of 15 min",
    ),
    "negative demand charge": (lambda: Peak(price_per_kw=-1.0), "price_per_kw is -1 per kW"),
    "price unknown": (lambda: market(np.array([0.1, 0.2, np.nan]), 1.0), "buy_per_kwh", "step 2"),
    "selling price unknown": (
        lambda: Prices(dt_h=1.0, buy_per_kwh=[0.1, 0.2], sell_per_kwh=[np.nan, 0.1]),
        "sell_per_kwh",
        "step 0",
    ),
    "no prices": (lambda: Prices(dt_h=1.0, buy_per_kwh=[]), "buy_per_kwh is empty"),
    "prices of two lengths": (
        lambda: Prices(dt_h=1.0, buy_per_kwh=[0.1, 0.2], sell_per_kwh=[0.1] * 3),
        "sell_per_kwh has 3 steps",
        "buy_per_kwh 2",
    ),
    "no step length": (lambda: Prices(dt_h=0.0, buy_per_kwh=[0.1]), "dt_h is 0 h"),
    "peak that does not fit": (
        lambda: optimise(
            CAR, plugged_in(8), replace(FLAT8, peaks=(Peak(price_per_kw=1.0, interval_steps=3),))
        ),
        "interval_steps = 3",
        "8 steps",
    ),
    "marks that do not fit": (
        lambda: optimise(
            CAR, plugged_in(8), replace(FLAT8, peaks=(Peak(price_per_kw=1.0, counts=[True] * 5),))
        ),
        "5 steps",
        "8 steps",
    ),
    "soc in per cent": (lambda: plugged_in(3, soc_start=50), "soc_start is 50", "per cent"),
    "promise in per cent": (
        lambda: plugged_in(3, soc_departure=80),
        "soc_departure is 80",
        "per cent",
    ),
    "more than plugged": (
        lambda: Diary(soc_start=0.5, plugged=[0.5, 1.5]),
        "plugged is 1.5",
        "at most 1",
    ),
    "drives at the plug": (
        lambda: plugged_in(3, drive_kwh=[0.0, 1.0, 0.0]),
        "drive_kwh is positive",
        "plugged in",
    ),
    "shapes of a diary": (
        lambda: plugged_in(3, drive_kwh=[0.0, 1.0]),
        "drive_kwh has shape (2,)",
        "plugged has shape (3,)",
    ),
    "storage in per cent": (
        lambda: replace(CAR, eta_charge=94),
        "eta_charge is 94",
        "per cent",
    ),
    "diary shorter than prices": (
        lambda: optimise(CAR, plugged_in(7), FLAT8),
        "diary has 7 steps",
        "prices 8",
    ),
    "load shorter than prices": (
        lambda: optimise(CAR, plugged_in(8), FLAT8, Site(load_kw=[1.0, 2.0])),
        "load_kw has 2 steps",
        "prices 8",
    ),
    "storage of other cars": (
        lambda: optimise(replace(CAR, energy_kwh=np.full(3, 60.0)), TWO, FLAT8),
        "2 cars",
        "one value or 2",
    ),
    "negative wear": (
        lambda: optimise(CAR, plugged_in(8), FLAT8, wear_per_kwh=-0.1),
        "wear_per_kwh is -0.1 per kWh",
    ),
    "negative limit": (lambda: Site(import_limit_kw=-1.0), "import_limit_kw is -1 kW"),
    "departure": (
        lambda: optimise(
            CAR, plugged_in(2, soc_departure=np.array([0.0, 0.85])), market(np.full(2, 0.2), 1.0)
        ),
        "the car cannot stand at soc 0.850 at the end of step 1",
        "reaches 0.813",
        "2.2 kWh are missing",
    ),
    "departure of two of three cars": (
        lambda: optimise(
            CAR,
            Diary(
                soc_start=[0.9, 0.5, 0.4],
                plugged=np.ones((3, 2)),
                soc_departure=np.array([0.0, 0.85]),
            ),
            market(np.full(2, 0.2), 1.0),
        ),
        "car 1 (and 1 more)",
        "0.850",
        "step 1",
        "2.2 kWh",
    ),
    "departure, followed": (
        lambda: follow(
            CAR,
            plugged_in(2, soc_departure=np.array([0.0, 0.85])),
            market(np.full(2, 0.2), 1.0),
            1.0,
        ),
        "the car cannot stand at soc 0.850 at the end of step 1",
        "2.2 kWh are missing",
    ),
    "departure above the window": (
        lambda: optimise(CAR, plugged_in(8, soc_departure=np.r_[np.zeros(7), 0.95]), FLAT8),
        "soc 0.95",
        "step 7",
        "soc_max = 0.9",
    ),
    "trip": (
        lambda: optimise(
            CAR,
            Diary(soc_start=0.5, plugged=np.zeros(3), drive_kwh=[0.0, 40.0, 0.0]),
            market(np.full(3, 0.2), 1.0),
        ),
        "the car cannot make the trip in step 1",
        "takes 40.0 kWh",
        "10.0 kWh",
    ),
    "start above the window": (
        lambda: optimise(CAR, Diary(soc_start=0.95, plugged=np.zeros(8)), FLAT8),
        "the car starts at soc 0.95",
        "soc_max = 0.9",
    ),
    "export limit": (
        lambda: optimise(
            CAR, plugged_in(8), FLAT8, Site(load_kw=np.linspace(0, -20, 8), export_limit_kw=3.0)
        ),
        "export_limit_kw = 3 kW",
        "step 7",
        "20.0 kW",
    ),
    "table of two cars": (lambda: optimise(CAR, TWO, FLAT8).table(), "2 cars"),
    "unknown wish": (lambda: follow(CAR, LATE, FLAT8, np.nan), "wish_kw", "NaN"),
    "no price for the rule": (lambda: best_hours([], [], 1, 1), "price_per_kwh is empty"),
    "unknown price for the rule": (
        lambda: best_hours([1.0, np.nan], [0, 0], 1, 1),
        "price_per_kwh",
        "step 1",
    ),
    "horizon below every": (
        lambda: rolling(CAR, LATE, FLAT8, guess, every=4, horizon=2),
        "horizon = 2",
        "every = 4",
    ),
    "no step kept": (
        lambda: rolling(CAR, LATE, FLAT8, guess, every=0, horizon=2),
        "every is 0; it must be at least 1",
    ),
    "forecast too long": (
        lambda: rolling(CAR, LATE, FLAT8, lambda k, steps: np.ones(steps + 1), every=2, horizon=4),
        "forecast(0, 4)",
        "4 prices",
        "(5,)",
    ),
    "forecast unknown": (
        lambda: rolling(
            CAR, LATE, FLAT8, lambda k, steps: np.full(steps, np.nan), every=2, horizon=4
        ),
        "the forecast",
        "step 0",
    ),
    "commute above the battery": (
        lambda: home(drive_kwh=40.0),
        "drive_kwh = 40 kWh",
        "more than the battery holds",
    ),
    "commute above the window": (
        lambda: home(soc_departure=0.95),
        "soc_departure = 0.95",
        "0.15 to 0.9",
    ),
    "commute in per cent": (lambda: home(soc_departure=80), "soc_departure is 80", "per cent"),
    "commute by night": (lambda: home(leave_h=22.0, back_h=6.0), "leave_h", "back_h"),
    "commute of negative spread": (lambda: home(spread_h=-1.0), "spread_h"),
    "no sessions": (lambda: work(table=TABLE[:0]), "0 sessions"),
    "sessions without departures": (
        lambda: work(table=TABLE.drop(columns="departure")),
        "sessions has no column departure",
    ),
    "a session that never leaves": (
        lambda: work(table=TABLE.assign(departure=TABLE.departure.where(TABLE.index != 2))),
        "session 2 in sessions has no departure (NaT)",
    ),
    "a session that leaves before it arrives": (
        lambda: work(table=TABLE.assign(departure=TABLE.arrival - pd.Timedelta("1h"))),
        "session 0",
        "departure = 2025-07-07 07:00:00",
        "must leave after it arrives",
    ),
    "a session of unknown energy": (
        lambda: work(table=TABLE.assign(delivered_kwh=np.nan)),
        "delivered_kwh in sessions",
        "NaN",
    ),
    "sessions in text": (
        lambda: work(table=TABLE.astype({"arrival": str})),
        "arrival in sessions must hold time stamps",
    ),
    "arrival and departure on two clocks": (
        lambda: work(table=TABLE.assign(arrival=TABLE.arrival.dt.tz_localize("UTC"))),
        "same time zone",
    ),
    "a list of sessions": (lambda: work(table=[1, 2]), "sessions is a list", "DataFrame"),
    "a seed for a generator": (lambda: home(rng=7), "rng is 7", "Generator"),
    "a seed for a generator at work": (lambda: work(rng=7), "rng is 7", "Generator"),
    "a diary of a fleet": (
        lambda: commuter(
            YEAR,
            replace(CAR, energy_kwh=np.array([50.0, 60.0])),
            drive_kwh=9.0,
            leave_h=8.0,
            back_h=17.5,
            spread_h=0.5,
            soc_departure=0.8,
            rng=np.random.default_rng(3),
        ),
        "energy_kwh of the storage",
        "one car",
    ),
    "time in text": (lambda: home(time=YEAR.astype(str)), "time must be time stamps"),
    "time in text at work": (lambda: work(time=YEAR.astype(str)), "time must be time stamps"),
    "no sessions on a Friday": (lambda: work(table=TABLE[:4]), "4 sessions", "Friday"),
    "presence in per cent": (lambda: work(presence=80), "presence is 80", "at most 1"),
    "workplace promise below the window": (
        lambda: work(soc_departure=0.1),
        "soc_departure = 0.1",
        "0.15 to 0.9",
    ),
    "bare peak": (
        lambda: optimise(CAR, plugged_in(8), replace(FLAT8, peaks=Peak(price_per_kw=1.0))),
        "peaks",
    ),
    "wish of another length": (lambda: follow(CAR, LATE, FLAT8, [1.0, 2.0]), "wish_kw", "2"),
    "diary shorter than prices, followed": (
        lambda: follow(CAR, plugged_in(7), FLAT8, 1.0),
        "diary has 7 steps",
        "prices 8",
    ),
    "diary shorter than prices, rolling": (
        lambda: rolling(CAR, plugged_in(7), FLAT8, guess, every=2, horizon=4),
        "diary has 7 steps",
        "prices 8",
    ),
    "two cars, rolling": (lambda: rolling(CAR, TWO, FLAT8, guess, every=2, horizon=4), "one car"),
    "export of another length": (lambda: bill(HAND, NOON, NOON[:-1]), "export_kw"),
    "export of another day": (lambda: bill(HAND, NOON, NOON.shift(freq="D")), "export_kw"),
    "rule without a price": (
        lambda: replace(
            HAND, energy=[{k: v for k, v in HAND.energy[1].items() if k != "price_per_kwh"}]
        ),
        "energy[0] of the tariff 'by hand' has no price_per_kwh",
    ),
    "no step in an interval": (
        lambda: demand_saving(np.ones(6), np.ones(6), 1.0, interval_steps=0),
        "interval_steps is 0",
        "at least 1",
    ),
    "load in a column": (
        lambda: demand_saving(np.ones((96, 1)), np.ones(96), 1.0, interval_steps=1),
        "load_kw has shape (96, 1)",
        "one series",
    ),
    "load and help of two lengths": (
        lambda: demand_saving(np.ones(6), np.ones(5), 1.0, interval_steps=1),
        "load_kw (6,)",
        "help_kw (5,)",
    ),
    "contracts of two lengths": (
        lambda: regulation_revenue(
            [15.0, 10.0],
            [1.0, 2.0, 3.0],
            capacity_per_kw_h=0.04,
            energy_per_kwh=0.1,
            dispatch_ratio=0.1,
        ),
        "p_kw (2,)",
        "plugged_h (3,)",
    ),
    "two limits of import": (
        lambda: Site(import_limit_kw=[5.0, 6.0]),
        "import_limit_kw has shape (2,)",
        "single number",
    ),
    "two limits of export": (lambda: Site(export_limit_kw=np.ones(8)), "export_limit_kw has shape"),
    "site load in a column": (lambda: Site(load_kw=np.ones((96, 1))), "load_kw has shape (96, 1)"),
    "prices in a column": (
        lambda: Prices(dt_h=1.0, buy_per_kwh=np.ones((96, 1))),
        "buy_per_kwh has shape (96, 1)",
    ),
    "prices beyond all money": (
        lambda: Prices(dt_h=1.0, buy_per_kwh=[1e12]),
        "buy_per_kwh is 1000000000000",
        "at most 1e+09",
    ),
    "step of a year": (lambda: Prices(dt_h=8760.0, buy_per_kwh=[0.1]), "dt_h is 8760 h"),
    "peak with half a mark": (lambda: Peak(price_per_kw=1.0, counts=[0.5, 1.0]), "counts"),
    "peak of half a step": (lambda: Peak(price_per_kw=1.0, interval_steps=1.5), "interval_steps"),
    "a peak cut by numbers": (lambda: Peak(price_per_kw=1.0).cut(3), "span is 3", "slice"),
    "wear of each car": (
        lambda: optimise(CAR, TWO, FLAT8, wear_per_kwh=[0.1, 0.2]),
        "wear_per_kwh has shape (2,)",
        "single number",
    ),
    "unknown wear, followed": (
        lambda: follow(CAR, LATE, FLAT8, 1.0, wear_per_kwh=np.nan),
        "wear_per_kwh contains NaN",
    ),
    "unknown wear, priced": (
        lambda: priced(CAR, LATE, FLAT8, np.zeros(8), np.full(8, 0.5), wear_per_kwh=np.nan),
        "wear_per_kwh contains NaN",
    ),
    "unknown power, priced": (
        lambda: priced(CAR, LATE, FLAT8, np.full(8, np.nan), np.full(8, 0.5)),
        "p_kw contains NaN",
    ),
    "powers of another length, priced": (
        lambda: priced(CAR, LATE, FLAT8, np.zeros(7), np.full(8, 0.5)),
        "p_kw (7,)",
        "(8,)",
    ),
    "start of another number of cars": (
        lambda: Diary(soc_start=[0.5, 0.6, 0.7], plugged=np.ones((2, 8))),
        "soc_start has shape (3,)",
        "one for each car",
    ),
    "a storage of another kind": (
        lambda: optimise(charger, plugged_in(8), FLAT8),
        "storage is a module",
        "charger.Storage",
    ),
    "a site for a diary": (
        lambda: optimise(CAR, Site(), FLAT8),
        "diary is an arbitrage.Site",
        "arbitrage.Diary",
    ),
    "a floor for another number of cars": (
        lambda: floor_line(replace(CAR, energy_kwh=np.full(3, 60.0)), LATE, dt_h=1.0),
        "energy_kwh of the storage has shape (3,)",
        "1 cars",
    ),
    "wear of other cars": (
        lambda: burning_price(replace(CAR, eta_charge=np.array([0.8, 0.9])), [0.1, 0.2, 0.3]),
        "wear_per_kwh (3,)",
        "eta_charge (2,)",
    ),
    "a table of forecasts": (
        lambda: rolling(CAR, LATE, FLAT8, np.ones(8), every=2, horizon=4),
        "forecast must be a function",
    ),
    "plans that cut a billing interval": (
        lambda: rolling(
            CAR,
            LATE,
            replace(FLAT8, peaks=(Peak(price_per_kw=1.0, interval_steps=2),)),
            guess,
            every=1,
            horizon=4,
        ),
        "every is 1 steps; with a demand charge",
        "interval_steps = 2",
    ),
    "groups of another length": (
        lambda: best_hours([1.0, 2.0], [0], 1, 1),
        "group has shape (1,)",
        "2 steps",
    ),
    "a step that belongs to no day": (
        lambda: best_hours([1.0, 2.0], [0.0, np.nan], 1, 1),
        "group has missing labels",
    ),
    "part of a step": (lambda: best_hours([1.0, 2.0], [0, 0], 0.5, 1), "charge_steps is 0.5"),
    "labels of another length": (
        lambda: optimise(CAR, LATE, FLAT8).table(pd.RangeIndex(7)),
        "index has shape (7,)",
        "8 steps",
    ),
    "an array for a load": (lambda: bill(HAND, np.ones(4)), "import_kw", "Series"),
    "a load with an index of text": (
        lambda: bill(HAND, NOON.set_axis(NOON.index.astype(str))),
        "the index of import_kw must be time stamps",
    ),
    "the name of a tariff for a tariff": (
        lambda: bill("sce_tou_ev_4", NOON),
        "tariff is 'sce_tou_ev_4'",
        "Tariff",
    ),
    "ratchet without months": (
        lambda: bill(replace(HAND, ratchet=0.5, ratchet_months=0), NOON),
        "ratchet_months",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words(name):
    """The message names the argument, its value, and what is allowed."""
    call, *words = BAD[name]
    said = sentence(call)
    assert [word for word in words if word not in said] == []


# ------------------------------------------------------------------------------------------ diaries


def test_a_commuter_is_away_on_weekdays_only():
    diary = home()
    table = pd.DataFrame({"away": 1 - diary.plugged, "drive": diary.drive_kwh}, index=YEAR)
    days = table.groupby(YEAR.date).sum()
    weekday = pd.DatetimeIndex(days.index).day_of_week < 5
    assert days.drive[weekday].tolist() == pytest.approx([9.0] * weekday.sum())
    assert (days[~weekday] == 0).all().all()
    assert days.away[weekday].mean() == pytest.approx(9.5, abs=0.2)
    assert table.away[YEAR.hour == 12].eq((YEAR.day_of_week < 5)[YEAR.hour == 12]).all()
    assert set(diary.plugged) == {0.0, 1.0}
    assert diary.soc_start == 0.8


def test_a_commuter_leaves_with_the_promise_and_drives_before_the_return():
    diary = home(spread_h=0.0)
    turns = np.diff(diary.plugged)
    leaving = np.flatnonzero(turns < 0)
    returning = np.flatnonzero(turns > 0)
    np.testing.assert_array_equal(np.flatnonzero(diary.soc_departure), leaving)
    np.testing.assert_array_equal(np.flatnonzero(diary.drive_kwh), returning)
    assert set(diary.soc_departure[leaving]) == {0.8}
    assert set(YEAR[leaving].hour) == {7}
    assert set(YEAR[returning].hour) == {17}


def test_a_commuters_times_scatter_as_asked():
    """The first step away begins up to 15 min after leaving, 7.5 min on average; 3 sigma of the
    mean."""
    quarters = pd.date_range("2025-01-01", "2026-01-01", freq="15min", inclusive="left")
    diary = home(quarters, spread_h=1.0)
    clock = quarters.hour + quarters.minute / 60
    turns = np.diff(diary.plugged)
    leave = clock[np.flatnonzero(turns < 0) + 1].to_numpy()
    back = clock[np.flatnonzero(turns > 0) + 1].to_numpy()
    assert leave.mean() == pytest.approx(8.125, abs=0.2)
    assert leave.std() == pytest.approx(1.0, abs=0.15)
    assert back.mean() == pytest.approx(17.625, abs=0.2)
    assert back.std() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("build", [home, work])
def test_a_diary_depends_on_its_generator_alone(build):
    one, same, other = (
        build(rng=np.random.default_rng(seed), **{"presence": 0.5} if build is work else {})
        for seed in (5, 5, 6)
    )
    for name in ("plugged", "drive_kwh", "soc_departure"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert (one.plugged != other.plugged).any()


@pytest.mark.parametrize("build", [home, work])
@pytest.mark.parametrize("start", ["2025-03-28", "2025-10-24"])
def test_a_diary_over_a_change_of_clocks_keeps_local_time(build, start):
    """Friday to Monday."""
    time = pd.date_range(start, periods=4 * 24, freq="h", tz="Europe/Amsterdam")
    diary = build(time, **{"spread_h": 0.0} if build is home else {})
    away = diary.plugged == 0
    at_noon = away[(time.hour == 12) & (time.day_of_week < 5)]
    assert (at_noon == (build is home)).all()
    assert (away[time.day_of_week >= 5] == (build is work)).all()
    optimise(CAR, diary, Prices(dt_h=1.0, buy_per_kwh=np.full(len(time), 0.2)))


def test_a_session_is_laid_onto_its_weekday():
    """3 kWh on Monday, 4 on Tuesday, ... from 8 to 16; driven in the hour before."""
    time = pd.date_range(MONDAY, periods=7 * 24, freq="h", tz="Europe/Amsterdam")
    diary = work(time)
    weekday = time.day_of_week < 5
    np.testing.assert_array_equal(
        diary.plugged, (weekday & (time.hour >= 8) & (time.hour < 16)).astype(float)
    )
    np.testing.assert_array_equal(
        diary.drive_kwh, np.where(weekday & (time.hour == 7), 3.0 + time.day_of_week, 0.0)
    )
    np.testing.assert_array_equal(
        diary.soc_departure, np.where(weekday & (time.hour == 15), 0.8, 0.0)
    )


def test_a_session_that_does_not_fit_the_steps_loses_its_ends():
    odd = TABLE.assign(
        arrival=TABLE.arrival + pd.Timedelta("10min"),
        departure=TABLE.departure - pd.Timedelta("10min"),
    )
    time = pd.date_range(MONDAY, periods=24, freq="h")
    assert np.flatnonzero(work(time, odd).plugged).tolist() == list(range(9, 15))


def test_a_session_over_midnight_is_cut():
    time = pd.date_range(MONDAY, periods=48, freq="h")
    late = TABLE.assign(
        arrival=TABLE.arrival + pd.Timedelta("12h"), departure=TABLE.departure + pd.Timedelta("12h")
    )
    assert np.flatnonzero(work(time, late).plugged).tolist() == [20, 21, 22, 23, 44, 45, 46, 47]


def test_driving_is_cut_to_the_window_and_to_what_the_stay_can_charge():
    time = pd.date_range(MONDAY, periods=24, freq="h")
    much = TABLE.assign(delivered_kwh=90.0)
    assert work(time, much).drive_kwh.sum() == pytest.approx((0.8 - 0.15) * 60)
    short = much.assign(departure=much.arrival + pd.Timedelta("2h"))
    assert work(time, short).drive_kwh.sum() == pytest.approx(2 * 10 * 0.94)


def test_presence_is_the_share_of_weekdays():
    diary = work(presence=0.6)
    came = pd.Series(diary.plugged, YEAR).groupby(YEAR.date).max()
    weekday = pd.DatetimeIndex(came.index).day_of_week < 5
    assert came[~weekday].max() == 0.0
    assert came[weekday].mean() == pytest.approx(0.6, abs=3 * np.sqrt(0.24 / 261))
    assert work(presence=0.0).plugged.max() == 0.0


def test_real_sessions_make_a_diary_that_can_be_kept():
    time = pd.date_range(
        "2025-03-03", periods=8 * 7 * 24 * 4, freq="15min", tz="America/Los_Angeles"
    )
    table = data.sessions("caltech")
    diary = work(time, table)
    came = pd.Series(diary.plugged, time).groupby(time.date).max()
    assert came[pd.DatetimeIndex(came.index).day_of_week >= 5].max() == 0.0
    assert came.sum() >= 36
    assert 0 < diary.drive_kwh.max() <= min(table.delivered_kwh.max(), 0.65 * 60)
    plan = optimise(
        CAR,
        diary,
        Prices(dt_h=0.25, buy_per_kwh=np.linspace(0.1, 0.3, len(time))),
        wear_per_kwh=0.05,
    )
    assert_sound(plan, CAR, diary, 0.25)
