"""Fine-tuning: it moves what it may, remembers what it saw, and breaks nothing when it fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import ConfigError, DatasetError, OutputError, VideoError
from models.backbones.registry import Backbone, load_backbone
from models.finetuning.batches import clip_batches
from models.finetuning.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.finetuning.clips import Clips, balanced_batches, cached_clips, steps_per_epoch
from models.finetuning.finetune import FinetuneConfig, Finetuned, _run, finetune
from models.finetuning.forward_pass import ForwardPass, cut, pointwise
from models.finetuning.geometric_augmentation import draw_transforms, transform_clip
from models.finetuning.network import FinetuneNet, drop, share_of_rate, smooth
from models.finetuning.photometric_augmentation import Distortion, distort, draw_distortion
from models.finetuning.precision import resolve_precision
from models.prefetch import prefetch
from models.tf_runtime import keras, seed_everything, tf

SIZE = 32
QUICK = FinetuneConfig(
    unfreeze=1,
    epochs=2,
    frames_per_video=2,
    frames_per_clip=2,
    learning_rate=1e-3,
    head_learning_rate=1e-2,
    forge=0,
    precision="float32",
)


@dataclass(frozen=True, kw_only=True)
class Video:
    path: str
    label: int
    group: str
    sha256: str
    original: str = ""
    method: str = "swap"
    origin: str = ""


def videos(people: int, start: int = 0) -> list[Video]:
    """One real and one fake video of each person."""
    return [
        Video(
            path=f"{person}-{label}.mp4",
            label=label,
            group=f"p{person}",
            sha256=f"{2 * person + label:064d}",
            original=f"{person}-0.mp4" if label else "",
        )
        for person in range(start, start + people)
        for label in (0, 1)
    ]


def read(video: Video) -> Any:
    """3 crops; the fakes have a bright square."""
    draw = np.random.default_rng(int(video.sha256))
    pixels = draw.integers(0, 120, (3, SIZE, SIZE, 3)).astype(np.uint8)
    if video.label:
        pixels[:, 8:16, 8:16] += 60
    return SimpleNamespace(pixels=pixels)


def run(out: Path, config: FinetuneConfig = QUICK, **changed: Any) -> Finetuned:
    backbone = load_backbone("resnet50-thin", size=SIZE)
    settings = {"read": read, "out": out, "show": False, **changed}
    return finetune(videos(6), videos(3, 10), backbone=backbone, config=config, **settings)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finetuned, Path]:
    out = tmp_path_factory.mktemp("tuned") / "weights"
    return run(out), out


def test_writes_a_backbone_that_remembers(tuned: tuple[Finetuned, Path]) -> None:
    result, out = tuned
    again = load_backbone(out, size=SIZE)
    assert again.name == "resnet50-thin-finetuned"
    assert again.digest == result.backbone.digest
    assert again.provenance == result.backbone.provenance
    seen = again.provenance["trained_on"]
    assert seen["train"]["groups"] == [f"p{person}" for person in range(6)]
    assert seen["val"]["sha256s"] == sorted(video.sha256 for video in videos(3, 10))
    facts = json.loads((out / "backbone.json").read_text())
    assert facts["base"]["name"] == "resnet50-thin"
    assert facts["base"]["digest"] == load_backbone("resnet50-thin", size=SIZE).digest
    assert facts["finetuning"]["config"]["unfreeze"] == 1
    assert [row["epoch"] for row in facts["finetuning"]["history"]] == [0, 1, 2]
    assert [path.name for path in out.parent.iterdir()] == ["weights"]  # no scratch left


def test_only_the_last_blocks_convolutions_learn() -> None:
    backbone = load_backbone("resnet50-random", size=SIZE)
    before = {weight.path: weight.numpy() for weight in backbone.model.weights}
    net = FinetuneNet(backbone, QUICK)
    with_signal = clips_of([0, 1] * 3, ["a", "a", "b", "b", "c", "c"], size=SIZE)
    with_signal.pixels[1::2, :, 8:16] = 200
    net.train_epoch(with_signal, np.random.default_rng(0), 1)
    # One step in each of two epochs, the last of them half-way down the cosine.
    net.train_epoch(with_signal, np.random.default_rng(0), 2)
    rates = [float(one.learning_rate) for one in (net._slow, net._fast)]
    share = share_of_rate(QUICK, 1.0)
    assert rates == pytest.approx([QUICK.learning_rate * share, QUICK.head_learning_rate * share])
    assert share == pytest.approx(0.5)
    moved = {
        weight.path
        for weight in backbone.model.weights
        if not np.array_equal(weight.numpy(), before[weight.path])
    }
    assert moved == {
        f"conv5_block3_{number}_conv/{kind}" for number in (1, 2, 3) for kind in ("kernel", "bias")
    }


def test_a_bad_video_is_left_out_and_told(tmp_path: Path) -> None:
    def sometimes(video: Video) -> Any:
        if video.path == "2-1.mp4":
            raise VideoError("no_face", "no face in it")
        return read(video)

    result = run(tmp_path / "weights", QUICK.replace(epochs=1), read=sometimes)
    assert result.failures == (("2-1.mp4", "no face in it"),)
    digests = result.backbone.provenance["trained_on"]["train"]["sha256s"]
    assert len(digests) == 11


def test_hopeless_data_is_refused(tmp_path: Path) -> None:
    def reals_only(video: Video) -> Any:
        if video.label:
            raise VideoError("no_face", "no face in it")
        return read(video)

    with pytest.raises(DatasetError, match="training and validation need at least 10"):
        run(tmp_path / "weights", read=reals_only)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_place_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")

    def never(video: Video) -> Any:
        raise AssertionError("must not read a video")

    with pytest.raises(OutputError, match="other files"):
        run(tmp_path, read=never)


def test_a_bug_in_reading_is_not_swallowed(tmp_path: Path) -> None:
    def broken(video: Video) -> Any:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run(tmp_path / "weights", read=broken)
    assert list(tmp_path.iterdir()) == []


def test_a_second_tuning_remembers_the_first(tuned: tuple[Finetuned, Path], tmp_path: Path) -> None:
    start = load_backbone(tuned[1], size=SIZE)
    result = finetune(
        videos(4, 20),
        videos(2, 30),
        read=read,
        backbone=start,
        config=QUICK.replace(epochs=1),
        out=tmp_path / "weights",
        show=False,
    )
    groups = result.backbone.provenance["trained_on"]["train"]["groups"]
    assert {"p0", "p20"} <= set(groups)
    assert result.backbone.name == "resnet50-thin-finetuned"


@pytest.mark.parametrize("unfreeze", [1, 9, "all"])
def test_both_parts_make_the_whole(unfreeze: int | str, crops: NDArray[np.uint8]) -> None:
    backbone = load_backbone("resnet50-random", size=64)
    lower, upper = cut(backbone.model, unfreeze)
    np.testing.assert_array_equal(
        upper(lower(crops, training=False), training=False), backbone.model(crops, training=False)
    )


def clips_of(labels: list[int], groups: list[str], size: int = 2) -> Clips:
    count = len(labels)
    return Clips(
        pixels=np.zeros((count, 4, size, size, 3), np.uint8),
        counts=np.full(count, 4),
        labels=np.array(labels, np.int8),
        groups=tuple(groups),
        sha256s=tuple(map(str, range(count))),
        originals=np.full(count, -1),
        failures=(),
    )


def test_batches_pair_a_real_with_its_forgery() -> None:
    clips = clips_of([0, 1] * 5, [f"p{video // 2}" for video in range(10)])
    batches = list(balanced_batches(clips, 2, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(np.concatenate(batches)) == list(range(10))
    for batch in batches:
        assert [clips.labels[video] for video in batch] == [0, 1] * (len(batch) // 2)
        assert all(batch[row + 1] == batch[row] + 1 for row in range(0, len(batch), 2))


def test_a_fake_is_in_a_batch_with_its_original() -> None:
    # One person with three scenes, one of them forged twice; a fake of whom no scene is known.
    clips = clips_of([0, 0, 0, 1, 1, 1, 1], ["a"] * 7)
    clips.originals[3:6] = [1, 0, 1]
    for seed in range(5):
        draw = np.random.default_rng(seed)
        drawn = np.concatenate(list(balanced_batches(clips, 2, draw, by_scene=True)))
        partners = {int(fake): int(real) for real, fake in drawn.reshape(-1, 2)}
        assert [partners[fake] for fake in (3, 4, 5)] == [1, 0, 1]
        assert partners[6] in (0, 1, 2)
    # The rule is the same where the reals are the larger class.
    more = clips_of([0, 0, 0, 1, 1], ["a"] * 5)
    more.originals[3:] = [2, 0]
    drawn = np.concatenate(list(balanced_batches(more, 2, np.random.default_rng(0), by_scene=True)))
    partners = {int(real): int(fake) for real, fake in drawn.reshape(-1, 2)}
    assert (partners[0], partners[2]) == (4, 3)
    equal = clips_of([0, 0, 1, 1], ["a"] * 4)  # two fakes of one scene: each is shown
    equal.originals[2:] = 1
    drawn = np.concatenate(
        list(balanced_batches(equal, 2, np.random.default_rng(0), by_scene=True))
    )
    assert sorted(drawn) == [0, 1, 2, 3]


def test_clips_know_the_original_of_a_fake(tmp_path: Path) -> None:
    def sometimes(video: Video) -> Any:
        if video.path == "1-0.mp4":
            raise VideoError("no_face", "no face")
        return read(video)

    with cached_clips(
        videos(3), sometimes, frames=2, size=SIZE, beside=tmp_path, workers=1, show=False, name="x"
    ) as clips:
        assert clips.labels.tolist() == [0, 1, 1, 0, 1]
        assert clips.originals.tolist() == [-1, 0, -1, -1, 3]


@pytest.mark.parametrize("pairs", ["scene", "group"])
def test_a_scene_is_shown_alike_in_both_of_its_clips(pairs: Any) -> None:
    """The same frames, turned and flipped alike: a pair differs by the forgery alone."""
    clips = clips_of([0, 1] * 4, list("aabbccdd"), size=SIZE)
    clips.originals[1::2] = [0, 2, 4, 6]
    scenes = np.random.default_rng(0).integers(0, 256, (4, *clips.pixels.shape[1:]))
    clips.pixels[0::2] = clips.pixels[1::2] = scenes
    config = QUICK.replace(pairs=pairs, noise=0)
    batches = list(clip_batches(clips, config, np.random.default_rng(1)))
    alike = [
        np.array_equal(*batch.clips[row : row + 2])
        for batch in batches
        for row in range(0, len(batch.clips), 2)
    ]
    assert all(alike) if pairs == "scene" else not any(alike)


def test_batches_are_balanced_whatever_the_classes() -> None:
    # One person with a real and three fakes, one with fakes only, one with a real only.
    clips = clips_of([0, 1, 1, 1, 1, 1, 0], ["a", "a", "a", "a", "b", "b", "c"])
    drawn = np.concatenate(list(balanced_batches(clips, 2, np.random.default_rng(0))))
    assert sorted(video for video in drawn if clips.labels[video]) == [1, 2, 3, 4, 5]
    assert [clips.labels[video] for video in drawn] == [0, 1] * 5
    partners = {int(fake): int(real) for real, fake in drawn.reshape(-1, 2)}
    assert [partners[fake] for fake in (1, 2, 3)] == [0, 0, 0]
    assert [partners[fake] for fake in (4, 5)] == [6, 6]


def test_drawn_frames_exist() -> None:
    clips, draw = clips_of([0, 1], ["a", "b"]), np.random.default_rng(0)
    clips.counts[1] = 2
    for _ in range(50):
        assert clips.draw_frames(1, 4, draw).max() <= 1
        assert np.all(np.diff(clips.draw_frames(0, 4, draw)) == 1)  # one from each part


def test_crops_are_read_once_and_in_order(tmp_path: Path) -> None:
    calls: list[str] = []
    lock = threading.Lock()

    def counted(video: Video) -> Any:
        with lock:
            calls.append(video.path)
        return read(video)

    wanted = videos(3)
    with cached_clips(
        wanted, counted, frames=8, size=SIZE, beside=tmp_path, workers=4, show=False, name="x"
    ) as clips:
        assert clips.counts.tolist() == [3] * 6  # never more than there are
        for row, video in enumerate(wanted):
            np.testing.assert_array_equal(clips.pixels[row, :3], read(video).pixels)
        assert not clips.pixels[:, 3:].any()
    assert sorted(calls) == sorted(video.path for video in wanted)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OutputError, match="no room for"):
        run(tmp_path / "weights")


def test_augmentation_is_the_same_for_all_frames_of_a_clip() -> None:
    draw = np.random.default_rng(1)
    frame = draw.integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.uint8)
    clip = np.repeat(frame, 3, axis=0)  # (3, S, S, 3), all alike
    transforms = draw_transforms(draw, 2, QUICK.replace(rotate_degrees=10.0, zoom=0.1), size=SIZE)
    got = [transform_clip(clip, transform) for transform in transforms]
    for one in got:
        np.testing.assert_array_equal(one[0], one[1])
        np.testing.assert_array_equal(one[0], one[2])
    assert np.any(got[0] != got[1])


@pytest.mark.parametrize(("size", "degrees", "zoom"), [(64, 8.0, 0.08), (33, 180.0, 0.9)])
def test_a_transform_shows_what_tensorflows_operation_shows(
    size: int, degrees: float, zoom: float
) -> None:
    draw = np.random.default_rng(2)
    clips = draw.integers(0, 256, (6, 2, size, size, 3)).astype(np.uint8)
    config = QUICK.replace(flip=True, rotate_degrees=degrees, zoom=zoom)
    transforms = draw_transforms(draw, 6, config, size=size)
    projective = np.concatenate([transforms.reshape(6, 6), np.zeros((6, 2), np.float32)], axis=1)
    with tf.device("CPU:0"):
        wanted = tf.raw_ops.ImageProjectiveTransformV3(
            images=clips.reshape(-1, size, size, 3),
            transforms=np.repeat(projective, 2, axis=0),
            output_shape=(size, size),
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="REFLECT",
        )
    got = np.stack([transform_clip(*pair) for pair in zip(clips, transforms, strict=True)])
    apart = np.abs(got.astype(int) - np.asarray(wanted).reshape(clips.shape))
    assert apart.max() <= 2  # TensorFlow cuts fractions off, OpenCV rounds


def test_no_augmentation_changes_nothing_and_a_flip_mirrors() -> None:
    draw = np.random.default_rng(0)
    clips = draw.integers(0, 256, (8, 1, SIZE, SIZE, 3)).astype(np.uint8)
    still_config = QUICK.replace(flip=True, rotate_degrees=0, zoom=0)
    still = draw_transforms(draw, 8, still_config.replace(flip=False), size=SIZE)
    flips = draw_transforms(draw, 8, still_config, size=SIZE)
    mirrored = flips[:, 0, 0] < 0
    assert 0 < mirrored.sum() < 8
    for clip, stays, flip, mirrors in zip(clips, still, flips, mirrored, strict=True):
        np.testing.assert_array_equal(transform_clip(clip, stays), clip)
        wanted = clip[:, :, ::-1] if mirrors else clip
        np.testing.assert_array_equal(transform_clip(clip, flip), wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unfreeze": 17}, "finetune.unfreeze must be from 1 to 16 or all, got 17"),
        ({"unfreeze": "most"}, "or all, got 'most'"),
        ({"learning_rate": 2.0}, "finetune.learning_rate must be above 0"),
        ({"schedule": "steps"}, "finetune.schedule must be cosine or constant"),
        ({"pairs_per_batch": 0}, "finetune.pairs_per_batch must be at least 1, got 0"),
        ({"jpeg_quality": 96}, "finetune.jpeg_quality must be from 0 to 95, got 96"),
        ({"forge": 1.5}, "finetune.forge must be from 0 to 1, got 1.5"),
        ({"zoom": 1.0}, "finetune.zoom must be at least 0 and below 1, got 1.0"),
    ],
)
def test_a_bad_setting_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig(**settings)


def test_a_custom_model_is_refused(thin: Backbone, tmp_path: Path) -> None:
    own = replace(thin, architecture="custom", name="own.keras")
    with pytest.raises(ConfigError, match=r"own\.keras is a custom model"):
        finetune([], [], read=read, backbone=own, config=QUICK, out=tmp_path / "weights")


class Killed(BaseException):
    """As a signal would end the process: nothing catches it."""


def test_a_killed_run_goes_on_to_the_same_bytes(
    tuned: tuple[Finetuned, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so the same seed gives the same weights."""
    whole, before = tuned
    validate, lives = FinetuneNet.validate, [1]

    def mortal(net: FinetuneNet, check: Clips, epoch: int) -> dict[str, float]:
        if not lives:
            raise Killed
        lives.pop()
        return validate(net, check, epoch)

    out = tmp_path / "killed" / "weights"
    monkeypatch.setattr(FinetuneNet, "validate", mortal)
    with pytest.raises(Killed):
        run(out)
    assert [path.name for path in out.parent.iterdir()] == [".weights.epoch.npz"]
    lives += [1]  # enough for the second epoch, not for both
    again = run(out)
    assert again.history == whole.history
    for name in ("backbone.json", "backbone.safetensors"):
        assert (out / name).read_bytes() == (before / name).read_bytes()
    assert [path.name for path in out.parent.iterdir()] == ["weights"]


