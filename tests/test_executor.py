"""Work that an executor shares: the same results wherever it is done, and errors that get out."""

from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from v2gbook import _executor, frequency, risk, voltage


def half(number):
    return number / 2


class Backwards(ThreadPoolExecutor):
    """Tasks are done only when the last is there, and then the last one first."""

    def __init__(self, tasks):
        super().__init__(1)
        self.tasks = tasks
        self.given = []

    def submit(self, work, *args):
        future = Future()
        self.given.append((future, work, args))
        if len(self.given) == self.tasks:
            for future, work, args in reversed(self.given):
                future.set_result(work(*args))
        return self.given[-1][0]


def test_results_come_in_the_order_of_the_tasks():
    tasks = [6, 2, 4]
    wanted = [3.0, 1.0, 2.0]
    assert _executor.in_order(half, tasks, None) == wanted
    assert _executor.in_order(half, tasks, Backwards(3)) == wanted
    assert _executor.in_order(half, tasks, lambda: ThreadPoolExecutor(2)) == wanted


def test_an_executor_that_was_given_stays_open_and_one_that_was_made_does_not():
    made = []

    def make():
        made.append(ThreadPoolExecutor(1))
        return made[-1]

    with ThreadPoolExecutor(1) as pool:
        _executor.in_order(half, [1], pool)
        assert pool.submit(half, 4).result() == 2.0
    _executor.in_order(half, [1], make)
    with pytest.raises(RuntimeError, match="shutdown"):
        made[0].submit(half, 4)


def test_an_error_in_a_worker_gets_out():
    def refuse(task):
        raise ValueError(f"no {task}")

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="no 1"):
        _executor.in_order(refuse, [1], pool)


@pytest.mark.parametrize("executor", [4, "processes", [None]])
def test_what_is_no_executor_is_refused(executor):
    with pytest.raises(TypeError, match="executor is .*; it must be an Executor"):
        _executor.workers(executor)


def test_a_function_that_makes_something_else_is_refused():
    with pytest.raises(TypeError, match=r"what executor\(\) makes is 4"):
        _executor.in_order(half, [1], lambda: 4)


# ------------------------------------------------------------------- functions with many scenarios

ISLAND = frequency.Grid(
    f0_hz=50.0,
    kinetic_energy_mws=np.linspace(30_000.0, 90_000.0, 23),
    load_mw=10_000.0,
    damping_load_pu=1.0,
)
ISLAND_OF_ONE = replace(ISLAND, kinetic_energy_mws=50_000.0)
PLANT = frequency.Governor(
    rating_mw=4000.0, droop_pu=0.05, t_valve_s=0.3, t_lead_s=2.4, t_lag_s=8.0
)
LOSSES = [frequency.Loss(p_mw=np.linspace(100.0, 900.0, 23))]
RELAYS = frequency.Ufls(f_hz=(49.3, 49.0), shed=(0.02, 0.05), delay_s=0.15)


def swept(executor):
    return frequency.sweep(ISLAND, LOSSES, [PLANT], RELAYS, t_end_s=8.0, executor=executor)


def test_a_sweep_of_frequency_in_blocks_is_the_sweep_at_once(monkeypatch):
    at_once = swept(None)
    monkeypatch.setattr(frequency, "_BLOCK", 5)
    pd.testing.assert_frame_equal(swept(None), at_once, check_exact=True)
    with ThreadPoolExecutor(2) as pool:
        pd.testing.assert_frame_equal(swept(pool), at_once, check_exact=True)


def test_blocks_keep_the_memory_of_a_sweep_small():
    many = frequency.Loss(p_mw=np.full(60_000, 500.0))
    frequency._checked_run(ISLAND_OF_ONE, [many], [PLANT], None, 20.0, 0.02)
    with pytest.raises(ValueError, match="t_end_s is 2000"):
        frequency._checked_run(ISLAND_OF_ONE, [many], [PLANT], None, 2000.0, 0.02)


STREET = voltage.feeder("cigre-lv-residential")
UNITS = voltage.Units(buses=("R15",), s_kva=30.0, curve=voltage.VOLT_VAR["B"])


def flow(p_kw, executor, units=None):
    return voltage.power_flow(
        STREET, p_kw, units=units, v0_pu=1.02, keep_going=True, executor=executor
    )


@pytest.mark.parametrize("call", [swept, lambda executor: flow(0.0, executor)])
def test_functions_with_scenarios_refuse_what_is_no_executor(call):
    with pytest.raises(TypeError, match="executor is 'pool'; it must be an Executor"):
        call("pool")


@pytest.mark.parametrize("units", [None, UNITS])
def test_a_feeder_in_tasks_is_the_feeder_at_once(monkeypatch, units):
    shares = np.linspace(-1.0, 8.0, 60).reshape(20, 3, 1)
    p_kw = -STREET.load_kw * shares
    at_once = flow(p_kw, None, units)
    assert not at_once.converged.all()
    monkeypatch.setattr(voltage, "_TASK", 7)
    parts = flow(p_kw, lambda: ThreadPoolExecutor(2), units)
    np.testing.assert_array_equal(parts.converged, at_once.converged)
    for quantity in ("v_pu", "phasor_pu"):
        found = getattr(parts, quantity)
        np.testing.assert_allclose(found, getattr(at_once, quantity), atol=1e-5, rtol=0)
    np.testing.assert_allclose(parts.loss_kw, at_once.loss_kw, rtol=1e-4)
    assert parts.phasor_pu.shape == at_once.phasor_pu.shape


def test_a_backtest_is_the_same_in_other_processes():
    mondays = pd.date_range("2025-01-06", periods=12, freq="7D")
    power_mw = np.random.default_rng(5).uniform(1.0, 4.0, (12, 4))
    days = pd.DataFrame(power_mw, index=mondays, columns=[8.0, 8.25, 8.5, 8.75])
    deal = risk.Deal(price_per_mw_h=20.0, penalty_per_mw_h=70.0)
    rules = risk.standard_rules()
    here = risk.backtest(days, deal, rules, first_test="2025-02-03")
    with ProcessPoolExecutor(1) as pool:
        there = risk.backtest(days, deal, rules, first_test="2025-02-03", executor=pool)
    pd.testing.assert_frame_equal(there, here, check_exact=True)
    with pytest.raises(TypeError, match="executor is 'pool'; it must be an Executor"):
        risk.backtest(days, deal, rules, first_test="2025-02-03", executor="pool")
