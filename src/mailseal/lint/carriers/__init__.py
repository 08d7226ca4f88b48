"""Files that carry other files in them: Ansible and compose files, Dockerfiles, scripts of a shell.

Strategy: each reader gives a `Carrier`: the ports it opens, the texts it carries with the name of
the file that each becomes, and the files it takes from beside itself. What is carried is then
linted as the file it becomes, with its places out here. Values that a program works out are not
known, and nothing is said of them.
"""
