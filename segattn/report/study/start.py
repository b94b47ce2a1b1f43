"""How the heads of a study start, and what networks of the zoo on the same trunk reached when they were trained at length."""

from __future__ import annotations

from segattn.records import FullyTrained
from segattn.report.study.rows import Row
from segattn.report.study.study import Study

NAME = "Fully trained (zoo)"
COLD = "†"
"""Mark of a row whose mechanism is not the identity at its start."""
PRICE = "does not start as the identity: its lower mIoU after few steps is also the price of a cold start"
"""What the mark means."""


def identity(row: Row) -> bool | None:
    """Whether the new mechanism returned its input, in all seeds; None where that is not recorded."""
    starts = [run.record.start for run in row.runs if run.record.start is not None]
    tried = [start.identity for start in starts if start.init_head == "trunk" and start.identity is not None]
    return all(tried) if tried else None


def is_cold(row: Row) -> bool:
    """Whether the head starts from a trunk, and its mechanism is not the identity there."""
    return identity(row) is False


def fully_trained(study: Study, row: Row) -> FullyTrained | None:
    """The zoo's network of the row's head and mode; None where the study names none."""
    networks = [
        each for record in study.studies if record.experiment == row.experiment for each in record.fully_trained
    ]
    return next((each for each in networks if (each.head, each.mode) == (row.head, row.mode)), None)


def any_fully_trained(study: Study) -> bool:
    """Whether any row has a network of the zoo beside it."""
    return any(fully_trained(study, row) for row in study.rows)


def trunks(study: Study) -> list[str]:
    """Names of the trunks of these networks."""
    networks = [network for row in study.rows if (network := fully_trained(study, row))]
    return list(dict.fromkeys(network.name.partition("/")[0] for network in networks))


def notes(study: Study) -> list[str]:
    """What the mark and the column mean, a sentence or two each."""
    sentences = [f"{COLD}: {PRICE}."] if any(map(is_cold, study.rows)) else []
    networks = [network for row in study.rows if (network := fully_trained(study, row))]
    if networks:
        counts = sorted({network.num_images for network in networks})
        scenes = " or ".join(f"{count:,}" for count in counts)
        sentences.append(
            f"{NAME}: mIoU of the network of `segattn zoo` with this head on the trunk {' or '.join(trunks(study))}, trained at"
            f" length with one seed; as recorded, on the {scenes} validation scenes of the zoo, which may differ from the images"
            " here."
        )
    return sentences
