"""The database of a study, and the locks of its trials."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shlex
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import filelock
import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages._rdb import models

from tuner_gan import files
from tuner_gan.errors import ConfigError, ProjectError

SHARED = "the storage"
"""What messages call a database of the user's own."""
OWNER = "folder"
"""User attribute of a study in it: the id of the project folder that it belongs to."""
SECONDS_PATIENT = 60.0
"""For which a database may be away before the search gives up."""
SECONDS_TO_BEGIN = 5.0
"""For which it may be away when a search begins, before whoever has mistyped its URL is told so."""
SECONDS_BETWEEN = 0.5
"""Between two tries."""
SECONDS_LOCKED = 10.0
"""For which SQLite itself waits while another process writes."""
SECONDS_TO_TAKE = 0.1
"""For which a trial's lock is tried: whoever asks whether it is held holds it for a moment."""
LIBPQ_TIMEOUTS = {
    "connect_timeout": "10",  # seconds
    "tcp_user_timeout": "20000",  # milliseconds
    "keepalives_idle": "10",  # seconds, like the next
    "keepalives_interval": "5",
    "keepalives_count": "2",
}
"""After 20 seconds a connection to PostgreSQL that has gone silent is taken for a broken one; the system's own limit is
hours, for which nothing else could be done, and whoever waits for the same lock would wait, too."""
LIBPQ_DRIVERS = ("psycopg", "psycopg2")
"""Drivers that take them."""
DAMAGED = ("malformed", "not a database")
"""What SQLite says of a file that it cannot read."""
UNWRITABLE = ("disk is full", "readonly database")
"""What it says when waiting does not help."""

Result = TypeVar("Result")
_held: dict[Path, filelock.BaseFileLock] = {}
"""Locks of the trials that this process runs."""


