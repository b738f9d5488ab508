"""``python -m trimix``."""

import sys

from trimix.cli import main

sys.exit(main())
