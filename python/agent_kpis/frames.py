"""Between dbt's relations and pandas: what the dbt Python models share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

DTYPES = {"text": "string", "number": "Float64", "count": "Int64", "flag": "boolean"}


def to_pandas(relation: Any) -> pd.DataFrame:
    """What `dbt.ref` gives as a pandas frame, dates as datetime64, whatever the engine."""
    convert = getattr(relation, "toPandas", None) or relation.df
    return convert()


def table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Rows as a frame whose types do not depend on the values, so that an empty one has them too.

    `columns` gives the order and the kind of each: text, number, count, flag or date (a date is
    handed over as text, YYYY-MM-DD, and cast in SQL). Missing values and NaN become null.
    """
    rows = list(rows)
    return pd.DataFrame(
        {
            name: pd.array(
                [_value(row.get(name), kind) for row in rows],
                dtype="string" if kind == "date" else DTYPES[kind],
            )
            for name, kind in columns.items()
        }
    )


def days(dates: pd.Series) -> np.ndarray:
    """Dates as whole days since 1970-01-01."""
    return dates.to_numpy().astype("datetime64[D]").astype(np.int64)


def date_text(day: int) -> str:
    """A day of `days` as YYYY-MM-DD."""
    return str(np.datetime64(int(day), "D"))


def _value(value: Any, kind: str) -> Any:
    if value is None or (kind != "text" and pd.isna(value)):
        return pd.NA
    return round(value) if kind == "count" else value
