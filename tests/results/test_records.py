from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from project_folders import (
    CLASSES,
    HISTORY,
    failed_json,
    record_json,
    running_json,
    search_json,
    write_project,
    write_trial,
)

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.quality.guards import FLAGS
from tuner_gan.results.records import (
    FLAG_MEANINGS,
    TIMES,
    ClassRecord,
    ExecutionRecord,
    TrialRecord,
    rank,
    read_history,
    read_project,
    write_record,
)

WHOLE = st.none() | st.integers(0, 2**31 - 1)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.none() | NUMBER
NAMES = st.text(min_size=1, max_size=8)
EXECUTIONS = st.builds(
    ExecutionRecord,
    execution=st.integers(0, 9),
    seed=WHOLE,
    score=MAYBE,
    best_epoch=WHOLE,
    epochs=WHOLE,
    duration_s=MAYBE,
    build_s=MAYBE,
    compile_s=MAYBE,
    eval_s=MAYBE,
    save_s=MAYBE,
    metrics=st.dictionaries(NAMES, NUMBER, max_size=3),
)
RECORDS = st.builds(
    TrialRecord,
    folder=st.just(Path("demo/trial_0007")),
    trial_id=st.just("0007"),
    status=st.sampled_from(["COMPLETED", "PRUNED", "FAILED", "RUNNING", "INTERRUPTED"]),
    origin=st.sampled_from(["baseline", "search", "finalist"]),
    score=MAYBE,
    score_std=MAYBE,
    best_epoch=WHOLE,
    epochs=WHOLE,
    best_execution=WHOLE,
    started_at=st.none()
    | st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=st.timezones()).map(datetime.isoformat),
    duration_s=MAYBE,
    build_s=MAYBE,
    compile_s=MAYBE,
    eval_s=MAYBE,
    save_s=MAYBE,
    seed=WHOLE,
    generator_params=WHOLE,
    discriminator_params=WHOLE,
    hyperparameters=st.dictionaries(NAMES, st.booleans() | st.integers() | NUMBER | st.text(max_size=9), max_size=4),
    metrics=st.dictionaries(NAMES, NUMBER, max_size=3),
    flags=st.lists(NAMES | st.sampled_from(sorted(FLAG_MEANINGS)), max_size=3).map(tuple),
    message=st.none() | st.text(max_size=20),
    executions=st.lists(EXECUTIONS, max_size=3).map(tuple),
    classes=st.lists(st.builds(ClassRecord, NAMES, st.integers(0, 9), MAYBE, MAYBE), max_size=3).map(tuple),
)


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_a_record_survives_json(record: TrialRecord) -> None:
    text = json.dumps(record.to_json(), allow_nan=False)
    read = TrialRecord.from_json(json.loads(text), record.folder)
    assert read == record
    for name, value in record.hyperparameters.items():
        assert type(read.hyperparameters[name]) is type(value)


def test_the_example_of_the_format_is_read_and_written_alike(tmp_path: Path) -> None:
    content = record_json("0003")
    folder = write_trial(tmp_path, content)
    record = TrialRecord.from_json(content, folder)
    assert record.to_json() == content
    assert list(record.to_json()) == list(content)
    (folder / "record.json").unlink()
    write_record(folder, record)
    assert json.loads((folder / "record.json").read_text()) == content


def test_a_record_without_times_is_read(tmp_path: Path) -> None:
    content = record_json("0003")
    for part in (content, *content["executions"]):
        for name in ("build_s", "compile_s", "eval_s", "save_s"):
            del part[name]
    record = TrialRecord.from_json(content, write_trial(tmp_path, content))
    assert (record.duration_s, record.executions[0].duration_s) == (31.25, 31.0)
    both: list[TrialRecord | ExecutionRecord] = [record, *record.executions]
    for one in both:
        assert (one.build_s, one.compile_s, one.eval_s, one.save_s) == (None, None, None, None)


def test_a_record_that_does_not_say_how_long_it_was_to_be_trained_is_read(tmp_path: Path) -> None:
    content = record_json("0003")
    del content["planned_epochs"], content["threads"], content["promoted_from"]
    del content["executions"][0]["finished"]
    record = TrialRecord.from_json(content, write_trial(tmp_path, content))
    assert (record.planned_epochs, record.promoted_from, record.executions[0].finished) == (None, None, None)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), "0.1"])
