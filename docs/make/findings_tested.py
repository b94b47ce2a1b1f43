"""Score every run of a head-only study on the test split: python -m docs.make.findings_tested STUDY [--images N]

Writes RUN/test.json, which docs.make.findings_records packs, as `segattn evaluate RUN --split test --images N -o RUN/test.json`
does for one run; but the maps of the frozen backbone are computed once for all runs, and rounded as those that the study stores.
A run that is tested already, on as many images and since it was trained, is left as it is.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from docs.make.findings_records import TESTED, is_stale
from segattn import checkpoint, records
from segattn.data.splits import open_data
from segattn.evaluation.evaluate import evaluate
from segattn.training.features import compute, plan_features

SPLIT = "test"


def score_runs(study: Path, images: int | None = None) -> list[Path]:
    """The scores of every finished run that had none of so many images, by default as many as the study validates on.

    Raises:
        ValueError: no finished run; the runs do not share one frozen backbone.
    """
    finished = sorted(path.parent for path in study.glob("*/record.json"))
    if not finished:
        raise ValueError(f"{study}: no finished run")
    left = [run for run in finished if not _is_tested(run, images)]
    if tested := len(finished) - len(left):
        print(f"{tested} of {len(finished)} runs are tested already", flush=True)
    models = [checkpoint.load_model(run) for run in left]
    experiments = [model.experiment for model in models if model.experiment is not None]
    if not experiments:
        return []
    data = experiments[0].data
    tested_on = replace(data, val_split=SPLIT, val_images=images or data.val_images)
    opened = open_data(tested_on)
    on_test = [replace(experiment, data=tested_on) for experiment in experiments]
    plan = plan_features(on_test, opened, study / "features", device="cpu").without_train()
    items = compute(plan).val
    for run, model, experiment in zip(left, models, experiments, strict=True):
        scores = evaluate(model, opened[1], experiment.evaluation, items=items).scores
        records.write({"split": SPLIT, **vars(scores)}, run / TESTED)
        print(f"{run.name}: mIoU {scores.mean_iou:.2%} on {scores.num_images} images", flush=True)
    return [run / TESTED for run in left]


def _is_tested(run: Path, images: int | None) -> bool:
    """Whether the run's scores are of so many images, where that is asked for, and younger than its network."""
    path = run / TESTED
    if not path.exists() or is_stale(run):
        return False
    scores = records.read_json(path)
    return isinstance(scores, dict) and scores.get("split") == SPLIT and images in (None, scores.get("num_images"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, metavar="STUDY", help="folder of a head-only study")
    parser.add_argument("--images", type=int, metavar="N", help="images of the split; by default as in the study")
    chosen = parser.parse_args()
    if chosen.images is not None and chosen.images < 1:
        parser.error(f"--images {chosen.images}: at least 1")
    try:
        score_runs(chosen.study, chosen.images)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
