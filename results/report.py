"""One page about a search, which opens from disk and asks no network: to look at, to keep and to send to somebody."""

from __future__ import annotations

import base64
import io
import json
import math
import shlex
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from tuner_gan import files
from tuner_gan.results import plots
from tuner_gan.results.checks import find_part
from tuner_gan.results.display import count_reasons, short
from tuner_gan.results.loading import loading_code
from tuner_gan.results.records import COMPLETED, FLAG_MEANINGS, RUNNING, TrialRecord

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from tuner_gan.results.search_results import SearchResults

TEMPLATE = "report.html"
THUMBNAILS = 100
"""Trials whose samples the table shows, the best ones: more would make the page too large to send."""
THUMBNAIL_WIDTH = 224
PICTURE_WIDTH = 1024
PICTURE_BYTES = 1_000_000
"""Of the two large pictures; a file that is larger is made smaller, for large images."""
QUALITY = 80
"""Of pictures that are made smaller, in per cent."""
HIDDEN_WHEN_EMPTY = ("score_std", "flags", "message", "ms_per_sample")
COLUMNS: Final = (
    ("rank", "rank"),
    ("trial_id", "trial"),
    ("score", "score"),
    ("score_std", "±"),
    ("executions", "trainings"),
    ("flags", "flags"),
    ("status", "status"),
    ("origin", "origin"),
    ("best_epoch", "best epoch"),
    ("epochs", "epochs"),
    ("duration_s", "seconds"),
    ("generator_params", "parameters"),
    ("ms_per_sample", "ms a sample"),
    ("message", "message"),
)
"""Columns of the ranked table, and what the page calls them; the picture comes after the trial, and hyperparameters and
scores are behind a click."""
FIGURES: Final[tuple[tuple[str, str, str, Callable[[SearchResults], go.Figure]], ...]] = (
    ("history", "How the search went", "The score of each trial, in the order in which they began.", plots.history),
    ("curves", "Learning curves", "The score of each trial while it was trained; × marks a pruned one.", plots.curves),
    (
        "importance",
        "What mattered",
        "How much each hyperparameter has to do with a good score (PED-ANOVA), with its standard deviation.",
        plots.importance,
    ),
    (
        "slices",
        "One hyperparameter at a time",
        "The score against each of the hyperparameters that mattered most.",
        plots.slices,
    ),
    (
        "parallel",
        "All together",
        "Each line is a trial; the bluer and thicker, the better. Its last axis is the score.",
        plots.parallel,
    ),
    (
        "pareto",
        "What quality costs",
        "The score against size and speed of the generator; nothing beats the trials on the dashed line.",
        plots.pareto,
    ),
    ("timeline", "When each trial ran", "One row for each trial that ran at the same time.", plots.timeline),
)


@dataclass(frozen=True)
class Row:
    """A trial in the ranked table: cells as shown, what each is sorted by, its picture, and more behind a click."""

    trial_id: str
    cells: list[tuple[str, str, str]]
    thumbnail: str | None
    details: list[tuple[str, str]]


def write_report(results: SearchResults, path: str | Path) -> Path:
    """Writes the page.

    Args:
        results: of a search that is running, has ended or was killed, with trials or without.
        path: of the page, replaced at once or not at all.

    Returns:
        The path.

    Raises:
        ProjectError: the path is a folder, or cannot be written.
    """
    path = Path(path)
    files.write_output(path, render_report(results))
    return path


def render_report(results: SearchResults) -> str:
    """Makes the page as text: HTML with everything in it."""
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tuner_gan.results"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    with warnings.catch_warnings():
        # Few trials: the figure of the importance says it.
        warnings.filterwarnings("ignore", "Importance ", UserWarning)
        figures = [
            {"id": name, "title": title, "caption": caption, "content": _figure(draw(results))}
            for name, title, caption, draw in FIGURES
        ]
    table = results.trials()
    columns = _columns(table)
    best = results.records[0] if len(results) and table["rank"].notna().any() else None
    text: str = environment.get_template(TEMPLATE).render(
        name=_name(results),
        summary=summarise(results),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        facts=_facts(results, table),
        best=best.trial_id if best else None,
        best_samples=None if best is None else _embedded(best.folder / files.SAMPLES),
        real=_embedded(results.folder / files.REAL),
        columns=columns,
        rows=_rows(results, table, columns),
        flags=_flag_meanings(table),
        figures=figures,
        commands=[] if best is None else _commands(results, best),
        code=[] if best is None else _code(results),
        provenance=_provenance(results),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
    )
    return text


