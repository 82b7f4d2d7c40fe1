"""The project's own macros for reading landing files, called without dbt.

What a landing file is, how its cells are read and when one does not parse stands in
`macros/engines/`. The checks before a build have to agree with it to the letter, and importing dbt
takes seconds: so the same macros run here, in plain Jinja.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import duckdb
from jinja2 import Environment

from agent_kpis.contract import project_dir
from agent_kpis.errors import CannotRunError

FILES = ("landing.sql", "types.sql")
MACRO = re.compile(r"\{%-? macro (\w+)\(.*?\{%-? endmacro -?%\}", re.DOTALL)


class _ReturnedValue(Exception):  # noqa: N818 - control flow, as dbt does it
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def macros(connection: duckdb.DuckDBPyConnection, data: Path) -> SimpleNamespace:
    """The macros of macros/engines by name, over the landing files in `data`.

    One that stops the build raises CannotRunError with the same message.
    """
    environment = Environment(extensions=["jinja2.ext.do"])

    def give_back(value: Any) -> NoReturn:
        raise _ReturnedValue(value)

    def stop(message: str) -> NoReturn:
        raise CannotRunError(message)

    def run_query(sql: str) -> SimpleNamespace:
        return SimpleNamespace(rows=connection.execute(sql).fetchall())

    def callable_from(name: str, source: str) -> Callable[..., Any]:
        template = environment.from_string(source)

        def call(*arguments: Any) -> Any:
            try:
                return str(getattr(template.module, name)(*arguments)).strip()
            except _ReturnedValue as returned:
                return returned.value

        return call

    environment.globals |= {
        "return": give_back,
        "exceptions": SimpleNamespace(raise_compiler_error=stop),
        "modules": SimpleNamespace(re=re),
        "run_query": run_query,
        "landing_dir": lambda: str(data),
    }
    found = {name: callable_from(name, source) for name, source in _sources(project_dir())}
    environment.globals |= found
    return SimpleNamespace(**found)


@lru_cache(maxsize=4)
def _sources(project: Path) -> tuple[tuple[str, str], ...]:
    """Name and text of each macro: one template each, so that they find each other by name."""
    return tuple(
        (match[1], match[0])
        for file in FILES
        for match in MACRO.finditer((project / "macros" / "engines" / file).read_text("utf-8"))
    )
