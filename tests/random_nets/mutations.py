"""Mistakes in a text: tokens and characters taken away, put in, doubled, exchanged."""

from __future__ import annotations

import re
from collections.abc import Callable

from dice import Dice

TOKEN = re.compile(r"\w+|->|\s+|.", re.DOTALL)
WORDS = """
0 1 -1 7 010 1.0 0.5 1e9 1e999 1000000 99999999999999999999 3x3 0x0 2x
{ } ( ) [ ] | -> : ; , = == . ? - ** // % < " # ' ` $ \\ × é
net block input let param share output assert use as in if else via each repeat for skip when it
x int bool true not and training channels length zip range enumerate normal
conv pool max add concat crop split unpool matmul flatten bn reshape upsample
k3 s0 p9 d2 g7 same nobias global axis=9 to=1x1 __import__ class "{it}"
"""
STRANGE = (*WORDS.split(), "\n", "\t", "\0", "\ufeff", "\u202e", "\ud7ff", "{{ 7 * 7 }}")


def without(tokens: list[str], place: int, dice: Dice) -> None:
    del tokens[place : place + dice.between(1, 3)]


def doubled(tokens: list[str], place: int, dice: Dice) -> None:
    tokens.insert(place, tokens[place])


def exchanged(tokens: list[str], place: int, dice: Dice) -> None:
    other = dice.below(len(tokens))
    tokens[place], tokens[other] = tokens[other], tokens[place]


def replaced(tokens: list[str], place: int, dice: Dice) -> None:
    tokens[place] = dice.choice(STRANGE)


def put_in(tokens: list[str], place: int, dice: Dice) -> None:
    tokens.insert(place, f" {dice.choice(STRANGE)} ")


def copied(tokens: list[str], place: int, dice: Dice) -> None:
    start = dice.below(len(tokens))
    tokens[place:place] = tokens[start : start + dice.between(1, 40)]


def cut(tokens: list[str], place: int, dice: Dice) -> None:
    del tokens[place + 1 :]


def character(tokens: list[str], place: int, dice: Dice) -> None:
    token = tokens[place]
    at = dice.below(len(token))
    tokens[place] = token[:at] + dice.choice(("", "", chr(dice.between(32, 126)))) + token[at + 1 :]


KINDS: tuple[Callable[[list[str], int, Dice], None], ...] = (
    *(replaced, without, put_in, character, exchanged, doubled, replaced, without, put_in, character, copied, cut),
)


def mutated(text: str, entropy: bytes) -> str:
    """The text with one to four mistakes."""
    dice = Dice(entropy)
    tokens = TOKEN.findall(text)
    for _ in range(dice.between(1, 4)):
        if tokens:
            dice.choice(KINDS)(tokens, dice.below(len(tokens)), dice)
    return "".join(tokens)
