"""The default search, TPE with successive halving: what is pruned is kept, and the same seed gives the same table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from searches import QUIET, assert_same_search, blobs, make_tuner, run_search

from tuner_gan import files
from tuner_gan.results.export import load_generator
from tuner_gan.results.records import COMPLETED, PRUNED, TrialRecord, read_history
from tuner_gan.search.oracle import OptunaOracle
from tuner_gan.search.trial import TrialRun
from tuner_gan.search.tuner import GANTuner

pytestmark = QUIET

EPOCHS = 9
SETTINGS: dict[str, Any] = {"oracle": "tpe", "pruner": "halving", "max_trials": 6, "finalists": 1, "finalist_seeds": 1}


class Strikes(keras.callbacks.Callback):  # type: ignore[misc]
    """Interrupts the search before the epochs whose numbers, counted over the whole search, it was given."""

    def __init__(self, numbers: set[int]) -> None:
        super().__init__()
        self.numbers = numbers
        self.begun = 0

    def __deepcopy__(self, memo: Any) -> Strikes:
        return self

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.begun += 1
        if self.begun in self.numbers:
            raise KeyboardInterrupt


def search(directory: Path, strikes: Strikes | None = None) -> GANTuner:
    tuner = make_tuner(directory, eager=True, **SETTINGS)
    tuner.search(blobs(), epochs=EPOCHS, callbacks=[] if strikes is None else [strikes])
    return tuner


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> GANTuner:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.showwarning", lambda *_, **__: None)
        return search(tmp_path_factory.mktemp("pruning"))


def test_a_pruned_trial_keeps_what_it_has_and_ranks_after_completed_ones(searched: GANTuner) -> None:
    table = searched.results().trials()
    states = {trial.user_attrs["trial_id"]: trial.state.name for trial in searched.oracle.study.trials}
    pruned = [record for record in searched.results().records if record.status == PRUNED]
    assert 2 <= len(pruned) <= 5
    assert table.status[table["rank"].notna()].tolist() == [COMPLETED] * (len(table) - len(pruned)) + [PRUNED] * len(
        pruned
    )
    for record in pruned:
        assert states[record.trial_id] == "PRUNED"
        rows = read_history(record)
        assert record.message == f"pruned after {len(rows)} of {EPOCHS} epochs"
        assert len(rows) in (1, 3)
        assert record.score == min(row["metric.fcd"] for row in rows if row["metric.fcd"] is not None)
        assert searched.oracle.trials[record.trial_id].score == record.score
        images = load_generator(record.folder / files.GENERATOR).predict(np.zeros((2, 4)), verbose=0)
        assert images.shape == (2, 8, 8, 1)
        with Image.open(record.folder / files.SAMPLES) as samples:
            assert samples.size[0] > 64
        assert (record.folder / files.STATE).exists()
        assert not (record.folder / files.CHECKPOINT).exists()


def test_the_same_seed_gives_the_same_table_whatever_interrupts_it(searched: GANTuner, tmp_path: Path) -> None:
    strikes = Strikes({2, 12, 14, 19})
    interruptions = 0
    while True:
        try:
            tuner = search(tmp_path, strikes)
            break
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions == 4
    assert_same_search(tuner, searched)


@pytest.mark.parametrize("at", [1, None], ids=["at a rung", "at the end of an execution"])
def test_killed_before_its_last_record_a_pruned_trial_ends_as_it_would_have(
    at: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(run: TrialRun, status: str, message: str | None = None) -> TrialRecord:
        if status == PRUNED:
            raise KeyboardInterrupt
        return write(run, status, message)

    write = TrialRun._write
    monkeypatch.setattr(OptunaOracle, "report", lambda *_, execution, epoch, **__: epoch == at)
    arguments: dict[str, Any] = {"executions_per_trial": 3, "max_trials": 1, "eager": True}
    whole = run_search(tmp_path / "whole", **arguments)
    assert [(one.status, len(one.executions)) for one in whole.results().records] == [(PRUNED, 1)]
    with monkeypatch.context() as patch:
        patch.setattr(TrialRun, "_write", kill)
        with pytest.raises(KeyboardInterrupt):
            run_search(tmp_path / "cut", **arguments)
    assert_same_search(run_search(tmp_path / "cut", **arguments), whole)
