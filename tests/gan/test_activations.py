from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from derivatives import penalty_derivatives
from keras import layers

from tuner_gan.gan.activations import FlatLeakyReLU


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("compiled", [False, True])
def test_all_derivatives_are_those_of_keras_s_own(slope: float, compiled: bool) -> None:
    rng = np.random.default_rng(0)
    x, kernel = (tf.Variable(rng.normal(size=shape), dtype=tf.float32) for shape in ((7, 4), (4, 5)))

    def of(layer: layers.Layer) -> list[Any]:
        step = tf.function(lambda: penalty_derivatives(lambda x: layer(x @ kernel), x, [kernel]), jit_compile=compiled)
        found: list[Any] = step()
        return found

    ours, theirs = of(FlatLeakyReLU(slope)), of(layers.LeakyReLU(slope))
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(other).max() > 0
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_a_third_derivative_is_right_too() -> None:
    """Of (a x)^3 below zero it is 6 a^3, and of x^3 above it is 6."""
    layer, x = FlatLeakyReLU(0.5), tf.constant([-2.0, 3.0])
    with tf.GradientTape() as third:
        third.watch(x)
        with tf.GradientTape() as second:
            second.watch(x)
            with tf.GradientTape() as first:
                first.watch(x)
                y = layer(x) ** 3
            by_x = first.gradient(y, x)
        by_x_twice = second.gradient(by_x, x)
    np.testing.assert_allclose(third.gradient(by_x_twice, x), [6 * 0.5**3, 6.0], rtol=1e-6)


def test_no_zeros_are_sent_back_from_the_second_derivative() -> None:
    """Of a layer alone the derivative does not depend on its input, and a tape says so."""
    layer, x = FlatLeakyReLU(0.2), tf.constant([-1.0, 2.0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = layer(x)
        by_x = inner.gradient(y, x)
    np.testing.assert_allclose(by_x, [0.2, 1.0])
    assert outer.gradient(by_x, x) is None


def test_it_is_saved_like_any_layer() -> None:
    model = keras.Sequential([keras.Input((3,)), FlatLeakyReLU(0.3)])
    twin = keras.Sequential.from_config(model.get_config())
    assert type(twin.layers[0]) is FlatLeakyReLU
    np.testing.assert_allclose(np.asarray(twin(np.array([[-1.0, 0.0, 2.0]]))), np.array([[-0.3, 0.0, 2.0]]), rtol=1e-6)
