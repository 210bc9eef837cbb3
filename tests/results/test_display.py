from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from project_folders import SPACE, failed_json, record_json, write_project, write_trial
from rich.cells import cell_len
from screens import shown, words

from tuner_gan import results
from tuner_gan.errors import ConfigError
from tuner_gan.results.display import render, rich_table
from tuner_gan.results.tables import select

NOW = datetime(2026, 11, 23, 18, 0, 30, 123456, tzinfo=UTC)


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    project = write_project(
        tmp_path / "demo",
        record_json("0000", score=0.123456, origin="baseline"),
        record_json("0001", score=0.5),
        failed_json("0002", message="a | b [red]\r\nnext, \\line"),
    )
    return results.load(project).trials()


def test_json(table: pd.DataFrame) -> None:
    rows = json.loads(render(table, "json"))
    assert [list(row) for row in rows] == [list(table.columns)] * 3
    assert rows[0]["score"] == 0.123456
    assert rows[0]["started_at"] == "2026-11-23T18:00:00.123456+00:00"
    assert (rows[0]["rank"], rows[0]["hp.average"], rows[0]["hp.generator_width_2"]) == (1, True, None)
    assert rows[2]["message"] == "a | b [red]\r\nnext, \\line"
    assert rows[2]["score"] is None
    odd = pd.DataFrame({"x": [float("nan"), float("inf")], "t": [pd.NaT, pd.Timestamp("2026-01-01")]})
    assert json.loads(render(odd, "json")) == [{"x": None, "t": None}, {"x": None, "t": "2026-01-01T00:00:00"}]


def test_csv(table: pd.DataFrame) -> None:
    chosen = select(table, ["trial_id", "rank", "started_at", "hp.average", "message"])
    assert render(chosen, "csv") == (
        "trial_id,rank,started_at,hp.average,message\n"
        "0000,1,2026-11-23T18:00:00.123456+00:00,True,\n"
        "0001,2,2026-11-23T18:00:00.123456+00:00,True,\n"
        '0002,,2026-11-23T18:00:00.123456+00:00,True,"a | b [red]\nnext, \\line"\n'
    )


def test_markdown(table: pd.DataFrame) -> None:
    assert render(select(table, ["trial_id", "score", "started_at", "message"]), "markdown") == (
        "| trial_id | score | started_at | message |\n"
        "| --- | ---: | --- | --- |\n"
        "| 0000 | 0.1235 | 2026-11-23 18:00:00 |  |\n"
        "| 0001 | 0.5 | 2026-11-23 18:00:00 |  |\n"
        "| 0002 |  | 2026-11-23 18:00:00 | a \\| b [red]  next, \\\\line |\n"
    )


def test_an_empty_table_keeps_its_header(tmp_path: Path) -> None:
    empty = results.load(write_project(tmp_path / "demo")).trials()
    assert render(empty, "csv") == ",".join(empty.columns) + "\n"
    assert render(empty, "json") == "[]\n"
    assert render(empty, "markdown").count("\n") == 2
    assert {"rank", "trial_id", "status", "origin", "score"} <= words(shown(rich_table(empty)))


def test_an_unknown_format_is_named(table: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="one of the formats csv, json, markdown, got 'xml'"):
        render(table, "xml")


def test_a_whole_table_of_trials_fits_the_terminal(table: pd.DataFrame) -> None:
    for width in (80, 100, 160):
        text = shown(rich_table(table, width), width)
        assert max(cell_len(line) for line in text.splitlines()) <= width
        assert {"rank", "trial_id", "COMPLETED", "FAILED", "baseline", "0.1235", "0002"} <= words(text)
        assert len(text.splitlines()) < 12
    headers = [str(column.header).replace("\n", "") for column in rich_table(table).columns]
    assert headers[:5] == ["rank", "trial_id", "status", "origin", "score"]
    assert not {"message", "metric.fcd"} & set(headers)
    assert shown(rich_table(table)).splitlines()[-1].strip() == "1 failed: a | b [red]  next, \\line"
    wide = [str(column.header).replace("\n", "") for column in rich_table(table, 1000).columns]
    assert {"metric.class_kl", "duration_s", "epochs", "hp.generator_depth", "hp.generator_lr"} <= set(wide)
    assert not {"build_s", "compile_s", "eval_s", "save_s"} & set(wide)
    assert "hp.latent" not in wide
    assert "checkpoint" not in wide


