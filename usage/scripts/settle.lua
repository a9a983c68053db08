-- The end of an attempt: the hold becomes the cost, and the row sets out for the table. Safe to repeat.
--   cost       the operator's amount; `charged` the payer's, the same or 0; `user_budget` the user's daily amount, or -1
--   unsent     known never to have reached a provider: no cost and no row
--   counted    the message counts, whatever becomes of the request
--   lost       Redis came back knowing neither the hold nor the row of this; `in_table` is the estimate that the table
--              has of it, in nano-dollars, or -1; `charged_in_table` is what that estimate charged

local state = trusted()
if not state then return {'attach'} end
if state == 'rebuilding' then return {'recovering'} end

today()
local field = call.request .. ':' .. call.attempt
local record = redis.call('HGET', holds_key(call.process), field)
local estimate, estimate_charged = estimate_of(field)
-- What the counters were moved by already for this attempt.
local before, before_charged = 0, 0

if record then
  redis.call('HDEL', holds_key(call.process), field)
  local parts = parts_of(record)
  if parts then
    hold(call.day, call.user, -parts.hold)
    if parts.hold > 0 and call.cost > parts.hold then overrun(call.day, call.cost - parts.hold) end
  end
elseif estimate and not call.estimated then
  -- It was settled by estimate when its time ran out or its process seemed dead; this is the truth, late.
  redis.call('DEL', 'budget:resolved:' .. field)
  before, before_charged = estimate, estimate_charged
  -- The estimate was the whole hold.
  if estimate > 0 and call.cost > estimate then overrun(call.day, call.cost - estimate) end
elseif call.lost and call.unsent and call.in_table < 0 then
  -- Lost, and nothing was sent: there is nothing to tell.
  return {'ok'}
elseif call.lost and redis.call('SADD', 'budget:handed', field) == 1 then
  redis.call('EXPIRE', 'budget:handed', 86400)
  remember_admission(call.user, call.request, call.admitted_at)
  if call.in_table >= 0 then before, before_charged = call.in_table, call.charged_in_table end
  -- A message that is still open here was counted when it was opened.
  local open = redis.call('HEXISTS', open_key(call.process), call.request) == 1
  if call.counted and call.in_table < 0 and not open then
    redis.call('HINCRBY', 'quota:' .. call.day, call.user, 1)
  end
else
  -- Settled before, and the answer was lost on the way; or by estimate, and nothing better is known. Its row is no later
  -- than the last one there is, and counts the message: left open, that would be given back as a stray.
  if call.counted then redis.call('HDEL', open_key(call.process), call.request) end
  local last = redis.call('XREVRANGE', 'usage:stream', '+', '-', 'COUNT', 1)
  return {'repeated', 'id', last[1] and last[1][1] or '0-0'}
end

if call.counted then redis.call('HDEL', open_key(call.process), call.request) end
-- Never sent, and never taken for dead either: there is nothing to tell.
if call.unsent and record then return {'ok'} end
local moved, charged = call.cost - before, call.charged
if charged < call.cost and not waives(call.day, call.user, moved - (charged - before_charged), call.user_budget) then
  charged = call.cost
end
if not record then
  -- The user's hold is gone already, and other calls may have taken the room: the payer is charged no more than is left.
  local left = left_to_user(call.day, call.user, call.user_budget)
  if left then charged = math.min(charged, before_charged + math.max(0, left)) end
end
local charge_moved = charged - before_charged
spend(call.day, call.user, moved, charge_moved)
if call.estimated then estimated(field, call.cost, charged) end
return {'ok', 'id', log(call.day, call.user, moved, charge_moved, charged, call.row), 'charged', charged}
