"""csms: a charging-station management system and charge points, live on real WebSockets.

`CentralSystem` sends set-points, each `ChargePoint` acts on them, both on loopback and in OCPP 2.1;
`charge_points` starts many, `send_setpoints` gives an order to each, and `measure` says how fast
this machine is. Everything here is to be awaited in a notebook. What the messages mean, and how
long they take in a fleet, is in `messaging`.

In this course p > 0 flows from the vehicle to the grid; OCPP's wire has the other sign. Here the
event loop's clock is read, and nowhere else.
"""

import asyncio
import itertools
import json
import math
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from ocpp.exceptions import OCPPError
from ocpp.messages import Call, CallError, CallResult, unpack
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from ._check import instance, instances, one, one_of, short, whole
from .messaging import (
    MOST_KW,
    Backoff,
    _setpoint_profile,
    from_wire_kw,
    setpoint_profile,
    validate,
)

_SUBPROTOCOL = Subprotocol("ocpp2.1")
_SOCKET: dict[str, Any] = {"compression": None, "ping_interval": None, "close_timeout": 1.0}
_BEHAVIOURS = ("honest", "liar", "garbage", "silent")
_PATIENCE_S = 10.0  # of a charge point, for one answer
_SHORTEST_HEARTBEAT_S = 1.0  # whatever a central system asks for
_LONGEST_WAIT_S = 1e6
_PROFILE = 1  # id of the one profile that every set-point replaces, as OCPP 2.1 K01.FR.39 asks
_MOST_POINTS = 10_000
_SETPOINTS = ("setpoint", "setpoint_L2", "setpoint_L3")  # one for all phases, or one for each
_IDENTITY = re.compile(r"[A-Za-z0-9*\-_=:+|@.]{1,48}")  # what OCPP allows as a name


def _numbered(number):
    """The number of a set-point, as OCPP lets a vendor add it to a message."""
    return {"customData": {"vendorId": "v2gbook", "setpoint": number}}


def _number_of(payload):
    """The number of the set-point that a message is about, or None; ValueError if it is none."""
    number = payload.get("customData", {}).get("setpoint")
    return None if number is None else whole("setpoint", number)


class _Wire:
    """One WebSocket, both ways: frames of the package `ocpp`, one call in flight a side.

    `handlers` maps an action to a function of the payload that returns the answer's payload, raises
    ValueError to refuse, or returns None for no answer at all. `refuse(what, detail)` is called for
    everything that is not OCPP.
    """

    def __init__(self, socket, handlers, refuse):
        self.socket = socket
        self.handlers = handlers
        self.refuse = refuse
        self.waiting: dict[str, asyncio.Future] = {}
        self.turn = asyncio.Lock()
        self.numbers = itertools.count(1)

    async def call(self, action, payload, timeout_s):
        """Send a call and await its answer, a CallResult or CallError.

        TimeoutError or ConnectionClosed when there is none.
        """
        async with self.turn:
            number = str(next(self.numbers))
            answer = asyncio.get_running_loop().create_future()
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
        message = _unpacked(text)
        if message is None:
            self.refuse("not OCPP", str(text)[:60])
        elif isinstance(message, Call):
            await self._answer(message)
        else:
            self._deliver(message, text)

    def _deliver(self, message, text):
        """Give an answer to the one who waits for it."""
        answer = self.waiting.get(message.unique_id)
        if answer is None or answer.done():
            self.refuse("answer to nothing", str(text)[:60])
        else:
            answer.set_result(message)

    async def _answer(self, message):
        """Act on a call, and answer it."""
        handler = self.handlers.get(message.action)
        if handler is None:
            await self._turn_down(message, "NotImplemented", "there is no handler")
            return
        try:
            payload = handler(message.payload)
        except Exception as problem:  # whatever a stranger sent, the others are served
            await self._turn_down(message, "FormatViolation", repr(problem))
            return
        if isinstance(payload, str):
            await self.socket.send(payload)
        elif payload is not None:
            await self.socket.send(message.create_call_result(payload).to_json())

    async def _turn_down(self, message, code, why):
        self.refuse("refused call", f"{message.action}: {why}"[:120])
        await self.socket.send(CallError(message.unique_id, code, "", {}).to_json())


