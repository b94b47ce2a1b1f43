"""Pictures of where trained networks look: from a few telling pixels, the main attention map of every network on one scale.

With them the effective receptive fields of the same networks: `fields.py`.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from segattn import checkpoint, config, records
from segattn.checkpoint import Source
from segattn.data import Dataset
from segattn.data.files.shown import shown
from segattn.device import resolve_device
from segattn.evaluation import telling
from segattn.evaluation.telling import TellingPixel
from segattn.maps.look import look
from segattn.maps.types import PixelMaps
from segattn.training import receptive_fields

MAX_SIDE = 1024
"""A larger image is scaled down to this many pixels on its longer side before the networks see it."""
DPI = 110
"""1166 pixels across: a page's width."""
OnNotice = Callable[[str], object]


def recorded(path: Path) -> records.Looks | None:
    """The pictures that a study's record names; None without a readable record, which the study then writes anew."""
    try:
        looks: records.Looks | None = records.read(path).looks
    except ValueError:
        return None
    return looks


def update(
    previous: records.Looks | None,
    settings: config.Experiment,
    runs: Sequence[Path],
    out: Path,
    open_dataset: Callable[[], Dataset],
    *,
    device: str = "auto",
    allow_modules: Sequence[str] = (),
    on_notice: OnNotice = print,
) -> records.Looks | None:
    """The pictures of a study, in `out/looks`; drawn only if `previous` ones are not those of the same networks and data.

    Drawn are the networks of the zoo where the study starts from one of its trunks (`model.pretrained`) and they have the study's
    heads, mode and classes; otherwise the study's own. What cannot be drawn is told by `on_notice`, and is no error.

    Args:
        runs: folders of the study's finished runs with one seed.
        open_dataset: opens the validation split; called only if something is drawn.
        allow_modules: modules of the user's own that the runs may name, as in `checkpoint.load_model`.
    """
    shipped = _of_zoo(settings, runs)
    networks = shipped or [(_experiment(run)["model"]["head"], run) for run in runs]
    key = _key(settings, [source for _, source in networks])
    if previous is not None and previous.key == key and all((out / path).is_file() for path in _files(previous)):
        return previous
    how: Any = {"device": device, "allow_modules": allow_modules, "on_notice": on_notice}
    try:
        dataset = open_dataset()
        pictures = draw(networks, dataset, out / "looks", **how)
        reach = receptive_fields.draw(networks, dataset, out / "looks", max_side=MAX_SIDE, dpi=DPI, **how)
    except (ValueError, OSError) as error:  # the runs have ended well; their report comes without these pictures
        on_notice(f"Where they look: no pictures. {error}")
        return None
    seed = None if shipped else _experiment(runs[0])["seed"]
    trunk = settings.network.pretrained if shipped else None
    looks = records.Looks(trunk=trunk or "", seed=seed, key=key, pictures=pictures, fields=reach)
    for path in _files(previous) - _files(looks) if previous else ():
        (out / "looks" / Path(path).name).unlink(missing_ok=True)
    return looks


def draw(
    networks: Sequence[tuple[str, Source]],
    dataset: Dataset,
    folder: Path,
    *,
    device: str = "auto",
    allow_modules: Sequence[str] = (),
    on_notice: OnNotice = print,
) -> list[records.Look]:
    """Write one picture for each telling pixel of the split, and its photo, into `folder`; paths are relative to its parent.

    Args:
        networks: what figures call each network, and where it is; one that has no maps is left out.
        allow_modules: as in `update`.

    Raises:
        ValueError: a network or a sample cannot be read.
        OSError: a file cannot be written.
    """
    from segattn.maps import figure  # matplotlib: a third of a second

    pixels = telling.telling_pixels(dataset)
    seen = observe(networks, dataset, pixels, device=device, allow_modules=allow_modules, on_notice=on_notice)
    looks = []
    for number, pixel in enumerate(pixels, start=1):
        results = seen[pixel]
        if not results:
            continue
        stem, photo = f"{number}-{_plain(pixel.class_name)}", f"image-{pixel.index:05d}.png"
        title = f"{pixel.class_name}: attention from pixel {pixel.pixel} of {pixel.image}"
        sheet = figure.draw(results, predictions=False, title=title)
        records.write_bytes(figure.png(sheet, DPI)[0], folder / f"{stem}.png")
        records.write_bytes(_png(shown(dataset[pixel.index].image)), folder / photo)
        looks.append(
            records.Look(
                picture=f"{folder.name}/{stem}.png",
                photo=f"{folder.name}/{photo}",
                image=pixel.image,
                pixel=pixel.pixel,
                class_name=pixel.class_name,
                reason=pixel.reason,
                networks=[result.name for result in results],
            )
        )
    return looks


