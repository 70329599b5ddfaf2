r"""Topic 02, agc: who brings the frequency back to exactly nominal, and what it asks of a battery.

Governors stop a fall and leave a deviation (`primary_response`). A balancing area that measures its area control error (`ace`) and moves its
own units until the error is zero (`Agc`, `Unit`) brings frequency and tie flows back; `restored` says where that ends, `simulate` how it gets
there. In between, units receive a set-point every few seconds: `regulation_signal` makes such a signal by a stated recipe, `split` parts it into
slow and fast, `follow` lets a fleet of cars obey it, and `tracking` and `mileage` say how well and how hard.

Power is in MW. p > 0 is generation or what flows from the vehicle to the grid; interchange > 0 leaves the area.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import expm

from ._check import checked, plain

# ----------------------------------------------------------------------------------------- what governors leave behind


@dataclass(frozen=True, kw_only=True)
class Area:
    """A balancing area: machines, load and governors lumped together, and perhaps a controller of its own.

    Attributes
    ----------
    name : str
        Stands in the columns of results.
    rating_mw : float
        Base of the per-unit values. [MW]
    inertia_s : float
        Kinetic energy of all rotors over the rating (H). [s]
    damping_pu : float
        Load that goes away per frequency: pu of rating per pu of f0 (D). [-]
    droop_pu : float
        Frequency, in pu of f0, that moves the governors by the whole rating (R); infinite without governors. [pu]
    t_valve_s, t_turbine_s : float
        Lags of governor and turbine. [s]
    agc : Agc, optional
        Secondary control; None: the area lives with what its governors leave.
    """

    name: str
    rating_mw: float
    inertia_s: float
    damping_pu: float
    droop_pu: float
    t_valve_s: float = 0.2
    t_turbine_s: float = 0.5
    agc: "Agc | None" = None

    def __post_init__(self):
        checked("rating_mw", self.rating_mw, "MW", gt=0)
        checked("inertia_s", self.inertia_s, "s", gt=0)
        checked("damping_pu", self.damping_pu, ge=0)
        checked("droop_pu", self.droop_pu, "pu", gt=0, finite=False)
        checked("t_valve_s", self.t_valve_s, "s", gt=0)
        checked("t_turbine_s", self.t_turbine_s, "s", gt=0)

    def stiffness_mw_per_hz(self, f0_hz):
        r"""Frequency response characteristic: MW of help per Hz of deviation, from governors and load together.

        .. math:: \beta = \frac{P_r}{f_0}\left(\frac1R + D\right)            (2.1)
        """
        return (
            self.rating_mw
            / checked("f0_hz", f0_hz, "Hz", gt=0)
            * (1 / self.droop_pu + self.damping_pu)
        )  # eq. (2.1)


def primary_response(areas, loss_mw, *, f0_hz):
    r"""Where frequency and tie flows settle with governors alone.

    .. math:: \Delta f = -\frac{\sum_i \Delta P_i}{\sum_i \beta_i}            (2.2)
    .. math:: \Delta E_i = -\Delta P_i - \beta_i\,\Delta f            (2.3)

    Parameters
    ----------
    areas : Area or list of Area
    loss_mw : float or list of float
        Generation lost in each area; negative for load lost. [MW]
    f0_hz : float
        [Hz]

    Returns
    -------
    DataFrame, one row an area
        `df_hz` (the same in all), `governor_mw`, `load_mw` (both changes; a drop of load is negative) and `export_mw`, the change of what
        leaves the area.
    """
    areas = _listed(areas)
    loss = _per_area("loss_mw", loss_mw, areas)
    beta = np.array([area.stiffness_mw_per_hz(f0_hz) for area in areas])
    df = -loss.sum() / beta.sum()  # eq. (2.2)
    load = np.array([area.rating_mw * area.damping_pu for area in areas]) * df / f0_hz
    governor = -np.array([area.rating_mw / area.droop_pu for area in areas]) * df / f0_hz
    return pd.DataFrame(
        {
            "df_hz": df,
            "governor_mw": governor,
            "load_mw": load,
            "export_mw": -loss - beta * df,
        },  # eq. (2.3)
        index=pd.Index([area.name for area in areas], name="area"),
    )


def _listed(areas):
    areas = [areas] if isinstance(areas, Area) else list(areas)
    names = [area.name for area in areas]
    if not areas or len(set(names)) < len(names):
        raise ValueError(f"areas are named {names}; give one or more areas with different names")
    return areas


def _per_area(name, values, areas):
    array = np.atleast_1d(checked(name, values, "MW"))
    if array.shape != (len(areas),):
        raise ValueError(f"{name} has {array.size} values, but there are {len(areas)} areas")
    return array


# ------------------------------------------------------------------------------------------------ the area control error


def ace(interchange_mw, scheduled_mw, deviation_hz, *, bias_mw_per_hz):
    r"""Area control error: the part of the imbalance that an area has to make good itself.

    .. math:: ACE = (E - E_0) + B\,\Delta f            (2.4)

    Parameters
    ----------
    interchange_mw, scheduled_mw : float or array
        What leaves the area, and what should. [MW]
    deviation_hz : float or array
        f - f0. [Hz]
    bias_mw_per_hz : float
        B > 0, best the area's own stiffness. [MW/Hz]

    Returns
    -------
    float or array
        Negative: the area gives too little. [MW]

    Notes
    -----
    NERC writes ACE = (NIA - NIS) - 10 B (FA - FS) with B < 0 in MW per 0.1 Hz; `bias_from_nerc` converts (from memory). European texts call
    B the K-factor and turn the sign of the whole.
    """
    checked("bias_mw_per_hz", bias_mw_per_hz, "MW/Hz", ge=0)
    error = np.subtract(
        checked("interchange_mw", interchange_mw, "MW"), checked("scheduled_mw", scheduled_mw, "MW")
    )
    return plain(
        error + np.multiply(bias_mw_per_hz, checked("deviation_hz", deviation_hz, "Hz"))
    )  # eq. (2.4)


def bias_from_nerc(b_mw_per_0_1hz):
    """Bias in MW/Hz from NERC's negative MW per 0.1 Hz: the factor 10 that is so easily forgotten.

    Examples
    --------
    >>> bias_from_nerc(-250.0)
    2500.0
    """
    return -10.0 * checked("b_mw_per_0_1hz", b_mw_per_0_1hz, "MW/0.1 Hz", le=0)


# ------------------------------------------------------------------------------------------------- secondary control


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What obeys set-points: a slow plant, or a fleet of cars as one.

    Attributes
    ----------
    name : str
    share : float
        Part of the area's command it is given first; the shares of an area add up to 1.
    low_mw, high_mw : float
        How far it can go below and above its present schedule. `low_mw` <= 0 <= `high_mw`. [MW]
    ramp_mw_per_min : float
        Largest change of its target; infinite for converters. [MW/min]
    lag_s : float
        First-order lag from target to output. [s]
    give_mwh, take_mwh : float
        Energy it can still give and take, at its meter; infinite for a plant. [MWh]
    """

    name: str
    share: float
    low_mw: float
    high_mw: float
    ramp_mw_per_min: float = math.inf
    lag_s: float = 0.5
    give_mwh: float = math.inf
    take_mwh: float = math.inf

    def __post_init__(self):
        checked("share", self.share, "(a fraction)", ge=0, le=1)
        checked("low_mw", self.low_mw, "MW", le=0)
        checked("high_mw", self.high_mw, "MW", ge=0)
        checked("ramp_mw_per_min", self.ramp_mw_per_min, "MW/min", gt=0, finite=False)
        checked("lag_s", self.lag_s, "s", gt=0)
        checked("give_mwh", self.give_mwh, "MWh", ge=0, finite=False)
        checked("take_mwh", self.take_mwh, "MWh", ge=0, finite=False)


