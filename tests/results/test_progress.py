from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from project_folders import HISTORY, failed_json, record_json, running_json, write_project, write_trial
from rich.cells import cell_len
from screens import shown, words

from tuner_gan import files
from tuner_gan.results.progress import BLOCKS, progress
from tuner_gan.results.records import read_project

NOW = datetime(2026, 11, 23, 18, 0, 30, 123456, tzinfo=UTC)


def history(*scores: float, execution: int = 0) -> str:
    """A history.csv with one rung an epoch."""
    rows = [f"{execution},{epoch},{epoch},1.0,0.5,0.5,{score}" for epoch, score in enumerate(scores, start=1)]
    return "\n".join(["execution,epoch,step,seconds,d_loss,g_loss,metric.fcd", *rows, ""])


def test_progress_names_the_flags_of_the_best(tmp_path: Path) -> None:
    records = [record_json("0000", score=0.1, flags=["memorising"]), record_json("0001", score=0.2)]
    clean = shown(progress(read_project(write_project(tmp_path / "clean", records[1])), width=80), 80)
    text = shown(progress(read_project(write_project(tmp_path / "demo", *records)), width=80), 80)
    assert {"flags", "memorising"} <= words(text)
    assert "flags" not in clean
    assert all(cell_len(line) == 80 for line in text.splitlines())


def test_progress_of_a_running_search(tmp_path: Path) -> None:
    project = write_project(
        tmp_path / "demo",
        record_json("0000", score=0.5, duration_s=20.0),
        record_json("0001", score=0.25, duration_s=40.0),
        failed_json("0002", duration_s=5.0),
    )
    write_trial(project, running_json("0003"), HISTORY)
    with files.search_lock(project):
        read = read_project(project)
    text = shown(progress(read, epochs=10, max_trials=6, seconds_left=None, now=NOW))
    assert "3/6 trials ended, 1 failed" in text
    assert "trial 0003 (search, execution 1), epoch 1/10" in text
    assert "best fcd 0.25 (trial 0001); held-out real images 0.004" in text
    # 20 + 40 + 5 s of ended trials and 30 s of the running one; three more of 30 s, of which 30 s are over.
    assert "elapsed 1:35, left about 1:00" in text
    assert "demo" in text.splitlines()[0]
    assert {"0000", "0001", "COMPLETED"} <= words(text)
    assert all(cell_len(line) == 100 for line in text.splitlines())
    assert "left about 0:12" in shown(progress(read, 10, 6, 12.0, now=NOW))
    assert "left about 0:00" in shown(progress(read, 10, 6, -3.0, now=NOW))
    assert "left about 1:02:03" in shown(progress(read, None, None, 3723.0, now=NOW))
    assert "3 trials ended" in shown(progress(read, now=NOW))
    assert "left unknown" in shown(progress(read, now=NOW))


def test_a_trial_that_was_interrupted_has_not_ended(tmp_path: Path) -> None:
    records = [record_json("0000", duration_s=20.0), running_json("0001", status="INTERRUPTED", duration_s=5.0)]
    read = read_project(write_project(tmp_path / "demo", *records))
    text = shown(progress(read, 10, 4, now=NOW))
    assert "1/4 trials ended, 0 failed" in text
    assert "elapsed 0:25, left about 1:00" in text


def test_progress_of_the_finalists(tmp_path: Path) -> None:
    asked = {"finalists": 3, "finalist_seeds": 2}
    project = write_project(
        tmp_path / "demo",
        record_json("0000", score=0.5, duration_s=20.0),
        record_json("0001", score=0.25, duration_s=40.0),
        record_json("final_0009", score=0.5, duration_s=5.0, origin="finalist"),  # of an earlier choice
        config=asked,
    )
    with files.search_lock(project):
        before = shown(progress(read_project(project), epochs=10, max_trials=3, now=NOW))
    assert "2/3 trials ended, 0 failed" in before
    assert "finalists" not in before
    # One more trial and six trainings, 30 s each.
    assert "left about 3:30" in before
    write_project(project, config=asked, finalists=["0001", "0000"])
    write_trial(project, failed_json("final_0001", origin="finalist", duration_s=10.0))
    write_trial(project, running_json("final_0000", origin="finalist"), HISTORY)
    with files.search_lock(project):
        text = shown(progress(read_project(project), epochs=10, max_trials=2, now=NOW))
    assert "2/2 trials ended, 0 failed" in text
    assert "1/2 finalists trained again, 1 failed" in text
    assert "trial final_0000 (finalist, execution 1), epoch 1/10" in text
    # Two trainings of 30 s, of which 30 s are over.
    assert "elapsed 1:45, left about 0:30" in text
    assert "best fcd 0.5 (trial final_0009)" in text


def test_progress_tells_only_the_top_five(tmp_path: Path) -> None:
    records = [record_json(f"000{i}", score=i / 10 + 0.1) for i in range(7)]
    text = shown(progress(read_project(write_project(tmp_path / "demo", *records)), 10, 7, None))
    assert "0004" in text
    assert "0005" not in text
    assert "7/7 trials ended, 0 failed" in text


def test_progress_before_any_score(tmp_path: Path) -> None:
    empty = read_project(write_project(tmp_path / "empty", name=None, classifier={}))
    text = shown(progress(empty, 10, 5, None))
    assert "no trial has a score yet" in text
    assert "0/5 trials ended, 0 failed" in text
    assert "empty" in text
    project = write_project(tmp_path / "first")
    write_trial(project, running_json("0000"), HISTORY[: HISTORY.index("1,1,93")])
    with files.search_lock(project):
        first = read_project(project)
    text = shown(progress(first, 10, 2, None, now=NOW))
    assert "trial 0000 (search), epoch 2/10" in text
    # 2 of 10 epochs took 30 s, so a trial takes 150 s: 120 s are left of this one and 150 s follow.
    assert "left about 4:30" in text


def test_curves_of_the_running_and_the_best_trials_are_on_one_scale(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo")
    write_trial(project, record_json("0000", score=0.1), history(1.0, 0.3, 0.1))
    write_trial(project, running_json("0001"), history(0.9, 0.8) + history(1.0, execution=1).split("\n", 1)[1])
    write_trial(project, record_json("0002", score=0.2))
    with files.search_lock(project):
        lines = shown(progress(read_project(project), epochs=10, now=NOW)).splitlines()
    curves = {line.split()[1]: line.split()[2] for line in lines if any(block in line for block in BLOCKS)}
    # On a logarithmic scale from 0.1 to 1: 0.3 is a little below the middle. Of 0001, the latest training is shown.
    assert curves == {"0001": "█", "0000": "█▄▁"}


def test_a_score_that_is_not_positive_is_drawn_as_well(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo")
    write_trial(project, record_json("0000", score=0.1), history(1.0, 0.0, -1.0))
    assert "█▅▁" in shown(progress(read_project(project), now=NOW))


def test_several_workers_share_the_rest(tmp_path: Path) -> None:
    project = write_project(
        tmp_path / "demo", record_json("0000", duration_s=60.0), record_json("0001", duration_s=60.0)
    )
    for trial_id in ("0002", "0003"):
        write_trial(project, running_json(trial_id), HISTORY)
    with contextlib.ExitStack() as stack:
        for worker in ("a", "b"):
            stack.enter_context(files.worker_lock(project, worker))
        text = shown(progress(read_project(project), epochs=10, max_trials=6, now=NOW))
    assert "trial 0002 (search, execution 1), epoch 1/10" in text
    assert "trial 0003 (search, execution 1), epoch 1/10" in text
    # 120 s of ended trials and twice 30 s, two at a time; four more of 60 s, of which 60 s are over.
    assert "elapsed 1:30, left about 1:30, 2 workers alive" in text
