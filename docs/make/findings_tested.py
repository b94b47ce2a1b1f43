"""Score every run of a head-only study on the test split: python -m docs.make.findings_tested STUDY [--images N]

Writes RUN/test.json, which docs.make.findings_records packs, as `segattn evaluate RUN --split test --images N -o RUN/test.json`
does for one run; but the maps of the frozen backbone are computed once for all runs, and rounded as those that the study stores.
A run that is tested already is left as it is.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from docs.make.findings_records import TESTED
from segattn import checkpoint, records
from segattn.data.splits import open_data
from segattn.evaluation.evaluate import evaluate
from segattn.training.features import compute, plan_features

SPLIT = "test"


def score_runs(study: Path, images: int | None = None) -> list[Path]:
    """The scores of every finished run that had none, by default of as many images as the study validates on.

    Raises:
        ValueError: no finished run; the runs do not share one frozen backbone.
    """
    finished = sorted(path.parent for path in study.glob("*/record.json"))
    if not finished:
        raise ValueError(f"{study}: no finished run")
    left = [run for run in finished if not (run / TESTED).exists()]
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
