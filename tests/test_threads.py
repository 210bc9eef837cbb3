"""How many threads TensorFlow computes with, by its own setting, the environment or the cores."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from tuner_gan import threads


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


@pytest.fixture(autouse=True)
def cgroups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the system keeps its control groups; the process is in none of them."""
    monkeypatch.setattr(threads, "CGROUPS", tmp_path)
    monkeypatch.setattr(threads, "OWN_CGROUPS", tmp_path / "own")
    return tmp_path


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert threads.available() == 8
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    assert threads.available() == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads.available() == 1


@pytest.mark.parametrize(("text", "expected"), [(None, 8), ("", 8), ("0", 8), ("three", 8), ("3", 3), ("16", 16)])
def test_the_environment_says_how_many(text: str | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", text)
    assert threads.in_use() == expected
    monkeypatch.delitem(sys.modules, "tensorflow")
    assert threads.in_use() == expected


def test_tensorflow_s_own_setting_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 5)
    assert threads.in_use() == 5


def test_a_process_that_is_given_threads_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in threads.environment(2).items():
        monkeypatch.setenv(name, value)
    assert threads.in_use() == 2
    assert set(threads.environment(2)) == {"TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("20000 100000", 1), ("6400000 100000", 8)],
)
@pytest.mark.parametrize("own", ["0::/", "0::/kubepods/pod1"])  # a container sees its group as the top one
def test_a_quota_of_time_counts_as_cores(own: str, limit: str, expected: int, cgroups: Path) -> None:
    (cgroups / "own").write_text(f"12:pids:/\n{own}\n")
    (cgroups / "cpu.max").write_text(f"{limit}\n")
    assert threads.available() == expected


@pytest.mark.parametrize(("limit", "expected"), [("-1", 8), ("250000", 3)])
def test_a_quota_of_the_first_version_of_control_groups(limit: str, expected: int, cgroups: Path) -> None:
    (cgroups / "own").write_text("11:memory:/small\n4:cpu,cpuacct:/docker/12ab\n")
    (cgroups / "cpu").mkdir()
    (cgroups / "cpu/cpu.cfs_quota_us").write_text(f"{limit}\n")
    (cgroups / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert threads.available() == expected


def test_the_least_of_the_quotas_above_a_process_counts(cgroups: Path) -> None:
    (cgroups / "own").write_text("0::/user.slice/me/job\n")
    (cgroups / "user.slice/me/job").mkdir(parents=True)
    (cgroups / "user.slice/cpu.max").write_text("300000 100000")
    (cgroups / "user.slice/me/job/cpu.max").write_text("500000 100000")
    (cgroups / "cpu.max").write_text("max 100000")
    assert threads.available() == 3


def test_a_command_makes_no_more_threads_than_its_quota_keeps_busy(
    cgroups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"HOME": "/home/me"})
    threads.keep_to_quota()
    assert os.environ == {"HOME": "/home/me"}  # without a quota TensorFlow chooses
    (cgroups / "own").write_text("0::/\n")
    (cgroups / "cpu.max").write_text("200000 100000")
    assert threads.in_use() == 8  # as TensorFlow does by itself
    threads.keep_to_quota()
    assert os.environ == {"HOME": "/home/me", **threads.environment(2)}
    assert threads.in_use() == 2


def test_threads_that_the_user_asks_for_are_left_alone(cgroups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cgroups / "own").write_text("0::/\n")
    (cgroups / "cpu.max").write_text("200000 100000")
    monkeypatch.setattr(os, "environ", {"TF_NUM_INTRAOP_THREADS": "6"})
    threads.keep_to_quota()
    assert os.environ == {"TF_NUM_INTRAOP_THREADS": "6"}
