"""What a run began with, in its `experiment.json`."""

import json

import pytest

from segattn import config
from segattn.data.splits import open_data
from segattn.training import begun, folder
from segattn.training.fingerprint import of_splits
from tests import tiny
from tests.trust.conftest import change


@pytest.fixture
def run(tmp_path):
    """The folder of a run with a checkpoint of iteration 2."""
    folder.claim(tmp_path, tiny.TINY, of_splits(*open_data(tiny.TINY.data)))
    (tmp_path / "checkpoints/iteration-00000002").mkdir(parents=True)
    return tmp_path


def test_it_is_read_as_it_was_written(tmp_path):
    assert begun.read(tmp_path) is None
    data = of_splits(*open_data(tiny.TINY.data))
    folder.claim(tmp_path, tiny.TINY, data)
    assert begun.read(tmp_path) == begun.Begun(data=data)


def test_an_experiment_reads_the_same_with_it_and_without(run):
    raw = json.loads((run / "experiment.json").read_text())
    assert "run" in raw
    assert config.from_dict(raw) == tiny.TINY == config.from_dict(config.to_dict(tiny.TINY))


def test_data_that_are_others_are_refused_before_a_checkpoint_is_read(run):
    other = of_splits(*open_data(tiny.experiment(data={"train_images": 2}).data))
    with pytest.raises(ValueError, match="the data have changed since this run began: train: 5 images then, 2 now"):
        folder.claim(run, tiny.TINY, other)


def test_run_without_a_checkpoint_begins_with_the_data_as_they_are(run):
    (run / "checkpoints/iteration-00000002").rmdir()
    other = of_splits(*open_data(tiny.experiment(data={"train_images": 2}).data))
    folder.claim(run, tiny.TINY, other)
    assert begun.read(run) == begun.Begun(data=other)


def test_run_of_version_0_1_0_keeps_its_checkpoints(run):
    change(run / "experiment.json", lambda raw: raw.pop("run"))
    assert begun.read(run) is None
    data = of_splits(*open_data(tiny.TINY.data))
    folder.claim(run, tiny.TINY, data)
    assert begun.read(run) == begun.Begun(data=data, without_digests=2)
    (run / "checkpoints/iteration-00000003").mkdir()
    folder.claim(run, tiny.TINY, data)
    assert begun.read(run) == begun.Begun(data=data, without_digests=2)


DAMAGED = {
    "a list": ([], "run is damaged"),
    "no data": ({"format": 2}, "run is damaged"),
    "another format": ({"format": 3, "data": None}, "run has format 3; this version reads 2"),
    "another digest": ({"format": 2, "data": {}, "without_digests": 9, "sha256": "0"}, "its SHA-256 is another"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_is_named(what, run):
    damaged, message = DAMAGED[what]
    change(run / "experiment.json", lambda raw: raw.update(run=damaged))
    with pytest.raises(ValueError, match=rf"experiment\.json: {message}|experiment\.json: .*{message}"):
        begun.read(run)
