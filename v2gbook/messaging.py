r"""Topic 06, messaging: a thousand cars get a command; when do they move?

Four parts, each of its own. The session between car and charger (`Session`, `step`, `run_session`,
`timeouts`, `rational`). The profile between charger and cloud (`setpoint_profile`, `validate`,
`composite`). How long a command takes (`latency_stages`, `Link`, `latencies`, `moved`, `verdicts`,
`delivered`) and what happens when everybody reconnects (`Backoff`, `storm`). How new firmware
reaches a fleet (`Rollout`, `wave_odds`). The real thing, on loopback sockets, is in `csms`.

In this course p > 0 flows from the vehicle to the grid. On OCPP's wire it is the other way round: a
negative set-point discharges. The sign changes in two functions only, `to_wire_w` and
`from_wire_kw`. Nothing here knows the time.
"""

import itertools
import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ._check import (
    FloatOrArray,
    checked,
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
    read,
    refuse_large,
    row,
    short,
    whole,
)

_ENDED = "ended"


@cache
def _rules(name):
    """A file of rules, read once."""
    return read("messaging", name)


# ----------------------------------------------------------------- 1. car and charger: ISO 15118


def timeouts() -> pd.DataFrame:
    """Time-outs of ISO 15118-2 and -20 side by side, as a table.

    They are failure limits, not latencies: they say when a session is given up.

    Returns
    -------
    DataFrame
        One row for each time-out. `what` says in words what is waited for; `kind` is "message" (the
        EV waits for one answer), "process" (a repeated exchange) or "sequence" (the EVSE waits for
        the next request); `iso2` and `iso20` name the message in each part of the standard,
        `iso2_s` and `iso20_s` the time-out [s].

    References
    ----------
    .. [1] ISO 15118-2:2014 and ISO 15118-20:2022 as implemented in EcoG-io/iso15118, timeouts.py of
       both parts.

    Examples
    --------
    >>> table = timeouts().set_index(["what", "kind"])
    >>> float(table.iso20_s["loop, DC", "message"])
    0.5
    """
    return pd.DataFrame(
        _rules("iso15118")["timeouts"],
        columns=["what", "kind", "iso2", "iso2_s", "iso20", "iso20_s"],
    )


def carries_discharge() -> pd.DataFrame:
    """Which standards have a word for discharge, as a table.

    Returns
    -------
    DataFrame
        Index `standard`. `between` names the two ends, `discharge` says whether the standard
        carries it, `how` by which message, `source` where that is written.

    Examples
    --------
    >>> table = carries_discharge()
    >>> table.index[table.discharge].to_list()
    ['IEEE 2030.5', 'OpenADR 3', 'OCPP 2.1', 'ISO 15118-20:2022', 'SAE J3072', 'CHAdeMO']
    """
    rows = pd.DataFrame(
        _rules("iso15118")["carries"]["rows"],
        columns=["between", "standard", "discharge", "how", "source"],
    )
    return rows.set_index("standard")


def _of_any_size(value):
    """A single number as a float; exponents reach beyond the largest quantity of `checked`."""
    if isinstance(value, (int, float)) and abs(value) < sys.float_info.max:
        return float(value)
    return one("value", value)


def rational(value: float) -> tuple[int, int]:
    r"""A number as ISO 15118-20 sends it: a 16-bit value and a power of ten, exactly.

    .. math:: x = b \cdot 10^{e},\quad -32768 \le b \le 32767,\ -128 \le e \le 127            (6.1)

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
        If the number needs more digits than 16 bits hold, or a larger exponent. Nothing is rounded
        silently.

    References
    ----------
    .. [1] ISO 15118-20, 8.3.5.3.8 (RationalNumberType), as implemented in EcoG-io/iso15118,
       common_types.py.

    Examples
    --------
    >>> rational(-22000.0), rational(0.25)
    ((-22, 3), (25, -2))
    """
    number = _of_any_size(value)
    decimal = Decimal(repr(number)).normalize().as_tuple()
    digits = int("".join(map(str, decimal.digits)))
    exponent = int(decimal.exponent)
    while exponent > 127 and digits < 3277:
        digits *= 10
        exponent -= 1
    if decimal.sign:
        digits = -digits
    if not -32768 <= digits <= 32767:
        raise ValueError(
            f"value {number!r} cannot be sent exactly: a RationalNumber is a whole number from "
            "-32768 to 32767 times a power of ten. "
            f"Round it first, for example to {float(f'{number:.3e}')!r}"
        )
    if not -128 <= exponent <= 127:
        raise ValueError(
            f"value {number!r} needs the exponent {exponent}; it must be from -128 to 127"
        )
    return digits, exponent  # eq. (6.1)


def from_rational(value: int, exponent: int) -> float:
    """The number that a RationalNumber stands for: eq. (6.1) without rounding on the way.

    Parameters
    ----------
    value : int
        Whole number of 16 bits, from -32768 to 32767.
    exponent : int
        Power of ten of 8 bits, from -128 to 127.

    Returns
    -------
    float
        Value times ten to the power of the exponent.

    Raises
    ------
    ValueError
        If one of them is not a whole number, or needs more bits.

    Examples
    --------
    >>> from_rational(-22, 3)
    -22000.0
    """
    digits = whole("value", value, ge=-32768, le=32767)
    power = whole("exponent", exponent, ge=-128, le=127)
    return float(Decimal(digits).scaleb(power))


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where a charging session stands; `step` gives the next one.

    Attributes
    ----------
    service : str
        "AC", "DC", "AC_BPT" or "DC_BPT" (BPT: bidirectional power transfer).
    control : str
        "Scheduled" (the car follows an agreed plan) or "Dynamic" (the charger commands within the
        loop).
    state : str
        The exchange that was completed last, "start" or "ended".
    asked : str
        A request that still waits for its answer, or "".
    t_s : float
        Time of the last message, at least 0 [s].
    since_s : float
        Time of the first request of a repeated exchange; 0, plugging in, until the session is set
        up [s].
    renegotiating : bool
        True between PowerDelivery(ScheduleRenegotiation) and the next start.
    note : str
        What happened last, in words.

    Examples
    --------
    >>> allowed(Session(service="DC_BPT", control="Dynamic", state="DC_CableCheck"))
    ('DC_PreCharge', 'SessionStop')
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
        one_of("service", self.service, ("AC", "DC", "AC_BPT", "DC_BPT"))
        one_of("control", self.control, ("Scheduled", "Dynamic"))
        family = self.service[:2]
        one_of("state", self.state, _states(family))
        one_of("asked", self.asked, ("", *_requests(family)))
        once = dict(one=True, unit="s", ge=0)
        keep(self, t_s=once, since_s=once, renegotiating=dict(flag=True))
        instance("note", self.note, str)

    @property
    def over(self) -> bool:
        """Whether the session has ended, well or badly.

        Returns
        -------
        bool
            True after SessionStop and after every failure.
        """
        return self.state in (_ENDED, "SessionStop")


@cache
def _states(family):
    """All states of an AC or a DC session."""
    keys = [key.rpartition(" ")[2].replace("XX", family) for key in _rules("iso15118")["next"]]
    possible = [key for key in keys if family == "DC" or not key.startswith("DC_")]
    return (*dict.fromkeys(possible), _ENDED)


@cache
def _requests(family):
    """All requests of an AC or a DC session."""
    asked = itertools.chain.from_iterable(_rules("iso15118")["next"].values())
    named = dict.fromkeys(message.replace("XX", family) for message in asked)
    return tuple(name for name in named if family == "DC" or not name.startswith("DC_"))


@cache
def _patience():
    """Time-outs of -20 by kind and message."""
    limits_s = {}
    for _, kind, _, _, message, limit_s in _rules("iso15118")["timeouts"]:
        limits_s[kind, message] = limit_s
    return limits_s


def _name(message):
    """PowerDelivery(Start) without its option."""
    return message.partition("(")[0]


def allowed(session: Session) -> tuple[str, ...]:
    """Requests that the car may send now.

    Parameters
    ----------
    session : Session
        Where the session stands.

    Returns
    -------
    tuple of str
        Empty while an answer is outstanding, and after the end.

    Raises
    ------
    TypeError
        If session is something else than a Session.

    Examples
    --------
    >>> allowed(Session(state="SupportedAppProtocol"))
    ('SessionSetup',)
    """
    instance("session", session, Session)
    if session.asked or session.state == _ENDED:
        return ()
    family = session.service[:2]
    state = session.state.replace(f"{family}_Charge", "XX_Charge")
    keys = [f"{session.control} {state}", f"{family} {state}", state]
    if session.renegotiating:
        keys.insert(0, f"renegotiated {state}")
    rules = _rules("iso15118")["next"]
    known = next(key for key in keys if key in rules)
    return tuple(message.replace("XX", family) for message in rules[known])


