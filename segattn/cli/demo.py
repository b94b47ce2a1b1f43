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
from segattn.cli.arguments import parse
from segattn.cli.values import Device

if TYPE_CHECKING:
    from segattn.demo.networks import Network


@dataclass(frozen=True)
class DemoArguments:
    """Open the explorer: a page where a click on a picture shows each network's attention map, prediction and cost.

        segattn demo                                  the newest study under runs/
        segattn demo runs/quick --heads ccnet danet
        segattn demo streets                          networks of segattn zoo

    It needs pip install 'segattn[demo]', but no internet connection and no GPU. Nothing is trained: without a finished study it
    shows the networks of the zoo's trunk streets; without these the networks have random weights, and the page says so. Ctrl-C
    stops it.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """Folders of studies or runs, or names of `segattn zoo`; by default the newest study under runs/, or else streets of the
    zoo."""
    heads: tuple[str, ...] = ("all",)
    """Heads to show, of those in the study, or all."""
    seed: int | None = None
    """Seed to show if a study has several; by default the lowest."""
    host: Annotated[str, tyro.conf.arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to serve on. With any other than 127.0.0.1, other computers can use the page; there is no password."""
    port: int = 7860
    """Port to serve on; 0: any free port."""
    max_side: int = 512
    """Larger pictures are scaled down to this many pixels on their longer side."""
    cache_mb: int = 1024
    """Memory in MiB for intermediate results of the networks."""
    device: Device = "auto"
    """auto: the GPU if there is one."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(DemoArguments, arguments, command="demo")
    _check(chosen)
    from segattn.demo import networks
    from segattn.demo.explorer import Explorer
    from segattn.demo.server import bind, is_loopback, serve

    console = Console(soft_wrap=True, highlight=False)
    with bind(chosen.host, chosen.port) as listening:
        folders = list(chosen.runs) or [study for study in [networks.newest_study(Path("runs"))] if study]
        from_zoo = zoo.networks(zoo.FULL) if not folders and zoo.FULL in zoo.trunks() else []
        loaded = _load([*folders, *from_zoo], chosen, console)
        shown = [str(each) if zoo.is_named(each) else "/".join(each.resolve().parts[-2:]) for each in folders]
        shown += [zoo.FULL] if from_zoo else []
        source = f"Networks of {', '.join(shown)}." if shown else "Untrained networks."
        if from_zoo:
            what = (
                f"No study under runs/: the networks of {zoo.FULL} of segattn zoo, trained on generated street scenes."
            )
            console.print(what, markup=False)
        elif not folders:
            console.print(
                "[bold]No finished study under runs/: the networks are untrained[/] and their maps mean nothing."
            )
            console.print("Train them in minutes with: segattn study quick\n")
        if not is_loopback(chosen.host):
            console.print(f"[bold]Whoever reaches {chosen.host} can use this page[/]; there is no password.\n")
        explorer = Explorer(networks.checked(loaded), cache_bytes=chosen.cache_mb * 2**20)
        serve(
            explorer,
            listening,
            max_side=chosen.max_side,
            source=source,
            ready=lambda address: console.print(
                f"{len(loaded)} networks at {address}  (Ctrl-C stops it)", markup=False
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


def _load(where: Sequence[Path | zoo.Entry], chosen: DemoArguments, console: Console) -> list[Network]:
    from segattn.cli.maps import choose
    from segattn.demo import networks
    from segattn.device import resolve_device

    device = resolve_device(chosen.device)
    if not where:
        return networks.untrained(device)
    chosen_runs = choose(where, chosen.heads, chosen.seed)
    hidden = not console.is_terminal
    return [
        networks.load(name, source, device)
        for name, source in track(chosen_runs, description="loading", console=console, transient=True, disable=hidden)
    ]
