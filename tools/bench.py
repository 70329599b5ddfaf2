"""Measure what the course promises about speed: `python run.py bench [--no-browser]`.

It prints and never judges. Targets are for two ordinary cores that do nothing else.
"""

import argparse
import ast
import asyncio
import contextlib
import functools
import io
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import browser
from needed_cells import until_explorer

from v2gbook import (
    agc,
    arbitrage,
    charger,
    classroom,
    csms,
    data,
    degradation,
    fleet,
    frequency,
    inverter,
    voltage,
)
from v2gbook.classroom import presets


def seconds(work, times):
    """How long each of some calls of `work` took, after one that does not count. [s]"""
    work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return taken


def median_s(work, times):
    """The median of `seconds`. [s]"""
    return statistics.median(seconds(work, times))


def tell(what, measured, target="-"):
    """One line of the table."""
    print(f"{what:<46}{measured:>18}   {target}", flush=True)


def spread(times_ms):
    """Median and 95th percentile as text."""
    return f"{statistics.median(times_ms):.1f} / {statistics.quantiles(times_ms, n=20)[-1]:.1f} ms"


def models():
    """One 20 s transient and 1,000 of them.

    Governors, cars with dead time, load shedding, 20 ms steps.
    """
    region = presets.current()
    system = region.frequency
    grid = frequency.Grid(
        f0_hz=region.f0_hz,
        **{name: system[name] for name in ("kinetic_energy_mws", "load_mw", "damping_load_pu")},
    )
    governor = frequency.Governor(
        rating_mw=0.8 * grid.load_mw, headroom_mw=0.08 * grid.load_mw, **system["governor"]
    )
    service = frequency.Service(**system["services"][system["ev_service"]])
    cars = functools.partial(frequency.EvFleet, service=service, delay_s=0.3, ramp_s=0.2)
    ufls = frequency.Ufls(**{name: system["ufls"][name] for name in ("f_hz", "shed", "delay_s")})

    resources = [
        governor,
        cars(p_up_mw=400.0, p_down_mw=400.0, energy_up_mwh=400.0, energy_down_mwh=400.0),
    ]
    loss = [frequency.Loss(p_mw=2.0 * system["loss_mw"])]
    one = seconds(lambda: frequency.simulate(grid, loss, resources, ufls), 30)
    core = seconds(lambda: frequency._integrate(grid, loss, resources, ufls, 20.0, 0.02, None), 30)
    tell("one transient of 20 s, median", f"{1000 * statistics.median(one):.1f} ms", "<= 5 ms")
    tell("  the same without checks and table", f"{1000 * statistics.median(core):.1f} ms")

    power_mw = np.linspace(0.0, 1000.0, 1000)
    losses = [frequency.Loss(p_mw=np.linspace(100.0, 4.0 * system["loss_mw"], 1000))]
    fleets = [
        governor,
        cars(p_up_mw=power_mw, p_down_mw=power_mw, energy_up_mwh=400.0, energy_down_mwh=400.0),
    ]
    many = seconds(lambda: frequency.sweep(grid, losses, fleets, ufls), 3)
    tell("1,000 transients of 20 s, median", f"{statistics.median(many):.2f} s", "<= 0.3 s")


