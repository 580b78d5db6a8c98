from __future__ import annotations

import random

from imageops.core.slots import FairSlots, Place


def test_a_place_that_falls_free_is_reserved_for_who_waits() -> None:
    """Nobody can take it away meanwhile."""
    slots = FairSlots(1)
    place = slots.acquire("a", "n")
    assert place is not None
    assert slots.acquire("b", "n") is None
    assert (slots.waits("b"), slots.has_place("b")) == (True, False)
    assert slots.release(place) == "b"
    assert (slots.waits("b"), slots.has_place("b")) == (False, True)
    assert slots.acquire("c", "n") is None
    mine = slots.acquire("b", "n")
    assert mine is not None
    assert slots.release(mine) == "c"


def test_500_waiting_objects_of_one_namespace_delay_another_by_one_turn() -> None:
    """The namespace with the fewest places comes first, of equals the one served longest ago."""
    slots = FairSlots(2)
    held = [slots.acquire(f"big-{number}", "big") for number in range(500)]
    assert sum(place is not None for place in held) == 2
    slots.acquire("small-0", "small")
    slots.acquire("other-0", "other")
    assert held[0] is not None
    assert held[1] is not None
    assert slots.release(held[0]) == "small-0"
    small = slots.acquire("small-0", "small")
    assert small is not None
    assert slots.release(small) == "other-0"
    other = slots.acquire("other-0", "other")
    assert other is not None
    assert slots.release(other) == "big-2"


def test_who_leaves_the_queue_passes_a_reserved_place_on() -> None:
    """One that was only waiting has none to pass on."""
    slots = FairSlots(1)
    place = slots.acquire("a", "n")
    assert place is not None
    for ticket in "bcd":
        slots.acquire(ticket, "n")
    assert slots.withdraw("c") is None
    assert slots.release(place) == "b"
    assert slots.withdraw("b") == "d"
    assert slots.withdraw("d") is None
    assert slots.acquire("e", "n") is not None


def test_never_more_places_than_the_limit_and_never_an_idle_one() -> None:
    """In any order of asking, leaving and giving back; and everybody is served."""
    for seed in range(300):
        draw = random.Random(seed)  # noqa: S311 - repeatable, guards nothing
        slots, held, waiting = FairSlots(draw.randint(1, 4)), dict[str, Place](), set[str]()
        for number in range(60):
            chance = draw.random()
            if chance < 0.5:
                ticket = draw.choice((*waiting, f"t{number}")) if waiting else f"t{number}"
                place = slots.acquire(ticket, "xyz"[int(ticket[1:]) % 3])
                waiting.discard(ticket)
                if place is None:
                    waiting.add(ticket)
                else:
                    held[ticket] = place
            elif chance < 0.8 and held:
                told = slots.release(held.pop(draw.choice(list(held))))
                assert told is None or told in waiting, seed
            elif waiting:
                ticket = draw.choice(sorted(waiting))
                slots.withdraw(ticket)
                waiting.discard(ticket)
            reserved = {ticket for ticket in waiting if slots.has_place(ticket)}
            assert len(held) + len(reserved) <= slots.limit, seed
            idle = slots.limit - len(held) - len(reserved)
            assert not idle or waiting == reserved, seed
