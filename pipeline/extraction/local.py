"""`unmask extract` on this machine: threads that read, cached crops, one encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from data.faces.crops import Frames, read_frames
from data.faces.tracker import FaceFinder
from data.faces.tracks import FaceTrack
from features.extraction.batches import Encoder
from features.extraction.engine import Read, extract
from features.extraction.job import Job
from features.extraction.summary import ExtractSummary
from features.store.store import FeatureStore
from models.backbones.fingerprint import LazyEncoder
from models.finetuning.views import augment
from pipeline.config import Params
from pipeline.extraction.crop_cache import CropCache
from pipeline.extraction.feature_spec import FeatureSpec


def extract_locally(
    jobs: Sequence[Job],
    spec: FeatureSpec,
    store: FeatureStore,
    params: Params,
    workers: int,
    *,
    read: Callable[..., Frames] = read_frames,
    crops: Path | None = None,
) -> ExtractSummary:
    """Runs stage one; the backbone is loaded when the first frames have been read.

    Args:
        jobs: the videos.
        spec: the features to make.
        store: open for writing.
        params: batch size and runtime.
        workers: threads that read.
        read: called as `data.faces.crops.read_frames` is.
        crops: root of a store that may hold the videos' crops; those are not read again.
    """
    settings = params.extract

    def load() -> Encoder:
        from models.backbones.encoder import make_encoder

        return make_encoder(
            spec.load(),
            batch_size=settings.batch_size,
            runtime=settings.runtime,
            precision=spec.recipe.precision,
        )

    faces = TimedFaces(FaceFinder()) if spec.frames.crop == "face" else None
    decode: Read = partial(read, recipe=spec.frames, faces=faces)
    cache = None
    if crops is not None:
        cache = CropCache(crops, spec.frames, spec.recipe.face_detector)
        decode = cache.before(decode, jobs)
    summary = extract(
        jobs,
        read=decode,
        encoder=LazyEncoder(spec.fingerprint, batch_size=settings.batch_size, load=load),
        store=store,
        workers=workers,
        views=spec.views,
        augment=augment,
    )
    if faces is not None:
        summary.phases.faces = faces.seconds
    if cache is not None:
        summary.kept_crops = cache.hits
    return summary


class TimedFaces:
    """A face finder that adds up how long it takes, from many threads.

    Attributes:
        seconds: spent following faces, all threads together.
    """

    def __init__(self, finder: FaceFinder) -> None:
        self.seconds = 0.0
        self._finder = finder
        self._lock = Lock()

    def follow(
        self, frames: NDArray[np.uint8], timestamps_seconds: NDArray[np.float64]
    ) -> FaceTrack:
        """As `FaceFinder.follow`."""
        clock = monotonic()
        try:
            return self._finder.follow(frames, timestamps_seconds)
        finally:
            with self._lock:
                self.seconds += monotonic() - clock
