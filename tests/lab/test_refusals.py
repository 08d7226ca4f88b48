"""What is refused is refused whole: exit code 6, nothing changed, and words that say what to do.

Every case arranges one thing on one host that serves POP2, asks, and looks at the whole host
again. The host is shared: a refusal that left something would fail its own case.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator

import pytest
import trustme

from lab import Lab, missing
from tests.lab.story import (
    NAME,
    Ran,
    Scene,
    check_as_before,
    install_stunnel,
    mailseal,
    ran,
    scene,
    sealed,
    state,
    wait_until,
)
from tests.probe.certificates import LAST_YEAR

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.xdist_group("refusals")]

TARGET = f"{NAME}:109"
PLAN = "/srv/plan.json"
INETD = "/etc/inetd.conf"


@pytest.fixture(scope="module")
def on() -> Iterator[Scene]:
    """A host with a plan that could be applied, and one for stage offer."""
    reasons = missing()
    if reasons:
        pytest.skip("; ".join(reasons))
    with Lab() as lab:
        made = scene(lab, "bookworm", "inetd")
        sealed(made.mail, "plan", TARGET, "-o", PLAN)
        sealed(made.mail, "plan", TARGET, "--stage", "offer", "-o", "/srv/offer.json")
        yield made


Arranged = contextlib.AbstractContextManager[None]


@contextlib.contextmanager
def file(on: Scene, path: str, content: bytes) -> Iterator[None]:
    """Other bytes in a file, for the time of a case."""
    before = on.mail.read(path)
    mode = int(ran(on.mail, "stat", "-c", "%a", path).out, 8)
    on.mail.write(path, content, mode)
    try:
        yield
    finally:
        on.mail.write(path, before, mode)


@contextlib.contextmanager
def running(on: Scene, *words: str) -> Iterator[None]:
    """A program of somebody else's, that has said so when this returns."""
    unit = ["systemd-run", "--quiet", "--unit=other", "--service-type=notify"]
    on.mail.run([*unit, "--property=NotifyAccess=all", *words])
    try:
        yield
    finally:
        on.mail.run(["systemctl", "stop", "other"])


LISTEN = (
    "import socket, subprocess, time; s = socket.create_server(('192.0.2.10', 1109)); "
    "subprocess.run(['systemd-notify', '--ready']); time.sleep(60)"
)
LOCK = "exec 9>/run/mailseal.lock; flock 9; systemd-notify --ready; sleep 60"


def edited_since(on: Scene) -> Arranged:
    return file(on, INETD, on.mail.read(INETD) + b"# a word of the administrator's\n")


def edited_plan(on: Scene) -> Arranged:
    return file(on, PLAN, on.mail.read(PLAN).replace(b"825", b"826"))


def draft(on: Scene) -> Arranged:
    made = mailseal(on.mail, "plan", TARGET, "-o", "/tmp/draft.json", user="nobody")
    assert made.code == 0, made.said
    return file(on, PLAN, on.mail.read("/tmp/draft.json"))


def of_another_host(on: Scene) -> Arranged:
    facts = json.loads(sealed(on.mail, "facts"))
    on.mail.write("/tmp/facts.json", json.dumps({**facts, "machine": "0" * 32}).encode())
    sealed(on.mail, "plan", "--facts", "/tmp/facts.json", "-o", "/tmp/p.json", "--overwrite")
    return file(on, PLAN, on.mail.read("/tmp/p.json"))


def port_taken(on: Scene) -> Arranged:
    return running(on, "python3", "-c", LISTEN)


def locked(on: Scene) -> Arranged:
    return running(on, "sh", "-c", LOCK)


def nothing(on: Scene) -> Arranged:
    return contextlib.nullcontext()


APPLY = ("apply", PLAN, "--yes")
OFFER = ("apply", "/srv/offer.json", "--yes")
SEAL = ("seal", TARGET, "--yes")


