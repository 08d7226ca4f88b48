"""Nessus: the export `.nessus`, version 2 (NessusClientData_v2).

    NessusClientData_v2 > Report > ReportHost name=
        HostProperties > tag name= (host-ip, host-fqdn, HOST_START_TIMESTAMP: seconds since 1970)
        ReportItem port= protocol= pluginID= pluginName=  > plugin_output

Strategy: a host's properties stand before its items. Of the items only those of the table of checks
are looked into; `name` of ReportHost is what the scan was given, a name or an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mailseal.imports import markup
from mailseal.imports.base import (
    Item,
    LeftOut,
    Options,
    address_of,
    moment_of_epoch,
    port_of,
    words,
)
from mailseal.imports.checks import protocol_of
from mailseal.imports.markup import Attributes, Tables
from mailseal.model.look import Endpoint
from mailseal.model.reported import Claimed, Reported

_PROPERTIES = ("host-ip", "host-fqdn", "HOST_START_TIMESTAMP")


class _Report:
    """The host and the item that are being read."""

    def __init__(self, options: Options) -> None:
        self._site = options.site
        self._host = ""
        self._properties: dict[str, str] = {}
        self._property = ""
        self._item: Attributes | None = None
        self._output = ""
        self.tables = Tables(
            start={
                "ReportHost": self._start_host,
                "tag": self._start_tag,
                "ReportItem": self._start_item,
                "plugin_output": lambda attributes, depth: self._item is not None,
            },
            text={"tag": self._tag, "plugin_output": self._plugin_output},
            end={"ReportItem": self._end_item},
        )

    def _start_host(self, attributes: Attributes, depth: int) -> bool:
        self._host, self._properties = attributes.get("name", ""), {}
        return False

    def _start_tag(self, attributes: Attributes, depth: int) -> bool:
        self._property = attributes.get("name", "")
        return self._property in _PROPERTIES

    def _tag(self, text: str) -> None:
        self._properties[self._property] = text

    def _start_item(self, attributes: Attributes, depth: int) -> bool:
        get = attributes.get
        about = protocol_of(get("pluginID", ""), get("pluginName", ""))
        self._item, self._output = None if about is None else attributes, ""
        return False

    def _plugin_output(self, text: str) -> None:
        self._output = text

    def _end_item(self, depth: int) -> None:
        if self._item is not None:
            self.tables.found.append(self._reported(self._item))
            self._item = None

    def _reported(self, item: Attributes) -> Item:
        check, title = item.get("pluginID", ""), item.get("pluginName", "")
        address = address_of(self._properties.get("host-ip", "")) or address_of(self._host)
        port = port_of(item.get("port", ""))
        named = words(self._properties.get("host-fqdn", "") or self._host)
        if address is None or port is None:
            what = f"{words(title)} (nessus {words(check, 20)}) at {named or 'no host'}"
            missing = "address" if address is None else "port"
            return LeftOut(what, f"the report gives no {missing}", claim=True)
        return Reported(
            Endpoint(address, port, self._site),
            source="nessus",
            check=words(check, 20),
            title=words(title),
            says=Claimed.PERMITTED,
            protocol=protocol_of(check, title),
            name="" if address_of(named) else named,
            when=moment_of_epoch(self._properties.get("HOST_START_TIMESTAMP", "")),
            text=words(self._output),
        )


def read(chunks: Iterable[bytes], options: Options) -> Iterator[Item]:
    """The items of the table of checks, as they come. Raises Unreadable."""
    return markup.read(chunks, ("NessusClientData_v2",), _Report(options).tables)
