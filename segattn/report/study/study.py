"""Records read from disk and gathered into rows: one row per head and mode, its seeds together."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from segattn import records
from segattn.records import BenchRecord, Cost, HeadFacts, RunRecord, StudyRecord
from segattn.records.run import same_data
from segattn.records.swept import short_names, value_of
from segattn.report.shared import student
from segattn.report.shared.sources import inside, record_files
from segattn.report.study.bench_columns import BenchColumns, choose
from segattn.report.study.contrast import Contrast, contrast
from segattn.report.study.rows import Row, Run
from segattn.report.study.settings import text
from segattn.report.study.verdict import Verdict, verdict

Source = str | os.PathLike[str]


MOST_SHOWN = 60
"""Rows that tables and figures show; table.csv has all."""
MOST_PANELS = 30
"""Panels of a figure of curves, where there are more rows than tables show."""


@dataclass(frozen=True)
class Study:
    """Everything that a report is written from: rows in falling order of mean IoU, and the study records that name them."""

    rows: list[Row]
    studies: list[StudyRecord]
    benches: list[BenchRecord] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    """Of `studies`, where `load` read them."""

    @property
    def runs(self) -> list[Run]:
        """Every run, in the order of the rows."""
        return [run for row in self.rows for run in row.runs]

    @property
    def first(self) -> RunRecord:
        """Any run: data set, split and classes are the same in all."""
        return self.rows[0].runs[0].record

    @property
    def seeds(self) -> int:
        """The smallest number of seeds of any row."""
        return min(row.n for row in self.rows)

    @cached_property
    def shown(self) -> list[Row]:
        """The rows that tables and figures show: all, or those of highest mIoU and the best baseline where there are many."""
        best, others = self.rows[:MOST_SHOWN], self.rows[MOST_SHOWN:]
        if others and not any(row.is_baseline for row in best):
            best += [row for row in others if row.is_baseline][:1]
        return best

    @cached_property
    def folded(self) -> list[Row]:
        """The other rows."""
        labels = {row.label for row in self.shown}
        return [row for row in self.rows if row.label not in labels]

    @cached_property
    def _baselines(self) -> list[Row]:
        return [row for row in self.rows if row.is_baseline]

    def baseline(self, row: Row) -> Row | None:
        """The row that `row` is compared with: of its experiment, and of its mode and swept settings where there is one."""
        candidates = [other for other in self._baselines if other.experiment == row.experiment]
        same_mode = [other for other in candidates if other.mode == row.mode] or candidates
        same_settings = [other for other in same_mode if other.swept == row.swept]
        return next(iter(same_settings or same_mode), None)

    @cached_property
    def baseline_name(self) -> str:
        """What columns call the baseline: the name of its head, or `baseline` where there are several or none."""
        names = {row.head for row in self.rows if row.is_baseline}
        return names.pop() if len(names) == 1 else "baseline"

    @cached_property
    def contrasts(self) -> dict[str, Contrast]:
        """Every row that has a baseline against it, by label."""
        pairs = [(row, self.baseline(row)) for row in self.rows if not row.is_baseline]
        return {row.label: contrast(row, baseline) for row, baseline in pairs if baseline is not None}

    def delta(self, row: Row) -> student.Difference | None:
        """Mean IoU of `row` minus that of its baseline; None for the baseline itself or where there is none."""
        return self.contrasts[row.label].difference if row.label in self.contrasts else None

    @cached_property
    def verdict(self) -> Verdict | None:
        """Which rows are not distinguishable from the first; None where that cannot be tested."""
        return verdict({row.label: contrast(self.rows[0], row) for row in self.rows[1:]})

    @cached_property
    def baseline_verdict(self) -> Verdict | None:
        """Which rows are not distinguishable from their baseline; None where that cannot be tested."""
        return verdict(self.contrasts)

    def marks(self, row: Row) -> tuple[bool, bool]:
        """Whether the row is not distinguishable from the first row, and from its baseline."""
        first, baseline = self._unclear
        return row.label in first, row.label in baseline

    @cached_property
    def _unclear(self) -> tuple[set[str], set[str]]:
        first, baseline = (set(v.unclear) if v else set() for v in (self.verdict, self.baseline_verdict))
        return first, baseline

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """Input sizes of the cost figures, largest first."""
        sizes = {cost.input_size for study in self.studies for cost in study.costs}
        return sorted(sizes, key=lambda size: size[0] * size[1], reverse=True)

    @cached_property
    def cost_is_reference(self) -> bool:
        """Whether the cost columns are of the reference network, because no row has the cost of the network that was trained."""
        return bool(self.sizes) and not any(row.trained_cost for row in self.rows)

    def cost(self, row: Row) -> Cost | None:
        """The cost beside the row's accuracy: that of the network that was trained."""
        return row.costs.get(self.sizes[0]) if self.cost_is_reference else row.trained_cost

    def reference_cost(self, row: Row) -> Cost | None:
        """The same head in the reference network, which was not trained; None where there is none, or no other than `cost`."""
        return row.costs.get(self.sizes[0]) if self._has_other_reference else None

    @cached_property
    def _has_other_reference(self) -> bool:
        pairs = [(row.trained_cost, row.costs.get(self.sizes[0])) for row in self.rows] if self.sizes else []
        return any(
            trained is not None and reference is not None and trained.setting != reference.setting
            for trained, reference in pairs
        )

    @cached_property
    def bench_columns(self) -> BenchColumns | None:
        """Latency and memory of the rows, of one setting; None where no bench record has any."""
        trained, reference = (next(filter(None, map(of, self.rows)), None) for of in (self.cost, self.reference_cost))
        return choose(self.benches, [(row.head, row.mode) for row in self.rows], trained, reference)


