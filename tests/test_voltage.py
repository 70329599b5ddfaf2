"""Topic 03: published cases by id, closed forms, Kirchhoff, the loop in time, bad inputs.

Independent tools are pandapower (recorded), OpenDSS (live) and SciPy.
"""

import json
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
from scipy.optimize import brentq, root

from v2gbook.charger import Charger, reactive_first
from v2gbook.voltage import (
    VOLT_VAR,
    VOLT_WATT,
    VOLT_WATT_STORAGE,
    WATT_VAR,
    Curve,
    Feeder,
    NoSolution,
    Units,
    at_buses,
    coupling,
    far_voltage,
    feeder,
    feeders,
    inverter_power,
    largest_gain,
    largest_kva,
    loop_gain,
    operating_point,
    power_flow,
    required_q,
    response,
    sensitivity,
    simulate,
    time_constant,
    voltage_rise,
)

HERE = Path(__file__).parent
RECORDED = json.loads((HERE / "data" / "pandapower_feeders.json").read_text(encoding="utf-8"))[
    "runs"
]
NAN = float("nan")
few = settings(deadline=None, max_examples=30)


def tree(*lines, root="root", v_kv=0.4, **more):
    """A feeder from (from, to, r_ohm, x_ohm)."""
    return Feeder(
        lines=pd.DataFrame(lines, columns=["from", "to", "r_ohm", "x_ohm"]),
        root=root,
        v_kv=v_kv,
        **more,
    )


LINE = {"v1_v": 400.0, "r_ohm": 0.2, "x_ohm": 0.1}
TWO = tree(("root", "end", 0.2, 0.1))
# Two ways that part after a shared line. No two impedances are equal.
FORK = tree(
    ("root", "knee", 0.05, 0.02),
    ("knee", "left", 0.2, 0.1),
    ("knee", "right", 0.3, 0.04),
    ("right", "far", 0.15, 0.07),
)
UNIT = Charger(
    p_charge_kw=100.0,
    p_discharge_kw=100.0,
    s_kva=100.0,
    idle_kw=0.0,
    loss_linear=0.0,
    loss_quadratic=0.0,
)
STREET = feeder("cigre-lv-residential")
BUSES33 = feeder("baran-wu-33")


# ---------------------------------------------------------------------------------- published cases


def test_v01_volt_var_category_b():
    inputs, expected = case("V01")
    assert VOLT_VAR["B"](inputs["V_pu"]).tolist() == expected["Q_pu"]
    assert VOLT_VAR["B"].olrt_s == 5.0


def test_v03_reactive_power_goes_first():
    inputs, expected = case("V03")
    p_kw, q_kvar = inverter_power(UNIT, inputs["P_av_kW"], inputs["V_pu"], volt_var=VOLT_VAR["B"])
    assert p_kw.tolist() == expected["P_kW"]
    assert q_kvar.tolist() == expected["Q_kvar"]


def test_v05_volt_watt():
    inputs, expected = case("V05")
    p_kw, q_kvar = inverter_power(UNIT, inputs["P_av_kW"], inputs["V_pu"], volt_watt=VOLT_WATT)
    assert p_kw.tolist() == expected["P_kW"]
    assert not q_kvar.any()


def test_v09_open_loop_response_time_is_a_90_per_cent_time():
    inputs, expected = case("V09")
    assert time_constant(inputs["OLRT_s"]) == expected["tau_s"]
    at = response([1.0, 5.0, 10.0], inputs["OLRT_s"])
    assert (at[0], at[1], at[2]) == (expected["at_1s"], expected["at_5s"], expected["at_10s"])


@pytest.mark.parametrize("key", ["V15", "V16"])
def test_v15_v16_two_buses(key):
    """The cases count what is drawn, and the drop; here it is what is injected, and the rise."""
    inputs, expected = case(key)
    power = -inputs["P_load_W"] / 1000, -inputs["Q_load_var"] / 1000
    line = {"v1_v": inputs["V1_V"], "r_ohm": inputs["R_ohm"], "x_ohm": inputs["X_ohm"]}
    assert -voltage_rise(*power, **line) == expected["dV_approx_V"]
    assert far_voltage(*power, **line) == expected["V2_exact_V"]
    assert inputs["V1_V"] - far_voltage(*power, **line) == expected["dV_exact_V"]
    flow = power_flow(
        tree(("root", "end", inputs["R_ohm"], inputs["X_ohm"])),
        *([0.0, s] for s in power),
        tol_pu=1e-9,
    )
    assert 400.0 * flow.v_pu[1] == expected["V2_exact_V"]


def test_v16_asks_more_than_30_kva_and_reactive_power_goes_first():
    inputs, _ = case("V16")
    p_kw, q_kvar = -inputs["P_load_W"] / 1000, -inputs["Q_load_var"] / 1000
    assert math.hypot(p_kw, q_kvar) == pytest.approx(32.8, abs=0.05)
    unit = replace(UNIT, p_charge_kw=30.0, p_discharge_kw=30.0, s_kva=30.0)
    assert reactive_first(unit, p_kw, q_kvar) == pytest.approx((26.9, -13.2), abs=0.05)
    assert inverter_power(unit, p_kw, 1.08, volt_var=VOLT_VAR["B"]) == pytest.approx(
        (26.9, -13.2), abs=0.05
    )
    assert far_voltage(26.941, -13.2, **LINE) < far_voltage(p_kw, q_kvar, **LINE)


def test_v19_closed_loop():
    inputs, expected = case("V19")
    line = {
        "v0_pu": inputs["V0_pu"],
        "r_pu": inputs["R_pu"],
        "x_pu": inputs["X_pu"],
        "p_pu": inputs["p_inj_pu"],
    }
    v_pu, q_pu = operating_point(VOLT_VAR["B"], **line)
    assert v_pu == expected["V_pu"]
    assert q_pu == expected["q_pu"]
    assert operating_point(Curve(x_pu=(0.9, 1.1), y_pu=(0.0, 0.0), olrt_s=5.0), **line) == (
        expected["V_without_pu"],
        0.0,
    )


def test_b2_largest_gains():
    """Rules, part B2: an open-loop response of 5 s, measured every second and every 5 s."""
    assert largest_gain([1.0, 5.0], time_constant(5.0)).tolist() == pytest.approx(
        [4.42, 1.22], abs=0.005
    )


# ------------------------------------------------------------------------------ two buses, one line

POWERS = st.floats(-60.0, 60.0)


def phasor_residual(v2_v, p_kw, q_kvar, v1_v, r_ohm, x_ohm):
    """How far |V2 - Z I| misses V1, with V2 on the real axis and I = (S/V2)* in a line. [V]"""
    return abs(v2_v - complex(r_ohm, x_ohm) * 1000 * complex(p_kw, -q_kvar) / v2_v) - v1_v


@few
@given(POWERS, POWERS, st.floats(0.0, 1.0), st.floats(0.01, 1.0))
def test_exact_voltage_fulfils_the_phasor_equation_and_is_the_upper_root(
    p_kw, q_kvar, r_ohm, x_ohm
):
    line = {"v1_v": 400.0, "r_ohm": r_ohm, "x_ohm": x_ohm}
    try:
        v2_v = far_voltage(p_kw, q_kvar, **line)
    except ValueError:
        assert math.hypot(p_kw, q_kvar) > largest_kva(p_kw, q_kvar, **line)
        return
    assert phasor_residual(v2_v, p_kw, q_kvar, **line) == pytest.approx(0.0, abs=1e-6)
    # Vieta: the product of the roots is |Z S|^2.
    lower_v = math.hypot(r_ohm, x_ohm) * 1000 * math.hypot(p_kw, q_kvar) / v2_v
    assert v2_v >= lower_v - 1e-6


@few
@given(st.floats(-math.pi, math.pi), st.floats(0.01, 1.0), st.floats(0.0, 1.0))
def test_nose_is_the_last_power_with_a_solution(angle, r_ohm, x_ohm):
    direction = (math.cos(angle), math.sin(angle))
    line = {"v1_v": 230.0, "r_ohm": r_ohm, "x_ohm": x_ohm}
    s_kva = largest_kva(*direction, **line)
    if s_kva > 1e6:
        return
    v2_v = far_voltage(*(0.9999999 * s_kva * d for d in direction), **line)
    # Both roots meet.
    assert v2_v**2 == pytest.approx(math.hypot(r_ohm, x_ohm) * 1000 * s_kva, rel=1e-2)
    with pytest.raises(ValueError, match="beyond the nose"):
        far_voltage(*(1.000001 * s_kva * d for d in direction), **line)


def test_largest_power_by_hand():
    """Pure resistance: a quarter of the short-circuit power. Pure reactance: V^2 / 2X."""
    assert largest_kva(-1.0, v1_v=400.0, r_ohm=0.2, x_ohm=0.0) == pytest.approx(
        400.0**2 / (4 * 0.2) / 1000
    )
    assert largest_kva(-7.0, v1_v=400.0, r_ohm=0.0, x_ohm=0.2) == pytest.approx(
        400.0**2 / (2 * 0.2) / 1000
    )
    # Along the line's own impedance the voltage only rises.
    assert largest_kva(0.2, 0.1, **LINE) == np.inf
    aside = math.atan2(0.1, 0.2) + 0.01  # a hundredth of a radian beside that direction
    z_ohm = math.hypot(0.2, 0.1)
    assert largest_kva(math.cos(aside), math.sin(aside), **LINE) == pytest.approx(
        160.0 / (2 * z_ohm * (1 - math.cos(0.01))), rel=1e-6
    )
    assert largest_kva([-1.0, -2.0], **LINE).tolist() == pytest.approx(
        [largest_kva(-5.0, **LINE)] * 2
    )


