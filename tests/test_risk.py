"""Topic 12, risk.

Published cases by id, SciPy's distributions and cvxpy as independent tools, brute force, offers
that cannot use the future, refusals in words.
"""

import itertools
import re
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import case
from scipy import stats
from scipy.integrate import quad

from v2gbook import data, fleet
from v2gbook.charger import Storage
from v2gbook.risk import (
    Attitude,
    Deal,
    Scenarios,
    available_by_day,
    backtest,
    best_offer,
    compare_rules,
    critical_share,
    crps,
    cvar,
    cvar_lp,
    day_profit,
    expected_profit,
    firm_offer,
    fleet_paths,
    forecast_scores,
    frontier,
    information,
    lasting_by_day,
    normal_cvar,
    normal_offer,
    normal_profit,
    offers,
    outcomes,
    penalty_multiple,
    pinball,
    portfolio,
    profit,
    quantile,
    recency,
    reliability,
    scoreboard,
    settlement,
    standard_rules,
    var,
)


def deal_of(inputs):
    return Deal(price_per_mw_h=inputs["r"], penalty_per_mw_h=inputs["c"])


DEAL = Deal(price_per_mw_h=20.0, penalty_per_mw_h=70.0)
LOSING = replace(DEAL, pays_undelivered=False)
few = settings(deadline=None, max_examples=25)


@st.composite
def samples(draw, low=0.0):
    """Values with ties, and probabilities, one of them often zero."""
    n = draw(st.integers(1, 7))
    values = np.array(draw(st.lists(st.integers(int(low), 6), min_size=n, max_size=n)), dtype=float)
    weights = np.array(draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)), dtype=float)
    weights[draw(st.integers(0, n - 1))] += 1
    return values, weights / weights.sum()


# ---------------------------------------------------------------------------------- published cases


def test_r01_by_sorting_and_by_linear_programme():
    inputs, expected = case("R01")
    assert var(inputs["losses"], inputs["alpha"]) == expected["VaR"]
    assert cvar(inputs["losses"], inputs["alpha"]) == expected["CVaR"]
    assert [cvar_lp(inputs["losses"], alpha) for alpha in inputs["alpha"]] == expected["CVaR"]


def test_r03_normal_cvar():
    inputs, expected = case("R03")
    assert normal_cvar(inputs["mu"], inputs["sigma"], inputs["alpha"]) == expected["CVaR"]


def test_r05_normal_newsvendor():
    inputs, expected = case("R05")
    spread, deal = (inputs["mu_MW"], inputs["sigma_MW"]), deal_of(inputs)
    q = normal_offer(*spread, deal)
    assert q == expected["q_MW"]
    assert normal_profit(q, *spread, deal) == expected["expected_profit"]


def test_r07_binomial_newsvendor():
    inputs, expected = case("R07")
    available, chance = outcomes(inputs["N"], inputs["p"], inputs["kW"] / 1000)
    q = best_offer(available, deal_of(inputs), chance)
    assert q * 1000 == pytest.approx(expected["q_kW"].expected, abs=1e-9)
    assert (
        expected_profit(q, available, deal_of(inputs), chance) == expected["expected_profit_usd_h"]
    )


@pytest.mark.parametrize("key", ["A06", "A07"])
def test_p90_of_a_fleet(key):
    inputs, expected = case(key)
    available, chance = outcomes(inputs["N"], inputs["p"], inputs["kW"] / 1000)
    q = firm_offer(available, 0.9, chance)
    assert q * 1000 == pytest.approx(expected["P90_kW"].expected, abs=1e-9)
    assert reliability(q, available[:, None], chance).joint == expected["prob"]


def test_a14_correlated_cars():
    """The case's normal approximation, from the mean and variance of the sample."""
    inputs, expected = case("A14")
    tenfold = Deal(price_per_mw_h=1.0, penalty_per_mw_h=10.0)
    found = []
    for rho in inputs["rho"]:
        mw, chance = outcomes(inputs["N"], inputs["p"], inputs["kW"] / 1000, rho)
        mean = chance @ mw
        sigma = np.sqrt(chance @ (mw - mean) ** 2)
        found.append(1000 * normal_offer(mean, sigma, tenfold))
    assert found == expected["P90_kW"]


# -------------------------------------------------------------------------------------- one promise


def test_profit_by_hand():
    """0.8 MW promised, 0.5 there: 16 earned; 0.3 MW missing cost 21, or with their payment 27."""
    assert profit(0.8, 0.5, DEAL) == pytest.approx(16 - 21)
    assert profit(0.8, 0.5, LOSING) == pytest.approx(16 - 21 - 6)
    assert profit(0.5, 0.8, LOSING) == pytest.approx(10)
    both = profit([0.8, 0.5], [0.5, 0.8], LOSING)
    assert both.tolist() == [profit(0.8, 0.5, LOSING), profit(0.5, 0.8, LOSING)]


@given(samples(), st.sampled_from([DEAL, LOSING]), st.floats(0, 7))
@few
def test_expected_profit_is_the_mean_of_profit(sample, deal, offer):
    values, chance = sample
    mean = [chance @ profit(q, values, deal) for q in (offer, 3.0)]
    assert expected_profit([offer, 3.0], values, deal, chance) == pytest.approx(mean, abs=1e-9)
    assert expected_profit(offer, values, deal, chance) == pytest.approx(mean[0], abs=1e-9)


@given(samples(), st.sampled_from([DEAL, LOSING]))
@few
def test_no_offer_beats_the_best(sample, deal):
    values, chance = sample
    tried = np.append(values, np.linspace(0, 8, 33))
    best = best_offer(values, deal, chance)
    assert best in values
    assert (
        expected_profit(best, values, deal, chance)
        >= expected_profit(tried, values, deal, chance).max() - 1e-9
    )


@given(samples(), st.sampled_from([0.5, 0.8, 0.9]))
@few
def test_the_firm_offer_is_the_largest_that_holds(sample, beta):
    values, chance = sample
    held = [q for q in values if chance[values >= q].sum() >= beta - 1e-9]
    assert firm_offer(values, beta, chance) == max(held)


def test_ties_are_exact():
    """Of ten equal scenarios nine hold the second smallest; ten hold the smallest.

    Ten times 0.1 is not quite 1 in floats.
    """
    ten = np.arange(10.0)
    assert firm_offer(ten, 0.9) == 1.0
    assert best_offer(ten, Deal(price_per_mw_h=1.0, penalty_per_mw_h=10.0)) == 0.0
    assert quantile(ten, 0.3) == 2.0
    assert quantile(ten, 0.3, upper=True) == 3.0
    assert quantile(ten, [0.0, 1.0]).tolist() == [0.0, 9.0]
    assert quantile(ten, 1.0, upper=True) == 9.0
    assert quantile(ten, 0.35) == 3.0
    assert quantile(ten, 0.35, upper=True) == 3.0


def test_columns_are_intervals():
    rng = np.random.default_rng(4)
    many, chance = rng.uniform(0, 1, (9, 3)), rng.dirichlet(np.ones(9))
    by_hour = Deal(
        price_per_mw_h=np.array([10.0, 20.0, 30.0]), penalty_per_mw_h=70.0, pays_undelivered=False
    )
    single = [
        best_offer(
            many[:, t],
            Deal(price_per_mw_h=10.0 * (t + 1), penalty_per_mw_h=70.0, pays_undelivered=False),
            chance,
        )
        for t in range(3)
    ]
    assert best_offer(many, by_hour, chance).tolist() == single
    assert firm_offer(many, 0.7, chance).tolist() == [
        firm_offer(column, 0.7, chance) for column in many.T
    ]
    assert len(set(critical_share(by_hour))) == 3


def test_the_p90_rule_is_a_newsvendor():
    """10 times the price if the whole offer is paid, 9 times if undelivered MW are not.

    At any size of the fleet, and at other reliabilities alike.
    """
    for pays, multiple in ((True, 10.0), (False, 9.0)):
        assert penalty_multiple(0.9, pays) == pytest.approx(multiple)
    values, chance = outcomes(40, 0.6, 0.007, 0.05)
    for beta, pays in itertools.product((0.6, 0.75, 0.9, 0.99), (True, False)):
        deal = Deal(
            price_per_mw_h=33.0,
            penalty_per_mw_h=33.0 * penalty_multiple(beta, pays),
            pays_undelivered=pays,
        )
        assert best_offer(values, deal, chance) == firm_offer(values, beta, chance)
        assert normal_offer(2.0, 0.3, deal) == pytest.approx(stats.norm(2.0, 0.3).ppf(1 - beta))
    assert penalty_multiple([0.5, 0.9]).tolist() == pytest.approx([2.0, 10.0])


