import itertools
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_gan.errors import ConfigError
from tuner_gan.gan.architecture import (
    LOSS_NAMES,
    PENALTY_NAMES,
    DiscriminatorSpec,
    GANArchitecture,
    GeneratorSpec,
    TrainingSpec,
)
from tuner_gan.gan.model import GAN
from tuner_gan.images import generate_images
from tuner_gan.search_spaces import (
    SPACES,
    DCGANSpace,
    MLPSpace,
    ResNetSpace,
    SearchSpace,
    SteeredSpace,
    make_space,
)
from tuner_gan.search_spaces.base import active_values, declare, random_point
from tuner_gan.search_spaces.widths import WidthRange, sample_widths

SHAPES = [(8, 8, 1), (28, 28, 1), (9, 13, 1), (32, 32, 3), (64, 48, 3), (256, 256, 3)]
SIDES = ("generator", "discriminator")
COMMON = {
    "latent_dim",
    "generator_normalization",
    "generator_activation",
    "discriminator_normalization",
    "discriminator_activation",
    "discriminator_dropout",
    "loss",
    "label_smoothing",
    "wasserstein_lambda",
    "penalty",
    "penalty_gamma",
    "penalty_lambda",
    "critic_steps",
    "optimizer",
    "generator_lr",
    "lr_ratio",
    "beta1",
    "beta2",
    "weight_decay",
    "batch_size",
    "augmentation",
    "adaptive_augmentation",
    "instance_noise",
}
CONVOLUTIONS = {"generator_kernel_size", "generator_upsampling", "discriminator_kernel_size"}
RULES = {f"{side}_{name}" for side in SIDES for name in ("width", "width_rule")}
OWN = {
    "dcgan": CONVOLUTIONS,
    "mlp": set[str](),
    "progressive": CONVOLUTIONS | RULES,
    "resnet": {"block", "generator_attention", "discriminator_attention"} | RULES,
}
WIDTH_EACH = ("dcgan", "mlp")
"""Spaces with a width for each layer."""


def _widths(side: str, depth: int) -> list[str]:
    return [f"{side}_width", *(f"{side}_width_{layer}" for layer in range(2, depth + 1))]


def _declared(name: str, shape: tuple[int, int, int]) -> dict[str, Any]:
    return {parameter.name: parameter for parameter in declare(make_space(name, shape)).space}


