"""Ranks of a page against ranks counted one by one."""

from hypothesis import given
from hypothesis import strategies as some

from services.query.ranks import Standing, ranks_of_page


def standing(score: int, scores: list[int]) -> Standing:
    return Standing(
        above=sum(each > score for each in scores), level=sum(each == score for each in scores), total=len(scores)
    )


@given(some.lists(some.integers(0, 5), min_size=1), some.data())
def test_every_page_has_the_ranks_that_counting_gives(scores: list[int], data: some.DataObject) -> None:
    scores.sort(reverse=True)
    start = data.draw(some.integers(0, len(scores) - 1))
    page = scores[start : start + data.draw(some.integers(1, len(scores)))]
    naive = [1 + sum(other > score for other in scores) for score in page]
    assert ranks_of_page(page, standing(page[0], scores)) == naive


def test_equal_scores_share_a_rank_and_the_next_one_counts_them() -> None:
    assert ranks_of_page([9, 9, 7, 7, 3], standing(9, [9, 9, 7, 7, 3])) == [1, 1, 3, 3, 5]


def test_a_page_without_entries_has_no_ranks() -> None:
    assert ranks_of_page([], standing(0, [])) == []
