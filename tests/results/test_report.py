from __future__ import annotations

import base64
import html
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import Page
from PIL import Image
from project_folders import HISTORY, failed_json, record_json, running_json, write_project, write_trial

from tuner_gan import files, results
from tuner_gan.errors import ProjectError
from tuner_gan.images import save_grid
from tuner_gan.results.report import FIGURES, render_report, summarise, write_report

HOSTILE = '</script><img src=x onerror="alert(1)">\u2028&'


def picture(path: Path, seed: int = 0) -> None:
    save_grid(np.random.default_rng(seed).integers(0, 256, (64, 8, 8, 1), np.uint8), path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = write_project(
        tmp_path / "demo",
        failed_json("0003"),
        record_json("tutorial", score=2.0, origin="baseline"),
        record_json("0001", score=0.5, status="PRUNED"),
        record_json(
            "final_0000",
            score=0.2,
            score_std=0.0123,
            origin="finalist",
            ms_per_sample=0.25,
            executions=3 * record_json()["executions"],
        ),
        config={"epochs": 10},
        settings={"data": "mnist5k"},
        versions={"keras": "3.15.1"},
    )
    write_trial(folder, record_json("0000", score=0.25, flags=["memorising"]), HISTORY)
    picture(folder / "real.png", 1)
    for trial in ("0000", "final_0000"):
        picture(folder / f"trial_{trial}" / "samples.png")
    return folder


def test_the_summary_says_what_won_and_by_how_much(project: Path) -> None:
    assert summarise(results.load(project)) == (
        "5 trials of the space dcgan on mnist5k (3 COMPLETED, 1 PRUNED, 1 FAILED). The best one, final_0000, has fcd "
        "0.2 ± 0.012 over 3 trainings. Trial 0000, which it repeats, has 0.25, 8.0 times closer to the real images "
        "than the better of the tutorials (2). Real images that were held out have 0.004."
    )


@pytest.mark.parametrize(
    ("records", "changes", "part"),
    [
        ([], {}, "0 trials of the space dcgan on mnist5k. No trial has a score."),
        (
            [failed_json("0000")],
            {},
            "No trial has a score. The most frequent reason is: generator loss is NaN at epoch 3",
        ),
        (
            [
                *(failed_json(f"{i}", message="generator loss is NaN at epoch 3") for i in range(2)),
                *(failed_json(f"{i}", message=f"one class (after epoch {i})") for i in range(2, 5)),
            ],
            {},
            "No trial has a score. The most frequent reason is: one class",
        ),
        ([record_json("0000", score=0.5)], {"classifier": {}}, "The best one, 0000, has fcd 0.5."),
        ([record_json("0000", score=0.5, flags=["collapsed"])], {}, "Look at its flags first: collapsed."),
        (
            [record_json("0000", score=0.5), record_json("t", score=0.25, origin="baseline")],
            {"objective": {"name": "coverage", "direction": "max"}},
            "has coverage 0.5; the better of the tutorials has 0.25.",
        ),
        (
            [record_json("0000", score=0.125), record_json("t", score=0.5, origin="baseline")],
            {},
            "The best one, 0000, has fcd 0.125, 4.0 times closer to the real images than the better of the tutorials "
            "(0.5).",
        ),
        (
            [record_json("t", score=0.5, origin="baseline"), record_json("0000", score=0.75)],
            {},
            "The best one, t, has fcd 0.5. It is one of the tutorials: no trial of the search is ranked above it. Real",
        ),
        (
            [
                record_json("t", score=0.5, origin="baseline"),
                record_json("0000", score=0.4),
                record_json("final_t", score=0.1, origin="finalist"),
            ],
            {},
            "The best one, final_t, has fcd 0.1. It repeats t, one of the tutorials: no trial of the search is ranked "
            "above it. Real",
        ),
        (
            [
                record_json("t", score=0.5, origin="baseline"),
                record_json("0000", score=0.75),
                record_json("final_0000", score=0.1, origin="finalist"),
            ],
            {},
            "has fcd 0.1. Trial 0000, which it repeats, has 0.75; the better of the tutorials has 0.5. Real",
        ),
        (
            [record_json("t", score=0.5, origin="baseline"), record_json("final_0000", score=0.1, origin="finalist")],
            {},
            "The best one, final_0000, has fcd 0.1. Real",
        ),
    ],
)
def test_the_summary_of_other_projects(
    tmp_path: Path, records: list[dict[str, Any]], changes: dict[str, Any], part: str
) -> None:
    assert part in summarise(results.load(write_project(tmp_path / "demo", *records, **changes)))


def test_a_running_search_says_so(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "demo", running_json())
    with files.search_lock(folder):
        assert "The search is still running." in summarise(results.load(folder))
        assert "RUNNING" in Page(render_report(results.load(folder))).text


def test_the_page_has_everything_in_it_and_asks_no_network(project: Path, tmp_path: Path) -> None:
    path = write_report(results.load(project), tmp_path / "out" / "report.html")
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 10_000_000
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    assert all(image["alt"] for image in page.images)
    assert "Content-Security-Policy\" content=\"default-src 'none'" in text
    for name, title, caption, _ in FIGURES:
        assert f"plot-{name}" in page.ids
        assert title in page.text
        assert caption in page.text
        content = text.split(f'<script type="application/json" id="data-{name}">')[1].split("</script>")[0]
        assert {"data", "layout"} <= json.loads(content).keys()
    assert "memorising : it reproduces training images" in page.text
    assert "tuner-gan export " in page.text
    assert f"tuner-gan rerun {project.as_posix()} --trial final_0000" in page.text
    assert "generator = keras.saving.load_model" in page.text
    assert "version keras 3.15.1" in page.text
    assert "classifier fingerprint cd" in page.text


def test_its_commands_can_be_run_as_they_stand(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "it's $HOME", record_json("a b"), settings={"data": "it's $HOME"})
    texts = Page(render_report(results.load(folder))).texts
    assert [shlex.split(line) for text in texts for line in text.splitlines() if line.startswith("tuner-gan")] == [
        ["tuner-gan", "export", folder.as_posix()],
        ["tuner-gan", "rerun", folder.as_posix(), "--trial", "a b"],
    ]


def test_a_search_made_in_python_is_not_rerun_by_a_command(tmp_path: Path) -> None:
    text = Page(render_report(results.load(write_project(tmp_path / "demo", record_json("0000"))))).text
    assert "tuner-gan export" in text
    assert "tuner-gan rerun" not in text
    assert "make it again" not in text


def test_pictures_are_the_samples_and_the_real_images(project: Path) -> None:
    images = Page(render_report(results.load(project))).images
    best, real, *thumbnails = [base64.b64decode(str(image["src"]).split(",")[1]) for image in images]
    assert best == (project / "trial_final_0000" / "samples.png").read_bytes()
    assert real == (project / "real.png").read_bytes()
    assert len(thumbnails) == 2
    with Image.open(io.BytesIO(thumbnails[0])) as small:
        assert (small.format, small.width) == ("WEBP", 224)


def test_the_table_is_sorted_by_values_and_shows_rounded_ones(project: Path) -> None:
    text = render_report(results.load(project))
    rows = re.findall(r"<tr>\s*<td.*?</tr>", text, re.DOTALL)
    assert len(rows) == 5
    cells = re.findall(r'<td class="(\w+)" data-value="([^"]*)">([^<]*)</td>', rows[0])
    assert ("trial_id", "final_0000", "final_0000") in cells
    assert ("number", "0.0123", "0.0123") in cells
    heads = re.findall(r'<th scope="col"[^>]*><button type="button">([^<]+)', text)
    assert len(heads) == len(cells)
    assert "message" in heads
    plain = write_project(project.parent / "plain", record_json())
    assert "message" not in re.findall(r"<button type=\"button\">([^<]+)", render_report(results.load(plain)))


def test_whatever_the_folder_holds_stays_text(tmp_path: Path) -> None:
    point = {"generator_depth": 2, HOSTILE: 0.5, "normalisation": HOSTILE}
    folder = write_project(
        tmp_path / "demo",
        *(record_json(f"000{i}", score=1.0 + i, hyperparameters={**point, HOSTILE: 0.1 * i}) for i in range(5)),
        failed_json("0009", message=HOSTILE),
        name=HOSTILE,
        data={"name": HOSTILE, "class_names": [HOSTILE] * 2},
        versions={HOSTILE: HOSTILE},
        config={HOSTILE: [HOSTILE]},
        objective={"name": HOSTILE, "direction": "min"},
        oracle=HOSTILE,
    )
    write_trial(folder, record_json(f"x{html.escape('y')}", origin="baseline", metrics={HOSTILE: 1.0}), HISTORY)
    text = render_report(results.load(folder))
    page = Page(text)
    assert page.scripts == len(FIGURES) + 2
    assert HOSTILE not in text
    assert "onerror" in page.text
    assert {image["src"] for image in page.images} == set()


@pytest.mark.parametrize("damage", [b"", b"\x89PNG", b"GIF89a"])
def test_a_damaged_picture_leaves_its_place_empty(project: Path, damage: bytes) -> None:
    (project / "trial_0000" / "samples.png").write_bytes(damage)
    assert len(Page(render_report(results.load(project))).images) == 3


def test_large_pictures_are_made_smaller(project: Path) -> None:
    path = project / "trial_final_0000" / "samples.png"
    save_grid(np.random.default_rng(0).integers(0, 256, (64, 128, 128, 3), np.uint8), path)
    assert path.stat().st_size > 1_000_000
    best = base64.b64decode(str(Page(render_report(results.load(project))).images[0]["src"]).split(",")[1])
    with Image.open(io.BytesIO(best)) as picture:
        assert (picture.format, picture.width) == ("WEBP", 1024)


def test_a_hundred_trials_fit_into_ten_megabytes(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "demo")
    for i in range(100):
        write_trial(folder, record_json(f"{i:04}", score=0.1 + i / 100), HISTORY)
        # Noise, which no format makes smaller: digits take a tenth of it.
        picture(folder / f"trial_{i:04}" / "samples.png", i)
    assert len(render_report(results.load(folder)).encode()) < 10_000_000


def test_a_folder_that_cannot_be_written_is_named(project: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="cannot be written"):
        write_report(results.load(project), tmp_path / "file" / "report.html")
