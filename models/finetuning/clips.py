"""Face crops of a fine-tuning run in a memory-mapped file: videos are decoded once, not per epoch.

The file is in a temporary folder that is removed when the run ends.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.errors import OutputError, VideoError
from data.io.interrupts import interruptible_threads
from data.io.progress import progress
from data.io.system_errors import reason, write_remedy
from data.operating_system.files import allocate
from data.video.failures import reason_of
from models.evaluation.pairs import pair_rows

if TYPE_CHECKING:
    from data.datasets.manifest import Video
    from data.faces.crops import Frames


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Face crops of videos that could be read."""

    # (N, F, S, S, 3) uint8 RGB, memory-mapped; rows past `counts` are zeros
    pixels: NDArray[np.uint8]
    counts: NDArray[np.int64]  # (N,) frames that each video has, 1 to F
    labels: NDArray[np.int8]  # (N,) int8, 1 is fake
    groups: tuple[str, ...]  # of each video
    sha256s: tuple[str, ...]  # of each video
    originals: NDArray[np.int64]  # (N,) row of the clip that a fake was made from, or -1
    failures: tuple[tuple[str, str], ...]  # path and reason of each video that could not be read

    @property
    def scenes(self) -> NDArray[np.int64]:
        """(N,) the row of the original of each fake, its own row for other clips."""
        return np.where(self.originals >= 0, self.originals, np.arange(len(self.originals)))

    def draw_frames(self, video: int, count: int, draw: np.random.Generator) -> NDArray[np.int64]:
        """Draws one frame from each of `count` equal parts of a video; their indices."""
        edges = np.linspace(0, self.counts[video], count + 1)
        return np.floor(draw.uniform(edges[:-1], edges[1:])).astype(np.int64)


@contextmanager
def cached_clips(
    videos: Sequence[Video],
    read: Callable[[Video], Frames],
    *,
    frames: int,
    size: int,
    beside: Path,
    workers: int,
    show: bool,
    name: str,
) -> Iterator[Clips]:
    """Reads every video once; the crops exist for the length of the block.

    Args:
        videos: to read; a video that raises VideoError is left out and listed.
        read: gives a video's face crops; called from `workers` threads.
        frames: F, at most this many a video, spread evenly over those that `read` gave.
        size: S, side of a crop in pixels.
        beside: the folder, on the output's disk, in which the temporary one is made.
        workers: videos that are read at once.
        show: a progress bar.
        name: its label.

    Raises:
        OutputError: the disk has no room.
    """
    with tempfile.TemporaryDirectory(prefix=".unmask-clips-", dir=beside) as scratch:
        path = Path(scratch) / "pixels.npy"
        shape = (len(videos), frames, size, size, 3)
        pixels = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        reserve(path)
        counts = np.zeros(len(videos), np.int64)
        failures: dict[int, str] = {}

        def fill(row: int) -> None:
            try:
                crops = read(videos[row]).pixels  # (T, S, S, 3)
            except VideoError as error:
                failures[row] = reason_of(error)
                return
            count = min(len(crops), frames)
            chosen = np.linspace(0, len(crops) - 1, count).round().astype(np.int64)
            pixels[row, :count] = crops[chosen]
            counts[row] = count

        with interruptible_threads(workers) as pool:
            done = pool.map(fill, range(len(videos)))
            for _ in progress(done, desc=name, total=len(videos), unit="video", show=show):
                pass
        kept = [row for row in range(len(videos)) if row not in failures]
        if failures:  # close the gaps in place: a copy could be larger than memory
            for to, row in enumerate(kept):
                pixels[to] = pixels[row]
        read_videos = [videos[row] for row in kept]
        yield Clips(
            pixels=pixels[: len(kept)],
            counts=counts[kept],
            labels=np.array([video.label for video in read_videos], np.int8),
            groups=tuple(video.group for video in read_videos),
            sha256s=tuple(video.sha256 for video in read_videos),
            originals=original_rows(read_videos),
            failures=tuple((videos[row].path, failures[row]) for row in sorted(failures)),
        )


def original_rows(videos: Sequence[Video]) -> NDArray[np.int64]:
    """The row of each fake's original, (N,); -1 for reals, and where it is not among the videos."""
    labels = [video.label for video in videos]
    pairs = pair_rows([one.path for one in videos], labels, [one.original for one in videos])
    found = np.full(len(videos), -1, np.int64)
    found[pairs[:, 0]] = pairs[:, 1]
    return found


def steps_per_epoch(clips: Clips, pairs: int) -> int:
    """How many batches `balanced_batches` yields."""
    return -(-int(np.bincount(clips.labels).max()) // pairs)


def balanced_batches(
    clips: Clips, pairs: int, draw: np.random.Generator, *, by_scene: bool = False
) -> Iterator[NDArray[np.int64]]:
    """Batches of as many real as fake clips, from the same group where there are both.

    A forgery and its source differ by the forgery alone. Every clip of the larger class comes once,
    those of the smaller one as often as needed.

    Args:
        clips: labels and groups.
        pairs: pairs in one batch; the last may have fewer.
        draw: source of randomness.
        by_scene: a fake is with its original, where that is known, rather than with any real clip
            of the group.

    Yields:
        (2 * pairs,) indices of clips, real and fake in turn.
    """
    larger = int(np.bincount(clips.labels, minlength=2).argmax())
    order = draw.permutation(len(clips.labels)).tolist()
    unpaired = [video for video in order if clips.labels[video] == larger]
    others = [video for video in order if clips.labels[video] != larger]
    used: set[int] = set()
    couples: list[list[int]] = []
    by_group = dict(enumerate(clips.groups))
    by_original = dict(enumerate(clips.scenes.tolist()))
    for key_of in (by_original, by_group) if by_scene else (by_group,):
        supply: dict[object, list[int]] = defaultdict(list)
        for video in sorted(others, key=used.__contains__):  # those not shown yet come first
            supply[key_of[video]].append(video)
        waiting, unpaired = unpaired, []  # those without a partner wait for the next key
        for video in waiting:
            own = supply.get(key_of[video])
            if own:
                partner = own.pop(0)
                own.append(partner)  # again, after the others
                used.add(partner)
                couples.append([video, partner])
            else:
                unpaired.append(video)
    smaller = [video for group in supply.values() for video in group]
    spare = [video for video in smaller if video not in used] or smaller
    couples += [[video, spare[row % len(spare)]] for row, video in enumerate(unpaired)]
    couples = [sorted(couple, key=lambda video: int(clips.labels[video])) for couple in couples]
    shuffled = draw.permutation(len(couples))
    for start in range(0, len(couples), pairs):
        yield np.concatenate([couples[row] for row in shuffled[start : start + pairs]])


def reserve(path: Path) -> None:
    """Allocates the disk space: a write to a full disk through a memory map kills the process."""
    with path.open("r+b") as file:
        try:
            allocate(file.fileno(), path.stat().st_size)
        except OSError as error:
            size = path.stat().st_size / 1e9
            raise OutputError(
                f"{path.parent.parent} has no room for {size:.1f} GB of face crops "
                f"({reason(error)}); {write_remedy(error)}, or lower finetune.frames_per_video"
            ) from error