def deadline(session: Session) -> tuple[float, str, str]:
    """When patience ends, whose patience it is, and why.

    Parameters
    ----------
    session : Session
        Where the session stands.

    Returns
    -------
    limit_s : float
        Time at which the session is given up; infinite when nobody waits any more [s].
    who : str
        "EV", "EVSE", or "" when nobody waits.
    why : str
        The reason in words.

    Raises
    ------
    TypeError
        If session is something else than a Session.

    Examples
    --------
    >>> deadline(Session())
    (20.0, 'EV', 'SessionSetup not finished within 20 s')
    """
    instance("session", session, Session)
    if session.over:
        return math.inf, "", ""
    ends = [*_message_ends(session), *_process_ends(session)]
    return min(ends)


def _message_ends(session):
    """The end of waiting for one answer, or for the next request."""
    limit_s = _patience()
    if session.asked:
        wait_s = limit_s["message", _name(session.asked)]
        yield session.t_s + wait_s, "EV", f"no answer to {session.asked} within {wait_s:g} s"
    elif session.state != "start":
        name = _name(session.state)
        wait_s = limit_s.get(("sequence", name), limit_s["sequence", "SECC sequence"])
        why = f"no request within {wait_s:g} s after {name} (sequence time-out)"
        yield session.t_s + wait_s, "EVSE", why


def _process_ends(session):
    """The end of waiting for a repeated exchange."""
    plugged = session.state in ("start", "SupportedAppProtocol")
    process = "SessionSetup" if plugged else _name(session.asked or session.state)
    wait_s = _patience().get(("process", process))
    under_way = session.asked or plugged or session.state.endswith("(Ongoing)")
    if wait_s is not None and under_way:
        yield session.since_s + wait_s, "EV", f"{process} not finished within {wait_s:g} s"


def step(session: Session, t_s: float, sender: str, message: str) -> Session:
    """Where a session stands after one more message.

    Parameters
    ----------
    session : Session
        Where it stands before.
    t_s : float
        When the message arrives, not before the last one [s].
    sender : str
        Who sends it: "EV" sends requests, "EVSE" answers.
    message : str
        Name of the exchange, for example "DC_ChargeLoop". A request's progress and an answer's
        processing or code stand in parentheses: "PowerDelivery(Start)", "Authorization(Ongoing)",
        "PowerDelivery(FAILED_ContactorError)".

    Returns
    -------
    Session
        After a request out of order the EVSE answers FAILED_SequenceError and the session has
        ended; after a time-out it has ended at the deadline, and the late message no longer counts.

    Raises
    ------
    ValueError
        If the session is over, time runs backwards, or the sender is unknown.
    TypeError
        If session is something else than a Session, or the message is no text.

    Notes
    -----
    Pausing, standby, metering receipts and vehicle positioning are left out.

    References
    ----------
    .. [1] ISO 15118-20 as implemented in EcoG-io/iso15118, secc/states/iso15118_20_states.py and
       secc_state.py (stop_state_machine).

    Examples
    --------
    >>> step(Session(), 0.1, "EV", "SupportedAppProtocol").asked
    'SupportedAppProtocol'
    >>> step(Session(), 0.1, "EV", "DC_ChargeLoop").state
    'ended'
    """
    instance("session", session, Session)
    one_of("sender", sender, ("EV", "EVSE"))
    instance("message", message, str)
    arrives_s = one("t_s", t_s, "s", ge=session.t_s)
    if session.over:
        raise ValueError(f"message {message!r} comes after the end of the session ({session.note})")
    limit_s, who, why = deadline(session)
    if arrives_s > limit_s:
        return _broken_off(session, limit_s, who, why)
    if sender == "EV":
        return _asked(session, arrives_s, message)
    return _answered(session, arrives_s, message)


def _broken_off(session, t_s, who, why):
    """A session that one side has ended."""
    note = f"{who} ends the session: {why}"
    return replace(session, state=_ENDED, asked="", t_s=t_s, note=note)


def _asked(session, t_s, message):
    """A request has reached the charger."""
    if message not in allowed(session):
        waits = f"an answer to {session.asked}" if session.asked else " or ".join(allowed(session))
        note = (
            f"EVSE answers {_name(message)}(FAILED_SequenceError) and ends the session: "
            f"it was the turn of {waits}"
        )
        return replace(session, state=_ENDED, asked="", t_s=t_s, note=note)
    plugged = session.state in ("start", "SupportedAppProtocol")
    repeated = _name(message) == _name(session.state)
    since_s = session.since_s if plugged or repeated else t_s
    return replace(session, asked=message, t_s=t_s, since_s=since_s, note="")


def _answered(session, t_s, message):
    """An answer has reached the car."""
    complaint = _complaint(session, message)
    if complaint:
        return _broken_off(session, t_s, "EV", complaint)
    ongoing = message.endswith("(Ongoing)") and message in _states(session.service[:2])
    state = message if ongoing else session.asked
    begins = state == "PowerDelivery(ScheduleRenegotiation)"
    goes_on = session.renegotiating and state != "PowerDelivery(Start)"
    return replace(
        session,
        state=state,
        asked="",
        t_s=t_s,
        renegotiating=begins or goes_on,
        note="the session ends as planned" if state == "SessionStop" else "",
    )


def _complaint(session, message):
    """What the car finds wrong with an answer, or "" when nothing is wrong."""
    if not session.asked:
        return "it did not ask"
    name, _, option = message.partition("(")
    if name != _name(session.asked):
        return f"it had asked for {session.asked}"
    option = option.removesuffix(")")
    if option.startswith("FAILED"):
        return f"the answer is {option}"
    repeats = message in _states(session.service[:2]) or name == "DC_WeldingDetection"
    if option == "Ongoing" and not repeats:
        return f"{name} has no answer Ongoing"
    return ""


def run_session(
    messages: Sequence[tuple[float, str, str]],
    session: Session | None = None,
    *,
    t_end_s: float | None = None,
) -> pd.DataFrame:
    """The log of a whole list of messages, until the session ends.

    Parameters
    ----------
    messages : list of tuple
        Time [s], sender and message of each, as `step` takes them, in order.
    session : Session, optional
        Where to begin. Default: DC_BPT, dynamic control.
    t_end_s : float, optional
        Watch the silence after the last message until then [s].

    Returns
    -------
    DataFrame
        Index `t_s` [s]; `sender`, `message` ("" for a time-out), `state` after it, `note`. What
        comes after the end is left out.

    Raises
    ------
    ValueError
        If a message is not one that `step` takes.
    TypeError
        If messages is no list, or one of them is no tuple.

    Examples
    --------
    >>> messages = [(0.1, "EV", "SupportedAppProtocol"), (0.2, "EVSE", "SupportedAppProtocol")]
    >>> log = run_session(messages, Session(), t_end_s=30.0)
    >>> log.note.iloc[-1], float(log.index[-1])
    ('EV ends the session: SessionSetup not finished within 20 s', 20.0)
    """
    now = _begin(session)
    rows = []
    for place, (t_s, sender, message) in enumerate(_spoken(messages)):
        try:
            now = step(now, t_s, sender, message)
        except (ValueError, TypeError) as error:
            raise type(error)(f"messages[{place}]: {error}") from error
        rows.append(_log_row(now, t_s, sender, message))
        if now.over:
            break
    if t_end_s is not None:
        limit_s, who, why = deadline(now)
        if limit_s < one("t_end_s", t_end_s, "s", ge=0):
            ended = _broken_off(now, limit_s, who, why)
            rows.append((limit_s, who, "", ended.state, ended.note))
    log = pd.DataFrame(rows, columns=["t_s", "sender", "message", "state", "note"])
    return log.set_index("t_s")


def _begin(session):
    """The session given, or the usual one."""
    return Session() if session is None else instance("session", session, Session)


def _spoken(messages):
    """The messages, if each is a time, a sender and a name."""
    for place, message in enumerate(instance("messages", messages, (list, tuple))):
        instance(f"messages[{place}]", message, (tuple, list))
        if len(message) != 3:
            raise ValueError(
                f"messages[{place}] has {len(message)} entries; "
                "it must be a time, a sender and a message"
            )
    return messages


def _log_row(session, t_s, sender, message):
    """What the log says of a message, or of the time-out that came before it."""
    if session.t_s < t_s:
        who = session.note.partition(" ")[0]
        return session.t_s, who, "", session.state, session.note
    return session.t_s, sender, message, session.state, session.note


_ONWARD = {"ServiceDetail": "ServiceSelection", "DC_WeldingDetection": "SessionStop"}


