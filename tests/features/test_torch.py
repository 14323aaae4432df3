"""`features.torch`: a feature set in PyTorch, in this process and in workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.datasets.manifest import Manifest
from data.errors import InputError
from features.store.feature_set import Features
from tests import requirements
from tests.features.torch_set import write_set

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fork, in torch


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_set(tmp_path_factory.mktemp("torch"))


def opened(paths: tuple[Path, Path], **more: Any) -> Any:
    requirements.module("torch")
    from features.torch import FeatureDataset

    return FeatureDataset(*paths, **more)


def test_items_are_what_the_store_holds(paths: tuple[Path, Path]) -> None:
    data, stored = opened(paths), Features(paths[0])
    videos = [one for one in Manifest.read(paths[1]).videos if one.sha256 in stored]
    assert len(data) == len(videos) == 7
    assert data.missing == ("fake/7.mp4",)
    for item, video in zip(data, videos, strict=False):
        wanted = stored.sequence(video.sha256).features
        np.testing.assert_array_equal(item["features"].numpy(), wanted.astype(np.float32))
        assert item["features"].dtype.is_floating_point
        assert item["length"] == len(wanted)
        assert (item["label"], item["group"]) == (video.label, video.group)
        assert (item["video"], item["sha256"]) == (video.path, video.sha256)
    assert data.labels.tolist() == [video.label for video in videos]
    assert data.groups == [video.group for video in videos]


def test_one_split(paths: tuple[Path, Path]) -> None:
    assert {video.split for video in opened(paths, split="train").videos} == {"train"}
    with pytest.raises(InputError, match="no video of"):
        opened(paths, split="test")


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (2, "spawn")])
def test_batches_by_workers(paths: tuple[Path, Path], workers: int, start: str | None) -> None:
    data = opened(paths)
    from torch.utils.data import DataLoader

    from features.torch import collate

    loader = DataLoader(
        data, batch_size=3, num_workers=workers, collate_fn=collate, multiprocessing_context=start
    )
    seen = []
    for batch in loader:
        for row, length in enumerate(batch["length"].tolist()):
            item = data[len(seen)]
            assert batch["mask"][row].tolist() == [
                at < length for at in range(batch["mask"].shape[1])
            ]
            np.testing.assert_array_equal(batch["features"][row, :length], item["features"])
            assert not batch["features"][row, length:].any()
            assert int(batch["label"][row]) == item["label"]
            assert batch["video"][row] == item["video"]
            seen.append(length)
    assert len(seen) == len(data)


def test_what_a_worker_is_sent_holds_no_features(paths: tuple[Path, Path]) -> None:
    import pickle

    data = opened(paths)
    assert len(pickle.dumps(data)) < 8000
    assert pickle.loads(pickle.dumps(data))[0]["length"] == data[0]["length"]  # noqa: S301


def test_tensorflow_is_not_imported(paths: tuple[Path, Path]) -> None:
    requirements.module("torch")
    program = (
        "import sys; from features.torch import FeatureDataset\n"
        "FeatureDataset(*sys.argv[1:])[0]\n"
        "assert not {'tensorflow', 'keras', 'models'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, *map(str, paths)], check=True)


def test_the_example_in_the_docs(paths: tuple[Path, Path], tmp_path: Path) -> None:
    requirements.module("torch")
    (tmp_path / "embeddings").symlink_to(paths[0])
    (tmp_path / "manifest.csv").symlink_to(paths[1])
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
    program = text.split("```python\n")[2].split("```")[0]
    found = subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert "torch.Size([4, " in found.stdout


def test_without_torch_one_line_says_so() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from data.errors import ToolError\n"
        "try:\n    import features.torch\n"
        "except ToolError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout.decode() == "PyTorch is not installed: pip install 'unmask[torch]'\n"
