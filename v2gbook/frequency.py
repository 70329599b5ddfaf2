r"""Topic 01, frequency: how fast it falls, how low it goes, and who catches it.

Three tools, from pencil to event: closed forms (`rocof`, `sfr_step`, `ramp_nadir`), curves that say what a service
must deliver (`droop_power`, `service_power`, `Ufls`), and one time-domain simulator (`simulate` for a single run with
its time series, `sweep` for thousands of scenarios at once).

All machines turn as one (a single centre of inertia), powers are active powers in MW, and p > 0 flows into the grid.
Frequency equations are linear around f0, as in the textbooks: within 1 % of f0 the error is below 1 % of the deviation.
"""

import tomllib
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ._check import checked

# --------------------------------------------------------------------------------------------- closed forms


def kinetic_energy(inertia_s, rating_mva):
    r"""Energy stored in the rotors of a fleet of machines.

    .. math:: E_k = \sum_i H_i S_i            (1.2)

    Parameters
    ----------
    inertia_s : float or array, shape (machines,)
        Inertia constant of each machine on its own rating. Zero for an inverter. [s]
    rating_mva : float or array, shape (machines,)
        Rating of each machine that is connected. [MVA]

    Returns
    -------
    float
        Sum over all machines. [MW s]

    Raises
    ------
    ValueError
        If an inertia constant is negative or a rating is not positive.

    References
    ----------
    .. [1] Kundur, Power System Stability and Control, 1994, ch. 3.

    Examples
    --------
    >>> kinetic_energy([4.0, 5.0, 0.0], [1000.0, 500.0, 800.0])
    6500.0
    """
    inertia_s = checked("inertia_s", inertia_s, "s", ge=0)
    rating_mva = checked("rating_mva", rating_mva, "MVA", gt=0)
    return float(np.sum(np.multiply(inertia_s, rating_mva)))  # eq. (1.2)


