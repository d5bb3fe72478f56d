"""Runs the containers of a rendered pod as processes of this machine, as a kubelet would.

Each container gets the variables, mounts, user and group that the pod says, and no image: its root
has this machine's programs, read-only. All pods use the pod's own ports on 127.0.0.1, so only one
runs at a time.
"""
