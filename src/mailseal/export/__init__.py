"""Plans for others: people with a shell, tickets, clients, Ansible; scanners and monitors.

Strategy: one file a form, each a pure function from a plan to files. Exporters read the same Ops as
`apply` and never meet it. A form that does not know a step refuses the plan by the step's name.
"""

from __future__ import annotations

from collections.abc import Mapping

from mailseal.export import ansible, clientpack, inspec, markdown, nagios, openscap, shell
from mailseal.export.base import CannotExport, Exporter, File, FleetExporter, Source

__all__ = ["EXPORTERS", "FLEETS", "CannotExport", "File", "Source"]

EXPORTERS: Mapping[str, Exporter] = {
    "shell": shell.export,
    "markdown": markdown.export,
    "client-pack": clientpack.export,
}
"""The forms of one plan by the names that `mailseal export --to` takes."""
FLEETS: Mapping[str, FleetExporter] = {
    "ansible": ansible.export,
    "openscap": openscap.export,
    "inspec": inspec.export,
    "nagios": nagios.export,
}
"""The forms of one plan or more: `ansible` of a host each, `openscap` and `inspec` of one host."""
