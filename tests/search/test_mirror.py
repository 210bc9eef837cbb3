"""The copy of a study in memory: what a sampler sees of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers._tpe import sampler as tpe
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner_gan.search import mirror
from tuner_gan.search.mirror import StudyMirror
from tuner_gan.search.samplers import MOST_SEEN_BY_TPE, make_pruner


class Seer(optuna.samplers.RandomSampler):
    """Notes the numbers of the trials that it sees."""

    seen: list[int]

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        self.seen = [one.number for one in study.get_trials(deepcopy=False) if one.number != trial.number]
        return {}


def _scored(x: float, score: float) -> FrozenTrial:
    return create_trial(value=score, params={"x": x}, distributions={"x": FloatDistribution(0.0, 1.0)})


def _pruned(step: int, score: float) -> FrozenTrial:
    return create_trial(state=TrialState.PRUNED, intermediate_values={step: score})


def _fill(trials: list[FrozenTrial], direction: StudyDirection = StudyDirection.MINIMIZE) -> StudyMirror:
    filled = StudyMirror("study", direction)
    for number, trial in enumerate(trials):
        trial.number = number
    filled.update(trials, {})
    return filled


def _seen(filled: StudyMirror, most: int | None) -> list[int]:
    seer = Seer(seed=0)
    filled.ask(seer, make_pruner("none", 1, 1), most=most).suggest_float("x", 0.0, 1.0)  # Optuna looks no earlier
    return seer.seen


def test_all_trials_are_seen_without_a_limit_and_up_to_it() -> None:
    trials = [_scored(0.5, float(number)) for number in range(40)]
    assert _seen(_fill(trials), None) == list(range(40))
    assert _seen(_fill(trials), 40) == list(range(40))


@pytest.mark.parametrize("direction", [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE])
def test_beyond_it_the_best_are_seen_and_others_from_first_to_last(direction: StudyDirection) -> None:
    scores = np.random.default_rng(0).permutation(300).astype(float)
    filled = _fill([_scored(0.5, score) for score in scores], direction)
    seen = _seen(filled, 60)
    assert len(seen) == len(set(seen)) == 60
    order = np.argsort(scores if direction == StudyDirection.MINIMIZE else -scores)
    assert set(order[:25].tolist()) <= set(seen)
    others = np.setdiff1d(seen, order[:25])
    everyone = np.setdiff1d(np.arange(300), order[:25])
    gaps = np.diff(np.searchsorted(everyone, others))
    assert others[0] == everyone[0]
    assert others[-1] == everyone[-1]
    assert set(gaps.tolist()) <= {8, 9}


def test_running_and_failed_trials_are_seen_always() -> None:
    trials = [_scored(0.5, float(number)) for number in range(50)]
    trials[30] = create_trial(state=TrialState.FAIL)
    trials[31] = create_trial(state=TrialState.RUNNING)
    seen = _seen(_fill(trials), 30)
    assert {30, 31} <= set(seen)
    assert len(seen) == 32


def test_pruned_trials_come_behind_completed_ones_and_the_later_pruned_before_the_earlier() -> None:
    trials = [_pruned(1, 0.0), _pruned(9, 5.0), _pruned(9, float("nan")), create_trial(state=TrialState.PRUNED)]
    trials += [_scored(0.5, 100.0 + number) for number in range(30)]
    filled = _fill(trials)
    ranked = sorted(range(len(trials)), key=lambda number: filled._badness(filled._get(number)))
    assert ranked == [*range(4, 34), 1, 2, 0, 3]


def test_a_trial_is_numbered_after_all_there_are_and_kept_whatever_is_hidden() -> None:
    trials = [_scored(0.5, float(number)) for number in range(50)]
    filled = _fill(trials)
    asked = filled.ask(Seer(seed=0), make_pruner("none", 1, 1), most=30)
    assert asked.number == 50
    assert filled.freeze(50, {"a": 1}).user_attrs == {"a": 1}


def test_what_is_hidden_from_one_trial_is_seen_by_the_next() -> None:
    filled = _fill([_scored(0.5, float(number)) for number in range(40)])
    assert len(_seen(filled, 30)) == 30
    assert _seen(filled, None) == list(range(41))


def test_a_trial_is_taken_over_when_it_ends_and_once() -> None:
    trials = [_scored(0.5, 1.0), create_trial(state=TrialState.RUNNING)]
    filled = _fill(trials)
    own = filled.ask(Seer(seed=0), make_pruner("none", 1, 1))
    trials += [filled.freeze(own.number, {})]
    filled.update(trials, {"note": 1})
    assert filled.notes == {"note": 1}
    for number in (1, 2):
        trials[number] = create_trial(value=0.25, intermediate_values={1: 0.5})
        trials[number].number = number
        filled.update(trials, {})
        filled.update(trials, {})
        found = filled._get(number)
        assert (found.state, found.value, found.intermediate_values) == (TrialState.COMPLETE, 0.25, {1: 0.5})


def test_a_trial_that_never_reached_the_study_is_forgotten() -> None:
    trials = [_scored(0.5, 1.0), create_trial(state=TrialState.RUNNING)]
    filled = _fill(trials)
    for _ in range(2):
        assert filled.ask(Seer(seed=0), make_pruner("none", 1, 1)).number == 2
        filled.update(trials, {})


def test_what_is_asked_for_is_drawn() -> None:
    asked = _fill([]).ask(Seer(seed=0), make_pruner("none", 1, 1), {"x": 0.125})
    assert asked.suggest_float("x", 0.0, 1.0) == 0.125


def test_tpe_takes_no_more_for_good_ones_than_are_kept() -> None:
    assert tpe.default_gamma(MOST_SEEN_BY_TPE) == mirror.BEST
    assert tpe.default_gamma(100_000) == mirror.BEST


def test_tpe_splits_off_the_same_good_trials_whether_it_sees_all_or_not() -> None:
    rng = np.random.default_rng(1)
    trials = [_scored(x, score) for x, score in rng.uniform(size=(400, 2))]
    trials[::7] = [
        _pruned(int(step), score) for step, score in zip(rng.integers(1, 4, 58), rng.uniform(size=58), strict=True)
    ]
    filled = _fill(trials)
    good: list[list[int]] = []
    for most in (None, MOST_SEEN_BY_TPE):
        filled.ask(Seer(seed=0), make_pruner("none", 1, 1), most=most)
        study = filled._study
        seen = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        below, _ = tpe._split_trials(study, seen, tpe.default_gamma(len(seen)))
        good.append([trial.number for trial in below])
    assert good[0] == good[1]
    assert len(good[0]) == mirror.BEST
