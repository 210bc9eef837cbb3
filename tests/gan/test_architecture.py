import copy
import dataclasses
import json
import math
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_gan.errors import ConfigError
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec, TrainingSpec
from tuner_gan.gan.losses import LOSSES

ARCHITECTURE = GANArchitecture(
    image_shape=(28, 28, 1),
    generator=GeneratorSpec("conv", latent_dim=64, widths=(64, 32)),
    discriminator=DiscriminatorSpec("conv", widths=(32, 64)),
)

widths = st.lists(st.integers(1, 2048), min_size=1, max_size=8).map(tuple)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
decay = st.floats(0, 1, exclude_max=True)
architectures = st.builds(
    GANArchitecture,
    image_shape=st.tuples(st.integers(8, 256), st.integers(8, 256), st.sampled_from((1, 3))),
    generator=st.builds(
        GeneratorSpec,
        family=st.sampled_from(("dense", "conv")),
        latent_dim=st.integers(1, 10_000),
        widths=widths,
        kernel_size=st.integers(1, 11),
        normalization=st.sampled_from(("batch", "layer", "none")),
        activation=st.sampled_from(("relu", "leaky_relu")),
    ),
    discriminator=st.builds(
        DiscriminatorSpec,
        family=st.sampled_from(("dense", "conv")),
        widths=widths,
        kernel_size=st.integers(1, 11),
        downsampling=st.sampled_from(("stride", "max_pool")),
        normalization=st.sampled_from(("spectral", "layer", "none")),
    ),
    training=st.builds(
        TrainingSpec,
        loss=st.sampled_from(tuple(LOSSES)),
        generator_lr=positive | st.integers(1, 3),
        lr_ratio=positive,
        beta1=decay | st.just(0),
        beta2=decay,
        batch_size=st.integers(1, 4096),
        instance_noise=st.floats(0, allow_infinity=False),
        instance_noise_steps=st.integers(1, 10**6),
        ema_decay=decay,
    ),
)


@settings(deadline=None, derandomize=True)
@given(architectures)
def test_json_gives_the_same_architecture_back(architecture: GANArchitecture) -> None:
    text = json.dumps(architecture.to_json(), allow_nan=False)
    back = GANArchitecture.from_json(json.loads(text))
    assert back == architecture
    assert hash(back) == hash(architecture)
    assert json.dumps(back.to_json(), allow_nan=False) == text


def test_json_has_every_field_and_nothing_else() -> None:
    value = json.loads(json.dumps(ARCHITECTURE.to_json()))
    assert value == {
        "image_shape": [28, 28, 1],
        "generator": {
            "family": "conv",
            "latent_dim": 64,
            "widths": [64, 32],
            "kernel_size": 4,
            "normalization": "batch",
            "activation": "relu",
        },
        "discriminator": {
            "family": "conv",
            "widths": [32, 64],
            "kernel_size": 4,
            "downsampling": "stride",
            "normalization": "spectral",
        },
        "training": {
            "loss": "non_saturating",
            "generator_lr": 5e-4,
            "lr_ratio": 1.0,
            "beta1": 0.5,
            "beta2": 0.999,
            "batch_size": 64,
            "instance_noise": 0.0,
            "instance_noise_steps": 1000,
            "ema_decay": 0.995,
        },
    }


def test_an_architecture_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ARCHITECTURE.image_shape = (8, 8, 1)  # type: ignore[misc]


WORD, WHOLE, NUMBER = "Literal", "int", "float"
BAD_TYPES_OF_BOTH: list[tuple[str, list[Any], str]] = [
    ("family", ["resnet", 1, None, ["conv"]], "Literal['dense', 'conv']"),
    ("widths", [32, "32", None, [32.0], ["a"], [True], [[32]]], "tuple[int, ...]"),
    ("kernel_size", [5.0, "5", None, True, math.nan], WHOLE),
    ("normalization", ["instance", None, 0, True], WORD),
]
BAD_VALUES_OF_BOTH: list[tuple[str, list[Any]]] = [("widths", [[], [0], [32, -1, 32]]), ("kernel_size", [0, -3])]
BAD_TYPES: list[tuple[str, list[Any], str]] = [
    ("image_shape", [28, "28x28x1", None, [28, 28], [28, 28, 1, 1], [28.0, 28, 1], [True, 28, 1]], "tuple[int, int"),
    *[
        (f"{side}.{name}", values, expected)
        for side in ("generator", "discriminator")
        for name, values, expected in BAD_TYPES_OF_BOTH
    ],
    ("generator.latent_dim", [64.0, "64", None, True, [64], math.nan], WHOLE),
    ("generator.activation", ["gelu", None, 3], "Literal['relu', 'leaky_relu']"),
    ("discriminator.normalization", ["batch"], "Literal['spectral', 'layer', 'none']"),
    ("generator.normalization", ["spectral"], "Literal['batch', 'layer', 'none']"),
    ("discriminator.downsampling", ["average", None, 2], "Literal['stride', 'max_pool']"),
    ("training.loss", ["wgan", None, 0, True], "Literal['non_saturating', "),
    *[
        (f"training.{name}", ["0.5", None, True, [0.5]], NUMBER)
        for name in ("generator_lr", "lr_ratio", "beta1", "beta2", "instance_noise", "ema_decay")
    ],
    *[
        (f"training.{name}", [64.0, "64", None, False, math.nan], WHOLE)
        for name in ("batch_size", "instance_noise_steps")
    ],
]
BAD_VALUES: list[tuple[str, list[Any]]] = [
    ("image_shape", [[7, 28, 1], [28, 7, 1], [257, 28, 1], [28, 257, 3], [28, 28, 2], [28, 28, 0], [-28, 28, 1]]),
    *[(f"{side}.{name}", values) for side in ("generator", "discriminator") for name, values in BAD_VALUES_OF_BOTH],
    ("generator.latent_dim", [0, -64]),
    *[(f"training.{name}", [0, 0.0, -1e-4, math.nan, math.inf, -math.inf]) for name in ("generator_lr", "lr_ratio")],
    *[(f"training.{name}", [1, 1.0, -0.1, 1.5, math.nan, math.inf]) for name in ("beta1", "beta2", "ema_decay")],
    *[(f"training.{name}", [0, -1]) for name in ("batch_size", "instance_noise_steps")],
    ("training.instance_noise", [-0.1, -1, math.nan, math.inf]),
]


