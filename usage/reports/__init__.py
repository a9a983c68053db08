"""What was used, for those who run the platform: `history` reads the roll-ups, `heavy_users` some users' rows too.

Days are the product's (Africa/Algiers); a message is a distinct request id; costs are what was settled.
Rows that somebody inserted by SQL count like any other.
"""
