"""What happens around a run, for plugins; see `mtkit.runs.hooks`."""

from mtkit.runs.hooks import RunHooks, hookimpl

__all__ = ["RunHooks", "hookimpl"]