@pytest.mark.parametrize("deal", [DEAL, LOSING])
def test_normal_profit_by_quadrature(deal):
    cars = stats.norm(2.0, 0.3)

    def mean_profit(offer):
        def density(a):
            return profit(offer, a, deal) * cars.pdf(a)

        return quad(density, 0, offer)[0] + profit(offer, 9.0, deal) * cars.sf(offer)

    q = np.array([1.4, 1.9, 2.3])
    mean = [mean_profit(offer) for offer in q]
    assert normal_profit(q, 2.0, 0.3, deal) == pytest.approx(mean, abs=1e-6)
    best = normal_offer(2.0, 0.3, deal)
    assert normal_profit(best, 2.0, 0.3, deal) > max(
        normal_profit(best + step, 2.0, 0.3, deal) for step in (-0.01, 0.01)
    )


@pytest.mark.parametrize("n_cars, presence", [(1, 0.3), (7, 0.5), (100, 0.9)])
def test_outcomes_against_scipy(n_cars, presence):
    power, chance = outcomes(n_cars, presence, 0.01)
    assert power.tolist() == pytest.approx([0.01 * k for k in range(n_cars + 1)])
    assert chance == pytest.approx(
        stats.binom(n_cars, presence).pmf(np.arange(n_cars + 1)), abs=1e-12
    )
    correlation = 0.2
    chance = outcomes(n_cars, presence, 0.01, correlation)[1]
    odds = (1 - correlation) / correlation
    assert chance == pytest.approx(
        stats.betabinom(n_cars, presence * odds, (1 - presence) * odds).pmf(np.arange(n_cars + 1)),
        abs=1e-12,
    )
    count = power / 0.01
    assert chance @ count == pytest.approx(n_cars * presence)
    assert chance @ count**2 - (n_cars * presence) ** 2 == pytest.approx(
        n_cars * presence * (1 - presence) * (1 + (n_cars - 1) * correlation)
    )


def test_a_tiny_correlation_is_none():
    """A beta distribution with such parameters would be lost to rounding."""
    free = outcomes(50, 0.7, 0.01)[1]
    for rho in (1e-9, 1e-12, 1e-16, 1e-300):
        assert outcomes(50, 0.7, 0.01, rho)[1] == pytest.approx(free, abs=1e-6)


@pytest.mark.parametrize(
    "weight, alpha",
    [(0.0, 0.9), (0.3, 0.9), (1.0, 0.8), (0.5, 0.0), (0.05, 0.95), (0.02, 0.9), (0.6, 0.5)],
)
def test_caution_is_a_lower_quantile(weight, alpha):
    """The offer found by the closed form is the best of all for mean and CVaR, found by trying."""
    rng = np.random.default_rng(7)
    values, chance = rng.gamma(6.0, 0.1, 40), rng.dirichlet(np.ones(40))
    attitude = Attitude(risk_weight=weight, alpha=alpha)

    def worth(q):
        gain = profit(q, values, DEAL)
        return (1 - weight) * chance @ gain - weight * cvar(-gain, alpha, chance)

    best = best_offer(values, DEAL, chance, attitude)
    assert worth(best) == pytest.approx(max(worth(q) for q in values), abs=1e-9)
    assert normal_offer(1.0, 0.2, DEAL, attitude) == pytest.approx(
        1.0 + 0.2 * stats.norm.ppf(critical_share(DEAL, attitude))
    )


def test_critical_share():
    assert critical_share(DEAL) == pytest.approx(2 / 7)
    assert critical_share(LOSING) == pytest.approx(2 / 9)
    assert critical_share(DEAL, Attitude(risk_weight=1.0, alpha=0.9)) == pytest.approx(0.1 * 2 / 7)
    # The tail is used up.
    assert critical_share(DEAL, Attitude(risk_weight=0.1, alpha=0.9)) == pytest.approx(
        (2 / 7 - 0.1) / 0.9
    )
    # It is not.
    assert critical_share(DEAL, Attitude(risk_weight=0.5, alpha=0.9)) == pytest.approx(2 / 7 / 5.5)
    by_weight = [
        critical_share(DEAL, Attitude(risk_weight=w, alpha=0.9)) for w in np.linspace(0, 1, 21)
    ]
    assert np.all(np.diff(by_weight) < 0)


# ----------------------------------------------------------------------------------- how bad is bad


@given(samples(low=-6), st.sampled_from([0.0, 0.3, 0.5, 0.8, 0.9, 0.95]))
@few
def test_cvar_three_ways(sample, alpha):
    """Sorting, linear programme, and the integral of eq. (12.6) over a fine grid of levels."""
    losses, chance = sample
    worst = cvar(losses, alpha, chance)
    assert worst == pytest.approx(cvar_lp(losses, alpha, chance), abs=1e-7)
    levels = alpha + (1 - alpha) * (np.arange(4000) + 0.5) / 4000
    assert worst == pytest.approx(var(losses, levels, chance).mean(), abs=0.02)


@given(samples(low=-6), samples(low=-6), st.sampled_from([0.5, 0.9]))
@few
def test_cvar_is_coherent(one, other, alpha):
    """Subadditive for independent sums, moves with money, scales, not below VaR or the mean."""
    (a, p), (b, r) = one, other
    together, chance = np.add.outer(a, b).ravel(), np.outer(p, r).ravel()
    assert cvar(together, alpha, chance) <= cvar(a, alpha, p) + cvar(b, alpha, r) + 1e-9
    assert cvar(2 * a + 5, alpha, p) == pytest.approx(2 * cvar(a, alpha, p) + 5)
    assert cvar(a, alpha, p) >= max(var(a, alpha, p), p @ a) - 1e-9
    assert cvar(a, 0.0, p) == pytest.approx(p @ a, abs=1e-9)


def test_an_atom_on_the_border_is_split():
    """Losses 0 and 10 with 0.7 and 0.3: of the worst half, three fifths are 10."""
    assert cvar([0.0, 10.0], 0.5, [0.7, 0.3]) == pytest.approx(6.0)
    assert cvar([0.0, 10.0], [0.5, 0.7, 0.8], [0.7, 0.3]).tolist() == pytest.approx(
        [6.0, 10.0, 10.0]
    )
    assert cvar([10.0, 0.0], 0.5, [0.3, 0.7]) == pytest.approx(6.0)
    assert var([10.0, 0.0], [0.69, 0.7, 0.71], [0.3, 0.7]).tolist() == [0.0, 0.0, 10.0]


def test_var_is_not_subadditive():
    site, p = np.array([0.0, 100.0]), np.array([0.96, 0.04])
    both, chance = np.add.outer(site, site).ravel(), np.outer(p, p).ravel()
    assert var(both, 0.95, chance) == 100.0
    assert var(site, 0.95, p) == 0.0
    assert cvar(site, 0.95, p) == pytest.approx(80.0)
    assert cvar(both, 0.95, chance) == pytest.approx((0.0016 * 200 + 0.0484 * 100) / 0.05)


def test_cvar_at_the_last_level_is_the_worst_loss():
    """Ten times 0.1 is a little less than this level; the worst loss must come out, not NaN."""
    assert cvar(np.arange(10.0), 1 - 2**-53) == 9.0


def test_normal_cvar_by_quadrature():
    loss = stats.norm(3.0, 2.0)

    def weighted(x):
        return x * loss.pdf(x)

    for alpha in (0.1, 0.6, 0.99):
        tail = quad(weighted, loss.ppf(alpha), 40)[0]
        assert normal_cvar(3.0, 2.0, alpha) == pytest.approx(tail / (1 - alpha), rel=1e-6)
    assert normal_cvar([3.0, 1.0], 2.0, 0.9).tolist() == [
        normal_cvar(3.0, 2.0, 0.9),
        normal_cvar(1.0, 2.0, 0.9),
    ]


def test_information_by_hand():
    """0 or 1 MW, even chances.

    The critical share is 2/7, so the best single offer is 0; offering the mean costs 70 * 0.25 and
    earns 10.
    """
    known = information([0.0, 1.0], DEAL)
    assert (known.promise, known.perfect, known.informed) == (0.0, 10.0, 0.0)
    assert known.mean_promise == pytest.approx(10 - 17.5)
    assert (known.evpi, known.evsi, known.vss) == (10.0, 0.0, pytest.approx(7.5))
    assert information([0.0, 1.0], DEAL, signal=["rain", "sun"]).informed == 10.0


