"""docs/findings.md: studies are packed into records without single images, and the page is made from these alone."""

import itertools
import json
import math
import os
import re

import numpy as np
import pytest
import torch
from torch import nn

from docs.make import (
    findings,
    findings_budget,
    findings_crops,
    findings_figures,
    findings_hard,
    findings_knobs,
    findings_mixers,
    findings_modes,
    findings_noise,
    findings_own,
    findings_records,
    findings_seeds,
    findings_sizes,
    findings_study,
    findings_test,
    findings_time,
    published_noise,
    wider,
)
from segattn.backbones import pretrained
from segattn.report.shared.student import holm, mean_interval
from segattn.report.study.study import load
from tests.report import fabricate


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = fabricate.study(
        tmp_path_factory.mktemp("findings") / "findings_local", ["fcn", "ccnet", "flanet"], seeds=3
    )
    fabricate.add_contribution(folder)
    plan = {
        "runs": [{"folder": f"{head}-controlled-s{seed}"} for head in ("fcn", "ccnet", "flanet") for seed in range(3)]
    }
    (folder / "plan.json").write_text(json.dumps(plan | {"runs": [*plan["runs"], {"folder": "ema-controlled-s0"}]}))
    return folder


@pytest.fixture(scope="module")
def packed(study, tmp_path_factory):
    records = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(findings_records, "FOLDER", records)
        patch.setattr("sys.argv", ["findings_records", str(study)])
        findings_records.main()
    return records


@pytest.fixture
def read(packed, monkeypatch):
    monkeypatch.setattr(findings_study, "RECORDS", packed)
    return findings_study.read("findings_local")


def test_scores_and_differences_are_those_of_the_report(read, study):
    reported = load(study)
    for row in reported.rows:
        assert read.mean(row.label, "mean_iou") == pytest.approx(100 * row.mean_iou, abs=1e-2)
        if not row.is_baseline:
            expected, difference = reported.delta(row), read.difference(row.label, "fcn")
            for name in ("value", "low", "high"):
                assert getattr(difference, name) == pytest.approx(100 * getattr(expected, name), abs=1e-2)
            back = read.difference("fcn", row.label)
            assert (back.value, back.low, back.high) == (-difference.value, -difference.high, -difference.low)


def test_networks_that_differ_from_fcn_are_those_after_holms_correction(read):
    differences = {name: read.difference(name, "fcn") for name in ("ccnet", "flanet")}
    adjusted = holm([difference.p for difference in differences.values()])
    clear = {name: differences[name].value > 0 for name, p in zip(differences, adjusted, strict=True) if p < 0.05}
    sentence = findings._apart("findings_local")
    above, below = re.search(r"above FCN: (.*?); below FCN: (.*?);", sentence).groups()
    assert set(re.findall(r"`(\w+)`", above)) == {name for name, higher in clear.items() if higher}
    assert set(re.findall(r"`(\w+)`", below)) == {name for name, higher in clear.items() if not higher}
    assert sentence.endswith(f"not distinguishable from it: {2 - len(clear)}.")


def test_gains_of_a_class_are_paired_by_seed(read, study):
    runs = {(run["network"], run["seed"]): run["iou"] for run in read.content["runs"]}
    index = read.content["class_names"].index(name := read.content["class_names"][1])
    gains = [100 * (runs["ccnet", seed][index] - runs["fcn", seed][index]) for seed in range(3)]
    low, high = mean_interval(gains)
    (line,) = [
        line for line in findings._classes("findings_local ccnet").splitlines() if line.startswith(f"| {name} |")
    ]
    assert f"{sum(gains) / 3:+.2f} ({low:+.2f} to {high:+.2f})" in line


def test_what_is_missing_is_named(read, study):
    finished = {path.parent.name for path in study.glob("*/record.json")}
    assert "ema-controlled-s0" not in finished
    assert "ema-controlled-s0" in read.missing
    assert read.content["missing"] == sorted({"ema-controlled-s0"} | (set(_planned(study)) - finished))


def _planned(study):
    return [run["folder"] for run in json.loads((study / "plan.json").read_text())["runs"]]


def test_only_seeds_that_every_network_has_are_packed(tmp_path):
    folder = fabricate.study(tmp_path / "study", ["fcn", "ccnet"], seeds=3)
    study = json.loads((folder / "study.json").read_text())
    (name,) = [name for name in study["runs"] if _is(folder / name, "ccnet", 1)]
    study["runs"].remove(name)
    (folder / "study.json").write_text(json.dumps(study))
    packed = findings_records.pack(folder)
    assert {(run["head"], run["seed"]) for run in packed["runs"]} == {(h, s) for h in ("fcn", "ccnet") for s in (0, 2)}
    (difference,) = packed["differences"]
    assert difference["spread"]["num_seeds"] == 2


def test_runs_of_other_settings_or_without_a_common_seed_are_not_packed(tmp_path, monkeypatch, capsys):
    folder = fabricate.study(tmp_path / "study", ["fcn", "ccnet"], seeds=2)
    study = json.loads((folder / "study.json").read_text())
    apart = [name for name in study["runs"] if _is(folder / name, "fcn", 0) or _is(folder / name, "ccnet", 1)]
    (folder / "study.json").write_text(json.dumps(study | {"runs": apart}))
    with pytest.raises(ValueError, match=r"no seed that every network has: .*ccnet has 1"):
        findings_records.pack(folder)
    (folder / "study.json").write_text(json.dumps(study))
    record = json.loads((folder / apart[0]).read_text())
    record["config"]["optimization"]["iterations"] += 1
    (folder / apart[0]).write_text(json.dumps(record))
    monkeypatch.setattr(findings_records, "FOLDER", tmp_path / "records")
    monkeypatch.setattr("sys.argv", ["findings_records", str(folder)])
    with pytest.raises(SystemExit):
        findings_records.main()
    assert "the runs differ in optimization.iterations, which the study does not vary" in capsys.readouterr().err
    assert not list((tmp_path / "records").iterdir())


