"""Worker processes of the loader, and signals."""

from __future__ import annotations

import os
import signal
import threading


def leave_signals_to_the_parent(worker: int) -> None:
    """A signal to the whole process group (Ctrl-C, a batch system) would else kill the worker under the parent's last step.

    Only the parent's own SIGTERM counts, or it would wait for ever for the workers of a stream that it read half. (Where the
    system does not tell who sent a signal, SIGTERM ends the worker as usual.)
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_the_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_the_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
