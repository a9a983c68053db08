from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.joining import check_new_password
from accounts.plain import check_mailable


class SignInForm(forms.Form):
    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=254,
        widget=forms.EmailInput({"autocomplete": "username", "autofocus": True, "dir": "ltr"}),
    )
    # Bounded: hashing a megabyte is an attack.
    password = forms.CharField(
        label=_("Password"),
        max_length=256,
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password", "dir": "ltr"}),
    )


class SignUpForm(SignInForm):
    password = forms.CharField(
        label=_("Password"),
        max_length=256,
        strip=False,
        help_text=_("At least 8 characters; a sentence of a few words is best."),
        widget=forms.PasswordInput({"autocomplete": "new-password", "dir": "ltr"}),
    )

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        check_mailable(email)
        return email

    def clean(self) -> dict[str, Any] | None:
        given = super().clean() or {}
        if "password" in given:
            try:
                check_new_password(given["password"], email=given.get("email", ""))
            except forms.ValidationError as error:
                self.add_error("password", error)
        return given


class NewKeyForm(forms.Form):
    name = forms.CharField(
        label=_("Name of the new key"),
        max_length=80,
        widget=forms.TextInput({"placeholder": _("e.g. my laptop"), "autocomplete": "off"}),
    )
