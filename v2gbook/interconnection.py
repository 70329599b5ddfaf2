r"""Topic 05, interconnection: when a unit must stay connected, and when it must leave.

Rules are data (`codes`, `settings`): trip stages with clearing times, ride-through regions, enter service, droop. `clearing_time` and `duty` read them
for one value, `conflicts` compares the two, `respond` runs them over a trace of voltage and frequency, `verdict` says what a trace obliges a unit to do. Then what a relay measures
(`rocof`, `RocofRelay`, `phase_jump_hz`), and what happens when the grid is gone and a load is not (`RlcLoad`, `island`, `non_detection`, `drift`).

A trace is a DataFrame with the index t_s and the columns v_pu and f_hz. p > 0 flows from the vehicle to the grid.
"""

import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ._check import checked, plain
import itertools

# ------------------------------------------------------------------------------------------------------ rules as data

_CODES = Path(__file__).parent / "data" / "gridcodes"
_COLUMN = {"v": "v_pu", "f": "f_hz"}
_UNIT = {"v": "pu", "f": "Hz"}
_STRICTER = (
    "continuous",
    "mandatory",
    "permissive",
    "momentary cessation",
    "outside",
)  # from full power to none
_TINY_S = 1e-9  # two times closer than this are the same


def _known(quantity):
    """The quantity, or a clear sentence."""
    if quantity not in _COLUMN:
        raise ValueError(f"quantity is {quantity!r}; it must be v or f")
    return quantity


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A must-trip stage: beyond `limit` for `clear_s`, the unit has to be off.

    Attributes
    ----------
    name, quantity, side : str
        OV2, UV1, OF1 and so on; "v" (voltage, pu) or "f" (frequency, Hz); "over" or "under".
    limit : float
        [pu] or [Hz]
    clear_s : float
        From crossing the limit until the unit has ceased to energise (a pick-up delay where a code gives only that). [s]
    source : str
        Where the numbers stand, and whether they were read or remembered.
    """

    name: str
    quantity: str
    side: str
    limit: float
    clear_s: float
    source: str = ""

    def __post_init__(self):
        if self.quantity not in _COLUMN or self.side not in ("over", "under"):
            raise ValueError(
                f"stage {self.name}: quantity is {self.quantity!r} and side {self.side!r}; they must be v or f, and over or under"
            )
        checked("limit", self.limit, gt=0)
        checked("clear_s", self.clear_s, "s", gt=0)

    def beyond(self, value):
        """Whether a value lies beyond the limit; exactly on it does not count."""
        return np.greater(value, self.limit) if self.side == "over" else np.less(value, self.limit)


@dataclass(frozen=True, kw_only=True)
class Region:
    """A band of voltage or frequency that has to be ridden through: how, and at least how long after leaving the continuous band.

    Attributes
    ----------
    quantity : str
        "v" or "f".
    low, high : float
        [pu] or [Hz]
    mode : str
        "continuous", "mandatory" (stay and feed), "permissive" (stay, may stop feeding) or "momentary cessation" (stay, must stop feeding).
    ride_s, slope_s_per_pu : float
        Time at `low` (infinite in the continuous band), and what is added per pu above it. [s], [s/pu]
    """

    quantity: str
    low: float
    high: float
    mode: str
    ride_s: float
    slope_s_per_pu: float = 0.0

    def __post_init__(self):
        _known(self.quantity)
        checked("low", self.low, _UNIT[self.quantity], ge=0)
        checked("high", self.high, _UNIT[self.quantity], gt=self.low)
        if self.mode not in _STRICTER[:-1]:
            raise ValueError(
                f"mode is {self.mode!r}; it must be one of {', '.join(_STRICTER[:-1])}"
            )
        checked("ride_s", self.ride_s, "s", ge=0, finite=self.mode != "continuous")
        checked("slope_s_per_pu", self.slope_s_per_pu, "s/pu", ge=0)

    def required_s(self, value):
        """Time that has to be ridden through at a value inside. [s]"""
        return self.ride_s + self.slope_s_per_pu * (value - self.low)


@dataclass(frozen=True, kw_only=True)
class EnterService:
    """When a unit may (re)connect: inside the window for `delay_s`, then up a ramp of `ramp_s` (0: at once)."""

    v_low_pu: float
    v_high_pu: float
    f_low_hz: float
    f_high_hz: float
    delay_s: float
    ramp_s: float

    def __post_init__(self):
        checked(
            "v_high_pu", self.v_high_pu, "pu", gt=checked("v_low_pu", self.v_low_pu, "pu", gt=0)
        )
        checked(
            "f_high_hz", self.f_high_hz, "Hz", gt=checked("f_low_hz", self.f_low_hz, "Hz", gt=0)
        )
        checked("delay_s", self.delay_s, "s", ge=0)
        checked("ramp_s", self.ramp_s, "s", ge=0)

    def may_enter(self, v_pu, f_hz):
        """Whether voltage and frequency lie inside the window, its edges included."""
        v, f = checked("v_pu", v_pu, "pu", ge=0), checked("f_hz", f_hz, "Hz", gt=0)
        inside = (
            np.greater_equal(v, self.v_low_pu)
            & np.less_equal(v, self.v_high_pu)
            & np.greater_equal(f, self.f_low_hz)
            & np.less_equal(f, self.f_high_hz)
        )
        return bool(inside) if np.ndim(inside) == 0 else inside

    def limit_pu(self, t_s):
        """Largest power a time after entering, per rating, 0..1."""
        t = checked("t_s", t_s, "s", ge=0)
        return (
            plain(np.minimum(1.0, np.divide(t, self.ramp_s)))
            if self.ramp_s > 0
            else plain(np.ones_like(t))
        )


@dataclass(frozen=True, kw_only=True)
class Droop:
    """Frequency-droop: `droop_pu` of f0 beyond the deadband moves power by its rating; `under`: also upward, when frequency is low.

    The function of 1547 that is on without being asked for.
    """

    deadband_hz: float
    droop_pu: float
    olrt_s: float
    under: bool = True

    def __post_init__(self):
        checked("deadband_hz", self.deadband_hz, "Hz", ge=0)
        checked("droop_pu", self.droop_pu, gt=0)
        checked("olrt_s", self.olrt_s, "s", gt=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """All rules of one code for one category of unit.

    Attributes
    ----------
    stages, regions : tuple of Stage, tuple of Region
        Regions of a quantity follow on each other without a gap; one of them is continuous.
    rocof_hz_per_s, phase_jump_deg : float or None
        What has to be ridden through; None where no number is known. [Hz/s], [degrees]
    island_s : float
        An unintended island has to be left within. [s]
    relays : tuple of RocofRelay
        Loss-of-mains protection the code asks for; hand it to `respond`.
    sources : dict
        Where regions, enter service and so on stand (a stage has its own `source`).
    """

    code: str
    name: str
    category: str
    f0_hz: float
    stages: tuple
    regions: tuple
    rocof_hz_per_s: float | None
    phase_jump_deg: float | None
    enter: EnterService
    droop: Droop
    island_s: float
    relays: tuple = ()
    sources: dict = field(default_factory=dict)

    def __post_init__(self):
        checked("f0_hz", self.f0_hz, "Hz", gt=0)
        checked("island_s", self.island_s, "s", gt=0)
        for quantity in _COLUMN:
            _check_regions(self, quantity)
            for side, sign in (("over", 1), ("under", -1)):
                _check_order(
                    sorted(
                        (s for s in self.stages if (s.quantity, s.side) == (quantity, side)),
                        key=lambda s: sign * s.limit,
                    )
                )


def _check_regions(rules, quantity):
    """Refuse a table without one continuous band, or with a gap or an overlap."""
    regions, here = (
        sorted((r for r in rules.regions if r.quantity == quantity), key=lambda r: r.low),
        f"{rules.code} {rules.category}",
    )
    bands = sum(region.mode == "continuous" for region in regions)
    if bands != 1:
        raise ValueError(f"{here} has {bands} continuous regions for {quantity}; it must have one")
    for below, above in itertools.pairwise(regions):
        if below.high != above.low:
            raise ValueError(
                f"{here}: a region for {quantity} ends at {below.high:g} and the next begins at {above.low:g}; they must meet"
            )


def _check_order(stages):
    """Refuse a stage that could never act: one further out has to be faster."""
    for inner, outer in itertools.pairwise(stages):
        if outer.limit == inner.limit or outer.clear_s >= inner.clear_s:
            raise ValueError(
                f"stages {inner.name} ({inner.limit:g}, {inner.clear_s:g} s) and {outer.name} ({outer.limit:g}, {outer.clear_s:g} s) do not go "
                "together; the one further out must be the faster one"
            )


def codes():
    """Known grid codes, as {code: categories}."""
    return {
        path.stem: tuple(tomllib.loads(path.read_text(encoding="utf-8"))["categories"])
        for path in sorted(_CODES.glob("*.toml"))
    }


def settings(code, category):
    """Default settings of a grid code. Each number's table or clause, and whether it was read or remembered, stands in the data file.

    Parameters
    ----------
    code, category : str
        Such as "ieee1547_2018" and "III"; `codes` lists those there are.

    Returns
    -------
    Settings
    """
    known = codes()
    if code not in known:
        raise ValueError(f"there is no grid code {code!r}; known are {', '.join(known)}")
    if category not in known[code]:
        raise ValueError(f"{code} has no category {category!r}; it has {', '.join(known[code])}")
    raw = tomllib.loads((_CODES / f"{code}.toml").read_text(encoding="utf-8"))
    stages = tuple(
        Stage(**{k: v for k, v in row.items() if k != "categories"})
        for row in raw["stages"]
        if category in row["categories"]
    )
    regions = tuple(
        Region(quantity=q, low=low, high=high, mode=mode, ride_s=ride, slope_s_per_pu=slope)
        for q, low, high, mode, ride, slope in raw["regions"][category]
    )
    return Settings(
        code=code,
        name=raw["name"],
        category=category,
        f0_hz=raw["f0_hz"],
        stages=stages,
        regions=regions,
        rocof_hz_per_s=raw["rocof_hz_per_s"].get(category),
        phase_jump_deg=raw["phase_jump_deg"].get(category),
        enter=EnterService(**raw["enter"]),
        droop=Droop(**raw["droop"]),
        island_s=raw["island_s"],
        relays=tuple(RocofRelay(**row) for row in raw.get("relays", [])),
        sources=raw["sources"],
    )


def clearing_time(rules, quantity, value):
    """Time after which a steady value must have been cleared: the shortest of the stages that it lies beyond.

    Parameters
    ----------
    rules : Settings
    quantity : str
        "v" or "f".
    value : float or array
        [pu] or [Hz]

    Returns
    -------
    float or array
        Infinite where no stage picks up. [s]
    """
    value = np.asarray(checked(_COLUMN[_known(quantity)], value, _UNIT[quantity], ge=0))
    times = [
        np.where(stage.beyond(value), stage.clear_s, np.inf)
        for stage in rules.stages
        if stage.quantity == quantity
    ]
    return plain(np.min([np.full(value.shape, np.inf), *times], axis=0))


def duty(rules, quantity, value):
    """What ride-through asks for at a value: the region's mode and its time [s]; ("none", 0) outside all regions. On an edge the longer duty holds."""
    value = float(checked(_COLUMN[_known(quantity)], value, _UNIT[quantity], ge=0))
    inside = [
        (region.required_s(value), region.mode)
        for region in rules.regions
        if region.quantity == quantity and region.low <= value <= region.high
    ]
    longest, mode = max(inside, default=(0.0, "none"))
    return mode, longest


