from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import second_factor
from accounts.audit import operator
from accounts.models import User, normal_email


class Command(BaseCommand):
    help = "Forget a person's second factor and recovery codes, for whoever lost both. Recorded as a staff action."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--by", default=operator(), help="who does it (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email=normal_email(options["email"])).first()
        if user is None:
            raise CommandError(f"There is no account {options['email']}.")
        if second_factor.reset(user=user, by=options["by"]):
            self.stdout.write(f"The second factor of {user.email} is forgotten; it is set up anew at the next login.")
        else:
            self.stdout.write(f"{user.email} had no second factor. All refresh tokens are ended all the same.")
