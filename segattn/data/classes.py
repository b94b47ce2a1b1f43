"""Classes are told by their names: what is the same class in two lists, whatever their order."""

from __future__ import annotations

from collections.abc import Sequence

_MOST_LISTED = 40  # classes of one list in a message


def matched(network: Sequence[str] | None, labels: Sequence[str], *, what: str) -> list[int] | None:
    """The index among `labels` of each class of the network; None where the lists are the same, or the network names none.

    `segattn convert` names the classes `class 0`, `class 1`, ... where a checkpoint names none; they are then taken in order.

    Args:
        what: whose classes the labels are, for the message.

    Raises:
        ValueError: the names are not the same; both lists are named.

    >>> matched(["road", "sky"], ["sky", "road"], what="mine val")
    [1, 0]
    """
    if network is None or list(network) == list(labels) or not (named(network) or len(network) != len(labels)):
        return None
    if len(network) == len(labels) and set(network) == set(labels):
        return [list(labels).index(name) for name in network]
    raise ValueError(
        f"the model has {len(network)} classes, {what} has {len(labels)}, and they are not the same: "
        f"{_both(network, labels, what)}. "
        "Evaluate it on the data set that it was trained on, or give classes that mean the same the same name"
    )


def named(classes: Sequence[str]) -> bool:
    """Whether the classes have names of their own, other than `class 0`, `class 1`, ..."""
    return any(name != f"class {index}" for index, name in enumerate(classes))


def difference(first: Sequence[str], second: Sequence[str]) -> str:
    """In what two lists of the same number of classes differ, as a clause that goes before another; empty for other numbers."""
    if len(first) != len(second) or list(first) == list(second):
        return ""
    at = next(index for index, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
    how = "the same classes in another order" if set(first) == set(second) else "other classes"
    return f"{how}: class {at} is {first[at]} in the first and {second[at]} in the second; "


def _both(network: Sequence[str], labels: Sequence[str], what: str) -> str:
    """Both lists; of long ones the classes that only one of them has."""
    if max(len(network), len(labels)) <= _MOST_LISTED:
        return f"{', '.join(network)} (the model); {', '.join(labels)} ({what})"
    apart = [[name for name in one if name not in other] for one, other in ((network, labels), (labels, network))]
    mine, others = (", ".join(names[:_MOST_LISTED]) or "none" for names in apart)
    return f"only the model has {mine}; only {what} has {others}"
