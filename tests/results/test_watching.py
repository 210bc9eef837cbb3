from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import pytest
from project_folders import record_json, running_json, write_project, write_trial
from rich.console import Console

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.results import live, watching
from tuner_gan.results.watching import watch


@pytest.fixture(autouse=True)
def _fast_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SECONDS_A_FRAME", 0.02)
    monkeypatch.setattr(watching, "SECONDS_BETWEEN_LOOKS", 0.02)


def screen(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, legacy_windows=False)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def watch_while_locked(project: Path, console: Console, seen: str) -> None:
    """Watches a project that is searched in until `seen` is on the screen."""
    locked, done = threading.Event(), threading.Event()

    def search() -> None:
        with files.search_lock(project):
            locked.set()
            done.wait(20)

    thread = threading.Thread(target=search)
    thread.start()
    locked.wait(20)

    def end() -> None:
        deadline = time.monotonic() + 20
        while seen not in text(console) and time.monotonic() < deadline:
            time.sleep(0.02)
        done.set()

    threading.Thread(target=end).start()
    assert watch(project, console, baselines=2)
    thread.join()


@pytest.mark.parametrize(("baselines", "trials"), [("all", 8), ("none", 6)])
def test_a_terminal_shows_how_far_the_search_is(baselines: str, trials: int, tmp_path: Path) -> None:
    config = {"epochs": 10, "max_trials": 6, "max_time": 60.0, "baselines": baselines}
    project = write_project(tmp_path / "demo", record_json("0000", score=0.5, duration_s=20.0), config=config)
    write_trial(project, running_json("0001"))
    write_trial(project, record_json("0002", score=0.9))
    console = screen(terminal=True)
    watch_while_locked(project, console, "best fcd")
    shown = text(console)
    assert f"2/{trials} trials ended" in shown  # the tutorials, which are still to come, are two more
    assert "best fcd 0.5 (trial 0000)" in shown
    assert "epoch 0/10" in shown
    # 60 s, of which 12.3 s were over when search.json was written.
    assert "left about 0:4" in shown


def test_elsewhere_each_trial_that_ends_is_a_line(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", record_json("0000"))
    console = screen(terminal=False)

    def later() -> None:
        time.sleep(0.3)
        write_trial(project.parent / "aside", record_json("0001", score=0.25)).rename(project / "trial_0001")

    threading.Thread(target=later).start()
    watch_while_locked(project, console, "0001")
    assert text(console).splitlines() == [
        f"watching {project}: 1 trial so far",
        "trial 0001 (search): fcd 0.25, COMPLETED after 31 s",
    ]


def test_a_project_at_rest_is_not_waited_for(tmp_path: Path) -> None:
    console = screen(terminal=False)
    assert not watch(write_project(tmp_path / "demo", record_json("0000"), config=None), console, baselines=2)
    assert text(console) == ""
    with pytest.raises(ProjectError, match="does not exist"):
        watch(tmp_path / "none", console, baselines=2)


def test_settings_that_are_no_numbers_limit_nothing(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", config={"epochs": "ten", "max_trials": True, "max_time": None})
    console = screen(terminal=True)
    watch_while_locked(project, console, "left unknown")
    assert "0 trials ended" in text(console)


def test_it_ends_when_nobody_reads_on(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", record_json("0000"))
    console = screen(terminal=False)
    console.quiet = True
    with files.search_lock(project):
        assert watch(project, console, baselines=2)
