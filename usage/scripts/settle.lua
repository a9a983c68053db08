-- The end of an attempt: the hold becomes the cost, and the row sets out for the table. Safe to repeat.
--   unsent     known never to have reached a provider: no cost and no row
--   counted    the message counts, whatever becomes of the request
--   lost       Redis came back knowing neither the hold nor the row of this; `in_table` is the estimate that the table
--              has of it, in nano-dollars, or -1

local state = trusted()
if not state then return {'attach'} end
if state == 'rebuilding' then return {'recovering'} end

today()
local field = call.request .. ':' .. call.attempt
local resolved = 'budget:resolved:' .. field
local record = redis.call('HGET', holds_key(call.process), field)
local estimate = tonumber(redis.call('GET', resolved))
local moved

if record then
  redis.call('HDEL', holds_key(call.process), field)
  local parts = parts_of(record)
  if parts then
    hold(call.day, call.user, -parts.hold)
    if parts.hold > 0 and call.cost > parts.hold then overrun(call.day, call.cost - parts.hold) end
  end
  moved = call.cost
elseif estimate and not call.estimated then
  -- It was settled by estimate when its time ran out or its process seemed dead; this is the truth, late.
  redis.call('DEL', resolved)
  moved = call.cost - estimate
  -- The estimate was the whole hold.
  if estimate > 0 and moved > 0 then overrun(call.day, moved) end
elseif call.lost and call.unsent and call.in_table < 0 then
  -- Lost, and nothing was sent: there is nothing to tell.
  return {'ok'}
elseif call.lost and redis.call('SADD', 'budget:handed', field) == 1 then
  redis.call('EXPIRE', 'budget:handed', 86400)
  remember_admission(call.user, call.request, call.admitted_at)
  moved = call.cost - math.max(0, call.in_table)
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
spend(call.day, call.user, moved)
if call.estimated then estimated(field, call.cost) end
return {'ok', 'id', log(call.day, call.user, moved, call.row)}
