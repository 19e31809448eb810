"""Who gives way to whom, without connections."""

from service.process.room import Room, Standing


class Guest:
    """Is at what it is told, and remembers how it ended."""

    def __init__(self, standing: Standing, since: float) -> None:
        self.at = (standing, since)
        self.ended: str | None = None

    def standing(self) -> tuple[Standing, float]:
        return self.at

    def give_way(self, standing: Standing) -> None:
        self.ended = f"gave way while {standing.name}"
        self.at = (Standing.OWED_AN_ANSWER, 0.0)

    def cut(self) -> None:
        self.ended = "cut"


def test_they_go_in_order_and_none_that_is_owed_an_answer() -> None:
    room, newcomer = Room(), Guest(Standing.IDLE, 9)
    expected = [
        Guest(Standing.IDLE, 5),
        Guest(Standing.IDLE, 6),
        Guest(Standing.ANSWERED, 2),
        Guest(Standing.UNFINISHED, 3),
        Guest(Standing.UNFINISHED, 4),
    ]
    guests = [newcomer, Guest(Standing.OWED_AN_ANSWER, 0), *reversed(expected)]
    for number, guest in enumerate(expected):
        assert room.make(guests, newcomer, Standing.UNFINISHED, now=number)
        assert guest.ended is not None
        assert [one for one in guests if one.ended] == guests[-1 - number :]
    assert not room.make(guests, newcomer, Standing.UNFINISHED, now=9)


def test_one_that_may_not_go_yet_may_go_later() -> None:
    room, newcomer = Room(), Guest(Standing.IDLE, 9)
    slow, slower = Guest(Standing.UNFINISHED, 2), Guest(Standing.UNFINISHED, 1)
    assert not room.make([slow, slower], newcomer, Standing.ANSWERED, now=10)
    assert room.make([slow, slower], newcomer, Standing.UNFINISHED, now=10)
    assert (slow.ended, slower.ended) == (None, "gave way while UNFINISHED")


def test_one_that_has_gone_on_meanwhile_does_not_go() -> None:
    room, newcomer = Room(), Guest(Standing.IDLE, 9)
    guests = [Guest(Standing.IDLE, since) for since in (1, 2, 3)]
    assert room.make(guests, newcomer, Standing.IDLE, now=10)
    guests[1].at = (Standing.IDLE, 9.5)
    assert room.make(guests, newcomer, Standing.IDLE, now=10)
    assert [guest.ended is not None for guest in guests] == [True, False, True]


def test_the_next_to_go_are_not_looked_for_among_all_each_time() -> None:
    looked = 0

    class Counted(Guest):
        def standing(self) -> tuple[Standing, float]:
            nonlocal looked
            looked += 1
            return super().standing()

    room, newcomer = Room(), Guest(Standing.IDLE, 9999)
    guests = [Counted(Standing.IDLE, since) for since in range(1000)]
    for _ in range(32):
        assert room.make(guests, newcomer, Standing.IDLE, now=10)
    assert [guest.ended is not None for guest in guests] == [True] * 32 + [False] * 968
    assert looked <= 1000 + 32
