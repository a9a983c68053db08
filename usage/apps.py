from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class UsageConfig(AppConfig):
    name = "usage"
    verbose_name = _("Usage and budget")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts import changes

        from .changes import RedisBoard

        changes.keep_on(RedisBoard())
