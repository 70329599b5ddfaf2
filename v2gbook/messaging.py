r"""Topic 06, messaging: a thousand cars get a command; when do they move?

Five parts, each of its own. The session between car and charger (`Session`, `step`, `run_session`, `timeouts`, `services`, `rational`). The profile
between charger and cloud (`setpoint_profile`, `validate`, `composite`). How long a command takes (`stages`, `Link`, `latencies`, `moved`, `judge`,
`delivered`) and what happens when everybody reconnects (`Backoff`, `storm`). How new firmware reaches a fleet (`Rollout`, `wave_odds`, `roll_out`). And
the real thing on loopback sockets: `CentralSystem`, `ChargePoint`, `fleet`, `dispatch`, `measure`, to be awaited in a notebook.

In this course p > 0 flows from the vehicle to the grid. On OCPP's wire it is the other way round: a negative setpoint discharges. The sign changes in
two functions only, `to_wire_w` and `from_wire_kw`. The live part reads the event loop's clock; nothing else here knows the time.
"""

import asyncio
import itertools
import json
import math
import sys
import tomllib
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

import fastjsonschema
import numpy as np
import pandas as pd
from scipy.special import bdtrc, ndtri
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, WebSocketException

from ._check import checked, plain


@contextmanager
def _without(package):
    """Import as if an optional package were not there."""
    absent = package not in sys.modules
    if absent:
        sys.modules[package] = None
    try:
        yield
    finally:
        if absent:
            del sys.modules[package]


with _without(
    "rfc3987_syntax"
):  # a grammar of international addresses that costs jsonschema seconds, and that no schema here asks for
    from ocpp.exceptions import OCPPError
    from ocpp.messages import Call, CallError, CallResult, get_validator, unpack

_FOLDER = Path(__file__).parent / "data" / "messaging"
_ENDED = "ended"


@cache
def _read(name):
    """A file of rules, read once."""
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def _one_of(name, value, known):
    """The value, or a sentence that lists what is known."""
    if value not in known:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(str, known))}")
    return value


# ------------------------------------------------------------------------------------- 1. car and charger: ISO 15118


def timeouts():
    """Time-outs of ISO 15118-2 and -20 side by side: DataFrame `what`, `kind`, `iso2`, `iso2_s`, `iso20`, `iso20_s`. [s]

    They are failure limits, not latencies. Kind "message": the EV waits for one answer; "process": a repeated exchange; "sequence": the EVSE waits
    for the next request. Source: EcoG-io/iso15118, timeouts.py of both parts; the standards were not opened.
    """
    return pd.DataFrame(
        _read("iso15118")["timeouts"],
        columns=["what", "kind", "iso2", "iso2_s", "iso20", "iso20_s"],
    )


def services():
    """Energy services of ISO 15118-20: DataFrame `id`, `bidirectional` (BPT: bidirectional power transfer), index `service`."""
    ids = pd.Series(_read("iso15118")["services"], name="id").rename_axis("service").to_frame()
    return ids.assign(bidirectional=ids.index.str.endswith("_BPT"))


def parameters():
    """Values of the service parameters of ISO 15118-20: control mode, BPT channel, generator mode, islanding detection. A dict of dicts."""
    return {name: dict(values) for name, values in _read("iso15118")["parameters"].items()}


def carries_discharge():
    """Which standard carries discharge: DataFrame `between`, `discharge`, `how`, `source`, index `standard`."""
    rows = pd.DataFrame(
        _read("iso15118")["carries"]["rows"],
        columns=["between", "standard", "discharge", "how", "source"],
    )
    return rows.set_index("standard")


