from __future__ import annotations

import io
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from project_folders import failed_json, record_json, running_json, search_json, write_project, write_trial
from rich.console import Console

from tuner_gan import files
from tuner_gan.results import live
from tuner_gan.results.live import LiveView


@pytest.fixture(autouse=True)
def _fast_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SECONDS_A_FRAME", 0.02)


def screen(terminal: bool = False, width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, legacy_windows=False)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def view(folder: Path, console: Console, max_trials: int | None = 3, seconds: float | None = 60) -> LiveView:
    stop_at = None if seconds is None else time.monotonic() + seconds
    return LiveView(folder, console, epochs=10, max_trials=max_trials, stop_at=stop_at)


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.005)


def add_trial(project: Path, record: dict[str, Any], history: str | None = None) -> Path:
    # Whole at once, as a search writes: the view may look at any moment.
    return write_trial(project.parent / "aside", record, history).rename(project / f"trial_{record['trial_id']}")


def replace_record(folder: Path, record: dict[str, Any]) -> None:
    files.write_json(folder / files.RECORD, record)


def test_each_newly_ended_trial_is_one_line(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", record_json("0000", score=0.5))
    console = screen()
    with files.search_lock(project), view(project, console):
        folder = add_trial(project, running_json("0001"))
        time.sleep(0.2)
        assert text(console) == ""  # neither the trial of an earlier run nor the running one
        replace_record(folder, record_json("0001", score=0.25, duration_s=31.25))
        wait_until(lambda: "0001" in text(console))
        add_trial(project, failed_json("0002", origin="baseline"))
        wait_until(lambda: "0002" in text(console))
        time.sleep(0.1)
    assert text(console).splitlines() == [
        "trial 0001 (search): fcd 0.25, COMPLETED after 31 s",
        "trial 0002 (baseline): FAILED after 4 s: generator loss is NaN at epoch 3",
    ]


def test_the_classifier_is_told_once_when_it_is_there(tmp_path: Path) -> None:
    project, console, answers = write_project(tmp_path / "demo"), screen(), iter([None, "reference classifier"])
    live = LiveView(project, console, epochs=10, max_trials=3, stop_at=None, classifier=lambda: next(answers))
    with live:
        wait_until(lambda: text(console) != "")
        add_trial(project, record_json("0000"))
        wait_until(lambda: "0000" in text(console))
    lines = text(console).splitlines()
    assert lines[0] == "reference classifier"
    assert [line[:10] for line in lines[1:]] == ["trial 0000"]


def test_the_line_of_a_trial_names_its_flags(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo")
    console = screen()
    with view(project, console):
        add_trial(project, record_json("0000", flags=["memorising", "collapsed"]))
        add_trial(project, failed_json("0001", flags=["diverged"]))
    assert text(console).splitlines() == [
        "trial 0000 (search): fcd 0.11, COMPLETED (memorising, collapsed) after 31 s",
        "trial 0001 (search): FAILED (diverged) after 4 s: generator loss is NaN at epoch 3",
    ]


def test_a_trial_that_ends_with_the_search_is_told_before_the_block_is_left(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo")
    console = screen()
    with view(project, console):
        add_trial(project, record_json("0000"))
    assert text(console).count("trial 0000") == 1


def test_an_interrupted_trial_that_goes_on_is_news_once_more(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo")
    folder = add_trial(project, running_json("0000"))
    console = screen()
    with view(project, console):  # the search does not hold its lock yet, so the old trial counts as interrupted
        time.sleep(0.1)
        with files.search_lock(project):
            replace_record(folder, running_json("0000", duration_s=3.5))
            time.sleep(0.1)
            assert text(console) == ""
            replace_record(folder, record_json("0000"))
            wait_until(lambda: text(console) != "")
    assert text(console).splitlines() == ["trial 0000 (search): fcd 0.11, COMPLETED after 31 s"]


def test_the_finalists_are_told_after_the_trials_and_before_their_own_lines(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo")
    console = screen()
    with view(project, console):
        add_trial(project, record_json("0001"))
        files.write_json(project / files.SEARCH, search_json(finalists=["0001", "0000"]))
        wait_until(lambda: "trial 0001" in text(console))
        time.sleep(0.1)
        assert "finalists" not in text(console)  # nobody knows yet whether there is time for one
        add_trial(project, record_json("final_0001", origin="finalist", score_std=0.0125, duration_s=90.0))
    assert text(console).splitlines() == [
        "trial 0001 (search): fcd 0.11, COMPLETED after 31 s",
        "finalists, trained again: 0001, 0000",
        "trial final_0001 (finalist): fcd 0.11 ± 0.013, COMPLETED after 90 s",
    ]
    again = screen()
    with view(project, again):
        time.sleep(0.1)
    assert text(again) == ""


def test_a_line_is_neither_wrapped_nor_read_as_markup(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo")
    message = "[bold]loss[/bold] " + "is large " * 20
    console = screen(width=40)
    with view(project, console):
        add_trial(project, failed_json("0000", message=message))
    assert len(text(console).splitlines()) == 1
    assert message.strip() in text(console)


def test_the_objective_is_called_by_its_name(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", objective={"name": "coverage", "direction": "max"})
    console = screen()
    with view(project, console):
        add_trial(project, record_json("0000", score=0.875))
    assert "coverage 0.875, COMPLETED" in text(console)


def test_a_terminal_shows_progress_best_and_time_left(tmp_path: Path) -> None:
    history = "execution,epoch,step,seconds,d_loss,g_loss,metric.fcd\n0,4,93,1.5,0.7,0.9,\n"
    project = write_project(tmp_path / "demo", record_json("0000", score=0.25))
    add_trial(project, running_json("0001"), history)
    console = screen(terminal=True)
    with files.search_lock(project), view(project, console):
        wait_until(lambda: "0.25" in text(console))
        shown = text(console)
        assert "best fcd 0.25 (trial 0000); held-out real images 0.004" in shown
        assert "\x1b[" in shown
        replace_record(project / "trial_0000", record_json("0000", score=0.125))
        wait_until(lambda: "best fcd 0.125" in text(console))
    assert "epoch 4" in shown


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("seconds", [None, 5.0])
def test_the_thread_ends_with_the_block_even_on_an_error(tmp_path: Path, terminal: bool, seconds: float | None) -> None:
    project = write_project(tmp_path / "demo")
    before = set(threading.enumerate())
    console = screen(terminal)

    def interrupt() -> None:
        with view(project, console, max_trials=None, seconds=seconds):
            assert len(set(threading.enumerate()) - before) >= 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert set(threading.enumerate()) <= before
    assert text(console).count("\x1b[?25h") == terminal  # the cursor is shown again


@pytest.mark.filterwarnings("always::UserWarning")
@pytest.mark.parametrize("terminal", [False, True])
def test_a_damaged_folder_does_not_end_the_view(tmp_path: Path, terminal: bool) -> None:
    project = write_project(tmp_path / "demo", record_json("0000", score=0.25))
    console = screen(terminal)

    def damage_and_repair() -> None:
        with view(project, console):
            broken = write_trial(project.parent / "aside", record_json("0001"))
            (broken / files.RECORD).write_text("{", encoding="utf-8")
            broken.rename(project / "trial_0001")
            (project / files.SEARCH).write_text("[]", encoding="utf-8")
            time.sleep(0.1)
            (project / files.SEARCH).unlink()
            time.sleep(0.1)
            write_project(project)
            add_trial(project, record_json("0002", score=0.0625))
            wait_until(lambda: "0.0625" in text(console))

    with pytest.warns(UserWarning, match="damaged"):
        damage_and_repair()
    if not terminal:
        record = project / "trial_0001" / files.RECORD
        assert f"trial 0001: UNREADABLE: {record} is damaged: expected JSON" in text(console)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_folder_that_is_not_there_yet_or_no_longer_is_waited_for(tmp_path: Path, terminal: bool) -> None:
    aside = write_project(tmp_path / "aside", record_json("0000", score=0.25))
    project = tmp_path / "demo"
    console = screen(terminal)
    with view(project, console):
        time.sleep(0.1)
        aside.rename(project)
        wait_until(lambda: "0.25" in text(console))
        shutil.rmtree(project)
        time.sleep(0.1)
    assert json.dumps(text(console)).count("Traceback") == 0


def test_looking_changes_nothing_in_the_folder(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", record_json("0000"), running_json("0001"))
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with view(project, screen()):
        time.sleep(0.1)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
