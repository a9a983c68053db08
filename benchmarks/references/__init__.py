"""The least that a proxy can be, to compare with: no Django, no limits, no ledger, not even a look at who calls."""
