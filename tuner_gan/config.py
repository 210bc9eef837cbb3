"""What a search is asked to do: flags and a TOML file become one validated `SearchConfig`."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import textwrap
import tomllib
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuner_gan.errors import ConfigError, closest, unknown
from tuner_gan.files import is_utf8
from tuner_gan.quality.catalogue import OBJECTIVES
from tuner_gan.search.names import ORACLES, PRUNERS, SAMPLERS

DEFAULT_TIME = "5m"
"""Time of a search that is given neither trials, nor epochs of all of them, nor time."""
TRIAL_SHARE = 1 / 16
"""Share of a search's time that one training may take: both tutorials, the recipes of the literature and a few more fit
into the half of it that is not for finalists."""
EPOCHS = 30
"""Passes over the images in a search without a limit of time, and the fewest in one with a limit."""
STEPS = 15_000
"""Training steps, of 64 images, of a finalist where time allows; a trial takes as many as its share of the time allows.
Of 3,000 digits the default recipe is at its best after 5,000 to 8,000 and then wanders, and the best epoch is
kept; other data and networks may need more."""
Value = bool | int | float | str
"""What a hyperparameter can be set to."""
STEERING = {"set": ("range", "default"), "range": ("set",), "default": ("set",)}
"""Tables that steer hyperparameters, and those that must not name the same ones: what is fixed has no range."""
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")


@dataclass(frozen=True)
class SearchConfig:
    """Settings of `tuner-gan search`; a TOML file takes the same names.

    Attributes:
        data: name of a data set, or path of an .npz or .npy file or a folder.
        image_size: `"HEIGHTxWIDTH"` to crop and resize images to, or one number for both; None to keep theirs.
        space: name of a search space.
        conditional: whether the GANs are told the class of each image; the data must have labels.
        oracle: name of an oracle: a sampler of Optuna (`"tpe"`, `"cmaes"`, `"qmc"`, `"random"`, `"nsga2"`), or of
            KerasTuner (`"bayesian"`, `"hyperband"`, `"grid"`).
        pruner: what ends hopeless trials of Optuna's samplers: `"halving"`, `"hyperband"`, `"median"`, `"wilcoxon"` or
            `"none"`.
        storage: URL of a database for Optuna's samplers; None for a file in the project folder.
        enqueue: path of a JSON file with points that Optuna's samplers try first: a list of objects that map
            hyperparameters to values; None for none.
        objective: the score that trials are ranked by: `"fcd"`, `"kid"`, `"coverage"`, `"mind"` or
            `"classifier_score"`.
        features: name of a `keras.applications` network, or path of a .keras file, whose features are compared; None
            for a classifier trained on the data.
        workers: processes that search together, each with its share of the threads or a GPU in turn; the same command
            on another machine joins in, given one folder and one storage. None for this process alone.
        max_trials: trials at most, baselines not counted; None for no limit.
        max_time: time of the whole search, such as `"90s"`, `"5m"` or `"1h30m"`; None for no limit.
        max_epochs: epochs of all trials together; None for no limit.
        max_trial_time: time that one training may take after its first step, such as `"40s"`; it is then scored as it
            is. None for a sixteenth of the search's time, if that is limited.
        max_params: parameters of generator and discriminator at most; a larger trial fails. None for no limit.
        max_failures: after so many failed trials in a row the search ends; None for never.
        epochs: passes over the images of each trial; None for 30, or in a search of limited time for 15,000 steps.
        executions: trainings of each trial, from different seeds.
        seed: integer from 0.
        baselines: `"all"` or `"none"`.
        finalists: best trials that are trained again at the end and asked about by a second classifier; 0 for none.
        finalist_seeds: trainings of each finalist, from fresh seeds.
        dir: folder of projects.
        name: folder of this search in it; None for one named after data and space.
        overwrite: whether to delete an earlier search of that name first.
        tensorboard: whether to write for TensorBoard, too, into `tensorboard/` in the project folder.
        set: hyperparameters of the space to fix, and their values.
        range: hyperparameters to narrow: two numbers, lowest and highest, or a list of choices to keep.
        default: hyperparameters that get another default, and which.

    Raises:
        ConfigError: a value is of the wrong type or out of its range; the message names it.
    """

    data: str = "mnist5k"
    image_size: str | None = None
    space: str = "dcgan"
    conditional: bool = False
    oracle: str = "tpe"
    pruner: str = "halving"
    storage: str | None = None
    enqueue: str | None = None
    objective: str = "fcd"
    features: str | None = None
    workers: int | None = None
    max_trials: int | None = None
    max_time: str | None = None
    max_epochs: int | None = None
    max_trial_time: str | None = None
    max_params: int | None = None
    max_failures: int | None = None
    epochs: int | None = None
    executions: int = 1
    seed: int = 0
    baselines: str = "all"
    finalists: int = 3
    finalist_seeds: int = 3
    dir: str = "runs"
    name: str | None = None
    overwrite: bool = False
    tensorboard: bool = False
    set: dict[str, Value] = field(default_factory=dict)
    range: dict[str, Collection[Value]] = field(default_factory=dict)
    default: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, hint in typing.get_type_hints(SearchConfig).items():
            value = getattr(self, name)
            kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (typing.get_origin(hint) or hint,)
            if type(value) not in kinds:
                expected = " or ".join("none" if kind is type(None) else kind.__name__ for kind in kinds)
                raise ConfigError(f"{name} must be of type {expected}, but got {value!r}.")
        for name, least in (
            ("workers", 1),
            ("max_trials", 1),
            ("max_epochs", 1),
            ("max_params", 1),
            ("max_failures", 1),
            ("epochs", 1),
            ("executions", 1),
            ("seed", 0),
            ("finalists", 0),
            ("finalist_seeds", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} must be an integer from {least}, but got {value}.")
        if self.objective not in OBJECTIVES:
            raise ConfigError(
                f"objective must be one of {', '.join(OBJECTIVES)}, but got {self.objective!r}"
                f"{closest(self.objective, OBJECTIVES)}."
            )
        if self.baselines not in ("all", "none"):
            raise ConfigError(f"baselines must be 'all' or 'none', but got {self.baselines!r}.")
        if self.name is not None and (self.name in ("", ".", "..") or re.search(r"[/\\\0]", self.name)):
            raise ConfigError(f"name must be the name of one folder, without slashes, but got {self.name!r}.")
        if not self.dir or "\0" in self.dir:
            raise ConfigError(f"dir must be the path of a folder, but got {self.dir!r}.")
        try:
            Path(self.dir).expanduser()
        except RuntimeError as error:  # "~user" of nobody
            raise ConfigError(f"dir must be the path of a folder, but got {self.dir!r} ({error}).") from error
        for name in ("dir", "name"):
            if not is_utf8(getattr(self, name) or ""):  # as TensorFlow's paths are
                raise ConfigError(f"{name} must be UTF-8, but got {getattr(self, name)!r}.")
        for name in ("max_time", "max_trial_time"):
            duration = getattr(self, name)
            if duration is not None:
                try:
                    parse_duration(duration)
                except ConfigError as error:
                    raise ConfigError(f"{name}: {str(error)[0].lower()}{str(error)[1:]}") from error
        self._check_oracle()
        if self.image_size is not None:
            parse_size(self.image_size)
        _check_steering({table: getattr(self, table) for table in STEERING})

    def _check_oracle(self) -> None:
        for kind, name, known in (("oracle", self.oracle, ORACLES), ("pruner", self.pruner, PRUNERS)):
            if name not in known:
                raise unknown(kind, name, known)
        if self.oracle not in SAMPLERS:
            for setting, default in (
                ("pruner", SearchConfig.pruner),
                ("storage", None),
                ("enqueue", None),
                ("workers", None),
            ):
                value = getattr(self, setting)
                if value not in (default, "none"):
                    raise ConfigError(
                        f"{setting} is for Optuna's samplers ({', '.join(SAMPLERS)}), but got it with "
                        f"oracle={self.oracle!r}: leave it out, or choose another oracle."
                    )

    @property
    def folder(self) -> Path:
        """The project folder: `dir/name`, by default such as `runs/mnist5k-dcgan`."""
        data = os.fsencode(Path(self.data).absolute().stem).decode(errors="replace")  # TensorFlow's paths are UTF-8
        return Path(self.dir).expanduser() / (self.name or f"{data}-{self.space}")

    @property
    def seconds(self) -> float | None:
        """Time of the whole search; None for no limit, five minutes when no limit of any kind is set."""
        if self.max_time is None and self.max_trials is None and self.max_epochs is None:
            return parse_duration(DEFAULT_TIME)
        return None if self.max_time is None else parse_duration(self.max_time)

    @property
    def trial_seconds(self) -> float | None:
        """Time of one training after its first step; None for no limit."""
        if self.max_trial_time is not None:
            return parse_duration(self.max_trial_time)
        return None if self.seconds is None else TRIAL_SHARE * self.seconds

    def plan_epochs(self, images: int) -> SearchConfig:
        """Returns these settings with a number of epochs that suits so many training images, where none was given."""
        if self.epochs is not None:
            return self
        epochs = EPOCHS if self.seconds is None else max(EPOCHS, math.ceil(STEPS * 64 / images))
        return dataclasses.replace(self, epochs=epochs)

    @property
    def points(self) -> list[dict[str, Value]]:
        """The points to try first.

        Raises:
            ConfigError: their file cannot be read, or holds something else.
        """
        return [] if self.enqueue is None else _read_points(Path(self.enqueue))

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width to resize images to; None to keep theirs."""
        return None if self.image_size is None else parse_size(self.image_size)

    def to_json(self) -> dict[str, Any]:
        """Returns the settings as JSON-ready data, which `SearchConfig(**settings)` takes."""
        settings = dataclasses.asdict(self)
        # JSON has neither tuples nor sets.
        settings["range"] = {
            name: sorted(wanted, key=str) if isinstance(wanted, set) else list(wanted)
            for name, wanted in self.range.items()
        }
        return settings

    @classmethod
    def load(cls, flags: dict[str, Any], path: str | None = None) -> SearchConfig:
        """Merges flags over a TOML file over the defaults.

        Args:
            flags: those given on the command line; `set`, `range` and `default` as lists of `NAME=VALUE`, each of which
                wins over what the file says of that hyperparameter.
            path: of the TOML file; None for none.

        Raises:
            ConfigError: the file cannot be read, has an unknown key, or a value of the wrong type; or a flag does.
        """
        steering = {table: _parse_steering(table, flags[table]) for table in STEERING if table in flags}
        values: dict[str, Any] = {}
        if path is not None:
            values = _read_file(Path(path), "TOML", tomllib.loads)
            known = [field.name for field in dataclasses.fields(cls)]
            for key in values:
                if key not in known:
                    raise ConfigError(
                        f"{path} has an unknown key {key!r}{closest(key, known)}: choose from {', '.join(known)}."
                    )
        try:
            return cls(**{**values, **flags, **_merge_steering(values, steering)})
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}" if path is not None else str(error)) from error


