"""Models of the Hugging Face hub, named in a plan in place of a path: ``org/name``, ``org/name@revision``.

What lies at such a path, or in such a folder, on this machine goes before the hub. ``hf://org/name`` is
never a path; a cluster, on which a relative path means nothing, takes this form or one with a revision.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.errors import UserError

TOKENIZER_FILES: Final = ("*.json", "*.txt", "*.model", "*.jinja")
WEIGHT_FILES: Final = ("*.safetensors", "*.bin", "*.pt", "*.json")
SAM2_FILES: Final = ("*.pt",)  # its .safetensors on the hub have other names

_SCHEME: Final = "hf://"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_ID = re.compile(rf"(?P<repo>{_NAME}/{_NAME})(@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]*))?")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model on the hub; without a revision whatever is its newest."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{_SCHEME}{self.repo}" + (f"@{self.revision}" if self.revision else "")


def hub_model(text: str) -> HubModel | None:
    """What a plan's text names on the hub; None for a path. Raises UserError for a misspelt ``hf://``."""
    named = text.startswith(_SCHEME)
    found = _ID.fullmatch(text.removeprefix(_SCHEME))
    if named and not found:
        raise UserError(text, "is no model of the hub.", "Write hf://org/name or hf://org/name@revision.")
    if not found:
        return None
    # A name inside a folder that is here is more likely a misspelt path than a model.
    here = Path(text).exists() or (not found["revision"] and Path(text).parent.is_dir())
    if here and not named:
        return None
    return HubModel(found["repo"], found["revision"])


def is_plain(text: str) -> bool:
    """True where the text cannot be a relative path: its hub form is written out, or has a revision."""
    found = _ID.fullmatch(text.removeprefix(_SCHEME))
    return found is not None and (text.startswith(_SCHEME) or found["revision"] is not None)


def fetch(model: HubModel, files: Sequence[str], download: Callable[..., Any] | None = None) -> Path:
    """A local folder with the model's files that fit ``files``; what was fetched before is not fetched again.

    ``download`` is huggingface_hub's ``snapshot_download``. Raises UserError where it cannot be had.
    """
    if download is None:
        from huggingface_hub import snapshot_download

        download = snapshot_download
    try:
        return Path(download(repo_id=model.repo, revision=model.revision, allow_patterns=list(files)))
    except (OSError, ValueError) as error:
        raise UserError(
            str(model),
            f"is no folder here, and the hub does not give it ({str(error).splitlines()[0]}).",
            "Correct the path or the name; or fetch it where there is a network, with `hf download "
            f"{model.repo}{f' --revision {model.revision}' if model.revision else ''} --local-dir FOLDER`, "
            "and give FOLDER.",
        ) from error
