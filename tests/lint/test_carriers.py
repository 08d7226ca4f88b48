"""What files carry: each fault stands at its place in the outer file, and is the carried file's."""

import textwrap
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailseal.lint import look
from mailseal.lint.carriers import nodes, sed, shell
from mailseal.lint.traced import whole
from tests.configs.common import files
from tests.lint.test_lint import GUIDE, broken


def found(path: str, text: str) -> list[tuple[str, str]]:
    """Each fault's rule, and what stands at its place up to the end of its line."""
    lines = text.encode().split(b"\n")
    faults = look(path, text.encode()).files[0].faults
    return [
        (each.rule, lines[each.line - 1][each.column - 1 :].decode(errors="replace"))
        for each in faults
    ]


def task(text: str) -> list[tuple[str, str]]:
    return found("roles/mail/tasks/main.yml", textwrap.dedent(text))


def test_a_file_in_a_task_has_the_faults_of_the_file_at_their_places():
    inner = textwrap.indent(GUIDE.decode(), "      ")
    text = f"- copy:\n    dest: /etc/stunnel/pop2.conf\n    content: |\n{inner}"
    outer = look("site.yml", text.encode()).files[0]
    alone = look("/etc/stunnel/pop2.conf", GUIDE).files[0]
    assert [(each.rule, each.line - 3, each.column - 6) for each in outer.faults] == [
        (each.rule, each.line, each.column) for each in alone.faults
    ]
    assert {each.said.partition(": ")[0] for each in outer.faults} == {"in /etc/stunnel/pop2.conf"}
    assert not any(each.fixable for each in outer.faults)


DOVECOT = "dovecot-cleartext-login"
POSTFIX = "postfix-auth-only-off"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            """\
            - name: é
              ansible.builtin.lineinfile: {path: /etc/é/dovecot.conf, line: "é=é"}
            - lineinfile: {path: /e/dovecot.conf, line: 'disable_plaintext_auth = no'}
            """,
            [(DOVECOT, "no'}")],
        ),
        (
            """\
            - lineinfile: dest=/etc/postfix/main.cf line="smtpd_tls_auth_only = no" # x
            """,
            [(POSTFIX, 'no" # x')],
        ),
        (
            """\
            - ansible.builtin.lineinfile:
                path: "{{ item.path }}"
                line: "{{ item['line'] }}"
              loop:
                - {path: /etc/postfix/main.cf, line: "smtpd_tls_auth_only = no"}
                - path: /etc/dovecot/dovecot.conf
                  line: auth_allow_cleartext = yes
            """,
            [(POSTFIX, 'no"}'), (DOVECOT, "yes")],
        ),
        (
            """\
            - lineinfile: {path: /e/dovecot.conf, line: "{{ item }}"}
              with_items: ["auth_allow_cleartext = yes", "x = y"]
            """,
            [(DOVECOT, 'yes", "x = y"]')],
        ),
        (
            """\
            - blockinfile:
                path: /etc/stunnel/stunnel.conf
                block: "[x]\\nclient = yes\\naccept = 109\\n"
            """,
            [("stunnel-client-open", '109\\n"')],
        ),
        ("- lineinfile: {path: /main.cf, line: smtpd_tls_auth_only = no, state: absent}", []),
        ("- block:\n  - rescue:\n    - shell: postconf smtpd_tls_auth_only=no", [(POSTFIX, "no")]),
        ("- command: {cmd: postconf smtpd_tls_auth_only=no}", [(POSTFIX, "no}")]),
        ("- command: postconf -M smtpd_tls_auth_only=no", []),
        ("- copy: {dest: /etc/dovecot/dovecot.conf, content: >-\n    a = b}", []),
        ("- &t\n  shell: postconf smtpd_tls_auth_only=no\n- *t", [(POSTFIX, "no")]),
        ("- copy: [dest, /etc/dovecot/dovecot.conf]", []),
        (
            """\
            - ansible.builtin.replace:
                path: /etc/dovecot/dovecot.conf
                regexp: '^#?disable_plaintext_auth.*'
                replace: 'disable_plaintext_auth = no'
            """,
            [(DOVECOT, "no'")],
        ),
        (r"- replace: {path: /e/dovecot.conf, regexp: a, replace: '\1x = y'}", []),
        (r'- replace: {path: /e/dovecot.conf, regexp: x, replace: "\g<a>x = y"}', []),
        ("- replace: {path: /e/dovecot.conf, regexp: x}", []),
        (
            """\
            - community.general.ini_file:
                path: /etc/stunnel/pop2.conf
                section: pop2
                option: accept
                value: "109"
            """,
            [("stunnel-accept-port-only", '109"')],
        ),
        (
            "- ini_file: {path: /e/dovecot.conf, section: null, option: disable_plaintext_auth, "
            "value: 'no'}",
            [(DOVECOT, "no'}")],
        ),
        ("- ini_file: {path: /e/dovecot.conf, section: a, option: x, state: absent}", []),
        ("- ini_file: {path: /e/dovecot.conf, option: x}", []),
        ("- shell: sed -i 's/a/smtpd_tls_auth_only = no/' /etc/postfix/main.cf",
         [(POSTFIX, "no/' /etc/postfix/main.cf")]),
    ],
)  # fmt: skip
def test_tasks(text: str, faults: list[tuple[str, str]]):
    assert task(text) == faults


