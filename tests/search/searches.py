"""Small searches for the tests: small images, a tiny search space and an evaluator that needs no training.

`started` runs one in a process of its own: the arguments of `run_search`, and where that process is to wait (`wait`),
so that a test can kill or interrupt it there, or to kill itself (`die`).
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from tuner_gan import files
from tuner_gan.datasets import DataSplits, from_arrays
from tuner_gan.gan.architecture import DiscriminatorSpec, GANArchitecture, GeneratorSpec, TrainingSpec
from tuner_gan.gan.model import GAN
from tuner_gan.images import draw_latents, images_from_latents, latent_dim
from tuner_gan.quality import QualityEvaluator
from tuner_gan.results.records import TIMES
from tuner_gan.search.hypermodel import GANHyperModel
from tuner_gan.search.tuner import GANTuner

SHAPE = (8, 8, 1)
ROOT = Path(__file__).parents[2]
QUIET = [
    # KerasTuner 1.4.8 asks for the name of its thread in the old way.
    pytest.mark.filterwarnings("ignore:currentThread:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:getName:DeprecationWarning"),
    # Saving a model, Keras 3.15 itself calls an `__array__` of TensorFlow 2.21 that has no `copy` argument.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
# Keras collects garbage before each trial; what TensorFlow made at its import need not be looked through each time.
gc.freeze()
ALONE = "import gc; gc.disable(); import searches; gc.enable(); searches.main()"
"""A search in a process of its own, which does not look for garbage among what TensorFlow makes at its import."""

NOT_REPEATED = ["started_at", "duration_s", *TIMES, "ms_per_sample", "checkpoint", "samples"]
"""Columns of a table that differ between two runs of the same search."""


def blobs(count: int = 96, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Makes images of one bright spot each: uint8 [count, 8, 8, 1]."""
    centre = np.random.default_rng(seed).uniform(2, 5, (count, 2, 1, 1))
    y, x = np.mgrid[:8, :8]
    light = np.exp(-((y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2) / 3)
    images: npt.NDArray[np.uint8] = np.rint(255 * light)[..., None].astype(np.uint8)
    return images


class TinySpace:
    """Dense networks of 4 to 8 units, the second layer of the generator only when it is deep enough."""

    def __init__(self, widest: int = 8, learning_rate: float = 1e-3, classes: int = 0, batch_size: int = 96) -> None:
        self.widest = widest
        self.learning_rate = learning_rate
        self.classes = classes
        self.batch_size = batch_size

    def sample(self, hp: keras_tuner.HyperParameters) -> GANArchitecture:
        depth = hp.Int("generator_depth", 1, 2)
        widths = [hp.Int("generator_width", 4, self.widest)]
        second = hp.Int("generator_width_2", 4, self.widest, parent_name="generator_depth", parent_values=[2])
        if depth == 2:
            widths.append(second)
        return GANArchitecture(
            image_shape=SHAPE,
            generator=GeneratorSpec("dense", latent_dim=4, widths=tuple(widths), normalization="none"),
            discriminator=DiscriminatorSpec("dense", widths=(8,), normalization="none"),
            training=TrainingSpec(generator_lr=self.learning_rate, batch_size=self.batch_size),
            classes=self.classes,
        )


class MeanQuality(QualityEvaluator):
    """Scores a generator by the distance between mean images: nothing to train, the interface of the real one."""

    objective = "fcd"
    second_fit_s = 0.0
    second_metrics: tuple[str, ...] = ()
    """None: finalists have nothing to be asked about."""
    _data: DataSplits | None = None

    def __init__(self, images: npt.NDArray[np.uint8], fingerprint: str = "c" * 64) -> None:
        self.mean = images.mean(axis=0) / 255
        self.card = {
            "schema": files.SCHEMA,
            "data_name": "blobs",
            "data_fingerprint": from_arrays(images).fingerprint,
            "kind": "classifier",
            "accuracy": 1.0,
        }
        self._fingerprint = fingerprint

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("fcd", "brightness")

    @property
    def rung_metrics(self) -> tuple[str, ...]:
        return self.metrics

    @property
    def floor(self) -> dict[str, float]:
        return {"fcd": 0.0, "brightness": 0.1}

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return SHAPE

    def score(self, generator: keras.Model) -> dict[str, float]:
        images = images_from_latents(generator, draw_latents(50, latent_dim(generator), seed=0)) / 255
        return {
            "fcd": float(np.square(images.mean(axis=0) - self.mean).mean()),
            "brightness": float(images.mean()),
        }

    def evaluate(self, images: Any, labels: Any = None, *, second: bool = False) -> dict[str, float]:
        return self.score(images)

    def flags(self, scores: Any, count: int | None = None) -> tuple[str, ...]:
        return ()

    def save(self, directory: str | Path) -> None:
        folder = Path(directory) / files.CLASSIFIER_DIR
        files.create_folder(folder)
        files.write_json(folder / files.CARD, self.card)


class FullQuality(MeanQuality):
    """One score at every rung and another only at the end of a training; finalists get a third one."""

    second_metrics = ("second_fcd",)

    def __init__(self, images: npt.NDArray[np.uint8]) -> None:
        super().__init__(images)
        self.asked: list[bool] = []
        """For each full evaluation, whether the second classifier was asked."""

    @property
    def rung_metrics(self) -> tuple[str, ...]:
        return ("fcd",)

    def score(self, generator: keras.Model) -> dict[str, float]:
        return {"fcd": super().score(generator)["fcd"]}

    def evaluate(self, images: Any, labels: Any = None, *, second: bool = False) -> dict[str, float]:
        self.asked.append(second)
        scores = super().score(images)
        return scores | ({"second_fcd": 2 * scores["fcd"]} if second else {})


class EagerHyperModel(GANHyperModel):
    """Trains without a graph, whose tracing takes most of a tiny trial's time."""

    def build(self, hp: keras_tuner.HyperParameters) -> GAN:
        gan = super().build(hp)
        gan.run_eagerly = True
        return gan


def make_tuner(directory: Path, name: str = "search", kind: type[GANTuner] = GANTuner, **changes: Any) -> GANTuner:
    """Builds a tuner of two trials without more; `changes` are arguments of GANTuner or of the parts below."""
    images = blobs()
    space = changes.pop("space", None) or TinySpace()
    model = EagerHyperModel if changes.pop("eager", False) else GANHyperModel
    hypermodel = changes.pop("hypermodel", None) or model(SHAPE, space)
    quality = changes.pop("quality", None) or MeanQuality(images)
    arguments: dict[str, Any] = {
        "oracle": "random",
        "max_trials": 2,
        "pruner": "none",
        "baselines": "none",
        "finalists": 0,
        "directory": directory,
        "project_name": name,
    }
    return kind(hypermodel, quality=quality, **(arguments | changes))


def run_search(directory: Path, name: str = "search", epochs: int = 2, **changes: Any) -> GANTuner:
    """Runs the search of `make_tuner`."""
    tuner = make_tuner(directory, name, **changes)
    tuner.search(blobs(), epochs=epochs)
    return tuner


def repeatable(tuner: GANTuner) -> pd.DataFrame:
    """The trials without times and paths."""
    return tuner.results().trials().drop(columns=NOT_REPEATED)


def assert_same_search(one: GANTuner, other: GANTuner) -> None:
    """Two searches gave the same trials, executions, losses and scores, to the last bit."""
    for name in ("executions", "history"):
        first, second = (getattr(tuner.results(), name)() for tuner in (one, other))
        times = first.columns.intersection([*NOT_REPEATED, "seconds"])
        pd.testing.assert_frame_equal(first.drop(columns=times), second.drop(columns=times), check_exact=True)
    pd.testing.assert_frame_equal(repeatable(one), repeatable(other), check_exact=True)
    for record in one.results().records:
        for file in (files.GENERATOR, files.STATE):
            paths = (record.folder / file, other.results().trial(record.trial_id).folder / file)
            first, second = (_weights(path) for path in paths)
            assert len(first) == len(second) > 0
            for a, b in zip(first, second, strict=True):
                np.testing.assert_array_equal(a, b)
    assert not [path for path in one.folder.rglob("*") if ".tmp." in path.name or path.name == files.CHECKPOINT]


def _weights(path: Path) -> list[npt.NDArray[Any]]:
    if path.name == files.GENERATOR:
        return [np.asarray(weight) for weight in keras.saving.load_model(path).get_weights()]
    found: list[npt.NDArray[Any]] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.append(item[()]) if isinstance(item, h5py.Dataset) else None)
    return found


