"""Counting requests, cheaply: plain numbers per request, handed to Prometheus' shared files every few seconds.

All processes of a server write into one folder (PROMETHEUS_MULTIPROC_DIR); `/metrics` adds them up.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SAMPLES_LIMIT = 20_000  # durations kept between two flushes, per door
_FILE_BYTES = 64 * 1024  # as large as Prometheus' client makes them
_SHARED = os.environ.get("PROMETHEUS_MULTIPROC_DIR")


def _take_room(folder: Path) -> None:
    """This process's shared files have all their bytes on the disk before they are mapped.

    The client makes them as holes, and writing into the map of a hole kills the process (SIGBUS) when the disk is full.
    """
    for kind in ("counter", "histogram"):
        (folder / f"{kind}_{os.getpid()}.db").write_bytes(bytes(_FILE_BYTES))


if _SHARED is not None:
    _take_room(Path(_SHARED))

REQUESTS = Counter("lading_requests", "Requests answered.", ["door", "method", "status"], registry=None)
SECONDS = Histogram("lading_request_seconds", "Time from request to answer, in the app.", ["door"], registry=None)
TOTALS = {
    name: Counter(f"lading_{name}", words, registry=None)
    for name, words in {
        "point_reads": "Prepared point reads of the database.",
        "manifest_cache_hits": "Manifests served from memory.",
        "manifest_cache_misses": "Manifests read from the database.",
        "blob_bytes_sent": "Bytes of blobs that clients were sent to.",
        "uploads": "Uploads that became blobs.",
        "upload_bytes": "Bytes of uploads that became blobs.",
    }.items()
}


@dataclass
class Metrics:
    """Numbers of this process since the last flush. `sources` are totals that others count, read at a flush."""

    sources: dict[str, Callable[[], int]] = field(default_factory=dict)
    _requests: dict[tuple[str, str, int], int] = field(default_factory=dict)
    _seconds: dict[str, list[float]] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)

    def count(self, door: str, method: str, status: int, seconds: float) -> None:
        """One request was answered."""
        key = (door, method, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        samples = self._seconds.setdefault(door, [])
        if len(samples) < _SAMPLES_LIMIT:
            samples.append(seconds)

    async def flush(self) -> None:
        """What was counted is in the shared files."""
        requests, self._requests = self._requests, {}
        for (door, method, status), number in requests.items():
            REQUESTS.labels(door, method, str(status)).inc(number)
        seconds, self._seconds = self._seconds, {}
        for door, samples in seconds.items():
            histogram = SECONDS.labels(door)
            for sample in samples:
                histogram.observe(sample)
        for name, source in self.sources.items():
            total = source()
            TOTALS[name].inc(total - self._seen.get(name, 0))
            self._seen[name] = total


def exposition(folder: Path) -> bytes:
    """All processes' numbers in Prometheus' text form. Blocks a little."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]  # untyped upstream
    return generate_latest(registry)


def requests_answered(folder: Path) -> int:
    """How many requests all processes have answered."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]  # untyped upstream
    return int(
        sum(
            sample.value
            for metric in registry.collect()
            if metric.name == "lading_requests"
            for sample in metric.samples
            if sample.name == "lading_requests_total"
        )
    )
