"""A ResNet50's layers as a function of its weights, in a chosen precision.

Batch normalisation in inference mode is an affine map, so it is folded into the convolution before
it at each step: one pass over the activations less, forward and backward. On 2 cores with AMX, all
layers of ResNet50, batch 16, a step takes 0.89 of Keras's time in float32, and in bfloat16 0.83 of
that of Keras's `mixed_bfloat16`, whose normalisation stays a pass of its own.

Weights are float32 variables; they and the activations are rounded where a product takes them.
"""

from __future__ import annotations

from typing import Any

from models.backbones.preprocessing import CaffeInput
from models.backbones.resnet50 import residual_blocks
from models.tf_runtime import keras, tf

LAYERS = keras.layers


class ForwardPass:
    """A part of a ResNet50 of ours in inference mode; gradients reach the convolutions' weights.

    Args:
        part: a functional model of one input and one output.
        dtype: of activations and products; the mean over positions is float32.
    """

    def __init__(self, part: Any, dtype: Any) -> None:
        # A layer's `input` and `output` are those of its first call, whatever models share it.
        self._layers = [layer for layer in part.layers if not isinstance(layer, LAYERS.InputLayer)]
        self._dtype = dtype
        made = {id(layer.output) for layer in self._layers}
        needed = {id(one) for layer in self._layers for one in _inputs(layer)}
        (self._boundary,) = needed - made
        self._normalisations = {
            id(layer.input): layer
            for layer in self._layers
            if isinstance(layer, LAYERS.BatchNormalization)
        }
        unfolded = {id(one.output) for one in self._layers if isinstance(one, LAYERS.Conv2D)}
        if not unfolded.issuperset(self._normalisations):
            raise TypeError("batch normalisation must follow a convolution")
        self._of_rgb = self._readers_of_rgb()

    def __call__(self, frames: Any) -> Any:
        """(B, S, S, 3), or activations (B, H, W, C), -> activations, or embeddings in float32."""
        known = {self._boundary: frames}
        for layer in self._layers:
            known[id(layer.output)] = self._apply(
                layer, *(known[id(one)] for one in _inputs(layer))
            )
        return known[id(self._layers[-1].output)]

    def _readers_of_rgb(self) -> set[int]:
        """Convolutions that read `CaffeInput`, padded or not, where nothing else does.

        They take the channels in the other order, so that no pass over the pixels turns it.
        """
        seen = {id(one.output) for one in self._layers if isinstance(one, CaffeInput)}
        for one in self._layers:
            if isinstance(one, LAYERS.ZeroPadding2D) and id(one.input) in seen:
                seen.add(id(one.output))
        readers = [
            one
            for one in self._layers
            if seen.intersection(map(id, _inputs(one)))
            and not isinstance(one, LAYERS.ZeroPadding2D)
        ]
        others = [one for one in readers if not isinstance(one, LAYERS.Conv2D)]
        return set() if others else {id(one) for one in readers}

    def _apply(self, layer: Any, first: Any, *others: Any) -> Any:
        match layer:
            case CaffeInput() if self._of_rgb:
                shifted = tf.cast(first, tf.float32) - tf.constant(layer.mean_bgr[::-1])
                return tf.cast(shifted, self._dtype)
            case CaffeInput():
                return tf.cast(layer(first), self._dtype)
            case LAYERS.Conv2D():
                return self._convolve(layer, first)
            case LAYERS.BatchNormalization():
                return first  # in the convolution's weights
            case LAYERS.ReLU() | LAYERS.Activation():
                return tf.nn.relu(first)
            case LAYERS.Add():
                (other,) = others
                return first + other
            case LAYERS.ZeroPadding2D():
                return tf.pad(first, [[0, 0], *layer.padding, [0, 0]])
            case LAYERS.MaxPooling2D():
                return tf.nn.max_pool2d(
                    first, layer.pool_size, layer.strides, layer.padding.upper()
                )
            case LAYERS.GlobalAveragePooling2D():
                return tf.reduce_mean(tf.cast(first, tf.float32), axis=[1, 2])
        raise TypeError(f"no forward pass of the layer {layer.name}")

    def _convolve(self, layer: Any, frames: Any) -> Any:
        """The convolution, bias and normalisation of a layer."""
        kernel, bias = tf.convert_to_tensor(layer.kernel), tf.convert_to_tensor(layer.bias)
        norm = self._normalisations.get(id(layer.output))
        if norm is not None:
            scale = norm.gamma * tf.math.rsqrt(norm.moving_variance + norm.epsilon)
            kernel, bias = kernel * scale, (bias - norm.moving_mean) * scale + norm.beta
        if id(layer) in self._of_rgb:
            kernel = tf.reverse(kernel, [2])
        kernel, bias = tf.cast(kernel, self._dtype), tf.cast(bias, self._dtype)
        if layer.kernel_size == (1, 1):
            return pointwise(frames, kernel, bias, layer.strides[0])
        convolved = tf.nn.conv2d(frames, kernel, layer.strides, layer.padding.upper())
        return tf.nn.bias_add(convolved, bias)


def pointwise(frames: Any, kernel: Any, bias: Any, stride: int) -> Any:
    """A 1x1 convolution, (B, H, W, C), (1, 1, C, K), (K,) -> (B, H / stride, W / stride, K).

    The gradients of kernel and bias are matrix products, which oneDNN computes 2 to 3 times as fast
    in bfloat16 as a gradient of a convolution, where half of a step's time goes, and 1.5 times as
    fast as that of a bias.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def convolve(frames: Any, kernel: Any, bias: Any) -> Any:
        def gradient(upstream: Any) -> tuple[Any, Any, Any]:
            inputs, outputs = kernel.shape[2:]
            rows = tf.reshape(upstream, (-1, outputs))
            seen = tf.reshape(every(stride, frames), (-1, inputs))
            of_kernel = tf.matmul(seen, rows, transpose_a=True)
            of_bias = tf.matmul(tf.ones_like(rows[:, :1]), rows, transpose_a=True)
            of_frames = tf.nn.conv2d_transpose(upstream, kernel, tf.shape(frames), stride, "VALID")
            return of_frames, of_kernel[None, None], of_bias[0]

        return tf.nn.bias_add(tf.nn.conv2d(frames, kernel, stride, "VALID"), bias), gradient

    return convolve(frames, kernel, bias)


def every(stride: int, frames: Any) -> Any:
    """Every so many rows and columns of (B, H, W, C), from the first on.

    Where they divide the sides, a slice without strides, whose copy takes a tenth of the time: 0.6
    in place of 10 ms for 32 pictures of 28 x 28 x 256.
    """
    _, height, width, channels = frames.shape
    if stride == 1:
        return frames
    if height % stride or width % stride:
        return frames[:, ::stride, ::stride]
    apart = (-1, height // stride, stride, width // stride, stride * channels)
    return tf.reshape(frames, apart)[:, :, 0, :, :channels]


def cut(model: Any, unfreeze: int | str) -> tuple[Any, Any]:
    """Cuts a ResNet50 below the blocks that learn; both parts share its weights."""
    if unfreeze == "all":
        boundary = model.get_layer("preprocess").output
    else:
        boundary = residual_blocks(model)[-int(unfreeze)][0].input
    upper = keras.Model(boundary, model.output)
    for layer in upper.layers:  # a backbone is loaded frozen
        layer.trainable = True
    return keras.Model(model.input, boundary), upper


def _inputs(layer: Any) -> list[Any]:
    """The Keras tensors that a layer takes."""
    given = layer.input
    return list(given) if isinstance(given, list | tuple) else [given]
