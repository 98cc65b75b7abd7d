"""Skip-gram with negative sampling on the CPU, a window at a time.

Mikolov et al. 2013 (arXiv 1310.4546) in the arrangement of Ji et al. 2016 (arXiv 1604.04661): the
words around a centre share its negative samples, so a window is three small matrix products,
inputs x outputs, instead of some thirty pairs of vectors. `tests/word2vec/reference.py` is the same
in plain Python.

Threads call `train_block` on different blocks and the same two matrices at once, without locks
(Niu et al. 2011, Hogwild). Numba and LLVM are imported with this module: import it where training
begins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32, int32, int64, njit, uint32, uint64

from embedsearch.word2vec.lanes import (
    WIDTH,
    add,
    exponent_of,
    fma,
    load,
    power_of_two,
    prefetch,
    splat,
    store,
    total,
    zero,
)

TILE = 3
"""Outputs (a centre and its noise words) worked on together; two inputs at a time."""

DRAWN_PER_NEGATIVE = 2
"""Noise words of a window for each of its negatives, each counting so much less. Pairs of a window
share them, so a window sees less noise than pairs with their own would. On 8 million words twice as
many bring the mean of four tests to gensim's, at 0.9 of the speed."""

_LIMIT = float32(120.0)
"""Of logits times log2(e), so that 2 to their power is a float."""
_LOG2_E = float32(1.4426950408889634)
_LN_2 = float32(0.6931471805599453)


