"""The commands (design section 9). What a command needs is imported when it runs: a gate has little memory."""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from config.settings import (
    DEFAULT_PATH,
    EXIT_BAD_SETTINGS,
    BadSettings,
    BramaCrmSettings,
    FileCrmSettings,
    Settings,
    load_settings,
)
from edge.cli_sync import sync_app
from edge.commands import ConfigPath, ask, fail, settings_of
from edge.run import log_to_stderr, run_gate

app = typer.Typer(
    help="Offline-first gate scanning.", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)
journal_app = typer.Typer(help="The record of scans.", no_args_is_help=True)
app.add_typer(sync_app, name="sync")
app.add_typer(journal_app, name="journal")


def main() -> None:
    """Run any command but `brama run`, which `edge.__main__` keeps apart."""
    if sys.argv[1:2] == ["crm"]:
        _crm(sys.argv[2:])
    app(prog_name="brama")


def _crm(arguments: list[str]) -> NoReturn:
    try:
        from crm.cli import app as crm_app
    except ModuleNotFoundError as exc:
        sys.exit(f"brama: brama crm needs the central's packages: pip install 'brama[crm]' ({exc.name} is missing)")
    crm_app(arguments, prog_name="brama crm")
    raise SystemExit(0)


@app.command(name="crm", add_help_option=False)
def crm_help() -> None:
    """The reference central: serve, event, checkpoint, import, report and more."""


@app.command()
def run(config: ConfigPath = DEFAULT_PATH) -> None:
    """Run the gate until it is told to stop."""
    raise typer.Exit(run_gate(config))


@app.command()
def demo(
    rate: Annotated[float, typer.Option(help="Guests a second; 0 for none.", min=0, max=200)] = 2.0,
    data: Annotated[Path, typer.Option(help="The data folder, made anew.")] = Path("brama-demo"),
    port: Annotated[int, typer.Option(help="The first of three ports.", min=1, max=65000)] = 8080,
    language: Annotated[str, typer.Option(help="uk, en or ru.")] = "en",
) -> None:
    """Run a central, two gates and a crowd on this machine; typing a code and Enter is a scan."""
    try:
        from edge.demo import run_demo
    except ModuleNotFoundError as exc:
        fail(f"brama demo needs the central's packages: pip install 'brama[crm]' ({exc.name} is missing)")
    log_to_stderr(logging.ERROR)
    try:
        asyncio.run(run_demo(data, rate=rate, port=port, language=language))
    except BadSettings as exc:
        fail(str(exc), EXIT_BAD_SETTINGS)


@app.command()
def enrol(url: str, code: str, config: ConfigPath = DEFAULT_PATH) -> None:
    """Make this box known to the CRM at URL, with the enrolment CODE that the CRM shows."""
    settings = settings_of(config)
    from edge.enrolling import enrol as enrol_device
    from edge.enrolling import read_credentials
    from sync.errors import EnrolmentRefused, LinkDown

    if isinstance(settings.crm, FileCrmSettings):
        fail('crm.kind: this box reads its tickets from files; for a CRM set crm.kind = "brama" first')
    try:
        BramaCrmSettings(url=url)
    except ValueError:
        fail(f"URL: {url} is no address of a CRM; write it as https://crm.example")
    if not 1 <= len(code) <= 200:
        fail("the CRM did not take the code: code: it has 1 to 200 characters; ask for a new one in the CRM")
    try:
        before = read_credentials(settings.device.data_path)
    except BadSettings:
        before = None  # damaged credentials are what enrolling again mends
    try:
        credentials = asyncio.run(enrol_device(settings, url, code))
    except EnrolmentRefused as exc:
        fail(f"the CRM did not take the code: {exc}")
    except LinkDown as exc:
        fail(str(exc))
    except OSError as exc:
        fail(f"device.data_path: {exc.filename}: {exc.strerror}; run this as the gate's user")
    typer.echo(f"Enrolled with {credentials.organiser} as {credentials.name} ({credentials.device_id}).")
    if settings.crm is None or settings.crm.url.rstrip("/") != url.rstrip("/"):
        typer.echo(f'Now put this into {config}:\n\n[crm]\nkind = "brama"\nurl = "{url}"\n')
    typer.echo("Restart the gate to use it." if before else "Start the gate, or restart it, to pull the tickets.")


