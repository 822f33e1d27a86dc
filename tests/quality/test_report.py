"""The report in a real browser: no error, no request, and all that can be touched does what it says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drsformer_cli.quality.folders import Problem, gather
from drsformer_cli.quality.judge import Settings, judge
from drsformer_cli.quality.report import MOST_OF_ONE, as_html, preview_budget
from drsformer_cli.quality.summary import Evaluation
from tests.quality.conftest import noisy, picture, write

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE, NARROW = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a headless Chromium; tests skip where none is installed."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium is installed here")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path)
        yield chromium
        chromium.close()


def write_report(folders: Path, **changes: Any) -> Path:
    """Evaluate the folders and write the report beside them."""
    settings = Settings(preview=preview_budget(5), **changes)
    evaluation = Evaluation("my method", settings, dataset="rain200h")
    rainy = str(folders / "rainy") if (folders / "rainy").is_dir() else None
    for pair in gather(str(folders / "out"), str(folders / "clean"), rainy).pairs:
        evaluation.take(judge(pair, settings))
    evaluation.problems.append(Problem("extra", "<i>x.png</i> has no clean picture."))
    path = folders / "report.html"
    path.write_text(as_html(evaluation, path), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report of five pictures of a size worth looking at; the first is restored exactly."""
    folders = tmp_path_factory.mktemp("report")
    for index in range(5):
        name = f"{index}.png" if index < 4 else "deep/<b>&'4.png"
        clean = picture(index, (120, 180))
        write(folders / "clean" / name, clean)
        write(folders / "out" / name, noisy(clean, index, 3 * index))
        write(folders / "rainy" / name, noisy(clean, index + 50, 40))
    return write_report(folders)


class Opened:
    """A page, and what it has complained about and asked for."""

    def __init__(self, browser: Any, path: Path, size: tuple[int, int] = WIDE, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.locator("#under[src]").wait_for()

    def strangers(self, path: Path) -> list[str]:
        """Return what was asked for besides the page itself and what is in it."""
        return [url for url in self.asked if url != path.as_uri() and not url.startswith("data:")]

    def names(self) -> list[str]:
        """Return the names in the table, in order."""
        found: list[str] = self.page.locator("#body button").all_inner_texts()
        return found


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Opened]:
    """Return the report, opened in a wide window."""
    found = Opened(browser, report)
    yield found
    found.context.close()


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_in_peace(browser: Any, report: Path, size: tuple[int, int], scheme: str) -> None:
    opened = Opened(browser, report, size, color_scheme=scheme)
    page = opened.page
    assert page.locator("h1").inner_text() == "my method"
    assert "<i>x.png</i> has no clean picture." in page.locator(".problems li").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.locator("#theme").get_attribute("aria-pressed") == str(scheme == "dark").lower()
    page.locator(".thumb[src]").nth(4).wait_for(state="attached")  # they are drawn when it is idle
    assert page.locator(".thumb[src]").count() == 5
    assert (opened.said, opened.strangers(report)) == ([], [])
    opened.context.close()


def test_the_worst_picture_comes_first_and_columns_sort(opened: Opened) -> None:
    page = opened.page
    assert page.locator("#name").inner_text() == "deep/<b>&'4.png"
    assert opened.names() == ["deep/<b>&'4.png", "3.png", "2.png", "1.png", "0.png"]
    headers = page.locator("#head th")
    assert headers.nth(2).get_attribute("aria-sort") == "ascending"
    headers.nth(2).locator("button").click()
    assert headers.nth(2).get_attribute("aria-sort") == "descending"
    assert opened.names()[0] == "0.png"
    assert page.locator("#body tr").first.locator("td").nth(2).inner_text() == "∞"
    headers.nth(1).locator("button").press("Enter")
    assert headers.nth(1).get_attribute("aria-sort") == "ascending"
    assert headers.nth(2).get_attribute("aria-sort") is None
    assert opened.names() == ["0.png", "1.png", "2.png", "3.png", "deep/<b>&'4.png"]
    assert opened.said == []


