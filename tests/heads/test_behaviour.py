"""What every head of the catalogue does, whatever its mechanism: the head nobody thought of is tested too."""

import copy
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segattn import heads

IN_CHANNELS, CLASSES = (7, 11, 13, 17), 5
MODES = ["faithful", "controlled"]
SIZES = [(1, 1), (1, 7), (7, 5), (8, 6), (13, 2)]


def takes(name: str, mode: str, option: str) -> bool:
    """Whether the head has this option in this mode."""
    return option in heads.options(name, mode=mode)  # type: ignore[arg-type]


HEADS = list(product(heads.names(), MODES))
FORMS = [
    (name, mode, form) for name, mode in HEADS if takes(name, mode, "implementation") for form in ("reference", "fast")
]
EVERY = FORMS + [(name, mode, None) for name, mode in HEADS if not takes(name, mode, "implementation")]


def build(name: str, mode: Any = "faithful", form: str | None = None) -> nn.Module:
    """A small head whose zero-initialised parameters are awake, so that the mechanism counts."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"channels": 16, "dropout": 0.0, **({"implementation": form} if form else {})}
    head = heads.create(name, IN_CHANNELS, CLASSES, mode=mode, **options)
    for parameter in head.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.5)
    return head


def features(batch: int = 2, size: tuple[int, int] = (7, 5), dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Four maps as a dilated backbone gives them, non-negative."""
    torch.manual_seed(1)
    return [torch.randn(batch, c, *size, dtype=dtype).relu() for c in IN_CHANNELS]


def weighted_sum(outputs: dict[str, Tensor]) -> Tensor:
    """A scalar in which every logit has its own weight."""
    torch.manual_seed(2)
    weighted = [(m * torch.randn(m.shape, dtype=m.dtype)).sum() for m in outputs.values()]  # whatever their layout
    return torch.stack(weighted).sum()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("name", "mode", "form"), EVERY)
def test_outputs_are_logits_of_every_class_at_the_size_of_the_map(name, mode, form, size):
    head = build(name, mode, form)
    for outputs in (head(features(size=size)), head.eval()(features(batch=3, size=size))):
        for logits in outputs.values():
            assert logits.shape[1] == CLASSES
            assert tuple(logits.shape[2:]) in [size, (2 * size[0], 2 * size[1])]  # FLANet's classifier may upsample
            assert logits.isfinite().all()


@pytest.mark.parametrize(("name", "mode"), HEADS)
def test_training_gives_the_weighted_outputs_and_evaluation_only_the_main_one(name, mode):
    head = build(name, mode)
    assert set(head(features())) == set(head.loss_weights)  # type: ignore[arg-type]
    assert set(head.eval()(features())) == {"out"}
    assert isinstance(heads.declared(head, "own_auxiliary"), bool)


@pytest.mark.parametrize(("name", "mode", "form"), EVERY)
def test_every_parameter_receives_a_gradient(name, mode, form):
    head = build(name, mode, form).double()
    # larger than ISANet's partition of 8, below which its long-range groups have one position each
    maps = [m.requires_grad_() for m in features(size=(11, 9), dtype=torch.float64)]
    weighted_sum(head(maps)).backward()
    frozen = heads.declared(head, "frozen")
    for key, parameter in head.named_parameters():
        if key.startswith(tuple(frozen)):
            assert parameter.grad is None, f"{key} is declared frozen"
        else:
            assert parameter.grad is not None, f"{key} receives no gradient"
            assert parameter.grad.isfinite().all(), key
            assert parameter.ndim < 2 or parameter.grad.any(), f"{key} has gradient 0"
    assert maps[-1].grad is not None
    assert maps[-1].grad.any()


