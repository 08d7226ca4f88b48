#!/bin/bash
# One claim of a mailseal plan, looked at from where this runs, with bash, openssl and what is everywhere.
#
# The claim stands in the environment as OpenSCAP's script check engine (SCE) gives it: XCCDF_VALUE_kind,
# _address, _port, _protocol, _name, _authority, _certificate, _pinned, _path, _group, _listening. The
# result is the exit code that SCE asks for, and a line on stdout that says why. No name of an account
# and no password is sent. What the server says is bounded and made printable before it is shown.
set -u
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

kind=${XCCDF_VALUE_kind-} address=${XCCDF_VALUE_address-} port=${XCCDF_VALUE_port-}
protocol=${XCCDF_VALUE_protocol-} name=${XCCDF_VALUE_name-} authority=${XCCDF_VALUE_authority-}
certificate=${XCCDF_VALUE_certificate-} pinned=${XCCDF_VALUE_pinned-}
path=${XCCDF_VALUE_path-} group=${XCCDF_VALUE_group-} listening=${XCCDF_VALUE_listening-}
export address port protocol
WAIT=2    # seconds for the greeting; a server that stays silent is given more
PATIENT=  # set where that was done
WHOLE=60  # seconds for one connection

plain() { tr -c '[:print:]\n' '?' | cut -c 1-200; }
end() { printf '%s\n' "$2" | plain; exit "$1"; }
pass() { end "${XCCDF_RESULT_PASS:-101}" "pass: $1"; }
fail() { end "${XCCDF_RESULT_FAIL:-102}" "fail: $1"; }
error() { end "${XCCDF_RESULT_ERROR:-103}" "error: $1"; }
unknown() { end "${XCCDF_RESULT_UNKNOWN:-104}" "could not be told: $1"; }
need() {
    command -v "$1" >/dev/null || unknown "there is no $1 here"
}

# -- what a "no" means: the patterns of mailseal's protocols/answers.py and pop2.py, kept the same by a test

PRIVACY='\[?(PRIVACYREQUIRED|ENCRYPT-NEEDED)\b'
PRIVACY+='|\b(plain|clear)[- ]?text\b.{0,48}\b(disallow|disabl|forbid|denied|refus|prohib|not)'
PRIVACY+='|\b(no|disallow|disabl\w*|forbid\w*|denied|refus\w*)\b.{0,48}\b(plain|clear)[- ]?text\b'
PRIVACY+='|\b(STARTTLS|STLS|TLS|SSL|encryption|encrypted|secure|confidential)\b.{0,48}\b(required|needed|first|mandatory|only)\b'
PRIVACY+='|\b(requires?|must|needs?|only|use|issue|without|until|unless|have to)\b.{0,48}\b(STARTTLS|STLS|TLS|SSL|encryption|encrypted|secure|confidential)\b'
PRIVACY+='|\bunder a layer\b|\bdisallowed on non-secure\b|^53[08]\b'
UNAVAILABLE='\b(unknown|unrecogni[sz]ed|unsupported|unimplemented|invalid|illegal|bad|bogus|no such)\b[^,;:]{0,24}\b(command|verb|state|mechanism|method|sequence|auth(entication)? type)\b'
UNAVAILABLE+='|\b(command|mechanism|method|auth(entication)? type)\b[^,;:]{0,24}\b(unknown|unrecogni[sz]ed|unsupported|unimplemented|invalid)\b'
UNAVAILABLE+='|\b(command|mechanism|method|logins?|server|service|authentication)\b[^,;:]{0,24}\b(disabled|not (valid|available|supported|implemented|enabled|advertised|known))'
UNAVAILABLE+='|\bno mechanism available\b'
UNAVAILABLE+='|\bnot (available|supported|implemented|enabled|advertised|recogni[sz]ed)\b'
TRANSIENT='\[(SYS/TEMP|IN-USE|UNAVAILABLE|LIMIT|LOGIN-DELAY|TRYLATER)\b|\bTRYLATER\b'
TRANSIENT+='|\btry (again )?later\b|\btemporar|\btoo many\b|\bqueue full\b|\boverload|\bbusy\b'
TRANSIENT+='|\bserver (shutting|is shutting|going) down\b|\b4\.[0-9]\.[0-9]{1,3}\b|^4[0-9][0-9]\b'
POLICY='disabled|not (allowed|permitted|available|supported)|tls|ssl|plain ?text|clear ?text'
POLICY+='|encrypt|secur'