def summarise(results: SearchResults) -> str:
    """Says in a few sentences what was searched, what won, and by how much."""
    project = results.project
    objective, data = project.objective, find_part(project.search, "data").get("name", "unknown data")
    counts = Counter(record.status for record in results.records)
    trials = f"{len(results)} trial{'' if len(results) == 1 else 's'}"
    states = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    space = find_part(project.search, "space").get("name", "unknown")
    searched = f"{trials} of the space {space} on {data}{f' ({states})' if states else ''}."
    if project.searching:
        searched += " The search is still running."
    ranked = [record for record in results.records if record.score is not None and record.status != RUNNING]
    if not ranked or results.trials()["rank"].isna().all():
        reasons = count_reasons(record.message for record in results.records if record.message)
        why = f" The most frequent reason is: {reasons[0][0]}" if reasons else ""
        return f"{searched} No trial has a score.{why}"
    best = results.best
    assert best.score is not None
    spread = "" if best.score_std is None else f" ± {best.score_std:.2g} over {best.trainings} trainings"
    won = f"The best one, {best.trial_id}, has {objective} {best.score:.4g}{spread}{_against_tutorials(results)}."
    floor = "" if project.floor is None else f" Real images that were held out have {project.floor:.4g}."
    flagged = f" Look at its flags first: {', '.join(best.flags)}." if best.flags else ""
    return f"{searched} {won}{floor}{flagged}"


def _against_tutorials(results: SearchResults) -> str:
    """Goes on from the best trial's score to the better of the tutorials; empty where there is nothing to compare.

    Of a finalist, the trial that it repeats is compared: a finalist may be trained for much longer than the tutorials.
    """
    best, direction = results.best, results.project.direction
    scores = {record.trial_id: record.score for record in results.records}
    tutorials = {r.trial_id: r.score for r in results.records if r.origin == "baseline" and r.score is not None}
    first = best.repeats or best.trial_id
    score = scores.get(first)
    if score is None or not tutorials:
        return ""
    if first in tutorials:
        said = f"It repeats {first}, one of the tutorials" if best.repeats else "It is one of the tutorials"
        return f". {said}: no trial of the search is ranked above it"
    better = min(tutorials.values()) if direction == "min" else max(tutorials.values())
    compared = f"; the better of the tutorials has {better:.4g}"
    if direction == "min" and 0 < score < better:
        closer = f"{better / score:.1f} times closer to the real images"
        compared = f", {closer} than the better of the tutorials ({better:.4g})"
    return f". Trial {first}, which it repeats, has {score:.4g}{compared}" if best.repeats else compared


def _name(results: SearchResults) -> str:
    return str(results.config.get("name", results.folder.name))


def _facts(results: SearchResults, table: pd.DataFrame) -> list[tuple[str, str]]:
    """What a reader wants to know at once, each with its name."""
    config = results.config
    data, classifier = find_part(config, "data"), results.classifier
    shape = data.get("image_shape")
    elapsed = config.get("elapsed_s")
    accuracy = classifier.get("accuracy")
    found = {
        "images": f"{data.get('images', '?')} of {' × '.join(map(str, shape))}" if isinstance(shape, list) else None,
        "classes": str(len(data["class_names"])) if isinstance(data.get("class_names"), list) else None,
        "searched for": f"{elapsed / 60:.1f} minutes" if isinstance(elapsed, int | float) else None,
        "oracle": config.get("oracle"),
        "failed trials": str(int((table["status"] == "FAILED").sum())),
        "reference classifier": f"{accuracy:.1%} right on held-out images"
        if isinstance(accuracy, int | float) and math.isfinite(accuracy)
        else None,
    }
    return [(name, str(value)) for name, value in found.items() if value is not None]


