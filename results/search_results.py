"""SearchResults: what `results.load(folder)` gives."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tuner_gan import files
from tuner_gan.errors import ProjectError, SelectionError
from tuner_gan.results.display import render
from tuner_gan.results.records import Project, TrialRecord, rank, read_project
from tuner_gan.results.tables import classes_table, executions_table, history_table, select, trials_table

if TYPE_CHECKING:
    import optuna

LISTED = 20
"""Trial ids that an error message lists at most."""


class SearchResults:
    """The trials of a search, as they were on disk when it was loaded.

    Training curves are read from history.csv when they are asked for.

    Example:
        >>> from tuner_gan import results
        >>> found = results.load("runs/demo")  # doctest: +SKIP
        >>> found.trials()[["rank", "trial_id", "score"]]  # doctest: +SKIP
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._ranked = rank(project.trials, project.direction)

    @property
    def folder(self) -> Path:
        """The project folder, as it was given."""
        return self.project.folder

    @property
    def config(self) -> dict[str, Any]:
        """The content of search.json; empty when it is damaged."""
        return dict(self.project.search)

    @property
    def classifier(self) -> dict[str, Any]:
        """The reference classifier's card: fingerprint, accuracy, floor. Empty when it is not known."""
        noted = dict(self.project.search.get("classifier", {}))
        path = self.folder / files.CLASSIFIER_DIR / files.CARD
        if not path.exists():
            return noted
        try:
            return files.read_json(path)
        except ProjectError as error:
            warnings.warn(f"{error} What {files.SEARCH} says of the classifier is used.", UserWarning, stacklevel=2)
            return noted

    @property
    def records(self) -> list[TrialRecord]:
        """Every trial, best first, those without a rank last."""
        return [trial for _, trial in self._ranked]

    @property
    def best(self) -> TrialRecord:
        """The trial of rank 1: the best finalist, where there is one.

        Raises:
            SelectionError: no trial is ranked; it says how many there are and what became of them.
        """
        if self._ranked and self._ranked[0][0] is not None:
            return self._ranked[0][1]
        raise SelectionError(self._why_unranked())

    def trial(self, trial_id: str) -> TrialRecord:
        """Finds a trial by its id, which may lack leading zeros, or by "best".

        Raises:
            SelectionError: there is no such trial, or its id is no text.
        """
        if not isinstance(trial_id, str):
            raise SelectionError(f"A trial's id must be text, such as 'best' or '0003', but got {trial_id!r}.")
        if trial_id == "best":
            return self.best
        ids = {trial.trial_id: trial for trial in self.project.trials}
        if trial_id in ids:
            return ids[trial_id]
        same = [known for known in ids if known.lstrip("0") == trial_id.lstrip("0") and trial_id.isdecimal()]
        if len(same) == 1:
            return ids[same[0]]
        if not ids:
            raise SelectionError(f"There is no trial {trial_id!r}: {self.folder} has no trial yet.")
        more = f" and {len(ids) - LISTED} more" if len(ids) > LISTED else ""
        listed = ", ".join(list(ids)[:LISTED])
        raise SelectionError(f"There is no trial {trial_id!r} in {self.folder}: choose best or one of {listed}{more}.")

    def trials(self) -> pd.DataFrame:
        """One row a trial, best first; columns in `results.tables.COLUMNS["trials"]`."""
        return trials_table(self.project)

    def executions(self) -> pd.DataFrame:
        """One row a training from one seed; columns in `results.tables.COLUMNS["executions"]`."""
        return executions_table(self.project)

    def history(self, trial_id: str | None = None) -> pd.DataFrame:
        """One row an epoch of an execution; columns in `results.tables.COLUMNS["history"]`.

        Args:
            trial_id: as in `trial`; None gives every trial's history.

        Raises:
            SelectionError: there is no such trial.
        """
        return history_table(self.project, None if trial_id is None else [self.trial(trial_id)])

    def classes(self, trial_id: str = "best") -> pd.DataFrame:
        """One row a class of a conditional trial; columns in `results.tables.COLUMNS["classes"]`.

        It is empty for a trial that is not conditional, or has no scores yet.

        Args:
            trial_id: as in `trial`.

        Raises:
            SelectionError: there is no such trial.
        """
        return classes_table(self.trial(trial_id))

    def importance(self, method: str = "ped_anova") -> pd.DataFrame:
        """One row a hyperparameter, the most important first; columns in `results.tables.COLUMNS["importance"]`.

        Args:
            method: `"ped_anova"` or `"fanova"`; see `results.importance.importance_table`.

        Raises:
            ConfigError: there is no such method.
        """
        from tuner_gan.results.importance import importance_table

        return importance_table(self.project, method)

    def pareto(self) -> pd.DataFrame:
        """The trials that nothing beats in score and cost; columns in `results.tables.COLUMNS["pareto"]`."""
        from tuner_gan.results.pareto import pareto_table

        return pareto_table(self.project)

    def to_csv(self, directory: str | Path) -> list[Path]:
        """Writes all tables as CSV; see `results.writing.write_csv`."""
        from tuner_gan.results.writing import write_csv

        return write_csv(self, directory)

    def to_parquet(self, directory: str | Path) -> list[Path]:
        """Writes all tables as Parquet, which takes pyarrow; see `results.writing.write_parquet`."""
        from tuner_gan.results.writing import write_parquet

        return write_parquet(self, directory)

    def to_markdown(self, columns: Sequence[str] | None = None, top: int | None = None) -> str:
        """The trials as a Markdown table, their numbers rounded to 4 significant digits.

        Args:
            columns, top: names of columns and number of trials, as in `results.tables.select`; None for all.
        """
        return render(select(self.trials(), columns, top=top), "markdown")

    def to_latex(self, columns: Sequence[str] | None = None, top: int | None = None) -> str:
        r"""The trials as a LaTeX table, for which the preamble has `\usepackage{booktabs}`.

        Args:
            columns, top: as in `to_markdown`.
        """
        from tuner_gan.results.writing import to_latex

        return to_latex(select(self.trials(), columns, top=top))

    def to_optuna(self) -> optuna.study.Study:
        """A study in memory of these trials, whichever oracle ran them; see `results.study.to_study`."""
        from tuner_gan.results.study import to_study

        return to_study(self.project)

    def __len__(self) -> int:
        return len(self.project.trials)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        best = "none ranked"
        if self._ranked and self._ranked[0][0] is not None:
            trial = self._ranked[0][1]
            best = f"best {trial.trial_id} with {self.project.objective} {trial.score:.4g}"
        return f"SearchResults({str(self.folder)!r}: {_count(len(self))}, {best})"

    def _repr_html_(self) -> str:
        return self.trials().to_html(index=False, max_rows=60)

    def _why_unranked(self) -> str:
        trials = self.project.trials
        if not trials:
            return f"{self.folder} has no trial yet: let the search run."
        counts = Counter(trial.status for trial in trials)
        states = ", ".join(f"{count} {status}" for status, count in counts.most_common())
        messages = Counter(trial.message for trial in trials if trial.message).most_common(1)
        why = f"; the most frequent reason is: {messages[0][0]}" if messages else ""
        return f"{self.folder} has no trial with a score among its {_count(len(trials))} ({states}){why}"


def load(folder: str | Path) -> SearchResults:
    """Reads a project folder once, as `results.records.read_project` does.

    Raises:
        ProjectError: the folder is no project.
    """
    return SearchResults(read_project(folder))


def _count(trials: int) -> str:
    return f"{trials} trial" if trials == 1 else f"{trials} trials"
