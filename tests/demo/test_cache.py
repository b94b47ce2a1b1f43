import pytest

from segattn.demo.cache import ByteCache


def kept_after(limit, words):
    cache = ByteCache(limit, size=len)
    for word in words:
        cache.get(word, word.upper)
    return cache


def test_a_value_is_made_once():
    cache, calls = ByteCache(10, size=len), []
    for _ in range(3):
        assert cache.get("key", lambda: calls.append(1) or "value") == "value"
    assert calls == [1]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["aaa", "bbbb"], ["aaa", "bbbb"]),  # 7 of 10 bytes
        (["aaa", "bbbb", "cccc"], ["bbbb", "cccc"]),
        (["aaa", "bbbb", "aaa", "cccc"], ["aaa", "cccc"]),  # used again, so bbbb is the oldest
        (["aaa", "bbbbbbbbbb"], ["bbbbbbbbbb"]),  # just fits alone
        (["aaa", "bbbbbbbbbbb"], ["aaa"]),  # 11 bytes are never kept
    ],
)
def test_what_was_used_longest_ago_is_forgotten_first(words, kept):
    cache = kept_after(10, words)
    assert list(cache) == kept
    assert cache.num_bytes == sum(map(len, kept)) <= 10


def test_nothing_is_kept_without_room():
    assert list(kept_after(0, ["a", "b"])) == []
