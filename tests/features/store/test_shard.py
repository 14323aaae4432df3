"""The shard's format: what goes in comes out, and no damaged byte goes unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import OutputError, StoreError
from features.store.key import Recipe, sequence_key
from features.store.preamble import SIZE_BYTES, LaterVersionError, read_preamble
from features.store.shard import ALIGNMENT_BYTES, ROWS, Shard, StoredSequence, write_shard
from tests.features.conftest import digest_of, make_recipe, make_sequence

ROOT = Path(__file__).parents[3]
ARCHIVES = Path(__file__).parents[1] / "archives"
NAMES = ["a", "b", "c"]


def write(path: Path, sequences: list[StoredSequence], recipe: Recipe, **versions: str) -> Path:
    counts = [len(sequence.features) for sequence in sequences]
    write_shard(path, iter(sequences), recipe, versions, frame_counts=counts)
    return path


@pytest.fixture
def shard(tmp_path: Path, recipe: Recipe) -> Path:
    sequences = [make_sequence(name, recipe) for name in NAMES]
    return write(tmp_path / "shard.h5", sequences, recipe, ffmpeg="7.1")


def assert_same(one: StoredSequence, other: StoredSequence) -> None:
    assert (one.sha256, one.key, one.path) == (other.sha256, other.key, other.path)
    for name, rows in one.rows().items():
        assert rows.dtype == other.rows()[name].dtype
        assert rows.tobytes() == other.rows()[name].tobytes()


@st.composite
def sequences(draw: st.DrawFn) -> tuple[Recipe, list[StoredSequence]]:
    """One to six videos of any path and any finite values."""
    recipe = make_recipe(dtype=draw(st.sampled_from(["float16", "float32"])))
    dim = draw(st.integers(1, 9))
    made = []
    for number in range(draw(st.integers(1, 6))):
        count = draw(st.integers(1, 5))
        bits = draw(st.binary(min_size=4 * count * dim, max_size=4 * count * dim))
        values = np.frombuffer(bits, recipe.dtype)[: count * dim].reshape(count, dim)
        times = draw(st.lists(st.floats(0, 1e6), min_size=count, max_size=count))
        found = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        sha256 = digest_of(str(number))
        made.append(
            StoredSequence(
                sha256=sha256,
                key=sequence_key(sha256, recipe),
                path=draw(st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text)),
                features=np.where(np.isfinite(values), values, 0).astype(recipe.dtype),
                timestamps_seconds=np.asarray(times, np.float64),
                boxes=np.full((count, 4), draw(st.floats(-1, 1e4, width=32)), np.float32),
                face_found=np.asarray(found, bool),
            )
        )
    return recipe, made


@given(sequences())
@settings(max_examples=60, deadline=None)
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[Recipe, list[StoredSequence]]
) -> None:
    recipe, wanted = made
    folder = tmp_path_factory.mktemp("shard")
    path = write(folder / "a", wanted, recipe, h5py="3")
    shard = Shard(path)
    assert len(shard) == len(wanted)
    assert (shard.recipe, shard.versions) == (recipe, {"h5py": "3"})
    assert shard.damaged() == []
    for number, sequence in enumerate(wanted):
        paths = sequence.path.encode("utf-8", "backslashreplace").decode()
        assert shard.paths[number] == paths
        got = shard.sequence(number)
        assert got.features.tobytes() == sequence.features.tobytes()
        assert got.timestamps_seconds.tobytes() == sequence.timestamps_seconds.tobytes()
        assert got.boxes.tobytes() == sequence.boxes.tobytes()
        assert got.face_found.tolist() == sequence.face_found.tolist()
    assert write(folder / "b", wanted, recipe, h5py="3").read_bytes() == path.read_bytes()


def test_a_file_name_that_is_no_text_survives(tmp_path: Path, recipe: Recipe) -> None:
    sequence = make_sequence("a", recipe)
    named = StoredSequence(**vars(sequence) | {"path": "caf\udce9.mp4"})
    assert Shard(write(tmp_path / "s", [named], recipe)).paths == ("caf\\udce9.mp4",)


def test_equal_content_gives_equal_bytes_in_another_process(shard: Path, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from tests.features.conftest import make_recipe, make_sequence
from tests.features.store.test_shard import NAMES, write
recipe = make_recipe()
write(Path(sys.argv[1]), [make_sequence(n, recipe) for n in NAMES], recipe, ffmpeg="7.1")
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "other")], cwd=ROOT, check=True)
    assert (tmp_path / "other").read_bytes() == shard.read_bytes()


def test_any_hdf5_reader_sees_it_plainly(shard: Path, recipe: Recipe) -> None:
    with h5py.File(shard, "r") as file:
        assert file.attrs["format"] == "unmask-shard"
        assert file.attrs["version"] == 1
        assert json.loads(file.attrs["recipe"]) == recipe.to_json()
        assert file.attrs["recipe_digest"] == recipe.digest
        assert file.attrs["backbone_digest"] == recipe.backbone_digest
        assert json.loads(file.attrs["versions"]) == {"ffmpeg": "7.1"}
        for number, name in enumerate(NAMES):
            part = slice(*file["offsets"][number : number + 2])
            wanted = make_sequence(name, recipe)
            np.testing.assert_array_equal(file["features"][part], wanted.features)
            np.testing.assert_array_equal(file["face_found"][part], wanted.face_found)
            assert file["path"].asstr()[number] == wanted.path
            assert file["frame_count"][number] == len(wanted.features)
        for name in ROWS:
            assert file[name].chunks is None
            assert file[name].compression is None


def test_rows_are_aligned_views_that_nobody_can_write(shard: Path) -> None:
    opened = Shard(shard)
    assert all(offset % ALIGNMENT_BYTES == 0 for offset, _ in read_preamble(shard).rows.values())
    features = opened.sequence(1).features
    assert not features.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        features[0, 0] = 0


def test_every_flipped_byte_is_found(shard: Path, tmp_path: Path) -> None:
    """Each byte of the file in turn: HDF5 alone ends the process on some of them."""
    whole = bytearray(shard.read_bytes())
    places = read_preamble(shard).rows
    rows = {at for start, size in places.values() for at in range(start, start + size)}
    damaged = tmp_path / "damaged.h5"
    # Every byte of rows and preamble; of HDF5's own, all of which one checksum covers, a seventh.
    for at in sorted(rows | set(range(SIZE_BYTES)) | set(range(SIZE_BYTES, len(whole), 7))):
        whole[at] ^= 1 << at % 8
        damaged.write_bytes(whole)
        whole[at] ^= 1 << at % 8
        if at in rows:
            assert len(Shard(damaged).damaged()) == 1, at
        else:
            with pytest.raises(StoreError):
                Shard(damaged)


@pytest.mark.parametrize("name", ROWS)
def test_a_flipped_byte_costs_one_video(shard: Path, recipe: Recipe, name: str) -> None:
    start, size = read_preamble(shard).rows[name]
    whole = bytearray(shard.read_bytes())
    whole[start + size - 1] ^= 1
    shard.write_bytes(whole)
    opened = Shard(shard)
    assert opened.damaged() == [2]
    for number in (0, 1):
        assert_same(opened.sequence(number), make_sequence(NAMES[number], recipe))


@pytest.mark.parametrize("left", [0, 1, 100, 511, 512, 2000, -1])
def test_a_truncated_shard_is_refused(shard: Path, left: int) -> None:
    whole = shard.read_bytes()
    shard.write_bytes(whole[:left])
    with pytest.raises(StoreError, match=str(shard)):
        Shard(shard)


def test_a_shard_with_more_behind_it_is_refused(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes() + b"\0")
    with pytest.raises(StoreError, match="damaged"):
        Shard(shard)


def test_a_later_version_is_refused_with_advice(shard: Path) -> None:
    later = shard.read_bytes().replace(b'"version":1', b'"version":2', 1)
    shard.write_bytes(later)
    with pytest.raises(
        LaterVersionError, match="version 2, this unmask reads up to 1; use a later"
    ):
        Shard(shard)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.h5"
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros(3)
    with pytest.raises(StoreError, match="not a shard of unmask"):
        Shard(path)
    path.write_text("hello")
    with pytest.raises(StoreError, match="not a shard of unmask"):
        Shard(path)
    with pytest.raises(StoreError, match="cannot be read"):
        Shard(tmp_path / "none.h5")
    with pytest.raises(StoreError, match="cannot be read"):
        Shard(tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"features": np.zeros((2, 5), np.float32)}, "rows"),
        ({"features": np.zeros((3, 5), np.float16)}, "features"),
        ({"features": np.zeros((2, 0), np.float16)}, "features"),
        ({"features": np.full((2, 5), np.inf, np.float16)}, "finite"),
        ({"features": np.full((2, 5), np.nan, np.float16)}, "finite"),
        ({"boxes": np.zeros((2, 4))}, "rows"),
        ({"boxes": np.zeros((2, 3), np.float32)}, "rows"),
        ({"timestamps_seconds": np.zeros(3)}, "rows"),
    ],
)
def test_what_the_format_has_no_place_for_is_never_written(
    tmp_path: Path, recipe: Recipe, changes: dict[str, Any], told: str
) -> None:
    sequence = StoredSequence(**vars(make_sequence("a", recipe, frames=2)) | changes)
    with pytest.raises(ValueError, match=told):
        write_shard(tmp_path / "a", [sequence], recipe, {}, frame_counts=[2])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """In a process of its own: HDF5 left to itself takes it down when it ends."""
    code = """
