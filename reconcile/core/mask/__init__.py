"""Secrets out of everything that is shown: pure, linear in the input, wrong only towards hiding.

`masker` is the door; `names` knows secret names, `tokens`, `shapes` and `assignments` find secrets
in free text, `places` says what a path leads to, `walk` visits an object's leaves, `vault` numbers
and remembers values.
"""
