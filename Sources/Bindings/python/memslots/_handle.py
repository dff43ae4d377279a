"""What owns something that a copy of the object would close for the original."""

from __future__ import annotations

from typing import Any, NoReturn, SupportsIndex


class Uncopied:
    """An object that can be neither copied nor pickled."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} can't be copied or pickled: it would be closed with its copy;"
            " share the object itself"
        )


class Handle(Uncopied):
    """An object of the library, by its handle."""

    _handle: int
    """0 once it is closed."""

    def __repr__(self) -> str:
        return f"<{'open' if self._handle else 'closed'} {type(self).__name__}>"

    def _take(self) -> int:
        """The handle for the call that closes it; 0 if it is closed."""
        handle, self._handle = self._handle, 0
        return handle
