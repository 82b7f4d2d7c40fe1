"""What the tests of the report share: changed copies of a database, and the page as read."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb

VOID = {"meta", "link", "br", "path", "use", "img", "input", "hr"}
LONG = "x" * 180
AGENT = '</script><script>alert("agent")</script>'
# By column: what the tables that have it hold in front of their own value.
HOSTILE = {
    "task_type": "<img src=x onerror=alert('task')>",
    "segment": f"{LONG}\"'<img src=x onerror=alert('segment')>",
    "agent_version": "'\"><svg onload=alert('version')>\u202e",
    "summary": "<!--<script>\u2028\u2029]]>{{ 7 * 7 }}${alert(1)}&amp;</style>",
    "next_change_summary": "</details></main><script>alert('review')</script>",
    "owner": "<b onmouseover=alert('owner')>",
    "label": "<i>\u2028</i>",
    "trait": "<iframe src=javascript:alert('trait')>",
    "reason": "<script>alert('reason')</script>",
    "detail": "<script>alert('detail')</script>",
}


def tables(con: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Columns of the tables that the report reads, by name with schema."""
    found: dict[str, list[str]] = {}
    for schema, table, column in con.execute(
        "select c.table_schema, c.table_name, c.column_name "
        "from information_schema.columns as c "
        "inner join information_schema.tables as t "
        "on c.table_schema = t.table_schema and c.table_name = t.table_name "
        "where t.table_type = 'BASE TABLE' "
        "and (t.table_schema in ('marts', 'config') or t.table_name in "
        "('dim_agent_versions', 'int_kpi_segments', 'int_indicator_days')) "
        "order by all"
    ).fetchall():
        found.setdefault(f"{schema}.{table}", []).append(column)
    return found


def changed(database: Path, copy: Path, *statements: str) -> Path:
    """A copy of a served database after some statements."""
    shutil.copy(database, copy)
    with duckdb.connect(str(copy)) as con:
        for statement in statements:
            con.execute(statement)
    return copy


def hostile(database: Path, copy: Path) -> Path:
    """A copy whose names are markup, scripts, quotes and line separators."""
    changed(database, copy)
    with duckdb.connect(str(copy)) as con:
        for table, columns in tables(con).items():
            if "agent_name" in columns:
                con.execute(f"update {table} set agent_name = ?", [AGENT])
            for column, text in HOSTILE.items():
                if column in columns:
                    con.execute(f"update {table} set {column} = ? || {column}", [text])
        # Segments have to be those of all requests again.
        for table, columns in tables(con).items():
            if "segment" in columns and "segment_type" in columns:
                con.execute(f"update {table} set segment = 'all' where segment_type = 'all'")
    return copy


def several(database: Path, copy: Path, n: int) -> Path:
    """A copy with n agents that lived the same story."""
    changed(database, copy)
    with duckdb.connect(str(copy)) as con:
        for table, columns in tables(con).items():
            if "agent_name" not in columns:
                continue
            keys = "".join(
                f", {key} || '-' || i as {key}" for key in ("episode_id",) if key in columns
            )
            con.execute(
                f"insert into {table} select t.* replace (agent_name || '-' || i as agent_name"
                f"{keys}) from {table} as t, range(2, {n + 1}) as r(i) "
                "where agent_name is distinct from '(none)'"
            )
    return copy


def people_alone(database: Path, copy: Path) -> Path:
    """A copy from before any agent: people's requests, and no scope."""
    changed(database, copy)
    with duckdb.connect(str(copy)) as con:
        for table, columns in tables(con).items():
            if "agent_name" not in columns:
                continue
            if "arm" in columns:
                con.execute(f"delete from {table} where arm = 'ai' or agent_name = '(none)'")
                con.execute(f"update {table} set agent_name = '(none)'")
            else:
                con.execute(f"delete from {table}")
    return copy


def emptied(database: Path, copy: Path) -> Path:
    """A copy of which no mart of an agent has a row."""
    changed(database, copy)
    with duckdb.connect(str(copy)) as con:
        for table, columns in tables(con).items():
            if "agent_name" in columns:
                con.execute(f"delete from {table}")
    return copy


@dataclass
class Element:
    """A node of the page, with its text and children in order."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None = field(default=None, repr=False)
    parts: list[Element | str] = field(default_factory=list, repr=False)

    def all(self, tag: str | None = None, **attributes: str) -> Iterator[Element]:
        """Descendants of a tag with these attributes (class: one of its classes)."""
        for part in self.parts:
            if isinstance(part, str):
                continue
            if tag in (None, part.tag) and all(
                value in part.attributes.get(name.rstrip("_"), "").split()
                if name == "class_"
                else part.attributes.get(name.rstrip("_")) == value
                for name, value in attributes.items()
            ):
                yield part
            yield from part.all(tag, **attributes)

    def one(self, tag: str | None = None, **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found

    @property
    def text(self) -> str:
        """As a reader sees it: one space for any white space."""
        return " ".join(self.raw.split())

    @property
    def raw(self) -> str:
        return "".join(
            part if isinstance(part, str) else part.raw
            for part in self.parts
            if isinstance(part, str) or part.tag not in ("script", "style")
        )

    def table(self) -> list[list[str]]:
        """Rows of cells, the header first."""
        return [
            [cell.text for cell in row.parts if isinstance(cell, Element)] for row in self.all("tr")
        ]


class Page(HTMLParser):
    """The report, read back."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.root = Element("root", {})
        self._open = self.root
        self.unclosed = Counter[str]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self._open)
        self._open.parts.append(element)
        if tag not in VOID:
            self._open = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != self._open.tag:
            self.unclosed[f"{self._open.tag} closed by {tag}"] += 1
            return
        self._open = self._open.parent

    def handle_data(self, data: str) -> None:
        self._open.parts.append(data)

    @cached_property
    def charts(self) -> dict[str, dict[str, Any]]:
        """Specifications by id."""
        script = self.root.one("script", id="charts")
        return json.loads("".join(part for part in script.parts if isinstance(part, str)))["charts"]

    def values(self, chart: str) -> list[dict[str, Any]]:
        """The rows of a chart's main data."""
        spec = self.charts[chart]
        main = spec if "data" in spec else spec["layer"][0]
        return spec["datasets"][main["data"]["name"]]

    def figure(self, chart: str) -> Element:
        """The figure that a chart is in."""
        element = self.root.one("div", id=chart)
        while element.tag != "figure":
            element = element.parent
        return element
