"""Topic 01: published cases, limits, conservation, SciPy and ANDES, refusals, invariants."""

import math
import operator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import case
from scipy import signal
from scipy.integrate import solve_ivp

from v2gbook.classroom import presets
from v2gbook.frequency import (
    EvFleet,
    Governor,
    Grid,
    Loss,
    Service,
    Sfr,
    Ufls,
    damped_step,
    event,
    free_fall_time,
    implied_kinetic_energy,
    in_time,
    kinetic_energy,
    ramp_nadir,
    rocof,
    service_power,
    sfr_nadir,
    sfr_step,
    shed_relief,
    simulate,
    steady_state,
    sweep,
)


def service(region, key):
    """A service as the region's preset tells it to the chapter."""
    return Service(**presets.load(region).frequency["services"][key])


# An island that the tests below share: 0.25 Hz/s for a loss of 500 MW, one reheat plant, cars with
# a soft deadband.
GRID = Grid(f0_hz=50.0, kinetic_energy_mws=50_000.0, load_mw=10_000.0, damping_load_pu=1.0)
LOSS = Loss(p_mw=500.0)
PLANT = Governor(
    rating_mw=4000.0, droop_pu=0.05, deadband_hz=0.02, t_valve_s=0.3, t_lead_s=2.4, t_lag_s=8.0
)
CURVE = Service(
    name="droop",
    deviation_hz=(0.015, 0.5),
    fraction=(0.0, 1.0),
    start_s=0.5,
    full_s=1.0,
    duration_s=900.0,
)
CARS = EvFleet(p_up_mw=600.0, p_down_mw=400.0, service=CURVE, delay_s=0.2, ramp_s=0.5)
RELAYS = Ufls(f_hz=(49.0, 48.8, 48.6), shed=(0.05, 0.1, 0.1), delay_s=0.15)
STEP = Service(
    name="step",
    deviation_hz=(0.0, 0.0),
    fraction=(0.0, 1.0),
    start_s=0.0,
    full_s=1.0,
    duration_s=900.0,
    symmetric=False,
)
UNDAMPED = replace(GRID, damping_load_pu=0.0)


def slopes_over(f_hz, dt_s, window_s):
    """Slope of a trace over a sliding window, as relays measure it."""
    f_hz = np.asarray(f_hz)
    window = round(window_s / dt_s)
    return (f_hz[window:] - f_hz[:-window]) / (window * dt_s)


def resting_at(f_hz, f0_hz, load_mw, **answers):
    """End of a run in which frequency falls to `f_hz` within a second and rests there.

    So much turns that what answers does not move it: 10 MW s for each MW of load.
    """
    grid = Grid(f0_hz=f0_hz, kinetic_energy_mws=10 * load_mw, load_mw=load_mw, damping_load_pu=0.0)
    fall_mw = 2 * grid.kinetic_energy_mws / f0_hz * (f0_hz - f_hz)
    losses = [Loss(p_mw=fall_mw), Loss(t_s=1.0, p_mw=-fall_mw)]
    return simulate(grid, losses, **answers, t_end_s=4.0).iloc[-1]


# ---------------------------------------------------------------------------------- published cases


def test_g01_energy_behind_the_seed():
    inputs, expected = case("G01")
    assert (
        implied_kinetic_energy(inputs["dP_MW"], -inputs["ROCOF_Hz_s"], f0_hz=inputs["f0_Hz"])
        == expected["HS_MWs"]
    )


def test_g01_inertia_constant_on_10_gva():
    _, expected = case("G01")
    assert kinetic_energy(expected["H_if_S_10GVA_s"].expected, 10_000.0) == expected["HS_MWs"]


def test_g01_at_50_hz():
    inputs, expected = case("G01")
    assert (
        implied_kinetic_energy(inputs["dP_MW"], -inputs["ROCOF_Hz_s"], f0_hz=50.0)
        == expected["HS_if_50Hz_MWs"]
    )


def test_g02_free_fall():
    inputs, expected = case("G02")
    fall = inputs["dP_MW"], inputs["E_MWs"]
    assert rocof(*fall, f0_hz=inputs["f0_Hz"]) == expected["rocof_Hz_s"]
    assert free_fall_time(49.2, *fall, f0_hz=inputs["f0_Hz"]) == expected["t_to_49_2_s"]
    assert free_fall_time(48.8, *fall, f0_hz=inputs["f0_Hz"]) == expected["t_to_48_8_s"]


def saadat_area(inputs, droop_pu):
    """Saadat's single area on its 250 MW unit: a governor with two lags, and a step."""
    rating_mw = 250.0
    grid = Grid(
        f0_hz=inputs["f0_Hz"],
        kinetic_energy_mws=inputs["H_s"] * rating_mw,
        load_mw=rating_mw,
        damping_load_pu=inputs["D_pu"],
    )
    governor = Governor(
        rating_mw=rating_mw,
        droop_pu=droop_pu,
        t_valve_s=inputs["tau_g_s"],
        t_lead_s=0.0,
        t_lag_s=inputs["tau_T_s"],
    )
    return grid, [Loss(p_mw=inputs["dPL_pu"] * rating_mw)], [governor]


@pytest.fixture(scope="module")
def saadat():
    """Deviation of Saadat's example 12.1, 40 s at 5 ms."""
    inputs, _ = case("G03")
    return (
        simulate(*saadat_area(inputs, inputs["R_pu"]), t_end_s=40.0, dt_s=0.005).f_hz
        - inputs["f0_Hz"]
    )


def test_g03_steady_state(saadat):
    assert saadat.iloc[-1] == case("G03")[1]["df_ss_Hz"]


def test_g03_steady_state_per_unit(saadat):
    inputs, expected = case("G03")
    assert saadat.iloc[-1] / inputs["f0_Hz"] == expected["dw_ss_pu"]


def test_g03_nadir(saadat):
    assert saadat.min() == case("G03")[1]["nadir_Hz"]


def test_g03_peak_time(saadat):
    assert saadat.idxmin() == case("G03")[1]["t_peak_s"]


def test_g03_overshoot(saadat):
    final = saadat.iloc[-1]
    assert 100 * (saadat.min() - final) / final == case("G03")[1]["overshoot_pct"]


def test_g03_settling_time(saadat):
    outside = (saadat / saadat.iloc[-1] - 1).abs() > 0.02
    assert saadat.index[outside][-1] == case("G03")[1]["settling_2pct_s"]


def routh_gain(m_s, damping_load_pu, t_valve_s, t_turbine_s):
    """Equation (1.13) of the chapter: largest 1 / R of a governor with two lags on its own grid."""
    lags = t_valve_s + t_turbine_s
    product = t_valve_s * t_turbine_s
    first = m_s * lags + damping_load_pu * product
    second = m_s + damping_load_pu * lags
    return first * second / (m_s * product) - damping_load_pu


def test_g03_stability_limit():
    inputs, expected = case("G03")
    gain = routh_gain(2 * inputs["H_s"], inputs["D_pu"], inputs["tau_g_s"], inputs["tau_T_s"])
    assert gain == expected["K_max"]
    assert 1 / gain == expected["R_min_stable_pu"]


@pytest.mark.parametrize("factor, grows", [(0.95, True), (1.05, False)])
def test_g03_simulator_swings_up_below_the_limit_and_down_above(factor, grows):
    inputs, expected = case("G03")
    run = simulate(
        *saadat_area(inputs, factor * expected["R_min_stable_pu"].expected),
        t_end_s=40.0,
        dt_s=0.005,
    )
    swing = (run.f_hz - run.f_hz.mean()).abs()
    assert (swing.loc[30.0:].max() > swing.loc[10.0:20.0].max()) == grows


def test_g04_two_units_share_a_load_rise():
    inputs, expected = case("G04")
    after = steady_state(
        inputs["dP_MW"],
        [inputs["S1_MVA"], inputs["S2_MVA"]],
        [inputs["R1_own"], inputs["R2_own"]],
        load_mw=900.0,
        damping_load_pu=inputs["D_pu"],
        f0_hz=inputs["f0_Hz"],
    )
    assert after.f_hz == expected["f_Hz"]
    before_mw = np.array([inputs["P1_MW"], inputs["P2_MW"]])
    assert before_mw + after.p_units_mw == pytest.approx(
        [expected["P1_MW"].expected, expected["P2_MW"].expected], abs=0.01
    )
    assert after.load_relief_mw == expected["load_change_MW"]


def sfr(inputs):
    return Sfr(
        inertia_s=inputs["H"],
        droop_pu=inputs["R"],
        km=inputs["Km"],
        f_h=inputs["Fh"],
        t_r_s=inputs["Tr"],
        damping_rating_pu=inputs["D"],
    )


SFR_CASES = pytest.mark.parametrize("key", ["G10", "G11"])


