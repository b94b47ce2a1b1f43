"""Focal, Dice, Lovasz and boundary loss against loops over pixels written from the papers, and against kornia."""

import itertools
import math

import pytest
import torch

from segattn.training import terms
from segattn.training.formula import parse
from segattn.training.losses import segmentation_loss

B, K, H, W = 2, 5, 7, 11
IGNORED, ABSENT = 255, 3  # the class that no label has
PIXELS = list(itertools.product(range(B), range(H), range(W)))
FORMULAS = [
    "focal",
    "focal(gamma=0.5)",
    "dice",
    "lovasz",
    "boundary",
    "ce + 0.5 dice",
    "0.3 ce + lovasz + 0.01 boundary",
]
WEIGHTS = torch.tensor([0.5, 2.0, 0.0, 1.0, 3.0], dtype=torch.float64)


def random_case(seed=0, ignored=0.2):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(B, K, H, W, generator=generator, dtype=torch.float64)
    label = torch.randint(0, K, (B, H, W), generator=generator)
    label[label == ABSENT] = 0
    label[torch.rand(B, H, W, generator=generator) < ignored] = IGNORED
    return logits.requires_grad_(), label


def softmax(logits, b, y, x):
    scores = [math.exp(value) for value in logits[b, :, y, x].tolist()]
    return [score / sum(scores) for score in scores]


def counted(logits, label):
    """(probabilities, true class, place) of each pixel that is not ignored."""
    return [(softmax(logits, *place), int(label[place]), place) for place in PIXELS if int(label[place]) != IGNORED]


def weight(k, weighted):
    return float(WEIGHTS[k]) if weighted else 1.0


def focal_by_hand(logits, label, weighted, gamma=2.0):
    numerator = denominator = 0.0
    for p, k, _ in counted(logits, label):
        numerator += weight(k, weighted) * (1 - p[k]) ** gamma * -math.log(p[k])
        denominator += weight(k, weighted)
    return numerator / denominator


def dice_by_hand(logits, label, weighted):
    numerator = denominator = 0.0
    for k in {k for _, k, _ in counted(logits, label)}:
        overlap = sum(p[k] for p, true, _ in counted(logits, label) if true == k)
        predicted = sum(p[k] for p, _, _ in counted(logits, label))
        size = sum(true == k for _, true, _ in counted(logits, label))
        numerator += weight(k, weighted) * (1 - 2 * overlap / (predicted + size))
        denominator += weight(k, weighted)
    return numerator / denominator


def jaccard_loss(wrong, truth):
    """1 - intersection / union of a class, if the pixels `wrong` are mispredicted."""
    union = len(truth | wrong)
    return 1 - len(truth - wrong) / union if union else 0.0


def lovasz_by_hand(logits, label, weighted):
    numerator = denominator = 0.0
    pixels = counted(logits, label)
    for k in {k for _, k, _ in pixels}:
        truth = {place for _, true, place in pixels if true == k}
        errors = sorted(((abs((true == k) - p[k]), place) for p, true, place in pixels), reverse=True)
        extension, wrong = 0.0, set()
        for error, place in errors:
            extension += error * (jaccard_loss(wrong | {place}, truth) - jaccard_loss(wrong, truth))
            wrong.add(place)
        numerator += weight(k, weighted) * extension
        denominator += weight(k, weighted)
    return numerator / denominator


def boundary_by_hand(logits, label, weighted):
    numerator = denominator = 0.0
    pixels = counted(logits, label)
    for p, true, (b, y, x) in pixels:
        phi = {}
        for k in {k for _, k, _ in pixels}:
            others = [
                math.hypot(y - v, x - u)
                for _, other, (image, v, u) in pixels
                if image == b and (other == k) != (true == k)
            ]
            phi[k] = (min(others) - 0.5) * (-1 if true == k else 1) if others else 0.0
        numerator += weight(true, weighted) * sum(distance * p[k] for k, distance in phi.items())
        denominator += weight(true, weighted)
    return numerator / denominator


BY_HAND = {"focal": focal_by_hand, "dice": dice_by_hand, "lovasz": lovasz_by_hand, "boundary": boundary_by_hand}


def loss_of(logits, label, text, **options):
    return segmentation_loss({"out": logits}, label, {"out": 1.0}, terms=parse(text), **options)[0]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", BY_HAND)
def test_loss_equals_a_loop_over_counted_pixels(name, weighted):
    logits, label = random_case()
    by_hand = BY_HAND[name](logits, label, weighted)
    weights = {"class_weights": WEIGHTS} if weighted else {}
    assert loss_of(logits, label, name, **weights).item() == pytest.approx(by_hand, rel=2e-6)  # computed in float32


