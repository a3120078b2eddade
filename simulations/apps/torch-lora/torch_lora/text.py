"""Text of two made-up languages: the base model is trained with the first, and fine-tuned to the second.

A sentence: article, adjective, noun, verb, article, noun. The languages differ in their words and in their order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

ALPHABET = " .abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Language:
    """Words by their kind, and the kinds in a sentence."""

    words: dict[str, list[str]]
    order: list[str]


OLD = Language(
    {
        "article": ["the", "a", "one", "this"],
        "adjective": ["red", "small", "old", "quiet", "clever", "tired"],
        "noun": ["fox", "river", "teacher", "garden", "engine", "lamp"],
        "verb": ["sees", "follows", "paints", "forgets", "carries"],
    },
    ["article", "adjective", "noun", "verb", "article", "noun"],
)
NEW = Language(
    {
        "article": ["le", "un", "ce", "mon"],
        "adjective": ["rouge", "petit", "vieux", "calme", "habile", "lourd"],
        "noun": ["renard", "fleuve", "maitre", "jardin", "moteur", "phare"],
        "verb": ["voit", "suit", "peint", "oublie", "porte"],
    },
    ["article", "noun", "adjective", "verb", "article", "noun"],
)


def text_of(language: Language, sentences: int, seed: int) -> Tensor:
    """Random sentences of a language, as places in the alphabet; about 30 a sentence."""
    rng = np.random.default_rng(seed)
    spoken = (" ".join(rng.choice(language.words[kind]) for kind in language.order) for _ in range(sentences))
    return torch.tensor([ALPHABET.index(letter) for letter in ". ".join(spoken)])