import resource, sys
from pathlib import Path
from data.errors import OutputError
from tests.features.conftest import make_recipe, make_sequence
from tests.features.store.test_shard import write
recipe = make_recipe()
sequences = [make_sequence(str(n), recipe, frames=40, dim=64) for n in range(9)]
for limit in (0, 600, 3000, 20_000, 48_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write(Path(sys.argv[1]) / "shard", sequences, recipe)
    except OutputError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**9, resource.RLIM_INFINITY))
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = f"cannot write {tmp_path}: File too large; "
    assert [line.startswith(told) for line in done.stdout.splitlines()] == [True] * 5
    assert done.stdout.count("; finished videos are kept") == 5
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, recipe: Recipe) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        write(tmp_path / "none" / "shard", [make_sequence("a", recipe)], recipe)


def test_version_1_always_opens() -> None:
    """archives/README.md tells how the file was made; it is never made again."""
    shard = Shard(ARCHIVES / "version-1.h5")
    assert shard.damaged() == []
    assert shard.versions == {"unmask": "0.1.0"}
    assert shard.paths == ("real/anna.mp4", "fake/anna à la carte.mp4")
    assert shard.recipe.frames["margin"] == 1.3
    assert shard.recipe.digest.startswith("8b93e566")
    assert shard.keys[0] == sequence_key("11" * 32, shard.recipe)
    first, second = shard.sequence(0), shard.sequence(1)
    np.testing.assert_array_equal(first.features, np.arange(12).reshape(3, 4) / 8)
    np.testing.assert_array_equal(second.features, -np.arange(8).reshape(2, 4) / 8)
    assert first.timestamps_seconds.tolist() == [0.0, 0.04, 0.08]
    assert second.boxes.tolist() == [[10.5, 20.0, 110.5, 120.0]] * 2
    assert second.face_found.tolist() == [True, False]
