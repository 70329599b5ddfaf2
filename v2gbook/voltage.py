r"""Topic 03, voltage: why the last house on the street sees a different voltage.

It also says what a car's inverter can do about that, beginning with two buses and one line
(`voltage_rise`, `far_voltage`, `largest_kva`) and going on to a street (`Feeder`, `feeder`,
`power_flow`, `sensitivity`). Then it asks what an inverter does when it measures a voltage
(`Curve`, `inverter_power`, `response`), and closes the loop between inverter and street
(`operating_point`, `power_flow` with `Units`, `loop_gain`, `largest_gain`, `simulate`).

Everything is balanced: three equal phases, one voltage at each bus. Power is three-phase. Active
power p > 0 and reactive power q > 0 are injected: they flow from the vehicle to the grid and raise
the voltage. Charging is negative. Ohm are per phase, volts are line to line, and a voltage in per
unit (pu) is a share of the nominal voltage.

How much voltage is allowed: ANSI C84.1 Range A permits +-5 % at the service entrance, EN 50160
+-10 % (means over 10 min), and the Electricity Safety, Quality and Continuity Regulations 2002 of
Great Britain +10/-6 %.
"""

import functools
import math
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._check import (
    FloatOrArray,
    checked,
    columns,
    flag,
    fraction,
    instance,
    keep,
    names_in,
    one,
    one_of,
    plain,
    read,
    row,
    short,
    steps,
    together,
)
from ._executor import Workers, in_order, workers
from ._limits import PERIOD_S, POWER_KW, REACTIVE_KVAR
from .charger import Charger, reactive_first

# Limits far beyond any grid: they keep a slip of the pen from ending in an overflow.
_OHM: dict[str, Any] = dict(unit="ohm", ge=0, le=1e6)


def _per_unit(name, value, *, most, **limits):
    """Return a value in per unit; one with a size far above 1 is probably in per cent."""
    checked(name, value, "pu", **limits)
    return checked(name, value, "(per unit: is it in per cent?)", ge=-most, le=most)


def _source(v0_pu):
    """Return the voltage at the root of a feeder as an array. [pu]"""
    return np.asarray(_per_unit("v0_pu", v0_pu, gt=0, ge=0.5, most=1.5))


# -------------------------------------------------------------------------- two buses, one line


def voltage_rise(
    p_kw: ArrayLike,
    q_kvar: ArrayLike = 0.0,
    *,
    v1_v: ArrayLike,
    r_ohm: ArrayLike,
    x_ohm: ArrayLike,
) -> FloatOrArray:
    r"""Approximate rise of the voltage along a line, V2 - V1.

    .. math:: \Delta V \approx \frac{R\,P + X\,Q}{V_1}            (3.1)

    Parameters
    ----------
    p_kw : float or array
        Active power injected at the far end; charging is negative [kW].
    q_kvar : float or array
        Reactive power injected at the far end [kvar].
    v1_v : float or array
        Voltage at the near end [V].
    r_ohm, x_ohm : float or array
        Resistance and reactance of the line, not both 0 [ohm].

    Returns
    -------
    float or array
        Voltage at the far end less that at the near end; negative where it drops [V].

    Raises
    ------
    ValueError
        If an argument is out of range, or the line has no impedance.

    Notes
    -----
    The approximation computes the current as if the far end had the voltage of the near end, and
    leaves out the angle between the two; `far_voltage` does neither.

    Examples
    --------
    A car charges with 30 kW, or exports them and absorbs 13.2 kvar:

    >>> voltage_rise(-30.0, 0.0, v1_v=400.0, r_ohm=0.2, x_ohm=0.1)
    -15.0
    >>> voltage_rise(30.0, -13.2, v1_v=400.0, r_ohm=0.2, x_ohm=0.1)
    11.7
    """
    p, q, v1, r, x = _two_bus(p_kw, q_kvar, v1_v, r_ohm, x_ohm)
    return plain((r * p + x * q) / v1)  # eq. (3.1)


def far_voltage(
    p_kw: ArrayLike,
    q_kvar: ArrayLike = 0.0,
    *,
    v1_v: ArrayLike,
    r_ohm: ArrayLike,
    x_ohm: ArrayLike,
) -> FloatOrArray:
    r"""Exact voltage at the far end of a line, the upper root of a quadratic equation.

    .. math::

        V_2^4 - \left(V_1^2 + 2(R P + X Q)\right) V_2^2
        + (R^2 + X^2)(P^2 + Q^2) = 0            (3.2)

    Parameters
    ----------
    p_kw : float or array
        Active power injected at the far end; charging is negative [kW].
    q_kvar : float or array
        Reactive power injected at the far end [kvar].
    v1_v : float or array
        Voltage at the near end [V].
    r_ohm, x_ohm : float or array
        Resistance and reactance of the line, not both 0 [ohm].

    Returns
    -------
    float or array
        Voltage at the far end [V].

    Raises
    ------
    ValueError
        If the line cannot carry so much power (it lies beyond the nose of the curve of voltage
        over power; the message says what the line can carry), or an argument is out of range.

    Notes
    -----
    The lower root is a second solution with a large current at a low voltage. Grids are not
    operated there.

    Examples
    --------
    The straight line of `voltage_rise` says 385.0 V:

    >>> round(far_voltage(-30.0, 0.0, v1_v=400.0, r_ohm=0.2, x_ohm=0.1), 2)
    384.31
    """
    p, q, v1, r, x = _two_bus(p_kw, q_kvar, v1_v, r_ohm, x_ohm)
    half = v1**2 / 2 + r * p + x * q
    root = half**2 - (r**2 + x**2) * (p**2 + q**2)
    if np.any(root < 0):
        _beyond_the_nose(root < 0, p, q, v1, r, x)
    return plain(np.sqrt(half + np.sqrt(root)))  # eq. (3.2)


def _beyond_the_nose(beyond, *given) -> NoReturn:
    """Say what the first line that is asked for too much can carry."""
    p, q, v1, r, x = (array[beyond][0] for array in np.broadcast_arrays(*given))
    asked_kva = np.hypot(p, q) / 1000
    most_kva = largest_kva(p / 1000, q / 1000, v1_v=v1, r_ohm=r, x_ohm=x)
    raise ValueError(
        f"{asked_kva:g} kVA is beyond the nose: at this power factor the line carries at most "
        f"{most_kva:g} kVA (p_kw = {p / 1000:g}, q_kvar = {q / 1000:g}, v1_v = {v1:g}, "
        f"r_ohm = {r:g}, x_ohm = {x:g})"
    )


def largest_kva(
    p_kw: ArrayLike,
    q_kvar: ArrayLike = 0.0,
    *,
    v1_v: ArrayLike,
    r_ohm: ArrayLike,
    x_ohm: ArrayLike,
) -> FloatOrArray:
    r"""Largest apparent power that a line can carry when p and q grow together.

    This is the nose of the curve of voltage over power.

    .. math::

        S_{max} = \frac{V_1^2}{2\left(|Z| - R\cos\varphi - X\sin\varphi\right)},\quad
        P = S\cos\varphi,\ Q = S\sin\varphi            (3.16)

    Parameters
    ----------
    p_kw, q_kvar : float or array
        Powers injected at the far end; only their ratio and signs matter, and not both are 0
        [kW, kvar].
    v1_v : float or array
        Voltage at the near end [V].
    r_ohm, x_ohm : float or array
        Resistance and reactance of the line, not both 0 [ohm].

    Returns
    -------
    float or array
        Apparent power at the nose; infinite when power is injected in the direction of the
        line's own impedance [kVA].

    Raises
    ------
    ValueError
        If p and q are both 0, or an argument is out of range.

    References
    ----------
    .. [1] Kundur, Power System Stability and Control, 1994, ch. 14.

    Examples
    --------
    >>> round(largest_kva(-30.0, 0.0, v1_v=400.0, r_ohm=0.2, x_ohm=0.1), 1)
    188.9
    """
    p, q, v1, r, x = _two_bus(p_kw, q_kvar, v1_v, r_ohm, x_ohm)
    s = np.hypot(p, q)
    z = np.hypot(r, x)
    if np.any(s == 0):
        raise ValueError(
            "p_kw and q_kvar are both 0; their ratio gives the direction in which to look"
        )
    room = z - r * (p / s) - x * (q / s)
    with np.errstate(divide="ignore", over="ignore"):
        nose_va = v1**2 / (2 * np.maximum(room, 0))  # eq. (3.16)
    return plain(np.where(room > 1e-12 * z, nose_va / 1000, np.inf))


