"""TensorFlow and Keras, imported without their chatter: `from models.tf_runtime import keras, tf`.

The only place that imports them, so that what must be set before the import is set once. TensorFlow
2.21 writes a dozen lines to stderr while it loads, before it reads TF_CPP_MIN_LOG_LEVEL; so the
file descriptor itself is turned away for those seconds.
"""

from __future__ import annotations

import os

from data.io.interrupts import not_swallowed
from data.io.native_stderr import silenced_native_stderr

# What a user set by hand stays.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# One process must not take all of a GPU's memory at its start.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
# A user's ~/.keras/keras.json may name another backend; unmask is written for this one.
os.environ["KERAS_BACKEND"] = "tensorflow"

with silenced_native_stderr(), not_swallowed():
    import keras
    import tensorflow as tf

tf.get_logger().setLevel("ERROR")


def seed_everything(seed: int) -> None:
    """Makes a run repeatable: the same input, parameters, machine and threads, the same bytes.

    Seeds Python, NumPy and TensorFlow, and asks TensorFlow for deterministic kernels.

    Args:
        seed: any integer from 0 to 2**32 - 1.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def limit_threads(count: int) -> None:
    """Lets TensorFlow compute with so many threads; before its first operation alone."""
    tf.config.threading.set_intra_op_parallelism_threads(count)


__all__ = ["keras", "limit_threads", "seed_everything", "tf"]
