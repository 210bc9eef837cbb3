import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from tuner_gan.gan.architecture import SMOOTHED
from tuner_gan.gan.losses import LOSSES, class_loss, margins, non_saturating

Array = npt.NDArray[Any]


def _cross_entropy(logits: Array, label: int) -> float:
    """Mean binary cross-entropy in float64; only for logits whose sigmoid neither rounds to 0 nor to 1."""
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return float(-np.log(probability if label else 1 - probability).mean())


def _losses(real: Array, fake: Array, name: str = "non_saturating", **options: float) -> tuple[float, float]:
    d_loss, g_loss = LOSSES[name](tf.constant(real, tf.float32), tf.constant(fake, tf.float32), **options)
    assert d_loss.shape == ()
    assert g_loss.shape == ()
    return float(d_loss), float(g_loss)


def test_it_is_the_cross_entropy_of_probabilities() -> None:
    random = np.random.default_rng(0)
    real, fake = random.normal(1, 4, (64, 1)), random.normal(-1, 4, (64, 1))
    d_loss, g_loss = _losses(real, fake)
    assert d_loss == pytest.approx(_cross_entropy(real, 1) + _cross_entropy(fake, 0), rel=1e-5)
    assert g_loss == pytest.approx(_cross_entropy(fake, 1), rel=1e-5)


def test_an_undecided_discriminator_gives_2_ln_2_and_ln_2() -> None:
    zeros = np.zeros((8, 1))
    assert _losses(zeros, zeros) == pytest.approx((2 * math.log(2), math.log(2)), rel=1e-6)


