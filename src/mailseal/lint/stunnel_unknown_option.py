"""An option that no stunnel knows.

The table is the manual's of 5.68 and what later versions added; those of Windows are in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailseal.configs import stunnel
from mailseal.lint.base import Hit, Rule
from mailseal.lint.sections import every_option
from mailseal.lint.stunnel_global_in_service import GLOBAL
from mailseal.model.finding import Severity

KNOWN = GLOBAL | frozenset(
    "accept caengine capath cafile castore cert checkemail checkhost checkip ciphers ciphersuites "
    "client config connect crlpath crlfile curve curves debug delay engineid enginenum exec "
    "execargs failover ident include key libwrap local logid ocsp ocspaia ocspflag ocspnonce "
    "ocsprequire options protocol protocolauthentication protocoldomain protocolheader "
    "protocolhost protocolpassword protocolusername pskidentity psksecrets pty redirect "
    "renegotiation requirecert reset retry securitylevel service session sessioncachesize "
    "sessioncachetimeout sessiond sessionresume setgid setuid sni socket sslversion "
    "sslversionmax sslversionmin stack ticketkeysecret ticketmacsecret timeoutbusy timeoutclose "
    "timeoutconnect timeoutidle timeoutocsp transparent verify verifychain verifypeer".split()
)


def check(document: stunnel.Document) -> Iterator[Hit]:
    for option in every_option(document):
        if option.key.text.lower() not in KNOWN:
            said = f"stunnel knows no option {option.key.text!r}"
            yield Hit(option.key.span, said, stops=True)


RULE = Rule(
    id="stunnel-unknown-option",
    title="An unknown option",
    severity=Severity.HIGH,
    kind="stunnel",
    why=(
        "stunnel does not start with an option that it does not know: a misspelt one stops the "
        "whole service."
    ),
    fix="Correct the name, or remove the line. The manual stunnel(8) lists the names.",
    check=check,
)