def schedules():
    """A car's day, beside the same day in cvxpy.

    1,000 cars behind one limit; a year; and what a step of a million batteries takes.
    """
    box = presets.current().charger
    vehicle = charger.Vehicle(**{name: box[name] for name in charger.Vehicle.__dataclass_fields__})
    wall = charger.Charger(**box["dc"])
    car = charger.linear_storage(vehicle, wall, charge_kw=8.0, discharge_kw=8.0)
    rng = np.random.default_rng(8)

    def prices(steps):
        return arbitrage.Prices(
            dt_h=0.25,
            buy_per_kwh=0.12
            + 0.06 * np.sin(np.arange(steps) * 2 * np.pi / 96 + 3)
            + rng.normal(0, 0.01, steps),
        )

    day, diary = (
        prices(96),
        arbitrage.Diary(soc_start=0.5, plugged=np.ones(96), soc_departure=np.r_[np.zeros(95), 0.5]),
    )
    ours = seconds(lambda: arbitrage.optimise(car, diary, day, wear_per_kwh=0.05), 50)
    tell("a schedule of 96 steps, median", f"{1000 * statistics.median(ours):.1f} ms", "<= 4 ms")
    try:
        tell(
            "  the same in cvxpy with HiGHS",
            f"{1000 * statistics.median(seconds(lambda: in_cvxpy(car, day), 10)):.1f} ms",
        )
    except ImportError:
        tell("  the same in cvxpy with HiGHS", "not installed")

    n, k = 1000, np.arange(96)
    come = rng.integers(0, 48, n)
    go = np.minimum(96, come + rng.integers(24, 72, n))
    fleet = charger.Storage(
        energy_kwh=rng.choice([40.0, 60.0, 77.0], n),
        soc_min=0.1,
        soc_max=0.95,
        p_charge_kw=10.0,
        p_discharge_kw=10.0,
        eta_charge=rng.uniform(0.9, 0.96, n),
        eta_discharge=0.93,
    )
    start = rng.uniform(0.2, 0.6, n)
    leave = np.minimum(
        0.9,
        start + 2.25 * fleet.eta_charge * (go - come) / fleet.energy_kwh * rng.uniform(0.3, 0.8, n),
    )
    stays = arbitrage.Diary(
        soc_start=start,
        plugged=((k >= come[:, None]) & (k < go[:, None])).astype(float),
        soc_departure=np.where(k == go[:, None] - 1, leave[:, None], 0.0),
    )
    for limit_kw in (6000.0, 2000.0):
        site = arbitrage.Site(import_limit_kw=limit_kw)
        work = functools.partial(arbitrage.optimise, fleet, stays, day, site, wear_per_kwh=0.02)
        tell(
            f"1,000 cars x 96 steps, {limit_kw / n:g} kW a car shared",
            f"{median_s(work, 3):.1f} s",
            "<= 2.5 s",
        )

    year = prices(35_040)
    life = arbitrage.commuter(
        pd.date_range("2023-01-01", periods=35_040, freq="15min"),
        car,
        drive_kwh=8.0,
        leave_h=7.5,
        back_h=17.5,
        spread_h=0.5,
        soc_departure=0.8,
        rng=rng,
    )
    taken = seconds(lambda: arbitrage.optimise(car, life, year, wear_per_kwh=0.05), 2)
    tell("a year of quarter hours, 35,040 steps", f"{statistics.median(taken):.1f} s", "seconds")
    plan = arbitrage.optimise(car, life, year, wear_per_kwh=0.05)
    aged = seconds(
        lambda: degradation.Xu().loss(
            degradation.Profile(soc=plan.soc, dt_h=0.25, temp_c=20.0), 8.0
        ),
        3,
    )
    tell("  and its ageing, rainflow included", f"{1000 * statistics.median(aged):.0f} ms")
    many = charger.Vehicle(
        **{
            **{name: box[name] for name in charger.Vehicle.__dataclass_fields__},
            "energy_kwh": np.full(1_000_000, 60.0),
        }
    )
    socs, wish = rng.uniform(0.2, 0.9, 1_000_000), rng.uniform(-10, 10, 1_000_000)
    taken = seconds(lambda: charger.step(many, wall, socs, wish, 0.25), 3)
    tell("one exact step of a million batteries", f"{statistics.median(taken):.2f} s")


def streets():
    """A year of quarter hours on 33 buses, beside the same in OpenDSS.

    A draw of the street; the loop in time.
    """
    grid, rng = voltage.feeder("baran-wu-33"), np.random.default_rng(3)
    share = rng.uniform(0.15, 1.0, (35_040, 1))
    p_kw, q_kvar = -share * grid.load_kw, -share * grid.load_kvar
    year = seconds(lambda: voltage.power_flow(grid, p_kw, q_kvar), 5)
    tell(
        "a year on a feeder: 35,040 steps x 33 buses",
        f"{statistics.median(year):.2f} s",
        "<= 0.2 s",
    )
    try:
        tell(
            "  the same in OpenDSS, from 500 steps",
            f"{median_s(lambda: in_opendss(grid, share[:500, 0]), 2) * 35_040 / 500:.1f} s",
        )
    except ImportError:
        tell("  the same in OpenDSS", "not installed")

    street = voltage.feeder("cigre-lv-residential")
    units = voltage.Units(buses=("R15", "R18"), s_kva=50.0, curve=voltage.VOLT_VAR["B"])
    cars_kw = voltage.at_buses(street, {"R15": -20.0, "R18": -20.0}) - 0.5 * street.load_kw
    for what, work in (
        ("one power flow of a street", lambda: voltage.power_flow(street, cars_kw)),
        ("  with volt-var", lambda: voltage.power_flow(street, cars_kw, units=units)),
        (
            "  60 s of its loop in time",
            lambda: voltage.simulate(street, units, cars_kw, period_s=1.0, t_end_s=60.0),
        ),
    ):
        tell(what, spread([1000 * s for s in seconds(work, 40)]), "<= 16 ms")


