"""Signs videos with Content Credentials by a certificate made here: offline, for tests."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOBODY = dict.fromkeys(
    ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
     "encipher_only", "decipher_only"),
    False,
)  # fmt: skip


def certificate() -> tuple[bytes, bytes]:
    """A signer's certificate with its root, and its key, as PEM."""
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def named(common: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A Newsroom"),
                x509.NameAttribute(NameOID.COMMON_NAME, common),
            ]
        )

    def build(common: str, owner: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        made = (
            x509.CertificateBuilder()
            .subject_name(named(common))
            .issuer_name(named("Root"))
            .public_key(owner.public_key())
            .serial_number(1 if ca else 2)
            .not_valid_before(now - day)
            .not_valid_after(now + 100 * day)
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **NOBODY),
                critical=True,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(owner.public_key()), critical=False
            )
        )
        if not ca:
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            made = made.add_extension(usage, critical=False)
        return made.sign(root_key, hashes.SHA256())

    pem = serialization.Encoding.PEM
    chain = build("Camera 1", key, ca=False), build("Root", root_key, ca=True)
    plain = serialization.NoEncryption()
    return b"".join(one.public_bytes(pem) for one in chain), key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, plain
    )


def sign(source: Path, target: Path, *, title: str = "a clip", remote: str | None = None) -> Path:
    """Writes a signed copy of a video; with `remote`, its manifest is said to lie there."""
    import c2pa

    chain, key = certificate()
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo("es256", chain, key, None))
    builder = c2pa.Builder(
        {
            "claim_generator_info": [{"name": "a test", "version": "1"}],
            "title": title,
            "assertions": [
                {
                    "label": "c2pa.actions",
                    "data": {
                        "actions": [
                            {
                                "action": "c2pa.created",
                                "digitalSourceType": "http://cv.iptc.org/newscodes/"
                                "digitalsourcetype/digitalCapture",
                            }
                        ]
                    },
                }
            ],
        }
    )
    if remote is not None:
        builder.set_no_embed()
        builder.set_remote_url(remote)
    with source.open("rb") as read, target.open("w+b") as write:
        builder.sign(signer, "video/mp4", read, write)
    return target
