"""A trained network optimized for inference: the same function with fewer operators, optionally in half precision."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from segattn.model import SegmentationModel


def optimize(
    model: SegmentationModel,
    *,
    dtype: torch.dtype = torch.float32,
    channels_last: bool | None = None,
    example: Float[Tensor, "1 3 H W"] | None = None,
) -> OptimizedModel:
    """A copy of `model` for inference on its device; the model itself stays as it is.

    Every batch norm that directly follows a convolution is folded into it (its statistics are constants outside training), the
    auxiliary head is dropped, and weights are kept in `dtype`. The copy takes images of any floating-point type and returns
    float32 logits. `channels_last` is the memory format; it is the default in half precision, where it makes convolutions up to
    twice as fast. The network is run on `example`, a normalised image, to see which norm follows which convolution and to check
    that folding does not change the logits; only networks that do not accept 65 x 97 pixels need it.

    Raises:
        ValueError: `dtype` is not a floating-point type, or folding changes the logits.

    >>> from segattn import create_model
    >>> model = create_model("ccnet", num_classes=3, backbone="resnet18")
    >>> optimize(model, dtype=torch.bfloat16)(torch.zeros(1, 3, 65, 97)).dtype
    torch.float32
    """
    if not dtype.is_floating_point:
        raise ValueError(f"dtype={dtype} is not possible; use torch.float32, torch.bfloat16 or torch.float16")
    network = copy.deepcopy(model).eval().requires_grad_(False)
    network.auxiliary = None
    weight = next(network.parameters())
    if example is None:
        example = torch.randn(1, network.in_channels, 65, 97, generator=torch.Generator().manual_seed(0))
    _fold_norms(network, example.to(weight))
    layout = torch.channels_last if (dtype.itemsize == 2 if channels_last is None else channels_last) else None
    return OptimizedModel(network, dtype, layout)


class OptimizedModel(nn.Module):
    """A `SegmentationModel` for inference only; see `optimize`."""

    def __init__(self, network: SegmentationModel, dtype: torch.dtype, layout: torch.memory_format | None) -> None:
        super().__init__()
        self.network = network.to(dtype)
        self.dtype, self.layout = dtype, layout
        if layout is not None:
            self.network.to(memory_format=layout)  # type: ignore[call-overload]
        self.num_classes, self.align_corners = network.num_classes, network.align_corners
        self.in_channels = network.in_channels
        self.mean, self.std, self.channel_order = network.mean, network.std, network.channel_order
        self.eval()

    def train(self, mode: bool = True) -> OptimizedModel:
        """Keep the network in eval mode.

        Raises:
            ValueError: `mode` is True; the network has no batch norms any more.
        """
        if mode:
            raise ValueError("an optimized network cannot be trained; train the original network")
        return super().train(mode)

    @torch.no_grad()
    def logits(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K h w"]:
        """Logits in float32 at the head's resolution.

        Raises:
            ValueError: torch.onnx.export(dynamo=False) in bfloat16, in which ONNX has no convolution.
        """
        if self.dtype == torch.bfloat16 and torch.onnx.is_in_onnx_export():
            raise ValueError(
                "a network optimized in bfloat16 cannot be exported to ONNX: ONNX Runtime has no convolution of that type; "
                "use optimize(model), which is float32"
            )
        images = images.to(self.dtype)
        return self.network.logits(
            images if self.layout is None else images.contiguous(memory_format=self.layout)
        ).float()

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        return self.network.upsample(self.logits(images), images.shape[-2:])


def _fold_norms(network: SegmentationModel, example: Tensor) -> None:
    """Fold every batch norm that directly follows a convolution into it."""
    pairs, expected = _norms_after_convolutions(network, example)
    names = {module: name for name, module in network.named_modules()}
    for conv, norm in pairs:
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
        )
        network.set_submodule(names[norm], nn.Identity())
    with torch.no_grad():
        logits = network.logits(example)
    error, size = (logits - expected).abs().max().item(), expected.abs().max().item()
    if not error <= 1e-3 * max(size, 1.0):  # NaN too
        raise ValueError(
            f"folding batch norms changed the logits by {error:.2g} of {size:.2g}: the output of a convolution is also "
            "used outside its norm; this network cannot be optimized"
        )


def _norms_after_convolutions(
    network: SegmentationModel, example: Tensor
) -> tuple[list[tuple[nn.Conv2d, _BatchNorm]], Tensor]:
    """Pairs of a convolution and the norm that directly follows it, each called once; and the logits of `example`."""
    outputs: list[tuple[Tensor, nn.Conv2d]] = []  # kept alive, so that `is` compares with every output
    taken: list[tuple[_BatchNorm, nn.Conv2d | None]] = []

    def make(module: nn.Module, _: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        outputs.append((output, module))

    def take(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, _BatchNorm)
        taken.append((module, next((conv for output, conv in outputs if output is inputs[0]), None)))

    chosen = {m: vars(m).get("implementation") for m in network.modules() if hasattr(m, "implementation")}
    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(make))
        elif isinstance(module, _BatchNorm) and module.running_mean is not None:
            hooks.append(module.register_forward_pre_hook(take))
    for layer in chosen:
        layer.implementation = "reference"  # type: ignore[assignment]  # calls each convolution once, for all maps and before its norm
    try:
        with torch.no_grad():
            logits = network.logits(example)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, form in chosen.items():
            del layer.implementation
            if form is not None:  # else the class has it
                layer.implementation = form
    norms, convs = [norm for norm, _ in taken], [conv for _, conv in outputs]
    once = [(conv, norm) for norm, conv in taken if conv and norms.count(norm) == 1 and convs.count(conv) == 1]
    return once, logits
