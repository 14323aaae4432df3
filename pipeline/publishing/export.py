"""`unmask export`: a bundle as ONNX, for programs without unmask; compared with unmask itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import ConfigError, ToolError
from data.io.atomic_files import atomic_file
from data.io.output_paths import check_output
from data.io.progress import log
from models.backbones.fingerprint import file_sha256
from models.bundle import Bundle
from models.export.check import (
    Agreement,
    Outputs,
    agreement,
    has_onnxruntime,
    judged_by_unmask,
    made_up,
    run,
)
from models.export.network import network_of
from models.export.onnx_model import (
    ExportPrecision,
    OnnxModel,
    backbone_model,
    head_model,
    whole_model,
)
from models.records import BUNDLE_RECORD
from pipeline.machine import package_versions

SUFFIX = ".onnx"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The files that were written."""

    files: tuple[Path, ...]  # one; with `split` the backbone's and the head's
    inputs: tuple[str, ...]  # of the last
    outputs: tuple[str, ...]  # of the last
    precision: ExportPrecision  # of the backbone's kernels in the files
    # what onnxruntime makes of it against unmask in float32; None where that is not installed
    agreement: Agreement | None
    notes: tuple[str, ...]  # how its verdicts differ from those of `predict`


def export_bundle(folder: Path, out: Path, *, split: bool, precision: ExportPrecision) -> Exported:
    """Writes a bundle as one ONNX file, or as two.

    Args:
        folder: of the bundle.
        out: the file, NAME.onnx; with `split` NAME.backbone.onnx and NAME.head.onnx are written.
        split: into backbone and head.
        precision: of the backbone's kernels in the file.

    Raises:
        ConfigError: the backbone cannot be written as ONNX, or the file's name ends otherwise.
        ToolError: onnxruntime does not give what unmask gives: a bug of one of them.
    """
    if out.suffix != SUFFIX:
        raise ConfigError(f"the file must end in {SUFFIX}, got {out}")
    files = tuple(out.with_suffix(f".{part}{SUFFIX}") for part in ("backbone", "head"))
    files = files if split else (out,)
    for file in files:
        check_output(file)
    bundle = Bundle.load(folder)
    network = network_of(bundle)
    (own,) = package_versions(["unmask"]).values()
    facts = {"version": own, "bundle_sha256": file_sha256(folder / BUNDLE_RECORD)}
    makers = (backbone_model, head_model) if split else (whole_model,)
    models = [make(bundle, network, precision=precision, facts=facts) for make in makers]
    found = _check(bundle, models, precision) if has_onnxruntime() else None
    for file, model in zip(files, models, strict=True):
        with atomic_file(file) as temporary:
            temporary.write_bytes(model.content)
    return Exported(
        files=files,
        inputs=models[-1].inputs,
        outputs=models[-1].outputs,
        precision=precision,
        agreement=found,
        notes=_notes(bundle),
    )


def _check(bundle: Bundle, models: list[OnnxModel], precision: ExportPrecision) -> Agreement:
    """Compares the files with unmask in float32.

    Raises:
        ToolError: a float32 file differs.
    """
    log.info("comparing with unmask")
    frames, mask = made_up(bundle.recipe["frames"]["size"])
    told = judged_by_unmask(bundle, bundle.encoder("float32"), frames, mask)
    found = agreement(told, run_models(models, frames, mask))
    if not found.equal and precision == "float32":
        most = ", ".join(f"{name} {one:.1e}" for name, one in found.differences.items())
        raise ToolError(
            f"the ONNX model differs from unmask ({most}), so nothing was written; try another "
            "version of onnxruntime, and please report this"
        )
    return found


def run_models(
    models: list[OnnxModel], frames: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> Outputs:
    """What onnxruntime makes of frames (B, T, S, S, 3) and mask (B, T), by one file or by two."""
    if len(models) == 1:
        return run(models[0], {"frames": frames, "mask": mask})
    flat = frames.reshape(-1, *frames.shape[2:])
    embeddings = run(models[0], {"frames": flat})["embeddings"]
    return run(models[1], {"embeddings": embeddings.reshape(*mask.shape, -1), "mask": mask})


def _notes(bundle: Bundle) -> tuple[str, ...]:
    trained = bundle.recipe.get("precision", "float32")
    if trained == "float32":
        return ()
    return (
        f"the bundle reads embeddings of {trained}, in which `unmask predict` computes; the file "
        "computes in float32, so that its scores differ by that rounding",
    )
