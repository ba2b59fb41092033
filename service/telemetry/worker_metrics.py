"""Metrics of several worker processes, added up by the one that is asked.

Every worker writes its values as a file once a second into a folder that only they and their supervisor know. The one
that is asked for ``/metrics`` writes its own first and then adds up all files: what an answer shows is on disk, so no later
answer, whichever worker gives it, can show a smaller count, not even when a worker has been killed in between.

Prometheus' own multiprocess mode was tried and is not used. It keeps every value in a mapped file, 2.3 µs for each one that
is counted against 0.14 here, which is in the way of every message; a second's file costs 0.4 ms of Python once. It also
takes no gauge that is computed when it is read, keeps the files of ended workers for ever, and is switched on by an
environment variable before the first import, for all services in a process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

INTERVAL_SECONDS = 1.0
RETIRED = "retired.json"
RETRY_SECONDS = 10.0
EARLIEST = ("_created", "_start_time_seconds")  # times: the earliest is shown, a sum would mean nothing

# what only the supervisor knows, as a family that is added to those of the worker
DEATH = [
    {
        "name": "quietwire_worker_deaths",
        "documentation": "",
        "type": "counter",
        "samples": [["quietwire_worker_deaths_total", {}, 1]],
    }
]

log = logging.getLogger(__name__)

Key = tuple[str, tuple[tuple[str, str], ...]]


class WorkerMetrics:
    """One worker's part in the metrics of all.

    Args:
        folder: Shared by the workers of one server.
        number: Of the worker; never given twice.
        registry: Its own metrics.
    """

    def __init__(self, folder: Path, number: int, registry: CollectorRegistry) -> None:
        self._folder, self._path, self._registry = folder, _path(folder, number), registry
        self._lock = threading.Lock()

    async def keep_publishing(self) -> None:
        """Write the values every second until cancelled, and then a last time."""
        try:
            while True:
                await asyncio.to_thread(self.publish)  # a slow disk must not hold up the streams
                await asyncio.sleep(INTERVAL_SECONDS)
        finally:
            self.publish()

    def publish(self) -> None:
        """Write the values; nothing happens when the folder is gone, as its supervisor then is."""
        try:
            with self._lock:
                _write(self._path, {"families": _dump(self._registry.collect())})
        except FileNotFoundError:
            return
        except OSError as error:
            log.error("the metrics of this worker cannot be told to the others: %s", error.strerror)

    def total(self) -> Collector:
        """The sum over all workers, those that have ended included, for ``generate_latest``; it reads and writes files."""
        self.publish()
        return _Sum(self._folder)


def retire(folder: Path, number: int, died: bool = False) -> None:
    """Keep the counts of a worker that has ended, without its file. For the supervisor alone.

    Args:
        folder: Shared by the workers.
        number: Of the worker.
        died: Whether it was not told to end; that is counted, too.
    """
    ended = _read(_path(folder, number)) or {"families": []}
    retired = _read(folder / RETIRED) or {"numbers": [], "families": []}
    if number in retired["numbers"]:
        _path(folder, number).unlink(missing_ok=True)
        return
    counts = [family for family in ended["families"] if family["type"] != "gauge"]
    families = _dump(_add([retired["families"], counts, DEATH if died else []]))
    _write(folder / RETIRED, {"numbers": [*retired["numbers"], number], "families": families})
    _path(folder, number).unlink(missing_ok=True)


class Ended:
    """Workers that have ended and whose counts are to be kept; where the disk is full, that is tried again later.

    Args:
        folder: Shared by the workers.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: list[tuple[int, bool]] = []
        self._at = 0.0

    def add(self, number: int, died: bool) -> None:
        """One more; see ``retire``."""
        self._waiting.append((number, died))
        self._at = 0.0

    @property
    def due(self) -> list[float]:
        """When ``keep`` has something to do, on the clock of ``time.monotonic``; empty for never."""
        return [self._at] if self._waiting else []

    def keep(self) -> None:
        """Keep the counts of those that wait, if it is time to."""
        while self._waiting and time.monotonic() >= self._at:
            try:
                retire(self._folder, *self._waiting[0])
            except OSError as error:
                log.error("the counts of a worker that has ended cannot be kept for now: %s", error.strerror)
                self._at = time.monotonic() + RETRY_SECONDS
            else:
                del self._waiting[0]


class _Sum(Collector):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        # The workers first, then those that have ended: one that is retired in between is left out, not counted twice.
        parts = {path.name: _read(path) for path in sorted(self._folder.glob("worker-*.json"))}
        retired = _read(self._folder / RETIRED) or {"numbers": [], "families": []}
        for number in retired["numbers"]:
            parts.pop(_path(self._folder, number).name, None)
        yield from _add([*(part["families"] for part in parts.values() if part), retired["families"]])


def _path(folder: Path, number: int) -> Path:
    return folder / f"worker-{number}.json"


def _write(path: Path, value: Any) -> None:
    """So that a reader finds the old text or the new one, and nothing in between."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(value))
    partial.replace(path)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def _dump(metrics: Iterable[Metric]) -> list[dict[str, Any]]:
    return [
        {
            "name": metric.name,
            "documentation": metric.documentation,
            "type": metric.type,
            "samples": [[sample.name, sample.labels, sample.value] for sample in metric.samples],
        }
        for metric in metrics
    ]


def _add(parts: list[list[dict[str, Any]]]) -> list[Metric]:
    """The sums, sample by sample, in the order in which they are first found."""
    metrics: dict[str, Metric] = {}
    sums: dict[str, dict[Key, float]] = {}
    for family in (family for part in parts for family in part):
        name = family["name"]
        metrics.setdefault(name, Metric(name, family["documentation"], family["type"]))
        values = sums.setdefault(name, {})
        for sample, labels, value in family["samples"]:
            key = sample, tuple(labels.items())
            if key not in values:
                values[key] = value
            elif sample.endswith(EARLIEST):
                values[key] = min(values[key], value)
            else:
                values[key] += value
    for name, metric in metrics.items():
        for (sample, labels), value in sums[name].items():
            metric.add_sample(sample, dict(labels), value)
    return list(metrics.values())