def conflicts(rules):
    """Where a stage would clear before ride-through allows it, as no unit can obey both.

    Returns
    -------
    DataFrame
        `stage`, `quantity`, `value` (where the two are furthest apart, pu or Hz), `clear_s`, `required_s`; empty if the rules agree.
    """
    found = []
    for stage in rules.stages:
        for region in rules.regions:
            low, high = (
                (max(region.low, stage.limit), region.high)
                if stage.side == "over"
                else (region.low, min(region.high, stage.limit))
            )
            if (
                region.quantity == stage.quantity
                and low < high
                and stage.clear_s < region.required_s(high) - _TINY_S
            ):  # the duty is longest at the top
                found.append(
                    (stage.name, stage.quantity, high, stage.clear_s, region.required_s(high))
                )
    return pd.DataFrame(found, columns=["stage", "quantity", "value", "clear_s", "required_s"])


# ------------------------------------------------------------------------------------------------- rules over a trace


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened on a trace: "trip" by a stage or relay that picked up at `since_s`, or "enter" (service), at `t_s`."""

    t_s: float
    what: str
    by: str
    since_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """What a unit did.

    Attributes
    ----------
    modes : DataFrame, index t_s
        `mode` ("continuous", "mandatory", "permissive", "momentary cessation", "outside" every ride-through region, "tripped", "ramping") and
        `limit_pu`, the largest power it may give, per rating.
    events : tuple of Event
    """

    modes: pd.DataFrame
    events: tuple

    @property
    def tripped_s(self):
        """When it first tripped; None if it stayed. [s]"""
        return next((event.t_s for event in self.events if event.what == "trip"), None)


def _spans(t, beyond):
    """Times between which a sampled quantity is above zero, its crossings interpolated."""
    above = beyond > 0
    k = np.flatnonzero(above[1:] != above[:-1])
    cross = t[k] + (t[k + 1] - t[k]) * beyond[k] / (beyond[k] - beyond[k + 1])
    edges = [*([t[0]] if above[0] else []), *cross, *([t[-1]] if above[-1] else [])]
    return [(float(start), float(end)) for start, end in zip(edges[::2], edges[1::2])]


def excursions(trace, quantity, side, limit):
    """Times at which a trace lies beyond a limit, with the crossings interpolated between samples.

    Parameters
    ----------
    trace : DataFrame
    quantity, side, limit
        As in `Stage`.

    Returns
    -------
    list of (float, float)
        Start and end of each excursion; one that is not over at the end of the trace ends there. [s]
    """
    if side not in ("over", "under"):
        raise ValueError(f"side is {side!r}; it must be over or under")
    return _outside(
        _checked_trace(trace), _known(quantity), side, checked("limit", limit, _UNIT[quantity])
    )


def _outside(trace, quantity, side, limit):
    """Excursions of a checked trace."""
    over = trace[_COLUMN[quantity]].to_numpy() - limit
    return _spans(trace.index.to_numpy(float), over if side == "over" else -over)


def _checked_trace(trace):
    """The trace as floats, or one clear sentence."""
    if not isinstance(trace, pd.DataFrame):
        raise ValueError(
            f"trace is a {type(trace).__name__}; it must be a DataFrame with the index t_s and the columns v_pu and f_hz"
        )
    missing = [column for column in _COLUMN.values() if column not in trace]
    if missing:
        raise ValueError(f"trace has no column {', '.join(missing)}; it needs v_pu and f_hz")
    t = np.atleast_1d(checked("the index of trace", trace.index.to_numpy(), "s"))
    if len(t) < 2:
        raise ValueError("trace has one sample; a trace needs two or more")
    back = np.flatnonzero(np.diff(t) <= 0)
    if back.size:
        raise ValueError(
            f"time in trace goes from {t[back[0]]:g} s to {t[back[0] + 1]:g} s; it must rise (steps may differ in length)"
        )
    for quantity, column in _COLUMN.items():
        checked(f"column {column} of trace", trace[column].to_numpy(), _UNIT[quantity], ge=0)
    return trace[list(_COLUMN.values())].astype(float)


def _pickups(trace, rules, relays=()):
    """What times out on a trace, as (trip, pick-up, return, name), in the order of the trips."""
    found = [
        (start + stage.clear_s, start, end, stage.name)
        for stage in rules.stages
        for start, end in _outside(trace, stage.quantity, stage.side, stage.limit)
    ]
    found += [
        (start + relay.delay_s, start, end, relay.name)
        for relay in relays
        for start, end in relay.pickups_s(trace)
    ]
    return sorted(pickup for pickup in found if pickup[2] >= pickup[0] - _TINY_S)


def respond(trace, rules, relays=()):
    """Run the rules over a trace: which mode at which time, when a stage trips, when the unit comes back.

    A stage's clock starts at the crossing of its limit and starts anew after every return. The unit is off `clear_s` after the crossing if the trace is
    still beyond. It comes back once voltage and frequency have stayed in the enter-service window for the delay, and then climbs its ramp.

    Parameters
    ----------
    trace : DataFrame
        Uneven steps are allowed; time must rise.
    rules : Settings
    relays : list of RocofRelay
        Further protection that trips the unit, such as `rules.relays`.

    Returns
    -------
    Response
    """
    trace = _checked_trace(trace)
    t, pickups = trace.index.to_numpy(float), _pickups(trace, rules, relays)
    windows, events, on_since = _entry_windows(trace, rules.enter, pickups), [], -np.inf
    mode, limit = _modes(trace, rules), np.ones(len(t))
    for trip_s, since_s, _, name in pickups:
        if trip_s < on_since - _TINY_S:  # the unit was off anyway
            continue
        events.append(Event(t_s=float(trip_s), what="trip", by=name, since_s=since_s))
        on_since = _entry(windows, trip_s, rules.enter.delay_s)
        off, on = (t >= trip_s - _TINY_S) & (t < on_since - _TINY_S), t >= on_since - _TINY_S
        limit[off] = 0.0
        mode[off] = "tripped"
        limit[on] = rules.enter.limit_pu(np.maximum(t[on] - on_since, 0.0)) if on.any() else 0.0
        if np.isfinite(on_since):
            events.append(
                Event(
                    t_s=on_since,
                    what="enter",
                    by="enter service",
                    since_s=on_since - rules.enter.delay_s,
                )
            )
    mode[(mode == "continuous") & (limit < 1)] = "ramping"
    limit[mode == "momentary cessation"] = 0.0
    return Response(
        modes=pd.DataFrame({"mode": mode, "limit_pu": limit}, index=trace.index),
        events=tuple(events),
    )


def _entry(windows, trip_s, delay_s):
    """When a unit that tripped enters service again; infinite if never."""
    starts = ((max(start, trip_s), end) for start, end in windows)
    return next(
        (start + delay_s for start, end in starts if end - start >= delay_s - _TINY_S), np.inf
    )


def _entry_windows(trace, enter, pickups):
    """Spans in which voltage and frequency allow to enter service and nothing trips."""
    limits = (
        ("v", "under", enter.v_low_pu),
        ("v", "over", enter.v_high_pu),
        ("f", "under", enter.f_low_hz),
        ("f", "over", enter.f_high_hz),
    )
    closed = [span for limit in limits for span in _outside(trace, *limit)] + [
        (trip_s, end_s) for trip_s, _, end_s, _ in pickups
    ]
    spans = [(float(trace.index[0]), float(trace.index[-1]))]
    for start, end in closed:
        spans = [
            part
            for a, b in spans
            for part in ((a, min(b, start)), (max(a, end), b))
            if part[1] > part[0]
        ]
    return sorted(spans)


def _modes(trace, rules):
    """Mode of each sample from voltage and frequency; where they differ, the one with less power holds."""
    rank = np.zeros(len(trace), int)
    for quantity, column in _COLUMN.items():
        x, here = trace[column].to_numpy(), np.full(len(trace), len(_STRICTER) - 1)
        for region in rules.regions:
            if region.quantity == quantity:
                inside = (x >= region.low) & (x <= region.high)
                here[inside] = np.minimum(here[inside], _STRICTER.index(region.mode))
        rank = np.maximum(rank, here)
    return np.array(_STRICTER, dtype=object)[rank]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a trace obliges a unit to: "must stay", "may trip" from `may_s` on, or "must trip" by `must_s`. [s]"""

    duty: str
    may_s: float | None
    must_s: float | None


