"""When a process makes room for a new one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tuner_gan.search.wear import BYTES_A_WORKER, TRIALS_A_WORKER, Wear, private_memory


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells private memory")
def test_mapped_images_do_not_wear_a_worker_out(tmp_path: Path) -> None:
    size = 2**26
    np.save(tmp_path / "images.npy", np.ones(size, np.uint8))
    before = private_memory()
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert int(mapped.sum(dtype=np.int64)) == size
    assert abs(private_memory() - before) < size / 4
    kept = np.ones(size, np.uint8)
    assert abs(private_memory() - before - size) < size / 4
    assert len(kept) == len(mapped)


def test_what_a_process_has_grown_by_since_its_first_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = 2**40  # what it has by then would be there again in another process
    monkeypatch.setattr("tuner_gan.search.wear.private_memory", lambda: memory)
    wear = Wear()
    for _ in range(2):
        assert not wear.is_worn_out()
        wear.begin_trial()
        memory += BYTES_A_WORKER // 2
        wear.end_trial()
    memory += BYTES_A_WORKER // 2
    assert not wear.is_worn_out()
    memory += 1
    assert wear.is_worn_out()


def test_a_process_that_does_not_grow_is_worn_out_by_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner_gan.search.wear.private_memory", lambda: 0)
    wear = Wear()
    for _ in range(TRIALS_A_WORKER):
        assert not wear.is_worn_out()
        wear.begin_trial()
        wear.end_trial()
    assert wear.is_worn_out()
