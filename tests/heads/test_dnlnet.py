"""DNLNet against its equation, written with loops over positions."""

import math

import pytest
import torch
from torch import Tensor

from segattn.heads import create
from segattn.heads.dnlnet import DisentangledNonLocal, Head

IMPLEMENTATIONS = ["reference", "fast"]
SWITCHES = [
    {"preset": "mmseg"},
    {"preset": "official"},
    {"preset": "mmseg", "whitening": "scalar"},
    {"preset": "mmseg", "whitening": "none", "value_channels": 7},
    {"preset": "mmseg", "scale": False, "temperature": 0.3},
    {"preset": "mmseg", "gamma": True},
    {"preset": "mmseg", "out_conv": False},
    {"preset": "official", "scale": True, "temperature": 0.1, "whitening": "channel"},
    {"preset": "official", "out_conv": True, "gamma": False},
]
EXPLICIT = {  # what each preset stands for: whitening, scale, temperature, out_conv, gamma
    "mmseg": {"whitening": "channel", "scale": True, "temperature": 0.05, "out_conv": True, "gamma": False},
    "official": {"whitening": "scalar", "scale": False, "temperature": 1.0, "out_conv": False, "gamma": True},
}


def oracle(block: DisentangledNonLocal, x: Tensor, switches: dict) -> Tensor:
    """z_i = x_i + BN(W sum_j (gamma softmax_j(..) + softmax_j(m_j)) v_j), position by position."""
    setting = EXPLICIT[switches["preset"]] | switches
    C, H, W = x.shape[1:]

    def project(conv: torch.nn.Conv2d, v: Tensor) -> Tensor:
        out = conv.weight[:, :, 0, 0] @ v
        return out if conv.bias is None else out + conv.bias

    def whiten(vectors: list[Tensor]) -> list[Tensor]:
        mean = {"channel": sum(vectors) / len(vectors), "scalar": torch.cat(vectors).mean(), "none": 0.0}
        return [v - mean[setting["whitening"]] for v in vectors]

    divisor = (math.sqrt(C // 2) if setting["scale"] else 1.0) * setting["temperature"]
    gamma = block.gamma if setting["gamma"] else 1.0
    z = torch.zeros_like(x)
    for b in range(len(x)):
        features = [x[b, :, i // W, i % W] for i in range(H * W)]
        queries = whiten([project(block.query, v) for v in features])
        keys = whiten([project(block.key, v) for v in features])
        values = [project(block.value, v) for v in features]
        salience = torch.stack([project(block.unary, v)[0] for v in features]).softmax(0)
        for i, q in enumerate(queries):
            pairwise = torch.stack([q.dot(k) / divisor for k in keys]).softmax(0)
            y = sum((gamma * pairwise[j] + salience[j]) * values[j] for j in range(H * W))
            if setting["out_conv"]:
                bn = block.bn
                y = block.project.weight[:, :, 0, 0] @ y
                y = (y - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
            z[b, :, i // W, i % W] = features[i] + y
    return z


def randomised(channels: int, **switches) -> DisentangledNonLocal:
    torch.manual_seed(0)
    block = DisentangledNonLocal(channels, **switches).eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return block


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_block_equals_the_equation(switches, implementation):
    block = randomised(6, **switches, implementation=implementation).double()
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    expected = oracle(block, x, switches)
    torch.testing.assert_close(block(x), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(block.float()(x.float()).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_fast_form_has_the_gradients_of_the_reference(switches):
    fast, reference = (randomised(6, **switches, implementation=form).double() for form in ("fast", "reference"))
    x = torch.randn(2, 6, 5, 3, dtype=torch.float64)
    upstream = torch.randn_like(x)
    gradients = []
    for block in (fast, reference):
        inputs = [x.clone().requires_grad_(), *block.parameters()]
        gradients.append(torch.autograd.grad((block(inputs[0]) * upstream).sum(), inputs))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("preset", ["mmseg", "official"])
def test_gradients_are_those_of_the_equation(preset, implementation):
    block = randomised(4, preset=preset, implementation=implementation).double()
    x = torch.randn(2, 4, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))


@pytest.mark.parametrize("whitening", ["channel", "scalar", "none"])
def test_pairwise_weights_ignore_a_vector_added_to_all_keys(whitening):
    torch.manual_seed(2)
    block = randomised(6, whitening=whitening).double()
    before, after = pairwise_weights_when_shifted(block, shifted=block.key)
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)


def test_pairwise_weights_ignore_a_vector_added_to_all_queries_once_whitened_per_channel():
    block = randomised(6, whitening="channel").double()
    before, after = pairwise_weights_when_shifted(block, shifted=block.query)
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("whitening", ["scalar", "none"])
def test_other_whitenings_leave_part_of_the_unary_term_in_the_pairwise_one(whitening):
    block = randomised(6, whitening=whitening).double()
    before, after = pairwise_weights_when_shifted(block, shifted=block.query)
    assert (after - before).abs().max() > 0.01


def pairwise_weights_when_shifted(block: DisentangledNonLocal, shifted: torch.nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Maps of one pixel before and after a constant vector is added to all queries or keys (to their bias)."""
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    before = block.maps(x, (1, 2))["pairwise"]
    shifted.bias.data += torch.tensor([1.0, -2.0, 0.5])
    return before, block.maps(x, (1, 2))["pairwise"]


def test_mmseg_preset_starts_as_the_identity():
    block = DisentangledNonLocal(8)
    x = torch.randn(2, 8, 5, 7)
    assert torch.equal(block(x), x)


def test_official_preset_starts_with_the_unary_term_alone():
    block = DisentangledNonLocal(8, preset="official").double()
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    added = (block(x) - x).flatten(2)  # one vector per sample, the same at every position
    pooled = torch.einsum("bn,bcn->bc", block.unary(x).flatten(1).softmax(1), block.value(x).flatten(2))
    torch.testing.assert_close(added, pooled.unsqueeze(2).expand_as(added))
    assert added.abs().max() > 1e-4


@pytest.mark.parametrize(
    ("preset", "gflops"),
    [  # GFLOPs of the study's convention at 64x64, 65x65, 96x96, 97x97, to the three printed digits
        ("mmseg", [21.492, 22.727, 96.675, 100.559]),
        ("official", [30.082, 31.866, 140.161, 145.886]),
    ],
)
def test_counted_products_match_the_ledger(preset, gflops):
    from torch.utils.flop_counter import FlopCounterMode

    block = DisentangledNonLocal(512, preset=preset, implementation="reference").to("meta").eval()
    convolved = sum(m.out_channels for m in block.modules() if isinstance(m, torch.nn.Conv2d))
    for size, expected in zip((64, 65, 96, 97), gflops, strict=True):
        with FlopCounterMode(display=False) as counter:
            block(torch.empty(1, 512, size, size, device="meta"))
        total = counter.get_total_flops() + 2 * size**2 * convolved  # the convention's "+ 1" per output
        assert round(total / 1e9, 3) == expected


def test_whitening_does_not_overflow_half_precision():
    block = randomised(8)
    x = torch.full((1, 8, 67, 71), 300.0) + torch.randn(1, 8, 67, 71)  # sums over positions exceed 65504
    for dtype in (torch.float16, torch.bfloat16):
        for implementation in IMPLEMENTATIONS:
            block.implementation = implementation
            with torch.autocast("cpu", dtype):
                assert block(x).isfinite().all()


def test_samples_do_not_mix():
    block = randomised(8, preset="official")
    x = torch.randn(2, 8, 5, 7)
    torch.testing.assert_close(block(x)[1:], block(x[1:]))


def test_inputs_are_left_as_they_are():
    block = randomised(8)
    x = torch.randn(2, 8, 5, 7)
    kept = x.clone()
    block(x)
    assert torch.equal(x, kept)


def test_maps_are_the_pairwise_row_and_the_unary_weights():
    head = Head((3, 3, 3, 5), 2, channels=4).eval()
    for parameter in head.attention.parameters():
        torch.nn.init.normal_(parameter)
    features = [torch.randn(2, c, 3, 5) for c in (3, 3, 3, 5)]
    x = head.sandwich.before(features[-1])
    maps = head.attention_maps(features, (2, 1))
    query, key = head.attention.query(x).flatten(2), head.attention.key(x).flatten(2)  # (B, 2, N)
    query, key = query - query.mean(2, keepdim=True), key - key.mean(2, keepdim=True)
    rows = torch.einsum("bdi,bdj->bij", query, key).div(math.sqrt(2) * 0.05).softmax(2)
    torch.testing.assert_close(maps["pairwise"], rows[:, 2 * 5 + 1].unflatten(1, (3, 5)))
    torch.testing.assert_close(maps["unary"], head.attention.unary(x).flatten(1).softmax(1).unflatten(1, (3, 5)))


def test_parameters_exempt_from_weight_decay_are_those_of_query_and_key():
    names = [name for name, _ in Head((3, 3, 3, 5), 2, channels=4).named_parameters()]
    assert [name for name in names if name.startswith(Head.no_weight_decay)] == [
        f"attention.{projection}.{kind}" for projection in ("query", "key") for kind in ("weight", "bias")
    ]


def test_controlled_form_takes_preset_and_temperature():
    head = create("dnlnet", (3, 3, 3, 5), 2, mode="controlled", channels=4, preset="official", temperature=0.5)
    assert head.attention.gamma is not None
    assert head.attention.whitening == "scalar"
    assert head.attention.scale == 2.0


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"preset": "paper"}, r"preset='paper'.*'mmseg', 'official'"),
        ({"whitening": "batch"}, r"whitening='batch'.*'channel', 'scalar', 'none'"),
        ({"preset": "official", "value_channels": 3}, r"value_channels=3 needs out_conv=True, or 8"),
        ({"temperature": 0.0}, r"temperature=0.0 .*positive"),
    ],
)
def test_impossible_switches_are_refused_by_name(switches, message):
    with pytest.raises(ValueError, match=message):
        DisentangledNonLocal(8, **switches)
