"""What was seen in a video over time, for the page's player."""

from __future__ import annotations

from pipeline.app.store.models import FaceTimeline, Timeline, Window
from pipeline.inference.verdict import Judged
from pipeline.reporting.verdict_faces import timeline


def timeline_of(judged: Judged) -> Timeline:
    """The faces of a judged video with the axes of their charts on its page."""
    assert judged.bundle is not None  # noqa: S101 - it has a verdict
    head = judged.bundle.head
    width = height = 0
    faces = []
    for one in judged.faces:
        frames = one.frames
        if frames.shown is not None:
            width, height = (max(size, int(side)) for size, side in
                             zip((width, height), frames.shown.max(0), strict=True))  # fmt: skip
        axis = timeline(one.score, head.threshold, head.calibration).x
        faces.append(
            FaceTimeline(
                face=one.verdict.face,
                times=[float(at) for at in frames.timestamps_seconds],
                boxes=[(float(box[0]), float(box[1]), float(box[2]), float(box[3]))
                       for box in frames.boxes],
                found=[bool(found) for found in frames.face_found],
                windows=[
                    Window(
                        start_seconds=window.start_seconds,
                        end_seconds=window.end_seconds,
                        probability_fake=window.probability_fake,
                        verdict=head.calibration.verdict(window.probability_fake, head.threshold),  # type: ignore[arg-type]
                    )
                    for window in one.score.windows
                ],
                axis=(axis.low, axis.high),
            )
        )  # fmt: skip
    return Timeline(width=width, height=height, faces=faces)
