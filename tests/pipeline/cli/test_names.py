"""A file name that is no UTF-8 goes through every command: written so that it reads back."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.datasets.digests import DigestCache
from data.datasets.index import index
from data.datasets.layouts import read_layout
from data.datasets.manifest import Manifest
from data.datasets.splits import SplitConfig
from data.faces.crops import read_frames
from data.io.tables import from_text, path_in, to_text
from data.video.encoding import encode
from data.video.frames import FrameRecipe
from features.extraction.engine import extract
from features.sequences.dataset import load_sequences
from features.store.feature_set import Features, publish
from features.store.store import FeatureStore
from pipeline.config import load_params
from pipeline.datasets.audit import audit
from pipeline.datasets.index import index_videos
from pipeline.extraction.inputs import make_jobs, named_videos
from pipeline.reporting.audit_page import render_audit
from tests.features.conftest import make_recipe
from tests.pipeline.cli.test_hostile import Projection

STRANGE = os.fsdecode(b"b\xff\xe9d")
"""What an old camera or a Latin-1 disk calls a file."""
NAMES = [STRANGE, "two\nlines", "a,b", "back\\slash", "\\udcff", "\\u005c", "é 日本", " x "]

ANY_NAME = st.text(max_size=20) | st.text("\\u0dcf5eab\udcff\udc80\udcfe", max_size=20)


@given(name=ANY_NAME)
def test_every_name_comes_back(name: str) -> None:
    text = to_text(name)
    text.encode()
    assert from_text(text) == name
    if name.isascii() and "\\u" not in name:
        assert text == name


@given(name=st.binary(min_size=1, max_size=12))
def test_every_name_of_a_file_comes_back(name: bytes) -> None:
    assert os.fsencode(from_text(to_text(os.fsdecode(name)))) == name


def test_half_a_surrogate_pair_that_is_no_byte_can_be_written() -> None:
    assert to_text("\ud800") == "\\ud800"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    draw = np.random.default_rng(0)
    encode(path, [draw.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(8)], fps=25)
    return path


@pytest.fixture
def folder(clip: Path, tmp_path: Path) -> Path:
    """real/ and fake/ with videos of odd names, each of other bytes."""
    for number, (label, name) in enumerate((x, n) for x in ("real", "fake") for n in NAMES):
        path = tmp_path / "set" / label / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip, path)
        with path.open("ab") as handle:
            handle.write(b"\0\0\0\x09free" + bytes([number]))
    return tmp_path / "set"


def test_index_extract_and_audit(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "manifest.csv"
    index_videos(folder, path, layout="auto", params=load_params(None), workers=2)
    manifest = Manifest.read(path, root=folder)
    wanted = {f"{label}/{name}.mp4" for label in ("real", "fake") for name in NAMES}
    assert {video.path for video in manifest.videos} == wanted
    assert all(manifest.resolve(video).is_file() for video in manifest.videos)
    path.read_bytes().decode("utf-8")
    assert "\\udcff\\udce9" in path.read_text("utf-8")

    recipe = make_recipe()
    frames = FrameRecipe(crop="full", count=4, size=32, minimum_frames=4)
    for source, root in ((path, folder), (folder, None)):
        jobs, failures = make_jobs(named_videos(source, root), DigestCache())
        assert failures == []
        out = tmp_path / f"features-{source.name}"
        with FeatureStore(tmp_path / "store", recipe, versions={}) as store:
            summary = extract(
                jobs, read=lambda file: read_frames(file, frames), encoder=Projection(),
                store=store, workers=2,
            )  # fmt: skip
            shards = {shard.path: shard for shard in store.shards.values()}
            publish(out, shards.values(), recipe, dim=8, failures=summary.failures, provenance={})
        assert summary.failures == []
        features = Features(out)
        assert len(features) == len(wanted)
    sequences = load_sequences(features, manifest.videos)
    assert set(sequences.paths) == wanted

    found = audit(manifest, hashes=False)
    render_audit(found, str(path)).encode()
    capsys.readouterr().out.encode()


def test_a_bad_video_of_a_strange_name_is_told(folder: Path) -> None:
    bad = folder / "real" / f"{STRANGE}.mp4"
    bad.write_bytes(b"")
    result = index(folder, split=SplitConfig(), workers=2)
    assert [one.path for one in result.failures] == ["real/b\\udcff\\udce9d.mp4"]


def test_a_table_names_it_as_a_manifest_does(folder: Path) -> None:
    rows = [("path", "label", "original")]
    rows += [(to_text(f"fake/{name}.mp4"), "fake", to_text(f"real/{name}.mp4")) for name in NAMES]
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows(rows)
    entries = read_layout(folder)[1].entries
    assert {(one.path, one.original) for one in entries} == {
        (f"fake/{name}.mp4", f"real/{name}.mp4".strip()) for name in NAMES
    }


def test_forge_takes_it(folder: Path, tmp_path: Path) -> None:
    from data.self_blending.dataset.sources import find_sources

    found = find_sources(folder, root=None, out=tmp_path / "out")
    assert {one.name for one in found.videos} == {f"real/{name}.mp4" for name in NAMES}
    assert found.failures == []


def test_windows_paths_of_a_manifest(folder: Path) -> None:
    (folder / "real" / "plain.mp4").write_bytes(b"x")
    assert path_in("real\\plain.mp4", folder) == "real/plain.mp4"
    assert path_in("real\\back\\slash.mp4", folder) == "real\\back\\slash.mp4"
    assert path_in("real/back\\slash.mp4", folder) == "real/back\\slash.mp4"


def test_no_folder_speaks_to_the_terminal(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    """The manifest's own folder may be a stranger's, unpacked from an archive."""
    root = tmp_path / "\x1b[31m\n"
    for label in ("real", "fake"):
        (root / label).mkdir(parents=True)
        for number in range(3):
            shade = np.full((48, 64, 3), 60 * number + 20 * (label == "fake"), np.uint8)
            encode(root / label / f"person_{number}.mp4", [shade] * 8, fps=25)
    for number in range(11):
        (root / "real" / f"{number}.mp4").write_text("no video")
    shown = run("index", root, "--workers", "1").output
    assert "manifest.failures.csv" in shown
    assert "\x1b" not in shown
