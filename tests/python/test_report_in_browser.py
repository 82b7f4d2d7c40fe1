"""The report as a browser draws it: charts, phones, dark mode, print, and names that bite."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kpis.report import write_report
from reports import AGENT, HOSTILE, Page, hostile, people_alone, several
from support import load_script
from warehouse import Build

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the PATH (apt install chromium)"
)
FLAGS = load_script("picture_report").FLAGS if CHROMIUM else []
MODES = ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def files(story: Build, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of the story and of changed copies of it."""
    folder = tmp_path_factory.mktemp("reports")
    copies = {
        "hostile": hostile(story.database, folder / "hostile.duckdb"),
        "two": several(story.database, folder / "two.duckdb", 2),
        "people": people_alone(story.database, folder / "people.duckdb"),
    }
    return {
        name: write_report(database, folder / f"{name}.html")
        for name, database in {"story": story.database, **copies}.items()
    }


class Visit:
    """A page that was opened, with everything that it complained about or asked for."""

    def __init__(self, browser: Any, file: Path, **context: Any) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._context = browser.new_context(**context)
        self.page = self._context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._dismiss)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        if "vegaEmbed" in file.read_text(encoding="utf-8"):
            self.page.wait_for_selector("html[data-drawn]", timeout=60_000)
        self.url = file.as_uri()

    def _dismiss(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def width(self) -> int:
        return self.page.evaluate("document.documentElement.scrollWidth")


@pytest.mark.parametrize("name", ["story", "hostile", "two", "people"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_draws_without_a_complaint_a_request_or_a_scroll_bar(
    browser: Any, files: dict[str, Path], name: str, width: int
) -> None:
    with Visit(browser, files[name], viewport={"width": width, "height": 800}) as visit:
        assert visit.complaints == []
        assert [url for url in visit.requests if url != visit.url and url != "data:,"] == []
        assert visit.width() == width
        assert visit.page.locator(".vega-actions, .plot a").count() == 0
        plots = visit.page.locator(".plot")
        assert plots.count() == {"story": 24, "hostile": 24, "two": 48, "people": 0}[name]
        marks = visit.page.evaluate(
            "[...document.querySelectorAll('.plot')].map(plot => ["
            "plot.id, plot.querySelectorAll('svg .role-mark path, svg .role-mark line, "
            "svg .role-mark text').length, plot.querySelector('svg')?.clientWidth ?? 0, "
            "plot.clientWidth])"
        )
        for id, n_marks, drawn, place in marks:
            assert n_marks > 1, id
            assert place - 20 <= drawn <= place + 1, f"{id} fills its place"


def test_a_window_that_grows_or_turns_keeps_its_charts_within(
    browser: Any, files: dict[str, Path]
) -> None:
    with Visit(browser, files["story"], viewport={"width": 1100, "height": 800}) as visit:
        visit.page.set_viewport_size({"width": 400, "height": 800})
        visit.page.wait_for_function(
            "[...document.querySelectorAll('.plot svg')].every(svg => "
            "svg.clientWidth <= svg.parentElement.clientWidth + 1)"
        )
        assert visit.width() == 400
        assert visit.complaints == []


CONTRASTS = """
() => {
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.querySelector("body"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.getClientRects().length) continue;
    if (node.closest(".unseen, .skip, script, style, noscript, .plot")) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05),
                node.className + ": " + walker.currentNode.data.trim().slice(0, 40)]);
  }
  const paper = light(behind(document.body));
  for (const text of document.querySelectorAll(".plot svg text")) {
    if (!text.textContent.trim()) continue;
    const own = light(parse(getComputedStyle(text).fill));
    found.push([(Math.max(own, paper) + 0.05) / (Math.min(own, paper) + 0.05),
                "chart: " + text.textContent]);
  }
  return found;
}
"""


@pytest.mark.parametrize("mode", MODES)
def test_every_text_can_be_read_in_both_modes(
    browser: Any, files: dict[str, Path], mode: str
) -> None:
    view = {"width": 1280, "height": 800}
    with Visit(browser, files["story"], viewport=view, color_scheme=mode) as visit:
        found = visit.page.evaluate(CONTRASTS)
        assert len(found) > 500
        poor = sorted((ratio, what) for ratio, what in found if ratio < 4.5)
        assert not poor, poor[:5]
        assert any("badge" in what for _, what in found)


COLOURS = """
() => [document.body, document.querySelector("h2"), document.querySelector(".badge"),
       document.querySelector(".plot svg .role-mark path"),
       document.querySelector(".plot svg .role-axis-label text")].map(node => {
  const style = getComputedStyle(node);
  return [style.backgroundColor, style.color, style.fill].join(" ");
})
"""


def test_dark_mode_changes_the_charts_too_and_print_is_light(
    browser: Any, files: dict[str, Path]
) -> None:
    with Visit(browser, files["story"], color_scheme="light") as visit:
        light = visit.page.evaluate(COLOURS)
        visit.page.emulate_media(color_scheme="dark")
        dark = visit.page.evaluate(COLOURS)
        assert all(a != b for a, b in zip(light, dark, strict=True))
        visit.page.emulate_media(color_scheme="dark", media="print")
        printed = visit.page.evaluate(COLOURS)
        assert printed[0].startswith("rgb(255, 255, 255)")
        assert printed[1:] == light[1:]


def test_it_prints(browser: Any, files: dict[str, Path]) -> None:
    with Visit(browser, files["two"], color_scheme="dark") as visit:
        paper = visit.page.pdf(format="A4", print_background=True)
        assert paper.startswith(b"%PDF")
        assert 8 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 40
        # A4 less its margins, at 96 dots an inch.
        visit.page.set_viewport_size({"width": 688, "height": 1000})
        visit.page.emulate_media(media="print")
        assert visit.width() <= 688
        wide = visit.page.evaluate(
            "[...document.querySelectorAll('.plot svg')].filter(svg => "
            "svg.getBoundingClientRect().right > innerWidth + 1).length"
        )
        assert wide == 0
        assert visit.complaints == []


def test_a_screen_reader_finds_its_way(browser: Any, files: dict[str, Path]) -> None:
    with Visit(browser, files["two"], viewport={"width": 360, "height": 800}) as visit:
        page = visit.page
        for role in ("banner", "main", "contentinfo"):
            assert page.get_by_role(role).count() == 1
        assert page.get_by_role("navigation", name="Agents").count() == 1
        assert page.get_by_role("heading", level=1).count() == 1
        names = [text.strip() for text in page.get_by_role("heading", level=2).all_inner_texts()]
        assert names == [
            "atlas is deflecting, not resolving",
            "atlas-2 is deflecting, not resolving",
            "Can the data be trusted?",
        ]
        assert page.get_by_role("region", name=names[0]).count() == 1
        charts = page.get_by_role("img", name=re.compile("Task completion as known on each day"))
        assert charts.count() == 2
        # Also where its rows are drawn as cards.
        table = page.get_by_role("table", name=re.compile("^The scorecard")).first
        assert table.get_by_role("row").count() == 8
        assert table.get_by_role("rowheader", name="Escalation").count() == 1
        first = page.get_by_role("link", name="To the report")
        page.keyboard.press("Tab")
        assert first.evaluate("node => node === document.activeElement")


def test_hostile_names_are_shown_as_text(browser: Any, files: dict[str, Path]) -> None:
    with Visit(browser, files["hostile"], viewport={"width": 1280, "height": 800}) as visit:
        page = visit.page
        assert page.locator("h2 bdi").first.text_content() == AGENT
        for tag in ("img", "iframe", "main i", "main b", "textarea"):
            assert page.locator(tag).count() == 0
        assert page.locator("script").count() == 3
        axis = page.locator("[id$='-types'] svg text").all_text_contents()
        assert any(text.startswith("<img src=x") for text in axis)
        release = page.locator("[id='a0-over-csat'] svg text").all_text_contents()
        assert any(text.startswith("'\"><svg") for text in release)
        summaries = page.locator("td.text").all_text_contents()
        assert any(HOSTILE["summary"] in text for text in summaries)
        bars = page.locator("[id='a0-types'] svg .role-mark.mark-rect path")
        bars.first.scroll_into_view_if_needed()
        bars.first.hover()
        tip = page.locator("#vg-tooltip-element")
        tip.wait_for(state="visible")
        assert HOSTILE["task_type"] in tip.text_content()
        assert tip.locator("img").count() == 0
        for summary in page.locator("summary").all():
            summary.evaluate("node => { node.parentElement.open = true; }")
        assert visit.width() == 1280
        assert visit.complaints == []


def test_what_is_drawn_is_what_the_table_says(browser: Any, files: dict[str, Path]) -> None:
    found = Page(files["story"].read_text(encoding="utf-8"))
    lost = [row["v"] for row in found.values("a0-types")]
    with Visit(browser, files["story"], viewport={"width": 1280, "height": 800}) as visit:
        page = visit.page
        drawn = page.locator("[id='a0-types'] svg .role-mark.mark-text text").all_text_contents()
        assert drawn == [f"{value:.0f}" for value in lost]
        bars = page.locator("[id='a0-types'] svg .role-mark.mark-rect path")
        widths = [bars.nth(i).bounding_box()["width"] for i in range(len(lost))]
        for width, value in zip(widths, lost, strict=True):
            assert width / widths[0] == pytest.approx(value / lost[0], abs=0.01)
        details = page.locator("details:has-text('The numbers')").first
        details.locator("summary").click()
        assert details.locator("tbody tr").first.is_visible()
        assert details.locator("tbody tr").count() == 20
