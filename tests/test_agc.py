"""Topic 02: published cases by id, closed forms, SciPy on the same equations, conservation.

And a battery step by step, and bad inputs.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import case
from scipy.integrate import solve_ivp
from scipy.signal import StateSpace, lsim

from v2gbook import frequency
from v2gbook.agc import (
    Agc,
    Area,
    AreaLoss,
    Fleet,
    Offset,
    Tie,
    Unit,
    ace,
    bias_from_nerc,
    dispatch,
    follow,
    mileage,
    primary_response,
    regulation_signal,
    restored,
    simulate,
    soc_drift_per_h,
    split,
    tracking,
)

NAN, INF = float("nan"), float("inf")
few = settings(deadline=None, max_examples=25)


F0 = 60.0
ONE = Area(name="one", rating_mw=1000.0, inertia_s=5.0, damping_rating_pu=0.6, droop_pu=0.05)
TWO = Area(
    name="two",
    rating_mw=1500.0,
    inertia_s=4.0,
    damping_rating_pu=0.9,
    droop_pu=0.0625,
    t_valve_s=0.3,
    t_turbine_s=0.4,
)
TIE = Tie(between=("one", "two"), stiffness_mw_per_rad=200.0, damping_mw_per_hz=150.0)
PLANT = Unit(
    name="plant", share=0.7, low_mw=-150.0, high_mw=200.0, ramp_mw_per_min=40.0, lag_s=10.0
)
CARS = Unit(name="cars", share=0.3, low_mw=-100.0, high_mw=100.0)


def controlled(area, units=(PLANT, CARS), ki_per_s=0.02, kp=0.2, **more):
    """The area with a controller whose bias is the area's own stiffness."""
    return replace(
        area,
        agc=Agc(
            **{
                "bias_mw_per_hz": area.stiffness_mw_per_hz(F0),
                "units": units,
                "ki_per_s": ki_per_s,
                "kp": kp,
                **more,
            }
        ),
    )


def after(areas, *losses, t_end_s=600.0, **more):
    return simulate(
        areas,
        [AreaLoss(area="one", t_s=t_s, p_mw=p_mw) for t_s, p_mw in losses],
        [TIE],
        f0_hz=F0,
        t_end_s=t_end_s,
        **more,
    )


# --------------------------------------------------------------------------------- published cases


def test_g06_two_areas_without_agc():
    given, expected = case("G06")
    areas = [
        Area(
            name=str(i),
            rating_mw=given["Sb_MVA"],
            inertia_s=given[f"H{i}"],
            damping_rating_pu=given[f"D{i}"],
            droop_pu=given[f"R{i}"],
        )
        for i in (1, 2)
    ]
    end = primary_response(areas, [given["dPL1_MW"], 0.0], f0_hz=given["f0_Hz"])
    assert end.df_hz["1"] / given["f0_Hz"] == expected["dw_pu"]
    assert given["f0_Hz"] + end.df_hz["1"] == expected["f_Hz"]
    assert end.governor_mw.tolist() == [expected["dPm1_MW"], expected["dPm2_MW"]]
    assert end.export_mw["1"] == expected["dP12_MW"]
    assert end.load_mw.tolist() == [expected["load_drop_area1_MW"], expected["load_drop_area2_MW"]]


def test_g09_static_drop_of_a_textbook_area():
    given, expected = case("G09")
    damping_rating_pu = given["load_MW"] / given["rating_MW"]  # 1 % of load per 1 % of frequency
    area = Area(
        name="a",
        rating_mw=given["rating_MW"],
        inertia_s=5.0,
        damping_rating_pu=damping_rating_pu,
        droop_pu=given["R_Hz_per_puMW"] / given["f0_Hz"],
    )
    rise_mw = given["load_MW"] * given["load_rise_pct"] / 100
    assert damping_rating_pu / given["f0_Hz"] == expected["D_pu_per_Hz"]
    assert area.stiffness_mw_per_hz(given["f0_Hz"]) / given["rating_MW"] == expected["beta"]
    assert primary_response(area, rise_mw, f0_hz=given["f0_Hz"]).df_hz["a"] == expected["df_Hz"]
    bare = primary_response(replace(area, droop_pu=INF), rise_mw, f0_hz=given["f0_Hz"])
    assert bare.df_hz["a"] == expected["df_no_governor_Hz"]


def test_g19_nerc_area_control_error():
    given, expected = case("G19")  # only its arithmetic is a gate
    deviation = given["FA_Hz"] - given["FS_Hz"]
    bias = bias_from_nerc(given["B_MW_per_0_1Hz"])
    error = ace(given["NIA_MW"], given["NIS_MW"], deviation, bias_mw_per_hz=bias)
    assert error == expected["ACE_MW"]
    slip = ace(given["NIA_MW"], given["NIS_MW"], deviation, bias_mw_per_hz=bias / 10)
    assert slip == expected["ACE_if_factor10_forgotten_MW"]


# -------------------------------------------------------------- governors alone, and the end state


