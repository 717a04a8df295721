from mtkit.backend import tf
from mtkit.runtime.part_scopes import computing


def test_the_innermost_part_has_what_is_computed():
    with tf.Graph().as_default() as graph:
        for _ in range(2):
            with tf.name_scope("around"), computing("task.next"), computing("encoder.past"):
                tf.constant(1, name="one")
        with computing("task.next"):
            tf.constant(2, name="two")
    assert [of.name for of in graph.get_operations()] == [
        "mtkit.encoder.past/one",
        "mtkit.encoder.past/one_1",
        "mtkit.task.next/two",
    ]