def test_of_a_template_what_an_expression_decides_is_not_told():
    assert task(
        """\
        - copy:
            dest: /etc/stunnel/{{ name }}.conf
            content: |
              [{{ name }}]
              accept = {{ address }}:110
              options = {{ option }}
              debug = 7
        """
    ) == [("stunnel-debug", "7")]
    assert broken("x/stunnel.conf.j2", b"client = {{ yes }}\n[a]\ndebug = 7\n") == []
    text = b"{% if x %}\nauth_allow_cleartext = yes\n{% endif %}{# y #}\n"
    assert broken("templates/dovecot.conf.j2", text) == [DOVECOT]
    (open_,) = look("stunnel.conf", b"[a]\naccept = {{ x\n").files
    assert open_.unread == "a template with an expression that does not end"


@pytest.mark.parametrize(
    ("ports", "told"),
    [
        ('"110:110"', 1), ("995:110", 1), ('"110:995"', 0), ("109-110:109-110/tcp", 1),
        ('"110:110/udp"', 0), ('"127.0.0.1:110:110"', 0), ('"[::1]:110:110"', 0),
        ('"${PORT:-110}:110"', 1), ('"${ADDRESS:-::}:110:110"', 0), ("110", 1), ('"25:25"', 0),
        ('"110:${PORT:-110}"', 0), ("{target: 143, published: 143}", 1),
        ("{target: 143, host_ip: 127.0.0.1}", 0), ("{target: 143, protocol: udp}", 0),
        ("[]", 0), ('"0-65535:0-65535"', 1), ('"' + "9" * 5000 + '"', 0),
    ],
)  # fmt: skip
def test_ports_of_a_compose_file(ports: str, told: int):
    text = f"services:\n  mail:\n    ports:\n      - {ports}\n    x: 110-111:\n"
    faults = found("compose.yml", text)
    assert [rule for rule, _ in faults] == ["compose-cleartext-port"] * told
    assert all(ports.removeprefix("{target: ").startswith(rest[:3]) for _, rest in faults)


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ('community.docker.docker_container: {published_ports: ["110:110"]}', 1),
        ('docker_container: {name: x, ports: ["143:143", "127.0.0.1:110:110"]}', 1),
        # One word has one place.
        ("docker_container: {published_ports: '995:995,110:110,143:143'}", 1),
        ("containers.podman.podman_container: {publish: ['110:110']}", 1),
        ("docker_container: {published_ports: all, exposed_ports: [110]}", 0),
        ("docker_container: {published_ports: ['995:995', '{{ port }}:110x']}", 0),
        ("docker_image: {published_ports: ['110:110']}", 0),
    ],
)
def test_ports_of_a_container_that_a_task_starts(task: str, told: int):
    faults = found("tasks/main.yml", f"- name: mail\n  {task}\n")
    assert [rule for rule, _ in faults] == ["compose-cleartext-port"] * told