def test_one_seed_tells_no_networks_apart(tmp_path, monkeypatch):
    folder = fabricate.study(tmp_path / "runs" / "single", ["fcn", "ccnet", "flanet"], seeds=1)
    packed = findings_records.pack(folder)
    assert {each["test"] for each in packed["differences"]} == {"images"}
    assert all(each["p"] is not None for each in packed["differences"])
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    (tmp_path / "single.json").write_text(json.dumps(packed))
    assert findings.part("apart", "single") == "One seed tells no network from FCN."
    assert "; one seed tells no two networks apart. `" in (text := findings.part("study", "single"))
    assert "nan" not in text


def test_a_study_that_lacks_fcn_names_it_and_is_drawn_without(packed, tmp_path, monkeypatch):
    content = json.loads((packed / "findings_local.json").read_text())
    content["runs"] = [run for run in content["runs"] if run["network"] != "fcn"]
    content["differences"] = [each for each in content["differences"] if "fcn" not in (each["a"], each["b"])]
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    (tmp_path / "findings_local.json").write_text(json.dumps(content))
    rows = [line for line in findings.part("study", "findings_local").splitlines() if line.startswith("| ccnet |")]
    assert [cell.strip() for cell in rows[0].split("|")][5] == "–"
    told = "*Of the study `findings_local`, `fcn` has not been run yet.*"
    assert findings.part("apart", "findings_local") == findings.part("classes", "findings_local ccnet") == told
    assert findings.part("pair", "findings_local ccnet fcn") == "(not measured yet)"
    assert "nan" not in findings.page()
    names = {drawn.name for drawn in findings_figures.drawn()}
    assert not names & {"findings_gains", "findings_budget"}


def _is(path, head, seed):
    record = json.loads(path.read_text())
    return (record["head"], record["seed"]) == (head, seed)


def test_contribution_is_the_network_minus_itself_without_the_mechanism(read):
    runs = read.networks["ccnet"]
    expected = np.mean([run["mean_iou"] - run["without"]["mean_iou"] for run in runs])
    assert read.contribution("ccnet") == pytest.approx(100 * expected)


def test_the_page_has_every_study_and_names_those_that_are_not_run(read, tmp_path, monkeypatch):
    text = tmp_path / "text"
    text.write_text("[[study findings_local]] [[study nowhere]] [[pair findings_local ccnet fcn]] [[pair nowhere a b]]")
    monkeypatch.setattr(findings, "TEXT", text)
    page = findings.page()
    assert "| flanet " in page
    assert "*The study `nowhere` has not been run yet.*" in page
    assert "(not measured yet)" in page
    assert f"{read.difference('ccnet', 'fcn').value:+.2f} (" in page


def test_every_place_of_the_page_is_filled():
    page = findings.page()
    assert "[[" not in page
    assert "not been run" not in page
    assert "not measured yet" not in page


def _words(drawn):
    return " ".join(" ".join(re.findall(r">([^<>]+)<", drawn.svg)).split())


def test_the_figure_is_drawn_from_the_records(read):
    gains, front, *_ = findings_figures.drawn()
    assert (gains.name, front.name) == ("findings_gains", "findings_front")
    assert "FCN" in gains.svg
    words = _words(gains)
    assert "Not run yet: backbone sees 103 pixels, backbone sees 311" in words
    assert "ema-controlled-s0" in words  # planned and missing
    assert ">criss-cross<" in gains.svg  # the family of a colour
    assert all(f">{name}<" in front.svg for name in ("fcn", "ccnet", "flanet"))
    assert gains.png.startswith(b"\x89PNG")
    assert front.png.startswith(b"\x89PNG")


def test_the_figure_has_the_own_mechanism_of_the_narrowest_backbone(packed, tmp_path, monkeypatch):
    text = (packed / "findings_local.json").read_text()
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    (tmp_path / "findings_local.json").write_text(text)
    before = findings_figures.drawn()[0].svg
    (tmp_path / "findings_star.json").write_text(text.replace('"ccnet"', '"star"'))
    gains, *_ = findings_figures.drawn()
    assert ">star<" not in before
    assert all(f">{name}<" in gains.svg for name in ("star", "ccnet", "flanet"))
    joined = findings_seeds.with_own(findings_study.read("findings_local"))
    assert joined.networks.keys() == {"fcn", "ccnet", "flanet", "star"}
    assert joined.difference("star", "fcn") == joined.difference("ccnet", "fcn")
    assert len(joined.networks["fcn"]) == 3
    without = json.loads((tmp_path / "findings_star.json").read_text()) | {"differences": []}
    (tmp_path / "findings_star.json").write_text(json.dumps(without))
    assert findings_figures.drawn()[0].svg.count("not run yet") == 1  # what it adds to FCN has not been computed


def test_other_data_and_training_have_a_panel_each(packed, tmp_path, monkeypatch):
    text = (packed / "findings_local.json").read_text()
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    (tmp_path / "findings_camvid.json").write_text(text)
    elsewhere, *_ = findings_figures.drawn()
    assert elsewhere.name == "findings_elsewhere"
    words = _words(elsewhere)
    assert "CamVid, frozen FCN" in words
    assert re.search(r"CamVid, frozen: \d+ planned runs are missing: .*ema-controlled-s0", words)
    assert "Not run yet: frozen transformer pyramid" in words
    monkeypatch.setattr(findings_figures, "_MANY", 1)  # a line of its own for what has many networks
    (tmp_path / "findings_whole.json").write_text(text)
    assert "streets, whole network trained FCN" in _words(findings_figures.drawn()[0])


