from __future__ import annotations

import dataclasses
import json
import os
import re
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner_gan.config import SearchConfig, parse_duration, parse_size
from tuner_gan.errors import ConfigError
from tuner_gan.quality.catalogue import OBJECTIVES

TEXT = st.text(string.ascii_letters + string.digits + " ._-'#=[]", max_size=12)
NAMES = st.text(st.characters(blacklist_characters="/\\\0", blacklist_categories=["Cs"]), min_size=1).filter(
    lambda name: name not in (".", "..")
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "data": TEXT,
        "space": TEXT,
        "oracle": st.sampled_from(["tpe", "random"]),
        "pruner": st.sampled_from(["median", "none"]),
        "storage": TEXT,
        "enqueue": TEXT,
        "max_epochs": st.integers(1, 99),
        "max_trial_time": st.sampled_from(["40s", "2m"]),
        "max_params": st.integers(1, 10**9),
        "max_failures": st.integers(1, 99),
        "objective": st.sampled_from(["fcd", "kid", "coverage", "mind", "classifier_score"]),
        "features": st.sampled_from(["MobileNetV2", "mine/features.keras"]),
        "finalists": st.integers(0, 9),
        "finalist_seeds": st.integers(1, 9),
        "max_trials": st.integers(1, 99),
        "max_time": st.sampled_from(["90", "90s", "5m", "1h30m"]),
        "epochs": st.integers(1, 99),
        "executions": st.integers(1, 9),
        "seed": st.integers(0, 2**40),
        "baselines": st.sampled_from(["all", "none"]),
        "image_size": st.sampled_from(["8", "16x32"]),
        "name": st.sampled_from(["demo", "a b"]),
        "overwrite": st.booleans(),
    },
)
HYPERPARAMETERS = st.sampled_from(["a", "b", "c"])
SCALARS = st.integers(-9, 9) | st.floats(-1, 1).map(lambda x: round(x, 3)) | st.booleans() | st.just("batch")
STEERED = st.dictionaries(
    HYPERPARAMETERS,
    st.tuples(st.just("set"), SCALARS)
    | st.tuples(st.just("range"), st.lists(SCALARS, min_size=1, max_size=3))
    | st.tuples(st.just("default"), SCALARS),
)
"""For each hyperparameter, the table that steers it and what that says."""


def toml(values: dict[str, Any]) -> str:
    # For plain ASCII, strings, numbers, lists and truth values look in TOML as in JSON.
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in plain.items())
    return text + "".join(f"[{key}]\n{toml(value)}" for key, value in values.items() if key not in plain)


def refusal(**values: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        SearchConfig(**values)
    return str(raised.value)


def test_the_defaults_are_the_main_job() -> None:
    config = SearchConfig.load({})
    assert config == SearchConfig()
    assert (config.data, config.space, config.oracle, config.baselines) == ("mnist5k", "dcgan", "tpe", "all")
    assert config.folder == Path("runs/mnist5k-dcgan")
    assert config.seconds == 300
    assert config.size is None
    assert (config.overwrite, config.conditional, config.max_trials) == (False, False, None)
    assert (config.objective, config.features) == ("fcd", None)
    assert (config.finalists, config.finalist_seeds) == (3, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"oracle": "tp"}, "Unknown oracle 'tp' (did you mean 'tpe'?): choose one of tpe, cmaes"),
        ({"pruner": "halve"}, "Unknown pruner 'halve'"),
        (
            {"oracle": "bayesian", "pruner": "median"},
            "pruner is for Optuna's samplers (tpe, cmaes, qmc, random, nsga2)",
        ),
        ({"oracle": "grid", "storage": "sqlite://"}, "but got it with oracle='grid'"),
        ({"oracle": "hyperband", "enqueue": "a.json"}, "enqueue is for Optuna's samplers"),
    ],
)
def test_oracles_and_what_belongs_to_them(settings: dict[str, Any], message: str) -> None:
    assert message in refusal(**settings)


def test_points_to_try_first(tmp_path: Path) -> None:
    assert SearchConfig().points == []
    path = tmp_path / "points.json"
    config = SearchConfig(enqueue=str(path))
    with pytest.raises(ConfigError, match=r"points\.json cannot be read: No such file"):
        _ = config.points
    path.write_text('[{"beta1": 0.5, "loss": "hinge"}, {}]')
    assert config.points == [{"beta1": 0.5, "loss": "hinge"}, {}]
    path.write_text("[{")
    with pytest.raises(ConfigError, match=r"points\.json is no valid JSON"):
        _ = config.points
    for wrong in ('{"beta1": 0.5}', "[1]", '[{"beta1": null}]', '[{"beta1": [0.5]}]'):
        path.write_text(wrong)
        with pytest.raises(ConfigError, match=r"must hold a list of points, such as \[.*, but got"):
            _ = config.points


