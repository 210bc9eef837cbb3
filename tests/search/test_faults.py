"""Faults of machine, files and code: a search goes on after each of them, and what is finished stays as it is.

The processes and signals, the full disk and the damaged files are real.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from cli_runs import SEARCH as FINISHED
from cli_runs import Run, call, copy_search, search_once
from cli_runs import finish as finish_command
from cli_runs import start as start_command
from searches import (
    QUIET,
    SHAPE,
    EagerHyperModel,
    FullQuality,
    MeanQuality,
    TinySpace,
    blobs,
    make_tuner,
    repeatable,
    run_search,
)

from tuner_gan import files
from tuner_gan.errors import ProjectError, SearchError
from tuner_gan.gan.model import GAN
from tuner_gan.quality.metrics import class_kl
from tuner_gan.results import load
from tuner_gan.results.records import TrialRecord, read_history
from tuner_gan.search import callbacks
from tuner_gan.search.tuner import GANTuner

pytestmark = QUIET

EPOCHS = 4
SEARCH: dict[str, Any] = {"max_trials": 3, "epochs": EPOCHS, "eager": True}


class At(keras.callbacks.Callback):  # type: ignore[misc]
    """Something that happens before an epoch of a training, the third of the second by default."""

    def __init__(self, strike: Callable[[GAN], object], training: int = 1, epoch: int = 2) -> None:
        super().__init__()
        self.strike = strike
        self.training = training
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            self.strike(self.model)


class Struck(EagerHyperModel):
    """Has such things happen."""

    def __init__(self, *strikes: At) -> None:
        super().__init__(SHAPE, TinySpace())
        self.strikes = strikes
        self.begun = 0

    def fit(self, hp: keras_tuner.HyperParameters, model: GAN, *args: Any, callbacks: Any = (), **kwargs: Any) -> Any:
        callbacks = [*callbacks, *(one for one in self.strikes if one.training == self.begun)]
        self.begun += 1
        return super().fit(hp, model, *args, callbacks=callbacks, **kwargs)


def search(directory: Path, limits: dict[str, Any], **changes: Any) -> GANTuner:
    """The search of `SEARCH` with other settings, and with limits of `GANTuner.search`."""
    settings = {name: value for name, value in (SEARCH | changes).items() if name != "epochs"}
    tuner = make_tuner(directory, **settings)
    tuner.search(blobs(), epochs=EPOCHS, **limits)
    return tuner


def finished(folder: Path) -> dict[str, TrialRecord]:
    ended = ("COMPLETED", "PRUNED", "FAILED")
    return {trial.trial_id: trial for trial in load(folder).records if trial.status in ended}


def rows(folder: Path) -> dict[str, list[Any]]:
    """Each trial's epochs, their seconds among them: one that is trained again has others."""
    return {trial.trial_id: read_history(trial) for trial in load(folder).records}


@contextlib.contextmanager
def nothing_is_lost(folder: Path) -> Iterator[None]:
    """Checks that the body changes no finished trial, and trains no epoch again but the one that ran."""
    ended, trained = finished(folder), rows(folder)
    yield
    assert finished(folder).items() >= ended.items()
    for trial_id, epochs in rows(folder).items():
        known = trained.get(trial_id, [])[:-1]
        assert epochs[: len(known)] == known


def go_on(directory: Path, **changes: Any) -> tuple[GANTuner, list[str]]:
    """The same search again; also returns what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        tuner = run_search(directory, **(SEARCH | changes))
    return tuner, list(dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """What the search gives when nothing happens."""
    return repeatable(run_search(tmp_path_factory.mktemp("whole"), **SEARCH))


def interrupt(gan: GAN) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that was interrupted in the third epoch of its second trial, with the files as a killed one has them."""
    directory = tmp_path_factory.mktemp("interrupted")

    def checkpoint(gan: GAN) -> None:
        # As SQLite does now and then: all but the latest is in the database itself.
        with contextlib.closing(sqlite3.connect(directory / "search" / files.STUDY)) as database:
            assert database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)

    def copy(gan: GAN) -> None:
        # While the database is open, its log is beside it.
        shutil.copytree(directory / "search", directory / "copy" / "search")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(directory, hypermodel=Struck(At(checkpoint, training=0), At(copy)), **SEARCH)
    folder = directory / "copy" / "search"
    assert (folder / f"{files.STUDY}-wal").stat().st_size > 0
    assert [trial.status for trial in load(folder).records] == ["COMPLETED", "INTERRUPTED"]
    return directory / "copy"


@pytest.fixture
def directory(interrupted: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(interrupted / "search", tmp_path / "search")
    return tmp_path


# Damaged files.

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "garbage": lambda content: bytes(reversed(content)),
}


