"""What a judged path is: a video, a folder of frames or one image, and what its header says."""

from __future__ import annotations

from pathlib import Path

from data.errors import VideoError
from data.images.formats import is_image
from data.images.frame_folders import open_frames
from data.video.failures import reason_of
from data.video.probe import probe
from models.bundle import Bundle
from pipeline.evaluation.similar_videos import measured, median_side
from pipeline.inference.verdict import FileFacts, Judged

BY: dict[str | None, str] = {
    "head": "judged by the detector's head, calibrated on single frames of validation videos",
    "linear part": "judged by the linear part of the detector's head, calibrated on single frames "
    "of validation videos; what changes over time cannot be seen",
    "baseline": "judged by the detector's mean-pool baseline, calibrated on single frames of "
    "validation videos; its head needs several frames",
    None: "for which this detector has no calibration",
}
"""Which part of a bundle judged an image, in words."""


def source_of(path: Path, bundle: Bundle) -> tuple[str, str | None]:
    """What a judged path is, and how it was understood; `bundle` judged it."""
    if is_image(path):
        judge = bundle.one_image.judge if bundle.one_image is not None else None
        return "image", f"one image, {BY[judge]}"
    if not path.is_dir():
        return "video", None
    try:
        return "frames", open_frames(path).note()
    except VideoError:  # it was there when it was read
        return "frames", None


def file_facts(judged: Judged) -> FileFacts:
    """What the file's header says, and what the file says of itself; it may be gone since."""
    from data.declared.read import read_declared  # only pages need it

    assert judged.path is not None  # noqa: S101 - a video with a verdict has a file
    try:
        info = probe(judged.path)
    except VideoError as error:
        return FileFacts(card={"header": f"no longer readable: {reason_of(error)}"}, quantities={})
    declared = read_declared(judged.path)
    frames = judged.faces[0].frames
    quantities = measured(
        width=info.width,
        height=info.height,
        fps=info.fps,
        bit_rate=info.bit_rate,
        face_pixels=median_side(frames.boxes),
        frames=len(frames.boxes),
    )
    card = {
        "size": f"{info.size_bytes / 1e6:.2f} MB",
        "length": f"{info.duration_seconds:.2f} s",
        "picture": f"{info.width} x {info.height}, {info.fps:.2f} frames/s",
        "codec": f"{info.codec}, {info.pixel_format}",
        "bit rate": f"{info.bit_rate / 1000:.0f} kbit/s",
    }
    if info.kind == "image":
        card = {
            "size": card["size"],
            "picture": f"{info.width} x {info.height}",
            "format": f"{info.codec}, {info.pixel_format}",
        }
    elif info.kind == "frames":
        card |= {"frames": info.note}
    return FileFacts(card=card, quantities=quantities, declared=declared)
