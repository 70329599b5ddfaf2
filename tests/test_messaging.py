"""Topic 06: published cases, wrong turns of a session, the official schema.

Also brute force and SciPy. What runs on real sockets is in test_csms.
"""

import dataclasses
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import CASES, case
from scipy import stats

from v2gbook import messaging as module
from v2gbook._check import read
from v2gbook.messaging import (
    Backoff,
    LatencyStage,
    Link,
    Rollout,
    Session,
    allowed,
    budget,
    carries_discharge,
    composite,
    deadline,
    delivered,
    from_rational,
    from_wire_kw,
    latencies,
    latency_stages,
    moved,
    needed_s,
    rational,
    run_session,
    setpoint_profile,
    step,
    storm,
    timeouts,
    to_wire_w,
    typical_session,
    validate,
    verdicts,
    wave_odds,
)

START = "2026-01-01T00:00:00Z"
KINDS = [
    Session(service=service, control=control)
    for service in ("AC", "DC", "AC_BPT", "DC_BPT")
    for control in ("Scheduled", "Dynamic")
]


def rng(seed=6):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------------------------------- ISO 15118


def test_p01_timeouts():
    """A published row is a message; pre-charges are processes, and one row is a sequence."""
    inputs, expected = case("P01")
    table = timeouts()

    def look_up(row):
        part, _, message = row.partition(" ")
        if row == "SECC sequence":
            found = table[(table.kind == "sequence") & (table.iso20 == row)]
            return found.iso20_s.item()
        kind = "process" if message == "PreCharge" else "message"
        name = "DC_PreCharge" if (part, message) == ("-20", "PreCharge") else message
        column = f"iso{part[1:]}"
        found = table[(table.kind == kind) & (table[column] == name)]
        return found[f"{column}_s"].unique().item()

    assert [look_up(row) for row in inputs["rows"]] == expected["s"]


def test_p02_services_and_parameters():
    """The numbers that stand in our file of rules are those of the published case."""
    inputs, expected = case("P02")
    rules = read("messaging", "iso15118")
    assert [rules["services"][name] for name in inputs["names"]] == expected["ids"]
    for name in ("control_mode", "bpt_channel", "generator_mode", "islanding_detection"):
        assert rules["parameters"][name] == expected[name]


def test_p04_rational_numbers():
    inputs, expected = case("P04")
    sent = [rational(x) for x in inputs["numbers"]]
    assert [
        from_rational(*pair) == x for pair, x in zip(sent, inputs["numbers"], strict=True)
    ] == expected["roundtrip_exact"]
    most = CASES["P04"]["expected"]["abs_value_le"]["value"]
    assert max(abs(value) for value, _ in sent) <= most


@given(st.integers(-32768, 32767), st.integers(-128, 127))
def test_every_rational_number_comes_back(value, exponent):
    number = float(Decimal(value).scaleb(exponent))
    sent = rational(number)
    assert from_rational(*sent) == number == from_rational(value, exponent)
    assert -32768 <= sent[0] <= 32767
    assert -128 <= sent[1] <= 127


def test_the_ends_of_a_rational_number():
    assert rational(-32768.0) == (-32768, 0)
    assert rational(32767.0) == (32767, 0)
    assert rational(1e131) == (10_000, 127)
    assert rational(3276e128) == (32760, 127)
    assert rational(1e-128) == (1, -128)
    assert rational(0.0) == rational(-0.0) == (0, 0)
    for number in (32768.0, -32769.0, 1 / 3):
        with pytest.raises(
            ValueError,
            match=rf"value {re.escape(repr(number))} cannot be sent exactly.*Round it first",
        ):
            rational(number)
    for number in (1e132, 3277e128, 1e-129):
        with pytest.raises(ValueError, match="exponent"):
            rational(number)
    with pytest.raises(ValueError, match="value has shape .*give a single number"):
        rational([1.0, 2.0])
    with pytest.raises(ValueError, match="value contains NaN"):
        rational(math.nan)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((32768, 0), "value is 32768"),
        ((-32769, 0), "value is -32769"),
        ((1, 128), "exponent is 128"),
        ((1, -129), "exponent is -129"),
        ((1.5, 0), "value is 1.5; it must be a whole number"),
    ],
)
def test_a_pair_that_is_no_rational_number(pair, words):
    with pytest.raises(ValueError, match=words):
        from_rational(*pair)


def test_only_20_and_2_1_carry_discharge():
    table = carries_discharge()
    assert set(table.index[~table.discharge]) == {"ISO 15118-2:2014", "OCPP 1.6", "OCPP 2.0.1"}
    assert set(table.between) == {"grid and aggregator", "charger and cloud", "car and charger"}
    fields = {
        version: (resources.files("ocpp") / version / "schemas").glob("SetChargingProfile*.json")
        for version in ("v16", "v201", "v21")
    }
    texts = {
        version: "".join(path.read_text(encoding="utf-8-sig") for path in paths)
        for version, paths in fields.items()
    }
    assert {version: "dischargeLimit" in text for version, text in texts.items()} == {
        "v16": False,
        "v201": False,
        "v21": True,
    }


@pytest.mark.parametrize("session", KINDS, ids=lambda s: f"{s.service}-{s.control}")
def test_a_good_session_ends_as_planned(session):
    log = run_session(typical_session(session, loops=4), session)
    requests = log[log.sender == "EV"].message.to_list()
    assert log.note.iloc[-1] == "the session ends as planned"
    assert log.state.iloc[-1] == "SessionStop"
    assert requests.count(f"{session.service[:2]}_ChargeLoop") == 4
    assert (
        ("DC_CableCheck" in requests)
        == ("DC_WeldingDetection" in requests)
        == ("DC_PreCharge" in requests)
        == session.service.startswith("DC")
    )
    assert log.index.is_monotonic_increasing
    assert len(log) == 2 * len(requests)


def test_the_published_order_of_a_dc_session():
    order = [message for _, sender, message in typical_session(loops=1) if sender == "EV"]
    assert order == [
        "SupportedAppProtocol",
        "SessionSetup",
        "AuthorizationSetup",
        "Authorization",
        "ServiceDiscovery",
        "ServiceDetail",
        "ServiceSelection",
        "DC_ChargeParameterDiscovery",
        "ScheduleExchange",
        "DC_CableCheck",
        "DC_PreCharge",
        "PowerDelivery(Start)",
        "DC_ChargeLoop",
        "PowerDelivery(Stop)",
        "DC_WeldingDetection",
        "SessionStop",
    ]


def test_times_of_a_typical_session():
    times = [t_s for t_s, *_ in typical_session(loops=2, answer_s=0.02, pause_s=0.3)]
    assert times[:4] == pytest.approx([0.3, 0.32, 0.62, 0.64])


@pytest.mark.parametrize("session", KINDS, ids=lambda s: f"{s.service}-{s.control}")
def test_every_wrong_turn_is_a_sequence_error(session):
    """At each point of a session, exactly the requests that are not allowed end it."""
    messages = typical_session(session, loops=1)
    known = {message for _, sender, message in messages if sender == "EV"} | {
        "PowerDelivery(ScheduleRenegotiation)",
        "CertificateInstallation",
        "Nonsense",
    }
    for t_s, sender, message in messages:
        for request in known:
            after = step(session, t_s, "EV", request)
            assert (after.state == "ended") == (request not in allowed(session))
            assert ("FAILED_SequenceError" in after.note) == (after.state == "ended")
        session = step(session, t_s, sender, message)
    assert session.over


def up_to(message, sender="EVSE", session=None, turn=0, **options):
    """A typical session up to (and with) a message."""
    session = session or Session()
    found = -1
    for item in typical_session(session, **options):
        session = step(session, *item)
        found += item[1:] == (sender, message)
        if found == turn:
            return session
    raise AssertionError(f"no {message}")


def test_answers_that_end_a_session():
    session = up_to("ServiceDiscovery", "EV")
    wrong = step(session, session.t_s, "EVSE", "ServiceDetail")
    failed = step(session, session.t_s, "EVSE", "ServiceDiscovery(FAILED_UnknownSession)")
    unasked = step(up_to("ServiceDiscovery"), 5.0, "EVSE", "ServiceDetail")
    assert "had asked for ServiceDiscovery" in wrong.note
    assert "FAILED_UnknownSession" in failed.note
    assert "did not ask" in unasked.note
    assert {wrong.state, failed.state, unasked.state} == {"ended"}
    assert all(s.note.startswith("EV ends") and s.over for s in (wrong, failed, unasked))
    good = step(session, session.t_s, "EVSE", "ServiceDiscovery(WARNING_Any)")
    assert good.state == "ServiceDiscovery"
    assert good.note == ""


