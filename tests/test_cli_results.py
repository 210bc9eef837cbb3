"""The commands that show, watch and export a search, on one of real digits."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from cli_runs import Run, call, copy_search, finish, run_python, start
from pages import Page

from tuner_gan import results
from tuner_gan.results import plots

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def project(once: tuple[Path, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy_search(once[0], tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return Path("runs/demo")


def test_report_of_a_real_search(project: Path, capsys: Capture) -> None:
    found = call(capsys, "report", str(project))
    assert (found.code, found.out, found.err) == (0, "runs/demo/report.html\n", "")
    page = Page((project / "report.html").read_text(encoding="utf-8"))
    trials = results.load(project).trials()
    assert f"The best one, {trials.trial_id[0]}, has fcd {trials.score[0]:.4g}." in page.text
    # The best trial's samples beside real ones, and a small picture of each trial's.
    assert len(page.images) == 2 + len(trials)
    assert trials.ms_per_sample.gt(0).all()
    assert call(capsys, "report", str(project), "-o", "out/page.html").out == "out/page.html\n"


@pytest.mark.parametrize(
    "command", [("history",), ("trials", "--columns", "trial_id,score,metric.fcd,seed,duration_s,checkpoint")]
)
def test_a_narrow_terminal_cuts_no_number(
    project: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = call(capsys, command[0], str(project), *command[1:]).out.splitlines()
    monkeypatch.setenv("COLUMNS", "150")
    wide = call(capsys, command[0], str(project), *command[1:]).out.split()
    numbers = [word for line in lines for word in line.split() if re.fullmatch(r"[\d.]+(e-?\d+)?", word)]
    assert len(numbers) > 3
    assert set(numbers) <= set(wide)
    if command[0] == "trials":
        assert max(map(len, lines)) > 40


def test_report_loads_no_tensorflow(project: Path, tmp_path: Path) -> None:
    code = """
