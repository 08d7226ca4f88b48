"""From a wish to a plan, and from a plan to a file and back."""

from dataclasses import replace

import pytest

from mailseal.apply.executor import Refused
from mailseal.model.codec import CodecError
from mailseal.model.host import AddressFact
from mailseal.model.ops import IssueCertificate
from mailseal.model.plan import RunState
from mailseal.model.target import BadTarget
from mailseal.plan import AlreadySealed, Cannot, Given, Options
from mailseal.workflow import plans
from mailseal.workflow.plans import EditedPlan, Wish
from tests.plan import hosts
from tests.plan.hosts import facts
from tests.prove.looks import DEAD, SEALED, SILENT
from tests.workflow.fakes import RECEIPT, FakeHost

WISH = Wish(109, Options(name="mail.example"))


def test_the_names_by_which_the_host_is_reached_are_for_the_certificate():
    host = FakeHost(names=("mailhost", "192.0.2.10"))
    made, _ = plans.make(host, WISH)
    (issue,) = [op for op in made.ops if isinstance(op, IssueCertificate)]
    assert issue.names == ("mail.example", "mailhost", "192.0.2.10", "2001:db8:1::10")
    assert host.calls == ["look [::1]:109"]


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (SILENT, "no service says what it is"),
        (DEAD, "no service says what it is"),
        (SEALED, "only inside TLS already"),
        (replace(SILENT, protocol="smtp"), "open relay"),
    ],
)
def test_another_service_is_not_planned_for(seen, says: str):
    with pytest.raises(Cannot, match=says):
        plans.make(FakeHost(seen=seen), WISH)


def test_nothing_there():
    with pytest.raises(Cannot, match="nothing listens on port 110"):
        plans.make(FakeHost(), replace(WISH, port=110))


class Standing(FakeHost):
    """A host that is sealed."""

    def facts(self, ports, paths=()):
        ours = hosts.listener("192.0.2.10", process="stunnel4", unit="mailseal@109.service")
        return hosts.listening(super().facts(ports, paths), ours)


def test_a_sealed_host_is_told_from_one_that_waits_for_its_confirmation():
    with pytest.raises(AlreadySealed):
        plans.make(Standing(past=(replace(RECEIPT, state=RunState.COMMITTED),)), WISH)
    with pytest.raises(Refused, match="confirm it with `mailseal confirm R`"):
        plans.make(Standing(past=(RECEIPT,)), WISH)


def test_facts_must_tell_of_a_given_certificate():
    wish = replace(WISH, options=Options(name="a", given=Given("/tls/c", "/tls/k")))
    with pytest.raises(Cannot, match="mailseal facts --path /tls/c"):
        plans.from_facts(facts("inetd"), wish)


def test_facts_do_not_tell_the_protocol_of_another_port():
    with pytest.raises(Cannot, match="give --protocol"):
        plans.from_facts(facts("inetd"), replace(WISH, port=1234))


# -- the target -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "port", "name"),
    [("127.0.0.1:109", 109, ""), ("localhost", 109, ""), ("127.0.1.1:1090", 1090, "")],
)
def test_this_host(words: str, port: int, name: str):
    assert plans.own_service(words, facts("inetd")) == (port, name)


def test_an_address_of_another_host_is_refused():
    with pytest.raises(BadTarget, match=r"192\.0\.2\.99 is not this host"):
        plans.own_service("192.0.2.99:109", facts("inetd"))


def test_a_name_of_this_host_is_for_the_certificate(monkeypatch: pytest.MonkeyPatch):
    here = replace(facts("inetd"), addresses=(AddressFact("192.0.2.10", "eth0", "global"),))
    assert plans.own_service("192.0.2.10:109", here) == (109, "")
    answer = [(2, 1, 6, "", ("192.0.2.10", 109))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *words, **more: answer)
    assert plans.own_service("mail.example:109", here) == (109, "mail.example")


# -- files -----------------------------------------------------------------------------------------


def test_a_plan_file_is_read_back_to_the_byte():
    made, _ = plans.make(FakeHost(), WISH)
    text = plans.file_text(made)
    again, payload = plans.read_file(text.encode())
    assert again == made
    assert plans.file_text(again) == text
    assert payload.startswith(b"{")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("825", "826", EditedPlan),
        ("mail.example", "evil.example", EditedPlan),
        ('"version":1', '"version":2', CodecError),
        ("{", "", CodecError),
    ],
)
def test_an_edited_plan_file_is_refused(old: str, new: str, error: type[Exception]):
    made, _ = plans.make(FakeHost(), WISH)
    with pytest.raises(error):
        plans.read_file(plans.file_text(made).replace(old, new).encode())
