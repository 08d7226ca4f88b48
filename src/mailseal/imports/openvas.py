"""OpenVAS and GVM: a report as XML, plain, anonymous or as answer of GMP (get_reports).

    get_reports_response > report > report > results > result
        name, host (the address, then <hostname>), port (109/tcp, before 2010 "pop2 (109/tcp)"),
        nvt oid=, threat, creation_time, description

Strategy: a result is whole at its end. It may hold others (`detection` names the result it rests
on; notes and overrides repeat elements), so only its own children count, told by depth.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from mailseal.imports import markup
from mailseal.imports.base import (
    Item,
    LeftOut,
    Options,
    address_of,
    moment_of_iso,
    port_of,
    words,
)
from mailseal.imports.checks import protocol_of
from mailseal.imports.markup import Attributes, Tables
from mailseal.model.look import Endpoint
from mailseal.model.reported import Claimed, Reported

_CHILDREN = ("name", "host", "port", "threat", "creation_time", "description")
_PORT = re.compile(r"\b(\d{1,5})/tcp\b")


class _Report:
    """The result that is being read."""

    def __init__(self, options: Options) -> None:
        self._site = options.site
        self._depth = 0
        self._fields: dict[str, str] = {}
        self.tables = Tables(
            start={
                "result": self._start_result,
                "nvt": self._start_nvt,
                "hostname": lambda attributes, depth: depth == self._depth + 2,
                **dict.fromkeys(_CHILDREN, self._is_child),
            },
            text={name: self._keep(name) for name in (*_CHILDREN, "hostname")},
            end={"result": self._end_result},
        )

    def _start_result(self, attributes: Attributes, depth: int) -> bool:
        if not self._depth:
            self._depth, self._fields = depth, {}
        return False

    def _is_child(self, attributes: Attributes, depth: int) -> bool:
        return self._depth > 0 and depth == self._depth + 1

    def _start_nvt(self, attributes: Attributes, depth: int) -> bool:
        if self._is_child(attributes, depth):
            self._fields["oid"] = attributes.get("oid", "")
        return False

    def _keep(self, name: str) -> Callable[[str], None]:
        def keep(text: str) -> None:
            self._fields[name] = text.strip()

        return keep

    def _end_result(self, depth: int) -> None:
        if depth == self._depth:
            self._depth = 0
            self.tables.found.extend(self._reported(self._fields))

    def _reported(self, fields: dict[str, str]) -> Iterator[Item]:
        get = fields.get
        check, title = get("oid", ""), get("name", "")
        protocol = protocol_of(check, title)
        if protocol is None:
            return
        address = address_of(get("host", ""))
        match = _PORT.search(get("port", ""))
        port = port_of(match[1]) if match else None
        named = words(get("hostname", "") or get("host", ""))
        what = f"{words(title)} (openvas {words(check, 60)}) at {named or 'no host'}"
        if get("threat", "").lower() == "false positive":
            yield LeftOut(what, "marked as a false positive in the report", claim=False)
        elif address is None or port is None:
            missing = "address" if address is None else "port"
            yield LeftOut(what, f"the report gives no {missing}", claim=True)
        else:
            yield Reported(
                Endpoint(address, port, self._site),
                source="openvas",
                check=words(check, 60),
                title=words(title),
                says=Claimed.PERMITTED,
                protocol=protocol,
                name="" if address_of(named) else named,
                when=moment_of_iso(get("creation_time", "")),
                text=words(get("description", "")),
            )


def read(chunks: Iterable[bytes], options: Options) -> Iterator[Item]:
    """The results of the table of checks, as they come. Raises Unreadable."""
    return markup.read(chunks, ("report", "get_reports_response"), _Report(options).tables)
