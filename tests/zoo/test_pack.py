"""The maintainer's tool: `python -m docs.make.zoo`."""

import json
import shlex
import shutil
from dataclasses import field, make_dataclass

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from docs.make import zoo as packing
from docs.make import zoo_run
from docs.make.training_command import command_of
from segattn import checkpoint, config, experiments, zoo
from segattn.cli import arguments
from segattn.cli.experiment_options import ExperimentOptions
from segattn.records import integrity
from tests import tiny_zoo as tiny


@pytest.fixture
def runs(tiny_runs, tmp_path):
    """Copies of the runs that a test may damage: trunk, ccnet, emanet, ccnet faithful."""
    shutil.copytree(tiny_runs[0].parent, tmp_path / "runs")
    return [tmp_path / "runs" / run.name for run in tiny_runs]


def rewrite(run, change):
    """Change the tensors of a run's network, as if it had been trained so."""
    path = run / "model.safetensors"
    state = checkpoint.read_tensors(path)
    change(state)
    save_file(state, path)
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(settings | {"weights": integrity.digest(path)}))


def test_folder_holds_trunk_heads_facts_and_page_alone(packed):
    assert sorted(path.name for path in (packed / "streets-local").iterdir()) == [
        "README.md",
        *("ccnet-faithful.safetensors", "ccnet.safetensors", "emanet.safetensors"),
        *("trunk.safetensors", "zoo.json"),
    ]
    assert sorted(path.name for path in packed.iterdir()) == ["streets", "streets-local"]


def by_hand(counts):
    """mIoU worked out by hand: intersection over union of the summed matrix, over classes that occur."""
    matrix = counts.sum(0)
    union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    return pytest.approx((np.diag(matrix)[union > 0] / union[union > 0]).mean(), abs=1e-9)


def test_recorded_figures_are_those_of_the_run(packed, tiny_runs):
    record = zoo_run.read_run(tiny_runs[1]).record
    entry = zoo.read(packed / "streets")[1]
    assert (entry.mean_iou, list(entry.iou), entry.num_images) == (record.scores.mean_iou, record.scores.iou, 3)
    counts = np.load(tiny_runs[1] / "per_image.npz")["confusion"][: entry.first_images]
    assert entry.first_mean_iou == by_hand(counts)


# Rounding ---------------------------------------------------------------------------------------------------------------
def test_each_tensor_takes_the_type_that_loses_less():
    torch.manual_seed(0)
    state = {
        "usual": torch.randn(5, 7),
        "beyond the range of fp16": torch.tensor([[1e6, 2e6]]),
        "below the range of fp16": torch.randn(5, 7) * 1e-9,
        "running_var": torch.tensor([1e-7, 3e5]),
        "gamma": torch.tensor(0.1),
        "tracked": torch.tensor(3),
        "double": torch.randn(3, dtype=torch.float64),
    }
    types = {name: value.dtype for name, value in zoo_run.stored(state).items()}
    assert types == {
        "usual": torch.float16,
        "beyond the range of fp16": torch.bfloat16,
        "below the range of fp16": torch.bfloat16,
        "running_var": torch.float32,
        "gamma": torch.float32,
        "tracked": torch.int64,
        "double": torch.float32,
    }


def test_rounding_that_costs_accuracy_is_refused(runs, tmp_path):
    """The classes differ by less than fp16 resolves."""

    def tie(state):
        weight, bias = (state[f"head.sandwich.classify.conv.{name}"] for name in ("weight", "bias"))
        weight[:] = 1 + 1e-5 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
        bias.zero_()

    rewrite(runs[1], tie)
    with pytest.raises(ValueError, match=r"ccnet-controlled-s0: .* on the first 2 scenes, rounded"):
        tiny.pack(runs[:2], tmp_path / "zoo")
    assert list((tmp_path / "zoo").iterdir()) == []


