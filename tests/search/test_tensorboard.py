from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from searches import QUIET, run_search

from tuner_gan.errors import ConfigError
from tuner_gan.results import load

pytestmark = QUIET


def events(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """The tensors of a log by tag: their steps and values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    log = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    log.Reload()
    return {
        tag: [(event.step, tensor_util.make_ndarray(event.tensor_proto)) for event in log.Tensors(tag)]
        for tag in log.Tags()["tensors"]
    }


def test_each_training_has_its_scalars_samples_and_hyperparameters(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is an extra")
    run_search(tmp_path, max_trials=1, epochs=3, executions_per_trial=2, tensorboard=True)
    project = tmp_path / "search"
    found = load(project)
    trial = found.best
    log = project / "tensorboard" / trial.trial_id
    assert sorted(path.name for path in log.iterdir()) == ["execution_0", "execution_1"]
    history = found.history()
    for execution in (0, 1):
        rows = history[history.execution == execution]
        written = events(log / f"execution_{execution}")
        for name in ("d_loss", "g_loss", "metric.fcd", "step"):
            known = rows[rows[name].notna()]
            assert [step for step, _ in written[name]] == known.epoch.tolist()
            values = [float(value) for _, value in written[name]]
            np.testing.assert_allclose(values, known[name].tolist(), rtol=1e-6)
        assert any("hparams" in tag for tag in written)
    (epoch, image), *_ = reversed(events(log / "execution_0")["samples"])
    first = next(run for run in trial.executions if run.execution == 0)
    assert epoch == first.best_epoch
    with Image.open(io.BytesIO(image[2])) as picture:
        assert picture.size == (int(image[0]), int(image[1]))


def test_without_tensorboard_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ConfigError, match=r"tensorboard: pip install 'tuner-gan\[tensorboard\]'"):
        run_search(tmp_path, tensorboard=True)
