"""The network of fine-tuning: a backbone cut in two, and a dense layer that scores single frames.

The lower part is frozen and runs outside the gradient tape; the upper part learns. A clip's score
is the mean of its frames' logits.

Batch normalisation stays in inference mode, its scale and shift frozen: its statistics come from a
million pictures and were taken under that scale; ours, of some frames of eight faces, are worse.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from data.operating_system.machine import cores
from models.backbones.registry import Backbone
from models.early_stopping import best_of
from models.finetuning.batches import ClipBatch, clip_batches
from models.finetuning.clips import Clips, steps_per_epoch
from models.finetuning.forging import Forger
from models.finetuning.forward_pass import ForwardPass, cut
from models.heads.split_checks import check_loss, video_weights
from models.prefetch import prefetch
from models.tf_runtime import keras, tf

if TYPE_CHECKING:
    from models.configs import FinetuneConfig

PROBE_PASSES = 2
"""Passes over the training clips, augmented, that the frozen phase embeds."""
PROBE_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse strengths of the probe's penalty; `best_of` chooses."""
WARMUP_EPOCHS = 0.5
PLAIN_BATCH = 32
"""Frames of one call without augmentation; all calls have this shape."""
DTYPES = {"float32": tf.float32, "bfloat16": tf.bfloat16, "float16": tf.float16}
"""Of activations and products in each precision."""


