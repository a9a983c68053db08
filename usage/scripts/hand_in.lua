-- After Redis came back: an attempt in flight whose hold it no longer knows is held again, whatever the budget says,
-- because the call is under way. Safe to repeat.

local state = trusted()
if not state then return {'attach'} end
if state == 'rebuilding' then return {'recovering'} end

today()
local field = call.request .. ':' .. call.attempt
if redis.call('HEXISTS', holds_key(call.process), field) == 1 then return {'ok'} end
if redis.call('EXISTS', 'budget:resolved:' .. field) == 1 then return {'ok'} end
alive()
hold(call.day, call.user, call.hold)
redis.call(
  'HSET', holds_key(call.process), field,
  record_of(call.hold, call.user, call.day, tonumber(call.admitted_at), call.provider, call.model, call.row)
)
redis.call('HINCRBY', 'quota:' .. call.day, call.user, 1)
return {'ok'}
