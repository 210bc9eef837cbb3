"""Adversarial losses: functions of logits, no state.

Each takes `real_logits` and `fake_logits`, float [N, 1], the discriminator's logits of N real and N generated images,
and returns the discriminator's and the generator's loss as two scalars, both to be minimised. They are written for
logits, so that none overflows. E is the mean over a batch, D(x) the logit of a real image, D(G(z)) that of a fake one.

Those with a target for real images take `label_smoothing` s in [0, 1): the discriminator's target for real images is
1 - s, that for fakes stays 0 (one-sided, Salimans et al. 2016, arXiv:1606.03498, section 3.4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras import ops


def non_saturating(real_logits: Any, fake_logits: Any, label_smoothing: float = 0.0) -> tuple[Any, Any]:
    """The non-saturating loss of the original GAN.

    D minimises E[softplus(-D(x))] + E[softplus(D(G(z)))], the binary cross-entropy of its logits summed
    over real and fake; G minimises E[softplus(-D(G(z)))]. At D = 0 they are 2 ln 2 and ln 2.

    References:
        Goodfellow et al. 2014, arXiv:1406.2661, section 3.
    """
    discriminator = _real_cross_entropy(real_logits, label_smoothing) + ops.mean(ops.softplus(fake_logits))
    return discriminator, ops.mean(ops.softplus(-fake_logits))


def minimax(real_logits: Any, fake_logits: Any, label_smoothing: float = 0.0) -> tuple[Any, Any]:
    """The game of the original GAN as it is analysed, whose generator learns little while it is seen through.

    D as in `non_saturating`; G minimises E[-softplus(D(G(z)))], the logarithm of the probability of being recognised.

    References:
        Goodfellow et al. 2014, arXiv:1406.2661, equation 1.
    """
    fake = ops.mean(ops.softplus(fake_logits))
    return _real_cross_entropy(real_logits, label_smoothing) + fake, -fake


def _real_cross_entropy(real_logits: Any, label_smoothing: float) -> Any:
    """Cross-entropy of real images: -(1 - s) ln sigmoid(D) - s ln(1 - sigmoid(D)), which is softplus(-D) + s D."""
    loss = ops.mean(ops.softplus(-real_logits))
    return loss + label_smoothing * ops.mean(real_logits) if label_smoothing else loss


def least_squares(real_logits: Any, fake_logits: Any, label_smoothing: float = 0.0) -> tuple[Any, Any]:
    """LSGAN: regression to 1 for real and to 0 for fake images.

    D minimises E[(D(x) - 1)^2] / 2 + E[D(G(z))^2] / 2; G minimises E[(D(G(z)) - 1)^2] / 2.

    References:
        Mao et al. 2017, arXiv:1611.04076, equation 9.
    """
    target = 1.0 - label_smoothing
    discriminator = (ops.mean(ops.square(real_logits - target)) + ops.mean(ops.square(fake_logits))) / 2.0
    return discriminator, ops.mean(ops.square(fake_logits - 1.0)) / 2.0


def hinge(real_logits: Any, fake_logits: Any) -> tuple[Any, Any]:
    """The hinge loss: images that are judged by a margin of 1 do not move the discriminator.

    D minimises E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]; G minimises -E[D(G(z))].

    References:
        Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, equations 16 and 17.
    """
    discriminator = ops.mean(ops.relu(1.0 - real_logits)) + ops.mean(ops.relu(1.0 + fake_logits))
    return discriminator, -ops.mean(fake_logits)


def wasserstein(real_logits: Any, fake_logits: Any) -> tuple[Any, Any]:
    """The Wasserstein loss, an estimate of a distance if the discriminator is 1-Lipschitz: by penalty or spectral norm.

    D minimises E[D(G(z))] - E[D(x)]; G minimises -E[D(G(z))]. Neither is bounded below.

    References:
        Arjovsky et al. 2017, arXiv:1701.07875, equations 2 and 3.
    """
    fake = ops.mean(fake_logits)
    return fake - ops.mean(real_logits), -fake


def relativistic(real_logits: Any, fake_logits: Any) -> tuple[Any, Any]:
    """RpGAN: each fake image is compared with a real one, the one at its place in the batch.

    D minimises E[softplus(D(G(z)) - D(x))]; G minimises E[softplus(D(x) - D(G(z)))]. At D = 0 both are ln 2.

    References:
        Jolicoeur-Martineau 2018, arXiv:1807.00734, section 4.2; R3GAN, Huang et al. 2024, arXiv:2501.05441, equation 2.
    """
    lead = real_logits - fake_logits
    return ops.mean(ops.softplus(-lead)), ops.mean(ops.softplus(lead))


LOSSES: dict[str, Callable[..., tuple[Any, Any]]] = {
    loss.__name__: loss for loss in (non_saturating, minimax, least_squares, hinge, wasserstein, relativistic)
}
"""What `TrainingSpec.loss` can name."""


def margins(loss: str, real_logits: Any, fake_logits: Any, label_smoothing: float = 0.0) -> Any:
    """How far each real image is on the side of real ones, [N, 1]: by the sign, a discriminator of that loss judges.

    Most losses part real from fake images at D = 0. Least squares parts them midway between its two targets, and
    cross-entropy at the logit of that, where labels are smoothed. To the Wasserstein and the relativistic loss D + 9 is
    the same as D, so that the sign of one logit is arbitrary: there it is D(x) - D(G(z)), for the pairs of the batch.

    Args:
        loss: a name in `LOSSES`.
        real_logits, fake_logits, label_smoothing: as the loss takes them.
    """
    if loss == "least_squares":
        return real_logits - (1.0 - label_smoothing) / 2.0
    if loss in ("non_saturating", "minimax"):
        return real_logits - math.log((1.0 - label_smoothing) / (1.0 + label_smoothing))
    if loss in ("wasserstein", "relativistic"):
        return real_logits - fake_logits
    return real_logits


def class_loss(class_logits: Any, labels: Any) -> Any:
    """Cross-entropy of the classes that an auxiliary classifier sees, which both networks minimise.

    Args:
        class_logits: float [N, K].
        labels: integers [N] in 0..K-1, of real images or those that fakes were made for.

    References:
        AC-GAN, Odena et al. 2017, arXiv:1610.09585, equation 3.
    """
    return ops.mean(ops.sparse_categorical_crossentropy(labels, class_logits, from_logits=True))