def verdict(trace, rules):
    """Judge a trace: does the code oblige a unit to ride it through?

    Time counts from leaving the continuous band and goes on while the value stays outside it. As soon as it has lasted longer than the region of
    the present value requires, the unit may trip; after a stage's clearing time it must have tripped.

    Parameters
    ----------
    trace : DataFrame
        Straight lines between samples.
    rules : Settings

    Returns
    -------
    Verdict
    """
    trace = _checked_trace(trace)
    may = [t_s for quantity in _COLUMN for t_s in _may_trip(trace, rules, quantity)]
    must = [pickup[0] for pickup in _pickups(trace, rules)]
    return Verdict(
        duty="must trip" if must else "may trip" if may else "must stay",
        may_s=min(may, default=None),
        must_s=min(must, default=None),
    )


def _may_trip(trace, rules, quantity):
    """For each excursion from the continuous band, the first time at which it has lasted longer than its present region requires, if any."""
    t, x = trace.index.to_numpy(float), trace[_COLUMN[quantity]].to_numpy()
    regions = [region for region in rules.regions if region.quantity == quantity]
    band = next(region for region in regions if region.mode == "continuous")
    cuts = np.unique(
        [
            *t,
            *(
                cut
                for edge in {r.low for r in regions} | {r.high for r in regions}
                for span in _spans(t, x - edge)
                for cut in span
            ),
        ]
    )
    for start, end in _spans(t, band.low - x) + _spans(t, x - band.high):
        times = cuts[(cuts >= start) & (cuts <= end)]
        values = np.interp(times, t, x)
        ends = np.array(
            [values[:-1], values[1:]]
        )  # of pieces on which the value lies in one region, and the time that is left is a straight line
        required, middle = np.zeros_like(ends), ends.mean(axis=0)
        for region in regions:
            inside = (region.low <= middle) & (middle <= region.high)
            required[:, inside] = np.maximum(
                required[:, inside], region.required_s(ends[:, inside])
            )
        late = np.array([times[:-1], times[1:]]) - start - required
        for k in np.flatnonzero(late.max(axis=0) > _TINY_S)[:1]:
            yield (
                float(np.interp(0.0, late[:, k], times[k : k + 2]))
                if late[0, k] < 0
                else float(times[k])
            )


