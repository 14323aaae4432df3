"""The leak guard: no network is measured on, or chosen by, people whom it learnt from.

Weights and bundles carry the digests and groups of the videos that they learnt from:
`{"train": {"sha256s": [...], "groups": [...]}, "val": {...}}`. Every command asks here, before any
work of its own:

- `evaluate`, its matrix, `robustness`, `compare`: no video that is measured, nor its group, may
  have trained or validated the head or the backbone.
- `train`, `sweep`, `finetune`: no validation video, nor its group, may have trained the backbone,
  as after a new split. Early stopping, calibration and threshold would be chosen on people whom the
  backbone knows.

`--allow-seen` goes on all the same and leaves a mark, which travels in weights, bundles and
reports. No TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.datasets.manifest import Manifest, Video
from data.errors import LeakError
from features.store.feature_set import SEEN_IN_VALIDATION

if TYPE_CHECKING:
    from models.bundle import Bundle

MARK = SEEN_IN_VALIDATION
"""Key of bundle.json, of a backbone's provenance, and of metrics.json."""

TrainedOn = Mapping[str, Mapping[str, Sequence[str]]]
"""Part ("train", "val") -> "sha256s", "groups" -> names."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Those of some videos that a network has seen before.

    Attributes:
        of: how many videos were asked about.
        paths: of videos whose very file it has seen.
        people: groups of videos whose file or group it has seen, sorted.
    """

    of: int
    paths: tuple[str, ...]
    people: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.people)


def seen_among(
    videos: Iterable[Video],
    parts: Iterable[Mapping[str, Sequence[str]]],
    *,
    but: Iterable[str] = (),
) -> Seen:
    """Compares videos with what a network learnt from.

    Args:
        videos: to be measured, or to choose by.
        parts: of `TrainedOn`.
        but: digests of videos whose group does not count against them.
    """
    digests: set[str] = set()
    groups: set[str] = set()
    for part in parts:
        digests |= set(part.get("sha256s", ()))
        groups |= set(part.get("groups", ()))
    excused = set(but)
    asked = list(videos)
    files = [video for video in asked if video.sha256 in digests]
    people = {video.group for video in files}
    people |= {
        video.group for video in asked if video.group in groups and video.sha256 not in excused
    }
    return Seen(
        of=len(asked),
        paths=tuple(video.path for video in files),
        people=tuple(sorted(people)),
    )


def refuse_seen(
    bundle: Bundle, videos: Iterable[Video], *, allow_seen: bool, where: str = ""
) -> str:
    """The guard of every evaluation; returns what was seen, in words, where that is allowed.

    Raises:
        LeakError: a video or a group was seen in training, and `allow_seen` is false.
    """
    parts = [
        part
        for trained_on in (bundle.trained_on, bundle.provenance.get("trained_on", {}))
        for part in trained_on.values()
    ]
    seen = seen_among(videos, parts)
    if not seen:
        return ""
    if seen.paths:
        told = (
            f"{len(seen.paths)} of these videos were seen in training, {seen.paths[0]} for one, "
            f"of {_people(seen)}"
        )
    else:
        told = f"{len(seen.people)} of these groups were seen in training, {seen.people[0]} for one"
    if not allow_seen:
        raise LeakError(
            f"{where}{told}; evaluate on videos of other people, or pass --allow-seen, which marks "
            "the report"
        )
    return told


def refuse_seen_validation(
    provenance: Mapping[str, Any], manifest: Manifest, *, allow_seen: bool, marks: str = "bundle"
) -> str:
    """The guard of every training; returns what was seen, in words, where that is allowed.

    A video that validated the backbone may validate again, even where a published split has its
    person in training, too: nothing has changed sides.

    Args:
        provenance: of the backbone, or of features that it made.
        manifest: whose validation split is to be chosen by.
        allow_seen: go on all the same.
        marks: what is marked then, for the message.

    Raises:
        LeakError: a validation video or group trained the backbone, and `allow_seen` is false.
    """
    trained_on: TrainedOn = provenance.get("trained_on", {})
    validated = trained_on.get("val", {}).get("sha256s", ())
    seen = seen_among(manifest.split("val"), [trained_on.get("train", {})], but=validated)
    if not seen:
        return ""
    told = _told(seen, "validation")
    if not allow_seen:
        raise LeakError(
            f"{told}; take the split that it was fine-tuned on, fine-tune on this one, or pass "
            f"--allow-seen, which marks the {marks}"
        )
    return told


def warnings_of(seen: str, provenance: Mapping[str, Any], manifest: Manifest) -> list[str]:
    """What a training says before it begins: what was allowed, and what will be refused later.

    Args:
        seen: what `refuse_seen_validation` returned.
        provenance: of the backbone.
        manifest: whose test split is to be measured later.
    """
    trained_on: TrainedOn = provenance.get("trained_on", {})
    test = seen_among(manifest.split("test"), trained_on.values())
    refused = "`unmask evaluate` will refuse that split without --allow-seen"
    return ([seen] if seen else []) + ([f"{_told(test, 'test')}; {refused}"] if test else [])


def learnt_from(bundle: Bundle, sha256: str | None) -> list[str]:
    """Which of head and backbone saw this very file in their training."""
    networks = {"head": bundle.trained_on, "backbone": bundle.provenance.get("trained_on", {})}
    return [
        name
        for name, trained_on in networks.items()
        if any(sha256 in part.get("sha256s", ()) for part in trained_on.values())
    ]


def learnt_from_any(bundle: Bundle, videos: Iterable[Video]) -> bool:
    """Whether the head was trained or validated on any of these files."""
    return bool(seen_among(videos, bundle.trained_on.values()).paths)


def marked(provenance: Mapping[str, Any], seen: str) -> dict[str, str]:
    """The mark of weights that go on from others: theirs and the new one; {} for none."""
    told = "; ".join(dict.fromkeys(filter(None, (str(provenance.get(MARK, "")), seen))))
    return {MARK: told} if told else {}


def marks_of(bundle: Bundle) -> list[str]:
    """What whoever uses this bundle must know of its training with --allow-seen, a line each."""
    found = []
    if bundle.seen_in_validation:
        found.append(
            f"trained with --allow-seen: {bundle.seen_in_validation}; its threshold and its "
            "calibration were chosen on people whom the backbone knows"
        )
    tuned = str(bundle.provenance.get(MARK, ""))
    if tuned:
        found.append(
            f"backbone fine-tuned with --allow-seen: {tuned}; its epoch was chosen on people whom "
            "it knew"
        )
    return found


def _told(seen: Seen, split: str) -> str:
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
