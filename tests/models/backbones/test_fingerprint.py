"""A backbone's identity without TensorFlow: right, or None."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import StoreError
from models.backbones.fingerprint import (
    LazyEncoder,
    cache_fingerprint,
    copy_backbone,
    find_fingerprint,
)
from models.backbones.registry import Backbone, load_backbone, save_backbone
from models.backbones.tensorflow_encoder import TensorFlowEncoder


def test_a_folder_tells_what_loading_it_gives(thin: Backbone, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    save_backbone(thin, folder)
    found = find_fingerprint(folder, size=64, seed=0, cache=tmp_path / "none.json")
    assert found == load_backbone(folder, size=64).fingerprint(folder)
    copy_backbone(folder, tmp_path / "copy")
    assert load_backbone(tmp_path / "copy", size=64).digest == thin.digest


def test_a_folder_whose_weights_changed_tells_nothing(thin: Backbone, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    save_backbone(thin, folder)
    assert find_fingerprint(folder, size=96, seed=0, cache=tmp_path / "none.json") is None
    path = folder / "backbone.safetensors"
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    assert find_fingerprint(folder, size=64, seed=0, cache=tmp_path / "none.json") is None


def test_a_named_one_is_remembered_by_what_it_is_made_of(thin: Backbone, tmp_path: Path) -> None:
    memory = tmp_path / "backbones.json"
    name = "resnet50-thin"
    assert find_fingerprint(name, size=64, seed=0, cache=memory) is None
    identity = thin.fingerprint(name)
    cache_fingerprint(identity, name, size=64, seed=0, cache=memory)
    assert find_fingerprint(name, size=64, seed=0, cache=memory) == identity
    assert find_fingerprint(name, size=96, seed=0, cache=memory) is None
    assert find_fingerprint("resnet50-random", size=64, seed=0, cache=memory) is None
    memory.write_text("{")
    assert find_fingerprint(name, size=64, seed=0, cache=memory) is None


def test_telling_loads_no_tensorflow(thin: Backbone, tmp_path: Path) -> None:
    save_backbone(thin, tmp_path / "weights")
    code = (
        "import sys; from pathlib import Path\n"
        "from models.backbones.fingerprint import find_fingerprint\n"
        f"folder, cache = {str(tmp_path / 'weights')!r}, Path('none')\n"
        "found = find_fingerprint(folder, size=64, seed=0, cache=cache)\n"
        "print(found.digest, 'tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [thin.digest, "False", "False"]


def test_a_lazy_encoder_loads_once_and_refuses_other_weights(
    thin: Backbone, crops: NDArray[np.uint8], tmp_path: Path
) -> None:
    loaded = []

    def load() -> TensorFlowEncoder:
        loaded.append(1)
        return TensorFlowEncoder(thin, batch_size=4)

    identity = thin.fingerprint("resnet50-thin")
    encoder = LazyEncoder(identity, batch_size=4, load=load)
    assert not loaded
    np.testing.assert_array_equal(encoder(crops), encoder(crops))
    assert len(loaded) == 1
    folder = tmp_path / "weights"
    save_backbone(thin, folder)
    facts = json.loads((folder / "backbone.json").read_text())
    (folder / "backbone.json").write_text(json.dumps(facts | {"digest": "0" * 64}))
    wrong = find_fingerprint(folder, size=64, seed=0, cache=tmp_path / "none.json")
    assert wrong is not None
    with pytest.raises(StoreError, match="write the backbone anew"):
        LazyEncoder(wrong, batch_size=4, load=load)(crops)
