"""The database of a study: what it says when it cannot be used, and its end with that of the folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from searches import QUIET, run_search

from tuner_gan import files
from tuner_gan.errors import ConfigError, ProjectError
from tuner_gan.search import storage as storage_module
from tuner_gan.search.storage import OWNER, check_storage, make_id, open_storage, remove_search

pytestmark = QUIET


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'shared.db'}"


@pytest.fixture
def project(tmp_path: Path, url: str) -> Path:
    """A project folder with a study in a database of the user's own."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / files.SEARCH).touch()
    optuna.create_study(study_name="project", storage=url).set_user_attr(OWNER, make_id(folder))
    return folder


def test_a_study_is_removed_before_its_folder(project: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the two would leave a study that no folder knows to be its own."""

    def kill(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", kill)
        with pytest.raises(KeyboardInterrupt):
            remove_search(project, url)
    assert optuna.get_all_study_names(url) == []
    remove_search(project, url)
    assert not project.exists()


@pytest.mark.parametrize("kept", ["searched in", "of somebody else"])
def test_a_folder_that_is_kept_keeps_its_study(kept: str, project: Path, url: str) -> None:
    if kept == "searched in":
        with files.search_lock(project), pytest.raises(ProjectError, match="is in use by"):
            remove_search(project, url)
    else:
        (project / files.SEARCH).rename(project / "thesis.txt")
        with pytest.raises(ProjectError, match="is no tuner_gan project"):
            remove_search(project, url)
    assert optuna.get_all_study_names(url) == ["project"]


def test_a_study_of_nobody_is_kept(project: Path, url: str) -> None:
    (project / files.STUDY_ID).unlink()
    optuna.delete_study(study_name="project", storage=url)
    optuna.create_study(study_name="project", storage=url)
    remove_search(project, url)
    assert not project.exists()
    assert optuna.get_all_study_names(url) == ["project"]


def test_a_database_in_the_folder_goes_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    url = f"sqlite:///{folder / 'mine.db'}"
    remove_search(folder, url)
    (folder / files.CLASSIFIER_DIR).mkdir(parents=True)  # of an interrupted start
    remove_search(folder, url)
    assert not folder.exists()


@pytest.mark.parametrize("known", [True, False])
def test_a_folder_whose_database_cannot_be_used_is_kept(
    known: bool, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of a search whose study was in a file: the next one could not begin."""
    if not known:
        (project / files.STUDY_ID).unlink()
    monkeypatch.setattr(storage_module, "SECONDS_PATIENT", 0.0)
    with pytest.raises(ProjectError, match=r"The study in the storage cannot be used \(unable to open database file\)"):
        remove_search(project, "sqlite:////no/such/folder/shared.db")
    with pytest.raises(ConfigError, match="storage must be the URL of a database"):
        remove_search(project, "mystery://host/name")
    assert (project / files.SEARCH).exists()


def test_a_database_in_a_folder_that_is_not_there_yet_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///runs/project/mine.db", f"sqlite:///{tmp_path}/runs/project/mine.db"):
        check_storage(url, Path("runs/project"))
    assert not (tmp_path / "runs").exists()


def test_a_study_of_another_folder_is_told_before_anything_is_made(project: Path, tmp_path: Path, url: str) -> None:
    check_storage(url, project)
    with pytest.raises(ProjectError, match=r"already holds a study named 'project', .* than .*other/project: choose"):
        check_storage(url, tmp_path / "other" / "project")
    assert not (tmp_path / "other").exists()
    optuna.create_study(study_name="empty", storage=url)
    check_storage(url, tmp_path / "empty")
    optuna.create_study(study_name="of nobody", storage=url).ask()
    with pytest.raises(ProjectError, match="delete-study --study-name 'of nobody' --storage URL"):
        check_storage(url, tmp_path / "of nobody")


def test_a_database_whose_tables_another_search_makes_can_be_used(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands that several machines start at once come to an empty database together."""
    create_all = optuna.storages._rdb.models.BaseModel.metadata.create_all

    def late(engine: sqlalchemy.Engine) -> None:
        create_all(engine)
        monkeypatch.undo()
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE studies (study_id INTEGER)"))

    monkeypatch.setattr(optuna.storages._rdb.models.BaseModel.metadata, "create_all", late)
    check_storage(url, tmp_path / "project")
    assert optuna.get_all_study_names(url) == []


def test_two_copies_of_a_folder_with_one_study_are_told(tmp_path: Path, url: str) -> None:
    """Each would lack what the other one has trained."""
    settings: dict[str, Any] = {"epochs": 1, "eager": True, "storage": url}
    first = run_search(tmp_path / "one", max_trials=1, **settings).folder
    shutil.copytree(first, tmp_path / "two" / "search")
    run_search(tmp_path / "one", max_trials=2, **settings)
    words = "Trials 1 of the study in the storage have no record in .*two/search, so no table shows them: if another"
    with pytest.warns(UserWarning, match=words):
        run_search(tmp_path / "two", max_trials=2, **settings)
    (tmp_path / "two" / "search").rename(tmp_path / "two" / "other")
    with pytest.warns(UserWarning, match="come back from their records"):
        other = run_search(tmp_path / "two", "other", max_trials=1, **settings)
    assert [record.trial_id for record in other.results().records] == ["0"]
    # A folder that is deleted by hand costs its row, as it does without a database.
    shutil.rmtree(files.trial_dir(first, "0"))
    with pytest.warns(UserWarning, match="Trials 0 of the study"):
        tuner = run_search(tmp_path / "one", max_trials=2, **settings)
    assert [record.trial_id for record in tuner.results().records] == ["1"]


def test_a_folder_has_one_id_on_a_disk_that_knows_no_links_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", link)
    first = make_id(tmp_path)
    assert len(first) == 32
    assert make_id(tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == [files.STUDY_ID]


def test_a_folder_gets_no_id_that_was_written_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders on full disks would have the same one, and each take the study of the other for its own."""

    def fsync(number: int) -> None:
        os.ftruncate(number, 0)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(ProjectError, match=r"study\.id cannot be written \(No space left on device\): make room"):
        make_id(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("driver", ["", "+psycopg", "+psycopg2"])
def test_a_silent_connection_to_postgresql_is_given_up(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After as long as its user says; libpq waits for hours, unless it is told otherwise."""
    address = opened(f"postgresql{driver}://me:s3cret@host:5432/gan?tcp_user_timeout=5&sslmode=require", monkeypatch)
    assert (address.password, address.port, address.query["sslmode"]) == ("s3cret", 5432, "require")
    assert address.query["tcp_user_timeout"] == "5"
    assert address.query["connect_timeout"] == "10"
    assert {name for name in address.query if name.startswith("keepalives_")} == {
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
    }


@pytest.mark.parametrize("url", ["postgresql+pg8000://me@host/gan", "mysql+pymysql://me@host/gan", "sqlite:///a.db"])
def test_other_drivers_have_no_such_timeouts(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened(url, monkeypatch) == sqlalchemy.make_url(url)


def test_a_password_may_have_braces(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("mysql+pymysql", "postgresql+psycopg"):
        assert opened(f"{scheme}://me:a{{b}}@host/gan", monkeypatch).password == "a{b}"


def opened(url: str, monkeypatch: pytest.MonkeyPatch) -> sqlalchemy.URL:
    """The URL of the database that is opened for this one."""

    class Opened(Exception):  # noqa: N818
        pass

    def create_engine(found: str, **_: object) -> sqlalchemy.Engine:
        raise Opened(found)

    monkeypatch.setattr(sqlalchemy.engine, "create_engine", create_engine)
    with pytest.raises(Opened) as caught:
        open_storage(url, Path())
    return sqlalchemy.make_url(str(caught.value))


@pytest.mark.parametrize(("file", "named"), [(False, "the storage"), (True, r"study\.db")])
def test_a_database_of_another_optuna(file: bool, named: str, project: Path, url: str) -> None:
    chosen = None if file else url
    path = project / files.STUDY if file else project.parent / "shared.db"
    open_storage(chosen, project).engine.dispose()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'x'")
    with pytest.raises(
        ProjectError,
        match=rf"The study in {named} is of another version of Optuna \(The runtime optuna .*optuna`\): install",
    ):
        open_storage(chosen, project)


def test_a_trial_is_written_at_once_as_optuna_writes_it(tmp_path: Path, url: str) -> None:
    ranges: dict[str, optuna.distributions.BaseDistribution] = {
        "rate": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True),
        "width": optuna.distributions.IntDistribution(8, 64, step=8),
        **{f"kind{number}": optuna.distributions.CategoricalDistribution(("a", 2, None)) for number in range(9)},
    }
    drawn = {"rate": 1e-3, "width": 24, **{name: (None, "a")[len(name) % 2] for name in ranges if "kind" in name}}
    statements = []

    def write(storage: optuna.storages.RDBStorage) -> optuna.trial.FrozenTrial:
        """Two trials, the second after another one of the same hyperparameters."""
        study = optuna.create_study(study_name="study", storage=storage)
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING, params=drawn, distributions=ranges, user_attrs={"id": "0"}
        )
        study.add_trial(trial)
        seen: list[str] = []
        sqlalchemy.event.listen(storage.engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
        study.add_trial(trial)
        statements.append(len(seen))
        storage.engine.dispose()
        return optuna.load_study(study_name="study", storage=str(storage.engine.url)).trials[1]

    ours = write(open_storage(url, tmp_path))
    theirs = write(optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'theirs.db'}"))
    assert (ours.params, ours.distributions) == (theirs.params, theirs.distributions) == (drawn, ranges)
    assert (ours.number, ours.state, ours.user_attrs) == (theirs.number, theirs.state, theirs.user_attrs)
    assert statements[1] - statements[0] >= 2 * len(ranges)


def test_a_study_of_its_own_is_made_without_waiting_for_the_disk(tmp_path: Path) -> None:
    with contextlib.closing(open_storage(None, tmp_path).engine.raw_connection()) as connection:
        cursor = connection.cursor()
        # The tables are still in the log, which is written through at checkpoints only (1: NORMAL).
        assert (tmp_path / files.STUDY).stat().st_size <= 4096 < (tmp_path / f"{files.STUDY}-wal").stat().st_size
        assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert cursor.execute("PRAGMA synchronous").fetchone() == (1,)
        assert cursor.execute("SELECT count(*) FROM studies").fetchone() == (0,)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mystery+pymysql://me:s3cret@host/gan", "mystery+pymysql://me:***@host/gan: Can't load plugin"),
        ("mystery://host/gan?user=me&password=s3cret", "mystery://host/gan: Can't load plugin"),
        ("sqlite://me:s3cret@host/gan", "sqlite://me:***@host/gan: Invalid SQLite URL"),
        ("mystery://me@host:s3cret/gan", "what is none."),
        ("me:s3cret@host/gan", "what is none."),
    ],
)
def test_a_password_is_not_shown(url: str, shown: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage(url, tmp_path)
    assert f"whose driver is installed, but got {shown}" in str(caught.value)
    assert "s3cret" not in str(caught.value)
