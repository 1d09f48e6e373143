"""``python -m streammatte``."""

import sys

from streammatte.cli import main

sys.exit(main())
