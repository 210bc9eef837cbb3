from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from PIL import Image
from project_folders import failed_json, record_json, running_json, write_project, write_trial

from tuner_gan import files
from tuner_gan.errors import ProjectError, SelectionError
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec
from tuner_gan.gan.model import GAN
from tuner_gan.images import generate_images
from tuner_gan.results import export as export_module
from tuner_gan.results.export import export, export_best, load_generator
from tuner_gan.results.model_card import card_json, model_card
from tuner_gan.results.search_results import load

WRITTEN = [
    files.ARCHITECTURE,
    files.GENERATE,
    files.GENERATOR,
    files.MODEL_CARD_JSON,
    files.MODEL_CARD,
    files.SAMPLES,
]
DATA = {"name": "digits", "fingerprint": "0123456789abcdef" * 4, "image_shape": [8, 8, 1], "images": 1078}
HOSTILE = "a|b<script>alert(1)</script>`x`[y](z)*_#\n# Owned"


@pytest.fixture(scope="module")
def gan() -> GAN:
    architecture = GANArchitecture(
        image_shape=(8, 8, 1),
        generator=GeneratorSpec("conv", latent_dim=5, widths=(8,)),
        discriminator=DiscriminatorSpec("conv", widths=(4,)),
    )
    return GAN(architecture, seed=3)


@pytest.fixture
def project(gan: GAN, tmp_path: Path) -> Path:
    """A project whose trial 0001 is the best, 0000 the second best, tutorial_dense a baseline and 0002 failed."""
    folder = write_project(
        tmp_path / "demo",
        record_json("0000", score=0.5),
        record_json("0001", score=0.25),
        failed_json("0002"),
        record_json("tutorial_dense", score=0.75, origin="baseline"),
        data=DATA,
        versions={"keras": keras.__version__, "python": "3.11"},
        config={"epochs": 10},
        seed=41,
    )
    for trial in ("0000", "0001", "tutorial_dense"):
        gan.save_generator(folder / f"trial_{trial}" / files.GENERATOR)
        files.write_json(folder / f"trial_{trial}" / files.ARCHITECTURE, gan.architecture.to_json())
    return folder