def test_strata_and_gates_are_those_of_the_runs(read):
    lines = findings_sizes.section("findings_local").splitlines()
    of_fcn, *others = lines[2:]
    assert of_fcn.startswith(f"| fcn | – | {read.mean('fcn', 'small'):.1f} % |")
    assert len(others) == len(read.networks) - 1
    (line,) = [line for line in others if line.startswith("| ccnet |")]
    gains = [findings_knobs.paired(read.networks["ccnet"], read.networks["fcn"], key) for key in ("small", "thick")]
    assert f" | {findings_knobs.interval(gains[0])} | " in line
    assert line.endswith(f" | {findings_knobs.interval(gains[1])} |")
    gates = [abs(value) for run in read.networks["ccnet"] for value in run["gates"].values()]
    assert line.split(" | ")[1] == (f"{np.mean(gates):.2f}" if gates else "–")
    expected = findings_knobs.interval(findings_knobs.paired(read.networks["ccnet"], read.networks["fcn"], "large"))
    assert findings_sizes.difference("findings_local ccnet large") == f"{expected} points"
    assert findings_sizes.difference("nowhere ccnet large") == "(not measured yet)"
    assert findings_sizes.section("nowhere") == "*The study `nowhere` has not been run yet.*"


def _repacked(packed, tmp_path, monkeypatch, name, swept, gain, seeds):
    """The records with a further study: CCNet with other options, `gain[seed]` above CCNet."""
    content = json.loads((packed / "findings_local.json").read_text())
    (tmp_path / "findings_local.json").write_text(json.dumps(content))
    runs = [run for run in content["runs"] if run["head"] == "ccnet" and run["seed"] in seeds]
    changed = [
        run | {"network": "other", "swept": swept, "mean_iou": run["mean_iou"] + gain[run["seed"]]} for run in runs
    ]
    other = content | {"runs": changed, "differences": [], "missing": ["ccnet-s7"], "command": "the command"}
    (tmp_path / f"{name}.json").write_text(json.dumps(other))
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)


def test_a_knob_is_compared_with_the_head_by_default_on_the_same_seeds(packed, tmp_path, monkeypatch):
    _repacked(
        packed, tmp_path, monkeypatch, "knobs_recurrence", {"model.head_options.recurrence": 3}, [0, 0.01, 0.03], (1, 2)
    )
    (setting,) = findings_knobs.settings(findings_study.read("findings_local"))
    assert (setting.head, setting.options) == ("ccnet", "recurrence=3")
    assert setting.difference.value == pytest.approx(2)
    page = findings_knobs.section()
    low, high = mean_interval([1, 3])
    assert f"| ccnet | `recurrence=3` | 2 | {setting.mean_iou:.2f} | +2.00 ({low:+.2f} to {high:+.2f}) |" in page
    assert "    the command" in page
    assert "1 planned run is missing: ccnet-s7." in page
    assert ">ccnet recurrence=3<" in findings_figures.drawn()[1].svg


def test_without_knobs_the_page_says_so(read):
    assert findings_knobs.section() == "*No knob has been measured yet.*"
    assert "not been run yet" in findings_knobs.positions()


def test_sets_of_positions_are_compared_with_fcn_and_ccnet(packed, tmp_path, monkeypatch):
    swept = {"model.head_options.positions": "cross", "model.head_options.recurrence": 2}
    _repacked(packed, tmp_path, monkeypatch, "findings_positions", swept, [0.01, 0.01, 0.01], (0, 1, 2))
    base = findings_study.read("findings_local")
    page = findings_knobs.positions()
    over_fcn = base.mean("ccnet", "mean_iou") + 1 - base.mean("fcn", "mean_iou")
    (line,) = [line for line in page.splitlines() if line.startswith("| cross |")]
    assert f"| {over_fcn:+.2f} (" in line
    assert "| +1.00 (+1.00 to +1.00) |" in line
    # 2 recurrences of 512 positions, 64 channels, 8 of keys: 1x1 convolutions, and 47 positions in every cross
    assert line.endswith(f"| {2 * 2 * (512 * 64 * (2 * 8 + 64) + 512 * 47 * (8 + 64)) / 1e9:.4f} |")


def test_the_own_mechanism_is_above_what_costs_more_and_is_less_accurate(packed, tmp_path, monkeypatch):
    base = json.loads((packed / "findings_local.json").read_text())
    (tmp_path / "findings_local.json").write_text(json.dumps(base))
    of_ccnet = [run for run in base["runs"] if run["head"] == "ccnet"]

    def write(name, options, gain, flops):
        runs = [
            run
            | {"head": "star", "network": "own", "swept": options, "flops": run["flops"] | {"mechanism": flops}}
            | {"mean_iou": run["mean_iou"] + gain + 1e-5 * run["seed"]}
            for run in of_ccnet
        ]
        content = base | {"runs": runs, "differences": [], "missing": [], "command": f"command of {name}"}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))

    costs = {run["network"]: run["flops"]["mechanism"] for run in base["runs"]}
    write("findings_star", {}, 0.02, min(costs["ccnet"], costs["flanet"]))
    write("knobs_star", {"model.head_options.recurrence": 1}, 0.01, max(costs.values()) + 1)
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    usual, other = findings_own.settings(findings_study.read("findings_local"), findings_own.LOCAL)
    assert (usual.label, other.label) == ("star", "star recurrence=1")
    assert usual.difference("ccnet").value == pytest.approx(2, abs=0.01)
    assert "ccnet" in usual.dominated(["ccnet", "flanet"])
    assert "fcn" not in usual.dominated(["fcn", "ccnet"])  # it costs nothing
    assert other.dominated(["ccnet", "flanet"]) == []  # they cost less
    page = findings_own.section("findings_local findings_star knobs_star")
    (line,) = [line for line in page.splitlines() if line.startswith("| ccnet |")]
    assert line.count("| +2.00 (") == 1
    assert line.count("| +1.00 (") == 1
    assert "**star** (3 seeds) is more accurate than these" in page
    assert "    command of findings_star\n    command of knobs_star" in page
    assert ">star recurrence=1<" in findings_figures.drawn()[1].svg
    assert "No study of `star`" in findings_own.section("findings_full findings_star")


