r"""Topic 07, inverter: converters that follow the grid's voltage, and converters that form it.

A grid-following converter (`GridFollowing`) measures the angle of the grid's voltage
with a phase-locked loop (`Pll`, `track`) and feeds in a current at this angle. A grid-forming
converter (`GridForming`) keeps a voltage of its own, and its frequency falls as its
power rises. Closed forms say how each of them responds. `simulate` puts one behind a line at an
infinite bus or beside a synchronous machine, `eigenvalues` tells whether its operating point is
stable, and `microgrid` leaves grid-forming ones alone with a load.

`dc_link` tells what the battery behind a converter must deliver.

All models are averaged over the switching, and the three phases are balanced. The line of a
grid-following converter is dynamic and its current control is one lag: the model holds from about a
millisecond to some seconds. The line of a grid-forming one is a phasor: this model holds for
whatever is slower than a cycle or two. Inner voltage control, delays of sampling, transformers,
resistance of the line, harmonics, unbalance and all protection are left out.

Per unit means per rating of the converter. p > 0 flows from the vehicle to the grid, q > 0 is
injected. A jump of the angle or a rate of change of frequency above 0 moves the grid forward.
"""

import cmath
import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.integrate import ODEintWarning, odeint
from scipy.optimize import fsolve

from . import frequency
from ._check import (
    FloatOrArray,
    checked,
    first_of,
    flag,
    fraction,
    instance,
    instances,
    keep,
    keep_single,
    one,
    one_fraction,
    one_of,
    plain,
    row,
    steps,
    together,
    whole,
)

_TURN = 2 * math.pi
_SOGI_GAIN = math.sqrt(2)  # quadrature filter: damping 1/sqrt(2)
_PLL_RANGE_PU = 0.5  # a PLL reports at most this far from f0 (EPRI's generic model: 0.5 to 1.5)
_SOFT_STOP = 1e-4  # share of its rating within which a valve stops: no solver passes a dead stop
_LEAST_V_PU = 0.05  # a current command of p/v is not computed with less

# Beyond these limits a number is a slip of the pen, and its products would overflow.
_LEAST = 1e-9
_MOST = 1e9
_ABOVE_0: dict[str, Any] = dict(gt=0, ge=_LEAST, le=_MOST)
_FROM_0: dict[str, Any] = dict(ge=0, le=_MOST)
_SIGNED: dict[str, Any] = dict(ge=-_MOST, le=_MOST)
_ABOVE_0_OR_INFINITE: dict[str, Any] = dict(gt=0, ge=_LEAST, finite=False)
_JUMP: dict[str, Any] = dict(ge=-180, le=180)
_VOLTAGE: dict[str, Any] = dict(gt=0, ge=_LEAST, le=10)
_LONGEST_S = 3600.0  # of a run: the models hold for some seconds
_MOST_ROWS = 1_000_000  # of a run


class _Floats:
    """Operations of the models on Python floats, for the solver: it asks for one instant."""

    sin = math.sin
    cos = math.cos
    hypot = math.hypot
    sqrt = math.sqrt

    @staticmethod
    def cis(angle):
        return cmath.rect(1.0, angle)

    @staticmethod
    def clip(x, low, high):
        if x < low:
            return low
        if x > high:
            return high
        return x


class _Arrays:
    """The same operations on arrays, for the rows of a whole run."""

    sin = np.sin
    cos = np.cos
    hypot = np.hypot
    sqrt = np.sqrt
    clip = np.clip

    @staticmethod
    def cis(angle):
        return np.exp(1j * angle)


def _checked_f0(f0_hz, machine=None):
    f0 = one("f0_hz", f0_hz, "Hz", gt=0, ge=1, le=1000)
    if machine is None:
        return f0
    instance("machine", machine, Machine)
    if machine.grid.f0_hz != f0:
        raise ValueError(
            f"f0_hz is {f0:g} Hz, but that of the machine's grid is {machine.grid.f0_hz:g} Hz"
        )
    return f0


def _checked_droop(droop_pu):
    return fraction("droop_pu", droop_pu, gt=0, ge=_LEAST)


def _checked_step(dt_s):
    return one("dt_s", dt_s, "s", gt=0, ge=_LEAST, le=_LONGEST_S)


def _count_steps(t_end_s, dt):
    """Number of steps of a run."""
    end = one("t_end_s", t_end_s, "s", gt=0, le=_LONGEST_S)
    if end < dt:
        raise ValueError(f"t_end_s is {end:g} s, less than one step of dt_s = {dt:g} s")
    return steps("t_end_s", end, dt, most=_MOST_ROWS)


# ------------------------------------------------------------------ what the grid does to it


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """What happens to the grid at one moment.

    Fields that are left alone do not change anything.

    Attributes
    ----------
    t_s : float
        When it happens, at least 0 [s].
    jump_deg : float
        Jump of the angle of the grid's voltage, from -180 to 180; below 0 the angle jumps
        backward, and the frequency seems to dip [degrees].
    rocof_hz_per_s : float
        Rate at which the frequency of an infinite bus moves, from -1000 to 1000 [Hz/s].
    ramp_s : float
        How long it moves, above 0; afterwards it stays where it is [s].
    v_pu : float
        Voltage of the bus, from 0 to 10 [pu].
    dip_s : float
        How long the bus has this voltage, above 0; afterwards it is 1 again [s].
    scr : float or None
        Short-circuit ratio from then on, above 0: a line has tripped [-].
    loss_mw : float
        Generation lost in an area with a machine; a load that is switched on has the same effect,
        and below 0 a load is lost [MW].

    Examples
    --------
    >>> dip = Disturbance(t_s=0.1, jump_deg=-20.0, v_pu=0.5, dip_s=0.15)
    >>> dip.v_pu
    0.5
    """

    t_s: float = 0.1
    jump_deg: float = 0.0
    rocof_hz_per_s: float = 0.0
    ramp_s: float = math.inf
    v_pu: float = 1.0
    dip_s: float = math.inf
    scr: float | None = None
    loss_mw: float = 0.0

    def __post_init__(self):
        keep_single(
            self,
            t_s=dict(unit="s", **_FROM_0),
            jump_deg=dict(unit="degrees", **_JUMP),
            rocof_hz_per_s=dict(unit="Hz/s", ge=-1000, le=1000),
            ramp_s=dict(unit="s", **_ABOVE_0_OR_INFINITE),
            v_pu=dict(unit="pu", ge=0, le=10),
            dip_s=dict(unit="s", **_ABOVE_0_OR_INFINITE),
            loss_mw=dict(unit="MW", **_SIGNED),
        )
        if self.scr is not None:
            keep_single(self, scr=_ABOVE_0_OR_INFINITE)


def _bus(disturbance, t_s):
    """Motion of an infinite bus at times t_s.

    Its angle [rad, on top of f0], the deviation of its frequency [Hz], and its voltage [pu].
    """
    after = np.maximum(t_s - disturbance.t_s, 0.0)
    moved = np.minimum(after, disturbance.ramp_s)
    begun = t_s >= disturbance.t_s - 1e-9
    turned = disturbance.rocof_hz_per_s * (moved**2 / 2 + moved * (after - moved))
    jumped = np.where(begun, math.radians(disturbance.jump_deg), 0.0)
    dipped = begun & (t_s < disturbance.t_s + disturbance.dip_s - 1e-9)
    voltage = np.where(dipped, disturbance.v_pu, 1.0)
    return jumped + _TURN * turned, disturbance.rocof_hz_per_s * moved, voltage


def _refuse_standstill(f_grid_hz):
    """Refuse a disturbance after which the grid no longer turns forward."""
    lowest = float(np.min(f_grid_hz))
    if lowest <= 0:
        raise ValueError(
            f"rocof_hz_per_s or loss_mw of the disturbance takes the frequency of the grid to "
            f"{lowest:.4g} Hz; it must stay above 0 Hz"
        )


# ------------------------------------------------------------------- the phase-locked loop


@dataclass(frozen=True, kw_only=True)
class Pll:
    r"""Gains of a phase-locked loop in a rotating frame (SRF-PLL).

    From the frame of the loop, at the angle theta, the grid's voltage has two coordinates.

    .. math:: v_d = V\cos(\theta_g - \theta),\qquad v_q = V\sin(\theta_g - \theta)        (7.2)

    The loop turns this angle faster or slower until v_q vanishes.

    .. math:: \dot\theta = \omega_0 + k_p v_q + k_i\!\int\! v_q\,dt            (7.3)

    Attributes
    ----------
    kp_per_s : float
        Proportional gain k_p, for v_q in per unit, above 0 [1/s].
    ki_per_s2 : float
        Integral gain k_i, for v_q in per unit, above 0 [1/s2].

    Notes
    -----
    v_q is not divided by the voltage: a lower voltage makes the loop slower.

    Examples
    --------
    >>> pll = Pll(kp_per_s=140.0, ki_per_s2=10_000.0)
    >>> pll.wn_rad_per_s, pll.zeta
    (100.0, 0.7)
    """

    kp_per_s: float
    ki_per_s2: float

    def __post_init__(self):
        keep_single(
            self,
            kp_per_s=dict(unit="1/s", **_ABOVE_0),
            ki_per_s2=dict(unit="1/s2", **_ABOVE_0),
        )

    @property
    def wn_rad_per_s(self) -> float:
        """Natural frequency of the loop at a voltage of 1 pu.

        Returns
        -------
        float
            The root of k_i [rad/s].
        """
        return math.sqrt(self.ki_per_s2)

    @property
    def zeta(self) -> float:
        """Damping ratio of the loop at a voltage of 1 pu.

        Returns
        -------
        float
            Below 1 the loop oscillates [-].
        """
        return self.kp_per_s / (2 * self.wn_rad_per_s)


def pll_natural(wn_rad_per_s: float, zeta: float, amplitude: float = 1.0) -> Pll:
    r"""Gains of a phase-locked loop for a natural frequency and a damping ratio.

    .. math:: k_p = \frac{2\zeta\omega_n}{V},\qquad k_i = \frac{\omega_n^2}{V}            (7.4)

    Parameters
    ----------
    wn_rad_per_s : float
        Natural frequency, above 0 [rad/s].
    zeta : float
        Damping ratio, above 0 [-].
    amplitude : float
        Voltage in the unit in which v_q is measured: 1 for per unit, or the peak in volts.

    Returns
    -------
    Pll
        The gains; for an amplitude in volts they are those for v_q in volts.

    Raises
    ------
    ValueError
        If an argument is not above 0, or a gain lies outside of 1e-9 to 1e9.

    References
    ----------
    .. [1] V. Kaura and V. Blasko, "Operation of a phase locked loop system under distorted
       utility conditions", IEEE Trans. Industry Applications 33(1), 1997.
    .. [2] motulator, documentation of the phase-locked loop, Aalto University.

    Examples
    --------
    >>> pll = pll_natural(wn_rad_per_s=100.0, zeta=0.7, amplitude=325.0)
    >>> round(pll.kp_per_s, 4), round(pll.ki_per_s2, 3)
    (0.4308, 30.769)
    """
    wn = one("wn_rad_per_s", wn_rad_per_s, "rad/s", **_ABOVE_0)
    zeta = one("zeta", zeta, **_ABOVE_0)
    v = one("amplitude", amplitude, **_ABOVE_0)
    kp = 2 * zeta * wn / v  # eq. (7.4)
    ki = wn**2 / v
    one("the gain kp of this wn_rad_per_s, zeta and amplitude", kp, "1/s", **_ABOVE_0)
    one("the gain ki of this wn_rad_per_s and amplitude", ki, "1/s2", **_ABOVE_0)
    return Pll(kp_per_s=kp, ki_per_s2=ki)