def card_of(folder: Path) -> str:
    return (folder / files.MODEL_CARD).read_text(encoding="utf-8")


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def python_without_tuner_gan(code: str, folder: Path) -> None:
    """Runs code in a process that cannot see this package, in `folder`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = f"import sys\nsys.modules['tuner_gan'] = None\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_the_best_trial_goes_to_best_and_another_to_its_own_folder(project: Path) -> None:
    assert export(project) == project / "best"
    assert export(project, "0000") == project / "export_0000"
    assert export(str(project), "0") == project / "export_0000"
    for target, trial in (("best", "0001"), ("export_0000", "0000")):
        assert sorted(path.name for path in (project / target).iterdir()) == sorted(WRITTEN)
        for name in (files.GENERATOR, files.ARCHITECTURE):
            assert (project / target / name).read_bytes() == (project / f"trial_{trial}" / name).read_bytes()
        assert f"Trial {trial} of the search demo (4 trials)." in card_of(project / target)


def test_the_end_of_a_search_keeps_what_was_exported_of_the_same_generator(project: Path) -> None:
    best, others = export(project, formats=["saved_model"]), {"generator_saved_model", files.DISCRIMINATOR}
    (best / files.DISCRIMINATOR).write_bytes(b"as --discriminator writes it")
    write_trial(project, record_json("0004", score=0.75))
    before = {path: path.stat().st_mtime_ns for path in best.rglob("*")}
    assert export_best(project) == (best, [])
    changed = {path.name for path in best.rglob("*") if before[path] != path.stat().st_mtime_ns}
    assert changed == {files.MODEL_CARD, files.MODEL_CARD_JSON}
    assert "Trial 0001 of the search demo (5 trials)." in card_of(best)
    assert [one["format"] for one in files.read_json(best / files.MODEL_CARD_JSON)["files"]] == ["keras", "saved_model"]
    # Those of a generator that is no longer the best one would be taken for it.
    change(project / "trial_0000" / files.RECORD, score=0.125)
    assert export_best(project) == (best, sorted(others))
    assert sorted(path.name for path in best.iterdir()) == sorted(WRITTEN)
    assert "Trial 0000 of the search demo (5 trials)." in card_of(best)


def test_of_two_searches_that_end_together_the_last_export_is_of_the_best(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = threading.Thread(target=export_best, args=[project])

    def slow(path: Path, trial_id: str) -> Any:
        if trial_id == "0001":  # chosen, but not written yet
            change(project / "trial_0000" / files.RECORD, score=0.125)
            other.start()
            other.join(0.5)
        return try_generator(path, trial_id)

    try_generator = export_module._try_generator
    monkeypatch.setattr(export_module, "_try_generator", slow)
    export_best(project)
    other.join()
    assert "Trial 0000 of the search demo" in card_of(project / "best")


def test_a_full_disk_at_the_end_of_a_search_costs_no_export(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best = export(project, formats=["saved_model"])
    before = sorted(best.rglob("*"))

    def full(path: Path, value: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        export_best(project)
    assert sorted(best.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (files.GENERATOR, b"of another search"),
        (files.MODEL_CARD_JSON, b"{"),
        (files.MODEL_CARD_JSON, b'{"trial_id": "0001", "epochs": 10, "files": [{"file": "generator.keras"}]}'),
        (files.SAMPLES, None),
    ],
)
def test_the_end_of_a_search_exports_anew_where_the_earlier_export_is_not_whole(
    project: Path, name: str, content: bytes | None
) -> None:
    best = export(project)
    (best / name).unlink()
    if content is not None:
        (best / name).write_bytes(content)
    assert export_best(project) == (best, [])
    assert sorted(path.name for path in best.iterdir()) == sorted(WRITTEN)
    assert (best / files.GENERATOR).read_bytes() == (project / "trial_0001" / files.GENERATOR).read_bytes()
    assert [one["format"] for one in files.read_json(best / files.MODEL_CARD_JSON)["files"]] == ["keras"]


def test_the_generator_and_the_code_of_its_card_run_where_there_is_no_tuner_gan(
    project: Path, gan: GAN, tmp_path: Path
) -> None:
    # Another process, because this one knows tuner_gan; importing TensorFlow takes it some 5 s.
    target = export(project, directory=tmp_path / "out")
    blocks = re.findall(r"```python\n(.*?)```", card_of(target), flags=re.DOTALL)
    assert len(blocks) == 1
    python_without_tuner_gan(
        f"""{blocks[0]}
