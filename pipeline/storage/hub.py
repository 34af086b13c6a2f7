"""Models of the Hugging Face hub, named in a plan in place of a path: ``org/name``, ``org/name@revision``.

A file or folder of that path on this machine takes precedence over the hub. ``hf://org/name`` is
never a path; plans for a cluster, where a relative path means nothing, need it or a revision.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.errors import UserError
from pipeline.storage.cache import Cache
from pipeline.storage.location import Location

FilePatterns = Sequence[Sequence[str]]
"""Groups of patterns, tried in turn until one gives a file that fits the group's first."""

TOKENIZER_FILES: Final[FilePatterns] = (("*.json", "*.txt", "*.model", "*.jinja"),)
WEIGHT_FILES: Final[FilePatterns] = (("*.safetensors", "*.json"), ("*.bin",))  # many have both, 15 GB each
MODEL_FILES: Final[FilePatterns] = ((*WEIGHT_FILES[0], *TOKENIZER_FILES[0]), *WEIGHT_FILES[1:])
SAM2_FILES: Final[FilePatterns] = (("*.pt",),)  # its .safetensors on the hub have other names

_SCHEME: Final = "hf://"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_COMMIT = re.compile("[0-9a-f]{40}")
_ID = re.compile(rf"(?P<repo>{_NAME}/{_NAME})(@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]*))?")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model on the hub; without a revision its newest one."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{_SCHEME}{self.repo}" + (f"@{self.revision}" if self.revision else "")


def hub_model(text: str) -> HubModel | None:
    """The hub model that a plan's text names; None for a path. Raises UserError for a misspelt ``hf://``."""
    named = text.startswith(_SCHEME)
    found = _ID.fullmatch(text.removeprefix(_SCHEME))
    if named and not found:
        raise UserError(text, "is not a model of the hub.", "Write hf://org/name or hf://org/name@revision.")
    if not found:
        return None
    # A name inside an existing folder is more likely a misspelt path than a model.
    here = Path(text).exists() or (not found["revision"] and Path(text).parent.is_dir())
    if here and not named:
        return None
    return HubModel(found["repo"], found["revision"])


def is_plain(text: str) -> bool:
    """True if the text cannot be a relative path: it begins with ``hf://`` or has a revision."""
    found = _ID.fullmatch(text.removeprefix(_SCHEME))
    return found is not None and (text.startswith(_SCHEME) or found["revision"] is not None)


@dataclass(frozen=True, slots=True)
class LocalCopy:
    """A local copy of a file, a folder or a model."""

    path: Path
    commit: str | None
    """of the hub, which a name without a revision, or with a branch's, does not tell"""

    @property
    def at(self) -> str:
        """`` at commit …`` to append to a name, or nothing."""
        return f" at commit {self.commit}" if self.commit else ""


def local_copy(text: str, patterns: FilePatterns, cache: Cache | str | Path | None = None) -> LocalCopy:
    """A file or folder here, on S3 (copied below ``cache``), or of a model of the hub (in the hub's cache).

    Raises UserError if the hub does not have it.
    """
    if model := hub_model(text):
        return fetch(model, patterns)
    place = Location.parse(text, cache)
    return LocalCopy(place.fetch_dir(hold=True) if place.is_dir() else place.fetch(hold=True), None)


def fetch(model: HubModel, patterns: FilePatterns, download: Callable[..., Any] | None = None) -> LocalCopy:
    """A local folder with the model's files; files are fetched only once.

    ``download`` is huggingface_hub's ``snapshot_download``. Raises UserError where it cannot be had.
    """
    if download is None:
        from huggingface_hub import snapshot_download

        download = snapshot_download
    found = LocalCopy(Path(), None)
    revision = model.revision
    for alternative in patterns:
        try:
            folder = Path(download(repo_id=model.repo, revision=revision, allow_patterns=list(alternative)))
        except Exception as error:  # the client's own, its HTTP library's, the disk's
            raise _unfetched(model, error) from error
        # The folder of a snapshot is named after its commit.
        found = LocalCopy(folder, folder.name if _COMMIT.fullmatch(folder.name) else None)
        if any(folder.glob(alternative[0])):
            break
        revision = found.commit or revision  # so that no push in between mixes two commits
    return found


def _unfetched(model: HubModel, error: Exception) -> UserError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UserError(
        str(model),
        f"is not a folder here, and the hub does not give it ({reason}).",
        "Correct the path or the name; or fetch it where there is a network, with `hf download "
        f"{model.repo}{f' --revision {model.revision}' if model.revision else ''} --local-dir FOLDER`, "
        "and give FOLDER.",
    )


def only_file(model: HubModel, found: LocalCopy, pattern: str) -> Path:
    """The one file of a fetched folder that fits. Raises UserError if there are none or several."""
    files = sorted(found.path.glob(pattern))
    if len(files) == 1:
        return files[0]
    revision = f" --revision {model.revision}" if model.revision else ""
    names = ", ".join(file.name for file in files)
    raise UserError(
        str(model),
        f"holds {len(files)} {pattern} files: {names}." if files else f"holds no {pattern} file.",
        f"Give one of them: `hf download {model.repo} {files[0].name}{revision} --local-dir FOLDER`, and "
        f"then FOLDER/{files[0].name}."
        if files
        else "Name another model.",
    )
