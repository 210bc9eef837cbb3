"""What the README shows is run, and what it lists is what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner_gan import results
from tuner_gan.cli import main
from tuner_gan.config import SearchConfig
from tuner_gan.gan.model import GAN
from tuner_gan.search_spaces.base import check_search_space, declare

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS: list[str] = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def _block(containing: str) -> str:
    (block,) = [block for block in BLOCKS if containing in block]
    return block


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As printed but for its size: the whole of it takes minutes. It trains two classifiers and four GANs: some 20 s.
    monkeypatch.chdir(tmp_path)
    code = _block("tuner.search")
    smaller = {
        '"mnist5k"': '"digits"',
        "max_trials=8": "max_trials=1",
        "finalists=3": "finalists=1",
        "finalist_seeds=3": "finalist_seeds=1",
        "epochs=10": "epochs=1",
    }
    for printed, small in smaller.items():
        assert printed in code
        code = code.replace(printed, small)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    table = results.load("runs/demo").trials()
    assert sorted(table["trial_id"][1:]) == ["0", "tutorial_conv", "tutorial_dense"]
    assert table["trial_id"][0].startswith("final_")
    assert table["score"].notna().all()
    assert Path("runs/demo/best/generator.keras").is_file()


def test_the_search_space_example_is_valid() -> None:
    exec(compile(_block("class SmallSpace:"), "README.md", "exec"), {})


def test_the_example_of_a_block_trains() -> None:
    names: dict[str, Any] = {}
    exec(compile(_block("class Dilated"), "README.md", "exec"), names)
    space = names["space"]
    check_search_space(space, (28, 28, 1))
    gan = GAN(space.fix(block="dilated").sample(declare(space.fix(block="dilated"))), seed=0)
    gan.compile(run_eagerly=True)
    gan.fit(np.zeros((4, 28, 28, 1), np.uint8), batch_size=4, verbose=0)
    assert int(gan.steps) == 1
    assert gan.architecture.generator.family == "dilated"


def test_the_example_of_steering_runs() -> None:
    names: dict[str, Any] = {}
    exec(compile(_block("class SmallSpace:") + _block("SteeredSpace"), "README.md", "exec"), names)
    defaults = declare(names["hypermodel"].search_space)
    assert names["hypermodel"].space_name == "dcgan"
    assert (defaults.values["generator_depth"], defaults.values["batch_size"]) == (3, 64)
    assert declare(names["mine"]).values["width"] == 16


def test_the_flags_of_steering_fit_the_space(capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = re.findall(r"^tuner-gan search (--set .*)$", README, flags=re.MULTILINE)
    assert main(["spaces", "dcgan", *command.split()]) == 0
    assert re.search(r"generator_depth +│ fixed +│ 3 ", capsys.readouterr().out)


def test_the_tables_of_steering_are_what_a_file_takes(tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    rows = re.findall(r"\| `\[(\w+)\]`<br>`(.*?)` \|", README)
    assert [table for table, _ in rows] == ["set", "range", "range", "default"]
    text = "".join(
        f"[{table}]\n" + "".join(f"{line}\n" for name, line in rows if name == table)
        for table in dict.fromkeys(table for table, _ in rows)
    )
    path.write_text(text, encoding="utf-8")
    config = SearchConfig.load({}, str(path))
    assert config.set == {"generator_depth": 3}
    assert config.range == {"generator_lr": [1e-4, 5e-4], "batch_size": [64, 128]}
    assert config.default == {"latent_dim": 128}


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
    assert len(offered) == 11
    assert set(re.findall(r"^\| `tuner-gan ([a-z]+)", README, flags=re.MULTILINE)) == set(offered)
