import pytest

from segattn.records import integrity


def test_file_is_the_one_that_was_written(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"0123456789" * 1000)
    written = integrity.digest(path)
    assert written["size_bytes"] == 10_000
    integrity.verify(path, written, "list.json")
    path.write_bytes(b"1123456789" * 1000)
    with pytest.raises(ValueError, match=r"file\.bin: changed since it was written .*in list\.json"):
        integrity.verify(path, written, "list.json")
    path.write_bytes(b"0123456789")
    with pytest.raises(ValueError, match=r"file\.bin: 10 bytes, not the 10000 that list\.json says"):
        integrity.verify(path, written, "list.json")
    path.unlink()
    with pytest.raises(ValueError, match=r"file\.bin: no such file, but list\.json beside it names it"):
        integrity.verify(path, written, "list.json")


@pytest.mark.parametrize("written", [None, [], "x", {}, {"sha256": "0"}], ids=str)
def test_list_without_a_digest_is_damaged(written, tmp_path):
    with pytest.raises(ValueError, match=r"list\.json .* is damaged"):
        integrity.verify(tmp_path / "file.bin", written, "list.json")


def test_digest_of_fields_does_not_depend_on_their_order():
    assert integrity.sha256_of({"a": 1, "b": [2]}) == integrity.sha256_of({"b": [2], "a": 1})
    assert integrity.sha256_of([1, 2]) != integrity.sha256_of([2, 1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not readable as JSON"),
        (b"\xff{}", "not readable as JSON"),
        (b"NaN", "not readable as JSON"),
        (b"[-Infinity]", "not readable as JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "not readable as JSON"),
        (b"1" * 5000, "not readable as JSON"),
    ],
    ids=lambda each: repr(each[:20]),
)
def test_what_is_no_json_is_one_line(content, message, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        integrity.read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "a.json") in str(caught.value)


def test_file_that_is_none_or_too_large_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        integrity.read_json(tmp_path / "none.json")
    with pytest.raises(ValueError, match="not a regular file but a folder"):
        integrity.read_json(tmp_path)
    (tmp_path / "a.json").write_text("[1, 2, 3]")
    assert integrity.read_json(tmp_path / "a.json") == [1, 2, 3]
    with (tmp_path / "a.json").open("r+b") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(ValueError, match="67,108,865 bytes; at most 67,108,864 are read"):
        integrity.read_json(tmp_path / "a.json")