def rocof(loss_mw, kinetic_energy_mws, *, f0_hz):
    r"""Rate of change of frequency (ROCOF) right after a loss of generation.

    .. math:: \dot f(0^+) = -\frac{f_0\,\Delta P}{2\,E_k}            (1.3)

    Parameters
    ----------
    loss_mw : float or array
        Generation lost (> 0) or load lost (< 0). [MW]
    kinetic_energy_mws : float or array
        Energy stored in all rotors that *stay* connected. [MW s]
    f0_hz : float
        Nominal frequency. [Hz]

    Returns
    -------
    float or array, broadcast of the inputs
        Negative when frequency falls. [Hz/s]

    Raises
    ------
    ValueError
        If `kinetic_energy_mws` or `f0_hz` is not positive.

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
    loss_mw = checked("loss_mw", loss_mw, "MW")
    kinetic_energy_mws = checked("kinetic_energy_mws", kinetic_energy_mws, "MW s", gt=0)
    f0_hz = checked("f0_hz", f0_hz, "Hz", gt=0)
    return -f0_hz * loss_mw / (2 * kinetic_energy_mws)  # eq. (1.3)


def implied_kinetic_energy(loss_mw, rocof_hz_per_s, *, f0_hz):
    r"""Kinetic energy that explains a measured initial ROCOF: eq. (1.3) solved for :math:`E_k`.

    Parameters
    ----------
    loss_mw : float or array
        Generation lost (> 0) or load lost (< 0). [MW]
    rocof_hz_per_s : float or array
        Initial slope, of the opposite sign. [Hz/s]
    f0_hz : float
        Nominal frequency. [Hz]

    Returns
    -------
    float or array
        Energy of the machines that stayed. [MW s]

    Raises
    ------
    ValueError
        If loss and slope have the same sign, or either is zero: no positive energy explains them.

    Examples
    --------
    >>> implied_kinetic_energy(500.0, -0.3, f0_hz=60.0)
    50000.0
    """
    loss_mw = checked("loss_mw", loss_mw, "MW")
    rocof_hz_per_s = checked("rocof_hz_per_s", rocof_hz_per_s, "Hz/s")
    f0_hz = checked("f0_hz", f0_hz, "Hz", gt=0)
    if np.any(np.multiply(loss_mw, rocof_hz_per_s) >= 0):
        raise ValueError(
            f"loss_mw = {loss_mw} and rocof_hz_per_s = {rocof_hz_per_s} must have opposite signs: "
            "a loss of generation (> 0) makes frequency fall (< 0)"
        )
    return -f0_hz * loss_mw / (2 * rocof_hz_per_s)


def free_fall_time(f_hz, loss_mw, kinetic_energy_mws, *, f0_hz):
    r"""Time until frequency reaches `f_hz` if nothing responds.

    .. math:: t = \frac{f - f_0}{\dot f(0^+)}            (1.4)

    Parameters
    ----------
    f_hz : float or array
        Frequency to reach. [Hz]
    loss_mw, kinetic_energy_mws, f0_hz : float or array
        As in `rocof`.

    Returns
    -------
    float or array
        [s]

    Raises
    ------
    ValueError
        If `f_hz` lies on the side that frequency moves away from, or nothing was lost.

    Examples
    --------
    >>> free_fall_time(49.2, 1000.0, 200_000.0, f0_hz=50.0)  # doctest: +ELLIPSIS
    6.39999...
    """
    f_hz = checked("f_hz", f_hz, "Hz", gt=0)
    slope = rocof(loss_mw, kinetic_energy_mws, f0_hz=f0_hz)
    if np.any(np.multiply(f_hz - f0_hz, slope) < 0) or np.any(np.asarray(slope) == 0):
        raise ValueError(
            f"f_hz = {f_hz} Hz is never reached: frequency moves from {f0_hz} Hz at {slope} Hz/s"
        )
    return (f_hz - f0_hz) / slope  # eq. (1.4)


def damped_step(t_s, loss_mw, kinetic_energy_mws, load_mw, damping_pu, *, f0_hz):
    r"""Frequency deviation after a loss when only the load responds (no governor).

    .. math:: \Delta f(t) = -\frac{f_0\,\Delta P}{D\,P_L}\left(1 - e^{-t/T}\right),\quad T = \frac{2 E_k}{D\,P_L}   (1.5)

    Parameters
    ----------
    t_s : float or array
        Time after the loss. [s]
    loss_mw : float or array
        Generation lost (> 0). [MW]
    kinetic_energy_mws : float or array
        Energy of the machines that stay. [MW s]
    load_mw : float or array
        Load that remains connected. [MW]
    damping_pu : float or array
        Load damping D: per cent of load per per cent of frequency. Usually 0 to 2. [-]
    f0_hz : float
        Nominal frequency. [Hz]

    Returns
    -------
    float or array
        Deviation from f0. [Hz]

    Raises
    ------
    ValueError
        If time is negative, or energy, load or damping is not positive.

    References
    ----------
    .. [1] Kundur, Power System Stability and Control, 1994, example 11.1.
    """
    t_s = checked("t_s", t_s, "s", ge=0)
    loss_mw = checked("loss_mw", loss_mw, "MW")
    energy = checked("kinetic_energy_mws", kinetic_energy_mws, "MW s", gt=0)
    stiffness = checked("load_mw", load_mw, "MW", gt=0) * checked("damping_pu", damping_pu, gt=0)
    f0_hz = checked("f0_hz", f0_hz, "Hz", gt=0)
    return f0_hz * loss_mw / stiffness * np.expm1(-t_s * stiffness / (2 * energy))  # eq. (1.5)


@dataclass(frozen=True, kw_only=True)
class SteadyState:
    """Where frequency settles and who carries the loss, in MW."""

    f_hz: float
    p_units_mw: np.ndarray
    load_relief_mw: float


def steady_state(loss_mw, rating_mw, droop_pu, *, load_mw, damping_pu, f0_hz):
    r"""Frequency after all governors have settled, and each unit's share.

    .. math:: \Delta f = \frac{-\Delta P}{\sum_i \frac{P_i}{R_i f_0} + \frac{D\,P_L}{f_0}}            (1.7)

    Parameters
    ----------
    loss_mw : float
        Generation lost or load added (> 0). [MW]
    rating_mw, droop_pu : array, shape (units,)
        Rating [MW] and droop on that rating [-] of each unit with a governor.
    load_mw, damping_pu : float
        Load [MW] and its damping [-]; damping may be 0.
    f0_hz : float
        Nominal frequency. [Hz]

    Returns
    -------
    SteadyState
        Final frequency, power added by each unit, and load reduction.

    Raises
    ------
    ValueError
        If a rating, a droop or the load is not positive, or damping is negative.

    References
    ----------
    .. [1] Saadat, Power System Analysis, 2nd ed., example 12.2.
    """
    loss_mw = checked("loss_mw", loss_mw, "MW")
    f0_hz = checked("f0_hz", f0_hz, "Hz", gt=0)
    gains = np.atleast_1d(
        checked("rating_mw", rating_mw, "MW", gt=0) / (checked("droop_pu", droop_pu, gt=0) * f0_hz)
    )
    load = checked("load_mw", load_mw, "MW", gt=0) * checked("damping_pu", damping_pu, ge=0) / f0_hz
    df_hz = -loss_mw / (gains.sum() + load)  # eq. (1.7)
    return SteadyState(f_hz=f0_hz + df_hz, p_units_mw=-gains * df_hz, load_relief_mw=-load * df_hz)


def droop_limit(kinetic_energy_mws, rating_mw, damping_pu, t_valve_s, t_turbine_s):
    r"""Smallest droop that keeps a governor with two lags stable on its own grid.

    The Routh criterion for valve and turbine lags :math:`\tau_g, \tau_T` and :math:`M = 2 E_k / P_r`:

    .. math:: \frac{1}{R_{min}} = \frac{(M(\tau_g+\tau_T) + D\tau_g\tau_T)(M + D(\tau_g+\tau_T))}{M\,\tau_g\tau_T} - D   (1.8)

    Parameters
    ----------
    kinetic_energy_mws : float or array
        [MW s]
    rating_mw : float or array
        Rating of the governed unit, base of droop and damping. [MW]
    damping_pu : float or array
        Load damping on that base. [-]
    t_valve_s, t_turbine_s : float or array
        The two lags. [s]

    Returns
    -------
    float or array
        Droop below which oscillations grow. [pu]

    Raises
    ------
    ValueError
        If an argument is not positive (damping may be 0).

    References
    ----------
    .. [1] Saadat, Power System Analysis, 2nd ed., example 12.1.
    """
    m = (
        2
        * checked("kinetic_energy_mws", kinetic_energy_mws, "MW s", gt=0)
        / checked("rating_mw", rating_mw, "MW", gt=0)
    )
    d = checked("damping_pu", damping_pu, ge=0)
    tg, tt = (
        checked("t_valve_s", t_valve_s, "s", gt=0),
        checked("t_turbine_s", t_turbine_s, "s", gt=0),
    )
    return 1 / (
        (m * (tg + tt) + d * tg * tt) * (m + d * (tg + tt)) / (m * tg * tt) - d
    )  # eq. (1.8)


@dataclass(frozen=True, kw_only=True)
class Sfr:
    """System frequency response model: one reheat turbine that stands for all (Anderson and Mirheydar, 1990).

    All per unit on the system base: inertia `h_s`, droop `droop_pu`, gain `km`, fraction of the power that comes
    before the reheater `f_h` (0..1), reheat time `t_r_s`, load damping `d_pu`.
    """

    h_s: float
    droop_pu: float
    km: float
    f_h: float
    t_r_s: float
    d_pu: float

    def __post_init__(self):
        for name, unit in (("h_s", "s"), ("droop_pu", "pu"), ("km", ""), ("t_r_s", "s")):
            checked(name, getattr(self, name), unit, gt=0)
        checked("f_h", self.f_h, ge=0, le=1)
        checked("d_pu", self.d_pu, ge=0)

    @property
    def wn_rad_per_s(self):
        """Natural frequency. [rad/s]"""
        return (
            (self.d_pu * self.droop_pu + self.km) / (2 * self.h_s * self.droop_pu * self.t_r_s)
        ) ** 0.5

    @property
    def zeta(self):
        """Damping ratio; at 1 and above frequency returns without swinging. [-]"""
        stiffness = self.d_pu * self.droop_pu + self.km
        lags = (
            2 * self.h_s * self.droop_pu
            + (self.d_pu * self.droop_pu + self.km * self.f_h) * self.t_r_s
        )
        return self.wn_rad_per_s * lags / (2 * stiffness)


def sfr_step(t_s, model, step_pu, *, f0_hz):
    r"""Frequency deviation of the SFR model after a step of power, in every damping regime.

    With :math:`s_{1,2} = -\zeta\omega_n \pm \omega_n\sqrt{\zeta^2-1}` (complex, equal or real) and
    :math:`G(t) = \int_0^t` of the impulse response:

    .. math:: \Delta f(t) = f_0 \frac{R\,\Delta p}{D R + K_m}\left[1 + \frac{(1+T_R s_1) s_2 e^{s_1 t} -
              (1+T_R s_2) s_1 e^{s_2 t}}{s_1 - s_2}\right]            (1.9)

    Parameters
    ----------
    t_s : float or array
        Time after the step. [s]
    model : Sfr
        The system.
    step_pu : float
        Power step on the system base, negative for a loss of generation. [pu]
    f0_hz : float
        Nominal frequency. [Hz]

    Returns
    -------
    float or array
        Deviation from f0. [Hz]

    Raises
    ------
    ValueError
        If time is negative.

    Notes
    -----
    The published sine form exists only for zeta < 1. Complex arithmetic covers both sides; exactly at zeta = 1 the two
    roots are pulled apart by one part in a million, which changes nothing that can be seen.

    References
    ----------
    .. [1] Anderson and Mirheydar, IEEE Trans. Power Syst. 5(3):720-729, 1990. doi:10.1109/59.65898
    """
    t_s = checked("t_s", t_s, "s", ge=0)
    step_pu = checked("step_pu", step_pu, "pu")
    final = (
        checked("f0_hz", f0_hz, "Hz", gt=0)
        * step_pu
        * model.droop_pu
        / (model.d_pu * model.droop_pu + model.km)
    )
    s1, s2 = _sfr_roots(model)
    tr = model.t_r_s
    transient = ((1 + tr * s1) * s2 * np.exp(s1 * t_s) - (1 + tr * s2) * s1 * np.exp(s2 * t_s)) / (
        s1 - s2
    )
    shape = 1 + np.real(transient)  # eq. (1.9)
    return final * (float(shape) if np.ndim(t_s) == 0 else shape)


def _sfr_roots(model):
    zeta = model.zeta if abs(model.zeta - 1) > 1e-6 else 1 + 1e-6
    spread = model.wn_rad_per_s * np.sqrt(complex(zeta**2 - 1))
    return -zeta * model.wn_rad_per_s + spread, -zeta * model.wn_rad_per_s - spread


@dataclass(frozen=True, kw_only=True)
class Nadir:
    """The lowest point: deviation from f0 in Hz (negative) and when it comes, in seconds (inf: only at the very end)."""

    df_hz: float
    t_s: float


def sfr_nadir(model, step_pu, *, f0_hz):
    r"""Lowest frequency of the SFR model and its time, for any damping ratio.

    .. math:: t_{nadir} = \frac{1}{\omega_r}\operatorname{atan2}(\omega_r T_R,\ \zeta\omega_n T_R - 1),\quad
              \omega_r = \omega_n\sqrt{1-\zeta^2}            (1.10)

    For :math:`\zeta > 1` the same expression with :math:`\operatorname{artanh}`; at :math:`\zeta = 1` its limit
    :math:`T_R / (\omega_n T_R - 1)`. When the turbine is so quick that frequency never turns, the lowest point is the
    final value and its time is infinite.

    Parameters
    ----------
    model, step_pu, f0_hz
        As in `sfr_step`; `step_pu` is a loss (negative) or a surplus (positive: the highest point is returned).

    Returns
    -------
    Nadir
        Deviation [Hz] and time [s].

    References
    ----------
    .. [1] Anderson and Mirheydar, IEEE Trans. Power Syst. 5(3):720-729, 1990. doi:10.1109/59.65898
    """
    wn, zeta, tr = model.wn_rad_per_s, model.zeta, model.t_r_s
    lead = zeta * wn - 1 / tr
    spread = wn * abs(zeta**2 - 1) ** 0.5
    if spread < 1e-3 * wn:
        t_s = 1 / lead if lead > 0 else np.inf
    elif zeta < 1:
        t_s = float(np.arctan2(spread, lead)) / spread  # eq. (1.10)
    else:
        t_s = float(np.arctanh(spread / lead)) / spread if lead > spread * (1 + 1e-9) else np.inf
    if np.isinf(t_s):
        final = (
            checked("step_pu", step_pu) * model.droop_pu / (model.d_pu * model.droop_pu + model.km)
        )
        return Nadir(df_hz=checked("f0_hz", f0_hz, "Hz", gt=0) * final, t_s=t_s)
    return Nadir(df_hz=sfr_step(t_s, model, step_pu, f0_hz=f0_hz), t_s=t_s)


def ramp_nadir(loss_mw, kinetic_energy_mws, response_mw, ramp_s, dead_s, *, f0_hz):
    r"""Nadir when the response is a dead time followed by a straight ramp (no damping).

    .. math:: \Delta f = -\frac{f_0\,\Delta P}{2 E_k}\left(t_d + \frac{\Delta P\,T_d}{2 R}\right),\quad
              t_{nadir} = t_d + \frac{\Delta P}{R} T_d            (1.11)

    Parameters
    ----------
    loss_mw : float
        Generation lost. [MW]
    kinetic_energy_mws : float
        Energy of the machines that stay. [MW s]
    response_mw : float
        Response R at the end of the ramp; must exceed the loss, or frequency never turns. [MW]
    ramp_s : float
        Duration T_d of the ramp from 0 to R. [s]
    dead_s : float
        Dead time t_d before the ramp starts. [s]
    f0_hz : float
        Nominal frequency. [Hz]

    Returns
    -------
    Nadir
        Deviation [Hz] and time [s].

    Raises
    ------
    ValueError
        If the response does not exceed the loss.

    References
    ----------
    .. [1] The ramp approximation of Teng, Trovato, Strbac (IEEE Trans. Power Syst., 2016; from memory); the dead time is
       added here.
    """
    loss_mw = checked("loss_mw", loss_mw, "MW", gt=0)
    response_mw = checked("response_mw", response_mw, "MW", gt=0)
    ramp_s, dead_s = checked("ramp_s", ramp_s, "s", ge=0), checked("dead_s", dead_s, "s", ge=0)
    if response_mw <= loss_mw:
        raise ValueError(
            f"response_mw is {response_mw:g} MW; it must exceed loss_mw = {loss_mw:g} MW, or frequency never turns"
        )
    slope = rocof(loss_mw, kinetic_energy_mws, f0_hz=f0_hz)
    return Nadir(
        df_hz=slope * (dead_s + loss_mw * ramp_s / (2 * response_mw)),  # eq. (1.11)
        t_s=dead_s + loss_mw / response_mw * ramp_s,
    )


# --------------------------------------------------------------------------- curves: what must be delivered when


def droop_power(f_hz, rating_mw, droop_pu, deadband_hz, *, f0_hz):
    r"""Power of a droop governor with a deadband that is left without a step.

    .. math:: p = -\frac{P_r}{R\,f_0}\,\big(\Delta f \mp f_{db}\big)\quad\text{outside the deadband, else } 0            (1.6)

    Parameters
    ----------
    f_hz : float or array
        Measured frequency. [Hz]
    rating_mw : float or array
        Rating of the unit. [MW]
    droop_pu : float or array
        Frequency change, in per unit of f0, that moves the unit through its whole rating. [pu]
    deadband_hz : float or array
        No response for deviations up to this. [Hz]
    f0_hz : float
        Nominal frequency. [Hz]

    Returns
    -------
    float or array
        Change of power: positive below f0, limited to +- the rating. [MW]

    Raises
    ------
    ValueError
        If rating or droop is not positive, or the deadband is wider than the droop range (the unit would never respond).

    References
    ----------
    .. [1] FERC Order 842 (2018): droop at most 5 %, deadband at most 36 mHz, as carried into the generator agreements.

    Examples
    --------
    >>> round(droop_power(59.9, 100.0, 0.05, 0.036, f0_hz=60.0), 4)
    2.1333
    """
    f_hz = checked("f_hz", f_hz, "Hz", gt=0)
    rating_mw = checked("rating_mw", rating_mw, "MW", gt=0)
    f0_hz = checked("f0_hz", f0_hz, "Hz", gt=0)
    _check_deadband(deadband_hz, droop_pu, f0_hz)
    df = f_hz - f0_hz
    beyond = df - np.clip(df, -np.asarray(deadband_hz), deadband_hz)
    p_mw = np.clip(
        -rating_mw / (droop_pu * f0_hz) * beyond, -np.asarray(rating_mw), rating_mw
    )  # eq. (1.6)
    return float(p_mw) if np.ndim(p_mw) == 0 else p_mw


def _check_deadband(deadband_hz, droop_pu, f0_hz):
    span = checked("droop_pu", droop_pu, "pu", gt=0) * f0_hz
    if np.any(checked("deadband_hz", deadband_hz, "Hz", ge=0) >= span):
        raise ValueError(
            f"deadband_hz is {deadband_hz} Hz; it must be narrower than the droop range "
            f"droop_pu * f0_hz = {span} Hz, or the unit never responds"
        )


@dataclass(frozen=True, kw_only=True)
class Service:
    """A published frequency service: how much of the contract at which deviation, how fast, for how long.

    Parameters
    ----------
    name : str
        As its operator calls it.
    deviation_hz : tuple
        Deviations in ascending order; the first is the edge of the deadband. Two equal values make a step. [Hz]
    fraction : tuple
        Share of the contracted power at each, from 0, never falling, at most 1. [-]
    start_s : float
        Response must have begun after this. [s]
    full_s : float
        The demanded response must be complete after this. [s]
    duration_s : float
        It must then be held this long. [s]
    symmetric : bool
        Responds to high frequency too (with the opposite sign).
    source : str
        Where the numbers were read, or "from memory".
    """

    name: str
    deviation_hz: tuple
    fraction: tuple
    start_s: float
    full_s: float
    duration_s: float
    symmetric: bool = True
    source: str = ""

    def __post_init__(self):
        dev = np.atleast_1d(checked("deviation_hz", self.deviation_hz, "Hz", ge=0))
        share = np.atleast_1d(checked("fraction", self.fraction, ge=0, le=1))
        if dev.shape != share.shape or len(dev) < 2:
            raise ValueError(
                f"deviation_hz has {len(dev)} points and fraction {len(share)}; they must have the same number, at least 2"
            )
        if (np.diff(dev) < 0).any() or (np.diff(share) < 0).any():
            raise ValueError(
                f"deviation_hz = {self.deviation_hz} and fraction = {self.fraction} must rise from point to point"
            )
        if share[0] > 0 or (self.symmetric and share[dev == 0].any()):
            raise ValueError(
                f"fraction = {self.fraction} at deviation_hz = {self.deviation_hz}; it must begin at 0, and nothing can be due at 0 Hz on both sides"
            )
        for name in ("start_s", "full_s", "duration_s"):
            checked(name, getattr(self, name), "s", ge=0)

    def points(self):
        """The whole curve as two lists: deviation f - f0 ascending [Hz], and share of the contract (+ = inject) [-]."""
        low = [-d for d in reversed(self.deviation_hz)], list(reversed(self.fraction))
        if not self.symmetric:
            return low
        return low[0] + list(self.deviation_hz), low[1] + [-s for s in self.fraction]


def service_power(f_hz, service, contract_mw, *, f0_hz):
    """Power that `service` demands at a steady frequency.

    Parameters
    ----------
    f_hz : float or array
        Measured frequency. [Hz]
    service : Service
        The curve.
    contract_mw : float or array
        Contracted power. [MW]
    f0_hz : float
        Nominal frequency. [Hz]

    Returns
    -------
    float or array
        Positive = inject (frequency is low). [MW]

    Raises
    ------
    ValueError
        If `contract_mw` is negative or a frequency is not positive.
    """
    df = checked("f_hz", f_hz, "Hz", gt=0) - checked("f0_hz", f0_hz, "Hz", gt=0)
    df = np.round(df, 9)  # 49.8 - 50 must not fall beside the point at -0.2
    share = -np.sign(df) * np.interp(np.abs(df), service.deviation_hz, service.fraction)
    share = share if service.symmetric else np.maximum(share, 0.0)
    p_mw = share * checked("contract_mw", contract_mw, "MW", ge=0)
    return float(p_mw) if np.ndim(p_mw) == 0 else p_mw


def in_time(end_to_end_s, service):
    """True where a response complete after `end_to_end_s` seconds meets the service's time to full delivery."""
    return checked("end_to_end_s", end_to_end_s, "s", ge=0) <= service.full_s


