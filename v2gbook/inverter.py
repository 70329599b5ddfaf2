r"""Topic 07, inverter: follow the grid's rhythm, or make it.

A follower measures the grid's angle with a phase-locked loop (`Pll`, `track`) and pushes a current in step with it (`Follower`). A former keeps a voltage of its own
and lets its power set its frequency (`Former`). Closed forms say how each answers; `simulate` puts either behind a line (`scr`) at an infinite bus or beside a
synchronous machine, `eigenvalues` tells whether it rests there, `microgrid` leaves formers alone with a load.

All models are averaged over the switching and balanced. A follower's line is dynamic, its current control one lag: it holds from about a millisecond to some
seconds. A former's line is a phasor: it holds for what is slower than a cycle or two. The direct-current side, inner voltage control, delays of sampling,
transformers, resistance of the line, harmonics, unbalance and every protection are left out.

Per unit means per rating of the converter. p > 0 flows from the vehicle to the grid, q > 0 is injected. An angle jump or a ROCOF above 0 moves the grid forward.
"""

import cmath
import math
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.integrate import ODEintWarning, odeint
from scipy.optimize import fsolve

from . import frequency
from ._check import checked, plain
import itertools

_TURN = 2 * math.pi
_SOGI_GAIN = math.sqrt(2)  # quadrature filter: damping 1/sqrt(2)
_PLL_RANGE_PU = 0.5  # a converter's PLL reports no more than this away from f0 (EPRI's generic model: 0.5 to 1.5)
_SOFT_STOP = 1e-4  # a valve stops within this share of its rating: a dead stop would be a corner that no solver passes
_LEAST_V_PU = 0.05  # a current command of p/v is not computed with less


class _Floats:
    """The few operations of the models on Python floats: for the solver, which asks one instant at a time."""

    sin, cos, hypot, sqrt, cis = (
        math.sin,
        math.cos,
        math.hypot,
        math.sqrt,
        staticmethod(lambda angle: cmath.rect(1.0, angle)),
    )

    @staticmethod
    def clip(x, low, high):
        return low if x < low else high if x > high else x


class _Arrays:
    """The same on arrays: for a whole run at once, when it is done."""

    sin, cos, hypot, sqrt, clip, cis = (
        np.sin,
        np.cos,
        np.hypot,
        np.sqrt,
        np.clip,
        staticmethod(lambda angle: np.exp(1j * angle)),
    )


# ------------------------------------------------------------------------------------------- what the grid does to it


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """What happens at `at_s`. Fields that are left alone do not change anything.

    Attributes
    ----------
    at_s : float
        [s]
    jump_deg : float
        The angle of the grid's voltage jumps by this; below 0 backward, so that the frequency seems to dip. [degrees]
    rocof_hz_per_s, ramp_s : float
        Frequency of an infinite bus moves at this rate for this long, and then stays. [Hz/s], [s]
    v_pu, dip_s : float
        Voltage of the bus for this long; then 1 again. [pu], [s]
    scr : float or None
        Short-circuit ratio from then on: a line has tripped.
    loss_mw : float
        Generation lost in an area with a machine; a load step is the same. [MW]
    """

    at_s: float = 0.1
    jump_deg: float = 0.0
    rocof_hz_per_s: float = 0.0
    ramp_s: float = math.inf
    v_pu: float = 1.0
    dip_s: float = math.inf
    scr: float | None = None
    loss_mw: float = 0.0

    def __post_init__(self):
        checked("at_s", self.at_s, "s", ge=0)
        checked("jump_deg", self.jump_deg, "degrees", ge=-180, le=180)
        checked("rocof_hz_per_s", self.rocof_hz_per_s, "Hz/s")
        checked("v_pu", self.v_pu, "pu", ge=0)
        for name in ("ramp_s", "dip_s"):
            checked(name, getattr(self, name), "s", gt=0, finite=False)
        if self.scr is not None:
            _line_pu(self.scr)
        checked("loss_mw", self.loss_mw, "MW")


def _bus(disturbance, t_s):
    """Angle [rad, on top of f0], deviation of frequency [Hz] and voltage [pu] of an infinite bus at times t_s."""
    after = np.maximum(t_s - disturbance.at_s, 0.0)
    moved = np.minimum(after, disturbance.ramp_s)
    begun = t_s >= disturbance.at_s - 1e-9
    turned = disturbance.rocof_hz_per_s * (moved**2 / 2 + moved * (after - moved))
    angle = np.where(begun, math.radians(disturbance.jump_deg), 0.0) + _TURN * turned
    dipped = begun & (t_s < disturbance.at_s + disturbance.dip_s - 1e-9)
    return angle, disturbance.rocof_hz_per_s * moved, np.where(dipped, disturbance.v_pu, 1.0)


# ------------------------------------------------------------------------------------------------ the phase-locked loop


@dataclass(frozen=True, kw_only=True)
class Pll:
    r"""Gains of a phase-locked loop in a rotating frame (SRF-PLL): an algorithm that turns its own angle until v_q vanishes.

    .. math:: v_q = V\sin(\theta_g - \theta),\qquad \dot\theta = \omega_0 + k_p v_q + k_i\!\int\! v_q\,dt            (7.1)

    Attributes
    ----------
    kp_per_s, ki_per_s2 : float
        For v_q in per unit. A lower voltage makes the loop slower: it is not divided by V here. [1/s], [1/s2]
    """

    kp_per_s: float
    ki_per_s2: float

    def __post_init__(self):
        checked("kp_per_s", self.kp_per_s, "1/s", gt=0)
        checked("ki_per_s2", self.ki_per_s2, "1/s2", gt=0)

    @property
    def wn_rad_per_s(self):
        """Natural frequency at 1 pu. [rad/s]"""
        return math.sqrt(self.ki_per_s2)

    @property
    def zeta(self):
        """Damping ratio at 1 pu. [-]"""
        return self.kp_per_s / (2 * self.wn_rad_per_s)


def pll_natural(wn_rad_per_s, zeta, amplitude=1.0):
    r"""Gains that put the poles of the loop where they are wanted.

    .. math:: k_p = \frac{2\zeta\omega_n}{V},\qquad k_i = \frac{\omega_n^2}{V}            (7.2)

    Parameters
    ----------
    wn_rad_per_s, zeta : float
        Natural frequency [rad/s] and damping ratio [-].
    amplitude : float
        Voltage in the unit in which v_q comes: 1 for per unit, or the peak in volts.

    Returns
    -------
    Pll

    Source: V. Kaura and V. Blasko, "Operation of a phase locked loop system under distorted utility conditions", IEEE Trans. Industry Applications 33(1), 1997
    (from memory); rule read in the documentation of Aalto's motulator.
    """
    wn, zeta = checked("wn_rad_per_s", wn_rad_per_s, "rad/s", gt=0), checked("zeta", zeta, gt=0)
    v = checked("amplitude", amplitude, gt=0)
    return Pll(kp_per_s=2 * zeta * wn / v, ki_per_s2=wn**2 / v)  # eq. (7.2)


