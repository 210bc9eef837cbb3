"""Distances and scores of features, logits and predicted classes.

Pure NumPy in float64: no image and no model enters here. `real` is the reference, `fake` what was generated.
Every function refuses NaN, infinity and wrong shapes with a `QualityError`; none returns NaN.

    frechet      two Gaussians: the distance, its bias, its standard error, its limit
    moments      mean and covariance of batches
    kernel       KID: unbiased, sees third moments
    sliced       transport along directions, without a Gaussian
    neighbours   which samples lie among those of the other set
    copying      which samples are too near to training samples
    classes      what a classifier says of the samples
    spectrum     how many directions the samples fill
"""

from tuner_gan.quality.metrics.classes import class_kl, classifier_score, mode_count, modified_classifier_score
from tuner_gan.quality.metrics.copying import CopyingTest, authenticity, copying_test, memorisation
from tuner_gan.quality.metrics.frechet import (
    frechet_distance,
    frechet_distance_from_stats,
    frechet_distance_infinity,
    frechet_standard_error,
    relative_frechet_distance,
    relative_sampling_bias,
)
from tuner_gan.quality.metrics.kernel import (
    BlockEstimate,
    SubsetEstimate,
    kernel_distance,
    kernel_distance_blocks,
    kernel_distance_subsets,
)
from tuner_gan.quality.metrics.moments import Moments
from tuner_gan.quality.metrics.neighbours import (
    NeighbourComparison,
    PrecisionRecall,
    TwoSample,
    compare_neighbours,
    coverage,
    expected_coverage,
    nearest_neighbour_two_sample,
    precision_recall_density_coverage,
)
from tuner_gan.quality.metrics.sliced import monge_distance, sliced_wasserstein
from tuner_gan.quality.metrics.spectrum import effective_rank, vendi_score

__all__ = [
    "BlockEstimate",
    "CopyingTest",
    "Moments",
    "NeighbourComparison",
    "PrecisionRecall",
    "SubsetEstimate",
    "TwoSample",
    "authenticity",
    "class_kl",
    "classifier_score",
    "compare_neighbours",
    "copying_test",
    "coverage",
    "effective_rank",
    "expected_coverage",
    "frechet_distance",
    "frechet_distance_from_stats",
    "frechet_distance_infinity",
    "frechet_standard_error",
    "kernel_distance",
    "kernel_distance_blocks",
    "kernel_distance_subsets",
    "memorisation",
    "mode_count",
    "modified_classifier_score",
    "monge_distance",
    "nearest_neighbour_two_sample",
    "precision_recall_density_coverage",
    "relative_frechet_distance",
    "relative_sampling_bias",
    "sliced_wasserstein",
    "vendi_score",
]
