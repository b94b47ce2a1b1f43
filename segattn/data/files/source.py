"""Where the pairs of each split of an own folder are: folders, patterns, suffixes, lists, or a fraction of all images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segattn.data._dataset import SPLITS
from segattn.data.files import fractions, patterns
from segattn.data.files.band_files import SPLIT
from segattn.data.files.lists import listed_pairs
from segattn.data.files.pairs import IMAGE_SUFFIXES, MASK_SUFFIXES, Pair, by_name, paired


@dataclass(frozen=True)
class Source:
    """The options of `folder` that say where its files are."""

    base: Path
    images: str
    masks: str
    lists: str | None
    splits: Mapping[str, str]
    fraction: float | None
    seed: int
    endings: tuple[str, ...] = IMAGE_SUFFIXES
    """Of image files in a plain folder."""
    bands: tuple[str, ...] = ()
    """Patterns of the files in which the bands of an image lie; empty where each image is one file."""

    def __post_init__(self) -> None:
        if self.bands and (patterns.is_pattern(self.images) or patterns.is_suffix(self.images)):
            raise ValueError(
                f"images={self.images} and bands both say how files are named; give the folder as images, such as images=images, "
                "and the ending of each band's files as bands"
            )

    def pairs(self, split: str) -> tuple[list[Pair], str]:
        """The pairs of a split, and what a user should know about it."""
        if self.fraction is not None:
            fractions.checked_fraction(self.fraction, self.seed, what="folder")
            if self._has("val"):
                raise ValueError(f"{self.base} has a split val ({self._folder('val')}); leave val_fraction out")
        if self._has(split):
            own = self._of_split(split)
            return self._part(own, split, "of train") if self.fraction is not None and split == "train" else (own, "")
        if split == "val" and self.fraction is not None and self._has("train"):
            return self._part(self._of_split("train"), split, "of train")
        if split != "test" and not any(map(self._has, SPLITS)) and (whole := self._whole()) is not None:
            return self._part(whole, split, "")
        raise ValueError(self._missing("train" if split == "val" and self.fraction is not None else split))

    def _part(self, pairs: list[Pair], split: str, of: str) -> tuple[list[Pair], str]:
        """The part of these pairs that is for training or for validation."""
        fraction, seed = fractions.checked_fraction(self.fraction or fractions.DEFAULT, self.seed, what="folder")
        names = [pair.name for pair in pairs]
        held_out = fractions.validation_names(names, fraction, seed)
        part = [pair for pair in pairs if (pair.name in held_out) == (split == "val")]
        twice = fractions.repeated(names)
        return part, (
            f"folder: a split {of or 'of all images'} by name, val_fraction={fraction:g} and split_seed={seed}: "
            f"{len(names) - len(held_out)} for training, {len(held_out)} for validation"
            + (f". {twice}" if twice else "")
        )

    def _folder(self, split: str) -> str:
        return self.splits.get(split, split)

    @property
    def _plain(self) -> bool:
        """Whether images and masks are names of folders."""
        return not self._split_in_bands and not any(
            (patterns.is_pattern(text) or patterns.is_suffix(text)) and not (self.base / text).is_dir()
            for text in (self.images, self.masks)
        )

    @property
    def _split_in_bands(self) -> bool:
        return any(SPLIT in band for band in self.bands)

    def _images(self, folder: Path) -> dict[str, Path]:
        """The images below a folder by name; of each the first file, where the bands lie in several."""
        return patterns.by_bands(folder, self.bands) if self.bands else by_name(folder, self.endings, "image")

    def _pairs(self, images: Path, masks: Path | None) -> list[Pair]:
        labels = by_name(masks, MASK_SUFFIXES, "mask") if masks is not None else None
        return paired(self._images(images), labels, images, masks)

    def _list(self, split: str) -> Path | None:
        name = (self.lists or "{split}.txt").replace("{split}", self._folder(split))
        return self.base / name if (self.base / name).is_file() else None

    def _layouts(self, split: str) -> tuple[tuple[Path, Path], ...]:
        folder = self._folder(split)
        return (
            (self.base / self.images / folder, self.base / self.masks / folder),
            (self.base / folder / self.images, self.base / folder / self.masks),
        )

    def _has(self, split: str) -> bool:
        """Whether a split of this name is there."""
        if self._list(split) is not None:
            return True
        if self.lists is not None:
            return False
        if self._split_in_bands:
            return bool(patterns.band_groups(self.base / self.images, self.bands, self._folder(split)))
        if self._plain or not (patterns.is_pattern(self.images) or patterns.is_suffix(self.images)):
            return self._in_folders(split)
        folder = self._folder(split)
        if patterns.is_suffix(self.images):
            return bool(patterns.of_split(self._suffixed("image"), self.base, folder))
        if "{split}" not in self.images:
            return False
        try:
            return bool(patterns.by_pattern(self.base, self.images, folder, "image").by_name)
        except ValueError:
            return False

    def _of_split(self, split: str) -> list[Pair]:
        listed = self._list(split)
        if listed is not None and (self.lists is not None or not self._plain or not self._in_folders(split)):
            return self._of_list(listed, split)
        if self._plain:
            images, masks = next(pair for pair in self._layouts(split) if pair[0].is_dir())
            return self._pairs(images, None if split == "test" and not masks.exists() else masks)
        return self._matched(split)

    def _in_folders(self, split: str) -> bool:
        return any(images.is_dir() for images, _ in self._layouts(split))

    def _of_list(self, listed: Path, split: str) -> list[Pair]:
        if self._plain:
            folders = self.base / self.images, self.base / self.masks
            images = self._images(folders[0]) if folders[0].is_dir() else {}
            masks = by_name(folders[1], MASK_SUFFIXES, "mask") if folders[1].is_dir() else {}
            unlabelled = split == "test" and not folders[1].exists()
            return listed_pairs(listed, self.base, images, None if unlabelled else masks, folders)
        images, labels = self._found(self._folder(split), split == "test")
        return listed_pairs(listed, self.base, images, labels, (self.images, self.masks))

    def _whole(self) -> list[Pair] | None:
        """All pairs, where there is no split; None if there are none."""
        if self.lists is not None or SPLIT in self.images + self.masks or self._split_in_bands:
            return None
        if not self._plain:
            return self._matched(None)
        if not (self.base / self.images).is_dir():
            return None
        return self._pairs(self.base / self.images, self.base / self.masks)

    def _matched(self, split: str | None) -> list[Pair]:
        """Pairs by pattern or suffix."""
        images, masks = self._found(None if split is None else self._folder(split), split == "test")
        if masks is None:
            return paired(images, None, self.images, None)
        return paired(*patterns.same_names(images, masks), f"{self.base}: {self.images}", self.masks)

    def _found(self, folder: str | None, optional: bool) -> tuple[dict[str, Path], dict[str, Path] | None]:
        """Images and masks by name; the masks may be missing if they are optional."""
        images = self._one("image", folder)
        try:
            return images, self._one("mask", folder)
        except ValueError:
            if optional:
                return images, None
            raise

    def _one(self, what: str, folder: str | None) -> dict[str, Path]:
        text = self.images if what == "image" else self.masks
        if what == "image" and self._split_in_bands:
            return patterns.by_bands(self.base / text, self.bands, folder or "")
        if patterns.is_suffix(text):
            files = self._suffixed(what)
            inside = patterns.of_split(files, self.base, folder) if folder is not None else {}
            return inside or files
        if not patterns.is_pattern(text):
            places = [f"{text}/{folder}", f"{folder}/{text}", text]
            text = next((place for place in places if (self.base / place).is_dir()), text)
            if what == "image" and self.bands:
                return patterns.by_bands(self.base / text, self.bands)
            text += "/**/*"
        return patterns.by_pattern(self.base, text, folder or "", what).by_name

    def _suffixed(self, what: str) -> dict[str, Path]:
        text, other = (self.images, self.masks) if what == "image" else (self.masks, self.images)
        longer = patterns.is_suffix(other) and other.lower().endswith(text.lower()) and other != text
        return patterns.by_suffix(self.base, text, what, but=other if longer else "")

    def _missing(self, split: str) -> str:
        if self.lists is not None:
            return f"{self.base}: no list {self.lists.replace('{split}', self._folder(split))} for the split {split!r}"
        folder = self._folder(split)
        advice = ""
        if split == "val" and self._has("train"):
            advice = f"; or add the data option val_fraction={fractions.DEFAULT}, which takes them from train"
        if not self._plain:
            image = ", ".join(self.bands) if self._split_in_bands else self.images
            return f"{self.base}: no split {split!r}: no image matches {image.replace(SPLIT, folder)}{advice}"
        return (
            f"{self.base}: no split {split!r}; expected {self.images}/{folder}/ and {self.masks}/{folder}/, or "
            f"{folder}/{self.images}/ and {folder}/{self.masks}/, or {folder}.txt beside {self.images}/ and {self.masks}/"
            f"{advice or '; `segattn data init` finds other layouts'}"
        )