@SFR_CASES
def test_sfr_parameters(key):
    inputs, expected = case(key)
    assert sfr(inputs).wn_rad_per_s == expected["wn_rad_s"]
    assert sfr(inputs).zeta == expected["zeta"]


@SFR_CASES
def test_sfr_initial_slope(key):
    inputs, expected = case(key)
    assert (
        sfr_step(1e-9, sfr(inputs), -inputs["P"], f0_hz=inputs["f0"]) / 1e-9
        == expected["rocof0_Hz_s"]
    )


@SFR_CASES
def test_sfr_nadir(key):
    inputs, expected = case(key)
    nadir = sfr_nadir(sfr(inputs), -inputs["P"], f0_hz=inputs["f0"])
    assert nadir.df_hz == expected["df_nadir_Hz"]
    assert nadir.t_s == expected["t_nadir_s"]


@SFR_CASES
def test_sfr_final_value(key):
    inputs, expected = case(key)
    assert sfr_step(1000.0, sfr(inputs), -inputs["P"], f0_hz=inputs["f0"]) == expected["df_ss_Hz"]


@SFR_CASES
def test_simulator_reproduces_the_sfr_cases(key):
    """A governor without valve lag whose droop is R / Km is the SFR model."""
    inputs, expected = case(key)
    base_mw = 1000.0
    grid = Grid(
        f0_hz=inputs["f0"],
        kinetic_energy_mws=inputs["H"] * base_mw,
        load_mw=base_mw,
        damping_load_pu=inputs["D"],
    )
    plant = Governor(
        rating_mw=base_mw,
        droop_pu=inputs["R"] / inputs["Km"],
        t_valve_s=0.0,
        t_lead_s=inputs["Fh"] * inputs["Tr"],
        t_lag_s=inputs["Tr"],
    )
    df_hz = (
        simulate(grid, [Loss(p_mw=-inputs["P"] * base_mw)], [plant], t_end_s=60.0, dt_s=0.001).f_hz
        - inputs["f0"]
    )
    assert df_hz.min() == expected["df_nadir_Hz"]
    assert df_hz.idxmin() == expected["t_nadir_s"]
    assert df_hz.iloc[-1] == expected["df_ss_Hz"]


RAMP_CASES = pytest.mark.parametrize("key", ["G13", "G14"])


@RAMP_CASES
def test_ramp_nadir(key):
    inputs, expected = case(key)
    nadir = ramp_nadir(
        inputs["dP_MW"], inputs["E_MWs"], inputs["R_MW"], inputs["Td_s"], 0.0, f0_hz=inputs["f0_Hz"]
    )
    assert nadir.df_hz == expected["df_nadir_Hz"]
    assert nadir.t_s == expected["t_nadir_s"]


def simulated_ramp(inputs, delay_s):
    """Cars that ramp at once, because their service is a step at f0.

    1/600 s puts the nadir of both cases on the grid of steps.
    """
    grid = replace(UNDAMPED, kinetic_energy_mws=inputs["E_MWs"])
    cars = replace(
        CARS, p_up_mw=inputs["R_MW"], service=STEP, delay_s=delay_s, ramp_s=inputs["Td_s"]
    )
    return (
        simulate(
            grid,
            [Loss(p_mw=inputs["dP_MW"])],
            [cars],
            t_end_s=1.2 * inputs["Td_s"] + delay_s,
            dt_s=1 / 600,
        ).f_hz
        - grid.f0_hz
    )


@RAMP_CASES
def test_simulator_reproduces_the_ramp_cases(key):
    inputs, expected = case(key)
    df_hz = simulated_ramp(inputs, delay_s=0.0)
    assert df_hz.min() == expected["df_nadir_Hz"]
    assert df_hz.idxmin() == expected["t_nadir_s"]


def test_half_a_second_of_dead_time_more_than_doubles_g13():
    """rules.md, B2: from 0.104 to 0.229 Hz."""
    inputs, _ = case("G13")
    nadir = ramp_nadir(
        inputs["dP_MW"], inputs["E_MWs"], inputs["R_MW"], inputs["Td_s"], 0.5, f0_hz=inputs["f0_Hz"]
    )
    assert nadir.df_hz == pytest.approx(-0.229, abs=0.0005)


def test_simulator_with_dead_time_agrees_with_the_ramp_formula():
    inputs, _ = case("G13")
    nadir = ramp_nadir(
        inputs["dP_MW"], inputs["E_MWs"], inputs["R_MW"], inputs["Td_s"], 0.5, f0_hz=inputs["f0_Hz"]
    )
    assert simulated_ramp(inputs, delay_s=0.5).min() == pytest.approx(nadir.df_hz, abs=0.0005)


def kundur(inputs):
    """Loss, energy, load that stays, and its damping."""
    return (
        -inputs["drop_MW"],
        inputs["H_s"] * inputs["Sb_MVA"],
        inputs["load_MW"] - inputs["drop_MW"],
        1.5,
    )


def test_g16_damped_step():
    inputs, expected = case("G16")
    assert damped_step(10.0, *kundur(inputs), f0_hz=inputs["f0_Hz"]) == expected["df_10s_Hz"]
    assert damped_step(1e6, *kundur(inputs), f0_hz=inputs["f0_Hz"]) == expected["df_ss_Hz"]


def test_g16_time_constant():
    """The slope at the start would reach the final value after T."""
    inputs, expected = case("G16")
    slope = rocof(*kundur(inputs)[:2], f0_hz=inputs["f0_Hz"])
    assert damped_step(1e6, *kundur(inputs), f0_hz=inputs["f0_Hz"]) / slope == expected["T_s"]


def test_g16_simulator():
    inputs, expected = case("G16")
    loss, energy, load, damping = kundur(inputs)
    grid = Grid(
        f0_hz=inputs["f0_Hz"], kinetic_energy_mws=energy, load_mw=load, damping_load_pu=damping
    )
    assert (
        simulate(grid, [Loss(p_mw=loss)], t_end_s=10.0).f_hz.iloc[-1] - grid.f0_hz
        == expected["df_10s_Hz"]
    )


def held_droop_mw(f_hz, deadband_hz):
    """Power of the unit of G18 when frequency rests at `f_hz`."""
    inputs, _ = case("G18")
    unit = Governor(
        rating_mw=inputs["Pmax_MW"],
        droop_pu=inputs["R_pu"],
        deadband_hz=deadband_hz,
        t_valve_s=0.0,
        t_lead_s=0.0,
        t_lag_s=0.1,
    )
    return resting_at(f_hz, inputs["f0_Hz"], 1e9, resources=[unit]).p_governor_mw


def test_g18_droop_with_deadband():
    inputs, expected = case("G18")
    assert held_droop_mw(inputs["f_Hz"], inputs["db_Hz"]) == expected["dP_MW"]
    assert held_droop_mw(59.97, inputs["db_Hz"]) == expected["dP_at_59_97_MW"]


def test_g18_a_deadband_left_with_a_step_would_give_more():
    """Contrast: outside a step deadband the unit answers as if it had none."""
    inputs, expected = case("G18")
    assert held_droop_mw(inputs["f_Hz"], 0.0) == expected["dP_if_step_deadband_MW"]


def test_g21_ercot_load_shedding():
    """The shares are scaled down so that what is shed does not move frequency."""
    inputs, expected = case("G21")
    stages = presets.load("na-60hz").frequency["ufls"]
    shares = 1e-6 * np.array(stages["shed"])
    relays = Ufls(f_hz=stages["f_hz"], shed=shares, delay_s=stages["delay_s"])
    end = resting_at(inputs["f_min_Hz"], 60.0, inputs["load_MW"], ufls=relays)
    shed_mw = 1e6 * end.shed_mw
    assert 100 * shed_mw / inputs["load_MW"] == expected["cum_pct"]
    assert shed_mw == expected["shed_MW"]


def test_g22_dynamic_containment():
    inputs, expected = case("G22")
    assert (
        service_power(inputs["f_Hz"], service("gb-50hz", "dynamic_containment"), 100.0, f0_hz=50.0)
        == expected["response_pct"]
    )


def test_g24_continental_fcr():
    inputs, expected = case("G24")
    assert (
        service_power(inputs["f_Hz"], service("eu-50hz", "fcr"), inputs["FCR_MW"], f0_hz=50.0)
        == expected["P_MW"]
    )


@pytest.mark.parametrize("option", ["497", "496", "495"])
def test_g25_nordic_ffr_options(option):
    inputs, expected = case("G25")
    verdict = in_time(inputs["end_to_end_delay_s"], service("eu-50hz", f"ffr_{option}"))
    assert verdict == expected[f"qualifies_49_{option[-1]}"]


