"""A generator in the formats of other runtimes, each tried out before it counts as written."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tuner_gan import files
from tuner_gan.errors import ConfigError, ProjectError, first_line, is_list_of, require, unknown
from tuner_gan.images import (
    SAMPLES,
    SAMPLES_SEED,
    class_count,
    draw_latents,
    input_signature,
    latent_dim,
    measure_speed,
)

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-3
"""Most that a value in [-1, 1] may differ from Keras's: an eighth of a level of an 8-bit image."""
Inputs = list[npt.NDArray[Any]]
Run = Callable[[Inputs], npt.NDArray[np.float32]]
"""Makes images of latents float32 [N, latent_dim] and, of a conditional generator, labels int32 [N]."""


@dataclass(frozen=True)
class Artifact:
    """A file that was written, loaded in its own runtime and compared.

    Attributes:
        format: one of `FORMATS`.
        file: its name; that of a folder for a SavedModel.
        size: bytes.
        max_difference: the most that a value of 64 images, in [-1, 1], differs from that of the generator in Keras.
        ms_per_sample: milliseconds an image in batches of 64, a median of 5 batches, in its own runtime.
    """

    format: str
    file: str
    size: int
    max_difference: float
    ms_per_sample: float


@dataclass(frozen=True)
class Format:
    """How a format is written and run.

    Attributes:
        file: name of what is written.
        packages: modules that it takes, each with the name to install it by.
        write: writes a generator to a path.
        load: gives what runs the file at a path.
    """

    file: str
    packages: tuple[tuple[str, str], ...]
    write: Callable[[keras.Model, Path], None]
    load: Callable[[Path], Run]


def check_formats(formats: Sequence[str]) -> None:
    """Refuses formats that are not known or whose packages are missing.

    Raises:
        ConfigError: the message names the format, and what to install; or they are no list of names.
    """
    if not is_list_of(formats, str):
        raise ConfigError(f"Expected a list of formats, such as ['keras', 'onnx'], got {formats!r}.")
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, list(FORMATS))
        for module, package in FORMATS[name].packages:
            require(module, f"The format {name!r}", name, package)


def write_format(generator: keras.Model, name: str, folder: Path) -> Artifact:
    """Writes a generator in a format, loads it again in the format's own runtime, and compares what it makes.

    Args:
        generator: maps latents [N, latent_dim], and labels [N] where it is conditional, to images in [-1, 1].
        name: one of `FORMATS`, which `check_formats` has passed.
        folder: where to write; what was there under the name is replaced at the end, or not at all.

    Raises:
        ProjectError: the format cannot hold this generator, or the file makes other images than Keras.
    """
    form = FORMATS[name]
    inputs = _inputs(generator)
    with _replacing(folder / form.file) as path:
        try:
            with warnings.catch_warnings():
                # TensorFlow and the converters warn of their own coming changes.
                warnings.simplefilter("ignore")
                form.write(generator, path)
                run = form.load(path)
                images = run(inputs)
        except OSError:
            raise
        except Exception as error:  # a converter raises whatever it stumbles over
            raise ProjectError(f"The generator cannot be written as {name}: {first_line(error)}.") from error
        return _compare(generator, name, path, run, inputs, images)


def check_artifact(generator: keras.Model, name: str, path: Path) -> Artifact:
    """Loads a file that is there already, and compares it as `write_format` does.

    Raises:
        ProjectError: it makes other images than the generator.
    """
    inputs, run = _inputs(generator), FORMATS[name].load(path)
    return _compare(generator, name, path, run, inputs, run(inputs))


def _compare(
    generator: keras.Model, name: str, path: Path, run: Run, inputs: Inputs, images: npt.NDArray[np.float32]
) -> Artifact:
    expected = _run_keras(generator)(inputs)
    difference = float(np.abs(images - expected).max()) if images.shape == expected.shape else float("inf")
    if not difference <= TOLERANCE:
        raise ProjectError(
            f"As {name} the generator makes other images: they differ from Keras's by up to {difference:.2g} where "
            f"at most {TOLERANCE:g} was expected, so the file is not kept."
        )
    size = sum(one.stat().st_size for one in path.rglob("*") if one.is_file()) if path.is_dir() else path.stat().st_size
    return Artifact(name, FORMATS[name].file, size, difference, round(measure_speed(lambda: run(inputs)), 5))


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """As `files.replacing`, for folders, too."""
    if path.suffix:
        with files.replacing(path) as temporary:
            yield temporary
        return
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        written = Path(folder) / path.name
        yield written
        shutil.rmtree(path, ignore_errors=True)
        written.rename(path)


