r"""Topic 05, interconnection: when a unit must stay connected, and when it must leave.

Rules are data (`codes`, `settings`): trip stages with clearing times, ride-through regions, enter
service, droop. `clearing_time` and `duty` read them for one value, `conflicts` compares the two,
`respond` runs them over a trace of voltage and frequency, and `verdict` says what a trace obliges
a unit to do. Then follows what a relay measures (`measured_rocof`, `RocofRelay`, `phase_jump_hz`),
and what happens when the grid is gone and a load is not (`RlcLoad`, `island`, `non_detection`,
`drift`).

A trace is a DataFrame with the index t_s and the columns v_pu and f_hz. Between two samples the
values follow a straight line. p > 0 flows from the vehicle to the grid.
"""

import functools
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._check import (
    FloatOrArray,
    checked,
    columns,
    fraction,
    instance,
    instances,
    keep,
    names_in,
    one,
    one_fraction,
    one_of,
    plain,
    read,
    row,
    together,
)
from ._limits import ABOVE_0_KW, DEVIATION_HZ, NOMINAL_HZ, PERIOD_S, TIME_S, Limits

# What each quantity may be. The limits are generous: beyond them a pen or a unit has slipped.
_FREQUENCY: Limits = {"unit": "Hz", "gt": 0, "ge": 1e-3, "le": 1000}
_RATE: Limits = {"unit": "Hz/s", "gt": 0, "ge": 1e-6, "le": 1e6}
_SLOPE: Limits = {"unit": "s/pu", "ge": 0, "le": 1e9}
_QUALITY: Limits = {"gt": 0, "ge": 1e-6, "le": 1e6}

_COLUMN = {"v": "v_pu", "f": "f_hz"}
_UNIT = {"v": "pu", "f": "Hz"}
_MOST = {"v": 10.0, "f": 1000.0}
_SIDES = ("over", "under")
_MODES = ("continuous", "mandatory", "permissive", "momentary cessation")
_STRICTER = (*_MODES, "outside")  # from full power to none
_TINY_S = 1e-9  # two times closer than this are the same
_MOST_CYCLES = 1_000_000  # of a run of `drift`
_MOST_CHOP = 0.5  # no current in half of each half cycle: 45 degrees, either way


def _measured(name, value, quantity, *, gt=None, ge=0.0):
    """A voltage or a frequency; a voltage far above 1 is probably in per cent."""
    unit = _UNIT[quantity]
    values = checked(name, value, unit, gt=gt, ge=ge)
    hint = "(per unit: is it in per cent?)" if quantity == "v" else unit
    return checked(name, values, hint, le=_MOST[quantity])


def _check_rising(low_name, low, high_name, high, unit):
    """Refuse limits of which the upper one does not lie above the lower one."""
    together(**{low_name: low, high_name: high})
    lows, highs = np.broadcast_arrays(low, high)
    wrong = highs <= lows
    if wrong.any():
        raise ValueError(
            f"{high_name} is {highs[wrong][0]:g} {unit}; "
            f"it must be above {low_name} = {lows[wrong][0]:g} {unit}"
        )


def _keep_known(record, **limits):
    """As `keep`, for fields that are None where no number is known."""
    known = {name: limit for name, limit in limits.items() if getattr(record, name) is not None}
    keep(record, **known)


def _truth(values):
    """A bool where there is one answer, else the array of answers."""
    return bool(values) if np.ndim(values) == 0 else values


# ------------------------------------------------------------------------------ rules as data


@dataclass(frozen=True, kw_only=True)
class TripStage:
    """A must-trip stage: beyond `limit` for `clear_s`, the unit has to be off.

    Attributes
    ----------
    name : str
        Its usual name, such as OV2, UV1 or OF1.
    quantity : str
        What it watches: "v" for voltage or "f" for frequency.
    side : str
        Where it trips: "over" or "under" the limit.
    limit : float
        Limit, above 0; a voltage is at most 10 pu [pu or Hz].
    clear_s : float
        Time from crossing the limit until the unit has ceased to energise, above 0; where a code
        gives only the delay of the pick-up, that delay [s].
    source : str
        Where the numbers stand.

    Examples
    --------
    >>> stage = TripStage(name="UV1", quantity="v", side="under", limit=0.88, clear_s=21.0)
    >>> stage.beyond([0.87, 0.88, 0.89])
    array([ True, False, False])
    """

    name: str
    quantity: str
    side: str
    limit: float
    clear_s: float
    source: str = ""

    def __post_init__(self):
        instance("name", self.name, str)
        one_of("quantity", self.quantity, _COLUMN)
        one_of("side", self.side, _SIDES)
        limit = _measured("limit", self.limit, self.quantity, gt=0)
        object.__setattr__(self, "limit", one("limit", limit))
        keep(self, clear_s={"one": True, **PERIOD_S})
        instance("source", self.source, str)

    def beyond(self, value: ArrayLike) -> bool | np.ndarray:
        """Whether a value lies beyond the limit; exactly on it does not count.

        Parameters
        ----------
        value : float or array
            Voltage or frequency, as the stage's `quantity` says [pu or Hz].

        Returns
        -------
        bool or array
            True where the stage picks up.

        Raises
        ------
        ValueError
            If a value is negative, unknown, or a voltage in per cent.
        """
        return _truth(_beyond(self, _measured("value", value, self.quantity)))


def _beyond(stage, value):
    """Whether a checked value lies beyond the limit of a stage."""
    if stage.side == "over":
        return np.greater(value, stage.limit)
    return np.less(value, stage.limit)


@dataclass(frozen=True, kw_only=True)
class Region:
    """A band of voltage or frequency that has to be ridden through: how, and how long at least.

    Time counts from leaving the continuous band.

    Attributes
    ----------
    quantity : str
        "v" for voltage or "f" for frequency.
    low : float
        Lower edge, 0 or more [pu or Hz].
    high : float
        Upper edge, above `low` [pu or Hz].
    mode : str
        "continuous", "mandatory" (stay and feed), "permissive" (stay, may stop feeding) or
        "momentary cessation" (stay, must stop feeding).
    ride_s : float
        Time at `low`, 0 or more; infinite only in a continuous band [s].
    slope_s_per_pu : float
        Time that is added for each pu above `low`, 0 or more [s/pu].

    Examples
    --------
    >>> region = Region(
    ...     quantity="v", low=0.65, high=0.88, mode="mandatory", ride_s=3.0, slope_s_per_pu=8.7
    ... )
    >>> round(region.required_s(0.75), 2)
    3.87
    """

    quantity: str
    low: float
    high: float
    mode: str
    ride_s: float
    slope_s_per_pu: float = 0.0

    def __post_init__(self):
        one_of("quantity", self.quantity, _COLUMN)
        for name in ("low", "high"):
            edge = _measured(name, getattr(self, name), self.quantity)
            object.__setattr__(self, name, one(name, edge))
        _check_rising("low", self.low, "high", self.high, _UNIT[self.quantity])
        one_of("mode", self.mode, _MODES)
        one("ride_s", self.ride_s, "s", ge=0, finite=self.mode != "continuous")
        ride = {"unit": "s", "ge": 0, "finite": False}
        keep(self, ride_s=ride, slope_s_per_pu={"one": True, **_SLOPE})

    def required_s(self, value: ArrayLike) -> FloatOrArray:
        """Time that has to be ridden through at a value inside of the region [s].

        Parameters
        ----------
        value : float or array
            Voltage or frequency from `low` to `high` [pu or Hz].

        Returns
        -------
        float or array
            Time since the value left the continuous band; infinite inside that band [s].

        Raises
        ------
        ValueError
            If a value lies outside of the region or is unknown.
        """
        unit = _UNIT[self.quantity]
        values = _measured("value", value, self.quantity)
        return plain(_required_s(self, checked("value", values, unit, ge=self.low, le=self.high)))


def _required_s(region, value):
    """Time that has to be ridden through at a checked value inside of a region [s]."""
    return region.ride_s + region.slope_s_per_pu * (value - region.low)


