"""A real Kubernetes API server for tests, the demo and benchmarks, from nothing but Debian.

`build` finds or makes the binaries, `server` runs them for as long as a `with` block lasts,
`faults` puts a front before the server that fails on demand. Everything listens on 127.0.0.1 on
ports below 32768, needs no root, and is gone when its block ends.

Several processes can share one server: the one that entered `server.running(state)` owns it; any
other calls `ControlPlane.attach(state)` with the same folder as soon as `state/controlplane.json`
exists (it is written, all at once, when the server is ready, and removed when the block ends).
"""