@pytest.mark.parametrize(("name", "mode", "form"), EVERY)
def test_evaluation_is_deterministic_and_samples_do_not_mix(name, mode, form):
    head, maps = build(name, mode, form).double().eval(), features(batch=3, dtype=torch.float64)
    both = head(maps)["out"]
    assert torch.equal(head(maps)["out"], both)
    for b in range(3):
        alone = head([m[b : b + 1] for m in maps])["out"]
        torch.testing.assert_close(both[b : b + 1], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", sorted({name for name, _, form in FORMS if form}))
def test_every_form_equals_the_reference_with_its_gradients(name, mode):
    found = {}
    for form in ("reference", "fast", "auto"):
        head = build(name, mode, form).double()
        maps = [m.requires_grad_() for m in features(size=(7, 6), dtype=torch.float64)]
        outputs = head(maps)
        weighted_sum(outputs).backward()
        grads = {f"map {i}": m.grad for i, m in enumerate(maps)} | {k: p.grad for k, p in head.named_parameters()}
        found[form] = outputs | {k: grad for k, grad in grads.items() if grad is not None}
    reference = found.pop("reference")
    for form, tensors in found.items():
        assert tensors.keys() == reference.keys()
        for key, tensor in tensors.items():
            off = (tensor - reference[key]).abs().max()
            assert torch.allclose(tensor, reference[key], rtol=1e-6, atol=1e-8), f"{form}: {key} differs by up to {off}"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("name", "mode", "form"), EVERY)
def test_half_precision_stays_finite_with_large_features(name, mode, form, dtype):
    head, maps = build(name, mode, form), [100 * m for m in features()]
    with torch.autocast("cpu", dtype):
        for logits in (*head(maps).values(), *head.eval()(maps).values()):
            assert logits.isfinite().all()


@pytest.mark.parametrize(("name", "mode", "form"), EVERY)
def test_gradients_stay_finite_in_bfloat16_with_large_features(name, mode, form):
    head = build(name, mode, form)
    with torch.autocast("cpu", torch.bfloat16):
        loss = weighted_sum(head([100 * m for m in features()]))
    loss.backward()
    assert all(p.grad.isfinite().all() for p in head.parameters() if p.grad is not None)


@pytest.mark.parametrize(("name", "mode", "form"), EVERY)
def test_module_converts_to_other_precisions(name, mode, form):
    head, maps = build(name, mode, form).eval(), features()
    double = head.double()([m.double() for m in maps])["out"]
    assert double.dtype == torch.float64
    single = head.float()(maps)["out"]
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)
    half = head.bfloat16()([m.bfloat16() for m in maps])["out"]
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), double, rtol=0, atol=0.1 * double.abs().max().item())


@pytest.mark.parametrize(("name", "mode"), HEADS)
def test_state_dict_carries_everything(name, mode):
    maps, head = features(), build(name, mode)
    head(maps)  # moves running statistics, and EMANet's bases
    other = heads.create(name, IN_CHANNELS, CLASSES, mode=mode, channels=16)
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.eval()(maps)["out"], head.eval()(maps)["out"])


@pytest.mark.parametrize(("name", "mode"), HEADS)
def test_copy_is_equal_and_independent(name, mode):
    maps, head = features(), build(name, mode)
    weighted_sum(head(maps)).backward()
    twin = copy.deepcopy(head)
    assert torch.equal(twin.eval()(maps)["out"], head.eval()(maps)["out"])
    before = head(maps)["out"]
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(head(maps)["out"], before)


@pytest.mark.parametrize(("name", "mode", "form"), EVERY)
def test_inputs_are_left_as_they_were(name, mode, form):
    maps = features()
    kept = [m.clone() for m in maps]
    build(name, mode, form)(maps)
    assert all(torch.equal(m, k) for m, k in zip(maps, kept, strict=True))


@pytest.mark.parametrize(("name", "mode", "form"), EVERY)
def test_memory_format_of_the_features_does_not_matter(name, mode, form):
    head, maps = build(name, mode, form).eval(), features()
    laid_out = [m.contiguous(memory_format=torch.channels_last) for m in maps]
    torch.testing.assert_close(head(laid_out)["out"], head(maps)["out"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pixel", [(0, 0), (6, 4), (3, 1)])
@pytest.mark.parametrize(("name", "mode", "form"), EVERY)
def test_attention_maps_are_one_map_a_sample(name, mode, form, pixel):
    maps = build(name, mode, form).eval().attention_maps(features(), pixel)  # type: ignore[operator]
    assert all(m.ndim == 3 and len(m) == 2 and m.isfinite().all() for m in maps.values())
    assert bool(maps) == (name != "fcn")


@pytest.mark.parametrize(("name", "mode", "form"), EVERY)
def test_one_position_is_a_map_too(name, mode, form):
    head = build(name, mode, form)
    maps = [m.requires_grad_() for m in features(size=(1, 1))]
    weighted_sum(head(maps)).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters() if p.grad is not None)
    alone = [m[:1].detach() for m in maps]
    drawn = head.eval().attention_maps(alone, (0, 0))  # type: ignore[operator]
    assert all(len(m) == 1 and m.isfinite().all() for m in drawn.values())
    assert head(alone)["out"].isfinite().all()


@pytest.mark.long("ccnet", "danet")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "mode", "form"), [case for case in EVERY if case[2] != "reference"])
def test_compiles_as_one_graph(name, mode, form, training):
    torch.compiler.reset()
    head, maps = build(name, mode, form).train(training), features()
    expected = copy.deepcopy(head)(maps)
    found = torch.compile(head, backend="eager", fullgraph=True)(maps)
    assert found.keys() == expected.keys()
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-4)