@app.command()
def status(
    config: ConfigPath = DEFAULT_PATH, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False
) -> None:
    """Show what the running gate believes and how it fares."""
    settings = settings_of(config)
    import json

    body = ask(settings, "GET", "/api/v1/status")
    if as_json:
        typer.echo(json.dumps(body, ensure_ascii=False, indent=1))
        return
    from edge.reports import print_status

    print_status(body)


@app.command()
def check(
    code: str, config: ConfigPath = DEFAULT_PATH, lane: Annotated[str, typer.Option(help="At which lane.")] = ""
) -> None:
    """Ask what the gate would say to CODE now, without recording; `-` reads it from standard input."""
    settings = settings_of(config)
    from edge.reports import check_code

    text = sys.stdin.readline().rstrip("\n") if code == "-" else code
    try:
        word, reason, message = check_code(settings, text, lane or None)
    except BadSettings as exc:
        fail(str(exc))
    typer.echo(f"{word}: {reason}\n{message.title}. {message.text}")


@app.command()
def export(
    config: ConfigPath = DEFAULT_PATH,
    out: Annotated[Path | None, typer.Option(help="A file instead of standard output.")] = None,
) -> None:
    """Write all scans, archived ones too, as CSV (RFC 4180)."""
    settings = settings_of(config)
    from edge.reports import export_csv

    try:
        if out is None:
            count = export_csv(settings.device.data_path, sys.stdout)
        else:
            with out.open("w", newline="", encoding="utf-8") as file:
                count = export_csv(settings.device.data_path, file)
    except BadSettings as exc:
        fail(str(exc))
    except OSError as exc:
        fail(f"{exc.filename}: {exc.strerror}")
    sys.stderr.write(f"brama: {count} scans\n")


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Who it is for.")] = "network", config: ConfigPath = DEFAULT_PATH
) -> None:
    """Make a token for a program or phone that talks to this gate over the network; shown once."""
    settings = settings_of(config)
    from edge.clock import wall_clock
    from edge.store.credentials import ApiTokens, BadCredentials

    try:
        typer.echo(ApiTokens(settings.device.data_path).make(name, wall_clock()))
    except BadCredentials as exc:
        fail(str(exc))
    except OSError as exc:
        fail(f"device.data_path: {exc.filename}: {exc.strerror}; run this as the gate's user")


@app.command()
def doctor(config: ConfigPath = DEFAULT_PATH) -> None:
    """Look for faults and name what mends each; exit 1 if there is one."""
    from edge.doctor import examine, print_findings

    try:
        settings = load_settings(config)
    except BadSettings as exc:
        fail(str(exc), EXIT_BAD_SETTINGS)
    if not print_findings(asyncio.run(examine(settings))):
        raise typer.Exit(1)


@app.command()
def devices(
    watch: Annotated[str, typer.Option(help="Show what this one sends: its number in the list, or a path.")] = "",
    driver: Annotated[str, typer.Option(help="evdev, hidraw, serial or camera; left out: told from the device.")] = "",
    layout: Annotated[str, typer.Option(help="Keyboard that it imitates: us, uk, de, fr, ua, ru.")] = "us",
    suffix: Annotated[str, typer.Option(help="What it types after a code: enter, tab, none.")] = "enter",
    baud: Annotated[int, typer.Option(help="Speed of a serial port.")] = 9600,
) -> None:
    """List scanners, cameras, serial ports and GPIO chips, how the settings name them, and what a scanner sends."""
    from drivers.protocols import DeviceLost, DeviceRefused
    from edge.devices import chosen_reader, print_devices
    from edge.devices import watch as watch_device

    if not watch:
        print_devices()
        return
    try:
        reader = chosen_reader(watch, driver or None, layout, suffix, baud)
    except (BadSettings, ValueError) as exc:
        fail(str(exc))
    typer.echo(f"{reader.device}: scan something; Ctrl-C ends this.")
    try:
        asyncio.run(watch_device(reader, typer.echo))
    except (DeviceLost, DeviceRefused) as exc:
        taken = "grabbed" in str(exc) or "in use by another program" in str(exc)
        fail(f"{exc}" + ("; the gate itself may have it: systemctl stop brama" if taken else ""))


