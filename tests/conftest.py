"""Fixtures that tests of several parts share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tuner_gan.gan.model import GAN


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[GAN]:
    """The GANs whose training step was traced, one entry for each time."""
    from tuner_gan.gan.model import GAN

    found: list[GAN] = []
    train_step = GAN.train_step

    def noted(self: GAN, data: Any) -> Any:
        found.append(self)
        return train_step(self, data)

    monkeypatch.setattr(GAN, "train_step", noted)
    return found
