"""search.json, and the one place where a project is deleted."""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from searches import QUIET, MeanQuality, TinySpace, blobs, make_tuner

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.search.project import check_same, describe
from tuner_gan.search_spaces.base import declare

pytestmark = QUIET


def described(**changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "quality": MeanQuality(blobs()),
        "space_name": "TinySpace",
        "space": declare(TinySpace()),
        "oracle": "tpe",
        "seed": 0,
    }
    return describe("demo", **(arguments | changes))


def test_a_description_holds_what_the_results_need() -> None:
    content = described()
    assert content["schema"] == files.SCHEMA
    assert content["objective"] == {"name": "fcd", "direction": "min"}
    assert content["metrics"] == ["fcd", "brightness"]
    assert content["data"]["image_shape"] == [8, 8, 1]
    assert content["data"]["licence"] is None
    quality = MeanQuality(blobs())
    quality.card["data_licence"] = "CC0"
    assert described(quality=quality)["data"]["licence"] == "CC0"
    assert content["classifier"]["floor"] == {"fcd": 0.0, "brightness": 0.1}
    assert set(content["versions"]) >= {"python", "tensorflow", "keras", "keras-tuner"}
    entries = {entry["name"]: entry for entry in content["space"]["hyperparameters"]}
    assert list(entries) == ["generator_depth", "generator_width", "generator_width_2"]
    assert (entries["generator_width"]["kind"], entries["generator_width"]["max_value"]) == ("Int", 8)
    (condition,) = entries["generator_width_2"]["conditions"]
    assert (condition["name"], condition["values"]) == ("generator_depth", [2])


def test_the_settings_are_those_that_decide_the_result(tmp_path: Path) -> None:
    def search(**changes: Any) -> dict[str, Any]:
        point = {"generator_depth": 2, "generator_width": 5}
        settings: dict[str, Any] = {"pruner": "median", "max_failures": 3, "max_model_size": 10**6, "enqueue": [point]}
        tuner = make_tuner(tmp_path, oracle="tpe", eager=True, **(settings | changes))
        tuner.search(blobs(), epochs=1, max_total_epochs=1, max_trial_time=60.0)
        return files.read_json(path)

    path = tmp_path / "search" / files.SEARCH
    content = search()
    assert "optuna" in content["versions"]
    config = content["config"]
    expected = {
        "pruner": "median",
        "max_total_epochs": 1,
        "max_trial_time": 60.0,
        "max_failures": 3,
        "max_model_size": 10**6,
        "enqueue": [{"generator_depth": 2, "generator_width": 5}],
    }
    assert expected.items() <= config.items()
    # An earlier version did not note them, and its finalists stay those that were chosen.
    earlier = {name: value for name, value in config.items() if name not in expected}
    files.write_json(path, content | {"config": earlier, files.FINALISTS: ["7"]})
    content = search()
    assert (content["config"], content[files.FINALISTS]) == (config, ["7"])
    content = search(pruner="none", max_failures=None, enqueue=())
    assert files.FINALISTS not in content
    assert [content["config"][name] for name in ("pruner", "max_failures", "enqueue")] == ["none", None, None]


def test_hyperband_notes_the_epochs_of_its_longest_trials(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path, oracle="hyperband", max_epochs=4, eager=True)
    tuner.search(blobs(), max_total_epochs=1)
    assert files.read_json(tmp_path / "search" / files.SEARCH)["config"]["max_epochs"] == 4


def test_the_same_search_is_the_same_another_day(tmp_path: Path) -> None:
    later = {**described(), "created_at": "2030-01-01T00:00:00+00:00", "versions": {}, "elapsed_s": 5.0, "config": {}}
    check_same(tmp_path, described(), later)


@pytest.mark.parametrize("part", ["data", "space", "classifier", "objective", "oracle", "seed", "config", "elapsed_s"])
def test_a_damaged_description_is_refused(part: str, tmp_path: Path) -> None:
    stored = copy.deepcopy(described())
    del stored[part]
    damaged = r"search\.json is damaged: it lacks entries or has wrong ones; delete it, and the same search goes on"
    with pytest.raises(ProjectError, match=damaged):
        check_same(tmp_path, stored, described())
    stored[part] = None
    with pytest.raises(ProjectError, match=f"another|{damaged}"):
        check_same(tmp_path, stored, described())


def test_a_space_of_another_name_or_with_another_hyperparameter(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"search space \(TinySpace, not other\)"):
        check_same(tmp_path, described(), described(space_name="other"))
    grown = declare(TinySpace())
    grown.Choice("colour", ["red", "blue"])
    with pytest.raises(ProjectError, match=r"search space \(colour: absent, not default red, values \['red', 'blue'\]"):
        check_same(tmp_path, described(), described(space=grown))


def test_a_damaged_search_json_is_refused(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path)
    (tuner.folder / files.SEARCH).write_text('{"schema": 1,')
    files.copy_of(tuner.folder / files.SEARCH).unlink()
    with pytest.raises(ProjectError, match=r"search.json is damaged: expected JSON.*; delete it, and"):
        make_tuner(tmp_path)
    (tuner.folder / files.SEARCH).write_text('{"schema": 99}')
    with pytest.raises(ProjectError, match="install a newer tuner_gan"):
        make_tuner(tmp_path)


