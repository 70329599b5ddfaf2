"""Topic 07: published cases by id, the equations in another frame, eigenvalues, bad inputs.

The full equations are solved in another frame with SciPy's solvers, and eigenvalues are compared
with the decay of a run.
"""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from published import CASES, case
from scipy.integrate import quad, solve_ivp
from scipy.linalg import expm
from scipy.optimize import brentq
from scipy.signal import lfilter

from v2gbook import frequency
from v2gbook.classroom import presets
from v2gbook.inverter import (
    DcLink,
    Disturbance,
    GridFollowing,
    GridForming,
    Machine,
    Pll,
    Rotor,
    current_limits,
    dc_link,
    deepest_dip,
    eigenvalues,
    equivalent_rotor,
    false_frequency,
    hold_time,
    inherent,
    jump_answer,
    loop_filter,
    microgrid,
    pll_gains,
    pll_natural,
    pll_poles,
    ramp_answer,
    ramp_power,
    share,
    simulate,
    stiffness,
    swing_mode,
    terminal_voltage,
    track,
    transfer_limit,
    virtual_machine,
)

NAN, INF = float("nan"), math.inf
W0 = 2 * math.pi * 60
TI = pll_gains(0.04, 0.7, 0.05)
FAST = pll_gains(0.01, 0.7, 0.05)
FOLLOWER = GridFollowing(p_pu=0.6, pll=TI)
FORMER = GridForming(p_pu=0.4, droop_pu=0.05, filter_rad_per_s=30.0, x_pu=0.2)
AREA = frequency.Grid(f0_hz=60.0, kinetic_energy_mws=4000.0, load_mw=1000.0, damping_load_pu=1.0)
STEAM = frequency.Governor(
    rating_mw=1000.0, droop_pu=0.05, deadband_hz=0.02, t_valve_s=0.2, t_lead_s=2.0, t_lag_s=7.0
)
BESIDE = Machine(grid=AREA, governor=STEAM, rating_mva=200.0)


# --------------------------------------------------------------------------- published cases


def test_i01_gains_in_volts():
    inputs, expected = case("I01")
    pll = pll_natural(2 * math.pi * inputs["f_pll_Hz"], inputs["zeta"], inputs["U_V"])
    assert (pll.kp_per_s, pll.ki_per_s2) == (expected["kp"], expected["ki"])


def test_i02_coefficients():
    inputs, expected = case("I02")
    pll = pll_gains(inputs["ts_s"], inputs["zeta"], inputs["delta"])
    assert (pll.wn_rad_per_s, pll.kp_per_s, pll.ki_per_s2) == (
        expected["wn_rad_s"],
        expected["Kp"],
        expected["Ki"],
    )
    assert pll.zeta == pytest.approx(inputs["zeta"], rel=1e-12)
    assert loop_filter(pll, inputs["fs_Hz"]) == (expected["B0"], expected["B1"])


def test_i03_false_frequency_of_a_jump():
    inputs, expected = case("I03")
    pll, jump = Pll(kp_per_s=inputs["Kp"], ki_per_s2=inputs["Ki"]), inputs["dtheta_deg"]
    assert false_frequency(pll, jump) == expected["false_df_Hz"]
    assert false_frequency(pll, -jump) == -false_frequency(pll, jump)
    assert jump_answer(0.0, pll, jump).df_hz == expected["linear_false_df_Hz"]
    assert jump_answer(0.0, pll, jump).error_deg == pytest.approx(jump)
    t = np.linspace(0.0, 0.1, 20001)
    run = track(
        pll, Disturbance(t_s=0.0, jump_deg=jump), f0_hz=inputs["f0_Hz"], t_end_s=0.1, dt_s=2e-6
    )
    for t_s, error in (
        (t, jump_answer(t, pll, jump).error_deg),
        (run.index.to_numpy(), run.error_deg.to_numpy()),
    ):
        assert error.min() == expected["phase_undershoot_deg"]
        assert t_s[np.abs(error) > 0.05 * jump][-1] == expected["phase_error_5pct_settling_s"]
    assert (
        run.f_hz.iloc[0] - inputs["f0_Hz"]
        == pytest.approx(false_frequency(pll, jump), rel=1e-3)
        == run.f_hz.max() - inputs["f0_Hz"]
    )
    low = track(pll, Disturbance(t_s=0.0, jump_deg=-jump), f0_hz=60.0)
    # So long below the 57 Hz of Blue Cut.
    assert np.sum(low.f_hz < 57.0) * 5e-5 == pytest.approx(0.0095, abs=1e-4)
    assert low.f_hz.iloc[0] == pytest.approx(50.9, abs=0.05)


def test_i04_ramp():
    inputs, expected = case("I04")
    pll, rate = Pll(kp_per_s=inputs["Kp"], ki_per_s2=inputs["Ki"]), inputs["ROCOF_Hz_s"]
    assert (ramp_answer(pll, rate).error_deg, ramp_answer(pll, rate).df_hz) == (
        expected["phase_err_deg"],
        expected["integrator_lag_Hz"],
    )
    end = track(pll, Disturbance(t_s=0.0, rocof_hz_per_s=rate), f0_hz=60.0, dt_s=1e-5).iloc[-1]
    assert end.error_deg == expected["phase_err_deg"]
    assert end.f_grid_hz - end.f_slow_hz == pytest.approx(
        CASES["I04"]["expected"]["integrator_lag_Hz"]["value"], abs=3e-5
    )
    assert end.f_hz == pytest.approx(end.f_grid_hz, abs=3e-5)
    assert end.f_grid_hz == pytest.approx(60.3)
    fast = ramp_answer(
        pll, [-2000.0, 2000.0]
    ).error_deg  # the sine counts: 62.5 degrees, 50.8 in the linear loop
    assert np.sin(np.radians(fast)) == pytest.approx(
        np.array([-1, 1]) * 2 * math.pi * 2000 / pll.ki_per_s2
    )


def test_i07_droop_is_a_virtual_machine():
    inputs, expected = case("I07")
    rotor = equivalent_rotor(inputs["mp_pu"], inputs["wc_rad_s"])
    assert (rotor.inertia_s, rotor.damping_rating_pu) == (expected["H_s"], expected["D_pu"])
    back = virtual_machine(rotor.inertia_s, rotor.damping_rating_pu)
    assert (back["droop_pu"], back["filter_rad_per_s"]) == (
        pytest.approx(inputs["mp_pu"]),
        pytest.approx(inputs["wc_rad_s"]),
    )


def test_i09_sharing():
    inputs, expected = case("I09")
    droops = [inputs["mp1"], inputs["mp2"]]
    ours = share(inputs["load_kW"], [inputs["S_each_kVA"]] * 2, droops, f0_hz=inputs["f0_Hz"])
    assert (*ours.p_kw, ours.df_hz) == (expected["P1_kW"], expected["P2_kW"], expected["df_Hz"])
    units = [GridForming(p_pu=0.0, droop_pu=m, filter_rad_per_s=30.0, x_pu=0.01) for m in droops]
    run = microgrid(
        units,
        inputs["S_each_kVA"],
        0.0,
        inputs["load_kW"],
        f0_hz=inputs["f0_Hz"],
        t_end_s=3.0,
        dt_s=0.01,
    )
    end = run.iloc[-1]
    assert (end.p_1_kw, end.p_2_kw, end.f_1_hz - 60.0) == (
        pytest.approx(3.0, abs=1e-3),
        pytest.approx(6.0, abs=1e-3),
        pytest.approx(-0.9, abs=1e-3),
    )
    assert share(9.0, [20.0, 10.0], 0.05, f0_hz=50.0).p_kw.tolist() == pytest.approx([6.0, 3.0])


def test_i10_inherent_response():
    inputs, expected = case("I10")
    x = inputs["X_pu"]
    mp = inputs["mp_pu"]
    f0 = inputs["f0_Hz"]
    ours = inherent(mp, x, jump_deg=-inputs["phase_jump_deg"], df_hz=inputs["df_grid_Hz"], f0_hz=f0)
    assert (ours.p_jump_pu, ours.tau_s, ours.p_steady_pu) == (
        expected["dP0_pu"],
        expected["tau_s"],
        expected["dP_ss_pu"],
    )
    quick = GridForming(p_pu=0.0, droop_pu=mp, filter_rad_per_s=1e5, x_pu=x)
    run = simulate(quick, INF, Disturbance(t_s=0.1, jump_deg=-0.1), f0_hz=f0)
    assert run.p_pu[0.1] == pytest.approx(math.radians(0.1) / x, rel=1e-5)
    assert np.log(run.p_pu[0.1] / run.p_pu.iloc[150]) / 0.05 == pytest.approx(
        1 / CASES["I10"]["expected"]["tau_s"]["value"], rel=1e-3
    )
    moved = simulate(quick, INF, Disturbance(rocof_hz_per_s=-1.0, ramp_s=0.1), f0_hz=f0)
    assert moved.p_pu.iloc[-1] == expected["dP_ss_pu"]
    assert moved.f_hz.iloc[-1] == pytest.approx(59.9)
    # In a loaded line less is left in the direction of the load.
    loaded = inherent(mp, x, 0.8, jump_deg=[-10.0, 10.0], df_hz=0.1, f0_hz=f0)
    rest = math.asin(0.24)
    assert loaded.p_jump_pu.tolist() == pytest.approx(
        [(math.sin(rest + a) - 0.24) / x for a in (math.radians(10), -math.radians(10))]
    )
    assert loaded.tau_s == pytest.approx(ours.tau_s / math.cos(rest))
    assert loaded.p_steady_pu == -ours.p_steady_pu


def test_i11_swing_mode():
    inputs, expected = case("I11")
    rotor = Rotor(inertia_s=inputs["H_s"], damping_rating_pu=inputs["D_pu"])
    k = stiffness(0.0, inputs["X_pu"])
    mode = swing_mode(rotor, k, f0_hz=inputs["f0_Hz"])
    assert (mode.wn_rad_per_s, mode.wn_rad_per_s / (2 * math.pi), mode.zeta) == (
        expected["wn_rad_s"],
        expected["f_Hz"],
        expected["zeta"],
    )
    unit = GridForming(p_pu=0.0, x_pu=0.2, **virtual_machine(inputs["H_s"], inputs["D_pu"]))
    values = eigenvalues(unit, 10.0, f0_hz=inputs["f0_Hz"])  # 0.2 + 1/10
    assert abs(values[0]) == expected["wn_rad_s"]
    assert -values[0].real / abs(values[0]) == expected["zeta"]


