"""Compares predicted with measured peak memory of training steps, configuration by configuration.

    python benchmarks/planner.py --out figures.json             on the CPU, two threads
    python benchmarks/planner.py --allocator                    the simulation alone against torch's record of allocations
    python benchmarks/planner.py --device cuda --precision bf16 --large

Each configuration is measured in a process of its own (`segattn.profile.memory`: the highest resident set, or the statistics of
the CUDA allocator) in its second step, when the momentum exists. The prediction is that of `segattn plan`, which runs nothing.
On the CPU, a constant is added for the pages of the libraries that a step touches: the median difference over the configurations
marked `calibration`. Errors are computed on the other configurations only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import torch

from segattn import __version__
from segattn.benchmark import peak
from segattn.config import Model, Optimization
from segattn.profile import memory
from segattn.profile.environment import environment
from segattn.profile.markdown import markdown_table


@dataclass(frozen=True)
class Configuration:
    """One line of the table."""

    head: str
    backbone: str
    crop: int
    batch: int
    checkpointing: bool = False
    mode: str = "faithful"
    accumulation: int = 1
    channels_last: bool = True
    calibration: bool = False

    def case(self, device: str, precision: str) -> peak.Case:
        return peak.Case(
            model=Model(head=self.head, backbone=self.backbone, mode=self.mode),  # type: ignore[arg-type]
            optimization=Optimization(
                batch_size=self.batch,
                precision=precision,  # type: ignore[arg-type]
                activation_checkpointing=self.checkpointing,
                accumulation=self.accumulation,
                channels_last=self.channels_last,
            ),
            crop_size=(self.crop, self.crop),
            device=device,  # type: ignore[arg-type]
        )


CONFIGURATIONS = (
    Configuration("fcn", "resnet18", 129, 1, calibration=True),
    Configuration("danet", "resnet18", 257, 2, calibration=True),
    Configuration("ccnet", "resnet50", 193, 2, calibration=True),
    Configuration("isanet", "resnet50", 321, 1, checkpointing=True, calibration=True),
    Configuration("fcn", "resnet18", 385, 4),
    Configuration("fcn", "resnet50", 257, 2),
    Configuration("non_local", "resnet18", 385, 2),
    Configuration("non_local", "resnet50", 257, 4, checkpointing=True),
    Configuration("danet", "resnet50", 321, 2),
    Configuration("danet", "resnet50", 321, 2, checkpointing=True),
    Configuration("ccnet", "resnet18", 129, 4),
    Configuration("ccnet", "resnet50", 385, 2),
    Configuration("dnlnet", "resnet50", 193, 1),
    Configuration("denoised_nl", "resnet18", 321, 2),
    Configuration("denoised_nl", "resnet50", 257, 2, checkpointing=True),
    Configuration("emanet", "resnet18", 257, 4),
    Configuration("emanet", "resnet50", 385, 1),
    Configuration("flanet", "resnet18", 193, 3),
    Configuration("flanet", "resnet50", 257, 2),
    Configuration("isanet", "resnet18", 129, 1),
    Configuration("reconet", "resnet50", 257, 2),
    Configuration("reconet", "resnet18", 385, 4, mode="controlled", accumulation=2),
    Configuration("danet", "resnet18", 257, 2, channels_last=False),
    Configuration("non_local", "resnet101", 257, 2),
    Configuration("fcn", "resnet101", 385, 1, checkpointing=True),
)


def measured(case: peak.Case, threads: int) -> memory.Memory:
    """Peak of two steps in a process of its own."""
    arguments = {"case": msgspec.to_builtins(case)}
    return memory.measure(
        "segattn.benchmark.peak:task", arguments, device=case.device, threads=threads, runs=2, timeout=1800
    )


def recorded(case: peak.Case) -> int:
    """The peak of live bytes in torch's record of allocations and frees on the CPU, in two steps."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step = peak.real_step(case)
        step()
        step()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        highest = max(highest, held)
    return highest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--large", action="store_true", help="crops of 769, as on a GPU of 24 GB or more")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--allocator", action="store_true", help="CPU: the simulation against torch's own record")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.allocator:
        for configuration in CONFIGURATIONS:
            case = configuration.case("cpu", options.precision)
            simulated, truth = peak.simulate(case).total, recorded(case)
            print(
                f"{configuration}: {simulated / 1e6:.1f} MB, recorded {truth / 1e6:.1f} MB, {simulated / truth - 1:+.2%}"
            )
        return
    rows = []
    for configuration in CONFIGURATIONS:
        if options.large:
            configuration = replace(configuration, crop=769)
        case = configuration.case(options.device, options.precision)
        simulated = peak.simulate(case).total
        needed = measured(case, options.threads)
        # CUDA: the allocator's own figure, the context is not in it.
        most = needed.peak_bytes if options.device == "cuda" else needed.total_bytes
        rows.append({**asdict(configuration), "simulated": simulated, "measured": most, "message": needed.message})
        print(configuration, simulated, most, needed.outcome, needed.message, file=sys.stderr, flush=True)
        if options.out:
            options.out.write_text(json.dumps(rows, indent=1))
    show(rows, options.device)


def show(rows: list[dict], device: str) -> None:
    """The table as Markdown, and what the errors on the configurations apart from calibration are."""
    where = environment(__version__, path=Path(__file__).parent, device=device)
    commit = f"commit {where['commit']}, " if where["commit"] else ""
    print(f"{datetime.now(UTC):%Y-%m-%d}, {commit}{where['processor']}, {where['device']}, torch {torch.__version__}\n")
    ran = [row for row in rows if row["measured"] is not None]
    extra = [row["measured"] - row["simulated"] for row in ran if row["calibration"]]
    constant = statistics.median(extra) if extra and device == "cpu" else 0
    print(f"constant: {constant / 1e6:.0f} MB\n")
    lines, errors = [], []
    for row in rows:
        names = [name for name in ("checkpointing", "calibration") if row[name]]
        names += [] if row["mode"] == "faithful" else [row["mode"]]
        names += [] if row["accumulation"] == 1 else [f"accumulation {row['accumulation']}"]
        names += [] if row["channels_last"] else ["not channels-last"]
        cells = [row["head"], row["backbone"], row["crop"], row["batch"], ", ".join(names)]
        predicted = row["simulated"] + constant
        cells += [f"{row['simulated'] / 1e6:.0f}", f"{predicted / 1e6:.0f}"]
        if row["measured"] is None:
            cells += [row["message"], ""]
        else:
            error = 100 * (predicted / row["measured"] - 1)
            cells += [f"{row['measured'] / 1e6:.0f}", f"{error:+.1f}"]
            if not row["calibration"]:
                errors.append(abs(error))
        lines.append(cells)
    headings = ["head", "backbone", "crop", "batch", "", "simulated MB", "predicted MB", "measured MB", "error %"]
    print(markdown_table(headings, lines, align="llrrlr"))
    print(
        f"\n{len(errors)} configurations apart from calibration: median error {statistics.median(errors):.1f} %, largest "
        f"{max(errors):.1f} %, {sum(error <= 15 for error in errors)} within 15 %"
    )


if __name__ == "__main__":
    main()