FULL = {  # what a search with a labelled data set measures
    "fcd": 0.2, "fcd_se": 0.001, "fcd_infinity": 0.19, "kid": 0.01, "kid_se": 0.001, "mind": 0.3, "precision": 0.8123,
    "recall": 0.7234, "density": 0.9, "coverage": 0.8345, "vendi": 12.3, "nn_accuracy": 0.6, "nn_real": 0.55,
    "nn_fake": 0.65, "authenticity": 71.5, "memorisation": -0.4, "classifier_score": 8.1, "classifier_score_std": 0.1,
    "modified_classifier_score": 1.5, "class_kl": 0.0123, "modes": 10.0, "second_fcd": 0.21,
    "second_classifier_score": 8.0, "made_up": 3.0,
}  # fmt: skip
TUTORIALS = ("tutorial_dense", "tutorial_dcgan")


def full_table(folder: Path, *flags: list[str], metrics: dict[str, float] = FULL, **search: Any) -> pd.DataFrame:
    """A table of trials with every metric; the two first trials are the tutorials, which have the longest ids."""
    records = [
        record_json(
            trial_id,
            score=metrics[search.get("objective", {"name": "fcd"})["name"]] + i,
            origin="baseline" if trial_id in TUTORIALS else "search",
            metrics={name: value + i for name, value in metrics.items()},
            hyperparameters={"generator_depth": i, "generator_lr": 2e-4, "average": True},
            flags=flag,
        )
        for i, (trial_id, flag) in enumerate(zip((*TUTORIALS, "0000", "0001"), flags, strict=False))
    ]
    return results.load(write_project(folder, *records, metrics=list(metrics), **search)).trials()


def headers(table: pd.DataFrame, width: int = 100) -> list[str]:
    return [str(column.header).replace("\n", "") for column in rich_table(table, width).columns]


def test_flags_stand_right_after_the_score_when_a_trial_has_one(tmp_path: Path) -> None:
    flagged = full_table(tmp_path / "flagged", [], ["memorising", "collapsed"], ["adversarial"])
    clean = full_table(tmp_path / "clean", [], [], [])
    for width in (40, 80, 100, 160):
        assert headers(flagged, width)[:6] == ["rank", "trial_id", "status", "origin", "score", "flags"]
        assert "flags" not in headers(clean, width)
    lines = shown(rich_table(flagged, 80), 80).splitlines()
    assert max(map(cell_len, lines)) <= 80
    (first,) = (number for number, line in enumerate(lines) if "memorising," in line)
    assert TUTORIALS[1] in lines[first]
    assert lines[first + 1].split() == ["collapsed"]  # one below the other, so that they take little room
    assert "\x1b[1;33mmemorising," in shown(rich_table(flagged), color=True)
    assert headers(select(flagged, ["trial_id", "flags"])) == ["trial_id", "flags"]


def test_a_flag_of_any_length_keeps_the_table_within_the_terminal(tmp_path: Path) -> None:
    table = full_table(tmp_path / "demo", ["x" * 300, "[bold]\x1b[2Jy" * 9], ["blurred"])
    for width in (80, 160):
        text = shown(rich_table(table, width), width)
        assert max(map(cell_len, text.splitlines())) <= width
        assert {"blurred", *TUTORIALS} <= words(text)
        assert "\x1b" not in text


@pytest.mark.parametrize(
    ("flags", "width", "metrics"),
    [
        ([], 80, ["coverage", "precision", "recall"]),
        ([], 100, ["coverage", "precision", "recall", "class_kl"]),
        ([], 160, ["coverage", "precision", "recall", "class_kl", "authenticity"]),
        (["memorising", "collapsed"], 80, ["coverage"]),
        (["memorising", "collapsed"], 160, ["coverage", "precision", "recall", "class_kl", "authenticity"]),
    ],
)
def test_of_many_metrics_the_most_telling_are_shown(
    tmp_path: Path, flags: list[str], width: int, metrics: list[str]
) -> None:
    table = full_table(tmp_path / "demo", flags, [], [])
    chosen = headers(table, width)
    assert [name.removeprefix("metric.") for name in chosen if name.startswith("metric.")] == metrics
    assert max(map(cell_len, shown(rich_table(table, width), width).splitlines())) <= width
    if width == 160:
        rest = chosen[chosen.index("metric.authenticity") + 1 :]
        assert rest[:3] == ["duration_s", "epochs", "hp.generator_depth"]  # the depth varies, the others do not


