"""What the next run compares with: rows, columns and mature requests of the last good run."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from functools import reduce
from operator import or_
from pathlib import Path

from agent_kpis.quality.limits import LANDING, MARTS

FILE = "profile.json"
OFFERED = "profile.{}.json"


@dataclass(frozen=True)
class Profile:
    """Of one run. `data`: the folder of its landing files; `as_of`: ISO 8601, UTC."""

    data: str | None = None
    rows: dict[str, int] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    as_of: str | None = None
    n_mature: dict[str, int] = field(default_factory=dict)

    def __or__(self, other: Profile) -> Profile:
        """Both in one: the landing files' and the marts' part of a run."""
        return Profile(**asdict(self) | {k: v for k, v in asdict(other).items() if v})


def folder_name(data: Path) -> str:
    """A landing folder as a profile knows it; a link keeps its name, wherever it points today."""
    return os.path.abspath(data)


def read_profile(work: Path, name: str = FILE) -> tuple[Profile | None, str]:
    """The profile in `work` and a note, empty save where there is one that cannot be read."""
    file = work / name
    if not file.is_file():
        return None, ""
    try:
        return _profile(json.loads(file.read_text(encoding="utf-8"))), ""
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        return None, (
            f"{file} cannot be read ({error}): nothing is compared with the last good run. "
            "The next good run writes it again."
        )


def write_profile(work: Path, profile: Profile, name: str = FILE) -> None:
    """Replaced in one step."""
    work.mkdir(parents=True, exist_ok=True)
    fresh = work / f".{name}.new"
    fresh.write_text(json.dumps(asdict(profile), indent=1, sort_keys=True), encoding="utf-8")
    os.replace(fresh, work / name)


def offer_profile(work: Path, stage: str, profile: Profile) -> None:
    """What a stage without a critical failure saw, until it is known whether the run goes well."""
    write_profile(work, profile, OFFERED.format(stage))


def accept_profiles(work: Path) -> None:
    """The run went well: what its stages saw is what the next run compares with.

    The steps of a run may be processes of their own, so this goes by files.
    """
    offered = [work / OFFERED.format(stage) for stage in (LANDING, MARTS)]
    found = [read_profile(work, file.name)[0] for file in offered]
    if profiles := [profile for profile in found if profile]:
        write_profile(work, reduce(or_, profiles))
    for file in offered:
        file.unlink(missing_ok=True)


def _profile(found: dict) -> Profile:
    if not isinstance(found, dict):
        raise ValueError("not a profile")
    given = {f.name: found[f.name] for f in fields(Profile)}
    if given["as_of"]:
        datetime.fromisoformat(given["as_of"])
    return Profile(
        data=given["data"],
        rows={str(k): int(v) for k, v in given["rows"].items()},
        columns={str(k): [str(name) for name in v] for k, v in given["columns"].items()},
        as_of=given["as_of"],
        n_mature={str(k): int(v) for k, v in given["n_mature"].items()},
    )
