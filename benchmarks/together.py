"""One process writes and four read at the same time, for a minute.

No call fails, no search sees half of a commit, every search sees what was committed before it
began. The writer also deletes, reindexes and vacuums; of the readers some live on and some open the
collection anew for each search.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from common import Bar, parser, report

from tests.survival.together import run_together


def main() -> int:
    options = parser(__doc__ or "")
    options.add_argument("--seconds", type=float, default=60)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as home:
        try:
            done, amiss = run_together(Path(home) / "collection.es", chosen.seconds), ""
        except AssertionError as error:
            done, amiss = {}, str(error).splitlines()[0]
    bars = [Bar(claim="things amiss", value=float(bool(amiss)), limit=0, at_most=True)]
    return report("together", chosen, {"done": done, "amiss": amiss}, bars)


if __name__ == "__main__":
    sys.exit(main())
