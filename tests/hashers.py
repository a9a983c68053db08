from accounts.hashers import ThreadedArgon2PasswordHasher


class QuickHasher(ThreadedArgon2PasswordHasher):
    """Tests make dozens of people a minute. A running product, which has the hasher that ships, takes its hashes."""

    memory_cost = 64
    time_cost = 1