def test_beyond_the_nose_the_message_tells_the_way_back():
    with pytest.raises(
        ValueError,
        match=r"200 kVA is beyond the nose: .* the line carries at most 188\.854 kVA "
        r"\(p_kw = -200, q_kvar = 0, v1_v = 400, r_ohm = 0\.2, x_ohm = 0\.1\)",
    ):
        far_voltage([0.0, -200.0, -500.0], **LINE)


def test_small_powers_make_the_approximation_right_and_signs_are_injections():
    assert far_voltage(0.01, **LINE) - 400.0 == pytest.approx(voltage_rise(0.01, **LINE), rel=1e-4)
    assert far_voltage(0.0, 0.01, **LINE) - 400.0 == pytest.approx(
        voltage_rise(0.0, 0.01, **LINE), rel=1e-4
    )
    assert voltage_rise(1.0, 0.0, **LINE) == pytest.approx(0.5)
    assert voltage_rise(0.0, 1.0, **LINE) == pytest.approx(0.25)
    assert voltage_rise(-1.0, 2.0, **LINE) == pytest.approx(0.0)  # R/X = 2: 2 kvar undo 1 kW


def test_arrays_equal_scalars_on_two_buses():
    rng = np.random.default_rng(3)
    p = rng.uniform(-50, 50, 20)
    q = rng.uniform(-50, 50, 20)
    r = rng.uniform(0.01, 0.3, 20)
    x = rng.uniform(0.01, 0.3, 20)
    for function in (voltage_rise, far_voltage, largest_kva):
        together = function(p, q, v1_v=400.0, r_ohm=r, x_ohm=x)
        for i in range(20):
            alone = function(p[i], q[i], v1_v=400.0, r_ohm=r[i], x_ohm=x[i])
            assert isinstance(alone, float)
            assert alone == pytest.approx(together[i], rel=1e-13)


# ----------------------------------------------------------------------------------------- the tree


def test_order_and_direction_of_lines_do_not_matter():
    rng = np.random.default_rng(5)
    p = at_buses(BUSES33, {bus: rng.uniform(-200, 100) for bus in BUSES33.buses})
    before = dict(zip(BUSES33.buses, power_flow(BUSES33, p, tol_pu=1e-11).v_pu))
    lines = BUSES33.lines.sample(frac=1.0, random_state=7)
    turned = rng.random(len(lines)) < 0.5
    lines.loc[turned, ["from", "to"]] = lines.loc[turned, ["to", "from"]].to_numpy()
    mixed = replace(BUSES33, lines=lines)
    after = power_flow(mixed, at_buses(mixed, dict(zip(BUSES33.buses, p))), tol_pu=1e-11).v_pu
    assert mixed.buses != BUSES33.buses
    assert mixed.buses[0] == 1
    assert after.tolist() == pytest.approx([before[bus] for bus in mixed.buses], abs=1e-10)
    assert dict(zip(mixed.buses, mixed.load_kvar)) == dict(zip(BUSES33.buses, BUSES33.load_kvar))


def test_what_is_filled_in_belongs_to_the_right_bus():
    lines = pd.DataFrame(
        {
            "from": ["c", "b", 7],
            "to": [7, "a", "b"],
            "r_ohm": [3.0, 1.0, 2.0],
            "x_ohm": [0.3, 0.1, 0.0],
            "limit_a": [70.0, 50.0, np.inf],
            "note": list("xyz"),
        },
        index=[9, 9, 9],
    )
    loads = pd.DataFrame({"bus": ["c", "b"], "load_kw": [5.0, 6.0], "load_kvar": [1.0, 2.0]})
    grid = Feeder(lines=lines, root="a", v_kv=10.0, loads=loads)
    assert grid.buses == ("a", "c", 7, "b")
    assert grid.z_ohm.tolist() == [0, 3 + 0.3j, 2, 1 + 0.1j]
    assert grid.limit_a.tolist() == [
        np.inf,
        70.0,
        np.inf,
        50.0,
    ]
    assert grid.load_kw.tolist() == [0, 5, 0, 6]
    assert grid.load_kvar.tolist() == [0, 1, 0, 2]
    assert grid.path == ((3, 0), (2, 3), (1, 2))
    assert "note" in grid.lines
    assert FORK.limit_a.tolist() == [np.inf] * 5
    assert not FORK.load_kw.any()
    lines["r_ohm"] = 99.0
    assert grid.lines.r_ohm.tolist() == [3.0, 1.0, 2.0]  # its own copy


def test_at_buses_puts_values_where_they_belong():
    assert at_buses(FORK, {"far": 2.0, "left": -1.0}).tolist() == [0, 0, -1, 0, 2]
    assert at_buses(FORK, {"far": [1.0, 2.0], "left": -1.0}).tolist() == [
        [0, 0, -1, 0, 1],
        [0, 0, -1, 0, 2],
    ]
    assert at_buses(FORK, {}).tolist() == [0] * 5


# --------------------------------------------------------------------------------------- power flow


@pytest.mark.parametrize(
    "run", RECORDED, ids=lambda run: f"{run['feeder']} x{run['share']:g} z{run['z_share']:g}"
)
def test_pandapower_agrees(run):
    """Recorded with the script that stands in the file."""
    grid = feeder(run["feeder"])
    named = {str(bus): bus for bus in grid.buses}
    more = [at_buses(grid, {named[bus]: pq[k] for bus, pq in run["extra"].items()}) for k in (0, 1)]
    p = -run["share"] * grid.load_kw
    q = -run["share"] * grid.load_kvar
    z = run["z_share"]
    parts = {
        "p_kw": more[0] + (1 - z) * p,
        "q_kvar": more[1] + (1 - z) * q,
        "z_kw": z * p,
        "z_kvar": z * q,
        "v0_pu": run["v0_pu"],
    }
    assert set(named) == set(run["v_pu"])
    theirs = np.array([run["v_pu"][str(bus)] for bus in grid.buses])
    flow = power_flow(grid, **parts, tol_pu=1e-11)
    # Transformers there are given in per cent, to seven digits.
    assert flow.v_pu == pytest.approx(theirs, abs=5e-9)
    assert flow.loss_kw == pytest.approx(run["loss_kw"], rel=1e-7)
    assert power_flow(grid, **parts).v_pu == pytest.approx(theirs, abs=1e-6)


def in_opendss(grid, p, q, z_kw, z_kvar, v0_pu):
    """Voltages [pu] and losses [kW] by OpenDSS.

    Impedances are in series; loads are of model 1 (power) and 2 (impedance).
    """
    dss = pytest.importorskip("opendssdirect")
    say = dss.Text.Command
    say("Clear")
    say(
        f"New Circuit.feeder bus1=b0 basekv={grid.v_kv} pu={v0_pu} phases=3 MVAsc3=1e12 MVAsc1=1e12"
    )
    for bus, up in grid.path:
        r, x = float(grid.z_ohm[bus].real), float(grid.z_ohm[bus].imag)
        say(
            f"New Line.l{bus} bus1=b{up} bus2=b{bus} phases=3 length=1 "
            f"r1={r!r} x1={x!r} r0={r!r} x0={x!r} c1=0 c0=0"
        )
    for bus in range(len(grid.buses)):
        for model, kw, kvar in ((1, -p[bus], -q[bus]), (2, -z_kw[bus], -z_kvar[bus])):
            # Else OpenDSS turns a load into an impedance outside 0.95..1.05.
            say(
                f"New Load.m{model}b{bus} bus1=b{bus} phases=3 kv={grid.v_kv} "
                f"kw={float(kw)!r} kvar={float(kvar)!r} model={model} "
                "vlowpu=0.05 vminpu=0.1 vmaxpu=3"
            )
    for command in (
        f"Set voltagebases=[{grid.v_kv}]",
        "CalcVoltageBases",
        "Set tolerance=1e-12",
        "Set maxiterations=1000",
        "Solve mode=snap",
    ):
        say(command)
    assert dss.Solution.Converged()
    v = []
    for bus in range(len(grid.buses)):
        dss.Circuit.SetActiveBus(f"b{bus}")
        v.append(math.hypot(*dss.Bus.PuVoltage()[:2]))
    return v, dss.Circuit.Losses()[0] / 1000


@pytest.mark.parametrize("name", feeders())
def test_opendss_agrees(name):
    """Live, with cars both ways beside loads that are half power, half impedance."""
    grid, rng = feeder(name), np.random.default_rng(11)
    mean = grid.load_kw.sum() / len(grid.buses)
    parts = {
        "p_kw": rng.uniform(-1.0, 0.8, len(grid.buses)) * mean - 0.5 * grid.load_kw,
        "q_kvar": rng.uniform(-0.3, 0.3, len(grid.buses)) * mean,
        "z_kw": -0.5 * grid.load_kw,
        "z_kvar": -0.7 * grid.load_kvar,
    }
    v_pu, loss_kw = in_opendss(grid, *parts.values(), 1.02)
    flow = power_flow(grid, **parts, v0_pu=1.02, tol_pu=1e-12)
    assert flow.v_pu == pytest.approx(np.array(v_pu), abs=1e-10)
    assert flow.loss_kw == pytest.approx(loss_kw, rel=1e-8)


def test_33_buses_come_out_as_everybody_knows_them():
    """Baran and Wu's base case: 202.7 kW, and 0.9131 pu at bus 18."""
    assert (BUSES33.load_kw.sum(), BUSES33.load_kvar.sum()) == (3715.0, 2300.0)
    flow = power_flow(BUSES33, -BUSES33.load_kw, -BUSES33.load_kvar)
    assert flow.loss_kw == pytest.approx(202.7, abs=0.05)
    assert flow.v_min_pu == pytest.approx(0.9131, abs=5e-5)
    assert flow.v_min_bus == 18
    assert flow.p_root_kw == pytest.approx(-3715.0 - flow.loss_kw, abs=0.01)
    assert flow.q_root_kvar == pytest.approx(-2300.0 - 135.1, abs=0.1)
    assert (flow.converged, flow.q_units_kvar) == (True, None)
    assert flow.sweeps < 10


