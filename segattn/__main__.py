"""Where a process begins: `segattn`, the console script, and `python -m segattn`, which does the same."""

import os
import signal
import sys

import segattn


def start() -> int:
    """Run the command of this process's command line; its exit code, as `segattn.cli.main` has it.

    Ctrl-C ends the process with one line and code 130 also while the command line is imported, and after the command, while
    Python shuts down. In between it is a KeyboardInterrupt, so that a training can write a checkpoint.
    """
    wait_without_spinning()
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where nohup and the like ignore it
    if is_usual:
        signal.signal(signal.SIGINT, _end)
    from segattn.cli import main

    if is_usual:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return main()
    finally:
        if is_usual:
            signal.signal(signal.SIGINT, _end)


def wait_without_spinning() -> None:
    """Let the threads of GNU OpenMP, torch's on Linux, sleep when they wait for each other, before torch is imported.

    By default they spin for milliseconds. Where another process has one of the cores, each waits for a thread that is not
    running: layers of small maps then take twenty times as long. A variable that the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _end(number: int, frame: object) -> None:
    os.write(2, b"\nsegattn: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    # `python -m` looks into the working directory first, where a run's folder may hold a torch.py
    if (
        not sys.flags.safe_path
        and sys.path[:1] == [os.getcwd()]
        and not segattn.__file__.startswith(sys.path[0] + os.sep)
    ):
        del sys.path[0]
    sys.exit(start())
