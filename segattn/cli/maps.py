"""`segattn maps`: where trained networks look when they label one pixel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import track

from segattn.catalogue import hint
from segattn.cli.arguments import parse

_FORMATS = (".png", ".pdf", ".svg")


@dataclass(frozen=True, kw_only=True)
class MapsArguments:
    """Draw the attention maps of one pixel: the image, one map a network on a common scale, and the predictions.

    segattn maps --image street.jpg --pixel 300,200 --checkpoint runs/quick
    segattn maps --image street.jpg --pixel 300,200 --checkpoint runs/quick --heads ccnet danet --every-map

    Only trained networks are drawn: maps of random weights would show nothing of a mechanism.
    """

    image: Path
    """The photo."""
    pixel: str
    """X,Y in the photo's pixels, counted from 0: x to the right, y down."""
    checkpoint: tuple[Path, ...]
    """Folders of runs, or of a study for the networks in it."""
    heads: tuple[str, ...] = ("all",)
    """Heads to draw, of those in a study's folder."""
    seed: int | None = None
    """Seed to draw where a study has several; the lowest unless given."""
    every_map: bool = False
    """Every map of each network, a line each, instead of its main one."""
    max_side: int | None = None
    """Scale a larger photo down to this many pixels on its longer side."""
    out: Path | None = None
    """The figure, .png, .pdf or .svg; maps-PHOTO-X-Y.png here unless given."""
    device: Literal["auto", "cpu", "cuda"] = "auto"


def run(arguments: Sequence[str]) -> None:
    chosen = parse(MapsArguments, arguments, command="maps", description=MapsArguments.__doc__ or "")
    x, y = pixel(chosen.pixel)
    if not chosen.checkpoint:
        raise ValueError("segattn maps needs --checkpoint: folders of runs or a study, such as runs/quick")
    out = chosen.out or Path(f"maps-{chosen.image.stem}-{x}-{y}.png")
    if out.suffix.lower() not in _FORMATS:
        raise ValueError(f"{out}: the figure is written as {', '.join(_FORMATS)}; give one of these endings")
    networks = choose(chosen.checkpoint, chosen.heads, chosen.seed)
    from segattn import checkpoint
    from segattn.data.files.decode import read_image
    from segattn.device import resolve_device
    from segattn.maps import figure
    from segattn.maps.look import NoMapsError, attention_maps

    image, device, console = read_image(chosen.image), resolve_device(chosen.device), Console()
    results = []
    for name, folder in track(
        networks, description="looking", console=console, transient=True, disable=not console.is_terminal
    ):
        model = checkpoint.load_model(folder, device=device)
        try:
            results.append(attention_maps(model, image, (x, y), name=name, max_side=chosen.max_side))
        except NoMapsError as reason:
            if chosen.heads != ("all",) or len(networks) == 1:
                raise
            console.print(f"left out: {reason}", highlight=False, markup=False)
    sheet = figure.draw(
        results, every_map=chosen.every_map, title=f"{chosen.image.name}: attention from pixel ({x}, {y})"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.savefig(out, dpi=160)
    for result in results:
        console.print(
            f"{result.name}: {result.class_name} {100 * result.confidence:.0f} %", highlight=False, markup=False
        )
    console.print(f"\n{out}", highlight=False, markup=False, soft_wrap=True)


def pixel(text: str) -> tuple[int, int]:
    """`300,200` as (x, y).

    Raises:
        ValueError: not of that form.
    """
    match = re.fullmatch(r"\s*\(?(-?\d+)\s*[,;x ]\s*(-?\d+)\)?\s*", text)
    if match is None:
        raise ValueError(f"--pixel {text!r} should be X,Y in pixels from the photo's top left corner, such as 300,200")
    return int(match[1]), int(match[2])


def choose(folders: Sequence[Path], heads: Sequence[str], seed: int | None) -> list[tuple[str, Path]]:
    """Names for the figure and folders of the networks to draw; those of a study by head and seed, single runs as they are.

    Raises:
        ValueError: no network, a head or seed that none has, or a head that has no maps.
    """
    from segattn import checkpoint

    found: list[tuple[dict[str, Any], Path, bool]] = []
    for folder in folders:
        models = checkpoint.find_models(folder)
        found += [(checkpoint.read_config(path)["experiment"], path, path == Path(folder)) for path in models]
    known = sorted({config["model"]["head"] for config, *_ in found})
    wanted = known if list(heads) == ["all"] else list(heads)
    for head in wanted:
        if head not in known:
            raise ValueError(
                f"no trained {head!r} in {', '.join(map(str, folders))}; {hint(head, known)}There are: {', '.join(known)}"
            )
    seeds = sorted({config["seed"] for config, _, single in found if not single})
    if seed is not None and seeds and seed not in seeds:
        raise ValueError(
            f"no run of seed {seed} in {', '.join(map(str, folders))}; seeds: {', '.join(map(str, seeds))}"
        )
    taken = seed if seed is not None else min(seeds, default=0)
    kept = [(c, path) for c, path, single in found if c["model"]["head"] in wanted and (single or c["seed"] == taken)]
    kept.sort(key=lambda item: wanted.index(item[0]["model"]["head"]))
    labels = [config["model"]["head"] for config, _ in kept]
    several = len({config["model"]["mode"] for config, _ in kept}) > 1
    names = [
        head if labels.count(head) == 1 and not several else f"{head} {config['model']['mode']} seed {config['seed']}"
        for head, (config, _) in zip(labels, kept, strict=True)
    ]
    return [
        (name if names.count(name) == 1 else f"{name} ({path.parent.name})", path)
        for name, (_, path) in zip(names, kept, strict=True)
    ]
