"""An import-linter contract: each room of a package imports itself and what its line names.

import-linter's own contracts say what is forbidden, or order all rooms in layers, and want every
module to exist. Ours reads as the design does: one line `room -> may import`, in the order of the
data's way. A line may stand before its room is built; a room without a line breaks the contract.
Direct imports are enough: whoever is imported has a line of its own.
"""

from __future__ import annotations

from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class Arrows(Contract):
    """Option: arrows, a list of lines `room -> room room ...`, names within the root package."""

    arrows = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        allowed = {}
        for line in cast("list[str]", self.arrows):
            room, _, others = line.partition("->")
            allowed[room.strip()] = {room.strip(), *others.split()}
        unknown = sorted(set().union(*allowed.values()) - allowed.keys())
        if unknown:
            raise ValueError(f"arrows name rooms that have no line: {', '.join(unknown)}")

        (package,) = self.session_options["root_packages"]
        broken = []
        for importer in sorted(graph.modules):
            room = _room(importer, package)
            if not room:
                continue
            if room not in allowed:
                broken.append(f"{importer}: the room {room} has no line among the arrows")
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                other = _room(imported, package)
                if other and other not in allowed[room]:
                    details = graph.get_import_details(importer=importer, imported=imported)
                    lines = ", ".join(str(detail["line_number"]) for detail in details)
                    broken.append(f"{importer} (line {lines}) imports {imported}")
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in check.metadata["broken"]:
            output.print_error(f"- {line}", bold=False)
        output.print("Hand the value in instead, or change the line and say why in the commit.")


def _room(module: str, package: str) -> str:
    """The first name below the package: `mailseal.probe.tls` is in `probe`. Others have none."""
    return (
        module.removeprefix(f"{package}.").split(".")[0] if module.startswith(package + ".") else ""
    )
