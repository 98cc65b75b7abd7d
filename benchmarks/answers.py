"""`ask` without a language model on questions with known answers: is the right passage cited first,
does the answer stand in the text, how often is there rightly no answer.

The collections are kept in --cache, so that a second run embeds nothing again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from common import CACHE, Bar, data_folder, parser, report, tell

from embedsearch.evaluation.answers import evaluate_answers

SETS = {
    "xquad": "xquad/xquad.en.json.gz",
    "squad_v2": "squad_v2/dev-shared.json.gz",
    "covid_qa": "covid_qa/covid_qa.json.gz",
}
CITED_FIRST, CONTAINED = 0.80, 0.65
"""On the answerable questions of squad_v2."""


def main() -> int:
    options = _options()
    results: dict[str, dict[str, Any]] = {}
    for name in options.sets:
        file = data_folder() / SETS[name]
        results[name] = evaluate_answers(file, db=options.cache / name).as_json()
        tell(f"{name}: {results[name]['seconds']:.0f} s")
    bars = []
    if "squad_v2" in results:
        claims = {"gold_passage_cited_first": CITED_FIRST, "answer_contained": CONTAINED}
        bars = [
            Bar(
                claim=f"squad_v2, answerable: {name}",
                value=results["squad_v2"][name],
                limit=limit,
                at_most=False,
            )
            for name, limit in claims.items()
        ]
    return report("answers", options, results, bars)


def _options() -> argparse.Namespace:
    options = parser(__doc__ or "")
    options.add_argument(
        "--sets", nargs="+", choices=SETS, default=["xquad", "squad_v2"], metavar="SET"
    )
    options.add_argument("--cache", type=Path, default=CACHE / "answers", metavar="DIR")
    return options.parse_args()


if __name__ == "__main__":
    sys.exit(main())