@dataclass(frozen=True, kw_only=True)
class EnterService:
    """When a unit may (re)connect: inside the window for `delay_s`, then up a ramp of `ramp_s`.

    Attributes
    ----------
    v_low_pu : float
        Lowest voltage of the window, above 0 [pu].
    v_high_pu : float
        Highest voltage of the window, above `v_low_pu` [pu].
    f_low_hz : float
        Lowest frequency of the window, above 0 [Hz].
    f_high_hz : float
        Highest frequency of the window, above `f_low_hz` [Hz].
    delay_s : float
        Time that voltage and frequency have to stay in the window, 0 or more [s].
    ramp_s : float
        Time from no power to full power, 0 or more; 0 means at once [s].

    Examples
    --------
    >>> enter = EnterService(
    ...     v_low_pu=0.917,
    ...     v_high_pu=1.05,
    ...     f_low_hz=59.5,
    ...     f_high_hz=60.1,
    ...     delay_s=300.0,
    ...     ramp_s=300.0,
    ... )
    >>> enter.may_enter([1.0, 0.91], 60.0), enter.limit_pu(150.0)
    (array([ True, False]), 0.5)
    """

    v_low_pu: float
    v_high_pu: float
    f_low_hz: float
    f_high_hz: float
    delay_s: float
    ramp_s: float

    def __post_init__(self):
        for name in ("v_low_pu", "v_high_pu", "f_low_hz", "f_high_hz"):
            edge = _measured(name, getattr(self, name), name[0], gt=0)
            object.__setattr__(self, name, one(name, edge))
        _check_rising("v_low_pu", self.v_low_pu, "v_high_pu", self.v_high_pu, "pu")
        _check_rising("f_low_hz", self.f_low_hz, "f_high_hz", self.f_high_hz, "Hz")
        once = {"one": True, **TIME_S}
        keep(self, delay_s=once, ramp_s=once)

    def may_enter(self, v_pu: ArrayLike, f_hz: ArrayLike) -> bool | np.ndarray:
        """Whether voltage and frequency lie inside the window, its edges included.

        Parameters
        ----------
        v_pu : float or array
            Voltage [pu].
        f_hz : float or array
            Frequency [Hz].

        Returns
        -------
        bool or array, broadcast of the inputs
            True where a unit may start to count its delay.

        Raises
        ------
        ValueError
            If a voltage is negative or in per cent, a frequency is not positive, or shapes do not
            fit.
        """
        v = _measured("v_pu", v_pu, "v")
        f = _measured("f_hz", f_hz, "f", gt=0)
        together(v_pu=v, f_hz=f)
        v_fits = np.greater_equal(v, self.v_low_pu) & np.less_equal(v, self.v_high_pu)
        f_fits = np.greater_equal(f, self.f_low_hz) & np.less_equal(f, self.f_high_hz)
        return _truth(v_fits & f_fits)

    def limit_pu(self, t_s: ArrayLike) -> FloatOrArray:
        """Largest power at a time after entering service, per rating.

        Parameters
        ----------
        t_s : float or array
            Time since the unit entered service, 0 or more [s].

        Returns
        -------
        float or array
            Power, 0 to 1 [-].

        Raises
        ------
        ValueError
            If a time is negative or unknown.
        """
        t = checked("t_s", t_s, **TIME_S)
        if self.ramp_s < _TINY_S:
            return plain(np.ones_like(t))
        return plain(np.minimum(1.0, np.divide(t, self.ramp_s)))