@pytest.mark.parametrize("dies", [1, 2, 3])
def test_a_killed_run_restores_the_epoch_that_a_whole_one_does(dies: int, tmp_path: Path) -> None:
    """The best epoch at the end was not the best one when the run was killed."""
    measured = [(0.944, 0.1), (0.9475, 0.3), (0.9476, 9.9), (0.952, 9.9)]
    at = [0]  # the epoch that was run last

    def epochs(mortal: bool) -> Any:
        def step(epoch: int) -> dict[str, float]:
            if mortal and epoch == dies:
                raise Killed
            at[0] = epoch
            auc, loss = measured[epoch]
            return {"epoch": epoch, "val_auc": auc, "val_loss": loss}

        net = SimpleNamespace(
            get_state=lambda: [np.array(at)],
            set_state=lambda state: at.__setitem__(0, int(state[0][0])),
            get_weights=lambda: [np.array(at)],
        )
        return SimpleNamespace(net=net, config=QUICK.replace(epochs=3), run=step)

    kept = tmp_path / "kept.npz"
    with pytest.raises(Killed):
        _run(epochs(mortal=True), kept, "key", show=False)
    at[0] = -1
    history, stopping = _run(epochs(mortal=False), kept, "key", show=False)
    assert [row["val_auc"] for row in history] == [auc for auc, _ in measured]
    assert stopping.best.epoch == 1
    np.testing.assert_array_equal(stopping.best.weights, [[1]])


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "kept.npz"
    kept = Checkpoint(
        history=[{"epoch": 0}],
        state=[np.ones(3), np.int64(4)],
        best={1: [np.zeros(2), np.ones(1)], 11: [np.full(2, 11.0)]},
    )
    save_checkpoint(path, "a", kept)
    assert load_checkpoint(path, "b") is None
    again = load_checkpoint(path, "a")
    assert again is not None
    assert again.history == kept.history
    np.testing.assert_array_equal(again.state[0], 1)
    assert {epoch: len(arrays) for epoch, arrays in again.best.items()} == {1: 2, 11: 1}
    np.testing.assert_array_equal(again.best[11][0], 11)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", content.replace(b"state_0", b"stale_0")):
        path.write_bytes(damaged)
        assert load_checkpoint(path, "a") is None
    path.unlink()
    assert load_checkpoint(path, "a") is None


