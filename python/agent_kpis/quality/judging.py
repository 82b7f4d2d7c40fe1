"""Great Expectations over small frames: what was measured against the limits.

DuckDB does the counting, so that a table of millions of rows reaches pandas as a handful of
numbers, or as the rows that fail. The import takes seconds: it happens at the first judgement.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agent_kpis.quality.limits import CHECKS, Limit
from agent_kpis.quality.report import ROW_COLUMNS, CheckResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

SEVERITIES = ("warning", "critical")
MIX_ROWS = 10_000


@dataclass(frozen=True)
class Point:
    """One number: of the whole table (`key` empty), or of one of its agents or survey sources."""

    observed: float
    says: str
    key: str = ""
    n: float = float("inf")  # what it rests on, against minimum_n


@dataclass(frozen=True)
class Mix:
    """How often each value occurred lately and before: for mix_shift, instead of points."""

    now: dict[str, int]
    before: dict[str, int]

    @property
    def n(self) -> int:
        """Rows of the shorter of both."""
        return min(sum(self.now.values()), sum(self.before.values()))


@dataclass(frozen=True)
class Measurement:
    """What a check observed of a table or column, the limit it answers to, and its failing rows.

    `rows` gives the failing rows (columns row_key, value) when they are needed; without it the
    keys of the points are the rows.
    """

    check: str
    table: str
    column: str
    limit: Limit
    points: Sequence[Point] = ()
    mix: Mix | None = None
    too_little: str = ""
    rows: Callable[[], pd.DataFrame] | None = None
    n_failing: int | None = None


def judge(measurements: Iterable[Measurement]) -> tuple[list[CheckResult], pd.DataFrame]:
    """Every measurement as a result, and the keys of what failed."""
    import pandas as pd

    measured = list(measurements)
    points = [[p for p in m.points if p.n >= m.limit.minimum_n] for m in measured]
    failed = _expect_at_most(points, [m.limit for m in measured])
    results, failing = [], [pd.DataFrame(columns=ROW_COLUMNS, dtype="string")]
    for m, judged, above in zip(measured, points, failed, strict=True):
        if m.mix and m.mix.n >= max(m.limit.minimum_n, 1):
            judged, above = _expect_mix(m.mix, m.limit)
        results.append(_result(m, judged, above))
        if any(above.values()):
            rows = _failing_rows(m, above).assign(
                stage=CHECKS[m.check].stage,
                table_name=m.table,
                check_name=m.check,
                column_name=m.column or None,
            )
            failing.append(rows[list(ROW_COLUMNS)].astype("string"))
    return results, pd.concat(failing, ignore_index=True)


def _result(m: Measurement, judged: Sequence[Point], above: dict[str, list[Point]]) -> CheckResult:
    """`above`: the points above each limit that is set."""
    check, limit = CHECKS[m.check], m.limit
    passed = [name for name, points in above.items() if points]
    # The worst limit that was passed, else the nearest.
    severity = passed[-1] if passed else next(iter(limit.given))
    if not judged:
        n = m.mix.n if m.mix else max((point.n for point in m.points), default=0)
        needs = f"{n:,.0f} to judge by, minimum_n is {limit.minimum_n:,.0f}"
        observed, says, n_failing = None, f"Not judged: {m.too_little or needs}.", 0
    else:
        worst = max(judged, key=lambda point: point.observed)
        observed, says, n_failing = worst.observed, worst.says, 0
        says = says.replace("{observed}", amount(observed, check.unit))
    if passed:
        most = amount(limit.given[severity], check.unit)
        says += f" ({severity} above {most}). {check.mend}"
        n_failing = m.n_failing or len(above[passed[0]])
    return CheckResult(
        check.stage,
        m.table,
        m.column or None,
        m.check,
        severity,
        not passed,
        observed,
        limit.given[severity],
        says,
        n_failing,
    )


def _failing_rows(m: Measurement, above: dict[str, list[Point]]) -> pd.DataFrame:
    """The failing rows by row_key and value; the points that have a key, where there are none."""
    import pandas as pd

    if m.rows is not None:
        return m.rows()
    unit = CHECKS[m.check].unit
    found = [point for point in next(iter(above.values())) if point.key]
    cells = [(point.key, amount(point.observed, unit)) for point in found]
    return pd.DataFrame(cells, columns=["row_key", "value"])


def amount(value: float, unit: str) -> str:
    """A number of a check, for people."""
    if unit in ("share", "points"):
        digits = 0 if round(100 * value, 1) == round(100 * value) else 1
        return f"{100 * value:.{digits}f}" + ("%" if unit == "share" else " points")
    if unit == "count":
        return f"{value:,.0f}"
    words = {"hours": " hours", "times": " times", "sd": " standard deviations", "nats": " nats"}
    return f"{value:,.2g}{words[unit]}" if value < 100 else f"{value:,.0f}{words[unit]}"


def _mix_says(mix: Mix) -> str:
    n, n_before = sum(mix.now.values()), sum(mix.before.values())
    values = sorted(
        set(mix.now) | set(mix.before),
        key=lambda v: -abs(mix.now.get(v, 0) / n - mix.before.get(v, 0) / n_before),
    )[:3]
    moves = ", ".join(
        f"{value} {amount(mix.before.get(value, 0) / n_before, 'share')} to "
        f"{amount(mix.now.get(value, 0) / n, 'share')}"
        for value in values
    )
    return f"the mix of the last 7 days differs from the 28 before by {{observed}}: {moves}"


@lru_cache(maxsize=1)
def _context() -> Any:
    """The ephemeral context of this process: no file, no network."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with _quiet():
        import great_expectations as gx

        context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    return context


