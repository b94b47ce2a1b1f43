"""Experiments, one file each: the folder is the catalogue.

A file has `experiment() -> Experiment`; its docstring states the purpose, the command and the duration. A study runs its heads
with `SEEDS` seeds, 1 where it has none. A dotted module path works wherever a name does.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from segattn.catalogue import is_dotted, load_module, unknown
from segattn.config import Experiment

STUDY_HEADS = ("fcn", "ccnet", "danet", "denoised_nl", "dnlnet", "emanet", "flanet", "isanet", "non_local", "reconet")
"""The baseline and the nine attention heads of the study, arXiv 2309.10217, of which the zoo has trained networks."""


def names() -> list[str]:
    """Names of the experiments that come with segattn."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ValueError: no such experiment; the message names the nearest ones.
    """
    return _module(name).experiment()


def summary(name: str) -> str:
    """First line of an experiment's docstring."""
    return (inspect.getdoc(_module(name)) or "").partition("\n")[0]


def seeds(name: str) -> int:
    """Number of seeds that a study of this experiment runs by default."""
    return int(getattr(_module(name), "SEEDS", 1))


def _module(name: str):  # type: ignore[no-untyped-def]
    if is_dotted(name):
        module = load_module(name, "experiment")
        if not callable(getattr(module, "experiment", None)):
            raise ValueError(
                f"experiment {name}: {module.__file__} has no function experiment; "
                "write: def experiment(): return Experiment(...) (segattn/experiments/quick.py is the pattern)"
            )
        return module
    if name not in names():
        raise unknown("experiment", name, names())
    return importlib.import_module(f"{__name__}.{name}")
