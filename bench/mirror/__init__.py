"""The mirror beside rclone, s5cmd, restic and awscli: whole processes, one server, one run."""