@pytest.mark.parametrize(
    ("message", "sender", "wait_s", "who"),
    [
        ("SessionSetup", "EV", 2.0, "EV"),
        ("ServiceDetail", "EV", 5.0, "EV"),
        ("PowerDelivery(Start)", "EV", 2.0, "EV"),
        ("DC_ChargeLoop", "EV", 0.5, "EV"),
        ("DC_ChargeLoop", "EVSE", 0.5, "EVSE"),
        ("ServiceDiscovery", "EVSE", 60.0, "EVSE"),
        ("PowerDelivery", "EVSE", 60.0, "EVSE"),
        ("DC_CableCheck", "EVSE", 60.0, "EVSE"),
        ("DC_WeldingDetection", "EVSE", 60.0, "EVSE"),
    ],
)
def test_patience_ends_after_the_published_time(message, sender, wait_s, who):
    session = up_to(message, sender)
    limit_s, ender, why = deadline(session)
    assert (limit_s, ender) == (pytest.approx(session.t_s + wait_s), who)
    assert f"{wait_s:g} s" in why
    next_sender, next_message = (
        ("EVSE", message.partition("(")[0]) if sender == "EV" else ("EV", allowed(session)[0])
    )
    assert not step(session, limit_s, next_sender, next_message).over
    late = step(session, limit_s + 1e-6, next_sender, next_message)
    assert late.state == "ended"
    assert late.t_s == limit_s
    assert late.note.startswith(f"{who} ends")
    assert not late.asked


@pytest.mark.parametrize(
    ("message", "limit_s"),
    [
        ("Authorization", 60.0),
        ("ScheduleExchange", 60.0),
        ("DC_CableCheck", 40.0),
        ("DC_PreCharge", 10.0),
    ],
)
def test_a_repeated_exchange_has_its_own_patience(message, limit_s):
    session = up_to(message, "EV")
    begun_s, t_s = session.t_s, session.t_s
    while not session.over:
        session = step(session, t_s, "EVSE", f"{message}(Ongoing)")
        assert session.over or session.state == f"{message}(Ongoing)"
        t_s += 0.9
        if not session.over:
            assert session.since_s == begun_s
            session = step(session, t_s, "EV", message)
    assert session.t_s == pytest.approx(begun_s + limit_s)
    assert session.note.startswith(f"EV ends the session: {message} not finished")
    done = step(
        step(up_to(message, "EV"), begun_s + 0.1, "EVSE", f"{message}(Ongoing)"),
        begun_s + 0.2,
        "EV",
        message,
    )
    assert deadline(done)[0] == pytest.approx(begun_s + 2.2)


def test_plugged_in_and_never_set_up():
    assert deadline(Session()) == (20.0, "EV", "SessionSetup not finished within 20 s")
    log = run_session(
        [(19.0, "EV", "SupportedAppProtocol"), (19.5, "EVSE", "SupportedAppProtocol")], t_end_s=30.0
    )
    assert log.index[-1] == 20.0
    assert log.sender.iloc[-1] == "EV"
    assert log.message.iloc[-1] == ""
    asked = step(
        step(
            step(Session(), 19.0, "EV", "SupportedAppProtocol"),
            19.1,
            "EVSE",
            "SupportedAppProtocol",
        ),
        19.2,
        "EV",
        "SessionSetup",
    )
    assert deadline(asked)[0] == 20.0
    assert deadline(step(asked, 19.3, "EVSE", "SessionSetup"))[0] == pytest.approx(79.3)


def test_only_a_scheduled_session_renegotiates():
    change = "PowerDelivery(ScheduleRenegotiation)"
    assert change not in allowed(up_to("DC_ChargeLoop"))
    session = up_to("DC_ChargeLoop", session=Session(control="Scheduled"))
    t_s = session.t_s
    for request in (
        change,
        "ScheduleExchange",
        "PowerDelivery(Start)",
        "DC_ChargeLoop",
        "PowerDelivery(Stop)",
    ):
        assert request in allowed(session)
        session = step(session, t_s := t_s + 0.1, "EV", request)
        session = step(session, t_s := t_s + 0.1, "EVSE", request.partition("(")[0])
        assert session.renegotiating == (request in (change, "ScheduleExchange"))
    assert session.state == "PowerDelivery(Stop)"
    assert "DC_CableCheck" not in allowed(
        replace(session, state="ScheduleExchange", renegotiating=True)
    )
    assert allowed(replace(session, state="ScheduleExchange(Ongoing)", renegotiating=True)) == (
        "ScheduleExchange",
        "SessionStop",
    )


def test_a_log_ends_with_the_session():
    messages = typical_session()
    late = [*messages[:6], (messages[6][0] + 100.0, *messages[6][1:]), *messages[7:]]
    log = run_session(late)
    assert len(log) == 7
    assert log.sender.iloc[-1] == "EVSE"
    assert log.message.iloc[-1] == ""
    assert log.index[-1] == pytest.approx(messages[5][0] + 60.0)
    wrong = run_session([*messages[:6], (messages[6][0], "EV", "SessionSetup"), *messages[7:]])
    assert len(wrong) == 7
    assert wrong.sender.iloc[-1] == "EV"
    assert wrong.message.iloc[-1] == "SessionSetup"
    assert wrong.state.iloc[-1] == "ended"
    quiet = run_session(messages[:6], t_end_s=messages[5][0] + 60.0)
    assert len(quiet) == 6
    assert len(run_session(messages, t_end_s=1e9)) == len(messages)
    assert run_session([]).empty
    assert list(run_session([]).columns) == [
        "sender",
        "message",
        "state",
        "note",
    ]


def test_bad_steps():
    session = up_to("SessionSetup")
    for t_s, sender, words in (
        (session.t_s - 0.01, "EV", "t_s is"),
        (math.nan, "EV", "t_s contains NaN"),
        (9.0, "CAR", "sender is 'CAR'; it must be one of 'EV', 'EVSE'"),
    ):
        with pytest.raises(ValueError, match=words):
            step(session, t_s, sender, "AuthorizationSetup")
    with pytest.raises(ValueError, match="comes after the end of the session"):
        step(up_to("SessionStop"), 99.0, "EV", "SessionSetup")
    with pytest.raises(ValueError, match="service is 'V2H'"):
        Session(service="V2H")
    with pytest.raises(
        ValueError, match="control is 'dynamic'; it must be one of 'Scheduled', 'Dynamic'"
    ):
        Session(control="dynamic")
    with pytest.raises(ValueError, match="loops is 0"):
        typical_session(loops=0)


def test_only_some_exchanges_take_several_answers():
    session = up_to("ServiceDiscovery", "EV")
    wrong = step(session, session.t_s, "EVSE", "ServiceDiscovery(Ongoing)")
    assert wrong.note == "EV ends the session: ServiceDiscovery has no answer Ongoing"
    asked = up_to("DC_WeldingDetection", "EV")
    again = step(asked, asked.t_s, "EVSE", "DC_WeldingDetection(Ongoing)")
    assert allowed(again) == ("DC_WeldingDetection", "SessionStop")


@pytest.mark.parametrize("slow", [{"answer_s": 3.0}, {"pause_s": 100.0}, {"pause_s": 1.0}])
def test_a_session_that_is_too_slow_is_no_good_one(slow):
    with pytest.raises(ValueError, match="too long for a good session"):
        typical_session(**slow)


def test_a_typical_session_goes_on_from_where_it_is_given():
    middle = up_to("ServiceDetail")
    first = typical_session(middle)[0]
    assert first == (pytest.approx(middle.t_s + 0.1), "EV", "ServiceSelection")
    with pytest.raises(ValueError, match="still waits for the answer to ServiceDetail"):
        typical_session(up_to("ServiceDetail", "EV"))


# ----------------------------------------------------------------------------------------- profiles


def profile(
    number=1,
    *,
    purpose="TxProfile",
    level=0,
    kind="Absolute",
    unit="W",
    periods=None,
    duration=None,
    **fields,
):
    """A charging profile in wire form."""
    schedule = {
        "id": 1,
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": periods or [{"startPeriod": 0, "limit": 11_000.0}],
    }
    schedule |= {"startSchedule": START} if kind != "Relative" else {}
    schedule |= {"duration": duration} if duration is not None else {}
    fields |= {"transactionId": "tx"} if purpose == "TxProfile" else {}
    return {
        "id": number,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": kind,
        "chargingSchedule": [schedule],
    } | fields


def at(seconds, mode=None, **fields):
    """One period."""
    return {"startPeriod": seconds} | ({"operationMode": mode} if mode else {}) | fields


CURVE = [{"frequency": 49.8, "power": -5000.0}, {"frequency": 50.2, "power": 5000.0}]


def test_p05_profiles():
    inputs, expected = case("P05")
    forms = {
        "ChargingOnly with limit": profile(periods=[at(0, "ChargingOnly", limit=7400.0)]),
        "ChargingOnly with setpoint": profile(periods=[at(0, "ChargingOnly", setpoint=7400.0)]),
        "CentralSetpoint setpoint=-7400": profile(
            periods=[at(0, "CentralSetpoint", setpoint=-7400.0)]
        ),
        "CentralSetpoint without setpoint": profile(periods=[at(0, "CentralSetpoint")]),
        "LocalFrequency unit A": profile(
            unit="A", periods=[at(0, "LocalFrequency", v2xBaseline=0.0, v2xFreqWattCurve=CURVE)]
        ),
        "LocalFrequency W, baseline, 2 points": profile(
            periods=[at(0, "LocalFrequency", v2xBaseline=0.0, v2xFreqWattCurve=CURVE)]
        ),
        "LocalFrequency 1 point": profile(
            periods=[at(0, "LocalFrequency", v2xBaseline=0.0, v2xFreqWattCurve=CURVE[:1])]
        ),
        "setpoint 5.5, setpoint_L2 -5.5": profile(
            periods=[at(0, "CentralSetpoint", setpoint=5.5, setpoint_L2=-5.5)]
        ),
    }
    assert [validate(forms[name]) == [] for name in inputs["cases"]] == expected["valid"]


