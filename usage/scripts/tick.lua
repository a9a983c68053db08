-- Once a second from every process: its sign of life, the settling of what dead processes left, and the news.

local state, since = trusted()
if not state then return {'attach'} end

-- Taken for dead meanwhile, a process has to say again that it is there.
local known = redis.call('ZSCORE', 'budget:leases', call.process) and 1 or 0
alive()
if known == 0 then redis.call('PERSIST', open_key(call.process)) end
today()

-- Where nobody at all has ticked for a while, it was this server that could not be reached (away, frozen, its line
-- cut): whoever comes first must not settle what the others have under way. They get a whole lease to come back.
local ticked = tonumber(redis.call('GET', 'budget:ticked'))
redis.call('SET', 'budget:ticked', whole(now))
if ticked and now - ticked > LEASE / 2 then
  for _, process in ipairs(redis.call('ZRANGE', 'budget:leases', 0, -1)) do
    redis.call('ZADD', 'budget:leases', whole(now), process)
  end
  if state == 'confirming' then
    redis.call('HSET', 'budget:redis', 'since', whole(now))
    since = now
  end
end

-- A hold of a process that gave no sign for 20 s becomes a cost of the whole hold, and a row that says so. The payer, who
-- got no usable answer, is charged nothing.
local function resolve(process, field, parts)
  local row = cjson.decode(parts.row)
  row.provider, row.model, row.cost, row.created_us = parts.provider, parts.model, whole(parts.hold), parts.at
  row.attempt = tonumber(string.match(field, ':(%d+)$'))
  row.estimated, row.error_flag, row.error_message = true, true, 'process_died'
  local text = cjson.encode(row)
  redis.call('HDEL', holds_key(process), field)
  hold(parts.day, parts.user, -parts.hold)
  spend(parts.day, parts.user, parts.hold, 0)
  estimated(field, parts.hold, 0)
  log(parts.day, parts.user, parts.hold, 0, 0, text)
end

local swept = {}
for _, process in ipairs(redis.call('ZRANGEBYSCORE', 'budget:leases', '-inf', whole(now - LEASE), 'LIMIT', 0, 4)) do
  local found = redis.call('HSCAN', holds_key(process), 0, 'COUNT', 200)[2]
  for i = 1, #found, 2 do
    local parts = parts_of(found[i + 1])
    if not parts or not pcall(resolve, process, found[i], parts) then
      -- One record that cannot be read must not keep all the others from being settled.
      redis.call('HSET', 'budget:unreadable', found[i], found[i + 1])
      redis.call('HDEL', holds_key(process), found[i])
    end
  end
  if redis.call('EXISTS', holds_key(process)) == 0 then
    -- Its open messages stay counted: nobody can tell what left of them. Should it live after all (it was stopped, or
    -- starved), it still can give back those that fail.
    redis.call('EXPIRE', open_key(process), 86400)
    redis.call('ZREM', 'budget:leases', process)
    redis.call('SREM', 'budget:expected', process)
    swept[#swept + 1] = process
  end
end

-- Everybody expected has handed in, or has been silent for a whole lease: whatever they held is over.
if state == 'confirming' and (redis.call('SCARD', 'budget:expected') == 0 or now - since > LEASE) then
  redis.call('DEL', 'budget:expected')
  redis.call('HSET', 'budget:redis', 'state', 'open')
end

return {
  'ok', 'known', known, 'mark', redis.call('GET', 'usage:mark') or '0-0', 'swept', swept,
  'unreadable', redis.call('HLEN', 'budget:unreadable'),
  'open', redis.call('HGETALL', 'health:open'), 'failures', redis.call('HGETALL', 'health:failures'),
}
