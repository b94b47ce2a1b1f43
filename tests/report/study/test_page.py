"""The page: well-formed, alone, safe, and complete for odd studies too."""

import dataclasses
import html.parser
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from segattn import records, report
from tests.places import ROOT
from tests.report import fabricate

pytestmark = pytest.mark.slow

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Outline(html.parser.HTMLParser):
    """Checks that tags nest, and keeps ids, addresses, scripts and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.tags, self.words = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.addresses += [value for name, value in attrs if name in ("src", "href", "data", "srcset", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="session")
def text(built):
    return built["report.html"].read_text(encoding="utf-8")


def page_of(source, out):
    return report.build(source, out)["report.html"].read_text(encoding="utf-8")


def test_build_writes_what_it_says(built):
    assert {"report.html", "report.md", "table.csv", "table.tex"} < set(built)
    assert all(path.stat().st_size > 0 for path in built.values())


def test_tags_nest_and_ids_are_unique_and_links_lead_somewhere(text):
    outline = Outline(text)
    assert len(outline.ids) == len(set(outline.ids))
    assert {address[1:] for address in outline.addresses if address.startswith("#")} <= set(outline.ids)


def test_the_page_needs_no_network_and_no_other_file(text):
    assert "http:" not in text
    assert "https:" not in text
    assert all(address.startswith(("#", "data:image/")) for address in Outline(text).addresses)
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text


def test_every_part_is_there(text):
    assert {"table", "tradeoff", "classes", "confusion", "examples", "training", "cost", "protocol"} <= set(
        Outline(text).ids
    )
    for words in ("78.79", "TP / (TP + FP + FN)", "whole image, one scale", "segattn study synthetic --seeds 3",
                  "optimization.weight_decay", "Synthetic CPU", "2HW(C_in K² + 1)C_out", "At 520×520"):  # fmt: skip
        assert words in text
    assert text.count("<img ") == 2 * (2 + 2 * len(fabricate.HEADS))  # image, label; each prediction with its errors


def test_page_fits_in_an_email(text):
    assert len(text) < 2_000_000


def test_strings_of_a_record_are_text(tmp_path):
    evil = "<script>alert(1)</script>"
    names = [evil, *(name for name, *_ in fabricate.CLASSES[1:])]
    environment = dataclasses.replace(fabricate.ENVIRONMENT, processor=evil)
    for head in (evil, "fcn"):
        fabricate.run(
            head, 0, tmp_path / head[:1], class_names=names, config={evil: evil}, environment=environment,
            experiment=evil, dataset=evil, created=evil,
        )  # fmt: skip
    page = page_of([tmp_path], tmp_path / "out")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert Outline(page).tags.count("script") == 1


@pytest.mark.parametrize(
    ("heads", "seeds", "with_cost"), [(["ccnet"], 1, False), (["ccnet", "danet"], 2, False), (None, 1, True)]
)
def test_small_studies_make_a_page(tmp_path, heads, seeds, with_cost):
    folder = fabricate.study(tmp_path, heads, seeds, with_cost=with_cost)
    page = page_of(folder, folder)
    Outline(page)
    assert ("not as a ranking" in page) == (seeds == 1 and heads is None)
    assert ("fcn" in page) == (heads is None)


def test_an_absent_class_is_a_dash(tmp_path):
    matrix = fabricate.confusion(0.0, np.random.default_rng(0))
    matrix[16], matrix[:, 16] = 0, 0
    fabricate.run("fcn", 0, tmp_path, scores=fabricate.scores(matrix))
    page = page_of(tmp_path, tmp_path / "out")
    assert re.search(r"train</th>\s*<td>–</td>", page)


def test_long_names_are_allowed_to_break(tmp_path):
    fabricate.run("laboratory.attention.heads.eleventh_variant", 0, tmp_path / "a")
    assert 'class="long">laboratory' in page_of(tmp_path, tmp_path / "out")


def test_a_missing_a_broken_and_a_foreign_picture_are_named_instead(tmp_path):
    run = tmp_path / "study" / "run"
    Image.new("RGB", (3, 2)).save(tmp_path / "secret.png")
    record = fabricate.run("fcn", 0, run, images=1)
    (run / record.examples[0].label).write_bytes(b"no picture")
    example = dataclasses.replace(record.examples[0], image="../../secret.png", prediction="gone.png")
    records.write(dataclasses.replace(record, examples=[example]), run / "record.json")
    page = page_of(run, tmp_path / "out")
    for problem in ("outside the study", "0_label.png is not readable", "gone.png is missing"):
        assert problem in page


def test_the_report_does_without_torch(ten_by_three, tmp_path):
    code = (
        "import sys; from segattn import report\n"
        f"report.build({str(ten_by_three)!r}, {str(tmp_path)!r})\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_cost_beside_the_accuracy_is_as_trained_and_the_reference_network_is_named_in_its_header(built):
    page = built["report.html"].read_text()
    main = page[page.index("Accuracy and cost") : page.index("</table>")]
    trained, reference = (
        main.index("resnet18 at 97×193"),
        main.index("reference network, not trained here: resnet101 at 769×769"),
    )
    assert trained < main.index("Training s") < reference
    rows = main[main.index("<tbody>") :].split("</tr>")[:-1]
    assert len({row.count("<td") for row in rows}) == 1


def test_links_are_named_as_their_sections(text):
    links = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', text[: text.index("</nav>")])
    assert len(links) >= 8
    for name, words in links:
        section = text[text.index(f'<section id="{name}">') :]
        assert re.search(r"<h2>([^<]+)</h2>", section).group(1) == words


def test_colours_of_the_classes_are_explained_before_the_first_picture(text):
    explained = text.index('id="class-colours"')
    assert explained < text.index("<img ")
    assert text[explained : text.index("</p>", explained)].count("<i class=") == len(fabricate.CLASSES)


def test_definitions_are_folded_and_the_marks_are_not(text):
    folded = re.findall(r"<details class=\"notes\">(.*?)</details>", text, flags=re.S)
    assert any("TP / (TP + FP + FN)" in part for part in folded)
    assert any("2HW(C_in K² + 1)C_out" in part for part in folded)
    assert not any("Select a column heading" in part for part in folded)
