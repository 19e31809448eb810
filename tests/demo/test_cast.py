import random

from demo.cast import Cast
from demo.kinds.remark import REMARK
from demo.kinds.stock import KINDS


def test_subjects_of_a_kind_share_an_attribute() -> None:
    for seed in range(30):
        subjects = Cast(random.Random(seed)).subjects(12, 1500)
        assert len(subjects) == 12
        for kind in {subject.kind.name for subject in subjects}:
            own = [set(subject.values) for subject in subjects if subject.kind.name == kind]
            assert set.intersection(*own)


def test_more_subjects_are_of_more_kinds() -> None:
    kinds = [len({s.kind.name for s in Cast(random.Random(1)).subjects(count, 60 * count)}) for count in (2, 6, 20, 60)]
    assert kinds == [1, 2, 3, 4]


def test_every_kind_has_names_of_its_own() -> None:
    cast = Cast(random.Random(2))
    assert len({cast.name(kind) for kind in KINDS for _ in range(5)}) == 5 * len(KINDS)


def test_a_remark_has_a_value_for_all_that_it_mentions() -> None:
    cast = Cast(random.Random(3))
    for stated in REMARK.stated.values():
        assert set(cast.remark(stated).values) == stated
