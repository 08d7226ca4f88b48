"""ManageSieve takes a password that crosses the network unencrypted.

Strategy: the verdict is made in `assess`. The rating is that of POP2's rule: whoever can read the
path (AC:H) has the password without asking anybody (PR:N, UI:N), and with it the account. 7.4.
"""

from mailseal.model.finding import Severity
from mailseal.rules.base import PASSWORDS, Rule, taken_in_cleartext

RULE = Rule(
    id="managesieve-cleartext-login",
    title="ManageSieve takes logins in cleartext",
    severity=Severity.HIGH,
    cvss="CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:N",
    cwe=("CWE-319", "CWE-523"),
    standards=(
        *PASSWORDS,
        "RFC 5804 section 2.1 (PLAIN only inside TLS)",
    ),
    scanners=(),
    advice=(
        "Let the daemon of {endpoint} refuse logins before STARTTLS, as its IMAP service does "
        "(Dovecot 2.3: `disable_plaintext_auth = yes`, 2.4: `auth_allow_cleartext = no`). "
        "Passwords that have travelled in cleartext must be changed (RFC 8314 section 3)."
    ),
    check=taken_in_cleartext("managesieve"),
)
