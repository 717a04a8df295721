"""Layers that share between tasks, as loops over tasks and experts in NumPy; weights come as `get_weights` gives them."""

from itertools import pairwise

import numpy as np


def relu(x):
    return np.maximum(x, 0)


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def network(x, weights, number):
    """Network `number` of several side by side, whose kernels and biases come in turn."""
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        x = relu(x @ kernel[:, number] + bias[number])
    return x


def by_task(inputs, tasks):
    return [inputs] * tasks if inputs.ndim == 2 else [inputs[:, task] for task in range(tasks)]


def shared_bottom(inputs, weights):
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        inputs = relu(inputs @ kernel + bias)
    return inputs


def mmoe(inputs, weights, tasks, experts):
    """Ma et al., equations 6 and 7."""
    gate_kernel, gate_bias, *networks = weights
    states = []
    for task, x in enumerate(by_task(inputs, tasks)):
        columns = slice(task * experts, (task + 1) * experts)
        gate = softmax(x @ gate_kernel[:, columns] + gate_bias[columns])
        states.append(sum(gate[:, [e]] * network(x, networks, e) for e in range(experts)))
    return np.stack(states, 1)


def cross_stitch(inputs, weights, tasks, layers):
    """Misra et al., equation 1."""
    shares, networks = weights[:layers], weights[layers:]
    states = by_task(inputs, tasks)
    for layer in range(layers):
        kernel, bias = networks[2 * layer : 2 * layer + 2]
        given = [relu(x @ kernel[:, task] + bias[task]) for task, x in enumerate(states)]
        states = [sum(shares[layer][a, b] * given[b] for b in range(tasks)) for a in range(tasks)]
    return np.stack(states, 1)


