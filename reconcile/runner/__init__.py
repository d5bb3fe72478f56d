"""The program `reconcile-runner`: `prepare` and `bridge`, which run next to the agent in its pod.

Code for the platform's runner and its AG-UI server belongs here. The package imports neither the
reconciler nor the mirror: its settings are options and variables, its input is the mounted inputs
ConfigMap, its output the workspace, probes and a termination message.
"""
