"""What the README says of the tree and of the commands is so."""

import re

import pytest

from segattn.cli import COMMANDS
from tests.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "segattn"
MAX_WORDS = 10


def tree():
    """Room -> caption, from the lines below `segattn/` in the README's tree."""
    block = re.search(r"^segattn/\n((?:  .+\n)+)", README, re.MULTILINE)[1]
    return dict(re.fullmatch(r"  (\S+) +(\S.*)", line).groups() for line in block.splitlines())


def rooms():
    """Every module and folder directly below segattn/, folders with a slash."""
    modules = {path.name for path in PACKAGE.glob("*.py")}
    return modules | {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}


def commands_shown():
    """Every COMMAND of `segattn COMMAND` in code: blocks between fences, and inline."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL))
    return set(re.findall(r"(?:^|[\s`])segattn ([a-z]\w*)", "\n".join(blocks + inline), re.MULTILINE))


def test_tree_names_every_room():
    assert sorted(rooms() - tree().keys()) == []


def test_tree_names_no_room_that_is_not_there():
    assert sorted(tree().keys() - rooms()) == []


@pytest.mark.parametrize("room", tree())
def test_caption_is_at_most_ten_words(room):
    assert len(tree()[room].split()) <= MAX_WORDS


def test_room_stands_once_in_the_tree():
    block = re.search(r"^segattn/\n((?:  .+\n)+)", README, re.MULTILINE)[1]
    assert len(block.splitlines()) == len(tree())


def test_commands_shown_exist():
    shown = commands_shown()
    assert {"study", "flops"} <= shown  # one is shown in a block, the other inline: both are read
    assert sorted(shown - COMMANDS.keys()) == []


def test_every_command_has_a_row_in_the_table():
    rows = set(re.findall(r"^\| `segattn (\w+)", README, re.MULTILINE))
    assert sorted(COMMANDS.keys() - rows) == []


def test_pages_linked_from_the_readme_exist():
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README)
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []
