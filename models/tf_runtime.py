"""TensorFlow and Keras without their log lines: `from models.tf_runtime import keras, tf`.

The only module that imports them, so that what must be set before the import is set once.
TensorFlow 2.21 writes a dozen lines to stderr while it loads, before it reads TF_CPP_MIN_LOG_LEVEL;
so the file descriptor itself is redirected meanwhile.
"""

from __future__ import annotations

import os
from typing import Any

from data.io.native_stderr import silenced_native_stderr

# What a user set by hand stays.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# One process must not take all of a GPU's memory at its start.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
# A user's ~/.keras/keras.json may name another backend; unmask is written for this one.
os.environ["KERAS_BACKEND"] = "tensorflow"

with silenced_native_stderr():
    import keras
    import tensorflow as tf

tf.get_logger().setLevel("ERROR")


def seed_everything(seed: int) -> None:
    """Makes a run repeatable: the same input, parameters, machine and threads, the same bytes.

    Seeds Python, NumPy and TensorFlow, from 0 to 2**32 - 1, and asks for deterministic kernels.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def limit_threads(count: int) -> None:
    """Limits the threads of TensorFlow's operations; only before the first of them."""
    tf.config.threading.set_intra_op_parallelism_threads(count)


def frozen_graph(model: Any, shape: tuple[int | None, int, int, int]) -> Any:
    """The model as one graph function of uint8 frames of a shape, its weights constants.

    None as the first size leaves the batch open.
    """
    from tensorflow.python.framework import convert_to_constants

    traced = tf.function(lambda frames: model(frames, training=False))
    concrete = traced.get_concrete_function(tf.TensorSpec(shape, tf.uint8))
    return convert_to_constants.convert_variables_to_constants_v2(concrete)


__all__ = ["frozen_graph", "keras", "limit_threads", "seed_everything", "tf"]