def test_g26_losses_of_9_august_2019():
    """Without the 200 MW at 49 Hz, the operator's own modelling figure (see its sources)."""
    _, expected = case("G26")
    lost_mw = (
        pd.Series({loss.t_s: loss.p_mw for loss in event("gb-2019-08-09").losses})
        .drop(61.5)
        .cumsum()
    )
    assert lost_mw.loc[1.0] == expected["first_MW"]
    assert lost_mw.loc[57.5] == expected["after_GT1_MW"]
    assert lost_mw.loc[84.5] == expected["after_GT2_MW"]


def test_g28_fcr_saturates_in_the_split_of_continental_europe():
    inputs, expected = case("G28")
    f_hz = [inputs["nadir_NW_Hz"], inputs["steady_NW_Hz"], inputs["peak_SE_Hz"]]
    share = service_power(f_hz, service("eu-50hz", "fcr"), 1.0, f0_hz=50.0)
    assert share.tolist() == [
        expected["frac_at_nadir"],
        expected["frac_at_steady"],
        expected["frac_SE_peak"],
    ]


# -------------------------------------------------------------------------------- independent tools

# ANDES 2.0.0 (PyPI; kvxopt 1.3.3.3, Python 3.11.7), time-domain simulation by the trapezoidal rule
# at 1/480 s, tolerance 1e-9: one GENCLS (1000 MVA, M = 8 s, 60 Hz) with TGOV1 (R = 0.05),
# constant-power load, +100 MW. Deviations and turbine power at T, minimum over 20 s.
# A: T1 0.5, T2 3, T3 10, wide limits. B: the valve stops 60 MW above its start. C: T1 0.2, T2 0,
# T3 0.5 and D = 1.
ANDES_T_S = [0.25, 0.5, 1, 1.5, 2, 3, 5, 8, 12, 20]
ANDES = {
    "A": {
        "governor": {"t_valve_s": 0.5, "t_lead_s": 3.0, "t_lag_s": 10.0},
        "damping_load_pu": 0.0,
        "df_hz": [
            -0.18484,
            -0.356157,
            -0.628901,
            -0.795061,
            -0.865769,
            -0.818418,
            -0.522508,
            -0.323932,
            -0.300225,
            -0.300007,
        ],
        "p_mw": [
            4.042959,
            13.948288,
            41.458674,
            69.336654,
            91.835602,
            116.521081,
            116.920242,
            102.923411,
            100.033181,
            100.000773,
        ],
        "df_min_hz": -0.872726,
    },
    "B": {
        "governor": {"t_valve_s": 0.5, "t_lead_s": 3.0, "t_lag_s": 10.0, "headroom_mw": 60.0},
        "damping_load_pu": 0.0,
        "df_hz": [
            -0.18484,
            -0.356157,
            -0.659667,
            -0.954041,
            -1.241374,
            -1.796273,
            -2.835609,
            -4.249912,
            -5.93455,
            -8.877176,
        ],
        "p_mw": [
            4.042959,
            13.948288,
            20.529626,
            22.454619,
            24.285729,
            27.684391,
            33.542217,
            40.399592,
            46.861454,
            54.096471,
        ],
        "df_min_hz": -8.877176,
    },
    "C": {
        "governor": {"t_valve_s": 0.2, "t_lead_s": 0.0, "t_lag_s": 0.5},
        "damping_load_pu": 1.0,
        "df_hz": [
            -0.182406,
            -0.338441,
            -0.486913,
            -0.418892,
            -0.27724,
            -0.221646,
            -0.290118,
            -0.287735,
            -0.285162,
            -0.285722,
        ],
        "p_mw": [
            4.259016,
            22.953047,
            85.123603,
            128.768261,
            128.495381,
            82.090135,
            102.059362,
            96.554786,
            95.241662,
            95.238902,
        ],
        "df_min_hz": -0.488319,
    },
}


@pytest.mark.parametrize("key", ANDES)
def test_andes_agrees(key):
    """To 0.1 mHz and 0.02 MW.

    ANDES applies its step 50 microseconds late, which alone is worth 0.04 mHz and 0.007 MW.
    """
    table = ANDES[key]
    grid = Grid(
        f0_hz=60.0,
        kinetic_energy_mws=4000.0,
        load_mw=1000.0,
        damping_load_pu=table["damping_load_pu"],
    )
    governor = Governor(rating_mw=1000.0, droop_pu=0.05, **table["governor"])
    run = simulate(grid, [Loss(p_mw=100.0)], [governor], t_end_s=20.0, dt_s=0.0025)
    ours = run.iloc[np.rint(np.array(ANDES_T_S) / 0.0025).astype(int)]
    np.testing.assert_allclose(ours.f_hz - 60.0, table["df_hz"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(ours.p_governor_mw, table["p_mw"], rtol=0, atol=0.02)
    assert run.f_hz.min() - 60.0 == pytest.approx(table["df_min_hz"], abs=1e-4)


def scipy_sfr(model, t_s, loss_pu, f0_hz):
    """Step response of the transfer function of Anderson and Mirheydar."""
    r, tr = model.droop_pu, model.t_r_s
    denominator = np.polyadd(
        r * np.polymul([2 * model.inertia_s, model.damping_rating_pu], [tr, 1]),
        model.km * np.array([model.f_h * tr, 1]),
    )
    return -f0_hz * loss_pu * signal.step((r * np.array([tr, 1]), denominator), T=t_s)[1]


@SFR_CASES
def test_scipy_agrees_with_the_sfr_cases(key):
    inputs, _ = case(key)
    t_s = np.linspace(0.0, 30.0, 301)
    ours = sfr_step(t_s, sfr(inputs), -inputs["P"], f0_hz=inputs["f0"])
    np.testing.assert_allclose(
        ours, scipy_sfr(sfr(inputs), t_s, -inputs["P"], inputs["f0"]), rtol=0, atol=1e-9
    )


def test_scipy_agrees_with_saadats_transfer_function(saadat):
    """The polynomials as the book prints them."""
    inputs, _ = case("G03")
    response = signal.step(([0.1, 0.7, 1.0], [1.0, 7.08, 10.56, 20.8]), T=saadat.index.to_numpy())[
        1
    ]
    np.testing.assert_allclose(
        saadat, -inputs["f0_Hz"] * inputs["dPL_pu"] * response, rtol=0, atol=1e-4
    )


def reference_nadir(grid, loss, plant, cars, t_end_s):
    """The nonlinear model once more, written for solve_ivp.

    Delays by the method of steps, each segment one delay long. The ramp limit follows its target
    with a lag of 1 ms, worth less than 0.1 mHz at these slopes.
    """
    edge, full = cars.service.deviation_hz
    rate = cars.p_up_mw / cars.ramp_s

    def slopes(t, y, seen_at):
        df, valve, x, p = y
        beyond = math.copysign(max(abs(df) - plant.deadband_hz, 0.0), df)
        dvalve = (
            -plant.rating_mw / (plant.droop_pu * grid.f0_hz) * beyond - valve
        ) / plant.t_valve_s
        dvalve = 0.0 if valve >= plant.headroom_mw and dvalve > 0 else dvalve
        p_plant = x + plant.t_lead_s / plant.t_lag_s * (valve - x)
        seen = seen_at(t - cars.delay_s)
        share = min(max((abs(seen) - edge) / (full - edge), 0.0), 1.0)
        wanted = share * cars.p_up_mw if seen < 0 else -share * cars.p_down_mw
        balance = p_plant + p - loss.p_mw - grid.damping_load_pu * grid.load_mw * df / grid.f0_hz
        return [
            grid.f0_hz * balance / (2 * grid.kinetic_energy_mws),
            dvalve,
            (valve - x) / plant.t_lag_s,
            min(max((wanted - p) / 1e-3, -rate), rate),
        ]

    def rest(t):
        return 0.0

    def trace(solution):
        return lambda t: solution(t)[0]

    lowest = 0.0
    state = np.zeros(4)
    t_s = 0.0
    seen_at = rest
    while t_s < t_end_s:
        piece = solve_ivp(
            slopes,
            (t_s, t_s + cars.delay_s),
            state,
            args=(seen_at,),
            method="RK45",
            rtol=1e-6,
            atol=1e-6,
            max_step=2e-3,
            dense_output=True,
        )
        lowest = min(lowest, piece.y[0].min())
        state = piece.y[:, -1]
        t_s = piece.t[-1]
        seen_at = trace(piece.sol)
    return lowest


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"plant": {"headroom_mw": 150.0}},
        {"cars": {"delay_s": 0.4, "ramp_s": 3.0}},
        {
            "plant": {"headroom_mw": 200.0, "deadband_hz": 0.05},
            "cars": {"p_up_mw": 500.0, "ramp_s": 0.05},
        },
    ],
    ids=["base", "valve at its limit", "slow cars", "weak plant, quick cars"],
)
def test_scipy_agrees_with_the_nonlinear_simulator(change):
    """Deadband, valve limit, load damping, delay and ramp together: nadir within 1 mHz."""
    plant = replace(PLANT, **change.get("plant", {}))
    cars = replace(CARS, **change.get("cars", {}))
    df_hz = simulate(GRID, [LOSS], [plant, cars], t_end_s=5.0).f_hz - GRID.f0_hz
    assert df_hz.idxmin() < 5.0
    assert df_hz.min() == pytest.approx(
        reference_nadir(GRID, LOSS, plant, cars, df_hz.idxmin() + 0.2), abs=1e-3
    )


