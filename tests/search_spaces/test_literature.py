"""Recipes of the literature are points of every built-in space, and of steered ones."""

from __future__ import annotations

import keras_tuner
import pytest

from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.search_spaces import SPACES, make_space
from tuner_gan.search_spaces.base import declare
from tuner_gan.search_spaces.literature import LITERATURE, literature
from tuner_gan.search_spaces.steering import SteeredSpace


def architectures(space: object) -> list[GANArchitecture]:
    hp = declare(space)  # type: ignore[arg-type]
    found = []
    for values in literature(hp):
        point = keras_tuner.HyperParameters()
        point.values = dict(values)
        found.append(space.sample(point))  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("shape", [(28, 28, 1), (64, 64, 3)])
@pytest.mark.parametrize("name", SPACES)
def test_each_recipe_is_a_point_of_its_own(name: str, shape: tuple[int, int, int]) -> None:
    found = architectures(make_space(name, shape))
    assert len(found) == len(LITERATURE)
    assert len({str(one) for one in found}) == len(found)
    assert [one.training.loss for one in found] == [
        *("non_saturating", "relativistic", "non_saturating", "hinge", "non_saturating")
    ]
    assert [one.training.penalty for one in found] == ["r1", "r1_r2", "none", "none", "none"]
    assert [one.training.penalty_weight for one in found[:2]] == [1.0, 1.0]
    normalizations = [one.discriminator.normalization for one in found]
    assert normalizations == ["none", "none", "layer", "spectral", "spectral"]
    assert [one.discriminator.dropout for one in found] == [0.0, 0.0, 0.25, 0.0, 0.0]


def test_widths_of_grey_images() -> None:
    first = architectures(make_space("dcgan", (28, 28, 1)))[0]
    assert (first.generator.widths, first.discriminator.widths) == ((64, 32, 16), (16, 32, 64))


def test_a_steered_space_keeps_its_values() -> None:
    space = SteeredSpace(make_space("dcgan", (28, 28, 1))).fix(loss="hinge").narrow(generator_lr=[1e-4, 2e-4])
    for one in architectures(space):
        assert one.training.loss == "hinge"
        assert 1e-4 <= one.training.generator_lr <= 2e-4


def test_recipes_that_come_to_the_same_are_tried_once() -> None:
    class OneChoice:
        def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
            hp.Choice("mine", ["a", "b"])
            return architectures(make_space("mlp", (8, 8, 1)))[0]

    assert literature(declare(OneChoice())) == [{"mine": "a"}]


def test_a_value_between_two_steps_of_a_space_moves_to_the_nearest() -> None:
    class Stepped:
        def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
            hp.Choice("discriminator_normalization", ["spectral", "layer"])
            hp.Float("discriminator_dropout", 0.0, 0.5, step=0.2)
            return architectures(make_space("mlp", (8, 8, 1)))[0]

    dropouts = [point["discriminator_dropout"] for point in literature(declare(Stepped()))]
    assert dropouts == [0.0, 0.2]