def observe(
    networks: Sequence[tuple[str, Source]],
    dataset: Dataset,
    pixels: Sequence[TellingPixel],
    *,
    device: str = "auto",
    allow_modules: Sequence[str] = (),
    on_notice: OnNotice = print,
) -> dict[TellingPixel, list[PixelMaps]]:
    """The maps of every network from every pixel; a network runs once an image, and one without maps is missing."""
    by_image: dict[int, list[TellingPixel]] = defaultdict(list)
    for pixel in pixels:
        by_image[pixel.index].append(pixel)
    images = {index: dataset[index].image for index in by_image}  # each is read once
    seen: dict[TellingPixel, list[PixelMaps]] = {pixel: [] for pixel in pixels}
    for name, source in networks if pixels else ():
        model = checkpoint.load_model(source, device=resolve_device(device), allow_modules=allow_modules)
        if not hasattr(model.head, "attention_maps"):
            continue
        try:
            for index, members in by_image.items():
                view = look(model, images[index], name=name, max_side=MAX_SIDE)
                for pixel in members:
                    result = view.at(pixel.pixel)
                    if result.maps:
                        seen[pixel].append(result)
        except (ValueError, RuntimeError) as error:  # of a head of one's own, or no memory left
            on_notice(f"Where they look: {name} is left out. {error}")
    return seen


def _of_zoo(settings: config.Experiment, runs: Sequence[Path]) -> list[tuple[str, Source]]:
    """The networks of the trunk that the study starts from, for its heads; [] where there are none."""
    trunk = settings.network.pretrained
    try:
        sources = checkpoint.find_models(trunk) if trunk else []
    except ValueError:  # a file, a URL or a published name
        return []
    heads = [_experiment(run)["model"]["head"] for run in runs]
    classes = checkpoint.read_config(runs[0])["class_names"]
    networks: list[tuple[str, Source]] = [
        (source.head, source)
        for source in sources
        if not isinstance(source, Path)
        and (source.trunk, source.mode) == (trunk, settings.model.mode)
        and source.head in heads
        and list(source.class_names) == list(classes)
    ]
    return sorted(networks, key=lambda network: heads.index(network[0]))


def _experiment(run: Path) -> dict[str, Any]:
    experiment: dict[str, Any] = checkpoint.read_config(run)["experiment"]
    return experiment


def _key(settings: config.Experiment, sources: Sequence[Source]) -> str:
    files = [
        hashlib.sha256((source / "record.json").read_bytes()).hexdigest()
        if isinstance(source, Path)
        else f"{source.trunk_file.sha256} {source.head_file.sha256}"
        for source in sources
    ]
    text = json.dumps(
        [files, config.to_dict(settings.data), telling.__doc__, MAX_SIDE, DPI, receptive_fields.NUM_IMAGES]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _files(looks: records.Looks) -> set[str]:
    paths = {path for each in looks.pictures for path in (each.picture, each.photo)}
    return paths | ({looks.fields.picture} if looks.fields is not None else set())


def _plain(name: str) -> str:
    """A class name as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "class"


def _png(image: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", optimize=True)  # type: ignore[arg-type]
    return stream.getvalue()
