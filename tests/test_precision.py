"""The precision that networks are trained in."""

from __future__ import annotations

from typing import Any

import keras
import pytest
import tensorflow as tf

from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec, TrainingSpec
from tuner_gan.gan.model import GAN
from tuner_gan.precision import default_policy, precision

SMALL = GANArchitecture((8, 8, 1), GeneratorSpec("dense", 4, (8,)), DiscriminatorSpec("dense", (8,)), TrainingSpec())


@pytest.fixture
def capabilities(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int] | None]:
    """Compute capabilities of the GPUs that there seem to be; None for one that tells none."""
    found: list[tuple[int, int] | None] = []

    def details(gpu: int) -> dict[str, Any]:
        return {} if found[gpu] is None else {"compute_capability": found[gpu]}

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(range(len(found))))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details)
    return found


@pytest.mark.parametrize(
    ("gpus", "policy"),
    [
        ([], "float32"),
        ([(7, 5)], "float32"),
        ([(8, 0)], "mixed_bfloat16"),
        ([(10, 0), (8, 9)], "mixed_bfloat16"),
        ([(9, 0), (7, 0)], "float32"),  # a trial may run on either
        ([None], "float32"),
    ],
)
def test_gpus_that_compute_in_bfloat16_train_in_it(
    gpus: list[tuple[int, int] | None], policy: str, capabilities: list[tuple[int, int] | None]
) -> None:
    capabilities += gpus
    assert default_policy().name == policy
    # What the user has set stays.
    with precision("mixed_float16"):
        assert default_policy().name == "mixed_float16"
    assert keras.config.dtype_policy().name == "float32"


def test_a_gan_is_built_in_it_unless_told_otherwise(capabilities: list[tuple[int, int] | None]) -> None:
    capabilities.append((8, 6))
    for gan, dtype in ((GAN(SMALL), "bfloat16"), (GAN(SMALL, dtype="float32"), "float32")):
        assert [network.layers[1].compute_dtype for network in (gan.generator, gan.discriminator)] == [dtype] * 2
        assert gan.compute_dtype == dtype
        assert gan.ema_generator.layers[1].compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_a_policy_of_the_users_own_is_kept_as_it_is() -> None:
    own = keras.dtype_policies.DTypePolicyMap(default_policy="mixed_float16")  # Keras finds it by no name
    with precision(own):
        gan = GAN(SMALL)
    assert gan.dtype_policy is own
    assert gan.discriminator.layers[1].compute_dtype == "float16"


def test_the_policy_is_put_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="the printer"), precision("mixed_bfloat16"):
        raise ValueError("the printer is on fire")
    assert keras.config.dtype_policy().name == "float32"
