"""Every command and every block of code of the guide is run, on smaller data and for a shorter time."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Run, digits
from PIL import Image
from short_trainings import short_trainings

from tuner_gan.cli import main

GUIDE = (Path(__file__).parents[1] / "docs" / "guide.md").read_text(encoding="utf-8")
SECTIONS = {part.split("\n", 1)[0]: part for part in GUIDE.split("\n## ")[1:]}
SMALL = (
    *("--max-trials", "1", "--epochs", "1", "--baselines", "none", "--finalists", "1", "--finalist-seeds", "1"),
    *("--pruner", "none"),
)
REPLACED = {
    '"mnist5k"': '"digits"',
    "(28, 28, 1)": "(8, 8, 1)",
    "max_trials=20": "max_trials=1",
    "GridSearchOracle(max_trials=4)": "GridSearchOracle(max_trials=1)",
    "epochs=50": "epochs=1",
    "epochs=10": "epochs=1",
    'directory="runs", project_name=': 'baselines="none", finalists=0, directory="runs", project_name=',
}
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)

_short = pytest.fixture(short_trainings, scope="module", autouse=True)


@pytest.fixture
def place(once: tuple[Path, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the guide's reader has by then: a first search, its export, a second one, and images."""
    for name in ("first", "hinge"):
        shutil.copytree(once[0] / "runs" / "demo", tmp_path / "runs" / name)
    shutil.copytree(once[0] / "runs" / "demo" / "best", tmp_path / "digits")
    (tmp_path / "photos").mkdir()
    images = digits(800)
    for number, image in enumerate(images):
        Image.fromarray(image).resize((40, 36)).save(tmp_path / "photos" / f"{number}.png")
    np.save(tmp_path / "images.npy", images)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def commands(block: str) -> list[list[str]]:
    return [shlex.split(line, comments=True) for line in block.splitlines() if line.strip()]


def run_command(words: list[str]) -> None:
    assert words[0] == "tuner-gan"
    arguments = words[1:]
    if arguments[0] == "search":
        text = " ".join(arguments).replace("postgresql://me@host/gan", "sqlite:///study.db").replace("/shared/", "")
        data = [] if "--data" in arguments else ["--data", "digits"]
        arguments = [*text.replace("--workers 2", "--workers 1").split(), *data, *SMALL]
    assert main(arguments) == 0, arguments


def run_section(title: str) -> None:
    blocks = BLOCK.findall(SECTIONS[title])
    assert blocks
    names: dict[str, object] = {}
    for language, block in blocks:
        if language == "bash":
            for words in commands(block):
                run_command(words)
        else:
            assert language == "python"
            for printed, small in REPLACED.items():
                block = block.replace(printed, small)
            exec(compile(block, "guide.md", "exec"), names)


def test_a_first_search(place: Path) -> None:
    shutil.rmtree(place / "runs" / "first")
    shutil.rmtree(place / "digits")
    run_section("A first search")
    for path in ("first.html", "digits/generate.py", "digits.png"):
        assert (place / path).is_file()


def test_your_own_images(place: Path) -> None:
    # Some 30 s: three searches, on folders of images and on an array, each with a classifier.
    run_section("Your own images")
    assert (place / "runs" / "mine" / "best" / "generator.keras").is_file()


def test_your_own_search_space(place: Path) -> None:
    shutil.rmtree(place / "runs" / "hinge")
    run_section("Your own search space")


def test_two_cores_two_machines(place: Path) -> None:
    # Some 40 s: workers are processes that load TensorFlow.
    run_section("Two cores, two machines")
    assert (place / "runs" / "cluster" / "best" / "generator.keras").is_file()


@pytest.mark.parametrize(
    "title", ["Reading the report", "A model that leaves the house", "Coming from KerasTuner", "Coming from Optuna"]
)
def test_other_sections(place: Path, title: str) -> None:
    run_section(title)


def test_every_block_is_in_a_section_that_is_run() -> None:
    run = [
        *("A first search", "Your own images", "Your own search space", "Two cores, two machines"),
        *("Reading the report", "A model that leaves the house", "Coming from KerasTuner", "Coming from Optuna"),
    ]
    assert [title for title, text in SECTIONS.items() if "```" in text] == run