def test_i13_weak_grid():
    inputs, _ = case("I13")
    feasible, voltages = (
        CASES["I13"]["expected"][name]["value"] for name in ("feasible", "V_pcc_pu")
    )
    assert [bool(transfer_limit(scr) >= inputs["P_pu"]) for scr in inputs["SCR"]] == feasible
    for scr, possible, v in zip(inputs["SCR"], feasible, voltages):
        if possible:
            assert terminal_voltage(inputs["P_pu"], scr) == pytest.approx(v, abs=1e-5)
        else:
            with pytest.raises(ValueError, match="scr = 1.5 the line carries at most 0.75"):
                terminal_voltage(inputs["P_pu"], scr)
    # Beside the knife edge.
    assert terminal_voltage(1.0, 2.01) == pytest.approx(math.cos(math.asin(2 / 2.01) / 2), abs=1e-9)
    with pytest.raises(ValueError, match="at most 0.995"):
        terminal_voltage([0.3, 1.0], 1.99)
    assert terminal_voltage(1.0, 5.0) > 1 / math.sqrt(2)
    assert terminal_voltage(-1.0, 5.0) == terminal_voltage(1.0, 5.0)
    assert terminal_voltage(7.0, INF) == 1.0
    assert transfer_limit(3.0, support=True) == 3.0
    assert transfer_limit(3.0) == 1.5


# ----------------------------------------------------------------------------------- the PLL


@pytest.mark.parametrize("jump", [0.001, -0.002])
def test_track_against_a_linear_filter(jump):
    """Small jumps: the closed loop as one rational function of z, by scipy.signal."""
    dt, n = 1e-4, 1000
    b0, b1 = loop_filter(TI, 1 / dt)
    t = np.arange(n + 1) * dt
    step = np.where(t >= 0.02 - 1e-9, jump, 0.0)
    poles = [1.0, dt * b0 - 2.0, 1.0 + dt * b1]
    run = track(TI, Disturbance(t_s=0.02, jump_deg=jump), f0_hz=50.0, t_end_s=n * dt, dt_s=dt)
    assert np.allclose(
        run.error_deg, lfilter([1.0, -2.0, 1.0], poles, step), atol=1e-9 * 1e-3 + 1e-12
    )
    assert np.allclose(
        run.f_hz - 50.0, lfilter(np.convolve([b0, b1], [1.0, -1.0]), poles, step) / 360, atol=1e-11
    )
    assert np.allclose(
        run.f_slow_hz - run.f_hz,
        -TI.kp_per_s * np.sin(np.radians(run.error_deg)) / (2 * math.pi),
        atol=1e-12,
    )


@pytest.mark.parametrize(
    "what",
    [
        dict(jump_deg=60.0),
        dict(jump_deg=-130.0),
        dict(rocof_hz_per_s=40.0, ramp_s=0.05),
        dict(jump_deg=30.0, v_pu=0.3, dip_s=0.06),
        dict(jump_deg=-20.0, rocof_hz_per_s=-10.0),
    ],
)
def test_track_against_the_differential_equation(what):
    event = Disturbance(t_s=0.02, **what)

    def grid(t):
        after = max(t - 0.02, 0.0)
        inside = min(after, event.ramp_s)
        df = (
            quad(lambda u: event.rocof_hz_per_s * min(u, event.ramp_s), 0, after, points=[inside])[
                0
            ]
            if event.rocof_hz_per_s
            else 0.0
        )
        return math.radians(
            event.jump_deg
        ) + 2 * math.pi * df, event.v_pu if after < event.dip_s else 1.0

    def slopes(t, y):
        angle, v = grid(t)
        vq = v * math.sin(angle - y[0])
        return [TI.kp_per_s * vq + y[1], TI.ki_per_s2 * vq]

    edges = [0.02, *([0.02 + event.dip_s] if event.dip_s < 1 else []), 0.2]
    y = [0.0, 0.0]
    t = []
    found = []
    for start, end in itertools.pairwise(edges):
        part = solve_ivp(
            slopes, (start, end - 1e-9), y, rtol=1e-8, atol=1e-10, max_step=0.005, dense_output=True
        )
        t += list(
            np.arange(math.ceil(start / 0.002 - 1e-9), math.floor((end - 1e-9) / 0.002) + 1) * 0.002
        )
        found += [part.sol(now)[0] for now in t[len(found) :]]
        y = part.y[:, -1]
    errors = np.degrees([grid(now)[0] - angle for now, angle in zip(t, found)])
    run = track(TI, event, f0_hz=60.0, t_end_s=0.2, dt_s=1e-5)
    at = np.round(np.array(t) / 1e-5).astype(int)
    # First order in the sampling step, of jumps up to 130 degrees.
    assert np.abs(run.error_deg.to_numpy()[at] - errors).max() < 0.25
    half = track(TI, event, f0_hz=60.0, t_end_s=0.2, dt_s=5e-6).error_deg.to_numpy()[2 * at]
    assert (
        np.abs(half - errors).max()
        < 0.6 * np.abs(run.error_deg.to_numpy()[at] - errors).max() + 1e-4
    )


@pytest.mark.parametrize("zeta", [0.3, 0.999999, 1.0, 1.5])
def test_jump_answer_in_every_regime(zeta):
    pll, t = pll_natural(80.0, zeta), np.linspace(0.0, 0.15, 7)
    loop = np.array([[-pll.kp_per_s, -1.0], [pll.ki_per_s2, 0.0]])
    states = np.array([expm(loop * now) @ [1.0, 0.0] for now in t])
    ours = jump_answer(t, pll, 15.0)
    assert ours.error_deg == pytest.approx(15.0 * states[:, 0], abs=1e-4)
    assert ours.df_hz == pytest.approx(
        15.0 / 360 * (pll.kp_per_s * states[:, 0] + states[:, 1]), abs=1e-4
    )
    assert [jump_answer(now, pll, 15.0).df_hz for now in t] == pytest.approx(ours.df_hz.tolist())


def test_settling_time_is_the_envelope_s():
    for settling, zeta, band in ((0.04, 0.7, 0.05), (0.02, 0.5, 0.02)):
        pll = pll_gains(settling, zeta, band)
        root = math.sqrt(1 - zeta**2)
        assert math.exp(-zeta * pll.wn_rad_per_s * settling) / root == pytest.approx(band)
        t = np.linspace(settling, 4 * settling, 2000)
        assert np.abs(jump_answer(t, pll, 1.0).error_deg).max() <= band


def test_sogi_against_the_differential_equation():
    event = Disturbance(t_s=0.03, jump_deg=30.0, v_pu=0.8)

    def slopes(t, y, angle, size):
        x, quadrature, own, slow = y
        vq = quadrature * math.cos(2 * math.pi * 50 * t + own) - x * math.sin(
            2 * math.pi * 50 * t + own
        )
        w = 2 * math.pi * 50 + TI.kp_per_s * vq + slow
        return [
            w * (math.sqrt(2) * (size * math.cos(2 * math.pi * 50 * t + angle) - x) - quadrature),
            w * x,
            w - 2 * math.pi * 50,
            TI.ki_per_s2 * vq,
        ]

    t = np.arange(0.03, 0.25, 0.001)
    start = [math.cos(2 * math.pi * 50 * 0.03), math.sin(2 * math.pi * 50 * 0.03), 0.0, 0.0]
    exact = solve_ivp(
        slopes, (0.03, 0.25), start, t_eval=t, args=(math.radians(30), 0.8), rtol=1e-8, atol=1e-10
    )
    run = track(TI, event, f0_hz=50.0, phases=1, t_end_s=0.25, dt_s=1e-5)
    ours = run.error_deg.to_numpy()[np.round(t / 1e-5).astype(int)]
    assert np.abs(ours - (30.0 - np.degrees(exact.y[2]))).max() < 0.1
    assert run.error_deg[:0.0299].abs().max() < 2e-4  # it starts settled
    assert abs(run.error_deg.iloc[-1]) < 0.01
    assert run.f_hz.iloc[-1] == pytest.approx(50.0, abs=1e-3)
    ramp = track(
        TI,
        Disturbance(t_s=0.0, rocof_hz_per_s=-5.0, ramp_s=0.4),
        f0_hz=50.0,
        phases=1,
        t_end_s=0.8,
    )
    # the SOGI moves its own centre
    assert ramp.f_hz.iloc[-1] == pytest.approx(48.0, abs=2e-3)
    assert abs(ramp.error_deg.iloc[-1]) < 0.02


def test_a_deep_dip_slows_the_loop():
    jump = dict(t_s=0.0, jump_deg=10.0)
    full, low = (
        track(TI, Disturbance(v_pu=v, **jump), f0_hz=60.0, t_end_s=0.2) for v in (1.0, 0.1)
    )
    assert low.f_hz.iloc[0] - 60 == pytest.approx(0.1 * (full.f_hz.iloc[0] - 60), rel=1e-9)
    assert low.error_deg[0.02] > 4.5
    assert abs(full.error_deg[0.02]) < 3
    dead = track(TI, Disturbance(v_pu=0.0, **jump), f0_hz=60.0, t_end_s=0.2)
    assert np.allclose(dead.error_deg, 10.0)
    assert (dead.f_hz == 60.0).all()


# ---------------------------------------------------------------------- the direct-current side

LINK = DcLink(
    capacitance_mf=1.0,
    v_rest_v=750.0,
    v_min_v=650.0,
    v_max_v=850.0,
    p_charge_max_kw=8.0,
    p_discharge_max_kw=11.0,
    t_battery_s=0.002,
    t_restore_s=0.02,
)


def test_the_capacitor_holds_as_long_as_its_energy_lasts():
    joule = 0.5e-3 * (750.0**2 - 650.0**2)
    assert hold_time(10.0, LINK) == pytest.approx(joule / 10_000)
    joule_to_full = 0.5e-3 * (850.0**2 - 750.0**2)
    assert hold_time(-10.0, LINK) == pytest.approx(joule_to_full / 10_000)
    assert hold_time(0.0, LINK) == INF
    many = hold_time([10.0, -10.0, 0.0], LINK)
    assert many.tolist() == [hold_time(p, LINK) for p in (10.0, -10.0, 0.0)]


def test_the_link_against_a_solver_of_its_equations():
    """Beyond the limit for a while, and back: the battery saturates and recovers."""
    dt = 1e-4
    t = np.arange(1500) * dt
    p = np.where((t >= 0.01) & (t < 0.02), 13.0, 5.0)
    rest = 0.5e-6 * 750.0**2

    def slopes(now, y):
        stored, battery = y
        given = 13.0 if 0.01 <= now < 0.02 else 5.0
        asked = min(max(given + (rest - stored) / 0.02, -8.0), 11.0)
        return [battery - given, (asked - battery) / 0.002]

    y = [rest, 5.0]
    exact = [y]
    for begin in t[:-1]:
        y = solve_ivp(slopes, (begin, begin + dt), y, rtol=1e-9, atol=1e-12).y[:, -1]
        exact.append(y)
    stored, battery = np.array(exact).T
    run = dc_link(p, LINK, dt_s=dt)
    assert run.p_battery_kw.to_numpy() == pytest.approx(battery, abs=0.05)
    assert run.v_dc_v.to_numpy() == pytest.approx(np.sqrt(2e6 * stored), abs=0.2)
    assert run.p_battery_kw.max() <= 11.0


