"""A role for Ansible: plans of any number of hosts, done and taken back by `ansible-playbook`.

Strategy: the role is static text (the folder `role` beside this file, handed in), the same for
every plan; a plan becomes the variables of its host and nothing else. So what is run can be read
once, and what is in a plan can at worst be wrong data: every text is marked `!unsafe`, which is
never taken for a template. A step's row works out here what the role needs, so that templates stay
small. What is at each path before and after stands beside the steps, for the role refuses before
anything is changed.
"""

from __future__ import annotations

import base64
import ipaddress
import math
import posixpath
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mailseal.export import firewall, steps
from mailseal.export.base import HOST, CannotExport, File, Source, plain, row, without_steering
from mailseal.export.shell import GOODBYE
from mailseal.model import ops
from mailseal.model.ops import Listening, Op
from mailseal.model.plan import Plan

FORM = "ansible"
Values = dict[str, Any]
"""Of dict, list, str, int and bool, as YAML holds them."""

_GROUP = "mailseal_hosts"
_TAKEN = {"all", "ungrouped", _GROUP}
_INVENTORY = f"""\
---
# How a host is reached goes here, beside its name: ansible_host, ansible_user.
{_GROUP}:
  hosts:
"""
_PLAYBOOK = f"""\
---
- name: %s
  hosts: {_GROUP}
  become: true
  gather_facts: false
  # Each host by itself: none waits for another between the old service and the new one.
  strategy: ansible.builtin.free
  tasks:
    - name: %s
      ansible.builtin.import_role:
        name: mailseal
        tasks_from: %s
"""


def export(sources: Sequence[Source]) -> tuple[File, ...]:
    """Inventory, two playbooks, a file of variables for each plan, and the role. Raises
    CannotExport.
    """
    hosts: dict[str, File] = {}
    for source in map(without_steering, sources):
        host = source.plan.host
        if not HOST.fullmatch(host) or host in _TAKEN:
            raise CannotExport("%s cannot be a name in an inventory" % plain(repr(host)))
        if host in hosts:
            raise CannotExport(
                "two plans for %s cannot be exported to %s together: a folder for each"
                % (host, FORM)
            )
        hosts[host] = _file("host_vars/%s.yml" % host, "\n".join([*_variables(source), ""]))
    inventory = _INVENTORY + "".join('    "%s": {}\n' % host for host in hosts)
    return (
        _file("inventory.yml", inventory),
        _file("playbook.yml", _PLAYBOOK % ("Do what the plans say", "Do it", "main.yml")),
        _file("undo.yml", _PLAYBOOK % ("Take back what the plans did", "Undo it", "undo.yml")),
        *hosts.values(),
        *sources[0].role,
    )


def _file(name: str, text: str) -> File:
    return File(name, 0o600, text.encode("ascii"))


def _variables(source: Source) -> Iterator[str]:
    plan = source.plan
    said = (*plan.headline, "Without service: " + plan.gap, *("Risk: " + r for r in plan.risks))
    yield "---"
    what = "%s, stage %s, %s" % (plan.strategy, plan.stage, plan.protocol.upper())
    yield "# Plan for %s: %s on port %d" % (plan.host, _ascii(what), plan.endpoint.port)
    yield "# made %s, SHA-256 %s" % (_ascii(plan.made), _ascii(source.sha256))
    yield "#"
    for line in said:
        for part in textwrap.wrap(_ascii(line), 96):
            yield "# " + part
    numbered = list(enumerate(plan.ops, 1))
    values = {
        "mailseal_machine": plan.machine,
        "mailseal_plan": source.sha256,
        "mailseal_paths": _paths(plan),
        "mailseal_sockets": _groups(_last(plan)),
        "mailseal_ops": [
            {
                "number": number,
                "kind": op.KIND,
                "title": _title(op),
                "foreseen": isinstance(op, _FORESEEN),
                "changes": not isinstance(op, (ops.TryTerminator, ops.CheckConfiguration))
                and bool(steps.step(op, FORM).what),
                **row(_VALUES, op, FORM)(source, op),
            }
            for number, op in numbered
        ],
    }
    for name, value in values.items():
        yield from _yaml(name + ":", value, "")


_FORESEEN = (ops.MakeDirectory, ops.WriteFile, ops.EditFile, ops.MakeLink)
"""What check mode can foresee; of the other steps it tells that they would be done."""


def _title(op: Op) -> str:
    words = plain(steps.step(op, FORM).what or "note the way back")
    return words if len(words) <= 100 else words[:97] + "..."


# -- what the role looks at ----------------------------------------------------------------------