@given(samples(), st.integers(1, 3))
@few
def test_information_never_hurts(sample, readings):
    values, chance = sample
    known = information(values, LOSING, np.arange(len(values)) % readings, chance)
    assert -1e-9 <= known.evsi <= known.evpi + 1e-9
    assert known.vss >= -1e-9
    assert known.perfect == pytest.approx(chance @ profit(values, values, LOSING))
    each = information(values, LOSING, np.arange(len(values)), chance)
    assert each.informed == pytest.approx(each.perfect)


# ------------------------------------------------------------------------------------ many promises

HOURLY = Deal(
    price_per_mw_h=np.array([20.0, 20.0, 35.0, 30.0, 15.0, 25.0]),
    penalty_per_mw_h=np.array([90.0, 80.0, 80.0, 60.0, 70.0, 75.0]),
    pays_undelivered=False,
)


@pytest.fixture(scope="module")
def morning():
    """24 scenarios of six quarter hours in three products of unequal length.

    They are correlated and have unequal probabilities.
    """
    rng = np.random.default_rng(12)
    paths = fleet_paths(60, 0.6, 0.01, persistence=0.8, shape=(24, 6), rng=rng)
    return Scenarios(
        available_mw=paths * rng.uniform(0.4, 1.0, (24, 1)),
        dt_h=0.25,
        product=np.array([0, 0, 1, 1, 1, 2]),
        probability=rng.dirichlet(np.full(24, 3.0)),
    )


def with_cvxpy(scenarios, deal, attitude):
    """Eq. (12.7) written from its definition, profit by profit."""
    q, z = cp.Variable(scenarios.product.max() + 1, nonneg=True), cp.Variable()
    r, c = (np.broadcast_to(x, (24, 6)) for x in (deal.price_per_mw_h, deal.penalty_per_mw_h))
    promised = np.ones((24, 1)) @ cp.reshape(
        np.eye(q.size)[scenarios.product] @ q, (1, 6), order="C"
    )
    paid = promised if deal.pays_undelivered else cp.minimum(promised, scenarios.available_mw)
    missing = cp.pos(promised - scenarios.available_mw)
    gain = 0.25 * cp.sum(cp.multiply(paid, r) - cp.multiply(missing, c), axis=1)
    tail = z + scenarios.probability @ cp.pos(-gain - z) / (1 - attitude.alpha)
    worth = (1 - attitude.risk_weight) * (
        scenarios.probability @ gain
    ) - attitude.risk_weight * tail
    return cp.Problem(cp.Maximize(worth)).solve()


def worth(found, attitude):
    return (1 - attitude.risk_weight) * found.mean_profit - attitude.risk_weight * found.cvar_loss


@pytest.mark.parametrize("weight, alpha", [(0.0, 0.95), (0.4, 0.8), (1.0, 0.9)])
def test_portfolio_against_cvxpy(morning, weight, alpha):
    attitude = Attitude(risk_weight=weight, alpha=alpha)
    found = portfolio(morning, HOURLY, attitude)
    assert worth(found, attitude) == pytest.approx(with_cvxpy(morning, HOURLY, attitude), abs=1e-5)
    gain = day_profit(found.offer_mw, morning, HOURLY)
    assert found.mean_profit == pytest.approx(morning.probability @ gain)
    assert found.cvar_loss == pytest.approx(cvar(-gain, alpha, morning.probability))
    assert found.joint == pytest.approx(
        reliability(
            found.offer_mw[morning.product], morning.available_mw, morning.probability
        ).joint
    )


def uncertain_prices(scenarios, rng):
    """A price and a penalty for each scenario and interval."""
    shape = scenarios.available_mw.shape
    paid = rng.uniform(10.0, 30.0, shape)
    return Deal(price_per_mw_h=paid, penalty_per_mw_h=paid + rng.uniform(20.0, 200.0, shape))


@pytest.mark.parametrize("weight, alpha", [(0.0, 0.95), (0.4, 0.8), (1.0, 0.9)])
def test_portfolio_of_uncertain_prices_against_cvxpy(morning, weight, alpha):
    deal = uncertain_prices(morning, np.random.default_rng(5))
    attitude = Attitude(risk_weight=weight, alpha=alpha)
    found = portfolio(morning, deal, attitude)
    assert worth(found, attitude) == pytest.approx(with_cvxpy(morning, deal, attitude), abs=1e-5)


def test_equal_prices_in_all_scenarios_are_plain_prices(morning):
    same = np.tile(HOURLY.price_per_mw_h, (24, 1))
    fined = np.tile(HOURLY.penalty_per_mw_h, (24, 1))
    many = Deal(price_per_mw_h=same, penalty_per_mw_h=fined, pays_undelivered=False)
    plain = Deal(
        price_per_mw_h=HOURLY.price_per_mw_h,
        penalty_per_mw_h=HOURLY.penalty_per_mw_h,
        pays_undelivered=False,
    )
    for weight in (0.0, 0.6):
        attitude = Attitude(risk_weight=weight)
        ours, theirs = (portfolio(morning, deal, attitude) for deal in (many, plain))
        assert worth(ours, attitude) == pytest.approx(worth(theirs, attitude))
    np.testing.assert_allclose(
        day_profit([0.1, 0.2, 0.3], morning, many), day_profit([0.1, 0.2, 0.3], morning, plain)
    )


def test_best_offer_under_uncertain_prices_in_closed_form():
    """Eq. (12.8), by trying every value."""
    rng = np.random.default_rng(6)
    for _ in range(20):
        there = rng.uniform(0.2, 1.0, 15)
        fined = rng.uniform(30.0, 300.0, 15)
        paid = rng.uniform(5.0, 25.0, 15)
        hour = Scenarios(available_mw=there[:, None], dt_h=1.0)
        deal = Deal(price_per_mw_h=paid[:, None], penalty_per_mw_h=fined[:, None])
        found = portfolio(hour, deal).offer_mw[0]
        enough = [q for q in np.sort(there) if fined[there <= q].sum() >= paid.sum()]
        assert found == pytest.approx(enough[0])


def test_uncertain_prices_without_a_best_offer_are_refused():
    hour = Scenarios(available_mw=[[1.0], [2.0]], dt_h=1.0)
    careless = Deal(price_per_mw_h=[[50.0], [50.0]], penalty_per_mw_h=[[90.0], [5.0]])
    with pytest.raises(ValueError, match="To promise without limit would pay"):
        portfolio(hour, careless)
    with pytest.raises(ValueError, match=r"an array of shape \(2, 1\)"):
        portfolio(hour, Deal(price_per_mw_h=[[1.0, 2.0]], penalty_per_mw_h=90.0))


CAR = Storage(
    energy_kwh=60.0,
    soc_min=0.4,
    soc_max=0.9,
    p_charge_kw=8.0,
    p_discharge_kw=7.0,
    eta_charge=0.94,
    eta_discharge=0.93,
)


def test_what_lasts_is_what_the_fleet_holds():
    sessions = data.sessions("jpl", "2019-10-01", "2019-11-01")
    sessions = fleet.check_sessions(sessions, 8.0, drop=True)
    lasts = lasting_by_day(
        sessions, CAR, soc_departure=0.9, start_h=[8.0, 11.0, 14.0], duration_h=3.0
    )
    assert lasts.shape == (31, 3)
    cars = fleet.stays(sessions, CAR, soc_departure=0.9)
    held = fleet.hold(cars, 24.0 * 7 + 11.0, 3.0, level=1.0)
    assert lasts.loc["2019-10-08", 11.0] == pytest.approx(held / 1000)
    counted = available_by_day(sessions, 0.007)
    for start in lasts.columns:  # energy and the same car to the end: never more than plugs alone
        plugs = counted.loc[:, start : start + 2.75].min(axis=1)
        assert (lasts[start] <= plugs + 1e-9).all()
    weekend = lasts[lasts.index.day_of_week >= 5]
    assert (weekend < 0.05).all(axis=None)


def test_products_that_overlap_are_refused():
    sessions = data.sessions("jpl", "2019-10-01", "2019-10-04")
    with pytest.raises(ValueError, match="products must rise and not overlap"):
        lasting_by_day(sessions, CAR, soc_departure=0.9, start_h=[8.0, 10.0], duration_h=3.0)


def test_day_profit_by_hand():
    two = Scenarios(available_mw=[[1.0, 2.0, 3.0], [3.0, 1.0, 1.0]], dt_h=0.5, product=[0, 0, 1])
    assert day_profit([2.0, 1.0], two, DEAL).tolist() == [
        0.5 * (40 - 70 + 40 + 20),
        0.5 * (40 + 40 - 70 + 20),
    ]
    assert two.least_mw.tolist() == [[1.0, 3.0], [1.0, 1.0]]
    assert two.probability.tolist() == [0.5, 0.5]
    assert replace(two, product=None).product.tolist() == [0, 1, 2]


