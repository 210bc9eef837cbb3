from __future__ import annotations

import base64
import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from project_folders import failed_json, record_json, running_json, write_project, write_trial

from tuner_gan import results
from tuner_gan.errors import ConfigError, ProjectError, QualityError, SelectionError
from tuner_gan.images import draw_latents, save_grid
from tuner_gan.results import plots

CURVE = (
    "execution,epoch,step,seconds,d_loss,g_loss,metric.fcd\n"
    "0,1,9,1,0.5,0.5,0.9\n0,2,18,2,0.5,0.5,\n0,3,27,3,0.5,0.5,{}\n"
)
FIGURES: dict[str, Callable[[results.SearchResults], go.Figure]] = {
    "history": plots.history,
    "curves": plots.curves,
    "parallel": plots.parallel,
    "slices": plots.slices,
    "importance": plots.importance,
    "pareto": plots.pareto,
    "timeline": plots.timeline,
}
HAS_BROWSER = shutil.which("chromium") is not None


def point(depth: int, rate: float, width: int | None = None) -> dict[str, Any]:
    inactive = {} if width is None else {"generator_width_2": width}
    return {"generator_depth": depth, "generator_lr": rate, "normalisation": "<b>", **inactive}


@pytest.fixture
def found(tmp_path: Path) -> results.SearchResults:
    folder = write_project(tmp_path / "demo", failed_json("0009", started_at="2026-11-23T18:10:00Z"))
    seconds = {"0000": 10, "0001": 5, "0002": 20, "0003": 15, "tutorial": 0, "final_0001": 30}
    scores = {"0000": 0.5, "0001": 0.25, "0002": 0.75, "0003": 0.6, "tutorial": 2.0, "final_0001": 0.2}
    for trial_id, score in scores.items():
        origin = {"tutorial": "baseline", "final_0001": "finalist"}.get(trial_id, "search")
        record = record_json(
            trial_id,
            score=score,
            origin=origin,
            status="PRUNED" if trial_id == "0002" else "COMPLETED",
            score_std=0.01 if origin == "finalist" else None,
            started_at=f"2026-11-23T18:00:{seconds[trial_id]:02}+00:00",
            duration_s=7.0,
            generator_params=int(1000 * score),
            ms_per_sample=0.5,
            hyperparameters=point(1 + seconds[trial_id] % 3, 10 ** -(2 + score), 16 if trial_id == "0000" else None),
        )
        write_trial(folder, record, CURVE.format(score))
    return results.load(folder)


def named(figure: go.Figure, name: str) -> Any:
    return next(trace for trace in figure.data if trace.name == name)


def test_history_is_in_the_order_of_the_beginnings(found: results.SearchResults) -> None:
    figure = plots.history(found)
    assert list(named(figure, "trial").x) == [2, 3, 4]
    assert list(named(figure, "trial").text) == ["0001", "0000", "0003"]
    assert list(named(figure, "pruned trial").x) == [5]
    assert list(named(figure, "tutorial").y) == [2.0]
    assert list(named(figure, "finalist").error_y.array) == [0.01]
    # A pruned trial is no better one, however good it was.
    assert list(named(figure, "best so far").y) == [2.0, 0.25, 0.25, 0.25, 0.2]
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.shapes[0].y0 == 0.004


def test_history_of_a_search_for_the_most(tmp_path: Path) -> None:
    records = [record_json(f"000{i}", score=score) for i, score in enumerate([0.5, 0.75, 0.25])]
    objective = {"name": "coverage", "direction": "max"}
    figure = plots.history(results.load(write_project(tmp_path / "demo", *records, objective=objective)))
    assert list(named(figure, "best so far").y) == [0.5, 0.75, 0.75]
    assert figure.layout.yaxis.type == "linear"
    assert figure.layout.yaxis.title.text == "coverage (higher is better)"


def test_curves_end_with_a_cross_where_a_trial_was_pruned(found: results.SearchResults) -> None:
    figure = plots.curves(found)
    assert len(figure.data) == 6
    for trace in figure.data:
        assert list(trace.x) == [1, 3]
    pruned = named(figure, "pruned trial")
    assert list(pruned.marker.symbol) == ["circle", "x"]
    assert list(pruned.y) == [0.9, 0.75]
    # The best one is drawn last, so that no other hides it.
    assert figure.data[-1].name == "finalist"
    assert sum(bool(trace.showlegend) for trace in figure.data) == 4


