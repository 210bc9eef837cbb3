"""A second classifier of another seed: what only the first one believes in is no quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tuner_gan import files
from tuner_gan.datasets import DataSplits
from tuner_gan.quality import metrics
from tuner_gan.quality.classifier import ReferenceClassifier
from tuner_gan.quality.frozen import Images, damaged
from tuner_gan.quality.reference import Floats, read_arrays


class SecondOpinion:
    """Scores images by a classifier that no search was ever ranked with.

    Attributes:
        classifier: its seed is one above that of the project's classifier.
        floor: the scores of held-out real images.
    """

    def __init__(self, classifier: ReferenceClassifier, reference: Floats, floor: dict[str, float]) -> None:
        self.classifier = classifier
        self.floor = floor
        self._reference = reference

    @classmethod
    def fit(cls, data: DataSplits, holdout: Images, seed: int) -> SecondOpinion:
        """Trains the classifier.

        Args:
            data: the splits of the project.
            holdout: the held-out images that the floor is measured with, uint8 `[N, H, W, C]`.
            seed: of the classifier, >= 0.
        """
        classifier = ReferenceClassifier.fit(data.train, data.holdout, seed=seed)
        opinion = cls(classifier, classifier.features(data.reference.images), {})
        opinion.floor = opinion.score(holdout)
        return opinion

    def score(self, images: Images) -> dict[str, float]:
        """Gives images, uint8 `[N, H, W, C]`, N >= 2, the scores named in `catalogue.SECOND`."""
        features, logits = self.classifier.predict(images)
        scores = {"second_fcd": metrics.relative_frechet_distance(self._reference, features)}
        if self.classifier.kind == "classifier":
            scores["second_classifier_score"] = metrics.classifier_score(logits)
        return scores

    def save(self, folder: Path) -> None:
        """Writes it to `folder`, the card last."""
        files.create_folder(folder)
        with files.replacing(folder / files.REFERENCE) as path:
            np.savez(path, features=self._reference)
        self.classifier.save(folder, {"floor": self.floor})

    @classmethod
    def load(cls, folder: Path) -> SecondOpinion:
        """Reads what `save` wrote.

        Raises:
            ProjectError: a file is missing or damaged.
        """
        classifier = ReferenceClassifier.load(folder)
        try:
            [reference] = read_arrays(folder / files.REFERENCE, "features")
            floor = {str(name): float(value) for name, value in files.read_json(folder / files.CARD)["floor"].items()}
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise damaged(folder, f"{files.REFERENCE} or {files.CARD} cannot be read") from error
        return cls(classifier, reference, floor)
