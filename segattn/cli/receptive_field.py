"""`segattn maps --receptive-field`: the effective receptive field of trained networks, as numbers and a figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track
from rich.table import Table

from segattn import zoo

if TYPE_CHECKING:
    import numpy as np

    from segattn.maps.receptive import ReceptiveField


def show(
    networks: Sequence[tuple[str, zoo.Source]],
    console: Console,
    *,
    photos: Path | None,
    pixel: tuple[int, int] | None,
    max_side: int | None,
    out: Path,
    device: str,
    allow_modules: Sequence[str] = (),
) -> None:
    """Compute the field of each network on the photo or the photos of a folder, by default on the first images of the validation
    split that the first network was scored on; print a table and write the figure `out`.

    Raises:
        ValueError: no photo, one that cannot be read, a pixel outside it, or a data set that cannot be opened.
    """
    from segattn import checkpoint, records
    from segattn.data.files.decode import read_image
    from segattn.data.files.pixels import reading_of
    from segattn.device import resolve_device
    from segattn.inference.files import find_images
    from segattn.maps import receptive_figure
    from segattn.maps.receptive import receptive_field
    from segattn.training.receptive_fields import NUM_IMAGES, first_images, open_validation

    experiments = {source: checkpoint.read_config(source)["experiment"] for _, source in networks}
    if photos is None:
        dataset = open_validation(experiments[networks[0][1]], NUM_IMAGES, allow_modules)
        shared = [image for _, image in first_images(dataset, NUM_IMAGES)]
        images: dict[zoo.Source, Iterable[np.ndarray]] = dict.fromkeys(experiments, shared)
        where = f"the first {len(shared)} validation images of {dataset.name}"
    else:
        paths = find_images([photos])
        hows = {
            source: reading_of(raw.get("data", {}), raw["model"].get("in_channels", 3))
            for source, raw in experiments.items()
        }
        images = {
            source: map(partial(read_image, how=how), paths) for source, how in hows.items()
        }  # one photo at a time
        where = str(paths[0]) if len(paths) == 1 else f"{len(paths)} photos of {photos}"
    fields = []
    for name, source in track(
        networks, description="gradients", console=console, transient=True, disable=not console.is_terminal
    ):
        model = checkpoint.load_model(source, device=resolve_device(device), allow_modules=allow_modules)
        fields.append(receptive_field(model, images[source], pixel=pixel, name=name, max_side=max_side))
    with records.writing(out) as temporary:
        receptive_figure.draw(fields).savefig(temporary, dpi=160)
    at = "the middle" if pixel is None else f"pixel ({pixel[0]}, {pixel[1]})"
    console.print(f"Effective receptive field of {at} on {where}.\n", soft_wrap=True)
    console.print(table(fields))
    console.print(
        "\nPixels that hold half and 90 % of the absolute gradient of the predicted class's logit, its share beyond some "
        "distances, and positions of the feature map that hold 90 % of it there; mean over images. What a head holds constant in "
        "training, such as EMANet's bases, carries no gradient."
    )
    console.print(f"\n{out}", soft_wrap=True)


def table(fields: Sequence[ReceptiveField]) -> Table:
    """One line a network: radii that hold half and 90 % of the gradient, and its share in % further away than some distances."""
    from segattn.training.receptive_fields import DISTANCES

    rows = Table(box=None, pad_edge=False, header_style="bold")
    rows.add_column("network", overflow="fold")
    for heading in ("half px", "90 % px", *(f"% > {distance}" for distance in DISTANCES), "90 % pos."):
        rows.add_column(heading, justify="right", no_wrap=True)
    for field in fields:
        own = field.features
        rows.add_row(
            field.name,
            str(field.image.radius(0.5)),
            str(field.image.radius(0.9)),
            *(f"{100 * field.image.beyond(distance):.1f}" for distance in DISTANCES),
            "–" if own is None else str(own.radius(0.9)),
        )
    return rows