def random_trees(count):
    """Trees of every shape with what might be injected, from harmless to hopeless."""
    rng = np.random.default_rng(17)
    for _ in range(count):
        n = int(rng.integers(2, 12))
        grid = tree(
            *((int(rng.integers(0, i)), i, *rng.uniform(0.01, 1.0, 2)) for i in range(1, n)),
            root=0,
            v_kv=1.0,
        )
        yield (
            grid,
            rng.normal(size=(40, n)) * 400 / n,
            rng.normal(size=(40, n)) * 400 / n,
            rng.normal(size=(40, n)) * 50 / n,
        )


def admittance_matrix(grid):
    """Nodal admittances in kVA at 1 pu, line by line from the table the feeder was made of."""
    y = np.zeros((len(grid.buses),) * 2, complex)
    at = {bus: i for i, bus in enumerate(grid.buses)}
    for line in grid.lines.to_dict("records"):
        i = at[line["from"]]
        k = at[line["to"]]
        series = 1000 * grid.v_kv**2 / complex(line["r_ohm"], line["x_ohm"])
        y[[i, k], [i, k]] += series
        y[[i, k], [k, i]] -= series
    return y


def test_kirchhoff_holds_in_every_scenario_that_converged():
    """Substituted into the nodal equations, nothing is left but what the tolerance allows."""
    solved = 0
    for grid, p, q, z in random_trees(30):
        flow = power_flow(grid, p, q, z_kw=z, keep_going=True, tol_pu=1e-9)
        ok = flow.converged
        y = admittance_matrix(grid)
        v = flow.phasor_pu[ok]
        left_kva = v * np.conj(v @ y.T) - (p + 1j * q)[ok] - z[ok] * np.abs(v) ** 2
        assert np.abs(left_kva[:, 1:] / np.abs(np.diag(y))[1:]).max() < 1e-8
        assert np.isnan(flow.v_pu[~ok]).all()
        assert np.isnan(flow.loss_kw[~ok]).all()
        assert np.isnan(flow.current_a[~ok]).all()
        assert np.isnan(flow.p_root_kw[~ok]).all()
        assert np.isfinite(flow.v_pu[ok]).all()
        root_kva = -v[:, 0] * np.conj(v @ y.T)[:, 0] + (p + 1j * q)[ok, 0] + z[ok, 0]
        assert flow.p_root_kw[ok] == pytest.approx(root_kva.real, abs=1e-3)
        assert flow.q_root_kvar[ok] == pytest.approx(root_kva.imag, abs=1e-3)
        assert flow.loss_kw[ok] == pytest.approx(
            (p[ok] + z[ok] * np.abs(v) ** 2).sum(1) - flow.p_root_kw[ok], abs=1e-3
        )
        solved += ok.sum()
    assert 600 < solved < 1200


def test_sweeps_find_the_branch_that_grows_out_of_no_load():
    """Power raised from nothing in small steps, each found from the last, leads to the same.

    Where that ends, the sweeps end.
    """
    agreed = failed = 0
    for grid, p, q, _ in random_trees(8):
        flow = power_flow(grid, p[:12], q[:12], keep_going=True, tol_pu=1e-9)
        y = admittance_matrix(grid)[1:]
        v = np.ones((12, len(grid.buses)), complex)
        alive = np.ones(12, bool)
        for share in np.linspace(0, 1, 81)[1:]:
            old = v.copy()
            for _ in range(6):
                newton(v, y, share * (p + 1j * q)[:12, 1:])
            alive &= (np.abs(v - old).max(1) < 0.25) & (
                np.abs(v[:, 1:] * np.conj(v @ y.T) - share * (p + 1j * q)[:12, 1:]).max(1) < 1e-6
            )
            v[~alive] = 1.0
        assert (flow.converged == alive).all()
        assert flow.v_pu[alive] == pytest.approx(np.abs(v[alive]), abs=1e-7)
        agreed += alive.sum()
        failed += (~alive).sum()
    assert agreed > 30
    assert failed > 5


def newton(v, y, s):
    """One Newton step on all buses but the root, in place; for rows of phasors v."""
    n = v.shape[1] - 1
    i = v @ y.T
    d_r = np.conj(y)[None, :, 1:] * v[:, 1:, None] + np.conj(i)[:, :, None] * np.eye(n)
    d_i = -1j * np.conj(y)[None, :, 1:] * v[:, 1:, None] + 1j * np.conj(i)[:, :, None] * np.eye(n)
    gap = v[:, 1:] * np.conj(i) - s
    jacobian = np.block([[d_r.real, d_i.real], [d_r.imag, d_i.imag]])
    step = np.linalg.solve(jacobian, np.concatenate([gap.real, gap.imag], 1)[..., None])[..., 0]
    v[:, 1:] -= step[:, :n] + 1j * step[:, n:]


@few
@given(POWERS, POWERS)
def test_two_buses_as_a_feeder(p_kw, q_kvar):
    flow = power_flow(TWO, [0.0, p_kw], [0.0, q_kvar], tol_pu=1e-10)
    assert 400.0 * flow.v_pu[1] == pytest.approx(far_voltage(p_kw, q_kvar, **LINE), abs=1e-6)


@pytest.mark.parametrize("tol_pu", [1e-4, 1e-6, 1e-9])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.99, 0.998])
def test_tolerance_bounds_the_error_even_near_the_nose(share, tol_pu):
    """Where steps shrink slowly, a small step does not mean a small error."""
    p_kw = -share * largest_kva(-1.0, **LINE)
    flow = power_flow(TWO, [0.0, p_kw], tol_pu=tol_pu)
    assert abs(flow.v_pu[1] - far_voltage(p_kw, **LINE) / 400.0) < 1.2 * tol_pu


@pytest.mark.parametrize("share", [1.0, 1 + 1e-9, 1 + 1e-6, 1.001, 1.2, 5.0, 1000.0])
def test_nothing_comes_back_from_beyond_the_nose(share):
    p_kw = -share * largest_kva(-1.0, **LINE)
    with pytest.raises(
        NoSolution,
        match="this scenario has no solution.*lowest at bus 'end'.*more than it can carry",
    ):
        power_flow(TWO, [0.0, p_kw])
    flow = power_flow(TWO, [0.0, p_kw], keep_going=True)
    assert not flow.converged
    assert np.isnan(flow.v_pu).all()
    assert np.isnan(flow.loss_kw)
    assert flow.v_min_bus is None


def test_a_scan_over_the_nose_returns_what_there_is():
    share = np.linspace(0.0, 8.0, 81)
    flow = power_flow(
        BUSES33,
        -np.outer(share, BUSES33.load_kw),
        -np.outer(share, BUSES33.load_kvar),
        keep_going=True,
    )
    last = flow.converged.argmin() - 1
    assert flow.converged[: last + 1].all()
    assert not flow.converged[last + 1 :].any()
    assert 3.5 < share[last] < 3.7
    assert (np.diff(flow.v_pu[: last + 1, 17]) < 0).all()
    assert flow.v_pu[last, 17] > 0.4
    assert flow.v_min_bus[1] == 18
    assert flow.v_min_bus[-1] is None
    assert flow.v_min_pu[1] == flow.v_pu[1, 17]
    with pytest.raises(
        NoSolution,
        match=r"44 of 81 scenarios have no solution.*the first is scenario 37\. .* bus 18:",
    ):
        power_flow(BUSES33, -np.outer(share, BUSES33.load_kw), -np.outer(share, BUSES33.load_kvar))
    p = np.zeros((2, 3, 2))
    p[1, 2, 1] = -1e6
    with pytest.raises(
        NoSolution, match="1 of 6 scenarios have no solution.*the first is scenario 1, 2"
    ):
        power_flow(TWO, p)


def test_thousands_of_scenarios_equal_each_one_alone():
    """More than one block, voltages of the root of their own, powers of both kinds."""
    rng = np.random.default_rng(23)
    n, count = len(STREET.buses), 2500
    p, q, z_kw, z_kvar = (rng.uniform(-30, 10, (count, n)) for _ in range(4))
    v0 = rng.uniform(0.95, 1.05, count)
    p[::500] = -1e5
    together = power_flow(
        STREET, p, q, z_kw=z_kw, z_kvar=z_kvar, v0_pu=v0, keep_going=True, tol_pu=1e-10
    )
    assert together.v_pu.shape == (
        count,
        n,
    )
    assert together.loss_kw.shape == together.converged.shape == (count,)
    assert (np.flatnonzero(~together.converged) % 500 == 0).all()
    assert (~together.converged).sum() == 5
    for i in (0, 1, 1023, 1024, 1025, 2047, 2048, 2499):
        alone = power_flow(
            STREET,
            p[i],
            q[i],
            z_kw=z_kw[i],
            z_kvar=z_kvar[i],
            v0_pu=v0[i],
            keep_going=True,
            tol_pu=1e-10,
        )
        for name in ("v_pu", "current_a", "loss_kw", "p_root_kw", "q_root_kvar", "v_min_pu"):
            ours = getattr(together, name)[i]
            assert np.allclose(getattr(alone, name), ours, rtol=1e-8, atol=1e-8, equal_nan=True)
        assert alone.converged == together.converged[i]
        assert alone.v_min_bus == together.v_min_bus[i]
        assert isinstance(alone.loss_kw, float)
        assert alone.v_pu.shape == (n,)


def test_shapes_of_scenarios_fit_together():
    flow = power_flow(FORK, np.zeros((3, 1, 5)), np.zeros(5), v0_pu=[1.0, 1.05])
    assert flow.v_pu.shape == flow.phasor_pu.shape == flow.current_a.shape == (3, 2, 5)
    assert flow.v_pu[2].tolist() == [[1.0] * 5, [1.05] * 5]
    assert flow.loss_kw.shape == (3, 2)
    assert flow.v_min_bus.shape == (3, 2)
    assert power_flow(FORK, -2.0).v_pu == pytest.approx(power_flow(FORK, [-2.0] * 5).v_pu)


