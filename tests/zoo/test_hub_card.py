"""The card of a run has what is recorded, escaped, and nothing else."""

import numpy as np
import pytest
import yaml

from segattn import checkpoint, create_model
from segattn.zoo import hub_card
from tests import tiny
from tests.report import fabricate


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder with a network, a record and counts of each image."""
    folder = tmp_path_factory.mktemp("runs") / "ccnet"
    fabricate.run("ccnet", 3, folder)
    model = create_model(
        "ccnet", num_classes=19, backbone="resnet18", head_options={"channels": 8}, backbone_options={"width": 8}
    )
    names = [name for name, *_ in fabricate.CLASSES]
    colours = [colour for _, colour, *_ in fabricate.CLASSES]
    experiment = tiny.experiment("ccnet", data={"name": "cityscapes"})
    return checkpoint.save_model(model, folder, experiment=experiment, class_names=names, palette=colours)


def test_card_has_scores_interval_protocol_cost_and_classes(run, tmp_path):
    record = fabricate.run("ccnet", 3, tmp_path / "again")
    page = (checkpoint.save_pretrained(run, tmp_path / "shared") / "README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(page.split("---\n")[1])
    assert header["library_name"] == "segattn"
    assert "license" not in header
    (result,) = header["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "mean_iou", "name": "mIoU", "value": round(record.scores.mean_iou, 6)}]
    assert (result["dataset"]["name"], result["dataset"]["split"]) == ("streets", "val")
    plain = " ".join(page.split())
    with np.load(run / "per_image.npz") as file:
        low, high = hub_card.interval(file["confusion"])
    assert low < record.scores.mean_iou < high
    assert (
        f"{100 * record.scores.mean_iou:.2f} % on 53 images of streets val; 95 % interval over images {100 * low:.2f}"
        in plain
    )
    assert "5 iterations of 2 crops of 32x48, sgd, learning rate 0.05, seed 0" in plain
    assert f"network {record.cost.network.macs / 1e9:.2f}, head {record.cost.head_total.macs / 1e9:.2f}" in plain
    for name, iou in zip(record.class_names, record.scores.iou, strict=True):
        assert f"* **{name}**: {100 * iou:.1f} %" in page
    assert "not stated; the terms of the data may restrict the use" in plain


def test_in_memory_network_has_the_scores_of_the_run_with_its_weights(run, tmp_path):
    model = checkpoint.load_model(run)
    page = (model.save_pretrained(tmp_path / "shared", record=run, licence="mit") / "README.md").read_text(
        encoding="utf-8"
    )
    assert "**mIoU**" in page
    assert "**licence of the weights**: mit" in page
    assert "**mIoU**" not in (model.save_pretrained(tmp_path / "plain") / "README.md").read_text(encoding="utf-8")


def facts(**changes):
    raw = {"model": {"head": "mylab.tenth", "mode": "faithful", "backbone": "resnet18", "output_stride": 8},
           "data": {"name": "voc"}, "seed": 0, "augmentation": {"crop_size": [32, 48]},
           "optimization": {"iterations": 5, "batch_size": 2, "optimizer": "sgd", "lr": 0.1}}  # fmt: skip
    settings = {"where": "my net's", "experiment": raw, "class_names": ["a"], "parameters": 1_234_567}
    return hub_card.Shared(**(settings | changes))


def test_card_of_a_network_without_a_record_says_so_and_names_the_module_and_the_terms():
    page = hub_card.page(facts())
    assert "No scores are recorded for these weights." in page
    assert "allow_modules=('mylab',)" in page
    assert "--allow-module mylab" in page
    assert "segattn predict 'my net'\\''s' PHOTO -o OUT" in page
    assert hub_card.TERMS["voc"] in page
    assert "1.23 M" in page


def test_texts_of_files_are_escaped():
    page = hub_card.page(facts(licence="<script>alert(1)</script>\n# heading | `x`"))
    below = page.split("---\n", 2)[2]
    assert "<script>" not in below
    assert "\n# heading" not in below
    assert "\\|" in below


def test_interval_of_images_that_are_alike_is_their_score():
    confusion = np.tile(np.array([[6, 2], [2, 10]]), (12, 1, 1))
    expected = (6 / 10 + 10 / 14) / 2
    assert hub_card.interval(confusion, resamples=50) == pytest.approx((expected, expected))
    assert hub_card.interval(confusion[:9]) is None


def test_interval_is_that_of_a_loop_over_resamples():
    rng = np.random.default_rng(3)
    confusion = rng.integers(0, 50, (11, 3, 3))
    confusion[:, 2, :] = confusion[:, :, 2] = 0  # a class that does not occur
    draws = np.random.default_rng(0).integers(0, 11, (200, 11))
    scores = []
    for images in draws:
        total = confusion[images].sum(0)
        scores.append(np.mean([total[k, k] / (total[k].sum() + total[:, k].sum() - total[k, k]) for k in (0, 1)]))
    assert hub_card.interval(confusion, resamples=200) == pytest.approx(tuple(np.percentile(scores, [2.5, 97.5])))
