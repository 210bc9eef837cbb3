"""Losses, scores and sample grids of each training for TensorBoard, with the hyperparameters beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from tuner_gan import files
from tuner_gan.results.checks import Value
from tuner_gan.search.callbacks import ExecutionCallback, fatal_when_unwritable


class TensorBoardLog(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes what an `ExecutionCallback`, which runs before it, has noted of an epoch.

    Args:
        directory: where the logs of a search are; a training's are in `TRIAL/execution_N` there.
        trial_id: of the trial.
        hyperparameters: of the trial.
        recorder: of the training.
    """

    def __init__(
        self, directory: Path, trial_id: str, hyperparameters: Mapping[str, Value], recorder: ExecutionCallback
    ) -> None:
        super().__init__()
        self._directory = directory / trial_id / f"execution_{recorder.execution}"
        self._name = f"{trial_id}, training {recorder.execution}"
        self._hyperparameters = dict(hyperparameters)
        self._recorder = recorder
        self._writer: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Opens the log, and tells the hyperparameters."""
        from tensorboard.plugins.hparams import api

        with fatal_when_unwritable():
            self._directory.mkdir(parents=True, exist_ok=True)
        self._writer = tf.summary.create_file_writer(str(self._directory))
        with self._writer.as_default(step=0):
            api.hparams(self._hyperparameters, trial_id=self._name)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes losses and scores, and the samples where the epoch is the best so far."""
        row = self._recorder.rows[-1]
        with self._writer.as_default(step=epoch + 1):
            for name, value in row.items():
                if value is not None and name not in ("execution", "epoch"):
                    tf.summary.scalar(name, value)
            path = self._recorder.folder / files.SAMPLES
            if self._recorder.best_epoch == epoch + 1 and path.is_file():
                with Image.open(path) as image:
                    pixels = np.asarray(image.convert("RGB"))
                tf.summary.image("samples", pixels[None])
        self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the log."""
        self._writer.close()
