"""Features that users bring: of any Keras model, or of a pretrained network, in place of the reference classifier."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tuner_gan import files
from tuner_gan.errors import ProjectError, QualityError, first_line
from tuner_gan.quality.applications import pretrained
from tuner_gan.quality.frozen import Floats, FrozenNetwork, Images, damaged, inference_batch, load_frozen, load_model

# What a layer's configuration says beyond what it computes. Names are left out because Keras numbers them by session.
_INDIFFERENT = {"module", "registered_name", "build_config", "compile_config", "shared_object_id", "name"}
_INDIFFERENT |= {"trainable", "training"}  # features are computed in inference mode
_TRAINING = ("_initializer", "_regularizer", "_constraint")


class FeatureExtractor(FrozenNetwork):
    """A frozen copy of a Keras model: uint8 images of one shape to features.

    It takes the place of a `ReferenceClassifier` where no logits are needed. The pixels go in as they are, as float32
    in [0, 255]: scaling them is part of the model. Images are resized (bilinear, averaging when they shrink, because
    skipping pixels distorts the Frechet distance: Parmar et al. 2021, arXiv:2104.11222) to the model's height and
    width where these are fixed, and grey images are repeated to three channels where the model wants three.

    Attributes:
        kind: "features".
        model: uint8 `[B, H, W, C]` to features `[B, d]`, with all preprocessing in it.
        feature_dim: d, the number of features.
        image_shape: (height, width, channels) of the images it takes.
        fingerprint: SHA-256 (hexadecimal) of layers, connections, preprocessing and weights.
    """

    kind = "features"

    def __init__(self, model: keras.Model, image_shape: tuple[int, int, int]) -> None:
        """Copies the model, so that training it further changes nothing here.

        Args:
            model: float32 `[B, h, w, c]` in [0, 255] to features `[B, d]`, or to maps `[B, y, x, d]`, which are
                averaged over y and x. h and w may be open; c is the channels of the images, or 3 for grey ones.
            image_shape: (height, width, channels) of the images.

        Raises:
            QualityError: a model of another kind, or one that Keras's safe mode would not load: with Lambda layers,
                lambdas or classes and functions that are not Keras's own.
        """
        copy = _safe_copy(_with_preprocessing(model, image_shape))
        self._set(copy, _fingerprint(copy))

    def _set(self, model: keras.Model, fingerprint: str) -> None:
        # Where images are enlarged, the enlarged ones bound the memory.
        resized = [(layer.height, layer.width, 3) for layer in model.layers if isinstance(layer, keras.layers.Resizing)]
        batch = min(map(inference_batch, [model.input_shape[1:], *resized]))
        super().__init__(model, fingerprint, batch)
        self.feature_dim = int(model.output_shape[-1])

    def features(self, images: Images) -> Floats:
        """Computes features.

        Args:
            images: uint8 `[N, H, W, C]` of the extractor's `image_shape`.

        Returns:
            float32 `[N, d]`.

        Raises:
            QualityError: another dtype or shape, or features that are NaN or infinite.
        """
        [features] = self._run(images)
        bad = np.count_nonzero(~np.isfinite(features).all(axis=1))
        if bad:
            raise QualityError(
                f"features must be finite, got NaN or infinity for {bad} of {len(images)} images: the feature "
                f"extractor {self.model.name!r} must take pixels in [0, 255] and have finite weights."
            )
        return features

    def card(self) -> dict[str, Any]:
        """What `save` writes to the card of the extractor."""
        return {
            "schema": files.SCHEMA,
            "classifier_fingerprint": self.fingerprint,
            "kind": self.kind,
            "network": self.model.name,
            "feature_dim": self.feature_dim,
        }

    @classmethod
    def load(cls, folder: str | Path) -> FeatureExtractor:
        """Reads a saved extractor and checks it against its card.

        Raises:
            ProjectError: a file is missing or damaged, or the model is not the one that the card describes.
        """
        folder = Path(folder)
        model, card = load_frozen(folder)
        if card.get("kind") != cls.kind or card.get("classifier_fingerprint") != _fingerprint(model):
            raise damaged(folder, f"{files.CLASSIFIER_MODEL} is not the model that {files.CARD} describes")
        result = cls.__new__(cls)  # the model has its preprocessing already
        result._set(model, card["classifier_fingerprint"])
        return result


def make_extractor(
    features: keras.Model | FeatureExtractor | str | Path, image_shape: tuple[int, int, int]
) -> FeatureExtractor:
    """Makes a feature extractor from whatever names one.

    Args:
        features: a model as `FeatureExtractor` takes it; an extractor, returned as it is; the name of a network of
            `keras.applications`, taken with its ImageNet weights; or the path of a `.keras` file.
        image_shape: (height, width, channels) of the images.

    Raises:
        QualityError: an unknown name, weights that cannot be downloaded, or a model that does not fit.
        ProjectError: the file is missing, damaged or unsafe.
    """
    if isinstance(features, FeatureExtractor):
        if features.image_shape != tuple(image_shape):
            raise QualityError(
                f"the feature extractor must take images of shape {tuple(image_shape)}, but it was made for "
                f"{features.image_shape}: make another one of its model."
            )
        return features
    if not isinstance(features, str | Path):
        return FeatureExtractor(features, image_shape)
    path = Path(features)
    if isinstance(features, str) and features == path.stem:  # no folder, no suffix
        return FeatureExtractor(pretrained(features), image_shape)
    if not path.is_file():
        raise ProjectError(f"{path} is no file: expected a feature extractor saved as .keras.")
    try:
        model = load_model(path)
    except Exception as error:  # see `FeatureExtractor.load`
        raise ProjectError(f"{path} cannot be loaded as a feature extractor: {first_line(error)}") from error
    return FeatureExtractor(model, image_shape)


def _with_preprocessing(model: keras.Model, image_shape: tuple[int, int, int]) -> keras.Model:
    """Puts resizing and repeating of the channel before the model, and averaging over the places behind it."""
    if not isinstance(model, keras.Model):
        raise QualityError(f"a feature extractor must be a keras.Model, got an object of type {type(model).__name__}.")
    inputs, outputs = (getattr(model, side, None) or [] for side in ("inputs", "outputs"))
    if (len(inputs), len(outputs)) != (1, 1):
        raise QualityError(
            "a feature extractor must be a functional or sequential keras.Model, built from one keras.Input to one "
            f"output, got {model.name!r}, a {type(model).__name__} with {len(inputs)} inputs and {len(outputs)} "
            "outputs."
        )
    shape = tuple(inputs[0].shape)
    if len(shape) != 4 or shape[0] is not None:
        raise QualityError(
            f"a feature extractor must take images [B, h, w, c] with B open, but {model.name!r} takes {list(shape)}."
        )
    height, width, channels = image_shape
    if shape[3] not in (None, channels) and (channels, shape[3]) != (1, 3):
        raise QualityError(
            f"a feature extractor must take images of {channels} channels, but {model.name!r} takes {shape[3]}: "
            "convert the images, or bring another model."
        )
    size = (shape[1] or height, shape[2] or width)
    # float32 whatever the global policy: half precision rounds the grey levels.
    image = keras.Input(image_shape, dtype="uint8", name="image")
    x = keras.layers.Rescaling(1.0, dtype="float32", name="levels")(image)
    if size != (height, width):
        x = keras.layers.Resizing(*size, antialias=True, data_format="channels_last", dtype="float32", name="resize")(x)
    if channels != (shape[3] or channels):
        x = keras.layers.Concatenate(dtype="float32", name="repeat")([x, x, x])
    # Made anew of its tensors, the model leaves behind its losses and a `train_step` of its own, which may not load.
    network = keras.Model(inputs[0], outputs[0], name="network")
    try:
        x = network(x)
    except Exception as error:  # each layer raises its own kinds
        raise QualityError(f"{model.name!r} cannot take images of shape {image_shape}: {first_line(error)}.") from error
    if len(x.shape) not in (2, 4) or x.shape[-1] is None:
        raise QualityError(
            "a feature extractor must give features [B, d] or maps [B, y, x, d], d fixed, but of images of shape "
            f"{image_shape} {model.name!r} makes {list(x.shape)}."
        )
    if len(x.shape) == 4:
        x = keras.layers.GlobalAveragePooling2D(data_format="channels_last", dtype="float32", name="average")(x)
    return keras.Model(image, x, name=model.name)


def _safe_copy(model: keras.Model) -> keras.Model:
    """Saves and loads the model as the project will, which leaves nothing shared with the user's model."""
    advice = "build it of Keras's own layers, such as Rescaling, or of keras.ops"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of lambdas, which are refused below
        try:
            foreign = _foreign(keras.saving.serialize_keras_object(model))
            if not foreign:
                model.save(Path(folder) / files.CLASSIFIER_MODEL)
                return load_model(Path(folder) / files.CLASSIFIER_MODEL)
        except Exception as error:  # each layer raises its own kinds
            raise QualityError(
                f"the feature extractor {model.name!r} cannot be saved and loaded in Keras's safe mode "
                f"({first_line(error)}): {advice}."
            ) from error
    raise QualityError(
        f"the feature extractor {model.name!r} has {', '.join(sorted(foreign))}, which Keras does not load in its safe "
        f"mode: {advice}."
    )


