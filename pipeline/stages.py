"""One function per command and DVC stage: wiring only.

Each reads its inputs, calls the rooms below, writes its outputs and says in a few lines what came
out and what to do next. TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.digests import DigestCache
from data.errors import (
    ConfigError,
    DatasetError,
    InputError,
    MismatchError,
    TooManyFailuresError,
    VideoError,
    plain,
)
from data.faces import FaceFinder
from data.ffmpeg import find_tools
from data.folders import check_replaceable
from data.frames import Faces, FaceTrack, FrameRecipe, Frames, read_frames
from data.index import index
from data.layouts.listing import is_video, walk
from data.manifest import Manifest, Video
from features.adopt import adopt_published
from features.batches import Encoder
from features.embed import extract
from features.job import Job, stand_for
from features.layout import INDEX
from features.published import Failure, Features, publish, write_failures
from features.recipe import Recipe, sequence_key
from features.sequences import Sequences, load_sequences
from features.store import FeatureStore
from features.summary import ExtractSummary, where_time_went
from features.views import Views
from models.identity import (
    BUNDLE_RECORD,
    RECORD,
    Identity,
    LazyEncoder,
    copy_backbone,
    identify,
    identity_of,
    remember,
)
from models.views import augment, make_views
from pipeline.config import Params, as_options
from pipeline.crops import stored_crops

if TYPE_CHECKING:
    from models.backbone import Backbone
    from models.controls import Linear

CARRIED = "backbone"
"""Folder of weights inside a folder of features."""

DIGESTS = Path(".unmask/digests.json")


def render_demo(folder: Path, *, params: Params, workers: int | None) -> None:
    """`unmask demo`: renders the demo data set."""
    from data.demo import write_demo

    summary = write_demo(folder, params.demo, workers=workers or cores(), progress=True)
    methods = ", ".join(f"{name} {count}" for name, count in sorted(summary.methods.items()))
    print(
        f"{folder}: {summary.videos} videos, {summary.rendered} rendered now, "
        f"{summary.size_bytes / 1e6:.1f} MB; rendered forgeries: {methods}"
    )
    print(f"next: unmask index {folder}")


def index_videos(
    root: Path,
    out: Path | None,
    *,
    layout: str,
    params: Params,
    workers: int | None,
    compression: Sequence[str] = (),
    methods: Sequence[str] = (),
    near_duplicates: bool = False,
) -> None:
    """`unmask index`: writes the manifest and, beside it, the failures."""
    digests = DigestCache(DIGESTS)
    result = index(
        root,
        layout=layout,
        split=params.index,
        workers=workers or cores() * 2,
        digests=digests,
        compression=compression,
        methods=methods,
        near_duplicates=near_duplicates,
    )
    folder = result.manifest.root
    out = out or folder / "manifest.csv"
    result.manifest.write(out)
    failures = [failure_row(one.path, one.error) for one in result.failures]
    write_failures(out.with_suffix(".failures.csv"), failures)
    print(f"labels from {result.source}")
    print("\n".join(result.manifest.summary()))
    passed = [f"{result.not_videos} files that are no videos"] if result.not_videos else []
    passed += [f"{len(result.unlabelled)} videos without a label"] if result.unlabelled else []
    if passed:
        print(f"passed over: {', '.join(passed)}")
    if result.missing:
        print(plain(f"missing: {result.missing}"))
    for one in result.failures[:10]:
        print(plain(f"failed: {one.path}: {one.error.failure}: {one.error}"))
    if len(result.failures) > 10:
        print(f"failed: {len(result.failures)} in all, see {out.with_suffix('.failures.csv')}")
    for warning in result.warnings:
        print(plain(f"warning: {warning}"))
    rooted = "" if out.parent.resolve() == folder.resolve() else f" --root {folder}"
    print(f"next: unmask extract {out}{rooted} -o features")


def export_backbone(name: str, out: Path, *, params: Params) -> None:
    """`unmask backbone`: writes a backbone's weights to a folder."""
    from models.backbone import load_backbone, save_backbone

    check_replaceable(out, marker=RECORD)
    backbone = load_backbone(name, size=params.frames.size, seed=params.seed)
    save_backbone(backbone, out)
    print(f"{out}: {backbone.name}, D = {backbone.dim}, digest {backbone.digest[:12]}")


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
    named = named_videos(source, root)
    check_replaceable(out, marker=INDEX)  # hours early
    digests = DigestCache(store.parent / DIGESTS.name)
    wanted = what_to_extract(params, backbone, bundle, memory=store.parent / "backbones.json")
    jobs, failures = make_jobs(
        named, digests, faces=wanted.frames.whose_faces, views=wanted.views.count
    )
    recipe = wanted.recipe
    workers = workers or cores()
    with FeatureStore(store, recipe, versions=versions()) as opened:
        adopted = adopt_published(out, opened)  # a fresh clone has features, and no store
        if adopted:
            kinds = "videos" if wanted.views.count == 1 else "videos and views"
            print(f"{out}: {adopted} {kinds} adopted into {store}")
        if engine == "ray":
            from pipeline.cluster import extract_on_ray

            summary, workers = extract_on_ray(jobs, wanted, opened, params, address)
        else:
            summary = run_extraction(jobs, wanted, opened, params, workers)
        summary.failures += failures
        # A video that failed now is not shown, even where an earlier run embedded it.
        failed_now = {failure.path for failure in summary.failures}
        sha256s = [
            wanted.views.sha256(job.identity, view)
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
            stand_for=stand_for(jobs),
        )
    tell_extraction(summary, out, workers)
    print(f"next: {after_extraction(source, out, bundle)}")
    allowed = params.extract.max_failures if max_failures is None else max_failures
    failed = len(summary.failures)
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


