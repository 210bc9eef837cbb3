"""The images of a search in files, which its workers map."""

from __future__ import annotations

import math
import secrets
import shutil
from pathlib import Path
from types import TracebackType

import filelock
import numpy as np

from tuner_gan import files
from tuner_gan.datasets import DataSplits, ImageDataset
from tuner_gan.errors import ProjectError

PREFIX = "data-"
"""Of the folders of files."""
ABOUT = "splits.json"
PARTS = ("train", "reference", "holdout")
MIB = 2**20


class SharedData:
    """Splits in files, for as long as this is open, at most while this process lives.

    A worker that maps them does not read and split the data set again, and has no copy: the pages are in memory once
    for all workers of a machine, and are given back when memory is short.

    Args:
        splits: what is written; the caller may let go of it then.
        project: folder of the search, in whose folder of workers the files are. What processes that were killed have
            left there is removed.

    Attributes:
        folder: of the files.

    Raises:
        ProjectError: the files cannot be written.
    """

    def __init__(self, splits: DataSplits, project: Path) -> None:
        self.folder = project / files.WORKERS_DIR / f"{PREFIX}{secrets.token_hex(4)}"
        self._lock = filelock.FileLock(self.folder / files.LOCK)
        try:
            with files.setup_lock(project):
                _remove_left(self.folder.parent)
                self.folder.mkdir(parents=True)
                self._lock.acquire()
            files.note_process(self.folder / files.PROCESS)
            _write(splits, self.folder)
        except OSError as error:
            self._remove()
            size = math.ceil(sum(getattr(splits, part).images.nbytes for part in PARTS) / MIB)
            raise ProjectError(
                f"The images cannot be written to {self.folder.parent} ({error.strerror or error}), where workers "
                f"share them: make room for {size:,} MiB or leave out --workers."
            ) from error
        except BaseException:
            self._remove()
            raise

    def __enter__(self) -> Path:
        return self.folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        # What stays, because it cannot be deleted now, goes with the next search in the folder.
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def map_splits(folder: Path) -> DataSplits:
    """Returns what a living `SharedData` has written to `folder`; the images are read-only.

    Raises:
        ProjectError: it is not there, or damaged.
    """
    about = files.read_json(folder / ABOUT)
    try:
        keys = ("name", "class_names", "licence", "seed", "fingerprint")
        name, names, licence, seed, fingerprint = (about[key] for key in keys)
    except KeyError as error:
        raise ProjectError(f"{folder / ABOUT} is damaged: it lacks {error}; run the search again.") from error
    names = tuple(names)
    train, reference, holdout = (
        ImageDataset(
            name, _map(folder, part), _map(folder, f"{part}_labels") if names else None, names, licence=licence
        )
        for part in PARTS
    )
    return DataSplits(train, reference, holdout, seed, fingerprint)


def _write(splits: DataSplits, folder: Path) -> None:
    for part in PARTS:
        dataset: ImageDataset = getattr(splits, part)
        np.save(folder / part, dataset.images, allow_pickle=False)
        if dataset.labels is not None:
            np.save(folder / f"{part}_labels", dataset.labels, allow_pickle=False)
    about = {
        "name": splits.name,
        "class_names": splits.train.class_names,
        "licence": splits.train.licence,
        "seed": splits.seed,
        "fingerprint": splits.fingerprint,
    }
    files.write_json(folder / ABOUT, about)


def _map(folder: Path, name: str) -> np.ndarray:
    try:
        return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise ProjectError(f"{folder / name}.npy cannot be read ({error}): run the search again.") from error


def _remove_left(folder: Path) -> None:
    """Removes what processes that are no more have left; a folder that another one makes is locked, or not there."""
    for left in folder.glob(f"{PREFIX}*"):
        if not files.is_locked(left / files.LOCK):
            shutil.rmtree(left, ignore_errors=True)
