"""Publishing: what readers see changes in one step, and only after a build without errors."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb

from agent_kpis.build import DATABASE


def publish(private: Path, out: Path) -> list[Path]:
    """Copy the private database to `out` and write each mart as a parquet file.

    Readers keep the file they opened; the next one they open is the new one (`os.replace`).
    Returns the files written.
    """
    out.mkdir(parents=True, exist_ok=True)
    served = out / DATABASE
    fresh = out / f".{DATABASE}.new"
    marts, fresh_marts = out / "marts", out / ".marts.new"
    shutil.rmtree(fresh_marts, ignore_errors=True)
    fresh_marts.mkdir()
    shutil.copyfile(private, fresh)
    with duckdb.connect(str(fresh)) as con:
        # Views over landing files would point at files that readers may not have.
        con.execute("drop schema if exists staging cascade")
        con.execute("checkpoint")
        names = [
            name
            for (name,) in con.execute(
                "select table_name from information_schema.tables "
                "where table_schema = 'marts' order by table_name"
            ).fetchall()
        ]
        for name in names:
            path = str(fresh_marts / f"{name}.parquet").replace("'", "''")
            con.execute(f"copy marts.{name} to '{path}' (format parquet)")
    os.replace(fresh, served)
    marts.mkdir(exist_ok=True)
    for file in marts.glob("*.parquet"):
        if file.stem not in names:
            file.unlink()
    for name in names:
        os.replace(fresh_marts / f"{name}.parquet", marts / f"{name}.parquet")
    fresh_marts.rmdir()
    return [served, *(marts / f"{name}.parquet" for name in names)]