# ------------------------------------------------------------------------------------------- limits


def test_huge_inertia_holds_frequency():
    run = simulate(replace(GRID, kinetic_energy_mws=1e12), [LOSS], [PLANT, CARS])
    assert run.f_hz.to_numpy() == pytest.approx(GRID.f0_hz, abs=1e-6)


def test_governor_without_rating_leaves_the_damped_step():
    run = simulate(GRID, [LOSS], [replace(PLANT, rating_mw=0.0)])
    expected = damped_step(
        run.index.to_numpy(),
        LOSS.p_mw,
        GRID.kinetic_energy_mws,
        GRID.load_mw,
        GRID.damping_load_pu,
        f0_hz=GRID.f0_hz,
    )
    np.testing.assert_allclose(run.f_hz - GRID.f0_hz, expected, rtol=0, atol=1e-5)


def model_with_zeta(zeta):
    """An SFR model of a given damping ratio: f_h chosen for it, the rest fixed."""
    model = Sfr(inertia_s=1.0, droop_pu=0.05, km=1.0, f_h=0.0, t_r_s=8.0, damping_rating_pu=0.0)
    f_h = (2 * zeta * model.km / model.wn_rad_per_s - 2 * model.inertia_s * model.droop_pu) / (
        model.km * model.t_r_s
    )
    return replace(model, f_h=f_h)


REGIMES = pytest.mark.parametrize("zeta", [0.2, 0.999999, 1.0, 1.000001, 3.0])


@REGIMES
def test_sfr_step_in_every_damping_regime(zeta):
    """To 2e-6 of a deviation of about 1 Hz: at zeta = 1 the closed form pulls its roots apart."""
    t_s = np.linspace(0.0, 20.0, 401)
    ours = sfr_step(t_s, model_with_zeta(zeta), 0.1, f0_hz=50.0)
    np.testing.assert_allclose(
        ours, scipy_sfr(model_with_zeta(zeta), t_s, 0.1, 50.0), rtol=0, atol=2e-6
    )


@REGIMES
def test_sfr_nadir_is_the_minimum_of_a_fine_grid(zeta):
    model = model_with_zeta(zeta)
    t_s = np.linspace(0.0, 20.0, 200_001)
    df_hz = sfr_step(t_s, model, 0.1, f0_hz=50.0)
    nadir = sfr_nadir(model, 0.1, f0_hz=50.0)
    assert nadir.t_s == pytest.approx(t_s[df_hz.argmin()], abs=2e-4)
    assert nadir.df_hz == pytest.approx(df_hz.min(), abs=1e-8)


@pytest.mark.parametrize(
    "inertia_s, droop_pu, t_r_s", [(1.0, 0.05, 8.0), (3.3, 0.07, 6.1), (4.0, 0.05, 8.0)]
)
def test_turbine_without_reheat_share_never_turns(inertia_s, droop_pu, t_r_s):
    """f_h = 1 cancels the reheater: frequency falls to its final value as a single exponential."""
    model = Sfr(
        inertia_s=inertia_s, droop_pu=droop_pu, km=0.95, f_h=1.0, t_r_s=t_r_s, damping_rating_pu=1.0
    )
    nadir = sfr_nadir(model, 0.1, f0_hz=60.0)
    assert nadir.t_s == np.inf
    assert nadir.df_hz == pytest.approx(-0.1 * 60.0 * droop_pu / (droop_pu + 0.95), rel=1e-12)


def test_turbine_quicker_than_the_rotors_never_turns():
    model = Sfr(inertia_s=4.0, droop_pu=0.05, km=0.95, f_h=0.3, t_r_s=0.05, damping_rating_pu=1.0)
    nadir = sfr_nadir(model, 0.1, f0_hz=60.0)
    assert nadir.t_s == np.inf
    assert nadir.df_hz == pytest.approx(sfr_step(1000.0, model, 0.1, f0_hz=60.0), rel=1e-12)


def test_steps_of_sfr_and_losses_of_the_simulator_have_opposite_signs():
    model = model_with_zeta(0.8)
    grid = Grid(f0_hz=50.0, kinetic_energy_mws=1000.0, load_mw=1000.0, damping_load_pu=0.0)
    loss = simulate(grid, [Loss(p_mw=100.0)], t_end_s=0.1)
    assert sfr_step(0.1, model, 0.1, f0_hz=50.0) < 0
    assert loss.f_hz.iloc[-1] < 50.0


def test_dead_time_beyond_the_end_of_the_run_leaves_the_plant_alone():
    late = replace(CARS, delay_s=1e8)
    with_cars = simulate(GRID, [LOSS], [PLANT, late])
    assert (with_cars.p_ev_fleet_mw == 0.0).all()
    assert with_cars.f_hz.equals(simulate(GRID, [LOSS], [PLANT]).f_hz)


def test_a_tiny_ramp_is_as_good_as_none():
    tiny = simulate(GRID, [LOSS], [replace(CARS, ramp_s=1e-300)])
    pd.testing.assert_frame_equal(tiny, simulate(GRID, [LOSS], [replace(CARS, ramp_s=0.0)]))


# ------------------------------------------------------------------------------------- step halving


def halving_errors(resources, steps_s=(0.02, 0.01, 0.005), fine_s=0.005 / 16):
    """Largest error of the trajectory and error of the nadir, each against a very fine step.

    The nadir is that of a parabola through the lowest three points.
    """

    def run(dt_s):
        f_hz = simulate(GRID, [LOSS], resources, t_end_s=8.0, dt_s=dt_s).f_hz.to_numpy()
        before, low, after = f_hz[f_hz.argmin() - 1 : f_hz.argmin() + 2]
        return f_hz, low - (before - after) ** 2 / (8 * (before - 2 * low + after))

    fine, fine_nadir = run(fine_s)
    coarse = [(run(dt_s), round(dt_s / fine_s)) for dt_s in steps_s]
    return (
        np.array([np.abs(f_hz - fine[::every]).max() for (f_hz, _), every in coarse]),
        np.array([abs(nadir - fine_nadir) for (_, nadir), _ in coarse]),
    )


@pytest.mark.parametrize(
    "resources",
    [[replace(PLANT, deadband_hz=0.0)], [PLANT, CARS]],
    ids=["governor", "governor and cars"],
)
def test_halving_the_step_quarters_the_error(resources):
    """The ramp of the cars never saturates here; their delay and both deadbands act."""
    for errors in halving_errors(resources):
        assert ((errors[:-1] / errors[1:] > 3.3) & (errors[:-1] / errors[1:] < 4.7)).all()


def nadirs_with_relays_and_cars(loss_mw):
    """At 20 ms and at 10 ms."""
    return [
        simulate(
            GRID, [Loss(p_mw=loss_mw)], [PLANT, replace(CARS, p_up_mw=300.0)], RELAYS, dt_s=dt_s
        ).f_hz.min()
        for dt_s in (0.02, 0.01)
    ]


@pytest.mark.parametrize("loss_mw", [1300.0, 1500.0, 1800.0, 2000.0, 2300.0, 2675.0, 3000.0])
def test_halving_20_ms_hardly_moves_a_nadir_with_relays_and_cars(loss_mw):
    """Trips are placed inside their steps, so this holds for steep falls too."""
    coarse, fine = nadirs_with_relays_and_cars(loss_mw)
    assert fine < RELAYS.f_hz[0]
    assert coarse == pytest.approx(fine, abs=3e-3)


# ------------------------------------------------------------------------------------- conservation


def test_reported_powers_are_those_that_drive_the_rotors():
    """The sum over the scheme's steps, exactly.

    2 E / f0 * df = dt * (sum of p_n, the last one half again, - loss).
    """
    assert_driven([Loss(t_s=0.4, p_mw=1000.0)], None, gap_mws=1e-6)


def test_reported_shedding_drives_the_rotors_to_within_a_step():
    """A trip inside a step is reported at its end: a step of each stage may be missing."""
    assert_driven(
        [Loss(t_s=0.4, p_mw=2000.0)], RELAYS, gap_mws=0.02 * sum(RELAYS.shed) * GRID.load_mw
    )