def _unpacked(text):
    """A frame as a Call, CallResult or CallError; None if it is none of them."""
    try:
        message = unpack(text)
    except (OCPPError, TypeError, ValueError, RecursionError):
        return None
    named = isinstance(message.unique_id, str)
    if isinstance(message, Call):
        named = named and isinstance(message.action, str)
    return message if named else None


def _now():
    """A time stamp for the wire."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of a set-point.

    Attributes
    ----------
    status : str
        "accepted" (the charge point has stored it), "rejected", "superseded" (a newer one overtook
        it) or "unanswered".
    number : int
        Number of the set-point [-].
    attempts : int
        How often it was sent [-].
    latency_s : float
        From the order until it was acknowledged or given up [s].
    """

    status: str
    number: int
    attempts: int
    latency_s: float


class _Station:
    """What the central system knows of one charge point."""

    def __init__(self):
        self.wire: _Wire | None = None
        self.online = asyncio.Event()
        self.met = False
        self.orders = 0  # since this central system began
        self.before = 0  # number that the charge point had seen by then, from another life of ours
        self.sent: dict[int, float] = {}
        self.meter_kw = math.nan

    def meet(self, newest):
        """Number on from the newest set-point that the charge point has seen, whoever sent it."""
        if not self.met or newest > self.before + self.orders:
            self.before = newest
        self.met = True

    def number(self, order, p_kw):
        """Number of an order as it is sent; the power is kept to be compared with the meter."""
        number = self.before + order
        self.sent[number] = p_kw
        self.sent.pop(number - 100, None)
        return number


