"""The live half of topic 06: real sockets, cut cables, bad neighbours, a foreign peer."""

import asyncio
import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from ocpp.messages import MessageType, get_validator, unpack
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from v2gbook import csms
from v2gbook.csms import CentralSystem, ChargePoint, charge_points, measure, send_setpoints
from v2gbook.messaging import Backoff, setpoint_profile

START = "2026-01-01T00:00:00Z"
QUICK = Backoff(wait_s=0.01, random_s=0.01, doublings=2)


def rng(seed=6):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CentralSystem(heartbeat_s=1.5), "heartbeat_s is 1.5; it must be a whole number"),
        (lambda: ChargePoint("a/b", "ws://x", rng=rng()), "name is 'a/b'"),
        (lambda: ChargePoint("x", "http://x", rng=rng()), "url is 'http://x'"),
        (lambda: CentralSystem().cut("CP0"), "point is 'CP0'; no charge point of this name"),
        (lambda: CentralSystem(answer_s=0), "answer_s is 0"),
        (lambda: CentralSystem(heartbeat_s=0), "heartbeat_s is 0"),
        (lambda: CentralSystem(tolerance_kw=-1), "tolerance_kw is -1"),
        (
            lambda: ChargePoint("x", "ws://x", behaviour="odd", rng=rng()),
            "behaviour is 'odd'; it must be one of 'honest', 'liar', 'garbage', 'silent'",
        ),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ChargePoint(5, "ws://x", rng=rng()), "name is 5"),
        (lambda: ChargePoint("x", "ws://x", rng=7), "rng is 7"),
        (lambda: ChargePoint("x", "ws://x", rng=rng(), backoff=1.0), "backoff is 1.0"),
        (lambda: asyncio.run(measure(1, rng=7)), "rng is 7"),
        (lambda: asyncio.run(measure(1, rng=rng(), progress=1)), "progress is 1"),
        (lambda: asyncio.run(send_setpoints("central", {})), "central is 'central'"),
    ],
)
def test_wrong_kinds(make, words):
    with pytest.raises(TypeError, match=re.escape(words)):
        make()


@pytest.mark.parametrize("n_cars", [0, 1.5, 10_001])
def test_a_number_of_charge_points_that_cannot_be(n_cars):
    for call in (measure(n_cars, rng=rng()), entered(n_cars)):
        with pytest.raises(ValueError, match=f"n_cars is {n_cars}"):
            asyncio.run(call)


async def entered(n_cars):
    async with charge_points("ws://127.0.0.1:1", n_cars, rng=rng()):
        pass


# ------------------------------------------------------------------------------------- real sockets


