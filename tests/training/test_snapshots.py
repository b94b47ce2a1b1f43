"""Checkpoints to resume from: complete, verified, and passed over where they are damaged."""

import json

import pytest
import torch

from segattn import checkpoint
from segattn.records import integrity
from segattn.training.snapshots import Snapshot, latest_iteration, latest_snapshot, save_snapshot


def snapshot(iteration):
    generator = torch.Generator().manual_seed(iteration)
    weight = torch.randn(3, 5, 7, 7, generator=generator).to(memory_format=torch.channels_last)
    return Snapshot(
        iteration=iteration,
        model={"weight": weight, "tracked": torch.tensor(iteration), "half": weight[:, 0].half()},
        optimizer={"weight": 2 * weight},
        random={"cpu": torch.get_rng_state()},
    )


def equal(a, b):
    return a.iteration == b.iteration and all(
        getattr(a, part).keys() == getattr(b, part).keys()
        and all(torch.equal(value, getattr(b, part)[name]) for name, value in getattr(a, part).items())
        for part in ("model", "optimizer", "random")
    )


def test_snapshot_survives_its_files(tmp_path):
    save_snapshot(snapshot(5), tmp_path)
    assert equal(latest_snapshot(tmp_path), snapshot(5))


def test_run_without_checkpoints_has_no_snapshot(tmp_path):
    assert latest_snapshot(tmp_path) is None
    assert latest_snapshot(tmp_path / "nowhere") is None


def test_two_newest_snapshots_are_kept(tmp_path):
    for iteration in (9, 10, 100, 99_999_999):
        save_snapshot(snapshot(iteration), tmp_path)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["iteration-00000100", "iteration-99999999"]
    assert latest_snapshot(tmp_path).iteration == 99_999_999


def test_half_written_snapshot_is_ignored(tmp_path):
    save_snapshot(snapshot(5), tmp_path)
    (tmp_path / "checkpoints" / ".writing-00000007").mkdir()
    (tmp_path / "checkpoints" / ".writing-00000007" / "model.safetensors").write_bytes(b"half")
    assert latest_snapshot(tmp_path).iteration == 5
    save_snapshot(snapshot(7), tmp_path)  # and is overwritten
    assert equal(latest_snapshot(tmp_path), snapshot(7))


@pytest.mark.parametrize(("module", "failing"), [(checkpoint, "save_file"), (integrity, "sync")])
def test_failure_while_writing_leaves_the_last_snapshot(module, failing, tmp_path, monkeypatch):
    save_snapshot(snapshot(5), tmp_path)
    genuine, calls = getattr(module, failing), []

    def fail_at_second(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return genuine(*arguments)

    monkeypatch.setattr(module, failing, fail_at_second)
    with pytest.raises(OSError, match="No space left"):
        save_snapshot(snapshot(7), tmp_path)
    assert equal(latest_snapshot(tmp_path), snapshot(5))


def test_same_iteration_can_be_saved_again(tmp_path):
    save_snapshot(snapshot(5), tmp_path)
    save_snapshot(snapshot(5), tmp_path)
    assert equal(latest_snapshot(tmp_path), snapshot(5))


def test_tied_tensors_are_both_kept(tmp_path):
    shared = torch.arange(6.0)
    tied = Snapshot(iteration=1, model={"a": shared, "b": shared[2:]}, optimizer={}, random={})
    save_snapshot(tied, tmp_path)
    assert equal(latest_snapshot(tmp_path), tied)


@pytest.mark.parametrize("name", ["state.json", "model.safetensors"])
def test_damaged_snapshot_is_named(name, tmp_path):
    folder = save_snapshot(snapshot(5), tmp_path)
    (folder / name).write_bytes((folder / name).read_bytes()[:7])
    with pytest.raises(ValueError, match=r"iteration-00000005.*(damaged|not a readable)"):
        latest_snapshot(tmp_path)


def test_checkpoint_before_a_damaged_one_is_used_with_a_notice(tmp_path):
    for iteration in (5, 7):
        save_snapshot(snapshot(iteration), tmp_path)
    (tmp_path / "checkpoints/iteration-00000007/optimizer.safetensors").write_bytes(b"damaged")
    notices = []
    assert equal(latest_snapshot(tmp_path, on_notice=notices.append), snapshot(5))
    (notice,) = notices
    assert "iteration-00000007: damaged checkpoint (optimizer.safetensors: 7 bytes, not" in notice
    assert notice.endswith("The run goes on from the checkpoint of iteration 5 instead")


def test_checkpoint_that_does_not_fit_is_passed_over_as_a_damaged_one_is(tmp_path):
    for iteration in (5, 7):
        save_snapshot(snapshot(iteration), tmp_path)

    def check(checked):
        if checked.iteration == refused:
            raise ValueError("of another run")

    refused = 7
    assert latest_snapshot(tmp_path, check=check).iteration == 5
    refused = 5
    assert latest_snapshot(tmp_path, check=check).iteration == 7


@pytest.mark.parametrize("part", ["model", "optimizer", "random"])
def test_flipped_bit_of_any_part_is_seen(part, tmp_path):
    folder = save_snapshot(snapshot(5), tmp_path)
    path = folder / f"{part}.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{part}\.safetensors: changed since it was written .*remove .*checkpoints"):
        latest_snapshot(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.update(iteration=99), "state.json says iteration 99"),
        (lambda state: state.update(iteration="5"), "not the state of a checkpoint"),
        (lambda state: state.update(format=3), "has format 3; this version reads 2"),
        (lambda state: state.update(facts={"experiment": {}}), "was changed since it was written"),
        (lambda state: state["parts"].pop("random"), "was changed since it was written"),
        (lambda state: state["parts"]["model"]["tensors"].pop("half"), "was changed since it was written"),
        (lambda state: state.pop("parts"), "was changed since it was written"),
    ],
)
def test_changed_state_is_refused(change, message, tmp_path):
    path = save_snapshot(snapshot(5), tmp_path) / "state.json"
    state = json.loads(path.read_text())
    change(state)
    path.write_text(json.dumps(state))
    with pytest.raises(ValueError, match=message):
        latest_snapshot(tmp_path)


