"""SQLAlchemy and ADBC, which BI tools build on, read every mart across a build and a swap."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import duckdb
import pytest

from agent_kpis.build import DATABASE, DBT
from agent_kpis.publish import publish
from support import REPOSITORY
from warehouse import Build

# A client keeps one connection while the file is swapped, then opens another. Its `read` gives the
# rows of a query and the type of each column.
CLIENT = """
import json, sys, time
from pathlib import Path
{imports}
served, swapped = sys.argv[1], Path(sys.argv[2])
{client}
def version(connection):
    return str(read(connection, "select as_of from intermediate.int_as_of")[0][0][0])

def every_mart(connection):
    names = "select table_name from information_schema.tables where table_schema = 'marts'"
    found = {{}}
    for (name,) in read(connection, names)[0]:
        (((count,),), _) = read(connection, f"select count(*) from marts.{{name}}")
        rows, types = read(connection, f"select * from marts.{{name}} limit 5")
        found[name] = {{"count": count, "rows": len(rows), "types": types}}
    return found

connection = connect()
before = {{"version": version(connection), "marts": every_mart(connection)}}
print("ready", flush=True)
rounds, is_last = 0, False
while not is_last:
    is_last = swapped.exists()
    assert every_mart(connection) == before["marts"], "what an open connection reads has changed"
    rounds += 1
held = version(connection)
close(connection)
connection = connect()
after = {{"version": version(connection), "marts": every_mart(connection)}}
print(json.dumps({{"before": before, "held": held, "after": after, "rounds": rounds}}), flush=True)
"""
SQLALCHEMY = {
    "imports": "import sqlalchemy",
    "client": """
def connect():
    url = f"duckdb:///{served}?access_mode=read_only"
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool).connect()

def close(connection):
    connection.close()

def read(connection, sql):
    cursor = connection.execute(sqlalchemy.text(sql))
    rows = [tuple(row) for row in cursor.fetchall()]
    columns = zip(cursor.keys(), zip(*rows)) if rows else ()
    return rows, {
        name: {type(value).__name__ for value in values if value is not None}.pop()
        for name, values in columns
        if any(value is not None for value in values)
    }
""",
}
ADBC = {
    "imports": "import adbc_driver_duckdb, adbc_driver_manager.dbapi, duckdb",
    "client": """
def connect():
    return adbc_driver_manager.dbapi.connect(
        driver=adbc_driver_duckdb.driver_path(),
        entrypoint="duckdb_adbc_init",
        db_kwargs={"path": served, "access_mode": "READ_ONLY"},
        autocommit=True,
    )

def close(connection):
    connection.close()

