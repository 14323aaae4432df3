"""`unmask extract`: what is to be embedded, the engine that does it, the folder that comes out.

TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.datasets.digests import DigestCache
from data.errors import (
    ConfigError,
    MismatchError,
    TooManyFailuresError,
    plain,
)
from data.faces.tracker import FaceFinder
from data.io.atomic_folders import check_replaceable
from data.pixels_version import PIXELS_VERSION
from data.video.canvas import resized_note
from data.video.frames import FaceTrack, FrameRecipe, Frames, read_frames
from data.video.reasons import with_reason
from features.extraction.batches import Encoder
from features.extraction.engine import Read, extract
from features.extraction.job import Job
from features.extraction.outdated import count_outdated, tell_outdated
from features.extraction.summary import ExtractSummary, where_time_went
from features.store.adopt import adopt_published
from features.store.feature_set import publish
from features.store.key import Recipe, sequence_key
from features.store.layout import INDEX
from features.store.sealing import check_store
from features.store.store import FeatureStore
from features.store.views import Views
from models.backbones.fingerprint import (
    Identity,
    LazyEncoder,
    copy_backbone,
    identify,
    identity_of,
    remember,
)
from models.finetuning.views import augment, make_views
from pipeline.config import Params
from pipeline.extraction.crop_cache import CropCache
from pipeline.extraction.inputs import DIGESTS, make_jobs, named_videos, refuse_without_decoder
from pipeline.machine import cores, versions
from pipeline.shell_commands import command_line

if TYPE_CHECKING:
    from models.backbones.registry import Backbone

CARRIED = "backbone"
"""Folder of weights inside a folder of features."""


def extract_features(
    source: Path,
    out: Path,
    *,
    root: Path | None,
    backbone: str | None,
    bundle: Path | None,
    params: Params,
    store: Path,
    max_failures: float | None,
    workers: int | None,
    engine: str = "local",
    address: str | None = None,
) -> None:
    """`unmask extract`: embeds what the store does not hold and publishes it."""
    check_engine(engine, address, workers)
    if backbone is not None and bundle is not None:
        raise ConfigError("--bundle says which backbone it needs; leave --backbone out")
    check_replaceable(out, marker=INDEX)  # hours early
    check_store(store)
    named = named_videos(source, root)
    digests = DigestCache(store.parent / DIGESTS.name)
    wanted = what_to_extract(params, backbone, bundle, memory=store.parent / "backbones.json")
    jobs, failures = make_jobs(named, digests, views=wanted.views.count)
    recipe = wanted.recipe
    workers = workers or cores()
    with FeatureStore(store, recipe, versions=versions()) as opened:
        adopted = adopt_published(out, opened)  # a fresh clone has features, and no store
        if adopted:
            kinds = "videos" if wanted.views.count == 1 else "videos and views"
            print(plain(f"{out}: {adopted} {kinds} adopted into {store}"))
        for line in tell_outdated(count_outdated(jobs, opened, out), recipe):
            print(line)
        if engine == "ray":
            from pipeline.extraction.ray import extract_on_ray

            summary, workers = extract_on_ray(jobs, wanted, opened, params, address)
        else:
            summary = run_extraction(jobs, wanted, opened, params, workers, crops=store)
        summary.failures += failures
        # A video that failed now is not shown, even where an earlier run embedded it.
        failed_now = {failure.path for failure in summary.failures}
        sha256s = [
            wanted.views.sha256(job.sha256, view)
            for job in jobs
            if job.name not in failed_now
            for view in job.views
        ]
        keys = {sequence_key(sha256, recipe) for sha256 in sha256s}
        shards = {key: shard for key, shard in opened.shards.items() if key in keys}
        publish(
            out,
            {shard.path: shard for shard in shards.values()}.values(),
            recipe,
            dim=wanted.identity.dim,
            failures=summary.failures,
            provenance=wanted.identity.provenance,
            sha256s=sha256s,
            attach=carry(wanted),
            views=wanted.views,
        )
    tell_extraction(summary, out, workers)
    print(f"next: {after_extraction(source, out, bundle)}")
    allowed = params.extract.max_failures if max_failures is None else max_failures
    failed = len(summary.failures)
    if failed == len(named):
        refuse_without_decoder([(one.failure, one.message) for one in summary.failures])
    if failed > allowed * len(named) or failed == len(named):
        raise TooManyFailuresError(
            f"{failed} of {len(named)} videos failed, more than --max-failures {allowed:g} allows; "
            f"see {out / 'failures.csv'}; the rest is kept in {out}"
        )


def check_engine(engine: str, address: str | None, workers: int | None) -> None:
    """Refuses options that would be read by nobody.

    Raises:
        ConfigError: an unknown engine, or an option of the other one.
    """
    if engine not in ("local", "ray"):
        raise ConfigError(f"--engine must be local or ray, got {engine!r}")
    if engine == "local" and address is not None:
        raise ConfigError("--address is of a Ray cluster; add --engine ray, or leave it out")
    if engine == "ray" and workers is not None:
        raise ConfigError("--workers is for --engine local; a Ray worker takes its node's cores")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be extracted: frames, recipe, and the backbone, which may never be needed.

    Attributes:
        frames: which frames, which crop.
        recipe: of the features.
        identity: the backbone's.
        load: loads the backbone; takes seconds.
        views: of each training video.
    """

    frames: FrameRecipe
    recipe: Recipe
    identity: Identity
    load: Callable[[], Backbone]
    views: Views = field(default_factory=Views)


