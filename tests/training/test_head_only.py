"""Head-only training: stored maps, maps computed on the fly and heads side by side agree to the last bit."""

import dataclasses
import functools
import json
import os
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from docs.make import findings_tested
from segattn import checkpoint, heads, records
from segattn.data.features import StoredFeatures
from segattn.data.splits import open_data, open_split
from segattn.evaluation.evaluate import evaluate
from segattn.training import frozen, snapshots
from segattn.training.checks import check
from segattn.training.features import compute, plan_features
from segattn.training.interruption import Interrupted
from segattn.training.together import train_side_by_side
from segattn.training.train import train
from tests import tiny


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    """A trained controlled FCN."""
    out = tmp_path_factory.mktemp("trunk") / "fcn"
    config = tiny.experiment(model={"mode": "controlled"}, validate_every=0, optimization={"iterations": 3})
    train(config, out, device="cpu")
    return out


def head_only(trunk, head="ccnet", **changes):
    model = {"mode": "controlled", "pretrained": str(trunk), "init_head": "trunk", **changes.pop("model", {})}
    optimization = {"train": "head", "iterations": 4, **changes.pop("optimization", {})}
    return tiny.experiment(
        head, model=model, optimization=optimization, validate_every=2, checkpoint_every=2, **changes
    )


def weights(run):
    return load_file(run / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def losses(run):
    return [(point.loss, point.mean_iou) for point in records.read(run / "record.json").curve]


def agree_in_three_ways(runs, opened, stored, folder, **options):
    """Train each run from stored maps (with `options`), from maps on the fly, and all side by side: the same to the last bit."""
    for run in runs:
        train(run, folder / "stored" / run.model.head, device="cpu", opened=opened, stored=stored, **options)
        train(run, folder / "fly" / run.model.head, device="cpu")
    train_side_by_side([(run, folder / "side" / run.model.head) for run in runs], opened=opened, device="cpu")
    for run in runs:
        folders = [folder / way / run.model.head for way in ("stored", "fly", "side")]
        assert same(weights(folders[0]), weights(folders[1]))
        assert same(weights(folders[0]), weights(folders[2]))
        assert losses(folders[0]) == losses(folders[1]) == losses(folders[2])


def test_the_backbone_is_not_changed_and_the_head_is(trunk, tmp_path):
    train(head_only(trunk), tmp_path / "run", device="cpu")
    before, after = weights(trunk), weights(tmp_path / "run")
    backbone = [name for name in after if name.startswith("backbone.")]
    assert backbone == [name for name in before if name.startswith("backbone.")]
    assert all(torch.equal(before[name], after[name]) for name in backbone)  # statistics of norms too
    assert not torch.equal(before["head.sandwich.reduce.conv.weight"], after["head.sandwich.reduce.conv.weight"])


def test_there_is_no_auxiliary_head_and_no_momentum_of_the_backbone(trunk, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(snapshots, "save_snapshot", lambda snapshot, *a, **k: saved.append(snapshot))
    train(head_only(trunk), tmp_path / "run", device="cpu")
    assert not any(name.startswith("auxiliary.") for name in weights(tmp_path / "run"))
    assert saved
    assert all(name.startswith("head.") for name in saved[-1].optimizer)
    assert checkpoint.load_model(tmp_path / "run").auxiliary is None  # the folder reads back


def test_the_head_starts_from_the_trunks_convolutions(trunk, tmp_path):
    notices = []
    train(
        head_only(trunk, optimization={"iterations": 1, "lr": 1e-12}),
        tmp_path / "run",
        device="cpu",
        on_notice=notices.append,
    )
    before, after = weights(trunk), weights(tmp_path / "run")
    sandwich = [
        name for name in after if name.startswith("head.sandwich.") and not name.endswith(("mean", "var", "tracked"))
    ]
    assert sandwich
    assert all(torch.allclose(before[name], after[name]) for name in sandwich)
    assert notices == [f"backbone from {trunk}; head: sandwich from there, attention at random"]


def test_stored_maps_maps_on_the_fly_and_heads_side_by_side_agree_to_the_last_bit(trunk, tmp_path):
    runs = [head_only(trunk, head) for head in ("fcn", "ccnet", "denoised_nl", "isanet")]
    opened = open_data(runs[0].data)
    stored = compute(plan_features(runs, opened, tmp_path / "features", device="cpu"))
    agree_in_three_ways(runs, opened, stored, tmp_path)


def test_labels_are_counted_once_for_stored_maps_in_all_processes(trunk, tmp_path):
    run = head_only(trunk, optimization={"class_balance": "log", "iterations": 1})
    notices = []
    for number in range(2):  # data sets that no other run has opened, as in another process
        opened = open_data(run.data)
        stored = compute(plan_features([run], opened, tmp_path / "features", device="cpu"))
        out = tmp_path / f"run{number}"
        told = functools.partial(lambda at, text: notices.append((at, text)), number)
        train(run, out, device="cpu", opened=opened, stored=stored, on_notice=told)
    counted = [at for at, text in notices if "counting the labels" in text]
    assert counted == [0]
    assert same(weights(tmp_path / "run0"), weights(tmp_path / "run1"))
    fewer = dataclasses.replace(run, data=dataclasses.replace(run.data, train_images=1))
    assert plan_features([fewer], open_data(fewer.data), tmp_path / "features", device="cpu").folder != stored.folder


def test_a_head_without_gates_is_named_before_maps_are_computed(trunk, tmp_path):
    runs = [head_only(trunk, head, optimization={"freeze": "gates"}) for head in ("ccnet", "emanet")]
    with pytest.raises(ValueError, match="names gates, but head emanet has none"):
        plan_features(runs, open_data(runs[0].data), tmp_path / "features", device="cpu")
    with_gates = [runs[0], head_only(trunk, "ccnet")]
    first, second = (
        plan_features(each, open_data(runs[0].data), tmp_path, device="cpu") for each in (with_gates, with_gates[::-1])
    )
    assert first.folder == second.folder  # the maps are the same


def test_runs_of_a_study_are_scored_on_the_test_split_from_maps_computed_once(trunk, tmp_path):
    study = tmp_path / "study"
    for head in ("fcn", "ccnet"):
        train(head_only(trunk, head, optimization={"iterations": 1}), study / f"{head}-controlled-s0", device="cpu")
    written = findings_tested.score_runs(study, 7)
    (maps,) = (study / "features").iterdir()
    assert not list(maps.glob("train-*"))  # only the test split is computed
    for path in written:
        model = checkpoint.load_model(path.parent)
        data = dataclasses.replace(model.experiment.data, val_split="test", val_images=7)
        expected = evaluate(model, open_split(data, "test", 7), model.experiment.evaluation).scores
        scores = json.loads(path.read_text())
        assert (scores["split"], scores["num_images"]) == ("test", 7)
        assert scores["mean_iou"] == pytest.approx(expected.mean_iou, abs=0.005)  # maps are stored in bf16
    assert [path.parent.name for path in written] == ["ccnet-controlled-s0", "fcn-controlled-s0"]
    assert findings_tested.score_runs(study) == findings_tested.score_runs(study, 7) == []  # once
    assert not findings_tested._is_tested(written[0].parent, 9)
    os.utime(written[0], (0, 0))  # older than its network
    assert findings_tested.score_runs(study, 7) == written[:1]
    with pytest.raises(ValueError, match="no finished run"):
        findings_tested.score_runs(tmp_path)


def test_heads_side_by_side_with_adamw_are_those_trained_alone(trunk, tmp_path):
    adamw = {"optimizer": "adamw", "lr": 1e-3, "min_lr": 0.0, "clip_norm": 0.1, "loss": "ce + dice", "iterations": 2}
    runs = [head_only(trunk, head, optimization=adamw) for head in ("fcn", "ccnet")]
    for run in runs:
        train(run, tmp_path / "alone" / run.model.head, device="cpu")
    sides = [(run, tmp_path / "side" / run.model.head) for run in runs]
    train_side_by_side(sides, opened=open_data(runs[0].data), device="cpu")
    for run in runs:
        assert same(weights(tmp_path / "alone" / run.model.head), weights(tmp_path / "side" / run.model.head))


def test_side_by_side_resumes_and_ends_the_same(trunk, tmp_path):
    runs = [head_only(trunk, head) for head in ("fcn", "ccnet", "emanet")]
    opened = open_data(runs[0].data)
    whole = [(run, tmp_path / "whole" / run.model.head) for run in runs]
    train_side_by_side(whole, opened=opened, device="cpu")
    parts = [(run, tmp_path / "parts" / run.model.head) for run in runs]

    def stop(index, progress):
        if index == 1 and progress.stage == "train" and progress.done == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train_side_by_side(parts, opened=opened, device="cpu", on_progress=stop)
    reached = [snapshots.latest_iteration(out) for _, out in parts]
    assert reached == [3, 3, 2]  # the third run had not had its turn
    train_side_by_side(parts, opened=opened, device="cpu")
    for (_, a), (_, b) in zip(whole, parts, strict=True):
        assert same(weights(a), weights(b))
        assert losses(a) == losses(b)


def test_stored_features_are_used_again_only_for_the_same_thing(trunk, tmp_path):
    run = head_only(trunk)
    opened = open_data(run.data)
    plan = plan_features([run], opened, tmp_path, device="cpu")
    compute(plan)
    assert plan_features([run], opened, tmp_path, device="cpu").is_complete
    assert plan_features([dataclasses.replace(run, seed=7)], opened, tmp_path, device="cpu").is_complete
    assert plan_features([head_only(trunk, "danet")], opened, tmp_path, device="cpu").is_complete
    others = [
        head_only(trunk, "denoised_nl", model={"mode": "faithful"}),  # reads stage 3 too
        head_only(trunk, augmentation={"flip": 0.25}),
        dataclasses.replace(run, features=dataclasses.replace(run.features, copies=2)),
        dataclasses.replace(run, features=dataclasses.replace(run.features, dtype="fp16")),
    ]
    for other in others:
        assert not plan_features([other], opened, tmp_path, device="cpu").is_complete
    smaller = head_only(trunk, data={"train_images": 4})
    assert not plan_features([smaller], open_data(smaller.data), tmp_path, device="cpu").is_complete


def test_features_of_more_stages_serve_a_head_that_needs_fewer(trunk, tmp_path):
    wide, narrow = head_only(trunk, "denoised_nl", model={"mode": "faithful"}), head_only(trunk, "ccnet")
    opened = open_data(wide.data)
    compute(plan_features([wide], opened, tmp_path, device="cpu"))
    assert plan_features([narrow], opened, tmp_path, device="cpu").is_complete


def test_other_weights_give_other_features(trunk, tmp_path):
    run = head_only(trunk)
    opened = open_data(run.data)
    compute(plan_features([run], opened, tmp_path / "features", device="cpu"))
    other = tmp_path / "other"
    train(tiny.experiment(model={"mode": "controlled"}, seed=1, optimization={"iterations": 1}), other, device="cpu")
    assert not plan_features([head_only(other)], opened, tmp_path / "features", device="cpu").is_complete


@pytest.mark.parametrize("damage", ["cut off", "removed"])
def test_features_that_are_damaged_in_mid_run_end_it_and_the_rest_resumes(trunk, tmp_path, damage):
    run = head_only(trunk)
    opened = open_data(run.data)
    stored = compute(plan_features([run], opened, tmp_path / "features", device="cpu"))
    train(run, tmp_path / "whole", device="cpu", opened=opened, stored=stored)
    part = stored.folder / "train-00000.bin"

    def break_it(progress):
        if progress.stage == "train" and progress.done == 3:
            if damage == "removed":
                part.unlink()
            else:
                os.truncate(part, 100)

    with pytest.raises(ValueError, match=r"stored features: .*train-00000.bin (is missing|has 100 bytes)"):
        train(run, tmp_path / "run", device="cpu", opened=opened, stored=stored, on_progress=break_it)
    again = compute(plan_features([run], opened, tmp_path / "features", device="cpu"))
    train(run, tmp_path / "run", device="cpu", opened=opened, stored=again)
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_a_full_disk_keeps_complete_parts(trunk, tmp_path, monkeypatch):
    run = head_only(trunk)
    monkeypatch.setattr("segattn.data.features.PART_BYTES", 1)  # a part for each sample
    plan = plan_features([run], open_data(run.data), tmp_path, device="cpu")
    real, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match="No space left on device; complete parts are kept"):
        compute(plan)
    monkeypatch.setattr(os, "fsync", real)
    assert len(list(plan.folder.glob("*.bin"))) == 3
    assert not list(plan.folder.glob(".*.part*"))
    before = {path.name: path.stat().st_mtime_ns for path in plan.folder.glob("*.bin")}
    assert isinstance(compute(plan), StoredFeatures)
    assert all((plan.folder / name).stat().st_mtime_ns == time for name, time in before.items())


@pytest.mark.long
def test_only_the_stages_that_heads_read_are_stored():
    channels = (8, 16, 32, 64)

    def read(*names):
        return frozen.stages_read([tiny.experiment(name) for name in names], channels, 3)

    assert read("ccnet") == (3,)
    assert read("ccnet", "denoised_nl") == (1, 2, 3)
    for name in heads.names():  # and no head reads what `stages_read` misses
        head = heads.create(name, channels, 3, channels=8) if "channels" in heads.options(name) else None
        if head is None:
            continue
        maps = [torch.rand(2, C, 16, 16) for C in channels]
        kept = [x if i in read(name) else torch.empty(2, 0, 1, 1) for i, x in enumerate(maps)]
        head.train()(kept)
        head.eval()(kept)


# Bad input


def test_a_random_backbone_makes_no_sense():
    with pytest.raises(ValueError, match=r"a random one has learnt nothing; give model\.pretrained"):
        check(tiny.experiment(optimization={"train": "head"}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone_options": {"width": 16}}, "backbone_options.width is 8 there and 16 here"),
        ({"output_stride": 16}, "output_stride is 8 there and 16 here"),
        ({"backbone_options": {"width": 8, "stem": "plain"}}, "stem is the default there and 'plain' here"),
        ({"backbone_options": {"width": 8, "receptive_field": 55}}, "receptive_field is the default there and 55 here"),
    ],
)
def test_a_trunk_of_another_shape_is_refused_with_the_difference(trunk, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train(head_only(trunk, model=changes), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_study_means_its_run_of_the_same_head_mode_and_seed(trunk, tmp_path):
    study = tmp_path / "study"
    study.mkdir()
    (study / "fcn-controlled-s0").symlink_to(trunk)
    notices = []
    wanted = head_only(study, "fcn", optimization={"iterations": 1})
    train(wanted, tmp_path / "run", device="cpu", on_notice=notices.append)
    assert "the whole head from there" in notices[-1]
    with pytest.raises(
        ValueError, match="has no run of ccnet, controlled, seed 0; give one of its runs: fcn-controlled-s0"
    ):
        train(head_only(study, "ccnet"), tmp_path / "other", device="cpu")


@pytest.mark.parametrize("setting", ["pretrained", "init_from"])
def test_runs_of_a_study_with_different_backbones_share_no_features(tmp_path, setting):
    study, runs = tmp_path / "study", []
    for head in ("fcn", "ccnet"):
        config = tiny.experiment(head, model={"mode": "controlled"}, validate_every=0, optimization={"iterations": 1})
        train(config, study / f"{head}-controlled-s0", device="cpu")
        runs.append(head_only(study, head))
    if setting == "init_from":
        plain = {"pretrained": None, "init_head": "random"}
        runs = [
            dataclasses.replace(run, init_from=str(study), model=dataclasses.replace(run.model, **plain))
            for run in runs
        ]
    with pytest.raises(ValueError, match=r"different backbones .*name one of its runs, such as .*fcn-controlled-s0"):
        plan_features(runs, open_data(runs[0].data), tmp_path / "features", device="cpu")
    assert not (tmp_path / "features").exists()


def test_damaged_configuration_of_the_trunk_is_named(trunk, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "model.safetensors").write_bytes((trunk / "model.safetensors").read_bytes())
    (copy / "config.json").write_text(json.dumps({"experiment": 3}))
    with pytest.raises(ValueError, match=r"config\.json is missing or damaged"):
        train(head_only(copy), tmp_path / "run", device="cpu")


def test_stored_features_for_training_of_the_whole_network_are_refused(trunk, tmp_path):
    run = head_only(trunk)
    opened = open_data(run.data)
    stored = compute(plan_features([run], opened, tmp_path / "features", device="cpu"))
    with pytest.raises(ValueError, match=r"set optimization\.train to head"):
        train(tiny.experiment(), tmp_path / "run", device="cpu", opened=opened, stored=stored)
    with pytest.raises(ValueError, match="tiny trains the whole network"):
        plan_features([tiny.experiment()], opened, tmp_path / "features", device="cpu")


def test_an_option_given_with_its_default_is_the_same_backbone(trunk, tmp_path):
    run = head_only(trunk, model={"backbone_options": {"width": 8, "stem": "deep", "receptive_field": None}})
    train(run, tmp_path / "run", device="cpu")
    assert (tmp_path / "run" / "record.json").is_file()


def test_each_head_starts_from_its_own_member_of_a_trunk_of_several_heads(tmp_path):
    several = tiny.experiment(
        "segattn.heads.parts.several",
        model={"head_options": {"names": ["fcn", "ccnet", "isanet"], "channels": 8}, "auxiliary_weight": 0.0},
        optimization={"iterations": 2},
        validate_every=0,
    )
    train(several, tmp_path / "trunk", device="cpu")
    before = weights(tmp_path / "trunk")
    for head in ("fcn", "ccnet", "isanet"):
        notices = []
        run = head_only(tmp_path / "trunk", head, optimization={"iterations": 1, "lr": 1e-12})
        train(run, tmp_path / head, device="cpu", on_notice=notices.append)
        assert "the whole head from there" in notices[-1]
        after = weights(tmp_path / head)
        own = [name for name in after if name.startswith("head.") and name.endswith(".weight")]
        assert all(
            torch.allclose(after[name], before[f"head.members.{head}.{name.removeprefix('head.')}"]) for name in own
        )
    again = head_only(
        tmp_path / "trunk",
        several.model.head,
        model={"mode": "faithful", "head_options": several.model.head_options, "auxiliary_weight": 0.0},
        optimization={"iterations": 1, "lr": 1e-12},
    )
    train(again, tmp_path / "again", device="cpu")
    after = weights(tmp_path / "again")
    assert all(torch.allclose(after[name], before[name]) for name in after if name.endswith(".weight"))


def test_rare_classes_are_drawn_alike_from_stored_maps_and_from_maps_on_the_fly(trunk, tmp_path):
    options = {"rare_class_sampling": 0.05, "iterations": 2}
    runs = [head_only(trunk, head, optimization=options) for head in ("fcn", "ccnet")]
    opened, notices = open_data(runs[0].data), []
    stored = compute(plan_features(runs, opened, tmp_path / "features", device="cpu"))
    crops = frozen.augmented_copies(opened[0], runs[0])
    for item in range(len(crops)):
        assert np.array_equal(stored.train.label(item), crops.label(item))
        assert np.array_equal(crops.label(item), crops[item][1].numpy())
    agree_in_three_ways(runs, opened, stored, tmp_path, on_notice=notices.append)
    told = [text for text in notices if text.startswith("rare class")]
    assert told == [f"rare class sampling: counting the labels of {len(crops)} crops"]  # once for both
    usual = dataclasses.replace(
        runs[0], optimization=dataclasses.replace(runs[0].optimization, rare_class_sampling=0.0)
    )
    train(usual, tmp_path / "usual", device="cpu", opened=opened, stored=stored)
    assert not same(weights(tmp_path / "usual"), weights(tmp_path / "stored" / "fcn"))


def test_rare_class_sampling_trains_the_whole_network_and_resumes(tmp_path):
    options = {"rare_class_sampling": 0.05, "iterations": 3}
    config = tiny.experiment(optimization=options, validate_every=0, checkpoint_every=2)
    train(config, tmp_path / "whole", device="cpu")
    train(tiny.experiment(optimization={"iterations": 3}, validate_every=0), tmp_path / "usual", device="cpu")
    assert not same(weights(tmp_path / "whole"), weights(tmp_path / "usual"))

    def stop(progress):
        if progress.stage == "train" and progress.done == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(config, tmp_path / "resumed", device="cpu", on_progress=stop)
    train(config, tmp_path / "resumed", device="cpu")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "resumed"))
    with pytest.raises(ValueError, match="rare_class_sampling"):
        check(tiny.experiment(optimization={"rare_class_sampling": -0.1}))
