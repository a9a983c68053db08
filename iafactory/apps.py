from django.apps import AppConfig


class IaFactoryConfig(AppConfig):
    name = "iafactory"

    def ready(self) -> None:
        from . import checks, openapi  # noqa: F401 (both register themselves)