def test_of_a_conditional_search_the_scores_of_labels_come_first(tmp_path: Path) -> None:
    table = full_table(tmp_path / "demo", [], [], metrics={**FULL, "label_accuracy": 0.9, "class_fcd": 1.2, "cas": 0.8})
    assert headers(table, 160)[5:9] == [f"metric.{name}" for name in ("label_accuracy", "class_fcd", "cas", "coverage")]


def test_metrics_that_a_search_does_not_have_leave_room_for_others(tmp_path: Path) -> None:
    unlabelled = {name: FULL[name] for name in ("fcd", "fcd_se", "kid", "recall", "authenticity")}
    table = full_table(tmp_path / "demo", [], [], metrics=unlabelled)
    assert headers(table, 100)[5:8] == ["metric.recall", "metric.authenticity", "duration_s"]
    assert not {"metric.fcd_se", "metric.kid"} & set(headers(table, 1000))


@pytest.mark.parametrize("objective", ["kid", "coverage", "fcd"])
def test_the_objective_is_shown_once(tmp_path: Path, objective: str) -> None:
    direction = {"name": objective, "direction": "min"}
    table = full_table(tmp_path / "demo", [], ["collapsed"], [], objective=direction)
    expected = {"kid": ["fcd", "coverage"], "coverage": ["fcd", "precision"], "fcd": ["coverage", "precision"]}
    assert headers(table, 160)[6:8] == [f"metric.{name}" for name in expected[objective]]
    assert f"metric.{objective}" not in headers(table, 1000)


def test_the_objective_counts_as_such_though_it_is_rounded_or_missing_in_a_trial(tmp_path: Path) -> None:
    records = [
        record_json("0000", score=0.1, metrics={"fcd": 0.1 + 1e-12, "coverage": 0.5}),
        record_json("0001", score=0.2, metrics={}),
        record_json("0003", score=1.7e308, metrics={"coverage": -1.7e308}),
        failed_json("0002", metrics={"fcd": 9.0}),
    ]
    table = results.load(write_project(tmp_path / "demo", *records)).trials()
    assert "metric.fcd" not in headers(table)
    assert "metric.coverage" in headers(table)
    unscored = results.load(write_project(tmp_path / "other", failed_json("0000", metrics={"fcd": 9.0}))).trials()
    assert "metric.fcd" in headers(unscored)


def test_hyperparameters_that_vary_are_shown_first(tmp_path: Path) -> None:
    values: dict[str, Any] = {"generator_depth": 2, "generator_lr": 0.1, "normalisation": "batch"}
    records = [record_json(f"000{i}", hyperparameters={**values, "batch_size": 32 * (i + 1)}) for i in range(3)]
    table = results.load(write_project(tmp_path / "demo", *records)).trials()
    headers = [str(column.header).replace("\n", "") for column in rich_table(table).columns]
    assert next(name for name in headers if name.startswith("hp.")) == "hp.batch_size"
    assert max(map(cell_len, shown(rich_table(table)).splitlines())) <= 100


def test_chosen_columns_are_all_shown_but_empty_ones(table: pd.DataFrame) -> None:
    chosen = select(table, ["trial_id", "metric.fcd", "seed", "score_std", "message"])
    headers = [str(column.header).replace("\n", "") for column in rich_table(chosen).columns]
    assert headers == ["trial_id", "metric.fcd", "seed", "message"]
    text = shown(rich_table(chosen))
    assert "123456789" in text
    assert "a | b [red]  next, \\line" in text


def test_text_cannot_steer_the_terminal(tmp_path: Path) -> None:
    project = write_project(tmp_path / "demo", failed_json(message="[bold]x[/bold] \x1b[2J\x07 end"))
    table = select(results.load(project).trials(), ["status", "message"])
    assert "[bold]x[/bold]  [2J  end" in shown(rich_table(table))
    colored = shown(rich_table(table), color=True)
    assert "\x1b[2J" not in colored
    assert "\x1b[31mFAILED" in colored


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (12345.678, "12346"),
        (1234.5678, "1235"),
        (1e-5, "1e-05"),
        (0.0, "0"),
        (-3.5, "-3.5"),
        (1e12, "1e+12"),
    ],
)
def test_numbers_are_rounded_sensibly(value: float, text: str) -> None:
    assert shown(rich_table(pd.DataFrame({"x": pd.array([value], dtype="Float64")}))).split()[-1] == text


