"""Figures that others state, each with its source, our figure, and the convention that leads from one to the other.

A claim that was only recalled, never retrieved, is a hint: it is printed with that label and never as what a paper says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from docs.make.counting import backbone_totals, giga, head_ledger, mechanism_path
from docs.make.maps import mebibytes
from segattn.profile.ledger import Totals

Label = Literal["study", "found", "derived", "recalled"]
LABELS: dict[str, str] = {
    "study": "stated by the study, arXiv 2309.10217",
    "found": "read on a public page or in public code",
    "derived": "not published: counted with torch's counter on the authors' public code, 2 per multiply-add",
    "recalled": "recalled from the literature, not retrieved: unverified, a hint only",
}


@dataclass(frozen=True)
class Claim:
    what: str
    stated: str
    label: Label
    source: str
    ours: Callable[[], str]
    why: str


def _mechanism(name: str, at: int, **options: object) -> Totals:
    ledger = head_ledger(name, at, **options)
    return ledger.total(mechanism_path(name, ledger))


def _part(name: str, grid: int, path: str) -> Totals:
    return head_ledger(name, grid).total(path)


def _study(*totals: Totals) -> str:
    return " / ".join(giga(total.study, 2) for total in totals)


def _mixture() -> str:
    """Non-Local with products at 2 and convolutions at 1 per multiply-add."""
    rows = head_ledger("non_local", 64).by_operator("attention")
    convolutions = sum(row.macs for row in rows if row.operator == "convolution")
    products = sum(row.macs for row in rows if row.operator != "convolution")
    return (
        f"{giga(2 * products, 2)} (products, 2 each) + {giga(convolutions, 2)} (convolutions, 1 each) "
        f"= {giga(2 * products + convolutions, 2)}; all at 2, with bias: {giga(products * 2 + _layers_study(64), 2)}"
    )


def _layers_study(grid: int) -> int:
    rows = head_ledger("non_local", grid).by_operator("attention")
    return sum(row.study for row in rows if row.operator == "convolution")


def _saving() -> str:
    return f"{1 - _mechanism('ccnet', 97).study / _part('danet', 97, 'attention.position').study:.1%}"


def _memory_ratio() -> str:
    full, cross = mebibytes("non_local", 97, 97), mebibytes("ccnet", 97, 97)
    return f"maps alone: {full:.1f} / {cross:.1f} MiB = {full / cross:.0f} for one recurrence, {full / cross / 2:.0f} for two"


def _recurrences() -> str:
    totals = [_mechanism("ccnet", 97, recurrence=r) for r in (1, 2, 3)]
    return f"{_study(*totals)}; without bias {' / '.join(giga(total.flops, 2) for total in totals)}"


def _linears_once() -> str:
    """FLA with its two linear layers at one FLOP per multiply-add."""
    total = _mechanism("flanet", 96)
    linear = sum(row.macs for row in head_ledger("flanet", 96).by_operator("attention") if row.operator == "linear")
    return f"{giga(total.study, 2)}; {giga(total.study - linear, 2)} with the two linear layers at 1 per multiply-add"


def _reconet_ratio() -> str:
    ratios = (
        _mechanism("non_local", grid).study
        / _mechanism("reconet", grid, size_handling="fixed", grid=(grid, grid)).study
        for grid in (64, 97)
    )
    return " at 64x64, ".join(f"{ratio:.0f} times" for ratio in ratios) + " at 97x97"


def _upsampled() -> str:
    plain, twice = head_ledger("flanet", 96).total(), head_ledger("flanet", 96, upsample_classifier=True)
    classifier, head = twice.total("classify").flops, twice.total().flops
    auxiliary = sum(_conv3x3(192, width, 64) + 2 * 192 * 192 * 64 * 19 for width in (512, 1024))
    own = backbone_totals("resnet101", 768).flops
    authors = _wide_stem().flops + head + auxiliary
    return (
        f"{giga(own + head, 1)} with `upsample_classifier=True`, {giga(classifier, 1)} of it there; with the authors' wider stem "
        f"({giga(_wide_stem().flops - own, 1)} more) and auxiliary classifiers ({giga(auxiliary, 1)}): {giga(authors, 1)}. "
        f"By default {giga(own + plain.flops, 1)}"
    )


def _denoised() -> str:
    head = head_ledger("denoised_nl", 96)
    own = backbone_totals("resnet101", 768).flops
    auxiliary = _conv3x3(96, 512, 64) + 2 * 96 * 96 * 64 * 19
    authors = _wide_stem().flops + head.total().flops + auxiliary
    prior, mechanism = head.total("context.prior"), head.total("context.attention")
    return (
        f"{giga(own + head.total().flops, 1)}, class logits {giga(prior.flops, 1)}, mechanism {giga(mechanism.flops, 1)}; "
        f"with the authors' wider stem and auxiliary classifier: {giga(authors, 1)}"
    )


def _wide_stem() -> Totals:
    """ResNet-101 with the 64-64-128 stem of several authors' code."""
    return backbone_totals("resnet101", 768, stem_channels=128)


def _conv3x3(size: int, inputs: int, outputs: int) -> int:
    return 2 * size * size * 9 * inputs * outputs


def _emanet() -> str:
    narrow, wide = (backbone_totals("resnet101", 513, **options).macs for options in ({}, {"stem_channels": 128}))
    head = head_ledger("emanet", 65, concat_input=False)
    added = head.total("reduce").macs + head.total("attention").macs
    return (
        f"{giga(narrow, 1)} GMACs, {giga(wide, 1)} with the authors' wider stem; the EMA unit and the 3x3 convolution "
        f"before it {giga(added, 1)} GMACs"
    )


