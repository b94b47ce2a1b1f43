import pytest
import torch

from segattn import heads
from segattn.heads.parts import encoder
from segattn.model import create_model

CHANNELS = (8, 8, 8, 16)


def head(**options):
    torch.manual_seed(0)
    return encoder.Head(CHANNELS, 5, **{"channels": 16, "depth": 2, **options}).eval()


def maps(H=7, W=11):
    torch.manual_seed(1)
    return [torch.randn(2, C, H, W) for C in CHANNELS]


def reach(mixer, H=9, W=9):
    """Positions of the input that change the logits at (0, 0), by one block."""
    block = encoder.Block(16, encoder.create_mixer(mixer, 16, 5, {})).double().eval()
    torch.manual_seed(2)
    x = torch.randn(1, 16, H, W, dtype=torch.float64, requires_grad=True)
    block(x)[0, :, 0, 0].sum().backward()
    return x.grad[0].abs().sum(0) > 1e-12


@pytest.mark.parametrize("mixer", ["attention", "pooling", "none", "ccnet", "isanet", "agent", "emanet", "flanet"])
@pytest.mark.parametrize("size", [(7, 11), (1, 1), (1, 5)], ids=str)
def test_any_map_size_and_a_gradient_for_every_weight(mixer, size):
    network = head(mixer=mixer).train()
    logits = network(maps(*size))["out"]
    assert logits.shape == (2, 5, *size)
    logits.square().sum().backward()
    if size == (7, 11):
        lacking = [name for name, value in network.named_parameters() if value.grad is None]
        assert [name for name in lacking if not name.startswith(network.frozen or "-")] == []


def test_the_mixer_alone_tells_a_position_about_others():
    here = torch.zeros(9, 9, dtype=torch.bool)
    here[0, 0] = True
    assert torch.equal(reach("none"), here)
    near = torch.zeros(9, 9, dtype=torch.bool)
    near[:2, :2] = True
    assert torch.equal(reach("pooling"), near)
    assert reach("attention").all()
    assert reach("ccnet").all()  # two recurrences, its gate open


def test_attention_is_the_equation():
    torch.manual_seed(3)
    mixer, x = encoder.Attention(8, heads=2).double(), torch.randn(2, 8, 3, 5, dtype=torch.float64)
    q, k, v = mixer.qkv(x).flatten(2).unflatten(1, (3, 2, 4)).unbind(1)  # (B, heads, d, N)
    weights = torch.einsum("bhdi,bhdj->bhij", q, k).div(2).softmax(-1)
    mixed = torch.einsum("bhij,bhdj->bhdi", weights, v).reshape(2, 8, 3, 5)
    torch.testing.assert_close(mixer(x), mixer.project(mixed))


def test_a_mechanism_is_what_the_head_adds():
    torch.manual_seed(4)
    mixer, x = encoder.create_mixer("non_local", 16, 5, {}), torch.randn(1, 16, 4, 5)
    torch.testing.assert_close(mixer(x), mixer.mechanism(x) - x)
    assert mixer(x).any()
    whole = encoder.create_mixer("isanet", 16, 5, {}).eval()  # it has no skip
    torch.testing.assert_close(whole(x), whole.mechanism(x))


@pytest.mark.parametrize(
    "name", ["ccnet", "emanet", "flanet", "isanet", "agent", "non_local", "reconet", "hamburger", "polarized", "psp"]
)
def test_without_its_weights_a_mixer_adds_nothing(name):
    torch.manual_seed(4)
    mixer, x = encoder.create_mixer(name, 16, 5, {}).double().eval(), torch.randn(1, 16, 5, 6, dtype=torch.float64)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.mul_(1e-6)
    assert (mixer(x).abs() < 0.3 * x.abs() + 1e-4).all()  # RecoNet weighs its input by a tensor that is a quarter then


def test_looking_for_the_skip_draws_no_random_numbers():
    def drawn(name):
        torch.manual_seed(6)
        mixer = encoder.create_mixer(name, 16, 5, {})
        return mixer.mechanism.state_dict(), torch.rand(1)

    (first, number), (_, again) = drawn("hamburger"), drawn("hamburger")
    torch.manual_seed(6)
    alone = heads.module("hamburger").MatrixDecomposition(16)
    assert torch.equal(number, again)
    assert torch.equal(number, torch.rand(1))
    assert all(torch.equal(first[key], value) for key, value in alone.state_dict().items())
    with torch.device("meta"):  # as it is built to be counted
        assert encoder.create_mixer("isanet", 16, 5, {}).skip == "none"


def test_gates_are_open():
    mechanism = encoder.create_mixer("danet", 16, 5, {}).mechanism
    assert [mechanism.get_parameter(name).item() for name in heads.module("danet").Head.gates] == [1, 1]


def test_positions_tell_rows_and_columns_apart():
    codes = encoder.positions(torch.zeros(1, 16, 6, 9)).flatten(1).T  # (N, C)
    assert torch.cdist(codes, codes).add(torch.eye(54)).min() > 0.1
    assert codes.abs().max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mixer": "denoised_nl"},
            "mixer denoised_nl: its mechanism has training outputs of its own; choose another head",
        ),
        ({"mixer": "atention"}, "atention"),
        ({"mixer": "pooling", "mixer_options": {"size": 3}}, "mixer pooling has no option size"),
        ({"mixer_options": {"heads": 3}}, "heads=3 does not divide channels=16"),
        ({"depth": 0}, "depth is at least 1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_built_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        head(**options)


def test_a_dotted_name_builds_a_transformer():
    options = {"mixer": "isanet", "channels": 16, "depth": 1}
    settings = {"backbone": "patches", "backbone_options": {"width": 4}, "auxiliary_weight": 0, "head_options": options}
    model = create_model("segattn.heads.parts.encoder", num_classes=3, **settings).eval()
    assert "segattn.heads.parts.encoder" not in heads.names()
    assert model(torch.randn(1, 3, 33, 50)).shape == (1, 3, 33, 50)
