"""The only door to the machine.

`base` says what may be asked of a machine; `live` asks the real one, `memory` is a small simulated
host on which every crash point can be tried, `recorded` answers from what another machine said.
`units` and `packages` word the commands for service and package managers, `netns` makes throwaway
network namespaces. No other room opens a file or starts a program on the host.
"""
