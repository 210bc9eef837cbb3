"""The commands on a real search: 8x8 digits, a classifier and two trials, made once for all tests of this file."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
import pytest
from cli_runs import ROOT, SEARCH, Run, call, copy_search, digits, finish, run_python, start_python
from PIL import Image

import tuner_gan
from tuner_gan import cli, files, results
from tuner_gan.cli import main
from tuner_gan.config import SearchConfig
from tuner_gan.quality.catalogue import METRICS, SECOND
from tuner_gan.search import rerun
from tuner_gan.search.rerun import Rerun
from tuner_gan.search_spaces import SPACES

Capture = pytest.CaptureFixture[str]

EXPORTED = {
    files.GENERATOR,
    *(set(files.EXPORTED) - {files.DISCRIMINATOR, files.CLASS_NAMES}),
}


@pytest.fixture(autouse=True)
def _in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def searched(once: tuple[Path, Run]) -> Path:
    """The project that the search left; no test changes it."""
    return once[0] / "runs" / "demo"


@pytest.fixture
def project(once: tuple[Path, Run], tmp_path: Path) -> Path:
    """A copy of it at runs/demo."""
    return copy_search(once[0], tmp_path).relative_to(tmp_path)


def refused(capsys: Capture, *arguments: str) -> str:
    found = call(capsys, *arguments)
    assert found.code == 2
    return found.error()


def trial_files(project: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in project.glob("trial_*/*") if path.name != "trial.json"}


# The search.


def test_a_search_of_workers_finds_what_is_told_of_the_classifier(once: tuple[Path, Run], tmp_path: Path) -> None:
    folder, found = once
    config = SearchConfig(dir=str(folder / "runs"), name="demo")
    assert cli._find_quality(config) == found.out.splitlines()[1]
    card = tmp_path / "demo" / files.CLASSIFIER_DIR / files.CARD
    assert cli._find_quality(SearchConfig(dir=str(tmp_path), name="demo")) is None
    card.parent.mkdir(parents=True)
    for content in ("{", "{}", '{"kind": "features", "floor": {}}', '{"kind": "features", "floor": {"fcd": "x"}}'):
        card.write_text(content)
        assert cli._find_quality(SearchConfig(dir=str(tmp_path), name="demo")) is None


def test_a_search_prints_the_ranked_table_and_paths_that_are_there(once: tuple[Path, Run]) -> None:
    folder, found = once
    assert (found.code, found.err) == (0, "")
    lines = found.out.splitlines()
    assert lines[0] == "digits: 1078 training images of (8, 8, 1)"
    assert re.fullmatch(r"reference classifier: held-out accuracy \d+\.\d%, floor fcd 0\.\d+", lines[1])
    ended = [line for line in lines if line.startswith("trial ")]
    assert [re.sub(r"fcd [\d.]+|\([a-z, ]+\) (?=after)|after \d+", "", line) for line in ended] == [
        "trial 0 (search): , COMPLETED  s",
        "trial 1 (search): , COMPLETED  s",
    ]

    table = results.load(folder / "runs" / "demo").trials()
    rows = [line.split() for line in lines if re.match(r" +\d+ +\d+ +COMPLETED", line)]
    assert [row[:4] for row in rows] == [["1", row, "COMPLETED", "search"] for row in table["trial_id"][:1]] + [
        ["2", row, "COMPLETED", "search"] for row in table["trial_id"][1:]
    ]
    assert [row[4] for row in rows] == [f"{score:.4g}" for score in table["score"]]
    assert table["score"].is_monotonic_increasing

    paths = dict(
        line.strip().rsplit("  ", 1) for line in lines if line.strip().startswith(("sa", "ge", "mo", "search"))
    )
    best = table["trial_id"][0]
    assert paths == {
        "samples": f"runs/demo/trial_{best}/samples.png",
        "generator": "runs/demo/best/generator.keras",
        "model card": "runs/demo/best/model_card.md",
        "search": "runs/demo",
    }
    assert all((folder / path).exists() for path in paths.values())
    assert set(os.listdir(folder / "runs" / "demo" / "best")) == EXPORTED  # noqa: PTH208


def test_the_same_command_again_ends_at_once_without_a_new_trial(project: Path, capsys: Capture) -> None:
    before = trial_files(project)
    table = results.load(project).trials()
    added = project / files.BEST_DIR / files.DISCRIMINATOR
    added.write_bytes(b"as export --discriminator writes it")
    found = call(capsys, *SEARCH)
    assert (found.code, found.err) == (0, "")
    assert trial_files(project) == before
    assert added.exists()
    pd.testing.assert_frame_equal(results.load(project).trials(), table)
    assert "trial 0 (search):" not in found.out  # no news
    assert found.out.count("COMPLETED") == 2


def test_what_was_exported_of_another_generator_is_deleted_and_that_is_told(project: Path, capsys: Capture) -> None:
    for name in (files.GENERATOR, files.DISCRIMINATOR, "generator.onnx"):
        (project / "best" / name).write_bytes(b"of the best trial until now")
    best = results.load(project).best
    assert cli._show_results(project, cli._console(), 0) == 0
    said = (
        "Deleted from runs/demo/best: discriminator.keras, generator.onnx, of another generator than the best one now, "
        "or of an export that was not whole; tuner-gan export writes them anew.\n"
    )
    assert said in capsys.readouterr().out
    assert (project / "best" / files.GENERATOR).read_bytes() == (best.folder / files.GENERATOR).read_bytes()
    assert cli._show_results(project, cli._console(), 0) == 0
    assert "Deleted" not in capsys.readouterr().out


def test_one_more_trial_is_added_to_those_there(project: Path, capsys: Capture) -> None:
    before = trial_files(project)
    found = call(capsys, *SEARCH, "--max-trials", "3", "--epochs", "1")
    assert (found.code, found.err) == (0, "")
    after = trial_files(project)
    assert {path: after[path] for path in before} == before
    assert sorted(results.load(project).trials()["trial_id"]) == ["0", "1", "2"]
    assert [line[:18] for line in found.out.splitlines() if line.startswith("trial ")] == ["trial 2 (search): "]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("--space", "mlp"), ["search space", "dcgan, not mlp"]),
        (("--data", "more.npz"), ["'digits'", "'more.npz'"]),
        (("--seed", "1"), ["seed 0", "seed 1"]),
        (("--oracle", "grid"), ["oracle"]),
    ],
)
def test_another_search_of_the_same_name_is_refused_with_the_difference(
    project: Path, capsys: Capture, changed: tuple[str, ...], words: list[str]
) -> None:
    np.savez("more.npz", x=digits(100), y=np.arange(100) % 10)
    before = trial_files(project)
    said = refused(capsys, *SEARCH, *changed)
    assert all(word in said for word in [str(project), *words]), said
    assert trial_files(project) == before


def test_a_steered_search_stays_where_it_was_told_and_goes_on_only_as_such(
    once: tuple[Path, Run], tmp_path: Path, capsys: Capture
) -> None:
    copy_search(once[0], tmp_path, trials=False)
    Path("search.toml").write_text(
        "[set]\ngenerator_depth = 2\n[range]\ngenerator_lr = [1e-4, 2e-4]\nbatch_size = [64]\n"
        "[default]\nlr_ratio = 2\n",
        encoding="utf-8",
    )
    steering = (
        "--config",
        "search.toml",
        "--set",
        "generator_depth=1",
        "--range",
        "beta1=0",
        "--default",
        "lr_ratio=3",
    )
    found = call(capsys, *SEARCH, "--epochs", "1", *steering)
    assert (found.code, found.err) == (0, "")
    search = results.load("runs/demo")
    table = search.trials()
    assert table["hp.generator_depth"].tolist() == [1, 1]
    assert table["hp.batch_size"].tolist() == [64, 64]
    assert table["hp.beta1"].tolist() == [0, 0]
    assert table["hp.generator_lr"].between(1e-4, 2e-4).all()
    assert search.trial("0").hyperparameters["lr_ratio"] == 3
    space = search.config["space"]
    declared = {entry["name"]: entry for entry in space["hyperparameters"]}
    assert space["name"] == "dcgan"
    assert (declared["generator_depth"]["kind"], declared["generator_depth"]["value"]) == ("Fixed", 1)
    assert (declared["generator_lr"]["min_value"], declared["generator_lr"]["max_value"]) == (1e-4, 2e-4)

    assert call(capsys, *SEARCH, "--epochs", "1", *steering).code == 0  # the same steering goes on
    before = trial_files(Path("runs/demo"))
    for other in ((), (*steering[:-1], "lr_ratio=4"), (*steering, "--set", "discriminator_depth=1")):
        said = refused(capsys, *SEARCH, "--epochs", "1", *other)
        assert said.startswith("runs/demo holds a search with another search space ("), said
    assert trial_files(Path("runs/demo")) == before


def test_overwrite_starts_afresh(project: Path, capsys: Capture) -> None:
    # It trains a classifier and a trial again: some 5 s.
    (project / "notes.txt").write_text("of the earlier search", encoding="utf-8")
    found = call(capsys, *SEARCH, "--overwrite", "--space", "mlp", "--max-trials", "1", "--epochs", "1")
    assert (found.code, found.err) == (0, "")
    assert not (project / "notes.txt").exists()
    table = results.load(project).trials()
    assert (len(table), table["epochs"].tolist()) == (1, [1])
    assert results.load(project).config["space"]["name"] == "mlp"


def test_settings_come_from_a_file_and_flags_win(once: tuple[Path, Run], tmp_path: Path, capsys: Capture) -> None:
    copy_search(once[0], tmp_path, trials=False)
    Path("search.toml").write_text(
        'data = "digits"\nspace = "mlp"\nmax_trials = 5\nepochs = 3\nbaselines = "none"\nname = "demo"\n'
        "finalists = 0\n",
        encoding="utf-8",
    )
    found = call(capsys, "search", "--config", "search.toml", "--max-trials", "1", "--epochs", "1")
    assert (found.code, found.err) == (0, "")
    search = results.load("runs/demo")
    assert search.config["space"]["name"] == "mlp"
    assert (len(search), search.trials()["epochs"].tolist()) == (1, [1])


def test_the_tutorials_run_first_unless_told_otherwise(once: tuple[Path, Run], tmp_path: Path, capsys: Capture) -> None:
    copy_search(once[0], tmp_path, trials=False)
    found = call(capsys, *SEARCH, "--baselines", "all", "--epochs", "1", "--max-trials", "1")
    assert (found.code, found.err) == (0, "")
    table = results.load("runs/demo").trials().set_index("trial_id")
    assert dict(table["origin"]) == {"tutorial_dense": "baseline", "tutorial_conv": "baseline", "0": "search"}
    assert table["rank"].notna().all()
    assert table["started_at"].idxmax() == "0"
    assert "of the tutorials in the same search" in Path("runs/demo/best/model_card.md").read_text(encoding="utf-8")


def test_a_search_ends_in_about_the_time_it_was_given(once: tuple[Path, Run], tmp_path: Path, capsys: Capture) -> None:
    # Nothing else ends it: no limit of trials, and epochs for an hour. Ten of its seconds are kept for the end.
    copy_search(once[0], tmp_path, trials=False)
    started = time.monotonic()
    found = call(capsys, *SEARCH[:3], *SEARCH[7:], "--max-time", "18s", "--epochs", "5000")
    seconds = time.monotonic() - started
    assert (found.code, found.err) == (0, "")
    assert 4 < seconds < 27
    assert results.load("runs/demo").config["config"]["max_time"] == 18
    table = results.load("runs/demo").trials()
    assert len(table) >= 1
    assert table["score"].notna().all()
    assert table["message"].str.match(r"stopped by its time limit after \d+ of 5000 epochs").all()


def test_too_little_time_for_any_trial_says_so(
    once: tuple[Path, Run], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_search(once[0], tmp_path, trials=False)

    def slow(*arguments: Any) -> Any:
        time.sleep(1.1)  # what TensorFlow takes to start, at least, had no other test started it
        return make_tuner(*arguments)

    make_tuner = cli._make_tuner
    monkeypatch.setattr(cli, "_make_tuner", slow)
    said = refused(capsys, *SEARCH, "--max-time", "1s")
    assert said == "The time was over before the first trial could start: give the search a longer --max-time."


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_search_cleanly_and_the_same_command_goes_on(
    number: signal.Signals, expected: int, once: tuple[Path, Run], tmp_path: Path, capsys: Capture
) -> None:
    # A process of its own, to be sent the signal: some 10 s.
    project = copy_search(once[0], tmp_path, trials=False)
    # A shell that runs the tests in the background has them ignore Ctrl-C, and their children too.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from tuner_gan.cli import main"
    )
    process = start_python("-c", f"{code}; sys.exit(main({SEARCH}))", folder=tmp_path)
    end = time.monotonic() + 120
    while not (project / "trial_1" / files.RECORD).exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(number)
    found = finish(process)
    assert (found.code, found.err) == (expected, "")
    assert "Interrupted. The same command goes on from here." in found.out
    rows = [line.split()[:3] for line in found.out.splitlines() if re.match(r" *[\d ]+ (COMPLETED|INTERRUPTED)", line)]
    assert rows == [["1", "0", "COMPLETED"], ["1", "INTERRUPTED", "search"]]
    assert set(os.listdir(project / "best")) == EXPORTED  # noqa: PTH208
    first = results.load(project).trial("0")

    again = call(capsys, *SEARCH)
    assert (again.code, again.err) == (0, "")
    search = results.load(project)
    assert search.trial("0") == first
    assert search.trial("1").status == "COMPLETED"
    assert len(search) == 2
    assert [line[:18] for line in again.out.splitlines() if line.startswith("trial ")] == ["trial 1 (search): "]


@pytest.mark.filterwarnings("always::UserWarning")
def test_images_without_labels_or_with_a_single_one_have_no_class_metrics(capsys: Capture) -> None:
    # It trains an encoder that needs no labels: some 10 s.
    images = digits(60)
    folder = Path("plain images [v2]")
    folder.mkdir()
    for index, pixels in enumerate(images):
        Image.fromarray(pixels).save(folder / f"{index:04}.png")
    command = (
        *("search", "--max-trials", "1", "--epochs", "1", "--baselines", "none"),
        *("--finalists", "0", "--name", "plain"),
    )
    found = call(capsys, *command, "--data", str(folder))
    assert found.code == 0
    assert found.out.splitlines()[0] == "plain images [v2]: 36 training images of (8, 8, 1)"
    assert re.search(r"^reference rotation: held-out accuracy \d+\.\d% \(chance: 25%\), floor fcd", found.out, re.M)
    assert found.err.splitlines() == [line for line in found.err.splitlines() if "reference images are few" in line]
    search = results.load("runs/plain")
    unlabelled = {name for name, metric in {**METRICS, **SECOND}.items() if not metric.needs_classes}
    assert {name for name in search.trials().columns if name.startswith("metric.")} == {
        f"metric.{name}" for name in unlabelled
    }
    assert set(search.trial("0").metrics) == unlabelled - SECOND.keys()

    # The same images with labels of a single class count as the same search: they have none.
    np.savez("one_class.npz", x=images, y=np.full(60, 3))
    found = call(capsys, *command, "--data", "one_class.npz")
    assert found.code == 0
    assert "tuner-gan: warning: All labels are '3': labels of a single class count as none." in found.err.splitlines()
    assert len(results.load("runs/plain")) == 1


# Tables.


def test_trials_as_csv_are_the_table_of_results(searched: Path, capsys: Capture) -> None:
    found = call(capsys, "trials", str(searched), "--format", "csv")
    assert (found.code, found.err) == (0, "")
    table = results.load(searched).trials()
    read = pd.read_csv(io.StringIO(found.out), dtype={"trial_id": "string"})
    assert list(read.columns) == list(table.columns)
    assert read["trial_id"].tolist() == table["trial_id"].tolist()
    for column in ("score", "metric.coverage", "hp.generator_lr", "seed"):
        assert read[column].tolist() == table[column].tolist()
    assert all(Path(path).is_file() for path in [*read["checkpoint"], *read["samples"]])


def test_trials_as_json_and_markdown(searched: Path, capsys: Capture) -> None:
    table = results.load(searched).trials()
    rows = json.loads(call(capsys, "trials", str(searched), "--format", "json").out)
    assert [row["score"] for row in rows] == table["score"].tolist()
    assert list(rows[0]) == list(table.columns)
    assert rows[0]["message"] is None
    lines = call(capsys, "trials", str(searched), "--format", "markdown").out.splitlines()
    assert lines[0].startswith("| rank | trial_id | status |")
    assert set(lines[1]) <= set("|-: ")
    assert len(lines) == 4


def test_trials_as_a_table(searched: Path, capsys: Capture) -> None:
    found = call(capsys, "trials", str(searched))
    assert (found.code, found.err) == (0, "")
    assert call(capsys, "trials", str(searched), "--format", "table").out == found.out
    assert found.out.count("COMPLETED") == 2
    assert all(len(line) <= 160 for line in found.out.splitlines())


@pytest.mark.parametrize(("sort", "descending"), [("score", False), ("-score", True), ("-metric.coverage", True)])
def test_trials_are_sorted(searched: Path, capsys: Capture, sort: str, descending: bool) -> None:
    found = call(capsys, "trials", str(searched), f"--sort={sort}", "--format", "json")
    values = [row[sort.removeprefix("-")] for row in json.loads(found.out)]
    assert values == sorted(values, reverse=descending)
    assert len(values) == 2


def test_trials_show_the_rows_and_columns_asked_for(searched: Path, capsys: Capture) -> None:
    arguments = ("trials", str(searched), "--columns", "trial_id, score,hp.beta1", "--sort=-score", "--top", "1")
    found = call(capsys, *arguments, "--format", "csv")
    header, row = found.out.splitlines()
    assert header == "trial_id,score,hp.beta1"
    worst = results.load(searched).trials().iloc[-1]
    assert row.split(",")[:2] == [worst["trial_id"], str(worst["score"])]
    shown = call(capsys, *arguments).out.split()
    assert {"trial_id", "score", "hp.beta1", worst["trial_id"], f"{worst['score']:.4g}"} <= set(shown)
    assert "COMPLETED" not in shown


@pytest.mark.parametrize("name", ["deep/in/it.csv", "it.json", "it.md", "it.txt"])
@pytest.mark.parametrize("command", ["trials", "history"])
def test_a_table_goes_to_a_file_in_the_format_of_its_suffix(
    searched: Path, capsys: Capture, command: str, name: str
) -> None:
    found = call(capsys, command, str(searched), "-o", name)
    assert (found.code, found.out, found.err) == (0, "", "")
    kind = {".csv": "csv", ".json": "json", ".md": "markdown", ".txt": "table"}[Path(name).suffix]
    written = Path(name).read_text(encoding="utf-8")
    if kind == "table":
        assert "trial_id" in written
        assert "\x1b" not in written
    else:
        assert written == call(capsys, command, str(searched), "--format", kind).out
    assert [path.name for path in Path(name).parent.iterdir()] == [Path(name).name]


def test_a_format_asked_for_wins_over_the_suffix(searched: Path, capsys: Capture) -> None:
    assert call(capsys, "trials", str(searched), "-o", "it.txt", "--format", "json").code == 0
    assert len(json.loads(Path("it.txt").read_text(encoding="utf-8"))) == 2


def test_history_has_a_row_an_epoch(searched: Path, capsys: Capture) -> None:
    def rows(*arguments: str) -> list[dict[str, Any]]:
        found = call(capsys, "history", str(searched), *arguments, "--format", "json")
        assert (found.code, found.err) == (0, "")
        return list(json.loads(found.out))

    every = rows()
    assert [(row["trial_id"], row["epoch"]) for row in every] == [("0", 1), ("0", 2), ("1", 1), ("1", 2)]
    assert all(np.isfinite([row["d_loss"], row["g_loss"], row["metric.fcd"]]).all() for row in every)
    assert rows("--trial", "1") == [row for row in every if row["trial_id"] == "1"]
    best = results.load(searched).best
    assert rows("--trial", "best") == [row for row in every if row["trial_id"] == best.trial_id]
    assert min(row["metric.fcd"] for row in rows("--trial", "best")) == best.score
    assert "d_loss" in call(capsys, "history", str(searched)).out


def test_tables_that_are_empty_say_so_or_keep_their_columns(project: Path, capsys: Capture) -> None:
    for trial in project.glob("trial_*"):
        shutil.rmtree(trial)
    assert call(capsys, "trials", str(project)).out == "There are no trials yet.\n"
    assert call(capsys, "history", str(project)).out == "There are no epochs yet.\n"
    header = call(capsys, "trials", str(project), "--format", "csv").out
    assert header.startswith("rank,trial_id,status,origin,score,")
    assert header.count("\n") == 1


# Export and generate.


def test_export_writes_and_lists_its_files(project: Path, capsys: Capture) -> None:
    best = results.load(project).best
    other = "0" if best.trial_id == "1" else "1"
    for arguments, trial, target in (
        ((), best.trial_id, project / "best"),
        (("--trial", other), other, project / f"export_{other}"),
        (("--trial", other, "-o", "out/deep"), other, Path("out/deep")),
    ):
        shutil.rmtree(target, ignore_errors=True)
        found = call(capsys, "export", str(project), *arguments)
        assert (found.code, found.err) == (0, "")
        assert {Path(line) for line in found.out.splitlines()} == {target / name for name in EXPORTED}
        assert {path.name for path in target.iterdir()} == EXPORTED
        whole = (project / f"trial_{trial}" / files.GENERATOR).read_bytes()
        assert (target / files.GENERATOR).read_bytes() == whole


def test_export_leaves_other_files_of_a_folder_alone(searched: Path, capsys: Capture) -> None:
    Path("out").mkdir()
    Path("out/thesis.txt").write_text("mine", encoding="utf-8")
    found = call(capsys, "export", str(searched), "-o", "out")
    assert found.code == 0
    assert "thesis.txt" not in found.out
    assert Path("out/thesis.txt").read_text(encoding="utf-8") == "mine"


def test_generate_makes_the_same_images_from_the_same_seed(searched: Path, capsys: Capture) -> None:
    model = str(searched / "best" / files.GENERATOR)

    def made(output: str, *arguments: str) -> np.ndarray:
        found = call(capsys, "generate", model, "-o", output, *arguments)
        assert (found.code, found.err) == (0, "")
        with np.load(output) as archive:
            assert list(archive) == ["images"]
            images: np.ndarray = archive["images"]
        assert found.out == f"{len(images)} images of (8, 8, 1) in {output}\n"
        return images

    images = made("a.npz", "-n", "300", "--seed", "5")
    assert images.dtype == np.uint8
    assert images.shape == (300, 8, 8, 1)
    assert np.array_equal(made("new/b.npz", "-n", "300", "--seed", "5"), images)
    assert Path("a.npz").read_bytes() == Path("new/b.npz").read_bytes()
    assert not np.array_equal(made("c.npz", "-n", "300", "--seed", "6"), images)
    assert made("d.npz").shape == (64, 8, 8, 1)
    assert not np.array_equal(made("d.npz"), made("e.npz"))  # without a seed, new ones each time


def test_generate_draws_a_grid(searched: Path, capsys: Capture) -> None:
    model = str(searched / "best" / files.GENERATOR)
    found = call(capsys, "generate", model, "-n", "10", "--seed", "0", "-o", "grid.png")
    assert found.code == 0
    with Image.open("grid.png") as picture:
        pixels = np.asarray(picture)
        assert (picture.format, picture.mode) == ("PNG", "L")
    step = 8 * round(500 / 64) + 1
    assert pixels.shape == (2 * step - 1, 8 * step - 1)  # two rows of eight
    assert (pixels[step:, 2 * step :] == 128).all()  # ten images fill two places of the second


# Spaces, help and version.


@pytest.mark.parametrize("name", SPACES)
def test_spaces_lists_every_hyperparameter(capsys: Capture, name: str) -> None:
    import keras_tuner

    from tuner_gan.search_spaces import make_space

    found = call(capsys, "spaces", name)
    assert (found.code, found.err) == (0, "")
    hp = keras_tuner.HyperParameters()
    make_space(name, (28, 28, 1)).sample(hp)
    listed = re.findall(r"^│ (\w+)", found.out, flags=re.MULTILINE)
    assert set(hp.values) <= set(listed)
    assert re.search(r"generator_depth +│ 1 to \d +│ \d +│ always", found.out)
    if name in ("dcgan", "mlp"):
        assert re.search(r"generator_width_2 .*generator_depth is 2", found.out)
    assert re.search(r"generator_lr +│ \S+ to \S+, log +│ [\d.e-]+ +│ always", found.out)
    assert re.search(r"adaptive_augmentation +│ True, False +│ False +│", found.out)


def test_spaces_shows_a_steered_space_and_how_to_steer_it(capsys: Capture) -> None:
    found = call(
        capsys,
        *("spaces", "dcgan", "--set", "generator_depth=3", "--set", "beta1=0", "--range", "batch_size=128"),
        *("--range", "generator_lr=1e-4:1e-3", "--default", "generator_lr=2e-4"),
    )
    assert (found.code, found.err) == (0, "")
    assert re.search(r"generator_depth +│ fixed +│ 3 +│ always", found.out)
    assert re.search(r"beta1 +│ fixed +│ 0 +│ optimizer is adam", found.out)
    assert re.search(r"batch_size +│ 128 +│ 128 +│ always", found.out)
    assert re.search(r"generator_lr +│ 0.0001 to 0.001, log +│ 0.0002 +│ always", found.out)
    plain = call(capsys, "spaces", "dcgan").out
    assert plain.splitlines()[-1] == found.out.splitlines()[-1]
    assert all(flag in plain.splitlines()[-1] for flag in ("--set NAME=VALUE", "--range NAME=LOW:HIGH", "--default"))
    # A layer that the fixed depth leaves out has no width; all else is listed as it was, but for the four steered ones.
    assert re.search(r"generator_width_4 .*generator_depth is 4", plain)
    possible = [line for line in plain.splitlines() if "generator_depth is 4" not in line]
    assert len([a for a, b in zip(possible, found.out.splitlines(), strict=True) if a != b]) == 4


def test_spaces_are_those_of_the_images(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "[red]photos.npz"
    images = np.random.default_rng(0).integers(0, 256, (60, 32, 48, 3), dtype=np.uint8)
    np.savez(path, x=images, y=np.arange(60) % 3)
    found = call(capsys, "spaces", "dcgan", "--data", str(path), "--image-size", "16x24", "--conditional")
    assert (found.code, found.err) == (0, "")
    assert found.out.strip().startswith("dcgan, for [red]photos.npz, images of (16, 24, 3): ranges follow the images")
    assert re.search(r"class_input +│ concatenation, normalization +│", found.out)
    assert re.search(r"critic_steps +│ 1, 2, 5 +│", found.out)
    plain = call(capsys, "spaces", "dcgan").out
    assert plain.strip().startswith("dcgan, for mnist5k, images of (28, 28, 1)")
    assert "class_input" not in plain
    np.savez(path, x=images)
    found = call(capsys, "spaces", "dcgan", "--data", str(path), "--conditional")
    assert found.error().startswith("Conditional GANs need images labelled with two or more classes")


def test_no_text_of_spaces_is_lost_in_a_narrow_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "…" not in call(capsys, "spaces", "dcgan").out


def test_spaces_alone_names_them(capsys: Capture) -> None:
    found = call(capsys, "spaces")
    assert (found.code, found.err) == (0, "")
    assert [line.split()[0] for line in found.out.splitlines()] == list(SPACES)


@pytest.mark.parametrize(
    "command",
    [(), ("search",), ("trials",), ("history",), ("report",), ("watch",), ("export",), ("generate",), ("spaces",)],
)
def test_every_command_has_help(capsys: Capture, command: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {' '.join(('tuner-gan', *command))}")


def test_the_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"tuner-gan {tuner_gan.__version__}\n"


# What is loaded, and how it ends.


def loaded_by(code: str, folder: Path) -> set[str]:
    report = "import sys; print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    found = run_python("-c", f"{code}\n{report}", folder=folder)
    assert found.code == 0, found.err
    return set(found.err.split())


def test_help_loads_neither_tensorflow_nor_pandas(tmp_path: Path) -> None:
    heavy = {"tensorflow", "keras", "keras_tuner", "pandas", "numpy", "sklearn"}
    assert not heavy & loaded_by("import tuner_gan.cli", tmp_path)
    code = "from tuner_gan.cli import main\ntry:\n    main({})\nexcept SystemExit as ended:\n    assert ended.code == 0"
    assert not heavy & loaded_by(code.format(["--help"]), tmp_path)
    assert not heavy & loaded_by(code.format(["search", "--help"]), tmp_path)


def test_reading_a_project_loads_no_tensorflow(searched: Path, tmp_path: Path) -> None:
    code = f"from tuner_gan.cli import main\nassert main(['trials', {str(searched)!r}]) == 0"
    code += f"\nassert main(['history', {str(searched)!r}, '--trial', 'best', '--format', 'csv']) == 0"
    modules = loaded_by(code, tmp_path)
    assert not {"tensorflow", "keras", "keras_tuner", "sklearn"} & modules
    assert "pandas" in modules


def test_what_keras_takes_along_is_left_out_until_somebody_needs_it(tmp_path: Path) -> None:
    code = "import sys\nfrom tuner_gan.cli import main\nassert main(['spaces', 'dcgan']) == 0"
    code += "\nassert not {'matplotlib', 'sklearn'} & set(sys.modules)\nimport sklearn.datasets"
    code += "\nimport tensorflow\ntensorflow.get_logger().warning('traced-anew')"  # which each trial must be
    modules = loaded_by(code, tmp_path)
    assert {"keras", "keras_tuner", "sklearn"} <= modules
    assert "matplotlib" not in modules
    assert not any("traced-anew" in word for word in modules)


def run_unread(*arguments: str, folder: Path) -> tuple[int, bytes]:
    """Runs Python with a standard output that nobody reads; returns its exit code, and what it says of that."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as stderr:
        said = stderr.read()
    return process.wait(60), said


