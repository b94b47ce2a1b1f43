"""Pretrained backbones by path, URL and name; the network is never touched."""

import json
import re
from urllib.error import URLError

import pytest
import torch

from segattn import backbones, checkpoint
from segattn.backbones import pretrained, published
from segattn.backbones.pretrained import load_backbone_weights
from segattn.model import build_model
from tests import tiny


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub folder."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    body = backbones.create("resnet18", width=8)
    path = tmp_path / "small.pth"
    torch.save(body.state_dict(), path)
    return path, body.state_dict()


def test_url_is_downloaded_once_into_the_hub_folder(weights, hub):
    path, state = weights
    body = backbones.create("resnet18", width=8)
    load_backbone_weights(body, path.as_uri())
    assert all(torch.equal(body.state_dict()[name], value) for name, value in state.items())
    assert (hub / "checkpoints/small.pth").is_file()
    path.unlink()
    load_backbone_weights(body, path.as_uri())  # from the hub folder


def test_wrong_hash_leaves_nothing(weights, hub):
    path, _ = weights
    damaged = path.rename(path.with_name("small-0123abcd.pth"))
    with pytest.raises(ValueError, match=r"cannot be downloaded.*hash"):
        published.local_file(damaged.as_uri())
    assert list((hub / "checkpoints").iterdir()) == []


def test_offline_the_message_says_how_to_go_on(hub, monkeypatch):
    def unreachable(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(ValueError, match="no route to host") as caught:
        published.local_file("mmsegmentation:resnet101_v1c")
    assert "--model.pretrained FILE" in str(caught.value)
    assert str(hub / "checkpoints/resnet101_v1c-e67eebb6.pth") in str(caught.value)


def test_file_put_where_the_message_says_is_taken(hub, monkeypatch):
    place = hub / "checkpoints/resnet50-0676ba61.pth"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"")
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    assert published.local_file("torchvision:resnet50") == str(place)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("torchvision:resnet51", "did you mean torchvision:resnet50"),
        ("mmsegmentation:resnet101", "did you mean mmsegmentation:resnet101_v1c"),
        (
            "weights/none.pth",
            "no such file; give the folder of a run, a trunk of segattn zoo, a local .pth or",
        ),
    ],
)
def test_unknown_place_is_an_error(where, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        published.local_file(where)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"format": 1, "weights": None}, None),  # version 0.1.0 wrote no digest
        ({"weights": None}, "is not the file whose SHA-256 config.json has"),
        ({"weights": {"sha256": "0" * 64}}, "is not the file whose SHA-256 config.json has"),
        ({"format": 1, "weights": []}, "is not the file whose SHA-256 config.json has"),
    ],
)
def test_run_to_start_from_has_the_weights_that_were_written(change, message, tmp_path):
    experiment = tiny.experiment("fcn")
    model = build_model(experiment.model, 3)
    names, palette = ["a", "b", "c"], [(0, 0, 0)] * 3
    run = checkpoint.save_model(model, tmp_path / "run", experiment=experiment, class_names=names, palette=palette)
    raw = json.loads((run / "config.json").read_text()) | change
    (run / "config.json").write_text(json.dumps({name: value for name, value in raw.items() if value is not None}))
    if message is None:
        assert pretrained.read(run).backbone.keys() == model.backbone.state_dict().keys()
        return
    with pytest.raises(ValueError, match=message):
        pretrained.read(run)
