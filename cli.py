"""The command line from a checkout: python cli.py …"""

import sys

from embedsearch.cli import main

sys.exit(main())