# ---------------------------------------------------------------------------------------------- frequency and relays


def droop_power(f_hz, rules, p_before_pu=0.0, *, low_pu=-1.0, high_pu=1.0):
    r"""Power of a unit with frequency-droop, once it has answered.

    .. math:: p = p_0 + \frac{(f_0 - f_{db}) - f}{f_0\,k}\ \text{below},\qquad p = p_0 - \frac{f - (f_0 + f_{db})}{f_0\,k}\ \text{above}            (5.1)

    Parameters
    ----------
    f_hz : float or array
        [Hz]
    rules : Settings
        Deadband, droop and f0; some codes answer only to high frequency (`Droop.under`).
    p_before_pu : float or array
        Power before, per rating; charging is negative.
    low_pu, high_pu : float
        Limits: 0 and 1 for a generator, -1 and 1 for a car that can do both.

    Returns
    -------
    float or array
        Per rating, injected.
    """
    f, p = checked("f_hz", f_hz, "Hz", gt=0), checked("p_before_pu", p_before_pu, ge=-1, le=1)
    checked("low_pu", low_pu, le=checked("high_pu", high_pu))
    droop, missing_hz = rules.droop, np.subtract(rules.f0_hz, f)
    beyond_hz = missing_hz - np.clip(
        missing_hz, -droop.deadband_hz, droop.deadband_hz if droop.under else np.inf
    )
    return plain(
        np.clip(p + beyond_hz / (rules.f0_hz * droop.droop_pu), low_pu, high_pu)
    )  # eq. (5.1)