def test_configurations_of_a_compose_file():
    text = """\
        configs:
          a: {content: "auth_allow_cleartext = yes"}
          b: {file: ./b.conf}
        services:
          mail:
            configs: [b, {source: a, target: /etc/dovecot/dovecot.conf}]
            volumes: ["./c.conf:/etc/stunnel/c.conf:ro", "data:/var"]
        """
    looked = look("compose.yml", textwrap.dedent(text).encode())
    assert [each.rule for each in looked.files[0].faults] == [DOVECOT]
    assert looked.taken == ((("./b.conf",), "/b"), (("./c.conf",), "/etc/stunnel/c.conf"))


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("EXPOSE 110", [("dockerfile-cleartext-port", "110")]),
        ("EXPOSE 993 \\\n  # x\n 100-112/tcp", [("dockerfile-cleartext-port", "100-112/tcp")]),
        ("EXPOSE 110/udp $PORT 1109", []),
        ("expose 143", [("dockerfile-cleartext-port", "143")]),
        (
            "RUN x && \\\n # c\n echo 'auth_allow_cleartext = yes' >> /e/dovecot.conf",
            [(DOVECOT, "yes' >> /e/dovecot.conf")],
        ),
        ("RUN printf 'a\\nauth_allow_cleartext = yes\\n' > /e/dovecot.conf", [(DOVECOT, None)]),
        ("RUN printf '%s\\n' a 'auth_allow_cleartext = yes' > /e/dovecot.conf", [(DOVECOT, None)]),
        ("RUN echo auth_allow_cleartext = yes | sudo tee -a /e/dovecot.conf", [(DOVECOT, None)]),
        ("RUN echo auth_allow_cleartext = yes > /dev/null 2>&1", []),
        (
            "RUN sed -i 's/auth_allow_cleartext = no/auth_allow_cleartext = yes/' "
            "/etc/dovecot/conf.d/10-auth.conf",
            [(DOVECOT, "yes/' /etc/dovecot/conf.d/10-auth.conf")],
        ),
        ("RUN sed -ri.bak -e 's|x|y|;/^#/s,a,auth_allow_cleartext = yes,g' /a /e/dovecot.conf",
         [(DOVECOT, None)]),
        ("RUN sed -i --expression='s#.*#auth_allow_cleartext = yes\\nx = \\/#' /e/dovecot.conf",
         [(DOVECOT, None)]),
        ("RUN sed --in-place 'c\\auth_allow_cleartext = yes' /e/dovecot.conf", [(DOVECOT, None)]),
        ("RUN sed -i '$a auth_allow_cleartext = yes' /e/dovecot.conf", [(DOVECOT, None)]),
        ("RUN sed -i -e '5i\\' -e 'auth_allow_cleartext = yes' /e/dovecot.conf", []),
        ("RUN sed -i 's/.*/&auth_allow_cleartext = yes/' /e/dovecot.conf", []),
        ("RUN sed -i 's/\\(a\\)/\\1auth_allow_cleartext = yes/' /e/dovecot.conf", []),
        ("RUN sed 's/a/auth_allow_cleartext = yes/' /e/dovecot.conf", []),
        ("RUN sed -i 's/a/auth_allow_cleartext = yes' /e/dovecot.conf", []),
        ("RUN sed -i", []),
        ("RUN echo auth_allow_cleartext = yes | grep x > /e/dovecot.conf", []),
        ("RUN <<E cat > /e/dovecot.conf\nauth_allow_cleartext = yes\nE\nX", [(DOVECOT, "yes")]),
        ("RUN cat <<'E' >/e/dovecot.conf\nauth_allow_cleartext = yes\nE", [(DOVECOT, "yes")]),
        ("COPY <<-E /e/dovecot.conf\nauth_allow_cleartext = yes\nE", [(DOVECOT, "yes")]),
        ("COPY <<E /e/dovecot.conf\nauth_allow_cleartext = yes", []),
        (
            "RUN echo '[a]' > /e/stunnel.conf && echo 'debug = 7' >> /e/stunnel.conf",
            [(f"stunnel-{each}", None) for each in ("foreground", "no-certificate", "debug")],
        ),
    ],
)  # fmt: skip
def test_dockerfiles(text: str, faults: list[tuple[str, str | None]]):
    told = found("Dockerfile", f"FROM x\n{text}\n")
    assert [rule for rule, _ in told] == [rule for rule, _ in faults]
    for (_, rest), (_, expected) in zip(told, faults, strict=True):
        assert expected in (None, rest)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("COPY a /etc/stunnel/", [(("a",), "/etc/stunnel/a")]),
        ('ADD --chown=a:b ["x/a", "/etc/b"]', [(("x/a",), "/etc/b")]),
        ("COPY --from=build a b", []),
        ('COPY [1, "', []),
        ("COPY *.conf /etc/", []),
    ],
)
def test_what_a_dockerfile_copies(text: str, taken: list[tuple[tuple[str, ...], str]]):
    assert look("Dockerfile", text.encode()).taken == tuple(taken)


