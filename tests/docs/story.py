"""What the docs show and only other hosts can answer, line by line, in an order that makes sense.

Strategy: tables. tests/lab/test_examples.py types the story on booted hosts, where what changes a
host is taken back before the next line that changes it; tests/docs/test_examples.py types every
example that is not in it, and fails for a page's line that nobody types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """Typed at a host, with an exit code. `until`: a pattern of what it shows before it is ended by
    Ctrl-C, for it would go on for ever, or (networks, at the default pace) for half a minute.
    """

    at: str
    text: str
    code: int = 0
    until: str = ""


def desk(text: str, code: int = 0, until: str = "") -> Line:
    return Line("desk", text, code, until)


def mail(text: str, code: int = 0, until: str = "") -> Line:
    return Line("mail", text, code, until)


BACK = desk("mailseal rollback --on ssh://mailhost")
_WATCH_ALL = "mailseal watch -l hosts.txt --every 15m --policy policy.toml --alerts alerts.toml"
_UNITS = "/etc/systemd/system/mailseal-watch"

EXPOSED = (
    desk("mailseal scan mail.example", 1),
    desk("mailseal scan 192.0.2.0/24 --ports pop2,1100-1110 --exclude 192.0.2.1", 130, "EXPOSED"),
    desk("mailseal scan --srv --mx example.org --scope ours.txt", 1),
    desk("mailseal scan --user probe pop2://mail.example", 1),
    desk("mailseal scan --list hosts.txt --ports 109,110", 1),
    desk("mailseal scan --site lab 192.0.2.0/24", 130, "192.0.2.10"),
    desk("mailseal check --policy lab.toml mail.example", 1),
    desk("mailseal runbook freebsd mail.example:109"),
    desk("mailseal logs /var/log/mail.log*", 1),
    desk("mailseal logs /var/log/mail.log /var/log/stunnel4/stunnel.log", 1),
    desk("mailseal logs --follow /var/log/mail.log", 1, "alice"),
    desk("mailseal lint /etc/stunnel/pop2.conf", 1),
    desk("mailseal lint /etc roles playbooks", 1),
    desk("mailseal local ssh://mailhost --format ndjson"),
    desk("mailseal facts ssh://mailhost"),
    desk("mailseal plan --stage offer ssh://mailhost"),
    desk("mailseal plan --strategy retire ssh://mailhost"),
    mail("sudo mailseal facts -o mailhost.json"),
    mail("sudo mailseal local"),
    mail("sudo mailseal local --all"),
    mail("sudo mailseal local --port 2525"),
    mail("sudo mailseal local --look", 1),
    mail("sudo mailseal lint --here /etc/stunnel", 1),
    mail("sudo mailseal wire --interface eth0 --seconds 3600", 1, "alice"),
    desk("mailseal watch mail.example", 0, "drift"),
    desk(_WATCH_ALL, 0, "drift"),
    desk(_WATCH_ALL + " --metrics 127.0.0.1:9109", 0, "drift"),
    desk(
        "mailseal watch mail.example --logs /var/log/mail.log --metrics 127.0.0.1:9109", 0, "drift"
    ),
    desk("mailseal watch mail.example --logs /var/log/mail.log --logs /var/log/syslog", 0, "drift"),
    desk("mailseal watch mail.example --once --textfile /var/lib/node_exporter/mailseal.prom", 1),
    desk(f"mailseal watch --print-unit service > {_UNITS}.service"),
    desk(f"mailseal watch --print-unit once > {_UNITS}-once.service"),
    desk(f"mailseal watch --print-unit timer > {_UNITS}-once.timer"),
    desk("systemctl enable --now mailseal-watch-once.timer"),
    desk("systemctl start mailseal-watch && systemctl is-active mailseal-watch"),
)
"""Before anything is sealed."""

SEALED = (
    mail("sudo mailseal plan mail.example:109 -o plan.json"),
    mail("sudo mailseal apply plan.json", 130, "then keep the change"),
    mail("sudo mailseal confirm 000002-20261120T232859"),
    mail("sudo mailseal runs"),
    mail("sudo mailseal receipts"),
    mail("sudo mailseal receipts --format ndjson > changes.ndjson"),
    mail("sudo mailseal rollback 000002-20261120T232859 --force"),
    mail("ip address add 2001:db8::7/64 dev eth0 nodad"),
    desk("mailseal plan ssh://mailhost -o plan.json"),
    desk("mailseal plan ssh://mailhost --name mail.example -o plan.json --overwrite"),
    desk("mailseal apply plan.json --on ssh://mailhost"),
    desk("scp -q mailhost:/etc/mailseal/ca.crt ca.crt && cp ca.crt ca.pem"),
    desk("mailseal scan --ca ca.pem --name mail.example '[2001:db8::7]:109'"),
    desk("mailseal verify mail.example:109 --ca ca.crt"),
    desk("mailseal verify plan.json --ca ca.crt"),
    desk("mailseal verify 192.0.2.10:109 --name mail.example --ca ca.crt"),
    desk("mailseal verify mail.example:109 --ca ca.crt --on ssh://mailhost --reload"),
    desk("mailseal receipts --on ssh://mailhost --verify"),
    desk("mailseal receipts --on ssh://mailhost --format ndjson > changes.ndjson"),
    BACK,
)
"""POP2 on the mail host, from itself and from afar."""

AGAIN = (
    mail("sudo mailseal seal mail.example:109"),
    mail("sudo mailseal rollback"),
    desk("mailseal seal ssh://mailhost"),
    BACK,
    desk("mailseal seal --stage offer ssh://mailhost"),
    BACK,
)
"""The same in one command, which pages show too: left to script/soak, like what follows."""

BESIDE = (
    Line(
        "outside",
        "mailseal seal ssh://gateway --strategy gateway --backend 192.0.2.5:109 --stage offer"
        " --trust-leg 'a cable between the two'",
    ),
    Line("outside", "mailseal rollback --on ssh://gateway"),
    Line(
        "box",
        "sudo mailseal plan mail.example:143 --except 10.1.2.0/24 --until 2034-03-31 --owner NAME"
        " --reason TEXT",
    ),
    Line("outside", "mailseal verify mail.example:10110 --protocol pop3", 1),
    Line("box", "sudo mailseal seal mail.example:110"),
    Line(
        "outside",
        "mailseal verify mail.example:993 --from ssh://outside --format markdown -o ticket.md",
        1,
    ),
    Line("outside", "mailseal verify mail.example:995 --login alice --password-file alice.txt", 1),
    Line("post", "ip address add 192.0.2.10/32 dev lo"),
    Line("post", "sudo mailseal plan 192.0.2.10:587 --strategy native"),
)
"""Meanwhile, where the mail host's name means one with Dovecot."""

