r"""Topic 04, charger: what one car can deliver, for how long, and what is lost on the way.

A `Vehicle` is a battery with limits, a `Charger` is the converter between battery and grid, wherever it is built in. Both take
numbers or arrays, so one pair of records describes one car or a million. Power is active power at the grid side of the
converter in kW and p > 0 flows from the vehicle to the grid; charging is negative.

From the converter (`loss_kw`, `battery_kw`, `grid_kw`, `round_trip`, `q_limit_kvar`) to the battery (`charge_time`, `soc_after`, `step`,
`simulate`) to what can be promised (`kempton_tomic`, `offer`, `lendable`, `backup_days`). `linear` reduces a pair to the constant
efficiencies that a linear programme needs.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ._check import checked, plain

# ------------------------------------------------------------------------------------------------ the two records


@dataclass(frozen=True, kw_only=True, eq=False)
class Charger:
    """The converter between battery and grid: in the wall for direct-current (DC) charging, in the car for AC.

    Each field is a number, or an array with one entry per car.

    Attributes
    ----------
    p_charge_kw : float or array
        Largest power drawn from the grid. [kW]
    p_discharge_kw : float or array
        Largest power given to the grid; 0 for a one-way (V1G) charger. [kW]
    s_kva : float or array
        Apparent-power rating, shared by active and reactive power. At least as large as both powers. [kVA]
    idle_kw : float or array
        Loss while converting, at any power. [kW]
    loss_linear : float or array
        Loss per power (semiconductors). 0..1. [-]
    loss_quadratic : float or array
        Loss at rating that grows with the square of the current (windings, cables), per `s_kva`. 0..1. [-]
    standby_kw : float or array
        Drawn from the grid while plugged in and resting. [kW]

    Raises
    ------
    ValueError
        If a field is out of range, or the losses eat more than the whole power.
    """

    p_charge_kw: float
    p_discharge_kw: float
    s_kva: float
    idle_kw: float
    loss_linear: float
    loss_quadratic: float
    standby_kw: float = 0.0

    def __post_init__(self):
        charge = checked("p_charge_kw", self.p_charge_kw, "kW", gt=0)
        discharge = checked("p_discharge_kw", self.p_discharge_kw, "kW", ge=0)
        checked("s_kva", self.s_kva, "kVA", gt=0)
        for name in ("idle_kw", "standby_kw"):
            checked(name, getattr(self, name), "kW", ge=0)
        for name in ("loss_linear", "loss_quadratic"):
            checked(name, getattr(self, name), "(a fraction, not per cent)", ge=0, lt=1)
        if np.any(np.maximum(charge, discharge) > np.multiply(self.s_kva, 1 + 1e-9)):
            raise ValueError(
                f"s_kva = {self.s_kva} kVA is less than the active power; active and reactive power share it"
            )
        if np.any(loss_kw(self, charge) >= charge):
            raise ValueError(
                "the losses are larger than the charging power; look at idle_kw, loss_linear and loss_quadratic"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Vehicle:
    """A car's battery as the grid sees it. Each field is a number, or an array with one entry per car.

    Attributes
    ----------
    energy_kwh : float or array
        Usable energy between soc 0 and 1. [kWh]
    soc_min, soc_max : float or array
        The window that the owner or the warranty allows. 0..1.
    dc_charge_kw, dc_discharge_kw : float or array
        Largest power at the battery's terminals. [kW]
    eta_charge, eta_discharge : float or array
        Efficiency of the battery alone, each way. 0..1.
    taper_soc : float or array
        Above this soc the battery accepts less and less. 0..1 (below 1).
    taper_end : float or array
        Share of `dc_charge_kw` that it still accepts at soc 1. Above 0; 1 means no taper.

    Raises
    ------
    ValueError
        If a field is out of range, or soc_min is not below soc_max.
    """

    energy_kwh: float
    soc_min: float
    soc_max: float
    dc_charge_kw: float
    dc_discharge_kw: float
    eta_charge: float
    eta_discharge: float
    taper_soc: float = 0.8
    taper_end: float = 1.0

    def __post_init__(self):
        for name, unit in (("energy_kwh", "kWh"), ("dc_charge_kw", "kW")):
            checked(name, getattr(self, name), unit, gt=0)
        checked("dc_discharge_kw", self.dc_discharge_kw, "kW", ge=0)
        low, high = checked_soc("soc_min", self.soc_min), checked_soc("soc_max", self.soc_max)
        if np.any(np.greater_equal(low, high)):
            raise ValueError(f"soc_min = {self.soc_min} must be below soc_max = {self.soc_max}")
        for name in ("eta_charge", "eta_discharge"):
            checked(name, getattr(self, name), "(a fraction)", gt=0, le=1)
        checked("taper_soc", self.taper_soc, "(a fraction)", ge=0, lt=1)
        checked("taper_end", self.taper_end, "(a fraction)", gt=0, le=1)


def checked_soc(name, soc):
    """Return a state of charge, or raise a ValueError that names the usual slip (per cent)."""
    soc = checked(name, soc)
    if np.any(np.asarray(soc) > 1 + 1e-9) and np.all(np.asarray(soc) <= 100):
        raise ValueError(
            f"{name} is {np.max(soc):g}; a state of charge is a fraction 0..1. Was it given in per cent?"
        )
    return checked(name, soc, ge=-1e-9, le=1 + 1e-9)


def narrowed(charger, charge_kw, discharge_kw):
    """The same converter behind something weaker: a cable, a wall box, a fuse, or the other half of the plug.

    On the AC path the converter is the car's on-board charger and the wall box only limits it; on the DC path the converter
    stands in the wall and the car's inlet limits it. A chain is as strong as its weakest link, each way.

    Parameters
    ----------
    charger : Charger
    charge_kw, discharge_kw : float or array
        What the other link lets through, each way. [kW]

    Returns
    -------
    Charger

    Examples
    --------
    >>> onboard = Charger(p_charge_kw=11.0, p_discharge_kw=11.0, s_kva=11.0, idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02)
    >>> narrowed(onboard, 7.4, 0.0).p_charge_kw
    7.4
    """
    charge_kw = checked("charge_kw", charge_kw, "kW", gt=0)
    discharge_kw = checked("discharge_kw", discharge_kw, "kW", ge=0)
    both = {
        "p_charge_kw": np.minimum(charger.p_charge_kw, charge_kw),
        "p_discharge_kw": np.minimum(charger.p_discharge_kw, discharge_kw),
    }
    return replace(charger, **{name: plain(value) for name, value in both.items()})


# ------------------------------------------------------------------------------------------------ the converter


def loss_kw(charger, p_kw, q_kvar=0.0):
    r"""Power lost in the converter.

    .. math:: P_{loss} = a + b\,|p| + c\,\frac{p^2 + q^2}{S}            (4.1)

    Parameters
    ----------
    charger : Charger
        a is `idle_kw`, b `loss_linear`, c `loss_quadratic`, S `s_kva`.
    p_kw, q_kvar : float or array
        Active and reactive power at the grid side; only their size matters. [kW], [kvar]

    Returns
    -------
    float or array
        Zero when neither flows: a resting converter draws `standby_kw`, which is counted apart. [kW]

    Examples
    --------
    >>> wall = Charger(p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0, idle_kw=0.1, loss_linear=0.02, loss_quadratic=0.02)
    >>> round(loss_kw(wall, 10.0), 6), round(loss_kw(wall, 1.0), 6)
    (0.5, 0.122)
    """
    p, q = np.abs(checked("p_kw", p_kw, "kW")), checked("q_kvar", q_kvar, "kvar")
    loss = (
        charger.idle_kw
        + np.multiply(charger.loss_linear, p)
        + charger.loss_quadratic * (p**2 + np.square(q)) / charger.s_kva
    )  # eq. (4.1)
    return plain(np.where((p > 0) | (np.asarray(q) != 0), loss, 0.0))


def battery_kw(charger, p_kw):
    r"""Power at the battery's terminals when `p_kw` flows at the grid side.

    .. math:: p_{dc} = p + P_{loss}(p)            (4.2)

    One equation serves both ways, because p > 0 leaves the car: discharging, the battery gives the loss as well; charging, it
    receives less than was bought.

    Parameters
    ----------
    charger : Charger
    p_kw : float or array
        At the grid side; > 0 discharges. [kW]

    Returns
    -------
    float or array
        > 0 leaves the battery. Charging with less than the idle loss stores nothing (0). [kW]
    """
    p_kw = checked("p_kw", p_kw, "kW")
    p_dc = p_kw + np.asarray(loss_kw(charger, p_kw))  # eq. (4.2)
    return plain(np.where(np.asarray(p_kw) < 0, np.minimum(p_dc, 0.0), p_dc))


def grid_kw(charger, p_dc_kw):
    """Power at the grid side when `p_dc_kw` flows at the battery: eq. (4.2) solved for p.

    Parameters
    ----------
    charger : Charger
    p_dc_kw : float or array
        > 0 leaves the battery. [kW]

    Returns
    -------
    float or array
        Discharging less than the idle loss gives the grid nothing (0). Ratings are not applied. [kW]

    Raises
    ------
    ValueError
        If so much charging power can never arrive at the battery, because the losses grow faster.
    """
    p_dc = np.asarray(checked("p_dc_kw", p_dc_kw, "kW"))
    a, b, c = charger.idle_kw, charger.loss_linear, np.divide(charger.loss_quadratic, charger.s_kva)
    out = np.maximum(p_dc - a, 0.0)
    giving = 2 * out / (1 + b + np.sqrt((1 + b) ** 2 + 4 * c * out))
    wanted = np.where(p_dc < 0, a - p_dc, 0.0)
    root = (1 - b) ** 2 - 4 * c * wanted
    if np.any(root < 0):
        raise ValueError(
            f"p_dc_kw = {p_dc.min():g} kW can never reach the battery through this converter: its losses grow faster"
        )
    return plain(np.where(p_dc < 0, -2 * wanted / (1 - b + np.sqrt(np.maximum(root, 0))), giving))


def efficiency(charger, p_kw):
    r"""Efficiency of the converter alone, in the direction of the power.

    .. math:: \eta(p) = \frac{p}{p_{dc}}\ \text{discharging},\qquad \eta(p) = \frac{p_{dc}}{p}\ \text{charging}            (4.3)

    Parameters
    ----------
    charger : Charger
    p_kw : float or array
        At the grid side, not 0; > 0 discharges. [kW]

    Returns
    -------
    float or array
        0..1

    Raises
    ------
    ValueError
        If a power is 0: nothing flows, so nothing can be efficient.
    """
    p = np.asarray(checked("p_kw", p_kw, "kW"))
    if np.any(p == 0):
        raise ValueError("p_kw is 0; efficiency has no meaning when nothing flows")
    p_dc = np.asarray(battery_kw(charger, p))
    return plain(np.where(p > 0, p / np.where(p > 0, p_dc, 1.0), p_dc / p) + 0.0)  # eq. (4.3)


def round_trip(vehicle, charger, charge_kw, discharge_kw):
    r"""Share of the energy bought that comes back: grid to battery to grid.

    .. math:: \eta_{rt} = \eta(-p_{ch})\,\eta_{charge}\,\eta_{discharge}\,\eta(p_{dis})            (4.4)

    Parameters
    ----------
    vehicle : Vehicle
    charger : Charger
    charge_kw, discharge_kw : float or array
        Size of the two powers at the grid side, both > 0. [kW]

    Returns
    -------
    float or array
        0..1

    References
    ----------
    .. [1] Schram, Brinkel, Smink, van Wijk, van Sark, "Empirical evaluation of V2G round-trip efficiency", 2020: 79.1 to
       87.8 % over all settings, 87.0 % on average at three times 16 A.
    """
    there = efficiency(charger, np.negative(checked("charge_kw", charge_kw, "kW", gt=0)))
    back = efficiency(charger, checked("discharge_kw", discharge_kw, "kW", gt=0))
    return plain(there * np.multiply(vehicle.eta_charge, vehicle.eta_discharge) * back)  # eq. (4.4)


def q_limit_kvar(charger, p_kw):
    r"""Largest reactive power beside an active power.

    .. math:: p^2 + q^2 \le S^2            (4.5)

    Parameters
    ----------
    charger : Charger
    p_kw : float or array
        [kW]

    Returns
    -------
    float or array
        Available in both signs. [kvar]

    Raises
    ------
    ValueError
        If `p_kw` alone exceeds the apparent-power rating.
    """
    p = np.abs(checked("p_kw", p_kw, "kW"))
    if np.any(p > np.multiply(charger.s_kva, 1 + 1e-9)):
        raise ValueError(
            f"p_kw = {np.max(p):g} kW is more than the rating of {np.max(charger.s_kva):g} kVA"
        )
    return plain(np.sqrt(np.maximum(np.square(charger.s_kva) - p**2, 0.0)))  # eq. (4.5)


def active_first(charger, p_kw, q_kvar):
    """Cut a wish for (p, q) to the rating: active power keeps its share, reactive power gets what is left.

    Parameters
    ----------
    charger : Charger
    p_kw, q_kvar : float or array
        What is asked for. [kW], [kvar]

    Returns
    -------
    tuple of float or array
        p [kW] within the charger's active limits, and q [kvar] of the asked sign.
    """
    p = np.clip(
        checked("p_kw", p_kw, "kW"), np.negative(charger.p_charge_kw), charger.p_discharge_kw
    )
    room = q_limit_kvar(charger, p)
    return plain(p), plain(np.clip(checked("q_kvar", q_kvar, "kvar"), np.negative(room), room))


def reactive_first(charger, p_kw, q_kvar):
    """Cut a wish for (p, q) to the rating: reactive power keeps its share, active power gets what is left.

    Parameters and returns as `active_first`.
    """
    q = np.clip(checked("q_kvar", q_kvar, "kvar"), np.negative(charger.s_kva), charger.s_kva)
    room = np.sqrt(np.maximum(np.square(charger.s_kva) - q**2, 0.0))
    p = np.clip(
        checked("p_kw", p_kw, "kW"),
        -np.minimum(charger.p_charge_kw, room),
        np.minimum(charger.p_discharge_kw, room),
    )
    return plain(p), plain(q)


# -------------------------------------------------------------------------------------------------- the battery


def accepted_kw(vehicle, soc):
    r"""Charging power that the battery accepts at its terminals.

    .. math:: p_{acc}(s) = P_{dc}\left(1 - (1 - e)\,\frac{s - s_t}{1 - s_t}\right)\ \text{above } s_t,\ \text{else } P_{dc}            (4.6)

    Parameters
    ----------
    vehicle : Vehicle
        s_t is `taper_soc`, e is `taper_end`.
    soc : float or array
        0..1

    Returns
    -------
    float or array
        A size, >= 0. [kW]
    """
    above = np.maximum(np.subtract(checked_soc("soc", soc), vehicle.taper_soc), 0.0)
    return plain(vehicle.dc_charge_kw * (1 - _taper_slope(vehicle) * above))  # eq. (4.6)


def _taper_slope(vehicle):
    return (1 - np.asarray(vehicle.taper_end)) / (1 - np.asarray(vehicle.taper_soc))


def _pace(vehicle, charger):
    """Full-power charging as a straight line [1/h] up to a bend (soc), then an exponential of rate `decay` [1/h]."""
    converter = np.abs(battery_kw(charger, np.negative(charger.p_charge_kw)))
    share = np.minimum(
        1.0, converter / np.asarray(vehicle.dc_charge_kw)
    )  # of what the battery accepts before its taper
    slope = _taper_slope(vehicle)
    full = vehicle.eta_charge * np.asarray(vehicle.dc_charge_kw) / vehicle.energy_kwh
    with np.errstate(divide="ignore", invalid="ignore"):
        bend = np.where(slope > 0, vehicle.taper_soc + np.divide(1 - share, slope), np.inf)
    return share * full, bend, slope * full, share, slope


def _clock(vehicle, charger, soc):
    """Hours of full-power charging from soc 0 to `soc`; negative below 0."""
    line, bend, decay, share, slope = _pace(vehicle, charger)
    past = np.maximum(np.subtract(soc, bend), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = np.where(past > 0, -np.log1p(-slope * past / share) / decay, 0.0)
    return np.minimum(soc, bend) / line + tail


def _soc_on_clock(vehicle, charger, clock_h):
    """Inverse of `_clock`."""
    line, bend, decay, share, slope = _pace(vehicle, charger)
    on_line = np.multiply(line, clock_h)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        past_h = np.maximum(clock_h - np.divide(bend, line), 0.0)
        tapered = bend + share * -np.expm1(-decay * past_h) / slope
    return np.where(on_line > bend, tapered, on_line)


def charge_time(vehicle, charger, soc_from, soc_to):
    r"""Hours of charging as fast as possible.

    While the converter is the limit, soc rises along a straight line; once the battery's taper is, what is missing decays
    exponentially:

    .. math:: \dot s = \frac{\eta_{charge}}{E}\min\big(p_{conv},\ p_{acc}(s)\big)            (4.7)

    Parameters
    ----------
    vehicle : Vehicle
    charger : Charger
    soc_from, soc_to : float or array
        0..1

    Returns
    -------
    float or array
        0 if the car is already there. [h]

    Examples
    --------
    >>> wall = Charger(p_charge_kw=10.0, p_discharge_kw=10.0, s_kva=10.0, idle_kw=0.0, loss_linear=0.0, loss_quadratic=0.0)
    >>> car = Vehicle(energy_kwh=50.0, soc_min=0.1, soc_max=1.0, dc_charge_kw=50.0, dc_discharge_kw=50.0, eta_charge=1.0, eta_discharge=1.0)
    >>> round(charge_time(car, wall, 0.2, 0.6), 9)
    2.0
    """
    start, end = checked_soc("soc_from", soc_from), checked_soc("soc_to", soc_to)
    return plain(
        np.maximum(_clock(vehicle, charger, end) - _clock(vehicle, charger, start), 0.0)
    )  # eq. (4.7)


def soc_after(vehicle, charger, soc, hours):
    """State of charge after charging as fast as possible: eq. (4.7) solved for soc.

    Parameters
    ----------
    vehicle : Vehicle
    charger : Charger
    soc : float or array
        Now. 0..1
    hours : float or array
        Of charging. [h]

    Returns
    -------
    float or array
        At most `soc_max`, unless the car already stood higher.
    """
    soc, hours = checked_soc("soc", soc), checked("hours", hours, "h", ge=0)
    reached = _soc_on_clock(vehicle, charger, _clock(vehicle, charger, soc) + hours)
    return plain(np.minimum(reached, np.maximum(vehicle.soc_max, soc)))


def soc_floor(vehicle, charger, hours_left, soc_departure):
    """Lowest state of charge from which a departure can still be kept: eq. (4.7) read backwards.

    A car that stands on this line must charge at full power until it leaves.

    Parameters
    ----------
    vehicle : Vehicle
    charger : Charger
    hours_left : float or array
        Until departure. [h]
    soc_departure : float or array
        Promised soc, at most `soc_max`. 0..1

    Returns
    -------
    float or array
        At least `soc_min`.

    Raises
    ------
    ValueError
        If the promise lies above the window.
    """
    promise, hours_left = (
        checked_soc("soc_departure", soc_departure),
        checked("hours_left", hours_left, "h", ge=0),
    )
    if np.any(np.asarray(promise) > np.asarray(vehicle.soc_max) + 1e-9):
        raise ValueError(
            f"soc_departure = {np.max(promise):g} lies above the window's soc_max = {np.min(vehicle.soc_max):g}; no charger can keep that promise"
        )
    line = _soc_on_clock(vehicle, charger, _clock(vehicle, charger, promise) - hours_left)
    return plain(np.maximum(line, vehicle.soc_min))


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One step of time: power at the grid side [kW], soc at its end, and energy lost on the way [kWh]."""

    p_kw: float
    soc: float
    loss_kwh: float


