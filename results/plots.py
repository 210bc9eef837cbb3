"""Tables as figures of Plotly: what the report draws, for notebooks, papers and pages of your own.

Every figure is computed from the public tables, so that it can be drawn anew another way. `save` writes one as HTML,
PNG, SVG or PDF.
"""

from __future__ import annotations

import base64
import io
import math
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from tuner_gan import files
from tuner_gan.errors import ConfigError, SelectionError, first_line, require
from tuner_gan.images import check_generator, class_count, draw_grid, draw_latents, images_from_latents, latent_dim
from tuner_gan.results.importance import importance_table
from tuner_gan.results.records import COMPLETED, FINALIST, METRIC, PRUNED
from tuner_gan.results.tables import HP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tuner_gan.results.search_results import SearchResults

BLUE, ORANGE, GREEN, GREY, RED = "#3b7dd8", "#d97706", "#2f9e6e", "#8a8f98", "#d1495b"
KINDS: Final = {
    "baseline": ("tutorial", ORANGE, "square"),
    "search": ("trial", BLUE, "circle"),
    FINALIST: ("finalist", GREEN, "star"),
    PRUNED: ("pruned trial", GREY, "x"),
}
"""What a ranked trial is called, and the colour and the sign that it has, by its origin; pruned ones by status."""
SHOWN = 8
"""Hyperparameters that a figure shows at most: the most important ones."""
FEW = 10
"""Trials or epochs that an axis names one by one."""
EXPONENT = "e"
"""How axes write small learning rates and scores: 5e-4, where Plotly has 500μ."""
INACTIVE = "inactive"
NOTE_WIDTH = 44
"""Characters in a line of what is said in place of a figure: Plotly breaks none, and a telephone has room for these."""
NO_TRIAL = "No trial has a score yet"
SUFFIXES = (".html", ".pdf", ".png", ".svg")


def history(results: SearchResults) -> go.Figure:
    """Scores in the order in which the trials began, with the best one so far and the floor."""
    table = _scored(results).sort_values(["started_at", "trial_id"], kind="stable", ignore_index=True)
    figure = _figure(results, "trial, in the order of their beginnings", _score_title(results))
    table["place"] = np.arange(1, len(table) + 1)
    best = table[table["status"] == COMPLETED]
    if len(best):
        so_far = best["score"].cummin() if results.project.direction == "min" else best["score"].cummax()
        figure.add_trace(
            go.Scatter(
                x=best["place"].tolist(),
                y=so_far.tolist(),
                mode="lines",
                line={"shape": "hv", "color": BLUE, "width": 2},
                name="best so far",
                hoverinfo="skip",
            )
        )
    _add_trials(figure, table, "place", "score")
    _count_in_ones(figure, len(table))
    _add_floor(figure, results)
    return figure


def curves(results: SearchResults) -> go.Figure:
    """The score of every trial at its rungs; where a pruned one ended is marked."""
    figure = _figure(results, "epoch", _score_title(results))
    table = results.history()
    name = METRIC + results.project.objective
    rows = table[table[name].notna()] if name in table else table.head(0)
    told: set[str] = set()
    for record in reversed(results.records):  # the best one last, on top of the others
        own = rows[rows["trial_id"] == record.trial_id]
        kind = PRUNED if record.status == PRUNED else record.origin or "search"
        label, colour, _ = KINDS[kind]
        for execution, part in own.groupby("execution"):
            ended = ["circle"] * (len(part) - 1) + ["x" if kind == PRUNED else "circle"]
            sizes = [4] * (len(part) - 1) + [9 if kind == PRUNED else 5]
            figure.add_trace(
                go.Scatter(
                    x=part["epoch"].tolist(),
                    y=part[name].tolist(),
                    mode="lines+markers",
                    line={"color": colour, "width": 1.5, "dash": "dot" if kind == PRUNED else "solid"},
                    marker={"symbol": ended, "size": sizes},
                    opacity=0.6 if kind in (PRUNED, "search") else 1.0,
                    name=label,
                    legendgroup=label,
                    showlegend=label not in told,
                    text=_plain(f"{record.trial_id}, training {execution}"),
                    hovertemplate="%{text}<br>epoch %{x}: %{y:.4g}<extra></extra>",
                )
            )
            told.add(label)
    _count_in_ones(figure, 0 if rows.empty else int(rows["epoch"].max()))
    _add_floor(figure, results)
    return figure if told else _empty(figure, "No trial has been scored at a rung yet")


