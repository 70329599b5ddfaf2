r"""Topic 04, charger: what one car can deliver, for how long, and what is lost on the way.

A `Vehicle` is a battery with limits, a `Charger` is the converter between battery and grid,
wherever it is built in. Both take numbers or arrays, so one pair of records describes one car or a
million. Power is active power at the grid side of the converter in kW, and p > 0 flows from the
vehicle to the grid; charging is negative.

The functions go from the converter (`loss_kw`, `battery_kw`, `grid_kw`, `round_trip`,
`q_limit_kvar`) to the battery (`charge_time`, `soc_after`, `step`, `simulate`) and to what can be
promised (`kempton_tomic`, `offer`, `lendable`, `backup_days`). `linear_storage` reduces a pair to
the constant efficiencies that a linear programme needs.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._check import (
    FloatOrArray,
    checked,
    equal_steps,
    first_of,
    fraction,
    instance,
    keep,
    one,
    plain,
    steps,
    together,
)
from ._limits import ABOVE_0_KW, CAPACITY_KWH, ETA, POWER_KW, REACTIVE_KVAR, SIZE_KW, Limits

# What each quantity may be. The limits are generous: beyond them a unit has slipped.
_RATING: Limits = ABOVE_0_KW | {"unit": "kVA"}
_ENERGY: Limits = {"unit": "kWh", "ge": 0, "le": 1e12}
_DISTANCE: Limits = {"unit": "km", "ge": 0, "le": 1e9}
_TIME: Limits = {"unit": "h", "ge": 0, "le": 1e12}
_LENGTH: Limits = {"unit": "h", "gt": 0, "ge": 1e-9, "le": 1e12}
_MOST_STEPS = 1_000_000  # of a stay; a year of minutes has half as many
_NEGLIGIBLE = 1e-9  # relative, or in kW or soc: a rounding error of sums and products
_LEAST_RISE = 1e-12  # of soc within a step; less is a rounding error, not a wish to charge


def _shape(value):
    """Shape of a number or an array; of a record, the shape that its fields have together."""
    if isinstance(value, (Charger, Vehicle)):
        return np.broadcast_shapes(*map(np.shape, vars(value).values()))
    return np.shape(value)


def _fit(**values):
    """Refuse records and arguments whose shapes do not fit each other."""
    together(**{name: np.broadcast_to(0.0, _shape(value)) for name, value in values.items()})


def _checked_soc(name, soc):
    """A fraction as floats; a rounding error beyond 0 or 1 is no refusal."""
    numbers = checked(name, soc)
    fraction(name, np.round(numbers, 9))
    return numbers


# --------------------------------------------------------------------------- the two records


def _check_rating(charger):
    """Active and reactive power share the rating, so it covers the larger active power."""
    largest = np.maximum(charger.p_charge_kw, charger.p_discharge_kw)
    broken = largest > np.multiply(charger.s_kva, 1 + _NEGLIGIBLE)
    if np.any(broken):
        active, rating = first_of(broken, largest, charger.s_kva)
        raise ValueError(
            f"s_kva = {rating:g} kVA is less than the active power of {active:g} kW; "
            "active and reactive power share the rating"
        )


def _check_losses(charger):
    """Something of the largest charging power arrives at the battery."""
    loss = _loss(charger, charger.p_charge_kw)
    broken = loss >= charger.p_charge_kw
    if np.any(broken):
        power, lost = first_of(broken, charger.p_charge_kw, loss)
        raise ValueError(
            f"the losses are larger than the charging power: at p_charge_kw = {power:g} kW the "
            f"converter loses {lost:g} kW; look at idle_kw, loss_linear and loss_quadratic"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Charger:
    """The converter between battery and grid, with its ratings and losses.

    For charging with direct current (DC) it stands in the wall, for alternating current (AC) it is
    built into the car. Each field is a number, or an array with one entry per car.

    Attributes
    ----------
    p_charge_kw : float or array
        Largest power drawn from the grid, above 0 [kW].
    p_discharge_kw : float or array
        Largest power given to the grid; 0 for a one-way (V1G) charger [kW].
    s_kva : float or array
        Apparent-power rating, shared by active and reactive power; at least as large as both
        powers [kVA].
    idle_kw : float or array
        Loss while converting, at any power, 0 or more [kW].
    loss_linear : float or array
        Loss per power (semiconductors), a fraction from 0 to below 1 [-].
    loss_quadratic : float or array
        Loss at the rating, per `s_kva`, that grows with the square of the current (windings,
        cables), a fraction from 0 to below 1 [-].
    standby_kw : float or array
        Drawn from the grid while plugged in and resting, 0 or more [kW].

    Raises
    ------
    ValueError
        If a field is out of range, if the rating does not cover an active power, or if the losses
        are larger than the charging power.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=11.0, p_discharge_kw=10.0, s_kva=12.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02, standby_kw=0.01,
    ... )
    >>> round(efficiency(wall, wall.p_discharge_kw), 3)
    0.955
    """

    p_charge_kw: FloatOrArray
    p_discharge_kw: FloatOrArray
    s_kva: FloatOrArray
    idle_kw: FloatOrArray
    loss_linear: FloatOrArray
    loss_quadratic: FloatOrArray
    standby_kw: FloatOrArray = 0.0

    def __post_init__(self):
        keep(
            self,
            p_charge_kw=ABOVE_0_KW,
            p_discharge_kw=SIZE_KW,
            s_kva=_RATING,
            idle_kw=SIZE_KW,
            loss_linear={"fraction": True, "lt": 1},
            loss_quadratic={"fraction": True, "lt": 1},
            standby_kw=SIZE_KW,
        )
        together(**vars(self))
        _check_rating(self)
        _check_losses(self)


def _check_window(record):
    """The window of soc has a width."""
    broken = np.greater_equal(record.soc_min, record.soc_max)
    if np.any(broken):
        low, high = first_of(broken, record.soc_min, record.soc_max)
        raise ValueError(f"soc_min = {low:g} must be below soc_max = {high:g}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Vehicle:
    """A car's battery as the grid sees it.

    Each field is a number, or an array with one entry per car.

    Attributes
    ----------
    energy_kwh : float or array
        Usable energy between soc 0 and 1, above 0 [kWh].
    soc_min, soc_max : float or array
        The window of soc that the owner or the warranty allows, 0 to 1; the first is below the
        second [-].
    dc_charge_kw : float or array
        Largest charging power at the battery's terminals, above 0 [kW].
    dc_discharge_kw : float or array
        Largest discharging power at the battery's terminals, 0 or more [kW].
    eta_charge, eta_discharge : float or array
        Efficiency of the battery alone, each way, above 0 and up to 1 [-].
    taper_soc : float or array
        Above this soc the battery accepts less and less, 0 to below 1 [-].
    taper_end : float or array
        Share of `dc_charge_kw` that it still accepts at soc 1, above 0 and up to 1; 1 means that
        there is no taper [-].

    Raises
    ------
    ValueError
        If a field is out of range, or `soc_min` is not below `soc_max`.

    Examples
    --------
    >>> car = Vehicle(
    ...     energy_kwh=60.0, soc_min=0.1, soc_max=0.9, dc_charge_kw=100.0, dc_discharge_kw=20.0,
    ...     eta_charge=0.97, eta_discharge=0.97, taper_soc=0.7, taper_end=0.2,
    ... )
    >>> round(accepted_kw(car, 0.85), 1)
    60.0
    """

    energy_kwh: FloatOrArray
    soc_min: FloatOrArray
    soc_max: FloatOrArray
    dc_charge_kw: FloatOrArray
    dc_discharge_kw: FloatOrArray
    eta_charge: FloatOrArray
    eta_discharge: FloatOrArray
    taper_soc: FloatOrArray = 0.8
    taper_end: FloatOrArray = 1.0

    def __post_init__(self):
        keep(
            self,
            energy_kwh=CAPACITY_KWH,
            soc_min={"fraction": True},
            soc_max={"fraction": True},
            dc_charge_kw=ABOVE_0_KW,
            dc_discharge_kw=SIZE_KW,
            eta_charge={"fraction": True, **ETA},
            eta_discharge={"fraction": True, **ETA},
            taper_soc={"fraction": True, "lt": 1, "le": 0.999999},
            taper_end={"fraction": True, **ETA},
        )
        together(**vars(self))
        _check_window(self)


def narrowed(charger: Charger, charge_kw: ArrayLike, discharge_kw: ArrayLike) -> Charger:
    """Return the same converter behind something weaker, such as a cable, a wall box or a fuse.

    On the AC path the converter is the car's on-board charger, and the wall box only limits it; on
    the DC path the converter stands in the wall, and the car's inlet limits it. A chain is as
    strong as its weakest link, each way.

    Parameters
    ----------
    charger : Charger
        The converter.
    charge_kw : float or array
        What the other link lets through while the car charges, above 0 [kW].
    discharge_kw : float or array
        What it lets through while the car discharges, 0 or more [kW].

    Returns
    -------
    Charger
        With the smaller of both powers each way [kW], and everything else as it was.

    Raises
    ------
    ValueError
        If a power is out of range, shapes do not fit, or the losses are larger than the charging
        power that is left.
    TypeError
        If `charger` is no `Charger`.

    Examples
    --------
    >>> onboard = Charger(
    ...     p_charge_kw=11.0, p_discharge_kw=11.0, s_kva=11.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02,
    ... )
    >>> behind_a_box = narrowed(onboard, 7.4, 0.0)
    >>> behind_a_box.p_charge_kw, behind_a_box.p_discharge_kw
    (7.4, 0.0)
    """
    instance("charger", charger, Charger)
    inwards = checked("charge_kw", charge_kw, **ABOVE_0_KW)
    outwards = checked("discharge_kw", discharge_kw, **SIZE_KW)
    _fit(charger=charger, charge_kw=inwards, discharge_kw=outwards)
    return replace(
        charger,
        p_charge_kw=plain(np.minimum(charger.p_charge_kw, inwards)),
        p_discharge_kw=plain(np.minimum(charger.p_discharge_kw, outwards)),
    )


# ----------------------------------------------------------------------------- the converter


def _loss(charger, p_kw, q_kvar=0.0):
    """As `loss_kw`, of arguments that are checked."""
    size = np.abs(p_kw)
    loss = (
        charger.idle_kw
        + np.multiply(charger.loss_linear, size)
        + charger.loss_quadratic * (size**2 + np.square(q_kvar)) / charger.s_kva
    )  # eq. (4.1)
    flows = (size > 0) | np.not_equal(q_kvar, 0)
    return np.where(flows, loss, 0.0)


def loss_kw(charger: Charger, p_kw: ArrayLike, q_kvar: ArrayLike = 0.0) -> FloatOrArray:
    r"""Return the power that is lost in the converter.

    .. math:: P_{loss} = a + b\,|p| + c\,\frac{p^2 + q^2}{S}            (4.1)

    Parameters
    ----------
    charger : Charger
        The converter: a is `idle_kw`, b `loss_linear`, c `loss_quadratic`, S `s_kva`.
    p_kw : float or array
        Active power at the grid side; only its size matters [kW].
    q_kvar : float or array
        Reactive power at the grid side; only its size matters [kvar].

    Returns
    -------
    float or array
        Zero when neither flows: a resting converter draws `standby_kw`, which is counted apart
        [kW].

    Raises
    ------
    ValueError
        If a power is not a finite number, or shapes do not fit.
    TypeError
        If `charger` is no `Charger`.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02,
    ... )
    >>> round(loss_kw(wall, 8.0, 6.0), 6), round(loss_kw(wall, 1.0), 6)
    (0.46, 0.122)
    """
    instance("charger", charger, Charger)
    p = checked("p_kw", p_kw, **POWER_KW)
    q = checked("q_kvar", q_kvar, **REACTIVE_KVAR)
    _fit(charger=charger, p_kw=p, q_kvar=q)
    return plain(_loss(charger, p, q))


def _battery(charger, p_kw):
    """As `battery_kw`, of arguments that are checked."""
    p_dc = p_kw + _loss(charger, p_kw)  # eq. (4.2)
    return np.where(np.less(p_kw, 0), np.minimum(p_dc, 0.0), p_dc)


def battery_kw(charger: Charger, p_kw: ArrayLike) -> FloatOrArray:
    r"""Return the power at the battery's terminals when `p_kw` flows at the grid side.

    .. math:: p_{dc} = p + P_{loss}(p)            (4.2)

    One equation serves both ways, because p > 0 leaves the car: while discharging, the battery
    gives the loss as well; while charging, it receives less than was bought.

    Parameters
    ----------
    charger : Charger
        The converter.
    p_kw : float or array
        Power at the grid side; > 0 discharges [kW].

    Returns
    -------
    float or array
        Power at the battery; > 0 leaves it. Charging with less than the idle loss stores nothing
        (0) [kW].

    Raises
    ------
    ValueError
        If the power is not a finite number, or shapes do not fit.
    TypeError
        If `charger` is no `Charger`.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02,
    ... )
    >>> battery_kw(wall, [10.0, -10.0]).round(3).tolist()
    [10.5, -9.5]
    """
    instance("charger", charger, Charger)
    p = checked("p_kw", p_kw, **POWER_KW)
    _fit(charger=charger, p_kw=p)
    return plain(_battery(charger, p))


def _grid(charger, p_dc_kw):
    """As `grid_kw`, of arguments that are checked; too much charging power gives the most."""
    a = charger.idle_kw
    b = charger.loss_linear
    c = charger.loss_quadratic / charger.s_kva
    out = np.maximum(p_dc_kw - a, 0.0)
    giving = 2 * out / (1 + b + np.sqrt((1 + b) ** 2 + 4 * c * out))
    charges = np.less(p_dc_kw, 0)
    wanted = np.where(charges, a - p_dc_kw, 0.0)
    root = np.maximum((1 - b) ** 2 - 4 * c * wanted, 0.0)
    taking = 2 * wanted / (1 - b + np.sqrt(root))
    return np.where(charges, -taking, giving)


def _most_arriving(charger):
    """Charging power at the battery beyond which the losses grow faster than the power [kW]."""
    c = charger.loss_quadratic / charger.s_kva
    with np.errstate(divide="ignore", over="ignore"):  # infinite without a quadratic loss
        return np.divide((1 - charger.loss_linear) ** 2, 4 * c) - charger.idle_kw


def grid_kw(charger: Charger, p_dc_kw: ArrayLike) -> FloatOrArray:
    """Return the power at the grid side when `p_dc_kw` flows at the battery.

    This is eq. (4.2) solved for p. The ratings of the charger are not applied.

    Parameters
    ----------
    charger : Charger
        The converter.
    p_dc_kw : float or array
        Power at the battery; > 0 leaves it [kW].

    Returns
    -------
    float or array
        Power at the grid side; > 0 discharges. Discharging less than the idle loss gives the grid
        nothing (0) [kW].

    Raises
    ------
    ValueError
        If so much charging power can never arrive at the battery, because the losses grow faster.
    TypeError
        If `charger` is no `Charger`.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02,
    ... )
    >>> grid_kw(wall, [10.5, -9.5]).round(3).tolist()
    [10.0, -10.0]
    """
    instance("charger", charger, Charger)
    p_dc = checked("p_dc_kw", p_dc_kw, **POWER_KW)
    _fit(charger=charger, p_dc_kw=p_dc)
    most = _most_arriving(charger)
    too_much = np.negative(p_dc) > most
    if np.any(too_much):
        asked, possible = first_of(too_much, p_dc, most)
        raise ValueError(
            f"p_dc_kw = {asked:g} kW can never reach the battery through this converter: its "
            f"losses grow faster than the power, and at most {possible:g} kW arrive"
        )
    return plain(_grid(charger, p_dc))


def _efficiency(charger, p_kw):
    """As `efficiency`, of arguments that are checked."""
    p_dc = _battery(charger, p_kw)
    gives = np.greater(p_kw, 0)
    comes_out = np.where(gives, p_kw, p_dc)
    goes_in = np.where(gives, p_dc, p_kw)
    return plain(comes_out / goes_in + 0.0)  # eq. (4.3); + 0.0 turns -0 into 0


def efficiency(charger: Charger, p_kw: ArrayLike) -> FloatOrArray:
    r"""Return the efficiency of the converter alone, in the direction of the power.

    .. math:: \eta(p) = \frac{p}{p_{dc}}\ \text{discharging},\qquad
              \eta(p) = \frac{p_{dc}}{p}\ \text{charging}            (4.3)

    Parameters
    ----------
    charger : Charger
        The converter.
    p_kw : float or array
        Power at the grid side, not 0; > 0 discharges [kW].

    Returns
    -------
    float or array
        A fraction, 0 to 1 [-].

    Raises
    ------
    ValueError
        If a power is 0: where nothing flows, efficiency has no meaning.
    TypeError
        If `charger` is no `Charger`.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02,
    ... )
    >>> efficiency(wall, [10.0, -10.0, -0.5]).round(3).tolist()
    [0.952, 0.95, 0.779]
    """
    instance("charger", charger, Charger)
    p = checked("p_kw", p_kw, **POWER_KW)
    _fit(charger=charger, p_kw=p)
    if np.any(np.equal(p, 0)):
        raise ValueError("p_kw is 0; efficiency has no meaning when nothing flows")
    return _efficiency(charger, p)


def round_trip(
    vehicle: Vehicle, charger: Charger, charge_kw: ArrayLike, discharge_kw: ArrayLike
) -> FloatOrArray:
    r"""Return the share of the energy bought that comes back: grid to battery to grid.

    .. math:: \eta_{rt} = \eta(-p_{ch})\,\eta_{charge}\,
              \eta_{discharge}\,\eta(p_{dis})            (4.4)

    Parameters
    ----------
    vehicle : Vehicle
        The battery.
    charger : Charger
        The converter.
    charge_kw : float or array
        Size of the charging power at the grid side, above 0 [kW].
    discharge_kw : float or array
        Size of the discharging power at the grid side, above 0 [kW].

    Returns
    -------
    float or array
        A fraction, 0 to 1 [-].

    Raises
    ------
    ValueError
        If a power is not above 0, or shapes do not fit.
    TypeError
        If `vehicle` is no `Vehicle` or `charger` no `Charger`.

    References
    ----------
    .. [1] Schram, Brinkel, Smink, van Wijk, van Sark, "Empirical evaluation of V2G round-trip
       efficiency", 2020: 79.1 to 87.8 % over all settings, 87.0 % on average at three times 16 A.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02,
    ... )
    >>> car = Vehicle(
    ...     energy_kwh=60.0, soc_min=0.1, soc_max=0.9, dc_charge_kw=100.0, dc_discharge_kw=20.0,
    ...     eta_charge=0.97, eta_discharge=0.97,
    ... )
    >>> round(round_trip(car, wall, 10.0, 8.0), 3)
    0.853
    """
    instance("vehicle", vehicle, Vehicle)
    instance("charger", charger, Charger)
    bought = checked("charge_kw", charge_kw, **ABOVE_0_KW)
    sold = checked("discharge_kw", discharge_kw, **ABOVE_0_KW)
    _fit(vehicle=vehicle, charger=charger, charge_kw=bought, discharge_kw=sold)
    there = _efficiency(charger, np.negative(bought))
    back = _efficiency(charger, sold)
    return plain(there * np.multiply(vehicle.eta_charge, vehicle.eta_discharge) * back)  # eq. (4.4)


def _room(charger, power):
    """What an active power leaves of the rating to reactive power, or the other way round."""
    return np.sqrt(np.maximum(np.square(charger.s_kva) - np.square(power), 0.0))  # eq. (4.5)


def q_limit_kvar(charger: Charger, p_kw: ArrayLike) -> FloatOrArray:
    r"""Return the largest reactive power beside an active power.

    .. math:: p^2 + q^2 \le S^2            (4.5)

    Parameters
    ----------
    charger : Charger
        The converter; S is `s_kva`.
    p_kw : float or array
        Active power at the grid side; only its size matters [kW].

    Returns
    -------
    float or array
        Reactive power that is available in both signs [kvar].

    Raises
    ------
    ValueError
        If `p_kw` alone exceeds the apparent-power rating.
    TypeError
        If `charger` is no `Charger`.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02,
    ... )
    >>> round(q_limit_kvar(wall, 8.0), 3)
    6.0
    """
    instance("charger", charger, Charger)
    size = np.abs(checked("p_kw", p_kw, **POWER_KW))
    _fit(charger=charger, p_kw=size)
    broken = size > np.multiply(charger.s_kva, 1 + _NEGLIGIBLE)
    if np.any(broken):
        asked, rating = first_of(broken, size, charger.s_kva)
        raise ValueError(f"p_kw = {asked:g} kW is more than the rating of {rating:g} kVA")
    return plain(_room(charger, size))


def active_first(
    charger: Charger, p_kw: ArrayLike, q_kvar: ArrayLike
) -> tuple[FloatOrArray, FloatOrArray]:
    """Cut a wish for (p, q) to the rating: reactive power gets what active power leaves.

    Parameters
    ----------
    charger : Charger
        The converter.
    p_kw : float or array
        Active power that is asked for; > 0 discharges [kW].
    q_kvar : float or array
        Reactive power that is asked for [kvar].

    Returns
    -------
    p_kw : float or array
        Active power within the charger's active limits [kW].
    q_kvar : float or array
        Reactive power of the sign that was asked for [kvar].

    Raises
    ------
    ValueError
        If a power is not a finite number, or shapes do not fit.
    TypeError
        If `charger` is no `Charger`.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=8.0, s_kva=10.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02,
    ... )
    >>> p_kw, q_kvar = active_first(wall, 9.0, 7.0)
    >>> round(p_kw, 3), round(q_kvar, 3)
    (8.0, 6.0)
    """
    instance("charger", charger, Charger)
    p_asked = checked("p_kw", p_kw, **POWER_KW)
    q_asked = checked("q_kvar", q_kvar, **REACTIVE_KVAR)
    _fit(charger=charger, p_kw=p_asked, q_kvar=q_asked)
    p = np.clip(p_asked, np.negative(charger.p_charge_kw), charger.p_discharge_kw)
    room = _room(charger, p)
    q = np.clip(q_asked, -room, room)
    return plain(p), plain(q)


def reactive_first(
    charger: Charger, p_kw: ArrayLike, q_kvar: ArrayLike
) -> tuple[FloatOrArray, FloatOrArray]:
    """Cut a wish for (p, q) to the rating: active power gets what reactive power leaves.

    Parameters
    ----------
    charger : Charger
        The converter.
    p_kw : float or array
        Active power that is asked for; > 0 discharges [kW].
    q_kvar : float or array
        Reactive power that is asked for [kvar].

    Returns
    -------
    p_kw : float or array
        Active power of the sign that was asked for, within the charger's active limits [kW].
    q_kvar : float or array
        Reactive power within the rating [kvar].

    Raises
    ------
    ValueError
        If a power is not a finite number, or shapes do not fit.
    TypeError
        If `charger` is no `Charger`.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02,
    ... )
    >>> p_kw, q_kvar = reactive_first(wall, 9.0, 6.0)
    >>> round(p_kw, 3), round(q_kvar, 3)
    (8.0, 6.0)
    """
    instance("charger", charger, Charger)
    p_asked = checked("p_kw", p_kw, **POWER_KW)
    q_asked = checked("q_kvar", q_kvar, **REACTIVE_KVAR)
    _fit(charger=charger, p_kw=p_asked, q_kvar=q_asked)
    q = np.clip(q_asked, np.negative(charger.s_kva), charger.s_kva)
    room = _room(charger, q)
    most_bought = np.minimum(charger.p_charge_kw, room)
    most_sold = np.minimum(charger.p_discharge_kw, room)
    return plain(np.clip(p_asked, -most_bought, most_sold)), plain(q)


# ------------------------------------------------------------------------------- the battery


def _taper_slope(vehicle):
    """Fall of the accepted share per soc, above `taper_soc`."""
    return np.divide(np.subtract(1, vehicle.taper_end), np.subtract(1, vehicle.taper_soc))


def accepted_kw(vehicle: Vehicle, soc: ArrayLike) -> FloatOrArray:
    r"""Return the charging power that the battery accepts at its terminals.

    .. math:: p_{acc}(s) = P_{bat}\left(1 - (1 - e)\,\frac{s - s_t}{1 - s_t}\right)
              \ \text{above } s_t,\ \text{else } P_{bat}            (4.6)

    Parameters
    ----------
    vehicle : Vehicle
        The battery: :math:`P_{dc}` is `dc_charge_kw`, :math:`s_t` `taper_soc`, e `taper_end`.
    soc : float or array
        State of charge, 0 to 1 [-].

    Returns
    -------
    float or array
        Size of the power, above 0 [kW].

    Raises
    ------
    ValueError
        If soc is no fraction, or shapes do not fit.
    TypeError
        If `vehicle` is no `Vehicle`.

    Examples
    --------
    >>> car = Vehicle(
    ...     energy_kwh=60.0, soc_min=0.1, soc_max=1.0, dc_charge_kw=100.0, dc_discharge_kw=20.0,
    ...     eta_charge=0.97, eta_discharge=0.97, taper_soc=0.8, taper_end=0.2,
    ... )
    >>> accepted_kw(car, [0.5, 0.9, 1.0]).round(3).tolist()
    [100.0, 60.0, 20.0]
    """
    instance("vehicle", vehicle, Vehicle)
    soc = _checked_soc("soc", soc)
    _fit(vehicle=vehicle, soc=soc)
    above = np.maximum(np.subtract(soc, vehicle.taper_soc), 0.0)
    return plain(vehicle.dc_charge_kw * (1 - _taper_slope(vehicle) * above))  # eq. (4.6)


class _Pace(NamedTuple):
    """Charging at full power: soc rises along a straight line, then towards a limit."""

    line_per_h: Any  # rise of soc while the converter, or the battery below its taper, is the limit
    bend: Any  # soc at which the battery's taper becomes the limit; infinite if it never does
    decay_per_h: Any  # rate of the exponential beyond the bend
    share: Any  # of the power below the taper, what the converter delivers; at most 1
    slope: Any  # fall of the accepted share per soc


def _pace(vehicle, charger):
    """How a pair charges at full power."""
    converter_kw = -_battery(charger, np.negative(charger.p_charge_kw))
    share = np.minimum(1.0, converter_kw / vehicle.dc_charge_kw)
    slope = _taper_slope(vehicle)
    full_per_h = vehicle.eta_charge * vehicle.dc_charge_kw / vehicle.energy_kwh
    with np.errstate(divide="ignore", invalid="ignore"):
        bend = np.where(slope > 0, vehicle.taper_soc + np.divide(1 - share, slope), np.inf)
    return _Pace(
        line_per_h=share * full_per_h,
        bend=bend,
        decay_per_h=slope * full_per_h,
        share=share,
        slope=slope,
    )


def _clock(pace, soc):
    """Hours of full-power charging from soc 0 to `soc`; negative below 0."""
    soc = np.minimum(soc, 1.0)  # beyond 1 is a rounding error, and has no logarithm
    past = np.maximum(soc - pace.bend, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.log1p(-pace.slope * past / pace.share)
        tail_h = np.where(past > 0, -logarithm / pace.decay_per_h, 0.0)
    return np.minimum(soc, pace.bend) / pace.line_per_h + tail_h


def _soc_on_clock(pace, clock_h):
    """Inverse of `_clock`."""
    on_line = np.multiply(pace.line_per_h, clock_h)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        past_h = np.maximum(clock_h - np.divide(pace.bend, pace.line_per_h), 0.0)
        missing = np.expm1(-pace.decay_per_h * past_h)
        tapered = pace.bend + pace.share * -missing / pace.slope
    return np.where(on_line > pace.bend, tapered, on_line)


def charge_time(
    vehicle: Vehicle, charger: Charger, soc_from: ArrayLike, soc_to: ArrayLike
) -> FloatOrArray:
    r"""Return the hours that charging as fast as possible takes.

    While the converter is the limit, soc rises along a straight line; once the battery's taper is
    the limit, what is missing decays exponentially:

    .. math:: \dot s = \frac{\eta_{charge}}{E}\min\big(p_{conv},\ p_{acc}(s)\big)            (4.7)

    Parameters
    ----------
    vehicle : Vehicle
        The battery. Its window is not applied.
    charger : Charger
        The converter, which charges with `p_charge_kw`.
    soc_from : float or array
        State of charge at the start, 0 to 1 [-].
    soc_to : float or array
        State of charge at the end, 0 to 1 [-].

    Returns
    -------
    float or array
        Time; 0 if the car is already there [h].

    Raises
    ------
    ValueError
        If a soc is no fraction, or shapes do not fit.
    TypeError
        If `vehicle` is no `Vehicle` or `charger` no `Charger`.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.0, loss_linear=0.0, loss_quadratic=0.0,
    ... )
    >>> car = Vehicle(
    ...     energy_kwh=50.0, soc_min=0.1, soc_max=1.0, dc_charge_kw=50.0, dc_discharge_kw=50.0,
    ...     eta_charge=1.0, eta_discharge=1.0, taper_soc=0.8, taper_end=0.1,
    ... )
    >>> round(charge_time(car, wall, 0.2, 0.6), 3), round(charge_time(car, wall, 0.6, 1.0), 3)
    (2.0, 2.043)
    """
    instance("vehicle", vehicle, Vehicle)
    instance("charger", charger, Charger)
    start = _checked_soc("soc_from", soc_from)
    end = _checked_soc("soc_to", soc_to)
    _fit(vehicle=vehicle, charger=charger, soc_from=start, soc_to=end)
    pace = _pace(vehicle, charger)
    return plain(np.maximum(_clock(pace, end) - _clock(pace, start), 0.0))  # eq. (4.7)


def _charged(vehicle, charger, soc, duration_h):
    """As `soc_after`, of arguments that are checked."""
    pace = _pace(vehicle, charger)
    reached = _soc_on_clock(pace, _clock(pace, soc) + duration_h)
    return np.minimum(reached, np.maximum(vehicle.soc_max, soc))


def soc_after(
    vehicle: Vehicle, charger: Charger, soc: ArrayLike, duration_h: ArrayLike
) -> FloatOrArray:
    """Return the state of charge after charging as fast as possible.

    This is eq. (4.7) solved for soc.

    Parameters
    ----------
    vehicle : Vehicle
        The battery.
    charger : Charger
        The converter, which charges with `p_charge_kw`.
    soc : float or array
        State of charge at the start, 0 to 1 [-].
    duration_h : float or array
        Length of the charging, 0 or more [h].

    Returns
    -------
    float or array
        At most `soc_max`, unless the car already stood higher [-].

    Raises
    ------
    ValueError
        If soc is no fraction, the time is negative, or shapes do not fit.
    TypeError
        If `vehicle` is no `Vehicle` or `charger` no `Charger`.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.0, loss_linear=0.0, loss_quadratic=0.0,
    ... )
    >>> car = Vehicle(
    ...     energy_kwh=50.0, soc_min=0.1, soc_max=0.9, dc_charge_kw=50.0, dc_discharge_kw=50.0,
    ...     eta_charge=1.0, eta_discharge=1.0,
    ... )
    >>> soc_after(car, wall, 0.2, [2.0, 10.0]).round(3).tolist()
    [0.6, 0.9]
    """
    instance("vehicle", vehicle, Vehicle)
    instance("charger", charger, Charger)
    soc = _checked_soc("soc", soc)
    duration_h = checked("duration_h", duration_h, **_TIME)
    _fit(vehicle=vehicle, charger=charger, soc=soc, duration_h=duration_h)
    return plain(_charged(vehicle, charger, soc, duration_h))


def _check_promise(vehicle, soc_departure):
    """A promise lies within the window."""
    broken = np.greater(soc_departure, np.add(vehicle.soc_max, _NEGLIGIBLE))
    if np.any(broken):
        promise, highest = first_of(broken, soc_departure, vehicle.soc_max)
        raise ValueError(
            f"soc_departure = {promise:g} lies above the window, which ends at "
            f"soc_max = {highest:g}; no charger can keep that promise"
        )


def _floor(vehicle, charger, left_h, soc_departure):
    """As `soc_floor`, of arguments that are checked."""
    pace = _pace(vehicle, charger)
    line = _soc_on_clock(pace, _clock(pace, soc_departure) - left_h)
    return np.maximum(line, vehicle.soc_min)


def soc_floor(
    vehicle: Vehicle, charger: Charger, left_h: ArrayLike, soc_departure: ArrayLike
) -> FloatOrArray:
    """Return the lowest state of charge from which a departure can still be kept.

    This is eq. (4.7) read backwards. A car on this line must charge at full power until it leaves.

    Parameters
    ----------
    vehicle : Vehicle
        The battery.
    charger : Charger
        The converter, which charges with `p_charge_kw`.
    left_h : float or array
        Time until departure, 0 or more [h].
    soc_departure : float or array
        Promised state of charge, at most `soc_max` [-].

    Returns
    -------
    float or array
        At least `soc_min` [-].

    Raises
    ------
    ValueError
        If the promise lies above the window, the time is negative, or shapes do not fit.
    TypeError
        If `vehicle` is no `Vehicle` or `charger` no `Charger`.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.0, loss_linear=0.0, loss_quadratic=0.0,
    ... )
    >>> car = Vehicle(
    ...     energy_kwh=50.0, soc_min=0.1, soc_max=0.9, dc_charge_kw=50.0, dc_discharge_kw=50.0,
    ...     eta_charge=1.0, eta_discharge=1.0,
    ... )
    >>> soc_floor(car, wall, [10.0, 2.0, 0.0], 0.8).round(3).tolist()
    [0.1, 0.4, 0.8]
    """
    instance("vehicle", vehicle, Vehicle)
    instance("charger", charger, Charger)
    left_h = checked("left_h", left_h, **_TIME)
    promise = _checked_soc("soc_departure", soc_departure)
    _fit(vehicle=vehicle, charger=charger, left_h=left_h, soc_departure=promise)
    _check_promise(vehicle, promise)
    return plain(_floor(vehicle, charger, left_h, promise))


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One step of time, as `step` returns it.

    Attributes
    ----------
    p_kw : float or array
        Power at the grid side, as the meter sees it; > 0 discharges [kW].
    soc : float or array
        State of charge at the end of the step [-].
    loss_kwh : float or array
        Energy lost on the way [kWh].
    """

    p_kw: FloatOrArray
    soc: FloatOrArray
    loss_kwh: FloatOrArray

    def __post_init__(self):
        keep(self, p_kw={"unit": "kW"}, soc={}, loss_kwh={"unit": "kWh"})