def step(vehicle, charger, soc, p_kw, dt_h, floor=None):
    r"""Follow a wish for power over one step, as far as converter, battery and promises allow.

    .. math:: s(t + \Delta t) = s(t) + \frac{\Delta t}{E}\left(\eta_{charge}\,p_{dc}^{-} - \frac{p_{dc}^{+}}{\eta_{discharge}}\right)            (4.8)

    Parameters
    ----------
    vehicle : Vehicle
    charger : Charger
    soc : float or array
        At the start of the step. 0..1
    p_kw : float or array
        The wish, held over the step; > 0 discharges. [kW]
    dt_h : float
        Length of the step. [h]
    floor : float or array, optional
        Soc to stand at or above at the end of the step; `soc_min` if left out. The car charges for it, wish or no wish.

    Returns
    -------
    Step
        `p_kw` is what the grid's meter sees; a resting car draws its standby power. Bought minus sold energy equals stored
        plus lost energy exactly.

    Notes
    -----
    A car below the floor charges as fast as it can. Power is constant within the step; with a taper it is the mean.
    """
    soc, dt_h = np.asarray(checked_soc("soc", soc)), checked("dt_h", dt_h, "h", gt=0)
    p_kw = np.asarray(checked("p_kw", p_kw, "kW"))
    energy = np.asarray(vehicle.energy_kwh)
    fullest = soc_after(vehicle, charger, soc, dt_h)
    floor = np.minimum(
        vehicle.soc_min
        if floor is None
        else np.maximum(checked_soc("floor", floor), vehicle.soc_min),
        fullest,
    )
    into_kw = lambda rise: np.where(rise > 1e-12, rise, 0) * energy / (vehicle.eta_charge * dt_h)  # noqa: E731  at the battery's terminals
    most = np.minimum(-np.asarray(grid_kw(charger, -into_kw(fullest - soc))), charger.p_charge_kw)
    must = np.minimum(-np.asarray(grid_kw(charger, -into_kw(floor - soc))), most)
    spare_kw = np.minimum(
        np.maximum(soc - floor, 0) * energy * vehicle.eta_discharge / dt_h, vehicle.dc_discharge_kw
    )
    give = np.minimum(grid_kw(charger, spare_kw), charger.p_discharge_kw)
    p = np.where(must > 0, np.clip(p_kw, -most, -must), np.clip(p_kw, -most, give))
    p_dc = np.asarray(battery_kw(charger, p))
    rise_kwh = dt_h * (
        vehicle.eta_charge * np.maximum(-p_dc, 0) - np.maximum(p_dc, 0) / vehicle.eta_discharge
    )
    met = np.where(p == 0, np.negative(charger.standby_kw), p)
    return Step(
        p_kw=plain(met), soc=plain(soc + rise_kwh / energy), loss_kwh=plain(-met * dt_h - rise_kwh)
    )  # eq. (4.8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stay:
    """One stay at the plug: soc on arrival, hours until departure, and the soc promised for it.

    Raises
    ------
    ValueError
        If the stay has no length or a soc is not a fraction.
    """

    soc_arrival: float
    hours: float
    soc_departure: float

    def __post_init__(self):
        checked_soc("soc_arrival", self.soc_arrival)
        checked_soc("soc_departure", self.soc_departure)
        checked("hours", self.hours, "h", gt=0)