np.save("card.npy", images)
loaded = keras.saving.load_model("generator.keras", safe_mode=True)
latents = np.random.default_rng(7).standard_normal((20, 5), dtype=np.float32)
np.save("loaded.npy", keras.ops.convert_to_numpy(loaded(latents)))
assert not [name for name in sys.modules if name.startswith("tuner_gan.")]
""",
        target,
    )
    images = np.load(target / "card.npy")
    assert images.shape == (64, 8, 8, 1)
    assert np.array_equal(images, gan.generate(64, seed=0))
    latents = np.random.default_rng(7).standard_normal((20, 5), dtype=np.float32)
    assert np.array_equal(np.load(target / "loaded.npy"), np.asarray(gan.ema_generator(latents)))
    # The picture of the folder shows the images that the card's code makes: 8 x 8 of them, enlarged.
    with Image.open(target / files.SAMPLES) as picture:
        pixels = np.asarray(picture)
    scale = round(500 / 64)
    step = 8 * scale + 1
    assert pixels.shape == (8 * step - 1, 8 * step - 1)
    assert np.array_equal(pixels[step : step + 8 * scale : scale, ::scale][:, :8], images[8, :, :, 0])


def test_the_architecture_can_be_built_again(project: Path, gan: GAN) -> None:
    target = export(project)
    assert GANArchitecture.from_json(files.read_json(target / files.ARCHITECTURE)) == gan.architecture


def test_the_card_says_how_good_it_is_and_what_it_was_made_from(project: Path) -> None:
    change(
        project / files.SEARCH,
        classifier={"fingerprint": "cd", "accuracy": 0.98, "floor": {"fcd": 0.0041234, "coverage": 0.875}},
    )
    card = card_of(export(project))
    assert card.startswith("# Generator of digits\n")
    assert "images of shape 8 x 8 x 1 in [-1, 1]" in card
    assert "Ranked by fcd." in card
    assert "| fcd | 0.25 | 0.004123 |" in card
    assert "| coverage | 0.75 | 0.875 |" in card
    assert "| class\\_kl | 0.5 |  |" in card  # no floor is known for it
    assert "data: digits, 1078 training images, fingerprint 0123456789abcdef\n" in card
    assert "10 epochs, best at epoch 9, seed 7\n" in card
    assert "100000 in the generator, 50000 in the discriminator" in card
    assert "oracle random, space dcgan, seed 41, settings {'epochs': 10}" in card
    assert f"versions: keras {keras.__version__}, python 3.11\n" in card
    assert "| generator\\_depth | 2 |" in card
    assert "fcd of the tutorials in the same search: tutorial\\_dense 0.75." in card
    assert "dense 0.75. It was trained for 10 epochs, this generator for 10.\n" in card
    assert "One training from one seed" in card


def test_the_card_says_how_long_each_was_trained_that_it_compares(tmp_path: Path) -> None:
    folder = write_project(
        tmp_path / "demo",
        record_json("tutorial_dense", origin="baseline", score=0.75, epochs=12),
        record_json("tutorial_conv", origin="baseline", score=0.5, epochs=8),
        record_json("0000", score=0.25, epochs=9),
        record_json("final_0000", origin="finalist", score=0.125, epochs=240),
    )
    results = load(folder)
    assert (
        "\nFor comparison, fcd of the tutorials in the same search: tutorial\\_conv 0.5, tutorial\\_dense 0.75. They "
        "were trained for 8 and 12 epochs, this generator for 240. Trial 0000, which it repeats, has 0.25 after 9.\n"
    ) in model_card(results, results.best)
    content = card_json(results, results.best)
    assert content["baselines"] == {"tutorial_conv": 0.5, "tutorial_dense": 0.75}
    assert content["repeats"] == {"trial_id": "0000", "score": 0.25, "epochs": 9}
    assert card_json(results, results.trial("0000"))["repeats"] is None


LICENCE = "CC BY 4.0 (Optical Recognition of Handwritten Digits, by E. Alpaydin and C. Kaynak)"


@pytest.mark.parametrize(
    ("data", "settings", "expected"),
    [
        ({"licence": LICENCE}, {"data": "digits"}, LICENCE),
        ({"licence": None}, {"data": "./digits"}, None),  # a folder of the user's own
        ({"licence": None}, None, None),
        ({}, {"data": "digits"}, LICENCE),  # of an earlier version
        ({}, {"data": "photos/digits"}, None),
        ({}, {"data": ["digits"]}, None),
        ({"licence": 5}, None, None),
    ],
)
def test_the_card_tells_the_licence_of_known_data_only(
    tmp_path: Path, data: dict[str, Any], settings: dict[str, Any] | None, expected: str | None
) -> None:
    folder = write_project(tmp_path / "demo", record_json(), data={**DATA, **data}, settings=settings)
    results = load(folder)
    assert card_json(results, results.best)["data"]["licence"] == expected
    told = expected or "not known to tuner\\_gan"
    assert f"\n* licence of the data: {told}\n" in model_card(results, results.best)


SEVERAL: dict[str, Any] = {
    "score_std": 0.0625,
    "score": 0.25,
    "best_execution": 2,
    "metrics": {"fcd": 0.25, "second_fcd": 0.3125},
    "executions": [
        {**record_json()["executions"][0], "execution": index, "seed": 70 + index, "score": score, "metrics": metrics}
        for index, (score, metrics) in enumerate(
            [(0.25, {"fcd": 0.25}), (0.3125, {"fcd": 0.3125}), (0.1875, {"fcd": 0.1875, "second_fcd": 0.3125})]
        )
    ],
}
"""What a record says of three trainings, after a second opinion on the best."""


def test_the_card_of_several_executions_says_their_spread_and_which_one_it_is(project: Path) -> None:
    change(project / "trial_0001" / files.RECORD, **SEVERAL)
    card = card_of(export(project))
    assert (
        "\n3 trainings from different seeds have a mean fcd of 0.25 with a standard deviation of 0.0625. This "
        "generator is the best of them, of seed 72, with 0.1875.\n"
    ) in card
    assert "One training from one seed" not in card
    assert "training: 10 epochs, best at epoch 9, seed 72, the best of 3 trainings\n" in card
    rows = [line for line in card.splitlines() if line.startswith(("| metric", "| fcd", "| second"))]
    # Nobody else was asked about second_fcd.
    assert rows == [
        "| metric | this generator | mean of 3 trainings | floor |",
        "| fcd | 0.1875 | 0.25 | 0.004 |",
        "| second\\_fcd | 0.3125 |  |  |",
    ]
    assert files.read_json(project / "best" / files.MODEL_CARD_JSON)["metrics"] == {
        "fcd": {"value": 0.1875, "mean": 0.25, "floor": 0.004},
        "second_fcd": {"value": 0.3125, "mean": None, "floor": None},
    }


@pytest.mark.parametrize(
    ("classes", "class_output", "takes", "returns"),
    [
        (0, "projection", "", "logits [N, 1]: the larger, the more real; no probabilities"),
        (
            3,
            "projection",
            ", and the labels that they are judged by, int32 [N] from 0 to 2",
            "logits [N, 1]: the larger, the more real; no probabilities",
        ),
        (3, "auxiliary", "", "logits [N, 1 + 3]: the larger the first, the more real; the others are of the classes"),
    ],
)
def test_the_card_says_what_the_discriminator_takes_and_returns(
    project: Path, gan: GAN, classes: int, class_output: Any, takes: str, returns: str
) -> None:
    spec = dataclasses.replace(gan.architecture.discriminator, class_output=class_output)
    other = GAN(dataclasses.replace(gan.architecture, discriminator=spec, classes=classes))
    other.compile()
    trial = project / "trial_0001"
    other.save_weights(trial / files.STATE)
    other.save_generator(trial / files.GENERATOR)
    files.write_json(trial / files.ARCHITECTURE, other.architecture.to_json())
    card = card_of(export(project, discriminator=True))
    takes = f"images, float32 [N, 8, 8, 1] in [-1, 1]{takes}"
    assert (
        f"\n`discriminator.keras` is the discriminator at the end of the training. It takes {takes}. It returns "
        f"{returns}.\n"
    ) in card
    assert files.read_json(project / "best" / files.MODEL_CARD_JSON)["discriminator"] == {
        "file": "discriminator.keras",
        "takes": takes,
        "returns": returns,
    }
    model = keras.saving.load_model(project / "best" / files.DISCRIMINATOR)
    assert [one.name for one in model.inputs] == ["images", "labels"][: 1 + ("labels" in takes)]
    assert model.output_shape == (None, 4 if "1 + 3" in returns else 1)
    assert "discriminator.keras" not in card_of(export(project))
    assert files.read_json(project / "best" / files.MODEL_CARD_JSON)["discriminator"] is None


class Subclass(GAN):
    """A user's own, with a layer, a weight and random numbers of its own."""

    def __init__(self, architecture: GANArchitecture, **kwargs: Any) -> None:
        super().__init__(architecture, **kwargs)
        self.critic = keras.layers.Dense(3)
        self.critic.build((None, 2))
        self.factor = self.add_weight(shape=(2,), name="factor")
        self.noise = keras.layers.GaussianNoise(0.1)


