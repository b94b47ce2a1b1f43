import pytest
import torch
from torch import nn

from segattn import backbones
from segattn.backbones import resnet
from segattn.profile import flops

IMAGE = torch.zeros(1, 3, 65, 97)


def small(name="resnet18", **options):
    torch.manual_seed(0)
    return backbones.create(name, **{"width": 8, **options})


def randomised(model, seed=1):
    """The same network with random weights and running statistics, so that no branch is silent."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith(("running_var", "running_mean")) or value.ndim == 1:
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
            elif value.ndim == 4:
                spread = (2 / value[0].numel()) ** 0.5
                value.copy_(spread * torch.randn(value.shape, generator=generator))
    return model.eval()


# Names


def expected_names(blocks, convs):
    """State dict names of torchvision's ResNets, written from its documentation of the architecture."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["conv1.weight", *(f"bn1.{part}" for part in norm)]
    for stage, depth in enumerate(blocks, start=1):
        for block in range(depth):
            place = f"layer{stage}.{block}"
            for conv in range(1, convs + 1):
                names += [f"{place}.conv{conv}.weight", *(f"{place}.bn{conv}.{part}" for part in norm)]
            if block == 0 and (stage > 1 or convs == 3):
                names += [f"{place}.downsample.0.weight", *(f"{place}.downsample.1.{part}" for part in norm)]
    return names


@pytest.mark.parametrize(
    ("name", "blocks", "convs"),
    [
        ("resnet18", (2, 2, 2, 2), 2),
        ("resnet34", (3, 4, 6, 3), 2),
        ("resnet50", (3, 4, 6, 3), 3),
        ("resnet101", (3, 4, 23, 3), 3),
    ],
)
def test_plain_stem_has_torchvisions_parameter_names(name, blocks, convs):
    assert set(small(name, stem="plain").state_dict()) == set(expected_names(blocks, convs))


def test_deep_stem_has_mmsegmentations_v1c_names_and_shapes():
    with torch.device("meta"):
        state = backbones.create("resnet50").state_dict()
    stem = {name: tuple(value.shape) for name, value in state.items() if name.startswith("stem.") and value.ndim == 4}
    # ResNetV1c: half the stem's channels, 32, until the last of the three convolutions.
    assert stem == {"stem.0.weight": (32, 3, 3, 3), "stem.3.weight": (32, 32, 3, 3), "stem.6.weight": (64, 32, 3, 3)}
    assert {name.split(".")[1] for name in state if name.startswith("stem.")} == {"0", "1", "3", "4", "6", "7"}
    assert "conv1.weight" not in state
    rest = {name for name in state if not name.startswith("stem.")}
    assert rest == {name for name in expected_names((3, 4, 6, 3), 3) if not name.startswith(("conv1.", "bn1."))}


# Sizes and dilations