def typical_session(
    session: Session | None = None,
    *,
    loops: int = 3,
    answer_s: float = 0.05,
    pause_s: float = 0.1,
) -> list[tuple[float, str, str]]:
    """The messages of a session in which nothing goes wrong.

    They are ready to be disturbed and given to `run_session`.

    Parameters
    ----------
    session : Session, optional
        Service and control, and where to begin. Default: DC_BPT, dynamic control, plugged in.
    loops : int
        How often the charge loop turns, 1 to 10,000.
    answer_s : float
        From a request to its answer [s].
    pause_s : float
        From an answer to the next request [s].

    Returns
    -------
    list of tuple
        Time [s], sender and message of each.

    Raises
    ------
    ValueError
        If an argument is out of its range, or the two times are so long that the session fails.
    TypeError
        If session is something else than a Session.

    Examples
    --------
    >>> messages = typical_session(Session(), loops=1, answer_s=0.05, pause_s=0.1)
    >>> len(messages), messages[-1]
    (32, (2.4, 'EVSE', 'SessionStop'))
    """
    now = _begin(session)
    turns = whole("loops", loops, le=10_000)
    waits_s = {
        "EV": one("pause_s", pause_s, "s", ge=0),
        "EVSE": one("answer_s", answer_s, "s", ge=0),
    }
    if now.asked:
        raise ValueError(f"session still waits for the answer to {now.asked}; begin without")
    messages = []
    t_s = now.t_s
    while not now.over:
        request = _next_request(now, turns)
        turns -= request.endswith("ChargeLoop")
        for sender, message in (("EV", request), ("EVSE", _name(request))):
            t_s = round(t_s + waits_s[sender], 9)
            messages.append((t_s, sender, message))
            now = step(now, t_s, sender, message)
            if now.state == _ENDED:
                raise ValueError(
                    f"answer_s is {answer_s:g} s and pause_s is {pause_s:g} s, "
                    f"too long for a good session: {now.note}"
                )
    return messages


def _next_request(session, turns):
    """What a car asks that takes the shortest way through a session."""
    first = allowed(session)[0]
    if first.endswith("ChargeLoop") and not turns:
        return "PowerDelivery(Stop)"
    return _ONWARD.get(session.state, first)


# ------------------------------------------- 2. charger and cloud: OCPP 2.1 charging profiles

# Table 95 of OCPP 2.1 part 2 and its table of limits and set-points per operation mode, as coded in
# EVerest (smart_charging.cpp).
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
_MERGED = ("limit", "dischargeLimit", "setpoint")
_QUANTITIES = (*_MERGED, "setpointReactive")
_PHASES = ("", "_L2", "_L3")
_CEILINGS = ("ChargingStationMaxProfile", "ChargingStationExternalConstraints")

_STAMP = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", re.ASCII | re.IGNORECASE
)
_LIKE = "a date and time such as 2026-01-01T00:00:00Z"
MOST_KW = 1e9  # on the wire of one charger; more is a slip of the pen
_MOST_W = 1000 * MOST_KW
_MOST_SECONDS = 31 * 86_400  # that `composite` goes through, one by one


def to_wire_w(p_kw: ArrayLike) -> FloatOrArray:
    r"""The course's power as OCPP and ISO 15118 want it: watts, charging positive.

    .. math:: P_{wire} = -1000\,p            (6.2)

    Parameters
    ----------
    p_kw : float or array
        Power at the plug, p > 0 flows from the vehicle to the grid [kW].

    Returns
    -------
    float or array
        Power on the wire; negative values discharge [W].

    Raises
    ------
    ValueError
        If a power is not a number, or larger than 1e9 kW.

    Examples
    --------
    >>> to_wire_w(7.4)
    -7400.0
    """
    power = np.asarray(checked("p_kw", p_kw, "kW", ge=-MOST_KW, le=MOST_KW))
    return plain(-1000.0 * power + 0.0)  # eq. (6.2); + 0.0 turns -0.0 into 0.0


def from_wire_kw(power_w: ArrayLike) -> FloatOrArray:
    """Power on the wire as the course counts it: eq. (6.2) backwards.

    Parameters
    ----------
    power_w : float or array
        Power on the wire, charging positive [W].

    Returns
    -------
    float or array
        Power at the plug, p > 0 flows from the vehicle to the grid [kW].

    Raises
    ------
    ValueError
        If a power is not a number.

    Examples
    --------
    >>> from_wire_kw(-7400.0)
    7.4
    """
    power = np.asarray(checked("power_w", power_w, "W"))
    return plain(power / -1000.0 + 0.0)


def setpoint_profile(
    profile_id: int,
    p_kw: float,
    *,
    transaction: str = "tx",
    start: str = "2026-01-01T00:00:00Z",
    duration_s: int | None = None,
) -> dict[str, Any]:
    """A charging profile of OCPP 2.1 with one set-point.

    Parameters
    ----------
    profile_id : int
        Number of the profile; a later one replaces an earlier one.
    p_kw : float
        Power, p > 0 flows from the vehicle to the grid [kW].
    transaction : str
        Charging transaction that it belongs to, 1 to 36 characters.
    start : str
        Time stamp from which it holds; without a zone it is universal time.
    duration_s : int, optional
        Time after which it ends, at most a year of 31,536,000 s. If left out, it holds as long as
        the transaction, even when the charger has lost its connection [s].

    Returns
    -------
    dict
        A ChargingProfileType with the wire's own names.

    Raises
    ------
    ValueError
        If the number needs more than 32 bits, the power is not one number of at most 1e9 kW, the
        duration is no whole number in its range, or a text is not what it should be.
    TypeError
        If transaction or start is no text.

    Examples
    --------
    >>> profile = setpoint_profile(7, 5.0, transaction="tx", start="2026-01-01T00:00:00Z")
    >>> profile["chargingSchedule"][0]["chargingSchedulePeriod"]
    [{'startPeriod': 0, 'operationMode': 'CentralSetpoint', 'setpoint': -5000.0}]
    """
    number = whole("profile_id", profile_id, ge=-(2**31), le=2**31 - 1)
    power = one("p_kw", p_kw, "kW", ge=-MOST_KW, le=MOST_KW)
    if not 1 <= len(instance("transaction", transaction, str)) <= 36:
        raise ValueError(f"transaction is {short(transaction)}; it must have 1 to 36 characters")
    _stamp_s("start", start)
    profile = _setpoint_profile(number, power, transaction, start)
    if duration_s is not None:
        most_s = 365 * 86_400
        profile["chargingSchedule"][0]["duration"] = whole("duration_s", duration_s, "s", le=most_s)
    return profile


def _setpoint_profile(number, p_kw, transaction="tx", start="2026-01-01T00:00:00Z"):
    """The same from values that have been checked: `csms` needs hundreds a second."""
    period = {"startPeriod": 0, "operationMode": "CentralSetpoint", "setpoint": to_wire_w(p_kw)}
    schedule = {
        "id": 1,
        "startSchedule": start,
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": [period],
    }
    return {
        "id": number,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Absolute",
        "transactionId": transaction,
        "chargingSchedule": [schedule],
    }


def validate(profile: dict[str, Any]) -> list[str]:
    """Everything that is wrong with a charging profile, in plain sentences.

    Parameters
    ----------
    profile : dict
        A ChargingProfileType of OCPP 2.1 with the wire's own names.

    Returns
    -------
    list of str
        Empty when the profile may be used. Structure comes first: while it is wrong, nothing else
        is looked at.

    Raises
    ------
    TypeError
        If profile is no dict.

    Notes
    -----
    What a station can or cannot do (switch phases, sleep, local time) is not asked here, nor what
    it has stored. A time stamp without a zone is accepted as universal time.

    References
    ----------
    .. [1] OCPP 2.1 Edition 1, schema SetChargingProfileRequest, in the package `ocpp`.
    .. [2] OCPP 2.1 part 2, K01 and Q08, as coded in EVerest libocpp, smart_charging.cpp.

    Examples
    --------
    >>> profile = setpoint_profile(7, 5.0)
    >>> validate(profile)
    []
    >>> profile["chargingSchedule"][0]["chargingSchedulePeriod"][0]["dischargeLimit"] = -3000.0
    >>> validate(profile)[0].partition(": ")[2]
    'setpoint -5000.0 is beyond its own dischargeLimit -3000.0'
    """
    instance("profile", profile, dict)
    if "chargingProfile" in profile:
        return ["profile: this is a whole request; give its chargingProfile alone"]
    wrong = _schema_faults(profile)
    if wrong:
        return wrong
    wrong = _profile_rules(profile)
    for schedule in profile["chargingSchedule"]:
        wrong += _schedule_rules(profile, schedule)
    return wrong


def _schema_faults(profile):
    """Where the structure of a profile is wrong."""
    request = {"evseId": 1, "chargingProfile": profile}
    return [] if _fits_the_schema(request) else [_fault(error) for error in _explained(request)]


def _fits_the_schema(request):
    """A quick yes or no: a fleet asks hundreds of times a second."""
    accept, refusal = _quick_reading()
    try:
        accept(request)
    except refusal:
        return False
    return True


