"""What a host is.

`gather` takes the facts through a System; `scope` hashes the part of them a plan rests on. Facts
are for planning elsewhere: they hold configuration, never keys, and say what could not be read.
"""
