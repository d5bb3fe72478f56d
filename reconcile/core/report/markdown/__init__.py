"""A plan as one comment in GitHub-flavoured Markdown: nothing that is not ours is ever Markdown.

`page` fits everything into the limit; `inline` and `fences` are the only ways in for foreign text.
"""