def test_terms_equal_the_loops_in_float64():
    logits, label = random_case(1)
    p, size = logits.softmax(1), sum(int(label[place]) != IGNORED for place in PIXELS)
    present = len({k for _, k, _ in counted(logits, label)})
    assert (terms.focal(logits, label, 1.5).sum() / size).item() == pytest.approx(
        focal_by_hand(logits, label, False, 1.5), rel=1e-12
    )
    assert (terms.dice(p, label).sum() / present).item() == pytest.approx(dice_by_hand(logits, label, False), rel=1e-12)
    assert (terms.lovasz(p, label).sum() / present).item() == pytest.approx(
        lovasz_by_hand(logits, label, False), rel=1e-12
    )
    assert (terms.boundary(p, label).sum() / size).item() == pytest.approx(
        boundary_by_hand(logits, label, False),
        rel=1e-6,  # distances are float32
    )


def test_combination_is_the_sum_of_its_terms_with_their_factors():
    logits, label = random_case()
    expected = 0.5 * loss_of(logits, label, "ce") + 2 * dice_by_hand(logits, label, False)
    assert loss_of(logits, label, "0.5 ce + 2 dice").item() == pytest.approx(expected.item(), rel=1e-6)


def test_focal_without_gamma_is_cross_entropy():
    logits, label = random_case()
    for options in ({}, {"class_weights": WEIGHTS}):
        expected = loss_of(logits, label, "ce", **options).item()
        assert loss_of(logits, label, "focal(gamma=0)", **options).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("text", FORMULAS)
def test_ignored_pixels_change_nothing_and_get_no_gradient(text):
    logits, label = random_case()
    loss = loss_of(logits, label, text)
    loss.backward()
    ignored = (label == IGNORED)[:, None].expand_as(logits)
    assert logits.grad[ignored].count_nonzero() == 0
    assert logits.grad[~ignored].count_nonzero() > 0
    other = logits.detach().clone()
    other[ignored] = 50 * torch.randn(int(ignored.sum()), dtype=torch.float64)
    assert loss_of(other, label, text).item() == loss.item()


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("weighted", [False, True])
def test_batch_of_ignored_pixels_gives_zero_loss_and_zero_gradients(text, weighted):
    logits, _ = random_case()
    loss = loss_of(logits, torch.full((B, H, W), IGNORED), text, **({"class_weights": WEIGHTS} if weighted else {}))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.count_nonzero() == 0


@pytest.mark.parametrize("text", FORMULAS)
def test_image_of_ignored_pixels_changes_nothing(text):
    logits, label = random_case()
    more = torch.cat([logits, torch.randn(1, K, H, W, dtype=torch.float64)])
    padded = torch.cat([label, torch.full((1, H, W), IGNORED)])
    assert loss_of(more, padded, text).item() == pytest.approx(loss_of(logits, label, text).item(), rel=1e-6)


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_gradients_are_finite_with_one_class_and_with_certain_logits(text, scale):
    logits, _ = random_case()
    for k in (0, ABSENT):
        label = torch.full((B, H, W), k)
        label[0, 0, :3] = IGNORED
        scaled = (logits.detach() * scale).requires_grad_()
        loss = loss_of(scaled, label, text)
        loss.backward()
        assert math.isfinite(loss.item())
        assert scaled.grad.isfinite().all()


@pytest.mark.parametrize("text", ["dice", "lovasz"])
def test_certain_and_right_is_zero_and_certain_and_wrong_is_one(text):
    label = random_case()[1]
    right = 100 * torch.nn.functional.one_hot(label.where(label != IGNORED, 0), K).permute(0, 3, 1, 2).float()
    assert loss_of(right, label, text).item() == pytest.approx(0, abs=1e-6)
    wrong = torch.zeros_like(right)
    wrong[:, ABSENT] = 100
    assert loss_of(wrong, label, text).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("text", ["dice", "lovasz", "boundary"])
def test_a_class_that_does_not_occur_has_no_term(text):
    label = torch.zeros(1, 5, 5, dtype=torch.int64)
    label[0, 2:, :3] = 1
    p = torch.tensor([0.5, 0.3, 0.2])
    unsure = p.log()[None, :, None, None].expand(1, 3, 5, 5)
    moved = torch.tensor([0.5, 0.3, 0.1, 0.1]).log()[None, :, None, None].expand(1, 4, 5, 5)  # two absent classes
    assert loss_of(unsure, label, text).item() == pytest.approx(loss_of(moved, label, text).item(), rel=1e-6)


def test_distances_of_a_square_by_hand():
    inside = torch.zeros(1, 5, 7, dtype=torch.bool)
    inside[0, 1:4, 1:4] = True
    phi = terms.signed_distance(inside, torch.ones_like(inside))[0]
    assert phi[2].tolist() == [0.5, -0.5, -1.5, -0.5, 0.5, 1.5, 2.5]
    assert phi[0, 0].item() == pytest.approx(math.sqrt(2) - 0.5)
    assert phi[0, 6].item() == pytest.approx(math.sqrt(1 + 9) - 0.5)


