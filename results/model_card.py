"""What an exported generator is, how good it is, and how to load it: for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuner_gan import files
from tuner_gan.known_datasets import LICENCES
from tuner_gan.results.checks import find_part
from tuner_gan.results.loading import loading_code
from tuner_gan.results.records import FLAG_MEANINGS, ExecutionRecord, TrialRecord

if TYPE_CHECKING:
    from tuner_gan.results.formats import Artifact
    from tuner_gan.results.search_results import SearchResults

LISTED = 100
"""Classes that a model card names at most."""
INTENDED_USE = (
    "It makes images like those it was trained on, and inherits their biases and their licence. Scores of another "
    "project, with another reference classifier, cannot be compared with these."
)


def class_names(results: SearchResults, classes: int) -> list[str]:
    """Names of the classes of a conditional generator, by search.json; the labels themselves where it is damaged."""
    names = find_part(results.config, "data").get("class_names")
    if isinstance(names, list) and len(names) == classes and all(isinstance(name, str) for name in names):
        return names
    return [str(label) for label in range(classes)]


def card_json(
    results: SearchResults,
    record: TrialRecord,
    class_names: Sequence[str] = (),
    artifacts: Sequence[Artifact] = (),
    discriminator: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What `model_card` tells, as an object of JSON; what is not known is null.

    Args:
        results, record, class_names, artifacts, discriminator: as in `model_card`.
    """
    search, floor = results.config, find_part(results.classifier, "floor")
    data, best = find_part(search, "data"), _best_execution(record)
    several = best is not None and record.trainings > 1
    repeated = _repeated(results, record)
    return {
        "schema": files.SCHEMA,
        "trial_id": record.trial_id,
        "search": search.get("name", results.folder.name),
        "origin": record.origin,
        "status": record.status,
        "objective": results.project.objective,
        "direction": results.project.direction,
        "score": best.score if several and best is not None else record.score,
        "score_mean": record.score,
        "score_std": record.score_std,
        "trainings": record.trainings,
        "seed": record.seed if best is None else best.seed,
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "metrics": {
            name: {
                "value": best.metrics.get(name) if several and best is not None else value,
                "mean": _mean(record, name),
                "floor": floor.get(name),
            }
            for name, value in record.metrics.items()
        },
        "baselines": {trial.trial_id: trial.score for trial in results.records if trial.origin == "baseline"},
        "repeats": None
        if repeated is None
        else {"trial_id": repeated.trial_id, "score": repeated.score, "epochs": repeated.epochs},
        "flags": {flag: FLAG_MEANINGS.get(flag) for flag in record.flags},
        "parameters": {"generator": record.generator_params, "discriminator": record.discriminator_params},
        "files": [dict(vars(artifact)) for artifact in artifacts],
        "discriminator": None if discriminator is None else dict(discriminator),
        "class_names": list(class_names),
        "data": {
            **{key: data.get(key) for key in ("name", "fingerprint", "image_shape", "images")},
            "licence": _licence(search),
        },
        "classifier": {key: results.classifier.get(key) for key in ("kind", "fingerprint", "accuracy")},
        "hyperparameters": dict(record.hyperparameters),
        "settings": search.get("config"),
        "space": find_part(search, "space").get("name"),
        "oracle": search.get("oracle"),
        "search_seed": search.get("seed"),
        "versions": find_part(search, "versions"),
        "intended_use": INTENDED_USE,
        "load": loading_code(files.GENERATOR, len(class_names)),
    }


def model_card(
    results: SearchResults,
    record: TrialRecord,
    class_names: Sequence[str] = (),
    artifacts: Sequence[Artifact] = (),
    discriminator: Mapping[str, str] | None = None,
) -> str:
    """Writes, as Markdown, what a generator is, how good it is, and how to load it.

    Args:
        results: of its search.
        record: of its trial.
        class_names: of a conditional generator; empty for any other.
        artifacts: the files that hold it.
        discriminator: `file`, and what it `takes` and `returns`; None where none is written.
    """
    search = results.config
    objective, floor = results.project.objective, find_part(results.classifier, "floor")
    data, versions = find_part(search, "data"), find_part(search, "versions")
    best, count = _best_execution(record), record.trainings
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
        *loading_code(files.GENERATOR, len(class_names)),
        "```",
        "",
        f"`python {files.GENERATE} -n 64 -o images.npz` does that, and needs Keras and NumPy only.",
        "",
        *_files(artifacts),
        *_discriminator(discriminator),
        *_classes(class_names),
        "## Scores",
        "",
        f"Ranked by {_cell(objective)}. The floor is the score of real images that were held out.",
        "",
        *_scores(record, floor),
        "",
        *_flags(record),
        *_spread(record, objective),
        *_baselines(results, record, objective),
        "## Made from",
        "",
        f"* data: {_cell(data.get('name', 'unknown'))}, {_cell(data.get('images', 'unknown'))} training images, "
        f"fingerprint {_cell(str(data.get('fingerprint', 'unknown'))[:16])}",
        f"* licence of the data: {_cell(_licence(search) or 'not known to tuner_gan')}",
        f"* training: {_cell(record.epochs)} epochs, best at epoch {_cell(record.best_epoch)}, "
        f"seed {_cell(seed)}{f', the best of {count} trainings' if count > 1 else ''}",
        f"* parameters: {_cell(record.generator_params)} in the generator, {_cell(record.discriminator_params)} in the "
        "discriminator",
        f"* search: oracle {_cell(search.get('oracle', 'unknown'))}, space "
        f"{_cell(find_part(search, 'space').get('name', 'unknown'))}, seed {_cell(search.get('seed', 'unknown'))}, "
        f"settings {_cell(search.get('config', {}))}",
        f"* versions: {_cell(', '.join(f'{name} {value}' for name, value in versions.items()))}",
        "",
        "| hyperparameter | value |",
        "|---|---|",
        *(f"| {_cell(name)} | {_cell(value)} |" for name, value in record.hyperparameters.items()),
        "",
        "## Use",
        "",
        INTENDED_USE,
        "",
    ]
    return "\n".join(lines)