@cache
def _quick_reading():
    """The schema as a function, and the error that it raises."""
    import fastjsonschema  # here: only `validate` needs it

    formats = {"date-time": _is_stamp}
    accept = fastjsonschema.compile(_schema(), formats=formats)
    return accept, fastjsonschema.JsonSchemaValueException


def _explained(request):
    """All errors that the schema finds, in words."""
    # Here: only a wrong profile needs it, and its import takes longer than this whole module's.
    from jsonschema import Draft4Validator, FormatChecker

    stamps = FormatChecker(formats=())
    stamps.checks("date-time")(_is_stamp)
    return Draft4Validator(_schema(), format_checker=stamps).iter_errors(request)


@cache
def _schema():
    """The schema of a SetChargingProfileRequest, a file of the package `ocpp`."""
    file = resources.files("ocpp") / "v21" / "schemas" / "SetChargingProfileRequest.json"
    return json.loads(file.read_text(encoding="utf-8-sig"))


def _fault(error):
    """One error of the schema in words, with its place: chargingSchedule.0.id."""
    place = ".".join(map(str, list(error.absolute_path)[1:])) or "profile"
    if error.validator == "format":
        return f"{place}: {short(error.instance)} is not {_LIKE}"
    return f"{place}: {error.message}"


def _is_stamp(text):
    """Whether a text is a date and time that exists; what is no text is not asked here."""
    if not isinstance(text, str):
        return True
    if not _STAMP.fullmatch(text):
        return False
    try:
        _seconds(text)
    except ValueError:
        return False
    return True


def _seconds(text):
    """Seconds of a time stamp; without a zone it is universal time."""
    stamp = datetime.fromisoformat(text.upper())
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()


def _stamp_s(name, text):
    """Seconds of a time stamp that was given as an argument."""
    if not _is_stamp(instance(name, text, str)):
        raise ValueError(f"{name} is {short(text)}; it must be {_LIKE}")
    return _seconds(text)


def _profile_rules(profile):
    """Rules that look at the profile as a whole."""
    wrong = _purpose_rules(profile)
    wrong += _kind_rules(profile)
    begins_s, ends_s = _validity(profile)
    if ends_s <= begins_s:
        wrong.append("validTo does not come after validFrom")
    whole_numbers = ("id", "stackLevel", "maxOfflineDuration", "dynUpdateInterval")
    return wrong + _too_long(profile, whole_numbers)


def _purpose_rules(profile):
    """Rules for the transaction of a profile."""
    purpose = profile["chargingProfilePurpose"]
    rules = (
        (
            purpose == "TxProfile" and "transactionId" not in profile,
            "a TxProfile needs the transactionId that it belongs to",
        ),
        (
            purpose != "TxProfile" and "transactionId" in profile,
            f"transactionId belongs to a TxProfile, not to {purpose}",
        ),
    )
    return [words for broken, words in rules if broken]


def _kind_rules(profile):
    """Rules for the kind of a profile."""
    kind = profile["chargingProfileKind"]
    rules = (
        (
            profile["chargingProfilePurpose"] == "ChargingStationMaxProfile" and kind == "Relative",
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


def _validity(profile):
    """From when to when a profile is valid, in seconds."""
    begins_s = _seconds(profile["validFrom"]) if "validFrom" in profile else -math.inf
    ends_s = _seconds(profile["validTo"]) if "validTo" in profile else math.inf
    return begins_s, ends_s


def _too_long(record, names):
    """Whole numbers that OCPP cannot carry."""
    return [
        f"{name} is {short(record[name])}; a whole number of OCPP has 32 bits"
        for name in names
        if not -(2**31) <= record.get(name, 0) < 2**31
    ]


def _schedule_rules(profile, schedule):
    """Rules of one schedule and of its periods."""
    purpose = profile["chargingProfilePurpose"]
    where = f"schedule {schedule['id']}"
    found = _start_rules(purpose, profile["chargingProfileKind"], schedule)
    found += _order_rules(schedule)
    found += _too_long(schedule, ("id", "duration", "randomizedDelay"))
    wrong = [f"{where}: {words}" for words in found]
    for period in schedule["chargingSchedulePeriod"]:
        start = f"period at {period['startPeriod']} s"
        found = _period_rules(purpose, schedule["chargingRateUnit"], period)
        wrong += [f"{where}, {start}: {words}" for words in found]
    return wrong


def _start_rules(purpose, kind, schedule):
    """Rules for how a schedule starts and ends."""
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
            not purpose.startswith("Tx") and schedule.get("randomizedDelay", 0) > 0,
            f"randomizedDelay is not for {purpose}",
        ),
    )
    return [words for broken, words in rules if broken]


def _order_rules(schedule):
    """Rules for the order of the periods."""
    starts = [period["startPeriod"] for period in schedule["chargingSchedulePeriod"]]
    rules = (
        (starts[0] != 0, f"the first startPeriod is {starts[0]}; it must be 0"),
        (
            not _rising(starts),
            f"the periods are out of order: {starts}; each must start after the one before",
        ),
        (
            starts[-1] >= schedule.get("duration", math.inf),
            f"the last period starts at {starts[-1]} s, when the schedule is over",
        ),
    )
    return [words for broken, words in rules if broken]


def _rising(numbers):
    """Whether each number is above the one before."""
    return all(after > before for before, after in itertools.pairwise(numbers))


def _period_rules(purpose, unit, period):
    """Rules of one period: has the mode what it needs, and do its numbers agree?"""
    mode = period.get("operationMode", "ChargingOnly")
    wrong = _mode_rules(purpose, mode, period)
    if mode == "LocalFrequency":
        wrong += _curve_rules(unit, period)
    if "phaseToUse" in period and period.get("numberPhases") != 1:
        wrong.append("phaseToUse needs numberPhases = 1")
    if len(_directions(period)) > 1:
        wrong.append(
            "the setpoints of the phases have different signs: "
            "one phase would charge while another discharges"
        )
    return wrong + _too_long(period, ("startPeriod",)) + _number_rules(unit, period)


def _mode_rules(purpose, mode, period):
    """Rules for the fields of an operation mode."""
    needs = _NEEDS.get(mode, ())
    may = _MAY.get(mode, ())
    wrong = [f"the mode {mode} needs {name}" for name in needs if name not in period]
    for name in _QUANTITIES:
        if name not in needs + may:
            given = [name + phase for phase in _given(period, name)]
            wrong += [f"the mode {mode} takes no {field}" for field in given]
    if mode not in _MODES_OF[purpose]:
        wrong.append(f"{purpose} cannot be in the mode {mode}")
    return wrong


def _curve_rules(unit, period):
    """Rules for a charger that follows frequency by itself."""
    curve = period.get("v2xFreqWattCurve", ())
    hertz = [point["frequency"] for point in curve]
    rules = (
        (unit != "W", "LocalFrequency works in W, not in A"),
        ("v2xBaseline" not in period, "LocalFrequency needs v2xBaseline"),
        (
            len(curve) < 2,
            f"LocalFrequency needs a v2xFreqWattCurve of at least two points, not {len(curve)}",
        ),
        (not _rising(hertz), f"the frequencies of the curve do not rise: {hertz}"),
    )
    return [words for broken, words in rules if broken]


def _given(period, name):
    """For which phases a period gives a quantity: "" stands for the first, or for the sum."""
    return [phase for phase in _PHASES if name + phase in period]


def _total(period, name):
    """A quantity, summed over the phases for which it is given; NaN where there is none."""
    values = [period[name + phase] for phase in _given(period, name)]
    return float(sum(values)) if values else math.nan


def _directions(period):
    """Whether the set-points of the phases charge (True) or discharge (False), zeros aside."""
    values = [period["setpoint" + phase] for phase in _given(period, "setpoint")]
    return {value > 0 for value in values if value}


def _number_rules(unit, period):
    """Rules for the numbers of a period."""
    unusable = [
        f"{name} is {short(value)}, not a finite number of at most {_MOST_W:g}"
        for name, value in _numbers_of(period)
        if not abs(value) <= _MOST_W
    ]
    if unusable:
        return unusable
    wrong = []
    for field in ("limit" + phase for phase in _given(period, "limit")):
        if period[field] < 0:
            wrong.append(
                f"{field} is {period[field]}; charging limits are not negative, "
                "discharge has dischargeLimit"
            )
    for name, point, high in _pairs(unit, period, "limit"):
        if point > high:
            wrong.append(f"{name} {point} is above its own limit {high}")
    for name, point, low in _pairs(unit, period, "dischargeLimit"):
        if point < low:
            wrong.append(f"{name} {point} is beyond its own dischargeLimit {low}")
    return wrong