@pytest.mark.parametrize("field", ["tensors", "size_bytes", "sha256"])
def test_state_that_lacks_a_field_of_a_part_is_refused_although_its_digest_is_right(field, tmp_path):
    path = save_snapshot(snapshot(5), tmp_path) / "state.json"
    state = json.loads(path.read_text())
    del state["parts"]["optimizer"][field]
    state["sha256"] = integrity.sha256_of({name: value for name, value in state.items() if name != "sha256"})
    path.write_text(json.dumps(state))
    with pytest.raises(ValueError, match=r"damaged checkpoint .*optimizer\.safetensors"):
        latest_snapshot(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"3", b'"x"', b"{}", b"\xff", b'{"iteration": NaN}', b'{"iteration": 1e999}', b"[" * 100_000],
    ids=lambda content: repr(content[:20]),
)
def test_state_of_another_form_is_one_line(content, tmp_path):
    path = save_snapshot(snapshot(5), tmp_path) / "state.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"iteration-00000005: damaged checkpoint") as caught:
        latest_snapshot(tmp_path)
    assert "\n" not in str(caught.value)


def test_checkpoint_under_the_name_of_another_iteration_is_refused(tmp_path):
    folder = save_snapshot(snapshot(5), tmp_path)
    folder.rename(folder.with_name("iteration-00000099"))
    with pytest.raises(ValueError, match=r"iteration-00000099: damaged checkpoint .state\.json says iteration 5"):
        latest_snapshot(tmp_path)


def test_checkpoint_of_version_0_1_0_is_read(tmp_path):
    folder = save_snapshot(snapshot(5), tmp_path)
    (folder / "state.json").write_text('{"iteration": 5}')
    found = latest_snapshot(tmp_path)
    assert equal(found, snapshot(5))
    assert found.facts is None
    (folder / "state.json").write_text('{"iteration": 6}')
    with pytest.raises(ValueError, match="says iteration 6"):
        latest_snapshot(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    weights = Snapshot(1, {"w": torch.tensor([1.0, float("nan")])}, {}, {})
    save_snapshot(weights, tmp_path)
    with pytest.raises(ValueError, match=r"model\.safetensors: w is not finite"):
        latest_snapshot(tmp_path)


def test_what_else_lies_among_checkpoints_is_left_alone(tmp_path):
    save_snapshot(snapshot(5), tmp_path)
    for name in ("iteration-", "iteration-abc", "iteration-00000009.old", "iteration--0000001"):
        (tmp_path / "checkpoints" / name).mkdir()
    assert latest_iteration(tmp_path) == 5
    assert equal(latest_snapshot(tmp_path), snapshot(5))
