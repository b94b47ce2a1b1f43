import pytest

from segattn import heads
from segattn.cli import main
from segattn.cli.heads import paper


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