def test_losses_are_compared_with_cross_entropy_on_the_same_seeds(packed, tmp_path, monkeypatch):
    base = json.loads((packed / "findings_local.json").read_text())
    monkeypatch.setattr(findings_study, "RECORDS", packed)
    assert findings_hard.section() == "*No loss has been tried yet.*"
    assert set(findings_hard.THIN) & set(base["class_names"])
    assert set(findings_hard.RARE) & set(base["class_names"])
    of_fcn = [run for run in base["runs"] if run["head"] == "fcn"]
    boundary = [run | {"small": run["small"] + 0.03, "iou": [0.5] * len(run["iou"])} for run in of_fcn[1:]]
    runs = [run | {"network": "a", "swept": {"loss": "ce", "class_balance": "log"}} for run in of_fcn]
    runs += [run | {"network": "b", "swept": {"loss": "ce + boundary"}} for run in boundary]
    content = base | {"runs": runs, "differences": [], "missing": [], "command": "the command"}
    (tmp_path / "hard_loss.json").write_text(json.dumps(content))
    both = {"loss": "ce + boundary", "ohem": True}
    content["runs"] = [run | {"network": "c", "swept": both} for run in of_fcn]
    (tmp_path / "hard_all.json").write_text(json.dumps(content))
    detail = "segattn.heads.parts.detail"
    content["runs"] = [run | {"network": detail, "head": detail, "swept": {}} for run in of_fcn]
    (tmp_path / "hard_detail.json").write_text(json.dumps(content))
    of_ccnet = [run for run in base["runs"] if run["head"] == "ccnet"]
    content["runs"] = [run | {"swept": {"loss": "ce + dice"}} for run in of_ccnet]
    (tmp_path / "hard_mechanism.json").write_text(json.dumps(content))
    content["runs"] = of_ccnet
    (tmp_path / "findings_star.json").write_text(json.dumps(content | {"machine": "another machine"}))
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    lines = findings_hard.section().splitlines()
    (line,) = [line for line in lines if line.startswith("| ce + boundary |")]
    assert line.startswith("| ce + boundary | 2 | +0.00 (+0.00 to +0.00) | ")
    assert "| +3.00 (+3.00 to +3.00) |" in line
    (line,) = [line for line in lines if line.startswith("| ce + boundary, ohem=true |")]
    assert set(line.split(" | ")[2:]) == {"+0.00 (+0.00 to +0.00)", "+0.00 (+0.00 to +0.00) |"}
    (line,) = [line for line in lines if line.startswith("| ce |")]
    assert any(line.startswith("| ce, ccnet | 3 |") for line in lines)
    assert any(line.startswith("| ce + dice, ccnet | 3 |") for line in lines)
    assert any(line.startswith("| ce, detail branch | 3 | +0.00") for line in lines)
    assert "another machine" in lines[-1]
    losses = {each.label: each for each in findings_hard.changes()}
    assert losses["ce + boundary"].gains["small"].value == pytest.approx(3)
    picture = next(each for each in findings_figures.drawn() if each.name == "findings_losses")
    assert all(f">{label}<" in picture.svg for label in losses)
    names = base["class_names"]
    expected = [
        np.mean([100 * run["iou"][names.index(name)] for run in of_fcn for name in classes if name in names])
        for classes in (findings_hard.THIN, findings_hard.RARE)
    ]
    assert line.endswith(" | {:.1f} | {:.1f} |".format(*expected))