@pytest.mark.parametrize(
    ("arrange", "words", "user", "says"),
    [
        (edited_since, APPLY, None, "the plan is stale. Plan again"),
        (port_taken, OFFER, None, "the plan is stale. Plan again"),
        (port_taken, (*SEAL, "--stage", "offer"), None, "choose another with --tls-port"),
        (edited_plan, APPLY, None, "the plan was edited after it was made"),
        (draft, APPLY, None, "the plan is a draft, it could not read: "),
        (of_another_host, APPLY, None, "Plan on this host"),
        (locked, APPLY, None, "wait for it to end"),
        (locked, SEAL, None, "wait for it to end"),
        (nothing, ("apply", "/tmp/plan.json", "--yes"), "nobody", "run it with sudo"),
        (nothing, SEAL, "nobody", "run it with sudo"),
        (nothing, ("rollback",), None, "there is no run to undo"),
        (nothing, ("confirm", "no-such-run"), None, "`mailseal runs` lists them"),
        (nothing, ("seal", TARGET), None, "give --yes to say yes"),
        (nothing, ("apply", PLAN), None, "give --yes to say yes"),
        (nothing, ("seal", "mailhost:110", "--yes"), None, "nothing listens on port 110"),
        (nothing, ("seal", "mailhost:22", "--yes"), None, "ssh answers"),
        (nothing, (*SEAL, "--name", "not a name"), None, "give --name"),
        (nothing, (*SEAL, "--cert", "x.crt", "--key", "x.key"), None, "not an absolute path"),
    ],
)  # fmt: skip
def test_refused(
    on: Scene,
    arrange: Callable[[Scene], Arranged],
    words: tuple[str, ...],
    user: str | None,
    says: str,
) -> None:
    on.mail.write("/tmp/plan.json", on.mail.read(PLAN))
    with arrange(on):
        before = state(on.mail)
        done = mailseal(on.mail, *words, user=user)
        check_as_before(before, state(on.mail))
    check_refused(done, says)
    assert not runs(on)


def check_refused(done: Ran, says: str) -> None:
    assert done.code == 6, done.said
    assert says in done.err


def runs(on: Scene) -> str:
    return ran(on.mail, "sh", "-c", "ls /var/lib/mailseal/runs 2>/dev/null").out


# -- certificates ----------------------------------------------------------------------------------


def pem(on: Scene, leaf: trustme.LeafCert, authority: trustme.CA) -> None:
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    on.mail.run(["mkdir", "-p", "/srv/tls"])
    on.mail.write("/srv/tls/x.crt", chain)
    on.mail.write("/srv/tls/x.key", leaf.private_key_pem.bytes(), 0o600)
    on.mail.write("/srv/tls/ca.crt", authority.cert_pem.bytes())


def expired(on: Scene, ca: trustme.CA) -> None:
    pem(on, ca.issue_cert(NAME, not_after=LAST_YEAR), ca)


def wrong_name(on: Scene, ca: trustme.CA) -> None:
    pem(on, ca.issue_cert("other.example"), ca)


def mismatched(on: Scene, ca: trustme.CA) -> None:
    pem(on, ca.issue_cert(NAME), ca)
    on.mail.write("/srv/tls/x.key", ca.issue_cert(NAME).private_key_pem.bytes(), 0o600)


def untrusted(on: Scene, ca: trustme.CA) -> None:
    pem(on, ca.issue_cert(NAME), trustme.CA())


def garbage(on: Scene, ca: trustme.CA) -> None:
    pem(on, ca.issue_cert(NAME), ca)
    on.mail.write("/srv/tls/x.crt", b"no PEM in here\n")


def no_key(on: Scene, ca: trustme.CA) -> None:
    pem(on, ca.issue_cert(NAME), ca)
    on.mail.run(["rm", "/srv/tls/x.key"])


def no_authority(on: Scene, ca: trustme.CA) -> None:
    pem(on, ca.issue_cert(NAME), ca)
    on.mail.write("/srv/tls/ca.crt", b"")


def encrypted(on: Scene, ca: trustme.CA) -> None:
    pem(on, ca.issue_cert(NAME), ca)
    words = ["openssl", "pkey", "-aes128", "-passout", "pass:x", "-in", "/srv/tls/x.key"]
    on.mail.run([*words, "-out", "/srv/tls/e.key"])
    on.mail.run(["mv", "/srv/tls/e.key", "/srv/tls/x.key"])


def weak(on: Scene, ca: trustme.CA) -> None:
    pem(on, ca.issue_cert(NAME), ca)
    words = ["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=" + NAME]
    words += ["-addext", "subjectAltName=DNS:" + NAME, "-keyout", "/srv/tls/x.key"]
    on.mail.run([*words, "-out", "/srv/tls/x.crt"])
    on.mail.run(["cp", "/srv/tls/x.crt", "/srv/tls/ca.crt"])


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (expired, "certificate has expired: give one whose chain, name and dates fit"),
        (wrong_name, "give one whose chain, name and dates fit"),
        (mismatched, "give the key of this certificate"),
        (untrusted, "give one whose chain, name and dates fit"),
        (garbage, "/srv/tls/x.crt and /srv/tls/x.key cannot be used"),
        (no_key, "/srv/tls/x.key cannot be read: No such file"),
        (no_authority, "/srv/tls/ca.crt holds no certificate"),
        (encrypted, "/srv/tls/x.key has a passphrase"),
        (weak, "key too small"),
    ],
)
def test_a_bad_certificate_is_refused(
    on: Scene, prepare: Callable[[Scene, trustme.CA], None], says: str
) -> None:
    prepare(on, trustme.CA())
    before = state(on.mail)
    files = ("--cert", "/srv/tls/x.crt", "--key", "/srv/tls/x.key", "--ca", "/srv/tls/ca.crt")
    done = mailseal(on.mail, *SEAL, *files)
    check_as_before(before, state(on.mail))
    check_refused(done, says)


