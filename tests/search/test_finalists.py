"""The best trials are trained again: which, how often, for how long, and what they are asked."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import keras_tuner
import pytest
from searches import QUIET, SHAPE, EagerHyperModel, FullQuality, MeanQuality, TinySpace, blobs, make_tuner, run_search

from tuner_gan import files
from tuner_gan.gan.architecture import GANArchitecture
from tuner_gan.gan.model import GAN
from tuner_gan.results.records import ExecutionRecord, TrialRecord, write_record
from tuner_gan.search import budget
from tuner_gan.search import tuner as tuner_module
from tuner_gan.search.budget import Budget
from tuner_gan.search.finalists import FinalRound, Questions, repeat
from tuner_gan.search.hypermodel import GANHyperModel
from tuner_gan.search.storage import release_trial, take_trial
from tuner_gan.search.tuner import GANTuner

pytestmark = QUIET


# What a search with finalists leaves behind.


class Flagged(FullQuality):
    """The training says collapsed, and the second opinion adversarial."""

    def flags(self, scores: Any, count: int | None = None) -> tuple[str, ...]:
        return ("adversarial",) if "second_fcd" in scores else ("collapsed",)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> GANTuner:
    """Three trials, the two best of which are trained again from three seeds."""
    return run_search(tmp_path_factory.mktemp("runs"), **SEARCH, quality=Flagged(blobs()))


SEARCH: dict[str, Any] = {"max_trials": 3, "finalists": 2, "finalist_seeds": 3, "eager": True}


def split(tuner: GANTuner) -> tuple[list[TrialRecord], list[TrialRecord]]:
    """The finalists and the trials of the search, each best first."""
    records = tuner.results().records
    finalists = [record for record in records if record.origin == "finalist"]
    assert records[: len(finalists)] == finalists
    return finalists, records[len(finalists) :]


def test_the_best_trials_are_trained_again_from_fresh_seeds(searched: GANTuner) -> None:
    finalists, trials = split(searched)
    assert len(trials) == 3
    assert {one.trial_id for one in finalists} == {f"final_{trial.trial_id}" for trial in trials[:2]}
    seeds = [execution.seed for record in (*finalists, *trials) for execution in record.executions]
    assert len(set(seeds)) == len(seeds) == 3 * 2 + 3
    for record in finalists:
        repeated = searched.results().trial(record.trial_id.removeprefix("final_"))
        assert (record.status, record.message) == ("COMPLETED", None)
        assert record.hyperparameters == repeated.hyperparameters
        stored = [files.read_json(one.folder / files.ARCHITECTURE) for one in (record, repeated)]
        assert stored[0] == stored[1]
        assert [one.epochs for one in record.executions] == [2, 2, 2]
        scores = [one.score or math.nan for one in record.executions]
        assert record.score == pytest.approx(statistics.fmean(scores))
        assert record.score_std == pytest.approx(statistics.stdev(scores))
        assert len(set(scores)) == 3
    assert [one.score for one in finalists] == sorted(one.score or math.nan for one in finalists)
    assert searched.results().config["finalists"] == [trial.trial_id for trial in trials[:2]]
    assert searched.results().best == finalists[0]


def test_finalists_and_no_others_have_a_second_opinion(searched: GANTuner) -> None:
    finalists, trials = split(searched)
    for record in finalists:
        best = record.executions[record.best_execution or 0]
        # It is asked about the generator that is kept, so its answer is that execution's.
        assert record.metrics["second_fcd"] == best.metrics["second_fcd"] == pytest.approx(2 * (best.score or 0))
        assert sum("second_fcd" in one.metrics for one in record.executions) == 1
        assert record.flags == ("collapsed", "adversarial")
    for record in trials:
        assert "second_fcd" not in record.metrics
        assert record.flags == ("collapsed",)


def test_the_best_single_execution_is_exported(searched: GANTuner, tmp_path: Path) -> None:
    record = searched.results().best
    target = searched.export(directory=tmp_path / "out")
    generator = keras.saving.load_model(target / files.GENERATOR)
    best = min(record.executions, key=lambda one: one.score or math.nan)
    assert MeanQuality(blobs()).score(generator)["fcd"] == pytest.approx(best.score, abs=1e-7)
    card = (target / files.MODEL_CARD).read_text(encoding="utf-8")
    repeated = record.trial_id.removeprefix("final_")
    assert f"A finalist: it repeats trial {repeated}, with seeds that had no part in choosing that trial." in card
    assert f"a mean fcd of {record.score:.4g} with a standard deviation of {record.score_std:.4g}." in card
    assert f"This generator is the best of them, of seed {best.seed}, with {best.score:.4g}." in card


def test_the_same_search_again_has_nothing_to_do(searched: GANTuner) -> None:
    before = searched.results().records
    quality = Flagged(blobs())
    tuner = run_search(searched.folder.parent, **SEARCH, quality=quality)
    assert tuner.results().records == before
    assert quality.asked == []


def test_none_where_none_are_wanted(tmp_path: Path) -> None:
    quality = FullQuality(blobs())
    tuner = run_search(tmp_path, quality=quality, epochs=1, eager=True)
    assert [record.origin for record in tuner.results().records] == ["search"] * 2
    assert quality.asked == [False] * 2
    assert "finalists" not in tuner.results().config


def test_the_best_point_is_that_of_the_best_finalist(searched: GANTuner, monkeypatch: pytest.MonkeyPatch) -> None:
    finalists, trials = split(searched)
    swapped = [*reversed(finalists), *trials]  # the second best of the search is better from other seeds
    monkeypatch.setattr(GANTuner, "results", lambda self: SimpleNamespace(records=swapped))
    best = [hp.values for hp in searched.get_best_hyperparameters(9)]
    names = [str(record.repeats) for record in reversed(finalists)] + [trials[-1].trial_id]
    assert best == [searched.oracle.trials[name].hyperparameters.values for name in names]


def test_the_summary_has_the_best_of_the_table(searched: GANTuner, capsys: pytest.CaptureFixture[str]) -> None:
    finalists, _ = split(searched)
    searched.results_summary(2)
    head, *found = capsys.readouterr().out.split("\n\n")
    assert f"Results in {searched.folder}\nShowing 2 best trials" in head
    for text, record in zip(found, finalists[:2], strict=True):
        first, second, *values, score = text.strip().split("\n")
        assert (first, second) == (f"Trial {record.trial_id} summary", "Hyperparameters:")
        assert values == [f"{name}: {value}" for name, value in record.hyperparameters.items()]
        assert score == f"Score: {record.score}"


def test_no_more_finalists_than_trials(tmp_path: Path) -> None:
    tuner = run_search(tmp_path, finalists=5, finalist_seeds=1, epochs=1, eager=True)
    finalists, trials = split(tuner)
    assert len(finalists) == len(trials) == 2
    assert [record.score_std for record in finalists] == [None] * 2


BASELINE: dict[str, Any] = {"baselines": "all", "max_trials": 1, "finalists": 2, "finalist_seeds": 1, "eager": True}


def test_a_baseline_may_be_a_finalist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuner_module, "PRESETS", ("tutorial_dense",))
    tuner = run_search(tmp_path, epochs=1, **BASELINE)
    finalists, trials = split(tuner)
    assert {record.trial_id for record in finalists} == {"final_tutorial_dense", "final_0"}
    (baseline,) = [record for record in trials if record.origin == "baseline"]
    again = tuner.results().trial("final_tutorial_dense")
    assert again.hyperparameters == baseline.hyperparameters
    assert again.generator_params == baseline.generator_params


def test_a_failed_trial_is_no_finalist(tmp_path: Path) -> None:
    tuner = run_search(tmp_path, epochs=1, max_model_size=2000, **BASELINE)
    assert [record.status for record in tuner.results().records] == ["COMPLETED"] * 2 + ["FAILED"] * 2
    assert tuner.results().config["finalists"] == ["0"]


class Own(EagerHyperModel):
    """A user's own `build` and `fit`, which have a hyperparameter each and note what they got."""

    noted: list[tuple[float, float]]

    def build(self, hp: keras_tuner.HyperParameters) -> GAN:
        gan = super().build(hp)
        gan.generator_optimizer.learning_rate = hp.Choice("first", [1e-3, 2e-3, 3e-3, 4e-3])
        return gan

    def fit(self, hp: keras_tuner.HyperParameters, model: GAN, *args: Any, **kwargs: Any) -> Any:
        self.noted.append((float(model.generator_optimizer.learning_rate), hp.Choice("second", [1.0, 2.0, 3.0, 4.0])))
        return super().fit(hp, model, *args, **kwargs)


