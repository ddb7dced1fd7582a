"""Number of splats and fineness for a target size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from squeeze3d.bitstream.container import Container
from squeeze3d.codecs.spec import Job
from squeeze3d.codecs.splats.build import SplatsBuilder, Stream
from squeeze3d.codecs.splats.options import DEFAULT_FINENESS, SplatsOptions

Found = tuple[Stream, Container]

LOWEST, HIGHEST = 4, 40
"""Finenesses that are tried."""


class Search:
    """One search.

    Parameters
    ----------
    container_of : wraps a stream.
    """

    def __init__(
        self, builder: SplatsBuilder, options: SplatsOptions, job: Job, container_of: Callable[[Stream], Container]
    ) -> None:
        self._builder = builder
        self._options = options
        self._job = job
        self._container_of = container_of
        self._limit = options.splats or builder.count

    def best(self) -> Found | None:
        """The finest stream within the job's target, or one with the options' own settings; None if nothing fits."""
        count = min(self._limit, self._builder.count)
        target = self._job.target_size
        if target is None:
            return self._coded(count, self._options.fineness or DEFAULT_FINENESS)
        while count >= 1:
            found = self._finest(count, target)
            if found is not None:
                return found
            count = count // 2
        return None

    def _finest(self, count: int, target: int) -> Found | None:
        fixed = self._options.fineness
        low, high = (fixed, fixed) if fixed else (LOWEST, HIGHEST)
        best = None
        while low <= high:
            middle = (low + high) // 2
            found = self._coded(count, middle)
            if len(found[1].to_bytes()) <= target:
                best, low = found, middle + 1
            else:
                high = middle - 1
        return best

    def _coded(self, count: int, fineness: int) -> Found:
        scene = self._builder.scene
        if count < scene.count:
            scene = scene[np.sort(np.argsort(-scene.areas * scene.alpha, kind="stable")[:count])]
        stream = self._builder.stream(scene, fineness, self._options.bits, self._options.degree)
        return stream, self._container_of(stream)