@few
@given(
    st.lists(
        st.tuples(
            st.floats(100, 5000), st.floats(0, 2), st.floats(0.02, 0.2), st.floats(-300, 300)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_primary_response_balances_every_area(drawn):
    areas = [
        Area(name=str(i), rating_mw=p, inertia_s=4.0, damping_rating_pu=d, droop_pu=r)
        for i, (p, d, r, _) in enumerate(drawn)
    ]
    loss = [row[3] for row in drawn]
    end = primary_response(areas, loss, f0_hz=50.0)
    assert end.export_mw.sum() == pytest.approx(0, abs=1e-6)
    left = (end.governor_mw - end.load_mw - loss).to_numpy()
    assert left == pytest.approx(end.export_mw.to_numpy(), abs=1e-6)
    assert end.df_hz.nunique() == 1


def test_simulation_ends_where_the_closed_form_says():
    end = primary_response([ONE, TWO], [150.0, 0.0], f0_hz=F0)
    last = after([ONE, TWO], (1.0, 150.0), t_end_s=90.0).iloc[-1]
    for area in (ONE, TWO):
        row = end.loc[area.name]
        assert last[f"{area.name}_f_hz"] - F0 == pytest.approx(row.df_hz, abs=1e-6)
        assert last[f"{area.name}_export_mw"] == pytest.approx(row.export_mw, abs=1e-4)
        assert last[f"{area.name}_governor_mw"] == pytest.approx(row.governor_mw, abs=1e-4)
        assert last[f"{area.name}_ace_mw"] == 0.0  # no controller, no measurement


@pytest.mark.parametrize("loss", [150.0, -150.0, 420.0, -420.0])
@pytest.mark.parametrize("bias", [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.6)], ids=str)
def test_simulation_with_agc_ends_where_the_closed_form_says(loss, bias):
    """With a bias of one or more times the area's stiffness; 0: no controller there."""
    areas = [
        controlled(area, bias_mw_per_hz=times * area.stiffness_mw_per_hz(F0)) if times else area
        for area, times in zip((ONE, TWO), bias)
    ]
    end = restored(areas, [loss, 0.0], f0_hz=F0)
    last = after(areas, (1.0, loss), t_end_s=2500.0, dt_s=0.2).iloc[-1]
    for area in areas:
        row = end.loc[area.name]
        assert last[f"{area.name}_f_hz"] - F0 == pytest.approx(row.df_hz, abs=1e-4)
        assert last[f"{area.name}_export_mw"] == pytest.approx(row.export_mw, abs=0.2)
        if area.agc:
            units_mw = last[f"{area.name}_plant_mw"] + last[f"{area.name}_cars_mw"]
            assert units_mw == pytest.approx(row.secondary_mw, abs=0.2)
            assert last[f"{area.name}_ace_mw"] == pytest.approx(row.ace_mw, abs=0.2)


def test_enough_reserve_brings_everything_back():
    end = restored([controlled(ONE), controlled(TWO)], [187.5, 0.0], f0_hz=F0)
    assert end.df_hz.tolist() == [0.0, 0.0]
    assert end.export_mw.abs().max() == 0.0
    assert end.secondary_mw.tolist() == [187.5, 0.0]


def test_too_little_reserve_leaves_frequency_low_and_only_the_own_error_open():
    end = restored([controlled(ONE), controlled(TWO)], [400.0, 0.0], f0_hz=F0)
    stiff = ONE.stiffness_mw_per_hz(F0) + TWO.stiffness_mw_per_hz(F0)
    assert end.secondary_mw.tolist() == pytest.approx([300.0, 0.0])
    assert end.df_hz["one"] == pytest.approx(-100.0 / stiff)
    assert end.ace_mw.tolist() == pytest.approx([-100.0, 0.0])


def test_neighbour_with_the_wrong_bias_helps_or_hinders():
    """With a bias above its stiffness it adds to the help, below it takes some away."""
    helps = []
    for factor in (0.5, 1.0, 2.0):
        two = controlled(TWO, bias_mw_per_hz=factor * TWO.stiffness_mw_per_hz(F0))
        helps.append(restored([controlled(ONE), two], [400.0, 0.0], f0_hz=F0).secondary_mw["two"])
    too_small, right, too_large = helps
    assert too_small < -1
    assert abs(right) < 1e-9
    assert too_large > 1


def test_flat_frequency_control_leaves_the_tie_alone():
    """Both areas integrate frequency only: it returns, but nothing returns the tie flow."""
    areas = [controlled(ONE, ties=False), TWO]
    last = after(areas, (1.0, 150.0), t_end_s=1500.0).iloc[-1]
    assert last.one_f_hz == pytest.approx(F0, abs=1e-4)
    assert last.one_export_mw == pytest.approx(0.0, abs=0.5)
    abroad = [AreaLoss(area="two", t_s=1.0, p_mw=150.0)]
    neighbour = simulate(areas, abroad, [TIE], f0_hz=F0, t_end_s=1500.0).iloc[-1]
    assert neighbour.one_f_hz == pytest.approx(F0, abs=1e-4)
    assert neighbour.one_export_mw == pytest.approx(150.0, abs=0.5)


# ----------------------------------------------------------------------------------- the transient


def test_scipy_agrees_on_the_linear_transient():
    run = after([ONE, TWO], (0.0, 150.0), t_end_s=30.0)

    def slope(t, y):
        speed = y[0:2]
        valve = y[2:4]
        turbine = y[4:6]
        flow = 200.0 * y[6] + 150.0 * F0 * (speed[0] - speed[1])
        rate = []
        for i, (area, leaves) in enumerate(((ONE, flow), (TWO, -flow))):
            surplus = (
                area.rating_mw * turbine[i]
                - (150.0 if i == 0 else 0.0)
                - area.damping_rating_pu * area.rating_mw * speed[i]
                - leaves
            )
            rate.append(surplus / (2 * area.inertia_s * area.rating_mw))
        valves = [
            (-speed[i] / area.droop_pu - valve[i]) / area.t_valve_s
            for i, area in enumerate((ONE, TWO))
        ]
        turbines = [(valve[i] - turbine[i]) / area.t_turbine_s for i, area in enumerate((ONE, TWO))]
        return [*rate, *valves, *turbines, 2 * math.pi * F0 * (speed[0] - speed[1])]

    exact = solve_ivp(
        slope, (0, 30), np.zeros(7), t_eval=run.index, rtol=1e-10, atol=1e-13, method="DOP853"
    ).y
    assert np.abs(run.one_f_hz - F0 * (1 + exact[0])).max() < 1e-7
    assert np.abs(run.two_f_hz - F0 * (1 + exact[1])).max() < 1e-7
    flow = 200.0 * exact[6] + 150.0 * F0 * (exact[0] - exact[1])
    assert np.abs(run.one_export_mw - flow).max() < 1e-4
    assert np.abs(run.two_governor_mw - TWO.rating_mw * exact[5]).max() < 1e-4
    assert run.one_export_mw.to_numpy() == pytest.approx(-run.two_export_mw.to_numpy())


def test_lone_area_is_the_textbook_transfer_function():
    """One area without ties: -1/(2Hs + D + 1/(R (1+sTg)(1+sTt))), by SciPy's state space."""
    run = simulate(ONE, [AreaLoss(area="one", t_s=0.0, p_mw=100.0)], f0_hz=F0, t_end_s=20.0)
    tg = ONE.t_valve_s
    tt = ONE.t_turbine_s
    system = StateSpace(
        [[-0.06, 0, 0.1], [-1 / (0.05 * tg), -1 / tg, 0], [0, 1 / tt, -1 / tt]],
        [[-0.1], [0], [0]],
        [[1, 0, 0]],
        [[0]],
    )
    _, wave, _ = lsim(system, np.full(len(run), 0.1), run.index.to_numpy())
    assert np.abs(run.one_f_hz - F0 * (1 + wave)).max() < 1e-9


def test_first_slope_is_that_of_chapter_one():
    run = simulate(
        ONE, [AreaLoss(area="one", t_s=0.0, p_mw=100.0)], f0_hz=F0, t_end_s=0.01, dt_s=0.001
    )
    slope = (run.one_f_hz.iloc[1] - F0) / 0.001
    assert slope == pytest.approx(-F0 * 100.0 / (2 * 5000.0), rel=1e-3)


def test_smaller_steps_change_little():
    areas = [controlled(ONE), controlled(TWO)]
    coarse = after(areas, (1.0, 187.5))
    fine = after(areas, (1.0, 187.5), dt_s=0.05)
    assert abs(coarse.one_f_hz.min() - fine.one_f_hz.min()) < 3e-3
    apart = coarse.one_export_mw - fine.one_export_mw.loc[coarse.index].to_numpy()
    assert apart.abs().max() < 3.0


def test_power_of_units_arrives_in_the_machines():
    """A loss that a unit makes good at once and exactly is never seen."""
    sure = Unit(name="cars", share=1.0, low_mw=-500.0, high_mw=500.0, lag_s=0.001)
    quick = replace(ONE, agc=Agc(bias_mw_per_hz=500.0, units=(sure,), ki_per_s=0.3, cycle_s=0.1))
    run = simulate(quick, [AreaLoss(area="one", t_s=0.0, p_mw=100.0)], f0_hz=F0, t_end_s=200.0)
    assert run.one_cars_mw.iloc[-1] == pytest.approx(100.0, abs=1e-3)
    assert run.one_f_hz.iloc[-1] == pytest.approx(F0, abs=1e-6)


# ---------------------------------------------------------------------------------- the controller


def test_set_points_come_in_cycles():
    run = after(
        [controlled(ONE, units=(replace(CARS, share=1.0),), cycle_s=5.0), TWO],
        (0.0, 50.0),
        t_end_s=60.0,
    )
    changes = run.index[run.one_ace_mw.diff().abs() > 1e-9]
    beside = np.minimum(changes % 5.0, 5.0 - changes % 5.0)
    assert np.allclose(beside, 0.0, atol=1e-6)
    assert len(changes) >= 10


def test_the_first_command_by_hand():
    only = Unit(name="cars", share=1.0, low_mw=-500.0, high_mw=500.0, lag_s=0.001)
    area = replace(
        ONE, agc=Agc(bias_mw_per_hz=400.0, units=(only,), ki_per_s=0.02, kp=0.3, cycle_s=4.0)
    )
    run = simulate(area, [AreaLoss(area="one", t_s=0.0, p_mw=100.0)], f0_hz=F0, t_end_s=6.0)
    error = 400.0 * (run.one_f_hz.loc[4.0] - F0)
    assert run.one_ace_mw.loc[4.0] == pytest.approx(error)
    assert run.one_cars_mw.loc[4.0] == pytest.approx(-(0.3 + 0.02 * 4.0) * error)


@pytest.mark.parametrize("kp", [0.0, 0.1])
@pytest.mark.parametrize("of_limit", [0.48, 0.52, 0.97, 1.03])
def test_a_seldom_command_overshoots_and_then_grows(kp, of_limit):
    """Settled between commands, the error alternates from ki cycle = 1 - kp, grows from twice it.

    A lone area with a fast unit: z^2 - (1 - kp - ki cycle) z - kp = 0.
    """
    unit = Unit(name="unit", share=1.0, low_mw=-1e5, high_mw=1e5)
    ki_per_s = of_limit * 2 * (1 - kp) / 300.0
    area = controlled(ONE, (unit,), ki_per_s, kp, cycle_s=300.0, anti_windup=False)
    trip = [AreaLoss(area="one", t_s=10.0, p_mw=1.0)]
    run = simulate(area, trip, f0_hz=F0, t_end_s=40 * 300.0, dt_s=1.0)
    errors = run.one_ace_mw.iloc[::300].to_numpy()[1:]
    assert (errors[1] > 0) == (of_limit > 0.5)
    assert (np.abs(errors[-3:]).max() > 1.0) == (of_limit > 1)


def test_plant_keeps_its_ramp_and_its_limits():
    run = after([controlled(ONE), TWO], (1.0, 400.0), t_end_s=900.0)
    assert run.one_plant_mw.diff().max() <= 40.0 / 60 * 0.1 + 1e-9
    assert run.one_plant_mw.max() <= 200.0 + 1e-9
    assert run.one_cars_mw.max() <= 100.0 + 1e-9
    assert run.one_plant_mw.iloc[-1] == pytest.approx(200.0, abs=0.01)


def test_cars_fill_in_while_the_plant_ramps():
    run = after([controlled(ONE), TWO], (1.0, 120.0), t_end_s=1200.0)
    assert run.one_cars_mw.max() > 1.25 * run.one_cars_mw.iloc[-1]
    assert run.one_cars_mw.iloc[-1] == pytest.approx(0.3 * 120.0, abs=0.1)
    assert run.one_plant_mw.iloc[-1] == pytest.approx(0.7 * 120.0, abs=0.1)


@pytest.mark.parametrize("anti_windup", [True, False])
@pytest.mark.parametrize("dt_s", [0.5, 4.0])
def test_a_ramp_takes_nothing_back_from_the_proportional_part(dt_s, anti_windup):
    """Without an integral (2.5) is c = -kp ACE: at rest kp / (1 + kp) of the loss."""
    slow = Unit(name="plant", share=1.0, low_mw=-400.0, high_mw=400.0, ramp_mw_per_min=40.0)
    big = replace(ONE, rating_mw=20_000.0)
    area = controlled(big, (slow,), ki_per_s=0.0, kp=0.1, anti_windup=anti_windup)
    trip = [AreaLoss(area="one", t_s=10.0, p_mw=300.0)]
    run = simulate(area, trip, f0_hz=F0, t_end_s=1200.0, dt_s=dt_s)
    assert run.one_plant_mw.iloc[-1] == pytest.approx(300.0 * 0.1 / 1.1, abs=1e-6)


def test_a_ramp_is_used_fully_and_not_overshot():
    """The integral follows the plant up its ramp: no slower than the ramp, and nothing too much."""
    slow = Unit(
        name="plant", share=1.0, low_mw=-400.0, high_mw=400.0, ramp_mw_per_min=40.0, lag_s=0.5
    )
    big = replace(ONE, rating_mw=20_000.0)
    trip = [AreaLoss(area="one", t_s=0.0, p_mw=300.0)]
    plant = {}
    for anti_windup in (True, False):
        area = controlled(big, (slow,), ki_per_s=0.01, kp=0.1, anti_windup=anti_windup)
        plant[anti_windup] = simulate(area, trip, f0_hz=F0, t_end_s=1200.0, dt_s=0.5).one_plant_mw
    assert plant[True].loc[304.0] == pytest.approx(40.0 * 300 / 60, abs=2.0)
    assert plant[True].max() < 300.1
    assert plant[False].max() > 350.0


def test_an_empty_unit_leaves_no_windup_behind():
    """When the cars run empty and the plant is at its limit, the integral gives up their part."""
    wrong_s = {}
    for energy_mwh in (0.0, 5.0):
        cars = replace(CARS, energy_up_mwh=energy_mwh)
        area = controlled(ONE, (replace(PLANT, ramp_mw_per_min=INF), cars))
        run = after([area, TWO], (1.0, 400.0), (901.0, -300.0), t_end_s=1500.0)
        wrong_s[energy_mwh] = (run.one_export_mw.loc[901.0:] > 20.0).sum() * 0.1
    assert wrong_s[5.0] < 2.5 * wrong_s[0.0]


def test_windup_sends_the_tie_the_wrong_way_for_minutes():
    wrong_s = {}
    for anti_windup in (True, False):
        areas = [controlled(area, anti_windup=anti_windup) for area in (ONE, TWO)]
        run = after(areas, (1.0, 400.0), (401.0, -300.0), t_end_s=1800.0)
        wrong_s[anti_windup] = (run.one_export_mw.loc[401.0:] > 20.0).sum() * 0.1
        assert run.one_export_mw.iloc[-1] == pytest.approx(0.0, abs=0.1)
    assert wrong_s[False] > 3 * wrong_s[True] > 0


def test_cars_stop_when_their_energy_is_used_up():
    short = replace(CARS, share=0.3, energy_up_mwh=2.0)
    run = after([controlled(ONE, units=(PLANT, short)), TWO], (1.0, 280.0), t_end_s=1200.0)
    assert (run.one_cars_mw * 0.1 / 3600).sum() <= 2.0 + 1e-9
    assert run.one_cars_mw.iloc[-1] == pytest.approx(0.0, abs=1e-9)
    full = replace(CARS, energy_down_mwh=1.0)
    run = after([controlled(ONE, units=(PLANT, full)), TWO], (1.0, -280.0), t_end_s=1200.0)
    assert (run.one_cars_mw * 0.1 / 3600).sum() >= -1.0 - 1e-9
    assert run.one_cars_mw.iloc[-1] == pytest.approx(0.0, abs=1e-9)


@few
@given(
    st.floats(-400, 400),
    st.lists(
        st.tuples(st.floats(0.05, 1), st.floats(-100, 0), st.floats(0, 100)), min_size=1, max_size=4
    ),
)
def test_dispatch_reaches_whatever_can_be_reached(command, units):
    total = sum(unit[0] for unit in units)
    shares = [unit[0] / total for unit in units]
    low = [unit[1] for unit in units]
    high = [unit[2] for unit in units]
    target = dispatch(command, shares, low, high)
    assert all(lo - 1e-9 <= now <= hi + 1e-9 for lo, now, hi in zip(low, target, high))
    assert sum(target) == pytest.approx(min(max(command, sum(low)), sum(high)), abs=1e-6)


def test_dispatch_keeps_the_shares_while_it_can():
    low = [-100.0, -100.0]
    high = [100.0, 100.0]
    assert dispatch(50.0, [0.7, 0.3], low, high) == pytest.approx([35.0, 15.0])
    assert dispatch(150.0, [0.7, 0.3], low, high) == pytest.approx([100.0, 50.0])
    cut = dispatch(-150.0, [0.7, 0.3], [-60.0, -100.0], high)
    assert cut == pytest.approx([-60.0, -90.0])
    handed_on = dispatch(40.0, [0.8, 0.1, 0.1], [-9.0] * 3, [10.0, 30.0, 14.0])
    assert handed_on == pytest.approx([10.0, 4 + 22 * 26 / 36, 4 + 22 * 10 / 36])


def test_units_without_a_limit_take_what_is_left_in_equal_parts():
    low = [-10.0, -INF, -INF]
    assert dispatch(100.0, [0.6, 0.2, 0.2], low, [10.0, INF, 25.0]) == [10.0, 70.0, 20.0]
    assert dispatch(-100.0, [0.6, 0.2, 0.2], low, [10.0, INF, 25.0]) == [-10.0, -45.0, -45.0]


def test_a_unit_may_have_no_limit():
    endless = replace(CARS, share=1.0, low_mw=-INF, high_mw=INF)
    areas = [controlled(ONE, units=(endless,)), TWO]
    end = restored(areas, [400.0, 0.0], f0_hz=F0)
    assert end.secondary_mw["one"] == pytest.approx(400.0)
    last = after(areas, (1.0, 400.0)).iloc[-1]
    assert last.one_cars_mw == pytest.approx(400.0, abs=0.1)


@pytest.mark.parametrize("dt_s", [0.01, 0.1])
def test_what_was_stepped_is_what_was_integrated(dt_s):
    """With a short cycle the power follows the continuous law, however time is cut into steps.

    Quasi-steady: the error e = c - P obeys e = -(kp e + integral of ki e) - P.
    """
    only = Unit(name="cars", share=1.0, low_mw=-500.0, high_mw=500.0)
    area = controlled(ONE, units=(only,), cycle_s=0.1)
    trip = [AreaLoss(area="one", t_s=0.0, p_mw=100.0)]
    run = simulate(area, trip, f0_hz=F0, t_end_s=30.0, dt_s=dt_s)
    law = 100.0 * (1 - math.exp(-0.02 * 30.0 / 1.2) / 1.2)
    assert run.one_cars_mw.iloc[-1] == pytest.approx(law, abs=0.1)


def test_a_cycle_must_have_a_whole_number_of_steps():
    for cycle_s, dt_s in ((0.01, 0.1), (4.0, 0.3), (0.25, 0.1)):
        area = controlled(ONE, cycle_s=cycle_s)
        with pytest.raises(ValueError, match=f"must divide cycle_s of area 'one', {cycle_s:g} s"):
            simulate(area, [], f0_hz=F0, dt_s=dt_s)
    assert len(simulate(controlled(ONE), [], f0_hz=F0, t_end_s=10.0, dt_s=1 / 3)) == 31


# -------------------------------------------------------------------------------------- the signal


def test_signal_is_what_its_recipe_says():
    signal = regulation_signal(24 * 20, rng=np.random.default_rng(3))
    assert len(signal) == 24 * 20 * 900
    assert signal.index[1] == 4.0
    assert signal.abs().max() <= 1
    assert signal.std() == pytest.approx(0.35, rel=0.05)
    assert abs(signal.mean()) < 0.03
    # Hardly ever clipped.
    small = regulation_signal(24 * 20, rng=np.random.default_rng(3), rms=0.01)
    raw = small.to_numpy() / 0.01
    for lag_s in (4.0, 40.0, 400.0):
        k = round(lag_s / 4)
        expected = (math.exp(-lag_s / 900) + math.exp(-lag_s / 30)) / 2
        assert np.corrcoef(raw[:-k], raw[k:])[0, 1] == pytest.approx(expected, abs=0.05)


def test_signal_repeats_with_its_seed():
    one, again, other = (
        regulation_signal(1, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert one.equals(again)
    assert not one.equals(other)


def test_split_adds_up_and_is_causal():
    signal = regulation_signal(2, rng=np.random.default_rng(1)).to_numpy()
    slow, fast = split(signal, dt_s=4.0, cutoff_s=300.0)
    assert slow + fast == pytest.approx(signal)
    assert mileage(slow) < 0.2 * mileage(signal)
    changed = signal.copy()
    changed[900:] = 0.0
    assert split(changed, dt_s=4.0, cutoff_s=300.0)[0][:900] == pytest.approx(slow[:900])
    step = split(np.r_[0.0, np.ones(100)], dt_s=4.0, cutoff_s=40.0)[0]
    assert step[10] == pytest.approx(1 - math.exp(-1))
    steady = split(np.ones(50), dt_s=4.0, cutoff_s=40.0)[0]
    assert steady == pytest.approx(np.ones(50))


# ---------------------------------------------------------------------------- a fleet that follows


BATTERY = Fleet(p_mw=2.0, energy_mwh=4.0, soc=0.5, eta_charge=0.92, eta_discharge=0.9)
DAY = regulation_signal(24, rng=np.random.default_rng(5)).to_numpy()


def one_by_one(signal, fleet, dt_s, offset=None):
    """The same fleet, written plainly a second time: energy in MWh, one step after the other."""
    stored = fleet.soc * fleet.energy_mwh
    dt = dt_s / 3600
    rows = []
    schedule = announced = 0.0
    share = offset.share if offset else 0.0
    block = round(offset.period_s / dt_s) if offset else len(signal) + 1
    for k, value in enumerate(signal):
        if offset and k % block == 0:
            schedule = announced
            surplus = stored - announced * block * dt - offset.target_soc * fleet.energy_mwh
            announced = max(-share * fleet.p_mw, min(share * fleet.p_mw, surplus / (block * dt)))
        p = max(-fleet.p_mw, min(fleet.p_mw, (1 - share) * fleet.p_mw * value + schedule))
        if p > 0:
            p = min(p, (stored - fleet.soc_min * fleet.energy_mwh) * fleet.eta_discharge / dt)
            stored -= p * dt / fleet.eta_discharge
        else:
            p = max(p, -(fleet.soc_max * fleet.energy_mwh - stored) / fleet.eta_charge / dt)
            stored -= p * dt * fleet.eta_charge
        rows.append(((1 - share) * fleet.p_mw * value, schedule, p, stored / fleet.energy_mwh))
    return np.array(rows)


@pytest.mark.parametrize(
    "offset", [None, Offset(share=0.3, period_s=900.0, target_soc=0.6)], ids=["alone", "offset"]
)
@pytest.mark.parametrize(
    "fleet",
    [BATTERY, replace(BATTERY, energy_mwh=0.4), replace(BATTERY, soc_min=0.45, soc_max=0.55)],
    ids=["large", "small", "narrow"],
)
def test_follow_equals_a_plain_battery(fleet, offset):
    run = follow(DAY, fleet, dt_s=4.0, offset=offset)
    assert np.abs(run.to_numpy() - one_by_one(DAY, fleet, 4.0, offset)).max() < 1e-9
    assert run.soc.between(fleet.soc_min, fleet.soc_max).all()
    assert run.index[1] == 4.0


@pytest.mark.parametrize(
    "offset", [None, Offset(share=0.2, period_s=900.0)], ids=["alone", "offset"]
)
def test_many_fleets_at_once_equal_each_one_alone(offset):
    energies = np.array([0.3, 1.0, 8.0])
    many = follow(DAY[:5000], replace(BATTERY, energy_mwh=energies), dt_s=4.0, offset=offset)
    for i, energy in enumerate(energies):
        alone = follow(DAY[:5000], replace(BATTERY, energy_mwh=energy), dt_s=4.0, offset=offset)
        for name in alone:
            assert np.abs(many[name][i] - alone[name]).max() < 1e-12


def test_energy_is_conserved():
    run = follow(DAY, replace(BATTERY, energy_mwh=0.5), dt_s=4.0)
    out = run.delivered_mw.clip(lower=0).sum() / 900
    taken = -run.delivered_mw.clip(upper=0).sum() / 900
    assert taken * 0.92 - out / 0.9 == pytest.approx((run.soc.iloc[-1] - 0.5) * 0.5, abs=1e-9)


def test_a_signal_of_mean_zero_empties_a_lossy_battery_as_the_closed_form_says():
    wave = np.sin(np.arange(21600) * 2 * np.pi / 450)  # whole periods
    large = replace(BATTERY, energy_mwh=100.0)
    run = follow(wave, large, dt_s=4.0)
    assert run.soc.iloc[-1] - 0.5 == pytest.approx(24 * soc_drift_per_h(large, wave), rel=1e-6)
    assert soc_drift_per_h(replace(BATTERY, eta_charge=1.0, eta_discharge=1.0), wave) == 0.0
    assert soc_drift_per_h(BATTERY, [1.0, -1.0]) == pytest.approx(-2.0 / 8.0 * (1 / 0.9 - 0.92))


def test_an_offset_holds_the_battery_where_it_should_be():
    small = replace(BATTERY, energy_mwh=3.0)
    free = follow(DAY, small, dt_s=4.0)
    held = follow(DAY, small, dt_s=4.0, offset=Offset(share=0.25, period_s=900.0))
    assert np.ptp(held.soc) < 0.6 * np.ptp(free.soc)
    better = tracking(held.asked_mw, held.delivered_mw - held.schedule_mw)
    assert better > tracking(free.asked_mw, free.delivered_mw)


def test_a_schedule_is_fixed_one_period_ahead():
    """What the signal does inside a period changes neither its schedule nor the next one."""
    offset = Offset(share=0.3, period_s=900.0)
    other = DAY.copy()
    other[450:675] = -1.0
    one, two = (
        follow(signal, BATTERY, dt_s=4.0, offset=offset).schedule_mw.to_numpy()
        for signal in (DAY, other)
    )
    assert (one[:900] == two[:900]).all()
    assert (one[900:1125] != two[900:1125]).any()
    assert (one[:225] == 0).all()
    assert all(np.ptp(one[k : k + 225]) == 0 for k in range(0, len(one), 225))


def test_tracking_and_mileage_by_hand():
    assert tracking([1.0, -1.0, 2.0], [1.0, -1.0, 2.0]) == 1.0
    assert tracking([1.0, -1.0, 2.0], [0.0, 0.0, 0.0]) == 0.0
    assert tracking([1.0, -1.0, 2.0], [0.5, -1.0, 3.0]) == pytest.approx(1 - 0.5 / (4 / 3))
    assert mileage([0.0, 0.5, -0.5, -0.5]) == 1.5


# --------------------------------------------------------------------------------------- bad input


SIGNAL = np.zeros(10)
FREE = Area(name="free", rating_mw=1000.0, inertia_s=5.0, damping_rating_pu=0.0, droop_pu=INF)
FALL = AreaLoss(area="free", t_s=0.0, p_mw=500.0)
FLAT = [controlled(ONE, ties=False), TWO]
TWINS = controlled(ONE, units=(Unit(name="export", share=1.0, low_mw=-1.0, high_mw=1.0),))


@pytest.mark.parametrize(
    "broken, message",
    [
        (lambda: replace(ONE, rating_mw=0.0), "rating_mw is 0 MW"),
        (lambda: replace(ONE, inertia_s=0.0), "inertia_s is 0 s"),
        (lambda: replace(ONE, droop_pu=0.0), "droop_pu is 0"),
        (lambda: replace(ONE, damping_rating_pu=-1.0), "damping_rating_pu is -1"),
        (lambda: replace(ONE, t_valve_s=0.0), "t_valve_s is 0 s"),
        (lambda: replace(ONE, t_turbine_s=-1.0), "t_turbine_s is -1 s"),
        (lambda: ONE.stiffness_mw_per_hz(0.0), "f0_hz is 0 Hz"),
        (lambda: primary_response([ONE, ONE], [1.0, 2.0], f0_hz=F0), "different names"),
        (lambda: primary_response([], [], f0_hz=F0), "one or more areas"),
        (
            lambda: primary_response([ONE, TWO], [1.0], f0_hz=F0),
            "loss_mw has 1 values, but there are 2 areas",
        ),
        (lambda: restored([ONE, TWO], [1.0, NAN], f0_hz=F0), "loss_mw contains NaN"),
        (lambda: ace(1.0, NAN, 0.0, bias_mw_per_hz=1.0), "scheduled_mw contains NaN"),
        (lambda: ace(1.0, 1.0, 0.0, bias_mw_per_hz=-250.0), "bias_mw_per_hz is -250 MW/Hz"),
        (lambda: bias_from_nerc(250.0), "at most 0"),
        (lambda: replace(CARS, share=1.5), "share is 1.5"),
        (lambda: replace(CARS, low_mw=1.0), "low_mw is 1 MW"),
        (lambda: replace(CARS, high_mw=-1.0), "high_mw is -1 MW"),
        (lambda: replace(CARS, ramp_mw_per_min=0.0), "ramp_mw_per_min is 0 MW/min"),
        (lambda: replace(CARS, lag_s=0.0), "lag_s is 0 s"),
        (lambda: replace(CARS, energy_up_mwh=-1.0), "energy_up_mwh is -1 MWh"),
        (lambda: replace(CARS, energy_down_mwh=-1.0), "energy_down_mwh is -1 MWh"),
        (lambda: controlled(ONE, units=(CARS,)), "add up to 0.3"),
        (lambda: controlled(ONE, units=()), "at least one"),
        (lambda: controlled(ONE, ki_per_s=-1.0), "ki_per_s is -1 1/s"),
        (lambda: controlled(ONE, kp=-1.0), "kp is -1"),
        (lambda: controlled(ONE, cycle_s=0.0), "cycle_s is 0 s"),
        (lambda: controlled(ONE, bias_mw_per_hz=-1.0), "bias_mw_per_hz is -1"),
        (lambda: Tie(between=("one", "one"), stiffness_mw_per_rad=1.0), "two different areas"),
        (lambda: replace(TIE, stiffness_mw_per_rad=0.0), "stiffness_mw_per_rad is 0"),
        (lambda: replace(TIE, damping_mw_per_hz=-1.0), "damping_mw_per_hz is -1"),
        (
            lambda: simulate([ONE], [AreaLoss(area="tree", t_s=0.0, p_mw=1.0)], f0_hz=F0),
            "a loss names the area 'tree'; the areas are one",
        ),
        (lambda: simulate([ONE], [], [TIE], f0_hz=F0), "a tie names the area 'two'"),
        (lambda: after([ONE, TWO], dt_s=0.0), "dt_s is 0 s"),
        (lambda: after([ONE, TWO], t_end_s=0.01), "t_end_s is 0.01 s"),
        (lambda: regulation_signal(0, rng=np.random.default_rng(1)), "duration_h is 0 h"),
        (lambda: regulation_signal(1, rng=np.random.default_rng(1), rms=0), "rms is 0"),
        (lambda: split(SIGNAL, dt_s=0.0, cutoff_s=1.0), "dt_s is 0 s"),
        (lambda: split([NAN], dt_s=4.0, cutoff_s=1.0), "signal contains NaN"),
        (lambda: replace(BATTERY, soc=1.2), "soc is 1.2"),
        (lambda: replace(BATTERY, soc_min=0.6), "must lie between"),
        (lambda: replace(BATTERY, soc_max=0.4), "must lie between"),
        (lambda: replace(BATTERY, eta_charge=1.1), "eta_charge is 1.1"),
        (lambda: replace(BATTERY, eta_discharge=0.0), "eta_discharge is 0"),
        (lambda: replace(BATTERY, p_mw=0.0), "p_mw is 0 MW"),
        (lambda: replace(BATTERY, energy_mwh=-1.0), "energy_mwh is -1 MWh"),
        (lambda: Offset(share=1.0, period_s=900.0), "share is 1"),
        (lambda: Offset(share=0.2, period_s=0.0), "period_s is 0 s"),
        (lambda: Offset(share=0.2, period_s=900.0, target_soc=50.0), "target_soc is 50"),
        (lambda: follow([0.0, 1.5], BATTERY, dt_s=4.0), "signal is 1.5"),
        (lambda: follow(SIGNAL, BATTERY, dt_s=0.0), "dt_s is 0 s"),
        (lambda: tracking([1.0], [1.0, 2.0]), "these shapes must be the same"),
        (lambda: tracking([0.0, 0.0], [1.0, 2.0]), "nothing to follow"),
        (lambda: replace(ONE, droop_pu=5.0), "droop_pu is 5; .* per cent"),
        (lambda: primary_response(FREE, 1.0, f0_hz=F0), "areas have no stiffness"),
        (lambda: dispatch(NAN, [1.0], [0.0], [1.0]), "command_mw contains NaN"),
        (lambda: dispatch(1.0, [0.3, 0.3, 0.4], [0, 0], [1, 1]), "shapes must be the same"),
        (lambda: dispatch(1.0, [0.5, 0.5], [2, 0], [1, 1]), "low_mw = 2 MW lies above high_mw = 1"),
        (lambda: dispatch(1.0, [0.5, 0.6], [0, 0], [1, 1]), "shares add up to 1.1"),
        (lambda: dispatch(1.0, [50, 50], [0, 0], [1, 1]), "shares is 50; .* per cent"),
        (lambda: AreaLoss(area="one", t_s=-5.0, p_mw=1.0), "t_s is -5 s"),
        (lambda: AreaLoss(area="one", t_s=0.0, p_mw=NAN), "p_mw contains NaN"),
        (lambda: controlled(ONE, units=(replace(CARS, share=0.5),) * 2), "different names"),
        (lambda: simulate(TWINS, [], f0_hz=F0), "make the column one_export_mw twice"),
        (lambda: simulate(FREE, [FALL], f0_hz=F0), "frequency of 'free' leaves 0 to 2 f0_hz"),
        (lambda: simulate(ONE, [], f0_hz=F0, dt_s=1e-6), "t_end_s is 600, with steps of 1e-06"),
        (lambda: restored(FLAT, [1.0, 0.0], f0_hz=F0), "'one' has an AGC with ties = False"),
        (lambda: restored(controlled(ONE, ki_per_s=0.0), 1.0, f0_hz=F0), "ki_per_s = 0"),
        (lambda: restored(controlled(ONE, bias_mw_per_hz=0.0), 1.0, f0_hz=F0), "no frequency"),
        (lambda: regulation_signal(1e9, rng=np.random.default_rng(1)), "duration_h = 1e"),
        (
            lambda: regulation_signal(1, rng=np.random.default_rng(1), rms=35),
            "rms is 35; .* per cent",
        ),
        (lambda: replace(BATTERY, soc=85), "soc is 85; .* per cent"),
        (lambda: replace(BATTERY, soc=[0.5] * 2, p_mw=[1.0] * 3), r"p_mw \(3,\)"),
        (lambda: soc_drift_per_h(BATTERY, [5.0]), "signal is 5"),
        (lambda: follow(0.5, BATTERY, dt_s=4.0), "signal has shape"),
        (
            lambda: follow(SIGNAL, BATTERY, dt_s=4.0, offset=Offset(share=0.2, period_s=10.0)),
            "dt_s is 4 s; it must divide period_s of the offset, 10 s, into equal steps",
        ),
    ],
)
def test_bad_input_is_named(broken, message):
    with pytest.raises(ValueError, match=message):
        broken()


@pytest.mark.parametrize(
    "broken, message",
    [
        (lambda: simulate(FREE, FALL, f0_hz=F0), r"losses is an agc.AreaLoss; put it into a list"),
        (
            lambda: simulate(ONE, [frequency.Loss(p_mw=1.0)], f0_hz=F0),
            r"losses\[0\] is a frequency.Loss; it must be an agc.AreaLoss",
        ),
        (lambda: simulate(ONE, [], TIE, f0_hz=F0), "ties is an agc.Tie; put it into a list"),
        (lambda: primary_response(CARS, 1.0, f0_hz=F0), "areas is an agc.Unit"),
        (lambda: controlled(ONE, units=(ONE,)), r"units\[0\] is an agc.Area"),
        (lambda: replace(ONE, agc=CARS), "agc is an agc.Unit; it must be an agc.Agc"),
        (lambda: Tie(between="ab", stiffness_mw_per_rad=1.0), "between is 'ab'"),
        (lambda: regulation_signal(1.0, rng=7), "rng is 7; it must be a Generator"),
        (lambda: follow(SIGNAL, CARS, dt_s=4.0), "fleet is an agc.Unit"),
        (lambda: follow(SIGNAL, BATTERY, dt_s=4.0, offset=0.2), "offset is 0.2"),
    ],
)
def test_an_object_of_another_kind_is_named(broken, message):
    with pytest.raises(TypeError, match=message):
        broken()