def test_finer_steps_of_the_link_come_closer_in_proportion():
    def lowest(dt):
        steps = round(0.05 / dt)
        p = np.where(np.arange(2 * steps) < steps // 5, 5.0, 9.0)
        return dc_link(p, LINK, dt_s=dt).v_dc_v.min()

    coarse, fine, finest = (lowest(dt) for dt in (1e-3, 5e-4, 2.5e-4))
    assert abs(fine - finest) < 0.6 * abs(coarse - fine) < 1.0


def test_a_battery_at_its_limit_lets_the_link_fall_as_its_energy_does():
    run = dc_link([11.0] + [13.0] * 999, LINK, dt_s=1e-3)
    joule = 0.5e-3 * (750.0**2 - 650.0**2)
    assert run.index[-1] == pytest.approx(0.001 + joule / 2000, abs=1e-3)
    assert run.v_dc_v.iloc[-1] < 650.0 <= run.v_dc_v.iloc[-2]


def test_a_battery_that_takes_too_little_lets_the_link_rise():
    run = dc_link([-8.0] + [-10.0] * 999, LINK, dt_s=1e-3)
    assert run.v_dc_v.iloc[-1] > 850.0 >= run.v_dc_v.iloc[-2]
    assert run.p_battery_kw.min() == -8.0


def test_the_link_loses_no_energy():
    rng = np.random.default_rng(3)
    p = 5.0 + rng.uniform(-2, 2, 2000)
    run = dc_link(p, LINK, dt_s=5e-4)
    assert len(run) == 2000
    stored = 0.5e-6 * (run.v_dc_v.iloc[-1] ** 2 - 750.0**2)
    # Within a step the battery's power is nearly its mean; what is left is of second order.
    given = 0.5 * (run.p_battery_kw.to_numpy()[1:] + run.p_battery_kw.to_numpy()[:-1])
    assert stored == pytest.approx(5e-4 * (given - p[:-1]).sum(), abs=2e-4)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: replace(LINK, v_rest_v=900.0), "v_rest_v is 900 V; it must lie between v_min_v"),
        (lambda: replace(LINK, v_min_v=750.0), "v_rest_v is 750 V; it must lie between v_min_v"),
        (lambda: dc_link([12.0, 12.0], LINK, dt_s=1e-3), "p_kw begins with 12 kW"),
        (lambda: dc_link([-9.0, 0.0], LINK, dt_s=1e-3), "its limits are -8 and 11 kW"),
        (lambda: dc_link([5.0, 5.0], LINK, dt_s=0.002), "dt_s is 0.002 s; it must be at most half"),
        (lambda: dc_link(5.0, LINK, dt_s=1e-3), "p_kw"),
        (lambda: dc_link([5.0, NAN], LINK, dt_s=1e-3), "p_kw"),
    ],
)
def test_what_no_link_can_do_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ------------------------------------------------------------- grid-following, in another frame


def network_following(unit, scr, f0, t, jump_deg=0.0, v_grid=1.0, ramp=0.0, scr_after=None):
    """The same converter with complex currents in the frame of the grid's nominal rotation.

    The voltage drop of the line is x i + L di/dt, by the product rule. Returns its angle (rad, in
    that frame), reported frequency, terminal voltage and power at the times t after the event.
    """
    w0 = 2 * math.pi * f0
    p0 = unit.p_pu
    k = unit.support_pu
    most = unit.i_max_pu
    x_before = 1 / scr
    x = 1 / (scr_after or scr)
    jump = math.radians(jump_deg)

    def parts(t, y, x=x, v_grid=v_grid, jump=jump, ramp=ramp):
        own, z, i_d, i_q, m_d, m_q, p = y
        dw = z + unit.pll.kp_per_s * m_q
        size = abs(complex(m_d, m_q))
        want_q = np.clip(-k * (1 - size), -most, most)
        want_d = np.clip(p / size, -math.sqrt(most**2 - want_q**2), math.sqrt(most**2 - want_q**2))
        i_own, slope_own = complex(i_d, i_q), complex(want_d - i_d, want_q - i_q) / unit.t_current_s
        turn = np.exp(1j * own)
        i_net = i_own * turn
        slope_net = slope_own * turn + 1j * dw * i_net
        grid = v_grid * np.exp(1j * (jump + math.pi * ramp * t * t))
        v_net = grid + 1j * x * i_net + x / w0 * slope_net
        return dw, slope_own, v_net * np.exp(-1j * own), v_net, i_net

    def slopes(t, y, **kwargs):
        dw, slope_own, v_own, _, _ = parts(t, y, **kwargs)
        m = (v_own - complex(y[4], y[5])) / unit.t_voltage_s
        return [
            dw,
            unit.pll.ki_per_s2 * y[5],
            slope_own.real,
            slope_own.imag,
            m.real,
            m.imag,
            (p0 - dw / w0 / unit.droop_pu - y[6]) / unit.t_power_s,
        ]

    settle = solve_ivp(
        lambda t, y: slopes(t, y, x=x_before, v_grid=1.0, jump=0.0, ramp=0.0),
        (0, 4),
        [0.2, 0, p0, 0, 1, 0, p0],
        method="LSODA",
        rtol=1e-8,
        atol=1e-10,
    )
    run = solve_ivp(
        slopes, (0, t[-1]), settle.y[:, -1], t_eval=t, method="Radau", rtol=1e-7, atol=1e-9
    )
    rows = [parts(now, y) for now, y in zip(run.t, run.y.T)]
    power = np.array([(v * i.conjugate()) for _, _, _, v, i in rows])
    return (
        run.y[0],
        f0 + np.array([row[0] for row in rows]) / (2 * math.pi),
        np.abs([row[3] for row in rows]),
        power,
    )


@pytest.mark.parametrize(
    "unit, scr, event",
    [
        (FOLLOWER, 3.0, dict(jump_deg=-20.0)),
        (replace(FOLLOWER, p_pu=0.9, support_pu=2.0), 1.5, dict(jump_deg=10.0)),
        (replace(FOLLOWER, p_pu=-0.7, pll=FAST, droop_pu=0.05), 5.0, dict(rocof_hz_per_s=-2.0)),
        (replace(FOLLOWER, support_pu=2.0, i_max_pu=1.0), 3.0, dict(v_pu=0.6)),
        (replace(FOLLOWER, support_pu=3.0, i_max_pu=1.0), 3.0, dict(v_pu=0.3)),
        (FOLLOWER, 5.0, dict(scr=1.6)),
        (
            replace(FOLLOWER, t_current_s=0.005, t_voltage_s=0.003, t_power_s=0.1, p_pu=0.3),
            2.0,
            dict(jump_deg=-15.0, v_pu=0.9),
        ),
    ],
)
def test_grid_following_against_the_equations_of_the_network(unit, scr, event):
    run = simulate(unit, scr, Disturbance(t_s=0.0, **event), f0_hz=60.0, t_end_s=0.3)
    after = dict(
        jump_deg=event.get("jump_deg", 0.0),
        v_grid=event.get("v_pu", 1.0),
        ramp=event.get("rocof_hz_per_s", 0.0),
        scr_after=event.get("scr"),
    )
    own, f, v, power = network_following(unit, scr, 60.0, run.index.to_numpy(), **after)
    grid = math.radians(after["jump_deg"]) + math.pi * after["ramp"] * run.index.to_numpy() ** 2
    assert np.allclose(run.angle_deg, np.degrees(own - grid), atol=1e-3)
    assert np.allclose(run.f_hz, f, atol=1e-4)
    assert np.allclose(run.v_pu, v, atol=1e-5)
    assert np.allclose(run.p_pu, power.real, atol=1e-5)
    assert np.allclose(run.q_pu, power.imag, atol=1e-5)
    assert np.allclose(run.i_pu, np.abs(power) / v, atol=1e-5)
    assert np.allclose(run.f_grid_hz, 60.0 + after["ramp"] * run.index)


def test_grid_following_at_rest_is_the_power_flow():
    still = Disturbance(t_s=0.5)
    for p, scr, k in ((0.8, 2.0, 0.0), (-0.8, 2.0, 0.0), (0.9, 1.2, 5.0), (0.5, INF, 3.0)):
        unit = GridFollowing(p_pu=p, pll=TI, support_pu=k)
        run = simulate(unit, scr, still, f0_hz=60.0)
        assert np.allclose(run.to_numpy(), run.to_numpy()[0], atol=1e-6)
        row = run.iloc[0]
        assert row.p_pu == pytest.approx(p)
        assert row.q_pu == pytest.approx(k * (1 - row.v_pu) * row.v_pu)
        if not k:
            assert row.v_pu == pytest.approx(terminal_voltage(p, scr))
            assert row.q_pu == pytest.approx(0.0, abs=1e-12)
        if scr == INF:
            assert row.angle_deg == 0
        else:
            sine = math.sin(math.radians(row.angle_deg))
            assert row.v_pu * sine * scr == pytest.approx(p)


def test_support_raises_the_limit_from_half_the_scr_towards_the_scr():
    scr, wide = 2.0, dict(pll=TI, i_max_pu=9.0)
    for p in (0.999, -0.999):
        eigenvalues(GridFollowing(p_pu=p, **wide), scr, f0_hz=60.0)
    for p in (1.001, -1.001):
        with pytest.raises(
            ValueError, match="at scr = 2 and support_pu = 0 the line cannot carry it"
        ):
            eigenvalues(GridFollowing(p_pu=p, **wide), scr, f0_hz=60.0)
    assert (
        simulate(
            GridFollowing(p_pu=1.4, support_pu=10.0, **wide),
            scr,
            Disturbance(t_s=0.1),
            f0_hz=60.0,
            t_end_s=0.2,
        ).v_pu.iloc[0]
        > 0.9
    )

    def rests(p, k):
        try:
            eigenvalues(GridFollowing(p_pu=p, support_pu=k, **wide), scr, f0_hz=60.0)
        except ValueError:
            return -1.0
        return 1.0

    reach = [brentq(rests, 1.0, 2.5, args=(k,), xtol=1e-4) for k in (1.0, 10.0, 100.0)]
    assert reach == sorted(reach)
    assert reach[0] > 1.0
    assert 1.95 < reach[2] < transfer_limit(scr, support=True) + 0.01


def test_an_infinite_grid_gives_the_pll_s_own_answer():
    pure = GridFollowing(p_pu=0.5, pll=TI, t_voltage_s=1e-6)
    run = simulate(pure, INF, Disturbance(t_s=0.1, jump_deg=-0.01), f0_hz=60.0)
    t = run.index[110:] - 0.1
    assert np.allclose(run.f_hz.iloc[110:] - 60.0, jump_answer(t, TI, -0.01).df_hz, atol=2e-6)
    assert np.allclose(run.angle_deg.iloc[110:], -jump_answer(t, TI, -0.01).error_deg, atol=2e-6)


