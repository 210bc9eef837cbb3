"""A trial leaves the project: its generator, what it is, what it makes, and how to load it."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner_gan import files
from tuner_gan.errors import ProjectError, QualityError, SelectionError, first_line
from tuner_gan.images import class_count, sample_images, save_grid
from tuner_gan.results.formats import FORMATS, Artifact, check_artifact, check_formats, write_format
from tuner_gan.results.loading import generate_script
from tuner_gan.results.model_card import card_json, class_names, model_card
from tuner_gan.results.records import FAILED, UNREADABLE, TrialRecord
from tuner_gan.results.search_results import SearchResults, load

if TYPE_CHECKING:
    import keras

    from tuner_gan.gan.architecture import GANArchitecture
    from tuner_gan.gan.model import GAN

KERAS = "keras"


def export(
    folder: str | Path,
    trial_id: str = "best",
    directory: str | Path | None = None,
    *,
    formats: Sequence[str] = (KERAS,),
    discriminator: bool = False,
) -> Path:
    """Writes a trial's generator with its architecture, samples and a model card.

    Of a trial with several executions, such as a finalist, it is the generator of the best one.

    The generator is loaded and run before anything is written, so that what leaves is known to work. Loading it needs
    Keras only: no custom objects, no tuner_gan. Every other format is loaded in its own runtime, too, and compared with
    Keras on the same 64 latents.

    Args:
        folder: the project folder.
        trial_id: of the trial, or `"best"`.
        directory: where to write; by default `best/`, or `export_ID/` for another trial, in the project folder.
        formats: names out of `results.formats.FORMATS`. The `.keras` file is written in any case. Files of other
            formats that an earlier export left there are deleted: they may hold another generator.
        discriminator: whether the discriminator is written, too, as it was at the end of that training. It takes images
            in [-1, 1] and returns logits; the model card says what else a conditional one takes or returns.

    Returns:
        The folder that now holds generator.keras, architecture.json, samples.png, model_card.md, model_card.json and
        generate.py; of a conditional generator class_names.json; and what else was asked for.

    Raises:
        SelectionError: there is no such trial, or it has no generator.
        ConfigError: a format is not known, or takes a package that is not installed.
        ProjectError: a file of the trial is damaged, the folder cannot be written or is that of another trial or of a
            search, or a format cannot hold the generator.
    """
    check_formats(formats)
    if directory is not None and not os.fspath(directory):
        raise ProjectError("Expected the folder to write to, but got ''.")
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
    held = next((name for name in (files.RECORD, files.SEARCH) if (target / name).exists()), None)
    if held is not None and not target.samefile(record.folder):  # another trial's own generator would be overwritten
        raise ProjectError(
            f"{target} is the folder of another trial or of a search ({held} is in it): choose another folder."
        )
    generator, images = _try_generator(source, record.trial_id)
    architecture = files.read_json(record.folder / files.ARCHITECTURE)  # damaged, it must not stop the copying midway
    gan = _load_judge(record, architecture) if discriminator else None
    files.create_folder(target)
    _delete_others(target, formats)
    for name in (files.GENERATOR, files.ARCHITECTURE):
        with files.replacing(target / name) as path:
            shutil.copyfile(record.folder / name, path)
    if gan is not None:
        with files.replacing(target / files.DISCRIMINATOR) as path:
            gan.save_discriminator(path)
    artifacts = [check_artifact(generator, KERAS, target / files.GENERATOR)]
    artifacts += [write_format(generator, name, target) for name in dict.fromkeys(formats) if name != KERAS]
    save_grid(images, target / files.SAMPLES)
    names = class_names(results, class_count(generator))
    if names:
        files.write_json(target / files.CLASS_NAMES, {"schema": files.SCHEMA, "class_names": names})
    files.write_text(target / files.GENERATE, generate_script(len(names)))
    judge = None if gan is None else _describe_discriminator(gan.architecture)
    _write_cards(target, results, record, names, artifacts, judge)
    return target


def export_best(folder: str | Path) -> tuple[Path, list[str]]:
    """Exports the best trial to `best/` at the end of a search, unless an earlier export has.

    What is there of the same generator, in whatever formats, stays; only the model card is written anew, for it tells
    of the search, too.

    Returns:
        The folder, and the names of what was deleted there because it was of another generator, or of an export that
        is not whole.

    Raises:
        As `export`.
    """
    with files.export_lock(Path(folder)):  # from the choice on: another machine may know of a better trial by then
        results = load(folder)
        record, target = results.best, results.folder / files.BEST_DIR
        if _renew_cards(target, results, record):
            return target, []
        before = {path.name for path in target.iterdir()} if target.is_dir() else set()
        export(folder)
        return target, sorted(before - {path.name for path in target.iterdir()})


def _renew_cards(target: Path, results: SearchResults, record: TrialRecord) -> bool:
    """Tells whether a folder holds a whole export of the generator of a trial; its model card is then up to date."""
    try:
        card = files.read_json(target / files.MODEL_CARD_JSON)
        # A trial that was trained on may still have its generator, and then has another discriminator.
        if (card["trial_id"], card["epochs"]) != (record.trial_id, record.epochs):
            return False
        for name in (files.GENERATOR, files.ARCHITECTURE):
            if not filecmp.cmp(record.folder / name, target / name, shallow=False):
                return False
        artifacts = [Artifact(**one) for one in card["files"] if (target / one["file"]).exists()]
        if not all((target / name).is_file() for name in (files.SAMPLES, files.GENERATE)):
            return False
        judge = card.get("discriminator") if (target / files.DISCRIMINATOR).exists() else None
        names = card["class_names"]
    except (OSError, KeyError, TypeError, ValueError):  # nothing is there, or it is damaged
        return False
    _write_cards(target, results, record, names, artifacts, judge)
    return True


def _write_cards(
    target: Path,
    results: SearchResults,
    record: TrialRecord,
    names: Sequence[str],
    artifacts: Sequence[Artifact],
    discriminator: Mapping[str, str] | None,
) -> None:
    told = results, record, names, artifacts, discriminator
    files.write_json(target / files.MODEL_CARD_JSON, card_json(*told))
    files.write_text(target / files.MODEL_CARD, model_card(*told))


def _delete_others(target: Path, formats: Sequence[str]) -> None:
    """Deletes what an earlier export of another trial may have left there."""
    for name, form in FORMATS.items():
        path = target / form.file
        if name not in (KERAS, *formats):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    for file in (files.CLASS_NAMES, files.DISCRIMINATOR):
        (target / file).unlink(missing_ok=True)


def _try_generator(path: Path, trial_id: str) -> tuple[keras.Model, Any]:
    """A generator that works, and samples of it."""
    generator = load_generator(path)
    try:
        return generator, sample_images(generator)
    except QualityError as error:
        raise ProjectError(f"The generator of trial {trial_id} cannot be exported: {error}") from error


def _load_judge(record: TrialRecord, content: dict[str, Any]) -> GAN:
    """A GAN whose discriminator is as it was at the end of the best training; its generator is untrained."""
    import keras

    from tuner_gan.gan.architecture import GANArchitecture
    from tuner_gan.gan.model import GAN

    class Judge(keras.Model):  # type: ignore[misc]
        """All that is read of the file: a subclass of GAN has weights, layers and optimizers of its own in it, too."""

        def __init__(self, discriminator: keras.Model) -> None:
            super().__init__()
            self.discriminator = discriminator
            self.built = True  # else Keras loads nothing

        def load_own_variables(self, store: Any) -> None:
            """Loads none: those are the GAN's."""

    path = record.folder / files.STATE
    try:
        gan = GAN(GANArchitecture.from_json(content), seed=0)
        Judge(gan.discriminator).load_weights(path)
    except Exception as error:  # whatever the damaged part happens to break
        raise ProjectError(
            f"The discriminator of trial {record.trial_id} cannot be exported: {path} is missing or damaged "
            f"({first_line(error)})."
        ) from error
    return gan


