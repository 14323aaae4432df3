"""`unmask extract`: embeds videos that the store lacks, and publishes a folder of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.datasets.digests import DigestCache
from data.errors import ConfigError, TooManyFailuresError
from data.io.atomic_folders import check_replaceable
from data.io.output_paths import check_out_folder
from data.io.progress import log
from features.extraction.job import Job
from features.extraction.outdated import count_outdated, format_outdated
from features.extraction.summary import ExtractSummary
from features.store.adopt import adopt_feature_set
from features.store.feature_set import publish
from features.store.key import sequence_key
from features.store.layout import INDEX
from features.store.store import FeatureStore
from pipeline.config import Params
from pipeline.extraction.feature_spec import FeatureSpec, make_feature_spec
from pipeline.extraction.inputs import DIGESTS, make_jobs, named_videos, refuse_without_decoder
from pipeline.extraction.local import extract_locally
from pipeline.extraction.ray import extract_on_ray
from pipeline.machine import cores, versions
from pipeline.shell_commands import command_line


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What `unmask extract` did."""

    out: Path  # the folder of features
    videos: int  # how many were to be embedded
    size_bytes: int  # of the folder's shards
    summary: ExtractSummary  # what was embedded, reused, failed, and where the time went
    workers: int  # threads that read, of all machines together
    max_failures: float  # share of the videos that may fail
    next_command: str  # what to type next

    def check_failures(self) -> None:
        """Refuses a run of which too many videos failed, or all.

        Raises:
            ToolError: a decoder is missing that all of them need.
            TooManyFailuresError: otherwise; the others stay published.
        """
        failures = self.summary.failures
        if len(failures) == self.videos:
            refuse_without_decoder([(one.failure, one.message) for one in failures])
        if len(failures) > self.max_failures * self.videos or len(failures) == self.videos:
            raise TooManyFailuresError(
                f"{len(failures)} of {self.videos} videos failed, more than --max-failures "
                f"{self.max_failures:g} allows; see {self.out / 'failures.csv'}; the rest is kept "
                f"in {self.out}"
            )


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
    images: bool = False,
) -> Extraction:
    """Embeds what the store does not hold and publishes it; the arguments are the command's.

    Raises:
        ConfigError: options that do not belong together.
        InputError: there is no video.
        OutputError: `out` or the store cannot be written.
    """
    check_engine(engine, address, workers)
    if backbone is not None and bundle is not None:
        raise ConfigError("--bundle says which backbone it needs; leave --backbone out")
    check_replaceable(out, marker=INDEX)  # hours early
    check_out_folder(store)
    named = named_videos(source, root, images=images)
    digests = DigestCache(store.parent / DIGESTS.name)
    spec = make_feature_spec(params, backbone, bundle, cache=store.parent / "backbones.json")
    jobs, failures = make_jobs(named, digests, views=spec.views.count)
    workers = workers or cores()
    with FeatureStore(store, spec.recipe, versions=versions()) as opened:
        adopted = adopt_feature_set(out, opened)  # a fresh clone has features, and no store
        if adopted:
            kinds = "videos" if spec.views.count == 1 else "videos and views"
            log.info(f"{out}: {adopted} {kinds} adopted into {store}")
        for line in format_outdated(count_outdated(jobs, opened, out), spec.recipe):
            log.info(line)
        if engine == "ray":
            summary, workers = extract_on_ray(jobs, spec, opened, params, address)
        else:
            summary = extract_locally(jobs, spec, opened, params, workers, crops=store)
        summary.failures += failures
        publish_features(out, jobs, spec, opened, summary)
    return Extraction(
        out=out,
        videos=len(named),
        size_bytes=sum(path.stat().st_size for path in out.glob("*.h5")),
        summary=summary,
        workers=workers,
        max_failures=params.extract.max_failures if max_failures is None else max_failures,
        next_command=after_extraction(source, out, bundle),
    )


def check_engine(engine: str, address: str | None, workers: int | None) -> None:
    """Refuses options that nothing would read.

    Raises:
        ConfigError: an unknown engine, or an option of the other one.
    """
    if engine not in ("local", "ray"):
        raise ConfigError(f"--engine must be local or ray, got {engine!r}")
    if engine == "local" and address is not None:
        raise ConfigError("--address is of a Ray cluster; add --engine ray, or leave it out")
    if engine == "ray" and workers is not None:
        raise ConfigError("--workers is for --engine local; a Ray worker takes its node's cores")


def publish_features(
    out: Path,
    jobs: Sequence[Job],
    spec: FeatureSpec,
    store: FeatureStore,
    summary: ExtractSummary,
) -> None:
    """Publishes the features of the jobs; of one that failed now, no earlier ones either."""
    failed = {failure.path for failure in summary.failures}
    sha256s = [
        spec.views.sha256(job.sha256, view)
        for job in jobs
        if job.name not in failed
        for view in job.views
    ]
    keys = {sequence_key(sha256, spec.recipe) for sha256 in sha256s}
    shards = {shard.path: shard for key, shard in store.shards.items() if key in keys}
    publish(
        out,
        shards.values(),
        spec.recipe,
        dim=spec.fingerprint.dim,
        failures=summary.failures,
        provenance=spec.fingerprint.provenance,
        sha256s=sha256s,
        attach=spec.attach,
        views=spec.views,
    )


def after_extraction(source: Path, out: Path, bundle: Path | None) -> str:
    """The next command; without a manifest there are no labels to train on."""
    if source.suffix.casefold() != ".csv":
        return command_line("unmask", "store", "inspect", out)
    if bundle is not None:
        of = ("--manifest", source, "-o", "report")
        return command_line("unmask", "evaluate", bundle, out, *of)
    return command_line("unmask", "train", out, "--manifest", source, "-o", "bundle")
