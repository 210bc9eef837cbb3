"""Measures every score on ladders of known damage to real held-out images: which see it, and in the right order.

    python benchmarks/ladder.py mnist5k digits --means docs/ladder.csv --rows ladder_rows.csv

prints the tables of docs/quality.md: all scores on the default features, and the scores a search may rank by on other
layers, widths and numbers of images. It takes up to ten minutes a dataset on two cores. Fashion-MNIST can be added by
the path of its folder, such as /usr/share/datasets/fashion-mnist.

A ladder begins with held-out images as they are and ends with the worst damage. Nothing is generated, so the true order
is known. The classifiers learn from the training set only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from tuner_gan import datasets
from tuner_gan.datasets import DataSplits, ImageDataset
from tuner_gan.quality import classifier as classifier_module
from tuner_gan.quality import metrics
from tuner_gan.quality.catalogue import METRICS, OBJECTIVES
from tuner_gan.quality.classifier import FEATURES, ReferenceClassifier
from tuner_gan.quality.reference import Outputs, Reference

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

MOST_TRAINING, MOST_REAL, MOST_SAMPLES = 10_000, 5_000, 2_000
"""Training images of a classifier, images in the reference and in the holdout, generated images: at most."""
WIDTHS = (16, 32, FEATURES, 128)
SIZES = (250, 500, 1_000, 2_000)
MOST_FLAT = 1_000
"""Most images where there are thousands of features: the distance takes the singular values of n x n numbers there."""
SEEDS, DRAWS = 3, 6
CLEAR = 3.0
"""Standard deviations by which a step counts as seen."""
DEFAULT: Final = "tanh"
SCORES: Final = tuple(name for name in METRICS if not name.endswith(("_se", "_std")))
OTHERS: Final = ("kid", "mind", "coverage")
"""What a search may rank by beside fcd; classifier_score does not depend on the layer."""
CHOICE: Final = ["layer", "features", "samples"]
IDEAL: Final = {"nn_accuracy": 0.5, "nn_real": 0.5, "nn_fake": 0.5, "memorisation": 0.0}
"""What theory expects of real images; for other two-sided scores it is measured with reference and holdout swapped."""


class Part(NamedTuple):
    """Labelled images: uint8 `[N, H, W, C]` and int64 `[N]`."""

    images: Images
    labels: Labels

    def take(self, rows: Rows) -> Part:
        """The images of these rows."""
        return Part(self.images[rows], self.labels[rows])


class Ladder(NamedTuple):
    """One kind of damage.

    Attributes:
        amounts: how much at each step, the least damage first.
        unit: what `amounts` counts.
        damage: `(real, amount, train, rng)` to as many images as `real` has.
    """

    amounts: tuple[float, ...]
    unit: str
    damage: Callable[[Part, float, Images, np.random.Generator], Images]


def blur(real: Part, sigma: float, _train: Images, _rng: np.random.Generator) -> Images:
    """Gaussian blur of `sigma` pixels."""
    smooth: Floats = gaussian_filter(real.images.astype(np.float32), (0.0, sigma, sigma, 0.0), mode="nearest")
    return np.rint(smooth).astype(np.uint8)


def noise(real: Part, deviation: float, _train: Images, rng: np.random.Generator) -> Images:
    """Gaussian noise of that many grey levels, clipped to 0..255. All steps have the same noise, only more of it."""
    noisy: Floats = real.images + np.float32(deviation) * rng.standard_normal(real.images.shape, np.float32)
    return np.rint(np.clip(noisy, 0.0, 255.0)).astype(np.uint8)


def drop_classes(real: Part, keep: float, _train: Images, rng: np.random.Generator) -> Images:
    """Leaves `keep` classes, all of which the step before has too, and repeats their images as evenly as can be."""
    kept = rng.permutation(np.unique(real.labels))[: int(keep)]
    rows = rng.permutation(np.flatnonzero(np.isin(real.labels, kept)))
    return real.take(np.resize(rows, len(real.labels))).images


def repeat_prototypes(real: Part, prototypes: float, _train: Images, rng: np.random.Generator) -> Images:
    """Leaves each class that many different images, repeated until it is as large as before."""
    groups = [rng.permutation(np.flatnonzero(real.labels == label)) for label in np.unique(real.labels)]
    return real.take(np.concatenate([np.resize(rows[: int(prototypes)], len(rows)) for rows in groups])).images


def copy_training_images(real: Part, share: float, train: Images, rng: np.random.Generator) -> Images:
    """Replaces that share of the images by different training images."""
    count = round(share * len(real.images))
    images = real.images.copy()
    images[rng.permutation(len(images))[:count]] = train[rng.permutation(len(train))[:count]]
    return images


LADDERS: Final = {
    "blur": Ladder((0.5, 0.7, 1.0, 1.4, 2.0), "px", blur),
    "noise": Ladder((8, 16, 32, 64, 128), "grey levels", noise),
    "classes": Ladder((9, 7, 5, 3, 2, 1), "classes left", drop_classes),
    "prototypes": Ladder((50, 20, 10, 5, 2, 1), "images a class", repeat_prototypes),
    "copies": Ladder((0.1, 0.25, 0.5, 0.75, 1.0), "share", copy_training_images),
}
DAMAGES: Final = tuple(name for name in LADDERS if name != "copies")
"""What a score of quality must see. Copies of training images are good images: only their number is wrong."""


def steps(ladder: Ladder, real: Part) -> tuple[float, ...]:
    """The amounts that damage these images: 50 prototypes do nothing to a class of 36."""
    if ladder.damage is repeat_prototypes:
        return tuple(amount for amount in ladder.amounts if amount < np.bincount(real.labels).max())
    return ladder.amounts


def climb(ladder: Ladder, real: Part, train: Images, seed: int) -> Iterator[tuple[float, Images]]:
    """Yields (amount, images) from the least damage to the worst, shuffled, so that any first n are a fair sample."""
    order = np.random.default_rng(seed).permutation(len(real.images))
    for amount in steps(ladder, real):
        yield amount, ladder.damage(real, amount, train, np.random.default_rng(seed))[order]


def layers_of(classifier: ReferenceClassifier) -> Callable[[Images], dict[str, Floats]]:
    """A function from images to the outputs of each layer that could serve as features."""
    network = classifier.model
    probe = keras.Model(network.input, [network.get_layer("flatten").input, *network.outputs])

    def outputs(images: Images) -> dict[str, Floats]:
        maps, features, logits = probe.predict(images, batch_size=250, verbose=0)
        return {
            DEFAULT: features,
            "logits": logits,
            "conv mean": maps.mean(axis=(1, 2)),
            "conv flat": maps.reshape(len(maps), -1),
        }

    return outputs


def measure(
    data: DataSplits, *, seeds: int = SEEDS, draws: int = DRAWS, widths: Sequence[int] = WIDTHS
) -> Iterator[dict[str, Any]]:
    """Climbs all ladders with classifiers of each width and seed.

    Draw 0 is the split of the dataset and climbs to the top. The other draws share reference and holdout images out
    anew and go to the first step only: they say how far a score scatters.

    Yields:
        A row of the table that `tables` takes: what was measured on what, and a score in each column of `SCORES`;
        those that a search cannot rank by only for draw 0 on the default features.
    """
    train = _first(data.train, MOST_TRAINING)
    reference, holdout = (_labelled(_first(part, MOST_REAL)) for part in (data.reference, data.holdout))
    real = Part(np.concatenate([reference.images, holdout.images]), np.concatenate([reference.labels, holdout.labels]))
    half = len(reference.labels)
    for width, seed in ((width, seed) for width in widths for seed in range(seeds)):
        with mock.patch.object(classifier_module, "FEATURES", width):
            classifier = ReferenceClassifier.fit(train, data.holdout, seed=seed)
        print(f"{data.name}: width {width}, seed {seed}, accuracy {classifier.accuracy:.3f}", file=sys.stderr)
        outputs_of = layers_of(classifier)
        outputs = outputs_of(real.images)
        learned = outputs_of(train.images)[DEFAULT]
        fixed = {"dataset": data.name, "accuracy": classifier.accuracy, "width": width, "seed": seed}
        for draw in range(draws):
            rng = np.random.default_rng(draw)
            order = rng.permutation(len(real.labels)) if draw else np.arange(len(real.labels))
            bench = Bench({name: values[order[:half]] for name, values in outputs.items()}, learned, width, draw == 0)
            intact = {name: values[order[half:]] for name, values in outputs.items()}
            at = {**fixed, "draw": draw}
            for row in bench.scores(intact):
                rank = metrics.effective_rank(bench.reference[row["layer"]]) if draw == 0 else np.nan
                yield {**at, "ladder": "none", "step": 0, "rank": rank, **row}
            if draw == 0 and width == FEATURES:
                swapped = bench._replace(reference=intact).scores(bench.reference)
                yield from ({**at, "ladder": "swapped", "step": 0, **row} for row in swapped if row["default"])
            for name, ladder in LADDERS.items():
                rungs = climb(ladder, real.take(order[half:]), train.images, seed=draw)
                for step, (amount, images) in enumerate(rungs, 1):
                    if draw and step > 1:
                        break
                    at_step = {**at, "ladder": name, "step": step, "amount": amount}
                    yield from ({**at_step, **row} for row in bench.scores(outputs_of(images)))


class Bench(NamedTuple):
    """What damaged images are compared with.

    Attributes:
        reference: the outputs of each layer for the reference images.
        learned: the default features of the training images.
        width: of the classifier's default features.
        every_score: whether to measure all scores, or only those that a search may rank by.
    """

    reference: dict[str, Floats]
    learned: Floats
    width: int
    every_score: bool

    def scores(self, outputs: dict[str, Floats]) -> Iterator[dict[str, Any]]:
        """Yields a row for each layer and number of images."""
        most = min(len(outputs[DEFAULT]), MOST_SAMPLES)
        for layer in outputs if self.width == FEATURES else (DEFAULT,):
            real, fake = self.reference[layer], outputs[layer]
            sizes = {most}
            if layer == DEFAULT and self.width == FEATURES:
                sizes.update(size for size in SIZES if size < most)
            elif layer == "conv flat":
                sizes = {min(most, MOST_FLAT)}
                real = real[:MOST_FLAT]
            for n in sorted(sizes):
                default = layer == DEFAULT and self.width == FEATURES and n == most
                if default and self.every_score:
                    row: dict[str, Any] = self._every_score(real, outputs, n)
                else:
                    row = _objectives(real, fake[:n])
                row.update(layer=layer, features=real.shape[1], samples=n, default=default)
                yield row

    def _every_score(self, real: Floats, outputs: dict[str, Floats], n: int) -> dict[str, float]:
        predicted = self.reference["logits"].argmax(axis=1)
        counts = np.bincount(predicted, minlength=self.reference["logits"].shape[1])
        fake = outputs[DEFAULT][:n]
        return Reference(real, self.learned, counts, n).evaluate(
            Outputs(fake, metrics.Moments.of(fake), outputs["logits"][:n])
        )


def _objectives(real: Floats, fake: Floats) -> dict[str, float]:
    # As in a search: the Frechet distance sees the whole reference, the pairwise scores as many as are generated.
    return {
        "fcd": metrics.relative_frechet_distance(real, fake),
        "kid": metrics.kernel_distance(real[: len(fake)], fake),
        "mind": metrics.monge_distance(real[: len(fake)], fake),
        "coverage": metrics.coverage(real[: len(fake)], fake),
    }


def _first(data: ImageDataset, count: int) -> ImageDataset:
    labels = None if data.labels is None else data.labels[:count]
    return ImageDataset(data.name, data.images[:count], labels, data.class_names)


def _labelled(data: ImageDataset) -> Part:
    if data.labels is None:
        raise SystemExit(f"{data.name} has no labels: the ladders need classes.")
    return Part(data.images, data.labels)


def order_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlation of each score's badness with the true order, on the default features.

    Args:
        frame: the rows of `measure` for one dataset.

    Returns:
        A row for each of `SCORES`; a column for each ladder with the mean over classifier seeds, in -1..1 and 0 for a
        score that does not change; and `seed_cv`, the median over all damaged steps of the standard deviation over
        classifier seeds divided by the mean.
    """
    frame = frame[frame["default"] & (frame["draw"] == 0)]
    table = pd.DataFrame(index=pd.Index(SCORES, name="score"))
    for ladder in LADDERS:
        table[ladder] = [np.mean(_orders(frame, score, ladder)) for score in SCORES]
    table["seed_cv"] = _seed_cv(frame, list(SCORES))
    return table


