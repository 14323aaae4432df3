"""One compiled step of gradient descent, of any head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.heads.descent.adam import Adam
from models.tf_runtime import keras, tf

LossesOf = Callable[..., tuple[Any, Any]]
"""A network's output, labels (B,) and more -> losses (B,) and scores (B,)."""


def of_scores(scores: Any, labels: Any) -> tuple[Any, Any]:
    """Losses (B,) of scores (B,), P(fake), and these."""
    return keras.losses.binary_crossentropy(labels[:, None], scores[:, None]), scores


def of_logits(added: Any, labels: Any, base: Any) -> tuple[Any, Any]:
    """Losses (B,) and logits (B,) of what a residual adds, (B, 1), to the base, (B,)."""
    logits = base + added[:, 0]
    return tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), logits


def train_step(
    network: Any, optimizer: Adam, *, dtype: str, losses_of: LossesOf = of_scores, extra: int = 0
) -> Any:
    """One compiled step of gradient descent, for any number of videos and frames.

    Args:
        network: {"features": (B, T, D), "mask": (B, T)} -> (B,).
        optimizer: of its trainable variables.
        dtype: of the features.
        losses_of: makes losses (B,) and scores (B,) of the network's output, labels and what is
            extra.
        extra: number of further (B,) float32.

    Returns:
        features (B, T, D), mask (B, T), labels (B,) float32, weights (B,) float32, as
        `HeadBatch.inputs` are, and what is extra -> losses (B,) and scores (B,).
    """
    variables = network.trainable_variables
    dim = network.input["features"].shape[-1]

    @tf.function(  # type: ignore[untyped-decorator]
        autograph=False,
        input_signature=[
            tf.TensorSpec((None, None, dim), dtype),
            tf.TensorSpec((None, None), tf.bool),
            *[tf.TensorSpec((None,), tf.float32)] * (2 + extra),
        ],
    )
    def step(features: Any, mask: Any, labels: Any, weights: Any, *more: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            output = network({"features": features, "mask": mask}, training=True)
            losses, scores = losses_of(output, labels, *more)
            losses = weights * losses
            loss = tf.reduce_sum(losses) / videos_of(mask)
        optimizer.apply(tape.gradient(loss, variables))
        return losses, scores

    return step


def videos_of(mask: Any) -> Any:
    """Number of videos in a batch, float32: padding, (B, T), has no frame and no weight."""
    return tf.math.count_nonzero(tf.reduce_any(mask, axis=1), dtype=tf.float32)