class FinetuneNet:
    """A backbone and a dense layer, and the two phases that train them.

    The model of the backbone, a ResNet50 of ours, is changed in place. The precision of `config` is
    one that `models.finetuning.precision.resolve_precision` returned.
    """

    def __init__(self, backbone: Backbone, config: FinetuneConfig) -> None:
        self.backbone = backbone
        self.config = config
        lower, upper = cut(backbone.model, config.unfreeze)
        dtype = DTYPES[config.precision]
        self._lower, self._upper = ForwardPass(lower, dtype), ForwardPass(upper, dtype)
        self._learning = [
            weight
            for layer in upper.layers
            if not isinstance(layer, keras.layers.BatchNormalization)
            for weight in layer.trainable_weights
        ]
        self._dense = keras.layers.Dense(1, name="frame_logit")
        self._dense.build((None, backbone.dim))
        self._slow = keras.optimizers.Adam(config.learning_rate)
        self._fast = keras.optimizers.Adam(config.head_learning_rate)
        if config.precision == "float16":
            self._slow, self._fast = scaling(self._slow), scaling(self._fast)
        self._slow.build(self._learning)
        self._fast.build(self._dense.trainable_weights)
        # XLA makes one pass of Adam's dozen over every weight.
        self._apply_slow = tf.function(
            lambda gradients: self._slow.apply(gradients, self._learning),
            jit_compile=config.precision != "float16",
        )
        self._step = tf.function(self._take_step)
        self._embedding = tf.function(self._embed)

    def _embed(self, frames: Any) -> Any:
        """(B, S, S, 3) -> (B, D) float32."""
        return self._upper(self._lower(frames))

    @property
    def _weights(self) -> list[Any]:
        """Variables that learn."""
        return [*self._learning, *self._dense.trainable_weights]

    @property
    def _state(self) -> list[Any]:
        """Variables that a later epoch depends on: the weights, and both Adams' moments."""
        return [*self._weights, *self._slow.variables, *self._fast.variables]

    def get_weights(self) -> list[NDArray[np.float32]]:
        """Copies of all weights that learn."""
        return [weight.numpy() for weight in self._weights]

    def set_weights(self, values: list[NDArray[np.float32]]) -> None:
        """Restores such copies."""
        for weight, value in zip(self._weights, values, strict=True):
            weight.assign(value)

    def get_state(self) -> list[NDArray[Any]]:
        """Copies of all that a later epoch depends on."""
        return [variable.numpy() for variable in self._state]

    def set_state(self, values: list[NDArray[Any]]) -> None:
        """Restores such copies."""
        for variable, value in zip(self._state, values, strict=True):
            variable.assign(value)

    def fit_head(
        self, train: Clips, val: Clips, rng: np.random.Generator, forger: Forger | None = None
    ) -> dict[str, float]:
        """The frozen phase: a logistic regression on frames becomes the dense layer.

        It is fitted on clean and on augmented frames: a probe of clean frames alone is so wrong on
        augmented ones that the first steps damage the backbone. Validation AUC and loss choose its
        regularisation, as they choose an epoch (`best_of`).

        Args:
            train: training clips.
            val: validation clips.
            rng: source of all randomness.
            forger: as in `train_epoch`.

        Returns:
            Row 0 of the history.
        """
        embedded, val_embedded = self._embed_clips(train), self._embed_clips(val)
        augmented, augmented_videos = self._embed_augmented(train, rng, forger)
        frames = np.concatenate([embedded[_exists(train)], augmented])  # (M, D)
        clean_videos = np.repeat(np.arange(len(train.counts)), train.counts)
        videos = np.concatenate([clean_videos, augmented_videos])  # (M,)
        mean, spread = frames.mean(axis=0), np.maximum(frames.std(axis=0), 1e-4)
        labels = train.labels[videos]
        # Each video weighs the same, however many frames it has.
        weights = video_weights(train.labels, "balanced")[videos] / np.bincount(videos)[videos]
        weights *= video_weights(labels, self._class_weight)
        rows, layers = [], []
        for strength in PROBE_STRENGTHS:
            probe = LogisticRegression(C=strength, max_iter=1000)
            probe.fit((frames - mean) / spread, labels, weights * len(weights) / weights.sum())
            kernel = probe.coef_[0] / spread
            bias = probe.intercept_[0] - mean @ kernel
            row = {"epoch": 0.0}
            row |= _measure("", train, embedded @ kernel + bias)
            row |= _measure("val_", val, val_embedded @ kernel + bias)
            rows.append(row)
            layers.append([kernel[:, None], np.array([bias])])
        best = best_of([(row["val_auc"], row["val_loss"]) for row in rows])
        self._dense.set_weights(layers[best])
        return rows[best]

    def _embed_augmented(
        self, train: Clips, rng: np.random.Generator, forger: Forger | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Embeddings of augmented frames, (M, D), and the clip of each, (M,)."""
        rows, videos = [], []
        for _ in range(PROBE_PASSES):
            for batch in self._batches(train, rng, forger):
                frames = batch.clips.reshape(-1, *batch.clips.shape[2:])
                rows.append(self._embedding(tf.constant(frames)).numpy())
                videos.append(np.repeat(batch.videos, batch.clips.shape[1]))
        return np.concatenate(rows), np.concatenate(videos)

    def _batches(
        self, train: Clips, rng: np.random.Generator, forger: Forger | None
    ) -> Iterator[ClipBatch]:
        """The batches of an epoch; on a GPU each is made while it takes the step before.

        A step on the CPU has threads on all cores, which wait for the slowest: with one more thread
        beside them an epoch in bfloat16 takes 1.04 times as long as with batches between steps.
        """
        batches = clip_batches(train, self.config, rng, forger, workers=cores())
        return prefetch(batches) if tf.config.list_physical_devices("GPU") else batches

    def train_epoch(
        self, train: Clips, rng: np.random.Generator, epoch: int, forger: Forger | None = None
    ) -> dict[str, float]:
        """One pass over the training clips; loss and AUC of its steps."""
        config = self.config
        weights = video_weights(train.labels, self._class_weight)
        targets = smooth(train.labels, config.label_smoothing)
        losses, labels, logits = [], [], []
        steps = steps_per_epoch(train, config.pairs_per_batch)
        (dropout_rng,) = rng.spawn(1)  # a thread may be using `rng` itself, for the next batch
        for step, batch in enumerate(self._batches(train, rng, forger)):
            share = share_of_rate(config, (epoch - 1) + step / steps)
            self._slow.learning_rate = config.learning_rate * share
            self._fast.learning_rate = config.head_learning_rate * share
            loss, clip_logits = self._step(
                tf.constant(batch.clips),
                tf.constant(targets[batch.videos]),
                tf.constant(weights[batch.videos]),
                tf.constant(dropout_rng.integers(2**31, size=2, dtype=np.int32)),
            )
            losses.append(check_loss(float(loss), epoch, config.learning_rate))
            labels.append(train.labels[batch.videos])
            logits.append(clip_logits.numpy())
        auc = roc_auc_score(np.concatenate(labels), np.concatenate(logits))
        return {"loss": float(np.mean(losses)), "auc": float(auc)}

    def validate(self, val: Clips, epoch: int) -> dict[str, float]:
        """Loss and AUC of clip scores on frames without augmentation."""
        kernel, bias = self._dense.get_weights()
        logits = self._embed_clips(val) @ kernel[:, 0] + bias  # (N, F)
        row = _measure("val_", val, logits)
        check_loss(row["val_loss"], epoch, 0)
        return row

    def _embed_clips(self, clips: Clips) -> NDArray[np.float32]:
        """(N, F, D) embeddings of every crop; zeros past a video's end."""
        exists = np.flatnonzero(_exists(clips))
        flat = clips.pixels.reshape(-1, *clips.pixels.shape[2:])
        embedded = np.zeros((len(flat), self.backbone.dim), np.float32)
        batch = np.zeros((PLAIN_BATCH, *flat.shape[1:]), np.uint8)
        for start in range(0, len(exists), PLAIN_BATCH):
            rows = exists[start : start + PLAIN_BATCH]
            batch[: len(rows)] = flat[rows]
            embedded[rows] = self._embedding(tf.constant(batch)).numpy()[: len(rows)]
        return embedded.reshape(*clips.pixels.shape[:2], -1)

    @property
    def _class_weight(self) -> dict[str, float] | None:
        """The class weights beside balancing, which batches have already."""
        weight = self.config.class_weight
        return None if isinstance(weight, str) else weight

    def _take_step(self, clips: Any, labels: Any, weights: Any, seed: Any) -> Any:
        """One step; the lower part runs outside the tape and costs no gradient.

        Returns:
            the loss, and (B,) clip logits: each the mean of its frames' logits.
        """
        lower = self._lower(tf.reshape(clips, (-1, *clips.shape[2:])))
        with tf.GradientTape() as tape:
            embedded = self._upper(lower)  # (B * F, D) float32
            if self.config.dropout:
                embedded = drop(embedded, clips.shape[1], self.config.dropout, seed)
            logits = tf.reshape(self._dense(embedded), (-1, clips.shape[1]))  # (B, F)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(
                tf.broadcast_to(labels[:, None], tf.shape(logits)), logits
            )
            loss = tf.reduce_mean(weights[:, None] * losses)
            scaled = self._slow.scale_loss(loss)  # the same but in float16
        head = self._dense.trainable_weights
        slow, fast = tape.gradient(scaled, [self._learning, head])
        if isinstance(self._slow, keras.optimizers.LossScaleOptimizer):
            # Each optimizer divides by a scale of its own; this loss has the first one's.
            ratio = self._fast.dynamic_scale / self._slow.dynamic_scale
            fast = [gradient * ratio for gradient in fast]
        self._apply_slow(slow)
        self._fast.apply(fast, head)
        return loss, tf.reduce_mean(logits, axis=1)


