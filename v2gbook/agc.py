r"""Topic 02, agc: who brings the frequency back to nominal, and what that asks of a battery.

Governors stop a fall of frequency but leave a deviation (`primary_response`). A balancing area
measures its area control error (`ace`) and moves its own units until the error is zero (`Agc`,
`Unit`); this brings frequency and tie flows back. `restored` says where that ends, `simulate` how
it gets there. In between, units receive a set-point every few seconds: `regulation_signal` makes
such a signal by a stated recipe, `split` divides it into a slow and a fast part, `follow` lets a
fleet of cars obey it, and `tracking` and `mileage` say how well and how hard.

Power is in MW. p > 0 is generation, or what flows from the vehicle to the grid; interchange > 0
leaves the area.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.linalg import expm

from ._check import (
    MOST_STEPS,
    FloatOrArray,
    alike,
    checked,
    equal_steps,
    fraction,
    instance,
    instances,
    keep,
    one,
    one_fraction,
    plain,
    refuse_large,
    row,
    steps,
    together,
)
from ._limits import ABOVE_0_MW, NOMINAL_HZ, PERIOD_S, POWER_MW, STORE_MWH, TIME_S, Limits

# What each quantity may be. The limits are generous: beyond them a unit has slipped.
_DEVIATION: Limits = {"unit": "Hz", "ge": -1000, "le": 1000}
_LAG: Limits = {"unit": "s", "gt": 0, "ge": 1e-3, "le": 1e6}
_STEP: Limits = {"unit": "s", "gt": 0, "ge": 1e-6, "le": 3600}
_BIAS: Limits = {"unit": "MW/Hz", "ge": 0, "le": 1e9}
_GAIN: Limits = {"ge": 0, "le": 1e6}
_DROOP: Limits = {"gt": 0, "ge": 1e-4, "lt": 1.5}  # of `fraction`
_EFFICIENCY: Limits = {"fraction": True, "gt": 0, "ge": 0.01}
_LEAST_MW_PER_HZ = 1e-9  # below it nothing holds the frequency
_LEAST_MW = 1e-12  # a signal that asks for less asks for nothing


# ------------------------------------------------------------------ what governors leave behind


@dataclass(frozen=True, kw_only=True)
class Area:
    """A balancing area: machines, load and governors as one, and perhaps a controller.

    All values are single numbers.

    Attributes
    ----------
    name : str
        Name of the area; stands in the columns of results.
    rating_mw : float
        Base of the per-unit values, above 0 [MW].
    inertia_s : float
        Kinetic energy of all rotors over the rating (H), above 0 [s].
    damping_rating_pu : float
        Load damping (D), 0 or more: fall of the load, in pu of the rating, per pu of frequency [-].
    droop_pu : float
        Fall of frequency, in pu of f0, that moves the governors by the whole rating (R): a fraction
        above 0, or infinite without governors [-].
    t_valve_s : float
        Lag of the governor, above 0 [s].
    t_turbine_s : float
        Lag of the turbine, above 0 [s].
    agc : Agc or None
        Secondary control; None: nobody removes the deviation that the governors leave.

    References
    ----------
    .. [1] Saadat, Power System Analysis, 2nd ed., ch. 12.

    Examples
    --------
    >>> home = Area(name="home", rating_mw=10_000, inertia_s=5, damping_rating_pu=1, droop_pu=0.05)
    >>> home.stiffness_mw_per_hz(50)
    4200.0
    """

    name: str
    rating_mw: float
    inertia_s: float
    damping_rating_pu: float
    droop_pu: float
    t_valve_s: float = 0.2
    t_turbine_s: float = 0.5
    agc: "Agc | None" = None

    def __post_init__(self):
        instance("name", self.name, str)
        keep(
            self,
            rating_mw={"one": True, **ABOVE_0_MW},
            inertia_s={"one": True, **_LAG},
            damping_rating_pu={"one": True, "ge": 0, "le": 1000},
            droop_pu={"one": True, "gt": 0, "finite": False},
            t_valve_s={"one": True, **_LAG},
            t_turbine_s={"one": True, **_LAG},
        )
        if math.isfinite(self.droop_pu):
            fraction("droop_pu", self.droop_pu, **_DROOP)
        if self.agc is not None:
            instance("agc", self.agc, Agc)

    def stiffness_mw_per_hz(self, f0_hz: ArrayLike) -> FloatOrArray:
        r"""Help per hertz of deviation, from governors and load together.

        Also called frequency response characteristic.

        .. math:: \beta = \frac{P_r}{f_0}\left(\frac1R + D\right)            (2.1)

        Parameters
        ----------
        f0_hz : float or array
            Nominal frequency [Hz].

        Returns
        -------
        float or array, shape of f0_hz
            Stiffness, 0 without governors and damping [MW/Hz].

        Raises
        ------
        ValueError
            If `f0_hz` is not at least 1 Hz.
        """
        f0 = checked("f0_hz", f0_hz, **NOMINAL_HZ)
        return self.rating_mw / f0 * (1 / self.droop_pu + self.damping_rating_pu)  # eq. (2.1)


def _listed(areas):
    """One area or several, as a list of areas with different names."""
    listed = [areas] if isinstance(areas, Area) else list(instances("areas", areas, Area))
    names = _names(listed)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"areas are named {names}; give one or more areas with different names")
    return listed


def _names(areas):
    return [area.name for area in areas]


def _per_area(name, values, areas):
    """One power for each area, as an array."""
    array = np.atleast_1d(checked(name, values, **POWER_MW))
    if array.shape != (len(areas),):
        raise ValueError(f"{name} has {array.size} values, but there are {len(areas)} areas")
    return array


def _stiffnesses(areas, f0_hz):
    return np.array([area.stiffness_mw_per_hz(f0_hz) for area in areas])


def primary_response(
    areas: Area | Sequence[Area], loss_mw: ArrayLike, *, f0_hz: float
) -> pd.DataFrame:
    r"""Where frequency and tie flows settle with governors alone.

    .. math:: \Delta f = -\frac{\sum_i \Delta P_i}{\sum_i \beta_i}            (2.2)
    .. math:: \Delta E_i = -\Delta P_i - \beta_i\,\Delta f            (2.3)

    Parameters
    ----------
    areas : Area or list of Area
        The areas of one synchronous grid, with different names.
    loss_mw : float or array, shape (areas,)
        Generation lost in each area, negative for load lost [MW].
    f0_hz : float
        Nominal frequency [Hz].

    Returns
    -------
    DataFrame, one row for each area
        `df_hz`, the deviation, the same in all areas [Hz]; `governor_mw` and `load_mw`, the changes
        of governors and load, a fall of the load being negative [MW]; `export_mw`, the change of
        what leaves the area [MW]. The index `area` holds the names.

    Raises
    ------
    ValueError
        If there is not one loss for each area, two areas have the same name, or no area has any
        stiffness.
    TypeError
        If `areas` holds something else.

    References
    ----------
    .. [1] Saadat, Power System Analysis, 2nd ed., ch. 12.

    Examples
    --------
    >>> one = Area(name="1", rating_mw=1000, inertia_s=5, damping_rating_pu=0.6, droop_pu=0.05)
    >>> two = Area(name="2", rating_mw=1000, inertia_s=4, damping_rating_pu=0.9, droop_pu=0.0625)
    >>> end = primary_response([one, two], [187.5, 0.0], f0_hz=60.0)
    >>> end.df_hz.round(3).tolist(), end.export_mw.round(1).tolist()
    ([-0.3, -0.3], [-84.5, 84.5])
    """
    listed = _listed(areas)
    loss = _per_area("loss_mw", loss_mw, listed)
    f0_hz = one("f0_hz", f0_hz, **NOMINAL_HZ)
    beta = _stiffnesses(listed, f0_hz)
    if beta.sum() < _LEAST_MW_PER_HZ:
        raise ValueError(
            "areas have no stiffness: droop_pu is infinite and damping_rating_pu is 0 everywhere, "
            "so that frequency never settles"
        )
    df_hz = -loss.sum() / beta.sum()  # eq. (2.2)
    load_gain = np.array([area.rating_mw * area.damping_rating_pu for area in listed])
    governor_gain = np.array([area.rating_mw / area.droop_pu for area in listed])
    return pd.DataFrame(
        {
            "df_hz": df_hz,
            "governor_mw": -governor_gain * df_hz / f0_hz,
            "load_mw": load_gain * df_hz / f0_hz,
            "export_mw": -loss - beta * df_hz,  # eq. (2.3)
        },
        index=pd.Index(_names(listed), name="area"),
    )


# ----------------------------------------------------------------------- the area control error


def ace(
    interchange_mw: ArrayLike,
    scheduled_mw: ArrayLike,
    deviation_hz: ArrayLike,
    *,
    bias_mw_per_hz: ArrayLike,
) -> FloatOrArray:
    r"""Area control error: the part of the imbalance that an area has to restore itself.

    .. math:: ACE = (E - E_0) + B\,\Delta f            (2.4)

    Parameters
    ----------
    interchange_mw : float or array
        Power E that leaves the area [MW].
    scheduled_mw : float or array
        Power E0 that should leave the area [MW].
    deviation_hz : float or array
        Deviation of frequency, f - f0 [Hz].
    bias_mw_per_hz : float or array
        Frequency bias B, 0 or more, best the area's own stiffness [MW/Hz].

    Returns
    -------
    float or array, broadcast of the inputs
        Error, negative when the area gives too little [MW].

    Raises
    ------
    ValueError
        If the bias is negative, as NERC writes it, or shapes do not fit.

    See Also
    --------
    bias_from_nerc : Converts NERC's negative bias per 0.1 Hz.

    Notes
    -----
    NERC writes ACE = (NIA - NIS) - 10 B (FA - FS) with B < 0 in MW per 0.1 Hz. European texts call
    B the K-factor, and some give the whole the opposite sign.

    References
    ----------
    .. [1] NERC, Reliability Standard BAL-001, Real Power Balancing Control Performance.

    Examples
    --------
    >>> round(ace(500.0, 450.0, -0.03, bias_mw_per_hz=2500.0), 3)
    -25.0
    """
    interchange = checked("interchange_mw", interchange_mw, **POWER_MW)
    scheduled = checked("scheduled_mw", scheduled_mw, **POWER_MW)
    deviation = checked("deviation_hz", deviation_hz, **_DEVIATION)
    bias = checked("bias_mw_per_hz", bias_mw_per_hz, **_BIAS)
    together(
        interchange_mw=interchange,
        scheduled_mw=scheduled,
        deviation_hz=deviation,
        bias_mw_per_hz=bias,
    )
    return plain(interchange - scheduled + bias * deviation)  # eq. (2.4)


def bias_from_nerc(b_mw_per_0_1hz: ArrayLike) -> FloatOrArray:
    """Bias in MW/Hz from NERC's negative bias in MW per 0.1 Hz: minus ten times as much.

    Parameters
    ----------
    b_mw_per_0_1hz : float or array
        Bias as NERC writes it, 0 or less [MW/0.1 Hz].

    Returns
    -------
    float or array, shape of b_mw_per_0_1hz
        Bias for `ace` and `Agc`, 0 or more [MW/Hz].

    Raises
    ------
    ValueError
        If the bias is positive.

    References
    ----------
    .. [1] NERC, Reliability Standard BAL-003, Frequency Response and Frequency Bias Setting.

    Examples
    --------
    >>> bias_from_nerc(-250.0)
    2500.0
    """
    return -10.0 * checked("b_mw_per_0_1hz", b_mw_per_0_1hz, "MW/0.1 Hz", ge=-1e8, le=0)


# ---------------------------------------------------------------------------- secondary control


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What obeys set-points: a slow plant, or a fleet of cars as one.

    All values are single numbers.

    Attributes
    ----------
    name : str
        Name of the unit; stands in the columns of results.
    share : float
        Part of the area's command that it is given first, a fraction from 0 to 1; the shares of an
        area add up to 1 [-].
    low_mw : float
        How far it can go below its schedule, as a number of 0 or less; may be infinite [MW].
    high_mw : float
        How far it can go above its schedule, 0 or more; may be infinite [MW].
    ramp_mw_per_min : float
        Largest change of its target, above 0; infinite for converters [MW/min].
    lag_s : float
        First-order lag from target to output, above 0 [s].
    energy_up_mwh : float
        Energy that it can still give at its meter, 0 or more; infinite for a plant [MWh].
    energy_down_mwh : float
        Energy that it can still take at its meter, 0 or more; infinite for a plant [MWh].

    Examples
    --------
    >>> cars = Unit(
    ...     name="cars",
    ...     share=0.3,
    ...     low_mw=-100,
    ...     high_mw=100,
    ...     ramp_mw_per_min=6000,
    ...     lag_s=0.5,
    ...     energy_up_mwh=50,
    ...     energy_down_mwh=40,
    ... )
    >>> cars.energy_up_mwh / cars.high_mw
    0.5
    """

    name: str
    share: float
    low_mw: float
    high_mw: float
    ramp_mw_per_min: float = math.inf
    lag_s: float = 0.5
    energy_up_mwh: float = math.inf
    energy_down_mwh: float = math.inf

    def __post_init__(self):
        instance("name", self.name, str)
        keep(
            self,
            share={"one_fraction": True},
            low_mw={"one": True, "unit": "MW", "le": 0, "finite": False},
            high_mw={"one": True, "unit": "MW", "ge": 0, "finite": False},
            ramp_mw_per_min={"one": True, "unit": "MW/min", "gt": 0, "finite": False},
            lag_s={"one": True, **PERIOD_S},
            energy_up_mwh={"one": True, **STORE_MWH},
            energy_down_mwh={"one": True, **STORE_MWH},
        )


