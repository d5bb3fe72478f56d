"""Masks secrets in all output: pure, linear in the input; in doubt, a value is masked.

`masker` is the entry point. `known_secrets` recognises secret names and known values, `patterns`
and `text` find secrets in free text, `objects` finds them in Kubernetes objects.
"""