@pytest.mark.parametrize("attitude", [Attitude(), Attitude(risk_weight=0.5, alpha=0.8)])
def test_one_interval_is_the_newsvendor(attitude):
    values, chance = outcomes(20, 0.7, 0.01)
    one = Scenarios(available_mw=values[:, None], dt_h=1.0, probability=chance)
    assert portfolio(one, DEAL, attitude).offer_mw == pytest.approx(
        [best_offer(values, DEAL, chance, attitude)]
    )


@pytest.mark.parametrize("weight", [0.0, 0.6])
def test_marginal_values_by_adding_a_megawatt(morning, weight):
    """A small step more in one interval of every scenario.

    And a MW more in all intervals of a product is worth exactly its price.
    """
    attitude = Attitude(risk_weight=weight, alpha=0.8)
    found = portfolio(morning, HOURLY, attitude)
    step = 1e-4

    def worth_with(available):
        changed = replace(morning, available_mw=np.maximum(available, 0))
        return worth(portfolio(changed, HOURLY, attitude), attitude)

    for t in range(6):
        here = step * (np.arange(6) == t)
        gain = (worth_with(morning.available_mw + here) - worth(found, attitude)) / step
        loss = (worth(found, attitude) - worth_with(morning.available_mw - here)) / step
        assert gain - 1e-4 <= found.value_per_mw[t] <= loss + 1e-4
    for b in range(3):
        assert found.value_per_mw[morning.product == b].sum() == pytest.approx(
            0.25 * HOURLY.price_per_mw_h[morning.product == b].sum()
        )


def brute_joint(scenarios, deal, attitude):
    """The best mean profit of all offers on a grid that holds every kink."""
    least, chance = scenarios.least_mw, scenarios.probability
    grids = [
        np.unique(scenarios.available_mw[:, scenarios.product == b]) for b in range(least.shape[1])
    ]
    found = []
    for q in itertools.product(*grids):
        kept = (least >= np.array(q) - 1e-9).all(axis=1)
        if chance[kept].sum() >= attitude.reliability - 1e-9:
            found.append(chance @ day_profit(q, scenarios, deal))
    return max(found)


@pytest.mark.parametrize("beta", [0.6, 0.7, 0.9, 1.0])
def test_joint_rule_by_brute_force(beta):
    """Ten scenarios of two products of two intervals.

    The best offers lie on kinks, since the mean profit is piecewise linear.
    """
    rng = np.random.default_rng(3)
    small = Scenarios(available_mw=rng.integers(1, 9, (10, 4)) / 8, dt_h=1.0, product=[0, 0, 1, 1])
    attitude = Attitude(reliability=beta)
    found = portfolio(small, DEAL, attitude)
    assert found.mean_profit == pytest.approx(brute_joint(small, DEAL, attitude), abs=1e-6)
    assert found.joint >= beta - 1e-9
    assert found.value_per_mw is None


def test_a_joint_rule_for_one_product_is_the_firm_offer(morning):
    """And it needs no penalty: it is a rule of compliance, not a price."""
    one = replace(morning, product=np.zeros(6, int))
    free = Deal(price_per_mw_h=20.0, penalty_per_mw_h=0.0)
    found = portfolio(one, free, Attitude(reliability=0.8))
    assert found.offer_mw == pytest.approx(
        [firm_offer(morning.available_mw.min(axis=1), 0.8, morning.probability)], abs=1e-6
    )
    assert found.mean_profit == pytest.approx(20 * 1.5 * found.offer_mw[0])


def test_joint_rule_costs_and_is_kept(morning):
    free, bound = portfolio(morning, HOURLY), portfolio(morning, HOURLY, Attitude(reliability=0.9))
    assert free.joint < 0.9 <= bound.joint + 1e-9
    assert bound.mean_profit < free.mean_profit
    assert day_profit(bound.offer_mw, morning, HOURLY) @ morning.probability == pytest.approx(
        bound.mean_profit
    )


def test_frontier_trades_return_for_risk(morning):
    table = frontier(morning, HOURLY, [0.0, 0.2, 0.5, 1.0], alpha=0.8)
    assert table.index.name == "risk_weight"
    assert list(table.index) == [0.0, 0.2, 0.5, 1.0]
    assert np.all(np.diff(table.mean_profit) <= 1e-7)
    assert np.all(np.diff(table.cvar_loss) <= 1e-7)
    assert table.mean_profit.iloc[0] > table.mean_profit.iloc[-1] + 0.01
    one = portfolio(morning, HOURLY, Attitude(risk_weight=0.5, alpha=0.8))
    assert table.loc[0.5].tolist() == pytest.approx(
        [one.mean_profit, one.cvar_loss, one.joint, one.offer_mw.sum()]
    )
    assert (
        frontier(morning, HOURLY, [1.0]).cvar_loss.iloc[0]
        == portfolio(morning, HOURLY, Attitude(risk_weight=1.0, alpha=0.95)).cvar_loss
    )


def test_reliability_of_quarter_hours_and_of_products():
    """64 of A06's hundred cars: 0.92 per quarter hour.

    Over four hours 0.26 if every quarter hour is drawn anew, 0.92 if no car moves.
    """
    rng = np.random.default_rng(0)
    sure = case("A06")[1]["prob"].expected
    anew = reliability(
        0.64, fleet_paths(100, 0.7, 0.01, persistence=0.0, shape=(20000, 16), rng=rng)
    )
    still = reliability(
        0.64, fleet_paths(100, 0.7, 0.01, persistence=1.0, shape=(20000, 16), rng=rng)
    )
    assert anew.each == pytest.approx(np.full(16, sure), abs=0.01)
    assert anew.joint == pytest.approx(sure**16, abs=0.015)
    assert anew.independent == pytest.approx(sure**16, abs=0.005)
    assert still.joint == pytest.approx(sure, abs=0.01)
    assert still.joint == pytest.approx(still.each[0])


@given(st.integers(0, 99))
@few
def test_reliability_lies_between_its_bounds(seed):
    rng = np.random.default_rng(seed)
    chance = rng.dirichlet(np.ones(12))
    found = reliability(rng.uniform(0, 0.5, 4), rng.uniform(0.2, 1, (12, 4)), chance)
    assert 1 - (1 - found.each).sum() - 1e-9 <= found.joint <= found.each.min() + 1e-9
    assert found.independent == pytest.approx(np.prod(found.each))


def test_fleet_paths_have_the_moments_they_promise():
    paths = (
        fleet_paths(40, 0.7, 0.5, persistence=0.6, shape=(20000, 4), rng=np.random.default_rng(2))
        / 0.5
    )
    assert paths.shape == (20000, 4)
    assert paths.mean(axis=0) == pytest.approx(np.full(4, 28.0), abs=0.1)
    assert paths.var(axis=0) == pytest.approx(np.full(4, 40 * 0.21), rel=0.05)
    assert np.corrcoef(paths.T)[0] == pytest.approx([1, 0.6, 0.36, 0.216], abs=0.03)
    again = (
        fleet_paths(40, 0.7, 0.5, persistence=0.6, shape=(20000, 4), rng=np.random.default_rng(2))
        / 0.5
    )
    assert np.array_equal(paths, again)


# ---------------------------------------------------------------------------------------- real cars


def stays(*pairs):
    """Sessions in Los Angeles time."""
    come, go = (
        [pd.Timestamp(x, tz="America/Los_Angeles") for x in column] for column in zip(*pairs)
    )
    return pd.DataFrame({"arrival": come, "departure": go})


def test_availability_by_hand():
    """Whole quarter hours only; nights are carried over; a month without sessions is left out.

    The day before the first arrival is no day.
    """
    table = available_by_day(
        stays(
            ("2019-05-02 08:05", "2019-05-02 09:10"),
            ("2019-05-02 08:15", "2019-05-02 08:45"),
            ("2019-05-02 10:01", "2019-05-02 10:14"),
            ("2019-05-03 23:30", "2019-05-04 00:30"),
            ("2019-07-01 12:00", "2019-07-03 12:00"),
        ),
        0.007,
    )
    cars = table / 0.007
    assert table.index[0] == pd.Timestamp("2019-05-02")
    assert table.shape == (30 + 1, 96)
    assert (table.index.name, table.columns.name) == ("day", "clock_h")
    assert list(table.columns[:3]) == [0.0, 0.25, 0.5]
    assert cars.loc["2019-05-02"].to_numpy().nonzero()[0].tolist() == [33, 34, 35]
    assert cars.loc["2019-05-02", [8.25, 8.5, 8.75]].tolist() == pytest.approx([2, 2, 1])
    assert cars.loc["2019-05-03"].to_numpy().nonzero()[0].tolist() == [94, 95]
    assert cars.loc["2019-05-04"].to_numpy().nonzero()[0].tolist() == [0, 1]
    assert table.index[-1] == pd.Timestamp("2019-07-01")
    assert cars.loc["2019-07-01"].sum() == pytest.approx(48)
    assert table.attrs["empty_weekdays"][:2] == ["2019-05-06", "2019-05-07"]
    assert len(table.attrs["empty_weekdays"]) == 20


