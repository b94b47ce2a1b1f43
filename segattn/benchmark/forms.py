"""Cases in the forms of `segattn.inference.forms`: graphs are written before the processes that measure them begin."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from segattn.benchmark.cases import Prepared, build_network, prepare
from segattn.inference import forms
from segattn.records.bench import Case


def ready(case: Case, device: str, folder: str) -> Prepared:
    """What `prepare` says of a case; the graph of a form that runs from a file is written into `folder`, once for all sizes.

    Raises:
        ValueError: as `prepare`; the form is not possible here; the network cannot be exported.
    """
    if case.form != "eager" and (reason := forms.missing(case.form, device)):
        raise ValueError(reason)
    prepared = prepare(case, device)
    if case.form not in forms.GRAPHS:
        return prepared
    file = Path(folder, f"{_key(case)}.onnx")
    if not file.exists():
        torch.manual_seed(0)
        forms.write(build_network(case, "cpu").eval(), case.form, file)
    return replace(prepared, file=str(file))


def network(case: Case, file: str, device: str) -> nn.Module:
    """The network of a case in its form, with random weights; of its graph `file`, where the form runs from one."""
    if case.form in forms.GRAPHS:
        return forms.of_file(file, case.form)
    return forms.of_network(build_network(case, device).eval(), case.form)


def for_one_size(case: Case) -> bool:
    """Whether the form is compiled for the size of its first images."""
    return case.form == "inductor"


def _key(case: Case) -> str:
    """A name for the graph, the same for all cases that have the same."""
    fields = ("head", "mode", "backbone", "output_stride", "num_classes", "in_channels", "implementation")
    described = [getattr(case, name) for name in fields] + [case.head_options, case.backbone_options]
    text = json.dumps([*described, forms.GRAPHS[case.form]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