@pytest.mark.parametrize(
    "x, i, pll",
    [(0.3, 0.8, TI), (0.6, -0.9, TI), (0.5, 1.0, pll_natural(200.0, 0.2)), (0.0, 1.0, FAST)],
)
def test_poles_of_a_pll_on_its_own_current(x, i, pll):
    """With a held current and no other lag: v_q = -sin d + x i w/w0 linearised, solved for w."""
    rest = math.asin(x * i)

    def slopes(y):
        w = (W0 + y[1] - pll.kp_per_s * math.sin(rest + y[0])) / (1 - pll.kp_per_s * x * i / W0)
        return np.array([w - W0, pll.ki_per_s2 * (-math.sin(rest + y[0]) + x * i * w / W0)])

    jacobian = np.array([(slopes(h) - slopes(-h)) / 2e-6 for h in np.eye(2) * 1e-6]).T
    own = np.linalg.eigvals(jacobian)
    assert pll_poles(pll, x, i, f0_hz=60.0) == pytest.approx(own[np.argsort(-own.real)], rel=1e-6)


def test_poles_are_those_of_a_grid_following_unit_whose_other_loops_are_far_away():
    unit = GridFollowing(p_pu=0.5, pll=TI, t_voltage_s=1e-6, t_current_s=10.0, t_power_s=1e4)
    i = 0.5 / terminal_voltage(0.5, 2.0)
    poles = pll_poles(TI, 0.5, i, f0_hz=60.0)
    ours = eigenvalues(unit, 2.0, f0_hz=60.0)
    for pole in poles:
        assert np.abs(ours - pole).min() < 0.02 * abs(pole)


