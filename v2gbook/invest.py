r"""Payments over years: what an investment is worth, and what it must earn.

`annuity` spreads an investment over its life, `net_present_value`, `internal_rate` and
`payback_years` judge a row of yearly payments, `cash_flow` makes the row of a `Project`, and
`waiting_cost` tells what a wait takes from it. `one_at_a_time` says which uncertain input decides a
verdict, and at which value it turns. Chapters 8, 11 and 13 use them; the equations are numbered in
the first of them that needs each.

Payments stand at the end of each year, the first is today; what is spent is negative. Money is in
the currency of the payments.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from ._check import (
    FloatOrArray,
    checked,
    finite_result,
    fraction,
    instance,
    keep,
    keep_single,
    one,
    one_fraction,
    plain,
    row,
    short,
    together,
)

_MOST_PAYMENTS = 600  # fifty years of months


def _payments_in_time(flows):
    """A row of payments."""
    payments = row("flows", flows)
    if len(payments) > _MOST_PAYMENTS:
        raise ValueError(
            f"flows has {len(payments)} payments; at most {_MOST_PAYMENTS} are allowed"
        )
    return payments


def annuity(rate: ArrayLike, years: ArrayLike) -> FloatOrArray:
    r"""Return the capital recovery factor: the yearly payment that pays back 1 over some years.

    .. math:: CRF = \frac{d}{1 - (1 + d)^{-n}}            (8.9)

    Parameters
    ----------
    rate : float or array
        Discount rate, a fraction below 1; 0 is allowed [1/year].
    years : float or array
        How long is paid, above 0 [years].

    Returns
    -------
    float or array
        Payment at the end of each year [1/year].

    Raises
    ------
    ValueError
        If an argument is no number or out of range, or the shapes do not fit each other.

    Examples
    --------
    >>> round(1900 * annuity(0.10, 10), 2)
    309.22
    """
    rate = np.asarray(fraction("rate", rate, lt=1, le=None))
    years = np.asarray(checked("years", years, "years", gt=0))
    together(rate=rate, years=years)
    with np.errstate(over="ignore", divide="ignore"):
        some = np.where(rate > 0, rate, 1.0)  # where the rate is 0 the formula has no value
        with_interest = some / -np.expm1(-years * np.log1p(some))
        factor = np.where(rate > 0, with_interest, 1 / years)  # eq. (8.9)
    return finite_result("years", factor)


def net_present_value(rate: float, flows: ArrayLike) -> float:
    r"""Return the value today of a row of yearly payments.

    .. math:: NPV = \sum_{y=0}^{n} \frac{F_y}{(1 + \delta)^y}            (8.10)

    Parameters
    ----------
    rate : float
        Discount rate, a fraction between -1 and 1 [1/year].
    flows : array, shape (years + 1,)
        Payment at the end of each year; the first is today, < 0 for an investment.

    Returns
    -------
    float
        In the currency of the payments.

    Raises
    ------
    ValueError
        If an argument is no number or out of range, or the flows are not one row of numbers.

    Examples
    --------
    An investment of 100 brings 55 after one year and 121 after two:

    >>> round(net_present_value(0.1, [-100.0, 55.0, 121.0]), 2)
    50.0
    """
    rate = one_fraction("rate", rate, gt=-1, ge=None, lt=1, le=None)
    flows = row("flows", flows)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        value = np.sum(flows / (1 + rate) ** np.arange(len(flows)))  # eq. (8.10)
    return finite_result("rate", value)


def _worth_at(factor, flows):
    """Worth of payments at a discount factor 1/(1 + r), scaled so that powers stay below 1."""
    if factor <= 1:
        return np.polyval(flows[::-1], factor)
    return np.polyval(flows, 1 / factor)


def internal_rate(flows: ArrayLike) -> float:
    r"""Discount rate at which a row of payments is worth nothing.

    .. math:: \sum_k \frac{F_k}{(1 + r)^k} = 0            (13.4)

    Parameters
    ----------
    flows : array, shape (years + 1,)
        Payments at the end of each year, at most 600; the first is today, negative for an
        investment [currency].

    Returns
    -------
    float
        Internal rate of return r, a fraction above -0.99 [1/year].

    Raises
    ------
    ValueError
        If the payments do not turn from negative to positive exactly once, or give back next to
        nothing.

    Examples
    --------
    >>> round(internal_rate([-100.0, 0.0, 121.0]), 6)
    0.1
    """
    payments = _payments_in_time(flows)
    signs = np.sign(payments[payments != 0])
    if len(signs) < 2 or signs[0] > 0 or (np.diff(signs) != 0).sum() != 1:
        raise ValueError(
            "flows must turn from negative to positive exactly once; otherwise there is no "
            "single rate"
        )
    if _worth_at(100.0, payments) <= 0:
        raise ValueError("flows give back next to nothing: the rate lies below -0.99 a year")
    factor = brentq(_worth_at, 1e-9, 100.0, args=(payments,), xtol=1e-14)
    return 1 / float(factor) - 1  # eq. (13.4)


def payback_years(flows: ArrayLike) -> float:
    """Years until the payments add up to zero.

    Parameters
    ----------
    flows : array, shape (years + 1,)
        Payments at the end of each year, at most 600; the first is today, negative for an
        investment [currency].

    Returns
    -------
    float
        Years, within a year by a straight line; infinite if the sum never reaches zero [years].

    Raises
    ------
    ValueError
        If `flows` is not a row of finite numbers.

    Examples
    --------
    >>> payback_years([-100.0, 40.0, 40.0, 40.0])
    2.5
    """
    total = np.cumsum(_payments_in_time(flows))
    if total[0] >= 0:
        return 0.0
    if (total < 0).all():
        return math.inf
    after = int(np.argmax(total >= 0))
    before = total[after - 1]
    return after - 1 + float(-before / (total[after] - before))


@dataclass(frozen=True, kw_only=True)
class Project:
    """Cars in front of the meter as an investment.

    Attributes
    ----------
    capex : float
        Investment, at least 0 [currency].
    fixed_per_year : float
        Meters, connection and staff, at least 0 [currency/year].
    revenue_per_year : float
        Revenue if the cars are new and always available, at least 0 [currency/year].
    mwh_per_year : float
        Energy that they then take out of their batteries, at least 0 [MWh/year].
    wear_per_mwh : float
        Paid to the owners for the wear of the batteries, at least 0 [currency per MWh].
    availability : float
        Fraction of power and energy that is there, 0..1 [-].
    fade_per_year : float
        Fraction of power and energy that is lost each year, 0 to below 1 [1/year].
    years : int
        Life of the project, 1 to 200 [years].

    Examples
    --------
    >>> plan = Project(
    ...     capex=1000.0,
    ...     fixed_per_year=50.0,
    ...     revenue_per_year=400.0,
    ...     mwh_per_year=3.0,
    ...     wear_per_mwh=20.0,
    ...     availability=0.9,
    ...     fade_per_year=0.1,
    ...     years=3,
    ... )
    >>> cash_flow(plan).net.round(2).tolist()
    [-1000.0, 256.0, 225.4, 197.86]
    """

    capex: float
    fixed_per_year: float
    revenue_per_year: float
    mwh_per_year: float
    wear_per_mwh: float
    availability: float
    fade_per_year: float
    years: int

    def __post_init__(self):
        amounts = ("capex", "fixed_per_year", "revenue_per_year", "mwh_per_year", "wear_per_mwh")
        keep(self, **{name: dict(one=True, ge=0) for name in amounts})
        keep_single(self, availability=dict(fraction=True), fade_per_year=dict(fraction=True, lt=1))
        keep(self, years=dict(whole=True, unit="years", le=200))


def cash_flow(project: Project) -> pd.DataFrame:
    r"""Payments of a project, year by year.

    .. math:: F_0 = -I,\qquad F_k = \beta\,(1 - \varphi)^{k-1}\,(R - w\,E) - O            (13.3)

    Parameters
    ----------
    project : Project
        The investment, with its revenue and its costs.

    Returns
    -------
    DataFrame, index year
        Columns `invested`, `revenue`, `wear` and `fixed` (costs are negative), their sum `net`, and
        `cumulated`, the sum of `net` up to the year [currency].

    Raises
    ------
    TypeError
        If `project` is not a Project.

    Examples
    --------
    >>> plan = Project(
    ...     capex=1000.0,
    ...     fixed_per_year=50.0,
    ...     revenue_per_year=400.0,
    ...     mwh_per_year=3.0,
    ...     wear_per_mwh=20.0,
    ...     availability=0.9,
    ...     fade_per_year=0.1,
    ...     years=3,
    ... )
    >>> cash_flow(plan).cumulated.round(2).tolist()
    [-1000.0, -744.0, -518.6, -320.74]
    """
    instance("project", project, Project)
    year = np.arange(project.years + 1)
    faded = (1 - project.fade_per_year) ** np.maximum(year - 1, 0)
    runs = np.where(year > 0, project.availability * faded, 0.0)
    table = pd.DataFrame(
        {
            "invested": np.where(year == 0, -project.capex, 0.0),
            "revenue": runs * project.revenue_per_year,
            "wear": -runs * project.wear_per_mwh * project.mwh_per_year,
            "fixed": np.where(year > 0, -project.fixed_per_year, 0.0),
        },
        index=pd.Index(year, name="year"),
    )
    table["net"] = table.sum(axis=1)  # eq. (13.3)
    table["cumulated"] = table.net.cumsum()
    return table


def waiting_cost(
    rate: float, flows: ArrayLike, wait_years: ArrayLike, *, spent: float = 0.0
) -> FloatOrArray:
    r"""Value that a wait of T years takes from a project.

    A part S of the investment is paid before the wait; all other payments come T years later.

    .. math:: K = (NPV + S)\,\big(1 - (1 + d)^{-T}\big)            (13.8)

    Parameters
    ----------
    rate : float
        Discount rate d, a fraction from -0.5 to below 1 [1/year].
    flows : array, shape (years + 1,)
        Payments at the end of each year, as in `net_present_value`, without the wait; the
        first is today [currency].
    wait_years : float or array
        Time T that the project waits, 0 to 100 [years].
    spent : float
        Part S of the investment that is paid before the wait, at least 0 [currency].

    Returns
    -------
    float or array
        Value lost, in the shape of `wait_years` [currency].

    Raises
    ------
    ValueError
        If an argument is not a finite number within its range.

    Examples
    --------
    >>> round(waiting_cost(0.08, [-100.0, 40.0, 40.0, 40.0, 40.0], 3.0, spent=10.0), 2)
    8.76
    """
    discount = one_fraction("rate", rate, ge=-0.5, lt=1)
    worth = net_present_value(discount, _payments_in_time(flows)) + one("spent", spent, ge=0)
    wait = np.asarray(checked("wait_years", wait_years, "years", ge=0, le=100))
    return plain(worth * (1 - (1 + discount) ** -wait))  # eq. (13.8)


def _range_around(name, ends, start):
    """Lowest and highest value of an input, with its base value between them."""
    if name not in start:
        raise ValueError(f"ranges names {name!r}, which is no input of base: {', '.join(start)}")
    ends = row(f"ranges[{name!r}]", ends)
    if len(ends) != 2:
        raise ValueError(
            f"ranges[{name!r}] has {len(ends)} values; give the lowest and the highest"
        )
    low, high = ends
    if not low < high or not low <= start[name] <= high:
        raise ValueError(
            f"ranges[{name!r}] is ({low:g}, {high:g}) and base[{name!r}] is {start[name]:g}; a "
            "range ascends and holds the base value"
        )
    return float(low), float(high)


def _result_at(result, start, name, value):
    """The result with one input at another value."""
    return one("result", result(**{**start, name: float(value)}))


def _moved(result_at, low, high):
    """The results at both ends of a range, and the value in it at which the result is zero."""
    at_low, at_high = result_at(low), result_at(high)
    break_even = math.nan
    if at_low * at_high <= 0 and at_low != at_high:
        break_even = float(brentq(result_at, low, high, xtol=1e-12 * (high - low)))
    return {"at_low": at_low, "at_high": at_high, "break_even": break_even}


def one_at_a_time(
    result: Callable[..., float],
    base: Mapping[str, float],
    ranges: Mapping[str, tuple[float, float]],
) -> pd.DataFrame:
    """How a result depends on each uncertain input, all others at their base values.

    Parameters
    ----------
    result : callable
        Takes the inputs by name and returns one number, such as what is left of a year.
    base : mapping of str to float
        Value of each input that `result` takes.
    ranges : mapping of str to (float, float)
        Lowest and highest plausible value of each uncertain input, a name of `base`.

    Returns
    -------
    DataFrame, index input
        Columns `base`, `low` and `high` (values of the input), `at_low` and `at_high` (the result
        there), and `break_even`: the value of the input between `low` and `high` at which the
        result is zero; NaN if it has the same sign at both ends. Inputs that move the result most
        come first.

    Raises
    ------
    TypeError
        If `result` cannot be called, or `base` or `ranges` is no mapping.
    ValueError
        If a range names no input of `base`, does not ascend, or leaves its base value outside, or
        the result is not a finite number.

    Notes
    -----
    One input moves at a time, so inputs that move together are not seen. If the result changes
    its sign more than once within a range, one of the zeros is found.

    Examples
    --------
    A charger for 3000 that earns 400 a year for ten years pays if it costs less than 4000:

    >>> def left(cost, a_year):
    ...     return 10 * a_year - cost
    >>> table = one_at_a_time(
    ...     left, {"cost": 3000.0, "a_year": 400.0}, {"cost": (1000.0, 5000.0)}
    ... )
    >>> table.break_even.round(6).to_dict()
    {'cost': 4000.0}
    """
    if not callable(result):
        raise TypeError(f"result must be a function, not {short(result)}")
    instance("base", base, Mapping)
    instance("ranges", ranges, Mapping)
    start = {name: one(f"base[{name!r}]", value) for name, value in base.items()}
    rows = {}
    for name, ends in ranges.items():
        low, high = _range_around(name, ends, start)
        rows[name] = {"base": start[name], "low": low, "high": high}
        rows[name] |= _moved(partial(_result_at, result, start, name), low, high)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("input")
    swing = (table.at_high - table.at_low).abs()
    return table.loc[swing.sort_values(ascending=False, kind="stable").index]
