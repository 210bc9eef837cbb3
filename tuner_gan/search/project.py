"""What a project is a search of: written once, compared on every later run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras_tuner
import numpy as np

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.precision import default_policy
from tuner_gan.quality.catalogue import CAS

if TYPE_CHECKING:
    from tuner_gan.quality.evaluator import QualityEvaluator

PACKAGES = ("tuner-gan", "tensorflow", "keras", "keras-tuner", "optuna", "numpy", "pandas")

CONTINUED = "choose another project name (--name), or overwrite the project (--overwrite) to start afresh"
REMADE = "delete it, and the same search goes on with its trials; only the time that it took so far is forgotten"


def describe(
    name: str,
    *,
    quality: QualityEvaluator,
    space_name: str,
    space: keras_tuner.HyperParameters,
    oracle: str,
    seed: int,
    classes: int = 0,
) -> dict[str, Any]:
    """Returns the content of search.json for a new search."""
    card = quality.card
    of_labels = quality.label_metrics if classes else ()
    return {
        "schema": files.SCHEMA,
        "name": name,
        "created_at": datetime.now(UTC).isoformat(),
        "seed": seed,
        "oracle": oracle,
        "objective": {"name": quality.objective, "direction": quality.direction},
        "conditional": classes > 0,
        "data": {
            "name": card["data_name"],
            "licence": card.get("data_licence"),  # a card of an earlier version has none
            "fingerprint": card["data_fingerprint"],
            "image_shape": list(quality.image_shape),
            **({"class_names": list(quality.class_names)} if classes else {}),
        },
        "classifier": {
            "fingerprint": quality.fingerprint,
            "kind": card["kind"],
            "accuracy": card.get("accuracy"),
            "floor": quality.floor,
        },
        "space": {"name": space_name, "hyperparameters": [_parameter(parameter) for parameter in space.space]},
        "metrics": [*quality.metrics, *of_labels, *quality.second_metrics, *((CAS,) if classes else ())],
        "rung_metrics": [*quality.rung_metrics, *of_labels],
        "config": {},
        "versions": _versions(),
        "elapsed_s": 0.0,
    }


def _parameter(parameter: Any) -> dict[str, Any]:
    config: dict[str, Any] = parameter.get_config()
    conditions = [condition.get_config() for condition in parameter.conditions]
    return {**config, "kind": type(parameter).__name__, "conditions": conditions}


def _versions() -> dict[str, str]:
    """What the choice of trials and a training's numbers depend on besides the search itself."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
            versions[package] = "not installed"
    return {**versions, "precision": default_policy().name}


def changed_versions(stored: dict[str, str]) -> str:
    """Returns what versions differ from those of search.json, such as `keras 3.15.1, not 3.14.0`; empty for none."""
    now = _versions()
    return ", ".join(f"{name} {now.get(name)}, not {was}" for name, was in stored.items() if now.get(name) != was)


def training_fingerprint(training: Sequence[np.ndarray]) -> str:
    """SHA-256 (hexadecimal) of the training images, and of their labels if there are any."""
    digest = hashlib.sha256()
    for array in training:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def read_search(path: Path) -> dict[str, Any]:
    """Reads search.json.

    Raises:
        ProjectError: it is damaged, which costs no trial, or of a newer version.
    """
    try:
        return files.read_json(path)
    except ProjectError as error:
        if "damaged" not in str(error):
            raise
        raise ProjectError(f"{str(error).rstrip('.')}; {REMADE}.") from error


def check_same(folder: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuses to go on with a search of something else.

    Raises:
        ProjectError: data, kind of GAN, search space, classifier, objective, oracle or seed differ; the message names
            which, and how. Or search.json lacks entries.
    """
    try:
        difference = _difference(stored, wanted)
        float(stored["elapsed_s"]), dict(stored["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProjectError(
            f"{folder / files.SEARCH} is damaged: it lacks entries or has wrong ones; {REMADE}."
        ) from error
    if difference:
        raise ProjectError(f"{folder} holds a search with another {difference}: {CONTINUED}.")


def check_together(folder: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuses to join workers with other settings than theirs: trials would differ by them, and finalists.

    Args:
        folder: of the project.
        stored: settings that search.json notes; an earlier version notes fewer of them.
        wanted: those of the worker that begins.

    Raises:
        ProjectError: a setting differs; the message names it.
    """
    for name, value in wanted.items():
        if stored.get(name, value) != value:
            raise ProjectError(
                f"{folder} is being searched in with {name} {stored[name]}, not {value}: run the same command on each "
                "machine, or wait until that search has ended."
            )


def _difference(stored: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    if stored["data"]["fingerprint"] != wanted["data"]["fingerprint"]:
        return f"data set ({_named(stored['data'])}, not {_named(wanted['data'])})"
    # A project of an earlier version does not say, and none was conditional.
    kinds = [search.get("conditional", False) for search in (stored, wanted)]
    if kinds[0] != kinds[1]:
        before, now = ("conditional" if kind else "unconditional" for kind in kinds)
        return f"kind of GAN ({before}, not {now})"
    space = _space_difference(stored["space"], wanted["space"])
    if space:
        return f"search space ({space})"
    if stored["classifier"]["fingerprint"] != wanted["classifier"]["fingerprint"]:
        return f"reference classifier ({_named(stored['classifier'])}, not {_named(wanted['classifier'])})"
    for key in ("objective", "oracle", "seed"):
        if stored[key] != wanted[key]:
            return f"{key} ({stored[key]}, not {wanted[key]})"
    return None


def _named(part: dict[str, Any]) -> str:
    name = f"{part['name']}, " if "name" in part else ""
    return f"{name}fingerprint {part['fingerprint'][:12]}"


def _space_difference(stored: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    if stored["name"] != wanted["name"]:
        return f"{stored['name']}, not {wanted['name']}"
    before = {_key(entry): entry for entry in stored["hyperparameters"]}
    now = {_key(entry): entry for entry in wanted["hyperparameters"]}
    for key in before.keys() | now.keys():
        if before.get(key) != now.get(key):
            return f"{key[0]}: {_range(before.get(key))}, not {_range(now.get(key))}"
    return None


def _key(entry: dict[str, Any]) -> tuple[str, str]:
    return entry["name"], repr(entry["conditions"])


def _range(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "absent"
    return ", ".join(f"{key} {value}" for key, value in entry.items() if key not in ("name", "conditions", "kind"))