def test_a_distortion_is_the_same_for_all_frames_of_a_clip() -> None:
    draw = np.random.default_rng(0)
    clip = np.repeat(draw.integers(0, 256, (1, 32, 32, 3)).astype(np.uint8), 3, axis=0)
    config = QUICK.replace(noise=0.0, blur_pixels=2.0)
    for _ in range(20):
        got = distort(clip, draw_distortion(draw, config), 0)
        assert got.shape == clip.shape
        assert got.dtype == np.uint8
        assert np.all(got == got[0])
        assert np.any(got != clip)


def test_each_distortion_does_what_it_says() -> None:
    draw = np.random.default_rng(0)
    clip = np.full((2, 64, 64, 3), 100, np.uint8)
    noisy = distort(clip, Distortion(noise=5.0), 0).astype(float)
    assert noisy.std() == pytest.approx(5, abs=0.3)
    np.testing.assert_array_equal(distort(clip, Distortion(noise=5.0), 0), noisy)
    assert np.any(distort(clip, Distortion(noise=5.0), 1) != noisy)
    assert np.any(noisy[0] != noisy[1])  # noise that stands still would be a sign of forgery
    brighter = tuple(map(float, (np.eye(3, 4) * 1.2).ravel()))
    assert distort(clip, Distortion(colours=brighter), 0).mean() == pytest.approx(120, abs=1)
    sharp = draw.integers(0, 256, clip.shape).astype(np.uint8)
    assert distort(sharp, Distortion(blur_pixels=2.0), 0).std() < sharp.std() / 2
    assert np.any(distort(sharp, Distortion(jpeg_quality=50), 0) != sharp)
    off = QUICK.replace(
        brightness=0, contrast=0, saturation=0, blur_pixels=0, noise=0, jpeg_quality=0
    )
    assert draw_distortion(draw, off) == Distortion()


