"""The commands of docs/backbones.md, run as written on networks with few blocks."""

import re
import shlex

import pytest

pytest.importorskip("timm")

from segattn import backbones
from segattn.backbones import families
from segattn.cli import main
from tests import tiny_timm
from tests.places import ROOT

PAGE = (ROOT / "docs/backbones.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [pytest.param(each, marks=[pytest.mark.long] * ("segattn plan" in each)) for each in COMMANDS]
)
def test_command_of_the_page_runs(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny_timm.cut(monkeypatch)
    program, *words = shlex.split(command)
    assert program == "segattn"
    assert main(words) in (None, 0)
    assert len(capsys.readouterr().out.splitlines()) > 3
    assert not list(tmp_path.iterdir())


def test_commands_of_the_page_are_seen():
    assert {shlex.split(command)[1] for command in COMMANDS} == {"backbones", "flops", "plan"}


def test_every_family_is_in_the_table():
    (table,) = re.findall(r"\| kind \| families.*?\n\n", PAGE, re.DOTALL)
    for names in families.FAMILIES.values():
        for name in names:
            word = {"DINOv2, registers": "DINOv2", "Swin V2 CR": "Swin V2", "ResNet-D": "ResNet"}.get(name, name)
            word = {"ConvNeXt, DINOv3": "ConvNeXt", "EfficientNet-Lite": "EfficientNet"}.get(word, word)
            assert word in table, name


def test_options_of_the_table_are_those_that_a_network_takes():
    options = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    taken = set()
    for name in ("vit_tiny_patch16_224", "pvt_v2_b0"):
        with pytest.raises(ValueError, match="Its options: ") as error:
            backbones.create(f"timm:{name}", output_stride=32, nonsense=1)
        taken |= set(str(error.value).partition("Its options: ")[2].split(", "))
    assert options == taken - {"output_stride", "in_channels"}
