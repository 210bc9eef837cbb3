"""What a search may spend, and what it keeps for finalists."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuner_gan import files
from tuner_gan.search.budget import Budget, until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def trained(folder: Path, trial_id: str, epochs: int) -> None:
    """Writes the history of a trial of so many epochs."""
    path = files.trial_dir(folder, trial_id) / files.HISTORY
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"0,{epoch}\n" for epoch in range(1, epochs + 1))
    path.write_text(f"execution,epoch\n{rows}", encoding="utf-8")


def test_nothing_is_limited_unless_asked(tmp_path: Path) -> None:
    budget = Budget(tmp_path)
    trained(tmp_path, "0", 10_000)
    budget.turn_to_finalists(5.0)
    assert budget.may_begin()
    assert not budget.is_over()
    assert budget.epochs_left() is None
    assert until(budget.deadline) is until(budget.stop_at) is budget.max_trial_time is None


def test_half_of_the_time_is_kept_for_finalists(tmp_path: Path, clock: list[float]) -> None:
    budget = Budget(tmp_path, max_time=100.0, spent=30.0, finalist_epochs=9)
    assert (until(budget.stop_at), until(budget.deadline)) == (20.0, 70.0)
    clock[0] += 20.0
    assert not budget.may_begin()
    budget.turn_to_finalists(8.0)
    assert until(budget.stop_at) == 42.0
    assert budget.may_begin()
    clock[0] += 49.9
    assert not budget.is_over()
    clock[0] += 0.1
    assert budget.is_over()


def test_without_finalists_trials_have_all_the_time(tmp_path: Path, clock: list[float]) -> None:
    budget = Budget(tmp_path, max_time=100.0)
    assert until(budget.stop_at) == until(budget.deadline) == 100.0


def test_less_time_is_kept_where_finalists_need_less(tmp_path: Path, clock: list[float]) -> None:
    budget = Budget(tmp_path, max_time=100.0, finalist_epochs=9)
    assert budget.most_kept_s == 50.0
    budget.keep(30.0)
    assert (until(budget.stop_at), until(budget.deadline)) == (70.0, 100.0)
    without = Budget(tmp_path, finalist_epochs=9)
    assert without.most_kept_s == 0.0
    without.keep(30.0)
    assert without.stop_at is None


@pytest.mark.parametrize(
    ("epochs", "of_finalists", "of_trials"),
    [(20, 0, 20), (20, 3, 17), (20, 10, 10), (20, 60, 10), (5, 60, 3), (7, 60, 4)],  # half of them at most
)
def test_no_more_epochs_are_kept_than_finalists_have(
    epochs: int, of_finalists: int, of_trials: int, tmp_path: Path
) -> None:
    assert Budget(tmp_path, max_total_epochs=epochs, finalist_epochs=of_finalists).epochs_left() == of_trials


def test_a_trial_begins_with_half_of_its_time_at_least(tmp_path: Path, clock: list[float]) -> None:
    budget = Budget(tmp_path, max_time=400.0, max_trial_time=40.0)
    clock[0] += 379.0
    assert budget.may_begin()
    clock[0] += 1.0
    assert not budget.may_begin()


def test_a_limit_for_trials_beyond_the_search_s_own_time_keeps_none_from_beginning(
    tmp_path: Path, clock: list[float]
) -> None:
    budget = Budget(tmp_path, max_time=64.0, max_trial_time=1000.0, finalist_epochs=9)
    assert budget.may_begin()
    clock[0] += 27.9
    assert budget.may_begin()
    clock[0] += 0.1  # four seconds before the half that is kept for finalists
    assert not budget.may_begin()


def test_half_of_the_epochs_are_kept_for_finalists(tmp_path: Path) -> None:
    budget = Budget(tmp_path, max_total_epochs=20, finalist_epochs=60)
    assert budget.epochs_left() == 10
    trained(tmp_path, "0", 4)
    trained(tmp_path, "tutorial_conv", 3)
    assert budget.epochs_left() == 3
    trained(tmp_path, f"{files.FINALIST_PREFIX}0", 12)  # of an earlier run: they are not the trials' share, but spent
    assert budget.epochs_left() == 1
    trained(tmp_path, "1", 5)  # workers, who train at the same time, may go beyond
    assert budget.epochs_left() == 0
    assert not budget.may_begin()


def test_finalists_have_the_epochs_that_trials_left(tmp_path: Path) -> None:
    budget = Budget(tmp_path, max_total_epochs=20, finalist_epochs=60)
    trained(tmp_path, "0", 10)
    assert budget.epochs_left() == 0
    budget.turn_to_finalists(0.0)
    assert budget.epochs_left() == 10
    assert Budget(tmp_path, max_total_epochs=20).epochs_left() == 10


def test_one_epoch_is_for_trials_however_few_there_are(tmp_path: Path) -> None:
    assert Budget(tmp_path, max_total_epochs=1, finalist_epochs=9).epochs_left() == 1
