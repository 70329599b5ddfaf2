r"""Topic 03, voltage: why the last house on the street sees a different voltage, and what a car's inverter can do about it.

From two buses and one line (`voltage_rise`, `far_voltage`, `largest_kva`) to a street (`Feeder`, `feeder`, `power_flow`, `sensitivity`),
then what an inverter does when it sees a voltage (`Curve`, `inverter_power`, `response`), and the loop that the two of them close
(`operating_point`, `power_flow` with `Units`, `loop_gain`, `largest_gain`, `settle`).

Everything is balanced: three equal phases, one voltage a bus. Power is three-phase, p > 0 and q > 0 are injected, flow from the vehicle to
the grid and raise the voltage; charging is negative. Ohm are per phase, volts line to line, and pu is per nominal voltage.

How far is too far: ANSI C84.1 Range A allows +-5 % at the service entrance; EN 50160 +-10 % (10 min means); Great Britain +10/-6 % (from memory).
"""

import math
import tomllib
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ._check import checked, plain
from .charger import reactive_first

# ------------------------------------------------------------------------------------------------ two buses, one line


def voltage_rise(p_kw, q_kvar=0.0, *, v1_v, r_ohm, x_ohm):
    r"""Rise of voltage along a line, approximately: V2 - V1.

    .. math:: \Delta V \approx \frac{R\,P + X\,Q}{V_1}            (3.1)

    Parameters
    ----------
    p_kw, q_kvar : float or array
        Injected at the far end; charging is negative. [kW], [kvar]
    v1_v : float or array
        Voltage at the near end. [V]
    r_ohm, x_ohm : float or array
        Resistance and reactance of the line. [ohm]

    Returns
    -------
    float or array
        Negative where the voltage drops. [V]

    Examples
    --------
    >>> voltage_rise(-30.0, v1_v=400.0, r_ohm=0.2, x_ohm=0.1)
    -15.0
    """
    p, q, v1, r, x = _two_bus(p_kw, q_kvar, v1_v, r_ohm, x_ohm)
    return plain((r * p + x * q) / v1)  # eq. (3.1)


def far_voltage(p_kw, q_kvar=0.0, *, v1_v, r_ohm, x_ohm):
    r"""Voltage at the far end of a line, exactly: the upper root of

    .. math:: V_2^4 - \left(V_1^2 + 2(R P + X Q)\right) V_2^2 + (R^2 + X^2)(P^2 + Q^2) = 0            (3.2)

    Parameters
    ----------
    p_kw, q_kvar, v1_v, r_ohm, x_ohm : float or array
        As in `voltage_rise`.

    Returns
    -------
    float or array
        [V]

    Raises
    ------
    ValueError
        If the line cannot carry so much (beyond the nose of the curve V over P); the message says what it can.

    Notes
    -----
    The lower root is a second solution with a large current at a low voltage. Grids do not work there.
    """
    p, q, v1, r, x = _two_bus(p_kw, q_kvar, v1_v, r_ohm, x_ohm)
    half = v1**2 / 2 + r * p + x * q
    root = half**2 - (r**2 + x**2) * (p**2 + q**2)
    if np.any(root < 0):
        p, q, v1, r, x = (a[root < 0][0] for a in np.broadcast_arrays(p, q, v1, r, x))
        most = largest_kva(p, q, v1_v=v1, r_ohm=r, x_ohm=x)
        raise ValueError(
            f"{np.hypot(p, q) / 1000:g} kVA is beyond the nose: at this power factor the line carries at most {most:g} kVA"
        )
    return plain(np.sqrt(half + np.sqrt(root)))  # eq. (3.2)


def largest_kva(p_kw, q_kvar=0.0, *, v1_v, r_ohm, x_ohm):
    r"""Largest apparent power that a line can carry when p and q grow together: the nose of the curve.

    .. math:: S_{max} = \frac{V_1^2}{2\left(|Z| - R\cos\varphi - X\sin\varphi\right)},\quad P = S\cos\varphi,\ Q = S\sin\varphi            (3.3)

    Parameters
    ----------
    p_kw, q_kvar : float or array
        Only their ratio and signs matter; not both 0. [kW], [kvar]
    v1_v, r_ohm, x_ohm : float or array
        As in `voltage_rise`.

    Returns
    -------
    float or array
        Infinite when power is injected in the direction of the line's own impedance. [kVA]

    Raises
    ------
    ValueError
        If p and q are both 0.
    """
    p, q, v1, r, x = _two_bus(p_kw, q_kvar, v1_v, r_ohm, x_ohm)
    s, z = np.hypot(p, q), np.hypot(r, x)
    if np.any(s == 0):
        raise ValueError(
            "p_kw and q_kvar are both 0; their ratio gives the direction in which to look"
        )
    room = z - (r * p + x * q) / s
    with np.errstate(divide="ignore"):
        return plain(
            np.where(room > 1e-12 * z, v1**2 / (2 * np.maximum(room, 0)), np.inf) / 1000
        )  # eq. (3.3)


def _two_bus(p_kw, q_kvar, v1_v, r_ohm, x_ohm):
    """Arguments of the two-bus functions, checked, in W and var."""
    p, q = checked("p_kw", p_kw, "kW"), checked("q_kvar", q_kvar, "kvar")
    r, x = checked("r_ohm", r_ohm, "ohm", ge=0), checked("x_ohm", x_ohm, "ohm", ge=0)
    if np.any(np.add(r, x) == 0):
        raise ValueError(
            "r_ohm and x_ohm are both 0; a line without impedance has the same voltage at both ends"
        )
    return tuple(
        np.asarray(a)
        for a in (
            np.multiply(p, 1000.0),
            np.multiply(q, 1000.0),
            checked("v1_v", v1_v, "V", gt=0),
            r,
            x,
        )
    )