def test_reasons_of_failures_are_counted(tmp_path: Path) -> None:
    records = [failed_json(f"{i:04}", message=f"reason {'aaabbcdde'[i]}") for i in range(9)]
    table = results.load(write_project(tmp_path / "demo", *records, record_json("0009"))).trials()
    lines = [line.strip() for line in shown(rich_table(table)).splitlines()]
    assert lines[-4:] == [
        "3 failed: reason a",
        "2 failed: reason b",
        "2 failed: reason d",
        "2 failed for other reasons",
    ]


def test_many_hyperparameters_fit_too(tmp_path: Path) -> None:
    space = [{"name": f"discriminator_spectral_width_{i}", "kind": "Float"} for i in range(20)]
    values = [{f"discriminator_spectral_width_{i}": j + i / 7 for i in range(20)} for j in range(3)]
    records = [record_json(f"{i:04}", hyperparameters=value) for i, value in enumerate(values)]
    project = write_project(tmp_path / "demo", *records, space={"hyperparameters": SPACE + space})
    assert max(map(cell_len, shown(rich_table(results.load(project).trials())).splitlines())) <= 100


RUNGS = ["fcd", "fcd_se", "kid", "mind", "coverage", "classifier_score", "class_kl", "modes"]


def history_of_many_scores(folder: Path) -> pd.DataFrame:
    project = write_project(folder, rung_metrics=RUNGS, objective={"name": "mind", "direction": "min"})
    rows = [f"0,{i},{9 * i},{1.234567 * i},0.7,0.9," + ",".join(f"{i}.23456" for _ in RUNGS) for i in range(1, 30)]
    header = "execution,epoch,step,seconds,d_loss,g_loss," + ",".join(f"metric.{name}" for name in RUNGS)
    write_trial(project, record_json("tutorial_conv"), "\n".join([header, *rows, ""]))
    return results.load(project).history()


def test_a_history_shows_the_columns_that_fit_and_the_objective_among_them(tmp_path: Path) -> None:
    table = history_of_many_scores(tmp_path / "demo")
    for width in (80, 100, 120, 160, 300):
        text = shown(rich_table(table, width, "mind"), width)
        assert max(map(cell_len, text.splitlines())) <= width
        rows = [line.split() for line in text.splitlines() if "tutorial_conv" in line]
        assert len(rows) == 29
        columns = [str(column.header).replace("\n", "") for column in rich_table(table, width, "mind").columns]
        assert columns[:6] == ["trial_id", "execution", "epoch", "metric.mind", "d_loss", "g_loss"]
        assert rows[10][:6] == ["tutorial_conv", "0", "11", "11.23", "0.7", "0.9"]
    assert set(columns) == set(table.columns)
    assert headers(table, 100)[5] == "metric.fcd"


def test_a_number_is_never_folded_and_chosen_columns_run_past_the_edge(tmp_path: Path) -> None:
    names = ["trial_id", *(f"metric.{name}" for name in FULL), "started_at", "checkpoint", "message"]
    table = full_table(tmp_path / "demo", [], [])
    table["message"] = pd.array(["a long reason " * 9, pd.NA], dtype="string")
    table["checkpoint"] = pd.array(["runs/demo/trial_tutorial_dense/generator.keras"] * 2, dtype="string")
    text = shown(rich_table(select(table, names), 80), 80)
    assert {"0.2", "0.8123", "-0.4", "71.5", "tutorial_dense", "long"} <= words(text)
    assert "2026-11-23 18:00:00" in text
    assert len(max(text.splitlines(), key=cell_len).rstrip()) > 80
    narrow = shown(rich_table(select(table, ["trial_id", "score", "message"]), 60), 60)
    assert "reason" in narrow  # what is text is folded, and then all of it fits
    assert max(map(cell_len, narrow.splitlines())) <= 60


def test_failures_that_differ_in_their_epoch_have_one_reason(tmp_path: Path) -> None:
    messages = ["one class (after epoch 9)", "loss is nan (after epoch 1)", "one class (after epoch 18)", "no room"]
    records = [failed_json(f"{i:04}", message=message) for i, message in enumerate([*messages, messages[1]])]
    table = results.load(write_project(tmp_path / "demo", *records)).trials()
    lines = [line.strip() for line in shown(rich_table(table)).splitlines()]
    assert lines[-3:] == ["2 failed: one class", "2 failed: loss is nan (after epoch 1)", "1 failed: no room"]