def test_availability_where_the_clock_changes():
    """In real time, on the clock: what comes twice must hold twice, what is skipped is filled."""
    sessions = stays(
        ("2025-03-09 00:00", "2025-03-09 06:00"),
        ("2025-03-09 01:50", "2025-03-09 03:20"),  # half an hour
        ("2025-11-02 00:00", "2025-11-02 06:00"),
        ("2025-11-02 00:00", "2025-11-02 02:00"),
    )
    first = pd.Timestamp("2025-11-02 08:30", tz="UTC").tz_convert("America/Los_Angeles")
    sessions.loc[3, "departure"] = first  # gone when the clock shows 1:00 again
    table = available_by_day(sessions, 1.0)
    assert table.loc["2025-03-09", 1.5:3.5].tolist() == [1, 1, 1, 1, 1, 1, 2, 1, 1]
    assert table.loc["2025-11-02", 0.75:2.0].tolist() == [2, 1, 1, 1, 1, 1]


def test_availability_where_midnight_is_skipped():
    night = pd.to_datetime(["2017-10-15 01:00", "2017-10-15 02:00"]).tz_localize(
        "America/Sao_Paulo"
    )
    table = available_by_day(pd.DataFrame({"arrival": night[:1], "departure": night[1:]}), 1.0)
    assert table.loc["2017-10-15", :2.0].tolist() == [1] * 8 + [0]


def test_availability_refuses_sessions_that_cannot_be():
    """One of the book's own sessions at JPL begins at a station that is still taken."""
    good = stays(("2019-05-02 08:00", "2019-05-02 09:00"), ("2019-05-02 08:30", "2019-05-02 10:00"))
    lost = good.assign(departure=good.departure.where([True, False]))
    turned = good.rename(columns={"arrival": "departure", "departure": "arrival"})
    for bad in (lost, turned, good.assign(station="A1"), data.sessions("jpl")):
        with pytest.raises(ValueError, match="sessions: session"):
            available_by_day(bad, 0.007)
    apart = available_by_day(good.assign(station=["A1", "A2"]), 0.007)
    assert apart.equals(available_by_day(good, 0.007))


@pytest.fixture(scope="module")
def jpl():
    return available_by_day(fleet.check_sessions(data.sessions("jpl"), drop=True), 0.007)


def test_availability_counts_what_a_list_counts(jpl):
    """At a few quarter hours, by looking at every session."""
    sessions = data.sessions("jpl")
    come, go = (sessions[name].dt.tz_localize(None) for name in ("arrival", "departure"))
    for day, hour in (
        ("2019-06-04", 9.0),
        ("2019-11-03", 0.5),
        ("2019-12-11", 15.25),
        ("2020-03-09", 12.0),
        ("2021-08-31", 10.5),
    ):
        start = pd.Timestamp(day) + pd.Timedelta(hours=hour)
        there = ((come <= start) & (go >= start + pd.Timedelta(minutes=15))).sum()
        assert jpl.loc[day, hour] == pytest.approx(0.007 * there)
    months = jpl.index.to_period("M").astype(str).unique()
    assert not {"2020-01", "2020-06"} & set(months)
    assert {"2020-02", "2020-05", "2021-05"} <= set(months)
    assert {"2021-07-22", "2019-12-25"} <= set(jpl.attrs["empty_weekdays"])


def test_recency_is_three_forecasts():
    assert recency(4, 0.0).tolist() == [0.25] * 4
    assert recency(4, 1.0).tolist() == [0, 0, 0, 1]
    assert recency(3, 0.5).tolist() == pytest.approx([1 / 7, 2 / 7, 4 / 7])
    past, level = np.random.default_rng(1).uniform(0, 1, 300), 0.4
    for y in past:
        level += 0.2 * (y - level)  # exponential smoothing as it is usually written
    assert recency(300, 0.2) @ past == pytest.approx(level)


def test_pinball_is_least_at_the_quantile():
    assert pinball(10.0, 8.0, 0.9) == pytest.approx(1.8)
    assert pinball(8.0, 10.0, 0.9) == pytest.approx(0.2)
    assert pinball([10.0, 8.0], [8.0, 10.0], 0.9).tolist() == pytest.approx([1.8, 0.2])
    values, chance = outcomes(30, 0.4, 1.0)
    for level in (0.1, 0.5, 0.8):
        score = [chance @ pinball(values, q, level) for q in values]
        assert values[int(np.argmin(score))] == quantile(values, level, chance)


@given(samples(), st.floats(-1, 8))
@few
def test_crps_is_the_mean_pinball(sample, observed):
    """Eq. (12.10) both ways, and the definition with two copies of the sample."""
    values, chance = sample
    score = crps(observed, values, chance)
    levels = (np.arange(4000) + 0.5) / 4000
    assert score == pytest.approx(
        2 * np.mean(pinball(observed, quantile(values, levels, chance), levels)), abs=0.01
    )
    spread = chance @ np.abs(np.subtract.outer(values, values)) @ chance
    assert score == pytest.approx(chance @ np.abs(values - observed) - spread / 2, abs=1e-9)


def test_crps_of_many():
    rng = np.random.default_rng(5)
    many, seen = rng.uniform(0, 1, (8, 3)), rng.uniform(0, 1, 3)
    assert crps(seen, many).tolist() == pytest.approx([crps(seen[t], many[:, t]) for t in range(3)])
    assert crps(seen, many[:, 0]).tolist() == pytest.approx([crps(y, many[:, 0]) for y in seen])
    assert crps(3.0, [1.0]) == 2.0
    assert crps(seen, many[:, 0]).shape == (3,)


def week(*values, start="2020-02-03"):
    """Mondays to Fridays, two intervals each, with the same number all day."""
    days = pd.bdate_range(start, periods=len(values), name="day")
    return pd.DataFrame(
        np.repeat(np.array(values, dtype=float)[:, None], 2, axis=1),
        index=days,
        columns=pd.Index([8.0, 8.25], name="clock_h"),
    )


def test_forecast_scores_by_hand():
    """Mondays 1, 3 and then 4: the mean of the past says 2, the latest 3."""
    mondays = week(*range(15)).iloc[[0, 5, 10]] * 0 + np.array([[1.0], [3.0], [4.0]])
    table = forecast_scores(mondays, "2020-02-17", [0.0, 1.0], band=0.5)
    assert table.mae_mw.tolist() == [2.0, 1.0]
    assert table.crps_mw.tolist() == pytest.approx([1.5, 1.0])
    assert table.pinball_mw.tolist() == [0.25 * 3, 0.25 * 1]
    assert table.coverage.tolist() == [0.0, 0.0]
    assert table.test_days.tolist() == [1, 1]
    mondays.iloc[2] = [2.0, 3.0]
    half = forecast_scores(mondays, "2020-02-17", [0.0, 1.0], band=0.5)
    assert half.coverage.tolist() == [1.0, 0.5]
    assert half.mae_mw.tolist() == [0.5, 0.5]
    assert forecast_scores(mondays, "2020-02-10", [1.0]).test_days.tolist() == [2]


def test_forecasts_on_real_sessions(jpl):
    """Before the break the whole past is the best forecast and the latest week the worst.

    Once the cars stayed away it is the other way round.
    """
    hours = jpl[jpl.index.day_of_week < 5].loc[:, [9.0, 12.0, 15.0]]
    before = forecast_scores(hours.loc[:"2020-02"], "2019-11-01", [0.0, 1.0])
    after = forecast_scores(hours.loc[:"2020-05"], "2020-04-01", [0.0, 1.0])
    assert before.crps_mw[0.0] < before.crps_mw[1.0]
    assert after.crps_mw[0.0] > after.crps_mw[1.0]
    assert (before.test_days == 21 + 22 + 20).all()
    assert before.crps_mw[1.0] == pytest.approx(before.mae_mw[1.0])


# ------------------------------------------------------------------------------------ out of sample

RULES = standard_rules()