def wrong(change):
    """A valid profile, changed in one place."""
    form = profile()
    change(form, form["chargingSchedule"][0], form["chargingSchedule"][0]["chargingSchedulePeriod"])
    return validate(form)


def put(**fields):
    return lambda form, schedule, periods: periods[0].update(fields)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f, s, p: f.pop("id"), "profile: 'id' is a required property"),
        (lambda f, s, p: s.pop("id"), "chargingSchedule.0: 'id' is a required property"),
        (lambda f, s, p: f.update(stackLevel=-1), "stackLevel: -1 is less than the minimum"),
        (
            lambda f, s, p: f.update(chargingProfilePurpose="Party"),
            "chargingProfilePurpose: 'Party' is not one of",
        ),
        (lambda f, s, p: s.update(chargingRateUnit="kW"), "chargingRateUnit: 'kW' is not one of"),
        (put(dischargeLimit=5.0), "dischargeLimit: 5.0 is greater than the maximum of 0"),
        (put(limit="much"), "limit: 'much' is not of type 'number'"),
        (put(power=1.0), "power"),
        (lambda f, s, p: p.clear(), "chargingSchedulePeriod: "),
        (lambda f, s, p: f.pop("transactionId"), "a TxProfile needs the transactionId"),
        (
            lambda f, s, p: f.update(chargingProfilePurpose="TxDefaultProfile"),
            "transactionId belongs to a TxProfile, not to TxDefaultProfile",
        ),
        (
            lambda f, s, p: f.update(dynUpdateInterval=1),
            "belongs to the kind Dynamic, not to Absolute",
        ),
        (
            lambda f, s, p: f.update(dynUpdateTime=START),
            "belongs to the kind Dynamic, not to Absolute",
        ),
        (
            lambda f, s, p: f.update(recurrencyKind="Daily"),
            "recurrencyKind belongs to the kind Recurring",
        ),
        (
            lambda f, s, p: f.update(chargingProfileKind="Recurring"),
            "recurrencyKind belongs to the kind Recurring",
        ),
        (
            lambda f, s, p: f.update(chargingProfileKind="Relative"),
            "a Relative schedule starts with its transaction",
        ),
        (
            lambda f, s, p: s.pop("startSchedule"),
            "schedule 1: the kind Absolute needs startSchedule",
        ),
        (
            lambda f, s, p: s.update(duration=0),
            "the last period starts at 0 s, when the schedule is over",
        ),
        (lambda f, s, p: p[0].update(startPeriod=1), "the first startPeriod is 1; it must be 0"),
        (lambda f, s, p: p.append({"startPeriod": 0, "limit": 1.0}), "out of order: [0, 0]"),
        (put(limit=-1.0), "limit is -1.0; charging limits are not negative"),
        (put(limit=math.nan), "limit is nan, not a finite number"),
        (put(limit_L2=math.inf), "limit_L2 is inf, not a finite number"),
        (put(phaseToUse=2), "phaseToUse needs numberPhases = 1"),
        (put(phaseToUse=2, numberPhases=3), "phaseToUse needs numberPhases = 1"),
        (put(setpointReactive=1.0), "the mode ChargingOnly takes no setpointReactive"),
        (put(dischargeLimit=-1.0), "the mode ChargingOnly takes no dischargeLimit"),
        (put(operationMode="Idle"), "period at 0 s: the mode Idle takes no limit"),
        (put(operationMode="ExternalLimits"), "the mode ExternalLimits takes no limit"),
        (put(operationMode="CentralFrequency"), "the mode CentralFrequency needs setpoint"),
        (
            put(operationMode="CentralSetpoint", setpoint=11_001.0),
            "setpoint 11001.0 is above its own limit 11000.0",
        ),
        (
            put(operationMode="CentralSetpoint", setpoint=-5.0, dischargeLimit=-4.0),
            "setpoint -5.0 is beyond its own dischargeLimit -4.0",
        ),
        (
            put(operationMode="CentralSetpoint", setpoint=1.0, setpoint_L3=5.0, limit_L3=4.0),
            "setpoint_L3 5.0 is above its own limit 4.0",
        ),
        (
            put(operationMode="CentralFrequency", setpoint=1.0, setpointReactive=1.0),
            "the mode CentralFrequency takes no setpointReactive",
        ),
        (
            put(operationMode="ExternalSetpoint", setpoint=1.0),
            "the mode ExternalSetpoint takes no setpoint",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(change, sentence):
    assert any(sentence in words for words in wrong(change)), wrong(change)
    assert len(wrong(change)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda f, s, p: s.update(duration=1),
        lambda f, s, p: p.append({"startPeriod": 60, "limit": 0.0}),
        put(phaseToUse=2, numberPhases=1),
        put(
            operationMode="CentralSetpoint",
            setpoint=11_000.0,
            dischargeLimit=-5.0,
            setpointReactive=3.0,
        ),
        put(operationMode="CentralSetpoint", setpoint=-5.0, dischargeLimit=-5.0, setpoint_L2=0.0),
        put(operationMode="ExternalSetpoint", dischargeLimit=-1.0),
        put(operationMode="CentralSetpoint", setpoint=-1.0, setpoint_L2=-2.0, setpoint_L3=-3.0),
        lambda f, s, p: s.update(randomizedDelay=5),
        lambda f, s, p: f.update(chargingProfileKind="Dynamic", dynUpdateInterval=1),
        lambda f, s, p: (s.pop("startSchedule"), f.update(chargingProfileKind="Relative")),
        lambda f, s, p: f.update(chargingProfileKind="Recurring", recurrencyKind="Weekly"),
    ],
)
def test_what_is_right_is_left_alone(change):
    assert wrong(change) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"unit": "A"}, "LocalFrequency works in W, not in A"),
        ({"v2xBaseline": None}, "LocalFrequency needs v2xBaseline"),
        ({"v2xFreqWattCurve": None}, "at least two points, not 0"),
        (
            {"v2xFreqWattCurve": CURVE[::-1]},
            "the frequencies of the curve do not rise: [50.2, 49.8]",
        ),
        ({"v2xFreqWattCurve": [CURVE[0], CURVE[0]]}, "do not rise"),
        ({"limit": 5.0}, "the mode LocalFrequency takes no limit"),
    ],
)
def test_local_frequency(change, sentence):
    fields = {"v2xBaseline": 0.0, "v2xFreqWattCurve": CURVE} | {
        key: value for key, value in change.items() if key != "unit"
    }
    fields = {key: value for key, value in fields.items() if value is not None}
    found = validate(
        profile(unit=change.get("unit", "W"), periods=[at(0, "LocalFrequency", **fields)])
    )
    assert len(found) == 1
    assert sentence in found[0]


def test_purposes_and_modes():
    """Table 95 of OCPP 2.1, purpose by purpose."""
    ways = {
        "ChargingOnly": {"limit": 1.0},
        "CentralSetpoint": {"setpoint": 1.0},
        "ExternalLimits": {},
        "ExternalSetpoint": {},
        "Idle": {},
        "LocalLoadBalancing": {},
        "CentralFrequency": {"setpoint": 1.0},
        "LocalFrequency": {"v2xBaseline": 0.0, "v2xFreqWattCurve": CURVE},
    }
    fits = {
        purpose: {
            mode
            for mode, fields in ways.items()
            if validate(profile(purpose=purpose, periods=[at(0, mode, **fields)])) == []
        }
        for purpose in (
            "TxProfile",
            "TxDefaultProfile",
            "PriorityCharging",
            "ChargingStationMaxProfile",
            "ChargingStationExternalConstraints",
            "LocalGeneration",
        )
    }
    assert fits["TxProfile"] == fits["TxDefaultProfile"] == set(ways)
    assert fits["PriorityCharging"] == fits["ChargingStationMaxProfile"] == {"ChargingOnly"}
    assert fits["ChargingStationExternalConstraints"] == {
        "ChargingOnly",
        "ExternalLimits",
        "ExternalSetpoint",
    }
    assert fits["LocalGeneration"] == {"ChargingOnly", "ExternalLimits"}
    assert (
        "cannot be in the mode Idle"
        in validate(profile(purpose="PriorityCharging", periods=[at(0, "Idle")]))[0]
    )


def test_rules_of_single_purposes():
    assert "has no duration" in validate(profile(purpose="PriorityCharging", duration=60))[0]
    assert (
        "cannot be Relative"
        in validate(profile(purpose="ChargingStationMaxProfile", kind="Relative"))[0]
    )
    slow = profile(purpose="PriorityCharging")
    slow["chargingSchedule"][0]["randomizedDelay"] = 5
    assert validate(slow) == ["schedule 1: randomizedDelay is not for PriorityCharging"]
    slow["chargingSchedule"][0]["randomizedDelay"] = 0
    assert validate(slow) == [] == validate(profile(purpose="TxDefaultProfile", kind="Relative"))