@dataclass(frozen=True, kw_only=True)
class Agc:
    """Automatic generation control of one area: a PI controller on the area control error, in cycles.

    Attributes
    ----------
    bias_mw_per_hz : float
        B of eq. (2.4). [MW/Hz]
    units : tuple of Unit
        Who moves.
    ki_per_s : float
        Integral gain: MW per second for each MW of error. [1/s]
    kp : float
        Proportional gain. [-]
    cycle_s : float
        Time between two set-points; 2 to 6 s is usual. [s]
    anti_windup : bool
        True: the integrator never asks for more than the units can reach in the next cycle.
    ties : bool
        False: only frequency counts (flat frequency control).
    """

    bias_mw_per_hz: float
    units: tuple
    ki_per_s: float
    kp: float = 0.0
    cycle_s: float = 4.0
    anti_windup: bool = True
    ties: bool = True

    def __post_init__(self):
        checked("bias_mw_per_hz", self.bias_mw_per_hz, "MW/Hz", ge=0)
        checked("ki_per_s", self.ki_per_s, "1/s", ge=0)
        checked("kp", self.kp, ge=0)
        checked("cycle_s", self.cycle_s, "s", gt=0)
        if not self.units or not all(isinstance(unit, Unit) for unit in self.units):
            raise ValueError(f"units is {self.units!r}; give a tuple of Unit, at least one")
        total = sum(unit.share for unit in self.units)
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the shares of the units add up to {total:g}; they must add up to 1")


