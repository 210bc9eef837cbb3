"""What is wrong with generated images, named from their scores and those of held-out real images.

The thresholds lie between what real images, honest generators and planted failures score;
`tests/quality/test_guards.py` plants each failure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

FLAGS: Final = ("memorising", "collapsed", "adversarial", "diverged", "constant")
"""In the order of the column `flags`. The last two come with a failed training, which has no scores to judge by."""

FEWEST = 30
"""Images from which on they say something about what made them."""
AUTHENTIC_SHARE = 0.8
"""Of the authenticity of held-out images: below it about a fifth of the images or more are copies."""
SIGNIFICANCE = 3.5
"""Standard errors by which authenticity must lie below that of held-out images."""
NEARER = 0.7
"""Share of the way from C_T of held-out images to that of exact copies, beyond which images are too near."""
CLASS_KL = math.log(4 / 3)
"""As if a quarter of equally frequent classes were missing."""
DIVERSE_SHARE = 0.1
"""Of the recall and coverage of held-out images: below it, the images fill a small part of what real ones do."""
DISAGREEMENT = 2.5
"""Times the excess of fcd over its floor that a second classifier may see; honest images stay below about 1.6."""
FCD_SLACK = 0.03
"""What the excesses may differ by whatever their ratio."""
SCORE_SHARE, SCORE_SLACK = 0.8, 0.2
"""Of the classifier score above 1 that a second classifier must see, and what it may lack whatever the share."""


def find_flags(
    scores: Mapping[str, float], floor: Mapping[str, float], count: int, reference: int, holdout: int
) -> tuple[str, ...]:
    """Names what is wrong with a set of images.

    * memorising: many images are nearer to a training image than its own neighbours are (AuthPct, arXiv:2102.08921), or
      nearly all are nearer to the training set than unseen real images are (C_T, arXiv:2004.05675).
    * collapsed: classes are missing (class KL), or the images fill a small part of what real ones do (recall
      arXiv:1904.06991, coverage arXiv:2002.09797).
    * adversarial: a second classifier of another seed sees far worse images.

    Args:
        scores: of the images, by the names of the tables. A guard whose scores are missing raises no flag.
        floor: the same scores of held-out real images; a score that is missing here counts as missing.
        count: images that were compared pair by pair, which decides what can be chance; fewer than 30 raise no flag.
        reference: real images that they were compared with.
        holdout: held-out real images that had the scores of `floor`.

    Returns:
        Names from `FLAGS`, in that order.
    """
    if count < FEWEST:
        return ()
    scores = {name: value for name, value in scores.items() if name in floor}
    found = {
        "memorising": _is_memorising(scores, floor, count, reference, holdout),
        "collapsed": _is_collapsed(scores, floor),
        "adversarial": _is_adversarial(scores, floor),
    }
    return tuple(name for name in FLAGS if found.get(name))


def _is_memorising(
    scores: Mapping[str, float], floor: Mapping[str, float], count: int, reference: int, holdout: int
) -> bool:
    if not {"authenticity", "memorisation"} <= scores.keys():
        return False
    authentic, real = scores["authenticity"] / 100, floor["authenticity"] / 100
    error = math.sqrt(authentic * (1 - authentic) / count + real * (1 - real) / holdout)
    if authentic < AUTHENTIC_SHARE * real and real - authentic > SIGNIFICANCE * error:
        return True
    # C_T grows with the numbers of images: each is seen as a share of that of copies.
    found = scores["memorisation"] / _copies(reference, count)
    unseen = floor["memorisation"] / _copies(reference, holdout)
    return found - unseen > NEARER * (1 - unseen)


def _copies(reference: int, count: int) -> float:
    """C_T when each of the images is nearer to the training set than every reference image is."""
    return -math.sqrt(3 * reference * count / (reference + count + 1))


def _is_collapsed(scores: Mapping[str, float], floor: Mapping[str, float]) -> bool:
    if scores.get("class_kl", 0.0) > CLASS_KL:
        return True
    return any(name in scores and scores[name] < DIVERSE_SHARE * floor[name] for name in ("recall", "coverage"))


def _is_adversarial(scores: Mapping[str, float], floor: Mapping[str, float]) -> bool:
    if not {"fcd", "second_fcd"} <= scores.keys():
        return False
    excess, second = scores["fcd"] - floor["fcd"], scores["second_fcd"] - floor["second_fcd"]
    if second > DISAGREEMENT * max(excess, 0.0) + FCD_SLACK:
        return True
    if "second_classifier_score" not in scores or "classifier_score" not in scores:
        return False
    seen = scores["second_classifier_score"] - 1
    return seen < SCORE_SHARE * (scores["classifier_score"] - 1) - SCORE_SLACK
