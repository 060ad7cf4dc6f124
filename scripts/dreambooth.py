"""The WebUI runs this at its start and at each Reload UI; the rest is a package, which stays loaded."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
sys.path.insert(0, ROOT)
try:
    from lib_dreambooth.app import in_webui
finally:
    # Parts of a package are found through it from here on: no other extension meets our folder.
    sys.path.remove(ROOT)

DreamboothTurns, DreamboothExtras = in_webui(__file__)
