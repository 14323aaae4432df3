"""The cached network: the same bytes as the loaded one's, and never those of other weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import StoreError
from models.backbones import network_cache
from models.backbones.encoder import make_encoder
from models.backbones.network_cache import CACHE, network_key, open_encoder
from models.backbones.openvino_encoder import OpenVinoEncoder
from models.backbones.registry import Backbone, load_backbone, save_backbone
from models.user_cache import UserCache
from tests import requirements
from tests.models.conftest import SIZE


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requirements.module("openvino")
    monkeypatch.setenv("UNMASK_CACHE_DIR", str(tmp_path / "cache"))


def files() -> list[Path]:
    folder = UserCache(CACHE).folder
    return sorted(folder.iterdir()) if folder.is_dir() else []


def never() -> Backbone:
    raise AssertionError("the backbone is loaded")


def test_the_second_time_it_comes_from_the_cache(thin: Backbone, crops: NDArray[np.uint8]) -> None:
    facts = {"digest": thin.digest, "size": SIZE, "batch_size": 4}
    first = open_encoder("resnet50-thin", load=lambda: thin, **facts)  # type: ignore[arg-type]
    assert len(files()) == 1
    again = open_encoder("resnet50-thin", load=never, **facts)  # type: ignore[arg-type]
    assert isinstance(again, OpenVinoEncoder)
    assert (again.digest, again.dim, again.batch_size) == (thin.digest, thin.dim, 4)
    wanted = make_encoder(thin, batch_size=4, runtime="openvino")(crops)
    np.testing.assert_array_equal(first(crops), wanted)
    np.testing.assert_array_equal(again(crops), wanted)


def test_a_damaged_file_is_made_again(thin: Backbone, crops: NDArray[np.uint8]) -> None:
    facts = {"digest": thin.digest, "size": SIZE, "batch_size": 4}
    wanted = open_encoder("resnet50-thin", load=lambda: thin, **facts)(crops)  # type: ignore[arg-type]
    (path,) = files()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    got = open_encoder("resnet50-thin", load=lambda: thin, **facts)(crops)  # type: ignore[arg-type]
    np.testing.assert_array_equal(got, wanted)


def test_changed_weights_are_never_served(thin: Backbone, tmp_path: Path) -> None:
    folder = tmp_path / "backbone"
    save_backbone(thin, folder)
    open_encoder(folder, digest=thin.digest, size=SIZE, load=lambda: thin)
    open_encoder(folder, digest=thin.digest, size=SIZE, load=never)
    weights = folder / "backbone.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(StoreError, match="damaged or changed"):
        open_encoder(
            folder, digest=thin.digest, size=SIZE, load=lambda: load_backbone(folder, size=SIZE)
        )
    # Nor where the record is changed with them, to the digest that the cache knows.
    record = folder / "backbone.json"
    facts = json.loads(record.read_text())
    facts["sha256"] = network_cache.file_sha256(weights)
    record.write_text(json.dumps(facts))
    with pytest.raises(AssertionError, match="is loaded"):
        open_encoder(folder, digest=thin.digest, size=SIZE, load=never)


def test_another_network_is_not_kept(thin: Backbone) -> None:
    """The bundle's digest is another one: whoever asked refuses it (`LazyEncoder`)."""
    open_encoder("resnet50-thin", digest="f" * 64, size=SIZE, load=lambda: thin)
    assert not files()


def test_the_key_has_all_that_a_network_is_made_of(
    thin: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(digest: str = thin.digest, size: int = SIZE) -> str | None:
        return network_key("resnet50-thin", digest=digest, size=size)

    known = key()
    assert known == key()
    versions = network_cache.metadata.version
    others = {key(digest="f" * 64), key(size=SIZE + 32)}
    for package in ("keras", "tensorflow", "openvino"):
        monkeypatch.setattr(
            network_cache.metadata,
            "version",
            lambda name, changed=package: "0" if name == changed else versions(name),
        )
        others.add(key())
    assert len({known, None, *others}) == 7
    folder = tmp_path / "backbone"
    save_backbone(replace(thin, architecture="custom"), folder)
    assert network_key(folder, digest=thin.digest, size=SIZE) is None
    assert network_key("resnet50-random", digest=thin.digest, size=SIZE) is None
    assert network_key(tmp_path / "nowhere", digest=thin.digest, size=SIZE) is None


def test_tensorflow_is_asked_where_there_may_be_a_gpu(
    thin: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_encoder("resnet50-thin", digest=thin.digest, size=SIZE, load=lambda: thin)
    monkeypatch.setattr(network_cache, "GPU_DEVICES", ("null",))
    asked: list[int] = []

    def load() -> Backbone:
        asked.append(1)
        return thin

    open_encoder("resnet50-thin", digest=thin.digest, size=SIZE, load=load)
    open_encoder("resnet50-thin", digest=thin.digest, size=SIZE, load=load, runtime="tensorflow")
    assert len(asked) == 2