def _check_shares(name, shares):
    """Refuse shares that do not hand out the whole command."""
    total = sum(shares)
    if abs(total - 1) > 1e-9:
        raise ValueError(f"{name} add up to {total:g}; they must add up to 1")


@dataclass(frozen=True, kw_only=True)
class Agc:
    """Automatic generation control of an area: a PI controller that acts in cycles.

    It acts on the area control error, eq. (2.4), by the law of eq. (2.5).

    Attributes
    ----------
    bias_mw_per_hz : float
        Frequency bias B of eq. (2.4), 0 or more [MW/Hz].
    units : sequence of Unit
        The units that move, at least one, with different names; their shares add up to 1; kept as
        a tuple.
    ki_per_s : float
        Integral gain, 0 or more: MW per second for each MW of error [1/s].
    kp : float
        Proportional gain, 0 or more [-].
    cycle_s : float
        Time between two set-points, above 0; 2 to 6 s is usual [s].
    anti_windup : bool
        Whether the integrator stops in the direction in which the units cannot follow the command
        within a cycle; the proportional part is left alone.
    ties : bool
        Whether the interchange counts; False: only frequency does (flat frequency control).

    References
    ----------
    .. [1] Elgerd and Fosha, Optimum megawatt-frequency control of multiarea electric energy
       systems, IEEE Trans. Power Apparatus and Systems PAS-89, 1970.

    Examples
    --------
    >>> plant = Unit(name="plant", share=0.7, low_mw=-200, high_mw=200, ramp_mw_per_min=40)
    >>> cars = Unit(name="cars", share=0.3, low_mw=-100, high_mw=100)
    >>> room = Agc(bias_mw_per_hz=4200, units=[plant, cars], ki_per_s=0.01, kp=0.1, cycle_s=4)
    >>> [unit.name for unit in room.units]
    ['plant', 'cars']
    """

    bias_mw_per_hz: float
    units: Sequence[Unit]
    ki_per_s: float
    kp: float = 0.0
    cycle_s: float = 4.0
    anti_windup: bool = True
    ties: bool = True

    def __post_init__(self):
        object.__setattr__(self, "units", instances("units", self.units, Unit))
        keep(
            self,
            anti_windup={"flag": True},
            ties={"flag": True},
            bias_mw_per_hz={"one": True, **_BIAS},
            ki_per_s={"one": True, "unit": "1/s", **_GAIN},
            kp={"one": True, **_GAIN},
            cycle_s={"one": True, **PERIOD_S},
        )
        names = [unit.name for unit in self.units]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"units are named {names}; give at least one, with different names")
        _check_shares("the shares of the units", [unit.share for unit in self.units])


