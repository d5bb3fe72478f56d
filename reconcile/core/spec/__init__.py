"""The files of the desired state: tables of fields drive validation, merging and JSON Schema.

No message repeats a value from a file, since any value may turn out to be a secret.
"""
