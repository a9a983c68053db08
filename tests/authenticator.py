"""The app on somebody's telephone, which has read the page where a second factor is set up."""

import base64
import re

from django_otp.oath import TOTP


def code_from(page: str) -> str:
    found = re.search(r"(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}", page)
    assert found is not None
    return f"{TOTP(base64.b32decode(found[0].replace(' ', ''))).token():06d}"