def what_to_extract(
    params: Params, backbone: str | None, bundle: Path | None, *, memory: Path
) -> Wanted:
    """Frames, recipe and backbone: a bundle's, or those of the parameters."""
    if bundle is not None:
        from models.bundle import Bundle

        opened = Bundle.load(bundle)
        warn(opened.pixels_note)
        network = opened.load_backbone()
        frames, recipe = bundle_recipe(opened.recipe)
        identity = identity_of(network, opened.backbone)
        return Wanted(frames=frames, recipe=recipe, identity=identity, load=lambda: network)
    frames, name = params.frames, backbone or params.backbone.name
    known = identify(name, size=frames.size, seed=params.seed, memory=memory)
    load: Callable[[], Backbone] = partial(load_named, name, params)
    if known is None:
        network = load()
        known = identity_of(network, name)
        remember(known, name, size=frames.size, seed=params.seed, memory=memory)
        load = lambda: network  # noqa: E731
    recipe = Recipe(
        frames=frames.to_json(),
        face_detector=FaceFinder().digest if frames.crop == "face" else None,
        backbone=known.name,
        backbone_digest=known.digest,
        dtype=params.extract.dtype,
        precision="mixed" if params.extract.mixed_precision else "float32",
        pixels_version=PIXELS_VERSION,
    )
    views = make_views(frames.views)
    return Wanted(frames=frames, recipe=recipe, identity=known, load=load, views=views)


def load_named(name: str, params: Params) -> Backbone:
    """The backbone of a name or path."""
    from models.backbones.registry import load_backbone

    return load_backbone(name, size=params.frames.size, seed=params.seed)


def bundle_recipe(facts: dict[str, Any]) -> tuple[FrameRecipe, Recipe]:
    """The frames that a bundle asks for, and the recipe of what this unmask makes of them.

    The pixels have this unmask's version, whatever the bundle was trained on:
    `Bundle.pixels_note` tells where the two differ.

    Raises:
        MismatchError: this unmask finds faces in another way.
        StoreError: its recipe is damaged, or of another version.
    """
    recipe = Recipe.from_json(facts)
    if recipe.face_detector not in (None, FaceFinder().digest):
        raise MismatchError(
            f"the bundle was trained on faces found by detector {recipe.face_detector[:12]}, "
            f"this unmask has {FaceFinder().digest[:12]}; train the bundle anew"
        )
    frames = FrameRecipe.from_json(recipe.frames)
    return frames, replace(recipe, frames=frames.to_json(), pixels_version=PIXELS_VERSION)


def warn(note: str) -> None:
    """A line on stderr, where there is something to say: stdout may be JSON."""
    if note:
        print(plain(f"warning: {note}"), file=sys.stderr)


