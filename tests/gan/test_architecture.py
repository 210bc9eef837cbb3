import copy
import dataclasses
import json
import math
import typing
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tuner_gan.errors import ConfigError
from tuner_gan.gan import architecture as module
from tuner_gan.gan.architecture import (
    ACTIVATIONS,
    AUGMENTATIONS,
    DISCRIMINATOR_NORMALIZATIONS,
    GENERATOR_NORMALIZATIONS,
    LOSS_NAMES,
    PENALTY_NAMES,
    SMOOTHED,
    DiscriminatorSpec,
    GANArchitecture,
    GeneratorSpec,
    TrainingSpec,
)
from tuner_gan.gan.augmentation import AUGMENTATIONS as AUGMENTATION_FUNCTIONS
from tuner_gan.gan.losses import LOSSES
from tuner_gan.gan.penalties import PENALTIES

ARCHITECTURE = GANArchitecture(
    image_shape=(28, 28, 1),
    generator=GeneratorSpec("conv", latent_dim=64, widths=(64, 32)),
    discriminator=DiscriminatorSpec("conv", widths=(32, 64)),
)

widths = st.lists(st.integers(1, 2048), min_size=1, max_size=8).map(tuple)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
not_negative = st.floats(0, allow_infinity=False)
decay = st.floats(0, 1, exclude_max=True)
families = st.sampled_from(("dense", "conv", "resnet", "block of somebody"))
generators = st.builds(
    GeneratorSpec,
    family=families,
    latent_dim=st.integers(1, 10_000),
    widths=widths,
    kernel_size=st.integers(1, 11),
    upsampling=st.sampled_from(("transposed", "nearest")),
    normalization=st.sampled_from(GENERATOR_NORMALIZATIONS),
    activation=st.sampled_from(ACTIVATIONS),
    attention=st.booleans(),
    class_input=st.sampled_from(("concatenation", "normalization")),
)
discriminators = st.builds(
    DiscriminatorSpec,
    family=families,
    widths=widths,
    kernel_size=st.integers(1, 11),
    downsampling=st.sampled_from(("stride", "max_pool")),
    normalization=st.sampled_from(DISCRIMINATOR_NORMALIZATIONS),
    activation=st.sampled_from(ACTIVATIONS),
    dropout=decay,
    attention=st.booleans(),
    class_output=st.sampled_from(("projection", "auxiliary")),
)
trainings = st.sampled_from(LOSS_NAMES).flatmap(
    lambda loss: st.builds(
        TrainingSpec,
        loss=st.just(loss),
        label_smoothing=decay if loss in SMOOTHED else st.just(0.0),
        penalty=st.sampled_from(PENALTY_NAMES),
        penalty_weight=not_negative,
        critic_steps=st.integers(1, 10),
        optimizer=st.sampled_from(("adam", "adamw", "rmsprop")),
        generator_lr=positive | st.integers(1, 3),
        lr_ratio=positive,
        beta1=decay | st.just(0),
        beta2=decay,
        weight_decay=not_negative,
        batch_size=st.integers(1, 4096),
        augmentation=st.lists(st.sampled_from(AUGMENTATIONS), unique=True).map(tuple),
        adaptive_augmentation=st.booleans(),
        instance_noise=not_negative,
        instance_noise_steps=st.integers(1, 10**6),
        ema_decay=decay,
    )
)


@st.composite
def architectures(draw: st.DrawFn) -> GANArchitecture:
    generator, discriminator, training = draw(generators), draw(discriminators), draw(trainings)
    classes = draw(st.just(0) | st.integers(2, 1000))
    # What does not go together, each tested on its own below.
    shape = draw(st.tuples(st.integers(8, 256), st.integers(8, 256), st.sampled_from((1, 3))))
    for spec in (generator, discriminator):
        is_one_value = spec.family == "dense" or 2 ** len(spec.widths) >= max(shape[:2])
        assume(not (spec.normalization == "instance" and is_one_value))
    assume(not (training.penalty != "none" and discriminator.normalization == "batch"))
    assume(not (classes and generator.class_input == "normalization" and generator.normalization == "none"))
    return GANArchitecture(shape, generator, discriminator, training, classes)


