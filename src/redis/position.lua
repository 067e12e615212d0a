-- position.lua: how far the replay has come, on a server that is still the one
-- that the worker knows.
--
-- The contract (CORRECTNESS R21 to R23):
--
--   KEYS[1], KEYS[2]  the two fence hashes
--   KEYS[3]           the watermark: system identifier, space, version
--   KEYS[4]           list of "time version": what time it was here when
--                     PostgreSQL's log had come so far, newest first
--   ARGV[1]           what to do
--   ARGV[2]           generation, a number that the worker has made up
--   ARGV[3]           identity that the server must have
--   ARGV[4]           the watermark to store
--   ARGV[5]           adopt: 0 the fence stays, 1 it vouches for nothing older
--                     than now, 3 it is emptied, 2 it is emptied and pushes
--                     only delete until it is adopted again
--                     beat: the version of the end of the log
--   ARGV[6]           beat: how long the list may become
--
-- look   only returns
-- adopt  the generation is written into the fence, where every push reads it,
--        and the watermark is stored
-- beat   the watermark is stored, if the fence still has the generation
--
-- The identity is that of the process and of its replication history: a
-- restart changes the one and a promotion the other, and only that tells a
-- server that may have forgotten writes from one that has not.
--
-- Returns { done, now, identity, generation, watermark, maxmemory_policy,
-- time of the newest position }.

local act = ARGV[1]
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000000 + t[2])

-- INFO may be forbidden to us; then only the generation tells.
local function info(section, name)
  local text = redis.pcall('INFO', section)
  if type(text) == 'table' and text.ok then
    text = text.ok
  end
  return type(text) == 'string' and
    string.match(text, name .. ':([^\r\n]*)') or ''
end
local identity = info('server', 'run_id') .. '/' ..
  info('replication', 'master_replid')

local function field(name)
  for i = 1, 2 do
    local v = redis.pcall('HGET', KEYS[i], name)
    if type(v) == 'string' then
      return v
    end
  end
end

local done = 0
if act ~= 'look' and identity == ARGV[3] then
  -- a full server refuses the first write only, unless it is one like this
  redis.call('UNLINK', 'wtcache:lease:')
  if act == 'adopt' then
    local s = ARGV[5] == '2' and string.format('%.0f', now + 1e15) or now
    if ARGV[5] == '2' or ARGV[5] == '3' then
      redis.call('UNLINK', KEYS[1], KEYS[2])
    end
    local complete = true
    for i = 1, 2 do
      local half = redis.pcall('HMGET', KEYS[i], '\0b', '\0s')
      if half.err then
        redis.call('UNLINK', KEYS[i])
      end
      complete = complete and not half.err and half[1] and half[2]
    end
    for i = 1, 2 do
      if not complete then
        redis.call('UNLINK', KEYS[i])
        redis.call('HSET', KEYS[i], '\0b', now)
      end
      if not complete or ARGV[5] ~= '0' then
        redis.call('HSET', KEYS[i], '\0s', s)
      end
      redis.call('HSET', KEYS[i], '\0g', ARGV[2])
    end
    redis.call('SET', KEYS[3], ARGV[4])
    done = 1
  elseif field('\0g') == ARGV[2] then
    redis.call('SET', KEYS[3], ARGV[4])
    if redis.call('TYPE', KEYS[4]).ok ~= 'list' then
      redis.call('UNLINK', KEYS[4])
    end
    redis.call('LPUSH', KEYS[4], now .. ' ' .. ARGV[5])
    redis.call('LTRIM', KEYS[4], 0, ARGV[6] - 1)
    done = 1
  end
end

local watermark = redis.pcall('GET', KEYS[3])
if type(watermark) ~= 'string' then
  watermark = ''
end
local newest = redis.pcall('LINDEX', KEYS[4], 0)
newest = type(newest) == 'string' and string.match(newest, '^%d+') or ''
return {done, now, identity, field('\0g') or '', watermark,
  info('memory', 'maxmemory_policy'), newest}
