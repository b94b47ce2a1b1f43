"""What a finished run records of its mechanism: the accuracy without it, per image too, and the learnt gates."""

import numpy as np
import pytest

from segattn import checkpoint, records
from segattn.data.splits import open_split
from segattn.evaluation.evaluate import evaluate
from segattn.evaluation.without_attention import evaluate_without, learnt_gates
from segattn.training.train import train
from tests import tiny

pytestmark = pytest.mark.slow


def scored_again(run, config):
    """The saved network without its mechanism, evaluated as the experiment says."""
    model = checkpoint.load_model(run)
    data = open_split(config.data, config.data.val_split, config.data.val_images)
    return model, evaluate_without(model, lambda: evaluate(model, data, config.evaluation, strata=True))


@pytest.mark.parametrize(
    ("head", "mode", "replacement", "gates"),
    [("ccnet", "faithful", "identity", ["gamma"]), ("reconet", "controlled", "mean", [])],
)
def test_record_has_the_scores_without_the_mechanism_and_the_gates(head, mode, replacement, gates, tmp_path):
    config = tiny.experiment(head, model={"mode": mode}, optimization={"ema_decay": 0.5})  # the average is evaluated
    written = train(config, tmp_path, device="cpu")
    record = records.read(tmp_path / "record.json")
    assert record == written
    model, again = scored_again(tmp_path, config)
    kept = record.without_attention
    assert kept.replacement == replacement
    assert (kept.mean_iou, kept.iou) == (again.scores.mean_iou, again.scores.iou)
    assert kept.boundary_mean_iou == again.strata.boundary_mean_iou
    assert list(kept.sizes.values()) == [stratum.mean_iou for stratum in again.strata.sizes]
    assert list(record.gates) == gates
    assert record.gates == learnt_gates(model)
    with np.load(tmp_path / "per_image.npz") as counts:
        assert np.array_equal(counts["confusion_without"], again.per_image)
        assert counts["confusion"].sum(0).tolist() == record.scores.confusion


@pytest.mark.parametrize(
    ("head", "settings", "gates"),
    [("fcn", {}, {}), ("ccnet", {"without_attention": False}, {"gamma"}), ("emanet", {"strata": False}, {})],
)
def test_scores_without_the_mechanism_are_there_where_there_is_one_and_they_are_chosen(head, settings, gates, tmp_path):
    record = train(tiny.experiment(head, evaluation=settings), tmp_path, device="cpu")
    assert set(record.gates) == set(gates)
    with np.load(tmp_path / "per_image.npz") as counts:
        assert ("confusion_without" in counts) == (head == "emanet")
    if head == "emanet":
        assert (record.without_attention.boundary_mean_iou, record.without_attention.sizes) == (None, {})
    else:
        assert record.without_attention is None


def test_the_second_evaluation_changes_nothing_else(tmp_path):
    both, one = (
        train(tiny.experiment("danet", evaluation={"without_attention": chosen}), tmp_path / str(chosen), device="cpu")
        for chosen in (True, False)
    )
    assert (both.scores, both.curve, both.strata) == (one.scores, one.curve, one.strata)
    assert both.without_attention is not None


@pytest.mark.parametrize("head", ["fcn", "ccnet", "isanet"])
def test_progress_of_the_last_evaluation_never_goes_back(head, tmp_path):
    shares = []

    def on_progress(progress):
        if progress.stage == "evaluate":
            shares.append(progress.done / progress.total)

    train(tiny.experiment(head, validate_every=0), tmp_path, device="cpu", on_progress=on_progress)
    assert shares == sorted(shares)
    assert shares[-1] == 1
