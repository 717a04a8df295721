from mtkit.model.private_parts import private_weights


def names(pipeline, task):
    model = pipeline.model
    ways = {id(w): ("head", name) for name, layer in model.heads.items() for w in layer.weights}
    ways |= {id(w): ("encoder", name) for name, layer in model.encoders.items() for w in layer.weights}
    ways |= {
        id(w): (c, name) for c, by in model.correlations.items() for name, layer in by.items() for w in layer.weights
    }
    return {ways[id(weight)] for weight in private_weights(model, task)}


def test_what_no_other_task_reads_is_a_tasks_own(tiny_pipeline):
    assert names(tiny_pipeline, "next") == {("head", "next")}
    assert names(tiny_pipeline, "discounted") == {("head", "discounted")}
    assert names(tiny_pipeline, "gift") == {("head", "gift"), ("encoder", "visit"), ("experts", "visit")}
    assert names(tiny_pipeline, "department") == set(), "`gift` reads what it predicts"