def _compiled(function: Callable[..., Any]) -> Any:
    """Compiled at the first call and kept on disk, unless there is no place to keep it."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return njit(function, **options)


@_compiled
def random_bits(state: Any) -> Any:
    """The next state and 64 random bits: splitmix64 (Steele et al. 2014)."""
    state = state + uint64(0x9E3779B97F4A7C15)
    bits = state
    bits = (bits ^ (bits >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> uint64(27))) * uint64(0x94D049BB133111EB)
    return state, bits ^ (bits >> uint64(31))


@_compiled
def subsample(ids: Any, keep: Any, state: Any, kept: Any) -> Any:
    """Copies to `kept` what is not dropped: a word stays with probability keep / 2**32."""
    count = 0
    for position in range(ids.shape[0]):
        word = ids[position]
        kept[count] = word
        if word < 0:
            count += 1
            continue
        state, bits = random_bits(state)
        count += uint32(bits >> uint64(32)) <= keep[word]
    return count, state


@_compiled
def draw_noise(threshold: Any, alias: Any, state: Any, outputs: Any) -> Any:
    """Fills outputs[1:] from the noise distribution (Walker's alias method)."""
    size = uint64(threshold.shape[0])
    for slot in range(1, outputs.shape[0]):
        state, bits = random_bits(state)
        word = int32(((bits >> uint64(32)) * size) >> uint64(32))
        outputs[slot] = word if uint32(bits) <= threshold[word] else alias[word]
    return state


@_compiled
def gather_context(kept: Any, count: Any, centre: Any, reach: Any, inputs: Any) -> Any:
    """The words up to `reach` places around, within the sequence; how many there are."""
    size = 0
    for position in range(centre - 1, max(centre - reach, 0) - 1, -1):
        if kept[position] < 0:
            break
        inputs[size] = kept[position]
        size += 1
    for position in range(centre + 1, min(centre + reach + 1, count)):
        if kept[position] < 0:
            break
        inputs[size] = kept[position]
        size += 1
    return size


@_compiled
def fetch_row(matrix: Any, row: Any, dim: Any) -> None:
    start = int64(row) * dim
    for at in range(start, start + dim, WIDTH):
        prefetch(matrix, at)


@_compiled
def score(
    syn0: Any, syn1: Any, dim: Any, inputs: Any, size: Any, outputs: Any, logits: Any
) -> None:
    """logits[i, k] = inputs[i] . outputs[k]. An odd last input is worked on twice."""
    columns = outputs.shape[0]
    for k in range(0, columns, TILE):
        o0, o1, o2 = int64(outputs[k]), int64(outputs[k + 1]), int64(outputs[k + 2])
        o0, o1, o2 = o0 * dim, o1 * dim, o2 * dim
        for i in range(0, size, 2):
            x0, x1 = int64(inputs[i]) * dim, int64(inputs[i + 1]) * dim
            s00, s01, s02 = zero(), zero(), zero()
            s10, s11, s12 = zero(), zero(), zero()
            for at in range(0, dim, WIDTH):
                a, b = load(syn0, x0 + at), load(syn0, x1 + at)
                p, q, r = load(syn1, o0 + at), load(syn1, o1 + at), load(syn1, o2 + at)
                s00, s01, s02 = fma(a, p, s00), fma(a, q, s01), fma(a, r, s02)
                s10, s11, s12 = fma(b, p, s10), fma(b, q, s11), fma(b, r, s12)
            first = i * columns + k
            second = first + columns
            logits[first], logits[first + 1] = total(s00), total(s01)
            logits[first + 2], logits[second] = total(s02), total(s10)
            logits[second + 1], logits[second + 2] = total(s11), total(s12)


@_compiled
def logistic(logits: Any, sign: Any, weight: Any, rate: Any, count: Any) -> Any:
    """Logits to steps, sign * weight * rate * sigmoid(-sign * logit), in place; the logistic loss.

    `sign` is 1 for a word that is there and -1 for noise, whose loss counts `weight`. 2**x and
    log2(1 + x) on [0, 1] are polynomials through Chebyshev nodes, with errors of 1.1e-7 and 2.1e-6.
    """
    loss = float32(0)
    for at in range(count):
        x = min(max(-sign[at] * logits[at] * _LOG2_E, -_LIMIT), _LIMIT)
        whole = np.floor(x)
        t = x - whole
        power = float32(0.0018937540) * t + float32(0.0089495904)
        power = power * t + float32(0.055860337)
        power = power * t + float32(0.24014182)
        power = power * t + float32(0.69315449)
        power = (power * t + float32(0.99999990)) * power_of_two(int32(whole))
        odds = float32(1) + power
        exponent = exponent_of(odds)
        t = odds * power_of_two(-exponent) - float32(1)
        log2 = float32(0.020016650) * t + float32(-0.094626810)
        log2 = log2 * t + float32(0.21394321)
        log2 = log2 * t + float32(-0.33837720)
        log2 = log2 * t + float32(0.47749636)
        log2 = log2 * t + float32(-0.72114409)
        log2 = log2 * t + float32(1.4426930)
        loss += weight[at] * (log2 * t + float32(exponent))
        logits[at] = sign[at] * weight[at] * rate * (power / odds)
    return loss * _LN_2


@_compiled
def step(syn0: Any, syn1: Any, dim: Any, inputs: Any, size: Any, outputs: Any, steps: Any) -> None:
    """inputs[i] += sum over k of steps[i, k] * outputs[k], and the other way round."""
    columns = outputs.shape[0]
    for k in range(0, columns, TILE):
        o0, o1, o2 = int64(outputs[k]), int64(outputs[k + 1]), int64(outputs[k + 2])
        o0, o1, o2 = o0 * dim, o1 * dim, o2 * dim
        for at in range(0, dim, WIDTH):
            p, q, r = load(syn1, o0 + at), load(syn1, o1 + at), load(syn1, o2 + at)
            dp, dq, dr = zero(), zero(), zero()
            for i in range(size):
                here = int64(inputs[i]) * dim + at
                cell = i * columns + k
                a, b, c = splat(steps[cell]), splat(steps[cell + 1]), splat(steps[cell + 2])
                x = load(syn0, here)
                dp, dq, dr = fma(a, x, dp), fma(b, x, dq), fma(c, x, dr)
                store(syn0, here, fma(a, p, fma(b, q, fma(c, r, x))))
            # Read again: an output may stand twice in a tile, and other threads write too.
            store(syn1, o0 + at, add(load(syn1, o0 + at), dp))
            store(syn1, o1 + at, add(load(syn1, o1 + at), dq))
            store(syn1, o2 + at, add(load(syn1, o2 + at), dr))


@_compiled
def train_block(
    ids: Any,
    syn0: Any,
    syn1: Any,
    dim: Any,
    keep: Any,
    noise_threshold: Any,
    noise_alias: Any,
    window: Any,
    negative: Any,
    alpha: Any,
    alpha_end: Any,
    seed: Any,
    stop: Any,
) -> Any:
    """One pass over `ids`, int32 with -1 between sequences; loss and number of pairs.

    `syn0` and `syn1` are float32, flat, rows of `dim` floats (a multiple of WIDTH); the learning
    rate falls from `alpha` to `alpha_end`. A pair is a centre and a word of its window: its loss
    counts the centre, and the window's noise words like `negative` of them. A noise word that is
    the centre itself is left out. `stop`, one uint8, ends the pass where another thread sets it: a
    block of wide windows takes seconds.
    """
    columns = (DRAWN_PER_NEGATIVE * negative + TILE) // TILE * TILE
    share = float32(negative) / float32(columns - 1)
    cells = (2 * window + 1) * columns
    kept = np.empty(ids.shape[0] + 1, np.int32)
    inputs = np.empty(2 * window + 1, np.int32)
    outputs, ahead = np.zeros(columns, np.int32), np.zeros(columns, np.int32)
    logits, weight = np.empty(cells, np.float32), np.zeros(cells, np.float32)
    sign = np.full(cells, float32(-1))
    sign[::columns] = float32(1)
    weight[::columns] = float32(1)
    count, state = subsample(ids, keep, uint64(seed), kept)
    state = draw_noise(noise_threshold, noise_alias, state, ahead)
    loss, pairs = 0.0, 0
    for centre in range(count):
        if stop[0]:
            break
        outputs[:] = ahead
        # The next window's new rows are asked for now, so that they are there when it comes.
        state = draw_noise(noise_threshold, noise_alias, state, ahead)
        for slot in range(1, columns):
            fetch_row(syn1, ahead[slot], dim)
        if centre + 1 < count and kept[centre + 1] >= 0:
            fetch_row(syn1, kept[centre + 1], dim)
        if centre + 1 + window < count and kept[centre + 1 + window] >= 0:
            fetch_row(syn0, kept[centre + 1 + window], dim)
        word = kept[centre]
        state, bits = random_bits(state)
        reach = 1 + int64(((bits >> uint64(32)) * uint64(window)) >> uint64(32))
        size = 0
        if word >= 0:
            size = gather_context(kept, count, centre, reach, inputs)
        if size == 0:
            continue
        outputs[0] = word
        inputs[size] = inputs[size - 1]
        rate = float32(alpha + (alpha_end - alpha) * centre / count)
        for slot in range(1, columns):
            used = float32(0) if outputs[slot] == word else share
            for i in range(size):
                weight[i * columns + slot] = used
        score(syn0, syn1, dim, inputs, size, outputs, logits)
        loss += logistic(logits, sign, weight, rate, size * columns)
        step(syn0, syn1, dim, inputs, size, outputs, logits)
        pairs += size
    return loss, pairs