def pll_gains(settling_s, zeta, band):
    r"""Gains for a settling time: the envelope of a step's answer has shrunk to `band` of the step.

    .. math:: \omega_n = \frac{1}{\zeta\,t_s}\ln\frac{1}{\delta\sqrt{1-\zeta^2}}            (7.3)

    Parameters
    ----------
    settling_s, zeta, band : float
        Time [s], damping ratio (below 1), and the band (0.05: 5 %).

    Returns
    -------
    Pll

    Raises
    ------
    ValueError
        If zeta is 1 or above: the answer has no envelope then.

    Source: the constants of TI's C2000 software PLL are this rule with 40 ms, 0.7 and 5 % (inferred; they agree in twelve digits).
    """
    settling_s, zeta = (
        checked("settling_s", settling_s, "s", gt=0),
        checked("zeta", zeta, gt=0, lt=1),
    )
    band = checked("band", band, "(a fraction)", gt=0, lt=1)
    return pll_natural(
        math.log(1 / (band * math.sqrt(1 - zeta**2))) / (zeta * settling_s), zeta
    )  # eq. (7.3)


def loop_filter(pll, fs_hz):
    r"""Coefficients of the loop filter in a processor that samples at `fs_hz` (trapezoidal rule).

    .. math:: y_n = y_{n-1} + B_0 v_n + B_1 v_{n-1},\qquad B_0 = k_p + \tfrac12 k_i T,\quad B_1 = -(k_p - \tfrac12 k_i T)            (7.4)

    Returns
    -------
    (float, float)
        B0 and B1. [1/s]
    """
    half = pll.ki_per_s2 / checked("fs_hz", fs_hz, "Hz", gt=0) / 2
    return pll.kp_per_s + half, half - pll.kp_per_s  # eq. (7.4)


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """Answer of a loop: error of its angle (grid minus loop) [degrees], and the deviation of frequency that it reports [Hz]."""

    error_deg: float
    df_hz: float


def jump_answer(t_s, pll, jump_deg):
    r"""Answer of the linear loop (sin x = x) to a jump of the grid's angle, in every damping regime.

    .. math:: e(t) = \Delta\theta\,\frac{s_1 e^{s_1 t} - s_2 e^{s_2 t}}{s_1 - s_2},\quad
              \Delta f(t) = -\frac{\dot e(t)}{2\pi},\quad s_{1,2} = \omega_n\left(-\zeta \pm \sqrt{\zeta^2 - 1}\right)            (7.5)

    Parameters
    ----------
    t_s : float or array
        Time after the jump. [s]
    pll : Pll
    jump_deg : float
        [degrees]

    Returns
    -------
    Answer
        At zeta = 1 the roots are pulled apart by one part in a million, which changes nothing that can be seen.
    """
    t, jump = np.asarray(checked("t_s", t_s, "s", ge=0)), checked("jump_deg", jump_deg, "degrees")
    zeta = pll.zeta if abs(pll.zeta - 1) > 1e-6 else 1 + 1e-6
    spread = cmath.sqrt(zeta**2 - 1)
    s1, s2 = (pll.wn_rad_per_s * (-zeta + sign * spread) for sign in (1, -1))
    error = (s1 * np.exp(s1 * t) - s2 * np.exp(s2 * t)) / (s1 - s2)
    slope = (s1**2 * np.exp(s1 * t) - s2**2 * np.exp(s2 * t)) / (s1 - s2)
    return Answer(
        error_deg=plain(jump * error.real), df_hz=plain(-jump / 360 * slope.real)
    )  # eq. (7.5)


def false_frequency(pll, jump_deg):
    r"""Frequency that a jump of the angle pretends to be, at its first instant.

    .. math:: \Delta f(0^+) = \frac{k_p\sin\Delta\theta}{2\pi}            (7.6)

    Parameters
    ----------
    pll : Pll
    jump_deg : float or array
        [degrees]

    Returns
    -------
    float or array
        Deviation; nothing in the grid moved at this frequency. [Hz]
    """
    return plain(
        pll.kp_per_s
        * np.sin(np.radians(checked("jump_deg", jump_deg, "degrees", ge=-180, le=180)))
        / _TURN
    )  # eq. (7.6)


def ramp_answer(pll, rocof_hz_per_s):
    r"""What remains while frequency ramps: a constant error of the angle, and a lag of the integrator. The output itself (7.1) has no error.

    .. math:: \sin e = \frac{2\pi\dot f}{k_i},\qquad \Delta f_{lag} = \frac{k_p}{k_i}\dot f = \frac{2\zeta}{\omega_n}\dot f            (7.7)

    Parameters
    ----------
    pll : Pll
    rocof_hz_per_s : float or array
        [Hz/s]

    Returns
    -------
    Answer
        `df_hz`: by how much the integrator is behind.

    Raises
    ------
    ValueError
        If the ramp is faster than ki / (2 pi): the loop never catches it.
    """
    rate, fastest = checked("rocof_hz_per_s", rocof_hz_per_s, "Hz/s"), pll.ki_per_s2 / _TURN
    checked(
        "rocof_hz_per_s",
        np.abs(rate),
        "Hz/s (ki / 2 pi; a faster ramp is never caught)",
        lt=fastest,
    )
    return Answer(
        error_deg=plain(np.degrees(np.arcsin(np.divide(rate, fastest)))),
        df_hz=plain(np.multiply(rate, pll.kp_per_s / pll.ki_per_s2)),
    )  # eq. (7.7)


def track(pll, disturbance, *, f0_hz, phases=3, t_end_s=0.3, dt_s=5e-5):
    r"""Run a PLL as a processor does, sample by sample, on a stiff grid's voltage.

    With one phase a second-order generalised integrator (SOGI) makes the quadrature that the rotating frame needs:

    .. math:: \dot x = \omega\left(\sqrt2\,(v - x) - y\right),\quad \dot y = \omega x,\quad v_q = y\cos\theta - x\sin\theta            (7.8)

    Parameters
    ----------
    pll : Pll
    disturbance : Disturbance
        Its jump, ramp and dip.
    f0_hz : float
        [Hz]
    phases : int
        3 or 1.
    t_end_s, dt_s : float
        Length of the run, and the sampling step: 5e-5 s is 20 kHz. [s]

    Returns
    -------
    DataFrame, index t_s
        `f_hz` (reported), `f_slow_hz` (integrator alone), `f_grid_hz`, `error_deg` (grid minus loop).

    Raises
    ------
    ValueError
        If the loop is unstable at 1 pu; the message names its pole.

    Source: M. Ciobotaru, R. Teodorescu, F. Blaabjerg, "A new single-phase PLL structure based on second order generalized integrator", PESC 2006 (from memory).
    """
    f0, dt = checked("f0_hz", f0_hz, "Hz", gt=0), checked("dt_s", dt_s, "s", gt=0)
    checked("t_end_s", t_end_s, "s", ge=dt)
    if disturbance.scr is not None or disturbance.loss_mw:
        raise ValueError(
            "track runs on a stiff grid; scr and loss_mw of the disturbance belong to simulate"
        )
    if phases not in (1, 3):
        raise ValueError(f"phases is {phases!r}; it must be 3 or 1")
    b0, b1 = loop_filter(pll, 1 / dt)
    _refuse_sampled(pll, f0, phases, dt, b0, b1)
    t = np.arange(round(t_end_s / dt) + 1) * dt
    angle, df, v = _bus(disturbance, t)
    detect = _quadrature(f0, dt) if phases == 1 else _three_phases
    y = past = own = slow = 0.0
    rows = []
    for n, (grid, size) in enumerate(zip(angle.tolist(), v.tolist())):
        vq = detect(grid, own, size, _TURN * f0 * n * dt, _TURN * f0 + y)
        y += b0 * vq + b1 * past  # eq. (7.4)
        slow = y - pll.kp_per_s * vq
        rows.append((y, slow, grid - own))
        past = vq
        own += dt * y  # eq. (7.1), on top of the turning at f0
    y, slow, error = np.array(rows).T
    return pd.DataFrame(
        {
            "f_hz": f0 + y / _TURN,
            "f_slow_hz": f0 + slow / _TURN,
            "f_grid_hz": f0 + df,
            "error_deg": np.degrees(error),
        },
        index=pd.Index(t, name="t_s"),
    )


