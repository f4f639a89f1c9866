"""Turnstiles and door locks on a coil of a Modbus TCP relay, and a discrete input of it that sees guests pass.

Source: MODBUS Application Protocol Specification V1.1b3, sections 6.1, 6.2, 6.5 and 7; MODBUS Messaging on TCP/IP
Implementation Guide V1.0b, section 3.1.3 (the MBAP header).
"""

import asyncio
import logging
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TypeVar

from drivers.guarding import NetworkAction, NetworkGuard
from drivers.network_pulse import LOOK_EVERY_S, NetworkPulse, NotSwitched, to_the_end
from drivers.protocols import DeviceLost, DeviceRefused, Signals

if TYPE_CHECKING:
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.pdu import ModbusPDU

T = TypeVar("T")

CHECK_EVERY_S = 5.0
"""A relay without power says nothing of it, and one that is asked nothing for long may hang up."""

_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
_NOT_DONE = {1, 2, 3, 6, 10}
"""After these the relay has surely not done what was asked."""


class ModbusTurnstile:
    """Switches `coil` of `unit` on for `pulse_ms` a guest. Coils and inputs count from 0, as on the wire.

    `timeout_s` bounds the connection and each answer. `passage_input` closes for each guest and is read only while one
    is awaited; `passage_timeout_s` says how long that is.
    """

    def __init__(
        self,
        host: str,
        port: int,
        unit: int,
        coil: int,
        pulse_ms: int,
        timeout_s: float,
        passage_input: int | None = None,
        passage_timeout_s: float | None = None,
        guard: NetworkGuard | None = None,
        check_s: float = CHECK_EVERY_S,
    ) -> None:
        self._relay = _Relay(host, port, unit, timeout_s)
        self._coil = coil
        self._pulse_ms = pulse_ms
        self._passage_input = passage_input
        self._passage_timeout_s = passage_timeout_s
        self._guard = guard
        self._check_s = check_s
        self._claim: tuple[_Link, NetworkPulse] | None = None
        self._level: bool | None = None
        self._turned = False

    @property
    def passage_timeout_s(self) -> float | None:
        """How long to wait for the guest to pass; None: no sensor."""
        return self._passage_timeout_s if self._passage_input is not None else None

    async def signals(self) -> AsyncGenerator[Signals]:
        """Connect, switch the coil off, and yield once, since no input says more; off whenever this ends.

        Raises:
            DeviceLost: no connection, it hung up, or it did not answer or did not do it.
            DeviceRefused: pymodbus is not installed.
        """
        if self._guard:
            await self._guard.ready()
        link = _Link(self._relay)
        try:
            await link.open()
            await link.switch(self._coil, on=False)
            if self._passage_input is not None:
                await link.is_active(self._passage_input)
            self._claim = link, self._pulse_on(link)
            yield Signals()
            await self._watch(*self._claim)
        finally:
            claim, self._claim = self._claim, None
            await to_the_end(self._let_go(link, claim[1] if claim else None))

    async def release(self) -> None:
        """Switch the coil on once, and off after the pulse, even if cancelled.

        Raises:
            DeviceLost: the relay did not answer or did not do it, or `signals` does not run.
        """
        if self._claim is None:
            raise DeviceLost(f"{self._relay}: not connected now")
        link, pulse = self._claim
        self._level, self._turned = None, False
        number = self._passage_input
        await pulse.make(None if number is None else partial(self._look, link, number))

    async def passed(self) -> None:
        """Return once the passage input has closed since `release`; wait for ever without one."""
        if self._passage_input is None:
            await asyncio.Event().wait()
            return
        while not self._turned:
            await asyncio.sleep(LOOK_EVERY_S)
            # While a pulse lasts it looks for itself: a look of this one could keep its `off` waiting.
            if self._claim and not self._claim[1].lasts:
                await self._look(self._claim[0], self._passage_input)

    def _pulse_on(self, link: "_Link") -> NetworkPulse:
        on, off = partial(link.switch, self._coil, on=True), partial(link.switch, self._coil, on=False)
        # A command may have to wait for the answer to what was asked before it.
        limit_s = 2 * self._relay.timeout_s
        key = f"{self._relay} coil {self._coil} {id(self):x}"
        undo = NetworkAction(
            self._relay.host, self._relay.port, tls=False, payload=off_adu(self._relay.unit, self._coil)
        )
        return NetworkPulse(key, on, off, self._pulse_ms, limit_s, undo, self._guard)

    async def _watch(self, link: "_Link", pulse: NetworkPulse) -> NoReturn:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._check_s):
                    await link.lost.wait()
            if link.lost.is_set():
                raise DeviceLost(link.why)
            if not pulse.lasts:
                await link.ping(self._coil)

    async def _look(self, link: "_Link", number: int) -> None:
        """See whether the passage input has closed; that it cannot be read ends the claim, not the wait for a guest."""
        try:
            level = await link.is_active(number)
        except DeviceLost as exc:
            link.lose(str(exc))
            return
        self._turned = self._turned or (level and self._level is False)
        self._level = level

    async def _let_go(self, link: "_Link", pulse: NetworkPulse | None) -> None:
        if pulse:
            await pulse.end()
            with suppress(DeviceLost):
                await link.switch(self._coil, on=False)
        link.close()


