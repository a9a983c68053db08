from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class IaFactoryConfig(AppConfig):
    name = "iafactory"
    default = True

    def ready(self) -> None:
        # Here and not in the package: a web worker imports the package before gevent has patched the standard library,
        # and gevent, which looks at every object, would make Celery load the settings, and psycopg with them. psycopg
        # decides at its import how to wait: unpatched, each question to PostgreSQL would stop the whole worker.
        from . import celery, checks, openapi  # noqa: F401 (they register themselves)


class AdminConfig(admin_apps.AdminConfig):
    default = False
    default_site = "iafactory.site.Site"