def _inputs(generator: keras.Model) -> Inputs:
    inputs: Inputs = [draw_latents(SAMPLES, latent_dim(generator), SAMPLES_SEED)]
    classes = class_count(generator)
    return [*inputs, np.arange(SAMPLES, dtype=np.int32) % classes] if classes else inputs


def _run_keras(generator: keras.Model) -> Run:
    def run(inputs: Inputs) -> npt.NDArray[np.float32]:
        return np.asarray(generator(inputs if len(inputs) > 1 else inputs[0], training=False), np.float32)

    return run


def _write_keras(generator: keras.Model, path: Path) -> None:
    generator.save(path)


def _load_keras(path: Path) -> Run:
    import keras

    return _run_keras(keras.saving.load_model(path, compile=False, safe_mode=True))


def _write_saved_model(generator: keras.Model, path: Path) -> None:
    generator.export(path, format="tf_saved_model", verbose=False)


def _load_saved_model(path: Path) -> Run:
    import tensorflow as tf

    model = tf.saved_model.load(str(path))

    def run(inputs: Inputs) -> npt.NDArray[np.float32]:
        tensors = [tf.constant(one) for one in inputs]
        return np.asarray(model.serve(tensors if len(tensors) > 1 else tensors[0]), np.float32)

    return run


def _write_litert(generator: keras.Model, path: Path) -> None:
    import tensorflow as tf

    # Without TensorFlow's own operators, which a phone does not have.
    builtins = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    generator.export(path, format="litert", verbose=False, target_spec=builtins)


def _load_litert(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))

    def run(inputs: Inputs) -> npt.NDArray[np.float32]:
        given = [(entry, _fitting(entry["dtype"], inputs)) for entry in interpreter.get_input_details()]
        if any(tuple(entry["shape"]) != values.shape for entry, values in given):
            for entry, values in given:
                interpreter.resize_tensor_input(entry["index"], values.shape)
            interpreter.allocate_tensors()
        for entry, values in given:
            interpreter.set_tensor(entry["index"], values)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), np.float32)

    return run


def _write_onnx(generator: keras.Model, path: Path) -> None:
    generator.export(path, format="onnx", verbose=False, input_signature=input_signature(generator))


def _load_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> npt.NDArray[np.float32]:
        kinds = {"tensor(float)": np.float32, "tensor(int32)": np.int32}
        given = {entry.name: _fitting(kinds[entry.type], inputs) for entry in session.get_inputs()}
        return np.asarray(session.run(None, given)[0], np.float32)

    return run


def _fitting(dtype: npt.DTypeLike, inputs: Inputs) -> npt.NDArray[Any]:
    """Latents or labels, told apart by their type, because runtimes have names and orders of their own."""
    return next(one for one in inputs if one.dtype == dtype)


FORMATS: Final = {
    "keras": Format(files.GENERATOR, (), _write_keras, _load_keras),
    "saved_model": Format("generator_saved_model", (), _write_saved_model, _load_saved_model),
    "litert": Format("generator.tflite", (("ai_edge_litert", "ai-edge-litert"),), _write_litert, _load_litert),
    "onnx": Format(
        "generator.onnx",
        (("tf2onnx", "tf2onnx"), ("onnx", "onnx"), ("onnxruntime", "onnxruntime")),
        _write_onnx,
        _load_onnx,
    ),
}
"""The formats, by the names that `export` knows them by."""


def parse_formats(text: str) -> list[str]:
    """Reads names of formats that are separated by commas.

    Raises:
        ConfigError: there is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"Expected formats such as keras,onnx, got {text!r}: choose from {', '.join(FORMATS)}.")
    return list(dict.fromkeys(names))
