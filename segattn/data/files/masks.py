"""How the pixels of a mask become classes: by stored value or by colour, with what is ignored and what is refused."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from segattn.data._dataset import IGNORE
from segattn.data.files.class_lists import MOST_VALUE, Colour
from segattn.data.files.decode import decoded_mask, ranges
from segattn.data.files.pixels import AS_SHOWN, Reading

Mark = int | Colour
"""What stands for a class in a mask: a value, or a colour."""

_REFUSED = -1
"""Stands for marks that are no class's, while a mask is read."""
_SHOWN = 3  # values or colours named in one message
_MANY = 32
"""Unknown colours: so many come from a lossy format or from interpolation."""


@dataclass(frozen=True)
class MaskReading:
    """What the marks of a mask mean.

    A mask of one channel holds values, one of red, green and blue holds colours, unless it is grey and one of its greys is no
    class's colour: then these are values too.
    """

    values: Mapping[int, int]
    """Class of each stored value; 255 for those that are ignored."""
    colours: Mapping[Colour, int] = field(default_factory=dict)
    """The same for colours."""
    others: str = "error"
    """error: other marks are refused; ignore: they are ignored, and counted in `ignored`."""
    masks_as: str = "auto"
    """values or colours: every mask is read that way."""
    ignored: dict[str, Counter[Mark]] = field(default_factory=dict, compare=False)
    """By file: pixels of each mark that was ignored because it is no class's."""
    doubtful: dict[str, str] = field(default_factory=dict, compare=False)
    """By file: in what the values and the colours of a palette mask disagree."""

    def label(self, path: Path, how: Reading = AS_SHOWN, content: bytes | None = None) -> np.ndarray:
        """The classes of a mask, uint8 (H, W).

        Args:
            path: names the mask in errors, and is read if there is no `content`.

        Raises:
            ValueError: unreadable, or a mark that is no class's: which, and how many pixels.
        """
        return self.of_stored(path, self.stored(path, how, content)[0])

    def of_stored(self, path: Path, stored: np.ndarray) -> np.ndarray:
        """The classes of what `stored` returns, or of any array of values (H, W) or colours (H, W, 3)."""
        label = self._looked_up(stored)
        refused = label == _REFUSED
        if refused.any():
            marks = histogram(stored[refused], coloured=stored.ndim == 3)
            if self.others == "error":
                raise ValueError(f"{path}: {self._refusal(stored, refused, marks)}")
            self.ignored[str(path)] = marks
            label[refused] = IGNORE
        return label.astype(np.uint8)

    def stored(self, path: Path, how: Reading = AS_SHOWN, content: bytes | None = None) -> tuple[np.ndarray, str]:
        """The values (H, W) or the colours (H, W, 3) by which a mask is read, and its kind in words.

        Raises:
            ValueError: unreadable, transparent, or of colours where there are none to read it by.
        """
        mask = decoded_mask(path, how, content)
        if mask.mode in ("RGBA", "LA", "PA"):
            mask = _opaque(path, mask)
        if mask.mode == "P":
            return self._of_palette(path, mask)
        if mask.mode == "RGB":
            return self._of_colours(path, np.asarray(mask))
        values = np.asarray(mask)
        kind = {"L": "grey, 8 bits", "1": "black and white"}.get(mask.mode, "grey, 16 bits or more")
        if mask.mode not in ("1", "L", "I") and not mask.mode.startswith("I;16"):
            raise ValueError(f"{path}: a mask of mode {mask.mode}; expected values in one channel, or RGB colours")
        if self.masks_as == "colours":
            return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2), kind
        return values.astype(np.uint8) if mask.mode == "1" else values, kind

    def meaning(self, mark: Mark) -> int | None:
        """The class of a mark, 255 if it is ignored, None if it is refused."""
        meaning = self._named(mark)
        if meaning is None and (mark == IGNORE or self.others == "ignore"):
            return IGNORE
        return meaning

    def note(self, path: Path, marks: Mapping[Mark, int]) -> None:
        """Note what a mask with pixels of these marks has ignored because it is no class's."""
        own = {mark: count for mark, count in marks.items() if self._named(mark) is None and mark != IGNORE}
        if own and self.others == "ignore":
            self.ignored[str(path)] = Counter(own)

    def _named(self, mark: Mark) -> int | None:
        return self.values.get(mark) if isinstance(mark, int) else self.colours.get(mark)

    def allowed(self, mark: Mark) -> str:
        """The values, or the first colours, that have a meaning: those of the kind of `mark`."""
        if isinstance(mark, int):
            return f"{ranges(self.values)} and {IGNORE} (ignored)"
        shown = ", ".join(str(colour) for colour in list(self.colours)[:_SHOWN])
        return f"{shown} and {len(self.colours) - _SHOWN} more" if len(self.colours) > _SHOWN else shown

    def _looked_up(self, stored: np.ndarray) -> np.ndarray:
        if stored.ndim == 3:
            return _colour_table(tuple(self.colours.items()))[_codes(stored)]
        if stored.dtype != np.uint8 and stored.size and not 0 <= int(stored.min()) <= int(stored.max()) <= MOST_VALUE:
            beyond = (stored < 0) | (stored > MOST_VALUE)
            return np.where(beyond, np.int16(_REFUSED), self._looked_up(np.where(beyond, 0, stored)))
        return _value_table(tuple(self.values.items()))[stored]

    def _of_colours(self, path: Path, colours: np.ndarray) -> tuple[np.ndarray, str]:
        grey = (colours[:, :, 0] == colours[:, :, 1]).all() and (colours[:, :, 1] == colours[:, :, 2]).all()
        by_value = grey and (self.masks_as == "values" or not self.colours)
        if grey and self.masks_as == "auto" and not by_value:
            by_value = bool((self._looked_up(colours) == _REFUSED).any())
        if by_value:
            return np.ascontiguousarray(colours[:, :, 0]), "grey, saved as RGB"
        if self.masks_as == "values" or not self.colours:
            raise ValueError(
                f"{path}: a mask of mode RGB (3 channels) with {len(histogram(colours, coloured=True))} colours; give the colour "
                "of each class in classes.json, or write class indices into one channel"
            )
        return colours, "colours"

    def _of_palette(self, path: Path, mask: Image.Image) -> tuple[np.ndarray, str]:
        """Values; but colours where these alone are classes', as in masks whose editor has sorted the palette anew."""
        values = np.asarray(mask)
        if self.masks_as == "values" or not self.colours:
            return values, "palette"
        colours = np.asarray(mask.convert("RGB"))
        if self.masks_as == "colours":
            return colours, "palette"
        by_value, by_colour = self._looked_up(values), self._looked_up(colours)
        if (by_colour == _REFUSED).any() or (by_value == by_colour).all():
            return values, "palette"
        if (by_value == _REFUSED).any():
            return colours, "palette"
        row, column = np.unravel_index(int(np.argmax(by_value != by_colour)), by_value.shape)
        self.doubtful[str(path)] = (
            f"value {values[row, column]} is read as class {by_value[row, column]}, and its colour "
            f"{tuple(colours[row, column].tolist())} is that of class {by_colour[row, column]}"
        )
        return values, "palette"

    def lines(self) -> list[tuple[str, str]]:
        """Kind and sentence of each remark on the masks that were read."""
        lines = []
        if self.ignored:
            total: Counter[Mark] = sum(list(self.ignored.values()), Counter())
            lines.append((
                "ignored values of no class",
                f"{named_marks(total)} of no class in {len(self.ignored)} mask{'s' if len(self.ignored) > 1 else ''}, such as "
                f"{min(self.ignored)}: ignored, as others=ignore says",
            ))  # fmt: skip
        if self.doubtful:
            file = min(self.doubtful)
            lines.append((
                "palettes in another order",
                f"{file}: {self.doubtful[file]}. Palette masks are read by value; if the colours are right, add "
                "masks_as=colours to the data options, else masks_as=values",
            ))  # fmt: skip
        return lines

    def _refusal(self, stored: np.ndarray, refused: np.ndarray, marks: Mapping[Mark, int]) -> str:
        """What is wrong with marks that are no class's, and what to type."""
        row, column = np.unravel_index(int(np.argmax(refused)), refused.shape)
        pixel = stored[row, column].tolist()
        mark = tuple(pixel) if isinstance(pixel, list) else pixel
        all_of_them = f"{_pixels(marks[mark])}" if len(marks) == 1 else f"in all {named_marks(marks)}"
        kind = "colour" if stored.ndim == 3 else "value"
        text = f"label {kind} {mark} at row {row}, column {column} is that of no class ({all_of_them})"
        if len(marks) >= _MANY:
            return (
                f"{text}; so many come from a lossy format such as JPEG, or from resizing with interpolation: export the masks "
                "as PNG, without smoothing"
            )
        it = "it" if len(marks) == 1 else "them"
        example = f"ignore=[{list(mark) if isinstance(mark, tuple) else mark}]"
        return (
            f"{text}; allowed are {self.allowed(mark)}. Add {it} to the class list, or add the data option {example} or "
            "others=ignore"
        )