def test_what_the_user_does_with_a_trial_is_done_again(tmp_path: Path) -> None:
    hypermodel = Own(SHAPE, TinySpace())
    hypermodel.noted = []
    tuner = run_search(tmp_path, hypermodel=hypermodel, max_trials=4, finalists=2, finalist_seeds=1, epochs=1)
    chosen = [tuner.results().trial(trial_id) for trial_id in tuner.results().config["finalists"]]
    done = [(one.hyperparameters["first"], one.hyperparameters["second"]) for one in chosen]
    assert hypermodel.noted[4:] == [pytest.approx(pair) for pair in done]


class Scoped(EagerHyperModel):
    """A user's `build` whose hyperparameters depend on some of the search space."""

    def build(self, hp: keras_tuner.HyperParameters) -> GAN:
        gan = super().build(hp)
        assert hp.Int("generator_width", 4, 8) == gan.architecture.generator.widths[0]
        with hp.conditional_scope("generator_depth", [1]):
            rate = hp.Choice("shallow", [2e-3, 3e-3])
            beta = hp.Choice("beta", [0.25, 0.75], parent_name="shallow", parent_values=[3e-3])
        assert (beta is None) == (rate != 3e-3)
        gan.generator_optimizer.learning_rate = rate or hp.Choice("deep", [4e-3, 5e-3])
        return gan