# Runs that do not fit ---------------------------------------------------------------------------------------------------
def test_other_backbone_weights_are_refused_by_name(runs, tmp_path):
    def move(state):
        state["backbone.layer2.0.conv1.weight"][0, 0, 0, 0] += 0.01

    rewrite(runs[2], move)
    message = (
        r"emanet-controlled-s0: backbone\.layer2\.0\.conv1\.weight differs from the trunk's \(.*fcn-controlled-s0\)"
    )
    with pytest.raises(ValueError, match=message):
        tiny.pack(runs, tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_moved_statistics_are_refused_but_not_the_counter_of_batches(runs, tmp_path):
    rewrite(runs[1], lambda state: state["backbone.stem.1.num_batches_tracked"].add_(1))
    tiny.pack(runs[:2], tmp_path / "zoo")
    rewrite(runs[1], lambda state: state["backbone.stem.1.running_mean"].mul_(1.001))
    with pytest.raises(ValueError, match=r"backbone\.stem\.1\.running_mean differs"):
        tiny.pack(runs[:2], tmp_path / "zoo")


def test_head_trained_on_the_rounded_trunk_is_one_of_the_trunk(runs, tmp_path):
    """The trunk's own weights are finer than fp16, the head's backbone was read from the zoo."""
    name = "backbone.layer3.0.conv1.weight"
    rewrite(runs[0], lambda state: state[name].mul_(1 + 1e-5))
    assert not torch.equal(*(checkpoint.read_tensors(run / "model.safetensors")[name] for run in runs[:2]))
    tiny.pack(runs[:2], tmp_path / "zoo")


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        (
            "config.json",
            lambda raw: raw["experiment"]["model"].update(backbone_options={"width": 8, "contract_dilation": False}),
            r"model\.backbone_options is .*contract_dilation.*, that of the trunk .*fcn-controlled-s0",
        ),
        ("record.json", lambda raw: raw.update(head="mylab.tenth"), "head mylab.tenth is not one of segattn"),
        ("record.json", lambda raw: raw["class_names"].reverse(), "ccnet-controlled-s0: other classes than the trunk"),
        ("record.json", lambda raw: raw["scores"].update(num_images=100), "scored on 100 scenes, not 3; give --scenes"),
    ],
)
def test_run_of_other_settings_is_refused(file, edit, message, runs, tmp_path):
    raw = json.loads((runs[1] / file).read_text())
    edit(raw)
    (runs[1] / file).write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=message):
        tiny.pack(runs[:2], tmp_path / "zoo")


def test_run_that_was_scored_on_other_scenes_is_refused(runs, tmp_path):
    with np.load(runs[1] / "per_image.npz") as file:
        counts = dict(file)
    counts["confusion"] = np.eye(19, dtype=np.int64)[None].repeat(3, 0)
    np.savez(runs[1] / "per_image.npz", **counts)
    with pytest.raises(ValueError, match=r"but 100\.00 % in the run's own evaluation; .*scored on other scenes"):
        tiny.pack(runs[:2], tmp_path / "zoo")


def test_unfinished_run_and_two_runs_of_one_network_are_refused(runs, tmp_path):
    shutil.copytree(runs[1], runs[1].with_name("again"))
    with pytest.raises(ValueError, match=r"two runs of ccnet: .*again and .*ccnet-controlled-s0; give one"):
        tiny.pack([runs[0], runs[1].with_name("again"), runs[1]], tmp_path / "zoo")
    (runs[1] / "record.json").unlink()
    with pytest.raises(ValueError, match=r"record\.json: no such record"):
        tiny.pack(runs[:2], tmp_path / "zoo")


def test_scenes_that_are_not_generated_are_refused(runs, tmp_path):
    with pytest.raises(ValueError, match="scenes of camvid: the zoo ships networks of generated scenes only"):
        tiny.pack(runs, tmp_path / "zoo", scenes={**tiny.SCENES, "name": "camvid"})


