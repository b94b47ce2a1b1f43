"""`segattn convert`: checkpoints of mmsegmentation to segattn's and back."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from segattn.cli import next_step, terminal
from segattn.cli.arguments import parse
from segattn.cli.values import Modules


@dataclass(frozen=True)
class FromMmseg:
    """Convert a checkpoint of mmsegmentation to a run's folder, for `segattn predict`, `evaluate` and `load_model`.

    segattn convert mmseg danet_r101.pth -o runs/danet
    segattn convert mmseg iter_80000.pth -o runs/mine --num-classes 4
    """

    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT.pth")]
    """Checkpoint of mmsegmentation. mmcv is not needed, and no code in the file is executed."""
    out: Path
    """Folder to write to."""
    config: Annotated[Path | None, tyro.conf.arg(metavar="CONFIG.py")] = None
    """Its configuration, if the checkpoint does not contain it; read, not executed."""
    head: str | None = None
    """Expected head; any other head is an error."""
    num_classes: int | None = None
    """Expected number of classes; any other number is an error."""
    align_corners: Literal["auto", "yes", "no"] = "auto"
    """How logits are upsampled; auto: as in the configuration."""
    keep_auxiliary: bool = True
    """Keep the auxiliary head, which only training uses."""


@dataclass(frozen=True)
class ToMmseg:
    """Convert a trained network to a checkpoint of mmsegmentation, with its configuration beside it.

    segattn convert to-mmseg runs/danet -o danet.pth
    segattn convert to-mmseg runs/quick/ccnet-faithful-s0 -o ccnet.pth
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    out: Annotated[Path, tyro.conf.arg(metavar="CHECKPOINT.pth")]
    """File to write; the configuration has the same name with .py."""
    old_keys: bool = False
    """Write scalar factors as `gamma` of shape (1,), as in older checkpoints, instead of `gamma.scale` of shape ()."""
    allow_module: Modules = ()
    """Import this module, or the modules of this package, where the run names one of yours as its head or data set."""


_USAGE = """\
usage: segattn convert mmseg CHECKPOINT.pth -o FOLDER [options]
       segattn convert to-mmseg RUN -o CHECKPOINT.pth [options]

  mmseg     a checkpoint of mmsegmentation becomes the folder of a run
  to-mmseg  a run becomes a checkpoint of mmsegmentation

    segattn convert mmseg danet_r101.pth -o runs/danet
    segattn convert to-mmseg runs/danet -o danet.pth

Options: segattn convert mmseg --help, segattn convert to-mmseg --help"""


def run(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "--help-all"):
        print(_USAGE)
        return
    directions = {"mmseg": _from_mmseg, "to-mmseg": _to_mmseg}
    if arguments[0] not in directions:
        raise ValueError(f"segattn convert {arguments[0]}: unknown; use one of {', '.join(directions)}")
    directions[arguments[0]](arguments[1:])


def _from_mmseg(arguments: Sequence[str]) -> None:
    chosen = parse(FromMmseg, arguments, command="convert mmseg")
    from segattn.convert import mmseg_file

    converted = mmseg_file.import_file(
        chosen.checkpoint,
        chosen.out,
        config=chosen.config,
        head=chosen.head,
        num_classes=chosen.num_classes,
        align_corners={"yes": True, "no": False}.get(chosen.align_corners),
        keep_auxiliary=chosen.keep_auxiliary,
    )
    network, console = converted.network, terminal.console(highlight=False, soft_wrap=True)
    stem = network.backbone_options["stem"]
    auxiliary = "with" if network.auxiliary_weight > 0 else "without"
    console.print(
        f"{chosen.out}: {network.head} on {network.backbone} ({stem} stem, output stride {network.output_stride}), "
        f"{converted.num_classes} classes, {auxiliary} auxiliary head, align_corners={network.align_corners}"
    )
    if converted.assumed:
        listed = ", ".join(f"{name}={value}" for name, value in converted.assumed.items())
        console.print(f"The checkpoint has no configuration; assumed {listed} (give --config CONFIG.py)")
    for notice in converted.notices:
        console.print(notice)
    evaluation, window = converted.evaluation, []
    if evaluation.mode == "slide" and evaluation.crop_size is not None:
        window = ["--mode", "slide", "--crop-size", "x".join(map(str, evaluation.crop_size))]
        console.print(
            f"It was tested with windows of {evaluation.crop_size}, stride {evaluation.stride} (height, width)"
        )
    next_step.label_photos(console, chosen.out, *window)


def _to_mmseg(arguments: Sequence[str]) -> None:
    chosen = parse(ToMmseg, arguments, command="convert to-mmseg")
    from segattn import records
    from segattn.convert import mmseg_file

    config = chosen.out.with_suffix(".py")
    if config.exists() or config == chosen.out:
        raise ValueError(f"{config} exists or is the checkpoint itself; give another file name, such as network.pth")
    text = mmseg_file.export_file(chosen.run, chosen.out, old_keys=chosen.old_keys, allow_modules=chosen.allow_module)
    records.write_bytes(text.encode(), config)
    console = terminal.console(highlight=False, soft_wrap=True)
    console.print(f"{chosen.out}\n{config}\n")
    console.print(f"Next, in mmsegmentation: {shlex.join(['python', 'tools/test.py', str(config), str(chosen.out)])}")
