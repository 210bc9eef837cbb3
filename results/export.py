"""A trial leaves the project: its generator, what it is, what it makes, and how to load it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuner_gan import files
from tuner_gan.errors import ProjectError, QualityError, SelectionError, first_line
from tuner_gan.images import class_count, sample_images, save_grid
from tuner_gan.results.records import FAILED, FINALIST, FLAG_MEANINGS, UNREADABLE, ExecutionRecord, TrialRecord
from tuner_gan.results.search_results import SearchResults, load

LISTED = 100
"""Classes that a model card names at most."""


def export(folder: str | Path, trial_id: str = "best", directory: str | Path | None = None) -> Path:
    """Writes a trial's generator with its architecture, samples and a model card.

    Of a trial with several executions, such as a finalist, it is the generator of the best one.

    The generator is loaded and run before anything is written, so that what leaves is known to work. Loading it needs
    Keras only: no custom objects, no tuner_gan.

    Args:
        folder: the project folder.
        trial_id: of the trial, or `"best"`.
        directory: where to write; by default `best/`, or `export_ID/` for another trial, in the project folder.

    Returns:
        The folder that now holds generator.keras, architecture.json, samples.png and model_card.md, and of a
        conditional generator class_names.json.

    Raises:
        SelectionError: there is no such trial, or it has no generator.
        ProjectError: a file of the trial is damaged, or the folder cannot be written.
    """
    results = load(folder)
    record = results.trial(trial_id)
    source = record.folder / files.GENERATOR
    # A trial that failed later may have left a generator; its record is no ground for trusting it.
    if record.status in (FAILED, UNREADABLE) or not source.is_file():
        reason = f": {record.message.rstrip('.')}" if record.message else ""
        missing = "" if source.is_file() else " has no generator and"
        raise SelectionError(f"Trial {record.trial_id}{missing} cannot be exported: it is {record.status}{reason}.")
    default = files.BEST_DIR if trial_id == "best" else f"export_{record.trial_id}"
    target = Path(directory) if directory is not None else results.folder / default
    images, classes = _try_generator(source, record.trial_id)
    files.read_json(record.folder / files.ARCHITECTURE)  # damaged or missing, it must not stop the copying midway
    files.create_folder(target)
    for name in (files.GENERATOR, files.ARCHITECTURE):
        with files.replacing(target / name) as path:
            shutil.copyfile(record.folder / name, path)
    save_grid(images, target / files.SAMPLES)
    names = _class_names(results, classes)
    if names:
        files.write_json(target / files.CLASS_NAMES, {"schema": files.SCHEMA, "class_names": names})
    else:  # of another trial that was exported here
        (target / files.CLASS_NAMES).unlink(missing_ok=True)
    files.write_text(target / files.MODEL_CARD, model_card(results, record, names))
    return target


def _try_generator(path: Path, trial_id: str) -> tuple[Any, int]:
    """Samples of a generator, and the number of its classes."""
    generator = load_generator(path)
    try:
        return sample_images(generator), class_count(generator)
    except QualityError as error:
        raise ProjectError(f"The generator of trial {trial_id} cannot be exported: {error}") from error


def _class_names(results: SearchResults, classes: int) -> list[str]:
    """As search.json has them; the labels themselves where it is damaged."""
    names = _part(results.config, "data").get("class_names")
    if isinstance(names, list) and len(names) == classes and all(isinstance(name, str) for name in names):
        return names
    return [str(label) for label in range(classes)]


def find_class(model: str | Path, name: str, classes: int) -> int:
    """Finds the label of a class, for the generator in a file.

    Args:
        model: path of the `.keras` file, beside which an export has put the names of the classes.
        name: one of those names, or a label in 0..classes-1. A name wins over a label.
        classes: of the generator.

    Raises:
        SelectionError: there is no such class.
        ProjectError: the file with the names is damaged.
    """
    path = Path(model).with_name(files.CLASS_NAMES)
    names = files.read_json(path).get("class_names") if path.is_file() else []
    if not isinstance(names, list) or len(names) not in (0, classes):
        raise ProjectError(f"{path} is damaged: expected the names of {classes} classes, but got {names!r}.")
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < classes:
        return int(name)
    known = f"0 to {classes - 1}" + (f", or one of {', '.join(map(str, names))}" if names else "")
    raise SelectionError(f"There is no class {name!r}: choose a label from {known}.")


def load_generator(path: str | Path) -> Any:
    """Loads a generator in Keras's safe mode.

    Args:
        path: of a `.keras` file whose model maps latents [N, latent_dim] to images [N, H, W, C] in [-1, 1]; or a
            conditional one, whose second input is int32 labels [N], which its first embedding counts.

    Returns:
        The `keras.Model`.

    Raises:
        ProjectError: the file is missing, damaged, unsafe, or holds a model of another kind.
    """
    import keras

    if not Path(path).is_file():
        raise ProjectError(f"{path} is no file: expected a generator saved as .keras.")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # Keras raises whatever the damaged part happens to break, from zipfile, h5py or json.
        raise ProjectError(f"{path} cannot be loaded as a Keras model: {first_line(error)}.") from error
    shapes: Any = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    inputs = shapes[0] if isinstance(shapes[0], list) else [shapes[0]]
    ranks = tuple(len(shape) if isinstance(shape, tuple) else None for shape in (*inputs, shapes[1]))
    counts = len(inputs) == 1 or class_count(model) > 0
    if ranks not in ((2, 4), (2, 1, 4)) or inputs[0][1] is None or not counts:
        raise ProjectError(
            f"{path} holds no generator: expected a model from [N, latent_dim] to [N, H, W, C], a conditional one with "
            f"labels [N] to embed as its second input, but it maps {shapes[0]} to {shapes[1]}."
        )
    return model


def model_card(results: SearchResults, record: TrialRecord, class_names: Sequence[str] = ()) -> str:
    """Writes, as Markdown, what a generator is, how good it is, and how to load it.

    Args:
        results: of its search.
        record: of its trial.
        class_names: of a conditional generator; empty for any other.
    """
    search = results.config
    objective, floor = results.project.objective, _part(results.classifier, "floor")
    data, versions = _part(search, "data"), _part(search, "versions")
    best, count = _best_execution(record), _trainings(record)
    seed = record.seed if best is None else best.seed
    lines = [
        f"# Generator of {_cell(data.get('name', 'unknown data'))}",
        "",
        f"Trial {_cell(record.trial_id)} of the search {_cell(search.get('name', results.folder.name))} "
        f"({len(results)} trials). It maps latents drawn from a standard normal distribution to images of shape "
        f"{_shape(data.get('image_shape'))} in [-1, 1]{', of the class that it is told' if class_names else ''}.",
        "",
        "## Load it",
        "",
        "```python",
        "import keras, numpy as np",
        'generator = keras.saving.load_model("generator.keras")',
        *_call(len(class_names)),
        "```",
        "",
        *_classes(class_names),
        "## Scores",
        "",
        f"Ranked by {_cell(objective)}. The floor is the score of real images that were held out.",
        "",
        *_scores(record, floor),
        "",
        *_flags(record),
        *_spread(record, objective),
        *_baselines(results, objective),
        "## Made from",
        "",
        f"* data: {_cell(data.get('name', 'unknown'))}, {_cell(data.get('images', 'unknown'))} training images, "
        f"fingerprint {_cell(str(data.get('fingerprint', 'unknown'))[:16])}",
        f"* training: {_cell(record.epochs)} epochs, best at epoch {_cell(record.best_epoch)}, "
        f"seed {_cell(seed)}{f', the best of {count} trainings' if count > 1 else ''}",
        f"* parameters: {_cell(record.generator_params)} in the generator, {_cell(record.discriminator_params)} in the "
        "discriminator",
        f"* search: oracle {_cell(search.get('oracle', 'unknown'))}, space "
        f"{_cell(_part(search, 'space').get('name', 'unknown'))}, seed {_cell(search.get('seed', 'unknown'))}, "
        f"settings {_cell(search.get('config', {}))}",
        f"* versions: {_cell(', '.join(f'{name} {value}' for name, value in versions.items()))}",
        "",
        "| hyperparameter | value |",
        "|---|---|",
        *(f"| {_cell(name)} | {_cell(value)} |" for name, value in record.hyperparameters.items()),
        "",
        "## Use",
        "",
        "It makes images like those it was trained on, and inherits their biases and their licence. Scores of another",
        "project, with another reference classifier, cannot be compared with these.",
        "",
    ]
    return "\n".join(lines)


def _call(classes: int) -> list[str]:
    if not classes:
        return [
            "latents = np.random.default_rng(0).standard_normal((64, generator.input_shape[-1]), dtype=np.float32)",
            "images = np.rint((keras.ops.convert_to_numpy(generator(latents)) + 1) * 127.5).astype(np.uint8)",
        ]
    return [
        f"labels = np.arange(64, dtype=np.int32) % {classes}",
        "latents = np.random.default_rng(0).standard_normal((64, generator.input_shape[0][-1]), dtype=np.float32)",
        "images = np.rint((keras.ops.convert_to_numpy(generator([latents, labels])) + 1) * 127.5).astype(np.uint8)",
    ]


def _classes(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    listed = ", ".join(f"{label} {_cell(name)}" for label, name in enumerate(names[:LISTED]))
    more = f" and {len(names) - LISTED} more, listed in class\\_names.json" if len(names) > LISTED else ""
    return [f"Its {len(names)} labels, and the names of their classes: {listed}{more}.", ""]


def _flags(record: TrialRecord) -> list[str]:
    if not record.flags:
        return ["No flag was raised.", ""] if record.metrics else []
    unknown = "this version of tuner\\_gan does not know this flag."
    lines = (f"* {_cell(flag)}: {FLAG_MEANINGS.get(flag, unknown)}" for flag in record.flags)
    return ["What is wrong with it:", "", *lines, ""]


def _best_execution(record: TrialRecord) -> ExecutionRecord | None:
    """The training that the generator is of."""
    return next((run for run in record.executions if run.execution == record.best_execution), None)


def _trainings(record: TrialRecord) -> int:
    """How many trainings the scores of a trial are means of."""
    return sum(run.score is not None for run in record.executions)


def _scores(record: TrialRecord, floor: dict[str, Any]) -> list[str]:
    best, count = _best_execution(record), _trainings(record)
    if best is None or count < 2:
        head = ["| metric | this generator | floor |", "|---|---|---|"]
        rows: list[list[float | None]] = [[value] for value in record.metrics.values()]
    else:
        head = [f"| metric | this generator | mean of {count} trainings | floor |", "|---|---|---|---|"]
        # What only this generator was asked about has no mean.
        scored = [run.metrics for run in record.executions if run.score is not None]
        rows = [
            [best.metrics.get(name), value if all(name in metrics for metrics in scored) else None]
            for name, value in record.metrics.items()
        ]
    names = zip(record.metrics, rows, strict=True)
    return [
        *head,
        *(f"| {_cell(name)} | {' | '.join(map(_number, row))} | {_number(floor.get(name))} |" for name, row in names),
    ]


def _spread(record: TrialRecord, objective: str) -> list[str]:
    best, count = _best_execution(record), _trainings(record)
    again = ""
    if record.origin == FINALIST:
        repeated = _cell(record.trial_id.removeprefix(files.FINALIST_PREFIX))
        again = f"A finalist: it repeats trial {repeated}, with seeds that had no part in choosing that trial. "
    if best is None or count < 2 or record.score_std is None:
        one = "One training from one seed: another seed typically moves the score by a tenth of its value."
        return [again + one, ""]
    return [
        f"{again}{count} trainings from different seeds have a mean {_cell(objective)} of {_number(record.score)} with "
        f"a standard deviation of {record.score_std:.4g}. This generator is the best of them, of seed {best.seed}, "
        f"with {_number(best.score)}.",
        "",
    ]


def _baselines(results: SearchResults, objective: str) -> list[str]:
    rows = [trial for trial in results.records if trial.origin == "baseline" and trial.score is not None]
    if not rows:
        return []
    scores = ", ".join(f"{_cell(trial.trial_id)} {trial.score:.4g}" for trial in rows)
    return [f"For comparison, {_cell(objective)} of the tutorials in the same search: {scores}.", ""]


def _part(content: dict[str, Any], key: str) -> dict[str, Any]:
    """An object within an object of a file that may be damaged."""
    part = content.get(key)
    return part if isinstance(part, dict) else {}


def _shape(shape: Any) -> str:
    return _cell(" x ".join(map(str, shape))) if isinstance(shape, list) else "unknown"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else ""


def _cell(value: Any) -> str:
    """Text for Markdown: what a folder holds must not become markup."""
    text = "unknown" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    for mark in "\\`|<>[]*_":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
