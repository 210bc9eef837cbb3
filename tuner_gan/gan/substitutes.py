"""Networks of Keras's layers, with layers in their place that compute the same and train faster."""

from __future__ import annotations

from typing import Any, Protocol

import keras
from keras import layers


class Substitute(Protocol):
    """A subclass of one of Keras's layers that says which ones it can stand for."""

    @classmethod
    def can_replace(cls, layer: layers.Layer) -> bool:
        """Tells whether a built layer can be replaced."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> layers.Layer:
        """Makes a layer as Keras does."""


def substitute(network: keras.Model, *kinds: type[Substitute]) -> keras.Model:
    """Returns a copy of a network, with the same weights, in which layers are replaced.

    Args:
        network: a functional model.
        *kinds: of the layers to put in; the first one that can replace a layer is taken.
    """

    def replace(layer: layers.Layer) -> layers.Layer:
        if isinstance(layer, layers.SpectralNormalization):
            config = {key: value for key, value in layer.get_config().items() if key != "layer"}
            return layers.SpectralNormalization(replace(layer.layer), **config)
        kind = next((kind for kind in kinds if kind.can_replace(layer)), type(layer))
        return kind.from_config(layer.get_config())

    replaced: keras.Model = keras.models.clone_model(network, clone_function=replace)
    replaced.set_weights(network.get_weights())
    return replaced