@pytest.mark.parametrize(("count", "tick"), [(3, 1), (10, 1), (11, None)])
def test_few_trials_and_epochs_are_counted_in_ones(tmp_path: Path, count: int, tick: int | None) -> None:
    folder = write_project(tmp_path / "demo", *(record_json(f"{number:04}") for number in range(count)))
    rows = (f"0,{epoch},9,1,0.5,0.5,0.9\n" for epoch in range(1, count + 1))
    (folder / "trial_0000" / "history.csv").write_text(CURVE.splitlines()[0] + "\n" + "".join(rows))
    found = results.load(folder)
    for draw in (plots.history, plots.curves):
        assert draw(found).layout.xaxis.dtick == tick


def test_small_learning_rates_and_scores_are_written_with_exponents(found: results.SearchResults) -> None:
    figure = plots.slices(found)
    assert {axis.exponentformat for axis in (*figure.select_xaxes(), *figure.select_yaxes())} == {"e"}
    for figure in (plots.history(found), plots.curves(found), plots.pareto(found)):
        assert {axis.exponentformat for axis in figure.select_yaxes()} == {"e"}


def test_parallel_lines_go_through_what_the_trials_have(found: results.SearchResults) -> None:
    figure = plots.parallel(found)
    labels = list(figure.layout.xaxis.ticktext)
    assert labels[-1] == "fcd"
    assert set(labels[:-1]) == {"generator_depth", "generator_lr"}
    assert len(figure.data) == 6
    best = figure.data[-1]
    assert best.y[-1] == 0.0  # the least
    assert best.text[0].startswith("final_0001<br>")
    rates = {
        trace.text[labels.index("generator_lr")].split()[-1]: trace.y[labels.index("generator_lr")]
        for trace in figure.data
    }
    assert rates["0.0001"] == 0.0  # of the tutorial, 10 ** -4
    assert max(rates.values()) == 1.0


def test_an_inactive_hyperparameter_has_a_place_of_its_own(tmp_path: Path) -> None:
    records = [
        record_json(f"000{i}", score=1.0 + i, hyperparameters=point(2, 1e-3, width) | {"loss": loss})
        for i, (width, loss) in enumerate([(16, "a"), (64, "<i>b"), (None, "a")])
    ]
    figure = plots.parallel(results.load(write_project(tmp_path / "demo", *records)))
    labels = list(figure.layout.xaxis.ticktext)
    at = labels.index("generator_width_2")
    assert [trace.y[at] for trace in figure.data] == [0.0, 1.0, pytest.approx(0.12)]
    assert figure.data[0].text[at] == "0002<br>generator_width_2 inactive"
    assert "&lt;i&gt;b" in {annotation.text for annotation in figure.layout.annotations}


def test_slices_have_the_scale_of_the_space(found: results.SearchResults) -> None:
    figure = plots.slices(found)
    titles = [annotation.text for annotation in figure.layout.annotations]
    types = [figure.layout[name].type for name in ("xaxis", "xaxis2")]
    assert dict(zip(titles, types, strict=True)) == {"generator_depth": None, "generator_lr": "log"}


@pytest.mark.parametrize("count", [1, 4, 5, 8])
def test_the_legend_of_slices_is_above_the_titles(tmp_path: Path, count: int) -> None:
    values = [{f"x{i}": float(j * 10**i) for i in range(count)} for j in (1, 2)]
    records = [record_json(f"000{j}", score=1.0 + j, hyperparameters=point) for j, point in enumerate(values)]
    figure = plots.slices(results.load(write_project(tmp_path / "demo", *records)))
    margin = figure.layout.margin
    panels = figure.layout.height - margin.t - margin.b
    pixels = (figure.layout.legend.y - 1) * panels
    assert 20 < pixels < margin.t - 20  # higher than a title, and itself within the margin
    assert {annotation.font.size for annotation in figure.layout.annotations} == {11}


def test_what_is_said_in_place_of_a_figure_has_short_lines(tmp_path: Path) -> None:
    figure = plots.importance(results.load(write_project(tmp_path / "demo", record_json())))
    lines = figure.layout.annotations[0].text.split("<br>")
    assert len(lines) > 1
    assert max(map(len, lines)) <= plots.NOTE_WIDTH


def test_pareto_draws_the_front(found: results.SearchResults) -> None:
    figure = plots.pareto(found)
    fronts = [trace for trace in figure.data if trace.name == "nothing is better at this cost"]
    assert [list(trace.x) for trace in fronts] == [[200.0], [0.5]]
    assert [list(trace.y) for trace in fronts] == [[0.2], [0.2]]
    # One trial beats all others: a line alone would not be seen.
    assert all("markers" in trace.mode for trace in fronts)


def test_trials_that_ran_at_the_same_time_have_rows_of_their_own(found: results.SearchResults) -> None:
    figure = plots.timeline(found)
    rows = {text: row for trace in figure.data for text, row in zip(trace.text, trace.y, strict=True)}
    # Each takes 7 s, and one begins every 5 s.
    assert rows["tutorial"] == "worker 1"
    assert rows["0001"] == "worker 2"
    assert rows["0000"] == "worker 1"
    assert set(rows.values()) == {"worker 1", "worker 2"}
    assert named(figure, "FAILED").base[0] == 10.0


