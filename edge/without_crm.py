"""What a gate works with that has no CRM: barcode files, and a folder for its scans."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path, PurePosixPath

from config.fields import shown_url
from config.settings import FileCrmSettings, Settings
from edge.store.credentials import Credentials
from sync.box_zone import box_zone
from sync.crm_file import FileCrm, Tell
from sync.file_plan import Owner
from sync.file_source import PathSource, Source
from sync.scan_files import ScanFiles


def place_of(crm: FileCrmSettings) -> str:
    """Return where the barcode files are, as people may see it."""
    return shown_url(crm.url) if crm.url is not None else str(crm.path)


def file_crm(
    settings: Settings,
    crm: FileCrmSettings,
    credentials: Credentials,
    folder: Path,
    now: Callable[[], datetime],
    tell: Tell,
) -> FileCrm:
    """Build the connector, which keeps in `folder` what it fetches; see `FileCrm`."""
    owner = Owner(
        device_id=credentials.device_id,
        key=credentials.lookup_key,
        gate_name=settings.device.name,
        list_name=_list_name(crm),
        tz=crm.tz or box_zone(),
    )
    scans_path = settings.scans_path
    assert scans_path is not None, "whoever reads files writes scans"  # noqa: S101
    return FileCrm(_source(crm, folder), ScanFiles(scans_path), owner, now, skip_bad=crm.skip_bad, tell=tell)


def _source(crm: FileCrmSettings, folder: Path) -> Source:
    if crm.path is not None:
        return PathSource(crm.path, crm.plan_path)
    from sync.url_source import EVERY_S, UrlSource

    return UrlSource(crm.url or "", folder, crm.plan_path, crm.every_s or EVERY_S)


def _list_name(crm: FileCrmSettings) -> str:
    """Name the event after the file or folder."""
    return PurePosixPath(place_of(crm)).stem or "Event"
