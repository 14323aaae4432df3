"""Gradient descent of a head: the batches of an epoch, and one step that is compiled once.

Tracing and compiling a step takes seconds, as long as some ten epochs on a thousand conditioned
videos. So heads of one shape share a `Descent`, and each starts it with variables of its own: the
folds of a training, the seeds of a sweep.

Features are gathered from where they lie, which may be a memory map larger than memory, while the
step before runs, into memory that is used again and that TensorFlow reads without another copy.
`benchmarks/train.py` measures what that costs of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.sequences.padded import Padded
from models.configs import HeadConfig, TrainConfig
from models.heads.architectures import build_after_conditioning, build_head, residual_branch
from models.layers.fast_lstm import FastLSTM
from models.matrix_units import matrix_unit
from models.prefetch import prefetch, without_copy
from models.tf_runtime import keras, seed_everything, tf

if TYPE_CHECKING:
    from features.sequences.dataset import Sequences

AMX = "amx_bf16"
KEPT = 8
"""Compiled steps that a process keeps: a sweep asks for the shapes of its grid in turns."""

Variables = Mapping[str, list[NDArray[Any]]]
"""Name of a layer -> its variables, random states included."""
LossesOf = Callable[..., tuple[Any, Any]]
"""A network's output, labels (B,) and more -> losses (B,) and scores (B,)."""


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
        for layer in layers_within(network):
            if isinstance(layer, FastLSTM):
                layer.products = products
        self._optimizer = keras.optimizers.AdamW(1e-3, weight_decay=weight_decay)
        self._step = train_step(
            network, self._optimizer, dtype=dtype, losses_of=losses_of or of_scores, extra=extra
        )

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
        for own in self._optimizer.variables:
            own.assign(np.zeros(own.shape, own.dtype))
        self._optimizer.learning_rate = learning_rate

    def try_step(self, videos: int, steps: int) -> None:
        """Takes a step on zeros, which compiles it for so many videos and frames of each."""
        spec = self._step.input_signature[0]
        features = tf.zeros((videos, steps, spec.shape[-1]), spec.dtype)
        ones, more = tf.ones(videos), len(self._step.input_signature) - 2
        self._step(features, tf.ones((videos, steps), tf.bool), *[ones] * more)

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

    "auto" is bfloat16 on a processor with AMX, else float32; on a GPU it is always float32. Asked
    for elsewhere, bfloat16 is computed by oneDNN in more time.
    """
    if config.precision == "float32" or tf.config.list_physical_devices("GPU"):
        return "float32"
    if config.precision == "bfloat16" or matrix_unit("bfloat16") == AMX:
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


def of_scores(scores: Any, labels: Any) -> tuple[Any, Any]:
    """Losses (B,) of scores (B,), P(fake), and these."""
    return keras.losses.binary_crossentropy(labels[:, None], scores[:, None]), scores


def of_logits(added: Any, labels: Any, base: Any) -> tuple[Any, Any]:
    """Losses (B,) and logits (B,) of what a residual adds, (B, 1), to the base, (B,)."""
    logits = base + added[:, 0]
    return tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), logits


def train_step(
    network: Any, optimizer: Any, *, dtype: str, losses_of: LossesOf = of_scores, extra: int = 0
) -> Any:
    """One compiled step of gradient descent, for any number of videos and frames.

    Args:
        network: {"features": (B, T, D), "mask": (B, T)} -> (B,).
        optimizer: of Keras.
        dtype: of the features.
        losses_of: makes losses (B,) and scores (B,) of the network's output, labels and what is
            extra.
        extra: number of further (B,) float32.

    Returns:
        features (B, T, D), mask (B, T), labels (B,) float32, weights (B,) float32, as
        `HeadBatch.inputs` are, and what is extra -> losses (B,) and scores (B,).
    """
    variables = network.trainable_variables
    optimizer.build(variables)
    # XLA makes one pass of Adam's dozen over every weight: a third of the time.
    apply = tf.function(lambda gradients: optimizer.apply(gradients, variables), jit_compile=True)
    dim = network.input["features"].shape[-1]

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec((None, None, dim), dtype),
            tf.TensorSpec((None, None), tf.bool),
            *[tf.TensorSpec((None,), tf.float32)] * (2 + extra),
        ]
    )
    def step(features: Any, mask: Any, labels: Any, weights: Any, *more: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            output = network({"features": features, "mask": mask}, training=True)
            losses, scores = losses_of(output, labels, *more)
            losses = weights * losses
            videos = tf.math.count_nonzero(tf.reduce_any(mask, axis=1), dtype=tf.float32)
            loss = tf.reduce_sum(losses) / videos  # padding has no frame and no weight
        gradients = tape.gradient(loss, variables)
        apply(gradients)
        return losses, scores

    return step


class HeadBatch(NamedTuple):
    """The input of one step."""

    rows: NDArray[np.int64]  # (n,) numbers of the videos
    # features (B, T, D), mask (B, T), labels (B,) and weights (B,) float32, as tensors. The last
    # batch of an epoch is filled up to B with zeros: XLA compiles anew for each shape, in a second
    inputs: tuple[Any, Any, Any, Any]


def head_batches(
    train: Sequences, weights: NDArray[np.float32], draw: np.random.Generator, *, batch_size: int
) -> Iterator[HeadBatch]:
    """Every video once, in an order and, where it has several, in a view that are drawn anew.

    Args:
        train: training split; features (N, T, D), mask (N, T), labels (N,).
        weights: (N,) of each video in the loss.
        draw: of order and views; nothing else may draw from it before the last batch.
        batch_size: videos of a batch; the last is filled up with zeros of weight zero.

    Yields:
        Batches whose features are valid until the next one is asked for.
    """
    batches = _batches(train, weights, draw, batch_size)
    # From memory one copy gathers a batch, in less time than another thread takes to hand it over.
    return batches if isinstance(train.features, np.ndarray) else prefetch(batches)


def _batches(
    train: Sequences, weights: NDArray[np.float32], draw: np.random.Generator, batch_size: int
) -> Iterator[HeadBatch]:
    count = len(train.labels)
    order = draw.permutation(count)
    source, source_rows = train.features, np.arange(count)
    if train.views is not None:
        source = train.views  # view k of video n is row k N + n
        source_rows = source_rows + count * draw.integers(len(source) // count, size=count)
    # One buffer is read by the step while the other is filled. Fresh memory for each batch would
    # double the cost, since the system maps it page by page.
    buffers = np.empty((2, min(batch_size, count), *source.shape[1:]), source.dtype)
    for turn, start in enumerate(range(0, count, batch_size)):
        rows = np.sort(order[start : start + batch_size])
        features = buffers[turn % 2]
        padding = len(features) - len(rows)
        if isinstance(source, Padded):
            source.gather(source_rows[rows], features)
        else:
            held = features[: len(rows)]
            np.take(source, source_rows[rows], axis=0, out=held, mode="clip")
        features[len(rows) :] = 0
        tensors = (
            without_copy(features),
            tf.constant(np.pad(train.mask[rows], ((0, padding), (0, 0)))),
            tf.constant(np.pad(train.labels[rows], (0, padding)), tf.float32),
            tf.constant(np.pad(weights[rows], (0, padding))),
        )
        yield HeadBatch(rows, tensors)
