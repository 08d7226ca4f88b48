"""POP2 takes a password that crosses the network unencrypted.

Strategy: the verdict is made in `assess`; this rule only gives it a name, a rating and a way out.
The rating: whoever can read the path (AC:H) gets the password without asking anybody (PR:N, and
UI:N because mail programs log in by themselves), reads the mail (C:H) and deletes it (I:H). 7.4.
"""

from mailseal.model.finding import Severity
from mailseal.rules.base import Rule, taken_in_cleartext

RULE = Rule(
    id="pop2-cleartext-login",
    title="POP2 takes logins in cleartext",
    severity=Severity.HIGH,
    cvss="CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:N",
    cwe=("CWE-319", "CWE-523"),
    standards=(
        "RFC 8314 (cleartext is obsolete for mail access)",
        "RFC 937 and RFC 1081 (POP2 has been historic since POP3)",
        "PCI DSS 4.0 requirements 4 and 8",
        "NIST SP 800-53 SC-8, IA-5",
    ),
    scanners=("Nessus, OpenVAS 15854: POP2 Cleartext Logins Permitted", "34896: the same"),
    advice=(
        "On the mail host, `mailseal plan {endpoint} -o plan.json` shows the fix and changes "
        "nothing. Passwords that have travelled in cleartext must be changed (RFC 8314 section 3)."
    ),
    check=taken_in_cleartext("pop2"),
)
