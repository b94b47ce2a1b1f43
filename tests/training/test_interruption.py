"""What two processes, here threads, agree on."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from segattn.training.interruption import Interrupted, Stop, signals


class Pair:
    """accelerate's `reduce` between two threads; a sum that the other never joins is a hang, and fails."""

    num_processes = 2
    device = torch.device("cpu")

    def __init__(self):
        self.barrier, self.values = threading.Barrier(2), {}

    def reduce(self, value, how):
        assert how == "sum"
        self.values[threading.get_ident()] = value
        self.barrier.wait(timeout=20)
        total = sum(self.values.values())
        self.barrier.wait(timeout=20)
        return total


def both(numbers, interrupted_at=(None, None), seconds=1.0):
    """What each of two processes went through, with so many items, and how it ended."""
    pair = Pair()

    def process(rank):
        stop, seen = Stop(pair, []), []
        stop.EVERY_SECONDS = seconds
        try:
            for item in stop.until_asked_for(range(numbers[rank]), "in a test"):
                seen.append(item)
                if item == interrupted_at[rank]:
                    stop.received.append(signal.SIGINT)
        except Interrupted as ended:
            return seen, str(ended)
        return seen, ""

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(process, range(2)))


@pytest.mark.parametrize("numbers", [(3, 3), (7, 2), (0, 5), (0, 0)])
@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_all_items_are_seen_where_no_signal_comes(numbers, seconds):
    assert both(numbers, seconds=seconds) == [(list(range(number)), "") for number in numbers]


@pytest.mark.parametrize("numbers", [(1000, 1000), (1000, 3), (1000, 0)])
def test_signal_to_the_first_ends_both(numbers):
    first, second = both(numbers, interrupted_at=(2, None), seconds=0.0)
    assert first == ([0, 1, 2], "stopped by SIGINT in a test; run the same command again to continue")
    assert second == (
        list(range(min(3, numbers[1]))),
        "stopped by SIGTERM in a test; run the same command again to continue",
    )


def test_signal_with_the_last_item_ends_both():
    assert all("stopped by" in ended for _, ended in both((1, 1), interrupted_at=(None, 0)))


def test_process_that_is_busy_asks_now_and_then():
    assert [len(seen) for seen, _ in both((1000, 5), interrupted_at=(None, 4), seconds=0.0)] == [5, 5]


def test_alone_the_own_signal_counts_at_once():
    class Alone:
        num_processes = 1

    stop = Stop(Alone(), [])
    items = stop.until_asked_for(iter("abc"), "in a test")
    assert next(items) == "a"
    assert not stop.asked_for()
    stop.received.append(signal.SIGINT)
    assert stop.asked_for()
    with pytest.raises(Interrupted, match="SIGINT in a test"):
        next(items)


def test_signals_are_collected():
    received = []
    with signals(received):
        signal.raise_signal(signal.SIGTERM)
        assert received == [signal.SIGTERM]