def dispatch(command_mw, shares, low_mw, high_mw):
    """Share a command out: to each unit its part, cut to what it can reach, and what is left over to those that have room.

    Parameters
    ----------
    command_mw : float
        [MW]
    shares, low_mw, high_mw : list of float
        Share of each unit, and the least and most it can reach. [-], [MW], [MW]

    Returns
    -------
    list of float
        Targets. They add up to the command wherever the units together can reach it. [MW]
    """
    target = [
        min(max(share * command_mw, low), high) for share, low, high in zip(shares, low_mw, high_mw)
    ]
    left = command_mw - sum(target)
    room = [
        high - now if left > 0 else low - now for now, low, high in zip(target, low_mw, high_mw)
    ]
    total = sum(room)
    if total * left > 0:
        part = min(1.0, left / total)
        target = [now + part * more for now, more in zip(target, room)]
    return target


def restored(areas, loss_mw, *, f0_hz):
    r"""Where frequency, tie flows and units settle with AGC, also when reserves run out.

    An area with reserve left holds its error at zero, :math:`\Delta E_i = -B_i\,\Delta f`; one without (or without AGC) gives all it has,
    :math:`\Delta E_j = s_j - \Delta P_j - \beta_j\,\Delta f`. Flows balance, so that

    .. math:: \Delta f = \frac{\sum_j (s_j - \Delta P_j)}{\sum_i B_i + \sum_j \beta_j}            (2.5)

    Parameters
    ----------
    areas, loss_mw, f0_hz
        As in `primary_response`; the reserve of an area is what its units reach together.

    Returns
    -------
    DataFrame, one row an area
        `df_hz`, `secondary_mw` (its units together), `export_mw`, `ace_mw`.
    """
    areas = _listed(areas)
    loss = _per_area("loss_mw", loss_mw, areas)
    beta = np.array([area.stiffness_mw_per_hz(f0_hz) for area in areas])
    bias = np.array([area.agc.bias_mw_per_hz if area.agc else 0.0 for area in areas])
    low = np.array(
        [sum(unit.low_mw for unit in area.agc.units) if area.agc else 0.0 for area in areas]
    )
    high = np.array(
        [sum(unit.high_mw for unit in area.agc.units) if area.agc else 0.0 for area in areas]
    )
    stuck, given = np.array([area.agc is None for area in areas]), np.zeros(len(areas))
    while True:
        df = (given - loss)[stuck].sum() / max(
            bias[~stuck].sum() + beta[stuck].sum(), 1e-300
        )  # eq. (2.5)
        export = np.where(stuck, given - loss - beta * df, -bias * df)
        secondary = np.where(stuck, given, export + loss + beta * df)
        over = ~stuck & ((secondary > high + 1e-9) | (secondary < low - 1e-9))
        if not over.any():
            return pd.DataFrame(
                {
                    "df_hz": df,
                    "secondary_mw": secondary,
                    "export_mw": export,
                    "ace_mw": export + bias * df,
                },
                index=pd.Index([area.name for area in areas], name="area"),
            )
        stuck, given = stuck | over, np.where(over, np.clip(secondary, low, high), given)


