"""Groups dealt to parts, so that each part has its share of images and of each class as nearly as can be.

Shares are held in whole ten-millionths of all, and what is drawn comes from the raw stream of PCG64, which NumPy keeps
as it is: the same deal on every platform and under every version.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_CANDIDATES = 32  # deals that are drawn
_BETTERED = 2  # the best of these, which exchanges of groups make better
_MOST_EXCHANGES = 200
_PAIRS = 100_000  # of groups, tried for one exchange
_EVERY_DEAL = 100_000  # if there are no more deals than this, all are tried

_ALL = 10**7  # the share of everything
_NEAR_ENOUGH = _ALL // 1000  # off the share asked for, in each part and quantity: no exchange needed
_MISSING = 10**15  # what a group too few weighs: more than all squares of shares


def deal(groups: np.ndarray, weights: Sequence[int], seed: Sequence[int], least: int = 1) -> np.ndarray:
    """The part [G] int64 of each group, of several deals the one whose shares are nearest to those asked for.

    How near is the sum of squares of how far each part's share of images, of benign and of malignant ones is off.
    Before all, each part has `least` groups with images of each class, if there are so many in all. If there are so few
    groups that all deals can be tried, the nearest of all is found; else the best of many that are drawn, made better
    by exchanges of groups until every share is within a thousandth of all or no exchange helps.

    Args:
        groups: how many benign and malignant images each group has [G, 2], int64, in an order that depends on nothing
            but the groups; both classes are there.
        weights: of each part; its share is its weight over their sum.
        seed: whole numbers from 0 that decide between deals that are equally near.
        least: groups of each class that a part needs.
    """
    order = _shuffled(len(groups), [*seed, 0])
    dealt = np.empty(len(groups), np.int64)
    dealt[order] = _Table(groups[order], weights, least).deal(seed)
    return dealt


def _shuffled(count: int, seed: Sequence[int]) -> np.ndarray:
    return np.argsort(np.random.PCG64(list(seed)).random_raw(count), kind="stable")


class _Table:
    """The groups to be dealt, in the order that was drawn, and what a deal of them is worth."""

    def __init__(self, groups: np.ndarray, weights: Sequence[int], least: int) -> None:
        """`amounts` [G, 5] are each group's benign and malignant images, all its images, and whether it has either."""
        self.amounts = np.column_stack([groups, groups.sum(axis=1), groups > 0]).astype(np.int64)
        self.all_images = self.amounts[:, :3].sum(axis=0)
        self.weights = np.array(weights, np.int64)
        self.asked = self.weights * _ALL // self.weights.sum()
        self.least = least

    @property
    def parts(self) -> int:
        return len(self.weights)

    def deal(self, seed: Sequence[int]) -> np.ndarray:
        if self.parts ** len(self.amounts) <= _EVERY_DEAL:
            return self._best_of_all()
        evenly = self._dealt_evenly()
        loose = np.flatnonzero(evenly < 0)
        start = self._held(evenly)
        drawn = self._drawn(loose, start, seed)
        worth = np.array([self._worth(start + self._held(parts, loose)) for parts in drawn])
        best = np.argsort(worth, kind="stable")[:_BETTERED]
        bettered = [self._bettered(drawn[place], loose, start) for place in best]
        evenly[loose] = min(bettered, key=lambda parts: self._worth(start + self._held(parts, loose)))
        return evenly

    def _held(self, parts: np.ndarray, groups: np.ndarray | slice = slice(None)) -> np.ndarray:
        """What each part holds [P, 5] of these groups."""
        return np.stack([self.amounts[groups][parts == part].sum(axis=0) for part in range(self.parts)])

    def _off(self, held: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """How far parts [...] that hold so much [..., 5] are off the shares asked for [...], squared and summed."""
        off = held[..., :3] * _ALL // self.all_images - asked[..., None]
        return (off * off).sum(axis=-1)

    def _costs(self, held: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """The same, with what a part is missing of groups of each class."""
        missing = np.maximum(self.least - held[..., 3:], 0).sum(axis=-1)
        return self._off(held, asked) + _MISSING * missing

    def _worth(self, held: np.ndarray) -> int:
        """The cost of a deal [P, 5]: the less, the better."""
        return int(self._costs(held, self.asked).sum())

    def _best_of_all(self) -> np.ndarray:
        """The best of all deals; of those that are equally good the first, in the order that was drawn."""
        count = len(self.amounts)
        deals = np.indices((self.parts,) * count).reshape(count, -1).T
        held = np.stack([(deals == part) @ self.amounts for part in range(self.parts)], axis=1)
        return deals[np.argmin(self._costs(held, self.asked).sum(axis=1))].astype(np.int64)

    def _dealt_evenly(self) -> np.ndarray:
        """The part of most groups [G] of each kind of which there are many alike; -1 for all others.

        Of each kind enough are left over for any part that lacks some, so that no deal worth having is lost.
        """
        _, kinds = np.unique(self.amounts[:, :2], axis=0, return_inverse=True)
        dealt = np.full(len(kinds), -1, np.int64)
        by_kind = np.argsort(kinds.reshape(-1), kind="stable")
        for alike in np.split(by_kind, np.cumsum(np.bincount(kinds.reshape(-1)))[:-1]):
            spare = max(0, len(alike) - 4 * self.parts * self.least)
            even = np.repeat(np.arange(self.parts), spare * self.weights // self.weights.sum())
            dealt[alike[: len(even)]] = even
        return dealt

    def _drawn(self, loose: np.ndarray, start: np.ndarray, seed: Sequence[int]) -> np.ndarray:
        """Deals [C, L] of the loose groups: the largest first, those of one size in an order drawn for each deal.

        Each goes where it brings shares nearest to those asked for.
        """
        size = (self.amounts[loose, :3] * _ALL // self.all_images).max(axis=1)
        shuffles = [_shuffled(len(loose), [*seed, number]) for number in range(1, _CANDIDATES + 1)]
        orders = np.stack([order[np.argsort(-size[order], kind="stable")] for order in shuffles])
        held = np.repeat(start[None], _CANDIDATES, axis=0)
        dealt = np.empty((_CANDIDATES, len(loose)), np.int64)
        rows = np.arange(_CANDIDATES)
        for column in range(len(loose)):
            groups = orders[:, column]
            with_it = held + self.amounts[loose[groups]][:, None]
            parts = (self._off(with_it, self.asked) - self._off(held, self.asked)).argmin(axis=1)
            held[rows, parts] = with_it[rows, parts]
            dealt[rows, groups] = parts
        return dealt

    def _bettered(self, parts: np.ndarray, loose: np.ndarray, start: np.ndarray) -> np.ndarray:
        """The deal after exchanges of two loose groups, or of one for nothing, each time the best of those tried.

        If a part misses groups that another can spare, there is a group that it can be given.
        """
        parts = np.concatenate([parts, np.arange(self.parts)])  # behind the groups a nothing for each part
        amounts = np.concatenate([self.amounts[loose], np.zeros((self.parts, 5), np.int64)])
        partners = np.r_[: min(len(loose), _PAIRS // len(loose)), len(loose) : len(parts)]
        held = start + self._held(parts[: len(loose)], loose)
        for _ in range(_MOST_EXCHANGES):
            costs = self._costs(held, self.asked)
            if costs.sum() <= 3 * self.parts * _NEAR_ENOUGH**2:
                break
            one, other = parts[: len(loose), None], parts[None, partners]
            change = amounts[None, partners] - amounts[: len(loose), None]
            after = self._costs(held[one] + change, self.asked[one]) + self._costs(
                held[other] - change, self.asked[other]
            )
            gain = np.where(one == other, 0, costs[one] + costs[other] - after)
            group, place = np.unravel_index(gain.argmax(), gain.shape)
            if gain[group, place] <= 0:
                break
            partner, (one, other) = partners[place], (parts[group], parts[partners[place]])
            held[one] += change[group, place]
            held[other] -= change[group, place]
            parts[group] = other
            if partner < len(loose):
                parts[partner] = one
        return parts[: len(loose)]