def live(scenario):
    """Run a scenario, and insist that it leaves neither a task nor a connection behind."""

    async def run():
        result = await asyncio.wait_for(scenario(), 30.0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(run())


@pytest.mark.parametrize("protocols", [None, ["ocpp1.6"]])
def test_live_only_ocpp_2_1_is_spoken(protocols):
    async def scenario():
        async with CentralSystem() as central:
            with pytest.raises(InvalidStatus, match="400"):
                async with connect(f"{central.url}/Old", subprotocols=protocols, proxy=None):
                    pass

    live(scenario)


async def until(condition):
    """Wait for something that will happen soon."""
    async with asyncio.timeout(4.0):
        while not condition():
            await asyncio.sleep(0.002)


def test_live_setpoints_and_meters():
    async def scenario():
        async with (
            CentralSystem() as central,
            charge_points(central.url, 12, rng=rng(), backoff=QUICK) as points,
        ):
            await central.online(points)
            orders = {name: round(-5.5 + i, 3) for i, name in enumerate(points)}
            frame = await send_setpoints(central, orders)
            await until(lambda: central.meter_kw == orders)
            again = await send_setpoints(central, {"CP0003": 0.0})
            await until(lambda: central.meter_kw["CP0003"] == 0.0)
            return (
                central.log,
                frame,
                again,
                {name: point.applied for name, point in points.items()},
                orders,
                central.meter_kw["CP0003"],
            )

    log, frame, again, applied, orders, rest = live(scenario)
    assert (frame.status == "accepted").all()
    assert (frame.attempts == 1).all()
    assert (frame.number == 1).all()
    assert (frame.latency_s > 0).all()
    assert frame.p_kw.to_dict() == orders
    assert frame.index.name == "point"
    assert again.number.to_list() == [2]
    assert applied["CP0003"] == [(1, orders["CP0003"]), (2, 0.0)]
    assert applied["CP0011"] == [(1, 5.5)]
    assert math.copysign(1, rest) == 1.0
    assert set(log.event) == {"connected", "disconnected"} or set(log.event) == {"connected"}


def test_live_a_cut_link_loses_nothing_and_repeats_nothing():
    """Each acknowledgement is cut off once: the order is sent again, and acted on once."""

    async def scenario():
        async with (
            CentralSystem(answer_s=1.0) as central,
            charge_points(central.url, 4, rng=rng(), backoff=QUICK) as points,
        ):
            await central.online(points)
            cuts = itertools.count()
            for name, point in points.items():
                act = point._ordered

                def cut_before_the_answer(payload, act=act, name=name, point=point):
                    answer = act(payload)
                    newest = csms._number_of(payload["chargingProfile"]) == point.newest
                    if newest and point.duplicates != point.newest and next(cuts) < 4:
                        central.cut(name)
                    return answer

                point._ordered = cut_before_the_answer
                point._cut = cut_before_the_answer
            # handlers were bound when the link was made: reconnect once so that these are used
            for name in points:
                central.cut(name)
            await until(lambda: all(point.connections == 2 for point in points.values()))
            receipts = await send_setpoints(central, dict.fromkeys(points, 4.0))
            await until(lambda: list(central.meter_kw.values()) == [4.0] * 4)
            return receipts, points, central.log

    receipts, points, log = live(scenario)
    assert (receipts.status == "accepted").all()
    assert (receipts.attempts == 2).all()
    for point in points.values():
        assert (point.applied, point.duplicates, point.connections) == ([(1, 4.0)], 1, 3)
    assert (log.event == "disconnected").sum() >= 8
    assert (log.event == "connected").sum() == 12


@pytest.mark.parametrize(
    ("name", "p_kw", "kind", "words"),
    [
        ("CP0001", math.nan, ValueError, "setpoints_kw['CP0001'] contains NaN"),
        ("CP0001", 1e12, ValueError, "setpoints_kw['CP0001'] is 1000000000000 kW"),
        ("CP0001", [1.0, 2.0], ValueError, "setpoints_kw['CP0001'] has shape (2,)"),
        ("CP0001", "full", ValueError, "setpoints_kw['CP0001'] must be a number"),
        (7, 1.0, TypeError, "a name in setpoints_kw is 7"),
    ],
)
def test_live_one_wrong_setpoint_moves_no_car(name, p_kw, kind, words):
    async def scenario():
        async with (
            CentralSystem() as central,
            charge_points(central.url, 3, rng=rng(), backoff=QUICK) as points,
        ):
            await central.online(points)
            with pytest.raises(kind, match=re.escape(words)):
                await send_setpoints(central, {"CP0000": 5.0, name: p_kw, "CP0002": 5.0})
            with pytest.raises((ValueError, TypeError)):
                await central.send(name, p_kw)
            after = await send_setpoints(central, {"CP0001": 1.0})
            return after, [point.applied for point in points.values()]

    after, applied = live(scenario)
    assert after.number.to_list() == [1]
    assert applied == [[], [(1, 1.0)], []]


def test_live_a_central_system_that_does_not_run():
    async def scenario():
        central = CentralSystem()
        for call in (
            send_setpoints(central, {"CP0": 1.0}),
            central.send("CP0", 1.0),
            central.online([]),
        ):
            with pytest.raises(ValueError, match="central does not run"):
                await call

    live(scenario)


def test_live_wrong_names_times_and_nothing_to_do():
    async def scenario():
        async with CentralSystem() as central:
            with pytest.raises(TypeError, match="put it into a list"):
                await central.online("CP0000")
            with pytest.raises(ValueError, match="timeout_s is 0"):
                await central.online([], timeout_s=0)
            with pytest.raises(ValueError, match="give_up_s contains NaN"):
                await send_setpoints(central, {"CP0": 1.0}, give_up_s=math.nan)
            return await send_setpoints(central, {})

    empty = live(scenario)
    assert empty.empty
    assert list(empty.columns) == ["p_kw", "status", "number", "attempts", "latency_s"]


BOOTS = {
    "no interval": {"status": "Accepted"},
    "text": {"status": "Accepted", "interval": "soon"},
    "list": {"status": "Accepted", "interval": []},
    "null": {"status": "Accepted", "interval": None},
    "negative": {"status": "Accepted", "interval": -5},
    "no status": {"interval": 0},
    "empty": [],
    "number": 5,
    "nothing": None,
    "rejected": {"status": "Rejected", "interval": 0},
}


async def reception(answer, seconds):
    """What a charge point sends to a central system that answers each call in this way."""
    arrived = []

    async def host(socket):
        async for text in socket:
            call = unpack(text)
            arrived.append((asyncio.get_running_loop().time(), call.action))
            await socket.send(json.dumps([3, call.unique_id, answer]))

    async with csms.serve(host, "127.0.0.1", 0, subprotocols=["ocpp2.1"]) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        point = ChargePoint("P", url, backoff=Backoff(wait_s=0.05, random_s=0.0), rng=rng())
        task = asyncio.create_task(point.run())
        await asyncio.sleep(seconds)
        runs = not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return runs, arrived, point


def test_live_a_failed_boot_backs_off():
    """Each answer by a server of its own, all at the same time."""

    async def receptions():
        return await asyncio.gather(*(reception(answer, 0.5) for answer in BOOTS.values()))

    for name, (runs, arrived, point) in zip(BOOTS, live(receptions)):
        assert runs, name
        assert point.connections == 0, name
        assert {action for _, action in arrived} == {"BootNotification"}, name
        assert 2 <= len(arrived) <= 4, name  # at 0, 0.05, 0.15, 0.35 s


def test_live_no_more_than_one_heartbeat_a_second():
    answer = {"status": "Accepted", "interval": 0, "currentTime": START}
    runs, arrived, point = live(lambda: reception(answer, 0.5))
    assert runs
    assert point.connections == 1
    assert [action for _, action in arrived] == ["BootNotification"]


def test_live_a_rejected_charge_point_waits_as_long_as_it_was_told():
    answer = {"status": "Rejected", "interval": 0.3, "currentTime": START}
    _, arrived, _ = live(lambda: reception(answer, 0.5))
    assert len(arrived) == 2
    assert arrived[1][0] - arrived[0][0] >= 0.3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chargingRateUnit": "A"}, "UnsupportedParam"),
        ({"chargingSchedulePeriod": [{"startPeriod": 0, "limit": 1.0}]}, "UnsupportedParam"),
        ({"startSchedule": "tomorrow"}, "InvalidProfile"),
    ],
)
def test_a_charge_point_rejects_what_it_would_not_follow(change, reason):
    point = ChargePoint("P", "ws://127.0.0.1:1", rng=rng())
    order = setpoint_profile(1, 5.0)
    order["chargingSchedule"] = [order["chargingSchedule"][0] | change]
    answer = point._ordered({"chargingProfile": order})
    assert answer == {"status": "Rejected", "statusInfo": {"reasonCode": reason}}
    assert point.applied == []