def simulate(vehicle, charger, stay, p_kw, *, dt_h):
    """One stay of one car that follows a wish for power, and keeps its departure.

    Parameters
    ----------
    vehicle : Vehicle
    charger : Charger
    stay : Stay
        A whole number of steps long.
    p_kw : float or array, shape (steps,)
        The wish; > 0 discharges. [kW]
    dt_h : float
        Length of a step. [h]

    Returns
    -------
    DataFrame
        Index `t_h`, the end of each step, from 0; columns `p_kw` (at the meter), `soc`, `floor` (the line of `soc_floor`) and
        `loss_kw`. Row 0 is the arrival.

    Raises
    ------
    ValueError
        If the promise cannot be kept even by charging at full power all along: the message says what can be reached.
    """
    dt_h = checked("dt_h", dt_h, "h", gt=0)
    steps = round(stay.hours / dt_h)
    if abs(steps * dt_h - stay.hours) > 1e-6:
        raise ValueError(
            f"a stay of {stay.hours:g} h is not a whole number of steps of dt_h = {dt_h:g} h"
        )
    reach = soc_after(vehicle, charger, stay.soc_arrival, stay.hours)
    if reach < stay.soc_departure - 1e-9:
        raise ValueError(
            f"soc_departure = {stay.soc_departure:g} cannot be kept: from {stay.soc_arrival:g} the car reaches "
            f"{reach:.3f} in {stay.hours:g} h at full power"
        )
    wish = checked("p_kw", p_kw, "kW")
    if np.shape(wish) not in ((), (steps,)):
        raise ValueError(
            f"p_kw has shape {np.shape(wish)}; give a number or one for each of the {steps} steps"
        )
    wish = np.broadcast_to(wish, (steps,))
    floors = soc_floor(
        vehicle, charger, stay.hours - dt_h * np.arange(steps + 1), stay.soc_departure
    )
    rows = [(0.0, stay.soc_arrival, 0.0)]
    for k in range(steps):
        now = step(vehicle, charger, rows[-1][1], wish[k], dt_h, min(1.0, floors[k + 1]))
        rows.append((now.p_kw, now.soc, now.loss_kwh / dt_h))
    table = pd.DataFrame(
        rows,
        columns=["p_kw", "soc", "loss_kw"],
        index=pd.Index(dt_h * np.arange(steps + 1), name="t_h"),
    )
    table.insert(2, "floor", floors)
    return table