@pytest.mark.parametrize("text", ["tomorrow", "2026-02-31T00:00:00Z", "2026-01-01", "20260101"])
def test_a_time_stamp_is_a_date_and_time_that_exists(text):
    form = profile()
    form["chargingSchedule"][0]["startSchedule"] = text
    words = f"chargingSchedule.0.startSchedule: '{text}' is not a date and time"
    assert [found[: len(words)] for found in validate(form)] == [words]
    for name in ("validFrom", "validTo"):
        assert validate(profile(**{name: text}))[0].startswith(f"{name}: '{text}' is not")
    for argument in ("start", "plugged"):
        options = {"start": START, "duration_s": 1, argument: text}
        with pytest.raises(ValueError, match=f"{argument} is '{text}'; it must be a date and time"):
            composite([profile()], **options)
    with pytest.raises(ValueError, match=f"start is '{text}'"):
        setpoint_profile(1, 1.0, start=text)


def test_forms_of_a_time_stamp_that_are_right():
    for text in ("2024-02-29T23:59:59.1234567+05:45", "2026-01-01t00:00:00z", START[:-1]):
        assert validate(profile(validFrom=text)) == []


def test_a_profile_is_valid_for_some_time():
    ends = {"validFrom": "2026-01-02T00:00:00Z", "validTo": "2026-01-02T01:00:00+01:00"}
    assert validate(profile(**ends)) == ["validTo does not come after validFrom"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"setpoint": 9000.0, "limit": 6000.0}, "setpoint 9000.0 is above its own limit 6000.0"),
        (
            {"setpoint": 3000.0, "setpoint_L2": 3000.0, "setpoint_L3": 3000.0, "limit": 6000.0},
            "the sum of setpoint 9000.0 is above its own limit 6000.0",
        ),
        (
            {"setpoint": -9000.0, "dischargeLimit": -2000.0, "dischargeLimit_L2": -2000.0},
            "the sum of setpoint -9000.0 is beyond its own dischargeLimit -4000.0",
        ),
        ({"setpoint": 9000.0, "limit": 3000.0, "limit_L2": 3000.0, "limit_L3": 3000.0}, ""),
        ({"setpoint": 1.0, "setpoint_L2": 5.0, "limit": 3.0, "limit_L2": 4.0}, "setpoint_L2 5.0"),
        ({"setpoint": 1e300}, "setpoint is 1e+300, not a finite number of at most 1e+12"),
        ({"setpoint": 10**400}, "not a finite number of at most 1e+12"),
    ],
)
def test_sums_are_compared_with_sums_and_phases_with_phases(fields, words):
    found = validate(profile(periods=[at(0, "CentralSetpoint", **fields)]))
    assert [words in each for each in found] == [True] * bool(words)


def test_a_current_holds_for_each_phase():
    fields = {"setpoint": 10.0, "setpoint_L2": 20.0, "limit": 16.0}
    found = validate(profile(unit="A", periods=[at(0, "CentralSetpoint", **fields)]))
    assert found == ["schedule 1, period at 0 s: setpoint_L2 20.0 is above its own limit 16.0"]


def test_a_mode_without_a_quantity_takes_it_on_no_phase():
    found = validate(profile(periods=[at(0, limit=1.0, setpoint_L2=1.0)]))
    assert found == ["schedule 1, period at 0 s: the mode ChargingOnly takes no setpoint_L2"]


def test_numbers_that_the_wire_cannot_carry():
    assert validate(profile(2**31 - 1)) == []
    assert validate(profile(2**31)) == ["id is 2147483648; a whole number of OCPP has 32 bits"]
    assert "duration is" in validate(profile(duration=10**400))[0]
    late = profile(periods=[at(0, limit=1.0), at(10**10, limit=1.0)])
    assert "startPeriod is 10000000000; a whole" in validate(late)[0]
    curve = [{"frequency": 49.8, "power": math.nan}, {"frequency": 50.2, "power": 0.0}]
    fields = {"v2xBaseline": 0.0, "v2xFreqWattCurve": curve}
    found = validate(profile(periods=[at(0, "LocalFrequency", **fields)]))
    assert "power of v2xFreqWattCurve.0 is nan, not a finite number" in found[0]


def test_what_is_no_profile():
    request = {"evseId": 1, "chargingProfile": profile()}
    assert validate(request) == ["profile: this is a whole request; give its chargingProfile alone"]
    for value in (None, "profile", [profile()]):
        with pytest.raises(TypeError, match="profile is"):
            validate(value)


def test_the_sign_changes_at_the_wire():
    assert to_wire_w(7.4) == -7400.0
    assert from_wire_kw(-7400.0) == 7.4
    assert to_wire_w(-3.0) == 3000.0
    assert math.copysign(1, to_wire_w(0.0)) == math.copysign(1, from_wire_kw(0.0)) == 1.0
    assert to_wire_w([1.0, -2.0]).tolist() == [-1000.0, 2000.0]
    assert from_wire_kw(to_wire_w([1.0, -2.0])).tolist() == [1.0, -2.0]
    with pytest.raises(ValueError, match="p_kw contains NaN"):
        to_wire_w(math.nan)
    with pytest.raises(ValueError, match="power_w contains NaN"):
        from_wire_kw(math.nan)
    sent = setpoint_profile(5, 7.4, transaction="abc", start="2030-05-05T00:00:00Z")
    assert validate(sent) == []
    assert sent["id"] == 5
    assert sent["transactionId"] == "abc"
    assert composite([sent], start="2030-05-04T23:59:59Z", duration_s=2).setpoint.tolist() == [
        pytest.approx(math.nan, nan_ok=True),
        -7400.0,
    ]


def test_p07_stacked_profiles():
    inputs, expected = case("P07")
    purposes = {
        "Tx": "TxProfile",
        "TxDefault": "TxDefaultProfile",
        "Max": "ChargingStationMaxProfile",
    }
    for stack, limit in zip(
        inputs["cases"], CASES["P07"]["expected"]["limit_A"]["value"], strict=True
    ):
        levels = [
            (purposes[name], *pair)
            for name, value in stack.items()
            for pair in (value if isinstance(value, list) else [[0, value]])
        ]
        made = [
            profile(i, purpose=purpose, level=level, unit="A", periods=[at(0, limit=amps)])
            for i, (purpose, level, amps) in enumerate(levels)
        ]
        for order in (made, made[::-1]):
            assert (
                composite(order, start=START, duration_s=60).limit.to_list()
                == [pytest.approx(limit, abs=1e-9)] * 60
            )
    assert expected["limit_A"] == [16, 20, 28]


def test_a_composite_to_the_second():
    """Five profiles at once, each with its own time.

    A TxProfile runs from 10 to 20 s over a default, priority from 15 to 17 s; a station limit falls
    at 18 s, and there is an external limit.
    """
    tx = profile(
        1,
        level=1,
        periods=[
            at(0, "CentralSetpoint", setpoint=-9000.0, limit=8000.0),
            at(5, "CentralSetpoint", setpoint=6000.0, dischargeLimit=-100.0),
        ],
        duration=10,
    )
    tx["chargingSchedule"][0]["startSchedule"] = "2026-01-01T00:00:10Z"
    default = profile(2, purpose="TxDefaultProfile", periods=[at(0, limit=3000.0)])
    priority = profile(
        3,
        purpose="PriorityCharging",
        validFrom="2026-01-01T01:00:15+01:00",
        validTo="2026-01-01T00:00:17Z",
    )
    station = profile(
        4,
        purpose="ChargingStationMaxProfile",
        periods=[at(0, limit=10_000.0), at(18, limit=5000.0)],
    )
    outside = profile(
        5,
        purpose="ChargingStationExternalConstraints",
        periods=[at(0, "ExternalSetpoint", dischargeLimit=-7000.0)],
    )
    frame = composite([tx, default, priority, station, outside], start=START, duration_s=25)
    assert frame.index.name == "t_s"
    assert frame.index.to_list() == list(range(25))
    assert frame.profile.to_list() == [2.0] * 10 + [1.0] * 5 + [3.0] * 2 + [1.0] * 3 + [2.0] * 5
    assert (
        frame.limit.to_list()
        == [3000.0] * 10 + [8000.0] * 5 + [10_000.0] * 3 + [5000.0] * 2 + [3000.0] * 5
    )
    assert (
        frame.dischargeLimit.to_list()
        == [-7000.0] * 15 + [-7000.0] * 2 + [-100.0] * 3 + [-7000.0] * 5
    )
    assert (
        frame.setpoint.fillna(0.0).to_list()
        == [0.0] * 10 + [-7000.0] * 5 + [0.0] * 2 + [6000.0] + [5000.0] * 2 + [0.0] * 5
    )
    assert frame["mode"].to_list()[9:11] == ["ChargingOnly", "CentralSetpoint"]


