"""TPE for spaces with conditions, against Optuna's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe import _truncnorm
from optuna.search_space import group_decomposed
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner_gan.search.conditional_tpe import ConditionalTPESampler

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

FLAT: dict[str, BaseDistribution] = {
    "depth": IntDistribution(1, 8),
    "kind": CategoricalDistribution(["plain", "wide"]),
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
}
DISTRIBUTIONS: dict[str, BaseDistribution] = {
    **FLAT,
    "plain_a": FloatDistribution(0.0, 1.0),
    "plain_b": FloatDistribution(0.0, 1.0),
    "wide_a": FloatDistribution(0.0, 1.0),
    "only": CategoricalDistribution(["one"]),
}
STARTUP = 5


def _study(trials: list[FrozenTrial], sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    study = optuna.create_study(sampler=sampler)
    study.add_trials(trials)
    return study


def _past(names: list[str], seed: int, count: int) -> list[FrozenTrial]:
    """Trials that have these hyperparameters; the score falls with the rate."""
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {}
    made = []
    for _ in range(count):
        values = {
            "depth": int(rng.integers(1, 9)),
            "kind": str(rng.choice(["plain", "wide"])),
            "rate": float(10 ** rng.uniform(-4, -1)),
            **{name: float(rng.random()) for name in ("plain_a", "plain_b", "wide_a")},
            "only": "one",
        }
        chosen = {name: values[name] for name in names}
        distributions = {name: DISTRIBUTIONS[name] for name in names}
        made.append(create_trial(value=values["rate"], params=chosen, distributions=distributions))
    return made


def _draw(
    trial: optuna.Trial, names: list[str], distributions: dict[str, BaseDistribution] = DISTRIBUTIONS
) -> dict[str, Any]:
    return {name: trial._suggest(name, distributions[name]) for name in names}


@pytest.mark.parametrize("seed", range(3))
def test_without_conditions_it_draws_what_optunas_does(seed: int) -> None:
    past = _past(sorted(FLAT), seed, 30)
    theirs = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, n_startup_trials=STARTUP, seed=seed)
    expected = _draw(_study(past, theirs).ask(), sorted(FLAT))
    ours = ConditionalTPESampler({name: FLAT[name] for name in sorted(FLAT)}, STARTUP, seed)
    assert _draw(_study(past, ours).ask(), sorted(FLAT)) == expected


@pytest.mark.parametrize("seed", range(3))
def test_widths_are_those_of_optunas_which_are_computed_number_by_number(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    space: dict[str, BaseDistribution] = {name: IntDistribution(8, 64, log=True) for name in ("width", "width_2")}
    rng = np.random.default_rng(seed)
    past = [
        create_trial(value=abs(np.log(widths["width"] / 20)), params=widths, distributions=space)
        for widths in ({name: int(8 * 8 ** rng.random()) for name in space} for _ in range(60))
    ]
    one_by_one: list[float] = []
    own = _truncnorm._log_ndtr_single

    def spy(number: float) -> float:
        one_by_one.append(number)
        return own(number)

    monkeypatch.setattr(_truncnorm, "_log_ndtr_single", spy)
    ours = ConditionalTPESampler(space, STARTUP, seed)
    drawn = _draw(_study(past, ours).ask(), sorted(space), space)
    of_ours = len(one_by_one)  # in drawing, which is left as it is
    theirs = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, n_startup_trials=STARTUP, seed=seed)
    assert drawn == _draw(_study(past, theirs).ask(), sorted(space), space)
    assert 5 * of_ours < len(one_by_one) - of_ours


def test_groups_are_optunas_and_one_of_what_never_occurred() -> None:
    flat = sorted(FLAT)
    past = [*_past([*flat, "plain_a", "plain_b", "only"], 0, 10), *_past([*flat, "plain_a", "only"], 1, 10)]
    for trial in past[10:]:
        trial.state, trial.values = TrialState.PRUNED, None
    study = _study(past, optuna.samplers.RandomSampler(seed=0))
    decomposed = group_decomposed._GroupDecomposedSearchSpace(include_pruned=True).calculate(study)
    expected = [{name for name in group if name != "only"} for group in decomposed.search_spaces]
    found = ConditionalTPESampler(DISTRIBUTIONS, STARTUP, 0)._find_groups(study)
    never = {"wide_a"}
    assert sorted(map(sorted, found)) == sorted(map(sorted, [*(group for group in expected if group), never]))
    assert {name: one for group in found for name, one in group.items()} == {
        name: one for name, one in DISTRIBUTIONS.items() if name != "only"
    }


def test_only_groups_that_are_asked_for_are_modelled(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = sorted(FLAT)
    past = [*_past([*flat, "plain_a", "plain_b"], 0, 10), *_past([*flat, "wide_a"], 1, 10)]
    modelled: list[set[str]] = []
    original = optuna.samplers.TPESampler.sample_relative

    def spy(self: Any, study: optuna.Study, trial: FrozenTrial, space: dict[str, BaseDistribution]) -> dict[str, Any]:
        modelled.append(set(space))
        return original(self, study, trial, space)

    monkeypatch.setattr(optuna.samplers.TPESampler, "sample_relative", spy)
    trial = _study(past, ConditionalTPESampler(DISTRIBUTIONS, STARTUP, 0)).ask()
    # A group that is interrupted by another one is drawn once all the same.
    names = ["depth", "plain_a", "kind", "plain_b", "rate"]
    assert set(_draw(trial, names)) == {*flat, "plain_a", "plain_b"}
    assert modelled == [set(FLAT), {"plain_a", "plain_b"}]


def test_what_never_occurred_is_drawn_from_all_its_values() -> None:
    past = _past(sorted(FLAT), 0, 20)
    drawn = [
        _draw(_study(past, ConditionalTPESampler(DISTRIBUTIONS, STARTUP, seed)).ask(), ["wide_a"])["wide_a"]
        for seed in range(60)
    ]
    assert min(drawn) < 0.2
    assert max(drawn) > 0.8


def test_the_first_trials_are_drawn_at_random() -> None:
    flat = sorted(FLAT)
    for count in (STARTUP - 1, STARTUP):
        past = _past(flat, 0, count)
        random = optuna.samplers.TPESampler(multivariate=True, n_startup_trials=1_000, seed=3)
        expected = _draw(_study(past, random).ask(), flat)
        drawn = _draw(_study(past, ConditionalTPESampler(FLAT, STARTUP, 3)).ask(), flat)
        assert (drawn == expected) == (count < STARTUP)


def test_trials_that_run_count_as_bad_ones() -> None:
    flat = sorted(FLAT)
    past = _past(flat, 0, 20)
    running = create_trial(
        state=TrialState.RUNNING,
        params={"depth": 4, "kind": "wide", "rate": 1e-4},
        distributions=FLAT,
    )
    alone = [_rate(past, seed) for seed in range(20)]
    beside = [_rate([*past, *[running] * 20], seed) for seed in range(20)]
    assert np.mean(np.log(beside)) > np.mean(np.log(alone))


def _rate(past: list[FrozenTrial], seed: int) -> float:
    trial = _study(past, ConditionalTPESampler(FLAT, STARTUP, seed)).ask()
    rate: float = _draw(trial, sorted(FLAT))["rate"]
    return rate
