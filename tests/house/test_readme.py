"""The README says what is true."""

import re
from pathlib import Path

from services.shared.facts.identity import partition_of
from services.shared.settings import SETTINGS
from services.shared.tokens import encode_positions

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_in_the_table_with_its_default_and_meaning() -> None:
    rows = dict(re.findall(r"^\| `(LEADSCORE_\w+)` \| (.*) \|$", README, re.MULTILINE))
    assert list(rows) == [each.metadata["variable"] for each in SETTINGS]
    for each in SETTINGS:
        default, _, meaning = rows[each.metadata["variable"]].partition(" | ")
        shown = {"": "", False: "`0`"}.get(each.default, f"`{each.default}`")
        assert (default.strip(), meaning) == (shown, each.metadata["meaning"])


def test_every_room_of_the_map_is_there() -> None:
    for room in re.findall(r"`(\w+(?:/\w+)*/)`", README.split("## The rooms")[1].split("## In containers")[0]):
        parents = [ROOT, ROOT / "gateway", ROOT / "cli", *(ROOT / "services").iterdir()]
        assert any((parent / room).is_dir() for parent in parents), room


def test_every_command_of_the_readme_is_one() -> None:
    from cli.__main__ import COMMANDS

    for command in re.findall(r"^    leadscore (\w+)", README, re.MULTILINE):
        assert command in COMMANDS
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert target in targets


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_token_that_is_shown_is_the_one_that_is_answered() -> None:
    # Passed on as it stands by whoever follows the page; one of another line would be waited for in vain.
    token = encode_positions({partition_of("demo", "ada@example.org", 16): 1})
    shown = re.findall(r'[cC]onsistencyToken(?:":"|=)(\w+)', README)
    assert shown == [token, token]
