"""The OpenAI dialect as we serve it: `/v1/chat/completions` and `/v1/models`, for clients that know nothing of us."""
