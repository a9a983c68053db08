-- A further attempt of an admitted call: its offer, if the money of the call's own day allows it.

local state, since = trusted()
if not state then return {'attach'} end
local open, paid_open = openness(state, since)
if not open then return {'recovering'} end

local day = today()
local chosen = choose(call.day, 1, paid_open)
if chosen.missing and call.day == day then return {'rebuild', 'day', day} end
-- The counter of a day that is over is not rebuilt: nothing more is spent on it.
if not chosen.place then return {'budget_exceeded', 'scope', chosen.scope or 'global'} end
begin(call.day, call.admitted_at, chosen)
return {'ok', 'hold', chosen.hold, 'max_tokens', chosen.max_tokens}
