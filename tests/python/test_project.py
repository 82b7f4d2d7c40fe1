"""The project keeps its own rules: layers, contracts, descriptions, dialects."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from agent_kpis.contract import entities
from support import REPOSITORY
from warehouse import Build

LAYERS = ["seed", "staging", "input", "facts", "marts"]
# Configuration may be read anywhere; a layer reads itself and the one above it.
MAY_READ = {
    "staging": {"staging"},
    "input": {"staging", "input", "seed"},
    "facts": {"input", "facts", "seed"},
    "marts": {"facts", "marts", "seed"},
}


@pytest.fixture(scope="session")
def models(story: Build) -> dict[str, dict[str, Any]]:
    return {
        key: node
        for key, node in story.manifest["nodes"].items()
        if node["resource_type"] == "model"
    }


def layer(node: dict[str, Any]) -> str:
    return "seed" if node["resource_type"] == "seed" else node["fqn"][1]


def test_arrows_only_point_down(story: Build, models: dict[str, dict[str, Any]]) -> None:
    nodes = story.manifest["nodes"]
    wrong = [
        (node["name"], nodes[parent]["name"])
        for node in models.values()
        for parent in node["depends_on"]["nodes"]
        if layer(nodes[parent]) not in MAY_READ[layer(node)]
    ]
    assert wrong == []


def test_no_health_metric_stands_above_an_outcome(story: Build) -> None:
    parents = story.manifest["parent_map"]

    def ancestors(key: str) -> set[str]:
        found: set[str] = set()
        for parent in parents.get(key, []):
            found |= {parent} | ancestors(parent)
        return found

    above = ancestors("model.agent_kpis.fct_interactions")
    assert "model.agent_kpis.int_interaction_timeline" in above
    assert "model.agent_kpis.agent_health" not in above
    assert not [key for key in above if "evaluations" in key]


def test_what_others_query_has_an_enforced_contract(models: dict[str, dict[str, Any]]) -> None:
    public = [
        node
        for node in models.values()
        if layer(node) in ("input", "facts", "marts") and not node["name"].startswith("int_")
    ]
    assert len(public) >= 20
    assert [node["name"] for node in public if not node["config"]["contract"]["enforced"]] == []


def test_everything_is_described(models: dict[str, dict[str, Any]]) -> None:
    assert [node["name"] for node in models.values() if not node["description"]] == []
    bare = [
        (node["name"], column["name"])
        for node in models.values()
        for column in node["columns"].values()
        if not column["description"]
    ]
    assert bare == []


def test_every_model_has_its_yaml_beside_it() -> None:
    models = [*(REPOSITORY / "models").rglob("*.sql"), *(REPOSITORY / "models").rglob("*.py")]
    assert [model.name for model in models if not model.with_suffix(".yml").is_file()] == []
    for model in models:
        documents = yaml.safe_load(model.with_suffix(".yml").read_text())["models"]
        assert [document["name"] for document in documents] == [model.stem]


def test_dialects_live_in_the_engines_folder() -> None:
    dialect = re.compile(r"target\.(type|name)|adapter\.dispatch|\bduckdb\b", re.IGNORECASE)
    found = [
        str(file.relative_to(REPOSITORY))
        for folder in ("models", "macros", "tests")
        for file in (REPOSITORY / folder).rglob("*.sql")
        if dialect.search(file.read_text()) and "engines" not in file.parts
    ]
    assert found == []


def test_personal_text_is_not_in_the_contract() -> None:
    names = {column.name for entity in entities().values() for column in entity.columns}
    assert not [name for name in names if re.search(r"body|email|phone|subject|full_name", name)]


def test_every_metric_has_a_role_and_deflection_only_explains(story: Build) -> None:
    roles = dict(story.rows("select kpi, role from marts.dim_kpis"))
    assert set(roles.values()) == {"primary", "kpi", "context", "health", "leading"}
    assert roles["deflection_rate"] == "context"
    assert [kpi for kpi, role in roles.items() if role == "primary"] == ["task_completion_rate"]
    assert {kpi for kpi, role in roles.items() if role in ("primary", "kpi")} == {
        "task_completion_rate",
        "escalation_rate",
        "time_to_resolution",
        "cost_per_successful_outcome",
        "csat",
    }


def test_the_manifest_has_no_secret_dialect_of_time(story: Build) -> None:
    """Models never look at the clock; only the screening of future times does."""
    clocks = [
        node["name"]
        for node in story.manifest["nodes"].values()
        if node["resource_type"] == "model"
        and re.search(r"current_timestamp|now\(\)|current_date", node.get("compiled_code") or "")
    ]
    assert sorted(clocks) == sorted(f"int_{entity}_screened" for entity in entities())