def test_a_test_split_is_packed_and_compared_on_the_same_seeds(tmp_path, monkeypatch):
    folder = fabricate.study(tmp_path / "runs" / "photos", ["fcn", "ccnet"], seeds=3)
    for path in sorted(folder.glob("*/record.json"))[:5]:  # the last seed of the second was not tested
        record = json.loads(path.read_text())
        value = 0.4 + 0.02 * (record["config"]["model"]["head"] == "ccnet") + record["seed"] / 50
        scores = {"split": "test", "mean_iou": value, "iou": [0.1, None], "num_images": 233}
        (path.parent / "test.json").write_text(json.dumps(scores))
    packed = findings_records.pack(folder)
    assert [run["test"]["iou"] for run in packed["runs"] if "test" in run] == [[0.1, None]] * 5
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    assert findings_test.section("fcn photos") == "*No network has been tested yet.*"
    (tmp_path / "photos.json").write_text(json.dumps(packed))
    lines = findings_test.section("fcn photos").splitlines()
    (line,) = [line for line in lines if line.startswith("| ccnet |")]
    assert line.startswith("| ccnet | photos | 2 | ")
    assert line.endswith(" | 43.00 | +2.00 (+2.00 to +2.00) |")
    (line,) = [line for line in lines if line.startswith("| fcn |")]
    assert line.endswith(" | 42.00 | – |")
    both = findings_test.section("fcn,ccnet photos")
    assert "| test minus fcn | test minus ccnet |" in both
    assert " | 43.00 | +2.00 (+2.00 to +2.00) | – |" in both
    assert findings_test.difference("photos ccnet fcn") == "+2.00 (+2.00 to +2.00) points"
    assert (
        findings_test.difference("photos ccnet psp") == findings_test.difference("nowhere a b") == "(not measured yet)"
    )
    assert lines[-1].startswith("233 test images; ")
    path.with_name("test.json").write_text(json.dumps(scores | {"split": "val"}))
    with pytest.raises(ValueError, match="of the split val"):
        findings_records.pack(folder)
    path.with_name("test.json").write_text(json.dumps(scores | {"num_images": 50}))
    with pytest.raises(ValueError, match="is of 50 and 233 images; score all runs on as many"):
        findings_records.pack(folder)
    for damaged, message in (("{", "not JSON"), ('{"split": "test"}', "no scores; run segattn evaluate")):
        path.with_name("test.json").write_text(damaged)
        with pytest.raises(ValueError, match=rf"test\.json: {message}"):
            findings_records.pack(folder)
    path.with_name("test.json").write_text(json.dumps(scores))
    os.utime(path.with_name("test.json"), (0, 0))
    with pytest.raises(ValueError, match=r"older than record.json"):
        findings_records.pack(folder)


def test_each_budget_has_its_front(packed, tmp_path, monkeypatch):
    base = json.loads((packed / "findings_local.json").read_text())
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    scores = {"fcn": 0.5, "ccnet": 0.6, "flanet": 0.55}
    runs = [run | {"mean_iou": scores[run["network"]]} for run in base["runs"]]
    (tmp_path / "findings_local.json").write_text(json.dumps(base | {"runs": runs}))
    assert "not been measured" in findings_budget.section()
    costs = {"ccnet": (2.0, 9 * 2**20), "flanet": (3.0, 2**20), "hamburger": (1.0, 1)}
    stride = base["backbone"]["output_stride"]

    def result(head, ms, extra, *, stride=stride, **options):
        case = {"head": head, "mode": base["runs"][0]["mode"], "output_stride": stride}
        case["head_options"] = {"channels": 8, **options}
        return {"case": case, "latency": {"median_ms": ms}, "memory": {"extra_bytes": extra}}

    results = [result(head, *cost) for head, cost in costs.items()]
    results.append(result("fcn", 0, 0) | {"latency": None, "memory": None})  # it has nothing to time
    results.append(result("ccnet", 0.5, 2**19, kernel_size=3))  # not trained with this option
    results.append(result("flanet", 0.5, 2**19, stride=2 * stride))  # nor at this stride
    where = {"processor": "A processor", "threads": 2, "precision": None}
    bench = {"results": results, "environment": where, "command": "segattn bench", "created": "2026-11-29T10:00:00"}
    (tmp_path / "bench_local.json").write_text(json.dumps(bench))
    lines = findings_budget.section().splitlines()
    assert lines[2].startswith("| ccnet | 60.00 |")
    assert "| 2.0 | 9.0 |" in lines[2]
    (line,) = [line for line in lines if line.startswith("| flanet |")]
    assert line.endswith("| 3.0 | 1.0 | MiB |")  # cheaper than CCNet in memory alone
    (line,) = [line for line in lines if line.startswith("| fcn |")]
    assert line.endswith("| 0.0 | 0.0 | FLOPs, ms, MiB |")
    assert "hamburger" not in findings_budget.section()  # it was not trained
    assert "A processor, 2 threads, fp32, 2026-11-29." in lines
    one = [run | {"swept": {"model.head_options.recurrence": 1}} for run in runs if run["network"] == "ccnet"]
    (tmp_path / "knobs_a.json").write_text(json.dumps(base | {"runs": one}))
    results.append(result("ccnet", 1.0, 2**18, recurrence=1))
    (tmp_path / "bench_local.json").write_text(json.dumps(bench))
    lines = findings_budget.section().splitlines()
    (line,) = [line for line in lines if line.startswith("| ccnet recurrence=1 |")]
    assert line.endswith("| 1.0 | 0.2 | ms, MiB |")
    assert sum(line.startswith("| ccnet") for line in lines) == 2
    assert sum(line.startswith("| flanet") for line in lines) == 1
    (drawn,) = (each for each in findings_figures.drawn() if each.name == "findings_budget")
    assert all(f">{name}<" in drawn.svg for name in scores)


def test_a_control_stands_beside_its_head(packed, tmp_path, monkeypatch):
    base = json.loads((packed / "findings_local.json").read_text())
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    monkeypatch.setattr(findings, "TEXT", tmp_path / "text")
    (tmp_path / "text").write_text("[[control findings_local gates ccnet]] and [[gated findings_local gates ccnet]]")
    (tmp_path / "findings_local.json").write_text(json.dumps(base))
    assert "*No control has been run yet.* and (not measured yet)" in findings.page()
    gain = {"fcn": 0.5, "ccnet": 0.53, "flanet": 0.5}
    runs = [run | {"mean_iou": gain[run["head"]] + run["seed"] / 100} for run in base["runs"]]
    (tmp_path / "findings_local.json").write_text(json.dumps(base | {"runs": runs}))
    control = [run | {"mean_iou": run["mean_iou"] - 0.01} for run in runs if run["head"] == "ccnet"]
    (tmp_path / "gates.json").write_text(json.dumps(base | {"runs": control}))
    page = findings.page()
    assert "| ccnet | 3 | 54.00 | +3.00 (+3.00 to +3.00) | +1.00 (+1.00 to +1.00) |" in page
    assert "| ccnet, gate at 0 | 3 | 53.00 | +2.00 (+2.00 to +2.00) | – |" in page
    assert "and +2.00 (+2.00 to +2.00) points" in page


