import dataclasses
import functools
import json
import shutil
import signal
import threading

import numpy as np
import pytest
from PIL import Image

from segattn import config as configuration
from segattn import experiments, records, report
from segattn.cli import main
from segattn.config import Data
from segattn.cost import head_facts
from segattn.data.splits import open_data
from segattn.study import run as study_module
from segattn.study.plan import is_finished
from segattn.study.run import Position, plan, reference_costs, run_name, run_study, study_name
from segattn.training import fingerprint
from segattn.training.interruption import Interrupted
from tests import tiny
from tests.trust.conftest import change

pytestmark = pytest.mark.slow

HEADS = ("fcn", "reconet")
SHORT = tiny.experiment(optimization={"iterations": 2}, validate_every=0, evaluation={"examples": 1})
NAMES = ["fcn-faithful-s0", "reconet-faithful-s0", "fcn-faithful-s1", "reconet-faithful-s1"]


def study(out, config=SHORT, head_names=HEADS, seeds=(0, 1), **options):
    options = {"command": "segattn study tiny", "device": "cpu", **options}
    return run_study(config, out, head_names=head_names, seeds=seeds, **options)


def state(out):
    """Time and content of every file of the runs."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("*-s*/**/*") if path.is_file()}


@pytest.fixture(scope="module", autouse=True)
def _count_once():
    """Costs at the study's crops are the same in every test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_module, "reference_costs", functools.cache(reference_costs))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of a study of two heads and two seeds, the positions that it reported, its record after each run."""
    out, positions, recorded = tmp_path_factory.mktemp("study"), [], []

    def note(position):
        positions.append(position)
        if position.progress is None:
            recorded.append(records.read(out / "study.json").runs)

    study(out, on_position=note)
    return out, positions, recorded


def test_runs_are_every_head_with_every_seed(finished):
    study_record = records.read(finished[0] / "study.json")
    assert study_record.runs == [f"{name}/record.json" for name in NAMES]
    assert (study_record.experiment, study_record.command) == ("tiny", "segattn study tiny")
    runs = [records.read(finished[0] / path) for path in study_record.runs]
    assert [(run.head, run.mode, run.seed) for run in runs] == [
        ("fcn", "faithful", 0), ("reconet", "faithful", 0), ("fcn", "faithful", 1), ("reconet", "faithful", 1),
    ]  # fmt: skip
    assert runs[0].curve != runs[2].curve


def test_every_head_has_its_cost_at_the_studys_crops(finished):
    costs = records.read(finished[0] / "study.json").costs
    assert [(cost.head, cost.input_size, cost.num_classes, cost.backbone) for cost in costs] == [
        (head, size, num_classes, "resnet101")
        for head in HEADS
        for size, num_classes in (((769, 769), 19), ((520, 520), 150))
    ]
    assert costs == reference_costs(HEADS)


def test_study_and_runs_hold_what_their_heads_declare(finished):
    facts = {head: head_facts(head) for head in HEADS}
    record = records.read(finished[0] / "study.json")
    assert record.head_facts == facts
    assert {run.head: run.head_facts for run in (records.read(finished[0] / path) for path in record.runs)} == facts


def test_positions_lead_through_all_runs(finished):
    _, positions, _ = finished
    assert [position.name for position in positions if position.progress is None] == NAMES
    assert {position.num_runs for position in positions} == {4}
    assert [position.run for position in positions] == sorted(position.run for position in positions)


def test_record_names_the_runs_that_have_ended_at_every_moment(finished):
    assert finished[2] == [[f"{name}/record.json" for name in NAMES[:count]] for count in (1, 2, 3, 4)]


def test_pictures_of_the_lowest_seed_are_drawn_at_the_end_and_named_in_the_record(finished):
    looks = records.read(finished[0] / "study.json").looks
    assert (looks.trunk, looks.seed) == ("", 0)
    assert looks.pictures
    for look in looks.pictures:
        assert look.networks == ["reconet"]  # fcn has no maps, and reconet with seed 1 is not drawn
        assert (finished[0] / look.picture).is_file()
        assert (finished[0] / look.photo).is_file()