@dataclass(frozen=True, kw_only=True)
class Ufls:
    """Under-frequency load shedding: relays that cut feeders, stage by stage.

    `f_hz`: thresholds, falling [Hz]. `shed`: share of the load cut by each stage [-]. `delay_s`: frequency must stay below the
    threshold this long (relay and breaker) [s].
    """

    f_hz: tuple
    shed: tuple
    delay_s: float

    def __post_init__(self):
        f_hz = np.atleast_1d(checked("f_hz", self.f_hz, "Hz", gt=0))
        shed = np.atleast_1d(checked("shed", self.shed, gt=0, le=1))
        checked("delay_s", self.delay_s, "s", ge=0)
        if f_hz.shape != shed.shape:
            raise ValueError(
                f"f_hz has {len(f_hz)} stages and shed {len(shed)}; give one share for each threshold"
            )
        if (np.diff(f_hz) >= 0).any():
            raise ValueError(f"f_hz = {self.f_hz} must fall from stage to stage")
        if shed.sum() > 1 + 1e-9:
            raise ValueError(
                f"shed adds up to {shed.sum():g}; all stages together cannot cut more than 1 (the whole load)"
            )


def shed_at(f_min_hz, ufls):
    """Share of the load cut once frequency has stayed at `f_min_hz` (float or array, Hz) long enough for every stage it reached."""
    f_min_hz = checked("f_min_hz", f_min_hz, "Hz", gt=0)
    reached = np.asarray(f_min_hz)[..., None] <= np.asarray(ufls.f_hz)
    share = (reached * np.asarray(ufls.shed)).sum(-1)
    return float(share) if share.ndim == 0 else share


