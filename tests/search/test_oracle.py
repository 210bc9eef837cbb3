"""OptunaOracle by itself: what it suggests, keeps, prunes and takes up again."""

from __future__ import annotations

import importlib.metadata
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import optuna
import pytest
from optuna.trial import TrialState
from searches import QUIET

from tuner_gan import files
from tuner_gan.errors import ConfigError, ProjectError
from tuner_gan.search.names import PRUNERS, SAMPLERS
from tuner_gan.search.oracle import LostTrial, OptunaOracle
from tuner_gan.search.storage import StudyDamagedError, ask_lock, remove_search, take_trial

pytestmark = QUIET

FCD = keras_tuner.Objective("fcd", "min")


def space() -> keras_tuner.HyperParameters:
    """Two numbers, and one more for one of two kinds."""
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-4, 1e-1, sampling="log", default=1e-3)
    hp.Choice("kind", ["plain", "wide"])
    hp.Int("width", 8, 64, step=2, sampling="log", parent_name="kind", parent_values=["wide"])
    hp.Fixed("constant", 7)
    return hp


def make(folder: Path, max_trials: int | None = 8, **settings: Any) -> OptunaOracle:
    oracle = OptunaOracle(FCD, max_trials, hyperparameters=space(), **settings)
    oracle.verbose = 0
    oracle._set_project_dir(str(folder), "project")
    return oracle


def run(oracle: OptunaOracle, count: int = 1, tuner_id: str = "tuner0") -> list[dict[str, Any]]:
    """Runs trials, whose score is their rate; returns their values."""
    found = []
    for _ in range(count):
        trial = oracle.create_trial(tuner_id)
        assert trial.status == "RUNNING"
        found.append({"trial": trial.trial_id, **trial.hyperparameters.values})
        end(oracle, trial, trial.hyperparameters.values["rate"])
    return found


def end(oracle: OptunaOracle, trial: Any, score: float | None, status: str = "COMPLETED") -> None:
    if score is not None:
        oracle.update_trial(trial.trial_id, {"fcd": score})
    trial.status = status
    oracle.end_trial(trial)


@pytest.fixture
def oracle(tmp_path: Path) -> Iterator[OptunaOracle]:
    made = make(tmp_path)
    yield made
    made.release()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_only_active_hyperparameters_have_values(sampler: str, tmp_path: Path) -> None:
    found = run(make(tmp_path, 14, sampler=sampler), 14)
    assert {point["kind"] for point in found} == {"plain", "wide"}
    for point in found:
        assert ("width" in point) == (point["kind"] == "wide")
        assert point.get("width", 8) in (8, 16, 32, 64)
        assert point["constant"] == 7
        assert 1e-4 <= point["rate"] <= 1e-1
    assert len({point["rate"] for point in found}) >= 10  # a generation of NSGA-II takes genes of the one before


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_that_is_cut_draws_what_one_that_is_not_draws(sampler: str, tmp_path: Path) -> None:
    whole = run(make(tmp_path / "whole", 9, sampler=sampler), 9)
    first = make(tmp_path / "cut", 9, sampler=sampler)
    cut = run(first, 4)
    running = first.create_trial("tuner0")
    first.release()
    second = make(tmp_path / "cut", 9, sampler=sampler)
    cut += run(second, 5)
    assert cut == whole
    assert running.trial_id == whole[4]["trial"]
    assert run(make(tmp_path / "other", 9, sampler=sampler, seed=1), 9) != whole


def test_tpe_learns(tmp_path: Path) -> None:
    rates = [point["rate"] for point in run(make(tmp_path, 40), 40)]
    early, late = sorted(rates[:10]), sorted(rates[-10:])
    assert late[5] < early[5] / 3  # the score is the rate


def test_points_that_are_asked_for_come_first(tmp_path: Path) -> None:
    oracle = make(tmp_path, enqueue=[{"rate": 0.05, "kind": "wide", "width": 32}, {}])
    first, second, third = run(oracle, 3)
    assert first == {"trial": "0", "rate": 0.05, "kind": "wide", "width": 32, "constant": 7}
    assert second == {"trial": "1", "rate": 1e-3, "kind": "plain", "constant": 7}
    assert third["rate"] not in (0.05, 1e-3)