def test_the_time_of_a_trial() -> None:
    assert SearchConfig().trial_seconds == pytest.approx(300 / 16)
    assert SearchConfig(max_trials=3).trial_seconds is None
    assert SearchConfig(max_trials=3, max_trial_time="2m").trial_seconds == 120
    assert SearchConfig(max_epochs=100).seconds is None


def test_epochs_follow_from_the_time_and_the_images() -> None:
    assert SearchConfig(epochs=7).plan_epochs(3000).epochs == 7
    assert SearchConfig(max_trials=3).plan_epochs(3000).epochs == 30
    # 15,000 steps of 64 images.
    assert SearchConfig().plan_epochs(3000).epochs == 320
    assert SearchConfig(max_time="1h", max_trials=3).plan_epochs(9600).epochs == 100
    assert SearchConfig(max_time="1h").plan_epochs(1_000_000).epochs == 30


def test_settings_are_json_and_come_back() -> None:
    steering: dict[str, Any] = {
        "set": {"beta1": 0.5},
        "range": {"generator_lr": (1e-4, 1e-3), "batch_size": {64, 128, 32}},
        "default": {"loss": "hinge"},
    }
    config = SearchConfig(data="photos", image_size="32x48", max_time="5m", conditional=True, **steering)
    settings = json.loads(json.dumps(config.to_json()))
    again = SearchConfig(**settings)
    steered: dict[str, Any] = {"generator_lr": [1e-4, 1e-3], "batch_size": [128, 32, 64]}
    assert again == dataclasses.replace(config, range=steered)
    assert again.to_json() == settings


def test_a_password_is_not_shown() -> None:
    with pytest.raises(ConfigError, match=r"storage is for Optuna's samplers .* with oracle='grid': leave") as caught:
        SearchConfig(oracle="grid", storage="postgresql://me:s3cret@host/gan")
    assert "s3cret" not in str(caught.value)


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SearchConfig().epochs = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("0.5s", 0.5),
        ("5m", 300),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1h5s", 3605),
        ("1m30", 90),
        ("2h0m10.5s", 7210.5),
        (" 5m ", 300),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert SearchConfig(max_time=text).seconds == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "0", "0m", "-5m", "5 m", "5min", "m", "1e3", "nan", "inf", "5m1h", "1.5h", ".5", "9" * 400]
)
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="Expected a time such as 90s, 5m or 1h30m, but got ") as raised:
        parse_duration(text)
    assert repr(text) in str(raised.value)
    with pytest.raises(ConfigError):
        SearchConfig(max_time=text)


@given(st.integers(0, 99), st.integers(0, 999), st.integers(0, 99_999), st.sampled_from(["", "s"]))
def test_a_duration_is_the_sum_of_its_parts(hours: int, minutes: int, seconds: int, suffix: str) -> None:
    total = 3600 * hours + 60 * minutes + seconds
    text = f"{hours}h{minutes}m{seconds}{suffix}"
    if total:
        assert parse_duration(text) == total
    else:
        with pytest.raises(ConfigError):
            parse_duration(text)


@given(st.text() | st.from_regex(r"[0-9.hms]*", fullmatch=True))
def test_any_text_is_a_positive_duration_or_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ConfigError:
        return
    assert 0 < seconds < float("inf")


def test_a_search_without_any_limit_gets_five_minutes_and_one_with_trials_as_long_as_they_take() -> None:
    assert SearchConfig().seconds == 300
    assert SearchConfig(max_trials=3).seconds is None
    assert SearchConfig(max_trials=3, max_time="10s").seconds == 10
    assert SearchConfig(max_time="10s").seconds == 10


@given(st.integers(0, 99_999), st.integers(0, 99_999))
def test_sizes_are_height_times_width_or_one_number(height: int, width: int) -> None:
    assert parse_size(f"{height}x{width}") == (height, width)
    assert parse_size(f" {height} ") == (height, height)
    assert SearchConfig(image_size=f"{height}x{width}").size == (height, width)