def control_rooms():
    """Ten minutes of two areas with AGC; a month of the signal for one fleet and for a hundred."""
    plant = agc.Unit(name="plant", share=1.0, low_mw=-500.0, high_mw=500.0, ramp_mw_per_min=40.0)
    room = agc.Agc(bias_mw_per_hz=3500.0, units=(plant,), ki_per_s=0.01)
    pair = [
        agc.Area(
            name=name,
            rating_mw=10_000.0,
            inertia_s=5.0,
            damping_rating_pu=1.0,
            droop_pu=0.05,
            agc=room,
        )
        for name in ("one", "two")
    ]
    tie = agc.Tie(between=("one", "two"), stiffness_mw_per_rad=3000.0, damping_mw_per_hz=500.0)
    lost = [agc.AreaLoss(area="one", t_s=10.0, p_mw=300.0)]
    run = seconds(
        lambda: agc.simulate(pair, lost, [tie], f0_hz=presets.current().f0_hz, t_end_s=600.0), 9
    )
    tell("10 min of two areas with AGC, 0.1 s steps", spread([1000 * s for s in run]))
    month = agc.regulation_signal(720.0, rng=np.random.default_rng(2))
    for what, energy_mwh in (
        ("a month of 4 s signal, one fleet", 2.0),
        ("  a day of it, 100 fleets", np.linspace(0.5, 6.0, 100)),
    ):
        fleet = agc.Fleet(
            p_mw=1.0,
            energy_mwh=energy_mwh,
            soc=0.5,
            eta_charge=0.93,
            eta_discharge=0.93,
            soc_min=0.1,
            soc_max=0.9,
        )
        part = month if np.ndim(energy_mwh) == 0 else month[:21_600]
        work = functools.partial(agc.follow, part, fleet, dt_s=4.0)
        tell(what, f"{median_s(work, 3):.2f} s", "seconds")


def converters():
    """A follower and a former through one second, and the eigenvalues of the follower."""
    units = {
        "follower": inverter.GridFollowing(
            p_pu=0.5, droop_pu=0.05, pll=inverter.pll_gains(0.04, 0.7, 0.05)
        ),
        "former": inverter.GridForming(
            p_pu=0.5, droop_pu=0.05, filter_rad_per_s=10.0, x_pu=0.15, i_max_pu=1.2
        ),
    }
    jump, f0_hz = (
        inverter.Disturbance(jump_deg=-10.0, rocof_hz_per_s=-1.0, ramp_s=0.5),
        presets.current().f0_hz,
    )
    for name, unit in units.items():
        run = seconds(lambda: inverter.simulate(unit, 3.0, jump, f0_hz=f0_hz, dt_s=0.01), 40)  # noqa: B023
        tell(
            f"one second of a {name} behind a line",
            spread([1000 * s for s in run]),
            "<= 16 ms for both and a figure",
        )
    tell(
        "  eigenvalues of the follower",
        spread(
            [
                1000 * s
                for s in seconds(
                    lambda: inverter.eigenvalues(units["follower"], 3.0, f0_hz=f0_hz), 40
                )
            ]
        ),
    )


def messages():
    """A set-point a second to 1, 50 and 500 charge points, and as many set-points as it can.

    Central system and charge points run in this one process.
    """
    for cars in (1, 50, 500):
        done = asyncio.run(
            csms.measure(cars, rate_per_s=1.0, duration_s=5.0, rng=np.random.default_rng(6))
        )
        p50, p99 = done.latency_s.quantile([0.5, 0.99])
        tell(
            f"{cars} charge points, a set-point a second, p50 / p99",
            f"{1000 * p50:.0f} / {1000 * p99:.0f} ms",
            "p99 <= 830 ms" if cars == 500 else "-",
        )
    done = asyncio.run(
        csms.measure(500, rate_per_s=4.0, duration_s=2.5, rng=np.random.default_rng(6))
    )
    busy_s = (done.t_s + done.latency_s).max()
    tell(
        "  500 charge points, as fast as it goes",
        f"{len(done) / busy_s:.0f} calls/s",
        "876 to 1,265",
    )


