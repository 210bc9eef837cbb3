"""What is promised of samplers and pruners by name, beyond what a search shows of them."""

from __future__ import annotations

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution

from tuner_gan.search.samplers import make_pruner, make_sampler

SPACE: dict[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0)}


def test_a_generation_of_nsga2_is_ten_trials() -> None:
    study = optuna.create_study()
    for number in range(22):
        study.sampler = make_sampler("nsga2", 0, number, SPACE)  # one for each trial, as a search has
        trial = study.ask(SPACE)
        study.tell(trial, trial.params["x"])
    generations = [trial.system_attrs["NSGAIISampler:generation"] for trial in study.trials]
    assert generations == [0] * 10 + [1] * 10 + [2] * 2


def test_points_of_qmc_are_of_one_sequence_whatever_is_drawn_for_each_trial() -> None:
    drawn = []
    for seeds in (range(16), range(100, 116)):
        study = optuna.create_study()
        for seed in seeds:
            study.sampler = make_sampler("qmc", 7, seed, SPACE)
            study.tell(study.ask(SPACE), 0.0)
        drawn.append([trial.params["x"] for trial in study.trials])
    # The first trial tells the sampler what the space is.
    assert drawn[0][1:] == drawn[1][1:]
    assert len({int(16 * x) for x in drawn[0][1:]}) == 15


def test_the_median_prunes_none_of_the_first_five_trials() -> None:
    study = optuna.create_study(pruner=make_pruner("median", 1, 10))
    pruned = []
    for number in range(7):
        trial = study.ask()
        trial.report(float(number), 1)
        pruned.append(trial.should_prune())
        study.tell(trial, float(number))
    assert pruned == [False] * 5 + [True] * 2
