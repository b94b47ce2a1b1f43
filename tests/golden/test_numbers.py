"""The recorded numbers again: a refactor leaves them alone."""

import json

import pytest
import torch

from segattn import heads
from tests.golden import numbers

pytestmark = pytest.mark.slow

RECORDED = json.loads(numbers.PATH.read_text())
EACH = [(head, mode) for head in heads.names() for mode in numbers.MODES]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def assert_same_training(measured, recorded):
    """Within what another processor's order of summation makes of five steps."""
    assert measured["losses"] == pytest.approx(recorded["losses"], rel=1e-3)
    assert measured["outputs"] == pytest.approx(recorded["outputs"], rel=1e-3)


@pytest.mark.parametrize(("head", "mode"), EACH)
def test_losses_of_five_iterations(head, mode):
    assert_same_training(numbers.losses(head, mode), RECORDED["losses"][f"{head} {mode}"])


@pytest.mark.parametrize("head", RECORDED["accumulation 2"])
def test_losses_with_accumulation(head):
    assert_same_training(numbers.losses(head, "faithful", accumulation=2), RECORDED["accumulation 2"][head])


@pytest.mark.parametrize(("head", "mode"), EACH)
def test_logits(head, mode):
    assert numbers.logits(head, mode) == pytest.approx(RECORDED["logits"][f"{head} {mode}"], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("key", numbers.SCENES, ids=str)
def test_generated_scenes(key):
    assert numbers.scene(*key) == RECORDED["scenes"][" ".join(map(str, key))]