def _paths(plan: Plan) -> list[Values]:
    """For each path what may be there before, while a run is cut off, and after: the hash of a
    file, "link to ...", "absent", or "present" for whatever is there.
    """
    found: dict[str, Values] = {}
    for op in plan.ops:
        for path, before, during, after in _rests_on(op):
            if path in found:
                raise CannotExport(
                    "a plan whose step %s comes to %s again cannot be exported to %s: "
                    "use `mailseal apply`" % (op.KIND, plain(path), FORM)
                )
            found[path] = {"path": path, "before": before, "during": during, "after": after}
    return list(found.values())


_Rest = tuple[str, list[str], list[str], list[str]]


def _rests_on(op: Op) -> Iterator[_Rest]:
    if isinstance(op, ops.WriteFile):
        yield op.path, ["absent"], [], [steps.sha256(op.content), *op.later]
    elif isinstance(op, ops.EditFile):
        yield op.path, [op.before], [], [op.after, *op.later]
    elif isinstance(op, ops.MakeLink):
        yield op.path, ["absent"], [], ["link to " + op.target]
    elif isinstance(op, ops.TryTerminator):
        yield op.path, ["absent"], ["present"], ["absent"]
    elif isinstance(op, (ops.MakeDirectory, ops.CopyFile)):
        yield op.path, ["absent"], [], ["present"]
    elif isinstance(op, ops.IssueCertificate):
        authority, authority_key, leaf, key = steps.issued(op)
        for path in (authority, authority_key):
            yield path, ["absent", "present"], [], ["present"]
        for path in (leaf, key):
            yield path, ["absent"], [], ["present"]


def _last(plan: Plan) -> tuple[Listening, ...]:
    """What the last step that waits for a socket says of it."""
    wanted = {
        (each.unit, each.address, each.port): each
        for op in plan.ops
        if isinstance(op, ops.UnitAction)
        for each in op.after_do
    }
    return tuple(wanted.values())


def _groups(wanted: Sequence[Listening]) -> list[Values]:
    """By the unit in whose network they are: those that must be there (each as ss(8) may spell it),
    and those that must be gone.
    """
    groups: dict[str, Values] = {}
    for each in wanted:
        group = groups.setdefault(each.unit, {"unit": each.unit, "there": [], "gone": []})
        if each.present:
            group["there"].append(_spellings(each))
        else:
            group["gone"].extend(_spellings(each))
    return list(groups.values())


def _spellings(where: Listening) -> list[str]:
    if where.address == "::":
        return ["[::]:%d" % where.port, "*:%d" % where.port]
    address = "[%s]" % where.address if ":" in where.address else where.address
    return ["%s:%d" % (address, where.port)]


# -- the steps -----------------------------------------------------------------------------------


