"""What the tables of the settings share: their base, and addresses that are checked before anything is sent there."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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


def _host(host: str) -> str:
    if not names_a_host(f"http://[{host}]" if ":" in host else f"http://{host}"):
        raise ValueError(f"{host!r} is no host; write it as 10.0.0.9 or relay.local, with no http:// and no port")
    return host


BaseUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$"), AfterValidator(_address)]
"""An address to which paths are added."""
RequestUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+([/?][^\s#]*)?$"), AfterValidator(_address)]
"""An address as it is asked; it may have a query."""
Host = Annotated[str, Field(pattern=r"^[^\s/?#@\[\]]+$", max_length=253), AfterValidator(_host)]
"""A host's name or its IP address, without brackets."""
