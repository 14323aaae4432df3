"""`unmask pair`: one scene or not, alike or not, and the same answer in both orders."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.alignment.align_files import align_files
from data.alignment.blending import Blending
from data.demo import DemoConfig, write_demo
from data.errors import DatasetError
from data.video.encoding import encode
from data.video.frames import FrameRecipe, read_pixels
from data.video.picture import whole_picture
from data.video.probe import probe
from models.pairs.model import FILE, built_in
from pipeline.cli.pairs import OTHER_SCENE
from pipeline.pairs.compare import as_different, compare_videos
from pipeline.pairs.fit import losses_of
from pipeline.pairs.result import Comparison, lost_in_words, swapped
from tests import footage
from tests.data.conftest import make
from tests.pipeline.reporting.test_report import Page

COUNT = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered people, each alone in a scene."""
    folder = tmp_path_factory.mktemp("pairs")
    write_demo(folder / "demo", DemoConfig(people=3, seconds=1.6, width=400, height=300), workers=2)
    return folder


@pytest.fixture(scope="module")
def real(folder: Path) -> Path:
    return sorted((folder / "demo" / "real").glob("*.mp4"))[0]


@pytest.fixture(scope="module")
def forged(folder: Path, real: Path) -> Path:
    """The same scene; the middle of the face was stretched and is a little darker."""
    info = probe(real)
    recipe = FrameRecipe(count=COUNT, max_side=400, minimum_frames=1)
    frames, _ = read_pixels(real, info, recipe, whole_picture(info, 400))
    from data.faces.tracker import FaceFinder

    boxes = FaceFinder().follow(frames, np.arange(len(frames)) / info.fps).boxes
    made = []
    for frame, box in zip(frames, boxes, strict=True):
        x0, y0, x1, y1 = (round(float(one)) for one in box)
        face = frame[y0:y1, x0:x1]
        tall, wide = face.shape[:2]
        moved = cv2.resize(face, (round(wide * 1.15), round(tall * 1.25)))[-tall:, :wide] * 0.85
        mask = np.zeros((tall, wide, 1), np.float32)
        cv2.ellipse(mask, (wide // 2, tall // 2), (wide * 2 // 5, tall * 2 // 5), 0, 0, 360, 1, -1)
        mask = cv2.GaussianBlur(mask, (0, 0), 3)[..., None]
        frame = frame.copy()
        frame[y0:y1, x0:x1] = face * (1 - mask) + moved * mask
        made.append(frame)
    encode(folder / "forged.mp4", made, fps=info.fps, crf=20)
    return folder / "forged.mp4"


@pytest.fixture(scope="module")
def different(real: Path, forged: Path) -> Comparison:
    return compare_videos(real, forged, judge=None)


def test_a_changed_face_differs_and_where_is_told(different: Comparison, real: Path) -> None:
    result, seen = different.result, different.pictures
    assert result.answer == "different"
    assert result.log10_lr is not None
    assert result.lost_detail is not None
    assert "built-in ratio" in result.origin
    assert result.a.video == str(real)
    (face,) = result.faces
    assert face.statistic > face.threshold
    assert face.inside > 3 * face.expected
    assert seen is not None
    side = seen.lasting.shape[0]
    middle = seen.lasting[side * 2 // 5 : side * 3 // 5, side * 2 // 5 : side * 3 // 5]
    assert middle.mean() > 1.5 * seen.lasting[seen.lasting != 0].mean() > 0


@pytest.mark.parametrize(
    "filters",
    ["null", "scale=200:150", "crop=360:280:24:10,hflip", "trim=start_frame=6,setpts=PTS-STARTPTS"],
)
def test_a_copy_is_alike_and_so_is_a_copy_of_the_forgery(
    folder: Path, real: Path, forged: Path, filters: str
) -> None:
    for source in (real, forged):
        copy = make(
            folder / "copy.mp4", "-i", str(source), "-vf", filters,
            "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "30", "-threads", "1",
        )  # fmt: skip
        result = compare_videos(source, copy, judge=None).result
        assert result.answer == "alike", (source.name, filters, result.faces)
        assert result.log10_lr == 0
        assert result.forged is None
    # the forgery's copy still differs from the real
    assert compare_videos(real, copy, judge=None).result.answer == "different"


def test_both_orders_give_mirrored_answers(different: Comparison, real: Path, forged: Path) -> None:
    other = compare_videos(forged, real, judge=None)
    assert asdict(other.result) == asdict(swapped(different).result)
    twice, once = asdict(swapped(other).result), asdict(different.result)
    scales = [one["geometry"].pop("scale") for one in (twice, once)]
    assert twice == once
    assert scales[0] == pytest.approx(scales[1], rel=1e-12)  # it was divided into 1 twice
    assert other.result.a.video == str(forged)
    assert other.pictures is not None
    assert different.pictures is not None
    assert (other.pictures.a.crops == different.pictures.b.crops).all()
    assert other.pictures.lost is not None
    assert different.pictures.lost is not None
    assert (other.pictures.lost == -different.pictures.lost).all()
    assert different.pictures.lost.sum() == pytest.approx(different.result.lost_detail)


def test_no_side_is_named_where_the_faces_hardly_differ(different: Comparison) -> None:
    blending = Blending(lost=0.5, where=np.zeros((1, 1)))
    clear = as_different(different.result, blending, built_in(), clear=True)
    assert clear.forged == "A"
    bare = replace(
        different.result, forged=None, log10_lr=None, log10_lr_low=None, log10_lr_high=None,
        likelihood=None,
    )  # fmt: skip
    hardly = as_different(bare, blending, built_in(), clear=False)
    assert (hardly.answer, hardly.lost_detail) == ("different", 0.5)
    assert (hardly.forged, hardly.log10_lr, hardly.likelihood) == (None, None, None)
    assert "cannot be told" in hardly.origin


def test_a_loss_of_the_fit_is_that_of_the_comparison(
    different: Comparison, real: Path, forged: Path, tmp_path: Path
) -> None:
    """By the fake, whichever file comes first; its copies are removed again."""
    lost = losses_of(align_files(real, forged), 0, tmp_path)
    assert lost.shape == (3,)
    assert np.isfinite(lost).all()
    assert different.result.lost_detail is not None
    assert lost[0] == pytest.approx(-different.result.lost_detail, abs=0.01)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_loss_in_words() -> None:
    assert "A's has 10.0% less" in lost_in_words(-np.log(0.9))
    assert "B's has 10.0% less" in lost_in_words(np.log(0.9))
    assert "neither lacks fine detail" in lost_in_words(9e-15)


def test_one_file_under_two_names_is_alike(real: Path, tmp_path: Path, run) -> None:
    shutil.copy(real, tmp_path / "again.mp4")
    found = json.loads(run("pair", real, tmp_path / "again.mp4", "--json").stdout)
    assert found["answer"] == "alike"
    assert found["same_file"] is True


def test_other_people_are_no_scene(folder: Path, real: Path, run) -> None:
    other = sorted((folder / "demo" / "real").glob("*.mp4"))[1]
    told = run("pair", real, other, code=OTHER_SCENE)
    assert "NOT ONE SCENE" in told.stdout
    found = json.loads(run("pair", real, other, "--json", code=OTHER_SCENE).stdout)
    assert found["answer"] == "other scene"
    assert found["log10_lr"] is None


def test_the_page_stands_alone_and_escapes(real: Path, forged: Path, tmp_path: Path, run) -> None:
    hostile = tmp_path / '<script>alert("x")<!script>&.mp4'
    shutil.copy(forged, hostile)
    run("pair", real, hostile, "--report", tmp_path / "pair.html")
    read = Page((tmp_path / "pair.html").read_text("utf-8"))
    assert all(one.startswith(("data:image/jpeg;base64,", "#term-")) for one in read.fetched)
    assert len(read.fetched) > 20
    assert "script" not in read.tags
    assert hostile.name in read.shown
    assert {"side-by-side", "difference-over-time", "missing-detail"} <= set(read.ids)
    assert "less fine detail than" in read.shown


def test_a_users_mistake_is_one_line(real: Path, tmp_path: Path, run) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for arguments, code in (
        ((real, tmp_path / "nothing.mp4"), 3),
        ((real, tmp_path / "text.mp4"), 12),
        ((real, real, "--bundle", tmp_path), 3),
        ((real, real, "--report", tmp_path), 8),
    ):
        told = run("pair", *arguments, code=code)
        assert told.stderr.splitlines()[-1].startswith("unmask: ")
        assert "Traceback" not in told.output


def test_a_bundle_scores_both_sides(world, loaded, real: Path, forged: Path, run) -> None:
    found = json.loads(run("pair", real, forged, "--bundle", world.bundle, "--json").stdout)
    mirror = json.loads(run("pair", forged, real, "--bundle", world.bundle, "--json").stdout)
    assert not (world.bundle / FILE).exists()
    assert "built-in ratio" in found["origin"]
    alone = json.loads(run("pair", real, forged, "--json").stdout)
    assert found["log10_lr"] == alone["log10_lr"] == -mirror["log10_lr"]
    assert 0 <= found["a"]["probability_fake"] <= 1
    assert found["a"] == mirror["b"]
    assert found["b"] == mirror["a"]


def test_a_fitted_bundle_says_which_and_mirrors_it(
    world, loaded, real: Path, forged: Path, tmp_path: Path, run, monkeypatch
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(world.bundle, bundle)
    people = sorted((world.demo / "real").glob("*.mp4"))
    lines = ["path,label,group,method,split,original"]
    for number, path in enumerate(people):
        split = "test" if number == 0 else "train"
        lines += [
            f"real/{path.name},real,{path.stem},real,{split},",
            f"fake/{path.name},fake,{path.stem},kind-{number % 2},{split},real/{path.name}",
        ]
    for label in ("real", "fake"):
        shutil.copytree(world.demo / label, tmp_path / "videos" / label)
    (tmp_path / "videos" / "labels.csv").write_text("\n".join(lines))
    manifest = tmp_path / "manifest.csv"
    run("index", tmp_path / "videos", "-o", manifest)
    fit = ("fit-pairs", bundle, manifest, "--root", tmp_path / "videos")
    # these fakes are of other scenes than their "originals"
    told = run(*fit, code=DatasetError.exit_code).stderr
    assert "too few to fit" in told
    assert not (bundle / FILE).exists()
    draw, seen = np.random.default_rng(0), []

    def losses(files, number, folder):
        seen.append(files.paths[1].name)
        return draw.normal(0.5, 0.05, 3)

    monkeypatch.setattr("pipeline.pairs.fit.losses_of", losses)
    told = run(*fit).stdout
    assert len(seen) == len(people) - 1  # the test split is not learnt from
    assert f"fitted to {len(people) - 1} pairs" in told
    assert "100% of the pairs" in told
    first = (bundle / FILE).read_bytes()
    draw = np.random.default_rng(0)
    run(*fit)
    assert (bundle / FILE).read_bytes() == first
    found = json.loads(run("pair", real, forged, "--bundle", bundle, "--json").stdout)
    mirror = json.loads(run("pair", forged, real, "--bundle", bundle, "--json").stdout)
    assert "built-in" not in found["origin"]
    assert f"measured on {len(people) - 1} pairs" in found["origin"]
    assert found["log10_lr"] == -mirror["log10_lr"]
    assert found["log10_lr_low"] == -mirror["log10_lr_high"]
    assert {found["forged"], mirror["forged"]} in ({"A", "B"}, {None})
    copy = make(
        tmp_path / "copy.mp4", "-i", str(forged), "-c:v", "libx264", "-crf", "33", "-threads", "1"
    )
    alike = json.loads(run("pair", forged, copy, "--bundle", bundle, "--json").stdout)
    assert alike["answer"] == "alike"
    assert alike["log10_lr"] == 0


def test_predict_compares_with_a_reference(world, loaded, real: Path, forged: Path, tmp_path, run):
    page = tmp_path / "verdict.html"
    told = run("predict", world.bundle, real, "--reference", forged, "--report", page).stdout
    assert "reference: DIFFERENT" in told
    assert (tmp_path / "verdict.reference.html").exists()
    (row,) = json.loads(run("predict", world.bundle, real, "--reference", forged, "--json").stdout)
    assert row["reference"]["answer"] == "different"
    assert row["reference"]["a"]["video"] == str(forged)
    assert "reference" not in json.loads(run("predict", world.bundle, real, "--json").stdout)[0]


def test_real_versions_of_a_real_scene() -> None:
    faces = footage.faces()
    original, fake = faces / "real/dfl_rdj_real.mp4", faces / "fake/dfl_silwan_stillwone_3.mp4"
    found = compare_videos(original, fake, judge=None).result
    assert (found.answer, found.forged) == ("different", "B")
    assert (found.log10_lr or 0) < 0 < (found.lost_detail or 0) * -1
    assert any("measured on" in one for one in found.warnings)
    other = compare_videos(original, faces / "real/vox_rdj.mp4", judge=None)
    assert other.result.answer == "other scene"
