import os
import subprocess
import sys

import keras
import pytest
import tensorflow as tf
from keras import layers

from tuner_gan.gan.architecture import DiscriminatorSpec, GeneratorSpec
from tuner_gan.gan.arithmetic import step_flops, uses_onednn
from tuner_gan.gan.networks import build_discriminator, build_generator


def _network(*hidden: layers.Layer, shape: tuple[int, ...]) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *hidden])


def test_a_step_goes_through_the_generator_thrice_and_the_discriminator_six_times() -> None:
    nothing = _network(layers.Flatten(), shape=(2, 2, 1))
    dense = _network(layers.Dense(5, use_bias=False), shape=(3,))
    assert step_flops(dense, nothing, 7) == 7 * 3 * 2 * 3 * 5
    assert step_flops(nothing, dense, 7) == 7 * 6 * 2 * 3 * 5


@pytest.mark.parametrize(
    ("layer", "products"),
    [
        (layers.Conv2D(4, 3, strides=2, padding="same"), 3 * 3 * 2 * 4 * (4 * 3)),
        (layers.Conv2D(4, 3), 3 * 3 * 2 * 4 * (6 * 4)),
        (layers.Conv2DTranspose(4, 5, strides=2, padding="same"), 5 * 5 * 2 * 4 * (8 * 6)),
        (layers.SpectralNormalization(layers.Conv2D(4, 3, strides=2, padding="same")), 3 * 3 * 2 * 4 * (4 * 3)),
        (layers.Dense(3), 2 * 3 * (8 * 6)),
        (layers.MaxPooling2D(), 0),
    ],
)
def test_a_kernel_is_laid_at_each_place_of_a_map(layer: layers.Layer, products: int) -> None:
    nothing = _network(layers.Flatten(), shape=(1,))
    assert step_flops(_network(layer, shape=(8, 6, 2)), nothing, 1) == 3 * 2 * products


def test_tensorflow_counts_the_same() -> None:
    """But for what is added or multiplied pixel by pixel."""
    generator = build_generator(GeneratorSpec("conv", 16, (32, 16)), (28, 28, 1))
    discriminator = build_discriminator(DiscriminatorSpec("conv", (16, 32), normalization="spectral"), (28, 28, 1))
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    counted = []
    for network in (generator, discriminator):
        graph = tf.function(network).get_concrete_function(tf.zeros((1, *network.input_shape[1:]))).graph
        counted.append(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)
    assert step_flops(generator, discriminator, 1) == pytest.approx(3 * counted[0] + 6 * counted[1], rel=0.1)


def test_onednn_is_off_where_the_environment_says_so() -> None:
    code = "from tuner_gan.gan.arithmetic import uses_onednn; print(uses_onednn())"
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_without_a_way_to_ask_there_is_no_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "tensorflow.python.util._pywrap_util_port"
    monkeypatch.delattr(sys.modules["tensorflow.python.util"], "_pywrap_util_port")
    monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
    assert not uses_onednn()
