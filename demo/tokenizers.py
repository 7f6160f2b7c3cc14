"""Tokenizers of the classes that the real models have, which know a list of words.

A word of the list is one token; all else falls into letters.
"""

from collections import Counter
from itertools import pairwise
from typing import Any

CLIP_TOKENS = 40
"""Of a prompt, that CLIP reads. The real one reads 77; here no prompt has so many, and what only
pads costs time in every step."""
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def clip_tokenizer(words: list[str], pad: str = "<|endoftext|>") -> Any:
    """Byte-level BPE as CLIP's: words of the list are one token, all else falls into pieces."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    merges = _learn_merges(words)
    pieces = [
        *letters,
        *(letter + _END for letter in letters),
        *map("".join, merges),
        "<|startoftext|>",
        "<|endoftext|>",  # the highest id, as CLIP's text model expects
    ]
    return CLIPTokenizer(
        vocab={piece: i for i, piece in enumerate(dict.fromkeys(pieces))},
        merges=merges,
        pad_token=pad,
        model_max_length=CLIP_TOKENS,
    )


_END = "</w>"  # how a piece that ends a word is marked


def _learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair encoding: join the commonest pair of pieces until every word is one.

    The trainer of `tokenizers` would do, but breaks ties differently in every run.
    """
    spelt = [[*word[:-1], word[-1] + _END] for word in sorted(set(words))]
    merges = []
    while pairs := Counter(pair for pieces in spelt for pair in pairwise(pieces)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        spelt = [_join(pieces, best) for pieces in spelt]
    return merges


def _join(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for piece in pieces:
        if joined and (joined[-1], piece) == pair:
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def t5_tokenizer(words: list[str]) -> Any:
    """Unigram as T5's."""
    from transformers import T5Tokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    known = [(f"▁{word}", -4.0) for word in words]
    letters = [(letter, -8.0) for letter in ("▁", *LETTERS)]
    return T5Tokenizer(
        vocab=list(dict([*special, *letters, *known]).items()), extra_ids=0, model_max_length=512
    )


def bert_tokenizer(words: list[str]) -> Any:
    """WordPiece as BLIP's, whose decoder begins with [DEC]."""
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
    pieces = [*special, *words, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    return BertTokenizer(vocab=vocab, bos_token="[DEC]")
