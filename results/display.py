"""Tables as text: CSV, JSON and Markdown, tables for a terminal, and the live view of a search."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from tuner_gan import files
from tuner_gan.errors import ConfigError
from tuner_gan.results.checks import parse_time
from tuner_gan.results.records import (
    COMPLETED,
    FAILED,
    FINALIST,
    INTERRUPTED,
    METRIC,
    PRUNED,
    RUNNING,
    UNREADABLE,
    Project,
    TrialRecord,
    rank,
    read_history,
)
from tuner_gan.results.tables import COLUMNS, HP, trials_table

if TYPE_CHECKING:
    from rich.console import RenderableType
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
REASONS = 3
HEADER_WIDTH = 10
"""A header wraps at dots and underscores so as to stay about this narrow."""
TOP = 5


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


def rich_table(table: pd.DataFrame, width: int = 100) -> Table:
    """Lays a table out for a terminal: numbers of 4 significant digits, columns without a value left out.

    A whole table of trials is wider than any terminal; of it, the columns that tell most and fit
    are shown, and below it why trials failed. `tables.select` chooses others, which are all shown.

    Args:
        width: columns of the terminal.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    names = _compact(table, width)
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        numeric = pd.api.types.is_numeric_dtype(table[name])
        shown.add_column(
            Text(_header(name)),
            justify="right" if numeric else "left",
            no_wrap=name in FIRST and name != FLAGS,
            overflow="fold",
        )
    if _is_whole(table):
        shown.caption = Text(_failures(table)) or None
        shown.caption_justify = "left"
    for row in table[names].itertuples(index=False, name=None):
        cells = [_lines(name, cell) for name, cell in zip(names, row, strict=True)]
        shown.add_row(*(Text(cell, style=_style(name, cell)) for name, cell in zip(names, cells, strict=True)))
    return shown


def progress(
    project: Project,
    epochs: int | None = None,
    max_trials: int | None = None,
    seconds_left: float | None = None,
    *,
    width: int = 100,
    now: datetime | None = None,
) -> RenderableType:
    """Shows how far a running search is; read the project anew for each frame.

    Args:
        epochs: of a whole trial; None when it is not fixed.
        max_trials: trials the search ends with, baselines included, finalists not; None when only time ends it.
        seconds_left: until the search ends; None without a limit.
        width: columns of the terminal.
        now: the time of the frame, with a time zone; the default is the clock's.
    """
    from rich.console import Group
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    now = now or datetime.now(UTC)
    running = next((trial for trial in reversed(project.trials) if trial.status == RUNNING), None)
    ended = [trial for trial in project.trials if trial.status != RUNNING and trial.origin != FINALIST]
    epoch, execution = _position(running)
    running_s = _since(running, now)
    bars = Table.grid(padding=(0, 2))
    of_trials = f"{len(ended)}/{max_trials}" if max_trials else str(len(ended))
    done = Text(f"{of_trials} trials ended, {_failed(ended)} failed")
    bars.add_row(done, ProgressBar(max_trials, len(ended), width=30) if max_trials else "")
    again = _ended_finalists(project)
    if project.finalists:
        count = len(project.finalists)
        done = Text(f"{len(again)}/{count} finalists trained again, {_failed(again)} failed")
        bars.add_row(done, ProgressBar(count, len(again), width=30))
    if running is not None:
        of_epochs = f"{epoch}/{epochs}" if epochs else str(epoch)
        numbered = f", execution {execution}" if execution else ""
        line = Text(f"trial {running.trial_id} ({running.origin}{numbered}), epoch {of_epochs}")
        bars.add_row(line, ProgressBar(epochs, min(epoch, epochs), width=30) if epochs else "")
    elapsed = running_s + sum(trial.duration_s or 0.0 for trial in project.trials if trial.status != RUNNING)
    left = _seconds_left(project, running_s, epoch / epochs if epochs else 0.0, max_trials, seconds_left)
    clock = Text(f"elapsed {_clock(elapsed)}, left {'unknown' if left is None else 'about ' + _clock(left)}")
    ranked = [trial for place, trial in rank(project.trials, project.direction) if place is not None]
    parts: list[RenderableType] = [bars, clock, Text(_best(project, ranked))]
    if ranked:
        table = trials_table(project).head(min(TOP, len(ranked)))
        parts += ["", rich_table(table, width - 4)]
    name = project.search.get("name")
    return Panel(Group(*parts), title=Text(name if isinstance(name, str) else project.folder.name), width=width)


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


def _short(value: Any) -> str:
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
    rows = (line([escaped(_short(cell)) for cell in row]) for row in table.itertuples(index=False, name=None))
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
    text = _short(value)
    return text.replace(", ", ",\n") if column == FLAGS else text


def _style(column: str, cell: str) -> str:
    if column == FLAGS:
        return FLAG_STYLE
    return STYLES.get(cell, "") if column == "status" else ""


