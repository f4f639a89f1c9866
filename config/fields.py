"""What the tables of the settings share: their base, and addresses that are checked before anything is sent there."""

import re
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from edge.core.enrolment import names_a_host


class Table(BaseModel):
    """A table of the file. Frozen, and a key that it does not know is a problem."""

    # Validators of its own are built where a table is used alone; the whole file has one for all: memory is dear.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def _address(url: str) -> str:
    mend = "write it as https://name.example or http://10.0.0.7:8080/relay"
    try:
        _ = urlsplit(url).port
    except ValueError as exc:
        raise ValueError(f"{exc}; {mend}") from exc
    if not names_a_host(url):
        raise ValueError(f"no host that there can be, or no port; {mend}")
    return url


def _stream(url: object) -> str:
    """Check a camera's address; what is wrong with it is told without repeating it, since it may hold a password."""
    found = url if isinstance(url, str) else ""
    if not re.fullmatch(r"(rtsps?|https?)://[^\s/?#]+([/?][^\s#]*)?", found) or not names_a_host(found):
        raise ValueError(
            "no address of a stream, or no host that there can be; write it as rtsp://10.0.0.20/stream or"
            " http://10.0.0.20/video"
        )
    return found


def shown_url(url: str) -> str:
    """Return an address as people may see it: passwords stand before the host, in the query, and some in the path."""
    scheme, _, rest = url.partition("?")[0].partition("//")
    host, slash, path = rest.partition("/")
    return f"{scheme}//{host.rpartition('@')[2]}{slash}" + re.sub(r"[^/]*[=&;:@][^/]*", "…", path)


def _host(host: str) -> str:
    if not names_a_host(f"http://[{host}]" if ":" in host else f"http://{host}"):
        raise ValueError(f"{host!r} is no host; write it as 10.0.0.9 or relay.local, with no http:// and no port")
    return host


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:  # what zoneinfo raises for a name unknown, malformed, or a folder
        raise ValueError(f"{name!r} is no time zone; write it as Europe/Kyiv") from exc
    return name


BaseUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$"), AfterValidator(_address)]
"""An address to which paths are added."""
RequestUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+([/?][^\s#]*)?$"), AfterValidator(_address)]
"""An address as it is asked; it may have a query."""
StreamUrl = Annotated[str, PlainValidator(_stream)]
"""An address of a camera's stream: RTSP or HTTP, with a name and a password where the camera asks for them."""
Host = Annotated[str, Field(pattern=r"^[^\s/?#@\[\]]+$", max_length=253), AfterValidator(_host)]
"""A host's name or its IP address, without brackets."""
ZoneName = Annotated[str, AfterValidator(_zone)]
"""The IANA name of a time zone."""
