from segattn import experiments, heads
from segattn.data.probes.layout import TASKS
from segattn.study.probes.plan import PROBES, Plan, variants

BASE = experiments.load("probe")


def test_every_task_is_a_probe_with_the_networks_without_attention():
    assert list(PROBES) == list(TASKS)
    for task in TASKS:
        assert [variant.name for variant in variants(task, "reduced", ())][:3] == ["fcn", "psp", "aspp"]


def test_runs_differ_in_head_options_task_and_seed_alone():
    plan = Plan(base=BASE, tasks=("reach",), seeds=2)
    runs = plan.runs()
    assert len(runs) == 2 * len(PROBES["reach"].variants)
    run = runs["reach-ccnet-R-1-s1"]
    assert run.model.head_options == {**BASE.model.head_options, "recurrence": 1}
    assert (run.model.head, run.seed, run.data.options) == ("ccnet", 1, {"task": "reach"})
    assert {(each.model.backbone, each.model.mode, each.optimization.iterations) for each in runs.values()} == {
        ("patches", "controlled", PROBES["reach"].iterations)
    }


def test_all_tasks_have_one_seed_before_any_has_the_next():
    runs = Plan(base=BASE, tasks=("reach", "thin")).runs()
    seeds = [run.seed for run in runs.values()]
    assert seeds == sorted(seeds)
    assert len(set(seeds)) == 5


def test_the_full_grid_has_every_head_once_ten_seeds_and_more_ablations():
    plan = Plan(base=BASE, tasks=("noise", "reach"), grid="full", heads=tuple(heads.names()))
    for task in ("noise", "reach"):
        runs = plan.of_task(task)
        plain = [variant.head for variant, run in runs.values() if run.seed == 0]
        assert set(plain) == set(heads.names())
        assert {run.seed for _, run in runs.values()} == set(range(10))
    names = {variant.name for variant, _ in plan.of_task("noise").values()}
    assert {"denoised_nl hard", "denoised_nl window 7", "denoised_nl neither", "ccnet"} <= names
    names = {variant.name for variant, _ in plan.of_task("reach").values()}
    assert {"ccnet R=1", "ccnet R=2"} <= names
    assert "ccnet" not in names