def test_importance_has_bars_and_says_when_trials_are_too_few(tmp_path: Path, found: results.SearchResults) -> None:
    bars = plots.importance(found).data[0]
    assert sum(bars.x) == pytest.approx(1.0)
    assert list(bars.x) == sorted(bars.x)
    few = plots.importance(results.load(write_project(tmp_path / "few", record_json())))
    assert "at least 4 ranked trials" in few.layout.annotations[0].text


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("kind", ["empty", "all failed", "running", "no score"])
def test_every_figure_is_there_whatever_the_project(tmp_path: Path, name: str, kind: str) -> None:
    records = {
        "empty": [],
        "all failed": [failed_json(f"000{i}") for i in range(3)],
        "running": [running_json()],
        "no score": [record_json(score=None)],
    }[kind]
    figure = FIGURES[name](results.load(write_project(tmp_path / "demo", *records)))
    assert figure.to_json()
    if name != "history" and (name, kind) not in (("timeline", "all failed"), ("timeline", "no score")):
        assert len(figure.layout.annotations) >= 1


def test_samples_are_the_picture(found: results.SearchResults, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), np.uint8)
    path = found.best.folder / "samples.png"
    save_grid(images, path)
    source = plots.samples(found).data[0].source
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == path.read_bytes()
    with pytest.raises(SelectionError, match="Trial 0009 has no samples: it is FAILED"):
        plots.samples(found, "9")


class Mean:
    """A generator whose image is the mean of its latent."""

    inputs = (np.zeros((1, 3)),)

    def __init__(self) -> None:
        self.seen: Any = None

    def __call__(self, latents: Any, training: bool) -> Any:
        self.seen = latents
        return np.broadcast_to(np.tanh(latents.mean(axis=1))[:, None, None, None], (len(latents), 4, 4, 1))


def test_a_walk_goes_from_latent_to_latent_without_leaving_the_sphere() -> None:
    model = Mean()
    figure = plots.latent_walk(model, rows=2, steps=5, seed=3)
    ends = draw_latents(4, 3, 3)
    walk = model.seen.reshape(2, 5, 3)
    np.testing.assert_allclose(walk[:, 0], ends[::2], atol=1e-6)
    np.testing.assert_allclose(walk[:, -1], ends[1::2], atol=1e-6)
    # Turned by the same angle at each step, and between the ends in length.
    for way in walk:
        units = way / np.linalg.norm(way, axis=1, keepdims=True)
        lengths = np.linalg.norm(way, axis=1)
        assert lengths.min() > 0.5 * min(lengths[0], lengths[-1])
        assert (units[:-1] * units[1:]).sum(axis=1).min() > np.cos(np.pi / 2)
    with Image.open(io.BytesIO(base64.b64decode(figure.data[0].source.split(",")[1]))) as image:
        assert image.width > image.height
    with pytest.raises(ConfigError, match="at least 1 row and 2 steps, got 2 and 1"):
        plots.latent_walk(model, rows=2, steps=1)
    with pytest.raises(QualityError, match=r"^expected a generator, .* but got str: .* is gan\.ema_generator\.$"):
        plots.latent_walk("best/generator.keras")


def test_a_page_of_a_figure_needs_no_network(found: results.SearchResults, tmp_path: Path) -> None:
    path = plots.save(plots.history(found), tmp_path / "new" / "history.html")
    text = path.read_text(encoding="utf-8")
    assert "0001" in text
    assert 'src="http' not in text


def test_a_page_where_nothing_can_be_written(found: results.SearchResults, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProjectError, match=r"file cannot be written \(.*\): choose another folder"):
        plots.save(plots.history(found), tmp_path / "file" / "history.html")


def test_another_suffix_and_a_missing_package_are_named(
    found: results.SearchResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = plots.history(found)
    with pytest.raises(ConfigError, match=r"one of \.html, \.pdf, \.png, \.svg, got .*history.gif"):
        plots.save(figure, tmp_path / "history.gif")
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(ConfigError, match=r"kaleido: pip install 'tuner-gan\[plots\]'"):
        plots.save(figure, tmp_path / "history.png")


@pytest.mark.skipif(not HAS_BROWSER, reason="pictures are drawn by a browser, and there is no chromium")
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_picture_of_a_figure(found: results.SearchResults, tmp_path: Path, suffix: str) -> None:
    path = plots.save(plots.history(found), tmp_path / f"history.{suffix}")
    if suffix == "png":
        with Image.open(path) as image:
            assert np.asarray(image.convert("RGB")).std() > 1
    else:
        assert "best so far" in path.read_text(encoding="utf-8")