def test_too_large_a_zoo_is_refused_and_nothing_is_left(runs, packed, tmp_path, monkeypatch):
    shutil.copytree(packed, tmp_path / "zoo")
    total = sum(path.stat().st_size for path in packed.glob("*/*.safetensors"))
    monkeypatch.setattr(zoo, "MAX_BYTES", total)
    tiny.pack(runs, tmp_path / "zoo", name="streets-local")  # the same again
    with pytest.raises(ValueError, match=f"bytes of weights, more than {total:,}"):
        tiny.pack(runs, tmp_path / "zoo", name="more")
    assert sorted(path.name for path in (tmp_path / "zoo").iterdir()) == ["streets", "streets-local"]


# Packing again ----------------------------------------------------------------------------------------------------------
def test_networks_packed_before_stay_and_the_trunk_never_changes(runs, tmp_path):
    root = tmp_path / "zoo"
    first = tiny.pack(runs[:2], root)
    bytes_before = {path.name: path.read_bytes() for path in first.glob("*.safetensors")}
    tiny.pack([runs[0], runs[2]], root)
    assert [entry.name for entry in zoo.read(root / "streets")] == ["streets/fcn", "streets/ccnet", "streets/emanet"]
    for name, before in bytes_before.items():
        assert (first / name).read_bytes() == before
    assert checkpoint.load_model(zoo.read(root / "streets")[1]).experiment.model.head == "ccnet"


def test_heads_are_added_to_the_packed_trunk_as_to_the_trunks_run(runs, tmp_path):
    whole, added = (tiny.pack(runs[:count], tmp_path / f"{count}") for count in (4, 2))
    for run in (runs[2], runs[1], runs[3]):  # one after the other; the second is there already
        assert packing.add(added, [run], command=tiny.COMMANDS["command"]) == added
    assert {path.name for path in added.iterdir()} == {path.name for path in whole.iterdir()}
    for path in whole.iterdir():
        assert (added / path.name).read_bytes() == path.read_bytes()


def test_added_head_takes_the_place_of_the_one_before_and_of_the_trunks(runs, tmp_path):
    folder = tiny.pack(runs[:2], tmp_path / "zoo")
    for run, words in ((runs[0], "segattn train fcn-again"), (runs[1], "segattn train ccnet-again")):
        packing.add(folder, [run], command=words)
    assert [(entry.name, entry.command) for entry in zoo.read(folder)] == [
        ("streets/fcn", "segattn train fcn-again"),
        ("streets/ccnet", "segattn train ccnet-again"),
    ]
    assert zoo.read(folder)[0].head_file.path.name == "fcn.safetensors"


def test_what_is_not_of_the_packed_trunk_is_not_added_to_it(runs, tmp_path):
    folder = tiny.pack(runs[:2], tmp_path / "zoo")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="no run was given"):
        packing.add(folder, [])
    rewrite(runs[2], lambda state: state["backbone.stem.1.running_mean"].mul_(1.001))
    with pytest.raises(ValueError, match=r"backbone\.stem\.1\.running_mean differs from the trunk's"):
        packing.add(folder, runs[2:3])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_other_trunk_needs_a_word_and_drops_its_networks(runs, tmp_path):
    tiny.pack(runs[:2], tmp_path / "zoo")
    rewrite(runs[0], lambda state: state["head.sandwich.classify.conv.bias"].add_(1))
    with pytest.raises(ValueError, match=r"has another trunk; .*--replace-trunk"):
        tiny.pack(runs[:1], tmp_path / "zoo")
    assert len(zoo.read(tmp_path / "zoo/streets")) == 2
    folder = tiny.pack(runs[:1], tmp_path / "zoo", replace_trunk=True)
    assert [path.name for path in folder.glob("*.safetensors")] == ["trunk.safetensors"]


