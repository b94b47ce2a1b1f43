import json
import math
from dataclasses import asdict
from functools import cache

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from segattn import create_model, heads
from segattn.cost import experiment_cost, ledger, network_cost, parts
from segattn.profile.other_counters import cross_check
from tests.golden import make

# Grid -> image size at output stride 8, and the classes of the data set cropped so.
GRIDS = {64: (512, 150), 65: (520, 150), 96: (768, 19), 97: (769, 19)}
C = 512
MODES = ["faithful", "controlled"]
IMAGES = [(769, 769), (520, 520), (512, 1024)]
K = 19
X = 512  # channels of the last map of ResNet-18
SMALL = {"backbone": "resnet18", "backbone_options": {"width": 8}, "auxiliary_weight": 0}


@cache
def cost_of(head, size, mode):
    """Cost as in the study but for the backbone, which has no part in it."""
    return network_cost(head, input_size=size, num_classes=K, backbone="resnet18", mode=mode)


def mechanism_gflops(head, grid, options):
    """GFLOPs of a mechanism in the study's convention; the backbone has no part in it."""
    size, num_classes = GRIDS[grid]
    cost = network_cost(
        head, input_size=(size, size), num_classes=num_classes, backbone="resnet18", head_options=options
    )
    return cost.mechanism.study / 1e9


# The table of blocks at C = 512 that the study's convention and the papers' equations give: GFLOPs at the four grids.
BLOCKS = {
    ("non_local", ()): (21.485, 22.720, 96.660, 100.544),
    ("danet", ()): (26.312, 27.768, 113.560, 118.030),
    ("dnlnet", (("preset", "mmseg"),)): (21.492, 22.727, 96.675, 100.559),
    ("dnlnet", (("preset", "official"),)): (30.082, 31.866, 140.161, 145.886),
    ("ccnet", (("recurrence", 1),)): (3.294, 3.407, 8.090, 8.281),
    ("ccnet", (("recurrence", 2),)): (6.587, 6.814, 16.180, 16.562),
    ("emanet", ()): (6.182, 6.377, 13.910, 14.202),
    ("isanet", ()): (15.871, 20.222, 36.843, 43.654),
    ("flanet", ()): (8.657, 8.929, 19.428, 19.834),
    ("denoised_nl", ()): (2.215, 2.460, 7.928, 8.543),
}


@pytest.mark.slow
@pytest.mark.parametrize(("head", "options"), BLOCKS, ids=str)
def test_mechanism_costs_what_its_equation_says(head, options):
    found = [round(mechanism_gflops(head, grid, dict(options)), 3) for grid in GRIDS]
    assert found == list(BLOCKS[head, options])


def test_reconet_costs_what_its_equation_says():
    # The table counts the products h x w (64 N) and the gate (C N) as one FLOP each; neither is a multiply-add.
    found = []
    for n in GRIDS:
        counted = mechanism_gflops("reconet", n, {"size_handling": "fixed", "grid": (n, n)})
        found.append(round(counted + (64 + C) * n * n / 1e9, 3))
    assert found == [0.305, 0.314, 0.645, 0.658]


@pytest.mark.parametrize(
    ("part", "expected"),
    [("position", (22.017, 23.338, 103.896, 108.164)), ("channel", (4.295, 4.430, 9.664, 9.866))],
)
def test_both_attentions_of_danet_cost_what_their_equations_say(part, expected):
    found = []
    for size, _ in GRIDS.values():
        with torch.device("meta"):
            model = create_model("danet", num_classes=2, backbone="resnet18", auxiliary_weight=0)
        found.append(round(ledger(model, (size, size)).total(f"head.attention.{part}").study / 1e9, 3))
    assert found == list(expected)


