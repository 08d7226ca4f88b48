"""The values that pass between the rooms.

Every value is a frozen dataclass, so a room can keep what it was given without asking who else
holds it. Nothing here acts: no file, no socket, no clock. The one piece of behaviour is the codec,
which turns each value into JSON and back, strictly.
"""