def test_constant_impedances_obey_a_linear_equation():
    """No sweeps needed: with Y_load = conj(S) at each bus the nodal equations are linear."""
    kw = np.array([0.0, -5.0, -30.0, 10.0, -20.0])
    kvar = np.array([0.0, 3.0, -12.0, 0.0, -6.0])
    y = admittance_matrix(FORK) - np.diag(kw - 1j * kvar)
    v = np.r_[1.03, np.linalg.solve(y[1:, 1:], -1.03 * y[1:, 0])]
    flow = power_flow(FORK, z_kw=kw, z_kvar=kvar, p_kw=0.0, v0_pu=1.03, tol_pu=1e-11)
    assert flow.phasor_pu == pytest.approx(v, abs=1e-10)
    # A divider: 400 V behind 0.2 + 0.1j, across -5.333j ohm.
    capacitor = power_flow(TWO, 0.0, z_kvar=[0.0, 30.0], tol_pu=1e-11)
    assert capacitor.v_pu[1] == pytest.approx(abs(-16j / 3 / (0.2 + 0.1j - 16j / 3)), abs=1e-10)


def test_equations_of_one_phase_in_volts_and_amperes_give_the_same_flow():
    """(3.3) to (3.5) as the chapter writes them: phase to neutral, a third of each power."""
    fixed_va = 1000 * np.array([5.0, -20.0 - 4j, -12.0 + 3j, 9.0, -15.0 - 6j])
    heater_va = 1000 * np.array([0.0, -6.0, -5.0 - 1j, 0.0, -8.0])
    nominal_v = 400.0 / math.sqrt(3)
    u_v = np.full(5, 1.02 * nominal_v, complex)
    j_a = np.zeros(5, complex)
    for _ in range(60):
        i_a = np.conj(fixed_va / (3 * u_v))
        i_a += np.conj(heater_va / (3 * nominal_v)) * u_v / nominal_v
        j_a = i_a.copy()
        for bus, up in reversed(FORK.path):
            j_a[up] += j_a[bus]
        for bus, up in FORK.path:
            u_v[bus] = u_v[up] + FORK.z_ohm[bus] * j_a[bus]
    flow = power_flow(
        FORK,
        fixed_va.real / 1000,
        fixed_va.imag / 1000,
        z_kw=heater_va.real / 1000,
        z_kvar=heater_va.imag / 1000,
        v0_pu=1.02,
        tol_pu=1e-11,
    )
    assert flow.v_pu * 400.0 == pytest.approx(math.sqrt(3) * np.abs(u_v), rel=1e-9)
    assert flow.current_a[1:] == pytest.approx(np.abs(j_a[1:]), rel=1e-7)


def test_a_car_on_one_phase_moves_it_six_times_as_far_and_the_others_back():
    """(3.8): the loop of phase wire and neutral, beside (3.1); exact for small powers."""
    z_ohm, phases = 0.2 + 0.1j, np.exp(-2j * np.pi / 3 * np.arange(3))
    source_v = 400.0 / math.sqrt(3) * phases
    s_va = np.array([-1.0, 0.0, 0.0])  # one watt
    u_v = source_v.copy()
    for _ in range(20):
        i_a = np.conj(s_va / u_v)
        u_v = source_v + z_ohm * i_a + z_ohm * i_a.sum()
    moved = (np.abs(u_v) - 400.0 / math.sqrt(3)) / (400.0 / math.sqrt(3))
    three = voltage_rise(-0.001, **LINE) / 400.0
    assert moved[0] / three == pytest.approx(6.0, rel=1e-3)
    # Without reactance exactly half of the neutral's share comes back; X turns it a little.
    i_a = np.conj(s_va / source_v)
    shift = np.real(z_ohm * i_a.sum() / phases[1:]) / (400.0 / math.sqrt(3))
    assert moved[1:] == pytest.approx(shift, rel=1e-3)
    assert shift.mean() == pytest.approx(-three * 3 / 2, rel=1e-3)


def test_currents_by_ohm_and_losses_by_joule():
    flow = power_flow(
        FORK, [5.0, -4.0, -30.0, 12.0, -25.0], [0.0, 2.0, -9.0, 7.0, 0.0], tol_pu=1e-11
    )
    drop_v = 400.0 / math.sqrt(3) * np.abs(flow.phasor_pu - flow.phasor_pu[[0, 0, 1, 1, 3]])
    amperes = drop_v[1:] / np.abs(FORK.z_ohm[1:])
    assert flow.current_a[1:] == pytest.approx(amperes, rel=1e-7)
    assert flow.current_a[0] == 0.0
    assert flow.loss_kw == pytest.approx(
        3 * (FORK.z_ohm[1:].real * amperes**2).sum() / 1000, rel=1e-7
    )
    assert flow.p_root_kw == pytest.approx(5.0 - 4.0 - 30.0 + 12.0 - 25.0 - flow.loss_kw, abs=1e-6)


def test_without_power_all_voltages_are_the_roots():
    flow = power_flow(FORK, 0.0, v0_pu=1.04)
    assert flow.v_pu.tolist() == [1.04] * 5
    assert flow.loss_kw == 0.0
    assert flow.sweeps == 1


def test_loads_of_the_feeder_have_to_be_given():
    """Without them the street seems to be empty, so that help begins with this."""
    assert power_flow(STREET, 0.0).v_pu.tolist() == [1.0] * len(STREET.buses)
    assert power_flow(STREET, -STREET.load_kw, -STREET.load_kvar).v_min_pu < 0.93
    assert "loads are not added" in power_flow.__doc__


def test_arguments_stay_as_they_are():
    p_kw = at_buses(STREET, {"R15": 20.0})
    before = p_kw.copy()
    units = Units(buses=["R15"], s_kva=30, curve=VOLT_VAR["B"])
    flow = power_flow(STREET, p_kw, units=units)
    simulate(STREET, units, p_kw, period_s=1.0, t_end_s=5.0)
    assert (p_kw == before).all()
    assert (units.buses, units.s_kva) == (("R15",), 30.0)
    assert flow.q_units_kvar.shape == (1,)


def test_tables_may_be_lists_of_lines():
    lines = [{"from": "root", "to": "end", "r_ohm": 0.2, "x_ohm": 0.1}]
    grid = Feeder(lines=lines, root="root", v_kv=0.4)
    assert grid.z_ohm.tolist() == TWO.z_ohm.tolist()
    assert isinstance(grid.lines, pd.DataFrame)


def test_names_of_buses_from_numpy_are_whole_numbers():
    lines = pd.DataFrame({"from": np.array([1]), "to": [2], "r_ohm": [1], "x_ohm": [0]})
    grid = Feeder(lines=lines, root=np.int64(1), v_kv=1)
    assert [type(bus) for bus in grid.buses] == [int, int]
    units = Units(buses=np.array([2]), s_kva=[1], curve=VOLT_VAR["A"])
    assert coupling(grid, units).index.tolist() == [2]


def test_power_at_the_root_passes_by():
    flow = power_flow(FORK, at_buses(FORK, {"root": 50.0}), at_buses(FORK, {"root": -7.0}))
    assert flow.v_pu.tolist() == [1.0] * 5
    assert (
        flow.p_root_kw,
        flow.q_root_kvar,
        flow.loss_kw,
    ) == pytest.approx((50.0, -7.0, 0.0))


# -------------------------------------------------------------------------------------- sensitivity


def test_sensitivity_by_hand():
    """Left and far share only the first line; 1 ohm and 1 kW at 0.4 kV make 1000 / 400^2 pu."""
    table = sensitivity(FORK)
    per_ohm = 1000 / 400.0**2
    assert table.dv_dp_pu_per_kw.loc["left", "far"] == pytest.approx(0.05 * per_ohm)
    assert table.dv_dq_pu_per_kvar.loc["far", "right"] == pytest.approx(0.06 * per_ohm)
    assert table.dv_dp_pu_per_kw.loc["far", "far"] == pytest.approx(0.5 * per_ohm)
    assert not table.dv_dp_pu_per_kw.loc["root"].any()
    assert not table.dv_dq_pu_per_kvar["root"].any()
    assert table.r_over_x.to_dict() == pytest.approx(
        {"knee": 2.5, "left": 0.25 / 0.12, "right": 0.35 / 0.06, "far": 0.5 / 0.13}
    )


@pytest.mark.parametrize("name", ["cigre-lv-residential", "baran-wu-33"])
def test_sensitivity_is_what_a_small_power_does(name):
    grid = feeder(name)
    table = sensitivity(grid)
    small = 1e-3 * grid.v_kv**2 * np.eye(len(grid.buses))
    p = power_flow(grid, small, 0.0, tol_pu=1e-12).v_pu - 1
    q = power_flow(grid, 0.0 * small, small, tol_pu=1e-12).v_pu - 1
    scale = table.dv_dp_pu_per_kw.to_numpy().max()
    assert p / small[0, 0] == pytest.approx(table.dv_dp_pu_per_kw.to_numpy().T, abs=1e-4 * scale)
    assert q / small[0, 0] == pytest.approx(table.dv_dq_pu_per_kvar.to_numpy().T, abs=1e-4 * scale)


def test_a_line_without_reactance_has_infinite_r_over_x():
    assert sensitivity(tree(("root", "end", 0.2, 0.0))).r_over_x["end"] == np.inf


# --------------------------------------------------------------------------------------------- data


def test_feeders_are_there_and_named():
    assert feeders() == (
        "baran-wu-33",
        "cigre-lv-commercial",
        "cigre-lv-industrial",
        "cigre-lv-residential",
    )
    assert [len(feeder(name).buses) for name in feeders()] == [33, 21, 3, 19]
    assert [feeder(name).v_kv for name in feeders()] == [12.66, 0.4, 0.4, 0.4]