@settings(deadline=None, derandomize=True)
@given(architectures())
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
            "upsampling": "transposed",
            "normalization": "batch",
            "activation": "relu",
            "attention": False,
            "class_input": "concatenation",
        },
        "discriminator": {
            "family": "conv",
            "widths": [32, 64],
            "kernel_size": 4,
            "downsampling": "stride",
            "normalization": "spectral",
            "activation": "leaky_relu",
            "dropout": 0.0,
            "attention": False,
            "class_output": "projection",
        },
        "training": {
            "loss": "non_saturating",
            "label_smoothing": 0.0,
            "penalty": "none",
            "penalty_weight": 1.0,
            "critic_steps": 1,
            "optimizer": "adam",
            "generator_lr": 5e-4,
            "lr_ratio": 1.0,
            "beta1": 0.5,
            "beta2": 0.999,
            "weight_decay": 0.0,
            "batch_size": 64,
            "augmentation": [],
            "adaptive_augmentation": False,
            "instance_noise": 0.0,
            "instance_noise_steps": 1000,
            "ema_decay": 0.995,
        },
        "classes": 0,
    }


def test_numbers_may_be_those_of_numpy() -> None:
    def build(whole: Any, number: Any) -> GANArchitecture:
        return GANArchitecture(
            tuple(map(whole, (28, 28, 1))),
            GeneratorSpec("conv", latent_dim=whole(64), widths=(whole(32), whole(16))),
            DiscriminatorSpec("conv", widths=(whole(16),), dropout=number(0.25)),
            TrainingSpec(generator_lr=number(0.5), batch_size=whole(32)),
            classes=whole(3),
        )

    architecture = build(np.int64, np.float32)
    assert json.dumps(architecture.to_json()) == json.dumps(build(int, float).to_json())
    assert hash(architecture) == hash(build(int, float))


def test_an_architecture_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ARCHITECTURE.image_shape = (8, 8, 1)  # type: ignore[misc]