def _bought(vehicle, charger, rise, dt_h):
    """Size of the charging power at the grid side that lifts soc by `rise` within a step [kW]."""
    stored_kwh = np.where(rise > _LEAST_RISE, rise, 0) * vehicle.energy_kwh
    into_kw = stored_kwh / (vehicle.eta_charge * dt_h)
    return -_grid(charger, -into_kw)


def _sold(vehicle, charger, fall, dt_h):
    """Largest power at the grid side while soc falls by `fall` at most [kW]."""
    spare_kwh = np.maximum(fall, 0) * vehicle.energy_kwh * vehicle.eta_discharge
    spare_kw = np.minimum(spare_kwh / dt_h, vehicle.dc_discharge_kw)
    return np.minimum(_grid(charger, spare_kw), charger.p_discharge_kw)


def _allowed(vehicle, charger, soc, p_kw, dt_h, floor):
    """A wish for power, cut to what converter, battery and `floor` allow [kW]."""
    fullest = _charged(vehicle, charger, soc, dt_h)
    reachable_floor = np.minimum(floor, fullest)
    most = np.minimum(_bought(vehicle, charger, fullest - soc, dt_h), charger.p_charge_kw)
    must = np.minimum(_bought(vehicle, charger, reachable_floor - soc, dt_h), most)
    give = _sold(vehicle, charger, soc - reachable_floor, dt_h)
    return np.clip(p_kw, -most, np.where(must > 0, -must, give))


