"""Videos in, sequences in the store: right rows to the right video, whatever goes wrong."""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import OutputError, StoreError
from data.faces.crops import Frames
from features.extraction.batches import Batcher
from features.extraction.engine import embed_videos, extract
from features.extraction.job import Job
from features.extraction.readers import Readers
from features.extraction.summary import ExtractSummary
from features.store.key import Recipe, sequence_key
from features.store.store import FeatureStore
from features.store.verify import verify
from tests.features.conftest import (
    FakeEncoder,
    digest_of,
    encoded,
    make_job,
    make_recipe,
    read_fake,
)

NAMES = [f"video-{number:02d}" for number in range(20)]


def run(root: Path, names: list[str], recipe: Recipe | None = None, **changes: Any) -> Any:
    """Extracts made-up videos; returns the summary and the sealed features by name."""
    recipe = recipe or make_recipe()
    options: dict[str, Any] = {
        "read": read_fake,
        "encoder": FakeEncoder(),
        "workers": 2,
        "show_progress": False,
    }
    with FeatureStore(root, recipe, versions={"test": "1"}, shard_bytes=400) as store:
        summary = extract([make_job(name) for name in names], store=store, **(options | changes))
        found = {}
        for name in names:
            key = sequence_key(digest_of(name), recipe)
            if key in store.shards:
                shard = store.shards[key]
                found[name] = np.array(shard.sequence(shard.keys.index(key)).features)
    return summary, found


def shard_names(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("*/shards/*"))


def test_every_video_gets_its_own_rows(tmp_path: Path) -> None:
    summary, found = run(tmp_path, NAMES)
    expected = encoded(NAMES)
    assert found.keys() == expected.keys()
    for name, features in expected.items():
        np.testing.assert_array_equal(found[name], features.astype(np.float16))
    assert summary.done == len(NAMES)
    assert summary.frames == sum(map(len, expected.values()))
    assert summary.video_seconds == 2.0 * len(NAMES)
    assert summary.size_bytes > 0


@given(st.lists(st.integers(1, 30), max_size=12), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_batches_give_rows_back_in_order(lengths: list[int], batch_size: int) -> None:
    class Counting:
        digest, dim = "", 1

        def __init__(self) -> None:
            self.batch_size = batch_size

        def __call__(self, frames: Any) -> Any:
            assert len(frames) == batch_size
            return frames.reshape(batch_size, -1)[:, :1].astype(np.float32)

    batcher: Batcher[int] = Batcher(Counting())
    got: dict[int, list[float]] = {}
    pixels = [np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1) + i for i, n in enumerate(lengths)]
    for number, one in enumerate(pixels):
        got |= {tag: rows[:, 0].tolist() for tag, rows in batcher.add(number, one)}
    got |= {tag: rows[:, 0].tolist() for tag, rows in batcher.flush()}
    assert got == {i: one.ravel().tolist() for i, one in enumerate(pixels)}


def test_second_run_reads_nothing(tmp_path: Path) -> None:
    run(tmp_path, NAMES)
    before = shard_names(tmp_path)

    def never(path: Path) -> Frames:
        raise AssertionError(f"{path} was read again")

    summary, _ = run(tmp_path, NAMES, read=never)
    assert (summary.done, summary.reused, summary.failures) == (0, len(NAMES), [])
    assert shard_names(tmp_path) == before


def test_more_videos_leave_old_shards_alone(tmp_path: Path) -> None:
    run(tmp_path, NAMES[::2])
    before = shard_names(tmp_path)
    summary, _ = run(tmp_path, NAMES)
    assert (summary.done, summary.reused) == (10, 10)
    assert set(before) < set(shard_names(tmp_path))


