"""Plans, outcomes, problems and status as text and JSON: masked first, then worded, then escaped.

`view` masks a plan once for every format; nothing else here sees an unmasked value.
"""
