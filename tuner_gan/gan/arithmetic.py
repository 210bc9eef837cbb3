"""How much there is to compute in a training step, and with what."""

from __future__ import annotations

import math

import keras
from keras import layers


def step_flops(generator: keras.Model, discriminator: keras.Model, batch_size: int) -> float:
    """Floating-point operations of the products in a training step, two for each use of a weight.

    The generator goes forth once and back twice (by weights, by inputs); the discriminator does so for real and for
    fake images. Penalties and what is computed pixel by pixel are not counted.
    """
    return 3.0 * batch_size * (_forward_flops(generator) + 2.0 * _forward_flops(discriminator))


def _forward_flops(network: keras.Model) -> float:
    """Of one image's way through dense and convolutional layers."""
    total = 0.0
    for layer in network.layers:
        inner = layer.layer if isinstance(layer, layers.Wrapper) else layer
        if not isinstance(inner, (layers.Dense, layers.Conv2D, layers.Conv2DTranspose)):
            continue
        # A kernel is laid at each place of the map that it makes; a transposed one, at each of that it is made from.
        laid_at = layer.input if isinstance(inner, layers.Conv2DTranspose) else layer.output
        total += 2.0 * math.prod(inner.kernel.shape) * math.prod(laid_at.shape[1:-1])
    return total


def uses_onednn() -> bool:
    """Tells whether TensorFlow computes convolutions with oneDNN here.

    It does on x86 processors with instructions for neural networks (AVX512-VNNI and later), unless the environment's
    `TF_ENABLE_ONEDNN_OPTS` says otherwise.
    """
    try:
        from tensorflow.python.util import _pywrap_util_port
    except ImportError:  # it is no part of TensorFlow's API, so it may go
        return False
    return bool(_pywrap_util_port.IsMklEnabled())
