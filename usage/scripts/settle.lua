-- The end of an attempt: the hold becomes the cost, and the row sets out for the table. Safe to repeat.

local state = trusted()
if not state then return {'attach'} end
if state == 'rebuilding' then return {'recovering'} end

today()
local field = call.request .. ':' .. call.attempt
local record = redis.call('HGET', holds_key(call.process), field)
local moved
if record then
  local amount = record_parts(record)
  redis.call('HDEL', holds_key(call.process), field)
  hold(call.day, call.user, -amount)
  moved = call.cost
else
  local estimate = redis.call('GET', 'budget:resolved:' .. field)
  if estimate then
    -- It was settled by estimate when its time ran out or its process seemed dead; this is the true usage, late.
    redis.call('DEL', 'budget:resolved:' .. field)
    moved = call.cost - tonumber(estimate)
  elseif call.lost and redis.call('SADD', 'budget:handed', field) == 1 then
    -- Redis came back without any of it: neither the hold nor the row are here.
    redis.call('EXPIRE', 'budget:handed', 86400)
    if call.counted then redis.call('HINCRBY', 'quota:' .. call.day, call.user, 1) end
    moved = call.cost
  else
    -- Settled before, and the answer was lost on the way: its row went out about now.
    return {'repeated', 'id', whole(clock[1] * 1000) .. '-0'}
  end
end
if call.row == '' then return {'ok'} end

spend(call.day, call.user, moved)
if call.estimated then estimated(field, call.cost) end
return {'ok', 'id', log(call.day, call.user, moved, call.row)}