@dataclass(frozen=True, kw_only=True)
class Tie:
    """A line between two areas; its flow is positive from the first to the second.

    Attributes
    ----------
    between : tuple of str
        Names of the two areas.
    stiffness_mw_per_rad : float
        Synchronising coefficient: flow per angle between the areas. [MW/rad]
    damping_mw_per_hz : float
        Flow per difference of their frequencies. Stands for the damper windings and stabilisers of all machines, which keep areas from
        swinging against each other; without them the governors' lags may feed the swing. [MW/Hz]
    """

    between: tuple
    stiffness_mw_per_rad: float
    damping_mw_per_hz: float = 0.0

    def __post_init__(self):
        if len(self.between) != 2 or self.between[0] == self.between[1]:
            raise ValueError(f"between is {self.between!r}; name two different areas")
        checked("stiffness_mw_per_rad", self.stiffness_mw_per_rad, "MW/rad", gt=0)
        checked("damping_mw_per_hz", self.damping_mw_per_hz, "MW/Hz", ge=0)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Generation lost in an area at a time; negative for load lost, or for generation that comes back."""

    area: str
    t_s: float
    p_mw: float


def simulate(areas, losses, ties=(), *, f0_hz, t_end_s=600.0, dt_s=0.1):
    r"""Frequency, interchange, errors and units of some areas after losses, with governors and AGC.

    .. math:: 2 H_i P_{r,i} \frac{d\omega_i}{dt} = P_{m,i} + \sum_u p_u - \Delta P_i - D_i P_{r,i}\,\omega_i - E_i            (2.6)
    .. math:: E_{ij} = T_{ij}\,\theta_{ij} + K_{ij}\,(f_i - f_j),\qquad \frac{d\theta_{ij}}{dt} = 2\pi\,(f_i - f_j)            (2.7)
    .. math:: c_k = -\left(K_p\,ACE_k + K_i\,T_c \sum_{n \le k} ACE_n\right)            (2.8)

    Parameters
    ----------
    areas : Area or list of Area
    losses : list of Loss
    ties : list of Tie
        None for areas that do not know of each other.
    f0_hz : float
        [Hz]
    t_end_s, dt_s : float
        Length and step. [s]

    Returns
    -------
    DataFrame, index t_s
        For each area `<area>_f_hz`, `<area>_export_mw`, `<area>_ace_mw` (as measured at the last cycle), `<area>_governor_mw`, and for each of its
        units `<area>_<unit>_mw`.

    Notes
    -----
    Between two steps the machines follow their linear equations exactly (matrix exponential); what units give changes only at steps. A step
    that is long beside their `lag_s` makes their answer late by up to a step, and a quick loop looks less stable than it is.

    Saadat's tie coefficient multiplies a per-unit speed integral; here T multiplies an angle in radians, so its transient differs and
    its end state does not.
    """
    areas = _listed(areas)
    names = [area.name for area in areas]
    checked("dt_s", dt_s, "s", gt=0)
    checked("t_end_s", t_end_s, "s", ge=dt_s)
    _check_names(names, losses, ties)
    advance, drive, export_of = _machines(
        areas, ties, names, checked("f0_hz", f0_hz, "Hz", gt=0), dt_s
    )
    steps = round(t_end_s / dt_s) + 1
    lost = np.zeros((steps, len(areas)))
    for loss in losses:
        lost[max(0, math.ceil(loss.t_s / dt_s - 1e-9)) :, names.index(loss.area)] += loss.p_mw
    rooms = [_ControlRoom(area.agc, dt_s) if area.agc else None for area in areas]
    units = [f"{area.name}_{unit.name}_mw" for area in areas if area.agc for unit in area.agc.units]
    x, states, given, errors = (
        np.zeros(len(advance)),
        np.empty((steps, len(advance))),
        np.empty((steps, len(units))),
        np.zeros((steps, len(areas))),
    )
    n = len(areas)
    for k in range(steps):
        states[k] = x
        out, secondary = [], []
        for i, room in enumerate(rooms):
            if room:
                if k % room.every == 0:
                    room.command(export_of[i] @ x, f0_hz * x[i])
                errors[k, i] = room.ace
                moved = room.move()
                out += moved
                secondary.append(sum(moved))
            else:
                secondary.append(0.0)
        given[k] = out
        x = advance @ x + drive @ (np.array(secondary) - lost[k])
    columns = {}
    for i, area in enumerate(areas):
        columns |= {
            f"{area.name}_f_hz": f0_hz * (1 + states[:, i]),
            f"{area.name}_export_mw": states @ export_of[i],
            f"{area.name}_ace_mw": errors[:, i],
            f"{area.name}_governor_mw": area.rating_mw * states[:, 2 * n + i],
        }
    columns |= dict(zip(units, given.T))
    return pd.DataFrame(columns, index=pd.Index(np.arange(steps) * dt_s, name="t_s"))


def _check_names(names, losses, ties):
    for what, used in (
        ("a loss", [loss.area for loss in losses]),
        ("a tie", [end for tie in ties for end in tie.between]),
    ):
        for name in used:
            if name not in names:
                raise ValueError(
                    f"{what} names the area {name!r}; the areas are {', '.join(names)}"
                )


def _machines(areas, ties, names, f0_hz, dt_s):
    """Exact step of the linear part: states are speeds, valves and turbines of all areas, then the angle of each tie."""
    n, m = len(areas), len(ties)
    a, b, export = (
        np.zeros((3 * n + m, 3 * n + m)),
        np.zeros((3 * n + m, n)),
        np.zeros((n, 3 * n + m)),
    )
    for k, tie in enumerate(ties):
        first, second = (names.index(end) for end in tie.between)
        flow, a[3 * n + k, [first, second]] = (
            np.zeros(len(a)),
            (2 * math.pi * f0_hz, -2 * math.pi * f0_hz),
        )
        flow[3 * n + k], flow[first], flow[second] = (
            tie.stiffness_mw_per_rad,
            tie.damping_mw_per_hz * f0_hz,
            -tie.damping_mw_per_hz * f0_hz,
        )
        export[first] += flow  # eq. (2.7)
        export[second] -= flow
    for i, area in enumerate(areas):
        momentum = 2 * area.inertia_s * area.rating_mw
        a[i] -= export[i] / momentum  # eq. (2.6)
        a[i, i] -= area.damping_pu * area.rating_mw / momentum
        a[i, 2 * n + i] = area.rating_mw / momentum
        b[i, i] = 1 / momentum
        a[n + i, i], a[n + i, n + i] = -1 / (area.droop_pu * area.t_valve_s), -1 / area.t_valve_s
        a[2 * n + i, n + i], a[2 * n + i, 2 * n + i] = 1 / area.t_turbine_s, -1 / area.t_turbine_s
    whole = expm(np.block([[a, b], [np.zeros((n, 3 * n + m + n))]]) * dt_s)
    return whole[: 3 * n + m, : 3 * n + m], whole[: 3 * n + m, 3 * n + m :], export


class _ControlRoom:
    """One area's controller and its units, while time runs."""

    def __init__(self, agc, dt_s):
        self.agc, self.dt_s, self.every = agc, dt_s, max(1, round(agc.cycle_s / dt_s))
        self.integral = self.ace = 0.0
        units = agc.units
        self.shares = [unit.share for unit in units]
        self.ramp = [unit.ramp_mw_per_min / 60 * dt_s for unit in units]  # MW a step
        self.settle = [-math.expm1(-dt_s / unit.lag_s) for unit in units]
        self.goal, self.target, self.out = ([0.0] * len(units) for _ in range(3))
        self.give, self.take = [unit.give_mwh for unit in units], [unit.take_mwh for unit in units]

    def command(self, export_mw, deviation_hz):
        """A new cycle: measure, integrate, share out."""
        agc = self.agc
        self.ace = (export_mw if agc.ties else 0.0) + agc.bias_mw_per_hz * deviation_hz
        self.integral += agc.cycle_s * agc.ki_per_s * self.ace
        wanted = -(agc.kp * self.ace + self.integral)  # eq. (2.8)
        low = [unit.low_mw if take > 0 else 0.0 for unit, take in zip(agc.units, self.take)]
        high = [unit.high_mw if give > 0 else 0.0 for unit, give in zip(agc.units, self.give)]
        reach = [ramp * self.every for ramp in self.ramp]
        low = [max(l, min(now - r, h)) for l, h, now, r in zip(low, high, self.target, reach)]
        high = [min(h, max(now + r, l)) for l, h, now, r in zip(low, high, self.target, reach)]
        self.goal = dispatch(wanted, self.shares, low, high)
        if agc.anti_windup:
            self.integral = -sum(self.goal) - agc.kp * self.ace

    def move(self):
        """One step of all units: ramp towards the goal, lag, and stop where the energy ends. Gives their outputs."""
        for i, goal in enumerate(self.goal):
            self.target[i] += min(max(goal - self.target[i], -self.ramp[i]), self.ramp[i])
            out = self.out[i] + self.settle[i] * (self.target[i] - self.out[i])
            hours = self.dt_s / 3600
            self.out[i] = out = min(max(out, -self.take[i] / hours), self.give[i] / hours)
            self.give[i] -= out * hours
            self.take[i] += out * hours
        return list(self.out)


