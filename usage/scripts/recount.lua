-- The day's counter from the ledger: what the caller summed of the table (up to `table_mark`) and of the stream (up to
-- `read_to`), and the rows of the stream that came after. Only into a missing counter, or to zero for a reset.

local state = trusted()
if not state then return {'attach'} end
if state == 'rebuilding' then return {'recovering'} end
local day = today()
if day ~= call.day then return {'moved'} end
-- The drainer went on while the caller was summing: rows it trimmed may be in neither sum.
if later(redis.call('GET', 'usage:mark'), call.table_mark) then return {'moved'} end

local ledger = call.base
for _, entry in ipairs(redis.call('XRANGE', 'usage:stream', '(' .. call.read_to, '+')) do
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  if fields.day == day then ledger = ledger + (tonumber(fields.moved) or 0) end
end

local before = nano(redis.call('GET', 'budget:today:usd'))
if call.reset then
  redis.call('SET', 'budget:today:usd', dollars(0))
elseif not before then
  redis.call('SET', 'budget:today:usd', dollars(math.max(0, ledger - call.offset)))
end
if redis.call('EXISTS', held_key(day)) == 0 then
  local held = 0
  for _, process in ipairs(redis.call('ZRANGE', 'budget:leases', 0, -1)) do
    for _, record in ipairs(redis.call('HVALS', holds_key(process))) do
      local parts = parts_of(record)
      if parts and parts.day == day then held = held + parts.hold end
    end
  end
  redis.call('SET', held_key(day), whole(held), 'EX', KEPT)
end
return {'ok', 'ledger', ledger, 'before', before or -1, 'after', nano(redis.call('GET', 'budget:today:usd'))}
