-- Prepended to the scripts that take a hold: which of the offered routes the money allows.

-- How long everybody waits for the others after Redis came back, before the free routes go on without them.
local GRACE = 3 * SECOND

-- What is left of the day, or of the user's own day if that is less, and which of the two it is; nil when the counter
-- is missing and has to be rebuilt.
local function room(day)
  local spent = nano(redis.call('GET', spent_key(day)))
  local held = tonumber(redis.call('GET', held_key(day)))
  if not spent or not held then return nil end
  local left, scope = call.budget - spent - held, 'global'
  local own = left_to_user(day, call.user, call.user_budget)
  if own and own < left then left, scope = own, 'user' end
  return left, scope
end

-- The hold for an offer and its output cap: whole, or clamped to the tokens that `left` pays for; nil if too few.
-- `output` is in nano-dollars per million tokens. One nano-dollar is kept back against the rounding of doubles.
local function fit(offer, left)
  if offer.ceiling <= left then return offer.ceiling, offer.max_tokens end
  if offer.output == 0 then return nil end
  local tokens = math.floor((left - offer.input - 1) * 1000000 / offer.output)
  if tokens < offer.min_tokens then return nil end
  return offer.input + math.ceil(tokens * offer.output / 1000000), tokens
end

-- The first offer from `start` on that is free or that the money allows, as {place, hold, max_tokens}; else
-- {missing = true} when the counter is. `scope` is what ruled out an earlier offer, '' where nothing did.
local function choose(day, start, paid_open)
  local scope = ''
  for place = start, #call.offers do
    local offer = call.offers[place]
    if offer.ceiling == 0 then return {place = place, hold = 0, max_tokens = offer.max_tokens, scope = scope} end
    if paid_open then
      local left, whose = room(day)
      if not left then return {missing = true} end
      local amount, tokens = fit(offer, left)
      if amount then return {place = place, hold = amount, max_tokens = tokens, scope = scope} end
      scope = whose
    end
  end
  return {scope = scope}
end

-- Note an attempt as in flight, with its hold.
local function begin(day, admitted_at, chosen)
  local offer = call.offers[chosen.place]
  alive()
  hold(day, call.user, chosen.hold)
  redis.call(
    'HSET', holds_key(call.process), call.request .. ':' .. call.attempt,
    record_of(chosen.hold, call.user, day, admitted_at, offer.provider, offer.model, call.row)
  )
end

-- Whether calls are served at all, and whether on paid routes: those wait until every process has handed in what Redis
-- may have lost, the others only a moment.
local function openness(state, since)
  if state == 'open' then return true, true end
  return state == 'confirming' and now - since > GRACE, false
end

