"""`segattn compare` as it is typed."""

import pytest

from segattn.cli import main
from tests.report import fabricate


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return fabricate.study(tmp_path_factory.mktemp("study"), ["fcn", "ccnet"], seeds=1, with_cost=False)


@pytest.mark.parametrize(
    "words", [["{0}:ccnet", "{0}:fcn"], ["{0}", "--heads", "ccnet", "fcn"], ["{0}/01-faithful-s0", "{0}:fcn"]]
)
def test_three_ways_to_name_two_networks(study, tmp_path, capsys, words):
    assert main(["compare", *(word.format(study) for word in words), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "ccnet against fcn on streets" in printed
    assert "paired bootstrap" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"compare.{end}" for end in ("csv", "html", "md", "tex")
    ]


def test_without_out_it_writes_beside_the_runs(study, capsys):
    assert main(["compare", f"{study}:ccnet", f"{study}:fcn"]) == 0
    assert (study / "compare-ccnet-fcn" / "compare.html").is_file()
    assert str(study / "compare-ccnet-fcn") in capsys.readouterr().out.replace("\n", "")


def test_more_than_two_are_compared_with_the_first(tmp_path, capsys):
    folder = fabricate.study(tmp_path / "my study", ["fcn", "ccnet", "danet"], seeds=1, with_cost=False)
    assert main(["compare", str(folder), "--heads", "fcn", "ccnet", "danet"]) == 0
    assert "2 networks against fcn on streets" in capsys.readouterr().out
    written = folder / "compare-fcn-2-others"
    assert sorted(path.name for path in written.iterdir()) == [f"compare.{end}" for end in ("csv", "html", "md", "tex")]
    assert main(["compare", f"{folder}:fcn", f"{folder}:ccnet", f"{folder}:danet", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/compare.csv").read_bytes() == (written / "compare.csv").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "compare needs two networks"),
        (["{0}"], "--heads HEAD HEAD"),
        (["{0}", "--heads", "ccnet", "cnet"], "no finished run of 'cnet'; it has ccnet, fcn"),
        (["{0}:ccnet", "nowhere"], "nowhere"),
        (["{0}"], "segattn compare {0} --heads HEAD HEAD"),
        (["{0}", "{0}", "--heads", "fcn", "ccnet", "fcn"], "2 studies, but 3 heads: name one study"),
        (["{0}", "--heads", "fcn", "ccnet", "fcn"], "not compared with itself"),
        (["{0}", "--heads", "fcn", "ccnet", "ccnet"], "name each network once"),
        (["{0}:ccnet", "{0}:fcn", "--heads", "fcn", "fcn"], "name it once"),
    ],
)
def test_mistakes_are_answered(study, capsys, words, message):
    assert main(["compare", *(word.format(study) for word in words)]) == 2
    assert message.format(study) in capsys.readouterr().err.replace("\n", " ")
