"""`segattn plan`: what fits into a GPU's memory, and which networks fit into a budget."""

from __future__ import annotations

from collections.abc import Sequence

from segattn.cli.arguments import head_names, parse
from segattn.cli.plan import quantities
from segattn.cli.plan.arguments import PlanArguments

_OF_BUDGET = ("convention", "runs", "dataset")
_OF_STEP = ("accumulation", "activation_checkpointing", "ohem", "optimizer")
_OF_MEMORY = ("batch_size", "precision", "channels_last", "inference", "device", "reserve", *_OF_STEP)
_OF_TIME = ("step_seconds", "bench", "measure", "iterations")
_OF_NETWORK = ("backbone", "output_stride")


def run(arguments: Sequence[str]) -> None:
    chosen = parse(PlanArguments, arguments, command="plan")
    names = head_names(chosen.heads)
    if chosen.budget is not None:
        from segattn.cli.plan import budget

        what, limit = quantities.budget(chosen.budget)
        of_time = set(_OF_TIME) - {"bench"} if what == "time" else set(_OF_TIME)
        _refuse(chosen, {"gpu_memory", *of_time, *_OF_NETWORK}, f"--budget {chosen.budget}")
        if what != "memory":
            _refuse(chosen, set(_OF_MEMORY), f"a budget of {what}")
        if what != "flops":
            _refuse(chosen, {"convention"}, f"a budget of {what}")
        if what == "parameters":
            _refuse(chosen, {"input"}, f"a budget of {what}")
        budget.show(chosen, names, what, limit)
        return
    from segattn.cli.plan import memory

    _refuse(chosen, set(_OF_BUDGET), "a plan without --budget")
    if sum((chosen.step_seconds is not None, chosen.bench is not None, chosen.measure)) > 1:
        raise ValueError("--step-seconds, --bench and --measure all set the time of a step; give one of them")
    if chosen.inference:
        _refuse(chosen, {*_OF_TIME, *_OF_STEP}, "--inference")
    if chosen.batch_size < 1 or chosen.accumulation < 1 or min(chosen.num_classes, chosen.in_channels) < 1:
        raise ValueError("--batch-size, --accumulation, --num-classes and --in-channels should be at least 1")
    if chosen.batch_size % chosen.accumulation:
        raise ValueError(
            f"--batch-size {chosen.batch_size} cannot be split into {chosen.accumulation} parts; "
            "give a multiple of --accumulation"
        )
    limit_bytes = None if chosen.gpu_memory is None else quantities.memory_bytes(chosen.gpu_memory)
    memory.show(chosen, names, limit_bytes)


def _refuse(chosen: PlanArguments, options: set[str], where: str) -> None:
    """An option that would be ignored is an error."""
    default = PlanArguments()
    for name in sorted(options):
        if getattr(chosen, name) != getattr(default, name):
            what = "a folder of runs" if name == "runs" else f"--{name.replace('_', '-')}"
            raise ValueError(f"{what} has no meaning for {where}; leave it out")