def share_of_rate(config: FinetuneConfig, epochs_done: float) -> float:
    """The factor of both learning rates by `config.schedule`, from 0 to 1.

    Args:
        config: schedule and number of epochs.
        epochs_done: before this step, a fraction of an epoch included.
    """
    if config.schedule == "constant":
        return 1.0
    rising = (epochs_done + 0.05) / WARMUP_EPOCHS  # above 0 at the first step
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, epochs_done / config.epochs)))
    return min(1.0, rising) * falling


def drop(embedded: Any, frames: int, rate: float, seed: Any) -> Any:
    """Embeddings (B * F, D) with some dimensions of each clip set to the batch's mean.

    Not to zero: a dimension's mean carries no label, and the probe's bias assumes all of them.

    Args:
        embedded: clip after clip.
        frames: F.
        rate: share of the dimensions.
        seed: (2,) int32.
    """
    dim = embedded.shape[-1]
    centre = tf.stop_gradient(tf.reduce_mean(embedded, axis=0))
    clips = tf.reshape(embedded - centre, (-1, frames, dim))
    clips = tf.nn.experimental.stateless_dropout(
        clips, rate, seed, noise_shape=(tf.shape(clips)[0], 1, dim)
    )
    return tf.reshape(clips, (-1, dim)) + centre


def scaling(adam: Any) -> Any:
    """An optimizer that scales the loss, skips a step that overflows, and scales less then."""
    return keras.optimizers.LossScaleOptimizer(adam, initial_scale=2.0**15)


def smooth(labels: NDArray[Any], smoothing: float) -> NDArray[np.float32]:
    """Labels 0 and 1 as smoothing / 2 and 1 - smoothing / 2 (Szegedy et al., 2016). float32."""
    return (labels * (1 - smoothing) + smoothing / 2).astype(np.float32)


def _exists(clips: Clips) -> NDArray[np.bool_]:
    """(N, F): which frames a video has."""
    return np.arange(clips.pixels.shape[1]) < clips.counts[:, None]


def _measure(prefix: str, clips: Clips, logits: NDArray[Any]) -> dict[str, float]:
    """Loss and AUC of clip scores, each the mean of its frames' logits, (N, F)."""
    means = np.where(_exists(clips), logits, 0).sum(axis=1) / clips.counts
    scores = expit(np.clip(means, -500, 500))
    if not np.all(np.isfinite(scores)):  # the loss is NaN then, and the caller stops
        return {f"{prefix}loss": float("nan"), f"{prefix}auc": 0.5}
    return {
        f"{prefix}loss": float(log_loss(clips.labels, scores)),
        f"{prefix}auc": float(roc_auc_score(clips.labels, means)),
    }