def test_batches_are_the_same_made_ahead_or_in_parallel_and_errors_come_through() -> None:
    clips = clips_of([0, 1] * 3, ["a", "a", "b", "b", "c", "c"], size=SIZE)
    clips.pixels[:] = np.random.default_rng(0).integers(0, 256, clips.pixels.shape)
    config = QUICK.replace(pairs_per_batch=1)
    plain = list(clip_batches(clips, config, np.random.default_rng(1)))
    early = list(prefetch(clip_batches(clips, config, np.random.default_rng(1))))
    parallel = list(clip_batches(clips, config, np.random.default_rng(1), workers=3))
    assert len(plain) == len(early) == len(parallel) == 3
    for one, other, third in zip(plain, early, parallel, strict=True):
        np.testing.assert_array_equal(one.clips, other.clips)
        np.testing.assert_array_equal(one.clips, third.clips)

    def broken() -> Iterator[int]:
        yield 1
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(prefetch(broken()))


def test_smoothing_moves_labels_together() -> None:
    np.testing.assert_allclose(smooth(np.array([0, 1]), 0.1), [0.05, 0.95])
    np.testing.assert_array_equal(smooth(np.array([0, 1]), 0.0), [0, 1])


def test_rates_rise_and_fall() -> None:
    config = FinetuneConfig(epochs=8)
    shares = [share_of_rate(config, step / 9) for step in range(8 * 9)]
    assert 0 < shares[0] < 0.2
    assert max(shares) > 0.97
    assert shares.index(max(shares)) / 9 <= 0.6
    assert shares[-1] < 0.01
    falling = shares[shares.index(max(shares)) :]
    assert falling == sorted(falling, reverse=True)
    constant = config.replace(schedule="constant")
    assert {share_of_rate(constant, step / 9) for step in range(8 * 9)} == {1.0}


