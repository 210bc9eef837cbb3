from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tuner_gan.gan.normalization import FusedBatchNormalization


def _twins(shape: tuple[int, ...], **settings: Any) -> tuple[Any, Any]:
    """Keras's layer and ours, with the same random weights."""
    twins = []
    for kind in (layers.BatchNormalization, FusedBatchNormalization):
        layer = kind(momentum=0.8, **settings)
        layer.build(shape)
        rng = np.random.default_rng(1)
        layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
        twins.append(layer)
    twins[1].is_fused = True
    return twins[0], twins[1]


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((4, 3, 5, 6), {}),
        ((2, 1, 1, 3), {}),
        ((4, 3, 5, 6), {"scale": False, "center": False}),
        ((4, 3, 5, 6), {"epsilon": 0.1}),
        ((9, 4), {}),
        ((4, 3, 5, 6), {"axis": 1}),
    ],
)
def test_outputs_averages_and_derivatives_are_keras_s(shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, weights = (tf.constant(rng.normal(1.0, 2.0, shape), tf.float32) for _ in range(2))

    def of(layer: Any) -> list[Any]:
        def step() -> list[Any]:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
            return [y, *tape.gradient(y, [x, *layer.trainable_variables], weights)]

        found: list[Any] = tf.function(step)()
        return [*found, *layer.get_weights(), layer(x), layer(x, training=False)]

    own, ours = _twins(shape, **settings)
    before = own.get_weights()
    for one, other in zip(of(ours), of(own), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    assert all(np.abs(a - b).max() > 0.01 for a, b in zip(own.get_weights()[-2:], before[-2:], strict=True))


def test_it_is_one_operator_in_training_on_maps_of_which_the_last_axis_has_the_channels() -> None:
    def operators(shape: tuple[int, ...], training: bool = True, is_fused: bool = True, **settings: Any) -> set[str]:
        _, ours = _twins(shape, **settings)
        ours.is_fused = is_fused
        traced = tf.function(lambda x: ours(x, training=training)).get_concrete_function(tf.TensorSpec(shape))
        return {operation.type for operation in traced.graph.get_operations()}

    maps = (4, 3, 5, 6)
    assert "FusedBatchNormV3" in operators(maps)
    assert "FusedBatchNormV3" in operators(maps, axis=3)
    assert "FusedBatchNormV3" not in operators(maps, is_fused=False)
    assert "FusedBatchNormV3" not in operators(maps, axis=1)
    assert "FusedBatchNormV3" not in operators(maps, training=False)
    assert "FusedBatchNormV3" not in operators((9, 4))


def test_one_pixel_alone_has_no_variance() -> None:
    own, ours = _twins((1, 1, 1, 3))
    x = tf.constant([[[[1.0, 2.0, 3.0]]]])
    np.testing.assert_allclose(ours(x, training=True), own(x, training=True), rtol=1e-5)
    for one, other in zip(ours.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_in_half_precision_it_is_keras_s() -> None:
    own, ours = _twins((4, 3, 5, 6), dtype="mixed_bfloat16")
    x = tf.constant(np.random.default_rng(0).normal(size=(4, 3, 5, 6)), tf.bfloat16)
    expected = own(x, training=True)
    found = ours(x, training=True)
    assert found.dtype == expected.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(found, tf.float32), tf.cast(expected, tf.float32), rtol=0.02, atol=0.02)


def test_frozen_it_does_not_learn() -> None:
    _, ours = _twins((2, 3, 3, 4))
    ours.trainable = False
    before = ours.get_weights()
    ours(np.ones((2, 3, 3, 4), np.float32), training=True)
    for one, same in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)


def test_it_is_saved_like_any_layer() -> None:
    model = keras.Sequential([keras.Input((2, 2, 1)), FusedBatchNormalization()])
    assert type(keras.Sequential.from_config(model.get_config()).layers[0]) is FusedBatchNormalization