def test_points_that_are_asked_for_later_come_next_and_none_twice(tmp_path: Path) -> None:
    """The first ones as before: a project tells by its trials' values which it has had."""
    known: list[dict[str, Any]] = [{"rate": 0.05}, {"kind": "wide", "width": 32}, {"rate": 0.05}, {"rate": 0.02}]
    whole = run(make(tmp_path / "whole", enqueue=known), 6)
    cut = run(make(tmp_path / "cut", enqueue=known), 2)
    mine = {"rate": 0.07, "kind": "wide", "width": 16}
    cut += run(make(tmp_path / "cut", enqueue=[mine, *known]), 4)
    assert [point["rate"] for point in whole[:4]] == [0.05, 1e-3, 0.05, 0.02]
    assert [{**point, "trial": ""} for point in cut] == [
        {**point, "trial": ""} for point in (*whole[:2], {**mine, "constant": 7}, *whole[2:4], cut[5])
    ]
    assert cut[5]["rate"] not in (0.05, 1e-3, 0.02, 0.07)
    # Nor does another that asks while one of them runs.
    oracle = make(tmp_path / "cut", 9, enqueue=[{"rate": 0.08}, mine, *known])
    trials = [oracle.create_trial(tuner_id).hyperparameters.values["rate"] for tuner_id in ("tuner0", "tuner1")]
    assert (trials[0], trials[1] == 0.08) == (0.08, False)
    oracle.release()


def test_a_point_is_known_by_what_optuna_makes_of_it(tmp_path: Path) -> None:
    hp = keras_tuner.HyperParameters()
    hp.Float("momentum", 0.1, 0.9, sampling="reverse_log")
    hp.Float("rate", 1e-4, 1e-1, sampling="log", step=10)

    def search() -> list[Any]:
        oracle = OptunaOracle(FCD, 6, hyperparameters=hp.copy(), enqueue=[{"momentum": 0.3, "rate": 1e-2}])
        oracle.verbose = 0
        oracle._set_project_dir(str(tmp_path), "project")
        return [point["momentum"] for point in run(oracle, 2)]

    (first, second), *rest = search(), *search()
    assert first == pytest.approx(0.3)
    assert pytest.approx(0.3) not in [second, *rest]


def test_a_point_stays_known_when_trials_add_to_the_space(tmp_path: Path) -> None:
    oracle = make(tmp_path, enqueue=[{}])
    added = []
    for name in ("first", "second", "third"):
        trial = oracle.create_trial("tuner0")
        added.append(trial.hyperparameters.values["rate"] == 1e-3)
        trial.hyperparameters.Int(name, 1, 99)
        end(oracle, trial, 0.1)
    assert added == [True, False, False]


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"rates": 1.0}, r"no hyperparameter 'rates' \(did you mean 'rate'\?\)"),
        ({"rate": 1.0}, "rate must be in 0.0001 to 0.1, log, but got 1.0"),
        ({"kind": "wide", "width": 17}, "width must be in 8 to 64, log, by factors of 2, but got 17"),
    ],
)
def test_points_that_cannot_be(point: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        make(tmp_path, enqueue=[point]).create_trial("tuner0")


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_default_between_two_steps_moves_to_the_nearest(sampler: str, tmp_path: Path) -> None:
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 10, 50, step=10, default=16)
    hp.Float("dropout", 0.0, 0.5, step=0.1, default=0.26)
    hp.Float("rate", 1e-4, 1e-1, sampling="log", default=1.0)
    oracle = OptunaOracle(FCD, 6, hyperparameters=hp, sampler=sampler, enqueue=[{}, {"width": 50, "dropout": 0.5}])
    oracle.verbose = 0
    oracle._set_project_dir(str(tmp_path), "project")
    first, second, *drawn = run(oracle, 6)
    assert first == {"trial": "0", "width": 20, "dropout": 0.3, "rate": 0.1}
    assert second == {"trial": "1", "width": 50, "dropout": 0.5, "rate": 0.1}
    assert all(point["width"] in (10, 20, 30, 40, 50) for point in drawn)


