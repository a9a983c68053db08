from django.contrib import admin

from accounts.admin import ReadOnlyAdmin

from .models import Incident, Message


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    list_display = ("rule", "subject", "level", "message", "began_at", "ended_at")
    list_filter = ("rule", "level")
    ordering = ("-began_at",)


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "channel", "level", "message", "sent_at", "attempts", "error")
    list_filter = ("channel", "level")
    ordering = ("-created_at",)
