"""Compiles the core of the scorer to machine code, in place, where there is a C compiler: a third less of its time.

The modules stay what they are, typed Python that runs everywhere; Python prefers the compiled form that lies beside
them. What is compiled is compiled anew when one of them has changed. `--remove` takes it away again.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # `make clean` starts this without what is installed.

from services.scorer import core  # noqa: E402

NAME = "services.scorer.core"
"""The shared library `core__mypyc` holds all modules of the core; beside each lies a small one that leads to it."""


def main() -> None:
    """Makes the compiled core what the sources are."""
    if "--remove" in sys.argv[1:]:
        remove()
    elif core.is_current():
        pass
    elif why_not := _why_not():
        remove()
        print(f"the scorer's core is not compiled: {why_not}. All works, at two thirds of the speed")
    else:
        print("compiling the scorer's core ...")
        compile_core()


def compile_core() -> None:
    """Compiles aside, and puts the result in place when all is done. Leaves nothing compiled if that fails."""
    remove()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "types.ini").write_text(TYPES)
        done = subprocess.run(
            [sys.executable, "-c", BUILD, folder, NAME, *(str(path.relative_to(ROOT)) for path in core.MODULES)],
            cwd=ROOT, text=True, capture_output=True,
        )  # fmt: skip
        if done.returncode:
            print("\n".join((done.stdout + done.stderr).splitlines()[-20:]), file=sys.stderr)
            print("the scorer's core could not be compiled. All works, at two thirds of the speed", file=sys.stderr)
            return
        for built in sorted(Path(folder, "lib").rglob(f"*{core.SUFFIX}")):
            shutil.copyfile(built, ROOT / built.relative_to(Path(folder, "lib")))
    core.MARK.write_text(core.digest())


def remove() -> None:
    """Takes away what was compiled, for whatever interpreter."""
    core.MARK.unlink(missing_ok=True)
    for folder in (core.SCORER, core.SCORER / "scoring"):
        for path in (*folder.glob("*.so"), *folder.glob("*.pyd")):
            path.unlink()


BUILD = """
import sys
from mypyc.build import mypycify
from setuptools import setup

folder, name, *paths = sys.argv[1:]
options = [f"--config-file={folder}/types.ini", f"--cache-dir={folder}/types"]
extensions = mypycify(options + paths, only_compile_paths=paths, group_name=name, target_dir=f"{folder}/c")
setup(
    name=name, ext_modules=extensions, packages=[], py_modules=[],
    script_args=["--quiet", "build_ext", f"--build-lib={folder}/lib", f"--build-temp={folder}/o"],
)
"""
"""In a process of its own: setuptools reads the project it is started in, and says a lot."""
TYPES = """
[mypy]
ignore_missing_imports = True

[mypy-google.*,leadscore.*]
follow_imports = skip
"""
"""Protobuf's types are known only where its stubs are, which is for development. The core is compiled without them, the
same everywhere; `make types` checks it with them."""


def _why_not() -> str:
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "there are no headers of Python"
    return ""


if __name__ == "__main__":
    main()