def load(paths: Source | Iterable[Source]) -> Study:
    """Read study folders, study.json files, run folders, record.json files and bench records into one comparison.

    Raises:
        ValueError: no record in a path; a record that is unreadable or of another schema; runs of different data sets,
            splits or classes; the same head, mode and seed twice.
    """
    single = isinstance(paths, (str, os.PathLike))
    sources = [Path(paths)] if single else [Path(path) for path in paths]  # type: ignore[arg-type,union-attr]
    if not sources:
        raise ValueError("nothing to report on: name at least one study folder, run folder or record file")
    runs: dict[Path, Run] = {}
    studies: dict[Path, tuple[StudyRecord, Path]] = {}
    benches: dict[Path, BenchRecord] = {}
    for source in sources:
        for file in record_files(source):
            _read_into(file, runs, studies, benches)
    if not runs:
        raise ValueError(f"{', '.join(map(str, sources))}: the study has no finished run yet; run the study first")
    first = next(iter(runs.values()))
    for run in runs.values():
        check(run, first)
    study_records = [record for record, _ in studies.values()]
    return Study(
        rows=_rows(list(runs.values()), study_records),
        studies=study_records,
        benches=list(benches.values()),
        folders=[folder for _, folder in studies.values()],
    )


def _read_into(
    file: Path,
    runs: dict[Path, Run],
    studies: dict[Path, tuple[StudyRecord, Path]],
    benches: dict[Path, BenchRecord],
) -> None:
    record = records.read(file)
    if isinstance(record, BenchRecord):
        benches.setdefault(file.resolve(), record)
        return
    if isinstance(record, RunRecord):
        runs.setdefault(file.resolve(), Run(record, file.parent))
        return
    if file.resolve() not in studies:
        studies[file.resolve()] = record, file.parent
        for name in record.runs:
            if inside(file.parent, name) is None:
                raise ValueError(f"{file}: names the run {name!r}, which is outside the study's folder")
            path = file.parent / name
            if not path.exists():
                raise ValueError(
                    f"{file}: names the run {name!r}, which is not there; the study's command trains it again, or"
                    f" `segattn study collect {file.parent}` lists the runs that are"
                )
            _read_into(path / "record.json" if path.is_dir() else path, runs, studies, benches)


