"""What the documents tell a user to type exists."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from agent_kpis.cli import cli
from support import REPOSITORY, code_blocks

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in DOCUMENTS}
COMMANDS = sorted(
    {
        (name, match)
        for name, text in TEXTS.items()
        for match in re.findall(r"(?:^|[`/ ])(kpi [a-z][^`\n#]*)", text, flags=re.MULTILINE)
        if " --" in match
    }
)


@pytest.mark.parametrize(("name", "line"), COMMANDS, ids=lambda value: value)
def test_a_command_of_the_documents_has_the_options_it_is_given(name: str, line: str) -> None:
    words = shlex.split(line.partition(" >>")[0].partition("   ")[0])[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    assert not isinstance(command, click.Group), f"{name}: no command in: {line}"
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, f"{name}: {line}"


def test_the_documents_name_many_commands() -> None:
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize("name", TEXTS)
def test_links_inside_the_repository_lead_somewhere(name: str) -> None:
    folder = next(path for path in DOCUMENTS if path.name == name).parent
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", TEXTS[name]):
        assert (folder / target).exists(), f"{name}: {target}"


@pytest.mark.parametrize("script", re.findall(r"scripts/\w+", " ".join(TEXTS.values())))
def test_scripts_that_are_named_are_there(script: str) -> None:
    assert Path(REPOSITORY / script).exists() or Path(REPOSITORY / f"{script}.py").exists()


def test_the_python_of_the_documents_is_python() -> None:
    blocks = [block for text in TEXTS.values() for block in code_blocks(text, "python")]
    assert blocks
    for block in blocks:
        ast.parse(block)