def crowds():
    """A day of a million cars, a signal shared out to a real day's cars, a joint reliability."""
    car = charger.Storage(
        energy_kwh=60.0,
        soc_min=0.1,
        soc_max=1.0,
        p_charge_kw=8.0,
        p_discharge_kw=8.0,
        eta_charge=0.94,
        eta_discharge=0.93,
    )
    year = fleet.stays(data.sessions("jpl", "2019-05-01", "2020-03-01"), car, soc_departure=0.9)
    day = fleet.Scenario(cars=year, command=np.sin(np.arange(96) / 3), seed=10, presence=0.8)
    taken = statistics.median(seconds(lambda: fleet.simulate(1_000_000, day), 3))
    tell("a million cars x 96 steps, one process", f"{96 / taken:.0f} M EV-steps/s", ">= 100 M")
    today = fleet.stays(data.sessions("jpl", "2019-10-01", "2019-10-02"), car, soc_departure=0.9)
    signal = 150.0 * np.sin(np.arange(124) / 3) - 40.0
    for rule in ("proportional", "urgency", "optimal"):
        work = functools.partial(fleet.disaggregate, today, signal, rule)
        tell(
            f"a signal to {len(today)} cars x 124 steps, {rule}",
            f"{1000 * median_s(work, 5):.0f} ms",
        )
    for cars in (100, 1000):
        work = functools.partial(fleet.firm_joint, cars, 0.7, 0.9, steps=16, persistence=0.9)
        taken = seconds(work, 5)
        tell(
            f"{cars:,} cars firm through 16 steps, exact",
            f"{1000 * statistics.median(taken):.0f} ms",
        )


def in_opendss(grid, shares):
    """Power flows of a feeder whose loads all follow one share, by OpenDSS."""
    import opendssdirect as dss

    say = dss.Text.Command
    say("Clear")
    say(f"New Circuit.feeder bus1=b0 basekv={grid.v_kv} pu=1.0 phases=3 MVAsc3=1e12 MVAsc1=1e12")
    for bus, up in grid.path:
        r, x = float(grid.z_ohm[bus].real), float(grid.z_ohm[bus].imag)
        say(
            f"New Line.l{bus} bus1=b{up} bus2=b{bus} phases=3 length=1 "
            f"r1={r!r} x1={x!r} r0={r!r} x0={x!r} c1=0 c0=0"
        )
    for bus in np.flatnonzero(grid.load_kw):
        say(
            f"New Load.d{bus} bus1=b{bus} phases=3 kv={grid.v_kv} kw={grid.load_kw[bus]} "
            f"kvar={grid.load_kvar[bus]} model=1 vminpu=0.1 vmaxpu=3"
        )
    say("Set tolerance=1e-6")
    for share in shares:
        dss.Solution.LoadMult(float(share))
        dss.Solution.Solve()
        dss.Circuit.AllBusMagPu()


def in_cvxpy(car, prices):
    """The 96-step schedule written with cvxpy and solved by HiGHS through SciPy."""
    import cvxpy as cp

    charge = cp.Variable(96, nonneg=True)
    give = cp.Variable(96, nonneg=True)
    soc = cp.Variable(96)
    before = cp.hstack([0.5, soc[:-1]])
    rules = [
        soc
        == before + 0.25 / car.energy_kwh * (car.eta_charge * charge - give / car.eta_discharge),
        soc >= car.soc_min,
        soc <= car.soc_max,
        soc[-1] >= 0.5,
        charge <= car.p_charge_kw,
        give <= car.p_discharge_kw,
    ]
    cost = 0.25 * prices.buy_per_kwh @ (charge - give) + 0.05 * 0.25 / car.eta_discharge * cp.sum(
        give
    )
    return cp.Problem(cp.Minimize(cost), rules).solve(solver=cp.SCIPY)


def explorers(path):
    """What a chapter hands to `explore`, as (draw, controls), from running its cells here."""
    found = []
    notebook, explore = nbformat.read(path, as_version=4), classroom.explore
    classroom.explore = lambda draw, *, alt, caption="", play=None, positions=None, **controls: (
        found.append((draw, controls))
    )
    names, loop = {}, asyncio.new_event_loop()
    os.environ["JPY_SESSION_NAME"] = str(path)
    try:
        with contextlib.chdir(path.parent), contextlib.redirect_stdout(io.StringIO()):
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    waits = eval(
                        compile(
                            cell.source,
                            f"{path.name}, cell {cell.id}",
                            "exec",
                            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                        ),
                        names,
                    )
                    if waits is not None:
                        loop.run_until_complete(waits)
    finally:
        classroom.explore = explore
        loop.close()
    return found


def anywhere(control, rng):
    """Some value that a control can take."""
    if control.options:
        return rng.choice(control.options)
    return control.low + control.step * rng.randint(
        0, round((control.high - control.low) / control.step)
    )


def draw_next(draw, settings):
    """Draw at the next of some settings."""
    return draw(**next(settings))