# -- the careful dialogue, in a shell of its own that ends with its time ---------------------------------

# Prints what was heard: a first word that says what it means, then the server's words. OPENED, SILENT and
# LATE tell of the connection; TAKEN, REFUSED and UNCLEAR of one way to log in.
dialogue() {
    local line= listed=

    hear() {    # the next line, without its end; fails where none comes in time
        IFS= read -r -n 1000 -t "$WAIT" line <&3 || [ -n "$line" ] || return 1
        line=${line%$'\r'}
    }
    say() { printf '%s\r\n' "$1" >&3; }
    told() { printf '%s %s\n' "$1" "$line"; }
    # A no for everybody, whoever asks. "Login failed" is none.
    is_no() (
        shopt -s nocasematch
        [[ $line =~ $PRIVACY || $line =~ $UNAVAILABLE ]]
    )
    not_now() (
        shopt -s nocasematch
        [[ $line =~ $TRANSIENT ]]
    )
    # judge PATTERN-OF-YES: what the answer in $line means to a login command. One that is not known has
    # no mechanisms at all (RFC 5321 4.2.4, RFC 3501 7.1.3).
    judge() {
        if [[ $line =~ $1 ]]; then told TAKEN
        elif not_now; then told UNCLEAR
        elif is_no || [[ $line =~ ^(50[0-4]|534) || ${line^^} =~ ^M[0-9]\ BAD ]]; then told REFUSED
        else told UNCLEAR; fi
    }
    last() {    # PATTERN: the last line of an answer; those before it may list mechanisms
        local count
        for ((count = 0; count < 100; count++)); do
            hear || return 1
            listed+=" ${line^^}"
            [[ ! $line =~ $1 ]] || return 0
        done
        return 1
    }
    # What travels in cleartext: asked for whether it is listed or not, and what is listed besides.
    mechanisms() {
        printf '%s\n' PLAIN LOGIN
        grep -oE '(XOAUTH2?|OAUTHBEARER|PLAIN-CLIENTTOKEN)' <<<"$listed" | sort -u
    }
    # asked COMMAND PATTERN-OF-YES END CANCEL: each mechanism up to its prompt; succeeds where one asks
    asked() {
        local mechanism
        for mechanism in $(mechanisms); do
            say "${1//%/$mechanism}"
            last "$3" || { told UNCLEAR; return 1; }
            judge "$2"
            [[ ! $line =~ $2 ]] || { say "$4"; last "$3"; return 0; }
        done
        return 1
    }

    exec 3<>"/dev/tcp/$address/$port" || return
    echo "OPENED"
    if ! hear; then
        printf 'SILENT\n'
        # An eager client does not wait to be greeted.
        local eager yes
        case $protocol in
            pop2) eager=HELO yes='^[-#]' ;;
            pop3) eager='USER mailseal-nobody' yes='^\+OK' ;;
            imap) eager='m1 AUTHENTICATE PLAIN' yes='^\+' ;;
            smtp) eager='AUTH PLAIN' yes='^334' ;;
            managesieve) eager='AUTHENTICATE "PLAIN"' yes='^("|\{0)' ;;
        esac
        say "$eager"
        [ -n "$PATIENT" ] || WAIT=1
        if ! hear; then return; fi
        if [ -n "$PATIENT" ]; then judge "$yes"
        # A late greeting, or an answer; TLS answers with what is no text.
        elif [[ $line =~ ^[[:print:]] ]]; then told LATE; fi
        return
    fi
    printf 'GREETING %s\n' "$line"
    WAIT=10     # some keep whoever failed before waiting
    case $protocol in
        pop2)
            if [[ $line == -* ]]; then
                if [[ ${line,,} =~ $POLICY ]]; then told REFUSED; else told UNCLEAR; fi
            elif [[ $line == +* ]]; then
                say HELO
                hear || { told UNCLEAR; return; }
                # Its only way to log in is cleartext: whoever answers HELO at all has it.
                if [[ $line == -* && ${line,,} =~ $POLICY ]]; then told REFUSED
                elif [[ $line == [-#]* ]]; then told TAKEN
                else told UNCLEAR; fi
                say QUIT
            else told UNCLEAR; fi ;;
        pop3)
            [[ $line == +OK* ]] || { told UNCLEAR; return; }
            say CAPA
            last '^(\.|-ERR.*)$' || { told UNCLEAR; return; }
            say 'USER mailseal-nobody'
            hear || { told UNCLEAR; return; }
            judge '^\+OK'
            asked 'AUTH %' '^\+( |$)' '' '*'
            say QUIT ;;
        imap)
            [[ ${line^^} == '* OK'* ]] || { told UNCLEAR; return; }
            listed=${line^^}
            say 'm1 CAPABILITY'
            last '^m1 ' || { told UNCLEAR; return; }
            if ! asked 'm2 AUTHENTICATE %' '^\+' '^(m2 |\+)' '*'; then
                # It fails, and some servers let whoever failed wait: only where it is needed.
                say 'm3 LOGIN "" ""'
                last '^m3 ' || { told UNCLEAR; return; }
                if [[ ${line^^} == 'M3 OK'* ]]; then told TAKEN
                elif is_no && ! not_now; then told REFUSED
                elif [[ $listed == *LOGINDISABLED* ]]; then told UNCLEAR
                else told TAKEN; fi
            fi
            say 'm4 LOGOUT' ;;
        smtp)
            [[ $line == 2* ]] || { told UNCLEAR; return; }
            [[ $line != 220-* ]] || last '^220( |$)' || { told UNCLEAR; return; }
            say 'EHLO mailseal.invalid'
            last '^[0-9]{3}( |$)' || { told UNCLEAR; return; }
            asked 'AUTH %' '^334' '^[0-9]{3}( |$)' '*'
            say QUIT ;;
        managesieve)
            listed=${line^^}
            [[ ${line^^} == OK* ]] || last '^[Oo][Kk]' || { told UNCLEAR; return; }
            asked 'AUTHENTICATE "%"' '^("|\{0)' '' '"*"'
            say LOGOUT ;;
        *) told UNCLEAR ;;
    esac
}

