import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from tuner_gan import datasets
from tuner_gan.datasets import DataSplits
from tuner_gan.quality import classifier
from tuner_gan.quality.catalogue import METRICS

Images = npt.NDArray[np.uint8]
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "ladder.py"


@pytest.fixture(scope="module")
def ladder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ladder", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ladder"] = module  # dataclasses and pickles look their module up by name
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def digits() -> DataSplits:
    return datasets.load("digits").split(seed=0)


@pytest.fixture(scope="module")
def measured(ladder: ModuleType, digits: DataSplits) -> pd.DataFrame:
    assert digits.train.labels is not None
    few = datasets.from_arrays(digits.train.images[:600], digits.train.labels[:600], name="few").split(seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "STEPS", (30, 30))
        patch.setattr(ladder, "SIZES", (60, 500))
        shorter = {name: whole._replace(amounts=whole.amounts[::2]) for name, whole in ladder.LADDERS.items()}
        patch.setattr(ladder, "LADDERS", shorter)
        return pd.DataFrame(ladder.measure(few, seeds=2, draws=2, widths=(classifier.FEATURES,)))


def _roughness(images: Images, _data: DataSplits) -> float:
    return float(
        np.abs(np.diff(images.astype(float), axis=1)).mean() + np.abs(np.diff(images.astype(float), axis=2)).mean()
    )


def _grain(images: Images, data: DataSplits) -> float:
    """How far the images are from the nearest held-out one, in grey levels."""
    flat = images.reshape(len(images), -1).astype(float)
    real = data.holdout.images.reshape(len(data.holdout), -1).astype(float)
    return float(np.mean([np.abs(real - image).mean(axis=1).min() for image in flat]))


def _labels(images: Images, data: DataSplits) -> list[int]:
    assert data.holdout.labels is not None
    label = {image.tobytes(): int(of) for image, of in zip(data.holdout.images, data.holdout.labels, strict=True)}
    return [label[image.tobytes()] for image in images]


def _different(images: Images, data: DataSplits) -> float:
    counts = np.bincount(_labels(images, data))
    assert data.holdout.labels is not None
    np.testing.assert_array_equal(counts, np.bincount(data.holdout.labels))  # the classes are as balanced as before
    return float(len(np.unique(images, axis=0)))


def _copied(images: Images, data: DataSplits) -> float:
    known = {image.tobytes() for image in data.train.images}
    return float(np.mean([image.tobytes() in known for image in images]))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("blur", lambda images, data: -_roughness(images, data)),
        ("noise", _grain),
        ("classes", lambda images, data: -len(set(_labels(images, data)))),
        ("prototypes", lambda images, data: -_different(images, data)),
        ("copies", _copied),
    ],
)
def test_each_step_does_more_damage(
    ladder: ModuleType, digits: DataSplits, name: str, damage: Callable[[Images, DataSplits], float]
) -> None:
    real = ladder.Part(digits.holdout.images, digits.holdout.labels)
    before = digits.holdout.images.copy()
    climbed = list(ladder.climb(ladder.LADDERS[name], real, digits.train.images, seed=0))
    again = list(ladder.climb(ladder.LADDERS[name], real, digits.train.images, seed=0))
    assert len(climbed) >= 5
    found = [damage(digits.holdout.images, digits), *(damage(images, digits) for _, images in climbed)]
    assert all(np.diff(found) > 0), found
    for (_, images), (_, same) in zip(climbed, again, strict=True):
        assert images.dtype == np.uint8
        assert images.shape == digits.holdout.images.shape
        np.testing.assert_array_equal(images, same)
    np.testing.assert_array_equal(digits.holdout.images, before)


def test_the_amounts_are_what_they_say(ladder: ModuleType, digits: DataSplits) -> None:
    real = ladder.Part(digits.holdout.images, digits.holdout.labels)

    def images(name: str) -> dict[float, Images]:
        return dict(ladder.climb(ladder.LADDERS[name], real, digits.train.images, seed=1))

    assert {keep: len(set(_labels(left, digits))) for keep, left in images("classes").items()} == {
        keep: keep for keep in (9, 7, 5, 3, 2, 1)
    }
    assert {each: len(np.unique(left, axis=0)) for each, left in images("prototypes").items()} == {
        each: 10 * each
        for each in (20, 10, 5, 2, 1)  # 36 or fewer digits a class: 50 would be no damage
    }
    for share, mixed in images("copies").items():
        assert _copied(mixed, digits) == pytest.approx(share, abs=0.5 / len(mixed))


