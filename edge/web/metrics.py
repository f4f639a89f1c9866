"""What Prometheus asks of the gate: counted as it happens, gauged when asked."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from edge.box import Box
from edge.hub import Message

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
READER = ("lane", "driver", "device")


class ReaderCounts(Collector):
    """Counters that are not kept here: each reader's lane counts them, and its status tells."""

    def __init__(self) -> None:
        self.readers: Sequence[dict[str, Any]] = ()
        """Each as in the status."""

    def collect(self) -> Iterable[Metric]:
        """Return what the readers have read, what of it was spoiled, and how the cameras among them fare."""
        reads = CounterMetricFamily("brama_reader_reads", "Codes that came whole since the start", labels=READER)
        spoiled = CounterMetricFamily("brama_reader_spoiled", "Codes that did not come well", labels=READER)
        for reader in self.readers:
            named = [reader[label] for label in READER]
            reads.add_metric(named, reader["reads"])
            spoiled.add_metric(named, reader["spoiled"])
        return reads, spoiled, *self._of_cameras()

    def _of_cameras(self) -> Iterable[Metric]:
        """Return nothing of a camera that is not up: what it said last is no longer so."""
        frames = CounterMetricFamily(
            "brama_camera_frames", "Pictures that came, by what was done with them", labels=(*READER, "frames")
        )
        fps = GaugeMetricFamily("brama_camera_fps", "Pictures a second", labels=READER)
        decode = GaugeMetricFamily("brama_camera_decode_seconds", "Median of decoding of late", labels=READER)
        for reader in self.readers:
            if (camera := reader["camera"]) is None:
                continue
            named = [reader[label] for label in READER]
            for what, count in _sorted_frames(camera).items():
                frames.add_metric([*named, what], count)
            fps.add_metric(named, camera["fps"])
            decode.add_metric(named, camera["median_ms"] / 1000)
        return frames, fps, decode


class Metrics:
    """One app's metrics, in a registry of their own. An unknown quantity is NaN."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._registry = CollectorRegistry()
        self._scans = Counter(
            "brama_scans", "Scans judged since the start", ["lane", "verdict", "reason"], registry=self._registry
        )
        self._seconds = Histogram(
            "brama_decision_seconds",
            "From the read to the verdict on disk",
            ["lane"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._backlog = self._gauge("backlog_scans", "Scans that the CRM has not got yet")
        self._oldest = self._gauge("backlog_oldest_seconds", "Age of the oldest of them")
        self._parked = self._gauge("parked_scans", "Scans that the CRM would not take")
        self._conflicts = self._gauge("conflicts", "Tickets admitted twice, newest 20 at most")
        self._age = self._gauge("data_age_seconds", "Time since the CRM confirmed the ticket list")
        self._tickets = self._gauge("data_tickets", "Tickets in the list in use")
        self._held = self._gauge("data_held", "1: a newer list waits for a person's word")
        self._skew = self._gauge("clock_skew_seconds", "The CRM's time less the gate's")
        self._trusted = self._gauge("clock_trusted", "1: the gate is sure of the time")
        self._connected = self._gauge("crm_connected", "1: the CRM answers")
        self._reader = self._gauge("reader_up", "1: the reader reads", *READER)
        self._counts = ReaderCounts()
        self._registry.register(self._counts)
        self._recording = self._gauge("lane_can_record", "0: nobody is admitted, for it cannot be recorded", "lane")
        self._open = self._gauge("lane_held_open", "1: an emergency holds it open", "lane")
        self._info = self._gauge("info", "The release", "version")
        box.hub.listen(self.hear)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"brama_{name}", text, labels, registry=self._registry)

    def hear(self, message: Message) -> None:
        """Count a verdict; one that is shown again is no new scan."""
        if message["kind"] != "verdict" or message["repeat"]:
            return
        self._scans.labels(message["lane"], message["verdict"], message["reason"]).inc()
        self._seconds.labels(message["lane"]).observe(message["took_ms"] / 1000)

    async def handle(self, _request: web.Request) -> web.Response:
        """`GET /metrics`."""
        self._take(await self._box.status())
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    def _take(self, status: dict[str, Any]) -> None:
        backlog, data, clock = status["backlog"], status["data"], status["clock"]
        self._backlog.set(backlog["unsent"])
        self._oldest.set(_age_s(backlog["oldest_at"], clock["now"]))
        self._parked.set(backlog["parked"])
        self._conflicts.set(len(status["conflicts"]))
        self._age.set(_known(data["age_s"]))
        self._tickets.set(data["tickets"])
        self._held.set(data["held"] is not None)
        self._skew.set(_known(clock["skew_s"]))
        self._trusted.set(clock["trust"] == "trusted")
        self._connected.set(status["crm"]["state"] == "connected")
        self._info.labels(status["version"]).set(1)
        for reader in status["readers"]:
            up = reader["state"] == "running"
            self._reader.labels(*(reader[label] for label in READER)).set(up)
        self._counts.readers = status["readers"]
        for lane in status["lanes"]:
            self._recording.labels(lane["id"]).set(lane["cannot_record"] is None)
            self._open.labels(lane["id"]).set(lane["turnstile"] is not None and lane["turnstile"]["held_open"])


def _sorted_frames(camera: dict[str, Any]) -> dict[str, int]:
    dropped, still = camera["dropped"], camera["still"]
    return {"decoded": max(0, camera["frames"] - dropped - still), "dropped": dropped, "still": still}


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _age_s(at: str | None, now: str) -> float:
    if at is None:
        return 0.0
    return max(0.0, (datetime.fromisoformat(now) - datetime.fromisoformat(at)).total_seconds())