# -------------------------------------------------------------------------------------------------------- the street


@dataclass(frozen=True, kw_only=True, eq=False)
class Feeder:
    """A radial feeder: one source (the root) and lines that branch like a tree. The order of the table does not matter.

    Attributes
    ----------
    lines : DataFrame
        One row a line: `from`, `to` (names of buses, text or whole numbers, in either direction), `r_ohm`, `x_ohm`, and optionally
        `limit_a`. Further columns are kept and not used. A transformer is a line with its impedance seen from the `v_kv` side.
    root : str or int
        The bus with the given voltage.
    v_kv : float
        Nominal voltage line to line. [kV]
    loads : DataFrame, optional
        One row a bus with a load: `bus`, `load_kw`, `load_kvar`. **Drawn, so positive**; `power_flow` takes what is injected.
    buses : tuple
        Filled in: all names, the root first, the others as they first appear in `lines`. Arrays over buses follow this order.
    load_kw, load_kvar, limit_a : array, shape (buses,)
        Filled in: the load at each bus, and the limit of the line that feeds it (infinite where there is none). [kW], [kvar], [A]
    z_ohm : array of complex, shape (buses,)
        Filled in: R + jX of the line that feeds each bus; 0 at the root. [ohm]
    path : tuple of (int, int)
        Filled in: position of each bus and of the bus above it, from the root outward.

    Raises
    ------
    ValueError
        In one sentence, for anything that is not a tree with impedances.
    """

    lines: pd.DataFrame
    root: str | int
    v_kv: float
    loads: pd.DataFrame | None = None
    buses: tuple = field(init=False)
    load_kw: np.ndarray = field(init=False, repr=False)
    load_kvar: np.ndarray = field(init=False, repr=False)
    limit_a: np.ndarray = field(init=False, repr=False)
    z_ohm: np.ndarray = field(init=False, repr=False)
    path: tuple = field(init=False, repr=False)

    def __post_init__(self):
        checked("v_kv", self.v_kv, "kV", gt=0)
        lines = _table("lines", self.lines, ("from", "to"), ("r_ohm", "x_ohm"))
        ends = list(zip(lines["from"].tolist(), lines["to"].tolist()))
        buses = tuple(dict.fromkeys([self.root, *(bus for line in ends for bus in line)]))
        impedance = lines.r_ohm.to_numpy() + 1j * lines.x_ohm.to_numpy()
        above, feeding = _walk(ends, impedance, self.root, buses)
        at = {bus: i for i, bus in enumerate(buses)}
        fed, by = [at[bus] for bus in feeding], list(feeding.values())
        z, limit = np.zeros(len(buses), complex), np.full(len(buses), np.inf)
        z[fed] = impedance[by]
        if "limit_a" in lines:
            limit[fed] = lines.limit_a.to_numpy()[by]
        load = np.zeros((2, len(buses)))
        filled = {
            "lines": lines,
            "buses": buses,
            "z_ohm": z,
            "path": tuple((at[bus], at[up]) for bus, up in above.items()),
            "limit_a": limit,
            "load_kw": load[0],
            "load_kvar": load[1],
        }
        for name, value in filled.items():
            object.__setattr__(self, name, value)
        if self.loads is not None:
            loads = _table("loads", self.loads, ("bus",), ("load_kw", "load_kvar"))
            if not loads.bus.is_unique:
                raise ValueError(
                    f"loads names bus {loads.bus[loads.bus.duplicated()].iloc[0]!r} twice; add its loads up in one row"
                )
            load[:, _rows(self, loads.bus.tolist())] = loads.load_kw, loads.load_kvar
            object.__setattr__(self, "loads", loads)


def _table(name, table, names, numbers):
    """A table with the columns it needs: names of buses, and numbers that are not negative."""
    table = pd.DataFrame(table)
    missing = [column for column in (*names, *numbers) if column not in table]
    if missing:
        raise ValueError(
            f"{name} has no column {', '.join(missing)}; it needs {', '.join((*names, *numbers))}"
        )
    for column in names:
        for bus in table[column].tolist():
            if isinstance(bus, bool) or not isinstance(bus, (str, int)):
                raise ValueError(
                    f"{name} has {bus!r} in column {column}; a bus is named by text or a whole number"
                )
    for column in (*numbers, *(c for c in ("limit_a",) if c in table)):
        checked(
            f"column {column} of {name}", table[column].to_numpy(), ge=0, finite=column != "limit_a"
        )
    return table


def _walk(ends, impedance, root, buses):
    """From the root outward: the bus above each bus, and the number of the line between. Refuses what is no tree of impedances."""
    beside, pairs = defaultdict(list), set()
    for line, (a, b) in enumerate(ends):
        if a == b:
            raise ValueError(f"lines has a line from bus {a!r} to itself")
        if frozenset((a, b)) in pairs:
            raise ValueError(
                f"lines has the line between buses {a!r} and {b!r} twice; put parallel lines together into one"
            )
        if impedance[line] == 0:
            raise ValueError(
                f"the line between buses {a!r} and {b!r} has no impedance; make the two one bus"
            )
        pairs.add(frozenset((a, b)))
        beside[a].append((b, line))
        beside[b].append((a, line))
    if root not in beside:
        raise ValueError(
            f"root is {root!r}, but no line begins there; the buses are {_some(bus for bus in buses if bus != root)}"
        )
    above, feeding, waiting = {}, {root: None}, deque([root])
    while waiting:
        up = waiting.popleft()
        for bus, line in beside[up]:
            if line == feeding[up]:
                continue
            if bus in feeding:
                raise ValueError(
                    f"the line between buses {up!r} and {bus!r} closes a loop; a radial feeder has one way to each bus"
                )
            above[bus], feeding[bus] = up, line
            waiting.append(bus)
    if len(feeding) < len(buses):
        raise ValueError(
            f"no line connects the root {root!r} with {_some(bus for bus in buses if bus not in feeding)}"
        )
    del feeding[root]
    return above, feeding


