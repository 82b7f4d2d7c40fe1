"""`kpi docs`: one page about every table that opens offline."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from agent_kpis.build import DATABASE
from warehouse import Build

KPI = Path(sys.executable).parent / "kpi"
CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def kpi_docs(out: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AGENT_KPIS_DATA")}
    return subprocess.run(
        [KPI, "docs", "--out", out],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
    )


@pytest.fixture(scope="module")
def out(story: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves that the page is made of; the landing files are out of reach."""
    folder = tmp_path_factory.mktemp("docs") / "out"
    (folder / ".work" / "target").mkdir(parents=True)
    shutil.copy(story.database, folder / ".work")
    shutil.copy(story.folder / "target" / "manifest.json", folder / ".work" / "target")
    done = kpi_docs(folder, folder.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "docs.html" in done.stdout
    assert "MB, opens offline" in done.stdout
    return folder


def test_it_is_one_file_and_nothing_is_left_behind(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == [".work", "docs.html"]
    left = {path.name for path in (out / ".work").iterdir()}
    assert left == {DATABASE, "target", "logs"}
    assert {path.name for path in (out / ".work" / "target").iterdir()} == {"manifest.json"}
    assert 1e6 < (out / "docs.html").stat().st_size < 10e6


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_it_opens_offline(out: Path) -> None:
    from playwright.sync_api import sync_playwright

    page_url = (out / "docs.html").as_uri()
    requests: list[str] = []
    errors: list[str] = []
    shown = {
        "model/model.agent_kpis.kpi_daily": ["Judged: the denominator.", "bigint"],
        "metric/metric.agent_kpis.csat": ["Mean score (0 to 100) of the answers so far"],
        "exposure/exposure.agent_kpis.weekly_review": ["Three questions on Monday"],
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for node, sentences in shown.items():
            page = browser.new_page()
            page.on("request", lambda request: requests.append(request.url))
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"{page_url}#!/{node}")
            for sentence in sentences:
                found = "text => document.body.innerText.toLowerCase().includes(text)"
                page.wait_for_function(found, arg=sentence.lower(), timeout=60_000)
            page.close()
        browser.close()
    local = ("file:", "data:", "blob:")
    assert requests
    assert [url for url in requests if not url.startswith(local)] == []
    assert errors == []


def test_the_sql_is_that_of_the_build(out: Path) -> None:
    text = (out / "docs.html").read_text(encoding="utf-8")
    assert "compiled_code" in text
    assert 'from \\"agent_kpis\\".\\"facts\\".\\"fct_interactions\\"' in text


def test_a_run_under_way_is_said_and_the_page_stays(out: Path) -> None:
    before = (out / "docs.html").read_bytes()
    with duckdb.connect(str(out / ".work" / DATABASE)):
        done = kpi_docs(out, out.parent)
    assert done.returncode == 2
    assert "agent_kpis.duckdb cannot be opened. Is a run under way in" in done.stderr
    assert "Traceback" not in done.stderr
    assert (out / "docs.html").read_bytes() == before


def test_nothing_to_document_is_said(tmp_path: Path) -> None:
    done = kpi_docs(tmp_path / "nowhere", tmp_path)
    assert done.returncode == 2
    assert f"Run `kpi run --out {tmp_path / 'nowhere'}` first." in done.stderr
    assert not (tmp_path / "nowhere").exists()