@pytest.mark.parametrize("text", ["", "x", "8x", "x8", "8x8x1", "8 x 8", "-8", "8.0", "8*8", "big", "9" * 5000])
def test_what_is_no_size_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="Expected an image size such as 64 or 48x64") as raised:
        parse_size(text)
    assert repr(text) in str(raised.value)
    with pytest.raises(ConfigError):
        SearchConfig(image_size=text)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("data", 5, "str"),
        ("space", None, "str"),
        ("max_trials", "3", "int or none"),
        ("max_trials", True, "int or none"),
        ("max_time", 90, "str or none"),
        ("epochs", 1.0, "int or none"),
        ("epochs", False, "int or none"),
        ("seed", "0", "int"),
        ("objective", None, "str"),
        ("objective", ["fcd"], "str"),
        ("features", 2, "str or none"),
        ("finalists", None, "int"),
        ("finalists", True, "int"),
        ("finalists", 3.0, "int"),
        ("finalist_seeds", None, "int"),
        ("baselines", True, "str"),
        ("name", ["demo"], "str or none"),
        ("overwrite", 1, "bool"),
        ("conditional", "yes", "bool"),
        ("image_size", 64, "str or none"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(name: str, value: Any, expected: str) -> None:
    assert refusal(**{name: value}) == f"{name} must be of type {expected}, but got {value!r}."


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [
        ("max_trials", 0, 1),
        ("epochs", 0, 1),
        ("epochs", -1, 1),
        ("executions", 0, 1),
        ("seed", -1, 0),
        ("finalists", -1, 0),
        ("finalist_seeds", 0, 1),
    ],
)
def test_a_number_out_of_its_range_is_refused(name: str, value: int, least: int) -> None:
    assert refusal(**{name: value}) == f"{name} must be an integer from {least}, but got {value}."
    assert getattr(SearchConfig.load({name: least}), name) == least


def test_the_objectives_are_those_of_the_catalogue() -> None:
    for name in OBJECTIVES:
        assert SearchConfig(objective=name).objective == name


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("fdc", " (did you mean 'fcd'?)"),
        ("FCD", " (did you mean 'fcd'?)"),
        ("classifer_score", " (did you mean 'classifier_score'?)"),
        ("precision", ""),
        ("", ""),
    ],
)
def test_another_objective_is_refused_with_the_closest_one(name: str, guess: str) -> None:
    known = "fcd, kid, coverage, mind, classifier_score"
    assert refusal(objective=name) == f"objective must be one of {known}, but got {name!r}{guess}."


def test_baselines_are_all_or_none() -> None:
    assert refusal(baselines="some") == "baselines must be 'all' or 'none', but got 'some'."


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "../up", "/etc", "a\\b", "a\0b"])
def test_a_name_that_is_not_one_folder_is_refused(name: str) -> None:
    assert repr(name) in refusal(name=name)


@given(NAMES)
def test_any_other_name_is_a_folder_right_in_dir(name: str) -> None:
    folder = SearchConfig(dir="here/runs", name=name).folder
    assert folder == Path("here/runs") / name
    assert folder.parent == Path("here/runs")


@given(st.text(max_size=6), st.sampled_from("/\\\0"), st.text(max_size=6))
def test_no_name_leads_out_of_dir(before: str, separator: str, after: str) -> None:
    with pytest.raises(ConfigError, match="name of one folder"):
        SearchConfig(name=before + separator + after)


def test_a_dir_that_no_folder_can_have_is_refused() -> None:
    assert "dir must be the path of a folder" in refusal(dir="a\0b")
    assert refusal(dir="") == "dir must be the path of a folder, but got ''."
    assert refusal(dir="~nobody-at-all/runs").startswith(
        "dir must be the path of a folder, but got '~nobody-at-all/runs' ("
    )