def test_pictures_are_drawn_once(finished):
    def state_of_pictures():
        return {path: path.stat().st_mtime_ns for path in (finished[0] / "looks").iterdir()}

    before, looks = state_of_pictures(), records.read(finished[0] / "study.json").looks
    study(finished[0])
    assert state_of_pictures() == before
    assert records.read(finished[0] / "study.json").looks == looks


def test_record_names_earlier_pictures_while_runs_are_under_way(finished):
    named = []

    def note(position):
        named.append(records.read(finished[0] / "study.json").looks)

    looks = records.read(finished[0] / "study.json").looks
    study(finished[0], on_position=note)
    assert named == [looks] * len(NAMES)


def test_only_rank_0_draws(tmp_path, monkeypatch):
    study(tmp_path, head_names=("reconet",), seeds=(0,))
    shutil.rmtree(tmp_path / "looks")
    monkeypatch.setenv("RANK", "1")
    study(tmp_path, head_names=("reconet",), seeds=(0,))
    assert not (tmp_path / "looks").exists()


def test_damaged_record_of_a_study_is_written_anew(finished):
    (finished[0] / "study.json").write_text("{")
    study(finished[0])
    assert records.read(finished[0] / "study.json").looks.pictures


def test_finished_runs_are_not_run_again(finished):
    out = finished[0]
    before, seen = state(out), []
    study(out, on_position=seen.append)
    assert state(out) == before
    assert seen == [Position(number, 4, name, None) for number, name in enumerate(NAMES)]


@pytest.mark.usefixtures("no_pictures")
def test_study_can_grow(tmp_path):
    study(tmp_path, head_names=("fcn",), seeds=(0,))
    before = state(tmp_path)
    study(tmp_path, head_names=HEADS, seeds=(0,))
    after = state(tmp_path)
    assert {path: after[path] for path in before} == before
    assert records.read(tmp_path / "study.json").runs == [
        "fcn-faithful-s0/record.json",
        "reconet-faithful-s0/record.json",
    ]


@pytest.mark.usefixtures("no_pictures")
def test_interrupted_study_goes_on_where_it_was(finished, tmp_path):
    def interrupt(position):
        if (position.run, position.progress and position.progress.done) == (1, 1):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="SIGINT at iteration"):
        study(tmp_path, seeds=(0,), on_position=interrupt)
    assert records.read(tmp_path / "study.json").runs == ["fcn-faithful-s0/record.json"]
    before, steps = state(tmp_path / NAMES[0]), []
    study(tmp_path, seeds=(0,), on_position=lambda position: steps.append((position.run, position.progress)))
    assert state(tmp_path / NAMES[0]) == before
    assert not [progress for run, progress in steps if run == 0 and progress is not None]
    for name in NAMES[:2]:
        resumed, whole = records.read(tmp_path / name / "record.json"), records.read(finished[0] / name / "record.json")
        assert resumed.scores == whole.scores
        assert resumed.curve == whole.curve


def test_report_of_a_study_can_be_built_and_reads_its_records(finished, tmp_path):
    out = finished[0]
    written = report.build(out / "study.json", tmp_path)
    assert {"report.html", "report.md", "table.csv", "table.tex"} <= written.keys()
    assert all(path.stat().st_size > 0 for path in written.values() if path.is_file())
    page = (tmp_path / "report.html").read_text()
    for word in ("fcn", "reconet", "segattn study tiny", "mIoU"):
        assert word in page


def test_a_damaged_record_says_how_to_train_the_run_again(tmp_path):
    folder = tmp_path / "fcn-faithful-s0"
    folder.mkdir()
    (folder / "record.json").write_text('{"kind": "run", "mean')
    with pytest.raises(
        ValueError, match=r"record\.json: not a JSON record .*; remove .*fcn-faithful-s0, and the study's"
    ):
        is_finished(folder, tiny.experiment())


