"""Several processes on one search: their shares and names, how they are started, watched, replaced and ended."""

from __future__ import annotations

import itertools
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import keras
import pytest
from cli_runs import call, copy_search, search_once
from searches import QUIET, MeanQuality, blobs, finish, make_tuner, run_search, started, until

from tuner_gan import datasets, files
from tuner_gan.config import SearchConfig
from tuner_gan.errors import ConfigError, ProjectError, SearchError, TunerGANError
from tuner_gan.results import load
from tuner_gan.results.records import TrialRecord
from tuner_gan.search import workers
from tuner_gan.search.budget import Budget
from tuner_gan.search.interrupts import Terminated
from tuner_gan.search.shared_data import SharedData
from tuner_gan.search.workers import TASK, WORN_OUT, WorkerPool, WorkerTask

pytestmark = QUIET


# What a worker is told.


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        (None, [None, None, None]),
        ("", [None, None, None]),
        ("2", ["2", "2", "2"]),
        ("0,1", ["0", "1", "0"]),
        ("GPU-8a1,MIG-77,", ["GPU-8a1", "MIG-77", "GPU-8a1"]),
    ],
)
def test_each_worker_has_its_share_of_the_threads_and_a_gpu_in_turn(
    gpus: str | None, expected: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if gpus is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    elif workers._gpus():
        pytest.skip("this machine has a GPU")
    shares = [workers._share(place, 3) for place in range(3)]
    assert [share.get("CUDA_VISIBLE_DEVICES") for share in shares] == expected
    threads = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    assert [{share[name] for name in threads} for share in shares] == [{"2"}] * 3
    assert workers._share(0, 100)["OMP_NUM_THREADS"] == "1"
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    assert workers._share(0, 3)["OMP_NUM_THREADS"] == "21"


def test_a_task_comes_back_from_json() -> None:
    config = SearchConfig(
        data="digits",
        workers=2,
        max_time="90s",
        set={"latent_dim": 32},
        range={"generator_lr": [1e-4, 1e-3], "beta1": (0.0, 0.5), "batch_size": {64, 128}},
        default={"batch_size": 64},
    )
    task = WorkerTask(config, "runs/data-1", "host-0", 12.5)
    again = WorkerTask.from_json(task.to_json())
    assert again == task  # a list in the place of a tuple or a set would not be
    assert again.config.folder == config.folder


def test_names_are_those_that_no_living_worker_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def names(count: int) -> list[str]:
        with workers._names(tmp_path, count) as found:
            return found

    monkeypatch.setattr(platform, "node", lambda: "a host.example")
    files.create_folder(tmp_path / files.WORKERS_DIR)
    assert names(2) == ["a-host-example-0", "a-host-example-1"]
    (tmp_path / files.WORKERS_DIR / f"a-host-example-1{files.LOCK}").touch()  # of one that was killed
    with files.worker_lock(tmp_path, "a-host-example-0"):
        assert names(2) == ["a-host-example-1", "a-host-example-2"]
    assert names(1) == ["a-host-example-0"]
    monkeypatch.setattr(platform, "node", lambda: "")
    assert names(1) == ["worker-0"]


def test_commands_that_start_together_give_different_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where two machines have one name: workers lock theirs only when TensorFlow is loaded."""
    monkeypatch.setattr(platform, "node", lambda: "host")
    files.create_folder(tmp_path / files.WORKERS_DIR)
    with workers._names(tmp_path, 2) as first, workers._names(tmp_path, 2) as second:
        assert (first, second) == (["host-0", "host-1"], ["host-2", "host-3"])
        assert not files.is_searching(tmp_path)
    with workers._names(tmp_path, 1) as again:
        assert again == ["host-0"]


# Locks.


def holder(folder: Path, lock: str) -> subprocess.Popen[str]:
    """A process that holds a lock until it is killed."""
    code = (
        f"import sys, time; from tuner_gan import files\nwith files.{lock}: print('held', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_workers_share_a_project_that_a_search_alone_has_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = platform.node()
    with holder(tmp_path, f"worker_lock(__import__('pathlib').Path({str(tmp_path)!r}), 'a')") as other:
        try:
            assert files.is_searching(tmp_path)
            with files.worker_lock(tmp_path, "b"), files.worker_lock(tmp_path, "c"):
                pass
            words = f"is in use by a search with process id {other.pid}: wait for it"
            with pytest.raises(ProjectError, match=words), files.worker_lock(tmp_path, "a"):
                pass
            with pytest.raises(ProjectError, match=words), files.search_lock(tmp_path):
                pass
            (tmp_path / files.SEARCH).touch()
            with pytest.raises(ProjectError, match=words):
                files.remove_project(tmp_path)
            # Its process id means nothing on another machine that shares the folder.
            monkeypatch.setattr("platform.node", lambda: "elsewhere")
            words = f"a search with process id {other.pid} on {re.escape(here)}: wait for it"
            with pytest.raises(ProjectError, match=words):
                files.remove_project(tmp_path)
        finally:
            other.kill()
    assert not files.is_searching(tmp_path)
    with files.worker_lock(tmp_path, "a"):
        pass
    with holder(tmp_path, f"search_lock(__import__('pathlib').Path({str(tmp_path)!r}))") as other:
        try:
            with (
                pytest.raises(ProjectError, match=f"a search with process id {other.pid}"),
                files.worker_lock(tmp_path, "a"),
            ):
                pass
        finally:
            other.kill()
    with files.search_lock(tmp_path):
        assert files.is_searching(tmp_path)


def test_whoever_looks_at_a_lock_does_not_keep_others_from_it(tmp_path: Path) -> None:
    """A live view looks every second, and by looking it holds the lock for a moment."""
    files.create_folder(tmp_path / files.WORKERS_DIR)
    path = tmp_path / files.WORKERS_DIR / f"a{files.LOCK}"
    path.touch()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            files.is_locked(path)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for _ in range(40):
            with files.worker_lock(tmp_path, "a"):
                pass
    finally:
        ended.set()
        looking.join()


# Starting, watching and ending them: with workers that are processes, and train nothing.

PREAMBLE = f"""
import json, os, signal, sys, time
from pathlib import Path
task = json.loads(os.environ["{TASK}"])
folder = Path(task["config"]["dir"], task["config"]["name"])
lives = folder / "lives"
mine = task["name"] + " " + str(os.getpid())
with lives.open("a") as file:
    print(mine, file=file)
count = 1 + lives.read_text().splitlines().index(mine)  # another one may begin at the same moment
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a pool of two workers that run some code instead of a search."""
    monkeypatch.setattr(workers, "SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(platform, "node", lambda: "host")
    monkeypatch.chdir(tmp_path)  # where `python -m` looks first

    def make(code: str) -> WorkerPool:
        (tmp_path / "tuner_gan").mkdir()
        (tmp_path / "tuner_gan" / "__init__.py").touch()
        (tmp_path / "tuner_gan" / "__main__.py").write_text(PREAMBLE + code, encoding="utf-8")
        return WorkerPool(SearchConfig(dir=str(tmp_path), name="demo", workers=2), tmp_path / "none", 0.0)

    return make


def lives(folder: Path) -> list[list[str]]:
    """The names and process ids of the workers there were."""
    path = folder / "demo" / "lives"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def assert_gone(folder: Path) -> None:
    for _, pid in lives(folder):
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_a_worker_that_is_worn_out_is_replaced_and_a_finished_one_is_not(pool: Any, tmp_path: Path) -> None:
    pool(f"sys.exit({WORN_OUT} if count < 5 else 0)").run()
    names = [name for name, _ in lives(tmp_path)]
    assert set(names) == {"host-0", "host-1"}
    assert 5 <= len(names) <= 6
    assert_gone(tmp_path)


def test_three_deaths_in_a_row_end_the_search(pool: Any, tmp_path: Path) -> None:
    with pytest.raises(
        SearchError, match=r"3 workers died before they began a trial.*exit code -9: give .* fewer work"
    ):
        pool("os.kill(os.getpid(), signal.SIGKILL)").run()
    assert 3 <= len(lives(tmp_path)) <= 4
    assert_gone(tmp_path)


def test_deaths_between_which_trials_begin_do_not(pool: Any, tmp_path: Path) -> None:
    pool(
        "record = folder / f'trial_{count}' / 'record.json'\n"
        "record.parent.mkdir()\n"
        "record.write_text('{}')\n"
        "os.utime(record, (0, 0))  # whatever the clock says\n"
        "if count < 9: os.kill(os.getpid(), signal.SIGKILL)"
    ).run()
    assert 9 <= len(lives(tmp_path)) <= 10


@pytest.mark.parametrize(("code", "kind"), [(2, TunerGANError), (3, SearchError)])
def test_an_error_of_one_ends_all_and_is_told(code: int, kind: type[Exception], pool: Any, tmp_path: Path) -> None:
    with pytest.raises(kind, match=r"^the folder is full\.$"):
        pool(
            f"if count == 2:\n    print('tuner-gan: error: the folder is full.'); sys.exit({code})\ntime.sleep(60)"
        ).run()
    assert_gone(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_told_to_each_worker_once(number: signal.Signals, pool: Any, tmp_path: Path) -> None:
    made = pool(
        "import select\n"
        "def note(number, frame):\n"
        "    time.sleep(0.5)\n"
        "    is_closed = bool(select.select([0], [], [], 0)[0])  # which would be a second signal\n"
        "    (folder / f'heard-{task[\"name\"]}').open('a').write(f'{number} {is_closed};')\n"
        "    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, note)\n"
        "(folder / f'ready-{task[\"name\"]}').touch()\n"
        "time.sleep(60)"
    )

    def strike() -> None:
        deadline = time.monotonic() + 60
        while len(list((tmp_path / "demo").glob("ready-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=strike)
    thread.start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            made.run()
    finally:
        signal.signal(signal.SIGINT, before)
        thread.join()
    assert [path.read_text() for path in (tmp_path / "demo").glob("heard-*")] == ["15 False;"] * 2
    assert_gone(tmp_path)


@pytest.mark.parametrize(("kind", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_a_command_that_is_interrupted_before_a_worker_has_begun(
    kind: type[BaseException],
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(self: WorkerPool) -> None:
        raise kind

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(WorkerPool, "run", run)
    found = call(capsys, "search", "--data", "digits", "--workers", "2", "--max-trials", "1")
    assert (found.code, found.err) == (code, "")
    assert "Interrupted. The same command goes on from here." in found.out


# Searching together.


def finished(folder: Path) -> dict[str, TrialRecord]:
    return {trial.trial_id: trial for trial in load(folder).records if trial.status not in ("RUNNING", "INTERRUPTED")}


def test_two_share_the_trials_and_the_finalists(tmp_path: Path) -> None:
    # Two processes that load TensorFlow: about 20 seconds.
    settings: dict[str, Any] = {"oracle": "tpe", "max_trials": 6, "finalists": 2, "finalist_seeds": 2, "epochs": 20}
    folder = tmp_path / "search"
    with started(tmp_path, worker="a", **settings) as first, started(tmp_path, worker="b", **settings) as second:
        until(lambda: (folder / files.WORKERS_DIR / "a.pid").exists(), first)
        with pytest.raises(ProjectError, match="is in use by a search with process id"):
            run_search(tmp_path, **{**settings, "epochs": 20})
        ended = [finish(first), finish(second)]
        assert [code for code, _ in ended] == [0, 0], "\n".join(errors[-2000:] for _, errors in ended)
    records = load(folder).records
    assert sorted(record.trial_id for record in records if record.origin == "search") == list("012345")
    assert len([record for record in records if record.origin == "finalist"]) == 2
    assert {record.status for record in records} == {"COMPLETED"}
    alone = run_search(tmp_path, **settings)
    assert alone.results().records == records
    scores = {trial_id: trial.score for trial_id, trial in alone.oracle.trials.items()}
    assert scores == {record.trial_id: record.score for record in records if record.origin == "search"}


def test_what_a_killed_worker_leaves_another_takes_up(tmp_path: Path) -> None:
    # About 10 seconds: a process that loads TensorFlow.
    settings: dict[str, Any] = {"oracle": "tpe", "epochs": 3}
    folder = tmp_path / "search"
    with started(tmp_path, worker="a", wait="epoch", **settings) as process:
        until((tmp_path / "waiting").exists, process)
        with pytest.raises(ProjectError, match=f"process id {process.pid}"):
            run_search(tmp_path, **settings)
    (killed,) = load(folder).records
    rows = (folder / "trial_0" / files.HISTORY).read_bytes()
    tuner = run_search(tmp_path, worker="b", **settings)
    assert list(tuner.results().trials().status) == ["COMPLETED"] * 2
    again = tuner.results().trial("0")
    assert (again.seed, again.started_at, again.hyperparameters) == (
        killed.seed,
        killed.started_at,
        killed.hyperparameters,
    )
    assert (folder / "trial_0" / files.HISTORY).read_bytes().startswith(rows)


def test_a_worker_that_is_worn_out_ends_after_a_trial_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner_gan.search.wear.TRIALS_A_WORKER", 1)
    settings: dict[str, Any] = {"oracle": "tpe", "max_trials": 3, "finalists": 1, "finalist_seeds": 1, "eager": True}
    worn_out: list[bool] = []
    before: dict[str, TrialRecord] = {}
    for _ in range(5):
        tuner = run_search(tmp_path, worker="a", **settings)
        worn_out.append(tuner.worn_out)
        now = finished(tuner.folder)
        assert now.items() >= before.items()
        before = now
        if not tuner.worn_out:
            break
    assert worn_out == [True, True, False] or worn_out == [True, True, True, False]
    assert sorted(before) == ["0", "1", "2", *[one for one in before if one.startswith("final_")]]
    assert len(before) == 4
    alone = make_tuner(tmp_path, **{**settings, "eager": True})
    alone.search(blobs(), epochs=2)
    assert not alone.worn_out
    assert finished(alone.folder) == before


class Interrupted(MeanQuality):
    """Ctrl-C at the second opinion on a finalist."""

    second_metrics = ("second_fcd",)

    def evaluate(self, images: Any, labels: Any = None, *, second: bool = False) -> dict[str, float]:
        if second:
            raise KeyboardInterrupt
        return super().evaluate(images, labels)


@pytest.mark.parametrize("at", ["tutorial_dense", "final_0", "the second opinion"])
def test_an_interrupted_worker_gives_up_what_it_runs_though_its_process_lives_on(at: str, tmp_path: Path) -> None:
    class Stop(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if (tmp_path / "search" / f"trial_{at}").exists():
                raise KeyboardInterrupt

    settings: dict[str, Any] = {"baselines": "all" if at.startswith("tutorial") else "none", "max_trials": 1}
    tuner = make_tuner(
        tmp_path, worker="a", quality=Interrupted(blobs()), finalists=1, finalist_seeds=1, eager=True, **settings
    )
    with pytest.raises(KeyboardInterrupt):
        tuner.search(blobs(), epochs=1, callbacks=[Stop()])
    locks = list(files.trial_files(tuner.folder, files.LOCK))
    assert [lock for lock in locks if files.is_locked(lock)] == []
    assert locks


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        ({}, {"epochs": 2}, "epochs 1, not 2"),
        ({}, {"max_time": 90.0}, "max_time None, not 90.0"),
        ({"finalist_seeds": 5}, {}, "finalist_seeds 3, not 5"),
    ],
)
def test_workers_with_other_settings_come_when_nobody_is_at_work_any_more(
    arguments: dict[str, Any], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"oracle": "tpe", "max_trials": 1, "eager": True}
    run_search(tmp_path, epochs=1, worker="a", **settings)
    other = make_tuner(tmp_path, worker="b", **settings, **arguments)
    words = f"is being searched in with {message}: run the same command on each machine, or wait"
    with files.worker_lock(tmp_path / "search", "a"):
        with pytest.raises(ProjectError, match=words):
            other.search(blobs(), **{"epochs": 1, **changes})
        run_search(tmp_path, epochs=1, worker="b", **settings)
    before = other.results().config["config"]
    other.search(blobs(), **{"epochs": 1, **changes})
    assert other.results().config["config"] == before | arguments | changes


@pytest.mark.parametrize("forgets", [True, False])
def test_a_worker_without_the_storage_of_the_others_is_refused_before_it_writes(forgets: bool, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    settings: dict[str, Any] = {"oracle": "tpe", "max_trials": 1, "eager": True}
    theirs: dict[str, Any] = {"storage": url if forgets else None}
    mine: dict[str, Any] = {"storage": None if forgets else url}
    run_search(tmp_path, epochs=1, worker="a", **settings, **theirs)
    folder = tmp_path / "search"
    assert str(tmp_path) not in (folder / files.SEARCH).read_text(encoding="utf-8")  # a URL may have a password
    stored, new = ("a database", files.STUDY) if forgets else (files.STUDY, "a database")
    words = f"is being searched in with storage {stored}, not {new}: run the same command on each machine"
    with files.worker_lock(folder, "a"), pytest.raises(ProjectError, match=words):
        make_tuner(tmp_path, worker="b", **settings, **mine)
    assert not (folder / files.STUDY if forgets else tmp_path / "shared.db").exists()
    other = make_tuner(tmp_path, worker="b", **settings, **mine)  # before the others begin
    with files.worker_lock(folder, "a"), pytest.raises(ProjectError, match=words):
        other.search(blobs(), epochs=1)
    assert other.oracle.trials == {}
    with pytest.warns(UserWarning, match="come back from their records"):
        other.search(blobs(), epochs=1)
    assert other.results().config["config"]["storage"] == new


@pytest.mark.parametrize(("trial_id", "waits"), [("1", True), ("final_1", False)])
def test_a_worker_waits_for_what_may_become_a_finalist(trial_id: str, waits: bool, tmp_path: Path) -> None:
    """And not for the finalist that a faster one has begun, which takes all the time that is left."""
    tuner = make_tuner(tmp_path, oracle="tpe", worker="b", eager=True)
    lock = files.trial_dir(tuner.folder, trial_id) / files.LOCK
    lock.parent.mkdir()
    code = (
        "import sys, time, filelock\n"
        "with filelock.FileLock(sys.argv[1]):\n    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            tuner._budget = Budget(tuner.folder, max_time=2.0)
            tuner._wait_for_others()
            assert tuner._budget.is_over() == waits
        finally:
            other.kill()
    tuner._budget = Budget(tuner.folder)
    tuner._wait_for_others()  # whoever held it is no more


@pytest.mark.parametrize(("growth", "worn_out"), [(2**30 + 1, True), (2**30 - 1, False)])
def test_a_worker_that_has_grown_is_worn_out(
    growth: int, worn_out: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since its first trial: what is there from then on, however much, would be there again in another process."""
    tuner = make_tuner(tmp_path, oracle="tpe", worker="a", max_trials=2, eager=True)
    sizes = itertools.chain([2**40], itertools.repeat(2**40 + growth))
    monkeypatch.setattr("tuner_gan.search.wear.private_memory", lambda: next(sizes))
    tuner.search(blobs(), epochs=1)
    assert tuner.worn_out == worn_out
    assert len(tuner.results()) == (1 if worn_out else 2)


def test_the_exit_code_of_a_worker(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # About 20 seconds when it runs alone: a search that trains a classifier, once for all test files.
    searched, _ = search_once(tmp_path_factory.getbasetemp())
    copy_search(searched, tmp_path, trials=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "end_with_parent", lambda: None)  # whose input this process does not have
    monkeypatch.setattr("tuner_gan.search.wear.TRIALS_A_WORKER", 1)
    config = SearchConfig(
        data="digits", space="mlp", max_trials=2, epochs=2, baselines="none", finalists=0, name="demo", workers=1
    )
    assert call(capsys, "worker").error() == "Workers are started by tuner-gan search --workers N: run that."
    with SharedData(datasets.load("digits").split(), config.folder) as data:
        monkeypatch.setenv(TASK, WorkerTask(config, str(data), "a", 0.0).to_json())
        codes = [call(capsys, "worker").code for _ in range(3)]
    assert codes[0] == WORN_OUT
    assert codes[-1] == 0
    assert len(finished(tmp_path / "runs" / "demo")) == 2
    with (
        SharedData(datasets.load("digits").split(), config.folder) as data,
        files.worker_lock(tmp_path / "runs" / "demo", "a"),
    ):
        monkeypatch.setenv(TASK, WorkerTask(config, str(data), "a", 0.0).to_json())
        found = call(capsys, "worker")
    assert (found.code, found.error().split(":")[0]) == (
        2,
        f"runs/demo is in use by a search with process id {os.getpid()}",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"worker": "a/b", "oracle": "tpe"}, r"worker='a/b' cannot be: it must be letters, digits"),
        ({"worker": "..", "oracle": "tpe"}, r"worker='\.\.' cannot be"),
        ({"worker": "a", "oracle": "tpe", "overwrite": True}, "overwrite would delete what others do"),
        ({"worker": "a", "oracle": "grid"}, "Workers need one of Optuna's samplers as oracle, but got Grid"),
    ],
)
def test_workers_that_cannot_be(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        make_tuner(tmp_path, **arguments)
