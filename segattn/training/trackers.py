"""Trackers of a run: TensorBoard, Weights & Biases and others, which accelerate writes to.

Where a run is tracked is no setting of its experiment: it changes no result and may differ when a run resumes. Rank 0 alone has
trackers. They get the configuration, every point of the log, and the final scores. What a failing tracker misses is told, and
the run goes on: `log.jsonl` has everything.

A run that resumes continues its tracker's run where the tracker can do that by a name known before: TensorBoard (the points after
the checkpoint are purged), Weights & Biases, Trackio, MLflow and Comet. ClearML, Aim and SwanLab start another run of that name.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from accelerate import Accelerator
from accelerate.tracking import AimTracker, GeneralTracker, TensorBoardTracker

from segattn import config as configuration
from segattn import records
from segattn.catalogue import hint
from segattn.config import Experiment
from segattn.records import integrity

NAMES = ("tensorboard", "wandb", "mlflow", "trackio", "clearml", "aim", "comet_ml", "swanlab")
"""Trackers, as accelerate and their packages are called."""
NONE = "none"
"""In place of a tracker: also not TensorBoard, which is written by default where it is installed."""
FILE = "tracking.json"
"""In the run's folder: what the trackers call the run, to continue it."""
_AT_A_TIME = ("tensorboard", "wandb", "aim")
"""Trackers that keep several runs of one process apart."""
_EXTRA = ("tensorboard", "wandb", "trackio")
"""Trackers that the extra `track` installs."""


def check(track: Sequence[str] | None, *, runs: int = 1) -> None:
    """Raise ValueError unless these trackers can be used; nothing is started or written.

    Args:
        track: names of `NAMES`, or `none`; None for TensorBoard if it is installed.
        runs: how many runs this process trains at a time.
    """
    for name in track or ():
        if name not in (*NAMES, NONE):
            near = hint(name, NAMES, most=1)
            raise ValueError(f"unknown tracker {name!r}; {near}Trackers: {', '.join(NAMES)}, or {NONE}")
        if name == NONE and len(set(track or ())) > 1:
            raise ValueError(f"--track {NONE} with another tracker; give one or the other")
        if name != NONE and not _installed(name):
            package = "segattn[track]" if name in _EXTRA else name
            raise ValueError(f"tracker {name} is not installed; pip install '{package}', or choose another --track")
        if name not in (*_AT_A_TIME, NONE) and runs > 1:
            raise ValueError(
                f"tracker {name} has one run in a process, and {runs} heads are trained side by side; "
                f"use one of {', '.join(_AT_A_TIME)}, or raise --features-limit"
            )
        if name == "wandb" and int(os.environ.get("RANK", "0")) == 0:
            _check_wandb()


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _check_wandb() -> None:
    import wandb

    asks = "prompt" not in inspect.signature(wandb.login).parameters  # an older version, which cannot but ask
    if not asks and wandb.setup().settings.mode == "online" and not wandb.login(prompt=False):
        raise ValueError("tracker wandb: not logged in; run `wandb login`, or set WANDB_MODE=offline to sync later")