def _some(buses):
    """The first few names as text."""
    names = [repr(bus) for bus in buses]
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def _rows(feeder, buses):
    """Positions of some buses, or a ValueError with the names there are."""
    at = {bus: i for i, bus in enumerate(feeder.buses)}
    unknown = [bus for bus in buses if bus not in at]
    if unknown:
        raise ValueError(f"there is no bus {unknown[0]!r}; the buses are {_some(at)}")
    return [at[bus] for bus in buses]


def at_buses(feeder, values):
    """An array over the buses of a feeder, from the values at a few of them; 0 elsewhere.

    Parameters
    ----------
    feeder : Feeder
    values : dict
        Name of a bus: a number, or an array with one entry a scenario or time step.

    Returns
    -------
    array, shape (..., buses)

    Examples
    --------
    >>> street = feeder("cigre-lv-residential")
    >>> float(at_buses(street, {"R18": -11.0, "R11": -7.4}).sum())
    -18.4
    """
    columns = [checked(f"value at bus {bus!r}", value) for bus, value in values.items()]
    array = np.zeros(
        (*np.broadcast_shapes(*(np.shape(column) for column in columns)), len(feeder.buses))
    )
    for row, column in zip(_rows(feeder, values), columns):
        array[..., row] = column
    return array


def feeders():
    """Names of the feeders in `v2gbook/data/feeders`, for `feeder`."""
    return tuple(sorted(path.stem for path in _FEEDERS.glob("*.toml")))


def feeder(name):
    """A published feeder with its loads, for example "cigre-lv-residential" or "baran-wu-33". Where it comes from stands in its file.

    Returns
    -------
    Feeder

    Raises
    ------
    ValueError
        If there is no such feeder; the message lists those there are.
    """
    if name not in feeders():
        raise ValueError(f"there is no feeder {name!r}; known feeders are {', '.join(feeders())}")
    raw = tomllib.loads((_FEEDERS / f"{name}.toml").read_text(encoding="utf-8"))
    lines, loads = (
        pd.DataFrame(raw["lines"], columns=raw["columns"]),
        pd.DataFrame(raw["loads"], columns=raw["load_columns"]),
    )
    if "cable" in lines:
        for part in ("r_ohm", "x_ohm"):
            lines[part] = lines.length_km * [
                raw["cables"][cable][f"{part}_per_km"] for cable in lines.cable
            ]
        lines = pd.concat(
            [pd.DataFrame([{**raw["transformer"], "cable": "transformer"}]), lines],
            ignore_index=True,
        )
    if "s_kva" in loads:
        loads["load_kw"] = loads.s_kva * loads.power_factor
        loads["load_kvar"] = loads.s_kva * np.sqrt(1 - loads.power_factor**2)
    return Feeder(lines=lines, root=raw["root"], v_kv=raw["v_kv"], loads=loads)


_FEEDERS = Path(__file__).parent / "data" / "feeders"


# --------------------------------------------------------------------------------------------------------- power flow