LINES = {line.text for line in (*EXPOSED, *SEALED, *AGAIN, *BESIDE)}

ELSEWHERE: Mapping[str, str] = {
    "sudo mailseal demo": "demo/test_demo.py",
    "sudo mailseal rehearse plan.json": "lab/test_rehearse.py",
    "mailseal rehearse plan.json --on ssh://mailhost": "lab/test_rehearse_ssh.py",
    "export MAILSEAL_KEEP_LOGINS=30": "workflow/test_recording.py",
    "inspec exec profile -t ssh://root@mailhost": "",
    "inspec exec profile -t local:// --input vantage=network authority=ca.crt": "",
}
"""Lines that another test runs, and which; none: InSpec is not to be had here, and the page says
how the profile is checked.
"""
PAGES: Mapping[str, tuple[str, str]] = {
    "keep-personal-data-short": ("mailseal (findings|purge) ", "cli/test_purge.py"),
    "keep-track": ("mailseal findings", "cli/test_findings.py"),
    "report-to-others": ("mailseal report ", "cli/test_report.py"),
    "listen-on-the-wire": ("(tcpdump|sudo mailseal wire) ", "cli/test_wire.py"),
    "what-needs-patching": ("mailseal findings ID ", "lab/test_updates.py"),
}
"""Pages of which another test runs the lines that begin so, and which."""
