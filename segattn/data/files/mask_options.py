"""The options of a data set that say what the marks of its masks mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segattn.data._dataset import IGNORE
from segattn.data.files.class_lists import MOST_VALUE, ClassList, ignored_marks, is_mask_value
from segattn.data.files.masks import MaskReading

_AS = ("auto", "values", "colours")
_OTHERS = ("index", "error", "ignore")


def mask_reading(
    classes: ClassList, *, values: object, others: str | None, ignore: object, masks_as: str, what: str
) -> MaskReading:
    """A `MaskReading` from a class list and the options of a data set.

    Args:
        values: class of a stored value; None: as the class list says.
        others: meaning of values that neither names: index, error or ignore. None: index, but error if the list has values.
        what: the data set, for messages.

    Raises:
        ValueError: `values` that are no mask values or name no class, or another word for `others` or `masks_as`.
    """
    if masks_as not in _AS:
        raise ValueError(f"masks_as={masks_as!r} of data set {what}; give auto, values or colours")
    if masks_as == "colours" and not classes.colours:
        raise ValueError(
            f"masks_as=colours of data set {what}: the class list gives no colours; write them into classes.json"
        )
    if others is not None and others not in _OTHERS:
        raise ValueError(
            f"others={others!r} of data set {what}; give index (other values are class indices), error or ignore"
        )
    if values is not None and classes.values:
        raise ValueError(f"values of data set {what}: {classes.path} gives the values already; leave one of them out")
    stored = dict(classes.values) if values is None else _checked_values(values, classes.names, what)
    if others == "index" or (others is None and not classes.values):
        stored = {index: index for index in range(len(classes.names))} | stored
    marks = (*classes.ignored, *ignored_marks(ignore, f"ignore of data set {what}"))
    for mark in marks:
        owner = classes.values.get(mark) if isinstance(mark, int) else classes.colours.get(mark)
        if owner is not None:
            raise ValueError(f"ignore of data set {what}: {mark} stands for {classes.names[owner]} in {classes.path}")
    nothing: dict[Any, int] = dict.fromkeys(marks, IGNORE)
    colours = {mark: IGNORE for mark in nothing if isinstance(mark, tuple)} | classes.colours
    return MaskReading(
        stored | {mark: IGNORE for mark in nothing if isinstance(mark, int)},
        colours if classes.colours else {},
        "ignore" if others == "ignore" else "error",
        masks_as,
    )


def _checked_values(values: object, names: Sequence[str], what: str) -> dict[int, int]:
    """The class of each stored value."""
    if not isinstance(values, Mapping):
        raise ValueError(
            f"values of data set {what} should be {{VALUE: CLASS}}, such as {{255: {names[-1]}}}, not {values!r:.80}"
        )
    mapping = {}
    for value, name in values.items():
        if not is_mask_value(value):
            raise ValueError(f"values of data set {what}: {value!r:.20} is no value of a mask; give 0 to {MOST_VALUE}")
        if name not in names:
            raise ValueError(
                f"values of data set {what}: {value} is {name!r:.80}, which is none of its classes: {', '.join(names)}"
            )
        mapping[int(value)] = names.index(name)
    return mapping
