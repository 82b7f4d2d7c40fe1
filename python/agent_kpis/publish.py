"""Publishing: what readers see changes in one step, and only after everything was written.

    OUT/agent_kpis.duckdb, OUT/marts, OUT/report.html   links into .served/current
    OUT/.served/current                                 link to one of the folders beside it
    OUT/.served/<version>/                              database, marts and report of one run

A version is written beside the served one; `serve` then turns the one link. Whoever has a file of
the version before open keeps it: its folder goes when the next one is prepared, not before.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from agent_kpis.build import DATABASE, work_folder
from agent_kpis.errors import CannotRunError
from agent_kpis.history import write_table

REPORT = "report.html"
CHECKS = Path("checks", "checks.duckdb")
MARTS = "marts"
SERVED = ".served"
CURRENT = "current"


def publish(private: Path, out: Path) -> list[Path]:
    """Serve the private database: the database, its marts as parquet, and the report.

    Returns the paths in `out` under which readers find them. Raises CannotRunError where `out`
    cannot be written; what was served before is then untouched.
    """
    version = prepare(private, out)
    add_report(version, out)
    return serve(version, out)


def prepare(private: Path, out: Path) -> Path:
    """Write a version beside the served one: the database and its marts. Returns its folder."""
    versions = out / SERVED
    with writing(out):
        versions.mkdir(parents=True, exist_ok=True)
        remove_others(versions)
        version = versions / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        version.mkdir()
    with writing(out, version):
        shutil.copyfile(private, version / DATABASE)
        (version / MARTS).mkdir()
        with duckdb.connect(str(version / DATABASE)) as con:
            # Views over landing files would point at files that readers may not have.
            con.execute("drop schema if exists staging cascade")
            add_checks(con, out)
            con.execute("checkpoint")
            for name in marts_of(con):
                path = str(version / MARTS / f"{name}.parquet").replace("'", "''")
                con.execute(f"copy marts.{name} to '{path}' (format parquet)")
    return version


def add_report(version: Path, out: Path, progress: Callable[[str], None] | None = None) -> None:
    """Write the report of a version beside its database."""
    from agent_kpis.report import write_report

    with writing(out, version):
        write_report(version / DATABASE, version / REPORT, progress)


def add_checks(con: duckdb.DuckDBPyConnection, out: Path) -> None:
    """The schema `checks`: what the checks of this run found, and the runs before it."""
    con.execute("drop schema if exists checks cascade")
    con.execute("create schema checks")
    write_table(con, "checks.runs", out)
    results = out / CHECKS
    if results.is_file():
        path = str(results).replace("'", "''")
        con.execute(f"attach '{path}' as results (read_only)")
        for (name,) in con.execute(
            "select table_name from duckdb_tables() where database_name = 'results'"
        ).fetchall():
            con.execute(f"create table checks.{name} as from results.{name}")
        con.execute("detach results")


def serve(version: Path, out: Path) -> list[Path]:
    """Turn the link `current` to `version`, in one step, and see to the links that lead to it."""
    from agent_kpis.quality import accept_profiles

    with writing(out):
        link(version.parent / CURRENT, Path(version.name))
        for name in served_names(version):
            link(out / name, Path(SERVED) / CURRENT / name)
        accept_profiles(work_folder(out))
    return [out / name for name in served_names(version)]


def served_names(version: Path) -> list[str]:
    return [name for name in (DATABASE, MARTS, REPORT) if (version / name).exists()]


def marts_of(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Names of the published marts, in order."""
    rows = con.execute(
        "select table_name from information_schema.tables "
        "where table_schema = 'marts' order by table_name"
    ).fetchall()
    return [name for (name,) in rows]


def link(path: Path, target: Path) -> None:
    """Make `path` a link to `target` (relative to its folder), in place of whatever is there."""
    if path.is_symlink() and Path(os.readlink(path)) == target:
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    fresh = path.with_name(f".{path.name}.link")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    os.replace(fresh, path)


def remove_others(versions: Path) -> None:
    """Remove what is not served: the version before, and what a killed run left."""
    current = versions / CURRENT
    served = os.readlink(current) if current.is_symlink() else None
    for folder in versions.iterdir():
        if folder.is_dir() and not folder.is_symlink() and folder.name != served:
            shutil.rmtree(folder)


@contextmanager
def writing(out: Path, version: Path | None = None) -> Iterator[None]:
    """Errors of the file system as a message that says what to do; half a version is removed."""
    try:
        yield
    except BaseException as error:
        if version:
            shutil.rmtree(version, ignore_errors=True)
        if isinstance(error, OSError | duckdb.IOException):
            raise CannotRunError(write_problem(out, error)) from error
        raise


def write_problem(out: Path, error: Exception) -> str:
    reasons = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if getattr(error, "errno", None) in reasons or any(
        os.strerror(reason) in str(error) for reason in reasons
    ):
        free = shutil.disk_usage(out).free / 1e6 if out.exists() else 0
        return (
            f"The disk of {out} is full ({free:.0f} MB free): publishing needs room for a second "
            "copy of the database. Make room, then run `kpi publish` or `kpi run` again."
        )
    if isinstance(error, PermissionError):
        return f"{error.filename or out} may not be written by this user; name another --out."
    return f"{out} cannot be written: {str(error).splitlines()[0]}"
