"""What happens around a run: hooks for trackers, guards, report sections. A hook acts only if the recipe names it.

A plugin is a class with methods named as those of `RunHooks` and marked `@hookimpl`, offered in group `mtkit.hooks`. If
it is an `mtkit.spec.Spec`, the keys of its table are its options.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from mtkit.errors import PluginError, StopRun
from mtkit.recipe.blame import blamed, trace

if TYPE_CHECKING:
    from mtkit.recipe.loader import Recipe

_PROJECT = "mtkit"
_LOG = logging.getLogger(__name__)
_hookspec = pluggy.HookspecMarker(_PROJECT)
hookimpl = pluggy.HookimplMarker(_PROJECT)


class RunHooks:
    """The hooks. A method may leave out arguments that it does not need."""

    @_hookspec
    def run_start(self, recipe: Recipe, directory: Path) -> None:
        """Before data are loaded, also when a run is resumed; any exception ends the run."""

    @_hookspec
    def epoch_end(self, phase: str, epoch: int, metrics: Mapping[str, float], directory: Path) -> None:
        """After each epoch, counted from 1, of phase `valid` or `test`, with its losses and speed, in the run's directory.

        `mtkit.errors.StopRun` ends the run; another exception is a warning.
        """

    @_hookspec
    def run_end(self, directory: Path, metrics: Mapping[str, Any]) -> None:
        """After the run directory is complete, with the contents of `metrics.json`; exceptions as in `epoch_end`."""

    @_hookspec
    def report_section(self, directory: Path, metrics: Mapping[str, Any]) -> str:  # type: ignore[empty-body]
        """A section of text for the end of what the run prints; exceptions as in `epoch_end`."""


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


def forgiving(caller: Any, warn: Callable[[str], None], **given: Any) -> list[Any]:
    """Calls a hook of each plugin by itself: one that raises is warned of, and the others are called all the same.

    Args:
        caller: of the relay (`relay.epoch_end`).
        warn: is told what a hook raised.
        given: the arguments of the hook.

    Returns:
        What the hooks returned, those of the last registered plugin first, without None.

    Raises:
        StopRun: a hook ends the run.
    """
    found = []
    for hook in reversed(caller.get_hookimpls()):
        try:
            found.append(hook.function(*(given[name] for name in hook.argnames)))
        except StopRun:
            raise
        except Exception as error:  # noqa: BLE001 - foreign code may fail with anything
            told = blamed(("hook", str(hook.plugin_name)), hook.plugin, error)
            _LOG.debug("%s", trace(told))
            warn(f"{told}; the run goes on without what it does in {caller.name}")
    return [value for value in found if value is not None]
