"""The command line: parses, calls, prints."""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tuner_gan import threads
from tuner_gan.errors import ConfigError, ProjectError, SelectionError, TunerGANError, first_line

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from tuner_gan.config import SearchConfig
    from tuner_gan.results.live import LiveView
    from tuner_gan.search.hypermodel import GANHyperModel
    from tuner_gan.search.tuner import GANTuner
    from tuner_gan.search_spaces import SearchSpace

TABLE_FORMATS = ("table", "csv", "json", "markdown")
EVALUATION_FORMATS = ("table", "json")
BY_SUFFIX = {".csv": "csv", ".json": "json", ".md": "markdown"}
LEFT_OUT = ("matplotlib", "sklearn")
"""What Keras and KerasTuner import for pictures and wrappers of their own that no command uses."""
NO_TRIALS = "There are no trials yet."
STEER = "Steer it, here and in search: --set NAME=VALUE, --range NAME=LOW:HIGH or NAME=A,B, --default NAME=VALUE."
WIDE = 140
"""Columns of a terminal that has room for what each score means."""
CLOSING_SECONDS = 10.0
"""Of the search's time, kept for the export and the table at its end."""
MOST_IMAGES = sys.maxsize // 2**20
"""Of `generate`: no computer has room for so many, and beyond, NumPy says other things than that memory is short."""
NOT_OF_THE_SEARCH = ("storage", "workers", "overwrite", "tensorboard")
"""Settings that a project does not note: how it was run once, and a URL that may hold a password."""
INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and SIGTERM, as shells have them: 128 + the number of the signal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: those of the command line; None for the process's own.

    Returns:
        The exit code: 0; 2 for bad input; 3 when a search failed, or a trial that was trained again has another score;
        130 after Ctrl-C, 143 after SIGTERM.
    """
    options = _parser().parse_args(arguments)
    threads.keep_to_quota()
    try:
        with _plain_warnings():
            code: int = options.run(options)
            return code
    except TunerGANError as error:
        _tell(f"error: {' '.join(str(error).splitlines())}")
        return error.exit_code
    except KeyboardInterrupt as error:
        _tell("interrupted")
        return _signal_code(error)
    except MemoryError as error:
        _tell(f"error: The memory is not enough ({first_line(error)}): use fewer or smaller images.")
        return TunerGANError.exit_code
    except OSError as error:  # an output that is a folder, a full disk
        where = "" if error.filename2 is None and error.filename is None else f"{error.filename2 or error.filename}: "
        _tell(f"error: {where}{error.strerror or error}.")
        return ProjectError.exit_code


def _signal_code(interrupt: KeyboardInterrupt) -> int:
    from tuner_gan.search.interrupts import Terminated

    return TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    from tuner_gan import __version__

    parser = argparse.ArgumentParser(
        prog="tuner-gan", description="Search GAN architectures, inspect the ranked trials, export the best model."
    )
    parser.add_argument("--version", action="version", version=f"tuner-gan {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_search(commands)
    trials = _add_table(commands, "trials", "show the ranked trials of a search", _trials)
    trials.add_argument("--top", type=int, metavar="N", help="show the first N rows")
    trials.add_argument(
        "--sort", metavar="COL", help="sort by a column, the best scores first; - before it: descending (--sort=-score)"
    )
    trials.add_argument("--columns", metavar="A,B", help="show these columns")
    history = _add_table(commands, "history", "show losses and scores at every epoch", _history)
    history.add_argument("--trial", metavar="ID", help="of one trial, or best (default: all)")
    classes = _add_table(commands, "classes", "show the scores of each class of a conditional trial", _classes)
    classes.add_argument("--trial", default="best", metavar="ID", help="of a trial (default: best)")
    worker = commands.add_parser("worker")  # no help: it is not for people
    worker.set_defaults(run=_worker)
    _add_report(commands)
    _add_watch(commands)
    _add_export(commands)
    _add_evaluate(commands)
    _add_generate(commands)
    _add_rerun(commands)
    spaces = commands.add_parser(
        "spaces",
        help="list search spaces, or the hyperparameters of one",
        argument_default=argparse.SUPPRESS,
    )
    spaces.add_argument("name", nargs="?", metavar="NAME", help="of a search space")
    _add_images(spaces)
    _add_steering(spaces)
    spaces.set_defaults(run=_spaces)
    return parser


def _add_search(commands: Any) -> None:
    search = commands.add_parser(
        "search",
        help="search for the best GAN on your images",
        description="Search for the best GAN on your images. Without arguments: five minutes on 5,000 MNIST digits.",
        argument_default=argparse.SUPPRESS,
    )
    _add_images(search)
    search.add_argument("--space", metavar="NAME", help="dcgan (default), mlp, progressive or resnet")
    search.add_argument(
        "--oracle",
        metavar="NAME",
        help="tpe (default), cmaes, qmc, random or nsga2 of Optuna; bayesian, hyperband or grid of KerasTuner",
    )
    search.add_argument(
        "--pruner", metavar="NAME", help="ends hopeless trials: halving (default), hyperband, median, wilcoxon or none"
    )
    search.add_argument("--storage", metavar="URL", help="database to share a search in (default: a file)")
    search.add_argument("--enqueue", metavar="F.json", help="points to try first: a list of objects")
    search.add_argument(
        "--objective", metavar="NAME", help="fcd (default), kid, coverage, mind or classifier_score: what ranks trials"
    )
    search.add_argument(
        "--features", metavar="F", help="compare features of a keras.applications network or of a .keras file"
    )
    search.add_argument("--workers", type=int, metavar="N", help="processes that search together")
    search.add_argument("--max-trials", type=int, metavar="N", help="trials at most, baselines not counted")
    search.add_argument(
        "--max-time",
        metavar="T",
        help="time of the whole search: 90s, 5m, 1h30m (default: 5m, unless trials or epochs are limited)",
    )
    search.add_argument("--max-epochs", type=int, metavar="N", help="epochs of all trials together")
    search.add_argument("--max-trial-time", metavar="T", help="time of one training, its first step not counted")
    search.add_argument("--max-params", type=int, metavar="N", help="fail trials with more parameters")
    search.add_argument("--max-failures", type=int, metavar="N", help="end after so many failed trials in a row")
    search.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the images of a training (default: by time)"
    )
    search.add_argument("--executions", type=int, metavar="N", help="trainings of each trial (default: 1)")
    search.add_argument("--seed", type=int, metavar="S", help="integer from 0 (default: 0)")
    search.add_argument("--baselines", metavar="all|none", help="run the two tutorials first (default: all)")
    search.add_argument(
        "--finalists", type=int, metavar="N", help="best trials to train again and check at the end (default: 3)"
    )
    search.add_argument("--finalist-seeds", type=int, metavar="N", help="trainings of each of them (default: 3)")
    search.add_argument("--dir", metavar="DIR", help="folder of searches (default: runs)")
    search.add_argument("--name", metavar="NAME", help="folder of this search in it (default: by data and space)")
    search.add_argument("--overwrite", action="store_true", help="delete an earlier search of that name first")
    search.add_argument("--tensorboard", action="store_true", help="write for TensorBoard, too")
    _add_steering(search)
    search.add_argument("--config", metavar="F.toml", help="read settings from a file; flags win over it")
    search.set_defaults(run=_search)


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", metavar="D", help="mnist5k (default), digits, mnist, fashion_mnist, cifar10, or a path"
    )
    parser.add_argument("--image-size", metavar="HxW", help="crop and resize the images")
    parser.add_argument("--conditional", action="store_true", help="tell the GANs the class of each image")


def _add_steering(parser: argparse.ArgumentParser) -> None:
    for flag, value, help in (
        ("--set", "NAME=VALUE", "fix a hyperparameter of the space; may be repeated, as the next two"),
        ("--range", "NAME=LOW:HIGH|A,B", "narrow a hyperparameter to a range, or to some of its choices"),
        ("--default", "NAME=VALUE", "give a hyperparameter another default"),
    ):
        parser.add_argument(flag, action="append", metavar=value, help=help)


def _add_table(commands: Any, name: str, help: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help)
    parser.add_argument("folder", metavar="FOLDER", help="of a search, such as runs/mnist5k-dcgan")
    parser.add_argument("--format", choices=TABLE_FORMATS, help="default: table, or by the suffix of FILE")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to a file")
    parser.set_defaults(run=run)
    return parser


def _add_report(commands: Any) -> None:
    report = commands.add_parser(
        "report",
        help="write one page about a search, to look at and to send to somebody",
        description="Write one page with everything about a search: it opens from disk, without a network.",
    )
    report.add_argument("folder", metavar="FOLDER", help="of a search, such as runs/mnist5k-dcgan")
    report.add_argument("-o", "--output", metavar="FILE.html", help="where to write (default: FOLDER/report.html)")
    report.set_defaults(run=_report)


def _add_watch(commands: Any) -> None:
    watch = commands.add_parser("watch", help="watch a search that runs in another terminal")
    watch.add_argument("folder", metavar="FOLDER", help="of a search, such as runs/mnist5k-dcgan")
    watch.set_defaults(run=_watch)


def _add_export(commands: Any) -> None:
    export = commands.add_parser("export", help="write a trial's generator, model card and samples")
    export.add_argument("folder", metavar="FOLDER", help="of a search, such as runs/mnist5k-dcgan")
    export.add_argument("--trial", default="best", metavar="ID", help="of a trial (default: best)")
    export.add_argument(
        "-o", "--output", metavar="DIR", help="where to write (default: FOLDER/best, or FOLDER/export_ID with --trial)"
    )
    export.add_argument(
        "--format",
        default="keras",
        metavar="A,B",
        help="keras (always written), saved_model, litert or onnx; each is compared with Keras (default: keras)",
    )
    export.add_argument(
        "--discriminator",
        action="store_true",
        help="write the discriminator, too, from images in [-1, 1] to logits (the larger, the more real)",
    )
    export.set_defaults(run=_export)


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="score any generator or set of images",
        description="Score any generator or set of images, whoever made them, beside held-out real images.",
    )
    evaluate.add_argument(
        "source", metavar="MODEL.keras|SAMPLES.npz|FOLDER", help="a generator, or images (an archive or a folder)"
    )
    evaluate.add_argument("--data", required=True, metavar="D", help="the real images: as for search")
    evaluate.add_argument(
        "--against", metavar="FOLDER", help="real images to compare with instead of a part of the data"
    )
    evaluate.add_argument("--image-size", metavar="HxW", help="crop and resize all images")
    evaluate.add_argument(
        "--features", metavar="F", help="compare features of a keras.applications network or of a .keras file"
    )
    evaluate.add_argument("--seed", type=int, default=0, metavar="S", help="integer from 0 (default: 0)")
    evaluate.add_argument("--format", choices=EVALUATION_FORMATS, help="default: table, or by the suffix of FILE")
    evaluate.add_argument("-o", "--output", metavar="FILE", help="write to a file")
    evaluate.set_defaults(run=_evaluate)


def _add_generate(commands: Any) -> None:
    generate = commands.add_parser("generate", help="make images with an exported generator")
    generate.add_argument("model", metavar="MODEL.keras", help="an exported generator")
    generate.add_argument(
        "-n", type=int, default=64, metavar="N", help="how many images (default: 64); rows of classes are filled up"
    )
    generate.add_argument("--seed", type=int, metavar="S", help="integer from 0 that fixes the images")
    generate.add_argument(
        "--class", dest="label", metavar="C", help="label or name of the class (default: all, one row each in a grid)"
    )
    generate.add_argument("-o", "--output", required=True, metavar="FILE", help="samples.npz or grid.png")
    generate.set_defaults(run=_generate)


def _add_rerun(commands: Any) -> None:
    rerun = commands.add_parser(
        "rerun",
        help="train a trial again and compare its score",
        description="Train a trial again, from the same seeds and for as many steps, and compare its score.",
    )
    rerun.add_argument("folder", metavar="FOLDER", help="of a search, such as runs/mnist5k-dcgan")
    rerun.add_argument("--trial", default="best", metavar="ID", help="of a trial (default: best)")
    rerun.set_defaults(run=_rerun)


def _search(options: argparse.Namespace) -> int:
    started = time.monotonic()
    from tuner_gan import files
    from tuner_gan.config import SearchConfig

    flags = {key: value for key, value in vars(options).items() if key not in ("run", "config")}
    config = SearchConfig.load(flags, getattr(options, "config", None))
    console = _console()
    _check_names(config)
    files.check_not_in_use(config.folder, alone=config.workers is None or config.overwrite)
    data = _load_data(config).split(seed=config.seed)
    config = config.plan_epochs(len(data.train))
    console.print(
        f"{data.name}: {len(data.train)} training images of {data.image_shape}", markup=False, highlight=False
    )
    if config.workers is None:
        tuner = _make_tuner(config, data, console)

        def search() -> None:
            tuner.search(data.train, **_limits(config), spent=time.monotonic() - started)
    else:
        started, search = _make_workers(config, data, console)
        del data  # the workers have it
    return _show_results(config.folder, console, _run_search(search, _live_view(config, console, started), console))


def _load_data(config: SearchConfig) -> Any:
    """The images; refuses those without labels for conditional GANs."""
    from tuner_gan import datasets
    from tuner_gan.known_datasets import DOWNLOADED

    if config.data in DOWNLOADED:
        _load_tensorflow()  # Keras downloads them
    data = datasets.load(config.data, config.size)
    if config.conditional and data.num_classes is None:
        raise ConfigError(
            f"Conditional GANs need images labelled with two or more classes, but {data.name} has none: add labels or "
            "leave out --conditional."
        )
    return data


def _worker(options: argparse.Namespace) -> int:
    """One worker of a search, as `WorkerPool` starts it."""
    started = time.monotonic()
    from tuner_gan.search.shared_data import map_splits
    from tuner_gan.search.workers import TASK, WORN_OUT, WorkerTask, end_with_parent

    if TASK not in os.environ:
        raise ConfigError("Workers are started by tuner-gan search --workers N: run that.")
    end_with_parent()
    task = WorkerTask.from_json(os.environ[TASK])
    data = map_splits(Path(task.data))
    tuner = _make_tuner(task.config, data, _console(), task.name)
    tuner.search(data.train, **_limits(task.config), spent=task.spent + time.monotonic() - started)
    return WORN_OUT if tuner.worn_out else 0


def _check_names(config: SearchConfig) -> None:
    """Refuses what would only fail after TensorFlow has loaded and the classifier is trained."""
    from tuner_gan.errors import require, unknown
    from tuner_gan.search_spaces import SPACES

    if config.space not in SPACES:
        raise unknown("search space", config.space, SPACES)
    if config.tensorboard:
        require("tensorboard", "Writing for TensorBoard", "tensorboard")
    if config.storage is not None:
        from tuner_gan.search.storage import check_storage

        check_storage(config.storage, config.folder)


def _make_tuner(config: SearchConfig, data: Any, console: Console, worker: str | None = None) -> GANTuner:
    from tuner_gan import files

    files.create_folder(config.folder.parent)
    with console.status("Starting TensorFlow"):
        _load_tensorflow()
        from tuner_gan.quality.evaluator import QualityEvaluator
        from tuner_gan.search.tuner import GANTuner
    hypermodel = _prepare(config, data)
    if config.overwrite and worker is None:
        _remove_earlier(config, data)
    alone = contextlib.nullcontext() if worker is None else files.setup_lock(config.folder)  # else each would train one
    with console.status("Reference classifier"), alone:
        quality = QualityEvaluator.fit(
            data, config.folder, seed=config.seed, objective=config.objective, features=config.features
        )
    console.print(_describe_quality(quality.card, quality.objective), markup=False, highlight=False)
    assert config.epochs is not None  # planned, now that the images are known
    return GANTuner(
        hypermodel,
        quality=quality,
        oracle=config.oracle,
        max_trials=config.max_trials,
        max_epochs=config.epochs,
        pruner=config.pruner,
        storage=config.storage,
        enqueue=config.points,
        max_failures=config.max_failures,
        max_model_size=config.max_params,
        executions_per_trial=config.executions,
        seed=config.seed,
        baselines=config.baselines,
        finalists=config.finalists,
        finalist_seeds=config.finalist_seeds,
        directory=config.folder.parent,
        project_name=config.folder.name,
        worker=worker,
        tensorboard=config.tensorboard,
        settings={name: value for name, value in config.to_json().items() if name not in NOT_OF_THE_SEARCH},
    )


def _prepare(config: SearchConfig, data: Any) -> GANHyperModel:
    """Makes the hypermodel; what is wrong with the steering or a point is told before a classifier is trained."""
    from tuner_gan.search.hypermodel import GANHyperModel
    from tuner_gan.search_spaces.base import declare, fill_point

    classes = data.num_classes if config.conditional else 0
    hypermodel = GANHyperModel(data.image_shape, _make_space(config, data.image_shape, classes), classes)
    if points := config.points:
        space = declare(hypermodel.search_space)
        for point in points:
            fill_point(space, point)
    return hypermodel


def _remove_earlier(config: SearchConfig, data: Any) -> None:
    """Deletes an earlier search, but not for one that cannot be."""
    from tuner_gan.quality.extractor import make_extractor
    from tuner_gan.search.storage import remove_search

    if config.features is not None:
        make_extractor(config.features, data.image_shape)
    remove_search(config.folder, config.storage)


def _make_space(config: SearchConfig, image_shape: tuple[int, int, int], classes: int = 0) -> SearchSpace:
    from tuner_gan.search_spaces import SteeredSpace, make_space

    space = make_space(config.space, image_shape, classes)
    if not (config.set or config.range or config.default):
        return space
    return SteeredSpace(space).fix(**config.set).narrow(**config.range).set_defaults(**config.default)


def _describe_quality(card: dict[str, Any], objective: str) -> str:
    accuracy = card.get("accuracy")
    chance = " (chance: 25%), " if card["kind"] == "rotation" else ", "
    held_out = "" if accuracy is None else f"held-out accuracy {accuracy:.1%}{chance}"
    return f"reference {card['kind']}: {held_out}floor {objective} {card['floor'][objective]:.4f}"


def _find_quality(config: SearchConfig) -> str | None:
    """What is said of the classifier that workers have trained; None until they have."""
    from tuner_gan import files

    try:
        return _describe_quality(files.read_json(config.folder / files.CLASSIFIER_DIR / files.CARD), config.objective)
    except (ProjectError, LookupError, TypeError, ValueError):  # there is none yet, or the workers tell
        return None


def _make_workers(config: SearchConfig, data: Any, console: Console) -> tuple[float, Callable[[], None]]:
    """Makes what searches with several processes, of which none but the workers keeps the images.

    Returns:
        `time.monotonic()` at which the search began, earlier runs in the folder counted, and what runs it.
    """
    from tuner_gan import files
    from tuner_gan.search.shared_data import SharedData
    from tuner_gan.search.workers import WorkerPool

    files.create_folder(config.folder.parent)
    if config.overwrite:
        _load_tensorflow()
        _prepare(config, data)
        _remove_earlier(config, data)
    files.create_folder(config.folder)
    before = 0.0
    with contextlib.suppress(ProjectError, KeyError, TypeError, ValueError):  # there is none yet, or the workers tell
        before = float(files.read_json(config.folder / files.SEARCH)["elapsed_s"])
    started = time.monotonic() - before
    with console.status("Images for the workers"):
        shared = SharedData(data, config.folder)

    def run() -> None:
        with shared as folder:
            WorkerPool(config, folder, started).run()

    return started, run


def _run_search(search: Callable[[], None], view: LiveView, console: Console) -> int:
    """Searches under a live view; returns 0, or the exit code of the signal that ended it."""
    try:
        with view:
            search()
    except KeyboardInterrupt as error:
        console.print("Interrupted. The same command goes on from here.", highlight=False)
        return _signal_code(error)
    return 0


def _live_view(config: SearchConfig, console: Console, started: float) -> LiveView:
    from tuner_gan.results.live import LiveView
    from tuner_gan.search_spaces.presets import PRESETS

    baselines = len(PRESETS) if config.baselines == "all" else 0
    return LiveView(
        config.folder,
        console,
        epochs=config.epochs,
        max_trials=None if config.max_trials is None else config.max_trials + baselines,
        stop_at=None if config.seconds is None else started + config.seconds,
        classifier=None if config.workers is None else functools.partial(_find_quality, config),
    )


def _limits(config: SearchConfig) -> dict[str, Any]:
    """Those of `GANTuner.search`."""
    return {
        "epochs": config.epochs,
        "max_time": config.seconds,
        "closing": CLOSING_SECONDS,
        "max_total_epochs": config.max_epochs,
        "max_trial_time": config.trial_seconds,
    }


def _show_results(folder: Path, console: Console, code: int) -> int:
    from tuner_gan import files
    from tuner_gan.results import load

    if code and not (folder / files.SEARCH).exists():  # interrupted before a worker had begun
        return code
    results = load(folder)
    if not len(results) and not code:
        raise ConfigError("The time was over before the first trial could start: give the search a longer --max-time.")
    _print_table(results.trials(), console)
    try:
        best = results.best
    except SelectionError as error:
        if code:  # interrupted before the first trial had a score: there is nothing to export, and no error
            return code
        raise ProjectError(str(error)) from error
    _load_tensorflow()
    from tuner_gan.results.export import export_best

    exported, deleted = export_best(folder)
    if deleted:
        console.print(
            f"Deleted from {exported}: {', '.join(deleted)}, of another generator than the best one now, or of an "
            "export that was not whole; tuner-gan export writes them anew.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    for label, path in (
        ("samples", best.folder / files.SAMPLES),
        ("generator", exported / files.GENERATOR),
        ("model card", exported / files.MODEL_CARD),
        ("search", folder),
    ):
        console.print(f"{label:>10}  {path}", markup=False, highlight=False, soft_wrap=True)
    return code


def _trials(options: argparse.Namespace) -> int:
    from tuner_gan.results import load
    from tuner_gan.results.tables import select

    columns = None if options.columns is None else [name.strip() for name in options.columns.split(",")]
    results = load(options.folder)
    table = select(results.trials(), columns, options.sort, options.top, results.project.direction)
    return _write_table(table, options)


def _history(options: argparse.Namespace) -> int:
    from tuner_gan.results import load

    results = load(options.folder)
    table = results.history(options.trial)
    return _write_table(table, options, "There are no epochs yet.", objective=results.project.objective)


def _classes(options: argparse.Namespace) -> int:
    from tuner_gan.results import load

    table = load(options.folder).classes(options.trial)
    return _write_table(table, options, "There are no scores of classes: the trial is not conditional, or not scored.")


def _report(options: argparse.Namespace) -> int:
    from tuner_gan import files
    from tuner_gan.results import load
    from tuner_gan.results.report import write_report

    results = load(options.folder)
    _print(write_report(results, results.folder / files.REPORT if options.output is None else options.output))
    return 0


def _watch(options: argparse.Namespace) -> int:
    from tuner_gan.results import load
    from tuner_gan.results.watching import watch
    from tuner_gan.search_spaces.presets import PRESETS

    console = _console()
    if not watch(options.folder, console, baselines=len(PRESETS)):
        console.print(f"No search is running in {options.folder}.", markup=False, highlight=False, soft_wrap=True)
    _print_table(load(options.folder).trials(), console)
    return 0


def _export(options: argparse.Namespace) -> int:
    from tuner_gan import files
    from tuner_gan.results import load
    from tuner_gan.results.formats import check_formats, parse_formats

    formats = parse_formats(options.format)
    check_formats(formats)
    load(options.folder).trial(options.trial)  # a wrong name is told before TensorFlow loads
    _load_tensorflow()
    from tuner_gan.results.export import export

    target = export(options.folder, options.trial, options.output, formats=formats, discriminator=options.discriminator)
    artifacts = files.read_json(target / files.MODEL_CARD_JSON)["files"]
    for name in (*(artifact["file"] for artifact in artifacts), *files.EXPORTED):
        if (target / name).exists():
            _print(target / name)
    for artifact in artifacts if len(artifacts) > 1 else []:
        _print(
            f"{artifact['format']}: {artifact['size']:,} bytes, {artifact['ms_per_sample']:.3g} ms a sample, "
            f"differs from Keras by {artifact['max_difference']:.2g} at most"
        )
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from tuner_gan import datasets, files
    from tuner_gan.config import parse_size
    from tuner_gan.known_datasets import DOWNLOADED

    size = None if options.image_size is None else parse_size(options.image_size)
    _check_seed(options.seed)
    is_model = Path(options.source).suffix == ".keras"
    samples = None if is_model else datasets.load_samples(options.source, size)
    if options.data in DOWNLOADED:
        _load_tensorflow()  # Keras downloads them
    data = datasets.load(options.data, size).split(seed=options.seed)
    against = None if options.against is None else datasets.load_samples(options.against, size)
    output = None if options.output is None else Path(options.output)
    kind = options.format or ("table" if output is None else BY_SUFFIX.get(output.suffix, "table"))
    if kind not in EVALUATION_FORMATS:
        raise ConfigError(f"evaluate writes a table or JSON, not {output}: let FILE end in .txt or .json.")
    if output is not None:
        files.check_output(output)  # else the scores, which take a while, would be lost
    _load_tensorflow()
    from tuner_gan.quality.evaluation import evaluate
    from tuner_gan.results.export import load_generator

    source = samples or load_generator(options.source)
    evaluation = evaluate(source, data, against=against, seed=options.seed, features=options.features)
    if kind == "json":
        _write_text(json.dumps(evaluation.to_json(), indent=1, allow_nan=False) + "\n", output)
        return 0

    def draw(console: Console) -> None:
        card, objective = evaluation.quality.card, evaluation.quality.objective
        console.print(
            f"{evaluation.images} images against {card['reference_images']} of {evaluation.against}; "
            f"{_describe_quality(card, objective)}",
            markup=False,
            highlight=False,
        )
        table = evaluation.table()
        if len(table):
            _print_table(table if console.width >= WIDE else table.drop(columns="meaning"), console)
        flags = f"flags: {', '.join(evaluation.flags) or 'none'}"
        text = flags if evaluation.message is None else f"{flags} ({evaluation.message})"
        console.print(text, markup=False, highlight=False)

    _show(draw, output)
    return 0


def _check_seed(seed: int | None) -> None:
    if seed is not None and seed < 0:
        raise ConfigError(f"--seed must be an integer from 0, but got {seed}.")


def _generate(options: argparse.Namespace) -> int:
    output = Path(options.output)
    if output.suffix not in (".npz", ".png"):
        raise ConfigError(f"Expected an output that ends in .npz or .png, but got {options.output!r}.")
    if options.n < 1:
        raise ConfigError(f"-n must be at least 1, but got {options.n}.")
    if options.n > MOST_IMAGES:
        raise ConfigError(f"-n must be at most {MOST_IMAGES}, but got {options.n}.")
    _check_seed(options.seed)
    _load_tensorflow()
    import numpy as np

    from tuner_gan import files
    from tuner_gan.images import class_count, generate_images, save_grid
    from tuner_gan.results.export import find_class, load_generator

    generator = load_generator(options.model)
    classes = class_count(generator)
    is_grid = output.suffix == ".png"
    count, columns, labels = options.n, 8, None
    if options.label is not None:
        if not classes:
            raise ConfigError(f"{options.model} is not conditional: leave out --class.")
        labels = np.full(count, find_class(options.model, options.label, classes))
    elif classes and is_grid:
        columns = -(-count // classes)  # one row a class, as many as fill it
        count = columns * classes
        labels = np.repeat(np.arange(classes), columns)
    elif classes:
        labels = np.arange(count) % classes
    files.check_output(output)
    images = generate_images(generator, count, seed=options.seed, labels=labels)
    with files.writing(output) as path:
        if is_grid:
            save_grid(images, path, columns)
        elif labels is None:
            np.savez_compressed(path, images=images)
        else:
            np.savez_compressed(path, images=images, labels=labels)
    _print(f"{len(images)} images of {images.shape[1:]} in {output}")
    return 0


def _rerun(options: argparse.Namespace) -> int:
    from tuner_gan.results import load

    results = load(options.folder)
    trial = results.trial(options.trial)  # a wrong name is told before TensorFlow loads
    trial_id = trial.trial_id
    if trial.threads not in (None, threads.in_use()):  # a worker's share, or another machine's
        os.environ.update(threads.environment(trial.threads))
    console = _console()
    with console.status(f"Training trial {trial_id} again"):
        _load_tensorflow()
        from tuner_gan.search.rerun import rerun_by_settings

        again = rerun_by_settings(options.folder, trial_id)
    _print(
        f"trial {trial_id}: {results.project.objective} {again.before.score} in the search, {again.after.score} again"
    )
    _print(again.after.folder)
    again.check()
    return 0


def _spaces(options: argparse.Namespace) -> int:
    from rich.table import Table
    from rich.text import Text

    from tuner_gan.config import SearchConfig
    from tuner_gan.search_spaces import SPACES

    console = _console()
    flags = {key: value for key, value in vars(options).items() if key not in ("run", "name")}
    name = getattr(options, "name", None)
    if name is None:
        if flags:
            flag = next(iter(flags)).replace("_", "-")
            raise ConfigError(f"--{flag} needs the name of a space: choose one of {', '.join(SPACES)}.")
        for name in SPACES:
            console.print(f"{name}    (tuner-gan spaces {name} lists its hyperparameters)", highlight=False)
        return 0
    config = SearchConfig.load({"space": name, **flags})
    _check_names(config)
    data = _load_data(config)
    _load_tensorflow()
    from tuner_gan.search_spaces.base import declare, describe_parameters

    title = Text(f"{name}, for {data.name}, images of {data.image_shape}: ranges follow the images")
    table = Table(title=title, title_justify="left")
    table.add_column("hyperparameter", no_wrap=True)
    for heading in ("range", "default", "active when"):
        table.add_column(heading, overflow="fold")
    classes = data.num_classes if config.conditional else 0
    for row in describe_parameters(declare(_make_space(config, data.image_shape, classes))):
        table.add_row(*row)
    console.print(table)
    console.print(STEER, markup=False, highlight=False, soft_wrap=True)
    return 0


def _write_table(
    table: pd.DataFrame, options: argparse.Namespace, when_empty: str = NO_TRIALS, objective: str | None = None
) -> int:
    output = None if options.output is None else Path(options.output)
    kind = options.format or ("table" if output is None else BY_SUFFIX.get(output.suffix, "table"))
    if kind == "table":
        _show(lambda console: _print_table(table, console, when_empty, objective), output)
    else:
        from tuner_gan.results.display import render

        _write_text(render(table, kind), output)
    return 0


def _show(draw: Callable[[Console], None], output: Path | None) -> None:
    """Draws on the terminal, or as wide text into a file."""
    if output is None:
        draw(_console())
        return
    from rich.console import Console

    with Path(os.devnull).open("w") as nowhere:
        recording = Console(file=nowhere, record=True, width=200)
        draw(recording)
    _write_text(recording.export_text(), output)


def _write_text(text: str, output: Path | None) -> None:
    if output is None:
        _write(text, sys.stdout)
        return
    from tuner_gan import files

    files.write_output(output, text)


def _print_table(
    table: pd.DataFrame, console: Console, when_empty: str = NO_TRIALS, objective: str | None = None
) -> None:
    from tuner_gan.results.display import rich_table

    # What runs past the edge of the terminal is not cut off.
    console.print(rich_table(table, min(console.width, 160), objective) if len(table) else when_empty, crop=False)


def _console() -> Console:
    """What prints on standard output; once its reader is gone, nothing. A search goes on, and is in its folder."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:  # Rich's own ends the process, with exit code 1
            _turn_away(sys.stdout)
            self.quiet = True

    return Output()


