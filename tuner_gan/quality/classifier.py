"""The frozen reference classifier whose features every trial of a project is scored with."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tuner_gan import files
from tuner_gan.datasets import ImageDataset
from tuner_gan.errors import QualityError
from tuner_gan.layout import channels_last
from tuner_gan.plain_numbers import check_count
from tuner_gan.precision import SINGLE, precision
from tuner_gan.quality.frozen import Floats, FrozenNetwork, Images, damaged, inference_batch, load_frozen

Classes = npt.NDArray[np.int64]
Kind = Literal["classifier", "rotation"]

FEATURES = 64
"""Width of the penultimate layer. The Frechet distance of finite samples is biased by about its square."""
SMALLEST_MAP = 8
"""Blocks halve height and width until neither exceeds this."""
BATCH = 64
TURNS = 4
STEPS = (700, 2_000)
"""Fewest and most training steps for images of up to 32x32."""
ROTATION_TEST_IMAGES = 2_000


class ReferenceClassifier(FrozenNetwork):
    """A small convolutional network: images to penultimate features and logits.

    With labels it learns the classes. Without, it learns which of four rotations an image was given (Gidaris et al.
    2018, arXiv:1803.07728), or for images that are not square which of the four flips that keep the shape. Scaling of
    the pixels is part of the model. The features pass through tanh: bounded, so that one odd image cannot dominate a
    covariance, and never exactly flat as a ReLU unit can be.

    Make one with `fit` or `load`.

    Attributes:
        kind: "classifier", or "rotation" for images without labels.
        accuracy: share of held-out images it classifies rightly (of held-out images turned in each way for "rotation").
        num_classes: K, the number of logits; 4 for "rotation".
        feature_dim: d, the number of features.
        data_fingerprint: of the images and labels it was trained on.
        seed: of its weights and of the order of the images.
        image_shape: (height, width, channels) of the images it takes.
    """

    def __init__(self, model: keras.Model, *, kind: Kind, accuracy: float, data_fingerprint: str, seed: int) -> None:
        super().__init__(model, _fingerprint(model, kind, data_fingerprint), inference_batch(model.input_shape[1:]))
        self.kind = kind
        self.accuracy = accuracy
        self.data_fingerprint = data_fingerprint
        self.seed = seed
        self.feature_dim, self.num_classes = (int(shape[-1]) for shape in model.output_shape)

    @classmethod
    def fit(cls, train: ImageDataset, holdout: ImageDataset, *, seed: int = 0) -> ReferenceClassifier:
        """Trains a classifier: 5 to 15 seconds for a few thousand small images, about a minute for 60,000.

        Two calls with the same data and seed give the same weights on the same machine, whatever Keras's dtype policy:
        they are float32. No global random state is used or changed.

        Args:
            train: images to learn from.
            holdout: images of the same shape and classes to measure the accuracy on; none of them in `train`.
            seed: of the initial weights, the order of the images and their random shifts, >= 0.

        Raises:
            QualityError: the images of `holdout` have another shape, or only one of the two has labels.
            ConfigError: the seed is no integer from 0.
        """
        seed = check_count("seed", seed, least=0)
        if holdout.image_shape != train.image_shape or (holdout.labels is None) != (train.labels is None):
            raise QualityError(
                "train and holdout must have the same image shape and both have labels or none, "
                f"got {_describe(train)} and {_describe(holdout)}."
            )
        classes = train.num_classes or 0
        kind: Kind = "classifier" if classes >= 2 else "rotation"
        labels = train.labels if kind == "classifier" else None
        with precision(SINGLE):  # a global policy is meant for GANs: their scores must not depend on it
            network = _build(train.image_shape, classes if kind == "classifier" else TURNS, seed)
            _train(network, train.images, labels, seed)
            # The trained graph without optimizer and loss: features are an output of their own.
            model = keras.Model(
                network.input, [network.get_layer("features").output, network.output], name="reference_classifier"
            )
        result = cls(model, kind=kind, accuracy=0.0, data_fingerprint=train.fingerprint, seed=seed)
        if kind == "classifier":
            images, expected = holdout.images, holdout.labels
        else:
            images, expected = _all_turns(holdout.images[:ROTATION_TEST_IMAGES])
        result.accuracy = float(np.mean(result.predict(images)[1].argmax(axis=1) == expected))
        return result

    def predict(self, images: Images) -> tuple[Floats, Floats]:
        """Computes features and logits.

        Args:
            images: uint8 `[N, H, W, C]` of the classifier's `image_shape`.

        Returns:
            Features, float32 `[N, d]` in (-1, 1), and logits, float32 `[N, K]`.

        Raises:
            QualityError: another dtype or shape.
        """
        features, logits = self._run(images)
        return features, logits

    def features(self, images: Images) -> Floats:
        """The features of `predict` alone, float32 `[N, d]`."""
        return self.predict(images)[0]

    def card(self) -> dict[str, Any]:
        """What `save` writes to the card of the classifier."""
        return {
            "schema": files.SCHEMA,
            "classifier_fingerprint": self.fingerprint,
            "kind": self.kind,
            "accuracy": self.accuracy,
            "num_classes": self.num_classes,
            "feature_dim": self.feature_dim,
            "training_fingerprint": self.data_fingerprint,
            "seed": self.seed,
        }

    @classmethod
    def load(cls, folder: str | Path) -> ReferenceClassifier:
        """Reads a saved classifier and checks it against its card.

        Raises:
            ProjectError: a file is missing or damaged, or the model is not the one that the card describes.
        """
        folder = Path(folder)
        model, card = load_frozen(folder)
        try:
            result = cls(
                model,
                kind=card["kind"],
                accuracy=float(card["accuracy"]),
                data_fingerprint=str(card["training_fingerprint"]),
                seed=int(card["seed"]),
            )
            expected = card["classifier_fingerprint"]
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(folder, f"{files.CLASSIFIER_MODEL} and {files.CARD} do not describe a classifier") from error
        if result.fingerprint != expected:
            raise damaged(folder, f"{files.CLASSIFIER_MODEL} is not the model that {files.CARD} describes")
        return result


@channels_last()
def _build(image_shape: tuple[int, int, int], classes: int, seed: int) -> keras.Model:
    """Strided 5x5 convolutions down to a map of at most 8x8, then the features, then the logits."""
    halvings = [max(1, math.ceil(math.log2(side / SMALLEST_MAP))) for side in image_shape[:2]]
    blocks = max(2, *halvings)
    seeds = iter(np.random.SeedSequence(seed).generate_state(blocks + 2) >> 1)  # 31 bits, as Keras takes them

    def initializer() -> keras.initializers.Initializer:
        return keras.initializers.GlorotUniform(seed=int(next(seeds)))

    inputs = keras.Input(image_shape, dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(inputs)
    for block in range(blocks):
        # The shorter side is halved in the last blocks only.
        strides = tuple(2 if block >= blocks - count else 1 for count in halvings)
        x = keras.layers.Conv2D(
            min(16 * 2**block, max(8, 64 >> (blocks - 1 - block))),  # narrow while the maps are large
            5,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer=initializer(),
            name=f"conv_{block}",
        )(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"norm_{block}")(x)
        x = keras.layers.Activation("silu", name=f"silu_{block}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(FEATURES, use_bias=False, kernel_initializer=initializer(), name="projection")(x)
    # Normalised without a learned scale, no unit can saturate for all images or go dead.
    x = keras.layers.BatchNormalization(momentum=0.9, center=False, scale=False, name="norm")(x)
    x = keras.layers.Rescaling(0.5, name="damp")(x)  # near-linear for most images: small defects stay visible
    x = keras.layers.Activation("tanh", name="features")(x)
    outputs = keras.layers.Dense(classes, kernel_initializer=initializer(), name="logits")(x)
    return keras.Model(inputs, outputs, name="reference_classifier")


def _train(network: keras.Model, images: Images, labels: Classes | None, seed: int) -> None:
    """Adam with a cosine decay; more steps for more images, fewer for larger ones."""
    height, width = images.shape[1:3]
    share = min(1.0, 1024 / (height * width))
    steps = math.ceil(min(STEPS[1], max(STEPS[0], 3 * len(images) / BATCH)) * max(share, 0.2))
    network.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # compiling takes longer than it saves here
    )
    made = _batches(images, labels, steps, seed)

    def batch(_: Any) -> tuple[Any, Any]:
        # Not `from_generator`: on Python 3.11 it makes TensorFlow tell the C library to fetch the memory of each large
        # tensor anew from the system (`ApplyPython311MemoryPatch`), which doubles the time of all training after it.
        x, y = tf.numpy_function(lambda: next(made), [], (tf.uint8, tf.int64))
        return tf.ensure_shape(x, (BATCH, *images.shape[1:])), tf.ensure_shape(y, (BATCH,))

    batches = tf.data.Dataset.range(steps).map(batch).prefetch(4)
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread sleeps for seconds when the iterator ends, and fit waits for it
    network.fit(batches.with_options(options), epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0)


def _batches(images: Images, labels: Classes | None, steps: int, seed: int) -> Iterator[tuple[Images, Classes]]:
    """Yields shuffled batches, each image moved by a few pixels; without labels, turned, with the turn as label."""
    rng = np.random.default_rng(seed)
    epochs = math.ceil(steps * BATCH / len(images))
    order = np.concatenate([rng.permutation(len(images)) for _ in range(epochs)])
    height, width = images.shape[1:3]
    reach = max(1, min(height, width) // 14)
    for step in range(steps):
        rows = order[step * BATCH : (step + 1) * BATCH]
        down, right = rng.integers(-reach, reach + 1, (2, BATCH, 1))
        y = np.clip(np.arange(height) + down, 0, height - 1)
        x = np.clip(np.arange(width) + right, 0, width - 1)
        batch = images[rows[:, None, None], y[:, :, None], x[:, None, :]]
        if labels is None:
            for turn in range(TURNS):
                batch[turn::TURNS] = _turned(batch[turn::TURNS], turn)
            yield batch, np.arange(BATCH) % TURNS
        else:
            yield batch, labels[rows]


def _turned(images: Images, turn: int) -> Images:
    """Rotates by `turn` quarters; flips up-down, left-right or both where a rotation would change the shape."""
    if images.shape[1] == images.shape[2]:
        return np.rot90(images, turn, axes=(1, 2))
    axes = ((), (1, 2), (1,), (2,))[turn]
    return np.flip(images, axes)


def _all_turns(images: Images) -> tuple[Images, Classes]:
    turned = np.concatenate([_turned(images, turn) for turn in range(TURNS)])
    return turned, np.repeat(np.arange(TURNS), len(images))


def _fingerprint(model: keras.Model, kind: str, data_fingerprint: str) -> str:
    """SHA-256 (hexadecimal) of layers, scaling, weights, task and training data.

    Only what decides the outputs is hashed, not Keras's own JSON, which changes from version to version.
    """
    decisive = ("activation", "strides", "padding", "epsilon", "scale", "offset")
    layers = [
        [type(layer).__name__, layer.name, {key: value for key, value in layer.get_config().items() if key in decisive}]
        for layer in model.layers
    ]
    digest = hashlib.sha256(json.dumps([kind, data_fingerprint, model.input_shape, layers]).encode())
    for weight in model.get_weights():
        digest.update(f"{weight.dtype.str}{weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def _describe(data: ImageDataset) -> str:
    return f"{data.image_shape} with{'out' if data.labels is None else ''} labels"