def _stepped(vehicle, charger, soc, p_kw, dt_h, floor):
    """As `step`, of arguments that are checked; `floor` is not below `soc_min`."""
    p = _allowed(vehicle, charger, soc, p_kw, dt_h, floor)
    p_dc = _battery(charger, p)
    stored_kw = vehicle.eta_charge * np.maximum(-p_dc, 0)
    drained_kw = np.maximum(p_dc, 0) / vehicle.eta_discharge
    rise_kwh = dt_h * (stored_kw - drained_kw)
    metered = np.where(p == 0, np.negative(charger.standby_kw), p)
    return Step(
        p_kw=plain(metered),
        soc=plain(soc + rise_kwh / vehicle.energy_kwh),  # eq. (4.8)
        loss_kwh=plain(-metered * dt_h - rise_kwh),
    )


def step(
    vehicle: Vehicle,
    charger: Charger,
    soc: ArrayLike,
    p_kw: ArrayLike,
    dt_h: ArrayLike,
    floor: ArrayLike | None = None,
) -> Step:
    r"""Follow a wish for power over one step, as far as converter, battery and promises allow.

    .. math:: s(t + \Delta t) = s(t) + \frac{\Delta t}{E}\left(\eta_{charge}\,p_{dc}^{-}
              - \frac{p_{dc}^{+}}{\eta_{discharge}}\right)            (4.8)

    Parameters
    ----------
    vehicle : Vehicle
        The battery.
    charger : Charger
        The converter.
    soc : float or array
        State of charge at the start of the step, 0 to 1 [-].
    p_kw : float or array
        The wish, held over the step; > 0 discharges [kW].
    dt_h : float or array
        Length of the step, above 0 [h].
    floor : float or array, optional
        State of charge to stand at or above at the end of the step; `soc_min` if left out. The car
        charges for it even if the wish is another [-].

    Returns
    -------
    Step
        Power at the meter [kW], state of charge at the end [-] and energy lost [kWh]. A resting
        car draws its standby power. Bought minus sold energy equals stored plus lost energy.

    Raises
    ------
    ValueError
        If a soc is no fraction, the step has no length, or shapes do not fit.
    TypeError
        If `vehicle` is no `Vehicle` or `charger` no `Charger`.

    Notes
    -----
    A car below the floor charges as fast as it can. Power is constant within the step; with a
    taper it is the mean.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02,
    ... )
    >>> car = Vehicle(
    ...     energy_kwh=50.0, soc_min=0.1, soc_max=0.9, dc_charge_kw=50.0, dc_discharge_kw=50.0,
    ...     eta_charge=0.97, eta_discharge=0.97,
    ... )
    >>> now = step(car, wall, 0.5, 8.0, 0.5, 0.3)
    >>> now.p_kw, round(now.soc, 3), round(now.loss_kwh, 3)
    (8.0, 0.414, 0.324)
    >>> step(car, wall, 0.5, 8.0, 0.5, 0.52).p_kw < 0  # the floor makes it charge
    True
    """
    instance("vehicle", vehicle, Vehicle)
    instance("charger", charger, Charger)
    soc = _checked_soc("soc", soc)
    wish = checked("p_kw", p_kw, **POWER_KW)
    dt_h = checked("dt_h", dt_h, **_LENGTH)
    lowest = vehicle.soc_min
    if floor is not None:
        floor = _checked_soc("floor", floor)
        _fit(vehicle=vehicle, floor=floor)
        lowest = np.maximum(floor, vehicle.soc_min)
    _fit(vehicle=vehicle, charger=charger, soc=soc, p_kw=wish, dt_h=dt_h, floor=lowest)
    return _stepped(vehicle, charger, soc, wish, dt_h, lowest)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stay:
    """One stay of one car at the plug.

    Attributes
    ----------
    soc_arrival : float
        State of charge on arrival, 0 to 1 [-].
    duration_h : float
        Time until departure, above 0 [h].
    soc_departure : float
        State of charge that is promised for the departure, 0 to 1 [-].

    Raises
    ------
    ValueError
        If the stay has no length, a soc is not a fraction, or a field is not a single number.

    Examples
    --------
    >>> night = Stay(soc_arrival=0.5, duration_h=12.0, soc_departure=0.8)
    >>> night.duration_h
    12.0
    """

    soc_arrival: float
    duration_h: float
    soc_departure: float

    def __post_init__(self):
        keep(
            self,
            soc_arrival={"one": True},
            duration_h={"one": True, **_LENGTH},
            soc_departure={"one": True},
        )
        _checked_soc("soc_arrival", self.soc_arrival)
        _checked_soc("soc_departure", self.soc_departure)