def _foreign(value: Any) -> set[str]:
    """The classes and functions in a serialised object that another process, without the user's code, would not have.

    Keras itself would not do for this check: in this process it finds what the user's code has registered.
    """
    if isinstance(value, list | tuple):
        return set().union(*map(_foreign, value))
    if not isinstance(value, dict):
        return set()
    kind, module = value.get("class_name"), str(value.get("module", "keras"))
    if kind in ("Lambda", "__lambda__"):
        return {"a Lambda layer" if kind == "Lambda" else "a lambda"}
    if kind is not None and module.split(".")[0] != "keras":
        return {
            f"{value['config']!r}, a function of your own" if kind == "function" else f"{kind!r}, a class of your own"
        }
    return set().union(*map(_foreign, value.values()))


def _fingerprint(model: keras.Model) -> str:
    layers = _decisive(keras.saving.serialize_keras_object(model), {})
    digest = hashlib.sha256(json.dumps(layers, sort_keys=True).encode())
    for weight in model.get_weights():
        digest.update(f"{weight.dtype.str}{weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def _decisive(value: Any, places: Mapping[str, int]) -> Any:
    """What decides the outputs in a serialised model, the same in every session and, as far as can be, Keras version.

    Args:
        value: a part of it.
        places: in the model around that part, the position of each layer by its name.
    """
    if isinstance(value, list | tuple):
        return [_decisive(item, places) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "DTypePolicy":
        return value["config"]["name"]
    if "keras_history" in value:
        name, node, tensor = value["keras_history"]
        return [places[name], node, tensor]
    if "layers" in value:  # a model
        places = {layer["config"]["name"]: place for place, layer in enumerate(value["layers"])}
        ends = [_renamed(value.get(key), places) for key in ("input_layers", "output_layers")]
        return [ends, _decisive(value["layers"], places)]
    return {
        key: _decisive(item, places)
        for key, item in value.items()
        # None and False say that something is not in use, as does a version that has no such setting.
        if not (item is None or item is False or key in _INDIFFERENT or key.endswith(_TRAINING))
    }


def _renamed(ends: Any, places: Mapping[str, int]) -> Any:
    """Layer names in nested lists to places."""
    if isinstance(ends, list | tuple):
        return [_renamed(item, places) for item in ends]
    return places.get(ends, ends)
