"""Bad input of every kind, through the command line: one sentence on stderr, exit code 2 or 3, no traceback."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cli_runs import ROOT, SEARCH, Run, call, copy_search, digits, run, search_once
from PIL import Image

from tuner_gan import files
from tuner_gan.cli import main
from tuner_gan.gan.losses import LOSSES
from tuner_gan.search_spaces import SPACES

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return search_once(tmp_path_factory.getbasetemp())[0]


@pytest.fixture
def project(searched: Path, tmp_path: Path) -> Path:
    return copy_search(searched, tmp_path).relative_to(tmp_path)


def refused(capsys: Capture, *arguments: str, code: int = 2) -> str:
    """Runs a command that must fail, and returns what it says."""
    found = call(capsys, *arguments)
    assert found.code == code
    return found.error()


def contains(said: str, *words: str) -> bool:
    return all(word in said for word in words)


# Names.


def test_an_unknown_data_set(capsys: Capture) -> None:
    said = refused(capsys, "search", "--data", "mnits")
    assert contains(said, "no dataset, file or folder 'mnits' (did you mean 'mnist'?)", "digits", "cifar10", "a path")
    assert contains(refused(capsys, "search", "--data", ""), "no dataset, file or folder ''")
    assert not Path("runs").exists()


def test_an_unknown_search_space(capsys: Capture) -> None:
    expected = "Unknown search space 'dcgn' (did you mean 'dcgan'?): choose one of dcgan, mlp, progressive, resnet."
    assert refused(capsys, "search", "--space", "dcgn") == expected
    assert refused(capsys, "spaces", "dcgn") == expected


def test_an_unknown_oracle(capsys: Capture) -> None:
    said = refused(capsys, "search", "--oracle", "bayes")
    known = "tpe, cmaes, qmc, random, nsga2, bayesian, hyperband, grid"
    assert said == f"Unknown oracle 'bayes' (did you mean 'bayesian'?): choose one of {known}."


@pytest.mark.parametrize("arguments", [("--sort", "scor"), ("--sort=-scor",), ("--columns", "rank,scor")])
def test_an_unknown_column(project: Path, capsys: Capture, arguments: tuple[str, ...]) -> None:
    said = refused(capsys, "trials", str(project), *arguments)
    assert contains(said, "no column 'scor': did you mean 'score'?", "rank, trial_id, status", "metric.fcd")


def test_an_empty_column(project: Path, capsys: Capture) -> None:
    assert "no column ''" in refused(capsys, "trials", str(project), "--columns", "rank,")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["COMMAND"]),
        (("serch",), ["invalid choice: 'serch'"]),
        (("search", "--epochs", "three"), ["--epochs", "invalid int value: 'three'"]),
        (("search", "--finalists", "all"), ["--finalists", "invalid int value: 'all'"]),
        (("evaluate",), ["SAMPLES.npz", "--data"]),
        (("evaluate", "a.npz"), ["--data"]),
        (("evaluate", "a.npz", "--data", "digits", "--format", "csv"), ["--format", "'csv'", "json"]),
        (("search", "--epoks", "3"), ["unrecognized arguments: --epoks"]),
        (("trials",), ["FOLDER"]),
        (("trials", "x", "--format", "xml"), ["--format", "'xml'", "markdown"]),
        (("generate", "x.keras"), ["-o/--output"]),
    ],
)
def test_arguments_that_do_not_parse(capsys: Capture, arguments: tuple[str, ...], words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    *usage, last = capsys.readouterr().err.splitlines()
    assert usage[0].startswith("usage: tuner-gan")
    assert contains(last, "error: ", *words)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--max-trials", "0"), "max_trials must be an integer from 1, but got 0."),
        (("--epochs", "0"), "epochs must be an integer from 1, but got 0."),
        (("--executions", "-1"), "executions must be an integer from 1, but got -1."),
        (("--seed", "-1"), "seed must be an integer from 0, but got -1."),
        (("--finalists", "-1"), "finalists must be an integer from 0, but got -1."),
        (("--finalist-seeds", "0"), "finalist_seeds must be an integer from 1, but got 0."),
        (
            ("--objective", "fdc"),
            "objective must be one of fcd, kid, coverage, mind, classifier_score, but got 'fdc' (did you mean 'fcd'?).",
        ),
        (("--max-time", "soon"), "max_time: expected a time such as 90s, 5m or 1h30m, but got 'soon'."),
        (("--image-size", "big"), "Expected an image size such as 64 or 48x64 (height x width), but got 'big'."),
        (("--image-size", "7x8"), "image_size must be (height, width), two whole numbers from 8 to 256, got (7, 8)."),
        (("--baselines", "some"), "baselines must be 'all' or 'none', but got 'some'."),
        (("--set", "beta1"), "Expected such as --set loss=hinge, but got 'beta1'."),
        (("--set", "beta1=0", "--range", "beta1=0"), "beta1 is in both set and range: keep it in one of them."),
        (("--name", "../up"), "name must be the name of one folder, without slashes, but got '../up'."),
    ],
)
def test_a_setting_out_of_its_range(capsys: Capture, arguments: tuple[str, ...], expected: str) -> None:
    assert refused(capsys, "search", "--data", "digits", *arguments) == expected
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--set", "generator_dept=1"),
            ["no hyperparameter 'generator_dept' (did you mean 'generator_depth'?)", "beta1"],
        ),
        (("--set", "generator_depth=9"), ["generator_depth must be an integer from 1 to", ", but got 9."]),
        (("--set", "generator_lr=fast"), ["generator_lr must be a number from 5e-05 to 0.003, but got 'fast'."]),
        (("--default", "batch_size=65"), ["batch_size must be one of 64, 128, but got 65."]),
        (("--range", "generator_lr=1e-9:1e-3"), ["generator_lr must be a number from 5e-05 to 0.003, but got 1e-09."]),
        (("--range", "generator_lr=1e-3:1e-4"), ["range of generator_lr must be two numbers", "got (0.001, 0.0001)."]),
        (("--range", "generator_depth=1,2"), ["range of generator_depth must be two integers", "got {1, 2}."]),
        (
            ("--range", "batch_size=64:128"),
            ["batch_size takes a list of some of 64, 128 (--range batch_size=64,128), but got (64, 128)."],
        ),
    ],
)
def test_steering_that_does_not_fit_the_space(
    searched: Path, tmp_path: Path, capsys: Capture, arguments: tuple[str, ...], words: list[str]
) -> None:
    assert contains(refused(capsys, *SEARCH[:3], *arguments), *words)
    assert not list(Path("runs").rglob("*"))  # told before any classifier is trained
    assert contains(refused(capsys, "spaces", "dcgan", *arguments), *words)
    # Neither does a slip delete the earlier search.
    project = copy_search(searched, tmp_path)
    refused(capsys, *SEARCH, "--overwrite", *arguments)
    assert (project / "trial_0" / "record.json").is_file()


@pytest.mark.parametrize(
    ("flag", "content", "words"),
    [
        ("--enqueue", '[{"generator_dept": 3}]', "There is no hyperparameter 'generator_dept' (did you mean"),
        ("--enqueue", "[3]", "must hold a list of points"),
        ("--features", "", "cannot be loaded as a feature extractor"),
    ],
)
@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_a_slip_does_not_delete_the_earlier_search(
    searched: Path,
    tmp_path: Path,
    capsys: Capture,
    flag: str,
    content: str,
    words: str,
    workers: tuple[str, ...],
) -> None:
    project = copy_search(searched, tmp_path)
    Path("file.keras").write_text(content, encoding="utf-8")
    assert words in refused(capsys, *SEARCH, "--overwrite", flag, "file.keras", *workers)
    assert (project / "trial_0" / "record.json").is_file()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("runs/study.db", "storage must be the URL of a database, such as postgresql://user@host/name"),
        (
            "sqlite+missing:///study.db",
            "whose driver is installed, but got sqlite+missing:///study.db: Can't load plugin",
        ),
        ("sqlite:///no/such/folder/study.db", "The study in the storage cannot be used (unable to open database file)"),
        ("sqlite:///text.db", "The study in the storage is damaged (file is not a database)."),
    ],
)
@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_a_storage_that_cannot_be_used_is_told_before_the_images_are_loaded(
    url: str, words: str, workers: tuple[str, ...], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner_gan.search.storage.SECONDS_TO_BEGIN", 0.0)
    Path("text.db").write_text("five years of a thesis")
    found = call(capsys, *SEARCH, "--storage", url, *workers)
    assert words in found.error()
    assert (found.code, found.out) == (2, "")
    assert not Path("runs").exists()


@pytest.mark.parametrize("workers", [(), ("--workers", "2"), ("--workers", "2", "--overwrite")])
def test_a_folder_that_is_searched_in_is_told_before_the_images_are_loaded(
    searched: Path, tmp_path: Path, capsys: Capture, workers: tuple[str, ...]
) -> None:
    project = copy_search(searched, tmp_path)
    with files.search_lock(project):
        found = call(capsys, *SEARCH, *workers)
    advice = "wait for it, or choose another project name (--name)."
    words = f"runs/demo is in use by a search with process id {os.getpid()}: {advice}"
    assert (found.code, found.out, found.error()) == (2, "", words)


@pytest.mark.parametrize("alone", [(), ("--workers", "2", "--overwrite")])
def test_a_folder_in_which_workers_search_is_told_before_the_images_are_loaded(
    searched: Path, tmp_path: Path, capsys: Capture, alone: tuple[str, ...]
) -> None:
    project = copy_search(searched, tmp_path)
    with files.worker_lock(project, "a"):
        found = call(capsys, *SEARCH, *alone)
    assert (found.code, found.out) == (2, "")
    assert f"in use by a search with process id {os.getpid()}" in found.error()


def test_steering_no_space_in_particular(capsys: Capture) -> None:
    said = refused(capsys, "spaces", "--range", "batch_size=64")
    assert said == f"--range needs the name of a space: choose one of {', '.join(SPACES)}."


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ("MobileNetV9", ["features must be the name of a network of keras.applications", "'MobileNetV9'", "did you"]),
        ("nothing.keras", ["nothing.keras is no file: expected a feature extractor saved as .keras."]),
        ("text.keras", ["text.keras cannot be loaded as a feature extractor"]),
    ],
)
def test_features_that_cannot_be_used(capsys: Capture, features: str, words: list[str]) -> None:
    Path("text.keras").write_text("no model", encoding="utf-8")
    assert contains(refused(capsys, *SEARCH, "--features", features), *words)
    assert not list(Path().rglob("card.json"))


def test_an_objective_of_classes_without_a_classifier_of_them(capsys: Capture) -> None:
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]).save("mine.keras")
    said = refused(capsys, *SEARCH, "--features", "mine.keras", "--objective", "classifier_score")
    assert said == (
        "The objective 'classifier_score' needs labels, and a classifier of them in place of other features: choose "
        "fcd, kid, coverage or mind."
    )


def test_a_search_by_another_objective_or_features(project: Path, capsys: Capture) -> None:
    said = refused(capsys, *SEARCH, "--objective", "coverage")
    assert contains(said, f"{project} holds a search with another objective", "fcd", "coverage", "choose another")
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]).save("mine.keras")
    said = refused(capsys, *SEARCH, "--features", "mine.keras")
    assert contains(said, f"{project / 'classifier'} holds another feature extractor than the one asked for")


# Downloads.


def test_a_download_without_internet(tmp_path: Path) -> None:
    # A process of its own: in this one, Keras has fixed the folder of its downloads already.
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n"
        "def refuse(*args, **kwargs):\n"
        "    raise OSError('the tests have no network')\n"
        "socket.create_connection = socket.getaddrinfo = socket.socket.connect = refuse\n",
        encoding="utf-8",
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "KERAS_HOME": str(tmp_path / "keras")}
    found = run("search", "--data", "mnist", folder=tmp_path, **environment)
    assert found.code == 2
    assert contains(found.error(), "mnist could not be downloaded", "the tests have no network", "mnist5k or digits")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_a_download_that_breaks_in_any_way(capsys: Capture, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise Exception("URL fetch failure:\nNone -- timed out")

    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", fail)
    said = refused(capsys, "search", "--data", name)
    assert contains(said, f"{name} could not be downloaded (URL fetch failure: None -- timed out)", "mnist5k or digits")


# Images and labels in .npz files.


def save(**arrays: Any) -> str:
    np.savez("images.npz", **arrays)
    return "images.npz"


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"pictures": digits(60)}, ["has the keys pictures: expected x_train, y_train, x_test, y_test or x, y or"]),
        ({"x": digits(60), "extra": digits(60)}, ["has the keys extra, x: expected"]),
        ({}, ["has the keys (none): expected"]),
        ({"x": np.where(digits(60) > 200, np.nan, 0.5)}, ["NaN or infinite values"]),
        ({"x": np.where(digits(60) > 200, np.inf, 0.5)}, ["NaN or infinite values"]),
        ({"x": digits(60) * 2.0}, ["in [0, 1], [-1, 1] or [0, 255], got values from 0 to 480", "rescale"]),
        ({"x": digits(60) - 128.0}, ["in [0, 1], [-1, 1] or [0, 255], got values from -128 to 112"]),
        ({"x": digits(60).astype(int) * 2}, ["in 0..255, got values from 0 to 480"]),
        ({"x": digits(60).reshape(60, 64)}, ["shape [N, H, W] or [N, H, W, C], got (60, 64)"]),
        ({"x": digits(60).reshape(60, 8, 8, 1, 1)}, ["shape [N, H, W] or [N, H, W, C], got (60, 8, 8, 1, 1)"]),
        ({"x": digits(60).reshape(60, 8, 4, 2)}, ["1 or 3 channels", "got (60, 8, 4, 2)"]),
        ({"x": np.array(["a"] * 60)}, ["must be numbers", "got dtype <U1"]),
        ({"x": digits(60), "y": np.arange(59) % 10}, ["one label an image, got 59 labels for 60 images"]),
        ({"images": digits(60), "labels": np.eye(10)[np.arange(60) % 10]}, ["shape [N], got (60, 10)", "argmax"]),
        ({"x": digits(60), "y": np.linspace(0, 1, 60)}, ["whole numbers or class names, got dtype float64"]),
        ({"x": digits(49)}, ["At least 50 images are needed, got 49"]),
        ({"x": digits(0)}, ["At least 50 images are needed, got 0"]),
        ({"x_train": digits(60), "x_test": digits(9)}, ["At least 30 training and 20 test images", "got 60 and 9"]),
        ({"x": digits(60)[:, :4, :4]}, ["from 8x8 to 256x256 pixels, got 4x4 (height x width)", "--image-size"]),
        ({"x": np.zeros((50, 1000, 1000), np.uint8)}, ["from 8x8 to 256x256 pixels, got 1000x1000", "--image-size"]),
        ({"x": np.zeros((60, 8, 8), np.uint8)}, ["All 60 images are identical"]),
    ],
)
def test_arrays_that_cannot_be_used(capsys: Capture, arrays: dict[str, Any], words: list[str]) -> None:
    assert contains(refused(capsys, "search", "--data", save(**arrays)), *words)
    assert not Path("runs").exists()


def test_files_that_are_no_npz(capsys: Capture) -> None:
    Path("images.npz").write_text("no archive", encoding="utf-8")
    assert "is no .npz archive or is damaged" in refused(capsys, "search", "--data", "images.npz")
    whole = Path(save(x=digits(60))).read_bytes()
    Path("images.npz").write_bytes(whole[: len(whole) // 2])
    assert "is no .npz archive or is damaged" in refused(capsys, "search", "--data", "images.npz")
    np.savez("images.npz", x=np.array([digits(1)[0], None], dtype=object), allow_pickle=True)
    assert contains(refused(capsys, "search", "--data", "images.npz"), "only pickle can read and which is refused")
    Path("images.txt").write_text("x", encoding="utf-8")
    assert contains(
        refused(capsys, "search", "--data", "images.txt"), "is no dataset: expected an .npz or .npy file, a folder"
    )


# Folders of images.


def save_images(count: int = 60, side: int = 8) -> Path:
    folder = Path("images")
    folder.mkdir()
    for index, pixels in enumerate(digits(count)):
        Image.fromarray(pixels).resize((side, side)).save(folder / f"{index:04}.png")
    return folder


def test_a_text_file_named_png(capsys: Capture) -> None:
    folder = save_images()
    (folder / "0030.png").write_text("not a picture", encoding="utf-8")
    said = refused(capsys, "search", "--data", "images")
    assert said == f"{folder / '0030.png'} is no PNG or JPEG image: repair it or take it out of the folder."


def test_a_png_that_is_cut_off(capsys: Capture) -> None:
    path = save_images() / "0030.png"
    path.write_bytes(path.read_bytes()[:-30])
    assert contains(refused(capsys, "search", "--data", "images"), f"{path} cannot be read as an image", "repair it")


@pytest.mark.parametrize("side", [4, 1000])
def test_images_that_are_too_small_or_too_large(capsys: Capture, side: int) -> None:
    save_images(50, side)
    said = refused(capsys, "search", "--data", "images")
    assert contains(said, "images must be from 8x8 to 256x256 pixels", f"got {side}x{side}", "--image-size HxW")


def test_images_of_different_sizes(capsys: Capture) -> None:
    folder = save_images()
    Image.new("L", (9, 10)).save(folder / "0030.png")
    said = refused(capsys, "search", "--data", "images")
    assert contains(said, "must have one size", "8x8", f"{folder / '0030.png'} has 10x9", "--image-size HxW")


def test_too_few_images(capsys: Capture) -> None:
    save_images(49)
    assert "At least 50 images are needed, got 49" in refused(capsys, "search", "--data", "images")


def test_an_empty_folder(capsys: Capture) -> None:
    Path("images").mkdir()
    (Path("images") / "readme.txt").write_text("soon", encoding="utf-8")
    said = refused(capsys, "search", "--data", "images")
    assert contains(said, "images holds no images (", "): expected PNG or JPEG files", "IDX files")


# Folders that cannot be written. Root may write anywhere, but not below a file, nor in /proc.


@pytest.mark.parametrize("folder", ["file.txt/x", "file.txt", "/proc/x"])
def test_a_folder_that_cannot_be_written(capsys: Capture, folder: str, searched: Path) -> None:
    Path("file.txt").write_text("mine", encoding="utf-8")
    generator = str(searched / "runs" / "demo" / "best" / "generator.keras")
    for arguments in (
        ("search", "--data", "digits", "--dir", folder),
        ("search", "--data", "digits", "--dir", folder, "--overwrite"),
        ("trials", str(searched / "runs" / "demo"), "-o", f"{folder}/trials.csv"),
        ("history", str(searched / "runs" / "demo"), "-o", f"{folder}/history.csv"),
        ("export", str(searched / "runs" / "demo"), "-o", folder),
        ("generate", generator, "-o", f"{folder}/images.npz"),
        ("generate", generator, "-o", f"{folder}/images.png"),
    ):
        assert contains(refused(capsys, *arguments), f"{folder} cannot be written (", "choose another folder")
    assert Path("file.txt").read_text(encoding="utf-8") == "mine"


def test_a_name_that_is_a_file(capsys: Capture) -> None:
    Path("file.txt").write_text("mine", encoding="utf-8")
    assert "file.txt" in refused(capsys, "search", "--data", "digits", "--dir", ".", "--name", "file.txt")
    again = ("search", "--data", "digits", "--dir", ".", "--name", "file.txt", "--overwrite")
    assert "file.txt" in refused(capsys, *again)
    assert Path("file.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("output", ["taken.csv", "taken"])
def test_an_output_that_is_a_folder(project: Path, capsys: Capture, output: str) -> None:
    Path(output).mkdir()
    assert refused(capsys, "trials", str(project), "-o", output) == f"{output}: Is a directory."
    assert list(Path(output).iterdir()) == []
    assert [path.name for path in Path().iterdir() if ".tmp" in path.name] == []


@pytest.mark.parametrize("output", ["", ".", "..", "/"])
def test_an_output_that_is_no_name(searched: Path, capsys: Capture, output: str) -> None:
    project = str(searched / "runs" / "demo")
    for command in ("report", "trials", "history"):
        assert refused(capsys, command, project, "-o", output) == f"{Path(output)}: Is a directory."
    assert list(Path().iterdir()) == []


def test_an_export_to_no_folder(searched: Path, capsys: Capture) -> None:
    said = refused(capsys, "export", str(searched / "runs" / "demo"), "-o", "")
    assert said == "Expected the folder to write to, but got ''."
    assert list(Path().iterdir()) == []


def test_a_folder_that_is_no_project_is_not_overwritten(capsys: Capture) -> None:
    folder = Path("runs/demo")
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work", encoding="utf-8")
    said = refused(capsys, *SEARCH, "--overwrite")
    assert said == f"{folder} is no tuner_gan project, so it is not overwritten: choose another name."
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    assert (folder / "thesis.txt").read_text(encoding="utf-8") == "years of work"


# Damaged projects.


@pytest.mark.filterwarnings("always::UserWarning")
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": 99}', "\0\0\0"])
def test_a_damaged_record_costs_its_own_trial_only(project: Path, capsys: Capture, content: str) -> None:
    path = project / "trial_0" / "record.json"
    path.write_text(content, encoding="utf-8")
    files.copy_of(path).unlink()
    found = call(capsys, "trials", str(project), "--format", "json")
    assert found.code == 0
    rows = {row["trial_id"]: row for row in json.loads(found.out)}
    assert (rows["0"]["status"], rows["0"]["rank"], rows["0"]["score"]) == ("UNREADABLE", None, None)
    assert (rows["1"]["status"], rows["1"]["rank"]) == ("COMPLETED", 1)
    assert "record.json" in rows["0"]["message"]
    warned = found.err.splitlines()
    assert len(warned) == 1
    assert warned[0].startswith("tuner-gan: warning: Trial 0 is left out of the ranking: ")
    assert "UNREADABLE" in call(capsys, "trials", str(project)).out
    assert call(capsys, "export", str(project)).code == 0  # the best of the others
    found = call(capsys, "export", str(project), "--trial", "0")
    assert found.code == 2
    *_, last = found.err.splitlines()
    assert contains(last, "tuner-gan: error: Trial 0 cannot be exported: it is UNREADABLE", "record.json")


@pytest.mark.filterwarnings("always::UserWarning")
@pytest.mark.parametrize("content", ["no header\n1,2\n", "\0", '"'])
def test_a_damaged_history_costs_its_own_rows_only(project: Path, capsys: Capture, content: str) -> None:
    whole = json.loads(call(capsys, "history", str(project), "--format", "json").out)
    path = project / "trial_0" / "history.csv"
    path.write_text(content, encoding="utf-8")
    found = call(capsys, "history", str(project), "--format", "json")
    assert found.code == 0
    assert json.loads(found.out) == [row for row in whole if row["trial_id"] == "1"] != []
    assert len(found.err.splitlines()) == 1
    assert contains(found.err, f"tuner-gan: warning: {path} is damaged", "trial 0 has no history")
    assert call(capsys, "trials", str(project)).err == ""


@pytest.mark.filterwarnings("always::UserWarning")
def test_a_history_that_is_cut_off_keeps_its_whole_rows(project: Path, capsys: Capture) -> None:
    path = project / "trial_0" / "history.csv"
    path.write_text(path.read_text(encoding="utf-8")[:-4], encoding="utf-8")
    found = call(capsys, "history", str(project), "--trial", "0", "--format", "json")
    assert (found.code, [row["epoch"] for row in json.loads(found.out)]) == (0, [1])
    assert "1 of its lines cannot be read and is left out" in found.err


@pytest.mark.filterwarnings("always::UserWarning")
def test_a_damaged_record_with_a_copy_costs_nothing(project: Path, capsys: Capture) -> None:
    path = project / "trial_0" / "record.json"
    before = call(capsys, "trials", str(project), "--format", "json").out
    path.write_text("{", encoding="utf-8")
    found = call(capsys, "trials", str(project), "--format", "json")
    assert (found.code, found.out) == (0, before)
    assert found.err == f"tuner-gan: warning: {path} is damaged, so its copy .record.json.copy is read.\n"


@pytest.mark.filterwarnings("always::UserWarning")
def test_a_damaged_search_json_costs_no_trial(project: Path, capsys: Capture) -> None:
    (project / "search.json").write_text("{", encoding="utf-8")
    files.copy_of(project / "search.json").unlink()
    found = call(capsys, "trials", str(project), "--format", "json")
    assert (found.code, len(json.loads(found.out))) == (0, 2)
    assert "search.json is damaged" in found.err
    # Results can be read and exported, but nobody can tell whether the same search would go on.
    assert call(capsys, "export", str(project)).code == 0
    assert contains(refused(capsys, *SEARCH), "search.json", "is damaged")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("card.json", "card.json cannot be read"),
        ("classifier.keras", "classifier.keras cannot be loaded"),
        ("reference.npz", "reference.npz is missing or cannot be read"),
    ],
)
def test_a_damaged_classifier(project: Path, capsys: Capture, name: str, words: str) -> None:
    (project / "classifier" / name).write_text("damaged", encoding="utf-8")
    said = refused(capsys, *SEARCH)
    assert said == f"{project / 'classifier'} is damaged: {words}; delete the folder to train it again."


def test_a_classifier_that_is_not_its_card_s(project: Path, capsys: Capture) -> None:
    path = project / "classifier" / "card.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**card, "classifier_fingerprint": "0" * 64}), encoding="utf-8")
    assert "is not the model that card.json describes" in refused(capsys, *SEARCH)


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_a_damaged_generator(project: Path, capsys: Capture, content: bytes) -> None:
    path = project / "trial_0" / "generator.keras"
    path.write_bytes(content)
    words = f"{path} cannot be loaded as a Keras model: "
    assert words in refused(capsys, "export", str(project), "--trial", "0")
    assert words in refused(capsys, "generate", str(path), "-o", "images.npz")
    assert not Path("images.npz").exists()


# Settings in a file.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch = 3", ["has an unknown key 'epoch' (did you mean 'epochs'?)", "max_trials"]),
        ("epochs = '3'", ["epochs must be of type int or none, but got '3'."]),
        ("overwrite = 'yes'", ["overwrite must be of type bool, but got 'yes'."]),
        ("epochs = ", ["is no valid TOML"]),
    ],
)
def test_a_settings_file_with_a_fault(capsys: Capture, text: str, words: list[str]) -> None:
    Path("search.toml").write_text(text, encoding="utf-8")
    said = refused(capsys, "search", "--config", "search.toml")
    assert said.startswith("search.toml")
    assert contains(said, *words)


def test_a_settings_file_that_is_not_there(capsys: Capture) -> None:
    assert refused(capsys, "search", "--config", "no.toml") == "no.toml cannot be read: No such file or directory."


# Trials and projects that are not there.


@pytest.mark.parametrize("trial", ["7", "bst", "", "-"])
def test_an_unknown_trial(project: Path, capsys: Capture, trial: str) -> None:
    expected = f"There is no trial {trial!r} in {project}: choose best or one of 0, 1."
    assert refused(capsys, "history", str(project), "--trial", trial) == expected
    assert refused(capsys, "export", str(project), "--trial", trial) == expected


def test_a_folder_that_is_no_project(capsys: Capture) -> None:
    Path("plain").mkdir()
    Path("file.txt").write_text("x", encoding="utf-8")
    for command in ("trials", "history", "export"):
        assert contains(refused(capsys, command, "plain"), "plain is no tuner_gan project", "runs/NAME")
        assert contains(refused(capsys, command, "nowhere"), "nowhere does not exist", "runs/NAME")
        assert contains(refused(capsys, command, "file.txt"), "file.txt is no folder that can be read")


def test_the_folder_above_a_project_names_the_project(project: Path, capsys: Capture) -> None:
    assert f"pass the folder of a search, such as {project}" in refused(capsys, "trials", "runs")


@pytest.mark.parametrize("top", ["0", "-3"])
def test_no_row_to_show(project: Path, capsys: Capture, top: str) -> None:
    assert f"at least 1 row to show, got {top}" in refused(capsys, "trials", str(project), "--top", top)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no.keras", "-o", "a.npz"), "no.keras is no file: expected a generator saved as .keras."),
        (("no.keras", "-o", "a.jpg"), "Expected an output that ends in .npz or .png, but got 'a.jpg'."),
        (("no.keras", "-o", "a.npz", "-n", "0"), "-n must be at least 1, but got 0."),
        (("no.keras", "-o", "a.npz", "-n", f"{10**18}"), f"-n must be at most 8796093022207, but got {10**18}."),
        (("no.keras", "-o", "a.npz", "--seed", "-1"), "--seed must be an integer from 0, but got -1."),
    ],
)
def test_generating_from_or_to_nothing(capsys: Capture, arguments: tuple[str, ...], words: str) -> None:
    assert refused(capsys, "generate", *arguments) == words


def test_generating_more_images_than_there_is_memory_for(searched: Path, capsys: Capture) -> None:
    generator = str(searched / "runs" / "demo" / "best" / "generator.keras")
    said = refused(capsys, "generate", generator, "-n", f"{10**12}", "-o", "a.npz")
    assert said.startswith("The memory is not enough (Unable to allocate ")
    assert said.endswith("): use fewer or smaller images.")
    assert list(Path().iterdir()) == []


def test_generating_with_a_model_that_is_no_generator(searched: Path, capsys: Capture) -> None:
    path = searched / "runs" / "demo" / "classifier" / "classifier.keras"
    assert "holds no generator: expected a model from [N, latent_dim]" in refused(
        capsys, "generate", str(path), "-o", "a.npz"
    )


# A search without one usable trial.


@pytest.fixture
def failed(searched: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The search of the other tests, whose classifier it takes, but both losses are NaN as after a divergence."""
    copy_search(searched, tmp_path, trials=False)

    def diverged(real: Any, fake: Any, label_smoothing: float = 0.0) -> tuple[Any, Any]:
        return keras.ops.mean(real) * np.nan, keras.ops.mean(fake) * np.nan

    for name in LOSSES:
        monkeypatch.setitem(LOSSES, name, diverged)
    return call(capsys, *SEARCH)