def _check_single(**records):
    """Refuse records of several cars."""
    for name, record in records.items():
        if _shape(record):
            raise ValueError(
                f"{name} has fields of shape {_shape(record)}; "
                "simulate follows one car, so each field must be a single number"
            )


def _steps_of(stay, dt_h):
    """How many steps a stay has."""
    span_h = stay.duration_h
    equal_steps("dt_h", dt_h, "h", of="stay.duration_h", span=span_h, within=1e-6 / dt_h)
    return steps("stay.duration_h", stay.duration_h, dt_h, most=_MOST_STEPS)


def _check_reach(vehicle, charger, stay):
    """Refuse a promise that cannot be kept, and say what can be reached."""
    reach = float(_charged(vehicle, charger, stay.soc_arrival, stay.duration_h))
    if reach < stay.soc_departure - _NEGLIGIBLE:
        raise ValueError(
            f"soc_departure = {stay.soc_departure:g} cannot be kept: from {stay.soc_arrival:g} "
            f"the car reaches {reach:.3f} in {stay.duration_h:g} h at full power"
        )
    _check_promise(vehicle, stay.soc_departure)


def _followed(vehicle, charger, stay, wishes_kw, floors, dt_h):
    """Rows of power, soc and loss, one for the arrival and one for each step."""
    soc = stay.soc_arrival
    rows = [(0.0, soc, 0.0)]
    for wish_kw, floor in zip(wishes_kw, floors):
        now = _stepped(vehicle, charger, soc, wish_kw, dt_h, floor)
        soc = now.soc
        rows.append((now.p_kw, soc, now.loss_kwh / dt_h))
    return rows