def test_spaces_are_made_by_name() -> None:
    assert SPACES == ("dcgan", "mlp", "progressive", "resnet")
    assert isinstance(make_space("dcgan", (28, 28, 1)), DCGANSpace)
    assert isinstance(make_space("mlp", (28, 28, 1)), MLPSpace)
    with pytest.raises(ConfigError, match=r"Unknown search space 'dgcan' \(did you mean 'dcgan'\?\): choose one of"):
        make_space("dgcan", (28, 28, 1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", SPACES)
def test_every_hyperparameter_is_declared_once(name: str, shape: tuple[int, int, int]) -> None:
    space = make_space(name, shape)
    assert isinstance(space, SearchSpace)
    hp = declare(space)
    names = Counter(parameter.name for parameter in hp.space)
    assert set(names.values()) == {1}
    deepest = next(parameter.max_value for parameter in hp.space if parameter.name == "generator_depth")
    expected = COMMON | OWN[name] | {f"{side}_depth" for side in SIDES}
    if name in WIDTH_EACH:
        expected = expected.union(*(_widths(side, deepest) for side in SIDES))
    assert names.keys() == expected
    for parameter in hp.space:
        if isinstance(parameter, keras_tuner.engine.hyperparameters.Choice):
            assert parameter.default in parameter.values
        elif not isinstance(parameter, keras_tuner.engine.hyperparameters.Boolean):
            assert parameter.min_value <= parameter.default <= parameter.max_value
            if parameter.name.startswith(tuple(f"{side}_width" for side in SIDES)):
                assert parameter.sampling == "log"
    # Declaring again finds nothing new, and the defaults are those of KerasTuner.
    again = declare(space, hp.copy())
    assert [parameter.name for parameter in again.space] == [parameter.name for parameter in hp.space]
    assert active_values(hp) == {parameter.name: parameter.default for parameter in hp.space if hp.is_active(parameter)}
    architecture = space.sample(keras_tuner.HyperParameters())
    assert architecture.image_shape == shape
    families = {"dcgan": "conv", "mlp": "dense", "progressive": "conv", "resnet": "resnet"}
    assert architecture.generator.family == architecture.discriminator.family == families[name]


@pytest.mark.parametrize("name", SPACES)
def test_the_defaults_are_the_plain_recipe(name: str) -> None:
    """What the literature agrees on, and nothing on top: the first trial of a search is to be trusted."""
    training = make_space(name, (28, 28, 1)).sample(keras_tuner.HyperParameters()).training
    assert training == TrainingSpec(penalty_weight=0.0)


@pytest.mark.parametrize("name", SPACES)
def test_ranges_for_grey_images(name: str) -> None:
    declared = _declared(name, (28, 28, 1))

    def choices(parameter: str) -> tuple[list[Any], Any]:
        return list(declared[parameter].values), declared[parameter].default

    def interval(parameter: str) -> tuple[Any, Any, Any, str]:
        found = declared[parameter]
        return found.min_value, found.max_value, found.default, found.sampling

    assert choices("latent_dim") == ([32, 64, 128], 64)
    assert choices("beta1") == ([0.0, 0.5], 0.5)
    assert choices("batch_size") == ([64, 128], 64)
    assert interval("generator_lr") == (5e-5, 3e-3, 5e-4, "log")
    assert interval("lr_ratio") == (0.5, 4.0, 1.0, "log")
    assert choices("beta2") == ([0.9, 0.99, 0.999], 0.999)
    assert choices("critic_steps") == ([1, 2], 1)
    assert choices("loss") == (list(LOSS_NAMES), "non_saturating")
    assert choices("penalty") == (list(PENALTY_NAMES), "none")
    assert interval("penalty_gamma") == (0.01, 10.0, 0.3, "log")
    assert interval("penalty_lambda") == (0.1, 30.0, 10.0, "log")
    assert interval("wasserstein_lambda") == (1.0, 30.0, 10.0, "log")
    assert interval("weight_decay") == (1e-5, 1e-2, 1e-3, "log")
    instance = [] if name == "mlp" else ["instance"]
    assert choices("generator_normalization") == (["batch", "layer", "group", *instance, "none"], "batch")
    assert choices("discriminator_normalization") == (["spectral", "layer", "group", *instance, "none"], "spectral")
    for side in SIDES:
        assert interval(f"{side}_depth") == (1, 4, 2 if name == "mlp" else 3, "linear")
        if name == "dcgan":
            assert interval(f"{side}_width") == (8, 64, 32, "log")
            assert interval(f"{side}_width_2") == (16, 128, 64, "log")
        elif name == "mlp":
            for width in _widths(side, 4):
                assert interval(width) == (64, 512, 256, "log")
        else:
            assert interval(f"{side}_width") == ((8, 64, 32, "log") if name == "progressive" else (8, 32, 16, "log"))
            assert choices(f"{side}_width_rule") == (["pyramid", "constant"], "pyramid")


CONDITIONS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "label_smoothing": lambda v: v["loss"] in ("non_saturating", "minimax", "least_squares"),
    "wasserstein_lambda": lambda v: v["loss"] == "wasserstein",
    "penalty": lambda v: v["loss"] != "wasserstein",
    "penalty_gamma": lambda v: v.get("penalty") in ("r1", "r2", "r1_r2"),
    "penalty_lambda": lambda v: v.get("penalty") in ("gradient_penalty", "dragan"),
    "beta1": lambda v: v["optimizer"] != "rmsprop",
    "beta2": lambda v: v["optimizer"] != "rmsprop",
    "weight_decay": lambda v: v["optimizer"] == "adamw",
    "adaptive_augmentation": lambda v: v["augmentation"] != "none",
    "class_input": lambda v: v["generator_normalization"] != "none",
}
"""When a hyperparameter exists."""


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.sampled_from(SPACES), st.sampled_from(SHAPES), st.sampled_from([0, 2, 10]), st.integers(0, 10**6))
def test_parts_of_one_technique_exist_with_it_only(
    name: str, shape: tuple[int, int, int], classes: int, seed: int
) -> None:
    space = make_space(name, shape, classes)
    values = active_values(random_point(declare(space), seed))
    architecture = space.sample(random_point(declare(space), seed))
    training = architecture.training
    for parameter, exists in CONDITIONS.items():
        assert (parameter in values) == (exists(values) and (parameter != "class_input" or classes > 0)), parameter
    assert ("class_output" in values) == (classes > 0)
    assert architecture.classes == classes
    assert training.loss == values["loss"]
    assert training.label_smoothing == values.get("label_smoothing", 0.0)
    weights = [values[key] for key in ("penalty_gamma", "penalty_lambda", "wasserstein_lambda") if key in values]
    if values["loss"] == "wasserstein":
        assert training.penalty == "gradient_penalty"
    else:
        assert training.penalty == values["penalty"]
    assert len(weights) == (training.penalty != "none")
    assert [training.penalty_weight] == (weights or [0.0])
    assert training.optimizer == values["optimizer"]
    assert training.beta1 == values.get("beta1", 0.0)
    assert training.beta2 == values.get("beta2", 0.9)
    assert training.weight_decay == values.get("weight_decay", 0.0)
    assert "+".join(training.augmentation or ["none"]) == values["augmentation"]
    assert training.adaptive_augmentation == values.get("adaptive_augmentation", False)
    for key in ("critic_steps", "instance_noise", "batch_size"):
        assert getattr(training, key) == values[key]
    for side in SIDES:
        spec = getattr(architecture, side)
        for key in ("normalization", "activation", "dropout", "kernel_size", "upsampling", "attention"):
            if f"{side}_{key}" in values:
                assert getattr(spec, key) == values[f"{side}_{key}"]
        assert spec.family == values.get("block", spec.family)
    if classes:
        assert architecture.generator.class_input == values.get("class_input", "concatenation")
        assert architecture.discriminator.class_output == values["class_output"]


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.sampled_from(["progressive", "resnet"]), st.sampled_from(SHAPES), st.integers(0, 10**6))
def test_widths_follow_their_rule(name: str, shape: tuple[int, int, int], seed: int) -> None:
    space = make_space(name, shape)
    hp = random_point(declare(space), seed)
    values, architecture = active_values(hp), space.sample(hp)
    for side, widths in (
        ("generator", architecture.generator.widths[::-1]),
        ("discriminator", architecture.discriminator.widths),
    ):
        depth, width = int(values[f"{side}_depth"]), int(values[f"{side}_width"])
        if values[f"{side}_width_rule"] == "constant":
            assert widths == (width,) * depth
        else:
            assert widths == tuple(width * min(8, 2**layer) for layer in range(depth))


