"""What happens around a run: hooks for trackers, guards, report sections. A hook acts only if the recipe names it.

A plugin is a class with methods named as those of `RunHooks` and marked `@hookimpl`, offered in group `mtkit.hooks`. If
it is an `mtkit.spec.Spec`, the keys of its table are its options.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from mtkit.errors import PluginError

if TYPE_CHECKING:
    from mtkit.recipe.loader import Recipe

_PROJECT = "mtkit"
_hookspec = pluggy.HookspecMarker(_PROJECT)
hookimpl = pluggy.HookimplMarker(_PROJECT)


class RunHooks:
    """The hooks. A method may leave out arguments that it does not need."""

    @_hookspec
    def run_start(self, recipe: Recipe, directory: Path) -> None:
        """Before data are loaded, also when a run is resumed; an exception stops the run."""

    @_hookspec
    def epoch_end(self, phase: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """After each epoch, counted from 1, of phase `valid` or `test`, with its losses and speed."""

    @_hookspec
    def run_end(self, directory: Path, metrics: Mapping[str, Any]) -> None:
        """After the run directory is complete, with the contents of `metrics.json`."""

    @_hookspec
    def report_section(self, directory: Path, metrics: Mapping[str, Any]) -> str:  # type: ignore[empty-body]
        """A section of text for the end of what the run prints."""


def hook_relay(recipe: Recipe) -> pluggy.HookRelay:
    """Calls the hooks of the plugins that the recipe names: `relay.run_start(recipe=..., directory=...)`.

    Raises:
        PluginError: a plugin implements no hook, or one that does not exist, or asks for arguments that it lacks.
    """
    return relay_of(recipe.hook)


def relay_of(plugins: Mapping[str, Any]) -> pluggy.HookRelay:
    """Calls the hooks of some plugins, name -> class or instance; see `hook_relay`."""
    manager = pluggy.PluginManager(_PROJECT)
    manager.add_hookspecs(RunHooks)
    for name, plugin in plugins.items():
        instance = plugin() if isinstance(plugin, type) else plugin
        try:
            manager.register(instance, name)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(f"hook {name!r} ({type(instance).__qualname__}) is broken: {error}") from error
        if not manager.get_hookcallers(instance):
            known = ", ".join(n for n, _ in inspect.getmembers(RunHooks, inspect.isfunction))
            raise PluginError(f"hook {name!r} ({type(instance).__qualname__}) implements none of: {known}")
    return manager.hook
