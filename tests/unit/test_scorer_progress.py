"""How fast the scorers are: from counts of all events, some seconds apart."""

import pytest

from services.scorer.progress import Throughput


@pytest.mark.parametrize(
    ("counts", "per_s"),
    [
        ([], 0),
        ([(0, 100)], 0),
        ([(0, 100), (0, 200)], 0),
        ([(0, 100), (5, 100)], 0),
        ([(0, 100), (5, 200)], 20),
        ([(0, 0), (30, 0), (60, 600)], 10),
        ([(0, 9_000), (10, 9_000), (60, 9_000), (70, 9_600)], 10),
        ([(0, 0), (5, 500), (600, 500), (605, 600)], 20),
        ([(0, 0), (90, 900)], 10),
        ([(0, 0), (121, 900)], 0),
        ([(0, 5_000), (5, 6_000), (10, 0), (20, 50)], 5),
    ],
)
def test_throughput_is_the_rise_of_the_last_minute(counts: list[tuple[float, int]], per_s: float) -> None:
    throughput = Throughput()
    for at_s, count in counts:
        throughput.add(at_s, count)
    assert throughput.per_s == per_s


def test_of_a_long_run_only_the_last_minute_counts() -> None:
    throughput = Throughput()
    for at_s in range(0, 3_600, 5):
        throughput.add(at_s, at_s * 7 if at_s < 3_540 else 3_540 * 7)
    assert 0 < throughput.per_s <= 7 * 5 / 60
    assert len(throughput._samples) <= 14


def test_however_often_it_is_asked_for_little_is_kept() -> None:
    throughput = Throughput()
    for number in range(100_000):
        throughput.add(number / 1_000, number)
    assert throughput.per_s == pytest.approx(1_000, rel=0.01)
    assert len(throughput._samples) <= 123