def isanet_macs(H, W, P=8):
    N, D = math.ceil(H / P) * P * math.ceil(W / P) * P, C // 2
    return 2 * N * (2 * C * D + 2 * D**2 + 2 * C**2) + N * (N // P**2 + P**2) * (D + C)


def denoised_nl_macs(H, W):
    n, D = math.ceil(H / 2) * math.ceil(W / 2), C // 8
    return n * C * (2 * D + C) + n**2 * (D + C + K + 9) + 9 * n * D


# Head -> closed form as its docstring has it, and the same as a function of the map's height and width.
CLOSED_FORMS = {
    "fcn": ("the mechanism costs nothing", lambda H, W: 0),
    "non_local": (
        "4 N C D + 2 N^2 D",
        lambda H, W: 4 * H * W * C * (C // 2) + 2 * (H * W) ** 2 * (C // 2),
    ),
    "danet": (
        "of PAM N C (2 D + C) + N^2 (D + C), of CAM 2 N C^2",
        lambda H, W: H * W * C * (C // 4 + C) + (H * W) ** 2 * (C // 8 + C) + 2 * H * W * C**2,
    ),
    "dnlnet": (
        "N C (2 D + V + 1) + N^2 (D + V) + N V, and N V C with W",
        lambda H, W: H * W * C * (C + C // 2 + 1) + (H * W) ** 2 * C + H * W * (C // 2) + H * W * (C // 2) * C,
    ),
    "denoised_nl": ("n C (2D + C) + n^2 (D + C + K + 9) + 9 n D with n = ceil(H/2) ceil(W/2)", denoised_nl_macs),
    "reconet": (
        "r C N + r (C^2 + H^2 + W^2) in `fast` (`resample` to L x M: r (C^2 + L^2 + M^2))",
        lambda H, W: 64 * C * H * W + 64 * (C**2 + 64**2 + 64**2),
    ),
    "flanet": ("4 N C^2 + (H + W) C^2", lambda H, W: 4 * H * W * C**2 + (H + W) * C**2),
    "emanet": ("2 N C^2 + (2T + 1) N C K", lambda H, W: 2 * H * W * C**2 + (2 * 3 + 1) * H * W * C * 64),
    "isanet": ("2 N' (2 C D + 2 D^2 + 2 C^2) + N' (N'/P^2 + P^2) (D + C)", isanet_macs),
    "ccnet": (
        "R N (C (2D + C) + (H + W) (D + C))",
        lambda H, W: 2 * H * W * (C * (C // 4 + C) + (H + W) * (C // 8 + C)),
    ),
    "star": (
        "R N (C (2D + C) + (3H + W) (D + C))",
        lambda H, W: 2 * H * W * (C * (C // 4 + C) + (3 * H + W) * (C // 8 + C)),
    ),
    "psp": ("50 X w of the levels", lambda H, W: 50 * X * C),
    "aspp": ("X w + 28 N X w of the branches", lambda H, W: X * C + 28 * H * W * X * C),
}


def hamburger_macs(H, W, R=64, T=6):
    return H * W * (2 * C**2 + (2 * T + 3) * C * R) + (2 * T + 1) * R**2 * (H * W + C)


def ocr_macs(H, W):
    N, d = H * W, C // 2
    return N * C * K + N * (C * d + d**2) + K * (2 * C * d + d**2) + 2 * N * K * d + N * d * C + 2 * N * C**2


CLOSED_FORMS |= {
    "ocr": ("N C K + N (C d + d^2) + K (2 C d + d^2) + 2 N K d + N d C + 2 N C^2", ocr_macs),
    "efficient": ("4 N C D + 2 N D^2", lambda H, W: H * W * (4 * C * (C // 2) + 2 * (C // 2) ** 2)),
    "hamburger": ("2 N C^2 + (2T + 3) N C R + (2T + 1) R^2 (N + C)", hamburger_macs),
    "agent": ("4 N C^2 + 4 n N C + 9 N C", lambda H, W: H * W * C * (4 * C + 4 * 49 + 9)),
    "polarized": ("N C (1 + 3C/2) + N C + C^2/2", lambda H, W: H * W * C * (2 + 3 * C // 2) + C**2 // 2),
    "large_kernel": ("N C (3C + 74)", lambda H, W: H * W * C * (3 * C + 74)),
    "neighborhood": ("4 N C^2 + 2 N K^2 C", lambda H, W: H * W * C * (4 * C + 2 * 49)),
    "ss2d": ("N E (2 C + 9 + 8 R + 8 S)", lambda H, W: H * W * C * (2 * C + 9 + 8 * 32 + 8)),
    "external": ("2 N C^2 + 2 N C S", lambda H, W: 2 * H * W * C * (C + 64)),
}
# Head -> closed form of its controlled mechanism, where that holds more than the faithful one.
CONTROLLED_FORMS = {
    "ocr": ("N C K more", lambda H, W: ocr_macs(H, W) + H * W * C * K),
    "psp": ("50 C w + N (C + 4w) C", lambda H, W: 50 * C * (C // 4) + H * W * 2 * C * C),
    "aspp": ("C w + 28 N C w + 5 N w C", lambda H, W: (C + 28 * H * W * C + 5 * H * W * C) * (C // 4)),
}


@pytest.mark.parametrize("head", heads.names())
def test_counted_macs_are_exactly_the_closed_form_of_the_docstring(head):
    text, macs = CLOSED_FORMS[head]
    assert text in " ".join(heads.module(head).__doc__.split())
    found = [cost_of(head, size, "faithful").mechanism.macs for size in IMAGES]
    assert found == [macs(math.ceil(height / 8), math.ceil(width / 8)) for height, width in IMAGES]


@pytest.mark.slow
@pytest.mark.parametrize("size", IMAGES, ids=str)
def test_controlled_networks_differ_by_their_mechanism_only(size):
    def surroundings(head):
        cost = cost_of(head, size, "controlled")
        mechanism, whole, network = (asdict(part) for part in (cost.mechanism, cost.head_total, cost.network))
        return {figure: (whole[figure] - mechanism[figure], network[figure] - whole[figure]) for figure in whole}

    expected = surroundings("fcn")
    assert expected["macs"][0] == (9 * (2 * C * C + 2 * C**2) + C * K) * math.prod(math.ceil(s / 8) for s in size)
    assert {head: surroundings(head) for head in heads.names()} == dict.fromkeys(heads.names(), expected)


@pytest.mark.parametrize("head", CONTROLLED_FORMS)
def test_controlled_mechanism_costs_what_the_docstring_says(head):
    text, macs = CONTROLLED_FORMS[head]
    assert text in " ".join(heads.module(head).__doc__.split())
    assert cost_of(head, (769, 769), "controlled").mechanism.macs == macs(97, 97)


@pytest.mark.parametrize("head", sorted(set(heads.names()) - {"denoised_nl", *CONTROLLED_FORMS}))
def test_mechanism_costs_the_same_in_both_modes(head):
    faithful, controlled = (cost_of(head, (520, 520), mode).mechanism for mode in MODES)
    assert (controlled.macs, controlled.study, controlled.parameters) == (
        faithful.macs, faithful.study, faithful.parameters,
    )  # fmt: skip


def test_controlled_mechanism_of_denoised_nl_brings_its_half_grid_and_class_logits():
    faithful, controlled = (cost_of("denoised_nl", (520, 520), mode).mechanism for mode in MODES)
    half_grid = 3 * 9 * C**2 * 33**2  # three 3x3 convolutions at half of 65 x 65
    assert controlled.macs == faithful.macs + half_grid + C * K * 65**2


# GFLOPs (2 per multiply-add) and million parameters of whole heads on a 97x97 grid, 19 classes, as in mmsegmentation.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "gflops", "parameters"),
    [
        ("non_local", 544.7, 24.13),
        ("dnlnet", 544.7, 24.13),
        ("danet", 562.5, 23.95),
        ("ccnet", 460.7, 23.93),
        ("emanet", 314.0, 16.46),
        ("isanet", 231.2, 11.82),
    ],
)
def test_whole_head_costs_what_mmsegmentations_does(head, gflops, parameters):
    found = network_cost(head, input_size=(769, 769), num_classes=19).head_total
    # mmsegmentation computes the classifiers of DANet's two attentions at inference too, and throws them away.
    unused = 2 * 2 * 97 * 97 * C * 19 if head == "danet" else 0
    assert round((found.flops + unused) / 1e9, 1) == gflops
    assert round(found.parameters / 1e6, 2) == parameters


@pytest.mark.long("ccnet", "flanet", "isanet", "hamburger", "fcn")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("head", heads.names())
def test_macs_of_a_network_equal_torchs_own_counter(head, mode):
    backbone = "resnet50" if head == "fcn" else "resnet18"  # bottlenecks once: they are the same below each head
    with torch.device("meta"):
        model = create_model(head, num_classes=5, backbone=backbone, mode=mode, auxiliary_weight=0)
        counted = ledger(model, (65, 97)).total()
        with FlopCounterMode(display=False) as theirs, torch.no_grad():
            model(torch.empty(1, 3, 65, 97))
    assert counted.flops == theirs.get_total_flops()


@pytest.mark.long("ccnet", "denoised_nl", "hamburger", "ocr")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("head", heads.names())
def test_fvcore_counts_the_same_products_and_besides_them_what_the_docs_say(head, mode):
    with torch.device("meta"):
        model = create_model(head, num_classes=5, mode=mode, head_options={"channels": 32}, **SMALL)
    module, inputs = parts(model, (65, 97))["head"]
    (reading,) = cross_check(module, *inputs, counters=["fvcore"])
    if reading.figure is None:
        pytest.skip(f"fvcore {reading.problem}")
    terms = {term.kind: term for term in reading.terms}
    products = [terms[kind] for kind in ("Conv2d", "conv2d", "Linear", "@") if kind in terms]
    assert [term.figure for term in products] == [term.macs for term in products]
    if "einsum" in terms and head != "reconet":  # its outer products are no multiply-adds, but half of one for fvcore
        assert terms["einsum"].figure == pytest.approx(terms["einsum"].macs, rel=1e-3)  # its figure has four digits
    other = {kind for kind, term in terms.items() if term.figure and term not in products}
    assert other <= {"BatchNorm2d", "interpolate", "einsum", "adaptive_avg_pool2d"}


@pytest.mark.long("ccnet", "danet", "denoised_nl", "ocr", "ss2d")
@pytest.mark.parametrize("head", heads.names())
@pytest.mark.parametrize("mode", MODES)
def test_parts_contain_one_another(head, mode):
    cost = network_cost(head, input_size=(65, 97), num_classes=5, backbone="resnet18", mode=mode)
    for figure in ("parameters", "macs", "flops", "study", "other", "activation_bytes"):
        inner, middle, outer = (getattr(part, figure) for part in (cost.mechanism, cost.head_total, cost.network))
        assert 0 <= inner <= middle < outer
    assert cost.network.flops == 2 * cost.network.macs <= cost.network.study
    assert (cost.mechanism.macs == 0) == (head == "fcn")


@pytest.mark.slow
@pytest.mark.parametrize("head", heads.names())
def test_cost_does_not_depend_on_the_form_that_computes_it(head):
    def cost(implementation):
        options = {"implementation": implementation}
        return network_cost(head, input_size=(97, 65), num_classes=5, backbone="resnet18", head_options=options)

    if head == "fcn":
        with pytest.raises(ValueError, match="has no option 'implementation'"):
            cost("fast")
        return
    assert cost("fast") == cost("reference") == cost("auto")


def test_parameters_are_those_of_a_real_network():
    options = {"num_classes": 5, "backbone": "resnet18", "head_options": {"channels": 16}}
    model = create_model("emanet", auxiliary_weight=0, **options)
    cost = network_cost("emanet", input_size=(65, 97), **options)
    assert cost.network.parameters == sum(p.numel() for p in model.parameters())
    assert cost.mechanism.parameters == sum(p.numel() for p in model.head.attention.parameters())


def test_auxiliary_head_is_not_part_of_inference():
    with torch.device("meta"):
        model = create_model("fcn", num_classes=5, backbone="resnet18")
    assert not any(path.startswith("auxiliary") for path in ledger(model, (65, 97)).modules)


def test_experiment_is_counted_at_its_crop_with_its_options():
    from tests import tiny

    config = tiny.experiment("ccnet", model={"mode": "controlled"})
    expected = network_cost(
        "ccnet", input_size=(32, 48), num_classes=19, backbone="resnet18", mode="controlled",
        head_options={"channels": 8}, backbone_options={"width": 8},
    )  # fmt: skip
    assert experiment_cost(config, 19) == expected


def test_operator_without_a_formula_is_an_error_not_a_zero(tmp_path, monkeypatch):
    (tmp_path / "odd_lab").mkdir()
    (tmp_path / "odd_lab/fourier.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Head(nn.Module):\n"
        "    loss_weights, own_auxiliary = {'out': 1.0}, True\n"
        "    def __init__(self, in_channels, num_classes):\n"
        "        super().__init__()\n"
        "        self.attention, self.classify = nn.Identity(), nn.Conv2d(in_channels[3], num_classes, 1)\n"
        "    def forward(self, features):\n"
        "        return {'out': torch.fft.fft2(self.classify(features[3])).real}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"fft.*'head' \(Head\) has no formula"):
        network_cost("odd_lab.fourier", input_size=(65, 97), num_classes=5, backbone="resnet18")


def test_head_without_its_mechanism_told_apart_is_all_mechanism(tmp_path, monkeypatch):
    (tmp_path / "bare_lab").mkdir()
    (tmp_path / "bare_lab/bare.py").write_text(
        "from torch import nn\n"
        "class Head(nn.Module):\n"
        "    loss_weights, own_auxiliary = {'out': 1.0}, True\n"
        "    def __init__(self, in_channels, num_classes):\n"
        "        super().__init__()\n"
        "        self.classify = nn.Conv2d(in_channels[3], num_classes, 1)\n"
        "    def forward(self, features):\n"
        "        return {'out': self.classify(features[3])}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cost = network_cost("bare_lab.bare", input_size=(65, 97), num_classes=5, backbone="resnet18")
    assert cost.mechanism == cost.head_total
    assert cost.mechanism.macs == 9 * 13 * 512 * 5


@pytest.mark.slow
def test_costs_are_the_golden_ones():
    found, golden = make.table(), json.loads(make.PATH.read_text())
    differing = [
        f"{case}, {head}, {part}: {figures} instead of {golden.get(case, {}).get(head, {}).get(part)}"
        for case, rows in found.items()
        for head, parts in rows.items()
        for part, figures in parts.items()
        if figures != golden.get(case, {}).get(head, {}).get(part)
    ]
    gone = [
        f"{case}, {head}: gone" for case, rows in golden.items() for head in rows if head not in found.get(case, {})
    ]
    message = "costs changed; if they should have, run `python -m tests.golden.make` and say why in the commit:\n"
    assert not differing + gone, message + "\n".join(differing + gone)
