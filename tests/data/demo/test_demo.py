"""The demo data set: whole, repeatable, face-like, and silent about the label."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data.demo import DemoConfig, write_demo
from data.demo.expression import Face
from data.demo.forgery import GRID_PIXELS, METHODS, Forgery, draw_forgery, forge, region
from data.demo.light import draw_light
from data.demo.motion import blink, perform
from data.demo.person import draw_person
from data.demo.portrait import SIZE, Portrait, outline_distance, paint_portrait
from data.demo.portrait import face_grid as grid
from data.demo.take import Take, render_take
from data.errors import ConfigError, InputError, OutputError, ToolError
from data.faces.crops import read_frames
from data.faces.tracker import FaceFinder
from data.video.frames import FrameRecipe
from data.video.probe import probe

ROOT = Path(__file__).parents[3]
TINY = DemoConfig(people=8, seconds=1.0, fps=12.5)
SMALLEST = DemoConfig(people=2, seconds=0.4, fps=12.5, width=160, height=120)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "tiny"
    write_demo(folder, TINY, workers=2)
    return folder


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    rng = np.random.default_rng(5)
    return paint_portrait(draw_person(rng), draw_light(rng))


def test_labels_list_every_video_once_with_person_and_method(tiny: Path) -> None:
    table = rows(tiny)
    assert list(table[0]) == ["path", "label", "group", "method"]
    videos = {path.relative_to(tiny).as_posix() for path in tiny.rglob("*.mp4")}
    assert {row["path"] for row in table} == videos
    assert len(table) == 16
    assert all(row["path"].startswith(row["label"] + "/") for row in table)
    for person in {row["group"] for row in table}:
        labels = sorted(row["label"] for row in table if row["group"] == person)
        assert labels == ["fake", "real"]
    fakes = [row["method"] for row in table if row["label"] == "fake"]
    dealt = [f"rendered-{method}" for method in METHODS * 2]
    assert sorted(fakes) == sorted(dealt), "forgeries are dealt out evenly"
    assert {row["method"] for row in table if row["label"] == "real"} == {"real"}


def test_every_video_has_the_same_stream(tiny: Path) -> None:
    infos = [probe(tiny / row["path"]) for row in rows(tiny)]
    shapes = {(info.codec, info.pixel_format, info.width, info.height, info.fps) for info in infos}
    assert shapes == {("h264", "yuv420p", 320, 240, 12.5)}


def test_equal_settings_give_equal_bytes_however_many_workers(tmp_path: Path) -> None:
    write_demo(tmp_path / "one", SMALLEST, workers=1)
    write_demo(tmp_path / "two", SMALLEST, workers=2)
    write_demo(tmp_path / "other", SMALLEST.replace(seed=1), workers=1)
    one, two, other = (contents(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    video = "real/person_000.mp4"
    assert one[video] != other[video]


def test_a_finished_folder_is_left_alone_and_a_missing_video_comes_back(tmp_path: Path) -> None:
    first = write_demo(tmp_path, SMALLEST, workers=1)
    assert (first.videos, first.rendered) == (4, 4)
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = write_demo(tmp_path, SMALLEST, workers=1)
    assert again.rendered == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
    # As after an interruption: a video and the labels are not there yet.
    (tmp_path / "fake" / "person_001.mp4").unlink()
    (tmp_path / "labels.csv").unlink()
    assert write_demo(tmp_path, SMALLEST, workers=1).rendered == 1
    assert contents(tmp_path) == before


def test_a_folder_with_other_files_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"holiday\.mp4"):
        write_demo(tmp_path, SMALLEST, workers=1)
    assert contents(tmp_path) == {"holiday.mp4": b"mine"}


def test_a_demo_of_other_settings_or_with_additions_is_refused(tmp_path: Path) -> None:
    write_demo(tmp_path, SMALLEST, workers=1)
    with pytest.raises(InputError, match="other settings"):
        write_demo(tmp_path, SMALLEST.replace(seed=3), workers=1)
    (tmp_path / "real" / "mine.mp4").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"real/mine\.mp4"):
        write_demo(tmp_path, SMALLEST, workers=1)


def test_a_file_in_the_way_and_no_permission_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="must be a folder"):
        write_demo(tmp_path / "file", SMALLEST, workers=1)
    with pytest.raises(OutputError, match="cannot write"):
        write_demo(Path("/proc/demo"), SMALLEST, workers=1)


def test_a_failing_encoder_in_a_worker_is_an_error_not_a_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bin"
    broken.mkdir()
    for name in ("ffmpeg", "ffprobe"):
        script = '#!/bin/sh\n[ "$1" = -version ] && echo "ffmpeg version 7" && exit 0\nexit 1\n'
        (broken / name).write_text(script)
        (broken / name).chmod(0o755)
    monkeypatch.setenv("UNMASK_FFMPEG_DIR", str(broken))
    with pytest.raises(ToolError):
        write_demo(tmp_path / "out", SMALLEST, workers=2)
    assert not list((tmp_path / "out").rglob("*.mp4"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"people": 0}, "people must be from 1"),
        ({"seconds": 0.0}, "seconds must be"),
        ({"fps": float("nan")}, "fps must be"),
        ({"width": 161}, "width must be even, got 161"),
        ({"height": 50}, "height must be from 96"),
        ({"crf": 52}, "crf must be"),
    ],
)
def test_settings_out_of_range_are_named(change: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        DemoConfig(**change)  # type: ignore[arg-type]


def metadata(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.str_]]:
    features, labels, groups = [], [], []
    for row in rows(folder):
        info = probe(folder / row["path"])
        features.append(
            [info.size_bytes, info.bit_rate, info.width, info.height, info.duration_seconds]
        )
        labels.append(int(row["label"] == "fake"))
        groups.append(row["group"])
    return np.log(np.asarray(features, np.float64)), np.asarray(labels), np.asarray(groups)


@pytest.mark.slow
def test_metadata_says_nothing_about_the_label(tmp_path: Path) -> None:
    """The people of params.yaml, their videos shorter: size, bit rate, resolution and duration."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())["demo"]
    config = DemoConfig(people=settings["people"], fps=settings["fps"], seconds=0.7)
    write_demo(tmp_path, config, workers=2)
    features, labels, groups = metadata(tmp_path)
    models = (
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(80, min_samples_leaf=3, random_state=0),
        GradientBoostingClassifier(n_estimators=60, max_depth=2, random_state=0),
    )
    for model in models:
        # Folds are drawn several times: one draw may be off by 0.03 by chance.
        scores = [
            cross_val_predict(
                model,
                features,
                labels,
                groups=groups,
                cv=GroupKFold(5, shuffle=True, random_state=seed),
                method="predict_proba",
            )[:, 1]
            for seed in range(3)
        ]
        auc = np.mean([roc_auc_score(labels, score) for score in scores])
        assert 0.4 <= auc <= 0.6, (type(model).__name__, auc)


