"""In which row of an array each key's embedding lies, in a tenth of a dict's memory."""

from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_BITS = 6
_PAGE = 1 << _BITS  # keys a page
_ABSENT = -1
_EMPTY = array("i", [_ABSENT]) * _PAGE
_MANY = 1024  # keys that are looked up page by page


class RowNumbers:
    """Rows by key, in pages of neighbouring keys: four bytes a key where keys are dense.

    A dict of as many Python integers takes a hundred, a fifth of an embedding of 128 dimensions.
    """

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, int):
            return False
        page = self._pages.get(key >> _BITS)
        return page is not None and page[key & (_PAGE - 1)] != _ABSENT

    def of(self, keys: Sequence[int]) -> list[int]:
        """Return the rows of these keys, or raise KeyError."""
        pages, within = self._pages, _PAGE - 1
        if len(keys) < _MANY:
            rows = [pages.get(key >> _BITS, _EMPTY)[key & within] for key in keys]
        else:
            rows = self._of_many(np.array(keys, np.int64)).tolist()
        if rows and min(rows) == _ABSENT:
            raise KeyError(keys[rows.index(_ABSENT)])
        return rows

    def _of_many(self, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.intc]:
        """Return the rows of these keys, absent ones included (n,)."""
        numbers, which = np.unique(keys >> _BITS, return_inverse=True)
        pages = np.array([self._pages.get(number, _EMPTY) for number in numbers.tolist()])
        rows: npt.NDArray[np.intc] = pages[which, keys & (_PAGE - 1)]
        return rows

    def put(self, keys: Sequence[int], start: int) -> None:
        """Let new keys lie in rows from `start` on."""
        pages, within = self._pages, _PAGE - 1
        for row, key in enumerate(keys, start):
            page = pages.get(key >> _BITS)
            if page is None:
                page = pages[key >> _BITS] = _EMPTY[:]
            page[key & within] = row
        self._count += len(keys)

    def fill(self, keys: npt.NDArray[np.int64]) -> None:
        """Let keys lie in rows from 0 on where none do yet, all at once, or raise ValueError."""
        rows = np.argsort(keys, kind="stable")
        rising = keys[rows]
        if (rising[1:] == rising[:-1]).any():
            raise ValueError("a key comes twice")
        numbers, firsts = np.unique(rising >> _BITS, return_index=True)
        counts = np.diff(firsts, append=len(keys))
        pages = np.full((len(numbers), _PAGE), _ABSENT, np.intc)
        pages[np.repeat(np.arange(len(numbers)), counts), rising & (_PAGE - 1)] = rows
        self._pages = {
            number: array("i", page.tobytes())
            for number, page in zip(numbers.tolist(), pages, strict=True)
        }
        self._count = len(keys)

    def move(self, key: int, row: int) -> None:
        """Let a key lie in another row."""
        self._pages[key >> _BITS][key & (_PAGE - 1)] = row

    def pop(self, key: int) -> int:
        """Forget a key and return where it lay."""
        page = self._pages[key >> _BITS]
        row = page[key & (_PAGE - 1)]
        page[key & (_PAGE - 1)] = _ABSENT
        self._count -= 1
        if max(page) == _ABSENT:
            del self._pages[key >> _BITS]
        return row