class _Connection(sqlite3.Connection):
    """Writes its log through at checkpoints only, from the first table on: SQLite's own way waits for the disk at each.

    A power cut may cost the last entries, never the file, and what they said is in the trials' records, too.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


class _Database(optuna.storages.RDBStorage):
    """Writes all hyperparameters of a new trial at once.

    Optuna's own reads the trial and an earlier value for each of them, fifty queries for a trial of the default space.
    Whether an earlier value had another distribution is found out in memory, where the trial is drawn.
    """

    def _set_trial_param_without_commit(
        self,
        session: sqlalchemy.orm.Session,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,
    ) -> None:
        session.add(
            models.TrialParamModel(
                trial_id=trial_id,
                param_name=param_name,
                param_value=param_value_internal,
                distribution_json=distribution_to_json(distribution),
            )
        )


def open_storage(url: str | None, folder: Path) -> optuna.storages.RDBStorage:
    """Opens the database of a study.

    Args:
        url: of a database; None for the file `study.db`.
        folder: of the project.

    Raises:
        ConfigError: the URL is none, or its driver is missing.
        ProjectError: the database is of another version of Optuna.
    """
    try:
        if url is not None:
            return _Database(_for_optuna(url))
        # Three slashes and an absolute path, which may hold what means something in a URL.
        address = sqlalchemy.URL.create("sqlite", database=str((folder / files.STUDY).absolute()))
        return _Database(
            address.render_as_string(hide_password=False),
            engine_kwargs={"connect_args": {"timeout": SECONDS_LOCKED, "factory": _Connection}},
        )
    except (sqlalchemy.exc.ArgumentError, ImportError, ValueError) as error:
        raise ConfigError(
            f"storage must be the URL of a database, such as postgresql://user@host/name, whose driver is installed, "
            f"but got {_shown(url, error)}"
        ) from error
    except RuntimeError as error:
        raise ProjectError(
            f"The study in {files.STUDY if url is None else SHARED} is of another version of Optuna "
            f"({str(error).rstrip('.')}): install that version, or do what Optuna says, then run the search again."
        ) from error


def _for_optuna(url: str) -> str:
    """A URL with the timeouts that it does not set itself, as Optuna is to get it, which fills in what is in braces."""
    address = sqlalchemy.make_url(url)
    if address.get_backend_name() == "postgresql" and address.get_driver_name() in LIBPQ_DRIVERS:
        url = address.set(query={**LIBPQ_TIMEOUTS, **address.query}).render_as_string(hide_password=False)
    return url.replace("{", "{{").replace("}", "}}")


def check_storage(url: str, folder: Path) -> None:
    """Opens the database that a search in this folder is to use, so that it is told early when that cannot be.

    Raises:
        ConfigError, ProjectError: as `open_storage`; or the database cannot be reached, or holds a study of that name
            which is of another folder.
    """
    with contextlib.suppress(sqlalchemy.exc.ArgumentError, ValueError):  # `open_storage` tells
        if Path(sqlalchemy.make_url(url).database or "").absolute().parent == folder.absolute():
            return  # SQLite's file comes and goes with the folder
    # Others that begin at this moment make the same tables.
    database = patiently(SHARED, functools.partial(open_storage, url, folder), SECONDS_TO_BEGIN)

    def check() -> None:
        try:
            study_id = database.get_study_id_from_name(folder.name)
        except KeyError:  # there is none yet
            return
        is_owned(database, study_id, folder)

    try:
        patiently(SHARED, check, SECONDS_TO_BEGIN)
    finally:
        database.engine.dispose()


def is_owned(database: optuna.storages.RDBStorage, study_id: int, folder: Path) -> bool:
    """Tells whether a study in a database of the user's own is that of a folder, and not one that is still to be had.

    Raises:
        ProjectError: it is that of another one, or of nobody, but not empty.
    """
    owner = database.get_study_user_attrs(study_id).get(OWNER)
    if owner is None and not database.get_n_trials(study_id):
        return False
    path = folder / files.STUDY_ID
    if owner is None or not path.exists() or path.read_text(encoding="ascii") != owner:
        name = database.get_study_name_from_id(study_id)
        raise ProjectError(
            f"The storage already holds a study named {name!r}, which is of another folder than {folder}: choose "
            "another project name, or, if it was an earlier one that you have deleted, delete its study with optuna "
            f"delete-study --study-name {shlex.quote(name)} --storage URL."
        )
    return True


def _shown(url: str | None, error: Exception) -> str:
    """A URL that cannot be used, and why, without a password; of what is no URL, nobody knows where that would be."""
    try:
        address = sqlalchemy.make_url(url or "")
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return "what is none."
    return f"{address.set(query={}).render_as_string()}: {_innermost(error).rstrip('.')}."


def make_id(folder: Path) -> str:
    """Returns the id of a project folder, which is made when it is first asked for, whichever process asks.

    Raises:
        ProjectError: it cannot be written.
    """
    path = folder / files.STUDY_ID
    temporary = path.with_name(f".{secrets.token_hex(4)}.tmp.{path.name}")
    if not path.exists():
        try:
            with temporary.open("x", encoding="ascii") as file:
                file.write(secrets.token_hex(16))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, path)
            except FileExistsError:  # another process was faster
                pass
            except OSError:  # a disk that knows no links
                temporary.replace(path)
        except OSError as error:
            raise ProjectError(
                f"{path} cannot be written ({error.strerror or error}): make room or fix the permissions, then run the "
                "search again."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
    return path.read_text(encoding="ascii")


def remove_search(folder: Path, url: str | None) -> None:
    """Deletes a project folder, and its study in a database of the user's own.

    Raises:
        ProjectError: the folder holds something else, is being searched in, or cannot be deleted; or the database
            cannot be used.
        ConfigError: the URL is none, or its driver is missing.
    """
    if url is None:
        files.remove_project(folder)
    else:
        # Before the folder: without its id, nobody could tell any more whose study it is.
        remove_study = functools.partial(_remove_study, url, folder)
        files.remove_project(folder, first=functools.partial(patiently, SHARED, remove_study))


def _remove_study(url: str, folder: Path) -> None:
    """Deletes the study of a folder, if that has one in this database, which must be there in any case."""
    storage = open_storage(url, folder)
    try:
        with contextlib.suppress(FileNotFoundError, KeyError):  # there is none
            owner = (folder / files.STUDY_ID).read_text(encoding="ascii")
            study = storage.get_study_id_from_name(folder.name)
            if storage.get_study_user_attrs(study).get(OWNER) == owner:
                storage.delete_study(study)
    finally:
        storage.engine.dispose()


def patiently(name: str, call: Callable[[], Result], seconds: float | None = None) -> Result:
    """Calls what uses a database, again and again while the database is away.

    Args:
        name: of the database, for messages.
        call: what may be called again after it has failed midway.
        seconds: for which the database may be away; None for a minute.

    Raises:
        ProjectError: the database is damaged, cannot be written, or was away for longer.
    """
    give_up = time.monotonic() + (SECONDS_PATIENT if seconds is None else seconds)
    while True:
        try:
            return call()
        except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.DBAPIError) as error:
            reason = _innermost(error)
            if any(word in reason for word in DAMAGED):
                raise StudyDamagedError(f"The study in {name} is damaged ({reason}).") from error
            if any(word in reason for word in UNWRITABLE):
                raise ProjectError(
                    f"The study in {name} cannot be written ({reason}): make room or fix the permissions, then run the "
                    "search again; finished trials are kept."
                ) from error
            if time.monotonic() >= give_up:
                raise ProjectError(
                    f"The study in {name} cannot be used ({reason}): see that its database can be reached and written, "
                    "then run the search again; finished trials are kept."
                ) from error
            time.sleep(SECONDS_BETWEEN)


class StudyDamagedError(ProjectError):
    """The file of a study is no database any more."""


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


def ask_lock(folder: Path) -> filelock.BaseFileLock:
    """Returns the lock under which one process at a time asks for a trial."""
    return filelock.FileLock(folder / files.ASK_LOCK)


def take_trial(folder: Path, trial_id: str) -> bool:
    """Locks a trial for this process, until it ends or gives the trial up; tells whether no other has it.

    The operating system releases the lock with the process, however that ends, so that no clock decides who is dead.
    """
    path = files.trial_dir(folder, trial_id) / files.LOCK
    if path in _held:
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, timeout=SECONDS_TO_TAKE)
    try:
        lock.acquire(poll_interval=SECONDS_TO_TAKE / 10)
    except filelock.Timeout:
        return False
    _held[path] = lock
    return True


def release_trial(folder: Path, trial_id: str) -> None:
    """Gives up what `take_trial` locked, if it did."""
    lock = _held.pop(files.trial_dir(folder, trial_id) / files.LOCK, None)
    if lock is not None:
        lock.release()