def _print(line: object) -> None:
    _write(f"{line}\n", sys.stdout)


def _tell(sentence: str) -> None:
    _write(f"tuner-gan: {sentence}\n", sys.stderr)


def _write(text: str, stream: TextIO) -> None:
    """Writes on standard output or standard error at once; once its reader is gone, nowhere."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _turn_away(stream)


def _turn_away(stream: TextIO) -> None:
    """Lets standard output or standard error lead nowhere: its reader, such as `head`, has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _load_tensorflow() -> None:
    """Imports TensorFlow and Keras without the lines on devices and instructions that they print on their way."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" in sys.modules:
        return
    # Among its warnings is that much is traced anew, as each trial's GAN must be.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # They come from C++ before any logging can be set up, so only the file descriptor can be turned away.
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    # A third of the time of a command with nothing else to do goes to the garbage collector, which looks through the
    # 600,000 objects of these modules again and again as they load, and once more as the process ends.
    gc.disable()
    # A quarter of the rest goes to what the two take along where they find it; an entry of None makes them do without.
    left_out = [name for name in LEFT_OUT if name not in sys.modules]
    sys.modules.update(dict.fromkeys(left_out))  # type: ignore[arg-type]
    try:
        os.dup2(nowhere, 2)
        import keras  # noqa: F401
        import keras_tuner  # noqa: F401
    finally:
        for name in left_out:
            del sys.modules[name]
        gc.freeze()
        gc.enable()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Shows a warning of ours as one line, and leaves other people's to debugging."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if category is UserWarning:
            _tell(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
