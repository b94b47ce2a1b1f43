"""What others have published, as it is kept."""

import csv
from pathlib import Path

from segattn.records import published


def test_every_row_is_plausible():
    with (Path(published.__file__).parent / "published.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {line["dataset"] for line in lines} == {"cityscapes", "ade20k", "voc"}
    assert {line["source"] for line in lines} == set(published.SOURCES)
    for line in lines:
        row = published._row(line)
        assert 0.3 < row.mean_iou < 0.83
        assert row.mean_iou_multi_scale is None or 0 < row.mean_iou_multi_scale - row.mean_iou < 0.05
    assert len({tuple(line.values()) for line in lines}) == len(lines)