import sys
from tuner_gan.cli import main
assert main(["report", "runs/demo"]) == 0
print("tensorflow" in sys.modules, "keras" in sys.modules)
"""
    assert run_python("-c", code, folder=tmp_path).out.splitlines()[-1] == "False False"


def test_report_of_no_project(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = call(capsys, "report", "runs/none")
    assert found.code == 2
    assert "runs/none does not exist" in found.error()
    assert list(tmp_path.iterdir()) == []


def test_watch_a_search_at_rest(project: Path, capsys: Capture) -> None:
    found = call(capsys, "watch", str(project))
    assert (found.code, found.err) == (0, "")
    assert found.out.startswith("No search is running in runs/demo.\n")
    assert "COMPLETED" in found.out


def test_watch_a_running_search(once: tuple[Path, Run], tmp_path: Path) -> None:
    # Some 15 s: a search in a process of its own, and one that watches it until it ends.
    copy_search(once[0], tmp_path, trials=False)
    arguments = ("--data", "digits", "--max-trials", "1", "--epochs", "10000", "--baselines", "none", "--name", "demo")
    search = start("search", *arguments, "--finalists", "0", "--pruner", "none", folder=tmp_path)
    folder = tmp_path / "runs" / "demo"
    while not (folder / "trial_0" / "history.csv").exists():
        assert search.poll() is None, finish(search)
        time.sleep(0.05)
    watching = start("watch", "runs/demo", folder=tmp_path)
    assert watching.stdout is not None
    assert watching.stdout.readline() == "watching runs/demo: 1 trial so far\n"
    search.send_signal(signal.SIGINT)
    assert finish(search).code == 130
    found = finish(watching)
    assert (found.code, found.err) == (0, "")
    assert re.search(r"^trial 0 \(search\): fcd [\d.]+, INTERRUPTED .*: interrupted$", found.out, re.MULTILINE)


def test_export_in_every_format(project: Path, capsys: Capture) -> None:
    for module in ("ai_edge_litert", "onnxruntime", "tf2onnx"):
        pytest.importorskip(module, reason="the formats are extras")
    found = call(capsys, "export", str(project), "-o", "out", "--format", "saved_model,litert,onnx", "--discriminator")
    assert found.code == 0
    lines = found.out.splitlines()
    names = ["generator.keras", "generator_saved_model", "generator.tflite", "generator.onnx", "discriminator.keras"]
    assert lines[:5] == [f"out/{name}" for name in names]
    assert [line.split(":")[0] for line in lines[-4:]] == ["keras", "saved_model", "litert", "onnx"]
    card = json.loads(Path("out/model_card.json").read_text(encoding="utf-8"))
    assert [one["format"] for one in card["files"]] == ["keras", "saved_model", "litert", "onnx"]
    assert all(one["max_difference"] < 1e-4 and one["size"] > 1000 for one in card["files"])
    best = results.load(project).best
    assert (card["trial_id"], card["score"]) == (best.trial_id, best.score)
    assert card["data"]["licence"].startswith("CC BY 4.0")
    assert card["metrics"]["fcd"]["floor"] < card["metrics"]["fcd"]["value"]
    text = Path("out/model_card.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| generator") and line.count("|") == 6]
    assert [row[1].replace("\\", "") for row in rows] == [one["format"] for one in card["files"]]
    discriminator = keras.saving.load_model("out/discriminator.keras", safe_mode=True)
    assert discriminator.input_shape[1:] == (8, 8, 1)
    # Layers of Keras's own load without tuner_gan.
    assert {type(layer).__module__.split(".")[0] for layer in discriminator.layers} == {"keras"}
    assert np.isfinite(np.asarray(discriminator(np.zeros((2, 8, 8, 1), np.float32)))).all()
    # Another export leaves nothing there that may be of another trial.
    assert call(capsys, "export", str(project), "-o", "out").code == 0
    left = {path.name for path in Path("out").iterdir()}
    assert not left & {"generator_saved_model", "generator.tflite", "generator.onnx", "discriminator.keras"}


def test_the_program_beside_a_generator_makes_images_without_tuner_gan(
    project: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(capsys, "export", str(project), "-o", "out").code == 0
    code = "import sys, runpy; sys.modules['tuner_gan'] = None; runpy.run_path('generate.py')"
    command = [sys.executable, "-c", code, "-n", "5", "--seed", "0"]
    done = subprocess.run(command, cwd="out", capture_output=True, text=True, timeout=120)
    assert done.stdout == "5 images of (8, 8, 1) in images.npz\n", done.stderr
    with np.load("out/images.npz") as archive:
        images = archive["images"]
    assert call(capsys, "generate", "out/generator.keras", "-n", "5", "--seed", "0", "-o", "own.npz").code == 0
    with np.load("own.npz") as archive:
        np.testing.assert_array_equal(images, archive["images"])
    for option, value in (("-o", "images.png"), ("-n", "0")):
        monkeypatch.setattr(sys, "argv", ["generate.py", option, value])
        with pytest.raises(SystemExit):
            runpy.run_path("out/generate.py")
        assert "error: expected 1 image or more and a file that ends in .npz, but got " in capsys.readouterr().err
    assert not list(Path().glob("images*"))


def test_what_cannot_be_exported_is_told_before_anything_is_written(project: Path, capsys: Capture) -> None:
    found = call(capsys, "export", str(project), "-o", "out", "--format", "onxx")
    assert (found.code, found.error()) == (
        2,
        "Unknown format 'onxx' (did you mean 'onnx'?): choose one of keras, saved_model, litert, onnx.",
    )
    best = results.load(project).best
    (best.folder / "state.weights.h5").write_bytes(b"")
    found = call(capsys, "export", str(project), "-o", "out", "--discriminator")
    assert found.code == 2
    assert f"The discriminator of trial {best.trial_id} cannot be exported" in found.error()
    assert not Path("out").exists()


def test_a_walk_between_latents_of_a_real_generator(project: Path, tmp_path: Path) -> None:
    generator = keras.saving.load_model(project / "best" / "generator.keras")
    figure = plots.latent_walk(generator, rows=2, steps=4)
    assert plots.save(figure, tmp_path / "walk.html").stat().st_size > 1_000_000


def test_a_copied_and_a_read_only_project_are_reported_on(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(project, copy)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    found = results.load(copy)
    assert (
        found.trials()
        .drop(columns=["checkpoint", "samples"])
        .equals(results.load(project).trials().drop(columns=["checkpoint", "samples"]))
    )
    assert found.to_optuna().best_value == found.best.score
