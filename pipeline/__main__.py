"""``python -m pipeline`` is ``ufvideo``."""

import sys

from pipeline.cli import main

sys.exit(main())
