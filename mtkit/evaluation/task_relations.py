"""What tasks gain or lose by one another: differences of fits over seeds and users, and what follows; no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mtkit.evaluation.significance import LEVEL, POWER, holm
from mtkit.evaluation.user_sums import UserSums

Word = Literal["keep", "re-weight", "train apart"]

DOMINATED = 0.1
"""Of the largest norm of a task's gradient: a task below it hardly moves what it shares."""

OPPOSED = -0.05
"""A mean cosine that is nearer to 0 is no conflict, however certain it is."""

_FEW = 3
"""Fewer seeds than these tell nothing of one another."""


@dataclass(frozen=True)
class Spread:
    """A variance, as it is estimated.

    Attributes:
        variance: of a mean.
        freedom: degrees of freedom of the estimate; 0 = there is none.
    """

    variance: float = 0.0
    freedom: float = 0.0


_NO_SPREAD = Spread()


def spread_of_fits(figures: Sequence[Sequence[float]]) -> Spread:
    """How much the mean difference of two fits varies with their seeds, by all fits that have the figure.

    Few seeds tell little of one difference. Chance of training is taken to be alike in all fits of a figure, so that F fits of S
    seeds have F (S - 1) degrees of freedom, as in an analysis of variance.

    Args:
        figures: of each fit, by seed.
    """
    seeds = len(figures[0])
    if seeds < 2:
        return _NO_SPREAD
    return Spread(2 * float(np.var(figures, axis=1, ddof=1).mean()) / seeds, len(figures) * (seeds - 1.0))


@dataclass(frozen=True)
class Gain:
    """By how much a figure is better in some fits than in others, of the same seeds on the same rows; more is better.

    Attributes:
        values: float64 `[seeds]`.
        users: `[users]`, distinct names; empty where users add nothing to the figure that is known.
        parts: float64 `[seeds, users]`: what each user adds to the value of a seed, less the mean; each row sums to 0.
        fits: how the mean varies with the seeds of fits.
    """

    values: np.ndarray
    users: np.ndarray
    parts: np.ndarray
    fits: Spread = _NO_SPREAD

    def scaled(self, factor: float) -> Gain:
        """The gain in other units."""
        fits = Spread(self.fits.variance * factor**2, self.fits.freedom)
        return Gain(self.values * factor, self.users, self.parts * factor, fits)

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(self.values.mean())

    def error(self) -> tuple[float, float]:
        """The standard error of the mean, and its degrees of freedom; nan where one seed and no user tell nothing of it.

        The sum of two variances of the mean, for each seed meets each user: over users, and over seeds, which is the larger of
        that of the gain itself and that of all fits (`Spread`). What both have in common counts twice, so intervals are rather
        too wide. Degrees of freedom by Satterthwaite (1946). Of one seed users alone are drawn, and it says nothing of others.
        """
        seeds, users = self.parts.shape
        of_users = float((self.parts.mean(0) ** 2).sum()) * users / (users - 1) if users > 1 else 0.0
        of_seeds = max(float(self.values.var(ddof=1)) / seeds, self.fits.variance) if seeds > 1 else 0.0
        if seeds < 2 and users < 2:
            return np.nan, np.nan
        freedoms = (users - 1, max(self.fits.freedom, seeds - 1))
        return float(np.sqrt(of_users + of_seeds)), _freedom((of_users, of_seeds), freedoms)