@contextmanager
def _quiet() -> Iterator[None]:
    """Great Expectations draws progress bars on stderr (no setting stops them) and logs."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _validate(frame: pd.DataFrame, expectations: list[Any], keys: Sequence[str] = ()) -> list[Any]:
    """The results of the expectations over a frame, with the keys of every unexpected row."""
    import great_expectations as gx

    with _quiet():
        batch = _batch_definition().get_batch(batch_parameters={"dataframe": frame})
        result_format: dict[str, Any] = {"result_format": "COMPLETE"}
        if keys:
            result_format["unexpected_index_column_names"] = list(keys)
        suite = gx.ExpectationSuite(name="limits", expectations=expectations)
        found = batch.validate(suite, result_format=result_format).results
    for result in found:
        if not result.result:  # it could not be worked out
            raise RuntimeError(str(result.exception_info))
    # In the order of the suite, whatever order they were worked out in.
    by_meta = {r.expectation_config.meta["number"]: r for r in found}
    return [by_meta[number] for number in range(len(expectations))]


@lru_cache(maxsize=1)
def _batch_definition() -> Any:
    source = _context().data_sources.add_pandas("measured")
    asset = source.add_dataframe_asset("frame")
    return asset.add_batch_definition_whole_dataframe("whole")


def _expect_at_most(
    points: Sequence[Sequence[Point]], limits: Sequence[Limit]
) -> list[dict[str, list[Point]]]:
    """For each limit the points above its warning and its critical value, as far as it has them.

    One frame for all, because an expectation costs more than a row.
    """
    import pandas as pd

    _context()
    import great_expectations.expectations as gxe

    rows = [(number, place) for number, judged in enumerate(points) for place in range(len(judged))]
    frame = pd.DataFrame(rows, columns=["number", "place"])
    frame["observed"] = [float(points[number][place].observed) for number, place in rows]
    for name in SEVERITIES:
        values = [getattr(limits[number], name) for number, _ in rows]
        frame[name] = pd.Series(values, dtype=float)
    expectations = [
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=name,
            column_B="observed",
            or_equal=True,
            ignore_row_if="either_value_is_missing",
            severity=name,
            meta={"number": number},
        )
        for number, name in enumerate(SEVERITIES)
    ]
    above: list[dict[str, list[Point]]] = [{name: [] for name in limit.given} for limit in limits]
    if rows:
        found = _validate(frame, expectations, ["number", "place"])
        for name, result in zip(SEVERITIES, found, strict=True):
            for row in result.result["unexpected_index_list"] or ():
                above[row["number"]][name].append(points[row["number"]][row["place"]])
    return above


def _expect_mix(mix: Mix, limit: Limit) -> tuple[list[Point], dict[str, list[Point]]]:
    """The divergence of the two mixes as a point, and under each limit that it passes."""
    import numpy as np
    import pandas as pd

    _context()
    import great_expectations.expectations as gxe

    # Half a row more for every value: one that is new would be infinitely far.
    values = sorted(set(mix.now) | set(mix.before))
    weights = np.array([mix.before.get(value, 0) + 0.5 for value in values])
    counts = np.array([mix.now.get(value, 0) for value in values], dtype=float)
    counts = np.round(counts * min(1.0, MIX_ROWS / counts.sum())).astype(int)
    frame = pd.DataFrame({"value": np.repeat(np.array(values, dtype=object), counts)})
    expectations = [
        gxe.ExpectColumnKLDivergenceToBeLessThan(
            column="value",
            partition_object={"values": values, "weights": list(weights / weights.sum())},
            threshold=value,
            severity=name,
            meta={"number": number},
        )
        for number, (name, value) in enumerate(limit.given.items())
    ]
    found = _validate(frame, expectations)
    point = Point(float(found[0].result["observed_value"]), _mix_says(mix))
    above = {
        name: [] if result.success else [point]
        for name, result in zip(limit.given, found, strict=True)
    }
    return [point], above
