"""Fixtures that tests of several parts share."""

from __future__ import annotations

import gc
import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli_runs import Run, search_once

from tuner_gan import threads

if TYPE_CHECKING:
    from tuner_gan.gan.model import GAN


if "PYTEST_XDIST_WORKER" in os.environ:
    # There is a process for each core: with a thread for each core in each, they would wait for one another.
    os.environ |= threads.environment(1)


def pytest_configure() -> None:
    """Hears Ctrl-C also where a script runs the tests in the background, whose processes ignore it from their start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


TESTS_BETWEEN = 10
_tests = itertools.count(1)


@pytest.fixture(autouse=True)
def _left_to_itself() -> Iterator[None]:
    """Takes what tests have left behind out of the garbage collector's sight.

    Keras collects before each trial, and TensorFlow keeps some thousands of objects of each: after some hundred trials
    in one process, looking through them takes longer than a small trial.
    """
    yield
    if next(_tests) % TESTS_BETWEEN == 0:
        gc.collect()
        gc.freeze()


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
