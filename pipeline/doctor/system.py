"""What is around unmask: ffmpeg and its decoders, processor, memory, folders and their disks."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from pathlib import Path

from data.errors import NoDecoderError, ToolError, UnmaskError
from data.operating_system.machine import (
    all_memory_bytes,
    cores,
    free_memory_bytes,
    processor_facts,
)
from pipeline.doctor.result import Finding, Findings, Group, Status

DECODERS = {
    "h264": "most videos",
    "hevc": "phones' videos",
    "vp9": "WebM, YouTube",
    "av1": "newer WebM and MP4, YouTube",
    "mpeg4": "older AVI and MP4",
}
"""Codec -> where it is met."""
USUAL = ("h264", "mpeg4")
"""Codecs that every ffmpeg should decode; data sets are made of them."""
LOW_MEMORY_BYTES = 4 << 30
"""Below it training and extraction may not fit: TensorFlow with a backbone takes 2 GiB."""
LOW_DISK_BYTES = 1 << 30
"""Below it a store or a case file may not fit."""
PROBE_BYTES = 1 << 20
"""Written to find out whether a disk is full."""


def check_ffmpeg() -> Findings:
    """The ffmpeg that is used, its release, and the decoders that matter."""
    from data.video import ffmpeg
    from data.video.ffmpeg_binaries import CROPS_CONTAINER, release

    get_one = "pip install 'unmask[ffmpeg]', or install ffmpeg 7.1 or later"
    try:
        tools = ffmpeg.find_tools()
    except ToolError as error:
        found, _, remedy = str(error).partition(": pip install")
        yield Finding(
            group="ffmpeg",
            name="ffmpeg",
            status="problem",
            found=found,
            remedy=f"pip install{remedy}" if remedy else get_one,
        )
        return
    old = release(tools.version) < CROPS_CONTAINER
    yield Finding(
        group="ffmpeg",
        name="ffmpeg",
        status="note" if old else "ok",
        found=f"{tools.version} ({tools.ffmpeg}"
        + (
            "), which shows the whole coded picture of videos that are to be cropped"
            if old
            else ")"
        ),
        remedy=get_one if old else None,
    )
    for codec, where in DECODERS.items():
        try:
            program = ffmpeg.ffmpeg_for(codec)
        except NoDecoderError:
            yield Finding(
                group="ffmpeg",
                name=codec,
                status="problem" if codec in USUAL else "note",
                found=f"no decoder: {where} cannot be read",
                remedy="pip install 'unmask[ffmpeg]', or set UNMASK_FFMPEG_DIR to another ffmpeg",
            )
            continue
        other = "" if program == tools.ffmpeg else f", by {program}"
        yield Finding(group="ffmpeg", name=codec, status="ok", found=f"decoded: {where}{other}")


def check_processor() -> Findings:
    """Cores, vector and matrix units, what will be fast, the GPU, memory."""
    from models.backbones.precision import fastest_precision, has_nvidia
    from models.matrix_units import UNITS, cpu_flags

    flags = cpu_flags()
    name = processor_facts("model name") or platform.processor() or platform.machine()
    yield _finding("processor", "processor", f"{name}, {cores()} cores for this process")
    x86 = platform.machine().casefold() in ("x86_64", "amd64")
    if flags and x86 and "avx" not in flags:
        yield Finding(
            group="processor",
            name="vector units",
            status="problem",
            found="no AVX, which the packages of TensorFlow need",
            remedy="use a processor made after 2012, or a virtual machine that passes AVX on",
        )
    elif flags and x86:
        wide = [one for one in ("avx2", "avx512f") if one in flags]
        slow = "avx512f" not in flags
        yield Finding(
            group="processor",
            name="vector units",
            status="note" if slow else "ok",
            found=", ".join(wide or ["avx"])
            + (": no AVX512, so float32 is slower" if slow else ""),
        )
    else:
        yield Finding(
            group="processor",
            name="vector units",
            status="note",
            found="not known on this system",
        )
    units = dict.fromkeys(unit for some in UNITS.values() for unit in some if unit in flags)
    precision = fastest_precision()
    yield Finding(
        group="processor",
        name="matrix units",
        status="ok" if units else "note",
        found=", ".join(units) or "none, or not known on this system",
    )
    runtime = "OpenVINO" if _has_openvino() else "TensorFlow"
    yield Finding(
        group="processor",
        name="precision",
        status="ok" if precision == "bfloat16" or not units else "note",
        found=f"extract.precision auto is {precision}, on {runtime}",
        remedy=_unused_units() if precision != "bfloat16" and not has_nvidia() else None,
    )
    yield _finding(
        "processor", "GPU", "an NVIDIA device" if has_nvidia() else "none that TensorFlow uses"
    )
    free, everything = free_memory_bytes(), all_memory_bytes()
    low = free is not None and free < LOW_MEMORY_BYTES
    yield Finding(
        group="processor",
        name="memory",
        status="note" if low else "ok",
        found="not known on this system"
        if free is None or everything is None
        else f"{_gib(free)} free of {_gib(everything)}",
        remedy="close other programs, or take fewer --workers" if low else None,
    )


def _unused_units() -> str | None:
    """What would use a unit for bfloat16 that is there; None where none is."""
    from models.matrix_units import LIMITS, matrix_unit

    if matrix_unit("bfloat16") is None:
        return None
    if not _has_openvino():
        return "pip install 'unmask[openvino]' uses these units"
    return f"unset {next(name for name in LIMITS if os.environ.get(name))}, which keeps them unused"


def _has_openvino() -> bool:
    from models.backbones.openvino_encoder import has_openvino

    return has_openvino()


def check_disk(store: Path) -> Findings:
    """The folders that unmask writes to beside what it is told to.

    Args:
        store: of finished features.
    """
    from models.user_cache import cache_folder

    yield _folder("store", store, needed=True, remedy="free some space, or name another by --store")
    try:
        temporary: Path | None = Path(tempfile.gettempdir())
    except OSError:  # no folder at all in which a file can be written
        temporary = None
    asked = next((os.environ[one] for one in ("TMPDIR", "TEMP", "TMP") if os.environ.get(one)), "")
    remedy = "free some space, or set TMPDIR to another folder"
    if temporary is None:
        yield Finding(
            group="disk",
            name="temporary files",
            status="problem",
            found="no folder for them can be written",
            remedy=remedy,
        )
    else:
        if asked and Path(asked).absolute() != temporary.absolute():
            yield Finding(
                group="disk",
                name="TMPDIR",
                status="note",
                found=f"{asked} cannot be written; {temporary} is used",
                remedy="free some space there, or set TMPDIR to another folder",
            )
        yield _folder("temporary files", temporary, needed=True, remedy=remedy)
    yield _folder(
        "cache",
        cache_folder(),
        needed=False,
        remedy="free some space, or set UNMASK_CACHE_DIR to another folder; without it each start "
        "takes seconds longer",
    )


def _folder(name: str, folder: Path, *, needed: bool, remedy: str) -> Finding:
    """Whether a folder, or the nearest one above it, can be written, and how much space is left."""
    at = folder.absolute()
    try:
        while not at.exists() and at != at.parent:
            at = at.parent
        free = shutil.disk_usage(at).free
        _write(at, folder)
    except (OSError, UnmaskError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Finding(
            group="disk",
            name=name,
            status="problem" if needed else "note",
            found=f"{folder} cannot be written: {reason}",
            remedy=remedy,
        )
    low = free < LOW_DISK_BYTES
    return Finding(
        group="disk",
        name=name,
        status="note" if low else "ok",
        found=f"{folder}, {_gib(free)} free",
        remedy=remedy if low else None,
    )


def _write(at: Path, folder: Path) -> None:
    """Writes a file without a name for a moment.

    Raises:
        OSError: it cannot be written.
    """
    if not at.is_dir():
        raise NotADirectoryError(0, f"{at} is no folder", str(folder))
    with tempfile.TemporaryFile(dir=at) as file:
        file.write(bytes(PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _finding(group: Group, name: str, found: str, status: Status = "ok") -> Finding:
    return Finding(group=group, name=name, status=status, found=found)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):.1f} GiB"
