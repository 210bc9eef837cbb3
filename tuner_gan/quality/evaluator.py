"""A generator goes in, named scores come out: the same classifier, latents and reference for every trial."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tuner_gan import files
from tuner_gan.datasets import DataSplits
from tuner_gan.errors import ProjectError, QualityError
from tuner_gan.images import images_from_latents
from tuner_gan.quality import metrics
from tuner_gan.quality.classifier import Images, ReferenceClassifier, damaged, inference_batch, read_card

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]

FEWEST_SAMPLES, MOST_SAMPLES = 500, 2_000
LARGEST_BIAS = 0.1
"""Above this share of the reference variance, `fit` warns that the score of a perfect generator is far from 0."""
DEAD = 1e-6
"""A feature is dead when its variance is below this share of the mean variance."""


class QualityEvaluator:
    """Scores generators against reference images that neither classifier nor GAN has seen.

    Make one with `fit` or `load`.

    Attributes:
        objective: name of the metric that a search minimises.
        direction: "min": smaller is better.
        classifier: the frozen `ReferenceClassifier`.
        samples: images generated for each score, the same for all trials, because the scores of different numbers of
            images cannot be compared: as many as there are reference images, but 500 to 2,000.
        seed: of the classifier and of the latents.
        card: what `card.json` holds, `floor`, `accuracy`, `effective_rank`, `dead_units` and `sampling_bias` among it.
    """

    objective = "fcd"
    direction = "min"

    def __init__(
        self, classifier: ReferenceClassifier, reference: Floats, class_counts: Counts, card: dict[str, Any]
    ) -> None:
        self.classifier = classifier
        self.samples: int = card["samples"]
        self.seed: int = card["seed"]
        self.card = card
        self._reference = reference
        self._class_counts = class_counts
        self._latents: dict[int, Floats] = {}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the scores, in the order of tables; the two that need classes are left out without labels."""
        if self.classifier.kind == "rotation":
            return ("fcd", "coverage")
        return ("fcd", "classifier_score", "class_kl", "coverage")

    @property
    def floor(self) -> dict[str, float]:
        """The scores of held-out real images: no generator should be expected to do better."""
        return dict(self.card["floor"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of all that a score depends on; scores of different fingerprints cannot be compared."""
        fixed = [self.classifier.fingerprint, self.card["data_fingerprint"], self.seed, self.samples, *self.metrics]
        digest = hashlib.sha256(json.dumps(fixed).encode())
        digest.update(np.ascontiguousarray(self._reference, "<f4").tobytes())
        digest.update(np.ascontiguousarray(self._class_counts, "<i8").tobytes())
        return digest.hexdigest()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images that are scored."""
        return self.classifier.image_shape

    @classmethod
    def fit(cls, data: DataSplits, directory: str | Path, *, seed: int = 0) -> QualityEvaluator:
        """Trains the classifier of a project, or reads the one that the project already has.

        Args:
            data: disjoint splits: the classifier learns from `train`, `reference` is what generated images are
                compared with, `holdout` gives accuracy and floor.
            directory: the project folder; `directory/classifier/` is read or written.
            seed: of the classifier and of the latents, >= 0.

        Raises:
            ProjectError: the folder holds a classifier of other data or of another seed, or a damaged one, or cannot
                be written.

        Warns:
            UserWarning: so few reference images that even a perfect generator would score above 0.1.

        Example:
            >>> quality = QualityEvaluator.fit(datasets.load("digits").split(seed=0), "runs/digits")
            >>> quality.score(generator)["fcd"]
        """
        folder = Path(directory) / files.CLASSIFIER_DIR
        if (folder / files.CARD).exists():
            evaluator = cls.load(directory)
            _check_same(folder, evaluator.card, data, seed)
        else:
            files.create_folder(folder)
            evaluator = cls._train(data, seed)
            evaluator.save(directory)
        bias = evaluator.card["sampling_bias"]
        if bias > LARGEST_BIAS:
            warnings.warn(
                f"{len(data.reference)} reference images are few: a perfect generator is expected to score fcd "
                f"{bias:.2f}, not 0; compare scores with the floor {evaluator.floor['fcd']:.2f}, or add images.",
                UserWarning,
                stacklevel=2,
            )
        return evaluator

    @classmethod
    def _train(cls, data: DataSplits, seed: int) -> QualityEvaluator:
        classifier = ReferenceClassifier.fit(data.train, data.holdout, seed=seed)
        reference, logits = classifier.predict(data.reference.images)
        class_counts = np.bincount(logits.argmax(axis=1), minlength=classifier.num_classes)
        samples = min(max(len(reference), FEWEST_SAMPLES), MOST_SAMPLES)
        variance = reference.var(axis=0, dtype=np.float64)
        card: dict[str, Any] = {
            "data_name": data.name,
            "data_fingerprint": data.fingerprint,
            "image_shape": list(data.image_shape),
            "reference_images": len(reference),
            "seed": seed,
            "samples": samples,
            "effective_rank": metrics.effective_rank(reference),
            "dead_units": int(np.count_nonzero(variance < DEAD * variance.mean())),
            "sampling_bias": metrics.relative_sampling_bias(reference, samples),
        }
        evaluator = cls(classifier, reference, class_counts, card)
        chosen = np.random.default_rng(seed).permutation(len(data.holdout))[:samples]
        card["floor"] = evaluator.evaluate(data.holdout.images[np.sort(chosen)])
        card["fingerprint"] = evaluator.fingerprint
        evaluator.card = {**classifier.card(), **card}
        return evaluator

    def evaluate(self, images: Images) -> dict[str, float]:
        """Scores images.

        Coverage compares with as many reference images as are generated for a score, at most; the Frechet distance
        with all of them. Classes are balanced against what the classifier says of the reference images, so that its
        own errors cancel, with half a count added to every class.

        Args:
            images: uint8 `[N, H, W, C]`, N >= 2; scores are comparable for equal N only, which is `samples`.

        Returns:
            A number for each name in `metrics`.

        Raises:
            QualityError: another shape or dtype, fewer than two images, or images that are all the same.
        """
        features, logits = self.classifier.predict(images)
        if len(images) > 1 and (images == images[0]).all():
            raise QualityError(
                f"all {len(images)} images are the same: the generator has collapsed to a constant, which has no score."
            )
        scores = {
            "fcd": metrics.relative_frechet_distance(self._reference, features),
            "coverage": metrics.coverage(self._reference[: self.samples], features),
        }
        if self.classifier.kind == "classifier":
            scores["classifier_score"] = metrics.classifier_score(logits)
            scores["class_kl"] = metrics.class_kl(logits.argmax(axis=1), self._class_counts + 0.5)
        return {name: scores[name] for name in self.metrics}

    def score(self, generator: keras.Model) -> dict[str, float]:
        """Generates `samples` images from the project's fixed latents and scores them.

        Args:
            generator: float32 `[B, latent_dim]` to `[B, H, W, C]` in [-1, 1]; called in inference mode.

        Returns:
            A number for each name in `metrics`.

        Raises:
            QualityError: NaN or infinity in the output, images of another shape, or images that are all the same.
        """
        latents = self._fixed_latents(int(generator.input_shape[-1]))
        return self.evaluate(images_from_latents(generator, latents, inference_batch(self.image_shape)))

    def _fixed_latents(self, size: int) -> Floats:
        if size not in self._latents:
            rng = np.random.default_rng([self.seed, size])
            self._latents[size] = rng.standard_normal((self.samples, size), dtype=np.float32)
        return self._latents[size]

    def save(self, directory: str | Path) -> None:
        """Writes `directory/classifier/`, the card last, so that an interrupted write leaves no card.

        Raises:
            ProjectError: the folder cannot be written.
        """
        folder = Path(directory) / files.CLASSIFIER_DIR
        files.create_folder(folder)
        (folder / files.CARD).unlink(missing_ok=True)
        with files.replacing(folder / files.REFERENCE) as path:
            np.savez(path, features=self._reference, class_counts=self._class_counts)
        self.classifier.save(folder, self.card)

    @classmethod
    def load(cls, directory: str | Path) -> QualityEvaluator:
        """Reads `directory/classifier/` and checks it against its card; no images are needed.

        Raises:
            ProjectError: a file is missing or damaged, or does not belong to the others.
        """
        folder = Path(directory) / files.CLASSIFIER_DIR
        card = read_card(folder)
        classifier = ReferenceClassifier.load(folder)
        reference, class_counts = _read_reference(folder, classifier)
        try:
            evaluator = cls(classifier, reference, class_counts, card)
            fits = evaluator.fingerprint == card["fingerprint"] and set(card["floor"]) == set(evaluator.metrics)
            fits = fits and math.isfinite(card["sampling_bias"])
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(folder, f"{files.CARD} lacks entries or has wrong ones") from error
        if not fits:
            raise damaged(folder, f"{files.REFERENCE} and {files.CARD} do not belong together")
        return evaluator


def _read_reference(folder: Path, classifier: ReferenceClassifier) -> tuple[Floats, Counts]:
    try:
        # A file of our own: NumPy leaves one that it opened open when the archive is damaged.
        with (folder / files.REFERENCE).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            reference, class_counts = arrays["features"], arrays["class_counts"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise damaged(folder, f"{files.REFERENCE} is missing or cannot be read") from error
    if reference.shape[1:] != (classifier.feature_dim,) or class_counts.shape != (classifier.num_classes,):
        raise damaged(folder, f"{files.REFERENCE} does not fit the classifier")
    return reference, class_counts


def _check_same(folder: Path, card: dict[str, Any], data: DataSplits, seed: int) -> None:
    # The seed first: the fingerprint of a split depends on it.
    if card["seed"] != seed:
        raise ProjectError(
            f"{folder} holds a classifier of seed {card['seed']}, asked for seed {seed}: choose another project "
            "folder, or overwrite the project."
        )
    if card["data_fingerprint"] != data.fingerprint:
        raise ProjectError(
            f"{folder} holds a classifier of other data ({card['data_name']!r}, fingerprint "
            f"{card['data_fingerprint'][:12]}; asked for {data.name!r}, fingerprint {data.fingerprint[:12]}): choose "
            "another project folder, or overwrite the project."
        )
