"""What the commands share: the settings they take, how they fail, and how they ask the running gate."""

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from config.settings import EXIT_BAD_SETTINGS, BadSettings, Settings, load_settings

ConfigPath = Annotated[Path, typer.Option("-c", "--config", help="The settings, a TOML file.")]


def fail(message: str, code: int = 1) -> NoReturn:
    """End the command with a message and an exit code."""
    sys.stderr.write(f"brama: {message}\n")
    raise typer.Exit(code)


def settings_of(path: Path) -> Settings:
    """Load the settings, or end the command with what is wrong with them."""
    try:
        return load_settings(path)
    except BadSettings as exc:
        fail(str(exc), EXIT_BAD_SETTINGS)


def ask(settings: Settings, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the running gate, over loopback; end the command if it does not answer well."""
    import httpx

    url = f"{settings.web.local_url}{path}"
    try:
        response = httpx.request(method, url, json=body, timeout=10.0, trust_env=False)
    except httpx.HTTPError as exc:
        fail(f"no gate answers at {url} ({exc}); is it running? systemctl status brama")
    try:
        answer = response.json() if response.content else {}
        error = answer.get("error", {}).get("message") if response.is_error else None
    except (ValueError, AttributeError):
        error, answer = None, None
    if error:
        fail(error)
    if response.is_error or not isinstance(answer, dict) or "error" in answer:
        fail(f"what answers at {url} is no gate; check web.port")
    return answer
