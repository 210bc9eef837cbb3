"""Tables as text: CSV, JSON and Markdown, and tables for a terminal."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from tuner_gan.errors import ConfigError
from tuner_gan.results.records import (
    COMPLETED,
    FAILED,
    INTERRUPTED,
    METRIC,
    PRUNED,
    RUNNING,
    UNREADABLE,
)
from tuner_gan.results.tables import COLUMNS, HP

if TYPE_CHECKING:
    from rich.table import Table

FORMATS = ("csv", "json", "markdown")
STYLES = {
    COMPLETED: "green",
    PRUNED: "yellow",
    FAILED: "red",
    RUNNING: "cyan",
    INTERRUPTED: "magenta",
    UNREADABLE: "bold red",
}
FLAGS = "flags"
FLAG_STYLE = "bold yellow"
FIRST = ("rank", "trial_id", "status", "origin", "score", FLAGS)
"""Columns of trials that are shown whenever they have a value, however narrow the terminal."""
PREFERRED = (
    "score_std",
    "metric.fcd",
    "metric.label_accuracy",
    "metric.class_fcd",
    "metric.cas",
    "metric.coverage",
    "metric.precision",
    "metric.recall",
    "metric.class_kl",
    "metric.authenticity",
    "duration_s",
    "epochs",
)
"""What follows them as far as there is room, the most telling first; then hyperparameters, but no other metric."""
FIRST_OF_EPOCHS = ("trial_id", "execution", "epoch")
"""Columns of a history that are always shown, and with them the objective; then both losses, scores, and the clock."""
REASONS = 3
HEADER_WIDTH = 10
"""A header wraps at dots and underscores so as to stay about this narrow."""
TEXT_WIDTH = 24
"""Longer text may be folded, to this width at least; nothing else is, and least of all a number inside its digits."""


def render(table: pd.DataFrame, format: str) -> str:
    """Writes a table as text that ends with a line break.

    Args:
        format: "csv" (`<NA>` is an empty cell), "json" (a list of objects, `<NA>` is null) or
            "markdown" (numbers rounded to 4 significant digits). Times are ISO 8601.

    Raises:
        ConfigError: another format.
    """
    if format == "csv":
        # A lone carriage return would end a row for most readers, as the csv module does not quote it.
        cells = {name: [_csv_cell(value) for value in table[name]] for name in table.columns}
        return pd.DataFrame(cells, index=table.index, dtype=object).to_csv(index=False, lineterminator="\n")
    if format == "json":
        names = [str(name) for name in table.columns]
        rows = [dict(zip(names, map(_plain, row), strict=True)) for row in table.itertuples(index=False, name=None)]
        return json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if format == "markdown":
        return _markdown(table)
    raise ConfigError(f"Expected one of the formats {', '.join(FORMATS)}, got {format!r}.")


def rich_table(table: pd.DataFrame, width: int = 100, objective: str | None = None) -> Table:
    """Lays a table out for a terminal: numbers of 4 significant digits, columns without a value left out.

    A whole table of trials or of epochs is wider than most terminals; of it, the columns that tell most and fit are
    shown, and below trials why some failed. `tables.select` chooses others, which are all shown: where they are wider
    than the terminal, so is the table.

    Args:
        width: columns of the terminal.
        objective: the score that a history shows however narrow the terminal.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    names = _compact(table, width, objective)
    widths = {name: _column_width(table, name) for name in names}
    foldable = {name for name in names if _is_text(table, name) and widths[name] > TEXT_WIDTH}
    least = sum(TEXT_WIDTH if name in foldable else widths[name] for name in names)
    shown = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        width=least if least > width else None,
    )
    for name in names:
        shown.add_column(
            Text(_header(name)),
            justify="right" if pd.api.types.is_numeric_dtype(table[name]) else "left",
            no_wrap=name not in foldable,
            overflow="fold",
        )
    if _is_whole(table, "trials"):
        shown.caption = Text(_failures(table)) or None
        shown.caption_justify = "left"
    for row in table[names].itertuples(index=False, name=None):
        cells = [_lines(name, cell) for name, cell in zip(names, row, strict=True)]
        shown.add_row(*(Text(cell, style=_style(name, cell)) for name, cell in zip(names, cells, strict=True)))
    return shown


