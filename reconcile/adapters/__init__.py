"""Implementations of the engine's ports, one package per external system.

Errors of libraries are translated here and do not leave these packages.
"""