def pll_gains(settling_s: float, zeta: float, band: float) -> Pll:
    r"""Gains of a phase-locked loop for a settling time.

    After the settling time the envelope of the response to a step has shrunk to `band` of the step.

    .. math:: \omega_n = \frac{1}{\zeta\,t_s}\ln\frac{1}{\varepsilon\sqrt{1-\zeta^2}}        (7.5)

    Parameters
    ----------
    settling_s : float
        Settling time, above 0 [s].
    zeta : float
        Damping ratio, between 0 and 1 [-].
    band : float
        Share of the step that is left, between 0 and 1; 0.05 is 5 % [-].

    Returns
    -------
    Pll
        The gains, for v_q in per unit.

    Raises
    ------
    ValueError
        If zeta is 1 or above: the response has no envelope then. If another argument is outside
        of its limits, or a gain lies outside of 1e-9 to 1e9.

    References
    ----------
    .. [1] Texas Instruments, C2000 Software Phase Locked Loop Library. Its two constants
       follow from 40 ms, a damping ratio of 0.7 and 5 %; its code adds their output to a frequency
       in hertz, so that its own loop is 2 pi times as strong.

    Examples
    --------
    >>> pll = pll_gains(settling_s=0.04, zeta=0.7, band=0.05)
    >>> round(pll.kp_per_s, 2), round(pll.ki_per_s2)
    (166.62, 14164)
    """
    settling = one("settling_s", settling_s, "s", **_ABOVE_0)
    zeta = one("zeta", zeta, gt=0, ge=_LEAST, lt=1)
    band = one_fraction("band", band, gt=0, ge=_LEAST, lt=1)
    wn = math.log(1 / (band * math.sqrt(1 - zeta**2))) / (zeta * settling)  # eq. (7.5)
    one("the wn_rad_per_s of this settling_s, zeta and band", wn, "rad/s", ge=1e-4, le=3e4)
    return pll_natural(wn, zeta)


def loop_filter(pll: Pll, fs_hz: float) -> tuple[float, float]:
    r"""Coefficients of the loop filter in a processor, by the trapezoidal rule.

    .. math:: y_n = y_{n-1} + B_0 v_n + B_1 v_{n-1},\qquad
              B_0 = k_p + \tfrac12 k_i T,\quad B_1 = -(k_p - \tfrac12 k_i T)            (7.15)

    Parameters
    ----------
    pll : Pll
        Gains of the loop.
    fs_hz : float
        Sampling frequency 1/T, above 0 [Hz].

    Returns
    -------
    tuple of two floats
        B0 and B1 [1/s].

    Raises
    ------
    TypeError
        If pll is no `Pll`.
    ValueError
        If fs_hz is not above 0.

    Examples
    --------
    >>> b0, b1 = loop_filter(Pll(kp_per_s=140.0, ki_per_s2=10_000.0), fs_hz=20_000.0)
    >>> b0, b1
    (140.25, -139.75)
    """
    instance("pll", pll, Pll)
    half = pll.ki_per_s2 / one("fs_hz", fs_hz, "Hz", **_ABOVE_0) / 2
    return pll.kp_per_s + half, half - pll.kp_per_s  # eq. (7.15)


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """Response of a phase-locked loop.

    Attributes
    ----------
    error_deg : float or array
        Error of the loop's angle: grid minus loop [degrees].
    df_hz : float or array
        Deviation of frequency that the function which returns it describes [Hz].
    """

    error_deg: FloatOrArray
    df_hz: FloatOrArray

    def __post_init__(self):
        keep(self, error_deg=dict(unit="degrees"), df_hz=dict(unit="Hz"))


def _pll_roots(pll):
    """Roots s1 and s2 of the linear loop. [1/s]"""
    zeta = pll.zeta if abs(pll.zeta - 1) > 1e-6 else 1 + 1e-6
    wn = pll.wn_rad_per_s
    sum_of_both = zeta + cmath.sqrt(zeta**2 - 1)
    return -wn / sum_of_both, -wn * sum_of_both  # their product is wn squared


def jump_answer(t_s: ArrayLike, pll: Pll, jump_deg: ArrayLike) -> Answer:
    r"""Response of the linear loop to a jump of the grid's angle, in every damping regime.

    The loop is linear if the sine of the error is taken as the error itself.

    .. math:: e(t) = \Delta\theta\,\frac{s_1 e^{s_1 t} - s_2 e^{s_2 t}}{s_1 - s_2},\quad
              \Delta f(t) = -\frac{\dot e(t)}{2\pi},\quad
              s_{1,2} = \omega_n\left(-\zeta \pm \sqrt{\zeta^2 - 1}\right)            (7.16)

    Parameters
    ----------
    t_s : float or array
        Time after the jump, at least 0 [s].
    pll : Pll
        Gains of the loop.
    jump_deg : float or array
        Jump of the grid's angle; below 0 it jumps backward [degrees].

    Returns
    -------
    Answer
        Error of the angle, and the deviation of frequency that the loop reports, both in the
        shape that t_s and jump_deg have together.

    Raises
    ------
    TypeError
        If pll is no `Pll`.
    ValueError
        If t_s is negative, or the shapes of t_s and jump_deg do not fit each other.

    Notes
    -----
    At zeta = 1 the roots are pulled apart by one part in a million, too little to be seen.

    Examples
    --------
    >>> pll = pll_gains(settling_s=0.04, zeta=0.7, band=0.05)
    >>> seen = jump_answer(t_s=[0.0, 0.01, 0.04], pll=pll, jump_deg=-20.0)
    >>> seen.df_hz.round(2).tolist()
    [-9.26, -2.72, 0.32]
    """
    t = np.asarray(checked("t_s", t_s, "s", **_FROM_0))
    jump = checked("jump_deg", jump_deg, "degrees", **_SIGNED)
    instance("pll", pll, Pll)
    together(t_s=t, jump_deg=jump)
    s1, s2 = _pll_roots(pll)
    error = (s1 * np.exp(s1 * t) - s2 * np.exp(s2 * t)) / (s1 - s2)  # eq. (7.16)
    slope = (s1**2 * np.exp(s1 * t) - s2**2 * np.exp(s2 * t)) / (s1 - s2)
    return Answer(error_deg=jump * error.real, df_hz=-jump / 360 * slope.real)


def false_frequency(pll: Pll, jump_deg: ArrayLike) -> FloatOrArray:
    r"""Deviation of frequency that a loop reports in the first instant after a jump of the angle.

    .. math:: \Delta f_{false}(0^+) = \frac{k_p\sin\Delta\theta}{2\pi}            (7.6)

    Parameters
    ----------
    pll : Pll
        Gains of the loop.
    jump_deg : float or array
        Jump of the grid's angle, from -180 to 180; below 0 it jumps backward [degrees].

    Returns
    -------
    float or array
        Deviation from the nominal frequency; nothing in the grid moves at this frequency [Hz].

    Raises
    ------
    TypeError
        If pll is no `Pll`.
    ValueError
        If jump_deg lies outside of -180 to 180.

    Examples
    --------
    >>> pll = pll_gains(settling_s=0.04, zeta=0.7, band=0.05)
    >>> round(false_frequency(pll, jump_deg=-20.0), 2)
    -9.07
    """
    instance("pll", pll, Pll)
    jump = np.radians(checked("jump_deg", jump_deg, "degrees", **_JUMP))
    return plain(pll.kp_per_s * np.sin(jump) / _TURN)  # eq. (7.6)


def ramp_answer(pll: Pll, rocof_hz_per_s: ArrayLike) -> Answer:
    r"""Steady errors of a loop while frequency ramps: of its angle, and of its integrator.

    The angle has a constant error, and the integrator alone lags behind. The frequency that the
    whole loop reports (7.3) has no error.

    .. math:: \sin e = \frac{2\pi\dot f}{k_i},\qquad
              \Delta f_{lag} = \frac{k_p}{k_i}\dot f = \frac{2\zeta}{\omega_n}\dot f        (7.17)

    Parameters
    ----------
    pll : Pll
        Gains of the loop.
    rocof_hz_per_s : float or array
        Rate of change of frequency [Hz/s].

    Returns
    -------
    Answer
        Error of the angle; `df_hz` is how far the integrator is behind.

    Raises
    ------
    TypeError
        If pll is no `Pll`.
    ValueError
        If the ramp is as fast as ki / (2 pi) or faster: the loop never catches it.

    Examples
    --------
    >>> pll = pll_gains(settling_s=0.04, zeta=0.7, band=0.05)
    >>> late = ramp_answer(pll, rocof_hz_per_s=1.0)
    >>> round(late.error_deg, 4), round(late.df_hz, 4)
    (0.0254, 0.0118)
    """
    instance("pll", pll, Pll)
    rate = np.asarray(checked("rocof_hz_per_s", rocof_hz_per_s, "Hz/s", **_SIGNED))
    fastest = pll.ki_per_s2 / _TURN
    lost = np.abs(rate) >= fastest
    if np.any(lost):
        (shown,) = first_of(lost, rate)
        raise ValueError(
            f"rocof_hz_per_s is {shown:g} Hz/s. A ramp of ki / (2 pi) = {fastest:.4g} Hz/s or more "
            "is never caught by this loop"
        )
    error = np.degrees(np.arcsin(rate / fastest))  # eq. (7.17)
    return Answer(error_deg=error, df_hz=rate * (pll.kp_per_s / pll.ki_per_s2))


def _refuse_sampled(pll, f0, phases, dt):
    """Refuse gains with which the loop runs away from 1 pu: sampled, or behind a SOGI's lag."""
    b0, b1 = loop_filter(pll, 1 / dt)
    pole = max(np.roots([1.0, dt * b0 - 2.0, 1.0 + dt * b1]), key=abs)
    if abs(pole) >= 1:
        raise ValueError(
            f"the loop is unstable: kp_per_s = {pll.kp_per_s:g} 1/s, sampled every dt_s = {dt:g} "
            f"s, has the pole {pole:.3g}, outside the unit circle"
        )
    if phases == 3:
        return
    lag = 2 / (_SOGI_GAIN * _TURN * f0)
    slow = max(np.roots([lag, 1.0, pll.kp_per_s, pll.ki_per_s2]), key=lambda s: s.real)
    if slow.real >= 0:
        raise ValueError(
            f"the loop is unstable: behind the lag of a SOGI at {f0:g} Hz it has the eigenvalue "
            f"{slow:.3g} 1/s; lower ki_per_s2"
        )


def _sampled_loop(pll, f0, dt, angle, v, detect):
    """Output of the loop filter, its integrator alone [rad/s], and the error [rad], by sample."""
    b0, b1 = loop_filter(pll, 1 / dt)
    y = 0.0
    past = 0.0
    own = 0.0  # angle of the loop, on top of the turning at f0
    rows = []
    for n, (grid, size) in enumerate(zip(angle.tolist(), v.tolist())):
        vq = detect(grid, own, size, _TURN * f0 * n * dt, _TURN * f0 + y)
        y += b0 * vq + b1 * past  # eq. (7.15)
        rows.append((y, y - pll.kp_per_s * vq, grid - own))
        past = vq
        own += dt * y  # eq. (7.3)
    return np.array(rows).T


def _three_phases(grid, own, size, turned, w):
    """v_q of a balanced voltage."""
    return size * math.sin(grid - own)


def _quadrature(f0, dt):
    """v_q of one phase: a SOGI stepped by the trapezoidal rule at the loop's own frequency."""
    start = -_TURN * f0 * dt  # settled on a cosine, one step ago
    x = math.cos(start)
    quad = math.sin(start)
    old = x

    def detect(grid, own, size, turned, w):
        nonlocal x, quad, old
        new = size * math.cos(turned + grid)
        a = w * dt / 2
        right_x = x - a * (_SOGI_GAIN * x + quad) + a * _SOGI_GAIN * (old + new)
        right_y = quad + a * x
        x = (right_x - a * right_y) / (1 + a * _SOGI_GAIN + a * a)  # eq. (7.18)
        quad = right_y + a * x
        old = new
        return quad * math.cos(turned + own) - x * math.sin(turned + own)

    return detect


