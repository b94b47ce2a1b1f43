"""The commands and what each is for: the text of `segattn --help`."""

from __future__ import annotations

from segattn import __version__

COMMANDS = {
    "study": "train, evaluate and compare heads: the whole study in one command",
    "train": "train and evaluate one network",
    "evaluate": "score a trained network on a split",
    "predict": "label photos and videos with a trained network",
    "export": "write a trained network as ONNX or .pt2, and compare it",
    "maps": "draw the attention maps of one pixel for trained networks",
    "demo": "open a page to click pixels and compare attention maps",
    "heads": "list the attention heads, or explain one",
    "backbones": "list the backbones: built in and of timm",
    "zoo": "list the trained networks that ship with segattn, or describe one",
    "push": "share a trained network on the Hugging Face Hub",
    "flops": "count the cost of networks without running them",
    "bench": "measure time and memory on this machine, relative to its limits",
    "plan": "predict what fits into a GPU's memory or a budget",
    "choose": "choose among trained networks within a budget",
    "report": "write tables, figures and an HTML page from finished runs",
    "compare": "compare networks on the same images: are the differences real?",
    "data": "get, generate, check and pack data sets; features of a backbone",
    "convert": "convert checkpoints from mmsegmentation and to it",
    "completion": "complete commands and options in bash, zsh or fish",
    "doctor": "describe this machine and installation, and what is missing",
}

SUBCOMMANDS = {
    "study": ("status", "cancel", "collect", "probes"),
    "heads": ("check",),
    "data": ("prepare", "make", "init", "check", "statistics", "show", "pack", "features"),
    "convert": ("mmseg", "to-mmseg"),
}
"""Words that follow a command."""
EXPERIMENT_FIRST = ("study", "train", "data show", "data features")
"""Commands whose next word is the name of an experiment."""

_EPILOGUE = """\
Start with:
  segattn study quick             all ten heads on generated scenes, in minutes
  segattn heads ccnet             equation, cost and source of a mechanism
  segattn flops --input 769x769   cost of every head with ResNet-101
  segattn COMMAND --help          options of a command"""


def usage() -> str:
    """The text of `segattn --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, text in COMMANDS.items()]
    return (
        f"segattn {__version__}: attention networks for semantic segmentation under one protocol\n\n"
        "usage: segattn COMMAND [options]\n\ncommands:\n" + "\n".join(lines) + f"\n\n{_EPILOGUE}\n"
    )
