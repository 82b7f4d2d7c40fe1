"""Publishing: one step for readers in other processes, whatever happens to the one who writes."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from agent_kpis.build import DATABASE, check_private
from agent_kpis.errors import CannotRunError
from agent_kpis.history import RunLog
from agent_kpis.publish import CHECKS, CURRENT, MARTS, REPORT, SERVED, link, prepare, serve

# A publisher: each version says its number in the database, in a mart and in the report.
PUBLISHER = """
import sys
from pathlib import Path
from agent_kpis.publish import REPORT, prepare, serve
private, out, number = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
print("begin", flush=True)
version = prepare(private, out)
(version / REPORT).write_text(number)
serve(version, out)
print("served", flush=True)
"""


def private_database(folder: Path, number: int, rows: int = 1000) -> Path:
    """A private database in which every mart says `number`."""
    file = folder / f"private_{number}.duckdb"
    with duckdb.connect(str(file), config={"storage_compatibility_version": "v1.4.0"}) as con:
        for schema in ("staging", "input", "marts"):
            con.execute(f"create schema {schema}")
        con.execute(
            f"create table marts.version as select {number} as number, "
            f"random() as noise from range({rows})"
        )
        con.execute(f"create table marts.other as select {number} as number")
        con.execute("create view staging.landing as select * from marts.version")
        con.execute("create view input.everything as select * from marts.version")
    return file


def publisher(private: Path, out: Path, number: int, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, str(private), str(out), str(number)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def served(out: Path) -> set[int]:
    """The numbers that a reader finds: one, if all belongs together."""
    with duckdb.connect(str(out / DATABASE), read_only=True) as con:
        found = {number for (number,) in con.execute("select number from marts.version").fetchall()}
        found |= set(con.execute("select number from marts.other").fetchone())
    for name in ("version", "other"):
        rows = duckdb.execute(f"select number from '{out / MARTS / name}.parquet'").fetchall()
        found |= {number for (number,) in rows}
    return found | {int((out / REPORT).read_text())}


def put(private: Path, out: Path, number: int) -> None:
    version = prepare(private, out)
    (version / REPORT).write_text(str(number))
    serve(version, out)


def test_everything_changes_at_once_and_the_version_before_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in (1, 2, 3):
        put(private_database(tmp_path, number), out, number)
        assert served(out) == {number}
        if number == 2:
            first_and_second = set((out / SERVED).iterdir())
    assert len(first_and_second) == 3, "two versions and the link"
    assert len(set((out / SERVED).iterdir())) == 3, "a third one takes the place of the first"


def test_the_served_copy_leaves_views_of_landing_files_out(tmp_path: Path) -> None:
    out = tmp_path / "out"
    put(private_database(tmp_path, 1), out, 1)
    with duckdb.connect(str(out / DATABASE), read_only=True) as con:
        schemas = con.execute("select distinct table_schema from information_schema.tables")
        assert {name for (name,) in schemas.fetchall()} == {"marts", "input", "checks"}
        tags = con.execute(
            "select tags from duckdb_databases() where database_name = 'agent_kpis'"
        ).fetchone()[0]
    assert tags["storage_version"].startswith("v1.4")


def test_what_the_checks_found_and_the_runs_before_are_served(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / CHECKS).parent.mkdir(parents=True)
    with duckdb.connect(str(out / CHECKS)) as con:
        con.execute("create table failing_rows as select 'i-1' as row_key")
    for number in (1, 2):
        log = RunLog(out, Path("landing"), Path("seeds"))
        log.begin("publish")
        put(private_database(tmp_path, number), out, number)
        with duckdb.connect(str(out / DATABASE), read_only=True) as con:
            runs = con.execute("select status, rows_read, as_of from checks.runs").fetchall()
            assert con.execute("from checks.failing_rows").fetchall() == [("i-1",)]
        assert runs == [("ok", 7, datetime(2026, 4, 1, 12))] * (number - 1)
        log.end("ok", rows={"events": 7}, rejected={"events": 0}, as_of="2026-04-01T12:00:00")


def test_nothing_is_served_before_it_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    put(private_database(tmp_path, 1), out, 1)
    prepare(private_database(tmp_path, 2), out)
    assert served(out) == {1}
    put(private_database(tmp_path, 3), out, 3)
    assert served(out) == {3}


def test_files_in_the_place_of_the_links_are_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / MARTS).mkdir(parents=True)
    (out / MARTS / "gone.parquet").write_text("of an older layout")
    (out / DATABASE).write_text("of an older layout")
    (out / REPORT).write_text("0")
    put(private_database(tmp_path, 1), out, 1)
    assert served(out) == {1}
    assert not (out / MARTS / "gone.parquet").exists()


def test_a_folder_with_a_quote_in_its_name(tmp_path: Path) -> None:
    out = tmp_path / "the team's"
    put(private_database(tmp_path, 1), out, 1)
    assert (out / MARTS / "version.parquet").is_file()


def test_readers_in_other_processes_never_see_a_fault(tmp_path: Path) -> None:
    """Two readers open the database and the parquet files again and again during 15 swaps."""
    out = tmp_path / "out"
    put(private_database(tmp_path, 0), out, 0)
    reader = """
