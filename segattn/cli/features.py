"""`segattn data features`: the maps of a frozen backbone, computed once for all heads and seeds of a head-only study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from segattn.cli import next_step, terminal
from segattn.cli.arguments import check_modules, experiment_and_rest, head_names, parse, with_experiment
from segattn.cli.experiment_options import WITHOUT_HEAD
from segattn.cli.values import Device, Modules
from segattn.config import with_head


@dataclass(frozen=True, kw_only=True)
class FeaturesArguments:
    """Compute and store the frozen backbone's maps that the heads of a head-only study read. Resumable: complete parts are kept.
    The same command, started several times, also on machines that share the folder, shares the work.

        segattn data features quick --dry-run
        segattn data features quick -o features

    `segattn study` does this by itself; use this command to do it beforehand, or with several processes.
    """

    heads: tuple[str, ...] = ("study",)
    """Heads that will read the maps, as in `segattn study`: only the stages that they need are stored."""
    out: Path | None = None
    """Folder for the maps; by default runs/EXPERIMENT/features, where `segattn study` looks."""
    workers: int = 1
    """Processes that share the work."""
    dry_run: bool = False
    """Only print what would be stored, and its size."""
    device: Device = "auto"
    """auto: the GPU if there is one."""
    allow_module: Modules = ()
    """Import this module, or the modules of this package, where EXPERIMENT is a file that names one of yours."""


def run(arguments: Sequence[str]) -> int:
    """Run `segattn data features` with these words."""
    name, rest = experiment_and_rest(arguments, command="data features", about=FeaturesArguments.__doc__)
    options = with_experiment(FeaturesArguments, name)
    chosen: Any = parse(
        options, rest, command=f"data features {name}", description=FeaturesArguments.__doc__, details=WITHOUT_HEAD
    )
    if chosen.workers < 1:
        raise ValueError(f"--workers {chosen.workers}: at least 1")
    check_modules(
        with_head(chosen.config, "fcn", seed=0), name, chosen.allow_module, rest
    )  # heads are those of --heads
    _run(chosen, name, rest)
    return 0


def _run(chosen: Any, name: str, words: Sequence[str]) -> None:
    from segattn.data.features import size_text
    from segattn.data.splits import open_data
    from segattn.study.features import free_bytes
    from segattn.study.run import study_name
    from segattn.training.features import compute_with, plan_features

    config, console = chosen.config, terminal.console()
    runs = [with_head(config, head, seed=config.seed) for head in head_names(chosen.heads)]
    root = chosen.out or Path("runs") / study_name(config) / "features"
    plan = plan_features(runs, open_data(config.data), root, device=chosen.device)
    state = "complete" if plan.is_complete else f"{size_text(plan.missing_bytes)} to be computed"
    console.print(f"{plan.describe()}, {state}", highlight=False, markup=False, soft_wrap=True)
    if chosen.dry_run or plan.is_complete:
        return
    if (free := free_bytes(root)) < plan.missing_bytes:
        raise ValueError(
            f"{size_text(plan.missing_bytes)} are needed and {size_text(free)} are free in {root}; choose another --out, fewer "
            "--features.copies, or let segattn study train the heads side by side"
        )
    with _progress(console) as on_sample:
        compute_with(chosen.workers, plan, runs, root, device=chosen.device, on_sample=on_sample)
    console.print(f"complete: {plan.folder}", highlight=False, markup=False, soft_wrap=True)
    where = [] if chosen.out is None else ["--features", str(chosen.out)]
    next_step.with_words(console, ["study", name], words, without={"--out": 1, "-o": 1, "--workers": 1}, more=where)


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int, int], object]]:
    """A bar in a terminal, a few lines elsewhere."""
    from segattn.cli.progress import Reporter
    from segattn.study.run import Position
    from segattn.training import run

    if not console.is_terminal:
        reporter = Reporter(console, None)
        yield lambda done, total: reporter(Position(0, 1, "features", run.Progress("features", done, total)))
        return
    columns = (terminal.Words("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("samples", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