def named_videos(source: Path, root: Path | None) -> list[tuple[str, Path, Video | None]]:
    """The videos of a manifest, of a folder, or one: name, file, row of the manifest."""
    if source.suffix.casefold() == ".csv":
        manifest = Manifest.read(source, root=root)
        return [(video.path, manifest.resolve(video), video) for video in manifest.videos]
    if source.is_dir():
        found = [path for path in walk(source) if is_video(path)]
        if not found:
            raise InputError(f"{source} holds no video")
        return [(path.relative_to(source).as_posix(), path, None) for path in found]
    if source.is_file():
        return [(source.name, source, None)]
    raise InputError(f"{source} does not exist; give a manifest, a folder or a video")


def make_jobs(
    named: Sequence[tuple[str, Path, Video | None]],
    digests: DigestCache,
    *,
    faces: Faces = "original",
    views: int = 1,
) -> tuple[list[Job], list[Failure]]:
    """Digests each file; one that is gone, or not the one that was indexed, is a failure.

    Args:
        named: as `named_videos` gives them.
        digests: of files that were digested before.
        faces: whose are taken for a forgery; see `data.frames.FrameRecipe`.
        views: of each video that the manifest has in the training split; others have one.
    """
    jobs, failures = [], []
    found = digest_all(named, digests)
    originals = find_originals(named, found) if faces == "original" else {}
    for (name, path, video), sha256 in zip(named, found, strict=True):
        if isinstance(sha256, OSError):
            problem = VideoError("unreadable", f"cannot read the file: {sha256.strerror}")
            failures.append(failure_row(name, problem))
            continue
        if video is not None and video.sha256 != sha256:
            problem = VideoError("unreadable", "the file changed since it was indexed; index again")
            failures.append(failure_row(name, problem))
            continue
        seconds = video.duration_seconds if video else path.stat().st_size / 250_000
        learnt = video is not None and video.split == "train"
        jobs.append(
            Job(
                path=path,
                name=name,
                sha256=sha256,
                duration_seconds=max(seconds, 0.1),
                views=tuple(range(views if learnt else 1)),
                original=originals.get(sha256, ""),
            )
        )
    digests.save()
    return jobs, failures


def find_originals(
    named: Sequence[tuple[str, Path, Video | None]], sha256s: Sequence[str | OSError]
) -> dict[str, str]:
    """Digest of a forgery -> digest of the real video that it was made from.

    Args:
        named: as `named_videos` gives them.
        sha256s: of their files.

    Returns:
        Those whose original is here, as it was indexed, and is of the same size in pixels.
    """
    reals = {
        video.path: video
        for (_, _, video), sha256 in zip(named, sha256s, strict=True)
        if video is not None and not video.label and video.sha256 == sha256
    }
    found: dict[str, str] = {}
    for _, _, video in named:
        real = reals.get(video.original) if video is not None and video.label else None
        if video is None or real is None or real.sha256 == video.sha256:
            continue
        if (real.width, real.height) == (video.width, video.height):
            found.setdefault(video.sha256, real.sha256)
    return found


def digest_all(
    named: Sequence[tuple[str, Path, Video | None]], digests: DigestCache
) -> list[str | OSError]:
    """Digests of files, several at once; an error where one cannot be read.

    In runs of files: to hand 100,000 known ones to threads one by one would take seconds.
    """

    def digest(path: Path) -> str | OSError:
        try:
            return digests.sha256(path)
        except OSError as error:
            return error

    paths = [path for _, path, _ in named]
    size = max(1, len(paths) // 256)
    runs = [paths[start : start + size] for start in range(0, len(paths), size)]
    with ThreadPoolExecutor(cores()) as pool:
        return [one for run in pool.map(lambda run: list(map(digest, run)), runs) for one in run]


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
    )
    views = make_views(frames.views)
    return Wanted(frames=frames, recipe=recipe, identity=known, load=load, views=views)


