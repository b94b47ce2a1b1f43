"""Converted heads against each head's equations on mmsegmentation's own parameter names: dense N x N attention in float64.

Nothing here knows our modules, so a query that lands on a key, or a block that lands on its neighbour, shows.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segattn import heads
from segattn.convert.mmseg_keys import HEADS, their_name
from tests.convert.fabricate_mmseg import CLASSES, decode_head

SIZE = (11, 13)  # above ISANet's blocks of 8 x 8, which do not divide it


class Reference:
    """The parts that heads consist of, by their prefix in a state dict."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, self.state.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def norm(self, name: str, x: Tensor) -> Tensor:
        scale, shift, mean, variance = (
            self.state[f"{name}.{part}"].view(-1, 1, 1) for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    def cbr(self, name: str, x: Tensor) -> Tensor:
        return self.norm(f"{name}.bn", self.conv(f"{name}.conv", x)).relu()

    def flat(self, name: str, x: Tensor) -> Tensor:
        return self.conv(name, x).flatten(2)

    def sandwich(self, x: Tensor, block) -> Tensor:
        y = self.cbr("convs.1", block(self.cbr("convs.0", x)))
        return self.conv("conv_seg", self.cbr("conv_cat", torch.cat([x, y], 1)))

    def fcn(self, x: Tensor) -> Tensor:
        return self.sandwich(x, lambda f: f)

    def non_local(self, x: Tensor) -> Tensor:
        def block(f: Tensor) -> Tensor:
            q, k, v = (self.flat(f"nl_block.{part}.conv", f) for part in ("theta", "phi", "g"))
            a = (torch.einsum("bdi,bdj->bij", q, k) / q.shape[1] ** 0.5).softmax(2)
            y = torch.einsum("bij,bdj->bdi", a, v).unflatten(2, SIZE)
            return f + self.norm("nl_block.conv_out.bn", self.conv("nl_block.conv_out.conv", y))

        return self.sandwich(x, block)

    def dnlnet(self, x: Tensor) -> Tensor:
        def block(f: Tensor) -> Tensor:
            q, k, v = (self.flat(f"dnl_block.{part}.conv", f) for part in ("theta", "phi", "g"))
            q, k = q - q.mean(2, keepdim=True), k - k.mean(2, keepdim=True)
            a = (torch.einsum("bdi,bdj->bij", q, k) / q.shape[1] ** 0.5 / 0.05).softmax(2)
            a = a + self.flat("dnl_block.conv_mask", f).softmax(2)  # the same row for every position
            y = torch.einsum("bij,bdj->bdi", a, v).unflatten(2, SIZE)
            return f + self.norm("dnl_block.conv_out.bn", self.conv("dnl_block.conv_out.conv", y))

        return self.sandwich(x, block)

    def ccnet(self, x: Tensor) -> Tensor:
        rows, columns = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
        rows, columns = rows.flatten(), columns.flatten()
        cross = (rows[:, None] == rows) | (columns[:, None] == columns)  # (N, N)

        def block(f: Tensor) -> Tensor:
            for _ in range(2):
                q, k, v = (self.flat(f"cca.{part}_conv", f) for part in ("query", "key", "value"))
                logits = torch.einsum("bdi,bdj->bij", q, k).masked_fill(~cross, float("-inf"))
                y = torch.einsum("bij,bdj->bdi", logits.softmax(2), v).unflatten(2, SIZE)
                f = self.state["cca.gamma.scale"] * y + f
            return f

        return self.sandwich(x, block)

    def danet(self, x: Tensor) -> Tensor:
        p, c = self.cbr("pam_in_conv", x), self.cbr("cam_in_conv", x)
        q, k, v = (self.flat(f"pam.{part}_project", p) for part in ("query", "key", "value"))
        a = torch.einsum("bdi,bdj->bij", q, k).softmax(2)
        p = self.state["pam.gamma.scale"] * torch.einsum("bij,bdj->bdi", a, v).unflatten(2, SIZE) + p
        e = torch.einsum("bci,bdi->bcd", c.flatten(2), c.flatten(2))
        a = (e.amax(2, keepdim=True) - e).softmax(2)
        c = self.state["cam.gamma.scale"] * torch.einsum("bcd,bdi->bci", a, c.flatten(2)).unflatten(2, SIZE) + c
        p, c = self.cbr("pam_out_conv", p), self.cbr("cam_out_conv", c)
        self.branches = self.conv("pam_conv_seg", p), self.conv("cam_conv_seg", c)
        return self.conv("conv_seg", p + c)

    def emanet(self, x: Tensor) -> Tensor:
        f = self.cbr("ema_in_conv", x)
        y, bases = self.flat("ema_mid_conv.conv", f), self.state["ema_module.bases"].expand(len(x), -1, -1)
        for _ in range(3):
            z = torch.einsum("bcn,bck->bnk", y, bases).softmax(2)
            bases = torch.einsum("bcn,bnk->bck", y, z / z.sum(1, keepdim=True))
            bases = bases / bases.norm(dim=1, keepdim=True)
        rebuilt = torch.einsum("bck,bnk->bcn", bases, z).unflatten(2, SIZE).relu()
        y = (f + self.norm("ema_out_conv.bn", self.conv("ema_out_conv.conv", rebuilt))).relu()
        y = self.cbr("bottleneck", y)
        return self.conv("conv_seg", self.cbr("conv_cat", torch.cat([x, y], 1)))

    def isanet(self, x: Tensor) -> Tensor:
        f = self.cbr("in_conv", x)
        pad = [(-SIZE[0]) % 8, (-SIZE[1]) % 8]
        size = SIZE[0] + pad[0], SIZE[1] + pad[1]
        y = F.pad(f, (pad[1] // 2, pad[1] - pad[1] // 2, pad[0] // 2, pad[0] - pad[0] // 2))
        rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
        rows, columns = rows.flatten(), columns.flatten()
        for name, group in (
            ("global_relation", (rows % 8) * 8 + columns % 8),
            ("local_relation", (rows // 8) * 100 + columns // 8),
        ):
            q, k = (
                self.cbr(f"{name}.{part}_project.1", self.cbr(f"{name}.{part}_project.0", y)).flatten(2)
                for part in ("query", "key")
            )
            logits = torch.einsum("bdi,bdj->bij", q, k) / q.shape[1] ** 0.5
            a = logits.masked_fill(group[:, None] != group, float("-inf")).softmax(2)
            context = torch.einsum("bij,bdj->bdi", a, self.flat(f"{name}.value_project", y))
            y = self.cbr(f"{name}.output_project", context.unflatten(2, size))
        top, left = pad[0] // 2, pad[1] // 2
        y = y[:, :, top : top + SIZE[0], left : left + SIZE[1]]
        return self.conv("conv_seg", self.cbr("out_conv", torch.cat([y, f], 1)))

    def psp(self, x: Tensor) -> Tensor:
        parts = [x]
        for level, bins in enumerate((1, 2, 3, 6)):
            pooled = self.cbr(f"psp_modules.{level}.1", F.adaptive_avg_pool2d(x, bins))
            parts.append(F.interpolate(pooled, SIZE, mode="bilinear", align_corners=True))
        return self.conv("conv_seg", self.cbr("bottleneck", torch.cat(parts, 1)))

    def aspp(self, x: Tensor) -> Tensor:
        parts = [self.cbr("image_pool.1", x.mean((2, 3), keepdim=True)).expand(-1, -1, *SIZE)]
        for branch, dilation in enumerate((1, 12, 24, 36)):
            name = f"aspp_modules.{branch}"
            padding = dilation if branch else 0
            y = F.conv2d(x, self.state[f"{name}.conv.weight"], None, 1, padding, dilation)
            parts.append(self.norm(f"{name}.bn", y).relu())
        return self.conv("conv_seg", self.cbr("bottleneck", torch.cat(parts, 1)))

    def ocr(self, x: Tensor) -> Tensor:
        def two(name: str, f: Tensor) -> Tensor:
            return self.cbr(f"{block}.{name}.1", self.cbr(f"{block}.{name}.0", f))

        block = "1.object_context_block"
        first = self.conv("0.conv_seg", self.cbr("0.convs.0", x[:, :32]))  # of stage 3
        f = self.cbr("1.bottleneck", x)
        regions = torch.einsum("bkn,bcn->bck", first.flatten(2).softmax(2), f.flatten(2))[..., None]
        q, k = two("query_project", f).flatten(2), two("key_project", regions).flatten(2)
        v = self.cbr(f"{block}.value_project", regions).flatten(2)
        a = (torch.einsum("bdn,bdk->bnk", q, k) / q.shape[1] ** 0.5).softmax(2)
        y = self.cbr(f"{block}.out_project", torch.einsum("bnk,bdk->bdn", a, v).unflatten(2, SIZE))
        return self.conv("1.conv_seg", self.cbr(f"{block}.bottleneck", torch.cat([y, f], 1)))


def converted(name: str, state: dict[str, Tensor]) -> torch.nn.Module:
    """Our head with the weights of a decode head of theirs."""
    options = HEADS[name].options({key: value.shape for key, value in state.items()})
    head = heads.create(name, (8, 16, 32, 64), CLASSES, **options).double()
    named = {key: their_name(f"head.{key}", HEADS[name]).removeprefix("decode_head.") for key in head.state_dict()}
    head.load_state_dict({key: state[counterpart] for key, counterpart in named.items()})
    return head.eval()


@pytest.mark.parametrize("name", sorted(HEADS))
def test_logits_equal_the_equations_on_their_names(name):
    state = decode_head(name, dtype=torch.float64)
    x = torch.randn(2, 64, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).relu()
    expected = getattr(Reference(state), name)(x)
    assert expected.shape == (2, CLASSES, *SIZE)
    assert expected.std() > 0.05
    with torch.no_grad():
        logits = converted(name, state)([x[:, :8], x[:, :16], x[:, :32], x])["out"]
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


def test_danet_branches_have_their_own_classifiers():
    state = decode_head("danet", dtype=torch.float64)
    x = torch.randn(2, 64, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).relu()
    reference = Reference(state)
    reference.danet(x)
    head = converted("danet", state)
    head.training = True  # this module alone: all outputs, but the norms' and dropout's form of inference
    logits = head([x[:, :8], x[:, :16], x[:, :32], x])
    torch.testing.assert_close(logits["position"], reference.branches[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(logits["channel"], reference.branches[1], rtol=1e-9, atol=1e-9)