def simulate(
    vehicle: Vehicle, charger: Charger, stay: Stay, p_kw: ArrayLike, *, dt_h: float
) -> pd.DataFrame:
    """Return one stay of one car that follows a wish for power and keeps its departure.

    Parameters
    ----------
    vehicle : Vehicle
        The battery of one car.
    charger : Charger
        The converter of one car.
    stay : Stay
        Arrival, length and promise; a whole number of steps long, at most a million.
    p_kw : float or array, shape (steps,)
        The wish; > 0 discharges [kW].
    dt_h : float
        Length of a step, above 0 [h].

    Returns
    -------
    DataFrame
        Index `t_h`, the end of each step, from 0 [h]; columns `p_kw` (at the meter) [kW], `soc`
        [-], `floor` (the line of `soc_floor`) [-] and `loss_kw` [kW]. Row 0 is the arrival.

    Raises
    ------
    ValueError
        If the promise cannot be kept even by charging at full power all along (the message says
        what can be reached), or the stay is not a whole number of steps.
    TypeError
        If `vehicle`, `charger` or `stay` is of another kind.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.0, loss_linear=0.0, loss_quadratic=0.0,
    ... )
    >>> car = Vehicle(
    ...     energy_kwh=50.0, soc_min=0.1, soc_max=0.9, dc_charge_kw=50.0, dc_discharge_kw=50.0,
    ...     eta_charge=1.0, eta_discharge=1.0,
    ... )
    >>> stay = Stay(soc_arrival=0.5, duration_h=4.0, soc_departure=0.8)
    >>> table = simulate(car, wall, stay, [5.0, 5.0, 0.0, 0.0], dt_h=1.0)
    >>> table.soc.round(3).tolist()
    [0.5, 0.4, 0.4, 0.6, 0.8]
    """
    instance("vehicle", vehicle, Vehicle)
    instance("charger", charger, Charger)
    instance("stay", stay, Stay)
    _check_single(vehicle=vehicle, charger=charger)
    dt_h = one("dt_h", dt_h, **_LENGTH)
    wish = checked("p_kw", p_kw, **POWER_KW)
    count = _steps_of(stay, dt_h)
    if np.shape(wish) not in ((), (count,)):
        raise ValueError(
            f"p_kw has shape {np.shape(wish)}; give a number or one for each of the {count} steps"
        )
    _check_reach(vehicle, charger, stay)
    times_h = dt_h * np.arange(count + 1)
    floors = _floor(vehicle, charger, stay.duration_h - times_h, stay.soc_departure)
    lowest = np.minimum(floors, 1.0)[1:]
    rows = _followed(vehicle, charger, stay, np.broadcast_to(wish, count), lowest, dt_h)
    table = pd.DataFrame(
        rows, columns=["p_kw", "soc", "loss_kw"], index=pd.Index(times_h, name="t_h")
    )
    table.insert(2, "floor", floors)
    return table


