"""The zoo of `tests.tiny_zoo`."""

from tests.tiny_zoo import packed, tiny_runs, tiny_zoo  # noqa: F401  pytest finds them here
