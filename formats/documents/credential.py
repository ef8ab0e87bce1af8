"""Vault credentials as X.509: the authority's certificate and the short-lived leaves that it issues.

If a leaf passes `check_leaf`, the given authority issued it directly, for the given vault. The leaf says its
number in that vault. `check_time` answers a second question: whether the time is right, by the clock that
counts for the caller. The keys are P-256, because the library's verifier and all TLS stacks take it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from formats.errors import IntegrityError, VaultError
from formats.ids import VaultId

AUTHORITY_LIFETIME = timedelta(days=20 * 365)
LEAF_LIFETIME = timedelta(hours=48)
BACK_DATED = timedelta(minutes=10)  # the clocks of two sites differ

_COMMON_NAME_MAX = 64
_SAN = re.compile(r"urn:offseed:vault:([0-9a-f]{32}):credential:(0|[1-9][0-9]{0,9})\Z")
_ISSUE_COMMAND = "importer credentials issue --vault STORE --out FILE"

# The errors of the library for certificates that it cannot read or does not believe, and of the rules here.
_UNACCEPTABLE = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True)
class Leaf:
    """The statements of a checked credential; times are UTC and both included."""

    serial: int
    not_before: datetime
    not_after: datetime


def make_authority_certificate(
    vault_name: str, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    """Return the self-signed certificate of a vault's authority.

    It may issue leaves and nothing below them.
    """
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "offseed"),
            x509.NameAttribute(NameOID.COMMON_NAME, vault_name[:_COMMON_NAME_MAX]),
        ]
    )
    builder = _builder(name, name, key.public_key(), key.public_key(), now, AUTHORITY_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.add_extension(_key_usage(ca=True), critical=True).sign(key, hashes.SHA256())


def issue_leaf(
    ca_cert: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, vault: VaultId, serial: int, now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return credential number `serial` of `vault`, with its private key, which must exist nowhere else."""
    uri = f"urn:offseed:vault:{vault}:credential:{serial}"
    if not _SAN.match(uri):
        raise ValueError(f"no credential can be named {uri}")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"offseed credential {serial}")])
    builder = _builder(ca_cert.subject, name, ca_key.public_key(), key.public_key(), now, LEAF_LIFETIME)
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(ca=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(ca_key, hashes.SHA256()), key


def load_certificate(der: bytes) -> x509.Certificate:
    """Return the certificate of these bytes, its issuer unchecked.

    Raises IntegrityError (credential-damaged).
    """
    try:
        cert = x509.load_der_x509_certificate(der)
    except _UNACCEPTABLE:
        raise _damaged("it is no certificate") from None
    # No signature covers the count of "unused" bits in the signature's last byte, and the library ignores it.
    if not der.endswith(b"\0" + cert.signature):
        raise _damaged("its signature is not encoded as DER demands")
    return cert


def check_leaf(cert: x509.Certificate, ca_cert: x509.Certificate, vault: VaultId) -> Leaf:
    """Check a credential of unknown origin by these rules, in this order.

    1. Its subject alternative name is exactly one URI of ours, and names `vault` (CRED-1).
    2. `ca_cert` is a certificate authority, and issued and signed it directly (CRED-2).
    3. Both keys are P-256; it is no authority itself; it is for TLS clients (CRED-3).

    Raises VaultError (vault-foreign) and IntegrityError (credential-damaged).
    """
    try:
        named, serial = _parse_name(cert)
        if named != vault:
            raise VaultError(
                "vault-foreign",
                "the credential belongs to another vault",
                subject=f"vault {named}",
                hint=f"this is vault {vault}; ask its operator for a credential: {_ISSUE_COMMAND}",
            )
        _check_issuance(cert, ca_cert)
        _check_purpose(cert)
    except _UNACCEPTABLE as error:
        raise _damaged(str(error) or type(error).__name__) from None
    return Leaf(serial, cert.not_valid_before_utc, cert.not_valid_after_utc)


def check_time(leaf: Leaf, now: datetime) -> None:
    """Raise VaultError unless `now` lies within the credential's time (CRED-4)."""
    now = _utc(now)
    if now < leaf.not_before:
        raise VaultError(
            "credential-not-yet-valid",
            f"the credential is valid from {leaf.not_before:%Y-%m-%d %H:%M} UTC",
            subject=f"credential {leaf.serial}",
            hint=f"it is {now:%Y-%m-%d %H:%M} UTC by this clock: set the clock right and try again",
        )
    if now > leaf.not_after:
        raise VaultError(
            "credential-expired",
            f"the credential was valid until {leaf.not_after:%Y-%m-%d %H:%M} UTC",
            subject=f"credential {leaf.serial}",
            hint=f"ask the operator for a new one ({_ISSUE_COMMAND}); by this clock it is {now:%Y-%m-%d %H:%M} UTC",
        )


def _parse_name(cert: x509.Certificate) -> tuple[str, int]:
    names = list(cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    if len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
        raise ValueError("it does not carry exactly one URI as its name")
    match = _SAN.match(names[0].value)
    if match is None:
        raise ValueError("its name is not that of a vault credential")
    return match[1], int(match[2])


def _check_issuance(cert: x509.Certificate, ca_cert: x509.Certificate) -> None:
    if not (_has_p256_key(cert) and _has_p256_key(ca_cert)):
        raise ValueError("a key is not of type P-256")
    if not ca_cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        raise ValueError("its issuer is no certificate authority")
    cert.verify_directly_issued_by(ca_cert)


def _has_p256_key(cert: x509.Certificate) -> bool:
    key = cert.public_key()
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def _check_purpose(cert: x509.Certificate) -> None:
    extensions = cert.extensions
    if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
        raise ValueError("it claims to be a certificate authority")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value:
        raise ValueError("it is not meant for TLS clients")
    if any(e.critical and isinstance(e.value, x509.UnrecognizedExtension) for e in extensions):
        raise ValueError("it carries a critical extension that this version does not know")


def _damaged(why: str) -> IntegrityError:
    return IntegrityError(
        "credential-damaged",
        "the credential is damaged or was edited",
        subject=why,
        hint=f"copy the file again, or ask the operator for a new one: {_ISSUE_COMMAND}",
    )


def _builder(
    issuer: x509.Name,
    subject: x509.Name,
    issuer_key: ec.EllipticCurvePublicKey,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    now = _utc(now)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACK_DATED)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _utc(now: datetime) -> datetime:
    """Return `now` in UTC and whole seconds, because a certificate holds no more."""
    if now.tzinfo is None:
        raise ValueError("a time without its zone means nothing here")
    return now.astimezone(UTC).replace(microsecond=0)