def _numbers_of(period):
    """All powers and frequencies of a period, by name."""
    for name in _QUANTITIES:
        for phase in _given(period, name):
            yield name + phase, period[name + phase]
    if "v2xBaseline" in period:
        yield "v2xBaseline", period["v2xBaseline"]
    for curve in ("v2xFreqWattCurve", "v2xSignalWattCurve"):
        for place, point in enumerate(period.get(curve, ())):
            for name in ("frequency", "signal", "power"):
                yield f"{name} of {curve}.{place}", point.get(name, 0.0)


def _pairs(unit, period, bound):
    """Set-points and bounds that can be compared, each with the name of the set-point.

    A number in W is the sum of all phases, unless it is given for each phase. A number in A holds
    for each phase.
    """
    point_by_phase = len(_given(period, "setpoint")) > 1
    bound_by_phase = len(_given(period, bound)) > 1
    if unit == "W" and point_by_phase != bound_by_phase:
        if bound in period:
            yield "the sum of setpoint", _total(period, "setpoint"), _total(period, bound)
        return
    for phase in _given(period, "setpoint"):
        common = period.get(bound) if unit == "A" else None
        limit = period.get(bound + phase, common)
        if limit is not None:
            yield "setpoint" + phase, period["setpoint" + phase], limit


def composite(
    profiles: Sequence[dict[str, Any]],
    *,
    start: str,
    duration_s: int,
    plugged: str | None = None,
) -> pd.DataFrame:
    r"""What a charger has to do, second by second, when several profiles apply.

    Within one purpose the profile with the highest stackLevel that has something to say leads.
    TxProfile replaces TxDefaultProfile, PriorityCharging replaces both. Then the tightest limits of
    the purposes count, and the set-point stays within them:

    .. math:: P_{max} = \min_u P_{max,u},\quad P_{min} = \max_u P_{min,u},\quad
       P^* = \min(\max(P^*_{tx}, P_{min}), P_{max})            (6.3)

    Parameters
    ----------
    profiles : list of dict
        ChargingProfileType of OCPP 2.1, all in W or all in A, each with one schedule, for one
        station with one EVSE and one transaction.
    start : str
        Time stamp of the first second; without a zone it is universal time.
    duration_s : int
        How many seconds, at most 31 days [s].
    plugged : str, optional
        Time stamp at which the transaction began, for Relative profiles. Default: `start`.

    Returns
    -------
    DataFrame
        Index `t_s` [s], one row a second. `limit`, `dischargeLimit` and `setpoint` in the profiles'
        own unit **and sign** (charging positive), NaN where nobody says anything; `mode` and
        `profile` (its id, NaN for none) of the one that leads the transaction.

    Raises
    ------
    ValueError
        If a profile is not valid, or has to be refused because it could not be obeyed: units or
        transactions differ; two profiles of one purpose and stackLevel are valid at the same time;
        a purpose LocalGeneration, several schedules, useLocalTime, randomizedDelay, limitAtSoC or
        evseSleep; phases that differ from each other.
    TypeError
        If profiles is no list of dicts, or a time stamp is no text.

    Notes
    -----
    Numbers in W are the sum of all phases. Where a profile gives three equal numbers for three
    phases instead, their sum is merged. Numbers in A hold for each phase. The station is online, so
    that maxOfflineDuration does not matter. That PriorityCharging replaces a TxProfile is this
    model's assumption.

    References
    ----------
    .. [1] OCPP 2.1 part 2, K, "Stacking charging profiles", "Combining charging profile purposes",
       as coded in libocpp (profile.cpp) and ocpp-kit.

    Examples
    --------
    >>> contract = setpoint_profile(1, -11.0, start="2026-01-01T00:00:00Z")
    >>> order = setpoint_profile(2, 5.0, start="2026-01-01T00:00:01Z") | {"stackLevel": 1}
    >>> for profile in (contract, order):
    ...     period = profile["chargingSchedule"][0]["chargingSchedulePeriod"][0]
    ...     period |= {"limit": 11000.0, "dischargeLimit": -7000.0}
    >>> plan = composite(
    ...     [contract, order],
    ...     start="2026-01-01T00:00:00Z",
    ...     duration_s=3,
    ...     plugged="2026-01-01T00:00:00Z",
    ... )
    >>> plan.setpoint.to_list(), plan.profile.to_list()
    ([11000.0, -5000.0, -5000.0], [1.0, 2.0, 2.0])
    """
    listed = instances("profiles", profiles, dict)
    _refuse_what_cannot_be_merged(listed)
    seconds = whole("duration_s", duration_s, "s", le=_MOST_SECONDS)
    begins_s = _stamp_s("start", start)
    plugged_s = begins_s if plugged is None else _stamp_s("plugged", plugged)
    t_s = begins_s + np.arange(seconds)
    leading = {purpose: _empty(seconds) for purpose in _MODES_OF}
    for profile in sorted(listed, key=lambda profile: -profile["stackLevel"]):
        purpose = profile["chargingProfilePurpose"]
        leading[purpose] = _instead(leading[purpose], _course(profile, t_s, plugged_s))
    frame = _instead(leading["PriorityCharging"], leading["TxProfile"])
    frame = _instead(frame, leading["TxDefaultProfile"])
    for ceiling in (leading[purpose] for purpose in _CEILINGS):
        frame["limit"] = np.fmin(frame["limit"], ceiling["limit"])  # eq. (6.3)
        frame["dischargeLimit"] = np.fmax(frame["dischargeLimit"], ceiling["dischargeLimit"])
    bounded = np.fmin(np.fmax(frame["setpoint"], frame["dischargeLimit"]), frame["limit"])
    frame["setpoint"] = np.where(frame["setpoint"].isna(), math.nan, bounded)
    return frame.rename_axis("t_s")


def _course(profile, t_s, plugged_s):
    """Limits, set-point and mode of one profile at each second, NaN and "" where it is silent."""
    schedule = profile["chargingSchedule"][0]
    starts = "startSchedule" in schedule
    since_s = t_s - (_seconds(schedule["startSchedule"]) if starts else plugged_s)
    begun = since_s >= 0
    if profile["chargingProfileKind"] == "Recurring":
        since_s = since_s % {"Daily": 86_400, "Weekly": 604_800}[profile["recurrencyKind"]]
    valid_s = _validity(profile)
    silent = ~begun | (since_s >= schedule.get("duration", math.inf))
    silent |= (t_s < valid_s[0]) | (t_s >= valid_s[1])
    frame = _periods(schedule["chargingSchedulePeriod"], since_s)
    frame["profile"] = float(profile["id"])
    frame.loc[silent, :] = [math.nan, math.nan, math.nan, "", math.nan]
    return frame


def _periods(periods, since_s):
    """What the periods of a schedule say so many seconds after its start."""
    starts = [period["startPeriod"] for period in periods]
    which = np.maximum(np.searchsorted(starts, since_s, side="right") - 1, 0)
    columns = {}
    for name in _MERGED:
        columns[name] = np.array([_total(period, name) for period in periods])[which]
    modes = [period.get("operationMode", "ChargingOnly") for period in periods]
    columns["mode"] = np.array(modes, dtype=object)[which]
    return pd.DataFrame(columns)


def _empty(seconds):
    """Nobody says anything."""
    silence = {name: np.full(seconds, math.nan) for name in _MERGED}
    return pd.DataFrame(silence | {"mode": "", "profile": math.nan})


def _instead(first, second):
    """The first where it speaks, else the second."""
    return first.where(first["profile"].notna(), second)


def _refuse_what_cannot_be_merged(profiles):
    """Refuse profiles that are wrong, that `composite` could not obey, or that contradict."""
    for profile in profiles:
        wrong = validate(profile)
        if wrong:
            raise ValueError(f"profile {profile.get('id', '?')} is not valid: {wrong[0]}")
        strange = _not_modelled(profile)
        if strange:
            raise ValueError(f"profile {profile['id']}: {strange}")
    if len({profile["chargingSchedule"][0]["chargingRateUnit"] for profile in profiles}) > 1:
        raise ValueError(
            "profiles mix A and W; which power a current is depends on voltage and phases, "
            "so give all in one unit"
        )
    named = {profile["transactionId"] for profile in profiles if "transactionId" in profile}
    if len(named) > 1:
        raise ValueError(
            f"profiles belong to the transactions {', '.join(sorted(named))}; "
            "give those of one transaction"
        )
    _refuse_mixed_phases(profiles)
    _refuse_rivals(profiles)


def _not_modelled(profile):
    """What `composite` would have to ignore in a valid profile, in words; "" for nothing."""
    if profile["chargingProfilePurpose"] == "LocalGeneration":
        return "LocalGeneration is not modelled here"
    if len(profile["chargingSchedule"]) > 1:
        return "more than one schedule to choose from is not modelled here"
    schedule = profile["chargingSchedule"][0]
    if schedule.get("useLocalTime"):
        return "useLocalTime is not modelled here; give time stamps with the station's zone"
    if schedule.get("randomizedDelay"):
        return "randomizedDelay is drawn by the station, so that nobody can know the merged plan"
    if "limitAtSoC" in schedule:
        return "limitAtSoC is not modelled here: it depends on the battery"
    for period in schedule["chargingSchedulePeriod"]:
        if period.get("evseSleep"):
            return "evseSleep is not modelled here"
        for name in _MERGED:
            if not _even(schedule["chargingRateUnit"], period, name):
                return _uneven_words(schedule["chargingRateUnit"], name)
    return ""


