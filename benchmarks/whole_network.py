"""Compares mmsegmentation's whole networks with ours, inference and training: same weights, measured in turns, ratios printed.

    VENV/bin/python -m benchmarks.whole_network [--heads danet ccnet] [--input 513x513] [--passes inference training]
        [--forms eager optimized onnx] [-o FILE.json]

VENV is the environment of `benchmarks.peers`. At inference both return logits of the image's size; before anything is timed, the
logits are compared. Other forms than eager are those of `segattn.inference.forms`: what a user of ours can run in place of
mmsegmentation's network; bf16 and int8 round more. Ours keep freed memory, as `segattn train` and `segattn predict` do
(SEGATTN_ALLOCATOR=system: as the system does); mmsegmentation's commands do not. A training step is forward, the losses of head
and auxiliary head, backward and SGD with momentum, on random labels. Use an idle machine: the ratios are within rounds, but a
busy machine widens them.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from benchmarks.peers import THEIRS, reference
from segattn import records
from segattn.benchmark import cases, piece
from segattn.benchmark.run import Settings, run
from segattn.cli.allocator import keep_memory
from segattn.cli.values import size
from segattn.convert.mmseg import from_mmseg
from segattn.inference import forms
from segattn.model import SegmentationModel
from segattn.profile.markdown import markdown_table
from segattn.profile.worker import Task
from segattn.records.bench import Case, Result
from tests.convert.compare_mmseg import BASES

TARGET = "benchmarks.whole_network:task"
TOLERANCE = 1e-3
"""Largest difference of a logit, in standard deviations of the logits."""


def pair(head: str, seed: int) -> tuple[nn.Module, SegmentationModel]:
    """mmsegmentation's segmentor and our network with the same weights, from its configuration with a ResNet-50."""
    segmentors = reference()
    config = segmentors.configuration({"name": BASES[head]})
    torch.manual_seed(seed)
    segmentor = segmentors.MODELS.build(config.model)
    segmentors.randomise(segmentor, torch.randn(2, 3, 97, 97))
    return segmentor, from_mmseg(segmentor.state_dict(), config=config.pretty_text).build()


class Inference(nn.Module):
    """A segmentor as a network: images to logits of their size."""

    def __init__(self, segmentor: nn.Module) -> None:
        super().__init__()
        self.segmentor = segmentor.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        shape = tuple(images.shape[-2:])
        meta = {"img_shape": shape, "pad_shape": shape, "ori_shape": shape}
        return self.segmentor.encode_decode(images, [meta] * len(images))  # type: ignore[operator,no-any-return]


def task(case: dict[str, Any], prepared: dict[str, Any], device: str, seed: int) -> Task:
    """The task of a case: mmsegmentation's network, or ours as `segattn bench` runs it but with freed memory kept."""
    chosen, shapes = msgspec.convert(case, Case), msgspec.convert(prepared, cases.Prepared)
    if chosen.implementation != THEIRS:
        keep_memory(["predict" if chosen.phase == "inference" else "train"])
        return piece.task(case, prepared, device, seed)
    segmentor = pair(chosen.head, seed)[0].to(device)
    torch.manual_seed(seed)
    if chosen.phase == "inference":
        return piece.passes(chosen, shapes, Inference(segmentor), device)
    return _training(segmentor.train(), chosen, device)


def _training(segmentor: Any, case: Case, device: str) -> Task:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    optimizer = torch.optim.SGD(segmentor.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def batch(number: int, extent: tuple[int, int]) -> tuple[torch.Tensor, list[Any]]:
        samples = []
        for _ in range(number):
            labels = torch.randint(0, case.num_classes, (1, *extent), device=device)
            samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo={"img_shape": extent}))
        return torch.randn(number, case.in_channels, *extent, device=device), samples

    def step(images: torch.Tensor, samples: list[Any]) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss, _ = segmentor.parse_losses(segmentor.loss(images, samples))
        loss.backward()
        optimizer.step()

    whole, tiny = batch(case.batch, case.input_size), batch(2, cases.TINY)

    def warm_up() -> None:
        step(*tiny)
        optimizer.zero_grad(set_to_none=True)
        optimizer.state.clear()  # the momentum counts as memory of a step

    return Task(partial(step, *whole), warm_up=warm_up)


