"""Cars being there: closed forms, other tools, and days on which the clock changes."""

import api_page
import numpy as np
import pandas as pd
import pytest
from scipy.stats import betabinom, binom

from v2gbook import _presence, fleet, risk

# ------------------------------------------------------------------------------ how many are there


@pytest.mark.parametrize("n", [1, 2, 9, 100, 4000])
@pytest.mark.parametrize("p", [1e-6, 0.3, 0.5, 0.97])
def test_independent_cars_are_binomial(n, p):
    k = np.arange(n + 1)
    assert _presence.probabilities(n, p) == pytest.approx(binom.pmf(k, n, p), rel=1e-9, abs=1e-250)
    assert _presence.at_least(n, p) == pytest.approx(binom.sf(k - 1, n, p), rel=1e-9, abs=1e-250)


@pytest.mark.parametrize("n", [1, 2, 9, 300])
@pytest.mark.parametrize("p", [0.02, 0.5, 0.97])
@pytest.mark.parametrize("rho", [0.001, 0.2, 0.5, 0.98])
def test_correlated_cars_are_beta_binomial(n, p, rho):
    k = np.arange(n + 1)
    law = betabinom(n, p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho)
    assert _presence.probabilities(n, p, rho) == pytest.approx(law.pmf(k), rel=1e-7, abs=1e-200)
    assert _presence.at_least(n, p, rho) == pytest.approx(law.sf(k - 1), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("rho", [0.0, 1e-300, 0.3, 0.999999])
def test_cars_that_are_always_there_or_never(rho):
    assert _presence.probabilities(3, 0.0, rho).tolist() == [1, 0, 0, 0]
    assert _presence.probabilities(3, 1.0, rho).tolist() == [0, 0, 0, 1]
    assert _presence.at_least(3, 1.0, rho).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("rho", [1e-300, 1e-16, 1e-12])
def test_a_tiny_correlation_is_none(rho):
    free = _presence.probabilities(50, 0.7)
    assert _presence.probabilities(50, 0.7, rho) == pytest.approx(free, rel=1e-6)


def test_cars_that_do_everything_together():
    assert _presence.probabilities(40, 0.7, 1 - 1e-12)[[0, 40]] == pytest.approx([0.3, 0.7])


def test_a_million_cars_lose_no_digits():
    k = np.arange(698_000, 702_001)
    want = binom.pmf(k, 1_000_000, 0.7)
    assert _presence.probabilities(1_000_000, 0.7)[k] == pytest.approx(want, rel=1e-8)
    assert _presence.at_least(1_000_000, 0.7)[0] == 1.0


@pytest.mark.parametrize("rho", [0.0, 0.03])
def test_fewest_cars_by_trying(rho):
    for present, p, reliability in ((1, 0.3, 0.9), (9, 0.6, 0.95), (30, 0.9, 0.5)):
        found = _presence.fewest_cars(present, p, reliability, rho, most=1000)
        fleets = range(present, 1000)
        tails = (_presence.at_least(n, p, rho)[present] for n in fleets)
        assert found == next(n for n, tail in zip(fleets, tails) if tail >= reliability)


def test_fewest_cars_of_a_billion():
    found = _presence.fewest_cars(400_000_000, 0.5, 0.9, most=10**9)
    assert binom.sf(400_000_000 - 1, found, 0.5) >= 0.9 > binom.sf(400_000_000 - 1, found - 1, 0.5)


def test_fewest_cars_may_be_the_last_or_none():
    assert _presence.fewest_cars(14, 0.5, 0.9, most=35) == 35
    assert _presence.fewest_cars(14, 0.5, 0.9, most=34) is None
    assert _presence.fewest_cars(14, 1.0, 0.9, most=14) == 14
    assert _presence.fewest_cars(1, 0.9, 0.9, most=10) == 1, "0.9 is 0.9, however it is rounded"
    assert _presence.fewest_cars(100, 0.5, 0.5, most=400) == 199, "by symmetry, exactly a half"


# ------------------------------------------------------------------------------ from step to step


def test_the_chain_is_stationary_and_forgets_by_its_persistence():
    stays, comes = _presence.transition(0.7, 0.9)
    move = np.array([[1 - comes, comes], [1 - stays, stays]])
    assert [0.3, 0.7] @ move == pytest.approx([0.3, 0.7])
    assert np.sort(np.linalg.eigvals(move)) == pytest.approx([0.9, 1.0])
    assert np.linalg.matrix_power(move, 16)[1, 1] == pytest.approx(0.7 + 0.3 * 0.9**16)


@pytest.mark.parametrize("persistence", [0.0, 0.6, 1.0])
def test_moves_of_a_whole_fleet(persistence):
    counts = np.arange(13)
    move = _presence.moves(counts, 12, 0.7, persistence)
    start = _presence.probabilities(12, 0.7)
    stays, comes = _presence.transition(0.7, persistence)
    of_five = np.convolve(binom.pmf(np.arange(6), 5, stays), binom.pmf(np.arange(8), 7, comes))
    assert move[5] == pytest.approx(of_five, abs=1e-12)
    assert move.sum(axis=1) == pytest.approx(np.ones(13))
    assert start @ move == pytest.approx(start, abs=1e-12)
    assert move @ counts == pytest.approx(12 * 0.7 + persistence * (counts - 12 * 0.7))


def test_walks_have_the_moments_of_the_chain():
    rng = np.random.default_rng(2)
    path = np.array(list(_presence.walk(40, 0.7, 0.6, steps=4, size=20_000, rng=rng)))
    assert path.shape == (4, 20_000)
    assert path.mean(axis=1) == pytest.approx(np.full(4, 28.0), abs=0.1)
    assert path.var(axis=1) == pytest.approx(np.full(4, 40 * 0.21), rel=0.05)
    assert np.corrcoef(path)[0] == pytest.approx([1, 0.6, 0.36, 0.216], abs=0.03)


def test_walks_of_correlated_cars():
    rng = np.random.default_rng(3)
    share = _presence.common_share(0.7, 0.2, size=40_000, rng=rng)
    there = next(_presence.walk(40, share, 0.6, steps=1, size=40_000, rng=rng))
    assert there.mean() == pytest.approx(28.0, abs=0.2)
    assert there.var() == pytest.approx(40 * 0.21 * (1 + 39 * 0.2), rel=0.05)
    for p, rho in ((0.7, 0.0), (1.0, 0.2), (0.0, 0.2)):
        assert _presence.common_share(p, rho, size=3, rng=rng).tolist() == [p] * 3


# --------------------------------------------------------------------------------------- counting


def sessions(*pairs):
    """Sessions from UTC times, in Los Angeles."""
    come, go = (
        pd.to_datetime(list(column), utc=True).tz_convert("America/Los_Angeles")
        for column in zip(*pairs)
    )
    return pd.DataFrame({"arrival": come, "departure": go, "delivered_kwh": 0.0})


def test_in_each_step_by_hand():
    first, last = np.array([0, 1, 1, 3]), np.array([2, 1, 9, 9])
    assert _presence.in_each_step(first, last, 4).tolist() == [1, 2, 1, 2]
    power = np.array([1.0, 2.0, 4.0, 8.0])
    assert _presence.in_each_step(first, last, 4, power).tolist() == [1, 5, 4, 12]


def test_steps_follow_real_time_where_the_clock_is_set_forward():
    frame = sessions(
        ("2025-03-09 09:50", "2025-03-09 10:20"), ("2025-03-09 20:00", "2025-03-09 20:01")
    )
    plugged = _presence.plugged("sessions", frame, 15)
    assert len(plugged) == 92
    here = plugged[plugged > 0].index
    assert here.strftime("%H:%M").tolist() == ["03:00"]


def test_steps_follow_real_time_where_the_clock_is_set_back():
    frame = sessions(("2025-11-02 08:00", "2025-11-02 09:30"))
    plugged = _presence.plugged("sessions", frame, 30)
    assert len(plugged) == 50
    here = plugged[plugged > 0].index
    assert here.strftime("%H:%M %Z").tolist() == ["01:00 PDT", "01:30 PDT", "01:00 PST"]


def test_the_clock_of_a_car_may_go_back():
    """It comes at 1:45 and goes at 1:15, half an hour later."""
    plugged = _presence.plugged("sessions", sessions(("2025-11-02 08:45", "2025-11-02 09:15")), 15)
    assert plugged.sum() == 2


def test_fleet_and_risk_count_the_same_cars():
    rng = np.random.default_rng(5)
    come = pd.Timestamp("2025-10-30", tz="America/Los_Angeles")
    come = come + pd.to_timedelta(rng.uniform(0, 5 * 24, 300), "h").round("s")
    stay = pd.to_timedelta(rng.uniform(0.1, 12, 300), "h").round("s")
    frame = pd.DataFrame({"arrival": come, "departure": come + stay, "delivered_kwh": 0.0})
    counts = fleet.plugged_cars(frame)
    powers = risk.available_by_day(frame, 1.0)
    clock = counts.index.tz_localize(None)
    want = counts.groupby(clock).min()
    assert powers.to_numpy().ravel().tolist() == want.tolist()
    assert len(counts) == len(want) + 4


def test_names_that_a_topic_shares_are_its_own():
    assert "check_sessions" in api_page.names(fleet)
    assert "check_sessions" not in api_page.names(risk)
    assert fleet.check_sessions is _presence.check_sessions
