"""Runbook and firewall sheet: every code is told, every command and path in them exists."""

from __future__ import annotations

import argparse
import re
import shlex
from enum import StrEnum
from importlib import import_module

import pytest
from bundles import DEPLOY

from fedvox.client import cli as site_cli
from fedvox.common.cli import COMMANDS
from fedvox.common.errors import Refusal
from fedvox.common.identity.refusals import EnrolmentRefusal
from fedvox.server.admit import Code

RUNBOOK = (DEPLOY / "runbook.md").read_text()
FIREWALL = (DEPLOY / "firewall.md").read_text()
HEADINGS = {
    Refusal: "### What a site answers instead of an update",
    EnrolmentRefusal: "### Why an authority certifies nobody",
    Code: "### Why an answer did not count",
}


def rows(heading: str) -> dict[str, tuple[str, str]]:
    """Code -> (sentence, remedy) of the table under a heading."""
    section = RUNBOOK.split(heading)[1].split("\n#")[0]
    found = re.findall(r"^\| `([^`]+)` \| (.*?) \| (.*) \|$", section, re.MULTILINE)
    return {code: (sentence, remedy) for code, sentence, remedy in found}


@pytest.mark.parametrize("kind", list(HEADINGS))
def test_every_code_has_a_row_and_a_remedy(kind: type[StrEnum]) -> None:
    table = rows(HEADINGS[kind])
    expected = sorted(item.value for item in kind)
    missing = [f"| `{code}` | {code} | what to do |" for code in expected if code not in table]
    assert not missing, "put into deploy/runbook.md:\n" + "\n".join(missing)
    assert list(table) == expected if kind is not Code else set(table) == set(expected)
    assert all(len(remedy) > 5 for _, remedy in table.values())


@pytest.mark.parametrize("kind", [Refusal, EnrolmentRefusal])
def test_the_sentences_are_those_that_are_said(
    kind: type[Refusal] | type[EnrolmentRefusal],
) -> None:
    table = rows(HEADINGS[kind])
    assert {code: sentence for code, (sentence, _) in table.items()} == {
        item.value: item.sentence for item in kind
    }


def commands(text: str, prefix: str) -> list[list[str]]:
    """The lines and code spans that begin with a word, without comments and what follows them."""
    spans = re.findall(r"^    (.*)$", text, re.MULTILINE) + re.findall(r"`([^`\n]+)`", text)
    parts = [part.strip() for span in spans for part in re.split(r"&&|;|\|(?!\|)", span)]
    return [shlex.split(p, comments=True) for p in parts if re.match(rf"{prefix} ", p)]


def parser_of(module: object) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)  # type: ignore[attr-defined]
    return parser


@pytest.mark.parametrize("words", commands(RUNBOOK + FIREWALL, "fedvox-site"), ids=" ".join)
def test_the_sites_commands_are_there(words: list[str]) -> None:
    if words[1] in ("hand-over", "...", "anything"):
        return
    assert words[1] in site_cli.SUBCOMMANDS
    if words[1] in site_cli.SUBCOMMANDS and len(words) > 2:
        parser_of(site_cli).parse_args(words[1:])


@pytest.mark.parametrize("words", commands(RUNBOOK + FIREWALL, "coordinate"), ids=" ".join)
def test_the_coordinators_commands_are_there(words: list[str]) -> None:
    parser_of(import_module(COMMANDS[words[1]][0])).parse_args(words[2:])


def test_there_are_commands_to_look_at() -> None:
    assert len(commands(RUNBOOK, "fedvox-site")) > 12
    assert len(commands(RUNBOOK, "coordinate")) > 8


def test_the_commands_stand_before_the_reasons() -> None:
    for section in RUNBOOK.split("\n## ")[1:]:
        name, _, body = section.partition("\n")
        told_by_table = name in ("Rotate", "What an alarm means", "Restore")
        assert told_by_table or re.search(r"^    \S", body, re.MULTILINE), name
        first = body.strip().splitlines()[0]
        assert told_by_table or len(first) < 100, name


def test_units_files_and_folders_that_are_named_exist() -> None:
    for name in re.findall(r"share/fedvox/(systemd/[\w.]+|firewall\.nft)", RUNBOOK + FIREWALL):
        assert (DEPLOY / name).exists(), name
    for unit in re.findall(r"fedvox-(?!site|VER)\w+(?=\.service)", RUNBOOK):
        assert (DEPLOY / "systemd" / f"{unit}.service").exists()


def test_the_alarms_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    from pathlib import Path

    modules = ("fedvox.server.coordinator.observe", "fedvox.client.monitor")
    source = "".join(Path(import_module(name).__file__ or "").read_text() for name in modules)
    for metric in set(re.findall(r"`(fedvox_\w+)", RUNBOOK)):
        assert f'"{metric}"' in source, metric


def test_whoever_is_turned_away_is_explained() -> None:
    from pathlib import Path

    folder = Path(import_module("fedvox.server.gate.outer").__file__ or "").parent
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    codes = set(re.findall(r'Turned\(\d+, "([a-z-]+)"\)', source))
    codes |= set(re.findall(r'incidents\.refused\([^"()]+, "([a-z-]+)"', source))
    codes |= {f"not-own-{what}" for what in re.findall(r'_require\(.*, "(\w+)"\)', source)}
    members = (folder / "members.py").read_text()
    codes |= set(re.findall(r'return "([a-z-]+)"', members)) | {"revoked", "many"}
    assert len(codes) > 20
    section = RUNBOOK.split("### Why somebody is turned away")[1].split("\n#")[0]
    assert not [code for code in sorted(codes) if f"`{code}`" not in section]
