"""The lines for a backend's firewall: nobody but the gateway, these ports alone, both families."""

import shutil
import subprocess

import pytest

from mailseal.firewalls import only

FOUR = only.lines(["192.0.2.10", "192.0.2.11"], [109, 1109])
SIX = only.lines(["2001:db8:1::10"], [110])


def test_every_firewall_names_the_gateway_and_the_ports_and_no_other_port():
    for name, (close, again) in (*FOUR, *SIX):
        four = (name, (close, again)) in FOUR
        mine = ("192.0.2.10", "109", "1109") if four else ("2001:db8:1::10", "110")
        assert all(each in close for each in mine), close
        for line in (close, again):
            assert "\n" not in line
            assert " 22" not in line


@pytest.mark.parametrize("lines", [FOUR, SIX])
def test_the_shell_reads_them(lines: tuple[tuple[str, only.Lines], ...]):
    for name, typed in lines:
        for line in typed if name not in ("pf", "a router's access list") else ():
            assert subprocess.run(["sh", "-nc", line], check=False).returncode == 0


def test_what_is_opened_again_is_what_was_closed():
    """nftables has it in a table of its own; the others are asked for each rule."""
    for name, (close, again) in (*FOUR, *SIX):
        for word, back in (("-I INPUT", "-D INPUT"), ("--add-", "--remove-")):
            close = close.replace(word, back)
        close = close.replace("ufw prepend", "ufw delete")
        if name in ("iptables", "ufw") or name.startswith("firewalld"):
            assert again == close


def test_what_iptables_puts_first_stands_last():
    """Each -I goes before those that are there: the one that admits is typed last of its family."""
    typed = dict(FOUR)["iptables"].close.split(" && ")
    own = [each for each in typed if each.startswith("iptables ")]
    assert [each.rpartition(" ")[2] for each in own] == ["DROP", "ACCEPT"]
    assert "ip6tables -I INPUT ! -i lo -p tcp -m multiport --dports 109,1109 -j DROP" in typed


def test_ufw_is_told_nothing_of_everybody():
    """Where it has `allow 109/tcp` it skips `deny 109/tcp`, and ends well."""
    for lines in (FOUR, SIX):
        rules = dict(lines)["ufw"].close.split(" && ")
        assert all(" from " in rule and "/0" not in rule for rule in rules)


@pytest.mark.skipif(not shutil.which("nft"), reason="nft is not installed")
@pytest.mark.parametrize("lines", [FOUR, SIX])
def test_nft_reads_its_rules(lines: tuple[tuple[str, only.Lines], ...]):
    typed = dict(lines)["nftables"].close.split(" && ")[:-2]
    rules = "\n".join(each.removeprefix("nft ").replace("'", "") for each in typed)
    argv = ["unshare", "-rn", "nft", "--check", "--file", "-"]
    done = subprocess.run(argv, input=rules.encode(), capture_output=True, check=False)
    if b"unshare" in done.stderr:
        pytest.skip("no namespaces here: " + done.stderr.decode())
    assert done.returncode == 0, done.stderr