class CentralSystem:
    """A small charging-station management system on loopback.

    It runs within `async with CentralSystem() as central`. Every set-point has a number that only
    grows. One that is not acknowledged is sent again, on the next connection if need be, until it
    is acknowledged, overtaken, or `give_up_s` is over. Charge points know the number and act on it
    once. They tell the newest number that they know when they boot, and a central system that has
    been started anew goes on from there.

    Parameters
    ----------
    answer_s : float
        Patience for one answer, above 0 [s].
    heartbeat_s : int
        Interval of the heartbeats that charge points are told to keep, at least 1 [s].
    tolerance_kw : float
        A meter may differ from its set-point by this much before the log says so [kW].

    Attributes
    ----------
    url : str
        Address, with a free port that the operating system chose; "" while it does not run.
    heartbeats : int
        Heartbeats received [-].

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> async def one_order():
    ...     rng = np.random.default_rng(6)
    ...     async with CentralSystem() as central, charge_points(central.url, 1, rng=rng) as points:
    ...         await central.online(points)
    ...         return await central.send("CP0000", 5.0, give_up_s=10.0)
    >>> asyncio.run(one_order()).status
    'accepted'
    """

    def __init__(
        self, *, answer_s: float = 2.0, heartbeat_s: int = 60, tolerance_kw: float = 0.1
    ) -> None:
        self.answer_s = one("answer_s", answer_s, "s", gt=0, le=_LONGEST_WAIT_S)
        self.heartbeat_s = whole("heartbeat_s", heartbeat_s, "s", le=1_000_000)
        self.tolerance_kw = one("tolerance_kw", tolerance_kw, "kW", ge=0)
        self.url = ""
        self.heartbeats = 0
        self._began_s = 0.0
        self._stations: dict[str, _Station] = {}
        self._events: deque[tuple[float, str, str, str]] = deque(maxlen=10_000)

    async def __aenter__(self) -> "CentralSystem":
        validate(setpoint_profile(1, 0.0))  # reads the schema before anybody waits for it
        self._began_s = asyncio.get_running_loop().time()
        self._server = await serve(
            self._connected, "127.0.0.1", 0, subprotocols=[_SUBPROTOCOL], **_SOCKET
        )
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.url = ""
        self._server.close()
        await self._server.wait_closed()

    @property
    def log(self) -> pd.DataFrame:
        """Connections, cuts and refusals, the last 10,000, as a table.

        Returns
        -------
        DataFrame
            Index `t_s`, since the start [s]; `point`, `event` and `detail`.
        """
        events = pd.DataFrame(list(self._events), columns=["t_s", "point", "event", "detail"])
        return events.set_index("t_s")

    @property
    def meter_kw(self) -> dict[str, float]:
        """Latest meter value of each charge point, by name.

        Returns
        -------
        dict
            Power, p > 0 flows from the vehicle to the grid; NaN before the first value [kW].
        """
        return {point: station.meter_kw for point, station in self._stations.items()}

    def _note(self, point, event, detail=""):
        t_s = round(asyncio.get_running_loop().time() - self._began_s, 4)
        self._events.append((t_s, point, event, detail))

    def _station(self, point):
        return self._stations.setdefault(point, _Station())

    async def _connected(self, socket):
        """One connection, from the handshake to the cut."""
        point = socket.request.path.rpartition("/")[2]
        station = self._station(point)
        handlers = {"Heartbeat": self._heartbeat, "MeterValues": partial(self._metered, point)}
        wire = _Wire(socket, handlers, partial(self._note, point))
        handlers["BootNotification"] = partial(self._booted, point, wire)
        if station.wire:  # a second connection with the same name wins
            await station.wire.socket.close(1008, "replaced")
        try:
            await wire.serve()
        except ConnectionClosed:
            pass
        finally:
            self._lost(point, wire)

    def _booted(self, point, wire, payload):
        station = self._station(point)
        station.meet(_number_of(payload) or 0)
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
        station = self._station(point)
        number = _number_of(payload)
        sample = payload["meterValue"][0]["sampledValue"][0]
        signs = {"Power.Active.Export": 1.0, "Power.Active.Import": -1.0}
        export = signs[sample.get("measurand")]
        per_kw = {"W": 1000.0, "kW": 1.0}[sample.get("unitOfMeasure", {}).get("unit", "W")]
        station.meter_kw = export * one("meter value", sample["value"]) / per_kw + 0.0
        ordered_kw = station.sent.get(number)
        if ordered_kw is None or abs(station.meter_kw - ordered_kw) > self.tolerance_kw:
            words = f"set-point {number} is {ordered_kw} kW, the meter says {station.meter_kw:g} kW"
            self._note(point, "meter disagrees", words)
        return {}

    def _must_run(self):
        if not self.url:
            raise ValueError("central does not run; use async with CentralSystem() as central")

    async def online(self, points: Iterable[str], timeout_s: float = 30.0) -> None:
        """Wait until all these charge points have booted.

        Parameters
        ----------
        points : iterable of str
            Names of charge points; a dict by name, as `charge_points` gives, will do.
        timeout_s : float
            How long to wait at most [s].

        Raises
        ------
        ValueError
            If the central system does not run, or the time is not above 0.
        TypeError
            If points is one name only, or holds something else than names.
        TimeoutError
            If some have not booted by then.
        """
        self._must_run()
        listed = list(points) if isinstance(points, Mapping) else points
        names = instances("points", listed, str)
        async with asyncio.timeout(one("timeout_s", timeout_s, "s", gt=0, le=_LONGEST_WAIT_S)):
            await asyncio.gather(*(self._station(name).online.wait() for name in names))

    def cut(self, point: str) -> None:
        """Cut the link to a charge point without a word, as a broken cable would.

        Parameters
        ----------
        point : str
            Name of the charge point.

        Raises
        ------
        ValueError
            If the central system has never met a charge point of this name.
        """
        if instance("point", point, str) not in self._stations:
            raise ValueError(f"point is {short(point)}; no charge point of this name has connected")
        wire = self._stations[point].wire
        if wire:
            wire.socket.transport.abort()

    async def send(self, point: str, p_kw: float, *, give_up_s: float = 10.0) -> Receipt:
        """Order a power, and stay with it until it is acknowledged.

        Parameters
        ----------
        point : str
            Name of the charge point; it may connect later.
        p_kw : float
            Power, p > 0 flows from the vehicle to the grid [kW].
        give_up_s : float
            Time after which the order is given up, above 0 [s].

        Returns
        -------
        Receipt
            What became of the order.

        Raises
        ------
        ValueError
            If a number is out of its range (nothing has been sent then), or the central system does
            not run.
        TypeError
            If point is no text.
        """
        self._must_run()
        instance("point", point, str)
        power = one("p_kw", p_kw, "kW", ge=-MOST_KW, le=MOST_KW)
        patience_s = one("give_up_s", give_up_s, "s", gt=0, le=_LONGEST_WAIT_S)
        return await self._send(point, power, patience_s)

    async def _send(self, point, p_kw, give_up_s):
        """The same from values that have been checked."""
        clock = asyncio.get_running_loop().time
        began_s = clock()
        station = self._station(point)
        station.orders += 1
        order = station.orders
        sent: list[int] = []
        try:
            async with asyncio.timeout(give_up_s):
                status = await self._until_settled(point, order, p_kw, sent)
        except TimeoutError:
            status = "unanswered"
            words = f"set-point {station.before + order} after {len(sent)} attempts"
            self._note(point, "gave up", words)
        return Receipt(
            status=status,
            number=station.before + order,
            attempts=len(sent),
            latency_s=clock() - began_s,
        )

    async def _until_settled(self, point, order, p_kw, sent):
        """Send a set-point until it is accepted, rejected or superseded; `sent` grows each time."""
        station = self._station(point)
        while True:
            await station.online.wait()
            if station.orders != order:
                return "superseded"
            if station.wire is None:  # cut again since
                continue
            number = station.number(order, p_kw)
            sent.append(number)
            status = await self._try(point, station.wire, number, p_kw)
            if status != "unanswered":
                return status

    async def _try(self, point, wire, number, p_kw):
        """One attempt: accepted, rejected, or unanswered."""
        profile = _setpoint_profile(_PROFILE, p_kw) | _numbered(number)
        request = {"evseId": 1, "chargingProfile": profile}
        try:
            answer = await wire.call("SetChargingProfile", request, self.answer_s)
        except TimeoutError:
            self._note(point, "no answer", f"to set-point {number}")
            return "unanswered"
        except ConnectionClosed:
            self._lost(point, wire)
            return "unanswered"
        payload = answer.payload if isinstance(answer, CallResult) else None
        if isinstance(payload, dict) and payload.get("status") == "Accepted":
            return "accepted"
        told = answer.payload if isinstance(answer, CallResult) else answer.error_code
        self._note(point, "rejected", json.dumps(told)[:120])
        return "rejected"


