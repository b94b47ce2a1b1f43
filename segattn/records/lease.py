"""A lease of a folder: of all processes, on all machines that share a file system, at most one writes the folder.

The holder's file `.lease` in the folder names its process, its machine and a token, and is renewed by a heartbeat. The next
process takes over at once where the holder is proven dead (same machine, and the process is gone or its number belongs to
another process). Otherwise it takes over after it has seen no heartbeat for `duration` seconds of its own clock, so the clocks
of the machines need not agree. `filelock.SoftFileLease` does this; see its documentation for the file.

A holder that was stopped for longer than `duration` may have lost the folder. It calls `check` before each write, which compares
the token on disk. A process that is stopped between check and write, and for longer than `duration`, still writes: no file system
can prevent that.
"""

from __future__ import annotations

import functools
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import LeaseSettingsMismatch, OwnerRecord, SoftFileLease, Timeout

OnNotice = Callable[[str], object]

SECONDS = 30.0
"""How long a lease outlives its last heartbeat. All processes that share a folder use the same value."""

NAMELESS_SECONDS = 5.0
"""How long a lease that names no holder lasts: a kill between making the file and writing the name leaves one."""

_SELF = "this process"


class Held(ValueError):
    """Another process, or this one, holds the lease of the folder."""


class LeaseLost(ValueError):
    """The lease was taken over or removed; the folder may belong to another process."""


