"""Exposures name what their readers read: no more, no less."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import REPOSITORY
from warehouse import Build

FILE = REPOSITORY / "models" / "exposures.yml"
EXPOSURES = {
    exposure["name"]: exposure
    for exposure in yaml.safe_load(FILE.read_text(encoding="utf-8"))["exposures"]
}
SCHEMAS = "input|intermediate|facts|marts|config"
RELATION = re.compile(rf"\b(?:from|join)\s+({SCHEMAS})\.(\w+)")
REF = re.compile(r"ref\('(\w+)'\)")
# A name put together at run time would escape the search.
UNNAMED = re.compile(r"\b(?:intermediate|facts|marts)\.\{")


def sources(exposure: dict[str, Any]) -> list[Path]:
    """The files that read for it; a folder stands for the Python files in it."""
    found: list[Path] = []
    for name in exposure["config"]["meta"]["reads"]:
        path = REPOSITORY / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return found


def names(story: Build) -> dict[tuple[str, str], str]:
    """Models and seeds by the relation they become."""
    return {
        (node["schema"], node["alias"]): node["name"]
        for node in story.manifest["nodes"].values()
        if node["resource_type"] in ("model", "seed")
    }


@pytest.mark.parametrize("name", EXPOSURES)
def test_an_exposure_depends_on_what_its_files_read(story: Build, name: str) -> None:
    known = names(story)
    read: set[str] = set()
    for file in sources(EXPOSURES[name]):
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".sql":
            read |= set(REF.findall(text))
            continue
        assert not UNNAMED.search(text), f"{file.name}: which relation is read there?"
        read |= {known[relation] for relation in RELATION.findall(text)}
    assert read, "files that read nothing"
    assert set(REF.findall(str(EXPOSURES[name]["depends_on"]).replace('"', "'"))) == read


def test_every_reader_in_the_package_is_in_an_exposure() -> None:
    """Modules with a query of their own."""
    package = REPOSITORY / "python" / "agent_kpis"
    readers = {
        file
        for file in package.rglob("*.py")
        if any(schema == "marts" for schema, _ in RELATION.findall(file.read_text("utf-8")))
    }
    assert len(readers) >= 4
    assert readers <= {file for exposure in EXPOSURES.values() for file in sources(exposure)}


def test_exposures_are_complete(story: Build) -> None:
    built = {exposure["name"]: exposure for exposure in story.manifest["exposures"].values()}
    assert set(built) == set(EXPOSURES)
    for exposure in built.values():
        assert exposure["owner"]["name"]
        assert exposure["maturity"]
        assert exposure["description"]
        assert exposure["label"]
    weekly = set((REPOSITORY / "analyses").glob("weekly_review_*.sql"))
    assert weekly == set(sources(EXPOSURES["weekly_review"]))
