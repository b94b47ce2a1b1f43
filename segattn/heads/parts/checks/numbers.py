"""Checks of outputs, gradients, precisions, state and maps."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from segattn import heads
from segattn.heads.parts.checks.subject import (
    CLASSES,
    IN_CHANNELS,
    PIXELS,
    SIZES,
    Fault,
    NotDeclared,
    Subject,
    features,
    off,
    require,
    weighted_sum,
)
from segattn.heads.parts.contract import declared
from segattn.heads.parts.layers import Sandwich


def outputs_are_logits(subject: Subject) -> None:
    """Outputs are finite logits of every class, at maps of any size, odd and oblong ones too."""
    head = subject.build()
    for size in SIZES:
        for training in (True, False):
            outputs = head.train(training)(features(batch=2 + (not training), size=size))
            for name, logits in outputs.items():
                if logits.ndim != 4 or logits.shape[1] != CLASSES:
                    raise Fault(
                        f"{name} has the shape {tuple(logits.shape)} at a map of {size}, not (B, {CLASSES}, h, w)"
                    )
                require(bool(logits.isfinite().all()), f"{name} is not finite at a map of {size}")


def outputs_are_those_declared(subject: Subject) -> None:
    """Training gives every output of `loss_weights`, evaluation "out" alone."""
    head = subject.build()
    for training, expected in ((True, set(head.loss_weights)), (False, {"out"})):  # type: ignore[arg-type]
        names = set(head.train(training)(features()))
        where = "training" if training else "evaluation"
        require(names == expected, f"{where} gives {listed(names)}; loss_weights asks for {listed(expected)}")


def every_parameter_learns(subject: Subject) -> None:
    """Every parameter receives a finite gradient that is not 0, but for those declared `frozen`; so do the features."""
    head = subject.build().double()
    # larger than ISANet's partition of 8, below which its long-range groups have one position each
    maps = [m.requires_grad_() for m in features(size=(11, 9), dtype=torch.float64)]
    weighted_sum(head(maps)).backward()
    frozen = tuple(declared(head, "frozen"))
    for name, parameter in head.named_parameters():
        if name.startswith(frozen) if frozen else False:
            require(parameter.grad is None, f"{name} is declared frozen and receives a gradient")
            continue
        if parameter.grad is None:
            raise Fault(f"{name} receives no gradient; is it used in forward?")
        require(bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite")
        require(parameter.ndim < 2 or bool(parameter.grad.any()), f"the gradient of {name} is 0 everywhere")
    gradient = maps[-1].grad
    require(gradient is not None and bool(gradient.any()), "the last feature map receives no gradient")


def samples_do_not_mix(subject: Subject) -> None:
    """Evaluation is deterministic, and a sample's logits do not depend on the others of the batch."""
    head, maps = subject.build().double().eval(), features(batch=3, dtype=torch.float64)
    both = head(maps)["out"]
    require(torch.equal(head(maps)["out"], both), "two passes over the same features differ")
    for b in range(3):
        alone = head([m[b : b + 1] for m in maps])["out"]
        require(
            off(both[b : b + 1], alone) < 1e-8, f"sample {b} differs by {off(both[b : b + 1], alone):.1g} when alone"
        )


def forms_agree(subject: Subject) -> None:
    """Every form gives the outputs and the gradients of the reference."""
    results: dict[str, dict[str, Tensor]] = {}
    for form in ("reference", "fast", "auto"):
        head = subject.build(form).double()
        maps = [m.requires_grad_() for m in features(size=(7, 6), dtype=torch.float64)]
        outputs = head(maps)
        weighted_sum(outputs).backward()
        gradients = {f"map {i}": m.grad for i, m in enumerate(maps)} | {k: p.grad for k, p in head.named_parameters()}
        results[form] = outputs | {k: gradient for k, gradient in gradients.items() if gradient is not None}
    reference = results.pop("reference")
    for form, tensors in results.items():
        require(tensors.keys() == reference.keys(), f"{form} has other outputs or gradients than the reference")
        for name, tensor in tensors.items():
            same = torch.allclose(tensor, reference[name], rtol=1e-6, atol=1e-8)
            require(same, f"{form}: {name} differs from the reference by {off(tensor, reference[name]):.1g}")


def half_precision_is_finite(subject: Subject) -> None:
    """Under autocast to half precision, logits and gradients of features a hundred times as large stay finite."""
    large = [100 * m for m in features()]
    for dtype in (torch.bfloat16, torch.float16):
        head = subject.build()
        with torch.autocast("cpu", dtype):
            for training in (True, False):
                for name, logits in head.train(training)(large).items():
                    require(bool(logits.isfinite().all()), f"{name} is not finite under autocast to {dtype}")
    head = subject.build()
    with torch.autocast("cpu", torch.bfloat16):
        loss = weighted_sum(head(large))
    loss.backward()
    for name, parameter in head.named_parameters():
        finite = parameter.grad is None or bool(parameter.grad.isfinite().all())
        require(finite, f"the gradient of {name} is not finite under autocast to {torch.bfloat16}")