def _columns(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Those that are shown."""
    return [
        {"name": name, "title": title, "numeric": pd.api.types.is_numeric_dtype(table[name])}
        for name, title in COLUMNS
        if name not in HIDDEN_WHEN_EMPTY or table[name].notna().any()
    ]


def _rows(results: SearchResults, table: pd.DataFrame, columns: list[dict[str, Any]]) -> list[Row]:
    numeric = {column["name"]: column["numeric"] for column in columns}
    shown = list(numeric)
    rows = []
    # Columns of hyperparameters and scores are many: of a trial, only those that it has are listed.
    for number, (record, values) in enumerate(
        zip(results.records, table[shown].itertuples(index=False, name=None), strict=True)
    ):
        cells = [
            (name, short(value), "" if pd.isna(value) else str(value) if numeric[name] else short(value))
            for name, value in zip(shown, values, strict=True)
        ]
        details = [(name, short(value)) for name, value in (*record.hyperparameters.items(), *record.metrics.items())]
        picture = _smaller(record.folder / files.SAMPLES, THUMBNAIL_WIDTH) if number < THUMBNAILS else None
        rows.append(Row(record.trial_id, cells, picture, details))
    return rows


def _flag_meanings(table: pd.DataFrame) -> list[tuple[str, str]]:
    raised = {flag for flags in table["flags"].dropna() for flag in flags.split(", ")}
    return [(flag, meaning) for flag, meaning in FLAG_MEANINGS.items() if flag in raised]


def _figure(figure: go.Figure) -> str:
    """A figure as JSON that may stand in a script element."""
    content: dict[str, Any] = json.loads(figure.to_json())
    content["layout"].pop("template", None)  # the page gives its own, dark or light
    # Whatever a name in the folder holds, it ends no script.
    return json.dumps(content).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _embedded(path: Path) -> str | None:
    """A picture as it is, or a smaller copy of a large one; None where there is none."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if len(content) > PICTURE_BYTES:
        return _smaller(path, PICTURE_WIDTH)
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _smaller(path: Path, width: int) -> str | None:
    """A copy of a picture of this width at most; None where there is none, or it is damaged."""
    from PIL import Image

    try:
        with Image.open(path) as image, io.BytesIO() as buffer:
            width = min(width, image.width)
            height = max(1, round(image.height * width / image.width))
            image.convert("RGB").resize((width, height)).save(buffer, format="WEBP", quality=QUALITY)
            return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _commands(results: SearchResults, best: TrialRecord) -> list[str]:
    folder = shlex.quote(results.folder.as_posix())
    rerun = f"tuner-gan rerun {folder} --trial {shlex.quote(best.trial_id)}"
    # A search that was made in Python does not say how its data were loaded.
    again = best.status == COMPLETED and results.config.get("settings")
    return [f"tuner-gan export {folder}", *([rerun] if again else [])]


def _code(results: SearchResults) -> list[str]:
    names = find_part(results.config, "data").get("class_names")
    path = (results.folder / files.BEST_DIR / files.GENERATOR).as_posix()
    return loading_code(path, len(names) if isinstance(names, list) else 0)


def _provenance(results: SearchResults) -> list[tuple[str, str]]:
    config, classifier = results.config, results.classifier
    found: dict[str, Any] = {
        "seed": config.get("seed"),
        "data fingerprint": find_part(config, "data").get("fingerprint"),
        "classifier fingerprint": classifier.get("fingerprint"),
        "created": config.get("created_at"),
        **{f"setting {name}": value for name, value in find_part(config, "config").items()},
        **{f"version {name}": value for name, value in find_part(config, "versions").items()},
    }
    return [(name, str(value)) for name, value in found.items() if value is not None]
