"""What the training step makes of each part of a recipe, against plain tapes and NumPy."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tuner_gan.errors import ConfigError, QualityError
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec, TrainingSpec
from tuner_gan.gan.model import ADA_IMAGES, GAN

Array = npt.NDArray[Any]

SHAPE = (8, 9, 1)
LATENT = 4
CLASSES = 3


@pytest.fixture(autouse=True)
def same_weights() -> None:
    keras.utils.set_random_seed(0)


def _gan(
    generator: dict[str, Any] | None = None,
    discriminator: dict[str, Any] | None = None,
    classes: int = 0,
    **training: Any,
) -> GAN:
    architecture = GANArchitecture(
        SHAPE,
        GeneratorSpec(**{"family": "conv", "latent_dim": LATENT, "widths": (8, 6), **(generator or {})}),
        DiscriminatorSpec(**{"family": "conv", "widths": (3, 4), "normalization": "none", **(discriminator or {})}),
        TrainingSpec(**{"batch_size": 4, **training}),
        classes,
    )
    return GAN(architecture, seed=3)


def _images(n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (n, *SHAPE), dtype=np.uint8)


def _batch(n: int, classes: int = 0) -> dict[str, Any]:
    """Images as floats, latents and labels, all given, so that a step draws nothing."""
    rng = np.random.default_rng(1)
    batch = {
        "images": tf.constant(_images(n) / 127.5 - 1, tf.float32),
        "latents": tf.constant(rng.normal(size=(n, LATENT)), tf.float32),
    }
    return {**batch, "labels": tf.constant(rng.permutation(n) % classes)} if classes else batch


def _values(variables: Any) -> list[Array]:
    return [np.array(variable) for variable in variables]


def _gradients(gan: GAN, batch: dict[str, Any]) -> tuple[list[Array], list[Array]]:
    """Of one step, by plain gradient descent of rate 1, which subtracts them: discriminator's, then generator's."""
    gan.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0), run_eagerly=True)
    networks = gan.discriminator, gan.generator
    before = [_values(network.trainable_variables) for network in networks]
    gan.train_step(batch)
    after = [_values(network.trainable_variables) for network in networks]
    of_d, of_g = ([a - b for a, b in zip(*pair, strict=True)] for pair in zip(before, after, strict=True))
    return of_d, of_g


def _twin(gan: GAN) -> GAN:
    twin = GAN(gan.architecture, seed=3)
    twin.set_weights(gan.get_weights())
    return twin


def _inputs(x: Any, labels: Any) -> Any:
    return x if labels is None else [x, labels]


def _assert_close(found: list[Array], expected: list[Any]) -> None:
    assert len(found) == len(expected) > 0
    expected = [None if one is None else np.asarray(tf.convert_to_tensor(one)) for one in expected]
    scale = max(np.abs(one).max() for one in expected if one is not None)
    assert scale > 1e-4
    for one, other in zip(found, expected, strict=True):
        wanted = np.zeros_like(one) if other is None else other
        # Weights of about 1 carry the differences, to 6e-8 of themselves.
        np.testing.assert_allclose(one, wanted, rtol=1e-3, atol=1e-5 * scale + 3e-7)


def _softplus(x: Any) -> Any:
    return tf.math.softplus(x)


# --- penalties and targets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", ["r1", "r2", "r1_r2"])
@pytest.mark.parametrize("loss", ["non_saturating", "relativistic"])
@pytest.mark.parametrize(
    ("settings", "logit"),
    [
        ({"activation": "silu"}, 0.0),
        ({"activation": "leaky_relu"}, 0.0),
        ({"activation": "leaky_relu"}, 60.0),
        ({"activation": "relu", "normalization": "layer"}, -20.0),
    ],
    ids=["silu", "leaky relu", "surely real", "layer normalisation"],
)
def test_a_penalty_is_added_to_the_discriminator_s_gradient_alone(
    settings: dict[str, Any], logit: float, loss: str, penalty: str
) -> None:
    """However small the loss's own derivatives are that the penalty's share their backward pass with."""
    gan = _gan(loss=loss, penalty=penalty, penalty_weight=3.0, discriminator=settings)
    gan.discriminator.layers[-1].bias.assign([logit])
    twin, batch = _twin(gan), _batch(6)
    found = _gradients(gan, batch)
    discriminator = twin.discriminator
    with tf.GradientTape(persistent=True) as tape:
        real, fake = batch["images"], twin.generator(batch["latents"], training=True)
        norms = []
        for images in (real, fake):
            with tf.GradientTape() as inner:
                inner.watch(images)
                logits = discriminator(images, training=True)
            norms.append(tf.reduce_mean(tf.reduce_sum(inner.gradient(logits, images) ** 2, axis=(1, 2, 3))))
        on = {"r1": norms[0], "r2": norms[1], "r1_r2": norms[0] + norms[1]}[penalty]
        r, f = discriminator(real, training=True), discriminator(fake, training=True)
        if loss == "relativistic":
            d_loss, g_loss = tf.reduce_mean(_softplus(f - r)), tf.reduce_mean(_softplus(r - f))
        else:
            d_loss = tf.reduce_mean(_softplus(-r) + _softplus(f))
            g_loss = tf.reduce_mean(_softplus(-f))
        total = d_loss + 3.0 / 2 * on
    _assert_close(found[0], tape.gradient(total, discriminator.trainable_variables))
    if not logit:  # a discriminator that is sure has little to say to the generator
        _assert_close(found[1], tape.gradient(g_loss, twin.generator.trainable_variables))


def _slope(**training: Any) -> float:
    """The mean slope of a discriminator that was ten times too steep, after a training."""
    keras.utils.set_random_seed(0)
    gan = _gan(loss="wasserstein", generator_lr=1e-3, **training)
    gan.compile()
    last = gan.discriminator.layers[-1].kernel
    last.assign(30 * last)
    images = np.full((64, *SHAPE), 200, np.uint8) + (_images(64) // 16)
    gan.fit(images, batch_size=16, epochs=50, verbose=0)
    real = tf.constant(images / 127.5 - 1, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(real)
        logits = gan.discriminator(real)
    norms = np.sqrt((np.asarray(tape.gradient(logits, real)) ** 2).sum(axis=(1, 2, 3)))
    return float(norms.mean())


@pytest.fixture(scope="module")
def free_slope() -> float:
    return _slope()


@pytest.mark.parametrize("penalty", ["gradient_penalty", "dragan"])
def test_a_penalty_holds_the_slope_near_one(penalty: str, free_slope: float) -> None:
    """It comes down to 1 with the penalty, and not without."""
    assert _slope(penalty=penalty, penalty_weight=10.0) == pytest.approx(1, abs=0.35)
    assert free_slope > 2


def test_a_penalty_shares_the_backward_pass_that_both_losses_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of two convolutions is gone back through once for real images, and once for fake ones."""
    monkeypatch.setattr("tuner_gan.gan.model.uses_onednn", lambda: False)  # which has other operators for them
    gan = _gan(generator={"family": "dense"}, penalty="r1_r2", penalty_weight=1.0)
    gan.compile()
    traced = tf.function(gan.train_step).get_concrete_function(_batch(4))
    kinds = [operation.type for operation in traced.graph.get_operations()]
    assert kinds.count("Conv2DBackpropInput") == 4


