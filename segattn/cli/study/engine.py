"""The engine that the options of `segattn study` choose."""

from __future__ import annotations

import os
import re
from dataclasses import fields
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
    for field in fields(chosen.slurm):
        if chosen.engine != "slurm" and getattr(chosen.slurm, field.name) != getattr(type(chosen.slurm)(), field.name):
            option = f"--slurm.{field.name.replace('_', '-')}"
            raise ValueError(f"{option} is for --engine slurm; add that, or leave {option} out")
    if chosen.engine is None and not asked:
        return None
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        option = "--engine" if chosen.engine is not None else asked[0]
        raise ValueError(
            f"{option} starts processes of its own; start the study without torchrun, or leave {option} out"
        )
    of_run = {"cores_per_run": chosen.cores_per_run, "gpus_per_run": chosen.gpus_per_run, "device": chosen.device}
    if chosen.engine == "ray":
        from segattn.study.engines.ray import Ray

        return Ray(jobs=chosen.jobs, **of_run)
    if chosen.engine == "slurm":
        from segattn.study.engines.slurm import Slurm

        slurm = chosen.slurm
        return Slurm(
            jobs=chosen.jobs,
            **of_run,
            nodes=slurm.nodes,
            minutes=minutes(slurm.timeout),
            partition=slurm.partition,
            account=slurm.account,
            options=slurm.options,
            leave=slurm.on_interrupt == "leave",
        )
    from segattn.study.engines.local import Local

    return Local(jobs=1 if chosen.jobs is None else chosen.jobs, **of_run)


def minutes(text: str) -> int:
    """A time limit in minutes: `90min`, `24h`, `2d`.

    >>> minutes("90min"), minutes("1.5h"), minutes("2d")
    (90, 90, 2880)

    Raises:
        ValueError: another form, or less than a minute.
    """
    match = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*(min|h|d)\s*", text)
    value = 0 if match is None else round(float(match[1]) * {"min": 1, "h": 60, "d": 1440}[match[2]])
    if value < 1:
        raise ValueError(f"--slurm.timeout {text!r} should be a time of at least a minute, such as 90min, 24h or 2d")
    return value
