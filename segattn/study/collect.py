"""The record of a study, from the records of its runs: also of runs that were done elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segattn import config as configuration
from segattn import cost, records
from segattn.records import integrity
from segattn.records.run import same_data
from segattn.study.plan import train_again
from segattn.training import fingerprint, fits, looks

OnNotice = Callable[[str], object]
_BY_DESIGN = {"model.head", "model.mode", "seed"}
"""Settings in which the runs of any study differ."""


def reference_costs(head_names: Sequence[str], mode: str = "faithful") -> list[records.Cost]:
    """Cost of each head with ResNet-101 at output stride 8 and the study's crops: 19 classes at 769, 150 at 520."""
    costs = []
    for head in head_names:
        for size, num_classes in zip(cost.REFERENCE_SIZES, cost.REFERENCE_CLASSES, strict=True):
            costs.append(cost.network_cost(head, input_size=size, num_classes=num_classes, mode=mode))
    return costs


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the record of a study says beside its runs."""

    experiment: str
    command: str
    costs: list[records.Cost]
    head_facts: dict[str, records.HeadFacts]
    fully_trained: list[records.FullyTrained] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)

    def write(
        self, out: Path, runs: Sequence[str], pictures: records.Looks | None, on_notice: OnNotice, *, last: str = ""
    ) -> Path:
        """Write study.json for the finished runs with these folders; `last` is the one whose environment is recorded.

        Raises:
            ValueError: the folder cannot be written, or another process keeps its lease for a minute.
        """
        record = records.StudyRecord(
            experiment=self.experiment,
            command=self.command,
            runs=[f"{run}/record.json" for run in runs],
            costs=self.costs,
            environment=records.read(out / (last or runs[-1]) / "record.json").environment,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            head_facts=self.head_facts,
            fully_trained=list(self.fully_trained),
            looks=pictures,
            swept=self.swept,
        )
        path = out / "study.json"
        with records.Lease(out, "study", wait=60, on_notice=on_notice):  # each holds it for one write
            records.write(record, path)
        return path


def head_facts(head_names: Iterable[str], mode: str) -> dict[str, records.HeadFacts]:
    """What each head declares, by its name."""
    return {head: cost.head_facts(head, mode) for head in head_names}


def collect(
    folders: Sequence[Path], out: Path | None = None, *, command: str = "", on_notice: OnNotice = print
) -> Path:
    """Write the record of a study of the finished runs in these folders, wherever they were done; returns its path.

    Pictures of where networks look, and networks of the zoo, are those that a record in `out` names already.

    Args:
        folders: of runs, or folders that hold them at any depth.
        out: the study's folder, in which all runs must lie; by default `folders[0]` if that is the only one.
        on_notice: called with each run that is not finished, each other record, and where precisions differ.

    Raises:
        ValueError: no finished run; a damaged record; runs of other experiments, classes or data, or the same run twice, with
            their names; a run outside `out`.
    """
    if out is None:
        if len(folders) != 1:
            raise ValueError(
                "runs of several folders need the study's folder: add -o OUT, a folder that holds all of them"
            )
        out = folders[0]
    if (out / "record.json").exists():
        raise ValueError(f"{out} is the folder of one run; give -o OUT, the folder that holds the study's runs")
    runs = _runs_in(folders, out, on_notice)
    _check(runs, on_notice)
    modes = {run.mode for run in runs.values()}
    heads = [(head, mode) for mode in sorted(modes) for head in _heads(runs, mode)]
    before = _recorded(out / "study.json")
    facts = Facts(
        experiment=next(iter(runs.values())).experiment,
        command=command,
        costs=[each for head, mode in heads for each in reference_costs([head], mode)],
        head_facts={head: cost.head_facts(head, mode) for head, mode in heads},
        fully_trained=[] if before is None else before.fully_trained,
        swept=differing(runs.values()),
    )
    names = [folder.resolve().relative_to(out.resolve()).as_posix() for folder in runs]
    return facts.write(out, names, looks.recorded(out / "study.json"), on_notice)


def _recorded(path: Path) -> records.StudyRecord | None:
    if records.kind_of(path) != "study":
        return None
    record: records.StudyRecord = records.read(path)
    return record


def _runs_in(folders: Sequence[Path], out: Path, on_notice: OnNotice) -> dict[Path, records.RunRecord]:
    """The finished runs by folder: by seed, then in the order of tables."""
    runs: dict[Path, records.RunRecord] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder; give folders of runs, or one that holds them")
        files = sorted({*folder.rglob("record.json"), *folder.rglob("experiment.json")})
        visible = [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
        for run in dict.fromkeys(file.parent for file in visible):
            if not (run / "record.json").exists():
                on_notice(f"{run} is not finished and is left out")
            elif _is_run(run / "record.json", on_notice):
                if not run.resolve().is_relative_to(out.resolve()):
                    raise ValueError(
                        f"{run} is not inside {out}, the study's folder; move it there, or give another -o"
                    )
                runs[run] = records.read(run / "record.json")
    if not runs:
        raise ValueError(f"{', '.join(map(str, folders))}: no finished run (a folder with a record.json)")
    order = {head: number for number, head in enumerate(cost.baselines_first({run.head for run in runs.values()}))}
    return dict(sorted(runs.items(), key=lambda item: (item[1].seed, order[item[1].head], item[0])))


def _is_run(path: Path, on_notice: OnNotice) -> bool:
    kind = records.kind_of(path)
    if kind is None:
        try:
            records.read_json(path, what="a JSON record")
        except ValueError as error:
            raise ValueError(f"{error}; {train_again(path.parent)}") from None
        on_notice(f"{path} is no record of segattn and is left out")
    return kind == "run"


def _heads(runs: dict[Path, records.RunRecord], mode: str) -> list[str]:
    return cost.baselines_first({run.head for run in runs.values() if run.mode == mode})


def _check(runs: dict[Path, records.RunRecord], on_notice: OnNotice) -> None:
    """Raise ValueError unless the runs can stand in one table."""
    (first, record), *others = runs.items()
    for folder, other in others:
        for what, a, b in (
            ("experiment", record.experiment, other.experiment),
            ("data set", record.dataset, other.dataset),
            ("split", record.split, other.split),
        ):
            if a != b and not (what == "data set" and same_data(record, other)):
                raise ValueError(
                    f"{first} is of the {what} {a}, {folder} of {b}; collect them into studies of their own"
                )
        if fault := fingerprint.classes_differ(record.class_names, other.class_names):
            raise ValueError(
                f"{folder} has other classes than {first}: {fault}; collect them into studies of their own"
            )
    _check_data(list(runs))
    seen: dict[str, Path] = {}
    for folder, run in runs.items():
        key = integrity.sha256_of(configuration.to_dict(configuration.from_dict(run.config, allow_modules=None)))
        if key in seen:
            raise ValueError(
                f"{seen[key]} and {folder} are the same run twice ({run.head}, seed {run.seed}); name one of them"
            )
        seen[key] = folder
    precisions = Counter(run.environment.precision for run in runs.values())
    if len(precisions) > 1:
        parts = ", ".join(f"{count} in {precision}" for precision, count in sorted(precisions.items()))
        on_notice(f"The runs were computed in different precisions: {parts}; --precision sets one for all machines")


def _check_data(folders: Sequence[Path]) -> None:
    """Raise ValueError unless the runs that noted a fingerprint of their data noted the same."""
    noted: tuple[Path, dict[str, Any]] | None = None
    for folder in folders:
        path = folder / "config.json"
        raw = integrity.read_json(path) if path.exists() else None
        data = raw.get("data") if isinstance(raw, dict) else None
        if data is None:
            continue
        if noted is None:
            noted = folder, data
        elif fault := fingerprint.difference(noted[1], data):
            raise ValueError(f"{noted[0]} and {folder} were trained on other data: {fault}; collect them separately")


def differing(runs: Iterable[records.RunRecord]) -> list[str]:
    """Paths of the settings in which runs differ beside head, mode and seed.

    Settings that an older version did not have take their defaults.
    """
    plain = [configuration.to_dict(configuration.from_dict(run.config, allow_modules=None)) for run in runs]
    paths = {path for run in plain[1:] for path in fits.changes(plain[0], run)}
    return sorted(paths - _BY_DESIGN)