# heard: the dialogue's lines in $heard, and in $reach what became of the connection (prove/ says which
# means what): open, closed, filtered or unroutable.
look() {
    local said code
    need timeout
    export WAIT PATIENT
    export PRIVACY UNAVAILABLE TRANSIENT POLICY
    export -f dialogue
    said=$(timeout -k 1 "$WHOLE" "$BASH" -c dialogue 2>&1 </dev/null)
    code=$?
    heard=$(plain <<<"$said")
    if has OPENED; then reach=open
    elif [[ $said =~ Connection\ refused ]]; then reach=closed
    elif [ "$code" = 124 ] || [[ $said =~ (timed\ out|No\ route\ to\ host|ermission\ denied|not\ permitted) ]]
    then reach=filtered
    else reach=unroutable; fi
    greeting=$(sed -n 's/^GREETING //p' <<<"$heard" | head -n 1)
}
of() { sed -n "s/^$1 *//p" <<<"$heard" | head -n 1; }
has() { grep -q "^$1" <<<"$heard"; }
own() { ip -o route get "$address" 2>/dev/null | grep -q '^local'; }

# -- inside TLS ------------------------------------------------------------------------------------------

declare -A STARTTLS=([pop3]=pop3 [imap]=imap [smtp]=smtp [managesieve]=sieve)
declare -A GOODBYE=([pop2]=QUIT [pop3]=QUIT [imap]='m1 LOGOUT' [smtp]=QUIT [managesieve]=LOGOUT)
declare -A SPOKEN=([pop2]='^[-+]' [pop3]='^[-+]' [imap]='^(\*|m1) ' [smtp]='^[245][0-9][0-9]'
    [managesieve]='^("|OK|BYE)')

# tls OPTION...: one TLS connection; what openssl prints. -ign_eof: it ends when the server does.
tls() {
    local at=$address
    [[ $at != *:* ]] || at="[$at]"
    need openssl
    printf '%s\r\n' "${GOODBYE[$protocol]-QUIT}" |
        timeout -k 1 "$WHOLE" openssl s_client -connect "$at:$port" -ign_eof \
            ${starttls[@]+"${starttls[@]}"} "$@" 2>&1 | head -c 100000
}