def read(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        table = duckdb.from_arrow(cursor.fetch_arrow())
        return table.fetchall(), dict(zip(table.columns, map(str, table.types)))
""",
}
CLIENTS = {"sqlalchemy": SQLALCHEMY, "adbc": ADBC}
PYTHON_TYPES = {
    "BIGINT": "int",
    "BOOLEAN": "bool",
    "DATE": "date",
    "DECIMAL": "Decimal",
    "DOUBLE": "float",
    "INTEGER": "int",
    "TIMESTAMP": "datetime",
    "VARCHAR": "str",
}


@pytest.fixture(scope="module")
def out(story: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A served database with its private one beside it, as a run leaves them."""
    folder = tmp_path_factory.mktemp("clients") / "out"
    (folder / ".work").mkdir(parents=True)
    shutil.copy(story.database, folder / ".work")
    publish(folder / ".work" / DATABASE, folder)
    return folder


@pytest.fixture(scope="module")
def seen(
    story_folder: Path, out: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What each client read before, during and after a build as of an earlier day, and a swap."""
    folder = tmp_path_factory.mktemp("during")
    swapped = folder / "swapped"
    processes = {}
    for name, parts in CLIENTS.items():
        script = folder / f"client_{name}.py"
        script.write_text(textwrap.dedent(CLIENT).format(**parts), encoding="utf-8")
        processes[name] = subprocess.Popen(
            [sys.executable, "-W", "ignore", script, out / DATABASE, swapped],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        for name, process in processes.items():
            assert process.stdout.readline() == "ready\n", f"{name}: {process.communicate()[1]}"
        private = out / ".work" / DATABASE
        environment = os.environ | {
            "AGENT_KPIS_DATA": str(story_folder),
            "AGENT_KPIS_AS_OF": "2026-06-01",
            "AGENT_KPIS_DATABASE": str(private),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
        }
        built = subprocess.run(
            [sys.executable, "-c", DBT, "run", "--select", "int_as_of", "kpi_daily", "dim_kpis"],
            capture_output=True,
            text=True,
            env=environment | {"DBT_PROFILES_DIR": str(REPOSITORY)},
            cwd=REPOSITORY,
            check=False,
        )
        assert built.returncode == 0, built.stdout
        code = "import pathlib, sys; from agent_kpis.publish import publish; "
        code += "publish(*map(pathlib.Path, sys.argv[1:]))"
        held = (out / DATABASE).stat().st_ino
        subprocess.run([sys.executable, "-c", code, private, out], check=True)
        # Clients cache what they have read, so they may not notice that their file was overwritten.
        assert (out / DATABASE).stat().st_ino != held, "the served file is replaced, not written to"
        swapped.touch()
        found = {}
        for name, process in processes.items():
            printed, errors = process.communicate(timeout=120)
            assert process.returncode == 0, f"{name}: {errors}"
            found[name] = json.loads(printed)
        return found
    finally:
        for process in processes.values():
            process.kill()


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_reads_every_mart_across_a_build_and_a_swap(
    story: Build, seen: dict[str, dict[str, Any]], name: str
) -> None:
    counts = {
        mart: story.value(f"select count(*) from marts.{mart}")
        for (mart,) in story.rows(
            "select table_name from information_schema.tables where table_schema = 'marts'"
        )
    }
    assert len(counts) >= 26
    client = seen[name]
    assert {mart: found["count"] for mart, found in client["before"]["marts"].items()} == counts
    for mart, found in client["before"]["marts"].items():
        assert found["rows"] == min(5, counts[mart])
    assert client["rounds"] >= 2, "it read while the build ran, and after the swap"


@pytest.mark.parametrize("name", CLIENTS)
def test_an_open_connection_keeps_its_version_and_a_fresh_one_sees_the_new(
    story: Build, seen: dict[str, dict[str, Any]], name: str
) -> None:
    client = seen[name]
    assert client["before"]["version"] == client["held"]
    assert client["held"] == str(story.value("select as_of from intermediate.int_as_of"))
    assert client["after"]["version"] == "2026-06-01 00:00:00"
    assert set(client["after"]["marts"]) == set(client["before"]["marts"])


def columns_of(story: Build) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for mart, column, kind in story.rows(
        "select table_name, column_name, data_type from information_schema.columns "
        "where table_schema = 'marts' order by table_name, ordinal_position"
    ):
        found.setdefault(mart, {})[column] = kind
    kinds = {kind for columns in found.values() for kind in columns.values()}
    assert {"DECIMAL(28,10)", "DATE", "TIMESTAMP", "BOOLEAN"} <= kinds
    return found


def test_types_survive_adbc(story: Build, seen: dict[str, dict[str, Any]]) -> None:
    marts = seen["adbc"]["before"]["marts"]
    assert {mart: found["types"] for mart, found in marts.items()} == columns_of(story)


def test_types_survive_sqlalchemy(story: Build, seen: dict[str, dict[str, Any]]) -> None:
    marts = seen["sqlalchemy"]["before"]["marts"]
    wanted = columns_of(story)
    met = set()
    for mart, found in marts.items():
        for column, kind in found["types"].items():
            sql_type = wanted[mart][column].partition("(")[0]
            assert kind == PYTHON_TYPES[sql_type], f"{mart}.{column}"
            met.add(sql_type)
    assert {"DECIMAL", "DATE", "TIMESTAMP", "BOOLEAN"} <= met


def test_types_survive_parquet(story: Build, out: Path) -> None:
    for mart, columns in columns_of(story).items():
        described = duckdb.execute(
            f"describe select * from '{out / 'marts' / mart}.parquet'"
        ).fetchall()
        assert {row[0]: row[1] for row in described} == columns, mart
