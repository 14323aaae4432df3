"""The ladder: each rung does what it says, the same every time, to videos of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.errors import ConfigError, VideoError
from data.faces.crops import read_frames
from data.video.corruptions import CORRUPTIONS, Corruption, choose_corruptions, copy_of, filters_of
from data.video.encoding import encode
from data.video.frames import FrameRecipe
from data.video.probe import probe

FPS = 20


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """Half a second of stripes that move, 66 x 50 pixels, hardly compressed."""
    path = tmp_path_factory.mktemp("ladder") / "video.mp4"
    across = np.arange(66)[None, :, None]
    frames = [np.broadcast_to(100 + 60 * (((across + n) // 4) % 2), (50, 66, 3)).astype(np.uint8)
              for n in range(FPS // 2)]  # fmt: skip
    encode(path, frames, fps=FPS, crf=1)
    return path


def make(video: Path, name: str, folder: Path) -> Path:
    (rung,) = choose_corruptions([name])
    info = probe(video)
    copy = copy_of(video, "0" * 64, rung, folder=folder, width=info.width, height=info.height,
                   fps=info.fps)  # fmt: skip
    copy.make()
    return copy.path


def pixels(path: Path) -> np.ndarray:
    return read_frames(path, FrameRecipe(count=8, size=50, crop="full")).pixels.astype(float)


def test_equal_input_gives_equal_bytes(video, tmp_path):
    for name in ("crf-28", "noise-16", "screenshot"):
        one, other = (make(video, name, tmp_path / folder) for folder in "ab")
        assert one.read_bytes() == other.read_bytes()


def test_each_family_does_what_it_says(video, tmp_path):
    plain, gentle = pixels(video), pixels(make(video, "crf-18", tmp_path))
    assert np.abs(gentle - plain).mean() < 3
    harsh = pixels(make(video, "crf-40", tmp_path))
    assert np.abs(harsh - plain).mean() > 2 * np.abs(gentle - plain).mean()
    brighter, darker = (pixels(make(video, f"brightness{added}", tmp_path)) for added in
                        ("+0.25", "-0.25"))  # fmt: skip
    assert brighter.mean() > plain.mean() + 30
    assert darker.mean() < plain.mean() - 30
    for name in ("quarter-size", "blur-1"):  # stripes of 4 pixels lose contrast
        flat = pixels(make(video, name, tmp_path))
        assert flat.std() < (0.5 if name == "quarter-size" else 0.999) * plain.std()
    noisy = pixels(make(video, "noise-32", tmp_path))
    assert np.abs(noisy - plain).mean() > 3 * np.abs(gentle - plain).mean()
    slow = probe(make(video, "fps-15", tmp_path))
    assert slow.fps == pytest.approx(15, abs=0.1)
    assert slow.duration_seconds == pytest.approx(0.5, abs=0.1)
    shown = pixels(make(video, "screenshot", tmp_path))
    assert shown[:, :4].std() < 20  # the page around it
    assert probe(make(video, "screenshot", tmp_path)).width == 66


def test_odd_sizes_and_slow_videos():
    for rung in CORRUPTIONS:
        chain = filters_of(rung, width=101, height=57, fps=12)
        sizes = [settings for name, settings in chain[1:] if name in ("scale", "pad")]
        assert all(one["w"] % 2 == 0 and one["h"] % 2 == 0 for one in sizes)
        assert (sizes[-1]["w"], sizes[-1]["h"]) == (100, 56)
    (slow,) = choose_corruptions(["fps-15"])
    names = [name for name, _ in filters_of(slow, width=100, height=50, fps=12)]
    assert "fps" not in names  # frames are dropped, never invented
    assert filters_of(CORRUPTIONS[0], width=1, height=1, fps=0)[1][1]["w"] == 2


def test_a_copy_is_told_by_all_that_is_done_to_it():
    def digest(sha256: str = "0", rung: Corruption = CORRUPTIONS[0], width: int = 64) -> str:
        return copy_of(Path("v.mp4"), sha256, rung, folder=Path("f"), width=width, height=48,
                       fps=25).sha256  # fmt: skip

    every = {digest(rung=rung) for rung in CORRUPTIONS} | {digest("1"), digest(width=66)}
    assert len(every) == len(CORRUPTIONS) + 2
    assert digest() == digest()


def test_copies_are_gone_unless_kept_and_a_broken_source_leaves_none(video, tmp_path):
    info = probe(video)
    size = {"width": info.width, "height": info.height, "fps": info.fps}
    copy = copy_of(video, "0" * 64, CORRUPTIONS[0], folder=tmp_path, **size)
    with copy.made(keep=False) as path:
        assert path.stat().st_size > 0
    assert not path.exists()
    with copy.made(keep=True) as path:
        stamp = path.stat().st_mtime_ns
    with copy.made(keep=True) as path:  # taken as it is
        assert path.stat().st_mtime_ns == stamp
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.read_bytes()[:300])
    bad = copy_of(broken, "1" * 64, CORRUPTIONS[0], folder=tmp_path / "bad", **size)
    with pytest.raises(VideoError), bad.made(keep=True):
        pass
    assert not list((tmp_path / "bad").rglob("*.mp4"))


def test_an_unknown_rung_names_those_there_are():
    assert [rung.name for rung in choose_corruptions(["noise-8, crf-23", "crf-40"])] == [
        "crf-23", "crf-40", "noise-8"
    ]  # fmt: skip
    assert choose_corruptions([]) == CORRUPTIONS
    with pytest.raises(ConfigError, match=r"'crf-99'.*crf-23"):
        choose_corruptions(["crf-99"])
