from django.apps import AppConfig


class LlmRouterConfig(AppConfig):
    name = "llmrouter"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401 (it registers itself)
