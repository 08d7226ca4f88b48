"""Verifying a service on loopback, as one call."""

from collections.abc import Callable

import pytest

from mailseal.model.look import Endpoint
from mailseal.model.verification import Verification
from mailseal.workflow import verify
from mailseal.workflow.verifying import Request
from tests.probe.certificates import NAME
from tests.workflow.services import Authority

Verify = Callable[..., Verification]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def verified(ca: Authority, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Verifies an endpoint. The machine that runs the tests is not the mail host, also for root."""
    monkeypatch.setattr(verify, "_mail_host", lambda *words: None)

    def run(endpoint: Endpoint, protocol: str = "pop2", **more: object) -> Verification:
        values = {"authority": ca.path, "name": NAME, "timeout": 0.6, **more}
        request = Request(str(endpoint), protocol=protocol, **values)  # type: ignore[arg-type]
        return verify.verified(request, lambda line: None)

    return run
