"""Why a network camera gives no pictures: asked of it in words, since OpenCV says no more than that it failed.

The address may hold a password, so people are told `Stream.shown` and nothing else of it.

Source: RFC 9110 (HTTP), RFC 7617 (Basic), RFC 2326, section 10.2 (RTSP, DESCRIBE).
"""

import base64
import http.client
import socket
import ssl
from contextlib import closing
from typing import IO
from urllib.parse import SplitResult, unquote, urlsplit

from drivers.camera.messages import Stream
from drivers.protocols import DeviceLost, DeviceRefused

ANSWER_S = 3.0
_PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}
_LONGEST_LINE = 1_000
_MOST_HEADERS = 100


def reach(stream: Stream) -> None:
    """Make sure that somebody listens at a stream's address, which is cheap, and tells most faults.

    Raises:
        DeviceLost: nobody does.
        DeviceRefused: it is no address of a stream.
    """
    _connected(stream).close()


def fault(stream: Stream) -> DeviceLost | DeviceRefused:
    """Return why a stream that can be reached did not open, as far as asking it in plain words tells."""
    try:
        with closing(_connected(stream)) as link:
            return _http_fault(stream, link) if _scheme(stream).startswith("http") else _rtsp_fault(stream, link)
    except (DeviceLost, DeviceRefused) as exc:
        return exc
    except (OSError, http.client.HTTPException, ValueError):
        return DeviceLost(f"{stream.shown}: the answer is none that a camera gives; check the port and the address")


def _scheme(stream: Stream) -> str:
    return urlsplit(stream.url).scheme.lower()


def _connected(stream: Stream) -> socket.socket:
    """Return a connection to a stream's camera; raise as `reach`."""
    try:
        parts = urlsplit(stream.url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme.lower()]
    except (ValueError, KeyError) as exc:
        mend = "begin it with rtsp://, rtsps://, http:// or https://"
        raise DeviceRefused(f"{stream.shown}: not the address of a stream; {mend}") from exc
    try:
        link = socket.create_connection((host, port), ANSWER_S)
        return _wrapped(link) if parts.scheme.lower() in {"https", "rtsps"} else link
    except socket.gaierror as exc:
        raise DeviceLost(f"{stream.shown}: no such host; check the address and the network's DNS") from exc
    except ConnectionRefusedError as exc:
        mend = "see that the camera's stream is switched on, and the port"
        raise DeviceLost(f"{stream.shown}: refuses the connection; {mend}") from exc
    except TimeoutError as exc:
        mend = "see that the camera is on, and in the same network"
        raise DeviceLost(f"{stream.shown}: does not answer; {mend}") from exc
    except (OSError, ValueError) as exc:
        raise DeviceLost(f"{stream.shown}: cannot be reached ({getattr(exc, 'strerror', None) or 'no host'})") from exc


def _wrapped(link: socket.socket) -> socket.socket:
    """Speak TLS, as unsure of who answers as FFmpeg is: cameras sign their own certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return context.wrap_socket(link)
    except OSError:
        link.close()
        raise


def _authorization(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    said = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + base64.b64encode(said.encode()).decode()}


def _http_fault(stream: Stream, link: socket.socket) -> DeviceLost | DeviceRefused:
    parts = urlsplit(stream.url)
    asking = http.client.HTTPConnection(parts.hostname or "", timeout=ANSWER_S)
    asking.sock = link
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    asking.request("GET", target, headers=_authorization(parts))
    answer = asking.getresponse()
    if answer.status >= 300:
        return _refusal(stream, answer.status, answer.headers.get("WWW-Authenticate", ""))
    kind = _tame(answer.headers.get_content_type())
    if kind == "text/html":
        return DeviceLost(f"{stream.shown}: gives a web page, not a video; name the address of the stream itself")
    return DeviceLost(f"{stream.shown}: gives {kind}, in which there is no video that can be read")


def _rtsp_fault(stream: Stream, link: socket.socket) -> DeviceLost | DeviceRefused:
    parts = urlsplit(stream.url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    headers = {"CSeq": "1", "Accept": "application/sdp", **_authorization(parts)}
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    link.sendall(f"DESCRIBE {bare} RTSP/1.0\r\n{told}\r\n".encode())
    with link.makefile("rb") as answer:
        version, status, *_ = answer.readline(_LONGEST_LINE).decode("latin-1").split(" ", 2)
        if not version.startswith("RTSP/"):
            raise ValueError("not RTSP")
        if int(status) < 300:
            return DeviceLost(f"{stream.shown}: gives no video that can be read; set the camera to H.264 or MJPEG")
        return _refusal(stream, int(status), _header(answer, "www-authenticate"))


def _header(answer: IO[bytes], name: str) -> str:
    """Return what a header says, of those that follow; nothing where it is not among them."""
    for _ in range(_MOST_HEADERS):
        key, _, value = answer.readline(_LONGEST_LINE).decode("latin-1").strip().partition(":")
        if not key or key.lower() == name:
            return value.strip()
    return ""


def _refusal(stream: Stream, status: int, wants: str) -> DeviceLost | DeviceRefused:
    """Say what a status above 299 means, which HTTP and RTSP share."""
    if status in {401, 403}:
        if "@" not in urlsplit(stream.url).netloc:
            return DeviceRefused(f"{stream.shown}: wants a user and a password; put them into the url of the settings")
        if wants.lower().startswith("digest"):  # which it was not asked by, so that the fault may be another
            mend = "check them, and the rest of the address"
            return DeviceRefused(f"{stream.shown}: does not take the user, the password or the address; {mend}")
        return DeviceRefused(f"{stream.shown}: does not take the user or the password; mend them in the settings")
    if status in {404, 454}:
        return DeviceLost(f"{stream.shown}: the camera has no such stream ({status}); check the address")
    if status in {453, 503}:
        return DeviceLost(f"{stream.shown}: the camera serves no more viewers ({status}); close another one")
    return DeviceLost(f"{stream.shown}: the camera refuses ({status}); see its own page")


def _tame(text: str) -> str:
    return "".join(char for char in text if char.isascii() and char.isprintable())[:60]