def test_the_detector_finds_the_faces(tiny: Path) -> None:
    finder = FaceFinder()
    recipe = FrameRecipe(count=8)
    for row in rows(tiny):
        frames = read_frames(tiny / row["path"], recipe, faces=finder)
        assert frames.face_found.mean() >= 0.9, row["path"]
        sides = frames.boxes[:, 2] - frames.boxes[:, 0]
        assert np.all((sides > 110) & (sides < 250)), "a crop holds the face and its edge"


def forged(portrait: Portrait, forgery: Forgery, seed: int = 0) -> tuple[NDArray[np.float32], ...]:
    """The own and the forged face of one frame."""
    rng = np.random.default_rng(seed)
    performance = perform(rng, frames=6, fps=25)
    donor = draw_person(np.random.default_rng(99))
    picture_at = forge(rng, forgery, host=portrait, donor=donor, performance=performance, fps=25)
    return Face(portrait).show(performance.expression(3)), picture_at(3)


@pytest.mark.parametrize("method", METHODS)
def test_a_forgery_changes_the_face_and_nothing_around_it(portrait: Portrait, method: str) -> None:
    forgery = draw_forgery(np.random.default_rng(1), method)  # type: ignore[arg-type]
    mask = region(forgery.method, portrait.person, forgery.softness)
    own, other = forged(portrait, forgery)
    assert np.array_equal(own[:, mask == 0], other[:, mask == 0])
    assert np.abs(own - other)[:, mask > 0.5].mean() > 1.0
    inside = outline_distance(portrait.person, *grid()) < 1.0
    assert mask[~inside].sum() < 0.03 * mask.sum(), "the region lies on the face"


def test_signs_grow_with_their_settings(portrait: Portrait) -> None:
    """What `Forgery` says is what the picture shows: softer when coarse, off when mismatched."""
    drawn = draw_forgery(np.random.default_rng(1), "synthesis")
    none = replace(
        drawn, strength=0.0, coarseness=1.0, colour=drawn.colour * 0, contrast=1.0, jitter=0.0,
        flicker=0.0, grid=0.0,
    )  # fmt: skip
    mask = region("synthesis", portrait.person, drawn.softness) > 0.9

    def detail(picture: NDArray[np.float32]) -> float:
        return float(np.abs(np.diff(picture, axis=2))[:, mask[:, 1:]].mean())

    own, clean = forged(portrait, none)
    _, coarse = forged(portrait, replace(none, coarseness=2.5))
    _, tinted = forged(portrait, replace(none, colour=drawn.colour))
    assert detail(coarse) < 0.9 * detail(clean)
    away = (tinted - clean)[:, mask].mean(axis=1)
    assert np.linalg.norm(away) > 0.3 * np.linalg.norm(drawn.colour)
    assert own.shape == (3, SIZE, SIZE)
    _, gridded = forged(portrait, replace(none, grid=8.0))
    spectrum = np.abs(np.fft.fft2((gridded - clean)[1] * mask))
    peak = np.unravel_index(spectrum.argmax(), spectrum.shape)
    assert {min(at, SIZE - at) for at in peak} == {SIZE // GRID_PIXELS}
    assert np.abs(gridded - clean)[:, mask].max() == pytest.approx(8, rel=0.05)


def test_forged_eyes_never_close_and_real_ones_do() -> None:
    times = np.arange(25 * 600) / 25
    real = blink(np.random.default_rng(0), times, per_minute=25)
    closings = int(((real[1:] < 0.5) & (real[:-1] >= 0.5)).sum())
    assert 150 <= closings <= 350, "ten minutes at 25 a minute"
    assert blink(np.random.default_rng(0), times, per_minute=0).min() == 1.0


def test_takes_move_and_no_two_frames_are_equal() -> None:
    frames = list(render_take(Take(person=0, method=None), SMALLEST))
    assert all(frame.shape == (120, 160, 3) and frame.dtype == np.uint8 for frame in frames)
    assert all(np.any(a != b) for a, b in itertools.pairwise(frames))