def test_blocks_of_one_s_own_are_searched() -> None:
    space = ResNetSpace((28, 28, 1), blocks=["sndcgan", "somebody's"])
    block = next(parameter for parameter in declare(space).space if parameter.name == "block")
    assert (list(block.values), block.default) == (["sndcgan", "somebody's"], "sndcgan")
    for wrong in ((), "resnet", ("resnet", "conv"), None, 5, [5]):
        with pytest.raises(
            ConfigError, match=r"blocks must be a list of at least one block's name, such as \['resnet'\]"
        ):
            ResNetSpace((28, 28, 1), blocks=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SPACES)
def test_ranges_for_colour_images(name: str) -> None:
    declared = _declared(name, (32, 32, 3))
    rate = declared["generator_lr"]
    assert (rate.min_value, rate.max_value, rate.default, rate.sampling) == (5e-5, 5e-4, 2e-4, "log")
    assert declared["beta1"].default == 0.0
    training = make_space(name, (32, 32, 3)).sample(keras_tuner.HyperParameters()).training
    assert (training.beta1, training.beta2) == (0.0, 0.9)
    if name == "dcgan":
        assert (list(declared["latent_dim"].values), declared["latent_dim"].default) == ([64, 128, 256], 128)
        assert declared["generator_depth"].default == 3


