"""Settings, read from the environment and `.env.local` by typed readers. Wrong ones are system checks (`checks.py`)."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from celery.schedules import crontab
from django.utils.translation import gettext_lazy as _

from .env import Env, env_file, generated_secret, read_env_file, read_environment
from .stores import celery_broker, postgres_settings, redis_database

BASE_DIR = Path(__file__).resolve().parent.parent
ENV_FILE = env_file()

# Everything as given, for what is named by data: each provider's key and address.
ENVIRONMENT = read_environment(ENV_FILE)
env = Env(ENVIRONMENT)
VAR_DIR = Path(env.text("VAR_DIR") or BASE_DIR / "var")

APP_ENV = env.choice("APP_ENV", "development", "production")
PRODUCTION = APP_ENV == "production"
DEVELOPMENT = not PRODUCTION
DEBUG = False


def secret(name: str) -> str:
    """From the environment; in development made once per checkout. In production a missing one is a check's error."""
    return env.text(name) or (generated_secret(name, VAR_DIR) if DEVELOPMENT else f"missing-{name}")


SECRET_KEY = API_SECRET_KEY = secret("API_SECRET_KEY")
API_KEY_PEPPER = secret("API_KEY_PEPPER")

# Stores: those configured, else the embedded ones of the `make run` that is running from this folder.
_running = read_env_file(VAR_DIR / "services.env") if DEVELOPMENT else {}
POSTGRES_URL = env.text("POSTGRES_URL") or _running.get("POSTGRES_URL", "")
REDIS_URL = env.text("REDIS_URL") or _running.get("REDIS_URL", "")


# What the operator writes into POSTGRES_URL (?sslmode=verify-full&connect_timeout=5) wins over these.
POSTGRES_OPTIONS: dict[str, Any] = {
    "connect_timeout": 3,
    # A server that is gone without a word is noticed; one that is slow is not waited for without end.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "options": f"-c statement_timeout={env.integer('DB_STATEMENT_SECONDS', 0) * 1000}",
    # The pool's time-out is what a caller waits when PostgreSQL is away. It ends before every limit that
    # `at_most` sets to a question: whoever is interrupted in its line gets a connection there, for good.
    "pool": {"min_size": 1, "max_size": env.integer("DB_POOL_SIZE", 10), "timeout": 1.5},
}
DATABASES = {
    "default": {
        # Without an address there is no database, but `makemigrations` and `check` still run.
        **postgres_settings(POSTGRES_URL or "postgresql://127.0.0.1:1/none", POSTGRES_OPTIONS),
        # The connection goes back to the pool with every request: kept ones would pile up under gevent.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
    }
}
_redis = REDIS_URL or "redis://127.0.0.1:6379/0"
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": redis_database(_redis, 1),
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 0.5, "SOCKET_TIMEOUT": 0.5},
    }
}
CELERY_BROKER_URL, CELERY_BROKER_TRANSPORT_OPTIONS = celery_broker(redis_database(_redis, 2))
CELERY_TASK_IGNORE_RESULT = True
CELERY_TIMEZONE = "Africa/Algiers"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULE: dict[str, Any] = {
    "deliver-alerts": {"task": "iafactory.alerts.tasks.deliver_alerts", "schedule": timedelta(minutes=15)},
    "reconcile-payments": {"task": "billing.tasks.reconcile_payments", "schedule": timedelta(seconds=30)},
    "expire-subscriptions": {"task": "billing.tasks.expire_subscriptions", "schedule": timedelta(minutes=1)},
    "send-letters": {"task": "billing.tasks.send_letters", "schedule": timedelta(minutes=1)},
    "check-provider-keys": {"task": "iafactory.keys.tasks.check_provider_keys", "schedule": crontab(hour=3, minute=40)},
    "flush-expired-tokens": {"task": "accounts.tasks.flush_expired_tokens", "schedule": timedelta(days=1)},
    "fold-rollups": {"task": "usage.tasks.fold_rollups", "schedule": timedelta(minutes=1)},
    "score-sign-ups": {"task": "usage.tasks.score_sign_ups", "schedule": timedelta(minutes=10)},
}

# The money
DAILY_BUDGET_USD = env.amount("DAILY_BUDGET_USD", "50.0")
DZD_PER_USD = env.amount("DZD_PER_USD", "230")
GROQ_BILLING = env.choice("GROQ_BILLING", "free", "paid")
# Rows that may wait in Redis (some 1 kB each) before new calls are refused.
USAGE_BACKLOG_LIMIT = env.integer("USAGE_BACKLOG_LIMIT", 200_000)
# How often a process hears how things stand, and shows that it lives (0: neither by itself); only tests change it.
USAGE_TICK_SECONDS = float(env.text("USAGE_TICK_SECONDS", "1"))
# Moves the money's clock, so that a midnight can be waited for; refused in production.
CLOCK_SHIFT_SECONDS = float(env.text("CLOCK_SHIFT_SECONDS", "0"))

