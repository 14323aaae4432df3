"""`unmask extract --engine ray`: what the driver sends, and how a worker is set up."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import ToolError
from data.faces.crops import Frames, read_frames
from data.faces.tracker import FaceFinder
from data.io.progress import log
from data.pixels_version import PIXELS_VERSION
from data.video.frames import FrameRecipe
from features.cluster.engine import RayEngine
from features.extraction.engine import keep_all
from features.extraction.job import Job
from features.extraction.summary import ExtractSummary
from features.store.key import Recipe
from features.store.store import FeatureStore
from features.store.views import Views
from models.configs import ExtractConfig
from models.finetuning.views import augment, make_views
from pipeline.config import Params
from pipeline.extraction.feature_spec import FeatureSpec
from pipeline.extraction.local import TimedFaces
from pipeline.machine import versions

if TYPE_CHECKING:
    from features.extraction.batches import Encoder


def extract_on_ray(
    jobs: Sequence[Job],
    spec: FeatureSpec,
    store: FeatureStore,
    params: Params,
    address: str | None,
) -> tuple[ExtractSummary, int]:
    """Runs stage one on a Ray cluster.

    Args:
        jobs: the videos; workers must have them under the same absolute path.
        spec: the features to make.
        store: open for writing.
        params: of the extraction.
        address: of the cluster; None takes the environment's RAY_ADDRESS, else a Ray that this
            machine starts for itself.

    Returns:
        What was done, and how many threads did it on all machines together.
    """
    engine = RayEngine(
        address=address or os.environ.get("RAY_ADDRESS") or "local",
        recipe=store.recipe,
        versions=versions(),
        equip=partial(
            equip,
            frames=spec.frames,
            recipe=spec.recipe,
            settings=params.extract,
            views=spec.views,
        ),
        files=partial(read_weights, spec),
        views=spec.views,
    )
    summary = keep_all(jobs, engine=engine, store=store, views=spec.views)
    report = engine.report
    if report.workers:
        again = f", {report.lost} lost, {report.repeated} units again" if report.repeated else ""
        log.info(
            f"ray: {report.workers} workers on {len(report.nodes)} nodes{again}; "
            f"{' and '.join(sorted(report.runtimes))}"
        )
    if len(report.runtimes) > 1:
        log.warning(
            "the workers have several runtimes, whose features differ by rounding; "
            "choose one with --runtime"
        )
    return summary, report.threads


def read_weights(spec: FeatureSpec) -> dict[str, bytes]:
    """File name -> content of the backbone's folder, sent so that no worker needs a copy."""
    with tempfile.TemporaryDirectory(prefix="unmask-weights-") as scratch:
        folder = Path(scratch) / "backbone"
        spec.write_weights(folder)
        return {path.name: path.read_bytes() for path in folder.iterdir()}


class Equipped:
    """A worker's equipment; see `features.cluster.work_units.Equipment`."""

    def __init__(self, encoder: Encoder, frames: FrameRecipe) -> None:
        self.encoder = encoder
        self.versions = versions()
        self._frames = frames
        self._faces = TimedFaces(FaceFinder()) if frames.crop == "face" else None

    @property
    def faces_seconds(self) -> float:
        """Spent on faces so far."""
        return self._faces.seconds if self._faces else 0.0

    def read(self, path: Path) -> Frames:
        """Turns a file into frames."""
        return read_frames(path, self._frames, faces=self._faces)

    augment = staticmethod(augment)  # the same on every machine


def equip(
    files: dict[str, bytes],
    threads: int,
    *,
    frames: FrameRecipe,
    recipe: Recipe,
    settings: ExtractConfig,
    views: Views,
) -> Equipped:
    """Sets a worker up.

    Args:
        files: of the backbone's folder, name -> content.
        threads: that the worker may use.
        frames, recipe, settings, views: of the driver.

    Raises:
        ToolError: this machine has another face detector, pixels version or augmentation, or lacks
            a program.
        StoreError: the weights are not those that were sent.
    """
    from models.backbones.encoder import make_encoder
    from models.backbones.registry import load_backbone
    from models.tf_runtime import limit_threads

    if recipe.face_detector not in (None, FaceFinder().digest):
        raise ToolError("it finds faces in another way; install the same unmask there as here")
    if recipe.pixels_version != PIXELS_VERSION:
        raise ToolError("it reads pixels in another way; install the same unmask there as here")
    if views != make_views(views.count):
        raise ToolError("it augments in another way; install the same unmask there as here")
    limit_threads(threads)
    with tempfile.TemporaryDirectory(prefix="unmask-weights-") as scratch:
        for name, content in files.items():
            (Path(scratch) / name).write_bytes(content)
        backbone = load_backbone(Path(scratch), size=frames.size)
    encoder = make_encoder(
        backbone,
        batch_size=settings.batch_size,
        runtime=settings.runtime,
        threads=threads,
        precision=recipe.precision,
    )
    return Equipped(encoder, frames)
