"""The files of a project folder: their names, and writing them so that a crash loses nothing.

Standard library, `filelock` and `orjson` only, so that reading results loads no TensorFlow.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import json
import os
import platform
import re
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import orjson

from tuner_gan.errors import ProjectError

SCHEMA = 1
"""Version of `search.json` and `record.json`; a reader refuses a newer one."""

SEARCH = "search.json"
"""Resolved configuration, package versions, fingerprints of data and classifier, seed."""
TUNER = "tuner0.json"
"""State of oracle and trials, from which a search goes on."""
STUDY = "study.db"
"""Optuna's study, from which a search with an `OptunaOracle` goes on."""
STUDY_ID = "study.id"
"""Which study is that of this folder, in a database of the user's own."""
ARTIFACTS = "artifacts"
"""Sample grids for `optuna-dashboard`."""
WORKERS_DIR = ".workers"
"""Locks, process id and output of each worker, and in folders the images of each command that runs some."""
SETUP_LOCK = ".setup.lock"
"""Held while a worker writes what all have in common."""
ASK_LOCK = ".ask.lock"
"""Held while a process asks the study for a trial."""
EXPORT_LOCK = ".export.lock"
"""Held while a search that ends exports the best trial."""
CLASSIFIER_DIR = "classifier"
CLASSIFIER_MODEL = "classifier.keras"
REFERENCE = "reference.npz"
"""Features of the reference images, in `classifier/`."""
CARD = "card.json"
"""Fingerprint, held-out accuracy and floors of the reference classifier, in `classifier/`."""
SECOND_DIR = "second"
"""A second classifier of another seed, which finalists are checked with, in `classifier/`."""
FINALISTS = "finalists"
"""Key of `search.json`: ids of the trials that are trained again, once they are chosen."""
TRIAL_PREFIX = "trial_"
FINALIST_PREFIX = "final_"
"""What the id of a finalist has before that of the trial it repeats."""
KERASTUNER_TRIAL = "trial.json"
RECORD = "record.json"
"""A trial's status, score, hyperparameters, times, seeds, sizes, message and executions."""
ARCHITECTURE = "architecture.json"
HISTORY = "history.csv"
"""One row an epoch and execution."""
GENERATOR = "generator.keras"
"""The averaged generator at the best epoch of the best execution."""
STATE = "state.weights.h5"
"""The whole GAN with both optimizers at the end of the best execution, for promotion and further training."""
CHECKPOINT = "checkpoint.weights.h5"
"""All that an interrupted trial needs to go on from its last epoch; there while the trial has not ended."""
SAMPLES = "samples.png"
"""An 8 x 8 grid from the same latents in every trial; of a conditional one, a row for each of 16 classes."""
REAL = "real.png"
"""Training images in the project folder, in a grid like those of samples."""
REPORT = "report.html"
BEST_DIR = "best"
MODEL_CARD = "model_card.md"
MODEL_CARD_JSON = "model_card.json"
GENERATE = "generate.py"
"""A program beside an exported generator that makes images with it, without tuner_gan."""
DISCRIMINATOR = "discriminator.keras"
CLASS_NAMES = "class_names.json"
"""Names of the classes of an exported conditional generator, in the order of its labels."""
EXPORTED = (DISCRIMINATOR, ARCHITECTURE, SAMPLES, MODEL_CARD, MODEL_CARD_JSON, GENERATE, CLASS_NAMES)
"""What an export may write beside the generator."""
TENSORBOARD_DIR = "tensorboard"
RERUNS_DIR = "reruns"
"""Trials that were trained again, in folders like those of trials."""
LOCK = ".lock"
"""In the project folder held by the process that searches in it, in a trial's by the process that trains it, in that of
workers' images by the command that runs them."""
NAME_LOCK = ".name"
"""Held by a command that runs workers, for each name that it gives them."""
PROCESS = ".pid"
"""Process id of the search that holds the lock."""
TEMPORARY = f".{8 * '[0-9a-f]'}.tmp*"
"""Pattern of the names under which files are written before they are renamed."""
FIRST = (
    TEMPORARY,
    SETUP_LOCK,
    LOCK,
    PROCESS,
    f"{WORKERS_DIR}/*",
    *(f"{CLASSIFIER_DIR}/{name}" for name in (TEMPORARY, CLASSIFIER_MODEL, REFERENCE)),
)
"""Patterns of what may be in a project folder before `search.json` or a classifier's card."""
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
LONG_NUMBER = b"0" * len(str(2**63))
"""What may be a whole number beyond 64 bits, its digits as zeros; with a sign, one bit is for that."""
SECONDS_TO_LOCK = 1.0
"""For which a search or a worker that begins waits for another one that ends."""


