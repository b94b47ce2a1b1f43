"""The engine that the options of `segattn study` choose."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segattn.study.engines import Engine


def engine_of(chosen: Any) -> Engine | None:
    """The engine; None where no option asks for one: the runs are for the command's own process.

    Raises:
        ValueError: an option that another engine has, or several processes of one study.
    """
    shares = {"jobs": chosen.jobs, "cores_per_run": chosen.cores_per_run, "gpus_per_run": chosen.gpus_per_run}
    asked = [f"--{name.replace('_', '-')}" for name, value in shares.items() if value is not None]
    if chosen.engine is None and not asked:
        return None
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        option = "--engine" if chosen.engine is not None else asked[0]
        raise ValueError(
            f"{option} starts processes of its own; start the study without torchrun, or leave {option} out"
        )
    from segattn.study.engines.local import Local

    return Local(
        jobs=1 if chosen.jobs is None else chosen.jobs,
        cores_per_run=chosen.cores_per_run,
        gpus_per_run=chosen.gpus_per_run,
        device=chosen.device,
    )
