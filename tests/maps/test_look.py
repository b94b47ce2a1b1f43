"""Attention maps of a pixel: what kind each map is, and that nothing of the size N x N is made."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import segattn
from segattn import heads
from segattn.data.transforms import to_tensor
from segattn.maps.look import look

ATTENDING = [name for name in heads.names() if name != "fcn"]


def network(head="ccnet", *, align_corners=False, mode="faithful", classes=5):
    torch.manual_seed(0)
    return segattn.create_model(
        head,
        num_classes=classes,
        backbone="resnet18",
        mode=mode,
        align_corners=align_corners,
        head_options={"channels": 16},
        backbone_options={"width": 8},
    ).eval()


def street(height=72, width=104):
    return segattn.datasets.load("streets", "val", height=height, width=width)[1].image


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
@pytest.mark.parametrize("head", ATTENDING)
def test_every_head_gives_maps_of_the_shapes_of_their_kinds(head, mode):
    result = segattn.attention_maps(network(head, mode=mode), street(), (60, 30))
    assert result.name == head
    assert result.main in result.maps
    num_bases = {"efficient": 8, "agent": 49, "polarized": 16, "ocr": 5}.get(head, 64)
    shapes = {"positions": (9, 13), "half_grid": (5, 7), "channels": (16, 16), "bases": (num_bases,)}
    for each in result.maps.values():
        assert each.values.shape == shapes[each.kind]
        assert each.values.dtype == np.float32


def test_kinds_are_told_apart_where_the_shapes_are_alike():
    """16 x 16 positions and 16 channels: only the head knows which is which."""
    result = segattn.attention_maps(network("danet"), street(128, 128), (60, 30))
    assert {name: each.kind for name, each in result.maps.items()} == {
        "position": "positions", "channel": "positions", "channel_affinity": "channels",
    }  # fmt: skip


def test_maps_are_those_of_the_head_at_the_position_and_the_backbone_runs_once():
    model, image = network(), street()
    runs = []
    model.backbone.register_forward_hook(lambda *_: runs.append(1))
    result = segattn.attention_maps(model, image, pixel=(60, 30))  # column 60 // 8, row 30 // 8
    assert len(runs) == 1
    assert result.position == (3, 7)
    with torch.no_grad():
        expected = model.head.attention_maps(model.backbone(to_tensor(image)[None]), (3, 7))
    for name, map in expected.items():
        np.testing.assert_allclose(result.maps[name].values, map[0], rtol=1e-6)


def test_prediction_and_confidence_are_the_models_own():
    model, image = network(), street()
    with torch.no_grad():
        torch.nn.init.normal_(model.head.sandwich.classify.conv.weight)  # several classes
        probabilities = model(to_tensor(image)[None])[0].softmax(0)
    result = segattn.attention_maps(model, image, (60, 30))
    assert np.array_equal(result.prediction, probabilities.argmax(0))
    assert len(np.unique(result.prediction)) > 1
    assert result.class_index == probabilities[:, 30, 60].argmax()
    assert result.confidence == pytest.approx(float(probabilities[:, 30, 60].max()), rel=1e-6)
    assert result.class_name == f"class {result.class_index}"


class Largest(TorchDispatchMode):
    """Remembers the most bytes of any tensor that an operator makes."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        outputs = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(outputs):
            if isinstance(leaf, torch.Tensor):
                self.bytes = max(self.bytes, leaf.untyped_storage().nbytes())
        return outputs


@pytest.mark.parametrize("mode", ["faithful", "controlled"])
@pytest.mark.parametrize("head", ATTENDING)
def test_no_tensor_of_all_pairs_is_made_for_one_pixel(head, mode):
    built = heads.create(head, (8, 8, 8, 8), 3, mode=mode, channels=8).eval()
    features = [torch.randn(1, 8, 41, 43) for _ in range(4)]
    with torch.no_grad(), Largest() as largest:
        built.attention_maps(features, (17, 29))
    positions = 21 * 22 if head == "denoised_nl" else 41 * 43
    assert 0 < largest.bytes < positions**2 * 4 / 4


@pytest.mark.parametrize("kind", ["path", "string", "pil", "array", "tensor", "batch of one"])
def test_image_may_be_a_file_a_picture_an_array_or_a_tensor(kind, tmp_path):
    image = street()
    Image.fromarray(image).save(tmp_path / "street.png")
    picture = {
        "path": tmp_path / "street.png",
        "string": str(tmp_path / "street.png"),
        "pil": Image.fromarray(image),
        "array": image,
        "tensor": to_tensor(image),
        "batch of one": to_tensor(image)[None],
    }[kind]
    result = segattn.attention_maps(network(), picture, (60, 30))
    assert np.array_equal(result.image, image)