def _freedom(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """Degrees of freedom of a sum of variances, by Satterthwaite."""
    below = sum(v**2 / f for v, f in zip(variances, freedoms, strict=True) if v and f > 0)
    return sum(variances) ** 2 / below if below else np.inf


def gain_of(
    first: Sequence[UserSums], second: Sequence[UserSums], label: str, *, lower: bool, fits: Spread = _NO_SPREAD
) -> Gain:
    """The gain of the second over the first, by what users add to a ratio of sums (Deng et al., 2018).

    Args:
        first: sums of each seed.
        second: sums of the same seeds, over the same users.
        label: `metric[@k]`.
        lower: whether less of the metric is better.
        fits: how the mean varies with the seeds of fits.
    """
    sign, values, parts = -1.0 if lower else 1.0, [], []
    for one, two in zip(first, second, strict=True):
        (value, influence), (other, of_other) = _ratio(one, label), _ratio(two, label)
        values.append(sign * (other - value))
        parts.append(sign * (of_other - influence) / len(influence))
    users = np.array([f"{first[0].entity} {user}" for user in first[0].users], object)
    return Gain(np.array(values), users, np.array(parts), fits)


def gain_of_values(first: Sequence[float], second: Sequence[float], *, lower: bool, fits: Spread = _NO_SPREAD) -> Gain:
    """The gain of figures that have no sums by user: seeds alone tell how certain it is."""
    values = (np.array(second) - np.array(first)) * (-1.0 if lower else 1.0)
    return Gain(values, np.empty(0, object), np.zeros((len(values), 0)), fits)


def _ratio(sums: UserSums, label: str) -> tuple[float, np.ndarray]:
    """A metric, and the influence of each user on it, of mean 0."""
    total, weight = sums.totals[label], sums.weights[label]
    value = total.sum() / weight.sum()
    return float(value), (total - value * weight) / weight.mean()


def mean_gain(gains: Sequence[Gain]) -> Gain:
    """The mean of gains of the same seeds, in which users who are in several are one."""
    users = np.array(sorted({user for gain in gains for user in gain.users}), object)
    parts = np.zeros((len(gains[0].values), len(users)))
    for gain in gains:
        parts[:, np.searchsorted(users, gain.users)] += gain.parts / len(gains)
    variances, freedoms = [gain.fits.variance for gain in gains], [gain.fits.freedom for gain in gains]
    fits = Spread(sum(variances) / len(gains) ** 2, _freedom(variances, freedoms))
    return Gain(np.mean([gain.values for gain in gains], 0), users, parts, fits)


@dataclass(frozen=True)
class Effect:
    """A gain with how certain it is.

    Attributes:
        gain: in units of the metric; more is better, whatever the metric.
        over: the figure that it is a gain over; 1 where the gain is a share already.
        by_seed: the gain of each seed.
        interval: bounds of the gain with 95 %, over seeds and users; None where nothing tells.
        p: two-sided, of the hypothesis that there is none; None where nothing tells.
        detectable: the smallest gain or loss that such seeds and rows show with a power of 80 % at the level 5 %, uncorrected.
        p_holm: as adjusted for the whole table.
    """

    gain: float
    over: float
    by_seed: list[float]
    interval: tuple[float, float] | None
    p: float | None
    detectable: float | None
    p_holm: float | None = None

    def share(self, of: float | None) -> float | None:
        """Of the figure that it is a gain over, a gain, or what would have been shown; None where that is 0."""
        return None if of is None or not self.over else of / abs(self.over)

    @property
    def told(self) -> int:
        """1 or -1 where chance hardly makes such a gain or loss in a table like this one; else 0."""
        return int(np.sign(self.gain)) if self.p_holm is not None and self.p_holm < 1 - LEVEL else 0


def effect_of(gain: Gain, over: float = 1.0) -> Effect:
    """The effect, of which p is not yet adjusted.

    Args:
        gain: the gain.
        over: the figure that it is a gain over; 1 where the gain is a share already.
    """
    from scipy.stats import t

    error, freedom = gain.error()
    if np.isnan(error):
        return Effect(gain.value, over, gain.values.tolist(), None, None, None)
    half = t.ppf((1 + LEVEL) / 2, freedom) * error
    p = float(2 * t.sf(abs(gain.value) / error, freedom)) if error else float(gain.value == 0)
    detectable = float(half + t.ppf(POWER, freedom) * error)
    return Effect(gain.value, over, gain.values.tolist(), (gain.value - half, gain.value + half), p, detectable)


Key = tuple[str, str]
"""Of an effect: of which task, empty for all others together, on which task."""


def adjusted(effects: Mapping[Key, Effect]) -> dict[Key, Effect]:
    """The effects with p as adjusted for all of them together (Holm, 1979)."""
    tested = [key for key, effect in effects.items() if effect.p is not None]
    corrected = dict(zip(tested, holm([effects[key].p or 0.0 for key in tested]), strict=True))
    return {key: replace(effect, p_holm=corrected.get(key)) for key, effect in effects.items()}


@dataclass(frozen=True)
class Conflict:
    """The gradients of two tasks in the joint fits.

    Attributes:
        tasks: their names.
        at: where they were compared, `cut` or `parameters`.
        cosine: the mean over seeds, epochs and steps.
        interval: bounds of the mean with 95 %, over seeds, or over the epochs of fewer than three; None of a single one.
        conflicts: the share of cosines below 0.
        by_epoch: the mean of each epoch.
    """

    tasks: tuple[str, str]
    at: str
    cosine: float
    interval: tuple[float, float] | None
    conflicts: float
    by_epoch: list[float]

    @property
    def told(self) -> bool:
        """Whether the two pull against one another: most of the time, more than a little, and by more than chance."""
        certain = self.interval is not None and self.interval[1] < 0
        return certain and self.conflicts > 0.5 and self.cosine < OPPOSED


def conflict_of(tasks: tuple[str, str], at: str, cosines: Sequence[np.ndarray]) -> Conflict | None:
    """What cosines say; None where none is defined.

    Args:
        tasks: of which.
        at: where.
        cosines: of each seed `[epochs, steps]`, nan where undefined; seeds may have trained for more or fewer epochs.
    """
    every = np.concatenate([one.ravel() for one in cosines])
    every = every[np.isfinite(every)]
    if not len(every):
        return None
    epochs = max(len(one) for one in cosines)
    by_epoch = [_mean(np.concatenate([one[e] for one in cosines if e < len(one)])) for e in range(epochs)]
    groups = [_mean(one) for one in cosines] if len(cosines) >= _FEW else [_mean(of) for one in cosines for of in one]
    return Conflict(tasks, at, float(every.mean()), interval_of_mean(groups), float(np.mean(every < 0)), by_epoch)


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def interval_of_mean(values: Sequence[float]) -> tuple[float, float] | None:
    """Bounds of a mean with 95 % by Student's t; None of fewer than two values."""
    from scipy.stats import t

    known = np.array(values)[np.isfinite(values)]
    if len(known) < 2:
        return None
    half = float(t.ppf((1 + LEVEL) / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return float(known.mean()) - half, float(known.mean()) + half


@dataclass(frozen=True)
class Verdict:
    """What the fits say of a task.

    Attributes:
        task: its name.
        verdict: `keep`, `re-weight` or `train apart`.
        told: whether it is better or worse with the others than alone, or `not told apart`.
        detectable: the smallest difference that would have been shown, as a share of the figure of the task alone.
        by: the tasks that the evidence names.
        evidence: why, in words.
    """

    task: str
    verdict: Word
    told: str
    detectable: float | None
    by: list[str]
    evidence: list[str]


def verdict_of(
    task: str,
    effects: Mapping[Key, Effect],
    conflicts: Sequence[Conflict],
    norms: Mapping[str, float],
) -> Verdict:
    """The verdict on a task, by one rule.

    A task is *hurt* where it is told to be worse with the others than alone, and *hurts* where some task is told to be worse
    for its being there, and none is told to be better.

    - Neither: `keep`. What hurts, but gains by the others itself: `keep`.
    - Hurt, and its gradients conflict with those of a task: `train apart`.
    - Hurt, and its gradient is less than a tenth of the largest one: `re-weight`.
    - Hurt, and leaving a task out is told to help it: `train apart`. Hurt by nobody who is named: `re-weight`.
    - Not hurt, but hurts: `train apart`.

    Args:
        task: its name.
        effects: adjusted; those of all others on the task under `("", task)`.
        conflicts: of gradients.
        norms: task -> norm of its gradient; empty where it was not measured.
    """
    whole = effects["", task]
    told = {1: "better", -1: "worse", 0: "not told apart"}[whole.told]
    word, by, evidence = _judged(task, whole, effects, conflicts, norms)
    return Verdict(task, word, told, whole.share(whole.detectable), by, evidence)


def _judged(
    task: str,
    whole: Effect,
    effects: Mapping[Key, Effect],
    conflicts: Sequence[Conflict],
    norms: Mapping[str, float],
) -> tuple[Word, list[str], list[str]]:
    hurt_by = [one for (one, other), effect in effects.items() if one and other == task and effect.told < 0]
    victims = [other for (one, other), effect in effects.items() if one == task and effect.told < 0]
    friends = [other for (one, other), effect in effects.items() if one == task and effect.told > 0]
    against = [(set(c.tasks) - {task}).pop() for c in conflicts if task in c.tasks and c.told]
    weak = bool(norms) and norms[task] < DOMINATED * max(norms.values())
    evidence = [f"without {one} it is better" for one in hurt_by]
    evidence += [f"its gradients conflict with those of {one}" for one in against]
    evidence += ["its gradient is less than a tenth of the largest"] * weak
    evidence += [f"without it {one} is better" for one in victims] + [f"without it {one} is worse" for one in friends]
    if whole.told >= 0:
        apart = bool(victims) and not friends and whole.told == 0
        return ("train apart", victims, evidence) if apart else ("keep", [], evidence)
    if against:
        return "train apart", list(dict.fromkeys((*against, *hurt_by))), evidence
    if weak or not hurt_by:
        largest = max(norms, key=norms.__getitem__) if weak else None
        return "re-weight", [largest] if largest else [], evidence
    return "train apart", hurt_by, evidence
