"""The import of diffusers by two threads."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, threading
from plugins.diffusion.models.libraries import import_libraries

def use() -> None:
    while "diffusers" not in sys.modules:
        pass
    import_libraries()
    from diffusers import DDIMScheduler
    print(DDIMScheduler.__name__)

other = threading.Thread(target=use)
other.start()
import_libraries()
other.join()
"""


def test_estimate_and_training_may_import_at_once() -> None:
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), "ImportError" in done.stderr) == ("DDIMScheduler", False)
