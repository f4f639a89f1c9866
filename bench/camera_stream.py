"""A network camera on loopback: an HTTP stream of JPEG pictures, 30 a second, that can be told what to show next.

Source: RFC 2046, section 5.1 (multipart); the form `multipart/x-mixed-replace` is what network cameras send.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.scenes.clips import FPS


class Camera(ThreadingHTTPServer):
    """Shows each picture of `pictures` in turn; after the last one, that one on and on."""

    daemon_threads = True

    def __init__(self, pictures: Iterator[tuple[bytes, str]]) -> None:
        """Each picture comes with a name, under which it is noted when it was first sent."""
        super().__init__(("127.0.0.1", 0), _Viewer)
        self._turn = threading.Lock()
        self._pictures = pictures
        self._last = next(pictures)
        self.sent_at_s: dict[str, float] = {}
        """When a picture of this name was first sent (CLOCK_MONOTONIC)."""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}/"

    def show(self, pictures: Iterator[tuple[bytes, str]]) -> None:
        """Show these from now on."""
        with self._turn:
            self._pictures = pictures

    def take(self) -> bytes:
        """Return the next picture, which is sent at once."""
        with self._turn:
            self._last = packed, name = next(self._pictures, self._last)
            self.sent_at_s.setdefault(name, time.monotonic())
            return packed


class _Viewer(BaseHTTPRequestHandler):
    server: Camera

    def do_GET(self) -> None:
        """Send pictures until the viewer goes."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        due_s = time.monotonic()
        try:
            while True:
                packed = self.server.take()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(packed)}\r\n\r\n"
                self.wfile.write(head.encode() + packed + b"\r\n")
                due_s += 1 / FPS
                time.sleep(max(0.0, due_s - time.monotonic()))
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (as in http.server)
        """Say nothing."""


@contextmanager
def a_camera(pictures: Iterator[tuple[bytes, str]]) -> Iterator[Camera]:
    """Run a camera."""
    with Camera(pictures) as camera:
        thread = threading.Thread(target=camera.serve_forever, daemon=True)
        thread.start()
        try:
            yield camera
        finally:
            camera.shutdown()
            thread.join()
