"""Memory that worker 0 took at most, after every step."""

from __future__ import annotations

import resource
from collections.abc import Mapping

import torch

from training.loop.callback import Callback, StageRun, StepOutcome


class PeakMemory(Callback):
    """``peak_memory/process_mb`` and, on a GPU, ``peak_memory/gpu_mb``, since the worker began."""

    def on_step(self, run: StageRun, outcome: StepOutcome) -> Mapping[str, float]:
        """Two reads of counters."""
        found = {"process_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}
        if run.stage.layout.use_gpu:
            found["gpu_mb"] = torch.cuda.max_memory_allocated() / 2**20
        return found