# ------------------------------------------------------------------------------------------- what can be promised


def kempton_tomic(
    energy_kwh, driven_km, buffer_km, *, km_per_kwh, eta_discharge, duration_h, line_kw
):
    r"""Power that one car can sell, after Kempton and Tomic.

    .. math:: P = \min\left(\frac{\left(E - \frac{d_d + d_b}{\eta_{veh}}\right)\eta_{discharge}}{t_{disp}},\ P_{line}\right)            (4.9)

    Parameters
    ----------
    energy_kwh : float or array
        Stored when the day begins. [kWh]
    driven_km, buffer_km : float or array
        Driven since then, and kept for the way home. [km]
    km_per_kwh : float or array
        Driving efficiency.
    eta_discharge : float or array
        Battery to grid. 0..1
    duration_h : float or array
        For how long the power must hold. [h]
    line_kw : float or array
        Limit of the plug. [kW]

    Returns
    -------
    float or array
        0 if driving needs everything. [kW]

    References
    ----------
    .. [1] Kempton and Tomic, "Vehicle-to-grid power fundamentals: calculating capacity and net revenue", J. Power Sources
       144, 268-279, 2005, eq. (2).
    """
    energy = checked("energy_kwh", energy_kwh, "kWh", ge=0)
    km = checked("driven_km", driven_km, "km", ge=0) + np.asarray(
        checked("buffer_km", buffer_km, "km", ge=0)
    )
    left_kwh = np.maximum(energy - km / checked("km_per_kwh", km_per_kwh, "km/kWh", gt=0), 0.0)
    eta = checked("eta_discharge", eta_discharge, "(a fraction)", gt=0, le=1)
    power = left_kwh * eta / checked("duration_h", duration_h, "h", gt=0)
    return plain(np.minimum(power, checked("line_kw", line_kw, "kW", ge=0)))  # eq. (4.9)


