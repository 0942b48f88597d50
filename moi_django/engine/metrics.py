"""Measure the process that an engine is."""

import os
import platform
import socket
import time
from contextlib import suppress

import psutil

from moi_django.store.engines import EngineMetrics

# Seconds over which CPU time is measured at least: over less, a tick of its clock is too much.
CPU_WINDOW = 0.5


class MetricsSampler:
    """Measures the process that it is made in."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._process = psutil.Process()
        self._cpu: float | None = None
        self._sampled_at = time.monotonic()
        with suppress(psutil.Error):
            self._process.cpu_percent()  # from here on it counts

    def sample(self, context: str | None, code: str | None, refusal: str | None) -> EngineMetrics:
        """Return how the engine is now, and what else it says of itself."""
        return EngineMetrics(
            engine=self._engine,
            context=context,
            host=socket.gethostname(),
            pid=self._process.pid,
            python=platform.python_version(),
            cpu=self._sample_cpu(),
            memory=self._sample_memory(),
            load=_load_average(),
            cpus=os.cpu_count(),
            code=code,
            refusal=refusal,
        )

    def _sample_cpu(self) -> float | None:
        if time.monotonic() - self._sampled_at >= CPU_WINDOW:
            self._sampled_at = time.monotonic()
            with suppress(psutil.Error):
                self._cpu = self._process.cpu_percent()
        return self._cpu

    def _sample_memory(self) -> int | None:
        with suppress(psutil.Error):
            return self._process.memory_info().rss
        return None


def _load_average() -> float | None:
    with suppress(OSError):
        return os.getloadavg()[0]
    return None
