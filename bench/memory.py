"""Resident memory of a real `brama run` with a million tickets, after some scans."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from bench.stock import CHECKPOINT, KEY, code_of, make_whitelist
from edge.store.credentials import Credentials, save_credentials

TICKETS = 1_000_000
SCANS = 500
GOAL_MIB = 64
START_TIMEOUT_S = 30.0


def run(folder: Path, tickets: int = TICKETS) -> None:
    """Measure and print."""
    make_whitelist(folder, tickets, SCANS)
    config = write_config(folder)
    bare = _rss_of_imports()
    process = subprocess.Popen([sys.executable, "-m", "edge", "run", "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url="http://127.0.0.1:18080", trust_env=False) as client:
            _wait_until_ready(client)
            at_start = _rss_mib(process.pid)
            for number in range(SCANS):
                body = client.post("/api/v1/scans", json={"code": code_of(number)}).raise_for_status().json()
                if body["verdict"] != "admitted":
                    raise AssertionError(body)
        after = _rss_mib(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    print(
        f"memory of brama run, {tickets} tickets: {at_start:.1f} MiB at start, {after:.1f} MiB after {SCANS} scans"
        f" (goal: at most {GOAL_MIB}); Python with the libraries alone: {bare:.1f} MiB"
    )


def write_config(folder: Path, more: str = "") -> Path:
    """Write what an enrolled gate with one lane needs, and `more` to that lane's table; return its settings' path."""
    save_credentials(
        folder,
        Credentials(
            url="http://127.0.0.1:9",
            device_id="d-bench",
            name="b",
            organiser="b",
            token="t",
            lookup_key=KEY,
        ),
    )
    config = folder / "gate.toml"
    config.write_text(
        f'[device]\nname = "Bench"\ndata_path = "{folder}"\nlanguage = "en"\n[crm]\nurl = "http://127.0.0.1:9"\n'
        f'[web]\nport = 18080\n[[lane]]\nid = "bench"\ncheckpoint = "{CHECKPOINT}"\n{more}\n'
    )
    return config


def _wait_until_ready(client: httpx.Client) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until:
        try:
            if client.get("/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the gate did not start")


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def _rss_of_imports() -> float:
    """Return what an interpreter takes that has done nothing but import the libraries a gate needs."""
    code = "import aiohttp.web, httpx, pydantic_settings, prometheus_client, aiosqlite, typer, time; time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ})
    try:
        settled, last = 0, 0.0
        while settled < 10:
            time.sleep(0.1)
            now = _rss_mib(process.pid)
            settled, last = (settled + 1, last) if now == last else (0, now)
        return last
    finally:
        process.kill()
        process.wait()