# through OPTION...: the first line that the protocol may say, heard in TLS; what openssl says in $said.
through() {
    said=$(tls -quiet "$@" | plain)
    inside=$(grep -v -E '^(depth=|verify |Connecting to |CONNECTED)' <<<"$said" |
        grep -m 1 -E "${SPOKEN[$protocol]}")
    [ -n "$inside" ]
}

in_tls() {
    local -a verify=() starttls=()
    local said inside
    known
    if [ "$pinned" != yes ]; then
        verify=(-verify_return_error)
        if [[ $name =~ ^[0-9.]+$|: ]]; then verify+=(-verify_ip "$name")
        elif [ -n "$name" ]; then verify+=(-verify_hostname "$name" -servername "$name"); fi
        [ -r "$authority" ] || authority=${0%/*}/ca.crt
        [ ! -r "$authority" ] || verify+=(-CAfile "$authority")
    fi
    if ! through ${verify[@]+"${verify[@]}"}; then
        [[ $said != *"verify error"* ]] || fail "the certificate does not verify: $(why)"
        look
        reached
        [ "$reach" = open ] || fail "no connection ($reach)"
        [ -n "$greeting" ] || fail "the service does not answer inside TLS: $(why)"
        [ -n "${STARTTLS[$protocol]-}" ] || fail "it greets in cleartext, and has no TLS: $greeting"
        starttls=(-starttls "${STARTTLS[$protocol]}")
        through ${verify[@]+"${verify[@]}"} || fail "the service does not answer inside TLS: $(why)"
    fi
    if [ -r "$certificate" ]; then
        [ "$(tls | print_of)" = "$(print_of <"$certificate")" ] ||
            fail "another certificate is served than that in $certificate"
    fi
    pass "$protocol inside TLS: $inside"
}
why() { grep -m 1 -i error <<<"$said"; }
known() {
    [ -n "${SPOKEN[$protocol]-}" ] || unknown "the protocol ${protocol:-(none)} is not known here"
}
reached() { [ "$reach" != unroutable ] || unknown "there is no way to $address from here"; }
print_of() { openssl x509 -noout -fingerprint -sha256 2>&1; }

# -- the claims ------------------------------------------------------------------------------------------

refused() {
    local -a starttls=()
    known
    look
    reached
    [ "$reach" = open ] || pass "no connection ($reach)"
    if has SILENT; then
        has LATE || [[ $(tls) != *"BEGIN CERTIFICATE"* ]] || pass "only TLS is spoken"
        WAIT=6 PATIENT=yes
        look
    fi
    if has TAKEN; then
        # It takes a client with its own address for secure: a stranger is treated otherwise.
        [[ ${heard,,} != *dovecot* ]] || ! own ||
            unknown "Dovecot trusts its own address: look from another host"
        fail "a login in cleartext is taken: $(of TAKEN)"
    fi
    ! has UNCLEAR || unknown "neither yes nor a no for everybody: $(of UNCLEAR)"
    ! has REFUSED || pass "a login in cleartext is refused: $(of REFUSED)"
    unknown "it said nothing that is known: $greeting"
}

closed() {
    look
    reached
    [ "$reach" != open ] || fail "a connection is accepted: $greeting"
    pass "no connection ($reach)"
}

guarded() {
    local user owner mode
    [ -S "$path" ] || fail "$path is not there, or no socket"
    read -r user owner mode < <(stat -c '%u %G %a' -- "$path")
    [ "$user" = 0 ] && { [ "$owner" = root ] || [ "$owner" = "$group" ]; } && [[ $mode == *0 ]] ||
        fail "$path: mode $mode, owner $user, group $owner"
    pass "$path: mode $mode, owner $user, group $owner"
}

kept() {
    local each there gone=
    need ss
    there=$(ss -Hltn | awk '{ print $4 }' | sed 's/^\*:/[::]:/; s/%[^]:]*//')
    for each in $listening; do
        grep -qxF -- "${each/\%*]/]}" <<<"$there" || gone="$gone $each"
    done
    [ -z "$gone" ] || fail "nothing listens at$gone"
    pass "the other services listen"
}

case $kind in
    cleartext-refused) refused ;;
    service-in-tls) in_tls ;;
    closed) closed ;;
    backend-guarded) guarded ;;
    neighbours-kept) kept ;;
    *) error "this script knows no claim ${kind:-(none)}" ;;
esac