def test_recurring_and_relative_profiles():
    daily = profile(
        1,
        purpose="TxDefaultProfile",
        kind="Recurring",
        recurrencyKind="Daily",
        periods=[at(0, limit=1.0), at(10, limit=2.0)],
        duration=20,
    )
    assert (
        composite([daily], start="2026-01-03T00:00:08Z", duration_s=14).limit.fillna(0.0).to_list()
        == [1.0] * 2 + [2.0] * 10 + [0.0] * 2
    )
    assert composite([daily], start="2025-12-31T23:59:59Z", duration_s=2).limit.fillna(
        0.0
    ).to_list() == [0.0, 1.0]
    weekly = daily | {"recurrencyKind": "Weekly"}
    assert composite([weekly], start="2026-01-03T00:00:08Z", duration_s=5).limit.isna().all()
    assert composite([weekly], start="2026-01-08T00:00:08Z", duration_s=4).limit.to_list() == [
        1.0,
        1.0,
        2.0,
        2.0,
    ]
    relative = profile(1, kind="Relative", periods=[at(0, limit=1.0), at(3, limit=2.0)])
    assert composite([relative], start=START, duration_s=5).limit.to_list() == [1.0] * 3 + [2.0] * 2
    assert composite(
        [relative], start=START, plugged="2026-01-01T00:00:02Z", duration_s=6
    ).limit.fillna(0.0).to_list() == [0.0] * 2 + [1.0] * 3 + [2.0]
    assert composite(
        [relative], start="2026-01-01T00:00:00", plugged=START, duration_s=1
    ).limit.to_list() == [1.0]


WEEKS = (
    {"validFrom": "2026-03-02T00:00:00Z", "validTo": "2026-03-08T23:59:59Z"},
    {"validFrom": "2026-03-09T00:00:00Z", "validTo": "2026-03-15T23:59:59Z"},
)


def test_only_profiles_that_are_valid_together_contradict():
    """One stackLevel, two weeks: a public report from practice."""
    first, second = (
        profile(i, purpose="TxDefaultProfile", periods=[at(0, limit=limit)], **week)
        for i, (limit, week) in enumerate(zip((11_000.0, 7400.0), WEEKS, strict=True))
    )
    for order in ([first, second], [second, first]):
        for day, limit in (("04", 11_000.0), ("11", 7400.0)):
            plan = composite(order, start=f"2026-03-{day}T12:00:00Z", duration_s=1)
            assert plan.limit.to_list() == [limit]
    longer = first | {"validTo": "2026-03-09T00:00:01Z"}
    with pytest.raises(ValueError, match="stackLevel 0 and valid at the same time"):
        composite([longer, second], start=START, duration_s=1)
    endless = {name: value for name, value in first.items() if name != "validTo"}
    with pytest.raises(ValueError, match="stackLevel 0 and valid at the same time"):
        composite([endless, second], start=START, duration_s=1)


def by_phase(name, *values):
    """A quantity by phase."""
    return {name + phase: value for phase, value in zip(("", "_L2", "_L3"), values, strict=False)}


def test_in_w_a_number_is_the_sum_of_its_phases():
    """A sum of 6210 W stays below three times 3000 W: a public report from practice."""
    tx = profile(1, purpose="TxDefaultProfile", periods=[at(0, limit=6210.0)])
    roof = by_phase("limit", 3000.0, 3000.0, 3000.0)
    site = profile(2, purpose="ChargingStationMaxProfile", periods=[at(0, **roof)])
    assert composite([tx, site], start=START, duration_s=1).limit.to_list() == [6210.0]
    order = by_phase("setpoint", -2000.0, -2000.0, -2000.0)
    dis = by_phase("dischargeLimit", -1500.0, -1500.0, -1500.0)
    car = profile(3, periods=[at(0, "CentralSetpoint", **order)])
    grid = profile(
        4,
        purpose="ChargingStationExternalConstraints",
        periods=[at(0, "ExternalSetpoint", **dis)],
    )
    alone = composite([car], start=START, duration_s=1)
    both = composite([car, grid], start=START, duration_s=1)
    assert alone.setpoint.to_list() == [-6000.0]
    assert both.setpoint.to_list() == both.dischargeLimit.to_list() == [-4500.0]


MAX = "ChargingStationMaxProfile"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            [profile(periods=[at(0, **by_phase("limit", 1.0, 2.0, 3.0))])],
            "profile 1: limit differs between the phases",
        ),
        (
            [profile(periods=[at(0, **by_phase("limit", 1.0, 1.0))])],
            "give one limit for their sum, or three equal numbers",
        ),
        (
            [profile(unit="A", periods=[at(0, **by_phase("limit", 16.0, 16.0, 16.0))])],
            "profile 1: limit is given by phase in A",
        ),
        (
            [
                profile(1, unit="A", periods=[at(0, limit=16.0, numberPhases=1)]),
                profile(2, purpose=MAX, unit="A", periods=[at(0, limit=20.0)]),
            ],
            "numberPhases = 1, 3",
        ),
        (
            [
                profile(1, periods=[at(0, limit=7400.0, numberPhases=1)]),
                profile(2, purpose=MAX, periods=[at(0, **by_phase("limit", 3.0, 3.0, 3.0))]),
            ],
            "profiles: one gives numbers for each of three phases",
        ),
        (
            [profile(1), profile(2, level=1) | {"transactionId": "other"}],
            "profiles belong to the transactions other, tx",
        ),
        ([profile(periods=[at(0, limit=1.0, evseSleep=True)])], "evseSleep is not modelled"),
    ],
)
def test_what_could_not_be_obeyed_is_refused(made, words):
    with pytest.raises(ValueError, match=words):
        composite(made, start=START, duration_s=5)


@pytest.mark.parametrize(
    ("name", "value", "harmless"),
    [
        ("useLocalTime", True, False),
        ("randomizedDelay", 60, 0),
        ("limitAtSoC", {"soc": 80, "limit": 3000.0}, None),
    ],
)
def test_fields_of_a_schedule_that_could_not_be_obeyed(name, value, harmless):
    form = profile()
    form["chargingSchedule"][0][name] = value
    assert validate(form) == []
    with pytest.raises(ValueError, match=f"profile 1: {name}"):
        composite([form], start=START, duration_s=5)
    if harmless is not None:
        form["chargingSchedule"][0][name] = harmless
        assert composite([form], start=START, duration_s=1).limit.to_list() == [11_000.0]


def test_one_phase_in_ampere():
    made = [
        profile(1, unit="A", periods=[at(0, limit=16.0, numberPhases=1)]),
        profile(2, purpose=MAX, unit="A", periods=[at(0, limit=10.0, numberPhases=1)]),
    ]
    assert composite(made, start=START, duration_s=1).limit.to_list() == [10.0]


def test_merging_leaves_the_profiles_as_they_were():
    made = [profile(1), profile(2, purpose=MAX)]
    before = json.dumps(made)
    composite(made, start=START, duration_s=5)
    assert json.dumps(made) == before


@st.composite
def stacks(draw):
    """A handful of profiles in A, at most one for each purpose and level."""
    places = draw(
        st.lists(
            st.tuples(
                st.sampled_from(
                    [
                        "TxProfile",
                        "TxDefaultProfile",
                        "ChargingStationMaxProfile",
                        "PriorityCharging",
                    ]
                ),
                st.integers(0, 2),
            ),
            unique=True,
            max_size=6,
        )
    )
    made = []
    for number, (purpose, level) in enumerate(places):
        starts = [0, *sorted(draw(st.sets(st.integers(1, 15), max_size=3)))]
        duration = (
            draw(st.none() | st.integers(starts[-1] + 1, 20))
            if purpose != "PriorityCharging"
            else None
        )
        made.append(
            profile(
                number,
                purpose=purpose,
                level=level,
                unit="A",
                duration=duration,
                periods=[at(s, limit=float(draw(st.integers(0, 40)))) for s in starts],
            )
        )
    return made


@settings(deadline=None, max_examples=12)
@given(stacks())
def test_a_composite_by_brute_force(made):
    def leading(purpose, t_s):
        found = [
            form
            for form in made
            if form["chargingProfilePurpose"] == purpose
            and t_s < form["chargingSchedule"][0].get("duration", 10**9)
        ]
        if not found:
            return None
        best = max(found, key=lambda form: form["stackLevel"])
        return [
            p["limit"]
            for p in best["chargingSchedule"][0]["chargingSchedulePeriod"]
            if p["startPeriod"] <= t_s
        ][-1]

    frame = composite(made, start=START, duration_s=18)
    for t_s in range(18):
        own = next(
            (
                x
                for purpose in ("PriorityCharging", "TxProfile", "TxDefaultProfile")
                if (x := leading(purpose, t_s)) is not None
            ),
            math.inf,
        )
        roof = leading("ChargingStationMaxProfile", t_s)
        assert min(own, math.inf if roof is None else roof) == (
            math.inf if math.isnan(frame.limit[t_s]) else frame.limit[t_s]
        )


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            [profile(7, periods=[at(0)])],
            "profile 7 is not valid: schedule 1, period at 0 s: the mode ChargingOnly needs limit",
        ),
        ([profile(7, purpose="LocalGeneration")], "profile 7: LocalGeneration"),
        ([profile(1), profile(2, purpose="TxDefaultProfile", unit="A")], "profiles mix A and W"),
        ([profile(1, level=2), profile(2, level=2)], "two of them are TxProfile with stackLevel 2"),
    ],
)
def test_stacks_that_cannot_be_merged(made, words):
    with pytest.raises(ValueError, match=words):
        composite(made, start=START, duration_s=5)
    two = profile(8)
    two["chargingSchedule"] *= 2
    with pytest.raises(ValueError, match="more than one schedule"):
        composite([two], start=START, duration_s=5)
    with pytest.raises(ValueError, match="duration_s is 0"):
        composite([profile()], start=START, duration_s=0)


# ------------------------------------------------------------------------------------------ latency


