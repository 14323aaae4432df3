"""One batch of torchvision's ResNet50 in PyTorch, timed on demand; run by `backbone.py`.

    python benchmarks/peer_backbone.py BATCH

For each line of standard input, "float32" or "bfloat16" (autocast), runs one batch of 224 px,
channels last, and prints the seconds. Weights are random: speed is the same.
"""

from __future__ import annotations

import sys
import time

import torch
from torchvision.models import resnet50


def main() -> None:
    """Answers until standard input ends."""
    model = resnet50(weights=None).eval().to(memory_format=torch.channels_last)
    model.fc = torch.nn.Identity()
    frames = torch.rand(int(sys.argv[1]), 3, 224, 224).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for line in sys.stdin:
            clock = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=line.strip() == "bfloat16"):
                model(frames)
            print(time.perf_counter() - clock, flush=True)


if __name__ == "__main__":
    main()