def test_a_record_that_could_not_be_read_again_is_not_written(tmp_path: Path, score: Any) -> None:
    folder = write_trial(tmp_path, record_json())
    before = (folder / "record.json").read_bytes()
    record = TrialRecord(folder, "0000", "COMPLETED", "search", score=score)
    with pytest.raises(ProjectError, match="'score' should be a finite number, got"):
        write_record(folder, record)
    with pytest.raises(ProjectError, match="which is not the trial of the folder"):
        write_record(folder, TrialRecord(folder, "0001", "COMPLETED", "search"))
    assert (folder / "record.json").read_bytes() == before


@pytest.mark.parametrize("status", ["COMPLETED", "PRUNED", "FAILED"])
def test_the_record_of_a_trial_that_has_ended_has_a_copy(status: str, tmp_path: Path) -> None:
    folder = write_trial(tmp_path, record_json("0003"))
    record = dataclasses.replace(TrialRecord.from_json(record_json("0003"), folder), status=status)
    write_record(folder, record)
    (folder / "record.json").write_text("{")
    with pytest.warns(UserWarning, match="is damaged, so its copy .record.json.copy is read"):
        assert TrialRecord.from_json(files.read_json(folder / "record.json"), folder) == record


def test_a_record_is_made_from_little_and_needs_no_pandas() -> None:
    code = (
        "import sys; from pathlib import Path; import tuner_gan.results\n"
        "assert not {'pandas', 'numpy', 'rich', 'tensorflow', 'keras'} & set(sys.modules)\n"
        "from tuner_gan.results.records import TrialRecord, read_project\n"
        "TrialRecord(Path('trial_0000'), '0000', 'RUNNING', 'search').to_json()\n"
        "assert not {'pandas', 'numpy', 'rich', 'tensorflow', 'keras'} & set(sys.modules)\n"
        "assert {'load', 'SearchResults'} <= set(dir(tuner_gan.results))\n"
        "from tuner_gan.results import load, SearchResults\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules and 'sklearn' not in sys.modules\n"
        "assert 'rich' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


DAMAGES: list[tuple[bytes | dict[str, Any], str]] = [
    (b"", "expected JSON"),
    (b'{"trial_id": "00', "expected JSON"),
    (b"\xff\xfe\x00", "expected JSON"),
    (b"[1]", "expected a JSON object"),
    (b"[" * 100_000, "nested too deeply"),
    (b"{}", "it has no 'trial_id'"),
    ({"schema": 2}, "install a newer tuner_gan"),
    ({"trial_id": "0009"}, "not the trial of the folder"),
    ({"trial_id": 0}, "'trial_id' should be text, got 0"),
    ({"status": "UNREADABLE"}, "'status' should be one of COMPLETED"),
    ({"status": ["COMPLETED"]}, "'status' should be one of"),
    ({"origin": None}, "'origin' should be one of baseline, search, finalist, got None"),
    ({"score": "low"}, "'score' should be a finite number, got 'low'"),
    ({"score": True}, "'score' should be a finite number"),
    ({"score": 10**400}, "'score' should be a finite number"),
    ({"score": float("nan")}, "'score' should be a finite number, got nan"),
    ({"duration_s": float("inf")}, "'duration_s' should be a finite number"),
    ({"eval_s": "long"}, "'eval_s' should be a finite number, got 'long'"),
    ({"epochs": 1.5}, "'epochs' should be a whole number"),
    ({"epochs": True}, "'epochs' should be a whole number"),
    ({"seed": -1}, "'seed' should be a whole number"),
    ({"seed": 2**63}, "'seed' should be a whole number"),
    ({"started_at": "yesterday"}, "'started_at' should be an ISO 8601 time"),
    ({"started_at": "2026-11-23T18:00:00"}, "with a time zone"),
    ({"started_at": "0001-01-01T00:00:00+01:00"}, "'started_at' should be an ISO 8601 time"),
    ({"started_at": 5}, "'started_at' should be"),
    ({"hyperparameters": [1]}, "'hyperparameters' should be an object"),
    ({"hyperparameters": {"a": None}}, "'hyperparameters' should be an object"),
    ({"hyperparameters": {"a": float("inf")}}, "'hyperparameters' should be an object"),
    ({"metrics": {"fcd": "x"}}, "'metrics' should be an object of finite numbers"),
    ({"planned_epochs": 1.5}, "'planned_epochs' should be a whole number"),
    ({"promoted_from": 3}, "'promoted_from' should be text, got 3"),
    ({"executions": [{**record_json()["executions"][0], "finished": 1}]}, "'finished' should be true or false, got 1"),
    ({"flags": "collapsed"}, "'flags' should be a list of texts, got 'collapsed'"),
    ({"flags": ["collapsed", 3]}, "'flags' should be a list of texts"),
    ({"flags": {"collapsed": True}}, "'flags' should be a list of texts"),
    ({"flags": [["collapsed"]]}, "'flags' should be a list of texts"),
    ({"flags": False}, "'flags' should be a list of texts"),
    ({"message": 3}, "'message' should be text"),
    ({"executions": {}}, "'executions' should be a list"),
    ({"executions": [3]}, "expected a JSON object, got 3"),
    ({"executions": [{"execution": 0}]}, "it has no 'seed'"),
    ({"classes": {}}, "'classes' should be a list of objects"),
    ({"classes": ["cat"]}, "expected a JSON object, got 'cat'"),
    ({"classes": [{"name": "cat", "images": 6, "fcd": 0.5}]}, "it has no 'label_accuracy'"),
    ({"classes": [{**CLASSES[0], "name": 3}]}, "'name' should be text, got 3"),
    ({"classes": [{**CLASSES[0], "images": -1}]}, "'images' should be a whole number"),
    ({"classes": [{**CLASSES[0], "images": None}]}, "'images' should be a whole number"),
    ({"classes": [{**CLASSES[0], "fcd": float("nan")}]}, "'fcd' should be a finite number, got nan"),
    ({"classes": [{**CLASSES[0], "label_accuracy": "high"}]}, "'label_accuracy' should be a finite number"),
]


@pytest.mark.parametrize(("damage", "why"), DAMAGES)
def test_a_damaged_record_costs_only_its_own_trial(tmp_path: Path, damage: bytes | dict[str, Any], why: str) -> None:
    project = write_project(tmp_path / "demo", record_json("0000"), record_json("0001"))
    content = damage if isinstance(damage, bytes) else json.dumps({**record_json("0001"), **damage}).encode()
    (project / "trial_0001" / "record.json").write_bytes(content)
    with pytest.warns(UserWarning, match="Trial 0001 is left out of the ranking") as caught:
        read = read_project(project)
    assert len(caught) == 1
    good, bad = read.trials
    assert (good.trial_id, good.status) == ("0000", "COMPLETED")
    assert (bad.trial_id, bad.status, bad.origin, bad.score) == ("0001", "UNREADABLE", None, None)
    assert bad.message is not None
    assert why in bad.message
    assert bad.message in str(caught[0].message)
    assert rank(read.trials, "min") == [(1, good), (None, bad)]


NEWER = {"flags", "classes", "planned_epochs", "threads", "promoted_from", "ms_per_sample", *TIMES}
"""What records of an earlier version lack."""


@pytest.mark.parametrize("key", sorted(set(record_json()) - {"schema"} - NEWER))
def test_an_incomplete_record_is_unreadable(tmp_path: Path, key: str) -> None:
    content = record_json()
    del content[key]
    project = write_project(tmp_path / "demo")
    folder = project / "trial_0000"
    folder.mkdir()
    (folder / "record.json").write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=f"it has no '{key}'"):
        assert read_project(project).trials[0].status == "UNREADABLE"


