from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from project_folders import (
    CLASSES,
    HISTORY,
    METRICS,
    RUNG_METRICS,
    SPACE,
    failed_json,
    record_json,
    running_json,
    write_project,
    write_trial,
)

from tuner_gan import files, results
from tuner_gan.cli import main
from tuner_gan.errors import ConfigError, ProjectError, SelectionError
from tuner_gan.results.display import render
from tuner_gan.results.records import FLAG_MEANINGS, read_project
from tuner_gan.results.tables import COLUMNS, Column, select, trials_table

TIME = "datetime64[us, UTC]"
TRIALS = {
    "rank": "Int64",
    "trial_id": "string",
    "status": "string",
    "origin": "string",
    "score": "Float64",
    "score_std": "Float64",
    "executions": "Int64",
    "best_epoch": "Int64",
    "epochs": "Int64",
    "started_at": TIME,
    "duration_s": "Float64",
    "build_s": "Float64",
    "compile_s": "Float64",
    "eval_s": "Float64",
    "save_s": "Float64",
    "seed": "Int64",
    "generator_params": "Int64",
    "discriminator_params": "Int64",
    "ms_per_sample": "Float64",
    "hp.generator_depth": "Int64",
    "hp.generator_lr": "Float64",
    "hp.generator_width_2": "Int64",
    "hp.normalisation": "string",
    "hp.batch_size": "Int64",
    "hp.average": "boolean",
    "hp.latent": "Int64",
    "metric.fcd": "Float64",
    "metric.classifier_score": "Float64",
    "metric.class_kl": "Float64",
    "metric.coverage": "Float64",
    "checkpoint": "string",
    "samples": "string",
    "flags": "string",
    "message": "string",
}
METRIC_DTYPES = {f"metric.{name}": "Float64" for name in METRICS}
EXECUTIONS = {
    "trial_id": "string",
    "execution": "Int64",
    "seed": "Int64",
    "score": "Float64",
    "best_epoch": "Int64",
    "epochs": "Int64",
    "duration_s": "Float64",
    "build_s": "Float64",
    "compile_s": "Float64",
    "eval_s": "Float64",
    "save_s": "Float64",
    **METRIC_DTYPES,
}
HISTORY_DTYPES = {
    "trial_id": "string",
    "execution": "Int64",
    "epoch": "Int64",
    "step": "Int64",
    "seconds": "Float64",
    "d_loss": "Float64",
    "g_loss": "Float64",
    **{f"metric.{name}": "Float64" for name in RUNG_METRICS},
}
CLASS_DTYPES = {
    "trial_id": "string",
    "class": "string",
    "images": "Int64",
    "fcd": "Float64",
    "label_accuracy": "Float64",
}


def dtypes(table: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(dtype) for name, dtype in table.dtypes.items()}


