"""From a generation to the files of a volume: download tasks, their worker process, the index."""
