"""Files: folders that load, class names, the way back, and nothing written when something is wrong."""

import pickle

import pytest
import torch

import segattn
from segattn import cli
from segattn.convert.mmseg import from_mmseg
from segattn.convert.mmseg_file import export_file, import_file, read
from tests.convert.fabricate_mmseg import CLASSES, HEAD_NAMES, segmentor

NAMES = ["road", "sky", "tree", "car", "person"]
PALETTE = [[128, 64, 128], [70, 130, 180], [107, 142, 35], [0, 0, 142], [220, 20, 60]]
CONFIG = "model = dict(backbone=dict(contract_dilation=False), decode_head=dict(align_corners=True))"


def write(path, head="ccnet", **extra):
    torch.save({"state_dict": segmentor(head), **extra}, path)
    return path


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_folder_loads_and_predicts_as_the_state_dict_does(head, tmp_path):
    import_file(write(tmp_path / "in.pth", head), tmp_path / "out")
    image = torch.randn(1, 3, 41, 57, generator=torch.Generator().manual_seed(0))
    loaded = segattn.load_model(tmp_path / "out")
    expected = from_mmseg(segmentor(head)).build()(image)
    assert expected.shape == (1, CLASSES, 41, 57)
    torch.testing.assert_close(loaded(image), expected, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEAD_NAMES)
def test_file_there_and_back_is_the_same(head, tmp_path):
    described = {"classes": tuple(NAMES), "palette": PALETTE}
    import_file(write(tmp_path / "in.pth", head, meta={"dataset_meta": described, "cfg": CONFIG}), tmp_path / "out")
    export_file(tmp_path / "out", tmp_path / "back.pth")
    first, back = read(tmp_path / "in.pth"), read(tmp_path / "back.pth")
    assert back.state.keys() == first.state.keys()
    assert all(torch.equal(value, first.state[name]) for name, value in back.state.items())
    assert (back.class_names, back.palette) == (NAMES, [tuple(color) for color in PALETTE])
    import_file(tmp_path / "back.pth", tmp_path / "again")
    once, twice = segattn.load_model(tmp_path / "out"), segattn.load_model(tmp_path / "again")
    assert once.experiment.model == twice.experiment.model
    assert twice.align_corners is True


@pytest.mark.parametrize(
    "meta",
    [
        {"dataset_meta": {"classes": tuple(NAMES), "palette": PALETTE}},
        {"dataset_meta": {"CLASSES": NAMES, "PALETTE": PALETTE}},
        {"CLASSES": NAMES, "PALETTE": PALETTE},
    ],
)
def test_class_names_and_colours_of_both_generations(meta, tmp_path):
    import_file(write(tmp_path / "in.pth", meta=meta), tmp_path / "out")
    model = segattn.load_model(tmp_path / "out")
    assert model.class_names == tuple(NAMES)
    assert model.palette == tuple(tuple(color) for color in PALETTE)


def test_bare_state_dict_gets_generic_names(tmp_path):
    torch.save(segmentor("fcn"), tmp_path / "in.pth")
    import_file(tmp_path / "in.pth", tmp_path / "out")
    model = segattn.load_model(tmp_path / "out")
    assert model.class_names == ("class 0", "class 1", "class 2", "class 3", "class 4")
    assert len(set(model.palette)) == CLASSES


def test_a_configuration_file_stands_in_for_the_missing_text(tmp_path):
    (tmp_path / "config.py").write_text(CONFIG)
    import_file(write(tmp_path / "in.pth"), tmp_path / "out", config=tmp_path / "config.py")
    model = segattn.load_model(tmp_path / "out")
    assert model.align_corners is True
    assert model.experiment.model.backbone_options["contract_dilation"] is False


class Harmful:
    """Its pickle runs code that makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    harmed = tmp_path / "harmed"
    write(tmp_path / "in.pth", optimizer=Harmful(harmed))
    with pytest.raises(ValueError, match=r"in.pth: holds more than tensors.*publish_model"):
        import_file(tmp_path / "in.pth", tmp_path / "out")
    assert not harmed.exists()
    assert not (tmp_path / "out").exists()


def spoil(path, how):
    write(path)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    elif how == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("not a checkpoint")
    elif how == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": {"a": 1}}, protocol=2))
    elif how == "list":
        torch.save([1, 2], path)
    elif how == "absent":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("how", ["truncated", "half", "empty", "text", "pickle", "list", "absent", "folder"])
def test_damaged_files_are_refused_and_nothing_is_written(how, tmp_path):
    spoil(tmp_path / "in.pth", how)
    with pytest.raises(ValueError, match=r"in\.pth"):
        import_file(tmp_path / "in.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("meta", "expected", "message"),
    [
        ({}, {"head": "danet"}, "is ccnet, not danet"),
        ({}, {"num_classes": 19}, "5 classes, not 19"),
        ({"CLASSES": NAMES[:4]}, {}, "names 4 class names, but its classifier has 5 classes"),
        ({"CLASSES": "road"}, {}, "should be a list of names"),
        ({"PALETTE": PALETTE[:2]}, {}, "names 2 colours"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(meta, expected, message, tmp_path):
    write(tmp_path / "in.pth", meta=meta)
    with pytest.raises(ValueError, match=message):
        import_file(tmp_path / "in.pth", tmp_path / "out", **expected)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path):
    import_file(write(tmp_path / "in.pth"), tmp_path / "out")
    with pytest.raises(ValueError, match="out exists; give another folder"):
        import_file(tmp_path / "in.pth", tmp_path / "out")
    with pytest.raises(ValueError, match=r"in.pth exists; give another file"):
        export_file(tmp_path / "out", tmp_path / "in.pth")


def test_command_line_both_ways(tmp_path, capsys):
    source, folder, back = (str(tmp_path / name) for name in ("in.pth", "out", "back.pth"))
    write(tmp_path / "in.pth", "danet")
    assert cli.main(["convert", "mmseg", source, folder, "--align-corners", "yes"]) == 0
    printed = capsys.readouterr().out
    assert (
        "danet on resnet18 (deep stem, output stride 8), 5 classes, with auxiliary head, align_corners=True" in printed
    )
    assert "assumed strides=(1, 2, 1, 1)" in printed
    assert cli.main(["convert", "to-mmseg", folder, back, "--old-keys"]) == 0
    state = torch.load(back, weights_only=True)["state_dict"]
    assert state["decode_head.pam.gamma"].shape == (1,)
    assert "'DAHead'" in (tmp_path / "back.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["onnx", "a", "b"], "unknown; use one of mmseg, to-mmseg"),
        (["mmseg", "absent.pth", "out"], "absent.pth: no such file"),
        (["to-mmseg", "absent", "out.pth"], "absent: no model here"),
        (["to-mmseg", "absent", "out.py"], "is the checkpoint itself"),
    ],
)
def test_command_line_mistakes(arguments, message, capsys):
    assert cli.main(["convert", *arguments]) == 2
    assert message in capsys.readouterr().err
