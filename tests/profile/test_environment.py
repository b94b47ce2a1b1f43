"""What is recorded about the machine and the commit."""

import dataclasses
import subprocess

import pytest
import torch

from segattn.profile.environment import (
    clock_mhz,
    commit,
    cores_in_use,
    device_name,
    environment,
    fast_types,
    governor,
    gpu_in_use,
    processor_name,
    settings,
)
from segattn.records import Environment


def git(path, *arguments):
    identity = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b.c",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "core.hooksPath=/dev/null",
    ]
    return subprocess.run(
        ["git", "-C", path, *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_fills_every_field_of_the_record_but_the_precision():
    record = Environment(**environment("1.2.3"), precision="fp32")
    assert record.segattn == "1.2.3"
    assert record.torch == torch.__version__
    assert record.threads == torch.get_num_threads()
    assert record.device == "cpu"
    assert record.commit is None
    unknown_here = ("commit", "clock_mhz", "governor")
    assert all(value for name, value in dataclasses.asdict(record).items() if name not in unknown_here)


def test_commit_of_a_tracked_folder(repository):
    assert commit(repository / "package") == git(repository, "rev-parse", "HEAD")
    assert environment("1", path=repository / "package")["commit"] == git(repository, "rev-parse", "HEAD")


def test_changed_sources_are_marked(repository):
    (repository / "package" / "module.py").write_text("2\n")
    assert commit(repository / "package") == git(repository, "rev-parse", "HEAD") + "-dirty"


def test_a_folder_that_the_repository_does_not_track_has_no_commit(repository):
    (repository / "site-packages").mkdir()
    (repository / "site-packages" / "module.py").write_text("3\n")
    assert commit(repository / "site-packages") is None


def test_outside_a_repository_there_is_no_commit(tmp_path):
    assert commit(tmp_path) is None
    assert commit(tmp_path / "absent") is None


def test_processor_is_read_from_cpuinfo(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Example 7 @ 3 GHz\nflags\t: a b\n")
    assert processor_name(tmp_path / "cpuinfo") == "Example 7 @ 3 GHz"
    assert processor_name(tmp_path / "absent")


def test_device_without_a_name_is_its_type():
    assert device_name("cpu") == "cpu"
    assert device_name(torch.device("meta")) == "meta"


def test_clock_is_the_highest_of_the_cores_and_none_where_it_is_not_said(tmp_path):
    (tmp_path / "cpuinfo").write_text("cpu MHz\t\t: 2600.5\nmodel name\t: A\ncpu MHz\t\t: 3100.25\n")
    assert clock_mhz(tmp_path / "cpuinfo") == 3100.25
    assert clock_mhz(tmp_path / "absent") is None


def test_governor_is_read_where_there_is_one(tmp_path):
    assert governor(tmp_path) is None
    (tmp_path / "scaling_governor").write_text("schedutil\n")
    assert governor(tmp_path) == "schedutil"


def test_cores_in_use_are_the_share_of_time_that_was_not_idle(tmp_path, monkeypatch):
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 0 20 800 80 0 0 0 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    later = "cpu  140 0 30 930 100 0 0 0 9 9\n"  # 50 of 200 ticks are not idle, nor waiting for disks
    monkeypatch.setattr("time.sleep", lambda seconds: stat.write_text(later))
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert cores_in_use(0.0, stat) == pytest.approx(2.0)
    assert cores_in_use(0.0, stat) == 0.0  # no time has passed


def test_without_the_system_s_figures_the_load_average_stands_in(tmp_path, monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (1.5, 9.0, 9.0), raising=False)
    assert cores_in_use(0.0, tmp_path / "stat") == 1.5


@pytest.mark.parametrize(("said", "share"), [("37", 0.37), ("", 0.0), ("[N/A]", 0.0)])
def test_gpu_in_use_is_what_its_driver_says(said, share, monkeypatch):
    monkeypatch.setattr("segattn.profile.environment._output", lambda *command: said)
    assert gpu_in_use("cuda:0") == share


def test_settings_name_the_variables_that_are_set(monkeypatch):
    monkeypatch.setenv("OMP_PROC_BIND", "close")
    monkeypatch.delenv("KMP_AFFINITY", raising=False)
    values = settings()
    assert values["OMP_PROC_BIND"] == "close"
    assert "KMP_AFFINITY" not in values
    assert values["oneDNN"] in ("yes", "no")


def test_a_record_from_before_these_fields_still_reads():
    import msgspec

    old = {"segattn": "0.1.0", "commit": None, "python": "3.11", "torch": "2.6", "system": "Linux", "processor": "A",
           "device": "cpu", "threads": 2, "precision": "fp32"}  # fmt: skip
    record = msgspec.convert(old, Environment)
    assert (record.cores, record.clock_mhz, record.settings) == (None, None, {})


def test_types_that_a_processor_multiplies_fast(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: X\nflags\t\t: fpu avx512_vnni amx_bf16 avx512f\n")
    assert fast_types(cpuinfo) == {"bf16": ["amx_bf16"], "int8": ["avx512_vnni"]}
    assert fast_types(tmp_path / "none") == {"bf16": [], "int8": []}
