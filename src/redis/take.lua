-- take.lua: sets this server's token and, in the same step, looks how far Redis
-- has come.  From then on no older request can take effect.
--
--   KEYS[1..5]  token, position, journal, patterns, values
--   ARGV[1]  system identifier of the PostgreSQL server
--   ARGV[2]  its timeline
--   ARGV[3]  when it began to write
--   ARGV[4]  the token to set
--   ARGV[5]  0: this server has set a token before; 1: it has not, and takes
--            Redis over from any other but one that has superseded it; 2: from
--            that one as well
--   ARGV[6]  for how long a reader gets a lease, milliseconds; 0: not at all
--
-- Another timeline of the same system that is later has superseded this server.
-- Any other server that has begun later has taken Redis over on purpose.
--
-- Keys of the first format (fences and watermark) stay until cold.lua deletes them.
--
-- Returns { verdict, token found, first format, something stored, system, timeline,
-- lsn, journal, key, maxmemory_policy }; verdict is taken, superseded or stranger.
-- What is not there is empty.

local try, how = redis.pcall, ARGV[5]

local function text(value)
  return type(value) == 'string' and value or ''
end

local found = text(try('GET', KEYS[1]))
local system, timeline, started = string.match(found, '^(%d+) (%d+) (%d+) %d+$')
if system and how ~= '2' then
  if system == ARGV[1] and tonumber(timeline) > tonumber(ARGV[2]) then
    return {'superseded', found}
  elseif how == '0' and tonumber(started) > tonumber(ARGV[3]) then
    return {'stranger', found}
  end
end

-- a full server takes a script whose first write frees memory
redis.call('UNLINK', 'wtcache:lease:')
redis.call('SET', KEYS[1], ARGV[4])
-- No lease of an earlier token is of any use, so what was noted for it is not.  There
-- are none before the worker has found out what is to be replayed, and deletes the
-- field "closed": a full server takes that.
redis.call('UNLINK', 'wtcache:leases')
if ARGV[6] ~= '0' then
  redis.call('HSET', 'wtcache:leases', 'version', '1', 'ttl', ARGV[6], 'closed', 1)
end

local old = redis.call('EXISTS', 'wtcache:fence:0', 'wtcache:fence:1',
  'wtcache:watermark', 'wtcache:positions')
local position = try('HMGET', KEYS[2], 'system', 'timeline', 'lsn', 'journal',
  'key')
if position.err then
  redis.call('UNLINK', KEYS[2])
  position = {}
end
if type(try('LLEN', KEYS[3])) == 'table' then
  redis.call('UNLINK', KEYS[3])
  position[4] = false
end
for _, set in ipairs({KEYS[4], KEYS[5]}) do
  if type(try('SCARD', set)) == 'table' then
    redis.call('UNLINK', set)
  end
end

-- INFO may be forbidden to us
local info = try('INFO', 'memory')
if type(info) == 'table' and info.ok then
  info = info.ok
end
return {'taken', found, old, redis.call('EXISTS', KEYS[4]), text(position[1]), text(position[2]),
  text(position[3]), text(position[4]), text(position[5]),
  string.match(text(info), 'maxmemory_policy:([^\r\n]*)') or ''}