def check(run: Run, first: Run) -> None:
    """One comparison has one data set, one split and one list of classes, and scores of that many classes."""
    mine, other = run.record, first.record
    for name, a, b in [("data set", mine.dataset, other.dataset), ("split", mine.split, other.split)]:
        if a != b and not (name == "data set" and same_data(mine, other)):
            raise ValueError(
                f"runs of different {name}s in one comparison: {first.name} in {first.folder} has {b!r},"
                f" {run.name} in {run.folder} has {a!r}; report on them separately"
            )
    if mine.class_names != other.class_names:
        raise ValueError(
            f"runs of different classes in one comparison: {first.folder} has {len(other.class_names)}"
            f" ({', '.join(other.class_names)}), {run.folder} has {len(mine.class_names)}"
            f" ({', '.join(mine.class_names)}); report on them separately"
        )
    count, scores = len(mine.class_names), mine.scores
    lengths = {len(scores.iou), len(scores.accuracy), len(scores.confusion), *map(len, scores.confusion)}
    if lengths != {count} or len(mine.palette) != count:
        raise ValueError(f"{run.folder}: {count} class names, but scores or palette of another number of classes")


def _rows(runs: list[Run], studies: list[StudyRecord]) -> list[Row]:
    swept = short_names(list(dict.fromkeys(path for study in studies for path in study.swept)))
    groups: dict[tuple[str, str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        record = run.record
        groups[record.experiment, record.head, record.mode, json.dumps(_swept(run, swept))].append(run)
    several_modes = len({mode for _, _, mode, _ in groups}) > 1
    several_experiments = len({experiment for experiment, _, _, _ in groups}) > 1
    rows = []
    for (experiment, head, mode, _), members in groups.items():
        members.sort(key=lambda run: run.record.seed)
        for seed, count in Counter(run.record.seed for run in members).items():
            if count > 1:
                folders = [str(run.folder) for run in members if run.record.seed == seed]
                hint = "name one of them"
                if members[0].record.dataset == "probes":
                    hint = "tables and figures of probes are those that `segattn study probes` writes"
                raise ValueError(f"{head} ({mode}) has seed {seed} more than once: {', '.join(folders)}; {hint}")
        values = _swept(members[0], swept)
        qualifiers = [mode] * several_modes + [experiment] * several_experiments
        settings = [f"{name}={text(value)}" for name, value in values.items()]
        label, name = (f"{head} ({', '.join(each)})" if each else head for each in (settings + qualifiers, qualifiers))
        costs, facts = _costs(experiment, head, mode, studies), _facts(head, members, studies)
        rows.append(Row(label, head, mode, experiment, members, costs, facts, values, name))
    return sorted(rows, key=lambda row: (-row.mean_iou, row.label))


def _swept(run: Run, swept: dict[str, str]) -> dict[str, Any]:
    """The run's values of the settings that differ, by short name."""
    return {name: value_of(run.record.config, path) for path, name in swept.items()}


def _costs(experiment: str, head: str, mode: str, studies: list[StudyRecord]) -> dict[tuple[int, int], Cost]:
    """Of the row's own study where it names the head, of any other study otherwise."""
    costs: dict[tuple[int, int], Cost] = {}
    for study in sorted(studies, key=lambda study: study.experiment != experiment):
        for cost in study.costs:
            if (cost.head, cost.mode) == (head, mode):
                costs.setdefault(cost.input_size, cost)
    return costs


def _facts(head: str, runs: list[Run], studies: list[StudyRecord]) -> HeadFacts | None:
    """Of the first run that has them, of a study otherwise."""
    recorded = [run.record.head_facts for run in runs] + [study.head_facts.get(head) for study in studies]
    return next((facts for facts in recorded if facts is not None), None)