def shed_relief(shed, load_mw, export_mw):
    r"""Net relief when a share of the feeders, with the cars exporting on them, is cut off.

    .. math:: \Delta P_{net} = s\,(P_L - P_{EV})            (1.14)

    Parameters
    ----------
    shed : float or array
        Share of feeders disconnected, 0..1. [-]
    load_mw : float or array
        Consumption of all feeders, without their cars. [MW]
    export_mw : float or array
        What the cars on all feeders export. [MW]

    Returns
    -------
    float or array
        Negative when shedding makes things worse. [MW]
    """
    shed = checked("shed", shed, ge=0, le=1)
    return shed * (
        checked("load_mw", load_mw, "MW", ge=0) - checked("export_mw", export_mw, "MW")
    )  # eq. (1.14)


def measured_rocof(f_hz, *, dt_s, window_s):
    """Slope of a frequency trace over a sliding window, as relays and system operators measure it.

    Parameters
    ----------
    f_hz : array, shape (samples, ...)
        Frequency at equal steps. [Hz]
    dt_s, window_s : float
        Time step and window; the window must hold at least one step and no more than the trace. [s]

    Returns
    -------
    array, shape (samples - window_s / dt_s, ...)
        (f(t + window) - f(t)) / window. [Hz/s]

    Raises
    ------
    ValueError
        If the window is shorter than a step or longer than the trace.
    """
    f_hz = np.asarray(checked("f_hz", f_hz, "Hz", gt=0))
    n = round(checked("window_s", window_s, "s", gt=0) / checked("dt_s", dt_s, "s", gt=0))
    if f_hz.ndim == 0 or not 1 <= n < len(f_hz):
        raise ValueError(
            f"window_s is {window_s:g} s; it must lie between one step ({dt_s:g} s) and the length of the trace"
        )
    return (f_hz[n:] - f_hz[:-n]) / (n * dt_s)


