"""What travels on the wire, without any wire: bytes in, events out.

`pop2` is the pattern: one file a protocol, with a table to hold beside the RFC, a `Session` that
reads both sides of a dialogue, and the careful client that says what to ask next. `conversation`
joins the two for the prober; an observer of captures feeds the same `Session`. Nothing here knows
a socket or a clock.
"""