class ChargePoint:
    """A simulated charge point that keeps its connection.

    It runs as `task = asyncio.create_task(point.run())`; `charge_points` starts many.

    Parameters
    ----------
    name : str
        Identity, of letters, digits and ``*-_=:+|@.``, at most 48.
    url : str
        Address of the central system, ws:// or wss://.
    behaviour : str
        How it answers: "honest"; "liar" (accepts, and its meter shows that it does nothing);
        "garbage" (answers with something else than OCPP); "silent" (never answers).
    backoff : Backoff, optional
        Waits between attempts to connect. Default: 0.1 s, a random part of 0.1 s, five doublings.
    rng : numpy.random.Generator
        Source of the random part of the waits.

    Attributes
    ----------
    applied : list of tuple
        Number and power [kW] of each set-point acted on, in order. It and `newest` outlive a cut
        link, as a file on the station would.
    newest : int
        Highest number of a set-point so far [-].
    p_kw : float
        Power now, p > 0 flows from the vehicle to the grid [kW].
    duplicates : int
        Set-points that came again [-].
    connections : int
        Connections made [-].

    Raises
    ------
    ValueError
        If name, url or behaviour is not what it should be.
    TypeError
        If backoff is no Backoff, or rng no generator.

    Examples
    --------
    >>> point = ChargePoint(
    ...     "CP7",
    ...     "ws://127.0.0.1:9000",
    ...     behaviour="honest",
    ...     backoff=Backoff(wait_s=0.1),
    ...     rng=np.random.default_rng(6),
    ... )
    >>> point.applied, point.p_kw
    ([], 0.0)
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        behaviour: str = "honest",
        backoff: Backoff | None = None,
        rng: np.random.Generator,
    ) -> None:
        if not _IDENTITY.fullmatch(instance("name", name, str)):
            raise ValueError(
                f"name is {short(name)}; it must have 1 to 48 letters, digits or signs *-_=:+|@."
            )
        self.name = name
        self.url = _address(url)
        self.behaviour = one_of("behaviour", behaviour, _BEHAVIOURS)
        usual = Backoff(wait_s=0.1, random_s=0.1, doublings=5)
        self.backoff = usual if backoff is None else instance("backoff", backoff, Backoff)
        self.rng = instance("rng", rng, np.random.Generator)
        self.newest = 0
        self.applied: list[tuple[int, float]] = []
        self.p_kw = 0.0
        self.duplicates = 0
        self.connections = 0
        self._not_before_s = 0.0
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Connect, serve, and connect again after a cut, until cancelled."""
        failures = 0
        while True:
            connections = self.connections
            self._not_before_s = 0.0
            try:
                await self._one_link()
            except* (ConnectionClosed, WebSocketException, OSError):  # a TimeoutError is an OSError
                pass
            if self.connections > connections:
                failures = 0
            if failures == 0:
                waits_s = self.backoff.waits_s(1, rng=self.rng)[0]
            wait_s = float(waits_s[min(failures, self.backoff.doublings)])
            await asyncio.sleep(max(wait_s, self._not_before_s))
            failures += 1

    async def _one_link(self):
        """One connection, from the handshake to its end."""
        address = f"{self.url}/{self.name}"
        async with connect(address, subprotocols=[_SUBPROTOCOL], proxy=None, **_SOCKET) as socket:
            wire = _Wire(socket, {"SetChargingProfile": self._ordered}, lambda *_: None)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(wire))
                interval_s = await self._boot(wire)
                self.connections += 1
                tasks.create_task(self._report(wire, interval_s))

    async def _listen(self, wire):
        await wire.serve()
        raise ConnectionClosed(None, None)  # a link that was closed politely ends the group, too

    async def _boot(self, wire):
        """Ask for admission; return the interval of heartbeats, or fail with a ConnectionError."""
        station = {"model": "loopback", "vendorName": "v2gbook"}
        known = _numbered(self.newest) if self.newest else {}
        request = {"reason": "PowerUp", "chargingStation": station, **known}
        answer = await wire.call("BootNotification", request, _PATIENCE_S)
        payload = answer.payload if isinstance(answer, CallResult) else None
        if not isinstance(payload, dict):
            raise ConnectionError(f"BootNotification is answered by {answer}")
        try:
            interval_s = one("interval", payload.get("interval"), "s", ge=0, le=_LONGEST_WAIT_S)
        except ValueError as error:
            raise ConnectionError(
                f"BootNotification is answered without a time: {error}"
            ) from error
        if payload.get("status") != "Accepted":
            self._not_before_s = interval_s  # the least wait that OCPP asks for
            raise ConnectionError(f"the central system answers {payload.get('status')!r}")
        if self.newest:
            self._news.set()  # what the meter shows may have been lost with the last link
        return max(interval_s, _SHORTEST_HEARTBEAT_S)

    def _ordered(self, payload):
        """A set-point: act on it once, if it is newer than all before."""
        if self.behaviour == "silent":
            return None
        if self.behaviour == "garbage":
            return "}{ certainly not OCPP"
        profile = payload["chargingProfile"]
        if validate(profile):
            return _rejection("InvalidProfile")
        power_w = _only_setpoint_w(profile)
        if power_w is None:
            return _rejection("UnsupportedParam")
        number = _number_of(profile)
        if number is None:
            number = self.newest + 1  # a sender that does not count: what comes last is newest
        p_kw = from_wire_kw(power_w)
        if number > self.newest:
            self._act(number, p_kw)
        elif self.applied and self.applied[-1] == (number, p_kw):
            self.duplicates += 1
        else:
            return _rejection("Outdated")
        return {"status": "Accepted"}

    def _act(self, number, p_kw):
        """Follow a set-point that is new."""
        self.newest = number
        self.p_kw = 0.0 if self.behaviour == "liar" else p_kw
        self.applied.append((number, p_kw))
        self._news.set()

    async def _report(self, wire, interval_s):
        """Send the meter's value after each change, and a heartbeat when nothing happens."""
        while True:
            if await self._changed_within(interval_s):
                await wire.call("MeterValues", self._metered(), _PATIENCE_S)
            else:
                await wire.call("Heartbeat", {}, _PATIENCE_S)

    async def _changed_within(self, interval_s):
        try:
            async with asyncio.timeout(interval_s):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    def _metered(self):
        """What the meter shows, as a MeterValuesRequest."""
        sample = {
            "value": abs(self.p_kw) * 1000.0,
            "measurand": "Power.Active.Export" if self.p_kw > 0 else "Power.Active.Import",
            "unitOfMeasure": {"unit": "W"},
        }
        return {
            "evseId": 1,
            "meterValue": [{"timestamp": _now(), "sampledValue": [sample]}],
            **_numbered(self.newest),
        }


