"""Dear answers are given again for a while, quick ones never."""

import asyncio

import pytest

from services.query.recent import ANSWERS_MAX, DEAR_S, KEPT_S_MAX, KEPT_TIMES, Recent


class Work:
    """Answers that are numbered, each taking some time of a clock that does not go by itself."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.begun = 0
        self.takes_s = 1.0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.has_begun = asyncio.Event()
        self.recent = Recent(lambda: self.now_s)

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        self.has_begun.set()
        await self.may_end.wait()
        self.now_s += self.takes_s
        return number

    async def ask(self, question: str = "", *, anew: bool = False) -> int:
        answer: int = await self.recent.answer(question, self, anew=anew)
        return answer


async def test_a_quick_answer_is_worked_out_each_time() -> None:
    work = Work()
    work.takes_s = DEAR_S / 2
    assert [await work.ask() for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("takes_s", [DEAR_S, 1.0, 10 * KEPT_S_MAX])
async def test_a_dear_answer_is_given_again_for_a_multiple_of_what_it_took(takes_s: float) -> None:
    work = Work()
    work.takes_s = takes_s
    assert await work.ask() == 1
    kept_s = min(KEPT_S_MAX, KEPT_TIMES * takes_s)
    work.now_s += kept_s * 0.999
    assert await work.ask() == 1
    assert await work.ask("another question") == 2
    work.now_s += kept_s
    assert await work.ask() == 3


async def test_those_who_ask_at_the_same_time_wait_for_one_answer_also_if_the_first_of_them_has_gone() -> None:
    work = Work()
    work.may_end.clear()
    first, *others = asking = [asyncio.create_task(work.ask()) for _ in range(5)]
    await work.has_begun.wait()
    first.cancel()
    await asyncio.wait([first])
    work.may_end.set()
    assert await asyncio.gather(*others) == [1, 1, 1, 1]
    assert asking[0].cancelled()


async def test_one_that_is_wanted_anew_is_worked_out_and_from_then_on_it_is_everybodys() -> None:
    work = Work()
    assert [await work.ask(), await work.ask(anew=True), await work.ask()] == [1, 2, 2]


async def test_what_failed_is_not_kept() -> None:
    work = Work()

    async def fail() -> int:
        work.now_s += 1.0
        raise LookupError

    with pytest.raises(LookupError):
        await work.recent.answer("", fail, anew=False)
    assert await work.ask() == 1


async def test_so_many_answers_are_kept_and_no_more() -> None:
    work = Work()
    assert await work.ask("first") == 1
    work.takes_s = 2 * DEAR_S
    for number in range(ANSWERS_MAX - 1):
        work.now_s = 1.0  # All of them at the same time: none is too old.
        await work.ask(f"question {number}")
    assert await work.ask("first") == 1
    await work.ask("one more")
    assert await work.ask("first") == ANSWERS_MAX + 2