def test_what_depends_on_the_search_space_does_so_again(tmp_path: Path) -> None:
    tuner = run_search(tmp_path, hypermodel=Scoped(SHAPE, TinySpace()), max_trials=4, finalists=4, finalist_seeds=1)
    records = tuner.results().records
    assert [record.status for record in records] == ["COMPLETED"] * 8
    assert {record.hyperparameters["generator_depth"] for record in records} == {1, 2}
    for record, gan in zip(records, tuner.get_best_models(8), strict=True):
        trial = record if record.repeats is None else tuner.results().trial(record.repeats)
        values = trial.hyperparameters
        assert float(gan.generator_optimizer.learning_rate) == pytest.approx(values.get("shallow") or values["deep"])


def test_the_stored_architecture_is_built_whatever_became_of_the_space(searched: GANTuner) -> None:
    trial = searched.results().trial("1")
    build, _ = repeat(GANHyperModel(SHAPE, TinySpace(widest=300)), trial)
    for record in (trial, dataclasses.replace(trial, hyperparameters={})):
        build, _ = repeat(GANHyperModel(SHAPE, TinySpace(widest=300)), record)
        assert build().architecture == GANArchitecture.from_json(files.read_json(trial.folder / files.ARCHITECTURE))


def test_after_hyperband_they_are_trained_for_the_most_epochs(tmp_path: Path) -> None:
    tuner = run_search(
        tmp_path, oracle="hyperband", max_epochs=3, max_trials=2, finalists=1, finalist_seeds=1, epochs=1, eager=True
    )
    (finalist,), trials = split(tuner)
    assert [record.epochs for record in trials] == [1, 1]
    assert [(one.epochs, one.execution) for one in finalist.executions] == [(3, 0)]


# Going on.


def test_more_finalists_later(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"max_trials": 2, "finalist_seeds": 1, "epochs": 1, "eager": True}
    ((first,), _) = split(run_search(tmp_path, **arguments, quality=Flagged(blobs()), finalists=1))
    quality = Flagged(blobs())
    tuner = run_search(tmp_path, **arguments, quality=quality, finalists=2)
    assert quality.asked == [False, True]  # the second best
    assert len(split(tuner)[0]) == 2
    assert tuner.results().trial(first.trial_id) == first


def test_more_trials_later(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"finalists": 1, "finalist_seeds": 1, "epochs": 1, "eager": True}
    ((first,), _) = split(run_search(tmp_path, **arguments, max_trials=1))
    tuner = run_search(tmp_path, **arguments, max_trials=2)
    finalists, trials = split(tuner)
    assert tuner.results().config["finalists"] == [trials[0].trial_id]
    assert first in finalists
    assert {record.trial_id for record in finalists} == {first.trial_id, f"final_{trials[0].trial_id}"}
    assert trials[0].trial_id != "0", "another seed of the search, please: here the first trial is the best one"


