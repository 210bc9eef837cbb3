"""How many threads TensorFlow computes with, by its own setting, the environment or the cores."""

from __future__ import annotations

import os
import sys

import pytest
import tensorflow as tf

from tuner_gan import threads


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


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