def _plain(value: Any) -> Any:
    """A cell as JSON has it."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv_cell(value: Any) -> Any:
    plain = _plain(value)
    return plain.replace("\r\n", "\n").replace("\r", "\n") if isinstance(plain, str) else plain


def short(value: Any) -> str:
    """A cell on one line for a reader; text that could steer a terminal is taken out."""
    plain = _plain(value)
    if plain is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(plain, float):
        return f"{plain:.0f}" if 1e4 <= abs(plain) < 1e9 else f"{plain:.4g}"
    return "".join(c if c.isprintable() else " " for c in str(plain))


def _markdown(table: pd.DataFrame) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cells) + " |\n"

    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace("|", "\\|")

    names = [str(name) for name in table.columns]
    rule = ["---:" if pd.api.types.is_numeric_dtype(table[name]) else "---" for name in names]
    rows = (line([escaped(short(cell)) for cell in row]) for row in table.itertuples(index=False, name=None))
    return line([escaped(name) for name in names]) + line(rule) + "".join(rows)


def _header(name: str) -> str:
    """Breaks a column's name into short lines, such as metric. / classifier_ / score."""
    lines = [""]
    for part in name.replace("_", "_\n").replace(".", ".\n").split("\n"):
        if lines[-1] and len(lines[-1] + part) > HEADER_WIDTH:
            lines.append(part)
        else:
            lines[-1] += part
    return "\n".join(lines)


def _lines(column: str, value: Any) -> str:
    """A cell for a terminal. Flags stand below each other, as side by side they would push out other columns."""
    text = short(value)
    return text.replace(", ", ",\n") if column == FLAGS else text


def _style(column: str, cell: str) -> str:
    if column == FLAGS:
        return FLAG_STYLE
    return STYLES.get(cell, "") if column == "status" else ""


def _is_whole(table: pd.DataFrame, kind: str) -> bool:
    """Whether it has every column of a table of this kind, so nobody chose any."""
    return {column.name for column in COLUMNS[kind] if not column.name.endswith("*")} <= set(table.columns)


def _is_text(table: pd.DataFrame, name: str) -> bool:
    """Whether a column may be folded; an id may not, as other commands are given it."""
    return (name == FLAGS or name not in FIRST) and pd.api.types.is_string_dtype(table[name])


def _column_width(table: pd.DataFrame, name: str) -> int:
    from rich.cells import cell_len

    texts = [*_header(name).split("\n"), *(line for value in table[name] for line in _lines(name, value).split("\n"))]
    # One column of padding and one between columns.
    return 2 + max(cell_len(text) for text in texts)


def _failures(table: pd.DataFrame) -> str:
    """The most frequent reasons of failed and unreadable trials, one a line."""
    failed = table[table["status"].isin([FAILED, UNREADABLE])]
    reasons = count_reasons(short(message) for message in failed["message"] if not pd.isna(message))
    lines = [f"{count} failed: {reason}" for reason, count in reasons[:REASONS]]
    more = sum(count for _, count in reasons[REASONS:])
    return "\n".join([*lines, *([f"{more} failed for other reasons"] if more else [])])


def count_reasons(messages: Iterable[str]) -> list[tuple[str, int]]:
    """Counts messages, the most frequent first; those that differ in the epoch of the end only are one, without it."""
    grouped: dict[str, list[str]] = {}
    for message in messages:
        grouped.setdefault(re.sub(r" \(after epoch \d+\)$", "", message), []).append(message)
    counts = {own[0] if len(set(own)) == 1 else reason: len(own) for reason, own in grouped.items()}
    return Counter(counts).most_common()


def _compact(table: pd.DataFrame, width: int, objective: str | None) -> list[str]:
    """Names of the columns to show, in order."""
    filled = [str(name) for name in table.columns if table.empty or table[name].notna().any()]
    metrics = [name for name in filled if name.startswith(METRIC)]
    if _is_whole(table, "trials"):
        searched = sorted(
            (name for name in filled if name.startswith(HP)), key=lambda name: table[name].nunique(dropna=False) < 2
        )
        chosen = [name for name in FIRST if name in filled]
        # The objective is among the metrics, and a second time the score would only take room.
        scores = [name for name in PREFERRED if name in filled and not (name in metrics and _is_score(table, name))]
        others = [*scores, *searched]
    elif _is_whole(table, "history"):
        chosen = [name for name in (*FIRST_OF_EPOCHS, f"{METRIC}{objective}") if name in filled]
        others = ["d_loss", "g_loss", *PREFERRED, *metrics, "seconds", "step"]
    else:
        return filled
    room = width - sum(_column_width(table, name) for name in chosen)
    for name in others:
        if name in filled and name not in chosen and _column_width(table, name) <= room:
            room -= _column_width(table, name)
            chosen.append(name)
    return chosen


def _is_score(table: pd.DataFrame, name: str) -> bool:
    """Whether a metric is the objective: in every trial that has both, the two differ by rounding at most."""
    both = table[["score", name]].dropna()
    return len(both) > 0 and all(
        math.isclose(score, value, rel_tol=1e-4) for score, value in both.itertuples(index=False, name=None)
    )
