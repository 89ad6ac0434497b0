"""The core of the scorer: what an event goes through between its message and its rows, functions of values.

It is typed Python that runs everywhere, and is compiled in place where there is a C compiler (`tools/compile_core.py`);
Python prefers the compiled form that lies beside a module. A compiled form of other sources would score by yesterday's
code, so it is refused.
"""

import hashlib
import sys
import sysconfig
from pathlib import Path

from services.shared.errors import SettingError

SCORER = Path(__file__).resolve().parent
AROUND = ("announcements", "binary", "cache", "effects", "erasures", "lead_state", "rollups", "rows", "wire")
MODULES = (*sorted((SCORER / "scoring").glob("[!_]*.py")), *(SCORER / f"{name}.py" for name in AROUND))
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
MARK = SCORER / "core.digest"
"""From which sources and for which interpreter the compiled core was made."""


def is_compiled() -> bool:
    """Whether Python finds a compiled core for this interpreter."""
    return any(path.with_suffix(SUFFIX).exists() for path in MODULES)


def is_current() -> bool:
    """Whether all of the core is compiled, from the sources as they are."""
    whole = all(path.with_suffix(SUFFIX).exists() for path in MODULES)
    return whole and MARK.exists() and MARK.read_text() == digest()


def digest() -> str:
    """What tells apart the sources as they are and the interpreter from all others."""
    found = hashlib.sha256(f"{sys.version} {SUFFIX}".encode())
    for path in MODULES:
        found.update(path.read_bytes())
    return found.hexdigest()


def check() -> None:
    """Raises SettingError if what Python runs as the core is not what the sources say."""
    if is_compiled() and not is_current():
        raise SettingError("the scorer's core was compiled from other sources; compile it anew with `make core`")
