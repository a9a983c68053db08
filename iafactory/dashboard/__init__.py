"""The operator's view: is the money safe, who abuses, which provider is ill, does the business earn.

figures   what both answers show: the live budget, the day, the economics
api       JSON for staff's programs, as the contract fixes it
page      the page inside Django Admin, drawn from the same figures
"""
