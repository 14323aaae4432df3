"""What a verdict's page shows beside the verdict: heat maps of the faces, facts about the file."""

from __future__ import annotations

from data.errors import VideoError
from data.video.probe import probe
from data.video.reasons import reason_of
from models.bundle import Bundle
from models.explanation.occlusion import HeatMap, heat_map
from pipeline.inference.verdict import Judged


def heat_maps(bundle: Bundle, judged: Judged) -> dict[int, HeatMap]:
    """Number of a face -> what moved its score; takes some seconds for each."""
    assert judged.encoder is not None  # noqa: S101 - a video with a verdict was embedded
    return {
        one.verdict.face: heat_map(bundle.head, judged.encoder, one.frames.pixels, one.features)
        for one in judged.faces
    }


def file_facts(judged: Judged) -> dict[str, str]:
    """What ffprobe reads from the file's header; the file may be gone since it was judged."""
    assert judged.path is not None  # noqa: S101 - a video with a verdict has a file
    try:
        info = probe(judged.path)
    except VideoError as error:
        return {"header": f"no longer readable: {reason_of(error)}"}
    return {
        "size": f"{info.size_bytes / 1e6:.2f} MB",
        "length": f"{info.duration_seconds:.2f} s",
        "picture": f"{info.width} x {info.height}, {info.fps:.2f} frames/s",
        "codec": f"{info.codec}, {info.pixel_format}",
        "bit rate": f"{info.bit_rate / 1000:.0f} kbit/s",
    }
