"""`unmask index`: writes the manifest of a folder of videos and, beside it, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.datasets.digests import DigestCache
from data.datasets.index import IndexResult, index
from data.io.output_paths import check_output
from data.io.progress import log
from features.store.feature_set import write_failures
from pipeline.config import Params
from pipeline.extraction.inputs import DIGESTS, failure_row
from pipeline.machine import cores
from pipeline.shell_commands import command_line


@dataclass(frozen=True, kw_only=True)
class IndexedVideos:
    """A manifest that was written."""

    result: IndexResult  # what was found
    manifest: Path  # the CSV
    failures: Path  # the CSV of files that are no readable video
    next: str  # the command to go on with


def index_videos(
    root: Path,
    out: Path | None,
    *,
    layout: str,
    params: Params,
    workers: int | None,
    compression: Sequence[str] = (),
    methods: Sequence[str] = (),
    near_duplicates: bool = False,
    group_by: str = "names",
    images: bool = False,
) -> IndexedVideos:
    """Indexes a folder as `data.datasets.index.index` does, and writes the manifest.

    Args:
        root: folder of videos, or a CSV of labels.
        out: the manifest; None for manifest.csv in the videos' folder.
        workers: parallel decoders; None for twice the number of cores.

    Raises:
        OutputError: the manifest or the failures cannot be written.
    """
    if out is not None:
        check_manifest(out)
    result = index(
        root,
        layout=layout,
        split=params.index,
        workers=workers or cores() * 2,
        digests=DigestCache(DIGESTS),
        compression=compression,
        methods=methods,
        near_duplicates=near_duplicates,
        group_by=group_by,
        images=images,
        begin=None if out is not None else lambda folder: check_manifest(folder / "manifest.csv"),
    )
    folder = result.manifest.root
    out = out or folder / "manifest.csv"
    result.manifest.write(out)
    failures = out.with_suffix(".failures.csv")
    write_failures(failures, [failure_row(one.path, one.error) for one in result.failures])
    for line in result.warnings:
        log.warning(line)
    rooted = () if out.parent.resolve() == folder.resolve() else ("--root", folder)
    return IndexedVideos(
        result=result,
        manifest=out,
        failures=failures,
        next=command_line("unmask", "extract", out, *rooted, "-o", "embeddings"),
    )


def check_manifest(path: Path) -> None:
    """Raises OutputError where a manifest, or the failures beside it, cannot be written."""
    check_output(path)
    check_output(path.with_suffix(".failures.csv"))  # "." and "/" have no name to change
