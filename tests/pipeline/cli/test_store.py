"""`unmask store`: each kind of damage found and repaired; garbage collection, diff, inspect."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from features.store.preamble import read_preamble
from features.store.shard import Shard
from features.store.store import FeatureStore
from tests.features.conftest import make_recipe, make_sequence
from tests.features.stores import NAMES, damage, fill_store, publish_to, sealed
from tests.pipeline.conftest import Run

STORE = Path(".unmask/store")
FROZEN = make_recipe()
TUNED = make_recipe(backbone="tuned", backbone_digest="cd" * 32)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store, and features of two recipes."""
    monkeypatch.chdir(tmp_path)
    for name, recipe in (("frozen", FROZEN), ("tuned", TUNED)):
        publish_to(Path(name), fill_store(STORE, recipe, shard_bytes=600), recipe)
    return tmp_path


def flip(name: str) -> Callable[[Path], None]:
    return lambda path: damage(path, read_preamble(path).rows[name][0], linked=True)


def flip_offsets(path: Path) -> None:
    offsets = Shard(path).offsets.tobytes()
    damage(path, path.read_bytes().index(offsets) + 8, linked=True)


def of_another_recipe(path: Path) -> None:
    other = next(one for one in sealed(STORE) if Shard(one).recipe == TUNED)
    path.unlink()
    shutil.copy(other, path)


def of_a_later_version(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data.replace(b'"version":1', b'"version":9', 1))


