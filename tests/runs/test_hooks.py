import pytest
from toy_components import RECIPE, toy_registry

from mtkit.errors import PluginError, StopRun
from mtkit.hooks import hookimpl
from mtkit.recipe.loader import load_recipe
from mtkit.runs.hooks import forgiving, hook_relay, relay_of


@pytest.fixture
def relay(tmp_path):
    """The hooks of the toy recipe with other values."""
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)

    def relay(*sets):
        recipe = load_recipe(path, sets, registry=toy_registry())
        return recipe, hook_relay(recipe)

    return relay


def test_hooks_act_only_if_the_recipe_names_them(relay):
    recipe, hooks = relay()
    assert hooks.run_start(recipe=recipe, directory=None) == []
    recipe, hooks = relay("hook.tracker.folder=here", "hook.guard={}")
    assert hooks.run_start(recipe=recipe, directory=None) == ["toy to here"]
    assert hooks.epoch_end(phase="valid", epoch=3, metrics={}, directory=None) == [3]


def test_a_hook_may_be_used_twice_under_two_names(relay):
    recipe, hooks = relay("hook.one={use='tracker', folder='a'}", "hook.two={use='tracker', folder='b'}")
    assert sorted(hooks.run_start(recipe=recipe, directory=None)) == ["toy to a", "toy to b"]


class Stopping:
    @hookimpl
    def epoch_end(self, epoch):
        raise StopRun("enough")


class Failing:
    @hookimpl
    def epoch_end(self, epoch):
        return 1 / (epoch - 1)


def test_a_hook_that_fails_is_a_warning_and_the_others_are_called(relay):
    _, hooks = relay("hook.guard={}")
    told, given = [], {"phase": "valid", "epoch": 1, "metrics": {}}
    both = relay_of({"first": Failing(), "guard": hooks.epoch_end.get_hookimpls()[0].plugin})
    assert forgiving(both.epoch_end, told.append, **given) == [1]
    (message,) = told
    assert message.startswith(f"hook.first: hooks {__name__}:Failing failed at test_hooks.py:")
    assert "ZeroDivisionError: division by zero" in message
    assert message.endswith("the run goes on without what it does in epoch_end")
    assert forgiving(both.epoch_end, told.append, **given | {"epoch": 3}) == [3, 0.5]


def test_a_hook_ends_a_run_by_the_error_for_that(relay):
    with pytest.raises(StopRun, match="enough"):
        forgiving(relay_of({"stopping": Stopping()}).epoch_end, print, phase="valid", epoch=1, metrics={})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("idle", r"hook 'idle' \(Idle\) implements none of: epoch_end, report_section, run_end, run_start"),
        ("mistaken", r"hook 'mistaken' \(Mistaken\) is broken: unknown hook 'epoch_ends'"),
    ],
)
def test_a_class_that_is_no_hook_is_refused(relay, name, message):
    with pytest.raises(PluginError, match=message):
        relay(f"hook.{name}={{}}")
