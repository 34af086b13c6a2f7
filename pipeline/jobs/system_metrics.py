"""Load of the machine while a step runs, under the names that MLflow's own page for system metrics shows.

MLflow's own monitor writes to the server from the process that it watches, and would have to be imported
there. This one takes its numbers the same way and hands them to the run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from pipeline.jobs.tracking import Run

EVERY_S = 10.0
_FIRST_S = 1.0  # until the counters are read first, and again until they are logged first
_MB = 1e6


@contextmanager
def system_metrics(run: Run) -> Iterator[Run]:
    """Inside, the run is open and gets the load of this machine every 10 s."""
    stop = threading.Event()
    with run:
        thread = threading.Thread(target=_sample, args=(run, stop), name="system-metrics", daemon=True)
        thread.start()
        try:
            yield run
        finally:
            stop.set()
            thread.join(timeout=1.0)  # one sample takes milliseconds; a driver of a GPU may hang


def _sample(run: Run, stop: threading.Event) -> None:
    begun = time.monotonic()
    if stop.wait(_FIRST_S):
        return
    load, pause = Load(), _FIRST_S
    while not stop.wait(pause):
        values = load.read()
        if not stop.is_set():
            run.log_metrics(values, int(time.monotonic() - begun))
        pause = EVERY_S


class Load:
    """Reads the machine's counters. Rates are since the previous call."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._disk, self._network = psutil.disk_io_counters(), psutil.net_io_counters()
        psutil.cpu_percent()  # begins its interval
        self._nvml, self._gpus = _gpus()

    def read(self) -> dict[str, float]:
        """Processor, memory, disk, network and each GPU. Bytes of disk and network are since the start."""
        memory = self._psutil.virtual_memory()
        out = {
            "cpu_utilization_percentage": self._psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / _MB,
            "system_memory_usage_percentage": memory.percent,
        }
        if self._disk and (disk := self._psutil.disk_io_counters()):
            out["disk_read_megabytes"] = (disk.read_bytes - self._disk.read_bytes) / _MB
            out["disk_write_megabytes"] = (disk.write_bytes - self._disk.write_bytes) / _MB
        if self._network and (network := self._psutil.net_io_counters()):
            out["network_receive_megabytes"] = (network.bytes_recv - self._network.bytes_recv) / _MB
            out["network_transmit_megabytes"] = (network.bytes_sent - self._network.bytes_sent) / _MB
        for number, gpu in enumerate(self._gpus):
            out |= self._gpu(number, gpu)
        return {f"system/{name}": round(value, 1) for name, value in out.items()}

    def _gpu(self, number: int, gpu: Any) -> dict[str, float]:
        nvml, name = self._nvml, f"gpu_{number}"
        assert nvml is not None

        def memory() -> dict[str, float]:
            found = nvml.nvmlDeviceGetMemoryInfo(gpu)
            return {
                f"{name}_memory_usage_megabytes": found.used / _MB,
                f"{name}_memory_usage_percentage": found.used / found.total * 100,
            }

        reads: list[Callable[[], dict[str, float]]] = [
            memory,
            lambda: {f"{name}_utilization_percentage": nvml.nvmlDeviceGetUtilizationRates(gpu).gpu},
            lambda: {f"{name}_power_usage_watts": nvml.nvmlDeviceGetPowerUsage(gpu) / 1000},
        ]
        out: dict[str, float] = {}
        for read in reads:
            with suppress(nvml.NVMLError):  # a virtual GPU has not every counter
                out |= read()
        return out


def _gpus() -> tuple[ModuleType | None, list[Any]]:
    """NVIDIA's library with the handles of this machine's GPUs; nothing without a driver."""
    try:
        import pynvml
    except ImportError:
        return None, []
    try:
        pynvml.nvmlInit()
        return pynvml, [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return None, []