def test_a_search_in_which_every_trial_failed(failed: Run, capsys: Capture) -> None:
    assert failed.code == 3
    assert failed.error() == "All 2 trials failed; the last one because: discriminator loss is nan (after epoch 1)"
    assert failed.out.count("FAILED (diverged) after") == 2  # the lines of the live view

    found = call(capsys, "trials", "runs/demo")
    assert found.code == 0
    assert found.out.count("FAILED") == 2
    assert "2 failed: discriminator loss is nan (after epoch 1)" in found.out
    for arguments in (("export", "runs/demo"), ("history", "runs/demo", "--trial", "best")):
        said = refused(capsys, *arguments)
        assert contains(said, "no trial with a score", "(2 FAILED)", "discriminator loss is nan (after epoch 1)")

    # A failed trial by its name.
    said = refused(capsys, "export", "runs/demo", "--trial", "1")
    assert re.fullmatch(
        r"Trial 1 .*cannot be exported: it is FAILED: discriminator loss is nan \(after epoch 1\)\.", said
    )
    assert not list(Path("runs/demo").glob("export*"))
    found = call(capsys, "history", "runs/demo", "--trial", "1")
    assert (found.code, found.out, found.err) == (0, "There are no epochs yet.\n", "")

    # The same search again tries nothing new, and says the same.
    again = call(capsys, *SEARCH)
    assert (again.code, again.error()) == (3, failed.error())
