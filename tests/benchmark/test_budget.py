"""Which networks are within a budget, and in which order."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from segattn.benchmark import budget
from segattn.benchmark.budget import Network, NothingFits, Recorded
from segattn.cost import network_cost
from tests.report import fabricate


def own(mean_iou):
    return Recorded(mean_iou, 1, "mine", "faithful", (65, 65), 7)


def costs(head, backbone, stride):
    return {"fcn": 2.0, "ccnet": 3.0, "danet": 5.0, "emanet": 7.0}[head] + (10.0 if backbone == "resnet101" else 0.0)


HEADS = ("emanet", "danet", "ccnet", "fcn")


def within(limit, *, recorded=None, others=None):
    return budget.within(
        limit,
        costs,
        HEADS,
        recorded=recorded or {},
        others=others or {},
        backbones=("resnet18", "resnet101"),
        output_strides=(8,),
    )


def test_only_what_costs_at_most_the_limit():
    assert [(network.head, network.cost) for network in within(5.0)] == [("fcn", 2.0), ("ccnet", 3.0), ("danet", 5.0)]


def test_own_records_come_first_then_published_ones_then_the_rest_by_cost():
    row = budget.published_by_others("cityscapes")["danet", "resnet101", 8]
    recorded = {("emanet", "resnet18", 8): own(0.31), ("danet", "resnet18", 8): own(0.37)}
    others = {("ccnet", "resnet18", 8): row, ("emanet", "resnet18", 8): row}
    networks = within(9.0, recorded=recorded, others=others)
    assert [network.head for network in networks] == ["danet", "emanet", "ccnet", "fcn"]


def test_nothing_within_the_limit_names_the_cheapest():
    with pytest.raises(NothingFits) as raised:
        within(1.0)
    assert raised.value.least == Network("fcn", "resnet18", 8, 2.0)


def test_cost_is_that_of_the_ledger():
    cost = budget.counted("flops", (65, 65), 5, "faithful")
    expected = network_cost("fcn", input_size=(65, 65), num_classes=5, backbone="resnet18", output_stride=16)
    assert cost("fcn", "resnet18", 16) == expected.network.flops


# Records -------------------------------------------------------------------------------------------------------------------
def test_best_published_row_of_each_network_at_one_scale():
    rows = budget.published_by_others("Cityscapes")
    best = rows["non_local", "resnet101", 8]
    assert (best.mean_iou, best.crop, best.source) == (pytest.approx(0.7940), "769×769", "mmsegmentation")
    assert ("fcn", "resnet101", 16) in rows
    assert not [key for key in rows if not key[1].startswith("resnet")]


@pytest.mark.parametrize("written", ["HRNet_W18", "R-50b-D8"])
def test_backbones_that_are_not_ours_are_left_out(written):
    assert budget.backbone_of(written) is None


def run(
    head="danet", *, seed=0, experiment="mine", backbone="resnet18", mean_iou=0.31, dataset="streets", mode="faithful",
    lr=0.01,
):  # fmt: skip
    return SimpleNamespace(
        head=head,
        seed=seed,
        experiment=experiment,
        dataset=dataset,
        mode=mode,
        iterations=160,
        scores=SimpleNamespace(mean_iou=mean_iou),
        config={
            "model": {"backbone": backbone, "output_stride": 8},
            "augmentation": {"crop_size": [97, 193]},
            "optimization": {"lr": lr},
            "data": {"root": f"/data/{seed}"},
            "seed": seed,
        },
    )


def test_seeds_are_averaged_and_the_best_experiment_counts():
    runs = [
        run(mean_iou=0.30),
        run(seed=1, mean_iou=0.34),
        run(experiment="other", mean_iou=0.31),
        run(backbone="resnet50", mean_iou=0.41),
        run(dataset="camvid", mean_iou=0.7),
        run(mode="controlled", mean_iou=0.8),
    ]
    best = budget.recorded_here(runs, "Streets", "faithful")
    assert best["danet", "resnet18", 8] == Recorded(pytest.approx(0.32), 2, "mine", "faithful", (97, 193), 160)
    assert best["danet", "resnet50", 8].mean_iou == pytest.approx(0.41)
    assert len(best) == 2


def test_protocols_under_one_name_are_not_averaged():
    runs = [run(mean_iou=0.30, lr=0.01), run(mean_iou=0.40, lr=0.02), run(seed=1, mean_iou=0.42, lr=0.02)]
    (best,) = budget.recorded_here(runs, "streets", "faithful").values()
    assert (best.mean_iou, best.seeds) == (pytest.approx(0.41), 2)
    assert best.differs == "optimization.lr=0.02"


def test_a_seed_twice_under_the_same_settings_is_refused_with_the_folders():
    with pytest.raises(
        ValueError, match=r"danet \(faithful\) of mine has seed 3 2 times under the same settings: a, b; give"
    ):
        budget.recorded_here([run(seed=3), run(seed=3)], "streets", "faithful", [Path("a"), Path("b")])


def test_a_run_that_two_folders_hold_is_read_once(tmp_path):
    from tests.report import fabricate

    fabricate.run("ccnet", 0, tmp_path / "study" / "a", images=0)
    runs = budget.run_records(tmp_path, tmp_path / "study", tmp_path / "study" / "a")
    assert [record.head for record in runs.values()] == ["ccnet"]
    assert list(runs) == [tmp_path / "study" / "a"]


def test_folder_without_records_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"no run records \(record.json\) in it"):
        budget.run_records(tmp_path)


def test_hidden_folders_have_no_records_of_runs(tmp_path):
    fabricate.run("fcn", 0, tmp_path / "study/fcn")
    fabricate.run("fcn", 0, tmp_path / "study/.ipynb_checkpoints/fcn")
    assert len(budget.run_records(tmp_path)) == 1
    hidden = tmp_path / ".cache"
    fabricate.run("fcn", 0, hidden / "fcn")
    assert len(budget.run_records(hidden)) == 1