def rational(value):
    r"""A number as ISO 15118-20 sends it: a 16-bit value and a power of ten, exactly.

    .. math:: x = v \cdot 10^{e},\quad -32768 \le v \le 32767,\ -128 \le e \le 127            (6.1)

    Parameters
    ----------
    value : float
        Any number with few enough digits.

    Returns
    -------
    tuple of int
        Value and exponent, with the largest exponent that fits.

    Raises
    ------
    ValueError
        If the number needs more digits than 16 bits hold, or a larger exponent. Nothing is rounded silently.

    References
    ----------
    .. [1] ISO 15118-20, 8.3.5.3.8 (RationalNumberType), as read in EcoG-io/iso15118, common_types.py.

    Examples
    --------
    >>> rational(-22000.0), rational(0.25)
    ((-22, 3), (25, -2))
    """
    if np.ndim(checked("value", value)):
        raise ValueError(f"value is {value!r}; it must be one number")
    value = float(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    whole = int("".join(map(str, digits)))
    while exponent > 127 and whole < 3277:
        whole, exponent = whole * 10, exponent - 1
    whole = -whole if sign else whole
    if not -32768 <= whole <= 32767:
        raise ValueError(
            f"value {value!r} cannot be sent exactly: a RationalNumber is a whole number from -32768 to 32767 times a power of ten. "
            f"Round it first, for example to {float(f'{value:.3e}')!r}"
        )
    if not -128 <= exponent <= 127:
        raise ValueError(
            f"value {value!r} needs the exponent {exponent}; it must be from -128 to 127"
        )
    return whole, exponent  # eq. (6.1)


def from_rational(value, exponent):
    """The number that a RationalNumber stands for: eq. (6.1) without rounding on the way. `value` has 16 and `exponent` 8 bits."""
    for name, number, low, high in (
        ("value", value, -32768, 32767),
        ("exponent", exponent, -128, 127),
    ):
        if int(checked(name, number, ge=low, le=high)) != number:
            raise ValueError(f"{name} is {number!r}; it must be a whole number")
    return float(Decimal(int(value)).scaleb(int(exponent)))


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where a charging session stands. `step` gives the next one.

    Attributes
    ----------
    service, control : str
        "AC", "DC", "AC_BPT" or "DC_BPT"; "Scheduled" (the car follows an agreed plan) or "Dynamic" (the charger commands within the loop).
    state : str
        The exchange that was completed last, "start" or "ended".
    asked : str
        A request that still waits for its answer, or "".
    t_s, since_s : float
        Time of the last message, and of the first request of a repeated exchange (0, plugging in, until the session is set up). [s]
    renegotiating : bool
        Between PowerDelivery(ScheduleRenegotiation) and the next start.
    note : str
        What happened last, in words.
    """

    service: str = "DC_BPT"
    control: str = "Dynamic"
    state: str = "start"
    asked: str = ""
    t_s: float = 0.0
    since_s: float = 0.0
    renegotiating: bool = False
    note: str = ""

    def __post_init__(self):
        _one_of("service", self.service, ("AC", "DC", "AC_BPT", "DC_BPT"))
        _one_of("control", self.control, ("Scheduled", "Dynamic"))

    @property
    def over(self):
        """Whether the session has ended, well or badly."""
        return self.state in (_ENDED, "SessionStop")


@cache
def _patience():
    """Time-outs of -20 by kind and message."""
    return {
        (kind, message): limit_s
        for _, kind, _, _, message, limit_s in _read("iso15118")["timeouts"]
    }


def _name(message):
    """PowerDelivery(Start) without its option."""
    return message.partition("(")[0]


def allowed(session):
    """Requests that the car may send now, a tuple of str: none while an answer is outstanding, none after the end."""
    if session.asked or session.state == _ENDED:
        return ()
    family, rules = session.service[:2], _read("iso15118")["next"]
    state = session.state.replace(f"{family}_Charge", "XX_Charge")
    prefixes = ("renegotiated ",) if session.renegotiating else ()
    key = next(
        key
        for key in (
            *(p + state for p in prefixes),
            f"{session.control} {state}",
            f"{family} {state}",
            state,
        )
        if key in rules
    )
    return tuple(message.replace("XX", family) for message in rules[key])


def deadline(session):
    """When patience ends [s] (infinite when nobody waits), whose ("EV" or "EVSE"), and why, in words: a tuple."""
    if session.over:
        return math.inf, "", ""
    limit = _patience()
    name = _name(session.asked or session.state)
    ends = []
    if session.asked:
        wait_s = limit["message", name]
        ends.append(
            (session.t_s + wait_s, "EV", f"no answer to {session.asked} within {wait_s:g} s")
        )
    elif session.state != "start":
        wait_s = limit.get(("sequence", name), limit["sequence", "SECC sequence"])
        ends.append(
            (
                session.t_s + wait_s,
                "EVSE",
                f"no request within {wait_s:g} s after {name} (sequence time-out)",
            )
        )
    plugged = session.state in ("start", "SupportedAppProtocol")
    process = "SessionSetup" if plugged else name
    if ("process", process) in limit and (
        session.asked or plugged or session.state.endswith("(Ongoing)")
    ):
        wait_s = limit["process", process]
        ends.append((session.since_s + wait_s, "EV", f"{process} not finished within {wait_s:g} s"))
    return min(ends)


def step(session, t_s, sender, message):
    """One message in a session.

    Parameters
    ----------
    session : Session
    t_s : float
        When it arrives, not before the last one. [s]
    sender : str
        "EV" sends requests, "EVSE" answers.
    message : str
        Name of the exchange, for example "DC_ChargeLoop". A request's progress and an answer's processing or code stand in parentheses:
        "PowerDelivery(Start)", "Authorization(Ongoing)", "PowerDelivery(FAILED_ContactorError)".

    Returns
    -------
    Session
        After a request out of order the EVSE answers FAILED_SequenceError and the session has ended; after a time-out it has ended at the
        deadline, and the late message no longer counts.

    Raises
    ------
    ValueError
        If the session is over, time runs backwards, or the sender is unknown.

    References
    ----------
    .. [1] ISO 15118-20 as implemented in EcoG-io/iso15118, secc/states/iso15118_20_states.py and secc_state.py (stop_state_machine). Pausing, standby,
       metering receipts and vehicle positioning are left out.
    """
    _one_of("sender", sender, ("EV", "EVSE"))
    checked("t_s", t_s, "s", ge=session.t_s)
    if session.over:
        raise ValueError(f"message {message!r} comes after the end of the session ({session.note})")
    limit_s, who, why = deadline(session)
    if t_s > limit_s:
        return replace(
            session, state=_ENDED, asked="", t_s=limit_s, note=f"{who} ends the session: {why}"
        )
    if sender == "EV":
        return _asked(session, t_s, message)
    return _answered(session, t_s, message)


def _asked(session, t_s, message):
    """A request has reached the charger."""
    if message not in allowed(session):
        waits = f"an answer to {session.asked}" if session.asked else " or ".join(allowed(session))
        note = f"EVSE answers {_name(message)}(FAILED_SequenceError) and ends the session: it was the turn of {waits}"
        return replace(session, state=_ENDED, asked="", t_s=t_s, note=note)
    new = _name(message) != _name(session.state) and session.state not in (
        "start",
        "SupportedAppProtocol",
    )
    return replace(
        session, asked=message, t_s=t_s, since_s=t_s if new else session.since_s, note=""
    )


def _answered(session, t_s, message):
    """An answer has reached the car."""
    option = message[len(_name(message)) :].strip("()")
    bad = (
        "it did not ask"
        if not session.asked
        else f"it had asked for {session.asked}"
        if _name(message) != _name(session.asked)
        else f"the answer is {option}"
        if option.startswith("FAILED")
        else ""
    )
    if bad:
        return replace(session, state=_ENDED, asked="", t_s=t_s, note=f"EV ends the session: {bad}")
    state = message if option == "Ongoing" else session.asked
    renegotiating = state == "PowerDelivery(ScheduleRenegotiation)" or (
        session.renegotiating and state != "PowerDelivery(Start)"
    )
    note = "the session ends as planned" if state == "SessionStop" else ""
    return replace(session, state=state, asked="", t_s=t_s, renegotiating=renegotiating, note=note)


def run_session(messages, session=None, *, until_s=None):
    """A whole list of messages through the state machine, until the session ends.

    Parameters
    ----------
    messages : list of tuple
        (t_s, sender, message), in order.
    session : Session, optional
        Where to begin. Default: DC_BPT, dynamic control.
    until_s : float, optional
        Watch the silence after the last message until then. [s]

    Returns
    -------
    DataFrame, index `t_s`
        `sender`, `message` ("" for a time-out), `state` after it, `note`. What comes after the end is left out.
    """
    session, rows = session or Session(), []
    for t_s, sender, message in messages:
        session = step(session, t_s, sender, message)
        late = session.t_s < t_s
        rows.append(
            (
                session.t_s,
                session.note.partition(" ")[0] if late else sender,
                "" if late else message,
                session.state,
                session.note,
            )
        )
        if session.over:
            break
    if until_s is not None and deadline(session)[0] < checked("until_s", until_s, "s"):
        limit_s, who, why = deadline(session)
        rows.append((limit_s, who, "", _ENDED, f"{who} ends the session: {why}"))
    return pd.DataFrame(rows, columns=["t_s", "sender", "message", "state", "note"]).set_index(
        "t_s"
    )


def typical_session(session=None, *, loops=3, answer_s=0.05, pause_s=0.1):
    """The messages of a session in which nothing goes wrong, ready to be disturbed and given to `run_session`.

    `session` says service and control, `loops` how often the charge loop turns, `answer_s` and `pause_s` how long it takes from a request to its answer
    and from there to the next request. [s]
    """
    session, onward = (
        session or Session(),
        {"ServiceDetail": "ServiceSelection", "DC_WeldingDetection": "SessionStop"},
    )
    checked("loops", loops, ge=1)
    messages, t_s, turns = [], 0.0, 0
    while not session.over:
        first = allowed(session)[0]
        turns += first.endswith("ChargeLoop")
        request = onward.get(
            session.state,
            "PowerDelivery(Stop)" if first.endswith("ChargeLoop") and turns > loops else first,
        )
        for sender, wait_s in (("EV", pause_s), ("EVSE", answer_s)):
            t_s = round(t_s + wait_s, 9)
            message = request if sender == "EV" else _name(request)
            messages.append((t_s, sender, message))
            session = step(session, t_s, sender, message)
    return messages


# --------------------------------------------------------------------------- 2. charger and cloud: OCPP 2.1 charging profiles

# Table 95 of OCPP 2.1 part 2 and its table of limits and setpoints per operation mode, as coded in EVerest (smart_charging.cpp).
_MODES = (
    "Idle",
    "ChargingOnly",
    "CentralSetpoint",
    "ExternalSetpoint",
    "ExternalLimits",
    "CentralFrequency",
    "LocalFrequency",
    "LocalLoadBalancing",
)
_MODES_OF = {
    "TxProfile": _MODES,
    "TxDefaultProfile": _MODES,
    "PriorityCharging": ("ChargingOnly",),
    "ChargingStationMaxProfile": ("ChargingOnly",),
    "ChargingStationExternalConstraints": ("ChargingOnly", "ExternalLimits", "ExternalSetpoint"),
    "LocalGeneration": ("ChargingOnly", "ExternalLimits"),
}
_NEEDS = {
    "ChargingOnly": ("limit",),
    "CentralSetpoint": ("setpoint",),
    "CentralFrequency": ("setpoint",),
}
_MAY = {
    "CentralSetpoint": ("limit", "dischargeLimit", "setpointReactive"),
    "CentralFrequency": ("limit", "dischargeLimit"),
    "ExternalSetpoint": ("limit", "dischargeLimit"),
}
_QUANTITIES = ("limit", "dischargeLimit", "setpoint", "setpointReactive")
_PHASES = ("", "_L2", "_L3")
_CEILINGS = ("ChargingStationMaxProfile", "ChargingStationExternalConstraints")


def to_wire_w(p_kw):
    r"""The course's power as OCPP and ISO 15118 want it: watts, charging positive.

    .. math:: P_{wire} = -1000\,p            (6.2)

    Parameters
    ----------
    p_kw : float or array
        p > 0 flows from the vehicle to the grid. [kW]

    Returns
    -------
    float or array
        Negative values discharge. [W]
    """
    return plain(
        -1000.0 * np.asarray(checked("p_kw", p_kw, "kW")) + 0.0
    )  # eq. (6.2); + 0.0 turns -0.0 into 0.0


def from_wire_kw(power_w):
    """Power on the wire (W, charging positive) as the course counts it: eq. (6.2) backwards. p > 0 flows from the vehicle to the grid. [kW]"""
    return plain(np.asarray(checked("power_w", power_w, "W")) / -1000.0 + 0.0)


def setpoint_profile(profile_id, p_kw, *, transaction="tx", start="2026-01-01T00:00:00Z"):
    """A ChargingProfileType of OCPP 2.1 with one set-point, as a dict with the wire's names.

    `profile_id` is its number (a later one replaces an earlier one), `p_kw` > 0 flows from the vehicle to the grid [kW], `transaction` and `start` say
    which charging transaction and from when.
    """
    period = {"startPeriod": 0, "operationMode": "CentralSetpoint", "setpoint": to_wire_w(p_kw)}
    schedule = {
        "id": 1,
        "startSchedule": start,
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": [period],
    }
    return {
        "id": profile_id,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Absolute",
        "transactionId": transaction,
        "chargingSchedule": [schedule],
    }


def validate(profile):
    """Everything that is wrong with a charging profile, in plain sentences.

    Parameters
    ----------
    profile : dict
        A ChargingProfileType of OCPP 2.1 with the wire's own names.

    Returns
    -------
    list of str
        Empty when the profile may be used. Structure comes first: while it is wrong, nothing else is looked at.

    Notes
    -----
    What a station can or cannot do (switch phases, sleep, local time) is not asked here, nor what it has stored.

    References
    ----------
    .. [1] OCPP 2.1 Edition 1, schema SetChargingProfileRequest, in the package `ocpp`.
    .. [2] OCPP 2.1 part 2, K01 and Q08, as coded in EVerest libocpp, smart_charging.cpp.
    """
    request, (explain, accepts) = {"evseId": 1, "chargingProfile": profile}, _schema()
    wrong = (
        []
        if accepts(request)
        else [f"{_place(error)}: {error.message}" for error in explain(request)]
    )
    return wrong or _profile_rules(profile) + [
        problem
        for schedule in profile["chargingSchedule"]
        for problem in _schedule_rules(profile, schedule)
    ]


@cache
def _schema():
    """Two readings of the schema: all its errors in words, and a quick yes (a fleet asks hundreds of times a second)."""
    schema = get_validator(2, "SetChargingProfile", "2.1")
    quick = fastjsonschema.compile(schema.schema)

    def accepts(request):
        try:
            quick(request)
        except fastjsonschema.JsonSchemaValueException:
            return False
        return True

    return schema.iter_errors, accepts


def _place(error):
    """Where a schema was broken: chargingSchedule.0.id."""
    return ".".join(map(str, list(error.absolute_path)[1:])) or "profile"


def _profile_rules(profile):
    """Rules that look at the profile as a whole."""
    purpose, kind = profile["chargingProfilePurpose"], profile["chargingProfileKind"]
    rules = (
        (
            purpose == "TxProfile" and "transactionId" not in profile,
            "a TxProfile needs the transactionId that it belongs to",
        ),
        (
            purpose != "TxProfile" and "transactionId" in profile,
            f"transactionId belongs to a TxProfile, not to {purpose}",
        ),
        (
            purpose == "ChargingStationMaxProfile" and kind == "Relative",
            "ChargingStationMaxProfile cannot be Relative: there is nothing to start from",
        ),
        (
            kind != "Dynamic" and {"dynUpdateInterval", "dynUpdateTime"} & set(profile),
            f"dynUpdate... belongs to the kind Dynamic, not to {kind}",
        ),
        (
            (kind == "Recurring") != ("recurrencyKind" in profile),
            "recurrencyKind belongs to the kind Recurring, which needs it",
        ),
    )
    return [words for broken, words in rules if broken]


def _schedule_rules(profile, schedule):
    """Rules of one schedule and of its periods."""
    purpose, kind, periods = (
        profile["chargingProfilePurpose"],
        profile["chargingProfileKind"],
        schedule["chargingSchedulePeriod"],
    )
    starts, where = [period["startPeriod"] for period in periods], f"schedule {schedule['id']}"
    rules = (
        (
            kind in ("Absolute", "Recurring") and "startSchedule" not in schedule,
            f"the kind {kind} needs startSchedule",
        ),
        (
            kind == "Relative" and "startSchedule" in schedule,
            "a Relative schedule starts with its transaction; it has no startSchedule",
        ),
        (
            purpose == "PriorityCharging" and "duration" in schedule,
            "PriorityCharging has no duration",
        ),
        (
            purpose not in ("TxProfile", "TxDefaultProfile")
            and schedule.get("randomizedDelay", 0) > 0,
            f"randomizedDelay is not for {purpose}",
        ),
        (starts[0] != 0, f"the first startPeriod is {starts[0]}; it must be 0"),
        (
            any(b <= a for a, b in itertools.pairwise(starts)),
            f"the periods are out of order: {starts}; each must start after the one before",
        ),
        (
            starts[-1] >= schedule.get("duration", math.inf),
            f"the last period starts at {starts[-1]} s, when the schedule is over",
        ),
    )
    wrong = [f"{where}: {words}" for broken, words in rules if broken]
    return wrong + [
        f"{where}, period at {period['startPeriod']} s: {words}"
        for period in periods
        for words in _period_rules(purpose, schedule["chargingRateUnit"], period)
    ]


def _period_rules(purpose, unit, period):
    """Rules of one period: does the mode have what it needs, and do the numbers agree with each other?"""
    mode = period.get("operationMode", "ChargingOnly")
    needs, may = _NEEDS.get(mode, ()), _MAY.get(mode, ())
    curve = period.get("v2xFreqWattCurve", ())
    hertz = [point["frequency"] for point in curve]
    wrong = [f"the mode {mode} needs {name}" for name in needs if name not in period]
    wrong += [
        f"the mode {mode} takes no {name}"
        for name in _QUANTITIES
        if name in period and name not in needs + may
    ]
    if mode not in _MODES_OF[purpose]:
        wrong.append(f"{purpose} cannot be in the mode {mode}")
    if mode == "LocalFrequency":
        wrong += ["LocalFrequency works in W, not in A"] if unit != "W" else []
        wrong += ["LocalFrequency needs v2xBaseline"] if "v2xBaseline" not in period else []
        wrong += (
            [f"LocalFrequency needs a v2xFreqWattCurve of at least two points, not {len(curve)}"]
            if len(curve) < 2
            else []
        )
        wrong += (
            [f"the frequencies of the curve do not rise: {hertz}"]
            if any(b <= a for a, b in itertools.pairwise(hertz))
            else []
        )
    if "phaseToUse" in period and period.get("numberPhases") != 1:
        wrong.append("phaseToUse needs numberPhases = 1")
    signs = {
        math.copysign(1, period[name])
        for name in (f"setpoint{phase}" for phase in _PHASES)
        if period.get(name)
    }
    if len(signs) > 1:
        wrong.append(
            "the setpoints of the phases have different signs: one phase would charge while another discharges"
        )
    return wrong + [words for phase in _PHASES for words in _number_rules(period, phase)]


def _number_rules(period, phase):
    """Rules for the numbers of one phase."""
    low, point, high = (
        period.get(f"{name}{phase}") for name in ("dischargeLimit", "setpoint", "limit")
    )
    unusable = [
        f"{name}{phase} is {period[name + phase]}, not a finite number"
        for name in _QUANTITIES
        if not math.isfinite(period.get(name + phase, 0.0))
    ]
    rules = (
        (
            high is not None and high < 0,
            f"limit{phase} is {high}; charging limits are not negative, discharge has dischargeLimit",
        ),
        (
            point is not None and high is not None and point > high,
            f"setpoint{phase} {point} is above its own limit {high}",
        ),
        (
            point is not None and low is not None and point < low,
            f"setpoint{phase} {point} is beyond its own dischargeLimit {low}",
        ),
    )
    return unusable or [words for broken, words in rules if broken]


def _stamp_s(text):
    """Seconds of a time stamp; without a zone it is universal time."""
    stamp = datetime.fromisoformat(text)
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


def _course(profile, begins_s, plugged_s, seconds):
    """Limit, discharge limit, setpoint and mode of one profile at each second, NaN and "" where it says nothing."""
    schedule, t_s = profile["chargingSchedule"][0], begins_s + np.arange(seconds)
    since_s = t_s - (
        _stamp_s(schedule["startSchedule"]) if "startSchedule" in schedule else plugged_s
    )
    speaks = since_s >= 0
    if profile["chargingProfileKind"] == "Recurring":
        since_s = since_s % {"Daily": 86_400, "Weekly": 604_800}[profile["recurrencyKind"]]
    speaks &= since_s < schedule.get("duration", math.inf)
    if "validFrom" in profile:
        speaks &= t_s >= _stamp_s(profile["validFrom"])
    if "validTo" in profile:
        speaks &= t_s < _stamp_s(profile["validTo"])
    periods = schedule["chargingSchedulePeriod"]
    which = np.clip(
        np.searchsorted([period["startPeriod"] for period in periods], since_s, side="right") - 1,
        0,
        None,
    )
    course = {
        name: np.array([period.get(name, math.nan) for period in periods], dtype=float)[which]
        for name in _QUANTITIES[:3]
    }
    frame = pd.DataFrame(
        course
        | {
            "mode": np.array(
                [period.get("operationMode", "ChargingOnly") for period in periods], dtype=object
            )[which]
        }
    )
    frame["profile"] = float(profile["id"])
    frame.loc[~speaks, :] = [math.nan, math.nan, math.nan, "", math.nan]
    return frame


def composite(profiles, *, start, duration_s, plugged=None):
    r"""What a charger has to do, second by second, when several profiles apply.

    Within one purpose the profile with the highest stackLevel that has something to say leads. TxProfile replaces TxDefaultProfile, PriorityCharging
    replaces both. Then the tightest limits of the purposes count, and the setpoint stays within them:

    .. math:: P_{max} = \min_u P_{max,u},\quad P_{min} = \max_u P_{min,u},\quad P^* = \min(\max(P^*_{tx}, P_{min}), P_{max})            (6.3)

    Parameters
    ----------
    profiles : list of dict
        ChargingProfileType of OCPP 2.1, all in W or all in A, each with one schedule, one station with one EVSE.
    start : str
        Time stamp of the first second.
    duration_s : int
        How many seconds.
    plugged : str, optional
        When the transaction began, for Relative profiles. Default: `start`.

    Returns
    -------
    DataFrame, index `t_s`, shape (duration_s, 5)
        `limit`, `dischargeLimit`, `setpoint` in the profiles' own unit **and sign** (charging positive), NaN where nobody says anything, `mode` and
        `profile` (its id, NaN for none) of the one that leads the transaction.

    Raises
    ------
    ValueError
        If a profile is not valid, units differ, two profiles share purpose and stackLevel, or one is LocalGeneration (not modelled).

    References
    ----------
    .. [1] OCPP 2.1 part 2, K, "Stacking charging profiles", "Combining charging profile purposes", as coded in libocpp (profile.cpp) and ocpp-kit.
       That PriorityCharging replaces a TxProfile is from memory.
    """
    _mergeable(profiles)
    seconds = int(checked("duration_s", duration_s, "s", ge=1))
    begins_s = _stamp_s(start)
    plugged_s = _stamp_s(plugged or start)
    leading = {purpose: _empty(seconds) for purpose in _MODES_OF}
    for profile in sorted(profiles, key=lambda p: -p["stackLevel"]):
        purpose = profile["chargingProfilePurpose"]
        leading[purpose] = _instead(
            leading[purpose], _course(profile, begins_s, plugged_s, seconds)
        )
    frame = _instead(
        _instead(leading["PriorityCharging"], leading["TxProfile"]), leading["TxDefaultProfile"]
    )
    for ceiling in (leading[purpose] for purpose in _CEILINGS):
        frame["limit"] = np.fmin(frame["limit"], ceiling["limit"])  # eq. (6.3)
        frame["dischargeLimit"] = np.fmax(frame["dischargeLimit"], ceiling["dischargeLimit"])
    bounded = np.fmin(np.fmax(frame["setpoint"], frame["dischargeLimit"]), frame["limit"])
    frame["setpoint"] = np.where(frame["setpoint"].isna(), math.nan, bounded)
    return frame.rename_axis("t_s")


def _empty(seconds):
    """Nobody says anything."""
    return pd.DataFrame(
        {name: np.full(seconds, math.nan) for name in _QUANTITIES[:3]}
        | {"mode": "", "profile": math.nan}
    )


def _instead(first, second):
    """The first where it speaks, else the second."""
    return first.where(first["profile"].notna(), second)


def _mergeable(profiles):
    """Refuse what `composite` cannot merge."""
    for profile in profiles:
        wrong = validate(profile)
        if wrong:
            raise ValueError(f"profile {profile.get('id', '?')} is not valid: {wrong[0]}")
        if (
            profile["chargingProfilePurpose"] == "LocalGeneration"
            or len(profile["chargingSchedule"]) > 1
        ):
            raise ValueError(
                f"profile {profile['id']}: LocalGeneration, and more than one schedule to choose from, are not modelled here"
            )
    units = {profile["chargingSchedule"][0]["chargingRateUnit"] for profile in profiles}
    if len(units) > 1:
        raise ValueError(
            "profiles mix A and W; which power a current is depends on voltage and phases, so give all in one unit"
        )
    places = [(profile["chargingProfilePurpose"], profile["stackLevel"]) for profile in profiles]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice:
        raise ValueError(
            f"profiles: two of them are {twice[0]} with stackLevel {twice[1]}; which one leads is undefined"
        )


# ------------------------------------------------------------------------------------------------ 3. how long it takes


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of the way from frequency to power.

    Attributes
    ----------
    name : str
    median_s, p95_s : float
        Half of all passages, and 95 of 100, take at most this long. [s]
    kind : str
        "lognormal" (a long tail), or "uniform" around the median (waiting for the next turn of a loop).
    shared : bool
        It happens once for the whole fleet, so that no car is spared when it is slow.
    source : str
        Where the numbers come from.
    """

    name: str
    median_s: float
    p95_s: float
    kind: str = "lognormal"
    shared: bool = False
    source: str = ""

    def __post_init__(self):
        checked("p95_s", self.p95_s, "s", ge=checked("median_s", self.median_s, "s", gt=0))
        _one_of("kind", self.kind, ("lognormal", "uniform"))
        if self.kind == "uniform" and self.p95_s > 1.9 * self.median_s:
            raise ValueError(
                f"p95_s is {self.p95_s:g} s; a uniform stage around {self.median_s:g} s would begin before 0, so p95_s must be at most 1.9 medians"
            )

    def quantile_s(self, share):
        r"""The time that a share of passages needs.

        .. math:: x_q = m\,\left(\frac{x_{95}}{m}\right)^{z_q/z_{95}}            (6.4)

        Parameters
        ----------
        share : float or array
            0..1. [-]

        Returns
        -------
        float or array
            [s]
        """
        share = np.asarray(checked("share", share, ge=0, le=1))
        if self.kind == "uniform":
            return plain(self.median_s + (self.p95_s - self.median_s) * (share - 0.5) / 0.45)
        return plain(
            self.median_s * (self.p95_s / self.median_s) ** (ndtri(share) / ndtri(0.95))
        )  # eq. (6.4)


def stages(path="central"):
    """The stages of the course's example, a tuple of `Stage`; every one is illustrative, as its `source` says.

    `path` "central": a cloud decides. "local": the charger measures frequency itself and needs no message.
    """
    _one_of("path", path, ("central", "local"))
    rows = [row for row in _read("latency")["stages"] if path == "central" or row["path"] == "both"]
    return tuple(
        Stage(**{key: value for key, value in row.items() if key != "path"}) for row in rows
    )


def budget(way):
    """What each `Stage` of a way takes, and the sums: DataFrame `median_s`, `p95_s`, `p99_s`, index `stage`, last row `sum`. [s]

    The sum of the stages' P99 is not the P99 of the sum: hardly ever are all of them slow at once.
    """
    rows = {stage.name: [stage.quantile_s(share) for share in (0.5, 0.95, 0.99)] for stage in way}
    frame = pd.DataFrame(rows, index=["median_s", "p95_s", "p99_s"]).T.rename_axis("stage")
    frame.loc["sum"] = frame.sum()
    return frame


def limits():
    """What services ask: DataFrame `limit_s`, `signal` ("local" frequency at the plug, or a "central" set-point), `source`, index `service`."""
    return pd.DataFrame(_read("latency")["limits"]).set_index("name").rename_axis("service")


@dataclass(frozen=True, kw_only=True)
class Link:
    """How commands travel to a fleet.

    Attributes
    ----------
    way : tuple of Stage
    loss : float
        Probability that one attempt is lost (the command or its answer). 0..1 (below 1).
    retry_s : float
        The sender repeats after this. [s]
    attempts : int
        And gives up after so many. [-]
    calls_per_s : float
        Commands that the central system sends per second; infinite: all at once. [1/s]
    """

    way: tuple
    loss: float = 0.0
    retry_s: float = 2.0
    attempts: int = 5
    calls_per_s: float = math.inf

    def __post_init__(self):
        checked("loss", self.loss, "(a fraction)", ge=0, lt=1)
        checked("retry_s", self.retry_s, "s", gt=0)
        checked("attempts", self.attempts, ge=1)
        checked("calls_per_s", self.calls_per_s, "1/s", gt=0, finite=False)


def latencies(link, cars, *, rng, trials=1):
    r"""How long each car of a fleet takes to act on a command, by Monte Carlo.

    .. math:: T_i = \sum_{shared} X + \frac{i}{c} + K_i\,T_r + \sum_{own} X_i,\quad P(K_i \ge k) = q^k            (6.5)

    Parameters
    ----------
    link : Link
    cars : int
        i = 0 is served first.
    rng : numpy.random.Generator
    trials : int
        How many commands.

    Returns
    -------
    array, shape (trials, cars)
        Infinite for a car that never hears of it: all attempts lost, with probability :math:`q^{attempts}`. [s]
    """
    cars, trials = int(checked("cars", cars, ge=1)), int(checked("trials", trials, ge=1))
    lost = (
        np.floor(np.log1p(-rng.random((trials, cars))) / math.log(link.loss))
        if link.loss
        else np.zeros((trials, cars))
    )
    total = np.arange(cars) / link.calls_per_s + lost * link.retry_s  # eq. (6.5)
    for stage in link.way:
        total = total + stage.quantile_s(rng.random((trials, 1 if stage.shared else cars)))
    return np.where(lost < link.attempts, total, math.inf)


def moved(latency_s, t_s):
    r"""Share of the cars that have acted by a time.

    .. math:: F(t) = \frac{1}{n}\,\left|\{i : T_i \le t\}\right|            (6.6)

    Parameters
    ----------
    latency_s : array
        From `latencies`; infinite is never. [s]
    t_s : float or array
        [s]

    Returns
    -------
    float or array
        0..1.
    """
    ordered = np.sort(checked("latency_s", latency_s, "s", ge=0, finite=False), axis=None)
    return plain(
        np.searchsorted(ordered, checked("t_s", t_s, "s"), side="right") / ordered.size
    )  # eq. (6.6)


def needed_s(latency_s, share=0.99):
    """Time after which a `share` (0..1) of all commands have been acted on: eq. (6.6) backwards. Infinite if too many never arrive. [s]"""
    ordered = np.sort(checked("latency_s", latency_s, "s", ge=0, finite=False), axis=None)
    return float(ordered[math.ceil(checked("share", share, gt=0, le=1) * ordered.size - 1e-9) - 1])


def judge(latency_s, share=0.99):
    """Which services a fleet is fast enough for.

    Parameters
    ----------
    latency_s : float or array
        One sum of a budget, or what `latencies` drew. [s]
    share : float
        How many of the commands have to be in time. The P99 is 0.99.

    Returns
    -------
    DataFrame, index `service`
        `signal`, `limit_s`, `needed_s`, `margin_s` and `in_time` (a margin of 0 is in time, and no margin).
    """
    frame = limits()[["signal", "limit_s"]].assign(needed_s=needed_s(latency_s, share))
    frame["margin_s"] = (frame.limit_s - frame.needed_s).round(9)
    return frame.assign(in_time=frame.margin_s >= 0)


def delivered(signal_kw, latency_s, *, step_s, newest=True):
    """What a fleet delivers that follows a signal with late and lost set-points.

    Parameters
    ----------
    signal_kw : array, shape (steps,)
        Power asked of the whole fleet at each step; each car takes an equal part. p > 0 flows from the vehicle to the grid. [kW]
    latency_s : array, shape (steps, cars)
        When each car acts on each set-point, from `latencies(..., trials=steps)`; infinite is never. [s]
    step_s : float
        From one set-point to the next. [s]
    newest : bool
        A set-point carries a number, and an older one that arrives late is dropped. False: whatever arrives last counts.

    Returns
    -------
    DataFrame, index `t_s`
        `signal_kw`, `delivered_kw`. A car delivers nothing before its first set-point and holds the last one it got.
    """
    signal = np.atleast_1d(checked("signal_kw", signal_kw, "kW"))
    late = np.asarray(checked("latency_s", latency_s, "s", ge=0, finite=False))
    if late.ndim != 2 or len(late) != len(signal):
        raise ValueError(
            f"latency_s has the shape {late.shape}; it must have one row for each of the {len(signal)} steps and one column a car"
        )
    checked("step_s", step_s, "s", gt=0)
    arrival = np.arange(len(signal))[:, None] + late / step_s
    sent, car = np.nonzero(arrival <= len(signal) - 1)
    order = np.lexsort((sent, arrival[sent, car])) if not newest else np.arange(len(sent))
    sent, car = sent[order], car[order]
    at = np.ceil(arrival[sent, car] - 1e-9).astype(int)
    held = np.full(late.shape, -1)
    held[at, car] = (
        sent  # of several in one step the last one stays: the newest, or the one that came last
    )
    if newest:
        held = np.maximum.accumulate(held, axis=0)
    else:
        filled = np.maximum.accumulate(
            np.where(held >= 0, np.arange(len(signal))[:, None], -1), axis=0
        )
        held = np.where(filled >= 0, np.take_along_axis(held, np.maximum(filled, 0), axis=0), -1)
    power = np.append(signal, 0.0)[held].mean(axis=1)  # -1 points at the 0.0
    return pd.DataFrame(
        {"signal_kw": signal, "delivered_kw": power},
        index=pd.Index(np.arange(len(signal)) * step_s, name="t_s"),
    )


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before connecting again: doubled after each failure, plus a random part that pulls a fleet apart.

    Attributes
    ----------
    wait_s : float
        First wait (RetryBackOffWaitMinimum). [s]
    random_s : float
        Up to this is added each time (RetryBackOffRandomRange). [s]
    doublings : int
        The wait stays the same after so many (RetryBackOffRepeatTimes). [-]
    """

    wait_s: float = 10.0
    random_s: float = 10.0
    doublings: int = 3

    def __post_init__(self):
        checked("wait_s", self.wait_s, "s", gt=0)
        checked("random_s", self.random_s, "s", ge=0)
        checked("doublings", self.doublings, ge=0)

    def delay_s(self, failures, rng):
        r"""Wait before the next attempt.

        .. math:: w_k = w_0\,2^{\min(k, k_{max})} + U(0, r)            (6.7)

        Parameters
        ----------
        failures : int or array of int
            k, attempts that have failed since the last connection. [-]
        rng : numpy.random.Generator

        Returns
        -------
        float or array
            [s]

        References
        ----------
        .. [1] OCPP 2.0.1 part 4, 5.3, and test case TC_B_57_CS of part 6 (the wait doubles). Adding the random part once each time is from memory.
        """
        failures = np.asarray(checked("failures", failures, ge=0))
        return plain(
            self.wait_s * 2.0 ** np.minimum(failures, self.doublings)
            + self.random_s * rng.random(failures.shape)
        )  # eq. (6.7)


def storm(cars, per_s, backoff, *, rng, until_s=600):
    """A reconnect storm: a whole fleet is cut off at t = 0, the central system is back at once, each car comes after its first wait.

    `per_s` connections are accepted in a second, the rest is turned away and waits longer. [1/s] Returns a DataFrame, index `t_s`: `attempts` and
    `accepted` in each second until `until_s`, and `connected` so far.
    """
    cars, per_s = int(checked("cars", cars, ge=1)), int(checked("per_s", per_s, "1/s", ge=1))
    failures, rows = np.zeros(cars), []
    due_s = np.broadcast_to(backoff.delay_s(failures, rng), cars).copy()
    for t_s in range(int(checked("until_s", until_s, "s", ge=1))):
        at_door = np.flatnonzero(due_s < t_s + 1)
        at_door = at_door[np.argsort(due_s[at_door], kind="stable")]
        away = at_door[per_s:]
        due_s[at_door[:per_s]] = math.inf
        if away.size:
            failures[away] += 1
            due_s[away] = t_s + backoff.delay_s(failures[away], rng)
        rows.append((len(at_door), min(len(at_door), per_s)))
    frame = pd.DataFrame(rows, columns=["attempts", "accepted"]).rename_axis("t_s")
    return frame.assign(connected=frame.accepted.cumsum())


# ------------------------------------------------------------------------------------------------ 4. new firmware


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """New firmware in waves, and when to stop.

    Attributes
    ----------
    waves : tuple of int
        Cars in each wave: a few first. [-]
    abort : float
        Stop when more than this share of a wave reports a failure. 0..1.
    reported : float
        Probability that a failure is noticed before the next wave. 0..1.
    rolled_back : float
        Probability that a failed car comes back by itself when the release is withdrawn. 0..1.
    """

    waves: tuple
    abort: float
    reported: float = 1.0
    rolled_back: float = 0.95

    def __post_init__(self):
        if np.any(np.mod(np.atleast_1d(checked("waves", self.waves, ge=1)), 1)):
            raise ValueError(f"waves are {self.waves}; they must be whole numbers of cars")
        for name in ("abort", "reported", "rolled_back"):
            checked(name, getattr(self, name), "(a fraction)", ge=0, le=1)


def wave_odds(plan, failure):
    r"""Probability that a release is stopped, wave by wave, and how many cars it reaches.

    .. math:: P_w = \sum_{j > \lfloor a n_w \rfloor} \binom{n_w}{j} (pd)^j (1-pd)^{n_w-j},\quad E[N] = \sum_w n_w \prod_{v<w} (1 - P_v)            (6.8)

    Parameters
    ----------
    plan : Rollout
    failure : float
        Probability that the release breaks a car. For a bad release the odds are of a catch; for the normal rate of mishaps, of a false alarm. 0..1.

    Returns
    -------
    DataFrame, index `wave` (from 1)
        `cars`, `allowed` (reports that do not stop it), `p_stop` (if the wave is reached), `p_reached`, `p_stopped` (so far), `exposed` (cars that have
        the release, on average so far).
    """
    seen = checked("failure", failure, "(a fraction)", ge=0, le=1) * plan.reported
    cars = np.array(plan.waves, dtype=float)
    permitted = np.floor(plan.abort * cars + 1e-9)
    p_stop = np.where(
        permitted < cars, bdtrc(np.minimum(permitted, cars - 1), cars.astype(int), seen), 0.0
    )  # eq. (6.8)
    reached = np.concatenate(([1.0], np.cumprod(1 - p_stop)[:-1]))
    columns = {
        "cars": cars.astype(int),
        "allowed": permitted.astype(int),
        "p_stop": p_stop,
        "p_reached": reached,
        "p_stopped": 1 - reached * (1 - p_stop),
        "exposed": np.cumsum(cars * reached),
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(1, len(cars) + 1, name="wave"))


def roll_out(plan, failure, *, rng):
    """One roll-out as it may go.

    Parameters
    ----------
    plan : Rollout
    failure : float
        Probability that the release breaks a car. 0..1.
    rng : numpy.random.Generator

    Returns
    -------
    DataFrame, index `wave` (from 1)
        `updated`, `failed`, `reported`, `stopped`, and `left_broken`: failed cars of all waves so far that need a visit, after the release is
        withdrawn when stopped, and with nothing withdrawn otherwise. Waves after the stop are missing.
    """
    checked("failure", failure, "(a fraction)", ge=0, le=1)
    rows, broken = [], 0
    for cars, permitted in zip(plan.waves, wave_odds(plan, failure).allowed, strict=True):
        failed = int(rng.binomial(cars, failure))
        reports = int(rng.binomial(failed, plan.reported))
        broken, stopped = broken + failed, reports > permitted
        left = int(rng.binomial(broken, 1 - plan.rolled_back)) if stopped else broken
        rows.append((cars, failed, reports, stopped, left))
        if stopped:
            break
    frame = pd.DataFrame(rows, columns=["updated", "failed", "reported", "stopped", "left_broken"])
    return frame.set_index(pd.RangeIndex(1, len(rows) + 1, name="wave"))


# ------------------------------------------------------------------------- 5. live: a central system and its charge points

_SUBPROTOCOL = "ocpp2.1"
_SOCKET = {"compression": None, "ping_interval": None, "close_timeout": 1.0}
_BEHAVIOURS = ("honest", "liar", "garbage", "silent")


class _Wire:
    """One WebSocket, both ways: frames of the package `ocpp`, and one call in flight a side, as OCPP asks.

    `handlers` maps an action to a function of the payload that returns the answer's payload, raises ValueError to refuse, or returns None for no
    answer at all. `refuse(what, detail)` hears of everything that is not OCPP.
    """

    def __init__(self, socket, handlers, refuse):
        self.socket, self.handlers, self.refuse = socket, handlers, refuse
        self.waiting, self.turn, self.numbers = {}, asyncio.Lock(), itertools.count(1)

    async def call(self, action, payload, timeout_s):
        """Send a call and await its answer (CallResult or CallError). TimeoutError or ConnectionClosed when there is none."""
        async with self.turn:
            number, answer = str(next(self.numbers)), asyncio.get_running_loop().create_future()
            self.waiting[number] = answer
            try:
                await self.socket.send(Call(number, action, payload).to_json())
                async with asyncio.timeout(timeout_s):
                    return await answer
            finally:
                del self.waiting[number]

    async def serve(self):
        """Read until the link is cut, then tell everybody who still waits."""
        try:
            async for text in self.socket:
                await self._receive(text)
        finally:
            for answer in self.waiting.values():
                if not answer.done():
                    answer.set_exception(ConnectionClosed(None, None))

    async def _receive(self, text):
        try:
            message = unpack(text)
            if not isinstance(message.unique_id, str):
                raise TypeError("a message's id is text")
            answer = self.waiting.get(message.unique_id) if not isinstance(message, Call) else None
            handler = self.handlers.get(message.action) if isinstance(message, Call) else None
        except (
            OCPPError,
            TypeError,
            ValueError,
            RecursionError,
        ):  # not JSON, not a frame, an action that is a list
            return self.refuse("not OCPP", str(text)[:60])
        if not isinstance(message, Call):
            if answer is None or answer.done():
                return self.refuse("answer to nothing", str(text)[:60])
            return answer.set_result(message)
        try:
            payload = handler(message.payload)
        except Exception as problem:  # whatever a stranger sent, the others are served
            self.refuse("refused call", f"{message.action}: {problem!r}"[:120])
            code = "FormatViolation" if handler else "NotImplemented"
            return await self.socket.send(CallError(message.unique_id, code, "", {}).to_json())
        if payload is not None:
            await self.socket.send(
                payload
                if isinstance(payload, str)
                else message.create_call_result(payload).to_json()
            )


def _now():
    """A time stamp for the wire."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of a set-point.

    Attributes
    ----------
    status : str
        "accepted" (the charge point has stored it), "rejected", "superseded" (a newer one overtook it) or "unanswered".
    number, attempts : int
        Number of the set-point, and how often it was sent.
    latency_s : float
        From the order until it was acknowledged or given up. [s]
    """

    status: str
    number: int
    attempts: int
    latency_s: float


class _Station:
    """What the central system knows of one charge point."""

    def __init__(self):
        self.wire, self.online = None, asyncio.Event()
        self.number, self.sent, self.meter_kw = 0, {}, math.nan


class CentralSystem:
    """A small charging-station management system on loopback: `async with CentralSystem() as central`.

    Every set-point has a number that only grows. One that is not acknowledged is sent again, on the next connection if need be, until it is
    acknowledged, overtaken, or `give_up_s` is over. Charge points know the number and act on it once.

    Parameters
    ----------
    answer_s : float
        Patience for one answer. [s]
    heartbeat_s : int
        What charge points are told to keep. [s]
    tolerance_kw : float
        A meter may differ from its set-point by this much before the charge point is called a liar. [kW]

    Attributes
    ----------
    url : str
        Address, with a free port that the operating system chose.
    meter_kw : dict
        Latest meter value of each charge point. p > 0 flows from the vehicle to the grid. [kW]
    log : DataFrame, index `t_s`
        `point`, `event`, `detail`: connections, cuts, refusals (the last 10,000). [s]
    """

    def __init__(self, *, answer_s=2.0, heartbeat_s=60, tolerance_kw=0.1):
        self.answer_s, self.heartbeat_s = (
            checked("answer_s", answer_s, "s", gt=0),
            int(checked("heartbeat_s", heartbeat_s, "s", ge=1)),
        )
        self.tolerance_kw = checked("tolerance_kw", tolerance_kw, "kW", ge=0)
        self._stations, self._events, self.heartbeats = {}, deque(maxlen=10_000), 0

    async def __aenter__(self):
        _schema()  # read before anybody waits for it
        self._began_s = asyncio.get_running_loop().time()
        self._server = await serve(
            self._connected, "127.0.0.1", 0, subprotocols=[_SUBPROTOCOL], **_SOCKET
        )
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

    @property
    def log(self):
        return pd.DataFrame(
            list(self._events), columns=["t_s", "point", "event", "detail"]
        ).set_index("t_s")

    @property
    def meter_kw(self):
        return {point: station.meter_kw for point, station in self._stations.items()}

    def _note(self, point, event, detail=""):
        self._events.append(
            (round(asyncio.get_running_loop().time() - self._began_s, 4), point, event, detail)
        )

    def _station(self, point):
        return self._stations.setdefault(point, _Station())

    async def _connected(self, socket):
        """One connection, from the handshake to the cut."""
        point = socket.request.path.rpartition("/")[2]
        station = self._station(point)
        wire = _Wire(
            socket,
            {
                "BootNotification": lambda payload: self._booted(point, wire),
                "Heartbeat": self._heartbeat,
                "MeterValues": lambda payload: self._metered(point, payload),
            },
            lambda what, detail: self._note(point, what, detail),
        )
        if station.wire:
            await station.wire.socket.close(
                1008, "replaced"
            )  # a second connection with the same name wins
        try:
            await wire.serve()
        except ConnectionClosed:
            pass
        finally:
            self._lost(point, wire)

    def _booted(self, point, wire):
        station = self._station(point)
        station.wire = wire
        station.online.set()
        self._note(point, "connected")
        return {"currentTime": _now(), "interval": self.heartbeat_s, "status": "Accepted"}

    def _lost(self, point, wire):
        station = self._station(point)
        if station.wire is wire:
            station.wire = None
            station.online.clear()
            self._note(point, "disconnected")

    def _heartbeat(self, _):
        self.heartbeats += 1
        return {"currentTime": _now()}

    def _metered(self, point, payload):
        """Believe a meter only if it agrees with the set-point that it says it follows."""
        station, number = self._station(point), payload.get("customData", {}).get("setpoint")
        sample = payload["meterValue"][0]["sampledValue"][0]
        export = {"Power.Active.Export": 1.0, "Power.Active.Import": -1.0}[sample.get("measurand")]
        station.meter_kw = export * checked("meter value", sample["value"], "W") / 1000.0 + 0.0
        ordered = station.sent.get(number)
        if ordered is None or abs(station.meter_kw - ordered) > self.tolerance_kw:
            self._note(
                point,
                "meter disagrees",
                f"set-point {number} is {ordered} kW, the meter says {station.meter_kw:g} kW",
            )
        return {}

    async def online(self, points, timeout_s=30.0):
        """Wait until all these charge points (names) have booted; TimeoutError after `timeout_s`. [s]"""
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*(self._station(point).online.wait() for point in points))

    def cut(self, point):
        """Cut the link to a charge point without a word, as a broken cable would."""
        if self._station(point).wire:
            self._station(point).wire.socket.transport.abort()

    async def send(self, point, p_kw, *, give_up_s=10.0):
        """Order a power, and stay with it until it is acknowledged.

        Parameters
        ----------
        point : str
            Name of the charge point.
        p_kw : float
            p > 0 flows from the vehicle to the grid. [kW]
        give_up_s : float
            [s]

        Returns
        -------
        Receipt
        """
        clock, station = asyncio.get_running_loop().time, self._station(point)
        station.number += 1
        number, attempts, began_s, status = station.number, 0, clock(), "unanswered"
        station.sent[number] = p_kw
        station.sent.pop(number - 100, None)
        request = {"evseId": 1, "chargingProfile": setpoint_profile(number, p_kw)}
        try:
            async with asyncio.timeout(give_up_s):
                while status == "unanswered":
                    await station.online.wait()
                    if station.number != number:
                        status = "superseded"
                        break
                    attempts += 1
                    status = await self._try(point, request)
        except TimeoutError:
            self._note(point, "gave up", f"set-point {number} after {attempts} attempts")
        return Receipt(status=status, number=number, attempts=attempts, latency_s=clock() - began_s)

    async def _try(self, point, request):
        """One attempt: accepted, rejected, or unanswered."""
        wire = self._station(point).wire
        try:
            answer = await wire.call("SetChargingProfile", request, self.answer_s)
        except TimeoutError:
            self._note(point, "no answer", f"to set-point {request['chargingProfile']['id']}")
            return "unanswered"
        except ConnectionClosed:
            self._lost(point, wire)
            return "unanswered"
        if (
            isinstance(answer, CallResult)
            and isinstance(answer.payload, dict)
            and answer.payload.get("status") == "Accepted"
        ):
            return "accepted"
        self._note(
            point,
            "rejected",
            json.dumps(getattr(answer, "payload", getattr(answer, "error_code", "")))[:120],
        )
        return "rejected"


class ChargePoint:
    """A simulated charge point that keeps its connection: `task = asyncio.create_task(point.run())`, or many with `fleet`.

    Parameters
    ----------
    name, url : str
    behaviour : str
        "honest"; "liar" (accepts, and its meter shows that it does nothing); "garbage" (answers with something else than OCPP); "silent" (never answers).
    backoff : Backoff
        Waits between attempts to connect.
    rng : numpy.random.Generator
        For the random part of the waits.

    Attributes
    ----------
    applied : list of tuple
        (number, p_kw) of each set-point acted on, in order. It and `newest` outlive a cut link, as a file on the station would.
    p_kw : float
        p > 0 flows from the vehicle to the grid. [kW]
    duplicates, connections : int
        Set-points that came again, and connections made.
    """

    def __init__(self, name, url, *, behaviour="honest", backoff=None, rng):
        self.name, self.url, self.behaviour = (
            name,
            url,
            _one_of("behaviour", behaviour, _BEHAVIOURS),
        )
        self.backoff, self.rng = backoff or Backoff(wait_s=0.1, random_s=0.1, doublings=5), rng
        self.newest, self.applied, self.p_kw, self.duplicates, self.connections = 0, [], 0.0, 0, 0
        self._news = asyncio.Event()

    async def run(self):
        """Connect, serve, and connect again after a cut, until cancelled."""
        failures = 0
        while True:
            try:
                async with connect(
                    f"{self.url}/{self.name}", subprotocols=[_SUBPROTOCOL], proxy=None, **_SOCKET
                ) as socket:
                    wire = _Wire(socket, {"SetChargingProfile": self._ordered}, lambda *_: None)
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._listen(wire))
                        interval_s = await self._boot(wire)
                        self.connections, failures = self.connections + 1, 0
                        tasks.create_task(self._report(wire, interval_s))
            except* (ConnectionClosed, WebSocketException, OSError, TimeoutError):
                pass
            await asyncio.sleep(self.backoff.delay_s(failures, self.rng))
            failures += 1

    async def _listen(self, wire):
        await wire.serve()
        raise ConnectionClosed(None, None)  # a link that was closed politely ends the group, too

    async def _boot(self, wire):
        station = {"model": "loopback", "vendorName": "v2gbook"}
        answer = await wire.call(
            "BootNotification", {"reason": "PowerUp", "chargingStation": station}, 10.0
        )
        if not isinstance(answer, CallResult):
            raise ConnectionError(f"not admitted: {answer}")
        if self.newest:
            self._news.set()  # what the meter shows may have been lost with the last link
        return answer.payload["interval"]

    def _ordered(self, payload):
        """A set-point: act on it once, if it is newer than all before."""
        if self.behaviour == "silent":
            return None
        if self.behaviour == "garbage":
            return "}{ certainly not OCPP"
        profile = payload["chargingProfile"]
        wrong, number = validate(profile), profile["id"]
        if wrong or number < self.newest:
            return {
                "status": "Rejected",
                "statusInfo": {"reasonCode": "InvalidProfile" if wrong else "Outdated"},
            }
        if number == self.newest:
            self.duplicates += 1
        else:
            power_kw = from_wire_kw(
                profile["chargingSchedule"][0]["chargingSchedulePeriod"][0]["setpoint"]
            )
            self.newest, self.p_kw = number, 0.0 if self.behaviour == "liar" else power_kw
            self.applied.append((number, power_kw))
            self._news.set()
        return {"status": "Accepted"}

    async def _report(self, wire, interval_s):
        """Send the meter's value after each change, and a heartbeat when nothing happens."""
        while True:
            try:
                async with asyncio.timeout(interval_s):
                    await self._news.wait()
            except TimeoutError:
                await wire.call("Heartbeat", {}, 10.0)
                continue
            self._news.clear()
            sample = {
                "value": abs(self.p_kw) * 1000.0,
                "measurand": "Power.Active.Export" if self.p_kw > 0 else "Power.Active.Import",
            }
            await wire.call(
                "MeterValues",
                {
                    "evseId": 1,
                    "meterValue": [{"timestamp": _now(), "sampledValue": [sample]}],
                    "customData": {"vendorId": "v2gbook", "setpoint": self.newest},
                },
                10.0,
            )


@asynccontextmanager
async def fleet(url, cars, *, rng, behaviours=None, backoff=None):
    """Many charge points that connect at once: `async with fleet(central.url, 100, rng=rng) as points`.

    Parameters
    ----------
    url : str
    cars : int
        Each needs two open files in this process; mind the system's limit.
    rng : numpy.random.Generator
    behaviours : dict, optional
        Name of a charge point to its behaviour. The others are honest.
    backoff : Backoff, optional

    Yields
    ------
    dict
        Name ("CP0000" and on) to `ChargePoint`. On leaving, all are stopped and all sockets closed.
    """
    behaviours = behaviours or {}
    names = [f"CP{i:04d}" for i in range(int(checked("cars", cars, ge=1)))]
    for name in behaviours:
        _one_of("behaviours", name, names)
    points = {
        name: ChargePoint(
            name, url, behaviour=behaviours.get(name, "honest"), backoff=backoff, rng=rng
        )
        for name in names
    }
    tasks = [asyncio.create_task(point.run()) for point in points.values()]
    try:
        yield points
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def dispatch(central, setpoints_kw, *, give_up_s=10.0):
    """Order a power from each charge point, all at once, and collect the receipts.

    Parameters
    ----------
    central : CentralSystem
    setpoints_kw : dict
        Name of a charge point to its power; p > 0 flows from the vehicle to the grid. [kW]
    give_up_s : float
        [s]

    Returns
    -------
    DataFrame, index `point`
        `p_kw`, `status`, `number`, `attempts`, `latency_s`.
    """
    receipts = await asyncio.gather(
        *(central.send(point, p_kw, give_up_s=give_up_s) for point, p_kw in setpoints_kw.items())
    )
    frame = pd.DataFrame(
        [vars(receipt) for receipt in receipts], index=pd.Index(setpoints_kw, name="point")
    )
    frame.insert(0, "p_kw", list(setpoints_kw.values()))
    return frame


async def measure(cars, *, rate_per_s=1.0, duration_s=5.0, rng, progress=None):
    """How fast this machine dispatches: a central system and its fleet in one process, a new set-point for every car at each tick.

    Parameters
    ----------
    cars : int
    rate_per_s : float
        Set-points per second and car, sent to all at once. A tick that is late does not wait for the one before. [1/s]
    duration_s : float
        [s]
    rng : numpy.random.Generator
        Draws the powers.
    progress : callable, optional
        Called with 1 after each tick.

    Returns
    -------
    DataFrame
        One row a set-point: `t_s` (when it was due), `point`, `status`, `attempts`, `latency_s` (from when it was due). [s]
    """
    ticks = math.ceil(
        checked("duration_s", duration_s, "s", gt=0)
        * checked("rate_per_s", rate_per_s, "1/s", gt=0)
    )
    clock, frames = asyncio.get_running_loop().time, []

    async def tick(due_s, points):
        late_s = clock() - due_s
        frame = await dispatch(
            central, dict(zip(points, rng.uniform(-10.0, 10.0, len(points)).round(3), strict=True))
        )
        frames.append(frame.assign(t_s=due_s - began_s, latency_s=frame.latency_s + late_s))
        if progress:
            progress(1)

    async with CentralSystem() as central, fleet(central.url, cars, rng=rng) as points:
        await central.online(points)
        began_s = clock()
        async with asyncio.TaskGroup() as tasks:
            for due_s in began_s + np.arange(ticks) / rate_per_s:
                await asyncio.sleep(due_s - clock())
                tasks.create_task(tick(due_s, list(points)))
    return pd.concat(frames).reset_index()[["t_s", "point", "status", "attempts", "latency_s"]]
