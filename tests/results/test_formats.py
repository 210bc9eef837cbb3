from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tuner_gan.errors import ConfigError, ProjectError
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec
from tuner_gan.gan.model import GAN
from tuner_gan.results import formats
from tuner_gan.results.formats import FORMATS, TOLERANCE, check_artifact, check_formats, parse_formats, write_format


def missing(name: str) -> bool:
    return any(importlib.util.find_spec(module) is None for module, _ in FORMATS[name].packages)


def make(classes: int = 0, **changes: Any) -> keras.Model:
    """An averaged generator that has been trained for no step, with weights that are no zeros."""
    spec = {"family": "conv", "latent_dim": 5, "widths": (8,), **changes}
    architecture = GANArchitecture(
        image_shape=(8, 8, 1),
        generator=GeneratorSpec(**spec),
        discriminator=DiscriminatorSpec("conv", widths=(4,)),
        classes=classes,
    )
    return GAN(architecture, seed=3).ema_generator


OTHERS = [
    pytest.param(name, marks=pytest.mark.skipif(missing(name), reason=f"the packages of {name} are an extra"))
    for name in FORMATS
    if name != "keras"
]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("classes", [0, 3])
def test_every_format_makes_the_images_of_keras(tmp_path: Path, name: str, classes: int) -> None:
    generator = make(classes)
    found = write_format(generator, name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [found.file]
    assert found.format == name
    assert 0 <= found.max_difference < 1e-5
    assert found.ms_per_sample > 0
    # With latents, labels and a batch of its own.
    latents = np.random.default_rng(1).standard_normal((7, 5)).astype(np.float32)
    labels = [np.array([2, 0, 1, 1, 2, 0, 0], np.int32)] if classes else []
    images = FORMATS[name].load(tmp_path / found.file)([latents, *labels])
    expected = np.asarray(generator([latents, *labels] if classes else latents))
    np.testing.assert_allclose(images, expected, atol=1e-5)
    assert found.size == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("family", ["dense", "resnet"])
def test_other_families_fit_too(tmp_path: Path, name: str, family: str) -> None:
    assert write_format(make(family=family, normalization="batch"), name, tmp_path).max_difference < TOLERANCE


def test_a_keras_file_is_compared_as_well(tmp_path: Path) -> None:
    generator = make()
    generator.save(tmp_path / "generator.keras")
    found = check_artifact(generator, "keras", tmp_path / "generator.keras")
    assert (found.file, found.max_difference) == ("generator.keras", 0.0)
    assert json.dumps(vars(found))
    other = make(latent_dim=5, widths=(4,))
    with pytest.raises(ProjectError, match=r"As keras the generator makes other images: they differ .* up to"):
        check_artifact(other, "keras", tmp_path / "generator.keras")


@pytest.mark.parametrize(
    ("load", "why"),
    [
        (lambda path: lambda inputs: np.full((64, 8, 8, 1), 2.0, np.float32), "makes other images"),
        (lambda path: lambda inputs: np.zeros((64, 8, 8), np.float32), "differ from Keras's by up to inf"),
        (lambda path: lambda inputs: np.full((64, 8, 8, 1), np.nan, np.float32), "makes other images"),
        (lambda path: 1 / 0, "cannot be written as saved_model: division by zero"),
    ],
)
def test_a_file_that_makes_other_images_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[[Path], Any], why: str
) -> None:
    generator = make()
    kept = tmp_path / "generator_saved_model"
    kept.mkdir()
    (kept / "earlier").touch()

    def write(generator: keras.Model, path: Path) -> None:
        path.mkdir()

    changed = formats.Format("generator_saved_model", (), write, load)
    monkeypatch.setitem(FORMATS, "saved_model", changed)
    with pytest.raises(ProjectError, match=why):
        write_format(generator, "saved_model", tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["generator_saved_model", "earlier"]


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "generator_saved_model").mkdir()
    (tmp_path / "generator_saved_model" / "earlier").touch()
    write_format(make(), "saved_model", tmp_path)
    assert not (tmp_path / "generator_saved_model" / "earlier").exists()
    assert (tmp_path / "generator_saved_model" / "saved_model.pb").is_file()


def test_unknown_and_missing_ones_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_formats("keras, onnx,keras") == ["keras", "onnx"]
    with pytest.raises(ConfigError, match="Expected formats such as keras,onnx, got ', ': choose from keras, saved_"):
        parse_formats(", ")
    with pytest.raises(ConfigError, match=r"Unknown format 'onx' \(did you mean 'onnx'\?\)"):
        check_formats(["keras", "onx"])
    for no_list in ("onnx", [3], None):
        with pytest.raises(ConfigError, match=r"^Expected a list of formats, such as \['keras', 'onnx'\], got "):
            check_formats(no_list)  # type: ignore[arg-type]
    onnx = dataclasses.replace(FORMATS["onnx"], packages=(("no_such_module", "no-such"),))
    monkeypatch.setitem(FORMATS, "onnx", onnx)
    with pytest.raises(ConfigError, match=r"'onnx' needs the package no-such: pip install 'tuner-gan\[onnx\]'"):
        check_formats(["onnx"])