def test_the_table_filters(opened: Opened) -> None:
    page = opened.page
    page.fill("#filter", "DEEP")
    assert opened.names() == ["deep/<b>&'4.png"]
    assert page.locator("#count").inner_text() == "1 of 5"
    page.fill("#filter", "")
    below = float(page.locator("#body tr").nth(1).locator("td").nth(2).inner_text())
    page.fill("#below", str(below + 0.01))
    assert opened.names() == ["deep/<b>&'4.png", "3.png"]


def test_the_slider_moves_by_mouse_and_keys(opened: Opened) -> None:
    page = opened.page
    box = page.locator("#stage").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.33, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.10, middle, steps=4)
    page.mouse.up()
    assert page.locator("#a").input_value() == "10"
    assert page.evaluate("document.querySelector('#middle').style.clipPath") == "inset(0px 0px 0px 10%)"
    page.keyboard.press("ArrowRight")
    assert page.locator("#a").input_value() == "11"
    page.locator("#b").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#b").input_value() == "66"
    page.keyboard.press("Home")
    assert page.locator("#b").input_value() == "11"  # the borders do not pass each other
    page.get_by_label("Rainy | Clean").check()
    assert page.locator("#b").is_hidden()
    assert page.locator("#a").get_attribute("aria-label") == "Border between rainy and clean"
    assert opened.said == []


def test_the_slider_moves_by_touch(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, NARROW, has_touch=True)
    box = opened.page.locator("#stage").bounding_box()
    opened.page.touchscreen.tap(box["x"] + box["width"] * 0.2, box["y"] + 40)
    assert opened.page.locator("#a").input_value() == "20"
    opened.context.close()


def test_pictures_follow_each_other_and_rows_open_them(opened: Opened) -> None:
    page = opened.page
    page.locator("#next").click()
    assert page.locator("#name").inner_text() == "3.png"
    assert page.locator("#body tr[aria-current]").locator("button").inner_text() == "3.png"
    page.locator("#previous").click()
    page.locator("#previous").click()
    assert page.locator("#name").inner_text() == "0.png"
    page.get_by_role("button", name="2.png").click()
    assert page.locator("#name").inner_text() == "2.png"
    page.keyboard.press("ArrowUp")
    assert page.locator("#name").inner_text() == "3.png"


def test_the_error_map(opened: Opened) -> None:
    page = opened.page
    assert not page.locator("#error").is_visible()
    page.get_by_role("button", name="Error map").press("Space")
    assert page.locator("#error").is_visible()
    assert page.locator("#legend").is_visible()
    assert page.locator("#map").get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.querySelector('#error').naturalWidth") == 90


def test_the_error_map_has_no_lines_to_drag(opened: Opened) -> None:
    page = opened.page
    page.get_by_role("button", name="Error map").click()
    for hidden in ("#modes", "#hint", "#line-a", "#a"):
        assert page.locator(hidden).is_hidden()
    box = page.locator("#stage").bounding_box()
    page.mouse.click(box["x"] + 5, box["y"] + box["height"] / 2)
    assert page.locator("#a").input_value() == "33"
    page.get_by_role("button", name="Error map").click()
    for shown in ("#modes", "#hint", "#line-a", "#a"):
        assert page.locator(shown).is_visible()


def test_a_grip_stays_inside(opened: Opened) -> None:
    page = opened.page
    page.locator("#a").focus()
    page.keyboard.press("Home")
    stage, grip = page.locator("#stage").bounding_box(), page.locator("#line-a .grip").bounding_box()
    assert grip["x"] >= stage["x"] - 1


def test_a_filter_that_matches_nothing_says_so(opened: Opened) -> None:
    page = opened.page
    page.fill("#filter", "no such name")
    assert page.locator("#body").inner_text().strip() == "No picture matches."
    assert page.locator("#count").inner_text() == "0 of 5"
    page.fill("#filter", "")
    assert len(opened.names()) == 5
    assert opened.said == []


def test_names_have_room_on_a_telephone(browser: Any, report: Path) -> None:
    opened = Opened(browser, report, NARROW)
    assert opened.page.locator("#head .gain").is_hidden()
    assert opened.page.locator("#body td.gain").first.is_hidden()
    row = opened.page.locator("#body button", has_text="3.png")
    assert row.bounding_box()["height"] < 30  # one line
    opened.context.close()