def test_street_carries_its_cables_and_its_transformer():
    lines = STREET.lines.set_index("to")
    assert lines.loc["R1", ["from", "cable", "r_ohm", "x_ohm"]].tolist() == [
        "R0",
        "transformer",
        0.0032,
        0.0128,
    ]
    assert lines.loc["R11", ["cable", "length_km"]].tolist() == ["UG3", 0.03]
    assert lines.r_ohm["R11"] == pytest.approx(0.822 * 0.03)
    assert lines.x_ohm["R2"] == pytest.approx(0.0832 * 0.035)
    load = dict(zip(STREET.buses, zip(STREET.load_kw, STREET.load_kvar)))
    assert load["R18"] == pytest.approx((47 * 0.95, 47 * math.sin(math.acos(0.95))))
    assert load["R17"] != load["R18"]


# ---------------------------------------------------------------------------------- smart inverters


def test_other_default_curves():
    """Rules, part A2. Category A has no deadband; watt-var absorbs when power is given."""
    assert VOLT_VAR["A"]([0.8, 0.9, 0.95, 1.0, 1.06, 1.1, 1.2]).tolist() == pytest.approx(
        [0.25, 0.25, 0.125, 0.0, -0.15, -0.25, -0.25]
    )
    assert VOLT_VAR["A"].olrt_s == VOLT_WATT.olrt_s == VOLT_WATT_STORAGE.olrt_s == 10.0
    assert WATT_VAR["A"]([-1.0, 0.0, 0.5, 0.75, 1.0]).tolist() == pytest.approx(
        [0.44, 0.0, 0.0, -0.125, -0.25]
    )
    assert WATT_VAR["B"]([-1.0, -0.75, -0.5, 0.5, 0.75, 1.0]).tolist() == pytest.approx(
        [0.44, 0.22, 0.0, 0.0, -0.22, -0.44]
    )
    assert VOLT_WATT_STORAGE([1.06, 1.08, 1.1]).tolist() == pytest.approx([1.0, 0.5, 0.0])


def test_curve_is_flat_outside_and_knows_its_steepest_fall():
    curve = Curve(x_pu=[0.9, 1.0, 1.0, 1.2], y_pu=[0.3, 0.1, 0.1, -0.1], olrt_s=3.0)
    assert curve([0.0, 0.95, 1.1, 9.0]).tolist() == pytest.approx([0.3, 0.2, 0.0, -0.1])
    assert isinstance(curve(1.0), float)
    assert curve.slope == pytest.approx(2.0)
    assert VOLT_VAR["B"].slope == pytest.approx(0.44 / 0.06)
    assert Curve(x_pu=(0.0, 1.0), y_pu=(0.0, 1.0), olrt_s=1.0).slope == 0.0
    assert curve == Curve(x_pu=(0.9, 1.0, 1.0, 1.2), y_pu=(0.3, 0.1, 0.1, -0.1), olrt_s=3.0)


def test_bidirectional_cars_at_the_end_of_the_street_are_curtailed_most():
    """Chapter 3's noon, solved by SciPy: R15 loses 37 % of its export, R11 nothing."""
    homes = STREET.loads[STREET.loads.bus != "R1"]
    wish_kw = 8.5 * (homes.s_kva / 5).round().to_numpy()
    rating_kw = wish_kw / 0.85
    places = [STREET.buses.index(bus) for bus in homes.bus]

    def excess(given_kw):
        p_kw = at_buses(STREET, dict(zip(homes.bus, given_kw))) - 0.2 * STREET.load_kw
        v_pu = power_flow(STREET, p_kw, -0.2 * STREET.load_kvar, v0_pu=1.03, tol_pu=1e-10).v_pu
        allowed_kw = np.minimum(wish_kw, rating_kw * VOLT_WATT_STORAGE(v_pu[places]))
        return given_kw - allowed_kw

    given_kw = root(excess, 0.8 * wish_kw, tol=1e-10).x
    assert excess(given_kw) == pytest.approx(0.0, abs=1e-6)
    lost = dict(zip(homes.bus, 1 - given_kw / wish_kw))
    assert lost["R15"] == pytest.approx(0.374, abs=1e-3)
    assert lost["R11"] == pytest.approx(0.0, abs=1e-9)
    assert (wish_kw - given_kw).sum() == pytest.approx(82.9, abs=0.1)


def test_required_reactive_power():
    """OpenDER's corner points: 0.11 at 5 %, 0.44 from 20 %; A absorbs 0.25."""
    low, high = required_q("B", [0.0, 0.0499, 0.05, 0.1, 0.2, 1.0])
    assert high.tolist() == pytest.approx([0.0, 0.0, 0.11, 0.22, 0.44, 0.44])
    assert (low == -high).all()
    assert required_q("A", 0.5) == (-0.25, 0.44)
    assert required_q("A", 0.05) == pytest.approx((-0.0625, 0.11))


def test_unit_with_both_functions_and_with_none():
    """At 1.08: half of full power is left, and 0.44 absorbed fits beside it."""
    both = {"volt_var": VOLT_VAR["B"], "volt_watt": VOLT_WATT_STORAGE}
    assert inverter_power(UNIT, 100.0, 1.08, **both) == pytest.approx((50.0, -44.0))
    idle_p, idle_q = inverter_power(UNIT, [100.0, -100.0], 1.2)
    assert idle_p.tolist() == [100.0, -100.0]
    assert idle_q.tolist() == [0.0, 0.0]
    p_kw, q_kvar = inverter_power(UNIT, -100.0, [1.0, 1.08], **both)
    assert p_kw.tolist() == pytest.approx([-100.0, -math.sqrt(100**2 - 44**2)])
    assert q_kvar.tolist() == pytest.approx([0.0, -44.0])
    small = replace(UNIT, p_discharge_kw=40.0)
    # Reactive power counts in kVA.
    assert inverter_power(small, 40.0, 1.08, volt_var=VOLT_VAR["B"]) == pytest.approx((40.0, -44.0))
    assert inverter_power(small, 40.0, 1.08, volt_watt=VOLT_WATT_STORAGE) == (
        pytest.approx(20.0),
        0.0,
    )
    take = Curve(x_pu=(1.06, 1.10), y_pu=(1.0, -1.0), olrt_s=10.0)
    # A battery may be told to charge.
    assert inverter_power(UNIT, 100.0, 1.09, volt_watt=take)[0] == pytest.approx(-50.0)


def test_a_unit_with_no_function_still_answers_each_voltage():
    p_kw, q_kvar = inverter_power(UNIT, 10.0, [0.9, 1.0, 1.1])
    assert p_kw.tolist() == [10.0] * 3
    assert q_kvar.tolist() == [0.0] * 3


def test_v16_with_the_curve_and_the_feeder_in_a_loop():
    """What V16 asks by hand, a 30 kVA unit with Category B does by itself."""
    units = Units(buses=("end",), s_kva=30.0, curve=VOLT_VAR["B"])
    flow = power_flow(TWO, [0.0, 26.9], units=units, tol_pu=1e-10)

    def gap(q_kvar):
        return 30.0 * VOLT_VAR["B"](far_voltage(26.9, q_kvar, **LINE) / 400.0) - q_kvar

    assert flow.q_units_kvar[0] == pytest.approx(brentq(gap, -13.2, 13.2, xtol=1e-12), abs=1e-5)
    assert -13.2 < flow.q_units_kvar[0] < -1.0


# ----------------------------------------------------------------------------------------- the loop

FALLING = st.sampled_from(
    [
        VOLT_VAR["A"],
        VOLT_VAR["B"],
        Curve(x_pu=(0.97, 0.99, 1.0, 1.03), y_pu=(0.6, 0.5, -0.1, -0.3), olrt_s=2.0),
    ]
)


@few
@given(FALLING, st.floats(0.8, 1.2), st.floats(-1.0, 1.0), st.floats(0.0, 0.5))
def test_operating_point_by_brent(curve, v0_pu, p_pu, x_pu):
    v_pu, q_pu = operating_point(curve, v0_pu=v0_pu, r_pu=0.05, x_pu=x_pu, p_pu=p_pu)
    brent = brentq(lambda v: v - v0_pu - 0.05 * p_pu - x_pu * curve(v), 0.0, 3.0, xtol=1e-13)
    assert v_pu == pytest.approx(brent, abs=1e-10)
    assert q_pu == pytest.approx(curve(v_pu), abs=1e-9)


def test_operating_points_of_many():
    v_pu, q_pu = operating_point(
        VOLT_VAR["B"], v0_pu=[1.0, 1.05], r_pu=0.06, x_pu=0.04, p_pu=[0.1, 1.0]
    )
    assert (v_pu[0], q_pu[0]) == pytest.approx((1.006, 0.0))  # inside the deadband
    assert (v_pu[1], q_pu[1]) == pytest.approx((1.11 - 0.04 * 0.44, -0.44))  # all it has


def test_naive_iteration_diverges_from_a_gain_of_one():
    """V19's curve: X below 0.136 pu."""
    for x_pu in (0.135, 0.138):
        v_rest, q = operating_point(VOLT_VAR["B"], v0_pu=1.0, r_pu=0.05, x_pu=x_pu, p_pu=1.0)
        q += 1e-6
        for _ in range(60):
            q = VOLT_VAR["B"](1.0 + 0.05 + x_pu * q)
        shrunk = abs(1.05 + x_pu * q - v_rest) < x_pu * 1e-6
        assert shrunk == (loop_gain(VOLT_VAR["B"], x_pu) < 1) == (x_pu < 0.136)


