-- After Redis came back: what it no longer knows of a process. A message that is still open is counted again, and an
-- attempt under way is held again, whatever the budget says, because the call is under way. Safe to repeat.
--   counted    of a message: a row of the ledger counts it already
--   in_table   of a flight: the estimate that the table has of it, in nano-dollars, or -1: taken for dead, it was settled;
--              `charged_in_table` is what that estimate charged

local state = trusted()
if not state then return {'attach'} end
if state == 'rebuilding' then return {'recovering'} end

today()
alive()
for _, message in ipairs(call.messages) do
  remember_admission(message.user, message.request, message.admitted_at)
  if redis.call('HEXISTS', open_key(call.process), message.request) == 0 then
    if message.counted then
      redis.call('HSET', open_key(call.process), message.request, message.user .. ' ' .. message.day)
    else
      open_message(message.day, message.user, message.request)
    end
  end
end
for _, flight in ipairs(call.flights) do
  local field = flight.request .. ':' .. flight.attempt
  local known = redis.call('HEXISTS', holds_key(call.process), field) == 1
  if known or redis.call('EXISTS', 'budget:resolved:' .. field) == 1 then
    -- It is here, or its estimate is.
  elseif flight.in_table >= 0 then
    estimated(field, flight.in_table, flight.charged_in_table)
  else
    hold(flight.day, flight.user, flight.hold)
    redis.call(
      'HSET', holds_key(call.process), field,
      record_of(flight.hold, flight.user, flight.day, flight.admitted_at, flight.provider, flight.model, flight.row)
    )
  end
end
return {'ok'}