def test_steps_of_an_epoch_are_counted() -> None:
    for labels in ([0, 1, 1, 0, 0], [1] * 9 + [0], [0, 1] * 8):
        clips = Clips(
            pixels=np.zeros((len(labels), 1, 2, 2, 3), np.uint8),
            counts=np.ones(len(labels), int),
            labels=np.array(labels, np.int8),
            groups=tuple(str(n) for n in range(len(labels))),
            sha256s=("",) * len(labels), originals=np.full(len(labels), -1), failures=(),
        )  # fmt: skip
        batches = list(balanced_batches(clips, 4, np.random.default_rng(0)))
        assert len(batches) == steps_per_epoch(clips, 4)


def test_the_frozen_phase_sees_what_the_steps_will_show() -> None:
    """Augmentation moves the probe; the same draws give the same one."""
    learn = clips_of([0, 1] * 3, ["a", "a", "b", "b", "c", "c"], size=SIZE)
    learn.pixels[1::2, :, 8:16] = 200
    plain = QUICK.replace(
        flip=False, rotate_degrees=0, zoom=0, brightness=0, contrast=0, saturation=0,
        blur_pixels=0, noise=0, jpeg_quality=0,
    )  # fmt: skip
    found = []
    for config in (plain, QUICK, QUICK):
        net = FinetuneNet(load_backbone("resnet50-random", size=SIZE), config)
        net.fit_head(learn, learn, np.random.default_rng(1))
        found.append(net.get_weights()[-2])
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[1], found[2])