def must_ride_rocof(rules, rocof_hz_per_s):
    """Whether a rate of change has to be ridden through (in 1547 averaged over at least 0.1 s)."""
    if rules.rocof_hz_per_s is None:
        raise ValueError(
            f"{rules.code} {rules.category} names no rate of change that has to be ridden through"
        )
    ride = np.less_equal(
        np.abs(checked("rocof_hz_per_s", rocof_hz_per_s, "Hz/s")), rules.rocof_hz_per_s
    )
    return bool(ride) if np.ndim(ride) == 0 else ride


def rocof(trace, window_s):
    r"""Rate of change of frequency as a relay reads it: over a window that ends now.

    .. math:: \dot f(t) = \frac{f(t) - f(t - T_w)}{T_w}            (5.2)

    Parameters
    ----------
    trace : DataFrame
    window_s : float
        [s]

    Returns
    -------
    Series, index t_s
        From the first time at which a whole window has passed. [Hz/s]
    """
    checked("window_s", window_s, "s", gt=0)
    trace = _checked_trace(trace)
    t, f = trace.index.to_numpy(float), trace.f_hz.to_numpy()
    whole = t >= t[0] + window_s - 1e-9
    if not whole.any():
        raise ValueError(
            f"window_s is {window_s:g} s, longer than the whole trace of {t[-1] - t[0]:g} s"
        )
    return pd.Series(
        (f[whole] - np.interp(t[whole] - window_s, t, f)) / window_s,
        index=trace.index[whole],
        name="rocof_hz_per_s",
    )  # eq. (5.2)