def _with(path: str, bad: Any) -> dict[str, Any]:
    value: dict[str, Any] = copy.deepcopy(json.loads(json.dumps(ARCHITECTURE.to_json())))
    *parents, name = path.split(".")
    place = value
    for parent in parents:
        place = place[parent]
    assert name in place
    place[name] = bad
    return value


def _shown(bad: Any) -> str:
    return repr(tuple(bad)) if isinstance(bad, list) else repr(bad)


@pytest.mark.parametrize(
    ("path", "bad", "expected"), [(path, bad, expected) for path, values, expected in BAD_TYPES for bad in values]
)
def test_a_wrong_type_is_refused_by_field_and_value(path: str, bad: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GANArchitecture.from_json(_with(path, bad))
    message = str(caught.value)
    assert f"architecture.{path} must be " in message
    assert expected in message
    assert message.endswith(f"but got {_shown(bad)}.")


@pytest.mark.parametrize(("path", "bad"), [(path, bad) for path, values in BAD_VALUES for bad in values])
def test_a_value_out_of_range_is_refused_by_field_and_value(path: str, bad: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        GANArchitecture.from_json(_with(path, bad))
    message = str(caught.value)
    assert message.startswith(f"{path} must ")
    assert message.endswith(f"but got {_shown(bad)}.")


FIELDS = [
    ("architecture", "image_shape"),
    ("architecture.generator", "latent_dim"),
    ("architecture.discriminator", "downsampling"),
    ("architecture.training", "ema_decay"),
]


@pytest.mark.parametrize(("path", "name"), FIELDS)
def test_a_missing_field_is_named(path: str, name: str) -> None:
    value = ARCHITECTURE.to_json()
    place = value if path == "architecture" else value[path.split(".")[1]]
    del place[name]
    with pytest.raises(ConfigError) as caught:
        GANArchitecture.from_json(value)
    expected, got = str(caught.value).split(", but got ")
    assert expected.startswith(f"{path} must have the fields ")
    assert name in expected
    assert name not in got


@pytest.mark.parametrize(("path", "name"), FIELDS)
def test_an_unknown_field_is_named(path: str, name: str) -> None:
    value = ARCHITECTURE.to_json()
    place = value if path == "architecture" else value[path.split(".")[1]]
    place["dropout"] = 0.5
    with pytest.raises(ConfigError, match=f"^{path} must have the fields .*{name}.*, but got .*dropout"):
        GANArchitecture.from_json(value)


@pytest.mark.parametrize("bad", [None, [], "conv", 3])
def test_something_else_than_an_object_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigError, match=r"^architecture must be an object, but got "):
        GANArchitecture.from_json(bad)
    with pytest.raises(ConfigError, match=r"^architecture\.generator must be an object, but got "):
        GANArchitecture.from_json({**ARCHITECTURE.to_json(), "generator": bad})
    with pytest.raises(ConfigError, match=r"^architecture must have the fields .* but got none"):
        GANArchitecture.from_json({})


def test_the_constructor_refuses_what_from_json_refuses() -> None:
    with pytest.raises(ConfigError, match=r"architecture\.generator must be a GeneratorSpec, but got 'conv'"):
        dataclasses.replace(ARCHITECTURE, generator="conv")  # type: ignore[arg-type]
    spec = GeneratorSpec("conv", latent_dim=64, widths=[32, 16])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"architecture\.generator\.widths must be .*but got \[32, 16\]"):
        dataclasses.replace(ARCHITECTURE, generator=spec)
    with pytest.raises(ConfigError, match=r"training\.beta1 must lie in \[0, 1\), but got 1\.0"):
        dataclasses.replace(ARCHITECTURE, training=TrainingSpec(beta1=1.0))


def test_every_loss_can_be_named() -> None:
    assert typing.get_args(typing.get_type_hints(TrainingSpec)["loss"]) == tuple(LOSSES)