# Each file once, and not with every damage: a search takes some 4 s.
@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("trial_0/history.csv", "garbage", ()),  # told to whoever reads it
        ("trial_0/architecture.json", "half", ()),  # only needed to load the model
        ("trial_0/generator.keras", "empty", ()),
        ("trial_0/state.weights.h5", "half", ()),
        ("trial_0/samples.png", "empty", ()),
        ("classifier/card.json", "half", ()),  # of an evaluator that reads none
        ("trial_1/record.json", "empty", ("Trial 1 starts again: ",)),
        ("trial_1/record.json", "half", ("Trial 1 starts again: ",)),
        ("trial_1/architecture.json", "garbage", ("Trial 1 starts again: ",)),
        ("trial_1/checkpoint.weights.h5", "empty", ("Trial 1 starts again: ",)),
        ("trial_1/checkpoint.weights.h5", "half", ("Trial 1 starts again: ",)),
        ("trial_1/checkpoint.weights.h5", "garbage", ("Trial 1 starts again: ",)),
        ("trial_1/history.csv", "half", ("Trial 1 starts again: ", r"/.*/trial_1/history\.csv is damaged: ")),
        ("trial_1/generator.keras", "half", ()),  # written anew
    ],
)
def test_a_damaged_file_costs_the_epochs_of_its_trial_at_most(
    name: str, told: tuple[str, ...], damage: str, directory: Path, whole: pd.DataFrame
) -> None:
    path = directory / "search" / name
    before = finished(directory / "search")
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    tuner, warned = go_on(directory)
    assert finished(directory / "search").items() >= before.items()
    pd.testing.assert_frame_equal(repeatable(tuner), whole)
    assert len(warned) == len(told), warned
    for words in told:
        (one,) = [one for one in warned if re.match(words, one)]
        assert name in one


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["trial_0/record.json", "search.json"])
def test_what_has_a_copy_costs_nothing(name: str, damage: str, directory: Path, whole: pd.DataFrame) -> None:
    path = directory / "search" / name
    with nothing_is_lost(directory / "search"):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
        tuner, warned = go_on(directory)
    assert warned == [f"{path} is damaged, so its copy .{path.name}.copy is read."]
    pd.testing.assert_frame_equal(repeatable(tuner), whole)
    assert go_on(directory)[1] == []  # it was mended


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_of_a_finished_trial_and_its_copy_cost_its_row(
    damage: str, directory: Path, whole: pd.DataFrame
) -> None:
    path = directory / "search" / "trial_0" / files.RECORD
    (score,) = whole.score[whole.trial_id == "0"]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    files.copy_of(path).unlink()
    tuner, warned = go_on(directory)
    assert len(warned) == 1
    assert warned[0].startswith("Trial 0 is left out of the ranking: ")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = repeatable(tuner)
    assert dict(zip(found.trial_id, found.status, strict=True)) == {
        "0": "UNREADABLE",
        "1": "COMPLETED",
        "2": "COMPLETED",
    }
    others = whole[whole.trial_id != "0"]
    assert list(found.score[found.trial_id != "0"]) == list(others.score)
    assert tuner.oracle.get_trial("0").score == score


@pytest.mark.parametrize("damage", [*DAMAGES, "{}", '{"schema": 1}'])
def test_a_damaged_search_json_is_deleted_by_hand_and_made_anew(
    damage: str, directory: Path, whole: pd.DataFrame
) -> None:
    path = directory / "search" / files.SEARCH
    with nothing_is_lost(directory / "search"):
        content = path.read_bytes()
        path.write_bytes(DAMAGES[damage](content) if damage in DAMAGES else damage.encode())
        files.copy_of(path).unlink()
        words = r"search\.json is damaged: .*; delete it, and the same search goes on with its trials"
        with pytest.raises(ProjectError, match=words):
            run_search(directory, **SEARCH)
        path.unlink()
        tuner, warned = go_on(directory)
    assert warned == []
    pd.testing.assert_frame_equal(repeatable(tuner), whole)


@pytest.mark.parametrize(
    ("log", "damage"),
    [
        ("with its log", "half"),
        ("with its log", "garbage"),
        ("without", "empty"),
        ("without", "half"),
        ("log only", "garbage"),
        ("log only", "half"),
    ],
)
def test_a_damaged_study_is_made_anew_from_the_records(
    damage: str, log: str, directory: Path, whole: pd.DataFrame
) -> None:
    folder = directory / "search"
    database, wal = folder / files.STUDY, folder / f"{files.STUDY}-wal"
    for path in [wal] if log == "log only" else [database]:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    if log == "without":
        wal.unlink()
    with nothing_is_lost(folder):
        tuner, warned = go_on(directory)
    pd.testing.assert_frame_equal(repeatable(tuner), whole)
    assert len(warned) <= 1
    assert all(files.STUDY in one for one in warned)
    if log != "log only":
        assert warned
    scores = {trial_id: trial.score for trial_id, trial in tuner.oracle.trials.items()}
    assert scores == dict(zip(whole.trial_id, whole.score, strict=True))
    again, warned = go_on(directory)
    assert warned == []
    pd.testing.assert_frame_equal(repeatable(again), whole)


