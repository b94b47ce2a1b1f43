import math

import pytest
import torch
from torch.nn import functional as F

from segattn.training.losses import Ohem, segmentation_loss

B, K, H, W = 2, 5, 7, 11
IGNORED = 255


def random_case(seed=0, ignored=0.2):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(B, K, H, W, generator=generator, dtype=torch.float64)
    label = torch.randint(0, K, (B, H, W), generator=generator)
    label[torch.rand(B, H, W, generator=generator) < ignored] = IGNORED
    return logits.requires_grad_(), label


def pixels(logits, label):
    """(probability of the true class, class) of each counted pixel, by loops."""
    counted = []
    for b in range(B):
        for y in range(H):
            for x in range(W):
                k = int(label[b, y, x])
                if k != IGNORED:
                    scores = [math.exp(value) for value in logits[b, :, y, x].tolist()]
                    counted.append((scores[k] / sum(scores), k))
    return counted


def loss_of(logits, label, **options):
    return segmentation_loss({"out": logits}, label, {"out": 1.0}, **options)[0]


def test_cross_entropy_equals_a_loop_over_counted_pixels():
    logits, label = random_case()
    expected = [-math.log(p) for p, _ in pixels(logits, label)]
    assert loss_of(logits, label).item() == pytest.approx(sum(expected) / len(expected), rel=1e-6)


def test_class_weights_equal_a_loop_and_divide_by_their_sum():
    logits, label = random_case()
    weights = torch.tensor([0.5, 2.0, 0.0, 1.0, 3.0])
    counted = pixels(logits, label)
    numerator = sum(-math.log(p) * float(weights[k]) for p, k in counted)
    expected = numerator / sum(float(weights[k]) for _, k in counted)
    assert loss_of(logits, label, class_weights=weights).item() == pytest.approx(expected, rel=1e-6)


def test_total_is_the_weighted_sum_and_parts_are_unweighted():
    (main, label), (aux, _) = random_case(0), random_case(1)
    total, parts = segmentation_loss({"out": main, "aux": aux}, label, {"aux": 0.4, "out": 1.0})
    assert parts["aux"].item() == pytest.approx(loss_of(aux, label).item())
    assert total.item() == pytest.approx(parts["out"].item() + 0.4 * parts["aux"].item())
    assert not any(part.requires_grad for part in parts.values())
    total.backward()
    assert main.grad.abs().sum() > 0
    assert aux.grad.abs().sum() > 0


def test_batch_with_every_pixel_ignored_gives_zero_with_a_gradient():
    logits, _ = random_case()
    label = torch.full((B, H, W), IGNORED)
    for options in ({}, {"ohem": Ohem()}, {"class_weights": torch.ones(K)}):
        logits.grad = None
        total = loss_of(logits, label, **options)
        total.backward()
        assert total.item() == 0
        assert logits.grad.count_nonzero() == 0


def test_ignored_pixels_get_no_gradient():
    logits, label = random_case()
    loss_of(logits, label).backward()
    touched = logits.grad.abs().sum(1) > 0
    assert torch.equal(touched, label != IGNORED)


def test_classes_of_weight_zero_only_give_zero():
    logits, _ = random_case()
    total = loss_of(logits, torch.zeros(B, H, W, dtype=torch.int64), class_weights=torch.tensor([0.0, 1, 1, 1, 1]))
    assert total.item() == 0


def test_loss_is_float32_under_autocast():
    logits, label = random_case()
    half = logits.detach().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, parts = segmentation_loss({"out": half}, label, {"out": 1.0}, ohem=Ohem(min_kept=3))
    assert total.dtype == parts["out"].dtype == torch.float32
    exact = segmentation_loss({"out": half.float()}, label, {"out": 1.0}, ohem=Ohem(min_kept=3))[0]
    assert total.item() == exact.item()


def test_large_half_precision_logits_stay_finite():
    logits = torch.zeros(1, K, 1, 3, dtype=torch.float16)
    logits[0, 1] = 60_000  # float16 ends at 65,504, so the sum over three pixels needs float32
    total = loss_of(logits, torch.zeros(1, 1, 3, dtype=torch.int64))
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(60_000, rel=1e-3)


