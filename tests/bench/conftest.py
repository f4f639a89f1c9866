"""The bench is no part of what is installed, so it is found by its folder."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