def test_gain_of_several_units_is_that_of_their_worst_pattern():
    """Two units that see each other fully are one of double size; two apart are as they were."""
    k = 0.44 / 0.06
    assert loop_gain(VOLT_VAR["B"], 0.1) == pytest.approx(0.1 * k)
    assert loop_gain(VOLT_VAR["B"], [[0.1, 0.1], [0.1, 0.1]]) == pytest.approx(0.2 * k)
    assert loop_gain(VOLT_VAR["B"], [[0.1, 0.0], [0.0, 0.3]]) == pytest.approx(0.3 * k)
    assert loop_gain(VOLT_VAR["A"], [[0.1, 0.02], [0.05, 0.2]]) == pytest.approx(
        2.5 * (0.15 + math.sqrt(0.05**2 + 0.001))
    )


def test_coupling_is_reactance_shared_times_rating():
    table = coupling(FORK, Units(buses=("far", "left"), s_kva=[20.0, 50.0], curve=VOLT_VAR["B"]))
    assert table.to_numpy() * 160 == pytest.approx(
        np.array([[0.13 * 20, 0.02 * 50], [0.02 * 20, 0.12 * 50]])
    )
    assert list(table.index) == list(table.columns) == ["far", "left"]


@pytest.mark.parametrize("period_s", [0.5, 1.0, 5.0, 20.0])
@pytest.mark.parametrize("olrt_s", [5.0, 10.0])
def test_largest_gain_is_where_the_eigenvalue_reaches_minus_one(period_s, olrt_s):
    """Between samples q runs to its target on an exponential: q_next = a q + (1 - a)(-g q)."""
    keep = 10 ** (-period_s / olrt_s)
    gain = largest_gain(period_s, time_constant(olrt_s))
    assert keep - (1 - keep) * gain == pytest.approx(-1.0)
    assert gain > 1.0


@pytest.mark.parametrize(
    "period_s, seen, limit",
    [
        (1.0, [0.0, 1.0], 2.7097),  # one value late
        (0.1, [1.0 / 20] * 20, 7.6165),  # the mean of two seconds
        (5.0, [0.5, 0.5], 2.2222),  # the mean of two values, seldom
    ],
)
@pytest.mark.parametrize("share", [0.97, 1.03])
def test_meters_that_are_late_or_average_move_the_limit(period_s, seen, limit, share):
    """What the unit sees is a weighted sum of its last voltages; the limits stand in chapter 3."""
    step = response(period_s, 5.0)
    past = np.ones(len(seen))  # the newest error first
    for _ in range(4000):
        past = np.r_[past[0] - step * (past[0] + share * limit * (past @ seen)), past[:-1]]
    assert (np.abs(past).max() < 1.0) == (share < 1.0)


# One slope everywhere: the linear theory holds at every size.
SQUARE = Curve(x_pu=(0.5, 1.5), y_pu=(0.5, -0.5), olrt_s=5.0)


@pytest.mark.parametrize("period_s", [1.0, 5.0])
@pytest.mark.parametrize("share", [0.95, 1.05])
def test_one_unit_on_a_street_swings_out_below_the_largest_gain_only(share, period_s):
    gain = share * largest_gain(period_s, time_constant(5.0))
    s_kva = gain * 160 / 0.1  # X is 0.1 ohm: 0.1/160 pu for each kvar, and the slope is 1
    grid = tree(("root", "end", 0.0, 0.1))
    units = Units(buses=("end",), s_kva=s_kva, curve=SQUARE)
    assert loop_gain(SQUARE, coupling(grid, units).to_numpy()) == pytest.approx(gain)
    swings = np.abs(
        np.diff(
            simulate(
                grid, units, 0.0, period_s=period_s, t_end_s=20 * period_s, v0_pu=1.0001
            ).q_end_kvar
        )
    )
    assert (swings[-1] < swings[0]) == (share < 1)
    assert swings[5] / swings[4] == pytest.approx(
        abs(1 - (1 - 10 ** (-period_s / 5)) * (1 + gain)), rel=1e-2
    )


@pytest.mark.parametrize("share", [0.9, 1.1])
def test_several_units_on_a_street_follow_the_spectral_radius(share):
    """Three units, none of which alone would swing up."""
    buses = ("R15", "R17", "R18")
    limit = largest_gain(5.0, time_constant(5.0))
    one = Units(buses=buses, s_kva=(100.0, 70.0, 40.0), curve=SQUARE)
    x = coupling(STREET, one).to_numpy()
    factor = share * limit / loop_gain(SQUARE, x)
    assert factor * loop_gain(SQUARE, np.diag(np.diag(x))) < 0.7 * limit
    units = replace(one, s_kva=tuple(factor * s for s in one.s_kva))
    table = simulate(STREET, units, 0.0, period_s=5.0, t_end_s=150.0, v0_pu=1.0001)
    swings = table[[f"q_{bus}_kvar" for bus in buses]].diff().abs().max(axis=1).to_numpy()[1:]
    if share < 1:
        assert swings[-1] < 0.3 * swings[10]
    else:
        assert swings[-1] > 3 * swings[10]


def test_simulate_by_hand():
    """One step of the loop: measured without reactive power, then 90 % of the way to the answer."""
    units = Units(buses=("end",), s_kva=20.0, curve=VOLT_VAR["B"])
    table = simulate(TWO, units, [0.0, 28.0], [0.0, 1.0], period_s=5.0, t_end_s=10.0, v0_pu=1.01)
    assert table.index.tolist() == [0.0, 5.0, 10.0]
    assert table.index.name == "t_s"
    first = far_voltage(28.0, 1.0, v1_v=404.0, r_ohm=0.2, x_ohm=0.1) / 400.0
    q = 0.9 * 20.0 * VOLT_VAR["B"](first)
    second = far_voltage(28.0, 1.0 + q, v1_v=404.0, r_ohm=0.2, x_ohm=0.1) / 400.0
    assert table.v_end_pu.tolist()[:2] == pytest.approx([first, second], abs=1e-6)
    assert table.q_end_kvar.tolist() == pytest.approx(
        [0.0, q, q + 0.9 * (20.0 * VOLT_VAR["B"](second) - q)], abs=1e-3
    )


@pytest.mark.parametrize("s_kva", [30.0, 400.0])
def test_settled_units_rest_where_power_flow_says_and_scipy_agrees(s_kva):
    """Cars that give on a lightly loaded street; with large units the loop gain is above 1."""
    buses = ("R15", "R17", "R18")
    units = Units(buses=buses, s_kva=s_kva, curve=VOLT_VAR["B"])
    p = at_buses(STREET, dict.fromkeys(buses, 120.0)) - 0.2 * STREET.load_kw
    flow = power_flow(STREET, p, -0.2 * STREET.load_kvar, v0_pu=1.02, units=units, tol_pu=1e-9)
    v = flow.v_pu[[STREET.buses.index(bus) for bus in buses]]
    assert flow.q_units_kvar == pytest.approx(s_kva * VOLT_VAR["B"](v), abs=1e-3)
    assert flow.q_units_kvar.min() < -1.0
    end = simulate(
        STREET, units, p, -0.2 * STREET.load_kvar, v0_pu=1.02, period_s=0.5, t_end_s=60.0
    ).iloc[-1]
    assert end[[f"v_{bus}_pu" for bus in buses]].to_numpy() == pytest.approx(v, abs=1e-5)

    def gap(q):
        grid = power_flow(
            STREET,
            p,
            -0.2 * STREET.load_kvar + at_buses(STREET, dict(zip(buses, q))),
            v0_pu=1.02,
            tol_pu=1e-11,
        )
        return s_kva * VOLT_VAR["B"](grid.v_pu[[STREET.buses.index(bus) for bus in buses]]) - q

    assert root(gap, flow.q_units_kvar).x == pytest.approx(flow.q_units_kvar, abs=1e-3)
    assert (loop_gain(units.curve, coupling(STREET, units).to_numpy()) > 1) == (s_kva > 100)


def test_units_in_many_scenarios_equal_each_one_alone():
    rng = np.random.default_rng(31)
    units = Units(buses=("R16", "R18"), s_kva=(60.0, 40.0), curve=VOLT_VAR["A"])
    p = rng.uniform(-20, 20, (50, len(STREET.buses)))
    v0 = rng.uniform(0.93, 1.07, 50)
    together = power_flow(STREET, p, v0_pu=v0, units=units, tol_pu=1e-10)
    assert together.q_units_kvar.shape == (50, 2)
    for i in (0, 7, 49):
        alone = power_flow(STREET, p[i], v0_pu=v0[i], units=units, tol_pu=1e-10)
        assert alone.q_units_kvar == pytest.approx(together.q_units_kvar[i], abs=1e-5)
        assert alone.v_pu == pytest.approx(together.v_pu[i], abs=1e-8)


def test_a_loop_of_enormous_gain_still_finds_its_rest():
    """Beside a huge unit a small one moves in small steps; more sweeps are allowed for it."""
    units = Units(buses=("left", "far"), s_kva=(20_000.0, 50.0), curve=VOLT_VAR["B"])
    assert loop_gain(units.curve, coupling(FORK, units).to_numpy()) > 90
    p = at_buses(FORK, {"left": 50.0, "far": 30.0})
    flow = power_flow(FORK, p, units=units, tol_pu=1e-8)

    def gap(q):
        v = power_flow(FORK, p, at_buses(FORK, {"left": q[0], "far": q[1]}), tol_pu=1e-11).v_pu[
            [2, 4]
        ]
        return v - np.interp(
            q / np.array(units.s_kva), units.curve.y_pu[::-1], units.curve.x_pu[::-1]
        )

    rest = root(gap, [-60.0, -5.0], tol=1e-12)
    assert rest.success
    assert flow.q_units_kvar == pytest.approx(rest.x, abs=1e-2)