def test_only_projects_are_removed(tmp_path: Path) -> None:
    files.remove_project(tmp_path / "nothing")

    precious = tmp_path / "search"
    precious.mkdir()
    (precious / "thesis.txt").write_text("five years")
    with pytest.raises(ProjectError, match="is no tuner_gan project, so it is not overwritten"):
        make_tuner(tmp_path, overwrite=True)
    assert (precious / "thesis.txt").read_text() == "five years"

    a_file = tmp_path / "file"
    a_file.write_text("text")
    with pytest.raises(ProjectError, match=r"file cannot be written \(.*\): choose another folder"):
        make_tuner(tmp_path, "file", overwrite=True)
    assert a_file.read_text() == "text"

    empty = tmp_path / "empty"
    empty.mkdir()
    files.remove_project(empty)
    assert not empty.exists()

    MeanQuality(blobs()).save(tmp_path / "fitted")
    files.remove_project(tmp_path / "fitted")
    assert not (tmp_path / "fitted").exists()


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    "names",
    [
        (files.SEARCH, "notes.txt"),
        (files.copy_of(Path(files.SEARCH)).name, files.STUDY),  # whose search.json was deleted, as its damage asks for
        (f"{files.CLASSIFIER_DIR}/{files.CARD}", f"{files.CLASSIFIER_DIR}/{files.CLASSIFIER_MODEL}"),
        (f"{files.CLASSIFIER_DIR}/.0123abcd.tmp.{files.REFERENCE}",),
        (f"{files.CLASSIFIER_DIR}/{files.REFERENCE}", f"{files.CLASSIFIER_DIR}/.0123abcd.tmp.{files.CARD}"),
        (".0123abcd.tmp",),
        (files.SETUP_LOCK, f"{files.WORKERS_DIR}/host-0.log", f"{files.WORKERS_DIR}/data-1/train.npy", files.LOCK),
    ],
)
def test_what_an_interrupted_start_has_left_is_removed(names: tuple[str, ...], tmp_path: Path) -> None:
    put(tmp_path / "search", *names)
    (tmp_path / "search" / files.CLASSIFIER_DIR).mkdir(exist_ok=True)
    files.remove_project(tmp_path / "search")
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(
    "names",
    [
        (files.STUDY, "thesis.txt"),
        (files.STUDY,),  # anybody's
        (files.TUNER,),
        ("block", files.LOCK),
        (f"{files.CLASSIFIER_DIR}/weights.pt",),
        (files.CLASSIFIER_DIR,),
        (files.CLASSIFIER_MODEL,),
        (f"{files.CLASSIFIER_DIR}/{files.REFERENCE}", "thesis.txt"),
    ],
)
def test_what_may_be_of_somebody_else_is_not(names: tuple[str, ...], tmp_path: Path) -> None:
    put(tmp_path / "search", *names)
    with pytest.raises(ProjectError, match="search is no tuner_gan project, so it is not overwritten"):
        files.remove_project(tmp_path / "search")
    assert all((tmp_path / "search" / name).is_file() for name in names)


def test_a_folder_of_links_is_nobody_s_project(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "data").symlink_to(tmp_path / "data")
    with pytest.raises(ProjectError, match="search is no tuner_gan project, so it is not overwritten"):
        files.remove_project(tmp_path / "search")
    assert (tmp_path / "search" / "data").is_symlink()


def test_a_link_to_a_project_is_not_removed_and_neither_is_what_a_link_in_one_leads_to(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", files.SEARCH, files.STUDY)
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(ProjectError, match="link is a link, so it is not overwritten"):
        files.remove_project(tmp_path / "link")
    assert (tmp_path / "elsewhere" / files.STUDY).exists()
    put(tmp_path / "search", files.SEARCH)
    (tmp_path / "search" / files.BEST_DIR).symlink_to("../elsewhere")
    files.remove_project(tmp_path / "search")
    assert (tmp_path / "elsewhere" / files.STUDY).exists()


def test_a_removal_that_is_killed_at_any_moment_can_be_done_again(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    unlink = os.unlink
    left = 0

    def killed(path: Any, **kwargs: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        unlink(path, **kwargs)

    for steps in itertools.count():
        put(folder, files.SEARCH, files.STUDY, "trial_0/record.json", "trial_1/record.json", "best/generator.keras")
        left = steps
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "unlink", killed)
            with contextlib.suppress(KeyboardInterrupt):
                files.remove_project(folder)
        if left >= 0:
            break
        files.remove_project(folder)
        assert not folder.exists()
    assert not folder.exists()
    assert steps > 5


def test_a_project_that_is_searched_in_is_not_removed(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path)
    with files.search_lock(tuner.folder), pytest.raises(ProjectError, match="is in use by"):
        files.remove_project(tuner.folder)
    assert (tuner.folder / files.SEARCH).exists()
