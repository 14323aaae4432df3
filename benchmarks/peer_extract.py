"""ResNet50 features the way video_features makes them: OpenCV, torchvision, one video at a time.

Run by `extract_peers.py` in the environment of `make bench-peers`; contains no code of
video_features.

    python benchmarks/peer_extract.py PRECISION FRAMES_PER_VIDEO VIDEO...

Every frame is decoded by OpenCV; the chosen ones go through torchvision's transforms and, batch by
batch within the video, through ResNet50 without its top, channels last, in float32 or in bfloat16
autocast (PRECISION). Weights are random: speed is the same.
Prints one JSON object: frames, seconds.
"""

from __future__ import annotations

import json
import sys
import time

import cv2
import numpy as np
import torch
from torchvision import transforms
from torchvision.models import resnet50

BATCH = 32


def main() -> None:
    """Extracts all videos and prints how long it took; a warm-up before does not count."""
    half, count = sys.argv[1] == "bfloat16", int(sys.argv[2])
    model = resnet50(weights=None).eval().to(memory_format=torch.channels_last)
    model.fc = torch.nn.Identity()

    def embed(batch: torch.Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            model(batch.contiguous(memory_format=torch.channels_last)).float().numpy()

    prepare = transforms.Compose(
        [
            transforms.ToPILImage(),
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    done = 0
    with torch.inference_mode():
        embed(torch.zeros(BATCH, 3, 224, 224))
        clock = time.perf_counter()
        for path in sys.argv[3:]:
            capture = cv2.VideoCapture(path)
            frames = []
            while True:
                there, frame = capture.read()
                if not there:
                    break
                frames.append(frame)
            capture.release()
            if not frames:
                continue
            chosen = (np.arange(min(count, len(frames))) + 0.5) * len(frames) / count
            chosen = np.minimum(chosen.astype(int), len(frames) - 1)
            for start in range(0, len(chosen), BATCH):
                batch = torch.stack(
                    [
                        prepare(cv2.cvtColor(frames[index], cv2.COLOR_BGR2RGB))
                        for index in chosen[start : start + BATCH]
                    ]
                )
                embed(batch)
            done += len(chosen)
        seconds = time.perf_counter() - clock
    print(json.dumps({"frames": done, "seconds": seconds, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
