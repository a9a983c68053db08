-- A further attempt of an admitted call: the first of the offers that the money of the call's own day allows.

local state, since = trusted()
if not state then return {'attach'} end
local open, paid_open = openness(state, since)
if not open then return {'recovering'} end

local day = today()
local place, amount, tokens, scope = choose(call.day, 1, paid_open)
if scope == 'rebuild' then
  if call.day == day then return {'rebuild', 'day', day} end
  -- The counter of a day that is over is not rebuilt: nothing more is spent on it.
  return {'budget_exceeded', 'scope', 'global'}
end
if not place then return {'budget_exceeded', 'scope', scope} end
begin(call.day, tonumber(call.admitted_at), call.offers[place], amount)
return {'ok', 'place', place, 'hold', amount, 'max_tokens', tokens, 'scope', scope}
