"""What people see in a browser: the front page, the door, the account, the purchase, invoices.

Views stay short: a form checks shape, one call to an app does the work, the template shows. Nothing here grants
anything.
"""
