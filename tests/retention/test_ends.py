"""The last second of a term: a point is kept before it, and expires in it, unless it is the last point."""

import pytest

from formats.documents.retention import Term
from formats.ids import PointId
from formats.rules.retention import RetentionTerms, expiring

OLD, LAST = PointId("1" * 32), PointId("2" * 32)
UNTIL = 1000


def kept() -> RetentionTerms:
    """Return two points with terms that end in the same second."""
    terms = [
        Term(point=point, sequence=sequence, counted=5, until=UNTIL, earned=("every",))
        for sequence, point in enumerate((OLD, LAST), 1)
    ]
    return RetentionTerms(terms={term.point: term for term in terms})


@pytest.mark.parametrize(
    ("now", "gone"), [(UNTIL - 1, []), (UNTIL, [OLD]), (UNTIL + 1, [OLD])], ids=["before", "at", "after"]
)
def test_a_point_expires_in_the_second_in_which_its_term_ends(now: int, gone: list[PointId]) -> None:
    assert expiring(kept(), [(OLD, 1), (LAST, 2)], [], now) == gone


def test_a_point_without_a_term_stays() -> None:
    assert expiring(RetentionTerms(), [(OLD, 1), (LAST, 2)], [], UNTIL) == []
