"""Files of a project: what is written comes back, and what is damaged says so in one sentence."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tuner_gan import files
from tuner_gan.errors import ProjectError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
OBJECTS = st.dictionaries(TEXT, st.recursive(SCALARS, lambda v: st.lists(v) | st.dictionaries(TEXT, v), max_leaves=20))


def read(folder: Path, content: bytes) -> dict[str, Any]:
    path = folder / "file.json"
    path.write_bytes(content)
    return files.read_json(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@settings(deadline=None)  # a disk may be slow
@given(OBJECTS.filter(lambda value: "schema" not in value))
@example({"less than 64 bits": -(2**63) - 1})
@example({"more than 64 bits": 2**64})
def test_json_comes_back_as_it_was(folder: Path, value: dict[str, Any]) -> None:
    files.write_json(folder / "written.json", value)
    found = files.read_json(folder / "written.json")
    assert found == value
    assert json.dumps(found) == json.dumps(value)  # also -0.0, and the types and the order of everything


@settings(deadline=None)  # a disk may be slow
@given(st.binary(max_size=30) | OBJECTS.map(lambda value: json.dumps(value).encode()[:-1]))
def test_anything_else_is_an_object_for_json_too_or_damaged(folder: Path, content: bytes) -> None:
    try:
        expected = json.loads(content.decode("utf-8"))
    except ValueError:
        expected = None
    if isinstance(expected, dict):
        assert read(folder, content) == expected
    else:
        with pytest.raises(ProjectError, match=r"file\.json is damaged"):
            read(folder, content)


def test_numbers_that_json_does_not_know_are_read_where_another_program_wrote_them(tmp_path: Path) -> None:
    assert read(tmp_path, b'{"score": Infinity, "rank": 1}') == {"score": float("inf"), "rank": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "refused.json", {"score": float("nan")})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.json"]


def test_half_of_a_surrogate_pair_becomes_a_question_mark(tmp_path: Path) -> None:
    assert read(tmp_path, rb'{"message": "a\ud800b", "other": "\ud83d\ude00"}') == {"message": "a?b", "other": "😀"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is damaged: expected JSON, but Expecting value"),
        (b'{"a": 1', "is damaged: expected JSON, but Expecting ',' delimiter"),
        (b"\xff{}", "is damaged: expected JSON, but 'utf-8' codec can't decode"),
        (b"\xef\xbb\xbf{}", "is damaged: expected JSON, but Unexpected UTF-8 BOM"),
        (b"[]", "is damaged: expected a JSON object, got a list"),
        (b'{"a":' * 100_000, "is damaged: it is nested too deeply"),
        (b'{"schema": 99}', "has schema 99, and this version of tuner_gan reads up to"),
        (b'{"schema": "1"}', "has schema '1'"),
    ],
)
def test_damage_is_told_in_a_sentence(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(ProjectError) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path / 'file.json'} {why}")


@pytest.mark.parametrize("damage", [b"", b'{"rank": ', b"[]", b'{"a":' * 100_000])
def test_the_copy_of_a_damaged_file_is_read(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "file.json"
    files.write_json(path, {"rank": 1}, copied=True)
    assert files.read_json(path) == {"rank": 1}
    path.write_bytes(damage)
    with pytest.warns(UserWarning, match=rf"^{path} is damaged, so its copy \.file\.json\.copy is read\.$"):
        assert files.read_json(path) == {"rank": 1}
    with pytest.warns(UserWarning, match="is read"):
        files.mend(path)
    assert files.read_json(path) == {"rank": 1}
    files.mend(path)  # nothing to do
    path.write_bytes(damage)
    files.copy_of(path).write_bytes(damage)
    for read in (files.read_json, files.mend):
        with pytest.raises(ProjectError, match=rf"^{path} is damaged"):
            read(path)


def test_no_copy_is_read_of_what_is_gone_or_of_a_newer_version(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    files.write_json(path, {"rank": 1}, copied=True)
    path.write_text('{"schema": 99}')
    with pytest.raises(ProjectError, match="has schema 99"):
        files.read_json(path)
    path.unlink()
    with pytest.raises(ProjectError, match="cannot be read"):
        files.read_json(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ProjectError, match="cannot be read"):
            files.read_json(path)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "first\n")

    def stop() -> None:
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        stop()
    assert path.read_text() == "first\n"
    files.write_text(path, "second\r\n")
    assert path.read_bytes() == b"second\r\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_leads_to_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("there.txt", "not_yet.txt"):
        link, place = tmp_path / name, tmp_path / "in" / f"{name}.bin"
        link.symlink_to(place)
        if name == "there.txt":
            place.write_text("before")
        files.check_output(link)
        with files.writing(link) as temporary:
            assert temporary.name.endswith(".txt")  # whoever writes may look at the suffix
            temporary.write_text("now")
        assert link.is_symlink()
        assert place.read_text() == "now"
    assert len(list(tmp_path.rglob("*"))) == 5


def test_a_link_in_a_project_is_replaced_and_what_it_leads_to_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    outside, path = tmp_path / "outside.txt", tmp_path / "project" / "search.json"
    outside.write_text("kept")
    path.symlink_to(outside)
    files.write_json(path, {"a": 1})
    assert outside.read_text() == "kept"
    assert not path.is_symlink()
    assert files.read_json(path) == {"a": 1}


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe, link, read = tmp_path / "pipe.txt", tmp_path / "link.txt", []
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
        reader.start()
        files.write_output(path, "through it")
        reader.join(10)
    assert read == ["through it"] * 2
    assert pipe.is_fifo()
    assert sorted(tmp_path.iterdir()) == [link, pipe]


def test_a_pipe_that_nobody_reads_to_its_end_is_told(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)

    def read_the_first() -> None:
        with pipe.open("rb") as file:
            file.read(1)

    reader = threading.Thread(target=read_the_first, daemon=True)
    reader.start()
    with pytest.raises(ProjectError) as caught:
        files.write_output(pipe, "more than a pipe holds" * 100_000)
    assert str(caught.value) == f"{pipe} cannot be written (Broken pipe): choose another output."


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="as /dev/stdout leads to, on Linux")
def test_a_file_that_others_write_to_keeps_what_they_wrote(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    with path.open("a") as log:
        log.write("before, ")
        log.flush()
        files.write_output(Path(f"/proc/self/fd/{log.fileno()}"), "now, ")
        log.write("after")
    assert path.read_text() == "before, now, after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="a disk in memory, on Linux")
def test_a_file_on_a_disk_in_memory_is_replaced() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "table.csv"
        for text in ("first", "second"):
            files.write_output(path, text)
        assert path.read_text() == "second"


def test_a_folder_is_no_file_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("", ".", "..", "/", str(tmp_path)):
        for write in (files.check_output, lambda path: files.write_output(path, "text")):
            with pytest.raises(ProjectError, match=rf"^{Path(name)}: Is a directory\.$"):
                write(Path(name))
    assert list(tmp_path.iterdir()) == []