def compute(path):
    """Model and figure of each explorer in a chapter, at 100 settings."""
    rng = random.Random(1)
    for draw, controls in explorers(path):
        settings = [
            {name: anywhere(control, rng) for name, control in controls.items()} for _ in range(101)
        ]
        taken = seconds(functools.partial(draw_next, draw, iter(settings)), 100)
        tell(
            f"{path.stem}: explorer's draw, p50 / p95",
            spread([1000 * one for one in taken]),
            "p95 <= 16 ms; with an LP 60 ms",
        )


def paint(paths):
    """Key press to painted plot for the first explorer of each chapter, in JupyterLab.

    With its parts, and the floor: the same without a kernel.
    """
    try:
        browser.find()
    except FileNotFoundError as missing:
        tell("slider to paint", "Chromium missing", str(missing))
        return
    with tempfile.TemporaryDirectory() as folder, browser.desk(folder, 1366, 768) as desk:
        for path in paths:
            with desk.notebook(f"chapters/{path.name}") as notebook:
                notebook.run_all()
                try:
                    paint_one(path.stem, notebook.explorer())
                except (
                    Exception
                ) as trouble:  # one explorer that dies leaves the others to be measured
                    tell(f"{path.stem}: slider to paint", "failed", str(trouble).splitlines()[0])


def paint_one(name, explorer, presses=40):
    """Three lines of the table: floor, parts and total of one explorer."""
    explorer.key_to_paint_ms(6)  # warm
    total = explorer.key_to_paint_ms(presses)
    parts = ", ".join(
        f"{part} {statistics.median(taken):.0f}"
        for part, taken in explorer.parts_ms(presses).items()
    )
    tell(
        f"{name}: slider to paint, p50 / p95",
        spread(total),
        "60 / 100 ms where draw takes less than 16; else p95 200 ms",
    )
    tell("  of which, median", "", f"{parts} ms")
    tell("  floor: a bare Plotly.react, p50 / p95", spread(explorer.floor_ms()))


def starts(paths, times=20):
    """On a slow laptop: how many starts of an explorer show curves and follow the slider.

    The browser is throttled four times, and all cores are busy.
    Each start opens the chapter anew, with a new kernel. Of its code only those cells run that the
    explorer needs.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        browser.desk(folder, 1366, 768) as desk,
        browser.slow_laptop(desk.page),
    ):
        for path in paths:
            notebook = nbformat.read(path, as_version=4)
            notebook.cells = until_explorer(notebook.cells)
            nbformat.write(notebook, desk.course / "chapters" / path.name)
            good = sum(start(desk, f"chapters/{path.name}") for _ in range(times))
            tell(
                f"{path.stem}: starts on a slow laptop", f"{good} of {times}", f"{times} of {times}"
            )


def start(desk, path):
    """Open a chapter, run it, move its slider: 1 if the plot followed, else 0."""
    try:
        with desk.notebook(path) as notebook:
            notebook.run_all()
            notebook.explorer().follow()
    except Exception as trouble:
        print(f"  {path}: {str(trouble).splitlines()[0]}", flush=True)
        return 0
    return 1


def imports():
    """Time that an import adds to starting Python, best of five."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def best(code):
        return min(
            seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True, env=env), 5)
        )

    bare = best("pass")
    topics = [
        path.stem
        for path in sorted((ROOT / "v2gbook").glob("*.py"))
        if not path.stem.startswith("_")
    ]
    targets = {
        "import v2gbook": "<= 0.3 s",
        **{f"from v2gbook import {topic}": "<= 1.5 s" for topic in topics},
        "from v2gbook import classroom": "-",
    }
    for code, target in targets.items():
        tell(code, f"{max(0.0, best(code) - bare):.2f} s", target)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="run.py bench", description="Measure the course: models, explorers, imports."
    )
    parser.add_argument("--no-browser", action="store_true", help="leave out what needs Chromium")
    parser.add_argument(
        "--only",
        choices=["paint", "starts"],
        help="only the explorers in the browser, or only their starts on a slow laptop",
    )
    parser.add_argument(
        "--chapters",
        default="",
        metavar="NAME",
        help="of the chapters only those with this in their name",
    )
    options = parser.parse_args(arguments)
    chapters = [
        path
        for path in sorted((ROOT / "chapters").glob("*.ipynb"))
        if options.chapters in path.name
    ]
    tell("what", "measured", "target")
    if options.only:
        {"paint": paint, "starts": starts}[options.only](chapters)
    else:
        everything(chapters, not options.no_browser)


def everything(chapters, in_browser):
    """All parts of the table."""
    models()
    schedules()
    streets()
    control_rooms()
    converters()
    messages()
    crowds()
    for path in chapters:
        compute(path)
    imports()
    if in_browser:
        paint(chapters)


if __name__ == "__main__":
    main()