def test_the_limit_of_trials_and_what_others_run(tmp_path: Path) -> None:
    code = (
        "import sys, test_oracle as t, pathlib\n"
        "print(t.make(pathlib.Path(sys.argv[1]), 2).create_trial('other').trial_id, flush=True)\n"
        "sys.stdin.read()"
    )
    oracle = make(tmp_path, 2)
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parent, **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "0\n"
        mine = oracle.create_trial("tuner0")
        assert mine.trial_id == "1"
        assert oracle.create_trial("tuner0") is mine
        end(oracle, mine, 0.5)
        assert oracle.create_trial("tuner0").status == "IDLE"  # the other may leave its trial
        other.kill()
    taken = oracle.create_trial("tuner0")
    assert (taken.trial_id, taken.status) == ("0", "RUNNING")
    end(oracle, taken, 0.4)
    assert oracle.create_trial("tuner0").status == "STOPPED"
    again = make(tmp_path, 2)
    again.reload()
    assert {trial_id: trial.score for trial_id, trial in again.trials.items()} == {"0": 0.4, "1": 0.5}
    assert again.get_best_trials(1)[0].trial_id == "0"


def test_a_trial_that_ends_while_another_process_asks_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(tmp_path), make(tmp_path)
    mine = first.create_trial("tuner0")

    def take(folder: Path, trial_id: str) -> bool:
        if trial_id == mine.trial_id:  # the second has read that it runs; now it ends, and its lock is free
            monkeypatch.undo()
            end(first, mine, 0.5)
        return take_trial(folder, trial_id)

    monkeypatch.setattr("tuner_gan.search.oracle.take_trial", take)
    theirs = second.create_trial("tuner0")
    assert (theirs.trial_id, second.trials["0"].score) == ("1", 0.5)
    end(second, theirs, 0.4)
    assert [trial.value for trial in first.study.trials] == [0.5, 0.4]


