import random

from demo.grammar import choose, every_choice


def test_every_choice_lists_all_sentences_in_order() -> None:
    assert every_choice("[A|The] dog [ran|sat].") == ["A dog ran.", "A dog sat.", "The dog ran.", "The dog sat."]


def test_a_phrase_without_choices_stays_as_it_is() -> None:
    assert choose("{subject} sleeps.", random.Random(0)) == "{subject} sleeps."


def test_choose_draws_each_alternative_sooner_or_later() -> None:
    rng = random.Random(0)
    assert {choose("[one|two|three]", rng) for _ in range(100)} == {"one", "two", "three"}
