import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from segattn.config import Evaluation
from segattn.data import Dataset, Sample, verify
from segattn.evaluation.evaluate import evaluate, write_examples
from segattn.inference.legend import colour

K = 3
PALETTE = ((10, 20, 30), (40, 50, 60), (70, 80, 90))


class Brightness(nn.Module):
    """Predicts class 0, 1 or 2 by the image's normalised red channel: dark, middle, bright."""

    num_classes = K
    align_corners = False

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images):
        red = images[:, :1]
        return self.scale * torch.cat([-red, 0.3 - red.abs(), red], dim=1)


def dataset(sizes, *, labelled=True, classes=K, seed=0):
    """Images of three levels of red with random labels, some ignored."""
    rng = np.random.default_rng(seed)
    samples = []
    for number, (h, w) in enumerate(sizes):
        level = rng.integers(0, 3, (h, w))
        image = np.zeros((h, w, 3), np.uint8)
        image[..., 0] = np.array([0, 124, 255])[level]
        label = np.where(rng.random((h, w)) < 0.6, level, rng.integers(0, 3, (h, w))).astype(np.uint8)
        label[rng.random((h, w)) < 0.1] = 255
        samples.append((Sample(image, label if labelled else None, f"photo{number}"), level))
    names = [sample.name for sample, _ in samples]
    levels = Dataset(
        name="levels", split="val", class_names=[f"class{k}" for k in range(classes)], image_names=names,
        palette=[(k, k, k) for k in range(classes)], read=lambda i: samples[i][0], from_files=False,
    )  # fmt: skip
    return levels, samples


SIZES = [(5, 7), (5, 7), (5, 7), (11, 3), (5, 7)]


def counted_by_a_loop(samples):
    matrices = []
    for sample, level in samples:
        matrix = [[0] * K for _ in range(K)]
        for row, predicted in zip(sample.label.tolist(), level.tolist(), strict=True):
            for label, prediction in zip(row, predicted, strict=True):
                if label != 255:
                    matrix[label][prediction] += 1
        matrices.append(matrix)
    return np.array(matrices)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_counts_equal_a_loop_over_pixels_whatever_the_batches(batch_size):
    data, samples = dataset(SIZES)
    result = evaluate(Brightness(), data, batch_size=batch_size)
    expected = counted_by_a_loop(samples)
    assert result.per_image.tolist() == expected.tolist()
    assert result.scores.confusion == expected.sum(axis=0).tolist()
    assert result.names == ["photo0", "photo1", "photo2", "photo3", "photo4"]
    assert result.scores.num_images == 5


def test_scores_are_those_of_the_whole_set_not_the_mean_over_images():
    data, samples = dataset(SIZES)
    scores = evaluate(Brightness(), data).scores
    m = counted_by_a_loop(samples).sum(axis=0)
    iou = [m[k, k] / (m[k].sum() + m[:, k].sum() - m[k, k]) for k in range(K)]
    accuracy = [m[k, k] / m[k].sum() for k in range(K)]
    assert scores.iou == pytest.approx(iou)
    assert scores.accuracy == pytest.approx(accuracy)
    assert scores.mean_iou == pytest.approx(sum(iou) / K)
    assert scores.mean_accuracy == pytest.approx(sum(accuracy) / K)
    assert scores.pixel_accuracy == pytest.approx(np.trace(m) / m.sum())


def test_class_that_is_nowhere_has_no_score_and_no_part_in_the_mean():
    black = Sample(np.zeros((5, 7, 3), np.uint8), np.zeros((5, 7), np.uint8), "night")
    data = Dataset(
        name="night", split="val", class_names=["a", "b", "c"], palette=PALETTE, image_names=["night"],
        read=lambda i: black, from_files=False,
    )  # fmt: skip
    scores = evaluate(Brightness(), data).scores
    assert scores.iou == [1.0, None, None]
    assert scores.accuracy == [1.0, None, None]
    assert scores.mean_iou == scores.mean_accuracy == scores.pixel_accuracy == 1.0


def test_split_in_which_no_pixel_counts_is_an_error():
    void = Sample(np.zeros((5, 7, 3), np.uint8), np.full((5, 7), 255, np.uint8), "void")
    data = Dataset(
        name="void", split="val", class_names=["a", "b", "c"], palette=PALETTE, image_names=["void"],
        read=lambda i: void, from_files=False,
    )  # fmt: skip
    with pytest.raises(ValueError, match="void val: every pixel is ignored"):
        evaluate(Brightness(), data)


@pytest.mark.parametrize("training", [True, False])
def test_model_keeps_its_mode_and_gets_no_gradient(training):
    model = Brightness().train(training)
    evaluate(model, dataset(SIZES[:2])[0])
    assert model.training is training
    assert model.scale.grad is None


def test_mode_is_given_back_after_an_error():
    model = Brightness().train()
    with pytest.raises(ValueError, match="no labels"):
        evaluate(model, dataset(SIZES[:2], labelled=False)[0])
    assert model.training


