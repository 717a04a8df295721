"""The few collective operations that make one replica and many train the same, for layers of one's own."""

from mtkit.runtime.collectives import gather_rolled, global_sum, replicas

__all__ = ["gather_rolled", "global_sum", "replicas"]