@dataclass(frozen=True, slots=True)
class _Relay:
    """What is spoken to."""

    host: str
    port: int
    unit: int
    timeout_s: float

    def __str__(self) -> str:
        return f"{self.host}:{self.port} unit {self.unit}"


class _Link:
    """One connection. Whatever fails on it ends it: `lost` is set, and `why` says why."""

    def __init__(self, relay: _Relay) -> None:
        self._relay = relay
        self._unit = relay.unit
        self._client = _client(relay, lambda: self.lose(f"{relay}: hung up; check its power and network"))
        self.lost = asyncio.Event()
        self.why = ""

    def lose(self, why: str) -> None:
        """Give the connection up."""
        self.why = self.why or why
        self.lost.set()

    async def open(self) -> None:
        """Connect.

        Raises:
            DeviceLost: it did not answer.
        """
        if not await _heeding_cancellation(self._client.connect()):
            mend = "check its power, network and address, and that no other program is connected to it"
            raise DeviceLost(f"{self._relay}: no connection; {mend}")

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    async def switch(self, coil: int, *, on: bool) -> None:
        """Write a coil.

        Raises:
            DeviceLost: it may have been done, or not.
            NotSwitched: it was not done.
        """
        answer = await self._ask(partial(self._client.write_coil, coil, on, device_id=self._unit))
        self._check(answer, f"coil {coil}")

    async def is_active(self, number: int) -> bool:
        """Read a discrete input.

        Raises:
            DeviceLost: it could not be read.
        """
        answer = await self._ask(partial(self._client.read_discrete_inputs, number, device_id=self._unit))
        self._check(answer, f"discrete input {number}")
        return any(answer.bits[:1])

    async def ping(self, coil: int) -> None:
        """See whether there is an answer, of whatever kind.

        Raises:
            DeviceLost: there is none.
        """
        await self._ask(partial(self._client.read_coils, coil, device_id=self._unit))

    async def _ask(self, request: "Callable[[], Awaitable[ModbusPDU]]") -> "ModbusPDU":
        from pymodbus.exceptions import ConnectionException, ModbusException

        try:
            return await _heeding_cancellation(request())
        except ConnectionException as exc:
            self.lose(f"{self._relay}: not connected; check its power and network")
            raise NotSwitched(self.why) from exc
        except ModbusException as exc:
            self.lose(f"{self._relay}: no answer in {self._relay.timeout_s:g} s; check its power, network and unit")
            raise DeviceLost(self.why) from exc

    def _check(self, answer: "ModbusPDU", what: str) -> None:
        """Raise what a Modbus exception means."""
        if not answer.isError():
            return
        code = answer.exception_code
        kind = NotSwitched if code in _NOT_DONE else DeviceLost
        name = _EXCEPTIONS.get(code, "unknown")
        raise kind(f"{self._relay}, {what}: {name} (Modbus exception {code}); check unit and {what} in the settings")


def _client(relay: _Relay, hung_up: Callable[[], None]) -> "AsyncModbusTcpClient":
    try:
        from pymodbus.client import AsyncModbusTcpClient
    except ModuleNotFoundError as exc:
        raise DeviceRefused("pymodbus is not installed; pip install 'brama[modbus]'") from exc
    # It logs as errors what is raised here in our own words, and each answer that comes after its time.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    return AsyncModbusTcpClient(
        relay.host,
        port=relay.port,
        timeout=relay.timeout_s,
        retries=0,
        reconnect_delay=0,
        trace_connect=lambda connected: None if connected else hung_up(),
    )


async def _heeding_cancellation(work: Awaitable[T]) -> T:
    """Await `work`, and be cancelled even if the answer, or its failure, comes at the same moment.

    pymodbus awaits it by `asyncio.wait_for`, which before Python 3.12 then drops the cancellation.
    """
    task = asyncio.current_task()
    asked_before = task.cancelling() if task else 0
    try:
        return await work
    finally:
        if task and task.cancelling() > asked_before:
            raise asyncio.CancelledError


def off_adu(unit: int, coil: int) -> bytes:
    """Return the request that switches a coil off: transaction, protocol, length, unit, function 5, coil, value."""
    return struct.pack(">HHHBBHH", 0, 0, 6, unit, 5, coil, 0)