def _even(unit, period, name):
    """Whether a quantity has one number for all phases, or, in W, three equal ones."""
    given = _given(period, name)
    if given in ([], [""]):
        return True
    values = {period[name + phase] for phase in given}
    return unit == "W" and len(given) == 3 and len(values) == 1


def _uneven_words(unit, name):
    """How to give a quantity so that it can be merged."""
    if unit == "A":
        return f"{name} is given by phase in A; give one {name}, which holds for each phase"
    return (
        f"{name} differs between the phases, which is not modelled here; "
        f"give one {name} for their sum, or three equal numbers"
    )


def _refuse_mixed_phases(profiles):
    """Refuse numbers by phase beside another number of phases."""
    schedules = [profile["chargingSchedule"][0] for profile in profiles]
    periods = [period for each in schedules for period in each["chargingSchedulePeriod"]]
    phases = {period.get("numberPhases", 3) for period in periods}  # 3 is OCPP's default
    in_ampere = any(schedule["chargingRateUnit"] == "A" for schedule in schedules)
    by_phase = any(len(_given(period, name)) > 1 for period in periods for name in _MERGED)
    told = ", ".join(map(str, sorted(phases)))
    if in_ampere and len(phases) > 1:
        raise ValueError(
            f"profiles in A are for different numbers of phases, numberPhases = {told} "
            "(3 where it is absent); give all for the same"
        )
    if by_phase and phases != {3}:
        raise ValueError(
            "profiles: one gives numbers for each of three phases, "
            f"but numberPhases = {told} (3 where it is absent); give sums of all phases"
        )


def _refuse_rivals(profiles):
    """Refuse two profiles of which each would lead at the same time."""
    for first, second in itertools.combinations(profiles, 2):
        purpose = first["chargingProfilePurpose"]
        level = first["stackLevel"]
        alike = (purpose, level) == (second["chargingProfilePurpose"], second["stackLevel"])
        if alike and _valid_together(first, second):
            raise ValueError(
                f"profiles: two of them are {purpose} with stackLevel {level} "
                "and valid at the same time; which one leads is undefined"
            )


def _valid_together(first, second):
    """Whether two profiles are valid at some same time."""
    begins_s = max(_validity(first)[0], _validity(second)[0])
    ends_s = min(_validity(first)[1], _validity(second)[1])
    return begins_s < ends_s


# -------------------------------------------------------------------------- 3. how long it takes


@dataclass(frozen=True, kw_only=True)
class LatencyStage:
    """One stage of the way from frequency to power.

    Attributes
    ----------
    name : str
        What happens in it.
    median_s : float
        Half of all passages take at most this long; from 1e-6 to 1e6 [s].
    p95_s : float
        Of all passages 95 in 100 take at most this long; from the median to 1e6 [s].
    kind : str
        "lognormal" (a long tail), or "uniform" around the median (waiting for the next turn of a
        loop; then p95_s is at most 1.9 medians).
    shared : bool
        True if it happens once for the whole fleet, so that no car is spared when it is slow.
    source : str
        Where the numbers come from.

    Examples
    --------
    >>> network = LatencyStage(
    ...     name="network", median_s=0.1, p95_s=0.3, kind="lognormal", shared=False
    ... )
    >>> round(network.quantile_s(0.99), 3)
    0.473
    """

    name: str
    median_s: float
    p95_s: float
    kind: str = "lognormal"
    shared: bool = False
    source: str = ""

    def __post_init__(self):
        instance("name", self.name, str)
        keep(self, median_s=dict(one=True, unit="s", ge=1e-6, le=1e6))
        keep(self, p95_s=dict(one=True, unit="s", le=1e6), shared=dict(flag=True))
        one_of("kind", self.kind, ("lognormal", "uniform"))
        instance("source", self.source, str)
        if self.p95_s < self.median_s:
            raise ValueError(
                f"p95_s is {self.p95_s:g} s; it must be at least {self.median_s:g} s, the median_s"
            )
        if self.kind == "uniform" and self.p95_s > 1.9 * self.median_s:
            raise ValueError(
                f"p95_s is {self.p95_s:g} s; a uniform stage around {self.median_s:g} s would "
                "begin before 0, so p95_s must be at most 1.9 medians"
            )

    def quantile_s(self, share: ArrayLike) -> FloatOrArray:
        r"""The time that a share of passages needs.

        .. math:: x_s = m\,\left(\frac{x_{95}}{m}\right)^{z_s/z_{95}}            (6.4)

        Parameters
        ----------
        share : float or array
            Fraction of the passages, 0 to 1 [-].

        Returns
        -------
        float or array
            Time; for a share of 1 of a lognormal stage it is infinite [s].

        Raises
        ------
        ValueError
            If share is no fraction.

        Examples
        --------
        >>> loop = LatencyStage(name="loop", median_s=0.3, p95_s=0.48, kind="uniform")
        >>> round(loop.quantile_s(1.0), 3)
        0.5
        """
        part = np.asarray(fraction("share", share))
        if self.kind == "uniform":
            return plain(self.median_s + (self.p95_s - self.median_s) * (part - 0.5) / 0.45)
        from scipy.special import ndtri  # here: its import takes longer than this module's

        tail = ndtri(part) / ndtri(0.95)
        return plain(self.median_s * (self.p95_s / self.median_s) ** tail)  # eq. (6.4)


def latency_stages(path: str = "central", converter: str = "car") -> tuple[LatencyStage, ...]:
    """The stages of the course's example.

    Every one is illustrative, as its `source` says.

    Parameters
    ----------
    path : str
        With "central" a cloud decides for the whole fleet. With "local" each charger measures
        frequency and decides itself, so nothing is shared.
    converter : str
        With "car" the converter is in the car, and a command waits until the car asks in its loop.
        With "charger" it is in the charger, or the car that holds it measures for itself: no
        command crosses the cable.

    Returns
    -------
    tuple of LatencyStage
        In the order in which a command passes through them.

    Raises
    ------
    ValueError
        If path or converter is another word.

    Examples
    --------
    >>> [stage.name for stage in latency_stages("local", "car")]
    ['frequency measured', 'decision', 'ISO 15118 loop', 'converter']
    """
    one_of("path", path, ("central", "local"))
    one_of("converter", converter, ("car", "charger"))
    chosen = []
    for record in _rules("latency")["stages"]:
        fields = dict(record)
        if fields.pop("only", path) in (path, converter):
            fields["shared"] = fields["shared"] and path == "central"
            chosen.append(LatencyStage(**fields))
    return tuple(chosen)


def budget(way: Sequence[LatencyStage]) -> pd.DataFrame:
    """What each stage of a way takes, and the sums, as a table.

    The sum of the stages' P99 is not the P99 of the sum: hardly ever are all of them slow at once.

    Parameters
    ----------
    way : list of LatencyStage
        The stages, as from `latency_stages`.

    Returns
    -------
    DataFrame
        Index `stage`, with a last row `sum`; `median_s`, `p95_s` and `p99_s` [s].

    Raises
    ------
    TypeError
        If way is no list of stages.

    Examples
    --------
    >>> round(float(budget(latency_stages("local")).median_s["sum"]), 3)
    0.55
    """
    listed = instances("way", way, LatencyStage)
    columns = {}
    for name, share in (("median_s", 0.5), ("p95_s", 0.95), ("p99_s", 0.99)):
        columns[name] = np.array([stage.quantile_s(share) for stage in listed], dtype=float)
    table = pd.DataFrame(columns, index=[stage.name for stage in listed])
    total = table.sum().to_frame("sum").T
    return pd.concat([table, total]).rename_axis("stage")


def _limits():
    """What services ask for: the longest time [s], where the signal comes from, the source."""
    return pd.DataFrame(_rules("latency")["limits"]).set_index("name").rename_axis("service")


