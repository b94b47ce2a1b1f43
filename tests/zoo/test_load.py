"""Networks of the zoo as models."""

from dataclasses import replace

import pytest
import torch

from segattn import checkpoint, config, load_model, zoo
from tests import tiny_zoo as tiny

pytestmark = pytest.mark.usefixtures("tiny_zoo")


@torch.no_grad()
@pytest.mark.parametrize("number", range(len(tiny.NETWORKS)), ids=lambda number: "-".join(tiny.NETWORKS[number]))
def test_network_is_that_of_its_run(number, tiny_runs):
    head, mode = tiny.NETWORKS[number]
    run = load_model(tiny_runs[number])
    packed = load_model(f"streets-local/{head}" + ("-faithful" if mode == "faithful" else ""))
    images = torch.randn(2, 3, 37, 53)
    assert torch.equal(packed(images), run(images))  # the weights of the tiny zoo are exact in fp16
    assert not packed.training
    expected, state = run.state_dict(), packed.state_dict()
    assert {name: state[name].dtype for name in state} == {name: expected[name].dtype for name in state}
    assert {name.partition(".")[0] for name in expected.keys() - state.keys()} <= {"auxiliary"}


def test_network_knows_classes_palette_and_experiment(tiny_runs):
    packed, run = load_model("streets/ccnet"), load_model(tiny_runs[1])
    assert (packed.class_names, packed.palette) == (run.class_names, run.palette)
    assert packed.experiment.model == run.experiment.model
    assert packed.experiment.data == config.Data(name="streets", size=(32, 64), val_images=3)
    assert packed.auxiliary is None


def test_weights_of_another_head_are_refused():
    entry = replace(zoo.find("streets/ccnet"), head_file=zoo.find("streets/emanet").head_file)
    with pytest.raises(ValueError, match=r"emanet\.safetensors does not fit the network that zoo\.json beside it"):
        load_model(entry)


def test_models_are_found_by_trunk_name_entry_and_folder(tiny_runs):
    found = checkpoint.find_models("streets")
    assert [str(source) for source in found] == ["streets/fcn", "streets/ccnet", "streets/emanet"]
    assert checkpoint.find_models("streets/ccnet") == [found[1]] == checkpoint.find_models(found[1])
    assert checkpoint.find_models(tiny_runs[0]) == [tiny_runs[0]]
    assert len(checkpoint.find_models(tiny_runs[0].parent)) == len(tiny.NETWORKS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("streets/cnet", "unknown network 'streets/cnet'; did you mean streets/ccnet"),
        ("street", "street is not a folder; give the folder of a finished run.*zoo: did you mean streets"),
        ("photos", "photos is not a folder; .*or a network of the zoo: streets/fcn, .*`segattn zoo` lists them"),
    ],
)
def test_name_of_nothing_is_answered(name, message):
    with pytest.raises(ValueError, match=message):
        checkpoint.find_models(name)


def test_load_model_names_the_nearest_network_and_wants_one():
    with pytest.raises(ValueError, match="did you mean streets/ccnet"):
        load_model("streets/cnet")
    with pytest.raises(ValueError, match="streets is a trunk with 3 networks; name one of them, such as streets/fcn"):
        load_model("streets")