def test_a_set_point_replaces_the_one_before_under_the_same_profile():
    """OCPP 2.1, K01.FR.39: another id with the same stack level would have to be refused."""
    point = ChargePoint("P", "ws://127.0.0.1:1", rng=rng())
    orders = [setpoint_profile(1, p_kw) | csms._numbered(n) for n, p_kw in ((1, 5.0), (3, 2.0))]
    for order in [*orders, setpoint_profile(1, -4.0)]:
        assert point._ordered({"chargingProfile": order}) == {"status": "Accepted"}
    assert point.applied == [(1, 5.0), (3, 2.0), (4, -4.0)], "without a number the last counts"
    late = setpoint_profile(1, 9.0) | csms._numbered(2)
    reason = {"status": "Rejected", "statusInfo": {"reasonCode": "Outdated"}}
    assert point._ordered({"chargingProfile": late}) == reason


def test_a_number_with_another_power_is_no_repeat():
    point = ChargePoint("P", "ws://127.0.0.1:1", rng=rng())
    first, other = (setpoint_profile(1, p_kw) | csms._numbered(1) for p_kw in (3.0, -6.0))
    assert point._ordered({"chargingProfile": first})["status"] == "Accepted"
    assert point._ordered({"chargingProfile": other})["status"] == "Rejected"
    assert point._ordered({"chargingProfile": first})["status"] == "Accepted"
    assert point.applied == [(1, 3.0)]
    assert point.duplicates == 1


