"""Errors of this package, out of those that KerasTuner wraps them in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras_tuner
import tensorflow as tf

from tuner_gan.errors import TunerGANError
from tuner_gan.search.callbacks import unwritable


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Raises the errors of this package where KerasTuner has wrapped them, or wrote its own files in vain."""
    try:
        yield
    except keras_tuner.errors.FatalError as error:
        if error.args and isinstance(error.args[0], TunerGANError):
            raise error.args[0] from error
        raise
    except TunerGANError:
        raise
    except (OSError, tf.errors.OpError) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else error.strerror
        raise unwritable(reason or error) from error
