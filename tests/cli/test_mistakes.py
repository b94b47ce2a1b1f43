"""Mistakes as tyro shows them, and as one line."""

import pytest

from segattn.cli.mistakes import one_line, unknown

OPTIONS = ["--help", "--heads", "--augmentation.crop-size", "--evaluation.crop-size", "--lr", "--optimization.momentum"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--hed", "fcn"], "has no option --hed; did you mean --heads? All options: segattn x --help"),
        (["--crop-size=3"], "no option --crop-size; did you mean --augmentation.crop-size or --evaluation.crop-size? "),
        (["--optimization.lr"], "did you mean --lr? "),
        (["--hepl"], "has no option --hepl; did you mean --help"),
        (["fcn"], "segattn x: unexpected argument 'fcn'; see segattn x --help"),
    ],
)
def test_unknown_option_names_the_nearest(words, message):
    assert message in unknown(words, OPTIONS, command="x")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("Missing from segattn x:\n    --image PHOTO\n        The photo.\n    -o PATH, --out PATH\n        Where.",
         "segattn x needs --image PHOTO, --out PATH; see segattn x --help"),
        ("Missing value for argument '-o/--out'. Expected 1 values.", "--out needs a value; see segattn x --help"),
        ("Missing value for argument '--range'. Expected 2 values.", "--range needs 2 values; see segattn x --help"),
        ("Error parsing --lr/--optimization.lr: 'x' should be\na number", "--lr: 'x' should be a number"),
        ("What nobody has\nseen yet", "segattn x: What nobody has seen yet"),
    ],
)  # fmt: skip
def test_box_becomes_one_line(body, message):
    rows = [*body.splitlines(), "─" * 20, "For full helptext, run x --help"]
    box = "\n".join(["╭─ Title ──╮", *(f"│ {row} │" for row in rows), "╰──────────╯"])
    assert one_line(box, command="x") == message
