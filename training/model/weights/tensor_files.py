"""Weight files: safetensors, and torch's pickles (.bin, .pt), which are only read. One tensor at a time.

A folder may be sharded as by Hugging Face, with or without an index. Files are memory-mapped, and a mapping
is closed and opened again after some tens of megabytes: until then, the pages that were read count as memory
of this process, and 17 GB of weights must not need 17 GB of memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.errors import StorageError, UserError

SAFETENSORS_INDEX, TORCH_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"
_WINDOW_BYTES = 16 * 1024**2
_SHARD_BYTES = 4 * 1024**3
_OTHER_BIN_FILES = {"training_args.bin", "optimizer.bin", "scheduler.bin"}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a source, not yet read."""

    name: str
    file: Path | None
    """None for a tensor in memory"""
    read: Callable[[], Tensor]
    """must be called before the next StoredTensor is requested"""


def tensors(source: Path | Mapping[str, Tensor], *, keep: bool = False) -> Iterator[StoredTensor]:
    """Every tensor of a source, in the order of its files.

    ``source``: tensors by name, a .safetensors, .pt or .bin file, or a folder of such files; in a folder with
    several formats only the .safetensors are read. ``keep``: the caller keeps the tensors, so closing the
    mappings would free nothing.

    Raises UserError for a folder without weights, a missing shard of an index, an incomplete or unreadable
    file, and a name that occurs in two files.
    """
    if isinstance(source, Mapping):
        for name, tensor in source.items():
            yield StoredTensor(name, None, partial(_identity, tensor))
        return
    file_of: dict[str, str] = {}
    for file in weight_files(source):
        shard = _Shard(file, None if keep else _WINDOW_BYTES)
        for name in shard.names:
            if name in file_of:
                raise UserError(
                    str(source),
                    f"{name} is in {file_of[name]} and in {file.name}.",
                    "Keep only the files of one checkpoint in the folder.",
                )
            file_of[name] = file.name
            yield StoredTensor(name, file, partial(shard.read, name))
        shard.close()


def weight_files(source: Path) -> list[Path]:
    """The files of a checkpoint: those of its index if it has one, else all files named like weights.

    Raises UserError if there are none, or if a file of the index is missing.
    """
    if source.is_file():
        return [source]
    for index, pattern in ((SAFETENSORS_INDEX, "*.safetensors"), (TORCH_INDEX, "pytorch_model*.bin")):
        if (source / index).is_file():
            return _indexed(source / index)
        if files := sorted(source.glob(pattern)):
            return files
    if files := sorted(f for f in source.glob("*.bin") if f.name not in _OTHER_BIN_FILES):
        return files
    pts = sorted(p.name for p in source.glob("*.pt"))
    raise UserError(
        str(source),
        "holds no .safetensors file and no .bin file of weights." if source.is_dir() else "does not exist.",
        f"Name its file {pts[0]} in the path." if pts else "Check the path.",
    )


def write_shards(
    state: Mapping[str, Tensor],
    folder: Path,
    *,
    metadata: dict[str, str] | None = None,
    shard_bytes: int = _SHARD_BYTES,
) -> None:
    """Writes ``model-*.safetensors`` and, last, their index. Files of those names are replaced."""
    shards: list[list[str]] = [[]]
    size = 0
    for name, tensor in state.items():
        if size and size + tensor.nbytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor.nbytes
    index: dict[str, str] = {}
    for i, names in enumerate(shards, 1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        save_file({name: _without_aliasing(state[name]) for name in names}, folder / file, metadata=metadata)
        (folder / file).chmod(0o644)  # safetensors makes it readable for its owner only
        index.update(dict.fromkeys(names, file))
    total = sum(tensor.nbytes for tensor in state.values())
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=1)
    (folder / SAFETENSORS_INDEX).write_text(text + "\n")


def _without_aliasing(tensor: Tensor) -> Tensor:
    """The tensor as safetensors needs it: contiguous, on the CPU, and not a view of a larger storage."""
    tensor = tensor.detach().contiguous().cpu()
    whole = tensor.untyped_storage().nbytes() == tensor.nbytes
    return tensor if whole else tensor.clone()


def _indexed(index: Path) -> list[Path]:
    """The files that an index names. Links are not resolved, because the hub's cache consists of links."""
    try:
        entries = dict(json.loads(index.read_text())["weight_map"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OSError) and StorageError.is_unreadable(error):
            raise StorageError.of(str(index), error) from error
        raise UserError(
            str(index), f"is not an index of weight files ({error!r}).", "Fetch it again."
        ) from error
    if not entries:
        raise UserError(str(index), "names no files: its weight_map is empty.", "Fetch it again.")
    for name, file in entries.items():
        if not _is_below(file):
            raise UserError(
                str(index),
                f"says that {name} is in {file!r}, which is not the name of a file in its folder.",
                "Fetch it again from a source that you trust.",
            )
    names = sorted(set(entries.values()))
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            str(index.parent),
            f"{len(missing)} of the {len(names)} files that {index.name} names are missing: "
            f"{', '.join(missing[:3])}{more}.",
            "Fetch them again.",
        )
    return [index.parent / name for name in names]


def _is_below(file: Any) -> bool:
    """True for a relative path that stays inside its folder, on any system."""
    if not isinstance(file, str) or not file or "\\" in file or "\0" in file:
        return False
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts


class _Shard:
    """One file. It is opened again whenever ``window`` bytes have been read from it."""

    def __init__(self, file: Path, window: int | None) -> None:
        self._file, self._window, self._read = file, window, 0
        self._get, self.close, self.names = self._open()

    def read(self, name: str) -> Tensor:
        if self._window is not None and self._read > self._window:
            self.close()
            del self._get  # the last reference to the mapping
            self._get, self.close, _ = self._open()
            self._read = 0
        tensor = self._get(name)
        self._read += tensor.nbytes
        return tensor

    def _open(self) -> tuple[Callable[[str], Tensor], Callable[[], None], list[str]]:
        if self._file.suffix != ".safetensors":
            state = _torch_state(self._file)
            return state.__getitem__, state.clear, list(state)
        try:
            opened = safe_open(self._file, framework="pt")
        except (SafetensorError, OSError) as error:
            if isinstance(error, OSError) and StorageError.is_unreadable(error):
                raise StorageError.of(str(self._file), error) from error
            raise UserError(
                str(self._file), f"is not a complete .safetensors file: {error}.", "Fetch it again."
            ) from error
        return opened.get_tensor, partial(opened.__exit__, None, None, None), list(opened.keys())


def _torch_state(file: Path) -> dict[str, Tensor]:
    """Tensors of a pickle: a state dict, or one under the key ``model``, as in SAM 2's checkpoints.

    No code in it is run. Torch's format from before 2020 cannot be mapped and is read as a whole.
    """
    try:
        try:
            found = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises all kinds of errors for a truncated file
        if isinstance(error, OSError) and StorageError.is_unreadable(error):
            raise StorageError.of(str(file), error) from error
        raise UserError(
            str(file),
            f"is not a complete {file.suffix} file of weights: {_first_line(error)}.",
            "Fetch it again, or convert it to .safetensors.",
        ) from error
    state = found.get("model", found) if isinstance(found, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise UserError(
            str(file),
            "holds no state dict, neither at the top level nor under `model`.",
            "Save its state dict as .safetensors.",
        )
    return dict(state)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _identity(tensor: Tensor) -> Tensor:
    return tensor