def test_number_of_classes_has_to_be_the_models():
    with pytest.raises(ValueError, match="the model has 3 classes, levels has 4"):
        evaluate(Brightness(), dataset(SIZES[:1], classes=4)[0])


def test_progress_counts_images():
    seen = []
    evaluate(Brightness(), dataset(SIZES)[0], batch_size=2, on_image=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (3, 5), (4, 5), (5, 5)]  # batches hold neighbours of one size


def test_scores_say_what_was_done():
    scores = evaluate(Brightness(), dataset(SIZES)[0], Evaluation(flip=True, scales=(0.5, 1.0))).scores
    assert "flip" in scores.inference
    assert "0.5, 1" in scores.inference
    assert "One confusion matrix over all pixels of the split" in scores.definition


def test_colour_paints_classes_and_leaves_the_ignored_black():
    label = np.array([[0, 2], [255, 1]], np.uint8)
    assert colour(label, PALETTE).tolist() == [[[10, 20, 30], [70, 80, 90]], [[0, 0, 0], [40, 50, 60]]]


@pytest.mark.parametrize(("count", "indices"), [(0, []), (1, [0]), (2, [0, 4]), (3, [0, 2, 4]), (9, [0, 1, 2, 3, 4])])
def test_examples_are_evenly_spaced(count, indices, tmp_path):
    examples = write_examples(Brightness().eval(), dataset(SIZES)[0], tmp_path / "examples", count=count)
    assert [example.name for example in examples] == [f"photo{i}" for i in indices]
    assert [example.image for example in examples] == [f"examples/{i:05d}-image.png" for i in indices]


def test_example_shows_the_prediction(tmp_path):
    data, samples = dataset(SIZES)
    examples = write_examples(Brightness().eval(), data, tmp_path / "examples", count=5)
    for example, (sample, level) in zip(examples, samples, strict=True):
        painted = np.asarray(Image.open(tmp_path / example.prediction))
        assert np.array_equal(painted, colour(level.astype(np.uint8), data.palette))
        assert np.array_equal(np.asarray(Image.open(tmp_path / example.image)), sample.image)


def test_example_without_a_label_has_no_label_picture(tmp_path):
    examples = write_examples(Brightness().eval(), dataset(SIZES, labelled=False)[0], tmp_path / "examples", count=1)
    assert examples[0].label is None
    assert len(list((tmp_path / "examples").iterdir())) == 2


def renamed(levels, names):
    """The same split with other class names, its labels as they are stored."""
    return Dataset(
        name=levels.name, split=levels.split, class_names=names, palette=PALETTE, from_files=False,
        image_names=[levels.image_name(i) for i in range(len(levels))], read=levels.reader,
    )  # fmt: skip


def test_classes_in_another_order_are_matched_by_name():
    levels, samples = dataset(SIZES)
    model = Brightness()
    model.class_names = ("dark", "middle", "bright")
    expected = evaluate(model, renamed(levels, model.class_names))
    order = [2, 0, 1]  # the data set's class k is the model's class order[k]
    swapped = [
        Sample(sample.image, np.array([1, 2, 0, *[0] * 252, 255], np.uint8)[sample.label], sample.name)
        for sample, _ in samples
    ]
    other = Dataset(
        name="levels", split="val", class_names=[model.class_names[k] for k in order], palette=PALETTE, from_files=False,
        image_names=expected.names, read=swapped.__getitem__,
    )  # fmt: skip
    seen = {}
    result = evaluate(model, other, on_prediction=lambda index, prediction: seen.update({index: prediction}))
    assert result.scores.iou == [expected.scores.iou[k] for k in order]
    assert (result.per_image == expected.per_image[:, order][:, :, order]).all()
    level = torch.from_numpy(samples[0][1])
    assert torch.equal(torch.tensor(order)[seen[0].long()], level)


def test_other_classes_of_the_same_number_are_refused_with_both_lists():
    model = Brightness()
    model.class_names = ("dark", "middle", "bright")
    with pytest.raises(ValueError, match=r"dark, middle, bright \(the model\); class0, class1, class2 \(levels\)"):
        evaluate(model, dataset(SIZES[:1])[0])


def test_single_class_is_not_scored():
    model = Brightness()
    model.num_classes = 1
    with pytest.raises(ValueError, match=r"levels has one class \(class0\)"):
        evaluate(model, dataset(SIZES[:1], classes=1)[0])


def test_nothing_to_score_is_known_before_the_network_runs(tmp_path):
    void = Sample(np.zeros((5, 7, 3), np.uint8), np.full((5, 7), 255, np.uint8), "void")
    unlabelled = Dataset(
        name="void", split="val", class_names=["a", "b", "c"], palette=PALETTE, image_names=["void"],
        read=lambda i: void, from_files=False,
    )  # fmt: skip
    verify(unlabelled)
    with pytest.raises(ValueError, match="void val: every pixel is ignored"):
        evaluate(Brightness(), unlabelled, on_prediction=lambda *arguments: pytest.fail("the network ran"))
