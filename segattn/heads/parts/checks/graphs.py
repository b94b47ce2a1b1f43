"""Checks of torch.compile and torch.export."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from segattn.catalogue import first_line
from segattn.heads.parts.checks.subject import Fault, Subject, features, off, require, weighted_sum


def compiles(subject: Subject) -> None:
    """torch.compile makes one graph of it, in training and evaluation, that gives the same."""
    for training in (True, False):
        torch.compiler.reset()
        head, maps = subject.build().train(training), features()
        torch.manual_seed(3)  # for heads that draw in training
        expected = copy.deepcopy(head)(maps)
        torch.manual_seed(3)
        try:
            outputs = torch.compile(head, backend="eager", fullgraph=True)(maps)
        except Exception as error:  # torch has many kinds
            raise Fault(f"torch.compile cannot make one graph of it: {first_line(error)}") from error
        for name, logits in expected.items():
            require(off(outputs[name], logits) < 1e-3, f"compiled, {name} differs by {off(outputs[name], logits):.1g}")


def compiled_gradients_agree(subject: Subject) -> None:
    """The gradients of the compiled head are those of the plain one."""
    gradients = []
    for compiled in (False, True):
        torch.compiler.reset()
        head = subject.build().double()
        call = torch.compile(head, backend="aot_eager", fullgraph=True) if compiled else head
        weighted_sum(call(features(dtype=torch.float64))).backward()
        gradients.append({name: p.grad for name, p in head.named_parameters() if p.grad is not None})
    for name, gradient in gradients[0].items():
        same = torch.allclose(gradients[1][name], gradient, rtol=1e-6, atol=1e-8)
        require(same, f"compiled, the gradient of {name} differs by {off(gradients[1][name], gradient):.1g}")


def exports(subject: Subject) -> None:
    """torch.export with dynamic height and width gives the same logits, from a map of 3x3 at most upwards."""
    head = subject.build().eval()
    program, least = _exported(head)
    for size in ((8, 16), (7, 5), (17, 24), (3, 3), (least, least), (least, 7)):
        maps = features(size=size)
        difference = off(program(maps)["out"], head(maps)["out"])
        require(difference < 1e-3, f"exported, logits of a map of {size} differ by {difference:.1g}")


def _exported(head: nn.Module) -> tuple[Callable[..., dict[str, Tensor]], int]:
    """The exported head and the least height and width that torch.export lets be dynamic."""
    reason = ""
    for least in (1, 3):  # on half a grid torch.export wants two rows and columns
        height, width = (torch.export.Dim(side, min=least, max=128) for side in ("height", "width"))
        sizes = ([{2: height, 3: width}] * 4,)
        try:
            return torch.export.export(head, (features(size=(9, 11)),), dynamic_shapes=sizes).module(), least
        except Exception as error:  # torch has many kinds
            reason = first_line(error)
    raise Fault(f"torch.export refuses dynamic height and width: {reason}")
