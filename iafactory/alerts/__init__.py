"""What the operator must hear of: `rules` is the table of it, `delivery` tells each once, `channels` are the ways."""