@dataclass(frozen=True, kw_only=True)
class RocofRelay:
    """Loss-of-mains protection: trips when the rate over `window_s` stays above `limit_hz_per_s` for `delay_s`."""

    limit_hz_per_s: float
    window_s: float
    delay_s: float = 0.0
    name: str = "ROCOF"

    def __post_init__(self):
        checked("limit_hz_per_s", self.limit_hz_per_s, "Hz/s", gt=0)
        checked("window_s", self.window_s, "s", gt=0)
        checked("delay_s", self.delay_s, "s", ge=0)

    def pickups_s(self, trace):
        """Spans in which the rate lies above the limit, as (start, end). [s]"""
        trace = _checked_trace(trace)
        t = trace.index.to_numpy(float)
        bends = np.unique([*t, *(t + self.window_s)])  # between these the rate is a straight line
        bends = bends[bends <= t[-1]]
        rate = rocof(
            pd.DataFrame(
                {column: np.interp(bends, t, trace[column]) for column in trace}, index=bends
            ),
            self.window_s,
        )
        limit = self.limit_hz_per_s + 1e-9  # a ramp at just the limit does not count
        return sorted(
            span
            for sign in (1, -1)
            for span in _spans(rate.index.to_numpy(float), sign * rate.to_numpy() - limit)
        )

    def trips_s(self, trace):
        """All times at which it would trip; empty if it stays. [s]"""
        return [
            start + self.delay_s
            for start, end in self.pickups_s(trace)
            if end - start >= self.delay_s - _TINY_S
        ]


