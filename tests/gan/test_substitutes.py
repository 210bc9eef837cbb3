import keras
import numpy as np
from keras import layers

from tuner_gan.gan.activations import FlatLeakyReLU
from tuner_gan.gan.convolutions import ImageConv2D, ImageConv2DTranspose
from tuner_gan.gan.substitutes import substitute


def _names(network: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in network.layers]


def test_layers_are_replaced_and_the_network_stays_the_same() -> None:
    images = keras.Input((6, 6, 1), name="images")
    x = layers.LeakyReLU(0.3)(layers.Conv2D(8, 4, 2, padding="same")(images))
    x = layers.Conv2D(8, 4, 2, padding="same")(x)
    labels = keras.Input((3,), name="labels")
    x = layers.Add()([layers.Flatten()(x), layers.Dense(32)(labels)])
    network = keras.Model([images, labels], layers.Dropout(0.5)(x))
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape).astype(np.float32) for shape in ((4, 6, 6, 1), (4, 3))]
    expected, weights = np.asarray(network(inputs)), network.get_weights()

    replaced = substitute(network, ImageConv2D, FlatLeakyReLU)
    assert sorted(_names(replaced)) == sorted(
        ["InputLayer", "ImageConv2D", "FlatLeakyReLU", "Conv2D", "Flatten", "InputLayer", "Dense", "Add", "Dropout"]
    )
    assert [layer.name for layer in replaced.layers] == [layer.name for layer in network.layers]
    np.testing.assert_array_equal(replaced(inputs), expected)
    for one, other in zip(replaced.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_the_kinds_that_are_asked_for() -> None:
    images = keras.Input((6, 6, 1))
    network = keras.Model(images, layers.LeakyReLU(0.3)(layers.Conv2D(8, 4, 2, padding="same")(images)))
    assert _names(substitute(network, ImageConv2DTranspose)) == ["InputLayer", "Conv2D", "LeakyReLU"]


def test_inside_spectral_normalisation_too() -> None:
    images = keras.Input((6, 6, 1))
    x = layers.SpectralNormalization(layers.Conv2D(8, 4, 2, padding="same"), power_iterations=2)(images)
    network = keras.Model(images, layers.SpectralNormalization(layers.Dense(2))(layers.Flatten()(x)))
    inputs = np.random.default_rng(1).normal(size=(3, 6, 6, 1)).astype(np.float32)
    weights = network.get_weights()
    expected = np.asarray(network(inputs, training=True))
    network.set_weights(weights)  # a step of the power iteration has changed them

    replaced = substitute(network, ImageConv2D)
    convolution, dense = replaced.layers[1], replaced.layers[3]
    assert type(convolution) is type(dense) is layers.SpectralNormalization
    assert type(convolution.layer) is ImageConv2D
    assert type(dense.layer) is layers.Dense
    assert convolution.power_iterations == 2
    np.testing.assert_array_equal(replaced(inputs, training=True), expected)
