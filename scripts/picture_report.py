"""The README's picture: the top of the report, as a browser draws it.

    .venv/bin/python scripts/picture_report.py --out out

Needs chromium. Writes docs/report.png from OUT/report.html (`kpi report --out OUT`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import click
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "report.png"
WIDTH = 1280
# Nothing that looks for a network.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True)
@click.option("--to", type=click.Path(path_type=Path), default=PICTURE, show_default=True)
def main(out: Path, to: Path) -> None:
    """Draw OUT/report.html down to its first chart."""
    page_file, chromium = out / "report.html", shutil.which("chromium")
    if not page_file.is_file():
        raise click.ClickException(f"No {page_file}. Run `kpi report --out {out}` first.")
    if chromium is None:
        raise click.ClickException("No chromium on the PATH: install it (apt install chromium).")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.goto(page_file.resolve().as_uri())
        page.wait_for_selector("html[data-drawn]")
        height = page.locator("figure").first.bounding_box()["y"]
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": height}
        page.screenshot(path=to, full_page=True, clip=clip)
        browser.close()
    click.echo(f"{to} ({to.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