def test_a_process_that_is_killed_leaves_its_trial_to_others(tmp_path: Path) -> None:
    code = (
        "import os, sys, test_oracle as t, pathlib\n"
        "t.make(pathlib.Path(sys.argv[1])).create_trial('other')\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parent, capture_output=True)
    assert done.returncode == -9
    oracle = make(tmp_path)
    taken = oracle.create_trial("tuner0")
    assert (taken.trial_id, len(oracle.trials)) == ("0", 1)
    end(oracle, taken, 0.1)
    assert [trial.state.name for trial in oracle.study.trials] == ["COMPLETE"]
    assert run(oracle)[0]["trial"] == "1"


@pytest.mark.parametrize("status", ["COMPLETED", "PRUNED", "FAILED"])
def test_what_a_trial_has_added_stays_as_it_was(status: str, oracle: OptunaOracle, tmp_path: Path) -> None:
    left = oracle.create_trial("tuner0")
    drawn = dict(left.hyperparameters.values)
    trial = oracle.create_trial("tuner1")
    other = make(tmp_path)
    other.reload()  # while it runs
    depth = trial.hyperparameters.Int("depth", 2, 9)
    trial.hyperparameters.Float("noise", 0.0, 1.0, default=0.5, parent_name="depth", parent_values=[2])
    trial.hyperparameters.Float("momentum", 0.0, 1.0, parent_name="depth", parent_values=[3])
    if status == "PRUNED":
        oracle.mark_pruned(trial.trial_id)
    end(oracle, trial, 0.1, status.replace("PRUNED", "COMPLETED"))
    oracle.release()  # as if it was killed
    values = trial.hyperparameters.values
    assert (depth, values["noise"], "momentum" in values) == (2, 0.5, False)
    for again in (other, make(tmp_path), make(tmp_path)):
        again.reload()
        assert again.trials["1"].hyperparameters.values == values
    # What has not ended adds them at their defaults, too, as it would have done when it began.
    taken = make(tmp_path).create_trial("tuner0").hyperparameters
    assert taken.values == drawn
    assert (taken.Int("depth", 2, 9), taken.Float("noise", 0.0, 1.0, default=0.5)) == (2, 0.5)


def test_a_database_that_is_cut_off_when_it_has_heard_how_a_trial_ended(
    oracle: OptunaOracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = oracle.study.tell

    def cut_off(*given: Any, **named: Any) -> None:
        monkeypatch.undo()
        tell(*given, **named)
        raise optuna.exceptions.StorageInternalError("cut off")

    monkeypatch.setattr(oracle.study, "tell", cut_off)
    assert [one["trial"] for one in run(oracle, 2)] == ["0", "1"]
    assert [trial.state.name for trial in oracle.study.trials] == ["COMPLETE", "COMPLETE"]


def test_a_failed_trial_says_why(oracle: OptunaOracle, tmp_path: Path) -> None:
    trial = oracle.create_trial("tuner0")
    trial.message = "generator loss is nan"
    end(oracle, trial, None, "FAILED")
    frozen = oracle.study.trials[0]
    assert (frozen.state.name, frozen.user_attrs["message"]) == ("FAIL", "generator loss is nan")
    again = make(tmp_path)
    again.reload()
    assert (again.trials["0"].status, again.trials["0"].message) == ("FAILED", "generator loss is nan")


def test_successive_halving(tmp_path: Path) -> None:
    oracle = make(tmp_path, 9)
    oracle.set_rungs(3, 30)
    asked = []
    for score in (0.9, 0.8, 0.95, 0.85, 0.99, 0.7):
        trial = oracle.create_trial("tuner0")
        prune = oracle.report(trial.trial_id, score, execution=0, epoch=3)
        asked.append(prune)
        if prune:
            oracle.mark_pruned(trial.trial_id)
        end(oracle, trial, score)
    # The best third of those so far goes on: the first always does.
    assert asked == [False, False, True, True, True, False]
    states = [trial.state.name for trial in oracle.study.trials]
    assert states == ["PRUNED" if prune else "COMPLETE" for prune in asked]
    assert oracle.trials["2"].score == 0.95
    again = make(tmp_path, 9)
    again.reload()
    assert again.trials["2"].score == 0.95
    assert oracle.study.trials[0].intermediate_values == {3: 0.9}


def test_a_trial_that_comes_by_a_rung_again(oracle: OptunaOracle) -> None:
    trial = oracle.create_trial("tuner0")
    for score in (0.5, 0.4):
        assert not oracle.report(trial.trial_id, score, execution=0, epoch=3)
    assert oracle.study.trials[0].intermediate_values == {3: 0.5}


@pytest.mark.parametrize("moment", ["decided", "reported"])
def test_a_decision_to_prune_is_that_of_the_first_time(
    moment: str, oracle: OptunaOracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process may be killed before its trial has heard of the decision, or before there was one."""
    run_of_good = oracle.create_trial("tuner0")
    assert not oracle.report(run_of_good.trial_id, 0.1, execution=0, epoch=3)
    end(oracle, run_of_good, 0.1)
    bad = oracle.create_trial("tuner0")
    if moment == "decided":
        assert oracle.report(bad.trial_id, 0.9, execution=0, epoch=3)
    else:
        with monkeypatch.context() as patch:

            def killed(self: optuna.Trial) -> bool:
                raise KeyboardInterrupt

            patch.setattr(optuna.Trial, "should_prune", killed)
            with pytest.raises(KeyboardInterrupt):
                oracle.report(bad.trial_id, 0.9, execution=0, epoch=3)
    oracle.release()
    again = make(tmp_path)
    assert again.create_trial("tuner1").trial_id == bad.trial_id
    assert again.report(bad.trial_id, 0.9, execution=0, epoch=3)
    assert again.study.trials[1].intermediate_values == {3: 0.9}


def test_when_only_some_trials_may_be_run_again_no_other_is_and_none_begins(tmp_path: Path) -> None:
    first = make(tmp_path)
    for tuner_id in ("tuner0", "tuner1", "tuner2"):
        first.create_trial(tuner_id)
    first.release()
    second = make(tmp_path)
    second.only = {"1", "2"}.__contains__
    assert second.has_interrupted()
    assert second.create_trial("tuner0").trial_id == "1"
    other = make(tmp_path)
    other.only = set[str]().__contains__
    assert not other.has_interrupted()
    assert other.create_trial("tuner1").status == "STOPPED"
    assert len(other.study.trials) == 3
    other.only = None
    assert other.create_trial("tuner1").trial_id == "0"
    for oracle in (second, other):
        oracle.release()


@pytest.mark.parametrize("pruner", PRUNERS)
def test_what_each_pruner_looks_at(pruner: str, tmp_path: Path) -> None:
    oracle = make(tmp_path, 40, pruner=pruner)
    oracle.set_rungs(1, 10)
    pruned = 0
    for number in range(24):
        trial = oracle.create_trial("tuner0")
        steps = [(epoch, 0) for epoch in range(1, 10)] + [(None, 0)]
        if pruner == "wilcoxon":
            steps = [(1, 0), (None, 0), (1, 1), (None, 1), (None, 2), (None, 3), (None, 4), (None, 5)]
        for epoch, execution in steps:
            score = number + execution / 10
            if oracle.report(trial.trial_id, score, execution=execution, epoch=epoch):
                oracle.mark_pruned(trial.trial_id)
                pruned += 1
                break
        end(oracle, trial, float(number))
    reported = {step for trial in oracle.study.trials for step in trial.intermediate_values}
    if pruner == "none":
        assert (pruned, reported) == (0, set())
    else:
        assert pruned > 5
        assert reported <= (set(range(6)) if pruner == "wilcoxon" else set(range(1, 10)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "tpee"}, r"Unknown sampler 'tpee' \(did you mean 'tpe'\?\): choose one of tpe, cmaes"),
        ({"pruner": "halve"}, "Unknown pruner 'halve'.*: choose one of halving"),
        ({"seed": -1}, "seed must be an integer from 0, but got -1"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        make(tmp_path, **settings)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_other_choices_than_those_of_earlier_trials_are_refused(sampler: str, tmp_path: Path) -> None:
    run(make(tmp_path, sampler=sampler), 6)
    other = make(tmp_path, sampler=sampler)
    other.hyperparameters = keras_tuner.HyperParameters()
    other.hyperparameters.Float("rate", 1e-3, 1.0, sampling="log")  # another range is none of a study's business
    other.hyperparameters.Choice("kind", ["plain", "narrow"])
    with pytest.raises(ProjectError, match="for which kind had another type or other choices: choose another project"):
        other.create_trial("tuner0")


@pytest.mark.parametrize("state", ["WAITING", "RUNNING", "COMPLETE"])
def test_trials_that_were_made_with_optuna_itself(state: str, tmp_path: Path) -> None:
    run(make(tmp_path), 2)
    study = optuna.load_study(study_name="project", storage=f"sqlite:///{tmp_path / 'project' / files.STUDY}")
    if state == "WAITING":
        study.enqueue_trial({"rate": 0.01})
    else:
        study.add_trial(
            optuna.trial.create_trial(state=getattr(TrialState, state), value=None if state == "RUNNING" else 1)
        )
    with pytest.raises(
        ProjectError, match=r"^Trial 2 of the study in study.db is not of this .*enqueue \(--enqueue.*, to go on,"
    ) as caught:
        make(tmp_path).reload()
    advice = str(caught.value).partition(", to go on, ")[2]
    if state == "COMPLETE":
        assert advice == "choose another project name."
        return
    which = "study.ask()" if state == "WAITING" else "2"
    assert advice == f"end it with Optuna's study.tell({which}, state=optuna.trial.TrialState.FAIL)."
    study.tell(study.ask() if state == "WAITING" else 2, state=TrialState.FAIL)
    again = make(tmp_path)
    assert [one["trial"] for one in run(again, 2)] == ["3", "4"]
    assert [trial.status for trial in again.trials.values()] == ["COMPLETED"] * 2 + ["FAILED"] + ["COMPLETED"] * 2


def test_a_storage_that_is_none(tmp_path: Path) -> None:
    for url in ("nowhere", "mystery://host/name"):
        with pytest.raises(ConfigError, match="storage must be the URL of a database, such as postgresql"):
            make(tmp_path, storage=url).create_trial("tuner0")


def test_another_storage(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    run(make(tmp_path, storage=url), 2)
    assert optuna.load_study(study_name="project", storage=url).trials[1].state.name == "COMPLETE"
    assert not (tmp_path / "project" / files.STUDY).exists()


def test_a_storage_knows_which_folder_a_study_is_of(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"

    def trials() -> int:
        return len(optuna.load_study(study_name="project", storage=url).trials)

    first = make(tmp_path / "first", storage=url)
    run(first, 2)
    for _ in range(2):
        other = make(tmp_path / "other", storage=url)
        with pytest.raises(
            ProjectError, match=r"already holds a study named 'project', .* than .*other/project: choose"
        ):
            other.create_trial("tuner0")
    # The other's folder may go, and nothing of the first with it.
    (tmp_path / "other" / "project" / files.SEARCH).touch()  # as the folder of a search
    remove_search(tmp_path / "other" / "project", url)
    assert not (tmp_path / "other" / "project").exists()
    assert trials() == 2
    assert run(make(tmp_path / "first", storage=url))[0]["trial"] == "2"
    first.close()
    (tmp_path / "first" / "project" / files.SEARCH).touch()
    remove_search(tmp_path / "first" / "project", url)
    assert optuna.get_all_study_names(url) == []
    assert run(make(tmp_path / "first", storage=url))[0]["trial"] == "0"
    remove_search(tmp_path / "nowhere" / "project", url)
    assert trials() == 1


def test_the_study_of_a_folder_that_was_deleted_by_hand_is_deleted_as_the_message_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"

    def begin() -> OptunaOracle:
        oracle = make(tmp_path, storage=url)
        oracle._set_project_dir(str(tmp_path), "my project")
        return oracle

    first = begin()
    run(first)
    first.close()
    shutil.rmtree(tmp_path / "my project")
    with pytest.raises(
        ProjectError, match="if it was an earlier one that you have deleted, delete its study with optuna"
    ) as caught:
        begin().create_trial("tuner0")
    command = shlex.split(str(caught.value).partition("delete its study with ")[2])
    assert command[-1] == "URL."
    (optuna_command,) = importlib.metadata.entry_points(group="console_scripts", name=command[0])
    monkeypatch.setattr(sys, "argv", [*command[:-1], url])
    assert optuna_command.load()() == 0
    assert run(begin())[0]["trial"] == "0"


def test_who_cannot_reach_the_database_keeps_no_other_from_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may get the number that this one has drawn values for; nothing of them is left."""
    oracle, other = make(tmp_path, seed=1), make(tmp_path, seed=1)
    add_trial = oracle.study.add_trial

    def away(trial: optuna.trial.FrozenTrial) -> None:
        monkeypatch.setattr(oracle.study, "add_trial", add_trial)
        raise optuna.exceptions.StorageInternalError("away")

    def meanwhile(seconds: float) -> None:
        monkeypatch.undo()
        ask_lock(tmp_path / "project").acquire(timeout=0).lock.release()
        assert not files.is_locked(files.trial_dir(tmp_path / "project", "0") / files.LOCK)
        assert run(other, tuner_id="other")[0]["trial"] == "0"

    monkeypatch.setattr(oracle.study, "add_trial", away)
    monkeypatch.setattr("tuner_gan.search.storage.time.sleep", meanwhile)
    assert [one["trial"] for one in run(oracle, 2)] == ["1", "2"]
    for trial in oracle.study.trials:
        assert trial.params == oracle._mirror._get(trial.number).params
    assert [one["trial"] for one in run(other, tuner_id="other")] == ["3"]


def test_a_trial_that_reached_the_database_unnoticed_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = make(tmp_path)
    add_trial = oracle.study.add_trial

    def cut_off(trial: optuna.trial.FrozenTrial) -> None:
        monkeypatch.undo()
        add_trial(trial)
        raise optuna.exceptions.StorageInternalError("cut off")

    monkeypatch.setattr(oracle.study, "add_trial", cut_off)
    assert [one["trial"] for one in run(oracle, 2)] == ["0", "1"]


def test_a_database_that_is_away_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = make(tmp_path)
    run(oracle)
    path = tmp_path / "project" / files.STUDY
    # Another process holds the database for as long as it sleeps, and this one gives up at once, unless it is patient.
    oracle.close()
    monkeypatch.setattr("tuner_gan.search.storage.SECONDS_LOCKED", 0.1)
    code = (
        "import sqlite3, sys, time\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('BEGIN EXCLUSIVE')\n"
        "print('held', flush=True)\n"
        "time.sleep(3)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert run(oracle)[0]["trial"] == "1"
    monkeypatch.setattr("tuner_gan.search.storage.SECONDS_PATIENT", 0.5)
    oracle.close()
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(
            ProjectError, match=r"study\.db cannot be used \(database is locked\): see that its database"
        ):
            run(oracle)


def test_a_damaged_database_comes_back_from_what_is_known(tmp_path: Path) -> None:
    oracle = make(tmp_path)
    points = run(oracle, 3)
    oracle.close()
    path = tmp_path / "project" / files.STUDY
    path.write_bytes(b"no database at all " * 100)
    again = make(tmp_path)
    with pytest.raises(StudyDamagedError, match=r"study\.db is damaged \(file is not a database\)"):
        again.reload()
    path.unlink()
    again.close()
    states = ("COMPLETE", "PRUNED", "FAIL")
    lost = [
        LostTrial(
            str(number),
            state,
            {name: value for name, value in points[number].items() if name != "trial"},
            score=None if state == "FAIL" else 0.5,
            curve={3: 0.6},
            message="it is too big" if state == "FAIL" else None,
        )
        for number, state in enumerate(states)
    ]
    again.restore(lost)
    assert [trial.status for trial in again.trials.values()] == ["COMPLETED", "COMPLETED", "FAILED"]
    assert again.trials["1"].score == 0.5
    assert again.study.trials[1].params.keys() == oracle.study.trials[1].params.keys()
    assert run(again)[0]["trial"] == "3"


def test_a_lost_trial_comes_back_with_the_hyperparameters_that_it_had(tmp_path: Path) -> None:
    oracle = make(tmp_path)
    kind = {"parent_name": "kind", "parent_values": ["plain"]}
    oracle.hyperparameters.Int("width", 1, 99, **kind)
    oracle.restore([LostTrial("0", "COMPLETE", {"rate": 0.01, "kind": "plain", "width": 8}, score=0.5)])
    assert oracle.study.trials[0].params == {"rate": 0.01, "kind": "plain", "width [kind is plain]": 8}


def test_what_a_pruner_has_seen_of_lost_trials_comes_back(tmp_path: Path) -> None:
    def make_one(name: str) -> OptunaOracle:
        oracle = make(tmp_path / name, 20)
        oracle.set_rungs(1, 9)
        return oracle

    def train(oracle: OptunaOracle, score: float) -> LostTrial:
        trial = oracle.create_trial("tuner0")
        curve: dict[int, float] = {}
        for epoch in range(1, 9):
            curve[epoch] = score / epoch
            if oracle.report(trial.trial_id, curve[epoch], execution=0, epoch=epoch):
                oracle.mark_pruned(trial.trial_id)
                break
        end(oracle, trial, curve[epoch])
        state = "PRUNED" if epoch < 8 else "COMPLETE"
        values = dict(trial.hyperparameters.values)
        return LostTrial(trial.trial_id, state, values, score=curve[epoch], curve=curve)

    whole, mended = make_one("whole"), make_one("mended")
    scores = (0.5, 0.6, 0.3, 0.4, 0.2, 0.7)
    mended.restore([train(whole, score) for score in scores])
    for one, other in zip(whole.study.trials, mended.study.trials, strict=True):
        assert (one.state, one.value, one.params) == (other.state, other.value, other.params)
        assert one.intermediate_values == other.intermediate_values
        rungs = [{key: value for key, value in trial.system_attrs.items() if "rung" in key} for trial in (one, other)]
        assert rungs[0] == rungs[1]
        assert rungs[0]
    for score in (0.35, 0.1, 0.9):
        first, second = train(whole, score), train(mended, score)
        assert (first.state, first.curve) == (second.state, second.curve)


def test_pruned_trials_rank_after_completed_ones_and_others_not_at_all(tmp_path: Path) -> None:
    oracle = make(tmp_path, 9)
    for score, status in ((0.5, "COMPLETED"), (0.1, "PRUNED"), (None, "FAILED"), (0.3, "COMPLETED"), (0.2, "PRUNED")):
        trial = oracle.create_trial("tuner0")
        if status == "PRUNED":
            oracle.mark_pruned(trial.trial_id)
        end(oracle, trial, score, status.replace("PRUNED", "COMPLETED"))
    oracle.create_trial("tuner0")  # runs
    again = make(tmp_path, 9)
    again.reload()
    for one in (oracle, again):
        assert [trial.trial_id for trial in one.get_best_trials(9)] == ["3", "0", "1", "4"]
        assert [trial.trial_id for trial in one.get_best_trials(1)] == ["3"]
    oracle.release()


def test_pictures_for_the_dashboard(oracle: OptunaOracle, tmp_path: Path) -> None:
    picture = tmp_path / "samples.png"
    picture.write_bytes(b"png")
    trial = oracle.create_trial("tuner0")
    oracle.attach(trial.trial_id, picture)
    oracle.release()  # as if it was killed
    oracle = make(tmp_path)
    trial = oracle.create_trial("tuner0")
    oracle.attach(trial.trial_id, picture)
    end(oracle, trial, 0.3)
    assert len(list((tmp_path / "project" / files.ARTIFACTS).iterdir())) == 1
    (found,) = optuna.artifacts.get_all_artifact_meta(oracle.study.trials[0], storage=oracle.study._storage)
    assert found.filename == "samples.png"
    assert (tmp_path / "project" / files.ARTIFACTS / found.artifact_id).read_bytes() == b"png"


def test_any_tuner_can_use_it(tmp_path: Path) -> None:
    class Plain(keras_tuner.Tuner):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            return float(trial.hyperparameters.Float("rate", 1e-4, 1e-1, sampling="log"))

    oracle = OptunaOracle(max_trials=4)
    tuner = Plain(oracle, directory=str(tmp_path), project_name="plain")
    tuner.search(verbose=0)
    scores = [trial.value for trial in oracle.study.trials if trial.value is not None]
    assert len(scores) == 4
    assert min(score for score in scores if score is not None) == tuner.oracle.get_best_trials(1)[0].score
    again = Plain(OptunaOracle(max_trials=5), directory=str(tmp_path), project_name="plain")
    again.oracle.reload()
    again.search(verbose=0)
    assert [trial.value for trial in again.oracle.study.trials][:4] == scores
    assert len(again.oracle.trials) == 5
    # What trials have added to the space is drawn for the first one after a new start, too.
    rates = [trial.params.get("rate") for trial in again.oracle.study.trials]
    assert rates[0] is None  # it added the hyperparameter, at its default
    assert len(set(rates[1:])) == 4
    assert scores[1:] == rates[1:4]


def test_any_tuner_finds_the_metrics_of_earlier_trials_again(tmp_path: Path) -> None:
    class Plain(keras_tuner.Tuner):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> keras.callbacks.History:
            rate = trial.hyperparameters.Float("rate", 0.1, 0.5)
            history = keras.callbacks.History()
            history.history = {"val_accuracy": [rate, 2 * rate, 0.0], "loss": [3.0, 2.0, 1.0]}
            return history

    def make(limit: int) -> Any:
        oracle = OptunaOracle("val_accuracy", limit)
        return Plain(oracle, directory=str(tmp_path), project_name="plain")

    def found(tuner: Any) -> list[Any]:
        return [(one.score, one.best_step, one.metrics.get_config()) for one in tuner.oracle.get_best_trials(9)]

    tuner = make(2)
    tuner.search(verbose=0)
    assert [step for _, step, _ in found(tuner)] == [1, 1]
    assert found(make(2)) == found(tuner)


def test_a_tuner_that_declares_its_space_only_once_goes_on_as_if_it_had_not_ended(tmp_path: Path) -> None:
    class Model(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: keras_tuner.HyperParameters) -> None:
            hp.Float("rate", 1e-4, 1e-1, sampling="log")
            kind = hp.Choice("kind", ["plain", "wide"])
            with hp.conditional_scope("kind", ["wide"]):
                if kind == "wide":
                    hp.Int("width", 8, 64)

    class Plain(keras_tuner.engine.base_tuner.BaseTuner):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            self.hypermodel.build(trial.hyperparameters)
            return float(trial.hyperparameters.get("rate"))

    def search(name: str, *limits: int) -> list[dict[str, Any]]:
        for limit in limits:
            tuner = Plain(OptunaOracle(None, limit), Model(), directory=str(tmp_path), project_name=name)
            tuner.search(verbose=0)
        return [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]

    points = search("cut", 3, 6)
    assert points == search("whole", 6)
    assert len({point["rate"] for point in points}) == 6


def test_a_space_that_is_given_whole_may_have_shrunk(tmp_path: Path) -> None:
    run(make(tmp_path, allow_new_entries=False))
    smaller = make(tmp_path, allow_new_entries=False)
    smaller.hyperparameters = keras_tuner.HyperParameters()
    smaller.hyperparameters.Float("rate", 1e-4, 1e-1, sampling="log")
    assert run(smaller)[0].keys() == {"trial", "rate"}