def is_utf8(path: str) -> bool:
    """Tells whether a path is text: Python keeps bytes that are not UTF-8 as halves of surrogate pairs."""
    return re.search("[\ud800-\udfff]", path) is None


def trial_dir(project: Path, trial_id: str) -> Path:
    """Returns the folder of one trial (not created)."""
    return project / f"{TRIAL_PREFIX}{trial_id}"


def trial_files(project: Path, name: str) -> Iterator[Path]:
    """Yields the files of that name that there are in the folders of trials, finalists among them."""
    yield from project.glob(f"{TRIAL_PREFIX}*/{name}")


def is_of_finalist(path: Path) -> bool:
    """Tells whether a file is in the folder of a finalist, not in that of another trial."""
    return path.parent.name.startswith(TRIAL_PREFIX + FINALIST_PREFIX)


@contextlib.contextmanager
def replacing(path: Path, name: str | None = None) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is flushed and renamed to `path`.

    When the body raises, `path` is left as it was. A link is replaced, and what it leads to is left alone: nothing is
    written outside of a project.

    Args:
        path: of the file.
        name: what the temporary name ends with, because Keras chooses its format by that; None for that of `path`.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}.tmp.{name or path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yields a temporary path for an output that the user has named, which is written on success, as by `replacing`.

    A symbolic link stays, and what it leads to is replaced; a pipe or a device stays, and is written into.

    Raises:
        ProjectError: `path` is a folder, or a pipe or a device that takes nothing more.
    """
    place = _place(path)
    if place is not None:
        with replacing(place, path.name) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / path.name
        yield temporary
        try:
            with temporary.open("rb") as source, path.open("ab") as target:
                shutil.copyfileobj(source, target)
        except OSError as error:  # such as that nobody reads a pipe any more
            raise _unwritable(path, error.strerror or str(error)) from error


def _place(path: Path) -> Path | None:
    """Where the file is, or will be, that `path` leads to; None for a pipe, a device or the like."""
    if path.is_dir():
        raise ProjectError(f"{path}: Is a directory.")
    # What /dev/stdout or /dev/fd/3 leads to may be a file, to which others write, too; what is in /dev/shm is a file.
    opened = path.parent in (Path("/dev"), Path("/dev/fd")) or path.is_relative_to("/proc")
    if path.exists() and (opened or not path.is_file()):
        return None
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def check_output(path: Path) -> None:
    """Checks that `path` can be written by `writing`; the folder that it is in is created.

    Raises:
        ProjectError: it is a folder, or it or its folder cannot be written.
    """
    place = _place(path)
    if place is not None:
        create_folder(place.parent)
    elif not os.access(path, os.W_OK):
        raise _unwritable(path, os.strerror(errno.EACCES))


def _unwritable(path: Path, reason: str) -> ProjectError:
    return ProjectError(f"{path} cannot be written ({reason}): choose another output.")


def write_output(path: Path, text: str) -> None:
    """Writes `text` as UTF-8 to an output that the user has named, as `writing` does.

    Raises:
        ProjectError: as `check_output`.
    """
    check_output(path)
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, value: Any, *, copied: bool = False) -> None:
    """Writes `value` as JSON, atomically; NaN and infinity raise ValueError instead of being written.

    Args:
        path: of the file.
        value: JSON-ready.
        copied: whether to write a hidden copy beside it, too, which `read_json` takes when the file is damaged.
    """
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    write_text(path, text)
    if copied:
        write_text(copy_of(path), text)


def copy_of(path: Path) -> Path:
    """Returns where the copy of a file is, if it has one."""
    return path.with_name(f".{path.name}.copy")


def _parse_json(content: bytes) -> Any:
    """Reads JSON; raises ValueError, or RecursionError."""
    # orjson takes a fraction of json's time, but rounds whole numbers beyond 64 bits.
    if LONG_NUMBER not in content.translate(AS_ZEROS):
        with contextlib.suppress(orjson.JSONDecodeError):  # it is stricter than json, which tells better what is wrong
            return orjson.loads(content)
    text = content.decode("utf-8")
    value = json.loads(text)
    if SURROGATE.search(text):  # a half of a pair, which JSON can hold and UTF-8 cannot
        value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    return value


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object; text in it that could be neither printed nor stored gets question marks.

    Raises:
        ProjectError: the file is missing, damaged without a copy, no object, or of a newer schema.

    Warns:
        UserWarning: it is damaged, and its copy is read.
    """
    try:
        return _read_object(path)
    except _DamagedError as error:
        try:
            value = _read_object(copy_of(path))
        except ProjectError:
            raise error from error.__cause__
    warnings.warn(f"{path} is damaged, so its copy {copy_of(path).name} is read.", UserWarning, stacklevel=2)
    return value


def mend(path: Path) -> None:
    """Puts the copy of a damaged JSON file in its place.

    Raises, Warns:
        As `read_json`.
    """
    try:
        _read_object(path)
    except _DamagedError:
        write_json(path, read_json(path))


class _DamagedError(ProjectError):
    """A file is there, but does not hold what was written."""


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = _parse_json(path.read_bytes())
    except OSError as error:
        raise ProjectError(f"{path} cannot be read: {error.strerror or error}.") from error
    except RecursionError as error:
        raise _DamagedError(f"{path} is damaged: it is nested too deeply.") from error
    except ValueError as error:
        raise _DamagedError(f"{path} is damaged: expected JSON, but {error}.") from error
    if not isinstance(value, dict):
        raise _DamagedError(f"{path} is damaged: expected a JSON object, got a {type(value).__name__}.")
    schema = value.get("schema", SCHEMA)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise ProjectError(
            f"{path} has schema {schema!r}, and this version of tuner_gan reads up to {SCHEMA}: "
            "install a newer tuner_gan."
        )
    return value


def create_folder(path: Path) -> None:
    """Creates `path` and its parents, and checks that files can be written there.

    Raises:
        ProjectError: it cannot be created or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{secrets.token_hex(4)}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ProjectError(f"{path} cannot be written ({error.strerror or error}): choose another folder.") from error


@contextlib.contextmanager
def search_lock(project: Path) -> Iterator[None]:
    """Holds the project for one search, so that a second one is refused.

    The operating system releases the lock when the process ends, however it ends.

    Raises:
        ProjectError: another process searches in it; the message names that process.
    """
    with _project_lock(project):
        worker = next(_working(project), None)
        if worker is not None:
            raise _in_use(project, worker.with_suffix(PROCESS))
        command = next((path for path in (project / WORKERS_DIR).glob(f"*/{LOCK}") if is_locked(path)), None)
        if command is not None:  # whose workers load TensorFlow, and hold no lock before they have
            raise _in_use(project, command.with_name(PROCESS))
        note_process(project / PROCESS)
        yield


@contextlib.contextmanager
def worker_lock(project: Path, name: str) -> Iterator[None]:
    """Holds the project for one of several workers that search in it together.

    Raises:
        ProjectError: a search that is no worker, or a worker of that name, is at work there.
    """
    import filelock

    path = project / WORKERS_DIR / f"{name}{LOCK}"
    path.parent.mkdir(exist_ok=True)
    # Whoever asks whether a lock is held, as a live view does, holds it for a moment.
    lock = filelock.FileLock(path, timeout=SECONDS_TO_LOCK)
    with _project_lock(project):  # no search of its own begins meanwhile
        try:
            lock.acquire()
        except filelock.Timeout:
            raise _in_use(project, path.with_suffix(PROCESS)) from None
    try:
        note_process(path.with_suffix(PROCESS))
        yield
    finally:
        lock.release()


def check_not_in_use(project: Path, *, alone: bool) -> None:
    """Refuses before anything is loaded what is refused under the lock later.

    Args:
        project: a folder that need not be there.
        alone: whether workers that are at work there are refused, too.

    Raises:
        ProjectError: another process searches in it; the message names that process. Or it cannot be written.
    """
    # Where nobody has searched, no lock is left behind.
    if (project / LOCK).exists() or (project / WORKERS_DIR).exists():
        create_folder(project)
        with search_lock(project) if alone else _project_lock(project):
            pass


@contextlib.contextmanager
def _project_lock(project: Path) -> Iterator[None]:
    import filelock

    lock = filelock.FileLock(project / LOCK, timeout=SECONDS_TO_LOCK)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise _in_use(project, project / PROCESS) from None
    try:
        yield
    finally:
        lock.release()


def note_process(path: Path) -> None:
    """Writes the id of this process, and the name of its machine, for messages of others."""
    write_text(path, f"{os.getpid()} {platform.node()}\n")


def _in_use(project: Path, process: Path) -> ProjectError:
    holder = "another search"
    with contextlib.suppress(OSError):
        number, _, machine = process.read_text(encoding="utf-8").strip().partition(" ")
        elsewhere = f" on {machine}" if machine not in ("", platform.node()) else ""
        holder = f"a search with process id {number}{elsewhere}"
    return ProjectError(f"{project} is in use by {holder}: wait for it, or choose another project name (--name).")


def setup_lock(project: Path) -> AbstractContextManager[object]:
    """Returns the lock under which one of several workers writes what they have in common."""
    import filelock

    return filelock.FileLock(project / SETUP_LOCK)


def export_lock(project: Path) -> AbstractContextManager[object]:
    """Returns the lock under which one of several searches that end at once exports the best trial."""
    import filelock

    return filelock.FileLock(project / EXPORT_LOCK)


def is_locked(path: Path) -> bool:
    """Tells whether a living process holds the lock of that file."""
    import filelock

    try:
        with filelock.FileLock(path, timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return False


def _working(project: Path) -> Iterator[Path]:
    """The locks that living workers hold."""
    return (path for path in (project / WORKERS_DIR).glob(f"*{LOCK}") if is_locked(path))


def count_workers(project: Path) -> int:
    """How many living workers search in a project together; none in a copy or a read-only one."""
    return sum(1 for _ in _working(project)) if os.access(project, os.W_OK) else 0


def is_searching(project: Path) -> bool:
    """Tells whether a living process holds the search lock. A copy or a read-only project is at rest."""
    if not os.access(project, os.W_OK):
        return False
    return ((project / LOCK).exists() and is_locked(project / LOCK)) or any(True for _ in _working(project))


def _is_project(folder: Path) -> bool:
    """Tells whether a search has been in a folder, or was interrupted there before it had written what tells so."""
    if any((folder / name).is_file() for name in (SEARCH, copy_of(Path(SEARCH)), f"{CLASSIFIER_DIR}/{CARD}")):
        return True
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    names = (path.relative_to(folder).as_posix() for path in found)
    return all(any(fnmatch.fnmatchcase(name, pattern) for pattern in FIRST) for name in names)


def remove_project(folder: Path, first: Callable[[], object] = lambda: None) -> None:
    """Deletes a project folder, and nothing that is not one.

    Args:
        folder: that is deleted, if it is there.
        first: called before that, when nothing speaks against it; if it raises, the folder stays.

    Raises:
        ProjectError: the folder holds something else, is a link, is being searched in, or cannot be deleted.
    """
    if not folder.is_dir():
        return
    if not _is_project(folder):
        raise ProjectError(f"{folder} is no tuner_gan project, so it is not overwritten: choose another name.")
    if folder.is_symlink():
        raise ProjectError(f"{folder} is a link, so it is not overwritten: choose another name.")
    with search_lock(folder):
        first()
    try:
        # What makes it a project goes last, so that one whose removal was killed can be removed.
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != SEARCH:
                path.unlink()
        shutil.rmtree(folder)
    except OSError as error:
        raise ProjectError(f"{folder} cannot be overwritten: {error.strerror or error}.") from error