@dataclass(frozen=True, kw_only=True)
class Link:
    """How commands travel to a fleet.

    Attributes
    ----------
    way : tuple of LatencyStage
        The stages that each command passes through.
    loss_probability : float
        Probability that one attempt is lost, the command or its answer; a fraction below 1 [-].
    retry_s : float
        Time after which the sender repeats, above 0 and at most 1e6 [s].
    attempts : int
        How often it tries before it gives up, 1 to 1,000,000 [-].
    calls_per_s : float
        Commands that the central system sends in a second, at least 1e-6; infinite for all at once
        [1/s].

    Examples
    --------
    >>> way = latency_stages()
    >>> link = Link(
    ...     way=way, loss_probability=0.02, retry_s=1.0, attempts=5, calls_per_s=1000.0
    ... )
    >>> len(link.way)
    6
    """

    way: tuple[LatencyStage, ...]
    loss_probability: float = 0.0
    retry_s: float = 2.0
    attempts: int = 5
    calls_per_s: float = math.inf

    def __post_init__(self):
        object.__setattr__(self, "way", instances("way", self.way, LatencyStage))
        keep_single(self, loss_probability=dict(fraction=True, lt=1))
        keep(
            self,
            retry_s=dict(one=True, unit="s", gt=0, le=1e6),
            attempts=dict(whole=True, le=1_000_000),
            calls_per_s=dict(one=True, unit="1/s", ge=1e-6, finite=False),
        )


def latencies(link: Link, n_cars: int, *, rng: np.random.Generator, trials: int = 1) -> np.ndarray:
    r"""How long each car of a fleet takes to act on a command, by Monte Carlo.

    .. math:: T_i = \sum_{shared} X + \frac{i}{c} + K_i\,T_r + \sum_{own} X_i,\quad
       \Pr(K_i \ge k) = q^k            (6.5)

    Parameters
    ----------
    link : Link
        How commands travel.
    n_cars : int
        Cars in the fleet; i = 0 is served first [-].
    rng : numpy.random.Generator
        Source of the random numbers.
    trials : int
        How many commands; n_cars times trials is at most 50 million [-].

    Returns
    -------
    array, shape (trials, n_cars)
        Times; infinite for a car that the command never reaches, because all attempts were lost,
        which has the probability :math:`q^{attempts}` [s].

    Raises
    ------
    ValueError
        If a number is not whole, below 1, or too large.
    TypeError
        If link is no Link, or rng no generator.

    Examples
    --------
    >>> link = Link(way=latency_stages(), loss_probability=0.02, retry_s=1.0)
    >>> drawn = latencies(link, 1000, rng=np.random.default_rng(6), trials=10)
    >>> drawn.shape, round(float(np.median(drawn)), 1)
    ((10, 1000), 0.7)
    """
    instance("link", link, Link)
    shape = (whole("trials", trials), whole("n_cars", n_cars))
    refuse_large(trials=shape[0], n_cars=shape[1])
    instance("rng", rng, np.random.Generator)
    lost = np.zeros(shape)
    if link.loss_probability:
        lost = np.floor(np.log1p(-rng.random(shape)) / math.log(link.loss_probability))
    total = np.arange(shape[1]) / link.calls_per_s + lost * link.retry_s  # eq. (6.5)
    for stage in link.way:
        columns = 1 if stage.shared else shape[1]
        total = total + stage.quantile_s(rng.random((shape[0], columns)))
    return np.where(lost < link.attempts, total, math.inf)


def moved(latency_s: ArrayLike, t_s: ArrayLike) -> FloatOrArray:
    r"""Share of the cars that have acted by a time.

    .. math:: F(t) = \frac{1}{n}\,\left|\{i : T_i \le t\}\right|            (6.6)

    Parameters
    ----------
    latency_s : float or array
        Times that the cars need, from `latencies`; infinite is never [s].
    t_s : float or array
        Times at which to look [s].

    Returns
    -------
    float or array
        A fraction, for each time at which to look [-].

    Raises
    ------
    ValueError
        If a latency is negative or not a number, or a time is not a finite number.

    Examples
    --------
    >>> moved([0.1, 0.2, 0.4, np.inf], 0.3)
    0.5
    """
    ordered = _ordered(latency_s)
    acted = np.searchsorted(ordered, checked("t_s", t_s, "s"), side="right")
    return plain(acted / ordered.size)  # eq. (6.6)


def _ordered(latency_s):
    """Latencies, from the shortest to the longest."""
    return np.sort(checked("latency_s", latency_s, "s", ge=0, finite=False), axis=None)


def needed_s(latency_s: ArrayLike, share: float = 0.99) -> float:
    """Time after which a share of all commands have been acted on: eq. (6.6) backwards.

    Parameters
    ----------
    latency_s : float or array
        Times that the cars need, from `latencies`; infinite is never [s].
    share : float
        Fraction of the commands, above 0 and at most 1 [-].

    Returns
    -------
    float
        Time; infinite if too many commands never arrive [s].

    Raises
    ------
    ValueError
        If a latency is negative or not a number, or share is not one fraction.

    Examples
    --------
    >>> needed_s([0.1, 0.2, 0.4, np.inf], 0.75)
    0.4
    """
    ordered = _ordered(latency_s)
    count = math.ceil(one_fraction("share", share, gt=0) * ordered.size - 1e-9)
    return float(ordered[max(count, 1) - 1])


def verdicts(latency_s: ArrayLike, share: float = 0.99) -> pd.DataFrame:
    """Which services a fleet is fast enough for, as a table.

    Parameters
    ----------
    latency_s : float or array
        One sum of a budget, or what `latencies` drew [s].
    share : float
        Fraction of the commands that have to be in time; the P99 is 0.99 [-].

    Returns
    -------
    DataFrame
        Index `service`; `signal`, `limit_s` [s], `needed_s` [s], `margin_s` [s] and `in_time` (a
        margin of 0 is in time, and no margin).

    Raises
    ------
    ValueError
        If a latency is negative or not a number, or share is not one fraction.

    Examples
    --------
    >>> bool(verdicts(0.7, 0.99).in_time["Nordic FFR at 49.5 Hz"])
    True
    """
    frame = _limits()[["signal", "limit_s"]].assign(needed_s=needed_s(latency_s, share))
    frame["margin_s"] = (frame.limit_s - frame.needed_s).round(9)
    return frame.assign(in_time=frame.margin_s >= 0)


def delivered(
    signal_kw: ArrayLike, latency_s: ArrayLike, *, dt_s: float, newest: bool = True
) -> pd.DataFrame:
    """What a fleet delivers that follows a signal with late and lost set-points.

    Parameters
    ----------
    signal_kw : array, shape (steps,)
        Power asked of the whole fleet at each step; each car takes an equal part. p > 0 flows from
        the vehicle to the grid [kW].
    latency_s : array, shape (steps, n_cars)
        When each car acts on each set-point, from `latencies(..., trials=steps)`; infinite is
        never [s].
    dt_s : float
        From one set-point to the next, from 1e-6 to 1e6 [s].
    newest : bool
        True if a set-point carries a number, and an older one that arrives late is dropped. False:
        whatever arrives last counts.

    Returns
    -------
    DataFrame
        Index `t_s` [s]; `signal_kw` and `delivered_kw` [kW]. A car delivers nothing before its
        first set-point and holds the last one it got.

    Raises
    ------
    ValueError
        If a number is out of its range, or latency_s has another shape.
    TypeError
        If newest is neither True nor False.

    Examples
    --------
    >>> late = [[0.0, 1.5], [0.0, 0.5], [0.0, np.inf]]
    >>> delivered([10.0, 20.0, 30.0], late, dt_s=1.0, newest=True).delivered_kw.to_list()
    [5.0, 10.0, 25.0]
    """
    signal = row("signal_kw", signal_kw, "kW")
    late = np.asarray(checked("latency_s", latency_s, "s", ge=0, finite=False))
    if late.ndim != 2 or len(late) != len(signal):
        raise ValueError(
            f"latency_s has the shape {late.shape}; it must have one row for each of the "
            f"{len(signal)} steps of signal_kw and one column a car"
        )
    pace_s = one("dt_s", dt_s, "s", ge=1e-6, le=1e6)
    flag("newest", newest)
    arrival = np.arange(len(signal))[:, None] + late / pace_s  # in steps
    held = _newest_held(arrival) if newest else _last_held(arrival)
    power = np.append(signal, 0.0)[held].mean(axis=1)  # -1 points at the 0.0
    return pd.DataFrame(
        {"signal_kw": signal, "delivered_kw": power},
        index=pd.Index(np.arange(len(signal)) * pace_s, name="t_s"),
    )


def _newest_held(arrival):
    """Number of the newest set-point that each car has at each step, -1 for none."""
    sent, car = np.nonzero(arrival <= len(arrival) - 1)
    at = np.ceil(arrival[sent, car] - 1e-9).astype(int)
    held = np.full(arrival.shape, -1)
    held[at, car] = sent  # of several in one step the newest stays
    return np.maximum.accumulate(held, axis=0)


