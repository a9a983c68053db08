"""Keys of every kind, made at run time: none of them stands in this repository."""

import random
from string import ascii_letters, ascii_lowercase, digits, hexdigits

ALNUM, HEX, LOWER = ascii_letters + digits, hexdigits[:16], ascii_lowercase + digits
_random = random.Random(20261122)


def some(letters: str, length: int) -> str:
    return "".join(_random.choice(letters) for _ in range(length))


KEYS = {
    "groq": "gsk" + "_" + some(ALNUM, 52),
    "openrouter": "sk-or" + "-v1-" + some(HEX, 64),
    "openai": "sk-proj" + "-" + some(ALNUM, 74) + "T3Blbk" + "FJ" + some(ALNUM, 74),
    "anthropic": "sk-ant" + "-api03-" + some(ALNUM, 93) + "AA",
    "gemini": "AI" + "zaSy" + some(ALNUM, 33),
    "mistral": some(ALNUM, 32),
    "deepseek": "sk" + "-" + some(HEX, 32),
    "together": "tgp" + "_v1_" + some(ALNUM, 43),
    "fireworks": "fw" + "_" + some(ALNUM, 24),
    "cohere": some(ALNUM, 40),
    "perplexity": "pplx" + "-" + some(ALNUM, 48),
    "xai": "xai" + "-" + some(ALNUM, 80),
    "cerebras": "csk" + "-" + some(LOWER, 48),
    "sambanova": "-".join(some(HEX, length) for length in (8, 4, 4, 4, 12)),
    "deepinfra": some(ALNUM, 32),
    "moonshot": "sk" + "-" + some(ALNUM, 48),
    "dashscope": "sk" + "-" + some(HEX, 32),
    "huggingface": "hf" + "_" + some(ascii_letters, 34),
}
CHARGILY = "test" + "_sk_" + some(ALNUM, 40)