@pytest.mark.parametrize(
    ("output_stride", "sizes"),
    [
        (4, [(17, 25)] * 4),
        (8, [(17, 25), (9, 13), (9, 13), (9, 13)]),
        (16, [(17, 25), (9, 13), (5, 7), (5, 7)]),
        (32, [(17, 25), (9, 13), (5, 7), (3, 4)]),
    ],
)
@pytest.mark.parametrize("stem", ["deep", "plain"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_maps_have_the_strides_asked_for(name, stem, output_stride, sizes):
    body = small(name, stem=stem, output_stride=output_stride)
    maps = body.eval()(IMAGE)
    assert [tuple(x.shape) for x in maps] == [(1, c, *size) for c, size in zip(body.channels, sizes, strict=True)]


def test_crops_of_the_study_give_grids_of_97_and_65():
    with torch.device("meta"):
        body = backbones.create("resnet101").eval()
        for crop, grid in ((769, 97), (520, 65)):
            assert [x.shape[-2:] for x in body(torch.empty(1, 3, crop, crop))[1:]] == [(grid, grid)] * 3


def dilations(body):
    """Dilation of each block's 3x3 convolutions, by stage; only the first of a basic block is dilated."""
    conv = "conv1" if hasattr(body.layer1[0], "conv1") and body.layer1[0].conv1.kernel_size == (3, 3) else "conv2"
    stages = (body.layer1, body.layer2, body.layer3, body.layer4)
    return [[getattr(block, conv).dilation[0] for block in stage] for stage in stages]


@pytest.mark.parametrize(
    ("options", "layer3", "layer4"),
    [
        ({"output_stride": 4}, [2, 4, 4, 4, 4, 4], [4, 8, 8]),
        ({}, [1, 2, 2, 2, 2, 2], [2, 4, 4]),
        ({"contract_dilation": False}, [2, 2, 2, 2, 2, 2], [4, 4, 4]),
        ({"multi_grid": (1, 2, 4), "contract_dilation": False}, [2, 2, 2, 2, 2, 2], [4, 8, 16]),  # DANet, Denoised NL
        ({"multi_grid": (1, 2, 4)}, [1, 2, 2, 2, 2, 2], [2, 8, 16]),  # EMANet
        ({"output_stride": 16}, [1] * 6, [1, 2, 2]),
        ({"output_stride": 16, "contract_dilation": False}, [1] * 6, [2, 2, 2]),
        ({"output_stride": 32}, [1] * 6, [1, 1, 1]),
        ({"output_stride": 32, "multi_grid": (1, 2, 4)}, [1] * 6, [1, 2, 4]),
    ],
)
@pytest.mark.parametrize("name", ["resnet34", "resnet50"])
def test_dilations_of_the_last_stages(name, options, layer3, layer4):
    body = small(name, **options)
    layer2 = [1, 2, 2, 2] if options.get("output_stride") == 4 else [1] * 4
    assert dilations(body) == [[1] * 3, layer2, layer3, layer4]
    body.eval()(IMAGE)  # padding follows the dilation, or the shortcut would not fit


@pytest.mark.parametrize("output_stride", [4, 8])
def test_a_stage_with_dilation_sees_the_input_as_with_stride(output_stride):
    """On every eighth pixel the dilated network equals the strided one with the same weights (arXiv 1705.09914, sec. 3)."""
    dilated = randomised(small("resnet50", contract_dilation=True, output_stride=output_stride))
    strided = small("resnet50", output_stride=32).eval()
    strided.load_state_dict(dilated.state_dict())
    images = torch.randn(1, 3, 257, 257, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        step = 32 // output_stride
        fine, coarse = dilated(images)[3][..., ::step, ::step], strided(images)[3]
    assert fine.shape == coarse.shape == (1, 256, 9, 9)
    assert torch.allclose(fine, coarse, rtol=1e-4, atol=1e-5 * float(coarse.max()))  # sums of other order


# Against other people's code


def test_plain_stem_equals_timms_network_with_the_same_weights():
    timm = pytest.importorskip("timm")
    ours = randomised(backbones.create("resnet50", stem="plain", output_stride=32))
    reference = timm.create_model("resnet50", features_only=True).eval()
    reference.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 65, 97, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for mine, other in zip(ours(images), reference(images)[1:], strict=True):
            assert torch.allclose(mine, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


def test_plain_stem_equals_torchvisions_network_with_the_same_weights():
    try:
        from torchvision.models import resnet18
    except Exception as error:
        pytest.skip(f"torchvision does not import here: {error}")
    ours = randomised(backbones.create("resnet18", stem="plain", output_stride=32))
    reference = resnet18(weights=None).eval()
    fit = reference.load_state_dict(ours.state_dict(), strict=False)
    assert fit.missing_keys == ["fc.weight", "fc.bias"]
    assert fit.unexpected_keys == []
    reference.avgpool, reference.fc = nn.Identity(), nn.Identity()
    images = torch.randn(2, 3, 65, 97, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        mine, other = ours(images)[3].flatten(1), reference(images)
    assert torch.allclose(mine, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


# Cost


@pytest.mark.parametrize(("size", "gflops"), [(769, 846.1), (768, 829.5), (520, 380.3), (512, 368.7)])
def test_flops_of_the_authors_backbone_are_the_documented_ones(size, gflops):
    with torch.device("meta"):
        body = backbones.create("resnet101", stem_channels=128).eval()
    total = flops.count(body, torch.empty(1, 3, size, size, device="meta")).total()
    assert round(total.flops / 1e9, 1) == gflops


def test_parameters_are_those_of_resnet():
    with torch.device("meta"):
        counts = {
            name: sum(p.numel() for p in backbones.create(name, stem="plain").parameters()) for name in resnet.DEPTHS
        }
    # torchvision's documented totals less the classifier's 1000 C + 1000.
    assert counts == {
        "resnet18": 11_689_512 - 513_000,
        "resnet34": 21_797_672 - 513_000,
        "resnet50": 25_557_032 - 2_049_000,
        "resnet101": 44_549_160 - 2_049_000,
    }


# Options


@pytest.mark.parametrize(("name", "expansion"), [("resnet18", 1), ("resnet50", 4)])
@pytest.mark.parametrize("width", [8, 12])
def test_width_scales_every_stage(name, expansion, width):
    body = small(name, width=width)
    assert body.channels == tuple(expansion * width * factor for factor in (1, 2, 4, 8))
    assert body.stem[-2].num_features == width
    assert [x.shape[1] for x in body.eval()(IMAGE)] == list(body.channels)


def test_blocks_start_as_their_shortcut():
    body = small("resnet50")
    block = body.layer2[1].eval()
    x = torch.rand(1, 64, 5, 7)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_stride": 2}, "output_stride=2 is not possible; use one of 4, 8, 16, 32"),
        ({"stem": "v1c"}, "stem='v1c' is not known; use one of deep, plain"),
        (
            {"multi_grid": (1, 2, 4)},
            r"multi_grid=\(1, 2, 4\) should have 2 factors, one a block of stage 4 of resnet18",
        ),
        ({"dilations": 2}, "has no option 'dilations'; did you mean contract_dilation\\?|Its options: stem"),
        ({"width": 0}, "width=0 should be at least 1"),
        ({"stem_channels": 7}, "stem_channels=7 should be even"),
    ],
)
def test_wrong_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        backbones.create("resnet18", **options)


def test_unknown_name_is_told_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown backbone 'resnet110'; did you mean resnet.*timm:NAME"):
        backbones.create("resnet110")


# Receptive field


def seen(model, size):
    """Rows and columns of the image with a gradient from the middle position of stage 4: counts, and the outermost ones."""
    image = torch.randn(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    last = model(image)[-1]
    last[..., last.shape[-2] // 2, last.shape[-1] // 2].sum().backward()
    rows, columns = (image.grad.abs().sum((0, 1, axis)).nonzero().flatten() for axis in (3, 2))
    return int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"receptive_field": 55}, 55),
        ({"receptive_field": 103}, 103),
        ({"receptive_field": 311}, 311),
        ({}, 311),
        ({"receptive_field": 51, "stem": "plain"}, 51),
        # Worked out by hand: 15 after the stem, stage 1 +8 +8, stage 2 +8 at stride 4 and +16 at 8; then stage 3 at 8 alone.
        ({"receptive_field": 55, "output_stride": 32}, 55),
        ({"name": "resnet50", "receptive_field": 31}, 31),  # 15, +8 in stage 1, +8 in stage 2
        ({"name": "resnet50", "receptive_field": 95}, 95),  # 15, 3 times 8; then 8 and 3 times 16
    ],
)
def test_one_position_sees_its_receptive_field_and_nothing_else(options, field):
    model = randomised(small(**options)).double()
    assert model.receptive_field == field
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert seen(model, field + 66) == (field, field)


def test_another_receptive_field_is_refused_with_the_possible_ones():
    with pytest.raises(
        ValueError, match=r"receptive_field=60 is not possible; with .* resnet18 has one of 55, 103, 311"
    ):
        small(receptive_field=60)


def test_a_small_receptive_field_keeps_names_and_sizes():
    full, local = small(), small(receptive_field=55)
    assert set(full.state_dict()) == set(local.state_dict())
    assert [tuple(x.shape) for x in full(IMAGE)] == [tuple(x.shape) for x in local(IMAGE)]
    assert local.layer1[0].conv1.kernel_size == (3, 3)
    assert local.layer1[0].conv2.kernel_size == (1, 1)
    assert all(conv.kernel_size == (1, 1) for conv in local.layer4.modules() if isinstance(conv, nn.Conv2d))