class Lease:
    """The lease of `folder`, a context manager; the folder is created if it is missing.

    A forked child may `check` its parent's lease; it never releases it. Threads share it.

    Args:
        what: what the folder holds, for messages.
        name: of the lease's file. Leases of different names in one folder are independent: each is for a file of it.
        wait: seconds to wait for a living holder before `Held` is raised.
        watch: whether to watch a holder that cannot be proven dead for a heartbeat, up to `duration` seconds; otherwise `Held` is
            raised at once.
        duration: seconds without a heartbeat after which the lease may be taken over; the heartbeat's interval is a third.
        on_notice: called with a line when a holder is watched.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        what: str = "run",
        *,
        name: str = ".lease",
        wait: float = 0.0,
        watch: bool = True,
        duration: float = SECONDS,
        on_notice: OnNotice = lambda line: None,
    ) -> None:
        self.folder, self.what, self.wait, self.watch = Path(folder), what, wait, watch
        self.duration, self.on_notice = duration, on_notice
        self.path = Path(os.path.abspath(folder)) / name
        self._lock: SoftFileLease | None = None
        self._pid, self._token = 0, ""

    def __enter__(self) -> Lease:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lease.

        Raises:
            Held: a living process holds it.
            ValueError: the folder cannot be written.
        """
        if self._lock is not None:
            raise Held(self._held(self._lock.owner))
        lock = self._new()
        try:
            self._take(lock)
        except OSError as error:
            raise ValueError(f"cannot write the {self.what} into {self.folder}: {error.strerror or error}") from error
        self._lock, self._pid, self._token = lock, os.getpid(), lock.token or ""

    def release(self) -> None:
        """Give the lease back and remove its file; a lease that was lost is left to its new holder."""
        lock, self._lock = self._lock, None
        if lock is None or os.getpid() != self._pid:
            return
        try:
            lock.release()
        except OSError:  # the file cannot be removed: without a heartbeat the lease expires
            return

    def check(self) -> None:
        """Raise LeaseLost unless the file still has this lease's token. Reads one small file: call it before each write."""
        lock = self._lock
        if lock is None:
            raise LeaseLost(f"{self.folder}: the lease of the {self.what} was released; nothing more is written")
        if lock.compromise is None:
            if self._is_ours(lock):
                return
            time.sleep(0.05)  # a process that gives up a takeover puts our file back
            if self._is_ours(lock):
                return
        owner = lock.owner
        if owner is None:
            how = f"was removed, or {self.path} cannot be read"
        elif owner.token != self._token:
            how = f"was taken over by {_name(owner)}"
        else:
            how = "could not be renewed" + (f" ({lock.compromise.error})" if lock.compromise else "")
        raise LeaseLost(
            f"{self.folder}: the lease of the {self.what} {how}; nothing more is written. Run the same command again to "
            "continue when no other process writes this folder"
        )

    def refuse_if_held(self) -> None:
        """Raise Held if a living process of this machine holds the lease; writes nothing, and does not wait."""
        if self.path.exists() and self._is_held_here(lock := self._new()):
            raise Held(self._held(lock.owner))

    def _new(self) -> SoftFileLease:
        return SoftFileLease(self.path, lease_duration=self.duration, thread_local=False)

    def _is_ours(self, lock: SoftFileLease) -> bool:
        owner = lock.owner
        return owner is not None and owner.token == self._token

    def _take(self, lock: SoftFileLease) -> None:
        """Acquire the lock, now or as soon as its holder is known to be dead."""
        poll, give_up = min(0.2, self.duration / 20), time.monotonic() + self.wait
        watched: tuple[int, int] | None = None
        expected = 0.0
        while not (_acquired(lock) or _acquired(lock)):  # the first attempt may only remove the file of a dead holder
            beat, now = self._heartbeat(), time.monotonic()
            if beat is not None and now >= give_up:
                if (owner := lock.owner) is None:  # its holder was killed before it wrote its name, or writes it now
                    if beat != watched:
                        watched, expected = beat, now + min(self.duration, NAMELESS_SECONDS)
                    elif now > expected:
                        self._remove_nameless(watched)
                elif not self.watch or self._is_held_here(lock):
                    raise Held(self._held(owner))
                elif watched is None:
                    watched, expected = beat, now + self.duration + 10 * poll
                    self.on_notice(
                        f"{self.folder}: {_name(owner)} holds the lease of the {self.what}; it is taken over if no "
                        f"heartbeat comes within {self.duration:g} s"
                    )
                elif beat != watched or now > expected:
                    raise Held(self._held(owner))
            time.sleep(poll)

    def _remove_nameless(self, watched: tuple[int, int]) -> None:
        """Remove the lease's file unless it is another one by now."""
        aside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")  # `sweep` knows the form
        with suppress(FileNotFoundError):
            os.rename(self.path, aside)
            status = os.stat(aside)
            if (status.st_mtime_ns, status.st_ino) == watched:
                aside.unlink()
            else:
                os.rename(aside, self.path)

    def _heartbeat(self) -> tuple[int, int] | None:
        """What changes with each heartbeat and each holder; None if there is no holder."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _is_held_here(self, lock: SoftFileLease) -> bool:
        """Whether the holder is a living process of this machine that renews its lease."""
        owner, beat = lock.owner, self._heartbeat()
        if owner is None or beat is None or time.time() - beat[0] / 1e9 > self.duration:
            return False
        return owner.hostname == _host() and _lives(owner.pid)

    def _held(self, owner: OwnerRecord | None) -> str:
        beat = self._heartbeat()
        ago = "" if beat is None else f" (last heartbeat {max(0.0, time.time() - beat[0] / 1e9):.0f} s ago)"
        if owner is None:
            return (
                f"{self.folder}: the lease of the {self.what} names no holder{ago}; if no process writes this folder, remove "
                f"{self.path}"
            )
        if _name(owner) == _SELF:
            return f"{self.folder} is in use: {_SELF} writes the {self.what} there already; choose another --out"
        return (
            f"{self.folder} is in use: {_name(owner)} writes the {self.what} there{ago}; wait until it ends, or choose another "
            f"--out. If it was killed, its lease expires {self.duration:g} s after the last heartbeat"
        )


def holder(folder: str | os.PathLike[str], now: float) -> str | None:
    """The machine on which a living process holds the lease of `folder`; None if there is none. Nothing is written.

    A heartbeat counts for twice the lease's duration, because clocks of machines differ. On this machine the process must live.

    Args:
        now: `time.time()`.
    """
    path = Path(folder) / ".lease"
    try:
        beat = os.stat(path).st_mtime
    except OSError:
        return None
    owner = SoftFileLease(path, lease_duration=SECONDS, thread_local=False).owner
    if owner is None or now - beat > 2 * SECONDS:
        return None
    host = owner.hostname.partition("?pidns-")[0]
    if host == socket.gethostname() and owner.hostname == _host_once() and not _lives(owner.pid):
        return None
    return host


@functools.cache
def _host_once() -> str | None:
    return _host()


def _acquired(lock: SoftFileLease) -> bool:
    try:
        lock.acquire(blocking=False)
    except (Timeout, LeaseSettingsMismatch):  # the second: its holder agreed to another duration
        return False
    return True


def _name(owner: OwnerRecord | None) -> str:
    if owner is None:
        return "an unknown process"
    if owner.pid == os.getpid() and owner.hostname == _host():
        return _SELF
    return f"process {owner.pid} on {owner.hostname.partition('?pidns-')[0]}"  # without the container's number


def _host() -> str | None:
    """This machine's (or container's) name as leases record it; None if no temporary file can be written."""
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            SoftFileLease(Path(folder) / ".lease", thread_local=False) as lock,
        ):
            return lock.owner.hostname if lock.owner is not None else None
    except OSError:
        return None


def _lives(pid: int) -> bool:
    """Whether a process of this machine runs; a zombie, killed and not waited for, does not."""
    if os.name == "nt":  # os.kill would send it an event
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # no /proc
        return True
    return state not in ("Z", "X")