def phase_jump_hz(jump_deg, window_s):
    r"""Frequency that a jump of phase pretends to be, to a meter that counts over a window.

    .. math:: \Delta f = \frac{\Delta\varphi}{360^\circ\,T_w}            (5.3)
    """
    return plain(
        np.divide(
            checked("jump_deg", jump_deg, "degrees"),
            360 * np.asarray(checked("window_s", window_s, "s", gt=0)),
        )
    )  # eq. (5.3)


# ------------------------------------------------------------------------------------------------------- the island


@dataclass(frozen=True, kw_only=True)
class RlcLoad:
    """A parallel RLC load, the standard test of anti-islanding.

    `p_kw` is the power of its resistance at 1 pu, `quality` (Q_f) the reactive power of coil or capacitor at resonance over p, and `resonance_hz` is where
    the two cancel.
    """

    p_kw: float
    quality: float
    resonance_hz: float

    def __post_init__(self):
        checked("p_kw", self.p_kw, "kW", gt=0)
        checked("quality", self.quality, gt=0)
        checked("resonance_hz", self.resonance_hz, "Hz", gt=0)

    def q_drawn_kvar(self, v_pu, f_hz):
        r"""Reactive power it draws; negative above resonance, where the capacitor wins.

        .. math:: Q = V^2 P Q_f\left(\frac{f_r}{f} - \frac{f}{f_r}\right)            (5.4)
        """
        ratio = np.divide(self.resonance_hz, checked("f_hz", f_hz, "Hz", gt=0))
        return plain(
            np.square(checked("v_pu", v_pu, "pu", ge=0))
            * self.p_kw
            * self.quality
            * (ratio - 1 / ratio)
        )  # eq. (5.4)


@dataclass(frozen=True, kw_only=True)
class Island:
    """Where an island settles: voltage [pu] and frequency [Hz]."""

    v_pu: float
    f_hz: float


def island(load, p_kw, q_kvar=0.0):
    r"""Where voltage and frequency go when the grid leaves and an inverter of constant power stays with a load.

    Active power sets the voltage, reactive power the frequency:

    .. math:: V = \sqrt{\frac{P_{inv}}{P}},\qquad f = \frac{f_r}{2}\left(\sqrt{a^2 + 4} - a\right),\quad a = \frac{Q_{inv}}{P_{inv}\,Q_f}            (5.5)

    Parameters
    ----------
    load : RlcLoad
    p_kw, q_kvar : float or array
        Given by the inverter. [kW], [kvar]

    Returns
    -------
    Island
    """
    p, q = checked("p_kw", p_kw, "kW", gt=0), checked("q_kvar", q_kvar, "kvar")
    a = np.divide(q, p) / load.quality
    return Island(
        v_pu=plain(np.sqrt(np.divide(p, load.p_kw))),
        f_hz=plain(load.resonance_hz / 2 * (np.sqrt(a**2 + 4) - a)),
    )  # eq. (5.5)


@dataclass(frozen=True, kw_only=True)
class Blind:
    """Mismatches that relays on voltage and frequency do not see: of active power, and of reactive power, both per inverter power."""

    dp_low: float
    dp_high: float
    dq_low: float
    dq_high: float