# --------------------------------------------------------------------------------------- the simulator's parts


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A synchronous area as one rotor: nominal frequency, energy in its rotors [MW s], load [MW] and load damping [-]."""

    f0_hz: float
    kinetic_energy_mws: float
    load_mw: float
    damping_pu: float

    def __post_init__(self):
        checked("f0_hz", self.f0_hz, "Hz", gt=0)
        checked("kinetic_energy_mws", self.kinetic_energy_mws, "MW s", gt=0)
        checked("load_mw", self.load_mw, "MW", gt=0)
        checked("damping_pu", self.damping_pu, ge=0)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Generation that trips (p_mw > 0) or load that trips (p_mw < 0) at `t_s`, with the kinetic energy it takes along."""

    t_s: float = 0.0
    p_mw: float
    kinetic_energy_mws: float = 0.0

    def __post_init__(self):
        checked("t_s", self.t_s, "s", ge=0)
        checked("p_mw", self.p_mw, "MW")
        checked("kinetic_energy_mws", self.kinetic_energy_mws, "MW s", ge=0)


@dataclass(frozen=True, kw_only=True)
class Governor:
    """Governor and turbine (structure of TGOV1): droop with deadband, valve lag with limits, lead-lag turbine.

    `rating_mw`, `droop_pu` on that rating, `deadband_hz`; `headroom_mw` up and `footroom_mw` down; valve lag `t_valve_s`;
    turbine (1 + t_lead_s s) / (1 + t_lag_s s): a reheat turbine has t_lead_s = f_h * t_lag_s, a plain lag t_lead_s = 0.
    """

    name: str = "governor"
    rating_mw: float
    droop_pu: float
    deadband_hz: float = 0.0
    headroom_mw: float = float("inf")
    footroom_mw: float = float("inf")
    t_valve_s: float
    t_lead_s: float
    t_lag_s: float

    def __post_init__(self):
        checked("rating_mw", self.rating_mw, "MW", ge=0)
        checked("droop_pu", self.droop_pu, "pu", gt=0)
        checked("deadband_hz", self.deadband_hz, "Hz", ge=0)
        for name in ("headroom_mw", "footroom_mw"):
            checked(name, getattr(self, name), "MW", ge=0, finite=False)
        for name in ("t_valve_s", "t_lead_s"):
            checked(name, getattr(self, name), "s", ge=0)
        checked("t_lag_s", self.t_lag_s, "s", gt=0)


