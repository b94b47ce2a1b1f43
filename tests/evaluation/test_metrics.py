import math

import numpy as np
import pytest
import torch
from PIL import Image

from segattn.evaluation.metrics import DEFINITION, ConfusionMatrix, boundary_counts, boundary_iou

K = 7
IGNORED = 255


def random_maps(seed=0, shape=(2, 11, 13), ignored=0.2):
    """Labels without class 5, predictions without class 5 or 6, so that 5 is absent and 6 is only labelled."""
    rng = np.random.default_rng(seed)
    label = rng.choice([0, 1, 2, 3, 4, 6], shape)
    prediction = np.where(rng.random(shape) < 0.5, label, rng.integers(0, 5, shape))
    prediction[prediction == 6] = 0
    label[rng.random(shape) < ignored] = IGNORED
    return prediction, label


def slow_matrix(prediction, label, num_classes=K, ignore_index=IGNORED):
    matrix = [[0] * num_classes for _ in range(num_classes)]
    for p, t in zip(np.ravel(prediction).tolist(), np.ravel(label).tolist(), strict=True):
        if t != ignore_index:
            matrix[t][p] += 1
    return matrix


def counted(prediction, label, **options):
    matrix = ConfusionMatrix(K, **options)
    matrix.update(prediction, label)
    return matrix


def test_matrix_equals_a_loop_over_pixels():
    prediction, label = random_maps()
    matrix = counted(prediction, label).matrix
    assert matrix.dtype == torch.int64
    assert matrix.tolist() == slow_matrix(prediction, label)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64"])
def test_any_integer_type_of_array_counts_the_same(dtype):
    prediction, label = random_maps()
    assert counted(prediction.astype(dtype), label.astype(dtype)).matrix.tolist() == slow_matrix(prediction, label)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_tensors_and_arrays_mix(dtype):
    prediction, label = random_maps()
    expected = slow_matrix(prediction, label)
    assert counted(torch.from_numpy(prediction).to(dtype), label).matrix.tolist() == expected
    assert counted(prediction, torch.from_numpy(label).to(dtype)).matrix.tolist() == expected


def test_read_only_arrays_are_counted_and_inputs_left_alone():
    prediction, label = random_maps()
    before = label.copy()
    label.setflags(write=False)
    assert counted(prediction, label).matrix.tolist() == slow_matrix(prediction, before)
    assert (label == before).all()


def test_update_returns_the_image_and_adds_it_to_the_total():
    total = ConfusionMatrix(K)
    images = [random_maps(seed) for seed in range(3)]
    per_image = [total.update(*image) for image in images]
    assert [matrix.tolist() for matrix in per_image] == [slow_matrix(*image) for image in images]
    assert torch.equal(total.matrix, torch.stack(per_image).sum(0))


def test_merged_matrices_equal_one_matrix_over_all_images():
    first, second = random_maps(0), random_maps(1)
    together = ConfusionMatrix(K)
    together.update(*first)
    together.update(*second)
    assert torch.equal(counted(*first).merge(counted(*second)).matrix, together.matrix)


def test_from_matrix_keeps_counts_but_not_the_memory():
    counts = counted(*random_maps()).matrix
    for matrix in (counts, counts.numpy(), counts.tolist()):
        wrapped = ConfusionMatrix.from_matrix(matrix)
        assert torch.equal(wrapped.matrix, counts)
    copy = ConfusionMatrix.from_matrix(counts)
    copy.update(*random_maps())
    assert torch.equal(copy.matrix, 2 * counts)