def test_units_of_a_failed_scenario_are_nan_too():
    flow = power_flow(
        TWO,
        [[0.0, -1e5], [0.0, 5.0]],
        units=Units(buses=("end",), s_kva=30.0, curve=VOLT_VAR["B"]),
        keep_going=True,
    )
    assert np.isnan(flow.q_units_kvar).tolist() == [[True], [False]]


def test_a_loop_at_rest_does_not_trip_over_rounding():
    """Started where it rests, no sweep shrinks the step any more."""
    rng = np.random.default_rng(2)
    for _ in range(12):
        n = int(rng.integers(5, 12))
        grid = tree(
            *((int(rng.integers(0, i)), i, *rng.uniform(0.01, 1.0, 2)) for i in range(1, n)),
            root=0,
            v_kv=1.0,
        )
        units = Units(buses=(n - 1,), s_kva=20.0, curve=VOLT_VAR["B"])
        table = simulate(
            grid,
            units,
            rng.normal(size=n) * 20,
            period_s=5.0,
            t_end_s=500.0,
            v0_pu=rng.uniform(0.95, 1.05),
        )
        assert table.iloc[-1].tolist() == pytest.approx(table.iloc[-2].tolist(), abs=1e-6)


def test_volt_var_pulls_voltages_towards_nominal_from_both_sides():
    units = Units(buses=("far",), s_kva=40.0, curve=VOLT_VAR["B"])
    for sign in (-1.0, 1.0):
        p = at_buses(FORK, {"far": sign * 25.0})
        without, with_units = (power_flow(FORK, p, units=u).v_pu[4] - 1 for u in (None, units))
        assert 0 < sign * with_units < sign * without


# --------------------------------------------------------------------------------------- bad inputs

ROW = ("root", "end", 0.2, 0.1)
LOADS = pd.DataFrame({"bus": ["end"], "load_kw": [5.0], "load_kvar": [1.0]})
UNITS = Units(buses=("end",), s_kva=30.0, curve=VOLT_VAR["B"])
RISING = Curve(x_pu=(0.9, 1.1), y_pu=(-0.1, 0.1), olrt_s=5.0)