def test_folder_of_another_experiment_is_refused_and_left_alone(finished):
    out = finished[0]
    before = state(out)
    other = tiny.experiment(optimization={"iterations": 3}, validate_every=0, evaluation={"examples": 1})
    with pytest.raises(ValueError, match="fcn-faithful-s0 holds the record of another experiment"):
        study(out, config=other)
    assert state(out) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head_names": ("fcn", "ccnett")}, "unknown head 'ccnett'; did you mean ccnet"),
        ({"head_names": ()}, "at least one head"),
        ({"seeds": ()}, "one seed"),
        ({"head_names": ("fcn", "ccnet", "fcn")}, "fcn given more than once"),
        ({"config": tiny.experiment(model={"head_options": {"chanels": 8}})}, "no option 'chanels'"),
        ({"config": tiny.experiment(model={"backbone": "resnet81"})}, "unknown backbone 'resnet81'"),
        ({"config": tiny.experiment(optimization={"iterations": 0})}, "iterations should be above 0"),
        ({"config": tiny.experiment(data={"root": "photos"})}, "leave out root"),
    ],
)
def test_mistake_is_named_before_anything_is_written(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        study(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_plan_goes_through_all_heads_of_a_seed_first():
    assert [run_name(run) for run in plan(SHORT, HEADS, (0, 1))] == NAMES


def test_run_of_a_head_by_dotted_path_has_a_plain_folder():
    assert run_name(tiny.experiment("mylab.heads.tenth", model={"mode": "controlled"}, seed=3)) == (
        "mylab-heads-tenth-controlled-s3"
    )


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.long
@pytest.mark.parametrize("mode", ["faithful", "controlled"])
def test_one_option_chooses_the_mode_of_all_heads_which_are_trained_and_counted_in_it(mode, tmp_path):
    short = tiny.experiment(optimization={"iterations": 1}, validate_every=0, evaluation={"examples": 0})
    (tmp_path / "tiny.json").write_text(json.dumps(configuration.to_dict(short)))
    out = tmp_path / "out"
    assert main(["study", str(tmp_path / "tiny.json"), "--mode", mode, "--device", "cpu", "--out", str(out)]) == 0
    study_record = records.read(out / "study.json")
    names = list(experiments.STUDY_HEADS)
    assert study_record.runs == [f"{name}-{mode}-s0/record.json" for name in names]
    runs = [records.read(out / path) for path in study_record.runs]
    assert [(run.head, run.mode) for run in runs] == [(name, mode) for name in names]
    crops = [(769, 769), (520, 520)]
    assert [(c.head, c.mode, c.input_size) for c in study_record.costs] == [(n, mode, s) for n in names for s in crops]
    surroundings = [
        {c.head_total.macs - c.mechanism.macs for c in study_record.costs if c.input_size == s} for s in crops
    ]
    assert [len(macs) == 1 for macs in surroundings] == [mode == "controlled"] * 2
    assert (len({run.cost.head_total.macs - run.cost.mechanism.macs for run in runs}) == 1) == (mode == "controlled")
    assert {name for name in names if f"{name},{mode}" in (out / "table.csv").read_text()} == set(names)


@pytest.mark.usefixtures("no_pictures")
def test_data_are_checked_once_for_all_runs_and_not_for_a_finished_study(tmp_path, monkeypatch):
    from segattn import data

    genuine, checked = data.verify, []

    def verify(dataset, **options):
        checked.append(dataset.split)
        return genuine(dataset, **options)

    monkeypatch.setattr(data, "verify", verify)
    config = tiny.experiment(optimization={"iterations": 1}, validate_every=0)
    run_study(config, tmp_path, head_names=("fcn", "ccnet"), device="cpu")
    assert checked == ["train", "val"]
    run_study(config, tmp_path, head_names=("fcn", "ccnet"), device="cpu")
    assert checked == ["train", "val"]


def test_study_does_not_go_on_with_other_data(finished, tmp_path):
    out = shutil.copytree(finished[0], tmp_path / "study")
    change(out / NAMES[1] / "config.json", lambda raw: raw["data"]["val"].update(names="0"))
    before = state(out)
    with pytest.raises(ValueError, match=rf"{NAMES[1]} was trained on other data: val: other names of images"):
        study(out, seeds=(0, 1, 2))
    assert state(out) == before
    change(out / NAMES[1] / "config.json", lambda raw: raw.pop("data"))  # as in version 0.1.0
    fingerprint.check_trained_on([out / name for name in NAMES], open_data(SHORT.data))
    change(out / NAMES[1] / "record.json", lambda raw: raw["class_names"].__setitem__(0, "lane"))
    with pytest.raises(ValueError, match=rf"{NAMES[1]} was trained with the classes lane, .*; now they are "):
        fingerprint.check_trained_on([out / name for name in NAMES], open_data(SHORT.data))


def test_record_is_written_when_the_folder_comes_free(finished):
    out = finished[0]
    before, seen, lease = (out / "study.json").read_bytes(), [], records.Lease(out, "study")
    lease.acquire()

    def release():  # the other study has written its record
        seen.append((out / "study.json").read_bytes())
        lease.release()

    threading.Timer(0.5, release).start()
    study(out, command="segattn study again")
    assert seen == [before]
    assert records.read(out / "study.json").command == "segattn study again"
    assert not (out / ".lease").exists()


def test_run_in_use_ends_the_study_in_one_line(tmp_path):
    with records.Lease(tmp_path / NAMES[0]), pytest.raises(records.Held, match=f"{NAMES[0]} is in use"):
        study(tmp_path, seeds=(0,))
    assert list(tmp_path.glob("**/*.json")) == []


def write_data(root, val_values=(0, 1)):
    for split, values in (("train", (0, 1)), ("val", val_values)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        mask = np.full((32, 48), values[0], np.uint8)
        mask[:9] = values[1]
        Image.fromarray(mask).save(root / "masks" / split / "0.png")
        Image.new("RGB", (48, 32)).save(root / "images" / split / "0.png")
    (root / "classes.txt").write_text("background\nthing")
    return dataclasses.replace(SHORT, data=Data(name="folder", root=str(root)))


def test_study_whose_networks_cannot_be_scored_is_refused_before_the_first(tmp_path):
    config, positions = write_data(tmp_path / "data", val_values=(255, 255)), []
    with pytest.raises(ValueError, match="folder val: every pixel is ignored"):
        study(tmp_path / "study", config, on_position=positions.append)
    assert positions == []
    assert not (tmp_path / "study").exists()


@pytest.mark.usefixtures("no_pictures")
def test_finished_run_of_another_order_of_classes_is_refused_before_the_next(tmp_path):
    config, positions = write_data(tmp_path / "data"), []
    study(tmp_path / "study", config, head_names=("fcn",), seeds=(0,), on_notice=lambda line: None)
    (tmp_path / "data/classes.txt").write_text("thing\nbackground")
    with pytest.raises(
        ValueError, match=r"fcn-faithful-s0 was trained with .*background, thing; now .*thing, background"
    ):
        study(tmp_path / "study", config, head_names=("fcn",), seeds=(0, 1), on_position=positions.append)
    assert positions == []


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"name": "folder", "root": "data/Cats & dogs (2)"}, "tiny-Cats-dogs-2"),
        ({"name": "folder", "root": "/données/forêt/"}, "tiny-forêt"),
        ({"name": "folder", "root": "/"}, "tiny-data"),
        ({"name": "folder"}, "tiny"),
        ({"name": "huggingface", "options": {"dataset": "org/pets"}}, "tiny-pets"),
        ({"name": "voc", "root": "data/VOCdevkit"}, "tiny"),
    ],
)
def test_study_on_own_data_is_named_after_the_folder(section, expected):
    assert study_name(tiny.experiment(data=Data(**section))) == expected


def test_experiment_of_own_data_gives_the_folder_alone():
    assert study_name(configuration.Experiment(name="folder", data=Data(name="folder", root="pets"))) == "pets"
