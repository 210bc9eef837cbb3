"""Penalties on the discriminator's gradient by its input, which keep it smooth where it is trained.

Each takes a function from images, float32 [N, H, W, C], to the gradients of each image's logit by its own pixels, of
the same shape; real and generated images as the discriminator sees them; and a `keras.random.SeedGenerator`. It returns
a scalar, before its weight, that gradients can be taken through. The discriminator must judge each image by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Slope = Callable[[Any], Any]


def r1(slope: Slope, real: Any, fake: Any, seed: keras.random.SeedGenerator) -> Any:
    """E[|grad D(x)|^2] / 2 over real images: D may not be steep where the data are.

    References:
        Mescheder et al. 2018, arXiv:1801.04406, equation 9; its gamma is the weight.
    """
    return ops.mean(_squared_norms(slope(real))) / 2.0


def r2(slope: Slope, real: Any, fake: Any, seed: keras.random.SeedGenerator) -> Any:
    """E[|grad D(G(z))|^2] / 2 over generated images.

    References:
        Mescheder et al. 2018, arXiv:1801.04406, equation 10.
    """
    return ops.mean(_squared_norms(slope(fake))) / 2.0


def r1_r2(slope: Slope, real: Any, fake: Any, seed: keras.random.SeedGenerator) -> Any:
    """The sum of `r1` and `r2`, which a relativistic loss needs.

    References:
        R3GAN, Huang et al. 2024, arXiv:2501.05441, section 2.2.
    """
    return r1(slope, real, fake, seed) + r2(slope, real, fake, seed)


def gradient_penalty(slope: Slope, real: Any, fake: Any, seed: keras.random.SeedGenerator) -> Any:
    """E[(|grad D(y)| - 1)^2], y uniform on the line between a real and a generated image.

    References:
        WGAN-GP, Gulrajani et al. 2017, arXiv:1704.00028, equation 3; its lambda, 10, is the weight.
    """
    share = keras.random.uniform((ops.shape(real)[0], 1, 1, 1), seed=seed)
    return _distance_from_one(slope, real + share * (fake - real))


def dragan(slope: Slope, real: Any, fake: Any, seed: keras.random.SeedGenerator) -> Any:
    """E[(|grad D(y)| - 1)^2], y a real image with uniform noise within half a standard deviation of all pixels.

    References:
        Kodali et al. 2017, arXiv:1705.07215, algorithm 1; the noise as in Lucic et al. 2018, arXiv:1711.10337.
    """
    noise = keras.random.uniform(ops.shape(real), minval=-0.5, maxval=0.5, seed=seed)
    return _distance_from_one(slope, real + ops.std(real) * noise)


PENALTIES: dict[str, Callable[[Slope, Any, Any, keras.random.SeedGenerator], Any]] = {
    penalty.__name__: penalty for penalty in (r1, r2, r1_r2, gradient_penalty, dragan)
}
"""What `TrainingSpec.penalty` can name, besides none."""


def _distance_from_one(slope: Slope, images: Any) -> Any:
    # The root has no derivative at 0, where a dead discriminator is.
    norms = ops.sqrt(_squared_norms(slope(images)) + 1e-12)
    return ops.mean(ops.square(norms - 1.0))


def _squared_norms(gradients: Any) -> Any:
    return ops.sum(ops.square(gradients), axis=(1, 2, 3))