class NoSolution(ArithmeticError):
    """A power flow did not settle: the feeder is asked for more than it can carry, or for nearly all of it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Flow:
    """Voltages and currents of a feeder in every scenario. Failed scenarios (only with `keep_going`) are NaN.

    Attributes
    ----------
    buses : tuple
        Names, in the order of the last axis.
    phasor_pu : array of complex, shape (..., buses)
        Voltage with its angle, the root's being 0. [pu]
    v_pu : array, shape (..., buses)
        Size of the voltage. [pu]
    current_a : array, shape (..., buses)
        In the line that feeds each bus; 0 at the root. [A]
    loss_kw : float or array, shape (...)
        Lost in all lines together. [kW]
    p_root_kw, q_root_kvar : float or array, shape (...)
        What the feeder gives to the grid above its root; negative when it draws. [kW], [kvar]
    converged : bool or array, shape (...)
    sweeps : int
        The most that any scenario needed.
    q_units_kvar : array, shape (..., units), or None
        Injected by the `Units`. [kvar]
    """

    buses: tuple
    phasor_pu: np.ndarray
    v_pu: np.ndarray
    current_a: np.ndarray
    loss_kw: np.ndarray
    p_root_kw: np.ndarray
    q_root_kvar: np.ndarray
    converged: np.ndarray
    sweeps: int
    q_units_kvar: np.ndarray | None

    @property
    def v_min_pu(self):
        """Lowest voltage of each scenario. [pu]"""
        return plain(self.v_pu.min(-1))

    @property
    def v_min_bus(self):
        """Where it is lowest: a name, or an array of names; None where the scenario failed."""
        names = np.array([*self.buses, None], dtype=object)
        return names[np.where(self.converged, self.v_pu.argmin(-1), -1)]


_BLOCK = 1024  # scenarios at a time: 33 buses of them stay in the processor's cache
_SWEEPS = (
    30,
    400,
)  # a first turn for all scenarios, and a longer one for those that are near their nose


def power_flow(
    feeder,
    p_kw,
    q_kvar=0.0,
    *,
    z_kw=0.0,
    z_kvar=0.0,
    v0_pu=1.0,
    units=None,
    tol_pu=1e-6,
    keep_going=False,
):
    r"""Voltages of a whole feeder, for one scenario or for thousands at once, by sweeps backward (currents) and forward (voltages).

    With the voltages of the last sweep each bus injects the current

    .. math:: I_i = \left(\frac{S_i}{V_i}\right)^* + Y_i^*\,V_i,            (3.4)

    a line carries what is injected behind it, and the voltage rises along it:

    .. math:: J_i = I_i + \sum_{k\ \text{fed by}\ i} J_k            (3.5)
    .. math:: V_i = V_{up(i)} + Z_i J_i            (3.6)

    What the lines lose, with currents in A, is

    .. math:: P_{loss} = 3 \sum_i R_i\,|J_i|^2            (3.7)

    Parameters
    ----------
    feeder : Feeder
        Its loads are not taken into account by themselves: give `p_kw=car_kw - feeder.load_kw, q_kvar=-feeder.load_kvar`.
    p_kw, q_kvar : float or array, shape (..., buses)
        Injected at any voltage (constant power); charging and loads are negative. A single number holds at every bus. [kW], [kvar]
    z_kw, z_kvar : float or array, shape (..., buses)
        Injected at 1 pu by what behaves as a constant impedance, so that it changes with the voltage squared (heaters). [kW], [kvar]
    v0_pu : float or array, shape (...)
        Voltage at the root. [pu]
    units : Units, optional
        Inverters with volt-var, whose reactive power comes on top. The result is where their loop rests, stable or not: see `loop_gain`.
    tol_pu : float
        Bound on the error that is left in any voltage, estimated from how fast the sweeps close in. At least 1e-12. [pu]
    keep_going : bool
        True: scenarios without a solution come back as NaN, and `Flow.converged` says which they are.

    Returns
    -------
    Flow

    Raises
    ------
    ValueError
        If arrays do not fit the feeder, or a number is out of range.
    NoSolution
        If a scenario does not settle, unless `keep_going`. Closer than about a thousandth to the nose counts as not settling.

    Notes
    -----
    The sweeps cannot rest at the lower root: there they run away from it. So what they find is the upper one.

    References
    ----------
    .. [1] Shirmohammadi, Hong, Semlyen, Luo, "A compensation-based power flow method for weakly meshed distribution and transmission
       networks", IEEE Trans. Power Systems 3(2):753-762, 1988 (from memory).
    """
    checked("tol_pu", tol_pu, "pu", ge=1e-12)
    v0 = np.asarray(checked("v0_pu", v0_pu, "pu", gt=0))
    shape, (p, q, z_p, z_q) = _scenarios(
        feeder, v0.shape, p_kw=p_kw, q_kvar=q_kvar, z_kw=z_kw, z_kvar=z_kvar
    )
    admittance = (z_p, z_q) if np.any(z_p) or np.any(z_q) else None
    loop = _volt_var(feeder, units) if units else None
    v, j, q_units, converged, sweeps = _solve(
        feeder, (p, q), admittance, np.broadcast_to(v0, shape).ravel(), loop, tol_pu
    )
    if not converged.all():
        if not keep_going:
            _refuse(feeder, converged.reshape(shape), _conjugate(p + z_p, q + z_q))
        for array in (v, j, q_units):
            array[:, ~converged] = np.nan
    root, current = v[0] * j[0].conj(), np.abs(j)
    loss = _kva_z(feeder).real[:, 0] @ current**2  # eq. (3.7)
    current[0] = 0.0 * current[0]
    current /= np.sqrt(3) * feeder.v_kv
    v, size, current, q_units = (
        array.T.reshape(*shape, len(array)) for array in (v, np.abs(v), current, q_units)
    )
    loss, p_root, q_root = (plain(array.reshape(shape)) for array in (loss, root.real, root.imag))
    return Flow(
        buses=feeder.buses,
        phasor_pu=v,
        v_pu=size,
        current_a=current,
        loss_kw=loss,
        p_root_kw=p_root,
        q_root_kvar=q_root,
        converged=converged.reshape(shape)[()],
        sweeps=sweeps,
        q_units_kvar=q_units if loop else None,
    )


def _scenarios(feeder, shape, **powers):
    """The common shape of all scenarios, and each power as (scenarios, buses)."""
    n, arrays = len(feeder.buses), []
    for name, value in powers.items():
        array = np.asarray(checked(name, value))
        if array.ndim and array.shape[-1] != n:
            raise ValueError(
                f"{name} has {array.shape[-1]} values on its last axis, but the feeder has {n} buses; see feeder.buses and at_buses"
            )
        arrays.append(array)
    try:
        shape = np.broadcast_shapes(shape, *(array.shape[:-1] for array in arrays))
    except ValueError:
        sizes = {name: array.shape[:-1] for name, array in zip(powers, arrays)}
        raise ValueError(
            f"scenarios do not fit together: v0_pu has the shape {shape}, the others, without buses, {sizes}"
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


def _solve(feeder, powers, admittances, v0, loop, tol):
    """Sweep all scenarios, block by block: phasors and line currents (buses, scenarios), reactive power of units, who converged, sweeps."""
    n, count, most = len(feeder.buses), len(v0), 0
    v, j, converged = (
        np.empty((n, count), complex),
        np.empty((n, count), complex),
        np.zeros(count, bool),
    )
    q_units = np.empty((len(loop[0]) if loop else 0, count))
    for limit in _SWEEPS:
        limit = round(limit / loop[3]) if loop else limit  # small steps take patience
        todo = np.flatnonzero(~converged)
        for first in range(0, len(todo), _BLOCK):
            block = todo[first : first + _BLOCK]
            block = (
                slice(block[0], block[-1] + 1) if len(block) == block[-1] + 1 - block[0] else block
            )  # a slice is faster
            power, admittance = (
                part and _conjugate(*(array[block] for array in part))
                for part in (powers, admittances)
            )
            start = np.broadcast_to(v0[block] + 0j, power.shape)
            v[:, block], j[:, block], q_units[:, block], converged[block], sweeps = _sweep(
                feeder.path, _kva_z(feeder), power, admittance, start, tol, limit, loop
            )
            most = max(most, sweeps)
    return v, j, q_units, converged, most


def _sweep(path, z, power, admittance, v, tol, limit, loop=None):
    """Sweep from `v` until settled: phasors and line currents (buses, scenarios), reactive power of units, who has settled, number of sweeps.

    When steps shrink from a to b, those still to come add up to b^2 / (a - b): a scenario has settled once that is within `tol`.
    """
    v, new, j, rise = v.copy(), v.copy(), np.empty_like(power), np.empty_like(power)
    before, settled = np.zeros(v.shape[1]), np.zeros(v.shape[1], bool)
    rows, rating, curve, damping = loop or ([], None, None, None)
    fixed, q = power[rows], np.zeros((len(rows), v.shape[1]))
    with np.errstate(all="ignore"):  # what runs away does not settle
        for sweeps in range(1, limit + 1):
            if loop:
                q += damping * (rating * curve(np.abs(v[rows])) - q)
                power[rows] = fixed - 1j * q
            np.divide(power, np.conjugate(v, out=j), out=j)  # eq. (3.4)
            if admittance is not None:
                j += admittance * v
            for bus, up in reversed(path):
                j[up] += j[bus]  # eq. (3.5)
            np.multiply(z, j, out=rise)
            for bus, up in path:
                np.add(new[up], rise[bus], out=new[bus])  # eq. (3.6)
            step = np.abs(np.subtract(new, v, out=rise)).max(0)
            v, new = new, v
            settled |= (
                step**2 <= tol * (before - step) + 1e-28
            )  # below 1e-14 there is only rounding
            if settled.all():
                break
            before = step
    return v, j, q, settled, sweeps


def _refuse(feeder, converged, power):
    """Say which scenarios have no solution, and where the voltage suffers most in the first of them by the linear estimate."""
    first = int(np.flatnonzero(~converged)[0])
    where = feeder.buses[(_shared(feeder) @ power[:, first]).real.argmin()]
    which = np.unravel_index(first, converged.shape)
    count = (
        f"{(~converged).sum()} of {converged.size} scenarios have" if which else "this scenario has"
    )
    text = f"; the first is scenario {', '.join(str(i) for i in which)}" if which else ""
    raise NoSolution(
        f"{count} no solution that the sweeps can reach{text}. The voltage is lowest at bus {where!r}: the feeder is asked for "
        "more than it can carry, or for nearly all of it. keep_going=True returns the others"
    )


# ------------------------------------------------------------------------------------------------------- sensitivity


@dataclass(frozen=True, kw_only=True, eq=False)
class Sensitivity:
    """How much power at one bus moves the voltage at another. Rows: where the voltage is; columns: where the power is."""

    dv_dp_pu_per_kw: pd.DataFrame
    dv_dq_pu_per_kvar: pd.DataFrame
    r_over_x: pd.Series


def sensitivity(feeder):
    r"""Sensitivities of all voltages to all powers, near nominal voltage (the linearised DistFlow equations).

    .. math:: \frac{\partial V_i}{\partial P_k} \approx \frac{R_{ik}}{V},\quad \frac{\partial V_i}{\partial Q_k} \approx \frac{X_{ik}}{V}            (3.8)

    with the resistance and the reactance that the ways from the root to i and to k **share**.

    Parameters
    ----------
    feeder : Feeder

    Returns
    -------
    Sensitivity
        `r_over_x`, of the whole way to each bus, says how many kvar do as much there as 1 kW; the root has none.

    References
    ----------
    .. [1] Baran, Wu, "Optimal capacitor placement on radial distribution systems", IEEE Trans. Power Delivery 4(1):725-734, 1989 (from memory).
    """
    shared = _shared(feeder)
    real, imag = (
        pd.DataFrame(part, index=feeder.buses, columns=feeder.buses)
        for part in (shared.real, shared.imag)
    )
    own = np.diag(shared)[1:]
    with np.errstate(divide="ignore"):
        return Sensitivity(
            dv_dp_pu_per_kw=real,
            dv_dq_pu_per_kvar=imag,
            r_over_x=pd.Series(own.real / own.imag, index=feeder.buses[1:]),
        )


def _shared(feeder):
    """Impedance that the ways from the root to each two buses share. [pu of voltage per kVA]"""
    way = np.eye(len(feeder.buses))
    for bus, up in feeder.path:
        way[bus] += way[up]
    return way @ (feeder.z_ohm[:, None] * way.T) / (1000 * feeder.v_kv**2)  # eq. (3.8)


# -------------------------------------------------------------------------------------------------- smart inverters


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A setting of a smart inverter: straight lines between points, flat beyond the first and the last. Call it like a function.

    Attributes
    ----------
    x_pu : tuple of float
        What is measured, in order: voltage, or active power per rating. [pu]
    y_pu : tuple of float
        What is answered: reactive power per kVA (> 0 injected), or the limit of active power per rating. [pu]
    olrt_s : float
        Open-loop response time: 90 % of a step has been answered. [s]

    Raises
    ------
    ValueError
        If the points are not ordered, or jump.
    """

    x_pu: tuple
    y_pu: tuple
    olrt_s: float

    def __post_init__(self):
        checked("olrt_s", self.olrt_s, "s", gt=0)
        x, y = (
            np.atleast_1d(checked("x_pu", self.x_pu, "pu")),
            np.atleast_1d(checked("y_pu", self.y_pu, "pu")),
        )
        if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
            raise ValueError(
                f"x_pu has {x.size} points and y_pu {y.size}; a curve needs two or more of each, as many of one as of the other"
            )
        if np.any(np.diff(x) < 0):
            raise ValueError(
                f"x_pu is {tuple(x.tolist())}: a curve whose points are not ordered; they must rise from left to right"
            )
        if np.any((np.diff(x) == 0) & (np.diff(y) != 0)):
            raise ValueError(
                f"the curve jumps: x_pu {tuple(x.tolist())} names a point twice with different values in y_pu"
            )
        for name, value in (("x_pu", x), ("y_pu", y)):
            object.__setattr__(self, name, tuple(value.tolist()))

    def __call__(self, x_pu):
        """The answer to what is measured. [pu]"""
        return plain(np.interp(checked("x_pu", x_pu, finite=False), self.x_pu, self.y_pu))

    @property
    def slope(self):
        """Steepest fall of the curve, >= 0: for volt-var, reactive power per voltage. [pu/pu]"""
        run, rise = np.diff(self.x_pu), np.diff(self.y_pu)
        return float(np.max(-rise[run > 0] / run[run > 0], initial=0.0))