def _licence(search: dict[str, Any]) -> str | None:
    """Of the data, where it is known; a folder of the name of a known data set is not that data set."""
    licence = find_part(search, "data").get("licence")
    if isinstance(licence, str):
        return licence
    # search.json of an earlier version has what --data was.
    return LICENCES.get(str(find_part(search, "settings").get("data")))


def _files(artifacts: Sequence[Artifact]) -> list[str]:
    """What each file is, and how far its images are from those of Keras."""
    if not artifacts:
        return []
    rows = (
        f"| {_cell(one.file)} | {_cell(one.format)} | {one.size:,} | {one.max_difference:.2g} | "
        f"{one.ms_per_sample:.3g} |"
        for one in artifacts
    )
    return [
        "Each file was loaded in its own runtime and made the same 64 images; values are in [-1, 1].",
        "",
        "| file | format | bytes | largest difference | ms a sample |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def _discriminator(found: Mapping[str, str] | None) -> list[str]:
    if found is None:
        return []
    return [
        f"`{found['file']}` is the discriminator at the end of the training. It takes {found['takes']}. It returns "
        f"{found['returns']}.",
        "",
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


def _mean(record: TrialRecord, name: str) -> float | None:
    """A score's mean over the trainings; None for one that only the best of several was asked for."""
    scored = [run.metrics for run in record.executions if run.score is not None]
    return record.metrics[name] if len(scored) < 2 or all(name in metrics for metrics in scored) else None


def _scores(record: TrialRecord, floor: dict[str, Any]) -> list[str]:
    best, count = _best_execution(record), record.trainings
    if best is None or count < 2:
        head = ["| metric | this generator | floor |", "|---|---|---|"]
        rows: list[list[float | None]] = [[value] for value in record.metrics.values()]
    else:
        head = [f"| metric | this generator | mean of {count} trainings | floor |", "|---|---|---|---|"]
        rows = [[best.metrics.get(name), _mean(record, name)] for name in record.metrics]
    names = zip(record.metrics, rows, strict=True)
    return [
        *head,
        *(f"| {_cell(name)} | {' | '.join(map(_number, row))} | {_number(floor.get(name))} |" for name, row in names),
    ]


def _spread(record: TrialRecord, objective: str) -> list[str]:
    best, count = _best_execution(record), record.trainings
    again = ""
    if record.repeats is not None:
        repeated = _cell(record.repeats)
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


def _baselines(results: SearchResults, record: TrialRecord, objective: str) -> list[str]:
    """Scores of the tutorials, and of the trial that a finalist repeats, which may have been trained for far longer."""
    rows = [trial for trial in results.records if trial.origin == "baseline" and trial.score is not None]
    if not rows:
        return []
    scores = ", ".join(f"{_cell(trial.trial_id)} {trial.score:.4g}" for trial in rows)
    lengths = " and ".join(_cell(trial.epochs) for trial in rows)
    said = [
        f"For comparison, {_cell(objective)} of the tutorials in the same search: {scores}.",
        f"{'They were' if len(rows) > 1 else 'It was'} trained for {lengths} epochs, this generator for "
        f"{_cell(record.epochs)}.",
    ]
    first = _repeated(results, record)
    if first is not None:
        said.append(
            f"Trial {_cell(first.trial_id)}, which it repeats, has {_cell(first.score)} after {_cell(first.epochs)}."
        )
    return [" ".join(said), ""]


def _repeated(results: SearchResults, record: TrialRecord) -> TrialRecord | None:
    """The trial that a finalist repeats, unless its folder is gone."""
    return next((trial for trial in results.records if trial.trial_id == record.repeats), None)


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
