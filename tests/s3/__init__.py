"""S3 servers for tests, the demo and benchmarks; each listens on 127.0.0.1 and needs no root.

`motoserver` is moto, which is fast to start and checks no key. `ceph` is a real server. `front`
stands before either one and counts, delays, fails and lies on demand.
"""
