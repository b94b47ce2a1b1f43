import re

import pytest

from segattn import zoo
from segattn.profile.markdown import markdown_table
from segattn.zoo import card


@pytest.fixture
def entry(packed):
    return zoo.read(packed / "streets-local")[3]


@pytest.mark.parametrize("width", [80, 72])
def test_card_fits_and_says_what_a_user_must_know(entry, width):
    text = card.text(entry, width=width)
    assert max(map(len, text.splitlines())) <= width
    plain = " ".join(text.split())
    assert plain.startswith(f"streets-local/ccnet-faithful: {100 * entry.mean_iou:.1f} % mIoU")
    for part in (
        "head ccnet, mode faithful",
        "resnet18 at output stride 8",
        "311 px",
        "need no licence and show no person",
        "not for decisions about real photos",
        "trained with segattn train tiny --head ccnet --mode faithful --seed 0",
        'segattn.load_model("streets-local/ccnet-faithful")',
        entry.machine,
        entry.date,
    ):
        assert part in plain


def test_card_has_every_class_once_and_a_dash_for_what_does_not_occur(entry):
    below = card.text(entry).partition("IoU of each class in %\n")[2]
    rows = dict(re.findall(r"(\S.*?) +([\d.]+|-)(?: {2,}|$)", below, re.MULTILINE))
    assert list(rows) == list(entry.class_names)
    assert rows["road"] == card.percent(entry.iou[0])
    assert card.percent(None) == "-"


def test_page_of_a_trunk_has_the_facts_of_every_card(packed):
    entries = zoo.read(packed / "streets-local")
    page = (packed / "streets-local/README.md").read_text(encoding="utf-8")
    assert page == card.page(entries, markdown_table)
    plain = " ".join(page.replace("`", "").split())
    for entry in entries:
        assert f"\n## {entry.name}\n" in page
        for value in (entry.command, entry.machine, entry.head_file.path.name, f"{100 * entry.mean_iou:.2f} %"):
            assert value in plain


@pytest.mark.parametrize("folder", [path.parent for path in sorted(zoo.ROOT.glob("*/zoo.json"))], ids=lambda p: p.name)
def test_shipped_page_is_up_to_date(folder):
    assert (folder / "README.md").read_text(encoding="utf-8") == card.page(zoo.read(folder), markdown_table)
