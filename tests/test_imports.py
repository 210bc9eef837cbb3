"""Which part of the package may know which other: the imports are read, and no arrow may point back."""

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"tuner_gan": "tuner_gan", "search_spaces": "tuner_gan.search_spaces", "results": "tuner_gan.results"}
"""Folders of the repository and what they are imported as."""

FRAMEWORKS = ("keras", "tensorflow", "keras_tuner")
DATASETS = ("array_files", "datasets", "image_arrays", "image_files", "image_labels", "known_datasets")
GROUND = ("errors", "files", "images", "layout", "plain_numbers", "precision")
"""What every part stands on."""

PARTS = ("quality", "gan", "search", "search_spaces", "results", "cli", "config")

FORBIDDEN: dict[str, tuple[str, ...]] = {
    **{f"tuner_gan.{name}": tuple(f"tuner_gan.{part}" for part in PARTS) for name in (*DATASETS, *GROUND)},
    "tuner_gan.quality": ("tuner_gan.gan", "tuner_gan.search", "tuner_gan.search_spaces"),
    "tuner_gan.quality.metrics": FRAMEWORKS,
    "tuner_gan.quality.reference": FRAMEWORKS,
    "tuner_gan.quality.guards": (*FRAMEWORKS, "numpy", "scipy", "pandas"),
    "tuner_gan.gan": ("tuner_gan.search", "tuner_gan.search_spaces", "tuner_gan.results", "tuner_gan.quality"),
    "tuner_gan.search_spaces": ("tuner_gan.search", "tuner_gan.results", "tuner_gan.quality"),
    "tuner_gan.results": ("tuner_gan.search", "tuner_gan.search_spaces"),
    "": ("torch", "torchvision", "tensorflow_gan", "tensorflow_probability"),
}
"""Module (and those below it) -> what it must not import. A name stands for what is below it, too."""

EXPORT = "tuner_gan.results.export"
WITH_KERAS = (EXPORT, "tuner_gan.results.formats")
"""The only modules of `results` that may load Keras and the networks."""


def _modules() -> dict[str, Path]:
    found = {}
    for folder, package in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            if folder == "tuner_gan" and parts[0] in ("search_spaces", "results"):
                continue  # links to the folders beside it
            name = ".".join([package, *parts])
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = _modules()