class Trackers:
    """The trackers of one run; without any by default.

    Args:
        config: of the run, for the trackers' lists of settings.
        out: the run's folder, whose name is the tracker run's.
        on_notice: called with a line when a tracker fails after its start.
    """

    def __init__(
        self,
        accelerator: Accelerator | None = None,
        config: Experiment | None = None,
        out: Path = Path(),
        on_notice: Callable[[str], object] = print,
    ) -> None:
        self.accelerator, self.config, self.out, self.on_notice = accelerator, config, out, on_notice
        self.running: list[GeneralTracker] = []
        self.known: dict[str, str] = {}

    def begin(self, track: Sequence[str] | None, *, resumed: bool) -> None:
        """Start all trackers but TensorBoard, before anything else of the run is written.

        Raises:
            ValueError: one of them cannot be started; none is left running.
        """
        names = [name for name in dict.fromkeys(track or ()) if name not in ("tensorboard", NONE)]
        if self.accelerator is None or self.config is None or not names:
            return
        self.known = _known(self.out / FILE) if resumed else {}
        self.known.setdefault("id", uuid.uuid4().hex)
        settings = _settings(self.config)
        project = "segattn-" + (re.sub(r"[^\w.-]+", "-", self.config.name, flags=re.ASCII).strip("-.") or "run")
        options = _options(self.out.resolve().name, self.known, settings, resumed=resumed)
        self.accelerator.trackers = []
        # Aim's place is the working directory, as with its own command; accelerate has one place for all trackers.
        self.accelerator.log_with = [AimTracker(project, ".") if name == "aim" else name for name in names]
        try:
            self.accelerator.init_trackers(project, init_kwargs={name: options.get(name, {}) for name in names})
            self.running = list(self.accelerator.trackers)
            for tracker in self.running:
                if tracker.name not in _OWN_CONFIG:
                    tracker.store_init_configuration(settings)
                _after_start(tracker, self.out.resolve().name, self.known)
        except Exception as error:  # of any package, for any reason
            self.running = self.running or list(self.accelerator.trackers)
            self.close()
            raise ValueError(
                f"the run cannot be tracked by {' and '.join(names)}: {integrity.one_line(error)}"
            ) from error

    def write(self, track: Sequence[str] | None, *, start: int) -> None:
        """Start TensorBoard in the run's folder, and keep the names by which a resumed run is found again.

        Points after iteration `start`, which an interrupted process wrote, are purged.

        Raises:
            ValueError: the folder cannot be written.
        """
        if self.known:
            try:
                records.write_bytes(json.dumps(self.known).encode() + b"\n", self.out / FILE)
            except OSError as error:
                raise ValueError(f"{self.out / FILE} cannot be written: {error.strerror or error}") from error
        if "tensorboard" in (["tensorboard"] if track is None else track) and _installed("tensorboard"):
            board = TensorBoardTracker("tensorboard", str(self.out), purge_step=start + 1)
            board.start()
            self.running.append(board)
            if start == 0 and self.config is not None:
                _store(_settings(self.config), board)

    def log(self, values: Mapping[str, float], iteration: int) -> None:
        """Give values to all trackers; one that fails is told of and left out from then on."""
        for tracker in list(self.running):
            try:
                tracker.log(dict(values), step=iteration)
            except Exception as error:  # of any package, for any reason
                self.running.remove(tracker)
                self.on_notice(
                    f"tracker {tracker.name} failed at iteration {iteration} and is left out: {integrity.one_line(error)}; "
                    "the run goes on, and log.jsonl has everything"
                )

    def scores(self, record: records.RunRecord) -> None:
        """The final scores: mean IoU, accuracies, and the IoU of each class."""
        scores = record.scores
        values = {f"final/{name}": getattr(scores, name) for name in ("mean_iou", "pixel_accuracy", "mean_accuracy")}
        for name, iou in zip(record.class_names, scores.iou, strict=True):
            if iou is not None:
                values["final/iou/" + re.sub(r"[^\w ./-]", "_", name, flags=re.ASCII)] = iou
        self.log(values, record.iterations)

    def close(self) -> None:
        """End all trackers, which may wait until everything is sent."""
        running, self.running = self.running, []
        for tracker in running:
            with suppress(Exception):  # what is not sent by now is in the log
                tracker.finish()


def _store(settings: dict[str, Any], board: TensorBoardTracker) -> None:
    """TensorBoard's table of settings, and the same as a file. Accelerate would make two folders named by the time."""
    from torch.utils.tensorboard.summary import hparams

    for summary in hparams(settings, {}):
        board.writer.file_writer.add_summary(summary)
    records.write_bytes(yaml.safe_dump(settings).encode(), Path(board.logging_dir) / "hparams.yml")


_OWN_CONFIG = ("wandb", "trackio")
"""Trackers that take the configuration at their start: accelerate stores it in a module's variable, which of several runs is that
of another one, and adds a setting of its own."""


def _options(
    name: str, known: Mapping[str, str], settings: dict[str, Any], *, resumed: bool
) -> dict[str, dict[str, Any]]:
    """What each tracker's own start takes."""
    return {
        "wandb": {"name": name, "id": known["id"], "resume": "allow", "reinit": "create_new", "config": settings},
        "trackio": {"name": name, "resume": "allow" if resumed else "never", "config": settings, "embed": False},
        "mlflow": {"run_name": name, "run_id": known.get("mlflow")},
        "clearml": {"task_name": name},
        "comet_ml": {"experiment_key": known["id"]},
        "swanlab": {"experiment_name": name},
    }


def _after_start(tracker: GeneralTracker, name: str, known: dict[str, str]) -> None:
    """Names that a tracker gives or takes only once it runs."""
    if tracker.name == "mlflow":
        known["mlflow"] = tracker.tracker.info.run_id
    elif tracker.name == "comet_ml":
        tracker.tracker.set_name(name)
    elif tracker.name == "aim":
        tracker.tracker.name = name


def _known(path: Path) -> dict[str, str]:
    """What the trackers call a run; {} where that is not known, so that they start another one."""
    try:
        names = integrity.read_json(path)
    except ValueError:
        return {}
    return {name: value for name, value in names.items() if isinstance(value, str)} if isinstance(names, dict) else {}


def _settings(config: Experiment) -> dict[str, Any]:
    """The configuration as the command line names it, `optimization.lr`; lists and None as text, which every tracker takes."""
    flat: dict[str, Any] = {}

    def add(prefix: str, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, dict) and value:
                add(f"{prefix}{name}.", value)
            else:
                plain = isinstance(value, bool | int | float | str)
                flat[prefix + name] = value if plain else json.dumps(value)

    add("", configuration.to_dict(config))
    return flat