@pytest.mark.long("ccnet", "danet")
@pytest.mark.parametrize(("name", "mode", "form"), [case for case in EVERY if case[2] != "reference"])
def test_compiled_gradients_are_those_of_the_plain_head(name, mode, form):
    torch.compiler.reset()
    grads = []
    for compiled in (False, True):
        head = build(name, mode, form).double()
        call = torch.compile(head, backend="aot_eager", fullgraph=True) if compiled else head
        weighted_sum(call(features(dtype=torch.float64))).backward()
        grads.append({key: p.grad for key, p in head.named_parameters() if p.grad is not None})
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-6, atol=1e-8)


@pytest.mark.long("ccnet", "danet")
@pytest.mark.parametrize(("name", "mode", "form"), [case for case in EVERY if case[2] != "reference"])
def test_exports_with_dynamic_height_and_width(name, mode, form):
    head = build(name, mode, form).eval()
    least = 3 if name == "denoised_nl" else 1  # torch.export wants its half grid to have two rows and columns
    height, width = (torch.export.Dim(side, min=least, max=128) for side in ("height", "width"))
    sizes = ([{2: height, 3: width}] * 4,)
    program = torch.export.export(head, (features(size=(9, 11)),), dynamic_shapes=sizes).module()
    for size in [(8, 16), (7, 5), (17, 24), (3, 3), (least, least), (least, 7)]:
        maps = features(size=size)
        torch.testing.assert_close(program(maps)["out"], head(maps)["out"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", heads.names())
def test_controlled_heads_of_one_seed_start_with_the_same_surroundings(name):
    starts = []
    for which in (name, "fcn"):
        torch.manual_seed(0)
        head = heads.create(which, IN_CHANNELS, CLASSES, mode="controlled", channels=16)
        starts.append({key: value for key, value in head.state_dict().items() if key.startswith("sandwich.")})
    torch.testing.assert_close(starts[0], starts[1], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["ccnet", "danet", "dnlnet", "flanet", "non_local"])
def test_mechanism_that_starts_as_the_identity_makes_the_controlled_head_start_as_the_baseline(name):
    outputs = []
    for which in (name, "fcn"):
        torch.manual_seed(0)
        head = heads.create(which, IN_CHANNELS, CLASSES, mode="controlled", channels=16).eval()
        outputs.append(head(features())["out"])
    assert torch.equal(outputs[0], outputs[1])


@pytest.mark.parametrize(("name", "mode"), HEADS)
def test_unknown_option_names_the_nearest(name, mode):
    option = "implementation" if takes(name, mode, "implementation") else "channels"
    if mode == "controlled" and option == "channels":
        with pytest.raises(ValueError, match=rf"head '{name}' has no option 'chanels'"):
            heads.create(name, IN_CHANNELS, CLASSES, mode=mode, chanels=8)
    else:
        with pytest.raises(ValueError, match=rf"has no option '{option[:-1]}'; did you mean {option}\?"):
            heads.create(name, IN_CHANNELS, CLASSES, mode=mode, **{option[:-1]: 8})


@pytest.mark.parametrize(("name", "mode"), sorted({(name, mode) for name, mode, _ in FORMS}))
def test_unknown_implementation_names_the_known_ones(name, mode):
    with pytest.raises(ValueError, match=r"implementation='fused'.*'auto', 'reference', 'fast'"):
        build(name, mode, "fused")


def test_unknown_head_names_the_nearest():
    with pytest.raises(ValueError, match=r"unknown head 'denoised_n'; did you mean denoised_nl"):
        heads.create("denoised_n", IN_CHANNELS, CLASSES)


def test_unknown_mode_names_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown mode 'fair'; use one of faithful, controlled"):
        heads.create("fcn", IN_CHANNELS, CLASSES, mode="fair")  # type: ignore[arg-type]