# -- input that cannot be used ---------------------------------------------------------------------


def test_a_plan_file_is_not_written_over(on: Scene) -> None:
    before = state(on.mail)
    done = mailseal(on.mail, "plan", TARGET, "-o", PLAN)
    assert done.code == 2
    assert "--overwrite" in done.err
    check_as_before(before, state(on.mail))


# -- plans that change nothing ---------------------------------------------------------------------


def ops(on: Scene, path: str) -> list[object]:
    payload: dict[str, list[object]] = json.loads(json.loads(on.mail.read(path))["payload"])
    return payload["ops"]


def test_a_plan_without_root_says_what_it_could_not_read(on: Scene) -> None:
    before = state(on.mail)
    done = mailseal(on.mail, "plan", TARGET, "-o", "/tmp/unread.json", user="nobody")
    check_as_before(before, state(on.mail))
    assert done.code == 0, done.said
    head = done.out.partition("Steps")[0]
    assert "A DRAFT: it cannot be applied. It could not read:" in head
    assert "which process owns each listening socket" in head
    assert "a draft: plan again as root" in done.err
    assert ops(on, "/tmp/unread.json") == ops(on, PLAN)


def test_a_plan_from_facts_is_the_plan_made_on_the_host(on: Scene) -> None:
    sealed(on.mail, "facts", "-o", "/tmp/of-it.json", "--overwrite")
    words = ("plan", "--facts", "/tmp/of-it.json", "--name", NAME)
    sealed(on.mail, *words, "-o", "/tmp/elsewhere.json", "--overwrite")
    assert ops(on, "/tmp/elsewhere.json") == ops(on, PLAN)
    with file(on, PLAN, on.mail.read("/tmp/elsewhere.json")), locked(on):
        # It gets as far as the lock: the plan itself is good.
        check_refused(mailseal(on.mail, *APPLY), "wait for it to end")


# -- at the end, since these leave something -------------------------------------------------------


def test_an_unknown_stunnel_is_refused(on: Scene) -> None:
    install_stunnel(on.mail)
    before = state(on.mail)
    check_refused(mailseal(on.mail, *APPLY), "the plan is stale")
    strange = b"#!/bin/sh\necho 'tunnelwrap 9.1 on x86_64' >&2\n"
    with file(on, "/usr/bin/stunnel4", strange):
        done = mailseal(on.mail, *SEAL)
    check_refused(done, "this stunnel is not known here: 'tunnelwrap 9.1")
    check_as_before(before, state(on.mail))


def test_nothing_is_begun_while_a_run_is_unfinished(on: Scene) -> None:
    """A run is held by the agent alone, as one file, as it is carried to other hosts."""
    mail = on.mail
    install_stunnel(mail)
    sealed(mail, "plan", TARGET, "-o", PLAN, "--overwrite")
    payload = json.loads(mail.read(PLAN))["payload"]
    environment = ["env", "PYTHONPATH=/srv/mailseal/src", "PYTHONDONTWRITEBYTECODE=1"]
    mail.run([*environment, "python3", "-m", "mailseal.bundle", "/srv/mailseal.pyz"])
    before = state(mail)
    held = mail.run(
        ["python3", "-I", "/srv/mailseal.pyz", "apply", "120"], input=payload.encode(), timeout=60
    )
    receipt = json.loads(held.stdout)
    assert receipt["state"] == "held"

    during = state(mail)
    for words in (APPLY, SEAL):
        done = mailseal(mail, *words)
        check_refused(done, f"undo it with `mailseal rollback {receipt['run']}`")
    check_refused(mailseal(mail, "rollback", user="nobody"), "run it with sudo")
    check_as_before(during, state(mail))

    assert "confirmed by the operator" in sealed(mail, "confirm", receipt["run"])
    check_refused(mailseal(mail, "confirm", receipt["run"]), "not waiting for a confirmation")
    assert "already: nothing was changed" in sealed(mail, *SEAL)
    sealed(mail, "rollback", receipt["run"])
    check_refused(mailseal(mail, "rollback", receipt["run"]), "this run is undone")
    wait_until(lambda: not ran(mail, "systemctl", "list-units", "-q", "mailseal*").out)
    check_as_before(before, state(mail))