@dataclass(frozen=True, kw_only=True, eq=False)
class Offer:
    """What a car can hold for a duration, and what stops it. Powers are changes at the grid side in kW.

    `up_kw` is more power to the grid than the schedule (discharge more or charge less), `down_kw` less; `both_kw` is the smaller of
    the two, what a symmetric product takes. `power_kw`, `apparent_kw` and `energy_kw` are the three limits on `up_kw`, and
    `limit` names the one that binds.
    """

    power_kw: float
    apparent_kw: float
    energy_kw: float
    up_kw: float
    down_kw: float
    both_kw: float
    limit: str


def offer(vehicle, charger, soc, duration_h, *, soc_keep, p_kw=0.0, q_kvar=0.0):
    r"""The capacity stack of one plugged-in car: the least of kW, kVA and energy over duration, each way.

    .. math:: P_{up} = \min\Big(P_{dis},\ \sqrt{S^2 - q^2},\ p\big((s - s_{keep})\,E\,\eta_{discharge}/T\big)\Big) - p_0            (4.10)

    Parameters
    ----------
    vehicle : Vehicle
    charger : Charger
    soc : float or array
        When the call comes. 0..1
    duration_h : float or array
        For how long the power must hold. [h]
    soc_keep : float or array
        What the driver keeps, for the trip and for comfort. 0..1
    p_kw : float or array
        Scheduled power that the offer comes on top of; < 0 when the car is charging. [kW]
    q_kvar : float or array
        Reactive power promised elsewhere. [kvar]

    Returns
    -------
    Offer
        Not negative. Energy counts what converter and battery lose at that very power.

    Raises
    ------
    ValueError
        If the schedule or the reactive power is more than the charger can do.

    Notes
    -----
    Stack of one car; a fleet adds availability and the network on top. `down_kw` is what charger and battery accept until the
    end of the call, taper and the room below `soc_max` included.
    """
    soc, keep = checked_soc("soc", soc), checked_soc("soc_keep", soc_keep)
    duration_h, p_kw = checked("duration_h", duration_h, "h", gt=0), checked("p_kw", p_kw, "kW")
    room_2 = np.square(charger.s_kva) - np.square(checked("q_kvar", q_kvar, "kvar"))
    if np.any(room_2 < 0):
        raise ValueError(f"q_kvar = {q_kvar} kvar is more than the rating of {charger.s_kva} kVA")
    apparent = np.sqrt(room_2)
    above = np.maximum(np.subtract(soc, np.maximum(keep, vehicle.soc_min)), 0.0)
    power = np.minimum(charger.p_discharge_kw, grid_kw(charger, vehicle.dc_discharge_kw))
    energy = np.asarray(
        grid_kw(charger, above * vehicle.energy_kwh * vehicle.eta_discharge / duration_h)
    )
    if np.any(p_kw < -np.asarray(charger.p_charge_kw) - 1e-9) or np.any(
        p_kw > np.asarray(charger.p_discharge_kw) + 1e-9
    ):
        raise ValueError(f"p_kw = {p_kw} kW is a schedule that this charger cannot follow")
    ceilings = np.broadcast_arrays(power, apparent, energy)
    up = np.maximum(np.min(ceilings, axis=0) - p_kw, 0.0)  # eq. (4.10)
    per_kw = (
        vehicle.eta_charge * duration_h / np.asarray(vehicle.energy_kwh)
    )  # rise of soc per kW at the battery
    room = np.where(
        np.subtract(vehicle.soc_max, soc) > 1e-12, np.subtract(vehicle.soc_max, soc) / per_kw, 0.0
    )
    slope = _taper_slope(vehicle)
    still = (
        vehicle.dc_charge_kw
        * (1 - slope * np.subtract(soc, vehicle.taper_soc))
        / (1 + vehicle.dc_charge_kw * slope * per_kw)
    )
    into = np.minimum(np.minimum(room, vehicle.dc_charge_kw), still)  # accepted until the very end
    into = np.minimum(into, -np.asarray(battery_kw(charger, np.negative(charger.p_charge_kw))))
    down = np.maximum(np.minimum(-np.asarray(grid_kw(charger, -into)), apparent) + p_kw, 0.0)
    names = np.array(["charger power", "apparent power", "energy"])[np.argmin(ceilings, axis=0)]
    return Offer(
        power_kw=plain(ceilings[0]),
        apparent_kw=plain(ceilings[1]),
        energy_kw=plain(ceilings[2]),
        up_kw=plain(up),
        down_kw=plain(down),
        both_kw=plain(np.minimum(up, down)),
        limit=str(names) if names.ndim == 0 else names,
    )


