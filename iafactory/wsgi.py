import os
from collections.abc import Callable, Iterable

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "iafactory.settings")


def _application() -> Callable[..., Iterable[bytes]]:
    django = get_wsgi_application()
    # Only now can it be imported.
    from iafactory.direct import without_signals

    return without_signals(django)


application = _application()