def test_the_rows_hold_every_score_on_every_ladder(ladder: ModuleType, measured: pd.DataFrame) -> None:
    default = measured[measured["default"] & (measured["draw"] == 0)]
    assert set(default["ladder"]) == {"none", "swapped", *ladder.LADDERS}
    assert set(ladder.SCORES) == {name for name in METRICS if not name.endswith(("_se", "_std"))}
    assert default[list(ladder.SCORES)].notna().all(axis=None)
    assert set(measured["layer"]) == {"tanh", "logits", "conv mean", "conv flat"}
    assert set(measured.loc[measured["layer"] == "tanh", "samples"]) == {60, 120}
    assert measured.loc[measured["draw"] == 1, "step"].max() == 1


def test_the_tables_have_their_shape(ladder: ModuleType, measured: pd.DataFrame) -> None:
    order = ladder.order_table(measured)
    assert list(order.index) == list(ladder.SCORES)
    assert list(order.columns) == [*ladder.LADDERS, "seed_cv"]
    assert order[list(ladder.LADDERS)].abs().max(axis=None) <= 1.0
    assert order.loc["fcd", "classes"] == pytest.approx(1.0, abs=0.1)
    assert order.loc["authenticity", "copies"] > 0.9
    choice = ladder.choice_table(measured, "fcd")
    assert list(zip(choice["layer"], choice["features"], choice["samples"], strict=True)) == [
        ("conv flat", 512, 120),
        ("conv mean", 32, 120),
        ("logits", 10, 120),
        ("tanh", 64, 60),
        ("tanh", 64, 120),
    ]
    assert list(ladder.others_table(measured)[ladder.CHOICE].itertuples(index=False)) == list(
        choice[ladder.CHOICE].itertuples(index=False)
    )
    means = ladder.mean_table(measured)
    assert len(means) == 2 + 3 + 3 + 3 + 2 + 3  # without damage, swapped, and every second step of each ladder
    assert means.loc[means["ladder"] == "copies", "amount"].tolist() == [0.1, 0.5, 1.0]
    texts = dict(ladder.tables(measured))
    assert len(texts) == 3
    for text in texts.values():
        assert len({line.count("|") for line in text.splitlines()}) == 1
        assert "nan" not in text


def _rows(scores: dict[str, list[float]], better: str) -> pd.DataFrame:
    """What one classifier could have said of an undamaged set and three steps of blur."""
    name = next(name for name, metric in METRICS.items() if metric.better == better and name in scores)
    found = [{"seed": 0, "ladder": "swapped", "step": 0, name: 5.0}]
    found += [
        {"seed": 0, "ladder": "blur" if step else "none", "step": step, name: value}
        for step, value in enumerate(scores[name])
    ]
    return pd.DataFrame(found)


@pytest.mark.parametrize(
    ("score", "values", "expected"),
    [
        ("fcd", [0.0, 1.0, 2.0, 9.0], 1.0),
        ("fcd", [9.0, 3.0, 2.0, 1.0], -1.0),
        ("coverage", [0.9, 0.5, 0.2, 0.1], 1.0),
        ("modes", [10.0, 10.0, 10.0, 10.0], 0.0),
        ("vendi", [5.1, 4.5, 6.0, 2.0], 1.0),  # away from 5 on either side
        ("nn_accuracy", [0.5, 0.6, 0.3, 1.0], 1.0),  # away from one half
    ],
)
def test_badness_follows_the_direction_of_the_score(
    ladder: ModuleType, score: str, values: list[float], expected: float
) -> None:
    rows = _rows({score: values}, METRICS[score].better)
    assert ladder._orders(rows, score, "blur") == [pytest.approx(expected)]


def test_signal_and_noise_are_those_of_the_first_step(ladder: ModuleType) -> None:
    at: dict[str, Any] = {"layer": "tanh", "features": 2, "samples": 9, "accuracy": 1.0, "rank": 2.0, "seed": 0}
    found = [{**at, "ladder": "none", "step": 0, "draw": n, "fcd": v} for n, v in enumerate((0.1, 0.0, 0.2))]
    for name in ladder.DAMAGES:
        found += [
            {**at, "ladder": name, "step": 1, "draw": n, "amount": 3.0, "fcd": v} for n, v in enumerate((0.2, 0.3, 0.4))
        ]
        found += [{**at, "ladder": name, "step": 2, "draw": 0, "amount": 7.0, "fcd": 0.9}]
    row = ladder.choice_table(pd.DataFrame(found), "fcd").iloc[0]
    assert row["floor"] == pytest.approx(0.1)
    assert row["noise rise"] == pytest.approx(2.0)
    assert row["noise snr"] == pytest.approx(0.2 / 0.1)
    assert row["noise from"] == 7.0  # 0.2 - 0.1 is less than three times 0.1, the deviation without damage
    assert row["order"] == pytest.approx(1.0)


def test_a_missing_dataset_is_skipped_with_a_line(
    ladder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "fashion-mnist")
    monkeypatch.setattr(sys, "argv", ["ladder.py", missing])
    ladder.main()
    assert capsys.readouterr().out == f"{missing} is not there: skipped\n"
