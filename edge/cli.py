"""The commands (design section 9). What a command needs is imported when it runs: a gate has little memory."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from config.settings import DEFAULT_PATH, EXIT_BAD_SETTINGS, BadSettings, CrmSettings, Settings, load_settings
from edge.run import log_to_stderr, run_gate

app = typer.Typer(
    help="Offline-first gate scanning.", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)
sync_app = typer.Typer(help="The running gate's way to the CRM.", no_args_is_help=True)
journal_app = typer.Typer(help="The record of scans.", no_args_is_help=True)
app.add_typer(sync_app, name="sync")
app.add_typer(journal_app, name="journal")

ConfigPath = Annotated[Path, typer.Option("-c", "--config", help="The settings, a TOML file.")]


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


def _fail(message: str, code: int = 1) -> NoReturn:
    sys.stderr.write(f"brama: {message}\n")
    raise typer.Exit(code)


def _settings(path: Path) -> Settings:
    try:
        return load_settings(path)
    except BadSettings as exc:
        _fail(str(exc), EXIT_BAD_SETTINGS)


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
        _fail(f"brama demo needs the central's packages: pip install 'brama[crm]' ({exc.name} is missing)")
    log_to_stderr(logging.ERROR)
    try:
        asyncio.run(run_demo(data, rate=rate, port=port, language=language))
    except BadSettings as exc:
        _fail(str(exc), EXIT_BAD_SETTINGS)


@app.command()
def enrol(url: str, code: str, config: ConfigPath = DEFAULT_PATH) -> None:
    """Make this box known to the CRM at URL, with the enrolment CODE that the CRM shows."""
    settings = _settings(config)
    from edge.enrolling import enrol as enrol_device
    from edge.enrolling import read_credentials
    from sync.errors import EnrolmentRefused, LinkDown

    try:
        CrmSettings(url=url)
    except ValueError:
        _fail(f"URL: {url} is no address of a CRM; write it as https://crm.example")
    if not 1 <= len(code) <= 200:
        _fail("the CRM did not take the code: code: it has 1 to 200 characters; ask for a new one in the CRM")
    try:
        before = read_credentials(settings.device.data_path)
    except BadSettings:
        before = None  # damaged credentials are what enrolling again mends
    try:
        credentials = asyncio.run(enrol_device(settings, url, code))
    except EnrolmentRefused as exc:
        _fail(f"the CRM did not take the code: {exc}")
    except LinkDown as exc:
        _fail(str(exc))
    except OSError as exc:
        _fail(f"device.data_path: {exc.filename}: {exc.strerror}; run this as the gate's user")
    typer.echo(f"Enrolled with {credentials.organiser} as {credentials.name} ({credentials.device_id}).")
    if settings.crm is None or settings.crm.url.rstrip("/") != url.rstrip("/"):
        typer.echo(f'Now put this into {config}:\n\n[crm]\nkind = "brama"\nurl = "{url}"\n')
    typer.echo("Restart the gate to use it." if before else "Start the gate, or restart it, to pull the tickets.")


@app.command()
def status(
    config: ConfigPath = DEFAULT_PATH, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False
) -> None:
    """Show what the running gate believes and how it fares."""
    settings = _settings(config)
    import json

    body = _ask(settings, "GET", "/api/v1/status")
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
    settings = _settings(config)
    from edge.reports import check_code

    text = sys.stdin.readline().rstrip("\n") if code == "-" else code
    try:
        word, reason, message = check_code(settings, text, lane or None)
    except BadSettings as exc:
        _fail(str(exc))
    typer.echo(f"{word}: {reason}\n{message.title}. {message.text}")


@app.command()
def export(
    config: ConfigPath = DEFAULT_PATH,
    out: Annotated[Path | None, typer.Option(help="A file instead of standard output.")] = None,
) -> None:
    """Write all scans, archived ones too, as CSV (RFC 4180)."""
    settings = _settings(config)
    from edge.reports import export_csv

    try:
        if out is None:
            count = export_csv(settings.device.data_path, sys.stdout)
        else:
            with out.open("w", newline="", encoding="utf-8") as file:
                count = export_csv(settings.device.data_path, file)
    except BadSettings as exc:
        _fail(str(exc))
    except OSError as exc:
        _fail(f"{exc.filename}: {exc.strerror}")
    sys.stderr.write(f"brama: {count} scans\n")


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Who it is for.")] = "network", config: ConfigPath = DEFAULT_PATH
) -> None:
    """Make a token for a program or phone that talks to this gate over the network; shown once."""
    settings = _settings(config)
    from edge.clock import wall_clock
    from edge.store.credentials import ApiTokens, BadCredentials

    try:
        typer.echo(ApiTokens(settings.device.data_path).make(name, wall_clock()))
    except BadCredentials as exc:
        _fail(str(exc))
    except OSError as exc:
        _fail(f"device.data_path: {exc.filename}: {exc.strerror}; run this as the gate's user")


@app.command()
def doctor(config: ConfigPath = DEFAULT_PATH) -> None:
    """Look for faults and name what mends each; exit 1 if there is one."""
    from edge.doctor import examine, print_findings

    try:
        settings = load_settings(config)
    except BadSettings as exc:
        _fail(str(exc), EXIT_BAD_SETTINGS)
    if not print_findings(asyncio.run(examine(settings))):
        raise typer.Exit(1)


@app.command()
def devices(
    watch: Annotated[str, typer.Option(help="Show what this one sends: its number in the list, or a path.")] = "",
    driver: Annotated[str, typer.Option(help="evdev, hidraw or serial; left out: told from the device.")] = "",
    layout: Annotated[str, typer.Option(help="Keyboard that it imitates: us, uk, de, fr, ua, ru.")] = "us",
    suffix: Annotated[str, typer.Option(help="What it types after a code: enter, tab, none.")] = "enter",
    baud: Annotated[int, typer.Option(help="Speed of a serial port.")] = 9600,
) -> None:
    """List scanners, serial ports and GPIO chips, how the settings name them, and what a scanner sends."""
    from drivers.protocols import DeviceLost, DeviceRefused
    from edge.devices import chosen_reader, print_devices
    from edge.devices import watch as watch_device

    if not watch:
        print_devices()
        return
    try:
        reader = chosen_reader(watch, driver or None, layout, suffix, baud)
    except (BadSettings, ValueError) as exc:
        _fail(str(exc))
    typer.echo(f"{reader.device}: scan something; Ctrl-C ends this.")
    try:
        asyncio.run(watch_device(reader, typer.echo))
    except (DeviceLost, DeviceRefused) as exc:
        _fail(f"{exc}" + ("; the gate itself may have it: systemctl stop brama" if "grabbed" in str(exc) else ""))


@sync_app.command("now")
def sync_now(config: ConfigPath = DEFAULT_PATH) -> None:
    """Pull from the CRM at once."""
    _ask(_settings(config), "POST", "/api/v1/sync/now")
    typer.echo("Pulling now; see brama status.")


@sync_app.command("accept")
def sync_accept(config: ConfigPath = DEFAULT_PATH) -> None:
    """Let a ticket list take its place that was held back for being much smaller."""
    _ask(_settings(config), "POST", "/api/v1/sync/accept")
    typer.echo("Accepted; see brama status.")


@journal_app.command("verify")
def journal_verify(config: ConfigPath = DEFAULT_PATH) -> None:
    """Walk the chain of all scans: a removed, edited or inserted row shows; exit 1 if one does."""
    settings = _settings(config)
    from edge.reports import verify_journal

    try:
        found = verify_journal(settings.device.data_path)
    except BadSettings as exc:
        _fail(str(exc))
    typer.echo(f"{found.rows} scans, seq {found.first_seq} to {found.last_seq}")
    for problem in found.problems:
        typer.echo(f"  {problem}")
    if found.problems:
        raise typer.Exit(1)
    typer.echo("the chain is whole")


def _ask(settings: Settings, method: str, path: str) -> Any:
    """Ask the running gate, over loopback."""
    import httpx

    host = settings.web.host
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 (listening everywhere is asked on loopback)
        host = "127.0.0.1"
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.web.port}{path}"
    try:
        response = httpx.request(method, url, timeout=10.0, trust_env=False)
    except httpx.HTTPError as exc:
        _fail(f"no gate answers at {url} ({exc}); is it running? systemctl status brama")
    try:
        body = response.json() if response.content else {}
        error = body.get("error", {}).get("message") if response.is_error else None
    except (ValueError, AttributeError):
        error, body = None, None
    if error:
        _fail(error)
    if response.is_error or not isinstance(body, dict) or "error" in body:
        _fail(f"what answers at {url} is no gate; check web.port")
    return body