def assert_driven(losses, relays, gap_mws):
    dt_s = 0.02
    grid = GRID
    run = simulate(grid, losses, [PLANT, CARS], relays, dt_s=dt_s)
    assert (run.shed_mw.iloc[-1] > 0) == (relays is not None)
    answer = (run.p_governor_mw + run.p_ev_fleet_mw + run.p_damping_mw).to_numpy()[:-1]
    work = dt_s * (
        answer.sum() + answer[-1] / 2 + (run.shed_mw - run.lost_mw).to_numpy()[:-1].sum()
    )
    stored = 2 * grid.kinetic_energy_mws / grid.f0_hz * (run.f_hz.iloc[-1] - grid.f0_hz)
    assert stored == pytest.approx(work, abs=gap_mws)


def test_work_equals_change_of_kinetic_energy_the_finer_the_better():
    """The trapezoidal rule on the reported powers knows nothing of the scheme.

    What is left falls with the square of the step.
    """

    def gap(dt_s):
        run = simulate(GRID, [LOSS], [PLANT, CARS], t_end_s=8.0, dt_s=dt_s)
        balance = run.p_governor_mw + run.p_ev_fleet_mw + run.p_damping_mw - run.lost_mw
        return np.trapezoid(balance, run.index) - 2 * GRID.kinetic_energy_mws / GRID.f0_hz * (
            run.f_hz.iloc[-1] - GRID.f0_hz
        )

    assert abs(gap(0.001)) < 1e-6 * GRID.kinetic_energy_mws
    assert gap(0.002) / gap(0.001) == pytest.approx(4.0, abs=0.2)


def test_cars_give_no_more_energy_than_they_have_and_then_nothing():
    dt_s = 0.02
    cars = replace(CARS, energy_up_mwh=0.1)
    p_mw = simulate(GRID, [LOSS], [cars], dt_s=dt_s).p_ev_fleet_mw.to_numpy()
    given_mwh = p_mw.cumsum() * dt_s / 3600
    assert given_mwh[-1] == pytest.approx(cars.energy_up_mwh, abs=1e-12)
    exhausted = np.flatnonzero(given_mwh > cars.energy_up_mwh - 1e-9)[0]
    assert p_mw[exhausted + 1 :] == pytest.approx(0.0, abs=1e-9)


def test_cars_take_no_more_energy_than_fits_and_then_nothing():
    dt_s = 0.02
    cars = replace(CARS, energy_down_mwh=0.1)
    p_mw = simulate(GRID, [replace(LOSS, p_mw=-500.0)], [cars], dt_s=dt_s).p_ev_fleet_mw.to_numpy()
    taken_mwh = -p_mw.cumsum() * dt_s / 3600
    assert taken_mwh[-1] == pytest.approx(cars.energy_down_mwh, abs=1e-12)
    full = np.flatnonzero(taken_mwh > cars.energy_down_mwh - 1e-9)[0]
    assert p_mw[full + 1 :] == pytest.approx(0.0, abs=1e-9)


def test_cars_stay_within_their_ramp():
    dt_s = 0.02
    cars = replace(CARS, ramp_s=3.0)
    p_mw = simulate(GRID, [LOSS], [cars], dt_s=dt_s).p_ev_fleet_mw
    assert p_mw.diff().abs().max() == pytest.approx(cars.p_up_mw / cars.ramp_s * dt_s, rel=1e-9)


# ----------------------------------------------------------------------------- vector equals scalar

VARIED = {
    "inertia": ("grid", "kinetic_energy_mws", [40_000.0, 60_000.0, 90_000.0, 200_000.0]),
    "loss": ("loss", "p_mw", [-400.0, 0.0, 700.0, 1900.0]),
    "delay": ("cars", "delay_s", [0.0, 0.013, 0.2, 0.75]),
    "power": ("cars", "p_up_mw", [0.0, 50.0, 600.0, 1500.0]),
    "droop": ("plant", "droop_pu", [0.03, 0.04, 0.05, 0.2]),
    "ramp": ("cars", "ramp_s", [0.0, 0.1, 1.0, 5.0]),
    "energy": ("cars", "energy_up_mwh", [0.0, 0.05, 0.3, np.inf]),
}


@pytest.mark.parametrize(
    "names", [*([name] for name in VARIED), list(VARIED)], ids=[*VARIED, "all together"]
)
def test_sweep_equals_simulate_one_by_one(names):
    parts = {"grid": GRID, "loss": replace(LOSS, p_mw=1500.0), "plant": PLANT, "cars": CARS}

    def scenario(pick):
        changed = dict(parts)
        for part, field, values in map(VARIED.get, names):
            changed[part] = replace(changed[part], **{field: pick(values)})
        return changed["grid"], [changed["loss"]], [changed["plant"], changed["cars"]], RELAYS

    table = sweep(*scenario(np.array))
    for i, row in table.iterrows():
        run = simulate(*scenario(operator.itemgetter(i)))
        slopes = slopes_over(run.f_hz, dt_s=0.02, window_s=0.5)
        alone = [
            run.f_hz.min(),
            run.f_hz.idxmin(),
            run.f_hz.max(),
            run.f_hz.iloc[-1],
            slopes[np.abs(slopes).argmax()],
            run.shed_mw.iloc[-1],
            run.p_governor_mw.max(),
            run.p_ev_fleet_mw.max(),
        ]
        np.testing.assert_allclose(row, alone, rtol=0, atol=1e-9)


def test_ramp_nadir_of_an_array_is_that_of_each_entry():
    responses_mw = [600.0, 900.0, 2000.0]
    together = ramp_nadir(500.0, 50_000.0, responses_mw, 1.0, 0.3, f0_hz=50.0)
    alone = [ramp_nadir(500.0, 50_000.0, p_mw, 1.0, 0.3, f0_hz=50.0) for p_mw in responses_mw]
    assert together.df_hz.tolist() == [nadir.df_hz for nadir in alone]
    assert together.t_s.tolist() == [nadir.t_s for nadir in alone]


def test_sweep_without_arrays_has_one_row():
    table = sweep(GRID, [LOSS], [PLANT])
    assert table.f_min_hz.tolist() == [simulate(GRID, [LOSS], [PLANT]).f_hz.min()]


def test_records_keep_copies_of_what_they_are_given():
    energies_mws = np.array([40_000.0, 60_000.0])
    shares = [0.0, 1.0]
    grid = replace(GRID, kinetic_energy_mws=energies_mws)
    curve = replace(CURVE, fraction=shares)
    energies_mws[0] = 1.0
    shares[1] = 0.5
    assert grid.kinetic_energy_mws.tolist() == [40_000.0, 60_000.0]
    assert curve.fraction == (0.0, 1.0)


# ------------------------------------------------------------------------- load shedding and events


def triangle(t_turns_s):
    """Losses that let frequency fall at 1 Hz/s from 50 Hz and turn it at each given time."""
    grid = replace(UNDAMPED, kinetic_energy_mws=25_000.0)
    turns = [
        Loss(t_s=t_s, p_mw=-2000.0 if i % 2 == 0 else 2000.0) for i, t_s in enumerate(t_turns_s)
    ]
    return grid, [Loss(p_mw=1000.0), *turns]


@pytest.mark.parametrize("delay_s, trips", [(0.05, True), (0.15, False)])
def test_relay_ignores_a_dip_shorter_than_its_delay(delay_s, trips):
    """Below 49 Hz from 1.0 to 1.1 s."""
    run = simulate(
        *triangle([1.05]),
        ufls=Ufls(f_hz=(49.0,), shed=(0.05,), delay_s=delay_s),
        t_end_s=1.5,
        dt_s=0.01,
    )
    assert (run.shed_mw.iloc[-1] > 0) == trips


def test_relay_timer_starts_again_after_each_dip():
    """Four dips of 0.1 s do not add up to a delay of 0.15 s."""
    run = simulate(
        *triangle(np.arange(1.05, 1.8, 0.1)),
        ufls=Ufls(f_hz=(49.0,), shed=(0.05,), delay_s=0.15),
        t_end_s=1.8,
        dt_s=0.01,
    )
    assert run.f_hz.loc[1.2:].min() < 49.0
    assert run.shed_mw.max() == 0.0


def test_stages_trip_in_order_never_early_and_at_most_a_step_late():
    """The stages are so small that nothing arrests the free fall."""
    relays = replace(RELAYS, shed=(1e-9, 2e-9, 4e-9))
    energy_mws = 13_000.0
    dt_s = 0.01
    shed = simulate(
        replace(UNDAMPED, kinetic_energy_mws=energy_mws),
        [Loss(p_mw=1000.0)],
        ufls=relays,
        t_end_s=1.0,
        dt_s=dt_s,
    ).shed_mw
    trips = shed[shed.diff() > 0]
    assert (trips / UNDAMPED.load_mw).tolist() == pytest.approx([1e-9, 3e-9, 7e-9])
    late_s = (
        trips.index
        - relays.delay_s
        - free_fall_time(relays.f_hz, 1000.0, energy_mws, f0_hz=UNDAMPED.f0_hz)
    )
    assert late_s.min() > -1e-9
    assert late_s.max() < dt_s + 1e-9


