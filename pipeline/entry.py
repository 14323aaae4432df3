"""The command `unmask`: Ctrl-C is taken over before anything else is imported."""

from __future__ import annotations

import gc
import os

from data.io import interrupts

SINGLE_THREADED = "OPENBLAS_NUM_THREADS"
"""NumPy's matrix products and scikit-learn's fits on one thread each, unless the user says other.

They are small, and a second thread of OpenBLAS waits between them by turning over: on 2 cores that
serve other programs, too, a linear fit took 1.0 s of CPU time in place of 0.29, scores of 4800
single frames 2.4 s in place of 0.23. What is large has threads of its own: TensorFlow, OpenVINO,
the moments of `models.conditioning.linear_map`. So scores have the same bytes on any number of
cores, too."""


COLLECT_AFTER = 10_000
"""New objects after which Python looks for cycles that nothing refers to; of its own accord after
700, while modules are imported in vain: 0.5 of the 2.6 s that TensorFlow takes."""


def main() -> None:
    """Entry point of the command `unmask`."""
    interrupts.install()
    gc.set_threshold(COLLECT_AFTER)
    os.environ.setdefault(SINGLE_THREADED, "1")  # read when NumPy is imported
    from pipeline.cli.app import main as run

    try:
        run()
    finally:
        gc.freeze()  # no cycles are looked for at the end, where TensorFlow's take 0.9 s
