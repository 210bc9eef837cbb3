"""The export of a conditional generator: its classes, and how its card calls it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from project_folders import record_json, write_project
from test_export import python_without_tuner_gan

from tuner_gan import files
from tuner_gan.errors import ProjectError, SelectionError
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec
from tuner_gan.gan.model import GAN
from tuner_gan.images import generate_images
from tuner_gan.results.export import export, find_class, load_generator

NAMES = ["cat", "dog", "2", "<emu>"]


def make_gan(classes: int = 4) -> GAN:
    architecture = GANArchitecture(
        image_shape=(8, 8, 1),
        generator=GeneratorSpec("conv", latent_dim=5, widths=(8,), class_input="normalization"),
        discriminator=DiscriminatorSpec("conv", widths=(4,)),
        classes=classes,
    )
    return GAN(architecture, seed=3)


@pytest.fixture(scope="module")
def gan() -> GAN:
    gan = make_gan()
    for variable in gan.ema_generator.weights:
        if "embeddings" in variable.name:  # else every class starts alike
            variable.assign(np.random.default_rng(0).normal(1, 0.5, variable.shape))
    return gan


@pytest.fixture
def project(gan: GAN, tmp_path: Path) -> Path:
    data = {"name": "pets", "fingerprint": "ab", "image_shape": [8, 8, 1], "class_names": NAMES}
    folder = write_project(tmp_path / "demo", record_json("0000"), data=data)
    gan.save_generator(folder / "trial_0000" / files.GENERATOR)
    files.write_json(folder / "trial_0000" / files.ARCHITECTURE, gan.architecture.to_json())
    return folder


def card_of(folder: Path) -> str:
    return (folder / files.MODEL_CARD).read_text(encoding="utf-8")


def test_the_code_of_its_card_runs_where_there_is_no_tuner_gan(project: Path, gan: GAN) -> None:
    target = export(project)
    [code] = re.findall(r"```python\n(.*?)```", card_of(target), flags=re.DOTALL)
    python_without_tuner_gan(f'{code}\nnp.save("card.npy", images)', target)
    expected = gan.generate(64, seed=0, labels=np.arange(64) % 4)
    np.testing.assert_array_equal(np.load(target / "card.npy"), expected)


def test_its_classes_are_named_beside_it(project: Path) -> None:
    target = export(project)
    assert files.read_json(target / files.CLASS_NAMES) == {"schema": files.SCHEMA, "class_names": NAMES}
    assert "Its 4 labels, and the names of their classes: 0 cat, 1 dog, 2 2, 3 \\<emu\\>." in card_of(target)
    assert "in [-1, 1], of the class that it is told." in card_of(target)


def test_its_samples_have_a_row_for_each_class(project: Path, gan: GAN) -> None:
    with Image.open(export(project) / files.SAMPLES) as picture:
        pixels = np.asarray(picture)
    scale = round(500 / 64)
    step = 8 * scale + 1
    assert pixels.shape == (4 * step - 1, 8 * step - 1)
    images = gan.generate(32, seed=0, labels=np.repeat(np.arange(4), 8))
    shown = pixels[3 * step : 3 * step + 8 * scale : scale, step : step + 8 * scale : scale]
    np.testing.assert_array_equal(shown, images[25, ..., 0])


@pytest.mark.parametrize("names", [None, 5, NAMES[:3], [1, 2, 3, 4]])
def test_without_usable_names_the_labels_are_the_names(project: Path, names: Any) -> None:
    path = project / files.SEARCH
    content = json.loads(path.read_text())
    content["data"]["class_names"] = names
    path.write_text(json.dumps(content))
    assert files.read_json(export(project) / files.CLASS_NAMES)["class_names"] == ["0", "1", "2", "3"]


def test_an_export_over_a_conditional_one_leaves_no_names(project: Path) -> None:
    target = export(project)
    plain = make_gan(classes=0)
    plain.save_generator(project / "trial_0000" / files.GENERATOR)
    assert export(project) == target
    assert not (target / files.CLASS_NAMES).exists()
    assert "labels" not in card_of(target)


def test_many_classes_are_listed_in_the_file_only(tmp_path: Path) -> None:
    gan = make_gan(classes=120)
    names = [f"class {label}" for label in range(120)]
    folder = write_project(tmp_path / "demo", record_json("0000"), data={"class_names": names})
    gan.save_generator(folder / "trial_0000" / files.GENERATOR)
    files.write_json(folder / "trial_0000" / files.ARCHITECTURE, gan.architecture.to_json())
    target = export(folder)
    assert "99 class 99 and 20 more, listed in class\\_names.json." in card_of(target)
    assert files.read_json(target / files.CLASS_NAMES)["class_names"] == names


def test_a_class_is_found_by_its_name_or_its_label(project: Path) -> None:
    model = export(project) / files.GENERATOR
    assert [find_class(model, name, 4) for name in (*NAMES, "0", "3")] == [0, 1, 2, 3, 0, 3]
    for name in ("4", "-1", "Cat", "", "1.0", "²"):
        with pytest.raises(SelectionError, match=r"There is no class .*: choose a label from 0 to 3, or one of cat,"):
            find_class(model, name, 4)


def test_a_name_wins_over_a_label(tmp_path: Path) -> None:
    files.write_json(tmp_path / files.CLASS_NAMES, {"class_names": ["1", "2", "3"]})
    assert [find_class(tmp_path / "any.keras", name, 3) for name in "0123"] == [0, 0, 1, 2]


def test_without_names_beside_it_only_labels_count(project: Path, tmp_path: Path) -> None:
    model = Path(shutil.copy(project / "trial_0000" / files.GENERATOR, tmp_path / "alone.keras"))
    assert find_class(model, "3", 4) == 3
    with pytest.raises(SelectionError, match=r"There is no class 'cat': choose a label from 0 to 3\."):
        find_class(model, "cat", 4)


@pytest.mark.parametrize("names", [5, ["cat"], None])
def test_damaged_names_are_named(tmp_path: Path, names: Any) -> None:
    files.write_json(tmp_path / files.CLASS_NAMES, {"class_names": names})
    with pytest.raises(ProjectError, match=r"class_names\.json is damaged: expected the names of 4 classes"):
        find_class(tmp_path / "any.keras", "cat", 4)


def test_it_makes_the_same_images_after_loading(project: Path, gan: GAN) -> None:
    loaded = load_generator(project / "trial_0000" / files.GENERATOR)
    assert np.array_equal(generate_images(loaded, 5, seed=1, labels=3), gan.generate(5, seed=1, labels=3))


def test_two_inputs_that_are_no_latents_and_labels_are_refused(tmp_path: Path) -> None:
    layers = keras.layers

    def save(first: keras.KerasTensor, second: keras.KerasTensor, x: keras.KerasTensor) -> None:
        images = layers.Reshape((8, 8, 1))(layers.Dense(64)(x))
        keras.Model([first, second], images).save(tmp_path / "other.keras")

    latents, labels, more = keras.Input((5,)), keras.Input((), dtype="int32"), keras.Input((5,))
    one_hot = layers.CategoryEncoding(4, output_mode="one_hot")(labels)
    embedded = layers.Embedding(4, 5)(labels)
    for inputs, x in (
        ((latents, more), layers.Add()([latents, more])),
        ((latents, labels), layers.Concatenate()([latents, one_hot])),  # which does not tell how many classes
        ((labels, latents), layers.Add()([latents, embedded])),
    ):
        save(*inputs, x)
        with pytest.raises(ProjectError, match=r"holds no generator: expected a model from .* second input, but"):
            load_generator(tmp_path / "other.keras")
    save(latents, labels, layers.Add()([latents, embedded]))
    assert generate_images(load_generator(tmp_path / "other.keras"), 4, labels=2).shape == (4, 8, 8, 1)
