from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class IaFactoryConfig(AppConfig):
    name = "iafactory"
    default = True

    def ready(self) -> None:
        from . import checks, openapi  # noqa: F401 (both register themselves)


class AdminConfig(admin_apps.AdminConfig):
    default = False
    default_site = "iafactory.site.Site"