def test_head_run_of_the_trunks_own_head_takes_its_place(runs, tmp_path):
    trained_on = shutil.copytree(runs[0], tmp_path / "fcn-again")
    for file in ("record.json", "config.json"):
        raw = json.loads((trained_on / file).read_text())
        (raw if file == "record.json" else raw["experiment"])["seed"] = 5
        (trained_on / file).write_text(json.dumps(raw))
    folder = tiny.pack([runs[0], trained_on], tmp_path / "zoo")
    (entry,) = zoo.read(folder)
    assert (entry.name, entry.seed) == ("streets/fcn", 5)
    assert entry.command == "segattn train tiny --head fcn --mode controlled --seed 5"
    assert entry.head_file.path.name == "fcn.safetensors"
    tiny.pack(runs[:2], tmp_path / "zoo")  # it stays
    assert [(each.name, each.seed) for each in zoo.read(folder)] == [("streets/fcn", 5), ("streets/ccnet", 0)]
    assert checkpoint.load_model(zoo.read(folder)[0]).experiment.seed == 5


# The command ------------------------------------------------------------------------------------------------------------
def test_command_packs_a_study_that_has_the_trunk_in_it_too(runs, tmp_path, capsys):
    words = [str(runs[0]), str(runs[0].parent), "--name", "streets", "--root", str(tmp_path / "zoo"), "--first", "2"]
    words += ["--command", "segattn study x", "--trunk-command", "segattn train x", "--scenes", json.dumps(tiny.SCENES)]
    packing.main(words)
    assert str(tmp_path / "zoo/streets") in capsys.readouterr().out
    assert len(zoo.read(tmp_path / "zoo/streets")) == len(tiny.NETWORKS)


def test_command_adds_to_a_packed_trunk_also_after_one_that_ended_early(runs, tmp_path, capsys):
    folder = tiny.pack(runs[:2], tmp_path / "zoo")
    folder.rename(folder.with_name(".streets.previous"))  # between the last two steps
    packing.main([str(folder), str(runs[2]), "--command", "segattn study x"])
    assert f"{folder}\n" in capsys.readouterr().out
    assert [entry.name for entry in zoo.read(folder)] == ["streets/fcn", "streets/ccnet", "streets/emanet"]
    assert [path.name for path in folder.parent.iterdir()] == ["streets"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--name", "x"], "tiny is not an experiment of segattn; say --command and --trunk-command"),
        ([], "say the trunk's --name, such as streets-local"),
    ],
)
def test_mistake_of_the_command_is_a_line(words, message, runs, tmp_path, capsys):
    with pytest.raises(SystemExit):
        packing.main([str(runs[0]), *words, "--root", str(tmp_path / "zoo"), "--scenes", json.dumps(tiny.SCENES)])
    assert message in capsys.readouterr().err


def test_options_of_a_trunks_run_are_refused_with_a_packed_trunk(runs, tmp_path, capsys):
    folder = tiny.pack(runs[:2], tmp_path / "zoo")
    with pytest.raises(SystemExit):
        packing.main([str(folder), str(runs[2]), "--replace-trunk", "--first", "3"])
    message = "is a packed trunk, which stays as it is; leave out --first and --replace-trunk"
    assert message in " ".join(capsys.readouterr().err.split())
    assert len(zoo.read(folder)) == 2


def test_training_command_gives_the_experiment_back():
    quick = experiments.load("quick")
    assert command_of(quick) == "segattn train quick"
    own = config.from_dict(
        {
            **config.to_dict(quick),
            "seed": 3,
            "model": {**config.to_dict(quick.model), "head": "ccnet", "mode": "controlled", "pretrained": "streets"},
            "data": {"name": "packed", "root": "runs/my scenes"},
            "optimization": {**config.to_dict(quick.optimization), "ohem": True, "channels_last": False, "lr": 0.2},
        }
    )
    words = shlex.split(command_of(own))
    assert words[:3] == ["segattn", "train", "quick"]
    options = make_dataclass("Options", [("config", ExperimentOptions, field(default=quick))])
    assert arguments.parse(options, words[3:], command="train", description="").config == own