def test_a_fast_pll_needs_a_strong_grid_and_a_slow_one_does_not():
    """Following is not unstable as such."""

    def rightmost(pll, scr):
        return eigenvalues(replace(FOLLOWER, pll=pll), scr, f0_hz=60.0)[0].real

    assert [rightmost(FAST, scr) < 0 for scr in (10.0, 3.0, 2.0, 1.5, 1.3)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert [rightmost(TI, scr) < -19 for scr in (10.0, 3.0, 2.0, 1.5, 1.3)] == [True] * 5
    with pytest.raises(ValueError, match=r"unstable: it has the eigenvalue 91.92.*643.3j 1/s"):
        simulate(replace(FOLLOWER, pll=FAST), 1.5, Disturbance(), f0_hz=60.0)


# ---------------------------------------------------------------------- eigenvalues and time


def peaks(y):
    """Sizes and places of the local extremes."""
    y = np.asarray(y)
    at = np.flatnonzero((y[1:-1] - y[:-2]) * (y[1:-1] - y[2:]) > 0) + 1
    return np.abs(y[at]), at


def rate_and_frequency(y, dt):
    """Growth [1/s] and angular frequency [rad/s] of an oscillation about 0."""
    size, at = peaks(y)
    return np.polyfit(at * dt, np.log(size), 1)[0], math.pi / np.diff(at).mean() / dt


@pytest.mark.parametrize(
    "unit",
    [
        GridForming(p_pu=0.4, droop_pu=0.05, filter_rad_per_s=10.0, x_pu=0.2),
        GridForming(p_pu=0.3, x_pu=0.1, **virtual_machine(3.0, 10.0)),
    ],
)
def test_a_former_swings_as_its_eigenvalues_say(unit):
    value = eigenvalues(unit, 5.0, f0_hz=60.0)[0]
    run = simulate(
        unit, 5.0, Disturbance(t_s=0.0, jump_deg=0.01), f0_hz=60.0, t_end_s=4 / -value.real
    )
    rate, turning = rate_and_frequency(run.p_pu - unit.p_pu, 0.001)
    assert rate == pytest.approx(value.real, rel=0.01)
    assert turning == pytest.approx(abs(value.imag), rel=0.01)


@pytest.mark.parametrize("scr, before", [(2.0, 2.001), (1.93, 2.0)])
def test_a_grid_following_unit_grows_or_decays_as_its_eigenvalues_say(scr, before):
    unit = replace(FOLLOWER, pll=FAST)
    value = eigenvalues(unit, scr, f0_hz=60.0)[0]
    run = simulate(
        unit,
        before,
        Disturbance(t_s=0.0, scr=scr, jump_deg=0.01),
        f0_hz=60.0,
        t_end_s=0.3,
        dt_s=1e-4,
    )
    rate, turning = rate_and_frequency(run.f_hz.iloc[800:] - 60.0, 1e-4)
    assert rate == pytest.approx(value.real, rel=0.03)
    assert turning == pytest.approx(value.imag, rel=0.03)
    assert (value.real < 0) == (scr == 2.0)


def test_a_pll_at_its_range_does_not_wind_up():
    """A jump of 100 degrees asks a fast PLL for 105 Hz less; it gives 30, its integrator too."""
    run = simulate(
        replace(FOLLOWER, pll=FAST, t_voltage_s=1e-6),
        INF,
        Disturbance(t_s=0.0, jump_deg=-100.0),
        f0_hz=60.0,
        t_end_s=0.05,
        dt_s=1e-4,
    )
    most, tau = math.pi * 60, FAST.kp_per_s / FAST.ki_per_s2

    def slopes(t, y):
        raw = y[1] - FAST.kp_per_s * math.sin(y[0])
        return [
            max(raw, -most),
            -FAST.ki_per_s2 * math.sin(y[0]) if raw > -most else (-most - y[1]) / tau,
        ]

    exact = solve_ivp(
        slopes,
        (0, 0.05),
        [math.radians(100), 0.0],
        t_eval=run.index,
        rtol=1e-8,
        atol=1e-10,
        max_step=1e-4,
    )
    assert np.allclose(run.angle_deg, np.degrees(exact.y[0]), atol=0.02)
    assert np.allclose(run.f_hz.iloc[1:60], 30.0)
    late = simulate(
        FOLLOWER, 20.0, Disturbance(t_s=0.0, rocof_hz_per_s=100.0, ramp_s=0.5), f0_hz=60.0
    )
    assert late.f_hz.iloc[200] == pytest.approx(80.0, abs=0.2)
    assert late.f_hz.iloc[-1] == pytest.approx(90.0)
    assert late.angle_deg.iloc[-1] < -360


def test_a_dip_to_nothing_is_survived_by_the_current():
    for unit in (FOLLOWER, replace(FORMER, i_max_pu=1.2)):
        run = simulate(
            unit, INF, Disturbance(t_s=0.1, v_pu=0.0, dip_s=0.1), f0_hz=60.0, t_end_s=3.0
        )
        assert run.i_pu.iloc[150] == pytest.approx(1.2, abs=1e-6)
        assert run.i_pu.max() <= 1.2 + 1e-6
        assert abs(run.p_pu.iloc[150]) < 1e-9
        assert run.p_pu.iloc[-1] == pytest.approx(unit.p_pu, abs=1e-4)
        # Its power is missing, so it runs ahead; the PLL coasts.
        alone = (
            60 * (1 + 0.05 * 0.4 * -math.expm1(-30 * 0.05))
            if isinstance(unit, GridForming)
            else 60.0
        )
        assert run.f_hz.iloc[150] == pytest.approx(alone, abs=0.01)


def test_after_a_line_trips_a_fast_pll_oscillates_within_its_limit():
    run = simulate(
        replace(FOLLOWER, pll=FAST), 5.0, Disturbance(t_s=0.1, scr=1.4), f0_hz=60.0, t_end_s=0.5
    )
    # the range of its PLL
    assert run.f_hz.iloc[300:].min() == pytest.approx(30.0)
    assert run.f_hz.iloc[300:].max() == pytest.approx(90.0)
    assert run.i_pu.max() <= 1.2 + 1e-9
    assert run.angle_deg.abs().max() < 180
    calm = simulate(FOLLOWER, 5.0, Disturbance(t_s=0.1, scr=1.4), f0_hz=60.0, t_end_s=0.5).iloc[-1]
    assert calm.f_hz == pytest.approx(60.0, abs=1e-3)
    assert calm.v_pu == pytest.approx(terminal_voltage(0.6, 1.4), abs=1e-5)


@pytest.mark.parametrize(
    "unit, machine",
    [
        (FOLLOWER, None),
        (replace(FOLLOWER, p_pu=0.2, support_pu=2.0, droop_pu=0.05), BESIDE),
        (FORMER, BESIDE),
    ],
)
def test_a_small_jump_is_the_matrix_exponential_of_a_sum_of_modes(unit, machine):
    """As many modes as there are states, with the eigenvalues as rates, fit the whole run."""
    values = eigenvalues(unit, 4.0, f0_hz=60.0, machine=machine)
    assert len(values) == {GridFollowing: 7, GridForming: 2}[type(unit)] + 3 * (machine is not None)
    assert np.all(np.diff(values.real) <= 0)
    quiet = replace(machine, governor=replace(STEAM, deadband_hz=0.0)) if machine else None
    values = eigenvalues(unit, 4.0, f0_hz=60.0, machine=quiet)
    run = simulate(
        unit, 4.0, Disturbance(t_s=0.0, jump_deg=0.01), f0_hz=60.0, machine=quiet, t_end_s=1.0
    )
    modes = np.exp(np.outer(run.index, values))
    for column in ("angle_deg", "p_pu", "f_hz"):
        y = run[column] - {"f_hz": 60.0, "p_pu": unit.p_pu}.get(
            column,
            simulate(unit, 4.0, Disturbance(t_s=0.5), f0_hz=60.0, t_end_s=0.5)[column].iloc[0],
        )
        weights = np.linalg.lstsq(modes, y.to_numpy().astype(complex), rcond=None)[0]
        assert np.abs(modes @ weights - y).max() < 2e-3 * np.abs(y).max(), column


# ------------------------------------------------------- grid-forming, with droop and phasors


def phasor_former(unit, scr, f0, t, jump_deg=0.0, v_grid=1.0, ramp=0.0):
    """Droop on a filtered power, with complex voltages and two states: angle, filtered power.

    Returns power, current, reactive power and frequency at times t.
    """
    w0, x = 2 * math.pi * f0, unit.x_pu + 1 / scr

    def flow(angle):
        i = (unit.e_pu * np.exp(1j * angle) - v_grid) / (1j * x)
        i = i if abs(i) <= unit.i_max_pu else i / abs(i) * unit.i_max_pu
        v = v_grid + 1j / scr * i
        return v * i.conjugate(), i, v

    def slopes(t, y):
        dw = unit.droop_pu * (unit.p_pu - y[1])
        return [
            w0 * dw - 2 * math.pi * ramp * t,
            unit.filter_rad_per_s * (flow(y[0])[0].real - y[1]),
        ]

    start = [math.asin(unit.p_pu * x / unit.e_pu) - math.radians(jump_deg), unit.p_pu]
    run = solve_ivp(
        slopes, (0, t[-1]), start, t_eval=t, method="DOP853", rtol=1e-9, atol=1e-11, max_step=0.02
    )
    s, i, v = (np.array(a) for a in zip(*(flow(angle) for angle in run.y[0])))
    return dict(
        p_pu=s.real,
        q_pu=s.imag,
        i_pu=np.abs(i),
        v_pu=np.abs(v),
        f_hz=f0 * (1 + unit.droop_pu * (unit.p_pu - run.y[1])),
        angle_deg=np.degrees(run.y[0]),
    )


@pytest.mark.parametrize(
    "unit, scr, event",
    [
        (FORMER, 3.0, dict(jump_deg=-10.0)),
        (replace(FORMER, p_pu=-0.5, e_pu=1.05), 5.0, dict(rocof_hz_per_s=1.0)),
        (replace(FORMER, i_max_pu=1.0), 4.0, dict(jump_deg=-60.0)),
        (replace(FORMER, i_max_pu=1.0, e_pu=0.97, filter_rad_per_s=5.0), INF, dict(v_pu=0.5)),
        (replace(FORMER, i_max_pu=1.1), 2.0, dict(v_pu=0.2)),
    ],
)
def test_former_against_droop_with_phasors(unit, scr, event):
    run = simulate(unit, scr, Disturbance(t_s=0.0, **event), f0_hz=50.0, t_end_s=0.8)
    other = phasor_former(
        unit,
        scr,
        50.0,
        run.index.to_numpy(),
        jump_deg=event.get("jump_deg", 0.0),
        v_grid=event.get("v_pu", 1.0),
        ramp=event.get("rocof_hz_per_s", 0.0),
    )
    for column, values in other.items():
        assert np.allclose(run[column], values, atol=1e-4 if column == "angle_deg" else 1e-5), (
            column
        )


@pytest.mark.parametrize("h, d, k", [(4.0, 20.0, 3.3), (0.3, 20.0, 2.0), (0.02, 40.0, 2.0)])
def test_ramp_power_against_simulation_and_the_rule_of_thumb(h, d, k):
    unit = GridForming(p_pu=0.0, x_pu=1 / k, **virtual_machine(h, d))
    run = simulate(unit, INF, Disturbance(t_s=0.0, rocof_hz_per_s=-0.1), f0_hz=60.0, t_end_s=2.0)
    t = run.index.to_numpy()
    ours = ramp_power(t, Rotor(inertia_s=h, damping_rating_pu=d), -0.1, k_pu=k, f0_hz=60.0)
    assert np.allclose(ours, run.p_pu, rtol=1e-3, atol=1e-5)
    assert ours[700] == ramp_power(
        t[700], Rotor(inertia_s=h, damping_rating_pu=d), -0.1, k_pu=k, f0_hz=60.0
    )
    late = ramp_power(200.0, Rotor(inertia_s=h, damping_rating_pu=d), -0.1, k_pu=k, f0_hz=60.0)
    assert late == pytest.approx(0.1 / 60 * (2 * h + d * 200.0), rel=1e-3)


def test_ramp_power_where_the_two_roots_meet():
    k, d = 2.5, 20.0
    h = d**2 / (8 * k * W0)  # zeta = 1
    assert swing_mode(Rotor(inertia_s=h, damping_rating_pu=d), k, f0_hz=60.0).zeta == pytest.approx(
        1.0
    )
    at, near = (
        ramp_power(
            [0.0, 0.01, 0.1], Rotor(inertia_s=h * f, damping_rating_pu=d), 1.0, k_pu=k, f0_hz=60.0
        )
        for f in (1.0, 1.001)
    )
    assert at == pytest.approx(near, rel=2e-3, abs=1e-6)
    assert at[0] == pytest.approx(0.0, abs=1e-6)
    assert (np.diff(at) < 0).all()


def test_with_little_damping_a_former_swings_for_long():
    unit = GridForming(p_pu=0.2, x_pu=0.3, **virtual_machine(4.0, 1.0))
    jump = Disturbance(t_s=0.0, jump_deg=1.0)
    run = simulate(unit, INF, jump, f0_hz=60.0, t_end_s=10.0, dt_s=0.002)
    mode = swing_mode(Rotor(inertia_s=4.0, damping_rating_pu=1.0), stiffness(0.2, 0.3), f0_hz=60.0)
    size, at = peaks(run.p_pu - 0.2)
    assert len(size) > 35
    decay = mode.zeta * mode.wn_rad_per_s * (at[-2] - at[0]) * 0.002
    assert size[-2] == pytest.approx(size[0] * math.exp(-decay), rel=1e-2)
    turning = math.pi / (np.diff(at).mean() * 0.002)
    assert turning == pytest.approx(mode.wn_rad_per_s, rel=1e-3)
    kept = swing_mode(Rotor(inertia_s=4.0, damping_rating_pu=0.0), 1.0, f0_hz=60.0)
    assert kept.zeta == 0.0


@pytest.mark.parametrize(
    "unit, scr",
    [
        (GridForming(p_pu=0.42, droop_pu=0.05, filter_rad_per_s=10.0, x_pu=0.3, i_max_pu=1.0), INF),
        (
            GridForming(p_pu=0.6, x_pu=0.1, e_pu=1.04, i_max_pu=1.1, **virtual_machine(4.0, 20.0)),
            4.0,
        ),
        (
            GridForming(
                p_pu=-0.5, droop_pu=0.02, filter_rad_per_s=100.0, x_pu=0.1, e_pu=0.95, i_max_pu=1.0
            ),
            3.0,
        ),
        (GridForming(p_pu=0.7, droop_pu=0.02, filter_rad_per_s=60.0, x_pu=0.5), 4.0),
    ],
)
def test_current_limits_by_root_search_and_by_jumps(unit, scr):
    limits, x = current_limits(unit, scr), unit.x_pu + 1 / scr

    def i(deg):
        return abs(unit.e_pu * np.exp(1j * math.radians(deg)) - 1) / x

    def p(deg):
        free = unit.e_pu * math.sin(math.radians(deg)) / x
        return free * min(1.0, unit.i_max_pu / i(deg))

    assert p(limits.rest_deg) == pytest.approx(unit.p_pu)
    assert p(limits.lost_deg) == pytest.approx(unit.p_pu)
    if unit.i_max_pu < INF:
        assert i(limits.limit_deg) == pytest.approx(unit.i_max_pu)
        assert limits.lost_deg == pytest.approx(
            brentq(lambda deg: p(deg) - unit.p_pu, max(limits.limit_deg, 60.0), 300.0)
        )
    else:
        assert limits.limit_deg == 180.0
        assert limits.lost_deg == pytest.approx(180 - limits.rest_deg)
    largest = limits.lost_deg - limits.rest_deg
    for share_of_it, stays in ((0.995, True), (1.005, False)):
        deg = share_of_it * largest
        if deg > 180:
            continue
        jump = Disturbance(t_s=0.0, jump_deg=-deg)
        run = simulate(unit, scr, jump, f0_hz=60.0, t_end_s=12.0, dt_s=0.01)
        assert (abs(run.angle_deg.iloc[-1] - limits.rest_deg) < 5) == stays
    small = simulate(
        unit,
        scr,
        Disturbance(t_s=0.0, jump_deg=-0.999 * (limits.limit_deg - limits.rest_deg)),
        f0_hz=60.0,
        t_end_s=0.01,
    )
    assert small.i_pu.iloc[0] < unit.i_max_pu
    assert unit.i_max_pu == INF or small.i_pu.iloc[0] > 0.99 * unit.i_max_pu


def test_equal_voltages_have_the_printed_forms():
    unit = GridForming(p_pu=0.42, droop_pu=0.05, filter_rad_per_s=10.0, x_pu=0.1, i_max_pu=1.0)
    limits = current_limits(unit, 5.0)
    assert math.sin(math.radians(limits.limit_deg / 2)) == pytest.approx(0.3 / 2)
    assert math.cos(math.radians(limits.lost_deg / 2)) == pytest.approx(0.42)
    assert current_limits(replace(unit, p_pu=0.0), 5.0).lost_deg == pytest.approx(180.0)
    assert current_limits(replace(unit, p_pu=-0.42), 5.0).lost_deg == pytest.approx(
        360 - limits.lost_deg
    )
    # The limit is beyond its own instability.
    assert current_limits(replace(unit, i_max_pu=6.66), 5.0).lost_deg == pytest.approx(
        180 - limits.rest_deg
    )
    assert current_limits(replace(unit, i_max_pu=8.0), 5.0).limit_deg == 180.0
    run = simulate(unit, 5.0, Disturbance(t_s=0.0, jump_deg=-60.0), f0_hz=60.0, t_end_s=0.01).iloc[
        0
    ]
    assert run.i_pu == pytest.approx(1.0)
    assert run.p_pu == pytest.approx(math.cos(math.radians(run.angle_deg / 2)))


def test_a_dip_below_the_limit_loses_a_former_and_one_above_does_not():
    unit = GridForming(p_pu=0.5, droop_pu=0.02, filter_rad_per_s=50.0, x_pu=0.3, i_max_pu=1.0)
    edge = deepest_dip(0.5, 1.0)
    assert edge == 0.5 == deepest_dip([-0.5, 0.1], 1.0)[0]
    deep, shallow = (
        simulate(
            unit,
            INF,
            Disturbance(t_s=0.1, v_pu=v, jump_deg=0.0),
            f0_hz=60.0,
            t_end_s=6.0,
            dt_s=0.01,
        )
        for v in (0.9 * edge, 1.03 * edge)
    )
    assert deep.angle_deg.iloc[-1] > 180
    assert abs(shallow.angle_deg.iloc[-1]) < 180
    assert np.abs(np.diff(shallow.angle_deg.iloc[-50:])).max() < 1e-3
    assert shallow.p_pu.iloc[-1] == pytest.approx(0.5, abs=1e-3)
    back = simulate(
        unit,
        INF,
        Disturbance(t_s=0.1, v_pu=0.9 * edge, dip_s=0.3),
        f0_hz=60.0,
        t_end_s=6.0,
        dt_s=0.01,
    )
    assert back.p_pu.iloc[-1] == pytest.approx(0.5, abs=1e-4)
    assert back.angle_deg.iloc[-1] == pytest.approx(current_limits(unit, INF).rest_deg, abs=0.01)


# ------------------------------------------------------------------------------ side by side


def test_what_a_disturbance_does_when():
    event = Disturbance(
        t_s=0.2, jump_deg=5.0, rocof_hz_per_s=-2.0, ramp_s=0.3, v_pu=0.9, dip_s=0.15
    )
    run = simulate(FORMER, 3.0, event, f0_hz=50.0)
    assert len(run) == 1001
    assert run.index[-1] == pytest.approx(1.0)
    assert run.index.name == "t_s"
    assert list(run) == ["f_hz", "f_grid_hz", "p_pu", "q_pu", "i_pu", "v_pu", "angle_deg"]
    assert run.f_grid_hz.iloc[[0, 200, 300, 500, 900]].tolist() == pytest.approx(
        [50.0, 50.0, 49.8, 49.4, 49.4]
    )
    before, at = run.iloc[199], run.iloc[200]
    assert at.angle_deg == pytest.approx(before.angle_deg - 5.0, abs=1e-6)
    assert at.v_pu < 0.965 < before.v_pu
    assert at.p_pu < before.p_pu
    jump = run.v_pu.diff().abs() > 0.02
    assert np.flatnonzero(jump).tolist() == [200, 350]  # the dip begins and ends
    bus = track(TI, event, f0_hz=50.0, t_end_s=1.0, dt_s=1e-3)
    assert np.allclose(bus.f_grid_hz, run.f_grid_hz)
    late = simulate(FORMER, 3.0, Disturbance(t_s=5.0, jump_deg=90.0), f0_hz=50.0)  # after the end
    assert len(late) == 1001
    assert np.allclose(late.p_pu, 0.4)
    trip = simulate(FORMER, 5.0, Disturbance(t_s=0.2, scr=2.0), f0_hz=50.0, t_end_s=4.0).angle_deg
    assert trip.iloc[[0, 199, -1]].tolist() == pytest.approx(
        [math.degrees(math.asin(0.4 * x)) for x in (0.4, 0.4, 0.7)], abs=1e-3
    )
    short = simulate(FORMER, 5.0, Disturbance(t_s=0.2, jump_deg=1.0), f0_hz=50.0, t_end_s=0.2)
    assert len(short) == 201


@pytest.mark.parametrize(
    "unit, event, machine",
    [
        (FOLLOWER, dict(jump_deg=-20.0), None),
        (FOLLOWER, dict(v_pu=0.5, dip_s=0.2), None),
        (FORMER, dict(jump_deg=-20.0), None),
        (FORMER, dict(loss_mw=100.0), BESIDE),
    ],
)
def test_rows_do_not_hang_on_their_distance(unit, event, machine):
    coarse, fine = (
        simulate(unit, 3.0, Disturbance(t_s=0.1, **event), f0_hz=60.0, machine=machine, dt_s=dt)
        for dt in (0.004, 0.002)
    )
    assert np.allclose(coarse, fine.iloc[::2], atol=2e-5)


@pytest.mark.parametrize(
    "governor, loss",
    [
        (STEAM, 100.0),
        (STEAM, -100.0),
        (replace(STEAM, headroom_mw=60.0, footroom_mw=60.0), 100.0),
        (replace(STEAM, t_valve_s=3.0, headroom_mw=120.0, footroom_mw=10.0), 100.0),
        (replace(STEAM, t_valve_s=3.0, headroom_mw=10.0, footroom_mw=120.0), -100.0),
    ],
)
def test_a_very_small_converter_leaves_the_machine_of_chapter_1_alone(governor, loss):
    tiny = Machine(grid=AREA, governor=governor, rating_mva=1e-6)
    run = simulate(
        FORMER,
        3.0,
        Disturbance(t_s=1.0, loss_mw=loss),
        f0_hz=60.0,
        machine=tiny,
        t_end_s=40.0,
        dt_s=0.02,
    )
    other = frequency.simulate(
        AREA, [frequency.Loss(t_s=1.0, p_mw=loss)], [governor], t_end_s=40.0, dt_s=0.01
    )
    assert np.abs(run.f_grid_hz.to_numpy() - other.f_hz.to_numpy()[::2]).max() < 1e-3


@pytest.mark.parametrize("name", ["na-60hz", "eu-50hz", "gb-50hz"])
def test_every_regions_governor_runs_against_its_stop(name):
    """A solver gives up at the corner of a valve that stops dead; no area here meets it."""
    region = presets.load(name)
    system = region.frequency
    grid = frequency.Grid(
        f0_hz=region.f0_hz,
        **{field: system[field] for field in ("kinetic_energy_mws", "load_mw", "damping_load_pu")},
    )
    headroom = 0.5 * system["loss_mw"]
    machine = Machine(
        grid=grid,
        governor=frequency.Governor(
            rating_mw=0.8 * grid.load_mw, headroom_mw=headroom, **system["governor"]
        ),
        rating_mva=0.1 * grid.load_mw,
    )
    unit = replace(FOLLOWER, p_pu=0.0)
    for dt_s in (0.02, 0.01):
        run = simulate(
            unit,
            5.0,
            Disturbance(t_s=0.5, loss_mw=system["loss_mw"]),
            f0_hz=region.f0_hz,
            machine=machine,
            t_end_s=40.0,
            dt_s=dt_s,
        )
        relief = (
            grid.damping_load_pu
            * grid.load_mw
            * (region.f0_hz - run.f_grid_hz.iloc[-1])
            / region.f0_hz
        )
        assert relief == pytest.approx(system["loss_mw"] - headroom, rel=0.02)


def test_beside_a_machine_in_one_system_of_equations():
    """Angles of machine and inverter apart, all powers in MW; inertia, governor of chapter 1."""
    unit = replace(FORMER, p_pu=0.1)
    steam = replace(STEAM, deadband_hz=0.0)
    s = 200.0

    def slopes(t, y):
        machine, own, dw, valve, turbine, f = y
        p = s * math.sin(own - machine) / (unit.x_pu + 1 / 3)
        mech = turbine + 2.0 / 7.0 * (valve - turbine)
        f_dot = 60 / (2 * 4000.0) * (mech + p - 0.1 * s - 100.0 - 1000.0 / 60 * f)
        return [
            2 * math.pi * f,
            W0 * dw,
            30.0 * (0.05 * (0.1 - p / s) - dw),
            (-1000 / 3 * f - valve) / 0.2,
            (valve - turbine) / 7.0,
            f_dot,
        ]

    t = np.linspace(0, 8, 81)
    exact = solve_ivp(
        slopes,
        (0, 8),
        [0, math.asin(0.1 * (unit.x_pu + 1 / 3)), 0, 0, 0, 0],
        t_eval=t,
        rtol=1e-9,
        atol=1e-11,
    )
    run = simulate(
        unit,
        3.0,
        Disturbance(t_s=0.0, loss_mw=100.0),
        f0_hz=60.0,
        machine=replace(BESIDE, governor=steam),
        t_end_s=8.0,
        dt_s=0.1,
    )
    assert np.allclose(run.f_grid_hz - 60, exact.y[5], atol=1e-5)
    assert np.allclose(run.f_hz, 60 * (1 + exact.y[2]), atol=1e-5)
    assert np.allclose(run.angle_deg, np.degrees(exact.y[1] - exact.y[0]), atol=1e-3)


def test_who_helps_a_machine():
    event = Disturbance(t_s=1.0, loss_mw=100.0)
    units = dict(
        nobody=GridFollowing(p_pu=0.0, pll=TI),
        following=GridFollowing(p_pu=0.0, pll=TI, droop_pu=0.05),
        forming=GridForming(p_pu=0.0, x_pu=0.2, **virtual_machine(4.0, 20.0)),
    )
    runs = {
        name: simulate(unit, 3.0, event, f0_hz=60.0, machine=BESIDE, t_end_s=30.0, dt_s=0.01)
        for name, unit in units.items()
    }
    nadir = {name: run.f_grid_hz.min() for name, run in runs.items()}
    assert nadir["nobody"] < nadir["following"] - 0.1
    assert nadir["following"] < nadir["forming"]
    slope = {name: (run.f_grid_hz.iloc[130] - 60.0) / 0.3 for name, run in runs.items()}
    assert slope["forming"] > slope["nobody"] + 0.05
    ends = [runs[name].iloc[-1] for name in ("following", "forming")]
    for end in ends:  # both give by their droop what the same frequency asks for
        assert end.p_pu == pytest.approx((60.0 - end.f_grid_hz) / 60.0 / 0.05, rel=0.01)


# ---------------------------------------------------------------------------- without a grid


def test_one_former_alone_in_closed_form():
    unit = GridForming(p_pu=0.2, droop_pu=0.04, filter_rad_per_s=8.0, x_pu=0.15, e_pu=1.02)
    run = microgrid([unit], 50.0, 10.0, 15.0, f0_hz=50.0, t_step_s=0.2)

    def power(load):
        i = 1.02 / (0.15j + 50.0 / load)
        return abs(i) ** 2 * 50.0 / load

    early, late = power(10.0), power(25.0)
    t = np.maximum(run.index - 0.2, 0.0)
    assert np.allclose(
        run.f_1_hz, 50 * (1 + 0.04 * (0.2 - late + (late - early) * np.exp(-8.0 * t))), atol=1e-6
    )
    assert run.p_1_kw.iloc[[0, 199, 200, -1]].tolist() == pytest.approx(
        [50 * early, 50 * early, 50 * late, 50 * late]
    )
    assert run.v_pu.iloc[-1] ** 2 * 25.0 == pytest.approx(50 * late)
    assert run.i_1_pu.iloc[-1] == pytest.approx(late / run.v_pu.iloc[-1])


def test_three_formers_by_their_own_power_flow():
    rng = np.random.default_rng(7)
    units = [
        GridForming(
            p_pu=float(p),
            droop_pu=float(m),
            filter_rad_per_s=float(w),
            x_pu=float(x),
            e_pu=float(e),
        )
        for p, m, w, x, e in zip(
            rng.uniform(0, 0.3, 3),
            [0.02, 0.05, 0.04],
            [20.0, 40.0, 10.0],
            [0.1, 0.2, 0.15],
            [1.0, 1.01, 0.99],
        )
    ]
    s = np.array([10.0, 20.0, 5.0])
    run = microgrid(units, s, 8.0, 6.0, f0_hz=60.0, t_step_s=0.5, t_end_s=8.0)
    p = run[["p_1_kw", "p_2_kw", "p_3_kw"]].to_numpy()
    f = run[["f_1_hz", "f_2_hz", "f_3_hz"]].to_numpy()
    load = np.where(run.index >= 0.5 - 1e-9, 14.0, 8.0)
    assert np.allclose(p.sum(1), load * run.v_pu**2, atol=1e-9)  # nothing is lost in reactances
    for row in (0, 499, -1):  # at rest: one frequency, which is everybody's droop
        assert np.ptp(f[row]) < 1e-4
        assert f[row] == pytest.approx(
            [60 * (1 + u.droop_pu * (u.p_pu - kw / kva)) for u, kw, kva in zip(units, p[row], s)],
            abs=1e-4,
        )
    extra = share(float(p[-1].sum() - p[0].sum()), s, [u.droop_pu for u in units], f0_hz=60.0)
    assert p[-1] - p[0] == pytest.approx(extra.p_kw, abs=0.01)
    assert f[-1, 0] - f[0, 0] == pytest.approx(extra.df_hz, abs=1e-3)

    def slopes(t, y):
        """In nodal form: invert the admittance matrix of the three sources and the bus."""
        e = [u.e_pu * np.exp(1j * a) for u, a in zip(units, y[:3])]
        line = s / (1j * np.array([u.x_pu for u in units]))
        bus = np.linalg.solve([[14.0 + line.sum()]], [np.dot(line, e)])[0]
        power = np.real(np.conj(line * (np.array(e) - bus)) * bus) / s
        return [
            *(W0 * y[3:]),
            *(
                u.filter_rad_per_s * (u.droop_pu * (u.p_pu - now) - dw)
                for u, now, dw in zip(units, power, y[3:])
            ),
        ]

    def bus_angle(p_kw, v, u, kva):
        return math.asin(p_kw / kva * u.x_pu / (u.e_pu * v))

    angles = [bus_angle(kw, run.v_pu.iloc[0], u, kva) for kw, u, kva in zip(p[0], units, s)]
    start = [*angles, *(f[0] / 60 - 1)]
    exact = solve_ivp(slopes, (0, 1.0), start, t_eval=np.linspace(0, 1, 11), rtol=1e-9, atol=1e-11)
    assert np.allclose(60 * (1 + exact.y[3:]).T, f[500:1501:100], atol=1e-5)


def test_nobody_holds_a_voltage_beyond_its_limit_and_a_grid_following_unit_has_nothing_to_follow():
    unit = GridForming(p_pu=0.0, droop_pu=0.05, filter_rad_per_s=30.0, x_pu=0.1, i_max_pu=1.0)
    assert microgrid([unit], 10.0, 5.0, 4.9, f0_hz=60.0).i_1_pu.max() < 1.0
    with pytest.raises(ValueError, match="unit 1 needs 1.14.* pu of current, but i_max_pu is 1"):
        microgrid([unit], 10.0, 5.0, 6.5, f0_hz=60.0)
    for units in ([FOLLOWER], [unit, FOLLOWER], []):
        with pytest.raises(ValueError, match="A grid-following unit alone with a resistance"):
            microgrid(units, 10.0, 5.0, 1.0, f0_hz=60.0)


# ------------------------------------------------------------------------ arrays, bad inputs


def test_arrays_give_what_scalars_give():
    p, x = np.array([0.0, 0.3, -0.6]), np.array([0.2, 0.3, 0.5])
    assert false_frequency(TI, [5.0, 20.0, 60.0]).tolist() == [
        false_frequency(TI, j) for j in (5.0, 20.0, 60.0)
    ]
    assert ramp_answer(TI, p).error_deg.tolist() == [ramp_answer(TI, r).error_deg for r in p]
    assert terminal_voltage(p, 1 / x).tolist() == [terminal_voltage(a, 1 / b) for a, b in zip(p, x)]
    assert stiffness(p, x, e_pu=1.1, v_pu=0.9).tolist() == [
        stiffness(a, b, e_pu=1.1, v_pu=0.9) for a, b in zip(p, x)
    ]
    assert stiffness(0.5, 0.4, e_pu=1.1, v_pu=0.9) == pytest.approx(
        math.sqrt((0.99 / 0.4) ** 2 - 0.25)
    )
    rotors = equivalent_rotor([0.05, 0.02], 10.0)
    assert rotors.inertia_s.tolist() == [equivalent_rotor(m, 10.0).inertia_s for m in (0.05, 0.02)]
    assert rotors.damping_rating_pu.tolist() == [20.0, 50.0]
    modes = swing_mode(Rotor(inertia_s=4.0, damping_rating_pu=20.0), [1.0, 3.0], f0_hz=50.0)
    assert modes.zeta.tolist() == [
        swing_mode(Rotor(inertia_s=4.0, damping_rating_pu=20.0), k, f0_hz=50.0).zeta
        for k in (1.0, 3.0)
    ]
    many = inherent([0.05, 0.02], 0.3, 0.2, jump_deg=-5.0, df_hz=-0.1, f0_hz=60.0)
    ones = [inherent(m, 0.3, 0.2, jump_deg=-5.0, df_hz=-0.1, f0_hz=60.0) for m in (0.05, 0.02)]
    assert many.tau_s.tolist() == [one.tau_s for one in ones]
    assert many.p_steady_pu.tolist() == [one.p_steady_pu for one in ones]
    assert type(ones[0].p_jump_pu) is float
    assert type(false_frequency(TI, 3.0)) is float
    assert type(terminal_voltage(0.1, 3.0)) is float
    assert transfer_limit(np.array([2.0, 4.0])).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Pll(kp_per_s=0.0, ki_per_s2=1.0), "kp_per_s is 0 1/s; it must be above 0"),
        (lambda: Pll(kp_per_s=1.0, ki_per_s2=-1.0), "ki_per_s2 is -1"),
        (lambda: pll_natural(0.0, 0.7), "wn_rad_per_s is 0"),
        (lambda: pll_natural(10.0, 0.0), "zeta is 0"),
        (lambda: pll_natural(10.0, 0.7, 0.0), "amplitude is 0"),
        (lambda: pll_gains(0.0, 0.7, 0.05), "settling_s is 0"),
        (lambda: pll_gains(0.04, 1.0, 0.05), "zeta is 1; it must be below 1"),
        (lambda: pll_gains(0.04, 0.7, 1.0), "band is 1"),
        (lambda: pll_gains(0.04, 0.7, 0.0), "band is 0"),
        (lambda: loop_filter(TI, 0.0), "fs_hz is 0"),
        (lambda: jump_answer(-1.0, TI, 5.0), "t_s is -1"),
        (lambda: false_frequency(TI, 181.0), "jump_deg is 181"),
        (lambda: false_frequency(TI, NAN), "jump_deg contains NaN"),
        (
            lambda: ramp_answer(TI, [1.0, -3000.0]),
            "rocof_hz_per_s is -3000 Hz/s. A ramp of ki / .2 pi. = 2254 Hz/s or more is never",
        ),
        (lambda: track(TI, Disturbance(scr=2.0), f0_hz=60.0), "belong to simulate"),
        (lambda: track(TI, Disturbance(loss_mw=2.0), f0_hz=60.0), "belong to simulate"),
        (
            lambda: track(TI, Disturbance(), f0_hz=60.0, phases=2),
            "phases is 2; it must be one of 1, 3",
        ),
        (
            lambda: track(TI, Disturbance(), f0_hz=60.0, dt_s=0.02),
            "unstable: kp_per_s = 166.62 1/s, sampled every dt_s = 0.02 s, has the pole",
        ),
        (
            lambda: track(Pll(kp_per_s=100.0, ki_per_s2=1e5), Disturbance(), f0_hz=60.0, phases=1),
            "SOGI at 60 Hz it has the eigenvalue",
        ),
        (
            lambda: track(TI, Disturbance(), f0_hz=60.0, t_end_s=1e-6),
            "t_end_s is 1e-06 s, less than one step of dt_s = 5e-05 s",
        ),
        (lambda: track(TI, Disturbance(), f0_hz=0.0), "f0_hz is 0"),
        (lambda: Disturbance(t_s=-1.0), "t_s is -1"),
        (lambda: Disturbance(jump_deg=200.0), "jump_deg is 200"),
        (lambda: Disturbance(rocof_hz_per_s=NAN), "rocof_hz_per_s contains NaN"),
        (lambda: Disturbance(v_pu=-0.1), "v_pu is -0.1"),
        (lambda: Disturbance(ramp_s=0.0), "ramp_s is 0"),
        (lambda: Disturbance(dip_s=0.0), "dip_s is 0"),
        (lambda: Disturbance(scr=0.0), "scr is 0; it must be above 0"),
        (lambda: Disturbance(loss_mw=NAN), "loss_mw contains NaN"),
        (lambda: transfer_limit(-1.0), "scr is -1"),
        (lambda: terminal_voltage(NAN, 3.0), "p_pu contains NaN"),
        (lambda: terminal_voltage(0.5, 0.0), "scr is 0"),
        (lambda: GridFollowing(p_pu=NAN, pll=TI), "p_pu contains NaN"),
        (lambda: replace(FOLLOWER, droop_pu=0.0), "droop_pu is 0"),
        (lambda: replace(FOLLOWER, support_pu=-1.0), "support_pu is -1"),
        (lambda: replace(FOLLOWER, i_max_pu=0.0), "i_max_pu is 0"),
        (lambda: replace(FOLLOWER, t_current_s=0.0), "t_current_s is 0"),
        (lambda: replace(FOLLOWER, t_voltage_s=0.0), "t_voltage_s is 0"),
        (lambda: replace(FOLLOWER, t_power_s=0.0), "t_power_s is 0"),
        (lambda: pll_poles(TI, -0.1, 1.0, f0_hz=60.0), "x_pu is -0.1"),
        (
            lambda: pll_poles(TI, 0.8, -1.3, f0_hz=60.0),
            "x_pu . i_pu is -1.04 pu; no angle can carry",
        ),
        (
            lambda: simulate(replace(FOLLOWER, i_max_pu=0.6), 3.0, Disturbance(), f0_hz=60.0),
            "needs 0.6129 pu of current at rest; i_max_pu is 0.6",
        ),
        (
            lambda: GridForming(p_pu=0.1, droop_pu=0.0, filter_rad_per_s=1.0, x_pu=0.1),
            "droop_pu is 0",
        ),
        (lambda: replace(FORMER, filter_rad_per_s=0.0), "filter_rad_per_s is 0"),
        (lambda: replace(FORMER, x_pu=-0.1), "x_pu is -0.1 pu"),
        (lambda: replace(FORMER, e_pu=0.0), "e_pu is 0"),
        (lambda: replace(FORMER, i_max_pu=-1.0), "i_max_pu is -1"),
        (lambda: equivalent_rotor(0.0, 1.0), "droop_pu is 0"),
        (lambda: equivalent_rotor(0.1, 0.0), "filter_rad_per_s is 0"),
        (lambda: virtual_machine(0.0, 1.0), "inertia_s is 0"),
        (lambda: virtual_machine(1.0, 0.0), "damping_rating_pu is 0"),
        (
            lambda: stiffness(4.0, 0.3),
            "p_pu is 4 pu; through a reactance of 0.3 pu less than 3.333 pu can flow",
        ),
        (lambda: stiffness(0.0, 0.0), "x_pu is 0"),
        (
            lambda: swing_mode(Rotor(inertia_s=1.0, damping_rating_pu=1.0), 0.0, f0_hz=60.0),
            "k_pu is 0",
        ),
        (lambda: inherent(0.05, 0.3, jump_deg=200.0, df_hz=0.0, f0_hz=60.0), "jump_deg is 200"),
        (
            lambda: ramp_power(
                -1.0, Rotor(inertia_s=1.0, damping_rating_pu=1.0), 1.0, k_pu=1.0, f0_hz=60.0
            ),
            "t_s is -1",
        ),
        (lambda: share(9.0, [10.0, 0.0], 0.05, f0_hz=60.0), "rating_kva is 0"),
        (lambda: share(NAN, [10.0], 0.05, f0_hz=60.0), "load_kw contains NaN"),
        (
            lambda: current_limits(replace(FORMER, i_max_pu=0.3), 3.0),
            "p_pu = 0.4 needs 0.4.* pu of current at rest",
        ),
        (lambda: deepest_dip(0.5, 0.0), "i_max_pu is 0"),
        (lambda: Machine(grid=AREA, governor=STEAM, rating_mva=0.0), "rating_mva is 0"),
        (
            lambda: Machine(grid=AREA, governor=replace(STEAM, t_valve_s=0.0), rating_mva=1.0),
            "t_valve_s of the governor is 0",
        ),
        (lambda: simulate(FORMER, 0.0, Disturbance(), f0_hz=60.0), "scr is 0; it must be above 0"),
        (lambda: simulate(FORMER, -2.0, Disturbance(), f0_hz=60.0), "scr is -2"),
        (lambda: simulate(FORMER, NAN, Disturbance(), f0_hz=60.0), "scr contains NaN"),
        (
            lambda: simulate(FORMER, 3.0, Disturbance(), f0_hz=50.0, machine=BESIDE),
            "f0_hz is 50 Hz, but that of the machine's grid is 60 Hz",
        ),
        (
            lambda: simulate(FORMER, 3.0, Disturbance(loss_mw=1.0), f0_hz=60.0),
            "loss_mw is 1 MW, but nothing is lost at an infinite bus",
        ),
        (
            lambda: simulate(
                FORMER, 3.0, Disturbance(rocof_hz_per_s=1.0), f0_hz=60.0, machine=BESIDE
            ),
            "rocof_hz_per_s is 1 Hz/s, but it moves an infinite bus",
        ),
        (lambda: simulate(FORMER, 3.0, Disturbance(), f0_hz=60.0, dt_s=0.0), "dt_s is 0"),
        (
            lambda: simulate(FORMER, 3.0, Disturbance(), f0_hz=60.0, t_end_s=1e-4),
            "t_end_s is 0.0001 s",
        ),
        (lambda: Rotor(inertia_s=NAN, damping_rating_pu=1.0), "inertia_s contains NaN"),
        (
            lambda: Rotor(inertia_s=-1.0, damping_rating_pu=1.0),
            "inertia_s is -1 s; it must be above 0",
        ),
        (
            lambda: Rotor(inertia_s=1.0, damping_rating_pu=-1.0),
            "damping_rating_pu is -1 pu; it must be at least 0",
        ),
        (
            lambda: Rotor(inertia_s=[1.0, 2.0], damping_rating_pu=[1.0, 2.0, 3.0]),
            "inertia_s .2,., damping_rating_pu .3,.",
        ),
        (lambda: replace(FORMER, droop_pu=5.0), "droop_pu is 5; .* is it in per cent"),
        (lambda: replace(FORMER, droop_pu=[0.05, 0.02]), "droop_pu has shape"),
        (lambda: replace(FORMER, e_pu=230.0), "e_pu is 230 pu; it must be at most 10"),
        (lambda: replace(FOLLOWER, droop_pu=5.0), "droop_pu is 5; .* is it in per cent"),
        (lambda: replace(FOLLOWER, p_pu=[0.1, 0.2]), "p_pu has shape .2,.; give a single number"),
        (lambda: equivalent_rotor(5.0, 10.0), "droop_pu is 5; .* is it in per cent"),
        (lambda: inherent(2.0, 0.3, jump_deg=1.0, df_hz=0.0, f0_hz=60.0), "is it in per cent"),
        (lambda: share(9.0, [10.0, 10.0], [5.0, 2.5], f0_hz=60.0), "is it in per cent"),
        (lambda: pll_gains(0.04, 0.7, 5.0), "band is 5; .* is it in per cent"),
        (lambda: virtual_machine(4.0, 0.5), "damping_rating_pu is 0.5 pu; it must be at least 1"),
        (lambda: pll_natural(1e12, 0.7), "wn_rad_per_s is 1000000000000 rad/s; .* at most 1e.09"),
        (lambda: pll_gains(1e-8, 0.7, 0.05), "wn_rad_per_s of this settling_s, zeta and band is"),
        (lambda: pll_poles(TI, [0.1, 0.2], 0.5, f0_hz=60.0), "x_pu has shape"),
        (lambda: pll_poles(TI, 0.1, 0.5, f0_hz=0.06), "f0_hz is 0.06 Hz; it must be at least 1"),
        (lambda: jump_answer([0.0, 0.1], TI, [1.0, 2.0, 3.0]), "t_s .2,., jump_deg .3,."),
        (lambda: terminal_voltage([0.1, 0.2], [3.0] * 3), "p_pu .2,., scr .3,."),
        (lambda: stiffness([0.1, 0.2], [0.3] * 3), "p_pu .2,., x_pu .3,."),
        (lambda: equivalent_rotor([0.05, 0.02], [1.0] * 3), "droop_pu .2,., filter_rad_per_s"),
        (
            lambda: swing_mode(
                Rotor(inertia_s=[1.0, 2.0], damping_rating_pu=1.0), [1.0] * 3, f0_hz=60.0
            ),
            "k_pu .3,.",
        ),
        (lambda: deepest_dip([0.5, 0.6], [1.0] * 3), "p_pu .2,., i_max_pu .3,."),
        (
            lambda: share(9.0, [[10.0], [10.0]], 0.05, f0_hz=60.0),
            "rating_kva and droop_pu have shape",
        ),
        (lambda: share(9.0, [10.0] * 3, [0.05] * 2, f0_hz=60.0), "rating_kva .3,., droop_pu .2,."),
        (
            lambda: ramp_power(
                1.0, Rotor(inertia_s=[1.0, 2.0], damping_rating_pu=1.0), 1.0, k_pu=1.0, f0_hz=60.0
            ),
            "inertia_s of the rotor has shape .2,.; give a single number",
        ),
        (
            lambda: Machine(
                grid=replace(AREA, load_mw=np.array([1.0, 2.0])), governor=STEAM, rating_mva=1.0
            ),
            "load_mw of the grid is an array; a machine takes single numbers",
        ),
        (
            lambda: track(TI, Disturbance(rocof_hz_per_s=-900.0), f0_hz=60.0),
            "takes the frequency of the grid to -120 Hz; it must stay above 0",
        ),
        (
            lambda: simulate(FORMER, 3.0, Disturbance(loss_mw=1e6), f0_hz=60.0, machine=BESIDE),
            "loss_mw of the disturbance takes the frequency of the grid to -",
        ),
        (
            lambda: track(TI, Disturbance(), f0_hz=60.0, t_end_s=1e9),
            "t_end_s is 1000000000 s; it must be at most 3600",
        ),
        (
            lambda: simulate(FORMER, 3.0, Disturbance(), f0_hz=60.0, dt_s=1e-9),
            "t_end_s is 1, with steps of 1e-09; give 1 to 1e.06 steps",
        ),
        (
            lambda: microgrid([FORMER] * 2, [10.0] * 3, 1.0, 2.0, f0_hz=60.0),
            "rating_kva has shape .3,.; give one number, or one for each of the 2 units",
        ),
        (
            lambda: microgrid([FORMER], 10.0, 1.0, 2.0, f0_hz=60.0, t_step_s=1e-4),
            "t_step_s is 0.0001 s, before the first step of dt_s = 0.001 s",
        ),
        (lambda: microgrid([FORMER], 10.0, -1.0, 2.0, f0_hz=60.0), "load_kw is -1"),
        (lambda: microgrid([FORMER], 10.0, 1.0, -2.0, f0_hz=60.0), "load_kw . step_kw is -1"),
        (lambda: microgrid([FORMER], 0.0, 1.0, 2.0, f0_hz=60.0), "rating_kva is 0"),
        (
            lambda: microgrid([FORMER], 10.0, 1.0, 2.0, f0_hz=60.0, t_step_s=1.0, t_end_s=1.0),
            "t_end_s is 1 s; it must come after the step at t_step_s = 1 s",
        ),
    ],
)
def test_bad_input_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: loop_filter(FOLLOWER, 1e4),
            "pll is an? inverter.GridFollowing; it must be an? inverter.Pll",
        ),
        (lambda: false_frequency(None, 10.0), "pll is None; it must be an? inverter.Pll"),
        (lambda: GridFollowing(p_pu=0.5, pll=166.6), "pll is 166.6; it must be an? inverter.Pll"),
        (lambda: transfer_limit(3.0, support="yes"), "support is 'yes'; it must be True or False"),
        (lambda: swing_mode(FORMER, 3.0, f0_hz=60.0), "rotor is an? inverter.GridForming"),
        (lambda: current_limits(FOLLOWER, 3.0), "unit is an? inverter.GridFollowing"),
        (
            lambda: simulate(TI, 3.0, Disturbance(), f0_hz=60.0),
            "unit is an? inverter.Pll; "
            "it must be an? inverter.GridFollowing or inverter.GridForming",
        ),
        (
            lambda: simulate(FORMER, 3.0, frequency.Loss(t_s=1.0, p_mw=1.0), f0_hz=60.0),
            "disturbance is an? frequency.Loss; it must be an? inverter.Disturbance",
        ),
        (
            lambda: track(TI, frequency.Loss(t_s=1.0, p_mw=1.0), f0_hz=60.0),
            "disturbance is an? frequency.Loss; it must be an? inverter.Disturbance",
        ),
        (
            lambda: eigenvalues(FORMER, 3.0, f0_hz=60.0, machine=STEAM),
            "machine is an? frequency.Governor; it must be an? inverter.Machine",
        ),
        (
            lambda: Machine(grid=STEAM, governor=STEAM, rating_mva=1.0),
            "grid is an? frequency.Governor; it must be an? frequency.Grid",
        ),
        (
            lambda: Machine(grid=AREA, governor=AREA, rating_mva=1.0),
            "governor is an? frequency.Grid; it must be an? frequency.Governor",
        ),
        (
            lambda: microgrid(FORMER, 10.0, 1.0, 2.0, f0_hz=60.0),
            "units is an? inverter.GridForming; put it into a list",
        ),
        (
            lambda: microgrid([FORMER, TI], 10.0, 1.0, 2.0, f0_hz=60.0),
            r"units\[1\] is an? inverter.Pll; it must be an? inverter.GridForming",
        ),
    ],
)
def test_objects_of_another_kind_are_refused_in_words(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_records_keep_floats_and_copies():
    assert repr(Pll(kp_per_s=140, ki_per_s2=10_000)) == "Pll(kp_per_s=140.0, ki_per_s2=10000.0)"
    given = np.array([1.0, 2.0])
    rotor = Rotor(inertia_s=given, damping_rating_pu=20)
    given[0] = 5.0
    assert rotor.inertia_s.tolist() == [1.0, 2.0]
    assert rotor.damping_rating_pu == 20.0


def test_extreme_but_valid_numbers_have_right_answers():
    # Zeta is half a thousand million.
    slow = jump_answer(1.0, Pll(kp_per_s=1e9, ki_per_s2=1.0), 10.0)
    assert slow.error_deg == pytest.approx(-10.0 * 1e-18, rel=1e-6)
    # Nothing but damping, which works on the whole angle at first.
    heavy = Rotor(inertia_s=1e-6, damping_rating_pu=1e6)
    added = ramp_power(0.1, heavy, -1.0, k_pu=3.0, f0_hz=60.0)
    assert added == pytest.approx(3.0 * math.pi * 0.1**2, rel=1e-3)
    assert deepest_dip(0.5, INF) == 0.0
    assert terminal_voltage(1.0, 1e30) == 1.0
    open_ended = replace(FORMER, i_max_pu=1e30)
    assert current_limits(open_ended, 3.0).limit_deg == 180.0


def test_a_last_row_stands_at_every_end():
    """2.5 steps are rounded to 2, and the row at the end is not dropped."""
    run = simulate(FORMER, 3.0, Disturbance(t_s=0.0), f0_hz=60.0, t_end_s=0.25, dt_s=0.1)
    assert run.index.tolist() == pytest.approx([0.0, 0.1, 0.2])
