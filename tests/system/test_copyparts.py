"""What a copy of a host is made of: the mounts it needs, and addresses to be looked at."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.system.copyparts import STREET, Mount, mounts, network

# proc(5); a root, what every system makes for itself, disks, a file, what is of others.
MOUNTINFO = r"""
26 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
27 26 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw
28 26 0:24 / /proc rw,nosuid shared:12 - proc proc rw
29 26 0:25 / /run rw,nosuid shared:13 - tmpfs tmpfs rw
30 29 0:99 / /run/lock rw,nosuid shared:13 - tmpfs tmpfs rw
31 26 0:26 / /tmp rw,nosuid shared:13 - tmpfs tmpfs rw
40 26 254:2 / /var rw,relatime shared:29 - xfs /dev/vda2 rw
41 40 254:3 / /var/mail rw,relatime shared:30 - ext4 /dev/vda3 rw
42 26 254:4 / /boot ro,relatime shared:31 - ext4 /dev/vda4 ro
43 26 0:50 / /home rw,relatime shared:32 - nfs4 nas.example:/home rw
44 26 254:5 /hosts /etc/hosts rw,relatime - ext4 /dev/vda5 rw
45 26 0:51 / /mnt/two\040words rw - ext4 /dev/vda6 rw
46 26 0:52 / /srv rw - ext4 /dev/vda7 rw
47 46 0:53 / /srv rw - fuse.sshfs far: rw
48 26 0:54 / /devices rw - ext4 /dev/vda8 rw
"""


def test_the_mounts_of_disks_are_copied_and_the_others_told():
    kept, left = mounts(MOUNTINFO)
    assert kept == (
        Mount("/", True),
        Mount("/boot", False),
        Mount("/devices", True),
        Mount("/etc/hosts", True),
        Mount("/var", True),
        Mount("/var/mail", True),
    )
    assert left == (
        "/home is left out: it is of another host or program (nfs4)",
        "/mnt/two words is left out: an unusual name",
        "/srv is left out: it is of another host or program (fuse.sshfs)",
    )


@given(st.text())
def test_no_text_is_too_odd_for_a_list_of_mounts(text: str):
    for mount in mounts(text)[0]:
        assert "," not in mount.point
        assert ":" not in mount.point


def ip(name: str, *addresses: str) -> dict[str, object]:
    pairs = (address.split("/") for address in addresses)
    return {
        "ifname": name,
        "addr_info": [{"local": local, "prefixlen": int(length)} for local, length in pairs],
    }


def test_the_copy_has_the_addresses_and_the_street_has_one_to_look_from():
    routes = [[{"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"}], []]
    made = network(
        [ip("lo", "127.0.0.1/8", "::1/128", "203.0.113.7/32"),
         ip("eth0", "192.0.2.10/24", "2001:db8:1::a/64", "fe80::1/64")],
        routes,
    )  # fmt: skip
    assert made.inside == (
        "link set lo up",
        "address add 203.0.113.7/32 dev lo",
        "link add name eth0 type veth peer name p0 netns " + STREET,
        "link set dev eth0 up",
        "address add 192.0.2.10/24 dev eth0",
        "route replace 192.0.2.1/32 dev eth0",
        "address add 2001:db8:1::a/64 dev eth0 nodad",
        "route replace 2001:db8:1::1/128 dev eth0",
    )
    assert made.street == (
        "link set lo up",
        "link set dev p0 up",
        "address replace 192.0.2.1/32 dev p0",
        "route replace 192.0.2.10/32 dev p0 src 192.0.2.1",
        "address replace 2001:db8:1::1/128 dev p0 nodad",
        "route replace 2001:db8:1::a/128 dev p0 src 2001:db8:1::1",
    )
    assert made.left_out == ()


def test_each_interface_has_a_pair_of_its_own():
    made = network([ip("eth0", "192.0.2.10/24"), ip("eth1", "198.51.100.1/24")], [])
    peers = [line for line in made.inside if "veth" in line]
    assert peers == [
        "link add name eth0 type veth peer name p0 netns " + STREET,
        "link add name eth1 type veth peer name p1 netns " + STREET,
    ]
    assert "route replace 198.51.100.1/32 dev p1 src 198.51.100.2" in made.street


@pytest.mark.parametrize(
    ("address", "looker"),
    [
        ("192.0.2.1/24", "192.0.2.2"),
        ("192.0.2.0/31", "192.0.2.1"),
        ("192.0.2.9/30", "192.0.2.10"),
        ("2001:db8:1::/127", "2001:db8:1::1"),
        ("2001:db8:1::1/64", "2001:db8:1::2"),
    ],
)
def test_who_looks_has_a_free_address_of_the_network(address: str, looker: str):
    made = network([ip("eth0", address)], [])
    assert any(line.endswith(" src " + looker) for line in made.street), made.street


def test_what_cannot_be_looked_at_or_named_is_told():
    made = network([ip("eth0", "192.0.2.10/32"), ip("a b", "198.51.100.1/24")], [])
    assert made.left_out == (
        "192.0.2.10/32 cannot be looked at from outside: its network is full",
        "the interface 'a b' is left out: an unusual name",
    )
    assert "address add 192.0.2.10/32 dev eth0" in made.inside
    assert not any("a b" in line for line in (*made.inside, *made.street))


_JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["ifname", "addr_info", "local", "prefixlen", "gateway", "dev"]), inner
        )
    ),
)


@given(_JSON, st.lists(_JSON, max_size=2))
def test_no_answer_of_ip_is_too_odd(addresses, routes):
    made = network(addresses, routes)
    assert all("\n" not in line for line in (*made.inside, *made.street))


@given(
    st.ip_addresses().flatmap(
        lambda ip: st.integers(1, ip.max_prefixlen).map(lambda bits: "%s/%d" % (ip, bits))
    )
)
def test_who_looks_is_never_the_host_itself(address: str):
    own = ipaddress.ip_interface(address)
    for line in network([ip("eth0", address)], []).street:
        if " src " in line:
            assert line.split(" src ")[1] != str(own.ip)
            assert ipaddress.ip_address(line.split(" src ")[1]) in own.network
