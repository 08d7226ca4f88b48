"""A port that a wrap makes listen is opened in a firewall that drops, now and after a boot, and
what was there before comes back to the byte. ufw, firewalld and iptables by their real programs.
"""

from __future__ import annotations

import pytest

from lab import Host, Lab
from tests.lab.story import (
    NAME,
    Scene,
    check_as_before,
    install_stunnel,
    ran,
    scene,
    sealed,
    state,
    wait_until,
)

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]

TARGET = f"{NAME}:109"
BESIDE = 1109
CONF = "/etc/nftables.conf"

RULES = b"""#!/usr/sbin/nft -f
flush ruleset

table inet filter {
\tset banned { type ipv4_addr; elements = { 198.51.100.7 } }
\tchain input {
\t\ttype filter hook input priority filter; policy drop;
\t\tip saddr @banned drop
\t\tiif lo accept
\t\tct state established,related accept
\t\tct state invalid drop
\t\tmeta l4proto { icmp, ipv6-icmp } accept
\t\ttcp dport { 22, 109 } ct state new counter accept comment "ssh and mail"
\t}
}
"""
OTHERS = (
    "add table inet others; add chain inet others input { type filter hook input priority 5; }; "
    "add rule inet others input ip saddr 198.51.100.8 drop"
)
"""Somebody's rules that are in no file: loading a file anew would lose them."""


def ruleset(mail: Host) -> str:
    return ran(mail, "nft", "-s", "list", "ruleset").out


def seal(on: Scene) -> None:
    """TLS at the port itself and at another, which the firewall has to let in."""
    kept_out = {"!TimeoutError", "!OSError", "!PermissionError"}
    assert {line for said in on.log_in("polite", BESIDE) for line in said} <= kept_out
    out = sealed(on.mail, "seal", TARGET, "--tls-port", str(BESIDE), "--yes")
    assert "the plan opens %d too." % BESIDE in out
    assert on.log_in("tls", BESIDE, ca=on.ca()) == on.answered


def reboot(on: Scene) -> None:
    on.mail.reboot()
    wait_until(lambda: BESIDE in {port for _, _, port, _ in on.mail.listeners()})
    assert on.log_in("tls", BESIDE, ca=on.ca()) == on.answered


def test_nftables_is_opened_now_and_after_a_boot_and_is_as_before_at_the_end(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd")
    mail = on.mail
    install_stunnel(mail)
    mail.write(CONF, RULES, 0o755)
    mail.run(["systemctl", "enable", "--now", "nftables"])
    mail.run(["nft", OTHERS])
    before, rules = state(mail), ruleset(mail)

    seal(on)
    ours = f'\t\ttcp dport {BESIDE} accept comment "mailseal port {BESIDE}"\n'
    assert ours in ruleset(mail)
    assert ruleset(mail).replace(ours, "") == rules

    reboot(on)
    mail.run(["nft", OTHERS])
    assert ruleset(mail).replace(ours, "") == rules
    sealed(mail, "rollback")
    on.check_cleartext()
    assert ruleset(mail) == rules
    check_as_before(before, state(mail))


@pytest.mark.soak
def test_a_runbook_opens_it_too(lab: Lab) -> None:
    on = scene(lab, "bookworm", "inetd")
    mail = on.mail
    install_stunnel(mail)
    mail.write(CONF, RULES, 0o755)
    mail.run(["systemctl", "enable", "--now", "nftables"])
    before, rules = state(mail), ruleset(mail)
    sealed(mail, "plan", TARGET, "--tls-port", str(BESIDE), "-o", "/srv/plan.json")
    sealed(mail, "export", "/srv/plan.json", "--to", "shell", "-o", "/srv/book")
    mail.run(["sh", "/srv/book/runbook.sh"])
    on.check_sealed(BESIDE)
    assert "mailseal port" in mail.read(CONF).decode()
    mail.run(["sh", "/srv/book/undo.sh"])
    on.check_cleartext()
    assert ruleset(mail) == rules
    mail.run(["rm", "-r", "/srv/plan.json", "/srv/book"])
    check_as_before(before, state(mail))


# -- the others, by their own programs -------------------------------------------------------------

KEPT = "/etc/firewalld/zones/public.xml.old"
SETUP = {
    "ufw": ("ufw", "ufw allow 22/tcp && ufw allow 109/tcp && ufw --force enable"),
    "firewalld": (
        "firewalls",
        "systemctl enable --now firewalld && "
        "firewall-cmd --permanent --add-port=109/tcp && firewall-cmd --add-port=109/tcp",
    ),
    "iptables": (
        "firewalls",
        "systemctl --quiet disable --now firewalld; systemctl stop polkit; "
        "for each in iptables ip6tables; do "
        "$each -A INPUT -i lo -j ACCEPT; "
        "$each -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; "
        "$each -A INPUT -p ipv6-icmp -j ACCEPT; "
        "$each -A INPUT -p tcp -m multiport --dports 22,109 -j ACCEPT; "
        "$each -A INPUT -j DROP; "
        "done; netfilter-persistent save; systemctl --quiet enable netfilter-persistent; "
        # As a boot does it: with the chains that have no rules.
        "systemctl restart netfilter-persistent",
    ),
}


@pytest.mark.soak
@pytest.mark.parametrize("firewall", SETUP)
def test_another_firewall_is_opened_now_and_after_a_boot(lab: Lab, firewall: str) -> None:
    system, setup = SETUP[firewall]
    on = scene(lab, system, "inetd")
    mail = on.mail
    install_stunnel(mail)
    mail.run(["sh", "-ec", setup])
    before, rules = state(mail), ruleset(mail)

    seal(on)
    assert ruleset(mail) != rules
    reboot(on)
    sealed(mail, "rollback")
    on.check_cleartext()
    assert ruleset(mail) == rules
    # firewalld keeps the version before of a file that it writes.
    mail.run(["rm", "-f", KEPT])
    check_as_before(before, state(mail))
