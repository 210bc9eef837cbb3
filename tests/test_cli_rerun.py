"""`tuner-gan rerun`: loads what the search loaded, trains a trial again, and says whether it came out the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runs import Run, call, copy_search, digits, run

from tuner_gan import files, threads
from tuner_gan.results import load

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def project(once: tuple[Path, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return copy_search(once[0], tmp_path).relative_to(tmp_path)


def test_the_same_score_with_the_threads_of_the_search(project: Path, tmp_path: Path) -> None:
    # It loads TensorFlow and trains a trial on 1,000 digits: some 15 s.
    before = load(project).records
    best, score = before[0].trial_id, before[0].score
    assert before[0].threads == threads.in_use()
    others = str(3 - min(2, threads.in_use()))
    found = run("rerun", str(project), folder=tmp_path, **dict.fromkeys(threads.environment(1), others))
    assert found.code == 0, found.err
    assert [line.rstrip() for line in found.out.splitlines()] == [
        f"trial {best}: fcd {score} in the search, {score} again",
        str(project / "reruns" / f"trial_{best}"),
    ]
    # A training as small as this one may come to the same score with others, too.
    assert files.read_json(project / "reruns" / f"trial_{best}" / files.RECORD)["threads"] == before[0].threads
    assert load(project).records == before


def test_another_score(project: Path, capsys: Capture) -> None:
    # It trains a trial on 1,000 digits: some 10 s.
    path = project / "trial_1" / files.RECORD
    content = files.read_json(path)
    files.write_json(path, content | {"score": 0.125})
    found = call(capsys, "rerun", str(project), "--trial", "1")
    assert found.code == 3
    assert found.error().startswith(f"Trial 1 scored {content['score']} when it was trained again, not 0.125: ")


def without(search: dict[str, Any]) -> None:
    del search["settings"]


def unknown(search: dict[str, Any]) -> None:
    search["settings"]["colour"] = "red"


def elsewhere(search: dict[str, Any]) -> None:
    search["settings"]["data"] = "images.npz"


def other(search: dict[str, Any]) -> None:
    np.savez("other.npz", images=digits(100), labels=np.arange(100) % 10)
    search["settings"]["data"] = "other.npz"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            without,
            "does not say how its data were loaded, because the search was made in Python or by an earlier version",
        ),
        (unknown, "is damaged: its settings are none (SearchConfig.__init__() got an unexpected keyword argument"),
        (
            elsewhere,
            "a path is taken from the folder that the search was started in. There is no dataset, file or folder",
        ),
        (other, "other.npz does not hold the data of this search any more: restore them."),
    ],
)
def test_data_that_are_not_to_be_had(
    change: Callable[[dict[str, Any]], None], said: str, project: Path, capsys: Capture
) -> None:
    search = files.read_json(project / files.SEARCH)
    change(search)
    files.write_json(project / files.SEARCH, search)
    found = call(capsys, "rerun", str(project))
    assert found.code == 2
    assert said in found.error()
    assert not (project / "reruns").exists()


def test_an_unknown_trial(project: Path, capsys: Capture) -> None:
    found = call(capsys, "rerun", str(project), "--trial", "7")
    assert found.code == 2
    assert "7" in found.error()
