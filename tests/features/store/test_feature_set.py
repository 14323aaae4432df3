"""Published folders: whole or not at all, and every kind of damage is told."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import InputError, OutputError, StoreError
from features.store.feature_set import FAILURES, INDEX, Failure, Features, publish, write_failures
from features.store.key import Recipe
from features.store.preamble import read_preamble
from features.store.shard import Shard
from features.store.store import FeatureStore
from features.store.verify import verify
from tests.features.conftest import digest_of, make_recipe, make_sequence

NAMES = [f"video-{number}" for number in range(6)]
FAILED = Failure(path="bad.mp4", failure="no_face", message="no face", stderr_tail="a\nb")


def fill(root: Path, recipe: Recipe, names: list[str] = NAMES) -> list[Shard]:
    with FeatureStore(root, recipe, versions={"ffmpeg": "7"}, shard_bytes=300) as store:
        store.begin([make_sequence(name, recipe).key for name in names])
        for name in names:
            if not store.has(make_sequence(name, recipe).key):
                store.stage(make_sequence(name, recipe))
        store.finish()
        return list({shard.path: shard for shard in store.shards.values()}.values())


def publish_to(out: Path, shards: list[Shard], **changes: Any) -> Path:
    options: dict[str, Any] = {"dim": 5, "failures": [FAILED], "provenance": {"trained_on": {}}}
    publish(out, shards, make_recipe(), **(options | changes))
    return out


@pytest.fixture
def published(tmp_path: Path, recipe: Recipe) -> Path:
    return publish_to(tmp_path / "features", fill(tmp_path / "store", recipe))


def test_every_sequence_can_be_read_back(published: Path, recipe: Recipe) -> None:
    features = Features(published)
    assert len(features) == len(NAMES)
    assert (features.recipe, features.dim) == (recipe, 5)
    assert features.provenance == {"trained_on": {}}
    assert set(features.sha256s) == set(map(digest_of, NAMES))
    for name in NAMES:
        assert digest_of(name) in features
        assert features.sequence(digest_of(name)).crc32() == make_sequence(name, recipe).crc32()
    assert digest_of("other") not in features
    with pytest.raises(InputError, match="has no features of the video"):
        features.sequence(digest_of("other"))
    assert features.failures() == [
        {"path": "bad.mp4", "class": "no_face", "message": "no face", "stderr": "a\nb"}
    ]
    assert verify(published) == []


def test_videos_of_other_runs_in_a_shared_shard_are_not_shown(
    tmp_path: Path, recipe: Recipe
) -> None:
    asked = [digest_of(NAMES[0]), digest_of("failed")]
    folder = publish_to(tmp_path / "some", fill(tmp_path / "store", recipe), sha256s=asked)
    features = Features(folder)
    assert features.sha256s == (digest_of(NAMES[0]),)
    assert digest_of(NAMES[1]) not in features
    assert verify(folder) == []


def test_shards_are_linked_not_copied(published: Path, tmp_path: Path) -> None:
    for path in published.glob("*.h5"):
        (original,) = (tmp_path / "store").glob(f"*/shards/{path.name}")
        assert path.samefile(original)
    shutil.rmtree(tmp_path / "store")
    assert verify(published) == []


def test_where_links_fail_shards_are_copied(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    out = publish_to(tmp_path / "features", fill(tmp_path / "store", recipe))
    assert verify(out) == []
    assert {path.stat().st_nlink for path in out.glob("*.h5")} == {1}


def test_the_same_features_are_published_as_the_same_bytes(published: Path, recipe: Recipe) -> None:
    other = publish_to(published.with_name("other"), fill(published.parent / "again", recipe))
    for path in published.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_publishing_anew_replaces_the_old_one(published: Path, recipe: Recipe) -> None:
    shards = fill(published.parent / "store", recipe, [*NAMES, "one more"])
    before = {path.name for path in published.glob("*.h5")}
    publish_to(published, shards, failures=[])
    assert len(Features(published)) == len(NAMES) + 1
    assert before < {path.name for path in published.glob("*.h5")}
    assert Features(published).failures() == []
    assert {path.name for path in published.parent.iterdir()} == {"store", "features"}


def test_a_failing_publication_leaves_the_old_one(published: Path, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device"):
        publish_to(published, [], attach=fail)
    assert len(Features(published)) == len(NAMES)
    assert verify(published) == []
    assert {path.name for path in tmp_path.iterdir()} == {"store", "features"}


def test_what_belongs_there_too_is_attached(published: Path) -> None:
    publish_to(published, [], attach=lambda folder: (folder / "more").mkdir())
    assert (published / "more").is_dir()


def test_no_features_at_all_can_be_published(tmp_path: Path) -> None:
    features = Features(publish_to(tmp_path / "features", []))
    assert (len(features), features.sha256s, features.shards) == (0, (), [])
    assert verify(features.folder) == []


def edit(path: Path, change: Callable[[bytearray], Any]) -> None:
    """Changes a file that may be read-only, without touching what it is linked to."""
    data = bytearray(path.read_bytes())
    changed = change(data)
    path.unlink()
    path.write_bytes(data if changed is None else changed)


def flip(at: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        data[at] ^= 1

    return change


def kinds(folder: Path) -> list[tuple[str, str]]:
    return [(problem.file, problem.problem) for problem in verify(folder)]


@pytest.mark.parametrize("name", ["features", "timestamps_seconds", "boxes", "face_found"])
def test_verify_tells_which_video_a_flipped_byte_hit(published: Path, name: str) -> None:
    path = sorted(published.glob("*.h5"))[0]
    edit(path, flip(read_preamble(path).rows[name][0]))
    changed, hit = verify(published)
    assert (changed.file, changed.problem) == (path.name, "changed")
    assert (hit.file, hit.problem) == (path.name, "sequence")
    assert Shard(path).paths[0] in hit.message


@pytest.mark.parametrize("at", [3, 100, 500, 520, 1500, -1])
def test_verify_finds_a_flipped_byte_of_the_header(published: Path, at: int) -> None:
    path = sorted(published.glob("*.h5"))[0]
    edit(path, flip(at))
    assert kinds(published) == [(path.name, "changed"), (path.name, "damaged")]
    with pytest.raises(StoreError):
        Features(published)


def test_verify_finds_truncation_absence_and_strangers(published: Path) -> None:
    cut, gone, *_ = sorted(published.glob("*.h5"))
    edit(cut, lambda data: data[:-5])
    gone.unlink()
    shutil.copy(cut, published / "stray.h5")
    (published / FAILURES).unlink()
    assert sorted(kinds(published)) == sorted(
        [
            (cut.name, "changed"),
            (cut.name, "damaged"),
            (gone.name, "missing"),
            ("stray.h5", "unlisted"),
            (FAILURES, "missing"),
        ]
    )
    with pytest.raises(StoreError):
        Features(published)
    edit(published / INDEX, lambda data: bytes(data))
    cut.unlink()
    with pytest.raises(StoreError, match="is missing; extract again, finished videos are reused"):
        Features(published)


def test_verify_finds_a_shard_of_another_recipe_and_of_a_later_version(
    published: Path, tmp_path: Path
) -> None:
    one, two, *_ = sorted(published.glob("*.h5"))
    other = fill(tmp_path / "other", make_recipe(backbone_digest="cd" * 32))[0].path
    one.unlink()
    shutil.copy(other, one)
    edit(two, lambda data: data.replace(b'"version":1', b'"version":2', 1))
    assert kinds(published) == [
        (one.name, "changed"),
        (one.name, "foreign"),
        (two.name, "changed"),
        (two.name, "later"),
    ]
    with pytest.raises(StoreError, match="of another recipe"):
        Features(published)


def test_every_flipped_byte_of_the_index_is_found(published: Path) -> None:
    path = published / INDEX
    whole = path.read_bytes()
    facts = json.loads(whole)
    for at in range(0, len(whole), 3):
        data = bytearray(whole)
        data[at] ^= 1
        path.write_bytes(data)
        try:
            same = json.loads(data) == facts  # white space
        except ValueError:
            same = False
        assert bool(kinds(published)) != same, (at, whole[at])


def test_verify_finds_changed_failures(published: Path) -> None:
    edit(published / FAILURES, flip(30))
    assert kinds(published) == [(FAILURES, "changed")]


def test_verify_reads_a_working_store(tmp_path: Path, recipe: Recipe) -> None:
    store = tmp_path / "store"
    fill(store, recipe)
    with FeatureStore(store, recipe, versions={}) as opened:
        opened.stage(make_sequence("staged", recipe))
        folder = opened.folder
    assert verify(store) == verify(folder) == []
    (staged,) = folder.glob("staging/*")
    edit(staged, flip(2113))
    (problem,) = verify(store)
    assert (problem.file, problem.problem) == (str(staged.relative_to(store)), "sequence")
    assert verify(folder)[0].file == str(staged.relative_to(folder))


def test_what_is_no_folder_of_features_is_refused(tmp_path: Path) -> None:
    for read in (verify, Features):
        with pytest.raises(InputError):
            read(tmp_path)
        with pytest.raises(InputError):
            read(tmp_path / "none")


def test_a_later_index_is_refused_with_advice(published: Path) -> None:
    path = published / INDEX
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(StoreError, match="use a later unmask"):
        Features(published)


def test_an_index_cannot_point_out_of_its_folder(published: Path, tmp_path: Path) -> None:
    from features.store.feature_set import _facts_sha256

    facts = json.loads((published / INDEX).read_text())
    del facts["sha256"]
    facts["shards"][0]["file"] = "../store/x.h5"
    facts["sha256"] = _facts_sha256(facts)
    (published / INDEX).write_text(json.dumps(facts))
    with pytest.raises(StoreError, match="outside its folder"):
        Features(published)


TEXT = st.text(st.characters(exclude_characters="\r"), max_size=30)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=5))
@settings(max_examples=50, deadline=None)
def test_failures_survive_any_text(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    path = tmp_path_factory.mktemp("failures") / FAILURES
    failures = [Failure(path=a, failure="timeout", message=b, stderr_tail=c) for a, b, c in rows]
    write_failures(path, failures)
    with path.open(encoding="utf-8", newline="") as handle:
        got = [(row["path"], row["message"], row["stderr"]) for row in csv.DictReader(handle)]
    escaped = [
        tuple(text.encode("utf-8", "backslashreplace").decode() for text in row)
        for row in sorted(rows, key=lambda row: row[0])
    ]
    assert got == escaped


def test_a_carriage_return_stays_in_its_row(tmp_path: Path) -> None:
    failures = [Failure(path="a\rb.mp4", failure="timeout", message="x", stderr_tail="y\rz")]
    write_failures(tmp_path / FAILURES, failures)
    with (tmp_path / FAILURES).open(encoding="utf-8", newline="") as handle:
        assert [row["path"] for row in csv.DictReader(handle)] == ["a\\rb.mp4"]


def test_the_same_failure_is_the_same_bytes(tmp_path: Path) -> None:
    for address in ("0x7f8ec0162040", "0x55d0c0"):
        tail = f"[mov,mp4 @ {address}] moov atom not found"
        failure = Failure(path="a", failure="unreadable", message="m", stderr_tail=tail)
        write_failures(tmp_path / address, [failure])
    (text,) = {path.read_text() for path in tmp_path.iterdir()}
    assert "[mov,mp4] moov atom not found" in text


def test_opening_reads_no_rows(published: Path) -> None:
    """The rows of a large store are mapped when they are asked for, not before."""
    features = Features(published)
    assert all("rows" not in vars(shard) for shard in features.shards)
    assert isinstance(features.sequence(digest_of(NAMES[0])).features, np.ndarray)