def mean_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The mean over classifier seeds of every score at every step of every dataset, on the default features."""
    frame = frame[frame["default"] & (frame["draw"] == 0)]
    by_step = frame.groupby(["dataset", "ladder", "step"], sort=False)
    return by_step[["amount", *SCORES]].mean().reset_index()


def choice_table(frame: pd.DataFrame, score: str) -> pd.DataFrame:
    """Compares layers, widths and numbers of images by one of the scores that a search may rank by.

    Args:
        frame: the rows of `measure` for one dataset.
        score: of `OBJECTIVES`.

    Returns:
        A row for each layer, width and number of images, with the columns: `order`, the worst rank correlation over
        all ladders of damage and classifier seeds; `floor`, the mean score of undamaged images; for each ladder `rise`,
        the badness that the first step adds in units of the floor, `snr`, the same in standard deviations over draws
        of the images, and `from`, the least damage from which on every step is worse than no damage by more
        than `CLEAR` standard deviations of undamaged images, NaN for none; `seed_cv` as in `order_table`.
    """
    sign = 1.0 if OBJECTIVES[score] == "min" else -1.0
    rows = []
    for (layer, features, samples), part in frame[frame["ladder"] != "swapped"].groupby(CHOICE):
        split = part[part["draw"] == 0]
        intact = part[part["step"] == 0].groupby("seed")[score]
        floor, clear = intact.mean(), CLEAR * np.sqrt(intact.var().mean())
        row: dict[str, Any] = {"layer": layer, "features": features, "samples": samples}
        row["accuracy"], row["rank"] = split["accuracy"].mean(), split["rank"].mean()
        row["order"] = min(min(_orders(split, score, ladder)) for ladder in DAMAGES)
        row["floor"] = floor.mean()
        for ladder in DAMAGES:
            first = part[(part["ladder"] == ladder) & (part["step"] == 1)].groupby("seed")[score]
            rise = sign * (first.mean() - floor).mean()
            row[f"{ladder} rise"] = rise / abs(floor.mean())
            row[f"{ladder} snr"] = rise / (np.sqrt(first.var().mean()) or np.nan)
            climbed = split[split["ladder"] == ladder].groupby("amount", sort=False)[score].mean()
            unseen = np.flatnonzero(sign * (climbed - split.loc[split["step"] == 0, score].mean()) <= clear)
            seen = climbed.index[unseen[-1] + 1 if len(unseen) else 0 :]
            row[f"{ladder} from"] = seen[0] if len(seen) else np.nan
        row["seed_cv"] = _seed_cv(split, [score]).iloc[0]
        rows.append(row)
    return pd.DataFrame(rows)


def others_table(frame: pd.DataFrame) -> pd.DataFrame:
    """`choice_table` of the scores of `OTHERS` side by side: the worst order, the mean snr over ladders and seed_cv."""
    table = pd.DataFrame()
    for score in OTHERS:
        choice = choice_table(frame, score)
        if table.empty:
            table = choice[CHOICE].copy()
        table[f"{score} order"] = choice["order"]
        table[f"{score} snr"] = choice[[f"{ladder} snr" for ladder in DAMAGES]].mean(axis=1)
        table[f"{score} seed_cv"] = choice["seed_cv"]
    return table


def _seed_cv(split: pd.DataFrame, scores: list[str]) -> pd.Series[float]:
    by_step = split[split["step"] > 0].groupby(["ladder", "step"])[scores]
    return (by_step.std() / by_step.mean().abs()).median()


def _orders(frame: pd.DataFrame, score: str, ladder: str) -> list[float]:
    """For each classifier seed the rank correlation of badness with the number of the step."""
    result = []
    for _, part in frame.groupby("seed"):
        ideal = IDEAL.get(score, part.loc[part["ladder"] == "swapped", score].mean())
        climbed = part[part["ladder"].isin(["none", ladder])].sort_values("step")
        badness = _badness(climbed[score].to_numpy(), METRICS[score].better, float(ideal))
        constant = np.ptp(badness) == 0.0  # no correlation is defined: the score is blind
        result.append(0.0 if constant else float(spearmanr(climbed["step"], badness).statistic))
    return result


def _badness(values: npt.NDArray[Any], better: str, ideal: float) -> npt.NDArray[Any]:
    return {"lower": values, "higher": -values, "floor": np.abs(values - ideal)}[better]


def tables(frame: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Yields (title, Markdown) of each table for what `measure` found on one dataset."""
    name = frame["dataset"].iloc[0]
    yield f"{name}: rank correlation with the true order", _markdown(order_table(frame).reset_index())
    yield f"{name}: fcd by layer, width and number of images", _markdown(_in_brief(choice_table(frame, "fcd")))
    yield f"{name}: other scores by layer, width and number of images", _markdown(others_table(frame))