def lendable(hours, need_kwh, *, charge_kw, discharge_kw, eta_charge, eta_discharge):
    r"""Energy that a parked car can give away and still leave with what it came for.

    Giving x takes :math:`x / P_{dis}` hours; buying it back, and what the driver asked for, takes the rest of the stay:

    .. math:: x \le \frac{T - \frac{E_{need}}{\eta_{charge} P_{ch}}}{\frac{1}{P_{dis}} + \frac{1}{\eta_{charge}\eta_{discharge} P_{ch}}}            (4.11)

    Parameters
    ----------
    hours : float or array
        Length of the stay. [h]
    need_kwh : float or array
        To be in the battery on departure, more than on arrival. [kWh]
    charge_kw, discharge_kw : float or array
        At the grid side, > 0. [kW]
    eta_charge, eta_discharge : float or array
        Grid to battery and battery to grid. 0..1

    Returns
    -------
    float or array
        At the grid side; 0 when the stay is hardly long enough for the driver's own need. The battery's content may
        allow less. [kWh]
    """
    hours, need = checked("hours", hours, "h", ge=0), checked("need_kwh", need_kwh, "kWh", ge=0)
    charge, give = (
        checked("charge_kw", charge_kw, "kW", gt=0),
        checked("discharge_kw", discharge_kw, "kW", gt=0),
    )
    eta_c, eta_d = (
        checked(name, eta, "(a fraction)", gt=0, le=1)
        for name, eta in (("eta_charge", eta_charge), ("eta_discharge", eta_discharge))
    )
    spare_h = np.maximum(hours - need / (np.multiply(eta_c, charge)), 0.0)
    return plain(
        spare_h / (1 / np.asarray(give) + 1 / (np.multiply(eta_c, eta_d) * charge))
    )  # eq. (4.11)


