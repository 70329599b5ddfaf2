r"""Topic 01, frequency: how fast it falls after a loss, how low it goes, and what stops the fall.

There are three kinds of tools, from pencil to event: closed forms (`rocof`, `sfr_step`,
`ramp_nadir`), curves that say what a service must deliver (`service_power`, `Ufls`), and one
simulator in the time domain (`simulate` for a single run with its time series, `sweep` for
thousands of scenarios at once).

All machines turn as one (a single centre of inertia), powers are active powers in MW, and p > 0
flows into the grid. A loss of generation is positive. Equations are linear around f0, as in the
textbooks: within 1 % of f0 the error is below 1 % of the deviation.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._check import (
    MOST_STEPS,
    FloatOrArray,
    checked,
    columns,
    fraction,
    instance,
    instances,
    keep,
    one,
    plain,
    read,
    row,
    steps,
    together,
)
from ._executor import Workers, in_order, workers
from ._limits import (
    ABOVE_0_MW,
    DEVIATION_HZ,
    NOMINAL_HZ,
    PERIOD_S,
    POWER_MW,
    SIZE_MW,
    STORE_MWH,
    TIME_S,
    Limits,
)

# What each quantity may be. The limits are generous: beyond them a unit has slipped.
_FREQUENCY: Limits = {"unit": "Hz", "gt": 0, "le": 1000}
_ROOM: Limits = {"unit": "MW", "ge": 0, "finite": False}
_ENERGY: Limits = {"unit": "MW s", "gt": 0, "ge": 1e-6, "le": 1e15}
_DAMPING: Limits = {"ge": 0, "le": 1000}
_DROOP: Limits = {"gt": 0, "ge": 1e-6, "lt": 1}  # of `fraction`
_LOSS: Limits = {"unit": "pu", "ge": -100, "le": 100}
_LEAST_SLOPE = 1e-9  # below this frequency stands still [Hz/s]
_BLOCK = 1000  # scenarios of a sweep that are marched together


def _told(values):
    """Numbers as a message tells them; of many, the first and the last."""
    array = np.asarray(values, float)
    return np.array2string(array, threshold=6, formatter={"float_kind": lambda x: f"{x:g}"})


# ------------------------------------------------------------------------------- closed forms


def _check_one_series(**values):
    """Refuse arguments that are not one number or one series together."""
    shape = together(**values)
    if len(shape) > 1:
        names = " and ".join(values)
        raise ValueError(
            f"{names} have the shape {shape} together; give one series, with one entry a machine"
        )


def kinetic_energy(inertia_s: ArrayLike, rating_mva: ArrayLike) -> float:
    r"""Energy stored in the rotors of a fleet of machines.

    .. math:: E_k = \sum_i H_i S_i            (1.2)

    Parameters
    ----------
    inertia_s : float or array, shape (machines,)
        Inertia constant of each machine on its own rating, 0 for an inverter [s].
    rating_mva : float or array, shape (machines,)
        Rating of each machine that is connected [MVA].

    Returns
    -------
    float
        Sum over all machines [MW s].

    Raises
    ------
    ValueError
        If an inertia constant is negative, a rating is not positive, or the two series differ in
        length.

    References
    ----------
    .. [1] Kundur, Power System Stability and Control, 1994, ch. 3.

    Examples
    --------
    >>> kinetic_energy([4.0, 5.0, 0.0], [1000.0, 500.0, 800.0])
    6500.0
    """
    inertia = checked("inertia_s", inertia_s, "s", ge=0, le=1e6)
    rating = checked("rating_mva", rating_mva, "MVA", gt=0, le=1e9)
    _check_one_series(inertia_s=inertia, rating_mva=rating)
    return float(np.sum(inertia * rating))  # eq. (1.2)


def rocof(loss_mw: ArrayLike, kinetic_energy_mws: ArrayLike, *, f0_hz: ArrayLike) -> FloatOrArray:
    r"""Rate of change of frequency (ROCOF) right after a loss of generation.

    .. math:: \dot f(0^+) = -\frac{f_0\,\Delta P}{2\,E_k}            (1.3)

    Parameters
    ----------
    loss_mw : float or array
        Generation lost (> 0) or load lost (< 0) [MW].
    kinetic_energy_mws : float or array
        Energy stored in all rotors that *stay* connected [MW s].
    f0_hz : float or array
        Nominal frequency [Hz].

    Returns
    -------
    float or array, broadcast of the inputs
        Slope of frequency, negative when it falls [Hz/s].

    Raises
    ------
    ValueError
        If `kinetic_energy_mws` or `f0_hz` is not positive, or shapes do not fit.

    Notes
    -----
    Holds before load damping, governors or cars act: about the first half second.

    References
    ----------
    .. [1] Kundur, Power System Stability and Control, 1994, ch. 3.

    Examples
    --------
    >>> rocof(500.0, 50_000.0, f0_hz=60.0)
    -0.3
    """
    loss = checked("loss_mw", loss_mw, **POWER_MW)
    energy = checked("kinetic_energy_mws", kinetic_energy_mws, **_ENERGY)
    f0 = checked("f0_hz", f0_hz, **NOMINAL_HZ)
    together(loss_mw=loss, kinetic_energy_mws=energy, f0_hz=f0)
    return -f0 * loss / (2 * energy)  # eq. (1.3)


def implied_kinetic_energy(
    loss_mw: ArrayLike, rocof_hz_per_s: ArrayLike, *, f0_hz: ArrayLike
) -> FloatOrArray:
    r"""Kinetic energy that explains a measured initial ROCOF: eq. (1.3) solved for :math:`E_k`.

    Parameters
    ----------
    loss_mw : float or array
        Generation lost (> 0) or load lost (< 0) [MW].
    rocof_hz_per_s : float or array
        Initial slope, of the opposite sign [Hz/s].
    f0_hz : float or array
        Nominal frequency [Hz].

    Returns
    -------
    float or array, broadcast of the inputs
        Energy of the machines that stayed [MW s].

    Raises
    ------
    ValueError
        If loss and slope have the same sign, or either is zero: no positive energy explains them.

    References
    ----------
    .. [1] Kundur, Power System Stability and Control, 1994, ch. 3.

    Examples
    --------
    >>> implied_kinetic_energy(500.0, -0.3, f0_hz=60.0)
    50000.0
    """
    loss = checked("loss_mw", loss_mw, **POWER_MW)
    slope = checked("rocof_hz_per_s", rocof_hz_per_s, "Hz/s", ge=-1e6, le=1e6)
    f0 = checked("f0_hz", f0_hz, **NOMINAL_HZ)
    together(loss_mw=loss, rocof_hz_per_s=slope, f0_hz=f0)
    if np.any(np.abs(slope) < _LEAST_SLOPE):
        raise ValueError(
            f"rocof_hz_per_s is {_told(slope)} Hz/s; without a slope of at least "
            f"{_LEAST_SLOPE:g} Hz/s, up or down, no finite energy explains the loss"
        )
    if np.any(np.sign(loss) * np.sign(slope) >= 0):
        raise ValueError(
            f"loss_mw = {_told(loss)} and rocof_hz_per_s = {_told(slope)} must have opposite "
            "signs: a loss of generation (> 0) makes frequency fall (< 0)"
        )
    return -f0 * loss / (2 * slope)


def free_fall_time(
    f_hz: ArrayLike, loss_mw: ArrayLike, kinetic_energy_mws: ArrayLike, *, f0_hz: ArrayLike
) -> FloatOrArray:
    r"""Time until frequency reaches `f_hz` if nothing responds.

    .. math:: t = \frac{f - f_0}{\dot f(0^+)}            (1.4)

    Parameters
    ----------
    f_hz : float or array
        Frequency to reach [Hz].
    loss_mw : float or array
        Generation lost (> 0) or load lost (< 0) [MW].
    kinetic_energy_mws : float or array
        Energy stored in all rotors that stay connected [MW s].
    f0_hz : float or array
        Nominal frequency, at which the fall begins [Hz].

    Returns
    -------
    float or array, broadcast of the inputs
        Time after the loss [s].

    Raises
    ------
    ValueError
        If `f_hz` lies on the side that frequency moves away from, or nothing was lost.

    References
    ----------
    .. [1] Kundur, Power System Stability and Control, 1994, ch. 3.

    Examples
    --------
    >>> round(free_fall_time(49.2, 1000.0, 200_000.0, f0_hz=50.0), 3)
    6.4
    """
    f = checked("f_hz", f_hz, **_FREQUENCY)
    slope = rocof(loss_mw, kinetic_energy_mws, f0_hz=f0_hz)
    f0 = checked("f0_hz", f0_hz, **NOMINAL_HZ)
    together(f_hz=f, loss_mw=loss_mw, kinetic_energy_mws=kinetic_energy_mws, f0_hz=f0)
    away = np.sign(f - f0) * np.sign(slope) < 0
    if np.any(away | (np.abs(slope) < _LEAST_SLOPE)):
        raise ValueError(
            f"f_hz = {_told(f)} Hz is never reached: after loss_mw = {_told(loss_mw)} MW "
            f"frequency moves from f0_hz = {_told(f0)} Hz at {_told(slope)} Hz/s"
        )
    return (f - f0) / slope  # eq. (1.4)


def damped_step(
    t_s: ArrayLike,
    loss_mw: ArrayLike,
    kinetic_energy_mws: ArrayLike,
    load_mw: ArrayLike,
    damping_load_pu: ArrayLike,
    *,
    f0_hz: ArrayLike,
) -> FloatOrArray:
    r"""Frequency deviation after a loss when only the load responds (no governor).

    .. math:: \Delta f(t) = -\frac{f_0\,\Delta P}{D\,P_L}\left(1 - e^{-t/T}\right),\quad
              T = \frac{2 E_k}{D\,P_L}            (1.5)

    Parameters
    ----------
    t_s : float or array
        Time after the loss [s].
    loss_mw : float or array
        Generation lost (> 0) or load lost (< 0) [MW].
    kinetic_energy_mws : float or array
        Energy of the machines that stay [MW s].
    load_mw : float or array
        Load that remains connected [MW].
    damping_load_pu : float or array
        Load damping D, the per cent of load per per cent of frequency, usually up to 2 [-].
    f0_hz : float or array
        Nominal frequency [Hz].

    Returns
    -------
    float or array, broadcast of the inputs
        Deviation from f0 [Hz].

    Raises
    ------
    ValueError
        If time is negative, energy, load or damping is not positive, or shapes do not fit.

    References
    ----------
    .. [1] Kundur, Power System Stability and Control, 1994, example 11.1.

    Examples
    --------
    >>> round(damped_step(5.0, 500.0, 50_000.0, 10_000.0, 1.0, f0_hz=50.0), 3)
    -0.984
    """
    t = checked("t_s", t_s, **TIME_S)
    loss = checked("loss_mw", loss_mw, **POWER_MW)
    energy = checked("kinetic_energy_mws", kinetic_energy_mws, **_ENERGY)
    load = checked("load_mw", load_mw, **ABOVE_0_MW)
    damping = checked("damping_load_pu", damping_load_pu, gt=0, ge=1e-6, le=1000)
    f0 = checked("f0_hz", f0_hz, **NOMINAL_HZ)
    together(
        t_s=t,
        loss_mw=loss,
        kinetic_energy_mws=energy,
        load_mw=load,
        damping_load_pu=damping,
        f0_hz=f0,
    )
    stiffness = load * damping
    reached = np.expm1(-t * stiffness / (2 * energy))  # from 0 to -1
    return plain(f0 * loss / stiffness * reached)  # eq. (1.5)


@dataclass(frozen=True, kw_only=True)
class SteadyState:
    """Where frequency settles, and which units carry the loss.

    Attributes
    ----------
    f_hz : float
        Final frequency [Hz].
    p_units_mw : array, shape (units,)
        Power that each unit adds [MW].
    load_relief_mw : float
        Power that the load draws less [MW].
    """

    f_hz: float
    p_units_mw: np.ndarray
    load_relief_mw: float

    def __post_init__(self):
        keep(
            self,
            f_hz={"one": True, "unit": "Hz"},
            p_units_mw={"row": True, "unit": "MW"},
            load_relief_mw={"one": True, "unit": "MW"},
        )


def steady_state(
    loss_mw: float,
    rating_mw: ArrayLike,
    droop_pu: ArrayLike,
    *,
    load_mw: float,
    damping_load_pu: float,
    f0_hz: float,
) -> SteadyState:
    r"""Frequency after all governors have settled, and each unit's share.

    .. math:: \Delta f = \frac{-\Delta P}
              {\sum_i \frac{P_i}{R_i f_0} + \frac{D\,P_L}{f_0}}            (1.7)

    Parameters
    ----------
    loss_mw : float
        Generation lost or load added (> 0) [MW].
    rating_mw : float or array, shape (units,)
        Rating of each unit with a governor [MW].
    droop_pu : float or array, shape (units,)
        Droop of each unit on its rating, a fraction above 0 and below 1 [-].
    load_mw : float
        Load [MW].
    damping_load_pu : float
        Load damping, 0 or more: per cent of load per per cent of frequency [-].
    f0_hz : float
        Nominal frequency [Hz].

    Returns
    -------
    SteadyState
        Final frequency [Hz], power added by each unit and relief by the load [MW].

    Raises
    ------
    ValueError
        If a rating, a droop or the load is not positive, damping is negative, or there are not as
        many droops as ratings.

    References
    ----------
    .. [1] Saadat, Power System Analysis, 2nd ed., example 12.2.

    Examples
    --------
    >>> after = steady_state(
    ...     90.0, [500.0, 400.0], [0.06, 0.04], load_mw=900.0, damping_load_pu=1.5, f0_hz=60.0
    ... )
    >>> round(after.f_hz, 3), after.p_units_mw.round(2).tolist(), round(after.load_relief_mw, 2)
    (59.726, [38.1, 45.72], 6.17)
    """
    loss_mw = one("loss_mw", loss_mw, **POWER_MW)
    ratings = checked("rating_mw", rating_mw, **ABOVE_0_MW)
    droops = fraction("droop_pu", droop_pu, **_DROOP)
    load_mw = one("load_mw", load_mw, **ABOVE_0_MW)
    damping_load_pu = one("damping_load_pu", damping_load_pu, **_DAMPING)
    f0_hz = one("f0_hz", f0_hz, **NOMINAL_HZ)
    _check_one_series(rating_mw=ratings, droop_pu=droops)
    unit_gains = np.atleast_1d(ratings / (droops * f0_hz))
    load_gain = load_mw * damping_load_pu / f0_hz
    df_hz = float(-loss_mw / (unit_gains.sum() + load_gain))  # eq. (1.7)
    return SteadyState(
        f_hz=f0_hz + df_hz,
        p_units_mw=-unit_gains * df_hz,
        load_relief_mw=-load_gain * df_hz,
    )


@dataclass(frozen=True, kw_only=True)
class Sfr:
    """System frequency response model: one reheat turbine that stands for all.

    All values are single numbers, per unit of the system base.

    Attributes
    ----------
    inertia_s : float
        Inertia constant, above 0 [s].
    droop_pu : float
        Droop, a fraction above 0 and below 1 [-].
    km : float
        Mechanical gain: the share of the base that has governors, above 0 [-].
    f_h : float
        Fraction of the power that comes before the reheater, 0 to 1 [-].
    t_r_s : float
        Reheat time constant, above 0 [s].
    damping_rating_pu : float
        Load damping, 0 or more [-].

    References
    ----------
    .. [1] Anderson and Mirheydar, IEEE Trans. Power Syst. 5(3):720-729, 1990.
       doi:10.1109/59.65898

    Examples
    --------
    >>> model = Sfr(
    ...     inertia_s=4.0, droop_pu=0.05, km=0.95, f_h=0.3, t_r_s=8.0, damping_rating_pu=1.0
    ... )
    >>> round(model.wn_rad_per_s, 3), round(model.zeta, 3)
    (0.559, 0.861)
    """

    inertia_s: float
    droop_pu: float
    km: float
    f_h: float
    t_r_s: float
    damping_rating_pu: float

    def __post_init__(self):
        for field in fields(self):
            one(field.name, getattr(self, field.name))
        keep(
            self,
            inertia_s={"unit": "s", "gt": 0, "ge": 1e-6, "le": 1e6},
            droop_pu={"fraction": True, **_DROOP},
            km={"gt": 0, "ge": 1e-6, "le": 1e6},
            f_h={"fraction": True},
            t_r_s=PERIOD_S,
            damping_rating_pu={"ge": 0, "le": 1e6},
        )

    @property
    def wn_rad_per_s(self) -> float:
        """Natural frequency of the model [rad/s].

        Returns
        -------
        float
            Frequency of the swing that would have no damping [rad/s].
        """
        stiffness = self.damping_rating_pu * self.droop_pu + self.km
        return (stiffness / (2 * self.inertia_s * self.droop_pu * self.t_r_s)) ** 0.5

    @property
    def zeta(self) -> float:
        """Damping ratio of the model [-].

        Returns
        -------
        float
            At 1 and above frequency returns without swinging [-].
        """
        stiffness = self.damping_rating_pu * self.droop_pu + self.km
        direct = self.damping_rating_pu * self.droop_pu + self.km * self.f_h
        lags = 2 * self.inertia_s * self.droop_pu + direct * self.t_r_s
        return self.wn_rad_per_s * lags / (2 * stiffness)


def _sfr_final(model, loss_pu, f0_hz):
    """Deviation to which the SFR model settles [Hz]."""
    stiffness = model.damping_rating_pu * model.droop_pu + model.km
    return -f0_hz * loss_pu * model.droop_pu / stiffness


def _sfr_roots(model):
    """The slow and the fast root of the SFR model, or its complex pair [1/s]."""
    wn = model.wn_rad_per_s
    zeta = model.zeta
    if abs(zeta - 1) <= 1e-6:
        zeta = 1 + 1e-6
    fast = -zeta * wn - wn * np.sqrt(complex(zeta**2 - 1))
    return wn**2 / fast, fast  # their product is wn^2


def sfr_step(t_s: ArrayLike, model: Sfr, loss_pu: ArrayLike, *, f0_hz: ArrayLike) -> FloatOrArray:
    r"""Frequency deviation of the SFR model after a loss.

    With :math:`\lambda_{1,2} = -\zeta\omega_n \pm \omega_n\sqrt{\zeta^2-1}` (complex, equal or
    real), and :math:`D_r` and :math:`T_2` for `damping_rating_pu` and `t_r_s`:

    .. math:: \Delta f(t) = -f_0 \frac{R\,\Delta p}{D_r R + K_m}\left[1 +
              \frac{(1+T_2 \lambda_1) \lambda_2 e^{\lambda_1 t} -
              (1+T_2 \lambda_2) \lambda_1 e^{\lambda_2 t}}{\lambda_1 - \lambda_2}\right]    (1.14)

    Parameters
    ----------
    t_s : float or array
        Time after the loss [s].
    model : Sfr
        The system.
    loss_pu : float or array
        Generation lost (> 0) or load lost (< 0), on the system base [pu].
    f0_hz : float or array
        Nominal frequency [Hz].

    Returns
    -------
    float or array, broadcast of the inputs
        Deviation from f0 [Hz].

    Raises
    ------
    ValueError
        If time is negative, or an argument is no ordinary number.
    TypeError
        If `model` is no `Sfr`.

    Notes
    -----
    The published sine form exists only for zeta < 1. Complex arithmetic covers both sides; exactly
    at zeta = 1 the two roots are pulled apart by one part in a million, which changes nothing
    that can be seen.

    References
    ----------
    .. [1] Anderson and Mirheydar, IEEE Trans. Power Syst. 5(3):720-729, 1990.
       doi:10.1109/59.65898

    Examples
    --------
    >>> model = Sfr(
    ...     inertia_s=4.0, droop_pu=0.05, km=0.95, f_h=0.3, t_r_s=8.0, damping_rating_pu=1.0
    ... )
    >>> sfr_step([1.0, 3.0, 60.0], model, 0.1, f0_hz=60.0).round(3)
    array([-0.491, -0.632, -0.3  ])
    """
    t = checked("t_s", t_s, **TIME_S)
    instance("model", model, Sfr)
    loss = checked("loss_pu", loss_pu, **_LOSS)
    f0 = checked("f0_hz", f0_hz, **NOMINAL_HZ)
    together(t_s=t, loss_pu=loss, f0_hz=f0)
    s1, s2 = _sfr_roots(model)
    first = (1 + model.t_r_s * s1) * s2 * np.exp(s1 * t)
    second = (1 + model.t_r_s * s2) * s1 * np.exp(s2 * t)
    shape = 1 + np.real((first - second) / (s1 - s2))
    return plain(_sfr_final(model, loss, f0) * shape)  # eq. (1.14)


@dataclass(frozen=True, kw_only=True)
class Nadir:
    """The lowest point of frequency after a loss.

    Attributes
    ----------
    df_hz : float or array
        Deviation from f0, negative after a loss of generation [Hz].
    t_s : float or array
        Time after the loss; infinite if the lowest point is the final value [s].
    """

    df_hz: FloatOrArray
    t_s: FloatOrArray

    def __post_init__(self):
        keep(self, df_hz={"unit": "Hz"}, t_s={"unit": "s", "ge": 0, "finite": False})


def _sfr_turning_time(model):
    """Time at which the SFR model turns, for any damping ratio; infinite if it never does [s]."""
    wn = model.wn_rad_per_s
    zeta = model.zeta
    lead = zeta * wn - 1 / model.t_r_s
    spread = wn * abs(zeta**2 - 1) ** 0.5
    if spread < 1e-3 * wn:
        return 1 / lead if lead > 0 else np.inf
    if zeta < 1:
        return float(np.arctan2(spread, lead)) / spread  # eq. (1.15)
    if lead > spread * (1 + 1e-9):
        return float(np.arctanh(spread / lead)) / spread
    return np.inf


def sfr_nadir(model: Sfr, loss_pu: ArrayLike, *, f0_hz: ArrayLike) -> Nadir:
    r"""Lowest frequency of the SFR model after a loss.

    .. math:: t_{nadir} = \frac{1}{\omega_r}
              \operatorname{atan2}(\omega_r T_2,\ \zeta\omega_n T_2 - 1),\quad
              \omega_r = \omega_n\sqrt{1-\zeta^2}            (1.15)

    For :math:`\zeta > 1` the same expression with :math:`\operatorname{artanh}`; at
    :math:`\zeta = 1` its limit :math:`T_2 / (\omega_n T_2 - 1)`. When the turbine is so quick that
    frequency never turns, the lowest point is the final value and its time is infinite.

    Parameters
    ----------
    model : Sfr
        The system.
    loss_pu : float or array
        Generation lost (> 0), on the system base; for load lost (< 0) the highest point is
        returned [pu].
    f0_hz : float or array
        Nominal frequency [Hz].

    Returns
    -------
    Nadir
        Deviation [Hz] and time [s].

    Raises
    ------
    ValueError
        If an argument is no ordinary number.
    TypeError
        If `model` is no `Sfr`.

    References
    ----------
    .. [1] Anderson and Mirheydar, IEEE Trans. Power Syst. 5(3):720-729, 1990.
       doi:10.1109/59.65898

    Examples
    --------
    >>> model = Sfr(
    ...     inertia_s=4.0, droop_pu=0.05, km=0.95, f_h=0.3, t_r_s=8.0, damping_rating_pu=1.0
    ... )
    >>> nadir = sfr_nadir(model, 0.1, f0_hz=60.0)
    >>> round(nadir.df_hz, 3), round(nadir.t_s, 2)
    (-0.65, 2.37)
    """
    instance("model", model, Sfr)
    loss = checked("loss_pu", loss_pu, **_LOSS)
    f0 = checked("f0_hz", f0_hz, **NOMINAL_HZ)
    together(loss_pu=loss, f0_hz=f0)
    t_s = _sfr_turning_time(model)
    if np.isinf(t_s):
        return Nadir(df_hz=_sfr_final(model, loss, f0), t_s=t_s)
    return Nadir(df_hz=sfr_step(t_s, model, loss, f0_hz=f0), t_s=t_s)


def ramp_nadir(
    loss_mw: ArrayLike,
    kinetic_energy_mws: ArrayLike,
    response_mw: ArrayLike,
    ramp_s: ArrayLike,
    delay_s: ArrayLike,
    *,
    f0_hz: ArrayLike,
) -> Nadir:
    r"""Nadir when the response is a dead time followed by a straight ramp (no damping).

    .. math:: \Delta f_{min} = -\frac{f_0\,\Delta P}{2 E_k}
              \left(t_d + \frac{\Delta P\,T_{ramp}}{2 P_{EV}}\right),\quad
              t_{nadir} = t_d + \frac{\Delta P}{P_{EV}} T_{ramp},\quad
              P_{EV} > \Delta P            (1.9)

    Parameters
    ----------
    loss_mw : float or array
        Generation lost, above 0 [MW].
    kinetic_energy_mws : float or array
        Energy of the machines that stay [MW s].
    response_mw : float or array
        Response at the end of the ramp, P_EV for cars; must exceed the loss, or frequency never
        turns [MW].
    ramp_s : float or array
        Duration T_ramp of the ramp from 0 to the whole response [s].
    delay_s : float or array
        Dead time t_d before the ramp starts [s].
    f0_hz : float or array
        Nominal frequency [Hz].

    Returns
    -------
    Nadir
        Deviation [Hz] and time [s].

    Raises
    ------
    ValueError
        If the response does not exceed the loss, an argument is out of range, or shapes do not
        fit.

    References
    ----------
    .. [1] The ramp approximation: Teng, Trovato and Strbac, IEEE Trans. Power Syst.
       31(2):1557-1566, 2016. The dead time is this model's addition.

    Examples
    --------
    >>> nadir = ramp_nadir(500.0, 50_000.0, 600.0, 1.0, 0.5, f0_hz=50.0)
    >>> round(nadir.df_hz, 3), round(nadir.t_s, 3)
    (-0.229, 1.333)
    """
    loss = checked("loss_mw", loss_mw, **ABOVE_0_MW)
    response = checked("response_mw", response_mw, **ABOVE_0_MW)
    ramp = checked("ramp_s", ramp_s, **TIME_S)
    dead = checked("delay_s", delay_s, **TIME_S)
    slope = rocof(loss_mw, kinetic_energy_mws, f0_hz=f0_hz)
    together(
        loss_mw=loss,
        kinetic_energy_mws=kinetic_energy_mws,
        response_mw=response,
        ramp_s=ramp,
        delay_s=dead,
        f0_hz=f0_hz,
    )
    if np.any(response <= loss):
        raise ValueError(
            f"response_mw is {_told(response)} MW; it must exceed loss_mw = {_told(loss)} MW, or "
            "frequency never turns"
        )
    climb = loss / response * ramp  # from the end of the dead time to balance
    return Nadir(df_hz=slope * (dead + climb / 2), t_s=dead + climb)  # eq. (1.9)


# ------------------------------------------------------ curves: what must be delivered when


def _points(name, values):
    """One number or one series, as a tuple with an entry for each point."""
    return tuple(row(name, np.atleast_1d(values)).tolist())


@dataclass(frozen=True, kw_only=True)
class Service:
    """A published frequency service: how much at which deviation, how fast, for how long.

    Attributes
    ----------
    name : str
        As its operator calls it.
    deviation_hz : sequence of float
        Deviations in ascending order, at least two; the first is the edge of the deadband, two
        equal values make a step; kept as a tuple [Hz].
    fraction : sequence of float
        Share of the contracted power at each: from 0, never falling, at most 1; kept as a
        tuple [-].
    start_s : float
        Time after which the response must have begun, 0 or more [s].
    full_s : float
        Time after which the demanded response must be complete, `start_s` or more; both count from
        the moment at which the rule starts its clock [s].
    duration_s : float
        Time for which it must then be held, 0 or more [s].
    symmetric : bool
        Whether it responds to high frequency too, with the opposite sign.
    source : str
        Where the numbers come from.

    Examples
    --------
    >>> droop = Service(
    ...     name="droop",
    ...     deviation_hz=(0.015, 0.5),
    ...     fraction=(0.0, 1.0),
    ...     start_s=0.5,
    ...     full_s=1.0,
    ...     duration_s=900.0,
    ... )
    >>> droop.points()
    ([-0.5, -0.015, 0.015, 0.5], [1.0, 0.0, -0.0, -1.0])
    """

    name: str
    deviation_hz: Sequence[float]
    fraction: Sequence[float]
    start_s: float
    full_s: float
    duration_s: float
    symmetric: bool = True
    source: str = ""

    def __post_init__(self):
        instance("name", self.name, str)
        instance("source", self.source, str)
        deviation_hz = checked("deviation_hz", self.deviation_hz, **DEVIATION_HZ)
        share = fraction("fraction", self.fraction)
        object.__setattr__(self, "deviation_hz", _points("deviation_hz", deviation_hz))
        object.__setattr__(self, "fraction", _points("fraction", share))
        once = {"one": True, **TIME_S}
        keep(self, symmetric={"flag": True}, start_s=once, full_s=once, duration_s=once)
        if self.full_s < self.start_s:
            raise ValueError(
                f"full_s = {self.full_s:g} comes before start_s = {self.start_s:g}. A response is "
                "complete after it has begun."
            )
        self._check_curve()

    def _check_curve(self):
        given = f"deviation_hz = {self.deviation_hz} and fraction = {self.fraction}"
        if len(self.deviation_hz) != len(self.fraction) or len(self.fraction) < 2:
            raise ValueError(f"{given} must have the same number of points, at least 2")
        if (np.diff(self.deviation_hz) < 0).any() or (np.diff(self.fraction) < 0).any():
            raise ValueError(f"{given} must rise from point to point")
        if self.fraction[0] > 0:
            raise ValueError(f"{given}: fraction must begin at 0, at the edge of the deadband")
        due_at_0 = any(share > 0 for at, share in zip(self.deviation_hz, self.fraction) if at == 0)
        if self.symmetric and due_at_0:
            raise ValueError(f"{given}: a symmetric service needs fraction 0 at 0 Hz")

    def points(self) -> tuple[list[float], list[float]]:
        """The whole curve, from the lowest frequency to the highest.

        Returns
        -------
        tuple of two lists
            Deviation f - f0 in ascending order [Hz], and share of the contract at each, positive
            where power is injected [-].
        """
        deviations_hz = [-at for at in reversed(self.deviation_hz)]
        shares = list(reversed(self.fraction))
        if self.symmetric:
            deviations_hz += self.deviation_hz
            shares += [-share for share in self.fraction]
        return deviations_hz, shares


def service_power(
    f_hz: ArrayLike, service: Service, contract_mw: ArrayLike, *, f0_hz: ArrayLike
) -> FloatOrArray:
    """Power that a service demands at a steady frequency.

    Parameters
    ----------
    f_hz : float or array
        Measured frequency [Hz].
    service : Service
        The curve.
    contract_mw : float or array
        Contracted power, 0 or more [MW].
    f0_hz : float or array
        Nominal frequency [Hz].

    Returns
    -------
    float or array, broadcast of the inputs
        Power, positive where it is injected because frequency is low [MW].

    Raises
    ------
    ValueError
        If `contract_mw` is negative, a frequency is not positive, or shapes do not fit.
    TypeError
        If `service` is no `Service`.

    Examples
    --------
    >>> droop = Service(
    ...     name="droop",
    ...     deviation_hz=(0.015, 0.5),
    ...     fraction=(0.0, 1.0),
    ...     start_s=0.5,
    ...     full_s=1.0,
    ...     duration_s=900.0,
    ... )
    >>> service_power([49.7, 50.0, 50.6], droop, 10.0, f0_hz=50.0).round(2)
    array([  5.88,  -0.  , -10.  ])
    """
    f = checked("f_hz", f_hz, **_FREQUENCY)
    instance("service", service, Service)
    contract = checked("contract_mw", contract_mw, **SIZE_MW)
    f0 = checked("f0_hz", f0_hz, **NOMINAL_HZ)
    together(f_hz=f, contract_mw=contract, f0_hz=f0)
    df = np.round(f - f0, 9)  # 49.8 - 50 must not fall beside the point at -0.2
    share = -np.sign(df) * np.interp(np.abs(df), service.deviation_hz, service.fraction)
    if not service.symmetric:
        share = np.maximum(share, 0.0)
    return plain(share * contract)


def in_time(end_to_end_s: ArrayLike, service: Service) -> bool | np.ndarray:
    """Whether a response is complete when the service demands it.

    Parameters
    ----------
    end_to_end_s : float or array
        Time from the moment at which the clock of the service starts to the complete response, 0 or
        more. Most clocks start with the event; that of the Nordic FFR starts when frequency crosses
        its threshold [s].
    service : Service
        The service, of which `full_s` counts.

    Returns
    -------
    bool or array
        True where the response is in time.

    Raises
    ------
    ValueError
        If a time is negative or no ordinary number.
    TypeError
        If `service` is no `Service`.

    Examples
    --------
    >>> ffr = Service(
    ...     name="FFR",
    ...     deviation_hz=(0.3, 0.3),
    ...     fraction=(0.0, 1.0),
    ...     start_s=0.0,
    ...     full_s=1.3,
    ...     duration_s=5.0,
    ...     symmetric=False,
    ... )
    >>> in_time([0.9, 1.5], ffr)
    array([ True, False])
    """
    complete_s = checked("end_to_end_s", end_to_end_s, **TIME_S)
    instance("service", service, Service)
    return complete_s <= service.full_s


@dataclass(frozen=True, kw_only=True)
class Ufls:
    """Under-frequency load shedding: relays that cut feeders, stage by stage.

    Attributes
    ----------
    f_hz : sequence of float
        Threshold of each stage, falling from stage to stage; a single number makes one stage; kept
        as a tuple [Hz].
    shed : sequence of float
        Share of the load that each stage cuts, above 0, together at most 1; kept as a tuple [-].
    delay_s : float
        Time for which frequency must stay below the threshold (relay and breaker), 0 or more [s].

    Examples
    --------
    >>> relays = Ufls(f_hz=(49.0, 48.8, 48.6), shed=(0.05, 0.1, 0.1), delay_s=0.15)
    >>> round(sum(relays.shed), 2)
    0.25
    """

    f_hz: Sequence[float]
    shed: Sequence[float]
    delay_s: float

    def __post_init__(self):
        f_hz = checked("f_hz", self.f_hz, **_FREQUENCY)
        shed = fraction("shed", self.shed, gt=0)
        object.__setattr__(self, "f_hz", _points("f_hz", f_hz))
        object.__setattr__(self, "shed", _points("shed", shed))
        keep(self, delay_s={"one": True, **TIME_S})
        stages = len(self.f_hz)
        if stages != len(self.shed):
            raise ValueError(
                f"f_hz has {stages} stages and shed {len(self.shed)}; give one share for each "
                "threshold"
            )
        if (np.diff(self.f_hz) >= 0).any():
            raise ValueError(f"f_hz = {self.f_hz} must fall from stage to stage")
        if sum(self.shed) > 1 + 1e-9:
            raise ValueError(
                f"shed adds up to {sum(self.shed):g}; all stages together cannot cut more than 1 "
                "(the whole load)"
            )


def shed_relief(shed: ArrayLike, load_mw: ArrayLike, export_mw: ArrayLike) -> FloatOrArray:
    r"""Net relief when a share of the feeders, with the cars exporting on them, is cut off.

    .. math:: P_{relief} = s\,(P_L - p_{EV})            (1.11)

    Parameters
    ----------
    shed : float or array
        Share of feeders disconnected, a fraction from 0 to 1 [-].
    load_mw : float or array
        Consumption of all feeders, without their cars, 0 or more [MW].
    export_mw : float or array
        Power that the cars on all feeders export [MW].

    Returns
    -------
    float or array, broadcast of the inputs
        Relief, negative when shedding makes things worse [MW].

    Raises
    ------
    ValueError
        If `shed` is no fraction, the load is negative, or shapes do not fit.

    Examples
    --------
    >>> shed_relief(0.05, 10_000.0, [400.0, 10_000.0, 12_000.0])
    array([ 480.,    0., -100.])
    """
    share = fraction("shed", shed)
    load = checked("load_mw", load_mw, **SIZE_MW)
    export = checked("export_mw", export_mw, **POWER_MW)
    together(shed=share, load_mw=load, export_mw=export)
    return share * (load - export)  # eq. (1.11)


# ------------------------------------------------------------------------- the simulator's parts


def _check_dimensions(part):
    """Refuse tables: a field is one number, or a series with one entry for each scenario."""
    for name, value in vars(part).items():
        if np.ndim(value) > 1:
            raise ValueError(
                f"{name} has shape {np.shape(value)}; give one number, or a one-dimensional "
                "array with one entry for each scenario"
            )


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A synchronous area as one rotor.

    For `sweep` each field may be an array, with one entry for each scenario.

    Attributes
    ----------
    f0_hz : float or array
        Nominal frequency [Hz].
    kinetic_energy_mws : float or array
        Energy in the rotors before the losses, above 0 [MW s].
    load_mw : float or array
        Load, above 0 [MW].
    damping_load_pu : float or array
        Load damping, 0 or more: per cent of load per per cent of frequency, usually up to 2 [-].

    Examples
    --------
    >>> Grid(f0_hz=50, kinetic_energy_mws=50_000, load_mw=10_000, damping_load_pu=1)
    Grid(f0_hz=50.0, kinetic_energy_mws=50000.0, load_mw=10000.0, damping_load_pu=1.0)
    """

    f0_hz: FloatOrArray
    kinetic_energy_mws: FloatOrArray
    load_mw: FloatOrArray
    damping_load_pu: FloatOrArray

    def __post_init__(self):
        keep(
            self,
            f0_hz=NOMINAL_HZ,
            kinetic_energy_mws=_ENERGY,
            load_mw=ABOVE_0_MW,
            damping_load_pu=_DAMPING,
        )
        _check_dimensions(self)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Generation or load that trips, with the kinetic energy that it takes along.

    For `sweep` each field may be an array, with one entry for each scenario.

    Attributes
    ----------
    t_s : float or array
        Time of the trip, 0 or more [s].
    p_mw : float or array
        Generation that trips (> 0) or load that trips (< 0) [MW].
    kinetic_energy_mws : float or array
        Energy of the rotors that are lost with it, 0 or more [MW s].

    Examples
    --------
    >>> Loss(t_s=1.0, p_mw=500.0, kinetic_energy_mws=2500.0)
    Loss(t_s=1.0, p_mw=500.0, kinetic_energy_mws=2500.0)
    """

    t_s: FloatOrArray = 0.0
    p_mw: FloatOrArray
    kinetic_energy_mws: FloatOrArray = 0.0

    def __post_init__(self):
        energy = {"unit": "MW s", "ge": 0, "le": 1e15}
        keep(self, t_s=TIME_S, p_mw=POWER_MW, kinetic_energy_mws=energy)
        _check_dimensions(self)


@dataclass(frozen=True, kw_only=True)
class Governor:
    """Governor and turbine (structure of TGOV1): droop, deadband, valve with limits, lead-lag.

    The turbine is (1 + t_lead_s s) / (1 + t_lag_s s): a reheat turbine has t_lead_s = f_h *
    t_lag_s, a plain lag t_lead_s = 0. For `sweep` each number may be an array, with one entry for
    each scenario.

    Attributes
    ----------
    name : str
        Name of the unit in the results.
    rating_mw : float or array
        Rating, 0 or more [MW].
    droop_pu : float or array
        Droop on that rating, a fraction above 0 and below 1 [-].
    deadband_hz : float or array
        No response to deviations up to this, 0 or more; left without a step [Hz].
    headroom_mw : float or array
        Spare power upward, 0 or more; may be infinite [MW].
    footroom_mw : float or array
        Spare power downward, 0 or more; may be infinite [MW].
    t_valve_s : float or array
        Time constant of the valve, 0 or more [s].
    t_lead_s : float or array
        Lead of the turbine, 0 or more; divided by `t_lag_s` it is the fraction of the power that
        comes at once [s].
    t_lag_s : float or array
        Lag of the turbine, above 0 [s].

    Examples
    --------
    >>> plant = Governor(
    ...     name="plant",
    ...     rating_mw=4000.0,
    ...     droop_pu=0.05,
    ...     deadband_hz=0.02,
    ...     headroom_mw=400.0,
    ...     footroom_mw=1000.0,
    ...     t_valve_s=0.3,
    ...     t_lead_s=2.4,
    ...     t_lag_s=8.0,
    ... )
    >>> plant.rating_mw / (plant.droop_pu * 50.0)  # MW for each hertz, at 50 Hz
    1600.0
    """

    name: str = "governor"
    rating_mw: FloatOrArray
    droop_pu: FloatOrArray
    deadband_hz: FloatOrArray = 0.0
    headroom_mw: FloatOrArray = float("inf")
    footroom_mw: FloatOrArray = float("inf")
    t_valve_s: FloatOrArray
    t_lead_s: FloatOrArray
    t_lag_s: FloatOrArray

    def __post_init__(self):
        instance("name", self.name, str)
        keep(
            self,
            rating_mw=SIZE_MW,
            droop_pu={"fraction": True, **_DROOP},
            deadband_hz=DEVIATION_HZ,
            headroom_mw=_ROOM,
            footroom_mw=_ROOM,
            t_valve_s=TIME_S,
            t_lead_s=TIME_S,
            t_lag_s=PERIOD_S,
        )
        _check_dimensions(self)


@dataclass(frozen=True, kw_only=True)
class EvFleet:
    """Cars that answer local frequency: dead time, curve, ramp, and only so much energy.

    For `sweep` each number may be an array, with one entry for each scenario.

    Attributes
    ----------
    name : str
        Name of the fleet in the results.
    p_up_mw : float or array
        Most power to the grid, 0 or more [MW].
    p_down_mw : float or array
        Most power from the grid, 0 or more [MW].
    service : Service
        The curve that the cars follow.
    delay_s : float or array
        Dead time for measuring and deciding, 0 or more [s].
    ramp_s : float or array
        Time from nothing to full power, the larger of the two powers; 0 or more [s].
    energy_up_mwh : float or array
        Energy that they may give, at the grid connection, 0 or more; may be infinite [MWh].
    energy_down_mwh : float or array
        Energy that they may take, at the grid connection, 0 or more; may be infinite [MWh].
    on_feeder : bool
        Whether they stand on ordinary feeders and are cut off with them when load is shed.

    Examples
    --------
    >>> droop = Service(
    ...     name="droop",
    ...     deviation_hz=(0.015, 0.5),
    ...     fraction=(0.0, 1.0),
    ...     start_s=0.5,
    ...     full_s=1.0,
    ...     duration_s=900.0,
    ... )
    >>> cars = EvFleet(
    ...     name="cars",
    ...     p_up_mw=400.0,
    ...     p_down_mw=400.0,
    ...     service=droop,
    ...     delay_s=0.3,
    ...     ramp_s=0.2,
    ...     energy_up_mwh=400.0,
    ...     energy_down_mwh=400.0,
    ...     on_feeder=True,
    ... )
    >>> cars.energy_up_mwh / cars.p_up_mw  # hours at full power
    1.0
    """

    name: str = "ev_fleet"
    p_up_mw: FloatOrArray
    p_down_mw: FloatOrArray
    service: Service
    delay_s: FloatOrArray
    ramp_s: FloatOrArray
    energy_up_mwh: FloatOrArray = float("inf")
    energy_down_mwh: FloatOrArray = float("inf")
    on_feeder: bool = True

    def __post_init__(self):
        instance("name", self.name, str)
        instance("service", self.service, Service)
        keep(
            self,
            on_feeder={"flag": True},
            p_up_mw=SIZE_MW,
            p_down_mw=SIZE_MW,
            delay_s=TIME_S,
            ramp_s=TIME_S,
            energy_up_mwh=STORE_MWH,
            energy_down_mwh=STORE_MWH,
        )
        _check_dimensions(self)


# --------------------------------------------------------------------------------- the simulator

_INSTANT_S = 1e-9  # shorter lags and ramps act at once


class _Floats:
    """The few operations of the time step on Python floats: quick for one scenario."""

    @staticmethod
    def clip(x, low, high):
        if x < low:
            return low
        if x > high:
            return high
        return x

    @staticmethod
    def below(x, limit):
        return x < limit

    @staticmethod
    def curve(xs, ys):
        """The function that joins the points by straight lines and stays level beyond them."""
        slopes = [0.0] * len(xs)  # to the right of each point
        for i in range(len(xs) - 1):
            if xs[i + 1] > xs[i]:
                slopes[i] = (ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i])

        def at(x):
            i = bisect_right(xs, x) - 1
            return ys[i] + slopes[i] * (x - xs[i]) if i >= 0 else ys[0]

        return at


class _Arrays:
    """The same operations on arrays with one entry a scenario."""

    @staticmethod
    def clip(x, low, high):
        return np.minimum(np.maximum(x, low), high)

    @staticmethod
    def below(x, limit):
        return (x < limit).any()

    @staticmethod
    def curve(xs, ys):
        def at(x):
            return np.interp(x, xs, ys)

        return at


class _Memory:
    """Deviations of a run, with the rest before its start: what delayed meters see."""

    def __init__(self, resources, n_steps, dt_s, count):
        self.dt_s = dt_s
        self.end_s = n_steps * dt_s
        self.zero = np.zeros(count) if count else 0.0
        delays = [np.max(r.delay_s) for r in resources if isinstance(r, EvFleet)]
        longest_s = min(max(delays, default=0.0), self.end_s)
        self.start = 2 + int(np.ceil(longest_s / dt_s))  # the place of the time 0
        length = self.start + n_steps + 1
        self.values: Any = np.zeros((length, count)) if count else [0.0] * length

    def delayed(self, delay_s):
        """A function of the step: the deviation `delay_s` ago, between two steps if need be."""
        in_steps = np.minimum(delay_s, self.end_s) / self.dt_s  # before the run all was quiet
        whole_steps = np.floor(in_steps + 1e-9)
        late = plain(np.clip(in_steps - whole_steps, 0.0, 1.0))
        place = self.start - whole_steps.astype(int)
        if np.ndim(delay_s) == 0:
            return self._same_for_all(int(place), late)
        return self._each_its_own(place, late)

    def _same_for_all(self, place, late):
        history = self.values

        def seen(n):
            return (1.0 - late) * history[n + place] + late * history[n + place - 1]

        return seen

    def _each_its_own(self, places, late):
        history = self.values
        scenarios = np.arange(len(places))

        def seen(n):
            newer = history[n + places, scenarios]
            older = history[n + places - 1, scenarios]
            return (1.0 - late) * newer + late * older

        return seen


def _lag(tau_s, dt_s):
    """Weights of old state, old input and new input of a first-order lag.

    Exact for an input that runs straight over the step.
    """
    h = dt_s / np.maximum(tau_s, _INSTANT_S)
    mean_decay = -np.expm1(-h) / h  # of what is left, on average over the step
    decay = np.exp(-h)
    return plain(decay), plain(mean_decay - decay), plain(1 - mean_decay)


def _check_deadband(deadband_hz, droop_pu, f0_hz):
    span_hz = droop_pu * f0_hz
    if np.any(deadband_hz >= span_hz):
        raise ValueError(
            f"deadband_hz is {_told(deadband_hz)} Hz; it must be narrower than the droop range "
            f"droop_pu * f0_hz = {_told(span_hz)} Hz, or the unit never responds"
        )


def _governor_power(gov, grid, dt_s, ops, memory):
    r"""Step function of a governor-turbine.

    .. math:: p_{droop} = -\frac{P_r}{R f_0}(\Delta f \mp f_{db})
              \text{ outside the deadband, else } 0            (1.6)

    .. math:: T_g \dot v = p_{droop} - v,\quad T_2 \dot x = v - x,\quad
              p_{tur} = x + \frac{T_1}{T_2}(v - x)            (1.12)
    """
    clip = ops.clip
    band = gov.deadband_hz
    high = gov.headroom_mw
    low = -gov.footroom_mw
    gain = -gov.rating_mw / (gov.droop_pu * grid.f0_hz)
    keep_v, old_v, new_v = _lag(gov.t_valve_s, dt_s)
    keep_x, old_x, new_x = _lag(gov.t_lag_s, dt_s)
    lead = gov.t_lead_s / gov.t_lag_s
    demand = valve = 0.0
    x = 0.0

    def power(n, df, shed):
        nonlocal demand, valve, x
        wanted = gain * (df - clip(df, -band, band))  # eq. (1.6)
        moved = keep_v * valve + old_v * demand + new_v * wanted
        v = clip(moved, low, high)  # the valve stops at its limits: no windup
        x = keep_x * x + old_x * valve + new_x * v
        demand = wanted
        valve = v
        return x + lead * (v - x)  # eq. (1.12)

    return power


def _ev_power(fleet, grid, dt_s, ops, memory):
    r"""Step function of an EV fleet: the curve at the delayed frequency, ramp, energy.

    .. math:: |\dot p_{EV}| \le \frac{P_{EV}}{T_{ramp}},\quad
              p_{EV} \to P_{EV}\,c\big(\Delta f(t - t_d)\big),\quad
              -E_{down} \le \int p_{EV}\,dt \le E_{up}            (1.8)
    """
    clip = ops.clip
    curve = ops.curve(*fleet.service.points())
    seen = memory.delayed(fleet.delay_s)
    up = fleet.p_up_mw
    down = fleet.p_down_mw
    step = plain(np.maximum(up, down) * dt_s / np.maximum(fleet.ramp_s, _INSTANT_S))
    most = fleet.energy_up_mwh * 3600.0 / dt_s  # [MW times steps], as is `given`
    least = -fleet.energy_down_mwh * 3600.0 / dt_s
    p = given = 0.0

    def power(n, df, shed):
        nonlocal p, given
        share = curve(seen(n))
        wanted = clip(share * up, 0.0, up) + clip(share * down, -down, 0.0)
        ramped = clip(wanted, p - step, p + step)
        p = clip(ramped, least - given, most - given)  # eq. (1.8)
        given = given + p
        return p * (1.0 - shed) if fleet.on_feeder else p

    return power


def _step_function(resource, grid, dt_s, ops, memory):
    """Function of step, deviation and share shed: the power of a resource [MW]."""
    make = _governor_power if isinstance(resource, Governor) else _ev_power
    return make(resource, grid, dt_s, ops, memory)


class _Relays:
    """UFLS relays of a run.

    Crossings and trips are placed inside their steps, so that the timing of the relays does not
    depend on the length of the step.
    """

    def __init__(self, ufls, grid, dt_s, ops, count):
        self.thresholds = np.atleast_1d(ufls.f_hz)[:, None] - grid.f0_hz
        self.shares = np.atleast_1d(ufls.shed)[:, None]
        self.delay_s = ufls.delay_s
        self.dt_s = dt_s
        self.below = ops.below
        self.count = count
        self.waited = np.zeros((len(self.thresholds), count or 1))
        self.tripped = np.zeros(self.waited.shape, dtype=bool)
        self.next_hz = self._plain(self.thresholds.max(0))  # of the stages that wait
        self.was_low = False
        none = np.zeros(count) if count else 0.0
        self.answer = none, none

    def update(self, old, new):
        """From the old and new deviation: the share shed by now, and its mean in the next step."""
        low = self.below(new, self.next_hz)
        if low or self.was_low:  # also on the first step back above: that resets the timers
            self.answer = self._trip(old, new)
        self.was_low = low
        return self.answer

    def _trip(self, old, new):
        low = new < self.thresholds
        self.waited = np.where(low, self._waiting(old, new), 0.0)
        opened = np.maximum((self.waited - self.delay_s) / self.dt_s + 1.0, 0.0)
        part = np.where(low, opened, 0.0)  # of the next step, in which the breaker is open
        trips = ~self.tripped & (part > 1e-9)
        open_now = self.tripped | (trips & (part >= 1.0))
        now = (self.shares * open_now).sum(0)
        mean = (self.shares * np.where(trips, part, self.tripped)).sum(0)
        self.tripped |= trips
        self.next_hz = self._plain(np.where(self.tripped, -np.inf, self.thresholds).max(0))
        return self._plain(now), self._plain(mean)

    def _waiting(self, old, new):
        """How long each timer has run, if frequency is below its threshold [s]."""
        fallen = np.maximum(old - new, 1e-12)
        since_crossing = self.dt_s * np.minimum((self.thresholds - new) / fallen, 1.0)
        return np.where(self.waited > 0, self.waited + self.dt_s, since_crossing)

    def _plain(self, values):
        return values if self.count else float(values[0])


def _disturbance(grid, losses, t, dt_s, count):
    """Power lost on average over each step [MW], and how far 1 MW moves frequency in it [Hz/MW].

    The second follows from the energy that is left.
    """
    shape = (len(t) - 1, count) if count else (len(t) - 1,)
    lost = np.zeros(shape)
    energy = np.broadcast_to(np.asarray(grid.kinetic_energy_mws, float), shape).copy()
    for loss in losses:
        during = np.clip((t[1:, None] - np.atleast_1d(loss.t_s)) / dt_s, 0.0, 1.0)
        if not count:
            during = during[:, 0]
        lost += during * loss.p_mw
        energy -= during * loss.kinetic_energy_mws
    if (energy <= 0).any():
        raise ValueError(
            "kinetic_energy_mws of the losses adds up to more than the grid's "
            f"{_told(grid.kinetic_energy_mws)} MW s; something must keep turning"
        )
    swing = grid.f0_hz * dt_s / (2.0 * energy)
    return (lost, swing) if count else (lost.tolist(), swing.tolist())


def _march(grid, lost, swing, memory, powers, relays):
    """Fill the memory step by step; return the powers of the resources and the shares shed."""
    load = grid.load_mw
    damping = grid.damping_load_pu * load / grid.f0_hz
    df = memory.zero
    shed = memory.zero  # share of the load that is cut now
    cut = memory.zero  # and on average in the next step
    before = memory.zero  # power of the step before
    delivered: list[list] = [[] for _ in powers]
    sheds = [shed]
    for n in range(len(lost)):
        answer = -damping * (1.0 - shed) * df
        for power, record in zip(powers, delivered):
            p = power(n, df, shed)
            record.append(p)
            answer = answer + p
        imbalance_mw = 1.5 * answer - 0.5 * before + cut * load - lost[n]
        old = df
        df = df + swing[n] * imbalance_mw  # eq. (1.1)
        memory.values[memory.start + n + 1] = df
        before = answer
        if relays:
            shed, cut = relays.update(old, df)
        sheds.append(shed)
    for power, record in zip(powers, delivered):
        record.append(power(len(lost), df, shed))
    return delivered, sheds


def _integrate(grid, losses, resources, ufls, t_end_s, dt_s, count):
    """March the swing equation on floats (`count` None), or on arrays of `count` scenarios.

    Two-step Adams-Bashforth for what answers frequency, exact integration of the losses, exact
    lags inside the resources: second order in dt with a single evaluation a step.
    """
    n_steps = round(t_end_s / dt_s)
    t = np.arange(n_steps + 1) * dt_s
    lost, swing = _disturbance(grid, losses, t, dt_s, count)
    ops = _Arrays if count else _Floats
    memory = _Memory(resources, n_steps, dt_s, count)
    powers = [_step_function(each, grid, dt_s, ops, memory) for each in resources]
    relays = _Relays(ufls, grid, dt_s, ops, count) if ufls else None
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        delivered, sheds = _march(grid, lost, swing, memory, powers, relays)
    df = np.asarray(memory.values[memory.start :])
    if not (np.abs(df) <= 1000 * grid.f0_hz).all():  # NaN is refused too
        raise ValueError(
            f"frequency leaves all bounds before t_end_s = {t_end_s:g} s: a governor's droop_pu is "
            f"too small for its lags on this grid, or dt_s = {dt_s:g} s is too long"
        )
    return t, df, [np.asarray(record) for record in delivered], np.asarray(sheds)


def _check_names(resources):
    names = [resource.name for resource in resources]
    if len(set(names)) < len(names):
        raise ValueError(f"resources are called {names}; each needs a name of its own")
    if "damping" in names:
        raise ValueError(
            "resources: the name 'damping' stands for the load in the results; choose another"
        )


def _check_loss_of_load(grid, losses):
    lost_mw = sum(loss.p_mw for loss in losses)
    if np.any(lost_mw > grid.load_mw):
        raise ValueError(
            f"losses add up to more than load_mw = {_told(grid.load_mw)} MW; a system cannot lose "
            "more generation than it uses"
        )


def _check_relays(grid, ufls):
    if ufls is None:
        return
    instance("ufls", ufls, Ufls)
    if np.any(max(ufls.f_hz) >= grid.f0_hz):
        raise ValueError(
            f"ufls: f_hz = {max(ufls.f_hz):g} Hz is not below f0_hz = {_told(grid.f0_hz)} Hz; "
            "such a relay would shed load all the time"
        )


def _check_step(grid, losses, resources, dt_s):
    """Refuse steps in which the response outruns the rotors: the result would swing up."""
    pull = grid.damping_load_pu * grid.load_mw / grid.f0_hz  # answers at once [MW/Hz]
    for governor in resources:
        if isinstance(governor, Governor):
            gain = governor.rating_mw / (governor.droop_pu * grid.f0_hz)
            direct = gain * governor.t_lead_s / governor.t_lag_s
            pull = pull + np.where(np.asarray(governor.t_valve_s) < dt_s, direct, 0.0)
    left = grid.kinetic_energy_mws - sum(loss.kinetic_energy_mws for loss in losses)
    if np.any((left > 0) & (pull * grid.f0_hz * dt_s > left)):
        raise ValueError(
            f"dt_s is {dt_s:g} s, too long for such a stiff response on so little inertia; halve it"
        )


def _scenario_count(parts):
    """How many scenarios the arrays hold; None if all fields are single numbers."""
    arrays = []
    for part in parts:
        arrays += [(name, value) for name, value in vars(part).items() if np.ndim(value) == 1]
    if len({len(array) for _, array in arrays}) > 1:
        told = ", ".join(f"{name} {len(array)}" for name, array in arrays)
        raise ValueError(
            f"arrays of different lengths ({told}): every array needs one entry for each scenario"
        )
    return len(arrays[0][1]) if arrays else None


def _checked_run(grid, losses, resources, ufls, t_end_s, dt_s):
    """Refuse what cannot be simulated; return the number of scenarios (None: single numbers)."""
    instance("grid", grid, Grid)
    if not losses:
        raise ValueError("losses is empty; give a list with at least one Loss: [Loss(p_mw=...)]")
    one("dt_s", dt_s, **PERIOD_S)
    one("t_end_s", t_end_s, **TIME_S)
    if t_end_s < dt_s:
        raise ValueError(
            f"t_end_s is {t_end_s:g} s; it must be at least one step, dt_s = {dt_s:g} s"
        )
    count = _scenario_count([grid, *losses, *resources])
    # A list of Python floats takes about ten times as much memory.
    in_step = min(count, _BLOCK) if count else 10
    steps("t_end_s", t_end_s, dt_s, most=MOST_STEPS // in_step)
    _check_names(resources)
    _check_loss_of_load(grid, losses)
    _check_relays(grid, ufls)
    for resource in resources:
        if isinstance(resource, Governor):
            _check_deadband(resource.deadband_hz, resource.droop_pu, grid.f0_hz)
    _check_step(grid, losses, resources, dt_s)
    return count


def simulate(
    grid: Grid,
    losses: Sequence[Loss],
    resources: Sequence[Governor | EvFleet] = (),
    ufls: Ufls | None = None,
    *,
    t_end_s: float = 20.0,
    dt_s: float = 0.02,
) -> pd.DataFrame:
    r"""One run: frequency and powers after a sequence of losses.

    .. math:: \frac{2 E_k}{f_0}\frac{d\Delta f}{dt} = \sum_i p_i - \Delta P + s P_L
              - \frac{D P_L (1-s)}{f_0}\Delta f            (1.1)

    Parameters
    ----------
    grid : Grid
        The synchronous area, all values single numbers (arrays go to `sweep`).
    losses : list of Loss
        At least one loss of generation or load, in any order.
    resources : list of Governor and EvFleet
        Units that respond, each with a name of its own; "damping" is taken.
    ufls : Ufls, optional
        Load shedding relays; without them no load is shed.
    t_end_s : float
        Length of the run, rounded to whole steps [s].
    dt_s : float
        Time step [s].

    Returns
    -------
    DataFrame, index t_s
        Frequency `f_hz` [Hz]; `p_<name>_mw` of each resource, positive into the grid;
        `p_damping_mw`, what the load draws less because of frequency; `shed_mw`, load cut by
        relays; `lost_mw`, generation lost so far [MW].

    Raises
    ------
    ValueError
        If an argument is out of range, fields are arrays, the losses take all generation or
        inertia, a threshold of `ufls` is not below f0, a step is too long, or there are too many.
    TypeError
        If an argument is of another kind, such as a single `Loss` without a list.

    Notes
    -----
    Second order in `dt_s`: halving the step quarters the error (tested). Relays trip inside of
    steps; the results show it at the end of the step.

    References
    ----------
    .. [1] Kundur, Power System Stability and Control, 1994, ch. 3 and 11.

    Examples
    --------
    >>> island = Grid(
    ...     f0_hz=50.0, kinetic_energy_mws=50_000.0, load_mw=10_000.0, damping_load_pu=1.0
    ... )
    >>> plant = Governor(
    ...     rating_mw=4000.0, droop_pu=0.05, t_valve_s=0.3, t_lead_s=2.4, t_lag_s=8.0
    ... )
    >>> relays = Ufls(f_hz=(49.0, 48.8), shed=(0.05, 0.1), delay_s=0.15)
    >>> run = simulate(island, [Loss(p_mw=500.0)], [plant], relays, t_end_s=10.0, dt_s=0.02)
    >>> round(float(run.f_hz.min()), 3), round(float(run.f_hz.idxmin()), 2)
    (49.506, 4.56)
    """
    losses = instances("losses", losses, Loss)
    resources = instances("resources", resources, (Governor, EvFleet))
    if _checked_run(grid, losses, resources, ufls, t_end_s, dt_s):
        raise ValueError(
            "simulate takes single numbers; for arrays of scenarios call sweep with the same "
            "arguments"
        )
    t, df, delivered, shed = _integrate(grid, losses, resources, ufls, t_end_s, dt_s, None)
    table = {"f_hz": grid.f0_hz + df}
    for resource, p_mw in zip(resources, delivered):
        table[f"p_{resource.name}_mw"] = p_mw
    table["p_damping_mw"] = -grid.damping_load_pu * grid.load_mw / grid.f0_hz * (1 - shed) * df
    table["shed_mw"] = shed * grid.load_mw
    table["lost_mw"] = sum(np.where(t >= loss.t_s, loss.p_mw, 0.0) for loss in losses)
    return pd.DataFrame(table, index=pd.Index(t, name="t_s"))


def _steepest_slope(df, dt_s):
    """Steepest slope of each scenario over half a second, with its sign [Hz/s]."""
    window = max(1, min(round(0.5 / dt_s), len(df) - 1))
    slopes = (df[window:] - df[:-window]) / (window * dt_s)
    steepest = np.abs(slopes).argmax(0)
    return slopes[steepest, np.arange(df.shape[1])]


def sweep(
    grid: Grid,
    losses: Sequence[Loss],
    resources: Sequence[Governor | EvFleet] = (),
    ufls: Ufls | None = None,
    *,
    t_end_s: float = 20.0,
    dt_s: float = 0.02,
    executor: Workers = None,
) -> pd.DataFrame:
    """Many runs at once: what `simulate` would give for each scenario, in one row.

    Any number in `grid`, `losses` or `resources` may be an array with one entry for each scenario;
    single numbers hold for all.

    Parameters
    ----------
    grid : Grid
        The synchronous area.
    losses : list of Loss
        At least one loss of generation or load, in any order.
    resources : list of Governor and EvFleet
        Units that respond, each with a name of its own; "damping" is taken.
    ufls : Ufls, optional
        Load shedding relays, the same in all scenarios.
    t_end_s : float
        Length of the runs, rounded to whole steps [s].
    dt_s : float
        Time step [s].
    executor : concurrent.futures.Executor, or a function that makes one, optional
        Who works, on 1,000 scenarios at a time; this process if left out.

    Returns
    -------
    DataFrame, one row for each scenario
        Lowest, highest and last frequency `f_min_hz`, `f_max_hz`, `f_end_hz` [Hz], time of the
        lowest `t_min_s` [s], `rocof_hz_per_s`, the steepest slope over 0.5 s with its sign [Hz/s],
        load shed at the end `shed_mw` and `peak_<name>_mw` of each resource [MW].

    Raises
    ------
    ValueError
        As `simulate`, and if arrays differ in length.
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> energies_mws = [30_000.0, 60_000.0]
    >>> island = Grid(
    ...     f0_hz=50.0, kinetic_energy_mws=energies_mws, load_mw=10_000.0, damping_load_pu=1.0
    ... )
    >>> plant = Governor(
    ...     rating_mw=4000.0, droop_pu=0.05, t_valve_s=0.3, t_lead_s=2.4, t_lag_s=8.0
    ... )
    >>> relays = Ufls(f_hz=(49.0, 48.8), shed=(0.05, 0.1), delay_s=0.15)
    >>> table = sweep(
    ...     island, [Loss(p_mw=500.0)], [plant], relays, t_end_s=10.0, dt_s=0.02, executor=None
    ... )
    >>> table[["f_min_hz", "rocof_hz_per_s"]].round(2).to_numpy().tolist()
    [[49.45, -0.38], [49.53, -0.2]]
    """
    losses = instances("losses", losses, Loss)
    resources = instances("resources", resources, (Governor, EvFleet))
    count = _checked_run(grid, losses, resources, ufls, t_end_s, dt_s) or 1
    workers(executor)
    blocks = [slice(first, first + _BLOCK) for first in range(0, count, _BLOCK)]
    tasks = [
        _Runs(
            _some(grid, block),
            [_some(loss, block) for loss in losses],
            [_some(resource, block) for resource in resources],
            ufls,
            t_end_s,
            dt_s,
            min(_BLOCK, count - block.start),
        )
        for block in blocks
    ]
    return pd.concat(in_order(_rows, tasks, executor), ignore_index=True)


class _Runs(NamedTuple):
    """Scenarios that are marched together."""

    grid: Grid
    losses: Sequence[Loss]
    resources: Sequence[Governor | EvFleet]
    ufls: Ufls | None
    t_end_s: float
    dt_s: float
    n_runs: int


def _some(part, block):
    """The same grid, loss or resource with only some of its scenarios."""
    arrays = {name: value for name, value in vars(part).items() if np.ndim(value) == 1}
    return replace(part, **{name: value[block] for name, value in arrays.items()})


def _rows(runs):
    """One row for each scenario."""
    grid = runs.grid
    t, df, delivered, shed = _integrate(*runs)
    table = pd.DataFrame(
        {
            "f_min_hz": grid.f0_hz + df.min(0),
            "t_min_s": t[df.argmin(0)],
            "f_max_hz": grid.f0_hz + df.max(0),
            "f_end_hz": grid.f0_hz + df[-1],
            "rocof_hz_per_s": _steepest_slope(df, runs.dt_s),
            "shed_mw": shed[-1] * grid.load_mw,
        }
    )
    for resource, p_mw in zip(runs.resources, delivered):
        table[f"peak_{resource.name}_mw"] = p_mw.max(0)
    return table


# ----------------------------------------------------------------------------------- real events


@dataclass(frozen=True, kw_only=True)
class Event:
    """A real event, ready to replay: `simulate(e.grid, e.losses, e.resources, e.ufls)`.

    Attributes
    ----------
    name : str
        What happened where and when.
    grid : Grid
        The area before the event.
    losses : tuple of Loss
        Trips, with their times.
    resources : tuple of Governor and EvFleet
        Units that responded.
    ufls : Ufls or None
        Relays, if any acted.
    observed : DataFrame, index t_s
        Measured frequency, column `f_hz` [Hz].
    sources : dict of str
        Where the numbers come from, by part.
    """

    name: str
    grid: Grid
    losses: tuple[Loss, ...]
    resources: tuple[Governor | EvFleet, ...]
    ufls: Ufls | None
    observed: pd.DataFrame
    sources: dict[str, str]

    def __post_init__(self):
        instance("name", self.name, str)
        instance("grid", self.grid, Grid)
        losses = instances("losses", self.losses, Loss)
        resources = instances("resources", self.resources, (Governor, EvFleet))
        object.__setattr__(self, "losses", losses)
        object.__setattr__(self, "resources", resources)
        if self.ufls is not None:
            instance("ufls", self.ufls, Ufls)
        columns("observed", self.observed, ["f_hz"])
        instance("sources", self.sources, dict)


def event(name: str) -> Event:
    """A real event of the book, ready to replay.

    Parameters
    ----------
    name : str
        Its file in `v2gbook/data/events`, such as "gb-2019-08-09".

    Returns
    -------
    Event
        The area, what tripped, who responded, and what was measured.

    Raises
    ------
    ValueError
        If there is no such event; the message lists those that exist.

    Examples
    --------
    >>> gb = event("gb-2019-08-09")
    >>> float(sum(loss.p_mw for loss in gb.losses)), float(gb.observed.f_hz.min())
    (2078.0, 48.787)
    """
    raw = read("events", name)
    return Event(
        name=raw["name"],
        grid=Grid(**raw["grid"]),
        losses=tuple(Loss(**loss) for loss in raw["losses"]),
        resources=tuple(Governor(**governor) for governor in raw.get("governors", [])),
        ufls=Ufls(**raw["ufls"]) if "ufls" in raw else None,
        observed=pd.DataFrame(raw["observed"]).set_index("t_s"),
        sources=raw["sources"],
    )
