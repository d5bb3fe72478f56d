"""S3 servers for tests, the demo and benchmarks; each listens on 127.0.0.1 and needs no root.

`motoserver` is moto, which starts fast and checks no keys. `ceph` is a real server. `front` is a
proxy for either one that counts and delays requests and injects faults.
"""