@dataclass(frozen=True, kw_only=True)
class Droop:
    """Frequency-droop: power moves in proportion to the deviation beyond a deadband.

    In IEEE 1547 this function is on without being asked for.

    Attributes
    ----------
    deadband_hz : float
        No response to deviations up to this, 0 or more [Hz].
    droop_pu : float
        Deviation, as a fraction of f0 above 0 and up to 1, that moves power by its rating [-].
    olrt_s : float
        Open-loop response time, above 0: by then the response is complete to nine tenths [s].
    under : bool
        Whether it also responds to low frequency, with more power.

    Examples
    --------
    >>> Droop(deadband_hz=0.036, droop_pu=0.05, olrt_s=5, under=True)
    Droop(deadband_hz=0.036, droop_pu=0.05, olrt_s=5.0, under=True)
    """

    deadband_hz: float
    droop_pu: float
    olrt_s: float
    under: bool = True

    def __post_init__(self):
        keep(
            self,
            deadband_hz={"one": True, **DEVIATION_HZ},
            droop_pu={"one_fraction": True, "gt": 0, "ge": 1e-6},
            olrt_s={"one": True, **PERIOD_S},
            under={"flag": True},
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """All rules of one code for one category of unit.

    Attributes
    ----------
    code : str
        Short name of the code, such as "g99".
    name : str
        Its full name.
    category : str
        Category of unit, such as "III".
    f0_hz : float
        Nominal frequency [Hz].
    stages : tuple of TripStage
        Must-trip stages; of two on the same side the one further out is the faster one.
    regions : tuple of Region
        Ride-through; regions of a quantity follow on each other without a gap, and one of them is
        continuous.
    rocof_hz_per_s : float or None
        Rate of change that has to be ridden through, above 0; None where no number is known
        [Hz/s].
    phase_jump_deg : float or None
        Jump of phase that has to be ridden through, 0 to 360; None where no number is known
        [degrees].
    enter : EnterService
        When a unit may (re)connect.
    droop : Droop
        How power answers to frequency.
    island_s : float
        Time within which an unintended island has to be left, above 0 [s].
    relays : tuple of RocofRelay
        Loss-of-mains protection that the code asks for; hand it to `respond`.
    sources : dict
        Where regions, enter service and so on stand (a stage has its own `source`).

    Examples
    --------
    >>> import dataclasses
    >>> rules = settings("ieee1547_2018", "III")
    >>> dataclasses.replace(rules, island_s=1.0).island_s
    1.0
    """

    code: str
    name: str
    category: str
    f0_hz: float
    stages: tuple[TripStage, ...]
    regions: tuple[Region, ...]
    rocof_hz_per_s: float | None
    phase_jump_deg: float | None
    enter: EnterService
    droop: Droop
    island_s: float
    relays: tuple["RocofRelay", ...] = ()
    sources: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self._check_kinds()
        keep(self, f0_hz={"one": True, **NOMINAL_HZ}, island_s={"one": True, **PERIOD_S})
        _keep_known(
            self,
            rocof_hz_per_s={"one": True, **_RATE},
            phase_jump_deg={"one": True, "unit": "degrees", "ge": 0, "le": 360},
        )
        for quantity in _COLUMN:
            _check_regions(self, quantity)
            for side in _SIDES:
                _check_stages(self.stages, quantity, side)

    def _check_kinds(self):
        for name in ("code", "name", "category"):
            instance(name, getattr(self, name), str)
        for name, kind in (("stages", TripStage), ("regions", Region), ("relays", RocofRelay)):
            object.__setattr__(self, name, instances(name, getattr(self, name), kind))
        instance("enter", self.enter, EnterService)
        instance("droop", self.droop, Droop)
        object.__setattr__(self, "sources", dict(instance("sources", self.sources, dict)))


def _check_regions(rules, quantity):
    """Refuse a table without one continuous band, or with a gap or an overlap."""
    regions = [region for region in rules.regions if region.quantity == quantity]
    regions.sort(key=lambda region: region.low)
    here = f"regions of {rules.code} {rules.category}"
    bands = sum(region.mode == "continuous" for region in regions)
    if bands != 1:
        raise ValueError(
            f"{here}: {bands} of those for {quantity} are continuous; it must be exactly one"
        )
    for below, above in itertools.pairwise(regions):
        if below.high != above.low:
            raise ValueError(
                f"{here}: one for {quantity} ends at {below.high:g} and the next begins at "
                f"{above.low:g}; they must meet"
            )


def _check_stages(stages, quantity, side):
    """Refuse a stage that could never act: one further out has to be faster."""
    outward = [stage for stage in stages if (stage.quantity, stage.side) == (quantity, side)]
    outward.sort(key=lambda stage: stage.limit, reverse=side == "under")
    for inner, outer in itertools.pairwise(outward):
        if outer.limit == inner.limit or outer.clear_s >= inner.clear_s:
            raise ValueError(
                f"stages {inner.name} ({inner.limit:g}, {inner.clear_s:g} s) and {outer.name} "
                f"({outer.limit:g}, {outer.clear_s:g} s) do not go together; "
                "the one further out must be the faster one"
            )


@functools.cache
def _read_code(code):
    """The file of a grid code, read once. Nobody changes it."""
    return read("gridcodes", code, "code")


def codes() -> dict[str, tuple[str, ...]]:
    """Known grid codes and the categories of each.

    Returns
    -------
    dict of str to tuple of str
        Categories by code.

    Examples
    --------
    >>> codes()["ieee1547_2018"]
    ('I', 'II', 'III')
    """
    return {code: tuple(_read_code(code)["categories"]) for code in names_in("gridcodes")}


def settings(code: str, category: str) -> Settings:
    """Default settings of a grid code, each with its table or clause.

    Parameters
    ----------
    code : str
        Grid code, such as "ieee1547_2018"; `codes` lists those there are.
    category : str
        Category of unit, such as "III".

    Returns
    -------
    Settings
        Stages, regions, enter service, droop and relays.

    Raises
    ------
    ValueError
        If there is no such code, or it has no such category.

    References
    ----------
    .. [1] IEEE Std 1547-2018, clauses 4.10, 6.4, 6.5 and 8.1.
    .. [2] EN 50549-1:2019, clauses 4.5 to 4.10.
    .. [3] Energy Networks Association, Engineering Recommendation G99, section 10.

    Examples
    --------
    >>> rules = settings("ieee1547_2018", "III")
    >>> [(stage.name, stage.limit, stage.clear_s) for stage in rules.stages[:2]]
    [('OV2', 1.2, 0.16), ('OV1', 1.1, 13.0)]
    """
    one_of("code", code, names_in("gridcodes"))
    one_of(f"category of {code}", category, _read_code(code)["categories"])
    return replace(_settings(code, category))  # a copy, with `sources` of its own


@functools.cache
def _settings(code, category):
    """Default settings, built once."""
    raw = _read_code(code)
    return Settings(
        code=code,
        name=raw["name"],
        category=category,
        f0_hz=raw["f0_hz"],
        stages=_stages_of(raw, category),
        regions=_regions_of(raw, category),
        rocof_hz_per_s=raw["rocof_hz_per_s"].get(category),
        phase_jump_deg=raw["phase_jump_deg"].get(category),
        enter=EnterService(**raw["enter"]),
        droop=Droop(**raw["droop"]),
        island_s=raw["island_s"],
        relays=tuple(RocofRelay(**relay) for relay in raw.get("relays", [])),
        sources=raw["sources"],
    )


def _stages_of(raw, category):
    """Stages of one category, from a file of rules."""
    found = []
    for entry in raw["stages"]:
        if category in entry["categories"]:
            numbers = {name: value for name, value in entry.items() if name != "categories"}
            found.append(TripStage(**numbers))
    return tuple(found)


def _regions_of(raw, category):
    """Regions of one category, from a file of rules."""
    fields = ("quantity", "low", "high", "mode", "ride_s", "slope_s_per_pu")
    return tuple(Region(**dict(zip(fields, line))) for line in raw["regions"][category])


def clearing_time(rules: Settings, quantity: str, value: ArrayLike) -> FloatOrArray:
    """Time after which a steady value must have been cleared.

    It is the shortest time of the stages that the value lies beyond.

    Parameters
    ----------
    rules : Settings
        The code.
    quantity : str
        "v" for voltage or "f" for frequency.
    value : float or array
        Voltage or frequency [pu or Hz].

    Returns
    -------
    float or array
        Time, infinite where no stage picks up [s].

    Raises
    ------
    ValueError
        If `quantity` is neither, or a value is negative, unknown, or a voltage in per cent.
    TypeError
        If `rules` are no `Settings`.

    Examples
    --------
    >>> rules = settings("ieee1547_2018", "III")
    >>> clearing_time(rules, "v", [1.25, 1.15, 1.0]).tolist()
    [0.16, 13.0, inf]
    """
    instance("rules", rules, Settings)
    one_of("quantity", quantity, _COLUMN)
    values = _measured("value", value, quantity)
    shortest_s = np.full(np.shape(values), np.inf)
    for stage in rules.stages:
        if stage.quantity == quantity:
            due_s = np.where(_beyond(stage, values), stage.clear_s, np.inf)
            shortest_s = np.minimum(shortest_s, due_s)
    return plain(shortest_s)


def duty(rules: Settings, quantity: str, value: float) -> tuple[str, float]:
    """What ride-through asks for at one value: how to ride, and for how long.

    On an edge of two regions the longer duty holds.

    Parameters
    ----------
    rules : Settings
        The code.
    quantity : str
        "v" for voltage or "f" for frequency.
    value : float
        Voltage or frequency [pu or Hz].

    Returns
    -------
    mode : str
        The region's mode; "none" outside of all regions.
    required_s : float
        Time since leaving the continuous band, infinite inside of it, 0 outside of all regions
        [s].

    Raises
    ------
    ValueError
        If `quantity` is neither, or `value` is not one number, negative, or a voltage in per cent.
    TypeError
        If `rules` are no `Settings`.

    Examples
    --------
    >>> duty(settings("ieee1547_2018", "III"), "v", 0.6)
    ('mandatory', 10.0)
    """
    instance("rules", rules, Settings)
    one_of("quantity", quantity, _COLUMN)
    at = one("value", _measured("value", value, quantity))
    duties = [
        (_required_s(region, at), region.mode)
        for region in rules.regions
        if region.quantity == quantity and region.low <= at <= region.high
    ]
    longest_s, mode = max(duties, default=(0.0, "none"))
    return mode, longest_s


def conflicts(rules: Settings) -> pd.DataFrame:
    """Where a stage would clear before ride-through allows it, so that no unit can obey both.

    Parameters
    ----------
    rules : Settings
        The code.

    Returns
    -------
    DataFrame
        A row for each stage and region that do not agree, none if the rules agree. Columns:
        `stage`, `quantity`, `value` (where the two are furthest apart [pu or Hz]), `clear_s` [s]
        and `required_s` (infinite in the continuous band [s]).

    Raises
    ------
    TypeError
        If `rules` are no `Settings`.

    Examples
    --------
    >>> import dataclasses
    >>> rules = settings("ieee1547_2018", "III")
    >>> hasty = TripStage(name="UV1", quantity="v", side="under", limit=0.6, clear_s=5.0)
    >>> found = conflicts(dataclasses.replace(rules, stages=(hasty,)))
    >>> found[["stage", "value", "clear_s", "required_s"]].to_numpy().tolist()
    [['UV1', 0.6, 5.0, 10.0]]
    """
    instance("rules", rules, Settings)
    pairs = itertools.product(rules.stages, rules.regions)
    found = [_conflict(stage, region) for stage, region in pairs]
    return pd.DataFrame(
        [conflict for conflict in found if conflict is not None],
        columns=["stage", "quantity", "value", "clear_s", "required_s"],
    )


def _conflict(stage, region):
    """A row of `conflicts` if a stage acts within a region before its time, else None."""
    if region.quantity != stage.quantity:
        return None
    low = region.low
    high = region.high
    if stage.side == "over":
        low = max(low, stage.limit)
    else:
        high = min(high, stage.limit)
    required_s = _required_s(region, high)  # the duty is longest at the top
    if low >= high or stage.clear_s >= required_s - _TINY_S:
        return None
    return stage.name, stage.quantity, high, stage.clear_s, required_s


# -------------------------------------------------------------------------- rules over a trace


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something that happened to a unit on a trace: it tripped, or it entered service.

    Attributes
    ----------
    t_s : float
        When it happened [s].
    what : str
        "trip" or "enter".
    by : str
        Name of the stage or relay that tripped the unit, or "enter service".
    since_s : float
        When the stage or relay picked up, or the wait for entering service began [s].
    """

    t_s: float
    what: str
    by: str
    since_s: float

    def __post_init__(self):
        once = {"one": True, "unit": "s"}
        keep(self, t_s=once, since_s=once)
        one_of("what", self.what, ("trip", "enter"))
        instance("by", self.by, str)


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """What a unit did on a trace.

    Attributes
    ----------
    modes : DataFrame, index t_s
        `mode` ("continuous", "mandatory", "permissive", "momentary cessation", "outside" of every
        ride-through region, "tripped" or "ramping") and `limit_pu`, the largest power that the
        unit may give, per rating [-].
    events : tuple of Action
        Trips and entries into service, in the order of time.
    """

    modes: pd.DataFrame
    events: tuple[Action, ...]

    def __post_init__(self):
        columns("modes", self.modes, ("mode", "limit_pu"))
        object.__setattr__(self, "events", instances("events", self.events, Action))

    @property
    def tripped_s(self) -> float | None:
        """When the unit first tripped; None if it stayed connected [s].

        Returns
        -------
        float or None
            Time of the trace [s].
        """
        return next((event.t_s for event in self.events if event.what == "trip"), None)


def _checked_trace(trace, quantities=("v", "f")):
    """The columns of a trace for these quantities as floats, or a refusal."""
    wanted = [_COLUMN[quantity] for quantity in quantities]
    columns("trace", trace, wanted)
    if trace.index.dtype.kind not in "iuf":
        raise ValueError(
            f"the index of trace holds {trace.index.dtype}; it must be the time in seconds, as "
            "numbers"
        )
    t = row("the index of trace", trace.index.to_numpy(), "s")
    if len(t) < 2:
        raise ValueError("trace has one sample; a trace needs two or more")
    back = np.flatnonzero(np.diff(t) <= 0)
    if back.size:
        earlier = back[0]
        raise ValueError(
            f"time in trace goes from {t[earlier]:g} s to {t[earlier + 1]:g} s; "
            "it must rise (steps may differ in length)"
        )
    for quantity, column in zip(quantities, wanted):
        name = f"column {column} of trace"
        row(name, _measured(name, trace[column].to_numpy(), quantity))
    return trace[wanted].astype(float)


def _spans(t, beyond):
    """Times between which a sampled quantity is above zero, its crossings interpolated."""
    above = beyond > 0
    k = np.flatnonzero(above[1:] != above[:-1])  # a crossing lies between k and k + 1
    crossings = t[k] + (t[k + 1] - t[k]) * beyond[k] / (beyond[k] - beyond[k + 1])
    edges = crossings.tolist()
    if above[0]:
        edges.insert(0, float(t[0]))
    if above[-1]:
        edges.append(float(t[-1]))
    return list(zip(edges[::2], edges[1::2]))


def excursions(
    trace: pd.DataFrame, quantity: str, side: str, limit: float
) -> list[tuple[float, float]]:
    """Times at which a trace lies beyond a limit, with the crossings interpolated.

    Parameters
    ----------
    trace : DataFrame, index t_s
        Has the column `v_pu` or `f_hz`, as `quantity` says.
    quantity : str
        "v" for voltage or "f" for frequency.
    side : str
        "over" or "under" the limit.
    limit : float
        Limit [pu or Hz].

    Returns
    -------
    list of (float, float)
        Start and end of each excursion; one that is not over at the end of the trace ends there
        [s].

    Raises
    ------
    ValueError
        If the trace lacks the column, its time does not rise, it has fewer than two samples or an
        unknown value, or another argument is out of range.
    TypeError
        If `trace` is no DataFrame.

    Examples
    --------
    >>> trace = pd.DataFrame({"v_pu": [1.0, 0.5, 0.5, 1.0]}, index=[0.0, 1.0, 3.0, 4.0])
    >>> excursions(trace, "v", "under", 0.75)
    [(0.5, 3.5)]
    """
    one_of("quantity", quantity, _COLUMN)
    one_of("side", side, _SIDES)
    limit = one("limit", _measured("limit", limit, quantity))
    return _outside(_checked_trace(trace, (quantity,)), quantity, side, limit)


def _outside(trace, quantity, side, limit):
    """Excursions of a checked trace."""
    over = trace[_COLUMN[quantity]].to_numpy() - limit
    return _spans(trace.index.to_numpy(float), over if side == "over" else -over)


class _Pickup(NamedTuple):
    """A stage or relay that picked up for long enough to trip the unit."""

    trip_s: float
    since_s: float
    end_s: float
    name: str


def _pickups(trace, rules, relays=()):
    """What times out on a trace, in the order of the trips."""
    found = []
    for stage in rules.stages:
        for start, end in _outside(trace, stage.quantity, stage.side, stage.limit):
            found.append(_Pickup(start + stage.clear_s, start, end, stage.name))
    for relay in relays:
        for start, end in relay.pickups_s(trace):
            found.append(_Pickup(start + relay.delay_s, start, end, relay.name))
    return sorted(pickup for pickup in found if pickup.end_s >= pickup.trip_s - _TINY_S)


def respond(trace: pd.DataFrame, rules: Settings, relays: Iterable["RocofRelay"] = ()) -> Response:
    """Run the rules over a trace: modes, trips, and when the unit comes back.

    A stage's clock starts at the crossing of its limit and starts anew after every return. The
    unit is off `clear_s` after the crossing if the trace is still beyond. It comes back once
    voltage and frequency have stayed in the enter-service window for the delay, and then climbs
    its ramp.

    Parameters
    ----------
    trace : DataFrame, index t_s
        Columns `v_pu` and `f_hz`. Uneven steps are allowed; time must rise.
    rules : Settings
        The code.
    relays : list of RocofRelay, optional
        Further protection that trips the unit, such as `rules.relays`.

    Returns
    -------
    Response
        Mode and limit of power at each sample, and the events.

    Raises
    ------
    ValueError
        If the trace lacks a column, its time does not rise, it has fewer than two samples or an
        unknown value, or it is shorter than the window of a relay.
    TypeError
        If `trace`, `rules` or an entry of `relays` is of another kind.

    References
    ----------
    .. [1] IEEE Std 1547-2018, clauses 4.10, 6.4 and 6.5.

    Examples
    --------
    >>> rules = settings("g99", "A")
    >>> trace = pd.DataFrame({"v_pu": [1.0, 0.7, 0.7], "f_hz": 50.0}, index=[0.0, 1.0, 5.0])
    >>> response = respond(trace, rules, rules.relays)
    >>> [(event.by, round(event.t_s, 2)) for event in response.events]
    [('UV1', 3.17)]
    >>> response.modes["mode"].tolist()
    ['continuous', 'outside', 'tripped']
    """
    trace = _checked_trace(trace)
    instance("rules", rules, Settings)
    pickups = _pickups(trace, rules, instances("relays", relays, RocofRelay))
    absences = _absences(trace, rules.enter, pickups)
    limit = _limits(trace, rules.enter, absences)
    mode = _modes(trace, rules)
    mode[_absent(trace, absences)] = "tripped"
    mode[(mode == "continuous") & (limit < 1)] = "ramping"
    limit[mode == "momentary cessation"] = 0.0
    return Response(
        modes=pd.DataFrame({"mode": mode, "limit_pu": limit}, index=trace.index),
        events=tuple(_events(absences, rules.enter)),
    )


def _absences(trace, enter, pickups):
    """Trips of a unit, each with the time at which it enters service again."""
    windows = _entry_windows(trace, enter, pickups)
    found = []
    on_since_s = -np.inf
    for pickup in pickups:
        if pickup.trip_s >= on_since_s - _TINY_S:  # or else the unit is off anyway
            on_since_s = _entry(windows, pickup.trip_s, enter.delay_s)
            found.append((pickup, on_since_s))
    return found


def _entry(windows, trip_s, delay_s):
    """When a unit that tripped enters service again; infinite if never."""
    for start, end in windows:
        begin = max(start, trip_s)
        if end - begin >= delay_s - _TINY_S:
            return begin + delay_s
    return np.inf


def _entry_windows(trace, enter, pickups):
    """Spans in which voltage and frequency allow to enter service and nothing trips."""
    closed = [
        *_outside(trace, "v", "under", enter.v_low_pu),
        *_outside(trace, "v", "over", enter.v_high_pu),
        *_outside(trace, "f", "under", enter.f_low_hz),
        *_outside(trace, "f", "over", enter.f_high_hz),
        *((pickup.trip_s, pickup.end_s) for pickup in pickups),
    ]
    spans = [(float(trace.index[0]), float(trace.index[-1]))]
    for start, end in closed:
        spans = _without(spans, start, end)
    return sorted(spans)


def _without(spans, start, end):
    """Spans of time, less the part from start to end."""
    earlier = [(low, min(high, start)) for low, high in spans]
    later = [(max(low, end), high) for low, high in spans]
    return [(low, high) for low, high in earlier + later if high > low]


def _absent(trace, absences):
    """Whether the unit is off, for each sample."""
    t = trace.index.to_numpy(float)
    absent = np.zeros(len(t), bool)
    for pickup, on_since_s in absences:
        absent |= (t >= pickup.trip_s - _TINY_S) & (t < on_since_s - _TINY_S)
    return absent


def _limits(trace, enter, absences):
    """Largest power of each sample from trips and ramps, per rating."""
    t = trace.index.to_numpy(float)
    limit = np.ones(len(t))
    for _, on_since_s in absences:  # a later entry overwrites what an earlier one said
        on = t >= on_since_s - _TINY_S
        if on.any():
            limit[on] = enter.limit_pu(np.maximum(t[on] - on_since_s, 0.0))
    limit[_absent(trace, absences)] = 0.0
    return limit


def _events(absences, enter):
    """Trips and entries into service, in the order of time."""
    for pickup, on_since_s in absences:
        yield Action(t_s=pickup.trip_s, what="trip", by=pickup.name, since_s=pickup.since_s)
        if np.isfinite(on_since_s):
            began_s = on_since_s - enter.delay_s
            yield Action(t_s=on_since_s, what="enter", by="enter service", since_s=began_s)


def _modes(trace, rules):
    """Mode of each sample; where voltage and frequency differ, the one with less power holds."""
    strictest = np.zeros(len(trace), int)
    for quantity, column in _COLUMN.items():
        x = trace[column].to_numpy()
        rank = np.full(len(trace), _STRICTER.index("outside"))
        for region in rules.regions:
            if region.quantity == quantity:
                inside = (x >= region.low) & (x <= region.high)
                rank[inside] = np.minimum(rank[inside], _STRICTER.index(region.mode))
        strictest = np.maximum(strictest, rank)
    return np.array(_STRICTER, dtype=object)[strictest]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a trace obliges a unit to do.

    Attributes
    ----------
    duty : str
        "must stay", "may trip" or "must trip".
    may_s : float or None
        Time from which on the unit may trip; None if it may not [s].
    must_s : float or None
        Time by which the unit must have tripped; None if it need not [s].
    """

    duty: str
    may_s: float | None
    must_s: float | None

    def __post_init__(self):
        one_of("duty", self.duty, ("must stay", "may trip", "must trip"))
        once = {"one": True, "unit": "s"}
        _keep_known(self, may_s=once, must_s=once)


def verdict(trace: pd.DataFrame, rules: Settings) -> Verdict:
    """Judge whether the code obliges a unit to ride a trace through.

    Time counts from leaving the continuous band and goes on while the value stays outside it. As
    soon as it has lasted longer than the region of the present value requires, the unit may trip;
    after a stage's clearing time it must have tripped.

    Parameters
    ----------
    trace : DataFrame, index t_s
        Columns `v_pu` and `f_hz`, with straight lines between samples.
    rules : Settings
        The code.

    Returns
    -------
    Verdict
        The duty, and from when on or by when the unit may or must trip [s].

    Raises
    ------
    ValueError
        If the trace lacks a column, its time does not rise, or it has fewer than two samples or an
        unknown value.
    TypeError
        If `trace` or `rules` are of another kind.

    References
    ----------
    .. [1] IEEE Std 1547-2018, clauses 6.4 and 6.5.

    Examples
    --------
    >>> rules = settings("ieee1547_2018", "III")
    >>> trace = pd.DataFrame({"v_pu": [1.0, 0.6, 0.6], "f_hz": 60.0}, index=[0.0, 0.1, 15.0])
    >>> judged = verdict(trace, rules)
    >>> judged.duty, round(judged.may_s, 2)
    ('may trip', 10.03)
    """
    trace = _checked_trace(trace)
    instance("rules", rules, Settings)
    may = [t_s for quantity in _COLUMN for t_s in _may_trip(trace, rules, quantity)]
    must = [pickup.trip_s for pickup in _pickups(trace, rules)]
    word = "must stay"
    if must:
        word = "must trip"
    elif may:
        word = "may trip"
    return Verdict(duty=word, may_s=min(may, default=None), must_s=min(must, default=None))


def _may_trip(trace, rules, quantity):
    """Times from which on the unit may trip, one for each excursion that lasts long enough."""
    t = trace.index.to_numpy(float)
    x = trace[_COLUMN[quantity]].to_numpy()
    regions = [region for region in rules.regions if region.quantity == quantity]
    band = next(region for region in regions if region.mode == "continuous")
    cuts = _cuts(t, x, regions)
    found = []
    for start, end in _spans(t, band.low - x) + _spans(t, x - band.high):
        times = cuts[(cuts >= start) & (cuts <= end)]
        lasted_s = _piece_ends(times) - start
        required_s = _required_on_pieces(np.interp(times, t, x), regions)
        found.append(_first_above_zero(times, lasted_s - required_s))
    return [t_s for t_s in found if t_s is not None]


def _piece_ends(values):
    """Values at the beginning (first row) and at the end (second row) of each piece."""
    return np.array([values[:-1], values[1:]])


def _required_on_pieces(values, regions):
    """Time that has to be ridden through, at both ends of pieces that lie in one region each."""
    ends = _piece_ends(values)
    middle = ends.mean(axis=0)
    required_s = np.zeros_like(ends)
    for region in regions:
        inside = (region.low <= middle) & (middle <= region.high)
        asked_s = _required_s(region, ends[:, inside])
        required_s[:, inside] = np.maximum(required_s[:, inside], asked_s)
    return required_s


def _first_above_zero(times, late_s):
    """The first time at which one of the straight pieces rises above zero; None if none does."""
    late = np.flatnonzero(late_s.max(axis=0) > _TINY_S)
    if not late.size:
        return None
    first = late[0]
    if late_s[0, first] >= 0:
        return float(times[first])
    return float(np.interp(0.0, late_s[:, first], times[first : first + 2]))


def _cuts(t, x, regions):
    """Times of samples and of crossings into another region: in between nothing bends."""
    edges = {region.low for region in regions} | {region.high for region in regions}
    cuts = t.tolist()
    for edge in edges:
        cuts.extend(itertools.chain.from_iterable(_spans(t, x - edge)))
    return np.unique(cuts)


# ------------------------------------------------------------------------ frequency and relays


def droop_power(
    f_hz: ArrayLike,
    rules: Settings,
    p_before_pu: ArrayLike = 0.0,
    *,
    low_pu: float = -1.0,
    high_pu: float = 1.0,
) -> FloatOrArray:
    r"""Power of a unit with frequency-droop, once it has answered.

    .. math:: p = p_0 + \frac{(f_0 - f_{db}) - f}{f_0\,R}\ \text{below},\qquad
              p = p_0 - \frac{f - (f_0 + f_{db})}{f_0\,R}\ \text{above}            (5.1)

    with the power p_0 before, the deadband f_db and the droop R (`Droop.droop_pu`).

    Parameters
    ----------
    f_hz : float or array
        Frequency [Hz].
    rules : Settings
        Deadband, droop and f0; some codes answer only to high frequency (`Droop.under`).
    p_before_pu : float or array, optional
        Power before, per rating, -1 to 1; charging is negative [-].
    low_pu : float, optional
        Least power, per rating: 0 for a generator, -1 for a car that can do both [-].
    high_pu : float, optional
        Most power, per rating, at least `low_pu` and at most 1 [-].

    Returns
    -------
    float or array, broadcast of the inputs
        Power per rating, injected [-].

    Raises
    ------
    ValueError
        If a frequency is not positive, a power is not within -1 to 1, `low_pu` exceeds `high_pu`,
        or shapes do not fit.
    TypeError
        If `rules` are no `Settings`.

    References
    ----------
    .. [1] IEEE Std 1547-2018, clause 6.5.2.7.

    Examples
    --------
    >>> rules = settings("en50549_1", "A")
    >>> droop_power([49.0, 50.1, 51.0], rules, 0.2, low_pu=-1.0, high_pu=1.0).round(2)
    array([ 0.52,  0.2 , -0.12])
    """
    f = checked("f_hz", f_hz, **_FREQUENCY)
    instance("rules", rules, Settings)
    p_before = fraction("p_before_pu", p_before_pu, ge=-1)
    low = one_fraction("low_pu", low_pu, ge=-1)
    high = one_fraction("high_pu", high_pu, ge=-1)
    if low > high:
        raise ValueError(f"low_pu is {low:g}; it must be at most high_pu = {high:g}")
    together(f_hz=f, p_before_pu=p_before)
    droop = rules.droop
    missing_hz = np.subtract(rules.f0_hz, f)
    most_hz = droop.deadband_hz if droop.under else np.inf
    beyond_hz = missing_hz - np.clip(missing_hz, -droop.deadband_hz, most_hz)
    p = p_before + beyond_hz / (rules.f0_hz * droop.droop_pu)
    return plain(np.clip(p, low, high))  # eq. (5.1)


def must_ride_rocof(rules: Settings, rocof_hz_per_s: ArrayLike) -> bool | np.ndarray:
    """Whether a rate of change of frequency has to be ridden through.

    Parameters
    ----------
    rules : Settings
        The code.
    rocof_hz_per_s : float or array
        Rate, up or down; in IEEE 1547 averaged over at least 0.1 s [Hz/s].

    Returns
    -------
    bool or array
        True where the rate is within what has to be ridden through.

    Raises
    ------
    ValueError
        If the code names no such rate, or a rate is unknown.
    TypeError
        If `rules` are no `Settings`.

    References
    ----------
    .. [1] IEEE Std 1547-2018, clause 6.5.2.5.

    Examples
    --------
    >>> must_ride_rocof(settings("ieee1547_2018", "III"), [-3.0, 4.0])
    array([ True, False])
    """
    instance("rules", rules, Settings)
    rate = checked("rocof_hz_per_s", rocof_hz_per_s, "Hz/s", ge=-1e6, le=1e6)
    if rules.rocof_hz_per_s is None:
        raise ValueError(
            f"rules of {rules.code} {rules.category} name no rate of change that has to be ridden "
            "through"
        )
    return _truth(np.less_equal(np.abs(rate), rules.rocof_hz_per_s))


def measured_rocof(trace: pd.DataFrame, window_s: float) -> pd.Series:
    r"""Rate of change of frequency as a relay reads it: over a window that ends now.

    .. math:: \dot f(t) = \frac{f(t) - f(t - T_w)}{T_w}            (5.2)

    Parameters
    ----------
    trace : DataFrame, index t_s
        Has the column `f_hz`.
    window_s : float
        Length of the window, above 0 and at most that of the trace [s].

    Returns
    -------
    Series, index t_s
        Rate `rocof_hz_per_s`, from the first sample at which a whole window has passed [Hz/s].

    Raises
    ------
    ValueError
        If the window is not positive or longer than the trace, or if the trace has no `f_hz`, its
        time does not rise, or it has fewer than two samples or an unknown value.
    TypeError
        If `trace` is no DataFrame.

    Examples
    --------
    >>> trace = pd.DataFrame({"f_hz": [60.0, 60.0, 59.0, 59.0]}, index=[0.0, 1.0, 2.0, 3.0])
    >>> measured_rocof(trace, 0.5).tolist()
    [0.0, -1.0, 0.0]
    """
    window_s = one("window_s", window_s, **PERIOD_S)
    trace = _checked_trace(trace, ("f",))
    rate, complete = _rate(trace.index.to_numpy(float), trace.f_hz.to_numpy(), window_s)
    return pd.Series(rate, index=trace.index[complete], name="rocof_hz_per_s")


def _rate(t, f, window_s):
    """Rate of change at all samples for which a whole window has passed, and which these are."""
    complete = t >= t[0] + window_s - _TINY_S
    if not complete.any():
        raise ValueError(
            f"window_s is {window_s:g} s, longer than the whole trace of {t[-1] - t[0]:g} s"
        )
    before = np.interp(t[complete] - window_s, t, f)
    return (f[complete] - before) / window_s, complete  # eq. (5.2)


@dataclass(frozen=True, kw_only=True)
class RocofRelay:
    """Loss-of-mains protection: trips when the rate of change stays above a limit.

    Attributes
    ----------
    limit_hz_per_s : float
        Limit for the size of the rate, up or down, above 0 [Hz/s].
    window_s : float
        Window over which the rate is measured, above 0 [s].
    delay_s : float
        Time for which the rate has to stay above the limit, 0 or more [s].
    name : str
        Name of the relay in the events.

    Examples
    --------
    >>> relay = RocofRelay(limit_hz_per_s=1.0, window_s=0.1, delay_s=0.5, name="ROCOF")
    >>> trace = pd.DataFrame({"f_hz": [50.0, 50.0, 48.0]}, index=[0.0, 1.0, 2.0])
    >>> [round(t_s, 2) for t_s in relay.trips_s(trace)]
    [1.55]
    """

    limit_hz_per_s: float
    window_s: float
    delay_s: float = 0.0
    name: str = "ROCOF"

    def __post_init__(self):
        keep(
            self,
            limit_hz_per_s={"one": True, **_RATE},
            window_s={"one": True, **PERIOD_S},
            delay_s={"one": True, **TIME_S},
        )
        instance("name", self.name, str)

    def pickups_s(self, trace: pd.DataFrame) -> list[tuple[float, float]]:
        """Spans in which the rate lies above the limit.

        Parameters
        ----------
        trace : DataFrame, index t_s
            Has the column `f_hz`.

        Returns
        -------
        list of (float, float)
            Start and end of each span [s].

        Raises
        ------
        ValueError
            If the trace has no `f_hz`, its time does not rise, it has fewer than two samples or an
            unknown value, or it is shorter than the window.
        TypeError
            If `trace` is no DataFrame.
        """
        trace = _checked_trace(trace, ("f",))
        t = trace.index.to_numpy(float)
        bends = np.unique([t, t + self.window_s])  # between these the rate is a straight line
        bends = bends[bends <= t[-1]]
        f_hz = np.interp(bends, t, trace.f_hz.to_numpy())
        rate, complete = _rate(bends, f_hz, self.window_s)
        limit = self.limit_hz_per_s + 1e-9  # a ramp at just the limit does not count
        rising = _spans(bends[complete], rate - limit)
        falling = _spans(bends[complete], -rate - limit)
        return sorted(rising + falling)

    def trips_s(self, trace: pd.DataFrame) -> list[float]:
        """All times at which the relay would trip.

        Parameters
        ----------
        trace : DataFrame, index t_s
            Has the column `f_hz`.

        Returns
        -------
        list of float
            Times; none if the relay does not trip [s].

        Raises
        ------
        ValueError
            If the trace has no `f_hz`, its time does not rise, it has fewer than two samples or an
            unknown value, or it is shorter than the window.
        TypeError
            If `trace` is no DataFrame.
        """
        return [
            start + self.delay_s
            for start, end in self.pickups_s(trace)
            if end - start >= self.delay_s - _TINY_S
        ]


def phase_jump_hz(jump_deg: ArrayLike, window_s: ArrayLike) -> FloatOrArray:
    r"""Frequency that a jump of phase pretends to be, to a meter that counts over a window.

    .. math:: \Delta f = \frac{\Delta\varphi}{360^\circ\,T_w}            (5.3)

    Parameters
    ----------
    jump_deg : float or array
        Jump of phase, with its sign [degrees].
    window_s : float or array
        Window of the meter, above 0 [s].

    Returns
    -------
    float or array, broadcast of the inputs
        False deviation of frequency, of the sign of the jump [Hz].

    Raises
    ------
    ValueError
        If a window is not positive, a jump is unknown, or shapes do not fit.

    Examples
    --------
    >>> round(phase_jump_hz(20.0, 0.1), 3)
    0.556
    """
    jump = checked("jump_deg", jump_deg, "degrees", ge=-1e6, le=1e6)
    window = checked("window_s", window_s, **PERIOD_S)
    together(jump_deg=jump, window_s=window)
    return plain(np.divide(jump, 360 * np.asarray(window)))  # eq. (5.3)


# ---------------------------------------------------------------------------------- the island


@dataclass(frozen=True, kw_only=True)
class RlcLoad:
    """A parallel RLC load, the standard test of anti-islanding.

    Each field may be an array, for several loads at once.

    Attributes
    ----------
    p_kw : float or array
        Power of its resistance at 1 pu, above 0 [kW].
    quality : float or array
        Quality factor Q_f, above 0: reactive power of coil or capacitor at resonance over p [-].
    resonance_hz : float or array
        Frequency at which coil and capacitor cancel, above 0 [Hz].

    Examples
    --------
    >>> load = RlcLoad(p_kw=10.0, quality=1.0, resonance_hz=60.0)
    >>> round(load.q_drawn_kvar(1.0, 59.0), 3)
    0.336
    """

    p_kw: FloatOrArray
    quality: FloatOrArray
    resonance_hz: FloatOrArray

    def __post_init__(self):
        keep(self, p_kw=ABOVE_0_KW, quality=_QUALITY, resonance_hz=NOMINAL_HZ)
        together(**vars(self))

    def q_drawn_kvar(self, v_pu: ArrayLike, f_hz: ArrayLike) -> FloatOrArray:
        r"""Reactive power that the load draws.

        It is negative above resonance, where the capacitor gives more than the coil draws.

        .. math:: Q = V^2 P Q_f\left(\frac{f_r}{f} - \frac{f}{f_r}\right)            (5.4)

        Parameters
        ----------
        v_pu : float or array
            Voltage, 0 or more [pu].
        f_hz : float or array
            Frequency, above 0 [Hz].

        Returns
        -------
        float or array, broadcast of the inputs
            Reactive power [kvar].

        Raises
        ------
        ValueError
            If a voltage is negative or in per cent, a frequency is not positive, or shapes do not
            fit.
        """
        v = _measured("v_pu", v_pu, "v")
        f = checked("f_hz", f_hz, **_FREQUENCY)
        together(v_pu=v, f_hz=f, **_fields(self))
        ratio = np.divide(self.resonance_hz, f)
        surplus = ratio - 1 / ratio  # of the coil over the capacitor
        return plain(np.square(v) * self.p_kw * self.quality * surplus)  # eq. (5.4)


def _fields(load):
    """Fields of a load, by the names under which a message about shapes tells them."""
    return {f"load.{name}": value for name, value in vars(load).items()}


@dataclass(frozen=True, kw_only=True)
class Island:
    """Where an island settles.

    Attributes
    ----------
    v_pu : float or array
        Voltage [pu].
    f_hz : float or array
        Frequency [Hz].
    """

    v_pu: FloatOrArray
    f_hz: FloatOrArray

    def __post_init__(self):
        keep(self, v_pu={"unit": "pu", "ge": 0}, f_hz={"unit": "Hz", "ge": 0})


def island(load: RlcLoad, p_kw: ArrayLike, q_kvar: ArrayLike = 0.0) -> Island:
    r"""Voltage and frequency of an island of a load and an inverter of constant power.

    When the grid has left, active power sets the voltage and reactive power the frequency:

    .. math:: V = \sqrt{\frac{P_{inv}}{P}},\qquad
              f = \frac{f_r}{2}\left(\sqrt{a^2 + 4} - a\right),\quad
              a = \frac{Q_{inv}}{P_{inv}\,Q_f}            (5.5)

    Parameters
    ----------
    load : RlcLoad
        What stays connected.
    p_kw : float or array
        Active power that the inverter gives, above 0 [kW].
    q_kvar : float or array, optional
        Reactive power that the inverter injects [kvar].

    Returns
    -------
    Island
        Voltage [pu] and frequency [Hz].

    Raises
    ------
    ValueError
        If `p_kw` is not positive, `q_kvar` is unknown, or shapes do not fit.
    TypeError
        If `load` is no `RlcLoad`.

    Examples
    --------
    >>> load = RlcLoad(p_kw=11.0, quality=1.0, resonance_hz=60.6)
    >>> rest = island(load, 10.0, 0.5)
    >>> round(rest.v_pu, 3), round(rest.f_hz, 2)
    (0.953, 59.1)
    """
    instance("load", load, RlcLoad)
    p = checked("p_kw", p_kw, **ABOVE_0_KW)
    q = checked("q_kvar", q_kvar, "kvar", ge=-1e9, le=1e9)
    together(p_kw=p, q_kvar=q, **_fields(load))
    a = np.divide(q, p) / load.quality
    v_pu = np.sqrt(np.divide(p, load.p_kw))
    f_hz = load.resonance_hz / 2 * (np.sqrt(a**2 + 4) - a)  # eq. (5.5)
    return Island(v_pu=plain(v_pu), f_hz=plain(f_hz))


@dataclass(frozen=True, kw_only=True)
class NonDetectionZone:
    """Mismatches that relays on voltage and frequency do not notice, per inverter power.

    Attributes
    ----------
    dp_low : float or array
        Least mismatch of active power [-].
    dp_high : float or array
        Largest mismatch of active power [-].
    dq_low : float or array
        Least mismatch of reactive power [-].
    dq_high : float or array
        Largest mismatch of reactive power [-].
    """

    dp_low: FloatOrArray
    dp_high: FloatOrArray
    dq_low: FloatOrArray
    dq_high: FloatOrArray

    def __post_init__(self):
        keep(self, dp_low={}, dp_high={}, dq_low={}, dq_high={})


def non_detection(
    v_low_pu: ArrayLike,
    v_high_pu: ArrayLike,
    f_low_hz: ArrayLike,
    f_high_hz: ArrayLike,
    *,
    quality: ArrayLike,
    f0_hz: ArrayLike,
) -> NonDetectionZone:
    r"""Non-detection zone of limits on voltage and frequency.

    It holds for an inverter of constant power at unity power factor. The limits of the reactive
    mismatch hold near balance; away from it they grow in proportion to :math:`P/P_{inv}`.

    .. math:: \frac{\Delta P}{P_{inv}} \in
              \left[\frac{1}{V_{max}^2} - 1,\ \frac{1}{V_{min}^2} - 1\right],\quad
              \frac{\Delta Q}{P_{inv}} \in
              \left[Q_f\left(1 - \left(\frac{f_0}{f_{min}}\right)^2\right),\
              Q_f\left(1 - \left(\frac{f_0}{f_{max}}\right)^2\right)\right]            (5.6)

    with what the grid gave before it left: :math:`\Delta P = P - P_{inv}` and
    :math:`\Delta Q` that the load drew.

    Parameters
    ----------
    v_low_pu : float or array
        Voltage below which the inverter trips, above 0 [pu].
    v_high_pu : float or array
        Voltage above which the inverter trips, above `v_low_pu` [pu].
    f_low_hz : float or array
        Frequency below which the inverter trips, above 0 [Hz].
    f_high_hz : float or array
        Frequency above which the inverter trips, above `f_low_hz` [Hz].
    quality : float or array
        Quality factor of the load, above 0 [-].
    f0_hz : float or array
        Nominal frequency [Hz].

    Returns
    -------
    NonDetectionZone
        Mismatches of active and of reactive power, per inverter power [-].

    Raises
    ------
    ValueError
        If an argument is not positive, an upper limit does not lie above its lower one, or shapes
        do not fit.

    References
    ----------
    .. [1] Z. Ye and others, Evaluation of anti-islanding schemes based on nondetection zone
       concept, IEEE Trans. Power Electronics 19(5):1171-1176, 2004.

    Examples
    --------
    >>> zone = non_detection(0.88, 1.10, 59.3, 60.5, quality=2.5, f0_hz=60.0)
    >>> round(zone.dp_low, 3), round(zone.dp_high, 3)
    (-0.174, 0.291)
    >>> round(zone.dq_low, 3), round(zone.dq_high, 3)
    (-0.059, 0.041)
    """
    v_low = _measured("v_low_pu", v_low_pu, "v", gt=0, ge=1e-6)
    v_high = _measured("v_high_pu", v_high_pu, "v", gt=0)
    f_low = checked("f_low_hz", f_low_hz, **_FREQUENCY)
    f_high = checked("f_high_hz", f_high_hz, **_FREQUENCY)
    q = checked("quality", quality, **_QUALITY)
    f0 = checked("f0_hz", f0_hz, **NOMINAL_HZ)
    _check_rising("v_low_pu", v_low, "v_high_pu", v_high, "pu")
    _check_rising("f_low_hz", f_low, "f_high_hz", f_high, "Hz")
    together(f_low_hz=f_low, f_high_hz=f_high, quality=q, f0_hz=f0)
    return NonDetectionZone(
        dp_low=1 / v_high**2 - 1,
        dp_high=1 / v_low**2 - 1,
        dq_low=q * (1 - (f0 / f_low) ** 2),
        dq_high=q * (1 - (f0 / f_high) ** 2),
    )  # eq. (5.6)


def drift_frequency(load: RlcLoad, angle_rad: ArrayLike) -> FloatOrArray:
    r"""Frequency at which an island rests when the current is pushed ahead of the voltage.

    .. math:: Q_f\left(\frac{f}{f_r} - \frac{f_r}{f}\right) = \tan\theta            (5.7)

    Parameters
    ----------
    load : RlcLoad
        What stays connected.
    angle_rad : float or array
        Current ahead of voltage, between -pi/2 and pi/2: above 0 for active frequency drift
        upward; with a chopping fraction c it is pi*c/2 [rad].

    Returns
    -------
    float or array, broadcast of the inputs
        Frequency [Hz].

    Raises
    ------
    ValueError
        If an angle is out of range, or shapes do not fit.
    TypeError
        If `load` is no `RlcLoad`.

    References
    ----------
    .. [1] Lopes and Sun, Performance assessment of active frequency drifting islanding detection
       methods, IEEE Trans. Energy Conversion 21(1):171-180, 2006.

    Examples
    --------
    >>> load = RlcLoad(p_kw=10.0, quality=1.0, resonance_hz=60.0)
    >>> round(drift_frequency(load, 0.05), 2)
    61.52
    """
    instance("load", load, RlcLoad)
    angle = checked("angle_rad", angle_rad, "rad", gt=-math.pi / 2, lt=math.pi / 2)
    together(angle_rad=angle, **_fields(load))
    return plain(_resting_hz(load.quality, load.resonance_hz, angle))


def _resting_hz(quality, resonance_hz, angle_rad):
    """Where the angle of the load is the one that the inverter pushes [Hz]."""
    a = np.tan(angle_rad) / quality
    return resonance_hz / 2 * (a + np.sqrt(a**2 + 4))  # eq. (5.7)


def smallest_feedback(quality: ArrayLike, f0_hz: ArrayLike) -> FloatOrArray:
    r"""Feedback per Hz above which no island of that quality factor can rest.

    Above it the angle of the inverter runs away faster than that of the load.

    .. math:: k > \frac{4 Q_f}{\pi f_0}            (5.8)

    Parameters
    ----------
    quality : float or array
        Quality factor of the load, above 0 [-].
    f0_hz : float or array
        Nominal frequency [Hz].

    Returns
    -------
    float or array, broadcast of the inputs
        Chopping fraction per Hz [1/Hz].

    Raises
    ------
    ValueError
        If an argument is not positive, or shapes do not fit.

    References
    ----------
    .. [1] Lopes and Sun, Performance assessment of active frequency drifting islanding detection
       methods, IEEE Trans. Energy Conversion 21(1):171-180, 2006.

    Examples
    --------
    >>> round(smallest_feedback(2.5, 60.0), 4)
    0.0531
    """
    q = checked("quality", quality, **_QUALITY)
    f0 = checked("f0_hz", f0_hz, **NOMINAL_HZ)
    together(quality=q, f0_hz=f0)
    return 4 * q / (math.pi * f0)  # eq. (5.8)


def _check_cycles(t_end_s, highest_hz):
    """Refuse a run that would never end."""
    if t_end_s * highest_hz > _MOST_CYCLES:
        raise ValueError(
            f"t_end_s is {t_end_s:g} s; at up to {highest_hz:g} Hz these are more than "
            f"{_MOST_CYCLES:,} cycles"
        )


def drift(
    load: RlcLoad,
    *,
    f0_hz: float,
    chop: float = 0.0,
    feedback_per_hz: float = 0.0,
    t_end_s: float = 2.0,
) -> pd.DataFrame:
    r"""Frequency of an island, cycle by cycle, under active frequency drift with feedback.

    With positive feedback this is the Sandia frequency shift.

    .. math:: \theta_n = \frac{\pi}{2}\left(c + k\,(f_n - f_0)\right),\qquad
              f_{n+1} = f_n + \left(1 - e^{-\pi f_0 / (Q_f f_n)}\right)
              \left(f_\infty(\theta_n) - f_n\right)            (5.9)

    Parameters
    ----------
    load : RlcLoad
        What stays connected; one load.
    f0_hz : float
        Frequency before the grid left [Hz].
    chop : float, optional
        Chopping fraction c at f0, the part of each half cycle in which the current is zero; below
        0 the current lags, -0.5 to 0.5 [-].
    feedback_per_hz : float, optional
        Feedback k, 0 or more [1/Hz].
    t_end_s : float, optional
        End of the run, above 0 [s].

    Returns
    -------
    DataFrame, index t_s
        `f_hz` at the end of each cycle [Hz]. The chopping fraction is held within 0.5 either way,
        an angle of 45 degrees.

    Raises
    ------
    ValueError
        If an argument is out of range, the load has arrays for fields, or the run has more than a
        million cycles.
    TypeError
        If `load` is no `RlcLoad`.

    Notes
    -----
    The island approaches its resting frequency with the time constant Q_f / (pi f0) of the load's
    own oscillation. An engineering model: harmonics and the controls of the inverter are left out.

    References
    ----------
    .. [1] Lopes and Sun, Performance assessment of active frequency drifting islanding detection
       methods, IEEE Trans. Energy Conversion 21(1):171-180, 2006.

    Examples
    --------
    >>> load = RlcLoad(p_kw=10.0, quality=1.0, resonance_hz=60.0)
    >>> run = drift(load, f0_hz=60.0, chop=0.005, feedback_per_hz=0.03, t_end_s=1.0)
    >>> round(float(run.f_hz.iloc[-1]), 1)
    97.1
    """
    instance("load", load, RlcLoad)
    quality = one("quality of load", load.quality)
    resonance_hz = one("resonance_hz of load", load.resonance_hz)
    f0 = one("f0_hz", f0_hz, **NOMINAL_HZ)
    chop = one("chop", chop, ge=-_MOST_CHOP, le=_MOST_CHOP)
    feedback = one("feedback_per_hz", feedback_per_hz, "1/Hz", ge=0, le=1e6)
    t_end_s = one("t_end_s", t_end_s, "s", gt=0)
    _check_cycles(t_end_s, max(f0, _resting_hz(quality, resonance_hz, math.pi / 4)))
    t = 0.0
    f = f0
    times_s = [t]
    frequencies_hz = [f]
    while t < t_end_s:
        pushed = chop + feedback * (f - f0)
        angle = math.pi / 2 * min(max(pushed, -_MOST_CHOP), _MOST_CHOP)
        rest = float(_resting_hz(quality, resonance_hz, angle))
        f += -math.expm1(-math.pi * f0 / (quality * f)) * (rest - f)  # eq. (5.9)
        t += 1 / f
        times_s.append(t)
        frequencies_hz.append(f)
    return pd.DataFrame({"f_hz": frequencies_hz}, index=pd.Index(times_s, name="t_s"))