def track(
    pll: Pll,
    disturbance: Disturbance,
    *,
    f0_hz: float,
    phases: int = 3,
    t_end_s: float = 0.3,
    dt_s: float = 5e-5,
) -> pd.DataFrame:
    r"""Time series of a phase-locked loop on a stiff grid's voltage, sampled as in a processor.

    With one phase a second-order generalised integrator (SOGI) makes the quadrature signal that the
    rotating frame needs.

    .. math:: \dot u = \dot\theta\left(\sqrt2\,(v - u) - w\right),\quad \dot w = \dot\theta\,u,\quad
              v_q = w\cos\theta - u\sin\theta            (7.18)

    Parameters
    ----------
    pll : Pll
        Gains of the loop.
    disturbance : Disturbance
        Its jump, ramp and dip act on the grid.
    f0_hz : float
        Nominal frequency, from 1 to 1000 [Hz].
    phases : int
        Number of phases that the loop measures, 3 or 1.
    t_end_s : float
        Length of the run [s].
    dt_s : float
        Sampling step; 5e-5 s is 20 kHz [s].

    Returns
    -------
    DataFrame
        Index t_s [s]; columns `f_hz` (reported by the loop), `f_slow_hz` (its integrator alone),
        `f_grid_hz` [Hz], and `error_deg` (grid minus loop) [degrees].

    Raises
    ------
    TypeError
        If pll is no `Pll`, or disturbance is no `Disturbance`.
    ValueError
        If the loop is unstable at 1 pu (the message names its pole), if the disturbance has an
        scr or a loss_mw or takes the frequency of the grid to 0, or if another argument lies
        outside of its limits.

    References
    ----------
    .. [1] M. Ciobotaru, R. Teodorescu, F. Blaabjerg, "A new single-phase PLL structure based on
       second order generalized integrator", PESC 2006.

    Examples
    --------
    >>> pll = pll_gains(settling_s=0.04, zeta=0.7, band=0.05)
    >>> jump = Disturbance(t_s=0.01, jump_deg=-20.0)
    >>> run = track(pll, jump, f0_hz=60.0, phases=3, t_end_s=0.1, dt_s=1e-4)
    >>> round(float(run.f_hz.min()), 2)
    50.89
    """
    instance("pll", pll, Pll)
    instance("disturbance", disturbance, Disturbance)
    f0 = _checked_f0(f0_hz)
    dt = _checked_step(dt_s)
    t = np.arange(_count_steps(t_end_s, dt) + 1) * dt
    one_of("phases", whole("phases", phases), (1, 3))
    if disturbance.scr is not None or disturbance.loss_mw:
        raise ValueError(
            "track runs on a stiff grid; scr and loss_mw of the disturbance belong to simulate"
        )
    _refuse_sampled(pll, f0, phases, dt)
    angle, df, v = _bus(disturbance, t)
    _refuse_standstill(f0 + df)
    detect = _quadrature(f0, dt) if phases == 1 else _three_phases
    y, slow, error = _sampled_loop(pll, f0, dt, angle, v, detect)
    columns = {
        "f_hz": f0 + y / _TURN,
        "f_slow_hz": f0 + slow / _TURN,
        "f_grid_hz": f0 + df,
        "error_deg": np.degrees(error),
    }
    return pd.DataFrame(columns, index=pd.Index(t, name="t_s"))


# -------------------------------------------------------------------- how strong is the grid


def _line_pu(scr):
    r"""Reactance of the line on the converter's rating; 0 for an infinite ratio. [pu]

    .. math:: SCR = \frac{S_{sc}}{S_r} = \frac{1}{X_g}            (7.7)
    """
    return 1 / checked("scr", scr, **_ABOVE_0_OR_INFINITE)  # eq. (7.7)


def _one_line_pu(scr):
    return _line_pu(one("scr", scr, finite=False))


def transfer_limit(scr: ArrayLike, support: bool = False) -> FloatOrArray:
    r"""Largest power that a converter can send through its line.

    .. math:: P_{max} = \frac{SCR}{2}\ \text{at unity power factor},\qquad
              P_{max} = SCR\ \text{with the voltage held}            (7.20)

    Parameters
    ----------
    scr : float or array
        Short-circuit ratio of the line on the converter's rating, above 0 [-].
    support : bool
        True if the converter holds its voltage at 1 pu, False for unity power factor.

    Returns
    -------
    float or array
        A static limit, for a line without resistance and a bus at 1 pu [pu].

    Raises
    ------
    TypeError
        If support is neither True nor False.
    ValueError
        If scr is not above 0.

    Notes
    -----
    A grid is called strong above a ratio of 3, weak from 2 to 3, and very weak below 2 [1]_.

    References
    ----------
    .. [1] IEEE Std 1204-1997, Guide for Planning DC Links Terminating at AC Locations Having Low
       Short-Circuit Capacities.

    Examples
    --------
    >>> transfer_limit(scr=3.0, support=False), transfer_limit(scr=3.0, support=True)
    (1.5, 3.0)
    """
    ratio = checked("scr", scr, **_ABOVE_0_OR_INFINITE)
    flag("support", support)
    return ratio if support else ratio / 2  # eq. (7.20)


def terminal_voltage(p_pu: ArrayLike, scr: ArrayLike) -> FloatOrArray:
    r"""Voltage at a converter of unity power factor behind a line.

    It is the upper root of the following equation.

    .. math:: V_t^4 - V_t^2 + X_g^2 P^2 = 0            (7.19)

    Parameters
    ----------
    p_pu : float or array
        Power of the converter [pu].
    scr : float or array
        Short-circuit ratio of the line on the converter's rating, above 0 [-].

    Returns
    -------
    float or array
        Voltage at the converter's end of the line, in the shape that both arguments have
        together [pu].

    Raises
    ------
    ValueError
        If the line cannot carry so much power, or the shapes do not fit each other.

    Examples
    --------
    >>> round(terminal_voltage(p_pu=1.0, scr=3.0), 3)
    0.934
    """
    p = checked("p_pu", p_pu, "pu", **_SIGNED)
    x = _line_pu(scr)
    together(p_pu=p, scr=x)
    room = np.asarray(1 - 4 * np.square(np.multiply(x, p)))
    if np.any(room < 0):
        shown_p, shown_x = first_of(room < 0, p, x)
        raise ValueError(
            f"p_pu is {shown_p:g}; at unity power factor and scr = {1 / shown_x:g} "
            f"the line carries at most {0.5 / shown_x:g}"
        )
    return plain(np.sqrt((1 + np.sqrt(room)) / 2))  # eq. (7.19)


# ------------------------------------------------------------------------------ following


@dataclass(frozen=True, kw_only=True)
class GridFollowing:
    r"""A grid-following converter: a current in the frame of its PLL, behind a line.

    The voltage at its terminals follows from the grid and from its own current; X_g is the
    reactance of the line.

    .. math:: v_d = V\cos\delta - X_g\frac{\omega}{\omega_0} i_q + \frac{X_g}{\omega_0}\dot\imath_d,
              \qquad
              v_q = -V\sin\delta + X_g\frac{\omega}{\omega_0} i_d + \frac{X_g}{\omega_0}\dot\imath_q
              (7.21)

    Its controls make the current, with the measured voltage and the frequency that the PLL reports.

    .. math:: T_i\,\dot\imath_d = \frac{p}{|v_m|} - i_d,\quad
              T_i\,\dot\imath_q = -k_v(1 - |v_m|) - i_q,\quad
              T_p\,\dot p = p^* - \frac{f - f_0}{m_p f_0} - p,\quad
              T_v\,\dot v_m = v - v_m            (7.22)

    Attributes
    ----------
    p_pu : float
        Command p* of active power [pu].
    pll : Pll
        Gains of its phase-locked loop.
    droop_pu : float
        m_p, a fraction above 0, on the frequency that the PLL reports; infinite for none [pu].
    support_pu : float
        k_v, reactive current per voltage that is missing, at least 0; 0 is unity power factor [pu].
    i_max_pu : float
        Limit of the current, above 0, which may be infinite; the reactive part goes first [pu].
    t_current_s : float
        T_i, lag of the closed current control, above 0 [s].
    t_voltage_s : float
        T_v, lag of the measured voltage, above 0 [s].
    t_power_s : float
        T_p, lag of the power command, above 0 [s].

    Notes
    -----
    The PLL turns on the measured voltage v_m and reports at most half of f0 away from f0; its
    integrator stops there. The current is commanded by the size of v_m.

    Examples
    --------
    >>> unit = GridFollowing(
    ...     p_pu=0.5,
    ...     pll=Pll(kp_per_s=166.6, ki_per_s2=14_164.0),
    ...     droop_pu=0.05,
    ...     support_pu=2.0,
    ...     i_max_pu=1.2,
    ...     t_current_s=0.002,
    ...     t_voltage_s=0.001,
    ...     t_power_s=0.05,
    ... )
    >>> unit.support_pu
    2.0
    """

    p_pu: float
    pll: Pll
    droop_pu: float = math.inf
    support_pu: float = 0.0
    i_max_pu: float = 1.2
    t_current_s: float = 0.002
    t_voltage_s: float = 0.001
    t_power_s: float = 0.05

    def __post_init__(self):
        instance("pll", self.pll, Pll)
        keep_single(
            self,
            p_pu=dict(unit="pu", **_SIGNED),
            droop_pu=dict(unit="pu", **_ABOVE_0_OR_INFINITE),
            support_pu=dict(unit="pu", **_FROM_0),
            i_max_pu=dict(unit="pu", **_ABOVE_0_OR_INFINITE),
            t_current_s=dict(unit="s", **_ABOVE_0),
            t_voltage_s=dict(unit="s", **_ABOVE_0),
            t_power_s=dict(unit="s", **_ABOVE_0),
        )
        if math.isfinite(self.droop_pu):
            _checked_droop(self.droop_pu)


def _rightmost_first(values):
    return values[np.argsort(-values.real, kind="stable")]


def pll_poles(pll: Pll, x_pu: float, i_pu: float, *, f0_hz: float) -> np.ndarray:
    r"""Poles of a PLL whose own current moves the voltage that it measures.

    Everything else in the converter is taken as infinitely fast.

    .. math:: \left(1 - \frac{k_p X_g I}{\omega_0}\right)s^2
              + \left(k_p\cos\delta - \frac{k_i X_g I}{\omega_0}\right)s + k_i\cos\delta = 0,\quad
              \sin\delta = X_g I            (7.23)

    Parameters
    ----------
    pll : Pll
        Gains of the loop.
    x_pu : float
        Reactance of the line, at least 0 [pu].
    i_pu : float
        Active current at a grid of 1 pu; its product with x_pu lies between -1 and 1 [pu].
    f0_hz : float
        Nominal frequency, from 1 to 1000 [Hz].

    Returns
    -------
    array, shape (2,)
        Complex poles, the rightmost first [1/s].

    Raises
    ------
    TypeError
        If pll is no `Pll`.
    ValueError
        If no angle can carry x_pu * i_pu, if the factor of s squared vanishes, or if an argument
        lies outside of its limits.

    Examples
    --------
    >>> pll = Pll(kp_per_s=166.6, ki_per_s2=14_164.0)
    >>> poles = pll_poles(pll, x_pu=0.5, i_pu=0.9, f0_hz=60.0)
    >>> poles.real.round(1).tolist()
    [-82.3, -82.3]
    """
    instance("pll", pll, Pll)
    drop = one("x_pu", x_pu, "pu", **_FROM_0) * one("i_pu", i_pu, "pu", **_SIGNED)
    w0 = _TURN * _checked_f0(f0_hz)
    if abs(drop) >= 1:
        raise ValueError(f"x_pu * i_pu is {drop:g} pu; no angle can carry a drop of 1 pu or more")
    square = 1 - pll.kp_per_s * drop / w0  # eq. (7.23)
    if square == 0:
        raise ValueError("kp_per_s * x_pu * i_pu is 2 pi f0_hz: the factor of s squared vanishes")
    cosine = math.sqrt(1 - drop**2)
    damping = pll.kp_per_s * cosine - pll.ki_per_s2 * drop / w0
    return _rightmost_first(np.roots([square, damping, pll.ki_per_s2 * cosine]))


