"""The leak guard: no network is measured on, or chosen by, people whom it was trained on.

Weights and bundles carry the digests and groups of the videos that they were trained on:
`{"train": {"sha256s": [...], "groups": [...]}, "val": {...}}`. Every command asks here before any
work of its own:

- `evaluate`, its matrix, `robustness`, `compare`: no evaluated video, nor its group, may have
  trained or validated the head or the backbone (`refuse_seen`).
- `train`, `sweep`, `finetune`: no validation video, nor its group, may have trained the backbone,
  as can happen after a new split (`refuse_seen_validation`). Early stopping, calibration and
  threshold would be chosen on people whom the backbone knows.

`--allow-seen` continues all the same and records it in weights, bundles and reports. No TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.datasets.manifest import Manifest, Video
from data.errors import LeakError
from data.io.progress import log
from features.store.feature_set import SEEN_IN_VALIDATION

if TYPE_CHECKING:
    from models.bundle import Bundle


TrainedOn = Mapping[str, Mapping[str, Sequence[str]]]
"""Part ("train", "val") -> "sha256s", "groups" -> names."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Videos and people that a network was trained on; false where there are none."""

    of: int  # how many videos were compared
    paths: tuple[str, ...]  # of videos whose very file it was trained on
    people: tuple[str, ...]  # groups of videos whose file or group it was trained on, sorted

    def __bool__(self) -> bool:
        return bool(self.people)


def seen_among(
    videos: Iterable[Video],
    parts: Iterable[Mapping[str, Sequence[str]]],
    *,
    exempt: Iterable[str] = (),
) -> Seen:
    """Compares videos with those that a network was trained on.

    Args:
        videos: to be evaluated, or to validate by.
        parts: values of a `TrainedOn`.
        exempt: digests of videos whose group does not count; their file still does.
    """
    held = list(parts)
    digests = {sha256 for part in held for sha256 in part.get("sha256s", ())}
    groups = {group for part in held for group in part.get("groups", ())}
    exempt = set(exempt)
    compared = list(videos)
    files = [video for video in compared if video.sha256 in digests]
    people = {video.group for video in files}
    people |= {v.group for v in compared if v.group in groups and v.sha256 not in exempt}
    return Seen(
        of=len(compared),
        paths=tuple(video.path for video in files),
        people=tuple(sorted(people)),
    )


def trained_on(bundle: Bundle) -> dict[str, TrainedOn]:
    """Training videos of the bundle's "head" and "backbone"; none for a public backbone."""
    return {"head": bundle.trained_on, "backbone": bundle.provenance.get("trained_on", {})}


def networks_trained_on(bundle: Bundle, sha256: str | None) -> list[str]:
    """Which of "head" and "backbone" were trained or validated on this very file."""
    return [
        network
        for network, parts in trained_on(bundle).items()
        if any(sha256 in part.get("sha256s", ()) for part in parts.values())
    ]


def refuse_seen(
    bundle: Bundle, videos: Iterable[Video], *, allow_seen: bool, where: str = ""
) -> str:
    """The guard of every evaluation; `where` begins the error's message.

    Returns:
        What was seen in training, in words; empty if nothing.

    Raises:
        LeakError: a video or a group was seen in training, and `allow_seen` is false.
    """
    parts = [part for parts in trained_on(bundle).values() for part in parts.values()]
    return refuse_seen_among(parts, videos, allow_seen=allow_seen, where=where)


def refuse_seen_among(
    parts: Iterable[Mapping[str, Sequence[str]]],
    videos: Iterable[Video],
    *,
    allow_seen: bool,
    where: str = "",
) -> str:
    """As `refuse_seen`, of a network whose training videos are `parts`: see `seen_among`."""
    seen = seen_among(videos, parts)
    if not seen:
        return ""
    words = (
        f"{len(seen.paths)} of these videos were seen in training, {seen.paths[0]} for one, "
        f"of {_people(seen)}"
        if seen.paths
        else f"{len(seen.people)} of these groups were seen in training, {seen.people[0]} for one"
    )
    if not allow_seen:
        raise LeakError(
            f"{where}{words}; evaluate on videos of other people, or pass --allow-seen, which "
            "marks the report"
        )
    return words


def refuse_seen_validation(
    provenance: Mapping[str, Any], manifest: Manifest, *, allow_seen: bool, result: str = "bundle"
) -> str:
    """The guard of every training; warns of what it let pass, and of a test split seen before.

    A video that validated the backbone may validate again, even where a published split has its
    person in training, too: nothing has changed sides.

    Args:
        provenance: of the backbone, or of features that it made.
        manifest: of the training.
        allow_seen: continue all the same.
        result: what will record it, for the message.

    Returns:
        What the backbone has seen of the validation split, in words; empty if nothing.

    Raises:
        LeakError: a validation video or group trained the backbone, and `allow_seen` is false.
    """
    parts: TrainedOn = provenance.get("trained_on", {})
    validated = parts.get("val", {}).get("sha256s", ())
    seen = seen_among(manifest.split("val"), [parts.get("train", {})], exempt=validated)
    words = _describe(seen, "validation") if seen else ""
    if seen and not allow_seen:
        raise LeakError(
            f"{words}; take the split that it was fine-tuned on, fine-tune on this one, or pass "
            f"--allow-seen, which marks the {result}"
        )
    if seen:
        log.warning(words)
    if test := seen_among(manifest.split("test"), parts.values()):
        log.warning(
            f"{_describe(test, 'test')}; `unmask evaluate` will refuse that split without "
            "--allow-seen"
        )
    return words


def record_seen(provenance: Mapping[str, Any], seen: str) -> dict[str, str]:
    """The entry in a record of weights that were fine-tuned with --allow-seen.

    `provenance` is that of the weights they started from, `seen` what `refuse_seen_validation`
    gave.

    Returns:
        `SEEN_IN_VALIDATION` -> both in words; {} for none.
    """
    both = (str(provenance.get(SEEN_IN_VALIDATION, "")), seen)
    words = "; ".join(dict.fromkeys(filter(None, both)))
    return {SEEN_IN_VALIDATION: words} if words else {}


def training_leaks(bundle: Bundle) -> list[str]:
    """Warnings about a training with --allow-seen, for every use of the bundle."""
    found = []
    if bundle.seen_in_validation:
        found.append(
            f"trained with --allow-seen: {bundle.seen_in_validation}; its threshold and its "
            "calibration were chosen on people whom the backbone knows"
        )
    tuned = str(bundle.provenance.get(SEEN_IN_VALIDATION, ""))
    if tuned:
        found.append(
            f"backbone fine-tuned with --allow-seen: {tuned}; its epoch was chosen on people whom "
            "it knew"
        )
    return found


def _describe(seen: Seen, split: str) -> str:
    """Which videos or people of a split trained the backbone."""
    if seen.paths:
        return (
            f"{len(seen.paths)} of the {seen.of} {split} videos trained the backbone, "
            f"{seen.paths[0]} for one, of {_people(seen)}"
        )
    return f"{_people(seen)} of the {split} split trained the backbone, {seen.people[0]} for one"


def _people(seen: Seen) -> str:
    count = len(seen.people)
    return f"{count} people" if count > 1 else "1 person"