def _three_phases(grid, own, size, turned, w):
    """v_q of a balanced voltage."""
    return size * math.sin(grid - own)


def _quadrature(f0, dt):
    """v_q of one phase: a SOGI stepped by the trapezoidal rule at the loop's own frequency."""
    start = -_TURN * f0 * dt
    x, quad, old = (
        math.cos(start),
        math.sin(start),
        math.cos(start),
    )  # settled on a cosine, one step ago

    def detect(grid, own, size, turned, w):
        nonlocal x, quad, old
        new, a = size * math.cos(turned + grid), w * dt / 2
        right_x = x - a * (_SOGI_GAIN * x + quad) + a * _SOGI_GAIN * (old + new)
        right_y = quad + a * x
        x = (right_x - a * right_y) / (1 + a * _SOGI_GAIN + a * a)  # eq. (7.8)
        quad, old = right_y + a * x, new
        return quad * math.cos(turned + own) - x * math.sin(turned + own)

    return detect


def _refuse_sampled(pll, f0, phases, dt, b0, b1):
    """Refuse gains with which the sampled loop, or the loop behind a SOGI's lag, runs away from 1 pu."""
    pole = max(np.roots([1.0, dt * b0 - 2.0, 1.0 + dt * b1]), key=abs)
    if abs(pole) >= 1:
        raise ValueError(
            f"the loop is unstable: kp_per_s = {pll.kp_per_s:g} 1/s, sampled every {dt:g} s, has the pole {pole:.3g}, outside the unit circle"
        )
    slow = max(
        np.roots([2 / (_SOGI_GAIN * _TURN * f0), 1.0, pll.kp_per_s, pll.ki_per_s2]),
        key=lambda s: s.real,
    )
    if phases == 1 and slow.real >= 0:
        raise ValueError(
            f"the loop is unstable: behind the lag of a SOGI at {f0:g} Hz it has the eigenvalue {slow:.3g} 1/s; lower ki_per_s2"
        )


# ------------------------------------------------------------------------------------------------- how strong is the grid


def short_circuit_ratio(short_circuit_mva, rating_mva):
    r"""Strength of the grid as a converter sees it; its inverse is the reactance of the line on the converter's rating.

    .. math:: SCR = \frac{S_{sc}}{S_r} = \frac{1}{X}            (7.9)

    Above 3 a grid is called strong, from 2 to 3 weak, below 2 very weak (IEEE 1204; from memory).
    """
    return checked("short_circuit_mva", short_circuit_mva, "MVA", gt=0) / checked(
        "rating_mva", rating_mva, "MVA", gt=0
    )  # eq. (7.9)


def _line_pu(scr):
    """Reactance of the line; 0 for an infinite ratio. [pu]"""
    return 1 / checked("scr", scr, gt=0, finite=False)


def transfer_limit(scr, support=False):
    r"""Largest power through the line: at unity power factor of the converter, or with its voltage held at 1 pu (`support`).

    .. math:: P_{max} = \frac{SCR}{2}\ \text{at unity power factor},\qquad P_{max} = SCR\ \text{with the voltage held}            (7.10)

    Returns
    -------
    float or array
        A static limit, for a line without resistance and a bus at 1 pu. [pu]
    """
    scr = checked("scr", scr, gt=0, finite=False)
    return scr if support else scr / 2  # eq. (7.10)


def terminal_voltage(p_pu, scr):
    r"""Voltage at a converter of unity power factor: the upper root of

    .. math:: V^4 - V^2 + X^2 P^2 = 0            (7.11)

    Parameters
    ----------
    p_pu, scr : float or array

    Returns
    -------
    float or array
        A ValueError if the line cannot carry so much. [pu]
    """
    p, x = checked("p_pu", p_pu, "pu"), _line_pu(np.asarray(scr) if np.ndim(scr) else scr)
    room = 1 - 4 * np.square(np.multiply(x, p))
    if np.any(room < 0):
        p, x, _ = (a[room < 0][0] for a in np.broadcast_arrays(p, x, room))
        raise ValueError(
            f"p_pu is {p:g}; at unity power factor and scr = {1 / x:g} the line carries at most {0.5 / x:g}"
        )
    return plain(np.sqrt((1 + np.sqrt(room)) / 2))  # eq. (7.11)


# ------------------------------------------------------------------------------------------------------ the follower