def test_a_single_stage_may_be_given_as_plain_numbers():
    plain = simulate(GRID, [Loss(p_mw=2000.0)], ufls=Ufls(f_hz=49.0, shed=0.05, delay_s=0.15))
    pd.testing.assert_frame_equal(
        plain,
        simulate(GRID, [Loss(p_mw=2000.0)], ufls=Ufls(f_hz=(49.0,), shed=(0.05,), delay_s=0.15)),
    )


def test_feeders_that_export_as_much_as_they_use_give_no_relief():
    assert shed_relief(0.2, 1000.0, 1000.0) == 0.0


@pytest.mark.parametrize("on_feeder", [True, False])
def test_shedding_takes_exporting_cars_along_only_from_ordinary_feeders(on_feeder):
    """The jump of the power balance at the trip is eq. (1.11), with the export that is cut off."""
    cars = replace(CARS, p_up_mw=800.0, service=STEP, on_feeder=on_feeder)
    run = simulate(
        UNDAMPED,
        [Loss(p_mw=2000.0)],
        [cars],
        replace(RELAYS, f_hz=(49.0,), shed=(0.1,)),
        t_end_s=4.0,
    )
    jump = (run.shed_mw + run.p_ev_fleet_mw).diff().max()
    assert jump == pytest.approx(shed_relief(0.1, UNDAMPED.load_mw, 800.0 if on_feeder else 0.0))


def test_shedding_feeders_full_of_cars_does_not_help():
    """Cars that export all that the feeders use just balance the loss.

    After the trip frequency still does not rise.
    """
    cars = replace(CARS, p_up_mw=UNDAMPED.load_mw, service=STEP, delay_s=0.0, ramp_s=0.0)
    run = simulate(
        UNDAMPED,
        [Loss(p_mw=UNDAMPED.load_mw)],
        [cars],
        replace(RELAYS, f_hz=(49.99,), shed=(0.1,)),
        t_end_s=2.0,
    )
    assert run.shed_mw.iloc[-1] > 0
    assert run.f_hz.loc[1.0:].diff().dropna().to_numpy() == pytest.approx(0.0, abs=1e-12)


def test_a_loss_takes_its_inertia_along():
    loss = Loss(p_mw=500.0, kinetic_energy_mws=10_000.0)
    f_hz = simulate(UNDAMPED, [loss], t_end_s=1.0).f_hz
    expected = rocof(
        500.0, UNDAMPED.kinetic_energy_mws - loss.kinetic_energy_mws, f0_hz=UNDAMPED.f0_hz
    )
    assert slopes_over(f_hz, dt_s=0.02, window_s=0.5) == pytest.approx(expected)


def test_lost_load_raises_frequency():
    assert simulate(GRID, [replace(LOSS, p_mw=-500.0)], [PLANT]).f_hz.iloc[1:].min() > GRID.f0_hz


def test_cars_charge_against_high_frequency_when_the_service_is_symmetric():
    p_mw = simulate(GRID, [replace(LOSS, p_mw=-500.0)], [CARS]).p_ev_fleet_mw
    assert -CARS.p_down_mw <= p_mw.min() < 0.0
    assert p_mw.max() == 0.0


def test_cars_ignore_high_frequency_when_the_service_is_one_sided():
    cars = replace(CARS, service=replace(CURVE, symmetric=False))
    assert (simulate(GRID, [replace(LOSS, p_mw=-500.0)], [cars]).p_ev_fleet_mw == 0.0).all()


def test_replay_of_9_august_2019_sheds_the_first_stage_only():
    """As it happened; the measured minimum, 48.787 Hz, is met within 50 mHz."""
    gb = event("gb-2019-08-09")
    run = simulate(gb.grid, gb.losses, gb.resources, gb.ufls, t_end_s=120.0)
    assert run.shed_mw.iloc[-1] == pytest.approx(gb.ufls.shed[0] * gb.grid.load_mw)
    assert run.f_hz.min() == pytest.approx(gb.observed.f_hz.min(), abs=0.05)


def replay_of_9_august_2019(keep, *cars):
    """The afternoon with only those losses of which `keep` holds."""
    gb = event("gb-2019-08-09")
    losses = [loss for loss in gb.losses if keep(loss)]
    return simulate(gb.grid, losses, [*gb.resources, *cars], gb.ufls, t_end_s=120.0)


def test_9_august_2019_the_first_gas_turbine_alone_sheds_nothing():
    """Its lowest point is 48.96 Hz; the first stage is 48.8 Hz."""
    run = replay_of_9_august_2019(lambda loss: loss.t_s < 60.0)
    assert run.f_hz.min() == pytest.approx(48.96, abs=0.005)
    assert run.shed_mw.max() == 0.0


def test_9_august_2019_the_loss_at_49_hz_sheds_before_the_second_gas_turbine_trips():
    with_it = replay_of_9_august_2019(lambda loss: True)
    without_it = replay_of_9_august_2019(lambda loss: loss.p_mw != 200.0)
    assert with_it.shed_mw[:84.0].max() > 0.0
    assert without_it.shed_mw[:84.0].max() == 0.0
    assert without_it.f_hz.idxmin() == pytest.approx(97.5, abs=0.5)


def test_9_august_2019_small_plant_that_leaves_at_49_hz_sheds_without_the_second_turbine():
    """The first gas turbine alone brings 49 Hz, and there the 200 MW leave."""
    gb = event("gb-2019-08-09")
    first = [loss for loss in gb.losses if loss.t_s < 60.0]
    run = simulate(gb.grid, first, gb.resources, gb.ufls, t_end_s=120.0)
    passes_s = run.index[run.f_hz < 49.0][0]
    assert passes_s == pytest.approx(71.4, abs=0.2)
    leaves = Loss(t_s=passes_s, p_mw=200.0)
    run = simulate(gb.grid, [*first, leaves], gb.resources, gb.ufls, t_end_s=120.0)
    assert run.index[run.shed_mw > 0.0][0] == pytest.approx(83.9, abs=0.3)


@pytest.mark.parametrize("share, swings", [(0.85, False), (1.15, True)])
def test_a_late_fleet_swings_when_gain_times_dead_time_passes_half_pi_of_the_rotors(share, swings):
    """A rotor with one delayed answer: the limit is K t_d = pi/2 * 2 E_k/f_0."""
    dead_s = 1.0
    gain_mw_per_hz = share * math.pi / 2 * 2 * GRID.kinetic_energy_mws / GRID.f0_hz / dead_s
    line = replace(CURVE, deviation_hz=(0.0, 0.5), start_s=0.0)
    size = {"p_up_mw": 0.5 * gain_mw_per_hz, "p_down_mw": 0.5 * gain_mw_per_hz}
    late = EvFleet(service=line, delay_s=dead_s, ramp_s=0.0, **size)
    run = simulate(UNDAMPED, [LOSS], [late], t_end_s=120.0)
    early_hz, end_hz = (np.ptp(run.f_hz[span]) for span in (slice(5.0, 15.0), slice(100.0, 120.0)))
    assert (end_hz > early_hz) == swings
    assert (end_hz < 0.01) == (not swings)


def test_no_fleet_is_large_enough_when_the_relay_is_passed_before_it_begins():
    cars = np.linspace(0.0, 3000.0, 61)
    late = replace(CARS, delay_s=2.0, p_up_mw=cars, p_down_mw=cars)
    losses, plant = [Loss(p_mw=1500.0)], [PLANT]
    passed = simulate(GRID, losses, plant).f_hz < 49.2
    assert passed.idxmax() < 2.0
    assert (sweep(GRID, losses, [*plant, late], t_end_s=40.0).f_min_hz < 49.2).all()


def test_9_august_2019_cars_keep_frequency_above_49_hz_so_that_small_plant_stays():
    cars = EvFleet(
        p_up_mw=400.0,
        p_down_mw=400.0,
        energy_up_mwh=200.0,
        delay_s=0.3,
        ramp_s=0.5,
        service=service("gb-50hz", "dynamic_containment"),
    )
    run = replay_of_9_august_2019(lambda loss: loss.p_mw != 200.0, cars)
    assert run.f_hz.min() == pytest.approx(49.16, abs=0.005)


def test_a_fleet_that_runs_empty_leaves_the_load_to_balance_what_the_plants_cannot():
    """At rest the load draws less by what is lost above the spare power: a closed form."""
    plant = replace(PLANT, rating_mw=8000.0, headroom_mw=400.0)
    cars = replace(CARS, p_up_mw=200.0, energy_up_mwh=2.0)
    run = simulate(GRID, [LOSS], [plant, cars], t_end_s=300.0)
    assert run.f_hz[:30.0].min() > 49.5
    assert run.p_ev_fleet_mw.iloc[-1] == 0.0
    rest_hz = 50.0 - 50.0 * (500.0 - 400.0) / 10_000.0
    assert run.f_hz.iloc[-1] == pytest.approx(rest_hz, abs=1e-3)


