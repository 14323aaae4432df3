"""What a repository of the Hugging Face Hub may hold of a bundle or of a backbone.

Files of a repository come from strangers. So only files that unmask knows are taken, none larger
than what it writes, and each must be what the Hub says that it is; beside that, a bundle's own
records have the digests of its files, which every reader compares. No file is code: weights are
safetensors, HDF5, or a `.keras` that is opened with Keras's `safe_mode`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from data.errors import ConfigError, InputError

PREFIX = "hub:"

MEBIBYTE = 2**20
SMALL, HEAD, WEIGHTS = 64 * MEBIBYTE, 512 * MEBIBYTE, 1024 * MEBIBYTE
"""Most bytes of a record or table, of a head, of a backbone. unmask writes a tenth of it."""

_BACKBONE = {
    "backbone.json": SMALL,
    "backbone.safetensors": WEIGHTS,
    "backbone.weights.h5": WEIGHTS,
    "backbone.keras": WEIGHTS,
    "network.xml": SMALL,
    "network.bin": WEIGHTS,
}
MOST_BYTES = {
    "README.md": SMALL,
    "bundle.json": SMALL,
    "history.csv": SMALL,
    "validation.json": SMALL,
    "novelty.npy": SMALL,
    "head.safetensors": HEAD,
    "head.keras": HEAD,
    "baseline.safetensors": HEAD,
    "baseline.keras": HEAD,
    **_BACKBONE,
    **{f"backbone/{name}": size for name, size in _BACKBONE.items()},
}
"""File of a repository -> the most bytes that it may have; others are left where they are."""

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_NAME = re.compile(rf"{_PART}/{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class HubName:
    """A repository and, where it was given, a revision: a branch, a tag or a commit."""

    repository: str  # owner/name
    revision: str | None = None  # branch, tag or commit; None for the newest

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}" + (f"@{self.revision}" if self.revision else "")

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Reads "hub:owner/name" or "hub:owner/name@revision".

        Raises:
            ConfigError: it is something else.
        """
        name, at, revision = text.removeprefix(PREFIX).partition("@")
        if not _NAME.fullmatch(name) or (at and not _REVISION.fullmatch(revision)):
            raise ConfigError(
                f"a name on the Hub must be hub:owner/name or hub:owner/name@revision, got {text!r}"
            )
        return cls(repository=name, revision=revision or None)


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file as the Hub lists it."""

    path: str  # in the repository
    size_bytes: int
    sha256: str | None  # of a large file
    blob: str | None  # git's digest of another

    def check(self, content: bytes) -> None:
        """Compares a file with its entry.

        Raises:
            InputError: it is another.
        """
        found = len(content) == self.size_bytes
        if self.sha256 is not None:
            found = found and hashlib.sha256(content).hexdigest() == self.sha256
        elif self.blob is not None:
            header = f"blob {len(content)}\0".encode()
            git = hashlib.sha1(header + content, usedforsecurity=False)
            found = found and git.hexdigest() == self.blob
        if not found:
            raise InputError(
                f"{self.path} is not the file that the Hub lists; remove it from the cache, and "
                "try again"
            )