def _refuse_current(i_pu, unit):
    if i_pu > unit.i_max_pu * (1 + 1e-9):
        raise ValueError(
            f"p_pu = {unit.p_pu:g} needs {i_pu:.4g} pu of current at rest; "
            f"i_max_pu is {unit.i_max_pu:g}"
        )


def _following_rest(unit, scr):
    """Operating point of a grid-following unit at a bus of 1 pu: voltage, i_d, i_q and angle."""
    x = _one_line_pu(scr)
    p = unit.p_pu
    k = unit.support_pu
    a = 1 + x * k  # V^2 = (a v - x k)^2 + (x p / v)^2, times v^2
    roots = np.roots([a * a, -2 * a * x * k, x * x * k * k - 1, 0.0, x * x * p * p])
    possible = (np.abs(roots.imag) < 1e-6) & (roots.real > 1e-9)
    if not possible.any():
        raise ValueError(
            f"p_pu is {p:g}; at scr = {1 / x:g} and support_pu = {k:g} "
            "the line cannot carry it (transfer_limit)"
        )
    v = float(roots.real[possible].max())  # the highest one has the angle below 90 degrees
    i_d = p / v
    i_q = -k * (1 - v)
    _refuse_current(math.hypot(i_d, i_q), unit)
    return v, i_d, i_q, math.asin(_Floats.clip(x * i_d, -1.0, 1.0))


def _following(unit, scr, f0, ops=_Floats):
    """Slopes of a grid-following unit, by its states, the grid's frequency and its voltage.

    The states are the angle, the integrator of the PLL, i_d, i_q, the measured v_d and v_q, and p.
    Beside the slopes the function returns (dw in rad/s, p, q, i, v, angle).
    """
    w0 = _TURN * f0
    x_per_w0 = _line_pu(scr) / w0
    kp = unit.pll.kp_per_s
    ki_per_kp = unit.pll.ki_per_s2 / kp
    most_dw = _PLL_RANGE_PU * w0
    power_per_dw = 1 / (w0 * unit.droop_pu)
    most = unit.i_max_pu

    def commanded(p, v_m):
        """Currents that the controls ask for, with the reactive part first. eq. (7.22)"""
        i_q = ops.clip(-unit.support_pu * (1 - v_m), -most, most)
        room = ops.sqrt(most * most - i_q * i_q)
        i_d = p / ops.clip(v_m, _LEAST_V_PU, math.inf)
        return ops.clip(i_d, -room, room), i_q

    def slopes(y, dw_grid, v_grid):
        angle, z, i_d, i_q, m_d, m_q, p = y
        dw = ops.clip(z + kp * m_q, -most_dw, most_dw)  # eq. (7.3)
        asked_d, asked_q = commanded(p, ops.hypot(m_d, m_q))
        di_d = (asked_d - i_d) / unit.t_current_s  # eq. (7.22)
        di_q = (asked_q - i_q) / unit.t_current_s
        w = w0 + dw
        v_d = v_grid * ops.cos(angle) + x_per_w0 * (di_d - w * i_q)  # eq. (7.21)
        v_q = -v_grid * ops.sin(angle) + x_per_w0 * (di_q + w * i_d)
        dy = [
            dw - dw_grid,
            ki_per_kp * (dw - z),
            di_d,
            di_q,
            (v_d - m_d) / unit.t_voltage_s,
            (v_q - m_q) / unit.t_voltage_s,
            (unit.p_pu - power_per_dw * dw - p) / unit.t_power_s,
        ]
        p_out = v_d * i_d + v_q * i_q
        q_out = v_q * i_d - v_d * i_q
        return dy, (dw, p_out, q_out, ops.hypot(i_d, i_q), ops.hypot(v_d, v_q), angle)

    return slopes


# -------------------------------------------------------------------------------- forming


@dataclass(frozen=True, kw_only=True)
class GridForming:
    r"""A grid-forming converter: a voltage source whose frequency falls with its filtered power.

    Its power follows from the angle between its own voltage and the grid's, up to a limit of the
    current.

    .. math:: p = \frac{E V\sin\delta}{X}\min\left(1, \frac{I_{max}}{I}\right),\qquad
              I = \frac{\sqrt{E^2 + V^2 - 2 E V\cos\delta}}{X}            (7.24)

    Its frequency follows from that power.

    .. math:: \dot\delta = \omega - \omega_g,\qquad
              \frac{\dot\omega}{\omega_0\,\omega_c}
              = m_p(p^* - p) - \frac{\omega - \omega_0}{\omega_0}            (7.9)

    Attributes
    ----------
    p_pu : float
        Set-point p* at the nominal frequency [pu].
    droop_pu : float
        m_p, frequency per power, both per unit, a fraction above 0. It is never infinite: its own
        power is all that the converter measures of the others [-].
    filter_rad_per_s : float
        Corner w_c of the filter of the measured power, above 0 [rad/s].
    x_pu : float
        Its own reactance (filter, transformer, or virtual), in series with the line's, above 0
        [pu].
    e_pu : float
        Voltage behind this reactance, which is held, above 0 and at most 10 [pu].
    i_max_pu : float
        Limit of the current, above 0, which may be infinite. A current beyond it is scaled down and
        keeps its angle; the voltage is then no longer held [pu].

    Examples
    --------
    >>> unit = GridForming(
    ...     p_pu=0.5, droop_pu=0.05, filter_rad_per_s=10.0, x_pu=0.15, e_pu=1.0, i_max_pu=1.2
    ... )
    >>> unit.droop_pu
    0.05
    """

    p_pu: float
    droop_pu: float
    filter_rad_per_s: float
    x_pu: float
    e_pu: float = 1.0
    i_max_pu: float = math.inf

    def __post_init__(self):
        keep_single(
            self,
            p_pu=dict(unit="pu", **_SIGNED),
            droop_pu=dict(unit="pu", gt=0),
            filter_rad_per_s=dict(unit="rad/s", **_ABOVE_0),
            x_pu=dict(unit="pu", **_ABOVE_0),
            e_pu=dict(unit="pu", **_VOLTAGE),
            i_max_pu=dict(unit="pu", **_ABOVE_0_OR_INFINITE),
        )
        _checked_droop(self.droop_pu)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rotor:
    """A virtual rotor: what a grid-forming converter does as a synchronous machine.

    Attributes
    ----------
    inertia_s : float or array
        Inertia constant H, above 0 [s].
    damping_rating_pu : float or array
        Damping D, power per frequency, both per unit, at least 0 [pu].

    Examples
    --------
    >>> Rotor(inertia_s=4.0, damping_rating_pu=20.0)
    Rotor(inertia_s=4.0, damping_rating_pu=20.0)
    """

    inertia_s: FloatOrArray
    damping_rating_pu: FloatOrArray

    def __post_init__(self):
        keep(
            self,
            inertia_s=dict(unit="s", gt=0, ge=1e-12, le=1e18),
            damping_rating_pu=dict(unit="pu", ge=0, le=1e12),
        )
        together(inertia_s=self.inertia_s, damping_rating_pu=self.damping_rating_pu)


def equivalent_rotor(droop_pu: ArrayLike, filter_rad_per_s: ArrayLike) -> Rotor:
    r"""Virtual synchronous machine that droop with a filter is: the same equation, other letters.

    .. math:: 2H\frac{d}{dt}\frac{\omega}{\omega_0}
              = p^* - p - D\,\frac{\omega - \omega_0}{\omega_0},\qquad
              2H = \frac{1}{m_p\,\omega_c},\quad D = \frac{1}{m_p}            (7.10)

    Parameters
    ----------
    droop_pu : float or array
        Droop m_p, a fraction above 0 [-].
    filter_rad_per_s : float or array
        Corner w_c of the power filter, above 0 [rad/s].

    Returns
    -------
    Rotor
        Its inertia constant and damping.

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, or the shapes do not fit each other.

    References
    ----------
    .. [1] S. D'Arco and J. A. Suul, "Equivalence of virtual synchronous machines and
       frequency-droops for converter-based microgrids", IEEE Trans. Smart Grid 5(1):394-395, 2014.

    Examples
    --------
    >>> equivalent_rotor(droop_pu=0.05, filter_rad_per_s=10.0)
    Rotor(inertia_s=1.0, damping_rating_pu=20.0)
    """
    mp = _checked_droop(droop_pu)
    wc = checked("filter_rad_per_s", filter_rad_per_s, "rad/s", **_ABOVE_0)
    together(droop_pu=mp, filter_rad_per_s=wc)
    return Rotor(inertia_s=1 / (2 * np.multiply(mp, wc)), damping_rating_pu=1 / mp)  # eq. (7.10)


def virtual_machine(inertia_s: ArrayLike, damping_rating_pu: ArrayLike) -> dict[str, FloatOrArray]:
    """Droop and filter of a rotor: `equivalent_rotor` the other way round.

    Parameters
    ----------
    inertia_s : float or array
        Inertia constant H, above 0 [s].
    damping_rating_pu : float or array
        Damping D, power per frequency, both per unit; at least 1, as the droop is 1 / D [pu].

    Returns
    -------
    dict
        `droop_pu` [-] and `filter_rad_per_s` [rad/s], to be used as
        `GridForming(**virtual_machine(...), ...)`.

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, or the shapes do not fit each other.

    Examples
    --------
    >>> virtual_machine(inertia_s=4.0, damping_rating_pu=20.0)
    {'droop_pu': 0.05, 'filter_rad_per_s': 2.5}
    """
    h = checked("inertia_s", inertia_s, "s", **_ABOVE_0)
    d = checked("damping_rating_pu", damping_rating_pu, "pu", gt=0, ge=1, le=_MOST)
    together(inertia_s=h, damping_rating_pu=d)
    return {"droop_pu": 1 / d, "filter_rad_per_s": d / (2 * h)}


def _rest_angle(p_pu, x, ev, limit):
    """Angle of a voltage source at rest, or a ValueError that says what the limit is. [rad]"""
    p = checked("p_pu", p_pu, "pu", **_SIGNED)
    sine = np.asarray(np.multiply(p, x) / ev)
    beyond = np.abs(sine) >= 1
    if np.any(beyond):
        shown_p, shown_x, shown_ev = first_of(beyond, p, x, ev)
        raise ValueError(
            f"p_pu is {shown_p:g} pu; through a reactance of {shown_x:g} pu less than "
            f"{shown_ev / shown_x:.4g} pu can flow ({limit})"
        )
    return np.arcsin(sine)


def stiffness(
    p_pu: ArrayLike, x_pu: ArrayLike, *, e_pu: ArrayLike = 1.0, v_pu: ArrayLike = 1.0
) -> FloatOrArray:
    r"""Synchronising power per radian at an operating point.

    .. math:: K = \frac{E V\cos\delta_0}{X},\qquad \sin\delta_0 = \frac{p X}{E V}        (7.25)

    Parameters
    ----------
    p_pu : float or array
        Power [pu].
    x_pu : float or array
        Whole reactance up to the stiff voltage, above 0 [pu].
    e_pu : float or array
        Voltage of the converter behind its reactance, above 0 and at most 10 [pu].
    v_pu : float or array
        Stiff voltage, above 0 and at most 10 [pu].

    Returns
    -------
    float or array
        In the shape that the arguments have together [pu per rad].

    Raises
    ------
    ValueError
        If the reactance cannot carry so much power, if an argument lies outside of its limits, or
        if the shapes do not fit each other.

    Examples
    --------
    >>> round(stiffness(p_pu=0.5, x_pu=0.3, e_pu=1.02, v_pu=1.0), 3)
    3.363
    """
    x = checked("x_pu", x_pu, "pu", **_ABOVE_0)
    e = checked("e_pu", e_pu, "pu", **_VOLTAGE)
    v = checked("v_pu", v_pu, "pu", **_VOLTAGE)
    together(p_pu=p_pu, x_pu=x, e_pu=e, v_pu=v)
    rest = _rest_angle(p_pu, x, np.multiply(e, v), "e_pu * v_pu / x_pu")
    return plain(e * v * np.cos(rest) / x)  # eq. (7.25)


