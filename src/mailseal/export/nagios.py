"""Nagios and Icinga: objects that let a monitor look at a plan's endpoints by `mailseal scan`.

Strategy: one list of services makes both languages. A monitor hands a command line to a shell, and
reads `$`, `!` and `;` of it for itself; so every word that comes out of a plan is an address, a
number, or of letters that mean nothing to anybody, and a plan with another is refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailseal.export import checks
from mailseal.export.base import HOST, SERVER, CannotExport, File, Source, plain
from mailseal.export.clientpack import certificates
from mailseal.model.look import Endpoint, Vantage
from mailseal.model.plan import Claim, ClaimKind

FORM = "nagios"
FOLDER = "/etc/mailseal/monitoring"
"""Where the files are to lie on the monitor; the commands name the CA there."""
_COMMAND = ("mailseal", "scan", "--format", "nagios", "--no-store", "--timeout", "5")


@dataclass(frozen=True)
class _Service:
    """A look at an endpoint of `host`; `options` say what fails, and what the certificate must be.
    An option that takes no value has an empty one.
    """

    host: str
    address: str
    title: str
    options: tuple[tuple[str, str], ...]
    target: str


def export(sources: Sequence[Source]) -> tuple[File, ...]:
    """Objects for Nagios and for Icinga 2, each with the hosts in a file of their own, and the CA
    where it was given. Raises CannotExport.
    """
    checks.hosts_of(sources)
    found: dict[tuple[str, str], _Service] = {}
    for service in (each for source in sources for each in _services(source)):
        if found.setdefault((service.host, service.title), service) != service:
            raise CannotExport("two plans ask for different things of %s" % service.target)
    if not found:
        raise CannotExport("the plan claims nothing that another host could see")
    services = list(found.values())
    hosts = list({each.host: each for each in services}.values())
    made = {
        "mailseal.cfg": [_NAGIOS_COMMAND, *map(_nagios, services)],
        "mailseal-hosts.cfg": map(_nagios_host, hosts),
        "mailseal.conf": [_ICINGA_COMMAND, *map(_icinga, services)],
        "mailseal-hosts.conf": map(_icinga_host, hosts),
    }
    files = [File(name, 0o644, "\n".join(made[name]).encode("ascii")) for name in made]
    if sources[0].authority:
        files.append(File("ca.crt", 0o644, certificates(sources[0].authority)))
    return tuple(files)


def _services(source: Source) -> Iterator[_Service]:
    plan = source.plan
    if not HOST.fullmatch(plan.host):
        raise CannotExport("%s cannot be the name of a host there" % plain(repr(plan.host)))
    remote = [claim for claim in plan.claims if claim.vantage is Vantage.REMOTE]
    # One look has all answers. That some networks are still served says nothing of the others.
    sealed = {each.endpoint for each in remote if each.kind is not ClaimKind.CLEARTEXT_SERVED}
    for claim in remote:
        where = claim.endpoint
        if claim.kind is not ClaimKind.CLEARTEXT_SERVED or where not in sealed:
            title = "mailseal %d %s" % (where.port, where.address)
            options = _options(source, claim)
            yield _Service(plan.host, plan.endpoint.address, title, options, _target(where))


def _options(source: Source, claim: Claim) -> tuple[tuple[str, str], ...]:
    """What must be. Where nothing is known by which a certificate could be verified, it is no
    reason to alarm.
    """
    name = claim.expected.get("name", "")
    if name and not SERVER.fullmatch(name):
        raise CannotExport("%s cannot be the name of a certificate" % plain(repr(name)))
    options = [("--name", name)] * bool(name)
    if claim.kind is not ClaimKind.CLOSED:
        options.append(("--must-answer", ""))
    if source.authority:
        options.append(("--ca", FOLDER + "/ca.crt"))
    known = source.authority or not claim.expected.get("authority")
    if known and claim.expected.get("pinned") != "yes" and claim.kind is not ClaimKind.CLOSED:
        options.append(("--fail-on", "medium"))
    return tuple(options)


def _target(where: Endpoint) -> str:
    if "%" in where.address:
        raise CannotExport("%s is another host on every network" % plain(str(where)))
    return str(Endpoint(str(ipaddress.ip_address(where.address)), where.port))


_NAGIOS_COMMAND = """\
# Made by mailseal. Give mailseal's full path where it is not in the monitor's PATH.
define command {
    command_name  mailseal
    command_line  %s $ARG1$
}
""" % " ".join(_COMMAND)  # fmt: skip
_ICINGA_COMMAND = """\
// Made by mailseal. Give mailseal's full path where it is not in the monitor's PATH.
object CheckCommand "mailseal" {
  command = [ %s ]
  timeout = 1m
  arguments = {
    "--name" = "$mailseal_name$"
    "--ca" = "$mailseal_ca$"
    "--fail-on" = "$mailseal_fail_on$"
    "--must-answer" = { set_if = "$mailseal_must_answer$" }
    "target" = {
      value = "$mailseal_target$"
      skip_key = true
      required = true
      order = 1
    }
  }
}
""" % ", ".join('"%s"' % word for word in _COMMAND)


def _nagios(service: _Service) -> str:
    words = "".join(word + " " for pair in service.options for word in pair if word)
    return """\
define service {
    host_name            %s
    service_description  %s
    check_command        mailseal!%s'%s'
    check_interval       60
    retry_interval       5
    max_check_attempts   2
    check_period         24x7
    notification_period  24x7
}
""" % (service.host, service.title, words, service.target)


def _nagios_host(service: _Service) -> str:
    return """\
define host {
    host_name           %s
    address             %s
    max_check_attempts  2
    check_period        24x7
    notification_period 24x7
}
""" % (service.host, service.address)


def _icinga(service: _Service) -> str:
    told = [*service.options, ("--target", service.target)]
    lines = [
        "  vars.mailseal_%s = %s"
        % (option[2:].replace("-", "_"), '"%s"' % value if value else "true")
        for option, value in told
    ]
    return """\
object Service "%s" {
  host_name = "%s"
  check_command = "mailseal"
  check_interval = 1h
  retry_interval = 5m
  max_check_attempts = 2
%s
}
""" % (service.title, service.host, "\n".join(lines))


def _icinga_host(service: _Service) -> str:
    return """\
object Host "%s" {
  address = "%s"
  check_command = "hostalive"
}
""" % (service.host, service.address)
