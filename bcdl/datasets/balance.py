"""Groups dealt to parts, so that each part has its share of images and of each class as nearly as can be.

Shares are held in whole hundred-thousandths of all, and what is drawn comes from the raw stream of PCG64, which NumPy
keeps as it is: the same deal on every platform and under every version.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

_CANDIDATES = 32  # deals that are drawn
_BETTERED = 4  # the best of these, which exchanges of groups make better
_PAIRS = 40_000  # of groups, tried at once for an exchange
_MOST_PASSES = 100  # in each of which exchanges are tried for every group
_EVERY_DEAL = 100_000  # if there are no more deals than this, all are tried

_ALL = 10**5  # the share of everything
_NEAR_ENOUGH = 3 * (_ALL // 200) ** 2  # what it costs that each share is off by half a percent of itself


def deal(groups: np.ndarray, weights: Sequence[int], seed: Sequence[int], least: int = 1) -> np.ndarray:
    """The part [G] int64 of each group, of several deals the one whose shares are nearest to those asked for.

    How near is the sum of squares of how far each part's share of images, of benign and of malignant ones is off, each
    square over the share that was asked for, so that what is missing counts more in a small part. Before all, each part
    has `least` groups with images of each class, if there are so many. If there are so few groups that all deals can be
    tried, the nearest is found; else deals are drawn, until the shares of one are off by less than half a percent of
    themselves, and the best are made better by exchanges of groups, until they are so or no exchange helps.

    Args:
        groups: how many benign and malignant images each group has [G, 2], int64, in an order that depends on nothing
            but the groups; both classes are there.
        weights: of each part; its share is its weight over their sum.
        seed: whole numbers from 0 that decide between deals that are equally near.
        least: groups of each class that a part needs.
    """
    order = np.argsort(_raw(len(groups), [*seed, 0]), kind="stable")
    dealt = np.empty(len(groups), np.int64)
    dealt[order] = _Table(groups[order], weights, least).deal(seed)
    return dealt


def _raw(count: int, seed: Sequence[int]) -> np.ndarray:
    return np.random.PCG64(list(seed)).random_raw(count)


class _Table:
    """The groups to be dealt, in the order that was drawn, and what a deal of them is worth."""

    def __init__(self, groups: np.ndarray, weights: Sequence[int], least: int) -> None:
        """`amounts` [G, 5] are each group's benign and malignant images, all its images, and whether it has either."""
        self.amounts = np.column_stack([groups, groups.sum(axis=1), groups > 0]).astype(np.int64)
        self.all_images = self.amounts[:, :3].sum(axis=0)
        self.weights = np.array(weights, np.int64)
        self.asked = self.weights * _ALL // self.weights.sum()
        self.least = least
        # What a group too few costs: more than all shares can be off.
        self.missing = 4 * _ALL**2 * int(self.weights.sum()) // int(self.weights.min())

    @property
    def parts(self) -> int:
        return len(self.weights)

    def deal(self, seed: Sequence[int]) -> np.ndarray:
        """The part of each group [G]."""
        if len(self.amounts) < 32 and self.parts ** len(self.amounts) <= _EVERY_DEAL:
            return self._best_of_all()
        drawn = []
        for number in range(_CANDIDATES):
            drawn.append(self._drawn([*seed, number + 1]))
            if self._cost(drawn[-1]) <= _NEAR_ENOUGH:
                return drawn[-1]
        best = sorted(drawn, key=self._cost)[:_BETTERED]  # of equal ones the first drawn comes first
        return min(map(self._bettered, best), key=self._cost)

    def _best_of_all(self) -> np.ndarray:
        """The best of all deals; of those that are equally good the first, in the order that was drawn."""
        count = len(self.amounts)
        deals = np.indices((self.parts,) * count).reshape(count, -1).T
        held = np.stack([(deals == part) @ self.amounts for part in range(self.parts)], axis=1)
        return deals[np.argmin(self._costs(held).sum(axis=1))].astype(np.int64)

    def _drawn(self, seed: Sequence[int]) -> np.ndarray:
        """A deal [G] in an order that is drawn: each part has its turns, among groups of like class and size too.

        So large groups are in no part more often than in another.
        """
        raw = _raw(len(self.amounts) + 1, seed)
        _, _, images, benign, malignant = self.amounts.T
        size = np.frexp(images.astype(np.float64))[1]  # sizes within a factor of two are alike
        order = np.lexsort((raw[1:], size, 2 * benign + malignant))
        dealt = np.empty(len(order), np.int64)
        dealt[order] = np.resize(np.roll(self._turns(), int(raw[0]) % int(self.weights.sum())), len(order))
        return dealt

    def _turns(self) -> np.ndarray:
        """The parts in turn, spread evenly, each as often as its weight."""
        due = np.zeros(self.parts, np.int64)
        turns = []
        for _ in range(int(self.weights.sum())):
            due += self.weights
            turns.append(int(due.argmax()))
            due[turns[-1]] -= self.weights.sum()
        return np.array(turns)

    # What a deal costs: the less, the better

    def _cost(self, dealt: np.ndarray) -> int:
        return int(self._costs(self._held(dealt)).sum())

    def _held(self, dealt: np.ndarray) -> np.ndarray:
        """What each part holds [P, 5]."""
        columns = [np.bincount(dealt, weights=amounts, minlength=self.parts) for amounts in self.amounts.T]
        return np.column_stack(columns).astype(np.int64)

    def _costs(self, held: np.ndarray, parts: np.ndarray | slice = slice(None)) -> np.ndarray:
        """What it costs that these parts [...] hold so much [..., 5]: their shares are off, or groups are missing."""
        off = held[..., :3] * _ALL // self.all_images - self.asked[parts][..., None]
        missing = np.maximum(self.least - held[..., 3:], 0).sum(axis=-1)
        return (off * off).sum(axis=-1) * self.weights.sum() // self.weights[parts] + self.missing * missing

    # Exchanges

    def _bettered(self, dealt: np.ndarray) -> np.ndarray:
        """The deal after exchanges of two groups, or of one for nothing, each time the best of those tried.

        If a part misses a group that another can spare, one of these exchanges gives it one.
        """
        count = len(dealt)
        held = self._held(dealt)
        parts = np.concatenate([dealt, np.arange(self.parts)])  # behind the groups a nothing for each part
        amounts = np.concatenate([self.amounts, np.zeros((self.parts, 5), np.int64)])
        partners = np.r_[: min(count, _PAIRS // count), count : len(parts)]
        chunks = np.array_split(np.arange(count), -(-count * len(partners) // _PAIRS))
        for number in itertools.count():
            before = held.copy()
            for groups in chunks:
                cost = self._costs(held).sum()
                if cost <= _NEAR_ENOUGH or (number >= _MOST_PASSES and cost < self.missing):
                    break
                self._exchange(groups, partners, amounts, parts, held)
            if (held == before).all():
                break
        return parts[:count]

    def _exchange(
        self, groups: np.ndarray, partners: np.ndarray, amounts: np.ndarray, parts: np.ndarray, held: np.ndarray
    ) -> bool:
        """Exchange that of the groups and that of the partners that gain most; whether any two gained.

        `parts` [G + P] and what they hold, `held` [P, 5], are changed in place; a nothing stays where it is.
        """
        ones, others = parts[groups, None], parts[None, partners]
        change = amounts[None, partners] - amounts[groups, None]
        costs = self._costs(held)
        after = self._costs(held[ones] + change, ones) + self._costs(held[others] - change, others)
        gain = np.where(ones == others, 0, costs[ones] + costs[others] - after)
        row, column = np.unravel_index(gain.argmax(), gain.shape)
        if gain[row, column] <= 0:
            return False
        group, partner = groups[row], partners[column]
        one, other = parts[group], parts[partner]
        held[one] += change[row, column]
        held[other] -= change[row, column]
        parts[group] = other
        if amounts[partner].any():
            parts[partner] = one
        return True