def non_detection(v_low_pu, v_high_pu, f_low_hz, f_high_hz, *, quality, f0_hz):
    r"""The non-detection zone of under/over voltage and frequency, for an inverter of constant power at unity power factor.

    .. math:: \frac{\Delta P}{P} \in \left[\frac{1}{V_{max}^2} - 1,\ \frac{1}{V_{min}^2} - 1\right],\quad
              \frac{\Delta Q}{P} \in \left[Q_f\left(1 - \left(\frac{f_0}{f_{min}}\right)^2\right),\ Q_f\left(1 - \left(\frac{f_0}{f_{max}}\right)^2\right)\right]            (5.6)

    with what the grid gave before it left: dP = P_load - P_inv, dQ = Q_load.

    Source: Z. Ye and others, "Evaluation of anti-islanding schemes based on nondetection zone concept", IEEE Trans. Power Electronics 19(5):1171-1176, 2004
    (from memory).
    """
    checked("v_low_pu", v_low_pu, "pu", gt=0)
    checked("v_high_pu", v_high_pu, "pu", gt=v_low_pu)
    checked("f_low_hz", f_low_hz, "Hz", gt=0)
    checked("f_high_hz", f_high_hz, "Hz", gt=f_low_hz)
    q, f0 = checked("quality", quality, gt=0), checked("f0_hz", f0_hz, "Hz", gt=0)
    return Blind(
        dp_low=1 / v_high_pu**2 - 1,
        dp_high=1 / v_low_pu**2 - 1,
        dq_low=q * (1 - (f0 / f_low_hz) ** 2),
        dq_high=q * (1 - (f0 / f_high_hz) ** 2),
    )  # eq. (5.6)


def drift_frequency(load, angle_rad):
    r"""Where an island rests when the inverter pushes its current ahead of the voltage by an angle.

    .. math:: Q_f\left(\frac{f}{f_r} - \frac{f_r}{f}\right) = \tan\theta            (5.7)

    Parameters
    ----------
    load : RlcLoad
    angle_rad : float or array
        Current ahead of voltage: above 0 for active frequency drift upward; with a chopping fraction cf it is pi*cf/2. [rad]

    Returns
    -------
    float or array
        [Hz]
    """
    a = (
        np.tan(checked("angle_rad", angle_rad, "rad", gt=-math.pi / 2, lt=math.pi / 2))
        / load.quality
    )
    return plain(load.resonance_hz / 2 * (a + np.sqrt(a**2 + 4)))  # eq. (5.7)


def smallest_feedback(quality, f0_hz):
    r"""Feedback per Hz above which no island of that quality factor can rest: the angle runs away faster than the load's.

    .. math:: k > \frac{4 Q_f}{\pi f_0}            (5.8)

    Parameters
    ----------
    quality : float
    f0_hz : float
        [Hz]

    Returns
    -------
    float
        Chopping fraction per Hz. [1/Hz]
    """
    return (
        4 * checked("quality", quality, gt=0) / (math.pi * checked("f0_hz", f0_hz, "Hz", gt=0))
    )  # eq. (5.8)


def drift(load, *, f0_hz, chop=0.0, feedback_per_hz=0.0, t_end_s=2.0):
    r"""Frequency of an island, cycle by cycle, under active frequency drift with positive feedback (Sandia frequency shift).

    .. math:: \theta_n = \frac{\pi}{2}\left(cf_0 + k\,(f_n - f_0)\right),\qquad
              f_{n+1} = f_n + \left(1 - e^{-\pi f_0 / (Q_f f_n)}\right)\left(f_\infty(\theta_n) - f_n\right)            (5.9)

    Parameters
    ----------
    load : RlcLoad
    f0_hz : float
        Frequency before the grid left. [Hz]
    chop : float
        Chopping fraction cf_0 at f0. [-]
    feedback_per_hz : float
        k. [1/Hz]
    t_end_s : float
        [s]

    Returns
    -------
    DataFrame, index t_s
        `f_hz` at the end of each cycle. The chopping fraction is held within half a cycle either way.

    Notes
    -----
    The island approaches its resting frequency with the time constant Q_f / (pi f0) of the load's own oscillation. An engineering model: harmonics and
    the controls of the inverter are left out.
    """
    checked("f0_hz", f0_hz, "Hz", gt=0)
    checked("chop", chop, ge=-0.5, le=0.5)
    checked("feedback_per_hz", feedback_per_hz, "1/Hz", ge=0)
    checked("t_end_s", t_end_s, "s", gt=0)
    t, f, times, trace = 0.0, f0_hz, [0.0], [f0_hz]
    while t < t_end_s:
        angle = math.pi / 2 * min(max(chop + feedback_per_hz * (f - f0_hz), -0.5), 0.5)
        f += -math.expm1(-math.pi * f0_hz / (load.quality * f)) * (
            drift_frequency(load, angle) - f
        )  # eq. (5.9)
        t += 1 / f
        times.append(t)
        trace.append(f)
    return pd.DataFrame({"f_hz": trace}, index=pd.Index(times, name="t_s"))
