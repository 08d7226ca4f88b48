"""A change as a transaction: journaled, proven, undone on any failure.

`journal` is the truth about a run; `operations` knows how to do and undo each op; `executor` runs
them in order and back; `deadman` undoes what nobody confirms; `preflight` refuses what should not
be tried. This room reads plans and never makes one; it is handed its proofs and never looks itself.
"""