def test_mixers_are_compared_with_attention(packed, tmp_path, monkeypatch):
    base = json.loads((packed / "findings_local.json").read_text())
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    assert "has not been run" in findings_mixers.section()
    mixers = {"fcn": "attention", "ccnet": "pooling", "flanet": "none"}
    runs = [run | {"swept": {"model.head_options.mixer": mixers[run["network"]]}} for run in base["runs"]]
    (tmp_path / "findings_mixers.json").write_text(json.dumps(base | {"runs": runs}))
    page = findings_mixers.section()
    expected = findings_knobs.interval(findings_study.read("findings_mixers").difference("ccnet", "fcn"))
    (line,) = [line for line in page.splitlines() if line.startswith("| pooling |")]
    assert f"| {expected} |" in line
    assert findings_mixers.difference("pooling") == f"{expected} points"
    assert findings_mixers.difference("ccnet") == "(not measured yet)"
    (line,) = [line for line in page.splitlines() if line.startswith("| attention |")]
    assert "| – |" in line
    assert base["command"] in page


def test_mixers_are_drawn_over_their_cost(packed, tmp_path, monkeypatch):
    base = json.loads((packed / "findings_local.json").read_text())
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    assert findings_mixers.drawn() == []
    mixers = {"fcn": "attention", "ccnet": "pooling", "flanet": "none"}
    runs = [run | {"swept": {"model.head_options.mixer": mixers[run["network"]]}} for run in base["runs"]]
    (tmp_path / "findings_mixers.json").write_text(json.dumps(base | {"runs": runs}))
    (figure,) = findings_mixers.drawn()
    words, usual = _words(figure), findings_study.read("findings_mixers").mean("fcn", "mean_iou")
    assert all(word in words for word in (f"attention, {usual:.1f} %", "pooling", "none", "3 seeds"))
    assert "ema-controlled-s0" in words  # planned and missing
    (tmp_path / "findings_mixers.json").write_text(
        json.dumps(base | {"runs": [run for run in runs if run["network"] != "fcn"]})
    )
    assert findings_mixers.drawn() == []  # nothing to compare with


def test_heads_of_papers_are_drawn_beside_controlled_ones(packed, tmp_path, monkeypatch):
    base = json.loads((packed / "findings_local.json").read_text())
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    (tmp_path / "findings_local.json").write_text(json.dumps(base))
    assert findings_modes.drawn() == []
    runs = [run for run in base["runs"] if run["seed"] < 2]
    (tmp_path / "findings_faithful.json").write_text(json.dumps(base | {"runs": runs}))
    (figure,) = findings_modes.drawn()
    words = _words(figure)
    assert "backbone sees 55 pixels FCN from random weights" in words
    assert "2 seeds" in words
    assert "Not run yet: 311 pixels, as in their papers." in words
    assert "ema-controlled-s0" in words
    local, faithful = (findings_study.read(f"findings_{name}") for name in ("local", "faithful"))
    usual = findings_modes._controlled(local, faithful, "ccnet")
    expected = findings_knobs.paired(
        [run for run in runs if run["network"] == "ccnet"], [run for run in runs if run["network"] == "fcn"]
    )
    assert usual == expected.value  # on the two seeds of the other study, not on all three
    without = [run for run in base["runs"] if run["network"] != "ccnet"]
    (tmp_path / "findings_local.json").write_text(json.dumps(base | {"runs": without}))
    assert findings_modes._controlled(findings_study.read("findings_local"), faithful, "ccnet") is None
    assert ">ccnet<" in findings_modes.drawn()[0].svg
    (tmp_path / "findings_faithful.json").write_text(
        json.dumps(base | {"runs": [run for run in runs if run["network"] != "fcn"]})
    )
    assert findings_modes.drawn() == []


def test_noise_of_studies_is_drawn_beside_that_of_published_tables(packed, tmp_path, monkeypatch):
    text = (packed / "findings_local.json").read_text()
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    assert findings_noise.drawn() == []
    (tmp_path / "findings_local.json").write_text(text)
    (figure,) = findings_noise.drawn()
    words = _words(figure)
    assert all(f"{name}, published" in words for name in ("cityscapes", "ade20k", "voc"))
    assert "findings_local (3 seeds)" in words
    ((name, seeds, (one, two, images)),) = findings_seeds.noises()
    assert (name, seeds) == ("findings_local", 3)
    assert f"| {one:.2f} | {two:.2f} | {images:.2f} |" in findings_seeds.section()


def test_noise_of_a_study_is_told_with_the_seeds_that_it_asks_for(packed, tmp_path, monkeypatch):
    base = json.loads((packed / "findings_local.json").read_text())
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    assert findings_seeds.section() == "*No study has been run yet.*"
    one_pair = [run for run in base["runs"] if run["network"] != "flanet"]
    for name, runs in (("findings_a", base["runs"]), ("findings_pair", one_pair), ("knobs_b", base["runs"])):
        (tmp_path / f"{name}.json").write_text(json.dumps(base | {"runs": runs}))
    *_, line = findings_seeds.section().splitlines()
    assert line.startswith("| `findings_a` | 3 | 3 | ")  # two networks have one pair, and a knob is no study
    study = findings_study.read("findings_a")
    single = np.sqrt(np.mean([np.var(study.values(name, "mean_iou"), ddof=1) for name in study.networks]))
    assert f"| {single:.2f} | {100 * math.sqrt(study.spread.between_seeds):.2f} |" in line
    assert f" {study.seeds_needed(0.5):.0f} |" in line