def test_the_tile_of_the_worst_has_its_unit(report: Path) -> None:
    tile = report.read_text(encoding="utf-8").split("<h2>worst</h2>")[1].split("</p>")[0]
    assert tile.endswith(" dB")


def test_a_page_without_scores_has_no_empty_table(folders: Path) -> None:
    evaluation = Evaluation("none", Settings(), problems=[Problem("extra", "x.png has no clean picture.")])
    page = as_html(evaluation, folders / "r.html")
    assert '<div class="columns" hidden>' in page
    assert "x.png has no clean picture." in page


def test_zoom_shows_originals_where_they_are_and_previews_where_not(
    browser: Any, report: Path, tmp_path: Path
) -> None:
    report = shutil.copytree(report.parent, tmp_path / "moved") / report.name
    opened = Opened(browser, report)
    page = opened.page
    (report.parent / "clean" / "deep" / "<b>&'4.png").unlink()
    write(report.parent / "rainy" / "deep" / "<b>&'4.png", picture(1))  # another picture by now
    page.get_by_role("button", name="Zoom").click()
    page.locator("#kind", has_text="original").wait_for()
    assert page.locator("#large").get_attribute("src") == "out/deep/%3Cb%3E%26%274.png"
    for key, said in (("3", "preview"), ("1", "preview"), ("2", "original")):
        page.keyboard.press(key)
        page.locator("#kind", has_text=said).wait_for()
    width = page.locator("#large").bounding_box()["width"]
    page.keyboard.press("+")
    assert page.locator("#large").bounding_box()["width"] == pytest.approx(1.5 * width, abs=1)
    page.keyboard.press("Escape")
    assert not page.locator("#dialog").is_visible()
    assert all(url.startswith(report.parent.as_uri()) for url in opened.strangers(report))
    opened.context.close()


def test_a_report_without_rainy_pictures(browser: Any, folders: Path) -> None:
    shutil.rmtree(folders / "rainy")
    path = write_report(folders)
    opened = Opened(browser, path)
    assert opened.page.locator("#modes label").count() == 1
    assert opened.page.locator("#a").get_attribute("aria-label") == "Border between restored and clean"
    assert opened.page.locator("#line-b").is_hidden()
    assert opened.said == []
    opened.context.close()


@pytest.mark.parametrize("pictures", [0, 1, 5, 1000, 20_000, 100_000])
def test_a_report_of_many_pictures_stays_small(pictures: int) -> None:
    budget = preview_budget(pictures)
    assert 0 <= budget <= MOST_OF_ONE
    assert pictures * budget * 4 / 3 < 56_000_000


def test_a_thousand_pictures(browser: Any, folders: Path) -> None:
    """The budget of a thousand is used up, and the page is there at once all the same."""
    settings = Settings(preview=preview_budget(1000))
    evaluation = Evaluation("many", settings)
    clean = noisy(picture(1, (500, 700)), 1, 60)  # noise is what compresses worst
    for name, seed in (("clean", 1), ("out", 2), ("rainy", 3)):
        write(folders / "big" / name / "1.png", noisy(clean, seed, 40))
    work = gather(*(str(folders / "big" / name) for name in ("out", "clean", "rainy")))
    row = judge(work.pairs[0], settings)
    assert row.preview is not None
    assert row.preview.size > 0.8 * settings.preview
    evaluation.rows = [row] * 1000
    path = folders / "many.html"
    path.write_text(as_html(evaluation, path), encoding="utf-8")
    assert 30_000_000 < path.stat().st_size < 60_000_000
    opened = Opened(browser, path)
    assert len(opened.names()) == 100
    assert opened.page.locator("#count").inner_text() == "1000"
    opened.page.locator("#more").dispatch_event("click")
    assert len(opened.names()) == 200
    opened.page.locator("#body tr").nth(199).scroll_into_view_if_needed()
    opened.page.locator("#body tr").nth(299).wait_for()
    assert len(opened.names()) == 300  # and no more than that by itself
    assert opened.said == []
    opened.context.close()
