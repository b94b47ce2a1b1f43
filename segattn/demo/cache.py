"""A least-recently-used cache that is bounded by bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """Values by key, together at most `limit` bytes; a value that is larger is computed each time and not kept.

    >>> cache = ByteCache(10, size=len)
    >>> [cache.get(word, word.upper) for word in ("seven77", "two", "seven77", "four")]
    ['SEVEN77', 'TWO', 'SEVEN77', 'FOUR']
    >>> sorted(cache)
    ['four']
    """

    def __init__(self, limit: int, *, size: Callable[[Value], int]) -> None:
        self.limit, self.num_bytes, self._size = limit, 0, size
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._kept)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value under `key`, computed if it is not there."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        value = make()
        size = self._size(value)
        if size > self.limit:
            return value
        self._kept[key] = value
        self.num_bytes += size
        while self.num_bytes > self.limit:
            self.num_bytes -= self._size(self._kept.popitem(last=False)[1])
        return value