def test_a_study_cut_at_any_place_is_made_anew(directory: Path, whole: pd.DataFrame) -> None:
    folder = directory / "search"
    tuner, _ = go_on(directory)
    tuner.oracle.close()
    before = finished(folder)
    content = (folder / files.STUDY).read_bytes()
    rng = np.random.default_rng(0)
    for size in rng.integers(1, len(content), 25):
        damaged = bytearray(content[:size])
        if size % 2:  # a block that was never written
            damaged = bytearray(content)
            damaged[size : size + 4096] = bytes(len(damaged[size : size + 4096]))
        for path in folder.glob(f"*{files.STUDY}*"):
            path.unlink()
        (folder / files.STUDY).write_bytes(damaged)
        tuner, warned = go_on(directory)
        tuner.oracle.close()
        assert finished(folder) == before, size
        assert len(warned) <= 1, warned
        scores = {trial_id: trial.score for trial_id, trial in tuner.oracle.trials.items()}
        assert scores == dict(zip(whole.trial_id, whole.score, strict=True)), size


@pytest.mark.parametrize("damage", ["half"])
def test_damaged_states_of_an_oracle_of_kerastuner(damage: str, tmp_path: Path) -> None:
    settings = SEARCH | {"oracle": "bayesian"}
    folder = tmp_path / "search"
    with pytest.raises(KeyboardInterrupt):
        run_search(tmp_path, hypermodel=Struck(At(interrupt)), **settings)
    shutil.copytree(folder, tmp_path / "copy" / "search")
    expected = repeatable(run_search(tmp_path, **settings))
    for name in (files.TUNER, "oracle.json"):
        directory = tmp_path / name
        shutil.copytree(tmp_path / "copy", directory)
        path = directory / "search" / name
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
        with nothing_is_lost(directory / "search"):
            tuner, warned = go_on(directory, **settings)
        assert warned == []
        pd.testing.assert_frame_equal(repeatable(tuner), expected)


def test_the_model_of_a_damaged_trial_is_refused_in_one_sentence(directory: Path) -> None:
    tuner, _ = go_on(directory)
    for trial in tuner.results().records[:2]:
        whole = {
            path: path.read_bytes() for path in trial.folder.iterdir() if path.suffix in (".h5", ".keras", ".json")
        }
        for path in (trial.folder / name for name in (files.STATE, files.GENERATOR, files.ARCHITECTURE)):
            for damage in DAMAGES.values():
                path.write_bytes(damage(whole[path]))
                with pytest.raises(ProjectError, match=rf"trial_{trial.trial_id}|trial {trial.trial_id} "):
                    tuner.load_model(tuner.oracle.get_trial(trial.trial_id))
            path.write_bytes(whole[path])
        assert isinstance(tuner.load_model(tuner.oracle.get_trial(trial.trial_id)), GAN)


class Suspicious(FullQuality):
    """Its second opinion is never heard, or not yet."""

    is_heard = True

    def evaluate(self, images: Any, labels: Any = None, *, second: bool = False) -> dict[str, float]:
        if second and not self.is_heard:
            raise KeyboardInterrupt
        return super().evaluate(images, labels, second=second)


FINALISTS: dict[str, Any] = SEARCH | {"max_trials": 2, "finalists": 2, "finalist_seeds": 1}