@dataclass(frozen=True, kw_only=True, eq=False)
class Mode:
    """An oscillation.

    Attributes
    ----------
    wn_rad_per_s : float or array
        Natural frequency [rad/s].
    zeta : float or array
        Damping ratio [-].
    """

    wn_rad_per_s: FloatOrArray
    zeta: FloatOrArray

    def __post_init__(self):
        keep(self, wn_rad_per_s=dict(unit="rad/s"), zeta={})


def swing_mode(rotor: Rotor, k_pu: ArrayLike, *, f0_hz: float) -> Mode:
    r"""Oscillation of a grid-forming converter against a stiff grid.

    .. math:: \omega_n = \sqrt{\frac{\omega_0 K}{2H}},\qquad
              \zeta = \frac{D}{4 H \omega_n}            (7.26)

    Parameters
    ----------
    rotor : Rotor
        Inertia and damping of the converter.
    k_pu : float or array
        Stiffness of the connection, above 0 [pu per rad].
    f0_hz : float
        Nominal frequency, from 1 to 1000 [Hz].

    Returns
    -------
    Mode
        Natural frequency and damping ratio; at a ratio of 1 and above nothing oscillates.

    Raises
    ------
    TypeError
        If rotor is no `Rotor`.
    ValueError
        If an argument lies outside of its limits, or the shapes do not fit each other.

    Examples
    --------
    >>> mode = swing_mode(Rotor(inertia_s=4.0, damping_rating_pu=20.0), k_pu=3.0, f0_hz=60.0)
    >>> round(mode.wn_rad_per_s, 2), round(mode.zeta, 3)
    (11.89, 0.105)
    """
    instance("rotor", rotor, Rotor)
    k = checked("k_pu", k_pu, "pu", **_ABOVE_0)
    w0 = _TURN * _checked_f0(f0_hz)
    together(inertia_s=rotor.inertia_s, damping_rating_pu=rotor.damping_rating_pu, k_pu=k)
    wn = np.sqrt(w0 * k / (2 * rotor.inertia_s))  # eq. (7.26)
    return Mode(wn_rad_per_s=wn, zeta=rotor.damping_rating_pu / (4 * rotor.inertia_s * wn))


@dataclass(frozen=True, kw_only=True, eq=False)
class Inherent:
    """Response of a grid-forming converter with droop, without any measurement of the grid.

    Attributes
    ----------
    p_jump_pu : float or array
        Power that is added in the first instant after a jump of the grid's angle [pu].
    tau_s : float or array
        Time constant with which this addition decays [s].
    p_steady_pu : float or array
        Power that is added in the end after a change of the grid's frequency [pu].
    """

    p_jump_pu: FloatOrArray
    tau_s: FloatOrArray
    p_steady_pu: FloatOrArray

    def __post_init__(self):
        keep(self, p_jump_pu=dict(unit="pu"), tau_s=dict(unit="s"), p_steady_pu=dict(unit="pu"))


def inherent(
    droop_pu: ArrayLike,
    x_pu: ArrayLike,
    p_pu: ArrayLike = 0.0,
    *,
    jump_deg: ArrayLike,
    df_hz: ArrayLike,
    f0_hz: float,
) -> Inherent:
    r"""Response of a grid-forming converter to a jump of the grid's angle, and of its frequency.

    The converter is a voltage source with droop, without filter and limit; both voltages are 1 pu.

    What it adds in the first instant follows from the jump, what it adds in the end from the
    frequency.

    .. math:: \Delta p(0^+) = \frac{\sin(\delta_0 - \Delta\theta) - \sin\delta_0}{X}        (7.11)

    .. math:: \Delta p_\infty = -\frac{\Delta f}{m_p f_0}            (7.12)

    The first dies away with a time constant.

    .. math:: \tau = \frac{1}{m_p\,\omega_0\,K}            (7.27)

    Parameters
    ----------
    droop_pu : float or array
        Droop m_p, a fraction above 0 [-].
    x_pu : float or array
        Whole reactance up to the stiff voltage, above 0 [pu].
    p_pu : float or array
        Power before [pu].
    jump_deg : float or array
        Jump of the grid's angle, from -180 to 180; below 0 the grid falls back, and power flows
        out of the converter [degrees].
    df_hz : float or array
        Change of the grid's frequency [Hz].
    f0_hz : float
        Nominal frequency, from 1 to 1000 [Hz].

    Returns
    -------
    Inherent
        Power at once, time constant of its decay, and power in the end.

    Raises
    ------
    ValueError
        If the reactance cannot carry p_pu, if an argument lies outside of its limits, or if the
        shapes do not fit each other.

    Examples
    --------
    >>> added = inherent(0.05, 0.35, 0.5, jump_deg=-10.0, df_hz=-0.5, f0_hz=60.0)
    >>> round(added.p_jump_pu, 3), round(added.tau_s, 4), round(added.p_steady_pu, 3)
    (0.481, 0.0189, 0.167)
    """
    mp = _checked_droop(droop_pu)
    x = checked("x_pu", x_pu, "pu", **_ABOVE_0)
    p = checked("p_pu", p_pu, "pu", **_SIGNED)
    jump = np.radians(checked("jump_deg", jump_deg, "degrees", **_JUMP))
    df = checked("df_hz", df_hz, "Hz", **_SIGNED)
    f0 = _checked_f0(f0_hz)
    together(droop_pu=mp, x_pu=x, p_pu=p, jump_deg=jump, df_hz=df)
    rest = _rest_angle(p, x, 1.0, "1 / x_pu")
    return Inherent(
        p_jump_pu=(np.sin(rest - jump) - np.sin(rest)) / x,  # eq. (7.11)
        tau_s=1 / (np.multiply(mp, stiffness(p, x)) * _TURN * f0),
        p_steady_pu=-np.divide(df, np.multiply(mp, f0)),
    )


def _swing_roots(h2, d, k):
    """Roots of h2 s^2 + d s + k = 0, pulled apart a little where they meet. [1/s]"""
    spread = cmath.sqrt(d * d - 4 * h2 * k)
    if abs(spread) <= 1e-6 * d:
        spread = 1e-6 * d
    return -2 * k / (d + spread), -(d + spread) / (2 * h2)


def _swing_term(t, s, other, h2, d, k):
    """One term A (e^(s t) - 1) of eq. (7.28), in which both A together are D^2 / (K w0) - 2 H."""
    return k * (h2 * s + d) / (h2 * s * s * (s - other)) * np.expm1(s * t)


def ramp_power(
    t_s: ArrayLike, rotor: Rotor, rocof_hz_per_s: float, *, k_pu: float, f0_hz: float
) -> FloatOrArray:
    r"""Power that a grid-forming converter adds while the grid's frequency ramps.

    It consists of inertia, damping and a swing, for small angles.

    .. math:: \Delta p(t) = -\frac{\dot f}{f_0}\left[D t + 2H - \frac{D^2}{K\omega_0}
              + \sum_{1,2} A_i e^{s_i t}\right],\qquad
              2H s^2 + D s + K\omega_0 = 0,\quad
              A_i = \frac{K\omega_0(2H s_i + D)}{2H s_i^2 (s_i - s_j)}            (7.28)

    Parameters
    ----------
    t_s : float or array
        Time since the ramp began, at least 0 [s].
    rotor : Rotor
        Inertia and damping of the converter, single numbers.
    rocof_hz_per_s : float
        Rate of change of the grid's frequency; below 0 it falls, and power is added [Hz/s].
    k_pu : float
        Stiffness of the connection, above 0 [pu per rad].
    f0_hz : float
        Nominal frequency, from 1 to 1000 [Hz].

    Returns
    -------
    float or array
        Power on top of that before the ramp, in the shape of t_s [pu].

    Raises
    ------
    TypeError
        If rotor is no `Rotor`.
    ValueError
        If an argument lies outside of its limits, or the rotor holds arrays.

    Notes
    -----
    What remains when the swing has died away is about -(2H f' + D df) / f0, the rule of thumb.

    Examples
    --------
    >>> rotor = Rotor(inertia_s=4.0, damping_rating_pu=20.0)
    >>> added = ramp_power([0.0, 0.1, 0.5], rotor, rocof_hz_per_s=-1.0, k_pu=3.0, f0_hz=60.0)
    >>> added.round(3).tolist()
    [0.0, 0.084, 0.239]
    """
    t = np.asarray(checked("t_s", t_s, "s", **_FROM_0))
    instance("rotor", rotor, Rotor)
    h2 = 2 * one("inertia_s of the rotor", rotor.inertia_s)
    d = one("damping_rating_pu of the rotor", rotor.damping_rating_pu)
    rate = one("rocof_hz_per_s", rocof_hz_per_s, "Hz/s", **_SIGNED)
    f0 = _checked_f0(f0_hz)
    k = one("k_pu", k_pu, "pu", **_ABOVE_0) * _TURN * f0
    s1, s2 = _swing_roots(h2, d, k)
    swing = _swing_term(t, s1, s2, h2, d, k) + _swing_term(t, s2, s1, h2, d, k)
    return plain(-rate / f0 * (d * t + swing.real))  # eq. (7.28)


@dataclass(frozen=True, kw_only=True, eq=False)
class Share:
    """Sharing of a load by grid-forming converters.

    Attributes
    ----------
    p_kw : array, shape (units,)
        Power of each of them [kW].
    df_hz : float
        Deviation of frequency at which they agree [Hz].
    """

    p_kw: np.ndarray
    df_hz: float

    def __post_init__(self):
        keep(self, p_kw=dict(unit="kW", row=True), df_hz=dict(unit="Hz", one=True))


def share(load_kw: float, rating_kva: ArrayLike, droop_pu: ArrayLike, *, f0_hz: float) -> Share:
    r"""Shares of a load that grid-forming converters in parallel carry, without communication.

    They share it by their droop; their set-points are 0.

    .. math:: P_i = \frac{S_i / m_i}{\sum_j S_j / m_j} P_L,\qquad
              \Delta f = -\frac{f_0 P_L}{\sum_j S_j / m_j}            (7.14)

    Parameters
    ----------
    load_kw : float
        Load of all together [kW].
    rating_kva : float or array, shape (units,)
        Rating of each, above 0 [kVA].
    droop_pu : float or array, shape (units,)
        Droop of each on its rating, a fraction above 0 [-].
    f0_hz : float
        Nominal frequency, from 1 to 1000 [Hz].

    Returns
    -------
    Share
        Power of each, and the deviation of frequency.

    Raises
    ------
    ValueError
        If an argument lies outside of its limits, or the shapes do not fit each other.

    Examples
    --------
    >>> split = share(9.0, rating_kva=[10.0, 10.0], droop_pu=[0.05, 0.025], f0_hz=60.0)
    >>> split.p_kw.round(3).tolist(), round(split.df_hz, 3)
    ([3.0, 6.0], -0.9)
    """
    load = one("load_kw", load_kw, "kW", **_SIGNED)
    rating = checked("rating_kva", rating_kva, "kVA", **_ABOVE_0)
    droop = _checked_droop(droop_pu)
    f0 = _checked_f0(f0_hz)
    shape = together(rating_kva=rating, droop_pu=droop)
    if len(shape) > 1:
        raise ValueError(f"rating_kva and droop_pu have shape {shape}; give one series of numbers")
    gains = np.atleast_1d(np.divide(rating, droop))
    per_gain = load / gains.sum()
    return Share(p_kw=gains * per_gain, df_hz=-f0 * per_gain)  # eq. (7.14)


