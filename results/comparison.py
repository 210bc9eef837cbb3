"""Several searches in one table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tuner_gan.errors import ConfigError, ProjectError, is_list_of
from tuner_gan.results.records import Project, rank, read_project
from tuner_gan.results.tables import trials_table

SEARCH_COLUMN = "search"
"""The column that tells which folder a trial is in."""


def compare(folders: Sequence[str | Path], *, mixed: bool = False) -> pd.DataFrame:
    """Ranks the trials of several searches together.

    Args:
        folders: of searches.
        mixed: whether the searches may have reference classifiers of their own. A score says nothing beside that of
            another classifier, so that such a table is for reading row by row, and its ranks mean nothing.

    Returns:
        The column `search`, the folder as it was given, and those of `SearchResults.trials()`: a hyperparameter or a
        metric that a search does not have is `<NA>` in its trials.

    Raises:
        ConfigError: no list of folders, an empty one, or one twice.
        ProjectError: a folder is no project, the searches have different objectives, or different reference
            classifiers while `mixed` is not set.
    """
    if not is_list_of(folders, str | os.PathLike):
        raise ConfigError(f"Expected a list of folders of searches, such as ['runs/one', 'runs/two'], got {folders!r}.")
    if not folders or len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise ConfigError(f"Expected different folders of searches, got {[str(folder) for folder in folders]}.")
    projects = [read_project(folder) for folder in folders]
    first = projects[0]
    for other in projects[1:]:
        if first.objective != other.objective:
            raise ProjectError(
                f"{other.folder} ranks its trials by {other.objective} and {first.folder} by {first.objective}: "
                "compare searches of one objective."
            )
        if first.direction != other.direction:
            best = {"min": "lowest", "max": "highest"}
            raise ProjectError(
                f"{other.folder} takes the {best[other.direction]} {other.objective} for the best and {first.folder} "
                f"the {best[first.direction]}: compare searches of one direction."
            )
        if not mixed and _fingerprint(first) != _fingerprint(other):
            raise ProjectError(
                f"{other.folder} and {first.folder} have different reference classifiers, so that their scores say "
                "nothing beside each other: search with the same data, seed and number of workers (fewer threads each "
                "round otherwise), or pass mixed=True to see them anyway."
            )
    together = Project(
        folder=first.folder,
        search={
            **first.search,
            "metrics": [name for project in projects for name in project.metrics],
            "space": {"hyperparameters": [entry for project in projects for entry in project.space]},
        },
        trials=[trial for project in projects for trial in project.trials],
        searching=any(project.searching for project in projects),
    )
    table = trials_table(together)
    names = [str(trial.folder.parent) for _, trial in rank(together.trials, together.direction)]
    table.insert(0, SEARCH_COLUMN, pd.Series(names, index=table.index, dtype="string"))
    return table


def _fingerprint(project: Project) -> object:
    return project.search.get("classifier", {}).get("fingerprint")