def test_equal_bytes_under_two_names_are_read_once(tmp_path: Path) -> None:
    reads: list[str] = []

    def read(path: Path) -> Frames:
        reads.append(path.name)
        return read_fake(path)

    jobs = [make_job("one"), make_job("two", same_as="one"), make_job("bad"), make_job("three")]
    jobs.append(make_job("bad again", same_as="bad"))
    with FeatureStore(tmp_path, make_recipe(), versions={}) as store:
        summary = extract(jobs, read=read, encoder=FakeEncoder(), store=store, workers=2)
    assert sorted(reads) == ["bad", "one", "three"]
    assert (summary.done, summary.reused) == (2, 1)
    # Both names must be in failures.csv, or an analyst would look for the second in vain.
    assert [failure.path for failure in summary.failures] == ["bad", "bad again"]


def test_failures_are_rows_and_are_tried_again(tmp_path: Path) -> None:
    names = ["a", "bad-1", "b", "bad-2"]
    summary, found = run(tmp_path, names)
    assert set(found) == {"a", "b"}
    assert summary.failed_by_class == {"no_face": 2}
    assert {failure.path for failure in summary.failures} == {"bad-1", "bad-2"}
    assert summary.failures[0].stderr_tail == "last words"
    again, _ = run(tmp_path, names)
    assert (again.done, again.reused, len(again.failures)) == (0, 2, 2)


def test_videos_that_change_their_size_are_named(tmp_path: Path) -> None:
    summary, _ = run(tmp_path, ["a", "resized-b", "resized-c", "bad-resized"])
    assert sorted(summary.resized) == ["resized-b", "resized-c"]
    again, _ = run(tmp_path, ["a", "resized-b"])
    assert again.resized == []  # nothing was read


def test_all_videos_failing_is_no_crash(tmp_path: Path) -> None:
    summary, found = run(tmp_path, ["bad"])
    assert (summary.done, found, shard_names(tmp_path)) == (0, {}, [])


def test_nothing_to_do(tmp_path: Path) -> None:
    summary, _ = run(tmp_path, [])
    assert isinstance(summary, ExtractSummary)
    assert summary.done == 0


def staged_or_sealed(root: Path) -> int:
    recipe = make_recipe()
    with FeatureStore(root, recipe, versions={}) as store:
        return sum(store.has(sequence_key(digest_of(name), recipe)) for name in NAMES)


def test_a_bug_in_reading_ends_the_run_and_keeps_what_is_finished(tmp_path: Path) -> None:
    def read(path: Path) -> Frames:
        if path.name == NAMES[-1]:
            raise ZeroDivisionError("a bug")
        return read_fake(path)

    with pytest.raises(ZeroDivisionError) as caught:
        run(tmp_path, NAMES, read=read, workers=1)
    assert caught.value.__notes__ == [f"while reading {NAMES[-1]}"]
    assert staged_or_sealed(tmp_path) > 10
    assert not [one for one in threading.enumerate() if one.name.startswith("reader")]
    run(tmp_path, NAMES)
    run(tmp_path / "undisturbed", NAMES)
    assert shard_names(tmp_path) == shard_names(tmp_path / "undisturbed")


@pytest.mark.parametrize("at", [1, 3, 8, 12])
def test_ctrl_c_keeps_what_is_finished_and_the_next_run_ends_the_same(
    tmp_path: Path, at: int
) -> None:
    def interrupt(call: int) -> None:
        if call == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, NAMES, encoder=FakeEncoder(interrupt))
    assert not [one for one in threading.enumerate() if one.name.startswith("reader")]
    before = staged_or_sealed(tmp_path)
    summary, _ = run(tmp_path, NAMES)
    assert summary.reused == before
    run(tmp_path / "undisturbed", NAMES)
    assert shard_names(tmp_path) == shard_names(tmp_path / "undisturbed")
    assert verify(tmp_path) == []