@app.command()
def camera(
    images: Annotated[
        list[str] | None, typer.Argument(metavar="[IMAGE]...", help="Files and folders to decode.")
    ] = None,
    config: ConfigPath = DEFAULT_PATH,
    device: Annotated[str | None, typer.Option(help="A path, or its number in brama devices.")] = None,
    url: Annotated[str | None, typer.Option(help="A stream: rtsp:// or http://.")] = None,
    symbologies: Annotated[str | None, typer.Option(help="What is read: all, or names with commas.")] = None,
    rotate: Annotated[int | None, typer.Option(help="Turn the picture clockwise: 0, 90, 180 or 270.")] = None,
    mirror: Annotated[bool | None, typer.Option("--mirror/--no-mirror", help="Exchange left and right.")] = None,
    region: Annotated[str | None, typer.Option(help="Where to look: left,top,width,height as fractions.")] = None,
    port: Annotated[int | None, typer.Option(help="The page's; left out: 8090, or one free.", min=1, max=65535)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Of each IMAGE a line of JSON.")] = False,
) -> None:
    """Show live what a camera sees and reads, here and as a page; or decode IMAGE files and folders."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    log_to_stderr(logging.CRITICAL)
    live = {"device": device, "url": url, "rotate": rotate, "mirror": mirror, "region": region, "port": port}
    if images and (idle := [f"--{name}" for name, value in live.items() if value is not None]):
        fail(f"{', '.join(idle)}: of no account with files; leave it out")
    if images:
        _decode(images, symbologies, as_json=as_json)
        return
    if as_json:
        fail("--json: of no account with a live camera; name files or folders")
    from drivers.protocols import DeviceLost, DeviceRefused
    from edge.camera import Asked, look

    try:
        settings = _settings_if_any(config, needed=device is None and url is None)
        told = look(Asked(device, url, symbologies, rotate, mirror, region), settings, port)
    except (BadSettings, DeviceLost, DeviceRefused) as exc:
        fail(str(exc))
    typer.echo(told)


def _settings_if_any(path: Path, *, needed: bool) -> Settings | None:
    """Return the settings; None where there are none and nobody named a file."""
    if needed and (path != DEFAULT_PATH or os.access(path, os.R_OK)):
        return settings_of(path)
    try:
        return load_settings(path)
    except BadSettings:
        return None


def _decode(images: list[str], symbologies: str | None, *, as_json: bool) -> None:
    """Decode still pictures; exit 1 unless each of them held a code."""
    from drivers.protocols import DeviceLost, DeviceRefused
    from edge.camera_files import decode

    try:
        tally = asyncio.run(decode(images, symbologies, print, as_json=as_json))
    except (BadSettings, DeviceLost, DeviceRefused) as exc:
        fail(str(exc))
    except BrokenPipeError:  # whoever read the lines has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    sys.stderr.write(f"brama: {tally}\n")
    if not tally.all_read:
        raise typer.Exit(1)


@journal_app.command("verify")
def journal_verify(config: ConfigPath = DEFAULT_PATH) -> None:
    """Walk the chain of all scans: a removed, edited or inserted row shows; exit 1 if one does."""
    settings = settings_of(config)
    from edge.reports import verify_journal

    try:
        found = verify_journal(settings.device.data_path)
    except BadSettings as exc:
        fail(str(exc))
    typer.echo(f"{found.rows} scans, seq {found.first_seq} to {found.last_seq}")
    for problem in found.problems:
        typer.echo(f"  {problem}")
    if found.problems:
        raise typer.Exit(1)
    typer.echo("the chain is whole")
