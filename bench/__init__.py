"""Each figure beside its peers in one run, on this machine: `python -m bench [NAME...]`.

A bench is a module with `run(rounds) -> Table` and one line in `__main__`. Figures of other days
and machines are not compared; contestants take turns within a round, and medians are told.
"""