def _fastest() -> str:
    counted = {name: _mechanism(name, 97).study for name in ("denoised_nl", "ccnet", "emanet", "reconet")}
    whole = {name: head_ledger(name, 97).total().study for name in ("denoised_nl", "isanet", "reconet")}
    mechanisms = ", ".join(
        f"{name} {giga(value, 2)}" for name, value in sorted(counted.items(), key=lambda pair: pair[1])
    )
    heads = ", ".join(f"{name} {giga(value, 0)}" for name, value in sorted(whole.items(), key=lambda pair: pair[1]))
    return f"mechanisms: {mechanisms}; heads: {heads}"


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "a convolution",
        "2HW(C_in K^2 + 1)C_out",
        "study",
        "the study",
        lambda: "column `study` everywhere",
        "2 per multiply-add; the +1 for a bias is always counted, with or without a bias. The study does not say how it counts "
        "products, softmax, norm and resizing, at which input size, and whether for block, head or network; for ours see above.",
    ),
    Claim(
        "Denoised NL",
        "the fastest",
        "study",
        "the study",
        _fastest,
        "By our count RecoNet's mechanism is far cheaper, and the order of whole heads is different again. The statement must be "
        "based on something else: measured time, another way of counting, or a comparison without RecoNet.",
    ),
    Claim(
        "criss-cross attention against Non-Local",
        "about 85 % fewer FLOPs",
        "found",
        "abstract of CCNet",
        _saving,
        "At 97x97 with two recurrences, compared with a non-local block with C/8 channels for queries and keys and C for values "
        "(DANet's position attention), in the study's convention.",
    ),
    Claim(
        "the same, memory",
        "11 times less",
        "found",
        "abstract of CCNet",
        _memory_ratio,
        "The attention maps alone differ by more; the abstract's ratio must include whatever else the block stores (recalled "
        "from its table: 1411 against 127 MB).",
    ),
    Claim(
        "Non-Local at 769x769",
        "108 G",
        "recalled",
        "CCNet's table",
        lambda: _study(_part("danet", 97, "attention.position")),
        "The study's convention at 97x97, for the block with C/8 channels for queries and keys and C for values (PAM), not the "
        "one with C/2.",
    ),
    Claim(
        "RCCA, R = 1, 2, 3, at 769x769",
        "8.3 / 16.5 / 24.7 G",
        "recalled",
        "CCNet's table",
        _recurrences,
        "2 per multiply-add at 97x97; with or without the bias term, the third is 0.5 % above the stated figure.",
    ),
    Claim(
        "channel / spatial / dual Non-Local at 768x768",
        "9.66 / 103.90 / 113.56 G",
        "recalled",
        "FLANet's table",
        lambda: _study(
            _part("danet", 96, "attention.channel"), _part("danet", 96, "attention.position"), _mechanism("danet", 96)
        ),
        "The study's convention at 96x96, for the mechanism alone: CAM, PAM, both. Softmax and norm count as 0.",
    ),
    Claim(
        "criss-cross, R = 2, at 768x768",
        "16.32 G",
        "recalled",
        "FLANet's table",
        lambda: _study(_mechanism("ccnet", 96)),
        "0.9 % above ours; none of the conventions named here yields it.",
    ),
    Claim(
        "FLA at 768x768",
        "19.37 G",
        "recalled",
        "FLANet's table",
        _linears_once,
        "Without the block's trailing 3x3 convolution, which alone costs 43.5 G at 96x96.",
    ),
    Claim(
        "whole FLANet at 768x768",
        "2045.7 G, 870 G of it in the classifier",
        "derived",
        "the authors' code",
        _upsampled,
        "Its classifiers double the map's height and width before a 3x3 convolution on 2560 channels: four times the positions. "
        "The authors' code also runs the auxiliary classifiers at inference, and its stem has 128 channels.",
    ),
    Claim(
        "whole Denoised NL at 768x768",
        "1397.6 G, 87.2 G of it for class logits",
        "derived",
        "the authors' code",
        _denoised,
        "The logits that rectify the map come from a convolution on stage 3 and are needed at inference too, as is a 3x3 "
        "convolution on the full grid (43.5 G). The mechanism itself is cheap.",
    ),
    Claim(
        "Non-Local on 512 x 64 x 64",
        "19.33 G",
        "recalled",
        "RecoNet's table",
        _mixture,
        "A mixture: 2 per multiply-add for matrix products, 1 for convolutions.",
    ),
    Claim(
        "RecoNet on 512 x 64 x 64",
        "0.0215 G",
        "recalled",
        "RecoNet's table",
        lambda: (
            f"{giga(_mechanism('reconet', 64).macs)} GMACs, of which the sum of 64 outer products is "
            f"{giga(64 * 512 * 64 * 64)}"
        ),
        "Cannot include the reconstruction: its sum alone is six times as large, in any convention.",
    ),
    Claim(
        "RecoNet against Non-Local",
        "more than 100 times less computation",
        "found",
        "abstract of RecoNet",
        _reconet_ratio,
        "The ratio grows with the map, N^2 against N: in the study's convention the statement holds at 97x97 but not at 64x64.",
    ),
    Claim(
        "ResNet-101 at 513x513, and EMANet's head on it",
        "190.6 G, + 43.1 G",
        "found",
        "README of EMANet's code",
        _emanet,
        "Multiply-adds, reported as FLOPs: half of what the study's convention gives. The 43.1 do not include the convolution "
        "after the unit.",
    ),
)
