"""The report in a real browser, headless Chromium, as the person sees it who opens it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from project_folders import failed_json, record_json, running_json, write_project, write_trial
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from test_report import HOSTILE, picture

from tuner_gan import files, results
from tuner_gan.results.report import FIGURES, write_report

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="there is no chromium with its chromedriver"),
    # Selenium leaves a socket for the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)
PHONE = (390, 844)
DESKTOP = (1280, 900)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(executable_path=str(DRIVER)))
    yield driver
    driver.quit()


def open_page(browser: webdriver.Chrome, path: Path, size: tuple[int, int] = DESKTOP) -> None:
    """Opens a report, waits until its figures are drawn, and checks that nothing went wrong."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    log: Any = browser.get_log
    log("browser")
    browser.get(path.resolve().as_uri())
    root = browser.find_element(By.TAG_NAME, "html")
    WebDriverWait(browser, 60).until(lambda _: root.get_attribute("data-drawn") == str(len(FIGURES)))
    assert log("browser") == []


def full_project(folder: Path) -> Path:
    curve = "execution,epoch,step,seconds,d_loss,g_loss,metric.fcd\n0,1,9,1,0.5,0.5,2.0\n0,2,18,2,0.5,0.5,{}\n"
    write_project(folder, failed_json("0010", message=HOSTILE))
    for i in range(10):
        origin = {0: "baseline", 9: "finalist"}.get(i, "search")
        record = record_json(
            f"000{i}",
            score=round(1.0 - i / 11, 3),
            origin=origin,
            status="PRUNED" if i == 4 else "COMPLETED",
            hyperparameters={
                "generator_depth": 1 + i % 3,
                "generator_lr": 10.0 ** -(2 + i % 3),
                "loss": "<b>x" * (i % 2),
            },
            started_at=f"2026-11-23T18:00:{2 * i:02}+00:00",
            ms_per_sample=0.1 + i,
        )
        write_trial(folder, record, curve.format(record["score"]))
        picture(folder / f"trial_000{i}" / "samples.png", i)
    picture(folder / "real.png", 99)
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    return write_report(results.load(full_project(folder / "demo")), folder / "report.html")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_all_figures_are_drawn_within_the_width(browser: webdriver.Chrome, report: Path, size: tuple[int, int]) -> None:
    open_page(browser, report, size)
    for name, *_ in FIGURES:
        plot = browser.find_element(By.ID, f"plot-{name}")
        assert plot.find_elements(By.CSS_SELECTOR, ".scatterlayer path, .barlayer path"), name
        assert plot.find_element(By.XPATH, "..").rect["width"] <= size[0]  # a wide one scrolls by itself
        assert plot.rect["height"] > 150
    # Nothing but the table, which scrolls by itself, is wider than the screen.
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    assert edge(browser, "#plot-slices .legend", "bottom") < edge(browser, "#plot-slices .annotation-text", "top")
    assert edge(browser, "#plot-timeline .ytick text", "left") > edge(browser, "#plot-timeline", "left")
    for image in browser.find_elements(By.CSS_SELECTOR, ".pictures img"):
        assert int(str(image.get_property("naturalWidth"))) > 100


def edge(browser: webdriver.Chrome, selector: str, side: str) -> float:
    """Pixels from the left or the top of the screen to a side of an element."""
    found = browser.execute_script(f"return document.querySelector({selector!r}).getBoundingClientRect().{side}")
    assert isinstance(found, int | float)
    return float(found)


def test_what_is_said_in_place_of_a_figure_is_seen_on_a_telephone(browser: webdriver.Chrome, tmp_path: Path) -> None:
    folder = write_project(tmp_path / "demo", record_json(), record_json("0001"))
    open_page(browser, write_report(results.load(folder), folder / "report.html"), PHONE)
    note = "#plot-importance .annotation-text"
    assert "at least 4 ranked trials" in browser.find_element(By.CSS_SELECTOR, note).text
    assert 0 < edge(browser, note, "left") < edge(browser, note, "right") < PHONE[0]


def trials(browser: webdriver.Chrome) -> list[str]:
    return [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "#ranked td.trial_id")]


def test_a_heading_sorts_by_mouse_and_by_keyboard(browser: webdriver.Chrome, report: Path) -> None:
    open_page(browser, report)
    assert trials(browser)[0] == "0009"
    heads = {head.text: head for head in browser.find_elements(By.CSS_SELECTOR, "#ranked thead th")}
    score = heads["score"].find_element(By.TAG_NAME, "button")
    score.click()
    ranked = sorted(f"000{i}" for i in range(10))
    assert trials(browser) == [*reversed(ranked), "0010"]  # without a score last
    assert heads["score"].get_attribute("aria-sort") == "ascending"
    score.send_keys(Keys.ENTER)
    assert trials(browser) == [*ranked, "0010"]
    assert heads["score"].get_attribute("aria-sort") == "descending"
    heads["trial"].find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
    assert trials(browser) == [*ranked, "0010"]
    assert heads["score"].get_attribute("aria-sort") is None


def test_dark_and_light(browser: webdriver.Chrome, report: Path) -> None:
    def colours() -> tuple[Any, Any]:
        body = browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        tick = browser.find_element(By.CSS_SELECTOR, "#plot-history .xtick text").value_of_css_property("fill")
        return body, tick

    open_page(browser, report)
    light = colours()
    browser.find_element(By.ID, "theme").click()
    WebDriverWait(browser, 20).until(lambda _: colours()[1] != light[1])
    dark = colours()
    assert dark[0] != light[0]
    browser.find_element(By.ID, "theme").send_keys(Keys.ENTER)
    WebDriverWait(browser, 20).until(lambda _: colours() == light)
    # Who asked the system for dark pages gets one.
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    try:
        open_page(browser, report)
        assert colours() == dark
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_more_about_a_trial_is_a_click_away(browser: webdriver.Chrome, report: Path) -> None:
    open_page(browser, report)
    summary = browser.find_element(By.CSS_SELECTOR, "#ranked tbody summary")
    summary.send_keys(Keys.ENTER)
    text = browser.find_element(By.CSS_SELECTOR, "#ranked tbody details[open]").text
    assert "generator_depth" in text
    assert "coverage" in text


def test_what_the_folder_holds_runs_no_code(browser: webdriver.Chrome, report: Path) -> None:
    open_page(browser, report)
    assert not browser.find_elements(By.CSS_SELECTOR, 'img[src="x"]')
    assert "onerror" in browser.find_element(By.ID, "ranked").text


@pytest.mark.parametrize("kind", ["empty", "all failed", "running"])
def test_other_projects_are_drawn_without_an_error(browser: webdriver.Chrome, tmp_path: Path, kind: str) -> None:
    records = {"empty": [], "all failed": [failed_json(f"000{i}") for i in range(3)], "running": [running_json()]}[kind]
    folder = write_project(tmp_path / "demo", *records)
    with files.search_lock(folder) if kind == "running" else contextlib.nullcontext():
        page = write_report(results.load(folder), folder / "report.html")
    open_page(browser, page)
    summary = browser.find_element(By.CSS_SELECTOR, ".summary").text
    reason = " The most frequent reason is: generator loss is NaN at epoch 3" if kind == "all failed" else ""
    assert summary.endswith(f"No trial has a score.{reason}")
    assert ("still running" in summary) == (kind == "running")
