"""A search space as a KerasTuner hypermodel."""

from __future__ import annotations

from typing import Any

import keras_tuner

from tuner_gan.errors import ConfigError
from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.gan.model import GAN
from tuner_gan.plain_numbers import plain
from tuner_gan.search_spaces import SPACES, make_space
from tuner_gan.search_spaces.base import SearchSpace
from tuner_gan.search_spaces.steering import SteeredSpace


class GANHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """Builds a compiled GAN from hyperparameters.

    Args:
        image_shape: height and width from 8 to 256, and 1 or 3 channels.
        search_space: the name of a built-in space (`"dcgan"`, `"mlp"`, `"progressive"`, `"resnet"`), a steered one
            such as `DCGANSpace(image_shape).fix(beta1=0.5)`, or your own `SearchSpace`.
        classes: of conditional GANs, from 2; 0 for GANs without labels. Your own space must give architectures with as
            many.

    Attributes:
        space_name: name of a built-in space, steered or not; of yours, the name of its class.

    Raises:
        ConfigError: there is no such space, the object has no `sample(hp)`, or the shape or the classes are none.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], search_space: str | SearchSpace = "dcgan", classes: int = 0
    ) -> None:
        super().__init__(name="gan")
        self.classes: int = plain(classes)
        if not isinstance(self.classes, int) or isinstance(self.classes, bool) or self.classes < 0 or self.classes == 1:
            raise ConfigError(f"classes must be 0 for GANs without labels, or an integer from 2, but got {classes!r}.")
        try:
            height, width, channels = map(int, image_shape)
        except (TypeError, ValueError):
            raise ConfigError(f"image_shape must be (height, width, channels), but got {image_shape!r}.") from None
        self.image_shape = (height, width, channels)
        if isinstance(search_space, str):
            self.space_name = search_space
            self.search_space = make_space(search_space, self.image_shape, self.classes)
        elif isinstance(search_space, type) or not isinstance(search_space, SearchSpace):
            raise ConfigError(
                f"search_space must be a name or an object with a method sample(hp), but got {search_space!r}."
            )
        else:
            self.space_name = _name(search_space)
            self.search_space = search_space

    def architecture(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        """Samples the space and checks that what it gives fits the images and the classes.

        Raises:
            ConfigError: the space gives something else than an architecture for images of this shape, or one for other
                classes.
        """
        architecture = self.search_space.sample(hp)
        if not isinstance(architecture, GANArchitecture) or architecture.image_shape != self.image_shape:
            is_one = isinstance(architecture, GANArchitecture)
            found = f"one for {architecture.image_shape}" if is_one else repr(architecture)
            raise ConfigError(
                f"The search space {self.space_name} must give a GANArchitecture for images of shape "
                f"{self.image_shape}, but it gave {found}: try check_search_space on it."
            )
        if architecture.classes != self.classes:
            raise ConfigError(
                f"The search space {self.space_name} must give a GANArchitecture with classes={self.classes}, but it "
                f"gave one with classes={architecture.classes}: pass it the same classes as the GANHyperModel."
            )
        return architecture

    def build(self, hp: keras_tuner.HyperParameters) -> GAN:
        """Builds and compiles the GAN of one point of the space."""
        gan = GAN(self.architecture(hp))
        gan.compile()
        return gan

    def fit(self, hp: keras_tuner.HyperParameters, model: GAN, *args: Any, **kwargs: Any) -> Any:
        """Trains a GAN; the batch size is the architecture's."""
        return model.fit(*args, **kwargs)


def _name(space: SearchSpace) -> str:
    kind = type(space.base if isinstance(space, SteeredSpace) else space)
    package, _, module = kind.__module__.rpartition(".")
    # Built-in spaces are named after their module; a search by one's name goes on with the object, and so back.
    return module if package == "tuner_gan.search_spaces" and module in SPACES else kind.__name__
