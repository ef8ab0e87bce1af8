"""Vault credentials: a credential that the authority issued passes, and no other one does."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from formats.documents.credential import (
    Leaf,
    check_leaf,
    check_time,
    issue_leaf,
    load_certificate,
    make_authority_certificate,
)
from formats.errors import IntegrityError, OffseedError, VaultError
from formats.ids import VaultId

NOW = datetime(2025, 3, 1, 12, 30, 15, 999_999, tzinfo=UTC)
VAULT = VaultId("0123456789abcdef" * 2)
OTHER_VAULT = VaultId("fedcba9876543210" * 2)
URI = f"urn:offseed:vault:{VAULT}:credential:7"
CA_KEY = ec.generate_private_key(ec.SECP256R1())
CA = make_authority_certificate("north hall", CA_KEY, NOW)
DAMAGED = (IntegrityError, "credential-damaged")
FOREIGN = (VaultError, "vault-foreign")


def outcome(cert: x509.Certificate, ca: x509.Certificate = CA) -> tuple[type[OffseedError], str]:
    with pytest.raises(OffseedError) as caught:
        check_leaf(cert, ca, VAULT)
    assert caught.value.subject
    assert "importer credentials issue" in caught.value.hint
    return type(caught.value), caught.value.code


def crafted(
    *,
    names: list[x509.GeneralName] | None = None,
    ca: bool | None = False,
    usage: list[x509.ObjectIdentifier] | None = None,
    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | None = None,
    issuer: x509.Name = CA.subject,
    signer: ec.EllipticCurvePrivateKey = CA_KEY,
    more: x509.ExtensionType | None = None,
) -> x509.Certificate:
    """Return a certificate by the authority (or `signer`) that differs from an issued one in one way."""
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crafted")]))
        .public_key(key or ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(hours=1))
    )
    if names is None or names:
        san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(URI)] if names is None else names)
        builder = builder.add_extension(san, critical=False)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if usage is None or usage:
        purposes = x509.ExtendedKeyUsage(usage or [ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(purposes, critical=False)
    if more is not None:
        builder = builder.add_extension(more, critical=True)
    return builder.sign(signer, hashes.SHA256())


def test_what_is_issued_passes() -> None:
    cert, key = issue_leaf(CA, CA_KEY, VAULT, 7, NOW)
    start = NOW.replace(microsecond=0)
    expected = Leaf(7, start - timedelta(minutes=10), start + timedelta(hours=48))
    assert check_leaf(cert, CA, VAULT) == expected
    assert key.public_key() == cert.public_key()
    assert check_leaf(crafted(), CA, VAULT).serial == 7


@pytest.mark.parametrize("serial", [0, 1, 10, 9_999_999_999])
def test_serials_come_back(serial: int) -> None:
    assert check_leaf(issue_leaf(CA, CA_KEY, VAULT, serial, NOW)[0], CA, VAULT).serial == serial


@pytest.mark.parametrize(
    ("vault", "serial"), [(VAULT, -1), (VAULT, 10**10), ("short", 1), (VAULT.upper(), 1)]
)
def test_no_credential_is_issued_for_nonsense(vault: str, serial: int) -> None:
    with pytest.raises(ValueError, match="no credential can be named"):
        issue_leaf(CA, CA_KEY, VaultId(vault), serial, NOW)


def test_the_time_may_be_given_in_any_zone_but_not_without() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=9)))
    leaf = check_leaf(issue_leaf(CA, CA_KEY, VAULT, 1, local)[0], CA, VAULT)
    assert leaf.not_after == NOW.replace(microsecond=0) + timedelta(hours=48)
    with pytest.raises(ValueError, match="zone"):
        issue_leaf(CA, CA_KEY, VAULT, 1, NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="zone"):
        check_time(leaf, NOW.replace(tzinfo=None))


def test_the_authority_lives_long_and_may_be_named_at_length() -> None:
    assert CA.not_valid_after_utc - NOW > timedelta(days=3653)
    assert CA.not_valid_before_utc < NOW
    long_name = make_authority_certificate("n" * 200, CA_KEY, NOW)
    assert check_leaf(issue_leaf(long_name, CA_KEY, VAULT, 1, NOW)[0], long_name, VAULT).serial == 1


def test_the_verifier_of_the_library_agrees() -> None:
    """Agree with the verifier of the library, so that mutual TLS can use the same certificates one day."""
    cert, _ = issue_leaf(CA, CA_KEY, VAULT, 7, NOW)

    def verify(at: datetime) -> None:
        PolicyBuilder().store(Store([CA])).time(at).build_client_verifier().verify(cert, [])

    verify(NOW)
    verify(NOW + timedelta(hours=47))
    for at in (NOW + timedelta(hours=49), NOW - timedelta(hours=1)):
        with pytest.raises(VerificationError):
            verify(at)


@pytest.mark.parametrize(
    ("offset", "code"),
    [
        (timedelta(minutes=-10), None),
        (timedelta(), None),
        (timedelta(hours=48), None),
        (timedelta(minutes=-10, seconds=-1), "credential-not-yet-valid"),
        (timedelta(days=-400), "credential-not-yet-valid"),
        (timedelta(hours=48, seconds=1), "credential-expired"),
        (timedelta(days=400), "credential-expired"),
    ],
)
def test_time(offset: timedelta, code: str | None) -> None:
    leaf = check_leaf(issue_leaf(CA, CA_KEY, VAULT, 7, NOW)[0], CA, VAULT)
    if code is None:
        check_time(leaf, NOW + offset)
        return
    with pytest.raises(VaultError) as caught:
        check_time(leaf, NOW + offset)
    assert caught.value.code == code
    assert caught.value.subject == "credential 7"
    assert "importer credentials issue" in caught.value.hint or "clock" in caught.value.hint


def uri(text: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(text)]


WRONG_LEAVES: dict[str, Callable[[], x509.Certificate]] = {
    "no name": lambda: crafted(names=[]),
    "a name that is no URI": lambda: crafted(names=[x509.DNSName(URI)]),
    "two URIs": lambda: crafted(names=uri(URI) + uri(URI)),
    "a URI and another name": lambda: crafted(names=[*uri(URI), x509.DNSName("host")]),
    "another URI": lambda: crafted(names=uri("https://example.org/")),
    "a longer URI": lambda: crafted(names=uri(URI + ":x")),
    "a URI and a line": lambda: crafted(names=uri(URI + "\n")),
    "a longer head": lambda: crafted(names=uri("x" + URI)),
    "no serial": lambda: crafted(names=uri(URI[:-1])),
    "a second spelling of the serial": lambda: crafted(names=uri(URI[:-1] + "07")),
    "a negative serial": lambda: crafted(names=uri(URI[:-1] + "-7")),
    "a huge serial": lambda: crafted(names=uri(URI + "0" * 10)),
    "capitals": lambda: crafted(names=uri(URI.upper())),
    "an authority": lambda: crafted(ca=True),
    "no basic constraints": lambda: crafted(ca=None),
    "no extended key usage": lambda: crafted(usage=[]),
    "for servers": lambda: crafted(usage=[ExtendedKeyUsageOID.SERVER_AUTH]),
    "an Ed25519 key": lambda: crafted(key=ed25519.Ed25519PrivateKey.generate().public_key()),
    "a P-384 key": lambda: crafted(key=ec.generate_private_key(ec.SECP384R1()).public_key()),
    "another issuer's name": lambda: crafted(issuer=x509.Name([])),
    "another issuer's signature": lambda: crafted(signer=ec.generate_private_key(ec.SECP256R1())),
    "a critical extension of the future": lambda: crafted(
        more=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    ),
    "an unreadable name": lambda: crafted(
        names=[], more=x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\xff\xff")
    ),
    "the authority itself": lambda: CA,
}


@pytest.mark.parametrize("flaw", WRONG_LEAVES)
def test_what_is_wrong_in_one_way_is_refused(flaw: str) -> None:
    assert outcome(WRONG_LEAVES[flaw]()) == DAMAGED


def test_another_vault_is_named_even_when_its_authority_is_unknown() -> None:
    assert outcome(issue_leaf(CA, CA_KEY, OTHER_VAULT, 1, NOW)[0]) == FOREIGN
    other_key = ec.generate_private_key(ec.SECP256R1())
    other = make_authority_certificate("south hall", other_key, NOW)
    assert outcome(issue_leaf(other, other_key, OTHER_VAULT, 1, NOW)[0]) == FOREIGN
    assert outcome(issue_leaf(other, other_key, VAULT, 1, NOW)[0]) == DAMAGED


def test_an_authority_of_the_same_name_is_not_the_authority() -> None:
    impostor = ec.generate_private_key(ec.SECP256R1())
    forged = make_authority_certificate("north hall", impostor, NOW)
    assert outcome(issue_leaf(forged, impostor, VAULT, 1, NOW)[0]) == DAMAGED


def test_a_leaf_cannot_issue() -> None:
    leaf, key = issue_leaf(CA, CA_KEY, VAULT, 1, NOW)
    child = crafted(issuer=leaf.subject, signer=key)
    assert outcome(child) == DAMAGED
    assert outcome(child, ca=leaf) == DAMAGED


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_no_flipped_bit_passes_or_escapes_the_error_tree() -> None:
    der = issue_leaf(CA, CA_KEY, VAULT, 7, NOW)[0].public_bytes(Encoding.DER)
    while der[-1] & 1:  # a last bit of 0 could be declared unused, and nothing signed would change
        der = issue_leaf(CA, CA_KEY, VAULT, 7, NOW)[0].public_bytes(Encoding.DER)
    for bit in range(len(der) * 8):
        changed = bytearray(der)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(OffseedError) as caught:
            check_leaf(load_certificate(bytes(changed)), CA, VAULT)
        assert (type(caught.value), caught.value.code) in (DAMAGED, FOREIGN)


def test_cut_and_grown_certificates_are_refused() -> None:
    cert = issue_leaf(CA, CA_KEY, VAULT, 7, NOW)[0]
    der = cert.public_bytes(Encoding.DER)
    assert load_certificate(der) == cert
    for wrong in (b"", b"\0", *(der[:n] for n in range(0, len(der), 7)), der + b"\0", b"-----BEGIN"):
        with pytest.raises(IntegrityError) as caught:
            load_certificate(wrong)
        assert caught.value.code == "credential-damaged"
