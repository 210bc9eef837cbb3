from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from project_folders import CLASSES, HISTORY, failed_json, record_json, write_project, write_trial

from tuner_gan import results
from tuner_gan.errors import ConfigError, ProjectError, SelectionError
from tuner_gan.results.tables import COLUMNS

TABLES = ["classes", "executions", "history", "importance", "pareto", "trials"]
NASTY = 'a "quoted", cell\nwith a break & 50% <b>$x_1$</b> \\ {y} #~^'


def read_back(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """A CSV file with the dtypes of its table."""
    times = [str(name) for name, kind in table.dtypes.items() if str(kind).startswith("datetime")]
    kinds = {str(name): kind for name, kind in table.dtypes.items() if name not in times}
    read = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=[""])
    for name in times:
        read[name] = pd.to_datetime(read[name], utc=True, format="ISO8601").astype(table[name].dtype)
    return read


@pytest.fixture
def found(tmp_path: Path) -> results.SearchResults:
    folder = write_project(tmp_path / "demo", failed_json("0001", message=NASTY))
    write_trial(folder, record_json("0000", score=1 / 3), HISTORY)
    for i in range(2, 7):
        point = {"generator_depth": 1 + i % 3}
        write_trial(folder, record_json(f"000{i}", score=0.1 * i, hyperparameters=point, classes=CLASSES))
    return results.load(folder)


def tables(found: results.SearchResults) -> dict[str, pd.DataFrame]:
    with pytest.warns(UserWarning, match="Importance"):
        return {name: getattr(found, name)() for name in TABLES}


def test_csv_gives_every_table_back(found: results.SearchResults, tmp_path: Path) -> None:
    written = found.to_csv(tmp_path / "out" / "csv")
    assert sorted(path.name for path in written) == [f"{name}.csv" for name in TABLES]
    for name, table in tables(found).items():
        pd.testing.assert_frame_equal(read_back(tmp_path / "out" / "csv" / f"{name}.csv", table), table)


def test_parquet_gives_every_table_back(found: results.SearchResults, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is an extra")
    written = found.to_parquet(tmp_path / "parquet")
    assert sorted(path.name for path in written) == [f"{name}.parquet" for name in TABLES]
    for name, table in tables(found).items():
        read = pd.read_parquet(tmp_path / "parquet" / f"{name}.parquet", dtype_backend="numpy_nullable")
        pd.testing.assert_frame_equal(read.astype(table.dtypes), table)


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\r")
TEXT = st.text(CHARACTERS, min_size=1).filter(lambda text: text.strip())
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "score": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
            "status": st.sampled_from(["COMPLETED", "PRUNED", "FAILED"]),
            "message": st.one_of(st.none(), TEXT),
            "seed": st.integers(0, 2**63 - 1),
            "hyperparameters": st.dictionaries(
                st.sampled_from(["generator_depth", "generator_lr", "own"]),
                st.one_of(st.integers(-5, 5), st.floats(0, 1), TEXT),
            ),
        }
    ),
    max_size=3,
)


@settings(max_examples=25, deadline=None)
@given(changes=RECORDS)
def test_whatever_a_trial_holds_csv_gives_it_back(
    tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("project")
    write_project(folder, *(record_json(f"000{i}", metrics={}, **change) for i, change in enumerate(changes)))
    found = results.load(folder)
    found.to_csv(folder / "csv")
    pd.testing.assert_frame_equal(read_back(folder / "csv" / "trials.csv", found.trials()), found.trials())


def test_an_empty_search_has_every_file(tmp_path: Path) -> None:
    found = results.load(write_project(tmp_path / "demo"))
    written = found.to_csv(tmp_path / "csv")
    assert sorted(path.stem for path in written) == TABLES
    for path in written:
        kind = path.stem
        if kind == "classes":  # of the best trial, and there is none
            assert list(pd.read_csv(path).columns) == [column.name for column in COLUMNS[kind]]
        elif kind != "importance":
            assert list(pd.read_csv(path).columns) == list(getattr(found, kind)().columns)


def test_markdown_and_latex_take_columns_and_a_number_of_rows(found: results.SearchResults) -> None:
    lines = found.to_markdown(["rank", "score"], top=2).splitlines()
    assert lines == ["| rank | score |", "| ---: | ---: |", "| 1 | 0.2 |", "| 2 | 0.3 |"]
    assert len(found.to_markdown().splitlines()) == 2 + len(found)
    with pytest.raises(SelectionError, match="did you mean 'score'"):
        found.to_latex(["scor"])
    assert found.to_latex(["rank", "score", "status"], top=2).splitlines() == [
        r"\begin{tabular}{rrl}",
        r"\toprule",
        r"rank & score & status \\",
        r"\midrule",
        r"1 & 0.2 & COMPLETED \\",
        r"2 & 0.3 & COMPLETED \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_text_of_a_table_is_no_latex(found: results.SearchResults) -> None:
    row = found.to_latex(["trial_id", "message"]).splitlines()[-3]
    assert row.startswith("0001 & ")
    for bare in ("%", "#", "_", "{y}", " & 50"):
        assert all(row[i - 1] == "\\" for i in range(len(row)) if row.startswith(bare, i) and bare != " & 50")
    assert r"\& 50\% " in row
    assert r"\textbackslash" in row
    assert r"hp.generator\_depth" in found.to_latex(["hp.generator_depth"])


def test_a_folder_that_cannot_be_written_is_named(found: results.SearchResults, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match=r"file.* cannot be written"):
        found.to_csv(tmp_path / "file")


def test_without_pyarrow_it_says_what_to_install(
    found: results.SearchResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pyarrow: pip install 'tuner-gan\[parquet\]'"):
        found.to_parquet(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_load_neither_optuna_nor_plotly(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "demo", record_json())
    code = f"""
import sys
from tuner_gan import results
found = results.load({str(folder)!r})
found.trials(), found.history(), found.pareto()
print([name for name in ("optuna", "plotly", "tensorflow", "jinja2", "sklearn") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
