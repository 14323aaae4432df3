"""How batches made by NumPy reach TensorFlow: prepared one step ahead, without a copy."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from numpy.typing import NDArray

from models.tf_runtime import tf

T = TypeVar("T")

ALIGNMENT_BYTES = 64
"""TensorFlow's kernels need memory aligned to this."""


def prefetch(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made by another thread while the one before it is in use."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def without_copy(array: NDArray[Any]) -> Any:
    """An array as a tensor in the same memory: writing to the one changes the other.

    `tf.constant` would copy, which takes longer than gathering the batch does.
    """
    if array.size == 0 or array.ctypes.data % ALIGNMENT_BYTES:
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