@pytest.fixture
def unread() -> Iterator[TextIO]:
    """A stream to which each line is written at once, and which nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", buffering=1, encoding="utf-8") as stream:  # noqa: PTH123
        yield stream


def test_a_rerun_is_checked_though_nobody_reads_what_it_prints(
    searched: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, unread: TextIO
) -> None:
    trial = results.load(searched).best
    again = Rerun(trial, dataclasses.replace(trial, score=0.125))
    monkeypatch.setattr(rerun, "rerun_by_settings", lambda *_: again)
    monkeypatch.setattr(sys, "stdout", unread)
    assert main(["rerun", str(searched)]) == 3
    assert f"Trial {trial.trial_id} scored 0.125 when it was trained again" in capsys.readouterr().err


def test_a_sentence_that_nobody_reads_changes_no_exit_code(unread: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", unread)
    assert main(["trials", "nowhere"]) == 2


def test_any_other_pipe_that_breaks_is_an_error(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def to_nobody(options: Any) -> int:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setattr(cli, "_watch", to_nobody)
    assert refused(capsys, "watch", "runs/demo") == "Broken pipe."


@pytest.mark.parametrize("kind", ["csv", "table"])
def test_a_reader_that_has_seen_enough_is_no_error(searched: Path, tmp_path: Path, kind: str) -> None:
    arguments = ("-m", "tuner_gan", "trials", str(searched), "--format", kind)
    assert run_unread(*arguments, folder=tmp_path) == (0, b"")


def test_a_search_goes_on_without_a_reader(tmp_path: Path) -> None:
    # As a search does, which here would take some 10 s: it prints before each of its parts, in a thread, and at the
    # end.
    code = """
import pathlib, sys, threading
from tuner_gan import cli
def search(options):
    console = cli._console()
    console.print("images")
    thread = threading.Thread(target=console.print, args=("trial",))
    thread.start()
    thread.join()
    console.print("table")
    print("paths")
    pathlib.Path("best").mkdir()
    return 0
cli._search = search
sys.exit(cli.main(["search"]))
"""
    assert run_unread("-c", code, folder=tmp_path) == (0, b"")
    assert (tmp_path / "best").exists()
