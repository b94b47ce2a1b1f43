"""How large the noise in published tables is, from the tables alone: the same heads under several settings.

mmsegmentation publishes the same heads with two backbones and several schedules and crops. With y_sh the mIoU of head h under
setting s, the additive model y_sh = mean + setting_s + head_h + rest leaves a rest that no property of the heads explains:
seed, order of crops, choice of a checkpoint, and true interaction. Its standard deviation says how far two figures of one table
must lie apart to mean something. FCN, which is far below, is left out.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from segattn.profile.markdown import markdown_table
from segattn.records import published
from segattn.report.shared import student

LEVEL = 0.05


@dataclass(frozen=True)
class Table:
    """The heads that all settings of a data set have; `values` are mIoU in %, float64 (settings, heads)."""

    data: str
    settings: tuple[tuple[str, ...], ...]
    heads: tuple[str, ...]
    values: np.ndarray

    @property
    def rest(self) -> np.ndarray:
        """What neither setting nor head explains."""
        return rest(self.values)

    @property
    def degrees(self) -> int:
        """Of freedom of the rest."""
        return (len(self.settings) - 1) * (len(self.heads) - 1)

    @property
    def noise(self) -> float:
        """Standard deviation of one figure."""
        return math.sqrt((self.rest**2).sum() / self.degrees)

    @property
    def single(self) -> float:
        """Two figures of one table differ beyond the noise from here on (95 %)."""
        return student.quantile(1 - LEVEL / 2, self.degrees) * math.sqrt(2) * self.noise

    def differences(self) -> dict[tuple[str, str], student.Difference]:
        """Every two heads, over all settings, the better one first; p is Holm's."""
        error = self.noise * math.sqrt(2 / len(self.settings))
        means = self.values.mean(0)
        order = np.argsort(-means)
        pairs = {
            (self.heads[a], self.heads[b]): student.of_error(float(means[a] - means[b]), error, self.degrees)
            for a, b in itertools.combinations(order, 2)
        }
        corrected = student.holm([each.p for each in pairs.values() if each.p is not None])
        return {
            names: student.Difference(each.value, each.low, each.high, p)
            for (names, each), p in zip(pairs.items(), corrected, strict=True)
        }

    def agreement(self) -> float:
        """Kendall's tau of the orders of two settings, mean over all pairs of settings: 1 the same order, 0 chance."""
        return float(np.mean([tau(a, b) for a, b in itertools.combinations(self.values, 2)]))


def tables() -> list[Table]:
    """For each data set its largest complete table of mmsegmentation's single-scale figures."""
    largest = []
    for data in published.datasets():
        settings: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
        for row in published.on(data):
            if row.source == "mmsegmentation" and row.head != "fcn":
                setting = (row.backbone, row.crop, str(row.iterations))
                settings[setting].setdefault(row.head, 100 * row.mean_iou)
        full = {setting: heads for setting, heads in settings.items() if len(heads) >= 6}
        heads = tuple(sorted(set.intersection(*map(set, full.values()))))
        values = np.array([[of[head] for head in heads] for of in full.values()])
        largest.append(Table(data, tuple(full), heads, values))
    return largest


def section() -> str:
    """The tables as Markdown."""
    lines = []
    for table in tables():
        pairs = table.differences()
        clear = [names for names, each in pairs.items() if each.p is not None and each.p < LEVEL]
        close = [abs(a - b) < table.single for row in table.values for a, b in itertools.combinations(row, 2)]
        lines.append(
            [
                table.data,
                f"{len(table.heads)} x {len(table.settings)}",
                f"{table.noise:.2f}",
                f"{table.single:.1f}",
                f"{100 * np.mean(close):.0f} %",
                f"{table.agreement():+.2f}",
                f"{len(clear)} of {len(pairs)}",
            ]
        )
    heading = ["data set", "heads x settings", "noise of one figure", "least difference of two", "differences below it"]
    heading += ["agreement of orders", "pairs told apart by all settings"]
    parts = [markdown_table(heading, lines, align="lrrrrrr")]
    for table in tables():
        clear = [(names, each) for names, each in table.differences().items() if each.p is not None and each.p < LEVEL]
        words = [f"{a} above {b} by {each.value:.1f} ±{each.value - (each.low or 0):.1f}" for (a, b), each in clear]
        parts.append(f"* {table.data}: {'; '.join(words) if words else 'no two heads'}.")
    return "\n\n".join([parts[0], "\n".join(parts[1:])])


def rest(y: np.ndarray) -> np.ndarray:
    """What neither the rows nor the columns of a table explain."""
    both: np.ndarray = y - y.mean(0) - y.mean(1, keepdims=True) + y.mean()
    return both


def tau(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau of the orders of two lists of scores of the same networks."""
    signs = [np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in itertools.combinations(range(len(a)), 2)]
    return float(np.mean(signs))
