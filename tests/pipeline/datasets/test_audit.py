"""The audit catches planted leaks, and only those."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.datasets.manifest import Manifest
from data.datasets.near_duplicates import video_hash
from data.faces.crops import read_frames
from data.video.encoding import encode
from data.video.frames import FrameRecipe
from pipeline.datasets.audit import audit


def recode(source: Path, target: Path, *, side: int, crf: int) -> None:
    """The middle of the same pictures in another size and quality."""
    pixels = read_frames(source, FrameRecipe(count=400, size=side, crop="full")).pixels
    encode(target, iter(pixels), fps=25, crf=crf)


@pytest.fixture
def manifest(world) -> Manifest:
    return Manifest.read(world.manifest, root=world.demo)


def test_the_demo_has_no_leak(manifest):
    found = audit(manifest)
    assert found.straddling == []
    assert found.lookalikes == []
    assert found.unhashed == 0


def test_a_person_on_two_sides_is_caught(manifest):
    train = next(video for video in manifest.videos if video.split == "train")
    moved = replace(train, split="test")
    rest = tuple(video for video in manifest.videos if video.path != train.path)
    found = audit(replace(manifest, videos=(*rest, moved)), hashes=False)
    assert ("person", train.group) in {(row["what"], row["name"]) for row in found.straddling}
    assert any("on two sides" in line for line in found.warnings)


def test_a_source_and_an_original_on_two_sides_are_caught(manifest):
    videos = [replace(v, source="ann" if n in (0, 1) else "") for n, v in enumerate(
        sorted(manifest.videos, key=lambda v: v.split))]  # fmt: skip
    videos[-1] = replace(videos[-1], source="ann", original="x.mp4")
    videos[0] = replace(videos[0], original="x.mp4")
    found = audit(replace(manifest, videos=tuple(videos)), hashes=False)
    assert {("person", "ann"), ("original", "x.mp4")} <= {
        (row["what"], row["name"]) for row in found.straddling
    }


def test_a_recoded_copy_on_two_sides_is_caught(manifest, world, tmp_path):
    train = next(v for v in manifest.videos if v.split == "train" and v.label == 0)
    # The copy is of other bytes, of half the size, and squeezed harder.
    recode(world.demo / train.path, tmp_path / "one.mp4", side=120, crf=20)
    recode(tmp_path / "one.mp4", tmp_path / "two.mp4", side=60, crf=30)
    rows = [
        replace(train, path="one.mp4", sha256="1" * 64),
        replace(train, path="two.mp4", sha256="2" * 64, split="test", group="someone else"),
    ]
    found = audit(replace(manifest, root=tmp_path, videos=tuple(rows)))
    assert [row["what"] for row in found.straddling] == ["near-duplicate"]
    assert [(row["a"], row["b"]) for row in found.lookalikes] == [("one.mp4", "two.mp4")]
    assert any("near-duplicates" in line for line in found.warnings)


def test_index_groups_near_duplicates_by_option(run, world, tmp_path):
    for kind, names in (("real", ("ann", "bob")), ("fake", ("cat", "dan"))):
        (tmp_path / "v" / kind).mkdir(parents=True)
        for person, name in enumerate(names):
            source = world.demo / kind / f"person_00{person}.mp4"
            (tmp_path / "v" / kind / f"{name}.mp4").write_bytes(source.read_bytes())
    source = world.demo / "real" / "person_000.mp4"
    recode(source, tmp_path / "v" / "real" / "ann.mp4", side=120, crf=20)
    recode(source, tmp_path / "v" / "real" / "eve.mp4", side=120, crf=38)
    groups = []
    for options in ((), ("--near-duplicates",)):
        run("index", tmp_path / "v", "-o", tmp_path / "m.csv", *options)
        with (tmp_path / "m.csv").open() as handle:
            rows = {row["path"]: row["group"] for row in csv.DictReader(handle)}
        groups.append(rows)
    assert len(set(groups[0].values())) == 5
    assert len(set(groups[1].values())) == 4
    assert groups[1]["real/ann.mp4"] == groups[1]["real/eve.mp4"]


def test_a_giveaway_in_the_metadata_is_caught(manifest):
    draw = np.random.default_rng(0)
    videos = tuple(
        replace(v, bit_rate=int(90_000 + 30_000 * v.label + draw.normal(0, 5000)))
        for v in manifest.videos
    )
    found = audit(replace(manifest, videos=videos), hashes=False)
    rows = {row["what"]: row for row in found.metadata}
    assert rows["bit rate"]["auc"] > 0.95
    assert rows["all, logistic regression"]["auc"] > 0.9
    assert any("metadata predict the label" in line for line in found.warnings)


def test_the_command_prints_json_writes_a_page_and_can_be_strict(world, run, tmp_path):
    command = ("audit", world.manifest, "--root", world.demo, "-o", tmp_path / "a.html")
    facts = json.loads(run(*command, "--json", "--strict").stdout)
    assert facts["videos"] == 24
    page = (tmp_path / "a.html").read_text()
    assert "<svg" in page
    assert "://" not in page
    text = world.manifest.read_text().splitlines()
    row = next(n for n, line in enumerate(text) if ",train," in line)
    text[row] = text[row].replace(",train,", ",test,")
    (tmp_path / "leaky.csv").write_text("\n".join(text) + "\n")
    run("audit", tmp_path / "leaky.csv", "--root", world.demo, "--no-hashes", "--strict", code=10)
    assert "on two sides" in run("audit", tmp_path / "leaky.csv", "--no-hashes").output


def test_a_hash_is_of_the_pictures(world):
    one, other = (video_hash(world.demo / "real" / f"person_00{n}.mp4") for n in range(2))
    assert one.shape == (8, 3)
    assert np.bitwise_count(one ^ other).sum() > 0.15 * 8 * 143