@pytest.mark.parametrize("name", ["dcgan", "progressive", "resnet"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_depth_keeps_the_smallest_map_between_2_and_16_pixels(name: str, shape: tuple[int, int, int]) -> None:
    depth = _declared(name, shape)["generator_depth"]
    maps = [max(shape[:2])]
    while maps[-1] > 1:
        maps.append(math.ceil(maps[-1] / 2))
    allowed = [halvings for halvings, side in enumerate(maps) if halvings and 2 <= side <= 16]
    assert (depth.min_value, depth.max_value) == (min(allowed), max(allowed))
    assert depth.default in allowed
    assert maps[depth.default] in (3, 4)


def _assert_no_phantoms(hp: Any) -> None:
    values = active_values(hp)
    for side in SIDES:
        expected = _widths(side, int(values[f"{side}_depth"]))
        assert [name for name in values if name.startswith(f"{side}_width")] == expected
        # Neither does KerasTuner hold one that `active_values` would have to hide.
        assert {name for name in hp.values if name.startswith(f"{side}_width")} == set(expected)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.sampled_from(WIDTH_EACH), st.sampled_from(SHAPES), st.integers(0, 10**6))
def test_widths_of_absent_layers_do_not_exist(name: str, shape: tuple[int, int, int], seed: int) -> None:
    space = make_space(name, shape)
    hp = random_point(declare(space), seed)
    _assert_no_phantoms(hp)
    before = dict(hp.values)
    architecture = space.sample(hp)
    assert hp.values == before
    values = active_values(hp)
    generator = [values[width] for width in _widths("generator", int(values["generator_depth"]))]
    discriminator = [values[width] for width in _widths("discriminator", int(values["discriminator_depth"]))]
    # Widths are counted from the image: the generator's last layer, the discriminator's first.
    assert architecture.generator.widths == tuple(generator[::-1])
    assert architecture.discriminator.widths == tuple(discriminator)
    assert architecture.training.generator_lr == values["generator_lr"]
    assert architecture.training.lr_ratio == values["lr_ratio"]
    assert architecture.generator.latent_dim == values["latent_dim"]
    assert all(type(value) in (int, float, str, bool) for value in values.values())
    assert GANArchitecture.from_json(architecture.to_json()) == architecture
    assert space.sample(hp.copy()) == architecture
    assert active_values(random_point(declare(space), seed)) == values


def test_a_loop_over_depth_would_leave_phantoms() -> None:
    """KerasTuner's own examples declare widths in a loop: a trial of depth 1 still holds the width of layer 3."""
    hp = keras_tuner.HyperParameters()
    hp.values["depth"] = 3
    for layer in range(hp.Int("depth", 1, 3)):
        hp.Int(f"width_{layer}", 8, 16)
    oracle = keras_tuner.oracles.RandomSearchOracle(objective=keras_tuner.Objective("fcd", "min"), seed=1)
    oracle.update_space(hp)
    values = [oracle.populate_space(str(trial))["values"] for trial in range(8)]
    assert any(trial["depth"] == 1 and "width_2" in trial for trial in values)


class Widths:
    """Only depths and widths, few enough for a grid."""

    def sample(self, hp: Any) -> GANArchitecture:
        generator = sample_widths(hp, "generator", (1, 3, 2), [WidthRange(4, 5, 4)] * 3)
        discriminator = sample_widths(hp, "discriminator", (2, 3, 2), [WidthRange(6, 6, 6)] * 3)
        return GANArchitecture(
            (8, 8, 1), GeneratorSpec("dense", 4, generator[::-1]), DiscriminatorSpec("dense", discriminator)
        )


ORACLES: dict[str, Callable[..., Any]] = {
    "random": keras_tuner.oracles.RandomSearchOracle,
    "grid": keras_tuner.oracles.GridSearchOracle,
    "bayesian": lambda **common: keras_tuner.oracles.BayesianOptimizationOracle(num_initial_points=3, **common),
    "hyperband": lambda **common: keras_tuner.oracles.HyperbandOracle(max_epochs=9, **common),
}


def _points(oracle: Any, space: Any, folder: Path, n: int) -> list[Any]:
    """Runs a search that scores each trial at once."""
    oracle._set_project_dir(str(folder), "project")
    oracle.update_space(declare(space))
    points = []
    for index in range(n):
        trial = oracle.create_trial("tuner0")
        if trial.status == "STOPPED":
            break
        points.append(trial.hyperparameters)
        oracle.update_trial(trial.trial_id, {"fcd": 1 / (1 + index)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return points


@pytest.mark.filterwarnings("ignore:The optimal value found for dimension:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ORACLES)
def test_oracles_know_no_phantoms(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oracle = ORACLES[name](objective=keras_tuner.Objective("fcd", "min"), seed=7)
    space = make_space("dcgan", (28, 28, 1))
    points = _points(oracle, space, tmp_path, 10 if name == "hyperband" else 6)
    assert len(points) >= 6
    for hp in points:
        _assert_no_phantoms(hp)
        values = dict(hp.values)
        assert len(space.sample(hp).generator.widths) == values["generator_depth"]
        assert hp.values == values
        assert not [parameter for parameter in active_values(hp) if parameter.startswith("tuner/")]
    if name == "hyperband":
        assert "tuner/epochs" in points[0].values
    if name != "grid":
        assert len({hp.values["generator_depth"] for hp in points}) > 1


def test_a_grid_goes_through_each_combination_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oracle = ORACLES["grid"](objective=keras_tuner.Objective("fcd", "min"), max_trials=None)
    points = _points(oracle, Widths(), tmp_path, 100)
    for hp in points:
        _assert_no_phantoms(hp)
    tried = Counter((Widths().sample(hp).generator.widths, Widths().sample(hp).discriminator.widths) for hp in points)
    expected = {
        (generator, (6,) * discriminator)
        for generator_depth in (1, 2, 3)
        for generator in itertools.product((4, 5), repeat=generator_depth)
        for discriminator in (2, 3)
    }
    assert len(expected) == 28
    assert tried == Counter(expected)


def test_a_layer_that_every_depth_has_is_unconditional() -> None:
    hp = declare(Widths())
    conditions = {parameter.name: [c.values for c in parameter.conditions] for parameter in hp.space}
    assert conditions == {
        "generator_depth": [],
        "generator_width": [],
        "generator_width_2": [[2, 3]],
        "generator_width_3": [[3]],
        "discriminator_depth": [],
        "discriminator_width": [],
        "discriminator_width_2": [],
        "discriminator_width_3": [[3]],
    }


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras 3.15 with NumPy 2.4, on saving
@pytest.mark.parametrize("name", SPACES)
@settings(deadline=None, derandomize=True, max_examples=5)
@given(
    shape=st.sampled_from([(8, 8, 1), (9, 13, 3), (28, 28, 1), (16, 8, 3)]),
    loss=st.sampled_from(LOSS_NAMES),
    classes=st.sampled_from([0, 3]),
    seed=st.integers(0, 10**6),
)
def test_whatever_is_sampled_trains_and_survives_storing(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    shape: tuple[int, int, int],
    loss: str,
    classes: int,
    seed: int,
) -> None:
    """Builds, trains for two steps, makes finite images of the shape, and gives the same ones after JSON and `.keras`.

    Some twenty seconds a space: each example builds two networks that no other has.
    """
    space = SteeredSpace(make_space(name, shape, classes)).fix(loss=loss)
    architecture = space.sample(random_point(declare(space), seed))
    assert architecture.training.loss == loss
    stored = GANArchitecture.from_json(json.loads(json.dumps(architecture.to_json())))
    assert stored == architecture
    keras.utils.set_random_seed(seed)
    gan = GAN(stored, seed=0)
    gan.compile(run_eagerly=True)
    before = [np.array(variable) for variable in gan.trainable_variables]
    count = 2 * 4 * architecture.training.critic_steps
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    labels = np.arange(count) % classes if classes else None
    history = gan.fit(images, labels, batch_size=4, verbose=0).history
    assert int(gan.steps) == 2
    assert np.isfinite([history["d_loss"], history["g_loss"]]).all()
    changed = [not np.array_equal(a, b) for a, b in zip(gan.trainable_variables, before, strict=True)]
    assert np.mean(changed) > 0.5
    made = gan.generate(6, seed=0)  # would raise on NaN
    assert made.dtype == np.uint8
    assert made.shape == (6, *shape)
    path = tmp_path_factory.mktemp("generator") / "generator.keras"
    gan.save_generator(path)
    loaded = keras.saving.load_model(path, safe_mode=True)
    np.testing.assert_array_equal(generate_images(loaded, 6, seed=0), made)
    keras.utils.clear_session()


class Nested:
    """Scopes in scopes, none but the first of which the defaults open; the code inside runs only when it is open."""

    def sample(self, hp: Any) -> GANArchitecture:
        kind = hp.Choice("kind", ["small", "large"])
        units = 4
        with hp.conditional_scope("kind", ["large"]):
            if kind == "large":
                units = hp.Int("units", 8, 16)
                extra = hp.Choice("extra", ["no", "yes"])
                with hp.conditional_scope("extra", ["yes"]):
                    if extra == "yes":
                        more = hp.Int("more", 1, 4)
                        units += more
                        with hp.conditional_scope("more", [3, 4]):
                            if more > 2:
                                units += hp.Int("most", 5, 6)
        with hp.conditional_scope("kind", ["small"]):
            if kind == "small":
                units = hp.Int("units", 2, 4)
        return GANArchitecture((8, 8, 1), GeneratorSpec("dense", 4, (units,)), DiscriminatorSpec("dense", (units,)))


def test_nested_scopes_are_declared_to_the_end() -> None:
    hp = declare(Nested())
    found = [(parameter.name, [c.name for c in parameter.conditions]) for parameter in hp.space]
    assert sorted(found) == [
        ("extra", ["kind"]),
        ("kind", []),
        ("more", ["kind", "extra"]),
        ("most", ["kind", "extra", "more"]),
        ("units", ["kind"]),
        ("units", ["kind"]),
    ]
    assert active_values(hp) == {"kind": "small", "units": 2}
    keys = set()
    for seed in range(40):
        point = random_point(hp, seed)
        values = active_values(point)
        assert Nested().sample(point).generator.widths[0] >= 2
        assert values.keys() == point.values.keys()
        assert ("more" in values) == (values.get("extra") == "yes")
        keys.add(frozenset(values))
    assert keys == {
        frozenset({"kind", "units"}),
        frozenset({"kind", "units", "extra"}),
        frozenset({"kind", "units", "extra", "more"}),
        frozenset({"kind", "units", "extra", "more", "most"}),
    }


def test_active_values_are_plain_python() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Boolean("flag", default=True)
    hp.Int("count", 1, 4)
    hp.Float("rate", 0.1, 0.5)
    hp.Choice("word", ["a", "b"])
    hp.Fixed("tuner/epochs", 3)
    hp.values.update({"count": np.int64(3), "rate": np.float32(0.25), "gone": 5})
    values = active_values(hp)
    assert values == {"flag": True, "count": 3, "rate": 0.25, "word": "a"}
    assert [type(value) for value in values.values()] == [bool, int, float, str]