def load_named(name: str, params: Params) -> Backbone:
    """The backbone of a name or path."""
    from models.backbone import load_backbone

    return load_backbone(name, size=params.frames.size, seed=params.seed)


def bundle_recipe(facts: dict[str, Any]) -> tuple[FrameRecipe, Recipe]:
    """The frames and the recipe that a bundle asks for.

    Raises:
        MismatchError: this unmask finds faces in another way.
    """
    recipe = Recipe.from_json(facts)
    if recipe.face_detector not in (None, FaceFinder().digest):
        raise MismatchError(
            f"the bundle was trained on faces found by detector {recipe.face_detector[:12]}, "
            f"this unmask has {FaceFinder().digest[:12]}; train the bundle anew"
        )
    return FrameRecipe(**recipe.frames), recipe


def run_extraction(
    jobs: Sequence[Job],
    wanted: Wanted,
    store: FeatureStore,
    params: Params,
    workers: int,
    *,
    read: Callable[..., Frames] = read_frames,
) -> ExtractSummary:
    """Runs stage one's engine; the backbone is loaded when the first frames are there.

    `read` is called as `data.frames.read_frames` is.
    """
    settings = params.extract

    def load() -> Encoder:
        from models.encoder import make_encoder

        return make_encoder(
            wanted.load(),
            batch_size=settings.batch_size,
            runtime=settings.runtime,
            mixed_precision=wanted.recipe.precision == "mixed",
        )

    faces = TimedFaces(FaceFinder()) if wanted.frames.crop == "face" else None
    summary = extract(
        jobs,
        read=partial(read, recipe=wanted.frames, faces=faces),
        encoder=LazyEncoder(wanted.identity, batch_size=settings.batch_size, load=load),
        store=store,
        workers=workers,
        views=wanted.views,
        augment=augment,
    )
    if faces is not None:
        summary.phases.faces = faces.seconds
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

    def sees(self, frame: NDArray[np.uint8], box: NDArray[np.float32]) -> bool:
        """As `FaceFinder.sees`."""
        clock = monotonic()
        try:
            return self._finder.sees(frame, box)
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
    from models.backbone import save_backbone

    save_backbone(wanted.load(), folder)