LONG = 120.0
"""Seconds that a process waits to be killed, however busy the machine."""


class WaitingTuner(GANTuner):
    """Waits when a trial's record says COMPLETED, and the oracle has not heard of it."""

    def run_trial(self, *args: Any, **kwargs: Any) -> Any:
        result = super().run_trial(*args, **kwargs)
        wait(self.folder.parent, LONG)
        return result


class Wait(keras.callbacks.Callback):  # type: ignore[misc]
    """Says that an epoch of one of the trainings has ended, and waits in the middle of the next one."""

    trainings = -1

    def __init__(self, directory: str, seconds: float, training: int, epochs: int) -> None:
        super().__init__()
        self.directory = directory
        self.seconds = seconds
        self.training = training
        self.epochs = epochs
        self.epoch = 0

    def on_train_begin(self, logs: Any = None) -> None:
        Wait.trainings += 1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if (Wait.trainings, self.epoch) == (self.training, self.epochs):
            # Before each call, which may hold all batches of the epoch: Ctrl-C is heard at its end.
            wait(Path(self.directory), self.seconds)


def die_at_checkpoint(moment: str, number: int) -> None:
    """Has this process kill itself half-way through the writing of a checkpoint, or just after it.

    Args:
        moment: `"writing"` or `"written"`.
        number: of the checkpoint among all of this process, from 1.
    """
    replace, seen = Path.replace, 0

    def dying(path: Path, target: Path) -> Path:
        nonlocal seen
        if target.name == files.CHECKPOINT:
            seen += 1
            if seen == number and moment == "writing":
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
        result: Path = replace(path, target)
        if target.name == files.CHECKPOINT and seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = dying  # type: ignore[method-assign, assignment]


