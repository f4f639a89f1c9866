"""`brama demo`: a central, two enrolled gates and a crowd on one machine, with nothing to configure.

All of it is the real thing: the central's own server and database, the gates' own files and sockets. Only the crowd
is made up.
"""

import asyncio
import itertools
import random
import shutil
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import httpx
from aiohttp import web

from config.settings import BadSettings, Settings, check_settings
from crm import service
from crm.central import Central, open_central
from crm.enrolment import make_enrolment_code
from crm.importer import import_rows
from drivers.protocols import DeviceRefused
from drivers.scanner_terminal import TerminalScanner
from edge.clock import wall_clock
from edge.enrolling import enrol
from edge.main import OpenGate, open_gate
from edge.store.writer import CannotRecord
from edge.supervise import run_until

MARKER = ".brama-demo"
TICKETS = 5000
SUMMARY_EVERY_S = 15.0


@dataclass(frozen=True, slots=True)
class Guests:
    """Codes of each kind of guest; the crowd draws from them."""

    standard: list[str]
    vip: list[str]
    early: list[str]
    cancelled: list[str]
    other_event: list[str]


def make_guests(seed: random.Random) -> Guests:
    """Make the codes of two sellers: the box office's own and a partner's 13 digits."""

    def own(number: int) -> str:
        return f"BO-{number:05}-{seed.randrange(16**4):04X}"

    def partner(_number: int) -> str:
        return "".join(str(seed.randrange(10)) for _ in range(13))

    def codes(count: int, make: Callable[[int], str]) -> list[str]:
        numbers = itertools.count(1)
        return list(dict.fromkeys(make(next(numbers)) for _ in range(count + count // 20)))[:count]

    vip, standard = codes(500, lambda n: own(n + 90000)), codes(2500, own) + codes(1700, partner)
    return Guests(standard, vip, codes(200, lambda n: own(n + 80000)), codes(100, partner), codes(50, partner))


async def run_demo(data: Path, *, rate: float, port: int, language: str) -> None:
    """Run until Ctrl-C.

    Raises:
        BadSettings: the folder or a port cannot be used.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    _prepare(data)
    seed = random.Random(7)  # noqa: S311 (a crowd, not a secret)
    guests = make_guests(seed)
    ports = _free_ports(port, 3)
    async with AsyncExitStack() as opened:
        central = await opened.enter_async_context(open_central(data / "central.db", organiser="Brama Demo Hall"))
        central_url = await _serve(opened, central, ports[2])
        gates = []
        for name, checkpoint, gate_port in zip(("North", "VIP"), await _stock(central, guests), ports, strict=False):
            settings = _settings(data, name, gate_port, central_url, language)
            code = await make_enrolment_code(central.db, central_url, name=name, checkpoint=checkpoint)
            await enrol(settings, central_url, code.code)
            gates.append(await opened.enter_async_context(open_gate(settings, lambda _exc: stop.set())))
        async with asyncio.TaskGroup() as group:
            for gate in gates:
                group.create_task(run_until(stop, gate.jobs, gate.box.healths), name=gate.box.name)
            await _until_synced(gates, stop)
            _greet(gates, central_url, guests)
            tasks = [
                group.create_task(_crowd(gates, guests, rate, seed), name="crowd"),
                group.create_task(_terminal(gates[0]), name="terminal"),
            ]
            await stop.wait()
            for task in tasks:
                task.cancel()
        print(f"\nStopped. The data stays in {data}/ until the next demo.")


def _prepare(data: Path) -> None:
    """Make the data folder anew; one that is not ours is left alone."""
    if data.exists() and any(data.iterdir()) and not (data / MARKER).exists():
        raise BadSettings(f"--data: {data} holds something else; name an empty folder")
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    (data / MARKER).write_text("made by brama demo; deleted and made anew by the next one\n")


def _free_ports(first: int, count: int) -> list[int]:
    """Return `count` ports from `first` on that nobody listens on."""
    found: list[int] = []
    for port in range(first, min(first + 200, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise BadSettings(f"--port: no {count} free ports from {first} on; name another")


def _settings(data: Path, name: str, port: int, central_url: str, language: str) -> Settings:
    return check_settings(
        {
            "device": {"name": f"{name} gate", "data_path": data / name.lower(), "language": language},
            "crm": {"url": central_url},
            "web": {"port": port},
            "lane": [{"id": name.lower()}],
        },
        "demo",
    )


async def _serve(opened: AsyncExitStack, central: Central, port: int) -> str:
    runner = web.AppRunner(central.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    opened.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return f"http://127.0.0.1:{port}"


async def _stock(central: Central, guests: Guests) -> tuple[str, str]:
    """Put an event with its tickets and two checkpoints into the central; return the checkpoints."""
    db, now, tz = central.db, wall_clock().replace(microsecond=0), "Europe/Kyiv"
    tonight = await service.put_event(
        db,
        id="e-tonight",
        name="Demo Night",
        venue="Demo Hall",
        tz=tz,
        starts_at=now + timedelta(hours=1),
        ends_at=now + timedelta(hours=4),
    )
    tomorrow = await service.put_event(
        db,
        id="e-tomorrow",
        name="Tomorrow's Matinee",
        venue="Demo Hall",
        tz=tz,
        starts_at=now + timedelta(days=1),
        ends_at=now + timedelta(days=1, hours=3),
    )
    standard = await service.put_ticket_type(db, id="t-standard", event=tonight.id, name="Standard")
    vip = await service.put_ticket_type(
        db, id="t-vip", event=tonight.id, name="VIP", entry_policy={"reentry": "always", "cooldown_s": 60}
    )
    matinee = await service.put_ticket_type(db, id="t-matinee", event=tomorrow.id, name="Matinee")
    await service.put_controller(db, id="p-olena", name="Olena", badge="BADGE-OLENA", pin="1111")
    await service.put_controller(db, id="p-taras", name="Taras", badge="BADGE-TARAS", pin="2222", supervisor=True)
    hours = [{"opens_at": now - timedelta(hours=1), "closes_at": now + timedelta(hours=5)}]
    north = await service.put_checkpoint(
        db, id="c-north", event=tonight.id, name="North gate", ticket_types=[standard.id], hours=hours
    )
    vip_gate = await service.put_checkpoint(
        db, id="c-vip", event=tonight.id, name="VIP gate", ticket_types=[vip.id], hours=hours
    )
    late = (now + timedelta(hours=2)).isoformat()
    own = [code for code in guests.standard if code.startswith("BO")]
    partner = [code for code in guests.standard if not code.startswith("BO")]
    box_office: list[tuple[str | None, ...]] = [(code, standard.id) for code in own]
    box_office += [(code, vip.id) for code in guests.vip]
    box_office += [(code, standard.id, None, None, late) for code in guests.early]
    others: list[tuple[str | None, ...]] = [(code, standard.id) for code in partner]
    others += [(code, standard.id, None, "cancelled") for code in guests.cancelled]
    await import_rows(db, tonight.id, box_office, source="Box office")
    await import_rows(db, tonight.id, others, source="Partner")
    await import_rows(db, tomorrow.id, [(code, matinee.id) for code in guests.other_event], source="Partner")
    return north.id, vip_gate.id


async def _until_synced(gates: list[OpenGate], stop: asyncio.Event) -> None:
    """Wait until each gate has its list."""
    for gate in gates:
        with gate.box.hub.subscribe() as news:
            while gate.box.store.data.cursor is None and not stop.is_set():
                await news.get()


def _greet(gates: list[OpenGate], central_url: str, guests: Guests) -> None:
    north, vip = gates
    print(
        f"""
Brama demo: {TICKETS} tickets of two sellers, two gates.

  North gate   {north.address}/
  VIP gate     {vip.address}/
  Central      {central_url}/

Type a code and Enter to scan it at the North gate, for example:
  {guests.standard[-1]:<16} a good ticket; type it again and see
  {guests.vip[-1]:<16} a VIP ticket at the wrong gate
  {guests.early[-1]:<16} too early
  {guests.cancelled[-1]:<16} cancelled
  {guests.other_event[-1]:<16} for another event
  FORGED-1         a forgery
On the pages: Olena signs in with PIN 1111, the supervisor Taras with PIN 2222.
Ctrl-C stops.
""",
        flush=True,
    )


async def _terminal(gate: OpenGate) -> None:
    """Scan what is typed, where there is a terminal to type at."""
    lane = gate.box.lane(None)
    try:
        async for read in TerminalScanner(gate.box.clock).reads():
            try:
                print(f"  {(await lane.offer(read.code, at=read.at)).line()}", flush=True)
            except CannotRecord as exc:
                print(f"  {exc}", flush=True)
    except DeviceRefused:
        await asyncio.Event().wait()


# --- the crowd ------------------------------------------------------------------------------------------------------


def draw(guests: Guests, seed: random.Random) -> Iterator[tuple[int, str]]:
    """Yield guests for ever: at which gate (0 North, 1 VIP), with which code."""
    fresh = {0: itertools.cycle(guests.standard[:-20]), 1: itertools.cycle(guests.vip[:-20])}
    seen: list[tuple[int, str]] = []
    while True:
        gate = 0 if seed.random() < 0.8 else 1
        kind = seed.choices(("good", "repeat", "wrong gate", "early", "forged"), (80, 7, 5, 4, 4))[0]
        if kind == "repeat" and seen:
            yield seed.choice(seen)
        elif kind == "wrong gate":
            yield 1 - gate, next(fresh[gate])
        elif kind == "early":
            yield 0, seed.choice(guests.early[:-1])
        elif kind == "forged":
            yield gate, f"BO-{seed.randrange(10**5):05}-{seed.randrange(16**4):04X}X"
        else:
            seen = [*seen[-200:], (gate, next(fresh[gate]))]
            yield seen[-1]


async def _crowd(gates: list[OpenGate], guests: Guests, rate: float, seed: random.Random) -> NoReturn:
    """Let guests come at `rate` a second, and say now and then how many did."""
    counts: Counter[str] = Counter()
    people = draw(guests, seed)
    summary_at = asyncio.get_running_loop().time()
    async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
        while rate > 0:
            gate, code = next(people)
            body = await _scan(client, gates[gate], code)
            if body is not None:
                counts[body["verdict"]] += 1
                counts[body["reason"]] += body["verdict"] == "refused"
            if asyncio.get_running_loop().time() >= summary_at:
                _summarise(counts, body)
                summary_at += SUMMARY_EVERY_S
            await asyncio.sleep(seed.expovariate(rate))
        await asyncio.Event().wait()
    raise AssertionError("unreachable")


def _summarise(counts: Counter[str], last: dict[str, Any] | None) -> None:
    if last is not None and counts.total() <= 2:
        print(f"  first guest of the crowd: {last['title']} at {last['lane']} in {last['took_ms']} ms")
    else:
        refused = ", ".join(f"{count} {reason}" for reason, count in counts.items() if reason not in _VERDICTS)
        print(f"  crowd so far: {counts['admitted']} admitted, {counts['refused']} refused ({refused})")
    sys.stdout.flush()


_VERDICTS = ("admitted", "refused", "exited")


async def _scan(client: httpx.AsyncClient, gate: OpenGate, code: str) -> dict[str, Any] | None:
    try:
        response = await client.post(f"{gate.address}/api/v1/scans", json={"code": code})
    except httpx.HTTPError:
        return None
    body: dict[str, Any] = response.json()
    return body if response.status_code == httpx.codes.OK else None
