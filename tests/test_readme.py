"""What the README shows is run, and what it lists is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tuner_gan import results
from tuner_gan.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As printed but for its size: the whole of it takes minutes. It trains a classifier and three GANs: some 20 s.
    monkeypatch.chdir(tmp_path)
    code = BLOCKS[0]
    for printed, small in (('"mnist5k"', '"digits"'), ("max_trials=8", "max_trials=1"), ("epochs=10", "epochs=1")):
        assert printed in code
        code = code.replace(printed, small)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    table = results.load("runs/demo").trials()
    assert sorted(table["trial_id"]) == ["0", "tutorial_conv", "tutorial_dense"]
    assert table["score"].notna().all()
    assert Path("runs/demo/best/generator.keras").is_file()


def test_the_search_space_example_is_valid() -> None:
    exec(compile(BLOCKS[1], "README.md", "exec"), {})


def test_every_flag_of_search_is_documented_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["search", "--help"])
    assert ended.value.code == 0
    offered = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    table = README.split("`tuner-gan search` takes:")[1].split("Exit codes:")[0]
    assert set(re.findall(r"--[a-z][a-z-]+", table)) == offered


def test_every_command_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    offered = re.findall(r"^    ([a-z]+)  ", capsys.readouterr().out, flags=re.MULTILINE)
    assert len(offered) == 8
    assert set(re.findall(r"^\| `tuner-gan ([a-z]+)", README, flags=re.MULTILINE)) == set(offered)