def test_a_record_of_an_earlier_version_has_no_flags_and_no_classes(tmp_path: Path) -> None:
    content = record_json()
    del content["flags"], content["classes"]
    (trial,) = read_project(write_project(tmp_path / "demo", content)).trials
    assert (trial.status, trial.flags, trial.classes) == ("COMPLETED", (), ())
    assert (trial.to_json()["flags"], trial.to_json()["classes"]) == ([], [])


def test_classes_are_read_and_written_alike(tmp_path: Path) -> None:
    content = record_json("0003", classes=CLASSES)
    record = TrialRecord.from_json(content, write_trial(tmp_path, content))
    assert [one.name for one in record.classes] == ["cat", "dog", "emu"]
    assert record.classes[1] == ClassRecord("dog", 1, None, 1.0)
    assert record.to_json() == content


def test_flags_that_only_a_newer_version_knows_are_kept(tmp_path: Path) -> None:
    (trial,) = read_project(write_project(tmp_path / "demo", record_json(flags=["collapsed", "blurred"]))).trials
    assert (trial.status, trial.flags) == ("COMPLETED", ("collapsed", "blurred"))
    write_record(trial.folder, trial)
    assert json.loads((trial.folder / "record.json").read_text())["flags"] == ["collapsed", "blurred"]