def _two_bus(p_kw, q_kvar, v1_v, r_ohm, x_ohm):
    """Arguments of the two-bus functions, checked, as arrays in W, var, V and ohm."""
    p_w = 1000.0 * np.asarray(checked("p_kw", p_kw, **POWER_KW))
    q_var = 1000.0 * np.asarray(checked("q_kvar", q_kvar, **REACTIVE_KVAR))
    v1 = np.asarray(checked("v1_v", v1_v, "V", gt=0, ge=1e-3, le=1e7))
    r = np.asarray(checked("r_ohm", r_ohm, **_OHM))
    x = np.asarray(checked("x_ohm", x_ohm, **_OHM))
    together(p_kw=p_w, q_kvar=q_var, v1_v=v1, r_ohm=r, x_ohm=x)
    if np.any(r + x == 0):
        raise ValueError(
            "r_ohm and x_ohm are both 0; a line without impedance has the same voltage at both ends"
        )
    return p_w, q_var, v1, r, x


# ----------------------------------------------------------------------------------- the street


@dataclass(frozen=True, kw_only=True, eq=False)
class Feeder:
    """A radial feeder: one source (the root) and lines that branch like a tree.

    The order of the rows of `lines` does not matter.

    Attributes
    ----------
    lines : DataFrame, or what makes one (a list of dictionaries)
        One row a line: `from`, `to` (names of buses, text or whole numbers, in either direction),
        `r_ohm`, `x_ohm` (at least 0, not both 0), and optionally `limit_a`. Further columns are
        kept and not used. A transformer is a line with its impedance seen from the `v_kv` side.
    root : str or int
        The bus with the given voltage.
    v_kv : float
        Nominal voltage line to line, above 0 [kV].
    loads : DataFrame, optional
        One row a bus with a load: `bus`, `load_kw`, `load_kvar`. **Drawn, so at least 0**, while
        `power_flow` takes what is injected.
    buses : tuple of str or int
        Filled in: all names, the root first, the others as they first appear in `lines`. Arrays
        over buses follow this order.
    load_kw, load_kvar : array, shape (buses,)
        Filled in: the load at each bus [kW, kvar].
    limit_a : array, shape (buses,)
        Filled in: the limit of the line that feeds each bus, infinite where there is none [A].
    z_ohm : array of complex, shape (buses,)
        Filled in: R + jX of the line that feeds each bus; 0 at the root [ohm].
    path : tuple of (int, int)
        Filled in: position of each bus and of the bus above it, from the root outward.

    Raises
    ------
    ValueError
        In one sentence, for anything that is not a tree with impedances.

    Examples
    --------
    >>> table = {"from": ["grid", "a"], "to": ["a", "b"], "r_ohm": [0.1, 0.2], "x_ohm": [0.05, 0.1]}
    >>> loads = {"bus": ["b"], "load_kw": [5.0], "load_kvar": [1.0]}
    >>> street = Feeder(
    ...     lines=pd.DataFrame(table), root="grid", v_kv=0.4, loads=pd.DataFrame(loads)
    ... )
    >>> street.buses, street.load_kw.tolist()
    (('grid', 'a', 'b'), [0.0, 0.0, 5.0])
    """

    lines: pd.DataFrame
    root: str | int
    v_kv: float
    loads: pd.DataFrame | None = None
    buses: tuple[str | int, ...] = field(init=False)
    load_kw: np.ndarray = field(init=False, repr=False)
    load_kvar: np.ndarray = field(init=False, repr=False)
    limit_a: np.ndarray = field(init=False, repr=False)
    z_ohm: np.ndarray = field(init=False, repr=False)
    path: tuple[tuple[int, int], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        keep(self, v_kv=dict(unit="kV", one=True, gt=0, ge=1e-3, le=1e4))
        lines = _table("lines", self.lines, ("from", "to"), _LINE_COLUMNS)
        filled = _tree(_bus("root", self.root), lines)
        filled |= _loads(filled["buses"], self.loads)
        for name, value in filled.items():
            object.__setattr__(self, name, value)


_LINE_COLUMNS: dict[str, dict[str, Any]] = {"r_ohm": _OHM, "x_ohm": _OHM}
_LOAD_COLUMNS: dict[str, dict[str, Any]] = {
    "load_kw": dict(unit="kW", ge=0, le=1e9),
    "load_kvar": dict(unit="kvar", ge=0, le=1e9),
}


def _frame(name, table):
    """Return a new DataFrame from a DataFrame, a dictionary of columns, or a list of rows."""
    rows = isinstance(table, list) and all(isinstance(line, Mapping) for line in table)
    if not rows and not isinstance(table, (pd.DataFrame, Mapping)):
        raise TypeError(f"{name} is {short(table)}; it must be a table (a DataFrame)")
    try:
        return pd.DataFrame(table).copy()
    except ValueError as error:
        raise ValueError(f"{name} cannot be read as a table: {error}") from None


def _table(name, table, names, numbers):
    """Return a copy of a table that has these columns, with numbers within their limits."""
    table = _frame(name, table)
    if not table.columns.is_unique:
        raise ValueError(f"{name} has two columns of the same name")
    columns(name, table, (*names, *numbers))
    for column, limits in numbers.items():
        checked(f"column {column} of {name}", table[column].to_numpy(), **limits)
    return table


def _names(name, table, column):
    """Return the buses in a column of a table."""
    return [_bus(f"column {column} of {name}", bus) for bus in table[column].tolist()]


def _bus(name, value):
    """Return the name of a bus."""
    if isinstance(value, bool) or not isinstance(value, (str, int, np.integer)):
        raise ValueError(f"{name} is {short(value)}; a bus is named by text or a whole number")
    return value if isinstance(value, str) else int(value)


def _tree(root, lines):
    """Return the fields of a `Feeder` that follow from its table of lines."""
    ends = list(zip(_names("lines", lines, "from"), _names("lines", lines, "to")))
    buses = tuple(dict.fromkeys([root, *(bus for line in ends for bus in line)]))
    impedance = lines["r_ohm"].to_numpy() + 1j * lines["x_ohm"].to_numpy()
    fed = _walk(_beside(ends, impedance), root, buses)
    at = {bus: place for place, bus in enumerate(buses)}
    places = [at[bus] for bus in fed]
    numbers = [line for _, line in fed.values()]
    z_ohm = np.zeros(len(buses), complex)
    z_ohm[places] = impedance[numbers]
    limit_a = np.full(len(buses), np.inf)
    if "limit_a" in lines:
        limits = lines["limit_a"].to_numpy()
        limits = checked("column limit_a of lines", limits, "A", ge=0, finite=False)
        limit_a[places] = limits[numbers]
    return {
        "root": root,
        "lines": lines,
        "buses": buses,
        "z_ohm": z_ohm,
        "limit_a": limit_a,
        "path": tuple((at[bus], at[up]) for bus, (up, _) in fed.items()),
    }


def _beside(ends, impedance):
    """Return for each bus those beside it, each with the number of the line between them."""
    beside = defaultdict(list)
    pairs = set()
    for line, (a, b) in enumerate(ends):
        if a == b:
            raise ValueError(f"lines has a line from bus {a!r} to itself")
        if frozenset((a, b)) in pairs:
            raise ValueError(
                f"lines has the line between buses {a!r} and {b!r} twice; "
                "put parallel lines together into one"
            )
        if impedance[line] == 0:
            raise ValueError(
                f"the line between buses {a!r} and {b!r} has no impedance; make the two one bus"
            )
        pairs.add(frozenset((a, b)))
        beside[a].append((b, line))
        beside[b].append((a, line))
    return beside


def _walk(beside, root, buses):
    """Return, from the root outward, the bus above each bus and the number of the line between."""
    if root not in beside:
        known = _some(bus for bus in buses if bus != root)
        raise ValueError(f"root is {root!r}, but no line begins there; the buses are {known}")
    fed: dict[Any, tuple[Any, Any]] = {root: (None, None)}
    waiting = deque([root])
    while waiting:
        up = waiting.popleft()
        _, came_by = fed[up]
        for bus, line in beside[up]:
            if line == came_by:
                continue
            if bus in fed:
                raise ValueError(
                    f"the line between buses {up!r} and {bus!r} closes a loop; "
                    "a radial feeder has one way to each bus"
                )
            fed[bus] = (up, line)
            waiting.append(bus)
    lost = [bus for bus in buses if bus not in fed]
    if lost:
        raise ValueError(f"no line connects the root {root!r} with {_some(lost)}")
    del fed[root]
    return fed


def _some(buses):
    """The first few names as text."""
    names = [repr(bus) for bus in buses]
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def _loads(buses, loads):
    """Return the fields of a `Feeder` that follow from its table of loads."""
    load_kw = np.zeros(len(buses))
    load_kvar = np.zeros(len(buses))
    if loads is not None:
        loads = _table("loads", loads, ("bus",), _LOAD_COLUMNS)
        named = _names("loads", loads, "bus")
        twice = [bus for place, bus in enumerate(named) if bus in named[:place]]
        if twice:
            raise ValueError(f"loads names bus {twice[0]!r} twice; add its loads up in one row")
        places = _places("loads", buses, named)
        load_kw[places] = loads["load_kw"]
        load_kvar[places] = loads["load_kvar"]
    return {"loads": loads, "load_kw": load_kw, "load_kvar": load_kvar}


def _places(name, buses, wanted):
    """Return the positions of some buses, or raise a ValueError with the names there are."""
    at = {bus: place for place, bus in enumerate(buses)}
    unknown = [bus for bus in wanted if bus not in at]
    if unknown:
        raise ValueError(f"{name}: there is no bus {unknown[0]!r}; the buses are {_some(buses)}")
    return [at[bus] for bus in wanted]


def at_buses(feeder: Feeder, values: Mapping[str | int, ArrayLike]) -> np.ndarray:
    """Array over the buses of a feeder, from the values at a few of them; 0 elsewhere.

    Parameters
    ----------
    feeder : Feeder
        Whose buses give the order of the last axis.
    values : dict
        By the name of a bus: a number, or an array with one entry a scenario or time step.

    Returns
    -------
    array, shape (..., buses)
        The values, each at its bus.

    Raises
    ------
    ValueError
        If there is no such bus, or a value is not a number.
    TypeError
        If `values` is not a dictionary.

    Examples
    --------
    >>> street = feeder("cigre-lv-residential")
    >>> charging_kw = at_buses(street, {"R18": -11.0, "R11": -7.4})
    >>> charging_kw.shape, float(charging_kw.sum())
    ((19,), -18.4)
    """
    instance("feeder", feeder, Feeder)
    instance("values", values, (dict, Mapping))
    places = _places("values", feeder.buses, values)
    named = {
        f"value at bus {bus!r}": checked(f"value at bus {bus!r}", value)
        for bus, value in values.items()
    }
    array = np.zeros((*together(**named), len(feeder.buses)))
    for place, value in zip(places, named.values()):
        array[..., place] = value
    return array


def feeders() -> tuple[str, ...]:
    """Names of the published feeders that `feeder` knows.

    Returns
    -------
    tuple of str
        In alphabetical order.

    Examples
    --------
    >>> feeders()[0]
    'baran-wu-33'
    """
    return tuple(names_in("feeders"))


def feeder(name: str) -> Feeder:
    """Published feeder with its loads; its file says where it comes from.

    Parameters
    ----------
    name : str
        One of `feeders`, for example "cigre-lv-residential" or "baran-wu-33".

    Returns
    -------
    Feeder
        With `loads`. In a power flow they have to be given: `power_flow` does not add them.

    Raises
    ------
    ValueError
        If there is no such feeder; the message lists those there are.

    Examples
    --------
    >>> street = feeder("cigre-lv-residential")
    >>> len(street.buses), float(street.load_kw.sum().round(1))
    (19, 383.8)
    """
    raw = read("feeders", name)
    lines = pd.DataFrame(raw["lines"], columns=raw["columns"])
    loads = pd.DataFrame(raw["loads"], columns=raw["load_columns"])
    if "cable" in lines:
        lines = _with_impedances(lines, raw["cables"], raw["transformer"])
    if "s_kva" in loads:
        loads["load_kw"] = loads.s_kva * loads.power_factor
        loads["load_kvar"] = loads.s_kva * np.sqrt(1 - loads.power_factor**2)
    return Feeder(lines=lines, root=raw["root"], v_kv=raw["v_kv"], loads=loads)


def _with_impedances(lines, cables, transformer):
    """Return lines with impedances from length and kind of cable, the transformer before them."""
    for part in ("r_ohm", "x_ohm"):
        per_km = [cables[cable][f"{part}_per_km"] for cable in lines.cable]
        lines[part] = lines.length_km * per_km
    first = pd.DataFrame([{**transformer, "cable": "transformer"}])
    return pd.concat([first, lines], ignore_index=True)


# ----------------------------------------------------------------------------------- power flow


class NoSolution(ArithmeticError, ValueError):
    """A power flow did not settle: the feeder is asked for more than it can carry, or nearly so.

    Like the refusals of `far_voltage` it is a ValueError; it is an ArithmeticError as well, so
    that a search for the limit of a feeder can tell it from a wrong argument.
    """


@dataclass(frozen=True, kw_only=True, eq=False)
class Flow:
    """Voltages and currents of a feeder in every scenario, as `power_flow` returns them.

    Scenarios without a solution (only with `keep_going`) are NaN.

    Attributes
    ----------
    buses : tuple of str or int
        Names, in the order of the last axis.
    phasor_pu : array of complex, shape (..., buses)
        Voltage with its angle, the root's being 0 [pu].
    v_pu : array, shape (..., buses)
        Magnitude of the voltage [pu].
    current_a : array, shape (..., buses)
        Current in the line that feeds each bus; 0 at the root [A].
    loss_kw : float or array, shape (...)
        Power lost in all lines together [kW].
    p_root_kw, q_root_kvar : float or array, shape (...)
        What the feeder gives to the grid above its root; negative when it draws [kW, kvar].
    converged : bool or array, shape (...)
        True where the sweeps settled.
    sweeps : int
        The most sweeps that any scenario needed.
    q_units_kvar : array, shape (..., units), or None
        Reactive power injected by the `Units`; None without them [kvar].
    """

    buses: tuple[str | int, ...]
    phasor_pu: np.ndarray
    v_pu: np.ndarray
    current_a: np.ndarray
    loss_kw: FloatOrArray
    p_root_kw: FloatOrArray
    q_root_kvar: FloatOrArray
    converged: bool | np.ndarray
    sweeps: int
    q_units_kvar: np.ndarray | None

    @property
    def v_min_pu(self) -> FloatOrArray:
        """Lowest voltage of each scenario [pu]."""
        return plain(self.v_pu.min(-1))

    @property
    def v_min_bus(self) -> str | int | np.ndarray | None:
        """Bus with the lowest voltage, or an array of them; None where there is no solution."""
        names = np.array([*self.buses, None], dtype=object)
        return names[np.where(self.converged, self.v_pu.argmin(-1), -1)]


# Scenarios at a time: 33 buses of them stay in the processor's cache.
_BLOCK = 1024
# And as many go to a worker together.
_TASK = 16 * _BLOCK
# A first turn for all scenarios, and a longer one for those that are near their nose.
_SWEEPS = (30, 400)


def power_flow(
    feeder: Feeder,
    p_kw: ArrayLike,
    q_kvar: ArrayLike = 0.0,
    *,
    z_kw: ArrayLike = 0.0,
    z_kvar: ArrayLike = 0.0,
    v0_pu: ArrayLike = 1.0,
    units: "Units | None" = None,
    tol_pu: float = 1e-6,
    keep_going: bool = False,
    executor: Workers = None,
) -> Flow:
    r"""Voltages, currents and losses of a whole feeder, for one scenario or for thousands at once.

    **The feeder's own loads are not added.** Only what is given is injected, so the usual call is
    `power_flow(feeder, cars_kw - feeder.load_kw, -feeder.load_kvar)`. Without the loads and
    without cars, every bus has the voltage of the root.

    The method sweeps backward (currents) and forward (voltages), in one of the three phases. With
    the voltages U of the last sweep, phase to neutral, each bus injects the current

    .. math::

        I_i = \left(\frac{S_i}{3\,U_i}\right)^*
        + \left(\frac{S^Z_i}{3\,U_{nom}}\right)^*\frac{U_i}{U_{nom}},            (3.3)

    where S is the three-phase power injected at any voltage (`p_kw`, `q_kvar`) and S^Z that
    injected at nominal voltage by what behaves as an impedance (`z_kw`, `z_kvar`). A line carries
    what is injected behind it, and the voltage rises along it:

    .. math:: J_i = I_i + \sum_{n\ \text{fed by}\ i} J_n            (3.4)
    .. math:: U_i = U_{up(i)} + Z_i J_i            (3.5)

    What the lines lose, with currents in A, is

    .. math:: P_{loss} = 3 \sum_i R_i\,|J_i|^2            (3.6)

    Parameters
    ----------
    feeder : Feeder
        Root, lines and nominal voltage. Its `load_kw` and `load_kvar` are not used.
    p_kw, q_kvar : float or array, shape (..., buses)
        Injected at any voltage (constant power); charging and loads are negative. A single number
        holds at every bus [kW, kvar].
    z_kw, z_kvar : float or array, shape (..., buses)
        Injected at 1 pu by what behaves as a constant impedance, such as a heater; its power
        changes with the voltage squared [kW, kvar].
    v0_pu : float or array, shape (...)
        Voltage at the root, 0.5 to 1.5 [pu].
    units : Units, optional
        Inverters with volt-var, whose reactive power comes on top. The result is where their loop
        rests, stable or not: see `loop_gain`.
    tol_pu : float
        Bound on the error that is left in any voltage, estimated from how fast the sweeps close
        in; 1e-12 to 0.1 [pu].
    keep_going : bool
        True returns scenarios without a solution as NaN, and `Flow.converged` says which they are.
    executor : concurrent.futures.Executor, or a function that makes one, optional
        Who works, on 16,384 scenarios at a time; this process if left out. Results agree within
        `tol_pu`.

    Returns
    -------
    Flow
        Voltages and currents of each bus, and losses, in each scenario.

    Raises
    ------
    ValueError
        If arrays do not fit the feeder, or a number is out of range.
    NoSolution
        If a scenario does not settle, unless `keep_going`. Closer than about a thousandth to the
        nose counts as not settling.

    Notes
    -----
    The sweeps move away from the lower root of (3.2), so the solution that they find is the upper
    one.

    References
    ----------
    .. [1] Shirmohammadi, Hong, Semlyen, Luo, "A compensation-based power flow method for weakly
       meshed distribution and transmission networks", IEEE Trans. Power Systems 3(2):753-762,
       1988.

    Examples
    --------
    Two cars charge while the homes draw 60 % of the street's load. Without the homes, which are
    easily forgotten, the drop is less than a third of the true one:

    >>> street = feeder("cigre-lv-residential")
    >>> homes_kw, homes_kvar = -0.6 * street.load_kw, -0.6 * street.load_kvar
    >>> cars_kw = at_buses(street, {"R15": -22.0, "R18": -11.0})
    >>> flow = power_flow(street, cars_kw + homes_kw, homes_kvar)
    >>> flow.v_min_bus, round(flow.v_min_pu, 3), round(flow.loss_kw, 2)
    ('R15', 0.93, 8.24)
    >>> round(power_flow(street, cars_kw).v_min_pu, 3)
    0.98

    A third of the homes' load are heaters, the tap lifts the root, and both cars have volt-var:

    >>> helped = power_flow(
    ...     street,
    ...     cars_kw + 0.67 * homes_kw,
    ...     0.67 * homes_kvar,
    ...     z_kw=0.33 * homes_kw,
    ...     z_kvar=0.33 * homes_kvar,
    ...     v0_pu=1.03,
    ...     units=Units(buses=("R15", "R18"), s_kva=30.0, curve=VOLT_VAR["B"]),
    ...     tol_pu=1e-8,
    ...     keep_going=True,
    ...     executor=None,
    ... )
    >>> round(helped.v_min_pu, 3), helped.q_units_kvar.round(2).tolist()
    (0.964, [3.52, 0.17])
    """
    instance("feeder", feeder, Feeder)
    one("tol_pu", tol_pu, "pu", ge=1e-12, le=0.1)
    flag("keep_going", keep_going)
    v0 = _source(v0_pu)
    shape, powers = _scenarios(feeder, v0, p_kw=p_kw, q_kvar=q_kvar, z_kw=z_kw, z_kvar=z_kvar)
    p, q, z_p, z_q = powers
    impedances = (z_p, z_q) if np.any(z_p) or np.any(z_q) else None
    loop = None if units is None else _loop(feeder, units)
    start = np.broadcast_to(v0, shape).ravel()
    size = len(start) if workers(executor) is None else _TASK
    blocks = [slice(first, first + size) for first in range(0, len(start), size)]
    tasks = [
        (_scenarios_in((p, q), block), _scenarios_in(impedances, block), start[block])
        for block in blocks
    ]
    solve = functools.partial(_solve, feeder, loop, tol_pu)
    swept = _joined(in_order(solve, tasks, executor))
    lost = ~swept.settled
    if lost.any():
        if not keep_going:
            _refuse(feeder, swept.settled.reshape(shape), _conjugate(p + z_p, q + z_q))
        for array in (swept.v, swept.j, swept.q_units):
            array[:, lost] = np.nan
    return _flow(feeder, swept, shape, loop is not None)


def _scenarios(feeder, v0, **powers):
    """Return the common shape of all scenarios, and each power as (scenarios, buses)."""
    n = len(feeder.buses)
    shapes = {"v0_pu": v0.shape}
    arrays = []
    for name, value in powers.items():
        array = np.asarray(
            checked(name, value, **(REACTIVE_KVAR if name.endswith("kvar") else POWER_KW))
        )
        if array.ndim and array.shape[-1] != n:
            raise ValueError(
                f"{name} has {array.shape[-1]} values on its last axis, but the feeder has "
                f"{n} buses; see feeder.buses and at_buses"
            )
        shapes[name] = array.shape[:-1]
        arrays.append(array)
    try:
        shape = np.broadcast_shapes(*shapes.values())
    except ValueError:
        raise ValueError(
            f"the scenarios do not fit each other; without buses the shapes are {shapes}"
        ) from None
    return shape, [np.broadcast_to(array, (*shape, n)).reshape(-1, n) for array in arrays]


def _kva_z(feeder):
    """Impedance of the line that feeds each bus, one row a bus. [pu of voltage per kVA]"""
    return (feeder.z_ohm / (1000 * feeder.v_kv**2))[:, None]


def _conjugate(p, q):
    """p - jq with one row a bus."""
    s = np.empty(p.shape[::-1], complex)
    s.real = p.T
    np.negative(q.T, out=s.imag)
    return s


class _Swept(NamedTuple):
    """What sweeps have found; arrays have one column a scenario."""

    v: np.ndarray  # phasors, one row a bus [pu]
    j: np.ndarray  # currents in the lines that feed each bus [kVA at 1 pu]
    q_units: np.ndarray  # reactive power, one row a unit [kvar]
    settled: np.ndarray  # which scenarios have
    sweeps: int  # how many it took


def _scenarios_in(powers, block):
    """Return powers of some scenarios, or None if there are none."""
    return None if powers is None else [power[block] for power in powers]


def _joined(parts):
    """Return what the tasks have found as one."""
    if len(parts) == 1:
        return parts[0]
    names = ("v", "j", "q_units", "settled")
    arrays = {name: [getattr(part, name) for part in parts] for name in names}
    joined = {name: np.concatenate(array, axis=-1) for name, array in arrays.items()}
    return _Swept(**joined, sweeps=max(part.sweeps for part in parts))


def _solve(feeder, loop, tol, task):
    """Sweep the scenarios of a task block by block, and those that have not settled once more."""
    powers, impedances, v0 = task
    shape = len(feeder.buses), len(v0)
    v = np.empty(shape, complex)
    j = np.empty(shape, complex)
    q_units = np.empty((len(loop.rows) if loop else 0, len(v0)))
    settled = np.zeros(len(v0), bool)
    most = 0
    z = _kva_z(feeder)
    for sweeps in _SWEEPS:
        limit = round(sweeps / loop.damping) if loop else sweeps  # small steps take patience
        todo = np.flatnonzero(~settled)
        for first in range(0, len(todo), _BLOCK):
            block = _as_slice(todo[first : first + _BLOCK])
            power = _part(powers, block)
            admittance = _part(impedances, block)
            start = np.broadcast_to(v0[block] + 0j, power.shape)
            swept = _sweep(feeder.path, z, power, admittance, start, tol, limit, loop)
            v[:, block] = swept.v
            j[:, block] = swept.j
            q_units[:, block] = swept.q_units
            settled[block] = swept.settled
            most = max(most, swept.sweeps)
    return _Swept(v, j, q_units, settled, most)


def _as_slice(numbers):
    """Return rising numbers as a slice where none is left out: it is faster than a list."""
    first = numbers[0]
    end = numbers[-1] + 1
    return slice(first, end) if end - first == len(numbers) else numbers


def _part(powers, block):
    """Return the powers of some scenarios as `_sweep` needs them, or None if there are none."""
    if powers is None:
        return None
    p, q = powers
    return _conjugate(p[block], q[block])


def _sweep(path, z, power, admittance, v, tol, limit, loop=None):
    """Sweep from the voltages `v` until all scenarios have settled, `limit` times at most.

    When steps shrink from a to b, those still to come add up to b^2 / (a - b): a scenario has
    settled once that is within `tol`.
    """
    v = v.copy()
    new = v.copy()
    j = np.empty_like(power)
    rise = np.empty_like(power)
    before = np.zeros(v.shape[1])
    settled = np.zeros(v.shape[1], bool)
    rows = loop.rows if loop else []
    q = np.zeros((len(rows), v.shape[1]))
    fixed = power[rows]
    sweeps = 0
    with np.errstate(all="ignore"):  # what runs away does not settle
        while sweeps < limit and not settled.all():
            sweeps += 1
            if loop:
                q += loop.damping * (loop.answer(np.abs(v[rows])) - q)
                power[rows] = fixed - 1j * q
            _backward(path, power, admittance, v, j)
            _forward(path, z, j, new, rise)
            step = np.abs(np.subtract(new, v, out=rise)).max(0)
            v, new = new, v
            settled |= step**2 <= tol * (before - step) + 1e-28  # below 1e-14 only rounding is left
            before = step
    return _Swept(v, j, q, settled, sweeps)


def _backward(path, power, admittance, v, j):
    """Write the currents in the lines at the voltages `v` into `j`."""
    # Per unit of U_nom, and of 1 kVA in three phases: neither a 3 nor a root of 3 is left.
    np.divide(power, np.conjugate(v, out=j), out=j)  # eq. (3.3)
    if admittance is not None:
        j += admittance * v
    for bus, up in reversed(path):
        j[up] += j[bus]  # eq. (3.4)


def _forward(path, z, j, v, rise):
    """Write the voltages that the currents `j` make into `v`; that of the root stays."""
    np.multiply(z, j, out=rise)
    for bus, up in path:
        np.add(v[up], rise[bus], out=v[bus])  # eq. (3.5)


def _flow(feeder, swept, shape, has_units):
    """Return what sweeps have found as the user sees it."""

    def by_scenario(array):
        return array.T.reshape(*shape, len(array))

    root_kva = swept.v[0] * swept.j[0].conj()
    size = np.abs(swept.j)
    loss_kw = _kva_z(feeder).real[:, 0] @ size**2  # eq. (3.6)
    current_a = size / (np.sqrt(3) * feeder.v_kv)
    current_a[0] *= 0.0  # no line feeds the root; NaN stays NaN
    return Flow(
        buses=feeder.buses,
        phasor_pu=by_scenario(swept.v),
        v_pu=by_scenario(np.abs(swept.v)),
        current_a=by_scenario(current_a),
        loss_kw=plain(loss_kw.reshape(shape)),
        p_root_kw=plain(root_kva.real.reshape(shape)),
        q_root_kvar=plain(root_kva.imag.reshape(shape)),
        converged=swept.settled.reshape(shape)[()],
        sweeps=swept.sweeps,
        q_units_kvar=by_scenario(swept.q_units) if has_units else None,
    )


def _refuse(feeder, converged, power) -> NoReturn:
    """Say which scenarios have no solution, and which bus of the first is the lowest.

    That bus is found by the linear estimate of (3.7).
    """
    first = int(np.flatnonzero(~converged)[0])
    lowest = (_shared(feeder) @ power[:, first]).real.argmin()
    if converged.ndim:
        which = ", ".join(str(place) for place in np.unravel_index(first, converged.shape))
        told = (
            f"{(~converged).sum()} of {converged.size} scenarios have no solution that the sweeps "
            f"can reach; the first is scenario {which}"
        )
    else:
        told = "this scenario has no solution that the sweeps can reach"
    raise NoSolution(
        f"{told}. The voltage is lowest at bus {feeder.buses[lowest]!r}: the feeder is asked for "
        "more than it can carry, or for nearly all of it. Look at p_kw and q_kvar; "
        "keep_going=True returns the scenarios that have a solution"
    )


# ---------------------------------------------------------------------------------- sensitivity


@dataclass(frozen=True, kw_only=True, eq=False)
class Sensitivity:
    """How much power at one bus moves the voltage at another, as `sensitivity` returns it.

    Rows say where the voltage is, columns where the power is injected.

    Attributes
    ----------
    dv_dp_pu_per_kw : DataFrame, index and columns the buses
        Change of voltage for each kW [pu/kW].
    dv_dq_pu_per_kvar : DataFrame, index and columns the buses
        Change of voltage for each kvar [pu/kvar].
    r_over_x : Series, index the buses without the root
        Resistance over reactance of the whole way from the root; infinite without reactance [-].
    """

    dv_dp_pu_per_kw: pd.DataFrame
    dv_dq_pu_per_kvar: pd.DataFrame
    r_over_x: pd.Series


def sensitivity(feeder: Feeder) -> Sensitivity:
    r"""Sensitivities of all voltages to all powers, near nominal voltage.

    These are the linearised DistFlow equations

    .. math::

        \frac{\partial V_i}{\partial P_n} \approx \frac{R_{i,n}}{V},\quad
        \frac{\partial V_i}{\partial Q_n} \approx \frac{X_{i,n}}{V}            (3.7)

    with the resistance and the reactance that the ways from the root to i and to n **share**.

    Parameters
    ----------
    feeder : Feeder
        Root, lines and nominal voltage.

    Returns
    -------
    Sensitivity
        Two tables, and R/X of the way to each bus, which says how many kvar change its voltage as
        much as 1 kW does.

    Raises
    ------
    TypeError
        If `feeder` is no `Feeder`.

    References
    ----------
    .. [1] Baran, Wu, "Optimal capacitor placement on radial distribution systems", IEEE Trans.
       Power Delivery 4(1):725-734, 1989.

    Examples
    --------
    >>> near = sensitivity(feeder("cigre-lv-residential"))
    >>> float(near.dv_dp_pu_per_kw.loc["R15", "R18"].round(6)), float(near.r_over_x["R15"].round(2))
    (0.000126, 3.98)
    """
    shared = _shared(instance("feeder", feeder, Feeder))
    own = np.diag(shared)[1:]
    with np.errstate(divide="ignore", over="ignore"):
        ratio = own.real / own.imag
    return Sensitivity(
        dv_dp_pu_per_kw=_square(shared.real, feeder.buses),
        dv_dq_pu_per_kvar=_square(shared.imag, feeder.buses),
        r_over_x=pd.Series(ratio, index=feeder.buses[1:]),
    )


def _square(matrix, buses):
    """A matrix as a table whose rows and columns are buses."""
    return pd.DataFrame(matrix, index=buses, columns=buses)


def _shared(feeder):
    """Impedance that the ways from the root to each two buses share. [pu of voltage per kVA]"""
    way = np.eye(len(feeder.buses))
    for bus, up in feeder.path:
        way[bus] += way[up]
    return way @ (feeder.z_ohm[:, None] * way.T) / (1000 * feeder.v_kv**2)  # eq. (3.7)


# ------------------------------------------------------------------------------ smart inverters


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A setting of a smart inverter: straight lines between points, flat beyond the ends.

    It is called like a function.

    Attributes
    ----------
    x_pu : tuple of float
        What is measured, in rising order, from -2 to 2: voltage, or active power per rating [pu].
    y_pu : tuple of float
        What is answered, from -1 to 1: reactive power per kVA (> 0 is injected), or the limit of
        active power per rating [pu].
    olrt_s : float
        Open-loop response time, above 0: after so long, 90 % of a step has been answered [s].

    Raises
    ------
    ValueError
        If the points are not ordered, or jump, or are out of range.

    Examples
    --------
    >>> curve = Curve(x_pu=(0.92, 0.98, 1.02, 1.08), y_pu=(0.44, 0.0, 0.0, -0.44), olrt_s=5.0)
    >>> curve(1.05)
    -0.22
    """

    x_pu: tuple[float, ...]
    y_pu: tuple[float, ...]
    olrt_s: float

    def __post_init__(self) -> None:
        x = row("x_pu", _per_unit("x_pu", self.x_pu, most=2))
        y = row("y_pu", _per_unit("y_pu", self.y_pu, most=1))
        keep(self, olrt_s=dict(one=True, **PERIOD_S))
        if len(x) != len(y) or len(x) < 2:
            raise ValueError(
                f"x_pu has {len(x)} points and y_pu {len(y)}; a curve needs two or more of each, "
                "as many of one as of the other"
            )
        object.__setattr__(self, "x_pu", tuple(x.tolist()))
        object.__setattr__(self, "y_pu", tuple(y.tolist()))
        run = np.diff(x)
        if np.any(run < 0):
            raise ValueError(
                f"x_pu is {self.x_pu}: a curve whose points are not ordered; "
                "they must rise from left to right"
            )
        if np.any((run < 1e-9) & (np.diff(y) != 0)):
            raise ValueError(
                f"the curve jumps: x_pu {self.x_pu} names a point twice "
                "with different values in y_pu"
            )

    def __call__(self, x_pu: ArrayLike) -> FloatOrArray:
        """Answer to what is measured.

        Parameters
        ----------
        x_pu : float or array
            Voltage, or active power per rating, -10 to 10 [pu].

        Returns
        -------
        float or array
            Reactive power per kVA, or the limit of active power per rating [pu].

        Raises
        ------
        ValueError
            If it is not a number, or in per cent.

        Examples
        --------
        >>> VOLT_VAR["B"](1.05)
        -0.22
        """
        return plain(np.interp(_per_unit("x_pu", x_pu, most=10), self.x_pu, self.y_pu))

    @property
    def slope(self) -> float:
        """Steepest fall of the curve, at least 0; of volt-var, in kvar per kVA and pu [pu/pu]."""
        run = np.diff(self.x_pu)
        fall = -np.diff(self.y_pu)
        return float(np.max(fall[run > 0] / run[run > 0], initial=0.0))


class _ByCategory(dict[str, Curve]):
    """Curves by category of IEEE 1547-2018; a category that does not exist is refused in words."""

    def __missing__(self, category):
        one_of("category", category, self)


# Defaults of IEEE Std 1547-2018 (Tables 8, 9 and 10) by its categories of normal performance, as
# coded in EPRI's OpenDER. All these functions are DISABLED when a unit leaves the factory: until a
# utility asks for one, the unit runs at unity power factor and does not react to voltage.
VOLT_VAR = _ByCategory(
    A=Curve(x_pu=(0.90, 1.00, 1.00, 1.10), y_pu=(0.25, 0.0, 0.0, -0.25), olrt_s=10.0),
    B=Curve(x_pu=(0.92, 0.98, 1.02, 1.08), y_pu=(0.44, 0.0, 0.0, -0.44), olrt_s=5.0),
)
WATT_VAR = _ByCategory(
    A=Curve(x_pu=(-1.0, -0.5, 0.5, 1.0), y_pu=(0.44, 0.0, 0.0, -0.25), olrt_s=10.0),
    B=Curve(x_pu=(-1.0, -0.5, 0.5, 1.0), y_pu=(0.44, 0.0, 0.0, -0.44), olrt_s=10.0),
)
# The standard takes the lesser of 0.2 and the unit's minimum, and 0 for a unit that can charge.
VOLT_WATT = Curve(x_pu=(1.06, 1.10), y_pu=(1.0, 0.2), olrt_s=10.0)
VOLT_WATT_STORAGE = Curve(x_pu=(1.06, 1.10), y_pu=(1.0, 0.0), olrt_s=10.0)
_REQUIRED = {"A": (-0.25, 0.44), "B": (-0.44, 0.44)}


def required_q(category: str, p_pu: ArrayLike) -> tuple[FloatOrArray, FloatOrArray]:
    r"""Reactive power that IEEE 1547-2018 wants a unit to be **able** to give beside `p_pu`.

    This is a capability; a setting such as `VOLT_VAR` says what the unit does.

    .. math::

        Q_{req} = Q_{max}\,\min\left(1, \frac{p}{0.2}\right)\ \text{for}\ p \ge 0.05,\
        \text{else } 0            (3.10)

    Parameters
    ----------
    category : str
        "A" (where few units are connected) or "B" (many units, or large swings of their power).
    p_pu : float or array
        Active power given to the grid per rating, 0 to 1 [pu].

    Returns
    -------
    tuple of float or array
        Lowest (absorbed, negative) and highest (injected) reactive power per kVA of rating [pu].

    Raises
    ------
    ValueError
        If the category is not A or B, or the power is not a fraction 0 to 1.

    References
    ----------
    .. [1] IEEE Std 1547-2018, Table 7, as coded in EPRI OpenDER (with the two categories the
       right way round).

    Examples
    --------
    >>> low_pu, high_pu = required_q("A", 0.1)
    >>> low_pu, high_pu
    (-0.125, 0.22)
    """
    one_of("category", category, _REQUIRED)
    p = np.asarray(fraction("p_pu", p_pu))
    share = np.where(p >= 0.05, np.minimum(1.0, p / 0.2), 0.0)  # eq. (3.10)
    low, high = _REQUIRED[category]
    return plain(low * share), plain(high * share)


def inverter_power(
    charger: Charger,
    p_kw: ArrayLike,
    v_pu: ArrayLike,
    *,
    volt_var: Curve | None = None,
    volt_watt: Curve | None = None,
) -> tuple[FloatOrArray, FloatOrArray]:
    r"""Active and reactive power at which a unit settles when it measures a voltage.

    Volt-watt caps the active power, volt-var adds reactive power, and reactive power has priority:

    .. math::

        Q = S_r\,c_Q(V),\qquad
        P \le \min\left(P_r\,c_P(V),\ \sqrt{S_r^2 - Q^2}\right)            (3.9)

    Parameters
    ----------
    charger : Charger
        S_r is `s_kva`; P_r, to which volt-watt refers, is `p_discharge_kw`.
    p_kw : float or array
        What the unit would give; charging is negative [kW].
    v_pu : float or array
        Voltage at its terminals, above 0 and at most 2 [pu].
    volt_var, volt_watt : Curve, optional
        Functions that are enabled; by default neither is.

    Returns
    -------
    tuple of float or array
        Active power [kW] and reactive power [kvar], both injected.

    Raises
    ------
    ValueError
        If a number is out of range, or shapes do not fit.
    TypeError
        If `charger` is no `Charger`, or a function no `Curve`.

    References
    ----------
    .. [1] IEEE Std 1547-2018, 5.3.3 (volt-var) and 5.4.2 (volt-watt).

    Examples
    --------
    >>> from v2gbook.charger import Charger
    >>> unit = Charger(
    ...     p_charge_kw=30.0,
    ...     p_discharge_kw=30.0,
    ...     s_kva=30.0,
    ...     idle_kw=0.0,
    ...     loss_linear=0.0,
    ...     loss_quadratic=0.0,
    ... )
    >>> p_kw, q_kvar = inverter_power(
    ...     unit, 30.0, 1.08, volt_var=VOLT_VAR["B"], volt_watt=VOLT_WATT
    ... )
    >>> round(p_kw, 1), round(q_kvar, 1)
    (18.0, -13.2)
    """
    instance("charger", charger, Charger)
    p = np.asarray(checked("p_kw", p_kw, "kW"))
    v = np.asarray(_per_unit("v_pu", v_pu, gt=0, most=2))
    shape = together(p_kw=p, v_pu=v, s_kva=charger.s_kva, p_discharge_kw=charger.p_discharge_kw)
    q = np.zeros(())
    if volt_var is not None:
        q = np.multiply(charger.s_kva, instance("volt_var", volt_var, Curve)(v))
    if volt_watt is not None:
        cap = np.multiply(charger.p_discharge_kw, instance("volt_watt", volt_watt, Curve)(v))
        p = np.minimum(p, cap)
    # eq. (3.9): what is left of the active power beside the reactive power
    return reactive_first(charger, np.broadcast_to(p, shape), np.broadcast_to(q, shape))


def time_constant(olrt_s: ArrayLike) -> FloatOrArray:
    r"""Time constant of a first-order answer with a given open-loop response time.

    The open-loop response time is a 90 % time, so

    .. math:: \tau = \frac{T_{OLR}}{\ln 10}            (3.11)

    Parameters
    ----------
    olrt_s : float or array
        Open-loop response time, above 0 [s].

    Returns
    -------
    float or array
        Time constant [s].

    Raises
    ------
    ValueError
        If the time is out of range.

    References
    ----------
    .. [1] IEEE Std 1547-2018, 3.1: open loop response time.

    Examples
    --------
    >>> round(time_constant(5.0), 3)
    2.171
    """
    return checked("olrt_s", olrt_s, **PERIOD_S) / math.log(10)  # eq. (3.11)


def response(t_s: ArrayLike, olrt_s: ArrayLike) -> FloatOrArray:
    """Share of a step that a first-order answer has given after some time.

    Parameters
    ----------
    t_s : float or array
        Time since the step, at least 0 [s].
    olrt_s : float or array
        Open-loop response time, above 0 [s].

    Returns
    -------
    float or array
        Share from 0 to 1; 0.9 at `olrt_s`, by definition [-].

    Raises
    ------
    ValueError
        If a time is out of range, or shapes do not fit.

    Examples
    --------
    >>> round(response(1.0, 5.0), 3)
    0.369
    """
    t = np.asarray(checked("t_s", t_s, "s", ge=0, le=1e9))
    tau = time_constant(olrt_s)
    together(t_s=t, olrt_s=tau)
    return plain(-np.expm1(-t / tau))


# ------------------------------------------------------------------------------------- the loop


def operating_point(
    curve: Curve, *, v0_pu: ArrayLike, r_pu: float, x_pu: float, p_pu: ArrayLike
) -> tuple[FloatOrArray, FloatOrArray]:
    r"""Voltage and reactive power at which a volt-var unit at the end of a line comes to rest.

    The result is exact on the linear feeder of (3.1):

    .. math:: V = V_0 + R\,p + X\,c_Q(V)            (3.12)

    The curve c_Q falls with V, so V - X c_Q(V) rises, and there is one answer. Both sides are
    straight between the points of the curve.

    Parameters
    ----------
    curve : Curve
        Volt-var; it must not rise.
    v0_pu : float or array
        Voltage of the source, 0.5 to 1.5 [pu].
    r_pu, x_pu : float
        Change of voltage that the unit's full rating makes as active and as reactive power, 0 to
        10 [pu].
    p_pu : float or array
        Active power injected per rating of the unit, -2 to 2 [pu].

    Returns
    -------
    tuple of float or array
        Voltage, and reactive power per kVA of rating [pu].

    Raises
    ------
    ValueError
        If the curve rises, or a number is out of range.

    Examples
    --------
    >>> v_pu, q_pu = operating_point(VOLT_VAR["B"], v0_pu=1.0, r_pu=0.06, x_pu=0.04, p_pu=1.0)
    >>> round(v_pu, 4), round(q_pu, 4)
    (1.0509, -0.2268)
    """
    _checked_falling(curve)
    v0 = _source(v0_pu)
    p = np.asarray(_per_unit("p_pu", p_pu, most=2))
    together(v0_pu=v0, p_pu=p)
    r = one("r_pu", r_pu, "pu", ge=0, le=10)
    x = one("x_pu", x_pu, "pu", ge=0, le=10)
    alone = v0 + r * p  # the voltage without reactive power
    at_points = np.subtract(curve.x_pu, np.multiply(x, curve.y_pu))
    q = np.interp(alone, at_points, curve.y_pu)
    return plain(alone + x * q), plain(q)  # eq. (3.12)


def _checked_falling(curve):
    instance("curve", curve, Curve)
    if np.any(np.diff(curve.y_pu) > 0):
        raise ValueError(
            f"curve is {curve!r}; a volt-var curve must not rise anywhere, "
            "or it drives the voltage away"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """Inverters on a feeder that all follow one volt-var curve.

    Reactive power goes first, so active power must leave room for it: where 0.44 is absorbed,
    0.898 kW per kVA. The active power of the units is part of `p_kw` in `power_flow`.

    Attributes
    ----------
    buses : tuple of str or int
        Where they are, one unit a bus.
    s_kva : float or array, shape (units,)
        Rating of each, at least 0 [kVA].
    curve : Curve
        Volt-var, the same for all; it must not rise.

    Raises
    ------
    ValueError
        If a bus stands twice, ratings do not fit the buses, or the curve rises.

    Examples
    --------
    >>> units = Units(buses=("R15", "R18"), s_kva=[30.0, 50.0], curve=VOLT_VAR["B"])
    >>> units.s_kva.tolist()
    [30.0, 50.0]
    """

    buses: tuple[str | int, ...]
    s_kva: FloatOrArray
    curve: Curve

    def __post_init__(self) -> None:
        buses = _different_buses(self.buses)
        object.__setattr__(self, "buses", buses)
        keep(self, s_kva=dict(unit="kVA", ge=0, le=1e9))
        if np.shape(self.s_kva) not in ((), (len(buses),)):
            raise ValueError(
                f"s_kva has the shape {np.shape(self.s_kva)}, but buses has {len(buses)} entries; "
                "give one rating, or one for each unit"
            )
        _checked_falling(self.curve)


def _different_buses(buses):
    """Return the buses of some units as a tuple."""
    wanted = "it must be a list of different buses, one unit at each"
    several = isinstance(buses, (Sequence, np.ndarray, pd.Index, pd.Series))
    if not several or isinstance(buses, (str, bytes)) or getattr(buses, "ndim", 1) != 1:
        raise TypeError(f"buses is {short(buses)}; {wanted}")
    named = tuple(_bus(f"buses[{place}]", bus) for place, bus in enumerate(buses))
    if not named or len(set(named)) < len(named):
        raise ValueError(f"buses is {named}; {wanted}")
    return named


def coupling(feeder: Feeder, units: Units) -> pd.DataFrame:
    """Change of voltage at each unit that the full reactive power of each unit makes.

    Parameters
    ----------
    feeder : Feeder
        Root, lines and nominal voltage; its linear sensitivities (3.7) are used.
    units : Units
        Where the inverters are, and how large.

    Returns
    -------
    DataFrame, index and columns the buses of the units
        Rows say where the voltage is, columns where the reactive power is injected [pu].

    Raises
    ------
    ValueError
        If the feeder has no such bus.
    TypeError
        If `feeder` is no `Feeder`, or `units` no `Units`.

    Examples
    --------
    >>> street = feeder("cigre-lv-residential")
    >>> units = Units(buses=("R15", "R18"), s_kva=30.0, curve=VOLT_VAR["B"])
    >>> coupling(street, units).round(4).loc["R15"].tolist()
    [0.0062, 0.004]
    """
    return _square(_reach(feeder, units), instance("units", units, Units).buses)


def _reach(feeder, units):
    """The matrix that `coupling` shows as a table."""
    instance("feeder", feeder, Feeder)
    instance("units", units, Units)
    rows = _places("units", feeder.buses, units.buses)
    return _shared(feeder).imag[np.ix_(rows, rows)] * units.s_kva


def loop_gain(curve: Curve, x_pu: ArrayLike) -> float:
    r"""Gain of the volt-var loop, at the steepest part of the curve.

    It says by how much the answer to a step of voltage moves the voltage itself:

    .. math::

        g = X\,k\ \text{ for one unit},\qquad
        g = \rho(\mathbf{X})\,k\ \text{ for several},\qquad k = \max|c_Q'|            (3.13)

    Parameters
    ----------
    curve : Curve
        Volt-var; it must not rise.
    x_pu : float, or array, shape (units, units)
        Change of voltage that a unit's full reactive power makes, or all those of `coupling`;
        :math:`\rho` is the largest eigenvalue [pu].

    Returns
    -------
    float
        At 1 and above, a jump at once to what the curve answers overshoots, and the naive
        iteration diverges. Whether a street does so as well depends on `largest_gain` [-].

    Raises
    ------
    ValueError
        If the curve rises, or the couplings are no square matrix or out of range.

    Examples
    --------
    >>> round(loop_gain(VOLT_VAR["B"], 0.04), 3)
    0.293
    >>> round(loop_gain(VOLT_VAR["B"], [[0.05, 0.02], [0.02, 0.05]]), 3)
    0.513
    """
    _checked_falling(curve)
    x = np.asarray(checked("x_pu", x_pu, "pu", ge=0, le=1e9))
    if x.ndim and (x.ndim != 2 or x.shape[0] != x.shape[1]):
        raise ValueError(
            f"x_pu has the shape {x.shape}; it must be a number, "
            "or a square matrix as `coupling` returns it"
        )
    return _gain(curve, np.atleast_2d(x))


def _gain(curve, x):
    return float(curve.slope * np.abs(np.linalg.eigvals(x)).max())  # eq. (3.13)


def largest_gain(period_s: ArrayLike, tau_s: ArrayLike) -> FloatOrArray:
    r"""Loop gain below which units that measure now and then come to rest.

    They measure every `period_s` and answer with the time constant `tau_s`:

    .. math:: g < \frac{2}{1 - e^{-T/\tau}} - 1            (3.15)

    Parameters
    ----------
    period_s : float or array
        Time between two measurements; between them the target stands still [s].
    tau_s : float or array
        Time constant of the answer, see `time_constant` [s].

    Returns
    -------
    float or array
        Never below 1; it grows without limit for fast measurement [-].

    Raises
    ------
    ValueError
        If a time is out of range, or shapes do not fit.

    Examples
    --------
    >>> [round(largest_gain(period_s, 2.1715), 2) for period_s in (1.0, 5.0)]
    [4.42, 1.22]
    """
    period = np.asarray(checked("period_s", period_s, **PERIOD_S))
    tau = np.asarray(checked("tau_s", tau_s, **PERIOD_S))
    together(period_s=period, tau_s=tau)
    return plain(2 / -np.expm1(-period / tau) - 1)  # eq. (3.15)


_MOST_GAIN = 1000.0  # the sweeps of a larger one would take hours


class _Loop(NamedTuple):
    """Volt-var units as the sweeps see them."""

    rows: list[int]  # positions of their buses
    rating: np.ndarray  # one row a unit [kVA]
    curve: Curve
    damping: float  # share of the way to the curve that a sweep goes

    def answer(self, v_pu):
        """Reactive power that the units give at these voltages. [kvar]"""
        return self.rating * np.interp(v_pu, self.curve.x_pu, self.curve.y_pu)


def _loop(feeder, units):
    """Return the units of a feeder as the sweeps see them.

    Eigenvalues of the loop lie between 1 and 1 + g, so a step of 1 / (1 + g) towards the curve
    overshoots nowhere.
    """
    gain = _gain(instance("units", units, Units).curve, _reach(feeder, units))
    if gain > _MOST_GAIN:
        raise ValueError(
            f"the units have a loop gain of {gain:g} on this feeder; a gain up to {_MOST_GAIN:g} "
            "can be solved. Is s_kva too large?"
        )
    rows = _places("units", feeder.buses, units.buses)
    rating = np.broadcast_to(np.asarray(units.s_kva, float), len(rows))
    return _Loop(rows, rating[:, None], units.curve, 1 / (1 + gain))


def simulate(
    feeder: Feeder,
    units: Units,
    p_kw: ArrayLike,
    q_kvar: ArrayLike = 0.0,
    *,
    period_s: float,
    t_end_s: float,
    v0_pu: float = 1.0,
) -> pd.DataFrame:
    r"""Voltages and reactive powers of volt-var units over time, after they are switched on.

    All units measure every `period_s` and move, first order, towards what their curve answers:

    .. math::

        Q(t + T) = Q(t) + \left(1 - e^{-T/\tau}\right)
        \left(S_r\,c_Q(V(t)) - Q(t)\right)            (3.14)

    Parameters
    ----------
    feeder : Feeder
        Its own loads are not added, as in `power_flow`.
    units : Units
        Switched on at t = 0 with no reactive power. `olrt_s` of their curve gives tau.
    p_kw, q_kvar : float or array, shape (buses,)
        Injected by everything else, and the units' active power; constant in time [kW, kvar].
    period_s : float
        Time between two measurements [s].
    t_end_s : float
        Length of the run, from one period to 100,000 periods [s].
    v0_pu : float
        Voltage at the root, 0.5 to 1.5 [pu].

    Returns
    -------
    DataFrame, index t_s
        Columns `v_<bus>_pu` and `q_<bus>_kvar` of each unit, at the measurements [pu, kvar].

    Raises
    ------
    ValueError
        If a number is out of range, or arrays do not fit the feeder.
    NoSolution
        If a power flow on the way has none.

    Examples
    --------
    >>> street = feeder("cigre-lv-residential")
    >>> units = Units(buses=("R15",), s_kva=100.0, curve=VOLT_VAR["B"])
    >>> p_kw = at_buses(street, {"R15": 80.0})
    >>> run = simulate(street, units, p_kw, 0.0, period_s=1.0, t_end_s=20.0, v0_pu=1.02)
    >>> run.round(3).loc[[0.0, 20.0]].values.tolist()
    [[1.081, 0.0], [1.073, -38.665]]
    """
    instance("feeder", feeder, Feeder)
    loop = _loop(feeder, units)
    t_s = _measurements(period_s, t_end_s)
    v0 = _source(v0_pu)
    shape, powers = _scenarios(feeder, v0, p_kw=p_kw, q_kvar=q_kvar)
    if shape:
        raise ValueError(
            "simulate follows one scenario, "
            f"but p_kw, q_kvar and v0_pu together have the shape {shape}"
        )
    power = _conjugate(*powers)
    share = response(period_s, units.curve.olrt_s)
    voltages, answers = _follow(feeder, loop, power, v0, share, len(t_s))
    seen = {f"v_{bus}_pu": series for bus, series in zip(units.buses, voltages)}
    given = {f"q_{bus}_kvar": series for bus, series in zip(units.buses, answers)}
    return pd.DataFrame(seen | given, index=pd.Index(t_s, name="t_s"))


def _measurements(period_s, t_end_s):
    """Return the times at which the units measure. [s]"""
    period = one("period_s", period_s, **PERIOD_S)
    end = one("t_end_s", t_end_s, **PERIOD_S)
    if end < period:
        raise ValueError(
            f"t_end_s is {end:g} s; it must be at least one period_s, which is {period:g} s"
        )
    steps("t_end_s", end, period, most=100_000)
    return np.arange(int(end / period + 1e-9) + 1) * period


def _follow(feeder, loop, power, v0, share, count):
    """Return the voltages and reactive powers of the units, one row a unit, at each measurement."""
    z = _kva_z(feeder)
    v = np.full(power.shape, v0 + 0j)
    fixed = power[loop.rows]
    q = np.zeros((len(loop.rows), 1))
    voltages = np.empty((len(loop.rows), count))
    answers = np.empty((len(loop.rows), count))
    for k in range(count):
        power[loop.rows] = fixed - 1j * q
        swept = _sweep(feeder.path, z, power, None, v, 1e-7, _SWEEPS[-1])
        if not swept.settled.all():
            _refuse(feeder, swept.settled.reshape(()), power)
        v = swept.v
        seen = np.abs(v[loop.rows])
        voltages[:, k] = seen[:, 0]
        answers[:, k] = q[:, 0]
        q = q + share * (loop.answer(seen) - q)  # eq. (3.14)
    return voltages, answers