def resized_label(label: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A label (h, w) at another size (H, W): the class under the centre of each pixel."""
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for old, new in zip(label.shape, size, strict=True))
    return label[rows][:, columns]


def _opaque(path: Path, mask: Image.Image) -> Image.Image:
    alpha = np.asarray(mask.getchannel("A"))
    if alpha.size and int(alpha.min()) < 255:
        raise ValueError(
            f"{path}: has transparent pixels (alpha {int(alpha.min())}, {_pixels(int((alpha < 255).sum()))}); flatten the mask"
        )
    return mask.convert({"RGBA": "RGB", "LA": "L", "PA": "P"}[mask.mode])


def _codes(colours: np.ndarray) -> np.ndarray:
    """Colours (..., 3) as numbers."""
    wide = colours.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


@functools.lru_cache(maxsize=4)
def _colour_table(items: tuple[tuple[Colour, int], ...]) -> np.ndarray:
    table = np.full(1 << 24, _REFUSED, np.int16)
    for (red, green, blue), index in items:
        table[red << 16 | green << 8 | blue] = index
    return table


@functools.lru_cache(maxsize=8)
def _value_table(items: tuple[tuple[int, int], ...]) -> np.ndarray:
    table = np.full(MOST_VALUE + 1, _REFUSED, np.int16)
    table[IGNORE] = IGNORE
    for value, index in items:
        table[value] = index
    return table


def histogram(stored: np.ndarray, *, coloured: bool) -> Counter[Mark]:
    """Pixels of each value in an array, or of each colour of (..., 3)."""
    values, counts = np.unique(_codes(stored) if coloured else stored, return_counts=True)
    marks: Iterable[Mark] = values.tolist()
    if coloured:
        marks = ((code >> 16, code >> 8 & 255, code & 255) for code in values.tolist())
    return Counter(dict(zip(marks, counts.tolist(), strict=True)))


def named_marks(marks: Mapping[Mark, int]) -> str:
    """`value 3 (12 pixels)`; of several values or colours the most frequent."""
    order = sorted(marks, key=lambda mark: -marks[mark])
    named = ", ".join(f"{mark} ({_pixels(marks[mark])})" for mark in order[:_SHOWN])
    rest = f" and {len(order) - _SHOWN} more ({_pixels(sum(marks[mark] for mark in order[_SHOWN:]))})"
    what = "colour" if isinstance(order[0], tuple) else "value"
    return f"{what}{'s' if len(order) > 1 else ''} {named}{rest if len(order) > _SHOWN else ''}"


def _pixels(count: int) -> str:
    return f"{count:,} pixel{'s' if count != 1 else ''}"
