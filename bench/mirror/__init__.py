"""The mirror compared with rclone, s5cmd, restic and awscli: complete processes, one server."""