def _hand_on(left, room):
    """What each unit takes of a command that is left over, by the room that it still has."""
    total = sum(room)
    if total == 0 or left == 0:
        return [0.0] * len(room)
    if math.isinf(total):  # units without a limit take it in equal parts
        endless = [math.isinf(each) for each in room]
        return [left / sum(endless) if each else 0.0 for each in endless]
    part = min(1.0, left / total)
    return [part * each for each in room]


def _dispatch(command_mw, shares, low_mw, high_mw):
    """As `dispatch`, for lists of floats that have been checked."""
    target = [
        min(max(share * command_mw, low), high) for share, low, high in zip(shares, low_mw, high_mw)
    ]
    left = command_mw - sum(target)
    ends = high_mw if left > 0 else low_mw
    room = [end - now for end, now in zip(ends, target)]
    return [now + more for now, more in zip(target, _hand_on(left, room))]


def dispatch(
    command_mw: float, shares: ArrayLike, low_mw: ArrayLike, high_mw: ArrayLike
) -> list[float]:
    """Targets of the units of an area, which share out a command.

    Each unit gets its share of the command, cut to what it can reach. What is left over goes to
    the units that still have room, in proportion to that room.

    Parameters
    ----------
    command_mw : float
        Power that is asked of all units together [MW].
    shares : array, shape (units,)
        Part of the command that each unit is given first, fractions that add up to 1 [-].
    low_mw : array, shape (units,)
        Least that each unit can reach; may be minus infinity [MW].
    high_mw : array, shape (units,)
        Most that each unit can reach, `low_mw` or more; may be infinite [MW].

    Returns
    -------
    list of float
        Target of each unit; they add up to the command wherever the units together can reach
        it [MW].

    Raises
    ------
    ValueError
        If the lists differ in length, the shares do not add up to 1, or a lower limit lies above
        its upper one.

    Examples
    --------
    >>> dispatch(150.0, [0.7, 0.3], [-100.0, -100.0], [100.0, 100.0])
    [100.0, 50.0]
    """
    command_mw = one("command_mw", command_mw, **POWER_MW)
    part = row("shares", fraction("shares", shares))
    low = row("low_mw", low_mw, "MW", lt=math.inf, finite=False)
    high = row("high_mw", high_mw, "MW", gt=-math.inf, finite=False)
    alike(shares=part, low_mw=low, high_mw=high)
    _check_shares("shares", part.tolist())
    if (low > high).any():
        worst = int(np.argmax(low > high))
        raise ValueError(
            f"low_mw = {low[worst]:g} MW lies above high_mw = {high[worst]:g} MW. A unit's lower "
            "limit comes first."
        )
    return _dispatch(command_mw, part.tolist(), low.tolist(), high.tolist())


def _check_restoring(areas):
    """Refuse controllers that do not hold their area control error at zero."""
    for area in areas:
        if area.agc and area.agc.ki_per_s == 0:
            raise ValueError(
                f"areas: {area.name!r} has an AGC with ki_per_s = 0. Without an integral it never "
                "removes its error; use simulate."
            )
        if area.agc and not area.agc.ties and len(areas) > 1:
            raise ValueError(
                f"areas: {area.name!r} has an AGC with ties = False, which does not bring the tie "
                "flow back; use simulate."
            )


def _reserves(areas):
    """Least and most that the units of each area reach together; 0 without AGC. [MW]"""
    units = [area.agc.units if area.agc else () for area in areas]
    low = np.array([sum(unit.low_mw for unit in each) for each in units], float)
    high = np.array([sum(unit.high_mw for unit in each) for each in units], float)
    return low, high


def _resting_deviation(surplus, beta, bias, spent):
    """Deviation at which flows balance, if the areas `spent` have no reserve (left). [Hz]"""
    stiffness = bias[~spent].sum() + beta[spent].sum()
    if stiffness < _LEAST_MW_PER_HZ:
        raise ValueError(
            "areas hold no frequency: where reserve is left bias_mw_per_hz is 0, and the other "
            "areas have neither governors nor damping"
        )
    return surplus[spent].sum() / stiffness  # eq. (2.8)


def _rest(areas, loss, beta, bias):
    """Deviation at rest, and what units and ties of each area carry then."""
    low, high = _reserves(areas)
    spent = np.array([area.agc is None for area in areas])
    given = np.zeros(len(areas))
    while True:  # in each round one area more has spent its reserve, or the end is found
        df_hz = _resting_deviation(given - loss, beta, bias, spent)
        export = np.where(spent, given - loss - beta * df_hz, -bias * df_hz)
        secondary = np.where(spent, given, export + loss + beta * df_hz)
        beyond = (secondary > high + 1e-9) | (secondary < low - 1e-9)
        over = ~spent & beyond
        if not over.any():
            return df_hz, secondary, export
        given = np.where(over, np.clip(secondary, low, high), given)
        spent = spent | over


