"""The addresses of a host, as `ip -j address show` (ip-address(8)) gives them."""

from __future__ import annotations

import json
from typing import Tuple

from mailseal.model.host import AddressFact

ASK = ("ip", "-j", "address", "show")


def parse(said: "bytes | str") -> Tuple[AddressFact, ...]:
    """What `ASK` says. Raises ValueError for what is none of it."""
    try:
        return tuple(
            AddressFact(str(each["local"]), str(interface["ifname"]), str(each["scope"]))
            for interface in json.loads(said)
            for each in interface.get("addr_info", ())
            if "local" in each
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError("ip gave no JSON; iproute2 is too old") from None
