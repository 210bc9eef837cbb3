"""A checkpoint: one file from which an interrupted training goes on as if nothing had happened."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.gan.model import GAN

STATE_BYTES = 20
"""Of each parameter at most, in a saved state: its value, its average, that of the best epoch and two moments, in
single precision."""
ROOM = 2**20
"""Bytes of disk space beyond that, without which a state is not saved."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is known of an execution at the end of an epoch.

    Attributes:
        execution: which training of the trial it is, from 0, and the seed that it was trained from.
        first_epoch: epochs of the trial before this training began.
        last_epoch: epochs of the trial by now.
        ended: whether the training was stopped here, by a time limit if `out_of_time`, by that of all epochs if
            `out_of_epochs`, which an earlier version did not note, by a pruner if `pruned`.
        seconds: of this training so far; `trial_s` of the whole trial.
        times: of `ExecutionTimes`, in seconds.
        latest: the scores of the last rung.
    """

    execution: int
    seed: int
    first_epoch: int
    last_epoch: int
    ended: bool
    out_of_time: bool
    pruned: bool
    seconds: float
    trial_s: float
    times: dict[str, float | None]
    best_score: float | None
    best_epoch: int | None
    best_metrics: dict[str, float]
    latest: dict[str, float]
    out_of_epochs: bool = False


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The end of an epoch.

    Attributes:
        progress: of the execution that runs.
        state: of the GAN, as `GAN.get_state` gives it.
        best: weights of the averaged generator at the best epoch; empty when that is this epoch.
    """

    progress: Progress
    state: Sequence[np.ndarray]
    best: Sequence[np.ndarray]

    def write(self, path: Path) -> None:
        """Writes it, atomically.

        The arrays go into one block of bytes: a hundred small ones take longer than the rest of a short epoch.
        """
        arrays = [*self.state, *self.best]
        content = np.frombuffer(b"".join(array.tobytes() for array in arrays), np.uint8)
        header = {
            "progress": dataclasses.asdict(self.progress),
            "arrays": [[array.dtype.name, array.shape] for array in arrays],
            "best": len(self.best),
        }
        text = json.dumps(header)
        with files.replacing(path) as temporary, h5py.File(temporary, "w") as file:
            # No attribute: HDF5 limits those to 64 KiB.
            file["header"] = text
            file["content"] = content
            file.attrs["checksum"] = _checksum(text, content)

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Reads what `write` wrote.

        Raises:
            ProjectError: the file is damaged.
        """
        try:
            with h5py.File(path, "r") as file:
                text, content = file["header"].asstr()[()], file["content"][()]
                checksum = int(file.attrs["checksum"])
            if _checksum(text, content) != checksum:
                raise ValueError("its checksum does not fit")
            header = json.loads(text)
            progress = Progress(**header["progress"])
            arrays, start = [], 0
            for name, shape in header["arrays"]:
                array = np.ndarray(shape, name, content, start)
                arrays.append(array)
                start += array.nbytes
            count = len(arrays) - header["best"]
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise ProjectError(f"{path} is damaged ({str(error).rstrip('.')})") from error
        return cls(progress, arrays[:count], arrays[count:])


def _checksum(text: str, content: np.ndarray) -> int:
    return zlib.crc32(content.data, zlib.crc32(text.encode()))


def check_room(folder: Path, gan: GAN) -> None:
    """Raises OSError when the disk has no room for a state: HDF5 can crash the process when it finds the disk full."""
    parameters = gan.generator.count_params() + gan.discriminator.count_params()
    if shutil.disk_usage(folder).free < ROOM + STATE_BYTES * parameters:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