def converts_to_other_precisions(subject: Subject) -> None:
    """The module converts to float64, float32 and bfloat16, and its logits agree."""
    head, maps = subject.build().eval(), features()
    double = head.double()([m.double() for m in maps])["out"]
    single = head.float()(maps)["out"]
    half = head.bfloat16()([m.bfloat16() for m in maps])["out"]
    for logits, dtype in ((double, torch.float64), (half, torch.bfloat16)):
        require(logits.dtype == dtype, f"logits are {logits.dtype} for features and weights of {dtype}")
    close = torch.allclose(single.double(), double, rtol=1e-4, atol=1e-4)
    require(close, f"float32 differs from float64 by {off(single, double):.1g}")
    require(
        off(half, double) <= 0.1 * float(double.detach().abs().max()),
        f"bfloat16 differs from float64 by {off(half, double):.1g}",
    )


def state_dict_carries_everything(subject: Subject) -> None:
    """A head that loads another's state dict predicts what that one does."""
    maps, head = features(), subject.build()
    head(maps)  # moves running statistics
    other = subject.build()
    other.load_state_dict(head.state_dict())
    require(
        torch.equal(other.eval()(maps)["out"], head.eval()(maps)["out"]), "a loaded state dict predicts something else"
    )


def copies_are_independent(subject: Subject) -> None:
    """A deep copy predicts the same, and changing it leaves the head alone."""
    maps, head = features(), subject.build()
    weighted_sum(head(maps)).backward()
    twin = copy.deepcopy(head)
    require(torch.equal(twin.eval()(maps)["out"], head.eval()(maps)["out"]), "a deep copy predicts something else")
    before = head(maps)["out"]
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    require(torch.equal(head(maps)["out"], before), "a deep copy shares tensors with the head")


def features_are_left_alone(subject: Subject) -> None:
    """The features are not changed in place, and their memory format does not matter."""
    head, maps = subject.build(), features()
    kept = [m.clone() for m in maps]
    head(maps)
    require(all(torch.equal(m, k) for m, k in zip(maps, kept, strict=True)), "forward changes the features in place")
    laid_out = [m.contiguous(memory_format=torch.channels_last) for m in maps]
    difference = off(head.eval()(laid_out)["out"], head(maps)["out"])
    require(difference < 1e-3, f"channels-last features give other logits, by {difference:.1g}")


def attention_maps_are_maps(subject: Subject) -> None:
    """`attention_maps` gives a finite map (B, h, w) of each name, at corners too, and of a map of one position."""
    head = subject.build().eval()
    if not hasattr(head, "attention_maps"):
        raise NotDeclared("there is no attention_maps; add: def attention_maps(self, features, pixel): return {}")
    for maps, pixels in ((features(), PIXELS), (features(batch=1, size=(1, 1)), ((0, 0),))):
        for pixel in pixels:
            for name, drawn in head.attention_maps(maps, pixel).items():  # type: ignore[operator]
                good = drawn.ndim == 3 and len(drawn) == len(maps[0]) and bool(drawn.isfinite().all())
                require(
                    good, f"map {name} at {pixel} has the shape {tuple(drawn.shape)} or is not finite; it is (B, h, w)"
                )


def one_position_is_a_map(subject: Subject) -> None:
    """A feature map of one position gives finite logits and gradients."""
    head = subject.build()
    maps = features(size=(1, 1))
    weighted_sum(head(maps)).backward()
    finite = all(p.grad.isfinite().all() for p in head.parameters() if p.grad is not None)
    require(finite, "gradients of a map of one position are not finite")
    require(bool(head.eval()([m[:1] for m in maps])["out"].isfinite().all()), "logits of one position are not finite")


def surroundings_are_the_same(subject: Subject) -> None:
    """The controlled head of a seed starts with the convolutions that every mechanism gets, and with gates at 0 adds nothing."""
    torch.manual_seed(0)
    head = heads.create(subject.name, IN_CHANNELS, CLASSES, mode="controlled", channels=16).eval()
    torch.manual_seed(0)
    alone = Sandwich(IN_CHANNELS[-1], 16, CLASSES).eval()
    start = head.state_dict()
    for name, value in alone.state_dict().items():
        require(
            torch.equal(start[f"sandwich.{name}"], value), f"sandwich.{name} starts differently from other mechanisms'"
        )
    x = features()[-1]
    same = torch.equal(head(features())["out"], alone.after(x, alone.before(x)))
    gated = declared(head, "without_attention") == "identity" and bool(declared(head, "gates"))
    require(
        same or not gated, "it declares gates and without_attention = 'identity', but does not start as the identity"
    )


def listed(names: set[str]) -> str:
    """Names in order, for messages."""
    return ", ".join(sorted(names))
