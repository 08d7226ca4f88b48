"""From packets to logins: what somebody who reads the wire learns, and no more than is needed.

Strategy: five steps, each with one file and no knowledge of the next. `files` walks the records of
a capture and lets go of what cannot be mail without looking at it; `frames` takes a frame apart to
the TCP segment in it; `streams` puts segments in order, both directions by cause and effect;
`observer` hands the octets to the same dialogues that the prober uses, and gives Logins; `live`
is the other source of frames. Nothing of a session is kept longer than it takes to read it.
"""
