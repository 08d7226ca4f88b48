"""What is wrong with a certificate is found before it is served, and in words that help."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mailseal.probe import certificate


class Files(NamedTuple):
    certificate: str
    key: str
    authority: str


NAME = "mail.example"


def issued(directory: Path, name: str = NAME, **options: object) -> Files:
    authority = trustme.CA()
    leaf = authority.issue_cert(name, **options)  # type: ignore[arg-type]
    paths = Files(*(str(directory / part) for part in ("crt.pem", "key.pem", "ca.pem")))
    Path(paths.certificate).write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    Path(paths.key).write_bytes(leaf.private_key_pem.bytes())
    Path(paths.authority).write_bytes(authority.cert_pem.bytes())
    return paths


def test_a_good_one_has_no_problems(tmp_path: Path) -> None:
    assert certificate.problems(*issued(tmp_path), NAME) == []


def test_a_wrong_name(tmp_path: Path) -> None:
    (problem,) = certificate.problems(*issued(tmp_path, "other.example"), NAME)
    assert "is not fit for mail.example" in problem
    assert "ame mismatch" in problem


def test_an_expired_one(tmp_path: Path) -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    (problem,) = certificate.problems(*issued(tmp_path, not_after=past), NAME)
    assert "expired" in problem


def test_another_ones_key(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    good, other = issued(tmp_path), issued(tmp_path / "other")
    (problem,) = certificate.problems(good.certificate, other.key, good.authority, NAME)
    assert "does not belong to" in problem


def test_an_unknown_authority(tmp_path: Path) -> None:
    good = issued(tmp_path)
    (problem,) = certificate.problems(good.certificate, good.key, "", NAME)
    assert "is not fit for" in problem


@pytest.mark.parametrize("part", Files._fields)
def test_a_file_that_is_not_there(tmp_path: Path, part: str) -> None:
    files = issued(tmp_path)
    os.unlink(getattr(files, part))
    (problem,) = certificate.problems(*files, NAME)
    assert problem == "%s cannot be read: No such file or directory" % getattr(files, part)


def test_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    files = issued(tmp_path)
    Path(files.certificate).write_text("surprise")
    (problem,) = certificate.problems(*files, NAME)
    assert "cannot be used" in problem


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    files = issued(tmp_path)
    key = rsa.generate_private_key(65537, 2048)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"surprise"),
    )
    Path(files.key).write_bytes(locked)
    (problem,) = certificate.problems(*files, NAME)
    assert "passphrase" in problem
