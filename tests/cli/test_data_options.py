"""Options of data sets and their notices, through the commands that open them."""

import json

import pytest

from segattn import records
from segattn.cli import main
from segattn.data.tools import make

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """VOC's layout with an augmented list of 2 of its 4 training images."""
    root = tmp_path_factory.mktemp("voc")
    make.make("voc", root, images=4, size=(32, 48))
    base = root / "VOCdevkit/VOC2012"
    (base / "SegmentationClassAug").symlink_to(base / "SegmentationClass")
    lists = base / "ImageSets/Segmentation"
    (lists / "trainaug.txt").write_text("\n".join((lists / "train.txt").read_text().split()[:2]))
    return root


@pytest.fixture
def command(voc, experiment_file, tmp_path):
    """Words of a training on it, up to the options."""
    raw = json.loads(experiment_file.read_text())
    raw["data"] = {"name": "voc", "root": str(voc)}
    (tmp_path / "voc.json").write_text(json.dumps(raw))
    return ["train", str(tmp_path / "voc.json"), "--out", str(tmp_path / "run"), "--device", "cpu"]


def test_training_with_an_option_records_it_and_refuses_to_go_on_with_another(command, tmp_path, capsys):
    assert main([*command, "--data.options", "augmented=false"]) == 0
    assert "trainaug" not in capsys.readouterr().out
    record = records.read(tmp_path / "run/record.json")
    assert record.config["data"]["options"] == {"augmented": False}
    assert json.loads((tmp_path / "run/experiment.json").read_text())["data"]["options"] == {"augmented": False}
    assert main([*command, "--data-options", "augmented=true"]) == 2
    assert "another experiment (different: data.options.augmented)" in capsys.readouterr().err
    assert main(command) == 2
    assert "(different: data.options.augmented)" in capsys.readouterr().err
    assert main([*command, "--data-options", "augmented=false"]) == 0  # the finished run


def test_training_says_once_what_should_be_known_of_the_labels(command, capsys):
    assert main(command) == 0
    assert capsys.readouterr().out.count("voc: training uses trainaug.txt, 2 images") == 1


def test_study_says_it_once_for_all_networks(command, tmp_path, capsys):
    study = ["study", command[1], "--out", str(tmp_path / "study"), "--device", "cpu", "--heads", "fcn", "emanet"]
    assert main(study) == 0
    assert capsys.readouterr().out.count("voc: training uses trainaug.txt") == 1
    record = records.read(tmp_path / "study/fcn-faithful-s0/record.json")
    assert record.config["data"]["options"] == {}


def test_evaluation_opens_the_data_with_the_options_of_the_training_or_others(command, tmp_path, capsys):
    assert main([*command, "--data.options", "augmented=false"]) == 0
    evaluate = ["evaluate", str(tmp_path / "run"), "--device", "cpu", "--split", "train"]
    for more, images in (([], 4), (["--data-options", "augmented=true"], 2)):
        capsys.readouterr()
        assert main([*evaluate, *more]) == 0
        assert f"on {images} images of voc train" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("augmentd=true", "data set voc has no option 'augmentd'; did you mean augmented? Its options: augmented"),
        ("augmented=perhaps", "should be true or false or none, not 'perhaps'"),
    ],
)
def test_mistake_in_an_option_is_named_and_nothing_written(command, words, message, tmp_path, capsys):
    assert main([*command, "--data.options", words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
