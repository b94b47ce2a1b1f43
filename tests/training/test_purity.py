from dataclasses import replace

import numpy as np
import pytest
import torch

from segattn import checkpoint, data, experiments
from segattn.model import build_model
from segattn.training.purity import _share, purity


def saved(tmp_path, head, change=lambda model: None):
    """The folder of a network of the probes with random weights."""
    experiment = experiments.load("probe")
    experiment = replace(experiment, model=replace(experiment.model, head=head))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(experiment.model, 2)
    change(model)
    names, palette = ["first", "second"], [(0, 0, 0), (1, 1, 1)]
    checkpoint.save_model(model, tmp_path / head, experiment=experiment, class_names=names, palette=palette)
    return tmp_path / head


def alike(model):
    torch.nn.init.zeros_(model.head.attention.query.weight)
    torch.nn.init.zeros_(model.head.attention.query.bias)


def test_share_counts_places_in_part():
    same = torch.zeros(4, 4)
    same[:2, :1] = 1  # half of the first of four places
    assert _share(torch.tensor([[3.0, 1.0], [0.0, 0.0]]), same) == pytest.approx(3 / 4 / 2)
    assert _share(torch.zeros(2, 2), same) == 0.0


def test_attention_to_all_places_alike_has_the_share_of_the_class(tmp_path):
    dataset = data.load("probes", "val", task="noise", num_images=4)
    run = saved(tmp_path, "non_local", alike)
    reader = dataset.reader
    boxes = [reader.layout(index).query for index in range(3)]
    of = purity(run, dataset, reader.classes, lambda index: (boxes[index].top, boxes[index].left), 3)
    (values,) = of.values()
    shares = [float((reader.classes(i) == i % 2 ^ reader.layout(i).answer).mean()) for i in range(3)]
    assert values == pytest.approx(shares)
    assert np.isclose(shares[0], 8 / 256)  # query and marker, of four cells each


def test_maps_that_are_no_places_are_left_out(tmp_path):
    dataset = data.load("probes", "val", task="noise", num_images=2)
    assert purity(saved(tmp_path, "flanet"), dataset, dataset.reader.classes, lambda index: (64, 64), 1) == {}
    assert purity(saved(tmp_path, "fcn"), dataset, dataset.reader.classes, lambda index: (64, 64), 1) == {}
    of = purity(saved(tmp_path, "denoised_nl"), dataset, dataset.reader.classes, lambda index: (64, 64), 1)
    assert set(of) == {"affinity", "rectified", "retained"}
