-- Once a second from every process: its sign of life, the settling of what dead processes left, and the news.

local state, since = trusted()
if not state then return {'attach'} end

alive()
if state ~= 'rebuilding' then today() end

-- The holds of a process that gave no sign for 20 s: each becomes a cost of its whole hold and a row that says so.
local function resolve(process, field, record)
  local amount, user, day, admitted_at, provider, model, text = record_parts(record)
  local row = cjson.decode(text)
  row.provider, row.model, row.cost, row.created_us = provider, model, whole(amount), admitted_at
  row.attempt = tonumber(string.match(field, ':(%d+)$'))
  row.estimated, row.error_flag, row.error_message = true, true, 'process_died'
  redis.call('HDEL', holds_key(process), field)
  hold(day, user, -amount)
  spend(day, user, amount)
  estimated(field, amount)
  log(day, user, amount, cjson.encode(row))
end

local swept = {}
if state ~= 'rebuilding' then
  for _, process in ipairs(redis.call('ZRANGEBYSCORE', 'budget:leases', '-inf', whole(now - LEASE), 'LIMIT', 0, 4)) do
    local cursor = redis.call('HSCAN', holds_key(process), 0, 'COUNT', 200)
    local found = cursor[2]
    for i = 1, #found, 2 do resolve(process, found[i], found[i + 1]) end
    if redis.call('EXISTS', holds_key(process)) == 0 then
      redis.call('ZREM', 'budget:leases', process)
      redis.call('SREM', 'budget:expected', process)
      swept[#swept + 1] = process
    end
  end
end

-- Everybody expected has handed in, or has been silent for a whole lease: whatever they held is over.
if state == 'confirming' and (redis.call('SCARD', 'budget:expected') == 0 or now - since > LEASE) then
  redis.call('DEL', 'budget:expected')
  redis.call('HSET', 'budget:redis', 'state', 'open')
end

return {
  'ok', 'mark', redis.call('GET', 'usage:mark') or '0-0', 'swept', swept,
  'open', redis.call('HGETALL', 'health:open'), 'failures', redis.call('HGETALL', 'health:failures'),
}
