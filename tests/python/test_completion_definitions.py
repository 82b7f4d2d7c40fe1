"""A team's own completion definition: a macro, named in the configuration."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from support import readme_blocks
from warehouse import dbt, write_config, write_landing

OPENED = datetime(2026, 3, 2, 10)
(MACRO,) = readme_blocks("sql")


def task_types(definition: str) -> dict[str, list[dict]]:
    row = {
        "task_type": "support",
        "definition": definition,
        "resolve_within_hours": 72,
        "reopen_window_hours": 24,
        "reopen_rule": "any",
        "threshold_profile": "default",
        "owner": "team",
        "effective_from": datetime(2026, 1, 1),
    }
    return {"task_types": [row], "agent_scopes": []}


def landing(folder: Path) -> Path:
    def interaction(key: str) -> dict:
        return {
            "interaction_id": key,
            "opened_at": OPENED,
            "assigned_arm": "ai",
            "task_type": "support",
            "channel": "email",
        }

    def resolved(key: str, evidence: str) -> dict:
        return {
            "event_id": f"{key}-done",
            "interaction_id": key,
            "occurred_at": OPENED + timedelta(hours=1),
            "event_type": "resolved",
            "actor_kind": "ai",
            "evidence": evidence,
        }

    late = {**interaction("late"), "opened_at": OPENED + timedelta(days=6)}
    return write_landing(
        folder,
        {
            "interactions": [interaction("checked"), interaction("believed"), late],
            "events": [resolved("checked", "verified"), resolved("believed", "assumed")],
        },
    )


def test_a_macro_named_in_the_configuration_is_used(project: Path, tmp_path: Path) -> None:
    (project / "macros" / "completion" / "verified_only.sql").write_text(MACRO)
    write_config(project / "seeds", task_types("verified_only"))
    build = dbt(tmp_path / "build", "build", data=landing(tmp_path / "data"), project=project)
    assert build.returncode == 0, build.output
    outcomes = dict(build.rows("select interaction_id, outcome from facts.fct_interactions"))
    assert outcomes == {"checked": "completed", "believed": "abandoned", "late": "pending"}
    definition = build.rows(
        "select distinct completion_definition, length(definition_hash) from facts.fct_interactions"
    )
    assert definition == [("verified_only", 32)]


def test_the_hash_changes_with_the_macro(project: Path, tmp_path: Path) -> None:
    macro = project / "macros" / "completion" / "verified_only.sql"
    write_config(project / "seeds", task_types("verified_only"))
    data = landing(tmp_path / "data")
    hashes = []
    for text in (MACRO, MACRO.replace("= 3", ">= 2")):
        macro.write_text(text)
        arguments = ["build", "--select", "+dim_task_types", "--exclude-resource-type", "test"]
        build = dbt(tmp_path / f"build{len(hashes)}", *arguments, data=data, project=project)
        assert build.returncode == 0, build.output
        hashes.append(build.value("select definition_hash from facts.dim_task_types"))
    assert hashes[0] != hashes[1]


def test_a_name_without_a_macro_stops_the_build(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config", task_types("wished_for"))
    build = dbt(tmp_path / "build", "build", data=landing(tmp_path / "data"), config=config)
    assert build.returncode == 1
    assert "task type 'support' names the completion definition 'wished_for'" in build.output
    assert "there is no macro completed_wished_for" in build.output
    assert build.results["fct_interactions"] == "skipped"