def wait(directory: Path, seconds: float) -> None:
    """Tells the process that watches that it may strike now."""
    (directory / "waiting").touch()
    time.sleep(seconds)


@contextlib.contextmanager
def started(directory: Path, **arguments: Any) -> Iterator[subprocess.Popen[str]]:
    """Starts `run_search(directory, **arguments)` in a process of its own, which does not outlive the block."""
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= arguments.pop("environment", {})
    with subprocess.Popen(
        [sys.executable, "-c", ALONE, json.dumps({"directory": str(directory), **arguments})],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Waits for a process; returns its exit code and what it wrote to stderr."""
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits until something has happened while a process runs."""
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def main() -> None:
    """Runs the search that the command line describes."""
    # As from a shell: a process that a shell starts in the background ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = json.loads(sys.argv[1])
    directory = Path(arguments.pop("directory"))
    moment, seconds = arguments.pop("wait", None), arguments.pop("seconds", LONG)
    epochs = arguments.pop("epochs", 2)
    space = TinySpace(**arguments.pop("space", {}))
    training, waited = arguments.pop("training", 0), arguments.pop("after", 1)
    if "die" in arguments:
        die_at_checkpoint(*arguments.pop("die"))
    kind = WaitingTuner if moment == "recorded" else GANTuner
    tuner = make_tuner(directory, space=space, kind=kind, **arguments)
    callbacks = [Wait(str(directory), seconds, training, waited)] if moment == "epoch" else []
    tuner.search(blobs(), epochs=epochs, callbacks=callbacks)
