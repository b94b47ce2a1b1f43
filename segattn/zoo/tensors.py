"""State dicts as files: read, written, loaded into a network, and which of their tensors are not finite."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as tensor_bytes
from torch import Tensor, nn

from segattn.catalogue import regular_size


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        ValueError: no such file, or not a complete safetensors file.
    """
    try:
        regular_size(path)
        return load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except Exception as error:  # on a damaged header safetensors raises several types, Python's own among them
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        fault = f"not a readable safetensors file ({first})"
        raise ValueError(f"{path}: {fault}; it may be truncated") from None


def save_file(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file; safetensors' own function writes another file beside it, which a kill leaves."""
    path.write_bytes(tensor_bytes(tensors))


def contiguous(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dense tensors on the CPU that share no storage, as safetensors requires."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


@torch.no_grad()
def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold nan or infinity: one fused pass, and a second one only if there are any."""
    floating = {name: value.detach() for name, value in state.items() if value.is_floating_point() and value.numel()}
    if not floating:
        return []
    # The largest magnitude of each tensor is finite exactly if all its values are.
    largest = torch._foreach_norm(list(floating.values()), torch.inf)
    if bool(torch.stack([norm.isfinite() for norm in largest]).all()):
        return []
    return [name for name, value in floating.items() if not bool(value.isfinite().all())]


def some(names: list[str]) -> str:
    """The first of the names, and how many more there are.

    >>> some(["a.weight"]), some(["a.weight", "a.bias"])
    ('a.weight', 'a.weight (and 1 more)')
    """
    return names[0] + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")


def same(state: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two state dicts have the same names, types and values, wherever they lie."""
    return state.keys() == other.keys() and all(torch.equal(state[name].cpu(), other[name].cpu()) for name in state)


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Load what fits by name and shape; returns what does not, in words: "" where everything did."""
    expected = model.state_dict()
    shapes = [name for name in expected if name in state and expected[name].shape != state[name].shape]
    kinds = [n for n in expected if n in state and expected[n].is_floating_point() != state[n].is_floating_point()]
    loaded = model.load_state_dict({name: state[name] for name in state if name not in shapes}, strict=False)
    differences = {
        "missing": sorted(set(loaded.missing_keys) - set(shapes)),
        "unexpected": sorted(loaded.unexpected_keys),
        "other shape": shapes,
        "other type": kinds,
    }
    if not any(differences.values()):
        return ""
    listing = "; ".join(f"{what} {', '.join(names[:5]) or 'none'}" for what, names in differences.items())
    return listing + (" and more" if max(map(len, differences.values())) > 5 else "")


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def num_parameters(state: Mapping[str, Tensor]) -> int:
    """Parameters of a network without its auxiliary head; the statistics of batch norms are none."""
    return sum(
        value.numel()
        for name, value in state.items()
        if not name.startswith("auxiliary.") and name.rpartition(".")[2] not in _STATISTICS
    )