def test_live_a_central_system_that_starts_anew_goes_on_numbering():
    """Charge points know the newest number; orders that waited for them count from there, too."""

    async def scenario():
        async with CentralSystem() as old:
            point = ChargePoint("P", old.url, backoff=QUICK, rng=rng())
            task = asyncio.create_task(point.run())
            for p_kw in (1.0, 2.0, 3.0):
                await old.send("P", p_kw)
        async with CentralSystem() as new:
            waiting = [asyncio.create_task(new.send("P", -p_kw)) for p_kw in (1.0, 2.0, 3.0)]
            await asyncio.sleep(0)
            point.url = new.url
            receipts = [await order for order in waiting]
            receipts.append(await new.send("P", -7.0))
            log = set(new.log.event)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return point, receipts, log

    point, receipts, log = live(scenario)
    assert [receipt.status for receipt in receipts] == ["superseded"] * 2 + ["accepted"] * 2
    assert [receipt.number for receipt in receipts[2:]] == [6, 7]
    assert point.applied == [(1, 1.0), (2, 2.0), (3, 3.0), (6, -3.0), (7, -7.0)]
    assert "rejected" not in log


@pytest.mark.parametrize(
    ("unit", "p_kw"), [({"unit": "W"}, 2.5), ({"unit": "kW"}, 2500.0), ({"unit": "Wh"}, None)]
)
def test_a_meter_says_its_unit(unit, p_kw):
    central = CentralSystem()
    central._note = lambda *_: None
    sample = {"value": 2500.0, "measurand": "Power.Active.Export", "unitOfMeasure": unit}
    payload = {"meterValue": [{"sampledValue": [sample]}]}
    if p_kw is None:
        with pytest.raises(KeyError):
            central._metered("P", payload)
    else:
        central._metered("P", payload)
        assert central.meter_kw == {"P": p_kw}


def test_live_offline_then_back():
    """An order waits for a charge point; a newer one overtakes it; a missing one is given up."""

    async def scenario():
        async with CentralSystem() as central:
            waiting = [
                asyncio.create_task(central.send("CP0000", p_kw)) for p_kw in (1.0, 2.0, 3.0)
            ]
            lost = await central.send("CP9999", 1.0, give_up_s=0.05)
            async with charge_points(central.url, 1, rng=rng(), backoff=QUICK) as points:
                return await asyncio.gather(*waiting), lost, points["CP0000"].applied, central.log

    receipts, lost, applied, log = live(scenario)
    assert [receipt.status for receipt in receipts] == [
        "superseded",
        "superseded",
        "accepted",
    ]
    assert applied == [(3, 3.0)]
    assert [receipt.attempts for receipt in receipts] == [0, 0, 1]
    assert lost.status == "unanswered"
    assert lost.attempts == 0
    assert 0.05 <= lost.latency_s < 1.0
    assert log[log.event == "gave up"].point.to_list() == ["CP9999"]