def _is_whole(table: pd.DataFrame) -> bool:
    """Whether it has every column of a table of trials, so nobody chose any."""
    return {column.name for column in COLUMNS["trials"] if not column.name.endswith("*")} <= set(table.columns)


def _column_width(table: pd.DataFrame, name: str) -> int:
    from rich.cells import cell_len

    texts = [*_header(name).split("\n"), *(line for value in table[name] for line in _lines(name, value).split("\n"))]
    # One column of padding and one between columns.
    return 2 + max(cell_len(text) for text in texts)


def _failures(table: pd.DataFrame) -> str:
    """The most frequent messages of failed and unreadable trials, one a line."""
    failed = table[table["status"].isin([FAILED, UNREADABLE])]
    counts = Counter(_short(message) for message in failed["message"] if not pd.isna(message))
    lines = [f"{count} failed: {message}" for message, count in counts.most_common(REASONS)]
    more = sum(counts.values()) - sum(count for _, count in counts.most_common(REASONS))
    return "\n".join([*lines, *([f"{more} failed for other reasons"] if more else [])])


def _compact(table: pd.DataFrame, width: int) -> list[str]:
    """Names of the columns to show, in order."""
    filled = [str(name) for name in table.columns if table.empty or table[name].notna().any()]
    if not _is_whole(table):
        return filled
    searched = sorted(
        (name for name in filled if name.startswith(HP)), key=lambda name: table[name].nunique(dropna=False) < 2
    )
    chosen = [name for name in FIRST if name in filled]
    room = width - sum(_column_width(table, name) for name in chosen)
    for name in [*PREFERRED, *searched]:
        # The objective is among the metrics, and a second time the score would only take room.
        if name not in filled or (name.startswith(METRIC) and _is_score(table, name)):
            continue
        if _column_width(table, name) <= room:
            room -= _column_width(table, name)
            chosen.append(name)
    return chosen


def _is_score(table: pd.DataFrame, name: str) -> bool:
    """Whether a metric is the objective: in every trial that has both, the two differ by rounding at most."""
    both = table[["score", name]].dropna()
    return len(both) > 0 and all(
        math.isclose(score, value, rel_tol=1e-4) for score, value in both.itertuples(index=False, name=None)
    )


def _position(running: TrialRecord | None) -> tuple[int, int]:
    """Epoch and execution that a running trial has reached."""
    rows = read_history(running) if running is not None else []
    return max(((int(row["execution"] or 0), int(row["epoch"] or 0)) for row in rows), default=(0, 0))[::-1]


def _since(running: TrialRecord | None, now: datetime) -> float:
    """Seconds a running trial has taken."""
    if running is None or running.started_at is None:
        return 0.0
    return max(0.0, (now - parse_time(running.started_at)).total_seconds())


def _failed(trials: list[TrialRecord]) -> int:
    return sum(trial.status in (FAILED, UNREADABLE) for trial in trials)


def _ended_finalists(project: Project) -> list[TrialRecord]:
    """Those of the present choice; an earlier one may have left others."""
    ids = {files.FINALIST_PREFIX + trial_id for trial_id in project.finalists}
    return [trial for trial in project.trials if trial.trial_id in ids and trial.status in (COMPLETED, FAILED)]


def _seconds_left(
    project: Project, running_s: float, part: float, max_trials: int | None, limit: float | None
) -> float | None:
    """Estimates the rest from the mean duration of a trial; before one has ended, from the running one's part."""
    ended = [trial for trial in project.trials if trial.status != RUNNING and trial.origin != FINALIST]
    timed = [trial for trial in ended if trial.status == COMPLETED and trial.duration_s]
    total = sum(trial.duration_s or 0.0 for trial in timed)
    each = total / len(timed) if timed else running_s / part if part else None
    limits = [] if limit is None else [max(0.0, limit)]
    if max_trials is not None and each is not None:
        training = total / max(1, sum(len(trial.executions) for trial in timed)) if timed else each
        trials = 0 if project.finalists else max(0, max_trials - len(ended))
        rest = each * trials + training * _trainings_left(project)
        limits.append(max(0.0, rest - running_s))
    return min(limits, default=None)


def _trainings_left(project: Project) -> int:
    """Trainings of finalists that have not ended; before they are chosen, of as many as were asked for."""
    config = project.search.get("config")
    asked = config if isinstance(config, dict) else {}
    count, seeds = (asked[name] if isinstance(asked.get(name), int) else 0 for name in ("finalists", "finalist_seeds"))
    waiting = len(project.finalists) - len(_ended_finalists(project)) if project.finalists else count
    return max(0, waiting * seeds)


def _best(project: Project, ranked: list[TrialRecord]) -> str:
    floor = "" if project.floor is None else f"; held-out real images {project.floor:.4g}"
    if not ranked:
        return f"no trial has a score yet{floor}"
    return f"best {project.objective} {ranked[0].score:.4g} (trial {ranked[0].trial_id}){floor}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
