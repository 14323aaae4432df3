"""The videos that a command is given: found, digested, checked against the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data.datasets.digests import DigestCache
from data.datasets.layouts.listing import find_videos
from data.datasets.manifest import Manifest, Video
from data.errors import (
    InputError,
    ToolError,
    VideoError,
)
from data.images.frame_folders import is_frame_folder
from data.images.identity import source_size
from data.io.progress import log
from data.io.system_errors import reason
from features.extraction.job import Job
from features.store.feature_set import Failure
from pipeline.machine import cores

DIGESTS = Path(".unmask/digests.sqlite")


def named_videos(
    source: Path, root: Path | None, *, images: bool = False
) -> list[tuple[str, Path, Video | None]]:
    """The videos of a manifest, of a folder, or one: name, file, row of the manifest.

    A folder of numbered images is one video; `images` takes single images in folders, too.
    """
    if source.suffix.casefold() == ".csv":
        manifest = Manifest.read(source, root=root)
        return [(video.path, manifest.resolve(video), video) for video in manifest.videos]
    if source.is_dir() and not is_one_video(source):
        found = find_videos(source)
        names = sorted((*found.videos, *(found.images if images else ())))
        if not names:
            more = (
                f", only {len(found.images)} single images; add --images to take each by itself"
                if found.images
                else ""
            )
            raise InputError(f"{source} holds no video{more}")
        if found.images and not images:
            log.info(f"{source}: {len(found.images)} single images are left out; see --images")
        return [(name, source / name, None) for name in names]
    if source.is_dir():
        return [(source.resolve().name, source, None)]
    if source.is_file():
        return [(source.name, source, None)]
    raise no_source(source, "a manifest, a folder or a video")


def is_one_video(folder: Path) -> bool:
    """Whether a folder that was named itself holds frames, and neither videos nor folders."""
    if not is_frame_folder(folder):
        return False
    found = find_videos(folder)
    return not found.videos and all("/" not in name for name in found.images)


def no_source(path: Path, wanted: str) -> InputError:
    """The error for a path that is neither a file nor a folder; `wanted` is what to give."""
    if path.exists():
        return InputError(f"{path} is a pipe, socket or device; give {wanted}")
    if path.is_symlink():
        return InputError(f"{path} is a link that leads nowhere; give {wanted}")
    return InputError(f"{path} does not exist; give {wanted}")


def make_jobs(
    named: Sequence[tuple[str, Path, Video | None]],
    digests: DigestCache,
    *,
    views: int = 1,
) -> tuple[list[Job], list[Failure]]:
    """Digests each file; one that is gone, or changed since it was indexed, is a failure.

    Args:
        named: as `named_videos` returns them.
        digests: of files that were digested before.
        views: of each video of the training split; others have one.
    """
    jobs, failures = [], []
    found = digest_all(named, digests)
    for (name, path, video), sha256 in zip(named, found, strict=True):
        try:
            jobs.append(_make_job(name, path, video, sha256, views))
        except VideoError as error:
            failures.append(failure_row(name, error))
    digests.save()
    return jobs, failures


def _make_job(name: str, path: Path, video: Video | None, sha256: Digested, views: int) -> Job:
    """One video's job; its duration without a manifest is guessed from the size of the file."""
    if isinstance(sha256, OSError):
        raise unreadable(sha256)
    if isinstance(sha256, VideoError):
        raise sha256
    if video is not None and video.sha256 != sha256:
        raise VideoError("unreadable", "the file changed since it was indexed; index again")
    try:
        seconds = video.duration_seconds if video else source_size(path) / 250_000
    except OSError as error:  # it was there when it was digested, and is gone
        raise unreadable(error) from error
    return Job(
        path=path,
        name=name,
        sha256=sha256,
        duration_seconds=max(seconds, 0.1),
        views=tuple(range(views if video is not None and video.split == "train" else 1)),
    )


Digested = str | OSError | VideoError
"""The digest of a video, or why it has none."""


def digest_all(
    named: Sequence[tuple[str, Path, Video | None]], digests: DigestCache
) -> list[Digested]:
    """Digests videos in parallel; an error stands for one that cannot be read.

    A thread takes many files at a time: handing over 100,000 known ones singly takes seconds.
    """

    def digest(path: Path) -> Digested:
        try:
            return digests.sha256(path)
        except (OSError, VideoError) as error:
            return error

    paths = [path for _, path, _ in named]
    size = max(1, len(paths) // 256)
    runs = [paths[start : start + size] for start in range(0, len(paths), size)]
    pool = ThreadPoolExecutor(cores())
    try:
        return [one for run in pool.map(lambda run: list(map(digest, run)), runs) for one in run]
    finally:  # on Ctrl-C, do not wait until a large file has been read
        pool.shutdown(wait=False, cancel_futures=True)


def unreadable(error: OSError) -> VideoError:
    """The failure of a video that the system cannot read."""
    return VideoError("unreadable", f"cannot read the file: {reason(error)}")


def failure_row(path: str, error: VideoError) -> Failure:
    """An error as a row of failures.csv."""
    return Failure(
        path=path, failure=error.failure, message=str(error), stderr_tail=error.stderr_tail
    )


def refuse_without_decoder(failures: Sequence[tuple[str | None, str | None]]) -> None:
    """Raises ToolError where every video failed for want of a decoder.

    `failures` are class and message of each video's failure, or None.
    """
    if failures and all(kind == "no_decoder" for kind, _ in failures):
        raise ToolError(f"none of the videos can be decoded: {failures[0][1]}")