# ---------------------------------------------------------------------------------- services' edges


def test_a_step_service_is_due_at_its_threshold():
    assert service_power(
        [49.71, 49.7, 49.69], service("eu-50hz", "ffr_497"), 10.0, f0_hz=50.0
    ).tolist() == [0.0, 10.0, 10.0]


def test_the_edge_of_a_stepped_deadband_is_the_same_on_both_sides():
    low, high = service_power([49.99, 50.01], service("eu-50hz", "fcr"), 1.0, f0_hz=50.0)
    assert low == -high


def test_one_sided_service_asks_for_nothing_at_high_frequency():
    assert service_power(50.6, service("eu-50hz", "ffr_497"), 10.0, f0_hz=50.0) == 0.0


# --------------------------------------------------------------------------------------- bad inputs

BAD = {
    "no inertia": (
        lambda: replace(GRID, kinetic_energy_mws=0.0),
        "kinetic_energy_mws is 0 MW s",
        "must be above 0",
    ),
    "negative inertia": (
        lambda: kinetic_energy([4.0, -1.0], [100.0, 100.0]),
        "inertia_s is -1 s",
        "at least 0",
    ),
    "not a number": (
        lambda: rocof(float("nan"), 1000.0, f0_hz=50.0),
        "loss_mw",
        "NaN",
        "must be known",
    ),
    "infinite": (
        lambda: rocof(float("inf"), 1000.0, f0_hz=50.0),
        "loss_mw is infinite",
        "finite number in MW",
    ),
    "empty": (lambda: kinetic_energy([], []), "inertia_s is empty", "at least one number"),
    "text": (lambda: rocof("much", 1000.0, f0_hz=50.0), "loss_mw", "'much'", "must be a number"),
    "complex": (lambda: rocof(1 + 2j, 1000.0, f0_hz=50.0), "loss_mw", "(1+2j)", "must be a number"),
    "slope and loss of one sign": (
        lambda: implied_kinetic_energy(500.0, 0.3, f0_hz=60.0),
        "loss_mw = 500",
        "0.3",
        "opposite signs",
    ),
    "frequency on the wrong side": (
        lambda: free_fall_time(50.5, 1000.0, 2e5, f0_hz=50.0),
        "f_hz = 50.5",
        "never reached",
    ),
    "response below loss": (
        lambda: ramp_nadir(1000.0, 1e5, 900.0, 1.0, 0.0, f0_hz=50.0),
        "response_mw is 900 MW",
        "must exceed loss_mw = 1000",
    ),
    "time backwards": (
        lambda: sfr_step(-1.0, model_with_zeta(1.0), 0.1, f0_hz=50.0),
        "t_s is -1 s",
        "at least 0",
    ),
    "more than all of the turbine": (
        lambda: replace(model_with_zeta(1.0), f_h=1.5),
        "f_h is 1.5",
        "at most 1",
    ),
    "deadband wider than droop": (
        lambda: simulate(GRID, [LOSS], [replace(PLANT, deadband_hz=3.0)]),
        "deadband_hz is 3 Hz",
        "narrower",
        "2.5 Hz",
    ),
    "negative contract": (
        lambda: service_power(49.9, CURVE, -1.0, f0_hz=50.0),
        "contract_mw is -1 MW",
        "at least 0",
    ),
    "service out of order": (
        lambda: replace(CURVE, deviation_hz=(0.5, 0.2)),
        "deviation_hz = (0.5, 0.2)",
        "must rise",
    ),
    "service falls": (
        lambda: replace(CURVE, fraction=(1.0, 0.0)),
        "fraction = (1.0, 0.0)",
        "must rise",
    ),
    "service that never rests": (
        lambda: replace(CURVE, fraction=(0.3, 1.0)),
        "fraction = (0.3, 1.0)",
        "must begin at 0",
    ),
    "service with two signs at f0": (
        lambda: replace(STEP, symmetric=True),
        "fraction = (0.0, 1.0)",
        "a symmetric service needs fraction 0 at 0 Hz",
    ),
    "service of unequal lists": (
        lambda: replace(CURVE, fraction=(0.0, 0.5, 1.0)),
        "deviation_hz = (0.015, 0.5)",
        "fraction = (0.0, 0.5, 1.0)",
        "same number",
    ),
    "stages out of order": (
        lambda: replace(RELAYS, f_hz=(48.6, 48.8, 49.0)),
        "f_hz = (48.6, 48.8, 49.0)",
        "must fall",
    ),
    "stages without share": (
        lambda: replace(RELAYS, shed=(0.05, 0.1)),
        "f_hz has 3",
        "shed 2",
        "one share for each",
    ),
    "stages above the load": (
        lambda: replace(RELAYS, shed=(0.5, 0.4, 0.3)),
        "shed adds up to 1.2",
        "cannot cut more than 1",
    ),
    "negative relay delay": (
        lambda: replace(RELAYS, delay_s=-0.1),
        "delay_s is -0.1 s",
        "at least 0",
    ),
    "share above one": (lambda: shed_relief(1.2, 1000.0, 0.0), "shed is 1.2", "at most 1"),
    "negative fleet": (lambda: replace(CARS, p_up_mw=-1.0), "p_up_mw is -1 MW", "at least 0"),
    "negative ramp": (lambda: replace(CARS, ramp_s=-1.0), "ramp_s is -1 s", "at least 0"),
    "energy unknown": (lambda: replace(CARS, energy_up_mwh=float("nan")), "energy_up_mwh", "NaN"),
    "turbine without lag": (lambda: replace(PLANT, t_lag_s=0.0), "t_lag_s is 0 s", "above 0"),
    "bare loss": (
        lambda: simulate(GRID, LOSS),
        "losses is a frequency.Loss",
        "put it into a list",
    ),
    "no loss": (lambda: simulate(GRID, []), "losses is empty", "[Loss(p_mw=...)]"),
    "bare governor": (
        lambda: simulate(GRID, [LOSS], PLANT),
        "resources is a frequency.Governor",
        "put it into a list",
    ),
    "unknown resource": (
        lambda: simulate(GRID, [LOSS], ["plant"]),
        "resources[0] is 'plant'",
        "frequency.Governor or frequency.EvFleet",
    ),
    "unknown loss": (lambda: sweep(GRID, [LOSS, PLANT]), "losses[1]", "must be a frequency.Loss"),
    "no grid": (lambda: simulate(LOSS, [LOSS]), "grid is", "must be a frequency.Grid"),
    "no relays": (lambda: simulate(GRID, [LOSS], ufls=0.1), "ufls is 0.1", "frequency.Ufls"),
    "cars without curve": (lambda: replace(CARS, service="fcr"), "service is 'fcr'", "Service"),
    "no curve": (lambda: in_time(1.0, 1.3), "service is 1.3", "must be a frequency.Service"),
    "no model": (lambda: sfr_step(1.0, 0.05, 0.1, f0_hz=50.0), "model is 0.05", "Sfr"),
    "name of the load": (
        lambda: simulate(GRID, [LOSS], [replace(PLANT, name="damping")]),
        "resources",
        "'damping' stands for the load",
    ),
    "two of one name": (
        lambda: simulate(GRID, [LOSS], [PLANT, PLANT]),
        "resources are called ['governor', 'governor']",
        "name of its own",
    ),
    "loss above the system": (
        lambda: simulate(GRID, [replace(LOSS, p_mw=20_000.0)]),
        "losses",
        "load_mw = 10000 MW",
        "cannot lose more",
    ),
    "loss of all inertia": (
        lambda: simulate(GRID, [replace(LOSS, kinetic_energy_mws=5e4)]),
        "kinetic_energy_mws",
        "50000 MW s",
        "keep turning",
    ),
    "arrays to simulate": (
        lambda: simulate(replace(GRID, damping_load_pu=np.array([1.0, 2.0])), [LOSS]),
        "single numbers",
        "sweep",
    ),
    "unequal arrays": (
        lambda: sweep(replace(GRID, damping_load_pu=np.ones(2)), [replace(LOSS, p_mw=np.ones(3))]),
        "different lengths (damping_load_pu 2, p_mw 3)",
        "each scenario",
    ),
    "unequal arrays of one name": (
        lambda: sweep(GRID, [replace(LOSS, p_mw=np.ones(2)), replace(LOSS, p_mw=np.ones(3))]),
        "different lengths (p_mw 2, p_mw 3)",
    ),
    "tables to sweep": (
        lambda: replace(GRID, damping_load_pu=np.ones((2, 2))),
        "damping_load_pu has shape (2, 2)",
        "one-dimensional",
    ),
    "no step": (lambda: simulate(GRID, [LOSS], dt_s=0.0), "dt_s is 0 s", "above 0"),
    "run shorter than a step": (
        lambda: simulate(GRID, [LOSS], t_end_s=0.01),
        "t_end_s is 0.01 s",
        "at least one step, dt_s = 0.02 s",
    ),
    "too many steps": (
        lambda: simulate(GRID, [LOSS], t_end_s=1e8),
        "t_end_s is 1e+08",
        "give 1 to 5e+06 steps",
    ),
    "too many steps of too many scenarios": (
        lambda: sweep(GRID, [replace(LOSS, p_mw=np.ones(1000))], t_end_s=1e4),
        "t_end_s is 10000",
        "give 1 to 50000 steps",
    ),
    "step too coarse": (
        lambda: simulate(GRID, [LOSS], [replace(PLANT, t_valve_s=0.0, rating_mw=2e5)], dt_s=0.1),
        "dt_s is 0.1 s",
        "halve it",
    ),
    "step too coarse for the load": (
        lambda: simulate(replace(GRID, kinetic_energy_mws=50.0), [LOSS]),
        "dt_s is 0.02 s",
        "halve it",
    ),
    "droop too small for its lags": (
        lambda: simulate(
            GRID,
            [LOSS],
            [replace(PLANT, droop_pu=1e-3, deadband_hz=0.0, t_lead_s=0.0)],
            t_end_s=60.0,
        ),
        "before t_end_s = 60 s",
        "droop_pu",
    ),
    "relays of another region": (
        lambda: simulate(GRID, [LOSS], ufls=replace(RELAYS, f_hz=(59.3, 59.1, 58.9))),
        "f_hz = 59.3 Hz",
        "not below f0_hz = 50 Hz",
    ),
    "machines that do not match": (
        lambda: kinetic_energy([4.0, 5.0], [100.0, 200.0, 300.0]),
        "inertia_s (2,)",
        "rating_mva (3,)",
        "do not fit",
    ),
    "a table of machines": (
        lambda: kinetic_energy([4.0, 5.0], [[100.0], [200.0]]),
        "inertia_s and rating_mva",
        "(2, 2)",
        "one series",
    ),
    "units that do not match": (
        lambda: steady_state(
            90.0, [500.0, 400.0], [0.05] * 3, load_mw=900.0, damping_load_pu=1.0, f0_hz=60.0
        ),
        "rating_mw (2,)",
        "droop_pu (3,)",
    ),
    "several losses at once": (
        lambda: steady_state(
            [90.0, 80.0], [500.0], [0.05], load_mw=900.0, damping_load_pu=1.0, f0_hz=60.0
        ),
        "loss_mw has shape (2,)",
        "single number",
    ),
    "droop in per cent": (
        lambda: steady_state(90.0, [500.0], [5.0], load_mw=900.0, damping_load_pu=1.0, f0_hz=60.0),
        "droop_pu is 5",
        "per cent?",
    ),
    "droop of a governor in per cent": (
        lambda: replace(PLANT, droop_pu=4.0),
        "droop_pu is 4",
        "per cent?",
    ),
    "droop of a model in per cent": (
        lambda: replace(model_with_zeta(1.0), droop_pu=5.0),
        "droop_pu is 5",
        "per cent?",
    ),
    "shares in per cent": (
        lambda: replace(RELAYS, shed=(5.0, 10.0, 10.0)),
        "shed is 10",
        "per cent?",
    ),
    "several models": (
        lambda: replace(model_with_zeta(1.0), inertia_s=[4.0, 5.0]),
        "inertia_s has shape (2,)",
        "single number",
    ),
    "step in MW": (
        lambda: sfr_nadir(model_with_zeta(1.0), 500.0, f0_hz=50.0),
        "loss_pu is 500 pu",
        "at most 100",
    ),
    "no slope": (
        lambda: implied_kinetic_energy(500.0, 0.0, f0_hz=60.0),
        "rocof_hz_per_s is 0 Hz/s",
        "no finite energy",
    ),
    "no loss to fall": (
        lambda: free_fall_time(49.0, 0.0, 2e5, f0_hz=50.0),
        "loss_mw = 0 MW",
        "never reached",
    ),
    "loss in another unit": (
        lambda: rocof(1e16, 5e4, f0_hz=50.0),
        "loss_mw is 1e+16 MW",
        "at most 1e+09",
    ),
    "shapes that do not fit": (
        lambda: damped_step([1.0, 2.0], [1.0, 2.0, 3.0], 5e4, 1e4, 1.0, f0_hz=50.0),
        "t_s (2,)",
        "loss_mw (3,)",
    ),
    "complete before it begins": (
        lambda: replace(CURVE, start_s=2.0),
        "full_s = 1 comes before start_s = 2",
    ),
    "unknown event": (lambda: event("gb-2020"), "name is 'gb-2020'", "gb-2019-08-09"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words(name):
    """The message names the argument, its value, and what is allowed."""
    call, *words = BAD[name]
    with pytest.raises((ValueError, TypeError)) as refusal:
        call()
    assert [word for word in words if word not in str(refusal.value)] == []


# --------------------------------------------------------------------------------------- invariants

few = settings(deadline=None, max_examples=50)
LOSSES = st.floats(50.0, 1500.0)
ENERGIES = st.floats(2e4, 3e5)


@few
@given(LOSSES, ENERGIES, st.floats(0.1, 10.0))
def test_rocof_is_linear_in_loss_and_inverse_in_energy(loss_mw, energy_mws, factor):
    slope = rocof(loss_mw, energy_mws, f0_hz=50.0)
    assert rocof(factor * loss_mw, energy_mws, f0_hz=50.0) == pytest.approx(factor * slope)
    assert rocof(loss_mw, factor * energy_mws, f0_hz=50.0) == pytest.approx(slope / factor)


@few
@given(
    st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=6),
    st.lists(st.floats(0.0, 2.0), min_size=2),
)
def test_symmetric_services_are_odd_monotone_and_within_the_contract(points, deviations_hz):
    deviation_hz, fraction = (tuple(sorted(column)) for column in zip((0.01, 0.0), *points))
    curve = replace(CURVE, deviation_hz=deviation_hz, fraction=fraction)
    df_hz = np.sort(deviations_hz)
    low = service_power(50.0 - df_hz, curve, 10.0, f0_hz=50.0)
    high = service_power(50.0 + df_hz, curve, 10.0, f0_hz=50.0)
    np.testing.assert_allclose(low, -high, atol=1e-12)
    assert (np.diff(low) >= 0).all()
    assert low.max() <= 10.0


@few
@given(LOSSES, ENERGIES, st.floats(1.0, 3.0))
def test_more_inertia_never_deepens_the_nadir(loss_mw, energy_mws, factor):
    nadir = [
        simulate(
            replace(GRID, kinetic_energy_mws=e), [Loss(p_mw=loss_mw)], [PLANT], t_end_s=10.0
        ).f_hz.min()
        for e in (energy_mws, factor * energy_mws)
    ]
    assert nadir[1] >= nadir[0] - 1e-9


@few
@given(
    LOSSES, st.floats(5e4, 3e5), st.floats(0.0, 400.0), st.floats(0.0, 400.0), st.floats(0.0, 0.3)
)
def test_more_cars_never_deepen_the_first_swing(loss_mw, energy_mws, p_mw, more_mw, delay_s):
    """In the first 3 s, before a delayed answer could swing back."""
    nadir = [
        simulate(
            replace(GRID, kinetic_energy_mws=energy_mws),
            [Loss(p_mw=loss_mw)],
            [PLANT, replace(CARS, p_up_mw=p, delay_s=delay_s)],
            t_end_s=3.0,
        ).f_hz.min()
        for p in (p_mw, p_mw + more_mw)
    ]
    assert nadir[1] >= nadir[0] - 1e-9


@few
@given(
    st.floats(-1500.0, 1500.0),
    ENERGIES,
    st.floats(0.0, 500.0),
    st.floats(0.0, 500.0),
    st.floats(0.0, 8.0),
)
def test_governor_stays_within_its_limits(loss_mw, energy_mws, headroom_mw, footroom_mw, t_lead_s):
    plant = replace(PLANT, headroom_mw=headroom_mw, footroom_mw=footroom_mw, t_lead_s=t_lead_s)
    p_mw = simulate(
        replace(GRID, kinetic_energy_mws=energy_mws), [Loss(p_mw=loss_mw)], [plant], t_end_s=10.0
    ).p_governor_mw
    assert p_mw.min() >= -footroom_mw - 1e-9
    assert p_mw.max() <= headroom_mw + 1e-9
