"""Writes generated street scenes in the layouts of the real data sets, so that every reader can be tested on files.

The 19 street classes are mapped to classes of each layout. Where the names differ:

* ade20k: rider to person, train to bus, motorcycle to minibike, traffic sign to signboard, vegetation to tree, terrain to grass;
* voc: everything that does not move to background, rider to person, truck to car; ignored pixels to the border, 255;
* coco_stuff: sidewalk to pavement, pole to structural-other, traffic sign to stop sign, vegetation to tree, terrain to grass,
  rider to person; building, wall and sky to those of -other;
* camvid: wall to building, both signs to sign symbol, plants to tree, rider and two-wheelers to bicyclist, vehicles to car.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from segattn import records
from segattn.catalogue import unknown
from segattn.data import ade20k, camvid, cityscapes, coco_stuff, streets, voc
from segattn.data._dataset import IGNORE, SPLITS, Sample
from segattn.data.files.palette import flat_voc_palette
from segattn.data.tools.threads import file_threads

_RENAMED = {
    "ade20k": {
        "traffic sign": "signboard",
        "vegetation": "tree",
        "terrain": "grass",
        "rider": "person",
        "train": "bus",
        "motorcycle": "minibike",
    },
    "voc": {"rider": "person", "truck": "car", "motorcycle": "motorbike"}
    | dict.fromkeys(cityscapes.CLASS_NAMES[:11], "background"),
    "coco_stuff": {
        "sidewalk": "pavement",
        "building": "building-other",
        "wall": "wall-other",
        "pole": "structural-other",
        "traffic sign": "stop sign",
        "vegetation": "tree",
        "terrain": "grass",
        "sky": "sky-other",
        "rider": "person",
    },
    "camvid": {
        "sidewalk": "pavement",
        "wall": "building",
        "traffic light": "sign symbol",
        "traffic sign": "sign symbol",
        "vegetation": "tree",
        "terrain": "tree",
        "person": "pedestrian",
    }
    | dict.fromkeys(("rider", "motorcycle", "bicycle"), "bicyclist")
    | dict.fromkeys(("truck", "bus", "train"), "car"),
}


@dataclass(frozen=True)
class Layout:
    """Where the files of a sample go, and which values stand for its classes."""

    class_names: tuple[str, ...]
    image: Callable[[str, str], str]
    """(split, name) -> path below the root."""
    mask: Callable[[str, str], str | None]
    stored: dict[int, int]
    """The value written for each class, and for 255."""
    renamed: str = ""
    coloured: bool = False
    """Whether masks have a palette."""
    listed: str = ""
    """Folder of the split lists, empty if there are none."""

    def class_of(self) -> np.ndarray:
        """uint8 (256,): the class here of each street label."""
        table = np.full(256, IGNORE, np.uint8)
        for index, name in enumerate(cityscapes.CLASS_NAMES):
            table[index] = self.class_names.index(_RENAMED.get(self.renamed, {}).get(name, name))
        return table


def layouts() -> dict[str, Layout]:
    """All layouts by name."""
    ade, coco = ade20k.FOLDERS, coco_stuff.FOLDERS
    voc_folder = "VOCdevkit/VOC2012"
    city_ids = {c: i for i, c in cityscapes.CLASS_OF_ID.items() if c != IGNORE}
    return {
        "cityscapes": Layout(
            cityscapes.CLASS_NAMES,
            lambda split, name: f"leftImg8bit/{split}/{_city_and_frame(split, name)}{cityscapes.IMAGE_ENDING}",
            lambda split, name: (
                f"gtFine/{split}/{_city_and_frame(split, name)}{cityscapes.IDS_ENDING}" if split != "test" else None
            ),
            {**city_ids, IGNORE: 0},
        ),
        "ade20k": Layout(
            ade20k.CLASS_NAMES,
            lambda split, name: f"{ade20k.FOLDER}/images/{ade[split]}/{name}.jpg",
            lambda split, name: f"{ade20k.FOLDER}/annotations/{ade[split]}/{name}.png" if split != "test" else None,
            {c: value for value, c in ade20k.CLASS_OF_VALUE.items()},
            renamed="ade20k",
        ),
        "voc": Layout(
            voc.CLASS_NAMES,
            lambda split, name: f"{voc_folder}/JPEGImages/{name}.jpg",
            lambda split, name: f"{voc_folder}/SegmentationClass/{name}.png" if split != "test" else None,
            {c: c for c in (*range(21), IGNORE)},
            renamed="voc",
            coloured=True,
            listed=f"{voc_folder}/{voc.LISTS}",
        ),
        "coco_stuff": Layout(
            coco_stuff.CLASS_NAMES,
            lambda split, name: f"images/{coco['164k'][split]}/{name}.jpg",
            lambda split, name: f"annotations/{coco['164k'][split]}/{name}.png" if split != "test" else None,
            {**{c: i for i, c in coco_stuff.CLASS_OF_ID.items()}, IGNORE: IGNORE},
            renamed="coco_stuff",
        ),
        "coco_stuff10k": Layout(
            coco_stuff.CLASS_NAMES,
            lambda split, name: f"images/{coco['10k'][split]}/{name}.jpg",
            lambda split, name: f"annotations/{coco['10k'][split]}/{name}{coco_stuff.TRAIN_IDS}",
            {c: value for value, c in coco_stuff.CLASS_OF_10K.items()},
            renamed="coco_stuff",
        ),
        "camvid": Layout(
            camvid.CLASS_NAMES,
            lambda split, name: f"{split}/images/{name}.jpg",
            lambda split, name: f"{split}/labels/{name}.png",
            {**{c: c for c in range(11)}, IGNORE: camvid.VOID},
            renamed="camvid",
        ),
        "folder": Layout(
            cityscapes.CLASS_NAMES,
            lambda split, name: f"images/{split}/{name}.png",
            lambda split, name: f"masks/{split}/{name}.png" if split != "test" else None,
            {c: c for c in (*range(19), IGNORE)},
        ),
    }


def _city_and_frame(split: str, name: str) -> str:
    """`CITY/CITY_SEQUENCE_FRAME`, the form that Cityscapes' own scripts expect; as there, each city is in one split only."""
    city = {"train": "avenue", "val": "boulevard", "test": "crossing"}[split]
    return f"{city}/{city}_{name.removeprefix(f'{split}-')}_000019"


