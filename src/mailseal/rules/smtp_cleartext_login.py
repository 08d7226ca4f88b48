"""SMTP AUTH takes a password that crosses the network unencrypted.

Strategy: the verdict is made in `assess`. The rating is that of POP2's rule: whoever can read the
path (AC:H) has the password without asking anybody (PR:N, UI:N), and with it the account. 7.4.
"""

from mailseal.model.finding import Severity
from mailseal.rules.base import PASSWORDS, Rule, taken_in_cleartext

RULE = Rule(
    id="smtp-cleartext-login",
    title="SMTP takes logins in cleartext",
    severity=Severity.HIGH,
    cvss="CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:N",
    cwe=("CWE-319", "CWE-523"),
    standards=(
        *PASSWORDS,
        "RFC 4954 section 4 (PLAIN only inside TLS)",
    ),
    scanners=("Nessus 54582: SMTP Service Cleartext Login Permitted",),
    advice=(
        "Let the server at {endpoint} take AUTH inside TLS alone (Postfix: "
        "`smtpd_tls_auth_only = yes`; Exim: `auth_advertise_hosts` empty unless "
        "`$tls_in_cipher` is set). Passwords that have travelled in cleartext must be changed "
        "(RFC 8314 section 3)."
    ),
    check=taken_in_cleartext("smtp"),
)
