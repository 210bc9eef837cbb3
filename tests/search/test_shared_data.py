"""The images of a search in files: written once, mapped by each worker, and gone with the process that wrote them."""

from __future__ import annotations

import contextlib
import dataclasses
import mmap
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from searches import blobs

from tuner_gan import datasets, files
from tuner_gan.datasets import DataSplits
from tuner_gan.errors import ProjectError
from tuner_gan.search.shared_data import PARTS, SharedData, map_splits


def splits(labels: Any = None) -> DataSplits:
    spots = datasets.from_arrays(blobs(120), labels, name="spots")
    return dataclasses.replace(spots, licence="CC0").split(seed=3)


def left(project: Path) -> set[str]:
    return {path.name for path in (project / files.WORKERS_DIR).glob("*")}


@pytest.mark.parametrize("labels", [None, np.arange(120) % 3, np.array(["b", "a"] * 60)])
def test_what_was_written_is_mapped(labels: Any, tmp_path: Path) -> None:
    written = splits(labels)
    with SharedData(written, tmp_path) as folder:
        mapped = map_splits(folder)
    assert (mapped.name, mapped.seed, mapped.fingerprint) == ("spots", 3, written.fingerprint)
    assert (mapped.image_shape, mapped.num_classes) == (written.image_shape, written.num_classes)
    for part in PARTS:
        one, other = getattr(mapped, part), getattr(written, part)
        # Also after the files are gone: what is mapped stays until the last process has let go of it.
        assert type(one.images) is np.ndarray
        np.testing.assert_array_equal(one.images, other.images, strict=True)
        assert one.class_names == other.class_names
        assert one.licence == "CC0"
        assert one.fingerprint == other.fingerprint
        with pytest.raises(ValueError, match="read-only"):
            one.images[0] = 0
        base: Any = one.images
        while isinstance(base, np.ndarray):
            base = base.base
        assert isinstance(base, mmap.mmap)


def test_the_files_go_with_what_wrote_them(tmp_path: Path) -> None:
    with SharedData(splits(), tmp_path) as folder:
        assert left(tmp_path) == {folder.name}
    assert left(tmp_path) == set()
    with pytest.raises(ZeroDivisionError), SharedData(splits(), tmp_path):
        raise ZeroDivisionError
    assert left(tmp_path) == set()


def test_what_a_killed_process_left_goes_with_the_next_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom tuner_gan import datasets\n"
        "from tuner_gan.search.shared_data import SharedData\n"
        "shared = SharedData(datasets.load('digits').split(), Path(sys.argv[1]))\n"
        "print('written', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"written\n"
            [other] = left(tmp_path)
            with SharedData(splits(), tmp_path) as folder:
                assert left(tmp_path) == {other, folder.name}
                assert len(map_splits(folder.parent / other).train) > 1000
        finally:
            process.kill()
    assert left(tmp_path) == {other}
    with SharedData(splits(), tmp_path) as folder:
        assert left(tmp_path) == {folder.name}


def test_a_folder_in_which_images_are_shared_is_searched_in_by_workers(tmp_path: Path) -> None:
    """Also while they load TensorFlow, and hold no lock yet: another command would delete their folder."""
    with SharedData(splits(), tmp_path) as folder:
        words = f"is in use by a search with process id {os.getpid()}: wait for it"
        with pytest.raises(ProjectError, match=words):
            files.remove_project(tmp_path)
        with pytest.raises(ProjectError, match=words), files.search_lock(tmp_path):
            pass
        with files.worker_lock(tmp_path, "a"):
            assert len(map_splits(folder).train) > 0
    files.remove_project(tmp_path)
    assert not tmp_path.exists()


@contextlib.contextmanager
def files_of(size: int) -> Iterator[None]:
    """No file can have more bytes than that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_there_is_no_room(tmp_path: Path) -> None:
    with files_of(2_000), pytest.raises(ProjectError) as caught:
        SharedData(splits(), tmp_path)
    assert "The images cannot be written to" in str(caught.value)
    assert str(caught.value).endswith("where workers share them: make room for 1 MiB or leave out --workers.")
    assert left(tmp_path) == set()


@pytest.mark.parametrize("name", ["splits.json", "train.npy"])
def test_files_that_are_not_whole(name: str, tmp_path: Path) -> None:
    with SharedData(splits(), tmp_path) as folder:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ProjectError, match=name):
            map_splits(folder)
        (folder / name).unlink()
        with pytest.raises(ProjectError, match=name):
            map_splits(folder)
