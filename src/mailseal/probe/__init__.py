"""Looks at services: the only room besides `capture` that touches the network.

`look` is the strategy (which connections one look needs, and what they add up to), written as a
generator without a socket; `blocking` and `loop` drive it, one endpoint at a time for the agent, or
thousands at once. `tls` reads handshakes, `targets` turns words into endpoints.
"""