@pytest.mark.parametrize(
    "records",
    [
        [],
        [record_json()],
        [record_json("0000"), record_json("0001", score=0.5)],
        [failed_json("0000"), failed_json("0001", started_at=None, hyperparameters={})],
        [running_json()],
        [record_json(status="PRUNED")],
        [record_json(classes=CLASSES)],
    ],
    ids=["empty", "one", "two", "all failed", "interrupted", "pruned only", "conditional"],
)
def test_columns_and_dtypes_are_the_same_in_every_search(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    found = results.load(write_project(tmp_path / "demo", *records))
    assert list(dtypes(found.trials()).items()) == list(TRIALS.items())
    assert list(dtypes(found.executions()).items()) == list(EXECUTIONS.items())
    assert list(dtypes(found.history()).items()) == list(HISTORY_DTYPES.items())
    for record in records:
        assert list(dtypes(found.classes(record["trial_id"])).items()) == list(CLASS_DTYPES.items())
    assert len(found.trials()) == len(found) == len(records)
    assert isinstance(found.trials().index, pd.RangeIndex)


def test_every_fixed_column_is_documented_in_its_place() -> None:
    def expand(columns: tuple[Column, ...], hps: list[str], metrics: list[str] = METRICS) -> list[str]:
        stars = {"hp.*": hps, "metric.*": [f"metric.{name}" for name in metrics]}
        return [name for column in columns for name in stars.get(column.name, [column.name])]

    assert expand(COLUMNS["trials"], [name for name in TRIALS if name.startswith("hp.")]) == list(TRIALS)
    assert expand(COLUMNS["executions"], []) == list(EXECUTIONS)
    assert expand(COLUMNS["history"], [], RUNG_METRICS) == list(HISTORY_DTYPES)
    assert expand(COLUMNS["classes"], []) == list(CLASS_DTYPES)
    assert expand(COLUMNS["importance"], []) == ["name", "importance", "std"]
    assert all(column.meaning and column.dtype for columns in COLUMNS.values() for column in columns)
    (flags,) = (column.meaning for column in COLUMNS["trials"] if column.name == "flags")
    assert all(flag in flags for flag in FLAG_MEANINGS)


def test_values_of_a_trial(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", record_json("0000", score=0.5), failed_json("0001"))
    best = write_trial(project, record_json("0002", score=0.25, started_at="2026-11-23T20:00:00.5+02:00"))
    (best / "generator.keras").write_bytes(b"")
    (best / "samples.png").write_bytes(b"")
    table = results.load(project).trials()
    assert table["rank"].tolist() == [1, 2, pd.NA]
    assert table["trial_id"].tolist() == ["0002", "0000", "0001"]
    assert table["started_at"][0] == pd.Timestamp("2026-11-23T18:00:00.5Z")
    row = table.iloc[0]
    assert (row["score"], row["executions"], row["seed"], row["duration_s"]) == (0.25, 1, 123456789, 31.25)
    assert (row["hp.generator_depth"], row["hp.average"], row["hp.normalisation"]) == (2, True, "batch")
    assert row["hp.generator_width_2"] is pd.NA
    assert (row["metric.fcd"], row["metric.coverage"]) == (0.25, 0.75)
    assert row["checkpoint"] == str(project / "trial_0002" / "generator.keras")
    assert row["samples"] == str(project / "trial_0002" / "samples.png")
    assert table["checkpoint"].isna().tolist() == [False, True, True]
    assert table["message"].tolist() == [pd.NA, pd.NA, "generator loss is NaN at epoch 3"]
    assert table["executions"].tolist() == [1, 1, 0]


def test_times_of_trials_and_executions(tmp_path: Path) -> None:
    names = ["build_s", "compile_s", "eval_s", "save_s"]
    old = record_json("0001", score=0.5)
    for part in (old, *old["executions"]):
        for name in names:
            del part[name]
    found = results.load(write_project(tmp_path / "demo", record_json("0000"), old))
    for table in (found.trials(), found.executions()):
        assert [table[name][0] for name in names] == [0.5, 4.0, 2.5, 1.25]
        assert all(table[name][1] is pd.NA for name in names)
    assert dtypes(found.trials()) == TRIALS
    assert dtypes(found.executions()) == EXECUTIONS


def test_classes_of_a_trial(tmp_path: Path) -> None:
    other = record_json("0001", score=0.9)
    found = results.load(write_project(tmp_path / "demo", record_json("0000", classes=CLASSES), other))
    table = found.classes()
    pd.testing.assert_frame_equal(table, found.classes("0"))
    assert json.loads(render(table, "json")) == [
        {"trial_id": "0000", "class": "cat", "images": 6, "fcd": 0.5, "label_accuracy": 0.75},
        {"trial_id": "0000", "class": "dog", "images": 1, "fcd": None, "label_accuracy": 1.0},
        {"trial_id": "0000", "class": "emu", "images": 0, "fcd": None, "label_accuracy": None},
    ]
    assert found.classes("0001").empty  # not conditional, or not scored yet
    with pytest.raises(SelectionError, match="There is no trial 'x'"):
        found.classes("x")


def test_flags_are_one_text(tmp_path: Path) -> None:
    flags = [["memorising", "collapsed"], [], ["blurred"]]
    records = [record_json(f"000{i}", score=i / 10, flags=flag) for i, flag in enumerate(flags)]
    table = results.load(write_project(tmp_path / "demo", *records)).trials()
    assert table["flags"].tolist() == ["memorising, collapsed", pd.NA, "blurred"]


def test_paths_start_as_the_folder_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = write_project(tmp_path / "demo", record_json())
    (project / "trial_0000" / "samples.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    found = results.load("demo")
    assert found.folder == Path("demo")
    assert found.trials()["samples"][0] == str(Path("demo/trial_0000/samples.png"))


def test_an_unreadable_trial_stays_in_the_table(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", record_json("0000"), record_json("0001"))
    (project / "trial_0001" / "record.json").write_text("{")
    with pytest.warns(UserWarning, match="Trial 0001"):
        table = results.load(project).trials()
    assert dtypes(table) == TRIALS
    assert table["status"].tolist() == ["COMPLETED", "UNREADABLE"]
    assert "expected JSON" in table["message"][1]
    known = {"trial_id", "status", "message"}
    assert table.drop(columns=list(known)).loc[1].isna().all()


def test_without_search_json_columns_follow_from_the_records(tmp_path: Path) -> None:
    values = {"width": 3, "tuner/epochs": 2, "mixed": 1, "ratio": 0.5, "norm": "batch", "flag": False}
    project = write_project(
        tmp_path / "demo",
        record_json("0000", hyperparameters=values, metrics={"kid": 1, "fcd": 2.0}),
        record_json("0001", hyperparameters={"mixed": "a", "ratio": 1}, metrics={}),
    )
    (project / "search.json").write_text("damaged")
    with pytest.warns(UserWarning, match=r"search\.json"):
        table = results.load(project).trials()
    names = [name for name in table.columns if "." in name]
    assert names == ["hp.flag", "hp.mixed", "hp.norm", "hp.ratio", "hp.width", "metric.fcd", "metric.kid"]
    assert [str(table[name].dtype) for name in names[:5]] == ["boolean", "string", "string", "Float64", "Int64"]
    assert table["hp.mixed"].tolist() == ["1", "a"]


def test_hyperparameters_beyond_the_space_come_after_it(tmp_path: Path) -> None:
    project = write_project(
        tmp_path / "demo",
        record_json(hyperparameters={"z": 1, "a": 2, "generator_depth": 3, "tuner/bracket": 1}),
        space={"hyperparameters": [*SPACE, {"name": "tuner/epochs", "kind": "Int"}]},
    )
    names = [name for name in results.load(project).trials().columns if name.startswith("hp.")]
    assert names == [*[name for name in TRIALS if name.startswith("hp.")], "hp.a", "hp.z"]


@pytest.mark.parametrize(
    ("entry", "values", "dtype", "expected"),
    [
        ({"kind": "Int"}, [1, None], "Int64", [1, pd.NA]),
        ({"kind": "Int"}, [1, 2.5], "string", ["1", "2.5"]),
        ({"kind": "Int"}, [1, True], "string", ["1", "True"]),
        ({"kind": "Int"}, [1, 2**70], "string", ["1", str(2**70)]),
        ({"kind": "Int"}, [1, "two"], "string", ["1", "two"]),
        ({"kind": "Float"}, [1, 0.5], "Float64", [1.0, 0.5]),
        ({"kind": "Float"}, [2**53, 0.5], "Float64", [float(2**53), 0.5]),
        ({"kind": "Float"}, [2**53 + 1, 0.5], "string", [str(2**53 + 1), "0.5"]),  # which a float would round
        ({"kind": "Float"}, [10**400, 0.5], "string", [str(10**400), "0.5"]),
        ({"kind": "Float"}, ["x", None], "string", ["x", pd.NA]),
        ({"kind": "Boolean"}, [True, None], "boolean", [True, pd.NA]),
        ({"kind": "Boolean"}, [True, 0], "string", ["True", "0"]),
        ({"kind": "Choice", "values": ["a", "b"]}, ["a", None], "string", ["a", pd.NA]),
        ({"kind": "Choice", "values": [1, 2]}, [None, None], "Int64", [pd.NA, pd.NA]),
        ({"kind": "Choice", "values": [0, 0.5]}, [0, 0.5], "Float64", [0.0, 0.5]),
        ({"kind": "Choice", "values": [1, "a"]}, [1, None], "string", ["1", pd.NA]),
        ({"kind": "Choice", "values": "damaged"}, [1, None], "Int64", [1, pd.NA]),
        ({"kind": "Choice", "values": [[1]]}, [None, None], "string", [pd.NA, pd.NA]),
        ({"kind": "Fixed", "value": True}, [None, None], "boolean", [pd.NA, pd.NA]),
        ({"kind": "Fixed", "value": "a"}, [None, None], "string", [pd.NA, pd.NA]),
        ({"kind": ["Int"]}, [1, None], "Int64", [1, pd.NA]),
        ({}, [None, None], "string", [pd.NA, pd.NA]),
    ],
)
def test_dtype_of_a_hyperparameter(
    tmp_path: Path, entry: dict[str, Any], values: list[Any], dtype: str, expected: list[Any]
) -> None:
    records = [
        record_json(f"000{i}", hyperparameters={} if value is None else {"it": value}) for i, value in enumerate(values)
    ]
    project = write_project(tmp_path / "demo", *records, space={"hyperparameters": [{"name": "it", **entry}]})
    column = results.load(project).trials()["hp.it"]
    assert str(column.dtype) == dtype
    assert column.tolist() == expected


def test_a_higher_score_is_better_when_the_search_says_so(tmp_path: Path) -> None:
    records = [record_json(f"000{i}", score=score) for i, score in enumerate([0.1, 0.9, 0.5])]
    objective = {"name": "coverage", "direction": "max"}
    found = results.load(write_project(tmp_path / "demo", *records, objective=objective))
    assert found.trials()["score"].tolist() == [0.9, 0.5, 0.1]
    assert found.best.trial_id == "0001"
    assert repr(found) == f"SearchResults({str(tmp_path / 'demo')!r}: 3 trials, best 0001 with coverage 0.9)"


def test_executions_and_history(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", failed_json("0001"))
    write_trial(project, record_json("0000"), HISTORY)
    write_trial(project, record_json("0002"), HISTORY.replace("coverage", "kid"))
    found = results.load(project)
    executions = found.executions()
    assert executions["trial_id"].tolist() == ["0000", "0002"]
    columns = ["execution", "seed", "score", "metric.coverage"]
    assert executions[columns].to_numpy()[0].tolist() == [0, 7, 0.11, 0.75]
    assert executions["metric.class_kl"].isna().all()
    history = found.history()
    assert history["trial_id"].tolist() == ["0000"] * 3 + ["0002"] * 3
    assert history["epoch"].tolist() == [1, 2, 1] * 2
    assert history["metric.fcd"].tolist() == [pd.NA, 0.25, pd.NA] * 2
    assert history["g_loss"].isna().tolist() == [False, False, True] * 2
    assert list(history.columns) == [*HISTORY_DTYPES, "metric.kid"]
    pd.testing.assert_frame_equal(
        found.history("2"), history[history["trial_id"] == "0002"].reset_index(drop=True), check_like=True
    )
    assert found.history("0001").empty
    assert dtypes(found.history("0001")) == HISTORY_DTYPES


HEADER = "execution,epoch,step,seconds,d_loss,g_loss"


@pytest.mark.parametrize(
    ("announced", "header", "expected"),
    [
        (["kid", "fcd"], "metric.fcd", ["kid", "fcd"]),
        (["fcd"], "metric.mind,metric.fcd,metric.kid", ["fcd", "kid", "mind"]),
        (["fcd", "kid"], "metric.mind", ["fcd", "kid", "mind"]),
        (["fcd"], "", ["fcd"]),
        ([], "metric.kid", ["kid"]),
        ([], "", []),
        (None, "metric.mind,metric.coverage", [*METRICS, "mind"]),
    ],
    ids=["fewer", "more", "others", "none in the file", "none announced", "none at all", "an earlier version"],
)
def test_history_has_the_metrics_of_the_rungs_and_what_else_was_found(
    tmp_path: Path, announced: list[str] | None, header: str, expected: list[str]
) -> None:
    names = header.split(",") if header else []
    rows = [",".join(["0,1,93,1.5,0.7,0.9", *(cell for _ in names)]) for cell in ("0.5", "")]
    project = write_project(tmp_path / "demo", rung_metrics=announced)
    if announced is None:
        search = json.loads((project / "search.json").read_text())
        del search["rung_metrics"]
        (project / "search.json").write_text(json.dumps(search))
    write_trial(project, record_json("0000"), "\n".join([",".join([HEADER, *names]), *rows, ""]))
    history = results.load(project).history()
    assert [name for name in history.columns if name.startswith("metric.")] == [f"metric.{name}" for name in expected]
    for name in expected:
        assert str(history[f"metric.{name}"].dtype) == "Float64"
        assert history[f"metric.{name}"].tolist() == ([0.5, pd.NA] if f"metric.{name}" in names else [pd.NA, pd.NA])
    # What a search measures at its end only is no column of the history, but one of the trials.
    assert "metric.class_kl" in results.load(project).trials()


def test_trials_of_one_project_may_have_different_metrics_in_their_histories(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", rung_metrics=["fcd"])
    write_trial(project, record_json("0000"), f"{HEADER},metric.fcd\n0,1,93,1.5,0.7,0.9,0.25\n")
    write_trial(project, record_json("0001"), f"{HEADER},metric.kid\n0,1,93,1.5,0.7,0.9,0.5\n")
    write_trial(project, record_json("0002"), f"{HEADER}\n0,1,93,1.5,0.7,0.9\n")
    history = results.load(project).history()
    assert history["metric.fcd"].tolist() == [0.25, pd.NA, pd.NA]
    assert history["metric.kid"].tolist() == [pd.NA, 0.5, pd.NA]


def test_load_reads_once(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", record_json("0000"))
    found = results.load(project)
    write_trial(project, record_json("0001"))
    assert (len(found), len(results.load(project))) == (1, 2)
    with pytest.raises(ProjectError, match="does not exist"):
        results.load(tmp_path / "other")


def test_config_classifier_and_records(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", failed_json("0000"), record_json("0001"))
    found = results.load(str(project))
    assert found.config == json.loads((project / "search.json").read_text())
    assert found.classifier == {"fingerprint": "cd", "accuracy": 0.98, "floor": {"fcd": 0.004}}
    (project / "classifier").mkdir()
    (project / "classifier" / "card.json").write_text('{"accuracy": 0.5}')
    assert found.classifier == {"accuracy": 0.5}
    (project / "classifier" / "card.json").write_text("{")
    with pytest.warns(UserWarning, match=r"card\.json is damaged"):
        assert found.classifier["accuracy"] == 0.98
    assert [trial.trial_id for trial in found.records] == ["0001", "0000"]
    assert found.best is found.records[0]
    assert bool(results.load(write_project(tmp_path / "empty")))


def test_a_trial_is_found_by_its_id(tmp_path: Path) -> None:
    records = [record_json(trial_id) for trial_id in ("0007", "07", "0003", "0000", "a1")]
    found = results.load(write_project(tmp_path / "demo", *records))
    for asked, trial_id in {"0007": "0007", "07": "07", "3": "0003", "0": "0000", "a1": "a1", "best": "0000"}.items():
        assert found.trial(asked).trial_id == trial_id
    for unknown in ("7", "8", "1", "", "Best"):
        with pytest.raises(SelectionError, match="choose best or one of 0000, 0003, 0007, 07, a1"):
            found.trial(unknown)
    for no_text in (3, None, ["0003"]):
        with pytest.raises(SelectionError, match=r"^A trial's id must be text, such as 'best' or '0003', but got "):
            found.classes(no_text)  # type: ignore[arg-type]
    with pytest.raises(SelectionError, match="has no trial yet"):
        results.load(write_project(tmp_path / "empty")).trial("3")
    many = results.load(write_project(tmp_path / "many", *(record_json(f"{i:04}") for i in range(23))))
    with pytest.raises(SelectionError, match="0018, 0019 and 3 more"):
        many.history("x")


def test_no_best_says_why(tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match="has no trial yet: let the search run"):
        _ = results.load(write_project(tmp_path / "empty")).best
    records = [failed_json("0000", message="a"), failed_json("0001"), failed_json("0002"), running_json("0003")]
    found = results.load(write_project(tmp_path / "failed", *records))
    with pytest.raises(SelectionError) as caught:
        found.trial("best")
    assert str(caught.value) == (
        f"{tmp_path / 'failed'} has no trial with a score among its 4 trials (3 FAILED, 1 INTERRUPTED); "
        "the most frequent reason is: generator loss is NaN at epoch 3"
    )
    assert repr(found).endswith("4 trials, none ranked)")
    running = write_project(tmp_path / "running", running_json())
    with files.search_lock(running), pytest.raises(SelectionError, match=r"among its 1 trial \(1 RUNNING\)$"):
        _ = results.load(running).best


def test_html_is_escaped(tmp_path: Path) -> None:
    found = results.load(write_project(tmp_path / "demo", failed_json(message="<script>")))
    page = found._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_select(tmp_path: Path) -> None:
    records = [record_json(f"000{i}", score=score) for i, score in enumerate([0.3, 0.1, 0.2])]
    table = results.load(write_project(tmp_path / "demo", *records, failed_json("0003"))).trials()
    assert select(table).equals(table)
    assert select(table, sort="score")["score"].tolist() == [0.1, 0.2, 0.3, pd.NA]
    assert select(table, sort="-score")["score"].tolist() == [0.3, 0.2, 0.1, pd.NA]
    chosen = select(table, columns=["trial_id", "score", "trial_id"], sort="-score", top=2)
    assert chosen.to_dict("list") == {"trial_id": ["0000", "0002"], "score": [0.3, 0.2]}
    assert select(table, columns=["trial_id"], sort="-score", top=9)["trial_id"].tolist()[-1] == "0003"
    assert dtypes(select(table, sort="-started_at", top=1)) == TRIALS
    assert table["trial_id"].tolist() == ["0001", "0002", "0000", "0003"]
    assert select(table, columns=table.columns[:2], top=np.int64(2)).shape == (2, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", ["rank", "", [], ["rank", 3], 3])
def test_what_is_no_list_of_columns_is_refused(tmp_path: Path, columns: Any) -> None:
    found = results.load(write_project(tmp_path / "demo", record_json()))
    message = f"Expected a list of columns, such as ['rank', 'score'], got {columns!r}."
    for text in (found.to_markdown, found.to_latex):
        with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
            text(columns)


@pytest.mark.parametrize("top", [0, 2.5, "3", True])
def test_what_is_no_number_of_rows_is_refused(tmp_path: Path, top: Any) -> None:
    found = results.load(write_project(tmp_path / "demo", record_json()))
    with pytest.raises(ConfigError, match=f"^Expected at least 1 row to show, got {re.escape(repr(top))}: "):
        found.to_markdown(["rank"], top)


def test_select_keeps_equal_rows_in_their_order() -> None:
    ranks = list(range(200))
    table = pd.DataFrame({"rank": ranks, "epochs": pd.array([rank % 2 for rank in ranks], dtype="Int64")})
    assert select(table, sort="epochs")["rank"].tolist() == [*ranks[::2], *ranks[1::2]]
    assert select(table, sort="-epochs")["rank"].tolist() == [*ranks[1::2], *ranks[::2]]


@pytest.mark.parametrize(
    ("sort", "direction", "descending"),
    [
        ("metric.coverage", "min", True),
        ("metric.second_classifier_score", "min", True),
        ("metric.class_kl", "min", False),
        ("metric.vendi", "min", False),  # the best is that of real images, whatever it is
        ("metric.mine", "min", False),
        ("hp.recall", "min", False),
        ("seed", "max", False),
        ("score", "max", True),
        ("-score", "max", True),
        ("-metric.coverage", "min", True),
    ],
)
def test_select_sorts_the_best_scores_first(sort: str, direction: str, descending: bool) -> None:
    name = sort.removeprefix("-")
    table = pd.DataFrame({name: pd.array([0.25, None, 1.0, 0.5], dtype="Float64")})
    found = select(table, sort=sort, direction=direction)[name].tolist()
    assert found == [*sorted([0.25, 0.5, 1.0], reverse=descending), pd.NA]
    assert select(table, sort=sort, top=1, direction=direction)[name].tolist() == [1.0 if descending else 0.25]


def test_trials_are_sorted_with_the_best_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"0000": 0.25, "0001": 0.75, "0002": 0.5}
    records = [record_json(name, score=score, metrics={"coverage": score}) for name, score in scores.items()]
    folder = write_project(tmp_path / "demo", *records, objective={"name": "coverage", "direction": "max"})
    for column in ("score", "metric.coverage"):
        arguments = ["--sort", column, "--top", "2", "--columns", "trial_id", "--format", "csv"]
        assert main(["trials", str(folder), *arguments]) == 0
        assert capsys.readouterr().out.split() == ["trial_id", "0001", "0002"]


def test_select_names_the_closest_column(tmp_path: Path) -> None:
    table = results.load(write_project(tmp_path / "demo")).trials()
    with pytest.raises(SelectionError, match="no column 'scor': did you mean 'score'"):
        select(table, sort="-scor")
    with pytest.raises(SelectionError, match=r"no column 'fcd': did you mean 'metric\.fcd'"):
        select(table, columns=["rank", "fcd"])
    with pytest.raises(SelectionError, match=r"no column 'lr': did you mean 'hp\.lr'"):
        select(pd.DataFrame(columns=["hp.lr", "rank"]), sort="lr")
    with pytest.raises(SelectionError, match="no column '': The columns are rank, trial_id, status"):
        select(table, columns=[""])
    for top in (0, -3):
        with pytest.raises(ConfigError, match=f"at least 1 row to show, got {top}"):
            select(table, top=top)


NAMES = st.sampled_from(["generator_depth", "generator_lr", "normalisation", "average", "other", "tuner/epochs"])
LINE = st.characters(codec="utf-8", exclude_characters="\r\x00")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(LINE, min_size=1, max_size=6)


@st.composite
def generated(draw: st.DrawFn) -> list[dict[str, Any]]:
    values = st.fixed_dictionaries(
        {},
        optional={
            "generator_depth": st.integers(-(2**63), 2**63 - 1),
            "generator_lr": NUMBERS,
            "normalisation": TEXT,
            "average": st.booleans(),
            "other": st.integers() | TEXT | NUMBERS | st.booleans(),
        },
    )
    return [
        record_json(
            f"{i:04}",
            status=draw(st.sampled_from(["COMPLETED", "PRUNED", "FAILED"])),
            score=draw(NUMBERS),
            duration_s=draw(st.none() | NUMBERS),
            seed=draw(st.none() | st.integers(0, 2**31 - 1)),
            flags=draw(st.lists(st.sampled_from(["memorising", "collapsed", "blurred"]), max_size=3)),
            message=draw(st.none() | TEXT),
            hyperparameters=draw(values),
            metrics=draw(st.dictionaries(st.sampled_from(METRICS), NUMBERS)),
        )
        for i in range(draw(st.integers(0, 4)))
    ]


def read_cell(cell: str, dtype: str) -> Any:
    readers: dict[str, Any] = {"Int64": int, "Float64": float, "boolean": lambda text: text == "True"}
    return readers.get(dtype, pd.Timestamp if dtype == TIME else str)(cell)


@settings(max_examples=25, deadline=None)
@given(generated())
def test_tables_and_csv_keep_values_and_dtypes(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]
) -> None:
    table = trials_table(read_project(write_project(tmp_path_factory.mktemp("demo"), *records)))
    kept = {name: dtype for name, dtype in dtypes(table).items() if name != "hp.other"}
    assert kept == TRIALS
    assert sorted(table["trial_id"]) == [record["trial_id"] for record in records]
    for _, row in table.iterrows():
        record = records[int(str(row["trial_id"]))]
        for name in ("status", "score", "duration_s", "seed", "message"):
            assert record[name] == (None if row[name] is pd.NA else row[name])
        assert record["flags"] == ([] if row["flags"] is pd.NA else row["flags"].split(", "))
        for name in TRIALS:
            kind, _, key = name.partition(".")
            if key:
                value = record["hyperparameters" if kind == "hp" else "metrics"].get(key, pd.NA)
                assert row[name] is value or row[name] == value
    header, *lines = csv.reader(io.StringIO(render(table, "csv"), newline=""))
    assert header == list(table.columns)
    assert len(lines) == len(table)
    for i, line in enumerate(lines):
        for name, cell in zip(header, line, strict=True):
            value = table[name][i]
            assert cell == "" if pd.isna(value) else read_cell(cell, str(table[name].dtype)) == value