@pytest.mark.parametrize("size", [100.0, 1e4, 1e30])
def test_large_logits_do_not_overflow(size: float) -> None:
    logits = np.full((4, 1), size)
    # softplus(x) is x for large x and 0 for very negative x.
    assert _losses(logits, -logits) == pytest.approx((0, size), rel=1e-5, abs=1e-30)
    assert _losses(-logits, logits) == pytest.approx((2 * size, 0), rel=1e-5, abs=1e-30)
    assert _losses(logits, logits) == pytest.approx((size, 0), rel=1e-5, abs=1e-30)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_each_side_is_pulled_where_it_should_be(scale: float) -> None:
    random = np.random.default_rng(1)
    real = tf.constant(scale * random.normal(size=(16, 1)), tf.float32)
    fake = tf.constant(scale * random.normal(size=(16, 1)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        d_loss, g_loss = non_saturating(real, fake)
    d_real, d_fake = (np.asarray(g) for g in tape.gradient(d_loss, [real, fake]))
    g_real, g_fake = tape.gradient(g_loss, [real, fake])
    # D wants higher logits for real and lower ones for fake images, G higher ones for its own.
    assert (d_real <= 0).all()
    assert (d_fake >= 0).all()
    assert (np.asarray(g_fake) <= 0).all()
    assert g_real is None

    def sigmoid(x: Any) -> Array:
        return np.asarray(np.exp(-np.logaddexp(0, -np.asarray(x, np.float64))))

    np.testing.assert_allclose(d_real, -sigmoid(-real) / 16, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(d_fake, sigmoid(fake) / 16, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(g_fake, -sigmoid(-fake) / 16, rtol=1e-5, atol=1e-12)


def test_the_generator_learns_most_from_fakes_that_are_seen_through() -> None:
    """What non-saturating means: the gradient does not vanish where D is sure that an image is fake."""
    fake = tf.constant([[-20.0], [0.0], [20.0]])
    with tf.GradientTape() as tape:
        tape.watch(fake)
        _, g_loss = non_saturating(fake, fake)
    sure, undecided, fooled = np.asarray(tape.gradient(g_loss, fake))[:, 0]
    assert sure == pytest.approx(-1 / 3, rel=1e-5)
    assert undecided == pytest.approx(-1 / 6, rel=1e-5)
    assert fooled == pytest.approx(0, abs=1e-8)


# --- every loss ----------------------------------------------------------------------------------------------


def _log_sigmoid(x: Array) -> Array:
    return np.asarray(-np.logaddexp(0, -x))


Pair = tuple[float, float]
FORMULAS: dict[str, Callable[[Array, Array], Pair]] = {
    "non_saturating": lambda r, f: (-(_log_sigmoid(r) + _log_sigmoid(-f)).mean(), -_log_sigmoid(f).mean()),
    "minimax": lambda r, f: (-(_log_sigmoid(r) + _log_sigmoid(-f)).mean(), _log_sigmoid(-f).mean()),
    "least_squares": lambda r, f: (((r - 1) ** 2 + f**2).mean() / 2, ((f - 1) ** 2).mean() / 2),
    "hinge": lambda r, f: (-(np.minimum(0, r - 1) + np.minimum(0, -f - 1)).mean(), -f.mean()),
    "wasserstein": lambda r, f: (f.mean() - r.mean(), -f.mean()),
    "relativistic": lambda r, f: (-_log_sigmoid(r - f).mean(), -_log_sigmoid(f - r).mean()),
}
"""As the papers write them, with probabilities, in float64."""

UNDECIDED = {
    "non_saturating": (2 * math.log(2), math.log(2)),
    "minimax": (2 * math.log(2), -math.log(2)),
    "least_squares": (0.5, 0.5),
    "hinge": (2, 0),
    "wasserstein": (0, 0),
    "relativistic": (math.log(2), math.log(2)),
}
"""At logits of zero."""


@pytest.mark.parametrize("name", LOSSES)
def test_each_is_its_paper_s_formula(name: str) -> None:
    random = np.random.default_rng(0)
    real, fake = random.normal(1, 4, (64, 1)), random.normal(-1, 4, (64, 1))
    assert _losses(real, fake, name) == pytest.approx(FORMULAS[name](real, fake), rel=1e-5)
    assert _losses(np.zeros((8, 1)), np.zeros((8, 1)), name) == pytest.approx(UNDECIDED[name], rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_the_derivatives_are_those_of_the_formula(name: str) -> None:
    random = np.random.default_rng(1)
    real, fake = random.normal(0, 2, (6, 1)), random.normal(0, 2, (6, 1))
    inputs = tf.constant(real, tf.float32), tf.constant(fake, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        losses = LOSSES[name](*inputs)
    for side, loss in enumerate(losses):
        for place, logits in enumerate((real, fake)):
            if side == 1 and place == 0:
                continue  # the generator has no part in the logits of real images
            ours = np.asarray(tape.gradient(loss, inputs[place]))
            for row in range(len(logits)):
                step = np.zeros_like(logits)
                step[row] = 1e-5
                ends = [[real, fake], [real, fake]]
                ends[0][place], ends[1][place] = logits - step, logits + step
                low, high = (FORMULAS[name](*end)[side] for end in ends)
                assert ours[row, 0] == pytest.approx((high - low) / 2e-5, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_the_sides_pull_a_fake_s_logit_apart(name: str) -> None:
    """Between the targets of all losses, D lowers the logit of a fake and G raises it."""
    real, fake = tf.constant([[0.3], [0.9]]), tf.constant([[0.2], [0.7]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(fake)
        d_loss, g_loss = LOSSES[name](real, fake)
    assert (np.asarray(tape.gradient(d_loss, fake)) > 0).all()
    assert (np.asarray(tape.gradient(g_loss, fake)) < 0).all()


@pytest.mark.parametrize("name", ["non_saturating", "minimax", "hinge", "wasserstein", "relativistic"])
def test_no_loss_overflows_on_large_logits(name: str) -> None:
    logits = np.full((4, 1), 1e30)
    for real, fake in ((logits, -logits), (-logits, logits), (logits, logits)):
        with np.errstate(over="ignore"):
            assert _losses(real, fake, name) == pytest.approx(FORMULAS[name](real, fake), rel=1e-5, abs=1e-30)


# --- one-sided label smoothing ------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.1, 0.3])
def test_smoothing_moves_the_target_of_real_images_only(smoothing: float) -> None:
    random = np.random.default_rng(0)
    real, fake = random.normal(1, 4, (64, 1)), random.normal(-1, 4, (64, 1))
    smoothed = (1 - smoothing) * _cross_entropy(real, 1) + smoothing * _cross_entropy(real, 0)
    for name in ("non_saturating", "minimax"):
        plain = _losses(real, fake, name)
        d_loss, g_loss = _losses(real, fake, name, label_smoothing=smoothing)
        assert d_loss == pytest.approx(smoothed + _cross_entropy(fake, 0), rel=1e-5)
        assert g_loss == plain[1]
    d_loss, g_loss = _losses(real, fake, "least_squares", label_smoothing=smoothing)
    assert d_loss == pytest.approx(((real - 1 + smoothing) ** 2 + fake**2).mean() / 2, rel=1e-5)
    assert g_loss == _losses(real, fake, "least_squares")[1]


def test_the_losses_with_a_target_are_those_that_take_smoothing() -> None:
    takes = [name for name, loss in LOSSES.items() if "label_smoothing" in inspect.signature(loss).parameters]
    assert tuple(takes) == SMOOTHED


def test_the_class_loss_is_the_cross_entropy_of_the_right_class() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(0, 3, (32, 5)), random.integers(0, 5, 32)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(probabilities[np.arange(32), labels]).mean()
    assert float(class_loss(tf.constant(logits, tf.float32), tf.constant(labels))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.4])
@pytest.mark.parametrize("name", SMOOTHED)
def test_the_logit_of_a_discriminator_that_cannot_tell_has_no_margin(name: str, smoothing: float) -> None:
    logits = np.linspace(-2, 2, 401)
    losses = [_losses(np.full((1, 1), c), np.full((1, 1), c), name, label_smoothing=smoothing)[0] for c in logits]
    best = tf.constant([[logits[np.argmin(losses)]]], tf.float32)
    assert float(margins(name, best, best, smoothing)[0, 0]) == pytest.approx(0, abs=0.02)
    assert float(margins(name, best + 0.1, best, smoothing)[0, 0]) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("name", ["wasserstein", "relativistic"])
def test_a_margin_is_the_same_where_the_loss_is_whatever_is_added(name: str) -> None:
    real, fake = tf.constant([[1.0], [2.0]]), tf.constant([[0.5], [3.0]])
    for added in (0.0, 9.0):
        assert margins(name, real + added, fake + added).numpy().tolist() == [[0.5], [-1.0]]