def test_live_bad_neighbours():
    """Liar, babbler and mute are named in the log; the honest ones are served as if alone."""

    async def scenario():
        bad = {"CP0001": "liar", "CP0002": "garbage", "CP0003": "silent"}
        async with (
            CentralSystem(answer_s=0.1) as central,
            charge_points(central.url, 6, rng=rng(), behaviours=bad, backoff=QUICK) as points,
        ):
            await central.online(points)
            frame = await send_setpoints(central, dict.fromkeys(points, 5.0), give_up_s=0.25)
            await until(lambda: "meter disagrees" in set(central.log.event))
            return frame, central.log, points

    frame, log, points = live(scenario)
    assert frame.status.to_list() == [
        "accepted",
        "accepted",
        "unanswered",
        "unanswered",
        "accepted",
        "accepted",
    ]
    events = {event: set(rows.point) for event, rows in log.groupby("event")}
    assert events["meter disagrees"] == {"CP0001"}
    assert events["not OCPP"] == {"CP0002"}
    assert events["no answer"] == {"CP0002", "CP0003"}
    assert events["gave up"] == {"CP0002", "CP0003"}
    assert frame.attempts["CP0003"] == 3
    assert (
        "set-point 1 is 5.0 kW, the meter says 0 kW"
        in log[log.event == "meter disagrees"].detail.iloc[0]
    )
    assert points["CP0003"].applied == []
    assert points["CP0001"].applied == [(1, 5.0)]
    assert points["CP0001"].p_kw == 0.0


EXPORT = '{"value": %s, "measurand": "Power.Active.Export"}'
FRAMES = [
    "",
    "null",
    "{}",
    "[]",
    "[2]",
    "[7, 1]",
    "[[2], 1, 2, 3]",
    '[2, {"a": 1}, "Heartbeat", {}]',
    '[3, ["x"], {}]',
    '[3, "99", {"status": "Accepted"}]',
    '[2, "1", ["Heartbeat"], {}]',
    '[2, "1", "Party", {}]',
    '[2, "1", "MeterValues", 5]',
    '[2, "1", "MeterValues", {"meterValue": []}]',
    f'[2, "1", "MeterValues", {{"meterValue": [{{"sampledValue": [{EXPORT % "NaN"}]}}]}}]',
    f'[2, "1", "MeterValues", {{"customData": {{"setpoint": [1]}}, '
    f'"meterValue": [{{"sampledValue": [{EXPORT % "1.0"}]}}]}}]',
    "[" * 100_000,
    b"\xff\xfe",
]


def test_live_rubbish_is_refused_and_the_link_survives():
    async def scenario():
        async with (
            CentralSystem() as central,
            connect(f"{central.url}/Vandal", subprotocols=["ocpp2.1"], proxy=None) as socket,
        ):
            for frame in FRAMES:
                await socket.send(frame)
            await socket.send('[2, "ok", "BootNotification", {}]')
            while unpack(text := await socket.recv()).unique_id != "ok":
                assert unpack(text).message_type_id == MessageType.CallError
            refused, answers = len(central.log), asyncio.create_task(central.send("Vandal", 1.0))
            results = []
            for payload in ('{"status": "Rejected"}', "5", '{"status": 7}', "{}"):
                order = unpack(await socket.recv())
                await socket.send(f'[3, "{order.unique_id}", {payload}]')
                results.append((await answers).status)
                answers = asyncio.create_task(central.send("Vandal", 1.0))
            order = unpack(await socket.recv())
            await socket.send(f'[4, "{order.unique_id}", "InternalError", "", {{}}]')
            results.append((await answers).status)
            return refused, results, text, central.log

    refused, results, text, log = live(scenario)
    assert refused == len(FRAMES) + 1
    assert results == ["rejected"] * 5
    assert unpack(text).payload["status"] == "Accepted"
    assert set(log.event) == {
        "not OCPP",
        "answer to nothing",
        "refused call",
        "connected",
        "rejected",
    } or "disconnected" in set(log.event)
    assert (log.event == "refused call").sum() == 5
    assert log.detail.str.len().max() <= 120