DAMAGES: dict[str, tuple[Callable[[Path], None], str, bool]] = {
    "data": (flip("features"), "sequence", True),
    "times": (flip("timestamps_seconds"), "sequence", True),
    "offsets": (flip_offsets, "damaged", True),
    "preamble": (lambda path: damage(path, 40, linked=True), "damaged", True),
    "header": (lambda path: damage(path, 600, linked=True), "damaged", True),
    "truncation": (lambda path: damage(path, cut=-9, linked=True), "damaged", True),
    "empty": (lambda path: damage(path, cut=0, linked=True), "damaged", True),
    "missing": (Path.unlink, "missing", True),
    "foreign": (of_another_recipe, "foreign", False),
    "later": (of_a_later_version, "later", False),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found_mended_and_made_good(run: Run, name: str) -> None:
    do, problem, ours = DAMAGES[name]
    path = max(Path("frozen").glob("*.h5"), key=lambda one: len(Shard(one)))
    do(path)
    result = run("store", "verify", "frozen", code=5)
    assert f"{path.name}: {problem}: " in result.output
    assert ("`unmask store repair frozen`" in result.stderr) == ours
    if not ours:
        run("store", "repair", "frozen", code=5)
        return
    planned = json.loads(run("store", "repair", "frozen", "--dry-run", "--json").stdout)
    run("store", "verify", "frozen", code=5)
    told = json.loads(run("store", "repair", "frozen", "--json").stdout)
    assert (planned["to_extract"], told["dry_run"]) == (told["to_extract"], False)
    run("store", "verify", "frozen")
    assert "nothing to repair" in run("store", "repair", "frozen").output
    for other in told["also_in"]:
        run("store", "repair", other)
    run("store", "verify", STORE)
    # And `extract` embeds what is missing, no more.
    with FeatureStore(STORE, FROZEN, versions={}) as store:
        lost = [one for one in NAMES if not store.has(make_sequence(one, FROZEN).key)]
    assert len(lost) <= len(NAMES) - 1
    assert {one["path"] for one in told["to_extract"]} <= {f"videos/{one}.mp4" for one in lost}
    publish_to(Path("frozen"), fill_store(STORE, FROZEN, shard_bytes=600), FROZEN)
    assert "no damage" in run("store", "verify", "frozen").output
    assert "no damage" in run("store", "verify", STORE).output


def test_repair_says_what_it_did_and_what_to_type_next(run: Run) -> None:
    path = max(Path("frozen").glob("*.h5"), key=lambda one: len(Shard(one)))
    hit = Shard(path).sequence(0)
    flip("features")(path)
    told = run("store", "repair", "frozen").output
    assert f"to extract: {hit.path}  {hit.sha256}" in told
    assert "rescued, " in told
    part = STORE / FROZEN.digest[:16]
    assert f"next: unmask store repair {part}" in told
    assert "next: unmask extract" in told


def test_repair_refuses_what_is_neither(run: Run) -> None:
    Path("empty").mkdir()
    assert "neither" in run("store", "repair", "empty", code=3).stderr
    run("store", "repair", "none", code=3)


def test_gc_shows_asks_and_removes(run: Run) -> None:
    shutil.rmtree("tuned")
    part = STORE / TUNED.digest[:16]
    shown = run("store", "gc", "--dry-run").output
    assert "stays whole: frozen" in shown
    assert "12 videos" in shown
    assert "nothing was changed" in shown
    assert "--yes" in run("store", "gc", code=8).stderr  # nobody is there to ask
    assert part.exists()
    facts = json.loads(run("store", "gc", "--json", "--dry-run").stdout)
    assert facts["keep"] == ["frozen"]
    assert {one["reason"] for one in facts["waste"]} == {"unused"}
    assert facts["size_bytes"] == sum(path.stat().st_size for path in part.glob("shards/*"))
    assert "removed" in run("store", "gc", "--yes").output
    assert not part.exists()
    assert "nothing to remove" in run("store", "gc").output
    run("store", "verify", "frozen")


@pytest.mark.parametrize(("answer", "removed"), [("y", True), ("", False), ("n", False)])
def test_gc_obeys_the_answer(
    run: Run, monkeypatch: pytest.MonkeyPatch, answer: str, removed: bool
) -> None:
    shutil.rmtree("tuned")
    monkeypatch.setattr("builtins.input", lambda _: answer)
    monkeypatch.setattr("pipeline.cli.upkeep.store._on_terminal", lambda: True)
    run("store", "gc")
    assert (STORE / TUNED.digest[:16]).exists() != removed


def test_gc_keeps_what_it_is_told_and_what_is_linked(run: Run) -> None:
    told = run("store", "gc", "--keep", "frozen", "--yes").output
    assert "other hard links" in told
    assert "nothing to remove" in told
    run("store", "gc", "--keep", "frozen", "--yes", "--drop-linked")
    assert not (STORE / TUNED.digest[:16]).exists()
    run("store", "verify", "tuned")


def test_gc_without_any_folder_to_go_by_removes_nothing(run: Run, tmp_path: Path) -> None:
    for name in ("frozen", "tuned"):
        shutil.rmtree(name)
    assert "--keep" in run("store", "gc", "--yes", code=3).stderr
    assert len(sealed(STORE)) > 0


def test_who_is_writing_is_not_disturbed(run: Run) -> None:
    flip("features")(sealed(STORE)[0])
    with FeatureStore(STORE, FROZEN, versions={}):
        for command in (("gc", "--yes"), ("repair", STORE)):
            assert "is writing to" in run("store", *command, code=11).stderr
        run("store", "gc", "--dry-run")


def test_diff_compares_and_its_json_is_json(run: Run) -> None:
    told = run("store", "diff", "frozen", "tuned", "--most", "2").output
    assert "12 videos in both, 0 only in frozen, 0 only in tuned" in told
    assert "recipe backbone: fake | tuned" in told
    assert told.count("videos/video-") == 2
    facts = json.loads(run("store", "diff", "frozen", "tuned", "--json").stdout)
    assert facts["common"] == len(facts["changes"]) == 12
    assert facts["summary"]["mean_cosine"]["mean"] == 1.0
    run("store", "diff", "frozen", "none", code=3)


def test_inspect_counts_dimension_by_dimension(run: Run) -> None:
    facts = json.loads(run("store", "inspect", "frozen", "--json").stdout)
    assert (facts["videos"], facts["dim"], facts["backbone"]) == (12, 5, "fake")
    assert facts["dimensions"]["dead_dimensions"] == 0
    assert facts["dimensions"]["mean"]["min"] <= facts["mean"] <= facts["dimensions"]["mean"]["max"]
    assert facts["versions"] == {"ffmpeg": "7"}
    rows = [make_sequence(name, FROZEN).features for name in NAMES]
    each = facts["each_dimension"]
    assert each["mean"] == pytest.approx(np.concatenate(rows).mean(0, np.float64))
    assert each["largest"] == np.concatenate(rows).max(0).tolist()
    told = run("store", "inspect", "frozen").output
    assert "dead_dimensions" in told
    assert "each_dimension" not in told


def test_inspect_reads_a_working_store(run: Run) -> None:
    with FeatureStore(STORE, FROZEN, versions={}) as store:
        store.stage(make_sequence("staged", FROZEN))
    damage(sealed(STORE)[0], 600)
    facts = json.loads(run("store", "inspect", STORE, "--json").stdout)
    assert len(facts["recipes"]) == 2
    by_name = {one["backbone"]: one for one in facts["recipes"]}
    assert by_name["tuned"]["videos"] + by_name["fake"]["videos"] == facts["videos"] < 24
    assert (by_name["fake"]["staged videos"], by_name["fake"]["unreadable shards"]) == (1, 1)
    assert "unreadable shards   1" in run("store", "inspect", STORE).output
