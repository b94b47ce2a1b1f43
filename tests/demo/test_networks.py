import os
import shutil
from dataclasses import replace

import pytest

from segattn import heads
from segattn.demo import networks


def test_newest_study_is_the_one_trained_last(study, tmp_path):
    assert networks.newest_study(tmp_path / "nowhere") is None
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "notes.txt").write_text("no study")
    assert networks.newest_study(tmp_path) is None
    for age, name in enumerate(["new", "old", "older"]):
        run = tmp_path / name / "fcn-faithful-s0"
        shutil.copytree(study / "fcn-faithful-s0", run)
        os.utime(run / "model.safetensors", (1e9 - age, 1e9 - age))
    assert networks.newest_study(tmp_path) == tmp_path / "new"


def test_without_a_study_every_head_is_there_and_untrained(monkeypatch):
    from segattn import experiments
    from segattn.config import Model

    quick = experiments.load("quick")
    small = replace(quick, model=replace(quick.model, head_options={"channels": 8}, backbone_options={"width": 8}))
    monkeypatch.setattr(networks.experiments, "load", lambda name: {"quick": small}[name])
    every_head = networks.untrained("cpu")
    assert [network.name for network in every_head] == heads.names()
    assert not any(network.trained or network.model.training for network in every_head)
    assert {len(network.class_names) for network in every_head} == {19}
    assert all(isinstance(network.model.experiment.model, Model) for network in every_head)


def test_trained_networks_say_what_they_are(loaded):
    assert all(network.trained for network in loaded)
    assert loaded[0].model.experiment.model.head == "ccnet"
    assert loaded[0].class_names[:2] == ("road", "sidewalk")


def test_networks_of_other_classes_are_refused(loaded):
    class Other:
        class_names, palette = ("cat", "dog"), ((0, 0, 0), (1, 1, 1))

    other = replace(loaded[1], model=Other())
    with pytest.raises(ValueError, match=r"ccnet knows 19 classes .* danet 2 \(cat, dog, ...\)"):
        networks.checked([loaded[0], other])


def test_a_run_given_twice_is_refused(loaded):
    with pytest.raises(ValueError, match="ccnet: given twice"):
        networks.checked([loaded[0], loaded[0]])
