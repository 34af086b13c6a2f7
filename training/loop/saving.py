"""The stage's saved states and, at its end, its checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from pipeline.errors import UserError
from pipeline.storage.location import Location
from training.engine import Engine
from training.loop.callback import Callback, StageRun
from training.model.lora import plain_model, save_adapter
from training.stage.checkpoint import ADAPTER, write_checkpoint


class Checkpoints(Callback):
    """Comes first, so that the other callbacks find the state loaded or saved, and the weights written."""

    def __init__(self, engine: Engine, tokenizer: PreTrainedTokenizerBase, out: Location) -> None:
        self._engine, self._tokenizer, self._out = engine, tokenizer, out
        self.digest = ""
        """Of the weights of the finished stage; on worker 0."""

    def on_start(self, run: StageRun, state: Path | None) -> None:
        """Resume from a state, of any number of workers. Raises UserError if its global batch differs."""
        if state is None:
            return
        found = self._engine.load(state)
        if found["global_batch"] != run.stage.global_batch:
            raise UserError(
                f"stage {run.stage.name}",
                f"its saved state is of global batch {found['global_batch']}, not of "
                f"{run.stage.global_batch}.",
                "Resume with that global batch, or delete the stage's folder to start again.",
            )
        run.first_step = int(found["step"])

    def on_save(self, run: StageRun, step: int, folder: Path) -> None:
        """This worker's part of the state."""
        metadata = {"step": step, "world": run.world, "global_batch": run.stage.global_batch}
        self._engine.save(folder, metadata)

    def on_end(self, run: StageRun) -> None:
        """Write the checkpoint, with merged adapters: by worker 0, from the parts of all workers."""
        state = self._engine.state()
        if run.rank:
            return
        assert state is not None
        with tempfile.TemporaryDirectory(prefix="ufvideo-final-") as scratch:
            if run.stage.lora is not None:
                save_adapter(self._engine.module, state, Path(scratch) / ADAPTER)
            model = plain_model(self._engine.module, state)
            self.digest = write_checkpoint(model, self._tokenizer, self._out, Path(scratch))