def test_orientation_of_a_photo_is_respected(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    Image.fromarray(street()).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    for picture in (tmp_path / "turned.jpg", Image.open(tmp_path / "turned.jpg")):
        assert segattn.attention_maps(network(), picture, (60, 90)).image.shape == (104, 72, 3)


def test_max_side_scales_the_image_and_the_pixel_with_it():
    result = segattn.attention_maps(network(), street(), (103, 35), max_side=52)
    assert result.image.shape == (36, 52, 3)
    assert (result.pixel, result.spot) == ((103, 35), (51, 17))
    assert segattn.attention_maps(network(), street(), (103, 35), max_side=104).spot == (103, 35)


@pytest.mark.parametrize("pixel", [(104, 3), (90, 72), (-1, 5), (5, -1)])
def test_pixel_outside_is_refused_with_the_range(pixel):
    with pytest.raises(
        ValueError, match=r"outside the image of 104 x 72 pixels: x goes from 0 to 103, y from 0 to 71$"
    ):
        segattn.attention_maps(network(), street(), pixel)


def test_exchanged_coordinates_are_suspected():
    with pytest.raises(ValueError, match=r"did you mean \(90, 30\)\?"):
        segattn.attention_maps(network(), street(), (30, 90))


def test_head_without_maps_is_refused():
    with pytest.raises(ValueError, match=r"head fcn has no attention maps: nothing in it attends"):
        segattn.attention_maps(network("fcn"), street(), (30, 20))


def test_mechanism_without_maps_in_the_controlled_form_is_told_what_to_add():
    class Shift(nn.Module):
        def forward(self, x):
            return x + 1

    model = network("ccnet", mode="controlled")
    model.head.attention = Shift()
    said = r"ccnet has no attention maps: the controlled form asks its mechanism; add to class Shift: def maps\(self, x, pixel\)"
    with pytest.raises(ValueError, match=said):
        segattn.attention_maps(model, street(), (30, 20))
    with pytest.raises(ValueError, match="nothing in it attends"):
        segattn.attention_maps(network("fcn", mode="controlled"), street(), (30, 20))


def test_head_that_declares_no_maps_is_told_what_to_add():
    model = network("fcn")

    class Bare(nn.Module):
        def __init__(self, head):
            super().__init__()
            self.head = head

        def forward(self, features):
            return self.head(features)

    model.head = Bare(model.head)
    with pytest.raises(
        ValueError, match=r"no attention maps: add .*: def attention_maps\(self, features, pixel\): return"
    ) as no:
        segattn.attention_maps(model, street(), (30, 20), name="tenth")
    assert "\n" not in str(no.value)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((5, 7, 3)), r"type float64; expected uint8"),
        (np.zeros((5, 7, 4), np.uint8), r"\(5, 7, 4\)"),
        (torch.zeros(3, 5, 7, dtype=torch.uint8), r"normalised image, float \(3, H, W\)"),
        (torch.zeros(2, 3, 5, 7), r"\(2, 3, 5, 7\)"),
        ("nowhere.png", r"nowhere\.png: no such image"),
    ],
)
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        segattn.attention_maps(network(), image, (1, 1))


def test_training_mode_and_other_mistakes_are_named():
    with pytest.raises(ValueError, match=r"call model\.eval\(\)"):
        segattn.attention_maps(network().train(), street(), (30, 20))
    with pytest.raises(ValueError, match="two whole numbers"):
        segattn.attention_maps(network(), street(), (30.5, 20))
    with pytest.raises(ValueError, match="max_side=0"):
        segattn.attention_maps(network(), street(), (30, 20), max_side=0)
    with pytest.raises(ValueError, match="max_side is for pictures"):
        segattn.attention_maps(network(), to_tensor(street()), (30, 20), max_side=50)


def test_map_of_an_undeclared_shape_is_refused_with_advice():
    model = network("flanet")
    model.head.attention.map_kinds = {}
    with pytest.raises(ValueError, match=r"flanet: map 'column' .*name its kind in the head's `map_kinds`"):
        segattn.attention_maps(model, street(), (30, 20))


def test_it_draws_itself_in_a_notebook():
    result = segattn.attention_maps(network(), street(), (60, 30))
    data, size = result._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert set(size) == {"width", "height"}
    assert repr(result).startswith("<ccnet at (60, 30): class ")
    assert "cross 9x13, composed 9x13" in repr(result)


def test_public_names_stay_what_they_are_after_their_modules_are_imported():
    for name in segattn.__all__:
        assert getattr(segattn, name) is getattr(segattn, name)
    assert callable(segattn.attention_maps)


@pytest.mark.parametrize("head", heads.names())
def test_one_look_serves_every_pixel_as_a_pass_for_each_would(head, monkeypatch):
    model = network(head)
    seen = look(model, street(), max_side=80)
    assert seen.num_bytes > 4 * sum(feature.numel() for feature in seen.features)
    monkeypatch.setattr(model.backbone, "forward", None)  # it has run
    results = [seen.at(pixel) for pixel in [(0, 0), (103, 71), (60, 30)]]
    monkeypatch.undo()
    if head == "fcn":
        assert [each.maps for each in results] == [{}, {}, {}]
        with pytest.raises(ValueError, match="fcn has no attention maps to draw"):
            results[0].figure()
        return
    for each in results:
        alone = segattn.attention_maps(model, street(), each.pixel, max_side=80)
        assert (each.spot, each.position, each.main) == (alone.spot, alone.position, alone.main)
        assert (each.class_index, each.confidence) == (alone.class_index, alone.confidence)
        for name, values in each.maps.items():
            np.testing.assert_array_equal(values.values, alone.maps[name].values)