def backup_days(energy_kwh, load_kwh_per_day, *, usable, eta_discharge):
    r"""Days that a car carries a house: :math:`E\,u\,\eta_{discharge}` over the daily load.

    .. math:: n = \frac{E\,u\,\eta_{discharge}}{L}            (4.12)

    Parameters
    ----------
    energy_kwh : float or array
        [kWh]
    load_kwh_per_day : float or array
        [kWh/day]
    usable : float or array
        Share of the energy that may be used. 0..1
    eta_discharge : float or array
        Battery to house. 0..1

    Returns
    -------
    float or array
        [days]
    """
    parts = checked("usable", usable, "(a fraction)", ge=0, le=1) * np.asarray(
        checked("eta_discharge", eta_discharge, "(a fraction)", gt=0, le=1)
    )
    return plain(
        checked("energy_kwh", energy_kwh, "kWh", ge=0)
        * parts
        / checked("load_kwh_per_day", load_kwh_per_day, "kWh/day", gt=0)
    )  # eq. (4.12)


# --------------------------------------------------------------------------------------- as an optimiser sees them


@dataclass(frozen=True, kw_only=True, eq=False)
class Storage:
    """A car and its charger with constant efficiencies, as a linear programme needs them.

    Each field is a number, or an array with one entry per car. `eta_charge` is grid to battery, `eta_discharge` battery to grid;
    the round trip is their product.

    Raises
    ------
    ValueError
        If a field is out of range.
    """

    energy_kwh: float
    soc_min: float
    soc_max: float
    p_charge_kw: float
    p_discharge_kw: float
    eta_charge: float
    eta_discharge: float

    def __post_init__(self):
        checked("energy_kwh", self.energy_kwh, "kWh", gt=0)
        low, high = checked_soc("soc_min", self.soc_min), checked_soc("soc_max", self.soc_max)
        if np.any(np.greater_equal(low, high)):
            raise ValueError(f"soc_min = {self.soc_min} must be below soc_max = {self.soc_max}")
        for name in ("p_charge_kw", "p_discharge_kw"):
            checked(name, getattr(self, name), "kW", ge=0)
        for name in ("eta_charge", "eta_discharge"):
            checked(name, getattr(self, name), "(a fraction, not per cent)", gt=0, le=1)

    @property
    def eta_round_trip(self):
        """Share of the energy bought that comes back. 0..1"""
        return plain(np.multiply(self.eta_charge, self.eta_discharge))


