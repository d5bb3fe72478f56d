"""The program `reconcile-mirror`: keeps one workspace and one S3 prefix equal.

The modules directly in this package are shared by its commands. The package imports nothing of the
reconciler, and knows neither session files nor the cluster.
"""
