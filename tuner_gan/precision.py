"""The precision that networks are trained in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

SINGLE = "float32"
HALF = "mixed_bfloat16"
LEAST_CAPABILITY = (8, 0)
"""Compute capability of the first GPUs with matrix units for bfloat16, NVIDIA's Ampere."""


def default_policy() -> keras.DTypePolicy:
    """Returns the policy that new GANs train in.

    Keras's global one, if the user has set another than `float32`. Otherwise `mixed_bfloat16` where every GPU computes
    in it, and `float32` on older GPUs and on CPUs. Not float16: bfloat16 has the range of float32, and so needs no
    scaling of the losses (Kalamkar et al. 2019, arXiv:1905.12322).
    """
    chosen = keras.config.dtype_policy()
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    computes = [one.get("compute_capability", (0, 0)) >= LEAST_CAPABILITY for one in details]
    return keras.DTypePolicy(HALF) if chosen.name == SINGLE and computes and all(computes) else chosen


@contextlib.contextmanager
def precision(policy: str | keras.DTypePolicy) -> Iterator[None]:
    """Has Keras build layers under a dtype policy, whatever the global one is."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def clear_session() -> None:
    """Has Keras forget the networks that were built before, as its own function does, which forgets the policy, too."""
    with precision(keras.config.dtype_policy()):
        keras.backend.clear_session()