def _coded(data: bytes, op: Op) -> str:
    """Base64. Ansible carries text alone, so what is no UTF-8 is refused."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise CannotExport(
            "a plan whose step %s has bytes that are no UTF-8 cannot be exported to %s: "
            "use `mailseal apply`" % (op.KIND, FORM)
        ) from None
    return base64.b64encode(data).decode("ascii")


def _owned(op: ops.MakeDirectory | ops.WriteFile | ops.CopyFile) -> Values:
    return {"path": op.path, "owner": op.owner, "group": op.group, "mode": "%04o" % op.mode}


def _install(source: Source, op: ops.InstallPackage) -> Values:
    return {"package": op.name}


def _directory(source: Source, op: ops.MakeDirectory) -> Values:
    return _owned(op)


def _write(source: Source, op: ops.WriteFile) -> Values:
    coded = _coded(op.content, op)
    hashes = " ".join((steps.sha256(op.content), *op.later))
    return {**_owned(op), "sha256": hashes, "content": coded}


def _copy(source: Source, op: ops.CopyFile) -> Values:
    return {**_owned(op), "source": op.source}


def _edit(source: Source, op: ops.EditFile) -> Values:
    """The changed file is, for each piece, the old one's bytes from `start` up to `end` and then
    the piece's text; and in the end the old one's from `rest` on.
    """
    pieces: list[Values] = []
    at = 0
    for splice in sorted(op.splices, key=lambda splice: splice.offset):
        text = _coded(splice.new, op)
        pieces.append({"start": at, "end": splice.offset, "text": text})
        at = splice.offset + len(splice.old)
    return {
        "path": op.path,
        "before": op.before,
        "after": op.after,
        "later": list(op.later),
        "pieces": pieces,
        "rest": at,
    }


def _link(source: Source, op: ops.MakeLink) -> Values:
    return {"path": op.path, "target": op.target}


def _issue(source: Source, op: ops.IssueCertificate) -> Values:
    authority, authority_key, leaf, key = steps.issued(op)
    texts = source.configurations(op.names)
    return {
        "path": leaf,
        "key": key,
        "authority": authority,
        "authority_key": authority_key,
        "work": posixpath.join(op.directory, ".issue-" + op.name),
        "group": op.group,
        "days": str(op.days),
        "ca_cnf": _coded(texts["ca.cnf"].encode(), op),
        "leaf_cnf": _coded(texts["leaf.cnf"].encode(), op),
    }


def _unit(source: Source, op: ops.UnitAction) -> Values:
    return {
        "unit": op.unit,
        "word": op.do,
        "wanted": _groups(op.after_do),
        "anew": any(each.anew for each in op.after_do),
        "back_word": op.undo,
        "back_wanted": _groups(op.after_undo),
        "back_anew": any(each.anew for each in op.after_undo),
        "seconds": max(1, math.ceil(op.seconds)),
    }


def _try(source: Source, op: ops.TryTerminator) -> Values:
    if op.protocol not in GOODBYE:
        raise CannotExport(
            "the step %s cannot be exported to %s: how %s greets is not known"
            % (op.KIND, FORM, plain(op.protocol))
        )
    greeting, goodbye = GOODBYE[op.protocol]
    try:
        ipaddress.ip_address(op.name)
        verify = ["-verify_ip", op.name]
    except ValueError:
        verify = ["-verify_hostname", op.name]
    return {
        "unit": op.unit,
        "path": op.path,
        "group": op.group,
        "placeholder": ops.TryTerminator.PORT.decode("ascii"),
        "content": _coded(op.content, op),
        "verify": verify + (["-CAfile", op.authority] if op.authority else []),
        "greeting": greeting,
        "goodbye": goodbye,
    }


def _open(source: Source, op: ops.OpenPort) -> Values:
    return {
        "forward": "\n".join(firewall.forward(op, "$1")),
        "back": "\n".join(firewall.back(op, "$1")),
    }


def _check(source: Source, op: ops.CheckConfiguration) -> Values:
    return {"argv": list(op.argv), "prints": list(op.prints)}


_VALUES: Mapping[type[Any], Callable[[Source, Any], Values]] = {
    ops.InstallPackage: _install,
    ops.MakeDirectory: _directory,
    ops.WriteFile: _write,
    ops.CopyFile: _copy,
    ops.EditFile: _edit,
    ops.MakeLink: _link,
    ops.IssueCertificate: _issue,
    ops.UnitAction: _unit,
    ops.TryTerminator: _try,
    ops.OpenPort: _open,
    ops.CheckConfiguration: _check,
}


# -- how values are written ------------------------------------------------------------------------

_WIDTH = 96
"""Characters of a text on a line."""


def _yaml(start: str, value: Any, indent: str) -> Iterator[str]:
    """Lines of YAML: `start` (a key, or a dash) and its value, in ASCII and within the width."""
    deeper = indent + "  "
    if isinstance(value, (dict, list)) and not value:
        yield "%s%s %s" % (indent, start, "{}" if isinstance(value, dict) else "[]")
    elif isinstance(value, dict):
        yield indent + start
        for key, each in value.items():
            yield from _yaml(key + ":", each, deeper)
    elif isinstance(value, list):
        yield indent + start
        for each in value:
            yield from _item(each, deeper)
    elif isinstance(value, str):
        first, *rest = _quoted(value)
        yield "%s%s !unsafe %s" % (indent, start, first)
        yield from (deeper + line for line in rest)
    else:
        yield "%s%s %s" % (indent, start, str(value).lower())


def _item(value: Any, indent: str) -> Iterator[str]:
    """A list's item; the first line of what is in it stands beside the dash."""
    if isinstance(value, (dict, list)) and value:
        deeper = indent + "  "
        if isinstance(value, dict):
            parts = [_yaml(key + ":", each, deeper) for key, each in value.items()]
        else:
            parts = [_item(each, deeper) for each in value]
        first, *rest = (line for part in parts for line in part)
        yield indent + "- " + first.lstrip(" ")
        yield from rest
    else:
        yield from _yaml("-", value, indent)


def _quoted(text: str) -> list[str]:
    """A double-quoted scalar, broken where it is long: an escaped line break, and the blanks after
    it, are not part of it (YAML 1.1, 5.7 and 9.2.1).
    """
    coded = [_escaped(char) for char in text]
    lines = ["".join(coded[at : at + _WIDTH]) for at in range(0, len(coded), _WIDTH)] or [""]
    opened = [lines[0], *("\\" * line.startswith(" ") + line for line in lines[1:])]
    return ['"' * (at == 0) + line + "\\" for at, line in enumerate(opened[:-1])] + [
        '"' * (len(opened) == 1) + opened[-1] + '"'
    ]


def _escaped(char: str) -> str:
    number = ord(char)
    if 0xD800 <= number < 0xE000:
        raise CannotExport("a plan with a path that is no text cannot be exported to %s" % FORM)
    if char in '"\\':
        return "\\" + char
    if 0x20 <= number < 0x7F:
        return char
    return ("\\x%02x" if number < 0x100 else "\\u%04x" if number < 0x10000 else "\\U%08x") % number


def _ascii(text: str) -> str:
    return plain(text).encode("ascii", "backslashreplace").decode("ascii")
