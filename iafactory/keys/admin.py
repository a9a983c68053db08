from django.contrib import admin

from accounts.admin import ReadOnlyAdmin

from .models import KeyCheck


@admin.register(KeyCheck)
class KeyCheckAdmin(ReadOnlyAdmin):
    list_display = ("provider", "ordinal", "outcome", "status", "well_formed", "checked_at")
    list_filter = ("outcome",)
    ordering = ("provider", "ordinal")