# --------------------------------------------------------------------------------------------- the signal every 4 s


def regulation_signal(hours, rng, *, period_s=4.0, slow_s=900.0, fast_s=30.0, rms=0.35):
    """A SYNTHETIC regulation signal, -1..1: two mean-reverting noises of equal size, one slow and one fast, added and clipped.

    Parameters
    ----------
    hours : float
        [h]
    rng : numpy.random.Generator
    period_s : float
        [s]
    slow_s, fast_s : float
        Time after which each noise has forgotten most of itself. Chosen, not fitted to any area. [s]
    rms : float
        Root mean square before clipping. [-]

    Returns
    -------
    Series, index t_s
        > 0 asks for power to the grid. Its mean over a day is near 0 and not 0.
    """
    count = round(
        checked("hours", hours, "h", gt=0) * 3600 / checked("period_s", period_s, "s", gt=0)
    )
    total = np.zeros(count)
    for memory_s in (checked("slow_s", slow_s, "s", gt=0), checked("fast_s", fast_s, "s", gt=0)):
        keep = math.exp(-period_s / memory_s)
        noise = rng.standard_normal(count) * math.sqrt(1 - keep**2)
        noise[0] += rng.standard_normal() * keep
        total += _first_order(noise, keep)
    signal = np.clip(total * checked("rms", rms, gt=0) / math.sqrt(2), -1.0, 1.0)
    return pd.Series(signal, index=pd.Index(np.arange(count) * period_s, name="t_s"), name="signal")


