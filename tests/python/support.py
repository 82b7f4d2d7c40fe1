"""What several test modules share."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def shared_data(name: str) -> Path:
    """A folder of real inputs beside the repository; skips the test where it is not there."""
    folder = REPOSITORY.parent / "shared" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"real data is not here: no folder {folder}")
    return folder


def code_blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language in a Markdown text."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def readme_blocks(language: str) -> list[str]:
    """The README's code blocks of a language, so that tests run what users read."""
    return code_blocks((REPOSITORY / "README.md").read_text(encoding="utf-8"), language)