# ---------------------------------------------------------------------- what can be promised


def kempton_tomic(
    energy_kwh: ArrayLike,
    driven_km: ArrayLike,
    buffer_km: ArrayLike,
    *,
    km_per_kwh: ArrayLike,
    eta_discharge: ArrayLike,
    duration_h: ArrayLike,
    line_kw: ArrayLike,
) -> FloatOrArray:
    r"""Return the power that one car can sell, after Kempton and Tomic.

    .. math:: P = \min\left(\frac{\left(E_0 - \frac{d_d + d_b}{\eta_{veh}}\right)\eta_{out}}
              {t_{disp}},\ P_{line}\right)            (4.9)

    Parameters
    ----------
    energy_kwh : float or array
        Energy stored when the day begins, 0 or more [kWh].
    driven_km : float or array
        Distance driven since then, 0 or more [km].
    buffer_km : float or array
        Distance that is kept for the way home, 0 or more [km].
    km_per_kwh : float or array
        Driving efficiency, above 0 [km/kWh].
    eta_discharge : float or array
        Efficiency from battery to grid, above 0 and up to 1 [-].
    duration_h : float or array
        Time for which the power must hold, above 0 [h].
    line_kw : float or array
        Limit of the plug, 0 or more [kW].

    Returns
    -------
    float or array
        Power; 0 if driving needs everything [kW].

    Raises
    ------
    ValueError
        If an argument is out of range, or shapes do not fit.

    References
    ----------
    .. [1] Kempton and Tomic, "Vehicle-to-grid power fundamentals: calculating capacity and net
       revenue", J. Power Sources 144, 268-279, 2005, eq. (2).

    Examples
    --------
    >>> kempton_tomic(
    ...     60.0, 30.0, 20.0, km_per_kwh=5.0, eta_discharge=0.9, duration_h=[3.0, 9.0],
    ...     line_kw=10.0,
    ... ).tolist()
    [10.0, 5.0]
    """
    energy = checked("energy_kwh", energy_kwh, **_ENERGY)
    driven = checked("driven_km", driven_km, **_DISTANCE)
    buffer = checked("buffer_km", buffer_km, **_DISTANCE)
    per_kwh = checked("km_per_kwh", km_per_kwh, "km/kWh", gt=0, ge=1e-6, le=1e6)
    eta = fraction("eta_discharge", eta_discharge, **ETA)
    duration = checked("duration_h", duration_h, **_LENGTH)
    line = checked("line_kw", line_kw, **SIZE_KW)
    together(
        energy_kwh=energy,
        driven_km=driven,
        buffer_km=buffer,
        km_per_kwh=per_kwh,
        eta_discharge=eta,
        duration_h=duration,
        line_kw=line,
    )
    left_kwh = np.maximum(energy - (driven + buffer) / per_kwh, 0.0)
    return plain(np.minimum(left_kwh * eta / duration, line))  # eq. (4.9)


_CEILINGS = np.array(["charger power", "apparent power", "energy"])


@dataclass(frozen=True, kw_only=True, eq=False)
class Offer:
    """What a car can hold for a duration, and what stops it, as `offer` returns it.

    Powers are changes at the grid side. `power_kw`, `apparent_kw` and `energy_kw` are the three
    ceilings of the power to the grid.

    Attributes
    ----------
    power_kw : float or array
        Ceiling by the power of converter and battery [kW].
    apparent_kw : float or array
        Ceiling by the apparent power that reactive power leaves [kW].
    energy_kw : float or array
        Ceiling by the energy above what is kept, over the duration [kW].
    up_kw : float or array
        More power to the grid than scheduled: discharge more, or charge less [kW].
    down_kw : float or array
        Less power to the grid than scheduled: discharge less, or charge more [kW].
    both_kw : float or array
        The smaller of the two, which a symmetric product takes [kW].
    limit : str or array of str
        The ceiling that binds: "charger power", "apparent power" or "energy".
    """

    power_kw: FloatOrArray
    apparent_kw: FloatOrArray
    energy_kw: FloatOrArray
    up_kw: FloatOrArray
    down_kw: FloatOrArray
    both_kw: FloatOrArray
    limit: str | np.ndarray

    def __post_init__(self):
        keep(
            self,
            power_kw={"unit": "kW"},
            apparent_kw={"unit": "kW"},
            energy_kw={"unit": "kW"},
            up_kw=SIZE_KW | {"le": None},
            down_kw=SIZE_KW | {"le": None},
            both_kw=SIZE_KW | {"le": None},
        )
        instance("limit", self.limit, (str, np.ndarray))