def test_float16_needs_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"finetune\.precision float16 needs TensorFlow on a GPU"):
        run(tmp_path / "weights", QUICK.replace(precision="float16"))


@pytest.mark.parametrize(
    ("flags", "gpu", "chosen", "wanted", "said"),
    [
        ({"amx_bf16", "avx512_bf16"}, False, "auto", "bfloat16", ""),
        ({"amx_bf16", "avx512_bf16"}, False, "float32", "float32", ""),
        ({"avx512_bf16"}, False, "auto", "bfloat16", ""),
        ({"avx512_bf16"}, False, "bfloat16", "bfloat16", ""),
        ({"avx2"}, False, "auto", "float32", ""),
        ({"avx2"}, False, "bfloat16", "float32", "does not compute in bfloat16"),
        ({"amx_bf16"}, True, "auto", "float32", ""),
        ({"amx_bf16"}, True, "float16", "float16", ""),
    ],
)
def test_a_machine_computes_in_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
    flags: set[str],
    gpu: bool,
    chosen: Any,
    wanted: str,
    said: str,
) -> None:
    monkeypatch.setattr("models.matrix_units.cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr("models.finetuning.precision.has_gpu", lambda: gpu)
    config, note = resolve_precision(QUICK.replace(precision=chosen))
    assert config.precision == wanted
    assert said in note
    assert bool(said) == bool(note)


def test_a_limit_of_onednn_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.matrix_units.cpu_flags", lambda: frozenset({"amx_bf16"}))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
    assert resolve_precision(QUICK.replace(precision="auto"))[0].precision == "float32"
    config, note = resolve_precision(QUICK.replace(precision="bfloat16"))
    assert config.precision == "bfloat16"
    assert "keeps oneDNN from" in note
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "default")
    assert resolve_precision(QUICK.replace(precision="auto"))[0].precision == "bfloat16"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert resolve_precision(QUICK.replace(precision="auto"))[0].precision == "float32"