@dataclass(frozen=True, kw_only=True)
class Follower:
    r"""A grid-following converter: a current in the frame of its PLL, behind a line. (x without index is the reactance of the line.)

    .. math:: v_d = V\cos\delta - x\frac{\omega}{\omega_0} i_q + \frac{x}{\omega_0}\dot\imath_d,\qquad
              v_q = -V\sin\delta + x\frac{\omega}{\omega_0} i_d + \frac{x}{\omega_0}\dot\imath_q            (7.12)

    .. math:: T_i\,\dot\imath_d = \frac{p}{|v_m|} - i_d,\quad T_i\,\dot\imath_q = -k_v(1 - |v_m|) - i_q,\quad
              T_p\,\dot p = p^* - \frac{f - f_0}{R f_0} - p,\quad T_v\,\dot v_m = v - v_m            (7.13)

    The PLL turns on the measured v_m, reports at most half of f0 away from f0 (its integrator stops there), and the current is commanded by the size of v_m.

    Attributes
    ----------
    p_pu : float
        Command p*. [pu]
    pll : Pll
    droop_pu : float
        R, acting on the frequency that the PLL reports; infinite: none. [pu]
    support_pu : float
        k_v, reactive current per voltage that is missing; 0 is unity power factor. [pu]
    i_max_pu : float
        Limit of the current; the reactive part goes first. [pu]
    t_current_s, t_voltage_s, t_power_s : float
        Lags T_i of the closed current control, T_v of the measured voltage, T_p of the power command. [s]
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
        checked("p_pu", self.p_pu, "pu")
        checked("droop_pu", self.droop_pu, "pu", gt=0, finite=False)
        checked("support_pu", self.support_pu, "pu", ge=0)
        checked("i_max_pu", self.i_max_pu, "pu", gt=0, finite=False)
        for name in ("t_current_s", "t_voltage_s", "t_power_s"):
            checked(name, getattr(self, name), "s", gt=0)


def pll_poles(pll, x_pu, i_pu, *, f0_hz):
    r"""Poles of a PLL whose own current moves the voltage that it measures, with everything else slow.

    .. math:: \left(1 - \frac{k_p X I}{\omega_0}\right)s^2 + \left(k_p\cos\delta - \frac{k_i X I}{\omega_0}\right)s + k_i\cos\delta = 0,\quad
              \sin\delta = X I            (7.14)

    Parameters
    ----------
    pll : Pll
    x_pu, i_pu : float
        Reactance of the line, and active current at a grid of 1 pu; a product above 1 no angle can carry. [pu]
    f0_hz : float
        [Hz]

    Returns
    -------
    complex array, shape (2,)
        The rightmost first. [1/s]
    """
    drop = checked("x_pu", x_pu, "pu", ge=0) * checked("i_pu", i_pu, "pu")
    checked("the drop x_pu * i_pu", abs(drop), "pu (more than this no angle can carry)", lt=1)
    cosine, per_w0 = math.sqrt(1 - drop**2), drop / (_TURN * checked("f0_hz", f0_hz, "Hz", gt=0))
    poles = np.roots(
        [
            1 - pll.kp_per_s * per_w0,
            pll.kp_per_s * cosine - pll.ki_per_s2 * per_w0,
            pll.ki_per_s2 * cosine,
        ]
    )  # eq. (7.14)
    return poles[np.argsort(-poles.real, kind="stable")]


def _follower_rest(unit, scr):
    """Resting point of a follower at a bus of 1 pu: voltage, i_d, i_q and angle."""
    x, p, k = _line_pu(scr), unit.p_pu, unit.support_pu
    a = 1 + x * k  # V^2 = (a v - x k)^2 + (x p / v)^2, times v^2
    roots = np.roots([a * a, -2 * a * x * k, x * x * k * k - 1, 0.0, x * x * p * p])
    real = roots.real[
        (np.abs(roots.imag) < 1e-6) & (roots.real > 1e-9)
    ]  # the highest one has the angle below 90 degrees
    if not real.size:
        raise ValueError(
            f"p_pu is {p:g}; at scr = {1 / x:g} and support_pu = {k:g} the line cannot carry it (transfer_limit)"
        )
    v = float(real.max())
    i_d, i_q = p / v, -k * (1 - v)
    _refuse_current(math.hypot(i_d, i_q), unit)
    return v, i_d, i_q, math.asin(min(max(x * i_d, -1.0), 1.0))


def _refuse_current(i_pu, unit):
    if i_pu > unit.i_max_pu * (1 + 1e-9):
        raise ValueError(
            f"p_pu = {unit.p_pu:g} needs {i_pu:.4g} pu of current at rest; i_max_pu is {unit.i_max_pu:g}"
        )


def _follower(unit, scr, f0, ops=_Floats):
    """Function of the states (angle, PLL integrator, i_d, i_q, measured v_d and v_q, p): their slopes, and (dw in rad/s, p, q, i, v, angle)."""
    w0, xw = _TURN * f0, _line_pu(scr) / (_TURN * f0)
    kp, ki, k_v, most = unit.pll.kp_per_s, unit.pll.ki_per_s2, unit.support_pu, unit.i_max_pu
    t_i, t_v, t_p, p_set, per_rad = (
        unit.t_current_s,
        unit.t_voltage_s,
        unit.t_power_s,
        unit.p_pu,
        1 / (w0 * unit.droop_pu),
    )
    sin, cos, hypot, clip, most_w = ops.sin, ops.cos, ops.hypot, ops.clip, _PLL_RANGE_PU * w0

    def slopes(y, dw_grid, v_grid):
        angle, z, i_d, i_q, m_d, m_q, p = y
        dw, v_m = clip(z + kp * m_q, -most_w, most_w), hypot(m_d, m_q)  # eq. (7.1)
        want_q = clip(-k_v * (1 - v_m), -most, most)
        room = ops.sqrt(most * most - want_q * want_q)
        di_d = (clip(p / clip(v_m, _LEAST_V_PU, math.inf), -room, room) - i_d) / t_i  # eq. (7.13)
        di_q = (want_q - i_q) / t_i
        v_d = v_grid * cos(angle) + xw * (di_d - (w0 + dw) * i_q)  # eq. (7.12)
        v_q = -v_grid * sin(angle) + xw * (di_q + (w0 + dw) * i_d)
        dy = [
            dw - dw_grid,
            ki / kp * (dw - z),
            di_d,
            di_q,
            (v_d - m_d) / t_v,
            (v_q - m_q) / t_v,
            (p_set - per_rad * dw - p) / t_p,
        ]
        return dy, (
            dw,
            v_d * i_d + v_q * i_q,
            v_q * i_d - v_d * i_q,
            hypot(i_d, i_q),
            hypot(v_d, v_q),
            angle,
        )

    return slopes


# -------------------------------------------------------------------------------------------------------- the former


@dataclass(frozen=True, kw_only=True)
class Former:
    r"""A grid-forming converter: a voltage source whose frequency falls with its own filtered power.

    .. math:: p = \frac{E V\sin\delta}{x}\min\left(1, \frac{I_{max}}{I}\right),\qquad I = \frac{\sqrt{E^2 + V^2 - 2 E V\cos\delta}}{x}            (7.15)

    .. math:: \dot\delta = \omega - \omega_g,\qquad \frac{\dot\omega}{\omega_0\,\omega_c} = m_p(p^* - p) - \frac{\omega - \omega_0}{\omega_0}            (7.16)

    Attributes
    ----------
    p_pu : float
        Set-point p* at nominal frequency. [pu]
    droop_pu : float
        m_p, frequency per power, both per unit. Never infinite: power is all it knows of the others. [-]
    filter_rad_per_s : float
        Corner w_c of the filter of the measured power. [rad/s]
    x_pu : float
        Its own reactance (filter, transformer, or virtual), in series with the line's. [pu]
    e_pu : float
        Voltage behind it, held. [pu]
    i_max_pu : float
        Limit of the current: the current is scaled down and keeps its angle; the voltage is no longer its own then. [pu]
    """

    p_pu: float
    droop_pu: float
    filter_rad_per_s: float
    x_pu: float
    e_pu: float = 1.0
    i_max_pu: float = math.inf

    def __post_init__(self):
        checked("p_pu", self.p_pu, "pu")
        for name, unit in (
            ("droop_pu", "pu"),
            ("filter_rad_per_s", "rad/s"),
            ("x_pu", "pu"),
            ("e_pu", "pu"),
        ):
            checked(name, getattr(self, name), unit, gt=0)
        checked("i_max_pu", self.i_max_pu, "pu", gt=0, finite=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rotor:
    """A virtual rotor: inertia constant H [s] and damping D [pu power per pu frequency]."""

    h_s: float
    d_pu: float


def equivalent_rotor(droop_pu, filter_rad_per_s):
    r"""The virtual synchronous machine that droop with a filter is: the same equation, other letters.

    .. math:: 2H\frac{d}{dt}\frac{\omega}{\omega_0} = p^* - p - D\,\frac{\omega - \omega_0}{\omega_0},\qquad 2H = \frac{1}{m_p\,\omega_c},\quad D = \frac{1}{m_p}            (7.17)

    Parameters
    ----------
    droop_pu, filter_rad_per_s : float or array
        m_p [-] and w_c [rad/s].

    Returns
    -------
    Rotor

    Source: S. D'Arco and J. A. Suul, IEEE Trans. Smart Grid 5(1):394-395, 2014.
    """
    mp, wc = (
        checked("droop_pu", droop_pu, gt=0),
        checked("filter_rad_per_s", filter_rad_per_s, "rad/s", gt=0),
    )
    return Rotor(h_s=1 / (2 * np.multiply(mp, wc)), d_pu=1 / mp)  # eq. (7.17)


def virtual_machine(h_s, d_pu):
    """The other way round: droop and filter corner [rad/s] of a rotor, to be used as Former(droop_pu=..., filter_rad_per_s=...)."""
    h, d = checked("h_s", h_s, "s", gt=0), checked("d_pu", d_pu, "pu", gt=0)
    return {"droop_pu": 1 / d, "filter_rad_per_s": d / (2 * h)}


def stiffness(p_pu, x_pu, *, e_pu=1.0, v_pu=1.0):
    r"""Synchronising power per radian at a resting point.

    .. math:: K = \frac{E V\cos\delta_0}{X},\qquad \sin\delta_0 = \frac{p X}{E V}            (7.18)

    Parameters
    ----------
    p_pu, x_pu, e_pu, v_pu : float or array
        Power, whole reactance up to the stiff voltage, and both voltages. [pu]

    Returns
    -------
    float or array
        [pu per rad]
    """
    e, v, x = (
        checked("e_pu", e_pu, "pu", gt=0),
        checked("v_pu", v_pu, "pu", gt=0),
        checked("x_pu", x_pu, "pu", gt=0),
    )
    return plain(e * v * np.cos(_rest_angle(p_pu, x, e * v)) / x)  # eq. (7.18)


def _rest_angle(p_pu, x, ev):
    """Angle of a voltage source at rest, or a ValueError. [rad]"""
    sine = np.multiply(checked("p_pu", p_pu, "pu"), x) / ev
    if np.any(np.abs(sine) >= 1):
        raise ValueError(
            f"p_pu is {p_pu}; through a reactance of {x} pu at most {plain(np.divide(ev, x))} flows"
        )
    return np.arcsin(sine)


@dataclass(frozen=True, kw_only=True, eq=False)
class Mode:
    """An oscillation: natural frequency [rad/s], damping ratio [-]."""

    wn_rad_per_s: float
    zeta: float


def swing_mode(rotor, k_pu, *, f0_hz):
    r"""How a former swings against a stiff grid.

    .. math:: \omega_n = \sqrt{\frac{\omega_0 K}{2H}},\qquad \zeta = \frac{D}{4 H \omega_n}            (7.19)

    Parameters
    ----------
    rotor : Rotor
    k_pu : float or array
        [pu per rad]
    f0_hz : float
        [Hz]

    Returns
    -------
    Mode
        At zeta = 1 and above it does not swing.
    """
    w0, k = _TURN * checked("f0_hz", f0_hz, "Hz", gt=0), checked("k_pu", k_pu, "pu", gt=0)
    wn = np.sqrt(np.divide(w0 * np.asarray(k), 2 * rotor.h_s))
    return Mode(wn_rad_per_s=plain(wn), zeta=plain(rotor.d_pu / (4 * rotor.h_s * wn)))  # eq. (7.19)


@dataclass(frozen=True, kw_only=True, eq=False)
class Inherent:
    """What a former gives unasked: at once after a jump [pu], the time it takes to let it go [s], and in the end after a change of frequency [pu]."""

    p_jump_pu: float
    tau_s: float
    p_steady_pu: float


def inherent(droop_pu, x_pu, p_pu=0.0, *, jump_deg, df_hz, f0_hz):
    r"""Answer of a voltage source with droop (no filter, no limit, both voltages 1 pu) to a jump of the grid's angle, and to a change of its frequency.

    .. math:: \Delta p(0^+) = \frac{\sin(\delta_0 - \Delta\theta) - \sin\delta_0}{X},\qquad
              \tau = \frac{1}{m_p\,\omega_0\,K},\qquad \Delta p_\infty = -\frac{\Delta f}{m_p f_0}            (7.20)

    Parameters
    ----------
    droop_pu, x_pu, p_pu : float or array
        Droop, whole reactance, power before. [pu]
    jump_deg, df_hz : float or array
        Below 0 the grid falls back, and power flows out. [degrees], [Hz]
    f0_hz : float
        [Hz]

    Returns
    -------
    Inherent
    """
    mp, x, f0 = (
        checked("droop_pu", droop_pu, gt=0),
        checked("x_pu", x_pu, "pu", gt=0),
        checked("f0_hz", f0_hz, "Hz", gt=0),
    )
    jump, rest = (
        np.radians(checked("jump_deg", jump_deg, "degrees", ge=-180, le=180)),
        _rest_angle(p_pu, x, 1.0),
    )
    return Inherent(
        p_jump_pu=plain((np.sin(rest - jump) - np.sin(rest)) / x),  # eq. (7.20)
        tau_s=plain(1 / (np.multiply(mp, stiffness(p_pu, x)) * _TURN * f0)),
        p_steady_pu=plain(-np.divide(checked("df_hz", df_hz, "Hz"), np.multiply(mp, f0))),
    )


def ramp_power(t_s, rotor, rocof_hz_per_s, *, k_pu, f0_hz):
    r"""Power that a former adds while the grid's frequency ramps: inertia, damping and its swing (small angles).

    .. math:: \Delta p(t) = -\frac{\dot f}{f_0}\left[D t + 2H - \frac{D^2}{K\omega_0} + \sum_{1,2} A_i e^{s_i t}\right],\qquad
              2H s^2 + D s + K\omega_0 = 0,\quad A_i = \frac{K\omega_0(2H s_i + D)}{2H s_i^2 (s_i - s_j)}            (7.21)

    Parameters
    ----------
    t_s : float or array
        Since the ramp began. [s]
    rotor : Rotor
    rocof_hz_per_s, k_pu, f0_hz : float
        [Hz/s], [pu per rad], [Hz]

    Returns
    -------
    float or array
        What remains when the swing has died away is about -(2H f' + D df) / f0, the rule of thumb. [pu]
    """
    t, rate = (
        np.asarray(checked("t_s", t_s, "s", ge=0)),
        checked("rocof_hz_per_s", rocof_hz_per_s, "Hz/s"),
    )
    f0 = checked("f0_hz", f0_hz, "Hz", gt=0)
    h2, d, k = 2 * rotor.h_s, rotor.d_pu, checked("k_pu", k_pu, "pu", gt=0) * _TURN * f0
    spread = cmath.sqrt(d * d - 4 * h2 * k)
    spread = spread if abs(spread) > 1e-6 * d else 1e-6 * d
    s1, s2 = (-d + spread) / (2 * h2), (-d - spread) / (2 * h2)
    terms = [
        k * (h2 * a + d) / (h2 * a * a * (a - b)) * np.exp(a * t) for a, b in ((s1, s2), (s2, s1))
    ]
    return plain(-rate / f0 * (d * t + h2 - d * d / k + sum(terms).real))  # eq. (7.21)


@dataclass(frozen=True, kw_only=True, eq=False)
class Share:
    """Who carries how much of a load, and the deviation of frequency that they agree on."""

    p_kw: np.ndarray
    df_hz: float


def share(load_kw, rating_kva, droop_pu, *, f0_hz):
    r"""Formers in parallel share a load by their droop, without talking to each other. Set-points are 0.

    .. math:: P_i = \frac{S_i / m_i}{\sum_j S_j / m_j} P_L,\qquad \Delta f = -\frac{f_0 P_L}{\sum_j S_j / m_j}            (7.22)

    Parameters
    ----------
    load_kw : float
        [kW]
    rating_kva, droop_pu : array, shape (formers,)
        Rating [kVA], and droop on that rating [-].
    f0_hz : float
        [Hz]

    Returns
    -------
    Share
    """
    gains = np.atleast_1d(
        checked("rating_kva", rating_kva, "kVA", gt=0)
        / np.asarray(checked("droop_pu", droop_pu, gt=0))
    )
    part = checked("load_kw", load_kw, "kW") / gains.sum()
    return Share(p_kw=gains * part, df_hz=-checked("f0_hz", f0_hz, "Hz", gt=0) * part)  # eq. (7.22)


@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """Angles of a former with a current limit at a bus of 1 pu. [degrees]

    `rest_deg`: at rest. `limit_deg`: where the limit begins. `lost_deg`: beyond it, the former no longer comes back. A jump of the grid backward by
    `limit_deg - rest_deg` is the largest that it answers as a voltage source, one by `lost_deg - rest_deg` the largest after which it stays in step.
    """

    rest_deg: float
    limit_deg: float
    lost_deg: float


def current_limits(unit, scr):
    r"""Where the current limit begins, and where a limited former falls out of step.

    .. math:: \cos\delta_{lim} = \frac{E^2 + V^2 - X^2 I_{max}^2}{2 E V},\qquad E = V = 1:\ \sin\frac{\delta_{lim}}{2} = \frac{X I_{max}}{2}            (7.23)

    Above it only :math:`V I_{max}\cos(\delta/2)` flows (for E = V), which falls as the angle grows and meets the set-point again at

    .. math:: \delta_{lost} = 2\arccos\frac{p^*}{V I_{max}}            (7.24)

    Parameters
    ----------
    unit : Former
    scr : float

    Returns
    -------
    Limits
        For any E; without a limit `lost_deg` is 180 degrees minus `rest_deg`. A frequency of the grid that has moved shifts the power at rest, p* above.

    Raises
    ------
    ValueError
        If the former is at its limit before anything has happened.

    Notes
    -----
    It does not hang on inertia or filter: after a jump at rest a damped swing never climbs higher than where it began.
    """
    x, e, i = unit.x_pu + _line_pu(scr), unit.e_pu, unit.i_max_pu
    rest = _former_rest(unit, scr)
    limit = math.acos(min(max((e * e + 1 - (x * i) ** 2) / (2 * e), -1.0), 1.0))  # eq. (7.23)
    lost = math.pi - rest
    if limit < min(
        lost, math.pi
    ):  # p(delta) = p* on the limited branch, as a quadratic in cos(delta)
        a, b, c = (e * i) ** 2, e * unit.p_pu**2, unit.p_pu**2 * (e * e + 1) - (e * i) ** 2
        lost = math.acos(max((b - math.sqrt(max(b * b - a * c, 0.0))) / a, -1.0))  # eq. (7.24)
        lost = lost if unit.p_pu >= 0 else _TURN - lost
    return Limits(
        rest_deg=math.degrees(rest), limit_deg=math.degrees(limit), lost_deg=math.degrees(lost)
    )


def deepest_dip(p_pu, i_max_pu):
    r"""Voltage below which a limited converter, of either kind, cannot deliver its power. A former that keeps its set-point runs ahead then.

    .. math:: V_{min} = \frac{|p|}{I_{max}}            (7.25)

    Returns
    -------
    float or array
        A bound; with reactive current it lies higher. [pu]
    """
    return plain(
        np.abs(checked("p_pu", p_pu, "pu")) / checked("i_max_pu", i_max_pu, "pu", gt=0)
    )  # eq. (7.25)


def _former_rest(unit, scr):
    """Angle of a former at rest at a bus of 1 pu, within its limit. [rad]"""
    x, e = unit.x_pu + _line_pu(scr), unit.e_pu
    rest = float(_rest_angle(unit.p_pu, x, e))
    _refuse_current(math.sqrt(e * e + 1 - 2 * e * math.cos(rest)) / x, unit)
    return rest


def _former(unit, scr, f0, ops=_Floats):
    """Function of the states (angle, deviation of its frequency in per unit): their slopes, and (dw in rad/s, p, q, i, v, angle)."""
    w0, x_line = _TURN * f0, _line_pu(scr)
    x, e, most = unit.x_pu + x_line, unit.e_pu, unit.i_max_pu
    mp, wc, p_set = unit.droop_pu, unit.filter_rad_per_s, unit.p_pu

    def slopes(y, dw_grid, v_grid):
        angle, dw = y
        active, reactive = (
            e * ops.sin(angle) / x,
            (v_grid - e * ops.cos(angle)) / x,
        )  # of the current, in the frame of the bus
        scale = ops.clip(most / (ops.hypot(active, reactive) + 1e-12), 0.0, 1.0)
        active, reactive = active * scale, reactive * scale
        p = v_grid * active  # eq. (7.15)
        v_re, v_im = v_grid - x_line * reactive, x_line * active
        dy = [w0 * dw - dw_grid, wc * (mp * (p_set - p) - dw)]  # eq. (7.16)
        return dy, (
            w0 * dw,
            p,
            v_im * active - v_re * reactive,
            ops.hypot(active, reactive),
            ops.hypot(v_re, v_im),
            angle,
        )

    return slopes


# -------------------------------------------------------------------------------------------------------- side by side


@dataclass(frozen=True, kw_only=True)
class Machine:
    r"""The synchronous area of chapter 1 instead of an infinite bus; the converter stands at the end of its line.

    .. math:: \frac{2E_k}{f_0}\frac{d\Delta f}{dt} = p_{gov} + S_r (p - p_0) - \Delta P - \frac{D P_L}{f_0}\Delta f            (7.26)

    Attributes
    ----------
    grid : frequency.Grid
    governor : frequency.Governor
        With a valve lag above 0.
    rating_mva : float
        S_r, of the converter (or of a fleet that is one). [MVA]
    """

    grid: frequency.Grid
    governor: frequency.Governor
    rating_mva: float

    def __post_init__(self):
        checked("rating_mva", self.rating_mva, "MVA", gt=0)
        checked("t_valve_s of the governor", self.governor.t_valve_s, "s", gt=0)


def _machine(machine, loss_mw, p0):
    """Function of the states (deviation in Hz, valve, turbine in MW) and of the converter's power: their slopes."""
    grid, gov, mva = machine.grid, machine.governor, machine.rating_mva
    per_mw, damping = (
        grid.f0_hz / (2 * grid.kinetic_energy_mws),
        grid.damping_pu * grid.load_mw / grid.f0_hz,
    )
    gain, band, up, down = (
        -gov.rating_mw / (gov.droop_pu * grid.f0_hz),
        gov.deadband_hz,
        gov.headroom_mw,
        -gov.footroom_mw,
    )
    lead, clip, soft = gov.t_lead_s / gov.t_lag_s, _Floats.clip, _SOFT_STOP * gov.rating_mw

    def slopes(y, p):
        df, valve, turbine = y
        beyond, valve = valve - clip(valve, down, up), clip(valve, down, up)
        speed = (gain * (df - clip(df, -band, band)) - valve) / gov.t_valve_s
        speed *= (
            1 - clip(abs(beyond) / soft, 0.0, 1.0) if beyond * speed > 0 else 1.0
        )  # the valve stops at its limits: no windup
        power = turbine + lead * (valve - turbine)
        return [
            per_mw * (power + mva * (p - p0) - loss_mw - damping * df),
            speed,
            (valve - turbine) / gov.t_lag_s,
        ]  # eq. (7.26)

    return slopes


def _infinite(rocof_hz_per_s):
    """The same for an infinite bus: frequency does what the disturbance says."""
    return lambda y, p: [rocof_hz_per_s]


def _start(unit, scr):
    """States of a converter at rest, and the function that makes its slopes."""
    if isinstance(unit, Former):
        return [_former_rest(unit, scr), 0.0], _former
    if isinstance(unit, Follower):
        v, i_d, i_q, angle = _follower_rest(unit, scr)
        return [angle, 0.0, i_d, i_q, v, 0.0, unit.p_pu], _follower
    raise ValueError(f"unit is a {type(unit).__name__}; it must be a Follower or a Former")


def _joint(converter, bus, count, v_grid):
    """Slopes of converter and grid together: the first `count` states are the converter's, the next is the deviation of the grid in Hz."""

    def slopes(y):
        dy, out = converter(y[:count], _TURN * y[count], v_grid)
        return dy + bus(y[count:], out[1])

    return slopes


def _jacobian(slopes, y):
    """Central differences."""
    columns = []
    for k, value in enumerate(y):
        h = 1e-6 * max(1.0, abs(value))
        high, low = ([*y[:k], value + sign * h, *y[k + 1 :]] for sign in (1, -1))
        columns.append(np.subtract(slopes(high), slopes(low)) / (2 * h))
    return np.array(columns).T


def eigenvalues(unit, scr, *, f0_hz, machine=None):
    """Eigenvalues of a converter at its resting point, at an infinite bus or beside a machine.

    Parameters
    ----------
    unit : Follower or Former
    scr : float
        Short-circuit ratio of the line; infinite: none.
    f0_hz : float
        [Hz]
    machine : Machine, optional

    Returns
    -------
    complex array
        The rightmost first: 7 for a follower, 2 for a former; 3 more for a machine. [1/s]
    """
    f0, (y, make) = _checked_f0(f0_hz, machine), _start(unit, scr)
    bus = _machine(machine, 0.0, unit.p_pu) if machine else _infinite(0.0)
    size = len(y) + (3 if machine else 0)  # without a machine the grid's own frequency is no state
    slopes = _joint(make(unit, scr, f0), bus, len(y), 1.0)
    values = np.linalg.eigvals(
        _jacobian(slopes, y + [0.0] * (3 if machine else 1))[:size, :size]
    ).astype(complex)
    return values[np.argsort(-values.real, kind="stable")]


def _checked_f0(f0_hz, machine):
    f0 = checked("f0_hz", f0_hz, "Hz", gt=0)
    if machine and machine.grid.f0_hz != f0:
        raise ValueError(
            f"f0_hz is {f0:g} Hz, but that of the machine's grid is {machine.grid.f0_hz:g} Hz"
        )
    return f0


def _refuse_loop(values):
    """Refuse to start where nothing rests."""
    if values[0].real > 1e-6 * max(abs(values)):
        raise ValueError(
            f"the loop is unstable: it has the eigenvalue {values[0]:.4g} 1/s. A slower PLL, a longer lag, more support or a larger scr may help"
        )


def _solve(slopes, y, t_s):
    """States at times t_s, one row each, from y at the first: LSODA, which chooses steps, orders and methods by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ODEintWarning)
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
    if report["message"] != "Integration successful.":
        raise ValueError(
            f"the run could not be followed beyond {report['tcur'].max():g} s: {report['message']}"
        )
    return states


def _spans(disturbance, t_end_s, dt):
    """Stretches on which nothing changes: first and last step, and (begun, ramps, dips)."""
    d = disturbance
    step = lambda t_s: round(t_s / dt) if t_s < t_end_s else round(t_end_s / dt)  # noqa: E731
    at, ramp, dip, end = (
        step(t_s) for t_s in (d.at_s, d.at_s + d.ramp_s, d.at_s + d.dip_s, math.inf)
    )
    edges = sorted({0, at, ramp, dip, end})
    return [
        (first, last, first >= at, at <= first < ramp, at <= first < dip)
        for first, last in itertools.pairwise(edges)
    ]


def simulate(unit, scr, disturbance, *, f0_hz, machine=None, t_end_s=1.0, dt_s=0.001):
    """One converter behind a line through a disturbance, from its resting point.

    Parameters
    ----------
    unit : Follower or Former
    scr : float
        Short-circuit ratio of the line on the converter's rating; infinite: none.
    disturbance : Disturbance
        Its times are rounded to whole steps. A ramp needs an infinite bus, a loss a machine.
    f0_hz : float
        [Hz]
    machine : Machine, optional
        An area whose frequency answers; without it the bus is infinite.
    t_end_s, dt_s : float
        Length of the run, and the distance of rows; the solver steps as it needs. [s]

    Returns
    -------
    DataFrame, index t_s
        `f_hz` (what the PLL reports, or what the former makes), `f_grid_hz`, `p_pu`, `q_pu`, `i_pu`, `v_pu` (at the converter's terminals, outside a former's own
        reactance), `angle_deg` (converter ahead of the bus; it may pass 180: out of step). The row at an event shows the instant after it.

    Raises
    ------
    ValueError
        If there is no resting point, or if it is unstable (the message names the eigenvalue). What the disturbance makes of it is shown, not refused.
    """
    f0, dt = _checked_f0(f0_hz, machine), checked("dt_s", dt_s, "s", gt=0)
    checked("t_end_s", t_end_s, "s", ge=dt)
    if (machine and disturbance.rocof_hz_per_s) or (disturbance.loss_mw and not machine):
        raise ValueError(
            "rocof_hz_per_s moves an infinite bus and loss_mw an area with a machine; the other way round they mean nothing"
        )
    _refuse_loop(eigenvalues(unit, scr, f0_hz=f0, machine=machine))
    y, make = _start(unit, scr)
    count, y, parts = len(y), y + [0.0] * (3 if machine else 1), []
    for first, last, begun, ramps, dips in _spans(disturbance, t_end_s, dt):
        if begun and first == round(disturbance.at_s / dt):
            y[0] -= math.radians(disturbance.jump_deg)
        line, v = (
            disturbance.scr if begun and disturbance.scr is not None else scr,
            disturbance.v_pu if dips else 1.0,
        )
        bus = (
            _machine(machine, begun * disturbance.loss_mw, unit.p_pu)
            if machine
            else _infinite(ramps * disturbance.rocof_hz_per_s)
        )
        states = _solve(
            _joint(make(unit, line, f0), bus, count, v), y, np.arange(first, last + 1) * dt
        )
        df = states[:, count]
        _, out = make(unit, line, f0, _Arrays)(states[:, :count].T, _TURN * df, v)
        parts.append(np.column_stack([df, *out])[: None if last * dt > t_end_s - dt / 2 else -1])
        y = states[-1].tolist()
    df, dw, p, q, i, v, angle = np.concatenate(parts).T
    return pd.DataFrame(
        {
            "f_hz": f0 + dw / _TURN,
            "f_grid_hz": f0 + df,
            "p_pu": p,
            "q_pu": q,
            "i_pu": i,
            "v_pu": v,
            "angle_deg": np.degrees(angle),
        },
        index=pd.Index(np.arange(len(df)) * dt, name="t_s"),
    )


# ------------------------------------------------------------------------------------------------------- without a grid


def microgrid(units, rating_kva, load_kw, step_kw, *, f0_hz, at_s=0.1, t_end_s=1.0, dt_s=0.001):
    r"""Formers alone with a load: nobody else makes the frequency, and a change of load moves it.

    .. math:: V = \frac{\sum_i S_i E_i e^{j\theta_i} / (j x_i)}{P_L + \sum_i S_i / (j x_i)},\qquad
              P_i = \mathrm{Re}\left[E_i e^{j\theta_i}\,\overline{\frac{S_i}{j x_i}\left(E_i e^{j\theta_i} - V\right)}\right]            (7.27)

    Parameters
    ----------
    units : list of Former
        Each behind its own reactance at one bus.
    rating_kva : array, shape (units,)
        [kVA]
    load_kw, step_kw : float
        A resistance that draws this at 1 pu, and what is added at `at_s`. [kW]
    f0_hz, at_s, t_end_s, dt_s : float
        [Hz], [s]

    Returns
    -------
    DataFrame, index t_s
        `f_1_hz`, `p_1_kw`, `i_1_pu`, and so on for every unit; `v_pu` of the bus.

    Raises
    ------
    ValueError
        With a follower among the units; and when a current exceeds a limit, as then nobody holds the voltage.
    """
    if not units or any(not isinstance(unit, Former) for unit in units):
        raise ValueError(
            "units must be a list of Former. A follower alone has no solution: its PLL measures the voltage that its own current makes, "
            "v_q is 0 at any frequency, and nothing sets the frequency"
        )
    f0, dt = checked("f0_hz", f0_hz, "Hz", gt=0), checked("dt_s", dt_s, "s", gt=0)
    checked("t_end_s", t_end_s, "s", gt=checked("at_s", at_s, "s", ge=dt) + dt / 2)
    ratings = np.broadcast_to(checked("rating_kva", rating_kva, "kVA", gt=0), len(units)).tolist()
    loads = [checked("load_kw", load_kw, "kW", ge=0), load_kw + checked("step_kw", step_kw, "kW")]
    checked("load_kw + step_kw", loads[1], "kW", ge=0)
    before, after = (partial(_island, units, ratings, load, f0) for load in loads)
    y, t = _island_rest(before, len(units)), np.arange(round(t_end_s / dt) + 1) * dt
    _refuse_loop(np.sort_complex(np.linalg.eigvals(_jacobian(lambda y: before(y)[0], y)))[::-1])
    event = round(at_s / dt)
    states = np.vstack([np.tile(y, (event, 1)), _solve(lambda y: after(y)[0], y, t[event:])])
    tables = [
        np.array(load(rows.T, _Arrays)[1]).T
        for load, rows in ((before, states[:event]), (after, states[event:]))
    ]
    names = [
        f"{what}_{k + 1}_{unit}"
        for k in range(len(units))
        for what, unit in (("f", "hz"), ("p", "kw"), ("i", "pu"))
    ]
    data = pd.DataFrame(np.vstack(tables), columns=[*names, "v_pu"], index=pd.Index(t, name="t_s"))
    for k, unit in enumerate(units):
        worst = data[f"i_{k + 1}_pu"].max()
        if worst > unit.i_max_pu:
            raise ValueError(
                f"former {k + 1} needs {worst:.4g} pu of current, but i_max_pu is {unit.i_max_pu:g}: alone and limited, it no longer holds the voltage"
            )
    return data


def _island(units, ratings, load_kw, f0, y, ops=_Floats):
    """Slopes of (angles, deviations of frequency in per unit), and (f, p, i) of every former and the voltage."""
    sources = [unit.e_pu * ops.cis(angle) for unit, angle in zip(units, y)]
    lines = [rating / (1j * unit.x_pu) for unit, rating in zip(units, ratings)]
    v = sum(e * line for e, line in zip(sources, lines)) / (load_kw + sum(lines))  # eq. (7.27)
    angles, speeds, out = [], [], []
    for unit, rating, e, line, dw in zip(units, ratings, sources, lines, y[len(units) :]):
        i = line * (e - v) / rating
        p = (e * i.conjugate()).real
        angles.append(_TURN * f0 * dw)
        speeds.append(unit.filter_rad_per_s * (unit.droop_pu * (unit.p_pu - p) - dw))  # eq. (7.16)
        out += [f0 * (1 + dw), p * rating, abs(i)]
    return angles + speeds, (*out, abs(v))


def _island_rest(slopes, count):
    """States in which all formers turn together and the first has the angle 0."""

    def state(x):
        return [0.0, *x[1:].tolist(), *x[:1].tolist() * count]

    found, _, ok, _ = fsolve(
        lambda x: slopes(state(x))[0][count:], np.zeros(count), full_output=True, xtol=1e-12
    )
    if ok != 1:
        raise ValueError("the formers find no common frequency at this load")
    return state(found)