import sys, time
from pathlib import Path
import duckdb
out, stop = Path(sys.argv[1]), Path(sys.argv[2])
seen = []
while not stop.exists():
    with duckdb.connect(str(out / "agent_kpis.duckdb"), read_only=True) as con:
        before = con.execute("select min(number), max(number) from marts.version").fetchone()
        time.sleep(0.01)
        after = con.execute("select min(number), max(number) from input.everything").fetchone()
    assert before == after and before[0] == before[1], (before, after)
    rows = duckdb.execute(f"select distinct number from '{out}/marts/version.parquet'").fetchall()
    assert len(rows) == 1, rows
    assert before[0] >= max(seen, default=0), "never back to an older version"
    seen.append(before[0])
print(len(seen), len(set(seen)))
"""
    stop = tmp_path / "stop"
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", reader, str(out), str(stop)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for number in range(1, 16):
        put(private_database(tmp_path, number, rows=50_000), out, number)
        time.sleep(0.05)
    stop.touch()
    for process in readers:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        looks, versions = map(int, output.split())
        assert looks > versions > 1, "it looked during the swaps"


def test_the_link_is_never_missing(tmp_path: Path) -> None:
    """Another process asks for it all the time while it is turned three thousand times."""
    path, stop = tmp_path / CURRENT, tmp_path / "stop"
    link(path, Path("0"))
    looker = (
        "import os, sys\n"
        "looks = missing = 0\n"
        "while not os.path.lexists(sys.argv[2]):\n"
        "    for _ in range(100):\n"
        "        looks += 1\n"
        "        missing += not os.path.lexists(sys.argv[1])\n"
        "    if looks == 100: print('looking', flush=True)\n"
        "print(looks, missing)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", looker, str(path), str(stop)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().strip() == "looking"
    for number in range(3000):
        link(path, Path(str(number % 2)))
    stop.touch()
    looks, missing = map(int, process.communicate(timeout=60)[0].split())
    assert looks > 1000
    assert missing == 0


def test_a_reader_keeps_the_version_it_opened(tmp_path: Path) -> None:
    out = tmp_path / "out"
    put(private_database(tmp_path, 1), out, 1)
    reader = (
        "import duckdb, sys; con = duckdb.connect(sys.argv[1], read_only=True); "
        "print(con.execute('select max(number) from marts.version').fetchone()[0], flush=True); "
        "sys.stdin.readline(); "
        "print(con.execute('select max(number) from marts.version').fetchone()[0], flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", reader, str(out / DATABASE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().strip() == "1"
    for number in (2, 3):
        put(private_database(tmp_path, number), out, number)
    rest, _ = process.communicate("\n", timeout=60)
    assert rest.strip() == "1"
    assert served(out) == {3}


@pytest.mark.parametrize("seed", range(12))
def test_a_publisher_killed_at_any_moment_breaks_nothing(tmp_path: Path, seed: int) -> None:
    out = tmp_path / "out"
    put(private_database(tmp_path, 1), out, 1)
    private = private_database(tmp_path, 2, rows=400_000)
    process = publisher(private, out, 2)
    assert process.stdout.readline().strip() == "begin"
    time.sleep(random.Random(seed).uniform(0, 0.12))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(served(out)) == 1, "one version, old or new"
    put(private_database(tmp_path, 3), out, 3)
    assert served(out) == {3}
    assert len(list((out / SERVED).iterdir())) <= 3, "what the killed one left has gone"


def small_files_only(limit: int) -> None:
    """No file of this process may grow beyond `limit` bytes: what a full disk does to a writer."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


@pytest.mark.parametrize("full_at", ["database", "marts"])
def test_a_full_disk_leaves_what_is_served(tmp_path: Path, full_at: str) -> None:
    out = tmp_path / "out"
    put(private_database(tmp_path, 1), out, 1)
    private = private_database(tmp_path, 2, rows=400_000)
    size = private.stat().st_size
    limit = size // 2 if full_at == "database" else size + 8192
    process = publisher(private, out, 2, preexec_fn=lambda: small_files_only(limit))
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert f"The disk of {out} is full" in errors
    assert "Make room" in errors
    assert served(out) == {1}
    assert len(list((out / SERVED).iterdir())) == 2, "the half-written version is removed"
    put(private, out, 2)
    assert served(out) == {2}


def test_a_folder_that_may_not_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "out"))

    monkeypatch.setattr(shutil, "copyfile", refuse)
    with pytest.raises(CannotRunError, match="out may not be written by this user"):
        prepare(private_database(tmp_path, 1), tmp_path / "out")


def test_the_private_database_open_elsewhere_is_said(tmp_path: Path) -> None:
    file = private_database(tmp_path, 1)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('open', flush=True); "
            "sys.stdin.readline()",
            str(file),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline().strip() == "open"
    with pytest.raises(CannotRunError, match=rf"open in another program: .+PID {holder.pid}"):
        check_private(file)
    holder.communicate("\n", timeout=30)
    assert check_private(file) == []


def test_a_damaged_private_database_is_moved_aside(tmp_path: Path) -> None:
    file = private_database(tmp_path, 1)
    file.write_bytes(os.urandom(5000))
    notes = check_private(file)
    assert len(notes) == 1
    assert "was damaged" in notes[0]
    assert not file.exists()
    assert (tmp_path / "private_1.damaged.duckdb").exists()
    assert check_private(file) == []


def test_links_are_relative_so_that_the_folder_can_move(tmp_path: Path) -> None:
    out = tmp_path / "out"
    put(private_database(tmp_path, 1), out, 1)
    moved = tmp_path / "elsewhere"
    out.rename(moved)
    assert served(moved) == {1}
    assert (moved / SERVED / CURRENT).is_symlink()
