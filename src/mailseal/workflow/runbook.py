"""What `mailseal runbook` does: the steps for a system that mailseal does not change.

Strategy: the text is data of the package, the configuration is what `wrap` would write, with what
hangs on the system. Nothing is asked but the resolver, for the addresses of a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from mailseal import export as exporters
from mailseal.configs import openssl
from mailseal.export import CannotExport, runbook
from mailseal.model.target import SCHEMES, BadTarget, parse
from mailseal.probe.targets import Unresolved, resolve
from mailseal.protocols.recognise import PORTS
from mailseal.terminators import elsewhere, stunnel
from mailseal.workflow import BadInput

SYSTEMS = tuple(elsewhere.SYSTEMS)


def write(system: str, targets: Sequence[str], protocol: str = "", name: str = "") -> str:
    """The runbook for one of SYSTEMS, for the service at these targets (of one port). Raises
    BadInput, BadTarget.
    """
    service = _service(targets, protocol, name)
    where = elsewhere.SYSTEMS[system]
    backend = where.connect(service.port)
    try:
        runbook.check(service)
        config = stunnel.body(
            service.protocol,
            [stunnel.accept(each, service.port) for each in service.addresses],
            backend,
            where.path("%d.crt" % service.port),
            where.path("%d.key" % service.port),
            system=where.options,
        )
        put = runbook.System(where.title, where.starter, where.folder, backend, config)
        return runbook.write(_parts(), system, put, service, openssl.configurations)
    except CannotExport as error:
        raise BadInput(str(error)) from None


def _service(targets: Sequence[str], protocol: str, name: str) -> runbook.Service:
    found = [parse(each, (SCHEMES["pop2"],)) for each in targets]
    ports = {port for each in found for port in each.ports}
    if len(ports) > 1:
        raise BadTarget("a runbook is for one port: write one for each")
    if any(each.network for each in found):
        raise BadTarget("a network is no service: name its addresses")
    (port,) = ports
    addresses: dict[str, None] = {}
    for place in resolve(found):
        if isinstance(place, Unresolved):
            raise BadTarget("%s: %s; name its addresses" % (place.name, place.reason))
        addresses[place.endpoint.address] = None
    served = protocol or PORTS.get(port, "")
    if not served:
        raise BadTarget("which protocol port %d serves is not known: give --protocol" % port)
    names = [each.host.rstrip(".") for each in found if each.named]
    return runbook.Service(served, name or (names or list(addresses))[0], port, tuple(addresses))


def _parts() -> dict[str, str]:
    folder = resources.files(exporters).joinpath("runbooks")
    return {each.name[: -len(".md")]: each.read_text("utf-8") for each in folder.iterdir()}