def test_a_weight_of_zero_is_no_penalty() -> None:
    batch = _batch(4)
    plain, weightless = (_gan(penalty=penalty, penalty_weight=0.0) for penalty in ("none", "r1"))
    weightless.set_weights(plain.get_weights())
    for one, other in zip(_gradients(plain, batch), _gradients(weightless, batch), strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_smoothed_labels_reach_the_step() -> None:
    gan = _gan(label_smoothing=0.2)
    twin, batch = _twin(gan), _batch(6)
    found = _gradients(gan, batch)
    with tf.GradientTape() as tape:
        r = twin.discriminator(batch["images"], training=True)
        f = twin.discriminator(twin.generator(batch["latents"], training=True), training=True)
        d_loss = tf.reduce_mean(0.8 * _softplus(-r) + 0.2 * _softplus(r) + _softplus(f))
    _assert_close(found[0], tape.gradient(d_loss, twin.discriminator.trainable_variables))


def test_a_batch_normalised_discriminator_has_its_own_backward_pass_for_the_generator() -> None:
    gan = _gan(discriminator={"normalization": "batch"})
    twin, batch = _twin(gan), _batch(6)
    found = _gradients(gan, batch)
    with tf.GradientTape(persistent=True) as tape:
        r = twin.discriminator(batch["images"], training=True)
        f = twin.discriminator(twin.generator(batch["latents"], training=True), training=True)
        d_loss, g_loss = tf.reduce_mean(_softplus(-r) + _softplus(f)), tf.reduce_mean(_softplus(-f))
    _assert_close(found[0], tape.gradient(d_loss, twin.discriminator.trainable_variables))
    _assert_close(found[1], tape.gradient(g_loss, twin.generator.trainable_variables))


# --- steps and optimizers ------------------------------------------------------------------------------------


def test_the_discriminator_takes_its_steps_before_the_generator_takes_one() -> None:
    gan = _gan(critic_steps=3)
    twin, batch = _twin(gan), _batch(12)
    gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), run_eagerly=True)
    gan.train_step(batch)
    assert int(gan.steps) == 1
    for part in range(3):
        real, latents = (batch[name][4 * part : 4 * part + 4] for name in ("images", "latents"))
        with tf.GradientTape(persistent=True) as tape:
            r = twin.discriminator(real, training=True)
            f = twin.discriminator(twin.generator(latents, training=True), training=True)
            d_loss, g_loss = tf.reduce_mean(_softplus(-r) + _softplus(f)), tf.reduce_mean(_softplus(-f))
        steps = [(twin.discriminator, d_loss)] + ([(twin.generator, g_loss)] if part == 2 else [])
        gradients = [tape.gradient(loss, network.trainable_variables) for network, loss in steps]
        for (network, _), of_network in zip(steps, gradients, strict=True):
            for variable, gradient in zip(network.trainable_variables, of_network, strict=True):
                variable.assign(variable - 0.1 * gradient)
    for network, other in ((gan.discriminator, twin.discriminator), (gan.generator, twin.generator)):
        for one, two in zip(network.trainable_variables, other.trainable_variables, strict=True):
            np.testing.assert_allclose(np.asarray(one), np.asarray(two), rtol=1e-4, atol=1e-6)


