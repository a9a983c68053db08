"""What can be refused before anyone is known.

AccountsError
├── Unauthenticated        no credentials, or none that hold
│   ├── BadCredentials     wrong password, unknown or revoked key, garbage
│   ├── ExpiredToken       it was good; log in or refresh
│   ├── SecondFactorRequired    the password was right; a code is asked for
│   └── BadSecondFactor    a wrong code, or one that was used
├── LoginNeeded            an API key where only a login is enough
├── SecondFactorNotSetUp   a member of staff who has to, and has not yet
├── AddressTaken
├── TooManyKeys
├── TooManyAttempts        a limit on guessing or farming accounts
└── AccountsAway           PostgreSQL cannot be asked who this is
"""


class AccountsError(Exception):
    pass


class Unauthenticated(AccountsError):
    pass


class BadCredentials(Unauthenticated):
    pass


class ExpiredToken(Unauthenticated):
    pass


class SecondFactorRequired(Unauthenticated):
    pass


class BadSecondFactor(Unauthenticated):
    pass


class LoginNeeded(AccountsError):
    pass


class SecondFactorNotSetUp(AccountsError):
    pass


class AddressTaken(AccountsError):
    pass


class AccountsAway(AccountsError):
    pass


class TooManyKeys(AccountsError):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class TooManyAttempts(AccountsError):
    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = max(1, retry_after)
