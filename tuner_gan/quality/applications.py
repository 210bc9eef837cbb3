"""Networks of `keras.applications` as feature extractors, with pretrained weights and their own preprocessing."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tuner_gan.errors import QualityError, closest, first_line
from tuner_gan.layout import channels_last
from tuner_gan.precision import SINGLE, precision

Floats = npt.NDArray[np.float32]

SIDE = 96
"""Height and width of the images that a pretrained network sees. All of `keras.applications` take it; at their own 224
to 331 pixels they would need five to twelve times as long, which a search on a CPU cannot spare."""
EFFICIENTNET_VARIANCE = (0.229, 0.224, 0.225)


@channels_last()
def pretrained(name: str, weights: str | Path = "imagenet") -> keras.Model:
    """Builds a network of `keras.applications` without its top, its own preprocessing included.

    Every `preprocess_input` of `keras.applications` is affine in the channels of a pixel: a scaling, an offset, perhaps
    RGB to BGR. It becomes a frozen 1x1 convolution, equal to it up to float32 rounding.

    Args:
        name: such as "MobileNetV2"; upper and lower case, "-" and "_" make no difference.
        weights: "imagenet" to download them (Keras keeps them in its cache), or the path of a `.weights.h5` file that
            `save_weights` of the same network without its top wrote, or of the downloaded `.h5` file.

    Returns:
        A model from float32 `[B, 96, 96, 3]`, RGB in [0, 255], to features `[B, d]`: the last maps, averaged. It
        computes in float32, whatever Keras's dtype policy.

    Raises:
        QualityError: an unknown name, weights that cannot be downloaded, or a file without weights of this network.

    Example:
        >>> extractor = FeatureExtractor(pretrained("MobileNetV2", "mobilenet_v2_no_top.h5"), (32, 32, 3))
    """
    networks = {_key(each): build for each, build in vars(keras.applications).items() if callable(build)}
    if _key(name) not in networks:
        raise QualityError(
            f"features must be the name of a network of keras.applications or the path of a .keras file, got {name!r}"
            f"{closest(_key(name), networks)}."
        )
    build = networks[_key(name)]
    matrix, offset = _affine(sys.modules[build.__module__].preprocess_input)
    with precision(SINGLE):  # see `ReferenceClassifier.fit`
        inputs = keras.Input((SIDE, SIDE, 3), name="image")
        preprocess = keras.layers.Conv2D(3, 1, trainable=False, name="preprocess")
        pixels = preprocess(inputs)
        preprocess.set_weights([matrix[None, None], offset])
        return keras.Model(inputs, _network(build, weights)(pixels), name=build.__name__)


def _network(build: Callable[..., keras.Model], weights: str | Path) -> keras.Model:
    options = {"include_top": False, "pooling": "avg", "input_shape": (SIDE, SIDE, 3)}
    if weights == "imagenet":
        try:
            with warnings.catch_warnings():
                # Weights of convolutions are good for any size, which is the reason for leaving out the top.
                warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square", UserWarning)
                return build(weights="imagenet", **options)
        except Exception as error:  # Keras raises a plain Exception when a download fails
            raise QualityError(
                f"the ImageNet weights of {build.__name__} cannot be downloaded or read ({first_line(error)}): "
                "get this file where there is a network, and give its path, "
                f"pretrained({build.__name__!r}, weights=PATH)."
            ) from error
    path = Path(weights)
    if not path.is_file():
        raise QualityError(f"weights must be 'imagenet' or the path of a .h5 file, but {path} is no file.")
    network = build(weights=None, **options)
    try:
        with warnings.catch_warnings():
            # For the file of another network hundreds of them come before the error.
            warnings.filterwarnings("ignore", "Skipping nested container", UserWarning)
            network.load_weights(path)
    except Exception as error:  # see `FeatureExtractor.load`
        raise QualityError(
            f"{path} must hold the weights of {build.__name__} without its top, but they cannot be read "
            f"({first_line(error)}): check the network's name, or get the file again."
        ) from error
    _correct_efficientnet(network)
    return network


def _correct_efficientnet(network: keras.Model) -> None:
    """Makes EfficientNetB0 to B7 from a downloaded file what they are when Keras downloads it.

    The file has standard deviations where the network expects variances. Keras makes up for that with one more layer,
    but only if it downloads the file itself (https://github.com/tensorflow/tensorflow/issues/49930).
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            mean, variance, count = layer.get_weights()
            if np.allclose(variance, EFFICIENTNET_VARIANCE, atol=1e-4):
                layer.set_weights([mean, variance**2, count])
                layer.finalize_state()


def _affine(preprocess: Callable[..., npt.NDArray[Any]]) -> tuple[Floats, Floats]:
    """The matrix `[3, 3]` and offset `[3]` with `preprocess(x) = x @ matrix + offset`, from black and pure colours."""
    probes = np.concatenate([np.zeros((1, 3)), 255.0 * np.eye(3)])[:, None, None]  # float64: rounded only at the end
    values = np.asarray(preprocess(probes, data_format="channels_last"))[:, 0, 0]
    return ((values[1:] - values[0]) / 255.0).astype(np.float32), values[0].astype(np.float32)


def _key(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")