def make(
    layout: str,
    root: Path,
    *,
    images: int = 20,
    size: tuple[int, int] = (512, 1024),
    seed: int = 0,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> int:
    """Write scenes into an empty or new folder: `images` for training, a quarter as many each for validation and test.

    Returns:
        The number of scenes.

    Raises:
        ValueError: an unknown layout, a folder that is not empty, or no images.
    """
    known = layouts()
    if layout not in known:
        raise unknown("layout", layout, known)
    if images < 1:
        raise ValueError(f"{images} images; at least 1 is needed")
    if root.exists() and any(root.glob("[!.]*")):
        raise ValueError(f"{root} is not empty; give a new folder, so that no files get mixed")
    form = known[layout]
    splits = [split for split in SPLITS if not (layout == "coco_stuff10k" and split == "test")]
    counts = {split: images if split == "train" else max(1, images // 4) for split in splits}
    work = [(split, index) for split, count in counts.items() for index in range(count)]
    scenes = {
        split: streets.load(split, height=size[0], width=size[1], num_images=count, seed=seed)
        for split, count in counts.items()
    }
    with file_threads() as writers:
        written = writers.map(lambda item: _write(form, root, item[0], scenes[item[0]][item[1]]), work)
        for done, _ in enumerate(written):
            on_progress(done + 1, len(work))
    for split, scene in scenes.items():
        if form.listed:
            path = root / form.listed / f"{split}.txt"
            records.write_bytes("".join(f"{scene.image_name(index)}\n" for index in range(len(scene))).encode(), path)
    if layout == "folder":
        records.write_bytes("".join(f"{name}\n" for name in cityscapes.CLASS_NAMES).encode(), root / "classes.txt")
    return len(work)


def _write(form: Layout, root: Path, split: str, sample: Sample) -> None:
    image = root / form.image(split, sample.name)
    with records.writing(image, synced=False) as temporary:
        Image.fromarray(sample.image).save(temporary, quality=95)  # of a JPEG; PNG has none
    mask = form.mask(split, sample.name)
    if mask is None or sample.label is None:
        return
    stored = np.zeros(256, np.uint8)
    for index, value in form.stored.items():
        stored[index] = value
    picture = Image.fromarray(stored[form.class_of()[sample.label]])
    if form.coloured:
        picture.putpalette(flat_voc_palette())
    with records.writing(root / mask, synced=False) as temporary:
        picture.save(temporary)