def test_scores_worked_out_by_hand():
    # rows are labels: class 0 has 5 pixels (3 right), class 1 has 4 (4 right), class 2 is predicted once, 3 is absent
    matrix = ConfusionMatrix.from_matrix([[3, 1, 1, 0], [0, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert matrix.iou().tolist()[:3] == pytest.approx([3 / 5, 4 / 5, 0])
    assert math.isnan(matrix.iou()[3])
    assert matrix.class_accuracy().tolist()[:2] == pytest.approx([3 / 5, 1])
    assert matrix.class_accuracy().isnan().tolist() == [False, False, True, True]
    assert matrix.mean_iou() == pytest.approx((3 / 5 + 4 / 5 + 0) / 3)
    assert matrix.mean_accuracy() == pytest.approx((3 / 5 + 1) / 2)
    assert matrix.pixel_accuracy() == pytest.approx(7 / 9)


def test_nothing_counted_gives_nan_everywhere():
    matrix = counted(np.zeros((3, 5), int), np.full((3, 5), IGNORED))
    assert matrix.matrix.sum() == 0
    assert math.isnan(matrix.mean_iou())
    assert math.isnan(matrix.mean_accuracy())
    assert math.isnan(matrix.pixel_accuracy())


def test_counts_above_float_precision_stay_exact():
    huge = 2**53
    matrix = ConfusionMatrix.from_matrix([[huge, 0], [0, 0]])
    matrix.update(np.array([0]), np.array([0]))
    assert matrix.matrix[0, 0].item() == huge + 1


def test_prediction_under_ignored_label_is_not_looked_at():
    label = np.array([0, IGNORED, IGNORED])
    assert counted(np.array([0, 254, 1]), label).matrix.sum() == 1


@pytest.mark.parametrize("ignore_index", [11, 0, -1])
def test_another_ignore_label(ignore_index):
    prediction, label = random_maps(ignored=0)
    label[:, 3:5] = ignore_index
    matrix = counted(prediction, label, ignore_index=ignore_index)
    assert matrix.matrix.tolist() == slow_matrix(prediction, label, ignore_index=ignore_index)


def test_an_unused_negative_ignore_label_takes_no_class_away():
    classes = np.arange(150)
    matrix = ConfusionMatrix(150, ignore_index=-100)
    matrix.update(classes, classes)
    assert matrix.matrix.diagonal().tolist() == [1] * 150


@pytest.mark.parametrize("ignore_index", [255, 5000])
def test_empty_maps_and_far_ignore_labels(ignore_index):
    label = np.array([0, ignore_index, 6])
    matrix = counted(np.array([1, 2, 6]), label, ignore_index=ignore_index)
    assert matrix.update(np.zeros((0, 3), int), np.zeros((0, 3), int)).sum() == 0
    assert (matrix.matrix[0, 1], matrix.matrix[6, 6], matrix.matrix.sum()) == (1, 1, 2)


def test_definitions_in_use_today_give_different_values():
    """One pair of images and six definitions, each the default of some library or script.

    Classes 0 to 3; class 2 is predicted but never labelled, class 3 is in neither; one pixel is ignored.
    """
    labels = np.array([[0, 0, 0, 0, 0, 0, 1, 255], [0, 0, 0, 1, 1, 1, 1, 1]])
    predictions = np.array([[0, 0, 0, 0, 0, 2, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1]])
    total = ConfusionMatrix(4)
    images = [ConfusionMatrix.from_matrix(total.update(p, t)) for p, t in zip(predictions, labels, strict=True)]
    iou = total.iou().nan_to_num(0)
    assert iou.tolist() == pytest.approx([8 / 13, 2 / 6, 0, 0])

    ours = total.mean_iou()
    labelled_only = float(iou[total.matrix.sum(1) > 0].mean())
    absent_is_zero = float(total.iou().nan_to_num(0).mean())
    absent_is_one = float(total.iou().nan_to_num(1).mean())
    mean_over_images = sum(image.mean_iou() for image in images) / 2
    ignored_is_false_positive = (8 / 13 + 2 / 7 + 0) / 3  # the ignored pixel was predicted as class 1

    assert ours == pytest.approx(0.3162, abs=1e-4)
    assert labelled_only == pytest.approx(0.4744, abs=1e-4)
    assert absent_is_zero == pytest.approx(0.2372, abs=1e-4)
    assert absent_is_one == pytest.approx(0.4872, abs=1e-4)
    assert mean_over_images == pytest.approx((11 / 18 + 11 / 35) / 2)
    assert mean_over_images == pytest.approx(0.4627, abs=1e-4)
    assert ignored_is_false_positive == pytest.approx(0.3004, abs=1e-4)
    assert "predicted but never labelled has an IoU of 0" in DEFINITION
    assert "not averaged over images" in DEFINITION


@pytest.mark.parametrize("seed", range(3))
def test_iou_equals_torchmetrics(seed):
    from torchmetrics.classification import MulticlassJaccardIndex

    prediction, label = (torch.from_numpy(maps) for maps in random_maps(seed))
    ours = counted(prediction, label)
    per_class = MulticlassJaccardIndex(num_classes=K, ignore_index=IGNORED, average="none")(prediction, label)
    mean = MulticlassJaccardIndex(num_classes=K, ignore_index=IGNORED, average="macro")(prediction, label)
    present = ~ours.iou().isnan()
    assert present.tolist() == [True, True, True, True, True, False, True]
    assert per_class[present].tolist() == pytest.approx(ours.iou()[present].tolist(), abs=1e-6)  # float32 there
    assert float(mean) == pytest.approx(ours.mean_iou(), abs=1e-6)


def test_iou_equals_the_evaluator_of_cityscapes_on_written_files(tmp_path):
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as evaluator
    from cityscapesscripts.helpers.labels import labels, trainId2label

    to_train_id = np.array([entry.trainId for entry in labels if entry.id >= 0])  # ids 0 to 33; 255 where ignored
    to_id = np.array([trainId2label[k].id for k in range(19)])
    rng = np.random.default_rng(3)
    ours, predictions, truths = ConfusionMatrix(19), [], []
    for number in range(3):
        label_ids = rng.integers(0, 33, (17, 23))  # without class 18 (bicycle, id 33)
        train_ids = to_train_id[label_ids]
        right = (rng.random(label_ids.shape) < 0.6) & (train_ids != IGNORED)
        prediction = np.where(right, train_ids, rng.integers(0, 17, label_ids.shape))
        ours.update(prediction, train_ids)
        predictions.append(str(tmp_path / f"{number}_prediction.png"))
        truths.append(str(tmp_path / f"{number}_labelIds.png"))
        Image.fromarray(to_id[prediction].astype(np.uint8)).save(predictions[-1])
        Image.fromarray(label_ids.astype(np.uint8)).save(truths[-1])
    evaluator.args.evalInstLevelScore = False
    evaluator.args.JSONOutput = False
    evaluator.args.quiet = True
    official = evaluator.evaluateImgLists(predictions, truths, evaluator.args)
    expected = [official["classScores"][trainId2label[k].name] for k in range(19)]
    assert math.isnan(expected[18])
    assert ours.iou().tolist() == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert ours.mean_iou() == pytest.approx(official["averageScoreClasses"], abs=1e-9)


def test_label_outside_the_classes_is_named_and_nothing_is_counted():
    matrix = ConfusionMatrix(K)
    with pytest.raises(ValueError, match=r"label holds 7 \(2 px\), 34 \(1 px\).* 0 to 6 and 255 \(ignored\)"):
        matrix.update(np.zeros(4, int), np.array([34, 7, 0, 7]))
    assert matrix.matrix.sum() == 0


@pytest.mark.parametrize("value", [K, -1, 255])
def test_prediction_outside_the_classes_is_named(value):
    with pytest.raises(ValueError, match=rf"prediction holds {value} \(1 px\)"):
        counted(np.array([0, value]), np.array([0, 0]))


def test_many_wrong_values_are_summed_up():
    with pytest.raises(ValueError, match=r"100 \(1 px\), .*, 104 \(1 px\) and 15 more values"):
        counted(np.zeros(20, int), np.arange(100, 120))


def test_unequal_shapes_and_logits_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 7, 3, 5\) and label \(2, 3, 5\).*argmax"):
        counted(torch.zeros(2, K, 3, 5, dtype=torch.int64), torch.zeros(2, 3, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"float32.*integers"):
        counted(torch.zeros(3, 5), torch.zeros(3, 5, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"float64.*integers"):
        counted(np.zeros((3, 5), int), np.zeros((3, 5)))


def test_bad_matrices_are_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        ConfusionMatrix.from_matrix([[1, 2]])
    with pytest.raises(ValueError, match="-3"):
        ConfusionMatrix.from_matrix([[1, -3], [0, 0]])
    with pytest.raises(ValueError, match="num_classes is 0"):
        ConfusionMatrix(0)
    with pytest.raises(ValueError, match=r"5 classes .* 7 classes"):
        ConfusionMatrix(K).merge(ConfusionMatrix(5))


# Boundary IoU


def square(top, left, size=4, shape=(10, 10)):
    """Class 1 inside a square, class 0 around it."""
    mask = np.zeros(shape, int)
    mask[top : top + size, left : left + size] = 1
    return mask


def slow_boundary_counts(prediction, label, num_classes, distance, ignore_index=IGNORED):
    """Every class, pixel and window in turn."""
    H, W = label.shape

    def in_band(classes, y, x):
        for v in range(y - distance, y + distance + 1):
            for u in range(x - distance, x + distance + 1):
                if not (0 <= v < H and 0 <= u < W):
                    return True
                if label[v, u] != ignore_index and classes[v, u] != classes[y, x]:
                    return True
        return False

    intersection, union = [0] * num_classes, [0] * num_classes
    for k in range(num_classes):
        for y in range(H):
            for x in range(W):
                if label[y, x] != ignore_index:
                    first = label[y, x] == k and in_band(label, y, x)
                    second = prediction[y, x] == k and in_band(prediction, y, x)
                    intersection[k] += first and second
                    union[k] += first or second
    return intersection, union


def test_boundary_of_a_shifted_square_by_hand():
    # A 4x4 square's band of width 1 is its 12 outer pixels. Shifted by one column, the top and bottom rows share 3
    # pixels each; of the sides, columns 3 and 7 against 4 and 8, only corners of those rows coincide: 6 in common.
    intersection, union = boundary_counts(square(3, 4), square(3, 3), 2, dilation_ratio=0.07)  # 0.07 * 14.1 = 1 pixel
    assert intersection[1] == 6
    assert union[1] == 12 + 12 - 6


def test_background_band_includes_the_image_border_by_hand():
    # Class 0 around the 4x4 square: 36 pixels along the image border and 20 around the square (6x6 - 4x4).
    intersection, union = boundary_counts(square(3, 3), square(3, 3), 2, dilation_ratio=0.07)
    assert intersection.tolist() == union.tolist() == [36 + 20, 12]


def test_band_is_two_percent_of_the_diagonal():
    # 600 x 800: the diagonal is 1000, the band 20 wide: the whole image less its inner 560 x 760.
    label = np.zeros((600, 800), np.uint8)
    _, union = boundary_counts(label, label, 1)
    assert union.tolist() == [600 * 800 - 560 * 760]


def test_boundary_iou_sees_what_iou_hardly_does():
    label, prediction = square(10, 10, 80, (100, 100)), square(10, 12, 80, (100, 100))
    matrix = ConfusionMatrix(2)
    matrix.update(prediction, label)
    assert matrix.iou()[1] == pytest.approx(78 / 82)
    # Width 3: bands of 80^2 - 74^2 = 924 pixels. In common: 2 * 3 * 78 in the horizontal bars; of the 74 rows between,
    # the side bars share one column each (10-12 and 12-14, 87-89 and 89-91).
    assert boundary_iou(prediction, label, 2)[1] == pytest.approx((468 + 148) / (2 * 924 - 468 - 148))


@pytest.mark.parametrize("distance", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_boundary_counts_equal_a_loop_over_windows(distance, seed):
    rng = np.random.default_rng(seed)
    label = np.kron(rng.integers(0, 3, (4, 5)), np.ones((5, 5), int))[:19, :23]
    prediction = np.roll(label, 1, axis=seed)
    label[rng.random(label.shape) < 0.03] = IGNORED
    label[:3, :7] = IGNORED
    ratio = distance / math.hypot(19, 23)
    intersection, union = boundary_counts(prediction, label, 4, dilation_ratio=ratio)
    assert (intersection.tolist(), union.tolist()) == slow_boundary_counts(prediction, label, 4, distance)


def test_border_to_ignored_pixels_is_no_boundary():
    label = np.zeros((9, 9), int)
    label[3:6, 3:6] = IGNORED
    _, union = boundary_counts(np.zeros((9, 9), int), label, 1)
    assert union.tolist() == [32]  # the image border only


def test_boundary_iou_is_nan_for_absent_classes_and_one_for_equal_maps():
    scores = boundary_iou(square(3, 3), square(3, 3), 3)
    assert scores[:2].tolist() == [1, 1]
    assert math.isnan(scores[2])


def test_boundary_refuses_what_it_cannot_read():
    with pytest.raises(ValueError, match=r"one image \(H, W\)"):
        boundary_iou(np.zeros((2, 3, 5), int), np.zeros((2, 3, 5), int), 2)
    with pytest.raises(ValueError, match="dilation_ratio is 0"):
        boundary_iou(square(3, 3), square(3, 3), 2, dilation_ratio=0)
    with pytest.raises(ValueError, match="label holds 1"):
        boundary_iou(square(3, 3), square(3, 3), 1)
