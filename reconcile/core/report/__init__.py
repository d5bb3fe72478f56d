"""Plans, outcomes, problems and status in every output format: masked, formatted, then escaped.

`view` masks a plan once for all formats; no other module here sees its unmasked values.
"""