# Defaults of IEEE Std 1547-2018 by its categories of normal performance, as coded in EPRI's OpenDER. Every one of these functions is
# DISABLED when a unit leaves the factory: without a utility's request it runs at unity power factor and does nothing of the kind.
VOLT_VAR = {
    "A": Curve(x_pu=(0.90, 1.00, 1.00, 1.10), y_pu=(0.25, 0.0, 0.0, -0.25), olrt_s=10.0),
    "B": Curve(x_pu=(0.92, 0.98, 1.02, 1.08), y_pu=(0.44, 0.0, 0.0, -0.44), olrt_s=5.0),
}
WATT_VAR = {
    "A": Curve(
        x_pu=(-1.0, -0.5, 0.5, 1.0), y_pu=(0.44, 0.0, 0.0, -0.25), olrt_s=10.0
    ),  # the standard gives 10 s from memory
    "B": Curve(x_pu=(-1.0, -0.5, 0.5, 1.0), y_pu=(0.44, 0.0, 0.0, -0.44), olrt_s=10.0),
}
VOLT_WATT = Curve(
    x_pu=(1.06, 1.10), y_pu=(1.0, 0.2), olrt_s=10.0
)  # the 0.2 is from memory: the lesser of 0.2 and the unit's minimum
VOLT_WATT_STORAGE = Curve(
    x_pu=(1.06, 1.10), y_pu=(1.0, 0.0), olrt_s=10.0
)  # OpenDER's file of a unit that can also charge
_REQUIRED = {"A": (-0.25, 0.44), "B": (-0.44, 0.44)}


