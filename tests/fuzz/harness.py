"""Coverage-guided fuzzing: `python -m tests.fuzz.harness TARGET [LIBFUZZER OPTION...]`.

Strategy: atheris drives one function a target with any bytes; what it raises is a finding, and so
is what takes long or grows (libFuzzer's -timeout and -rss_limit_mb). The functions hold what
hypothesis holds in the ordinary tests, with a fuzzer's patience: `script/soak` runs each for a
while.
"""

import contextlib
import sys

import atheris

with atheris.instrument_imports(include=["mailseal"]):
    from mailseal import imports, logs
    from mailseal.imports.base import Options, Unreadable
    from mailseal.protocols.base import Credentials, End, Side, Task
    from mailseal.protocols.conversation import DIALOGUES, Conversation
    from tests.capture import make

SECRET = "s3cret-words"


def observer(data: bytes) -> None:
    """Both sides of a connection, as a capture would give them."""
    source = atheris.FuzzedDataProvider(data)
    protocol = source.PickValueInList(list(DIALOGUES))
    session = DIALOGUES[protocol].session(source.ConsumeBool())
    while source.remaining_bytes():
        side = Side.CLIENT if source.ConsumeBool() else Side.SERVER
        if source.ConsumeIntInRange(0, 15):
            session.feed(side, source.ConsumeBytes(source.ConsumeIntInRange(1, 64)))
        else:
            session.lost(side, source.ConsumeIntInRange(0, 64))
    for event in session.logins:
        assert event.reason.isprintable()
        assert event.said.isprintable()


def capture(data: bytes) -> None:
    """A file of any packets: whole ones, with any bytes where there is TCP, and any tail."""
    source = atheris.FuzzedDataProvider(data)
    pieces = []
    while source.remaining_bytes() > 20:
        side = Side.CLIENT if source.ConsumeBool() else Side.SERVER
        numbers = [source.ConsumeIntInRange(0, 300) for _ in range(2)]
        flags = source.PickValueInList([16, 16, 24, 2, 18, 17, 4])
        text = source.ConsumeBytes(source.ConsumeIntInRange(0, 64))
        pieces.append(make.Piece(side, numbers[0], numbers[1], flags, text))
    talk = make.Talk(source.PickValueInList([109, 110, 143, 25, 4190, 7]))
    frames = [talk.packet(piece) for piece in pieces]
    form = source.PickValueInList([make.pcap, make.pcapng])
    tail = source.ConsumeBytes(source.remaining_bytes())
    found = make.heard(form(frames) + tail, (109, 110, 143, 25, 4190))
    for login in found.logins:
        assert repr(login).isprintable()


def prober(data: bytes) -> None:
    """A server that says anything to our client."""
    source = atheris.FuzzedDataProvider(data)
    protocol = source.PickValueInList([None, *DIALOGUES])
    mechanisms = [way for dialogue in DIALOGUES.values() for way in dialogue.mechanisms]
    login = Credentials("somebody", SECRET) if source.ConsumeBool() else None
    task = Task(
        mechanisms=(source.PickValueInList(mechanisms),) if login else (),
        login=login,
        upgrade=source.ConsumeBool(),
        inside=protocol is not None,
    )
    conversation = Conversation(task, protocol)
    conversation.take()
    while source.remaining_bytes() and not conversation.done:
        conversation.receive(source.ConsumeBytes(source.ConsumeIntInRange(1, 64)))
        conversation.take()
    conversation.end(End("eof", "the server closed the connection"))
    shown = repr(conversation.transcript) + repr(conversation.logins)
    assert SECRET not in shown


def importer(data: bytes) -> None:
    """A report of any bytes, in any cut."""
    source = atheris.FuzzedDataProvider(data)
    size = source.ConsumeIntInRange(1, 4096)
    text = source.ConsumeBytes(source.remaining_bytes())
    form = imports.FORMATS[size % len(imports.FORMATS)]
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    with contextlib.suppress(Unreadable):
        for _ in imports.read(chunks, Options(), form.name):
            pass


def reader(data: bytes) -> None:
    """A log of any bytes, in any cut."""
    source = atheris.FuzzedDataProvider(data)
    size = source.ConsumeIntInRange(1, 4096)
    text = source.ConsumeBytes(source.remaining_bytes())
    log = logs.Reader(logs.Options(), logs.Fronts())
    log.begin(1.8e9)
    for at in range(0, len(text), size):
        log.feed(text[at : at + size])
    log.end()
    for seen in log.drain(True):
        assert seen.client.isprintable()


TARGETS = {
    "capture": capture,
    "observer": observer,
    "prober": prober,
    "importer": importer,
    "reader": reader,
}


def main() -> None:
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
