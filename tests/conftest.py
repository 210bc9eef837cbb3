"""Fixtures that tests of several parts share."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli_runs import Run, search_once

if TYPE_CHECKING:
    from tuner_gan.gan.model import GAN

# Each of pytest-xdist's processes, and those that its tests start, has its share of the cores: networks this small are
# slower with more threads than that, which only take turns.
THREADS = str(max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))
for variable in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, THREADS)


def pytest_configure() -> None:
    """Hears Ctrl-C also where a script runs the tests in the background, whose processes ignore it from their start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """The smallest search on real images, which no test changes: its folder, and what the command printed."""
    return search_once(tmp_path_factory.getbasetemp())


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