def _describe_discriminator(architecture: GANArchitecture) -> dict[str, str]:
    """Its file, what it takes and what it returns."""
    takes = f"images, float32 [N, {', '.join(map(str, architecture.image_shape))}] in [-1, 1]"
    returns, classes = "logits [N, 1]: the larger, the more real; no probabilities", architecture.classes
    if classes and architecture.discriminator.class_output == "projection":
        takes += f", and the labels that they are judged by, int32 [N] from 0 to {classes - 1}"
    elif classes:
        returns = f"logits [N, 1 + {classes}]: the larger the first, the more real; the others are of the classes"
    return {"file": files.DISCRIMINATOR, "takes": takes, "returns": returns}


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
            conditional one, whose second input is int32 labels [N], which its first embedding counts. Or of what
            `GAN.save` wrote, whose averaged generator it is.

    Returns:
        The `keras.Model`.

    Raises:
        ProjectError: the file is missing, damaged, unsafe, or holds a model of another kind.
    """
    if not Path(path).is_file():
        raise ProjectError(f"{path} is no file: expected a generator saved as .keras.")
    import keras

    from tuner_gan.gan.model import GAN  # known to Keras by its import

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # Keras raises whatever the damaged part happens to break, from zipfile, h5py or json.
        raise ProjectError(f"{path} cannot be loaded as a Keras model: {first_line(error)}.") from error
    if isinstance(model, GAN):
        model = model.ema_generator
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
