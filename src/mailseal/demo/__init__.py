"""`mailseal demo`: mailseal at work on a toy host, and the legacy service that it finds and fixes.

Strategy: `story` tells, `stage` is the network, `toyhost` and `supervisor` are the host; the
programs that run there (`pop2d`, `superserver`, `mailprogram`, `eavesdrop`) are processes of their
own. Nothing here is imported by what changes a real host.
"""
