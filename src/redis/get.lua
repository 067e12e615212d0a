-- get.lua: reads a key; of the readers that miss it one gets a lease to fill it.
--
--   KEYS[1]  the key
--
-- For readers in any language, version 1 of the protocol in doc/readers.md.  A
-- lease is a number from a counter and the token (see push/token.h), so it is
-- of no use any more once there is another token.
--
-- Returns { state, what, ms }, what is not needed being left out at the end:
--   hit     what is the value: a string, or fields and values of a hash
--   fill    what is a lease: the reader may call fill.lua within ms milliseconds
--   wait    another reader has the lease, for so long at most
--   absent  a reader has found lately that there is nothing
--   off     there are no leases

local LEASES, VERSION = 'wtcache:leases', '1'
local call, try = redis.call, redis.pcall
local key, name = KEYS[1], 'wtcache:lease:' .. KEYS[1]

local value = try('GET', key)
if type(value) == 'table' then
  value = call('HGETALL', key)
end
if value then
  return {'hit', value}
end

local token, setting = try('GET', 'wtcache:token'), try('HMGET', LEASES,
  'version', 'ttl', 'closed')
if type(token) ~= 'string' or setting[1] ~= VERSION or setting[3] or
  not string.match(token, '^%d+ %d+ %d+ %d+$') then
  return {'off'}
end
local lease = try('GET', name)
if type(lease) == 'string' then
  local word, given = string.match(lease, '^(%w+) (.*)$')
  local left = call('PTTL', name)
  if given == token and left > 0 then
    return {word == 'absent' and word or 'wait', '', left}
  end
end

-- neither a full server nor a replica gives leases
local tick = try('HINCRBY', LEASES, 'tick', 1)
if type(tick) ~= 'number' then
  return {'off'}
end
lease = string.format('%.0f %s', tick, token)
if try('SET', name, lease, 'PX', setting[2]).err then
  return {'off'}
end
return {'fill', lease, tonumber(setting[2])}
