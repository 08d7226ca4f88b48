"""What the operators of a site ask for, read from files: bytes in, values out.

Strategy: one file a kind of policy. Nothing is guessed: an unknown key, a value of the wrong kind
and a rule that nobody could meet are refused by their name.
"""