def test_p09_budget():
    """The published stages are the central path; without two messages, 550 ms are left."""
    inputs, expected = case("P09")
    central, local = latency_stages("central"), latency_stages("local")
    assert sorted(round(stage.median_s * 1000) for stage in central) == sorted(
        inputs["stages_ms"].values()
    )
    total_s = budget(central).median_s["sum"]
    assert total_s * 1000 == expected["total_ms"]
    assert budget(local).median_s["sum"] == pytest.approx(0.55)
    verdict = verdicts(total_s).in_time
    names = {
        "ok_GB_DC_full_1s": "GB Dynamic Containment, full",
        "ok_GB_DC_initiation_0_5s": "GB Dynamic Containment, begins",
        "ok_FFR_0_7s": "Nordic FFR at 49.5 Hz",
        "ok_FCR_30s": "European FCR, full",
        "ok_Swissgrid_2s": "Swissgrid, V2X Suisse",
    }
    assert {key: bool(verdict[name]) for key, name in names.items()} == {
        key: CASES["P09"]["expected"][key]["value"] for key in names
    }
    assert verdicts(total_s).margin_s["Nordic FFR at 49.5 Hz"] == 0.0
    assert not verdicts(total_s + 1e-6).in_time["Nordic FFR at 49.5 Hz"]
    worst = sum(
        stage.quantile_s(1.0) if stage.name == "ISO 15118 loop" else stage.median_s
        for stage in central
    )
    assert worst * 1000 == expected["worst_case_loop_500ms_total_ms"]


def test_who_measures_decides_which_services_are_in_time():
    """The charger that commands a car's converter is too slow for the fastest services."""
    ways = {place: latency_stages("local", place) for place in ("car", "charger")}
    names = {place: [stage.name for stage in way] for place, way in ways.items()}
    assert names["car"] == [*names["charger"][:2], "ISO 15118 loop", names["charger"][2]]
    in_time = {}
    for place, way in ways.items():
        assert not any(stage.shared for stage in way), "each charger measures for itself"
        drawn = latencies(Link(way=way), 1000, rng=rng(), trials=300)
        in_time[place] = verdicts(drawn).in_time
    fast = ["GB Dynamic Containment, begins", "Nordic FFR at 49.5 Hz"]
    slower = ["GB Dynamic Containment, full", "Nordic FFR at 49.6 Hz", "Nordic FFR at 49.7 Hz"]
    assert not in_time["car"][fast].any()
    assert in_time["car"][slower].all()
    assert in_time["charger"].all()


def test_a_cloud_that_commands_chargers_with_converters_waits_for_no_car():
    central = budget(latency_stages("central", "charger"))
    assert central.median_s["sum"] == pytest.approx(0.4)
    assert "ISO 15118 loop" not in central.index
    with pytest.raises(ValueError, match="converter is 'house'"):
        latency_stages("central", "house")


def test_a_set_point_may_end_by_itself():
    """Without a duration a charger that has lost its connection would keep the last command."""
    ends = setpoint_profile(7, 5.0, duration_s=3)
    assert validate(ends) == []
    plan = composite([ends], start=START, duration_s=5)
    assert plan.setpoint.notna().to_list() == [True, True, True, False, False]
    assert "duration" not in setpoint_profile(7, 5.0)["chargingSchedule"][0]
    for wrong in (0, 1.5, 1e9):
        with pytest.raises(ValueError, match="duration_s is"):
            setpoint_profile(7, 5.0, duration_s=wrong)


def test_labels_of_the_data():
    assert all("illustrative" in stage.source for stage in latency_stages())
    asked = verdicts(0.0)
    assert set(asked.signal) == {"local", "central"}
    nordic = asked.limit_s[asked.index.str.startswith("Nordic FFR")]
    assert nordic.to_list() == [0.7, 1.0, 1.3]
    assert all(row["source"] for row in read("messaging", "latency")["limits"])
    assert [s.name for s in latency_stages() if s.shared] == ["frequency measured", "decision"]


def test_quantiles_of_a_stage():
    long = LatencyStage(name="x", median_s=0.1, p95_s=0.3)
    loop = LatencyStage(name="y", median_s=0.3, p95_s=0.48, kind="uniform")
    shape = math.log(3) / stats.norm.ppf(0.95)
    shares = np.array([0.01, 0.5, 0.95, 0.99])
    np.testing.assert_allclose(
        long.quantile_s(shares), stats.lognorm.ppf(shares, shape, scale=0.1), rtol=1e-12
    )
    np.testing.assert_allclose(
        loop.quantile_s(shares), stats.uniform.ppf(shares, 0.1, 0.4), rtol=1e-12
    )
    assert [long.quantile_s(x) for x in shares] == long.quantile_s(shares).tolist()
    assert isinstance(loop.quantile_s(0.5), float)
    table = budget((long, loop))
    assert table.p99_s["x"] == long.quantile_s(0.99)
    assert table.p95_s["sum"] == pytest.approx(0.78)
    assert table.index[-1] == "sum"


def test_latencies_of_fixed_stages():
    """With no spread only queue and losses remain, and both are known."""
    way = (
        LatencyStage(name="a", median_s=0.25, p95_s=0.25),
        LatencyStage(name="b", median_s=0.5, p95_s=0.5, shared=True),
    )
    assert latencies(Link(way=way), 3, rng=rng()).tolist() == [[0.75] * 3]
    np.testing.assert_allclose(
        latencies(Link(way=way, calls_per_s=4.0), 3, rng=rng(), trials=2), [[0.75, 1.0, 1.25]] * 2
    )
    drawn = latencies(
        Link(way=way, loss_probability=0.3, retry_s=3.0, attempts=3), 200, rng=rng(), trials=500
    )
    assert set(np.unique(drawn).tolist()) == {0.75, 3.75, 6.75, math.inf}
    for value, share in ((0.75, 0.7), (3.75, 0.21), (6.75, 0.063), (math.inf, 0.027)):
        assert np.mean(drawn == value) == pytest.approx(
            share, abs=5 * math.sqrt(share / drawn.size)
        )
    assert moved(drawn, 5.0) == pytest.approx(0.91, abs=0.006)


def test_latencies_of_random_stages():
    """Mean and spread of lognormal and uniform times; a shared stage moves all cars together."""
    way = (
        LatencyStage(name="a", median_s=0.1, p95_s=0.3),
        LatencyStage(name="b", median_s=0.3, p95_s=0.48, kind="uniform"),
    )
    sample = latencies(Link(way=way), 400, rng=rng(), trials=400)
    own = stats.lognorm(math.log(3) / stats.norm.ppf(0.95), scale=0.1)
    assert sample.mean() == pytest.approx(own.mean() + 0.3, rel=0.01)
    assert sample.std() == pytest.approx(math.sqrt(own.var() + 0.4**2 / 12), rel=0.03)
    assert np.corrcoef(sample[:, 0], sample[:, 1])[0, 1] == pytest.approx(0.0, abs=0.2)
    together = latencies(
        Link(way=tuple(replace(stage, shared=True) for stage in way)), 5, rng=rng(), trials=50
    )
    assert np.ptp(together, axis=1).max() == 0.0
    assert np.ptp(together[:, 0]) > 0.1
    assert (
        latencies(Link(way=latency_stages(), loss_probability=0.1), 7, rng=rng(1))
        == latencies(Link(way=latency_stages(), loss_probability=0.1), 7, rng=rng(1))
    ).all()


def test_moved_and_needed():
    times = np.array([[0.4, 0.1, math.inf], [0.2, 0.3, 0.3]])
    assert moved(times, 0.3) == pytest.approx(4 / 6)
    assert moved(times, 0.0) == 0.0
    assert moved(times, 1e9) == pytest.approx(5 / 6)
    assert moved(times, [0.1, 0.3]).tolist() == [moved(times, 0.1), moved(times, 0.3)]
    assert needed_s(times, 0.5) == 0.3
    assert needed_s(times, 5 / 6) == 0.4
    assert needed_s(times) == math.inf
    assert needed_s(times, 1 / 6) == 0.1
    assert needed_s(0.7) == 0.7
    assert needed_s(np.arange(1, 101.0)) == 99.0
    assert not verdicts(times).in_time.any()
    assert verdicts(times, 0.8).in_time["Nordic FFR at 49.5 Hz"]
    assert verdicts(times, 0.8).needed_s.iloc[0] == 0.4
    for share in (0.0, 1.1):
        with pytest.raises(ValueError, match="share is"):
            needed_s(times, share)
    with pytest.raises(ValueError, match="latency_s contains NaN"):
        moved([math.nan], 1.0)
    with pytest.raises(ValueError, match="latency_s is -1"):
        needed_s([-1.0])


def test_the_first_command_of_many():
    assert needed_s([3.0, 1.0, 2.0], 1e-12) == 1.0


def test_stages_of_one_name_are_all_counted():
    twins = (
        LatencyStage(name="x", median_s=1.0, p95_s=2.0),
        LatencyStage(name="x", median_s=3.0, p95_s=4.0),
    )
    assert budget(twins).median_s.to_list() == [1.0, 3.0, 4.0]
    assert budget(()).median_s.to_list() == [0.0]