def with_signal() -> Clips:
    """Six clips, the fakes with a bright square."""
    clips = clips_of([0, 1] * 3, ["a", "a", "b", "b", "c", "c"], size=SIZE)
    clips.pixels[1::2, :, 8:16] = 200
    return clips


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("backbone", ["resnet50-random", "resnet50-thin"])
def test_a_lower_precision_makes_nearly_the_same_steps_twice(backbone: str, precision: Any) -> None:
    """Where the loss is scaled, too; state and weights stay float32, the same bytes each time."""
    learn = with_signal()
    epochs = (
        2 if precision == "float16" else 1
    )  # while the loss's scale is found, steps are left out
    start: list[NDArray[np.float32]] = []
    found = []
    for chosen in ("float32", precision, precision):
        seed_everything(0)
        net = FinetuneNet(
            load_backbone(backbone, size=SIZE), QUICK.replace(precision=chosen, unfreeze=2)
        )
        start = start or net.get_weights()  # the dense layer would start anew, at random
        net.set_weights(start)
        for epoch in range(1, epochs + 1):
            net.train_epoch(learn, np.random.default_rng(1), epoch)
        found.append(net.get_weights())
        moments = [one for one in net.get_state() if one.ndim > 0]
        assert {one.dtype for one in moments} == {np.dtype(np.float32)}
    for before, exact, lower, again in zip(start, *found, strict=True):
        np.testing.assert_array_equal(lower, again)
        assert not np.array_equal(before, lower)
        # Adam's first step has the gradient's sign; few are so small that rounding turns it.
        if exact.size > 100:
            agreed = np.sign(exact - before) == np.sign(lower - before)
            assert agreed.mean() > 0.9


def test_a_checkpoint_of_another_precision_is_not_resumed_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("models.matrix_units.cpu_flags", lambda: frozenset({"amx_bf16"}))
    caplog.set_level("INFO", "unmask")
    out = tmp_path / "weights"

    def die(net: FinetuneNet, check: Clips, epoch: int) -> dict[str, float]:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(FinetuneNet, "validate", die)
        with pytest.raises(Killed):
            run(out, QUICK.replace(precision="float32", epochs=1))
    run(out, QUICK.replace(precision="auto", epochs=1))
    assert "is of a run in float32, this one computes in bfloat16" in caplog.text
    facts = json.loads((out / "backbone.json").read_text())
    assert facts["finetuning"]["config"]["precision"] == "bfloat16"
    assert facts["provenance"]["finetuning_precision"] == "bfloat16"


