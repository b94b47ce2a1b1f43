"""When a mechanism is computed by a loop over pieces of the map: stretches of a scan, tiles of windows."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from segattn.heads.parts.attention import Implementation
from segattn.heads.parts.recording import recording


def in_pieces(implementation: Implementation, x: Float[Tensor, "B C H W"]) -> bool:
    """Whether to compute a mechanism by a loop over pieces of the map: only on a CPU, which starts an operator at little cost.

    In a graph the number of pieces would be a constant. `auto` takes the pieces from more than 64 positions on: below, they would
    save milliseconds, and the results that are recorded there would change in the last digit.
    """
    on_cpu = x.device.type == "cpu" and not x.is_cuda  # both: `profile.liveness` has tensors that look like a GPU's
    if implementation == "reference" or not on_cpu or recording():
        return False
    return implementation == "fast" or x.shape[2] * x.shape[3] > 64