def test_the_discriminator_of_a_subclass_with_weights_of_its_own(project: Path, gan: GAN) -> None:
    other = Subclass(gan.architecture)
    other.compile()
    state = project / "trial_0001" / files.STATE
    other.save_weights(state)
    model = keras.saving.load_model(export(project, discriminator=True) / files.DISCRIMINATOR)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(model(images), other.discriminator(images), rtol=1e-4, atol=1e-6)
    with h5py.File(state, "a") as file:
        del file["discriminator"]
    with pytest.raises(ProjectError, match=r"^The discriminator of trial 0001 cannot be exported: .*weights\.h5 is "):
        export(project, discriminator=True)


def test_the_card_of_a_finalist_says_what_it_repeats(project: Path) -> None:
    again = project / "trial_final_0001"
    shutil.copytree(project / "trial_0001", again)
    change(again / files.RECORD, trial_id="final_0001", origin="finalist", score=0.75, score_std=0.25)
    single = card_of(export(project))  # the best one, whatever its score
    assert "Trial final\\_0001 of the search demo (5 trials)." in single
    said = "A finalist: it repeats trial 0001, with seeds that had no part in choosing that trial. "
    assert f"\n{said}One training from one seed: another seed typically" in single
    change(again / files.RECORD, **SEVERAL)
    assert f"\n{said}3 trainings from different seeds have a mean fcd of 0.25 with" in card_of(export(project))


