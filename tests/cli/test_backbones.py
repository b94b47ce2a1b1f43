import pytest

pytest.importorskip("timm")

from segattn.backbones import families, listing
from segattn.cli import backbones as command
from segattn.cli import main


def shown(capsys, monkeypatch, *words):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["backbones", *words]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    return text


def test_pattern_shows_strides_widths_and_parameters(capsys, monkeypatch):
    text = shown(capsys, monkeypatch, "Swin_tiny_*window7*")
    row = next(line.split() for line in text.splitlines() if line.startswith("timm:swin"))
    # 28.3 M with a classifier of 0.8 M (arXiv 2103.14030, table 1: 28 M)
    assert row == ["timm:swin_tiny_patch4_window7_224", "4", "8", "16", "32", "96", "192", "384", "768", "27.5"]
    assert "add --model.output-stride 32" in " ".join(text.split())


def test_built_in_network_is_listed_with_its_family(capsys, monkeypatch):
    text = shown(capsys, monkeypatch, "resnet18")
    names = [line.split()[0] for line in text.splitlines() if "64 128 256 512" in line]
    assert names[:2] == ["resnet18", "timm:legacy_seresnet18"]


def test_networks_that_cannot_be_backbones_are_counted_with_the_reason(capsys, monkeypatch):
    text = " ".join(shown(capsys, monkeypatch, "cait").split())
    assert (
        "No backbones: timm:cait_m36_384, timm:cait_m48_448, timm:cait_s24_224 and 7 more (its attention is built"
        in text
    )
    assert "near: timm:deit_small_patch16_224" in text


def test_long_list_is_cut_and_counted(capsys, monkeypatch):
    monkeypatch.setattr(command, "MOST_ROWS", 2)
    text = shown(capsys, monkeypatch, "resnet1*d")
    rows = [line for line in text.splitlines() if line.startswith(("resnet", "timm:"))]
    assert len(rows) == 2
    assert f"and {len(listing.matching('resnet1*d')) - 2} more; a longer pattern lists them" in text


def test_no_pattern_shows_one_network_of_every_family(capsys, monkeypatch):
    monkeypatch.setattr(listing, "describe", lambda name: listing.Entry(name, (4, 8, 8, 8), (64, 128, 256, 512), 10**7))
    text = shown(capsys, monkeypatch)
    for group in families.FAMILIES.values():
        assert all(f"timm:{name}" in text for name in group.values())


def test_network_that_timm_cannot_build_is_named(capsys, monkeypatch):
    def describe(name):
        raise RuntimeError("a bug of timm")

    monkeypatch.setattr(listing, "describe", describe)
    assert "Not possible here: timm:resnet18d (RuntimeError: a bug of timm)" in shown(capsys, monkeypatch, "resnet18d")


def test_without_timm_the_built_in_ones_are_listed(capsys, monkeypatch):
    monkeypatch.setattr(listing, "_timm", lambda: None)
    text = " ".join(shown(capsys, monkeypatch).split())
    assert "resnet101 4 8 8 8 256 512 1024 2048 42.5" in text
    assert "timm is not installed. With it there are families of transformers: pip install 'segattn[timm]'" in text


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("segformer_b0", "timm has no MiT of SegFormer; use timm:pvt_v2_b0"),
        ("swin_tinyy", "timm has no network 'swin_tinyy'; similar names: swin"),
        ("zzzzz", "timm has no network 'zzzzz'; see segattn backbones"),
    ],
)
def test_pattern_without_a_match_is_an_error(pattern, message, capsys):
    assert main(["backbones", pattern]) != 0
    assert message in capsys.readouterr().err
