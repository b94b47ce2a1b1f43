import pytest

from segattn import heads
from segattn.cli import main
from segattn.cli.heads import paper
from segattn.cli.heads.check import mechanism_is_cut_out
from segattn.heads.parts.checks import Fault, NotDeclared
from segattn.records.head_facts import FAMILIES


def test_catalogue_has_every_head_with_its_paper(capsys):
    assert main(["heads"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines if line.strip()}
    assert set(heads.names()) <= rows.keys()
    assert "CCNet: Criss-Cross Attention" in rows["ccnet"]
    assert "ICCV 2019" in rows["ccnet"]
    for name in heads.names():
        assert "arXiv" in rows[name]


@pytest.mark.parametrize("name", heads.names())
def test_explanation_has_paper_cost_differences_and_options(name, capsys):
    assert main(["heads", name]) == 0
    shown = capsys.readouterr().out
    assert "arXiv" in shown
    assert "Cost" in shown
    assert "Differences from the paper" in shown or "None known" in shown
    assert "Options of the head:\n  channels = 512" in shown
    assert "  dropout = " in shown


def test_heads_are_listed_below_their_family(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["heads"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    headings = [line.split(":")[0] for line in lines if line.split(":")[0] in FAMILIES]
    assert headings == list(FAMILIES)
    first = lines.index("window: a position attends to those around it")
    assert lines[first + 1].startswith("neighborhood")
    assert lines[lines.index("criss-cross: a position attends to the lines through it") + 1].startswith("ccnet")


def test_only_heads_of_the_wanted_families_are_listed(capsys):
    assert main(["heads", "--family", "scan", "criss-cross"]) == 0
    shown = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line}
    assert {"ss2d", "ccnet", "star", "criss-cross:", "scan:"} <= shown
    assert not shown & (set(heads.names()) - {"ss2d", "ccnet", "star"})


def test_family_of_no_head_and_family_of_one_head_are_refused(capsys):
    assert main(["heads", "--family", "windw"]) == 2
    assert "no head of family 'windw'; did you mean window? There are: baseline, pyramid" in capsys.readouterr().err
    assert main(["heads", "ccnet", "--family", "window"]) == 2
    assert "--family lists heads and ccnet explains one; give one of the two" in capsys.readouterr().err


def test_title_and_venue_are_taken_from_the_first_lines():
    text = "Wang, Li: *A Title: with\ncolon*, CVPR 2018, arXiv 1711.07971.\n\nMore."
    assert paper(text) == ("A Title: with colon", "CVPR 2018, arXiv 1711.07971")
    assert paper("no title at all") == ("no title at all", "")


def test_unknown_head_is_named_with_the_nearest(capsys):
    assert main(["heads", "danett"]) == 2
    assert "unknown head 'danett'; did you mean danet" in capsys.readouterr().err


def test_head_without_docstring_or_annotations_is_explained_by_what_it_has(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plainlab").mkdir()
    (tmp_path / "plainlab" / "bare.py").write_text(
        "from torch import nn\n\n\nclass Head(nn.Module):\n    loss_weights = {'out': 1.0}\n\n"
        "    def __init__(self, in_channels, num_classes, *, width=8):\n        super().__init__()\n\n"
        "    def forward(self, features):\n        return {}\n"
    )
    assert main(["heads", "plainlab.bare"]) == 0
    shown = capsys.readouterr().out
    assert "has no docstring" in shown
    assert "Modes: faithful." in shown
    assert shown.endswith("Options of the head:\n  width = 8\n")


GATED = """
import torch
from torch import nn


class Mix(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(()))
        self.value = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x + self.gamma * self.value(x)


class Head(nn.Module):
    loss_weights = {"out": 1.0}
    Mechanism = Mix
    gates = ("gamma",)
    without_attention = "identity"

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.attention = Mix(in_channels[-1])
        self.classify = nn.Conv2d(in_channels[-1], num_classes, 1)

    def forward(self, features):
        return {"out": self.classify(self.attention(features[-1]))}
"""


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
@pytest.mark.parametrize("name", ["denoised_nl", "reconet", "fcn", "ninthlab.gated"])
def test_mechanism_of_a_good_head_is_cut_out(name, mode, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ninthlab").mkdir()
    (tmp_path / "ninthlab/gated.py").write_text(GATED)
    mechanism_is_cut_out(name, mode)


@pytest.mark.parametrize(
    ("line", "bad", "error", "words"),
    [
        ("return x + self.gamma * self.value(x)", "return x[:, :, 1:]", ValueError, "declare 'mean'"),
        ('gates = ("gamma",)', 'gates = ("gama",)', Fault, "its mechanism has no parameter gama, which it declares as gates"),
        (
            "self.classify(self.attention(features[-1]))",
            "self.classify(self.attention(features[-1])) + self.attention.gamma",
            Fault,
            "the logits depend on the mechanism's parameters after it is cut out",
        ),
        (
            "self.attention(features[-1])",
            "self.attention.forward(features[-1])",
            ValueError,
            "does not call its mechanism as a module",
        ),
        ("self.attention", "self.mix", NotDeclared, "there is no attention to cut out; declare the mechanism"),
    ],
    ids=["other size", "gate", "parameters used outside", "not called", "none declared"],
)  # fmt: skip
def test_mechanism_that_cannot_be_cut_out_is_found(line, bad, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = f"lab_{abs(hash(bad))}"
    (tmp_path / package).mkdir()
    assert line in GATED
    (tmp_path / package / "gated.py").write_text(GATED.replace(line, bad))
    with pytest.raises(error, match=words):
        mechanism_is_cut_out(f"{package}.gated", "faithful")
