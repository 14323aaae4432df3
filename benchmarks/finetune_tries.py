"""The tries of benchmarks/finetune_transfer.py, and what of them is no setting of `finetune`.

Settings of `FinetuneConfig` stand in `Try.config`. The others are here alone: ranking in pairs,
L2-normalised embeddings with alignment and uniformity, weights by the worst program, size and
compression made alike, normalisation alone, and weights between the frozen and the tuned.
docs/transfer.md has the figures of those that were run.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from models.configs import FinetuneConfig
from models.finetuning.batches import ClipBatch
from models.finetuning.clips import Clips, steps_per_epoch
from models.finetuning.forging import Forger
from models.finetuning.forward_pass import ForwardPass, cut
from models.finetuning.network import DTYPES, FinetuneNet, share_of_rate
from models.finetuning.precision import resolve_precision
from models.heads.split_checks import video_weights
from models.tf_runtime import keras, tf

BASE: dict[str, Any] = {
    "epochs": 5, "frames_per_video": 8, "frames_per_clip": 3, "precision": "auto",
    "class_weight": "none",
}  # fmt: skip
"""Of every try: few frames, and the fixed number of epochs."""
PROBE = 1e-3
"""Inverse strength of the frozen phase's penalty: no clip is left to choose it by."""
ALIGNMENT, UNIFORMITY = 0.1, 0.5
"""Weights of the two losses of Wang and Isola (2020) beside the cross-entropy."""
LEVEL_QUALITY = 60
"""Of the JPEG of `Try.level`."""
DRO_STEP = 0.1
"""Step size of the weights of programs (Sagawa et al., 2020)."""


