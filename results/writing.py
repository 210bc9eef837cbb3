"""All tables of a search as files, for other programs, papers and spreadsheets."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tuner_gan import files
from tuner_gan.errors import SelectionError, require
from tuner_gan.results.display import render, short
from tuner_gan.results.tables import make_table

if TYPE_CHECKING:
    from tuner_gan.results.search_results import SearchResults


def write_csv(results: SearchResults, directory: str | Path) -> list[Path]:
    """Writes each table as NAME.csv: UTF-8, `<NA>` is an empty cell, times are ISO 8601.

    `pandas.read_csv(path, dtype=...)` with the dtypes of the table gives it back, but for times, which
    `pandas.to_datetime` reads. classes.csv is of the best trial.

    Args:
        results: of a search.
        directory: where to write; it is made where it does not exist.

    Returns:
        The files.

    Raises:
        ProjectError: the folder cannot be written.
    """
    return _write(results, directory, ".csv", lambda table, path: path.write_text(render(table, "csv"), "utf-8"))


def write_parquet(results: SearchResults, directory: str | Path) -> list[Path]:
    """Writes each table as NAME.parquet, which `pandas.read_parquet(path, dtype_backend="numpy_nullable")` gives back.

    classes.parquet is of the best trial.

    Args:
        results: of a search.
        directory: where to write; it is made where it does not exist.

    Returns:
        The files.

    Raises:
        ProjectError: the folder cannot be written.
        ConfigError: there is no pyarrow.
    """
    require("pyarrow", "Parquet", "parquet")
    return _write(results, directory, ".parquet", lambda table, path: table.to_parquet(path, index=False))


def to_latex(table: pd.DataFrame) -> str:
    r"""A table as LaTeX with booktabs' rules, its numbers rounded to 4 significant digits.

    Put `\usepackage{booktabs}` into the preamble. Text of the table is escaped.
    """
    layout = "".join("r" if pd.api.types.is_numeric_dtype(table[name]) else "l" for name in table.columns)
    styled = table.style.hide(axis="index").format(short, escape="latex").format_index(escape="latex", axis="columns")
    text: str = styled.to_latex(hrules=True, column_format=layout)
    return text


def _tables(results: SearchResults) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "trials", results.trials()
    yield "executions", results.executions()
    yield "history", results.history()
    yield "classes", _classes(results)
    yield "pareto", results.pareto()
    with warnings.catch_warnings():
        # Its <NA> and std say it in the file, and nobody asked for importance in particular.
        warnings.filterwarnings("ignore", "Importance ", UserWarning)
        yield "importance", results.importance()


def _classes(results: SearchResults) -> pd.DataFrame:
    """Those of the best trial, empty where no trial is ranked yet."""
    try:
        return results.classes()
    except SelectionError:
        return make_table("classes", [])


def _write(
    results: SearchResults, directory: str | Path, suffix: str, write: Callable[[pd.DataFrame, Path], object]
) -> list[Path]:
    folder = Path(directory)
    files.create_folder(folder)
    written = []
    for name, table in _tables(results):
        path = folder / f"{name}{suffix}"
        with files.replacing(path) as temporary:
            write(table, temporary)
        written.append(path)
    return written