def _check_schedule(charger, p_kw, q_kvar):
    """Refuse a schedule beyond the charger's powers or its rating."""
    too_low = np.less(p_kw, np.negative(charger.p_charge_kw) - _NEGLIGIBLE)
    too_high = np.greater(p_kw, np.add(charger.p_discharge_kw, _NEGLIGIBLE))
    broken = too_low | too_high
    if np.any(broken):
        asked, most_in, most_out = first_of(
            broken, p_kw, charger.p_charge_kw, charger.p_discharge_kw
        )
        raise ValueError(
            f"p_kw = {asked:g} kW is a schedule that this charger cannot follow: it charges with "
            f"at most {most_in:g} kW and discharges with at most {most_out:g} kW, so p_kw must be "
            f"from {-most_in:g} to {most_out:g}"
        )
    broken = np.greater(np.abs(q_kvar), charger.s_kva)
    if np.any(broken):
        asked, rating = first_of(broken, q_kvar, charger.s_kva)
        raise ValueError(f"q_kvar = {asked:g} kvar is more than the rating of {rating:g} kVA")


def _ceilings(vehicle, charger, above, duration_h, q_kvar):
    """The three limits of a power to the grid [kW]: converter and battery, kVA, energy."""
    power = np.minimum(charger.p_discharge_kw, _grid(charger, vehicle.dc_discharge_kw))
    apparent = _room(charger, q_kvar)
    drained_kw = above * vehicle.energy_kwh * vehicle.eta_discharge / duration_h
    return np.broadcast_arrays(power, apparent, _grid(charger, drained_kw))


def _held_kw(vehicle, charger, soc, duration_h):
    """Size of the charging power at the grid side that holds until the end of a call [kW]."""
    rise_per_kw = vehicle.eta_charge * duration_h / vehicle.energy_kwh
    free = np.subtract(vehicle.soc_max, soc)
    room = np.where(free > _LEAST_RISE, free / rise_per_kw, 0.0)
    slope = _taper_slope(vehicle)
    at_start = vehicle.dc_charge_kw * (1 - slope * np.subtract(soc, vehicle.taper_soc))
    at_end = at_start / (1 + vehicle.dc_charge_kw * slope * rise_per_kw)
    battery = np.minimum(np.minimum(room, vehicle.dc_charge_kw), at_end)
    converter = -_battery(charger, np.negative(charger.p_charge_kw))
    return -_grid(charger, -np.minimum(battery, converter))


def _offered(vehicle, charger, *, soc, duration_h, soc_keep, p_kw, q_kvar):
    """As `offer`, of arguments that are checked; but for the schedule."""
    _check_schedule(charger, p_kw, q_kvar)
    above = np.maximum(np.subtract(soc, np.maximum(soc_keep, vehicle.soc_min)), 0.0)
    power, apparent, energy = _ceilings(vehicle, charger, above, duration_h, q_kvar)
    ceilings = np.stack([power, apparent, energy])
    up = np.maximum(np.min(ceilings, axis=0) - p_kw, 0.0)  # eq. (4.10)
    most_bought = np.minimum(_held_kw(vehicle, charger, soc, duration_h), apparent)
    down = np.maximum(most_bought + p_kw, 0.0)
    names = _CEILINGS[np.argmin(ceilings, axis=0)]
    return Offer(
        power_kw=plain(power),
        apparent_kw=plain(apparent),
        energy_kw=plain(energy),
        up_kw=plain(up),
        down_kw=plain(down),
        both_kw=plain(np.minimum(up, down)),
        limit=str(names) if names.ndim == 0 else names,
    )


def offer(
    vehicle: Vehicle,
    charger: Charger,
    soc: ArrayLike,
    duration_h: ArrayLike,
    *,
    soc_keep: ArrayLike,
    p_kw: ArrayLike = 0.0,
    q_kvar: ArrayLike = 0.0,
) -> Offer:
    r"""Return the capacity stack of one plugged-in car: the least of kW, kVA and energy, each way.

    .. math:: P_{up} = \min\Big(P_{dis},\ \sqrt{S^2 - q^2},
              \ p_{grid}\big((s - s_{keep})\,E\,\eta_{discharge}/T\big)\Big) - p_0            (4.10)

    Parameters
    ----------
    vehicle : Vehicle
        The battery.
    charger : Charger
        The converter.
    soc : float or array
        State of charge when the call comes, 0 to 1 [-].
    duration_h : float or array
        Time for which the power must hold, above 0 [h].
    soc_keep : float or array
        State of charge that the driver keeps, for the trip and for comfort, 0 to 1 [-].
    p_kw : float or array
        Scheduled power that the offer comes on top of; < 0 when the car is charging [kW].
    q_kvar : float or array
        Reactive power promised elsewhere [kvar].

    Returns
    -------
    Offer
        Powers that are not negative [kW], and the limit that binds. Energy counts what converter
        and battery lose at that very power; of the reactive power only the room counts.

    Raises
    ------
    ValueError
        If the schedule or the reactive power is more than the charger can do, an argument is out
        of range, or shapes do not fit.
    TypeError
        If `vehicle` is no `Vehicle` or `charger` no `Charger`.

    Notes
    -----
    This is the stack of one car; a fleet adds availability and the network on top. `down_kw` is
    what charger and battery accept until the end of the call, taper and the room below `soc_max`
    included.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02,
    ... )
    >>> car = Vehicle(
    ...     energy_kwh=50.0, soc_min=0.1, soc_max=0.9, dc_charge_kw=50.0, dc_discharge_kw=50.0,
    ...     eta_charge=0.97, eta_discharge=0.97,
    ... )
    >>> stack = offer(car, wall, 0.5, 2.0, soc_keep=0.4, p_kw=-3.0, q_kvar=6.0)
    >>> round(stack.up_kw, 2), round(stack.down_kw, 2), stack.limit
    (5.27, 5.0, 'energy')
    """
    instance("vehicle", vehicle, Vehicle)
    instance("charger", charger, Charger)
    given = {
        "soc": _checked_soc("soc", soc),
        "duration_h": checked("duration_h", duration_h, **_LENGTH),
        "soc_keep": _checked_soc("soc_keep", soc_keep),
        "p_kw": checked("p_kw", p_kw, **POWER_KW),
        "q_kvar": checked("q_kvar", q_kvar, **REACTIVE_KVAR),
    }
    _fit(vehicle=vehicle, charger=charger, **given)
    return _offered(vehicle, charger, **given)


