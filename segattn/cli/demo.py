"""`segattn demo`: a local page to click pixels and compare attention maps."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.progress import track

from segattn import zoo
from segattn.cli import terminal
from segattn.cli.arguments import parse
from segattn.cli.values import Device, Modules

if TYPE_CHECKING:
    from segattn.demo.networks import Network


@dataclass(frozen=True)
class DemoArguments:
    """Open the explorer: a page where a click on a picture shows each network's attention map, prediction and cost.

        segattn demo                                  the zoo's trunk streets
        segattn demo runs/quick --heads ccnet danet   your own networks
        segattn demo streets-local/ccnet              others of segattn zoo

    It needs pip install 'segattn[demo]', but no internet connection and no GPU. It shows trained networks and trains none
    itself. Ctrl-C stops it.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """Folders of studies or runs, or names of `segattn zoo`; by default the study's heads on the zoo's trunk streets."""
    heads: tuple[str, ...] = ("all",)
    """Heads to show, of those in the study, or all."""
    seed: int | None = None
    """Seed to show if a study has several; by default the lowest."""
    host: Annotated[str, tyro.conf.arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to serve on. With any other than 127.0.0.1, other computers can use the page; there is no password. Put a
    proxy in front (docs/explorer.md)."""
    port: int = 7860
    """Port to serve on; 0: any free port."""
    max_side: int = 512
    """Larger pictures are scaled down to this many pixels on their longer side."""
    cache_mb: int = 1024
    """Memory in MiB for intermediate results of the networks."""
    device: Device = "auto"
    """auto: the GPU if there is one."""
    allow_module: Modules = ()
    """Import this module, or the modules of this package, where the run names one of yours as its head or data set."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(DemoArguments, arguments, command="demo")
    _check(chosen)
    from segattn.cli.maps import of_study
    from segattn.demo import networks
    from segattn.demo.explorer import Explorer
    from segattn.demo.server import bind, is_loopback, serve

    console = terminal.console(soft_wrap=True, highlight=False)
    with bind(chosen.host, chosen.port) as listening:
        loaded = _load(chosen.runs or of_study(zoo.FULL), chosen, console)
        shown = [str(each) if zoo.is_named(each) else "/".join(each.resolve().parts[-2:]) for each in chosen.runs]
        if not chosen.runs:
            what = f"No run given: the study's heads on {zoo.FULL} of segattn zoo. To show your own: segattn demo runs/quick"
            console.print(what, markup=False)
        if not is_loopback(chosen.host):
            console.print(
                f"Whoever reaches {chosen.host} can use this page; there is no password. "
                "Put a proxy in front: docs/explorer.md\n",
                style="bold",
            )
        count = f"{len(loaded)} network{'' if len(loaded) == 1 else 's'}"
        explorer = Explorer(networks.checked(loaded), cache_bytes=chosen.cache_mb * 2**20)
        serve(
            explorer,
            listening,
            max_side=chosen.max_side,
            source=f"Networks of {', '.join(shown or [zoo.FULL])}.",
            ready=lambda address: console.print(
                f"{count} of {', '.join(shown or [zoo.FULL])} at {address}  (Ctrl-C stops it)", markup=False
            ),
        )
    console.print("\nended")


def _check(chosen: DemoArguments) -> None:
    if importlib.util.find_spec("gradio") is None:
        raise ValueError("segattn demo needs Gradio: pip install 'segattn[demo]'")
    if not 64 <= chosen.max_side <= 2048:
        raise ValueError(f"--max-side {chosen.max_side} should be from 64 to 2048 pixels")
    if not 0 <= chosen.port <= 65535:
        raise ValueError(f"--port {chosen.port} should be from 0 to 65535")
    if chosen.cache_mb < 0:
        raise ValueError(f"--cache-mb {chosen.cache_mb} should be 0 or more")
    if not chosen.runs and ("all" not in chosen.heads or chosen.seed is not None):
        raise ValueError("--heads and --seed choose among a study's networks; name its folder, such as runs/quick")
    if not chosen.runs and zoo.FULL not in zoo.trunks():
        raise ValueError(
            f"no run given, and this installation has no networks of the zoo's trunk {zoo.FULL}; give the folder of a study or "
            "run, such as segattn demo runs/quick (segattn study quick trains it)"
        )


def _load(where: Sequence[Path | zoo.Entry], chosen: DemoArguments, console: Console) -> list[Network]:
    from segattn.cli.maps import choose
    from segattn.demo import networks
    from segattn.device import resolve_device

    device, chosen_runs = resolve_device(chosen.device), choose(where, chosen.heads, chosen.seed)
    hidden = not console.is_terminal
    return [
        networks.load(name, source, device, allow_modules=chosen.allow_module)
        for name, source in track(chosen_runs, description="loading", console=console, transient=True, disable=hidden)
    ]