WORD, WHOLE, NUMBER = "Literal", "int", "float"
BAD_TYPES_OF_BOTH: list[tuple[str, list[Any], str]] = [
    ("family", [1, None, ["conv"]], "str"),
    ("widths", [32, "32", None, [32.0], ["a"], [True], [[32]]], "tuple[int, ...]"),
    ("kernel_size", [5.0, "5", None, True, math.nan], WHOLE),
    ("normalization", ["switchable", None, 0, True, ["batch"]], WORD),
    ("activation", ["tanh", None, 3], "Literal['relu', 'leaky_relu', 'gelu', 'silu']"),
    ("attention", [1, 0, "yes", None], "bool"),
]
BAD_VALUES_OF_BOTH: list[tuple[str, list[Any]]] = [("widths", [[], [0], [32, -1, 32]]), ("kernel_size", [0, -3])]
BAD_TYPES: list[tuple[str, list[Any], str]] = [
    ("image_shape", [28, "28x28x1", None, [28, 28], [28, 28, 1, 1], [28.0, 28, 1], [True, 28, 1]], "tuple[int, int"),
    ("classes", [10.0, "10", None, True, [10]], WHOLE),
    *[
        (f"{side}.{name}", values, expected)
        for side in ("generator", "discriminator")
        for name, values, expected in BAD_TYPES_OF_BOTH
    ],
    ("generator.latent_dim", [64.0, "64", None, True, [64], math.nan], WHOLE),
    ("generator.normalization", ["spectral"], "Literal['batch', 'layer', 'group', 'instance', 'none']"),
    ("generator.upsampling", ["bilinear", None], "Literal['transposed', 'nearest']"),
    ("generator.class_input", ["film", None], "Literal['concatenation', 'normalization']"),
    ("discriminator.downsampling", ["average", None, 2], "Literal['stride', 'max_pool']"),
    ("discriminator.class_output", ["none", None], "Literal['projection', 'auxiliary']"),
    ("training.loss", ["wgan", None, 0, True], "Literal['non_saturating', "),
    ("training.penalty", ["gp", None, 0], "Literal['none', 'r1', "),
    ("training.optimizer", ["sgd", None], "Literal['adam', 'adamw', 'rmsprop']"),
    ("training.augmentation", ["color", None, ["flip"], [1]], "tuple["),
    ("training.adaptive_augmentation", [1, "no", None], "bool"),
    *[
        (f"training.{name}", ["0.5", None, True, [0.5]], NUMBER)
        for name in (
            "generator_lr",
            "lr_ratio",
            "beta1",
            "beta2",
            "instance_noise",
            "ema_decay",
            "label_smoothing",
            "penalty_weight",
            "weight_decay",
        )
    ],
    ("discriminator.dropout", ["0.5", None, True], NUMBER),
    *[
        (f"training.{name}", [64.0, "64", None, False, math.nan], WHOLE)
        for name in ("batch_size", "instance_noise_steps", "critic_steps")
    ],
]
UNIT_INTERVAL = [1, 1.0, -0.1, 1.5, math.nan, math.inf]
BAD_VALUES: list[tuple[str, list[Any]]] = [
    ("image_shape", [[7, 28, 1], [28, 7, 1], [257, 28, 1], [28, 257, 3], [28, 28, 2], [28, 28, 0], [-28, 28, 1]]),
    ("classes", [1, -2]),
    *[(f"{side}.{name}", values) for side in ("generator", "discriminator") for name, values in BAD_VALUES_OF_BOTH],
    ("generator.latent_dim", [0, -64]),
    ("discriminator.dropout", UNIT_INTERVAL),
    *[(f"training.{name}", [0, 0.0, -1e-4, math.nan, math.inf, -math.inf]) for name in ("generator_lr", "lr_ratio")],
    *[(f"training.{name}", UNIT_INTERVAL) for name in ("beta1", "beta2", "ema_decay", "label_smoothing")],
    *[(f"training.{name}", [0, -1]) for name in ("batch_size", "instance_noise_steps", "critic_steps")],
    *[
        (f"training.{name}", [-0.1, -1, math.nan, math.inf])
        for name in ("instance_noise", "penalty_weight", "weight_decay")
    ],
    ("training.augmentation", [["color", "cutout", "color"]]),
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


def _changed(**changes: Any) -> dict[str, Any]:
    """The architecture as JSON with `side__field=value`."""
    value: dict[str, Any] = json.loads(json.dumps(ARCHITECTURE.to_json()))
    for path, new in changes.items():
        *parents, name = path.split("__")
        place = value
        for parent in parents:
            place = place[parent]
        place[name] = new
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
    place["momentum"] = 0.5
    with pytest.raises(ConfigError, match=f"^{path} must have the fields .*{name}.*, but got .*momentum"):
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


TOGETHER: list[tuple[dict[str, Any], str]] = [
    *[
        (
            {f"{side}__family": "dense", f"{side}__normalization": "instance"},
            f"{side}.normalization must not be 'instance'",
        )
        for side in ("generator", "discriminator")
    ],
    *[
        (
            {f"{side}__widths": [4] * 5, f"{side}__normalization": "instance"},
            f"{side}.normalization must not be 'instance' with 5 widths, where a channel of an image of 28 pixels",
        )
        for side in ("generator", "discriminator")
    ],
    (
        {"discriminator__normalization": "batch", "training__penalty": "r1"},
        "training.penalty must be 'none' with a batch-normalised discriminator",
    ),
    (
        {"classes": 3, "generator__normalization": "none", "generator__class_input": "normalization"},
        "generator.class_input must be 'concatenation' where generator.normalization is 'none'",
    ),
    *[
        (
            {"training__loss": loss, "training__label_smoothing": 0.1},
            f"label_smoothing must be 0 with the loss {loss!r}",
        )
        for loss in LOSS_NAMES
        if loss not in SMOOTHED
    ],
]


@pytest.mark.parametrize(("changes", "expected"), TOGETHER, ids=str)
def test_what_does_not_go_together_is_refused_and_each_alone_is_not(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GANArchitecture.from_json(_changed(**changes))
    assert expected in str(caught.value)
    for left_out in changes:
        rest = {path: value for path, value in changes.items() if path != left_out}
        assert json.loads(json.dumps(GANArchitecture.from_json(_changed(**rest)).to_json())) == _changed(**rest)


def test_every_function_can_be_named() -> None:
    hints = typing.get_type_hints(TrainingSpec)
    assert typing.get_args(hints["loss"]) == LOSS_NAMES == tuple(LOSSES)
    assert typing.get_args(hints["penalty"]) == PENALTY_NAMES == ("none", *PENALTIES)
    assert tuple(AUGMENTATION_FUNCTIONS) == module.AUGMENTATIONS