def _last_held(arrival):
    """Number of the set-point that reached each car last at each step, -1 for none."""
    sent, car = np.nonzero(arrival <= len(arrival) - 1)
    order = np.lexsort((sent, arrival[sent, car]))
    sent = sent[order]
    car = car[order]
    at = np.ceil(arrival[sent, car] - 1e-9).astype(int)
    held = np.full(arrival.shape, -1)
    held[at, car] = sent  # of several in one step the one that came last stays
    step_now = np.arange(len(arrival))[:, None]
    step_got = np.maximum.accumulate(np.where(held >= 0, step_now, -1), axis=0)
    latest = np.take_along_axis(held, np.maximum(step_got, 0), axis=0)
    return np.where(step_got >= 0, latest, -1)


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before connecting again.

    The last wait is doubled after each failure; a random part on top pulls a fleet apart.

    Attributes
    ----------
    wait_s : float
        First wait without its random part (RetryBackOffWaitMinimum), above 0, at most 1e6 [s].
    random_s : float
        Up to this is added to each of these waits (RetryBackOffRandomRange), 0 to 1e6 [s].
    doublings : int
        The wait stays the same after so many (RetryBackOffRepeatTimes), 0 to 60 [-].

    Examples
    --------
    >>> plan = Backoff(wait_s=10.0, random_s=20.0, doublings=1)
    >>> plan.waits_s(3, rng=np.random.default_rng(6)).round(1).tolist()
    [[20.8, 48.4], [17.4, 42.3], [29.7, 72.2]]
    """

    wait_s: float = 10.0
    random_s: float = 10.0
    doublings: int = 3

    def __post_init__(self):
        keep(
            self,
            wait_s=dict(one=True, unit="s", gt=0, le=1e6),
            random_s=dict(one=True, unit="s", ge=0, le=1e6),
            doublings=dict(whole=True, ge=0, le=60),
        )

    def waits_s(self, n_cars: int, *, rng: np.random.Generator) -> np.ndarray:
        r"""Draw how long each car waits before each attempt to connect.

        .. math::
            \tau_0 = \tau_{min} + U_0,\qquad \tau_k = 2\,\tau_{k-1} + U_k
            \quad (1 \le k \le k_{max})            (6.7)

        Parameters
        ----------
        n_cars : int
            Cars in the fleet, at most 1,000,000 [-].
        rng : numpy.random.Generator
            Source of the random parts U, even from 0 to `random_s`.

        Returns
        -------
        array, shape (n_cars, doublings + 1)
            Wait right after the cut, and after each failed attempt; the last one is kept for all
            attempts that follow [s].

        Raises
        ------
        ValueError
            If n_cars is not whole, below 1 or too large.
        TypeError
            If rng is no generator.

        References
        ----------
        .. [1] OCPP 2.0.1 part 4, 5.3, and test case TC_B_57_CS of part 6.

        Examples
        --------
        >>> plan = Backoff(wait_s=10.0, random_s=0.0, doublings=3)
        >>> plan.waits_s(1, rng=np.random.default_rng(6)).tolist()
        [[10.0, 20.0, 40.0, 80.0]]
        """
        fleet_size = whole("n_cars", n_cars, le=1_000_000)
        instance("rng", rng, np.random.Generator)
        refuse_large(n_cars=fleet_size, waits=self.doublings + 1)
        waits = self.random_s * rng.random((fleet_size, self.doublings + 1))
        waits[:, 0] += self.wait_s
        for k in range(1, self.doublings + 1):
            waits[:, k] += 2 * waits[:, k - 1]  # eq. (6.7)
        return waits


def storm(
    n_cars: int, per_s: int, backoff: Backoff, *, rng: np.random.Generator, t_end_s: int = 600
) -> pd.DataFrame:
    """A reconnect storm, second by second.

    A whole fleet is cut off at t = 0, the central system is back at once, and each car comes after
    its first wait. What is too much for one second is turned away and waits longer.

    Parameters
    ----------
    n_cars : int
        Cars in the fleet, at most 1,000,000 [-].
    per_s : int
        Connections that are accepted in a second [1/s].
    backoff : Backoff
        How long cars wait.
    rng : numpy.random.Generator
        Source of the random part of the waits.
    t_end_s : int
        How many seconds to watch, at most a day [s].

    Returns
    -------
    DataFrame
        Index `t_s` [s]; `attempts` and `accepted` in each second, and `connected` so far.

    Raises
    ------
    ValueError
        If a number is not whole, below 1, or too large.
    TypeError
        If backoff is no Backoff, or rng no generator.

    Examples
    --------
    >>> waits = Backoff(wait_s=5.0, random_s=0.0)
    >>> run = storm(1000, 50, waits, rng=np.random.default_rng(6), t_end_s=60)
    >>> run.attempts[run.attempts > 0].to_dict()
    {5: 1000, 15: 950, 35: 900}
    """
    fleet_size = whole("n_cars", n_cars, le=1_000_000)
    room = whole("per_s", per_s, "1/s")
    seconds = whole("t_end_s", t_end_s, "s", le=86_400)
    instance("backoff", backoff, Backoff)
    instance("rng", rng, np.random.Generator)
    waits_s = backoff.waits_s(fleet_size, rng=rng)
    due_s = waits_s[:, 0].copy()
    failures = np.zeros(fleet_size, int)
    rows = []
    for t_s in range(seconds):
        at_door = np.flatnonzero(due_s < t_s + 1)
        at_door = at_door[np.argsort(due_s[at_door], kind="stable")]
        due_s[at_door[:room]] = math.inf
        turned_away = at_door[room:]
        if turned_away.size:
            failures[turned_away] = np.minimum(failures[turned_away] + 1, backoff.doublings)
            due_s[turned_away] = t_s + waits_s[turned_away, failures[turned_away]]
        rows.append((len(at_door), min(len(at_door), room)))
    frame = pd.DataFrame(rows, columns=["attempts", "accepted"]).rename_axis("t_s")
    return frame.assign(connected=frame.accepted.cumsum())


# ------------------------------------------------------------------------------ 4. new firmware


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """New firmware in waves, and when to stop.

    Attributes
    ----------
    waves : tuple of int
        Cars in each wave, each 1 to 1e9: a few first [-].
    abort : float
        Stop when more than this share of a wave reports a failure; a fraction [-].
    reported : float
        Probability that a failure is noticed before the next wave; a fraction [-].
    rolled_back : float
        Probability that a failed car comes back by itself when the release is withdrawn; a fraction
        [-].

    Examples
    --------
    >>> Rollout(waves=(10, 90, 900), abort=0.05, reported=0.9, rolled_back=0.95).waves
    (10, 90, 900)
    """

    waves: tuple[int, ...]
    abort: float
    reported: float = 1.0
    rolled_back: float = 0.95

    def __post_init__(self):
        cars = row("waves", self.waves, ge=1, le=1e9)
        if np.mod(cars, 1).any():
            raise ValueError(f"waves are {self.waves}; they must be whole numbers of cars")
        object.__setattr__(self, "waves", tuple(int(number) for number in cars))
        for name in ("abort", "reported", "rolled_back"):
            object.__setattr__(self, name, one_fraction(name, getattr(self, name)))


def wave_odds(plan: Rollout, failure: float) -> pd.DataFrame:
    r"""Probability that a release is stopped, wave by wave, and how many cars it reaches.

    .. math:: S_w = \sum_{j > \lfloor a n_w \rfloor} \binom{n_w}{j} (fd)^j (1-fd)^{n_w-j},\quad
       \operatorname{E}N = \sum_w n_w \prod_{h<w} (1 - S_h)            (6.8)

    Parameters
    ----------
    plan : Rollout
        The waves, and the rule when to stop.
    failure : float
        Probability that the release breaks a car, a fraction. For a bad release the odds are those
        of a catch; for the normal rate of mishaps, those of a false alarm [-].

    Returns
    -------
    DataFrame
        Index `wave`, from 1; `n_cars`, `allowed` (reports that do not stop it), `p_stop` (if the
        wave is reached), `p_reached`, `p_stopped` (so far), `exposed` (cars that have the release,
        on average so far).

    Raises
    ------
    ValueError
        If failure is not one fraction.
    TypeError
        If plan is no Rollout.

    Examples
    --------
    >>> plan = Rollout(waves=(10, 90, 900), abort=0.05, reported=0.9)
    >>> wave_odds(plan, 0.2).p_stopped.round(3).to_list()
    [0.863, 1.0, 1.0]
    """
    from scipy.special import bdtrc  # here: its import takes longer than this module's

    instance("plan", plan, Rollout)
    seen = one_fraction("failure", failure) * plan.reported
    cars = np.array(plan.waves)
    permitted = np.floor(plan.abort * cars + 1e-9)
    more = bdtrc(np.minimum(permitted, cars - 1), cars, seen)  # the last count has none above it
    p_stop = np.where(permitted < cars, more, 0.0)  # eq. (6.8)
    reached = np.concatenate(([1.0], np.cumprod(1 - p_stop)[:-1]))
    columns = {
        "n_cars": cars,
        "allowed": permitted.astype(int),
        "p_stop": p_stop,
        "p_reached": reached,
        "p_stopped": 1 - reached * (1 - p_stop),
        "exposed": np.cumsum(cars * reached),
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(1, len(cars) + 1, name="wave"))