@dataclass(frozen=True, kw_only=True)
class Try:
    """One way of fine-tuning."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)  # keys of `finetune`, over BASE
    loss: str = "class"  # "rank" of pairs, "sphere" (L2, alignment, uniformity), "worst" (DRO)
    alike: bool = False  # each pair at one resolution and one JPEG quality
    share: float = 1.0  # of the tuned weights, the rest being the frozen ones (Wortsman, 2022)
    size: int = 160  # side of a crop
    frozen: bool = False  # no tuning
    norms: bool = False  # a scale and a shift of each channel of each convolution learn, no more
    level: int = 0  # side in pixels to which every crop is shrunk, encoded and enlarged; 0: none

    def settings(self) -> FinetuneConfig:
        return resolve_precision(FinetuneConfig(**BASE | self.config))[0]


NORMS = {"unfreeze": "all", "learning_rate": 1e-3}
SCENE = {"pairs": "scene"}
TRIES = (
    Try(name="frozen", frozen=True),
    Try(name="frozen, all at 96 px and JPEG 60", frozen=True, level=96),
    Try(name="true fakes alone", config={"forge": 0.0}),
    Try(name="defaults"),
    Try(name="same-scene pairs", config=SCENE),
    Try(name="self-made alone", config={"forge": 1.0} | SCENE),
    Try(name="self-made alone, 20 epochs", config={"forge": 1.0, "epochs": 20} | SCENE),
    Try(name="all layers, self-made alone", config={"forge": 1.0, "unfreeze": "all"} | SCENE),
    Try(name="all layers", config={"unfreeze": "all"} | SCENE),
    Try(name="norms", config=NORMS | SCENE, norms=True),
    Try(name="norms, self-made alone", config=NORMS | SCENE | {"forge": 1.0}, norms=True),
    Try(name="norms, L2, alignment, uniformity", config=NORMS | SCENE, loss="sphere", norms=True),
    Try(name="L2, alignment, uniformity", config=SCENE, loss="sphere"),
    Try(name="ranking in pairs", config=SCENE, loss="rank"),
    Try(name="worst program", config=SCENE, loss="worst"),
    Try(name="size and compression alike", config=SCENE, alike=True),
    Try(name="half of the way", config=SCENE, share=0.5),
    Try(name="frozen, 224 px", size=224, frozen=True),
    Try(name="same-scene pairs, 224 px", size=224, config=SCENE),
    Try(name="frozen, 320 px", size=320, frozen=True),
    Try(name="same-scene pairs, 320 px", size=320, config=SCENE),
)


def subset(clips: Clips, rows: NDArray[np.int64]) -> Clips:
    """Some of the clips, ascending."""
    place = np.full(len(clips.labels) + 1, -1)
    place[rows] = np.arange(len(rows))
    return replace(
        clips, pixels=clips.pixels[rows], counts=clips.counts[rows], labels=clips.labels[rows],
        groups=tuple(clips.groups[row] for row in rows),
        sha256s=tuple(clips.sha256s[row] for row in rows),
        originals=place[clips.originals[rows]],
    )  # fmt: skip


def at_level(clips: Clips, side: int) -> Clips:
    """Every crop at one resolution and quality."""
    return replace(clips, pixels=degraded(clips.pixels, side=side, quality=LEVEL_QUALITY))


class AffinePass(ForwardPass):
    """Each channel of a convolution times a scale plus a shift, which alone learn.

    That is the scale and shift of a batch normalisation in inference mode, also where a backbone
    such as resnet50-thin has its normalisation folded into the convolutions.
    """

    def __init__(self, part: Any, dtype: Any) -> None:
        super().__init__(part, dtype)
        convolutions = [one for one in part.layers if isinstance(one, keras.layers.Conv2D)]
        self._affine = {
            id(one): (
                keras.Variable(np.ones(one.filters, np.float32)),
                keras.Variable(np.zeros(one.filters, np.float32)),
            )
            for one in convolutions
        }

    @property
    def learning(self) -> list[Any]:
        """The variables."""
        return [one for pair in self._affine.values() for one in pair]

    def _convolve(self, layer: Any, frames: Any) -> Any:
        scale, shift = self._affine[id(layer)]
        convolved = super()._convolve(layer, frames)
        return convolved * tf.cast(scale, self._dtype) + tf.cast(shift, self._dtype)


class TryNet(FinetuneNet):
    """The network of fine-tuning with the losses of a try."""

    def __init__(self, backbone: Any, tried: Try) -> None:
        self.tried = tried
        self.length = 1.0  # of embeddings on the sphere: the mean of the frozen ones
        super().__init__(backbone, tried.settings())
        if tried.norms:
            _, upper = cut(backbone.model, self.config.unfreeze)
            self._upper = AffinePass(upper, DTYPES[self.config.precision])
            self._learning = self._upper.learning
            self._slow = keras.optimizers.Adam(self.config.learning_rate)
            self._slow.build(self._learning)

    def on_sphere(self, embedded: Any) -> Any:
        """Of length 1 for the loss "sphere", times the mean length so that the probe fits."""
        if self.tried.loss != "sphere":
            return embedded
        return tf.math.l2_normalize(embedded, axis=1) * self.length

    def _take_step(self, clips: Any, labels: Any, weights: Any, seed: Any) -> Any:
        lower = self._lower(tf.reshape(clips, (-1, *clips.shape[2:])))
        frames = clips.shape[1]
        with tf.GradientTape() as tape:
            embedded = self.on_sphere(self._upper(lower))  # (B * F, D)
            logits = tf.reshape(self._dense(embedded), (-1, frames))  # (B, F)
            means = tf.reduce_mean(logits, axis=1)
            if self.tried.loss == "rank":  # real and fake in turn
                loss = tf.reduce_mean(tf.nn.softplus(means[0::2] - means[1::2]))
            else:
                losses = tf.nn.sigmoid_cross_entropy_with_logits(
                    tf.broadcast_to(labels[:, None], tf.shape(logits)), logits
                )
                loss = tf.reduce_mean(weights[:, None] * losses)
            if self.tried.loss == "sphere":
                loss += spread_loss(embedded / self.length, tf.repeat(labels, frames))
        head = self._dense.trainable_weights
        slow, fast = tape.gradient(loss, [self._learning, head])
        self._apply_slow(slow)
        self._fast.apply(fast, head)
        return loss, means


def spread_loss(points: Any, labels: Any) -> Any:
    """Alignment of frames of one class, uniformity of all, (M, D) of length 1 and (M,)."""
    squared = 2 - 2 * tf.matmul(points, points, transpose_b=True)
    other = 1 - tf.eye(tf.shape(points)[0])
    same = other * tf.cast(labels[:, None] == labels[None], tf.float32)
    aligned = tf.reduce_sum(same * squared) / tf.reduce_sum(same)
    even = tf.math.log(tf.reduce_sum(other * tf.exp(-2 * squared)) / tf.reduce_sum(other))
    return ALIGNMENT * aligned + UNIFORMITY * even


def make_alike(
    batch: ClipBatch, sides: NDArray[np.float64], draw: np.random.Generator
) -> NDArray[np.uint8]:
    """Both clips of each pair at the lower of their resolutions, or less, and at one quality.

    Args:
        batch: (B, F, S, S, 3).
        sides: (N,) of the crops in the source's pixels.
        draw: of the share of the resolution and of the quality.
    """
    clips = batch.clips.copy()
    size = clips.shape[2]
    for row in range(0, len(clips), 2):
        least = min(size, *sides[batch.videos[row : row + 2]])
        side = max(32, round(least * draw.uniform(0.6, 1)))
        quality = int(draw.integers(40, 96))
        clips[row : row + 2] = degraded(clips[row : row + 2], side=side, quality=quality)
    return clips


def degraded(clips: NDArray[np.uint8], *, side: int, quality: int) -> NDArray[np.uint8]:
    """Clips (N, F, S, S, 3) shrunk to a side, encoded as JPEG, and enlarged again."""
    size = clips.shape[2]
    found = np.empty_like(clips)
    for frame, out in zip(
        clips.reshape(-1, size, size, 3), found.reshape(-1, size, size, 3), strict=True
    ):
        small = cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)
        buffer = io.BytesIO()
        Image.fromarray(small).save(buffer, "JPEG", quality=quality)
        decoded = np.asarray(Image.open(buffer))
        out[:] = cv2.resize(decoded, (size, size), interpolation=cv2.INTER_CUBIC)
    return found


def train(
    net: TryNet,
    clips: Clips,
    *,
    embedded: NDArray[np.float32],
    methods: NDArray[np.str_],
    sides: NDArray[np.float64],
    forger: Forger | None,
    seed: int,
) -> float:
    """The frozen phase and all epochs.

    Args:
        net: changed in place.
        clips: N clips to learn from.
        embedded: (N, F, D) by the frozen backbone.
        methods: (N,) of the fakes.
        sides: (N,) of crops in the source's pixels.
        forger: of these clips.
        seed: of everything that is drawn.

    Returns:
        AUC of the steps of the last epoch, augmented.
    """
    config = net.config
    if net.tried.loss == "sphere":
        net.length = float(np.linalg.norm(embedded, axis=-1).mean())
        norms = np.linalg.norm(embedded, axis=-1, keepdims=True)
        embedded = embedded * (net.length / np.maximum(norms, 1e-6))
    frozen = net.get_weights()
    fit_probe(net, clips, embedded, np.random.default_rng((seed, 0)), forger)
    programs, place = np.unique(np.where(clips.labels == 1, methods, ""), return_inverse=True)
    of_program = np.ones(len(programs))  # mean 1
    weights = video_weights(clips.labels, None)
    targets = clips.labels.astype(np.float32)
    steps = steps_per_epoch(clips, config.pairs_per_batch)
    for epoch in range(config.epochs):
        rng = np.random.default_rng((seed, epoch + 1))
        labels, logits = [], []
        alike = np.random.default_rng((seed, epoch + 1, 1))
        for step, batch in enumerate(net._batches(clips, rng, forger)):
            share = share_of_rate(config, epoch + step / steps)
            net._slow.learning_rate = config.learning_rate * share
            net._fast.learning_rate = config.head_learning_rate * share
            pixels = make_alike(batch, sides, alike) if net.tried.alike else batch.clips
            own = weights[batch.videos]
            if net.tried.loss == "worst":
                own = own * of_program[place[batch.videos]].astype(np.float32)
            _, means = net._step(
                tf.constant(pixels), tf.constant(targets[batch.videos]),
                tf.constant(own.astype(np.float32)), tf.constant(np.zeros(2, np.int32)),
            )  # fmt: skip
            labels.append(clips.labels[batch.videos])
            logits.append(means.numpy())
            sign = np.where(clips.labels[batch.videos] == 1, -1.0, 1.0)
            losses = np.logaddexp(0, sign * means.numpy())
            for program in np.unique(place[batch.videos]):
                mean = losses[place[batch.videos] == program].mean()
                of_program[program] *= np.exp(DRO_STEP * mean)
            of_program /= of_program.mean()
    if net.tried.share < 1:
        tuned, part = net.get_weights(), net.tried.share
        count = len(net._learning)  # the dense layer stays as tuned
        mixed = [
            (1 - part) * old + part * new
            for old, new in zip(frozen[:count], tuned[:count], strict=True)
        ]
        net.set_weights(mixed + tuned[count:])
    return float(roc_auc_score(np.concatenate(labels), np.concatenate(logits)))


def fit_probe(
    net: TryNet,
    clips: Clips,
    embedded: NDArray[np.float32],
    rng: np.random.Generator,
    forger: Forger | None,
) -> None:
    """The dense layer, by logistic regression on clean frames and one pass of augmented ones."""
    rows, videos = [], []
    for batch in net._batches(clips, rng, forger):
        flat = batch.clips.reshape(-1, *batch.clips.shape[2:])
        rows.append(net.on_sphere(net._embedding(tf.constant(flat))).numpy())
        videos.append(np.repeat(batch.videos, batch.clips.shape[1]))
    exists = np.arange(embedded.shape[1]) < clips.counts[:, None]
    frames = np.concatenate([embedded[exists], *rows])
    videos.insert(0, np.repeat(np.arange(len(clips.counts)), clips.counts))
    labels = clips.labels[np.concatenate(videos)]
    mean, spread = frames.mean(axis=0), np.maximum(frames.std(axis=0), 1e-4)
    probe = LogisticRegression(C=PROBE, max_iter=1000, class_weight="balanced")
    probe.fit((frames - mean) / spread, labels)
    kernel = probe.coef_[0] / spread
    bias = probe.intercept_[0] - mean @ kernel
    net._dense.set_weights([kernel[:, None], np.array([bias])])
