"""Writes project folders as a search leaves them, without a search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SPACE: list[dict[str, Any]] = [
    {"name": "generator_depth", "kind": "Int", "default": 2, "min_value": 1, "max_value": 4},
    {"name": "generator_lr", "kind": "Float", "default": 2e-4, "min_value": 1e-5, "max_value": 1e-2, "sampling": "log"},
    {"name": "generator_width_2", "kind": "Int", "default": 32, "min_value": 16, "max_value": 64},
    {"name": "normalisation", "kind": "Choice", "default": "batch", "values": ["batch", "none"]},
    {"name": "batch_size", "kind": "Choice", "default": 32, "values": [32, 64]},
    {"name": "average", "kind": "Boolean", "default": True},
    {"name": "latent", "kind": "Fixed", "value": 64},
    {"name": "generator_width_2", "kind": "Int", "default": 32, "min_value": 16, "max_value": 64},
]
METRICS = ["fcd", "classifier_score", "class_kl", "coverage"]
RUNG_METRICS = ["fcd", "coverage"]


def search_json(**changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "demo",
        "created_at": "2026-11-23T18:00:00Z",
        "seed": 0,
        "oracle": "random",
        "objective": {"name": "fcd", "direction": "min"},
        "data": {"name": "mnist5k", "fingerprint": "ab", "image_shape": [28, 28, 1], "images": 3000, "classes": 10},
        "classifier": {"fingerprint": "cd", "accuracy": 0.98, "floor": {"fcd": 0.004}},
        "space": {"name": "dcgan", "hyperparameters": SPACE},
        "metrics": METRICS,
        "rung_metrics": RUNG_METRICS,
        "config": {},
        "versions": {},
        "elapsed_s": 12.3,
        **changes,
    }


def record_json(trial_id: str = "0000", **changes: Any) -> dict[str, Any]:
    score = changes.get("score", 0.11)
    return {
        "schema": 1,
        "trial_id": trial_id,
        "status": "COMPLETED",
        "origin": "search",
        "score": score,
        "score_std": None,
        "best_epoch": 9,
        "epochs": 10,
        "best_execution": 0,
        "started_at": "2026-11-23T18:00:00.123456+00:00",
        "duration_s": 31.25,
        "build_s": 0.5,
        "compile_s": 4.0,
        "eval_s": 2.5,
        "save_s": 1.25,
        "seed": 123456789,
        "planned_epochs": 10,
        "threads": 2,
        "promoted_from": None,
        "generator_params": 100000,
        "discriminator_params": 50000,
        "ms_per_sample": None,
        "hyperparameters": {"generator_depth": 2, "generator_lr": 0.0002, "normalisation": "batch", "average": True},
        "metrics": {"fcd": score or 0.0, "classifier_score": 4.25, "class_kl": 0.5, "coverage": 0.75},
        "flags": [],
        "message": None,
        "executions": [
            {
                "execution": 0,
                "seed": 7,
                "score": score,
                "best_epoch": 9,
                "epochs": 10,
                "duration_s": 31.0,
                "build_s": 0.5,
                "compile_s": 4.0,
                "eval_s": 2.5,
                "save_s": 1.25,
                "metrics": {"fcd": score or 0.0, "coverage": 0.75},
                "finished": True,
            }
        ],
        "classes": [],
        **changes,
    }


CLASSES: list[dict[str, Any]] = [
    {"name": "cat", "images": 6, "fcd": 0.5, "label_accuracy": 0.75},
    {"name": "dog", "images": 1, "fcd": None, "label_accuracy": 1.0},
    {"name": "emu", "images": 0, "fcd": None, "label_accuracy": None},
]


def running_json(trial_id: str = "0000", **changes: Any) -> dict[str, Any]:
    """A record as it is while the trial runs: what is not known yet is null."""
    times = ("duration_s", "build_s", "compile_s", "eval_s", "save_s")
    unknown = dict.fromkeys(("score", "best_epoch", "epochs", "best_execution", *times))
    return record_json(trial_id, **{**unknown, "status": "RUNNING", "metrics": {}, "executions": [], **changes})


def failed_json(trial_id: str = "0000", **changes: Any) -> dict[str, Any]:
    message = "generator loss is NaN at epoch 3"
    return running_json(trial_id, **{"status": "FAILED", "duration_s": 3.5, "message": message, **changes})


def write_trial(project: Path, record: dict[str, Any], history: str | None = None) -> Path:
    folder = project / f"trial_{record['trial_id']}"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
    if history is not None:
        (folder / "history.csv").write_text(history, encoding="utf-8", newline="")
    return folder


def write_project(folder: Path, *records: dict[str, Any], **search: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "search.json").write_text(json.dumps(search_json(**search)), encoding="utf-8")
    for record in records:
        write_trial(folder, record)
    return folder


HISTORY = (
    "execution,epoch,step,seconds,d_loss,g_loss,metric.fcd,metric.coverage\n"
    "0,1,93,1.5,0.7,0.9,,\n"
    "0,2,186,3.0,0.65,0.95,0.25,0.5\n"
    "1,1,93,1.5,0.7,nan,,\n"
)