def test_shards_do_not_depend_on_which_video_is_ready_first(tmp_path: Path) -> None:
    def slow_first(path: Path) -> Frames:
        time.sleep(0.2 if path.name == NAMES[0] else 0.001)
        return read_fake(path)

    run(tmp_path / "a", NAMES, read=slow_first, workers=4)
    run(tmp_path / "b", NAMES, workers=1)
    assert shard_names(tmp_path / "a") == shard_names(tmp_path / "b")
    assert len(shard_names(tmp_path / "a")) > 3


@pytest.mark.parametrize(("value", "told"), [(1e6, "1e+06"), (np.nan, "nan"), (np.inf, "inf")])
def test_what_float16_cannot_hold_is_an_error_that_names_the_video(
    tmp_path: Path, value: float, told: str
) -> None:
    class Wild(FakeEncoder):
        def __call__(self, frames: Any) -> Any:
            return np.full((self.batch_size, self.dim), value, np.float32)

    with pytest.raises(StoreError, match=rf"video-0\d.*{told}".replace("+", r"\+")):
        run(tmp_path, NAMES, encoder=Wild())
    assert verify(tmp_path) == []


def test_float32_holds_what_float16_cannot(tmp_path: Path) -> None:
    class Large(FakeEncoder):
        def __call__(self, frames: Any) -> Any:
            return np.full((self.batch_size, self.dim), 1e6, np.float32)

    _, found = run(tmp_path, ["a"], make_recipe(dtype="float32"), encoder=Large())
    assert found["a"].dtype == np.float32
    assert (found["a"] == 1e6).all()


def test_an_encoder_of_other_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="encoder must be"):
        run(tmp_path, NAMES, make_recipe(backbone_digest="cd" * 32))


def test_a_full_disk_while_staging_is_told_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import features.store.store

    real, calls = features.store.store.write_shard, []

    def write(*arguments: Any, **named: Any) -> None:
        calls.append(1)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        real(*arguments, **named)

    monkeypatch.setattr(features.store.store, "write_shard", write)
    with pytest.raises(OutputError, match="No space left on device; free some space"):
        run(tmp_path, NAMES)
    monkeypatch.undo()
    assert verify(tmp_path) == []
    summary, _ = run(tmp_path, NAMES)
    assert summary.done + summary.reused == len(NAMES)


def test_readers_stay_within_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def reading(job: Job) -> tuple[Frames, ...]:
        read.append(job.name)
        return (read_fake(job.path),)

    jobs = [make_job(name) for name in NAMES]
    readers = Readers(jobs, reading, workers=2)
    try:
        time.sleep(0.2)
        assert len(read) == 4  # two wait, and two in the readers' hands
        next(iter(readers.outcomes()))
        time.sleep(0.1)
        assert len(read) == 5
    finally:
        readers.stop()

    monkeypatch.setattr("features.extraction.readers.AHEAD_BYTES", 1)
    read.clear()
    readers = Readers(jobs, reading, workers=3)
    try:
        time.sleep(0.2)
        assert len(read) == 4  # a video larger than the bound waits alone
        assert len(list(readers.outcomes())) == len(jobs)
    finally:
        readers.stop()


def test_stopping_does_not_wait_for_a_stuck_video(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.extraction.readers.STOP_SECONDS", 0.1)
    stuck = threading.Event()

    def read(path: Path) -> Frames:
        if path.name == "stuck":
            stuck.wait(20)
        return read_fake(path)

    results = embed_videos(
        [make_job("stuck"), *map(make_job, NAMES)], read=read, encoder=FakeEncoder(), workers=2
    )
    next(results)
    clock = time.monotonic()
    results.close()
    assert time.monotonic() - clock < 2
    stuck.set()


def test_no_bar_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "unmask")
    run(tmp_path, NAMES, show_progress=True)
    assert capsys.readouterr().err == ""


def test_the_bar_counts_seconds_of_video(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "unmask")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run(tmp_path / "quiet", NAMES, show_progress=False)
    assert capsys.readouterr().err == ""
    run(tmp_path, NAMES, show_progress=True)
    assert "40/40 s of video" in capsys.readouterr().err
