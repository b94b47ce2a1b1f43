"""The command line: `segattn COMMAND ...`; one file a command, imported only when it is asked for."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from segattn import __version__
from segattn.catalogue import hint
from segattn.cli.allocator import own_words
from segattn.cli.commands import COMMANDS, usage
from segattn.cli.interrupted import INTERRUPTED, interruptible


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0 success, 1 some files failed, 2 a mistake in the command, 130 interrupted."""
    with interruptible():
        try:
            return _main(own_words() if arguments is None else list(arguments))
        except KeyboardInterrupt:
            print(INTERRUPTED, file=sys.stderr)
            return 130


def _main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "--help-all", "help"):
        print(usage(), end="")
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"segattn {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        return _fail(f"unknown command {name!r}; {hint(name, COMMANDS)}Commands: {', '.join(COMMANDS)}")
    command = importlib.import_module(f"segattn.cli.{name}")
    try:
        return command.run(rest) or 0
    except ValueError as error:
        return _fail(str(error))
    except BrokenPipeError:  # the reading end (head, less) is closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # no space, no permission, a file where a folder should be
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _fail(message: str) -> int:
    # one line that a terminal shows as it is, whatever the names of files hold
    line = "".join(c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in message)
    print(f"segattn: error: {line}", file=sys.stderr)
    return 2