def test_an_epoch_has_as_many_steps_as_there_are_images_for_all_of_the_discriminator_s() -> None:
    gan = _gan(critic_steps=2)
    gan.compile()
    gan.fit(_images(25), epochs=2, verbose=0)
    assert int(gan.steps) == 2 * (25 // 8)
    small = _gan(critic_steps=2, batch_size=64)
    small.compile()
    small.fit(_images(9), verbose=0)  # fewer images than a batch: as many as there are for each
    assert int(small.steps) == 1
    with pytest.raises(ConfigError, match=r"images must be at least critic_steps=2, but got 1"):
        small.fit(_images(1), verbose=0)


def test_a_batch_that_cannot_be_shared_out_is_refused() -> None:
    gan = _gan(critic_steps=3)
    gan.compile(run_eagerly=True)
    with pytest.raises(ConfigError, match=r"A batch must be a multiple of critic_steps=3 images, but got 4\."):
        gan.train_step(_batch(4))


def test_each_optimizer_is_the_one_of_the_recipe() -> None:
    for name, kind, settings in (
        ("adam", keras.optimizers.Adam, {"beta_1": 0.25, "beta_2": 0.75, "weight_decay": None}),
        ("adamw", keras.optimizers.AdamW, {"beta_1": 0.25, "beta_2": 0.75, "weight_decay": 0.01}),
        ("rmsprop", keras.optimizers.RMSprop, {"rho": 0.75}),
    ):
        gan = _gan(optimizer=name, generator_lr=2e-3, lr_ratio=0.5, beta1=0.25, beta2=0.75, weight_decay=0.01)
        gan.compile()
        for optimizer, rate in ((gan.generator_optimizer, 2e-3), (gan.discriminator_optimizer, 1e-3)):
            assert type(optimizer) is kind
            assert float(optimizer.learning_rate) == pytest.approx(rate)
            assert {setting: optimizer.get_config()[setting] for setting in settings} == settings


# --- augmentation --------------------------------------------------------------------------------------------


def test_the_discriminator_sees_neither_real_nor_fake_images_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    gan = _gan(augmentation=("cutout",))
    gan.compile(run_eagerly=True)
    seen = []
    judge = gan._judge

    def watched(images: Any, labels: Any) -> Any:
        seen.append(np.asarray(images))
        return judge(images, labels)

    monkeypatch.setattr(gan, "_judge", watched)
    batch = _batch(6)
    batch["images"] = batch["images"] * 0.4 + 0.5  # no pixel is 0
    gan.train_step(batch)
    assert len(seen) == 2
    for images in seen:
        assert ((images == 0).mean(axis=(1, 2, 3)) > 0.05).all()
    np.testing.assert_array_equal(seen[0][seen[0] != 0], np.asarray(batch["images"])[seen[0] != 0])


def test_gradients_pass_through_the_augmentation_to_the_generator() -> None:
    gan = _gan(augmentation=("color", "translation", "cutout"))
    found = _gradients(gan, _batch(6))
    assert len(found[1]) == len(gan.generator.trainable_variables) > 0
    assert all(np.abs(gradient).max() > 0 for gradient in found[1])


def _share(gan: GAN, new: float | None = None) -> float:
    share = gan.augmentation_share
    assert share is not None
    if new is not None:
        share.assign(new)
    return float(share)


@pytest.mark.parametrize(("logit", "direction"), [(50.0, 1), (-50.0, -1)])
def test_the_share_of_augmented_images_follows_the_sign_of_real_logits(logit: float, direction: int) -> None:
    gan = _gan(augmentation=("translation",), adaptive_augmentation=True)
    gan.compile(run_eagerly=True)
    assert _share(gan) == 0
    _share(gan, 0.5)
    gan.discriminator.layers[-1].bias.assign([logit])
    gan.train_step(_batch(8))
    assert _share(gan) == pytest.approx(0.5 + direction * 8 / ADA_IMAGES, abs=1e-7)
    end = _share(gan, 1.0 if direction > 0 else 0.0)
    gan.train_step(_batch(8))
    assert _share(gan) == end


UNDECIDED, SURE = [-1.0, 0.0, 1.0, 2.0], [3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize(
    ("loss", "smoothing", "real", "fake", "direction"),
    [
        *[("non_saturating", 0.0, [real] * 4, [0.9] * 4, np.sign(real)) for real in (-0.1, 0.1)],
        *[("hinge", 0.0, [real] * 4, [0.9] * 4, np.sign(real)) for real in (-0.1, 0.1)],
        # Midway between the targets, which are 0 and 1, or 0 and 0.6.
        *[("least_squares", 0.0, [real] * 4, [0.9] * 4, direction) for real, direction in ((0.4, -1), (0.6, 1))],
        *[("least_squares", 0.4, [real] * 4, [0.9] * 4, direction) for real, direction in ((0.2, -1), (0.4, 1))],
        # In probabilities, of 0 and 0.6: the logit of 0.3 is -0.85.
        *[
            (loss, 0.4, [real] * 4, [0.9] * 4, direction)
            for loss in ("non_saturating", "minimax")
            for real, direction in ((-0.9, -1), (-0.8, 1))
        ],
        # The same discriminator, whatever is added to it.
        *[
            (loss, 0.0, [one + added for one in real], [one + added for one in UNDECIDED[::-1]], direction)
            for loss in ("wasserstein", "relativistic")
            for real, direction in ((UNDECIDED, -1), (SURE, 1))
            for added in (-9.0, 0.0, 9.0)
        ],
        ("relativistic", 0.0, [7.0] * 4, [7.0] * 4, -1),
    ],
)
def test_the_share_follows_how_sure_the_discriminator_is_by_its_loss(
    loss: str, smoothing: float, real: list[float], fake: list[float], direction: int
) -> None:
    gan = _gan(augmentation=("translation",), adaptive_augmentation=True, loss=loss, label_smoothing=smoothing)
    _share(gan, 0.5)
    gan._adapt_augmentation([tf.constant(logits)[:, None] for logits in (real, fake)])
    assert _share(gan) == pytest.approx(0.5 + direction * 4 / ADA_IMAGES, abs=1e-7)


def test_the_share_is_kept_by_saving_and_forgotten_by_a_restart(tmp_path: Path) -> None:
    gan = _gan(augmentation=("translation",), adaptive_augmentation=True)
    gan.compile()
    _share(gan, 0.25)
    gan.save(tmp_path / "gan.keras")
    assert _share(GAN.load(tmp_path / "gan.keras")) == 0.25
    fresh = _gan(augmentation=("translation",), adaptive_augmentation=True)
    fresh.compile()
    assert gan.restart_as(fresh)
    assert _share(gan) == 0
    assert _gan(augmentation=("translation",)).augmentation_share is None


# --- classes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("class_output", ["projection", "auxiliary"])
@pytest.mark.parametrize("class_input", ["concatenation", "normalization"])
def test_a_conditional_step_is_the_textbook_step(class_input: Any, class_output: Any) -> None:
    gan = _gan({"class_input": class_input, "normalization": "layer"}, {"class_output": class_output}, CLASSES)
    twin, batch = _twin(gan), _batch(6, CLASSES)
    found = _gradients(gan, batch)
    projected = None if class_output == "auxiliary" else batch["labels"]
    with tf.GradientTape(persistent=True) as tape:
        fake = twin.generator([batch["latents"], batch["labels"]], training=True)
        r, f = (twin.discriminator(_inputs(images, projected), training=True) for images in (batch["images"], fake))
        d_loss = tf.reduce_mean(_softplus(-r[:, :1]) + _softplus(f[:, :1]))
        g_loss = tf.reduce_mean(_softplus(-f[:, :1]))
        if class_output == "auxiliary":
            of_classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            real_loss, fake_loss = (of_classes(batch["labels"], output[:, 1:]) for output in (r, f))
            d_loss, g_loss = d_loss + real_loss + fake_loss, g_loss + fake_loss
    _assert_close(found[0], tape.gradient(d_loss, twin.discriminator.trainable_variables))
    _assert_close(found[1], tape.gradient(g_loss, twin.generator.trainable_variables))
    assert all(np.abs(gradient).max() > 0 for network in found for gradient in network)


@pytest.mark.parametrize("family", ["dense", "conv", "resnet", "sndcgan"])
@pytest.mark.parametrize("class_output", ["projection", "auxiliary"])
def test_every_weight_learns_under_spectral_normalisation(family: str, class_output: Any) -> None:
    """Keras's wrapper stops the gradient of an Embedding, for one; Adam's first moments show what has one."""
    gan = _gan(
        {"family": family, "class_input": "normalization"},
        {"family": family, "class_output": class_output, "normalization": "spectral"},
        CLASSES,
    )
    gan.compile(run_eagerly=True)
    gan.train_step(_batch(6, CLASSES))
    for optimizer, network in (
        (gan.generator_optimizer, gan.generator),
        (gan.discriminator_optimizer, gan.discriminator),
    ):
        moments = optimizer._momentums
        assert len(moments) == len(network.trainable_variables) > 0
        for variable, moment in zip(network.trainable_variables, moments, strict=True):
            assert np.abs(np.asarray(moment)).max() > 0, variable.path


def test_tensors_and_lists_train_as_arrays_do() -> None:
    """In batches of the recipe's size, which Keras does not know, in equal parts for the discriminator's steps."""
    images, labels = _images(18), np.arange(18) % CLASSES
    expected = None
    for kind in (np.array, tf.constant, list):
        keras.utils.set_random_seed(0)
        gan = _gan(classes=CLASSES, critic_steps=2)
        gan.compile(run_eagerly=True)
        history = gan.fit(kind(images), kind(labels), verbose=0).history
        assert int(gan.steps) == 2
        expected = expected or history
        assert history == expected


@pytest.mark.parametrize("batch_size", [None, 3])
def test_what_keras_cuts_into_batches_has_the_recipe_s_size(batch_size: int | None) -> None:
    gan = _gan(critic_steps=2)
    gan.compile(run_eagerly=True)
    gan.fit({"images": _images(24)}, batch_size=batch_size, verbose=0)
    assert int(gan.steps) == 12 / (batch_size or 4)


@pytest.mark.parametrize("kind", ["array", "pairs", "dictionary"])
def test_labels_go_with_their_images(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gan = _gan(classes=CLASSES)
    gan.compile(run_eagerly=True, steps_per_execution=1)
    seen: list[tuple[Array, Array]] = []
    judge = gan._judge

    def watched(images: Any, labels: Any) -> Any:
        seen.append((np.asarray(images), np.asarray(labels)))
        return judge(images, labels)

    monkeypatch.setattr(gan, "_judge", watched)
    labels = np.arange(12) % CLASSES
    images = (100 * labels[:, None, None, None] + np.zeros((12, *SHAPE))).astype(np.uint8)
    if kind == "array":
        gan.fit(images, labels, epochs=2, verbose=0)
    else:
        pairs = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
        data = pairs if kind == "pairs" else pairs.map(lambda x, y: {"images": x, "labels": y})
        gan.fit(data, epochs=2, verbose=0)
    assert len(seen) == 2 * 2 * 3
    for real, given in seen[::2]:
        np.testing.assert_allclose(real[:, 0, 0, 0], 100 * given / 127.5 - 1, atol=1e-5)
    for (_, of_real), (_, of_fake) in zip(seen[::2], seen[1::2], strict=True):
        np.testing.assert_array_equal(of_real, of_fake)


@pytest.mark.parametrize(
    "labels",
    [
        None,
        np.arange(7) % 3,
        np.arange(8) % 4,
        np.arange(8) - 1,
        np.zeros(8),
        np.zeros((8, 3), np.int64),
        ["a"] * 8,
        tf.zeros(8),
    ],
    ids=["none", "too few", "too large", "negative", "floats", "one-hot", "names", "a tensor of floats"],
)
def test_labels_that_do_not_fit_are_refused(labels: Any) -> None:
    gan = _gan(classes=CLASSES)
    gan.compile()
    with pytest.raises(ConfigError, match=r"^y must be 8 integer labels in 0\.\.2, one for each image, but got "):
        gan.fit(_images(8), labels, verbose=0)
    with pytest.raises(ConfigError, match=r"^y must be 8 integer labels in 0\.\.2, one for each image, but got "):
        gan.fit(tf.constant(_images(8)), labels, verbose=0)
    assert int(gan.steps) == 0


def test_labels_for_a_gan_without_classes_are_refused() -> None:
    gan = _gan()
    gan.compile()
    with pytest.raises(ConfigError, match=r"^y must be None: this GAN has no classes; set classes in its architecture"):
        gan.fit(_images(8), np.zeros(8, int), verbose=0)


def test_generate_makes_the_classes_that_are_asked_for() -> None:
    gan = _gan(classes=CLASSES)
    for layer in gan.ema_generator.layers:
        if isinstance(layer, keras.layers.Embedding):
            layer.embeddings.assign(5 * np.random.default_rng(0).normal(size=layer.embeddings.shape))
    every = gan.generate(6, seed=0)
    assert every.shape == (6, *SHAPE)
    np.testing.assert_array_equal(every, gan.generate(6, seed=0, labels=np.arange(6) % 3))  # every class in turn
    only = gan.generate(6, seed=0, labels=2)
    np.testing.assert_array_equal(only, gan.generate(6, seed=0, labels=[2] * 6))
    same = [np.array_equal(one, other) for one, other in zip(every, only, strict=True)]
    assert same == [False, False, True, False, False, True]
    for wrong in (3, -1, [0, 1], 1.0, "2"):
        with pytest.raises(QualityError, match=r"^labels must be integers in 0\.\.2, one for each image, but got "):
            gan.generate(6, seed=0, labels=wrong)
    with pytest.raises(QualityError, match="labels were given, but this generator takes none"):
        _gan().generate(2, labels=0)


def test_a_conditional_gan_goes_on_after_loading(tmp_path: Path) -> None:
    gan = _gan(classes=CLASSES, penalty="r1")
    gan.compile()
    images, labels = _images(8), np.arange(8) % CLASSES
    gan.fit(images, labels, verbose=0)
    gan.save(tmp_path / "gan.keras")
    loaded = GAN.load(tmp_path / "gan.keras")
    for one in (gan, loaded):
        one.fit(images, labels, verbose=0)
    for a, b in zip(gan.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# --- compiled ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "classes"),
    [
        ({"penalty": "r1_r2", "critic_steps": 2}, 0),
        ({"penalty": "gradient_penalty", "loss": "wasserstein"}, CLASSES),
        ({"augmentation": ("color", "translation", "cutout"), "adaptive_augmentation": True}, 0),
    ],
    ids=["penalties", "conditional", "augmentation"],
)
def test_compiled_by_xla_the_step_is_the_same(training: dict[str, Any], classes: int) -> None:
    plain = _gan(classes=classes, **training)
    compiled = _twin(plain)
    plain.compile(jit_compile=False)
    compiled.compile(jit_compile=True)
    labels = np.arange(16) % classes if classes else None
    # Few steps: Adam's first ones have the size of the rate, whatever the last digits of a gradient.
    histories = [gan.fit(_images(16), labels, verbose=0).history for gan in (plain, compiled)]
    for name in ("d_loss", "g_loss"):
        assert histories[0][name] == pytest.approx(histories[1][name], rel=1e-3, abs=1e-3)
    for one, other in zip(plain.get_weights(), compiled.get_weights(), strict=True):
        # Nearly every weight: a gradient of nearly 0 may have another sign, and Adam's step with it.
        assert np.isclose(one, other, rtol=1e-2, atol=1e-3).mean() > 0.95
