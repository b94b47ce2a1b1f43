"""`segattn demo`: a page on this computer to click pixels and compare where networks look."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import track

from segattn.cli.arguments import parse

if TYPE_CHECKING:
    from segattn.demo.networks import Network


@dataclass(frozen=True)
class DemoArguments:
    """Open the explorer: a page where a click on a picture shows each network's attention map, prediction and cost.

    segattn demo                      the newest study under runs/
    segattn demo runs/quick --heads ccnet danet

    It needs pip install 'segattn[demo]', no network, and no GPU. Nothing is trained; without a finished study the networks
    are untrained, which the page says. Ctrl-C ends it.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Folders of a study or of runs; the newest study under runs/ unless given."""
    heads: tuple[str, ...] = ("all",)
    """Heads to show, of those in a study's folder."""
    seed: int | None = None
    """Seed to show where a study has several; the lowest unless given."""
    host: str = "127.0.0.1"
    """Address to serve on. Any other than 127.0.0.1 lets others in: there is no password."""
    port: int = 7860
    """0 takes a free one."""
    max_side: int = 512
    """Scale larger pictures down to this many pixels on their longer side."""
    cache_mb: int = 1024
    """Memory for what the networks have seen."""
    device: Literal["auto", "cpu", "cuda"] = "auto"


def run(arguments: Sequence[str]) -> None:
    chosen = parse(DemoArguments, arguments, command="demo", description=DemoArguments.__doc__ or "")
    _check(chosen)
    from segattn.demo import networks
    from segattn.demo.explorer import Explorer
    from segattn.demo.server import bind, is_loopback, serve

    console = Console(soft_wrap=True, highlight=False)
    with bind(chosen.host, chosen.port) as listening:
        folders = list(chosen.runs) or [study for study in [networks.newest_study(Path("runs"))] if study]
        found = _load(folders, chosen, console)
        shown = ["/".join(folder.resolve().parts[-2:]) for folder in folders]
        source = f"Networks of {', '.join(shown)}." if shown else "Untrained networks."
        if not folders:
            console.print(
                "[bold]No finished study under runs/: the networks are untrained[/] and what they show means nothing."
            )
            console.print("Train them in minutes with: segattn study quick\n")
        if not is_loopback(chosen.host):
            console.print(f"[bold]Whoever reaches {chosen.host} can use this page[/]; there is no password.\n")
        explorer = Explorer(networks.checked(found), cache_bytes=chosen.cache_mb * 2**20)
        serve(
            explorer,
            listening,
            max_side=chosen.max_side,
            source=source,
            ready=lambda address: console.print(f"{len(found)} networks at {address}  (Ctrl-C ends it)", markup=False),
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
    if not chosen.runs and (chosen.heads != ("all",) or chosen.seed is not None):
        raise ValueError("--heads and --seed choose among a study's networks; name its folder, such as runs/quick")


def _load(folders: Sequence[Path], chosen: DemoArguments, console: Console) -> list[Network]:
    from segattn.cli.maps import choose
    from segattn.demo import networks
    from segattn.device import resolve_device

    device = resolve_device(chosen.device)
    if not folders:
        return networks.untrained(device)
    named = choose(folders, chosen.heads, chosen.seed)
    hidden = not console.is_terminal
    return [
        networks.load(name, folder, device)
        for name, folder in track(named, description="loading", console=console, transient=True, disable=hidden)
    ]