def _imports(source: str, module: str, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Yields line and full name of everything a module imports, lazily and for type checkers included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")
            if node.level:
                parents = parents[: len(parents) - node.level + is_package]
            base = ".".join([*(parents if node.level else []), *([node.module] if node.module else [])])
            # `from tuner_gan import gan` imports tuner_gan.gan.
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif (
            # The name of a module for `importlib.import_module`.
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch(r"tuner_gan(\.\w+)+\.?", node.value)
        ):
            yield node.lineno, node.value.rstrip(".")


def _below(name: str, parent: str) -> bool:
    return parent == "" or name == parent or name.startswith(f"{parent}.")


def _faults(source: str, module: str, is_package: bool = False) -> list[str]:
    rules = [(above, name) for above, names in FORBIDDEN.items() if _below(module, above) for name in names]
    if _below(module, "tuner_gan.results") and module not in WITH_KERAS:
        rules += [("only its export", name) for name in (*FRAMEWORKS, "tuner_gan.gan", "tuner_gan.GAN")]
    return [
        f"{module}:{line} imports {name}"
        for line, name in _imports(source, module, is_package)
        if any(_below(name, forbidden) for _, forbidden in rules)
    ]


def test_a_name_of_a_score_loads_the_standard_library_only() -> None:
    source = MODULES["tuner_gan.quality.catalogue"].read_text(encoding="utf-8")
    names = {name.split(".")[0] for _, name in _imports(source, "tuner_gan.quality.catalogue")}
    assert names <= sys.stdlib_module_names


def test_every_module_is_found() -> None:
    assert {
        "tuner_gan",
        "tuner_gan.datasets",
        "tuner_gan.quality.metrics",
        "tuner_gan.gan.model",
        "tuner_gan.search.tuner",
        "tuner_gan.search_spaces",
        "tuner_gan.search_spaces.base",
        "tuner_gan.results",
        "tuner_gan.results.records",
    } <= MODULES.keys()
    assert len(set(MODULES.values())) == len(MODULES)
    for ruled in (name for name in FORBIDDEN if name):
        assert ruled in MODULES, f"a rule is about {ruled}, which is no module"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_arrow_points_back(module: str) -> None:
    path = MODULES[module]
    assert _faults(path.read_text(encoding="utf-8"), module, path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("module", "source", "name"),
    [
        ("tuner_gan.quality.metrics", "import keras", "keras"),
        ("tuner_gan.quality.metrics", "def f():\n    from tensorflow import math", "tensorflow.math"),
        ("tuner_gan.quality.metrics.kernel", "from keras import ops", "keras.ops"),
        ("tuner_gan.quality.reference", "import tensorflow as tf", "tensorflow"),
        ("tuner_gan.quality.guards", "import numpy as np", "numpy"),
        ("tuner_gan.quality.evaluator", "from tuner_gan.gan.model import GAN", "tuner_gan.gan.model.GAN"),
        ("tuner_gan.quality", "from tuner_gan import search", "tuner_gan.search"),
        ("tuner_gan.quality.classifier", "from ..search_spaces import base", "tuner_gan.search_spaces.base"),
        ("tuner_gan.gan.model", "from tuner_gan.quality import metrics", "tuner_gan.quality.metrics"),
        ("tuner_gan.gan.networks", "import tuner_gan.results.records as r", "tuner_gan.results.records"),
        ("tuner_gan.gan.model", "import_module('tuner_gan.search')", "tuner_gan.search"),
        ("tuner_gan.search_spaces.base", "from tuner_gan.search.tuner import X", "tuner_gan.search.tuner.X"),
        ("tuner_gan.results.tables", "from tuner_gan.search_spaces import base", "tuner_gan.search_spaces.base"),
        ("tuner_gan.results.tables", "import keras.ops", "keras.ops"),
        ("tuner_gan.results.records", "from tuner_gan.gan import model", "tuner_gan.gan.model"),
        ("tuner_gan.results.records", "from tuner_gan import GAN", "tuner_gan.GAN"),
        (EXPORT, "from tuner_gan.search import tuner", "tuner_gan.search.tuner"),
        ("tuner_gan.image_files", "from tuner_gan.gan import networks", "tuner_gan.gan.networks"),
        ("tuner_gan.datasets", "def f():\n    import tuner_gan.quality", "tuner_gan.quality"),
        ("tuner_gan.images", "if TYPE_CHECKING:\n    from tuner_gan import results", "tuner_gan.results"),
        ("tuner_gan.search.tuner", "import torch", "torch"),
        ("tuner_gan.cli", "from torch.nn import Module", "torch.nn.Module"),
    ],
)
def test_an_arrow_that_points_back_is_found(module: str, source: str, name: str) -> None:
    line = source.count("\n") + 1
    package = MODULES[module].name == "__init__.py" if module in MODULES else False
    assert _faults(source, module, package) == [f"{module}:{line} imports {name}"]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tuner_gan.search.tuner", "from tuner_gan.search_spaces import base\nimport keras, tuner_gan.results"),
        ("tuner_gan.search_spaces.base", "from tuner_gan.gan import architecture\nimport keras_tuner"),
        ("tuner_gan.quality.classifier", "import keras\nfrom tuner_gan import datasets, images"),
        ("tuner_gan.gan.model", "from tuner_gan.gan import searching\nfrom . import losses"),
        (EXPORT, "import keras\nfrom tuner_gan.gan.model import GAN"),
        ("tuner_gan.results.tables", "'''tuner_gan.search writes what is read here.'''\nimport pandas"),
    ],
)
def test_an_arrow_that_points_forward_is_allowed(module: str, source: str) -> None:
    assert _faults(source, module) == []


def test_torch_is_nowhere() -> None:
    for folder in ("tests", "benchmarks", ".ci", "docs"):
        for path in (ROOT / folder).rglob("*.py"):
            names = {name.split(".")[0] for _, name in _imports(path.read_text(encoding="utf-8"), path.stem)}
            assert not names & set(FORBIDDEN[""]), path
    assert "torch" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "statement",
    [
        "import tuner_gan",
        "import tuner_gan.results",
        "import tuner_gan.quality",
        "import tuner_gan.quality.catalogue, tuner_gan.quality.guards, tuner_gan.quality.reference",
        "import tuner_gan.config",
        "import tuner_gan.datasets",
        "from tuner_gan import datasets, results; dir(results); results.load",
    ],
)
def test_importing_is_light(statement: str) -> None:
    heavy = ["tensorflow", "keras", "keras_tuner", *([] if "load" in statement else ["pandas"])]
    code = f"{statement}\nimport sys\nprint([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


def test_the_layout_names_every_package() -> None:
    layout = configparser.ConfigParser()
    layout.read(ROOT / "setup.cfg")
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert set(layout["options"]["packages"].split()) == packages
