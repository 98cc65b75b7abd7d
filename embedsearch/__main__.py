"""The command line by the name of the package: python -m embedsearch …"""

import sys

from embedsearch.cli import main

sys.exit(main())
