"""A record of a probe with numbers that are easy to check by hand."""

from segattn.records.probes import ProbeCondition, ProbeRecord, ProbeRun
from segattn.records.schema import Environment


def condition(name, pixels, far):
    series, _, value = name.rpartition("-")
    return ProbeCondition(name=name, series=series, value=float(value), pixels=pixels, far=far)


def record(**changes):
    """Two networks, one with a seed missing, two settings."""
    fields = {
        "task": "reach",
        "measure": "accuracy",
        "chance": 0.5,
        "sees": 35,
        "iterations": 150,
        "conditions": [condition("straight-3", 9, False), condition("straight-7", 41, True), condition("diagonal-7", 41, True)],
        "planned": [("fcn", 0), ("ccnet R=1", 0), ("fcn", 1), ("ccnet R=1", 1)],
        "runs": [
            ProbeRun(variant="fcn", seed=0, scores={"straight-3": 0.9, "straight-7": 0.5, "diagonal-7": 0.5}),
            ProbeRun(
                variant="ccnet R=1",
                seed=0,
                scores={"straight-3": 1.0, "straight-7": 1.0, "diagonal-7": 0.5},
                purity={"round_1": {"straight-3": 0.25, "straight-7": 0.5, "diagonal-7": 0.125}},
            ),
            ProbeRun(variant="fcn", seed=1, scores={"straight-3": 1.0, "straight-7": 0.5, "diagonal-7": 0.5}),
        ],
        "environment": Environment(
            segattn="0", commit=None, python="3", torch="2", system="s", processor="p", device="cpu", threads=1, precision="fp32"
        ),
        "uniform_purity": {"straight-3": 0.03, "straight-7": 0.03, "diagonal-7": 0.03},
        **changes,
    }  # fmt: skip
    return ProbeRecord(**fields)
