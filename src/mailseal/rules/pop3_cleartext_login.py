"""POP3 takes a password that crosses the network unencrypted.

Strategy: the verdict is made in `assess`. The rating is that of POP2's rule: whoever can read the
path (AC:H) has the password without asking anybody (PR:N, UI:N), and with it the account. 7.4.
"""

from mailseal.model.finding import Severity
from mailseal.rules.base import PASSWORDS, Rule, taken_in_cleartext

RULE = Rule(
    id="pop3-cleartext-login",
    title="POP3 takes logins in cleartext",
    severity=Severity.HIGH,
    cvss="CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:N",
    cwe=("CWE-319", "CWE-523"),
    standards=(
        *PASSWORDS,
        "RFC 2595 (passwords only behind TLS)",
    ),
    scanners=("Nessus, OpenVAS 15855: POP3 Cleartext Logins Permitted",),
    advice=(
        "Let the daemon of {endpoint} refuse logins before STLS (Dovecot 2.3: "
        "`disable_plaintext_auth = yes`, 2.4: `auth_allow_cleartext = no`; Cyrus: "
        "`allowplaintext: no`). Passwords that have travelled in cleartext must be changed "
        "(RFC 8314 section 3)."
    ),
    check=taken_in_cleartext("pop3"),
)
