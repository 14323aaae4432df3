"""Runs every benchmark and writes what they print to a page.

    python benchmarks/all.py docs/performance.md

The page says which benchmarks failed, or were skipped because PyTorch is not installed.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = (
    ("The backbone's runtimes, ResNet50", ["backbone.py"]),
    ("The backbone's runtimes, half width", ["backbone.py", "--backbone", "resnet50-thin"]),
    ("Stage one", ["extract.py"]),
    ("Stage one beside PyTorch", ["extract_peers.py"]),
    ("The face finder", ["faces.py"]),
    ("Data sets on paper", ["scale.py"]),
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
)
HEAD = """# Performance

Written by `make bench` (and `make bench-peers` for what needs PyTorch) on {cores} cores, {machine},
Python {python}. Absolute times are this machine's; ratios were measured in one run. What each
figure means stands at the top of its script.
"""


def machine() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.machine()


def main() -> None:
    """Runs them one after the other: together they would disturb each other."""
    out = Path(sys.argv[1])
    parts = [
        HEAD.format(
            cores=len(os.sched_getaffinity(0)),
            machine=machine(),
            python=platform.python_version(),
        )
    ]
    failed = 0
    for title, (script, *arguments) in RUNS:
        if not (ROOT / "benchmarks" / script).is_file():
            continue
        command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
        print(f"{script} {' '.join(arguments)}", flush=True)
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        told = ended.stdout.strip()
        if ended.returncode:
            failed += 1
            lines = ended.stderr.strip().splitlines()
            told = f"{told}\nfailed: {lines[-1] if lines else ended.returncode}".strip()
        else:
            json.loads(told.splitlines()[-1])
        shown = " ".join([script, *arguments])
        picture = f"\n![{title}]({Path(arguments[-1]).name})\n" if "--plot" in arguments else ""
        parts.append(f"## {title}\n\n`python benchmarks/{shown}`\n\n```\n{told}\n```\n{picture}")
        out.write_text("\n".join(parts), encoding="utf-8")
    sys.exit(failed)


if __name__ == "__main__":
    main()
