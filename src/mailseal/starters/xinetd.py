"""xinetd: a `service` block starts one process a connection.

Taken off by `disable = yes` in the block, then a reload. What else the block says (only_from,
per_source, limits, the environment) belongs to the service: what our socket can do as well is
carried over, the rest is told.
"""

from __future__ import annotations

from typing import Iterator, List, Mapping, Optional, Sequence, Tuple

from mailseal.configs import text, xinetd
from mailseal.configs.inetd import parse_services
from mailseal.model.excepted import Door
from mailseal.model.host import HostFacts, Server
from mailseal.starters.base import (
    LOST,
    Admission,
    Change,
    Declared,
    Start,
    content,
    edit,
    guarded,
    held_by,
    listeners_at,
    no_unit,
    unit_of,
)

MAIN = "/etc/xinetd.conf"
DIRECTORY = "/etc/xinetd.d/"
UNITS = ("xinetd.service",)

_CARRIED = frozenset(
    "type port protocol socket_type wait disable id flags server server_args user group env bind "
    "log_type log_on_success log_on_failure".split()
)
"""Attributes that the new socket takes over, or whose work systemd's journal does."""

_Found = Tuple[str, xinetd.Document, xinetd.Service]


def _files(facts: HostFacts) -> Iterator[Tuple[str, xinetd.Document]]:
    for fact in facts.files:
        if fact.content is None:
            continue
        if fact.path == MAIN or (
            fact.path.startswith(DIRECTORY) and xinetd.includedir_reads(fact.path[len(DIRECTORY) :])
        ):
            yield fact.path, xinetd.parse(fact.content)


def declared(facts: HostFacts) -> Tuple[Declared, ...]:
    """What the enabled blocks have, whoever serves it now."""
    found, defaults = _blocks(list(_files(facts)))
    services = _services(facts)
    made = []
    for path, _, service in found:
        values = xinetd.effective(service, defaults)
        port, program = xinetd.port(service, services), xinetd.server(values)
        made.append(Declared(path, service.name, port, program, values))
    return tuple(made)


def _services(facts: HostFacts) -> Mapping[str, int]:
    return parse_services(content(facts, "/etc/services") or b"")


def _blocks(
    documents: Sequence[Tuple[str, xinetd.Document]],
) -> Tuple[List[_Found], Optional[xinetd.Service]]:
    """The enabled blocks, and the defaults."""
    defaults = next((doc.defaults for path, doc in documents if path == MAIN), None)
    found = [
        (path, document, service)
        for path, document in documents
        for service in document.services
        if xinetd.is_enabled(service, defaults)
    ]
    return found, defaults


def find(facts: HostFacts, port: int) -> Optional[Start]:
    """The enabled blocks that serve a port."""
    documents = list(_files(facts))
    enabled, defaults = _blocks(documents)
    services = _services(facts)
    found = [each for each in enabled if xinetd.port(each[2], services) == port]
    listeners = listeners_at(facts, port)
    if not found or not held_by(listeners, ("xinetd",)):
        return None
    attributes = xinetd.effective(found[0][2], defaults)
    unit = unit_of(facts, UNITS)
    return Start(
        starter="xinetd",
        unit=unit,
        listeners=listeners,
        files=(*(path for path, _ in documents), "/etc/services"),
        off=_off(found, unit),
        server=_server(attributes),
        guarded=_guarded(facts, attributes),
        admission=_admission(port, unit, found, attributes, documents),
        lost=LOST + _lost(attributes),
        problems=no_unit(unit, "xinetd", UNITS),
        fixed=_fixed(found, attributes),
    )


_HERE = "127.0.0.0/8 ::1"
"""The host itself: what offers TLS beside the port comes from there."""


def _admission(
    port: int,
    unit: str,
    found: List[_Found],
    attributes: xinetd.Attributes,
    documents: List[Tuple[str, xinetd.Document]],
) -> Admission:
    """A block of our own in place of the one that is there, which is turned off: `only_from` in it
    names the networks (xinetd.conf(5)), on a line for each.
    """
    path = "%smailseal-%d" % (DIRECTORY, port)
    where, document, service = found[0]
    if where == path:
        before, mark, _ = text.decode(document.data).partition(_only_from(_HERE))
        return Admission(_door(path, unit, before + mark))
    problems = []
    if len(found) > 1:
        problems.append("several blocks of xinetd serve it: make them one first")
    if "only_from" in attributes:
        problems.append("xinetd's only_from says already who is let in: name the networks there")
    main = next((each for name, each in documents if name == MAIN), None)
    includes = main.directives if main else ()
    if not any(each.path.text.rstrip("/") + "/" == DIRECTORY for each in includes):
        problems.append(
            "%s does not include %s: add `includedir %s`" % (MAIN, DIRECTORY, DIRECTORY)
        )
    lines = ["\t%s %s %s\n" % (a.name.text, a.operator, a.raw.text) for a in service.attributes]
    head = _MADE + "service %s\n{\n%s%s" % (service.name, "".join(lines), _only_from(_HERE))
    return Admission(_door(path, unit, head), _off(found, unit).edit, tuple(problems))


_MADE = "# Made by mailseal: who may log in without TLS, each to the end of its day.\n"


def _only_from(networks: str) -> str:
    return "\tonly_from = %s\n" % networks


def _door(path: str, unit: str, head: str) -> Door:
    return Door(path, head, "\tonly_from += %s\n", "}\n", unit)


def _off(found: List[_Found], unit: str) -> Change:
    edits = []
    for path in dict.fromkeys(path for path, _, _ in found):
        splices = [
            splice
            for where, document, service in found
            if where == path
            for splice in xinetd.set_attribute(document, service, "disable", "yes")
        ]
        data = next(document.data for where, document, _ in found if where == path)
        edits.append(edit(path, data, splices))
    return Change(tuple(edits), unit, "reload", "reload", tuple(op.path for op in edits))


def _server(attributes: xinetd.Attributes) -> Server:
    return Server(
        path=xinetd.server(attributes),
        argv=xinetd.argv(attributes),
        user=attributes.get("user", ("root",))[0],
        group=attributes.get("group", ("",))[0],
        environment=attributes.get("env", ()),
    )


def _guarded(facts: HostFacts, attributes: xinetd.Attributes) -> str:
    """xinetd asks hosts_access(5) by the name of the program (xinetd.conf(5), NOLIBWRAP); behind
    tcpd(8) that is what tcpd starts.
    """
    flags = attributes.get("flags", ())
    if "NOLIBWRAP" in flags and not xinetd.wrapped_by_tcpd(attributes):
        return ""
    return guarded(facts, next(iter(xinetd.argv(attributes)), ""))


def _lost(attributes: xinetd.Attributes) -> Tuple[str, ...]:
    return tuple(
        "xinetd's `%s = %s` for this service no longer counts" % (key, " ".join(values))
        for key, values in sorted(attributes.items())
        if key not in _CARRIED
    )


def _fixed(found: List[_Found], attributes: xinetd.Attributes) -> Tuple[str, ...]:
    problems = []
    if attributes.get("wait", ("no",))[0].lower() == "yes":
        problems.append("the service is marked `wait`: it takes the listening socket itself")
    if "redirect" in attributes or not xinetd.server(attributes):
        problems.append("xinetd answers or redirects this port by itself")
    if len({xinetd.server(xinetd.effective(service, None)) for _, _, service in found}) > 1:
        problems.append("several blocks start different programs on this port")
    return tuple(problems)