def restored(areas: Area | Sequence[Area], loss_mw: ArrayLike, *, f0_hz: float) -> pd.DataFrame:
    r"""Where frequency, tie flows and units settle with AGC, also when reserves run out.

    An area with reserve left holds its error at zero, :math:`\Delta E_i = -B_i\,\Delta f`. An area
    without (or without AGC) gives all it has,
    :math:`\Delta E_j = P^{res}_j - \Delta P_j - \beta_j\,\Delta f`. Flows balance, so that

    .. math:: \Delta f = \frac{\sum_j (P^{res}_j - \Delta P_j)}
              {\sum_i B_i + \sum_j \beta_j}            (2.8)

    Parameters
    ----------
    areas : Area or list of Area
        The areas of one synchronous grid, with different names; the reserve of each is what its
        units reach together, however little energy they have.
    loss_mw : float or array, shape (areas,)
        Generation lost in each area, negative for load lost [MW].
    f0_hz : float
        Nominal frequency [Hz].

    Returns
    -------
    DataFrame, one row for each area
        `df_hz`, the deviation, the same in all areas [Hz]; `secondary_mw`, what its units give
        together [MW]; `export_mw`, the change of what leaves the area [MW]; `ace_mw`, its area
        control error [MW]. The index `area` holds the names.

    Raises
    ------
    ValueError
        If there is not one loss for each area, two areas have the same name, a controller has no
        integral or does not watch its ties, or nothing holds the frequency.
    TypeError
        If `areas` holds something else.

    Examples
    --------
    >>> plant = Unit(name="plant", share=1, low_mw=-300, high_mw=300)
    >>> room = Agc(bias_mw_per_hz=4200, units=[plant], ki_per_s=0.01)
    >>> home = Area(
    ...     name="home", rating_mw=10_000, inertia_s=5, damping_rating_pu=1, droop_pu=0.05, agc=room
    ... )
    >>> far = Area(name="far", rating_mw=30_000, inertia_s=5, damping_rating_pu=1, droop_pu=0.05)
    >>> end = restored([home, far], [468.0, 0.0], f0_hz=50.0)
    >>> end.df_hz.round(3).tolist(), end.secondary_mw.tolist()
    ([-0.01, -0.01], [300.0, 0.0])
    """
    listed = _listed(areas)
    loss = _per_area("loss_mw", loss_mw, listed)
    f0_hz = one("f0_hz", f0_hz, **NOMINAL_HZ)
    _check_restoring(listed)
    bias = np.array([area.agc.bias_mw_per_hz if area.agc else 0.0 for area in listed])
    df_hz, secondary, export = _rest(listed, loss, _stiffnesses(listed, f0_hz), bias)
    return pd.DataFrame(
        {
            "df_hz": df_hz,
            "secondary_mw": secondary,
            "export_mw": export,
            "ace_mw": export + bias * df_hz,
        },
        index=pd.Index(_names(listed), name="area"),
    )


# -------------------------------------------------------------------------- areas in the time


@dataclass(frozen=True, kw_only=True)
class Tie:
    """A line between two areas; its flow is positive from the first to the second.

    Attributes
    ----------
    between : sequence of str
        Names of the two areas, which differ; kept as a tuple.
    stiffness_mw_per_rad : float
        Synchronising coefficient, above 0: flow per angle between the areas [MW/rad].
    damping_mw_per_hz : float
        Flow per difference of the two frequencies, 0 or more. Stands for the damper windings and
        stabilisers of all machines, which keep areas from swinging against each other; without
        them the lags of the governors may feed the swing [MW/Hz].

    Examples
    --------
    >>> Tie(between=["home", "far"], stiffness_mw_per_rad=3000, damping_mw_per_hz=500).between
    ('home', 'far')
    """

    between: Sequence[str]
    stiffness_mw_per_rad: float
    damping_mw_per_hz: float = 0.0

    def __post_init__(self):
        between = instances("between", self.between, str)
        if len(between) != 2 or between[0] == between[1]:
            raise ValueError(f"between is {self.between!r}; name two different areas")
        object.__setattr__(self, "between", between)
        keep(
            self,
            stiffness_mw_per_rad={"one": True, "unit": "MW/rad", "gt": 0, "ge": 1e-6, "le": 1e9},
            damping_mw_per_hz={"one": True, **_BIAS},
        )


@dataclass(frozen=True, kw_only=True)
class AreaLoss:
    """Generation that trips in an area at a time.

    Attributes
    ----------
    area : str
        Name of the area.
    t_s : float
        Time, 0 or more [s].
    p_mw : float
        Generation lost (> 0), or load lost or generation that comes back (< 0) [MW].

    Examples
    --------
    >>> AreaLoss(area="home", t_s=10, p_mw=300)
    AreaLoss(area='home', t_s=10.0, p_mw=300.0)
    """

    area: str
    t_s: float
    p_mw: float

    def __post_init__(self):
        instance("area", self.area, str)
        keep(self, t_s={"one": True, **TIME_S}, p_mw={"one": True, **POWER_MW})


def _check_names(areas, losses, ties):
    """Refuse losses and ties of areas that are not there, and columns with the same name."""
    names = _names(areas)
    used = [("a loss", loss.area) for loss in losses]
    used += [("a tie", end) for tie in ties for end in tie.between]
    for what, name in used:
        if name not in names:
            raise ValueError(f"{what} names the area {name!r}; the areas are {', '.join(names)}")
    columns = [
        f"{name}_{what}_mw" for name in names for what in ("export", "ace", "governor")
    ] + _unit_columns(areas)
    twice = {column for column in columns if columns.count(column) > 1}
    if twice:
        raise ValueError(
            f"areas: names of areas and units make the column {min(twice)} twice; rename one"
        )


def _unit_columns(areas):
    """Names of the columns with the outputs of units."""
    with_agc = [area for area in areas if area.agc]
    return [f"{area.name}_{unit.name}_mw" for area in with_agc for unit in area.agc.units]