def run_extraction(
    jobs: Sequence[Job],
    wanted: Wanted,
    store: FeatureStore,
    params: Params,
    workers: int,
    *,
    read: Callable[..., Frames] = read_frames,
    crops: Path | None = None,
) -> ExtractSummary:
    """Runs stage one's engine; the backbone is loaded when the first frames are there.

    `read` is called as `data.video.frames.read_frames` is, for what the store `crops` has no crops
    of.
    """
    settings = params.extract

    def load() -> Encoder:
        from models.backbones.encoder import make_encoder

        return make_encoder(
            wanted.load(),
            batch_size=settings.batch_size,
            runtime=settings.runtime,
            mixed_precision=wanted.recipe.precision == "mixed",
        )

    faces = TimedFaces(FaceFinder()) if wanted.frames.crop == "face" else None
    decode: Read = partial(read, recipe=wanted.frames, faces=faces)
    kept = None
    if crops is not None:
        kept = CropCache(crops, wanted.frames, wanted.recipe.face_detector)
        decode = kept.before(decode, jobs)
    summary = extract(
        jobs,
        read=decode,
        encoder=LazyEncoder(wanted.identity, batch_size=settings.batch_size, load=load),
        store=store,
        workers=workers,
        views=wanted.views,
        augment=augment,
    )
    if faces is not None:
        summary.phases.faces = faces.seconds
    if kept is not None:
        summary.kept_crops = kept.taken
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
            self._add(monotonic() - clock)

    def _add(self, seconds: float) -> None:
        with self._lock:
            self.seconds += seconds


def carry(wanted: Wanted) -> Callable[[Path], None] | None:
    """Writes weights that no other machine can get into the features' folder; None for public ones.

    So a folder of features is all that `train` needs for a bundle that can predict.
    """
    if wanted.identity.is_public:
        return None
    return lambda new: write_weights(wanted, new / CARRIED)


def write_weights(wanted: Wanted, folder: Path) -> None:
    """Writes the backbone to a new folder; of one that came from a folder, nothing is loaded."""
    if wanted.identity.folder is not None:
        copy_backbone(wanted.identity.folder, folder)
        return
    from models.backbones.registry import save_backbone

    save_backbone(wanted.load(), folder)


def tell_extraction(summary: ExtractSummary, out: Path, workers: int) -> None:
    """What a run of `extract` did, and where its time went."""
    failed = ", ".join(f"{name} {count}" for name, count in summary.failed_by_class.items())
    size = sum(path.stat().st_size for path in out.glob("*.h5"))
    print(
        f"{out}: {summary.done} videos done, {summary.reused} reused, "
        f"{len(summary.failures)} failed{f' ({failed})' if failed else ''}, {size / 1e6:.1f} MB"
        + (f"; {summary.augmented} augmented views made" if summary.augmented else "")
        + (f"; {summary.kept_crops} from kept crops" if summary.kept_crops else "")
    )
    if summary.frames:
        wall = max(summary.wall_seconds, 1e-9)
        spent = where_time_went(summary, workers)
        print(
            f"{summary.frames / wall:.1f} frames/s, {summary.video_seconds / wall:.1f} x real time;"
            f" decoding {spent['decode_seconds']:.1f} s and faces {spent['faces_seconds']:.1f} s "
            f"in {workers} threads, backbone "
            f"{spent['backbone_seconds']:.1f} s, writing {spent['write_seconds']:.1f} s; "
            f"{spent['binding']} binds"
        )
    if summary.resized:
        print(plain(resized_note(summary.resized)))
    for failure in summary.failures[:10]:
        reason = with_reason(failure.message, failure.stderr_tail)
        print(plain(f"failed: {failure.path}: {failure.failure}: {reason}"))
    if len(summary.failures) > 10:
        print(plain(f"failed: {len(summary.failures)} in all, see {out / 'failures.csv'}"))


def after_extraction(source: Path, out: Path, bundle: Path | None) -> str:
    """What to type after `extract`; without a manifest there are no labels to go on with."""
    if source.suffix.casefold() != ".csv":
        return command_line("unmask", "store", "inspect", out)
    if bundle is not None:
        of = ("--manifest", source, "-o", "report")
        return command_line("unmask", "evaluate", bundle, out, *of)
    return command_line("unmask", "train", out, "--manifest", source, "-o", "bundle")
