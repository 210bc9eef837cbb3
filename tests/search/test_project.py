"""search.json, and the one place where a project is deleted."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from searches import MeanQuality, TinySpace, blobs, make_tuner

from tuner_gan import files
from tuner_gan.errors import ProjectError
from tuner_gan.search.project import check_same, describe
from tuner_gan.search_spaces.base import declare


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
    assert content["classifier"]["floor"] == {"fcd": 0.0, "brightness": 0.1}
    assert set(content["versions"]) >= {"python", "tensorflow", "keras", "keras-tuner"}
    entries = {entry["name"]: entry for entry in content["space"]["hyperparameters"]}
    assert list(entries) == ["generator_depth", "generator_width", "generator_width_2"]
    assert (entries["generator_width"]["kind"], entries["generator_width"]["max_value"]) == ("Int", 8)
    (condition,) = entries["generator_width_2"]["conditions"]
    assert (condition["name"], condition["values"]) == ("generator_depth", [2])


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


def test_a_project_that_is_searched_in_is_not_removed(tmp_path: Path) -> None:
    tuner = make_tuner(tmp_path)
    with files.search_lock(tuner.folder), pytest.raises(ProjectError, match="is in use by"):
        files.remove_project(tuner.folder)
    assert (tuner.folder / files.SEARCH).exists()