@pytest.fixture(scope="module")
def unheard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that was interrupted when its finalists were trained, and nobody had been asked about them."""
    directory = tmp_path_factory.mktemp("unheard")
    quality = Suspicious(blobs())
    quality.is_heard = False
    with pytest.raises(KeyboardInterrupt):
        run_search(directory, quality=quality, **FINALISTS)
    return directory


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_generator_costs_a_finalist_its_second_opinion(damage: str, unheard: Path, tmp_path: Path) -> None:
    shutil.copytree(unheard / "search", tmp_path / "search")
    before = {record.trial_id: record for record in load(tmp_path / "search").records}
    path = before["final_0"].folder / files.GENERATOR
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    tuner, warned = go_on(tmp_path, quality=Suspicious(blobs()), **FINALISTS)
    assert len(warned) == 1
    assert warned[0].startswith(f"final_0 has no second opinion: {path} cannot be loaded as a Keras model: ")
    after = {record.trial_id: record for record in tuner.results().records}
    assert {name: record for name, record in after.items() if name != "final_1"} == {
        name: record for name, record in before.items() if name != "final_1"
    }
    assert after["final_1"].metrics.keys() - before["final_1"].metrics.keys() == {"second_fcd"}


# Disks.


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if not done or done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip() if done else 'there is no mount'}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


class FillsBefore(GANTuner):
    """The disk is full when the second trial is asked for."""

    disk = Path()

    def pre_create_trial(self) -> None:
        super().pre_create_trial()
        if len(self.oracle.trials) == 1:
            fill(self.disk)


class FillsAfter(GANTuner):
    """The disk is full when the second trial has ended, and nobody has heard of it."""

    disk = Path()

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().run_trial(trial, *args, **kwargs)
        if trial.trial_id == "1":
            fill(self.disk)
        return result


@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_a_full_disk_ends_the_search_which_goes_on_when_there_is_room(
    moment: str, disk: Path, whole: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"before": FillsBefore, "after": FillsAfter, "within": GANTuner}
    for kind in (FillsBefore, FillsAfter):
        monkeypatch.setattr(kind, "disk", disk)
    hypermodel = Struck(At(lambda gan: fill(disk))) if moment == "within" else None
    with pytest.raises(
        ProjectError, match=r"^The .* \((No space left on device|database or disk is full)\): "
    ) as caught:
        run_search(disk, kind=kinds[moment], hypermodel=hypermodel, **SEARCH)
    assert str(caught.value).endswith("again; finished trials are kept.")
    assert len(finished(disk / "search")) == (2 if moment == "after" else 1)
    (disk / "filler").unlink()
    with nothing_is_lost(disk / "search"):
        tuner, warned = go_on(disk)
    assert warned == []
    pd.testing.assert_frame_equal(repeatable(tuner), whole)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Takes away the permission to write; from the superuser, whom permissions do not bind, by an attribute."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    if os.geteuid() == 0:
        change = [["chattr", "+i", *map(str, folders)], ["chattr", "-i", *map(str, folders)]]
        done = subprocess.run(change[0], capture_output=True, text=True) if shutil.which("chattr") else None
        if done is None or done.returncode:
            pytest.skip("the superuser's files cannot be made read-only here")
    else:
        change = [["chmod", "a-w", *map(str, folders)], ["chmod", "u+w", *map(str, folders)]]
        subprocess.run(change[0], check=True)
    try:
        yield
    finally:
        subprocess.run(change[1], check=True)


@pytest.mark.parametrize("training", [1, 2])
def test_a_folder_that_becomes_read_only_ends_the_search(training: int, tmp_path: Path, whole: pd.DataFrame) -> None:
    with contextlib.ExitStack() as stack:
        strike = Struck(At(lambda gan: stack.enter_context(read_only(tmp_path / "search")), training))
        with pytest.raises(
            ProjectError, match=r"cannot write to its folder \((Operation not|Permission).*\): make room"
        ):
            run_search(tmp_path, hypermodel=strike, **SEARCH)
        assert len(finished(tmp_path / "search")) == training
        with pytest.raises(ProjectError, match="cannot be written"):
            run_search(tmp_path, **SEARCH)
    with nothing_is_lost(tmp_path / "search"):
        tuner, warned = go_on(tmp_path)
    assert warned == []
    pd.testing.assert_frame_equal(repeatable(tuner), whole)


def test_a_read_only_folder_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with files.search_lock(tmp_path):
        pass
    for alone in (True, False):
        with read_only(tmp_path), pytest.raises(ProjectError, match=r"cannot be written \(.*\): choose another folder"):
            files.check_not_in_use(tmp_path, alone=alone)


HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(10)
"""