def test_live_every_frame_obeys_the_official_schema(monkeypatch):
    """Both sides' frames against the schemas of OCPP 2.1, seen by a foreign peer on each side."""
    monkeypatch.setattr(csms, "_SHORTEST_HEARTBEAT_S", 0.01)
    seen = []

    def check(text, action):
        message = unpack(text)
        kind = (
            MessageType.Call
            if message.message_type_id == MessageType.Call
            else MessageType.CallResult
        )
        get_validator(kind, action or message.action, "2.1").validate(message.payload)
        seen.append((kind, action or message.action))
        return message

    async def foreign(central_url):
        async with connect(
            f"{central_url}/Foreign", subprotocols=["ocpp2.1"], proxy=None
        ) as socket:
            assert socket.subprotocol == "ocpp2.1"
            await socket.send('[2, "b", "Heartbeat", {}]')
            check(await socket.recv(), "Heartbeat")
            await socket.send(
                '[2, "a", "BootNotification", {"reason": "PowerUp", '
                '"chargingStation": {"model": "m", "vendorName": "v"}}]'
            )
            check(await socket.recv(), "BootNotification")
            order = check(await socket.recv(), None)
            await socket.send(f'[3, "{order.unique_id}", {{"status": "Accepted"}}]')
            await socket.send(
                '[2, "c", "MeterValues", {"evseId": 1, '
                f'"meterValue": [{{"timestamp": "{START}", '
                f'"sampledValue": [{EXPORT % "2500.0"}]}}], '
                '"customData": {"vendorId": "v2gbook", "setpoint": 1}}]'
            )
            check(await socket.recv(), "MeterValues")
            return order.payload["chargingProfile"]

    async def scenario():
        async with CentralSystem() as central:
            order = asyncio.create_task(central.send("Foreign", 2.5))
            sent = await foreign(central.url)
            assert (await order).status == "accepted"
            assert central.meter_kw == {"Foreign": 2.5}
            assert central.heartbeats == 1
            assert sent == setpoint_profile(1, 2.5) | csms._numbered(1)
            assert "meter disagrees" not in set(central.log.event)

        async def host(socket):
            boot = check(await socket.recv(), None)
            await socket.send(
                boot.create_call_result(
                    {"currentTime": START, "interval": 0.01, "status": "Accepted"}
                ).to_json()
            )
            check(beat := await socket.recv(), None)
            await socket.send(unpack(beat).create_call_result({"currentTime": START}).to_json())
            for number, watts in ((5, -3000.0), (5, -3000.0), (4, 1000.0), (6, 2000.0)):
                await socket.send(
                    json.dumps(
                        [
                            2,
                            f"n{number}{watts}",
                            "SetChargingProfile",
                            {
                                "evseId": 1,
                                "chargingProfile": setpoint_profile(1, -watts / 1000)
                                | csms._numbered(number),
                            },
                        ]
                    )
                )
                answers = []
                while not answers:
                    message = unpack(text := await socket.recv())
                    if message.message_type_id == MessageType.Call:
                        check(text, None)
                        meters.append(message.payload) if message.action == "MeterValues" else None
                        await socket.send(
                            message.create_call_result(
                                {} if message.action == "MeterValues" else {"currentTime": START}
                            ).to_json()
                        )
                    else:
                        answers.append(check(text, "SetChargingProfile").payload)
                replies.extend(answers)
            bad = setpoint_profile(7, 1.0)
            bad["chargingSchedule"][0]["chargingSchedulePeriod"][0].pop("setpoint")
            await socket.send(
                json.dumps([2, "bad", "SetChargingProfile", {"evseId": 1, "chargingProfile": bad}])
            )
            while unpack(text := await socket.recv()).message_type_id == MessageType.Call:
                pass
            replies.append(check(text, "SetChargingProfile").payload)
            done.set()

        meters = []
        replies = []
        done = asyncio.Event()
        async with csms.serve(host, "127.0.0.1", 0, subprotocols=["ocpp2.1"]) as server:
            point = ChargePoint(
                "P",
                f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}",
                backoff=QUICK,
                rng=rng(),
            )
            task = asyncio.create_task(point.run())
            await done.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return point, replies, meters

    point, replies, meters = live(scenario)
    assert {action for _, action in seen} == {
        "BootNotification",
        "Heartbeat",
        "SetChargingProfile",
        "MeterValues",
    }
    assert [reply["status"] for reply in replies] == [
        "Accepted",
        "Accepted",
        "Rejected",
        "Accepted",
        "Rejected",
    ]
    assert [reply["statusInfo"]["reasonCode"] for reply in replies if "statusInfo" in reply] == [
        "Outdated",
        "InvalidProfile",
    ]
    assert point.applied == [(5, 3.0), (6, -2.0)]
    assert point.duplicates == 1
    assert point.newest == 6
    assert point.p_kw == -2.0
    first = meters[0]
    assert first["customData"]["setpoint"] == 5
    assert first["meterValue"][0]["sampledValue"][0] == {
        "value": 3000.0,
        "measurand": "Power.Active.Export",
        "unitOfMeasure": {"unit": "W"},
    }


