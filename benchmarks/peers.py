"""Compares mmsegmentation's heads with ours: same weights, same maps, measured in turns, after a check that the outputs agree.

    python -m venv VENV && VENV/bin/pip install -c constraints.txt -e . onedl-mmsegmentation onedl-mmcv
    VENV/bin/python -m benchmarks.peers [--heads danet ccnet] [--input 769x769] [--passes inference training] [-o FILE.json]

Both run in that environment, with the same torch, each head in a process of its own; times come from interleaved rounds, memory
from separate processes (see benchmarks/README.md). Maps are random and non-negative; weights are random (He), and norms have
statistics other than their initial ones. Criss-cross attention is loaded from its file in mmcv alone: that file is Python, while
mmcv's operators need a compiled part.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from segattn import records
from segattn.benchmark import cases, piece
from segattn.benchmark.run import Settings, run
from segattn.benchmark.run import name as in_words
from segattn.cli.values import size
from segattn.convert.mmseg import from_mmseg
from segattn.device import DTYPES
from segattn.profile.markdown import markdown_table
from segattn.profile.worker import Task
from segattn.records.bench import Case
from tests.convert.compare_mmseg import BASES

THEIRS = "mmsegmentation"
TARGET = "benchmarks.peers:task"
"""What each process calls; like this script it is a module below the folder that the command is given in."""
TOLERANCE = 1e-4
"""Relative to the logits' standard deviation, in float32; or a tenth of mmsegmentation's own rounding error if that is more."""


@cache
def reference() -> Any:
    """The module of the tests that builds mmsegmentation's segmentors, with mmsegmentation's modules registered."""
    from mmseg.utils import register_all_modules

    from tests.convert import mmseg_reference

    register_all_modules()
    mmseg_reference.load_criss_cross()
    return mmseg_reference


@lru_cache(maxsize=1)
def pair(head: str, seed: int) -> tuple[nn.Module, nn.Module]:
    """mmsegmentation's head and ours with the same weights."""
    segmentors = reference()
    config = segmentors.configuration({"name": BASES[head]})
    torch.manual_seed(seed)
    segmentor = segmentors.MODELS.build(config.model)
    segmentors.randomise(segmentor, torch.randn(2, 3, 97, 97))
    ours = from_mmseg(segmentor.state_dict(), config=config.pretty_text).build()
    return segmentor.decode_head, ours.head


def task(case: dict[str, Any], prepared: dict[str, Any], device: str, seed: int) -> Task:
    """The task of a case; its implementation is `mmsegmentation` or one of ours."""
    chosen, shapes = msgspec.convert(case, Case), msgspec.convert(prepared, cases.Prepared)
    reference_head, own_head = pair(chosen.head, seed)
    torch.manual_seed(seed)
    head = reference_head if chosen.implementation == THEIRS else cases.set_form(own_head, chosen)
    head = head.to(device).train(chosen.phase == "training")
    if chosen.channels_last:
        head = head.to(memory_format=torch.channels_last)
    return piece.passes(chosen, shapes, head, device)


@torch.no_grad()
def disagreement(head: str, seed: int, map_size: tuple[int, int] = (33, 41)) -> tuple[float, float]:
    """Largest difference of the logits over their standard deviation, and mmsegmentation's own rounding to float32."""
    reference_head, own_head = pair(head, seed)
    channels = (256, 512, 1024, 2048)
    maps = [torch.randn(1, width, *map_size).relu_() for width in channels]

    def logits(module: nn.Module, features: list[torch.Tensor]) -> torch.Tensor:
        return next(cases.tensors(module.eval()(features))).double()

    expected, own = logits(reference_head, maps), logits(own_head, maps)
    exact = logits(reference_head.double(), [one.double() for one in maps])
    reference_head.float()
    scale = exact.std()
    return ((own - expected).abs().max() / scale).item(), ((expected - exact).abs().max() / scale).item()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", nargs="+", default=list(BASES), choices=list(BASES))
    parser.add_argument("--input", default="769x769", help="image size; the maps are those of output stride 8")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--passes", nargs="+", default=["inference"], choices=cases.PHASES)
    parser.add_argument("--dtypes", nargs="+", default=["fp32"], choices=list(DTYPES))
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds-budget", type=float, default=600.0)
    parser.add_argument("-o", "--out", type=Path)
    chosen = parser.parse_args()
    settings = Settings(
        device=chosen.device,
        threads=chosen.threads,
        rounds=chosen.rounds,
        budget_seconds=chosen.seconds_budget,
        target=TARGET,
    )
    for head in chosen.heads:
        apart, rounding = disagreement(head, settings.seed)
        print(f"{head:10} outputs agree to {apart:.1e} of their deviation (rounding alone: {rounding:.1e})", flush=True)
        if not apart <= max(TOLERANCE, rounding / 10):
            print(f"peers: error: {head}: the two heads compute different outputs; nothing was timed", file=sys.stderr)
            return 1
    measured = cases.combinations(
        names=chosen.heads,
        parts=["head"],
        sizes=[size(chosen.input)],
        batches=[chosen.batch],
        phases=chosen.passes,
        dtypes=chosen.dtypes,
        implementations=[THEIRS, "auto"],
        channels_last=[chosen.channels_last],
        compiled=[False],
        backbone="resnet50",
        output_stride=8,
        mode="faithful",
        num_classes=19,
    )
    record = run(
        measured,
        settings,
        suite="peers",
        command=shlex.join(["python", "-m", "benchmarks.peers", *sys.argv[1:]]),
        on_group=lambda record: records.write(record, chosen.out) if chosen.out else None,
    )
    if chosen.out:
        records.write(record, chosen.out)
    print(table(record))
    return 0


def table(record: records.BenchRecord) -> str:
    """The figures of both heads for every case in Markdown, with the ratios."""
    headings = ["head", "pass", "arithmetic", "mmsegmentation ms", "ours ms", "times faster"]
    headings += ["mmsegmentation MiB", "ours MiB", "memory"]
    lines = []
    ours = {_key(result.case): result for result in record.results if result.case.implementation != THEIRS}
    for peer in (result for result in record.results if result.case.implementation == THEIRS):
        own, case = ours[_key(peer.case)], peer.case
        bad = [f"{in_words(one.case)}: {one.outcome} {one.message}" for one in (peer, own) if one.outcome != "ok"]
        if bad or not (own.latency and peer.latency and own.memory and peer.memory):
            lines.append([case.head, case.phase, case.dtype, "; ".join(bad)])
            continue
        times = (peer.latency.median_ms, own.latency.median_ms)
        bytes_ = (peer.memory.extra_bytes / 2**20, own.memory.extra_bytes / 2**20)
        figures = [f"{times[0]:,.0f}", f"{times[1]:,.0f}", f"{times[0] / times[1]:.2f}"]
        figures += [f"{bytes_[0]:,.0f}", f"{bytes_[1]:,.0f}", f"{bytes_[1] / bytes_[0]:.2f}"]
        lines.append([case.head, case.phase, case.dtype, *figures])
    return markdown_table(headings, lines, align="lllr")


def _key(case: Case) -> Any:
    return case.head, case.phase, case.dtype


if __name__ == "__main__":
    sys.exit(main())
