"""What TorchJD makes of the Jacobians that torchjd_check.py wrote; in an environment of its own, `make torchjd`.

    python bench/torchjd_peer.py JACOBIANS.npz RESULTS.npz

Results are arrays by METHOD/NUMBER: the sum of the gradients, and what was drawn: orders/NUMBER, uniform/NUMBER. Those of CAGrad
and Nash-MTL are of the Jacobian divided by its Frobenius norm.
"""

import sys
import warnings

import numpy as np
import torch
from torchjd.aggregation import IMTLG, MGDA, Aggregator, AlignedMTL, CAGrad, ConFIG, GradDrop, NashMTL, PCGrad, UPGrad
from torchjd.linalg import QuadprogProjector

#: TorchJD takes Jacobians for 0 whose squared size is below 1e-4, so UPGrad's has no such bound, and those whose methods have
#: nothing to set for it are of size 1 here. UPGrad's regularization, by the squared size, would let conflicts of the shortest
#: gradients pass with TorchJD's 1e-4. Iterations have more time than by default (100), or in the published code (20).
NORM_EPS, REG_EPS = 0.0, 1e-13
MGDA_EPSILON, MGDA_STEPS, NASH_STEPS = 1e-7, 1000, 100
RADIUS = 0.4


def methods(tasks: int) -> dict[str, tuple[Aggregator, bool]]:
    """TorchJD's aggregators by name, and whether they are given Jacobians of size 1."""
    return {
        "pcgrad": (PCGrad(), False),
        "grad_drop": (GradDrop(leak=torch.linspace(0, 0.5, tasks, dtype=torch.float64)), False),
        "imtl_g": (IMTLG(), False),
        "aligned_mtl": (AlignedMTL(), False),
        "config": (ConFIG(), False),
        "upgrad": (UPGrad(projector=QuadprogProjector(norm_eps=NORM_EPS, reg_eps=REG_EPS)), False),
        "mgda": (MGDA(epsilon=MGDA_EPSILON, max_iters=MGDA_STEPS), False),
        "cagrad": (CAGrad(c=RADIUS), True),
        "nash_mtl": (NashMTL(n_tasks=tasks, max_norm=0.0, update_weights_every=1, optim_niter=NASH_STEPS), True),
    }


def drawn(jacobian: torch.Tensor, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What PCGrad and GradDrop draw after torch.manual_seed(seed): an order for each task, and a number for each element."""
    tasks, width = jacobian.shape
    torch.manual_seed(seed)
    orders = torch.stack([torch.randperm(tasks) for _ in range(tasks)])
    torch.manual_seed(seed)
    return orders.numpy(), torch.rand(width, dtype=torch.float64).numpy()


def sums(jacobian: torch.Tensor, seed: int) -> dict[str, np.ndarray]:
    """The sum of the gradients by method; nan where TorchJD has none."""
    found = {}
    for method, (aggregator, of_size_1) in methods(len(jacobian)).items():
        torch.manual_seed(seed)
        try:
            found[method] = aggregator(jacobian / jacobian.norm() if of_size_1 else jacobian).numpy()
        except (ValueError, RuntimeError) as error:
            print(f"{method}/{seed}: {error}", file=sys.stderr)
            found[method] = np.full(jacobian.shape[1], np.nan)
    return found


def main() -> None:
    source, target = sys.argv[1:]
    warnings.simplefilter("ignore")
    results = {}
    with np.load(source) as jacobians:
        for name in jacobians:
            jacobian = torch.from_numpy(jacobians[name])
            results[f"orders/{name}"], results[f"uniform/{name}"] = drawn(jacobian, int(name))
            results |= {f"{method}/{name}": values for method, values in sums(jacobian, int(name)).items()}
    np.savez(target, **results)


if __name__ == "__main__":
    main()
