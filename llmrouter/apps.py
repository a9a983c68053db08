from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LlmRouterConfig(AppConfig):
    name = "llmrouter"
    verbose_name = _("Catalogue")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from usage.process import Process

        from . import checks  # noqa: F401 (it registers itself)
        from .breaker_subjects import forget_what_is_gone

        Process.every_round.append(forget_what_is_gone)
