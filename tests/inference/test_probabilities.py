"""Class probabilities as a file."""

import numpy as np
import pytest
import torch
from PIL import Image

import segattn
from segattn.config import Evaluation
from segattn.inference import probabilities as module
from segattn.inference.files import Settings, predict_files
from segattn.inference.probabilities import class_probabilities, write_probabilities
from tests.inference.test_optimized import trained_looking

NAMES = ("road", "rail track", "sky", "[red]", "Fußweg")
PALETTE = [(index, 0, 0) for index in range(5)]
PIXELS = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    return trained_looking("fcn")


@pytest.mark.parametrize("inference", [None, Evaluation(flip=True), Evaluation(mode="slide", crop_size=(32, 32))])
def test_the_file_has_the_probabilities_in_half_precision_and_the_names(model, inference, tmp_path):
    path = tmp_path / "a b.npz"
    write_probabilities(path, model, PIXELS, inference, NAMES)
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file) == ["class_names", "probabilities"]
        assert tuple(file["class_names"]) == NAMES
        stored = file["probabilities"]
    assert stored.dtype == np.float16
    expected = class_probabilities(model, PIXELS, inference or Evaluation()).numpy()
    np.testing.assert_allclose(stored, expected, atol=5e-4)
    assert path.stat().st_size < stored.nbytes + 2000


def test_predicted_files_have_them_beside_their_labels(model, tmp_path):
    photo = tmp_path / "my photo.png"
    Image.fromarray(PIXELS).save(photo)
    settings = Settings(class_names=NAMES, palette=PALETTE, probabilities=True)
    list(predict_files(model, [photo], tmp_path / "out", settings))
    label = np.asarray(Image.open(tmp_path / "out/my photo-label.png"))
    with np.load(tmp_path / "out/my photo-probabilities.npz") as file:
        assert (file["probabilities"].argmax(0) == label).mean() > 0.99  # ties in float16
    assert np.array_equal(label, segattn.predict(model, photo).labels)


def test_without_the_option_there_is_no_such_file(model, tmp_path):
    photo = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(photo)
    list(predict_files(model, [photo], tmp_path / "out", Settings(class_names=NAMES, palette=PALETTE)))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-label.png", "a-overlay.png"]


@pytest.mark.parametrize("fault", [MemoryError(), RuntimeError("can't allocate memory: you tried to allocate 9 bytes")])
def test_too_little_memory_is_an_error_of_that_file_and_the_next_one_follows(model, fault, monkeypatch, tmp_path):
    photos = [tmp_path / "a.png", tmp_path / "b.png"]
    for photo in photos:
        Image.fromarray(PIXELS).save(photo)
    predict, calls = module.predict, []

    def first_fails(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise fault
        return predict(*arguments, **options)

    monkeypatch.setattr(module, "predict", first_fails)
    errors = []
    settings = Settings(class_names=NAMES, palette=PALETTE, probabilities=True)
    written = predict_files(
        model, photos, tmp_path / "out", settings, on_error=lambda path, error: errors.append((path, error))
    )
    assert [path.name for path in written] == ["b-overlay.png"]
    ((path, error),) = errors
    assert path == photos[0]
    assert (
        "a-probabilities.npz is not written: the class probabilities of 53x37 pixels do not fit into memory; use a"
        in str(error)
    )


def test_another_fault_is_not_hidden(model, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(module, "predict", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        class_probabilities(model, PIXELS, Evaluation())


def test_a_folder_that_is_none_is_named(model, tmp_path):
    (tmp_path / "no").write_text("a file")
    with pytest.raises(ValueError, match=r"a\.npz is not written: File exists"):
        write_probabilities(tmp_path / "no" / "a.npz", model, PIXELS, None, NAMES)


def test_the_softmax_is_exact_for_large_logits():
    class Large(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images):
            return torch.tensor([1000.0, 999.0]).view(1, 2, 1, 1).expand(1, 2, *images.shape[-2:]).clone()

    p = class_probabilities(Large().eval(), PIXELS, Evaluation())
    torch.testing.assert_close(p[0, 0, 0], torch.tensor(1 / (1 + np.exp(-1.0)), dtype=torch.float32))