@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """Angles of a grid-forming converter with a current limit, ahead of a bus of 1 pu.

    Attributes
    ----------
    rest_deg : float
        Angle at rest [degrees].
    limit_deg : float
        Angle at which the current limit begins [degrees].
    lost_deg : float
        Angle beyond which the converter falls out of step [degrees].

    Notes
    -----
    A backward jump of the grid by `limit_deg - rest_deg` is the largest to which the converter
    responds as a voltage source. A jump by `lost_deg - rest_deg` is the largest after which it
    stays in step.
    """

    rest_deg: float
    limit_deg: float
    lost_deg: float

    def __post_init__(self):
        angle = dict(unit="degrees")
        keep_single(self, rest_deg=angle, limit_deg=angle, lost_deg=angle)


def _forming_rest(unit, scr):
    """Angle of a grid-forming converter at rest at a bus of 1 pu, within its limit. [rad]"""
    x = unit.x_pu + _one_line_pu(scr)
    e = unit.e_pu
    rest = float(_rest_angle(unit.p_pu, x, e, "e_pu / (x_pu + 1 / scr)"))
    _refuse_current(math.sqrt(e * e + 1 - 2 * e * math.cos(rest)) / x, unit)
    return rest


def _lost_when_limited(unit):
    """Angle at which the limited power meets p* again, as a quadratic in its cosine. [rad]"""
    e = unit.e_pu
    p_squared = unit.p_pu**2
    most_squared = (e * unit.i_max_pu) ** 2
    b = e * p_squared
    c = p_squared * (e * e + 1) - most_squared
    root = math.sqrt(max(b * b - most_squared * c, 0.0))
    lost = math.acos(max((b - root) / most_squared, -1.0))  # eq. (7.29)
    return lost if unit.p_pu >= 0 else _TURN - lost


def current_limits(unit: GridForming, scr: float) -> Limits:
    r"""Angles at which the current limit begins, and at which a limited unit falls out of step.

    .. math:: \cos\delta_{lim} = \frac{E^2 + V^2 - X^2 I_{max}^2}{2 E V},\qquad
              E = V = 1:\ \sin\frac{\delta_{lim}}{2} = \frac{X I_{max}}{2}            (7.13)

    Above that angle only :math:`V I_{max}\cos(\delta/2)` flows (for E = V). It falls as the angle
    grows, and meets the set-point again at the second angle.

    .. math:: \delta_{lost} = 2\arccos\frac{p^*}{V I_{max}}            (7.29)

    Parameters
    ----------
    unit : GridForming
        The converter, with any voltage E.
    scr : float
        Short-circuit ratio of the line on the converter's rating, above 0; infinite for no line
        [-].

    Returns
    -------
    Limits
        Angles ahead of the bus. Without a limit `lost_deg` is 180 degrees minus `rest_deg`.

    Raises
    ------
    TypeError
        If unit is no `GridForming`.
    ValueError
        If the unit is at its limit before anything has happened, or scr is not above 0.

    Notes
    -----
    The angles do not depend on inertia or filter: after a jump from rest a damped swing never
    climbs higher than where it began. If the frequency of the grid has moved, the power at rest
    takes the place of p*.

    Examples
    --------
    >>> unit = GridForming(p_pu=0.5, droop_pu=0.05, filter_rad_per_s=10.0, x_pu=0.15, i_max_pu=1.2)
    >>> angles = current_limits(unit, scr=5.0)
    >>> round(angles.rest_deg, 1), round(angles.limit_deg, 1), round(angles.lost_deg, 1)
    (10.1, 24.2, 130.8)
    """
    instance("unit", unit, GridForming)
    x = unit.x_pu + _one_line_pu(scr)
    rest = _forming_rest(unit, scr)
    drop = x * unit.i_max_pu
    cosine = (unit.e_pu * unit.e_pu + 1 - drop * drop) / (2 * unit.e_pu)
    limit = math.acos(_Floats.clip(cosine, -1.0, 1.0))  # eq. (7.13)
    lost = math.pi - rest
    if limit < min(lost, math.pi):
        lost = _lost_when_limited(unit)
    return Limits(
        rest_deg=math.degrees(rest), limit_deg=math.degrees(limit), lost_deg=math.degrees(lost)
    )


def deepest_dip(p_pu: ArrayLike, i_max_pu: ArrayLike) -> FloatOrArray:
    r"""Voltage below which a limited converter, of either kind, cannot deliver its power.

    .. math:: V_{min} = \frac{|p|}{I_{max}}            (7.30)

    Parameters
    ----------
    p_pu : float or array
        Power that it is to deliver [pu].
    i_max_pu : float or array
        Limit of its current, above 0, which may be infinite [pu].

    Returns
    -------
    float or array
        A lower bound: with reactive current the voltage must be higher [pu].

    Raises
    ------
    ValueError
        If i_max_pu is not above 0, or the shapes do not fit each other.

    Notes
    -----
    Below this voltage the angle of a grid-forming unit that keeps its set-point runs ahead.

    Examples
    --------
    >>> round(deepest_dip(p_pu=0.5, i_max_pu=1.2), 3)
    0.417
    """
    p = checked("p_pu", p_pu, "pu", **_SIGNED)
    most = checked("i_max_pu", i_max_pu, "pu", **_ABOVE_0_OR_INFINITE)
    together(p_pu=p, i_max_pu=most)
    return plain(np.abs(p) / most)  # eq. (7.30)


def _forming(unit, scr, f0, ops=_Floats):
    """Slopes of a grid-forming unit, by its states, the grid's frequency and its voltage.

    The states are the angle, and the deviation of its own frequency in per unit. Beside the
    slopes the function returns (dw in rad/s, p, q, i, v, angle).
    """
    w0 = _TURN * f0
    x_line = _line_pu(scr)
    x = unit.x_pu + x_line
    e = unit.e_pu

    def slopes(y, dw_grid, v_grid):
        angle, dw = y
        free_active = e * ops.sin(angle) / x  # of the current, in the frame of the bus
        free_reactive = (v_grid - e * ops.cos(angle)) / x
        free = ops.hypot(free_active, free_reactive)
        scale = ops.clip(unit.i_max_pu / (free + 1e-12), 0.0, 1.0)
        active = free_active * scale
        reactive = free_reactive * scale
        p = v_grid * active  # eq. (7.24)
        v_re = v_grid - x_line * reactive
        v_im = x_line * active
        asked = unit.droop_pu * (unit.p_pu - p)
        dy = [w0 * dw - dw_grid, unit.filter_rad_per_s * (asked - dw)]  # eq. (7.9)
        q = v_im * active - v_re * reactive
        return dy, (w0 * dw, p, q, ops.hypot(active, reactive), ops.hypot(v_re, v_im), angle)

    return slopes


# ------------------------------------------------------------------------------ side by side


@dataclass(frozen=True, kw_only=True)
class Machine:
    r"""The synchronous area of chapter 1, in the place of an infinite bus.

    The converter stands at the end of its line.

    .. math:: \frac{2E_k}{f_0}\frac{d\Delta f}{dt}
              = p_{gov} + S_r (p - p_0) - \Delta P - \frac{D_L P_L}{f_0}\Delta f            (7.31)

    Attributes
    ----------
    grid : frequency.Grid
        The area, with single numbers.
    governor : frequency.Governor
        Governor and turbine, with single numbers and a valve lag above 0.
    rating_mva : float
        S_r, rating of the converter, or of a fleet that acts as one, above 0 [MVA].

    Examples
    --------
    >>> grid = frequency.Grid(
    ...     f0_hz=60.0, kinetic_energy_mws=4000.0, load_mw=1e3, damping_load_pu=1.0
    ... )
    >>> steam = frequency.Governor(
    ...     rating_mw=800.0, droop_pu=0.05, t_valve_s=0.2, t_lead_s=2.0, t_lag_s=7.0
    ... )
    >>> Machine(grid=grid, governor=steam, rating_mva=200.0).rating_mva
    200.0
    """

    grid: frequency.Grid
    governor: frequency.Governor
    rating_mva: float

    def __post_init__(self):
        instance("grid", self.grid, frequency.Grid)
        instance("governor", self.governor, frequency.Governor)
        for part in ("grid", "governor"):
            _refuse_arrays(part, getattr(self, part))
        checked("t_valve_s of the governor", self.governor.t_valve_s, "s", gt=0)
        keep_single(self, rating_mva=dict(unit="MVA", **_ABOVE_0))


def _refuse_arrays(name, record):
    """Refuse a record whose fields hold scenarios."""
    for field, value in vars(record).items():
        if np.ndim(value):
            raise ValueError(f"{field} of the {name} is an array; a machine takes single numbers")


def _machine(machine, loss_mw, p0):
    """Slopes of a machine, as a function of its states and of the converter's power.

    The states are the deviation of frequency in Hz, and valve and turbine in MW.
    """
    grid = machine.grid
    gov = machine.governor
    clip = _Floats.clip
    band = gov.deadband_hz
    hz_per_mws = grid.f0_hz / (2 * grid.kinetic_energy_mws)
    damping_mw_per_hz = grid.damping_load_pu * grid.load_mw / grid.f0_hz
    gain_mw_per_hz = -gov.rating_mw / (gov.droop_pu * grid.f0_hz)
    lead = gov.t_lead_s / gov.t_lag_s
    soft_mw = _SOFT_STOP * gov.rating_mw

    def slopes(y, p):
        df, opened, turbine = y
        valve = clip(opened, -gov.footroom_mw, gov.headroom_mw)
        beyond = opened - valve
        speed = (gain_mw_per_hz * (df - clip(df, -band, band)) - valve) / gov.t_valve_s
        if beyond * speed > 0:  # the valve stops at its limits: no windup
            speed *= 1 - clip(abs(beyond) / soft_mw, 0.0, 1.0)
        power = turbine + lead * (valve - turbine)
        added = machine.rating_mva * (p - p0)
        surplus = power + added - loss_mw - damping_mw_per_hz * df
        return [hz_per_mws * surplus, speed, (valve - turbine) / gov.t_lag_s]  # eq. (7.31)

    return slopes


def _infinite(rocof_hz_per_s):
    """Slope of an infinite bus: its frequency does what the disturbance says."""

    def slopes(y, p):
        return [rocof_hz_per_s]

    return slopes


def _start(unit, scr):
    """States of a converter at rest, and the function that makes its slopes."""
    instance("unit", unit, (GridFollowing, GridForming))
    if isinstance(unit, GridForming):
        return [_forming_rest(unit, scr), 0.0], _forming
    v, i_d, i_q, angle = _following_rest(unit, scr)
    return [angle, 0.0, i_d, i_q, v, 0.0, unit.p_pu], _following


def _joint(converter, bus, count, v_grid):
    """Slopes of converter and grid together.

    The first `count` states are the converter's, the next is the deviation of the grid in Hz.
    """

    def slopes(y):
        dy, out = converter(y[:count], _TURN * y[count], v_grid)
        return dy + bus(y[count:], out[1])

    return slopes


def _jacobian(slopes, y):
    """Derivatives of the slopes by the states, from central differences."""
    columns = []
    for k, value in enumerate(y):
        h = 1e-6 * max(1.0, abs(value))
        high = [*y[:k], value + h, *y[k + 1 :]]
        low = [*y[:k], value - h, *y[k + 1 :]]
        columns.append(np.subtract(slopes(high), slopes(low)) / (2 * h))
    return np.array(columns).T


