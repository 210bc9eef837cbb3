"""The program that lies beside an exported generator."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tuner_gan.results.loading import BATCH, generate_script

CLASSES = 3
COUNT = 2 * BATCH + 1


class Generator:
    """Stands in for one: its images are the first of their latents, or their labels, over 127.5."""

    def __init__(self, classes: int) -> None:
        self.input_shape = [(None, 2), (None,)] if classes else (None, 2)
        self.counts: list[int] = []

    def __call__(self, inputs: Any) -> Any:
        latents, shown = inputs if isinstance(inputs, list) else (inputs, np.zeros(len(inputs)))
        self.counts.append(len(latents))
        return shown[:, None, None, None].astype(np.float32) / 127.5 - 1


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs it in an empty folder, and gives the generator that it has used."""
    monkeypatch.chdir(tmp_path)

    def run(classes: int, *arguments: str) -> Generator:
        generator = Generator(classes)
        monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: generator)
        monkeypatch.setattr(sys, "argv", ["generate.py", *arguments])
        Path("generate.py").write_text(generate_script(classes), encoding="utf-8")
        runpy.run_path("generate.py")
        return generator

    return run


@pytest.mark.parametrize("classes", [0, CLASSES])
def test_many_images_are_made_in_batches(program: Any, classes: int) -> None:
    assert program(classes, "-n", str(COUNT)).counts == [BATCH, BATCH, 1]
    with np.load("images.npz") as made:
        expected = np.arange(COUNT) % CLASSES if classes else np.zeros(COUNT)
        np.testing.assert_array_equal(made["images"][:, 0, 0, 0], expected)


@pytest.mark.parametrize("arguments", [("--seed", "-1"), ("-o", "nowhere/images.npz")])
def test_a_seed_or_a_folder_that_cannot_be_is_told(
    program: Any, arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        program(0, *arguments)
    assert "error: expected a seed from 0 and a folder that is there, but got " in capsys.readouterr().err
