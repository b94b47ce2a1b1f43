"""Benchmarks end to end, tiny."""

from __future__ import annotations

import pkgutil

import pytest

from benchmarks import peers
from segattn import records
from segattn.benchmark import run as benchmark
from segattn.cost import head_facts
from segattn.profile.worker import Outcome
from segattn.records.bench import Latency, PeakMemory
from tests.benchmark.test_cases import combined, one

pytestmark = pytest.mark.slow

SETTINGS = benchmark.Settings(threads=1, rounds=3, warmup=1, product_size=64, copy_size=2**20)


@pytest.fixture(scope="module")
def record():
    """Two heads, an arithmetic that a CPU has and one that it lacks, and what was told on the way."""
    cases = combined(names=("ccnet", "reconet"), dtypes=("fp32", "tf32"))
    shares = []
    record = benchmark.run(cases, SETTINGS, command="segattn bench", on_progress=lambda at: shares.append(at.share))
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1
    return record


def test_every_case_has_a_result_in_its_place(record):
    assert [(result.case.head, result.case.dtype, result.outcome) for result in record.results] == [
        ("ccnet", "fp32", "ok"), ("reconet", "fp32", "ok"), ("ccnet", "tf32", "refused"), ("reconet", "tf32", "refused"),
    ]  # fmt: skip


def test_refused_cases_say_why_and_have_no_figures(record):
    refused = record.results[2]
    assert "NVIDIA" in refused.message
    assert (refused.latency, refused.memory) == (None, None)


def test_every_sample_is_kept_and_the_quartiles_are_in_order(record):
    for result in record.results[:2]:
        latency = result.latency
        assert len(latency.samples_ms) == 3
        assert sorted(latency.samples_ms)[1] == pytest.approx(latency.median_ms, abs=1e-3)
        assert latency.lower_quartile_ms <= latency.median_ms <= latency.upper_quartile_ms <= latency.p95_ms


def test_memory_holds_the_weights_at_least(record):
    memory = record.results[0].memory
    weights = 4 * (2 * (512 * 64 + 64) + 512 * 512 + 512)  # query, key and value of ccnet in fp32
    assert memory.total_bytes >= weights
    assert memory.total_bytes >= memory.extra_bytes >= 0


def test_limits_are_of_the_group(record):
    (limit,) = record.limits
    assert (limit.group, limit.dtype, limit.product_size, limit.copy_bytes) == (0, "fp32", 64, 2**20)
    assert 0 < limit.product_flops <= limit.product_flops_best
    assert 0 < limit.bandwidth <= limit.bandwidth_best


def test_record_holds_what_its_heads_declare(record):
    assert record.head_facts == {name: head_facts(name) for name in ("ccnet", "reconet")}


def test_record_comes_back_from_disk(record, tmp_path):
    assert records.read(records.write(record, tmp_path / "bench.json")) == record


def test_a_busy_machine_is_told_and_recorded(monkeypatch):
    monkeypatch.setattr(benchmark, "cores_in_use", lambda: 1.26)
    monkeypatch.setattr(benchmark, "_memory", lambda entry, settings: setattr(entry, "outcome", Outcome("error", "no")))
    notices = []
    record = benchmark.run(combined(), SETTINGS, on_notice=notices.append)
    (notice,) = notices
    assert notice.startswith("warning: this machine is busy, other processes use 1.3 of ")
    assert record.environment.settings["cores in use before"] == "1.26"
    monkeypatch.setattr(benchmark, "cores_in_use", lambda: 0.1)
    benchmark.run(combined(), SETTINGS, on_notice=notices.append)
    assert len(notices) == 1


def test_a_gpu_in_use_is_told():
    assert benchmark._warning({"cores in use before": 0.0, "GPU in use before": 0.04}) == ""
    assert "use 73% of the GPU:" in benchmark._warning({"cores in use before": 0.0, "GPU in use before": 0.73})


def test_no_case_is_an_error():
    with pytest.raises(ValueError, match="no case to measure"):
        benchmark.run([], SETTINGS)


def test_a_case_that_dies_while_it_is_timed_is_a_row_and_the_rest_goes_on(monkeypatch):
    original = benchmark.Worker.time
    calls = []

    def dies(self):
        if self.build_request["arguments"].get("case", {}).get("head") == "reconet":
            calls.append(1)
            if len(calls) == 2:
                self.process.kill()
                self.process.wait()
        return original(self)

    monkeypatch.setattr(benchmark.Worker, "time", dies)
    enough = benchmark.memory.Memory(outcome="ok", start_bytes=0, baseline_bytes=1, peak_bytes=2)
    monkeypatch.setattr(benchmark.memory, "measure", lambda *arguments, **options: enough)
    record = benchmark.run(combined(names=("ccnet", "reconet")), SETTINGS)
    assert [result.outcome for result in record.results] == ["ok", "out of memory"]
    assert "killed" in record.results[1].message
    assert len(record.results[0].latency.samples_ms) == 3


def entry(extra, held=0, **changes):
    latency = Latency(samples_ms=[1.0], median_ms=1, lower_quartile_ms=1, upper_quartile_ms=1, p95_ms=1)
    memory = PeakMemory(extra_bytes=extra, total_bytes=extra + held, method="")
    return benchmark._Entry(one(**changes), outcome=Outcome("ok"), memory=memory, latency=latency)


def test_groups_are_of_one_part_phase_size_and_batch():
    entries = [entry(1, batches=(batch,), dtypes=(dtype,)) for batch in (2, 1) for dtype in ("fp32", "bf16")]
    groups = [[(e.case.batch, e.case.dtype) for e in group] for group in benchmark._groups(entries, "cpu")]
    assert groups == [[(1, "fp32"), (1, "bf16")], [(2, "fp32"), (2, "bf16")]]


def test_all_sizes_of_a_sweep_are_timed_together_head_by_head():
    sizes, names = [(33, 33), (41, 41)], ("danet", "non_local", "ccnet")
    entries = [entry(1, names=(name,), sizes=[size]) for size in sizes for name in names]
    (group,) = benchmark._groups(entries, "cpu", sizes_together=True)
    assert [(e.case.head, e.case.input_size) for e in group] == [(name, size) for name in names for size in sizes]


def test_a_group_is_split_where_memory_does_not_hold_it(monkeypatch):
    monkeypatch.setattr(benchmark.in_use, "available", lambda device: 10**10)
    waiting = benchmark._PROCESS_BYTES
    entries = [entry(3 * 10**9, held=10**9 - waiting) for _ in range(10)]  # 7e9: four that wait, one of which runs
    assert [len(group) for group in benchmark._groups(entries, "cpu")] == [4, 4, 2]


def test_processes_of_the_comparison_with_mmsegmentation_find_their_target():
    assert pkgutil.resolve_name(peers.TARGET) is peers.task