def test_the_card_lists_every_metric_with_its_floor_if_it_has_one(project: Path) -> None:
    metrics = {f"score_{i}": i + 0.5 for i in range(26)}
    floor = {f"score_{i}": i / 4 for i in range(26) if i % 3} | {"score_3": None, "score_6": "low", "of_none": 0.5}
    change(project / "trial_0001" / files.RECORD, metrics=metrics)
    change(project / files.SEARCH, classifier={"floor": floor})
    rows = re.findall(r"^\| score\\_(\d+) \| (\S+) \| (\S*) ?\|$", card_of(export(project)), flags=re.MULTILINE)
    assert rows == [(str(i), f"{i + 0.5:.4g}", f"{i / 4:.4g}" if i % 3 else "") for i in range(26)]


def test_the_card_says_what_each_flag_means(project: Path) -> None:
    change(project / "trial_0001" / files.RECORD, flags=["memorising", "adversarial", "blurred"])
    card = card_of(export(project))
    expected = [
        "What is wrong with it:",
        "",
        "* memorising: it reproduces training images; do not publish its output without checking.",
        "* adversarial: a second classifier sees far worse images than the one it was ranked by; do not trust its "
        "score.",
        "* blurred: this version of tuner\\_gan does not know this flag.",
        "",
    ]
    assert "\n".join(expected) in card
    assert card.index("## Scores") < card.index("| fcd |") < card.index(expected[0]) < card.index("## Made from")
    assert "No flag was raised." not in card


def test_the_card_says_that_no_flag_was_raised_only_where_one_could_have_been(project: Path) -> None:
    card = card_of(export(project))
    assert "|\n\nNo flag was raised.\n\n" in card
    assert "What is wrong" not in card
    change(project / "trial_0001" / files.RECORD, metrics={})
    assert "flag" not in card_of(export(project))


def test_the_floor_on_the_classifier_s_card_counts(project: Path) -> None:
    (project / files.CLASSIFIER_DIR).mkdir()
    files.write_json(project / files.CLASSIFIER_DIR / files.CARD, {"schema": 1, "floor": {"fcd": 0.5}})
    assert "| fcd | 0.25 | 0.5 |" in card_of(export(project))