def test_noise_of_crops_is_taken_apart_from_that_of_seeds(packed, tmp_path, monkeypatch):
    seeds, crops = np.array([-1.0, 0.0, 1.0]), np.array([-3.0, -1.0, 1.0, 3.0])
    found = findings_crops.deviations(50 + seeds[:, None] + crops)
    assert (found.seeds, found.crops, found.rest) == pytest.approx((1, math.sqrt(20 / 3), 0))
    drawn = np.random.default_rng(0)
    many = [
        findings_crops.deviations(
            2 * drawn.normal(size=(3, 1)) + drawn.normal(size=4) + 0.5 * drawn.normal(size=(3, 4))
        )
        for _ in range(2000)
    ]
    assert np.mean([each.seeds**2 for each in many]) == pytest.approx(4, rel=0.1)
    assert np.mean([each.crops**2 for each in many]) == pytest.approx(1, rel=0.1)
    assert np.mean([each.rest**2 for each in many]) == pytest.approx(0.25, rel=0.1)
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    assert findings_crops.section() == "*The study `noise_crops` has not been run yet.*"
    content = json.loads((packed / "findings_local.json").read_text())
    content["runs"] = [
        run
        | {
            "network": f"{run['head']} seed={k}",
            "swept": {"features.seed": k},
            "mean_iou": 0.5 + run["seed"] / 100 + gain * k / 100,
        }
        for run in content["runs"]
        for k in (1, 2)
        if (gain := {"fcn": 0.0, "ccnet": 2.0}.get(run["head"])) is not None
    ]
    (tmp_path / "noise_crops.json").write_text(json.dumps(content))
    lines = findings_crops.section().splitlines()
    assert "| mIoU of fcn | 3 x 2 | 51.00 | 1.00 | 0.00 | 0.00 |" in lines
    assert f"| ccnet minus fcn | 3 x 2 | 3.00 | 0.00 | {math.sqrt(2):.2f} | 0.00 |" in lines


def test_what_a_mechanism_adds_to_backbones_that_see_more(packed, tmp_path, monkeypatch):
    base = json.loads((packed / "findings_local.json").read_text())
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)

    def write(name, gains):
        runs = [
            run | {"mean_iou": gains[run["head"]] + run["seed"] / 100} for run in base["runs"] if run["head"] in gains
        ]
        (tmp_path / f"{name}.json").write_text(json.dumps(base | {"runs": runs}))

    write("findings_local", {"fcn": 0.5, "ccnet": 0.52, "flanet": 0.55})
    assert "have not both been run" in findings_seeds.closes()
    write("findings_full", {"fcn": 0.6, "ccnet": 0.61})
    page = findings_seeds.closes()
    assert "FCN minus FCN with 55 px is +10.00 (+10.00 to +10.00) with 311 px, in points" in page
    (line,) = [line for line in page.splitlines() if line.startswith("| ccnet |")]
    added = "+2.00 (+2.00 to +2.00) | +1.00 (+1.00 to +1.00) | -1.00 (-1.00 to -1.00)"
    assert line == f"| ccnet | 3 | {added} | 20 |"
    assert "flanet" not in page  # it did not run on both
    assert page.endswith("correction over 1 change, less is added by `ccnet`; more, or less taken away, by none.")
    write("findings_mid", {"fcn": 0.55, "star": 0.56})
    page = findings_seeds.closes()
    assert "+5.00 (+5.00 to +5.00) with 103 px and +10.00 (+10.00 to +10.00) with 311 px" in page
    missing = added.replace(" | +1.00", " | – | +1.00")
    assert f"| ccnet | 3 | {missing} | 20 |" in page  # it did not run on the one between
    write("findings_mid", {"fcn": 0.55, "ccnet": 0.56})
    between = added.replace(" | +1.00", " | +1.00 (+1.00 to +1.00) | +1.00")
    assert f"| ccnet | 3 | {between} | 20 |" in findings_seeds.closes()
    (tmp_path / "findings_mid.json").unlink()
    uneven = {"fcn": {0: 0.6, 1: 0.6}, "ccnet": {1: 0.64, 2: 0.9}}  # seed 1 is the only one of all four
    runs = [run for run in base["runs"] if run["seed"] in uneven.get(run["head"], {})]
    runs = [run | {"mean_iou": uneven[run["head"]][run["seed"]]} for run in runs]
    (tmp_path / "findings_full.json").write_text(json.dumps(base | {"runs": runs}))
    (line,) = [line for line in findings_seeds.closes().splitlines() if line.startswith("| ccnet |")]
    assert line == "| ccnet | 1 | +2.00 | +4.00 | +2.00 | 22 |"  # 2 of the 9 points between 51 and 60
    runs = [run for run in runs if run["seed"] != 1]
    (tmp_path / "findings_full.json").write_text(json.dumps(base | {"runs": runs}))
    assert "| ccnet | 0 | – | – | – | – |" in findings_seeds.closes()


