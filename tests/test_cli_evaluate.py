"""The command `evaluate`: any generator or set of images beside held-out real digits."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from cli_runs import call, digits, run_python
from PIL import Image
from short_trainings import short_trainings

from tuner_gan import datasets
from tuner_gan.datasets import ImageDataset
from tuner_gan.quality.catalogue import EVERY, METRICS, SECOND
from tuner_gan.quality.evaluation import evaluate

Array = npt.NDArray[Any]
Capture = pytest.CaptureFixture[str]

DATA = ("--data", "digits")
KEYS = ["images", "against", "flags", "message", "scores", "floor", "fingerprint", "evaluator"]


@pytest.fixture(autouse=True)
def _in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


_short = pytest.fixture(short_trainings, scope="module", autouse=True)


@pytest.fixture(scope="module")
def fresh() -> ImageDataset:
    """Real digits that the classifier was not trained on."""
    return datasets.load("digits").split(seed=0).holdout


def refused(capsys: Capture, *arguments: str) -> str:
    found = call(capsys, "evaluate", *arguments)
    assert (found.code, found.out) == (2, "")
    return found.error()


def evaluated(capsys: Capture, *arguments: str) -> dict[str, Any]:
    found = call(capsys, "evaluate", *arguments, *DATA, "--format", "json")
    assert (found.code, found.err) == (0, "")
    content: dict[str, Any] = json.loads(found.out)
    assert list(content) == KEYS
    return content


def save_images(images: Array, folder: str, side: int = 8) -> str:
    Path(folder).mkdir()
    for index, pixels in enumerate(images[..., 0]):
        Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST).save(f"{folder}/{index:04}.png")
    return folder


def save_generator(level: float | None = None, side: int = 8) -> str:
    """Noise of its latents, or every pixel of one level."""
    initializers = keras.initializers
    kernel = initializers.RandomNormal(seed=1) if level is None else "zeros"
    bias = initializers.Constant(level or 0.0)
    dense = keras.layers.Dense(side**2, kernel_initializer=kernel, bias_initializer=bias)
    keras.Sequential([keras.Input((16,)), dense, keras.layers.Reshape((side, side, 1))]).save("generator.keras")
    return "generator.keras"


# Images.


def test_images_of_an_archive_as_a_table(capsys: Capture, fresh: ImageDataset) -> None:
    np.savez("samples.npz", images=fresh.images)
    found = call(capsys, "evaluate", "samples.npz", *DATA)
    assert (found.code, found.err) == (0, "")
    first, *lines, last = found.out.splitlines()
    assert re.fullmatch(
        r"359 images against 360 of digits; reference classifier: held-out accuracy \d\d\.\d%, floor fcd 0\.\d+", first
    )
    assert last == "flags: none"
    heading = next(line for line in lines if "metric" in line)
    assert re.findall(r"\w+", heading) == ["metric", "value", "floor", "better", "meaning"]
    rows = {line.split()[0]: line for line in lines if line.split() and line.split()[0] in EVERY}
    assert list(rows) == [*METRICS, *SECOND]
    expected = evaluate(ImageDataset("x", fresh.images, None), datasets.load("digits").split(seed=0)).scores
    for name, row in rows.items():
        value, floor, better = row.split()[1:4]
        if name not in ("fcd_se", "fcd_infinity", "kid_se", "classifier_score_std"):  # those depend on the order
            assert value == floor  # these images are the held-out ones
        assert float(value) == pytest.approx(expected[name], rel=1e-2)
        assert better == EVERY[name].better
    assert all(len(line) <= 160 for line in found.out.splitlines())


def test_labels_add_cas(capsys: Capture, fresh: ImageDataset) -> None:
    assert fresh.labels is not None
    np.savez("right.npz", x=fresh.images, y=fresh.labels)
    right = evaluated(capsys, "right.npz")
    assert list(right["scores"]) == list(right["floor"]) == list(EVERY)
    assert right["floor"]["cas"] == right["evaluator"]["accuracy"]
    assert right["scores"]["cas"] > 0.8


def test_it_prints_what_the_function_gives(capsys: Capture, fresh: ImageDataset) -> None:
    np.savez("samples.npz", images=fresh.images)
    found = evaluated(capsys, "samples.npz")
    expected = evaluate(ImageDataset("x", fresh.images, None), datasets.load("digits").split(seed=0))
    assert found == json.loads(json.dumps(expected.to_json()))
    assert (found["images"], found["flags"], found["message"]) == (359, [], None)
    assert found["evaluator"]["seed"] == 0


@pytest.mark.filterwarnings("always::UserWarning")  # forty images are few
def test_a_folder_of_images_is_resized(capsys: Capture, fresh: ImageDataset) -> None:
    folder = save_images(fresh.images[:40], "pictures", side=16)
    assert call(capsys, "evaluate", folder, *DATA).code == 2
    found = call(capsys, "evaluate", folder, *DATA, "--image-size", "8", "--format", "json")
    assert found.code == 0
    assert found.err.splitlines() == [line for line in found.err.splitlines() if "images are few" in line]
    content = json.loads(found.out)
    assert (content["images"], content["evaluator"]["samples"]) == (40, 40)
    assert "fcd_infinity" not in content["scores"]
    np.savez("same.npz", images=datasets.load_samples(folder, (8, 8)).images)
    assert json.loads(call(capsys, "evaluate", "same.npz", *DATA, "--format", "json").out) == content


def test_copies_and_missing_classes_raise_their_flags(capsys: Capture, fresh: ImageDataset) -> None:
    train = datasets.load("digits").split(seed=0).train
    np.savez("copies.npz", images=train.images[:300])
    assert evaluated(capsys, "copies.npz")["flags"] == ["memorising"]
    assert fresh.labels is not None
    np.savez("zeros.npz", images=fresh.images[np.resize(np.flatnonzero(fresh.labels < 3), 300)])
    found = call(capsys, "evaluate", "zeros.npz", *DATA)
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines()[-1] == "flags: collapsed"


def test_against_other_images(capsys: Capture, fresh: ImageDataset) -> None:
    np.savez("samples.npz", images=fresh.images)
    folder = save_images(datasets.load("digits").split(seed=0).train.images[:200], "others")
    other, usual = evaluated(capsys, "samples.npz", "--against", folder), evaluated(capsys, "samples.npz")
    assert (other["evaluator"]["reference_images"], usual["evaluator"]["reference_images"]) == (200, 360)
    assert other["fingerprint"] != usual["fingerprint"]
    assert other["scores"]["fcd"] != usual["scores"]["fcd"]
    assert "359 images against 200" in call(capsys, "evaluate", "samples.npz", *DATA, "--against", folder).out


def test_constant_images_are_told_and_no_error(capsys: Capture) -> None:
    np.savez("samples.npz", images=np.full((200, 8, 8), 90, np.uint8))
    found = call(capsys, "evaluate", "samples.npz", *DATA)
    assert (found.code, found.err) == (0, "")
    first, *rest = found.out.splitlines()
    assert first.startswith("200 images against 360 of digits; ")
    assert " ".join(rest).startswith("flags: constant (all 200 images are the same: the generator has collapsed")
    content = evaluated(capsys, "samples.npz")
    assert (content["images"], content["flags"], content["scores"], content["floor"]) == (200, ["constant"], {}, {})
    assert "all 200 images are the same" in content["message"]


# Generators.


def test_a_generator(capsys: Capture) -> None:
    content = evaluated(capsys, save_generator())
    assert (content["images"], content["evaluator"]["samples"]) == (500, 500)
    assert list(content["scores"]) == list(content["floor"]) == [*METRICS, *SECOND]
    assert content["scores"]["fcd"] > 20 * content["floor"]["fcd"]
    assert content["flags"] == ["collapsed"]  # it covers nothing


def test_a_generator_that_diverged_or_makes_one_image(capsys: Capture) -> None:
    for level, flag, words in (
        (math.nan, "diverged", "NaN or infinity"),
        (-0.3, "constant", "all 500 images are the same"),
    ):
        content = evaluated(capsys, save_generator(level))
        assert (content["flags"], content["scores"]) == ([flag], {})
        assert words in content["message"]


def test_features_of_the_users_own(capsys: Capture, fresh: ImageDataset) -> None:
    np.savez("samples.npz", images=fresh.images)
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.AveragePooling2D(2), keras.layers.Flatten()]).save("f.keras")
    content = evaluated(capsys, "samples.npz", "--features", "f.keras")
    assert content["evaluator"]["kind"] == "features"
    assert set(content["scores"]) == {name for name in (*METRICS, *SECOND) if not EVERY[name].needs_classes}
    found = call(capsys, "evaluate", "samples.npz", *DATA, "--features", "f.keras")
    assert "360 of digits; reference features: floor fcd 0.0" in found.out


# Where it goes.


def test_it_goes_to_a_file_in_the_format_of_its_suffix(capsys: Capture, fresh: ImageDataset) -> None:
    np.savez("samples.npz", images=fresh.images)
    for arguments in (("-o", "deep/a.json"), ("-o", "deep/b.txt", "--format", "json"), ("-o", "deep/c.txt")):
        found = call(capsys, "evaluate", "samples.npz", *DATA, *arguments)
        assert (found.code, found.out, found.err) == (0, "", "")
    written = Path("deep/a.json").read_text(encoding="utf-8")
    assert written == Path("deep/b.txt").read_text(encoding="utf-8")
    assert list(json.loads(written)) == KEYS
    text = Path("deep/c.txt").read_text(encoding="utf-8")
    assert text.startswith("359 images against 360 of digits; ")
    assert text.endswith("flags: none\n")
    assert all(name in text for name in (*METRICS, *SECOND, "floor"))
    assert "\x1b" not in text
    assert sorted(path.name for path in Path("deep").iterdir()) == ["a.json", "b.txt", "c.txt"]


def test_in_a_process_of_its_own(tmp_path: Path, fresh: ImageDataset) -> None:
    # About 15 seconds: TensorFlow, and two classifiers that are hardly trained.
    np.savez("samples.npz", images=fresh.images)
    code = (
        "import sys; from tuner_gan.quality import classifier; from tuner_gan.cli import main; "
        "classifier.STEPS = (5, 5); sys.exit(main(sys.argv[1:]))"
    )
    arguments = ("evaluate", "samples.npz", *DATA, "--seed", "1", "-o", "scores.json")
    found = run_python("-c", code, *arguments, folder=tmp_path, TF_CPP_MIN_LOG_LEVEL="3")
    assert (found.code, found.out) == (0, "")
    assert "Traceback" not in found.err
    content = json.loads(Path("scores.json").read_text(encoding="utf-8"))
    assert list(content) == KEYS
    assert content["evaluator"]["seed"] == 1
    assert set(content["scores"]) == {*METRICS, *SECOND}


# What cannot be evaluated.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no.npz", *DATA), "There is no dataset, file or folder 'no.npz'"),
        (("no.keras", *DATA), "no.keras is no file: expected a generator saved as .keras."),
        (("few.npz", *DATA), "At least 30 images are needed to judge them, got 29"),
        (("some.npz", *DATA, "--seed", "-1"), "--seed must be an integer from 0, but got -1."),
        (("some.npz", *DATA, "--image-size", "big"), "Expected an image size such as 64 or 48x64"),
        (("some.npz", *DATA, "--image-size", "4"), "image_size must be (height, width)"),
        (("some.npz", "--data", "digts"), "no dataset, file or folder 'digts' (did you mean 'digits'?)"),
        (("some.npz", *DATA, "--against", "nowhere"), "There is no dataset, file or folder 'nowhere'"),
        (("some.npz", *DATA, "--against", "few.npz"), "At least 30 images are needed to judge them, got 29"),
        (("some.npz", *DATA, "--features", "MobileNetV9"), "features must be the name of a network of keras.appl"),
        (("some.npz", *DATA, "--features", "no.keras"), "no.keras is no file: expected a feature extractor"),
        (("text.keras", *DATA), "text.keras cannot be loaded as a Keras model"),
        (("some.npz", *DATA, "-o", "text.keras/scores.json"), "text.keras cannot be written ("),
        (("some.npz", *DATA, "-o", "scores.csv"), "evaluate writes a table or JSON, not scores.csv: let FILE end in"),
    ],
)
def test_what_cannot_be_evaluated(capsys: Capture, arguments: tuple[str, ...], words: str) -> None:
    np.savez("few.npz", images=digits(29))
    np.savez("some.npz", images=digits(200))
    Path("text.keras").write_text("no model", encoding="utf-8")
    assert words in refused(capsys, *arguments)


@pytest.mark.parametrize(("output", "words"), [(".", ".: Is a directory."), ("file.txt/a.json", "cannot be written (")])
def test_an_output_that_cannot_be_written_is_told_before_a_classifier_is_trained(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, output: str, words: str
) -> None:
    Path("file.txt").touch()
    np.savez("some.npz", images=digits(200))
    monkeypatch.delattr("tuner_gan.quality.evaluation.evaluate")
    assert words in refused(capsys, "some.npz", *DATA, "-o", output)


def test_images_of_another_size(capsys: Capture) -> None:
    np.savez("large.npz", images=digits(60).repeat(2, axis=1))
    np.savez("some.npz", images=digits(200))
    for arguments in (("large.npz",), ("some.npz", "--against", "large.npz"), (save_generator(side=10),)):
        said = refused(capsys, *arguments, *DATA)
        assert "all images must have the shape of the data, (8, 8, 1), but " in said


def test_a_model_that_is_no_generator(capsys: Capture) -> None:
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]).save("features.keras")
    said = refused(capsys, "features.keras", *DATA)
    assert "features.keras holds no generator: expected a model from [N, latent_dim] to [N, H, W, C]" in said