@dataclass(frozen=True, kw_only=True)
class EvFleet:
    """Cars that answer local frequency: dead time, curve, saturation, ramp, and only so much energy.

    `p_up_mw` and `p_down_mw`: most power to and from the grid; `service`: the curve they follow; `delay_s`: measuring and
    deciding; `ramp_s`: time from nothing to full power (the larger of the two); `energy_mwh` they may give and `headroom_mwh` they may take, at the
    grid connection. `on_feeder`: they stand on ordinary feeders and go dark with them when load is shed.
    """

    name: str = "ev_fleet"
    p_up_mw: float
    p_down_mw: float
    service: Service
    delay_s: float
    ramp_s: float
    energy_mwh: float = float("inf")
    headroom_mwh: float = float("inf")
    on_feeder: bool = True

    def __post_init__(self):
        for name in ("p_up_mw", "p_down_mw"):
            checked(name, getattr(self, name), "MW", ge=0)
        for name in ("delay_s", "ramp_s"):
            checked(name, getattr(self, name), "s", ge=0)
        for name in ("energy_mwh", "headroom_mwh"):
            checked(name, getattr(self, name), "MWh", ge=0, finite=False)


# ------------------------------------------------------------------------------------------------ the simulator


class _Floats:
    """The few operations of the time step on Python floats (one scenario: quick, no array overhead)."""

    @staticmethod
    def clip(x, low, high):
        return low if x < low else high if x > high else x

    @staticmethod
    def curve(xs, ys):
        slopes = [
            (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
            for x0, x1, y0, y1 in zip(xs, xs[1:], ys, ys[1:])
        ] + [0.0]
        first = ys[0]

        def at(x):
            i = bisect_right(xs, x) - 1
            return ys[i] + slopes[i] * (x - xs[i]) if i >= 0 else first

        return at


class _Arrays:
    """The same operations on arrays with one entry a scenario."""

    @staticmethod
    def clip(x, low, high):
        return np.minimum(np.maximum(x, low), high)

    @staticmethod
    def curve(xs, ys):
        return lambda x: np.interp(x, xs, ys)


def _lag(tau_s, dt_s):
    """Weights (old state, old input, new input) of a first-order lag, exact for an input that runs straight over the step."""
    h = dt_s / np.maximum(tau_s, 1e-9)
    decay = np.exp(-h)
    weights = decay, (1 - decay) / h - decay, 1 - (1 - decay) / h
    return tuple(float(w) if np.ndim(w) == 0 else w for w in weights)


def _governor_power(gov, grid, dt_s, ops, past):
    r"""Step function of a governor-turbine.

    .. math:: T_g \dot v = -\frac{P_r}{R f_0} \Delta f_{db} - v,\quad T_2 \dot x = v - x,\quad
              p = x + \frac{T_1}{T_2}(v - x)            (1.12)
    """
    _check_deadband(gov.deadband_hz, gov.droop_pu, grid.f0_hz)
    clip, band, high, low = ops.clip, gov.deadband_hz, gov.headroom_mw, -gov.footroom_mw
    gain = -gov.rating_mw / (gov.droop_pu * grid.f0_hz)
    keep_v, old_v, new_v = _lag(gov.t_valve_s, dt_s)
    keep_x, old_x, new_x = _lag(gov.t_lag_s, dt_s)
    lead = gov.t_lead_s / gov.t_lag_s
    demand = valve = x = 0.0

    def power(n, df, shed):
        nonlocal demand, valve, x
        wanted = gain * (df - clip(df, -band, band))
        v = clip(
            keep_v * valve + old_v * demand + new_v * wanted, low, high
        )  # the valve stops at its limits: no windup
        x = keep_x * x + old_x * valve + new_x * v
        demand, valve = wanted, v
        return x + lead * (v - x)  # eq. (1.12)

    return power


def _ev_power(fleet, grid, dt_s, ops, past):
    r"""Step function of an EV fleet: the curve at the delayed frequency, slowed by the ramp, bounded by the energy.

    .. math:: |\dot p| \le \frac{P_{EV}}{T_{ramp}},\quad p \to P_{EV}\,c\big(\Delta f(t - t_d)\big),\quad
              -E_{down} \le \int p\,dt \le E_{up}            (1.13)
    """
    clip, curve = ops.clip, ops.curve(*fleet.service.points())
    up, down = fleet.p_up_mw, fleet.p_down_mw
    seen = past(fleet.delay_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.where(
            np.asarray(fleet.ramp_s) > 0,
            np.maximum(up, down) * dt_s / np.asarray(fleet.ramp_s),
            np.inf,
        )
    step = float(step) if step.ndim == 0 else step
    most, least = fleet.energy_mwh * 3600.0 / dt_s, -fleet.headroom_mwh * 3600.0 / dt_s
    p = given = 0.0

    def power(n, df, shed):
        nonlocal p, given
        share = curve(seen(n))
        wanted = clip(share * up, 0.0, up) + clip(share * down, -down, 0.0)
        p = clip(clip(wanted, p - step, p + step), least - given, most - given)  # eq. (1.13)
        given = given + p
        return p * (1.0 - shed) if fleet.on_feeder else p

    return power


_STEP_FUNCTIONS = {Governor: _governor_power, EvFleet: _ev_power}


def _shedder(ufls, grid, dt_s, count):
    """UFLS relays: an update for each step, from the old and new deviation to the share shed by now, its mean over the next step,
    and the threshold of the next stage that has not tripped.

    Crossings and trips are placed inside their steps, so that the timing of the relays does not hang on dt.
    """
    thresholds = np.atleast_1d(ufls.f_hz)[:, None] - grid.f0_hz
    shares = np.atleast_1d(ufls.shed)[:, None]
    waited = np.zeros((len(thresholds), count or 1))
    tripped = np.zeros((len(thresholds), count or 1), dtype=bool)

    def update(old, new):
        low, fallen = new < thresholds, np.maximum(old - new, 1e-12)
        waited[:] = np.where(
            low,
            np.where(
                waited > 0, waited + dt_s, dt_s * np.minimum((thresholds - new) / fallen, 1.0)
            ),
            0.0,
        )
        part = np.where(
            low, np.maximum((waited - ufls.delay_s) / dt_s + 1.0, 0.0), 0.0
        )  # of the next step, in which it is open
        trips = ~tripped & (part > 1e-9)
        now = (shares * (tripped | trips & (part >= 1.0))).sum(0)
        mean = (shares * np.where(trips, part, tripped)).sum(0)
        tripped[:] |= trips
        waiting = np.where(tripped, -np.inf, thresholds).max(0)
        return (now, mean, waiting) if count else (float(now[0]), float(mean[0]), float(waiting[0]))

    return update


def _disturbance(grid, losses, t, dt_s, count):
    """Power lost on average over each step [MW], and the frequency that 1 MW moves in a step with the energy that is left [Hz/MW]."""
    shape = (len(t) - 1, count) if count else (len(t) - 1,)
    lost, energy = (
        np.zeros(shape),
        np.broadcast_to(np.asarray(grid.kinetic_energy_mws, float), shape).copy(),
    )
    for loss in losses:
        during = np.clip((t[1:, None] - np.atleast_1d(loss.t_s)) / dt_s, 0.0, 1.0)
        during = during if count else during[:, 0]
        lost += during * loss.p_mw
        energy -= during * loss.kinetic_energy_mws
    if (energy <= 0).any():
        raise ValueError(
            f"kinetic_energy_mws of the losses adds up to more than the grid's {grid.kinetic_energy_mws} MW s; something must keep turning"
        )
    swing = grid.f0_hz * dt_s / (2.0 * energy)
    return (lost, swing) if count else (lost.tolist(), swing.tolist())


def _looking_back(history, pad, delay_s, dt_s, count):
    """A function of the step n: the deviation `delay_s` ago, from a history that begins `pad` steps before n = 0."""
    back = np.floor(np.asarray(delay_s) / dt_s + 1e-9).astype(int)
    late = np.clip(np.asarray(delay_s) / dt_s - back, 0.0, 1.0)
    if np.ndim(delay_s) == 0:
        back, late = pad - int(back), float(late)
        return lambda n: (1.0 - late) * history[n + back] + late * history[n + back - 1]
    columns = np.arange(count)
    return lambda n: (
        (1.0 - late) * history[n + pad - back, columns]
        + late * history[n + pad - back - 1, columns]
    )


def _integrate(grid, losses, resources, ufls, t_end_s, dt_s, count):
    """March the swing equation on floats (`count` None), or on arrays with one entry for each of `count` scenarios.

    Two-step Adams-Bashforth for what answers frequency, exact integration of the losses, exact lags inside the resources:
    second order in dt with a single evaluation a step.
    """
    steps = round(t_end_s / dt_s)
    t = np.arange(steps + 1) * dt_s
    lost, swing = _disturbance(grid, losses, t, dt_s, count)
    pad = 2 + int(
        np.ceil(
            max((np.max(r.delay_s) for r in resources if isinstance(r, EvFleet)), default=0.0)
            / dt_s
        )
    )
    history = np.zeros((pad + steps + 1, count)) if count else [0.0] * (pad + steps + 1)
    ops, past = (
        _Arrays if count else _Floats,
        lambda delay_s: _looking_back(history, pad, delay_s, dt_s, count),
    )
    powers = [_STEP_FUNCTIONS[type(r)](r, grid, dt_s, ops, past) for r in resources]
    delivered = [[] for _ in resources]
    relays = _shedder(ufls, grid, dt_s, count) if ufls else None
    first, was_low = float(np.max(ufls.f_hz)) - grid.f0_hz if ufls else -np.inf, False
    load, damping = grid.load_mw, grid.damping_pu * grid.load_mw / grid.f0_hz
    df = shed = cut = before = np.zeros(count) if count else 0.0
    sheds = [shed]
    for n in range(steps):
        answer = -damping * (1.0 - shed) * df
        for power, record in zip(powers, delivered):
            p = power(n, df, shed)
            record.append(p)
            answer = answer + p
        old, df = (
            df,
            df + swing[n] * (1.5 * answer - 0.5 * before + cut * load - lost[n]),
        )  # eq. (1.1)
        history[pad + n + 1], before = df, answer
        low = relays and ((df < first).any() if count else df < first)
        if low or was_low:  # also on the first step back above: that resets the timers
            shed, cut, first = relays(old, df)
        was_low = low
        sheds.append(shed)
    for power, record in zip(powers, delivered):
        record.append(power(steps, df, shed))
    return t, np.asarray(history[pad:]), [np.asarray(d) for d in delivered], np.asarray(sheds)


def _checked_run(grid, losses, resources, ufls, t_end_s, dt_s):
    """Refuse what cannot be simulated; return the number of scenarios (None: all parameters are single numbers)."""
    checked("dt_s", dt_s, "s", gt=0)
    checked("t_end_s", t_end_s, "s", ge=dt_s)
    if (
        not isinstance(losses, (list, tuple))
        or not all(isinstance(loss, Loss) for loss in losses)
        or not losses
    ):
        raise ValueError(
            f"losses is {losses!r}; it must be a list with at least one Loss: [Loss(p_mw=...)]"
        )
    if not isinstance(resources, (list, tuple)) or any(
        type(r) not in _STEP_FUNCTIONS for r in resources
    ):
        raise ValueError(
            f"resources is {resources!r}; it must be a list of Governor and EvFleet: [Governor(...)]"
        )
    names = [r.name for r in resources]
    if len(set(names)) < len(names):
        raise ValueError(f"resources are called {names}; each needs a name of its own")
    if np.any(sum(np.asarray(loss.p_mw, float) for loss in losses) > np.asarray(grid.load_mw)):
        raise ValueError(
            f"losses add up to more than load_mw = {grid.load_mw} MW; a system cannot lose more generation than it uses"
        )
    fields = [
        v
        for part in (grid, *losses, *resources)
        for v in vars(part).values()
        if not isinstance(v, (str, Service))
    ]
    shapes = [np.shape(v) for v in fields]
    if any(len(s) > 1 for s in shapes):
        raise ValueError(
            "scenario parameters must be single numbers or one-dimensional arrays, one entry a scenario"
        )
    counts = {s[0] for s in shapes if s}
    if len(counts) > 1:
        raise ValueError(
            f"arrays of different lengths {sorted(counts)}: every array needs one entry for each scenario"
        )
    stiffness = sum(
        np.asarray(r.rating_mw) / (np.asarray(r.droop_pu) * grid.f0_hz) * r.t_lead_s / r.t_lag_s
        for r in resources
        if isinstance(r, Governor) and np.all(np.asarray(r.t_valve_s) < dt_s)
    )
    left = grid.kinetic_energy_mws - sum(np.asarray(loss.kinetic_energy_mws) for loss in losses)
    if np.any(np.asarray(stiffness) * grid.f0_hz * dt_s / (2 * np.maximum(left, 1e-9)) > 0.5):
        raise ValueError(
            f"dt_s is {dt_s:g} s, too long for such a stiff response on so little inertia; halve it"
        )
    return counts.pop() if counts else None


def simulate(grid, losses, resources=(), ufls=None, *, t_end_s=20.0, dt_s=0.02):
    r"""One run: frequency and powers after a sequence of losses.

    .. math:: \frac{2 E_k}{f_0}\frac{d\Delta f}{dt} = \sum_i p_i - \Delta P + s P_L - \frac{D P_L (1-s)}{f_0}\Delta f            (1.1)

    Parameters
    ----------
    grid : Grid
        The synchronous area, all values single numbers (arrays go to `sweep`).
    losses : list of Loss
        What trips, in any order.
    resources : list of Governor and EvFleet
        Who answers; each with a name of its own.
    ufls : Ufls, optional
        Load shedding relays.
    t_end_s, dt_s : float
        Length of the run and time step. [s]

    Returns
    -------
    DataFrame, index t_s
        `f_hz`; `p_<name>_mw` for every resource (+ = into the grid); `p_damping_mw` (load that frequency took away);
        `shed_mw` (load cut by relays); `lost_mw` (generation lost so far).

    Raises
    ------
    ValueError
        In words, for anything that cannot be simulated.

    Notes
    -----
    Second order in `dt_s`: halving the step quarters the error (tested). Relay trips fall on whole steps.
    """
    if _checked_run(grid, losses, resources, ufls, t_end_s, dt_s):
        raise ValueError(
            "simulate takes single numbers; for arrays of scenarios call sweep with the same arguments"
        )
    t, df, delivered, shed = _integrate(grid, losses, resources, ufls, t_end_s, dt_s, None)
    columns = {"f_hz": grid.f0_hz + df}
    columns |= {f"p_{resource.name}_mw": p for resource, p in zip(resources, delivered)}
    columns["p_damping_mw"] = -grid.damping_pu * grid.load_mw / grid.f0_hz * (1 - shed) * df
    columns["shed_mw"] = shed * grid.load_mw
    columns["lost_mw"] = sum(np.where(t >= loss.t_s, loss.p_mw, 0.0) for loss in losses)
    return pd.DataFrame(columns, index=pd.Index(t, name="t_s"))


def sweep(grid, losses, resources=(), ufls=None, *, t_end_s=20.0, dt_s=0.02):
    """Many runs at once: any parameter of `grid`, `losses` or `resources` may be an array with one entry a scenario.

    Parameters
    ----------
    grid, losses, resources, ufls, t_end_s, dt_s
        As in `simulate`; arrays of shape (scenarios,), single numbers hold for all.

    Returns
    -------
    DataFrame, one row a scenario
        `f_min_hz`, `t_min_s`, `f_max_hz`, `f_end_hz`, `rocof_hz_per_s` (steepest slope over 0.5 s, with its sign),
        `shed_mw` (at the end), `peak_<name>_mw` for every resource.

    Raises
    ------
    ValueError
        As `simulate`, and if arrays differ in length.
    """
    count = _checked_run(grid, losses, resources, ufls, t_end_s, dt_s) or 1
    t, df, delivered, shed = _integrate(grid, losses, resources, ufls, t_end_s, dt_s, count)
    window = max(1, min(round(0.5 / dt_s), len(t) - 1))
    slope = (df[window:] - df[:-window]) / (window * dt_s)
    steepest = np.abs(slope).argmax(0)
    table = pd.DataFrame(
        {
            "f_min_hz": grid.f0_hz + df.min(0),
            "t_min_s": t[df.argmin(0)],
            "f_max_hz": grid.f0_hz + df.max(0),
            "f_end_hz": grid.f0_hz + df[-1],
            "rocof_hz_per_s": slope[steepest, np.arange(count)],
            "shed_mw": shed[-1] * grid.load_mw,
        }
    )
    for resource, p in zip(resources, delivered):
        table[f"peak_{resource.name}_mw"] = p.max(0)
    return table


# --------------------------------------------------------------------------------------------------- real events


@dataclass(frozen=True, kw_only=True)
class Event:
    """A real event, ready to replay: `simulate(e.grid, e.losses, e.resources, e.ufls, ...)`; `observed` is what was measured."""

    name: str
    grid: Grid
    losses: tuple
    resources: tuple
    ufls: Ufls | None
    observed: pd.DataFrame
    sources: dict


def event(name):
    """Load a real event by its file name in `v2gbook/data/events`, for example "gb-2019-08-09".

    Raises
    ------
    ValueError
        If there is no such event; the message lists those there are.
    """
    folder = Path(__file__).parent / "data" / "events"
    path = folder / f"{name}.toml"
    known = sorted(p.stem for p in folder.glob("*.toml"))
    if name not in known:
        raise ValueError(f"there is no event {name!r}; known events are {', '.join(known)}")
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    return Event(
        name=raw["name"],
        grid=Grid(**raw["grid"]),
        losses=tuple(Loss(**loss) for loss in raw["losses"]),
        resources=tuple(Governor(**g) for g in raw.get("governors", [])),
        ufls=Ufls(**raw["ufls"]) if "ufls" in raw else None,
        observed=pd.DataFrame(raw["observed"]).set_index("t_s"),
        sources=raw["sources"],
    )
