"""How much processor time a function takes to load its modules.

    python -m deploy.cold_start build/functions/ingest.zip [MODULE]

The zip is unpacked as Lambda does it, and each load is a new interpreter that sees nothing else; the second and later
ones find the files in the page cache. Lambda adds its own start of the machine, which is not ours to change.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TIMES = 5
_CODE = """
import sys, time
begun = time.process_time()
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
__import__(sys.argv[2])
print(time.process_time() - begun)
"""


def measure(asset: Path, module: str, times: int = TIMES) -> list[float]:
    """Return the processor seconds that each of so many loads took, so that a busy machine does not change them."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(asset) as archive:
            archive.extractall(folder)
        command = [sys.executable, "-I", "-S", "-c", _CODE, folder, module]
        return [
            float(subprocess.run(command, check=True, capture_output=True, text=True, env={}).stdout)
            for _ in range(times)
        ]


def main() -> int:
    """Print first, median and slowest."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("zip", type=Path)
    parser.add_argument("module", nargs="?", default="cloud.ingest.handler")
    options = parser.parse_args()
    seconds = measure(options.zip, options.module)
    print(
        f"{options.module}: first {seconds[0]:.2f} s, median of {len(seconds)} {statistics.median(seconds):.2f} s,"
        f" slowest {max(seconds):.2f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