def lendable(
    duration_h: ArrayLike,
    need_kwh: ArrayLike,
    *,
    charge_kw: ArrayLike,
    discharge_kw: ArrayLike,
    eta_charge: ArrayLike,
    eta_discharge: ArrayLike,
) -> FloatOrArray:
    r"""Return the energy that a parked car can give away and still leave with what it came for.

    Giving x takes :math:`x / P_{dis}` hours. Buying it back, together with what the driver asked
    for, takes the rest of the stay:

    .. math:: x \le \frac{T - \frac{E_{need}}{\eta_{in} P_{ch}}}
              {\frac{1}{P_{dis}} + \frac{1}{\eta_{in}\eta_{out} P_{ch}}}            (4.11)

    Parameters
    ----------
    duration_h : float or array
        Length of the stay, 0 or more [h].
    need_kwh : float or array
        Energy that the battery must hold on departure beyond that on arrival, 0 or more [kWh].
    charge_kw : float or array
        Charging power at the grid side, above 0 [kW].
    discharge_kw : float or array
        Discharging power at the grid side, above 0 [kW].
    eta_charge : float or array
        Efficiency from grid to battery, above 0 and up to 1 [-].
    eta_discharge : float or array
        Efficiency from battery to grid, above 0 and up to 1 [-].

    Returns
    -------
    float or array
        Energy at the grid side; 0 when the stay is hardly long enough for the driver's own need.
        The battery's content may allow less [kWh].

    Raises
    ------
    ValueError
        If an argument is out of range, or shapes do not fit.

    Examples
    --------
    >>> lent_kwh = lendable(
    ...     8.0, 12.0, charge_kw=7.0, discharge_kw=5.0, eta_charge=0.9, eta_discharge=0.8
    ... )
    >>> round(lent_kwh, 2)
    15.3
    """
    stay = checked("duration_h", duration_h, **_TIME)
    need = checked("need_kwh", need_kwh, **_ENERGY)
    charge = checked("charge_kw", charge_kw, **ABOVE_0_KW)
    give = checked("discharge_kw", discharge_kw, **ABOVE_0_KW)
    eta_in = fraction("eta_charge", eta_charge, **ETA)
    eta_out = fraction("eta_discharge", eta_discharge, **ETA)
    together(
        duration_h=stay,
        need_kwh=need,
        charge_kw=charge,
        discharge_kw=give,
        eta_charge=eta_in,
        eta_discharge=eta_out,
    )
    spare_h = np.maximum(stay - need / (eta_in * charge), 0.0)
    hours_per_kwh = 1 / give + 1 / (eta_in * eta_out * charge)
    return plain(spare_h / hours_per_kwh)  # eq. (4.11)


def backup_days(
    energy_kwh: ArrayLike,
    load_kwh_per_day: ArrayLike,
    *,
    usable: ArrayLike,
    eta_discharge: ArrayLike,
) -> FloatOrArray:
    r"""Return the days for which a car carries a house.

    .. math:: n = \frac{E\,u\,\eta_{out}}{L}            (4.12)

    Parameters
    ----------
    energy_kwh : float or array
        Energy in the battery, 0 or more [kWh].
    load_kwh_per_day : float or array
        Daily load of the house, above 0 [kWh/day].
    usable : float or array
        Share of the energy that may be used, 0 to 1 [-].
    eta_discharge : float or array
        Efficiency from battery to house, above 0 and up to 1 [-].

    Returns
    -------
    float or array
        Time [days].

    Raises
    ------
    ValueError
        If an argument is out of range, or shapes do not fit.

    Examples
    --------
    >>> round(backup_days(60.0, 12.0, usable=0.8, eta_discharge=0.9), 3)
    3.6
    """
    energy = checked("energy_kwh", energy_kwh, **_ENERGY)
    load = checked("load_kwh_per_day", load_kwh_per_day, "kWh/day", gt=0, ge=1e-6, le=1e12)
    share = fraction("usable", usable)
    eta = fraction("eta_discharge", eta_discharge, **ETA)
    together(energy_kwh=energy, load_kwh_per_day=load, usable=share, eta_discharge=eta)
    return plain(energy * (share * eta) / load)  # eq. (4.12)


# ------------------------------------------------------------------- as an optimiser sees them


@dataclass(frozen=True, kw_only=True, eq=False)
class Storage:
    """A car and its charger with constant efficiencies, as a linear programme needs them.

    Each field is a number, or an array with one entry per car.

    Attributes
    ----------
    energy_kwh : float or array
        Usable energy between soc 0 and 1, above 0 [kWh].
    soc_min, soc_max : float or array
        The window of soc, 0 to 1; the first is below the second [-].
    p_charge_kw : float or array
        Largest power drawn from the grid, 0 or more [kW].
    p_discharge_kw : float or array
        Largest power given to the grid, 0 or more [kW].
    eta_charge : float or array
        Efficiency from grid to battery, above 0 and up to 1 [-].
    eta_discharge : float or array
        Efficiency from battery to grid, above 0 and up to 1 [-].

    Raises
    ------
    ValueError
        If a field is out of range, or `soc_min` is not below `soc_max`.

    Examples
    --------
    >>> car = Storage(
    ...     energy_kwh=60.0, soc_min=0.2, soc_max=0.9, p_charge_kw=7.4, p_discharge_kw=7.4,
    ...     eta_charge=0.92, eta_discharge=0.93,
    ... )
    >>> round(car.eta_round_trip, 3)
    0.856
    """

    energy_kwh: FloatOrArray
    soc_min: FloatOrArray
    soc_max: FloatOrArray
    p_charge_kw: FloatOrArray
    p_discharge_kw: FloatOrArray
    eta_charge: FloatOrArray
    eta_discharge: FloatOrArray

    def __post_init__(self):
        keep(
            self,
            energy_kwh=CAPACITY_KWH,
            soc_min={"fraction": True},
            soc_max={"fraction": True},
            p_charge_kw=SIZE_KW,
            p_discharge_kw=SIZE_KW,
            eta_charge={"fraction": True, **ETA},
            eta_discharge={"fraction": True, **ETA},
        )
        together(**vars(self))
        _check_window(self)

    @property
    def eta_round_trip(self) -> FloatOrArray:
        """Share of the energy bought that comes back, 0 to 1 [-]."""
        return plain(np.multiply(self.eta_charge, self.eta_discharge))


def _check_working_point(name, power_kw, eta):
    """Refuse a power of which nothing is left on the other side."""
    broken = np.less(eta, ETA["ge"])
    if np.any(broken):
        power, share = first_of(broken, power_kw, eta)
        raise ValueError(
            f"{name} = {power:g} kW is lost on the way: the efficiency at this working point is "
            f"{share:g}, and it must be above 0; choose a larger power"
        )


def linear_storage(
    vehicle: Vehicle, charger: Charger, *, charge_kw: ArrayLike, discharge_kw: ArrayLike
) -> Storage:
    """Return a pair as a store whose efficiencies are frozen at one working point.

    Parameters
    ----------
    vehicle : Vehicle
        The battery.
    charger : Charger
        The converter.
    charge_kw : float or array
        Charging power at which the efficiency is taken, above 0 [kW].
    discharge_kw : float or array
        Discharging power at which the efficiency is taken, above 0. For a one-way charger it is
        taken too, and never used [kW].

    Returns
    -------
    Storage
        With the ratings of the pair [kW]. Far below the working point a real charger is worse.

    Raises
    ------
    ValueError
        If a power is not above 0, nothing of it arrives, or shapes do not fit.
    TypeError
        If `vehicle` is no `Vehicle` or `charger` no `Charger`.

    Examples
    --------
    >>> wall = Charger(
    ...     p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0,
    ...     idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02,
    ... )
    >>> car = Vehicle(
    ...     energy_kwh=60.0, soc_min=0.1, soc_max=0.9, dc_charge_kw=100.0, dc_discharge_kw=20.0,
    ...     eta_charge=0.97, eta_discharge=0.97,
    ... )
    >>> store = linear_storage(car, wall, charge_kw=8.0, discharge_kw=6.0)
    >>> round(store.eta_charge, 3), round(store.eta_discharge, 3)
    (0.923, 0.925)
    """
    instance("vehicle", vehicle, Vehicle)
    instance("charger", charger, Charger)
    bought = checked("charge_kw", charge_kw, **ABOVE_0_KW)
    sold = checked("discharge_kw", discharge_kw, **ABOVE_0_KW)
    _fit(vehicle=vehicle, charger=charger, charge_kw=bought, discharge_kw=sold)
    eta_charge = _efficiency(charger, np.negative(bought)) * vehicle.eta_charge
    eta_discharge = _efficiency(charger, sold) * vehicle.eta_discharge
    _check_working_point("charge_kw", bought, eta_charge)
    _check_working_point("discharge_kw", sold, eta_discharge)
    most_into = np.minimum(
        vehicle.dc_charge_kw, -_battery(charger, np.negative(charger.p_charge_kw))
    )
    most_bought = np.minimum(charger.p_charge_kw, -_grid(charger, -most_into))
    most_sold = np.minimum(charger.p_discharge_kw, _grid(charger, vehicle.dc_discharge_kw))
    return Storage(
        energy_kwh=vehicle.energy_kwh,
        soc_min=vehicle.soc_min,
        soc_max=vehicle.soc_max,
        p_charge_kw=plain(most_bought),
        p_discharge_kw=plain(most_sold),
        eta_charge=plain(eta_charge),
        eta_discharge=plain(eta_discharge),
    )
