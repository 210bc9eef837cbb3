"""Distances and scores of features, logits and predicted classes.

Pure NumPy in float64: no image and no model enters here. `real` is the reference, `fake` what was generated.
Every function refuses NaN, infinity and wrong shapes with a `QualityError`; none returns NaN.
"""

from tuner_gan.quality.metrics.classes import class_kl, classifier_score
from tuner_gan.quality.metrics.frechet import frechet_distance, relative_frechet_distance, relative_sampling_bias
from tuner_gan.quality.metrics.neighbours import coverage
from tuner_gan.quality.metrics.spectrum import effective_rank

__all__ = [
    "class_kl",
    "classifier_score",
    "coverage",
    "effective_rank",
    "frechet_distance",
    "relative_frechet_distance",
    "relative_sampling_bias",
]
