"""Layers that share between tasks, as loops over tasks and experts in NumPy; weights come as `get_weights` gives them."""

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
