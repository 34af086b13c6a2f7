"""A folder pushed to a repository of the Hugging Face hub, as one commit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pipeline.errors import UserError
from pipeline.storage.hub import hub_model

TOKEN: Final = "HF_TOKEN"
_STALE: Final = ("*.safetensors", "*.safetensors.index.json")
"""Files of an earlier push that go with the commit if the folder has none of their name."""


def check_push(repo: str) -> str:
    """The repository ``org/name``, if it can be pushed to as far as this machine knows.

    Raises UserError for a name that is none, and if the environment holds no token.
    """
    named = hub_model(repo if repo.startswith("hf://") else f"hf://{repo}")
    if named is None or named.revision:
        raise UserError(f"--push {repo}", "is not a repository of the hub.", "Write ORG/NAME.")
    if not os.environ.get(TOKEN):
        raise UserError(
            f"--push {repo}",
            f"needs a token that may write there, in the environment variable {TOKEN}.",
            "Make one at https://huggingface.co/settings/tokens.",
        )
    return named.repo


def push(folder: Path, repo: str, *, public: bool = False) -> str:
    """Push every file of a folder; the commit's address. A repository that is made for it is private.

    The commit comes after all uploads, so a push that breaks off before changes nothing in the repository.
    Raises UserError for one that breaks off.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=os.environ[TOKEN])
    try:
        api.create_repo(repo, private=not public, exist_ok=True)
        made = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            commit_message="Exported by the UFVideo platform",
            delete_patterns=list(_STALE),
        )
    except Exception as error:  # the client's own, its HTTP library's, the disk's
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"--push {repo}",
            f"broke off ({reason}). It is one commit, so the repository has all of it or nothing.",
            f"{folder} is written; push it again with `hf upload {repo} {folder}`.",
        ) from error
    return made.commit_url