def test_live_a_second_connection_with_the_same_name_wins():
    async def scenario():
        async with (
            CentralSystem() as central,
            connect(f"{central.url}/Twin", subprotocols=["ocpp2.1"], proxy=None) as first,
        ):
            await first.send('[2, "a", "BootNotification", {}]')
            await first.recv()
            async with connect(
                f"{central.url}/Twin", subprotocols=["ocpp2.1"], proxy=None
            ) as second:
                await second.send('[2, "a", "BootNotification", {}]')
                await second.recv()
                with pytest.raises(ConnectionClosed):
                    await first.recv()
                order = asyncio.create_task(central.send("Twin", 1.0))
                await second.send(
                    f'[3, "{unpack(await second.recv()).unique_id}", {{"status": "Accepted"}}]'
                )
                return (await order).status

    assert live(scenario) == "accepted"


def test_live_cancelled_in_the_middle():
    """Whoever stops a cell gets the ports and tasks back."""
    address = []

    async def busy():
        async with (
            CentralSystem() as central,
            charge_points(
                central.url, 8, rng=rng(), behaviours={"CP0001": "silent"}, backoff=QUICK
            ) as points,
        ):
            await central.online(points)
            address.append(central._server.sockets[0].getsockname())
            await send_setpoints(central, dict.fromkeys(points, 1.0), give_up_s=60.0)

    async def scenario():
        task = asyncio.create_task(busy())
        await until(lambda: address)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(OSError):
            await asyncio.open_connection(*address[0])

    live(scenario)


def test_live_measure():
    ticks = []
    frame = live(
        lambda: measure(5, rate_per_s=20.0, duration_s=0.2, rng=rng(), progress=ticks.append)
    )
    assert len(frame) == 20
    assert ticks == [1] * 4
    assert frame.t_s.round(6).unique().tolist() == [0.0, 0.05, 0.1, 0.15]
    assert (frame.latency_s > 0).all()
    assert list(frame.columns) == ["t_s", "point", "status", "attempts", "latency_s"]
    assert set(frame.status) <= {"accepted", "superseded"}


def test_live_unknown_names_are_refused():
    async def scenario():
        async with charge_points("ws://127.0.0.1:1", 2, rng=rng(), behaviours={"CP0007": "liar"}):
            pass

    with pytest.raises(
        ValueError,
        match="behaviours names 'CP0007', but the charge points are CP0000 to CP0001",
    ):
        live(scenario)


# --------------------------------------------------------------------------------------- the module


def test_no_clock_no_print():
    """The event loop's clock is the only one."""
    source = Path(csms.__file__).read_text(encoding="utf-8")
    assert not re.search(
        r"\btime\.(time|monotonic|perf_counter)|^\s*print\(|matplotlib|plotly|classroom",
        source,
        re.MULTILINE,
    )
