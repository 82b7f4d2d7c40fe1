"""One page about every table of a run: dbt's docs as a single file that opens offline."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb

from agent_kpis.build import DATABASE, follow, readable, start_dbt
from agent_kpis.errors import CannotRunError

PAGE = "docs.html"


def write_docs(work: Path, out: Path) -> Path:
    """Write `out`/docs.html from the private database and the artifacts that a run left in `work`.

    The descriptions and the SQL are those of that run: nothing is compiled again, so its landing
    files may be gone. Readers keep the page until the new one is whole. Raises CannotRunError.
    """
    database, manifest = work / DATABASE, work / "target" / "manifest.json"
    for needed in (database, manifest):
        if not needed.is_file():
            raise CannotRunError(
                f"Nothing to document: no {needed}. Run `kpi run --out {out}` first."
            )
    try:
        duckdb.connect(str(database), read_only=True).close()
    except duckdb.IOException as error:
        raise CannotRunError(
            f"{database} cannot be opened. Is a run under way in {out}? Then wait for its end. "
            f"({str(error).splitlines()[0]})"
        ) from error
    target = work / "docs"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    # dbt reads the manifest of the build from its own target folder.
    shutil.copyfile(manifest, target / manifest.name)
    process = start_dbt(["docs", "generate", "--static", "--no-compile"], work, target, {})
    messages, _ = follow(process, None)
    code = process.wait()
    page = target / "static_index.html"
    if code or not page.is_file():
        reason = readable("\n".join(messages[-20:]))
        raise CannotRunError(reason or f"dbt ended with exit code {code}")
    os.replace(page, out / PAGE)
    shutil.rmtree(target)
    return out / PAGE
