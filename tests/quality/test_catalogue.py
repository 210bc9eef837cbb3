"""The names of scores, and that every other list of them agrees."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tuner_gan.quality.catalogue import CAS, EVERY, LABELLED, METRICS, OBJECTIVES, SECOND
from tuner_gan.quality.guards import FLAGS
from tuner_gan.quality.reference import Reference
from tuner_gan.results.records import FLAG_MEANINGS


@pytest.mark.parametrize("name", EVERY)
def test_every_score_says_what_it_is(name: str) -> None:
    metric = EVERY[name]
    assert name.islower()
    assert name.isidentifier()
    assert metric.better in ("lower", "higher", "floor")
    assert 10 < len(metric.meaning) < 100
    assert not metric.meaning.endswith(".")


def test_every_is_all_of_them_in_order() -> None:
    assert list(EVERY) == [*METRICS, *LABELLED, *SECOND, CAS]
    assert all(name.startswith("second_") and name.removeprefix("second_") in METRICS for name in SECOND)
    assert [SECOND[name].better for name in SECOND] == [METRICS[name.removeprefix("second_")].better for name in SECOND]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_search_ranks_by_a_score_of_every_rung_in_its_own_direction(objective: str) -> None:
    metric = METRICS[objective]
    assert metric.cheap
    assert metric.better == {"min": "lower", "max": "higher"}[OBJECTIVES[objective]]


def test_a_reference_gives_exactly_these_scores() -> None:
    features = np.zeros((80, 3), np.float32)
    reference = Reference(features, features, np.ones(10, np.int64), samples=80)
    assert reference.names == tuple(METRICS)
    assert reference.cheap_names == tuple(name for name, metric in METRICS.items() if metric.cheap)
    without = Reference(features, features, None, samples=80)
    assert without.names == tuple(name for name, metric in METRICS.items() if not metric.needs_classes)
    assert set(reference.names) - set(without.names) == {
        "classifier_score",
        "classifier_score_std",
        "modified_classifier_score",
        "class_kl",
        "modes",
    }


def test_a_reference_with_labels_gives_those_of_labels_besides() -> None:
    features, labels = np.zeros((80, 3), np.float32), np.arange(80) % 10
    reference = Reference(features, features, np.ones(10, np.int64), 80, labels)
    assert reference.names == tuple(METRICS)
    assert reference.label_names == tuple(LABELLED)
    assert all(metric.cheap for metric in LABELLED.values())  # they are columns of every history
    assert Reference(features, features, None, 80, labels).label_names == ("class_fcd",)
    assert Reference(features, features, np.ones(10, np.int64), 80).label_names == ()


def test_every_flag_is_explained() -> None:
    assert tuple(FLAG_MEANINGS) == FLAGS


def test_it_loads_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules); import tuner_gan.quality.catalogue; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["tuner_gan"]
