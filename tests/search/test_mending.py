"""What a study has lost comes back from the records of its trials as it was."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from searches import QUIET, MeanQuality, blobs, make_tuner

from tuner_gan import files
from tuner_gan.results.records import COMPLETED, FAILED, INTERRUPTED, PRUNED, ExecutionRecord, TrialRecord, write_record
from tuner_gan.search.callbacks import is_rung, write_history
from tuner_gan.search.oracle import OptunaOracle
from tuner_gan.search.tuner import GANTuner

pytestmark = QUIET

EPOCHS = 12
"""The first of them is scored, but is no rung."""


class Directed(MeanQuality):
    direction = "min"

    def __init__(self, direction: str) -> None:
        super().__init__(blobs())
        self.direction = direction


class Stopped(GANTuner):
    """Ends when its search has begun."""

    def _run_baselines(self, *_: Any) -> None:
        raise KeyboardInterrupt


def study(oracle: OptunaOracle) -> list[dict[str, Any]]:
    """What is known of each trial where the next ones are drawn and pruned."""
    return [
        {
            "state": trial.state.name,
            "value": trial.value,
            "params": trial.params,
            "reported": trial.intermediate_values,
            "noted": {key: value for key, value in trial.user_attrs.items() if key in ("decision", "score", "message")},
            "rungs": {key: value for key, value in trial.system_attrs.items() if "rung" in key},
        }
        for trial in oracle.study.trials
    ]


def train(oracle: OptunaOracle, folder: Path, status: str, best: Any, rng: np.random.Generator) -> None:
    """Reports and writes what two trainings of a trial do, with any scores."""
    trial = oracle.create_trial("tuner0")
    rows: list[dict[str, Any]] = []
    executions: list[ExecutionRecord] = []
    better = (COMPLETED, FAILED, INTERRUPTED).index(status) * best(-1.0, 1.0)  # so that no pruner ends the others
    pruned = False
    for execution in range(2):
        scores: list[float] = []
        for epoch in range(1, EPOCHS + 1):
            scored = epoch == 1 or is_rung(epoch, EPOCHS)
            if scored:
                scores.append(better + rng.uniform())
            score = scores[-1] if scored else None
            row = {"execution": execution, "epoch": epoch, "step": epoch, "seconds": 0.0, "d_loss": 1.0, "g_loss": 1.0}
            rows.append({**row, "metric.fcd": score})
            if is_rung(epoch, EPOCHS) and epoch < EPOCHS:
                pruned = oracle.report(trial.trial_id, best(scores), execution=execution, epoch=epoch)
            if pruned or (status != COMPLETED and execution == 1 and epoch == 5):
                break
        finished = pruned or epoch == EPOCHS
        executions.append(ExecutionRecord(execution, score=best(scores), finished=finished))
        if finished and not pruned:
            pruned = oracle.report(trial.trial_id, best(scores), execution=execution, epoch=None)
        if pruned:
            break
    if pruned:
        status = PRUNED
    score = None if status == FAILED else best(one.score for one in executions)
    record = TrialRecord(
        files.trial_dir(folder, trial.trial_id),
        trial.trial_id,
        status,
        "search",
        score=score,
        planned_epochs=EPOCHS,
        hyperparameters=trial.hyperparameters.values,
        message=f"it ended after {epoch} epochs",
        executions=tuple(executions),
    )
    write_record(record.folder, record)
    write_history(record.folder / files.HISTORY, rows)
    if status == INTERRUPTED:
        oracle.release()
        return
    if score is not None:
        oracle.update_trial(trial.trial_id, {"fcd": score})
    if pruned:
        oracle.mark_pruned(trial.trial_id)
    trial.status, trial.message = (FAILED, record.message) if status == FAILED else (COMPLETED, None)
    oracle.end_trial(trial)


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("pruner", ["halving", "median", "wilcoxon"])
def test_lost_trials_come_back_as_they_were(pruner: str, direction: str, tmp_path: Path) -> None:
    make = functools.partial(
        make_tuner,
        tmp_path,
        kind=Stopped,
        oracle="tpe",
        pruner=pruner,
        max_trials=20,
        executions_per_trial=2,
        quality=Directed(direction),
    )
    tuner = make()
    with pytest.raises(KeyboardInterrupt):
        tuner.search(blobs(), epochs=EPOCHS)
    rng, best = np.random.default_rng(0), min if direction == "min" else max
    for status in [COMPLETED] * 3 + [FAILED] + [COMPLETED] * 6 + [INTERRUPTED]:
        train(tuner.oracle, tuner.folder, status, best, rng)
    before = study(tuner.oracle)
    tuner.oracle.close()
    for path in tuner.folder.glob(f"{files.STUDY}*"):
        path.unlink()

    tuner = make()
    words = r"Trials from 0 on are not in study\.db any more and come back from their records"
    with pytest.warns(UserWarning, match=words), contextlib.suppress(KeyboardInterrupt):
        tuner.search(blobs(), epochs=EPOCHS)
    states = {trial["state"] for trial in before}
    assert states >= {"COMPLETE", "FAIL", "RUNNING"} | ({"PRUNED"} if pruner == "halving" else set())
    assert study(tuner.oracle) == before