def _count_of_steps(areas, ties, t_end_s, dt_s):
    """Number of rows of a run, its start included."""
    dt_s = one("dt_s", dt_s, **_STEP)
    t_end_s = one("t_end_s", t_end_s, **PERIOD_S)
    if t_end_s < dt_s:
        raise ValueError(
            f"t_end_s is {t_end_s:g} s; it must be at least one step, dt_s = {dt_s:g} s"
        )
    in_a_row = 8 * len(areas) + len(ties) + len(_unit_columns(areas))
    return steps("t_end_s", t_end_s, dt_s, most=MOST_STEPS // in_a_row) + 1


# The state of the linear part has one entry for each area's speed [pu], one for each valve and one
# for each turbine [pu of the rating], and then one for each tie's angle [rad].


def _exports(areas, ties, f0_hz):
    """What leaves each area, as a matrix that is multiplied with the state. [MW]"""
    n = len(areas)
    names = _names(areas)
    export = np.zeros((n, 3 * n + len(ties)))
    for k, tie in enumerate(ties):
        first, second = (names.index(end) for end in tie.between)
        flow = np.zeros(export.shape[1])
        flow[3 * n + k] = tie.stiffness_mw_per_rad
        flow[first] = tie.damping_mw_per_hz * f0_hz
        flow[second] = -tie.damping_mw_per_hz * f0_hz
        export[first] += flow  # eq. (2.13)
        export[second] -= flow
    return export


def _slopes(areas, ties, export, f0_hz):
    """How fast the state changes with itself, and with the power put into each area."""
    n = len(areas)
    names = _names(areas)
    by_state = np.zeros((export.shape[1], export.shape[1]))
    by_power = np.zeros((export.shape[1], n))
    for i, area in enumerate(areas):
        valve = n + i
        turbine = 2 * n + i
        momentum = 2 * area.inertia_s * area.rating_mw
        by_state[i] -= export[i] / momentum  # eq. (2.12)
        by_state[i, i] -= area.damping_rating_pu * area.rating_mw / momentum
        by_state[i, turbine] = area.rating_mw / momentum
        by_power[i, i] = 1 / momentum
        by_state[valve, i] = -1 / (area.droop_pu * area.t_valve_s)
        by_state[valve, valve] = -1 / area.t_valve_s
        by_state[turbine, valve] = 1 / area.t_turbine_s
        by_state[turbine, turbine] = -1 / area.t_turbine_s
    for k, tie in enumerate(ties):
        first, second = (names.index(end) for end in tie.between)
        by_state[3 * n + k, first] = 2 * math.pi * f0_hz
        by_state[3 * n + k, second] = -2 * math.pi * f0_hz
    return by_state, by_power


def _exact_step(by_state, by_power, dt_s):
    """Matrices that carry the state over one step in which the power does not change."""
    size, inputs = by_power.shape
    block = np.block([[by_state, by_power], [np.zeros((inputs, size + inputs))]])
    whole = expm(block * dt_s)
    return whole[:size, :size], whole[:size, size:]


class _ControlRoom:
    """One area's controller and its units, while time runs."""

    def __init__(self, area, dt_s):
        self.agc = area.agc
        self.dt_h = dt_s / 3600
        self.every = equal_steps(
            "dt_s", dt_s, "s", of=f"cycle_s of area {area.name!r}", span=area.agc.cycle_s
        )
        self.integral = 0.0  # as a command: above 0 raises the units [MW]
        self.ace = 0.0
        units = area.agc.units
        self.shares = [unit.share for unit in units]
        self.ramp = [unit.ramp_mw_per_min / 60 * dt_s for unit in units]  # MW a step
        self.settle = [-math.expm1(-dt_s / unit.lag_s) for unit in units]
        self.goal = [0.0] * len(units)
        self.target = [0.0] * len(units)
        self.out = [0.0] * len(units)
        self.give = [unit.energy_up_mwh for unit in units]
        self.take = [unit.energy_down_mwh for unit in units]

    def command(self, export_mw, deviation_hz):
        """Begin a new cycle: measure, integrate, share out."""
        agc = self.agc
        self.ace = (export_mw if agc.ties else 0.0) + agc.bias_mw_per_hz * deviation_hz
        low, high = self._room()
        least, most = self._reach(low, high)
        more = -agc.cycle_s * agc.ki_per_s * self.ace
        if agc.anti_windup:
            asked = self.integral - agc.kp * self.ace
            more = min(max(more, min(0.0, sum(least) - asked)), max(0.0, sum(most) - asked))
        self.integral += more
        if agc.anti_windup:  # a unit may have run empty meanwhile
            self.integral = min(max(self.integral, sum(low)), sum(high))
        wanted = self.integral - agc.kp * self.ace  # eq. (2.5)
        self.goal = _dispatch(wanted, self.shares, least, most)

    def _room(self):
        """Least and most that each unit can give with the energy that it has left."""
        units = self.agc.units
        low = [unit.low_mw if take > 0 else 0.0 for unit, take in zip(units, self.take)]
        high = [unit.high_mw if give > 0 else 0.0 for unit, give in zip(units, self.give)]
        return low, high

    def _reach(self, low, high):
        """Least and most that each target can be at the end of the cycle."""
        ways = [ramp * self.every for ramp in self.ramp]
        least = [
            max(bottom, min(target - way, top))
            for bottom, top, target, way in zip(low, high, self.target, ways)
        ]
        most = [
            min(top, max(target + way, lowest))
            for top, lowest, target, way in zip(high, least, self.target, ways)
        ]
        return least, most

    def move(self):
        """Let units ramp towards their goals, lag, and stop where the energy ends; one step."""
        for i, goal in enumerate(self.goal):
            self.target[i] += min(max(goal - self.target[i], -self.ramp[i]), self.ramp[i])
            out = self.out[i] + self.settle[i] * (self.target[i] - self.out[i])
            out = min(max(out, -self.take[i] / self.dt_h), self.give[i] / self.dt_h)
            self.out[i] = out
            self.give[i] -= out * self.dt_h
            self.take[i] += out * self.dt_h
        return list(self.out)


def _losses_in_time(areas, losses, count, dt_s):
    """Generation that is missing in each area at each step. [MW]"""
    names = _names(areas)
    lost = np.zeros((count, len(areas)))
    for loss in losses:
        first = math.ceil(loss.t_s / dt_s - 1e-9)
        lost[first:, names.index(loss.area)] += loss.p_mw
    return lost


def _run(areas, lost, export_of, advance, drive, f0_hz, dt_s):
    """State, measured errors and outputs of units at each step."""
    count, n = lost.shape
    rooms = {i: _ControlRoom(area, dt_s) for i, area in enumerate(areas) if area.agc}
    x = np.zeros(len(advance))
    states = np.empty((count, len(x)))
    errors = np.zeros((count, n))
    outputs = np.empty((count, len(_unit_columns(areas))))
    for k in range(count):
        states[k] = x
        out = []
        secondary = np.zeros(n)
        for i, room in rooms.items():
            if k % room.every == 0:
                room.command(float(export_of[i] @ x), f0_hz * float(x[i]))
            moved = room.move()
            out += moved
            errors[k, i] = room.ace
            secondary[i] = sum(moved)
        outputs[k] = out
        x = advance @ x + drive @ (secondary - lost[k])
    return states, errors, outputs


def _check_speeds(areas, states, dt_s):
    """Refuse a run in which a frequency leaves 0 to 2 f0: the model says nothing there."""
    bad = ~(np.abs(states[:, : len(areas)]) <= 1)
    if bad.any():
        step = int(np.argmax(bad.any(axis=1)))
        name = areas[int(np.argmax(bad[step]))].name
        raise ValueError(
            f"areas: the frequency of {name!r} leaves 0 to 2 f0_hz at {step * dt_s:g} s. Either "
            "losses are too large for it, or gains, lags or ties make it unstable."
        )


def _columns(areas, states, export_of, errors, f0_hz):
    """Columns of a run that each area has, by name."""
    columns = {}
    for i, area in enumerate(areas):
        turbine = 2 * len(areas) + i
        columns[f"{area.name}_f_hz"] = f0_hz * (1 + states[:, i])
        columns[f"{area.name}_export_mw"] = states @ export_of[i]
        columns[f"{area.name}_ace_mw"] = errors[:, i]
        columns[f"{area.name}_governor_mw"] = area.rating_mw * states[:, turbine]
    return columns


def simulate(
    areas: Area | Sequence[Area],
    losses: Sequence[AreaLoss],
    ties: Sequence[Tie] = (),
    *,
    f0_hz: float,
    t_end_s: float = 600.0,
    dt_s: float = 0.1,
) -> pd.DataFrame:
    r"""Frequency, interchange, errors and units of some areas after losses, over time.

    .. math:: 2 H_i P_{r,i} \frac{d\omega_i}{dt} = P_{m,i} + \sum_u p_u - \Delta P_i
              - D_i P_{r,i}\,\omega_i - E_i            (2.12)
    .. math:: E_{ij} = C_{ij}\,\theta_{ij} + \kappa_{ij}\,(f_i - f_j),\qquad
              \frac{d\theta_{ij}}{dt} = 2\pi\,(f_i - f_j)            (2.13)
    .. math:: c_k = -\left(K_p\,ACE_k + K_i\,T_c \sum_{n \le k} ACE_n\right)            (2.5)

    Parameters
    ----------
    areas : Area or list of Area
        The areas, with different names.
    losses : list of AreaLoss
        What trips, in which area and when; may be empty.
    ties : list of Tie
        Lines between areas; none for areas that are not connected.
    f0_hz : float
        Nominal frequency [Hz].
    t_end_s : float
        Length of the run, at least one step [s].
    dt_s : float
        Step, above 0; each `cycle_s` must be a multiple of it [s].

    Returns
    -------
    DataFrame
        For each area `<area>_f_hz` [Hz], `<area>_export_mw` [MW], `<area>_ace_mw` as measured at
        the last cycle [MW], `<area>_governor_mw` [MW], and for each of its units
        `<area>_<unit>_mw` [MW]. The index is `t_s` [s].

    Raises
    ------
    ValueError
        If a loss or a tie names an unknown area, a cycle has no whole number of steps, there are
        too many steps, or a frequency leaves 0 to 2 `f0_hz`.
    TypeError
        If `areas`, `losses` or `ties` holds something else.

    Notes
    -----
    Between two steps the machines follow their linear equations exactly (matrix exponential); what
    units give changes only at steps. A step that is long beside their `lag_s` delays their answer
    by up to a step, and then a fast loop looks less stable than it is.

    Saadat's tie coefficient multiplies a per-unit speed integral; here C multiplies an angle in
    radians, so its transient differs and its end state does not.

    References
    ----------
    .. [1] Saadat, Power System Analysis, 2nd ed., ch. 12.
    .. [2] Elgerd and Fosha, Optimum megawatt-frequency control of multiarea electric energy
       systems, IEEE Trans. Power Apparatus and Systems PAS-89, 1970.

    Examples
    --------
    >>> plant = Unit(name="plant", share=1, low_mw=-500, high_mw=500, ramp_mw_per_min=200)
    >>> room = Agc(bias_mw_per_hz=4200, units=[plant], ki_per_s=0.02, kp=0.1, cycle_s=4)
    >>> home = Area(
    ...     name="home", rating_mw=10_000, inertia_s=5, damping_rating_pu=1, droop_pu=0.05, agc=room
    ... )
    >>> far = Area(name="far", rating_mw=30_000, inertia_s=5, damping_rating_pu=1, droop_pu=0.05)
    >>> tie = Tie(between=["home", "far"], stiffness_mw_per_rad=3000, damping_mw_per_hz=500)
    >>> trip = AreaLoss(area="home", t_s=1, p_mw=300)
    >>> run = simulate([home, far], [trip], [tie], f0_hz=50, t_end_s=400, dt_s=0.5)
    >>> run.home_f_hz.min().round(3).item(), run.home_f_hz.iloc[-1].round(3).item()
    (49.957, 50.0)
    >>> round(run.home_plant_mw.iloc[-1])
    300
    """
    listed = _listed(areas)
    losses = instances("losses", losses, AreaLoss)
    ties = instances("ties", ties, Tie)
    _check_names(listed, losses, ties)
    f0_hz = one("f0_hz", f0_hz, **NOMINAL_HZ)
    count = _count_of_steps(listed, ties, t_end_s, dt_s)
    export_of = _exports(listed, ties, f0_hz)
    by_state, by_power = _slopes(listed, ties, export_of, f0_hz)
    lost = _losses_in_time(listed, losses, count, dt_s)
    with np.errstate(over="ignore", invalid="ignore"):  # what diverges is refused below
        advance, drive = _exact_step(by_state, by_power, dt_s)
        states, errors, outputs = _run(listed, lost, export_of, advance, drive, f0_hz, dt_s)
    _check_speeds(listed, states, dt_s)
    columns = _columns(listed, states, export_of, errors, f0_hz)
    columns |= dict(zip(_unit_columns(listed), outputs.T))
    return pd.DataFrame(columns, index=pd.Index(np.arange(count) * dt_s, name="t_s"))


# --------------------------------------------------------------------- the signal every 4 s


def regulation_signal(
    duration_h: float,
    *,
    rng: np.random.Generator,
    dt_s: float = 4.0,
    slow_s: float = 900.0,
    fast_s: float = 30.0,
    rms: float = 0.35,
) -> pd.Series:
    """A SYNTHETIC regulation signal between -1 and 1.

    Two mean-reverting noises of equal size, one slow and one fast, are added and clipped.

    Parameters
    ----------
    duration_h : float
        Length, above 0 [h].
    rng : numpy.random.Generator
        Source of the noise, such as ``np.random.default_rng(1)``.
    dt_s : float
        Time between two values, above 0 [s].
    slow_s : float
        Time constant of the slow noise, above 0; this model's assumption, as is the other [s].
    fast_s : float
        Time constant of the fast noise, above 0 [s].
    rms : float
        Root mean square before clipping, a fraction above 0 and at most 1 [-].

    Returns
    -------
    Series
        Signal, above 0 where it asks for power to the grid; its mean over a day is near 0, but not
        0 [-]. The index is `t_s` [s].

    Raises
    ------
    ValueError
        If a number is not positive, or there would be no value, or too many.
    TypeError
        If `rng` is no generator.

    Examples
    --------
    >>> signal = regulation_signal(
    ...     24.0,
    ...     rng=np.random.default_rng(2),
    ...     dt_s=4.0,
    ...     slow_s=900.0,
    ...     fast_s=30.0,
    ...     rms=0.35,
    ... )
    >>> len(signal), round(float(signal.std()), 2)
    (21600, 0.36)
    """
    duration_h = one("duration_h", duration_h, "h", gt=0)
    instance("rng", rng, np.random.Generator)
    dt_s = one("dt_s", dt_s, **PERIOD_S)
    slow_s = one("slow_s", slow_s, **PERIOD_S)
    fast_s = one("fast_s", fast_s, **PERIOD_S)
    size = one_fraction("rms", rms, gt=0)
    count = round(duration_h * 3600 / dt_s)
    if not 1 <= count <= MOST_STEPS // 4:
        raise ValueError(
            f"duration_h = {duration_h:g} and dt_s = {dt_s:g} make {count:g} values; give 1 to "
            f"{MOST_STEPS // 4:g}"
        )
    total = _mean_reverting(count, dt_s, slow_s, rng)
    total += _mean_reverting(count, dt_s, fast_s, rng)
    signal = np.clip(total * size / math.sqrt(2), -1.0, 1.0)
    return pd.Series(signal, index=pd.Index(np.arange(count) * dt_s, name="t_s"), name="signal")


def _mean_reverting(count, dt_s, memory_s, rng):
    """Noise of variance 1 whose correlation decays with the time constant `memory_s`."""
    kept = math.exp(-dt_s / memory_s)
    noise = rng.standard_normal(count) * math.sqrt(1 - kept**2)
    noise[0] += rng.standard_normal() * kept
    return _first_order(noise, kept)


def _first_order(x, kept):
    """y[n] = kept y[n-1] + x[n], from y[0] = x[0]."""
    inputs = np.concatenate([x[:1], x[1:] / (1 - kept)])
    smooth = pd.Series(inputs).ewm(alpha=1 - kept, adjust=False).mean()
    return smooth.to_numpy(copy=True)


def split(signal: ArrayLike, *, dt_s: float, cutoff_s: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Split a signal into a slow part for plants and a fast part for converters.

    The filter is causal: it knows nothing of what comes.

    .. math:: s^{slow}_k = s^{slow}_{k-1}
              + \left(1 - e^{-T_c/\tau}\right)\left(s_k - s^{slow}_{k-1}\right),\qquad
              s^{fast}_k = s_k - s^{slow}_k            (2.9)

    Parameters
    ----------
    signal : array, shape (steps,)
        Any signal; the two parts are in its unit.
    dt_s : float
        Time between two values (T_c), above 0 [s].
    cutoff_s : float
        Time constant of the filter (tau), above 0 [s].

    Returns
    -------
    tuple of two arrays, shape (steps,)
        Slow and fast part; they add up to the signal.

    Raises
    ------
    ValueError
        If `signal` is not a series of numbers, or a time is not positive.

    Examples
    --------
    >>> slow, fast = split([0.0, 1.0, 1.0, 1.0], dt_s=4.0, cutoff_s=8.0)
    >>> slow.round(3), fast.round(3)
    (array([0.   , 0.393, 0.632, 0.777]), array([0.   , 0.607, 0.368, 0.223]))
    """
    s = row("signal", signal)
    dt_s = one("dt_s", dt_s, **PERIOD_S)
    cutoff_s = one("cutoff_s", cutoff_s, **PERIOD_S)
    kept = math.exp(-dt_s / cutoff_s)
    slow = _first_order(np.concatenate([s[:1], (1 - kept) * s[1:]]), kept)  # eq. (2.9)
    return slow, s - slow


# ---------------------------------------------------------------------- a fleet that follows it


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Cars as one battery that sells regulation.

    Each field is a number, or an array with one entry for each case.

    Attributes
    ----------
    p_mw : float or array
        Largest power in both directions at the meter, above 0 [MW].
    energy_mwh : float or array
        Whole energy, above 0, of which soc_min to soc_max may be used [MWh].
    soc : float or array
        State of charge at the start, a fraction from `soc_min` to `soc_max` [-].
    eta_charge : float or array
        Efficiency from meter to battery, a fraction above 0 [-].
    eta_discharge : float or array
        Efficiency from battery to meter, a fraction above 0 [-].
    soc_min : float or array
        Lowest state of charge allowed, a fraction from 0 to 1 [-].
    soc_max : float or array
        Highest state of charge allowed, a fraction from 0 to 1 [-].

    Examples
    --------
    >>> fleet = Fleet(
    ...     p_mw=1.0,
    ...     energy_mwh=[1.0, 6.0],
    ...     soc=0.5,
    ...     eta_charge=0.93,
    ...     eta_discharge=0.93,
    ...     soc_min=0.1,
    ...     soc_max=0.9,
    ... )
    >>> fleet.energy_mwh / fleet.p_mw
    array([1., 6.])
    """

    p_mw: FloatOrArray
    energy_mwh: FloatOrArray
    soc: FloatOrArray
    eta_charge: FloatOrArray
    eta_discharge: FloatOrArray
    soc_min: FloatOrArray = 0.0
    soc_max: FloatOrArray = 1.0

    def __post_init__(self):
        keep(
            self,
            p_mw=ABOVE_0_MW,
            energy_mwh={**ABOVE_0_MW, "unit": "MWh"},
            soc={"fraction": True},
            eta_charge=_EFFICIENCY,
            eta_discharge=_EFFICIENCY,
            soc_min={"fraction": True},
            soc_max={"fraction": True},
        )
        together(**vars(self))
        if np.any(np.less(self.soc, self.soc_min)) or np.any(np.greater(self.soc, self.soc_max)):
            raise ValueError(
                f"soc is {self.soc}; it must lie between soc_min = {self.soc_min} and soc_max = "
                f"{self.soc_max}"
            )


@dataclass(frozen=True, kw_only=True)
class Offset:
    """An energy-neutral offset: a schedule beside the regulation that refills the battery.

    At the start of each period the schedule of the next one is fixed, from the state of charge at
    that moment. It is bought or sold like any other energy.

    Attributes
    ----------
    share : float
        Part of the fleet's power kept for it, a fraction from 0 to below 1; regulation is offered
        with the rest [-].
    period_s : float
        Length of a period, as long as a settlement interval, above 0 [s].
    target_soc : float
        State of charge to which the schedule leads back, a fraction from 0 to 1 [-].

    Examples
    --------
    >>> Offset(share=0.2, period_s=900, target_soc=0.6)
    Offset(share=0.2, period_s=900.0, target_soc=0.6)
    """

    share: float
    period_s: float
    target_soc: float = 0.5

    def __post_init__(self):
        keep(
            self,
            share={"one_fraction": True, "lt": 1},
            period_s={"one": True, **PERIOD_S},
            target_soc={"one_fraction": True},
        )


def soc_drift_per_h(fleet: Fleet, signal: ArrayLike) -> FloatOrArray:
    r"""How fast losses empty a battery that follows a signal of mean zero.

    .. math:: \frac{d\,soc}{dt} = -\frac{P_s\,\overline{|s|}}{2W}
              \left(\frac{1}{\eta_d} - \eta_c\right)            (2.10)

    Parameters
    ----------
    fleet : Fleet
        The battery, or several cases of it.
    signal : array, shape (steps,)
        Signal from -1 to 1, of which only the mean size counts [-].

    Returns
    -------
    float or array, one entry for each case
        Change of the state of charge, 0 or negative [1/h].

    Raises
    ------
    ValueError
        If the signal leaves -1 to 1.
    TypeError
        If `fleet` is no `Fleet` of this module.

    Examples
    --------
    >>> fleet = Fleet(p_mw=2.0, energy_mwh=4.0, soc=0.5, eta_charge=0.92, eta_discharge=0.9)
    >>> round(soc_drift_per_h(fleet, [1.0, -1.0, 0.5, -0.5]), 4)
    -0.0358
    """
    instance("fleet", fleet, Fleet)
    s = row("signal", signal, ge=-1, le=1)
    traffic = fleet.p_mw * np.abs(s).mean()
    lost = 1 / fleet.eta_discharge - fleet.eta_charge
    return plain(-traffic / (2 * fleet.energy_mwh) * lost)  # eq. (2.10)


class _Battery:
    """A fleet's store while time runs; numbers are floats, or arrays with an entry a case."""

    def __init__(self, fleet, dt_h):
        self.shape = together(**vars(fleet))
        self.power = self._each(fleet.p_mw)
        self.energy = self._each(fleet.energy_mwh)
        self.floor = self._each(fleet.soc_min)
        self.top = self._each(fleet.soc_max)
        self.soc = self._each(fleet.soc)
        self.per_charge = dt_h * self._each(fleet.eta_charge) / self.energy
        self.per_give = dt_h / (self._each(fleet.eta_discharge) * self.energy)

    def _each(self, value):
        return plain(np.broadcast_to(value, self.shape))

    def obey(self, wish):
        """Powers and states of charge while the battery does what is asked, as far as it can."""
        taken = self.per_charge * np.maximum(-wish, 0.0)
        given = self.per_give * np.maximum(wish, 0.0)
        powers = wish
        path = self.soc + np.cumsum(taken - given, axis=0)
        if not ((path >= self.floor) & (path <= self.top)).all():
            powers, path = self._step_by_step(wish)
        self.soc = plain(path[-1])
        return powers, path

    def _step_by_step(self, wishes):
        """As `obey`, where the window is met; the step that meets its end is done in part."""
        low, high = (np.minimum, np.maximum) if self.shape else (min, max)
        soc = self.soc
        powers, path = [], []
        for wish in wishes if self.shape else wishes.tolist():
            most_in = (soc - self.top) / self.per_charge
            most_out = (soc - self.floor) / self.per_give
            p = low(high(wish, most_in), most_out)
            soc = soc + self.per_charge * high(-p, 0.0) - self.per_give * high(p, 0.0)
            soc = low(high(soc, self.floor), self.top)  # rounding stays inside
            powers.append(p)
            path.append(soc)
        return powers, path

    def ordered(self, offset, running_mw, hours):
        """Schedule for the next period that would lead to the target, while one is running."""
        missing = (offset.target_soc - self.soc) * self.energy + running_mw * hours
        band = self.power * offset.share
        return np.clip(-missing / hours, -band, band)


def follow(
    signal: ArrayLike, fleet: Fleet, *, dt_s: float, offset: Offset | None = None
) -> pd.DataFrame:
    """What a fleet delivers that obeys a signal as long as its battery allows.

    Parameters
    ----------
    signal : array, shape (steps,)
        Signal from -1 to 1, above 0 where it asks for power to the grid [-].
    fleet : Fleet
        The battery, or several cases of it.
    dt_s : float
        Time between two values, above 0 [s].
    offset : Offset or None
        Schedule that leads the state of charge back; its period must be a multiple of `dt_s`.

    Returns
    -------
    DataFrame
        `asked_mw`, regulation offered times signal [MW]; `schedule_mw`, of the offset [MW];
        `delivered_mw`, both together as far as possible [MW]; `soc` at the end of the step [-]. The
        index is `t_s` [s]. With arrays in `fleet`, columns have a second level, the number of the
        case.

    Raises
    ------
    ValueError
        If the signal leaves -1 to 1, a time does not fit, or there are too many steps and cases.
    TypeError
        If `fleet` or `offset` is something else.

    Examples
    --------
    >>> fleet = Fleet(p_mw=2.0, energy_mwh=1.0, soc=0.5, eta_charge=0.92, eta_discharge=0.9)
    >>> offset = Offset(share=0.2, period_s=900.0)
    >>> run = follow([1.0, 1.0, -0.5, 0.5], fleet, dt_s=900.0, offset=offset)
    >>> run.delivered_mw.round(2).tolist()
    [1.6, 0.2, -1.2, 0.4]
    """
    s = row("signal", signal, ge=-1, le=1)
    instance("fleet", fleet, Fleet)
    dt_s = one("dt_s", dt_s, **PERIOD_S)
    battery = _Battery(fleet, dt_s / 3600)
    share = 0.0
    block = 256  # without an offset any length will do
    if offset is not None:
        instance("offset", offset, Offset)
        share = offset.share
        block = equal_steps("dt_s", dt_s, "s", of="period_s of the offset", span=offset.period_s)
    refuse_large(signal=len(s), fleet=math.prod(battery.shape))
    columns = np.empty((4, len(s), *battery.shape))
    asked, scheduled, delivered, trace = columns
    np.multiply.outer(s, battery.power * (1 - share), out=asked)
    following = np.zeros(battery.shape)
    for start in range(0, len(s), block):
        now = following
        if offset is not None:
            following = battery.ordered(offset, now, block * (dt_s / 3600))
        span = slice(start, start + block)
        wish = np.clip(asked[span] + now, -battery.power, battery.power)
        scheduled[span] = now
        delivered[span], trace[span] = battery.obey(wish)
    return _followed(columns, dt_s)


def _followed(columns, dt_s):
    """The table of `follow`; with several cases its columns have two levels."""
    names = ("asked_mw", "schedule_mw", "delivered_mw", "soc")
    count = columns.shape[1]
    t_s = pd.Index(np.arange(count) * dt_s, name="t_s")
    if columns.ndim == 2:
        return pd.DataFrame(dict(zip(names, columns)), index=t_s)
    tables = [pd.DataFrame(values.reshape(count, -1), index=t_s) for values in columns]
    return pd.concat(dict(zip(names, tables)), axis=1)


def tracking(asked: ArrayLike, delivered: ArrayLike) -> float:
    r"""How well a response follows: 1 is perfect, 0 is no better than doing nothing.

    .. math:: \sigma = 1 - \frac{\overline{|d - a|}}{\overline{|a|}}            (2.11)

    Parameters
    ----------
    asked : array, shape (steps,)
        Regulation that the signal asks for [MW].
    delivered : array, shape (steps,)
        Regulation that came, without any schedule [MW].

    Returns
    -------
    float
        Score, at most 1; negative for a response that does harm [-].

    Raises
    ------
    ValueError
        If the series differ in length, or nothing is asked.

    Notes
    -----
    The error is divided by the mean size of the signal. The mean of the signal itself is near zero,
    and a score divided by it would mean nothing.

    Examples
    --------
    >>> tracking([1.0, -1.0, 2.0], [0.5, -1.0, 3.0])
    0.625
    """
    a = row("asked", asked, **POWER_MW)
    d = row("delivered", delivered, **POWER_MW)
    alike(asked=a, delivered=d)
    size = np.abs(a).mean()
    if size < _LEAST_MW:
        raise ValueError("asked is 0 throughout; there is nothing to follow")
    return float(1 - np.abs(d - a).mean() / size)  # eq. (2.11)


def mileage(signal: ArrayLike) -> float:
    """Way that a signal travels up and down: the sum of the sizes of its changes.

    Parameters
    ----------
    signal : array, shape (steps,)
        Any signal, such as a regulation signal or the power of a unit.

    Returns
    -------
    float
        Way, 0 or more, in the unit of the signal.

    Raises
    ------
    ValueError
        If `signal` is not a series of numbers.

    Examples
    --------
    >>> mileage([0.0, 0.5, -0.5, -0.5])
    1.5
    """
    return float(np.abs(np.diff(row("signal", signal))).sum())