def test_hostile_names_become_no_markup(project: Path) -> None:
    change(
        project / files.SEARCH,
        name=HOSTILE,
        data={"name": HOSTILE, "fingerprint": HOSTILE, "images": HOSTILE, "image_shape": [HOSTILE, 1]},
        objective={"name": HOSTILE, "direction": "min"},
        oracle=HOSTILE,
        seed=HOSTILE,
        config={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        space={"name": HOSTILE, "hyperparameters": []},
    )
    change(
        project / "trial_0001" / files.RECORD,
        hyperparameters={HOSTILE: HOSTILE},
        metrics={HOSTILE: 0.25},
        flags=[HOSTILE],
        score_std=0.5,
    )
    card = card_of(export(project))
    plain = card_of(project / "best").replace("```python", "").replace("```", "")
    plain = plain.replace("`python generate.py -n 64 -o images.npz`", "")
    prose = re.sub(r"import keras.*?uint8\)\n", "", plain, flags=re.DOTALL)
    assert "alert(1)" in prose
    assert not re.search(r"(?<!\\)[`<>*]", re.sub(r"^\* ", "", prose, flags=re.MULTILINE))
    assert not re.search(r"(?<!\\)\]\(", prose)
    assert [line for line in card.splitlines() if line.startswith("#")] == [
        line for line in card.splitlines() if re.match(r"# Generator of a|## (Load it|Scores|Made from|Use)$", line)
    ]
    for line in prose.splitlines():
        if line.startswith("|") and "generator.keras" not in line and "bytes" not in line and line.count("---") < 5:
            cells = re.split(r"(?<!\\)\|", line)
            assert len(cells) == (5 if "0.25" in line or "floor" in line or line.count("---") == 3 else 4), line


def test_a_project_that_lost_what_search_json_told_can_still_be_exported(project: Path) -> None:
    change(project / files.SEARCH, data=None, versions=[], classifier={"floor": None}, space=5, config=None, seed=None)
    with pytest.warns(UserWarning, match="'space' is not what a search writes"):
        card = card_of(export(project))
    assert "# Generator of unknown data" in card
    assert "images of shape unknown" in card
    assert "| fcd | 0.25 |  |" in card


def test_a_folder_keeps_what_else_it_holds(project: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    target.mkdir(parents=True)
    (target / "notes.txt").write_text("mine", encoding="utf-8")
    (target / files.GENERATOR).write_text("an older export", encoding="utf-8")
    assert export(project, "0000", target) == target
    assert sorted(path.name for path in target.iterdir()) == sorted([*WRITTEN, "notes.txt"])
    assert (target / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert (target / files.GENERATOR).read_bytes() == (project / "trial_0000" / files.GENERATOR).read_bytes()


def test_a_trial_can_be_exported_to_its_own_folder(project: Path) -> None:
    folder = project / "trial_0000"
    before = (folder / files.GENERATOR).read_bytes()
    assert export(project, "0000", folder) == folder
    assert (folder / files.GENERATOR).read_bytes() == before


def test_a_trial_that_is_interrupted_but_has_a_generator_can_be_exported(project: Path) -> None:
    shutil.copy(project / "trial_0000" / files.GENERATOR, write_trial(project, running_json("0003")))
    shutil.copy(project / "trial_0000" / files.ARCHITECTURE, project / "trial_0003")
    card = card_of(export(project, "0003"))
    assert "training: unknown epochs, best at epoch unknown, seed 123456789" in card
    assert "None" not in card


def test_a_failed_trial_is_refused_with_its_message(project: Path) -> None:
    with pytest.raises(SelectionError) as raised:
        export(project, "0002")
    assert str(raised.value) == (
        "Trial 0002 has no generator and cannot be exported: it is FAILED: generator loss is NaN at epoch 3."
    )
    assert not (project / "export_0002").exists()


def test_a_trial_that_failed_after_a_score_is_refused_as_well(project: Path) -> None:
    shutil.copy(project / "trial_0000" / files.GENERATOR, project / "trial_0002")
    with pytest.raises(SelectionError, match="Trial 0002 cannot be exported: it is FAILED: generator loss is NaN"):
        export(project, "0002")


def test_an_unknown_trial_and_one_without_a_generator_are_refused(project: Path) -> None:
    with pytest.raises(SelectionError, match=r"no trial '9' .*: choose best or one of 0000, 0001, 0002"):
        export(project, "9")
    (project / "trial_0001" / files.GENERATOR).unlink()
    with pytest.raises(SelectionError, match="Trial 0001 has no generator and cannot be exported: it is COMPLETED"):
        export(project)


@pytest.mark.filterwarnings("ignore:Trial 0000 is left out:UserWarning")
def test_a_trial_whose_record_is_damaged_is_refused(project: Path) -> None:
    (project / "trial_0000" / files.RECORD).write_text("{", encoding="utf-8")
    with pytest.raises(SelectionError, match=r"it is UNREADABLE: .*record\.json is damaged"):
        export(project, "0000")
    assert export(project).name == "best"


def test_a_project_without_a_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SelectionError, match=r"no trial with a score .* most frequent reason is: generator loss is NaN"
    ):
        export(write_project(tmp_path / "demo", failed_json()))
    with pytest.raises(SelectionError, match="has no trial yet"):
        export(write_project(tmp_path / "empty"))
    with pytest.raises(ProjectError, match="is no tuner_gan project"):
        export(tmp_path)


def test_damaged_files_of_a_trial_are_named_and_nothing_is_written(project: Path, gan: GAN) -> None:
    generator, architecture = (project / "trial_0001" / name for name in (files.GENERATOR, files.ARCHITECTURE))
    whole = generator.read_bytes()
    for content in (b"", b"no model", whole[: len(whole) // 2]):
        generator.write_bytes(content)
        with pytest.raises(
            ProjectError, match=f"{re.escape(str(generator))} cannot be loaded as a Keras model: ."
        ) as raised:
            export(project)
        assert "\n" not in str(raised.value)
    generator.write_bytes(whole)
    architecture.write_text("{", encoding="utf-8")
    with pytest.raises(ProjectError, match=r"architecture\.json is damaged"):
        export(project)
    architecture.unlink()
    with pytest.raises(ProjectError, match=r"architecture\.json cannot be read: No such file"):
        export(project)
    assert not (project / files.BEST_DIR).exists()


@pytest.mark.parametrize(("target", "held"), [("trial_0000", files.RECORD), ("", files.SEARCH)])
def test_the_folder_of_another_trial_or_of_a_search_stays_as_it_is(project: Path, target: str, held: str) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    message = f"{project / target} is the folder of another trial or of a search ({held} is in it): choose another"
    with pytest.raises(ProjectError, match=f"^{re.escape(message)} folder.$"):
        export(project, directory=project / target)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_a_generator_that_makes_nan_is_refused(project: Path, gan: GAN) -> None:
    broken = keras.models.clone_model(gan.generator)
    broken.set_weights([np.full_like(weight, np.nan) for weight in broken.get_weights()])
    broken.save(project / "trial_0001" / files.GENERATOR)
    with pytest.raises(ProjectError, match=r"generator of trial 0001 cannot be exported: .*must be finite"):
        export(project)
    assert not (project / files.BEST_DIR).exists()


def test_a_folder_that_cannot_be_written_is_named(project: Path, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("x", encoding="utf-8")
    for target in (tmp_path / "file.txt", tmp_path / "file.txt" / "out"):
        with pytest.raises(ProjectError, match="cannot be written"):
            export(project, directory=target)


def test_a_generator_makes_the_same_images_after_loading(project: Path, gan: GAN) -> None:
    loaded = load_generator(project / "trial_0001" / files.GENERATOR)
    assert np.array_equal(generate_images(loaded, 5, seed=1), gan.generate(5, seed=1))
    assert loaded.trainable  # as a start for training on


def test_the_generator_of_a_whole_gan_is_its_averaged_one(tmp_path: Path, gan: GAN) -> None:
    trained = GAN(gan.architecture, seed=4)
    trained.generator.set_weights(gan.generator.get_weights())
    trained.save(tmp_path / "gan.keras")
    loaded = load_generator(tmp_path / "gan.keras")
    assert np.array_equal(generate_images(loaded, 5, seed=1), trained.generate(5, seed=1))
    assert not np.array_equal(generate_images(loaded, 5, seed=1), generate_images(trained.generator, 5, seed=1))


def test_a_file_that_holds_no_generator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"none\.keras is no file"):
        load_generator(tmp_path / "none.keras")
    with pytest.raises(ProjectError, match="is no file"):
        load_generator(tmp_path)
    for shape in ((5,), (None,), (8, 8, 1)):
        inputs = keras.Input(shape)
        outputs = keras.layers.Dense(3)(inputs) if None not in shape else keras.layers.Reshape((8, 8, 1))(inputs)
        keras.Model(inputs, outputs).save(tmp_path / "other.keras")
        with pytest.raises(ProjectError, match="holds no generator: expected a model from"):
            load_generator(tmp_path / "other.keras")


def test_a_model_that_would_run_its_own_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "unsafe.keras"
    inputs = keras.Input((5,))
    hidden = keras.layers.Lambda(lambda x: x + 1, output_shape=(5,))(inputs)
    keras.Model(inputs, keras.layers.Reshape((8, 8, 1))(keras.layers.Dense(64)(hidden))).save(path)
    with pytest.raises(ProjectError, match="cannot be loaded as a Keras model"):
        load_generator(path)