def test_every_flag_that_can_be_raised_has_a_meaning() -> None:
    assert tuple(FLAG_MEANINGS) == FLAGS
    assert all(meaning.endswith(".") for meaning in FLAG_MEANINGS.values())


def test_a_record_that_is_a_folder_is_unreadable(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo")
    (project / "trial_0000" / "record.json").mkdir(parents=True)
    with pytest.warns(UserWarning, match="cannot be read"):
        assert read_project(project).trials[0].status == "UNREADABLE"


def test_text_that_utf8_cannot_hold_is_replaced(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", failed_json(message="no file \udc80.png"))
    assert read_project(project).trials[0].message == "no file ?.png"


def test_what_is_no_trial_is_passed_over(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", record_json("0002"))
    (project / "trial_0003").mkdir()
    (project / "trial_0003" / "trial.json").write_text("{}")
    (project / "trial_0004").write_text("a file")
    (project / "trial_").mkdir()
    (project / "best").mkdir()
    assert [trial.trial_id for trial in read_project(project).trials] == ["0002"]


def test_a_running_trial_is_interrupted_once_no_search_holds_the_folder(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", running_json("0000"), running_json("0001", message="out of memory"))
    first, second = read_project(project).trials
    assert (first.status, second.status) == ("INTERRUPTED", "INTERRUPTED")
    assert first.message == "The search stopped before this trial ended."
    assert second.message == "out of memory"
    with files.search_lock(project):
        during = read_project(project)
    assert during.searching
    assert [trial.status for trial in during.trials] == ["RUNNING", "RUNNING"]
    after = read_project(project)
    assert not after.searching
    assert [trial.status for trial in after.trials] == ["INTERRUPTED", "INTERRUPTED"]


def test_reading_writes_nothing_into_a_project_at_rest(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", record_json())
    before = sorted(project.rglob("*"))
    read_project(project)
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize("path", ["", os.fsdecode(b"im\xffages")])
def test_a_path_that_no_project_has_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(write_project(tmp_path / "runs"))
    with pytest.raises(ProjectError) as caught:
        read_project(path)
    assert str(caught.value) == f"Expected the folder of a search in UTF-8, such as runs/NAME, but got {path!r}."


def test_a_folder_that_is_no_project_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="nowhere does not exist: pass the folder of a search"):
        read_project(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="file is no folder that can be read"):
        read_project(tmp_path / "file")
    (tmp_path / "runs").mkdir()
    expected = (
        f"{tmp_path / 'runs'} is no tuner_gan project (it has no search.json): "
        "pass the folder of a search, such as runs/NAME."
    )
    with pytest.raises(ProjectError) as caught:
        read_project(str(tmp_path / "runs"))
    assert str(caught.value) == expected
    (tmp_path / "begun" / "classifier").mkdir(parents=True)
    with pytest.raises(ProjectError, match=r"begun has no search\.json yet: .* look again in a moment; if no"):
        read_project(tmp_path / "begun")
    for name in "dcab":
        write_project(tmp_path / "runs" / name)
    with pytest.raises(ProjectError) as caught:
        read_project(tmp_path / "runs")
    suggested = " or ".join(str(tmp_path / "runs" / name) for name in "abc")
    assert str(caught.value).endswith(f"such as {suggested}.")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"schema": 99}', b"{}", b'{"objective": "fcd"}'])
def test_a_damaged_search_json_is_warned_of(tmp_path: Path, content: bytes) -> None:
    project = write_project(tmp_path / "demo", record_json("0000", score=0.5), record_json("0001", score=0.25))
    (project / "search.json").write_bytes(content)
    with pytest.warns(UserWarning, match=r"search\.json"):
        read = read_project(project)
    assert (read.objective, read.direction, read.metrics, read.space, read.floor) == ("fcd", "min", [], [], None)
    assert read.rung_metrics == []
    assert [trial.trial_id for _, trial in rank(read.trials, read.direction)] == ["0001", "0000"]


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        ("objective", {"name": "fcd", "direction": "down"}),
        ("objective", {"direction": "max"}),
        ("space", []),
        ("space", {"hyperparameters": {"a": 1}}),
        ("space", {"hyperparameters": [{"kind": "Int"}]}),
        ("metrics", "fcd"),
        ("metrics", [1]),
        ("rung_metrics", "fcd"),
        ("finalists", [0]),
        ("rung_metrics", [None]),
        ("classifier", None),
    ],
)
def test_a_damaged_part_of_search_json_leaves_the_others(tmp_path: Path, part: str, damage: object) -> None:
    project = write_project(tmp_path / "demo", **{part: damage})
    with pytest.warns(UserWarning, match=f"'{part}'") as caught:
        read = read_project(project)
    assert len(caught) == 1
    assert dict(read.search) == {key: value for key, value in search_json().items() if key != part}


@pytest.mark.parametrize("floor", [None, 3, {}, {"fcd": "low"}, {"fcd": float("inf")}])
def test_a_floor_that_is_no_number_is_unknown(tmp_path: Path, floor: object) -> None:
    assert read_project(write_project(tmp_path / "demo", classifier={"floor": floor})).floor is None
    assert read_project(write_project(tmp_path / "good")).floor == 0.004


def made(trial_id: str, status: str, score: float | None, origin: str = "search") -> TrialRecord:
    return TrialRecord(Path(f"trial_{trial_id}"), trial_id, status, origin, score=score)


TRIALS = [
    made("9999", "COMPLETED", 0.5),
    made("10000", "COMPLETED", 0.5),
    made("0003", "COMPLETED", 0.2),
    made("0002", "COMPLETED", None),
    made("0004", "PRUNED", 0.1),
    made("0005", "PRUNED", 0.9),
    made("0000", "FAILED", 0.0),
    made("0001", "RUNNING", 0.0),
]


@pytest.mark.parametrize(
    ("direction", "order"),
    [("min", ["0003", "9999", "10000", "0004", "0005"]), ("max", ["9999", "10000", "0003", "0005", "0004"])],
)
def test_rank_puts_completed_before_pruned_and_the_rest_last(direction: str, order: list[str]) -> None:
    for trials in (TRIALS, TRIALS[::-1]):
        ranked = rank(trials, direction)
        assert [place for place, _ in ranked] == [1, 2, 3, 4, 5, None, None, None]
        assert [trial.trial_id for _, trial in ranked] == [*order, "0000", "0001", "0002"]
    assert rank([], direction) == []


FINALISTS = [
    made("final_0003", "COMPLETED", 0.6, "finalist"),
    made("final_9999", "COMPLETED", 0.7, "finalist"),
    made("final_10000", "FAILED", 0.1, "finalist"),
    made("final_0001", "PRUNED", 0.4, "finalist"),
]


def test_rank_puts_finalists_first_whatever_the_scores_of_trials() -> None:
    found = [trial.trial_id for place, trial in rank([*TRIALS, *FINALISTS], "min") if place is not None]
    assert found == ["final_0003", "final_9999", "0003", "9999", "10000", "0004", "final_0001", "0005"]
    assert rank([*TRIALS, *FINALISTS], "max")[0] == (1, FINALISTS[1])


def test_ids_that_are_no_numbers_come_after_all_that_are() -> None:
    trials = [made(trial_id, "FAILED", None) for trial_id in ("tutorial_conv", "10", "9", "0")]
    assert [trial.trial_id for _, trial in rank(trials, "min")] == ["0", "9", "10", "tutorial_conv"]


def test_trainings_are_those_that_have_a_score() -> None:
    executions = tuple(ExecutionRecord(index, score=score) for index, score in enumerate([0.1, None, 0.3]))
    assert dataclasses.replace(TRIALS[0], executions=executions).trainings == 2


def test_the_finalists_that_were_chosen(tmp_path: Path) -> None:
    assert read_project(write_project(tmp_path / "before")).finalists == []
    assert read_project(write_project(tmp_path / "after", finalists=["0003", "0001"])).finalists == ["0003", "0001"]


def trial_with(folder: Path, history: bytes) -> TrialRecord:
    folder.mkdir()
    (folder / "history.csv").write_bytes(history)
    return TrialRecord(folder, "0000", "COMPLETED", "search")


def test_history_rows_have_the_types_of_their_columns(tmp_path: Path) -> None:
    rows = read_history(trial_with(tmp_path / "lf", HISTORY.encode()))
    assert rows == read_history(trial_with(tmp_path / "crlf", HISTORY.replace("\n", "\r\n").encode()))
    assert rows[1] == {
        "execution": 0,
        "epoch": 2,
        "step": 186,
        "seconds": 3.0,
        "d_loss": 0.65,
        "g_loss": 0.95,
        "metric.fcd": 0.25,
        "metric.coverage": 0.5,
    }
    assert rows[0]["metric.fcd"] is None
    assert rows[2]["g_loss"] is None
    assert [type(value) for value in list(rows[1].values())[:4]] == [int, int, int, float]
    assert read_history(TrialRecord(tmp_path / "none", "0000", "RUNNING", "search")) == []
    quoted = trial_with(
        tmp_path / "quoted", b'execution,epoch,step,seconds,d_loss,g_loss,"metric.a,b"\n0,1,2,3,4,5,6\n'
    )
    assert read_history(quoted)[0]["metric.a,b"] == 6.0


@pytest.mark.parametrize(
    ("old", "new", "epochs"),
    [
        ("\n1,1,93,1.5,0.7,nan,,\n", "\n1,1,93,1.5,0.7,0.", [1, 2]),
        ("1,1,93,1.5,0.7,nan,,\n", "1,1,93,1.5,0.7,0.9,,1", [1, 2]),
        ("186", "x", [1, 1]),
        ("186", "1.5", [1, 1]),
        ("186", "-1", [1, 1]),
        ("186", "9" * 30, [1, 1]),
        ("0,2,186", "0,2", [1, 1]),
        ("0.65", "\xff", [1, 1]),
        ("0,2,186", "", [1, 1]),
    ],
)
def test_a_damaged_line_of_history_is_left_out(tmp_path: Path, old: str, new: str, epochs: list[int]) -> None:
    assert old in HISTORY
    trial = trial_with(tmp_path / "trial_0000", HISTORY.replace(old, new).encode("latin-1"))
    with pytest.warns(UserWarning, match=r"history\.csv is damaged: 1 of its lines cannot be read and is left out"):
        assert [row["epoch"] for row in read_history(trial)] == epochs


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00\x01",
        b"epoch,loss\n1,2\n",
        b"execution,epoch,step,seconds,d_loss,g_loss",
        b"execution,epoch,step,seconds,d_loss,g_loss,fcd\n0,1,2,3,4,5,6\n",
        b"execution,epoch,step,seconds,d_loss,g_loss,metric.a,metric.a\n0,1,2,3,4,5,6,7\n",
    ],
)
def test_a_history_with_a_wrong_header_has_no_rows(tmp_path: Path, content: bytes) -> None:
    trial = trial_with(tmp_path / "trial_0000", content)
    with pytest.warns(UserWarning, match="trial 0000 has no history"):
        assert read_history(trial) == []


def test_a_history_that_is_a_folder_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "history.csv").mkdir()
    with pytest.warns(UserWarning, match="cannot be read"):
        assert read_history(TrialRecord(tmp_path, "0000", "FAILED", "search")) == []


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(HISTORY)))
def test_no_history_raises(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    folder = tmp_path_factory.mktemp("noise")
    (folder / "history.csv").write_bytes(HISTORY.encode()[:at] + noise + HISTORY.encode()[at:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        rows = read_history(TrialRecord(folder, "0000", "COMPLETED", "search"))
    assert all(len(row) == 8 or at < HISTORY.index("\n") + 1 for row in rows)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 900), st.integers(0, 40))
def test_no_record_raises(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, lost: int) -> None:
    folder = write_project(tmp_path_factory.mktemp("noise"), record_json())
    path = folder / "trial_0000" / "record.json"
    content = path.read_bytes()
    path.write_bytes(content[:at] + noise + content[at + lost :])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        (trial,) = read_project(folder).trials
    assert trial.status in ("UNREADABLE", "COMPLETED")
