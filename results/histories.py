"""The training curves of many trials at once, column by column."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tuner_gan import files
from tuner_gan.results.records import HISTORY_FIXED, HISTORY_INTEGERS, METRIC, TrialRecord, read_history


@dataclass(frozen=True)
class Histories:
    """The rows of several history.csv files below each other.

    Attributes:
        trial_ids: of each row.
        columns: by name: int64 for `HISTORY_INTEGERS`, float64 for all others, NaN where a cell is empty or not finite.
    """

    trial_ids: NDArray[np.object_]
    columns: dict[str, NDArray[Any]]


def read_histories(trials: Sequence[TrialRecord]) -> Histories:
    """Reads what `read_history` reads of each trial, in their order; where nothing is damaged, in one go."""
    return _read_at_once(trials) or _read_one_by_one(trials)


def _read_one_by_one(trials: Sequence[TrialRecord]) -> Histories:
    rows = [(trial.trial_id, row) for trial in trials for row in read_history(trial)]
    names = dict.fromkeys([*HISTORY_FIXED, *sorted({name for _, row in rows for name in row})])
    columns: dict[str, NDArray[Any]] = {}
    for name in names:
        values = [row.get(name) for _, row in rows]
        if name in HISTORY_INTEGERS:
            columns[name] = np.asarray(values, dtype=np.int64)
        else:
            columns[name] = np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)
    return Histories(np.asarray([trial_id for trial_id, _ in rows], dtype=object), columns)


def _read_at_once(trials: Sequence[TrialRecord]) -> Histories | None:
    """Has pandas read all files as one; None where a single line is not as a search writes it."""
    bodies: list[bytes] = []
    lines: list[int] = []
    ids: list[str] = []
    header = None
    for trial in trials:
        try:
            content = (trial.folder / files.HISTORY).read_bytes()
        except FileNotFoundError:
            continue
        except OSError:
            return None
        head, _, body = content.partition(b"\n")
        header = header or head
        count = body.count(b"\n")
        # As many commas as the lines should have, of which pandas then refuses a longer one: so none is shorter.
        if head != header or not content.endswith(b"\n") or body.count(b",") != count * head.count(b","):
            return None
        bodies.append(body)
        lines.append(count)
        ids.append(trial.trial_id)
    if not ids:
        return Histories(np.empty(0, dtype=object), {})
    names = (header or b"").decode("utf-8", errors="replace").split(",")
    fixed = len(HISTORY_FIXED)
    is_known = tuple(names[:fixed]) == HISTORY_FIXED and all(name.startswith(METRIC) for name in names[fixed:])
    text = b"".join(bodies)
    if not is_known or len(set(names)) < len(names) or b'"' in text or b"\r" in text:
        return None
    if not text:
        return Histories(np.empty(0, dtype=object), {name: np.empty(0) for name in names})
    kinds = {name: "int64" if name in HISTORY_INTEGERS else "float64" for name in names}
    try:
        with np.errstate(invalid="ignore"):  # what is no whole number is refused below
            table = pd.read_csv(
                io.BytesIO(text),
                names=names,
                dtype=kinds,
                keep_default_na=False,
                na_values=["", "nan"],
                skip_blank_lines=False,
            )
    except (ValueError, OverflowError, TypeError):  # pandas's own errors are ValueErrors
        return None
    if len(table) != sum(lines) or any((table[name] < 0).any() for name in HISTORY_INTEGERS):
        return None
    columns = {name: table[name].to_numpy() for name in names}
    for name in names:
        if name not in HISTORY_INTEGERS:
            columns[name] = np.where(np.isfinite(columns[name]), columns[name], np.nan)
    return Histories(np.repeat(np.asarray(ids, dtype=object), lines), columns)
