"""Letters and passwords travel encrypted, to the server that they were meant for, or not at all."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crm_sync.connectors import smtp
from crm_sync.connectors.base import Misconfigured
from payments.addresses import verifying_context
from tests.crm_sync.connectors.messaging.parcels import deliver, owed
from tests.crm_sync.connectors.messaging.talkers import talker

pytestmark = pytest.mark.usefixtures("db")

OFFERS = ("250-here", "250-STARTTLS", "250 AUTH PLAIN")


@pytest.fixture(scope="module")
def certificate_file(tmp_path_factory):
    """A certificate for "localhost" that only those trust who were told to."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


@pytest.fixture(scope="module")
def certificate(certificate_file):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file)
    return context


@pytest.fixture
def trusted(certificate_file, monkeypatch):
    """This machine's authorities include the one that signed the certificate."""

    def context():
        made = verifying_context()
        made.load_verify_locations(certificate_file)
        return made

    monkeypatch.setattr(smtp, "verifying_context", context)


def account(email_account, server, security, host="localhost"):
    return email_account(
        server.port, host=host, security=security, user="biuro", password="hunter2-hunter2"
    )


ANSWERS: dict[str, dict[str, object]] = {
    "tls": {"EHLO": OFFERS},
    "starttls": {"EHLO": OFFERS, "STARTTLS": "220 go"},
}


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_letters_go_over_tls(email_account, certificate, security):
    with talker(certificate, AUTH="235 in", **ANSWERS[security]) as server:
        parcel = owed(account(email_account, server, security))
        deliver(parcel.delivery.connection, parcel)
    assert parcel.receipt is not None
    assert len(server.contents) == 1
    commands = [line.split()[0].upper() for line in server.heard]
    if security == "starttls":
        assert commands[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_that_nobody_vouches_for_is_refused(email_account, certificate, security):
    with talker(certificate, **ANSWERS[security]) as server:
        parcel = owed(account(email_account, server, security))
        deliver(parcel.delivery.connection, parcel)
    assert type(parcel.problem) is Misconfigured
    assert parcel.problem.cause == "email.certificate"
    assert not any(line.upper().startswith(("AUTH", "MAIL")) for line in server.heard)


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_is_refused(email_account, certificate):
    with talker(certificate) as server:
        parcel = owed(account(email_account, server, "tls", host="127.0.0.1"))
        deliver(parcel.delivery.connection, parcel)
    assert type(parcel.problem) is Misconfigured
    assert parcel.problem.cause == "email.certificate"
    assert server.heard == []