def _first_order(x, keep):
    """y[n] = keep y[n-1] + x[n], from y[0] = x[0]."""
    return (
        pd.Series(np.concatenate([x[:1], x[1:] / (1 - keep)]))
        .ewm(alpha=1 - keep, adjust=False)
        .mean()
        .to_numpy()
    )


def split(signal, *, period_s, cutoff_s):
    r"""Part a signal into slow and fast, causally: what a plant can follow, and what is left for converters.

    .. math:: s^{slow}_k = s^{slow}_{k-1} + \left(1 - e^{-T/T_c}\right)\left(s_k - s^{slow}_{k-1}\right),\qquad s^{fast} = s - s^{slow}            (2.9)

    Parameters
    ----------
    signal : array, shape (steps,)
    period_s, cutoff_s : float
        Time between two values, and time constant of the filter. [s]

    Returns
    -------
    tuple of array
        Slow and fast; they add up to the signal.
    """
    s = np.asarray(checked("signal", signal))
    keep = math.exp(
        -checked("period_s", period_s, "s", gt=0) / checked("cutoff_s", cutoff_s, "s", gt=0)
    )
    slow = _first_order(np.concatenate([s[:1], (1 - keep) * s[1:]]), keep)  # eq. (2.9)
    return slow, s - slow


# ------------------------------------------------------------------------------------------- a fleet that follows it


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Cars as one battery that sells regulation. Each field is a number, or an array with one entry a case.

    Attributes
    ----------
    p_mw : float or array
        Largest power, both ways, at the meter. [MW]
    energy_mwh : float or array
        Usable energy. [MWh]
    soc : float or array
        At the start. 0..1
    eta_charge, eta_discharge : float or array
        Meter to battery, battery to meter. 0..1
    soc_min, soc_max : float or array
        Window that is not left. 0..1
    """

    p_mw: float
    energy_mwh: float
    soc: float
    eta_charge: float
    eta_discharge: float
    soc_min: float = 0.0
    soc_max: float = 1.0

    def __post_init__(self):
        checked("p_mw", self.p_mw, "MW", gt=0)
        checked("energy_mwh", self.energy_mwh, "MWh", gt=0)
        for name in ("eta_charge", "eta_discharge"):
            checked(name, getattr(self, name), "(a fraction)", gt=0, le=1)
        for name in ("soc_min", "soc_max", "soc"):
            checked(name, getattr(self, name), "(a fraction)", ge=0, le=1)
        if np.any(np.less(self.soc, self.soc_min)) or np.any(np.greater(self.soc, self.soc_max)):
            raise ValueError(
                f"soc is {self.soc}; it must lie between soc_min = {self.soc_min} and soc_max = {self.soc_max}"
            )


@dataclass(frozen=True, kw_only=True)
class Offset:
    """An energy-neutral offset: a schedule, bought or sold beside the regulation, that brings the battery back.

    At the start of each period the schedule of the next one is fixed, from the state of charge at that moment.

    Attributes
    ----------
    share : float
        Part of the fleet's power kept for it; regulation is offered with the rest. 0..1
    period_s : float
        Length of a period, as long as a settlement interval. [s]
    target_soc : float
        0..1
    """

    share: float
    period_s: float
    target_soc: float = 0.5

    def __post_init__(self):
        checked("share", self.share, "(a fraction)", ge=0, lt=1)
        checked("period_s", self.period_s, "s", gt=0)
        checked("target_soc", self.target_soc, "(a fraction)", ge=0, le=1)


def drift_per_h(fleet, signal):
    r"""How fast losses empty a battery that follows a signal of mean zero.

    .. math:: \frac{d\,soc}{dt} = -\frac{P\,\overline{|s|}}{2E}\left(\frac{1}{\eta_d} - \eta_c\right)            (2.10)

    Parameters
    ----------
    fleet : Fleet
    signal : array, shape (steps,)
        -1..1; only the mean of its size counts.

    Returns
    -------
    float or array
        Negative. [1/h]
    """
    size = np.abs(np.asarray(checked("signal", signal))).mean()
    return plain(
        -np.multiply(fleet.p_mw, size)
        / (2 * np.asarray(fleet.energy_mwh))
        * (1 / np.asarray(fleet.eta_discharge) - fleet.eta_charge)
    )  # eq. (2.10)


def follow(signal, fleet, *, period_s, offset=None):
    """A fleet obeys a signal as long as its battery lets it.

    Parameters
    ----------
    signal : array, shape (steps,)
        -1..1; > 0 asks for power to the grid.
    fleet : Fleet
    period_s : float
        Time between two values. [s]
    offset : Offset, optional

    Returns
    -------
    DataFrame, index t_s
        `asked_mw` (regulation offered times signal), `schedule_mw` (of the offset), `delivered_mw` (both together, as far as possible) and `soc` at
        the end of the step. With arrays in `fleet`, columns have a second level, the number of the case.

    Raises
    ------
    ValueError
        If the signal leaves -1..1.
    """
    s = np.atleast_1d(checked("signal", signal, ge=-1, le=1))
    dt_h = checked("period_s", period_s, "s", gt=0) / 3600
    fields = [
        getattr(fleet, name)
        for name in (
            "p_mw",
            "energy_mwh",
            "eta_charge",
            "eta_discharge",
            "soc_min",
            "soc_max",
            "soc",
        )
    ]
    shape = np.broadcast_shapes(*(np.shape(value) for value in fields))
    power, energy, eta_c, eta_d, floor, top, soc = (
        np.broadcast_to(np.asarray(value, float), shape) for value in fields
    )
    share, block, target = (
        (offset.share, max(1, round(offset.period_s / period_s)), offset.target_soc)
        if offset
        else (0.0, 256, 0.5)
    )
    columns = np.empty((4, len(s), *shape))
    asked, scheduled, delivered, trace = columns
    np.multiply.outer(s, power * (1 - share), out=asked)
    per_charge, per_give, band, hours = (
        dt_h * eta_c / energy,
        dt_h / (eta_d * energy),
        power * share,
        block * dt_h,
    )
    now = following = power * 0.0
    for start in range(0, len(s), block):
        span = slice(start, start + block)
        if offset:
            now, missing = (
                following,
                (target - soc) * energy + following * hours,
            )  # as it will stand after this period
            following = np.clip(-missing / hours, -band, band)
        scheduled[span] = now
        wish = np.clip(asked[span] + now, -power, power)
        path = soc + np.cumsum(
            per_charge * np.maximum(-wish, 0.0) - per_give * np.maximum(wish, 0.0), axis=0
        )
        if not (
            (path >= floor) & (path <= top)
        ).all():  # the battery's end is met on the way: step by step
            low, high, rows = _one_or_many(shape, wish)
            wish, path = _bounded(
                low,
                high,
                rows,
                *(
                    value[()] if shape else float(value)
                    for value in (soc, floor, top, per_charge, per_give)
                ),
            )
        delivered[span], trace[span] = wish, path
        soc = trace[span][-1]
    names, t_s = (
        ("asked_mw", "schedule_mw", "delivered_mw", "soc"),
        pd.Index(np.arange(len(s)) * period_s, name="t_s"),
    )
    if not shape:
        return pd.DataFrame(dict(zip(names, columns)), index=t_s)
    return pd.concat(
        {
            name: pd.DataFrame(values.reshape(len(s), -1), index=t_s)
            for name, values in zip(names, columns)
        },
        axis=1,
    )


def _one_or_many(shape, wish):
    """`min`, `max` and rows for one fleet as floats, or for many as arrays."""
    return (np.minimum, np.maximum, wish) if shape else (min, max, wish.tolist())


def _bounded(low, high, wishes, soc, floor, top, per_charge, per_give):
    """Powers and states of charge when the window cuts in; a step that meets its end is followed in part."""
    powers, path = [], []
    for wish in wishes:
        p = low(high(wish, (soc - top) / per_charge), (soc - floor) / per_give)
        soc = low(
            high(soc + per_charge * high(-p, 0.0) - per_give * high(p, 0.0), floor), top
        )  # rounding stays inside
        powers.append(p)
        path.append(soc)
    return powers, path


def tracking(asked, delivered):
    r"""How well a response follows: 1 is perfect, 0 is no better than standing still.

    .. math:: \pi = 1 - \frac{\overline{|d - a|}}{\overline{|a|}}            (2.11)

    Parameters
    ----------
    asked, delivered : array, shape (steps,)
        Regulation alone: take a schedule out first. [MW]

    Returns
    -------
    float
        At most 1; negative for a response that does harm.

    Notes
    -----
    The mean of the size stands below the line: the mean of the signal itself is near zero, and a score divided by it means nothing.
    """
    a, d = np.asarray(checked("asked", asked)), np.asarray(checked("delivered", delivered))
    if a.shape != d.shape:
        raise ValueError(f"asked has shape {a.shape} and delivered {d.shape}; they must be alike")
    if not np.abs(a).sum():
        raise ValueError("asked is 0 throughout; there is nothing to follow")
    return float(1 - np.abs(d - a).mean() / np.abs(a).mean())  # eq. (2.11)


def mileage(signal):
    """Way that a signal travels up and down: the sum of the sizes of its changes. In the unit of the signal."""
    return float(np.abs(np.diff(np.asarray(checked("signal", signal)))).sum())
