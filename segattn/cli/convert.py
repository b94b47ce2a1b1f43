"""`segattn convert`: checkpoints of mmsegmentation to ours and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from segattn.cli.arguments import parse


@dataclass(frozen=True)
class FromMmseg:
    """Write a checkpoint of mmsegmentation as a folder that `segattn predict`, `evaluate` and `load_model` take."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """File (.pth) of mmsegmentation; mmcv is not needed, and no code of the file is run."""
    out: Annotated[Path, tyro.conf.Positional]
    """Folder to write."""
    config: Path | None = None
    """Its configuration (.py), where the checkpoint does not contain it; read, not run."""
    head: str | None = None
    """Expected head; another one is an error."""
    classes: int | None = None
    """Expected number of classes; another one is an error."""
    align_corners: Literal["auto", "yes", "no"] = "auto"
    """How logits are upsampled; auto: as the configuration says."""
    keep_auxiliary: bool = True
    """Keep the auxiliary head, which only training uses."""


@dataclass(frozen=True)
class ToMmseg:
    """Write a trained network of ours as a checkpoint of mmsegmentation, and its configuration beside it."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the network."""
    out: Annotated[Path, tyro.conf.Positional]
    """File (.pth) to write; the configuration gets the same name with .py."""
    old_keys: bool = False
    """Scalar factors as `gamma` of shape (1,), as in older checkpoints, in place of `gamma.scale` of shape ()."""


_USAGE = """\
usage: segattn convert mmseg CHECKPOINT.pth FOLDER [options]      from mmsegmentation
       segattn convert to-mmseg FOLDER CHECKPOINT.pth [options]   to mmsegmentation

Options: segattn convert mmseg --help, segattn convert to-mmseg --help"""


def run(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return
    directions = {"mmseg": _from_mmseg, "to-mmseg": _to_mmseg}
    if arguments[0] not in directions:
        raise ValueError(f"segattn convert {arguments[0]}: unknown; use one of {', '.join(directions)}")
    directions[arguments[0]](arguments[1:])


def _from_mmseg(arguments: Sequence[str]) -> None:
    chosen = parse(FromMmseg, arguments, command="convert mmseg", description=FromMmseg.__doc__ or "")
    from segattn.convert import mmseg_file

    converted = mmseg_file.import_file(
        chosen.checkpoint,
        chosen.out,
        config=chosen.config,
        head=chosen.head,
        num_classes=chosen.classes,
        align_corners={"yes": True, "no": False}.get(chosen.align_corners),
        keep_auxiliary=chosen.keep_auxiliary,
    )
    network, console = converted.network, Console(highlight=False, soft_wrap=True)
    stem = network.backbone_options["stem"]
    auxiliary = "with" if network.auxiliary_weight > 0 else "without"
    console.print(
        f"{chosen.out}: {network.head} on {network.backbone} ({stem} stem, output stride {network.output_stride}), "
        f"{converted.num_classes} classes, {auxiliary} auxiliary head, align_corners={network.align_corners}"
    )
    if converted.assumed:
        listed = ", ".join(f"{name}={value}" for name, value in converted.assumed.items())
        console.print(f"The checkpoint has no configuration that says so: assumed {listed} (give --config FILE.py)")
    console.print(f"Try: segattn predict PHOTOS --checkpoint {chosen.out} --out labels")


def _to_mmseg(arguments: Sequence[str]) -> None:
    chosen = parse(ToMmseg, arguments, command="convert to-mmseg", description=ToMmseg.__doc__ or "")
    from segattn import records
    from segattn.convert import mmseg_file

    written = chosen.out.with_suffix(".py")
    if written.exists() or written == chosen.out:
        raise ValueError(f"{written} exists or is the checkpoint itself; give another file name, such as network.pth")
    text = mmseg_file.export_file(chosen.run, chosen.out, old_keys=chosen.old_keys)
    records.write_bytes(text.encode(), written)
    Console(highlight=False, soft_wrap=True).print(f"{chosen.out}\n{written}")