def _address(url):
    """The address of a WebSocket, without a stroke at its end."""
    if not instance("url", url, str).startswith(("ws://", "wss://")):
        raise ValueError(f"url is {short(url)}; it must begin with ws:// or wss://")
    return url.rstrip("/")


def _rejection(reason):
    """The answer of a charge point that does not follow a profile."""
    return {"status": "Rejected", "statusInfo": {"reasonCode": reason}}


def _only_setpoint_w(profile):
    """The set-point of a profile that holds one in W and nothing else, or None."""
    schedules = profile["chargingSchedule"]
    periods = schedules[0]["chargingSchedulePeriod"]
    alone = len(schedules) == 1 and len(periods) == 1 and "setpoint" in periods[0]
    if not alone or schedules[0]["chargingRateUnit"] != "W":
        return None
    return float(sum(periods[0].get(name, 0.0) for name in _SETPOINTS))


@asynccontextmanager
async def charge_points(
    url: str,
    n_cars: int,
    *,
    rng: np.random.Generator,
    behaviours: Mapping[str, str] | None = None,
    backoff: Backoff | None = None,
) -> AsyncIterator[dict[str, ChargePoint]]:
    """Many charge points that connect at once.

    They run within `async with charge_points(central.url, 100, rng=rng) as points`. On leaving, all
    are stopped and all sockets closed.

    Parameters
    ----------
    url : str
        Address of the central system, ws:// or wss://.
    n_cars : int
        Charge points, at most 10,000. Each needs two open files in this process; mind the system's
        limit [-].
    rng : numpy.random.Generator
        Source of the random part of the waits.
    behaviours : dict, optional
        Name of a charge point to its behaviour. The others are honest.
    backoff : Backoff, optional
        Waits between attempts to connect, as of `ChargePoint`.

    Yields
    ------
    dict
        Name ("CP0000" and on) to `ChargePoint`.

    Raises
    ------
    ValueError
        If n_cars is out of its range, or behaviours holds an unknown name or behaviour.
    TypeError
        If an argument is of the wrong kind.

    Examples
    --------
    >>> async def names():
    ...     rng = np.random.default_rng(6)
    ...     odd = {"CP0001": "silent"}
    ...     async with CentralSystem() as central:
    ...         async with charge_points(
    ...             central.url, 2, rng=rng, behaviours=odd, backoff=Backoff(wait_s=0.1)
    ...         ) as points:
    ...             await central.online(points)
    ...             return {name: point.behaviour for name, point in points.items()}
    >>> asyncio.run(names())
    {'CP0000': 'honest', 'CP0001': 'silent'}
    """
    names = [f"CP{number:04d}" for number in range(whole("n_cars", n_cars, le=_MOST_POINTS))]
    odd = dict(instance("behaviours", behaviours or {}, Mapping))
    strangers = [name for name in odd if name not in set(names)]
    if strangers:
        raise ValueError(
            f"behaviours names {short(strangers[0])}, but the charge points are "
            f"{names[0]} to {names[-1]}"
        )
    points = {}
    for name in names:
        kind = odd.get(name, "honest")
        points[name] = ChargePoint(name, url, behaviour=kind, backoff=backoff, rng=rng)
    tasks = [asyncio.create_task(point.run()) for point in points.values()]
    try:
        yield points
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def send_setpoints(
    central: CentralSystem, setpoints_kw: Mapping[str, float], *, give_up_s: float = 10.0
) -> pd.DataFrame:
    """Order a power from each charge point, all at once, and collect the receipts.

    Parameters
    ----------
    central : CentralSystem
        The one that sends.
    setpoints_kw : dict
        Name of a charge point to its power, p > 0 flows from the vehicle to the grid [kW].
    give_up_s : float
        Time after which an order is given up, above 0 [s].

    Returns
    -------
    DataFrame
        Index `point`; `p_kw` [kW], `status`, `number`, `attempts` and `latency_s` [s], as of
        `Receipt`.

    Raises
    ------
    ValueError
        If one power is not a finite number, or the central system does not run. Nothing has been
        sent then to any charge point.
    TypeError
        If an argument is of the wrong kind.

    Examples
    --------
    >>> async def two_orders():
    ...     rng = np.random.default_rng(6)
    ...     async with CentralSystem() as central, charge_points(central.url, 3, rng=rng) as points:
    ...         await central.online(points)
    ...         orders = {"CP0000": 5.0, "CP0002": -3.5}
    ...         return await send_setpoints(central, orders, give_up_s=10.0)
    >>> asyncio.run(two_orders()).status.to_dict()
    {'CP0000': 'accepted', 'CP0002': 'accepted'}
    """
    instance("central", central, CentralSystem)._must_run()
    patience_s = one("give_up_s", give_up_s, "s", gt=0, le=_LONGEST_WAIT_S)
    orders = {}
    for point, p_kw in instance("setpoints_kw", setpoints_kw, Mapping).items():
        instance("a name in setpoints_kw", point, str)
        name = f"setpoints_kw[{point!r}]"
        orders[point] = one(name, p_kw, "kW", ge=-MOST_KW, le=MOST_KW)
    sending = [central._send(point, p_kw, patience_s) for point, p_kw in orders.items()]
    receipts = await asyncio.gather(*sending)
    frame = pd.DataFrame(
        [vars(receipt) for receipt in receipts],
        index=pd.Index(list(orders), name="point"),
        columns=["status", "number", "attempts", "latency_s"],
    )
    frame.insert(0, "p_kw", list(orders.values()))
    return frame


