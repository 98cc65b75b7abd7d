"""The token tax: what the Universal Declaration of Human Rights costs in each of 388 languages.

With the vocabularies of r50k (GPT-2), cl100k (GPT-4) and o200k (GPT-4o), compared with English.
"""

from __future__ import annotations

import sys
from statistics import median
from typing import Any

from common import Bar, data_folder, parser, report, tell

from embedsearch.text.groups import read_groups
from embedsearch.tokenizers.comparison import compare_tokenizers
from embedsearch.tokenizers.costs import ComparisonConfig, TokenizerReport

VOCABULARIES = ("r50k", "cl100k", "o200k")
SHOWN = {"deu": "German", "tha": "Thai", "mya": "Burmese", "bod": "Tibetan", "div": "Dhivehi"}
DEAR = ("tha", "mya", "bod")
SEVERAL = 3.0


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    folder = data_folder()
    files = {name: folder / f"tokenizers/tiktoken/{name}_base.tiktoken" for name in VOCABULARIES}
    tell("tokenizing the declaration in all languages with each vocabulary")
    groups = read_groups([folder / "udhr/udhr.jsonl.xz"])
    found = compare_tokenizers(files, groups, ComparisonConfig(reference="eng"))
    results = {
        "compared": {"languages": len(groups), "fragments left out": len(found.fragments)},
        **{each.tokenizer: _row(each) for each in found.tokenizers},
    }
    old, _, new = (_ratios(each) for each in found.tokenizers)
    bars = []
    for language in DEAR:
        name = SHOWN[language]
        claim = f"{name} in r50k, in times of English"
        bars.append(Bar(claim=claim, value=old[language], limit=SEVERAL, at_most=False))
        claim = f"{name} in o200k, in times of English, against r50k"
        bars.append(Bar(claim=claim, value=new[language], limit=old[language], at_most=True))
    lost = sum(each.total.lost for each in found.tokenizers)
    bars.append(Bar(claim="texts that are not given back", value=lost, limit=0, at_most=True))
    return report("token_tax", options, results, bars)


def _ratios(found: TokenizerReport) -> dict[str, float]:
    return {each.group: each.ratio for each in found.groups if each.ratio is not None}


def _row(found: TokenizerReport) -> dict[str, Any]:
    ratios = _ratios(found)
    english = next(each.cost.tokens for each in found.groups if each.group == "eng")
    dearest = max(ratios, key=ratios.__getitem__)
    return {
        "English tokens": english,
        **{name: ratios[language] for language, name in SHOWN.items()},
        "median": median(ratios.values()),
        f"dearest ({dearest})": ratios[dearest],
        "tokens in all": found.total.tokens,
        "MB/s": found.megabytes_per_second,
    }


if __name__ == "__main__":
    sys.exit(main())