def tell_extraction(summary: ExtractSummary, out: Path, workers: int) -> None:
    """What a run of `extract` did, and where its time went."""
    failed = ", ".join(f"{name} {count}" for name, count in summary.failed_by_class.items())
    size = sum(path.stat().st_size for path in out.glob("*.h5"))
    print(
        f"{out}: {summary.done} videos done, {summary.reused} reused, "
        f"{len(summary.failures)} failed{f' ({failed})' if failed else ''}, {size / 1e6:.1f} MB"
        + (f"; {summary.augmented} augmented views made" if summary.augmented else "")
        + (f"; {summary.shared_faces} with faces of originals" if summary.shared_faces else "")
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
    for failure in summary.failures[:10]:
        print(plain(f"failed: {failure.path}: {failure.failure}: {failure.message}"))
    if len(summary.failures) > 10:
        print(f"failed: {len(summary.failures)} in all, see {out / 'failures.csv'}")


def after_extraction(source: Path, out: Path, bundle: Path | None) -> str:
    """What to type after `extract`; without a manifest there are no labels to go on with."""
    if source.suffix.casefold() != ".csv":
        return f"unmask store inspect {out}"
    if bundle is not None:
        return f"unmask evaluate {bundle} {out} --manifest {source} -o report"
    return f"unmask train {out} --manifest {source} -o bundle"


def finetune_backbone(
    manifest: Path,
    out: Path,
    *,
    root: Path | None,
    backbone: str | None,
    params: Params,
    store: Path,
    workers: int | None,
) -> None:
    """`unmask finetune`: fine-tunes the backbone on the training split's frames."""
    from models.backbone import load_backbone
    from models.finetune import finetune

    opened = Manifest.read(manifest, root=root)
    network = load_backbone(
        backbone or params.backbone.name, size=params.frames.size, seed=params.seed
    )
    check_replaceable(out, marker=RECORD)
    train, val = opened.split("train"), opened.split("val")
    workers = workers or cores()
    named = [(video.path, opened.resolve(video), video) for video in (*train, *val)]
    jobs, failures = make_jobs(
        named, DigestCache(store.parent / DIGESTS.name), faces=params.frames.whose_faces
    )
    with stored_crops(
        jobs, failures, params.frames, store=store, versions=versions(), workers=workers
    ) as read:
        result = finetune(
            train,
            val,
            read=read,
            backbone=network,
            config=params.finetune,
            out=out,
            seed=params.seed,
            workers=workers,
        )
    first, best = result.history[0], result.history[result.best_epoch]
    print(
        f"{out}: {result.backbone.name}, digest {result.backbone.digest[:12]}; validation AUC of "
        f"frames' mean {first['val_auc']:.3f} frozen, {best['val_auc']:.3f} at epoch "
        f"{result.best_epoch}; {result.stop_reason}"
    )
    for path, reason in result.failures[:10]:
        print(plain(f"failed: {path}: {reason}"))
    print(f"next: unmask extract {manifest} --backbone {out} -o features")


def train_bundle(
    features: Path, out: Path, *, manifest: Path, params: Params, tensorboard: Path | None = None
) -> None:
    """`unmask train`: trains the head and its baseline on cached features."""
    opened = Features(features)
    videos = Manifest.read(manifest)
    check_replaceable(out, marker=BUNDLE_RECORD)
    train = load_sequences(opened, videos.split("train"), views=True)
    val = load_sequences(opened, videos.split("val"))
    if not len(train):
        raise DatasetError(
            f"{features} has no features of the training videos of {manifest}; "
            "extract from this manifest"
        )
    from models.bundle import Bundle, BundledHead
    from models.calibration import calibrate
    from models.train import score, train_head
    from models.training_log import TrainingLog

    if train.views is not None:
        print(f"{opened.views.count} views of each training video, one drawn in each epoch")
    if train.viewless:
        print(f"{train.viewless} training videos lack augmented views; extract again to make them")
    runs = None if tensorboard is None else tensorboard / out.name
    heads = {}
    baseline = replace(params.head, kind="mean")
    for name, head in {"head": params.head, "baseline": baseline}.items():
        if name == "baseline" and params.head.kind == "mean":
            continue
        log = TrainingLog(head.kind, tensorboard=runs)
        trained = train_head(train, val, head=head, config=params.train, seed=params.seed, log=log)
        calibration, threshold = calibrate(
            val.labels, score(trained.model, val), val.groups, params.calibration, seed=params.seed
        )
        heads[name] = BundledHead.of(trained, threshold=threshold, calibration=calibration)
        best = trained.history[trained.best_epoch - 1]
        print(
            f"{head.kind}: {len(trained.history)} epochs; {trained.stop_reason}, "
            f"loss {best['val_loss']:.4f}"
        )
    Bundle(
        head=heads["head"],
        baseline=heads.get("baseline"),
        recipe=opened.recipe.to_json(),
        dim=opened.dim,
        trained_on={name: who(part) for name, part in (("train", train), ("val", val))},
        provenance=opened.provenance,
        backbone=carried if (carried := features / CARRIED).is_dir() else opened.recipe.backbone,
        controls=fit_controls(train, val, videos),
        command=training_command(features, manifest, out, params),
    ).save(out)
    for path in (*train.missing, *val.missing)[:10]:
        print(plain(f"left out, no features: {path}"))
    print(f"next: unmask evaluate {out} {features} --manifest {manifest} -o report")


def training_command(features: Path, manifest: Path, out: Path, params: Params) -> str:
    """What to type for the same bundle."""
    words = ["unmask", "train", str(features), "--manifest", str(manifest), "-o", str(out)]
    return " ".join(
        [shlex.join(words), *as_options(params, ("seed", "head", "train", "calibration"))]
    )


def fit_controls(train: Sequences, val: Sequences, manifest: Manifest) -> dict[str, Linear]:
    """Fits the linear controls on the videos that the head was trained on."""
    from models.controls import fit_linear, metadata, pooled

    known = {video.path: video for video in manifest.videos}
    files = [[known[path] for path in part.paths] for part in (train, val)]
    codecs = tuple(sorted({video.codec for video in files[0]}))
    inputs = {
        "metadata": [metadata(part, codecs) for part in files],
        "logistic": [pooled(part.features, part.mask) for part in (train, val)],
    }
    return {
        name: fit_linear(
            fit, train.labels, check, val.labels, codecs=codecs if name == "metadata" else ()
        )
        for name, (fit, check) in inputs.items()
    }


def who(sequences: Sequences) -> dict[str, list[str]]:
    """Digests and groups of these videos, for the leak guard."""
    return {
        "sha256s": sorted(set(sequences.sha256s)),
        "groups": sorted(set(sequences.groups)),
    }


def failure_row(path: str, error: VideoError) -> Failure:
    """An error as a row of failures.csv."""
    return Failure(
        path=path, failure=error.failure, message=str(error), stderr_tail=error.stderr_tail
    )


def versions() -> dict[str, str]:
    """What made the features, for the shards' headers."""
    from importlib.metadata import PackageNotFoundError, version

    told = {"ffmpeg": find_tools().version}
    for name in ("unmask", "tensorflow", "openvino", "h5py", "numpy", "pillow"):
        try:
            told[name] = version(name)
        except PackageNotFoundError:  # run from a checkout
            told[name] = "not installed"
    return told


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