def eigenvalues(
    unit: GridFollowing | GridForming, scr: float, *, f0_hz: float, machine: Machine | None = None
) -> np.ndarray:
    """Eigenvalues of a converter at rest, at an infinite bus or beside a machine.

    Parameters
    ----------
    unit : GridFollowing or GridForming
        The converter.
    scr : float
        Short-circuit ratio of the line on the converter's rating, above 0; infinite for no line
        [-].
    f0_hz : float
        Nominal frequency, from 1 to 1000 [Hz].
    machine : Machine, optional
        An area whose frequency responds; without it the bus is infinite.

    Returns
    -------
    array, shape (states,)
        Complex, the rightmost first: 7 for GridFollowing, 2 for GridForming, and 3 more with a
        machine [1/s].

    Raises
    ------
    TypeError
        If unit is no `GridFollowing` or `GridForming`, or machine is no `Machine`.
    ValueError
        If there is no operating point, if scr is not above 0, or if f0_hz is not that of the
        machine's grid.

    Examples
    --------
    >>> unit = GridForming(p_pu=0.5, droop_pu=0.05, filter_rad_per_s=10.0, x_pu=0.15)
    >>> eigenvalues(unit, scr=5.0, f0_hz=60.0).round(1).tolist()
    [(-5+22.5j), (-5-22.5j)]
    """
    f0 = _checked_f0(f0_hz, machine)
    rest, make = _start(unit, scr)
    converter = make(unit, scr, f0)
    count = len(rest)
    if machine is None:
        joint = _joint(converter, _infinite(0.0), count, 1.0)
        matrix = _jacobian(joint, [*rest, 0.0])[:count, :count]  # the bus has no state of its own
    else:
        joint = _joint(converter, _machine(machine, 0.0, unit.p_pu), count, 1.0)
        matrix = _jacobian(joint, [*rest, 0.0, 0.0, 0.0])
    return _rightmost_first(np.linalg.eigvals(matrix).astype(complex))


def _refuse_loop(values):
    """Refuse to start from an operating point that is not stable."""
    if values[0].real > 1e-6 * max(abs(values)):
        raise ValueError(
            f"the loop is unstable: it has the eigenvalue {values[0]:.4g} 1/s. "
            "A slower PLL, a quicker measurement or a larger scr may help"
        )