@torch.no_grad()
def disagreement(head: str, seed: int) -> tuple[float, SegmentationModel]:
    """Largest difference of the logits over their standard deviation, and our network."""
    segmentor, own = pair(head, seed)
    images = torch.randn(1, 3, 97, 129)
    expected = Inference(segmentor)(images)
    return ((own.eval()(images) - expected).abs().max() / expected.std()).item(), own


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", nargs="+", default=["fcn", "non_local", "danet", "ccnet"], choices=list(BASES))
    parser.add_argument("--input", default="513x513", help="size of the images in pixels")
    parser.add_argument("--batch", type=int, default=1, help="images at inference; training has 2 or more")
    parser.add_argument("--passes", nargs="+", default=list(cases.PHASES), choices=cases.PHASES)
    parser.add_argument("--forms", nargs="+", default=["eager", "optimized"], choices=forms.FORMS)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds-budget", type=float, default=1200.0)
    parser.add_argument("-o", "--out", type=Path)
    chosen = parser.parse_args()
    for form in chosen.forms:
        if reason := forms.missing(form):
            parser.error(reason)
    measured: list[Case] = []
    for head in chosen.heads:
        apart, own = disagreement(head, Settings.seed)
        print(f"{head:10} logits agree to {apart:.1e} of their deviation", flush=True)
        if not apart <= TOLERANCE:
            print(f"whole_network: error: {head}: different logits; nothing was timed", file=sys.stderr)
            return 1
        measured += _cases(head, own, chosen)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            threads=chosen.threads,
            rounds=chosen.rounds,
            budget_seconds=chosen.seconds_budget,
            target=TARGET,
            folder=folder,
        )
        command = shlex.join(["python", "-m", "benchmarks.whole_network", *sys.argv[1:]])
        record = run(measured, settings, suite="whole networks", command=command, on_notice=print)
    if chosen.out:
        records.write(record, chosen.out)
    print(table(record))
    return 0


def _cases(head: str, own: SegmentationModel, chosen: argparse.Namespace) -> list[Case]:
    """mmsegmentation's network and ours, as large as it, in every form at inference and eager in training."""
    assert own.described is not None
    made = []
    for phase in chosen.passes:
        common = partial(
            cases.combinations,
            names=[head],
            parts=["network"],
            sizes=[size(chosen.input)],
            batches=[chosen.batch if phase == "inference" else max(2, chosen.batch)],
            phases=[phase],
            dtypes=["fp32"],
            channels_last=[False],
            compiled=[False],
            backbone=own.described.backbone,
            output_stride=own.described.output_stride,
            mode=own.described.mode,
            num_classes=own.num_classes,
            head_options=dict(own.described.head_options),
            backbone_options=dict(own.described.backbone_options),
        )
        made += common(implementations=[THEIRS])
        made += common(implementations=["auto"], forms=chosen.forms if phase == "inference" else ["eager"])
    return made


def table(record: records.BenchRecord) -> str:
    """Time and memory of our networks beside mmsegmentation's in Markdown, with the ratios."""
    headings = ["head", "pass", "form", "mmsegmentation ms", "ours ms", "times faster", "memory"]
    peers = {_key(each.case): each for each in record.results if each.case.implementation == THEIRS}
    lines = [_line(each, peers[_key(each.case)]) for each in record.results if each.case.implementation != THEIRS]
    return markdown_table(headings, lines, align="lllr")


def _line(own: Result, peer: Result) -> list[str]:
    words = [own.case.head, own.case.phase, own.case.form]
    bad = [f"{one.case.implementation}: {one.outcome} {one.message}" for one in (peer, own) if one.outcome != "ok"]
    if bad or not (own.latency and peer.latency and own.memory and peer.memory):
        return [*words, "; ".join(bad), "", "", ""]
    times = peer.latency.median_ms, own.latency.median_ms
    memory = own.memory.total_bytes / max(1, peer.memory.total_bytes)
    return [*words, f"{times[0]:,.0f}", f"{times[1]:,.0f}", f"{times[0] / times[1]:.2f}", f"{memory:.2f}"]


def _key(case: Case) -> tuple[str, str]:
    return case.head, case.phase


if __name__ == "__main__":
    sys.exit(main())
