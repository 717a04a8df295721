"""Whether a command line asks for the tracebacks of components that fail."""

from __future__ import annotations

import logging

import click

_KEY = "mtkit.traces"


def keep_traces(context: click.Context, _option: click.Parameter, given: bool) -> bool:
    """Notes that tracebacks are to be shown, those of mere warnings too, and returns whether they are."""
    meta = context.find_root().meta
    if given and not meta.get(_KEY):
        meta[_KEY] = True
        logging.basicConfig(format="%(message)s")
        logging.getLogger("mtkit").setLevel(logging.DEBUG)
    return given


def traces_asked(context: click.Context) -> bool:
    """Whether they are to be shown."""
    return bool(context.find_root().meta.get(_KEY))