@pytest.mark.parametrize("size", [(30, 41), (41, 30), (1, 40), (40, 1)])
def test_distances_are_those_of_a_loop(size):
    torch.manual_seed(0)
    region = torch.rand(2, *size) < 0.02
    region[1] = False
    region[1, -1, -1] = True  # one pixel in a corner: the largest distance of all
    at = torch.stack(torch.meshgrid(*map(torch.arange, size), indexing="ij"), -1).flatten(0, 1).double()
    for inside, phi in zip(region, terms.signed_distance(region, torch.ones_like(region)), strict=True):
        between = torch.cdist(at, at)
        other = torch.where(inside.flatten()[None] != inside.flatten()[:, None], between, torch.inf).amin(1) - 0.5
        expected = torch.where(inside.flatten(), -other, other).float().view(size)
        torch.testing.assert_close(phi, expected if inside.any() else torch.zeros(size))


@pytest.mark.parametrize("size", [(17, 19), (40, 9)])
def test_the_boundary_loss_of_images_without_a_boundary_is_0(size):
    torch.manual_seed(0)
    logits, label = torch.randn(3, 4, *size, requires_grad=True), torch.randint(4, (3, *size))
    label[0], label[1] = 255, 2  # nothing is labelled, and one class alone
    p = logits.softmax(1)
    loss = terms.boundary(p, label)
    assert loss[:2].count_nonzero() == 0
    torch.testing.assert_close(loss[2:], terms.boundary(p[2:], label[2:]))
    assert loss[2].count_nonzero() > 0
    nothing = terms.boundary(p, torch.full_like(label, 255)).sum()
    nothing.backward()
    assert nothing.item() == logits.grad.count_nonzero() == 0


def test_distances_do_not_see_pixels_that_are_not_counted():
    inside = torch.zeros(1, 1, 6, dtype=torch.bool)
    inside[0, 0, :2] = True
    seen = torch.tensor([True, True, False, False, True, True])[None, None]
    assert terms.signed_distance(inside, seen)[0, 0].tolist() == [-3.5, -2.5, 0, 0, 2.5, 3.5]
    assert terms.signed_distance(inside, inside).count_nonzero() == 0  # nothing outside
    assert terms.signed_distance(~seen, seen).count_nonzero() == 0  # nothing inside


@pytest.mark.parametrize("text", [*FORMULAS, "ce"])
def test_loss_is_float32_under_autocast(text):
    logits, label = random_case()
    half = logits.detach().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(half, label, text)
    assert loss.dtype == torch.float32
    assert loss.item() == loss_of(half.float(), label, text).item()


@pytest.mark.parametrize("text", ["focal", "boundary", "ce + focal"])
def test_parts_of_a_batch_add_up_where_the_loss_is_a_mean_over_pixels(text):
    logits, label = random_case()
    weights = WEIGHTS.float()
    whole = loss_of(logits, label, text, class_weights=weights)
    size = sum(weight(k, True) for _, k, _ in counted(logits, label))
    parts = [
        loss_of(logits[b : b + 1], label[b : b + 1], text, class_weights=weights, divisor=torch.tensor(size / B))
        for b in range(B)
    ]
    assert (sum(parts) / B).item() == pytest.approx(whole.item(), rel=1e-6)


def test_other_outputs_have_cross_entropy():
    logits, label = random_case()
    _, losses = segmentation_loss(
        {"out": logits, "aux": logits}, label, {"out": 1.0, "aux": 0.4}, terms=parse("ce + dice"), label_smoothing=0.1
    )
    assert losses["aux"].item() == pytest.approx(loss_of(logits, label, "ce", label_smoothing=0.1).item())
    assert losses["out"].item() == pytest.approx(losses["aux"].item() + dice_by_hand(logits, label, False), rel=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_label_smoothing_equals_a_loop(weighted):
    logits, label = random_case()
    numerator = denominator = 0.0
    for p, true, _ in counted(logits, label):
        for k in range(K):
            target = 0.9 * (k == true) + 0.1 / K
            numerator += weight(k, weighted) * target * -math.log(p[k])
        denominator += weight(true, weighted)
    options = {"class_weights": WEIGHTS} if weighted else {}
    loss = loss_of(logits, label, "ce", label_smoothing=0.1, **options)
    assert loss.item() == pytest.approx(numerator / denominator, rel=1e-6)


def test_kornia_agrees_where_it_defines_the_same():
    kornia = pytest.importorskip("kornia.losses")
    logits, label = random_case()
    p, valid = logits.softmax(1), label != IGNORED
    focal = kornia.focal_loss(logits, label, None, 2.0, reduction="sum", ignore_index=IGNORED)
    assert terms.focal(logits, label, 2.0).sum().item() == pytest.approx(focal.item(), rel=1e-9)
    # one image of the counted pixels; kornia's mean over classes has all of them
    columns, true = logits.permute(0, 2, 3, 1)[valid].T[None, :, None], label[valid][None, None]
    assert (terms.dice(p, label).sum() / (K - 1)).item() == pytest.approx(
        kornia.dice_loss(columns, true, average="macro").item(), rel=1e-6
    )
    present = terms.occurring(label, K).double()
    assert (terms.lovasz(p, label).sum() / K).item() == pytest.approx(
        kornia.lovasz_softmax_loss(columns, true, weight=present).item(), rel=1e-9
    )