def test_networks_of_two_studies_stand_beside_each_other(packed, tmp_path, monkeypatch):
    base = json.loads((packed / "findings_local.json").read_text())
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)

    def write(name, gains, seeds=(0, 1, 2), **facts):
        runs = [
            run | {"network": head, "head": head, "mean_iou": gain + run["seed"] / 100}
            for head, gain in gains.items()
            for run in base["runs"]
            if run["head"] == "fcn" and run["seed"] in (seeds if head == "fcn" else (0, 1, 2))
        ]
        (tmp_path / f"{name}.json").write_text(json.dumps(base | {"runs": runs, **facts}))

    write("findings_local", {"fcn": 0.5, "ccnet": 0.52, "flanet": 0.51, "psp": 0.4})
    assert "have not both been run yet" in findings_seeds.beside("findings_local findings_b")
    write(
        "findings_b", {"fcn": 0.6, "ccnet": 0.61, "flanet": 0.59, "star": 0.7}, seeds=(0, 1)
    )  # the others have a third
    page = findings_seeds.beside("findings_local findings_b")
    lines = dict(re.findall(r"^\| (\w+) \| (.*) \|$", page, re.M))
    assert lines.keys() == {"network", "fcn", "ccnet", "flanet"}  # psp and star are in one of them
    assert lines["fcn"] == "2 | 50.50 | 60.50 | – | – | –"
    assert lines["ccnet"] == (
        "2 | 52.50 | 61.50 | +2.00 (+2.00 to +2.00) | +1.00 (+1.00 to +1.00) | -1.00 (-1.00 to -1.00)"
    )
    assert page.endswith("orders of these 3 networks is 0.33.")  # ccnet, flanet, fcn, and ccnet, fcn, flanet
    write("findings_star", {"star": 0.55})
    assert "| star | 2 | 55.50 | 70.50 | +5.00 (" in findings_seeds.beside("findings_local findings_b")
    write("findings_local", {"fcn": 0.5, "ccnet": 0.52, "star": 0.53})  # with the own mechanism in it, which counts
    assert "| star | 2 | 53.50 | 70.50 | +3.00 (" in findings_seeds.beside("findings_local findings_b")
    write("findings_b", {"fcn": 0.6, "ccnet": 0.61}, num_images=7)
    assert findings_seeds.beside("findings_local findings_b").endswith(
        f"One was scored on {base['num_images']} images, the other on 7."
    )
    write("findings_b", {"fcn": 0.6, "psp": 0.61})
    assert "no seeds of one network and FCN in common" in findings_seeds.beside("findings_local findings_b")


def test_time_that_the_studies_took(packed, tmp_path, monkeypatch):
    base = json.loads((packed / "findings_local.json").read_text())
    monkeypatch.setattr(findings_study, "RECORDS", tmp_path)
    assert "No study has been run yet" in findings_time.section()
    for name, seconds in (("findings_a", 400), ("knobs_b", 800)):
        runs = [run | {"train_seconds": seconds} for run in base["runs"]]
        (tmp_path / f"{name}.json").write_text(json.dumps(base | {"runs": runs}))
    (tmp_path / "bench_local.json").write_text(json.dumps({"results": []}))
    lines = findings_time.section().splitlines()
    assert [line.split("|")[1:6] for line in lines[2:]] == [
        [" `findings_a` ", " 3 ", " 9 ", " 400 ", " 1.00 "],
        [" `knobs_b` ", " 3 ", " 9 ", " 800 ", " 2.00 "],
        [" all ", "  ", " 18 ", "  ", " 3.0 "],
    ]


def test_noise_of_published_tables_is_that_of_a_two_way_analysis():
    rng = np.random.default_rng(0)
    settings, heads = rng.normal(78, 2, 200), np.array([0.0, 0.5, 3.0, 0.6])
    values = settings[:, None] + heads + rng.normal(0, 0.7, (200, 4))
    table = published_noise.Table("invented", tuple((str(s),) for s in range(200)), ("a", "b", "c", "d"), values)
    assert table.noise == pytest.approx(0.7, abs=0.05)
    assert table.rest.sum(0) == pytest.approx(np.zeros(4), abs=1e-9)
    assert table.single == pytest.approx(1.96 * math.sqrt(2) * 0.7, abs=0.15)
    differences = table.differences()
    assert differences["c", "a"].value == pytest.approx(3, abs=0.2)
    assert differences["c", "a"].p < 1e-6 < differences["d", "b"].p
    assert len(differences) == 6


def test_agreement_of_orders():
    def agreement(*rows):
        return published_noise.Table(
            "x", tuple((str(i),) for i in range(len(rows))), tuple("abc"), np.array(rows)
        ).agreement()

    assert agreement([1.0, 2, 3], [5, 7, 9]) == 1
    assert agreement([1.0, 2, 3], [9, 7, 5]) == -1
    assert agreement([1.0, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)


def test_published_tables_are_complete():
    for table in published_noise.tables():
        assert table.values.shape == (len(table.settings), len(table.heads))
        assert len(table.settings) >= 4
        assert len(table.heads) >= 6
        assert np.isfinite(table.values).all()
        assert 30 < table.values.min() < table.values.max() < 90
        assert len(table.differences()) == len(list(itertools.combinations(table.heads, 2)))


def test_trunk_that_sees_103_pixels_starts_with_the_maps_of_the_one_that_sees_55():
    narrow, wide = wider.backbone(55).eval(), wider.backbone(wider.RECEPTIVE_FIELD).eval()
    pretrained.read(wider.TRUNK).load_backbone(narrow)
    wide.load_state_dict(wider.widened())
    assert (narrow.receptive_field, wide.receptive_field) == (55, 103)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for before, after in zip(narrow(images), wide(images), strict=True):
            torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    kernels = {tuple(module.weight.shape[-2:]) for module in wide.layer2.modules() if isinstance(module, nn.Conv2d)}
    assert (3, 3) in kernels
