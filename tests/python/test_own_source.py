"""A source system of one's own: staging models, named in the project's variables."""

from __future__ import annotations

from pathlib import Path

from warehouse import dbt

COLUMNS = {
    "interactions": """
        select 'D-1' as interaction_id, timestamp '2026-03-02 10:00:00' as opened_at,
            'ai' as assigned_arm, 'order_status' as task_type, 'email' as channel,
            cast(null as varchar) as assignment_kind, cast(null as varchar) as customer_id,
            cast(null as varchar) as tier, cast(null as varchar) as parent_interaction_id,
            'atlas' as agent_name, cast(null as varchar) as agent_version,
            false as is_spam, false as is_test, 'desk' as source_system
    """,
    "events": """
        select 'D-1-1' as event_id, 'D-1' as interaction_id,
            timestamp '2026-03-02 11:00:00' as occurred_at, 'resolved' as event_type,
            'ai' as actor_kind, cast(null as varchar) as actor_id, cast(null as varchar) as reason,
            cast(null as varchar) as question_key, 'confirmed' as evidence,
            cast(null as double) as handle_seconds
    """,
}
BESIDE = (
    "cast(null as varchar) as unparsable_columns, '{}' as raw_row, "
    "cast(1 as bigint) as source_row_number"
)


def test_a_source_without_files(project: Path, tmp_path: Path) -> None:
    folder = project / "models" / "staging" / "desk"
    folder.mkdir()
    for entity, columns in COLUMNS.items():
        model = f"select raw.*, {BESIDE} from ({columns}) as raw"
        (folder / f"stg_desk__{entity}.sql").write_text(model)
    settings = project / "dbt_project.yml"
    text = settings.read_text()
    own = "    desk: [interactions, events]\n    files: [surveys, spans, releases]\n"
    start = text.index("    files: [")
    settings.write_text(text[:start] + own + text[text.index("\n", start) + 1 :])
    (tmp_path / "data").mkdir()
    build = dbt(
        tmp_path / "build", "build", data=tmp_path / "data", project=project, as_of="2026-03-20"
    )
    assert build.returncode == 0, build.output
    found = build.row("select outcome, completion_evidence from facts.fct_interactions")
    assert found == ("completed", "confirmed")
    assert build.value("select count(*) from facts.fct_costs") == 0
