"""A network camera that gives MJPEG over RTSP, as far as a client over TCP goes.

Source: RFC 2326, section 10.12 (interleaved); RFC 3550, section 5.1 (RTP); RFC 2435, section 3.1 (JPEG in RTP).
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

from drivers.camera.frames import Luma
from drivers.camera.messages import Stream
from tests.drivers.cameras import FRAME_S, HEIGHT, NOTHING, WIDTH, a_jpeg

MOST_OF_A_PACKET = 1_400
_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:video\r\n"


class RtspCamera:
    """Its one stream is `/live`; it takes one client at a time."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        self.jpeg = a_jpeg(NOTHING)
        self._plays = asyncio.Event()

    def shows(self, luma: Luma) -> None:
        self.jpeg = a_jpeg(luma)

    def stream(self, path: str = "live") -> Stream:
        url = f"rtsp://127.0.0.1:{self.port}/{path}"
        return Stream(url, url)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sending: asyncio.Task[None] | None = None
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                # What the client reports of its reception comes in between.
                method, url, *_ = head[_start(head) :].decode().split()
                self.asked.append(method)
                told = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
                writer.write(self._answer(method, url, told))
                if method == "PLAY" and sending is None:
                    sending = asyncio.create_task(self._send(writer), name="RTP")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.wait([sending])
            writer.close()

    def _answer(self, method: str, url: str, told: dict[str, str]) -> bytes:
        head = {"CSeq": told.get("CSeq", "0"), "Session": "1"}
        body = ""
        if "/closed" in url:
            lines = f'CSeq: {head["CSeq"]}\r\nWWW-Authenticate: Digest realm="camera", nonce="1"\r\n'
            return f"RTSP/1.0 401 Unauthorized\r\n{lines}\r\n".encode()
        if "/live" not in url:
            return f"RTSP/1.0 404 Not Found\r\nCSeq: {head['CSeq']}\r\n\r\n".encode()
        match method:
            case "OPTIONS":
                head["Public"] = "DESCRIBE, SETUP, PLAY, TEARDOWN"
            case "DESCRIBE":
                body = _SDP
                head |= {"Content-Type": "application/sdp", "Content-Length": str(len(body))}
            case "SETUP":
                head["Transport"] = "RTP/AVP/TCP;unicast;interleaved=0-1"
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return f"RTSP/1.0 200 OK\r\n{lines}\r\n{body}".encode()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        sequence = clock = 0
        with suppress(ConnectionResetError):
            while True:
                for payload, is_last in _in_packets(self.jpeg):
                    kind = 26 | (0x80 if is_last else 0)
                    packet = struct.pack(">BBHII", 0x80, kind, sequence & 0xFFFF, clock & 0xFFFFFFFF, 1) + payload
                    writer.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                    sequence += 1
                await writer.drain()
                clock += int(90_000 * FRAME_S)
                await asyncio.sleep(FRAME_S)


def _start(head: bytes) -> int:
    """Return where the request begins behind interleaved packets."""
    line = head.rfind(b" rtsp://")
    return max(head.rfind(method, 0, line) for method in (b"OPTIONS", b"DESCRIBE", b"SETUP", b"PLAY", b"TEARDOWN"))


def _in_packets(jpeg: bytes) -> Iterator[tuple[bytes, bool]]:
    """Cut a JPEG into RTP payloads: its tables of quantisation, and its scan."""
    tables, at = b"", 2
    while jpeg[at + 1] != 0xDA:
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] == 0xDB:
            content = jpeg[at + 4 : at + 2 + length]
            tables += b"".join(content[start + 1 : start + 65] for start in range(0, len(content), 65))
        at += 2 + length
    scan = jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big") :]
    for start in range(0, len(scan), MOST_OF_A_PACKET):
        # Type 1 is 4:2:0; a quality of 255 says that the tables come along.
        head = struct.pack(">II", start, 1 << 24 | 255 << 16 | WIDTH // 8 << 8 | HEIGHT // 8)
        with_tables = struct.pack(">BBH", 0, 0, len(tables)) + tables if start == 0 else b""
        yield head + with_tables + scan[start : start + MOST_OF_A_PACKET], start + MOST_OF_A_PACKET >= len(scan)


@asynccontextmanager
async def an_rtsp_camera() -> AsyncIterator[RtspCamera]:
    """An RTSP camera that is switched on until the end of the block."""
    camera = RtspCamera()
    server = await asyncio.start_server(camera.serve, "127.0.0.1", 0)
    camera.port = server.sockets[0].getsockname()[1]
    try:
        yield camera
    finally:
        server.close()