def test_delivered_by_hand():
    """One prompt car, and one that gets the first set-point after the second, never the third."""
    late = np.array([[0.0, 2.5], [0.0, 0.5], [0.0, math.inf], [0.0, 0.0], [0.0, 9.0]])
    signal = np.array([10.0, 20.0, 30.0, 40.0, 50.0])
    frame = delivered(signal, late, dt_s=1.0)
    assert frame.delivered_kw.to_list() == [5.0, 10.0, 25.0, 40.0, 45.0]
    assert frame.signal_kw.to_list() == signal.tolist()
    assert frame.index.name == "t_s"
    assert frame.index.to_list() == [0.0, 1.0, 2.0, 3.0, 4.0]
    late[3, 1] = math.inf
    assert delivered(signal, late, dt_s=1.0).delivered_kw.to_list() == [
        5.0,
        10.0,
        25.0,
        30.0,
        35.0,
    ]
    assert delivered(signal, late, dt_s=1.0, newest=False).delivered_kw.to_list() == [
        5.0,
        10.0,
        25.0,
        25.0,
        30.0,
    ]
    assert (
        delivered(signal, 2 * late, dt_s=2.0).delivered_kw.to_list()
        == delivered(signal, late, dt_s=1.0).delivered_kw.to_list()
    )
    assert delivered(signal, 2 * late, dt_s=2.0).index.to_list() == [0.0, 2.0, 4.0, 6.0, 8.0]


@pytest.mark.parametrize("newest", [True, False])
def test_delivered_by_brute_force(newest):
    draw = rng()
    late = np.where(draw.random((30, 8)) < 0.2, math.inf, draw.exponential(2.0, (30, 8)))
    signal = draw.normal(0.0, 100.0, 30)
    frame = delivered(signal, late, dt_s=0.5, newest=newest)
    for j in range(30):
        total = 0.0
        for car in range(8):
            there = [
                (k if newest else k * 0.5 + late[k, car], k)
                for k in range(j + 1)
                if k * 0.5 + late[k, car] <= j * 0.5
            ]
            total += signal[max(there)[1]] if there else 0.0
        assert frame.delivered_kw.iloc[j] == pytest.approx(total / 8)


def test_a_prompt_fleet_follows_and_a_deaf_one_rests():
    signal = np.sin(np.arange(20.0))
    assert delivered(signal, np.zeros((20, 3)), dt_s=2.0).delivered_kw.to_list() == pytest.approx(
        signal.tolist()
    )
    assert (delivered(signal, np.full((20, 3), math.inf), dt_s=2.0).delivered_kw == 0.0).all()
    for shape in ((19, 3), (20,)):
        with pytest.raises(ValueError, match=re.escape(f"latency_s has the shape {shape}")):
            delivered(signal, np.zeros(shape), dt_s=1.0)


def test_backoff():
    """Each wait is twice the one before, its random part included, and a new random part."""
    plan = Backoff(wait_s=2.0, random_s=0.0, doublings=3)
    assert plan.waits_s(2, rng=rng()).tolist() == [[2.0, 4.0, 8.0, 16.0]] * 2
    assert replace(plan, doublings=0).waits_s(1, rng=rng()).tolist() == [[2.0]]
    waits = replace(plan, random_s=5.0).waits_s(4000, rng=rng())
    added = waits - np.column_stack([np.full(4000, 2.0), 2 * waits[:, :-1]])
    assert added.min() >= 0.0
    assert added.max() <= 5.0
    assert added.mean(axis=0) == pytest.approx([2.5] * 4, abs=0.1)
    assert np.abs(np.corrcoef(added.T) - np.eye(4)).max() < 0.06


def test_a_storm():
    calm = storm(1000, 50, Backoff(wait_s=5.0, random_s=40.0), rng=rng())
    wild = storm(1000, 50, Backoff(wait_s=5.0, random_s=0.0), rng=rng())
    assert calm.attempts.max() < 60
    assert wild.attempts.max() == 1000
    assert calm.connected.iloc[-1] == 1000 > wild.connected.iloc[60]
    assert (calm.attempts.iloc[:5] == 0).all()
    assert (calm.accepted <= 50).all()
    assert (calm.accepted <= calm.attempts).all()
    assert wild.attempts[wild.attempts > 0].to_list()[:4] == [1000, 950, 900, 850]
    assert wild.index[wild.attempts > 0].to_list()[:5] == [5, 15, 35, 75, 115]
    assert len(wild) == 600
    assert wild.index.name == "t_s"
    assert storm(
        3, 5, Backoff(wait_s=0.1, random_s=0.0), rng=rng(), t_end_s=2
    ).connected.to_list() == [3, 3]
    assert storm(
        3, 1, Backoff(wait_s=0.1, random_s=0.0), rng=rng(), t_end_s=4
    ).connected.to_list() == [1, 2, 3, 3]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LatencyStage(name="x", median_s=0.0, p95_s=1.0), "median_s is 0 s"),
        (
            lambda: LatencyStage(name="x", median_s=1.0, p95_s=0.9),
            "p95_s is 0.9 s; it must be at least 1",
        ),
        (
            lambda: LatencyStage(name="x", median_s=1.0, p95_s=1.0, kind="normal"),
            "kind is 'normal'",
        ),
        (
            lambda: LatencyStage(name="x", median_s=1.0, p95_s=1.91, kind="uniform"),
            "begin before 0",
        ),
        (lambda: LatencyStage(name="x", median_s=1.0, p95_s=2.0).quantile_s(1.1), "share is 1.1"),
        (lambda: LatencyStage(name="x", median_s=1.0, p95_s=2.0).quantile_s(-0.1), "share is -0.1"),
        (lambda: latency_stages("cloud"), "path is 'cloud'"),
        (lambda: LatencyStage(name="x", median_s=math.nan, p95_s=1.0), "median_s contains NaN"),
        (lambda: LatencyStage(name="x", median_s=[1.0, 2.0], p95_s=3.0), "median_s has shape (2,)"),
        (
            lambda: LatencyStage(name="x", median_s=1.0, p95_s=1e7),
            "p95_s is 10000000 s; it must be at",
        ),
        (
            lambda: LatencyStage(name="x", median_s=1.0, p95_s=2.0).quantile_s(95),
            "is it in per cent?",
        ),
        (lambda: Session(state="asleep"), "state is 'asleep'"),
        (lambda: Session(service="AC", state="DC_CableCheck"), "state is 'DC_CableCheck'"),
        (lambda: Session(asked="Nonsense"), "asked is 'Nonsense'"),
        (lambda: Session(t_s=-1.0), "t_s is -1"),
        (lambda: Session(since_s=math.inf), "since_s is infinite"),
        (lambda: run_session([(0.1, "EV")]), "messages[0] has 2 entries"),
        (lambda: run_session([(0.1, "CAR", "")]), "messages[0]: sender is 'CAR'"),
        (lambda: run_session([], t_end_s=math.nan), "t_end_s contains NaN"),
        (lambda: typical_session(loops=1e300), "loops is"),
        (lambda: typical_session(answer_s=-1.0), "answer_s is -1"),
        (lambda: from_rational("7", 0), "value must be a number"),
        (lambda: rational("7"), "value must be a number"),
        (lambda: to_wire_w(1e12), "p_kw is 1000000000000 kW; it must be at most 1e+09"),
        (lambda: setpoint_profile(1.5, 1.0), "profile_id is 1.5; it must be a whole number"),
        (lambda: setpoint_profile(2**31, 1.0), "profile_id is 2147483648"),
        (lambda: setpoint_profile(1, [1.0, 2.0]), "p_kw has shape (2,)"),
        (lambda: setpoint_profile(1, 1.0, transaction=""), "transaction is ''"),
        (lambda: composite([profile()], start=START, duration_s=1e8), "duration_s is 100000000 s"),
        (lambda: Link(way=(), loss_probability=math.nan), "loss_probability contains NaN"),
        (lambda: Link(way=(), loss_probability=2), "loss_probability is 2; it must be a fraction"),
        (lambda: Link(way=(), loss_probability=[0.1, 0.2]), "loss_probability has shape (2,)"),
        (lambda: Link(way=(), retry_s="1"), "retry_s must be a number"),
        (lambda: Link(way=(), attempts=1.5), "attempts is 1.5; it must be a whole number"),
        (lambda: Link(way=(), attempts=1e300), "attempts is"),
        (
            lambda: latencies(Link(way=()), 1e5, rng=rng(), trials=1e5),
            "trials (100,000) times n_cars",
        ),
        (lambda: moved([1.0], math.inf), "t_s is infinite"),
        (lambda: needed_s([1.0], 99), "share is 99; it must be a fraction, at most 1"),
        (lambda: needed_s([1.0], [0.5, 0.9]), "share has shape (2,)"),
        (lambda: delivered(5.0, [[0.0]], dt_s=1.0), "signal_kw has shape ()"),
        (lambda: Backoff(wait_s=math.inf), "wait_s is infinite"),
        (lambda: Backoff(doublings=2.5), "doublings is 2.5; it must be a whole number"),
        (lambda: Backoff(doublings=1000), "doublings is 1000; it must be at most 60"),
        (lambda: Backoff().waits_s(1.5, rng=rng()), "n_cars is 1.5; it must be a whole number"),
        (lambda: storm(1.5, 1, Backoff(), rng=rng()), "n_cars is 1.5; it must be a whole number"),
        (lambda: storm(1e300, 1, Backoff(), rng=rng()), "n_cars is"),
        (lambda: storm(1, 1, Backoff(), rng=rng(), t_end_s=1e6), "t_end_s is 1000000 s"),
        (lambda: Rollout(waves=10, abort=0.1), "waves has shape ()"),
        (lambda: Rollout(waves=(), abort=0.1), "waves is empty"),
        (lambda: Rollout(waves=(10,), abort=[0.1]), "abort has shape (1,)"),
        (lambda: wave_odds(Rollout(waves=(10,), abort=0.1), [0.1, 0.2]), "failure has shape (2,)"),
        (lambda: Link(way=(), loss_probability=1.0), "loss_probability is 1"),
        (lambda: Link(way=(), loss_probability=-0.1), "loss_probability is -0.1"),
        (lambda: Link(way=(), retry_s=0.0), "retry_s is 0"),
        (lambda: Link(way=(), attempts=0), "attempts is 0"),
        (lambda: Link(way=(), calls_per_s=0.0), "calls_per_s is 0"),
        (lambda: latencies(Link(way=()), 0, rng=rng()), "n_cars is 0"),
        (lambda: latencies(Link(way=()), 1, rng=rng(), trials=0), "trials is 0"),
        (lambda: delivered([math.nan], [[0.0]], dt_s=1.0), "signal_kw contains NaN"),
        (lambda: delivered([1.0], [[0.0]], dt_s=0.0), "dt_s is 0"),
        (lambda: delivered([1.0], [[-1.0]], dt_s=1.0), "latency_s is -1"),
        (lambda: Backoff(wait_s=0.0), "wait_s is 0"),
        (lambda: Backoff(random_s=-1.0), "random_s is -1"),
        (lambda: Backoff(doublings=-1), "doublings is -1"),
        (lambda: Backoff().waits_s(-1, rng=rng()), "n_cars is -1"),
        (lambda: storm(0, 1, Backoff(), rng=rng()), "n_cars is 0"),
        (lambda: storm(1, 0, Backoff(), rng=rng()), "per_s is 0"),
        (lambda: storm(1, 1, Backoff(), rng=rng(), t_end_s=0), "t_end_s is 0"),
        (lambda: Rollout(waves=(10, 0), abort=0.1), "waves is 0"),
        (lambda: Rollout(waves=(10.5,), abort=0.1), "whole numbers of cars"),
        (lambda: Rollout(waves=(10,), abort=1.1), "abort is 1.1"),
        (lambda: Rollout(waves=(10,), abort=0.1, reported=-0.1), "reported is -0.1"),
        (lambda: Rollout(waves=(10,), abort=0.1, rolled_back=2), "rolled_back is 2"),
        (lambda: wave_odds(Rollout(waves=(10,), abort=0.1), 5), "failure is 5"),
        (lambda: wave_odds(Rollout(waves=(10,), abort=0.1), -1), "failure is -1"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: allowed("start"), "session is 'start'; it must be a messaging.Session"),
        (lambda: deadline(None), "session is None"),
        (lambda: step(Session(), 0.1, "EV", 5), "message is 5"),
        (lambda: run_session("messages"), "messages is 'messages'"),
        (lambda: run_session([5]), "messages[0] is 5"),
        (lambda: typical_session("DC"), "session is 'DC'"),
        (lambda: setpoint_profile(1, 1.0, start=5), "start is 5; it must be a str"),
        (lambda: composite(profile(), start=START, duration_s=1), "put it into a list"),
        (lambda: composite([5], start=START, duration_s=1), "profiles[0] is 5"),
        (lambda: budget(latency_stages()[0]), "put it into a list"),
        (lambda: budget(["network"]), "way[0] is 'network'"),
        (lambda: LatencyStage(name=5, median_s=1.0, p95_s=1.0), "name is 5"),
        (lambda: LatencyStage(name="x", median_s=1.0, p95_s=1.0, shared="yes"), "shared is 'yes'"),
        (lambda: Link(way=latency_stages()[0]), "put it into a list"),
        (lambda: latencies(latency_stages(), 1, rng=rng()), "link is a tuple"),
        (lambda: latencies(Link(way=()), 1, rng=7), "rng is 7; it must be a Generator"),
        (lambda: delivered([1.0], [[0.0]], dt_s=1.0, newest="yes"), "newest is 'yes'"),
        (lambda: Backoff().waits_s(1, rng=7), "rng is 7"),
        (lambda: storm(1, 1, 5.0, rng=rng()), "backoff is 5.0"),
        (lambda: wave_odds((10, 90), 0.1), "plan is a tuple"),
    ],
)
def test_wrong_kinds(make, words):
    with pytest.raises(TypeError, match=re.escape(words)):
        make()