# What the operator is told of, where, and in which language
ALERT_EMAIL_TO = env.listing("ALERT_EMAIL_TO")
ALERT_WEBHOOK_URL = env.text("ALERT_WEBHOOK_URL")
# What signs it: made once per checkout in development, like the other secrets.
ALERT_WEBHOOK_SECRET = secret("ALERT_WEBHOOK_SECRET") if ALERT_WEBHOOK_URL else ""
ALERT_WEBHOOK_PRIVATE = env.flag("ALERT_WEBHOOK_PRIVATE", default=False)
ALERT_LANGUAGE = env.choice("ALERT_LANGUAGE", "fr", "ar", "en")
ABUSIVE_USERS_ALERT = env.integer("ABUSIVE_USERS_ALERT", 10)
TELEGRAM_BOT_TOKEN = env.text("TELEGRAM_BOT_TOKEN")
TELEGRAM_CHAT_ID = env.text("TELEGRAM_CHAT_ID")
TELEGRAM_BASE_URL = env.text("TELEGRAM_BASE_URL", "https://api.telegram.org")
WHATSAPP_TOKEN = env.text("WHATSAPP_TOKEN")
WHATSAPP_PHONE_NUMBER_ID = env.text("WHATSAPP_PHONE_NUMBER_ID")
WHATSAPP_TO = env.listing("WHATSAPP_TO")
WHATSAPP_TEMPLATE = env.text("WHATSAPP_TEMPLATE")
WHATSAPP_BASE_URL = env.text("WHATSAPP_BASE_URL", "https://graph.facebook.com/v23.0")

# Who may come in, and how often
SIGNUP_LIMIT = env.rate("SIGNUP_LIMIT", "10/h")
LOGIN_LIMIT = env.rate("LOGIN_LIMIT", "10/m")
FREE_ACCOUNTS_PER_ADDRESS = env.integer("FREE_ACCOUNTS_PER_ADDRESS", 10 if PRODUCTION else 0)
# Where it is required, a staff session or JWT comes only after the second factor.
STAFF_2FA = env.choice("STAFF_2FA", *(("required", "optional") if PRODUCTION else ("optional", "required")))
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")
# The largest body of a request; images come inside it.
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024

# Payments. The secret key signs Chargily's webhooks too, unless it ever gives a key of its own for them.
CHARGILY_MODE = env.choice("CHARGILY_MODE", "test", "live")
CHARGILY_API_KEY = env.text("CHARGILY_API_KEY")
# The stand-in of the `make run` whose stores are in use, where there is one and no key of the real Chargily.
_played = bool(_running) and _running.get("POSTGRES_URL") == POSTGRES_URL and not env.text("CHARGILY_SECRET_KEY")
_standin = read_env_file(VAR_DIR / "chargily.env") if _played else {}
CHARGILY_SECRET_KEY = env.text("CHARGILY_SECRET_KEY") or _standin.get("CHARGILY_SECRET_KEY", "")
CHARGILY_WEBHOOK_SECRET = env.text("CHARGILY_WEBHOOK_SECRET")
CHARGILY_BASE_URL = env.text(
    "CHARGILY_BASE_URL",
    _standin.get("CHARGILY_BASE_URL") or f"https://pay.chargily.net{'/test' if CHARGILY_MODE == 'test' else ''}/api/v2",
).rstrip("/")
# Purchases begun by one person, and looks at them.
PAYMENT_LIMIT = env.rate("PAYMENT_LIMIT", "20/10m")
# Prices include it; an invoice keeps the rate of its day.
TVA_PERCENT = env.amount("TVA_PERCENT", "19")
# Who sells, as it stands on invoices.
SELLER = {
    "name": env.text("SELLER_NAME", "IA Factory Algeria"),
    "address": env.text("SELLER_ADDRESS"),
    "rc": env.text("SELLER_RC"),
    "nif": env.text("SELLER_NIF"),
    "nis": env.text("SELLER_NIS"),
    "ai": env.text("SELLER_AI"),
    "email": env.text("SELLER_EMAIL"),
    "phone": env.text("SELLER_PHONE"),
}

FRONTEND_URL = env.text("FRONTEND_URL", "http://localhost:8000")
API_URL = env.text("API_URL", "http://localhost:8000")

# Mail: on the console unless EMAIL_URL says where it leaves.
_mail = env.mail("EMAIL_URL")
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_HOST = _mail.get("EMAIL_HOST", "localhost")
EMAIL_PORT = _mail.get("EMAIL_PORT", 25)
EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_SSL = _mail.get("EMAIL_USE_SSL", False)
EMAIL_USE_TLS = _mail.get("EMAIL_USE_TLS", False)
EMAIL_FILE_PATH = _mail.get("EMAIL_FILE_PATH")
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text(
    "EMAIL_FROM", f"IA Factory <no-reply@{urlsplit(FRONTEND_URL).hostname or 'localhost'}>"
)