def required_q(category, p_pu):
    r"""Reactive power that IEEE 1547-2018 wants a unit to be **able** to give while it gives `p_pu`; not what it must do.

    .. math:: Q_{req} = Q_{max}\,\min\left(1, \frac{p}{0.2}\right)\ \text{for}\ p \ge 0.05,\ \text{else } 0            (3.10)

    Parameters
    ----------
    category : str
        "A" (where few units are connected) or "B" (many units, or large swings of their power).
    p_pu : float or array
        Active power given to the grid per rating, 0..1.

    Returns
    -------
    tuple of float or array
        Lowest (absorbed, negative) and highest (injected) reactive power per kVA of rating. [pu]

    Raises
    ------
    ValueError
        If the category is not A or B, or the power is not a fraction 0..1.

    References
    ----------
    .. [1] IEEE Std 1547-2018, Table 7, as coded in EPRI OpenDER (with the two categories the right way round).
    """
    if category not in _REQUIRED:
        raise ValueError(f"category is {category!r}; it must be one of {', '.join(_REQUIRED)}")
    p = np.asarray(checked("p_pu", p_pu, "(a fraction)", ge=0, le=1))
    share = np.where(p >= 0.05, np.minimum(1.0, p / 0.2), 0.0)  # eq. (3.10)
    return tuple(plain(limit * share) for limit in _REQUIRED[category])