def test_what_a_task_copies_lies_in_its_role():
    (taken,) = look("t.yml", b"- template: {src: a.j2, dest: /etc/stunnel/}").taken
    assert taken == (("../templates/a.j2", "templates/a.j2", "a.j2"), "/etc/stunnel/a")


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        (b"a: [dovecot", "line 2: no YAML: did not find expected ',' or ']'"),
        (b"dovecot: \xff", "line 1: not UTF-8: no YAML"),
        (b"dovecot: \x00", "line 1: no YAML: control characters"),
        (b"# dovecot\n" + b"[" * 100_000, "line 2: no YAML: too deep or too long"),
        (b"# dovecot\n" + b"- " * 100_000, "line 2: no YAML: too deep or too long"),
        (b"dovecot: *x", ""),
        (b"- &a [dovecot, *a]", ""),
        (b"nothing: [", ""),
    ],
)
def test_what_is_no_yaml_is_not_clean_where_it_is_about_mail(text: bytes, unread: str):
    assert look("a.yml", text).files[0].unread == unread


def test_an_alias_multiplies_nothing():
    lines = ["a0: &a0 {shell: postconf smtpd_tls_auth_only=no}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert [rule for rule, _ in found("a.yml", "\n".join(lines))] == [POSTFIX]


@pytest.mark.parametrize("path", ["a.yml", "Dockerfile"])
@given(files)
def test_no_carrier_is_too_hostile(path: str, data: bytes):
    look(path, b"# dovecot 110\n" + data)
    list(shell.carried(whole(data)))


@given(st.lists(st.sampled_from("s/|,;\\&1aic$ {}\n") | st.characters(), max_size=60).map("".join))
def test_no_script_of_sed_is_too_hostile(text: str):
    words = [whole(each) for each in (b"sed", b"-i", text.encode(errors="replace"), b"/x")]
    for path, added in sed.added(words):
        assert path == "/x"
        assert len(added.at) == len(added.data) + 1


def test_a_long_script_of_sed_takes_no_minute():
    began = time.process_time()
    for text in (b"s,;s|;s#;" * 14_000, b"/a" * 60_000, b"s/" + b"\\/" * 60_000, b"1," * 60_000):
        list(sed.added([whole(each) for each in (b"sed", b"-i", text, b"/x")]))
    assert time.process_time() - began < 6


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")))


@given(TEXTS, st.sampled_from("'\""))
def test_a_quoted_word_knows_the_place_of_each_character(text: str, quote: str):
    escaped = (
        text.replace("'", "''") if quote == "'" else text.replace("\\", "\\\\").replace('"', '\\"')
    )
    data = f"- é\n- {quote}{escaped}{quote}\n".encode()
    tree = nodes.read(data)
    if tree.malformed:
        return
    (root,) = tree.roots
    assert isinstance(root, nodes.Sequence)
    word = root.items[1]
    assert isinstance(word, nodes.Scalar)
    traced = tree.source.traced(word)
    for octet, place in zip(traced.data, traced.at, strict=False):
        assert data[place] in (octet, ord("\\")) or chr(octet).isspace() or octet > 127
