"""The Hugging Face Hub: bundles and backbones from there, and a bundle to there.

`huggingface_hub` (extra `hub`) does the transfer; its settings hold here, too: HF_ENDPOINT,
HF_HUB_CACHE, HF_HUB_OFFLINE, and who is logged in. What is taken of a repository:
`pipeline.publishing.repository`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data.errors import InputError, ToolError, UnmaskError
from data.io.atomic_folders import read_versioned_json
from data.io.progress import log
from models.backbones.fingerprint import BUNDLE_RECORD, PUBLIC, RECORD
from models.bundle import FORMAT, VERSION
from models.records import check_record
from pipeline.publishing.repository import MOST_BYTES, HubFile, HubName

RECORDS = (BUNDLE_RECORD, RECORD)
"""A repository of unmask has one of them."""


def fetch(text: str) -> Path:
    """The folder of a repository's files, downloaded unless they are in the cache.

    Args:
        text: "hub:owner/name" or "hub:owner/name@revision".

    Raises:
        ConfigError: `text` is something else.
        InputError: there is no such repository or revision, or it holds neither a bundle nor a
            backbone, or a file is too large or not what the Hub lists.
        ToolError: huggingface_hub is missing, or the Hub cannot be reached.
    """
    name = HubName.parse(text)
    api = client()
    with _transfer(name):
        try:
            info = api.model_info(name.repository, revision=name.revision, files_metadata=True)
        except Exception as error:
            if (cached := _cached(name, error)) is None:
                raise
            log.warning(f"the Hub cannot be reached; taking what was downloaded of {name}")
            return cached
        files = [file for file in map(_listed, info.siblings or ()) if file.path in MOST_BYTES]
        _check_listing(name, files)
        log.info(f"{name}: revision {str(info.sha)[:12]}")
        # A record comes last, by the name that was given: it is the sign of a whole download.
        files.sort(key=lambda file: file.path in RECORDS)
        for file in files:
            revision = name.revision if file.path in RECORDS else info.sha
            path = Path(
                api.hf_hub_download(
                    name.repository, file.path, revision=revision, cache_dir=_cache()
                )
            )
            file.check(path.read_bytes())
    return path.parent


def fetch_backbone(text: str) -> str:
    """The path of a repository's backbone, or of the one in its bundle; or a public one's name.

    Raises:
        As `fetch`.
        StoreError: the bundle's record is damaged.
    """
    folder = fetch(text)
    if (folder / RECORD).is_file():
        return str(folder)
    facts = read_versioned_json(folder / BUNDLE_RECORD, FORMAT, VERSION)
    check_record(facts, folder / BUNDLE_RECORD)
    name = str(facts["backbone"]["name"])
    if facts["backbone"]["folder"] is None and name in PUBLIC:
        return name
    return str(folder / "backbone")


def upload(folder: Path, repository: str, card: str, *, public: bool) -> str:
    """Puts the files of a bundle into a repository, made where there is none; returns the commit.

    Args:
        folder: of the bundle.
        repository: owner/name.
        card: text of README.md.
        public: makes a new repository public; an earlier one stays as it is.

    Raises:
        InputError: there may be no such repository.
        ToolError: huggingface_hub is missing, the Hub cannot be reached, or it refuses.
    """
    api, name = client(), HubName.parse(repository)
    from huggingface_hub import CommitOperationAdd

    operations = [CommitOperationAdd("README.md", card.encode())]
    for path in sorted(MOST_BYTES):
        if path != "README.md" and (folder / path).is_file():
            operations.append(CommitOperationAdd(path, str(folder / path)))
    with _transfer(name):
        api.create_repo(name.repository, private=not public, exist_ok=True)
        done = api.create_commit(
            name.repository, operations, commit_message="Bundle written by unmask push"
        )
    return str(done.oid)


def client() -> Any:
    """The client of huggingface_hub.

    Raises:
        ToolError: it is not installed.
    """
    if find_spec("huggingface_hub") is None:
        raise ToolError("huggingface_hub is not installed: pip install 'unmask[hub]'")
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="unmask")


def _cache() -> str | None:
    """Where downloads are kept; None is the library's own place."""
    return os.environ.get("HF_HUB_CACHE") or None


def _listed(sibling: Any) -> HubFile:
    sha256 = sibling.lfs.sha256 if sibling.lfs is not None else None
    return HubFile(
        path=str(sibling.rfilename),
        size_bytes=int(sibling.size or 0),
        sha256=sha256,
        blob=sibling.blob_id,
    )


def _check_listing(name: HubName, files: list[HubFile]) -> None:
    """Raises InputError where this is no repository of unmask, or a file is too large."""
    if not {*RECORDS} & {file.path for file in files}:
        raise InputError(
            f"{name} holds neither a bundle ({BUNDLE_RECORD}) nor a backbone ({RECORD}) of unmask"
        )
    for file in files:
        if file.size_bytes > MOST_BYTES[file.path]:
            raise InputError(
                f"{file.path} of {name} has {file.size_bytes:,} bytes, more than the "
                f"{MOST_BYTES[file.path]:,} that are taken from the Hub"
            )


def _cached(name: HubName, error: Exception) -> Path | None:
    """What was downloaded earlier, where the Hub did not answer at all."""
    if getattr(error, "response", None) is not None:  # it answered
        return None
    from huggingface_hub import try_to_load_from_cache

    for record in RECORDS:
        found = try_to_load_from_cache(
            name.repository, record, cache_dir=_cache(), revision=name.revision
        )
        if isinstance(found, str):
            return Path(found).parent
    return None


@contextmanager
def _transfer(name: HubName) -> Iterator[None]:
    """The library's errors, and those of the one that it transfers by, as a user's."""
    from huggingface_hub import errors

    try:
        yield
    except UnmaskError:
        raise
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{name}: there is no such revision; look at the Hub") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{name} is not on the Hub, or you may not read it; check the name, or log in: "
            "hf auth login"
        ) from error
    except Exception as error:  # also of the library's HTTP client, which has changed before
        reason = " ".join(str(error).split())[:200]
        raise ToolError(
            f"the Hub failed at {name} ({type(error).__name__}: {reason}); check the network and "
            "who is logged in (hf auth whoami), then try again"
        ) from error
