"""Networks on the Hugging Face Hub: `hf://user/name`, or `hf://user/name@revision` for a branch, a tag or a commit.

A repository holds `model.safetensors` and `config.json`, as the folder of a run does, and a model card, `README.md`. Only the two
are downloaded, into the cache of `huggingface_hub`; no code of a repository is run, and none is looked for. The variables of
`huggingface_hub` apply: HF_HOME, HF_ENDPOINT, HF_TOKEN, and HF_HUB_OFFLINE=1, with which nothing but the cache is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PREFIX = "hf://"
FILES = ("config.json", "model.safetensors")
"""What is downloaded."""
_FORM = "hf://USER/NAME or hf://USER/NAME@REVISION"


@dataclass(frozen=True)
class Repository:
    """A repository of the hub, at one revision."""

    name: str
    """`user/name`."""
    revision: str | None = None
    """Branch, tag or commit; None for the main branch."""

    def __str__(self) -> str:
        return PREFIX + self.name + (f"@{self.revision}" if self.revision else "")


def is_on_hub(where: str | os.PathLike[str]) -> bool:
    """Whether `where` begins with `hf://`; a file or folder of that name comes first. A `Path` has lost one of the slashes."""
    return Path(where).as_posix().startswith("hf:/") and not Path(where).exists()


def repository(where: str | os.PathLike[str]) -> Repository:
    """The repository that `where` names.

    >>> repository("hf://mylab/ccnet-roads@v1.2")
    Repository(name='mylab/ccnet-roads', revision='v1.2')

    Raises:
        ValueError: not of the form hf://USER/NAME, with or without @REVISION.
    """
    text = os.fspath(where)
    match = re.fullmatch(r"hf:/{1,2}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", text, re.ASCII)
    parts = match[1].split("/") if match else []
    if match is None or any(not part.strip(".-") or ".." in part or "--" in part for part in parts):
        raise ValueError(f"{_shown(text)} is no repository of the hub; give {_FORM}, such as hf://mylab/ccnet-roads")
    return Repository(match[1], match[2])


def download(where: str | os.PathLike[str]) -> Path:
    """The folder of a network of the hub, in the local cache; what is there already is not downloaded again.

    Raises:
        ValueError: no such repository, revision or network; access is refused; the hub cannot be reached and
            the cache does not have it.
    """
    from huggingface_hub import snapshot_download

    wanted = repository(where)
    with _explained(wanted):
        folder = Path(snapshot_download(wanted.name, revision=wanted.revision, allow_patterns=list(FILES)))
    for name in FILES:
        if not (folder / name).is_file():
            raise ValueError(
                f"{wanted} has no {name}, so it is no network of segattn; `segattn push` writes such repositories"
            )
    return folder


def upload(folder: Path, where: str | os.PathLike[str], *, private: bool | None = None) -> str:
    """Upload all files of a folder as one commit; the repository, or the branch, is made if there is none. Returns its address.

    `private` is for a repository that is made: by default as the user or organisation has it.

    Raises:
        ValueError: not logged in, or without the right to write there; the hub cannot be reached.
    """
    import huggingface_hub
    from huggingface_hub import constants

    wanted = repository(where)
    if constants.HF_HUB_OFFLINE:
        raise ValueError(f"{wanted}: nothing is uploaded while HF_HUB_OFFLINE is set; unset it")
    if huggingface_hub.get_token() is None:
        raise ValueError(
            f"{wanted}: not logged in to the hub; run `hf auth login`, or set HF_TOKEN, with a token that may write"
        )
    api = huggingface_hub.HfApi()
    with _explained(wanted):
        api.create_repo(wanted.name, private=private, exist_ok=True)
        if wanted.revision is not None:
            api.create_branch(wanted.name, branch=wanted.revision, exist_ok=True)
        message = "Upload a network of segattn"
        api.upload_folder(
            repo_id=wanted.name, folder_path=folder, revision=wanted.revision, commit_message=message, repo_type="model"
        )
    return f"{constants.ENDPOINT}/{wanted.name}" + (f"/tree/{wanted.revision}" if wanted.revision else "")


def free(folder: Path) -> Path:
    """The folder, if a network may be written into it.

    Raises:
        ValueError: it is a file, or the folder of a run, whose files are not replaced.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a folder for the network")
    if any((folder / name).exists() for name in ("experiment.json", "record.json", "checkpoints")):
        raise ValueError(f"{folder} is the folder of a run; give another one, which is written anew")
    return folder


def without_places(settings: Any) -> Any:
    """The settings of an experiment, in which a path that begins at the root or home of this machine is its last part alone.

    >>> without_places({"root": "/home/me/cityscapes", "options": {"list": ["~/a.txt", "rgb/b.txt"]}})
    {'root': 'cityscapes', 'options': {'list': ['a.txt', 'rgb/b.txt']}}
    """
    if isinstance(settings, dict):
        return {name: without_places(value) for name, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [without_places(value) for value in settings]
    if isinstance(settings, str) and re.match(r"[/~\\]|[A-Za-z]:[/\\]", settings):
        return re.split(r"[/\\]", settings.rstrip("/\\"))[-1]
    return settings


@contextmanager
def _explained(wanted: Repository) -> Iterator[None]:
    """Errors of `huggingface_hub`, which has one type for each fault, as one line with advice."""
    from huggingface_hub import constants, errors

    try:
        yield
    except errors.GatedRepoError:
        raise ValueError(
            f"{wanted}: its owner grants access on request; ask for it on its page, then run `hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ValueError(
            f"{wanted}: the hub has no such repository, or a private one; check the name, or run `hf auth login`"
        ) from None
    except (errors.RevisionNotFoundError, errors.RevisionResolutionError):
        raise ValueError(
            f"{wanted}: the repository has no such branch, tag or commit; check what follows the @"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the hub cannot be reached"
        raise ValueError(
            f"{wanted}: {why}, and the network is not in the local cache {constants.HF_HUB_CACHE}; load it once with a "
            "connection, or copy its folder and give the path"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        advice = "; your token must have the right to write there" if status in (401, 403) else "; try again later"
        raise ValueError(f"{wanted}: the hub answered with HTTP status {status}{advice}") from None
    except (errors.HFValidationError, OSError) as error:
        raise ValueError(
            f"{wanted}: {_shown(str(error).strip().partition(chr(10))[0] or type(error).__name__)}"
        ) from None
    except Exception as error:  # of the HTTP client, which differs between versions of huggingface_hub
        if not type(error).__module__.startswith(("httpx", "requests", "urllib3", "huggingface_hub")):
            raise
        raise ValueError(
            f"{wanted}: the hub cannot be reached ({_shown(str(error) or type(error).__name__)})"
        ) from None


def _shown(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "..."
