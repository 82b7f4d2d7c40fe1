"""Zendesk as Fivetran lands it: tables in the warehouse, through the adapter and the models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import yaml

from support import shared_data
from warehouse import Build, dbt

AI, PERSON, OTHER_PERSON, CUSTOMER, SYSTEM = 900, 500, 501, 700, -1
# The models' own unit tests are not about this data.
BUILD = ("build", "--exclude-resource-type", "unit_test")
OPENED = datetime(2026, 3, 2, 10)
# As a loader may land them: ids as numbers, decimals or text, times as text.
TYPES = {
    "ticket": "id bigint, created_at timestamp, updated_at varchar, status varchar, assignee_id "
    "double, requester_id bigint, via_channel varchar, custom_topic varchar, "
    "via_followup_source_id varchar, subject varchar, _fivetran_deleted boolean, "
    "_fivetran_synced timestamp",
    "ticket_field_history": "ticket_id bigint, field_name varchar, updated timestamptz, value "
    "varchar, user_id decimal(38, 0), _fivetran_synced timestamp",
    "ticket_comment": "id bigint, ticket_id bigint, created timestamp, public boolean, user_id "
    "bigint, body varchar, _fivetran_deleted boolean, _fivetran_synced timestamp",
    "ticket_tag": "ticket_id varchar, tag varchar, _fivetran_synced timestamp",
    "user": "id bigint, role varchar",
}


@dataclass
class Desk:
    """A small Zendesk."""

    rows: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {table: [] for table in TYPES}
    )

    def ticket(self, number: int, *tags: str, first: int | None = AI, **columns: Any) -> None:
        """A ticket that is given to `first` at its opening, a second after it."""
        opened = columns.pop("created_at", OPENED)
        row = {
            "id": number,
            "created_at": opened,
            "updated_at": opened.isoformat(sep=" "),
            "status": "solved",
            "assignee_id": first,
            "requester_id": CUSTOMER,
            "via_channel": "email",
            "custom_topic": "order_status",
            "subject": "a private matter",
            "_fivetran_deleted": False,
            "_fivetran_synced": opened,
        }
        self.rows["ticket"].append(row | columns)
        for tag in tags:
            self.rows["ticket_tag"].append({"ticket_id": f"{number}", "tag": tag})
        if first:
            self.change(number, timedelta(seconds=1), "assignee_id", first, SYSTEM)

    def change(
        self, number: int, after: timedelta, name: str, value: Any, user: int | None
    ) -> None:
        row = {"ticket_id": number, "field_name": name, "value": value, "user_id": user}
        at = OPENED + after
        synced = datetime(2026, 3, 20)
        self.rows["ticket_field_history"].append(
            row | {"updated": f"{at}+00", "_fivetran_synced": synced}
        )

    def status(self, number: int, *steps: tuple[float, str, int | None]) -> None:
        """(hours after the opening, status, user) each."""
        for hours, value, user in steps:
            self.change(number, timedelta(hours=hours), "status", value, user)

    def assign(self, number: int, *steps: tuple[float, int | None, int | None]) -> None:
        for hours, value, user in steps:
            self.change(number, timedelta(hours=hours), "assignee_id", value, user)

    def comment(self, number: int, hours: float, user: int, public: bool = True) -> None:
        self.rows["ticket_comment"].append(
            {
                "id": 10_000 + len(self.rows["ticket_comment"]),
                "ticket_id": number,
                "created": OPENED + timedelta(hours=hours),
                "public": public,
                "user_id": user,
                "body": "private words",
            }
        )

    def land(self, database: Path, without: Iterable[str] = (), retype: str = "") -> None:
        """Write the tables; `without` leaves out columns, `retype` lands all others as that."""
        database.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(str(database)) as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute("create schema zendesk")
            for table, types in TYPES.items():
                connection.execute(f"create temp table landed ({types})")
                for row in self.rows[table]:
                    names = ", ".join(row)
                    marks = ", ".join("?" for _ in row)
                    connection.execute(
                        f"insert into landed ({names}) values ({marks})", list(row.values())
                    )
                left_out = [c for c in without if f"{c} " in f"{types} "]
                kept = f"* exclude ({', '.join(left_out)})" if left_out else "*"
                kept = f"cast(columns({kept}) as {retype})" if retype else kept
                connection.execute(
                    f'create table zendesk."{table}" as select {kept} from landed;drop table landed'
                )


def use_zendesk(project: Path, **variables: Any) -> None:
    """Name the source, and only this one, in the settings of a project."""
    settings = project / "dbt_project.yml"
    found = yaml.safe_load(settings.read_text())
    found["vars"]["sources"] = {"zendesk": ["interactions", "events", "surveys"]}
    found["vars"].update(variables)
    settings.write_text(yaml.safe_dump(found))


def run(project: Path, folder: Path, *arguments: str, as_of: str | None = None) -> Build:
    data = folder / "no_files"
    data.mkdir(parents=True)
    return dbt(folder, *(arguments or BUILD), data=data, project=project, as_of=as_of)


def story_of_a_desk() -> Desk:
    desk = Desk()
    # 1: solved by the AI, and synced twice. 2: reopened, and never solved again.
    desk.ticket(1)
    desk.status(1, (0, "new", CUSTOMER), (2, "solved", AI), (2, "solved", AI), (98, "closed", None))
    desk.ticket(2)
    desk.status(2, (0, "new", CUSTOMER), (2, "solved", AI), (5, "open", CUSTOMER))
    # 3: its follow-up 4 comes ten hours later.
    desk.ticket(3)
    desk.status(3, (2, "solved", AI), (3, "closed", None))
    desk.ticket(4, via_followup_source_id="3", created_at=OPENED + timedelta(hours=12))
    # 5: closed by a timeout. 6: solved by an automation, which resolves nothing either.
    desk.ticket(5)
    desk.status(5, (0, "new", CUSTOMER), (1, "pending", AI), (48, "closed", SYSTEM))
    desk.ticket(6)
    desk.status(6, (1, "pending", AI), (48, "solved", SYSTEM))
    # 7: handed to a person. 8: let go of. 9: a person answers without being assigned.
    desk.ticket(7)
    desk.assign(7, (1, PERSON, SYSTEM), (2, AI, PERSON))
    desk.status(7, (3, "solved", AI))
    desk.ticket(8)
    desk.assign(8, (1, None, AI))
    desk.ticket(9)
    desk.comment(9, 1, PERSON)
    desk.status(9, (3, "solved", AI))
    # 10: held out from the AI, which a trigger had given it to. 11: never meant for the AI.
    desk.ticket(10, "urgent", "Held_Out")
    desk.assign(10, (1 / 3600, PERSON, SYSTEM))
    desk.status(10, (3, "solved", PERSON))
    desk.ticket(11, first=OTHER_PERSON)
    desk.assign(11, (1, AI, SYSTEM))
    desk.status(11, (3, "solved", OTHER_PERSON))
    # 12, 13, 14: deleted in Zendesk, spam, nobody knows what about. 15: gone from the source.
    desk.ticket(12, status="deleted")
    desk.status(12, (2, "solved", AI), (3, "deleted", PERSON))
    desk.ticket(13, "spam")
    desk.ticket(14, custom_topic=" ")
    desk.ticket(15, _fivetran_deleted=True)
    desk.status(15, (2, "solved", AI))
    desk.comment(15, 1, AI)
    desk.change(15, timedelta(hours=3), "satisfaction_score", "good", CUSTOMER)
    # 16: solved and taken up again in one second. 17: deleted and brought back.
    desk.ticket(16)
    desk.status(16, (0, "open", CUSTOMER), (4, "open", CUSTOMER), (4, "solved", AI))
    desk.ticket(17)
    desk.status(17, (2, "solved", AI), (3, "deleted", PERSON), (3.5, "solved", None))
    # 18: written down by a person on the phone, private notes included. Then only the AI.
    desk.ticket(18)
    desk.comment(18, 0, PERSON)
    desk.comment(18, 0.5, OTHER_PERSON, public=False)
    desk.comment(18, 1, AI)
    desk.status(18, (2, "solved", AI))
    # 19: whoever asked has become an agent since, and the ticket has another requester now.
    desk.ticket(19, requester_id=777)
    desk.change(19, timedelta(0), "requester_id", CUSTOMER, CUSTOMER)
    desk.comment(19, 1, CUSTOMER)
    desk.status(19, (2, "solved", AI))
    desk.change(19, timedelta(hours=30), "requester_id", 777, SYSTEM)
    desk.comment(19, 31, 777)
    desk.rows["user"] += [{"id": AI, "role": "end-user"}, {"id": CUSTOMER, "role": "agent"}]
    # Surveys: good, bad and then good, offered only, and never.
    for number, *scores in (1, "offered", "good"), (2, "bad", "good", "offered"), (3, "offered"):
        for hours, score in enumerate(scores, start=20):
            user = SYSTEM if score == "offered" else CUSTOMER
            desk.change(number, timedelta(hours=hours), "satisfaction_score", score, user)
    desk.change(5, timedelta(0), "satisfaction_score", "unoffered", SYSTEM)
    return desk


def test_a_desk(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "build"
    story_of_a_desk().land(folder / "agent_kpis.duckdb")
    use_zendesk(
        project,
        zendesk_ai_users=[AI],
        zendesk_task_type_column="custom_topic",
        zendesk_holdout_tag="held_out",
        zendesk_agent_name="atlas",
    )
    build = run(project, folder, as_of="2026-03-20")
    assert build.returncode == 0, build.output

    facts = build.rows(
        """
        select cast(interaction_id as integer), arm, assignment_kind, outcome, was_reopened
        from facts.fct_interactions order by 1
        """
    )
    assert facts == [
        (1, "ai", "randomised", "completed", False),
        (2, "ai", "randomised", "reopened", True),
        (3, "ai", "randomised", "reopened", True),
        (5, "ai", "randomised", "abandoned", False),
        (6, "ai", "randomised", "abandoned", False),
        (7, "ai", "randomised", "escalated", False),
        (8, "ai", "randomised", "escalated", False),
        (9, "ai", "randomised", "escalated", False),
        (10, "human", "randomised", "completed", False),
        (11, "human", "routed", "completed", False),
        (12, "ai", "randomised", "excluded", None),
        (13, "ai", "randomised", "excluded", None),
        (14, "ai", "randomised", "excluded", None),
        (16, "ai", "randomised", "reopened", True),
        (17, "ai", "randomised", "completed", False),
        (18, "ai", "randomised", "completed", False),
        (19, "ai", "randomised", "completed", False),
    ]
    excluded = "select exclusion_reason from facts.fct_interactions where interaction_id = '{}'"
    assert [build.value(excluded.format(number)) for number in (12, 13, 14)] == [
        "test",
        "spam",
        "undefined_task_type",
    ]
    agents = "select distinct assignment_kind, agent_name from input.input_interactions order by 1"
    assert build.rows(agents) == [("randomised", "atlas"), ("routed", None)]

    surveys = build.rows(
        """
        select survey_id, survey_source, sent_at, responded_at, score
        from input.input_surveys order by 1
        """
    )
    kind = "zendesk_satisfaction"
    at = [OPENED + timedelta(hours=20 + hour) for hour in range(2)]
    assert surveys == [
        ("1-satisfaction", kind, at[0], at[1], 1),
        ("2-satisfaction", kind, at[0], at[1], 1),
        ("3-satisfaction", kind, at[0], None, None),
    ]
    scores = "select interaction_id, score from facts.fct_surveys order by 1"
    assert build.rows(scores) == [("1", 100), ("2", 100), ("3", None)]

    # A change that came twice is one event, two changes in a second are two, and nothing is lost.
    of_one = """
        select event_type, actor_kind, actor_id from input.input_events
        where interaction_id = '{}' order by occurred_at, event_id
    """
    assert build.rows(of_one.format(1)) == [("resolved", "ai", "900"), ("closed", "system", None)]
    assert build.rows(of_one.format(8)) == [("handed_off", "ai", "900")]
    assert build.rows(of_one.format(18)) == [
        ("opened", "human", "500"),
        ("message", "ai", "900"),
        ("resolved", "ai", "900"),
    ]
    assert [row[:2] for row in build.rows(of_one.format(19))] == [
        ("message", "customer"),
        ("resolved", "ai"),
        ("message", "customer"),
    ]
    assert {row[0] for row in build.rows(of_one.format(16))} == {"reopened", "resolved"}
    assert build.rows("select entity, reason from marts.rejected_rows") == []
    private = "select count(*) from staging.stg_zendesk__{} where raw_row like '%private%'"
    assert [build.value(private.format(name)) for name in ("interactions", "events")] == [0, 0]


def test_columns_that_may_be_missing_and_text_everywhere(project: Path, tmp_path: Path) -> None:
    desk = Desk()
    desk.ticket(1, first=PERSON)
    desk.status(1, (2, "solved", PERSON))
    desk.ticket(2, first=PERSON)
    desk.rows["ticket"][1]["created_at"] = None
    folder = tmp_path / "build"
    optional = ["via_followup_source_id", "updated_at", "_fivetran_deleted", "_fivetran_synced"]
    desk.land(folder / "agent_kpis.duckdb", without=optional, retype="varchar")
    use_zendesk(project, zendesk_task_type_column="custom_topic")
    build = run(project, folder, as_of="2026-03-20")
    assert build.returncode == 0, build.output
    found = build.row(
        "select interaction_id, arm, assignment_kind, outcome from facts.fct_interactions"
    )
    assert found == ("1", "human", "routed", "completed")
    rejected = "select key, reason from marts.rejected_rows where entity = 'interactions'"
    assert build.rows(rejected) == [("2", "missing_required_value")]


def test_what_stops_a_build(project: Path, tmp_path: Path) -> None:
    """A column or a table that has to be there is named."""
    use_zendesk(project, zendesk_task_type_column="custom_topic")
    folder = tmp_path / "build"
    desk = Desk()
    desk.land(folder / "agent_kpis.duckdb", without=["public"])
    with duckdb.connect(str(folder / "agent_kpis.duckdb")) as connection:
        connection.execute("drop table zendesk.ticket_tag")
    build = run(project, folder, "run", "--select", "path:models/staging/zendesk")
    assert build.returncode != 0
    assert '"ticket_comment" lacks the column public. It has: id, ticket_id' in build.output
    assert 'No table "agent_kpis"."zendesk"."ticket_tag"' in build.output
    assert "zendesk_schema" in build.output


def test_tables_of_the_real_shape(project: Path, tmp_path: Path) -> None:
    """Tables as the connector makes them; the rows in them were never meant to fit together."""
    source = shared_data("zendesk_seeds")
    folder = tmp_path / "build"
    folder.mkdir()
    with duckdb.connect(str(folder / "agent_kpis.duckdb")) as connection:
        connection.execute("create schema zendesk")
        for file in sorted(source.glob("*_data.csv")):
            table = file.stem.removesuffix("_data")
            connection.execute(f"create table zendesk.\"{table}\" as from read_csv('{file}')")
        n_tickets, n_comments = connection.execute(
            "select (select count(*) from zendesk.ticket), count(*) from zendesk.ticket_comment"
        ).fetchone()
    use_zendesk(project, zendesk_ai_users=["1111"])
    build = run(project, folder)
    assert build.returncode == 0, build.output
    for entity in ("interactions", "events", "surveys"):
        read = build.value(f"select count(*) from staging.stg_zendesk__{entity}")
        accepted = build.value(f"select count(*) from input.input_{entity}")
        rejected = build.value(
            f"select count(*) from marts.rejected_rows where entity = '{entity}'"
        )
        superseded = build.value(
            f"select n_superseded from intermediate.int_row_counts where entity = '{entity}'"
        )
        assert read == accepted + rejected + superseded, entity
    assert build.value("select count(*) from facts.fct_interactions") == n_tickets == 10
    # Solved in its history, after 80 days, and closed a day later; the opening came afterwards.
    path = """
        select event_type, actor_kind from input.input_events
        where interaction_id = '11071' order by occurred_at
    """
    assert build.rows(path) == [("resolved", "system"), ("closed", "system")]
    arms = "select assigned_arm, count(*) from input.input_interactions group by all order by 1"
    assert build.rows(arms) == [("ai", 1), ("human", 9)]
    # Comments and changes of tickets that are not there are kept as rejected.
    reasons = "select reason, count(*) from marts.rejected_rows group by all"
    assert build.rows(reasons) == [("orphan", n_comments + 14)]
