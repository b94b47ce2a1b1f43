"""`segattn maps`: the attention maps of one pixel, for trained networks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.progress import track

from segattn import zoo
from segattn.catalogue import hint
from segattn.cli import next_step, terminal
from segattn.cli.arguments import parse
from segattn.cli.values import Device, Modules
from segattn.experiments import STUDY_HEADS

if TYPE_CHECKING:
    from segattn.data.files.pixels import Reading

_FORMATS = (".png", ".pdf", ".svg")


@dataclass(frozen=True, kw_only=True)
class MapsArguments:
    """Draw the attention maps of one pixel: the photo, one map per network on a common scale, and the predictions.

        segattn maps runs/quick --image street.jpg --pixel 300,200
        segattn maps runs/quick --image street.jpg --pixel 300,200 --every-map
        segattn maps --image street.jpg --pixel 300,200 --heads ccnet danet
        segattn maps runs/quick --receptive-field

    Only trained networks are drawn: the maps of random weights show nothing of the mechanism.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN ...]")] = ()
    """Folders of runs, or of a study for all networks in it, or names of `segattn zoo`; by default the study's heads, controlled,
    on the zoo's trunk streets-local; with --heads any head on it."""
    image: Annotated[Path | None, tyro.conf.arg(metavar="PHOTO")] = None
    """Image file, which maps need. With --receptive-field it may be a folder of photos; without it, the first 8 validation images
    of the first network's data set are used."""
    pixel: Annotated[str | None, tyro.conf.arg(metavar="X,Y")] = None
    """Pixel of the photo, counted from 0: x to the right, y down. Maps need it; --receptive-field takes the middle by default."""
    receptive_field: bool = False
    """Instead of maps, the effective receptive field: where the gradient of the pixel's logit lies, averaged over images. Prints
    the share beyond some distances and draws it, for heads without maps too."""
    heads: tuple[str, ...] = ("all",)
    """Heads to draw, of those in the study, or all."""
    seed: int | None = None
    """Seed to draw if a study has several; by default the lowest."""
    every_map: bool = False
    """Draw every map of each network, one row each, instead of its main map."""
    max_side: int | None = None
    """A larger photo is scaled down to this many pixels on its longer side."""
    out: Path | None = None
    """Figure to write, .png, .pdf or .svg; by default maps-PHOTO-X-Y.png or receptive-field.png here."""
    device: Device = "auto"
    """auto: the GPU if there is one."""
    allow_module: Modules = ()
    """Import this module, or the modules of this package, where the run names one of yours as its head or data set."""


def run(arguments: Sequence[str]) -> None:
    chosen = parse(MapsArguments, arguments, command="maps")
    at = None if chosen.pixel is None else pixel(chosen.pixel)
    if chosen.receptive_field and chosen.every_map:
        raise ValueError("--every-map is for maps, which --receptive-field does not draw; leave one of the two out")
    if not chosen.receptive_field and (chosen.image is None or at is None):
        what = "--image PHOTO" if chosen.image is None else "--pixel X,Y"
        raise ValueError(f"segattn maps needs {what}, or --receptive-field, which needs neither")
    sources: list[Path | zoo.Entry] = list(chosen.runs)
    if not sources and zoo.LOCAL in zoo.trunks():
        sources += of_study(zoo.LOCAL) if "all" in chosen.heads else _controlled(zoo.LOCAL)
    if not sources:
        raise ValueError("segattn maps needs the folder of a study or of runs: segattn maps runs/quick --image ...")
    usual = (
        "receptive-field.png" if chosen.image is None or at is None else f"maps-{chosen.image.stem}-{at[0]}-{at[1]}.png"
    )
    out = chosen.out or Path("receptive-field.png" if chosen.receptive_field else usual)
    if out.suffix.lower() not in _FORMATS:
        raise ValueError(f"{out}: the figure is written as {', '.join(_FORMATS)}; give one of these endings")
    networks, console = choose(sources, chosen.heads, chosen.seed), terminal.console()
    if not chosen.runs:
        what = f"No run given: the study's heads on {zoo.LOCAL} of segattn zoo, trained on generated street scenes."
        console.print(what, highlight=False, markup=False, soft_wrap=True)
    if chosen.receptive_field:
        from segattn.cli.receptive_field import show

        show(
            networks,
            console,
            photos=chosen.image,
            pixel=at,
            max_side=chosen.max_side,
            out=out,
            device=chosen.device,
            allow_modules=chosen.allow_module,
        )
    elif chosen.image is not None and at is not None:
        _draw(chosen, networks, chosen.image, at, out, console)
    next_step.show(console, "demo", *(chosen.runs or [zoo.LOCAL]), modules=chosen.allow_module)


def of_study(trunk: str) -> list[zoo.Entry]:
    """The controlled networks of a trunk that a command shows where none is named: of the study's heads; of all without them."""
    return [entry for entry in _controlled(trunk) if entry.head in STUDY_HEADS] or _controlled(trunk)


