"""What a host says of its listeners is kept at each of its addresses, and judged."""

from dataclasses import replace
from pathlib import Path

import pytest

from mailseal.model.asset import Asset
from mailseal.model.local import Extent, LocalHost, Package, Program, Software
from mailseal.model.moment import seconds
from mailseal.store import Filter, Store
from mailseal.workflow import BadInput
from mailseal.workflow.assets import keeping, of_host, software
from tests.report.test_local import LISTENER, host

NOW = seconds("2026-11-21T12:00:00.000Z")
INETD = Package("openbsd-inetd", "1", "Debian", "main", update="2", security=True)
FRESH = "2026-11-20T00:00:00.000Z"


def one(told: LocalHost, store: Store | None, moment: float = NOW) -> tuple[Asset, str]:
    """The asset of the one listener, and why nothing was recorded."""
    (asset,), problem = of_host(told, store, "default", now=lambda: moment)
    assert asset is not None
    return asset, problem


def found(*listeners, addresses: tuple[str, ...] = ("192.0.2.7", "2001:db8::7")) -> LocalHost:
    told = Software("debian 12", "Debian", "apt", FRESH, (INETD, Package("other", "1")))
    return replace(host(*listeners), addresses=addresses, software=told)


def test_each_listener_has_the_updates_of_its_own_programs():
    asset, problem = one(found(LISTENER), None)
    assert [each.package for each in asset.updates] == ["openbsd-inetd"]
    assert (str(asset.endpoint), asset.updates[0].due, problem) == ("[::]:109", "2026-12-05", "")


@pytest.mark.parametrize(
    ("changes", "endpoints"),
    [
        ({}, ["192.0.2.7:109", "[2001:db8::7]:109"]),
        ({"family": "ipv6"}, ["[2001:db8::7]:109"]),
        ({"address": "0.0.0.0", "family": "ipv4"}, ["192.0.2.7:109"]),
        ({"extent": Extent.ADDRESS, "address": "192.0.2.7"}, ["192.0.2.7:109"]),
        ({"extent": Extent.LOOPBACK}, []),
        ({"extent": Extent.CONTAINER}, []),
        ({"listening": False}, []),
    ],
)
def test_it_is_kept_where_others_reach_it(tmp_path: Path, changes, endpoints: list[str]):
    with Store.open(str(tmp_path / "store")) as store:
        of_host(found(replace(LISTENER, **changes)), store, "default", now=lambda: NOW)
        assert [str(each.endpoint) for each in store.software(Filter())] == endpoints


def test_the_day_is_counted_from_the_first_time(tmp_path: Path):
    with Store.open(str(tmp_path / "store")) as store:
        of_host(found(LISTENER), store, "default", now=lambda: NOW)
        later = NOW + 20 * 86400
        asset, _ = one(found(LISTENER), store, later)
        assert (asset.updates[0].due, asset.overdue) == ("2026-12-05", True)
        assert all(each.overdue for each in software(store, Filter(), now=lambda: later))


def test_addresses_that_are_none_are_left_out(tmp_path: Path):
    with Store.open(str(tmp_path / "store")) as store:
        of_host(found(LISTENER, addresses=("x", "")), store, "default", now=lambda: NOW)
        assert list(store.software(Filter())) == []
        _, problem = one(found(LISTENER, addresses=()), store)
        assert "addresses were not told" in problem


def test_what_cannot_be_recorded_is_shown_all_the_same(tmp_path: Path):
    with Store.open(str(tmp_path / "store")) as store:
        store._connection.execute("PRAGMA query_only = ON")
        asset, problem = one(found(LISTENER), store)
        assert asset.updates
        assert "not recorded" in problem


def test_a_program_of_no_package_has_nobody(tmp_path: Path):
    alone = replace(LISTENER, programs=(Program("/usr/local/sbin/ipop2d", "", ""),), gaps=("x",))
    asset, _ = one(found(alone), None)
    assert (asset.doubtful, asset.gaps) == (True, ("x",))


@pytest.mark.parametrize("address", ["localhost", "", "::0", "192.0.2.7/24"])
def test_what_is_no_address_is_no_asset(tmp_path: Path, address: str):
    told = found(replace(LISTENER, address=address, extent=Extent.ADDRESS))
    with Store.open(str(tmp_path / "store")) as store:
        assert of_host(told, store, "default")[0] == (None,)


def test_only_a_store_that_is_there_or_named_is_kept(tmp_path: Path):
    home = {"XDG_DATA_HOME": str(tmp_path)}
    with keeping(True, None, home) as store:
        assert store is None
    assert list(tmp_path.iterdir()) == []
    named = str(tmp_path / "a" / "store")
    with keeping(False, named, home) as store:
        assert store is None
    with keeping(True, named, home) as store:
        assert store is not None
    Path(named).write_bytes(b"no database, but long enough to be looked at as one" * 50)
    with pytest.raises(BadInput, match="--no-store"), keeping(True, named, home):
        pass
