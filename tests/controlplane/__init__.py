"""A real Kubernetes API server for tests, the demo and benchmarks, built from Debian packages.

`build` finds or builds the binaries, `server` runs them for the duration of a `with` block,
`faults` runs a proxy for the server that injects faults. Everything listens on 127.0.0.1 on ports
below 32768, needs no root, and stops at the end of its block.

Several processes can share one server: the one that entered `server.running(state)` owns it. Any
other process calls `ControlPlane.attach(state)` with the same folder as soon as
`state/controlplane.json` exists (it is written atomically when the server is ready, and removed at
the end of the block).
"""