def _controlled(trunk: str) -> list[zoo.Entry]:
    return [entry for entry in zoo.networks(trunk) if entry.mode == "controlled"]


def _draw(
    chosen: MapsArguments,
    networks: Sequence[tuple[str, zoo.Source]],
    image: Path,
    at: tuple[int, int],
    out: Path,
    console: Console,
) -> None:
    """The figure of the maps of the pixel `at`, and what each network predicts there."""
    from segattn import checkpoint, records
    from segattn.data.files.decode import read_image
    from segattn.device import resolve_device
    from segattn.maps import figure
    from segattn.maps.look import NoMapsError, attention_maps

    device = resolve_device(chosen.device)
    hows = {source: _how(checkpoint.read_config(source), source) for _, source in networks}
    images = {how: read_image(image, how) for how in set(hows.values())}
    results = []
    for name, source in track(
        networks, description="looking", console=console, transient=True, disable=not console.is_terminal
    ):
        model = checkpoint.load_model(source, device=device, allow_modules=chosen.allow_module)
        try:
            results.append(attention_maps(model, images[hows[source]], at, name=name, max_side=chosen.max_side))
        except NoMapsError as reason:
            if "all" not in chosen.heads or len(networks) == 1:
                raise
            console.print(f"left out: {reason}", highlight=False, markup=False)
    sheet = figure.draw(results, every_map=chosen.every_map, title=f"{image.name}: attention from pixel {at}")
    with records.writing(out) as temporary:
        sheet.savefig(temporary, dpi=160)
    for result in results:
        console.print(
            f"{result.name}: {result.class_name} {100 * result.confidence:.0f} %", highlight=False, markup=False
        )
    console.print(f"\n{out}", highlight=False, markup=False, soft_wrap=True)


def _how(raw: dict[str, Any], source: zoo.Source) -> Reading:
    """How a network reads a photo; `raw` is its config.json."""
    from segattn.data.files.pixels import reading_of
    from segattn.records.image_range import read_range

    experiment, images = raw["experiment"], read_range(raw.get("images"), f"{source}/config.json")
    return reading_of(experiment.get("data", {}), experiment["model"].get("in_channels", 3), images)


def pixel(text: str) -> tuple[int, int]:
    """`300,200` as (x, y).

    Raises:
        ValueError: not of that form.
    """
    match = re.fullmatch(r"\s*\(?(-?\d+)\s*[,;x ]\s*(-?\d+)\)?\s*", text)
    if match is None:
        raise ValueError(f"--pixel {text!r} should be X,Y in pixels from the photo's top left corner, such as 300,200")
    return int(match[1]), int(match[2])


def choose(where: Sequence[Path | zoo.Entry], heads: Sequence[str], seed: int | None) -> list[tuple[str, zoo.Source]]:
    """Names for the figure and the networks to draw; those of a study by head and seed, single runs and the zoo's as they are.

    Raises:
        ValueError: no network, a head or seed that none has, or a head that has no maps.
    """
    from segattn import checkpoint

    runs: list[tuple[dict[str, Any], zoo.Source, bool]] = []
    for each in where:
        for source in checkpoint.find_models(each):
            single = (
                isinstance(each, zoo.Entry)
                or isinstance(source, zoo.Entry)
                or source == each
                or zoo.hub.is_on_hub(each)
            )
            runs.append((checkpoint.read_config(source)["experiment"], source, single))
    named = ", ".join(dict.fromkeys(each.trunk if isinstance(each, zoo.Entry) else str(each) for each in where))
    known = sorted({config["model"]["head"] for config, *_ in runs})
    wanted = known if "all" in heads else list(heads)
    for head in wanted:
        if head not in known:
            raise ValueError(f"no trained {head!r} in {named}; {hint(head, known)}There are: {', '.join(known)}")
    seeds = sorted({config["seed"] for config, _, single in runs if not single})
    if seed is not None and seeds and seed not in seeds:
        raise ValueError(f"no run of seed {seed} in {named}; seeds: {', '.join(map(str, seeds))}")
    shown = seed if seed is not None else min(seeds, default=0)
    networks = [
        (config, source)
        for config, source, single in runs
        if config["model"]["head"] in wanted and (single or config["seed"] == shown)
    ]
    networks.sort(key=lambda network: wanted.index(network[0]["model"]["head"]))
    labels = [config["model"]["head"] for config, _ in networks]
    several = len({config["model"]["mode"] for config, _ in networks}) > 1
    names = [
        head if labels.count(head) == 1 and not several else f"{head} {config['model']['mode']} seed {config['seed']}"
        for head, (config, _) in zip(labels, networks, strict=True)
    ]
    return [
        (name if names.count(name) == 1 else f"{name} ({_study(source)})", source)
        for name, (_, source) in zip(names, networks, strict=True)
    ]


def _study(source: zoo.Source) -> str:
    """The study or trunk that a network belongs to."""
    return source.trunk if isinstance(source, zoo.Entry) else source.parent.name
