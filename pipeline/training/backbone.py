"""`unmask backbone`: writes a backbone's weights to a folder, as `finetune` and `extract` read it.

So that weights which Keras downloads lie where DVC can keep them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.io.atomic_folders import check_replaceable
from models.backbones.fingerprint import RECORD
from pipeline.config import Params


@dataclass(frozen=True, kw_only=True)
class ExportedBackbone:
    """A backbone that was written."""

    out: Path  # its folder
    name: str  # of the backbone
    dim: int  # D, the size of an embedding
    digest: str  # sha256 of its weights and preprocessing, hex


def export_backbone(name: str, out: Path, *, params: Params) -> ExportedBackbone:
    """Loads a backbone by its name or path and writes it to the folder `out`."""
    check_replaceable(out, marker=RECORD)
    from models.backbones.registry import load_backbone, save_backbone

    backbone = load_backbone(name, size=params.frames.size, seed=params.seed)
    save_backbone(backbone, out)
    return ExportedBackbone(out=out, name=backbone.name, dim=backbone.dim, digest=backbone.digest)
