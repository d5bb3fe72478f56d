"""A double of the platform's runner, started as `python -m tests.runner.double`.

It has the routes, answers, files, timing and shutdown of the real one, as far as a program next to
it can notice them, and the suite in `tests/runner/contract` judges both. It is configured by the
variables of a runner's container alone; variables that begin with `DOUBLE_` shorten its waits or
make it misbehave (`settings.py` lists them).
"""
