"""The commands of `mtkit`: a module each, whose name is the command's and whose `command` is a click command.

Modules import click and the standard library only; the rest is imported inside the command.
"""
