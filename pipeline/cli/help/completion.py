"""What the shell offers for the value of an option, beside files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def parameters(incomplete: str) -> list[str]:
    """Keys of `--set`, each with its equals sign."""
    from pipeline.config import Params

    return _starting(incomplete, (f"{key}=" for key in _keys(Params().model_dump())))


def _keys(tree: Mapping[str, Any], before: str = "") -> Iterable[str]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _keys(value, f"{before}{name}.")
        else:
            yield f"{before}{name}"


def backbones(incomplete: str) -> list[str]:
    """Names of backbones; a path is completed by the shell."""
    from models.backbones.fingerprint import PUBLIC

    return _starting(incomplete, PUBLIC)


def layouts(incomplete: str) -> list[str]:
    """Layouts of data sets."""
    from data.datasets.layouts import LAYOUTS

    return _starting(incomplete, ("auto", *LAYOUTS))


def splits(incomplete: str) -> list[str]:
    """Splits that can be measured."""
    return _starting(incomplete, ("test", "val", "train", "all"))


def runtimes(incomplete: str) -> list[str]:
    """Runtimes of the backbone."""
    return _starting(incomplete, ("auto", "tensorflow", "openvino"))


def engines(incomplete: str) -> list[str]:
    """Engines of the extraction."""
    return _starting(incomplete, ("local", "ray"))


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
