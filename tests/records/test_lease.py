"""One writer of a folder at a time: who gets the lease, who is told what, and when a holder notices that it lost it."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from filelock import SoftFileLease

from segattn.records import Held, Lease, LeaseLost
from tests.places import ROOT

SHORT = 0.6
"""Duration of the leases of tests that wait for one to expire, in seconds; a heartbeat comes after a third of it."""
HOLDER = """
import sys
from segattn.records import Lease
with Lease(sys.argv[1], duration=float(sys.argv[2])) as lease:
    print("held", flush=True)
    for line in sys.stdin:
        try:
            lease.check()
            print("ours", flush=True)
        except ValueError as error:
            print(error, flush=True)
"""


class Holder:
    """Another process that holds the lease of a folder."""

    def __init__(self, folder, duration=30.0):
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder), str(duration)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout.readline() == "held\n"

    def checked(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=30) == 0


@contextmanager
def holder(folder, duration=30.0):
    started = Holder(folder, duration)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait(timeout=30)
        started.process.stdin.close()
        started.process.stdout.close()


def written_by(folder, *, host, pid=4711, token="ab" * 16, duration=SHORT, mode="lease"):
    """The file of a lease as another machine writes it."""
    path = folder / ".lease"
    path.write_text(f"filelock/2\npid={pid}\nhost={host}\nmode={mode}\ntoken={token}\nduration={duration!r}\n")
    return path


@contextmanager
def renewed(path, every):
    """Heartbeats of the machine that wrote the file."""
    stop = threading.Event()

    def beat():
        while not stop.wait(every):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_file_is_there_while_the_lease_is_held(tmp_path):
    folder = tmp_path / "new" / "run"
    with Lease(folder) as lease:
        lease.check()
        assert [path.name for path in folder.iterdir()] == [".lease"]
    assert list(folder.iterdir()) == []
    with Lease(folder):
        pass


def test_released_after_an_error(tmp_path):
    with pytest.raises(KeyError), Lease(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_another_process_is_told_who_writes_and_changes_nothing(tmp_path):
    with holder(tmp_path) as other:
        before = (tmp_path / ".lease").read_bytes()
        for attempt in (Lease(tmp_path).acquire, Lease(tmp_path).refuse_if_held, Lease(tmp_path, watch=False).acquire):
            began = time.monotonic()
            with pytest.raises(Held) as caught:
                attempt()
            assert time.monotonic() - began < 10  # no wait, of the 30 s that the lease lasts
            message = str(caught.value)
            assert f"{tmp_path} is in use: process {other.process.pid} on " in message
            assert "writes the run there (last heartbeat " in message
            assert "wait until it ends, or choose another --out" in message
            assert "expires 30 s after the last heartbeat" in message
            assert "\n" not in message
        assert (tmp_path / ".lease").read_bytes() == before
        assert other.checked() == "ours"
        other.end()
        with Lease(tmp_path) as lease:
            lease.check()


def test_holder_that_was_killed_is_replaced_at_once_and_silently(tmp_path):
    with holder(tmp_path) as other:
        other.process.send_signal(signal.SIGKILL)
        other.process.wait(timeout=30)
        assert (tmp_path / ".lease").exists()
        notices, began = [], time.monotonic()
        Lease(tmp_path).refuse_if_held()
        with Lease(tmp_path, on_notice=notices.append) as lease:
            lease.check()
            assert time.monotonic() - began < 10
        assert notices == []
    assert list(tmp_path.iterdir()) == []


def test_killed_holder_that_nobody_waited_for_is_no_living_one(tmp_path):
    with holder(tmp_path, SHORT) as other:
        os.kill(other.process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, other.process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        with Lease(tmp_path, duration=SHORT) as lease:
            lease.check()


def test_number_of_a_dead_holder_may_belong_to_another_process(tmp_path):
    with Lease(tmp_path) as lease:
        record = lease.path.read_text()
    lease.path.write_text(record.replace("start=", "start=1"))  # this process's number, but an earlier start
    with Lease(tmp_path) as lease:
        lease.check()


def test_stopped_holder_loses_the_lease_and_notices_before_its_next_write(tmp_path):
    with holder(tmp_path, SHORT) as other:
        other.process.send_signal(signal.SIGSTOP)
        time.sleep(SHORT)
        notices = []
        with Lease(tmp_path, duration=SHORT, on_notice=notices.append) as lease:
            other.process.send_signal(signal.SIGCONT)
            lost = other.checked()
            assert f"the lease of the run was taken over by process {os.getpid()} on " in lost
            assert "nothing more is written" in lost
            other.end()  # and it does not release what is not its own
            lease.check()
            assert len(notices) == 1
            assert f"process {other.process.pid} on " in notices[0]
            assert "taken over if no heartbeat comes within 0.6 s" in notices[0]


def test_dead_claim_of_another_machine_is_taken_over_after_its_duration(tmp_path):
    written_by(tmp_path, host="elsewhere", pid=os.getpid())  # numbers of processes mean nothing across machines
    os.utime(tmp_path / ".lease", (0, 0))  # nor do clocks: its age in years is no reason to hurry
    notices, began = [], time.monotonic()
    with Lease(tmp_path, duration=SHORT, on_notice=notices.append) as lease:
        assert SHORT <= time.monotonic() - began < SHORT + 10
        lease.check()
    assert notices == [
        f"{tmp_path}: process {os.getpid()} on elsewhere holds the lease of the run; it is taken over if no heartbeat comes "
        "within 0.6 s"
    ]
    assert list(tmp_path.iterdir()) == []


def test_living_claim_of_another_machine_is_respected_after_one_heartbeat(tmp_path):
    path = written_by(tmp_path, host="elsewhere?pidns-f00d", duration=30.0)
    before = path.read_bytes()
    with renewed(path, every=0.2):
        began = time.monotonic()
        with pytest.raises(Held, match="process 4711 on elsewhere writes the features there"):
            Lease(tmp_path, "features", duration=30.0).acquire()
        assert time.monotonic() - began < 20
        with pytest.raises(Held):
            Lease(tmp_path, duration=30.0, watch=False).acquire()
    assert path.read_bytes() == before


def test_lease_that_comes_free_in_time_is_waited_for(tmp_path):
    lease = Lease(tmp_path)
    lease.acquire()
    threading.Timer(0.3, lease.release).start()  # any thread may release it
    with Lease(tmp_path, wait=10):
        with pytest.raises(LeaseLost, match="was released"):
            lease.check()
        began = time.monotonic()
        with pytest.raises(Held):
            Lease(tmp_path, wait=0.4).acquire()
        assert time.monotonic() - began >= 0.4


def test_same_process_holds_a_folder_once(tmp_path):
    with Lease(tmp_path) as lease:
        for other in (lease, Lease(tmp_path)):
            with pytest.raises(Held, match="this process writes the run there already; choose another --out"):
                other.acquire()
        lease.check()
    assert list(tmp_path.iterdir()) == []


def test_lease_of_another_duration_is_no_prey(tmp_path):
    path = written_by(tmp_path, host="elsewhere", duration=100.0)
    before = path.read_bytes()
    with pytest.raises(Held, match="process 4711 on elsewhere"):
        Lease(tmp_path, duration=0.1).acquire()
    assert path.read_bytes() == before


def test_removed_folder_is_a_lost_lease_and_is_not_made_again(tmp_path):
    folder = tmp_path / "run"
    with Lease(folder) as lease:
        lease.path.unlink()
        folder.rmdir()
        with pytest.raises(LeaseLost, match="was removed"):
            lease.check()
    assert not folder.exists()


def test_lease_taken_by_force_is_noticed_at_the_next_check(tmp_path):
    with Lease(tmp_path) as lease:
        SoftFileLease(lease.path).force_break()
        with Lease(tmp_path) as other:
            with pytest.raises(LeaseLost, match="was taken over by this process"):
                lease.check()
            lease.release()
            other.check()


def test_lease_that_cannot_be_renewed_is_lost_though_its_file_is_there(tmp_path, monkeypatch):
    failed = threading.Event()

    def refuse(*arguments, **options):
        failed.set()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Lease(tmp_path, duration=SHORT) as lease:
        lease.check()
        monkeypatch.setattr(os, "utime", refuse)
        assert failed.wait(timeout=5)
        end, lost = time.monotonic() + 5, ""
        while not lost and time.monotonic() < end:
            time.sleep(0.02)
            try:
                lease.check()
            except LeaseLost as error:
                lost = str(error)
        assert "could not be renewed ([Errno 5] Input/output error)" in lost
        assert lease.path.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_may_check_and_does_not_release(tmp_path):
    with Lease(tmp_path) as lease:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                lease.check()
                lease.release()
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        lease.check()


def test_workers_of_a_data_loader_leave_the_lease_alone(tmp_path):
    data = pytest.importorskip("torch.utils.data")
    with Lease(tmp_path) as lease:
        assert len(list(data.DataLoader(range(4), num_workers=2))) == 4
        lease.check()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_folder_that_cannot_be_written_is_named(code, tmp_path, monkeypatch):
    genuine = os.open

    def refuse(path, flags, *arguments, **options):
        if str(path).endswith(".lease") and flags & os.O_CREAT:
            raise OSError(code, os.strerror(code), path)
        return genuine(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ValueError, match=f"cannot write the run into {tmp_path}: {os.strerror(code)}"):
        Lease(tmp_path).acquire()
    assert list(tmp_path.iterdir()) == []


def test_disk_that_is_full_while_the_file_is_written_leaves_none(tmp_path, monkeypatch):
    genuine = os.write

    def full(handle, data):
        if bytes(data).startswith(b"filelock/"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return genuine(handle, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ValueError, match=f"cannot write the run into {tmp_path}: No space left"):
        Lease(tmp_path).acquire()
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ValueError, match=r"cannot write the run into .*run: "):
        Lease(tmp_path / "run").acquire()


def test_damaged_file_and_an_empty_one_are_replaced(tmp_path, monkeypatch):
    path = tmp_path / ".lease"
    path.write_text("filelock/2\npid=1")  # cut off
    with Lease(tmp_path, duration=2.5) as lease:
        lease.check()
    monkeypatch.setattr("segattn.records.lease.NAMELESS_SECONDS", 0.2)
    for watch in (True, False):
        path.write_text("")  # killed before the name was written
        with Lease(tmp_path, duration=30, watch=watch) as lease:
            lease.check()
        assert list(tmp_path.iterdir()) == []


def test_an_empty_file_that_gets_its_name_in_time_is_a_lease(tmp_path, monkeypatch):
    monkeypatch.setattr("segattn.records.lease.NAMELESS_SECONDS", 1.0)
    holder = Lease(tmp_path, duration=30)
    holder.acquire()
    text = holder.path.read_text()
    holder.path.write_text("")
    writer = threading.Timer(0.3, holder.path.write_text, [text])
    writer.start()
    with pytest.raises(Held, match="this process writes the run there already"):
        Lease(tmp_path, duration=30).acquire()
    writer.join()
    holder.check()
    holder.release()


def test_leases_need_no_torch():
    code = "import sys, segattn.records; assert segattn.records.Lease; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout == "False\n"