def _in_brief(choice: pd.DataFrame) -> pd.DataFrame:
    """One column for each ladder: rise / snr / from."""
    table = choice.drop(columns=[f"{ladder} {part}" for ladder in DAMAGES for part in ("rise", "snr", "from")])
    for ladder in DAMAGES:
        rise, snr, least = (choice[f"{ladder} {part}"] for part in ("rise", "snr", "from"))
        table[f"{ladder}: rise / snr / from"] = [
            f"{a:.1f} / {b:.1f} / {'never' if np.isnan(c) else format(c, 'g')}"
            for a, b, c in zip(rise, snr, least, strict=True)
        ]
    return table


def _markdown(table: pd.DataFrame) -> str:
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    lines += [[_cell(column, value) for column, value in row.items()] for row in table.to_dict("records")]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(column: object, value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if np.isnan(value):
        return ""
    if str(column).endswith(("seed_cv", "accuracy")):
        return f"{value:.1%}"
    if str(column).endswith(("snr", "rank")):
        return f"{value:.1f}"
    return f"{value:.3g}" if column == "floor" else f"{value:.2f}"


def main() -> None:
    """Measures the datasets named on the command line and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=["mnist5k", "digits"], help="names or paths of labelled datasets")
    parser.add_argument("--means", type=Path, help="CSV file for the mean of every score at every step")
    parser.add_argument("--rows", type=Path, help="CSV file for every number measured")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in arguments.data:
        if name not in datasets.DATASETS and not Path(name).exists():
            print(f"{name} is not there: skipped")
            continue
        rows += measure(datasets.load(name).split(seed=0))
        frame = pd.DataFrame(rows)
        if arguments.rows is not None:
            frame.to_csv(arguments.rows, index=False, float_format="%.6g")
        if arguments.means is not None:
            mean_table(frame).to_csv(arguments.means, index=False, float_format="%.4g")
        for title, table in tables(frame[frame["dataset"] == rows[-1]["dataset"]]):
            print(f"\n### {title}\n\n{table}")


if __name__ == "__main__":
    main()
