"""Looking again and again: when, whom to tell of what, how it gets there, and figures for others.

Strategy: `schedule`, `alerts` and `metrics` are pure machines: moments are handed in. What goes out
(`sinks`) or is asked for (`listener`) has a time limit as a whole; what is remembered (`keep`) is
one file that is there whole or not at all. What a round is, `workflow` says.
"""