BAD = {
    "loop": (
        lambda: tree(ROW, ("end", "c", 1.0, 0.0), ("c", "root", 1.0, 0.0)),
        "between buses '(c|end)' and '(c|end)' closes a loop",
    ),
    "island": (
        lambda: tree(ROW, ("c", "d", 1.0, 0.0)),
        "no line connects the root 'root' with 'c', 'd'",
    ),
    "island far away": (
        lambda: tree(ROW, *((i, i + 1, 1.0, 0.0) for i in range(9))),
        r"with 0, 1, 2, 3, 4, 5, \.\.\.$",
    ),
    "unknown root": (
        lambda: tree(ROW, root="top"),
        "root is 'top', but no line begins there; the buses are 'root', 'end'",
    ),
    "short circuit": (
        lambda: tree(("root", "end", 0.0, 0.0)),
        "between buses 'root' and 'end' has no impedance",
    ),
    "negative resistance": (
        lambda: tree(("root", "end", -0.1, 0.1)),
        "column r_ohm of lines is -0.1",
        "at least 0",
    ),
    "negative reactance": (
        lambda: tree(("root", "end", 0.1, -0.1)),
        "column x_ohm of lines is -0.1",
        "at least 0",
    ),
    "line twice": (lambda: tree(ROW, ROW), "between buses 'root' and 'end' twice"),
    "line there and back": (
        lambda: tree(ROW, ("end", "root", 0.3, 0.1)),
        "between buses 'end' and 'root' twice",
    ),
    "line to itself": (
        lambda: tree(ROW, ("end", "end", 0.3, 0.1)),
        "a line from bus 'end' to itself",
    ),
    "column missing": (
        lambda: replace(TWO, lines=TWO.lines.drop(columns="x_ohm")),
        "lines has no column x_ohm; it has from, to, r_ohm",
    ),
    "unknown impedance": (
        lambda: tree(("root", "end", NAN, 0.1)),
        "column r_ohm of lines contains NaN",
    ),
    "unknown bus name": (
        lambda: tree(ROW, ("end", NAN, 0.2, 0.1)),
        "column to of lines is nan",
        "text or a whole number",
    ),
    "bus named by a fraction": (
        lambda: tree(ROW, ("end", 1.5, 0.2, 0.1)),
        "column to of lines is 1.5",
    ),
    "bus named by a truth": (lambda: tree(("root", True, 0.2, 0.1)), "column to of lines is True"),
    "no lines": (lambda: tree(), "column r_ohm of lines is empty"),
    "negative limit": (
        lambda: replace(TWO, lines=TWO.lines.assign(limit_a=-5.0)),
        "column limit_a of lines is -5",
    ),
    "no voltage": (lambda: replace(TWO, v_kv=0.0), "v_kv is 0 kV", "above 0"),
    "loads without reactive": (
        lambda: tree(ROW, loads=LOADS.drop(columns="load_kvar")),
        "loads has no column load_kvar",
    ),
    "loads as injections": (
        lambda: tree(ROW, loads=LOADS.assign(load_kw=-5.0)),
        "column load_kw of loads is -5",
        "at least 0",
    ),
    "load nowhere": (
        lambda: tree(ROW, loads=LOADS.assign(bus="nowhere")),
        "there is no bus 'nowhere'; the buses are 'root', 'end'",
    ),
    "load twice": (
        lambda: tree(ROW, loads=pd.concat([LOADS, LOADS])),
        "loads names bus 'end' twice",
    ),
    "unknown feeder": (
        lambda: feeder("nowhere"),
        "name is 'nowhere'; it must be one of 'baran-wu-33'",
    ),
    "value nowhere": (lambda: at_buses(TWO, {"nowhere": 1.0}), "there is no bus 'nowhere'"),
    "value unknown": (lambda: at_buses(TWO, {"end": NAN}), "value at bus 'end' contains NaN"),
    "wrong number of buses": (
        lambda: power_flow(TWO, [1.0, 2.0, 3.0]),
        "p_kw has 3 values on its last axis, but the feeder has 2 buses",
    ),
    "wrong number of buses in q": (lambda: power_flow(TWO, 0.0, [1.0]), "q_kvar has 1 values"),
    "scenarios do not fit": (
        lambda: power_flow(TWO, np.zeros((3, 2)), v0_pu=np.ones(4)),
        r"without buses the shapes are {'v0_pu': \(4,\), 'p_kw': \(3,\)",
    ),
    "unknown power": (lambda: power_flow(TWO, [0.0, NAN]), "p_kw contains NaN"),
    "unknown impedance power": (lambda: power_flow(TWO, 0.0, z_kvar=NAN), "z_kvar contains NaN"),
    "infinite power": (lambda: power_flow(TWO, 0.0, [0.0, np.inf]), "q_kvar is infinite"),
    "no source": (lambda: power_flow(TWO, 0.0, v0_pu=0.0), "v0_pu is 0 pu", "above 0"),
    "tolerance below rounding": (
        lambda: power_flow(TWO, 0.0, tol_pu=1e-15),
        "tol_pu is 1e-15 pu",
        "at least 1e-12",
    ),
    "units nowhere": (
        lambda: power_flow(TWO, 0.0, units=replace(UNITS, buses=("x",))),
        "there is no bus 'x'",
    ),
    "no units": (lambda: replace(UNITS, buses=()), "a list of different buses"),
    "units as text": (
        lambda: replace(UNITS, buses="end"),
        "buses is 'end'",
        "a list of different buses",
    ),
    "two units at a bus": (
        lambda: replace(UNITS, buses=("end", "end")),
        "a list of different buses",
    ),
    "ratings do not fit": (
        lambda: replace(UNITS, s_kva=[1.0, 2.0]),
        r"s_kva has the shape \(2,\), but buses has 1 entries",
    ),
    "negative rating": (lambda: replace(UNITS, s_kva=-1.0), "s_kva is -1 kVA"),
    "curve that rises": (lambda: replace(UNITS, curve=RISING), "must not rise anywhere"),
    "no curve": (lambda: replace(UNITS, curve="B"), "curve is 'B'"),
    "points not ordered": (
        lambda: Curve(x_pu=(1.0, 0.9), y_pu=(0.0, 0.1), olrt_s=5.0),
        r"\(1.0, 0.9\): a curve whose points are not ordered",
    ),
    "curve that jumps": (
        lambda: Curve(x_pu=(0.9, 1.0, 1.0), y_pu=(0.1, 0.1, 0.0), olrt_s=5.0),
        "the curve jumps",
    ),
    "curve of one point": (lambda: Curve(x_pu=(0.9,), y_pu=(0.1,), olrt_s=5.0), "two or more"),
    "curve with a point too many": (
        lambda: Curve(x_pu=(0.9, 1.0), y_pu=(0.1, 0.0, 0.0), olrt_s=5.0),
        "x_pu has 2 points and y_pu 3",
    ),
    "instant curve": (
        lambda: Curve(x_pu=(0.9, 1.0), y_pu=(0.1, 0.0), olrt_s=0.0),
        "olrt_s is 0 s",
        "above 0",
    ),
    "unknown point": (
        lambda: Curve(x_pu=(0.9, NAN), y_pu=(0.1, 0.0), olrt_s=1.0),
        "x_pu contains NaN",
    ),
    "unknown voltage": (lambda: VOLT_VAR["B"](NAN), "x_pu contains NaN"),
    "category": (lambda: required_q("III", 0.5), "category is 'III'; it must be one of 'A', 'B'"),
    "power in per cent": (lambda: required_q("A", 50.0), "p_pu is 50", "at most 1"),
    "charging power": (lambda: required_q("A", -0.5), "p_pu is -0.5", "at least 0"),
    "voltage of nothing": (lambda: inverter_power(UNIT, 10.0, 0.0), "v_pu is 0 pu", "above 0"),
    "response time": (lambda: time_constant(0.0), "olrt_s is 0 s"),
    "time before the step": (lambda: response(-1.0, 5.0), "t_s is -1 s"),
    "rising operating point": (
        lambda: operating_point(RISING, v0_pu=1.0, r_pu=0.1, x_pu=0.1, p_pu=0.0),
        "must not rise",
    ),
    "negative reactance of the loop": (
        lambda: operating_point(VOLT_VAR["B"], v0_pu=1.0, r_pu=0.1, x_pu=-0.1, p_pu=0.0),
        "x_pu is -0.1 pu",
    ),
    "negative resistance of the loop": (
        lambda: operating_point(VOLT_VAR["B"], v0_pu=1.0, r_pu=-0.1, x_pu=0.1, p_pu=0.0),
        "r_pu is -0.1 pu",
    ),
    "no source for the loop": (
        lambda: operating_point(VOLT_VAR["B"], v0_pu=0.0, r_pu=0.1, x_pu=0.1, p_pu=0.0),
        "v0_pu is 0 pu",
    ),
    "gain of a list": (
        lambda: loop_gain(VOLT_VAR["B"], [0.1, 0.2]),
        r"shape \(2,\)",
        "square matrix",
    ),
    "gain of no square": (lambda: loop_gain(VOLT_VAR["B"], np.ones((2, 3))), r"shape \(2, 3\)"),
    "gain of a rising curve": (lambda: loop_gain(RISING, 0.1), "must not rise"),
    "negative coupling": (lambda: loop_gain(VOLT_VAR["B"], -0.1), "x_pu is -0.1 pu"),
    "no period": (lambda: largest_gain(0.0, 1.0), "period_s is 0 s"),
    "no time constant": (lambda: largest_gain(1.0, 0.0), "tau_s is 0 s"),
    "simulate for no time": (
        lambda: simulate(TWO, UNITS, 0.0, period_s=5.0, t_end_s=1.0),
        "t_end_s is 1 s",
        "at least one period_s, which is 5 s",
    ),
    "simulate without period": (
        lambda: simulate(TWO, UNITS, 0.0, period_s=0.0, t_end_s=1.0),
        "period_s is 0 s",
    ),
    "simulate many at once": (
        lambda: simulate(TWO, UNITS, np.zeros((3, 2)), period_s=1.0, t_end_s=5.0),
        r"one scenario.*\(3,\)",
    ),
    "simulate without source": (
        lambda: simulate(TWO, UNITS, 0.0, period_s=1.0, t_end_s=5.0, v0_pu=0.0),
        "v0_pu is 0 pu",
    ),
    "line without impedance": (
        lambda: voltage_rise(1.0, v1_v=400.0, r_ohm=0.0, x_ohm=0.0),
        "both 0",
        "same voltage at both ends",
    ),
    "negative resistance of one line": (
        lambda: far_voltage(1.0, v1_v=400.0, r_ohm=-0.1, x_ohm=0.1),
        "r_ohm is -0.1 ohm",
    ),
    "negative reactance of one line": (
        lambda: far_voltage(1.0, v1_v=400.0, r_ohm=0.1, x_ohm=-0.1),
        "x_ohm is -0.1 ohm",
    ),
    "no voltage at the near end": (
        lambda: far_voltage(1.0, v1_v=0.0, r_ohm=0.1, x_ohm=0.1),
        "v1_v is 0 V",
    ),
    "unknown reactive power": (lambda: voltage_rise(1.0, NAN, **LINE), "q_kvar contains NaN"),
    "no direction": (lambda: largest_kva(0.0, **LINE), "both 0", "direction"),
    "powers that do not fit": (
        lambda: voltage_rise([1.0, 2.0], [1.0, 2.0, 3.0], **LINE),
        r"p_kw \(2,\), q_kvar \(3,\)",
    ),
    "huge power": (lambda: far_voltage(1e29, **LINE), r"p_kw is 1e\+29 kW", "at most"),
    "huge voltage": (lambda: largest_kva(1.0, **{**LINE, "v1_v": 1e29}), "v1_v is"),
    "table of text": (lambda: replace(TWO, lines="grid.csv"), "lines is 'grid.csv'", "a table"),
    "table of nothing": (lambda: replace(TWO, lines=None), "lines is None", "a table"),
    "table of uneven columns": (
        lambda: replace(TWO, lines={"from": ["a"], "to": ["b", "c"]}),
        "lines cannot be read as a table",
    ),
    "table without rows": (
        lambda: replace(TWO, lines=TWO.lines.iloc[:0]),
        "column r_ohm of lines is empty",
    ),
    "column twice": (
        lambda: replace(TWO, lines=pd.concat([TWO.lines, TWO.lines.r_ohm], axis=1)),
        "lines has two columns of the same name",
    ),
    "impedance as text": (
        lambda: replace(TWO, lines=TWO.lines.assign(r_ohm="0.2")),
        "column r_ohm of lines must be a number",
    ),
    "root in a list": (lambda: replace(TWO, root=["root"]), "root is a list", "named by text"),
    "several nominal voltages": (lambda: replace(TWO, v_kv=[0.4, 0.4]), "v_kv has shape"),
    "no feeder": (lambda: power_flow("street", 0.0), "feeder is 'street'", "voltage.Feeder"),
    "sensitivity of no feeder": (lambda: sensitivity([TWO]), "feeder is a list"),
    "values in a list": (lambda: at_buses(TWO, [1.0, 2.0]), "values is a list", "dict"),
    "values that do not fit": (
        lambda: at_buses(FORK, {"far": [1.0, 2.0], "left": [1.0, 2.0, 3.0]}),
        r"value at bus 'far' \(2,\), value at bus 'left' \(3,\)",
    ),
    "root in per cent": (
        lambda: power_flow(TWO, 0.0, v0_pu=100.0),
        "v0_pu is 100; it must be at most 1.5",
        "per cent",
    ),
    "root in volts": (
        lambda: simulate(TWO, UNITS, 0.0, period_s=1.0, t_end_s=5.0, v0_pu=400.0),
        "v0_pu is 400",
        "at most 1.5",
    ),
    "root far too low": (
        lambda: operating_point(VOLT_VAR["B"], v0_pu=0.1, r_pu=0.1, x_pu=0.1, p_pu=0.0),
        "v0_pu is 0.1 pu",
        "at least 0.5",
    ),
    "voltage in per cent": (lambda: inverter_power(UNIT, 10.0, 108.0), "v_pu is 108", "per cent"),
    "curve in per cent": (
        lambda: Curve(x_pu=(92.0, 108.0), y_pu=(0.44, -0.44), olrt_s=5.0),
        "x_pu is 92",
        "per cent",
    ),
    "answers in per cent": (
        lambda: Curve(x_pu=(0.92, 1.08), y_pu=(44.0, -44.0), olrt_s=5.0),
        "y_pu is -44",
        "per cent",
    ),
    "curve asked in per cent": (lambda: VOLT_VAR["B"](105.0), "x_pu is 105", "per cent"),
    "curve of a single number": (
        lambda: Curve(x_pu=1.0, y_pu=0.0, olrt_s=5.0),
        r"x_pu has shape \(\)",
    ),
    "several response times": (
        lambda: Curve(x_pu=(0.9, 1.1), y_pu=(0.1, -0.1), olrt_s=[5.0, 10.0]),
        "olrt_s has shape",
    ),
    "going on with a number": (
        lambda: power_flow(TWO, 0.0, keep_going=1),
        "keep_going is 1",
        "True or False",
    ),
    "tolerance of everything": (lambda: power_flow(TWO, 0.0, tol_pu=1.0), "tol_pu is 1 pu"),
    "units in a list": (lambda: power_flow(TWO, 0.0, units=[UNITS]), "units is a list"),
    "units without end": (
        lambda: power_flow(TWO, 0.0, units=replace(UNITS, s_kva=1e7)),
        "the units have a loop gain of",
        "s_kva too large",
    ),
    "a bus that is no name": (lambda: replace(UNITS, buses=(1.5,)), r"buses\[0\] is 1.5"),
    "one bus without a list": (lambda: replace(UNITS, buses=7), "buses is 7", "a list"),
    "volt-var by its name": (
        lambda: inverter_power(UNIT, 10.0, 1.0, volt_var="B"),
        "volt_var is 'B'",
        "voltage.Curve",
    ),
    "volt-watt by its name": (
        lambda: inverter_power(UNIT, 10.0, 1.0, volt_watt="B"),
        "volt_watt is 'B'",
    ),
    "no charger": (lambda: inverter_power(30.0, 10.0, 1.0), "charger is 30.0", "charger.Charger"),
    "volt-var of no category": (
        lambda: VOLT_VAR["C"],
        "category is 'C'; it must be one of 'A', 'B'",
    ),
    "watt-var of no category": (lambda: WATT_VAR["b"], "category is 'b'"),
    "resistances of many loops": (
        lambda: operating_point(VOLT_VAR["B"], v0_pu=1.0, r_pu=[0.1, 0.2], x_pu=0.1, p_pu=0.0),
        "r_pu has shape",
    ),
    "too many measurements": (
        lambda: simulate(TWO, UNITS, 0.0, period_s=1e-3, t_end_s=1e6),
        "t_end_s is 1e\\+06",
        "steps",
    ),
    "times that do not fit": (
        lambda: response([1.0, 2.0], [1.0, 2.0, 3.0]),
        r"t_s \(2,\), olrt_s \(3,\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words(name):
    call, *words = BAD[name]
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    for word in words:
        assert re.search(word, str(error.value)), str(error.value)


def test_simulate_says_so_when_the_street_cannot_carry_it():
    with pytest.raises(NoSolution, match="no solution"):
        simulate(TWO, UNITS, [0.0, -1000.0], period_s=1.0, t_end_s=5.0)
    assert issubclass(NoSolution, ArithmeticError)
    assert issubclass(NoSolution, ValueError)  # as what far_voltage says beyond the nose