def test_more_seeds_later(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"max_trials": 1, "finalists": 1, "epochs": 1, "eager": True}
    run_search(tmp_path, **arguments, finalist_seeds=1)
    ((finalist,), _) = split(run_search(tmp_path, **arguments, finalist_seeds=2))
    assert len(finalist.executions) == 2
    ((fewer,), _) = split(run_search(tmp_path, **arguments, finalist_seeds=1))
    assert fewer == finalist


@pytest.mark.parametrize(
    ("limits", "epochs"),
    # So far there are 2 epochs of the trial and 4 of the finalist.
    [({}, 4), ({"max_time": 1000}, 2), ({"max_total_epochs": 13}, 2), ({"max_total_epochs": 14}, 4)],
    ids=["no limit", "no time", "too few epochs", "enough epochs"],
)
def test_more_epochs_later(
    limits: dict[str, Any], epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of fewer epochs is kept where what is left is not enough for one of more."""
    arguments: dict[str, Any] = {"max_trials": 1, "finalists": 1, "finalist_seeds": 2, "eager": True}
    ((first,), _) = split(run_search(tmp_path, **arguments))
    monkeypatch.setattr(FinalRound, "training_s", lambda *_: 5000.0)
    tuner = make_tuner(tmp_path, **arguments)
    tuner.search(blobs(), epochs=4, **limits)
    ((finalist,), _) = split(tuner)
    assert [one.epochs for one in finalist.executions] == [epochs] * 2
    assert (finalist == first) == (epochs == 2)
    ((fewer,), _) = split(run_search(tmp_path, **arguments))
    assert fewer == finalist


class Counted(EagerHyperModel):
    """Raises in the n-th `fit` of all."""

    def __init__(self, error: type[BaseException], number: int) -> None:
        super().__init__(SHAPE, TinySpace())
        self.error, self.number = error, number
        self.fits: list[int] = []

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        self.fits.append(1)
        if len(self.fits) == self.number:
            raise self.error("for a test")
        return super().fit(*args, **kwargs)


def test_one_that_fails_is_a_row_and_nobody_takes_its_place(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"max_trials": 3, "finalists": 2, "finalist_seeds": 2, "epochs": 1}
    tuner = run_search(tmp_path, hypermodel=Counted(ValueError, 5), **arguments)  # the second training of the first
    records = tuner.results().records
    assert [record.status for record in records] == ["COMPLETED"] * 4 + ["FAILED"]
    assert [record.origin for record in records] == ["finalist", *["search"] * 3, "finalist"]
    assert records[-1].trial_id == f"final_{tuner.results().config['finalists'][0]}"
    assert records[-1].message == "ValueError: for a test (after epoch 0)"
    again = Counted(ValueError, 0)
    assert run_search(tmp_path, hypermodel=again, **arguments).results().records == records
    assert again.fits == []


def test_interrupted_it_goes_on_with_the_same_finalists(searched: GANTuner, tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, **SEARCH, quality=Flagged(blobs()), hypermodel=Counted(KeyboardInterrupt, 3 + 3 + 2))
    with pytest.raises(KeyboardInterrupt):
        tuner.search(blobs(), epochs=2)
    chosen = tuner.results().config["finalists"]
    first, unfinished = (tuner.results().trial(f"final_{trial_id}") for trial_id in chosen)
    assert (first.status, unfinished.status, len(unfinished.executions)) == ("COMPLETED", "INTERRUPTED", 2)
    # By its score the second one would not be chosen any more.
    path = tuner.folder / f"trial_{chosen[1]}" / files.RECORD
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"score": 99.0}))

    hypermodel = Counted(KeyboardInterrupt, 0)
    tuner = make_tuner(tmp_path, **SEARCH, quality=Flagged(blobs()), hypermodel=hypermodel)
    tuner.search(blobs(), epochs=2)
    path.write_text(json.dumps(content))
    assert len(hypermodel.fits) == 2  # the first training had ended
    assert tuner.results().config["finalists"] == chosen
    assert tuner.results().trial(first.trial_id).started_at == first.started_at
    columns = [
        "trial_id",
        "status",
        "score",
        "score_std",
        "executions",
        "metric.second_fcd",
        "flags",
        "seed",
        "message",
    ]
    assert tuner.results().trials()[columns].equals(searched.results().trials()[columns])


def test_interrupted_with_no_time_for_another_training_it_ends_with_those_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, Any] = {"max_trials": 1, "finalists": 1, "finalist_seeds": 3}
    tuner = make_tuner(tmp_path, hypermodel=Counted(KeyboardInterrupt, 3), **arguments)
    with pytest.raises(KeyboardInterrupt):
        tuner.search(blobs(), epochs=1)
    monkeypatch.setattr(FinalRound, "training_s", lambda *_: 5000.0)
    hypermodel = Counted(KeyboardInterrupt, 0)
    tuner = make_tuner(tmp_path, hypermodel=hypermodel, **arguments)
    tuner.search(blobs(), epochs=1, max_time=1000)
    finalist = tuner.results().best
    assert hypermodel.fits == []
    assert (finalist.status, len(finalist.executions)) == ("COMPLETED", 1)
    assert finalist.message == "there was time for 1 of 3 trainings"
    assert finalist.score == finalist.executions[0].score


def test_an_unfinished_finalist_lets_no_trial_begin(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path)
    tuner.oracle.create_trial("somebody who is killed")
    tuner.oracle.release()
    tuner._budget = Budget(tuner.folder, max_time=100, max_trial_time=1000.0, spent=95.0)
    for trial, begins in (("final_0", False), ("0", True)):
        folder = files.trial_dir(tuner.folder, trial)
        folder.mkdir(exist_ok=True)
        (folder / files.CHECKPOINT).touch()
        with nullcontext() if begins else pytest.raises(tuner_module._BudgetSpentError):
            tuner.pre_create_trial()
    # Nor does one that another worker trains, or that no oracle knows.
    assert take_trial(tuner.folder, "0")
    files.trial_dir(tuner.folder, "7").mkdir()
    (files.trial_dir(tuner.folder, "7") / files.CHECKPOINT).touch()
    with pytest.raises(tuner_module._BudgetSpentError):
        tuner.pre_create_trial()
    release_trial(tuner.folder, "0")


def test_a_trial_that_a_worker_begins_lets_the_choice_of_another_be_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = make_tuner(tmp_path, oracle="tpe", worker="a", max_trials=1, eager=True)
    path = tuner.folder / files.SEARCH

    create_trial = tuner.oracle.create_trial

    def chosen_meanwhile(tuner_id: str) -> Any:
        if not tuner.oracle.trials:
            files.write_json(path, {**files.read_json(path), files.FINALISTS: ["7"]})
        return create_trial(tuner_id)

    monkeypatch.setattr(tuner.oracle, "create_trial", chosen_meanwhile)
    tuner.search(blobs(), epochs=1)
    assert files.FINALISTS not in files.read_json(path)


def test_a_worker_takes_over_the_choice_of_another(tmp_path: Path) -> None:
    """Finalists that are trained meanwhile leave other time than there was, and so another choice."""
    tuner = make_tuner(tmp_path, oracle="tpe", worker="b", finalists=1, finalist_seeds=1, eager=True)
    wait = tuner._wait_for_others

    def chosen_meanwhile() -> None:
        wait()
        worse = tuner.results().records[-1].trial_id
        path = tuner.folder / files.SEARCH
        files.write_json(path, {**files.read_json(path), files.FINALISTS: [worse]})

    tuner._wait_for_others = chosen_meanwhile  # type: ignore[method-assign]
    tuner.search(blobs(), epochs=1)
    (finalist,), trials = split(tuner)
    assert tuner.results().config["finalists"] == [trials[-1].trial_id] == [finalist.repeats]


def test_a_second_opinion_that_another_worker_has_asked_for_meanwhile_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner = make_tuner(
        tmp_path, oracle="tpe", worker="b", finalists=1, finalist_seeds=1, eager=True, quality=FullQuality(blobs())
    )
    train = tuner._run_finalists

    def asked_meanwhile(*args: Any) -> Any:
        finalists, wanted = train(*args)
        assert wanted == {"second_fcd"}
        for record in finalists:
            write_record(record.folder, dataclasses.replace(record, metrics={**record.metrics, "second_fcd": 7.0}))
        return finalists, wanted

    monkeypatch.setattr(tuner, "_run_finalists", asked_meanwhile)
    tuner.search(blobs(), epochs=1)
    (finalist,), _ = split(tuner)
    assert finalist.metrics["second_fcd"] == 7.0


def test_a_choice_that_cannot_be_kept_is_made_anew(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"max_trials": 1, "finalists": 1, "finalist_seeds": 1, "epochs": 1, "eager": True}
    tuner = run_search(tmp_path, **arguments)
    before = tuner.results().records
    search = tuner.results().config
    for damage in (["0", "gone"], [0]):
        files.write_json(tuner.folder / files.SEARCH, {**search, "finalists": damage})
        with (
            pytest.warns(UserWarning, match="'finalists' is not what a search writes") if 0 in damage else nullcontext()
        ):
            run_search(tmp_path, **arguments)
        assert tuner.results().records == before
        assert tuner.results().config["finalists"] == ["0"]


# Time.


def test_a_third_of_the_time_is_kept_for_them(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, finalists=1, finalist_seeds=3, max_trials=50, eager=True)
    tuner.search(blobs(), epochs=100_000, max_time=6)
    (finalist,), (trial,) = split(tuner)
    assert trial.duration_s == pytest.approx(0.65 * 6, abs=1.5)
    assert tuner.results().config["elapsed_s"] == pytest.approx(6, abs=2)
    # A whole training of so many epochs never fits: all the time is for the first seed.
    (only,) = finalist.executions
    assert finalist.message == (
        f"stopped by its time limit after {only.epochs} of 100000 epochs; there was time for 1 of 3 trainings"
    )
    # And there is none left.
    before = tuner.results().records
    tuner.search(blobs(), epochs=100_000, max_time=6)
    assert tuner.results().records == before


@pytest.mark.parametrize(("seconds", "trainings"), [(240, [2, 2]), (400, [2]), (5000, [1])])
def test_as_many_finalists_as_can_be_trained_from_all_seeds(
    seconds: float, trainings: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A training takes 240 s of 1,000, to go by its trial, which is not true; or 400 s, or 5,000 s.
    monkeypatch.setattr(FinalRound, "training_s", lambda *_: seconds)
    quality = FullQuality(blobs())
    tuner = make_tuner(tmp_path, quality=quality, finalists=2, finalist_seeds=2, eager=True)
    tuner.search(blobs(), epochs=1, max_time=1000)
    finalists, _ = split(tuner)
    assert [len(record.executions) for record in finalists] == trainings
    assert sum(quality.asked) == len(trainings)
    # The very first is begun anyway.
    assert finalists[0].message == ("there was time for 1 of 2 trainings" if seconds == 5000 else None)
    assert (finalists[0].score_std is None) == (seconds == 5000)


@pytest.mark.parametrize("others", [0, 1])
def test_each_worker_trains_one_at_least(others: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By their trials, the time that is left is a fifth of a training.
    monkeypatch.setattr(FinalRound, "training_s", lambda *_: 5000.0)
    tuner = make_tuner(tmp_path, worker="a", finalists=3, finalist_seeds=2, eager=True)
    with files.worker_lock(tuner.folder, "b") if others else nullcontext():
        tuner.search(blobs(), epochs=1, max_time=1000)
    finalists, _ = split(tuner)
    # The other one takes none, so this one does both.
    assert [len(record.executions) for record in finalists] == [1] * (1 + others)


class Timed(MeanQuality):
    """Says how long its questions take."""

    second_metrics = ("second_fcd",)
    cas_s = 0.0

    def __init__(self, fit_s: float = 0.0, cas_s: float = 0.0) -> None:
        self.second_fit_s, self.cas_s = fit_s, cas_s


def made(trial_id: str, status: str = "COMPLETED", origin: str = "search", **changes: Any) -> TrialRecord:
    """A trial of two trainings of 10 epochs that took 20 s."""
    runs = tuple(ExecutionRecord(index, epochs=changes.pop(f"epochs_{index}", 10)) for index in range(2))
    return TrialRecord(
        Path(trial_id), trial_id, status, origin, **{"score": 0.5, "duration_s": 20.0, "executions": runs, **changes}
    )


def final_round(quality: MeanQuality | None = None, **changes: Any) -> FinalRound:
    settings: dict[str, Any] = {"count": 3, "seeds": 2, "epochs": 10, "conditional": False, "workers": 1}
    return FinalRound(quality or Timed(), **{**settings, "max_time": None, "max_trial_time": None, **changes})


RANKED = [
    made("final_0", origin="finalist"),
    made("0"),
    made("tutorial_dense", origin="baseline"),
    made("1", status="PRUNED"),
    made("2"),
    made("3", status="FAILED"),
    made("4"),
]


@pytest.mark.parametrize(
    ("left", "trained", "chosen"),
    [
        (None, (), ["0", "tutorial_dense", "2"]),
        # Each takes 2 trainings of 10 s and 1.5 s to ask.
        (64.5, (), ["0", "tutorial_dense", "2"]),
        (64.0, (), ["0", "tutorial_dense"]),
        (42.0, (), ["0"]),
        (1.0, (), ["0"]),
        (-5.0, (), ["0"]),
        (44.5, ("0",), ["0", "tutorial_dense", "2"]),  # whose training has been done
    ],
)
def test_the_best_completed_trials_are_chosen(left: float | None, trained: tuple[str, ...], chosen: list[str]) -> None:
    final = final_round(max_time=None if left is None else 1000.0)
    trials = final.choose(RANKED, lambda trial: trial.trial_id in trained, left)
    assert [trial.trial_id for trial in trials] == chosen
    assert final.choose(RANKED[:1], lambda trial: False, left) == []


@pytest.mark.parametrize(
    ("ranked", "changes", "most", "seconds"),
    [
        # Six trainings of 10 s and a fifth more, and 1.5 s for each finalist to ask.
        (RANKED, {}, 500.0, 76.5),
        (RANKED, {}, 70.0, 70.0),  # without the fifth they fit
        (RANKED, {}, 64.0, 51.0),  # two of them do
        (RANKED, {}, 22.0, 22.0),
        (RANKED, {}, 21.0, 21.0),  # not even one does, which then gets it all
        (RANKED, {"count": 1}, 500.0, 25.5),
        (RANKED, {"workers": 2}, 500.0, 52.5),
        (RANKED, {"epochs": 20}, 500.0, 148.5),
        (RANKED[:4], {}, 500.0, 500.0),  # there may be a third one yet
        ([], {}, 500.0, 500.0),
    ],
)
def test_the_time_that_is_kept_for_finalists(
    ranked: list[TrialRecord], changes: dict[str, Any], most: float, seconds: float
) -> None:
    assert final_round(max_time=1000.0, **changes).needed_s(ranked, most) == pytest.approx(seconds)


def test_the_epochs_of_all_finalists() -> None:
    assert final_round(count=3, seeds=2, epochs=10).all_epochs == 60


def test_time_that_finalists_cannot_use_is_for_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Trials take 120 s by the clock of the budget, and a training of a finalist 100 s, to go by its trial.
    passed = [0.0]

    class Slow(EagerHyperModel):
        def fit(self, hp: keras_tuner.HyperParameters, model: GAN, *args: Any, **kwargs: Any) -> Any:
            passed[0] += 120.0
            return super().fit(hp, model, *args, **kwargs)

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0])
    monkeypatch.setattr(budget, "time", clock)
    monkeypatch.setattr(FinalRound, "training_s", lambda *_: 100.0)
    tuner = make_tuner(tmp_path, hypermodel=Slow(SHAPE, TinySpace()), max_trials=None, finalists=1, finalist_seeds=2)
    tuner.search(blobs(), epochs=1, max_time=1000)
    finalists, trials = split(tuner)
    assert len(finalists) == 1
    assert len(trials) == 7  # the last one began before 1000 - 1.2 * 200 s; half of the time is over in the fifth


@pytest.mark.parametrize(
    ("workers", "left", "chosen"),
    [
        (2, 1.0, 2),  # one for each
        (3, 24.5, 3),
        (3, 1.0, 3),
        (8, 1.0, 3),
        (2, 44.5, 3),  # two rows of two trainings of 10 s, and three finalists to ask about
        (2, 44.0, 2),
    ],
)
def test_workers_train_finalists_side_by_side(workers: int, left: float, chosen: int) -> None:
    final = final_round(max_time=1000.0, workers=workers)
    assert len(final.choose(RANKED, lambda trial: False, left)) == chosen


@pytest.mark.parametrize(
    ("count", "left", "limit"),
    [
        (2, 40.0, 20.0),  # each does its two in a row
        (3, 40.0, 10.0),  # one of them does four
        (1, 20.0, 10.0),
        (2, 14.0, 14.0),
        (2, None, 9.0),
    ],
)
def test_each_worker_has_the_time_that_is_left(count: int, left: float | None, limit: float) -> None:
    final = final_round(max_trial_time=9.0, max_time=1000.0, workers=2)
    assert final.limit([made("0"), made("1"), made("2")][:count], left) == pytest.approx(limit)


@pytest.mark.parametrize(
    ("epochs", "limit", "seconds"),
    [
        (10, None, 10.0),
        (10, 3.0, 10.0),  # the limit is of the training alone
        (30, None, 30.0),
        (30, 12.0, 30.0),  # a finalist has longer
        (30, 40.0, 30.0),
        (5, None, 10.0),  # never for longer than it took
    ],
)
def test_a_training_takes_as_long_as_those_of_its_trial(epochs: int, limit: float | None, seconds: float) -> None:
    assert final_round(epochs=epochs, max_trial_time=limit).training_s(made("0")) == seconds


def test_of_two_trainings_the_mean_counts_and_what_is_unknown_takes_no_time() -> None:
    assert final_round(epochs=20).training_s(made("0", epochs_0=20, epochs_1=None)) == 10.0
    traced = tuple(ExecutionRecord(index, epochs=10, compile_s=4.0) for index in range(2))
    assert final_round(epochs=20).training_s(made("0", executions=traced)) == 16.0
    # Tracing is a part of it, also where an interrupted trial knows less of its time than its executions do.
    longer = tuple(dataclasses.replace(one, compile_s=15.0) for one in traced)
    assert final_round(epochs=20).training_s(made("0", executions=longer)) == 10.0
    unknown = made("0", duration_s=None, executions=())
    assert final_round().training_s(unknown) == pytest.approx(0, abs=0.01)
    assert final_round(max_time=1000.0).limit([unknown], 40.0) == 20.0


@pytest.mark.parametrize(
    ("count", "left", "limit"),
    [
        (2, None, 9.0),
        (2, 40.0, 10.0),
        (2, 60.0, 15.0),  # 20 s more for four trainings
        (1, 20.0, 10.0),
        (1, 16.0, 8.0),  # both are cut
        (1, 14.0, 14.0),  # the second one is not worth starting, so the first gets its time
        (1, 4.0, 4.0),
        (1, -1.0, 0.0),
        (0, 50.0, 9.0),
    ],
)
def test_finalists_share_the_time_that_is_left(count: int, left: float | None, limit: float) -> None:
    final = final_round(max_trial_time=9.0, max_time=1000.0)
    assert final.limit([made("0"), made("1")][:count], left) == pytest.approx(limit)
    assert final_round(max_time=1000.0).limit([made("0")], None) is None


@pytest.mark.parametrize(
    ("quality", "max_time", "asks", "teaches", "seconds"),
    [
        (Timed(), 60.0, True, True, 4.5),
        (Timed(), 40.0, False, False, 0.0),  # more than a tenth
        (Timed(fit_s=5.0), 60.0, False, False, 0.0),
        (Timed(fit_s=5.0), None, True, True, 9.5),
        (Timed(cas_s=0.5), 60.0, True, True, 6.0),
        (Timed(cas_s=0.6), 60.0, True, False, 4.5),
        (Timed(cas_s=math.inf), None, True, False, 4.5),  # without images
        (Timed(fit_s=math.inf, cas_s=math.inf), None, False, False, 0.0),
    ],
)
def test_questions_take_a_tenth_of_the_time_at_most(
    quality: Timed, max_time: float | None, asks: bool, teaches: bool, seconds: float
) -> None:
    second = frozenset({"second_fcd"} if asks else ())
    plain = 0.0 if not asks else quality.second_fit_s + 4.5
    assert final_round(quality, max_time=max_time).questions(3) == Questions(second, plain)
    conditional = final_round(quality, max_time=max_time, conditional=True).questions(3)
    assert conditional.names == second | ({"cas"} if teaches else set())
    assert conditional.seconds == pytest.approx(seconds)
    assert final_round(quality, max_time=max_time).questions(0) == Questions(frozenset(), 0.0)
