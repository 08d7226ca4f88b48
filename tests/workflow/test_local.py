"""What is looked at of a host's listeners: those of its own network, each address once."""

from dataclasses import replace

import pytest

from mailseal.facts.local import gather
from mailseal.model.local import Extent
from mailseal.workflow import BadInput
from mailseal.workflow.local import local, look_at, not_far
from tests.report.test_local import LISTENER, host
from tests.workflow.fakes import FakeHost


def test_the_host_gathers():
    fake = FakeHost()
    assert local(fake, (), True).listeners == gather(fake.system, every=True).listeners
    assert [each.port for each in local(fake, (), False).listeners] == [109, 109]


def test_what_is_in_another_network_or_silent_is_not_looked_at():
    found = host(
        replace(LISTENER, extent=Extent.CONTAINER),
        replace(LISTENER, extent=Extent.NAMESPACE),
        replace(LISTENER, listening=False),
    )
    assert list(look_at(found, 1.0)) == []


def test_a_wildcard_is_looked_at_on_loopback_and_once():
    # Port 1 of loopback: nobody answers there, and at once.
    listener = replace(LISTENER, port=1)
    found = host(listener, listener, replace(listener, address="0.0.0.0"))
    looked = [str(each.endpoint) for each in look_at(found, 1.0)]
    assert sorted(looked) == ["127.0.0.1:1", "[::1]:1"]


def test_another_host_is_scanned_instead():
    not_far(None)
    with pytest.raises(BadInput, match="mailseal scan for ssh://mailhost"):
        not_far("ssh://mailhost")
