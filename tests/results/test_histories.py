from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from project_folders import HISTORY, record_json, write_project, write_trial

from tuner_gan import results
from tuner_gan.results import histories
from tuner_gan.results.histories import Histories, _read_at_once, _read_one_by_one, read_histories
from tuner_gan.results.records import TrialRecord, read_project

HEADER = "execution,epoch,step,seconds,d_loss,g_loss,metric.fcd"


def trials(folder: Path, *contents: str | bytes) -> list[TrialRecord]:
    write_project(folder)
    for i, content in enumerate(contents):
        own = write_trial(folder, record_json(f"000{i}"))
        (own / "history.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return read_project(folder).trials


def assert_equal(one: Histories, other: Histories) -> None:
    assert one.trial_ids.tolist() == other.trial_ids.tolist()
    for name in one.columns.keys() | other.columns.keys():
        missing = np.full(len(one.trial_ids), np.nan)
        np.testing.assert_array_equal(one.columns.get(name, missing), other.columns.get(name, missing), name)


NUMBER = st.one_of(st.floats(width=64), st.integers(0, 2**63 - 1)).map(repr)
CELL = st.one_of(
    st.just(""), NUMBER, st.sampled_from(["nan", "inf", "NA", "null", "1e400", " 1", "x", "0x1", "1_0", '"1"'])
)
WHOLE = st.one_of(st.integers(0, 99).map(str), st.sampled_from(["", "-1", "1.0", "+1", "99999999999999999999"]))
ROW = st.tuples(WHOLE, WHOLE, WHOLE, CELL, CELL, CELL, CELL).map(",".join)
LINE = st.one_of(ROW, ROW, ROW, st.sampled_from(["", "0,1", "0,1,2,3,4,5,6,7", ",,,,,,"]))


@settings(max_examples=200, deadline=None)
@given(files=st.lists(st.lists(LINE, max_size=4), max_size=3), end=st.sampled_from(["\n", "\n", "", "\r\n"]))
@example(files=[["0,1,2,0.5,0.25,1e-3,"], ["1,1,2,0.1,0.2,inf,3"]], end="\n")
@example(files=[["0,1", "0,1,2,3,4,5,6,7,8,9,10,11"]], end="\n")
def test_in_one_go_it_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str]], end: str
) -> None:
    contents = ["\n".join([HEADER, *lines]) + end for lines in files]
    found = trials(tmp_path_factory.mktemp("demo"), *contents)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*damaged", UserWarning)
        at_once, expected = _read_at_once(found), _read_one_by_one(found)
        assert_equal(read_histories(found), expected)
    if at_once is not None:
        assert_equal(at_once, expected)


def refuse(*_: Any) -> Any:
    raise AssertionError("a line was read by itself")


def test_whole_files_are_read_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = trials(tmp_path / "demo", HISTORY, HISTORY)
    monkeypatch.setattr(histories, "_read_one_by_one", refuse)
    read = read_histories(found)
    assert read.trial_ids.tolist() == ["0000"] * 3 + ["0001"] * 3
    assert read.columns["epoch"].tolist() == [1, 2, 1] * 2
    assert read_histories([]).columns == {}


@pytest.mark.parametrize("damage", ["", "what is this", HEADER, HISTORY + "0,3", HISTORY.replace("186", "-1")])
def test_a_damaged_file_is_told_and_costs_the_others_nothing(tmp_path: Path, damage: str) -> None:
    trials(tmp_path / "demo", HISTORY, damage)
    with pytest.warns(UserWarning, match="is damaged"):
        table = results.load(tmp_path / "demo").history()
    assert table[table.trial_id == "0000"].epoch.tolist() == [1, 2, 1]


def test_trials_without_a_history_have_no_rows(tmp_path: Path) -> None:
    found = trials(tmp_path / "demo", HISTORY, HISTORY)
    (found[0].folder / "history.csv").unlink()
    assert read_histories(found).trial_ids.tolist() == ["0001"] * 3