def parallel(results: SearchResults) -> go.Figure:
    """Every ranked trial as a line through its hyperparameters, the most important ones, to its score."""
    table = _scored(results)
    figure = go.Figure(layout=_LAYOUT)
    names = _important(results, table)
    if not names:
        return _empty(figure, NO_TRIAL)
    down = results.project.direction == "min"
    axes = [_Axis.of(name.removeprefix(HP), table[name], _is_log(results, name)) for name in names]
    axes.append(_Axis.of(results.project.objective, table["score"], _axis(table["score"], results) == "log"))
    places = np.stack([axis.places for axis in axes], axis=1)
    goodness = 1 - places[:, -1] if down else places[:, -1]
    for row in np.argsort(goodness, kind="stable"):  # the best ones on top
        colour = sample_colorscale([GREY, BLUE], [float(goodness[row])])[0]
        told = [f"{_plain(axis.label)} {_plain(axis.texts[row])}" for axis in axes]
        figure.add_trace(
            go.Scatter(
                x=list(range(len(axes))),
                y=places[row].tolist(),
                mode="lines+markers",
                line={"color": colour, "width": 1 + 2 * float(goodness[row])},
                marker={"size": 5},
                opacity=0.35 + 0.65 * float(goodness[row]),
                showlegend=False,
                text=[f"{_plain(str(table['trial_id'][row]))}<br>{one}" for one in told],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    for index, axis in enumerate(axes):
        figure.add_vline(x=index, line={"color": GREY, "width": 1}, layer="below")
        for place, text in axis.ticks:
            figure.add_annotation(
                x=index, y=place, text=_plain(text), showarrow=False, xanchor="left", xshift=5, font={"size": 10}
            )
    figure.update_xaxes(
        tickvals=list(range(len(axes))),
        ticktext=[_plain(axis.label) for axis in axes],
        range=[-0.2, len(axes) - 0.4],
        showgrid=False,
        zeroline=False,
        tickangle=-20,
        side="top",
    )
    figure.update_yaxes(visible=False, range=[-0.06, 1.06])
    figure.update_layout(height=460, margin={"t": 110, "b": 20})
    return figure


def slices(results: SearchResults) -> go.Figure:
    """The score against each hyperparameter by itself, the most important ones."""
    table = _scored(results)
    names = _important(results, table)
    if not names:
        return _empty(_figure(results, "", ""), NO_TRIAL)
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[_plain(name.removeprefix(HP)) for name in names],
        shared_yaxes=True,
        vertical_spacing=0.2,
    )
    for index, name in enumerate(names):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        active = table[table[name].notna()]
        number = pd.api.types.is_numeric_dtype(active[name]) and active[name].dtype != "boolean"
        shown = active.assign(**{name: active[name] if number else [_plain(str(value)) for value in active[name]]})
        _add_trials(figure, shown, name, "score", legend=index == 0, **place)
        scale = "log" if _is_log(results, name) else None if number else "category"
        figure.update_xaxes(type=scale, exponentformat=EXPONENT, **place)
    _scale_scores(figure, table["score"], results)
    figure.update_yaxes(title=_plain(results.project.objective), col=1)
    figure.update_annotations(font_size=11)  # long names stand side by side
    # The legend is above the titles of the panels, in pixels: its place is a part of the panels' height.
    panels, titles, margin = 260 * rows - 30, 26, {**_LAYOUT["margin"], "t": 66}
    figure.update_layout(_LAYOUT, height=panels + margin["t"] + margin["b"], margin=margin)
    figure.update_layout(legend_y=1 + titles / panels)
    return figure


def importance(results: SearchResults, method: str = "ped_anova") -> go.Figure:
    """How much each hyperparameter has to do with a good score, with the standard deviation.

    Args:
        results: of a search.
        method: as in `SearchResults.importance`.
    """
    figure = _figure(results, "importance", "")
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        table = results.importance(method)
    found = table[table["importance"].notna()].head(2 * SHOWN).iloc[::-1]
    note = next((str(note.message) for note in notes if str(note.message).startswith("Importance ")), "")
    if not len(found):
        return _empty(figure, note.split(":")[0] or "There is no hyperparameter to compare")
    figure.add_trace(
        go.Bar(
            x=found["importance"].tolist(),
            y=[_plain(name) for name in found["name"]],
            orientation="h",
            marker={"color": BLUE},
            error_x={"type": "data", "array": found["std"].fillna(0.0).tolist(), "color": GREY},
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        )
    )
    if note:
        rough = note.removeprefix("Importance is ").split(". ")[0]
        figure.update_xaxes(title=f"importance ({_plain(rough)})")
    longest = float((found["importance"] + found["std"].fillna(0.0)).max())
    figure.update_xaxes(type="linear", range=[0.0, 1.05 * longest or 1.0])
    figure.update_yaxes(type="category", automargin=True)
    figure.update_layout(height=120 + 24 * len(found), showlegend=False)
    return figure


def pareto(results: SearchResults) -> go.Figure:
    """The score against the size of the generator and the time that it takes, with the trials that nothing beats."""
    table = _scored(results)
    front = results.pareto()
    titles = {"generator_params": "parameters of the generator", "ms_per_sample": "milliseconds a sample"}
    figure = make_subplots(1, len(titles), shared_yaxes=True, horizontal_spacing=0.06)
    for place, (cost, title) in enumerate(titles.items(), start=1):
        known = table[table[cost].notna()]
        _add_trials(figure, known, cost, "score", legend=place == 1, row=1, col=place)
        best = front[front["against"] == cost]
        figure.add_trace(
            go.Scatter(
                x=best["cost"].tolist(),
                y=best["score"].tolist(),
                mode="lines+markers",  # where one trial beats all others, there is no line
                line={"shape": "hv", "color": RED, "width": 1.5, "dash": "dash"},
                marker={"symbol": "circle-open", "color": RED, "size": 16},
                name="nothing is better at this cost",
                showlegend=place == 1,
                hoverinfo="skip",
            ),
            row=1,
            col=place,
        )
        figure.update_xaxes(type="log", title=title, row=1, col=place)
    _scale_scores(figure, table["score"], results)
    figure.update_yaxes(title=_score_title(results), col=1)
    figure.update_layout(_LAYOUT)
    return figure if len(front) else _empty(figure, NO_TRIAL)


def timeline(results: SearchResults) -> go.Figure:
    """When each trial ran: one row for each that ran at the same time, so as many as there were workers."""
    table = results.trials()
    table = table[table["started_at"].notna() & table["duration_s"].notna()].sort_values("started_at", kind="stable")
    figure = _figure(results, "minutes", "")
    if not len(table):
        return _empty(figure, "No trial has ended yet")
    begin = (table["started_at"] - table["started_at"].min()).dt.total_seconds().to_numpy() / 60
    length = table["duration_s"].to_numpy(dtype=float) / 60
    lanes = _lanes(begin, begin + length)
    colours = {COMPLETED: GREEN, PRUNED: GREY, "FAILED": RED}
    for status in dict.fromkeys(table["status"]):
        own = (table["status"] == status).to_numpy()
        figure.add_trace(
            go.Bar(
                x=length[own].tolist(),
                base=begin[own].tolist(),
                y=[f"worker {lane + 1}" for lane in lanes[own]],
                orientation="h",
                name=str(status),
                marker={"color": colours.get(str(status), ORANGE), "line": {"width": 1, "color": "white"}},
                text=[_plain(name) for name in table["trial_id"][own]],
                textposition="inside",
                insidetextanchor="middle",
                hovertemplate="%{text}: from %{base:.1f}, for %{x:.1f} minutes<extra></extra>",
            )
        )
    figure.update_xaxes(type="linear")
    figure.update_yaxes(type="category", autorange="reversed", automargin=True)
    figure.update_layout(barmode="overlay", height=160 + 44 * (int(lanes.max()) + 1))
    return figure


def samples(results: SearchResults, trial_id: str = "best") -> go.Figure:
    """The sample grid of a trial.

    Args:
        results: of a search.
        trial_id: as in `SearchResults.trial`.

    Raises:
        SelectionError: there is no such trial, or it has no samples.
    """
    record = results.trial(trial_id)
    path = record.folder / files.SAMPLES
    if not path.is_file():
        raise SelectionError(f"Trial {record.trial_id} has no samples: it is {record.status}.")
    return _picture(path.read_bytes(), f"samples of trial {record.trial_id}")


def latent_walk(model: Any, rows: int = 6, steps: int = 10, seed: int = 0) -> go.Figure:
    """Images on the way from one latent to another: what is smooth was learnt, what jumps was learnt by heart.

    The way is along a great circle, on which latents stay as long as the generator knows them (White, "Sampling
    Generative Networks", arXiv:1609.04468).

    Args:
        model: a `keras.Model` from latents [N, latent_dim] to images [N, H, W, C] in [-1, 1]; a conditional one shows
            another class in each row.
        rows: ways to show, from 1.
        steps: images of a way, its ends among them, from 2.
        seed: of the latents at the ends.

    Raises:
        ConfigError: too few rows or steps.
        QualityError: it is no model, or NaN or infinity in its output.
    """
    check_generator(model)
    if rows < 1 or steps < 2:
        raise ConfigError(f"Expected at least 1 row and 2 steps, got {rows} and {steps}.")
    ends = draw_latents(2 * rows, latent_dim(model), seed).reshape(rows, 2, -1)
    latents = np.concatenate([_great_circle(start, end, steps) for start, end in ends])
    classes = class_count(model)
    labels = np.repeat(np.arange(rows) % classes, steps) if classes else None
    images = images_from_latents(model, latents, labels=labels)
    with io.BytesIO() as buffer:
        draw_grid(images, steps).save(buffer, format="PNG")
        return _picture(buffer.getvalue(), "from one latent to another, in each row")


def save(figure: go.Figure, path: str | Path) -> Path:
    """Writes a figure as a page or a picture.

    Args:
        figure: any of these.
        path: ends in .html, .pdf, .png or .svg; its folder is created where there is none. Pictures take the package
            kaleido and a Chrome or Chromium.

    Returns:
        The path.

    Raises:
        ConfigError: another suffix, or kaleido or its browser is missing.
        ProjectError: the path cannot be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"Expected a path that ends in one of {', '.join(SUFFIXES)}, got {str(path)!r}.")
    files.check_output(path)
    if path.suffix == ".html":
        files.write_text(path, figure.to_html(include_plotlyjs=True))
        return path
    require("kaleido", "A picture of a figure", "plots")
    try:
        content = figure.to_image(format=path.suffix[1:], scale=2 if path.suffix == ".png" else 1)
    except Exception as error:  # whatever the browser ends with
        raise ConfigError(
            f"{path} was not drawn ({first_line(error)}): a picture takes Chrome or Chromium; a path that ends in "
            ".html takes none."
        ) from error
    with files.replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


_LAYOUT: Final[dict[str, Any]] = {
    "template": "plotly_white",
    "margin": {"l": 60, "r": 20, "t": 40, "b": 50},
    "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.04, "x": 0},
    "hovermode": "closest",
}


def _figure(results: SearchResults, x: str, y: str) -> go.Figure:
    figure = go.Figure(layout=_LAYOUT)
    figure.update_xaxes(title=x)
    figure.update_yaxes(title=y)
    _scale_scores(figure, _scored(results)["score"], results)
    return figure


def _empty(figure: go.Figure, text: str) -> go.Figure:
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    lines = "<br>".join(_plain(line) for line in textwrap.wrap(text, NOTE_WIDTH))
    figure.add_annotation(text=lines, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    return figure


def _scored(results: SearchResults) -> pd.DataFrame:
    table = results.trials()
    return table[table["rank"].notna()].reset_index(drop=True)


def _score_title(results: SearchResults) -> str:
    better = "lower" if results.project.direction == "min" else "higher"
    return f"{_plain(results.project.objective)} ({better} is better)"


def _axis(scores: pd.Series[Any], results: SearchResults) -> str:
    """A logarithmic one for distances, which range over decades."""
    return "log" if results.project.direction == "min" and len(scores) and (scores > 0).all() else "linear"


def _scale_scores(figure: go.Figure, scores: pd.Series[Any], results: SearchResults) -> None:
    """Has all vertical axes of a figure show scores."""
    figure.update_yaxes(type=_axis(scores, results), exponentformat=EXPONENT)


def _add_trials(figure: go.Figure, table: pd.DataFrame, x: str, y: str, legend: bool = True, **place: int) -> None:
    kinds = table["origin"].where(table["status"] != PRUNED, PRUNED)
    for kind, (label, colour, sign) in KINDS.items():
        own = table[kinds == kind]
        if not len(own):
            continue
        spread = own["score_std"].astype("Float64").fillna(0.0).tolist() if y == "score" else []
        figure.add_trace(
            go.Scatter(
                x=own[x].tolist(),
                y=own[y].tolist(),
                mode="markers",
                marker={"color": colour, "symbol": sign, "size": 9},
                error_y={"type": "data", "array": spread, "visible": any(spread), "thickness": 1},
                name=label,
                legendgroup=label,
                showlegend=legend,
                text=[_plain(name) for name in own["trial_id"]],
                hovertemplate="%{text}<br>%{x}: %{y:.4g}<extra></extra>",
            ),
            **place,
        )


def _count_in_ones(figure: go.Figure, last: int) -> None:
    """Keeps Plotly from half trials and fifths of epochs, which it writes at an axis that has few of them."""
    if last <= FEW:
        figure.update_xaxes(dtick=1)


def _add_floor(figure: go.Figure, results: SearchResults) -> None:
    floor = results.project.floor
    if floor is not None and (floor > 0 or figure.layout.yaxis.type != "log"):
        figure.add_hline(y=floor, line={"color": GREY, "dash": "dash", "width": 1})
        figure.add_annotation(
            text=f"held-out real images {floor:.3g}",
            x=1,
            xref="paper",
            # On a logarithmic axis, annotations stand at logarithms, and lines do not.
            y=math.log10(floor) if figure.layout.yaxis.type == "log" else floor,
            xanchor="right",
            yanchor="bottom",
            showarrow=False,
            font={"size": 11},
        )


def _important(results: SearchResults, table: pd.DataFrame) -> list[str]:
    """Columns of hyperparameters that varied, the most important first."""
    varied = [str(name) for name in table.columns if str(name).startswith(HP) and table[name].nunique(dropna=True) > 1]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Importance ", UserWarning)
        found = importance_table(results.project, with_std=False)
    order = {HP + name: place for place, name in enumerate(found["name"])}
    return sorted(varied, key=lambda name: (order.get(name, len(order)), name))[:SHOWN]


def _is_log(results: SearchResults, name: str) -> bool:
    return any(
        HP + entry["name"] == name and entry.get("sampling") in ("log", "reverse_log")
        for entry in results.project.space
    )


class _Axis(NamedTuple):
    """An axis of parallel coordinates: where each trial is on it, from 0 to 1, and what is written there."""

    label: str
    places: NDArray[np.float64]
    texts: list[str]
    ticks: list[tuple[float, str]]

    @classmethod
    def of(cls, label: str, column: pd.Series[Any], log: bool) -> _Axis:
        """Places the values of a column; inactive is a place below the others."""
        active = column.notna().to_numpy()
        low = 0.0 if active.all() else 0.12
        texts = [_text(value) if known else INACTIVE for value, known in zip(column, active, strict=True)]
        places = np.zeros(len(column))
        if pd.api.types.is_numeric_dtype(column) and column.dtype != "boolean":
            numbers = column[active].to_numpy(dtype=np.float64)
            log = log and bool((numbers > 0).all())
            scaled = np.log10(numbers) if log else numbers
            ends = float(scaled.min()), float(scaled.max())
            span = (ends[1] - ends[0]) or 1.0
            places[active] = low + (1 - low) * (scaled - ends[0]) / span
            marks = np.linspace(*ends, 5) if ends[1] > ends[0] else np.asarray(ends[:1])
            ticks = [(low + (1 - low) * (m - ends[0]) / span, f"{10**m if log else m:.3g}") for m in marks.tolist()]
        else:
            names = sorted(set(texts) - {INACTIVE})
            at = {name: low + (1 - low) * i / max(1, len(names) - 1) for i, name in enumerate(names)}
            places[active] = [at[text] for text, known in zip(texts, active, strict=True) if known]
            ticks = [(place, name) for name, place in at.items()]
        return cls(label, places, texts, ticks if active.all() else [(0.0, INACTIVE), *ticks])


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _lanes(begins: Sequence[float] | NDArray[np.float64], ends: Sequence[float] | NDArray[np.float64]) -> NDArray[Any]:
    """Packs spans into as few rows as they need, in the order of their beginnings."""
    free: list[float] = []
    lanes = []
    for begin, end in zip(begins, ends, strict=True):
        # Records round to milliseconds: a trial may seem to begin just before the last one ended.
        lane = next((i for i, until in enumerate(free) if until <= begin + 1e-3), len(free))
        free[lane : lane + 1] = [end]
        lanes.append(lane)
    return np.asarray(lanes)


def _great_circle(start: NDArray[np.float32], end: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Latents between two others, float32 [steps, latent_dim]."""
    cosine = float(start @ end / (np.linalg.norm(start) * np.linalg.norm(end)))
    angle = math.acos(min(1.0, max(-1.0, cosine)))
    shares = np.linspace(0.0, 1.0, steps)[:, None]
    if math.sin(angle) < 1e-6:
        return ((1 - shares) * start + shares * end).astype(np.float32)
    return ((np.sin((1 - shares) * angle) * start + np.sin(shares * angle) * end) / math.sin(angle)).astype(np.float32)


def _picture(png: bytes, title: str) -> go.Figure:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size
    figure = go.Figure(go.Image(source="data:image/png;base64," + base64.b64encode(png).decode()))
    figure.update_layout(
        title={"text": _plain(title), "font": {"size": 14}},
        width=width + 20,
        height=height + 60,
        margin={"l": 10, "r": 10, "t": 50, "b": 10},
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def _plain(text: str) -> str:
    """Text that Plotly, which reads some HTML, shows as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
