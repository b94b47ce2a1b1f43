from dataclasses import replace

import pytest

from segattn.demo import networks


def test_trained_networks_say_what_they_are(loaded):
    assert [network.name for network in loaded][:2] == ["ccnet", "danet"]
    assert not any(network.model.training for network in loaded)
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
