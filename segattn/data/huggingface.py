"""Data sets of Hugging Face `datasets` (extra `huggingface`): a local folder, or a name on the hub.

    ROOT/*.parquet, ROOT/data/train-*.parquet      a folder of a data set's files, or what `save_to_disk` wrote
    --data.options dataset=ORG/NAME                instead of a folder: downloaded once into the library's cache

One column holds the images, another the masks: images, or lists of lists of class indices. Class names are those of the features
where they name any, otherwise those of the option `classes`, or of a class list in the folder, as in `folder`. Images are decoded
as in all data sets, not by the library. Options on classes, values and sizes are those of `folder`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segattn.catalogue import first_line, read_bytes
from segattn.data._dataset import SPLITS, Dataset, checked_split
from segattn.data.files.class_lists import ClassList, class_list
from segattn.data.files.decode import MOST_BYTES
from segattn.data.files.encoded import Encoded, EncodedReader, encoded_dataset, split_rows
from segattn.data.files.mask_options import mask_reading
from segattn.data.files.pixels import reading
from segattn.data.files.samples import resizing

_OTHER_NAMES = {"train": ("training",), "val": ("validation", "valid", "dev"), "test": ("testing",)}
_IMAGE_COLUMNS = ("image", "img", "pixel_values", "picture", "photo")
_LABEL_COLUMNS = (
    "label",
    "mask",
    "annotation",
    "labels",
    "segmentation",
    "semantic_segmentation",
    "seg",
    "segmentation_mask",
)


def load(
    split: str,
    *,
    root: str | os.PathLike[str] | None = None,
    dataset: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    image: str | None = None,
    label: str | None = None,
    splits: Mapping[str, str] | None = None,
    val_fraction: float | None = None,
    split_seed: int = 0,
    classes: Any = None,
    values: Mapping[int | str, str] | None = None,
    others: str | None = None,
    ignore: Any = None,
    masks_as: str = "auto",
    resize_masks: str | None = None,
    resize_images: str | None = None,
    exif: str = "turn",
    value_range: Any = None,
) -> Dataset:
    """Load a split.

    Args:
        dataset: name on the hub, such as ORG/NAME, instead of a `root`.
        config: name of the configuration, where there are several.
        revision: commit or tag on the hub; without it the newest, which may change.
        image: column of the images; `image` or the only one that holds images if None.
        label: column of the masks; `label`, `mask`, `annotation` or the like if None.
        splits: name of a split there, where it is another, such as {val: validation}.

    The other options are those of `segattn.data.folder.load`.

    Raises:
        ValueError: the package is missing, no such data set or column, or as of `folder`.
    """
    checked_split(split)
    if (root is None) == (dataset is None):
        raise ValueError(
            "huggingface needs a folder, e.g. root='data/pets' (--data-root on the command line), or the option dataset, the "
            "name of a data set on the hub; give one of them"
        )
    tables = _tables(root, dataset, config, revision)
    parts = _parts(tables, {} if splits is None else dict(splits))
    names = {each: [f"{row:06}" for row in range(len(table))] for each, table in parts.items()}
    part, rows, notice = split_rows(split, names, val_fraction=val_fraction, split_seed=split_seed, what="huggingface")
    table = parts[part]
    columns = _columns(table, image, label, optional=split == "test")
    listed = _classes(table, columns[1], Path(root) if root is not None else None, classes)
    where = Path(root) / part if root is not None else Path(f"{dataset}/{part}")
    contents = _Contents(_undecoded(table, columns), columns, rows, where)
    reader = EncodedReader(
        [names[part][row] for row in rows],
        contents,
        _sizes(contents.table, columns, rows),
        mask_reading(listed, values=values, others=others, ignore=ignore, masks_as=masks_as, what="huggingface"),
        reading(exif, value_range),
        resizing("huggingface", resize_masks, resize_images),
    )
    return encoded_dataset("huggingface", split, listed, reader, notice)


@dataclass(frozen=True)
class _Contents:
    table: Any
    columns: tuple[str, str | None]
    rows: Sequence[int]
    where: Path

    def __call__(self, index: int) -> Encoded:
        row = self.table[self.rows[index]]
        place = self.where / f"row {self.rows[index]}"
        image_path, image = _file(row[self.columns[0]], place / self.columns[0])
        if self.columns[1] is None or row[self.columns[1]] is None:
            return Encoded(image_path, image, image_path, None)
        stored = row[self.columns[1]]
        if isinstance(stored, dict):
            mask_path, mask = _file(stored, place / self.columns[1])
            return Encoded(image_path, image, mask_path, _content(mask_path) if mask is None else mask)
        return Encoded(image_path, image, place / self.columns[1], _array(stored, place / self.columns[1]))


def _file(stored: Any, place: Path) -> tuple[Path, bytes | None]:
    """Where an image is, and its content; None if it is a file of its own."""
    if not isinstance(stored, dict):
        raise ValueError(f"{place}: no image")
    if stored.get("bytes") is not None:
        return place, stored["bytes"]
    if stored.get("path"):
        return Path(stored["path"]), None
    raise ValueError(f"{place}: neither content nor path of an image")


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path, most=MOST_BYTES)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def _array(stored: Any, place: Path) -> np.ndarray:
    array = np.asarray(stored)
    if array.ndim != 2 or array.dtype.kind not in "iub":
        raise ValueError(
            f"{place}: a mask of shape {array.shape} and type {array.dtype}; expected whole numbers (H, W)"
        )
    return array.astype(np.uint8) if array.dtype.kind == "b" else array


def _tables(root: str | os.PathLike[str] | None, dataset: str | None, config: str | None, revision: str | None) -> Any:
    """Whatever `datasets` opens: one table, or several by name."""
    try:
        import datasets
    except ImportError as error:
        raise ValueError(
            f"data set huggingface needs the package datasets: pip install 'segattn[huggingface]' ({error})"
        ) from None
    if root is not None and not Path(root).is_dir():
        raise ValueError(f"{root}: no such folder")
    datasets.disable_progress_bars()
    try:
        if root is not None and any((Path(root) / file).is_file() for file in ("dataset_dict.json", "state.json")):
            return datasets.load_from_disk(str(root))
        return datasets.load_dataset(str(root) if root is not None else dataset, name=config, revision=revision)
    except Exception as error:  # the library's own errors, and those of the network
        raise ValueError(
            f"{root or dataset}: cannot be opened as a Hugging Face data set ({first_line(error)})"
        ) from None


def _parts(tables: Any, named: Mapping[str, str]) -> dict[str, Any]:
    """The tables by split: train, val, test, or all."""
    if not isinstance(tables, dict):
        return {"all": tables}
    for split, name in named.items():
        if split not in SPLITS or name not in tables:
            raise ValueError(
                f"splits of data set huggingface: {split}: {name}; it has {', '.join(tables)}, for train, val and test"
            )
    parts: dict[str, Any] = {}
    for split in SPLITS:
        known = [named[split]] if split in named else [split, *_OTHER_NAMES[split]]
        if present := [name for name in known if name in tables]:
            parts[split] = tables[present[0]]
    if not parts:
        raise ValueError(
            f"huggingface has the splits {', '.join(tables)}; give the data option splits, such as "
            f"splits={{train: {next(iter(tables))}}}"
        )
    return parts


def _columns(table: Any, image: str | None, label: str | None, *, optional: bool) -> tuple[str, str | None]:
    """The columns of images and masks."""
    kinds = {name: type(feature).__name__ for name, feature in table.features.items()}
    listed = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    for option, column in (("image", image), ("label", label)):
        if column is not None and column not in kinds:
            raise ValueError(f"huggingface has no column {column!r} ({option}); its columns: {listed}")
    pictures = [name for name, kind in kinds.items() if kind == "Image"]
    image = image or next(
        (name for name in _IMAGE_COLUMNS if name in pictures), pictures[0] if len(pictures) == 1 else None
    )
    if image is None or kinds[image] != "Image":
        raise ValueError(f"huggingface: no column of images; give the data option image. Its columns: {listed}")
    known = [name for name in _LABEL_COLUMNS if name in kinds and kinds[name] not in ("ClassLabel", "Value")]
    others = [name for name in pictures if name != image]
    label = label or next(iter(known), others[0] if len(others) == 1 else None)
    if label is None and not optional:
        raise ValueError(f"huggingface: no column of masks; give the data option label. Its columns: {listed}")
    return image, label


def _undecoded(table: Any, columns: tuple[str, str | None]) -> Any:
    """The two columns, with images as they are stored."""
    import datasets

    table = table.select_columns([name for name in columns if name is not None])
    for name in columns:
        if name is not None and isinstance(table.features[name], datasets.Image):
            table = table.cast_column(name, datasets.Image(decode=False))
    return table


def _classes(table: Any, label: str | None, base: Path | None, classes: Any) -> ClassList:
    names = _names(table.features[label]) if label is not None else None
    if classes is None and names:
        return class_list(None, names, what="huggingface")
    if classes is None and base is not None and (base / "id2label.json").is_file():
        from segattn.catalogue import read_json

        by_index = read_json(base / "id2label.json", what="a mapping of index to class name")
        if not isinstance(by_index, dict) or sorted(by_index, key=str) != sorted(map(str, range(len(by_index)))):
            raise ValueError(
                f"{base / 'id2label.json'}: expected the names of the classes 0, 1, ...; give the data option classes"
            )
        return class_list(None, [by_index[str(index)] for index in range(len(by_index))], what="huggingface")
    return class_list(base, classes, what="huggingface")


def _names(feature: Any) -> list[str] | None:
    """Class names that a feature, or one inside it, declares."""
    while feature is not None:
        if names := getattr(feature, "names", None):
            return list(names)
        feature = feature[0] if isinstance(feature, list) and feature else getattr(feature, "feature", None)
    return None


def _sizes(table: Any, columns: tuple[str, str | None], rows: Sequence[int]) -> list[int]:
    """Bytes of the content of each row's images; 0 where there is none, as for files of their own."""
    import pyarrow as pa
    import pyarrow.compute as compute

    arrow = table.with_format("arrow")[:]
    total = np.zeros(len(table), np.int64)
    for name in columns:
        if name is not None and pa.types.is_struct(arrow[name].type):
            lengths = compute.binary_length(compute.struct_field(arrow[name], "bytes"))
            total += np.nan_to_num(lengths.to_numpy().astype(np.float64)).astype(np.int64)
    sizes: list[int] = total[list(rows)].tolist()
    return sizes
