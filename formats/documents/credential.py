"""The time of a vault credential: two days, and some minutes for the clocks of two sites (CRED-2)."""

from datetime import UTC, datetime, timedelta

from formats.documents.vault import Credential
from formats.errors import VaultError

LIFETIME = timedelta(hours=48)
BACK_DATED = timedelta(minutes=10)  # the clocks of two sites differ

_ISSUE_COMMAND = "importer credentials issue --vault STORE --out FILE"


def check_time(credential: Credential, now: datetime) -> None:
    """Raise VaultError unless `now` lies within the credential's time (CRED-2).

    Raises ValueError for a time without a zone.
    """
    if now.tzinfo is None:
        raise ValueError("a time without its zone means nothing here")
    begins = datetime.fromtimestamp(credential.issued, UTC) - BACK_DATED
    ends = datetime.fromtimestamp(credential.expires, UTC)
    subject = f"credential {credential.number}"
    if now < begins:
        raise VaultError(
            "credential-not-yet-valid",
            f"the credential is valid from {begins:%Y-%m-%d %H:%M} UTC",
            subject=subject,
            hint=f"it is {now:%Y-%m-%d %H:%M} UTC by this clock: set the clock right and try again",
        )
    if now > ends:
        raise VaultError(
            "credential-expired",
            f"the credential was valid until {ends:%Y-%m-%d %H:%M} UTC",
            subject=subject,
            hint=f"ask the operator for a new one ({_ISSUE_COMMAND}); by this clock it is {now:%Y-%m-%d %H:%M} UTC",
        )
