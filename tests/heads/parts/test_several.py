import pytest
import torch

from segattn import heads
from segattn.heads.parts import several
from segattn.model import create_model

CHANNELS = (8, 8, 8, 16)
NAMES = ("fcn", "ccnet", "emanet", "denoised_nl")


def head(**options):
    torch.manual_seed(0)
    return several.Head(CHANNELS, 5, **{"names": NAMES, "per_step": 2, "channels": 8, **options})


def maps():
    torch.manual_seed(1)
    return [torch.randn(2, C, 7, 11) for C in CHANNELS]


def test_training_gives_every_output_that_has_a_weight():
    trunk = head().train()
    assert trunk(maps()).keys() == trunk.loss_weights.keys()
    assert set(trunk.loss_weights) == {"out", "out2", "denoised_nl_out", *(
        f"denoised_nl_{name}" for name in trunk.members["denoised_nl"].loss_weights if name != "out"
    )}  # fmt: skip


def test_weights_of_the_main_outputs_add_up_to_one():
    weights = head().loss_weights
    assert weights["out"] + weights["out2"] + weights["denoised_nl_out"] == pytest.approx(1)
    assert weights["denoised_nl_out"] == 1 / 4  # always; the two others of three learn with 3/8 each: 1/4 on average


def test_heads_take_turns():
    features, trunk, learnt = maps(), head(per_step=1).train(), set()
    for _ in range(30):
        trunk.zero_grad()
        trunk(features)["out"].sum().backward()
        own = [name for name in trunk.sampled if any(p.grad is not None for p in trunk.members[name].parameters())]
        assert len(own) == 1
        learnt |= set(own)
    assert learnt == {"fcn", "ccnet", "emanet"}


def test_evaluation_is_the_first_head():
    trunk = head().eval()
    assert trunk(maps()).keys() == {"out"}
    torch.testing.assert_close(trunk(maps())["out"], trunk.members["fcn"](maps())["out"], rtol=0, atol=0)


def test_more_heads_per_step_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="per_step=4 should be from 1 to 3, the heads to draw from"):
        head(per_step=4)


def test_a_dotted_name_builds_it_in_a_network():
    options = {"names": NAMES, "channels": 8}
    model = create_model(
        "segattn.heads.parts.several", num_classes=5, backbone="resnet18", head_options=options,
        backbone_options={"width": 8}, auxiliary_weight=0,
    )  # fmt: skip
    assert model.train()(torch.randn(2, 3, 33, 49)).keys() == model.loss_weights.keys()
    assert "segattn.heads.parts.several" not in heads.names()