def test_a_search_waits_for_a_database_that_is_away(
    tmp_path: Path, whole: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner_gan.search.storage.SECONDS_LOCKED", 0.1)
    holders: list[subprocess.Popen[str]] = []

    def hold(gan: GAN) -> None:
        database = str(tmp_path / "search" / files.STUDY)
        holders.append(subprocess.Popen([sys.executable, "-c", HOLD, database], stdout=subprocess.PIPE, text=True))
        assert holders[0].stdout is not None
        assert holders[0].stdout.readline() == "held\n"

    tuner = run_search(tmp_path, hypermodel=Struck(At(hold)), **SEARCH)
    (holder,) = holders
    assert holder.wait(0.5) == 0  # the search has waited for its end
    holder.communicate()
    pd.testing.assert_frame_equal(repeatable(tuner), whole)
    artifacts = list((tmp_path / "search" / files.ARTIFACTS).iterdir())
    assert len(artifacts) == 3  # one a trial, however often it was tried


def test_a_database_that_stays_away_fails_no_trial(
    tmp_path: Path, whole: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search ends, and the trial that ran goes on with the same command."""
    monkeypatch.setattr("tuner_gan.search.storage.SECONDS_LOCKED", 0.1)
    monkeypatch.setattr("tuner_gan.search.storage.SECONDS_PATIENT", 0.5)
    database = str(tmp_path / "search" / files.STUDY)
    holder: list[subprocess.Popen[str]] = []

    def hold(gan: GAN) -> None:
        holder.append(subprocess.Popen([sys.executable, "-c", HOLD, database], stdout=subprocess.PIPE, text=True))
        assert holder[0].stdout is not None
        assert holder[0].stdout.readline() == "held\n"

    with pytest.raises(ProjectError, match=r"^The study in study\.db cannot be used \(database is locked\)"):
        run_search(
            tmp_path, hypermodel=Struck(At(hold)), pruner="median", **SEARCH
        )  # which asks, and ends none of three
    holder[0].kill()
    holder[0].communicate()
    statuses = [record.status for record in load(tmp_path / "search").records]
    assert (statuses.count("INTERRUPTED"), statuses.count("FAILED")) == (1, 0)
    pd.testing.assert_frame_equal(repeatable(run_search(tmp_path, pruner="median", **SEARCH)), whole)


# Trials that fail.


def set_nan(gan: GAN) -> None:
    for weights in gan.generator.trainable_variables:
        weights.assign(np.full(weights.shape, np.nan, np.float32))


def set_infinite_rate(gan: GAN) -> None:
    gan.generator_optimizer.learning_rate = np.inf


def raising(error: Exception) -> Callable[[GAN], None]:
    def strike(gan: GAN) -> None:
        raise error

    return strike


@pytest.mark.parametrize(
    ("strike", "message", "flags"),
    [
        (set_nan, r"(discriminator|generator) loss is nan \(after epoch 3\)", ("diverged",)),
        # After the only step of an epoch, whose losses were those before it.
        (set_infinite_rate, r"weights of the generator are not finite \(after epoch 3\)", ("diverged",)),
        (raising(MemoryError("no room")), r"MemoryError: no room \(after epoch 2\)", ()),
        (
            raising(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor")),
            r"ResourceExhaustedError: OOM when allocating a tensor \(after epoch 2\)",
            (),
        ),
        (raising(OSError(5, "Input/output error")), r"OSError: \[Errno 5\] Input/output error \(after epoch 2\)", ()),
        (raising(ZeroDivisionError("of mine")), r"ZeroDivisionError: of mine \(after epoch 2\)", ()),
    ],
    ids=["nan", "infinite rate", "memory", "gpu memory", "input", "code"],
)
def test_a_fault_in_a_training_costs_its_trial(
    strike: Callable[[GAN], None], message: str, flags: tuple[str, ...], tmp_path: Path, whole: pd.DataFrame
) -> None:
    tuner = run_search(tmp_path, hypermodel=Struck(At(strike)), **SEARCH)
    table = repeatable(tuner)
    others = [trial_id for trial_id in whole.trial_id if trial_id != "1"]
    assert list(table.trial_id) == [*others, "1"]
    assert list(table.score[:2]) == list(whole.score[whole.trial_id != "1"])
    failed = tuner.results().trial("1")
    assert (failed.status, failed.flags) == ("FAILED", flags)
    assert pd.Series([failed.message]).str.fullmatch(message).all(), failed.message
    again, warned = go_on(tmp_path)
    assert (again.results().records, warned) == (tuner.results().records, [])


class Counted(MeanQuality):
    """Also counts the classes that a generator makes."""

    modes = 10.0
    class_kl = math.log(10)
    step = 0.0
    """By which the score rises with each rung."""
    scored = 0

    @property
    def metrics(self) -> tuple[str, ...]:
        return (*super().metrics, "modes", "class_kl")

    def score(self, generator: keras.Model) -> dict[str, float]:
        self.scored += 1
        fcd = 2.0 + self.step * self.scored
        return super().score(generator) | {"fcd": fcd, "modes": self.modes, "class_kl": self.class_kl}


@pytest.mark.parametrize(("steps", "epochs"), [(1, 4), (3, 5)])
def test_one_class_only_at_three_rungs_is_a_collapse(
    steps: int, epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "ONE_CLASS_STEPS", steps)  # of one epoch each
    quality = Counted(blobs())

    def collapse(gan: GAN) -> None:
        quality.modes = 1.0

    def recover(gan: GAN) -> None:
        quality.modes = 10.0

    (recovered,) = (
        run_search(
            tmp_path / "recovered",
            quality=quality,
            hypermodel=Struck(At(collapse, 0, 1), At(recover, 0, 3)),
            **(SEARCH | {"max_trials": 1, "epochs": 6}),
        )
        .results()
        .records
    )
    assert (recovered.status, recovered.flags) == ("COMPLETED", ())
    tuner = run_search(
        tmp_path / "collapsed",
        quality=quality,
        hypermodel=Struck(At(collapse, 1, 1), At(recover, 2, 0)),
        **(SEARCH | {"epochs": 6}),
    )
    failed = tuner.results().trial("1")
    assert (failed.status, failed.flags) == ("FAILED", ("collapsed",))
    assert failed.message == f"the generator makes images of one class only (after epoch {epochs})"
    assert len(read_history(failed)) == epochs - 1
    assert [tuner.results().trial(trial_id).status for trial_id in "02"] == ["COMPLETED"] * 2


@pytest.mark.parametrize("step", [0.0, 0.1])
def test_one_class_only_is_a_collapse_while_the_score_does_not_get_better(
    step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "ONE_CLASS_STEPS", 1)
    quality = Counted(blobs())
    quality.modes, quality.step = 1.0, step
    with pytest.raises(SearchError, match=r"the generator makes images of one class only \(after epoch 3\)"):
        run_search(tmp_path, quality=quality, **(SEARCH | {"max_trials": 1, "epochs": 6}))


@pytest.mark.parametrize(("steps", "step"), [(1, -0.1), (1000, 0.1)], ids=["better", "first steps"])
def test_one_class_only_is_no_collapse_while_there_is_hope(
    steps: int, step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "ONE_CLASS_STEPS", steps)
    quality = Counted(blobs())
    quality.modes, quality.step = 1.0, step
    (record,) = run_search(tmp_path, quality=quality, **(SEARCH | {"max_trials": 1, "epochs": 6})).results().records
    assert (record.status, len(read_history(record))) == ("COMPLETED", 6)


def test_one_class_only_is_no_collapse_where_nearly_all_real_images_are_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "ONE_CLASS_STEPS", 1)
    quality = Counted(blobs())
    quality.modes = 1.0
    quality.class_kl = class_kl(np.zeros(500, int), np.array([100.5, 1.5]))
    (record,) = run_search(tmp_path, quality=quality, **(SEARCH | {"max_trials": 1, "epochs": 6})).results().records
    assert (record.status, record.flags, record.epochs) == ("COMPLETED", (), 6)


class Fails(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback of the user's that fails in every training but the first."""

    trainings = 0

    def on_train_begin(self, logs: Any = None) -> None:
        Fails.trainings += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1 and Fails.trainings > 1:
            raise ValueError("the printer is on fire")


def test_so_many_failures_in_a_row_end_the_search_which_goes_on(tmp_path: Path) -> None:
    Fails.trainings = 0
    settings = {"max_trials": 6, "max_failures": 2}
    with pytest.raises(
        SearchError, match=r"^2 trials in a row failed, the last one because: ValueError: the printer is on fire"
    ):
        search(tmp_path, {"callbacks": [Fails()]}, **settings)
    before = finished(tmp_path / "search")
    assert {trial_id: trial.status for trial_id, trial in before.items()} == {
        "0": "COMPLETED",
        "1": "FAILED",
        "2": "FAILED",
    }
    assert before["1"].message == "ValueError: the printer is on fire (after epoch 2)"
    with nothing_is_lost(tmp_path / "search"):
        again = search(tmp_path, {}, **settings)
    assert list(again.results().trials().status) == ["COMPLETED"] * 4 + ["FAILED"] * 2


# Clocks and budgets.


class Backwards(datetime):
    """A clock that is set back by an hour whenever somebody looks."""

    looks = 0

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        Backwards.looks += 1
        return datetime(2030, 1, 1, tzinfo=UTC if tz is not None else None) - timedelta(hours=Backwards.looks)


def test_a_clock_that_is_set_back_changes_no_limit_and_no_duration(
    tmp_path: Path, whole: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tuner_gan.search.trial", "tuner_gan.search.project", "optuna.storages._rdb.storage"):
        monkeypatch.setattr(f"{module}.datetime", Backwards)
    monkeypatch.setattr(time, "time", lambda: Backwards.now().timestamp())
    tuner = search(tmp_path, {"max_time": 300.0, "max_trial_time": 60.0})
    assert Backwards.looks > 5
    pd.testing.assert_frame_equal(repeatable(tuner), whole)
    elapsed = tuner.results().config["elapsed_s"]
    assert 0 < elapsed < 300
    for record in tuner.results().records:
        assert 0 < float(record.duration_s or 0) < elapsed
        assert all(value is None or value >= 0 for one in record.executions for value in (one.duration_s, one.eval_s))
        seconds = [row["seconds"] for row in read_history(record)]
        assert seconds == sorted(seconds, key=lambda value: float(value or 0))
    # A limit that is over ends the search, too.
    started = time.monotonic()
    tuner = search(tmp_path, {"max_time": elapsed + 2.0}, max_trials=1000)
    assert time.monotonic() - started < 60
    assert 3 < len(tuner.results()) < 1000


@pytest.mark.parametrize(
    ("settings", "limit", "trials"),
    [
        ({"finalists": 0}, 5, {"0": 4, "1": 1}),
        ({"finalists": 0}, 12, {"0": 4, "1": 4, "2": 4}),
        ({"finalists": 1, "finalist_seeds": 2}, 12, {"0": 4, "1": 2, "final": 6}),
        ({"finalists": 1, "finalist_seeds": 2}, 6, {"0": 3, "final": 3}),
    ],
)
def test_a_budget_of_epochs(settings: dict[str, Any], limit: int, trials: dict[str, int], tmp_path: Path) -> None:
    settings = settings | {"max_trials": 9}
    for _ in range(2):  # the second time there is nothing left
        tuner = search(tmp_path, {"max_total_epochs": limit}, **settings)
        found = {record.trial_id.split("_")[0]: len(read_history(record)) for record in tuner.results().records}
        assert found == trials
        assert sum(found.values()) <= limit
    before, trained = finished(tmp_path / "search"), rows(tmp_path / "search")
    tuner = search(tmp_path, {"max_total_epochs": limit + 8}, **settings)
    after = finished(tmp_path / "search")
    for trial_id, record in before.items():
        # A finalist may get the trainings that there was no budget for, in addition to those it has.
        if record.origin == "finalist":
            assert after[trial_id].executions[: len(record.executions)] == record.executions
        else:
            assert after[trial_id] == record
        assert rows(tmp_path / "search")[trial_id][: len(trained[trial_id])] == trained[trial_id]
    assert limit < sum(len(read_history(record)) for record in tuner.results().records) <= limit + 8


def test_a_budget_of_epochs_counts_what_other_workers_train(tmp_path: Path) -> None:
    folder = tmp_path / "search" / "trial_7"

    class Other(keras.callbacks.Callback):  # type: ignore[misc]
        """Another worker's trial, which trains as fast as ours."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            folder.mkdir(exist_ok=True)
            (folder / files.HISTORY).write_text("header\n" + "row\n" * (epoch + 1))

    tuner = make_tuner(tmp_path, max_trials=3, eager=True)
    tuner.search(blobs(), epochs=20, max_total_epochs=11, callbacks=[Other()])
    (record,) = tuner.results().records
    assert (record.status, record.message) == ("COMPLETED", "stopped by the limit of epochs after 6 of 20 epochs")


# Processes, through the command line.

COMMAND = (
    *("search", "--data", "digits", "--space", "mlp", "--max-trials", "3", "--epochs", "60", "--name", "demo"),
    *("--baselines", "none", "--finalists", "0", "--pruner", "none"),
)


class Commands:
    """Commands in one folder, and the workers there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "runs" / "demo"

    @contextlib.contextmanager
    def started(self, *more: str) -> Iterator[subprocess.Popen[str]]:
        process = start_command(*COMMAND, *more, folder=self.folder, TF_CPP_MIN_LOG_LEVEL="3")
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def trained(self) -> dict[str, int]:
        found = self.project.glob(f"{files.TRIAL_PREFIX}*/{files.HISTORY}")
        return {path.parent.name: path.read_text(encoding="utf-8").count("\n") - 1 for path in found}

    def wait(self, happened: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
        deadline = time.monotonic() + 240
        while not happened():
            assert process is None or process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.02)

    def logs(self) -> str:
        return "".join(path.read_text() for path in (self.project / files.WORKERS_DIR).glob("*.log"))

    def until_trained(self, process: subprocess.Popen[str], epochs: int = 2) -> None:
        """Waits until so many epochs more are trained."""
        before = sum(self.trained().values())
        self.wait(lambda: sum(self.trained().values()) >= before + epochs, process)

    def workers(self) -> list[int]:
        """Process ids of the living ones."""
        found = (self.project / files.WORKERS_DIR).glob(f"*{files.LOCK}")
        notes = [path.with_suffix(files.PROCESS) for path in found if files.is_locked(path)]
        return [
            int(note.read_text().split()[0]) for note in notes if note.exists()
        ]  # a worker notes it when it has the lock


@pytest.fixture
def commands(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Commands:
    searched, _ = search_once(tmp_path_factory.getbasetemp())
    copy_search(searched, tmp_path, trials=False)
    return Commands(tmp_path)


def test_processes_that_are_killed_and_interrupted(commands: Commands) -> None:
    # Three commands, seven workers: each loads TensorFlow, some 5 s, and there is no other way to have real ones.
    project = commands.project
    with commands.started("--workers", "2") as parent:
        commands.until_trained(parent)
        commands.wait(lambda: len(commands.workers()) == 2, parent)
        orphans = commands.workers()
        parent.kill()
        parent.wait()
        commands.wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans))
    assert {trial.status for trial in load(project).records} <= {"INTERRUPTED", "COMPLETED"}

    # SIGTERM takes the same way, see `test_workers`, and ends a search alone in the next test.
    with nothing_is_lost(project), commands.started("--workers", "2") as parent:
        commands.until_trained(parent)
        workers = commands.workers()
        parent.send_signal(signal.SIGINT)
        found = finish_command(parent)
        assert (found.code, found.err) == (130, "")
        assert "Interrupted. The same command goes on from here." in found.out
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
        assert not files.is_searching(project)
    unfinished = [trial for trial in load(project).records if trial.status == "INTERRUPTED"]
    assert unfinished
    assert {trial.message for trial in unfinished} == {"interrupted"}

    with nothing_is_lost(project), commands.started("--workers", "2") as parent:
        commands.until_trained(parent)
        commands.wait(lambda: len(commands.workers()) == 2, parent)
        killed, other = commands.workers()
        os.kill(killed, signal.SIGKILL)
        # The other one goes on, a third one comes.
        commands.wait(lambda: len(set(commands.workers()) - {killed, other}) == 1, parent)
        found = finish_command(parent)
    assert (found.code, found.err) == (0, "")
    records = load(project).records
    assert sorted(trial.trial_id for trial in records) == ["0", "1", "2"]
    assert {trial.status for trial in records} == {"COMPLETED"}
    assert [len(read_history(trial)) for trial in records] == [60] * 3
    # The images that the workers of the killed parent shared went with the next one, and so on.
    assert not list((project / files.WORKERS_DIR).glob("data-*"))


def test_commands_in_the_same_folder(commands: Commands) -> None:
    # Three commands that load TensorFlow, and there is no other way to have real ones; two are refused before.
    project = commands.project

    def refused(found: Run, holders: list[int]) -> None:
        assert found.code == 2
        assert any(f"is in use by a search with process id {pid}: wait for it" in found.error() for pid in holders)

    with commands.started() as alone:
        commands.until_trained(alone)
        with commands.started("--workers", "1") as second:
            refused(finish_command(second), [alone.pid])
        alone.send_signal(signal.SIGTERM)
        assert finish_command(alone).code == 143

    with nothing_is_lost(project), commands.started("--workers", "1") as first:
        commands.until_trained(first)
        with commands.started("--workers", "1") as second:
            with commands.started() as third:
                commands.wait(lambda: len(commands.workers()) == 2, first)
                workers = commands.workers()
                refused(finish_command(third), workers)
            assert commands.workers() == workers
            assert [finish_command(process).code for process in (first, second)] == [0, 0]
    records = load(project).records
    assert sorted(trial.trial_id for trial in records) == ["0", "1", "2"]
    assert {trial.status for trial in records} == {"COMPLETED"}
    assert [len(read_history(trial)) for trial in records] == [60] * 3


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_classifier_is_deleted_by_hand_and_trained_again(
    damage: str,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # About 20 seconds when it runs alone: a search that trains a classifier, once for all test files.
    searched, _ = search_once(tmp_path_factory.getbasetemp())
    project = copy_search(searched, tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in (files.CARD, files.CLASSIFIER_MODEL, files.REFERENCE):
        path = project / files.CLASSIFIER_DIR / name
        whole = path.read_bytes()
        path.write_bytes(DAMAGES[damage](whole))
        with nothing_is_lost(project):
            found = call(capsys, *FINISHED)
        assert found.code == 2
        assert f"{files.CLASSIFIER_DIR} is damaged: {name}" in found.error()
        assert found.error().endswith("; delete the folder to train it again.")
        path.write_bytes(whole)
    shutil.rmtree(project / files.CLASSIFIER_DIR)
    with nothing_is_lost(project):
        found = call(capsys, *FINISHED)
    assert (found.code, found.err) == (0, "")


def test_a_full_disk_and_the_command_line(
    tmp_path_factory: pytest.TempPathFactory,
    disk: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # About 20 seconds when it runs alone: a search that trains a classifier, once for all test files.
    searched, _ = search_once(tmp_path_factory.getbasetemp())
    project = copy_search(searched, disk)
    monkeypatch.chdir(disk)
    command = (
        "search",
        "--data",
        "digits",
        "--epochs",
        "2",
        "--baselines",
        "none",
        "--finalists",
        "0",
        "--name",
        "demo",
    )
    before = finished(project)
    with monkeypatch.context() as patch:
        pre_create_trial = GANTuner.pre_create_trial

        def full(self: GANTuner) -> None:
            pre_create_trial(self)
            fill(disk)

        patch.setattr(GANTuner, "pre_create_trial", full)
        found = call(capsys, *command, "--max-trials", "3")
    assert found.code == 2
    assert "finished trials are kept" in found.error()
    assert finished(project) == before
    (disk / "filler").unlink()
    assert call(capsys, *command, "--max-trials", "3").code == 0
    assert finished(project).items() > before.items()
