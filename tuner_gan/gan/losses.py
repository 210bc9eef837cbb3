"""Adversarial losses: functions of logits, no state."""

from __future__ import annotations

from typing import Any

from keras import ops


def non_saturating(real_logits: Any, fake_logits: Any) -> tuple[Any, Any]:
    """The non-saturating loss of the original GAN.

    D minimises E[softplus(-D(x))] + E[softplus(D(G(z)))], the binary cross-entropy of its logits summed
    over real and fake; G minimises E[softplus(-D(G(z)))]. At D = 0 they are 2 ln 2 and ln 2.

    Args:
        real_logits: float [N, 1], logits of real images.
        fake_logits: float [N, 1], logits of generated images.

    Returns:
        The discriminator's loss and the generator's loss, two scalars in nats.

    References:
        Goodfellow et al. 2014, arXiv:1406.2661, section 3.
    """
    discriminator = ops.mean(ops.softplus(-real_logits)) + ops.mean(ops.softplus(fake_logits))
    return discriminator, ops.mean(ops.softplus(-fake_logits))
