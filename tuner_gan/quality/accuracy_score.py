"""The classification accuracy score: whether generated images can teach a classifier about real ones."""

from __future__ import annotations

from tuner_gan.datasets import ImageDataset
from tuner_gan.errors import QualityError
from tuner_gan.quality.classifier import ReferenceClassifier


def classification_accuracy_score(fake: ImageDataset, real: ImageDataset, *, seed: int = 0) -> float:
    """Trains a classifier on generated images with their labels, and tests it on real ones.

    It sees what a distance between distributions cannot: a conditional generator whose images are good but wrongly
    labelled, or that lacks the variety to learn a class from. The same classifier trained on real images gives the
    value to compare with.

    Args:
        fake: generated images with labels, at least one a class.
        real: real images that the generator was not trained on, of the same shape and classes.
        seed: of the classifier, >= 0.

    Returns:
        The accuracy on the real images, in [0, 1].

    Raises:
        QualityError: images without labels, of other classes or of another shape.

    References:
        Ravuri and Vinyals 2019, "Classification Accuracy Score for Conditional Generative Models", arXiv:1905.10887.
    """
    if fake.labels is None or fake.class_names != real.class_names or len(fake.class_names) < 2:
        raise QualityError(
            "the classification accuracy score needs generated and real images labelled with the same two or more "
            f"classes, got {list(fake.class_names)[:10]} and {list(real.class_names)[:10]}."
        )
    return ReferenceClassifier.fit(fake, real, seed=seed).accuracy