def ple(inputs, weights, tasks, own, shared, depth, levels):
    """Tang et al., equations 1 to 3 and 5."""
    weights, states = list(weights), by_task(inputs, tasks)
    common = inputs if inputs.ndim == 2 else inputs.mean(1)
    for level in range(levels):
        gates = weights.pop(0)
        common_gate = np.concatenate([weights.pop(0), weights.pop(0)], 1) if level < levels - 1 else None
        own_networks, shared_networks = weights[: 2 * depth], weights[2 * depth : 4 * depth]
        del weights[: 4 * depth]
        of_task = [[network(x, own_networks, t * own + e) for e in range(own)] for t, x in enumerate(states)]
        of_all = [network(common, shared_networks, e) for e in range(shared)]
        mixed = []
        for task, x in enumerate(states):
            gate = softmax(x @ gates[:, task])
            mixed.append(sum(gate[:, [i]] * expert for i, expert in enumerate(of_task[task] + of_all)))
        if common_gate is not None:
            every = [expert for experts in of_task for expert in experts] + of_all
            gate = softmax(common @ common_gate)
            common = sum(gate[:, [i]] * expert for i, expert in enumerate(every))
        states = mixed
    assert not weights
    return np.stack(states, 1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def task_attention(inputs, weights, tasks, heads):
    """Vaswani et al., equation 1, for each row, head and task."""
    if inputs.ndim == 2:
        vectors, *weights = weights
        inputs = inputs[:, None] + vectors
    asked, mixed = weights
    dim = inputs.shape[-1]
    size = dim // heads
    outputs = np.empty_like(inputs)
    for row, states in enumerate(inputs):
        query, key, value = states @ asked[:, :dim], states @ asked[:, dim : 2 * dim], states @ asked[:, 2 * dim :]
        for task in range(tasks):
            found = np.empty(dim)
            for head in range(heads):
                own = slice(head * size, (head + 1) * size)
                found[own] = softmax(key[:, own] @ query[task, own] / np.sqrt(size)) @ value[:, own]
            outputs[row, task] = states[task] + found @ mixed
    return outputs


def aitm(inputs, weights, tasks, order):
    """Xi et al.: the AIT module, along an order of task numbers."""
    handing, handing_bias, attention, *networks = weights
    own = [network(x, networks, task) for task, x in enumerate(by_task(inputs, tasks))]
    states = list(own)
    for step, (before, task) in enumerate(pairwise(order)):
        handed_on = relu(states[before] @ handing[:, step] + handing_bias[step])
        scores, values = [], []
        for u in (handed_on, own[task]):
            value, key, query = (u @ attention[:, part] for part in range(3))
            scores.append((key * query).sum(-1) / np.sqrt(u.shape[-1]))
            values.append(value)
        shares = softmax(np.stack(scores, -1))
        states[task] = shares[:, :1] * values[0] + shares[:, 1:] * values[1]
    return np.stack(states, 1)


def stem(inputs, weights, tasks, own, experts, shared, depth):
    """Su et al.: gates over the experts of all tasks and the shared ones; embeddings have the parts of tasks at their end."""
    gate_of_own, gate_of_shared, *weights = weights
    embeddings = inputs if isinstance(inputs, list) else [inputs]
    common = np.concatenate([e[:, : e.shape[1] - tasks * own] for e in embeddings], 1)
    of_task = []
    for task in range(tasks):
        begins = [e.shape[1] - (tasks - task) * own for e in embeddings]
        of_task.append(np.concatenate([e[:, b : b + own] for e, b in zip(embeddings, begins, strict=True)], 1))
    own_networks, shared_networks = weights[: 2 * depth], weights[2 * depth :]
    outputs = [network(of_task[n // experts], own_networks, n) for n in range(tasks * experts)]
    outputs += [network(common, shared_networks, n) for n in range(shared)]
    states = []
    for task in range(tasks):
        seen = np.concatenate([of_task[task], common], 1)
        shares = softmax(seen @ np.concatenate([gate_of_own[:, task], gate_of_shared[:, task]], 1))
        states.append(sum(shares[:, [n]] * output for n, output in enumerate(outputs)))
    return np.stack(states, 1)


def pepnet(inputs, weights, tasks, domain, personal, depth):
    """Chang et al.: EPNet, and PPNet on each layer of each task; `weights` by name."""
    others = np.concatenate([x for place, x in enumerate(inputs) if place not in domain], -1)
    seen = np.concatenate([*(inputs[place] for place in domain), others], -1)
    hidden = relu(seen @ weights["of_domain/kernel"] + weights["of_domain/bias"])
    gated = 2 * sigmoid(hidden @ weights["gate/kernel"] + weights["gate/bias"]) * others
    who = np.concatenate([*(inputs[place] for place in personal), gated], -1)
    states = by_task(gated, tasks)
    for layer in range(depth):
        hidden = by_task(relu(who @ weights[f"hidden_{layer}/kernel"] + weights[f"hidden_{layer}/bias"]), tasks)
        for task, state in enumerate(states):
            kernels, biases = weights[f"layer_{layer}/kernel"], weights[f"layer_{layer}/bias"]
            gates, offsets = weights[f"gates_{layer}/kernel"], weights[f"gates_{layer}/bias"]
            gate = 2 * sigmoid(hidden[task] @ gates[:, task] + offsets[task])
            states[task] = gate * relu(state @ kernels[:, task] + biases[task])
    return np.stack(states, 1)


def star(inputs, scenarios, weights, depth):
    """Sheng et al., row by row, with layer normalization; `weights` by name."""
    outputs = []
    for row, scenario in zip(inputs, scenarios, strict=True):
        normal = (row - row.mean(-1, keepdims=True)) / np.sqrt(row.var(-1, keepdims=True) + 1e-3)
        scale, offset = weights["scale"] * weights["scales"][scenario], weights["offset"] + weights["offsets"][scenario]
        state = seen = normal * scale + offset
        for layer in range(depth):
            kernel = weights[f"kernel_{layer}"] * weights[f"kernels_{layer}"][:, scenario]
            state = relu(state @ kernel + weights[f"bias_{layer}"] + weights[f"biases_{layer}"][scenario])
        own = np.broadcast_to(weights["embeddings"][scenario], (*seen.shape[:-1], weights["embeddings"].shape[1]))
        beside = relu(np.concatenate([seen, own], -1) @ weights["auxiliary/kernel"] + weights["auxiliary/bias"])
        outputs.append(np.concatenate([state, beside], -1))
    return np.stack(outputs)


def named(layer, weights):
    """The end of each weight's name -> the weight."""
    names = [weight.name.removesuffix(":0").removeprefix(f"{layer.name}/") for weight in layer.weights]
    return dict(zip(names, weights, strict=True))


def numbers(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def built(layer, shape):
    """The layer, with weights for inputs of a shape."""
    layer(np.zeros(shape, np.float32))
    return layer


def gradients(layer, shape, task):
    """Variable's name -> its gradient by the loss of one task, zeros where there is none."""
    from mtkit.backend import tf
    from mtkit.layers.task_states import task_states

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(task_states(layer(numbers(shape))).own[:, task]))
    found = tape.gradient(loss, layer.trainable_variables, unconnected_gradients="zero")
    return {v.name: np.asarray(g) for v, g in zip(layer.trainable_variables, found, strict=True)}