def _read_file(path: Path, kind: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8-sig"))  # some editors of Windows begin with a mark
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no valid {kind}: {error}.") from error


def _read_points(path: Path) -> list[dict[str, Value]]:
    points = _read_file(path, "JSON", json.loads)
    values = [value for point in points for value in point.values()] if _is_points(points) else [None]
    if not all(isinstance(value, bool | int | float | str) for value in values):
        raise ConfigError(
            f'{path} must hold a list of points, such as [{{"generator_lr": 0.001, "loss": "hinge"}}], but got '
            f"{textwrap.shorten(json.dumps(points), 80)}."
        )
    found: list[dict[str, Value]] = points
    return found


def _is_points(points: Any) -> bool:
    return isinstance(points, list) and all(isinstance(point, dict) for point in points)


def parse_duration(text: str) -> float:
    """Returns the seconds of a duration such as `90`, `90s`, `5m` or `1h30m`.

    Raises:
        ConfigError: it is none, or zero.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = (
        sum(float(part) * unit for part, unit in zip(match.groups(default="0"), (3600, 60, 1), strict=True))
        if match and text.strip()
        else 0.0
    )
    if not 0 < seconds < math.inf:
        raise ConfigError(f"Expected a time such as 90s, 5m or 1h30m, but got {text!r}.")
    return seconds


def parse_size(text: str) -> tuple[int, int]:
    """Returns height and width of `"HEIGHTxWIDTH"`, or of one number for both.

    Raises:
        ConfigError: it is neither.
    """
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text.strip())
    if match is None:
        raise ConfigError(f"Expected an image size such as 64 or 48x64 (height x width), but got {text!r}.")
    return int(match[1]), int(match[2] or match[1])


def _parse_steering(table: str, flags: list[str]) -> dict[str, Any]:
    """Reads `NAME=VALUE` of `--set` and `--default`, `NAME=LOWEST:HIGHEST` or `NAME=A,B` of `--range`."""
    example = "generator_lr=1e-4:5e-4 or --range batch_size=64,128" if table == "range" else "loss=hinge"
    found: dict[str, Any] = {}
    for flag in flags:
        name, _, text = (part.strip() for part in flag.partition("="))
        if not name or not text:
            raise ConfigError(f"Expected such as --{table} {example}, but got {flag!r}.")
        if name in found:
            raise ConfigError(f"--{table} names {name} twice: keep one of them.")
        if table != "range":
            found[name] = _parse_value(text)
        elif ":" in text:
            found[name] = tuple(_parse_value(part) for part in text.split(":"))
        else:  # a set, because a list of two may be a range as well
            found[name] = {_parse_value(part) for part in text.split(",")}
    return found


def _parse_value(text: str) -> Value:
    text = text.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    kinds: tuple[Callable[[str], Value], ...] = (int, float)
    for kind in kinds:
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _merge_steering(file: Mapping[str, Any], flags: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Merges flags into the tables of a file, from which they also remove what they cannot stand beside."""
    merged = {}
    for table, opposed in STEERING.items():
        stored = file.get(table, {})
        if isinstance(stored, dict):
            won = {name for other in opposed for name in flags.get(other, {})}
            stored = {**{name: value for name, value in stored.items() if name not in won}, **flags.get(table, {})}
        merged[table] = stored  # what is no table is refused with every other value of a wrong type
    return merged


def _check_steering(tables: Mapping[str, Mapping[str, Any]]) -> None:
    for table, entries in tables.items():
        for name, value in entries.items():
            if table == "range":
                if not isinstance(value, list | tuple | set) or not value or not all(map(_is_value, value)):
                    raise ConfigError(
                        f"range.{name} must be a lowest and a highest number, or a list of choices, but got {value!r}."
                    )
            elif not _is_value(value):
                raise ConfigError(f"{table}.{name} must be a number, a text, true or false, but got {value!r}.")
            for other in STEERING[table]:
                if name in tables[other]:
                    raise ConfigError(f"{name} is in both {table} and {other}: keep it in one of them.")


def _is_value(value: object) -> bool:
    return isinstance(value, bool | int | float | str)
