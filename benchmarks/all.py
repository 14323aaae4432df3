"""Runs the benchmarks one after the other and writes what they print to a page.

    python benchmarks/all.py docs/performance.md [--only store.py --only scan.py]

`--only` runs these scripts alone, and replaces their sections of the page. Each section names the
day, the machine with its matrix units, and how busy it was. A benchmark that failed says so on the
page, and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.operating_system.machine import processor_facts
from models.matrix_units import cpu_flags

ROOT = Path(__file__).parents[1]
RUNS = (
    ("The backbone's runtimes, ResNet50", ["backbone.py"]),
    ("The backbone's runtimes, half width", ["backbone.py", "--backbone", "resnet50-thin"]),
    ("Precision and what heads find", ["precision.py"]),
    ("Stage one", ["extract.py"]),
    ("Stage one, ResNet50", ["extract.py", "--backbone", "resnet50-random", "--parts", "wall"]),
    ("Stage one beside PyTorch", ["extract_peers.py"]),
    ("The face finder", ["faces.py"]),
    ("Data sets on paper", ["scale.py", "--into", "docs/scale.md"]),
    ("The store", ["store.py", "--plot", "docs/store-growth.svg"]),
    ("A scan", ["scan.py"]),
    ("The forge", ["forge.py"]),
    ("Fine-tuning", ["finetune.py"]),
    (
        "Fine-tuning all layers of ResNet50",
        [
            "finetune.py",
            "--backbone",
            "resnet50-random",
            "--unfreeze",
            "all",
            "--rounds",
            "1",
        ],
    ),
    ("Fine-tuning's precision", ["finetune_precision.py"]),
    ("Heads", ["train.py"]),
    ("Evaluation", ["evaluate.py"]),
    ("A verdict", ["predict.py"]),
    ("The local page", ["app.py"]),
)
HEAD = """# Performance

Written by `make bench`. Each section names its day and machine: absolute times are that machine's,
ratios were measured in one run. What each figure means stands at the top of its script.
"""
MATRIX_UNITS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Flags of /proc/cpuinfo that decide how fast float32, bfloat16 and int8 products are."""


def machine() -> tuple[str, str]:
    """The processor's name and its matrix units, as Linux names them."""
    found = cpu_flags()
    units = ", ".join(unit for unit in MATRIX_UNITS if unit in found)
    name = processor_facts("model name") or platform.machine()
    return name, units or ("none of AVX2 and later" if found else "unknown")


def sections(page: str) -> dict[str, str]:
    """The page's sections by title, each with its heading."""
    parts = re.split(r"(?m)^(?=## )", page)[1:]
    return {part.splitlines()[0].removeprefix("## "): part.strip() for part in parts}


def section(title: str, script: str, arguments: list[str]) -> tuple[str, bool]:
    """Runs one benchmark: its section of the page, and whether it succeeded."""
    load = os.getloadavg()[0]
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    output = ended.stdout.strip()
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        output = f"{output}\nfailed: {lines[-1] if lines else ended.returncode}".strip()
    else:
        json.loads(output.splitlines()[-1])
    shown = " ".join(["python", f"benchmarks/{script}", *arguments])
    day = time.strftime("%Y-%m-%d")
    name, units = machine()
    where = (
        f"{len(os.sched_getaffinity(0))} cores of {name} ({units}), Python "
        f"{platform.python_version()}, load average before {load:.1f}"
    )
    text = f"## {title}\n\n`{shown}`, {day}, {where}\n\n```\n{output}\n```"
    if "--plot" in arguments:
        plot = Path(arguments[-1]).name
        text += f"\n\n![{title}: seconds and GB against videos]({plot})"
    return text, not ended.returncode


def main() -> None:
    """Runs them one after the other: together they would disturb each other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--only", action="append", metavar="SCRIPT", default=[])
    options = parser.parse_args()
    unknown = set(options.only) - {script for _, (script, *_) in RUNS}
    if unknown:
        parser.error(f"no benchmark of that name: {', '.join(sorted(unknown))}")
    kept = sections(options.page.read_text(encoding="utf-8")) if options.only else {}
    failed = 0
    for title, (script, *arguments) in RUNS:
        if options.only and script not in options.only:
            continue
        print(f"{script} {' '.join(arguments)}", flush=True)
        kept[title], succeeded = section(title, script, arguments)
        failed += not succeeded
        texts = [kept[title] for title, _ in RUNS if title in kept]
        options.page.write_text("\n\n".join([HEAD.strip(), *texts]) + "\n", encoding="utf-8")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
