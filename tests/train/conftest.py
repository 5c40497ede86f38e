"""Let tests import the run that they start as a process."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