def linear(vehicle, charger, *, charge_kw, discharge_kw):
    """Freeze the efficiencies of a pair at one working point.

    Parameters
    ----------
    vehicle : Vehicle
    charger : Charger
    charge_kw, discharge_kw : float or array
        Powers at which the efficiencies are taken, both > 0. For a one-way charger the discharge efficiency is taken too,
        and never used. [kW]

    Returns
    -------
    Storage
        With the ratings of the pair. Far below the working point a real charger is worse than this.
    """
    there = efficiency(charger, np.negative(checked("charge_kw", charge_kw, "kW", gt=0)))
    back = efficiency(charger, checked("discharge_kw", discharge_kw, "kW", gt=0))
    charge = np.minimum(
        charger.p_charge_kw,
        -np.asarray(
            grid_kw(
                charger,
                np.negative(
                    np.minimum(
                        vehicle.dc_charge_kw,
                        np.abs(battery_kw(charger, np.negative(charger.p_charge_kw))),
                    )
                ),
            )
        ),
    )
    give = np.minimum(charger.p_discharge_kw, grid_kw(charger, vehicle.dc_discharge_kw))
    return Storage(
        energy_kwh=vehicle.energy_kwh,
        soc_min=vehicle.soc_min,
        soc_max=vehicle.soc_max,
        p_charge_kw=plain(charge),
        p_discharge_kw=plain(give),
        eta_charge=plain(there * np.asarray(vehicle.eta_charge)),
        eta_discharge=plain(back * np.asarray(vehicle.eta_discharge)),
    )