@pytest.mark.parametrize("backbone", ["resnet50-random", "resnet50-thin"])
def test_the_forward_pass_is_the_models(backbone: str, crops: NDArray[np.uint8]) -> None:
    """In value and gradient, with normalisation that does something."""
    model = load_backbone(backbone, size=64).model
    draw = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights(
                [
                    gamma * draw.uniform(0.8, 1.2, gamma.shape),
                    beta + draw.normal(0, 0.1, beta.shape),
                    mean + draw.normal(0, 0.1, mean.shape),
                    variance * draw.uniform(0.8, 1.2, variance.shape),
                ]
            )
    _, upper = cut(model, "all")
    weights = [w for layer in upper.layers if isinstance(layer, keras.layers.Conv2D)
               for w in layer.trainable_weights]  # fmt: skip
    inputs = model.get_layer("preprocess")(crops)
    found = []
    for forward in (lambda x: upper(x, training=False), ForwardPass(upper, tf.float32)):
        with tf.GradientTape() as tape:
            embedded = forward(inputs)
            loss = tf.reduce_sum(embedded**2)
        found.append((embedded.numpy(), [one.numpy() for one in tape.gradient(loss, weights)]))
    (wanted, gradients), (got, same) = found
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    for one, other in zip(gradients, same, strict=True):
        # A rounding may carry one place over the corner of a ReLU.
        assert np.linalg.norm(other - one) <= 1e-2 * np.linalg.norm(one)


@pytest.mark.parametrize("name", ["resnet50-random", "resnet50-thin"])
def test_a_forward_pass_from_pixels(name: str, crops: NDArray[np.uint8]) -> None:
    """The first convolution takes RGB as it is, and the layers BGR."""
    model = load_backbone(name, size=crops.shape[1]).model
    lower, _ = cut(model, 15)
    forward = tf.function(ForwardPass(lower, tf.float32))
    wanted, got = lower(crops, training=False).numpy(), forward(crops).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("sides", [(5, 5), (6, 4)])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradient_of_a_pointwise_convolution(stride: int, sides: tuple[int, int]) -> None:
    draw = np.random.default_rng(0)
    given = [
        tf.constant(draw.normal(size=shape).astype(np.float32))
        for shape in ((2, *sides, 3), (1, 1, 3, 4), (4,))
    ]
    found = []
    for convolve in (lambda x, k, b: tf.nn.bias_add(tf.nn.conv2d(x, k, stride, "VALID"), b),
                     lambda x, k, b: pointwise(x, k, b, stride)):  # fmt: skip
        with tf.GradientTape() as tape:
            tape.watch(given)
            loss = tf.reduce_sum(convolve(*given) ** 3)
        found.append(tape.gradient(loss, given))
    for wanted, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_dropped_dimensions_stand_at_the_mean_for_a_whole_clip() -> None:
    embedded = np.random.default_rng(0).normal(5, 1, (6, 400)).astype(np.float32)  # 2 clips
    found = drop(embedded, 3, 0.6, np.array([1, 2], np.int32)).numpy()
    centre = embedded.mean(axis=0)
    at_mean = np.isclose(found, centre, atol=1e-5).reshape(2, 3, 400)
    assert (at_mean.all(axis=1) == at_mean.any(axis=1)).all(), "the same for all frames"
    assert 0.5 < at_mean.mean() < 0.7
    assert not np.array_equal(at_mean[0], at_mean[1])
    kept = ~at_mean.reshape(6, 400)
    np.testing.assert_allclose((found - centre)[kept], (embedded - centre)[kept] / 0.4, rtol=1e-3)
    again = drop(embedded, 3, 0.6, np.array([1, 2], np.int32)).numpy()
    np.testing.assert_array_equal(found, again)


def test_dropout_changes_steps_and_nothing_is_drawn_twice() -> None:
    learn = clips_of([0, 1] * 3, ["a", "a", "b", "b", "c", "c"], size=SIZE)
    learn.pixels[1::2, :, 8:16] = 200
    start: list[NDArray[np.float32]] = []
    found = []
    for rate in (0.0, 0.5, 0.5):
        config = QUICK.replace(dropout=rate)
        net = FinetuneNet(load_backbone("resnet50-random", size=SIZE), config)
        start = start or net.get_weights()
        net.set_weights(start)
        net.train_epoch(learn, np.random.default_rng(1), 1)
        found.append(net.get_weights())
    assert not np.array_equal(found[0][-2], found[1][-2])
    np.testing.assert_array_equal(found[1][-2], found[2][-2])
