"""The command `unmask`: Ctrl-C is taken over before anything else is imported."""

from __future__ import annotations

import os

from data.io import interrupts

SINGLE_THREADED = "OPENBLAS_NUM_THREADS"
"""NumPy's matrix products and scikit-learn's fits on one thread each, unless the user says other.

They are small, and a second thread of OpenBLAS waits between them by turning over: on 2 cores that
serve other programs, too, a linear fit took 1.0 s of CPU time in place of 0.29, scores of 4800
single frames 2.4 s in place of 0.23. What is large has threads of its own: TensorFlow, OpenVINO,
the moments of `models.conditioning.linear_map`. So scores have the same bytes on any number of
cores, too."""


def main() -> None:
    """Entry point of the command `unmask`."""
    interrupts.install()
    os.environ.setdefault(SINGLE_THREADED, "1")  # read when NumPy is imported
    from pipeline.cli.app import main as run

    run()
