"""The time of a credential: from ten minutes before its issue to two days after it, by any zone's clock."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from formats.documents.credential import LIFETIME, check_time
from formats.errors import VaultError
from tests.vectors.documents import CREDENTIAL

ISSUED = datetime.fromtimestamp(CREDENTIAL.issued, UTC)


def test_the_sample_lives_as_long_as_any() -> None:
    assert CREDENTIAL.expires - CREDENTIAL.issued == LIFETIME.total_seconds()


@pytest.mark.parametrize(
    ("offset", "code"),
    [
        (-timedelta(minutes=10, seconds=1), "credential-not-yet-valid"),
        (-timedelta(minutes=10), None),
        (timedelta(0), None),
        (LIFETIME, None),
        (LIFETIME + timedelta(seconds=1), "credential-expired"),
        (timedelta(days=4000), "credential-expired"),
    ],
)
def test_time(offset: timedelta, code: str | None) -> None:
    if code is None:
        check_time(CREDENTIAL, ISSUED + offset)
        return
    with pytest.raises(VaultError) as caught:
        check_time(CREDENTIAL, ISSUED + offset)
    assert caught.value.code == code
    assert "credential 7" in str(caught.value.subject)


def test_the_time_may_be_given_in_any_zone_but_not_without() -> None:
    check_time(CREDENTIAL, (ISSUED + LIFETIME).astimezone(timezone(timedelta(hours=13))))
    with pytest.raises(ValueError, match="zone"):
        check_time(CREDENTIAL, ISSUED.replace(tzinfo=None))