def _solve(slopes, y, t_s):
    """States at times t_s, one row each, from y at the first.

    By LSODA, which chooses steps, orders and methods by itself.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ODEintWarning)
        try:
            states, report = odeint(
                lambda t, now: slopes(now.tolist()),
                y,
                t_s,
                tfirst=True,
                full_output=True,
                rtol=1e-7,
                atol=1e-9,
                mxstep=10_000,
            )
        except (OverflowError, ValueError) as error:  # of math, from a state that is infinite
            raise ValueError(
                "the run could not be followed: its states grow beyond all bounds"
            ) from error
    if report["message"] != "Integration successful." or not np.isfinite(states).all():
        raise ValueError(
            f"the run could not be followed beyond {report['tcur'].max():g} s: {report['message']} "
            "A smaller dt_s or a shorter t_end_s may help"
        )
    return states


class _Span(NamedTuple):
    """A part of a run in which nothing changes from outside, from its first to its last step."""

    first: int
    last: int
    jumps: bool  # at its first step
    begun: bool
    ramps: bool
    dips: bool


def _spans(disturbance, count, dt):
    """The spans of a run of `count` steps."""

    def step(t_s):
        return min(round(t_s / dt), count) if t_s < count * dt else count

    at = step(disturbance.t_s)
    ramp_end = step(disturbance.t_s + disturbance.ramp_s)
    dip_end = step(disturbance.t_s + disturbance.dip_s)
    edges = sorted({0, at, ramp_end, dip_end, count})
    return [
        _Span(
            first=first,
            last=last,
            jumps=first == at,
            begun=first >= at,
            ramps=at <= first < ramp_end,
            dips=at <= first < dip_end,
        )
        for first, last in itertools.pairwise(edges)
    ]


def _refuse_disturbance(disturbance, machine):
    """Refuse a ramp beside a machine, and a loss at an infinite bus."""
    instance("disturbance", disturbance, Disturbance)
    if machine is None and disturbance.loss_mw:
        raise ValueError(
            f"loss_mw is {disturbance.loss_mw:g} MW, but nothing is lost at an infinite bus; "
            "give an area with a machine, or move the bus by rocof_hz_per_s"
        )
    if machine is not None and disturbance.rocof_hz_per_s:
        raise ValueError(
            f"rocof_hz_per_s is {disturbance.rocof_hz_per_s:g} Hz/s, but it moves an infinite bus "
            "only; give a loss_mw to the area with a machine"
        )


def _surroundings(unit, scr, disturbance, machine, span):
    """Short-circuit ratio, voltage of the bus, and slopes of the grid during a span."""
    line = disturbance.scr if span.begun and disturbance.scr is not None else scr
    v_grid = disturbance.v_pu if span.dips else 1.0
    if machine is None:
        bus = _infinite(disturbance.rocof_hz_per_s if span.ramps else 0.0)
    else:
        bus = _machine(machine, disturbance.loss_mw if span.begun else 0.0, unit.p_pu)
    return line, v_grid, bus


def _run_table(rows, f0, dt):
    """The rows of a run as a table."""
    df, dw, p, q, i, v, angle = rows.T
    _refuse_standstill(f0 + df)
    columns = {
        "f_hz": f0 + dw / _TURN,
        "f_grid_hz": f0 + df,
        "p_pu": p,
        "q_pu": q,
        "i_pu": i,
        "v_pu": v,
        "angle_deg": np.degrees(angle),
    }
    return pd.DataFrame(columns, index=pd.Index(np.arange(len(df)) * dt, name="t_s"))


def simulate(
    unit: GridFollowing | GridForming,
    scr: float,
    disturbance: Disturbance,
    *,
    f0_hz: float,
    machine: Machine | None = None,
    t_end_s: float = 1.0,
    dt_s: float = 0.001,
) -> pd.DataFrame:
    """Time series of a converter behind a line, from its operating point through a disturbance.

    Parameters
    ----------
    unit : GridFollowing or GridForming
        The converter.
    scr : float
        Short-circuit ratio of the line on the converter's rating, above 0; infinite for no line
        [-].
    disturbance : Disturbance
        Its times are rounded to whole steps. A ramp needs an infinite bus, a loss a machine.
    f0_hz : float
        Nominal frequency, from 1 to 1000 [Hz].
    machine : Machine, optional
        An area whose frequency responds; without it the bus is infinite.
    t_end_s : float
        Length of the run, at most 3600 [s].
    dt_s : float
        Distance of the rows; the solver chooses its own steps [s].

    Returns
    -------
    DataFrame
        Index t_s [s]; columns `f_hz` (what a PLL reports, or what a grid-forming unit makes),
        `f_grid_hz` [Hz], `p_pu`, `q_pu`, `i_pu` [pu], `v_pu` (at the converter's terminals, outside
        of a grid-forming unit's own reactance) [pu], and `angle_deg` (converter ahead of the bus;
        beyond 180 it is out of step) [degrees]. The row at an event shows the instant after it.

    Raises
    ------
    TypeError
        If unit, disturbance or machine is of another kind.
    ValueError
        If there is no operating point, or if it is unstable (the message names the eigenvalue).
        If the disturbance takes the frequency of the grid to 0, or an argument lies outside of its
        limits. What the disturbance makes of the converter is shown, not refused.

    Examples
    --------
    >>> unit = GridForming(p_pu=0.5, droop_pu=0.05, filter_rad_per_s=10.0, x_pu=0.15)
    >>> jump = Disturbance(t_s=0.1, jump_deg=-10.0)
    >>> run = simulate(unit, 5.0, jump, f0_hz=60.0, machine=None, t_end_s=0.5, dt_s=0.01)
    >>> round(float(run.p_pu.max()), 3)
    0.981
    """
    f0 = _checked_f0(f0_hz, machine)
    dt = _checked_step(dt_s)
    steps_in_all = _count_steps(t_end_s, dt)
    _refuse_disturbance(disturbance, machine)
    _refuse_loop(eigenvalues(unit, scr, f0_hz=f0, machine=machine))
    rest, make = _start(unit, scr)
    count = len(rest)
    y = rest + [0.0] * (1 if machine is None else 3)
    parts = []
    for span in _spans(disturbance, steps_in_all, dt):
        if span.jumps:
            y[0] -= math.radians(disturbance.jump_deg)
        line, v_grid, bus = _surroundings(unit, scr, disturbance, machine, span)
        t = np.arange(span.first, span.last + 1) * dt
        states = _solve(_joint(make(unit, line, f0), bus, count, v_grid), y, t)
        df = states[:, count]
        _, out = make(unit, line, f0, _Arrays)(states[:, :count].T, _TURN * df, v_grid)
        rows = np.column_stack([df, *out])
        parts.append(rows if span.last == steps_in_all else rows[:-1])
        y = states[-1].tolist()
    return _run_table(np.concatenate(parts), f0, dt)


# ---------------------------------------------------------------------- the direct-current side


@dataclass(frozen=True, kw_only=True)
class DcLink:
    r"""The direct-current side of a converter: a capacitor, and the battery that refills it.

    What the converter gives and the battery does not is taken out of the capacitor.

    .. math:: \frac{d}{dt}\left(\tfrac12 C_{dc} v_{dc}^2\right) = p_{bat} - p            (7.1)

    Attributes
    ----------
    capacitance_mf : float
        C_dc, above 0 [mF].
    v_rest_v : float
        Voltage to which the battery's control returns, between the two limits [V].
    v_min_v : float
        Below this the bridge can no longer make its alternating voltage, above 0 [V].
    v_max_v : float
        Above this the converter switches off to protect itself [V].
    p_charge_max_kw : float
        Largest power that the battery takes, at least 0 [kW].
    p_discharge_max_kw : float
        Largest power that the battery gives, at least 0 [kW].
    t_battery_s : float
        Lag of the battery's own control, above 0 [s].
    t_restore_s : float
        Time constant with which this control asks for the energy that the capacitor lacks, above 0
        [s].

    Examples
    --------
    >>> link = DcLink(
    ...     capacitance_mf=1.0,
    ...     v_rest_v=750.0,
    ...     v_min_v=650.0,
    ...     v_max_v=850.0,
    ...     p_charge_max_kw=11.0,
    ...     p_discharge_max_kw=11.0,
    ...     t_battery_s=0.002,
    ...     t_restore_s=0.02,
    ... )
    >>> link.v_rest_v
    750.0
    """

    capacitance_mf: float
    v_rest_v: float
    v_min_v: float
    v_max_v: float
    p_charge_max_kw: float
    p_discharge_max_kw: float
    t_battery_s: float
    t_restore_s: float

    def __post_init__(self):
        keep_single(
            self,
            capacitance_mf=dict(unit="mF", **_ABOVE_0),
            v_rest_v=dict(unit="V", **_ABOVE_0),
            v_min_v=dict(unit="V", **_ABOVE_0),
            v_max_v=dict(unit="V", **_ABOVE_0),
            p_charge_max_kw=dict(unit="kW", **_FROM_0),
            p_discharge_max_kw=dict(unit="kW", **_FROM_0),
            t_battery_s=dict(unit="s", **_ABOVE_0),
            t_restore_s=dict(unit="s", **_ABOVE_0),
        )
        if not self.v_min_v < self.v_rest_v < self.v_max_v:
            raise ValueError(
                f"v_rest_v is {self.v_rest_v:g} V; it must lie between v_min_v = "
                f"{self.v_min_v:g} V and v_max_v = {self.v_max_v:g} V"
            )


def hold_time(p_kw: ArrayLike, link: DcLink) -> FloatOrArray:
    """Return how long the capacitor alone keeps the converter running.

    Equation (7.1) without any power from the battery, from the voltage at rest to the limit.

    Parameters
    ----------
    p_kw : float or array
        Constant power of the converter; above 0 empties the capacitor to v_min_v, below 0 fills it
        to v_max_v [kW].
    link : DcLink
        The direct-current side.

    Returns
    -------
    float or array
        Infinite where the power is 0 [s].

    Raises
    ------
    TypeError
        If link is of another kind.
    ValueError
        If p_kw is not finite.

    Examples
    --------
    >>> link = DcLink(
    ...     capacitance_mf=1.0,
    ...     v_rest_v=750.0,
    ...     v_min_v=650.0,
    ...     v_max_v=850.0,
    ...     p_charge_max_kw=11.0,
    ...     p_discharge_max_kw=11.0,
    ...     t_battery_s=0.002,
    ...     t_restore_s=0.02,
    ... )
    >>> round(hold_time(7.0, link), 4)
    0.01
    """
    p = checked("p_kw", p_kw, "kW", **_SIGNED)
    instance("link", link, DcLink)
    rest = _stored_kj(link, link.v_rest_v)
    lost = np.where(p > 0, rest - _stored_kj(link, link.v_min_v), 0.0)
    lost = np.where(p < 0, rest - _stored_kj(link, link.v_max_v), lost)
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds = np.where(p == 0, math.inf, lost / p)  # eq. (7.1)
    return plain(seconds)


def _stored_kj(link, v):
    """Energy in the capacitor at a voltage. [kJ]"""
    return 0.5e-6 * link.capacitance_mf * v**2


def dc_link(p_kw: ArrayLike, link: DcLink, *, dt_s: float) -> pd.DataFrame:
    """Time series of the direct-current side, behind a converter that gives p_kw.

    The battery follows the converter's power and the energy that the capacitor lacks, both through
    the lag of its control and within its limits.

    Parameters
    ----------
    p_kw : array, shape (steps,)
        Power of the converter, each held for one step; it has been the first one for long [kW].
    link : DcLink
        The direct-current side.
    dt_s : float
        Length of a step, at most half of t_battery_s and of t_restore_s [s].

    Returns
    -------
    DataFrame
        Index t_s, the beginning of each step [s]; columns `p_kw`, `p_battery_kw` [kW] and `v_dc_v`
        [V]. It ends early, with the row in which the voltage has left its limits: from there on the
        converter is off.

    Raises
    ------
    TypeError
        If link is of another kind.
    ValueError
        If the battery cannot give the first power for long; if dt_s is too long for the lags; if an
        argument lies outside of its limits.

    Examples
    --------
    >>> link = DcLink(
    ...     capacitance_mf=1.0,
    ...     v_rest_v=750.0,
    ...     v_min_v=650.0,
    ...     v_max_v=850.0,
    ...     p_charge_max_kw=11.0,
    ...     p_discharge_max_kw=11.0,
    ...     t_battery_s=0.002,
    ...     t_restore_s=0.02,
    ... )
    >>> run = dc_link([5.0] + [8.0] * 99, link, dt_s=0.001)
    >>> round(float(run.v_dc_v.min()), 1)
    743.2
    """
    p = row("p_kw", p_kw, "kW", **_SIGNED)
    instance("link", link, DcLink)
    dt = _checked_step(dt_s)
    shortest = min(link.t_battery_s, link.t_restore_s)
    if dt > shortest / 2:
        raise ValueError(
            f"dt_s is {dt:g} s; it must be at most half of the shortest time constant of link, "
            f"{shortest:g} s"
        )
    if not -link.p_charge_max_kw <= p[0] <= link.p_discharge_max_kw:
        raise ValueError(
            f"p_kw begins with {p[0]:g} kW, which the battery cannot give for long; its limits are "
            f"{-link.p_charge_max_kw:g} and {link.p_discharge_max_kw:g} kW"
        )
    data = pd.DataFrame(
        _dc_rows(p.tolist(), link, dt), columns=["p_kw", "p_battery_kw", "v_dc_v"], dtype=float
    )
    data.index = pd.Index(np.arange(len(data)) * dt, name="t_s")
    return data


def _dc_rows(p, link, dt):
    """Power of the converter, power of the battery and voltage at the beginning of each step."""
    rest = _stored_kj(link, link.v_rest_v)
    least = _stored_kj(link, link.v_min_v)
    most = _stored_kj(link, link.v_max_v)
    kept = math.exp(-dt / link.t_battery_s)  # of the battery's distance from what it is asked for
    stored = rest
    battery = p[0]
    rows = []
    for given in p:
        volts = math.sqrt(2e6 * max(stored, 0.0) / link.capacitance_mf)
        rows.append((given, battery, volts))
        if not least <= stored <= most:
            break
        asked = given + (rest - stored) / link.t_restore_s
        asked = _Floats.clip(asked, -link.p_charge_max_kw, link.p_discharge_max_kw)
        lag = (battery - asked) * link.t_battery_s * (1 - kept)
        stored += asked * dt + lag - given * dt  # eq. (7.1)
        battery = asked + (battery - asked) * kept
    return rows


# ---------------------------------------------------------------------------- without a grid


def _checked_forming(units):
    known = instances("units", units, (GridForming, GridFollowing))
    if not known or any(isinstance(unit, GridFollowing) for unit in known):
        raise ValueError(
            "units must be a list of GridForming. A grid-following unit alone with a resistance "
            "has no solution: its PLL measures the voltage that its own current makes, v_q is 0 at "
            "any frequency, and nothing sets the frequency"
        )
    return known


def _checked_ratings(rating_kva, count):
    """One rating for each unit."""
    rating = checked("rating_kva", rating_kva, "kVA", **_ABOVE_0)
    if np.shape(rating) not in ((), (count,)):
        raise ValueError(
            f"rating_kva has shape {np.shape(rating)}; give one number, or one for each of the "
            f"{count} units"
        )
    return np.broadcast_to(rating, count).tolist()


def _checked_loads(load_kw, step_kw):
    """Load before and after the step."""
    load = one("load_kw", load_kw, "kW", **_FROM_0)
    step = one("step_kw", step_kw, "kW", **_SIGNED)
    return load, one("load_kw + step_kw", load + step, "kW", ge=0)


def _step_of_event(t_step_s, t_end_s, dt):
    """Step at which the load changes, after the first and before the last."""
    at = one("t_step_s", t_step_s, "s", gt=0, le=_LONGEST_S)
    if at < dt:
        raise ValueError(f"t_step_s is {at:g} s, before the first step of dt_s = {dt:g} s")
    if t_end_s <= at + dt / 2:
        raise ValueError(
            f"t_end_s is {t_end_s:g} s; it must come after the step at t_step_s = {at:g} s"
        )
    return round(at / dt)


def _island(units, ratings, load_kw, f0, y, ops=_Floats):
    """Slopes of the states, and (f, p, i) of every unit and the voltage.

    The states are all angles, and then all deviations of frequency in per unit.
    """
    sources = [unit.e_pu * ops.cis(angle) for unit, angle in zip(units, y)]
    lines = [rating / (1j * unit.x_pu) for unit, rating in zip(units, ratings)]
    injected = sum(e * line for e, line in zip(sources, lines))
    v = injected / (load_kw + sum(lines))  # eq. (7.32)
    angles = []
    speeds = []
    out = []
    for unit, rating, e, line, dw in zip(units, ratings, sources, lines, y[len(units) :]):
        i = line * (e - v) / rating
        p = (e * i.conjugate()).real
        angles.append(_TURN * f0 * dw)
        speeds.append(unit.filter_rad_per_s * (unit.droop_pu * (unit.p_pu - p) - dw))  # eq. (7.9)
        out += [f0 * (1 + dw), p * rating, abs(i)]
    return angles + speeds, (*out, abs(v))


def _island_rest(island, count):
    """States in which all units turn together and the first has the angle 0."""

    def state(unknown):
        deviation, *angles = unknown.tolist()
        return [0.0, *angles, *[deviation] * count]

    found, _, ok, _ = fsolve(
        lambda unknown: island(state(unknown))[0][count:],
        np.zeros(count),
        full_output=True,
        xtol=1e-12,
    )
    if ok != 1:
        raise ValueError("the units find no common frequency at this load_kw")
    return state(found)


def _island_rows(island, states):
    """What is shown of the states, one row each."""
    _, out = island(states.T, _Arrays)
    return np.array(out).T


def _island_columns(count):
    names = []
    for k in range(1, count + 1):
        names += [f"f_{k}_hz", f"p_{k}_kw", f"i_{k}_pu"]
    return [*names, "v_pu"]


def _refuse_island_current(units, data):
    for k, unit in enumerate(units, start=1):
        worst = data[f"i_{k}_pu"].max()
        if worst > unit.i_max_pu:
            raise ValueError(
                f"unit {k} needs {worst:.4g} pu of current, but i_max_pu is {unit.i_max_pu:g}: "
                "alone and limited, it no longer holds the voltage"
            )


def microgrid(
    units: Sequence[GridForming],
    rating_kva: ArrayLike,
    load_kw: float,
    step_kw: float,
    *,
    f0_hz: float,
    t_step_s: float = 0.1,
    t_end_s: float = 1.0,
    dt_s: float = 0.001,
) -> pd.DataFrame:
    r"""Time series of grid-forming converters alone with a load, through a step of this load.

    No machine and no other grid sets the frequency, so a change of load moves it.

    .. math:: V_b = \frac{\sum_i S_i E_i e^{j\theta_i} / (j X_i)}{P_L + \sum_i S_i / (j X_i)},\qquad
              P_i = \mathrm{Re}\left[E_i e^{j\theta_i}\,
              \overline{\frac{S_i}{j X_i}\left(E_i e^{j\theta_i} - V_b\right)}\right]        (7.32)

    Parameters
    ----------
    units : list of GridForming
        The converters, each behind its own reactance at one bus.
    rating_kva : float or array, shape (units,)
        Rating of each, above 0 [kVA].
    load_kw : float
        A resistance that draws this at 1 pu, at least 0 [kW].
    step_kw : float
        What is added to it at `t_step_s`; below 0 it is taken away, and the sum is at least 0 [kW].
    f0_hz : float
        Nominal frequency, from 1 to 1000 [Hz].
    t_step_s : float
        Time of the step, at least dt_s [s].
    t_end_s : float
        Length of the run, after t_step_s and at most 3600 [s].
    dt_s : float
        Distance of the rows; the solver chooses its own steps [s].

    Returns
    -------
    DataFrame
        Index t_s [s]; columns `f_1_hz` [Hz], `p_1_kw` [kW], `i_1_pu` [pu], and so on for every
        unit; `v_pu`, the voltage of the bus [pu].

    Raises
    ------
    TypeError
        If units is no list, or holds something else than converters.
    ValueError
        If units is empty, or one of them is not grid-forming; if a current exceeds its limit, as
        then nothing holds the voltage; if an argument lies outside of its limits.

    Examples
    --------
    >>> steep = GridForming(p_pu=0.0, droop_pu=0.05, filter_rad_per_s=30.0, x_pu=0.1)
    >>> flat = GridForming(p_pu=0.0, droop_pu=0.025, filter_rad_per_s=30.0, x_pu=0.1)
    >>> run = microgrid(
    ...     [steep, flat], [10.0, 10.0], 3.0, 6.0, f0_hz=60.0, t_step_s=0.1, t_end_s=1.0, dt_s=0.01
    ... )
    >>> run[["p_1_kw", "p_2_kw"]].iloc[-1].round(2).tolist()
    [2.99, 5.99]
    """
    checked_units = _checked_forming(units)
    ratings = _checked_ratings(rating_kva, len(checked_units))
    load, raised = _checked_loads(load_kw, step_kw)
    f0 = _checked_f0(f0_hz)
    dt = _checked_step(dt_s)
    t = np.arange(_count_steps(t_end_s, dt) + 1) * dt
    event = _step_of_event(t_step_s, t_end_s, dt)
    before = partial(_island, checked_units, ratings, load, f0)
    after = partial(_island, checked_units, ratings, raised, f0)
    rest = _island_rest(before, len(checked_units))
    matrix = _jacobian(lambda y: before(y)[0], rest)
    _refuse_loop(_rightmost_first(np.linalg.eigvals(matrix)))
    still = np.tile(rest, (event, 1))
    moving = _solve(lambda y: after(y)[0], rest, t[event:])
    rows = np.vstack([_island_rows(before, still), _island_rows(after, moving)])
    columns = _island_columns(len(checked_units))
    data = pd.DataFrame(rows, columns=columns, index=pd.Index(t, name="t_s"))
    _refuse_island_current(checked_units, data)
    return data