def test_ohem_keeps_every_pixel_below_the_threshold():
    logits, label = random_case()
    counted = pixels(logits, label)
    hard = [-math.log(p) for p, _ in counted if p < 0.1]
    assert B < len(hard) < len(counted)  # more than min_kept asks for, and not all
    loss = loss_of(logits, label, ohem=Ohem(threshold=0.1, min_kept=1))
    assert loss.item() == pytest.approx(sum(hard) / len(hard), rel=1e-6)


@pytest.mark.parametrize("min_kept", [1, 13, 41])
def test_ohem_keeps_the_hardest_where_few_are_below_the_threshold(min_kept):
    logits, label = random_case()
    hardest = sorted((-math.log(p) for p, _ in pixels(logits, label)), reverse=True)[: min_kept * B]
    loss = loss_of(logits, label, ohem=Ohem(threshold=1e-9, min_kept=min_kept))
    assert loss.item() == pytest.approx(sum(hardest) / len(hardest), rel=1e-6)


def test_ohem_with_fewer_pixels_than_it_must_keep_is_plain_cross_entropy():
    logits, label = random_case()
    assert loss_of(logits, label, ohem=Ohem(0.01, 100_000)).item() == pytest.approx(loss_of(logits, label).item())


@pytest.mark.parametrize("size", [(128, 256), (30, 40), (600, 512)], ids=str)
def test_ohem_drops_pixels_of_crops_of_any_size(size):
    torch.manual_seed(0)
    logits, label = 9 * torch.randn(1, 3, *size), torch.randint(3, (1, *size))
    each = F.cross_entropy(logits, label, reduction="none").flatten().sort(descending=True).values
    kept = min(100_000, round(100_000 * size[0] * size[1] / 512**2))
    loss = segmentation_loss({"out": logits}, label, {"out": 1.0}, ohem=Ohem(threshold=1e-30))[0]
    assert kept < each.numel() / 2
    assert loss.item() == pytest.approx(each[:kept].mean().item(), rel=1e-5)


def test_ohem_on_equal_logits_drops_nothing():
    # Every pixel ties: mining by "strictly harder than the min_kept-th" would keep none.
    label = random_case()[1]
    assert loss_of(torch.zeros(B, K, H, W), label, ohem=Ohem(0.1, 3)).item() == pytest.approx(math.log(K))


def test_ohem_mines_the_main_output_only():
    logits, label = random_case()
    weights = {"out": 1.0, "aux": 0.4}
    _, parts = segmentation_loss({"out": logits, "aux": logits}, label, weights, ohem=Ohem(0.3, 1))
    assert parts["aux"].item() == pytest.approx(loss_of(logits, label).item())
    assert parts["out"] > parts["aux"]


def test_ohem_drops_the_gradient_of_easy_pixels():
    logits, label = random_case()
    loss_of(logits, label, ohem=Ohem(threshold=1e-9, min_kept=13)).backward()
    assert int((logits.grad.abs().sum(1) > 0).sum()) == 13 * B


def test_names_that_differ_are_listed():
    logits, label = random_case()
    with pytest.raises(ValueError, match=r"missing outputs: aux; outputs without a weight: extra, more"):
        segmentation_loss({"out": logits, "more": logits, "extra": logits}, label, {"out": 1.0, "aux": 0.4})
    with pytest.raises(ValueError, match=r"\(missing outputs: aux\)"):
        segmentation_loss({"out": logits}, label, {"out": 1.0, "aux": 0.4})
    with pytest.raises(ValueError, match="no outputs"):
        segmentation_loss({}, label, {})


def test_shapes_and_labels_that_do_not_fit_are_named():
    logits, label = random_case()
    with pytest.raises(ValueError, match=r"'out' has shape \(2, 5, 7, 11\) and the label \(2, 7, 10\)"):
        loss_of(logits, label[..., 1:])
    with pytest.raises(ValueError, match=r"class_weights has shape \(3,\).*\(5,\)"):
        loss_of(logits, label, class_weights=torch.ones(3))
    label[1, 2, 3] = K
    with pytest.raises(ValueError, match=r"label holds 5; allowed are 0 to 4 and 255"):
        loss_of(logits, label)


def test_bad_mining_settings_are_refused():
    with pytest.raises(ValueError, match=r"threshold is 0.*usual: 0.7"):
        Ohem(threshold=0)
    with pytest.raises(ValueError, match="min_kept is 0"):
        Ohem(min_kept=0)
