"""Derivatives as a penalty on a discriminator's gradient takes them."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def penalty_derivatives(call: Callable[[Any], Any], x: Any, variables: Sequence[Any]) -> list[Any]:
    """The cube of what `call` gives, its derivative by `x`, and those of that one's squares by `x` and `variables`."""
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = call(x) ** 3
        by_x = inner.gradient(y, x)
        squares = tf.reduce_sum(by_x**2)
    return [y, by_x, *outer.gradient(squares, [x, *variables])]