def test_a_dir_may_be_below_the_user_s_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell leaves it in `--dir=~/runs`, and a TOML file always."""
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    assert SearchConfig(dir="~/runs", name="mine").folder == Path("/home/me/runs/mine")


@pytest.mark.parametrize("setting", ["dir", "name"])
def test_a_folder_that_tensorflow_cannot_write_to_is_refused(setting: str) -> None:
    assert refusal(**{setting: os.fsdecode(b"im\xffages")}) == f"{setting} must be UTF-8, but got 'im\\udcffages'."


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("digits", "digits-mlp"),
        ("faces.npz", "faces-mlp"),
        ("/data/faces.npz", "faces-mlp"),
        ("../images/", "images-mlp"),
        ("./mnist", "mnist-mlp"),
    ],
)
def test_the_folder_is_named_after_data_and_space(data: str, expected: str) -> None:
    assert SearchConfig(data=data, space="mlp").folder == Path("runs") / expected
    assert SearchConfig(data=data, space="mlp", name="mine", dir="out").folder == Path("out/mine")


def test_bytes_of_the_data_s_name_that_are_no_utf_8_are_not_in_the_folder_s() -> None:
    assert SearchConfig(data=os.fsdecode(b"im\xffages\xc3\xa4")).folder == Path("runs/im\ufffdagesä-dcgan")


def test_data_in_the_current_folder_is_named_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert SearchConfig(data=".").folder == Path(f"runs/{tmp_path.name}-dcgan")


@given(SETTINGS, SETTINGS)
def test_flags_win_over_the_file_and_the_file_over_the_defaults(
    tmp_path_factory: pytest.TempPathFactory, stored: dict[str, Any], flags: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "search.toml"
    path.write_text(toml(stored), encoding="utf-8")
    found = SearchConfig.load(flags, str(path))
    expected = {**dataclasses.asdict(SearchConfig()), **stored, **flags}
    assert dataclasses.asdict(found) == expected


def test_every_setting_can_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    stored = {
        **dataclasses.asdict(SearchConfig()),
        "image_size": "8",
        "features": "mine.keras",
        "epochs": 5,
        "max_trials": 3,
        "max_time": "1m",
        "max_epochs": 90,
        "max_trial_time": "10s",
        "max_params": 10**6,
        "max_failures": 4,
        "storage": "sqlite:///study.db",
        "workers": 2,
        "enqueue": "points.json",
        "name": "demo",
        "set": {"beta1": 0.5, "generator_normalization": "batch"},
        "range": {"generator_lr": [1e-4, 1e-3], "batch_size": [64]},
        "default": {"latent_dim": 32},
    }
    assert None not in stored.values()
    path.write_text(toml(stored), encoding="utf-8")
    assert dataclasses.asdict(SearchConfig.load({}, str(path))) == stored


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path, points = tmp_path / "some.toml", tmp_path / "points.json"
    path.write_bytes(b"\xef\xbb\xbfepochs = 3\r\n")
    points.write_bytes(b'\xef\xbb\xbf[{"loss": "hinge"}]')
    config = SearchConfig.load({"enqueue": str(points)}, str(path))
    assert config.epochs == 3
    assert config.points == [{"loss": "hinge"}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch = 3", "has an unknown key 'epoch' (did you mean 'epochs'?): choose from data, image_size, space"),
        ("[search]\nepochs = 3", "has an unknown key 'search'"),
        ("folder = 'x'", "has an unknown key 'folder'"),
        ("epochs = '3'", "epochs must be of type int or none, but got '3'."),
        ("max_time = 90", "max_time must be of type str or none, but got 90."),
        ("name = {a = 1}", "name must be of type str or none, but got {'a': 1}."),
        ("epochs = 0", "epochs must be an integer from 1, but got 0."),
        (
            "objective = 'fdc'",
            "objective must be one of fcd, kid, coverage, mind, classifier_score, but got 'fdc' (did",
        ),
        ("finalist = 2", "has an unknown key 'finalist' (did you mean 'finalists'?)"),
        ("max_time = 'soon'", "max_time: expected a time such as 90s, 5m or 1h30m, but got 'soon'."),
        ("set = 3", "set must be of type dict, but got 3."),
        ("[set]\nbeta1 = [0.5]", "set.beta1 must be a number, a text, true or false, but got [0.5]."),
        ("[set.generator]\ndepth = 3", "set.generator must be a number, a text, true or false, but got {'depth': 3}."),
        ("[default]\nbeta1 = 1979-05-27", "default.beta1 must be a number, a text, true or false, but got "),
        (
            "[range]\nbeta1 = 0.5",
            "range.beta1 must be a lowest and a highest number, or a list of choices, but got 0.5.",
        ),
        ("[range]\nbeta1 = []", "range.beta1 must be a lowest and a highest number, or a list of choices, but got []."),
        ("[range]\nbeta1 = [[0.5]]", "range.beta1 must be a lowest and a highest number, or a list of choices"),
        ("[set]\nbeta1 = 0\n[range]\nbeta1 = [0]", "beta1 is in both set and range: keep it in one of them."),
        ("[set]\nbeta1 = 0\n[default]\nbeta1 = 0", "beta1 is in both set and default: keep it in one of them."),
        ("dir = 'a\tb", "is no valid TOML: "),
        ("epochs = 1\nepochs = 2", "is no valid TOML: "),
    ],
)
def test_a_file_with_a_fault_is_named_with_it(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "search.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(words)) as raised:
        SearchConfig.load({}, str(path))
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=f"cannot be read: {words}") as raised:
            SearchConfig.load({}, str(path))
        assert str(raised.value).startswith(str(path))
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe4'")
    with pytest.raises(ConfigError, match="no valid TOML"):
        SearchConfig.load({}, str(tmp_path / "latin.toml"))


# Steering. Whether the space has such a hyperparameter is told later, when the space is there.


def test_flags_of_steering_become_values() -> None:
    config = SearchConfig.load(
        {
            "set": ["generator_depth=3", " beta1 = 0.5 ", "generator_normalization=none", "flag=true", "word=a=b"],
            "range": ["generator_lr=1e-4:1e-3", "batch_size=64,128", "latent_dim=32", "flags=true,false"],
            "default": ["lr_ratio=2", "other=-1"],
        }
    )
    assert config.set == {
        "generator_depth": 3,
        "beta1": 0.5,
        "generator_normalization": "none",
        "flag": True,
        "word": "a=b",
    }
    assert config.range == {
        "generator_lr": (1e-4, 1e-3),
        "batch_size": {64, 128},
        "latent_dim": {32},
        "flags": {True, False},
    }
    assert config.default == {"lr_ratio": 2, "other": -1}
    assert [type(value) for value in config.set.values()] == [int, float, str, bool, str]
    assert SearchConfig().set == SearchConfig().range == SearchConfig().default == {}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"set": ["generator_depth"]}, "Expected such as --set loss=hinge, but got 'generator_depth'."),
        ({"set": ["=3"]}, "Expected such as --set loss=hinge, but got '=3'."),
        ({"default": ["beta1="]}, "Expected such as --default loss=hinge, but got 'beta1='."),
        (
            {"range": ["beta1"]},
            "Expected such as --range generator_lr=1e-4:5e-4 or --range batch_size=64,128, but got 'beta1'.",
        ),
        ({"set": ["beta1=0", "beta1=0.5"]}, "--set names beta1 twice: keep one of them."),
        ({"set": ["beta1=0"], "range": ["beta1=0"]}, "beta1 is in both set and range: keep it in one of them."),
        ({"set": ["beta1=0"], "default": ["beta1=0"]}, "beta1 is in both set and default: keep it in one of them."),
    ],
)
def test_flags_of_steering_with_a_fault_are_named(flags: dict[str, list[str]], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        SearchConfig.load(flags)
    assert str(raised.value) == said


def tables(steered: dict[str, tuple[str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, (table, value) in steered.items():
        found.setdefault(table, {})[name] = value
    return found


@given(STEERED, STEERED)
def test_a_flag_wins_over_what_the_file_says_of_its_hyperparameter(
    tmp_path_factory: pytest.TempPathFactory, stored: dict[str, Any], flags: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "steering.toml"
    path.write_text(toml(tables(stored)), encoding="utf-8")

    def text(value: Any) -> str:
        values = value if isinstance(value, list) else [value]
        return ",".join(json.dumps(item).strip('"') for item in values)

    given_flags = {
        table: [f"{name}={text(value)}" for name, value in entries.items()] for table, entries in tables(flags).items()
    }
    config = SearchConfig.load(given_flags, str(path))
    found: dict[str, Any] = {"set": config.set, "range": config.range, "default": config.default}
    for name in ("a", "b", "c"):
        asked = {table: entries[name] for table, entries in found.items() if name in entries}
        expected: dict[str, Any] = {}
        if name in stored:
            table, value = stored[name]
            # A range and a default stand side by side; nothing stands beside a fixed value.
            if name not in flags or {table, flags[name][0]} == {"range", "default"}:
                expected[table] = value
        if name in flags:
            table, value = flags[name]
            expected[table] = set(value) if table == "range" else value
        assert asked == expected


def test_the_file_s_own_conflict_is_an_error_unless_a_flag_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text("[set]\nbeta1 = 0\n[range]\nbeta1 = [0]", encoding="utf-8")
    with pytest.raises(ConfigError, match="beta1 is in both set and range"):
        SearchConfig.load({}, str(path))
    assert SearchConfig.load({"set": ["beta1=0.5"]}, str(path)).range == {}
