from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from derivatives import penalty_derivatives
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from tuner_gan.gan.convolutions import MOST_CHANNELS, ImageConv2D, ImageConv2DTranspose, ImageConvolution, Way

KINDS: list[type[Any]] = [ImageConv2D, ImageConv2DTranspose]
WAYS: list[Way] = ["products", "blocks"]
OWN: dict[Any, type[Any]] = {ImageConv2D: layers.Conv2D, ImageConv2DTranspose: layers.Conv2DTranspose}


def _twins(
    kind: type[Any], way: Way, channels: int, filters: int, size: int, stride: int, **more: Any
) -> tuple[Any, Any]:
    """Keras's layer and ours, computed in that way, built with the same random weights."""
    own = OWN[kind](filters, size, stride, padding="same", bias_initializer="normal", **more)
    return own, _in_place_of(kind, own, way, channels)


def _in_place_of(kind: type[Any], own: Any, way: Way, channels: int) -> Any:
    """Ours in place of a layer of Keras's, which is built here, with its weights."""
    own.build((None, 6, 6, channels))
    ours = kind.from_config(own.get_config())
    ours.build((None, 6, 6, channels))
    ours.set_weights(own.get_weights())
    ours.way = way
    return ours


@st.composite
def _cases(draw: st.DrawFn) -> tuple[type[Any], int, int, int, int]:
    """A kind of layer, channels, filters, kernel size and stride that it is for."""
    kind = draw(st.sampled_from(KINDS))
    few, any_number = draw(st.integers(1, MOST_CHANNELS)), draw(st.integers(1, 7))
    size, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    if kind is ImageConv2D and (stride > 1 or draw(st.booleans())):
        return kind, few, any_number, size, stride
    return kind, any_number, few, size, stride


@settings(max_examples=150, deadline=None)
@given(
    case=_cases(), way=st.sampled_from(WAYS), height=st.integers(1, 9), width=st.integers(1, 9), use_bias=st.booleans()
)
def test_it_is_keras_s_convolution(
    case: tuple[type[Any], int, int, int, int], way: Way, height: int, width: int, use_bias: bool
) -> None:
    kind, channels, filters, size, stride = case
    own, ours = _twins(kind, way, channels, filters, size, stride, use_bias=use_bias, activation="tanh")
    x = np.random.default_rng(0).normal(size=(2, height, width, channels)).astype(np.float32)
    expected = own(x)
    assert ours(x).shape == expected.shape
    np.testing.assert_allclose(ours(x), expected, atol=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("kind", "channels", "filters", "size", "stride"),
    [
        (ImageConv2D, 1, 5, 4, 2),
        (ImageConv2D, 3, 5, 3, 1),
        (ImageConv2D, 5, 1, 3, 1),
        (ImageConv2D, 5, 3, 4, 1),
        (ImageConv2DTranspose, 5, 1, 4, 2),
        (ImageConv2DTranspose, 5, 3, 5, 2),
    ],
)
def test_its_derivatives_are_keras_s(
    kind: type[Any], channels: int, filters: int, size: int, stride: int, way: Way, compiled: bool
) -> None:
    own, ours = _twins(kind, way, channels, filters, size, stride)
    x = tf.constant(np.random.default_rng(1).normal(size=(3, 7, 6, channels)), tf.float32)
    found = tf.function(lambda: penalty_derivatives(ours, x, ours.trainable_variables), jit_compile=compiled)()
    expected = penalty_derivatives(own, x, own.trainable_variables)
    for one, other in zip(found, expected, strict=True):
        scale = float(np.abs(other).max())
        assert scale > 0
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_keras_s_own_until_it_is_told_otherwise(
    kind: type[Any], way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    operation = "call" if kind is ImageConv2DTranspose else "convolution_op"
    original = getattr(OWN[kind], operation)

    def watched(*args: Any) -> Any:
        calls.append(args)
        return original(*args)

    monkeypatch.setattr(OWN[kind], operation, watched)
    _, ours = _twins(kind, way, 2, 3, 3, 2)
    x = np.ones((1, 4, 4, 2), np.float32)
    found = ours(x)
    assert not calls
    ours.way = "keras"
    np.testing.assert_allclose(ours(x), found, atol=1e-6)
    assert len(calls) == 1
    fresh = kind.from_config(ours.get_config())
    assert isinstance(fresh, ImageConvolution)
    assert fresh.way == "keras"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_in_half_precision_it_is_keras_s(kind: type[Any], way: Way) -> None:
    own, ours = _twins(kind, way, 2, 3, 4, 2, dtype="mixed_bfloat16")
    x = np.random.default_rng(2).normal(size=(2, 6, 6, 2)).astype(np.float32)
    expected = own(x)
    assert ours(x).dtype == expected.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(ours(x), tf.float32), tf.cast(expected, tf.float32), atol=0.05)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (ImageConv2D, {"kernel_size": 3}),
        (ImageConv2D, {"kernel_size": (3, 4), "padding": "same"}),
        (ImageConv2D, {"kernel_size": 3, "padding": "same", "dilation_rate": 2}),
        (ImageConv2D, {"kernel_size": 3, "padding": "same", "groups": 2}),
        (ImageConv2DTranspose, {"kernel_size": 4, "strides": 2}),
        (ImageConv2DTranspose, {"kernel_size": 4, "strides": (2, 1), "padding": "same"}),
        (ImageConv2DTranspose, {"kernel_size": 4, "strides": 2, "padding": "same", "output_padding": 1}),
    ],
)
def test_where_no_other_way_is_known_it_is_keras_s_own(kind: type[Any], settings: dict[str, Any], way: Way) -> None:
    own = OWN[kind](2, **settings)
    ours = _in_place_of(kind, own, way, 2)
    x = np.random.default_rng(3).normal(size=(2, 6, 6, 2)).astype(np.float32)
    np.testing.assert_array_equal(ours(x), own(x))


def test_it_is_saved_like_any_layer() -> None:
    for kind in KINDS:
        model = keras.Sequential([keras.Input((4, 4, 1)), kind(2, 4, 2, padding="same")])
        assert type(keras.Sequential.from_config(model.get_config()).layers[0]) is kind