ALLOWED_HOSTS = ["*"] if DEVELOPMENT else [urlsplit(API_URL).hostname or "", urlsplit(FRONTEND_URL).hostname or ""]
CSRF_TRUSTED_ORIGINS = sorted({API_URL, FRONTEND_URL})
CORS_ALLOWED_ORIGINS = [FRONTEND_URL]
CORS_EXPOSE_HEADERS = [
    "X-Request-ID",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
    # The SDKs of OpenAI obey it.
    "X-Should-Retry",
    "X-IAF-Provider",
    "X-IAF-Model",
    "X-IAF-Cost",
    "X-IAF-Fallback",
    "X-IAF-Fallback-Level",
    "X-IAF-Substitution",
    "X-IAF-Ignored",
    "X-IAF-Waiting",
]

INSTALLED_APPS = [
    "iafactory",
    "unfold.apps.BasicAppConfig",
    "iafactory.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "accounts",
    "billing",
    "usage",
    "llmrouter",
    "iafactory.alerts",
    "iafactory.keys",
]
MIDDLEWARE = [
    "iafactory.middleware.request_ids",
    "iafactory.middleware.cors",
    # Chat calls end here: what follows is for pages and for the rest of the API.
    "iafactory.direct.direct_calls",
    "iafactory.middleware.bounded_bodies",
    "iafactory.middleware.text_without_nul",
    "iafactory.headers.security_headers",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "iafactory.middleware.second_factor_first",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "iafactory.urls"
WSGI_APPLICATION = "iafactory.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "account"
CSRF_FAILURE_VIEW = "iafactory.pages.shown.csrf_failure"
PASSWORD_HASHERS = ["accounts.hashers.ThreadedArgon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(hours=1),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=30),
    "ALGORITHM": "HS256",
    "SIGNING_KEY": API_SECRET_KEY,
    # A token names the password (a hash of its hash) under which it was made, and ends with it.
    "CHECK_REVOKE_TOKEN": True,
    # The clocks of two servers differ by some seconds: a token that one has just made is not from the future for the
    # other. (`iat` and `nbf`; an access token ends at its `exp` to the second, see `Caller.valid_until`.)
    "LEEWAY": timedelta(seconds=10),
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.LoggedIn"],
    "DEFAULT_RENDERER_CLASSES": ["iafactory.rendering.JsonRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "iafactory.rendering.WhatWeHave",
    "DEFAULT_PARSER_CLASSES": ["iafactory.rendering.JsonParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "iafactory.errors.answer_for_drf",
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "IA Factory",
    "DESCRIPTION": "Every language model through one API, paid in dinars.",
    "VERSION": "2.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "OAS_VERSION": "3.1.0",
    "POSTPROCESSING_HOOKS": ["iafactory.openapi.add_the_chat"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
UNFOLD = {
    "SITE_TITLE": "IA Factory",
    "SITE_HEADER": "IA Factory",
    "SITE_SYMBOL": "hub",
    "SHOW_LANGUAGES": True,
    # The green of the public pages.
    "COLORS": {
        "primary": {
            "50": "#eef8f4",
            "100": "#d7eee4",
            "200": "#aedcca",
            "300": "#79c4a8",
            "400": "#42a783",
            "500": "#1c8b66",
            "600": "#0b6b4f",
            "700": "#095842",
            "800": "#084636",
            "900": "#06392c",
            "950": "#032019",
        }
    },
    "STYLES": ["iafactory.dashboard.navigation.style"],
    "SIDEBAR": {"show_search": True, "navigation": "iafactory.dashboard.navigation.navigation"},
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: f"{STATIC_URL}iafactory/favicon.svg"}
    ],
    "SCRIPTS": [lambda request: f"{STATIC_URL}iafactory/admin.js"],
}

LANGUAGE_CODE = "fr"
LANGUAGES = [("fr", _("French")), ("ar", _("Arabic")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
TIME_ZONE = "Africa/Algiers"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
STATIC_ROOT.mkdir(parents=True, exist_ok=True)

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SILENCED_SYSTEM_CHECKS = ["django_ratelimit.E003", "django_ratelimit.W001"]

if PRODUCTION:
    SECURE_SSL_REDIRECT = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    # Browsers take these names from this very host alone, over TLS: no neighbour under the same domain can set them.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request": {"()": "iafactory.logs.RequestFilter"}},
    "formatters": {
        "json": {"()": "iafactory.logs.JsonFormatter"},
        "plain": {"()": "iafactory.logs.PlainFormatter"},
    },
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "json" if PRODUCTION else "plain",
            "filters": ["request"],
        }
    },
    "root": {"handlers": ["stdout"], "level": "INFO"},
    "loggers": {
        # One line for each 4xx would drown the events; those that matter are logged where they are decided.
        "django.request": {"level": "ERROR"},
        # Every probe by address would leave a traceback; the answer says what is wrong.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        # At DEBUG it tells whole addresses, and Telegram's holds the token.
        "urllib3": {"level": "INFO"},
        # The PDFs' libraries tell of each table of each font.
        "fontTools": {"level": "WARNING"},
        "fpdf": {"level": "WARNING"},
        # While PostgreSQL is away it tells of each of its tries to connect.
        "psycopg.pool": {"level": "ERROR"},
    },
}
