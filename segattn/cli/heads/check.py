"""`segattn heads check`: the behaviour suite on anybody's head, as a table with reasons."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from rich.table import Table
from rich.text import Text

from segattn import heads
from segattn.catalogue import first_line
from segattn.cli import terminal
from segattn.heads.parts.checks import CHECKS, Check, Fault, NotDeclared, Subject, subjects

PASSED, FAILED, NOT_THERE, NOT_ASKED = "passed", "failed", "not there", "-"
_COLOURS = {PASSED: "green", FAILED: "bold red", NOT_THERE: "yellow", NOT_ASKED: "dim"}
_SIZE = (65, 97)


@dataclass(frozen=True)
class Result:
    """What a check of one head in one mode came to."""

    check: str
    """The behaviour in a few words, such as `samples do not mix`."""
    mode: heads.Mode
    outcome: str
    """`passed`, `failed`, `not there` (an optional part that the head does not declare), or `-` where it is not asked for."""
    reason: str = ""
    """Why it failed, or what is not there; empty where it passed."""
    meaning: str = ""
    """What is checked, in a sentence."""


def results(name: str, *, on_start: Callable[[str], object] = lambda what: None) -> Iterator[Result]:
    """Every check of a head, in every mode that it has.

    Raises:
        ValueError: the head cannot be found, or its file misses something of the contract.
    """
    available = heads.modes(name)
    Subject(name).build()  # what the contract asks for is said before anything is checked
    for mode in available:
        for check in CHECKS:
            on_start(f"{name}, {mode}: {check.meaning}")
            yield _result(check.name, check.meaning, mode, _asked(check, name, mode))
        for run in (cost_is_counted, maps_are_drawn, mechanism_is_cut_out):
            meaning = _sentence(run)
            on_start(f"{name}, {mode}: {meaning}")
            yield _result(run.__name__, meaning, mode, {"": partial(run, name, mode)})
    if "controlled" not in available:
        advice = "declare the class of its mechanism on Head: Mechanism = MyMechanism"
        yield Result("controlled form", "controlled", NOT_THERE, advice)


def cost_is_counted(name: str, mode: heads.Mode) -> None:
    """Every operator has a formula in the FLOPs ledger, and the mechanism is a part of the head."""
    from segattn.cost import network_cost

    cost = network_cost(name, input_size=_SIZE, backbone="resnet18", mode=mode)
    if not 0 < cost.head_total.macs < cost.network.macs or cost.mechanism.macs > cost.head_total.macs:
        raise Fault(
            f"mechanism {cost.mechanism.macs}, head {cost.head_total.macs}, network {cost.network.macs} multiply-adds: "
            "each should be a part of the next"
        )


def maps_are_drawn(name: str, mode: heads.Mode) -> None:
    """Each attention map has the size that its kind in `map_kinds` says, so that it can be drawn over the image."""
    from segattn.maps.look import look
    from segattn.model import create_model

    model = create_model(name, num_classes=3, backbone="resnet18", mode=mode).eval()
    if not hasattr(model.head, "attention_maps"):
        raise NotDeclared("without attention_maps there is nothing to draw")
    look(model, torch.zeros(3, *_SIZE), name=name).at((_SIZE[1] // 2, _SIZE[0] // 2))


def mechanism_is_cut_out(name: str, mode: heads.Mode) -> None:
    """With the replacement that `without_attention` names, the logits no longer depend on the mechanism; the gates exist."""
    from segattn.evaluation import without_attention
    from segattn.model import create_model

    model = create_model(name, num_classes=3, backbone="resnet18", mode=mode).eval()
    if model.declared("attention") is None:
        raise NotDeclared(
            "there is no attention to cut out; declare the mechanism: self.attention = MyMechanism(channels)"
        )
    if not without_attention.has_mechanism(model):
        return
    if (gates := model.declared("gates")) and not without_attention.learnt_gates(model):
        raise Fault(f"its mechanism has no parameter {' or '.join(gates)}, which it declares as gates")
    image, means = torch.randn(1, 3, *_SIZE), without_attention.ChannelMeans()
    with torch.no_grad():
        with without_attention.observed(model, means):
            model(image)
        logits = []
        for _ in range(2):
            with without_attention.removed(model, means.over_processes()):
                logits.append(model(image))
            for value in model.mechanism.parameters():
                value.add_(1)
    if not torch.equal(*logits):
        raise Fault("the logits depend on the mechanism's parameters after it is cut out; are they used outside of it?")


def show(names: Sequence[str]) -> int:
    """Check the heads and print a table each, and below it why something failed; the exit code, 1 where a check failed."""
    console, failed = terminal.console(), 0
    for name in names:
        with terminal.status(console) as say, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, of compilation
            checked = list(results(name, on_start=say))
        console.print(_table(name, checked))
        for result in checked:
            if result.outcome in (FAILED, NOT_THERE):
                asked = f"\n  asked: {result.meaning}" if result.meaning else ""
                why = terminal.printable(f": {result.check} ({result.mode}): {result.reason}{asked}")
                console.print(Text.assemble("\n", (result.outcome, _COLOURS[result.outcome]), why))
        counts = {outcome: sum(result.outcome == outcome for result in checked) for outcome in (PASSED, FAILED)}
        console.print(f"\n{name}: {counts[PASSED]} passed, {counts[FAILED]} failed\n", highlight=False, markup=False)
        failed += counts[FAILED]
    return 1 if failed else 0


def _table(name: str, checked: Sequence[Result]) -> Table:
    """A line for each check, a column for each mode."""
    table = Table(title=name, title_justify="left", box=None, pad_edge=False, header_style="bold")
    columns = list(dict.fromkeys(result.mode for result in checked))
    for column in ("check", *columns):
        table.add_column(column, no_wrap=True)
    outcomes = {(result.check, result.mode): result.outcome for result in checked}
    for check in dict.fromkeys(result.check for result in checked):
        cells = [outcomes.get((check, mode), NOT_ASKED) for mode in columns]
        table.add_row(check, *(Text(cell, style=_COLOURS[cell]) for cell in cells))
    return table


def _asked(check: Check, name: str, mode: heads.Mode) -> dict[str, Callable[[], None]]:
    """The check on each form of the head that it is asked of."""
    return {
        subject.form or "": partial(check.run, subject) for subject in subjects(name, mode) if check.applies(subject)
    }


def _result(check: str, meaning: str, mode: heads.Mode, runs: dict[str, Callable[[], None]]) -> Result:
    check = check.replace("_", " ")
    if not runs:
        return Result(check, mode, NOT_ASKED)
    reasons: dict[str, str] = {}
    for form, run in runs.items():
        try:
            run()
        except NotDeclared as missing:
            return Result(check, mode, NOT_THERE, str(missing))
        except Fault as fault:
            reasons[form] = str(fault)
        except Exception as error:  # whatever a user's head does
            reasons[form] = first_line(error)
    texts = [f"{form}: {reason}" if form else reason for form, reason in reasons.items()]
    return Result(check, mode, FAILED if reasons else PASSED, "; ".join(texts), meaning)


def _sentence(function: Callable[..., object]) -> str:
    return " ".join((function.__doc__ or "").split())
