"""Firewalls, each by its own commands: what a plan asks of one that is not ours to change.

Strategy: the words of every firewall's own tool, to be typed as they are, with what keeps them over
a reboot. Nothing here changes anything.
"""