def inverter_power(charger, p_kw, v_pu, *, volt_var=None, volt_watt=None):
    r"""What a unit settles at when it sees a voltage: volt-watt caps, volt-var adds, and reactive power goes first.

    .. math:: Q = S\,c_Q(V),\qquad P \le \min\left(P_r\,c_P(V),\ \sqrt{S^2 - Q^2}\right)            (3.9)

    Parameters
    ----------
    charger : Charger
        S is `s_kva`; P_r, which volt-watt counts in, `p_discharge_kw`.
    p_kw : float or array
        What the unit would give; charging is negative. [kW]
    v_pu : float or array
        Voltage at its terminals. [pu]
    volt_var, volt_watt : Curve, optional
        Functions that are enabled; by default neither is.

    Returns
    -------
    tuple of float or array
        p [kW] and q [kvar], both injected.

    Examples
    --------
    >>> from v2gbook.charger import Charger
    >>> unit = Charger(p_charge_kw=30.0, p_discharge_kw=30.0, s_kva=30.0, idle_kw=0.0, loss_linear=0.0, loss_quadratic=0.0)
    >>> p_kw, q_kvar = inverter_power(unit, 30.0, 1.08, volt_var=VOLT_VAR["B"])
    >>> round(p_kw, 1), round(q_kvar, 1)
    (26.9, -13.2)
    """
    p, v = np.asarray(checked("p_kw", p_kw, "kW")), checked("v_pu", v_pu, "pu", gt=0)
    q = np.multiply(charger.s_kva, volt_var(v)) if volt_var else 0.0
    cap = np.multiply(charger.p_discharge_kw, volt_watt(v)) if volt_watt else np.inf
    p, q = np.broadcast_arrays(np.minimum(p, cap), q)
    return reactive_first(charger, p, q)  # eq. (3.9)


def time_constant(olrt_s):
    r"""Time constant of a first-order answer from its open-loop response time, which is a 90 % time.

    .. math:: \tau = \frac{T_{OLR}}{\ln 10}            (3.11)

    Parameters
    ----------
    olrt_s : float or array
        [s]

    Returns
    -------
    float or array
        [s]
    """
    return checked("olrt_s", olrt_s, "s", gt=0) / math.log(10)  # eq. (3.11)


def response(t_s, olrt_s):
    """Share of a step that has been answered `t_s` after it, 0..1: first order, 0.9 at `olrt_s` by definition.

    Parameters
    ----------
    t_s, olrt_s : float or array
        [s]

    Returns
    -------
    float or array
        0..1
    """
    return -np.expm1(-checked("t_s", t_s, "s", ge=0) / time_constant(olrt_s))


# ---------------------------------------------------------------------------------------------------------- the loop


def operating_point(curve, *, v0_pu, r_pu, x_pu, p_pu):
    r"""Where a volt-var unit at the end of a line comes to rest, exactly, on the linear feeder of eq. (3.1).

    .. math:: V = V_0 + R\,p + X\,c(V)            (3.12)

    The curve falls with V, so V - X c(V) rises, and there is one answer; both sides are straight between the points of the curve.

    Parameters
    ----------
    curve : Curve
        Volt-var; it must not rise.
    v0_pu, p_pu : float or array
        Voltage of the source, and active power injected per rating of the unit. [pu]
    r_pu, x_pu : float
        Voltage that the unit's full rating makes as active and as reactive power. [pu]

    Returns
    -------
    tuple of float or array
        V and q. [pu]

    Examples
    --------
    >>> v_pu, q_pu = operating_point(VOLT_VAR["B"], v0_pu=1.0, r_pu=0.06, x_pu=0.04, p_pu=1.0)
    >>> round(v_pu, 4), round(q_pu, 4)
    (1.0509, -0.2268)
    """
    _checked_falling(curve)
    r, x = float(checked("r_pu", r_pu, "pu", ge=0)), float(checked("x_pu", x_pu, "pu", ge=0))
    alone = checked("v0_pu", v0_pu, "pu", gt=0) + np.multiply(r, checked("p_pu", p_pu, "pu"))
    q = np.interp(alone, np.subtract(curve.x_pu, np.multiply(x, curve.y_pu)), curve.y_pu)
    return plain(alone + x * q), plain(q)  # eq. (3.12)


