"""Counts of the videos that a network was trained on: people, filmed or rendered, and forgeries.

Made from the manifest when a network is trained, and kept in the bundle and in the record of a
fine-tuned backbone; a verdict shows it. No TensorFlow.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from data.datasets.manifest import Video

RENDERED_METHOD = "rendered"
"""Prefix of methods of videos that are rendered by code, not deepfakes of filmed people."""
FILMED, RENDERED, UNKNOWN = ORIGINS = ("filmed", "rendered", "unknown")


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """Videos of one split."""

    videos: int  # how many
    groups: int  # of people, as the manifest has them
    reals: int  # real videos
    fakes: int  # forgeries
    methods: dict[str, int]  # number of forgeries by method
    origins: dict[str, int]  # number of groups by origin: "filmed", "rendered", "unknown"

    @classmethod
    def of(cls, videos: Iterable[Video]) -> TrainingSummary:
        """Counts rows of a manifest.

        A group is filmed where one of its videos is by the manifest, else rendered where one is, or
        where a forgery of it was rendered: demo manifests of earlier versions have only that.
        """
        found: dict[str, set[str]] = defaultdict(set)
        labels: Counter[int] = Counter()
        methods: Counter[str] = Counter()
        for video in videos:
            rendered = video.label == 1 and video.method.startswith(RENDERED_METHOD)
            found[video.group].add(video.origin or (RENDERED if rendered else UNKNOWN))
            labels[video.label] += 1
            if video.label == 1:
                methods[video.method] += 1
        origins = Counter(next(one for one in ORIGINS if one in held) for held in found.values())
        return cls(
            videos=labels.total(),
            groups=len(found),
            reals=labels[0],
            fakes=labels[1],
            methods=dict(sorted(methods.items())),
            origins=dict(sorted(origins.items())),
        )

    @property
    def rendered_alone(self) -> bool:
        """Whether every group is known to be rendered."""
        return self.groups > 0 and self.origins.get(RENDERED, 0) == self.groups

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> TrainingSummary:
        """Reads the plain values of a record.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        counts = {name: int(facts[name]) for name in ("videos", "groups", "reals", "fakes")}
        return cls(
            **counts,
            methods={str(name): int(count) for name, count in dict(facts["methods"]).items()},
            origins={str(name): int(count) for name, count in dict(facts["origins"]).items()},
        )