def test_settle_by_hand():
    """A quarter hour each: 2 MW offered four times, 1, 2, 3 and 2 there."""
    came = week(1, 2)
    came.iloc[1] = [3.0, 2.0]
    came.iloc[0] = [1.0, 2.0]
    offer = came * 0 + 2.0
    done = settlement(offer, came, LOSING)
    assert (done.days, done.days_kept, done.promises, done.kept) == (2, 1, 4, 3)
    assert (done.offered_mwh, done.short_mwh) == (2.0, 0.25)
    assert done.penalty == pytest.approx(90 * 0.25)
    assert done.profit == pytest.approx(20 * 2.0 - 90 * 0.25)
    assert done.perfect_profit == pytest.approx(20 * 0.25 * 8)
    nothing = settlement(offer * 0, came, LOSING)
    assert (nothing.promises, nothing.kept, nothing.days_kept, nothing.profit) == (0, 0, 2, 0.0)


def test_rules_learn_from_the_weekday():
    """Mondays 10, 20, 30, 40 and so on by 10 for ten weeks; other days have 1."""
    past = week(*[10 * (k // 5 + 1) if k % 5 == 0 else 1 for k in range(50)])
    days = pd.DatetimeIndex(["2020-04-13", "2020-04-14"])
    rare = Deal(price_per_mw_h=3.0, penalty_per_mw_h=10.0)
    found = {name: offers(past, days, rule, rare) for name, rule in RULES.items()}
    assert {name: table.iloc[0, 0] for name, table in found.items()} == {
        "mean": 55.0,
        "firm": 20.0,
        "newsvendor": 30.0,
        "cvar": 10.0,
        "rolling": 60.0,
    }
    for table in found.values():
        assert table.iloc[1, 0] == 1.0
        assert table.index.equals(days)
        assert list(table) == [8.0, 8.25]
    softer = standard_rules(0.7, Attitude(), 1.0)
    assert [
        offers(past, days, softer[name], rare).iloc[0, 0] for name in ("firm", "cvar", "rolling")
    ] == [40.0, 30.0, 100.0]


def test_the_future_cannot_be_used():
    days = week(*range(1, 16))
    for train, test in (
        (days, days),
        (days.iloc[:11], days.iloc[10:]),
        (days.iloc[10:], days.iloc[:5]),
    ):
        with pytest.raises(ValueError, match="must not be tested on days that they were fitted to"):
            compare_rules(train, test, DEAL, RULES)
    assert list(compare_rules(days.iloc[:10], days.iloc[10:], DEAL, RULES).index) == list(RULES)


def test_later_days_do_not_change_earlier_offers(jpl):
    """Change all that comes from June 2020 on: the rows before it stay as they were."""
    hours = jpl[jpl.index.day_of_week < 5].loc[:, [9.0, 9.25]]
    other = hours.copy()
    other.loc["2020-06":] = 9.0
    one, two = (
        backtest(table, DEAL, {"firm": RULES["firm"]}, first_test="2020-02-01")
        for table in (hours, other)
    )
    before = one.index.get_level_values("start") < "2020-06"
    assert one[before].equals(two[before])
    assert not one.equals(two)
    assert (before.sum(), len(one)) == (4, 8)


@pytest.mark.parametrize("every, starts", [("M", 2), ("W", 3), ("D", 8)])
def test_backtest_walks_forward(every, starts):
    """From Thursday 27 February 2020 to Monday 9 March: two months, three weeks, eight weekdays.

    Each is judged on all days before it.
    """
    days = week(*([4, 5, 6, 7, 8] * 4), 1, 2, 3, 4, 5, 9)
    deal = Deal(price_per_mw_h=1.0, penalty_per_mw_h=4.0)
    table = backtest(days, deal, RULES, every=every, first_test="2020-02-27")
    firsts = table.index.get_level_values("start").unique()
    assert len(firsts) == starts
    assert firsts[0] == pd.Timestamp("2020-02-27")
    assert table.index.names == ["start", "rule"]
    for start, stop in zip(firsts, [*firsts[1:], pd.Timestamp("2021-01-01")]):
        test = days[(days.index >= start) & (days.index < stop)]
        settled = compare_rules(days[days.index < start], test, deal, RULES)
        assert table.loc[start].drop(columns="side").equals(settled)
    assert table.groupby(level="rule").days.sum().eq(8).all()


def test_sides_of_march_2020():
    days = week(*([4.0] * 70))
    table = backtest(days, DEAL, {"firm": RULES["firm"]}, first_test="2020-02-17")
    assert table.columns[0] == "side"
    assert table.side.tolist() == [
        "before March 2020",
        "March 2020",
        "after March 2020",
        "after March 2020",
    ]
    board = scoreboard(table)
    assert board.index.tolist() == [
        ("before March 2020", "firm"),
        ("March 2020", "firm"),
        ("after March 2020", "firm"),
    ]


def test_scoreboard_by_hand():
    days = week(*([4.0] * 10), *([2.0] * 5), *([4.0] * 5))
    rules = {"firm": RULES["firm"], "none": lambda past, deal: 0 * past[0]}
    table = backtest(days, DEAL, rules, every="D", first_test="2020-02-17")
    board = scoreboard(table, by=["rule"])
    shares = board.loc["firm", ["short_share", "coverage", "joint_coverage"]]
    assert shares.tolist() == pytest.approx([5 * 2 / (5 * 4 + 5 * 2), 0.5, 0.5])
    assert board.loc["firm", "of_perfect"] == pytest.approx((20 * 30 - 70 * 10) / (20 * 30))
    assert board.loc[
        "none", ["short_share", "coverage", "joint_coverage", "of_perfect"]
    ].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert board.loc["firm", ["days", "promises", "kept"]].tolist() == [10, 20, 10]


def test_scoreboard_of_days_without_cars():
    empty = week(*([0.0] * 10))
    board = scoreboard(backtest(empty, DEAL, RULES, first_test="2020-02-10"))
    assert (board.of_perfect == 0).all()
    assert (board.coverage == 1).all()
    assert np.isfinite(board.to_numpy()).all()


def test_what_real_sessions_teach(jpl):
    """Fitted on 2019, P90 holds less often than 0.9 even before March 2020.

    The mean loses money; after the break old data are worse than recent ones.
    """
    hours = jpl[jpl.index.day_of_week < 5].loc[:, 8.0:16.75:4]
    deal = Deal(price_per_mw_h=20.0, penalty_per_mw_h=200.0)
    board = scoreboard(backtest(hours, deal, RULES, first_test="2019-09-01"))
    before, after = board.loc["before March 2020"], board.loc["after March 2020"]
    assert 0.75 < before.coverage["firm"] < 0.9
    assert before.profit["mean"] < 0 < before.profit["firm"] < before.perfect_profit["firm"]
    assert after.profit["rolling"] > after.profit["firm"]
    assert board.loc[("March 2020", "firm"), "short_share"] > 0.3


# ----------------------------------------------------------------------------------------- refusals

HALF = week(*range(1, 11))
DAY = ("2019-05-02 08:00", "2019-05-02 09:00")
LATER = pd.DatetimeIndex(["2020-02-17"])
TABLE = backtest(HALF, DEAL, RULES, first_test="2020-02-10")
SMALL = Scenarios(available_mw=[[1.0, 2.0], [3.0, 1.0]], dt_h=0.5)
BAD = [
    (
        lambda: Deal(price_per_mw_h=0.0, penalty_per_mw_h=1.0),
        "price_per_mw_h is 0 per MW and h; it must be above 0",
    ),
    (
        lambda: Deal(price_per_mw_h=1.0, penalty_per_mw_h=-1.0),
        "penalty_per_mw_h is -1 per MW and h; it must be at least 0",
    ),
    (lambda: Attitude(risk_weight=1.1), "risk_weight is 1.1; it must be at most 1"),
    (lambda: Attitude(risk_weight=-0.1), "risk_weight is -0.1; it must be at least 0"),
    (lambda: Attitude(alpha=1.0), "alpha is 1; it must be below 1"),
    (lambda: Attitude(alpha=-0.5), "alpha is -0.5; it must be at least 0"),
    (lambda: Attitude(reliability=0.0), "reliability is 0; it must be above 0"),
    (
        lambda: Attitude(reliability=90),
        "reliability is 90; it must be a fraction, at most 1: is it in per cent?",
    ),
    (lambda: profit(-1.0, 1.0, DEAL), "offer_mw is -1 MW; it must be at least 0"),
    (lambda: profit(1.0, -1.0, DEAL), "available_mw is -1 MW; it must be at least 0"),
    (lambda: profit(1.0, np.nan, DEAL), "available_mw contains NaN"),
    (lambda: outcomes(2.5, 0.5, 1.0), "n_cars is 2.5; it must be a whole number"),
    (lambda: outcomes(0, 0.5, 1.0), "n_cars is 0; it must be at least 1"),
    (lambda: outcomes(5, 1.0, 1.0), "presence is 1; it must be below 1"),
    (lambda: outcomes(5, 0.0, 1.0), "presence is 0; it must be above 0"),
    (lambda: outcomes(5, 0.5, 1.0, 1.0), "correlation is 1; it must be below 1"),
    (lambda: outcomes(5, 0.5, 1.0, -0.1), "correlation is -0.1; it must be at least 0"),
    (lambda: outcomes(5, 0.5, 0.0), "car_mw is 0 MW; it must be above 0"),
    (
        lambda: expected_profit(1.0, [[1.0, 2.0]], DEAL),
        "available_mw has shape (1, 2); here it must be a single row of scenarios",
    ),
    (
        lambda: expected_profit(1.0, 2.0, DEAL),
        "available_mw is a single number; give one value per scenario",
    ),
    (lambda: expected_profit(1.0, [-2.0], DEAL), "available_mw is -2 MW; it must be at least 0"),
    (lambda: expected_profit(-1.0, [2.0], DEAL), "offer_mw is -1 MW; it must be at least 0"),
    (lambda: best_offer([-1.0], DEAL), "available_mw is -1 MW; it must be at least 0"),
    (lambda: firm_offer([-1.0], 0.9), "available_mw is -1 MW; it must be at least 0"),
    (lambda: firm_offer([1.0], 1.0), "reliability is 1; it must be below 1"),
    (lambda: firm_offer([1.0], 0.0), "reliability is 0; it must be above 0"),
    (
        lambda: penalty_multiple(90),
        "reliability is 90; it must be a fraction, below 1: is it in per cent?",
    ),
    (
        lambda: critical_share(Deal(price_per_mw_h=20.0, penalty_per_mw_h=20.0)),
        "a missing MW costs 20 and an offered one earns 20. To promise without limit would pay",
    ),
    (
        lambda: critical_share(
            replace(HOURLY, penalty_per_mw_h=np.array([90.0, 80.0, 0.0, 60.0, 70.0, 75.0]))
        ),
        "a missing MW costs 35 and an offered one earns 35",
    ),
    (
        lambda: best_offer(
            [1.0], Deal(price_per_mw_h=20.0, penalty_per_mw_h=0.0, pays_undelivered=False)
        ),
        "To promise without limit would pay",
    ),
    (lambda: normal_offer(1.0, 0.0, DEAL), "sigma_mw is 0 MW; it must be above 0"),
    (lambda: normal_profit(1.0, 1.0, 0.0, DEAL), "sigma_mw is 0 MW; it must be above 0"),
    (lambda: normal_cvar(1.0, -1.0, 0.9), "sigma is -1; it must be at least 0"),
    (lambda: normal_cvar(1.0, 1.0, 1.0), "alpha is 1; it must be below 1"),
    (lambda: var([1.0], 0.0), "alpha is 0; it must be above 0"),
    (lambda: var([1.0], 1.0), "alpha is 1; it must be below 1"),
    (lambda: cvar([1.0], 1.0), "alpha is 1; it must be below 1"),
    (lambda: cvar([[1.0, 2.0]], 0.5), "losses has shape (1, 2); here it must be a single row"),
    (lambda: cvar_lp([1.0], -0.1), "alpha is -0.1; it must be at least 0"),
    (
        lambda: cvar([1.0, 2.0], 0.5, [0.5, 0.4]),
        "probability sums to 0.9; it must sum to 1 (divide each by the sum)",
    ),
    (
        lambda: cvar([1.0, 2.0], 0.5, [0.5, 0.6]),
        "probability sums to 1.1; it must sum to 1 (divide each by the sum)",
    ),
    (lambda: cvar([1.0, 2.0], 0.5, [1.2, -0.2]), "probability is -0.2; it must be at least 0"),
    (
        lambda: cvar([1.0, 2.0], 0.5, [1.0]),
        "probability has shape (1,); there are 2 scenarios, each needs one",
    ),
    (lambda: quantile([1.0], 1.2), "level is 1.2; it must be at most 1"),
    (lambda: quantile([1.0], -0.5), "level is -0.5; it must be at least 0"),
    (lambda: information([1.0, 2.0], DEAL, ["a"]), "signal has shape (1,); there are 2 scenarios"),
    (lambda: information([-1.0, 2.0], DEAL), "available_mw is -1 MW; it must be at least 0"),
    (
        lambda: Scenarios(available_mw=[1.0, 2.0], dt_h=1.0),
        "available_mw has shape (2,); it must be (scenarios, intervals)",
    ),
    (
        lambda: Scenarios(available_mw=[[1.0, -2.0]], dt_h=1.0),
        "available_mw is -2 MW; it must be at least 0",
    ),
    (lambda: Scenarios(available_mw=[[1.0, 2.0]], dt_h=0.0), "dt_h is 0 h; it must be above 0"),
    (
        lambda: Scenarios(available_mw=[[1.0, 2.0]], dt_h=1.0, product=[0, 2]),
        "product must give each of the 2 intervals a number, from 0 without a gap",
    ),
    (
        lambda: Scenarios(available_mw=[[1.0, 2.0]], dt_h=1.0, product=[0]),
        "product must give each of the 2 intervals a number",
    ),
    (
        lambda: Scenarios(available_mw=[[1.0, 2.0]], dt_h=1.0, probability=[0.5]),
        "probability sums to 0.5",
    ),
    (
        lambda: portfolio(
            Scenarios(available_mw=[[1.0]], dt_h=1.0),
            Deal(price_per_mw_h=2.0, penalty_per_mw_h=1.0),
        ),
        "raise penalty_per_mw_h, or ask for a reliability",
    ),
    (lambda: reliability(-1.0, [[1.0]]), "offer_mw is -1 MW; it must be at least 0"),
    (lambda: reliability(1.0, [[-1.0]]), "available_mw is -1 MW; it must be at least 0"),
    (
        lambda: fleet_paths(
            5, 0.5, 1.0, persistence=1.1, shape=(2, 2), rng=np.random.default_rng()
        ),
        "persistence is 1.1; it must be at most 1",
    ),
    (
        lambda: fleet_paths(
            5, 1.2, 1.0, persistence=0.5, shape=(2, 2), rng=np.random.default_rng()
        ),
        "presence is 1.2; it must be at most 1",
    ),
    (
        lambda: fleet_paths(
            5, 0.5, 0.0, persistence=0.5, shape=(2, 2), rng=np.random.default_rng()
        ),
        "car_mw is 0 MW; it must be above 0",
    ),
    (
        lambda: fleet_paths(
            5.5, 0.5, 1.0, persistence=0.5, shape=(2, 2), rng=np.random.default_rng()
        ),
        "n_cars is 5.5; it must be a whole number",
    ),
    (lambda: available_by_day(HALF, 1.0), "sessions has no column arrival, departure"),
    (lambda: available_by_day(stays(DAY).iloc[:0], 1.0), "sessions is empty"),
    (
        lambda: available_by_day(stays(DAY), 0.0),
        "car_mw is 0 MW; it must be above 0",
    ),
    (lambda: recency(0, 0.5), "n is 0 days; it must be at least 1"),
    (lambda: recency(3, 1.2), "smoothing is 1.2; it must be at most 1"),
    (lambda: recency(3, -0.5), "smoothing is -0.5; it must be at least 0"),
    (lambda: pinball(1.0, 1.0, 1.2), "level is 1.2; it must be at most 1"),
    (lambda: pinball(1.0, 1.0, -0.5), "level is -0.5; it must be at least 0"),
    (lambda: pinball(np.nan, 1.0, 0.5), "observed contains NaN"),
    (lambda: crps(np.nan, [1.0]), "observed contains NaN"),
    (
        lambda: forecast_scores(HALF, "2021-01-01", [0.0]),
        "first_test is 2021-01-01, and the last of days is 2020-02-14",
    ),
    (
        lambda: forecast_scores(HALF, "2020-02-03", [0.0]),
        "days has no Monday before 2020-02-03 to learn from",
    ),
    (lambda: forecast_scores(HALF, "2020-02-10", [0.0], band=1.0), "band is 1; it must be below 1"),
    (lambda: forecast_scores(HALF, "2020-02-10", [0.0], band=0.0), "band is 0; it must be above 0"),
    (lambda: backtest(HALF, DEAL, RULES, first_test="2021-01-01"), "first_test is 2021-01-01"),
    (lambda: backtest(HALF, DEAL, RULES, first_test="soon"), "first_test is 'soon'; give a date"),
    (lambda: backtest(HALF, DEAL, {}, first_test="2020-02-10"), "rules is empty"),
    (
        lambda: backtest(HALF, DEAL, RULES, first_test=pd.Timestamp("2020-02-10", tz="UTC")),
        "first_test has the time zone UTC; days have none",
    ),
    (
        lambda: backtest(HALF[::-1], DEAL, RULES, first_test="2020-02-10"),
        "the index of days must rise: 2020-02-13 00:00:00 comes after 2020-02-14 00:00:00",
    ),
    (
        lambda: backtest(HALF, DEAL, RULES, every="Y", first_test="2020-02-10"),
        "every is 'Y'; it must be",
    ),
    (
        lambda: backtest(HALF, DEAL, RULES, first_test="2020-02-03"),
        "first_test is 2020-02-03; days has no day before it to learn from",
    ),
    (
        lambda: compare_rules(HALF.iloc[:3], HALF.iloc[3:], DEAL, RULES),
        "train has no Thursday to learn from, and the days to test have one",
    ),
    (
        lambda: compare_rules(HALF.iloc[:5], HALF.iloc[5:], DEAL, {"mine": lambda past, deal: 1.0}),
        "the rule returned an array of shape (); it must give one offer for each of the 2",
    ),
    (
        lambda: compare_rules(
            HALF.iloc[:5], HALF.iloc[5:], DEAL, {"mine": lambda past, deal: -past[0]}
        ),
        "the offer of the rule is -1 MW; it must be at least 0",
    ),
    (
        lambda: settlement(HALF.iloc[:5], HALF.iloc[5:], DEAL),
        "offer_mw and days must have the same index and columns",
    ),
    (
        lambda: settlement(HALF.iloc[:, :1], HALF.iloc[:, :1], DEAL),
        "the columns of days are [8.0]; they must be clock hours, at least two, rising and evenly",
    ),
    (
        lambda: settlement(*[HALF.assign(late=1.0).set_axis([8.0, 8.25, 9.0], axis=1)] * 2, DEAL),
        "they must be clock hours, at least two, rising and evenly spaced",
    ),
    (
        lambda: settlement(*[HALF.iloc[:, ::-1]] * 2, DEAL),
        "they must be clock hours, at least two, rising and evenly spaced",
    ),
    (lambda: settlement(HALF, HALF.mask(HALF > 9), DEAL), "days contains NaN"),
    (
        lambda: settlement(HALF, HALF, HOURLY),
        "deal has prices of shape (6,); give one number, or one for each of the 2 intervals",
    ),
    (
        lambda: compare_rules(HALF[:5], HALF[5:].iloc[:, :1], DEAL, RULES),
        "train and test must have the same columns",
    ),
    (lambda: offers(-HALF, LATER, RULES["firm"], DEAL), "train is -1 MW; it must be at least 0"),
    (
        lambda: offers(HALF, LATER + pd.Timedelta(hours=8), RULES["firm"], DEAL),
        "test_days has 2020-02-17 08:00:00; each entry must be a day, without a time",
    ),
    (
        lambda: forecast_scores(HALF.tz_localize("UTC"), "2020-02-10", [0.0]),
        "the index of days has the time zone UTC; days have none",
    ),
    (lambda: forecast_scores(HALF, "2020-02-10", 0.5), "smoothings has shape ()"),
    (lambda: standard_rules(target=90), "target is 90; it must be a fraction, below 1"),
    (lambda: standard_rules(smoothing=-0.5), "smoothing is -0.5; it must be at least 0"),
    (lambda: scoreboard(HALF), "table has no column days, days_kept"),
    (lambda: scoreboard(TABLE.assign(kept=np.nan)), "column kept of table contains NaN"),
    (lambda: scoreboard(TABLE.assign(side=None)), "column side of table has missing entries"),
    (lambda: scoreboard(TABLE, by=["week"]), "by is 'week'; it must be one of 'start', 'rule'"),
    (lambda: scoreboard(TABLE, by=[]), "by is empty"),
    (lambda: normal_offer(0.1, 1.0, DEAL), "sigma_mw is too large for mean_mw"),
    (
        lambda: replace(HOURLY, price_per_mw_h=[1.0, 2.0]),
        "these shapes do not fit each other: price_per_mw_h (2,), penalty_per_mw_h (6,)",
    ),
    (lambda: Attitude(risk_weight=[0.1, 0.2]), "risk_weight has shape (2,); give a single number"),
    (
        lambda: profit([1.0, 2.0], [1.0, 2.0, 3.0], DEAL),
        "these shapes do not fit each other: offer_mw (2,), available_mw (3,)",
    ),
    (
        lambda: best_offer(np.ones((4, 2)), HOURLY),
        "the price in deal has shape (6,); give one number, or one for each of the 2 intervals",
    ),
    (
        lambda: firm_offer(np.ones((4, 2)), [0.7, 0.8, 0.9]),
        "reliability has shape (3,); give one number, or one for each of the 2 intervals",
    ),
    (lambda: outcomes(10**7, 0.5, 1.0), "n_cars is 10000000; it must be at most 1e+06"),
    (lambda: cvar([1.0, 2.0], 0.5, [50, 50]), "probability is 50; it must be a fraction"),
    (lambda: cvar_lp([1e29, -1e29], 0.5), "losses: the linear programme could not be solved"),
    (lambda: information([1.0, 2.0], HOURLY), "deal has prices of shape (6,)"),
    (lambda: information([1.0, 2.0], DEAL, [np.nan, 1.0]), "signal has missing entries"),
    (lambda: day_profit([1.0], SMALL, DEAL), "offer_mw has 1 entries; there are 2 products"),
    (lambda: portfolio(SMALL, HOURLY), "deal has prices of shape (6,)"),
    (lambda: reliability([1.0, 2.0, 3.0], [[1.0, 2.0]]), "offer_mw has shape (3,)"),
    (lambda: reliability(1.0, [1.0, 2.0]), "available_mw has shape (2,); it must be"),
    (
        lambda: fleet_paths(
            5, 0.5, 1.0, persistence=0.5, shape=(10**5, 10**4), rng=np.random.default_rng()
        ),
        "shape[0] (100,000) times shape[1] (10,000) makes 1e+09 numbers",
    ),
    (lambda: crps([1.0, 2.0, 3.0], np.ones((4, 2))), "observed has shape (3,)"),
]


@pytest.mark.parametrize("call, words", BAD, ids=[words[:40] for _, words in BAD])
def test_bad_input_is_refused_in_words(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


OF_ANOTHER_KIND = [
    (
        lambda: Deal(price_per_mw_h=1.0, penalty_per_mw_h=3.0, pays_undelivered="no"),
        "pays_undelivered is 'no'; it must be True or False",
    ),
    (lambda: profit(1.0, 1.0, Attitude()), "deal is a risk.Attitude; it must be a risk.Deal"),
    (lambda: portfolio(SMALL, DEAL, 0.5), "attitude is 0.5; it must be a risk.Attitude"),
    (lambda: day_profit([1.0], [[1.0]], DEAL), "scenarios is a list"),
    (
        lambda: fleet_paths(5, 0.5, 1.0, persistence=0.5, shape=(2, 2), rng=7),
        "rng is 7; it must be a Generator",
    ),
    (lambda: available_by_day([1], 0.007), "sessions is a list; it must be a DataFrame"),
    (lambda: offers(HALF, "2020-02-17", RULES["firm"], DEAL), "test_days must be time stamps"),
    (lambda: offers(HALF, LATER, "firm", DEAL), "rule is 'firm'; it must be a function"),
    (
        lambda: compare_rules(HALF[:5], HALF[5:], DEAL, {"mine": 1.0}),
        "rules['mine'] is 1.0; it must be a function",
    ),
    (
        lambda: settlement(HALF.set_axis(HALF.index.astype(str)), HALF, DEAL),
        "the index of offer_mw must be time stamps",
    ),
    (lambda: backtest(HALF, DEAL, RULES, first_test=20200210), "first_test is 20200210"),
    (lambda: scoreboard(TABLE, by="rule"), "by is 'rule'; put it into a list"),
]


@pytest.mark.parametrize("call, words", OF_ANOTHER_KIND, ids=[w[:40] for _, w in OF_ANOTHER_KIND])
def test_another_kind_is_refused_in_words(call, words):
    with pytest.raises(TypeError, match=re.escape(words)):
        call()
