"""Where the project's programs are."""

from __future__ import annotations

import os
import shutil
from typing import Optional, Union

from .errors import ProgramNotFoundError

PathLike = Union[str, "os.PathLike[str]"]


def find_program(name: str, path: Optional[str] = None) -> str:
    """The path of memslotd or memslotctl.

    :param path: it, or a name to find in ``PATH``; None: from the variable of the program's name in
        capitals, else from ``PATH``.
    :raises ProgramNotFoundError: it is not there.
    """
    variable = name.upper()
    named = os.environ.get(variable)
    found = shutil.which(path or named or name)
    if found is None:
        where = f"{variable}={named}" if named else f"PATH, and {variable} is not set"
        if path is not None:
            where = path
        raise ProgramNotFoundError(f"there is no {name} ({where})", "program-not-found")
    return os.path.abspath(found)