async def _tick(central, points, rng, began_s, due_s, progress):
    """A new set-point for every car, with latencies that count from when it was due."""
    late_s = asyncio.get_running_loop().time() - began_s - due_s
    powers_kw = rng.uniform(-10.0, 10.0, len(points)).round(3)
    frame = await send_setpoints(central, dict(zip(points, powers_kw, strict=True)))
    if progress:
        progress(1)
    return frame.assign(t_s=due_s, latency_s=frame.latency_s + late_s)


async def measure(
    n_cars: int,
    *,
    rate_per_s: float = 1.0,
    duration_s: float = 5.0,
    rng: np.random.Generator,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """How fast this machine dispatches, set-point by set-point.

    A central system and its fleet run in one process, with a new set-point for every car at each
    tick. A tick that is late does not wait for the one before.

    Parameters
    ----------
    n_cars : int
        Charge points, at most 10,000 [-].
    rate_per_s : float
        Set-points per second and car, sent to all at once, above 0 and at most 1000 [1/s].
    duration_s : float
        How long to send, above 0 and at most a day [s].
    rng : numpy.random.Generator
        Draws the powers.
    progress : callable, optional
        Called with 1 after each tick.

    Returns
    -------
    DataFrame
        One row a set-point: `t_s` (when it was due) [s], `point`, `status`, `attempts`, `latency_s`
        (from when it was due until it was settled) [s].

    Raises
    ------
    ValueError
        If a number is out of its range.
    TypeError
        If rng is no generator, or progress cannot be called.

    Examples
    --------
    >>> rng = np.random.default_rng(6)
    >>> table = asyncio.run(measure(3, rate_per_s=20.0, duration_s=0.1, rng=rng, progress=None))
    >>> len(table), set(table.status) <= {"accepted", "superseded"}
    (6, True)
    """
    whole("n_cars", n_cars, le=_MOST_POINTS)
    per_s = one("rate_per_s", rate_per_s, "1/s", gt=0, le=1000)
    ticks = math.ceil(one("duration_s", duration_s, "s", gt=0, le=86_400) * per_s)
    instance("rng", rng, np.random.Generator)
    if progress is not None and not callable(progress):
        raise TypeError(f"progress is {short(progress)}; it must be a function")
    clock = asyncio.get_running_loop().time
    sending = []
    async with CentralSystem() as central, charge_points(central.url, n_cars, rng=rng) as points:
        await central.online(points)
        began_s = clock()
        async with asyncio.TaskGroup() as tasks:
            for due_s in np.arange(ticks) / per_s:
                await asyncio.sleep(began_s + due_s - clock())
                tick = _tick(central, list(points), rng, began_s, due_s, progress)
                sending.append(tasks.create_task(tick))
    table = pd.concat([task.result() for task in sending]).reset_index()
    return table[["t_s", "point", "status", "attempts", "latency_s"]]
