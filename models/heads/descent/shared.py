"""Gradient descent that heads of one shape share.

Tracing and compiling a step takes seconds, as long as some ten epochs on a thousand conditioned
videos. So heads of one shape share a `Descent`, and each starts it with variables of its own: the
folds of a training, the seeds of a sweep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.configs import HeadConfig, TrainConfig
from models.heads.architectures import build_after_conditioning, build_head, residual_branch
from models.heads.descent.adam import Adam
from models.heads.descent.batches import head_batches
from models.heads.descent.lstm_step import can_step, lstm_step
from models.heads.descent.step import LossesOf, of_logits, of_scores, train_step
from models.layers.fast_lstm import FastLSTM
from models.matrix_units import is_bfloat16_fast
from models.tf_runtime import keras, seed_everything, tf

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences

KEPT = 8
"""Compiled steps that a process keeps: a sweep asks for the shapes of its grid in turns."""

Variables = Mapping[str, list[NDArray[Any]]]
"""Name of a layer -> its variables, random states included."""


class Descent:
    """Trains heads of one shape, one after the other.

    The same start, videos and order give the same bytes, whatever was trained before.

    Args:
        network: untrained; {"features": (B, T, D), "mask": (B, T)} -> (B,) P(fake), or what
            `losses_of` takes.
        dtype: of the features.
        products: type of an LSTM's large matrix products, "float32" or "bfloat16".
        weight_decay: of AdamW.
        losses_of: as of `train_step`.
        extra: likewise.

    Attributes:
        network: with the weights of the last step.
    """

    def __init__(
        self,
        network: Any,
        *,
        dtype: str,
        weight_decay: float,
        products: str = "float32",
        losses_of: LossesOf | None = None,
        extra: int = 0,
    ) -> None:
        self.network = network
        self._optimizer = Adam(network.trainable_variables, weight_decay=weight_decay)
        self._dtype, self._extra = dtype, extra
        given: dict[str, Any] = {"losses_of": losses_of or of_scores}
        if can_step(network):
            self._step = lstm_step(network, self._optimizer, **given, products=products)
            return
        for layer in layers_within(network):
            if isinstance(layer, FastLSTM):
                layer.products = products
        self._step = train_step(network, self._optimizer, **given, dtype=dtype, extra=extra)

    def start(self, variables: Variables, *, learning_rate: float) -> None:
        """Begins anew.

        Args:
            variables: of a head of this shape, as `variables_of` gives them; those of further
                layers are not looked at.
            learning_rate: of AdamW.
        """
        for layer in self.network.layers:
            for own, value in zip(layer.variables, variables[layer.name], strict=True):
                own.assign(value)
        self._optimizer.start(learning_rate)

    def try_step(self, videos: int, steps: int) -> None:
        """Takes a step on zeros, which compiles it for so many videos and frames of each."""
        dim = self.network.input["features"].shape[-1]
        features = tf.zeros((videos, steps, dim), self._dtype)
        ones = [tf.ones(videos)] * (2 + self._extra)
        self._step(features, tf.ones((videos, steps), tf.bool), *ones)

    def weights(self) -> dict[str, list[NDArray[Any]]]:
        """The weights of each layer now, by its name; copies."""
        return {layer.name: layer.get_weights() for layer in self.network.layers}

    def epoch(
        self,
        train: Sequences,
        weights: NDArray[np.float32],
        draw: np.random.Generator,
        *,
        batch_size: int,
        extra: Sequence[NDArray[np.floating[Any]]] = (),
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shows every video once, as `head_batches` draws them; `extra` are (N,) each.

        Returns:
            Loss and P(fake) of each video, (N,) each, as its step found them.
        """
        losses, scores = np.zeros(len(weights)), np.zeros(len(weights))
        for rows, inputs in head_batches(train, weights, draw, batch_size=batch_size):
            count = len(rows)  # rows of padding follow
            padding = (0, inputs[2].shape[0] - count)
            more = [tf.constant(np.pad(one[rows], padding), tf.float32) for one in extra]
            batch_losses, batch_scores = self._step(*inputs, *more)
            losses[rows] = batch_losses.numpy()[:count]
            scores[rows] = batch_scores.numpy()[:count]
        return losses, scores


@lru_cache(maxsize=KEPT)
def descent_of(
    head: HeadConfig,
    *,
    dim: int,
    dtype: str,
    weight_decay: float,
    products: str = "float32",
    lane: int = 0,
) -> Descent:
    """The descent of heads of this shape; made when it is asked for first.

    That of a residual head trains the part that learns (`residual_branch`), and takes the logits
    of the linear model, (N,), as `extra`.

    Args:
        head: the shape.
        dim: length of a frame that the network is trained on: D, or E of conditioned ones.
        dtype: of the features.
        weight_decay: of AdamW.
        products: as of `Descent`.
        lane: number of a thread, each of which needs one of its own.
    """
    if head.condition.kind == "none":
        network = build_head(head, dim=dim, mean=np.zeros(dim), variance=np.ones(dim))
    else:
        network = build_after_conditioning(head, dim)
    given: dict[str, Any] = {"dtype": dtype, "weight_decay": weight_decay, "products": products}
    if not head.is_residual:
        return Descent(network, **given)
    return Descent(residual_branch(network), **given, losses_of=of_logits, extra=1)


def compile_ahead(head: HeadConfig, config: TrainConfig, *, shape: tuple[int, ...]) -> None:
    """Compiles the step for conditioned clips, so that training finds it compiled.

    Args:
        head: the shape, which conditions its input.
        config: how it will be trained.
        shape: (N, T, E) of the training split, conditioned.
    """
    seed_everything(0)  # asks for deterministic kernels before the first one is made
    count, steps, dim = shape
    videos = min(config.batch_size, count)
    descent = descent_of(
        head.replace(average=1),
        dim=dim,
        dtype="float32",
        weight_decay=config.weight_decay,
        products=precision_of(config),
    )
    descent.try_step(videos, steps)


def precision_of(config: TrainConfig) -> Literal["float32", "bfloat16"]:
    """Type of an LSTM's large matrix products, by `train.precision`.

    "auto" is bfloat16 on a processor that has it (AMX, AVX512-BF16) where oneDNN may use it, else
    float32; on a GPU it is always float32. Asked for elsewhere, bfloat16 is computed by oneDNN in
    more time.
    """
    if config.precision == "float32" or tf.config.list_physical_devices("GPU"):
        return "float32"
    if config.precision == "bfloat16" or is_bfloat16_fast(tensorflow=True):
        return "bfloat16"
    return "float32"


def layers_within(network: Any) -> Iterator[Any]:
    """The layers of a model, and the two of each `Bidirectional`."""
    for layer in network.layers:
        yield layer
        if isinstance(layer, keras.layers.Bidirectional):
            yield from (layer.forward_layer, layer.backward_layer)


def variables_of(model: Any) -> dict[str, list[NDArray[Any]]]:
    """All variables of a head by layer, as `Descent.start` takes them; copies."""
    return {layer.name: [one.numpy() for one in layer.variables] for layer in model.layers}