def test_records_keep_what_they_were_given_as_plain_values():
    link = Link(way=list(latency_stages()), loss_probability=0, retry_s=1, attempts=3.0)
    assert isinstance(link.way, tuple)
    assert [type(value) for value in (link.loss_probability, link.retry_s, link.attempts)] == [
        float,
        float,
        int,
    ]
    assert Rollout(waves=[10, 90.0], abort=0).waves == (10, 90)


def test_records_cannot_be_changed():
    for record in (
        Session(),
        LatencyStage(name="x", median_s=1.0, p95_s=1.0),
        Link(way=()),
        Backoff(),
        Rollout(waves=(1,), abort=0.0),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            record.name = "y"


# ----------------------------------------------------------------------------------------- roll-out


def test_odds_against_scipy():
    plan = Rollout(waves=(10, 200, 3000), abort=0.02, reported=0.8)
    table = wave_odds(plan, 0.03)
    assert table.allowed.to_list() == [0, 4, 60]
    assert table.index.to_list() == [1, 2, 3]
    assert table.index.name == "wave"
    np.testing.assert_allclose(
        table.p_stop, stats.binom.sf([0, 4, 60], [10, 200, 3000], 0.024), rtol=1e-12
    )
    first, second, _ = table.p_stop
    np.testing.assert_allclose(table.p_reached, [1.0, 1 - first, (1 - first) * (1 - second)])
    np.testing.assert_allclose(
        table.exposed, np.cumsum([10, 200 * (1 - first), 3000 * (1 - first) * (1 - second)])
    )
    np.testing.assert_allclose(table.p_stopped, 1 - np.cumprod(1 - table.p_stop))


def test_odds_at_the_edges():
    assert (wave_odds(Rollout(waves=(5, 50), abort=0.0), 0.0).p_stop == 0.0).all()
    assert wave_odds(Rollout(waves=(5, 50), abort=0.0), 1.0).p_stop.to_list() == [1.0, 1.0]
    assert (wave_odds(Rollout(waves=(5, 50), abort=1.0), 1.0).p_stop == 0.0).all()
    assert (wave_odds(Rollout(waves=(5, 50), abort=0.0, reported=0.0), 1.0).p_stop == 0.0).all()
    assert wave_odds(Rollout(waves=(100,), abort=0.07), 0.1).allowed.to_list() == [
        7
    ]  # 0.07 * 100 is 7.000000000000001
    assert wave_odds(Rollout(waves=(100,), abort=0.29), 0.1).allowed.to_list() == [
        29
    ]  # and 0.29 * 100 is 28.999999999999996


def roll_out(plan, failure, rng):
    """One roll-out as it may go: what `wave_odds` counts, by chance."""
    rows = []
    broken = 0
    for cars, permitted in zip(plan.waves, wave_odds(plan, failure).allowed, strict=True):
        failed = int(rng.binomial(cars, failure))
        reports = int(rng.binomial(failed, plan.reported))
        broken += failed
        stopped = reports > permitted
        left = int(rng.binomial(broken, 1 - plan.rolled_back)) if stopped else broken
        rows.append((cars, failed, stopped, left))
        if stopped:
            break
    return pd.DataFrame(rows, columns=["updated", "failed", "stopped", "left_broken"])


def test_roll_outs_against_the_odds():
    plan = Rollout(waves=(10, 100, 500), abort=0.05, reported=0.9, rolled_back=0.75)
    table = wave_odds(plan, 0.06)
    draw = rng()
    runs = [roll_out(plan, 0.06, draw) for _ in range(200)]
    exposed = np.mean([run.updated.sum() for run in runs])
    assert exposed == pytest.approx(table.exposed.iloc[-1], rel=0.1)
    stopped_at_once = np.mean([run.stopped.iloc[0] for run in runs])
    assert stopped_at_once == pytest.approx(table.p_stop[1], abs=0.1)
    ended = [run for run in runs if run.stopped.iloc[-1]]
    failed = sum(run.failed.sum() for run in ended)
    left = sum(run.left_broken.iloc[-1] for run in ended)
    assert left / failed == pytest.approx(0.25, abs=0.03)
    assert len(roll_out(replace(plan, abort=1.0), 0.5, draw)) == 3


# --------------------------------------------------------------------------------------- the module


def test_no_clock_no_print():
    source = Path(module.__file__).read_text(encoding="utf-8")
    assert not re.search(
        r"\btime\.(time|monotonic|perf_counter)|^\s*print\(|matplotlib|plotly|classroom",
        source,
        re.MULTILINE,
    )


def test_importing_it_loads_no_package_of_the_live_part():
    rare = {"ocpp", "websockets", "jsonschema", "fastjsonschema", "scipy"}
    code = "import sys; from v2gbook import messaging; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert rare & set(told.stdout.split()) == set()
