"""Runs the command line: in a process of its own, as users do, or in this one, where TensorFlow is loaded already."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tuner_gan.cli import main

ROOT = Path(__file__).parents[1]
SEARCH = (
    *("search", "--data", "digits", "--max-trials", "2", "--epochs", "2", "--baselines", "none", "--name", "demo"),
    *("--finalists", "0", "--pruner", "none"),
)
"""The smallest search on real images: a classifier and two trials."""


@dataclass(frozen=True)
class Run:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def error(self) -> str:
        """The one sentence on stderr."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("tuner-gan: error: ")
        assert "Traceback" not in self.out + self.err
        return lines[0].removeprefix("tuner-gan: error: ")


def start(*arguments: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Starts `python -m tuner_gan` in `folder`."""
    return start_python("-m", "tuner_gan", *arguments, folder=folder, **environment)


def start_python(*arguments: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = 300) -> Run:
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return Run(process.returncode, out, err)


def run(*arguments: str, folder: Path, **environment: str) -> Run:
    return finish(start(*arguments, folder=folder, **environment))


def run_python(*arguments: str, folder: Path, **environment: str) -> Run:
    return finish(start_python(*arguments, folder=folder, **environment))


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Run:
    """Runs a command in this process; it works in the current folder."""
    capsys.readouterr()
    code = main(arguments)
    return Run(code, *capsys.readouterr())


@functools.cache
def search_once(base: Path) -> tuple[Path, Run]:
    """Runs `SEARCH` in a new folder below `base`, once for all test files: it takes some 20 s.

    Returns:
        The folder that holds `runs/demo`, and what the command printed.
    """
    folder = base / "demo-search"
    folder.mkdir()
    return folder, run(*SEARCH, folder=folder)


def copy_search(searched: Path, to: Path, *, trials: bool = True) -> Path:
    """Copies `runs/demo` to a folder where a test may change it; without trials, only its classifier remains."""
    project = to / "runs" / "demo"
    kept = Path() if trials else Path("classifier")
    shutil.copytree(searched / "runs" / "demo" / kept, project / kept)
    return project


def digits(count: int) -> npt.NDArray[np.uint8]:
    """Real digits, uint8 [count, 8, 8]."""
    from sklearn.datasets import load_digits

    return np.asarray(load_digits().images[:count] * 15, np.uint8)