def _checked_falling(curve):
    if not isinstance(curve, Curve) or np.any(np.diff(curve.y_pu) > 0):
        raise ValueError(
            f"curve is {curve!r}; a volt-var curve must not rise anywhere, or it drives the voltage away"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """Inverters on a feeder that all follow one volt-var curve. Reactive power goes first, so active power must leave it room:
    with 0.44 absorbed, 0.898 kW per kVA. Their active power is part of `p_kw` in `power_flow`.

    Attributes
    ----------
    buses : tuple of str or int
        Where they are, one unit a bus.
    s_kva : float or array, shape (units,)
        Rating of each. [kVA]
    curve : Curve
        Volt-var, the same for all; it must not rise.
    """

    buses: tuple
    s_kva: float
    curve: Curve

    def __post_init__(self):
        if (
            isinstance(self.buses, str)
            or len(self.buses) == 0
            or len(set(self.buses)) < len(self.buses)
        ):
            raise ValueError(
                f"buses is {self.buses!r}; it must be a list of different buses, one unit at each"
            )
        ratings = checked("s_kva", self.s_kva, "kVA", ge=0)
        if np.shape(ratings) not in ((), (len(self.buses),)):
            raise ValueError(
                f"s_kva has the shape {np.shape(ratings)}; give one rating, or one for each of {len(self.buses)} units"
            )
        _checked_falling(self.curve)


def coupling(feeder, units):
    """What the full reactive power of each unit (columns) does to the voltage at each unit (rows), on the linear feeder.

    Parameters
    ----------
    feeder : Feeder
    units : Units

    Returns
    -------
    DataFrame, index and columns the buses of the units
        [pu]
    """
    rows = _rows(feeder, units.buses)
    return pd.DataFrame(
        _shared(feeder).imag[np.ix_(rows, rows)] * units.s_kva,
        index=units.buses,
        columns=units.buses,
    )


def loop_gain(curve, x_pu):
    r"""Gain of the volt-var loop: by how much the answer to a step of voltage moves the voltage itself, at the curve's steepest.

    .. math:: g = X\,k\ \text{ for one unit},\qquad g = \rho(\mathbf{X})\,k\ \text{ for several},\qquad k = \max|c'|            (3.13)

    Parameters
    ----------
    curve : Curve
    x_pu : float, or array, shape (units, units)
        Voltage that a unit's full reactive power makes, or all those of `coupling`; :math:`\rho` is the largest eigenvalue. [pu]

    Returns
    -------
    float
        At 1 and above, jumping at once to the curve's answer goes wrong: the naive iteration diverges. Whether a street does so as well
        depends on `largest_gain`.
    """
    _checked_falling(curve)
    x = np.asarray(checked("x_pu", x_pu, "pu", ge=0))
    if x.ndim and (x.ndim != 2 or x.shape[0] != x.shape[1]):
        raise ValueError(
            f"x_pu has the shape {x.shape}; it must be a number, or a square matrix as `coupling` returns it"
        )
    return float(curve.slope * np.abs(np.linalg.eigvals(np.atleast_2d(x))).max())  # eq. (3.13)


def largest_gain(period_s, tau_s):
    r"""Loop gain below which units that measure every `period_s` and answer with the time constant `tau_s` come to rest.

    .. math:: g < \frac{2}{1 - e^{-T/\tau}} - 1            (3.15)

    Parameters
    ----------
    period_s : float or array
        Time between two measurements; between them the target stands still. [s]
    tau_s : float or array
        See `time_constant`. [s]

    Returns
    -------
    float or array
        Never below 1; grows without limit for fast measurement.

    Examples
    --------
    >>> [round(largest_gain(period_s, time_constant(5.0)), 2) for period_s in (1.0, 5.0)]
    [4.42, 1.22]
    """
    h = checked("period_s", period_s, "s", gt=0) / np.asarray(checked("tau_s", tau_s, "s", gt=0))
    return plain(2 / -np.expm1(-h) - 1)  # eq. (3.15)


def _volt_var(feeder, units):
    """Rows, ratings, curve and damping of the units for the sweeps.

    Eigenvalues of the loop lie between 1 and 1 + g, so that a step of 1 / (1 + g) towards the curve overshoots nowhere.
    """
    rows, curve = _rows(feeder, units.buses), units.curve
    rating = np.broadcast_to(np.asarray(units.s_kva, float), len(rows))
    gain = loop_gain(curve, _shared(feeder).imag[np.ix_(rows, rows)] * rating)
    return rows, rating[:, None], lambda v: np.interp(v, curve.x_pu, curve.y_pu), 1 / (1 + gain)


def settle(feeder, units, p_kw, q_kvar=0.0, *, period_s, t_end_s, v0_pu=1.0):
    r"""The loop in time: all units measure every `period_s` and move, first order, towards what their curve answers.

    .. math:: q_{k+1} = q_k + \left(1 - e^{-T/\tau}\right)\left(S\,c(V_k) - q_k\right)            (3.14)

    Parameters
    ----------
    feeder : Feeder
    units : Units
        Switched on at t = 0 with no reactive power. `olrt_s` of their curve gives tau.
    p_kw, q_kvar : float or array, shape (buses,)
        Injected by everything else, and the units' active power; constant in time. [kW], [kvar]
    period_s, t_end_s : float
        Time between two measurements, and length of the run. [s]
    v0_pu : float
        Voltage at the root. [pu]

    Returns
    -------
    DataFrame, index t_s
        `v_<bus>_pu` and `q_<bus>_kvar` of each unit, at the measurements.

    Raises
    ------
    NoSolution
        If a power flow on the way has none.
    """
    checked("period_s", period_s, "s", gt=0)
    checked("t_end_s", t_end_s, "s", ge=period_s)
    shape, (p, q_all) = _scenarios(
        feeder, np.shape(checked("v0_pu", v0_pu, "pu", gt=0)), p_kw=p_kw, q_kvar=q_kvar
    )
    if shape:
        raise ValueError(
            f"settle follows one scenario, but p_kw, q_kvar and v0_pu together have the shape {shape}"
        )
    rows, rating, curve, _ = _volt_var(feeder, units)
    share = response(period_s, units.curve.olrt_s)
    t = np.arange(int(t_end_s / period_s + 1e-9) + 1) * period_s
    power, z = _conjugate(p, q_all), _kva_z(feeder)
    fixed, v, q, record = (
        power[rows],
        np.full(power.shape, v0_pu + 0j),
        np.zeros((len(rows), 1)),
        [],
    )
    for _ in t:
        power[rows] = fixed - 1j * q
        v, _, _, settled, _ = _sweep(feeder.path, z, power, None, v, 1e-7, _SWEEPS[-1])
        if not settled:
            _refuse(feeder, settled.reshape(()), power)
        seen = np.abs(v[rows])
        record.append((seen[:, 0], q[:, 0]))
        q = q + share * (rating * curve(seen) - q)  # eq. (3.14)
    voltages, answers = np.transpose(record, (1, 2, 0))
    columns = {f"v_{bus}_pu": row for bus, row in zip(units.buses, voltages)}
    columns |= {f"q_{bus}_kvar": row for bus, row in zip(units.buses, answers)}
    return pd.DataFrame(columns, index=pd.Index(t, name="t_s"))
